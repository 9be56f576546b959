/* virt-thin - finding the roots of a pool's metadata: commits of which a root is damaged
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The metadata's own space map tells which blocks a commit was made of, and older ones of it lie
 * about as older trees do: each has an index block. Where maps are part of a commit that has no
 * details, they may be what is left of a pair whose details were written over later, or damaged. In
 * the first case all of the commit's blocks are blocks of metadata still, in the second one is not.
 * So it is with details that have no maps.
 */
#include "config.h"

#include "thin/rebuild/roots-private.h"

#define N_INDEXES_MAX 64u /* looked at: more are not left behind where blocks are used again */

typedef struct {
  RootsScan *scan;
  GArray *tops; /* of guint64: blocks */
  guint n_details;
  guint64 details; /* the last of them */
  gboolean damaged;
  guint64 n_reads; /* left, of all commits */
  guint64 buffer[THIN_METADATA_BLOCK / 8];
} Commit;

static gboolean is_metadata(Commit *commit, guint64 number)
{
  const guint8 *data = (const guint8 *)commit->buffer;

  if (number == 0 || commit->n_reads == 0)
    return TRUE;
  commit->n_reads--;
  return vt_io_read(commit->scan->io, commit->buffer, sizeof commit->buffer,
                    number * THIN_METADATA_BLOCK, NULL) &&
         (thin_block_verify(data, number, THIN_KIND_BITMAP, "", NULL) ||
          thin_block_verify(data, number, THIN_KIND_INDEX, "", NULL) ||
          thin_block_verify(data, number, THIN_KIND_SUPERBLOCK, "", NULL));
}

static void see_used(Commit *commit, guint64 number)
{
  const RootsNode *node = &commit->scan->nodes[number];
  const RootsTop *top = &commit->scan->tops[number];

  if (node->kind == ROOTS_NONE) {
    commit->damaged = commit->damaged || !is_metadata(commit, number);
  } else if (node->kind == ROOTS_DETAILS && !node->has_parent) {
    commit->n_details++;
    commit->details = number;
  } else if (node->kind == ROOTS_MAPS && top->is_one && node->n && !node->has_parent &&
             !node->is_map) {
    g_array_append_val(commit->tops, number);
  }
}

static void read_bitmap(Commit *commit, guint64 number, guint64 first)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  guint n = (guint)MIN(THIN_BITMAP_SLOTS, commit->scan->n_blocks - first);

  if (number == 0 || number >= commit->scan->n_blocks ||
      !thin_block_read(commit->scan->io, number, THIN_KIND_BITMAP, (guint8 *)block, NULL))
    return;
  for (guint slot = 0; slot < n; slot++)
    if (thin_bitmap_get((const guint8 *)block, slot))
      see_used(commit, first + slot);
}

static void read_commit(Commit *commit, guint64 number)
{
  union {
    ThinDiskIndex index;
    guint64 align;
  } block;
  guint64 first = 0;

  if (!thin_block_read(commit->scan->io, number, THIN_KIND_INDEX, (guint8 *)&block, NULL))
    return;
  g_array_set_size(commit->tops, 0);
  commit->n_details = 0;
  commit->details = 0;
  commit->damaged = FALSE;
  for (guint i = 0; i < THIN_INDEX_MAX && first < commit->scan->n_blocks; i++) {
    read_bitmap(commit, GUINT64_FROM_LE(block.index.entries[i].blocknr), first);
    first += THIN_BITMAP_SLOTS;
  }
}

static void judge(Commit *commit)
{
  RootsScan *scan = commit->scan;

  if (!commit->damaged)
    return;
  for (guint i = 0; commit->n_details != 1 && i < commit->tops->len; i++)
    scan->tops[g_array_index(commit->tops, guint64, i)].has_lost_details = TRUE;
  if (commit->n_details <= 1 && !commit->tops->len)
    g_array_append_val(scan->lost, commit->details);
}

void roots_find_commits(RootsScan *scan)
{
  Commit commit = {.scan = scan,
                   .tops = g_array_new(FALSE, FALSE, sizeof(guint64)),
                   .n_reads = 2 * scan->n_blocks};

  for (guint i = 0; i < MIN(scan->indexes->len, N_INDEXES_MAX); i++) {
    read_commit(&commit, g_array_index(scan->indexes, guint64, i));
    judge(&commit);
  }
  g_array_unref(commit.tops);
}
