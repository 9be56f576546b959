/* virt-thin - the rules that are virt-thin's own: names, snapshots, limits
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/rules.h"
#include "util/name.h"

#include <string.h>

#include "pool/health.h"
#include "util/size.h"

#define OWNER_TAG "pve-vm-"

gboolean pool_rules_is_proxmox_name(const char *name)
{
  gsize length = strlen(name);

  if (length < 2 || !g_ascii_isalnum(name[0]) || !g_ascii_isalnum(name[length - 1]))
    return FALSE;
  for (const char *p = name; *p; p++)
    if (!g_ascii_isalnum(*p) && !strchr("._-", *p))
      return FALSE;
  return TRUE;
}

gint64 pool_rules_vmid(const char *name)
{
  const char *digits, *end;
  guint64 vmid;
  char *p;

  if (g_str_has_prefix(name, "vm-"))
    digits = name + 3;
  else if (g_str_has_prefix(name, "base-"))
    digits = name + 5;
  else
    return -1;
  for (end = digits; g_ascii_isdigit(*end); end++)
    ;
  if (end == digits || end[0] != '-' || !end[1] || end - digits > 18 ||
      !pool_rules_is_proxmox_name(name))
    return -1;
  vmid = g_ascii_strtoull(digits, &p, 10);
  return p == end ? (gint64)vmid : -1;
}

gboolean pool_rules_is_sealed(LvmLv *lv)
{
  return !lvm_lv_is_writable(lv) && lvm_lv_has_flag(lv, POOL_SKIP_FLAG);
}

gboolean pool_rules_is_template_name(const char *name)
{
  return g_str_has_prefix(name, "base-") && pool_rules_vmid(name) >= 0;
}

/* The part of snap_<volume>_<rest> after @volume; NULL: no such name. */
static const char *snapshot_part(const char *name, const char *volume)
{
  gsize length = strlen(volume);

  if (!g_str_has_prefix(name, POOL_SNAPSHOT_PREFIX))
    return NULL;
  name += strlen(POOL_SNAPSHOT_PREFIX);
  if (strncmp(name, volume, length) != 0 || name[length] != '_' || !name[length + 1])
    return NULL;
  return name + length + 1;
}

gboolean pool_rules_is_snapshot_name(const char *name, const char *origin)
{
  return snapshot_part(name, origin) != NULL;
}

gboolean pool_rules_is_temporary_name(const char *name)
{
  return g_regex_match_simple("_tmp\\.[0-9a-f]{8}\\.[0-9]+\\.[0-9]+$", name, 0, 0);
}

char *pool_rules_snapshot_name(const char *volume, const char *snapshot, GError **error)
{
  g_autofree char *name = g_strconcat(POOL_SNAPSHOT_PREFIX, volume, "_", snapshot, NULL);

  if (!*snapshot) {
    vt_set_error(error, EINVAL,
                 "a snapshot of %s needs a name: it becomes " POOL_SNAPSHOT_PREFIX "%s_NAME",
                 volume, volume);
    return NULL;
  }
  return vt_lv_name_check(name, error) ? g_steal_pointer(&name) : NULL;
}

char *pool_rules_snapshot_tag(const char *volume)
{
  return g_strconcat(POOL_SNAPSHOT_TAG, volume, NULL);
}

static void take_if(GPtrArray *tags, char *tag, gboolean wanted)
{
  if (wanted)
    g_ptr_array_add(tags, tag);
  else
    g_free(tag);
}

static char *owner_tag(gint64 vmid)
{
  return g_strdup_printf(OWNER_TAG "%" G_GINT64_FORMAT, vmid);
}

void pool_rules_rename_tags(LvmLv *lv, const char *new_name, GPtrArray **lost, GPtrArray **gained)
{
  gint64 old = pool_rules_vmid(lvm_lv_name(lv)), new = pool_rules_vmid(new_name);
  g_auto(GStrv) tags = lvm_lv_tags(lv);
  char *tag;

  *lost = g_ptr_array_new_with_free_func(g_free);
  *gained = g_ptr_array_new_with_free_func(g_free);
  if (old >= 0 && old != new) {
    tag = owner_tag(old);
    take_if(*lost, tag, lvm_lv_has_tag(lv, tag));
    tag = owner_tag(new);
    take_if(*gained, tag, new >= 0 && !lvm_lv_has_tag(lv, tag));
  }
  for (guint i = 0; new >= 0 && tags &&tags[i]; i++)
    take_if(*lost, g_strdup(tags[i]), g_str_has_prefix(tags[i], POOL_SNAPSHOT_TAG));
}

static char *tagged_volume(LvmLv *lv)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (guint i = 0; tags && tags[i]; i++)
    if (g_str_has_prefix(tags[i], POOL_SNAPSHOT_TAG) && tags[i][strlen(POOL_SNAPSHOT_TAG)])
      return g_strdup(tags[i] + strlen(POOL_SNAPSHOT_TAG));
  return NULL;
}

static gboolean is_foreign_snapshot(LvmLv *lv, const char *origin)
{
  const char *name = lvm_lv_name(lv);

  if (pool_rules_vmid(name) >= 0)
    return FALSE;
  return !lvm_lv_is_writable(lv) ||
         (lvm_lv_has_flag(lv, POOL_SKIP_FLAG) && snapshot_part(name, origin));
}

static gboolean has_tag_of(LvmLv *lv, const char *prefix)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (guint i = 0; tags && tags[i]; i++)
    if (g_str_has_prefix(tags[i], prefix))
      return TRUE;
  return FALSE;
}

gboolean pool_rules_snapshot_of(LvmLv *lv, char **volume, char **snapshot)
{
  g_autofree char *tagged = NULL;
  const char *origin, *of, *part;
  gboolean received;

  if (lvm_lv_kind(lv) != LVM_LV_THIN)
    return FALSE;
  origin = lvm_thin_origin(lv);
  tagged = pool_rules_vmid(lvm_lv_name(lv)) >= 0 ? NULL : tagged_volume(lv);
  received = has_tag_of(lv, POOL_SOURCE_TAG);
  if (!tagged && (received || !origin || !is_foreign_snapshot(lv, origin)))
    return FALSE;
  of = origin && !received ? origin : tagged;
  if (volume)
    *volume = g_strdup(of);
  if (snapshot) {
    part = snapshot_part(lvm_lv_name(lv), of);
    if (!part && tagged)
      part = snapshot_part(lvm_lv_name(lv), tagged);
    *snapshot = g_strdup(part ? part : lvm_lv_name(lv));
  }
  return TRUE;
}

GPtrArray *pool_rules_list_snapshots(LvmVg *vg, const char *volume)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  GPtrArray *snapshots = g_ptr_array_new();

  for (guint i = 0; i < lvs->len; i++) {
    g_autofree char *of = NULL;

    if (pool_rules_snapshot_of(lvs->pdata[i], &of, NULL) && strcmp(of, volume) == 0)
      g_ptr_array_add(snapshots, lvs->pdata[i]);
  }
  return snapshots;
}

static char *join_snapshot_names(GPtrArray *snapshots)
{
  GString *names = g_string_new(NULL);

  for (guint i = 0; i < snapshots->len && i < 20; i++) {
    g_autofree char *name = NULL;

    pool_rules_snapshot_of(snapshots->pdata[i], NULL, &name);
    g_string_append_printf(names, "%s%s", i ? ", " : "", name);
  }
  if (snapshots->len > 20)
    g_string_append_printf(names, " and %u more", snapshots->len - 20);
  return g_string_free(names, FALSE);
}

/* By short name first: a snapshot "s1" is meant even where some other snapshot's LV has that
 * name. */
LvmLv *pool_rules_find_snapshot(LvmVg *vg, const char *volume, const char *snapshot, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pool_rules_list_snapshots(vg, volume);
  g_autofree char *known = NULL, *safe = NULL;

  for (guint i = 0; i < snapshots->len; i++) {
    g_autofree char *name = NULL;

    pool_rules_snapshot_of(snapshots->pdata[i], NULL, &name);
    if (strcmp(name, snapshot) == 0)
      return snapshots->pdata[i];
  }
  for (guint i = 0; i < snapshots->len; i++)
    if (strcmp(lvm_lv_name(snapshots->pdata[i]), snapshot) == 0)
      return snapshots->pdata[i];
  known = join_snapshot_names(snapshots);
  safe = g_strescape(snapshot, NULL);
  vt_set_error(error, ENOENT, "volume %s/%s has no snapshot \"%s\"; it has %s", lvm_vg_name(vg),
               volume, safe, snapshots->len ? known : "none");
  return NULL;
}

gboolean pool_rules_descends_from(LvmVg *vg, LvmLv *lv, const char *name)
{
  for (guint i = 0; lv && i < 1000; i++) {
    const char *origin = lvm_lv_kind(lv) == LVM_LV_THIN ? lvm_thin_origin(lv) : NULL;

    if (!origin || strcmp(origin, name) == 0)
      return origin != NULL;
    lv = lvm_vg_find_lv(vg, origin);
  }
  return TRUE;
}

/* --- finding things --- */

static LvmLv *only_pool(LvmVg *vg, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  LvmLv *found = NULL;

  for (guint i = 0; i < lvs->len; i++) {
    if (lvm_lv_kind(lvs->pdata[i]) != LVM_LV_THIN_POOL)
      continue;
    if (found) {
      vt_set_error(error, EINVAL, "volume group %s has several thin pools: say which one",
                   lvm_vg_name(vg));
      return NULL;
    }
    found = lvs->pdata[i];
  }
  if (!found)
    vt_set_error(error, ENOENT, "volume group %s has no thin pool", lvm_vg_name(vg));
  return found;
}

LvmLv *pool_rules_find_pool(LvmVg *vg, const char *name, GError **error)
{
  LvmLv *lv = name ? lvm_vg_find_lv(vg, name) : NULL;
  g_autofree char *shown = NULL;

  if (!name)
    return only_pool(vg, error);
  if (lv && lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    return lv;
  shown = pool_show_name(name);
  vt_set_error(error, ENOENT, "volume group %s has no thin pool %s", lvm_vg_name(vg), shown);
  return NULL;
}

LvmLv *pool_rules_find_volume(LvmVg *vg, const char *name, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);
  g_autofree char *shown = NULL;

  if (lv && pool_rules_is_volume(lv))
    return lv;
  shown = pool_show_name(name);
  if (lv && lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
    vt_set_error(error, EINVAL, "%s/%s is a thin pool, not a volume", lvm_vg_name(vg), shown);
  else
    vt_set_error(error, ENOENT, "volume group %s has no volume %s", lvm_vg_name(vg), shown);
  return NULL;
}

LvmLv *pool_rules_find_thin(LvmVg *vg, const char *name, GError **error)
{
  LvmLv *lv = pool_rules_find_volume(vg, name, error);

  if (!lv)
    return NULL;
  if (lvm_lv_kind(lv) != LVM_LV_THIN) {
    vt_set_error(
        error, EOPNOTSUPP,
        "volume %s/%s is in no thin pool (its segments are of type %s): use lvm2's commands on it",
        lvm_vg_name(vg), name, lvm_lv_segment_type(lv));
    return NULL;
  }
  if (lvm_thin_external_origin(lv)) {
    vt_set_error(error, EOPNOTSUPP,
                 "volume %s/%s has the external origin %s, which virt-thin does not read: use "
                 "lvm2's commands on it",
                 lvm_vg_name(vg), name, lvm_thin_external_origin(lv));
    return NULL;
  }
  return lv;
}

LvmLv *pool_rules_find_spare(LvmVg *vg)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  for (guint i = 0; i < lvs->len; i++)
    if (!lvm_lv_is_visible(lvs->pdata[i]) &&
        g_str_has_suffix(lvm_lv_name(lvs->pdata[i]), "_pmspare"))
      return lvs->pdata[i];
  return NULL;
}

gboolean pool_rules_failed(const char *what, const char *vg, const char *thin_pool, GError **error)
{
  g_autofree char *shown = pool_show_name(thin_pool ? thin_pool : "(its thin pool)");

  g_prefix_error(error, "cannot %s thin pool %s/%s: ", what, vg, shown);
  return FALSE;
}

gboolean pool_rules_init_failed(const char *vg, const char *path, GError **error)
{
  g_prefix_error(error, "cannot make volume group %s on %s: ", vg, path);
  return FALSE;
}

gboolean pool_rules_read_only(const char *vg, GError **error)
{
  return vt_set_error(error, EROFS, "volume group %s is open read-only", vg);
}

gboolean pool_rules_in_use(const char *vg, const char *name, const char *user, GError **error)
{
  return vt_set_error(error, EBUSY, "volume %s/%s is in use by %s", vg, name, user);
}

/* --- limits --- */

gboolean pool_rules_extents(const char *what, guint64 size, guint64 extent_size, guint64 *n_extents,
                            GError **error)
{
  guint64 extents = size / extent_size + (size % extent_size != 0);
  g_autofree char *limit = NULL, *asked = NULL;
  guint64 most = MIN((guint64)G_MAXUINT32, G_MAXINT64 / extent_size);

  if (size == 0)
    return vt_set_error(
        error, EINVAL,
        "%s cannot have a size of 0: give at least one byte (rounded up to an extent)", what);
  if (extents > most) {
    asked = vt_size_format(size);
    limit = vt_size_format(most * extent_size);
    return vt_set_error(
        error, EINVAL,
        "%s cannot have a size of %s: LVM addresses at most %s with this volume group's extents",
        what, asked, limit);
  }
  *n_extents = extents;
  return TRUE;
}

gboolean pool_rules_check_overcommit(const char *vg, const char *pool, guint64 virtual_size,
                                     guint64 pool_size, const PoolLimits *limits, GError **error)
{
  g_autofree char *sum = NULL, *size = NULL;

  if (limits->overcommit <= 0 || (double)virtual_size <= limits->overcommit * (double)pool_size)
    return TRUE;
  sum = vt_size_format(virtual_size);
  size = vt_size_format(pool_size);
  return vt_set_error(
      error, EPERM,
      "thin pool %s/%s would be overcommitted: volumes of %s on %s, over the limit of %g times. "
      "Grow the pool, remove volumes, or raise overcommit in virt-thin.conf ([pool %s/%s] or "
      "[limits])",
      vg, pool, sum, size, limits->overcommit, vg, pool);
}

gboolean pool_rules_check_volume(const char *vg, const char *pool, guint64 size, guint64 pool_size,
                                 const PoolLimits *limits, GError **error)
{
  g_autofree char *a = NULL, *b = NULL;

  if (limits->largest_volume <= 0 || size <= limits->usual_volume ||
      (double)size <= limits->largest_volume * (double)pool_size)
    return TRUE;
  a = vt_size_format(size);
  b = vt_size_format(pool_size);
  return vt_set_error(
      error, EPERM,
      "a volume of %s would be more than %g times as large as thin pool %s/%s, which is for %s: "
      "taken for a slip of the unit. If it is meant, raise largest-volume in virt-thin.conf "
      "([pool %s/%s] or [limits])",
      a, limits->largest_volume, vg, pool, b, vg, pool);
}

guint64 pool_rules_available(const PoolInfo *info, guint64 extent_size, const PoolLimits *limits)
{
  double size = (double)info->size, most = (double)(G_MAXUINT32 * extent_size);

  if (!limits->promises)
    return info->size - MIN(info->used, info->size);
  if (limits->overcommit > 0)
    most = MIN(most, MAX(limits->overcommit * size - (double)info->virtual_size, 0));
  if (limits->largest_volume > 0)
    most = MIN(most, MAX(limits->largest_volume * (double)MAX(info->size, info->max_size),
                         (double)limits->usual_volume));
  return MIN((guint64)most, G_MAXINT64) / extent_size * extent_size;
}

char *pool_rules_overcommit_note(const char *vg, const char *pool, guint64 virtual_size,
                                 guint64 pool_size)
{
  g_autofree char *sum = vt_size_format(virtual_size), *size = vt_size_format(pool_size);

  return g_strdup_printf(
      "thin pool %s/%s is overcommitted %.2f times: its volumes add up to %s, it holds %s", vg,
      pool, (double)virtual_size / (double)pool_size, sum, size);
}

/* --- what both implementations see in the VG's text --- */

gboolean pool_rules_is_volume(LvmLv *lv)
{
  return lvm_lv_is_visible(lv) && lvm_lv_kind(lv) != LVM_LV_THIN_POOL;
}

gboolean pool_rules_is_in_pool(LvmLv *lv, const char *pool)
{
  return !pool || (lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), pool) == 0);
}

guint64 pool_rules_virtual_size(LvmVg *vg, const char *pool, guint *n_volumes)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  guint64 size = 0;
  guint n = 0;

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (!pool_rules_is_in_pool(lv, pool))
      continue;
    size += lvm_lv_size(lv);
    n++;
  }
  if (n_volumes)
    *n_volumes = n;
  return size;
}

PoolVgInfo *pool_rules_vg_info(LvmStore *store)
{
  PoolVgInfo *info = g_new0(PoolVgInfo, 1);
  LvmVg *vg = lvm_store_vg(store);

  info->name = g_strdup(lvm_vg_name(vg));
  info->uuid = g_strdup(lvm_vg_uuid(vg));
  info->extent_size = lvm_vg_extent_size(vg);
  info->size = lvm_vg_n_extents(vg) * info->extent_size;
  info->free = lvm_vg_n_free_extents(vg) * info->extent_size;
  info->seqno = lvm_vg_seqno(vg);
  lvm_store_metadata_space(store, &info->metadata_area_used, &info->metadata_area_size);
  info->devices = g_strdupv((GStrv)lvm_store_paths(store));
  info->health = pool_health_of_vg(store);
  return info;
}

PoolInfo *pool_rules_pool_info(LvmVg *vg, LvmLv *pool)
{
  LvmLv *metadata = lvm_vg_find_lv(vg, lvm_pool_metadata(pool)), *spare = pool_rules_find_spare(vg);
  PoolInfo *info = g_new0(PoolInfo, 1);

  info->vg = g_strdup(lvm_vg_name(vg));
  info->name = g_strdup(lvm_lv_name(pool));
  info->uuid = g_strdup(lvm_lv_uuid(pool));
  info->size = lvm_lv_size(pool);
  info->used = info->metadata_used = G_MAXUINT64;
  info->metadata_size = metadata ? lvm_lv_size(metadata) : 0;
  info->metadata_spare = spare ? lvm_lv_size(spare) : 0;
  info->chunk_size = lvm_pool_chunk_size(pool);
  info->zeroes = lvm_pool_zeroes(pool);
  info->virtual_size = pool_rules_virtual_size(vg, info->name, &info->n_volumes);
  info->transaction_id = lvm_pool_transaction_id(pool);
  info->snapshots_left = G_MAXUINT64;
  return info;
}

char *pool_rules_missing_pool(LvmVg *vg, LvmLv *lv)
{
  if (lvm_lv_kind(lv) != LVM_LV_THIN || lvm_vg_find_lv(vg, lvm_thin_pool(lv)))
    return NULL;
  return g_strdup_printf("the volume group has no thin pool %s", lvm_thin_pool(lv));
}

PoolVolumeInfo *pool_rules_volume_info(const char *vg, LvmLv *lv)
{
  PoolVolumeInfo *info = g_new0(PoolVolumeInfo, 1);
  gboolean thin = lvm_lv_kind(lv) == LVM_LV_THIN;

  info->vg = g_strdup(vg);
  info->name = g_strdup(lvm_lv_name(lv));
  info->uuid = g_strdup(lvm_lv_uuid(lv));
  info->kind = thin ? POOL_VOLUME_THIN : POOL_VOLUME_LINEAR;
  info->size = lvm_lv_size(lv);
  info->mapped = info->size;
  info->vmid = pool_rules_vmid(info->name);
  info->read_only = !lvm_lv_is_writable(lv);
  info->skipped = lvm_lv_has_flag(lv, POOL_SKIP_FLAG);
  info->tags = lvm_lv_tags(lv);
  info->creation_time = lvm_lv_creation_time(lv);
  if (thin) {
    info->pool = g_strdup(lvm_thin_pool(lv));
    info->origin = g_strdup(lvm_thin_origin(lv));
    info->device_id = lvm_thin_device(lv);
    pool_rules_snapshot_of(lv, &info->snapshot_of, &info->snapshot_name);
  }
  return info;
}

gboolean pool_rules_check_tags(const char *const *tags, GError **error)
{
  for (guint i = 0; tags && tags[i]; i++) {
    g_autofree char *shown = g_strescape(tags[i], NULL);

    if (!vt_tag_check(tags[i], error))
      return FALSE;
    if (g_str_has_prefix(tags[i], POOL_OWN_TAGS))
      return vt_set_error(
          error, EPERM, "tag %s is virt-thin's own, which follows volumes and snapshots by itself",
          shown);
  }
  return TRUE;
}
