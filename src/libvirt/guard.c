/* virt-thin - libvirt's own logical backend without virt-thin's: what it must not be asked about a
 * thin pool SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 refuses VG/POOL for a volume group's name, but the stock backend writes zeros over the
 * beginning of a pool's devices and makes physical volumes of them before it runs vgcreate: `virsh
 * pool-build --overwrite` would take the volume group of a thin pool away. And what it says of such
 * a pool does not tell whose it is. A pool that is not started has no volumes, so what is asked
 * about volumes needs no guard.
 *
 * No field of libvirt's objects is touched: a pool's source name is read in its document, so this
 * holds for a libvirt whose layout the backend does not understand.
 */
#include "libvirt/guard.h"

#include <dlfcn.h>
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libvirt/stock.h"

static VtBackend stock;
static char why[512]; /* the backend is not there */

static struct {
  int (*backend_register)(VtBackend *backend);
  VtPoolDef *(*pool_obj_get_def)(VtPoolObj *obj);
  char *(*pool_def_format)(VtPoolDef *def);
  void (*report_error)(int domain, int code, const char *file, const char *function, size_t line,
                       const char *format, ...) __attribute__((format(printf, 6, 7)));
} libvirt; /* vtbackend-libvirt.h */

/* NULL: done. Else the name of a function that this libvirt has not. */
static const char *resolve(void)
{
  const struct {
    const char *name;
    void *place;
  } symbols[] = {{"virStorageBackendRegister", &libvirt.backend_register},
                 {"virStoragePoolObjGetDef", &libvirt.pool_obj_get_def},
                 {"virStoragePoolDefFormat", &libvirt.pool_def_format},
                 {"virReportErrorHelper", &libvirt.report_error}};
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    void *address = dlsym(RTLD_DEFAULT, symbols[i].name);
    if (!address)
      return symbols[i].name;
    memcpy(symbols[i].place, &address, sizeof address);
  }
  return NULL;
}

/* The source name of @obj if it is VG/POOL, as it is written in XML; else NULL. The caller's. */
static char *thin_source(VtPoolObj *obj)
{
  char *xml = libvirt.pool_def_format(libvirt.pool_obj_get_def(obj)), *found = NULL;
  char *source = xml ? strstr(xml, "<source>") : NULL,
       *name = source ? strstr(source, "<name>") : NULL;
  if (name && name < strstr(source, "</source>")) {
    name += strlen("<name>");
    found = strndup(name, strcspn(name, "<"));
    if (found && !strchr(found, '/')) {
      free(found);
      found = NULL;
    }
  }
  free(xml);
  return found;
}

/* Report that @obj is a thin pool, if it is one. */
static bool is_refused(VtPoolObj *obj)
{
  char *name = thin_source(obj);
  if (!name)
    return false;
  libvirt.report_error(
      VIR_FROM_STORAGE, VIR_ERR_OPERATION_UNSUPPORTED, __FILE__, __func__, __LINE__,
      "cannot find logical volume group name '%s': this is a thin pool of virt-thin, which is not "
      "loaded (%s); install virt-thin, run `virt-thin enable`, and restart libvirt's daemon",
      name, why);
  free(name);
  return true;
}

static int check_pool(VtPoolObj *obj, bool *active)
{
  char *name = thin_source(obj);
  if (!name)
    return stock.check_pool(obj, active);
  free(name);
  *active = false;
  return 0;
}

static int start_pool(VtPoolObj *obj)
{
  return is_refused(obj) ? -1 : stock.start_pool(obj);
}

static int build_pool(VtPoolObj *obj, unsigned int flags)
{
  return is_refused(obj) ? -1 : stock.build_pool(obj, flags);
}

static int delete_pool(VtPoolObj *obj, unsigned int flags)
{
  return is_refused(obj) ? -1 : stock.delete_pool(obj, flags);
}

const char *vtbackend_guard_register(const char *stock_path, const char *reason)
{
  static VtBackend guarded;
  snprintf(why, sizeof why, "%s",
           reason); /* which may be dlerror()'s, gone with the next dlopen() */
  const char *problem = vtbackend_stock_load(stock_path, &stock);
  if (!problem)
    problem = resolve();
  if (problem)
    return problem;
  guarded = stock;
  guarded.check_pool = check_pool;
  guarded.start_pool = start_pool;
  guarded.build_pool = build_pool;
  guarded.delete_pool = delete_pool;
  return libvirt.backend_register(&guarded) < 0 ? "libvirt does not register it" : NULL;
}
