/* virt-thin - opening a volume of a pool that does not open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "cli/cli.h"
#include "rescue/dump.h"
#include "rescue/open-private.h"
#include "rescue/volume.h"
#include "thin/format/walk.h"

#define N_PAIRS 20u      /* of roots, that are listed */
#define N_ORIGINS_MAX 8u /* external origins that have external origins */

/* A pool, and what is to be read of it. */
typedef struct {
  RescueGroup *group;
  const RescueRequest *request;
  LvmLv *lv;
  VtIo *metadata;
} Pool;

static void pool_clear(Pool *pool)
{
  vt_io_unref(pool->metadata);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Pool, pool_clear)

static LvmLv *find_lv(RescueGroup *group, const char *name, GError **error)
{
  LvmVg *vg = lvm_store_vg(group->store);
  LvmLv *lv = lvm_vg_find_lv(vg, name);

  if (lv)
    return lv;
  for (guint i = 0; i < group->texts->len; i++) {
    const LvmText *text = group->texts->pdata[i];

    if (!lvm_vg_find_lv(text->vg, name))
      continue;
    vt_set_error(error, ENOENT,
                 "volume group %s has no volume %s; its text of seqno %" G_GUINT64_FORMAT
                 " has: --text %" G_GUINT64_FORMAT,
                 lvm_vg_name(vg), name, text->seqno, text->seqno);
    return NULL;
  }
  vt_set_error(error, ENOENT,
               "volume group %s has no volume %s, nor had it in any text that is "
               "left (--list-texts)",
               lvm_vg_name(vg), name);
  return NULL;
}

static gboolean open_pool(RescueGroup *group, const RescueRequest *request, LvmLv *lv, Pool *pool,
                          GError **error)
{
  *pool = (Pool){group, request, lv, NULL};
  if (lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    return vt_set_error(error, EBADMSG,
                        "%s/%s is no thin pool, as %s/%s has it; another text may say otherwise "
                        "(--list-texts)",
                        request->vg, lvm_lv_name(lv), request->vg, request->lv);
  if (!rescue_check_idle(group, lv, error))
    return FALSE;
  if (request->dump)
    pool->metadata = rescue_metadata_of_dump(request->dump, error);
  else if (request->metadata)
    pool->metadata = vt_io_open_file(request->metadata, TRUE, error);
  else
    pool->metadata = lvm_store_open_lv(group->store, lvm_pool_metadata(lv), TRUE, error);
  return pool->metadata != NULL;
}

/* --- roots --- */

static GPtrArray *find_pairs(Pool *pool, guint max, GError **error)
{
  g_autoptr(GArray) devices = lvm_pool_devices(lvm_store_vg(pool->group->store), pool->lv);
  ThinRootHints hints = {(const guint32 *)(gpointer)devices->data, devices->len};

  return thin_roots_find(pool->metadata, &hints, max, error);
}

static gboolean take_root(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  *(guint64 *)walk->data = thin_value_u64(value);
  return TRUE;
}

/* The map of @device as the superblock has it. ENOENT: it has none. EBADMSG: that cannot be
 * told. */
static gboolean look_up(Pool *pool, guint32 device, guint64 *root, GError **error)
{
  union {
    ThinDiskSuperblock superblock;
    guint8 data[THIN_METADATA_BLOCK];
    guint64 align;
  } block;
  ThinWalk walk = {.io = pool->metadata,
                   .n_blocks = vt_io_size(pool->metadata) / THIN_METADATA_BLOCK,
                   .value_size = sizeof(guint64),
                   .begin = device,
                   .end = (guint64)device + 1,
                   .data = root,
                   .entry = take_root};
  g_autoptr(GError) damage = NULL;

  *root = 0;
  if (!thin_superblock_read(pool->metadata, 0, block.data, &damage) ||
      !thin_walk(&walk, GUINT64_FROM_LE(block.superblock.data_mapping_root), NULL, &damage))
    return vt_set_error(error, EBADMSG, "%s", damage->message);
  return *root || vt_set_error(error, ENOENT,
                               "pool %s has no thin device %u; older roots of its metadata may "
                               "have: --list-roots, and then --root",
                               lvm_lv_name(pool->lv), device);
}

static void note_pair(Pool *pool, const ThinRootPair *pair, const ThinRootDevice *device)
{
  rescue_note(pool->group,
              "the roots in metadata blocks %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT
              " are used (transaction %" G_GUINT64_FORMAT ", time %u)",
              pair->mapping_root, pair->details_root, pair->transaction_id, pair->time);
  if (pool->group->is_older)
    rescue_note(pool->group,
                "they are of an earlier commit than the pool's last: what was written to thin "
                "device %u since is not there",
                device->details.id);
  else if (pair->may_be_older)
    rescue_note(pool->group,
                "they may be of an earlier commit than the pool's last, the maps of which are "
                "damaged: then what was written to thin device %u since is not there",
                device->details.id);
  if (device->has_details && device->whole && device->n_found != device->details.mapped)
    rescue_note(pool->group,
                "the map of thin device %u has %" G_GUINT64_FORMAT
                " chunks and should have %" G_GUINT64_FORMAT ": it is of another time",
                device->details.id, device->n_found, device->details.mapped);
}

static gboolean map_of_pair(Pool *pool, const ThinRootPair *pair, guint32 id, guint64 *root,
                            GError **error)
{
  const ThinRootDevice *device = thin_root_pair_device(pair, id);

  if (!device || !device->map)
    return vt_set_error(error, device ? EBADMSG : ENOENT,
                        "%s thin device %u in pool %s by the roots in metadata blocks "
                        "%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT,
                        device ? "the map is lost of" : "there is no", id, lvm_lv_name(pool->lv),
                        pair->mapping_root, pair->details_root);
  note_pair(pool, pair, device);
  *root = device->map;
  return TRUE;
}

/* The likeliest pair that has the device. */
static gboolean map_of_likeliest(Pool *pool, guint32 device, guint64 *root, GError **error)
{
  g_autoptr(GPtrArray) pairs = find_pairs(pool, N_PAIRS, error);

  for (guint i = 0; pairs && i < pairs->len; i++) {
    pool->group->is_older = ((ThinRootPair *)pairs->pdata[i])->is_older;
    if (map_of_pair(pool, pairs->pdata[i], device, root, NULL))
      return TRUE;
  }
  return pairs && map_of_pair(pool, pairs->pdata[0], device, root, error);
}

static gboolean parse_root(const char *word, guint64 *number, gboolean *is_block, GError **error)
{
  *is_block = *word == '@';
  return g_ascii_string_to_unsigned(word + *is_block, 10, 1, G_MAXINT32, number, NULL) ||
         cli_usage(error,
                   "--root %s: a number in the list that --list-roots prints, or @ and the number "
                   "of a metadata block",
                   word);
}

static gboolean map_of_root(Pool *pool, guint32 device, guint64 *root, GError **error)
{
  g_autoptr(GPtrArray) pairs = NULL;
  g_autoptr(ThinRootPair) pair = NULL;
  gboolean is_block;
  guint64 number;

  if (!parse_root(pool->request->root, &number, &is_block, error))
    return FALSE;
  if (is_block) {
    pair = thin_roots_at(pool->metadata, number, 0, error);
    return pair && map_of_pair(pool, pair, device, root, error);
  }
  pairs = find_pairs(pool, N_PAIRS, error);
  if (!pairs)
    return FALSE;
  if (number > pairs->len)
    return vt_set_error(error, ENOENT, "--root %" G_GUINT64_FORMAT ": there are %u pairs of roots",
                        number, pairs->len);
  return map_of_pair(pool, pairs->pdata[number - 1], device, root, error);
}

static gboolean find_map(Pool *pool, guint32 device, guint64 *root, GError **error)
{
  g_autoptr(GError) damage = NULL;

  if (pool->request->root)
    return map_of_root(pool, device, root, error);
  if (look_up(pool, device, root, &damage))
    return TRUE;
  if (damage->code != EBADMSG) {
    g_propagate_error(error, g_steal_pointer(&damage));
    return FALSE;
  }
  rescue_note(pool->group, "%s", damage->message);
  return map_of_likeliest(pool, device, root, error);
}

GPtrArray *rescue_roots(RescueGroup *group, const RescueRequest *request, LvmLv **pool_lv,
                        GError **error)
{
  LvmLv *lv = find_lv(group, request->lv, error);
  g_auto(Pool) pool = {0};

  if (lv && lvm_lv_kind(lv) == LVM_LV_THIN)
    lv = find_lv(group, lvm_thin_pool(lv), error);
  if (!lv)
    return NULL;
  if (lvm_lv_kind(lv) != LVM_LV_THIN_POOL) {
    vt_set_error(error, EINVAL, "%s/%s is no thin volume: it has no roots", request->vg,
                 request->lv);
    return NULL;
  }
  *pool_lv = lv;
  return open_pool(group, request, lv, &pool, error) ? find_pairs(&pool, N_PAIRS, error) : NULL;
}

/* --- volumes --- */

static VtIo *open_lv(RescueGroup *group, const RescueRequest *request, LvmLv *lv, guint depth,
                     GError **error);

static void ignore_loss(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
}

/* Up to the last mapping that can be reached. */
static guint64 size_of_map(Pool *pool, guint64 root)
{
  ThinWalk walk = {.io = pool->metadata,
                   .n_blocks = vt_io_size(pool->metadata) / THIN_METADATA_BLOCK,
                   .value_size = sizeof(guint64),
                   .end = G_MAXINT64 / THIN_CHUNK_MAX,
                   .lost = ignore_loss};
  ThinSubtree found;

  thin_walk(&walk, root, &found, NULL);
  return found.first <= found.last
             ? (MIN(found.last, walk.end - 1) + 1) * lvm_pool_chunk_size(pool->lv)
             : 0;
}

static VtIo *open_device(Pool *pool, guint32 device, const char *name, guint64 size, VtIo *origin,
                         GError **error)
{
  g_autoptr(VtIo) data =
      lvm_store_open_lv(pool->group->store, lvm_pool_data(pool->lv), TRUE, error);
  guint64 root;

  if (!data || !find_map(pool, device, &root, error))
    return NULL;
  if (!size && !(size = size_of_map(pool, root))) {
    vt_set_error(error, EINVAL, "thin device %u maps nothing: say how large it is with --size",
                 device);
    return NULL;
  }
  return rescue_volume_new(name, rescue_map_of_tree(pool->metadata, root), data, origin,
                           lvm_pool_chunk_size(pool->lv), size);
}

static VtIo *open_of_pool(RescueGroup *group, const RescueRequest *request, LvmLv *lv,
                          GError **error)
{
  g_autofree char *name = g_strdup_printf("%s/%s, thin device %" G_GINT64_FORMAT, request->vg,
                                          request->lv, request->device);
  g_auto(Pool) pool = {0};

  if (request->device < 0) {
    vt_set_error(error, EINVAL,
                 "%s/%s is a thin pool: name a volume of it, or a thin device with --dev-id",
                 request->vg, request->lv);
    return NULL;
  }
  if (!open_pool(group, request, lv, &pool, error))
    return NULL;
  return open_device(&pool, (guint32)request->device, name, request->size, NULL, error);
}

static VtIo *open_thin(RescueGroup *group, const RescueRequest *request, LvmLv *lv, guint depth,
                       GError **error)
{
  g_autofree char *name = g_strdup_printf("%s/%s", request->vg, lvm_lv_name(lv));
  LvmLv *pool_lv = find_lv(group, lvm_thin_pool(lv), error), *origin_lv;
  const char *origin_name = lvm_thin_external_origin(lv);
  g_autoptr(VtIo) origin = NULL;
  g_auto(Pool) pool = {0};

  if (!pool_lv || !open_pool(group, request, pool_lv, &pool, error))
    return NULL;
  if (origin_name && (!(origin_lv = find_lv(group, origin_name, error)) ||
                      !(origin = open_lv(group, request, origin_lv, depth + 1, error))))
    return NULL;
  return open_device(&pool, lvm_thin_device(lv), name, lvm_lv_size(lv), origin, error);
}

static VtIo *open_plain(RescueGroup *group, LvmLv *lv, GError **error)
{
  g_autoptr(VtIo) io = NULL;

  if (!rescue_check_idle(group, lv, error) ||
      !(io = lvm_store_open_lv(group->store, lvm_lv_name(lv), TRUE, error)))
    return NULL;
  return rescue_volume_of_lv(io, vt_io_name(io));
}

static VtIo *open_lv(RescueGroup *group, const RescueRequest *request, LvmLv *lv, guint depth,
                     GError **error)
{
  if (depth > N_ORIGINS_MAX) {
    vt_set_error(error, EBADMSG, "the external origins of %s/%s lead to no end", request->vg,
                 request->lv);
    return NULL;
  }
  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    return open_thin(group, request, lv, depth, error);
  return lvm_lv_kind(lv) == LVM_LV_THIN_POOL ? open_of_pool(group, request, lv, error)
                                             : open_plain(group, lv, error);
}

VtIo *rescue_open(RescueGroup *group, const RescueRequest *request, GError **error)
{
  LvmLv *lv = find_lv(group, request->lv, error);

  if (lv && request->device >= 0 && lvm_lv_kind(lv) != LVM_LV_THIN_POOL) {
    vt_set_error(error, EINVAL, "--dev-id wants a thin pool, and %s/%s is none", request->vg,
                 request->lv);
    return NULL;
  }
  return lv ? open_lv(group, request, lv, 0, error) : NULL;
}
