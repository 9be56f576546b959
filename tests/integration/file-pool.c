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
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/open.h"
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
  VtIo io;
  FilePool *pool;
  VtIo *file;
  char *opener;
} Handle;

/* --- I/O --- */

static char *path_of(FilePool *pool, const char *name)
{
  return g_build_filename(pool->folder, name, NULL);
}

static VtIo *file_of(VtIo *volume)
{
  return ((Handle *)volume)->file;
}

static void volume_free(VtIo *volume)
{
  Handle *handle = (Handle *)volume;

  g_mutex_lock(&handle->pool->lock);
  g_ptr_array_remove(handle->pool->handles, handle);
  g_mutex_unlock(&handle->pool->lock);
  vt_io_unref(handle->file);
  g_free(handle->opener);
  g_free(handle);
}

static guint64 volume_size(VtIo *volume)
{
  return vt_io_size(file_of(volume));
}

static gboolean volume_readv(VtIo *volume, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  return vt_io_readv(file_of(volume), iov, n_iov, offset, error);
}

static gboolean volume_writev(VtIo *volume, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  const char *poison = g_getenv("FILE_POOL_POISON");

  if (poison && iov[0].iov_len >= strlen(poison) &&
      memcmp(iov[0].iov_base, poison, strlen(poison)) == 0)
    raise(SIGILL);
  return vt_io_writev(file_of(volume), iov, n_iov, offset, error);
}

static gboolean volume_zero(VtIo *volume, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  return vt_io_zero(file_of(volume), offset, length, VT_IO_ZERO_MAY_UNMAP, error);
}

static gboolean volume_discard(VtIo *volume, guint64 offset, guint64 length, GError **error)
{
  return vt_io_discard(file_of(volume), offset, length, error);
}

static gboolean volume_flush(VtIo *volume, GError **error)
{
  return vt_io_flush(file_of(volume), error);
}

static gboolean volume_extent(VtIo *volume, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  return vt_io_extent(file_of(volume), offset, limit, length, mapped, error);
}

static const VtIoOps volume_ops = {
    .readv = volume_readv,
    .writev = volume_writev,
    .zero = volume_zero,
    .discard = volume_discard,
    .flush = volume_flush,
    .extent = volume_extent,
    .size = volume_size,
    .free = volume_free,
};

static VtIo *open_handle(FilePool *pool, const char *name, gboolean read_only, const char *opener,
                         GError **error)
{
  g_autofree char *path = path_of(pool, name);
  int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  Handle *handle;
  VtIo *file;

  if (fd == -1) {
    vt_set_errno(error, errno, "%s", name);
    return NULL;
  }
  if (!(file = vt_io_new_file(fd, path, read_only, error)))
    return NULL;
  handle = g_new0(Handle, 1);
  vt_io_init(&handle->io, &volume_ops, name, read_only);
  handle->io.chunk_size = 65536;
  handle->pool = pool;
  handle->file = file;
  handle->opener = g_strdup(opener);
  g_mutex_lock(&pool->lock);
  g_ptr_array_add(pool->handles, handle);
  g_mutex_unlock(&pool->lock);
  return &handle->io;
}

static VtIo *volume_open(VolumeGroup *group, const char *name, gboolean read_only,
                         const char *opener, GError **error)
{
  return open_handle((FilePool *)group, name, read_only, opener, error);
}

static gboolean is_read_only(const char *name)
{
  return g_str_has_prefix(name, "snap_");
}

static VtIo *volume_open_view(VolumeGroup *group, const char *name, GError **error)
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
    if (handle->opener && strcmp(vt_io_name(&handle->io), name) == 0)
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

VolumeGroup *pool_open_bundled(const char *vg, const PoolWhere *where, GError **error)
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
