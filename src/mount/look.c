/* virt-thin - what a guest's disk has in it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <blkid.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lvm/store.h"
#include "mount/look.h"

#define SECTOR 512 /* in which libblkid counts, whatever the disk's are */

typedef struct {
  const char *path, *what;
  int fd;
  guint64 size;
  GPtrArray *parts;
} Look;

static void part_free(gpointer data)
{
  MountPart *part = data;

  g_free(part->name);
  g_free(part->type);
  g_free(part->label);
  g_free(part->why);
  g_free(part);
}

static char *copy_value(blkid_probe probe, const char *name)
{
  const char *value = NULL;

  return blkid_probe_lookup_value(probe, name, &value, NULL) == 0 ? g_strdup(value) : NULL;
}

/* NULL: a file system. */
static char *why_not(const char *type, const char *usage)
{
  if (!type)
    return g_strdup("nothing known is on it");
  if (strcmp(type, "crypto_LUKS") == 0 || strcmp(type, "BitLocker") == 0)
    return g_strdup("encrypted: make a clone, open that with cryptsetup, and mount what it shows");
  if (strcmp(type, "LVM2_member") == 0)
    return g_strdup("a physical volume of LVM");
  if (strcmp(type, "swap") == 0)
    return g_strdup("swap space");
  if (g_strcmp0(usage, "raid") == 0)
    return g_strdup("a part of a RAID: make clones of its disks, assemble them with mdadm "
                    "--readonly, and mount that");
  if (g_strcmp0(usage, "filesystem") != 0 || g_str_has_suffix(type, "_member"))
    return g_strdup("no file system that can be mounted");
  return NULL;
}

/* What [@offset, @offset + @size) is. */
static MountPart *add_part(Look *look, char *name, guint64 offset, guint64 size)
{
  MountPart *part = g_new0(MountPart, 1);
  blkid_probe probe = blkid_new_probe();
  g_autofree char *usage = NULL;

  part->name = name;
  part->offset = offset;
  part->size = size;
  if (probe && size > 0 &&
      blkid_probe_set_device(probe, look->fd, (blkid_loff_t)offset, (blkid_loff_t)size) == 0) {
    blkid_probe_enable_superblocks(probe, TRUE);
    blkid_probe_set_superblocks_flags(probe,
                                      BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_USAGE);
    if (blkid_do_safeprobe(probe) == 0) {
      part->type = copy_value(probe, "TYPE");
      part->label = copy_value(probe, "LABEL");
      usage = copy_value(probe, "USAGE");
    }
  }
  part->why = why_not(part->type, usage);
  if (probe)
    blkid_free_probe(probe);
  g_ptr_array_add(look->parts, part);
  return part;
}

/* --- partitions --- */

static void add_partition(Look *look, blkid_partition partition)
{
  guint64 offset = (guint64)blkid_partition_get_start(partition) * SECTOR,
          size = (guint64)blkid_partition_get_size(partition) * SECTOR;
  MountPart *part;

  if (blkid_partition_is_extended(partition) || offset >= look->size)
    return;
  part = add_part(look, g_strdup_printf("%d", blkid_partition_get_partno(partition)), offset,
                  MIN(size, look->size - offset));
  if (!part->label || !*part->label) {
    g_free(part->label);
    part->label = g_strdup(blkid_partition_get_name(partition));
  }
}

/* FALSE: no table with partitions if sectors are of that size. */
static gboolean add_partitions(Look *look, guint sector_size)
{
  blkid_probe probe = blkid_new_probe();
  blkid_partlist list = NULL;
  int n = 0;

  if (probe && blkid_probe_set_device(probe, look->fd, 0, 0) == 0) {
    blkid_probe_set_sectorsize(probe, sector_size);
    blkid_probe_enable_partitions(probe, TRUE);
    list = blkid_probe_get_partitions(probe);
  }
  if (list)
    n = blkid_partlist_numof_partitions(list);
  for (int i = 0; i < n; i++)
    add_partition(look, blkid_partlist_get_partition(list, i));
  if (probe)
    blkid_free_probe(probe);
  return n > 0;
}

/* --- LVM in it --- */

static char *pv_path(Look *look, const MountPart *part)
{
  return g_strdup_printf("%s, partition %s", look->what, part->name);
}

static const MountPart *find_pv(Look *look, const char *path)
{
  for (guint i = 0; i < look->parts->len; i++) {
    g_autofree char *its = pv_path(look, look->parts->pdata[i]);

    if (strcmp(its, path) == 0)
      return look->parts->pdata[i];
  }
  return NULL;
}

/* An LvmOpenFunc, for paths that are pv_path()s. */
static VtIo *open_pv(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  Look *look = user_data;
  const MountPart *part = find_pv(look, path);
  g_autoptr(VtIo) whole = part ? vt_io_open_file(look->path, TRUE, error) : NULL;

  if (!part)
    vt_set_error(error, ENOENT, "%s is not there", path);
  return whole ? vt_io_new_part(whole, path, part->offset, part->size) : NULL;
}

/* The partition that is PV @uuid of @scans; NULL: none is. */
static const MountPart *find_pv_by_uuid(Look *look, GPtrArray *scans, const char *uuid)
{
  for (guint i = 0; i < scans->len; i++) {
    LvmScan *scan = scans->pdata[i];

    if (strcmp(scan->pv_uuid, uuid) == 0)
      return find_pv(look, scan->path);
  }
  return NULL;
}

static void add_lv(Look *look, GPtrArray *scans, LvmVg *vg, LvmLv *lv)
{
  char *name = g_strdup_printf("%s/%s", lvm_vg_name(vg), lvm_lv_name(lv));
  const MountPart *pv_part = NULL;
  MountPart *part;
  guint64 offset;
  LvmPv *pv;

  if (lvm_lv_find_run(vg, lv, &pv, &offset))
    pv_part = find_pv_by_uuid(look, scans, lvm_pv_uuid(pv));
  if (pv_part && offset <= pv_part->size && lvm_lv_size(lv) <= pv_part->size - offset) {
    add_part(look, name, pv_part->offset + offset, lvm_lv_size(lv));
    return;
  }
  part = add_part(look, name, 0, 0);
  part->size = lvm_lv_size(lv);
  g_free(part->why);
  part->why =
      g_strdup_printf("%s, in several pieces or on other disks: make clones of all of them, "
                      "and activate it with lvm2",
                      lvm_lv_segment_type(lv));
}

static void add_vg(Look *look, LvmProbe *probe, GPtrArray *scans, const char *name)
{
  LvmVg *vg = lvm_probe_vg(probe, name, NULL);
  g_autoptr(GPtrArray) lvs = vg ? lvm_vg_lvs(vg) : NULL;

  for (guint i = 0; lvs && i < lvs->len; i++)
    if (lvm_lv_is_visible(lvs->pdata[i]) && lvm_lv_kind(lvs->pdata[i]) != LVM_LV_THIN_POOL)
      add_lv(look, scans, vg, lvs->pdata[i]);
}

static void add_vgs(Look *look, LvmProbe *probe)
{
  g_autoptr(GPtrArray) scans = lvm_probe_list(probe, NULL);
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; i < scans->len; i++) {
    LvmScan *scan = scans->pdata[i];
    MountPart *part = (MountPart *)find_pv(look, scan->path);

    if (part && scan->vg_name) {
      g_free(part->why);
      part->why = g_strdup_printf("a physical volume of %s", scan->vg_name);
    }
  }
  for (guint i = 0; i < scans->len; i++) {
    LvmScan *scan = scans->pdata[i];

    if (scan->vg_name && g_hash_table_add(seen, scan->vg_name))
      add_vg(look, probe, scans, scan->vg_name);
  }
}

static void add_logical_volumes(Look *look)
{
  g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(LvmProbe) probe = NULL;

  for (guint i = 0; i < look->parts->len; i++)
    if (g_strcmp0(((MountPart *)look->parts->pdata[i])->type, "LVM2_member") == 0)
      g_ptr_array_add(paths, pv_path(look, look->parts->pdata[i]));
  if (paths->len == 0)
    return;
  g_ptr_array_add(paths, NULL);
  probe = lvm_probe((const char *const *)paths->pdata, NULL, open_pv, look);
  add_vgs(look, probe);
}

/* --- all of it --- */

GPtrArray *mount_look(const char *path, const char *what, guint sector_size, GError **error)
{
  Look look = {.path = path, .what = what, .fd = open(path, O_RDONLY | O_CLOEXEC)};
  off_t size = look.fd == -1 ? -1 : lseek(look.fd, 0, SEEK_END);

  if (size == -1) {
    vt_set_errno(error, errno, "%s: cannot look for what is in it (%s)", what, path);
    if (look.fd != -1)
      close(look.fd);
    return NULL;
  }
  look.size = (guint64)size;
  look.parts = g_ptr_array_new_with_free_func(part_free);
  /* A table's places are counted in the sectors of who made it: another's cannot be mistaken for
   * it. */
  if (!add_partitions(&look, sector_size ? sector_size : SECTOR) &&
      !add_partitions(&look, SECTOR) && !add_partitions(&look, 4096))
    add_part(&look, g_strdup("0"), 0, look.size);
  add_logical_volumes(&look);
  close(look.fd);
  return look.parts;
}

/* --- choosing --- */

static char *list_parts(GPtrArray *parts)
{
  GString *text = g_string_new(NULL);
  int width = strlen("PARTITION");

  for (guint i = 0; i < parts->len; i++)
    width = MAX(width, (int)strlen(((MountPart *)parts->pdata[i])->name));
  g_string_append_printf(text, "  %-*s %12s  %-12s %s", width, "PARTITION", "SIZE", "TYPE",
                         "LABEL");
  for (guint i = 0; i < parts->len; i++) {
    const MountPart *part = parts->pdata[i];
    g_autofree char *size = cli_size(part->size);

    g_string_append_printf(text, "\n  %-*s %12s  %-12s %s", width, part->name, size,
                           part->type ? part->type : "-", part->label ? part->label : "");
    if (part->why)
      g_string_append_printf(text, "%s(%s)", part->label && *part->label ? " " : "", part->why);
    while (text->str[text->len - 1] == ' ')
      g_string_truncate(text, text->len - 1);
  }
  return g_string_free(text, FALSE);
}

static const MountPart *choose_only(GPtrArray *parts, const char *what, GError **error)
{
  g_autofree char *list = list_parts(parts);
  const MountPart *found = NULL;
  guint n = 0;

  for (guint i = 0; i < parts->len; i++)
    if (!((MountPart *)parts->pdata[i])->why) {
      found = parts->pdata[i];
      n++;
    }
  if (n == 1)
    return found;
  if (n == 0)
    vt_set_error(error, ENOENT, "%s has no file system that can be mounted:\n%s", what, list);
  else
    vt_set_error(error, EINVAL,
                 "%s has %u file systems: choose one with --partition (%s, say):\n%s", what, n,
                 found->name, list);
  return NULL;
}

const MountPart *mount_choose(GPtrArray *parts, const char *what, const char *wanted,
                              GError **error)
{
  g_autofree char *list = NULL;

  if (!wanted)
    return choose_only(parts, what, error);
  for (guint i = 0; i < parts->len; i++) {
    const MountPart *part = parts->pdata[i];

    if (strcmp(part->name, wanted) != 0)
      continue;
    if (!part->why)
      return part;
    vt_set_error(error, EINVAL, "partition %s of %s cannot be mounted: %s", wanted, what,
                 part->why);
    return NULL;
  }
  list = list_parts(parts);
  vt_set_error(error, ENOENT, "%s has no partition %s:\n%s", what, wanted, list);
  return NULL;
}
