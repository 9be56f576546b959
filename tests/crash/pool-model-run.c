/* virt-thin - a long random run of a whole volume group against a plain model in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: pool-model-run [SEED]      $VIRT_THIN_TEST_LONG: 200,000 operations instead of 20,000
 *
 * Volumes are made, cloned (also from snapshots), snapshotted, rolled back, renamed, resized,
 * removed, written, zeroed, discarded, read, flushed, and the pool is opened again; every read is
 * compared, our own check follows every operation that changes the group, and every so often
 * everything is read and the closed group is judged by lvm2 and thin-provisioning-tools.
 */
#include "../unit/pool-helper.h"
#include "../unit/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u
#define SIZE_MAX_MIB 8u
#define BLOCKS_MAX ((guint)(SIZE_MAX_MIB * MIB / BLOCK))
#define VOLUMES_MAX 20u
#define PER_CHUNK ((guint)(64 * KIB / BLOCK))

typedef struct {
  char *name, *snapshot_of, *snapshot; /* the last two: of a snapshot that is read-only */
  guint blocks;
  guint32 *now; /* stamp of each block */
} Vol;

typedef enum {
  CREATE,
  CLONE,
  SNAPSHOT,
  ROLLBACK,
  RENAME,
  REMOVE,
  RESIZE,
  WRITE,
  ZERO,
  DISCARD,
  READ,
  FLUSH,
  REOPEN,
  N_KINDS
} Kind;
static const guint weights[N_KINDS] = {4, 4, 6, 4, 2, 8, 4, 40, 5, 8, 20, 5, 1};

typedef struct {
  GRand *rand;
  GPtrArray *vols; /* of Vol */
  VolumeGroup *pool;
  char *path;
  guint32 next; /* for names and stamps */
  guint done[N_KINDS], full, checks;
  guint64 n_blocks; /* compared */
} Run;

static void vol_free(gpointer data)
{
  Vol *v = data;
  g_free(v->name);
  g_free(v->snapshot_of);
  g_free(v->snapshot);
  g_free(v->now);
  g_free(v);
}

static Vol *vol_add(Run *run, char *name, guint blocks, const Vol *origin)
{
  Vol *v = g_new0(Vol, 1);
  v->name = name;
  v->blocks = blocks;
  v->now = g_new0(guint32, BLOCKS_MAX);
  if (origin)
    memcpy(v->now, origin->now, BLOCKS_MAX * sizeof *v->now);
  g_ptr_array_add(run->vols, v);
  return v;
}

static Vol *vol_find(Run *run, const char *name)
{
  for (guint i = 0; i < run->vols->len; i++)
    if (strcmp(((Vol *)run->vols->pdata[i])->name, name) == 0)
      return run->vols->pdata[i];
  return NULL;
}

/* One that is a snapshot (@snapshot), is none, or (-1) any; NULL: there is none. */
static Vol *vol_any(Run *run, int snapshot)
{
  g_autoptr(GPtrArray) some = g_ptr_array_new();
  for (guint i = 0; i < run->vols->len; i++) {
    Vol *v = run->vols->pdata[i];
    if (snapshot < 0 || (v->snapshot != NULL) == snapshot)
      g_ptr_array_add(some, v);
  }
  return some->len ? some->pdata[g_rand_int_range(run->rand, 0, some->len)] : NULL;
}

/* --- blocks --- */

static void fill_block(guint64 *words, guint32 stamp, guint number)
{
  for (guint i = 0; i < BLOCK / 8; i++)
    words[i] = stamp ? (i % 2 ? number : stamp) : 0;
}

/* The blocks are @v's; after ENOSPC they may also be *@other, and the model learns which. */
static void compare(Run *run, Vol *v, const guint64 *found, guint begin, guint n,
                    const guint32 *other)
{
  guint64 expected[BLOCK / 8];
  for (guint i = 0; i < n; i++, found += BLOCK / 8) {
    guint32 stamp = v->now[begin + i];
    if (other && found[0] == *other)
      stamp = *other;
    fill_block(expected, stamp, begin + i);
    if (memcmp(found, expected, BLOCK) != 0)
      fail_msg("%s: block %u holds %" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT ", not %u", v->name,
               begin + i, found[0], found[1], stamp);
    v->now[begin + i] = stamp;
  }
  run->n_blocks += n;
}

static void read_and_compare(Run *run, VtIo *volume, Vol *v, guint begin, guint n,
                             const guint32 *other)
{
  g_autofree guint64 *found = g_malloc(n * BLOCK + 1);
  assert_done(vt_io_read(volume, found, (gsize)n * BLOCK, (guint64)begin * BLOCK, &error));
  compare(run, v, found, begin, n, other);
}

static void verify_all(Run *run)
{
  for (guint i = 0; i < run->vols->len; i++) {
    Vol *v = run->vols->pdata[i];
    VtIo *volume;
    assert_done((volume = pool_volume_open(run->pool, v->name, TRUE, "the model run", &error)) !=
                NULL);
    assert_int_equal(vt_io_size(volume), (guint64)v->blocks * BLOCK);
    read_and_compare(run, volume, v, 0, v->blocks, NULL);
    vt_io_unref(volume);
  }
  g_autoptr(GPtrArray) infos = NULL;
  assert_done((infos = pool_list_volumes(run->pool, "data", &error)) != NULL);
  assert_int_equal(infos->len, run->vols->len);
}

/* --- I/O --- */

static void any_range(Run *run, const Vol *v, guint *begin, guint *n)
{
  guint most = g_rand_boolean(run->rand)   ? 4
               : g_rand_boolean(run->rand) ? 2 * PER_CHUNK
                                           : 12 * PER_CHUNK;
  *begin = g_rand_int_range(run->rand, 0, v->blocks);
  *n = 1 + g_rand_int_range(run->rand, 0, most);
  *n = MIN(*n, v->blocks - *begin);
}

static gboolean do_io(Run *run, Kind kind, VtIo *volume, guint begin, guint n, guint32 stamp,
                      GError **error)
{
  guint64 offset = (guint64)begin * BLOCK, length = (guint64)n * BLOCK;
  if (kind == ZERO)
    return vt_io_zero(volume, offset, length, g_rand_boolean(run->rand) ? VT_IO_ZERO_MAY_UNMAP : 0,
                      error);
  if (kind == DISCARD)
    return vt_io_discard(volume, offset, length, error);
  if (kind == FLUSH)
    return vt_io_flush(volume, error);
  g_autofree guint64 *buf = g_malloc(length);
  for (guint i = 0; i < n; i++)
    fill_block(buf + (gsize)i * BLOCK / 8, stamp, begin + i);
  return vt_io_write(volume, buf, length, offset, error);
}

static void io(Run *run, Kind kind)
{
  Vol *v = vol_any(run, kind == READ ? -1 : 0);
  VtIo *volume;
  guint begin, n;
  gboolean zeros = g_rand_int_range(run->rand, 0, 6) == 0;
  guint32 stamp = kind == WRITE && !zeros ? run->next++ : 0;
  g_autoptr(GError) cause = NULL;
  if (!v)
    return;
  any_range(run, v, &begin, &n);
  assert_done((volume = pool_volume_open(run->pool, v->name, kind == READ, "the model run",
                                         &error)) != NULL);
  if (kind == READ) {
    read_and_compare(run, volume, v, begin, n, NULL);
  } else if (!do_io(run, kind, volume, begin, n, stamp, &cause)) {
    if (!g_error_matches(cause, VT_ERROR, ENOSPC))
      fail_msg("%s: %s", v->name, cause->message);
    run->full++;
    read_and_compare(run, volume, v, begin, n, &stamp);
  } else if (kind != FLUSH) {
    if (kind == DISCARD) {
      guint end = begin + n == v->blocks ? v->blocks : (begin + n) / PER_CHUNK * PER_CHUNK;
      begin = (begin + PER_CHUNK - 1) / PER_CHUNK * PER_CHUNK;
      n = MAX(begin, end) - begin;
    }
    for (guint i = begin; i < begin + n; i++)
      v->now[i] = stamp;
  }
  vt_io_unref(volume);
}

/* --- changes of the group --- */

static char *new_name(Run *run)
{
  return g_strdup_printf("vm-%u-disk-0", 100 + run->next++);
}

static void create(Run *run)
{
  guint mib = g_rand_int_range(run->rand, 1, SIZE_MAX_MIB + 1);
  Vol *v = vol_add(run, new_name(run), mib * (MIB / BLOCK), NULL);
  assert_done(pool_create(run->pool, "data", v->name, mib * MIB, &error));
}

static void clone_volume(Run *run, Vol *origin)
{
  guint blocks = origin->blocks, grown = MIN(BLOCKS_MAX, blocks + MIB / BLOCK);
  gboolean grow = g_rand_boolean(run->rand) && grown > blocks;
  Vol *v = vol_add(run, new_name(run), grow ? grown : blocks, origin);
  assert_done(
      pool_clone(run->pool, origin->name, v->name, grow ? (guint64)grown * BLOCK : 0, &error));
}

static void snapshot(Run *run, Vol *origin)
{
  char *snap = g_strdup_printf("s%u", run->next++);
  Vol *v = vol_add(run, g_strdup_printf("snap_%s_%s", origin->name, snap), origin->blocks, origin);
  v->snapshot_of = g_strdup(origin->name);
  v->snapshot = snap;
  assert_done(pool_snapshot(run->pool, origin->name, snap, &error));
}

static void rollback(Run *run, Vol *snap)
{
  Vol *v = vol_find(run, snap->snapshot_of);
  if (!v)
    return;
  assert_done(pool_rollback(run->pool, v->name, snap->snapshot, &error));
  v->blocks = snap->blocks;
  memcpy(v->now, snap->now, BLOCKS_MAX * sizeof *v->now);
}

static void rename_volume(Run *run, Vol *v)
{
  g_autofree char *old = v->name;
  v->name = new_name(run);
  assert_done(pool_rename(run->pool, old, v->name, &error));
  for (guint i = 0; i < run->vols->len; i++) {
    Vol *s = run->vols->pdata[i];
    if (!s->snapshot_of || strcmp(s->snapshot_of, old) != 0)
      continue;
    g_free(s->snapshot_of);
    g_free(s->name);
    s->snapshot_of = g_strdup(v->name);
    s->name = g_strdup_printf("snap_%s_%s", v->name, s->snapshot);
  }
}

static void remove_volume(Run *run, Vol *v)
{
  gboolean with_snapshots = g_rand_boolean(run->rand) && !v->snapshot;
  const char *names[] = {v->name, NULL};
  assert_done(pool_remove(run->pool, names, with_snapshots, &error));
  for (guint i = run->vols->len; i > 0 && with_snapshots; i--) {
    Vol *s = run->vols->pdata[i - 1];
    if (s->snapshot_of && strcmp(s->snapshot_of, v->name) == 0)
      g_ptr_array_remove_index(run->vols, i - 1);
  }
  g_ptr_array_remove(run->vols, v);
}

static void resize(Run *run, Vol *v)
{
  guint mib = g_rand_int_range(run->rand, 1, SIZE_MAX_MIB + 1), blocks = mib * (MIB / BLOCK);
  assert_done(pool_resize(run->pool, v->name, mib * MIB, blocks < v->blocks, &error));
  for (guint i = blocks; i < BLOCKS_MAX; i++)
    v->now[i] = 0;
  v->blocks = blocks;
}

static void reopen(Run *run, gboolean judge)
{
  helper_close(run->pool);
  if (judge)
    helper_judge(run->path, NULL);
  run->pool = helper_open(run->path);
}

static void change(Run *run, Kind kind)
{
  gboolean full = run->vols->len >= VOLUMES_MAX;
  Vol *plain = vol_any(run, 0), *snap = vol_any(run, 1), *any = vol_any(run, -1);
  if (full && (kind == CREATE || kind == CLONE || kind == SNAPSHOT))
    kind = REMOVE;
  if (!plain && (kind == SNAPSHOT || kind == RENAME || kind == RESIZE || (kind == CLONE && !any)))
    kind = CREATE;
  run->done[kind]++;
  switch (kind) {
  case CREATE: create(run); break;
  case CLONE: clone_volume(run, any); break;
  case SNAPSHOT: snapshot(run, plain); break;
  case ROLLBACK:
    if (snap)
      rollback(run, snap);
    break;
  case RENAME: rename_volume(run, plain); break;
  case REMOVE:
    if (any)
      remove_volume(run, any);
    break;
  case RESIZE: resize(run, plain); break;
  default: reopen(run, FALSE);
  }
  helper_check_pool(run->pool, "data");
  run->checks++;
}

static Kind any_kind(Run *run)
{
  guint total = 0;
  for (guint i = 0; i < N_KINDS; i++)
    total += weights[i];
  guint pick = g_rand_int_range(run->rand, 0, total);
  Kind kind = 0;
  while (pick >= weights[kind])
    pick -= weights[kind++];
  return kind;
}

static guint32 seed = 20250606;

static void test_run(void **state)
{
  const guint n_ops = g_getenv("VIRT_THIN_TEST_LONG") ? 200000 : 20000, judge_every = 1000,
              verify_every = 250;
  Run run = {.rand = g_rand_new_with_seed(seed),
             .vols = g_ptr_array_new_with_free_func(vol_free),
             .next = 1};
  guint judged = 0;
  run.path = helper_make(34 * MIB, MIB);
  run.pool = helper_open(run.path);
  for (guint i = 1; i <= n_ops; i++) {
    progress("%u of %u operations", i, n_ops);
    Kind kind = any_kind(&run);
    if (kind >= WRITE && kind <= FLUSH) {
      run.done[kind]++;
      io(&run, kind);
    } else {
      change(&run, kind);
    }
    if (i % verify_every == 0)
      verify_all(&run);
    if (i % judge_every == 0) {
      reopen(&run, TRUE);
      verify_all(&run);
      judged++;
    }
  }
  helper_close(run.pool);
  const guint *d = run.done;
  print_message("# seed %u, %u operations: %u creates, %u clones, %u snapshots, %u rollbacks, %u "
                "renames, %u removals, "
                "%u resizes, %u writes, %u zeros, %u discards, %u reads, "
                "%u flushes, %u reopens; %u ran out of space\n",
                seed, n_ops, d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7], d[8], d[9], d[10],
                d[11], d[12], run.full);
  print_message("# %u runs of our check, %u times judged by lvm2 and thin-provisioning-tools, "
                "%" G_GUINT64_FORMAT " blocks compared\n",
                run.checks, judged, run.n_blocks);
  g_ptr_array_unref(run.vols);
  g_rand_free(run.rand);
}

int main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_run, helper_setup, helper_teardown)};
  if (argc > 1)
    seed = strtoul(argv[1], NULL, 0);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
