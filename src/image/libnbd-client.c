/* virt-thin - libnbd, loaded by who needs it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "image/libnbd-client.h"

const LibnbdClient *libnbd_client(GError **error)
{
  static const char *const functions[] = {LIBNBD_CLIENT_FUNCTIONS(VT_LIBRARY_NAME) NULL};
  static VtLibrary library = {"libnbd.so.0", "libnbd", "libnbd0", "libnbd 1.2", functions, FALSE};
  static LibnbdClient client;

  return vt_library_load(&library, &client, error) ? &client : NULL;
}
