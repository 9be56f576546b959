/* virt-thin - what libvirt loads in place of its logical storage backend: finds one that fits, and
 * never fails SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirtd exits when a storage backend module cannot be loaded or its Register function returns an
 * error (libvirt src/storage/storage_backend.c, virStorageDriverLoadBackendModule), and libvirt's
 * private symbols change their version with every release. An upgrade of libvirt would take the
 * management of every virtual machine down with it. So the module that libvirt sees is this one: it
 * needs nothing but libc, and loads what needs more itself, with RTLD_LOCAL, so that no symbol of
 * ours stands in for one of libvirt's:
 *
 *   1. our backend, beside this file (or $VIRT_THIN_BACKEND). It serves VG/POOL itself and leaves
 *      every other pool to the stock backend. It registers nothing and says so when it does not
 *      understand this libvirt;
 *   2. the stock backend ($VIRT_THIN_STOCK_BACKEND_DIR, else where the build found libvirt's),
 *      guarded (guard.h) where that is possible;
 *   3. neither: libvirtd runs without pools of this type, as it does when the file is missing.
 *
 * What libvirt finds is a copy, beside a link to the installed backend (`virt-thin enable`): it is
 * there still when virt-thin is not, and it may be older than the backend. They agree by the entry
 * point's name: one that is called otherwise, or means something else, gets another name, and an
 * old shim then falls back to the stock backend.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt/guard.h"

#define STOCK_NAME "libvirt_storage_backend_logical.so"
#define BACKEND_NAME "virt-thin-backend.so"

int virStorageBackendLogicalRegister(void);

/* The folder this file really lies in: libvirt may have found it through a link. */
static int own_folder(char folder[PATH_MAX])
{
  Dl_info info;
  char real[PATH_MAX];
  if (!dladdr((void *)virStorageBackendLogicalRegister, &info) || !info.dli_fname ||
      !realpath(info.dli_fname, real))
    return -1;
  strcpy(folder, dirname(real));
  return 0;
}

/* Load @path and call its @function with @argument. NULL: done. Else why not, and nothing is
 * registered. */
static const char *load_and_call(const char *path, const char *function, const char *argument)
{
  static char why[PATH_MAX + 64];
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!module)
    return dlerror();
  int (*entry)(const char *) = (int (*)(const char *))dlsym(module, function);
  if (!entry)
    snprintf(why, sizeof why, "%s has no %s", path, function);
  else if (entry(argument) < 0)
    snprintf(why, sizeof why, "%s does not understand this libvirt", path);
  else
    return NULL;
  return why;
}

static void register_stock(const char *stock, const char *reason)
{
  const char *problem = vtbackend_guard_register(stock, reason);
  if (!problem)
    return;
  fprintf(stderr, "virt-thin: pools on VG/POOL are not guarded from it: %s\n", problem);
  problem = load_and_call(stock, "virStorageBackendLogicalRegister", NULL);
  if (problem)
    fprintf(stderr, "virt-thin: it cannot be used either, there are no logical pools: %s\n",
            problem);
}

int virStorageBackendLogicalRegister(void)
{
  char folder[PATH_MAX] = "", backend[PATH_MAX + sizeof BACKEND_NAME + 1],
       stock[PATH_MAX + sizeof STOCK_NAME + 1];
  const char *stock_folder = getenv("VIRT_THIN_STOCK_BACKEND_DIR");
  const char *override = getenv("VIRT_THIN_BACKEND");
  snprintf(stock, sizeof stock, "%s/" STOCK_NAME,
           stock_folder && *stock_folder ? stock_folder : STOCK_BACKEND_DIR);

  if (override && *override)
    snprintf(backend, sizeof backend, "%s", override);
  else if (own_folder(folder) == 0)
    snprintf(backend, sizeof backend, "%s/" BACKEND_NAME, folder);
  else
    snprintf(backend, sizeof backend, "%s", BACKEND_NAME);

  const char *problem = load_and_call(backend, "vtbackend_register", stock);
  if (problem) {
    fprintf(stderr,
            "virt-thin: %s\nvirt-thin: pools on VG/POOL are not served; %s serves every other "
            "logical pool\n",
            problem, stock);
    register_stock(stock, problem);
  }
  return 0;
}
