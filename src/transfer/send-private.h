/* virt-thin - volumes of a thin pool to a stream: what its parts share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "transfer/identity.h"
#include "transfer/send.h"

typedef struct {
  const PoolVolumeInfo *info;
  const PoolVolumeInfo *since; /* the newest that the receiver has; NULL: nothing */
  StreamVolume *volume;
  const char *family;         /* what it has in common with others that it may be based on */
  char *source, *source_uuid; /* what is read: read-only */
  char *base, *base_uuid;     /* what it is compared with; NULL: nothing */
  guint64 cost;               /* bytes that differ */
} SendItem;

struct SendPlan {
  VolumeGroup *group;
  char *vg, *vg_uuid, *pool;
  GPtrArray *infos;     /* of PoolVolumeInfo: of the pool */
  GPtrArray *items;     /* of SendItem, in order */
  GPtrArray *snapshots; /* names that were taken, to be removed */
  GStrv since;          /* what they are called that the receiver has; NULL: none */
  guint64 estimate;
  guint there;        /* so many items the receiver has, */
  guint64 there_to;   /* and the next one up to here */
  char *there_digest; /* NULL: it has nothing */
};

/* What @what means, into @plan->items, in order. */
gboolean send_select(SendPlan *plan, const SendWhat *what, GError **error);
/* A base for each item. */
gboolean send_choose_bases(SendPlan *plan, GError **error);
/* The snapshot of @info's volume that is called so. NULL: it has none. */
const PoolVolumeInfo *send_find_snapshot(const SendPlan *plan, const PoolVolumeInfo *info,
                                         const char *snapshot);
/* NULL: not there. */
const PoolVolumeInfo *send_find(const SendPlan *plan, const char *name);
void send_item_free(SendItem *item);
