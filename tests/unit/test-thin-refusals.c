/* virt-thin - what the thin metadata refuses
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * No block left at any point of a change; arguments and superblocks that cannot be; trees that are
 * none; and whatever is to be read only.
 */
#include "config.h"
#include "thin-helper.h"

#include "thin/format/dump.h"

#define N_CHUNKS 40000u

static ThinMetadata *open_metadata(VtIo *io, gboolean read_only)
{
  ThinMetadata *md = NULL;

  assert_ok(md = thin_metadata_open(io, read_only, 1, &error));
  return md;
}

/* Devices 1 to 4: maps of two levels that are shared in part; chunks counted three times. */
static void make_pool(VtIo *io)
{
  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  ThinMetadata *md = open_metadata(io, FALSE);
  assert_ok(thin_metadata_create(md, 1, &error));
  for (guint64 i = 0; i < 10; i++)
    thin_test_map(md, 1, i * 200, 150);
  for (guint32 i = 2; i <= 4; i++) {
    assert_ok(thin_metadata_snapshot(md, i, 1, &error));
    thin_test_map(md, i, 100 * i, 1);
  }
  thin_test_commit(md);
  thin_metadata_close(md);
}

/* --- no block left ------------------------------------------------------------------ */

static gboolean op_create(ThinMetadata *md, GError **error)
{
  return thin_metadata_create(md, 9, error);
}

static gboolean op_snapshot(ThinMetadata *md, GError **error)
{
  return thin_metadata_snapshot(md, 9, 2, error);
}

static gboolean op_delete(ThinMetadata *md, GError **error)
{
  return thin_metadata_delete(md, 1, error) && thin_metadata_delete(md, 3, error);
}

static gboolean op_exchange(ThinMetadata *md, GError **error)
{
  return thin_metadata_exchange(md, 1, 2, error);
}

static gboolean op_fill(ThinMetadata *md, GError **error)
{
  return thin_test_try_map(md, 2, 0, 1500, error);
}

static gboolean op_scatter(ThinMetadata *md, GError **error)
{
  for (guint64 i = 0; i < 1500; i += 70)
    if (!thin_test_try_map(md, 3, i, 2, error))
      return FALSE;
  return TRUE;
}

static gboolean op_remove(ThinMetadata *md, GError **error)
{
  return thin_metadata_remove(md, 1, 30, 1900, error) &&
         thin_metadata_remove(md, 4, 200, 210, error);
}

static gboolean op_grow(ThinMetadata *md, GError **error)
{
  return thin_metadata_grow_data(md, N_CHUNKS * 5, error);
}

static gboolean op_hold(ThinMetadata *md, GError **error)
{
  return thin_metadata_reserve_snapshot(md, error);
}

static gboolean op_release(ThinMetadata *md, GError **error)
{
  return thin_metadata_release_snapshot(md, error);
}

static gboolean (*const ops[])(ThinMetadata *md, GError **error) = {
    op_create,  op_snapshot, op_delete, op_exchange, op_fill,
    op_scatter, op_remove,   op_grow,   op_hold,     op_release};

/* With @left blocks that can be given out, the others being lost. */
static void try_with(VtIo *io, guint left, guint which)
{
  g_autoptr(GError) refused = NULL;
  ThinMetadata *md = open_metadata(io, FALSE);
  guint64 block;
  gboolean ok;

  while (thin_metadata_map_n_usable(md->tm.map) > left)
    assert_ok(thin_metadata_map_alloc(md->tm.map, &block, &error));
  thin_metadata_is_low(md);
  thin_metadata_wants_commit(md);
  ok = ops[which](md, &refused);
  if (ok || !thin_metadata_is_broken(md))
    ok = thin_metadata_commit(md, NULL, NULL, refused ? NULL : &refused) && ok;
  if (!ok && (!refused || (refused->code != ENOSPC && refused->code != EROFS &&
                           refused->code != ENOENT && refused->code != EEXIST)))
    fail_msg("operation %u with %u blocks: %s", which, left, refused ? refused->message : "?");
  if (thin_metadata_is_broken(md))
    thin_metadata_abort(md, FALSE);
  thin_metadata_close(md);
}

/* What only frees needs blocks, too, until it is committed: it is told when to commit, and refused
 * before the reserve is gone. */
static void test_wants_commit(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 400 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta");
  g_autoptr(GError) error = NULL;
  guint n_removed = 0, n_wanted = 0;

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, 1 << 20, &error));
  ThinMetadata *md = open_metadata(io, FALSE);
  assert_ok(thin_metadata_create(md, 1, &error));
  for (guint64 i = 0; thin_test_try_map(md, 1, i * 200, 200, &error); i++)
    ;
  assert_true(g_error_matches(error, VT_ERROR, ENOSPC));
  g_clear_error(&error);
  thin_test_commit(md);
  assert_false(thin_metadata_wants_commit(md));
  while (thin_metadata_remove(md, 1, n_removed * 400ull, n_removed * 400ull + 1, &error)) {
    n_removed++;
    n_wanted += thin_metadata_wants_commit(md);
  }
  assert_true(g_error_matches(error, VT_ERROR, ENOSPC));
  assert_true(n_wanted > 0 && n_removed > 10);
  assert_false(thin_metadata_has_reserve(md, NULL));
  thin_test_commit(md);
  assert_ok(thin_metadata_remove(md, 1, 0, 400, &error));
  thin_test_commit(md);
  thin_metadata_close(md);
  thin_test_assert_clean(path, FALSE); /* what could not be mapped at last is a leak */
}

static void test_no_block_left(void **state)
{
  const guint64 size = 90 * THIN_METADATA_BLOCK;
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", size);
  g_autofree char *path = thin_test_path(*state, "meta");
  g_autofree guint8 *whole = g_malloc(size);

  make_pool(io);
  for (guint held = 0; held < 2; held++) {
    if (held) {
      ThinMetadata *md = open_metadata(io, FALSE);
      assert_ok(thin_metadata_reserve_snapshot(md, &error));
      thin_test_commit(md);
      thin_metadata_close(md);
    }
    assert_ok(vt_io_read(io, whole, size, 0, &error));
    for (guint which = 0; which < G_N_ELEMENTS(ops); which++)
      for (guint left = 0; left < 32; left++) {
        assert_ok(vt_io_write(io, whole, size, 0, &error));
        try_with(io, left, which);
        thin_test_assert_clean(path, FALSE); /* what was lost here are leaks */
      }
    assert_ok(vt_io_write(io, whole, size, 0, &error));
  }
}

/* A device for metadata that is too small, by one block after the other. */
static void test_format_without_room(void **state)
{
  guint n = 0;

  for (gboolean ok = FALSE; !ok; n++) {
    g_autoptr(VtIo) io = thin_test_file(*state, "meta", n * THIN_METADATA_BLOCK + 100);
    g_autoptr(GError) error = NULL;
    ok = thin_metadata_format(io, THIN_CHUNK_MIN, 50000, &error);
    assert_true(ok || g_error_matches(error, VT_ERROR, n ? ENOSPC : EINVAL));
  }
  assert_in_range(n, 9, 30);
}

/* --- what cannot be ----------------------------------------------------------------- */

static void test_arguments(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
  const guint64 max = G_MAXINT64;
  guint64 chunk, n;
  ThinRun run;

  assert_fails(thin_metadata_format(io, 4096, 10, &error), EINVAL);
  assert_fails(thin_metadata_format(io, THIN_CHUNK_MAX * 2ull, 10, &error), EINVAL);
  assert_fails(thin_metadata_format(io, THIN_CHUNK_MIN + 512, 10, &error), EINVAL);
  assert_fails(thin_metadata_format(io, THIN_CHUNK_MIN, THIN_CHUNKS_MAX + 1, &error), EINVAL);
  make_pool(io);
  ThinMetadata *md = open_metadata(io, FALSE);
  assert_fails(thin_metadata_lookup(md, 1, 5, 4, &run, &error), EINVAL);
  assert_fails(thin_metadata_lookup(md, 1, 5, max + 1ull, &run, &error), EINVAL);
  assert_ok(thin_metadata_lookup(md, 1, 5, 5, &run, &error));
  assert_fails(thin_metadata_insert(md, 1, max, 0, 5, &error), EINVAL);
  assert_fails(thin_metadata_insert(md, 1, 0, 0, max + 1ull, &error), EINVAL);
  assert_fails(thin_metadata_insert(md, 1, 0, 0, 1 << 20, &error), ENOSPC);
  assert_fails(thin_metadata_remove(md, 1, 5, 4, &error), EINVAL);
  assert_fails(thin_metadata_exchange(md, 77, 1, &error), ENOENT);
  assert_fails(thin_metadata_exchange(md, 1, 77, &error), ENOENT);
  assert_ok(thin_metadata_exchange(md, 1, 1, &error));
  assert_fails(thin_metadata_snapshot(md, 1, 2, &error), EEXIST);
  assert_fails(thin_metadata_snapshot(md, 20, 77, &error), ENOENT);
  assert_fails(thin_metadata_grow_data(md, N_CHUNKS - 1, &error), EINVAL);
  assert_fails(thin_metadata_grow_data(md, THIN_CHUNKS_MAX + 1, &error), EINVAL);
  assert_ok(thin_metadata_grow_data(md, N_CHUNKS, &error));
  assert_fails(thin_metadata_grow_metadata(md, 10, &error), EINVAL);
  assert_ok(thin_metadata_grow_metadata(md, 90, &error));
  assert_fails(thin_metadata_alloc(md, 0, &chunk, &n, &error), ENOSPC);
  assert_fails(thin_metadata_unalloc(md, N_CHUNKS, 1, &error), EBADMSG);
  assert_true(thin_metadata_is_broken(md));
  assert_fails(thin_metadata_unalloc(md, 0, 1, &error), EROFS);
  assert_fails(thin_metadata_alloc_at(md, 0, 1, &error), EROFS);
  assert_fails(thin_metadata_remove(md, 1, 5, 6, &error), EROFS);
  assert_fails(thin_metadata_grow_data(md, N_CHUNKS + 1, &error), EROFS);
  assert_fails(thin_metadata_grow_metadata(md, 91, &error), EROFS);
  assert_fails(thin_metadata_reserve_snapshot(md, &error), EROFS);
  assert_fails(thin_metadata_release_snapshot(md, &error), EROFS);
  thin_metadata_abort(md, FALSE);
  thin_metadata_close(md);
}

/* More blocks than the format can count. */
static void test_largest(void **state)
{
  g_autoptr(VtIo) io =
      thin_test_file(*state, "meta", (THIN_METADATA_BLOCKS_MAX + 10ull) * THIN_METADATA_BLOCK);

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  ThinMetadata *md = open_metadata(io, FALSE);
  assert_int_equal(thin_metadata_map_n_blocks(md->tm.map), THIN_METADATA_BLOCKS_MAX);
  assert_ok(thin_metadata_create(md, 1, &error));
  thin_test_commit(md);
  thin_metadata_close(md);
}

static void test_superblocks(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta");
  const guint64 counts[] = {0, THIN_METADATA_BLOCKS_MAX + 1, 91};

  for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
    vt_io_unref(thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK));
    make_pool(io);
    thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 192, counts[i], 8);
    assert_fails(thin_metadata_open(io, FALSE, 0, &error), EBADMSG);
  }
  thin_metadata_close(open_metadata(io, TRUE)); /* one block is wanting at its end */
  vt_io_unref(thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK));
  make_pool(io);
  thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 356, 1, 4); /* what must be known to write it */
  assert_fails(thin_metadata_open(io, FALSE, 0, &error), EPERM);
  thin_metadata_close(open_metadata(io, TRUE));
  thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 360, 1, 4);
  assert_fails(thin_metadata_open(io, TRUE, 0, &error), EOPNOTSUPP);
}

/* --- trees that are none ------------------------------------------------------------ */

/* A node of @md's transaction, with keys @step apart and values from @value on. */
static guint64 new_node(ThinMetadata *md, gboolean leaf, guint n, guint64 first, guint64 value)
{
  ThinBlock *block = NULL;
  guint64 number;

  assert_ok(block = thin_tm_new_block(&md->tm, THIN_KIND_NODE, &error));
  thin_node_init(block->data, leaf, 8);
  thin_node_open(block->data, 0, n);
  for (guint i = 0; i < n; i++) {
    thin_node_set_key(block->data, i, first + i);
    thin_node_set_child(block->data, i, value + i);
  }
  number = block->number;
  thin_block_put(block);
  return number;
}

/* Device 1 leads to @root; nothing frees what it had. */
static void set_root(ThinMetadata *md, guint64 root)
{
  ThinMetadataDevice *device = thin_metadata_own_device(md, 1, NULL);

  device->root = root;
  device->changed = TRUE;
  assert_ok(thin_metadata_store_root(md, device, &error));
  thin_test_commit(md);
}

/* Whatever is asked or done ends, with EBADMSG where it must go there. */
static void use_damaged(VtIo *io)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(ThinDeltaRun));
  g_autoptr(GByteArray) seen = g_byte_array_new();
  g_autoptr(GPtrArray) lost = g_ptr_array_new_with_free_func(g_free);
  ThinDelta delta = {.end = 2000 * THIN_CHUNK_MIN, .max = 1000, .runs = runs};
  FILE *out = fopen("/dev/null", "w");
  guint64 a, b;
  ThinRun run;

  g_autoptr(ThinReport) report = thin_check(io, 0, NULL);
  assert_true(report->errors->len > 0);
  assert_ok(thin_dump(io, &(ThinDumpOptions){.device = -1, .lost = lost}, out, &error));
  fclose(out);
  for (guint i = 0; i < 6; i++) {
    g_autoptr(GError) error = NULL;
    ThinMetadata *md = open_metadata(io, FALSE);
    gboolean ok = i == 0   ? thin_metadata_delete(md, 1, &error)
                  : i == 1 ? thin_test_try_map(md, 1, 300, 1, &error)
                  : i == 2 ? thin_metadata_remove(md, 1, 300, 400, &error)
                  : i == 3 ? thin_metadata_count_device(md, 1, &a, &b, &error)
                  : i == 4 ? thin_metadata_delta(md, 1, 2, THIN_CHUNK_MIN, &delta, &error)
                           : thin_metadata_lookup(md, 1, 300, 1000, &run, &error);
    assert_true(ok || g_error_matches(error, VT_ERROR, EBADMSG));
    g_clear_error(&error);
    thin_metadata_count_new_blocks(md, 1, seen, &a, &error);
    thin_metadata_close(md);
  }
}

static void test_too_deep(void **state)
{
  for (guint depth = 12; depth < 14; depth++) {
    g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
    make_pool(io);
    ThinMetadata *md = open_metadata(io, FALSE);
    guint64 root = new_node(md, TRUE, 100, 250, 5 << 24);
    for (guint i = 0; i < depth; i++)
      root = new_node(md, FALSE, 1, 0, root);
    set_root(md, root);
    thin_metadata_close(md);
    use_damaged(io);
  }
}

/* A leaf and an internal node side by side, so that entries would have to move between them. */
static void test_uneven(void **state)
{
  for (guint i = 0; i < 4; i++) {
    g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
    make_pool(io);
    ThinMetadata *md = open_metadata(io, FALSE);
    guint64 leaf = new_node(md, TRUE, i % 2 ? 252 : 20, 200, 5 << 24),
            below = new_node(md, TRUE, 30, 600, 9 << 24),
            internal = new_node(md, FALSE, 1, i < 2 ? 600 : 0, below),
            root = new_node(md, FALSE, 2, 0, 0);
    g_autoptr(ThinBlock) block = thin_cache_get(md->tm.cache, root, THIN_KIND_NODE, NULL);
    thin_node_set_key(block->data, 0, i < 2 ? 200 : 0);
    thin_node_set_key(block->data, 1, i < 2 ? 600 : 200);
    thin_node_set_child(block->data, 0, i < 2 ? leaf : internal);
    thin_node_set_child(block->data, 1, i < 2 ? internal : leaf);
    thin_block_put(g_steal_pointer(&block));
    set_root(md, root);
    thin_metadata_close(md);
    use_damaged(io);

    /* the same within the transaction that made the nodes: then they are its own to change */
    md = open_metadata(io, FALSE);
    assert_non_null(thin_metadata_own_device(md, 1, NULL));
    g_autoptr(GError) error = NULL;
    for (guint64 at = 0; at < 900 && thin_test_try_map(md, 1, at, 1, &error); at += 9)
      ;
    g_clear_error(&error);
    if (!thin_metadata_is_broken(md))
      thin_metadata_remove(md, 1, 100, 460, &error);
    thin_metadata_close(md);
  }
}

static void poke_bits(const char *path, guint64 number, guint offset, guint8 clear)
{
  g_autoptr(VtIo) io = thin_test_open(path, TRUE);
  guint8 was;

  assert_ok(vt_io_read(io, &was, 1, number * THIN_METADATA_BLOCK + offset, &error));
  thin_test_poke(path, number, THIN_KIND_BITMAP, offset, was & ~clear, 1);
}

/* What the space map of the metadata says of itself: its superblock is free; counts of blocks that
 * are not there. */
static void test_own_space_map(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta");
  guint8 block[THIN_METADATA_BLOCK] __attribute__((aligned(8)));

  make_pool(io);
  assert_ok(thin_superblock_read(io, 0, block, &error));
  const ThinDiskSpaceMapRoot root =
      ((const ThinDiskSuperblock *)(gconstpointer)block)->metadata_space_map.root;
  guint64 counts = GUINT64_FROM_LE(root.ref_count_root), index = GUINT64_FROM_LE(root.bitmap_root),
          bitmap;
  thin_test_poke(path, counts, THIN_KIND_NODE, 16, 1, 4);
  thin_test_poke(path, counts, THIN_KIND_NODE, 32, 1 << 20, 8);
  ThinMetadata *md = open_metadata(io, FALSE);
  assert_ok(thin_metadata_create(md, 9, &error));
  thin_metadata_close(md);
  assert_ok(vt_io_read(io, &bitmap, sizeof bitmap, index * THIN_METADATA_BLOCK + 16, &error));
  poke_bits(path, GUINT64_FROM_LE(bitmap), 16, 3);
  assert_fails(thin_metadata_open(io, FALSE, 0, &error), EBADMSG);
}

/* Maps and details of devices whose number none can have: these are not listed. */
static void test_devices_beyond(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
  const guint64 key = THIN_DEVICE_MAX + 7ull;
  const ThinDiskDetails details = {0};

  make_pool(io);
  ThinMetadata *md = open_metadata(io, FALSE);
  ThinBtree top = thin_metadata_top_tree(md), known = thin_metadata_details_tree(md);
  guint64 root = GUINT64_TO_LE(new_node(md, TRUE, 1, 0, 5 << 24));
  assert_ok(thin_btree_insert(&top, &md->mapping_root, &key, &root, 1, NULL, &error));
  assert_ok(thin_btree_insert(&known, &md->details_root, &key, &details, 1, NULL, &error));
  md->changed = TRUE;
  thin_test_commit(md);
  for (guint i = 0; i < 2; i++) {
    g_autoptr(GArray) devices = thin_metadata_list_devices(md, NULL);
    assert_int_equal(devices->len, 4);
    thin_metadata_close(md);
    md = open_metadata(io, TRUE);
  }
  thin_metadata_close(md);
}

/* --- to be read only ---------------------------------------------------------------- */

static void count_runs(guint64 chunk, guint64 n, gpointer user_data)
{
}

static void test_read_only(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta");
  ThinShadow shadow;
  ThinStatus status;

  make_pool(io);
  const ThinDiskSuperblock *sb;
  guint8 block[THIN_METADATA_BLOCK] __attribute__((aligned(8)));
  assert_ok(thin_superblock_read(io, 0, block, &error));
  sb = (const ThinDiskSuperblock *)(gconstpointer)block;
  for (guint i = 0; i < 3; i++) {
    ThinMetadata *md;
    if (i == 1)
      assert_ok(vt_io_write(
          io, "?", 1, GUINT64_FROM_LE(sb->data_space_map.root.bitmap_root) * 4096 + 99, &error));
    if (i == 2)
      assert_ok(vt_io_write(io, "?", 1,
                            GUINT64_FROM_LE(sb->metadata_space_map.root.bitmap_root) * 4096 + 99,
                            &error));
    md = open_metadata(io, TRUE);
    for (guint j = 0; j < G_N_ELEMENTS(ops); j++)
      assert_fails(ops[j](md, &error), EROFS);
    assert_fails(thin_metadata_alloc_at(md, 5, 1, &error), EROFS);
    assert_fails(thin_metadata_unalloc(md, 5, 1, &error), EROFS);
    assert_fails(thin_metadata_grow_metadata(md, 91, &error), EROFS);
    thin_metadata_status(md, &status);
    thin_metadata_freed_foreach(md, count_runs, NULL);
    thin_metadata_freed_done(md);
    thin_metadata_wants_commit(md);
    thin_metadata_is_low(md);
    assert_true(i > 0 || thin_metadata_n_free_chunks(md) > 0);
    if (i == 2) {
      assert_null(md->tm.map);
      assert_fails(thin_tm_new_block(&md->tm, THIN_KIND_NODE, &error), EROFS);
      assert_fails(thin_tm_shadow(&md->tm, md->mapping_root, THIN_KIND_NODE, &shadow, &error),
                   EROFS);
      assert_fails(thin_tm_inc(&md->tm, 5, &error), EROFS);
      assert_fails(thin_tm_dec(&md->tm, 5, NULL, &error), EROFS);
      assert_int_equal(thin_tm_count(&md->tm, 5), G_MAXUINT32);
    }
    thin_metadata_close(md);
  }
  thin_metadata_close(NULL);
}

/* --- the cache ---------------------------------------------------------------------- */

static void test_cache(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 300 * THIN_METADATA_BLOCK);
  ThinCache *cache = thin_cache_new(io, 1, 300);
  ThinBlock *held[128];

  thin_cache_grow(cache, 10); /* no less */
  assert_int_equal(thin_cache_n_blocks(cache), 300);
  assert_fails(thin_cache_get_zeroed(cache, 0, THIN_KIND_NODE, &error), EBADMSG);
  assert_fails(thin_cache_get_zeroed(cache, 300, THIN_KIND_NODE, &error), EBADMSG);
  thin_cache_forget(cache, 1000);
  for (guint i = 0; i < G_N_ELEMENTS(held); i++)
    assert_ok(held[i] = thin_cache_get_zeroed(cache, i + 1, THIN_KIND_BITMAP, &error));
  assert_fails(thin_cache_get_zeroed(cache, 200, THIN_KIND_NODE, &error), ENOMEM);
  thin_cache_forget(cache, 5); /* who holds it goes on */
  assert_int_equal(held[4]->number, 5);
  for (guint i = 0; i < G_N_ELEMENTS(held); i++)
    thin_block_put(held[i]);
  assert_ok(thin_cache_write_out(cache, &error));
  thin_cache_free(cache);
  thin_cache_free(NULL);
  thin_metadata_map_free(NULL);
  thin_data_map_free(NULL);
}

/* --- what fails but for once -------------------------------------------------------- */

static gboolean fail_flush(gpointer user_data, GError **error)
{
  return vt_set_error(error, EIO, "made to fail");
}

static void test_data_flush_fails(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);

  make_pool(io);
  ThinMetadata *md = open_metadata(io, FALSE);
  assert_ok(thin_metadata_create(md, 9, &error));
  assert_fails(thin_metadata_commit(md, fail_flush, NULL, &error), EIO);
  assert_true(thin_metadata_is_broken(md));
  thin_metadata_close(md);
}

/* Room cannot be had ahead: it is said, and the pool opens. */
static void test_back_fails(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 9000 * THIN_METADATA_BLOCK);
  const int codes[] = {ENOSPC, EIO};

  make_pool(io);
  for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
    g_autoptr(VtIo) failer = vt_io_failer_new(io, VT_IO_BACK, 0, codes[i]);
    if (codes[i] == ENOSPC)
      g_test_expect_message("virt-thin", G_LOG_LEVEL_WARNING, "*cannot be allocated ahead*");
    thin_metadata_close(open_metadata(failer, FALSE));
    g_test_assert_expected_messages();
  }
}

static void test_clear_needs_check(void **state)
{
  g_autoptr(VtIo) io = thin_test_file(*state, "meta", 90 * THIN_METADATA_BLOCK);
  g_autofree char *path = thin_test_path(*state, "meta");
  const struct {
    VtIoKinds kind;
    guint at;
  } faults[] = {{VT_IO_READ, 0}, {VT_IO_WRITE, 0}, {VT_IO_FLUSH, 0}};

  make_pool(io);
  assert_ok(thin_clear_needs_check(io, 0, &error)); /* there is none */
  thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 4, 1, 4);
  for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
    g_autoptr(VtIo) failer = vt_io_failer_new(io, faults[i].kind, faults[i].at, EIO);
    assert_fails(thin_clear_needs_check(failer, 0, &error), EIO);
    thin_test_poke(path, 0, THIN_KIND_SUPERBLOCK, 4, 1, 4);
  }
  assert_fails(thin_clear_needs_check(io, 100 * THIN_CHUNK_MIN, &error), EBADMSG);
  assert_ok(thin_clear_needs_check(io, (guint64)N_CHUNKS * THIN_CHUNK_MIN, &error));
  thin_test_assert_clean(path, TRUE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, thin_test_setup, thin_test_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_no_block_left),    TEST(test_format_without_room), TEST(test_arguments),
      TEST(test_largest),          TEST(test_superblocks),         TEST(test_too_deep),
      TEST(test_uneven),           TEST(test_read_only),           TEST(test_cache),
      TEST(test_data_flush_fails), TEST(test_back_fails),          TEST(test_clear_needs_check),
      TEST(test_wants_commit),     TEST(test_own_space_map),       TEST(test_devices_beyond),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
