/* virt-thin - libvirt's own logical backend: its table of callbacks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The table's size is in the module's symbol; that its members are in the order known here shows in
 * which are set, and in two that are functions with names of their own at the far end of it.
 */
#include "libvirt/stock.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>

/* The size of the object behind @symbol as the module's symbol table tells it; 0: it does not. */
static size_t symbol_size(const void *symbol)
{
  Dl_info info;
  const ElfW(Sym) *entry = NULL;
  if (!dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry ||
      info.dli_saddr != symbol)
    return 0;
  return entry->st_size;
}

static bool is_in_order(const VtBackend *stock)
{
  return stock->find_sources && stock->check_pool && stock->start_pool && stock->build_pool &&
         stock->refresh_pool && stock->stop_pool && stock->delete_pool && stock->build_vol_from &&
         stock->create_vol && stock->delete_vol && stock->wipe_vol && stock->upload_vol &&
         stock->download_vol &&
         (void *)stock->upload_vol == dlsym(RTLD_DEFAULT, "virStorageBackendVolUploadLocal") &&
         (void *)stock->download_vol == dlsym(RTLD_DEFAULT, "virStorageBackendVolDownloadLocal");
}

const char *vtbackend_stock_load(const char *path, VtBackend *table)
{
  static char why[PATH_MAX + 128];
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!module)
    return dlerror();
  const VtBackend *stock = dlsym(module, "virStorageBackendLogical");
  if (!stock)
    snprintf(why, sizeof why, "%s does not export its callbacks (virStorageBackendLogical)", path);
  else if (symbol_size(stock) != sizeof *stock)
    snprintf(why, sizeof why, "the table of callbacks in %s has %zu bytes, not %zu", path,
             symbol_size(stock), sizeof *stock);
  else if (!is_in_order(stock))
    snprintf(why, sizeof why, "the table of callbacks in %s is not in the order known here", path);
  else
    return *table = *stock, NULL;
  return why;
}
