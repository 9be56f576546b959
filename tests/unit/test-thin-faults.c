/* virt-thin - the thin metadata when things go wrong: each I/O operation failing in turn, no space,
 * damage SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin-helper.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

/* --- every operation fails once ----------------------------------------------------- */

#define N_BLOCKS 1500
#define N_CHUNKS 40000

static gboolean map(ThinMetadata *md, guint32 device, guint64 begin, guint64 n, guint64 step,
                    GError **error)
{
  while (n > 0) {
    guint64 chunk, got;
    if (!thin_metadata_alloc(md, MIN(n, step), &chunk, &got, error) ||
        !thin_metadata_insert(md, device, begin, chunk, got, error))
      return FALSE;
    begin += got;
    n -= got;
  }
  return TRUE;
}

static gboolean part_fill(ThinMetadata *md, GError **error)
{
  return thin_metadata_create(md, 1, error) && map(md, 1, 0, 30000, 700, error) &&
         map(md, 1, 1000000, 8000, 8000, error);
}

static gboolean part_snapshots(ThinMetadata *md, GError **error)
{
  for (guint32 i = 2; i < 7; i++)
    if (!thin_metadata_snapshot(md, i, i - 1, error))
      return FALSE;
  thin_metadata_set_transaction_id(md, 5);
  return TRUE;
}

static gboolean part_break_sharing(ThinMetadata *md, GError **error)
{
  for (guint64 at = 0; at < 30000; at += 240) /* each leaf is copied: more than the cache holds */
    if (!map(md, 1, at, 1, 1, error))
      return FALSE;
  return map(md, 1, 100, 900, 100, error) && map(md, 4, 11000, 500, 1, error) &&
         thin_metadata_remove(md, 3, 50, 9000, error);
}

static gboolean part_grow(ThinMetadata *md, GError **error)
{
  return thin_metadata_grow_data(md, N_CHUNKS * 2, error) &&
         thin_metadata_grow_metadata(md, N_BLOCKS + 50, error);
}

static gboolean part_delete(ThinMetadata *md, GError **error)
{
  return thin_metadata_delete(md, 2, error) && thin_metadata_delete(md, 1, error) &&
         thin_metadata_exchange(md, 3, 4, error);
}

static gboolean part_hold(ThinMetadata *md, GError **error)
{
  return thin_metadata_reserve_snapshot(md, error);
}

static gboolean part_change_held(ThinMetadata *md, GError **error)
{
  return thin_metadata_delete(md, 5, error) && map(md, 6, 0, 300, 300, error);
}

static gboolean part_release(ThinMetadata *md, GError **error)
{
  return thin_metadata_release_snapshot(md, error);
}

static gboolean (*const parts[])(ThinMetadata *md, GError **error) = {
    part_fill,   part_snapshots, part_break_sharing, part_grow,
    part_delete, part_hold,      part_change_held,   part_release,
};
#define N_PARTS G_N_ELEMENTS(parts)

typedef struct {
  guint n_done; /* parts that were committed */
  gboolean in_commit;
  gboolean failed;
} Progress;

static ThinMetadata *run_parts(VtIo *io, Progress *progress)
{
  g_autoptr(GError) error = NULL;
  ThinMetadata *md = thin_metadata_open(io, FALSE, 1, &error);
  *progress = (Progress){.failed = TRUE};
  if (!md)
    return NULL;
  for (; progress->n_done < N_PARTS; progress->n_done++) {
    progress->in_commit = FALSE;
    if (!parts[progress->n_done](md, &error))
      break;
    progress->in_commit = TRUE;
    if (!thin_metadata_commit(md, NULL, NULL, &error))
      break;
    thin_metadata_freed_done(md);
  }
  progress->failed = progress->n_done < N_PARTS;
  if (progress->failed)
    assert_true(g_error_matches(error, VT_ERROR, EIO));
  return md;
}

static char *dump_file(const char *path)
{
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  g_autoptr(GError) error = NULL;
  ThinMetadata *md = thin_metadata_open(io, TRUE, 0, &error);
  assert_no_error(error);
  char *dump = thin_test_dump(md), *flags = strstr(dump, "flags=\"");
  flags[7] = '0'; /* whether needs_check is set is looked at apart */
  thin_metadata_close(md);
  return dump;
}

/* What the disk holds after each part. */
static void record(ThinTest *test, const char *path, char *dumps[N_PARTS + 1])
{
  g_autoptr(VtIo) io = thin_test_file(test, "meta", (N_BLOCKS + 50) * THIN_METADATA_BLOCK);
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  dumps[0] = dump_file(path);
  ThinMetadata *md = thin_metadata_open(io, FALSE, 1, NULL);
  for (guint i = 0; i < N_PARTS; i++) {
    assert_ok(parts[i](md, &error));
    assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
    thin_metadata_freed_done(md);
    dumps[i + 1] = dump_file(path);
    thin_test_assert_thin_check(path);
    thin_test_assert_clean(path, TRUE);
  }
  thin_metadata_close(md);
}

static void assert_last_commit(const char *path, const Progress *progress, char *dumps[N_PARTS + 1])
{
  g_autofree char *dump = dump_file(path);
  /* A commit that failed at its very last flush may have been done. */
  if (progress->in_commit && strcmp(dump, dumps[progress->n_done + 1]) == 0)
    return;
  assert_string_equal(dump, dumps[progress->n_done]);
}

static gboolean has_only_needs_check(const char *path)
{
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  g_autoptr(ThinReport) report = thin_check(io, 0, NULL);
  for (guint i = 0; i < report->errors->len; i++)
    if (!strstr(report->errors->pdata[i], "needs_check"))
      fail_msg("%s", (char *)report->errors->pdata[i]);
  return report->errors->len == 1;
}

/* Returns FALSE when nothing failed. */
static gboolean fail_at(ThinTest *test, const char *path, guint at, char *dumps[N_PARTS + 1])
{
  g_autoptr(VtIo) io = thin_test_file(test, "meta", (N_BLOCKS + 50) * THIN_METADATA_BLOCK);
  Progress progress;
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_READ | VT_IO_WRITE | VT_IO_FLUSH, at, EIO);
  ThinMetadata *md = run_parts(failer, &progress);

  if (!progress.failed) {
    thin_metadata_close(md);
    return FALSE;
  }
  if (md && at % 2) { /* give the transaction up, with a disk that works again or not */
    GError *error = NULL;
    if (at % 4 == 1)
      vt_io_failer_arm(failer, VT_IO_READ, G_MAXUINT, EIO);
    thin_metadata_abort(md, TRUE);
    assert_false(thin_metadata_create(md, 99, &error));
    g_clear_error(&error);
    if (at % 4 == 1) {
      ThinStatus status;
      thin_metadata_status(md, &status);
      assert_true(status.needs_check);
    }
  }
  thin_metadata_close(md);
  if (!has_only_needs_check(path) && at % 4 == 0)
    thin_test_assert_thin_check(path);
  assert_last_commit(path, &progress, dumps);
  return TRUE;
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static void test_every_io_fails_once(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  char *dumps[N_PARTS + 1];
  guint at = 0;
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet,
                                    NULL); /* abort() says that it cannot */

  record(*state, path, dumps);
  while (fail_at(*state, path, at, dumps))
    at++;
  g_log_remove_handler("virt-thin", handler);
  print_message("# %u I/O operations, each failed in turn\n", at);
  assert_true(at > 100);
  for (guint i = 0; i <= N_PARTS; i++)
    g_free(dumps[i]);
}

/* --- no space ----------------------------------------------------------------------- */

static ThinMetadata *new_pool(ThinTest *test, guint64 n_blocks, guint64 n_chunks)
{
  g_autoptr(VtIo) io = thin_test_file(test, "meta", n_blocks * THIN_METADATA_BLOCK);
  g_autoptr(GError) error = NULL;
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, n_chunks, &error));
  ThinMetadata *md = thin_metadata_open(io, FALSE, 1, &error);
  assert_no_error(error);
  return md;
}

/* Metadata fills up: changes that need it are refused and leave all as it was, deletes and commits
 * go on. */
static void test_metadata_full(void **state)
{
  ThinMetadata *md = new_pool(*state, 200, 100000);
  g_autofree char *path = thin_test_path(*state, "meta");

  for (guint32 n = 0;; n++) {
    g_autoptr(GError) error = NULL;
    if (thin_metadata_create(md, n, &error) && map(md, n, 0, 70, 70, &error))
      continue;
    assert_true(g_error_matches(error, VT_ERROR, ENOSPC));
    assert_ok(thin_metadata_commit(md, NULL, NULL, &error)); /* frees what was shadowed */
    thin_test_assert_clean(path, FALSE);
    if (thin_metadata_is_low(md))
      break;
  }
  assert_true(thin_metadata_is_low(md));
  assert_fails(thin_metadata_create(md, 5000, &error), ENOSPC);
  assert_fails(thin_metadata_snapshot(md, 5000, 0, &error), ENOSPC);
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_test_assert_thin_check(path);
  assert_ok(thin_metadata_remove(md, 0, 10, 990, &error));
  assert_ok(thin_metadata_delete(md, 1, &error));
  assert_ok(thin_metadata_delete(md, 2, &error));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_test_assert_thin_check(path);
  assert_false(thin_metadata_is_low(md));
  assert_ok(thin_metadata_create(md, 5000, &error));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_close(md);
}

/* One random operation on a pool that is short of metadata. FALSE with ENOSPC, or because there is
 * no such device. */
static gboolean random_operation(ThinMetadata *md, GRand *rand, guint64 n_chunks, GError **error)
{
  guint32 id = (guint32)g_rand_int_range(rand, 0, 30),
          other = (guint32)g_rand_int_range(rand, 0, 30);
  guint64 begin = (guint64)g_rand_int_range(rand, 0, (gint32)n_chunks / 2), chunk, n = 0;
  gint what = g_rand_int_range(rand, 0, 100);

  if (what < 10)
    return thin_metadata_snapshot(md, id, other, error);
  if (what < 18)
    return thin_metadata_remove(md, id, begin, begin + (guint64)g_rand_int_range(rand, 1, 100),
                                error);
  if (what == 18)
    return thin_metadata_create(md, id, error);
  if (!thin_metadata_alloc(md, g_rand_boolean(rand) ? 1 : (guint64)g_rand_int_range(rand, 1, 300),
                           &chunk, &n, error))
    return FALSE;
  if (thin_metadata_insert(md, id, begin, chunk, n, error))
    return TRUE;
  assert_ok(thin_metadata_unalloc(md, chunk, n, &error));
  return FALSE;
}

/* Whatever is done in a pool as small as LVM makes them, full to the reserve: the next commit
 * succeeds, and so does a delete. */
static void test_reserve_lasts(void **state)
{
  const guint64 n_chunks = 512 * 64;
  ThinMetadata *md = new_pool(*state, 512, n_chunks);
  g_autofree char *path = thin_test_path(*state, "meta");
  GRand *rand = g_rand_new_with_seed(4711);
  guint n_full = 0;

  assert_ok(thin_metadata_create(md, 0, &error));
  for (guint i = 0; i < 15000; i++) {
    g_autoptr(GError) error = NULL;
    if (thin_metadata_wants_commit(md))
      assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
    if (random_operation(md, rand, n_chunks, &error) || !g_error_matches(error, VT_ERROR, ENOSPC)) {
      if (error && !g_error_matches(error, VT_ERROR, ENOENT) &&
          !g_error_matches(error, VT_ERROR, EEXIST))
        fail_msg("%s", error->message);
      continue;
    }
    n_full++;
    assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
    thin_metadata_freed_done(md);
    if (thin_metadata_is_low(md) && g_rand_int_range(rand, 0, 8) == 0) {
      g_autoptr(GArray) devices = thin_metadata_list_devices(md, NULL);
      guint any = (guint)g_rand_int_range(rand, 0, (gint32)devices->len);
      if (devices->len > 1)
        assert_ok(thin_metadata_delete(md, g_array_index(devices, ThinDevice, any).id, &error));
    }
    if (n_full % 500 == 0)
      thin_test_assert_clean(path, FALSE);
  }
  print_message("# out of space %u times\n", n_full);
  assert_true(n_full > 1000);
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_test_assert_clean(path, TRUE);
  thin_test_assert_thin_check(path);
  g_rand_free(rand);
  thin_metadata_close(md);
}

/* A disk that is full for each write of a commit in turn, as where room cannot be had ahead: the
 * transaction stays, may free more, and is committed when there is room. */
static void test_commit_without_room(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  guint at = 0;

  for (gboolean failed = TRUE; failed; at++) {
    g_autoptr(VtIo) io = thin_test_file(*state, "meta", N_BLOCKS * THIN_METADATA_BLOCK);
    g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_WRITE, G_MAXUINT, ENOSPC);
    g_autoptr(GError) error = NULL;
    ThinRun run;
    assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
    ThinMetadata *md = thin_metadata_open(failer, FALSE, 0, &error);
    assert_no_error(error);
    assert_true(part_fill(md, NULL) && thin_metadata_commit(md, NULL, NULL, NULL) &&
                part_snapshots(md, NULL) && part_break_sharing(md, NULL));
    vt_io_failer_arm(failer, VT_IO_WRITE, at, ENOSPC);
    failed = !thin_metadata_commit(md, NULL, NULL, &error);
    if (failed) {
      assert_true(vt_error_is_room(error));
      assert_false(thin_metadata_is_broken(md));
      assert_true(thin_metadata_lacks_room(md));
      assert_fails(thin_metadata_create(md, 50, &error), ENOSPC);
      assert_ok(thin_metadata_remove(md, 4, 11000, 11400, &error));
      assert_fails(thin_metadata_commit(md, NULL, NULL, &error), ENOSPC);
      vt_io_failer_arm(failer, VT_IO_WRITE, G_MAXUINT, ENOSPC);
      assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
      assert_false(thin_metadata_lacks_room(md));
    }
    vt_io_failer_arm(failer, VT_IO_WRITE, G_MAXUINT, ENOSPC);
    thin_metadata_close(md);
    thin_test_assert_clean(path, TRUE);
    if (at % 4 == 0)
      thin_test_assert_thin_check(path);
    md = thin_metadata_open(io, TRUE, 0, NULL);
    assert_ok(thin_metadata_lookup(md, 4, 11000, 11400, &run, &error));
    assert_int_equal(run.mapped, !failed);
    thin_metadata_close(md);
  }
  assert_true(at > 3);
}

/* A flush that finds no room has lost what was written: the transaction is given up, and what is on
 * disk is whole. */
static void test_flush_without_room(void **state)
{
  for (guint at = 0; at < 2; at++) { /* before the superblock, and behind it */
    g_autoptr(VtIo) io = thin_test_file(*state, "meta", N_BLOCKS * THIN_METADATA_BLOCK);
    g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_FLUSH, G_MAXUINT, ENOSPC);
    ThinStatus status = {0};
    assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
    ThinMetadata *md = thin_metadata_open(failer, FALSE, 0, NULL);
    assert_true(part_fill(md, NULL));
    vt_io_failer_arm(failer, VT_IO_FLUSH, at, ENOSPC);
    assert_fails(thin_metadata_commit(md, NULL, NULL, &error), ENOSPC);
    assert_true(thin_metadata_is_broken(md));
    thin_metadata_abort(md, FALSE);
    thin_metadata_close(md);
    md = thin_metadata_open(io, FALSE, 0, NULL);
    assert_non_null(md);
    thin_metadata_status(md, &status);
    assert_false(status.needs_check);
    thin_metadata_close(md);
  }
}

/* The disk fills up while the metadata does not: what is backed is used, but for the reserve; that
 * lets go what frees. */
static void test_backed_ahead(void **state)
{
  const guint64 n_blocks = 60000;
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", n_blocks * THIN_METADATA_BLOCK);
  g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_BACK, G_MAXUINT, ENOSPC);
  g_autofree char *path = thin_test_path(*state, "meta");
  struct stat st;

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, n_blocks * 100, &error));
  ThinMetadata *md = thin_metadata_open(failer, FALSE, 0, NULL);
  assert_int_equal(stat(path, &st), 0);
  assert_in_range(st.st_blocks / 8, 4096, 4096 + 2 * 1024); /* the reserve and a step: bounded */
  vt_io_failer_arm(failer, VT_IO_BACK, 0, EDQUOT);
  GError *full = NULL;
  guint32 n = 0;
  while (thin_metadata_create(md, n, &full) && map(md, n, 0, 70, 70, &full))
    n++;
  assert_true(g_error_matches(full, VT_ERROR, ENOSPC));
  assert_non_null(strstr(full->message, "no room"));
  assert_in_range(n, 512, 2048); /* a block each */
  g_error_free(full);
  assert_true(thin_metadata_lacks_room(md));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  for (guint32 i = 0; i < n; i += 2)
    assert_ok(thin_metadata_delete(md, i, &error));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  assert_false(thin_metadata_is_low(md));
  vt_io_failer_arm(failer, VT_IO_BACK, G_MAXUINT, 0);
  for (guint32 i = 10000; i < 14000; i++)
    assert_true(thin_metadata_create(md, i, NULL) && map(md, i, 0, 70, 70, NULL));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_close(md);
  thin_test_assert_clean(path, FALSE);
  assert_int_equal(stat(path, &st), 0);
  assert_in_range(st.st_blocks / 8, 4096 + 4000, 4096 + 4000 + 3000);
}

static void count_freed(guint64 chunk, guint64 n, gpointer user_data)
{
  *(guint64 *)user_data += n;
}

/* What a transaction frees is free after its commit, and after freed_done(). */
static void test_data_full(void **state)
{
  ThinMetadata *md = new_pool(*state, 300, 1000);
  guint64 chunk, n, freed = 0;
  assert_ok(thin_metadata_create(md, 1, &error));
  assert_ok(map(md, 1, 0, 1000, 1000, &error));
  assert_int_equal(thin_metadata_n_free_chunks(md), 0);
  assert_fails(thin_metadata_alloc(md, 1, &chunk, &n, &error), ENOSPC);
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  assert_ok(thin_metadata_remove(md, 1, 100, 200, &error));
  assert_int_equal(thin_metadata_n_free_chunks(md), 0);
  assert_fails(thin_metadata_alloc(md, 1, &chunk, &n, &error), ENOSPC);
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_freed_foreach(md, count_freed, &freed);
  assert_int_equal(freed, 100);
  assert_fails(thin_metadata_alloc(md, 1, &chunk, &n, &error), ENOSPC);
  thin_metadata_freed_done(md);
  assert_int_equal(thin_metadata_n_free_chunks(md), 100);
  thin_metadata_close(md);

  g_autofree char *path = thin_test_path(*state, "meta");
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_ok(thin_metadata_alloc_at(md, 150, 50, &error));
  assert_ok(thin_metadata_alloc(md, 1000, &chunk, &n, &error));
  assert_true(chunk == 100 && n == 50);
  thin_metadata_close(md);

  /* Chunks that may not be taken by name: freed but not released yet, or mapped twice. */
  md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_ok(thin_metadata_snapshot(md, 2, 1, &error));
  assert_ok(thin_metadata_remove(
      md, 2, 0, 1, &error)); /* its own copy of the leaf: all in it are counted twice */
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  assert_fails(thin_metadata_alloc_at(md, 50, 1, &error), EBADMSG);
  thin_metadata_close(md);
  md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_ok(thin_metadata_remove(md, 1, 0, 1, &error));
  assert_fails(thin_metadata_alloc_at(md, 0, 1, &error), EBADMSG);
  thin_metadata_close(md);
}

/* --- damage, read only -------------------------------------------------------------- */

static void overwrite(const char *path, guint64 block)
{
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  assert_ok(vt_io_write(io, "damage", 6, block * THIN_METADATA_BLOCK + 200, &error));
}

/* Count what can and what cannot be reached of @device below @end. */
static void read_all(ThinMetadata *md, guint32 device, guint64 end, guint64 *mapped, guint64 *lost)
{
  ThinRun run;
  *mapped = *lost = 0;
  for (guint64 at = 0; at < end; at = run.end) {
    g_autoptr(GError) error = NULL;
    if (thin_metadata_lookup(md, device, at, end, &run, &error)) {
      *mapped += run.mapped ? run.end - run.begin : 0;
    } else {
      assert_true(g_error_matches(error, VT_ERROR, EBADMSG));
      *lost += run.end - run.begin;
    }
    assert_true(run.begin == at && run.end > at);
  }
}

typedef struct {
  guint64 root1, leaf1, top, details, data_index, data_bitmap, metadata_index;
} Places;

/* Two devices; 1 has 2000 chunks in several leaves, 2 has 100. */
static Places make_two(ThinTest *test)
{
  ThinMetadata *md = new_pool(test, 300, 5000);
  Places places;
  assert_ok(thin_metadata_create(md, 1, &error));
  assert_ok(thin_metadata_create(md, 2, &error));
  assert_ok(map(md, 1, 0, 2000, 2000, &error));
  assert_ok(map(md, 2, 0, 100, 100, &error));
  assert_ok(thin_metadata_commit(md, NULL, NULL, &error));
  places.root1 = thin_metadata_find_device(md, 1, NULL)->root;
  g_autoptr(ThinBlock) root = thin_cache_get(md->tm.cache, places.root1, THIN_KIND_NODE, NULL);
  places.leaf1 = thin_node_child(root->data, 2);
  places.top = md->mapping_root;
  places.details = md->details_root;
  places.data_index = GUINT64_FROM_LE(md->superblock.data_space_map.root.bitmap_root);
  places.metadata_index = GUINT64_FROM_LE(md->superblock.metadata_space_map.root.bitmap_root);
  thin_block_put(g_steal_pointer(&root));
  ThinBtree index = {.tm = &md->tm, .name = "index", .value_size = sizeof(ThinDiskIndexEntry)};
  ThinDiskIndexEntry entry;
  gboolean found;
  assert_ok(thin_btree_lookup(&index, places.data_index, 0, &entry, &found, &error));
  places.data_bitmap = GUINT64_FROM_LE(entry.blocknr);
  thin_metadata_close(md);
  return places;
}

static ThinMetadata *open_damaged(ThinTest *test)
{
  g_autofree char *path = thin_test_path(test, "meta");
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  g_autoptr(GError) error = NULL;
  ThinMetadata *md = thin_metadata_open(io, TRUE, 0, &error);
  assert_no_error(error);
  return md;
}

static void assert_readable(ThinTest *test, guint64 mapped1, guint64 lost1, guint n_devices)
{
  ThinMetadata *md = open_damaged(test);
  guint64 mapped, lost;
  g_autoptr(GArray) devices = thin_metadata_list_devices(md, NULL);
  assert_non_null(devices);
  assert_int_equal(devices->len, n_devices);
  read_all(md, 1, 3000, &mapped, &lost);
  assert_int_equal(mapped, mapped1);
  assert_int_equal(lost, lost1);
  read_all(md, 2, 3000, &mapped, &lost);
  assert_int_equal(mapped, 100);
  assert_int_equal(lost, 0);
  thin_metadata_close(md);
}

static void test_damaged_leaf(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  Places places = make_two(*state);
  overwrite(path, places.leaf1);
  assert_readable(*state, 2000 - 252, 252, 2);
}

static void test_damaged_device_root(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  Places places = make_two(*state);
  overwrite(path, places.root1);
  assert_readable(*state, 0, 3000, 2);
}

static void test_damaged_space_maps(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  for (guint i = 0; i < 4; i++) {
    Places places = make_two(*state);
    const guint64 blocks[] = {places.data_index, places.data_bitmap, places.metadata_index,
                              places.details};
    overwrite(path, blocks[i]);
    assert_readable(*state, 2000, 0, 2);
    g_autoptr(VtIo) io = thin_test_open(path, FALSE);
    if (i != 1 &&
        i != 3) /* a bitmap of data and the details are not looked at before they are needed */
      assert_fails(thin_metadata_open(io, FALSE, 0, &error), EBADMSG);
  }
}

static void test_damaged_top(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  Places places = make_two(*state);
  overwrite(path, places.top);
  ThinMetadata *md = open_damaged(*state);
  g_autoptr(GArray) devices =
      thin_metadata_list_devices(md, NULL); /* their details are still there */
  ThinRun run;
  assert_int_equal(devices->len, 2);
  assert_fails(thin_metadata_lookup(md, 1, 5, 100, &run, &error), EBADMSG);
  assert_int_equal(run.end, 100);
  thin_metadata_close(md);
  overwrite(path, places.details);
  md = open_damaged(*state);
  assert_fails(thin_metadata_list_devices(md, &error), EBADMSG);
  thin_metadata_close(md);
}

/* A change that meets damage breaks the transaction: it can only be given up. */
static void test_write_meets_damage(void **state)
{
  g_autofree char *path = thin_test_path(*state, "meta");
  Places places = make_two(*state);
  overwrite(path, places.leaf1);
  g_autoptr(VtIo) io = thin_test_open(path, FALSE);
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, NULL);
  assert_ok(thin_metadata_create(md, 3, &error));
  assert_fails(thin_metadata_delete(md, 1, &error), EBADMSG);
  assert_fails(thin_metadata_commit(md, NULL, NULL, &error), EROFS);
  thin_metadata_abort(md, TRUE);
  thin_metadata_close(md);
  assert_fails(thin_metadata_open(io, FALSE, 0, &error), EPERM);
  assert_readable(*state, 2000 - 252, 252, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_every_io_fails_once), TEST(test_metadata_full),      TEST(test_reserve_lasts),
      TEST(test_commit_without_room), TEST(test_flush_without_room), TEST(test_backed_ahead),
      TEST(test_data_full),           TEST(test_damaged_leaf),       TEST(test_damaged_device_root),
      TEST(test_damaged_space_maps),  TEST(test_damaged_top),        TEST(test_write_meets_damage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
