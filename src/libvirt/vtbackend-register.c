/* virt-thin - registration of the storage backend: only when this libvirt is understood
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Three things have to be as expected before one pointer is handed to libvirt: the functions (vtbackend-libvirt.c), the
 * fields (vtbackend-layout.c), and the table of callbacks. The table's size is in the stock module's symbol; that its
 * members are in the order known here shows in which are set, and in two that are functions with names of their own at
 * the far end of it. Where something differs nothing is registered, and the shim lets the stock backend serve.
 */
#include "config.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>

#include "libvirt/vtbackend.h"

VtGlobal vt;

#define DIR_POOL_XML                                                                                                   \
  "<pool "                                                                                                             \
  "type='dir'><name>virt-thin</name><uuid>8f3a2c1e-5b6d-4e7f-9a0b-1c2d3e4f5a6b</uuid><target><path>/</path></"         \
  "target></pool>"

/* The size of the object behind @symbol as the module's symbol table tells it; 0: it does not. */
static gsize symbol_size(gpointer symbol)
{
  Dl_info info;
  const ElfW(Sym) *entry = NULL;
  if (!dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry || info.dli_saddr != symbol)
    return 0;
  return entry->st_size;
}

static gboolean load_stock(const char *path, GError **error)
{
  gpointer module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!module)
    return vt_set_error(error, ENOENT, "%s", dlerror());
  const VtBackend *stock = dlsym(module, "virStorageBackendLogical");
  if (!stock)
    return vt_set_error(error, ENOENT, "%s does not export its callbacks (virStorageBackendLogical)", path);
  if (symbol_size((gpointer)stock) != sizeof *stock)
    return vt_set_error(error, EINVAL,
                        "the table of callbacks in %s has %" G_GSIZE_FORMAT " bytes, not %" G_GSIZE_FORMAT, path,
                        symbol_size((gpointer)stock), sizeof *stock);
  if (!stock->find_sources || !stock->check_pool || !stock->start_pool || !stock->build_pool || !stock->refresh_pool ||
      !stock->stop_pool || !stock->delete_pool || !stock->build_vol_from || !stock->create_vol || !stock->delete_vol ||
      !stock->wipe_vol || stock->upload_vol != vt.libvirt.vol_upload_local ||
      stock->download_vol != vt.libvirt.vol_download_local)
    return vt_set_error(error, EINVAL, "the table of callbacks in %s is not in the order known here", path);
  vt.stock = *stock;
  return TRUE;
}

static gboolean prepare(const char *stock_path, GError **error)
{
  if (!vt_libvirt_resolve(&vt.libvirt, error) || !load_stock(stock_path, error) ||
      !vt_layout_discover(&vt.libvirt, &vt.layout, error))
    return FALSE;
  if (!(vt.dir_pool = vt_pool_def_parse(&vt.libvirt, DIR_POOL_XML)))
    return vt_set_error(error, EINVAL, "libvirt does not parse a pool of type dir");
  return TRUE;
}

int vtbackend_register(const char *stock_path)
{
  g_autoptr(GError) error = NULL;
  gboolean ready = prepare(stock_path, &error);
  if (vt.libvirt.reset_last_error)
    vt.libvirt.reset_last_error();
  if (!ready) {
    fprintf(stderr, "virt-thin: this libvirt is not understood: %s\n", error->message);
    return -1;
  }
  return vt.libvirt.backend_register(vt_dispatch_table());
}
