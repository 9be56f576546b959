/* virt-thin - the rules that are virt-thin's own: names, snapshots, limits
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/pool-rules.h"

#include <string.h>

#include "util/size.h"

#define SNAPSHOT_PREFIX "snap_"
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
  if (end == digits || end[0] != '-' || !end[1] || end - digits > 18 || !pool_rules_is_proxmox_name(name))
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

  if (!g_str_has_prefix(name, SNAPSHOT_PREFIX))
    return NULL;
  name += strlen(SNAPSHOT_PREFIX);
  if (strncmp(name, volume, length) != 0 || name[length] != '_' || !name[length + 1])
    return NULL;
  return name + length + 1;
}

gboolean pool_rules_is_snapshot_name(const char *name, const char *origin)
{
  return snapshot_part(name, origin) != NULL;
}

char *pool_rules_snapshot_name(const char *volume, const char *snapshot, GError **error)
{
  g_autofree char *name = g_strconcat(SNAPSHOT_PREFIX, volume, "_", snapshot, NULL);

  if (!*snapshot) {
    vt_set_error(error, EINVAL, "a snapshot of %s needs a name: it becomes " SNAPSHOT_PREFIX "%s_NAME", volume, volume);
    return NULL;
  }
  return lvm_name_check(name, error) ? g_steal_pointer(&name) : NULL;
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
  return !lvm_lv_is_writable(lv) || (lvm_lv_has_flag(lv, POOL_SKIP_FLAG) && snapshot_part(name, origin));
}

gboolean pool_rules_snapshot_of(LvmLv *lv, char **volume, char **snapshot)
{
  g_autofree char *tagged = NULL;
  const char *origin, *of, *part;

  if (lvm_lv_kind(lv) != LVM_LV_THIN)
    return FALSE;
  origin = lvm_thin_origin(lv);
  tagged = pool_rules_vmid(lvm_lv_name(lv)) >= 0 ? NULL : tagged_volume(lv);
  if (!tagged && (!origin || !is_foreign_snapshot(lv, origin)))
    return FALSE;
  of = origin ? origin : tagged;
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

/* By short name first: a snapshot "s1" is meant even where some other snapshot's LV has that name. */
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
  vt_set_error(error, ENOENT, "volume %s/%s has no snapshot \"%s\"; it has %s", lvm_vg_name(vg), volume, safe,
               snapshots->len ? known : "none");
  return NULL;
}

gboolean pool_rules_extents(const char *what, guint64 size, guint64 extent_size, guint64 *n_extents, GError **error)
{
  guint64 extents = size / extent_size + (size % extent_size != 0);
  g_autofree char *limit = NULL, *asked = NULL;
  guint64 most = MIN((guint64)G_MAXUINT32, G_MAXINT64 / extent_size);

  if (size == 0)
    return vt_set_error(error, EINVAL, "%s cannot have a size of 0: give at least one byte (rounded up to an extent)",
                        what);
  if (extents > most) {
    asked = vt_size_format(size);
    limit = vt_size_format(most * extent_size);
    return vt_set_error(error, EINVAL,
                        "%s cannot have a size of %s: LVM addresses at most %s with this volume group's extents", what,
                        asked, limit);
  }
  *n_extents = extents;
  return TRUE;
}

gboolean pool_rules_check_overcommit(const char *vg, const char *pool, guint64 virtual_size, guint64 pool_size,
                                     double limit, GError **error)
{
  g_autofree char *sum = NULL, *size = NULL;

  if (limit <= 0 || (double)virtual_size <= limit * (double)pool_size)
    return TRUE;
  sum = vt_size_format(virtual_size);
  size = vt_size_format(pool_size);
  return vt_set_error(error, EPERM,
                      "thin pool %s/%s would be overcommitted: volumes of %s on %s, over the limit of %g times. "
                      "Grow the pool, remove volumes, or raise [limits] overcommit in virt-thin.conf",
                      vg, pool, sum, size, limit);
}

gboolean pool_rules_tell_overcommit(LvmVg *vg, LvmLv *pool, gboolean told)
{
  guint64 sum = pool_rules_virtual_size(vg, lvm_lv_name(pool), NULL), size = lvm_lv_size(pool);
  g_autofree char *sum_text = vt_size_format(sum), *size_text = vt_size_format(size);

  if (sum > size && !told)
    g_message("thin pool %s/%s is overcommitted %.2f times: its volumes add up to %s, it holds %s", lvm_vg_name(vg),
              lvm_lv_name(pool), (double)sum / (double)size, sum_text, size_text);
  return sum > size;
}

/* --- what both implementations see in the VG's text --- */

gboolean pool_rules_is_volume(LvmLv *lv)
{
  return lvm_lv_is_visible(lv) && lvm_lv_kind(lv) != LVM_LV_THIN_POOL;
}

guint64 pool_rules_virtual_size(LvmVg *vg, const char *pool, guint *n_volumes)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  guint64 size = 0;
  guint n = 0;

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (lvm_lv_kind(lv) != LVM_LV_THIN || strcmp(lvm_thin_pool(lv), pool) != 0)
      continue;
    size += lvm_lv_size(lv);
    n++;
  }
  if (n_volumes)
    *n_volumes = n;
  return size;
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

    if (!lvm_tag_check(tags[i], error))
      return FALSE;
    if (g_str_has_prefix(tags[i], POOL_OWN_TAGS))
      return vt_set_error(error, EPERM, "tag %s is virt-thin's own, which follows volumes and snapshots by itself",
                          shown);
  }
  return TRUE;
}
