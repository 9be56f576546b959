/* virt-thin - the roots of a pool's metadata, found without its superblock
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * All that a superblock says of devices is where two trees begin: the one of the devices' maps (its
 * values are the roots of mapping trees) and the one of their details. Every change of a tree is
 * written beside it (copy on write), so besides the newest pair older ones lie about, for as long
 * as nobody has written over their blocks. The blocks are read once and each is asked what it could
 * be the root of; then maps and details that tell of the same devices, with as many mappings, are a
 * pair. It works on metadata that is whole as well, where the older pairs are those before the last
 * commits.
 *
 * Nothing on disk says which of two commits came first that neither made a device nor a snapshot.
 * Then the pair goes first which has more mappings of the newest time. Of maps and details that are
 * of different commits it goes after all that are of one; but not where the details of the maps'
 * commit are damaged, as a space map that lies about shows. Details can be made anew, what was
 * written since an older commit cannot: so such maps are as good as a pair, with older details of
 * the same devices, or with none. Where a commit's maps are damaged, an older pair is all there is;
 * and it is known to be older, by the superblock or by the details that are left.
 *
 * Cost: each block is read once, inner nodes a few times; below 150 bytes of memory for each node.
 * Units: metadata blocks, virtual chunks. Errors: VT_ERROR. Nothing is written. Thread-safety: none
 * for one search; searches are independent of each other.
 */
#pragma once

#include "thin/format/block.h"
#include "thin/format/btree-node.h"

/* A device of a pair. */
typedef struct {
  ThinDevice details; /* mapped in chunks; all 0 but the id without @has_details */
  guint64 map;        /* root of its mapping tree; 0: unknown, all of it is lost */
  guint64 n_found;    /* mappings that can be reached */
  gboolean has_details;
  gboolean whole; /* nothing of the map is damaged */
} ThinRootDevice;

/* What cannot be reached by a pair. */
typedef struct {
  guint32 first, last; /* devices; more than one: nothing is known of any of them */
  guint64 begin, end;  /* virtual chunks of that device; G_MAXUINT64: to its end */
  char *reason;
} ThinRootLoss;

typedef enum {
  THIN_ROOTS_EXACT,   /* whole, and both trees tell the same */
  THIN_ROOTS_DAMAGED, /* all that is wanting lies beneath damaged nodes */
  THIN_ROOTS_APART,   /* the trees are not of one commit: some of it is older than the rest */
} ThinRootMatch;

typedef struct {
  guint64 mapping_root;
  guint64 details_root;  /* 0: none was found; the details can be made anew from the maps */
  gboolean is_current;   /* a whole superblock's; or that one of the two which can be used */
  gboolean is_older;     /* than the last commit: what was written since is not there */
  gboolean may_be_older; /* than a commit whose maps are damaged: which came first nothing tells */
  guint64 later_details; /* with @is_older, the root of the last commit's details; 0: not known */
  ThinRootMatch match;
  guint64 transaction_id; /* the highest of its devices'; the pool's may be higher */
  guint32 time;           /* the highest of its devices and mappings; the pool's, as a rule */
  guint64 n_mappings;     /* reached, of all devices */
  GArray *devices;        /* of ThinRootDevice, in order of ids */
  GArray *losses;         /* of ThinRootLoss; the first THIN_ROOTS_LOSSES_MAX */
  gboolean more_losses;
} ThinRootPair;

#define THIN_ROOTS_LOSSES_MAX 1000
#define THIN_ROOTS_DEVICES_MAX (1u << 20) /* of all pairs that are returned */

/* What is known from elsewhere, as a rule the VG's text. */
typedef struct {
  const guint32 *devices; /* ids that the pool should have, in any order */
  gsize n_devices;
} ThinRootHints;

/* The pairs of @metadata, the likeliest first: the superblock's, where that can be used; then those
 * with the devices of @hints (NULL: no hints); then the newest. @max of them at most, but one at
 * least. GPtrArray of ThinRootPair *, the caller's. ENOENT: there is none. */
GPtrArray *thin_roots_find(VtIo *metadata, const ThinRootHints *hints, guint max, GError **error);

/* The pair of just these roots, judged as those above; @details_root 0: none. Its is_current is
 * FALSE. EBADMSG: @mapping_root is no root of the devices' maps. */
ThinRootPair *thin_roots_at(VtIo *metadata, guint64 mapping_root, guint64 details_root,
                            GError **error);

void thin_root_pair_free(ThinRootPair *roots);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ThinRootPair, thin_root_pair_free)
/* Device @id; NULL: it has none. */
const ThinRootDevice *thin_root_pair_device(const ThinRootPair *roots, guint32 id);
/* "thin device 5: virtual chunks 0 to 77: REASON"; the caller's. */
char *thin_root_loss_text(const ThinRootLoss *loss);
