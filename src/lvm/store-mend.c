/* virt-thin - writing a volume group's labels and texts anew where they are damaged
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is damaged is taken for empty: a metadata area whose header cannot be used gets a header, a
 * physical volume without a label one that says what the text does, and a metadata area where lvm2
 * makes one, if there is none left in the volume group. The text then is committed to all of them,
 * as any other. How many areas a physical volume had says its label alone, no text: of two, the one
 * at the device's end goes with the label. That is a copy less, and nothing reads what it holds.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"

static gboolean overlaps_taken(const LvmDevice *locked, const LvmRange *range)
{
  for (guint i = 0; i < locked->areas->len; i++) {
    const LvmMetadataArea *area = locked->areas->pdata[i];
    const LvmRange taken = {area->start, area->size};

    if (lvm_label_areas_overlap(&taken, range))
      return TRUE;
  }
  return FALSE;
}

/* What is there is read, also where it is not usable: by that a commit knows whether somebody else
 * has been at it. */
static void add_area(LvmDevice *locked, const LvmRange *range)
{
  LvmMetadataArea *area = lvm_metadata_area_new(locked->io, range);

  if (!lvm_metadata_area_fits(area)) {
    lvm_metadata_area_free(area);
    return;
  }
  if (!lvm_metadata_area_read_header(area, NULL)) {
    area->usable = TRUE;
    area->text = (LvmTextPlace){0};
  }
  g_ptr_array_add(locked->areas, area);
}

/* The areas of @device as they were found, on @locked. A damaged label may say anything of them. */
static void take_areas(LvmPv *pv, LvmDevice *device, LvmDevice *locked)
{
  for (guint i = 0; i < device->areas->len; i++) {
    LvmMetadataArea *found = device->areas->pdata[i];
    LvmRange range = {found->start, found->size};

    if (overlaps_taken(locked, &range) ||
        (!device->identified && !found->usable && range.offset + range.size > lvm_pv_start(pv)))
      continue;
    add_area(locked, &range);
  }
}

static gboolean has_areas(LvmStore *store, LvmProbe *probe)
{
  for (guint i = 0; i < store->vg->pvs->len; i++) {
    LvmDevice *device = lvm_store_find_pv(probe, store->vg, store->vg->pvs->pdata[i]);

    if (device && device->areas->len)
      return TRUE;
  }
  return FALSE;
}

/* From the first page on up to where the extents begin. */
static void make_area(LvmPv *pv, LvmDevice *locked)
{
  const LvmRange range = {LVM_AREA_START, lvm_pv_start(pv) - LVM_AREA_START};

  if (lvm_pv_start(pv) >= LVM_AREA_START + LVM_AREA_MIN)
    add_area(locked, &range);
}

/* As lvm2 would have made it; where the areas are, they themselves say. */
static LvmLabel *make_label(LvmPv *pv, LvmDevice *locked)
{
  LvmLabel *label = lvm_label_new();
  const LvmRange data = {lvm_pv_start(pv), 0};

  g_strlcpy(label->uuid, lvm_pv_uuid(pv), sizeof label->uuid);
  label->device_size = lvm_pv_size(pv);
  label->used = TRUE;
  g_array_append_val(label->data_areas, data);
  for (guint i = 0; i < locked->areas->len; i++) {
    const LvmMetadataArea *area = locked->areas->pdata[i];
    const LvmRange range = {area->start, area->size};

    g_array_append_val(label->metadata_areas, range);
  }
  return label;
}

/* All extents are there: if the label has a larger device, the label is wrong, and is written. */
static void take_size(LvmDevice *locked)
{
  if (locked->label->device_size <= vt_io_size(locked->io))
    return;
  locked->label->device_size = vt_io_size(locked->io);
  locked->identified = FALSE;
}

static gboolean open_pv(LvmStore *store, LvmProbe *probe, LvmPv *pv, LvmDevice *device,
                        GError **error)
{
  LvmDevice *locked = lvm_device_open_locked(device->path, store, error);
  guint64 end = lvm_pv_start(pv) + lvm_pv_n_extents(pv) * lvm_vg_extent_size(store->vg);

  if (!locked)
    return FALSE;
  locked->identified = device->identified;
  take_areas(pv, device, locked);
  if (!device->identified && !store->areas->len && !has_areas(store, probe))
    make_area(pv, locked);
  if (!device->identified)
    locked->label = make_label(pv, locked);
  else if (!lvm_label_read(locked->io, &locked->label, error))
    goto failed;
  if (end > vt_io_size(locked->io)) {
    vt_set_error(error, EBADMSG,
                 "%s has been truncated: its extents end at offset %" G_GUINT64_FORMAT,
                 device->path, end);
    goto failed;
  }
  take_size(locked);
  lvm_store_add_device(store, locked);
  return TRUE;
failed:
  lvm_device_free(locked);
  return FALSE;
}

static gboolean open_pvs(LvmStore *store, LvmProbe *probe, GError **error)
{
  for (guint i = 0; i < store->vg->pvs->len; i++) {
    LvmPv *pv = store->vg->pvs->pdata[i];
    LvmDevice *device = lvm_store_find_pv(probe, store->vg, pv);

    if (!device)
      return vt_set_error(
          error, ENOENT, "physical volume %s (%s, last seen as %s) of volume group %s is missing",
          lvm_pv_name(pv), lvm_pv_uuid(pv), lvm_pv_device(pv), lvm_vg_name(store->vg));
    if (!open_pv(store, probe, pv, device, error))
      return FALSE;
  }
  if (store->areas->len == 0)
    return vt_set_error(error, EBADMSG, "volume group %s has no metadata area",
                        lvm_vg_name(store->vg));
  return TRUE;
}

LvmStore *lvm_store_open_mending(LvmProbe *probe, LvmVg *vg, LvmOpenFunc open, gpointer user_data,
                                 GError **error)
{
  g_autoptr(LvmStore) store = lvm_store_new(FALSE, open, user_data);
  g_autofree char *foreign = NULL;
  const char *why = lvm_vg_unwritable(vg);

  store->vg = lvm_vg_copy(vg);
  foreign = lvm_store_foreign(store);
  if (why || foreign) {
    vt_set_error(error, EPERM, "volume group %s cannot be changed: %s", lvm_vg_name(vg),
                 why ? why : foreign);
    return NULL;
  }
  return open_pvs(store, probe, error) ? g_steal_pointer(&store) : NULL;
}

gboolean lvm_probe_has_text(LvmProbe *probe, const char *name)
{
  return lvm_probe_find(probe, name, FALSE, NULL) != NULL;
}

gboolean lvm_store_mend(LvmStore *store, LvmVg *vg, const char *archive_dir,
                        const char *description, GError **error)
{
  for (guint i = 0; i < store->devices->len; i++) {
    LvmDevice *device = store->devices->pdata[i];

    if ((!device->identified || !device->label->used) &&
        !lvm_device_write_label(device, TRUE, error))
      return FALSE;
  }
  return lvm_store_commit(store, vg, archive_dir, description, error);
}
