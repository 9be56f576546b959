/* virt-thin - a volume group as a stream: what is sent
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The text is that of after the snapshots were taken, so it is of the same time as they are; if
 * volumes came or went meanwhile, all of it is done again. Who has opened the volume group in its
 * own process has it alone, and needs no snapshots.
 */
#include <string.h>

#include "archive/archive-private.h"
#include "cli/cli.h"
#include "lvm/store.h"
#include "pool/rules.h"
#include "pool/temporary.h"
#include "util/block-users.h"
#include "util/error.h"

#define ATTEMPTS 5
#define WAIT_US (G_USEC_PER_SEC / 10)
#define WAITS 100 /* for a change under way */

static void volume_free(gpointer data)
{
  ArchiveVolume *volume = data;

  g_free(volume->name);
  g_free(volume->read);
  g_free(volume->pool);
  g_free(volume);
}

/* --- the text --- */

static gboolean is_quiet(LvmVg *vg)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  for (guint i = 0; i < lvs->len; i++) {
    g_autoptr(GArray) messages = lvm_pool_messages(lvs->pdata[i]);

    if (messages->len)
      return FALSE;
  }
  return TRUE;
}

static LvmVg *read_text(ArchiveSource *source, GError **error)
{
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(source->group, error);

  for (guint i = 0; info; i++) {
    g_autoptr(LvmProbe) probe = lvm_probe((const char *const *)info->devices, NULL, NULL, NULL);
    LvmVg *vg = lvm_probe_vg(probe, info->name, error);

    source->files = TRUE;
    for (char **path = info->devices; *path; path++)
      source->files &= g_file_test(*path, G_FILE_TEST_IS_REGULAR);
    if (!vg || is_quiet(vg) || i == WAITS)
      return vg ? lvm_vg_copy(vg) : NULL;
    g_usleep(WAIT_US); /* a change is between its commits */
  }
  return NULL;
}

/* --- snapshots, for as long as it takes --- */

/* Those of an archive, and whatever else is for one use. */
static gboolean is_temporary(LvmLv *lv)
{
  return lvm_lv_has_tag(lv, POOL_TEMPORARY_TAG) && pool_rules_is_temporary_name(lvm_lv_name(lv));
}

static void remove_snapshots(VolumeGroup *group, GPtrArray *names)
{
  g_autoptr(GError) error = NULL;

  if (names->len == 0)
    return;
  g_ptr_array_add(names, NULL);
  if (!pool_remove(group, (const char *const *)names->pdata, FALSE, &error))
    cli_warn("the snapshots that were taken for the archive could not be removed (%s); the next "
             "archive removes them",
             error->message);
}

/* Ours, of one thin pool. */
static void clean_pool(ArchiveSource *source, LvmVg *vg, const char *pool)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg), names = g_ptr_array_new();

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (is_temporary(lv) && g_str_has_suffix(lvm_lv_name(lv), source->snapshot) &&
        pool_rules_is_in_pool(lv, pool))
      g_ptr_array_add(names, (gpointer)lvm_lv_name(lv));
  }
  remove_snapshots(source->group, names);
}

static void clean(ArchiveSource *source)
{
  g_autoptr(LvmVg) vg = read_text(source, NULL);
  g_autoptr(GPtrArray) lvs = vg ? lvm_vg_lvs(vg) : g_ptr_array_new();

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL)
      clean_pool(source, vg, lvm_lv_name(lvs->pdata[i]));
}

static gboolean needs_snapshot(ArchiveSource *source, LvmLv *lv)
{
  return lvm_lv_kind(lv) == LVM_LV_THIN && lvm_lv_is_visible(lv) && lvm_lv_is_writable(lv) &&
         !is_temporary(lv) && pool_get_holder(source->group) != POOL_HOLDER_BUNDLED;
}

/* *taken counts the thin pools in which there is something to be taken. */
static gboolean snapshot_pool(ArchiveSource *source, LvmVg *vg, const char *pool, guint *taken,
                              GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg), names = g_ptr_array_new();

  for (guint i = 0; i < lvs->len; i++)
    if (needs_snapshot(source, lvs->pdata[i]) && strcmp(lvm_thin_pool(lvs->pdata[i]), pool) == 0)
      g_ptr_array_add(names, (gpointer)lvm_lv_name(lvs->pdata[i]));
  if (names->len == 0)
    return TRUE;
  g_ptr_array_add(names, NULL);
  ++*taken;
  return pool_snapshot_group(source->group, (const char *const *)names->pdata, source->snapshot,
                             error);
}

static gboolean take_snapshots(ArchiveSource *source, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autoptr(GPtrArray) lvs = NULL;

  source->n_instants = 0;
  clean(source);
  vg = read_text(source, error);
  if (!vg || !lvm_vg_check_like(vg, error))
    return FALSE;
  lvs = lvm_vg_lvs(vg);
  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL &&
        !snapshot_pool(source, vg, lvm_lv_name(lvs->pdata[i]), &source->n_instants, error))
      return FALSE;
  return TRUE;
}

/* --- volumes --- */

static gboolean check_linear(ArchiveSource *source, const char *name, const ArchiveOptions *options,
                             GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(source->group, name, error);
  g_autoptr(BlockScan) scan = NULL;
  g_autofree char *user = NULL;

  if (!info)
    return FALSE;
  if (options->open_linear || !info->path)
    return TRUE;
  scan = block_scan_new();
  user = info->path_is_block ? block_scan_user(scan, info->path)
                             : block_scan_file_opener(scan, info->path);
  return !user ||
         vt_set_error(error, EBUSY,
                      "linear volume %s/%s is in use by %s, and of a linear volume there is no "
                      "snapshot: end that, or take it as it is read with --open-linear",
                      info->vg, name, user);
}

/* FALSE: it has no snapshot although it needs one, for it is new. */
static gboolean add_volume(ArchiveSource *source, LvmVg *vg, LvmLv *lv, GPtrArray *volumes)
{
  ArchiveVolume *volume = g_new0(ArchiveVolume, 1);
  g_autofree char *snapshot = g_strdup_printf("snap_%s_%s", lvm_lv_name(lv), source->snapshot);

  g_ptr_array_add(volumes, volume);
  volume->name = g_strdup(lvm_lv_name(lv));
  volume->size = lvm_lv_size(lv);
  volume->base = -1;
  volume->data = volume->size;
  volume->ours = needs_snapshot(source, lv);
  volume->read = g_strdup(volume->ours ? snapshot : volume->name);
  if (lvm_lv_kind(lv) != LVM_LV_THIN)
    return TRUE;
  volume->pool = g_strdup(lvm_thin_pool(lv));
  volume->device = lvm_thin_device(lv);
  volume->transaction_id = lvm_thin_transaction_id(lv);
  return !volume->ours || lvm_vg_find_lv(vg, snapshot);
}

/* Those of the text, as it is now; in source->vg what is to be sent of it. */
static gboolean find_volumes(ArchiveSource *source, gboolean *again, GError **error)
{
  g_autoptr(GPtrArray) volumes = g_ptr_array_new_with_free_func(volume_free), lvs = NULL;
  g_autoptr(LvmVg) vg = read_text(source, error), sent = vg ? lvm_vg_copy(vg) : NULL;

  if (!vg)
    return FALSE;
  lvs = lvm_vg_lvs(vg);
  for (guint i = 0; i < lvs->len && !*again; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (!lvm_lv_is_visible(lv) || lvm_lv_kind(lv) == LVM_LV_THIN_POOL)
      continue;
    if (!is_temporary(lv))
      *again = !add_volume(source, vg, lv, volumes);
    else if (!lvm_vg_remove_lv(sent, lvm_vg_find_lv(sent, lvm_lv_name(lv)), error))
      return FALSE;
  }
  if (*again)
    return TRUE;
  g_clear_pointer(&source->vg, lvm_vg_free);
  g_clear_pointer(&source->volumes, g_ptr_array_unref);
  source->vg = g_steal_pointer(&sent);
  source->volumes = g_steal_pointer(&volumes);
  return lvm_vg_check_like(source->vg, error);
}

static gboolean find_pools(ArchiveSource *source, GError **error)
{
  g_autoptr(GPtrArray) pools = pool_list_pools(source->group, error);
  GVariantBuilder builder;

  if (!pools)
    return FALSE;
  g_variant_builder_init(&builder, G_VARIANT_TYPE("a(stt)"));
  for (guint i = 0; i < pools->len; i++) {
    const PoolInfo *info = pools->pdata[i];

    if (info->used != G_MAXUINT64 && info->metadata_used != G_MAXUINT64)
      g_variant_builder_add(&builder, "(stt)", info->name, info->used, info->metadata_used);
  }
  source->pools = g_variant_ref_sink(g_variant_builder_end(&builder));
  return TRUE;
}

static gboolean survey(ArchiveSource *source, const ArchiveOptions *options, GError **error)
{
  gboolean again = TRUE;

  for (guint i = 0; again && i < ATTEMPTS; i++) {
    again = FALSE;
    if (!take_snapshots(source, error) || !find_volumes(source, &again, error))
      return FALSE;
  }
  if (again)
    return vt_set_error(error, EBUSY, "its volumes change all the time: try again later");
  if (source->n_instants > 1)
    cli_warn("the volumes are of %u thin pools: those of each pool are archived as they were at "
             "one instant, not all together",
             source->n_instants);
  for (guint i = 0; i < source->volumes->len; i++) {
    const ArchiveVolume *volume = source->volumes->pdata[i];

    if (!volume->pool && !check_linear(source, volume->name, options, error))
      return FALSE;
  }
  return find_pools(source, error);
}

ArchiveSource *archive_source_new(VolumeGroup *group, const ArchiveOptions *options, GError **error)
{
  g_autoptr(ArchiveSource) source = g_new0(ArchiveSource, 1);
  g_autofree char *suffix = pool_temporary_suffix();

  source->group = group;
  source->snapshot = g_strconcat("archive_", suffix, NULL);
  pool_temporary_clean(group); /* of an archive that was killed */
  return survey(source, options, error) && archive_choose_bases(source, error)
             ? g_steal_pointer(&source)
             : NULL;
}

void archive_source_free(ArchiveSource *source)
{
  if (!source)
    return;
  if (pool_get_holder(source->group) != POOL_HOLDER_BUNDLED)
    clean(source);
  g_clear_pointer(&source->vg, lvm_vg_free);
  g_clear_pointer(&source->volumes, g_ptr_array_unref);
  g_clear_pointer(&source->pools, g_variant_unref);
  g_free(source->snapshot);
  g_free(source);
}
