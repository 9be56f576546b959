/* virt-thin - a volume group made again on other devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A thin device's transaction id is the pool's when it is made. So the pool's is set to what the
 * text says of a volume, then its device is made; and in the end to what the text says of the pool.
 */
#include "archive/rebuild.h"

#include <string.h>

#include "lvm/store.h"
#include "thin/thin.h"

typedef struct {
  const char *name; /* the LV's */
  VtIo *metadata, *data;
  ThinPool *thin;
  guint64 tid;
} RebuildPool;

struct Rebuild {
  LvmStore *store;
  GPtrArray *pools;  /* of RebuildPool */
  GHashTable *begun; /* names of volumes */
};

/* --- a thin device as a VtIo --- */

typedef struct {
  VtIo io;
  ThinVolume *thin;
} RebuildVolume;

static ThinVolume *thin_of(VtIo *io)
{
  return ((RebuildVolume *)io)->thin;
}

static gboolean volume_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  return thin_volume_readv(thin_of(io), iov, n_iov, offset, error);
}

static gboolean volume_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  return thin_volume_writev(thin_of(io), iov, n_iov, offset, error);
}

static gboolean volume_flush(VtIo *io, GError **error)
{
  return thin_volume_flush(thin_of(io), error);
}

static gboolean volume_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  return thin_volume_zero(thin_of(io), offset, length, (flags & VT_IO_ZERO_MAY_UNMAP) != 0, error);
}

static gboolean volume_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return thin_volume_back(thin_of(io), offset, length, error);
}

static gboolean volume_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return thin_volume_discard(thin_of(io), offset, length, error);
}

static guint64 volume_size(VtIo *io)
{
  return thin_volume_size(thin_of(io));
}

static void volume_free(VtIo *io)
{
  thin_volume_close(thin_of(io));
  g_free(io);
}

static const VtIoOps volume_ops = {
    .readv = volume_readv,
    .writev = volume_writev,
    .flush = volume_flush,
    .zero = volume_zero,
    .discard = volume_discard,
    .back = volume_back,
    .size = volume_size,
    .free = volume_free,
};

/* --- pools --- */

static void pool_free(gpointer data)
{
  RebuildPool *pool = data;

  if (pool->thin)
    thin_pool_close(pool->thin, NULL); /* given up */
  g_clear_pointer(&pool->metadata, vt_io_unref);
  g_clear_pointer(&pool->data, vt_io_unref);
  g_free(pool);
}

static gboolean open_pool(Rebuild *r, LvmLv *lv, GError **error)
{
  const ThinOptions options = {.chunk_size = lvm_pool_chunk_size(lv),
                               .discards = THIN_DISCARD_NO_PASSDOWN};
  RebuildPool *pool = g_new0(RebuildPool, 1);

  g_ptr_array_add(r->pools, pool);
  pool->name = lvm_lv_name(lv);
  pool->metadata = lvm_store_open_lv(r->store, lvm_pool_metadata(lv), FALSE, error);
  if (pool->metadata)
    pool->data = lvm_store_open_lv(r->store, lvm_pool_data(lv), FALSE, error);
  if (!pool->data ||
      !thin_pool_format(pool->metadata, lvm_pool_chunk_size(lv), vt_io_size(pool->data), error))
    return FALSE;
  pool->thin = thin_pool_open(pool->metadata, pool->data, &options, error);
  return pool->thin != NULL;
}

static RebuildPool *find_pool(Rebuild *r, const char *name)
{
  for (guint i = 0; i < r->pools->len; i++)
    if (strcmp(((RebuildPool *)r->pools->pdata[i])->name, name) == 0)
      return r->pools->pdata[i];
  return NULL;
}

static gboolean send(RebuildPool *pool, const ThinMessage *message, guint64 tid, GError **error)
{
  if (!thin_pool_send(pool->thin, message, message != NULL, pool->tid, tid, error))
    return FALSE;
  pool->tid = tid;
  return TRUE;
}

/* --- volumes --- */

static VtIo *open_thin(RebuildPool *pool, LvmLv *lv, GError **error)
{
  ThinVolume *thin =
      thin_volume_open(pool->thin, lvm_thin_device(lv), lvm_lv_size(lv), FALSE, error);
  RebuildVolume *volume;

  if (!thin)
    return NULL;
  volume = g_new0(RebuildVolume, 1);
  volume->thin = thin;
  vt_io_init(&volume->io, &volume_ops, lvm_lv_name(lv), FALSE);
  return &volume->io;
}

/* A volume that users have, and that holds data. */
static LvmLv *find_volume(Rebuild *r, const char *name, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(r->store), name);

  if (lv && lvm_lv_is_visible(lv) && lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    return lv;
  vt_set_error(error, EINVAL, "volume group %s has no volume %s", lvm_vg_name(rebuild_vg(r)), name);
  return NULL;
}

VtIo *rebuild_open(Rebuild *r, const char *name, GError **error)
{
  LvmLv *lv = find_volume(r, name, error);

  if (!lv)
    return NULL;
  return lvm_lv_kind(lv) == LVM_LV_THIN ? open_thin(find_pool(r, lvm_thin_pool(lv)), lv, error)
                                        : lvm_store_open_lv(r->store, name, FALSE, error);
}

/* What @lv, made from one of @size bytes, has behind its end. */
static gboolean cut_off(RebuildPool *pool, LvmLv *lv, guint64 size, GError **error)
{
  ThinVolume *thin = thin_volume_open(pool->thin, lvm_thin_device(lv), size, FALSE, error);
  gboolean ok = thin && thin_volume_resize(thin, lvm_lv_size(lv), error);

  if (thin)
    thin_volume_close(thin);
  return ok;
}

static gboolean make_device(Rebuild *r, LvmLv *lv, const char *base, GError **error)
{
  RebuildPool *pool = find_pool(r, lvm_thin_pool(lv));
  LvmLv *from = base ? lvm_vg_find_lv(rebuild_vg(r), base) : NULL;
  ThinMessage message = {.kind = base ? THIN_SNAPSHOT : THIN_CREATE, .device = lvm_thin_device(lv)};
  guint64 tid = lvm_thin_transaction_id(lv);

  if (base && (!from || !g_hash_table_contains(r->begun, base) ||
               g_strcmp0(lvm_thin_pool(from), lvm_thin_pool(lv)) != 0))
    return vt_set_error(error, EINVAL, "volume %s cannot be made from %s: it is not there",
                        lvm_lv_name(lv), base);
  if (base)
    message.other = lvm_thin_device(from);
  if ((tid != pool->tid && !send(pool, NULL, tid, error)) || !send(pool, &message, tid, error))
    return FALSE;
  return !from || lvm_lv_size(from) <= lvm_lv_size(lv) ||
         cut_off(pool, lv, lvm_lv_size(from), error);
}

VtIo *rebuild_begin(Rebuild *r, const char *name, const char *base, GError **error)
{
  LvmLv *lv = find_volume(r, name, error);

  if (!lv)
    return NULL;
  if (g_hash_table_contains(r->begun, name)) {
    vt_set_error(error, EEXIST, "volume %s is there already", name);
    return NULL;
  }
  if (lvm_lv_kind(lv) == LVM_LV_THIN ? !make_device(r, lv, base, error)
                                     : base && !vt_set_error(error, EINVAL,
                                                             "volume %s is linear, and made from "
                                                             "none",
                                                             name))
    return NULL;
  g_hash_table_add(r->begun, g_strdup(name));
  return rebuild_open(r, name, error);
}

/* --- the whole --- */

static gboolean open_pools(Rebuild *r, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(rebuild_vg(r));

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL && !open_pool(r, lvs->pdata[i], error)) {
      g_prefix_error(error, "thin pool %s/%s: ", lvm_vg_name(rebuild_vg(r)),
                     lvm_lv_name(lvs->pdata[i]));
      return FALSE;
    }
  return TRUE;
}

Rebuild *rebuild_new(LvmVg *like, const RebuildHow *how, GError **error)
{
  g_autofree char *text = lvm_vg_format(like, NULL);
  guint64 area = MAX((guint64)16 << 20, strlen(text) * 4);
  const LvmCreate params = {.extent_size = how->extent_size,
                            .metadata_area = (area + 0xfffff) & ~(guint64)0xfffff,
                            .no_autoactivate = how->no_autoactivate};
  g_autoptr(Rebuild) r = g_new0(Rebuild, 1);

  r->pools = g_ptr_array_new_with_free_func(pool_free);
  r->begun = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  r->store =
      lvm_store_create_like(like, how->vg, how->uuid, how->paths, &params, how->sizes, error);
  return r->store && open_pools(r, error) ? g_steal_pointer(&r) : NULL;
}

void rebuild_free(Rebuild *r)
{
  if (!r)
    return;
  g_ptr_array_unref(r->pools);
  g_hash_table_unref(r->begun);
  if (r->store)
    lvm_store_close(r->store);
  g_free(r);
}

LvmVg *rebuild_vg(Rebuild *r)
{
  return lvm_store_vg(r->store);
}

static gboolean check_all_there(Rebuild *r, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(rebuild_vg(r));

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_is_visible(lvs->pdata[i]) && lvm_lv_kind(lvs->pdata[i]) != LVM_LV_THIN_POOL &&
        !g_hash_table_contains(r->begun, lvm_lv_name(lvs->pdata[i])))
      return vt_set_error(error, EBADMSG, "volume %s is not in it", lvm_lv_name(lvs->pdata[i]));
  return TRUE;
}

/* Close it in the state that the text says, and read it as a stranger would. */
static gboolean finish_pool(Rebuild *r, RebuildPool *pool, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(rebuild_vg(r), pool->name);
  g_autoptr(ThinReport) report = NULL;

  if (!send(pool, NULL, lvm_pool_transaction_id(lv), error) ||
      !thin_pool_close(g_steal_pointer(&pool->thin), error))
    return FALSE;
  report = thin_check(pool->metadata, vt_io_size(pool->data), error);
  if (!report)
    return FALSE;
  if (report->errors->len || report->leaks->len)
    return vt_set_error(error, EBADMSG, "a check of the new metadata finds: %s",
                        (char *)(report->errors->len ? report->errors : report->leaks)->pdata[0]);
  return TRUE;
}

gboolean rebuild_finish(Rebuild *r, GError **error)
{
  g_autofree char *what =
      g_strdup_printf("virt-thin: unarchive volume group %s", lvm_vg_name(rebuild_vg(r)));

  if (!check_all_there(r, error))
    return FALSE;
  for (guint i = 0; i < r->pools->len; i++)
    if (!finish_pool(r, r->pools->pdata[i], error)) {
      g_prefix_error(error, "thin pool %s: ", ((RebuildPool *)r->pools->pdata[i])->name);
      return FALSE;
    }
  return lvm_store_finish(r->store, what, error);
}
