/* virt-thin - tests of the thin metadata: each read of each change fails, and roots that lie
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each change begins with a cold cache, so that what it needs is read in its midst. A change that
 * fails is not there afterwards, and all else is.
 */
#include "config.h"
#include "thin-helper.h"

#define N_CHUNKS 70000u
#define N_BLOCKS 1024u

/* Devices 1 to 5, which share most of what they have: maps of two levels, chunks that are counted
 * three times and more, some of them in another bitmap. */
static VtIo *make_pool(ThinTest *test)
{
  VtIo *io = thin_test_file(test, "meta", N_BLOCKS * THIN_METADATA_BLOCK);
  ThinMetadata *md;

  assert_ok(thin_metadata_format(io, THIN_CHUNK_MIN, N_CHUNKS, &error));
  assert_ok((md = thin_metadata_open(io, FALSE, 1, &error)) != NULL);
  assert_ok(thin_metadata_create(md, 1, &error));
  for (guint64 i = 0; i < 90; i++)
    thin_test_map(md, 1, i * 260, 250);
  for (guint32 id = 2; id <= 5; id++) {
    assert_ok(thin_metadata_snapshot(md, id, 1, &error));
    thin_test_map(md, id, 1000 * id, 1);
  }
  thin_test_commit(md);
  thin_metadata_close(md);
  return io;
}

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
  return thin_metadata_delete(md, 3, error);
}

static gboolean op_delete_all(ThinMetadata *md, GError **error)
{
  for (guint32 id = 1; id <= 5; id++)
    if (!thin_metadata_delete(md, id, error))
      return FALSE;
  return TRUE;
}

static gboolean op_exchange(ThinMetadata *md, GError **error)
{
  return thin_metadata_exchange(md, 2, 4, error);
}

static gboolean op_map(ThinMetadata *md, GError **error)
{
  return thin_test_try_map(md, 2, 0, 1500, error) && thin_test_try_map(md, 4, 50000, 10, error);
}

static gboolean op_scatter(ThinMetadata *md, GError **error)
{
  for (guint64 i = 251; i < 24000; i += 2600)
    if (!thin_test_try_map(md, 3, i, 2, error))
      return FALSE;
  return TRUE;
}

static gboolean op_remove(ThinMetadata *md, GError **error)
{
  return thin_metadata_remove(md, 1, 30, 1900, error) &&
         thin_metadata_remove(md, 4, 200, 21000, error);
}

static gboolean op_remove_most(ThinMetadata *md, GError **error)
{
  return thin_metadata_remove(md, 5, 100, 23000, error) &&
         thin_metadata_remove(md, 5, 0, 50, error);
}

static gboolean op_grow(ThinMetadata *md, GError **error)
{
  return thin_metadata_grow_data(md, N_CHUNKS * 3, error);
}

static gboolean op_hold(ThinMetadata *md, GError **error)
{
  return thin_metadata_reserve_snapshot(md, error);
}

/* As a journal has it. */
static gboolean op_replay(ThinMetadata *md, GError **error)
{
  return thin_metadata_alloc_at(md, 65300, 10, error) &&
         thin_metadata_insert(md, 2, 251, 65300, 2, error) &&
         thin_metadata_unalloc(md, 65302, 8, error);
}

static gboolean op_look(ThinMetadata *md, GError **error)
{
  ThinRun run;

  for (guint64 at = 0; at < 23000; at = run.end)
    if (!thin_metadata_lookup(md, 2, at, 23000, &run, error))
      return FALSE;
  return thin_metadata_create(md, 9, error);
}

static const struct {
  const char *name;
  gboolean (*run)(ThinMetadata *md, GError **error);
} ops[] = {
    {"create", op_create},           {"snapshot", op_snapshot}, {"delete", op_delete},
    {"delete all", op_delete_all},   {"exchange", op_exchange}, {"map", op_map},
    {"scatter", op_scatter},         {"remove", op_remove},     {"grow", op_grow},
    {"remove most", op_remove_most}, {"hold", op_hold},         {"look", op_look},
    {"replay", op_replay},
};

/* All that the file holds, but for whether it wants to be checked. */
static char *dump(VtIo *io)
{
  ThinMetadata *md;
  char *text, *flags;

  assert_ok((md = thin_metadata_open(io, TRUE, 0, &error)) != NULL);
  text = thin_test_dump(md);
  flags = strstr(text, "flags=\"");
  flags[7] = '0';
  thin_metadata_close(md);
  return text;
}

/* FALSE: the @n-th read failed, and with it the change. */
static gboolean change(VtIo *failer, guint which, guint n)
{
  g_autoptr(GError) failure = NULL;
  ThinMetadata *md;
  gboolean ok;

  vt_io_failer_arm(failer, 0, G_MAXUINT, 0);
  assert_ok((md = thin_metadata_open(failer, FALSE, 1, &error)) != NULL);
  vt_io_failer_arm(failer, VT_IO_READ, n, EIO);
  ok = ops[which].run(md, &failure) && thin_metadata_commit(md, NULL, NULL, &failure);
  if (!ok && !g_error_matches(failure, VT_ERROR, EIO))
    fail_msg("%s, read %u: %s", ops[which].name, n, failure ? failure->message : "?");
  vt_io_failer_arm(failer, 0, G_MAXUINT, 0);
  thin_metadata_close(md);
  return ok;
}

static void test_each_read_fails(void **state)
{
  const gsize size = N_BLOCKS * THIN_METADATA_BLOCK;
  g_autoptr(VtIo) io = make_pool(*state);
  g_autoptr(VtIo) failer = vt_io_failer_new(io, 0, G_MAXUINT, 0);
  g_autofree char *path = thin_test_path(*state, "meta"), *before = dump(io);
  g_autofree guint8 *all = g_malloc(size);

  assert_ok(vt_io_read(io, all, size, 0, &error));
  for (guint which = 0; which < G_N_ELEMENTS(ops); which++) {
    for (guint n = 0; !change(failer, which, n); n++) {
      g_autofree char *after = dump(io);

      if (strcmp(before, after) != 0)
        fail_msg("%s, read %u: what failed is there", ops[which].name, n);
      assert_ok(vt_io_write(io, all, size, 0, &error));
    }
    thin_test_assert_clean(path, TRUE);
    assert_ok(vt_io_write(io, all, size, 0, &error));
  }
}

/* --- a superblock and roots that lie --- */

#define AT_SB(field) G_STRUCT_OFFSET(ThinDiskSuperblock, field)
#define AT_ROOT(field) G_STRUCT_OFFSET(ThinDiskSpaceMapRoot, field)

static gboolean has_line(GPtrArray *lines, const char *words)
{
  for (guint i = 0; i < lines->len; i++)
    if (strstr(lines->pdata[i], words))
      return TRUE;
  return FALSE;
}

/* @opens: what opening it for writing says; NULL: nothing. @quick: what a quick check
 * says; NULL: it does not look there. */
static void lie(ThinTest *test, VtIo *io, guint64 number, guint offset, guint64 value,
                const char *opens, const char *quick)
{
  const ThinCheckOptions options = {.quick = TRUE};
  guint64 block[THIN_METADATA_BLOCK / 8];
  g_autofree char *path = thin_test_path(test, "meta");
  g_autoptr(ThinReport) report = NULL;
  g_autoptr(GError) failure = NULL;
  ThinMetadata *md;

  assert_ok(vt_io_read(io, block, sizeof block, number * sizeof block, &error));
  thin_test_poke(path, number, number ? THIN_KIND_NODE : THIN_KIND_SUPERBLOCK, offset, value, 8);
  md = thin_metadata_open(io, FALSE, 1, &failure);
  if (!opens && !md)
    fail_msg("%s", failure->message);
  if (opens && (md || !strstr(failure->message, opens)))
    fail_msg("not '%s', but '%s'", opens, md ? "" : failure->message);
  if (md)
    thin_metadata_close(md);
  assert_ok((report = thin_check_as(io, 0, &options, &error)) != NULL);
  if (quick && !has_line(report->errors, quick))
    fail_msg("not '%s', but '%s'", quick,
             report->errors->len ? (char *)report->errors->pdata[0] : "");
  assert_ok(vt_io_write(io, block, sizeof block, number * sizeof block, &error));
}

static void test_lies(void **state)
{
  g_autoptr(VtIo) io = make_pool(*state);
  const guint data = AT_SB(data_space_map), metadata = AT_SB(metadata_space_map);
  guint64 block[THIN_METADATA_BLOCK / 8], index, maps, leaf;
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;

  assert_ok(vt_io_read(io, block, sizeof block, 0, &error));
  index = GUINT64_FROM_LE(sb->data_space_map.root.bitmap_root);
  maps = GUINT64_FROM_LE(sb->data_mapping_root);
  leaf = GUINT64_FROM_LE(sb->device_details_root);
  lie(*state, io, 0, data + AT_ROOT(nr_allocated), N_CHUNKS + 1,
      "cannot have 70001 of 70000 chunks", "the data space map has more in use than there is");
  lie(*state, io, 0, data + AT_ROOT(nr_blocks), G_GUINT64_CONSTANT(1) << 41, "cannot have", NULL);
  lie(*state, io, 0, data + AT_ROOT(nr_blocks), THIN_BITMAP_SLOTS * (N_BLOCKS + 1ull),
      "cannot have", NULL);
  lie(*state, io, 0, data + AT_ROOT(nr_blocks), THIN_BITMAP_SLOTS * 6ull, "ends after 5 of 6",
      NULL);
  lie(*state, io, 0, metadata + AT_ROOT(nr_allocated), N_BLOCKS + 1, NULL,
      "the metadata space map has more in use than there is");
  lie(*state, io, 0, data + AT_ROOT(ref_count_root), 0, NULL,
      "it is said to be in metadata block 0");
  lie(*state, io, 0, data + AT_ROOT(ref_count_root), N_BLOCKS, NULL,
      "in metadata block 1024 of 1024");
  lie(*state, io, 0, data + AT_ROOT(ref_count_root), maps, NULL, "another kind of tree");
  lie(*state, io, 0, AT_SB(held_root), leaf, NULL, "root of the metadata snapshot");
  lie(*state, io, index, sizeof(ThinDiskNode) + 4 * 8, 7, "no bitmap for chunks from", NULL);
}

/* --- counts and maps that lie --- */

/* Block @number says @value in @size bytes at @offset: operation @which says @words. */
static void refused(ThinTest *test, VtIo *io, ThinKind kind, guint64 number, guint offset,
                    guint64 value, guint size, const char *which, const char *words)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  g_autofree char *path = thin_test_path(test, "meta");
  g_autoptr(GError) failure = NULL;
  ThinMetadata *md;
  guint op = 0;

  while (strcmp(ops[op].name, which) != 0)
    op++;
  assert_ok(vt_io_read(io, block, sizeof block, number * sizeof block, &error));
  thin_test_poke(path, number, kind, offset, value, size);
  assert_ok((md = thin_metadata_open(io, FALSE, 1, &error)) != NULL);
  if (ops[op].run(md, &failure))
    fail_msg("%s: worked, and not '%s'", which, words);
  if (failure->code != EBADMSG || !strstr(failure->message, words))
    fail_msg("%s: not '%s', but '%s'", which, words, failure->message);
  thin_metadata_close(md);
  assert_ok(vt_io_write(io, block, sizeof block, number * sizeof block, &error));
}

static guint64 value_at(VtIo *io, guint64 number, guint value_size, guint i)
{
  guint64 block[THIN_METADATA_BLOCK / 8];

  assert_ok(vt_io_read(io, block, sizeof block, number * sizeof block, &error));
  assert_int_equal(thin_node_value_size((const guint8 *)block), value_size);
  return thin_value_u64(thin_node_value((const guint8 *)block, i));
}

/* The first leaf of the tree at @number. */
static guint64 first_leaf(VtIo *io, guint64 number)
{
  guint64 block[THIN_METADATA_BLOCK / 8];

  for (;; number = thin_node_child((const guint8 *)block, 0)) {
    assert_ok(vt_io_read(io, block, sizeof block, number * sizeof block, &error));
    if (thin_node_is_leaf((const guint8 *)block))
      return number;
  }
}

#define AT_VALUE(size, i) ((guint)(sizeof(ThinDiskNode) + 8 * THIN_NODE_MAX(size) + (size) * (i)))

static void test_refused(void **state)
{
  g_autoptr(VtIo) io = make_pool(*state);
  g_autofree char *path = thin_test_path(*state, "meta");
  guint64 block[THIN_METADATA_BLOCK / 8], bitmap, leaf;
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;

  assert_ok(vt_io_read(io, block, sizeof block, 0, &error));
  bitmap = value_at(io, GUINT64_FROM_LE(sb->data_space_map.root.bitmap_root),
                    sizeof(ThinDiskIndexEntry), 0);
  leaf = first_leaf(io, value_at(io, GUINT64_FROM_LE(sb->data_mapping_root), 8, 0));
  refused(*state, io, THIN_KIND_NODE, leaf, AT_VALUE(8, 3), THIN_MAPPING(N_CHUNKS + 5, 0), 8,
          "delete all", "a mapping leads to chunk 70005 of 70000");
  refused(*state, io, THIN_KIND_BITMAP, bitmap, sizeof(ThinDiskHeader), 0, 8, "delete all",
          "is counted 0 times, which cannot be");
  refused(*state, io, THIN_KIND_BITMAP, bitmap, sizeof(ThinDiskHeader), G_MAXUINT64, 8,
          "delete all", "data reference counts: no count of 3 or more for chunk");
  thin_test_assert_clean(path, TRUE); /* all is as it was */
}

/* --- the space maps, asked for what there is not --- */

static void test_beyond_the_end(void **state)
{
  g_autoptr(VtIo) io = make_pool(*state);
  ThinMetadata *md;
  ThinMetadataMap *map;
  guint64 run;
  guint32 count;
  gboolean once;

  assert_ok((md = thin_metadata_open(io, FALSE, 1, &error)) != NULL);
  map = md->tm.map;
  assert_fails(thin_data_map_count(md->data, N_CHUNKS, &count, &error), EBADMSG);
  assert_fails(thin_data_map_run_once(md->data, N_CHUNKS - 1, 2, &run, &once, &error), EBADMSG);
  assert_fails(thin_data_map_mark_fell(md->data, N_CHUNKS + 1, 0, &error), EBADMSG);
  assert_fails(thin_data_map_grow(md->data, N_CHUNKS - 1, &error), EINVAL);
  assert_fails(thin_data_map_grow(md->data, THIN_CHUNKS_MAX + 1, &error), EINVAL);
  assert_int_equal(thin_data_map_n_chunks(md->data), N_CHUNKS);
  assert_int_equal(thin_metadata_map_count(map, N_BLOCKS), 0);
  assert_false(thin_metadata_map_is_new(map, N_BLOCKS));
  assert_false(thin_metadata_map_fell(map, N_BLOCKS));
  thin_metadata_map_mark_fell(map, N_BLOCKS);
  assert_false(thin_metadata_map_fell(map, N_BLOCKS));
  assert_fails(thin_metadata_map_inc(map, N_BLOCKS, &error), EBADMSG);
  assert_fails(thin_metadata_map_dec(map, 0, NULL, &error), EBADMSG);
  assert_ok(thin_data_map_run_once(md->data, 0, 0, &run, &once, &error));
  assert_int_equal(run, 0);
  thin_metadata_close(md);
}

/* What thin_restore counts as free in the last bitmap is counted anew when the data grows. */
static void test_last_bitmap(void **state)
{
  g_autoptr(VtIo) io = make_pool(*state);
  g_autofree char *path = thin_test_path(*state, "meta");
  guint64 block[THIN_METADATA_BLOCK / 8];
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;
  ThinMetadata *md;

  assert_ok(vt_io_read(io, block, sizeof block, 0, &error));
  thin_test_poke(path, GUINT64_FROM_LE(sb->data_space_map.root.bitmap_root), THIN_KIND_NODE,
                 AT_VALUE(sizeof(ThinDiskIndexEntry), 4) + 8, 3, 4);
  assert_ok((md = thin_metadata_open(io, FALSE, 1, &error)) != NULL);
  assert_ok(thin_metadata_grow_data(md, N_CHUNKS + 500, &error));
  assert_ok(thin_data_map_alloc_at(md->data, N_CHUNKS, 500, &error));
  assert_ok(thin_data_map_dec(md->data, N_CHUNKS, 500, &error));
  thin_test_commit(md);
  thin_metadata_close(md);
  thin_test_assert_clean(path, TRUE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_each_read_fails, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_lies, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_refused, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_beyond_the_end, thin_test_setup, thin_test_teardown),
      cmocka_unit_test_setup_teardown(test_last_bitmap, thin_test_setup, thin_test_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
