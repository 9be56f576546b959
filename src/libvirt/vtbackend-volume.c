/* virt-thin - the storage backend's callbacks on volumes: create, refresh, resize, delete
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * libvirt keeps a pool's totals itself: it adds a new volume's allocation to them and takes a
 * deleted one's off, without a look at what really is in use (src/storage/storage_driver.c). With
 * thin volumes that is wrong - a clone's allocation is shared - and takes "available" below zero,
 * where it becomes 16 EiB. So the totals are asked anew at both moments, and the volume's
 * allocation is shown as 0 for the one moment in which libvirt does its sum.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt/vtbackend-private.h"
#include "pool/guest.h"
#include "pool/rules.h"
#include "util/name.h"

/* The volume that vtbackend_create_vol() has just made on this thread: the next refreshVol of it
 * comes right before libvirt's sum. */
static _Thread_local VtVolDef *just_created;

/* virsh vol-clone sends the document of the volume it clones, with another name, and so do people
 * for vol-create-from: the backing store in it is that volume's, and may be in another pool, or
 * have grown or gone since. Only buildVolFrom will tell that this is a clone. So where the document
 * may be a copied one, the volume is made empty and this error kept, for buildVol, which comes
 * instead when it is no clone. */
static _Thread_local GError *backing_error;

static void refresh_totals(VtPoolObj *obj, const VtSource *source)
{
  g_autoptr(PoolInfo) info = vtbackend_service_pool(source, NULL);
  if (info)
    vtbackend_set_totals(vt.libvirt.pool_obj_get_def(obj), info);
}

static guint64 allocation_of(const PoolVolumeInfo *info)
{
  return info->mapped == G_MAXUINT64 ? info->size : info->mapped;
}

/* --- create --- */

/* Owner, group and mode of a node or file, as the volume's document wants them. */
static gboolean set_permissions(const char *path, const VtVolDocument *document, GError **error)
{
  uid_t owner = document->has_owner ? document->owner : (uid_t)-1;
  gid_t group = document->has_group ? document->group : (gid_t)-1;
  if ((owner != (uid_t)-1 || group != (gid_t)-1) && chown(path, owner, group) < 0)
    return vt_set_errno(error, errno, "setting owner %d and group %d of %s", (int)owner, (int)group,
                        path);
  if (document->has_mode && chmod(path, document->mode) < 0)
    return vt_set_errno(error, errno, "setting mode 0%o of %s", document->mode, path);
  return TRUE;
}

static gboolean may_be_copied(const VtSource *source, const VtVolDocument *document)
{
  g_autofree char *name = vtbackend_volume_of_path(source->vg, document->path);
  g_autofree char *origin = vtbackend_volume_of_path(source->vg, document->backing);
  return !origin || (name && strcmp(name, document->name) != 0);
}

static gboolean create_backed(VolumeGroup *group, const VtSource *source,
                              const VtVolDocument *document, guint64 capacity, GError **error)
{
  g_autofree char *origin = vtbackend_volume_of_path(source->vg, document->backing);
  if (!origin)
    return vt_set_error(error, EINVAL,
                        "backing store %s of volume %s is not in volume group %s: a thin volume "
                        "can only be backed by "
                        "one of its own pool",
                        document->backing, document->name, source->vg);
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, origin, error);
  if (!info)
    return FALSE;
  if (g_strcmp0(info->pool, source->pool) != 0)
    return vt_set_error(error, EINVAL, "backing store %s of volume %s is not in thin pool %s/%s",
                        document->backing, document->name, source->vg, source->pool);
  return pool_clone(group, origin, document->name, capacity, error);
}

/* Make the volume @document describes, with @capacity bytes. */
static gboolean create(VolumeGroup *group, const VtSource *source, const VtVolDocument *document,
                       guint64 capacity, GError **error)
{
  g_autoptr(GError) refused = NULL;
  if (!document->backing)
    return pool_create(group, source->pool, document->name, capacity, error);
  if (create_backed(group, source, document, capacity, &refused))
    return TRUE;
  if (!capacity || !may_be_copied(source, document)) {
    g_propagate_error(error, g_steal_pointer(&refused));
    return FALSE;
  }
  backing_error = g_steal_pointer(&refused);
  return pool_create(group, source->pool, document->name, capacity, error);
}

static gboolean check_document(const VtVolDocument *document, guint64 capacity, GError **error)
{
  if (!vt_lv_name_check(document->name, error))
    return FALSE;
  if (document->encrypted)
    return vt_set_error(error, EOPNOTSUPP,
                        "volume %s: <encryption> is not supported in a thin pool; let the guest "
                        "encrypt its disk, or put the pool on "
                        "an encrypted device",
                        document->name);
  if (!capacity && !document->backing)
    return vt_set_error(error, EINVAL, "volume %s needs a capacity", document->name);
  return TRUE;
}

static void fill(VtVolDef *vol, const PoolVolumeInfo *info)
{
  g_autofree char *path = vtbackend_volume_path(info);
  vtbackend_layout_set_string(vol, vt.layout.vol_key, info->uuid);
  vtbackend_layout_set_string(vol, vt.layout.vol_path, path);
  vtbackend_vol_type(vol) = vtbackend_volume_type(info);
  vtbackend_vol_capacity(vol) = info->size;
  vtbackend_vol_allocation(vol) = allocation_of(info);
  vtbackend_vol_physical(vol) = info->size;
}

/* Take back a volume that was made, keeping the error that made it necessary. */
static void take_back(VolumeGroup *group, const char *vg, const char *name)
{
  const char *const names[] = {name, NULL};
  g_autoptr(GError) error = NULL;
  if (!pool_remove(group, names, FALSE, &error))
    fprintf(stderr, "virt-thin: volume %s/%s, whose creation failed, could not be removed: %s\n",
            vg, name, error->message);
}

int vtbackend_create_vol(VtPoolObj *obj, VtVolDef *vol)
{
  g_auto(VtSource) source = {0};
  g_auto(VtVolDocument) document = {0};
  g_autoptr(GError) error = NULL;
  just_created = NULL;
  g_clear_error(&backing_error);
  if (!vtbackend_source_of(obj, &source))
    return -1;
  guint64 capacity = vtbackend_vol_capacity(vol);
  if (!vtbackend_vol_document_read(vt.libvirt.pool_obj_get_def(obj), vol, &document, &error) ||
      !check_document(&document, capacity, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  VolumeGroup *group = vtbackend_service_for_changes(source.vg, &error);
  if (!group || !create(group, &source, &document, capacity, &error))
    return vtbackend_report_volume(obj, &source, document.name, g_steal_pointer(&error));
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, document.name, &error);
  if (info && pool_rules_is_template_name(info->name))
    vtbackend_expect_template(info);
  if (!info || (info->path && !set_permissions(info->path, &document, &error))) {
    take_back(group, source.vg, document.name);
    return vtbackend_report_gerror(g_steal_pointer(&error));
  }
  fill(vol, info);
  just_created = vol;
  return 0;
}

/* Everything is done by createVol; but libvirt allows a volume without a capacity - a clone as
 * large as its origin - only where there is a buildVol. */
int vtbackend_build_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) refused = g_steal_pointer(&backing_error);
  if (!refused && !(flags & VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA))
    return 0;
  if (vtbackend_source_of(obj, &source)) {
    VolumeGroup *group = vtbackend_service_for_changes(source.vg, NULL);
    if (group)
      take_back(group, source.vg, vtbackend_vol_name(vol));
  }
  if (refused)
    return vtbackend_report_gerror(g_steal_pointer(&refused));
  return vtbackend_report(VIR_ERR_INVALID_ARG,
                          "volume %s: metadata preallocation is not supported in a thin pool",
                          vtbackend_vol_name(vol));
}

/* --- refresh --- */

/* libvirt also calls this with the source of a copy, which may be in another pool: then, and while
 * a volume is being built, it must do no harm. So only numbers are set here, and only when name,
 * place and UUID say that this volume is ours. */
int vtbackend_refresh_vol(VtPoolObj *obj, VtVolDef *vol)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  gboolean in_creation = just_created == vol;
  just_created = NULL;
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_autofree char *name = vtbackend_volume_of_path(source.vg, vtbackend_vol_path(vol));
  if (!name || g_strcmp0(name, vtbackend_vol_name(vol)) != 0)
    return 0;
  g_autoptr(PoolVolumeInfo) info = vtbackend_service_volume(source.vg, name, &error);
  if (!info)
    return vtbackend_report_volume(obj, &source, name, g_steal_pointer(&error));
  /* The kernel's volumes get another UUID by becoming a clone; libvirt's key follows at the next
   * refresh of the pool.
   */
  if (g_strcmp0(info->uuid, vtbackend_vol_key(vol)) != 0 && !vtbackend_is_kernels(source.vg))
    return 0;
  vtbackend_vol_capacity(vol) = info->size;
  vtbackend_vol_allocation(vol) = in_creation ? 0 : allocation_of(info);
  vtbackend_vol_physical(vol) = info->size;
  if (in_creation)
    refresh_totals(obj, &source);
  return 0;
}

/* --- resize --- */

int vtbackend_resize_vol(VtPoolObj *obj, VtVolDef *vol, unsigned long long capacity,
                         unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  const unsigned int known = VIR_STORAGE_VOL_RESIZE_ALLOCATE | VIR_STORAGE_VOL_RESIZE_SHRINK;
  const char *name = vtbackend_vol_name(vol);
  just_created = NULL;
  if (flags & ~known)
    return vtbackend_report(VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) for resizing volume %s",
                            flags & ~known, name);
  if (!vtbackend_source_of(obj, &source))
    return -1;
  VolumeGroup *group = vtbackend_service_for_changes(source.vg, &error);
  if (!group ||
      !pool_resize(group, name, capacity, (flags & VIR_STORAGE_VOL_RESIZE_SHRINK) != 0, &error))
    return vtbackend_report_volume(obj, &source, name, g_steal_pointer(&error));
  if (flags & VIR_STORAGE_VOL_RESIZE_ALLOCATE) {
    g_auto(VtVolumeFile) file = {0};
    if (!vtbackend_volume_file_open(source.vg, name, FALSE, &file, &error) ||
        !vtbackend_allocate(&file, capacity, name, &error))
      return vtbackend_report_gerror(g_steal_pointer(&error));
  }
  return 0;
}

/* --- delete --- */

/* Overwrite what the volume maps, for VIR_STORAGE_VOL_DELETE_ZEROED. */
static gboolean zero_volume(const VtSource *source, const char *name, guint64 size, GError **error)
{
  g_auto(VtVolumeFile) file = {0};
  return vtbackend_volume_file_open(source->vg, name, FALSE, &file, error) &&
         vtbackend_overwrite(&file, size, name, error);
}

/* Names of the snapshots that go with volume @name. */
static GPtrArray *snapshots_of(const VtSource *source, const char *name)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) volumes = vtbackend_service_volumes(source, NULL);
  for (guint i = 0; volumes && i < volumes->len; i++) {
    PoolVolumeInfo *info = g_ptr_array_index(volumes, i);
    if (g_strcmp0(info->snapshot_of, name) == 0)
      g_ptr_array_add(names, g_strdup(info->name));
  }
  return names;
}

/* Take snapshots that are gone off libvirt's list. While a job runs in the pool it may be using one
 * of these objects: then the next refresh does it. */
static void forget_volumes(VtPoolObj *obj, GPtrArray *names)
{
  if (vt.libvirt.pool_obj_get_asyncjobs(obj) > 0)
    return;
  for (guint i = 0; i < names->len; i++) {
    VtVolDef *vol = vt.libvirt.vol_find_by_name(obj, g_ptr_array_index(names, i));
    if (vol)
      vt.libvirt.pool_obj_remove_vol(obj, vol);
  }
}

/* Was volume @name removed from the group, or moved out of it, without libvirt? */
static gboolean is_gone(const VtSource *source, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PoolInfo) group = vtbackend_service_pool(source, NULL);
  g_autoptr(PoolVolumeInfo) volume =
      group ? vtbackend_service_volume(source->vg, name, &error) : NULL;
  return volume ? g_strcmp0(volume->pool, source->pool) != 0
                : group && g_error_matches(error, VT_ERROR, ENOENT);
}

static gboolean delete_volume(VtPoolObj *obj, VtVolDef *vol, const VtSource *source,
                              unsigned int flags, GError **error)
{
  const char *const names[] = {vtbackend_vol_name(vol), NULL};
  gboolean with_snapshots = (flags & VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS) != 0;
  VolumeGroup *group = vtbackend_service_for_changes(source->vg, error);
  if (!group ||
      (!with_snapshots &&
       !pool_guest_check_clones(
           group, names, "virsh vol-delete --delete-snapshots deletes it nevertheless", error)))
    return FALSE;
  g_autoptr(GPtrArray) snapshots =
      with_snapshots ? snapshots_of(source, names[0]) : g_ptr_array_new();
  if ((flags & VIR_STORAGE_VOL_DELETE_ZEROED) &&
      !zero_volume(source, names[0], vtbackend_vol_capacity(vol), error))
    return FALSE;
  if (!pool_remove(group, names, with_snapshots, error))
    return FALSE;
  forget_volumes(obj, snapshots);
  return TRUE;
}

int vtbackend_delete_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  const unsigned int known = VIR_STORAGE_VOL_DELETE_ZEROED | VIR_STORAGE_VOL_DELETE_WITH_SNAPSHOTS;
  just_created = NULL;
  if (flags & ~known)
    return vtbackend_report(VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) for deleting volume %s",
                            flags & ~known, vtbackend_vol_name(vol));
  if (!vtbackend_source_of(obj, &source))
    return -1;
  if (!is_gone(&source, vtbackend_vol_name(vol)) &&
      !delete_volume(obj, vol, &source, flags, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  vtbackend_vol_allocation(vol) = 0;
  refresh_totals(obj, &source);
  return 0;
}
