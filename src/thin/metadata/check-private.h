/* virt-thin - checking thin metadata: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "thin/format/walk.h"
#include "thin/metadata/btree.h"
#include "thin/thin.h"

#define CHECK_LINES_MAX 1000 /* errors, or leaks, told one by one */

/* What a metadata block was found to be used as. */
typedef enum {
  ROLE_NONE,
  ROLE_TOP,
  ROLE_MAPPING,
  ROLE_DETAILS,
  ROLE_DATA_INDEX,
  ROLE_DATA_COUNTS,
  ROLE_METADATA_COUNTS,
  ROLE_INDEX,
  ROLE_BITMAP,
  ROLE_SUPERBLOCK,
} Role;

/* Blocks, or chunks, [begin, end) that are counted more often than used. */
typedef struct {
  gboolean metadata;
  guint64 begin, end;
  guint32 counted, used;
} CheckLeak;

typedef struct {
  VtIo *io;
  const char *name;
  const ThinCheckOptions *options;
  ThinDiskSuperblock superblock;
  guint64 n_blocks; /* that exist, on disk and by the superblock */
  guint64 n_chunks;
  guint32 *references; /* to each metadata block */
  guint8 *roles;
  ThinSubtree *subtrees;   /* what was found from each block on, if it is a node */
  guint8 *mapped;          /* how often each chunk is mapped, to 255 */
  GHashTable *mapped_more; /* chunk -> how often beyond 255 */
  gboolean mappings_lost;  /* some tree could not be walked whole: what is counted more often than
                              found need not be a leak */
  guint64 n_errors, n_leaks;
  ThinReport *report;
  GArray *leaks;       /* of CheckLeak; NULL: they are told alone */
  guint64 n_allocated; /* chunks that the bitmaps have in use; 0: not counted */
  guint64 n_read;      /* blocks, for who is told how far it is */
} Check;

G_GNUC_PRINTF(2, 3) void check_error(Check *check, const char *format, ...);
G_GNUC_PRINTF(2, 3) void check_leak(Check *check, const char *format, ...);

/* One block more was read. */
void check_progress(Check *check);

/* Count a reference to block @number, used as @role. Returns whether it is the first: then the
 * block is to be looked at. A block out of range or used as something else sets @fault. */
gboolean check_refer(Check *check, guint64 number, Role role, GError **fault);

/* A walk through one kind of tree. */
typedef struct CheckTree CheckTree;
struct CheckTree {
  Check *check;
  Role role;
  guint value_size;
  const char *name;
  gint64 device; /* -1: none */
  gboolean held; /* seen through the metadata snapshot */
  void (*leaf)(CheckTree *tree, const guint8 *data, guint n); /* may be NULL */
  gpointer user_data;
};
/* Walk the tree at @root and count references. Returns whether nothing is lost. */
gboolean check_walk(CheckTree *tree, guint64 root, guint64 *n_entries);

/* The space maps (check-counts.c): first find the blocks they consist of, then, when all references
 * are known, compare.
 */
typedef struct {
  ThinDiskIndexEntry *entries;
  guint64 n_regions;
  gboolean counts_lost; /* the reference count tree cannot be trusted */
} CheckMap;
void check_find_maps(Check *check, CheckMap *metadata, CheckMap *data);
void check_compare_maps(Check *check, CheckMap *metadata, CheckMap *data);
guint32 check_mapped(Check *check, guint64 chunk);

/* check-quick.c: the blocks that the superblock leads to. */
void check_roots(Check *check);

/* thin_check(), which also says in @leaks (of CheckLeak) what there is to mend, and how many chunks
 * the bitmaps have in use. */
ThinReport *check_for_leaks(VtIo *io, guint64 data_size, GArray *leaks, guint64 *n_allocated,
                            GError **error);
/* Write the superblock without needs_check. */
gboolean check_clear_mark(VtIo *io, GError **error);
