/* virt-thin - a VolumeGroup in memory, for tests of what serves one
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "memory-pool.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

typedef struct {
  char *name, *opener, *of, *snapshot; /* the last two NULL: it is no snapshot */
  guint32 device;
  guint64 size; /* atomic */
  gboolean read_only;
  guint8 **chunks; /* atomic pointers: NULL, not mapped */
  guint64 n_chunks;
  guint opens, views;
  pthread_rwlock_t unmapping; /* for writing: chunks are being freed */
  pthread_mutex_t bytes[64];  /* of chunk number modulo 64: clients may write where others read */
} Memory;

typedef struct {
  VolumeGroup base;
  pthread_mutex_t lock;
  pthread_cond_t opened;
  GPtrArray *volumes;
  int fail[MEMORY_KINDS];
  guint delay[MEMORY_KINDS], count[MEMORY_KINDS];
  gboolean closed[MEMORY_KINDS];
  guint waiting;
  guint32 last_device;
} MemoryPool;

typedef struct {
  VtIo io;
  MemoryPool *pool;
  Memory *memory;
  gboolean view;
} MemoryVolume;

static gboolean enter_pool(MemoryPool *pool, MemoryKind kind, GError **error)
{
  __atomic_fetch_add(&pool->count[kind], 1, __ATOMIC_RELAXED);
  guint delay = __atomic_load_n(&pool->delay[kind], __ATOMIC_RELAXED);
  if (delay)
    g_usleep(delay);
  if (__atomic_load_n(&pool->closed[kind], __ATOMIC_RELAXED)) {
    pthread_mutex_lock(&pool->lock);
    pool->waiting++;
    while (pool->closed[kind])
      pthread_cond_wait(&pool->opened, &pool->lock);
    pool->waiting--;
    pthread_mutex_unlock(&pool->lock);
  }
  int err = __atomic_load_n(&pool->fail[kind], __ATOMIC_RELAXED);
  return err == 0 || vt_set_errno(error, err, "the test says no");
}

static gboolean enter(VtIo *volume, MemoryKind kind, GError **error)
{
  return enter_pool(((MemoryVolume *)volume)->pool, kind, error);
}

static guint8 *get_chunk(Memory *memory, guint64 index, gboolean make)
{
  guint8 *chunk = __atomic_load_n(&memory->chunks[index], __ATOMIC_ACQUIRE);
  if (chunk || !make)
    return chunk;
  guint8 *fresh = g_malloc0(MEMORY_CHUNK);
  if (__atomic_compare_exchange_n(&memory->chunks[index], &chunk, fresh, FALSE, __ATOMIC_ACQ_REL,
                                  __ATOMIC_ACQUIRE))
    return fresh;
  g_free(fresh);
  return chunk;
}

static void transfer(Memory *memory, const struct iovec *iov, int n_iov, guint64 offset,
                     gboolean writing)
{
  pthread_rwlock_rdlock(&memory->unmapping);
  for (int i = 0; i < n_iov; i++) {
    guint8 *p = iov[i].iov_base;
    for (gsize left = iov[i].iov_len, n; left > 0; left -= n, p += n, offset += n) {
      gsize at = offset % MEMORY_CHUNK;
      n = MIN(left, MEMORY_CHUNK - at);
      guint8 *chunk = get_chunk(memory, offset / MEMORY_CHUNK, writing);
      pthread_mutex_t *lock = &memory->bytes[offset / MEMORY_CHUNK % G_N_ELEMENTS(memory->bytes)];
      pthread_mutex_lock(lock);
      if (writing)
        memcpy(chunk + at, p, n);
      else if (chunk)
        memcpy(p, chunk + at, n);
      else
        memset(p, 0, n);
      pthread_mutex_unlock(lock);
    }
  }
  pthread_rwlock_unlock(&memory->unmapping);
}

static gboolean volume_readv(VtIo *volume, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  if (!enter(volume, MEMORY_READ, error))
    return FALSE;
  transfer(((MemoryVolume *)volume)->memory, iov, n_iov, offset, FALSE);
  return TRUE;
}

static gboolean volume_writev(VtIo *volume, const struct iovec *iov, int n_iov, guint64 offset,
                              GError **error)
{
  if (!enter(volume, MEMORY_WRITE, error))
    return FALSE;
  transfer(((MemoryVolume *)volume)->memory, iov, n_iov, offset, TRUE);
  return TRUE;
}

/* Whole chunks are unmapped if @unmap, parts zeroed if @parts. */
static void clear(Memory *memory, guint64 offset, guint64 length, gboolean unmap, gboolean parts)
{
  pthread_rwlock_wrlock(&memory->unmapping);
  for (guint64 n; length > 0; length -= n, offset += n) {
    gsize at = offset % MEMORY_CHUNK;
    n = MIN(length, MEMORY_CHUNK - at);
    guint8 *chunk = get_chunk(memory, offset / MEMORY_CHUNK, FALSE);
    if (!chunk || (n < MEMORY_CHUNK && !parts))
      continue;
    memset(chunk + at, 0, n);
    if (unmap && n == MEMORY_CHUNK)
      g_free(__atomic_exchange_n(&memory->chunks[offset / MEMORY_CHUNK], NULL, __ATOMIC_ACQ_REL));
  }
  pthread_rwlock_unlock(&memory->unmapping);
}

static gboolean volume_zero(VtIo *volume, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  if (!enter(volume, MEMORY_ZERO, error))
    return FALSE;
  clear(((MemoryVolume *)volume)->memory, offset, length, flags & VT_IO_ZERO_MAY_UNMAP, TRUE);
  return TRUE;
}

static gboolean volume_discard(VtIo *volume, guint64 offset, guint64 length, GError **error)
{
  if (!enter(volume, MEMORY_DISCARD, error))
    return FALSE;
  clear(((MemoryVolume *)volume)->memory, offset, length, TRUE, FALSE);
  return TRUE;
}

static gboolean volume_back(VtIo *volume, guint64 offset, guint64 length, GError **error)
{
  if (!enter(volume, MEMORY_ZERO, error))
    return FALSE;
  for (guint64 i = offset / MEMORY_CHUNK; i <= (offset + length - 1) / MEMORY_CHUNK; i++)
    get_chunk(((MemoryVolume *)volume)->memory, i, TRUE);
  return TRUE;
}

static gboolean volume_flush(VtIo *volume, GError **error)
{
  return enter(volume, MEMORY_FLUSH, error);
}

static gboolean volume_extent(VtIo *volume, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  Memory *memory = ((MemoryVolume *)volume)->memory;
  if (!enter(volume, MEMORY_EXTENT, error))
    return FALSE;
  guint64 end = offset + limit, at = offset;
  *mapped = get_chunk(memory, at / MEMORY_CHUNK, FALSE) != NULL;
  do
    at = (at / MEMORY_CHUNK + 1) * MEMORY_CHUNK;
  while (at < end && (get_chunk(memory, at / MEMORY_CHUNK, FALSE) != NULL) == *mapped);
  *length = MIN(at, end) - offset;
  return TRUE;
}

static guint64 volume_size(VtIo *volume)
{
  return __atomic_load_n(&((MemoryVolume *)volume)->memory->size, __ATOMIC_RELAXED);
}

static void volume_free(VtIo *base)
{
  MemoryVolume *volume = (MemoryVolume *)base;
  pthread_mutex_lock(&volume->pool->lock);
  if (volume->view)
    volume->memory->views--;
  else
    volume->memory->opens--;
  pthread_mutex_unlock(&volume->pool->lock);
  g_free(volume);
}

static const VtIoOps volume_ops = {
    .readv = volume_readv,
    .writev = volume_writev,
    .zero = volume_zero,
    .discard = volume_discard,
    .back = volume_back,
    .flush = volume_flush,
    .extent = volume_extent,
    .size = volume_size,
    .free = volume_free,
};

static Memory *find(MemoryPool *pool, const char *name, GError **error)
{
  for (guint i = 0; i < pool->volumes->len; i++)
    if (g_str_equal(((Memory *)pool->volumes->pdata[i])->name, name))
      return pool->volumes->pdata[i];
  vt_set_error(error, ENOENT, "there is no volume %s", name);
  return NULL;
}

static VtIo *open_volume(VolumeGroup *base, const char *name, gboolean read_only,
                         const char *opener, GError **error)
{
  MemoryPool *pool = (MemoryPool *)base;
  Memory *memory = find(pool, name, error);
  if (!memory)
    return NULL;
  if (opener && memory->read_only && !read_only)
    return vt_set_error(error, EROFS, "%s is read-only", name), NULL;
  MemoryVolume *volume = g_new0(MemoryVolume, 1);
  vt_io_init(&volume->io, &volume_ops, name, read_only || memory->read_only);
  volume->io.chunk_size = MEMORY_CHUNK;
  volume->pool = pool;
  volume->memory = memory;
  volume->view = !opener;
  pthread_mutex_lock(&pool->lock);
  if (opener) {
    memory->opens++;
    g_free(memory->opener);
    memory->opener = g_strdup(opener);
  } else
    memory->views++;
  pthread_mutex_unlock(&pool->lock);
  return &volume->io;
}

static VtIo *open_view(VolumeGroup *base, const char *name, GError **error)
{
  return open_volume(base, name, FALSE, NULL, error);
}

static PoolVolumeInfo *info_new(Memory *memory)
{
  PoolVolumeInfo *info = g_new0(PoolVolumeInfo, 1);
  info->vg = g_strdup("mem");
  info->name = g_strdup(memory->name);
  info->pool = g_strdup("data");
  info->size = memory->size;
  info->read_only = memory->read_only;
  info->device_id = memory->device;
  info->uuid = g_strdup_printf("uuid-%u", memory->device);
  info->snapshot_of = g_strdup(memory->of);
  info->snapshot_name = g_strdup(memory->snapshot);
  return info;
}

static PoolVolumeInfo *get_volume(VolumeGroup *base, const char *name, GError **error)
{
  Memory *memory = find((MemoryPool *)base, name, error);
  return memory ? info_new(memory) : NULL;
}

static GPtrArray *list_volumes(VolumeGroup *base, const char *thin_pool, GError **error)
{
  MemoryPool *pool = (MemoryPool *)base;
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
  for (guint i = 0; i < pool->volumes->len; i++)
    g_ptr_array_add(list, info_new(pool->volumes->pdata[i]));
  return list;
}

/* Of chunk @i; FALSE: there is no difference. What the two hold is compared, where a pool compares
 * what it maps. */
static gboolean compare(Memory *left, Memory *right, guint64 i, PoolDeltaKind *kind)
{
  guint8 *a = i < left->n_chunks ? get_chunk(left, i, FALSE) : NULL;
  guint8 *b = i < right->n_chunks ? get_chunk(right, i, FALSE) : NULL;
  if ((!a && !b) || (a && b && memcmp(a, b, MEMORY_CHUNK) == 0))
    return FALSE;
  *kind = !a ? POOL_DELTA_RIGHT_ONLY : !b ? POOL_DELTA_LEFT_ONLY : POOL_DELTA_DIFFERENT;
  return TRUE;
}

static gboolean delta(VolumeGroup *base, const char *left, const char *right, PoolDeltaFlags flags,
                      guint64 *offset, guint max, GArray *runs, GError **error)
{
  MemoryPool *pool = (MemoryPool *)base;
  Memory *a = find(pool, left, error), *b = a ? find(pool, right, error) : NULL;
  guint first = runs->len;
  if (!b || !enter_pool(pool, MEMORY_DELTA, error))
    return FALSE;
  guint64 i = *offset / MEMORY_CHUNK, n = MAX(a->n_chunks, b->n_chunks);
  for (; i < n; i++) {
    PoolDeltaRun run = {i * MEMORY_CHUNK, MEMORY_CHUNK, 0};
    if (!compare(a, b, i, &run.kind))
      continue;
    PoolDeltaRun *last =
        runs->len > first ? &g_array_index(runs, PoolDeltaRun, runs->len - 1) : NULL;
    if (last && last->kind == run.kind && last->offset + last->length == run.offset)
      last->length += MEMORY_CHUNK;
    else if (runs->len - first == max)
      break;
    else
      g_array_append_val(runs, run);
  }
  *offset = i < n ? i * MEMORY_CHUNK : G_MAXUINT64;
  return TRUE;
}

static void memory_free(gpointer data)
{
  Memory *memory = data;
  for (guint64 i = 0; i < memory->n_chunks; i++)
    g_free(memory->chunks[i]);
  g_free(memory->chunks);
  g_free(memory->name);
  g_free(memory->opener);
  g_free(memory->of);
  g_free(memory->snapshot);
  pthread_rwlock_destroy(&memory->unmapping);
  for (guint i = 0; i < G_N_ELEMENTS(memory->bytes); i++)
    pthread_mutex_destroy(&memory->bytes[i]);
  g_free(memory);
}

static gboolean memory_close(VolumeGroup *base, GError **error)
{
  MemoryPool *pool = (MemoryPool *)base;
  for (guint i = 0; i < pool->volumes->len; i++)
    g_assert_cmpint(((Memory *)pool->volumes->pdata[i])->opens, ==, 0);
  g_ptr_array_unref(pool->volumes);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->opened);
  g_free(pool);
  return TRUE;
}

static const PoolOps pool_ops = {
    .name = "memory",
    .close = memory_close,
    .list_volumes = list_volumes,
    .get_volume = get_volume,
    .delta = delta,
    .volume_open = open_volume,
    .volume_open_view = open_view,
};

VolumeGroup *memory_pool_new(void)
{
  MemoryPool *pool = g_new0(MemoryPool, 1);
  pool->base.ops = &pool_ops;
  pool->volumes = g_ptr_array_new_with_free_func(memory_free);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->opened, NULL);
  return &pool->base;
}

void memory_pool_add(VolumeGroup *base, const char *name, guint64 size, gboolean read_only)
{
  Memory *memory = g_new0(Memory, 1);
  memory->name = g_strdup(name);
  memory->device = ++((MemoryPool *)base)->last_device;
  memory->size = size;
  memory->read_only = read_only;
  pthread_rwlock_init(&memory->unmapping, NULL);
  for (guint i = 0; i < G_N_ELEMENTS(memory->bytes); i++)
    pthread_mutex_init(&memory->bytes[i], NULL);
  memory->n_chunks = size / MEMORY_CHUNK + 1025; /* room to grow */
  memory->chunks = g_new0(guint8 *, memory->n_chunks);
  g_ptr_array_add(((MemoryPool *)base)->volumes, memory);
}

void memory_pool_snapshot(VolumeGroup *base, const char *volume, const char *snapshot)
{
  g_autofree char *name = g_strdup_printf("snap_%s_%s", volume, snapshot);
  Memory *from = find((MemoryPool *)base, volume, NULL), *memory;
  memory_pool_add(base, name, from->size, TRUE);
  memory = find((MemoryPool *)base, name, NULL);
  memory->of = g_strdup(volume);
  memory->snapshot = g_strdup(snapshot);
  for (guint64 i = 0; i < MIN(from->n_chunks, memory->n_chunks); i++)
    if (from->chunks[i])
      memory->chunks[i] = g_memdup2(from->chunks[i], MEMORY_CHUNK);
}

void memory_pool_remove(VolumeGroup *base, const char *name)
{
  Memory *memory = find((MemoryPool *)base, name, NULL);
  g_assert_cmpuint(memory->opens, ==, 0);
  g_ptr_array_remove(((MemoryPool *)base)->volumes, memory);
}

void memory_pool_make_writable(VolumeGroup *base, const char *name)
{
  find((MemoryPool *)base, name, NULL)->read_only = FALSE;
}

void memory_pool_fail(VolumeGroup *base, MemoryKind kind, int err)
{
  __atomic_store_n(&((MemoryPool *)base)->fail[kind], err, __ATOMIC_RELAXED);
}

void memory_pool_delay(VolumeGroup *base, MemoryKind kind, guint delay_us)
{
  __atomic_store_n(&((MemoryPool *)base)->delay[kind], delay_us, __ATOMIC_RELAXED);
}

guint memory_pool_gate(VolumeGroup *base, MemoryKind kind, gboolean closed)
{
  MemoryPool *pool = (MemoryPool *)base;
  pthread_mutex_lock(&pool->lock);
  __atomic_store_n(&pool->closed[kind], closed, __ATOMIC_RELAXED);
  guint waiting = pool->waiting;
  pthread_cond_broadcast(&pool->opened);
  pthread_mutex_unlock(&pool->lock);
  return waiting;
}

guint memory_pool_waiting(VolumeGroup *base)
{
  MemoryPool *pool = (MemoryPool *)base;
  pthread_mutex_lock(&pool->lock);
  guint waiting = pool->waiting;
  pthread_mutex_unlock(&pool->lock);
  return waiting;
}

guint memory_pool_count(VolumeGroup *base, MemoryKind kind)
{
  return __atomic_load_n(&((MemoryPool *)base)->count[kind], __ATOMIC_RELAXED);
}

guint memory_pool_opens(VolumeGroup *base, const char *name, char **opener)
{
  MemoryPool *pool = (MemoryPool *)base;
  Memory *memory = find(pool, name, NULL);
  pthread_mutex_lock(&pool->lock);
  guint opens = memory->opens;
  if (opener)
    *opener = g_strdup(memory->opener);
  pthread_mutex_unlock(&pool->lock);
  return opens;
}

guint memory_pool_views(VolumeGroup *base, const char *name)
{
  MemoryPool *pool = (MemoryPool *)base;
  Memory *memory = find(pool, name, NULL);
  pthread_mutex_lock(&pool->lock);
  guint views = memory->views;
  pthread_mutex_unlock(&pool->lock);
  return views;
}

void memory_pool_resize(VolumeGroup *base, const char *name, guint64 size)
{
  Memory *memory = find((MemoryPool *)base, name, NULL);
  g_assert(size / MEMORY_CHUNK < memory->n_chunks);
  __atomic_store_n(&memory->size, size, __ATOMIC_RELAXED);
}
