/* virt-thin - a volume group made again on other devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From the text of a volume group, and the content of its volumes in any order in which a base
 * comes before what is made from it. The engine in this process writes it, so that thin devices get
 * the ids that the text says, and share what their bases have. The devices are nothing but locked
 * until rebuild_finish(): only when all volumes are there and every pool's metadata has been
 * checked do they become physical volumes. What fails, or dies, before leaves none.
 *
 * Units: bytes. Errors: VT_ERROR; ENOSPC: the devices are too small; EEXIST: something is on one.
 * Thread-safety: one thread's.
 */
#pragma once

#include "lvm/model/vg.h"
#include "util/io.h"

typedef struct Rebuild Rebuild;

typedef struct {
  const char *vg;           /* its name */
  const char *uuid;         /* NULL: as the text says */
  const char *const *paths; /* of files and block devices that are there */
  guint64 extent_size;      /* 0: as the text says */
  gboolean no_autoactivate; /* for files */
  GHashTable *sizes;        /* LV name -> LvmLikeSize */
} RebuildHow;

/* @how is the caller's, and used during the call. */
Rebuild *rebuild_new(LvmVg *like, const RebuildHow *how, GError **error);
/* What was not finished is given up. */
void rebuild_free(Rebuild *rebuild);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rebuild, rebuild_free)

LvmVg *rebuild_vg(Rebuild *rebuild); /* as it will be */

/* Begin volume @name, to be written to. A thin one is as @base is now; NULL: it reads zero. A
 * linear one shows what the devices held: all of it is to be written. Before the next one begins
 * the VtIo must be gone. EEXIST: it has begun before. EINVAL: no such volume, or @base is not one
 * of its pool that is there. */
VtIo *rebuild_begin(Rebuild *rebuild, const char *name, const char *base, GError **error);
/* A volume that has begun, once more. */
VtIo *rebuild_open(Rebuild *rebuild, const char *name, GError **error);

/* Are all there? Then check the pools, and make the devices the physical volumes of what they
 * hold. */
gboolean rebuild_finish(Rebuild *rebuild, GError **error);
