/* virt-thin - opening and committing a volume group on its physical volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A commit is safe at every point: the new text goes beside the old one and is flushed; then one
 * sector, the header, is changed. Archiving and flushing take time, and not everybody takes notice
 * of our locks: before the text, and before the header, it is seen whether somebody else has
 * committed. On several PVs the headers change one after the other; until all have, some say the
 * old and some the new, and the highest seqno wins, for lvm2 (lib/metadata/metadata.c, vg_read) as
 * for us.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"
#include "lvm/texts.h"
#include "util/crc.h"

LvmStore *lvm_store_new(gboolean read_only, LvmOpenFunc open, gpointer user_data)
{
  LvmStore *store = g_new0(LvmStore, 1);

  store->read_only = read_only;
  store->devices = g_ptr_array_new_with_free_func((GDestroyNotify)lvm_device_free);
  store->areas = g_ptr_array_new();
  store->warnings = g_ptr_array_new_with_free_func(g_free);
  store->paths = g_ptr_array_new();
  store->open_lvs =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)vt_io_unref);
  store->open = open;
  store->user_data = user_data;
  g_ptr_array_add(store->warnings, NULL);
  g_ptr_array_add(store->paths, NULL);
  return store;
}

void lvm_store_close(LvmStore *store)
{
  if (!store)
    return;
  g_hash_table_unref(store->open_lvs);
  lvm_vg_free(store->vg);
  g_ptr_array_unref(store->areas);
  g_ptr_array_unref(store->paths);
  g_ptr_array_unref(store->devices);
  g_ptr_array_unref(store->warnings);
  lvm_archive_free(store->archive);
  g_free(store);
}

void lvm_store_add_device(LvmStore *store, LvmDevice *device)
{
  g_ptr_array_add(store->devices, device);
  g_ptr_array_insert(store->paths, store->paths->len - 1, device->path);
  for (guint i = 0; i < device->areas->len; i++)
    if (((LvmMetadataArea *)device->areas->pdata[i])->usable)
      g_ptr_array_add(store->areas, device->areas->pdata[i]);
}

LvmDevice *lvm_store_device(LvmStore *store, const char *uuid)
{
  for (guint i = 0; i < store->devices->len; i++) {
    LvmDevice *device = store->devices->pdata[i];

    if (strcmp(device->label->uuid, uuid) == 0)
      return device;
  }
  return NULL;
}

LvmVg *lvm_store_vg(LvmStore *store)
{
  return store->vg;
}

const char *const *lvm_store_warnings(LvmStore *store)
{
  return (const char *const *)store->warnings->pdata;
}

const char *const *lvm_store_paths(LvmStore *store)
{
  return (const char *const *)store->paths->pdata;
}

static void warn_of(LvmStore *store, const char *warning)
{
  g_ptr_array_insert(store->warnings, store->warnings->len - 1, g_strdup(warning));
}

/* --- opening: which devices are the VG's --- */

/* @salvaged: or did, as far as can be seen. */
static gboolean carries(LvmDevice *device, LvmVg *vg, gboolean salvaged)
{
  for (guint i = 0; i < device->groups->len; i++) {
    LvmGroup *group = device->groups->pdata[i];

    if (group && (salvaged || !group->salvaged) &&
        strcmp(lvm_vg_uuid(group->vg), lvm_vg_uuid(vg)) == 0)
      return TRUE;
  }
  return FALSE;
}

static gboolean is_pv(LvmDevice *device, LvmVg *vg)
{
  for (guint i = 0; device->label && i < vg->pvs->len; i++)
    if (strcmp(device->label->uuid, lvm_pv_uuid(vg->pvs->pdata[i])) == 0)
      return TRUE;
  return FALSE;
}

/* A device whose label is damaged, but whose metadata is this VG's, and which is none of its other
 * PVs, stands for the only one missing. */
static LvmDevice *find_by_elimination(LvmProbe *probe, LvmVg *vg, LvmPv *missing)
{
  LvmDevice *found = NULL;

  for (guint i = 0; i < vg->pvs->len; i++)
    if (vg->pvs->pdata[i] != missing && !lvm_probe_device(probe, lvm_pv_uuid(vg->pvs->pdata[i])))
      return NULL;
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (device->identified || is_pv(device, vg) || !carries(device, vg, TRUE))
      continue;
    if (found)
      return NULL;
    found = device;
  }
  return found;
}

LvmDevice *lvm_store_find_pv(LvmProbe *probe, LvmVg *vg, LvmPv *pv)
{
  LvmDevice *device = lvm_probe_device(probe, lvm_pv_uuid(pv));

  return device ? device : find_by_elimination(probe, vg, pv);
}

static void set_uuid(LvmDevice *device, const char *uuid)
{
  if (!device->label)
    device->label = lvm_label_new();
  g_strlcpy(device->label->uuid, uuid, sizeof device->label->uuid);
}

/* --- opening read-only --- */

static void take_device(LvmStore *store, LvmDevice *device)
{
  for (guint i = 0; i < device->problems->len; i++)
    warn_of(store, device->problems->pdata[i]);
  lvm_store_add_device(store, g_rc_box_acquire(device));
}

/* Damage of a device that is nobody's known PV: perhaps the missing one. */
static const char *unidentified_problem(LvmProbe *probe)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (!device->identified)
      return device->problems->pdata[0];
  }
  return NULL;
}

static void open_read_only(LvmStore *store, LvmProbe *probe)
{
  g_autofree char *wrong = lvm_vg_contradiction(store->vg);
  gboolean any_missing = FALSE;

  for (guint i = 0; i < store->vg->pvs->len; i++) {
    LvmPv *pv = store->vg->pvs->pdata[i];
    LvmDevice *device = lvm_probe_device(probe, lvm_pv_uuid(pv));
    g_autofree char *missing = NULL;
    const char *part;

    if (!device && (device = find_by_elimination(probe, store->vg, pv)))
      set_uuid(device, lvm_pv_uuid(pv));
    if (device) {
      take_device(store, device);
      continue;
    }
    part = lvm_probe_part(probe, lvm_pv_uuid(pv));
    missing = g_strdup_printf(
        "physical volume %s (%s, last seen as %s) of volume group %s is missing%s%s",
        lvm_pv_name(pv), lvm_pv_uuid(pv), lvm_pv_device(pv), lvm_vg_name(store->vg),
        part ? "; " : "", part ? part : "");
    warn_of(store, missing);
    any_missing = TRUE;
  }
  if (any_missing && unidentified_problem(probe))
    warn_of(store, unidentified_problem(probe));
  if (wrong)
    warn_of(store, wrong);
}

/* --- opening read-write --- */

/* Into @locked, which is @device as it was probed, its label. ESTALE: it has changed since. */
static gboolean take_label(LvmDevice *device, LvmDevice *locked, GError **error)
{
  if (!lvm_label_read(locked->io, &locked->label, error))
    return FALSE;
  locked->identified = locked->label && strcmp(locked->label->uuid, device->label->uuid) == 0;
  if (!locked->identified)
    return vt_set_error(error, ESTALE, "%s: its label has changed just now; try again",
                        device->path);
  return TRUE;
}

/* And its areas. */
static gboolean take_areas(LvmDevice *device, LvmDevice *locked, GError **error)
{
  for (guint i = 0; i < device->areas->len; i++) {
    LvmMetadataArea *old = device->areas->pdata[i];
    LvmRange range = {old->start, old->size};
    LvmMetadataArea *area = lvm_metadata_area_new(locked->io, &range);

    g_ptr_array_add(locked->areas, area);
    if (!lvm_metadata_area_read_header(area, error))
      return FALSE;
    if (memcmp(area->header, old->header, sizeof old->header) != 0)
      return vt_set_error(error, ESTALE, "%s: its metadata has changed just now; try again",
                          device->path);
  }
  return TRUE;
}

/* @device as it was probed, now open for writing and locked. */
static LvmDevice *reopen(LvmStore *store, LvmDevice *device, GError **error)
{
  LvmDevice *locked = lvm_device_open_locked(device->path, store, error);

  if (!locked)
    return NULL;
  if (take_label(device, locked, error) && take_areas(device, locked, error))
    return locked;
  lvm_device_free(locked);
  return NULL;
}

static gboolean refuse(LvmVg *vg, int err, const char *why, GError **error)
{
  return vt_set_error(error, err, "volume group %s cannot be opened for writing: %s",
                      lvm_vg_name(vg), why);
}

static gboolean refuse_damaged(LvmVg *vg, const char *what, GError **error)
{
  return vt_set_error(error, EBADMSG,
                      "volume group %s cannot be opened for writing: %s; virt-thin repair %s mends "
                      "that",
                      lvm_vg_name(vg), what, lvm_vg_name(vg));
}

/* What lvm2 is to mend; it does not look at files. */
static gboolean refuse_for_lvm2(LvmProbe *probe, LvmVg *vg, const char *why, GError **error)
{
  for (guint i = 0; i < vg->pvs->len; i++) {
    LvmDevice *device = lvm_probe_device(probe, lvm_pv_uuid(vg->pvs->pdata[i]));

    if (device && g_file_test(vt_io_name(device->io), G_FILE_TEST_IS_REGULAR))
      return vt_set_error(error, EPERM,
                          "volume group %s cannot be opened for writing: %s (lvm2 sees a file once "
                          "losetup --find --show %s has made it a block device)",
                          lvm_vg_name(vg), why, vt_io_name(device->io));
  }
  return refuse(vg, EPERM, why, error);
}

static gboolean missing(LvmProbe *probe, LvmVg *vg, LvmPv *pv, GError **error)
{
  const char *part = lvm_probe_part(probe, lvm_pv_uuid(pv)),
             *damage = part ? NULL : unidentified_problem(probe), *problem = part ? part : damage;

  return vt_set_error(error, damage ? EBADMSG : ENOENT,
                      "volume group %s cannot be opened for writing: physical volume %s (%s, last "
                      "seen as %s) is missing%s%s",
                      lvm_vg_name(vg), lvm_pv_name(pv), lvm_pv_uuid(pv), lvm_pv_device(pv),
                      problem ? "; " : "", problem ? problem : "");
}

/* Every extent must lie on its device. */
static gboolean check_fits(LvmVg *vg, LvmPv *pv, LvmDevice *device, GError **error)
{
  guint64 end = lvm_pv_start(pv) + lvm_pv_n_extents(pv) * lvm_vg_extent_size(vg),
          size = vt_io_size(device->io);

  if (end <= size)
    return TRUE;
  return vt_set_error(
      error, EBADMSG,
      "volume group %s cannot be opened for writing: %s ends at offset %" G_GUINT64_FORMAT
      ", but the extents of its physical volume %s end at %" G_GUINT64_FORMAT
      ": it has been truncated",
      lvm_vg_name(vg), device->path, size, lvm_pv_name(pv), end);
}

gboolean lvm_store_mark_used(LvmStore *store, GError **error)
{
  for (guint i = 0; i < store->devices->len; i++) {
    LvmDevice *device = store->devices->pdata[i];

    if (!device->label->used && !lvm_device_write_label(device, TRUE, error))
      return FALSE;
  }
  return TRUE;
}

/* The ring of texts is written all around: whatever is committed later, there must be room for it,
 * so that deletes go on when the file system beneath is full. */
static void back_areas(LvmStore *store)
{
  for (guint i = 0; i < store->areas->len; i++) {
    LvmMetadataArea *area = store->areas->pdata[i];
    g_autoptr(GError) error = NULL;

    if (!vt_io_back(area->io, area->start, area->size, &error))
      g_warning("volume group %s: its metadata area cannot be allocated ahead, so that changes may "
                "fail until there is "
                "room: %s",
                lvm_vg_name(store->vg), error->message);
  }
}

static gboolean looks_untidy(LvmStore *store)
{
  for (guint i = 0; i < store->areas->len; i++) {
    LvmMetadataArea *one = store->areas->pdata[0], *area = store->areas->pdata[i];

    if (lvm_metadata_area_is_untidy(area, lvm_vg_seqno(store->vg)) ||
        area->text.size != one->text.size || area->text.crc != one->text.crc)
      return TRUE;
  }
  return FALSE;
}

static gboolean open_read_write(LvmStore *store, LvmProbe *probe, GError **error)
{
  g_autofree char *foreign = lvm_store_foreign(store), *wrong = lvm_vg_contradiction(store->vg);
  const char *why = lvm_vg_unwritable(store->vg);

  if (why || foreign)
    return refuse_for_lvm2(probe, store->vg, why ? why : foreign, error);
  if (wrong)
    return refuse_damaged(store->vg, wrong, error);
  for (guint i = 0; i < store->vg->pvs->len; i++) {
    LvmPv *pv = store->vg->pvs->pdata[i];
    LvmDevice *device = lvm_probe_device(probe, lvm_pv_uuid(pv)), *locked;

    if (!device)
      return missing(probe, store->vg, pv, error);
    if (!check_fits(store->vg, pv, device, error))
      return FALSE;
    if (device->problems->len)
      return refuse_damaged(store->vg, device->problems->pdata[0], error);
    if (!(locked = reopen(store, device, error)))
      return FALSE;
    lvm_store_add_device(store, locked);
  }
  if (store->areas->len == 0)
    return refuse(store->vg, EBADMSG, "it has no metadata area", error);
  back_areas(store);
  store->untidy = looks_untidy(store);
  return TRUE;
}

/* Damage that keeps a device from being found at all is a reason, too, where a PV is not found. */
static gboolean check_problems(LvmProbe *probe, LvmVg *vg, GError **error)
{
  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    if (!device->identified && carries(device, vg, FALSE))
      return refuse_damaged(vg, device->problems->pdata[0], error);
  }
  return TRUE;
}

static LvmStore *try_open(LvmProbe *probe, const char *name, const LvmOpening *how, GError **error)
{
  LvmGroup *group = lvm_probe_find(probe, name, how->read_only, error);
  g_autoptr(LvmStore) store = NULL;

  if (group && how->usual && lvm_probe_follow(probe, group->vg))
    group = lvm_probe_find(probe, name, how->read_only, error);
  if (!group)
    return NULL;
  store = lvm_store_new(how->read_only, how->open, how->user_data);
  store->locks = how->locks;
  store->vg = lvm_vg_copy(group->vg);
  store->text_size = group->size;
  if (how->read_only) {
    open_read_only(store, probe);
    if (group->note)
      warn_of(store, group->note);
  } else if (!check_problems(probe, store->vg, error) || !open_read_write(store, probe, error)) {
    return NULL;
  }
  return g_steal_pointer(&store);
}

LvmStore *lvm_store_open_as(LvmProbe *probe, LvmVg *vg)
{
  LvmStore *store = lvm_store_new(TRUE, probe->open, probe->user_data);

  store->vg = lvm_vg_copy(vg);
  for (guint i = 0; i < store->vg->pvs->len; i++) {
    LvmPv *pv = store->vg->pvs->pdata[i];

    if (!lvm_probe_device(probe, lvm_pv_uuid(pv)) && !find_by_elimination(probe, store->vg, pv))
      lvm_probe_adopt(probe, store->vg, pv);
  }
  open_read_only(store, probe);
  return store;
}

LvmStore *lvm_store_open_probed(LvmProbe *probe, const char *name, const LvmOpening *how,
                                GError **error)
{
  for (guint attempt = 0;; attempt++) {
    GError *failure = NULL;
    LvmStore *store = try_open(probe, name, how, &failure);

    if (store)
      return store;
    if (attempt == 3 || !g_error_matches(failure, VT_ERROR, ESTALE)) {
      g_propagate_error(error, failure);
      return NULL;
    }
    g_error_free(failure); /* somebody committed between our look and our lock: look again */
    lvm_probe_again(probe);
  }
}

LvmStore *lvm_store_open(const char *const *paths, const char *name, gboolean read_only,
                         LvmOpenFunc open, gpointer user_data, GError **error)
{
  const LvmOpening how = {.read_only = read_only, .open = open, .user_data = user_data};
  g_autoptr(LvmProbe) probe = lvm_probe(paths, NULL, read_only ? open : NULL, user_data);

  return lvm_store_open_probed(probe, name, &how, error);
}

/* --- committing --- */

gboolean lvm_store_is_untidy(LvmStore *store)
{
  return store->untidy;
}

void lvm_store_metadata_space(LvmStore *store, guint64 *used, guint64 *available)
{
  *used = store->text_size;
  *available = store->areas->len ? G_MAXUINT64 : 0;
  for (guint i = 0; i < store->areas->len; i++)
    *available = MIN(*available, lvm_metadata_area_max_text(store->areas->pdata[i]));
}

gboolean lvm_store_check_seqno(LvmStore *store, GError **error)
{
  for (guint i = 0; i < store->areas->len; i++)
    if (!lvm_metadata_area_check(store->areas->pdata[i], error)) {
      g_prefix_error(error, "volume group %s: ", lvm_vg_name(store->vg));
      return FALSE;
    }
  return TRUE;
}

gboolean lvm_store_check_devices(LvmStore *store, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = 0; i < store->devices->len; i++)
    ok = vt_io_check(((LvmDevice *)store->devices->pdata[i])->io, ok ? error : NULL) && ok;
  return ok;
}

gboolean lvm_store_check_names(LvmStore *store, GError **error)
{
  for (guint i = 0; i < store->devices->len; i++) {
    VtIo *io = ((LvmDevice *)store->devices->pdata[i])->io;

    if (vt_io_is_nameless(io))
      return vt_io_check(io, error);
  }
  return TRUE;
}

static gboolean flush_areas(LvmStore *store, GError **error)
{
  VtIo *last = NULL;

  for (guint i = 0; i < store->areas->len; i++) {
    VtIo *io = ((LvmMetadataArea *)store->areas->pdata[i])->io;

    if (io != last && !vt_io_flush(io, error))
      return FALSE;
    last = io;
  }
  return TRUE;
}

/* @precommitted NULL: none. */
static gboolean write_headers(LvmStore *store, const LvmTextPlace *committed,
                              const LvmTextPlace *precommitted, GError **error)
{
  for (guint i = 0; i < store->areas->len; i++)
    if (!lvm_metadata_area_write_header(store->areas->pdata[i], &committed[i],
                                        precommitted ? &precommitted[i] : NULL, error))
      return FALSE;
  return TRUE;
}

/* The headers back to @old. When that fails as well, nobody knows what the disk holds: no further
 * commit. */
static void take_back(LvmStore *store, const LvmTextPlace *old)
{
  for (guint i = 0; i < store->areas->len; i++) {
    LvmMetadataArea *area = store->areas->pdata[i];

    store->failed |= !lvm_metadata_area_write_header(area, &old[i], NULL, NULL);
    area->text = old[i];
  }
  store->failed |= !flush_areas(store, NULL);
}

static gboolean write_text(LvmStore *store, LvmVg *vg, LvmTextPlace *new, gsize *size,
                           GError **error)
{
  g_autofree char *text = lvm_vg_format(vg, size);
  guint32 crc;

  ++*size; /* with its NUL */
  crc = vt_lvm_crc(LVM_CRC_INITIAL, text, *size);
  for (guint i = 0; i < store->areas->len; i++)
    if (!lvm_metadata_area_write_text(store->areas->pdata[i], text, *size, crc, &new[i], error))
      return FALSE;
  return flush_areas(store, error);
}

/* Where the header of a commit that failed is on the disk, though it reads as the one before, the
 * text that it points to must not be written over: the one before is made durable first. */
static gboolean settle(LvmStore *store, const LvmTextPlace *old, GError **error)
{
  for (guint i = 0; i < store->areas->len; i++)
    if (old[i].offset &&
        !lvm_metadata_area_write_header(store->areas->pdata[i], &old[i], NULL, error))
      return FALSE;
  if (!flush_areas(store, error))
    return FALSE;
  store->untidy = FALSE;
  return TRUE;
}

static gboolean commit(LvmStore *store, LvmVg *vg, GError **error)
{
  g_autofree LvmTextPlace *old = g_new0(LvmTextPlace, store->areas->len),
                          *new = g_new0(LvmTextPlace, store->areas->len);
  gsize size;

  for (guint i = 0; i < store->areas->len; i++)
    old[i] = ((LvmMetadataArea *)store->areas->pdata[i])->text;
  if (!lvm_store_check_seqno(store, error) || (store->untidy && !settle(store, old, error)) ||
      !write_text(store, vg, new, &size, error) || !lvm_store_check_seqno(store, error))
    return FALSE;
  if (!write_headers(store, old, new, error) || !write_headers(store, new, NULL, error) ||
      !flush_areas(store, error)) {
    take_back(store, old);
    return FALSE;
  }
  store->text_size = size;
  return TRUE;
}

static gboolean check_commit(LvmStore *store, GError **error)
{
  if (store->read_only)
    return vt_set_error(error, EROFS, "it is open read-only");
  if (store->failed)
    return vt_set_error(error, EIO,
                        "an earlier change failed and could not be taken back; open it again");
  return lvm_store_check_seqno(store, error);
}

/* Earlier texts are of use to who has done what he did not mean to. A change that frees, or gives
 * room, cannot wait for them when a disk is full; one that adds a volume can. A folder that is
 * read-only is left alone, as by lvm2 (lib/format_text/archiver.c, archive()). */
static gboolean archive(LvmStore *store, LvmVg *vg, const char *dir, const char *what,
                        GError **error)
{
  g_autoptr(GError) failure = NULL;

  if (lvm_archive_save(&store->archive, dir, store->vg, what, &failure)) {
    store->archive_warned = FALSE;
    return TRUE;
  }
  if (vg->lvs.length > store->vg->lvs.length && vt_error_to_errno(failure) != EROFS) {
    g_propagate_prefixed_error(
        error, g_steal_pointer(&failure),
        "its text cannot be archived first, and only what adds no volume goes on without; make "
        "room there: ");
    return FALSE;
  }
  if (!store->archive_warned)
    g_warning("volume group %s: the text before '%s' is not archived, nor are later ones until "
              "this is mended: %s",
              lvm_vg_name(store->vg), what, failure->message);
  store->archive_warned = TRUE;
  return TRUE;
}

gboolean lvm_store_commit(LvmStore *store, LvmVg *vg, const char *archive_dir,
                          const char *description, GError **error)
{
  const char *what = description ? description : "virt-thin";

  lvm_vg_set_seqno(vg, lvm_vg_seqno(store->vg) + 1);
  lvm_vg_set_header(vg, what);
  if (!check_commit(store, error) ||
      (archive_dir && !archive(store, vg, archive_dir, what, error)) || !commit(store, vg, error)) {
    g_prefix_error(error, "volume group %s cannot be changed (%s): ", lvm_vg_name(store->vg), what);
    return FALSE;
  }
  lvm_vg_free(store->vg);
  store->vg = vg;
  lvm_store_update_lvs(store);
  return TRUE;
}
