/* virt-thin - what libvirt loads in place of its logical storage backend: finds one that fits, and never fails
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirtd exits when a storage backend module cannot be loaded or its Register function returns an error (libvirt
 * src/storage/storage_backend.c, virStorageDriverLoadBackendModule), and libvirt's private symbols change their version
 * with every release. An upgrade of libvirt would take the management of every virtual machine down with it. So the
 * module that libvirt sees is this one: it needs nothing but libc, and loads what needs more itself, with RTLD_LOCAL,
 * so that no symbol of ours stands in for one of libvirt's:
 *
 *   1. our backend, beside this file (or $VIRT_THIN_BACKEND). It serves VG/POOL itself and leaves every other pool to
 * the stock backend. It registers nothing and says so when it does not understand this libvirt;
 *   2. the stock backend ($VIRT_THIN_STOCK_BACKEND_DIR, else where the build found libvirt's);
 *   3. neither: libvirtd runs without pools of this type, as it does when the file is missing.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STOCK_NAME "libvirt_storage_backend_logical.so"
#define BACKEND_NAME "virt-thin-backend.so"

int virStorageBackendLogicalRegister(void);

/* The folder this file really lies in: libvirt may have found it through a link. */
static int own_folder(char folder[PATH_MAX])
{
  Dl_info info;
  char real[PATH_MAX];
  if (!dladdr((void *)virStorageBackendLogicalRegister, &info) || !info.dli_fname || !realpath(info.dli_fname, real))
    return -1;
  strcpy(folder, dirname(real));
  return 0;
}

/* Load @path and call its @function with @argument. -1: said why, and nothing is registered. */
static int load_and_call(const char *path, const char *function, const char *argument)
{
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!module) {
    fprintf(stderr, "virt-thin: %s\n", dlerror());
    return -1;
  }
  int (*entry)(const char *) = (int (*)(const char *))dlsym(module, function);
  if (!entry) {
    fprintf(stderr, "virt-thin: %s has no %s\n", path, function);
    return -1;
  }
  return entry(argument) < 0 ? -1 : 0;
}

int virStorageBackendLogicalRegister(void)
{
  char folder[PATH_MAX] = "", backend[PATH_MAX + sizeof BACKEND_NAME + 1], stock[PATH_MAX + sizeof STOCK_NAME + 1];
  const char *stock_folder = getenv("VIRT_THIN_STOCK_BACKEND_DIR");
  const char *override = getenv("VIRT_THIN_BACKEND");
  snprintf(stock, sizeof stock, "%s/" STOCK_NAME, stock_folder && *stock_folder ? stock_folder : STOCK_BACKEND_DIR);

  if (override && *override)
    snprintf(backend, sizeof backend, "%s", override);
  else if (own_folder(folder) == 0)
    snprintf(backend, sizeof backend, "%s/" BACKEND_NAME, folder);
  else
    snprintf(backend, sizeof backend, "%s", BACKEND_NAME);

  if (load_and_call(backend, "vtbackend_register", stock) == 0)
    return 0;
  fprintf(stderr, "virt-thin: pools on VG/POOL are not served; %s serves every logical pool\n", stock);
  if (load_and_call(stock, "virStorageBackendLogicalRegister", NULL) < 0)
    fprintf(stderr, "virt-thin: %s cannot be used either; there are no logical pools\n", stock);
  return 0;
}
