/* virt-thin - opening a volume of a pool that does not open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Nothing is written, and nothing is recovered: the volume group is what a text says, the volume's
 * map what the metadata says at one pair of roots. By default these are the newest committed text,
 * else the newest that can be found, and the superblock's roots, else the likeliest that can be
 * found. What was chosen, and why, is told in notes. Roots other than those of a superblock that is
 * whole are of an earlier commit: then what was written since is not what is read.
 *
 * So long as it is open, no other virt-thin opens the physical volumes for writing. Errors:
 * VT_ERROR; EBUSY: somebody has the volume group in use. Thread-safety: main thread only.
 */
#pragma once

#include "lvm/texts.h"
#include "thin/rebuild/roots.h"

typedef struct {
  const char *vg, *lv;  /* @lv NULL: the texts alone */
  const char *text;     /* a seqno, or a file; NULL: see above */
  const char *root;     /* number in the list, or @BLOCK; NULL: see above */
  const char *metadata; /* this file in place of the pool's metadata; NULL: that */
  const char *dump;     /* ... or what the XML in this file says of it; NULL: that */
  gint64 device;        /* of pool @lv; -1: @lv is a volume */
  guint64 size;         /* of that device; 0: up to its last mapping */
} RescueRequest;

typedef struct {
  LvmProbe *probe;
  GPtrArray *locks;    /* of VtIo */
  GPtrArray *texts;    /* of LvmText *, the newest first */
  LvmText *file;       /* NULL: the text is one of @texts */
  const LvmText *text; /* that is used */
  LvmStore *store;
  GPtrArray *notes;  /* of char * */
  gboolean is_older; /* of rescue_open(): the roots taken, unasked, are not the last commit's */
} RescueGroup;

/* All but @request->lv. ENOENT: no text is left. */
RescueGroup *rescue_group_open(const RescueRequest *request, GError **error);
void rescue_group_free(RescueGroup *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RescueGroup, rescue_group_free)
/* Is @path one of the physical volumes? Nothing is to be written there. */
gboolean rescue_group_has(RescueGroup *group, const char *path);

/* The volume; its content is read from @group, which must stay open. */
VtIo *rescue_open(RescueGroup *group, const RescueRequest *request, GError **error);
/* The pairs of roots of the pool that has @request->lv, or is it: GPtrArray of ThinRootPair *, the
 * likeliest first; the caller's. *pool: the caller's reference to its LV. */
GPtrArray *rescue_roots(RescueGroup *group, const RescueRequest *request, LvmLv **pool,
                        GError **error);
