/* virt-thin - volumes made ready to be mounted
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "mount/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "mount/temporary.h"
#include "pool/remote/service.h"
#include "pool/temporary.h"
#include "settings/settings.h"
#include "util/block-users.h"

#define NAME_PART 60 /* of a volume's name that a clone's has */

static void volume_free(gpointer data)
{
  MountVolume *volume = data;

  if (volume->fd != -1)
    close(volume->fd);
  g_free(volume->lv);
  g_free(volume->what);
  g_free(volume->name);
  g_free(volume->path);
  g_free(volume);
}

/* --- finding --- */

static char *find_snapshot(VolumeGroup *group, const char *vg, const char *lv, const char *snapshot,
                           GError **error)
{
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, error);
  g_autoptr(GString) list = g_string_new(NULL);

  for (guint i = 0; volumes && i < volumes->len; i++) {
    PoolVolumeInfo *info = volumes->pdata[i];

    if (g_strcmp0(info->snapshot_of, lv) != 0)
      continue;
    if (g_strcmp0(info->snapshot_name, snapshot) == 0 || strcmp(info->name, snapshot) == 0)
      return g_strdup(info->name);
    g_string_append_printf(list, "%s%s", list->len ? ", " : "", info->snapshot_name);
  }
  if (volumes)
    vt_set_error(error, ENOENT, "volume %s/%s has no snapshot \"%s\"%s%s", vg, lv, snapshot,
                 list->len ? "; it has " : ": it has none", list->str);
  return NULL;
}

char *mount_source_find(VolumeGroup *group, const char *vg, const char *name, GError **error)
{
  const char *at = strchr(name, '@');
  g_autofree char *lv = at ? g_strndup(name, (gsize)(at - name)) : g_strdup(name);
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);

  if (!info)
    return NULL;
  return at ? find_snapshot(group, vg, lv, at + 1, error) : g_steal_pointer(&lv);
}

/* --- the volume group --- */

static gboolean find_all(VolumeGroup *group, const char *vg, const char *const *names,
                         GError **error)
{
  for (; *names; names++) {
    g_autofree char *lv = mount_source_find(group, vg, *names, error);

    if (!lv)
      return FALSE;
  }
  return TRUE;
}

/* Open, by whoever can show volumes to the kernel for longer than this process lives. */
static VolumeGroup *open_group(const char *vg, const char *const *names, GError **error)
{
  VolumeGroup *group = cli_open(vg, POOL_READ_ONLY, error);
  PoolHolder holder = group ? pool_get_holder(group) : POOL_HOLDER_BUNDLED;
  gboolean ok = group && find_all(group, vg, names, error);

  if (!cli_close(group, error) || !ok ||
      (holder == POOL_HOLDER_BUNDLED && !pool_service_borrow(vg, cli_devices(), error)))
    return NULL;
  return cli_open_patient(vg, 0, error);
}

/* Of a service the file, which every user of it has. */
static char *find_path(VolumeGroup *group, const char *vg, const PoolVolumeInfo *info,
                       GError **error)
{
  g_autofree char *folder = settings_vg_file(vg, "volumes"), *path = NULL;

  if (pool_get_holder(group) != POOL_HOLDER_SERVICE)
    path = g_strdup(info->path);
  else
    path = g_build_filename(folder, info->name, NULL);
  if (path && access(path, F_OK) == 0)
    return g_steal_pointer(&path);
  vt_set_error(error, ENOENT, "volume %s/%s is not active: virt-thin activate %s/%s shows it", vg,
               info->name, vg, info->pool ? info->pool : info->name);
  return NULL;
}

/* EBUSY: somebody may write to it. */
static gboolean check_unused(const PoolVolumeInfo *info, const char *path, MountMode mode,
                             GError **error)
{
  g_autofree char *real = realpath(path, NULL),
                  *node = info->path_is_block ? realpath(info->path, NULL) : NULL, *user = NULL;
  g_autoptr(BlockScan) scan = NULL;
  struct stat st;

  if (mode == MOUNT_WRITABLE && info->read_only)
    return vt_set_error(error, EROFS,
                        "%s/%s is read-only, a snapshot or a template: make a clone of it, and "
                        "mount that",
                        info->vg, info->name);
  if (info->read_only || !real || stat(real, &st) == -1)
    return TRUE;
  scan = block_scan_new();
  if (S_ISREG(st.st_mode)) {
    user = block_scan_file_user(scan, real, node ? node : "");
    user = user ? user : block_scan_file_opener(scan, real);
  }
  if (!user && (node || S_ISBLK(st.st_mode)))
    user = block_scan_user(scan, node ? node : real);
  return !user ||
         vt_set_error(error, EBUSY,
                      "%s/%s is in use by %s, so that its file systems change meanwhile: without "
                      "--rw and --direct a clone of it is mounted",
                      info->vg, info->name, user);
}

/* --- taking --- */

static char *clone_name(const char *lv)
{
  g_autofree char *suffix = pool_temporary_suffix();

  return g_strdup_printf("mount_%.*s_%s", NAME_PART, lv, suffix);
}

static gboolean is_thin(VolumeGroup *group, const char *lv, gboolean *thin, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, lv, error);

  *thin = info && info->kind == POOL_VOLUME_THIN;
  return info != NULL;
}

/* @from: what is cloned, @lv itself or a snapshot of it. */
static gboolean take_volume(MountSource *source, VolumeGroup *group, const char *lv,
                            const char *from, MountMode mode, GError **error)
{
  MountVolume *volume = g_new0(MountVolume, 1);
  g_autoptr(PoolVolumeInfo) info = NULL;
  gboolean thin;

  volume->fd = -1;
  volume->lv = g_strdup(lv);
  volume->what = g_strdup_printf("%s/%s", source->vg, lv);
  g_ptr_array_add(source->volumes, volume);
  if (!is_thin(group, from, &thin, error))
    return FALSE;
  volume->mode = mode == MOUNT_CLONE && !thin ? MOUNT_UNTOUCHED : mode;
  volume->name = volume->mode == MOUNT_CLONE ? clone_name(lv) : g_strdup(from);
  if (volume->mode == MOUNT_CLONE) {
    if (!pool_clone(group, from, volume->name, 0, error)) {
      g_prefix_error(error, "%s: no clone of it can be made to mount (mount --direct needs none): ",
                     volume->what);
      return FALSE;
    }
    g_ptr_array_add(source->temporary, g_strdup(volume->name));
  }
  info = pool_get_volume(group, volume->name, error);
  volume->path = info ? find_path(group, source->vg, info, error) : NULL;
  if (!volume->path ||
      (volume->mode != MOUNT_CLONE && !check_unused(info, volume->path, volume->mode, error)))
    return FALSE;
  volume->sector_size = info->sector_size;
  volume->fd = open(volume->path, O_RDONLY | O_CLOEXEC);
  return volume->fd != -1 ||
         vt_set_errno(error, errno, "%s: cannot open %s", volume->what, volume->path);
}

/* Snapshots of @lvs, of one instant: their names. They go in the end if they have no @name. */
static GStrv take_snapshots(MountSource *source, VolumeGroup *group, const char *const *lvs,
                            const char *name, GError **error)
{
  g_autofree char *suffix = pool_temporary_suffix();
  guint n = g_strv_length((GStrv)lvs);
  g_auto(GStrv) names = g_new0(char *, n + 1);

  if (!pool_snapshot_group(group, lvs, name ? name : suffix, error))
    return NULL;
  for (guint i = 0; i < n; i++) {
    names[i] = g_strdup_printf("snap_%s_%s", lvs[i], name ? name : suffix);
    if (!name)
      g_ptr_array_add(source->temporary, g_strdup(names[i]));
  }
  return g_steal_pointer(&names);
}

static gboolean take_all(MountSource *source, VolumeGroup *group, const char *const *names,
                         const char *snapshot, MountMode mode, GError **error)
{
  guint n = g_strv_length((GStrv)names);
  g_auto(GStrv) lvs = g_new0(char *, n + 1), from = NULL;

  for (guint i = 0; i < n; i++)
    if (!(lvs[i] = mount_source_find(group, source->vg, names[i], error)))
      return FALSE;
  if (mode == MOUNT_CLONE && (n > 1 || snapshot) &&
      !(from = take_snapshots(source, group, (const char *const *)lvs, snapshot, error)))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!take_volume(source, group, lvs[i], from ? from[i] : lvs[i], mode, error))
      return FALSE;
  return TRUE;
}

MountSource *mount_source_take(const char *vg, const char *const *names, const char *snapshot,
                               MountMode mode, GError **error)
{
  VolumeGroup *group = open_group(vg, names, error);
  MountSource *source;
  gboolean ok;

  if (!group)
    return NULL;
  source = g_new0(MountSource, 1);
  source->vg = g_strdup(vg);
  source->volumes = g_ptr_array_new_with_free_func(volume_free);
  source->temporary = g_ptr_array_new_with_free_func(g_free);
  temporary_clean(group, vg);
  ok = take_all(source, group, names, snapshot, mode, error);
  ok = cli_close(group, error) && ok;
  if (ok)
    return source;
  mount_source_drop(source, NULL);
  return NULL;
}

/* --- giving back --- */

void mount_source_leave(MountSource *source)
{
  if (!source)
    return;
  g_ptr_array_unref(source->volumes);
  g_ptr_array_unref(source->temporary);
  g_free(source->vg);
  g_free(source);
}

/* The clones, then what they were made of. */
static gboolean remove_temporary(VolumeGroup *group, GPtrArray *names, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = names->len; i-- > 0;)
    ok = pool_temporary_remove(group, names->pdata[i], ok ? error : NULL) && ok;
  return ok;
}

gboolean mount_source_drop(MountSource *source, GError **error)
{
  VolumeGroup *group;
  gboolean ok = TRUE;

  if (!source)
    return TRUE;
  g_ptr_array_set_size(source->volumes, 0);
  if (source->temporary->len) {
    group = cli_open_patient(source->vg, 0, error);
    ok = group && remove_temporary(group, source->temporary, error);
    ok = cli_close(group, ok ? error : NULL) && ok;
  }
  ok = pool_service_give_back(source->vg, ok ? error : NULL) && ok;
  mount_source_leave(source);
  return ok;
}

gboolean mount_source_end(const char *vg, const char *name, GError **error)
{
  VolumeGroup *group = cli_open_patient(vg, 0, error);
  g_autoptr(PoolVolumeInfo) info = group && name ? pool_get_volume(group, name, NULL) : NULL;
  gboolean ok = group != NULL;

  if (info && pool_temporary_is(info))
    ok = pool_temporary_remove(group, name, error);
  if (group)
    temporary_clean(group, vg);
  ok = cli_close(group, ok ? error : NULL) && ok;
  return pool_service_give_back(vg, ok ? error : NULL) && ok;
}
