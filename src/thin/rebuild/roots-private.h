/* virt-thin - finding the roots of a pool's metadata: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "thin/format/walk.h"
#include "thin/rebuild/roots.h"

/* What the leaves beneath a node hold, told by the size of their values. */
typedef enum {
  ROOTS_NONE, /* no node, or one beneath which nothing makes sense */
  ROOTS_PENDING,
  ROOTS_MAPS, /* mappings, or the roots of maps */
  ROOTS_DETAILS,
  ROOTS_OTHER,
  ROOTS_N_KINDS,
} RootsKind;

/* What a block is the root of. */
typedef struct {
  guint64 first, last; /* keys; first > last: none */
  guint64 n;           /* entries in the leaves that can be reached */
  guint64 n_newest;    /* mappings of @time */
  guint64 transaction_id;
  guint64 ids, counts; /* of details: see roots_hash() */
  guint64 mapped;      /* of details: what they say in all */
  guint32 time;        /* the highest beneath */
  guint8 kind;
  guint8 height; /* of a leaf 0 */
  guint8 lost : 1;
  guint8 has_parent : 1;
  guint8 is_map : 1; /* a root of the devices' maps refers to it */
} RootsNode;

/* What it is as (a part of) the tree whose values are the roots of maps. */
typedef struct {
  guint64 ids, counts;
  guint64 n_mappings, n_newest;
  guint32 time;
  guint8 is_one;
  guint8 lost; /* a part of it, or of a map */
  guint8 is_paired;
  guint8 has_lost_details; /* they were of one commit, and are damaged */
} RootsTop;

typedef struct {
  VtIo *io;
  guint64 n_blocks;
  RootsNode *nodes; /* by block */
  RootsTop *tops;   /* by block */
  GArray *inner;    /* of guint64: inner nodes, in order of height once that is known */
  GArray *leaves;   /* of guint64: leaves that may hold roots of maps */
  GArray *indexes;  /* of guint64: index blocks of the metadata's space map */
  guint64 current_top, current_details; /* the superblock's; 0: it is damaged */
  GArray *lost; /* of guint64: of commits whose maps are damaged, the details' root; 0: it, too */
} RootsScan;

/* A set of devices is told by the sum of its members' hashes, so that a tree's is the sum of its
 * nodes'. @count: their mappings. */
guint64 roots_hash(guint64 id, guint64 count);

/* Read all blocks, and find out what each is. ENOMEM, or an error of all reading. */
gboolean roots_scan(RootsScan *scan, VtIo *io, GError **error);
void roots_scan_clear(RootsScan *scan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(RootsScan, roots_scan_clear)
/* Is @child, the @i-th of the node @data, a usable part of a tree of @kind? */
gboolean roots_child_fits(const RootsScan *scan, const guint8 *data, guint i, RootsKind kind);
/* The map at block @root, of which block @top tells; NULL: there is none. */
RootsNode *roots_map(const RootsScan *scan, guint64 top, guint64 root);
gboolean roots_read_node(const RootsScan *scan, guint64 number, guint8 *data);

/* Find the maps whose details are damaged, so that none are like them; and the details whose maps
 * are. */
void roots_find_commits(RootsScan *scan);

/* A pair before its devices are looked at. */
typedef struct {
  guint64 top, details; /* details 0: none */
  ThinRootMatch match;
  gboolean is_current, is_hinted, has_parent;
} RootsPair;

/* All pairs that are worth a look, the likeliest first (GArray of RootsPair). */
GArray *roots_pairs(RootsScan *scan, const ThinRootHints *hints);
/* By what has been read of them; what is of one commit goes before what is not, and then what is
 * newer. @scan: a RootsScan. */
gint roots_compare_pairs(gconstpointer a, gconstpointer b, gpointer scan);
/* Is there anything of a later commit than @pair's? */
void roots_find_later(const RootsScan *scan, const RootsPair *pair, ThinRootPair *roots);
ThinRootMatch roots_match(const RootsScan *scan, guint64 top, guint64 details);

/* What may still be looked at, for all pairs together. */
typedef struct {
  guint64 n_devices, n_nodes;
} RootsBudget;
/* Look at a pair's devices, and what is lost of them; pair->match is then certain. NULL: it has too
 * many. */
ThinRootPair *roots_describe(const RootsScan *scan, RootsPair *pair, RootsBudget *budget);
