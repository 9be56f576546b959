/* virt-thin - a pool over a plain folder, in the place of the bundled one
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * So that what fails with it is the service, not the engine. pool_open_bundled() as service-tool.c
 * and the service call it: volumes are the files of $FILE_POOL_FOLDER; names that begin with snap_
 * are read-only and not active. With $FILE_POOL_FAILS it does not open, for that reason; a write
 * that begins with $FILE_POOL_POISON ends the process.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/pool-private.h"

typedef struct {
  VolumeGroup base;
  char *vg;
  const char *folder;
  GMutex lock;
  GPtrArray *handles; /* of Handle, those of volumes in use */
  PoolEventFunc event_func;
  PoolUserFunc user_func;
  gpointer event_data, user_data;
} FilePool;

typedef struct {
  PoolVolume base;
  FilePool *pool;
  int fd;
  gboolean read_only;
  char *name, *opener;
} Handle;

/* --- I/O --- */

static char *path_of(FilePool *pool, const char *name)
{
  return g_build_filename(pool->folder, name, NULL);
}

static void volume_close(PoolVolume *volume)
{
  Handle *handle = (Handle *)volume;

  g_mutex_lock(&handle->pool->lock);
  g_ptr_array_remove(handle->pool->handles, handle);
  g_mutex_unlock(&handle->pool->lock);
  close(handle->fd);
  g_free(handle->name);
  g_free(handle->opener);
  g_free(handle);
}

static const char *volume_name(PoolVolume *volume)
{
  return ((Handle *)volume)->name;
}

static guint64 volume_size(PoolVolume *volume)
{
  struct stat st;
  return fstat(((Handle *)volume)->fd, &st) == 0 ? st.st_size : 0;
}

static guint64 volume_chunk_size(PoolVolume *volume)
{
  return 65536;
}

static gboolean volume_is_read_only(PoolVolume *volume)
{
  return ((Handle *)volume)->read_only;
}

static gboolean check(Handle *handle, ssize_t n, GError **error)
{
  return n >= 0 || vt_set_errno(error, errno, "%s", handle->name);
}

static gboolean volume_readv(PoolVolume *volume, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  Handle *handle = (Handle *)volume;
  return check(handle, preadv(handle->fd, iov, n_iov, offset), error);
}

static gboolean volume_writev(PoolVolume *volume, const struct iovec *iov, int n_iov,
                              guint64 offset, GError **error)
{
  Handle *handle = (Handle *)volume;
  const char *poison = g_getenv("FILE_POOL_POISON");

  if (poison && iov[0].iov_len >= strlen(poison) &&
      memcmp(iov[0].iov_base, poison, strlen(poison)) == 0)
    raise(SIGILL);
  return check(handle, pwritev(handle->fd, iov, n_iov, offset), error);
}

static gboolean volume_zero(PoolVolume *volume, guint64 offset, guint64 length, gboolean may_unmap,
                            GError **error)
{
  Handle *handle = (Handle *)volume;
  return check(handle,
               fallocate(handle->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length),
               error);
}

static gboolean volume_discard(PoolVolume *volume, guint64 offset, guint64 length, GError **error)
{
  return volume_zero(volume, offset, length, TRUE, error);
}

static gboolean volume_flush(PoolVolume *volume, GError **error)
{
  Handle *handle = (Handle *)volume;
  return check(handle, fdatasync(handle->fd), error);
}

static gboolean volume_extent(PoolVolume *volume, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  Handle *handle = (Handle *)volume;
  off_t data = lseek(handle->fd, offset, SEEK_DATA), size = volume_size(volume);

  *mapped = data == (off_t)offset;
  off_t end = *mapped ? lseek(handle->fd, offset, SEEK_HOLE) : data == -1 ? size : data;
  *length = MIN((guint64)end - offset, limit);
  return TRUE;
}

static const PoolVolumeOps volume_ops = {
    .close = volume_close,
    .name = volume_name,
    .size = volume_size,
    .chunk_size = volume_chunk_size,
    .is_read_only = volume_is_read_only,
    .readv = volume_readv,
    .writev = volume_writev,
    .zero = volume_zero,
    .discard = volume_discard,
    .flush = volume_flush,
    .extent = volume_extent,
};

static PoolVolume *open_handle(FilePool *pool, const char *name, gboolean read_only,
                               const char *opener, GError **error)
{
  g_autofree char *path = path_of(pool, name);
  Handle *handle = g_new0(Handle, 1);

  handle->base.ops = &volume_ops;
  handle->pool = pool;
  handle->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (handle->fd == -1) {
    vt_set_errno(error, errno, "%s", name);
    g_free(handle);
    return NULL;
  }
  handle->read_only = read_only;
  handle->name = g_strdup(name);
  handle->opener = g_strdup(opener);
  g_mutex_lock(&pool->lock);
  g_ptr_array_add(pool->handles, handle);
  g_mutex_unlock(&pool->lock);
  return &handle->base;
}

static PoolVolume *volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                               const char *opener, GError **error)
{
  return open_handle((FilePool *)group, name, read_only, opener, error);
}

static gboolean is_read_only(const char *name)
{
  return g_str_has_prefix(name, "snap_");
}

static PoolVolume *volume_open_view(VolumeGroup *group, const char *name, GError **error)
{
  return open_handle((FilePool *)group, name, is_read_only(name), NULL, error);
}

/* --- what there is --- */

static PoolVolumeInfo *get_volume(VolumeGroup *base, const char *name, GError **error)
{
  FilePool *pool = (FilePool *)base;
  g_autofree char *path = path_of(pool, name);
  struct stat st;

  if (stat(path, &st) == -1) {
    vt_set_errno(error, errno, "%s/%s", pool->vg, name);
    return NULL;
  }
  PoolVolumeInfo *info = g_new0(PoolVolumeInfo, 1);
  info->vg = g_strdup(pool->vg);
  info->name = g_strdup(name);
  info->uuid = g_strdup_printf("inode-%lu", st.st_ino);
  info->pool = g_strdup("data");
  info->size = st.st_size;
  info->mapped = st.st_blocks * 512;
  info->vmid = -1;
  info->read_only = is_read_only(name);
  info->active = !info->read_only;
  info->tags = g_new0(char *, 1);
  return info;
}

static GPtrArray *list_volumes(VolumeGroup *base, const char *thin_pool, GError **error)
{
  FilePool *pool = (FilePool *)base;
  GPtrArray *volumes = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
  GDir *dir = g_dir_open(pool->folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    g_ptr_array_add(volumes, get_volume(base, name, NULL));
  if (dir)
    g_dir_close(dir);
  return volumes;
}

static PoolInfo *get_info(VolumeGroup *base, const char *thin_pool, GError **error)
{
  PoolInfo *info = g_new0(PoolInfo, 1);

  info->vg = g_strdup(((FilePool *)base)->vg);
  info->name = g_strdup("data");
  info->uuid = g_strdup("data");
  info->size = 1ull << 40;
  info->chunk_size = 65536;
  info->active = TRUE;
  return info;
}

static GPtrArray *list_pools(VolumeGroup *base, GError **error)
{
  GPtrArray *pools = g_ptr_array_new_with_free_func((GDestroyNotify)pool_info_free);
  g_ptr_array_add(pools, get_info(base, "data", NULL));
  return pools;
}

static PoolVgInfo *get_vg_info(VolumeGroup *base, GError **error)
{
  PoolVgInfo *info = g_new0(PoolVgInfo, 1);

  info->name = g_strdup(((FilePool *)base)->vg);
  info->uuid = g_strdup("vg");
  info->devices = g_new0(char *, 1);
  return info;
}

/* --- changes --- */

static void tell(FilePool *pool, PoolEvent event, const char *name, const char *old_name)
{
  if (pool->event_func)
    pool->event_func(event, name, old_name, pool->event_data);
}

static gboolean check_unused(FilePool *pool, const char *name, GError **error)
{
  const char *const names[] = {name, NULL};
  g_autofree char *user = NULL;
  const char *used;

  g_mutex_lock(&pool->lock);
  for (guint i = 0; i < pool->handles->len && !user; i++) {
    Handle *handle = pool->handles->pdata[i];
    if (handle->opener && strcmp(handle->name, name) == 0)
      user = g_strdup(handle->opener);
  }
  g_mutex_unlock(&pool->lock);
  for (gboolean claim = FALSE; !user && pool->user_func && claim <= TRUE; claim++)
    user = pool->user_func(names, claim, &used, pool->user_data);
  return !user || vt_set_error(error, EBUSY, "%s/%s is in use by %s", pool->vg, name, user);
}

static gboolean create(FilePool *pool, const char *name, guint64 size, GError **error)
{
  g_autofree char *path = path_of(pool, name);
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd == -1 || ftruncate(fd, size) == -1)
    return vt_set_errno(error, errno, "%s", name);
  close(fd);
  tell(pool, POOL_EVENT_ADDED, name, NULL);
  return TRUE;
}

static gboolean copy_content(FilePool *pool, const char *from, const char *to)
{
  g_autofree char *source = path_of(pool, from);
  g_autofree char *target = path_of(pool, to);
  const char *argv[] = {"cp", "--sparse=always", source, target, NULL};
  int status;
  return g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                      &status, NULL) &&
         status == 0;
}

static gboolean snapshot(FilePool *pool, const char *volume, const char *name, GError **error)
{
  g_autofree char *full = g_strdup_printf("snap_%s_%s", volume, name);

  if (!copy_content(pool, volume, full))
    return vt_set_error(error, EIO, "cannot copy %s", volume);
  tell(pool, POOL_EVENT_ADDED, full, NULL);
  return TRUE;
}

static gboolean rollback(FilePool *pool, const char *volume, const char *name, GError **error)
{
  g_autofree char *full = g_strdup_printf("snap_%s_%s", volume, name);

  if (!check_unused(pool, volume, error))
    return FALSE;
  if (!copy_content(pool, full, volume))
    return vt_set_error(error, EIO, "cannot copy %s", full);
  tell(pool, POOL_EVENT_REPLACED, volume, NULL);
  return TRUE;
}

static gboolean rename_volume(FilePool *pool, const char *name, const char *new_name,
                              GError **error)
{
  g_autofree char *from = path_of(pool, name);
  g_autofree char *to = path_of(pool, new_name);

  if (rename(from, to) == -1)
    return vt_set_errno(error, errno, "%s", name);
  tell(pool, POOL_EVENT_RENAMED, new_name, name);
  return TRUE;
}

static gboolean resize(FilePool *pool, const char *name, guint64 size, GError **error)
{
  g_autofree char *path = path_of(pool, name);

  struct stat st;

  if (stat(path, &st) == -1)
    return vt_set_errno(error, errno, "%s", name);
  if (size < (guint64)st.st_size && !check_unused(pool, name, error))
    return FALSE;
  if (truncate(path, size) == -1)
    return vt_set_errno(error, errno, "%s", name);
  tell(pool, POOL_EVENT_RESIZED, name, NULL);
  return TRUE;
}

static gboolean remove_volumes(FilePool *pool, const char *const *names, GError **error)
{
  for (const char *const *name = names; *name; name++) {
    g_autofree char *path = path_of(pool, *name);
    if (!check_unused(pool, *name, error))
      return FALSE;
    if (unlink(path) == -1)
      return vt_set_errno(error, errno, "%s", *name);
    tell(pool, POOL_EVENT_REMOVED, *name, NULL);
  }
  return TRUE;
}

static gboolean change(VolumeGroup *base, const PoolChange *c, GError **error)
{
  FilePool *pool = (FilePool *)base;

  switch (c->kind) {
  case POOL_CREATE: return create(pool, c->name, c->size, error);
  case POOL_SNAPSHOT: return snapshot(pool, c->name, c->other, error);
  case POOL_ROLLBACK: return rollback(pool, c->name, c->other, error);
  case POOL_RENAME: return rename_volume(pool, c->name, c->other, error);
  case POOL_RESIZE: return resize(pool, c->name, c->size, error);
  case POOL_REMOVE: return remove_volumes(pool, c->names, error);
  default: return vt_set_error(error, EOPNOTSUPP, "a folder cannot %s", pool_changes[c->kind].verb);
  }
}

static gboolean deactivate(VolumeGroup *base, const char *thin_pool, gboolean force, GError **error)
{
  g_autoptr(GPtrArray) volumes = list_volumes(base, NULL, NULL);

  for (guint i = 0; i < volumes->len && !force; i++)
    if (!check_unused((FilePool *)base, ((PoolVolumeInfo *)volumes->pdata[i])->name, error))
      return FALSE;
  return TRUE;
}

static void set_event_func(VolumeGroup *base, PoolEventFunc func, gpointer user_data)
{
  ((FilePool *)base)->event_data = user_data;
  ((FilePool *)base)->event_func = func;
}

static void set_user_func(VolumeGroup *base, PoolUserFunc func, gpointer user_data)
{
  ((FilePool *)base)->user_data = user_data;
  ((FilePool *)base)->user_func = func;
}

static gboolean close_pool(VolumeGroup *base, GError **error)
{
  FilePool *pool = (FilePool *)base;

  g_ptr_array_unref(pool->handles);
  g_mutex_clear(&pool->lock);
  g_free(pool->vg);
  g_free(pool);
  return TRUE;
}

static const PoolOps ops = {
    .name = "file",
    .close = close_pool,
    .get_vg_info = get_vg_info,
    .list_pools = list_pools,
    .get_info = get_info,
    .list_volumes = list_volumes,
    .get_volume = get_volume,
    .change = change,
    .deactivate = deactivate,
    .volume_open = volume_open,
    .volume_open_view = volume_open_view,
    .set_event_func = set_event_func,
    .set_user_func = set_user_func,
};

void pool_set_journal(void *memory, gsize size)
{
}

VolumeGroup *pool_open_bundled(const char *vg, const char *const *devices, PoolOpenFlags flags,
                               GError **error)
{
  FilePool *pool = g_new0(FilePool, 1);

  if (g_getenv("FILE_POOL_FAILS")) {
    vt_set_error(error, EBADMSG, "%s", g_getenv("FILE_POOL_FAILS"));
    g_free(pool);
    return NULL;
  }
  pool->base.ops = &ops;
  pool->vg = g_strdup(vg);
  pool->folder = g_getenv("FILE_POOL_FOLDER");
  pool->handles = g_ptr_array_new();
  g_mutex_init(&pool->lock);
  return &pool->base;
}

gboolean pool_init(const char *vg, const char *thin_pool, const char *path, guint64 size,
                   guint64 extent_size, const PoolNew *params, GError **error)
{
  return vt_set_error(error, EOPNOTSUPP, "make a folder");
}
