/* virt-thin - the volumes of the FUSE folder, and who has their files open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Handles live in an array as large as the shared one, so that I/O finds its volume without a lock:
 * the kernel sends RELEASE only after the last request with that handle is answered.
 */
#include "config.h"

#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "service/fuse/folder.h"
#include "util/proc.h"

struct Folder {
  VolumeGroup *group;
  Shared *shared;
  pthread_rwlock_t lock;      /* tables, and what changes in FolderVolume */
  GHashTable *by_name;        /* char * (the volume's) -> FolderVolume, owned by by_ino */
  GHashTable *by_ino;         /* guint64 * -> FolderVolume */
  GArray *sorted;             /* of guint64, all numbers in order; NULL: to be made again */
  GHashTable *hidden;         /* thin pools not shown; "" for linear LVs */
  pthread_mutex_t opens_lock; /* SharedOpen allocation, SharedMode */
  guint next_open;
  VtIo **handles; /* of SHARED_MAX_OPENS */
  uid_t uid;
  gid_t gid;
  guint64 size, used; /* bytes of all thin pools */
  gint space_looked_at;
};

/* FNV-1a, kept within what an offset of readdir() can hold and clear of the numbers used for ".",
 * ".." and the root. */
static guint64 ino_of(const char *uuid)
{
  guint64 hash = 0xcbf29ce484222325ull;
  for (const char *p = uuid; *p; p++)
    hash = (hash ^ (guint8)*p) * 0x100000001b3ull;
  return (hash & 0x3fffffffffffffffull) | 0x100;
}

void folder_volume_unref(FolderVolume *volume)
{
  if (!g_atomic_int_dec_and_test(&volume->refs))
    return;
  g_free(volume->uuid);
  g_free(volume->name);
  g_free(volume->pool);
  g_free(volume);
}

static FolderVolume *volume_ref(FolderVolume *volume)
{
  g_atomic_int_inc(&volume->refs);
  return volume;
}

/* Take over what may change. Called with the lock held for writing, or before anybody else knows
 * the volume. */
static void volume_set(FolderVolume *volume, const PoolVolumeInfo *info)
{
  g_free(volume->name);
  volume->name = g_strdup(info->name);
  g_free(volume->pool);
  volume->pool = g_strdup(info->pool);
  volume->size = info->size;
  if (info->mapped != G_MAXUINT64)
    volume->mapped = info->mapped;
  volume->sector_size = info->sector_size;
  volume->read_only = info->read_only;
  volume->active = info->active;
}

static void add_volume(Folder *folder, const PoolVolumeInfo *info, guint64 chunk_size)
{
  guint64 ino = ino_of(info->uuid);
  FolderVolume *volume = g_hash_table_lookup(folder->by_ino, &ino);

  if (volume && strcmp(volume->uuid, info->uuid) != 0) {
    g_warning("%s/%s has no file: its UUID collides with that of %s", info->vg, info->name,
              volume->name);
    return;
  }
  if (volume) {
    g_hash_table_remove(folder->by_name, volume->name);
  } else {
    volume = g_new0(FolderVolume, 1);
    volume->refs = 1;
    volume->ino = ino;
    volume->uuid = g_strdup(info->uuid);
    volume->creation_time = info->creation_time;
    volume->chunk_size = chunk_size;
    g_hash_table_insert(folder->by_ino, &volume->ino, volume);
    g_clear_pointer(&folder->sorted, g_array_unref);
  }
  volume_set(volume, info);
  g_hash_table_replace(folder->by_name, volume->name, volume);
}

static void remove_volume(Folder *folder, FolderVolume *volume)
{
  g_hash_table_remove(folder->by_name, volume->name);
  g_hash_table_remove(folder->by_ino, &volume->ino);
  g_clear_pointer(&folder->sorted, g_array_unref);
}

/* --- open files --- */

static guint64 handle_make(guint index, guint32 generation)
{
  return (guint64)generation << 32 | index;
}

static SharedOpen *handle_find(Folder *folder, guint64 fh)
{
  guint index = (guint32)fh;
  if (index >= SHARED_MAX_OPENS)
    return NULL;
  SharedOpen *open = &folder->shared->header->opens[index];
  return __atomic_load_n(&open->ino, __ATOMIC_ACQUIRE) && open->generation == fh >> 32 ? open
                                                                                       : NULL;
}

static VtIo *open_pool_volume(Folder *folder, const char *name, const SharedOpen *open,
                              GError **error)
{
  if (open->flags & SHARED_OPEN_NODE)
    return pool_volume_open_view(folder->group, name, error);
  g_autofree char *opener =
      g_strdup_printf("%s, pid %d", open->comm[0] ? open->comm : "a process", open->pid);
  return pool_volume_open(folder->group, name, !(open->flags & SHARED_OPEN_WRITE), opener, error);
}

static void restore_opens(Folder *folder)
{
  for (guint i = 0; i < SHARED_MAX_OPENS; i++) {
    SharedOpen *open = &folder->shared->header->opens[i];
    if (!open->ino)
      continue;
    g_autoptr(GError) error = NULL;
    FolderVolume *volume = g_hash_table_lookup(folder->by_ino, &open->ino);
    if (volume)
      folder->handles[i] = open_pool_volume(folder, volume->name, open, &error);
    if (error)
      g_warning("%s: open file of %s, pid %d, cannot be served: %s", volume->name, open->comm,
                open->pid, error->message);
  }
}

static void read_comm(pid_t pid, char comm[20])
{
  g_autofree char *name = vt_process_name(pid);

  memset(comm, 0, 20);
  if (name)
    g_strlcpy(comm, name, 20);
}

/* A free record. Called with opens_lock held. */
static SharedOpen *take_open(Folder *folder, guint64 ino, guint64 unique, guint *index)
{
  SharedHeader *header = folder->shared->header;
  for (guint n = 0; n < SHARED_MAX_OPENS; n++) {
    guint i = (folder->next_open + n) % SHARED_MAX_OPENS;
    SharedOpen *open = &header->opens[i];
    if (open->ino)
      continue;
    folder->next_open = (i + 1) % SHARED_MAX_OPENS;
    open->generation++;
    open->unique = unique;
    open->flags = 0;
    g_atomic_pointer_set((gpointer *)&folder->handles[i], NULL);
    __atomic_store_n(&open->ino, ino, __ATOMIC_RELEASE);
    *index = i;
    return open;
  }
  return NULL;
}

gboolean folder_open(Folder *folder, FolderVolume *volume, gboolean write, pid_t pid,
                     guint64 unique, guint64 *fh, GError **error)
{
  g_autofree char *name = NULL;
  SharedOpen *open;
  guint index;

  pthread_rwlock_rdlock(&folder->lock);
  gboolean read_only = volume->read_only;
  name = g_strdup(volume->name);
  pthread_rwlock_unlock(&folder->lock);
  if (write && read_only)
    return vt_set_error(error, EROFS, "%s is read-only", name);

  pthread_mutex_lock(&folder->opens_lock);
  open = take_open(folder, volume->ino, unique, &index);
  pthread_mutex_unlock(&folder->opens_lock);
  if (!open)
    return vt_set_error(error, ENFILE, "%s: %u files are open already", name, SHARED_MAX_OPENS);
  open->pid = pid;
  open->flags = (write ? SHARED_OPEN_WRITE : 0) |
                (pid == folder->shared->header->nodes_pid ? SHARED_OPEN_NODE : 0);
  read_comm(pid, open->comm);
  VtIo *handle = open_pool_volume(folder, name, open, error);
  if (!handle) {
    __atomic_store_n(&open->ino, 0, __ATOMIC_RELEASE);
    return FALSE;
  }
  g_atomic_pointer_set((gpointer *)&folder->handles[index], handle);
  *fh = handle_make(index, open->generation);
  return TRUE;
}

/* An OPEN that is being replayed has perhaps taken a record already, which nobody will release. */
void folder_forget_open(Folder *folder, guint64 unique)
{
  pthread_mutex_lock(&folder->opens_lock);
  for (guint i = 0; i < SHARED_MAX_OPENS; i++) {
    SharedOpen *open = &folder->shared->header->opens[i];
    if (open->ino && open->unique == unique) {
      g_clear_pointer(&folder->handles[i], vt_io_unref);
      open->ino = 0;
    }
  }
  pthread_mutex_unlock(&folder->opens_lock);
}

void folder_close(Folder *folder, guint64 fh)
{
  SharedOpen *open = handle_find(folder, fh);

  if (!open)
    return; /* released by an engine that died before it could say so */
  VtIo *handle = g_atomic_pointer_get((gpointer *)&folder->handles[(guint32)fh]);
  g_atomic_pointer_set((gpointer *)&folder->handles[(guint32)fh], NULL);
  pthread_mutex_lock(&folder->opens_lock);
  __atomic_store_n(&open->ino, 0, __ATOMIC_RELEASE);
  pthread_mutex_unlock(&folder->opens_lock);
  if (handle)
    vt_io_unref(handle);
}

VtIo *folder_handle(Folder *folder, guint64 fh)
{
  return handle_find(folder, fh) ? g_atomic_pointer_get((gpointer *)&folder->handles[(guint32)fh])
                                 : NULL;
}

gboolean folder_handle_writes(Folder *folder, guint64 fh)
{
  SharedOpen *open = handle_find(folder, fh);
  return open && (open->flags & SHARED_OPEN_WRITE);
}

/* --- owners and modes --- */

static SharedMode *find_mode(Folder *folder, guint64 ino, gboolean create)
{
  SharedMode *modes = folder->shared->header->modes;
  for (guint n = 0, i = ino >> 8; n < SHARED_MAX_MODES; n++, i++) {
    SharedMode *mode = &modes[i % SHARED_MAX_MODES];
    if (mode->ino == ino)
      return mode;
    if (mode->ino == 0)
      return create ? mode : NULL;
  }
  return NULL;
}

/* A volume's file is as a disk's node: for root and its group. A snapshot's cannot be opened for
 * writing by anybody; nor is it for all to read. */
static mode_t default_mode(const FolderVolume *volume)
{
  return volume->read_only ? 0440 : 0660;
}

int folder_set_mode(Folder *folder, FolderVolume *volume, mode_t mode, uid_t uid, gid_t gid)
{
  int result = 0;

  pthread_mutex_lock(&folder->opens_lock);
  SharedMode *entry = find_mode(folder, volume->ino, TRUE);
  if (!entry) {
    result = ENOSPC;
  } else {
    if (entry->ino == 0) {
      entry->uid = folder->uid;
      entry->gid = folder->gid;
      entry->mode = default_mode(volume);
    }
    if (mode != (mode_t)-1)
      entry->mode = mode & 07777;
    if (uid != (uid_t)-1)
      entry->uid = uid;
    if (gid != (gid_t)-1)
      entry->gid = gid;
    __atomic_store_n(&entry->ino, volume->ino, __ATOMIC_RELEASE);
  }
  pthread_mutex_unlock(&folder->opens_lock);
  return result;
}

void folder_stat(Folder *folder, FolderVolume *volume, struct stat *st)
{
  memset(st, 0, sizeof *st);
  g_atomic_int_set(&volume->looked_at, 1);
  pthread_rwlock_rdlock(&folder->lock);
  st->st_ino = volume->ino;
  st->st_size = volume->size;
  st->st_blocks = MIN(volume->mapped, volume->size) / 512;
  st->st_mode = S_IFREG | default_mode(volume);
  pthread_rwlock_unlock(&folder->lock);
  st->st_nlink = 1;
  st->st_uid = folder->uid;
  st->st_gid = folder->gid;
  st->st_blksize = 4096;
  st->st_mtim.tv_sec = st->st_ctim.tv_sec = st->st_atim.tv_sec = volume->creation_time;
  pthread_mutex_lock(&folder->opens_lock);
  SharedMode *mode = find_mode(folder, volume->ino, FALSE);
  if (mode) {
    st->st_mode = S_IFREG | mode->mode;
    st->st_uid = mode->uid;
    st->st_gid = mode->gid;
  }
  pthread_mutex_unlock(&folder->opens_lock);
}

void folder_stat_root(Folder *folder, struct stat *st)
{
  memset(st, 0, sizeof *st);
  st->st_ino = 1;
  st->st_mode = S_IFDIR | 0755;
  st->st_nlink = 2;
  st->st_uid = folder->uid;
}

/* --- volumes --- */

static gboolean shows_locked(Folder *folder, const char *thin_pool)
{
  return !g_hash_table_contains(folder->hidden, thin_pool ? thin_pool : "");
}

FolderVolume *folder_lookup(Folder *folder, const char *name)
{
  pthread_rwlock_rdlock(&folder->lock);
  FolderVolume *volume = g_hash_table_lookup(folder->by_name, name);
  if (volume)
    volume = shows_locked(folder, volume->pool) ? volume_ref(volume) : NULL;
  pthread_rwlock_unlock(&folder->lock);
  return volume;
}

FolderVolume *folder_get(Folder *folder, guint64 ino)
{
  pthread_rwlock_rdlock(&folder->lock);
  FolderVolume *volume = g_hash_table_lookup(folder->by_ino, &ino);
  if (volume)
    volume_ref(volume);
  pthread_rwlock_unlock(&folder->lock);
  return volume;
}

static gint compare_numbers(gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return x < y ? -1 : x > y;
}

/* The numbers in order; made again after a change. Called with the lock held for writing. */
static void sort_volumes(Folder *folder)
{
  GHashTableIter iter;
  gpointer key;

  folder->sorted = g_array_new(FALSE, FALSE, sizeof(guint64));
  g_hash_table_iter_init(&iter, folder->by_ino);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    g_array_append_val(folder->sorted, *(guint64 *)key);
  g_array_sort(folder->sorted, compare_numbers);
}

static void entry_clear(gpointer data)
{
  g_free(((FolderEntry *)data)->name);
}

static NodeShape shape_of(const FolderVolume *volume)
{
  NodeShape shape = {volume->read_only, volume->sector_size};

  return shape;
}

GArray *folder_list(Folder *folder, guint64 after, guint max)
{
  GArray *entries = g_array_new(FALSE, FALSE, sizeof(FolderEntry));
  g_array_set_clear_func(entries, entry_clear);

  pthread_rwlock_wrlock(&folder->lock);
  if (!folder->sorted)
    sort_volumes(folder);
  const guint64 *numbers = (const guint64 *)folder->sorted->data;
  guint low = 0, high = folder->sorted->len;
  while (low < high) {
    guint middle = (low + high) / 2;
    if (numbers[middle] > after)
      high = middle;
    else
      low = middle + 1;
  }
  for (; low < folder->sorted->len && entries->len < max; low++) {
    FolderVolume *volume = g_hash_table_lookup(folder->by_ino, &numbers[low]);
    FolderEntry entry = {volume->ino, shape_of(volume), g_strdup(volume->name)};
    if (shows_locked(folder, volume->pool))
      g_array_append_val(entries, entry);
    else
      g_free(entry.name);
  }
  pthread_rwlock_unlock(&folder->lock);
  return entries;
}

GArray *folder_list_active(Folder *folder)
{
  GArray *entries = g_array_new(FALSE, FALSE, sizeof(FolderEntry));
  GHashTableIter iter;
  gpointer value;

  g_array_set_clear_func(entries, entry_clear);
  pthread_rwlock_rdlock(&folder->lock);
  g_hash_table_iter_init(&iter, folder->by_ino);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    FolderVolume *volume = value;
    FolderEntry entry = {volume->ino, shape_of(volume), NULL};
    if (!volume->active || !shows_locked(folder, volume->pool))
      continue;
    entry.name = g_strdup(volume->name);
    g_array_append_val(entries, entry);
  }
  pthread_rwlock_unlock(&folder->lock);
  return entries;
}

gboolean folder_wants_node(Folder *folder, const char *name, NodeShape *shape)
{
  pthread_rwlock_rdlock(&folder->lock);
  FolderVolume *volume = g_hash_table_lookup(folder->by_name, name);
  gboolean wants = volume && volume->active && shows_locked(folder, volume->pool);
  if (wants)
    *shape = shape_of(volume);
  pthread_rwlock_unlock(&folder->lock);
  return wants;
}

void folder_show(Folder *folder, const char *thin_pool, gboolean shown)
{
  pthread_rwlock_wrlock(&folder->lock);
  if (shown)
    g_hash_table_remove(folder->hidden, thin_pool ? thin_pool : "");
  else
    g_hash_table_add(folder->hidden, g_strdup(thin_pool ? thin_pool : ""));
  pthread_rwlock_unlock(&folder->lock);
}

gboolean folder_shows(Folder *folder, const char *thin_pool)
{
  pthread_rwlock_rdlock(&folder->lock);
  gboolean shown = shows_locked(folder, thin_pool);
  pthread_rwlock_unlock(&folder->lock);
  return shown;
}

/* Bytes; 0: not known. Asked of the pool, so not while a FUSE request is being answered. */
static guint64 chunk_size_of(VolumeGroup *group, const char *thin_pool)
{
  g_autoptr(PoolInfo) info = thin_pool ? pool_get_info(group, thin_pool, NULL) : NULL;
  return info ? info->chunk_size : 0;
}

/* Make the entry of @name what the pool says now: events may come late, and in another order than
 * the changes. */
static void update_name(Folder *folder, const char *name)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(folder->group, name, NULL);
  guint64 chunk_size = info ? chunk_size_of(folder->group, info->pool) : 0;

  pthread_rwlock_wrlock(&folder->lock);
  FolderVolume *old = g_hash_table_lookup(folder->by_name, name);
  if (old && (!info || strcmp(old->uuid, info->uuid) != 0))
    remove_volume(folder, old);
  if (info)
    add_volume(folder, info, chunk_size);
  pthread_rwlock_unlock(&folder->lock);
}

void folder_update(Folder *folder, const char *name, const char *old_name)
{
  update_name(folder, name); /* first, so that a renamed volume stays the one it is */
  if (old_name)
    update_name(folder, old_name);
}

static void refresh_space(Folder *folder)
{
  g_autoptr(GPtrArray) pools = pool_list_pools(folder->group, NULL);
  guint64 size = 0, used = 0;

  for (guint i = 0; pools && i < pools->len; i++) {
    const PoolInfo *info = pools->pdata[i];
    size += info->size;
    used += MIN(info->used, info->size); /* what is not known is not free */
  }
  pthread_rwlock_wrlock(&folder->lock);
  folder->size = size;
  folder->used = used;
  pthread_rwlock_unlock(&folder->lock);
}

void folder_space(Folder *folder, guint64 *size, guint64 *used)
{
  g_atomic_int_set(&folder->space_looked_at, 1);
  pthread_rwlock_rdlock(&folder->lock);
  *size = folder->size;
  *used = folder->used;
  pthread_rwlock_unlock(&folder->lock);
}

void folder_refresh(Folder *folder)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  GHashTableIter iter;
  gpointer value;

  if (g_atomic_int_compare_and_exchange(&folder->space_looked_at, 1, 0))
    refresh_space(folder);
  pthread_rwlock_rdlock(&folder->lock);
  g_hash_table_iter_init(&iter, folder->by_ino);
  while (g_hash_table_iter_next(&iter, NULL, &value))
    if (g_atomic_int_compare_and_exchange(&((FolderVolume *)value)->looked_at, 1, 0))
      g_ptr_array_add(names, g_strdup(((FolderVolume *)value)->name));
  pthread_rwlock_unlock(&folder->lock);

  for (guint i = 0; i < names->len; i++) {
    g_autoptr(PoolVolumeInfo) info = pool_get_volume(folder->group, names->pdata[i], NULL);
    g_autoptr(FolderVolume) volume = info ? folder_lookup(folder, info->name) : NULL;
    if (!volume || info->mapped == G_MAXUINT64)
      continue;
    pthread_rwlock_wrlock(&folder->lock);
    volume->mapped = info->mapped;
    pthread_rwlock_unlock(&folder->lock);
  }
}

Folder *folder_new(VolumeGroup *group, Shared *shared, GError **error)
{
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, error);
  g_autoptr(GHashTable) chunk_sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  struct group *disk = geteuid() == 0 ? getgrnam("disk") : NULL;

  if (!volumes)
    return NULL;
  Folder *folder = g_new0(Folder, 1);
  folder->group = group;
  folder->shared = shared;
  pthread_rwlock_init(&folder->lock, NULL);
  pthread_mutex_init(&folder->opens_lock, NULL);
  folder->by_name = g_hash_table_new(g_str_hash, g_str_equal);
  folder->by_ino =
      g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, (GDestroyNotify)folder_volume_unref);
  folder->hidden = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  folder->handles = g_new0(VtIo *, SHARED_MAX_OPENS);
  folder->uid = geteuid();
  folder->gid = disk ? disk->gr_gid : getegid();
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *info = volumes->pdata[i];
    guint64 *chunk_size = g_hash_table_lookup(chunk_sizes, info->pool ? info->pool : "");
    if (!chunk_size) {
      chunk_size = g_new(guint64, 1);
      *chunk_size = chunk_size_of(group, info->pool);
      g_hash_table_insert(chunk_sizes, info->pool ? info->pool : (char *)"", chunk_size);
    }
    add_volume(folder, info, *chunk_size);
  }
  refresh_space(folder);
  restore_opens(folder);
  return folder;
}

void folder_free(Folder *folder)
{
  for (guint i = 0; i < SHARED_MAX_OPENS; i++)
    if (folder->handles[i])
      vt_io_unref(folder->handles[i]);
  g_free(folder->handles);
  g_hash_table_unref(folder->by_name);
  g_hash_table_unref(folder->by_ino);
  g_hash_table_unref(folder->hidden);
  g_clear_pointer(&folder->sorted, g_array_unref);
  pthread_rwlock_destroy(&folder->lock);
  pthread_mutex_destroy(&folder->opens_lock);
  g_free(folder);
}
