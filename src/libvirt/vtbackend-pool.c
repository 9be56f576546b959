/* virt-thin - the storage backend's callbacks on pools
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Why the target path is set again and again: libvirt derives it from the source name
 * (/dev/VG/POOL) whenever it parses a pool, but virt-install and virt-clone make the paths of
 * volumes from it, and the volumes are in /dev/VG. libvirt keeps what a callback sets until it
 * parses the pool's document again, which it does at every start, before checkPool.
 *
 * Why a refresh must not fail lightly: libvirt answers a failed refresh by stopping the pool
 * (src/storage/storage_driver.c, storagePoolRefreshFailCleanup). So one volume that cannot be shown
 * is left out, and the stop that follows a failed refresh - on the same thread, at once - leaves
 * the volumes of running guests alone.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libvirt/vtbackend-private.h"
#include "pool/remote/service.h"

#define START_DEADLINE_MS (60 * 1000)

/* Of virStoragePoolBuild(). */
#define OVERWRITE ((unsigned int)VIR_STORAGE_POOL_BUILD_OVERWRITE)
#define NO_OVERWRITE ((unsigned int)VIR_STORAGE_POOL_BUILD_NO_OVERWRITE)

/* The pool whose refresh has just failed on this thread. */
static _Thread_local VtPoolObj *refresh_failed;

static void set_target(VtPoolDef *def, const VtSource *source, GPtrArray *volumes)
{
  g_autofree char *folder = vtbackend_volume_folder(source->vg, volumes);
  if (g_strcmp0(vtbackend_pool_target_path(def), folder) != 0)
    vtbackend_layout_set_string(def, vt.layout.pool_target_path, folder);
}

void vtbackend_set_totals(VtPoolDef *def, const PoolInfo *info)
{
  /* libvirt knows no "not known": then nothing is known to be free */
  vtbackend_pool_capacity(def) = info->size;
  vtbackend_pool_allocation(def) = MIN(info->used, info->size);
  vtbackend_pool_available(def) = info->available;
}

/* lvm2 activates a pool at boot, but not the volumes that are flagged against that: until all are,
 * the pool is to be started. (One that libvirt knows to be active was.) A service shows all or
 * none. */
static gboolean is_whole(const VtSource *source)
{
  g_autoptr(GPtrArray) volumes =
      vtbackend_is_kernels(source->vg) ? vtbackend_service_volumes(source, NULL) : NULL;
  for (guint i = 0; volumes && i < volumes->len; i++) {
    PoolVolumeInfo *info = g_ptr_array_index(volumes, i);
    if (!info->active && !info->skipped)
      return FALSE;
  }
  return TRUE;
}

/* What the pool's document says, and with it whose the VG is to be. */
static gboolean read_document(VtPoolDef *def, const VtSource *source, VtPoolDocument *document,
                              GError **error)
{
  if (!vtbackend_pool_document_read(def, document, error))
    return FALSE;
  vtbackend_tell_engine(source->vg, document->engine);
  return TRUE;
}

int vtbackend_check_pool(VtPoolObj *obj, bool *active)
{
  g_auto(VtSource) source = {0};
  g_auto(VtPoolDocument) document = {0};
  g_autoptr(GError) error = NULL;
  VtPoolDef *def = vt.libvirt.pool_obj_get_def(obj);
  *active = false;
  if (!vtbackend_source_parse(vtbackend_pool_source_name(def), &source, NULL))
    return 0;
  set_target(def, &source, NULL);
  if (!read_document(def, &source, &document, &error)) {
    fprintf(stderr, "virt-thin: pool %s/%s is taken for inactive: %s\n", source.vg, source.pool,
            error->message);
    return 0;
  }
  g_autoptr(PoolInfo) info = vtbackend_service_pool(&source, &error);
  *active = info && info->active && (vt.libvirt.pool_obj_is_active(obj) || is_whole(&source));
  /* ENOENT is the pool at rest. */
  if (!info && !g_error_matches(error, VT_ERROR, ENOENT))
    fprintf(stderr, "virt-thin: pool %s/%s is taken for inactive: %s\n", source.vg, source.pool,
            error->message);
  return 0;
}

/* The devices of the pool's document: only where to look first, the VG may have more. */
static gboolean start_service(const VtSource *source, char **devices, GError **error)
{
  if (vtbackend_choose_again(source->vg)) {
    VolumeGroup *group = vtbackend_service_for_changes(source->vg, error);
    return group && pool_activate(group, source->pool, error);
  }
  return pool_service_start(source->vg, source->pool,
                            *devices ? (const char *const *)devices : NULL, START_DEADLINE_MS,
                            error);
}

int vtbackend_start_pool(VtPoolObj *obj)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  VtPoolDef *def = vt.libvirt.pool_obj_get_def(obj);
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_auto(VtPoolDocument) document = {0};
  if (!read_document(def, &source, &document, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  /* libvirt has marked the pool as starting, so it may be unlocked, as the stock backend does
   * around vgchange. */
  vt.libvirt.object_unlock(obj);
  gboolean started = start_service(&source, document.devices, &error);
  vt.libvirt.object_lock(obj);
  if (!started)
    return vtbackend_report_gerror(g_steal_pointer(&error));
  vtbackend_service_answered(source.vg, TRUE, NULL);
  g_autoptr(PoolInfo) info = vtbackend_service_pool(&source, &error);
  if (!info)
    return vtbackend_report_gerror(g_steal_pointer(&error));
  set_target(vt.libvirt.pool_obj_get_def(obj), &source, NULL);
  return 0;
}

/* --- by the program --- */

static void add_words(GPtrArray *argv, const char *word, ...)
{
  va_list words;
  va_start(words, word);
  for (; word; word = va_arg(words, const char *))
    g_ptr_array_add(argv, (gpointer)word);
  va_end(words);
}

static GPtrArray *program_words(const VtPoolDocument *document)
{
  GPtrArray *argv = g_ptr_array_new();
  add_words(argv, settings_program(), NULL);
  if (document->engine != POOL_ENGINE_AUTO)
    add_words(argv, "--engine", settings_engine_name(document->engine), NULL);
  return argv;
}

static gboolean run_words(GPtrArray *argv, GError **error)
{
  g_ptr_array_add(argv, NULL);
  return vtbackend_spawn((const char *const *)argv->pdata, error);
}

/* Is there a disk, or a file with a size? */
static gboolean has_size(const char *path)
{
  guint64 size = 0;
  struct stat st;
  g_auto(VtFd) fd = {open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (fd.fd < 0)
    return FALSE;
  if (fstat(fd.fd, &st) == 0 && S_ISREG(st.st_mode))
    return st.st_size > 0;
  return ioctl(fd.fd, BLKGETSIZE64, &size) == 0 && size > 0;
}

/* May it be built, where there is @place? */
static gboolean check_place(VtPlace place, const VtSource *source, const VtPoolDocument *document,
                            GError **error)
{
  if (place == VT_GROUP_WITH_POOL)
    return vt_set_error(error, EBUSY,
                        "thin pool %s/%s is there already: `virsh pool-start %s` starts it",
                        source->vg, source->pool, document->name);
  if (place == VT_GROUP)
    return TRUE;
  if (g_strv_length(document->devices) != 1)
    return vt_set_error(error, EINVAL,
                        "there is no volume group %s yet: building %s/%s then needs exactly one "
                        "<device path='...'/> in the pool's <source>, the disk or file to put it "
                        "on; or make it with `virt-thin init %s/%s --size SIZE`",
                        source->vg, source->vg, source->pool, source->vg, source->pool);
  return has_size(document->devices[0]) ||
         vt_set_error(error, EIO, "%s is not a disk or file that exists and has a size",
                      document->devices[0]);
}

/* In a VG that is there, or with one on the device. */
static GPtrArray *build_words(VtPlace place, const VtPoolDocument *document, const char *pool,
                              gboolean overwrite)
{
  GPtrArray *argv = program_words(document);
  for (char **device = document->devices; place == VT_GROUP && *device; device++)
    add_words(argv, "--device", *device, NULL);
  add_words(argv, "init", pool, NULL);
  if (place == VT_NO_GROUP)
    add_words(argv, "--file", document->devices[0], overwrite ? "--force" : NULL, NULL);
  return argv;
}

int vtbackend_build_pool(VtPoolObj *obj, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  if (flags & ~(OVERWRITE | NO_OVERWRITE))
    return vtbackend_report(VIR_ERR_INVALID_ARG,
                            "unsupported flags (0x%x) for building a thin pool",
                            flags & ~(OVERWRITE | NO_OVERWRITE));
  if ((flags & OVERWRITE) && (flags & NO_OVERWRITE))
    return vtbackend_report(VIR_ERR_INVALID_ARG, "%s",
                            "overwrite and no-overwrite exclude each other");
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_auto(VtPoolDocument) document = {0};
  if (!vtbackend_pool_document_read(vt.libvirt.pool_obj_get_def(obj), &document, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  VtPlace place = vtbackend_find_place(&source, document.devices);
  if (!check_place(place, &source, &document, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  g_autofree char *pool = g_strdup_printf("%s/%s", source.vg, source.pool);
  g_autoptr(GPtrArray) argv = build_words(place, &document, pool, (flags & OVERWRITE) != 0);
  vt.libvirt.object_unlock(obj);
  gboolean built = run_words(argv, &error);
  vt.libvirt.object_lock(obj);
  return built ? 0 : vtbackend_report_gerror(g_steal_pointer(&error));
}

/* The path of each volume by its name, for origins. */
static GHashTable *paths_of(GPtrArray *volumes)
{
  GHashTable *paths = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  for (guint i = 0; i < volumes->len; i++) {
    PoolVolumeInfo *info = g_ptr_array_index(volumes, i);
    g_hash_table_insert(paths, info->name, vtbackend_volume_path(info));
  }
  return paths;
}

static void add_volumes(VtPoolObj *obj, GPtrArray *volumes)
{
  VtPoolDef *def = vt.libvirt.pool_obj_get_def(obj);
  g_autoptr(GHashTable) paths = paths_of(volumes);
  for (guint i = 0; i < volumes->len; i++) {
    PoolVolumeInfo *info = g_ptr_array_index(volumes, i);
    g_autoptr(GError) error = NULL;
    VtVolDef *vol = vtbackend_volume_object(def, info, paths, &error);
    if (vol && vt.libvirt.pool_obj_add_vol(obj, vol) == 0)
      continue;
    fprintf(stderr, "virt-thin: volume %s/%s is left out of the pool's list: %s\n", info->vg,
            info->name, error ? error->message : "another has its name, key or path");
    if (vol)
      vt.libvirt.vol_def_free(vol);
    vt.libvirt.reset_last_error();
  }
}

int vtbackend_refresh_pool(VtPoolObj *obj)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  refresh_failed = obj;
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_autoptr(PoolInfo) info = vtbackend_service_pool(&source, &error);
  g_autoptr(GPtrArray) volumes = info ? vtbackend_service_volumes(&source, &error) : NULL;
  if (!volumes)
    return vtbackend_report_gerror(g_steal_pointer(&error));
  VtPoolDef *def = vt.libvirt.pool_obj_get_def(obj);
  set_target(def, &source, volumes);
  vtbackend_set_totals(def, info);
  if (info->health)
    fprintf(stderr, "virt-thin: pool %s/%s: %s\n", source.vg, source.pool, info->health);
  add_volumes(obj, volumes);
  refresh_failed = NULL;
  return 0;
}

/* End a service that no active pool needs. One that somebody uses otherwise says so, and stays. */
static void stop_idle_service(const char *vg)
{
  VolumeGroup *group = vtbackend_service(vg, NULL);
  g_autoptr(GPtrArray) pools = group ? pool_list_pools(group, NULL) : NULL;
  g_autoptr(GError) error = NULL;
  if (!pools)
    return;
  for (guint i = 0; i < pools->len; i++)
    if (((PoolInfo *)g_ptr_array_index(pools, i))->active)
      return;
  if (!pool_service_stop(vg, FALSE, vtbackend_deadline_ms(), &error))
    fprintf(stderr, "virt-thin: the service of volume group %s goes on: %s\n", vg, error->message);
}

int vtbackend_stop_pool(VtPoolObj *obj)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  gboolean after_failure = refresh_failed == obj;
  refresh_failed = NULL;
  if (after_failure)
    return 0;
  if (!vtbackend_source_of(obj, &source))
    return -1;
  /* A service that is not there or does not answer cannot be told; the pool becomes inactive all
   * the same, and whoever uses a volume keeps it. */
  VolumeGroup *group = vtbackend_service_for_changes(source.vg, &error);
  if (!group) {
    if (!g_error_matches(error, VT_ERROR, ENOENT))
      fprintf(stderr, "virt-thin: pool %s/%s is stopped for libvirt only: %s\n", source.vg,
              source.pool, error->message);
    return 0;
  }
  if (!pool_deactivate(group, source.pool, FALSE, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  if (!vtbackend_is_kernels(source.vg))
    stop_idle_service(source.vg);
  return 0;
}

int vtbackend_delete_pool(VtPoolObj *obj, unsigned int flags)
{
  g_auto(VtSource) source = {0};
  g_autoptr(GError) error = NULL;
  if (flags)
    return vtbackend_report(VIR_ERR_INVALID_ARG,
                            "unsupported flags (0x%x) for deleting a thin pool", flags);
  if (!vtbackend_source_of(obj, &source))
    return -1;
  g_auto(VtPoolDocument) document = {0};
  if (!vtbackend_pool_document_read(vt.libvirt.pool_obj_get_def(obj), &document, &error))
    return vtbackend_report_gerror(g_steal_pointer(&error));
  /* Removes a pool only when it is empty, and never the volume group. */
  g_autofree char *pool = g_strdup_printf("%s/%s", source.vg, source.pool);
  g_autoptr(GPtrArray) argv = program_words(&document);
  for (char **device = document.devices; *device; device++)
    add_words(argv, "--device", *device, NULL);
  add_words(argv, "remove", pool, NULL);
  return run_words(argv, &error) ? 0 : vtbackend_report_gerror(g_steal_pointer(&error));
}
