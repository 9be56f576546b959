/* virt-thin - libvirt's client library, loaded by who needs it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "apply/libvirt-client.h"

const LibvirtClient *libvirt_client(GError **error)
{
  static const char *const functions[] = {LIBVIRT_CLIENT_FUNCTIONS(VT_LIBRARY_NAME) NULL};
  static VtLibrary library = {
      "libvirt.so.0", "libvirt's client library", "libvirt0", "libvirt 7.0", functions, FALSE};
  static LibvirtClient client;

  return vt_library_load(&library, &client, error) ? &client : NULL;
}
