/* virt-thin - finding physical volumes and the volume groups on them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every copy of a VG's text carries a checksum, and several PVs usually carry the same text, so
 * each distinct text is parsed once.
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "lvm/content.h"
#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"

/* Where lvm2 puts the first metadata area (FORMAT pe_align, lib/format_text/format-text.c). */
#define DEFAULT_AREA 4096

/* --- devices --- */

static LvmDevice *device_new(const char *path, VtIo *io)
{
  LvmDevice *device = g_rc_box_new0(LvmDevice);

  device->path = g_strdup(path);
  device->io = io;
  device->areas = g_ptr_array_new_with_free_func((GDestroyNotify)lvm_metadata_area_free);
  device->groups = g_ptr_array_new();
  device->problems = g_ptr_array_new_with_free_func(g_free);
  return device;
}

static void device_clear(gpointer data)
{
  LvmDevice *device = data;

  g_ptr_array_unref(device->areas);
  g_ptr_array_unref(device->groups);
  g_ptr_array_unref(device->problems);
  lvm_label_free(device->label);
  vt_io_unref(device->io);
  vt_io_unref(device->lock);
  g_free(device->path);
}

void lvm_device_free(LvmDevice *device)
{
  if (device)
    g_rc_box_release_full(device, device_clear);
}

LvmDevice *lvm_device_open_locked(const char *path, LvmStore *store, GError **error)
{
  VtIo *lock = vt_io_open_file(path, FALSE, error), *io = NULL;
  LvmOpenFunc open = store ? store->open : NULL;
  LvmDevice *device;

  if (!lock)
    return NULL;
  if (!vt_io_lock(lock, FALSE, store ? store->locks : NULL, error) ||
      (open && !(io = open(path, FALSE, store->user_data, error)))) {
    vt_io_unref(lock);
    return NULL;
  }
  device = device_new(path, io ? io : lock);
  device->lock = io ? lock : NULL;
  return device;
}

static void note(GPtrArray *problems, GError **error)
{
  g_ptr_array_add(problems, g_strdup((*error)->message));
  g_clear_error(error);
}

static void check_size(LvmDevice *device)
{
  guint64 size = vt_io_size(device->io);

  if (device->identified && size < device->label->device_size)
    g_ptr_array_add(device->problems,
                    g_strdup_printf("%s ends at offset %" G_GUINT64_FORMAT
                                    ", but its physical volume has %" G_GUINT64_FORMAT
                                    " bytes: it has been truncated",
                                    device->path, size, device->label->device_size));
}

/* --- texts --- */

static LvmGroup *find_group(LvmProbe *probe, guint32 crc, gsize size)
{
  for (guint i = 0; i < probe->groups->len; i++) {
    LvmGroup *group = probe->groups->pdata[i];

    if (!group->salvaged && group->crc == crc && group->size == size)
      return group;
  }
  return NULL;
}

static LvmGroup *add_group(LvmProbe *probe, LvmVg *vg)
{
  LvmGroup *group = g_new0(LvmGroup, 1);

  group->vg = vg;
  g_ptr_array_add(probe->groups, group);
  return group;
}

/* The text of @area, parsed; NULL with the problem noted, or when there is none. */
static LvmGroup *read_group(LvmProbe *probe, LvmDevice *device, LvmMetadataArea *area)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize length;
  LvmGroup *group;
  LvmVg *vg;

  if (!area->usable || !area->text.offset)
    return NULL;
  if (!(text = lvm_metadata_area_read_text(area, &length, &error))) {
    note(device->problems, &error);
    return NULL;
  }
  group = find_group(probe, area->text.crc, area->text.size);
  if (group)
    return group;
  if (!(vg = lvm_vg_parse(text, length, &error))) {
    g_prefix_error(&error, "%s: the metadata text at offset %" G_GUINT64_FORMAT ": ", device->path,
                   area->start + area->text.offset);
    note(device->problems, &error);
    return NULL;
  }
  group = add_group(probe, vg);
  group->crc = area->text.crc;
  group->size = area->text.size;
  return group;
}

typedef struct {
  LvmMetadataArea *area;
  LvmVg *vg;
  guint64 offset;
} Salvage;

static gboolean salvage_text(const char *text, gsize length, guint64 offset, gpointer user_data)
{
  Salvage *best = user_data;
  LvmVg *vg;

  if (best->area->usable && offset == best->area->start + best->area->text.offset)
    return FALSE; /* the one that its checksum says is damaged */
  vg = lvm_vg_parse(text, length, NULL);
  if (vg && (!best->vg || lvm_vg_seqno(vg) > lvm_vg_seqno(best->vg))) {
    lvm_vg_free(best->vg);
    best->vg = vg;
    best->offset = offset;
  } else {
    lvm_vg_free(vg);
  }
  return FALSE;
}

static LvmGroup *salvage_group(LvmProbe *probe, LvmDevice *device, LvmMetadataArea *area)
{
  Salvage best = {.area = area};
  LvmGroup *group;

  lvm_metadata_area_search(area, salvage_text, &best);
  if (!best.vg)
    return NULL;
  group = add_group(probe, best.vg);
  group->salvaged = TRUE;
  group->note =
      g_strdup_printf("%s: the text of seqno %" G_GUINT64_FORMAT " at offset %" G_GUINT64_FORMAT
                      " is the newest that can be read; later changes are not in it",
                      device->path, lvm_vg_seqno(best.vg), best.offset);
  return group;
}

/* --- one device --- */

/* @salvage: where there is no whole text, search for earlier ones. */
static void read_area(LvmProbe *probe, LvmDevice *device, const LvmRange *range, gboolean salvage)
{
  g_autoptr(GError) error = NULL;
  LvmMetadataArea *area = lvm_metadata_area_new(device->io, range);
  LvmGroup *group = NULL;
  guint problems = device->problems->len;

  if (!lvm_metadata_area_read_header(area, &error))
    note(device->problems, &error);
  else
    group = read_group(probe, device, area);
  if (!group && salvage && device->problems->len > problems)
    group = salvage_group(probe, device, area);
  g_ptr_array_add(device->areas, area);
  g_ptr_array_add(device->groups, group);
}

/* No label, or none whose list of areas leads to one: an area where lvm2 usually puts the first one
 * says that there was one. */
static gboolean read_unlabelled(LvmProbe *probe, LvmDevice *device)
{
  LvmRange range = {.offset = DEFAULT_AREA};
  guint n = device->areas->len;
  guint64 size;

  if (vt_io_size(device->io) < DEFAULT_AREA + LVM_SECTOR ||
      !vt_io_read(device->io, &size, sizeof size, DEFAULT_AREA + 32, NULL))
    return FALSE;
  range.size = GUINT64_FROM_LE(size); /* mda_header.size */
  read_area(probe, device, &range, FALSE);
  if (((LvmMetadataArea *)device->areas->pdata[n])->usable)
    return TRUE;
  return FALSE;
}

static gboolean has_group(LvmDevice *device)
{
  for (guint i = 0; i < device->groups->len; i++)
    if (device->groups->pdata[i])
      return TRUE;
  return FALSE;
}

static gboolean read_device(LvmProbe *probe, LvmDevice *device)
{
  g_autoptr(GError) error = NULL;
  gboolean whole = lvm_label_read(device->io, &device->label, &error);

  if (!whole)
    note(device->problems, &error);
  device->identified = whole && device->label;
  if (!device->label) {
    if (whole && !read_unlabelled(probe, device))
      return FALSE;
    if (whole)
      g_ptr_array_add(device->problems,
                      g_strdup_printf("%s: the label of the physical volume, at offset %u, is gone",
                                      device->path, LVM_SECTOR));
    return TRUE;
  }
  check_size(device);
  for (guint i = 0; i < device->label->metadata_areas->len; i++) {
    const LvmRange *area = &g_array_index(device->label->metadata_areas, LvmRange, i);

    if (lvm_label_area_possible(area))
      read_area(probe, device, area, TRUE);
  }
  if (!whole && !has_group(device))
    read_unlabelled(probe, device);
  return TRUE;
}

/* The bytes that a PV gives to its LVs, as its text says, else its label. */
static LvmRange extents_of(LvmDevice *device)
{
  const char *uuid = device->label->uuid;
  LvmRange range = {0};

  if (device->label->data_areas->len)
    range.offset = g_array_index(device->label->data_areas, LvmRange, 0).offset;
  range.size = device->label->device_size - MIN(range.offset, device->label->device_size);
  for (guint i = 0; i < device->groups->len; i++) {
    LvmGroup *group = device->groups->pdata[i];
    LvmPv *pv = group ? lvm_vg_find_pv_by_uuid(group->vg, uuid) : NULL;

    if (pv) {
      range.offset = lvm_pv_start(pv);
      range.size = lvm_pv_n_extents(pv) * lvm_vg_extent_size(group->vg);
    }
  }
  return range;
}

/* Is it one of those that count? */
static gboolean is_wanted(LvmProbe *probe, LvmDevice *device)
{
  g_auto(GStrv) groups = NULL;
  g_autofree char *id = NULL;

  if (!probe->pv_ids)
    return TRUE;
  groups = g_strsplit(device->label ? device->label->uuid : "", "-", -1);
  id = g_strjoinv("", groups);
  return g_hash_table_contains(probe->pv_ids, id);
}

/* TRUE: it is, and what of is noted. */
static gboolean is_part(LvmDevice *device)
{
  LvmRange extents;
  char *owner;

  if (!device->identified)
    return FALSE;
  extents = extents_of(device);
  owner = lvm_content_belongs_to(device->path, device->label->device_size, &extents);
  if (owner)
    g_ptr_array_add(device->problems, owner);
  return owner != NULL;
}

/* --- all devices --- */

static void group_free(gpointer data)
{
  LvmGroup *group = data;

  lvm_vg_free(group->vg);
  g_free(group->note);
  g_free(group);
}

/* Has @path been looked at under another name? */
static gboolean is_twice(GHashTable *seen, const char *path)
{
  struct stat st;
  char key[64];

  if (stat(path, &st) < 0)
    return FALSE;
  g_snprintf(key, sizeof key, "%d:%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT, S_ISBLK(st.st_mode),
             (guint64)(S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev),
             (guint64)(S_ISBLK(st.st_mode) ? 0 : st.st_ino));
  return !g_hash_table_add(seen, g_strdup(key));
}

static void check_duplicates(LvmProbe *probe)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *a = probe->devices->pdata[i];

    for (guint j = 0; j < i && a->identified; j++) {
      LvmDevice *b = probe->devices->pdata[j];

      if (b->identified && strcmp(a->label->uuid, b->label->uuid) == 0)
        g_ptr_array_add(
            b->problems,
            g_strdup_printf(
                "%s and %s carry the same physical volume %s: one is a copy of the other", b->path,
                a->path, a->label->uuid));
    }
  }
}

/* The device at @path; NULL: there is nothing of a PV of its own. */
static LvmDevice *probe_path(LvmProbe *probe, const char *path)
{
  g_autoptr(GError) error = NULL;
  VtIo *io = probe->open ? probe->open(path, TRUE, probe->user_data, &error)
                         : vt_io_open_file(path, TRUE, &error);
  guint n_groups = probe->groups->len;
  LvmDevice *device;

  if (!io) {
    note(probe->problems, &error);
    return NULL;
  }
  device = device_new(path, io);
  if (!read_device(probe, device)) {
    lvm_device_free(device);
    return NULL;
  }
  if (is_wanted(probe, device) && !is_part(device))
    return device;
  g_ptr_array_set_size(device->groups, 0);
  g_ptr_array_set_size(probe->groups, (int)n_groups); /* without what it alone says */
  if (is_wanted(probe, device))
    g_ptr_array_add(probe->parts, device);
  else
    lvm_device_free(device);
  return NULL;
}

static void look(LvmProbe *probe)
{
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  probe->devices = g_ptr_array_new_with_free_func((GDestroyNotify)lvm_device_free);
  probe->parts = g_ptr_array_new_with_free_func((GDestroyNotify)lvm_device_free);
  probe->groups = g_ptr_array_new_with_free_func(group_free);
  probe->problems = g_ptr_array_new_with_free_func(g_free);
  for (char **path = probe->paths; *path; path++) {
    LvmDevice *device = is_twice(seen, *path) ? NULL : probe_path(probe, *path);

    if (device)
      g_ptr_array_add(probe->devices, device);
  }
  check_duplicates(probe);
}

static void forget(LvmProbe *probe)
{
  g_ptr_array_unref(probe->devices);
  g_ptr_array_unref(probe->parts);
  g_ptr_array_unref(probe->groups);
  g_ptr_array_unref(probe->problems);
}

LvmProbe *lvm_probe(const char *const *paths, GHashTable *pv_ids, LvmOpenFunc open,
                    gpointer user_data)
{
  LvmProbe *probe = g_new0(LvmProbe, 1);

  probe->paths = g_strdupv((GStrv)paths);
  probe->pv_ids = pv_ids ? g_hash_table_ref(pv_ids) : NULL;
  probe->open = open;
  probe->user_data = user_data;
  look(probe);
  return probe;
}

void lvm_probe_again(LvmProbe *probe)
{
  forget(probe);
  look(probe);
}

void lvm_probe_free(LvmProbe *probe)
{
  if (!probe)
    return;
  forget(probe);
  g_strfreev(probe->paths);
  g_clear_pointer(&probe->pv_ids, g_hash_table_unref);
  g_free(probe);
}

gboolean lvm_probe_is_current(LvmProbe *probe)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    for (guint j = 0; j < device->areas->len; j++) {
      LvmMetadataArea *area = device->areas->pdata[j];

      if (area->usable && !lvm_metadata_area_check(area, NULL))
        return FALSE;
    }
  }
  return TRUE;
}

/* --- physical volumes elsewhere --- */

LvmDevice *lvm_probe_device(LvmProbe *probe, const char *uuid)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (device->label && strcmp(device->label->uuid, uuid) == 0)
      return device;
  }
  return NULL;
}

LvmDevice *lvm_device_at(GPtrArray *devices, const char *path)
{
  for (guint i = 0; i < devices->len; i++)
    if (strcmp(((LvmDevice *)devices->pdata[i])->path, path) == 0)
      return devices->pdata[i];
  return NULL;
}

/* Is @device a PV by its label, or one of @vg's that it was taken for, or has it the metadata of
 * another VG? */
static gboolean is_another(LvmDevice *device, LvmVg *vg)
{
  if (device->label && lvm_vg_find_pv_by_uuid(vg, device->label->uuid))
    return TRUE;
  for (guint i = 0; i < device->groups->len; i++) {
    LvmGroup *group = device->groups->pdata[i];

    if (group && strcmp(lvm_vg_uuid(group->vg), lvm_vg_uuid(vg)) != 0)
      return TRUE;
  }
  return device->identified;
}

/* Is it rather another PV of @vg that is missing, which was last seen there? */
static gboolean was_another(LvmProbe *probe, const char *path, LvmVg *vg, LvmPv *pv)
{
  for (guint i = 0; i < vg->pvs->len; i++) {
    LvmPv *other = vg->pvs->pdata[i];

    if (other != pv && !lvm_probe_device(probe, lvm_pv_uuid(other)) &&
        vt_is_same_file(path, lvm_pv_device(other)))
      return TRUE;
  }
  return FALSE;
}

/* Could @path, as large as @pv of @vg was, be that, its label lost or written over? */
static gboolean may_be(LvmProbe *probe, const char *path, LvmVg *vg, LvmPv *pv)
{
  LvmDevice *device = lvm_device_at(probe->devices, path);
  g_autoptr(VtIo) io = NULL;

  if ((device && is_another(device, vg)) || lvm_device_at(probe->parts, path))
    return FALSE;
  io = probe->open ? probe->open(path, TRUE, probe->user_data, NULL)
                   : vt_io_open_file(path, TRUE, NULL);
  return io && vt_io_size(io) == lvm_pv_size(pv);
}

/* Where it was last seen; else the only one that could be it. */
static const char *find_unlabelled(LvmProbe *probe, LvmVg *vg, LvmPv *pv)
{
  const char *found = NULL;

  for (char **path = probe->paths; *path; path++) {
    if (!may_be(probe, *path, vg, pv))
      continue;
    if (vt_is_same_file(*path, lvm_pv_device(pv)))
      return *path;
    if (was_another(probe, *path, vg, pv))
      continue;
    if (found)
      return NULL;
    found = *path;
  }
  return found;
}

gboolean lvm_probe_adopt(LvmProbe *probe, LvmVg *vg, LvmPv *pv)
{
  const char *path = find_unlabelled(probe, vg, pv);
  LvmDevice *device = path ? lvm_device_at(probe->devices, path) : NULL;
  VtIo *io;

  if (!path)
    return FALSE;
  if (!device) {
    if (!(io = probe->open ? probe->open(path, TRUE, probe->user_data, NULL)
                           : vt_io_open_file(path, TRUE, NULL)))
      return FALSE;
    device = device_new(path, io);
    g_ptr_array_add(probe->devices, device);
  }
  if (!device->label)
    device->label = lvm_label_new();
  g_strlcpy(device->label->uuid, lvm_pv_uuid(pv), sizeof device->label->uuid);
  g_ptr_array_set_size(device->problems, 0);
  g_ptr_array_add(device->problems,
                  g_strdup_printf("%s has no label of physical volume %s (%s), and is taken for "
                                  "it, for it is as large",
                                  path, lvm_pv_name(pv), lvm_pv_uuid(pv)));
  return TRUE;
}

static const char *last_problem(LvmDevice *device)
{
  return device->problems->pdata[device->problems->len - 1];
}

const char *lvm_probe_part(LvmProbe *probe, const char *uuid)
{
  for (guint i = 0; i < probe->parts->len; i++)
    if (strcmp(((LvmDevice *)probe->parts->pdata[i])->label->uuid, uuid) == 0)
      return last_problem(probe->parts->pdata[i]);
  return NULL;
}

/* A VG with a PV that is not where it was last seen may be a copy; then the PV elsewhere is the
 * original's, and not to be touched. */
static gboolean has_moved(LvmProbe *probe, LvmVg *vg)
{
  for (guint i = 0; i < vg->pvs->len; i++) {
    LvmDevice *device = lvm_probe_device(probe, lvm_pv_uuid(vg->pvs->pdata[i]));

    if (device && !vt_is_same_file(device->path, lvm_pv_device(vg->pvs->pdata[i])))
      return TRUE;
  }
  return FALSE;
}

gboolean lvm_probe_follow(LvmProbe *probe, LvmVg *vg)
{
  gboolean found = FALSE;

  if (has_moved(probe, vg))
    return FALSE;
  for (guint i = 0; i < vg->pvs->len; i++) {
    const char *uuid = lvm_pv_uuid(vg->pvs->pdata[i]), *path = lvm_pv_device(vg->pvs->pdata[i]);
    LvmDevice *device;

    if (lvm_probe_device(probe, uuid) || !g_path_is_absolute(path) ||
        !g_file_test(path, G_FILE_TEST_EXISTS) || !(device = probe_path(probe, path)))
      continue;
    if (device->identified && strcmp(device->label->uuid, uuid) == 0) {
      g_ptr_array_add(probe->devices, device);
      found = TRUE;
    } else {
      lvm_device_free(device);
    }
  }
  return found;
}

/* --- choosing --- */

static const char *first_problem(LvmProbe *probe)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (device->problems->len)
      return device->problems->pdata[0];
  }
  if (probe->parts->len)
    return last_problem(probe->parts->pdata[0]);
  return probe->problems->len ? probe->problems->pdata[0] : NULL;
}

/* A PV without a text (pvcreate --metadatacopies 0, --metadataignore) is found by one that has
 * it. */
static char *lone_pv(LvmProbe *probe)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (device->identified && device->label->used && !has_group(device))
      return g_strdup_printf("%s is physical volume %s of a volume group whose metadata is on "
                             "other devices: name those, "
                             "too",
                             device->path, device->label->uuid);
  }
  return NULL;
}

static char *find_inside(char **paths)
{
  char *inside = NULL;

  for (; *paths && !inside; paths++)
    inside = lvm_content_find_inside(*paths);
  return inside;
}

static LvmGroup *nothing_found(LvmProbe *probe, const char *name, GError **error)
{
  g_autofree char *where = g_strjoinv(" ", probe->paths);
  const char *problem = first_problem(probe);
  gboolean damaged = probe->devices->len > 0 && problem;

  g_autofree char *lone = problem ? NULL : lone_pv(probe);
  g_autofree char *inside = problem || lone ? NULL : find_inside(probe->paths);
  const char *reason = problem ? problem : lone ? lone : inside;

  vt_set_error(error, damaged ? EBADMSG : ENOENT, "no volume group%s%s on %s%s%s", name ? " " : "",
               name ? name : "", *where ? where : "no device at all", reason ? ": " : "",
               reason ? reason : "");
  return NULL;
}

LvmGroup *lvm_probe_find(LvmProbe *probe, const char *name, gboolean salvaged, GError **error)
{
  LvmGroup *best = NULL;

  for (guint i = 0; i < probe->groups->len; i++) {
    LvmGroup *group = probe->groups->pdata[i];

    if ((group->salvaged && !salvaged) || (name && strcmp(lvm_vg_name(group->vg), name) != 0))
      continue;
    if (best && strcmp(lvm_vg_uuid(best->vg), lvm_vg_uuid(group->vg)) != 0) {
      if (name)
        vt_set_error(error, EINVAL,
                     "there are two volume groups %s, %s and %s; name the devices of one", name,
                     lvm_vg_uuid(best->vg), lvm_vg_uuid(group->vg));
      else
        vt_set_error(error, EINVAL, "there are several volume groups, %s and %s; name one",
                     lvm_vg_name(best->vg), lvm_vg_name(group->vg));
      return NULL;
    }
    if (!best || lvm_vg_seqno(group->vg) > lvm_vg_seqno(best->vg) ||
        (best->salvaged && !group->salvaged && lvm_vg_seqno(group->vg) == lvm_vg_seqno(best->vg)))
      best = group;
  }
  return best || !error ? best : nothing_found(probe, name, error);
}

LvmVg *lvm_probe_vg(LvmProbe *probe, const char *name, GError **error)
{
  LvmGroup *group = lvm_probe_find(probe, name, TRUE, error);

  return group ? group->vg : NULL;
}

/* --- listing --- */

void lvm_scan_free(LvmScan *scan)
{
  g_free(scan->path);
  g_free(scan->pv_uuid);
  g_free(scan->vg_name);
  g_free(scan);
}

/* The VG of a PV: what its areas say, else (it has none) who names it. */
static const char *group_name(LvmProbe *probe, LvmDevice *device)
{
  LvmGroup *best = NULL;

  for (guint i = 0; i < device->groups->len; i++) {
    LvmGroup *group = device->groups->pdata[i];

    if (group && (!best || lvm_vg_seqno(group->vg) > lvm_vg_seqno(best->vg)))
      best = group;
  }
  for (guint i = 0; !best && device->identified && i < probe->groups->len; i++) {
    LvmGroup *group = probe->groups->pdata[i];

    if (lvm_vg_find_pv_by_uuid(group->vg, device->label->uuid))
      best = group;
  }
  return best ? lvm_vg_name(best->vg) : NULL;
}

GStrv lvm_probe_paths(LvmProbe *probe, const char *name)
{
  GPtrArray *paths = g_ptr_array_new();

  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (g_strcmp0(group_name(probe, device), name) == 0)
      g_ptr_array_add(paths, g_strdup(device->path));
  }
  g_ptr_array_add(paths, NULL);
  return (GStrv)g_ptr_array_free(paths, FALSE);
}

static void copy_problems(GPtrArray *from, GPtrArray *to)
{
  for (guint i = 0; to && i < from->len; i++)
    g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

GPtrArray *lvm_probe_list(LvmProbe *probe, GPtrArray *problems)
{
  GPtrArray *scans = g_ptr_array_new_with_free_func((GDestroyNotify)lvm_scan_free);

  copy_problems(probe->problems, problems);
  for (guint i = 0; problems && i < probe->parts->len; i++)
    g_ptr_array_add(problems, g_strdup(last_problem(probe->parts->pdata[i])));
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];
    LvmScan *scan;

    copy_problems(device->problems, problems);
    if (!device->label && !group_name(probe, device))
      continue;
    scan = g_new0(LvmScan, 1);
    scan->path = g_strdup(device->path);
    scan->pv_uuid = g_strdup(device->label ? device->label->uuid : "");
    scan->vg_name = g_strdup(group_name(probe, device));
    g_ptr_array_add(scans, scan);
  }
  return scans;
}
