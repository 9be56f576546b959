/* virt-thin - many empty thin volumes in one commit, for tests of large pools
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: make-volumes IMAGE VG POOL NUMBER SIZE
 *
 * Volumes vm-100-disk-0, vm-101-disk-0, ... of SIZE bytes; nobody may be serving the VG.
 */
#include "config.h"

#include <stdio.h>

#include "lvm/store.h"
#include "thin/thin.h"

static GArray *add_volumes(LvmVg *vg, LvmLv *pool, guint number, guint64 n_extents, GError **error)
{
  GArray *messages = g_array_new(FALSE, TRUE, sizeof(ThinMessage));
  lvm_pool_set_transaction_id(pool, lvm_pool_transaction_id(pool) + 1);
  for (guint i = 0; i < number; i++) {
    g_autofree char *name = g_strdup_printf("vm-%u-disk-0", i + 100);
    ThinMessage message = {THIN_CREATE, lvm_pool_next_device(vg, pool), 0};
    if (!lvm_vg_add_thin(vg, pool, name, n_extents, message.device, NULL, error)) {
      g_array_unref(messages);
      return NULL;
    }
    g_array_append_val(messages, message);
  }
  return messages;
}

static ThinPool *open_pool(LvmStore *store, LvmLv *pool, GError **error)
{
  ThinOptions options = {.chunk_size = lvm_pool_chunk_size(pool)};
  g_autoptr(VtIo) metadata = lvm_store_open_lv(store, lvm_pool_metadata(pool), FALSE, error);
  g_autoptr(VtIo) data =
      metadata ? lvm_store_open_lv(store, lvm_pool_data(pool), FALSE, error) : NULL;
  return data ? thin_pool_open(metadata, data, &options, error) : NULL;
}

static gboolean make_volumes(LvmStore *store, const char *pool_name, guint number, guint64 size,
                             GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  LvmLv *pool = lvm_vg_find_lv(vg, pool_name);
  guint64 tid = lvm_pool_transaction_id(pool);
  g_autoptr(GArray) messages = add_volumes(vg, pool, number, size / lvm_vg_extent_size(vg), error);
  ThinPool *thin = messages ? open_pool(store, pool, error) : NULL;
  if (!thin)
    return FALSE;
  gboolean sent =
      thin_pool_send(thin, (ThinMessage *)messages->data, messages->len, tid, tid + 1, error);
  if (!thin_pool_close(thin, sent ? error : NULL) || !sent)
    return FALSE;
  return lvm_store_commit(store, vg, NULL, "make-volumes", error);
}

int main(int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  if (argc != 6) {
    fprintf(stderr, "usage: make-volumes IMAGE VG POOL NUMBER SIZE\n");
    return 2;
  }
  const char *const paths[] = {argv[1], NULL};
  g_autoptr(LvmStore) store = lvm_store_open(paths, argv[2], FALSE, NULL, NULL, &error);
  if (store && make_volumes(store, argv[3], (guint)g_ascii_strtoull(argv[4], NULL, 10),
                            g_ascii_strtoull(argv[5], NULL, 10), &error))
    return 0;
  fprintf(stderr, "make-volumes: %s\n", error->message);
  return 1;
}
