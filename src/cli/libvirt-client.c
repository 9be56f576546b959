/* virt-thin - libvirt's client library, loaded by who needs it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "cli/libvirt-client.h"

#include <dlfcn.h>

#define LIBRARY "libvirt.so.0"

static const struct {
  const char *name;
  gsize offset;
} functions[] = {
#define LIBVIRT_CLIENT_ROW(name) {#name, G_STRUCT_OFFSET(LibvirtClient, name)},
    LIBVIRT_CLIENT_FUNCTIONS(LIBVIRT_CLIENT_ROW)
#undef LIBVIRT_CLIENT_ROW
};

const LibvirtClient *libvirt_client(GError **error)
{
  static LibvirtClient client;
  static void *library;

  if (library)
    return &client;
  library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    vt_set_error(error, ENOENT, "libvirt's client library cannot be loaded: %s: install libvirt0", dlerror());
    return NULL;
  }
  for (gsize i = 0; i < G_N_ELEMENTS(functions); i++) {
    gpointer *member = G_STRUCT_MEMBER_P(&client, functions[i].offset);

    *member = dlsym(library, functions[i].name);
    if (*member)
      continue;
    vt_set_error(error, ENOENT, "%s has no function %s: it is older than libvirt 7.0", LIBRARY, functions[i].name);
    g_clear_pointer(&library, dlclose);
    return NULL;
  }
  return &client;
}
