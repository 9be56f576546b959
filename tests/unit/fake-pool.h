/* virt-thin - a VolumeGroup for tests of the D-Bus layer
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It writes down what it is asked, answers with every field filled, and fails or hangs as told.
 */
#pragma once

#include "pool/pool-private.h"

#define FAKE_POOL_VG "vg0"

typedef struct {
  VolumeGroup base;
  GMutex lock;
  GCond changed;
  char *asked;   /* the last call, as text */
  int fail;      /* errno for the next change; 0: none */
  gboolean hang; /* "snapshot" waits until this is FALSE */
  guint hanging;
  guint n_volumes; /* of list_volumes */
  guint n_infos;   /* calls of get_info */
  gsize leak;      /* bytes that check says of one more leak; 0: no more */
} FakePool;

extern const PoolOps fake_pool_ops;

/* What it answers with; the caller's. */
PoolVolumeInfo *fake_pool_make_volume(guint i);
PoolInfo *fake_pool_make_info(void);
PoolVgInfo *fake_pool_make_vg(void);
/* As a call does. */
gboolean fake_pool_note(VolumeGroup *group, const char *format, ...) G_GNUC_PRINTF(2, 3);
