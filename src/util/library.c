/* virt-thin - libraries that are loaded by who needs them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/library.h"

#include <dlfcn.h>

gboolean vt_library_load(VtLibrary *library, gpointer table, GError **error)
{
  gpointer *pointer = table;
  void *handle;

  if (library->loaded)
    return TRUE;
  handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    return vt_set_error(error, ENOENT, "%s cannot be loaded: %s: install %s", library->name,
                        dlerror(), library->package);
  for (const char *const *name = library->functions; *name; name++) {
    *pointer = dlsym(handle, *name);
    if (*pointer++)
      continue;
    dlclose(handle);
    return vt_set_error(error, ENOENT, "%s has no function %s: it is older than %s", library->file,
                        *name, library->oldest);
  }
  library->loaded = TRUE;
  return TRUE;
}
