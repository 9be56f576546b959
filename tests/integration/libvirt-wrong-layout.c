/* virt-thin - preloaded into libvirtd: a formatter of volumes with another layout
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It shows another key than the one that is set, as one that finds it elsewhere would.
 */
#include <dlfcn.h>
#include <string.h>

char *virStorageVolDefFormat(void *pool, void *vol);

char *virStorageVolDefFormat(void *pool, void *vol)
{
  char *(*real)(void *, void *) =
      (char *(*)(void *, void *))dlsym(RTLD_NEXT, "virStorageVolDefFormat");
  char *xml = real ? real(pool, vol) : NULL;
  char *key = xml ? strstr(xml, "<key>") : NULL;
  if (key)
    key[strlen("<key>")] ^= 1;
  return xml;
}
