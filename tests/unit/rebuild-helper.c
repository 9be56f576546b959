/* virt-thin - what the tests of metadata written anew share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "rebuild-helper.h"

#include <stdio.h>
#include <unistd.h>

#include "thin/format/dump.h"
#include "thin/rebuild/rebuild.h"
#include "thin/rebuild/xml.h"

char *anew_dump(VtIo *metadata)
{
  ThinDumpOptions options = {.device = -1};
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);

  MUST(thin_dump(metadata, &options, out, &error));
  fclose(out);
  return text;
}

guint64 anew_used(VtIo *metadata)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const ThinDiskSuperblock *sb = (const ThinDiskSuperblock *)(gpointer)block;

  MUST(thin_superblock_read(metadata, 0, (guint8 *)block, &error));
  return GUINT64_FROM_LE(sb->metadata_space_map.root.nr_allocated);
}

/* --- what comes back ---------------------------------------------------------------- */

void anew_check(VtIo *metadata, int fd)
{
  harness_check(metadata, 0, FALSE);
  harness_tool("thin_check", fd);
}

VtIo *anew_rebuild(VtIo *from, guint64 size, int *fd)
{
  VtIo *to = harness_memory("anew", size, fd);
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  g_autofree char *before = anew_dump(from), *after = NULL;
  ThinRebuildStats stats;

  MUST(thin_rebuild(from, NULL, to, lost, &stats, &error));
  anew_check(to, *fd);
  after = anew_dump(to);
  assert_string_equal(before, after);
  assert_int_equal(lost->len, 0);
  assert_false(stats.devices_lost);
  assert_int_equal(stats.n_details_made, 0);
  assert_int_equal(stats.n_blocks_used, anew_used(to));
  assert_true(anew_used(to) <= anew_used(from) + 2);
  return to;
}

VtIo *anew_restore(VtIo *from, guint64 size, guint percent, int *fd)
{
  VtIo *to = harness_memory("restored", size, fd);
  g_autofree char *before = anew_dump(from), *after = NULL;
  FILE *in = fmemopen(before, strlen(before), "r");
  guint64 n_used, n_dry;

  MUST(thin_restore(in, "xml", NULL, &n_dry, &error));
  rewind(in);
  MUST(thin_restore(in, "xml", to, &n_used, &error));
  fclose(in);
  anew_check(to, *fd);
  after = anew_dump(to);
  assert_string_equal(before, after);
  assert_int_equal(n_used, anew_used(to));
  assert_true(n_dry <= n_used + 1 && n_dry + 1 >= n_used);
  print_message("# restored: %u blocks, of %u\n", (guint)n_used, (guint)anew_used(from));
  assert_true(n_used * 100 <= anew_used(from) * percent);
  return to;
}

/* --- large maps, without data ------------------------------------------------------- */

#define LARGE_CHUNKS 400000u
#define LARGE_KEYS 60000

ThinMetadata *anew_open(VtIo *io)
{
  ThinMetadata *md = NULL;

  MUST(md = thin_metadata_open(io, FALSE, 4 * MIB, &error));
  return md;
}

void anew_map(ThinMetadata *md, guint32 device, guint64 begin, guint64 n)
{
  guint64 chunk, got;

  for (; n > 0; begin += got, n -= got) {
    MUST(thin_metadata_alloc(md, n, &chunk, &got, &error));
    MUST(thin_metadata_insert(md, device, begin, chunk, got, &error));
  }
}

/* Runs of 1 to @longest chunks of @device are mapped, or unmapped. */
static void anew_change_map(ThinMetadata *md, GRand *rand, guint32 device, guint n_runs,
                            gint longest)
{
  for (guint i = 0; i < n_runs; i++) {
    guint64 begin = (guint64)g_rand_int_range(rand, 0, LARGE_KEYS - longest),
            n = (guint64)g_rand_int_range(rand, 1, longest + 1);

    if (g_rand_int_range(rand, 0, 4) == 0)
      MUST(thin_metadata_remove(md, device, begin, begin + n, &error));
    else
      anew_map(md, device, begin, n);
  }
}

void anew_commit(ThinMetadata *md)
{
  MUST(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_freed_done(md);
}

void anew_make_large(VtIo *io, guint32 seed, guint n_snapshots, gint longest)
{
  GRand *rand = g_rand_new_with_seed(seed);
  ThinMetadata *md;

  MUST(thin_metadata_format(io, CHUNK, LARGE_CHUNKS, &error));
  md = anew_open(io);
  MUST(thin_metadata_create(md, 0, &error));
  MUST(thin_metadata_create(md, 1, &error));
  anew_map(md, 0, 0, LARGE_KEYS / 2);
  anew_change_map(md, rand, 1, 4000, 5);
  anew_commit(md);
  for (guint32 i = 0; i < n_snapshots; i++) {
    guint32 of = i % 2;

    MUST(thin_metadata_snapshot(md, 10 + i, of, &error));
    anew_change_map(md, rand, of, 3, longest);
    anew_commit(md);
  }
  thin_metadata_close(md);
  g_rand_free(rand);
}

void anew_work_on(VtIo *io, int fd, GRand *rand)
{
  ThinMetadata *md = anew_open(io);
  g_autoptr(GArray) devices = NULL;

  MUST(devices = thin_metadata_list_devices(md, &error));
  for (guint i = 0; i < devices->len; i++)
    anew_change_map(md, rand, g_array_index(devices, ThinDevice, i).id, 3, 600);
  anew_commit(md);
  for (guint i = 0; i < devices->len; i += 2)
    MUST(thin_metadata_delete(md, g_array_index(devices, ThinDevice, i).id, &error));
  anew_commit(md);
  thin_metadata_close(md);
  anew_check(io, fd);
}
