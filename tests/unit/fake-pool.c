/* virt-thin - a VolumeGroup for tests of the D-Bus layer
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "fake-pool.h"

#include "pool/remote/wire.h"

gboolean fake_pool_note(VolumeGroup *group, const char *format, ...)
{
  FakePool *fake = (FakePool *)group;
  va_list args;

  g_mutex_lock(&fake->lock);
  g_free(fake->asked);
  va_start(args, format);
  fake->asked = g_strdup_vprintf(format, args);
  va_end(args);
  g_mutex_unlock(&fake->lock);
  return TRUE;
}

static gboolean outcome(VolumeGroup *group, GError **error)
{
  int fail = ((FakePool *)group)->fail;

  return !fail || vt_set_error(error, fail, "vg0/x: it \"fails\" with %d: é", fail);
}

static GStrv strv(const char *a, const char *b)
{
  const char *const list[] = {a, b, NULL};

  return g_strdupv((char **)list);
}

PoolVolumeInfo *fake_pool_make_volume(guint i)
{
  PoolVolumeInfo *info = g_new0(PoolVolumeInfo, 1);

  info->vg = g_strdup(FAKE_POOL_VG);
  info->name = g_strdup_printf("vm-%u-disk-0", 100 + i);
  info->uuid = g_strdup("AbCdEf-0000-1111-2222-3333-4444-567890");
  info->kind = i % 2 ? POOL_VOLUME_LINEAR : POOL_VOLUME_THIN;
  info->vmid = i % 3 ? (gint64)100 + i : -1;
  info->size = G_MAXUINT64 - i;
  info->mapped = i % 5 ? 65536u * i : G_MAXUINT64;
  info->device_id = (1u << 24) - 1 - i;
  info->creation_time = 1700000000u + i;
  if (i % 2 == 0) {
    info->pool = g_strdup("data");
    info->origin = g_strdup("base-9-disk-0");
    info->snapshot_of = g_strdup("vm-1");
    info->snapshot_name = g_strdup("before");
    info->path = g_strdup("/dev/vg0/vm");
    info->damage = g_strdup("block 148 is damaged");
    info->tags = strv("pve-vm-100", "a:b");
  }
  info->read_only = i % 4 == 0;
  info->active = i % 4 == 1;
  info->path_is_block = i % 4 == 2;
  return info;
}

PoolInfo *fake_pool_make_info(void)
{
  PoolInfo *info = g_new0(PoolInfo, 1);

  info->vg = g_strdup(FAKE_POOL_VG);
  info->name = g_strdup("data");
  info->uuid = g_strdup("uuid");
  info->size = 1;
  info->used = 2;
  info->metadata_size = 3;
  info->metadata_used = 4;
  info->chunk_size = 65536;
  info->virtual_size = 6;
  info->transaction_id = 7;
  info->n_volumes = 8;
  info->needs_check = TRUE;
  info->metadata_spare = 10;
  info->max_size = 11;
  info->grows_at = 80;
  info->grows_by = 20;
  info->unwatched = g_strdup("nobody does");
  info->active = TRUE;
  info->health = g_strdup("transaction id is 9, expected 7");
  return info;
}

PoolVgInfo *fake_pool_make_vg(void)
{
  PoolVgInfo *info = g_new0(PoolVgInfo, 1);

  info->name = g_strdup(FAKE_POOL_VG);
  info->uuid = g_strdup("vg-uuid");
  info->extent_size = 4 << 20;
  info->size = G_MAXUINT64;
  info->free = 12;
  info->seqno = 13;
  info->metadata_area_used = 14;
  info->metadata_area_size = 15;
  info->devices = strv("/a", "/b\xff"
                             "c"); /* not UTF-8 */
  info->served_by = g_strdup("virt-thin service, pid 123");
  return info;
}

static gboolean fake_close(VolumeGroup *group, GError **error)
{
  return TRUE;
}

static PoolVgInfo *fake_get_vg_info(VolumeGroup *group, GError **error)
{
  return fake_pool_note(group, "get_vg_info") && outcome(group, error) ? fake_pool_make_vg() : NULL;
}

static GPtrArray *fake_list_pools(VolumeGroup *group, GError **error)
{
  GPtrArray *pools = g_ptr_array_new_with_free_func((GDestroyNotify)pool_info_free);

  fake_pool_note(group, "list_pools");
  g_ptr_array_add(pools, fake_pool_make_info());
  g_ptr_array_add(pools, fake_pool_make_info());
  return pools;
}

static PoolInfo *fake_get_info(VolumeGroup *group, const char *thin_pool, GError **error)
{
  g_atomic_int_inc(&((FakePool *)group)->n_infos);
  return fake_pool_note(group, "get_info %s", thin_pool ? thin_pool : "NULL") &&
                 outcome(group, error)
             ? fake_pool_make_info()
             : NULL;
}

static GPtrArray *fake_list_volumes(VolumeGroup *group, const char *thin_pool, GError **error)
{
  GPtrArray *volumes = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);

  fake_pool_note(group, "list_volumes %s", thin_pool ? thin_pool : "NULL");
  for (guint i = 0; i < ((FakePool *)group)->n_volumes; i++)
    g_ptr_array_add(volumes, fake_pool_make_volume(i));
  return volumes;
}

static PoolVolumeInfo *fake_get_volume(VolumeGroup *group, const char *name, GError **error)
{
  PoolVolumeInfo *info;

  if (!fake_pool_note(group, "get_volume %s", name) || !outcome(group, error))
    return NULL;
  info = fake_pool_make_volume(2);
  g_free(info->name);
  info->name = g_strdup(name);
  return info;
}

static gboolean fake_count_volume(VolumeGroup *group, const char *name, guint64 *exclusive,
                                  guint64 *shared, GError **error)
{
  *exclusive = 1;
  *shared = G_MAXUINT64;
  return fake_pool_note(group, "count_volume %s", name);
}

/* "Snapshot ('v', 's')": a change is noted as it travels. */
static gboolean fake_change(VolumeGroup *group, const PoolChange *change, GError **error)
{
  g_autoptr(GVariant) wire = g_variant_ref_sink(pool_wire_from_change(change, NULL));
  g_autofree char *text = g_variant_print(wire, FALSE);
  FakePool *fake = (FakePool *)group;

  fake_pool_note(group, "%s %s", pool_changes[change->kind].method, text);
  if (change->kind == POOL_SNAPSHOT) {
    g_mutex_lock(&fake->lock);
    fake->hanging++;
    g_cond_broadcast(&fake->changed);
    while (fake->hang)
      g_cond_wait(&fake->changed, &fake->lock);
    fake->hanging--;
    g_mutex_unlock(&fake->lock);
  }
  return outcome(group, error);
}

static PoolUsage *fake_usage(VolumeGroup *group, const char *thin_pool, const char *const *chosen,
                             GError **error)
{
  PoolUsage *usage = g_new0(PoolUsage, 1);
  g_autofree char *names = chosen ? g_strjoinv(",", (char **)chosen) : g_strdup("all");
  const PoolVolumeUsage volume = {g_strdup("v"), 3, TRUE, G_MAXUINT64, 5};

  *usage = (PoolUsage){.pool = g_strdup("data"), .used = 1, .mapped = 2, .strays = 3, .freed = 4};
  usage->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_usage_free);
  g_ptr_array_add(usage->volumes, g_memdup2(&volume, sizeof volume));
  if (fake_pool_note(group, "usage %s of %s", names, thin_pool ? thin_pool : "NULL"))
    return usage;
  pool_usage_free(usage);
  return NULL;
}

static gboolean fake_check(VolumeGroup *group, const char *thin_pool,
                           const PoolCheckOptions *options, GPtrArray **errors, GPtrArray **leaks,
                           GError **error)
{
  *errors = g_ptr_array_new_with_free_func(g_free);
  *leaks = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(*errors, g_strdup("block 148: checksum"));
  g_ptr_array_add(*errors, g_strdup("device 3: 0-65536"));
  g_ptr_array_add(*leaks, g_strdup("chunk 1500"));
  if (((FakePool *)group)->leak)
    g_ptr_array_add(*leaks, g_strnfill(((FakePool *)group)->leak, '1'));
  return fake_pool_note(group, "check %s%s", thin_pool ? thin_pool : "NULL",
                        options->quick ? " quickly" : "");
}

static gboolean fake_activate(VolumeGroup *group, const char *thin_pool, GError **error)
{
  return fake_pool_note(group, "activate %s", thin_pool ? thin_pool : "NULL") &&
         outcome(group, error);
}

static gboolean fake_activate_alone(VolumeGroup *group, const char *thin_pool, GError **error)
{
  return fake_pool_note(group, "activate %s alone", thin_pool) && outcome(group, error);
}

static gboolean fake_deactivate(VolumeGroup *group, const char *thin_pool, gboolean force,
                                GError **error)
{
  return fake_pool_note(group, "deactivate %s %d", thin_pool ? thin_pool : "NULL", force) &&
         outcome(group, error);
}

static gboolean fake_commit(VolumeGroup *group, GError **error)
{
  return fake_pool_note(group, "commit") && outcome(group, error);
}

const PoolOps fake_pool_ops = {
    .name = "fake",
    .close = fake_close,
    .get_vg_info = fake_get_vg_info,
    .list_pools = fake_list_pools,
    .get_info = fake_get_info,
    .list_volumes = fake_list_volumes,
    .get_volume = fake_get_volume,
    .count_volume = fake_count_volume,
    .change = fake_change,
    .check = fake_check,
    .usage = fake_usage,
    .activate = fake_activate,
    .activate_alone = fake_activate_alone,
    .deactivate = fake_deactivate,
    .commit = fake_commit,
};
