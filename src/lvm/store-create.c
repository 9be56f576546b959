/* virt-thin - making volume groups: new physical volumes, and larger ones
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Layout of a PV: label in sector 1, one metadata area from 4 KiB on, extents from the next full
 * MiB on (lvm2 lib/format_text/format-text.c). The order of writes decides what a crash leaves: a
 * new VG gets its labels last, so that there is all of it or no PV at all; a PV to be added gets
 * its label, as one that no VG uses, first, so that the VG never names a PV that is not there.
 */
#include "config.h"

#include <string.h>

#include "lvm/content.h"
#include "lvm/lvm-conf.h"
#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"
#include "util/name.h"
#include "util/size.h"

#define KIB (G_GUINT64_CONSTANT(1) << 10)
#define MIB (G_GUINT64_CONSTANT(1) << 20)

/* --- one new PV --- */

static guint64 data_start(guint64 area_size)
{
  return (LVM_AREA_START + area_size + MIB - 1) / MIB * MIB;
}

/* Open, lock and check @path, and set up in memory the label of a PV with @area_size bytes of
 * metadata. */
static LvmDevice *new_device(LvmStore *store, const char *path, guint64 area_size,
                             guint64 extent_size, GError **error)
{
  LvmDevice *device = lvm_device_open_locked(path, store, error);
  LvmRange data = {.offset = data_start(area_size)},
           metadata = {LVM_AREA_START, data.offset - LVM_AREA_START};
  g_autofree char *uuid = lvm_uuid_new();

  if (!device)
    return NULL;
  if (!lvm_content_check_free(path, error)) {
    lvm_device_free(device);
    return NULL;
  }
  if (vt_io_size(device->io) < data.offset + extent_size) {
    g_autofree char *has = vt_size_exact(vt_io_size(device->io)),
                    *area = vt_size_exact(data.offset), *extent = vt_size_exact(extent_size);

    vt_set_error(error, EINVAL,
                 "%s is too small: %s, where the metadata takes %s and one extent %s", path, has,
                 area, extent);
    lvm_device_free(device);
    return NULL;
  }
  device->label = lvm_label_new();
  device->identified = TRUE;
  device->label->device_size = vt_io_size(device->io) / LVM_SECTOR * LVM_SECTOR;
  g_strlcpy(device->label->uuid, uuid, sizeof device->label->uuid);
  g_array_append_val(device->label->data_areas, data);
  g_array_append_val(device->label->metadata_areas, metadata);
  g_ptr_array_add(device->areas, lvm_metadata_area_new(device->io, &metadata));
  return device;
}

/* Do the devices in use have sectors of one size? *size: which; 0: there are none. */
static gboolean one_sector_size(LvmStore *store, guint *size)
{
  *size = 0;
  for (guint i = 0; i < store->devices->len; i++) {
    guint its = vt_io_sector_size(((LvmDevice *)store->devices->pdata[i])->io);

    if (*size && its != *size)
      return FALSE;
    *size = its;
  }
  return TRUE;
}

/* As vgcreate and vgextend (lvm2 lib/metadata/metadata.c, vg_extend_each_pv()): a volume whose
 * extents come to lie on larger sectors gets those itself, and what was partitioned for smaller
 * ones is not found on it any more. */
static gboolean check_sector_size(LvmStore *store, LvmDevice *device, GError **error)
{
  guint theirs, its = vt_io_sector_size(device->io);
  g_autoptr(LvmConf) conf = NULL;

  if (its > lvm_vg_extent_size(store->vg))
    return vt_set_error(error, EINVAL,
                        "%s has sectors of %u bytes, which is more than an extent of volume group "
                        "%s, %" G_GUINT64_FORMAT,
                        device->path, its, lvm_vg_name(store->vg), lvm_vg_extent_size(store->vg));
  if (!one_sector_size(store, &theirs) || theirs == 0 || theirs == its)
    return TRUE;
  conf = lvm_conf_read(NULL);
  if (lvm_conf_number(conf, "devices/allow_mixed_block_sizes", 0))
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "%s has sectors of %u bytes, the physical volumes of volume group %s have "
                      "%u: volumes on both "
                      "would not show the partitions that are on them; lvm.conf's "
                      "allow_mixed_block_sizes allows it",
                      device->path, its, lvm_vg_name(store->vg), theirs);
}

/* Empty the place of label and metadata, on which no commit is to want room later. */
static gboolean clear_area(LvmDevice *device, GError **error)
{
  LvmMetadataArea *area = device->areas->pdata[0];

  return vt_io_zero(device->io, 0, area->start + area->size, VT_IO_ZERO_MAY_UNMAP, error) &&
         vt_io_back(device->io, 0, area->start + area->size, error);
}

/* A header that points nowhere: durable before any label says that it is there. */
static gboolean write_header(LvmDevice *device, GError **error)
{
  LvmMetadataArea *area = device->areas->pdata[0];

  area->usable =
      lvm_metadata_area_write_header(area, NULL, NULL, error) && vt_io_flush(device->io, error);
  return area->usable;
}

gboolean lvm_device_write_label(LvmDevice *device, gboolean used, GError **error)
{
  device->label->used = used;
  return lvm_label_write(device->io, device->label, error) && vt_io_flush(device->io, error);
}

/* After a failure, as far as that still works: it may be as if nothing had been begun. */
static void wipe_label(LvmDevice *device)
{
  vt_io_zero(device->io, 0, LVM_AREA_START, 0, NULL);
  vt_io_flush(device->io, NULL);
}

static guint64 count_extents(LvmDevice *device, guint64 extent_size)
{
  return (device->label->device_size -
          g_array_index(device->label->data_areas, LvmRange, 0).offset) /
         extent_size;
}

/* @device as the text's next pvN. */
static gboolean add_pv_section(LvmVg *vg, LvmDevice *device, GError **error)
{
  LvmNode *section = lvm_section_find_section(vg->node, "physical_volumes"), *node;
  guint64 n = count_extents(device, lvm_vg_extent_size(vg));
  char name[16];
  LvmPv *pv;

  if (n > G_MAXUINT32)
    return vt_set_error(error, EINVAL,
                        "%s would have %" G_GUINT64_FORMAT
                        " extents: LVM can address %u; choose a larger extent size",
                        device->path, n, G_MAXUINT32);
  for (guint i = 0;; i++) {
    g_snprintf(name, sizeof name, "pv%u", i);
    if (!lvm_vg_find_pv(vg, name))
      break;
  }
  node = lvm_section_add_section(section, name, 1, NULL);
  lvm_section_set_string(node, "id", device->label->uuid, NULL);
  lvm_section_set_string(node, "device", device->path, NULL);
  lvm_section_set_strings(node, "status", (const char *const[]){"ALLOCATABLE", NULL}, NULL);
  lvm_node_set_blanks(lvm_section_find(node, "status"), 1);
  lvm_section_set_strings(node, "flags", (const char *const[]){NULL}, NULL);
  lvm_section_set_uint(node, "dev_size", device->label->device_size / LVM_SECTOR, NULL);
  lvm_section_set_uint(node, "pe_start",
                       g_array_index(device->label->data_areas, LvmRange, 0).offset / LVM_SECTOR,
                       NULL);
  lvm_section_set_uint(node, "pe_count", n, NULL);
  pv = g_new0(LvmPv, 1);
  pv->vg = vg;
  pv->node = node;
  pv->n_extents = n;
  g_ptr_array_add(vg->pvs, pv);
  return TRUE;
}

/* --- a new VG --- */

static LvmVg *empty_vg(const char *name, guint64 extent_size, gboolean no_autoactivate)
{
  g_autofree char *uuid = lvm_uuid_new();
  g_autofree char *text = g_strdup_printf(
      "%s {\nid = \"%s\"\nseqno = 0\nformat = \"lvm2\"\nstatus = [\"RESIZEABLE\", \"READ\", "
      "\"WRITE\"]\n"
      "flags = [%s]\nextent_size = %" G_GUINT64_FORMAT
      "\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n\n"
      "physical_volumes {\n}\n\n\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\n",
      name, uuid, no_autoactivate ? "\"NOAUTOACTIVATE\"" : "", extent_size / LVM_SECTOR);
  LvmVg *vg = lvm_vg_parse(text, strlen(text), NULL);

  g_assert(vg);
  return vg;
}

static gboolean check_params(const char *name, const char *const *paths, guint64 extent_size,
                             guint64 area_size, GError **error)
{
  gboolean power = (extent_size & (extent_size - 1)) == 0;

  if (!vt_vg_name_check(name, error))
    return FALSE;
  if (!paths || !*paths)
    return vt_set_error(error, EINVAL, "volume group %s needs at least one file or device", name);
  if (extent_size < 4 * KIB || extent_size > 4096 * MIB ||
      (!power && extent_size % (128 * KIB) != 0)) {
    g_autofree char *asked = vt_size_exact(extent_size);

    return vt_set_error(error, EINVAL,
                        "volume group %s: an extent size of %s is not possible: it is a power of "
                        "two from 4 KiB on, or a multiple of 128 KiB, up to 4 GiB",
                        name, asked);
  }
  if (area_size < 64 * KIB || area_size > 1024 * MIB)
    return vt_set_error(error, EINVAL,
                        "volume group %s: a metadata area of %" G_GUINT64_FORMAT
                        " bytes is not possible: 64 KiB to 1 GiB",
                        name, area_size);
  return TRUE;
}

static gboolean write_headers(LvmStore *store, GError **error)
{
  for (guint i = 0; i < store->devices->len; i++) {
    LvmDevice *device = store->devices->pdata[i];

    if (!write_header(device, error))
      return FALSE;
    g_ptr_array_add(store->areas, device->areas->pdata[0]);
  }
  return TRUE;
}

/* The text as it is, then the labels. */
static gboolean write_vg(LvmStore *store, const char *description, GError **error)
{
  LvmVg *vg;

  if (!write_headers(store, error))
    return FALSE;
  vg = lvm_vg_copy(store->vg);
  if (!lvm_store_commit(store, vg, NULL, description, error)) {
    lvm_vg_free(vg);
    return FALSE;
  }
  for (guint i = 0; i < store->devices->len; i++)
    if (!lvm_device_write_label(store->devices->pdata[i], TRUE, error)) {
      for (guint j = 0; j <= i; j++)
        wipe_label(store->devices->pdata[j]);
      return FALSE;
    }
  return TRUE;
}

static gboolean add_devices(LvmStore *store, const char *const *paths, guint64 area_size,
                            GError **error)
{
  for (; *paths; paths++) {
    LvmDevice *device = new_device(store, *paths, area_size, lvm_vg_extent_size(store->vg), error);

    if (!device)
      return FALSE;
    if (!check_sector_size(store, device, error)) {
      lvm_device_free(device);
      return FALSE;
    }
    lvm_store_add_device(store, device);
    if (!add_pv_section(store->vg, device, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean clear_areas(LvmStore *store, GError **error)
{
  for (guint i = 0; i < store->devices->len; i++)
    if (!clear_area(store->devices->pdata[i], error))
      return FALSE;
  return TRUE;
}

LvmStore *lvm_store_create(const char *name, const char *const *paths, const LvmCreate *params,
                           GError **error)
{
  guint64 extent_size = params && params->extent_size ? params->extent_size : 4 * MIB;
  guint64 area_size = params && params->metadata_area ? params->metadata_area : 16 * MIB;
  g_autoptr(LvmStore) store =
      lvm_store_new(FALSE, params ? params->open : NULL, params ? params->user_data : NULL);
  g_autofree char *where = paths ? g_strjoinv(" ", (char **)paths) : NULL;
  g_autofree char *what = g_strdup_printf("virt-thin: create volume group %s on %s", name, where);

  if (!check_params(name, paths, extent_size, area_size, error))
    return NULL;
  store->vg = empty_vg(name, extent_size, params && params->no_autoactivate);
  if (!add_devices(store, paths, area_size, error) || !clear_areas(store, error) ||
      !write_vg(store, what, error))
    return NULL;
  return g_steal_pointer(&store);
}

/* --- a VG like another --- */

/* What the kernel and the engine take for empty metadata. */
static gboolean zero_metadata(LvmStore *store, LvmVg *vg, GError **error)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;
    gboolean spare = !lv->visible && g_str_has_suffix(lvm_lv_name(lv), "_pmspare");

    if (lv->kind == LVM_LV_THIN_POOL &&
        !lvm_store_zero_new(store, vg, lvm_pool_metadata(lv), error))
      return FALSE;
    if (spare && !lvm_store_zero_new(store, vg, lvm_lv_name(lv), error))
      return FALSE;
  }
  return TRUE;
}

LvmStore *lvm_store_create_like(LvmVg *like, const char *name, const char *uuid,
                                const char *const *paths, const LvmCreate *params,
                                GHashTable *sizes, GError **error)
{
  guint64 extent_size = params && params->extent_size ? params->extent_size : like->extent_size;
  guint64 area_size = params && params->metadata_area ? params->metadata_area : 16 * MIB;
  g_autoptr(LvmStore) store =
      lvm_store_new(FALSE, params ? params->open : NULL, params ? params->user_data : NULL);
  g_autoptr(LvmVg) vg = NULL;

  if (!check_params(name, paths, extent_size, area_size, error) ||
      !(store->vg = lvm_vg_new_like(like, name, extent_size, uuid, error)) ||
      !add_devices(store, paths, area_size, error))
    return NULL;
  if (params && params->no_autoactivate)
    lvm_vg_set_flag(store->vg, "NOAUTOACTIVATE", TRUE);
  vg = lvm_vg_copy(store->vg);
  if (!lvm_vg_fill_like(vg, like, sizes, error) || !clear_areas(store, error) ||
      !zero_metadata(store, vg, error))
    return NULL;
  lvm_vg_free(store->vg);
  store->vg = g_steal_pointer(&vg);
  return g_steal_pointer(&store);
}

gboolean lvm_store_finish(LvmStore *store, const char *description, GError **error)
{
  for (guint i = 0; i < store->devices->len; i++)
    if (!vt_io_flush(((LvmDevice *)store->devices->pdata[i])->io, error))
      return FALSE;
  if (write_vg(store, description, error))
    return TRUE;
  for (guint i = 0; i < store->devices->len; i++) {
    LvmDevice *device = store->devices->pdata[i];

    vt_io_zero(device->io, 0, 2 * LVM_AREA_START, 0, NULL); /* the area's header, too */
    vt_io_flush(device->io, NULL);
  }
  return FALSE;
}

/* --- more PVs, larger PVs --- */

static void forget_device(LvmStore *store, LvmDevice *device)
{
  for (guint i = 0; i < device->areas->len; i++)
    g_ptr_array_remove(store->areas, device->areas->pdata[i]);
  g_ptr_array_remove(store->paths, device->path);
  g_ptr_array_remove(store->devices, device);
}

/* Commit @vg, which is freed when that fails. */
static gboolean commit_or_free(LvmStore *store, LvmVg *vg, const char *archive_dir,
                               const char *format, const char *path, GError **error)
{
  g_autofree char *what = g_strdup_printf("virt-thin: %s %s", format, path);

  if (lvm_store_commit(store, vg, archive_dir, what, error))
    return TRUE;
  lvm_vg_free(vg);
  return FALSE;
}

gboolean lvm_store_add_pv(LvmStore *store, const char *path, const char *archive_dir,
                          GError **error)
{
  LvmMetadataArea *like;
  LvmDevice *device;
  LvmVg *vg;

  if (store->read_only)
    return vt_set_error(error, EROFS, "volume group %s is open read-only", lvm_vg_name(store->vg));
  if (!lvm_vg_check_new_pv(store->vg, error) || !lvm_store_check_seqno(store, error))
    return FALSE;
  like = store->areas->pdata[0]; /* what is open for writing has one */
  device = new_device(store, path, like->size, lvm_vg_extent_size(store->vg), error);
  if (!device)
    return FALSE;
  if (!check_sector_size(store, device, error)) {
    lvm_device_free(device);
    return FALSE;
  }
  vg = lvm_vg_copy(store->vg);
  if (!add_pv_section(vg, device, error) || !clear_area(device, error) ||
      !write_header(device, error) || !lvm_device_write_label(device, FALSE, error)) {
    wipe_label(device);
    lvm_vg_free(vg);
    lvm_device_free(device);
    return FALSE;
  }
  lvm_store_add_device(store, device);
  if (commit_or_free(store, vg, archive_dir, "add physical volume", path, error)) {
    if (lvm_device_write_label(device, TRUE, error))
      return TRUE;
    g_prefix_error(error, "volume group %s has %s now, but it cannot be marked as used: ",
                   lvm_vg_name(store->vg), path);
    return FALSE;
  }
  if (!store->failed) /* else the text that names it may be the one on disk */
    wipe_label(device);
  forget_device(store, device);
  return FALSE;
}

/* The size that @device has by now. */
static gboolean refresh_size(LvmDevice *device, guint64 *size, GError **error)
{
  VtIo *now = vt_io_open_file(device->path, TRUE, error);

  if (!now)
    return FALSE;
  *size = vt_io_size(now) / LVM_SECTOR * LVM_SECTOR;
  vt_io_unref(now);
  return *size <= vt_io_size(device->io) ||
         vt_io_grow_file(device->lock ? device->lock : device->io, *size, error);
}

static LvmDevice *last_file(LvmStore *store)
{
  for (guint i = store->devices->len; i > 0; i--) {
    LvmDevice *device = store->devices->pdata[i - 1];

    if (g_file_test(device->path, G_FILE_TEST_IS_REGULAR))
      return device;
  }
  return NULL;
}

gboolean lvm_store_grow_file(LvmStore *store, guint64 n_extents, const char *archive_dir,
                             GError **error)
{
  LvmDevice *device = last_file(store);
  guint64 extent_size = lvm_vg_extent_size(store->vg), end;
  LvmPv *pv;

  if (!device)
    return vt_set_error(error, ENOENT, "no physical volume of volume group %s is a file",
                        lvm_vg_name(store->vg));
  pv = lvm_vg_find_pv_by_uuid(store->vg, device->label->uuid);
  end = lvm_pv_start(pv) + (lvm_pv_n_extents(pv) + n_extents) * extent_size;
  return vt_io_grow_file(device->lock ? device->lock : device->io, MAX(end, vt_io_size(device->io)),
                         error) &&
         lvm_store_grow_pv(store, device->path, archive_dir, error);
}

gboolean lvm_store_grow_pv(LvmStore *store, const char *path, const char *archive_dir,
                           GError **error)
{
  g_autoptr(LvmVg) vg = lvm_vg_copy(store->vg);
  LvmDevice *device = lvm_device_at(store->devices, path);
  guint64 size, n;
  LvmPv *pv;

  if (!device)
    return vt_set_error(error, ENOENT, "%s is no physical volume of volume group %s", path,
                        lvm_vg_name(vg));
  if (store->read_only)
    return vt_set_error(error, EROFS, "volume group %s is open read-only", lvm_vg_name(vg));
  pv = lvm_vg_find_pv_by_uuid(vg, device->label->uuid);
  for (guint i = 0; i < device->areas->len; i++)
    if (((LvmMetadataArea *)device->areas->pdata[i])->start >= lvm_pv_start(pv))
      return vt_set_error(
          error, EOPNOTSUPP,
          "%s cannot grow, as it has a metadata area at its end: add a physical volume "
          "(virt-thin extend %s PATH)",
          path, lvm_vg_name(vg));
  if (!lvm_store_check_seqno(store, error) || !refresh_size(device, &size, error))
    return FALSE;
  n = MIN((size - lvm_pv_start(pv)) / lvm_vg_extent_size(vg), G_MAXUINT32);
  if (n <= pv->n_extents)
    return TRUE;
  device->label->device_size = size;
  if (!lvm_device_write_label(device, TRUE, error))
    return FALSE;
  lvm_section_set_uint(pv->node, "dev_size", size / LVM_SECTOR, NULL);
  lvm_section_set_uint(pv->node, "pe_count", n, NULL);
  pv->n_extents = n;
  return commit_or_free(store, g_steal_pointer(&vg), archive_dir, "grow physical volume", path,
                        error);
}
