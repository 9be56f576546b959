/* virt-thin - what metrics tell of: volume groups, their pools, their volumes, at one time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Units: bytes. Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "pool/growth.h"
#include "pool/open.h"

typedef struct {
  PoolInfo *info;
  PoolGrowth data, metadata;
  guint snapshots;
  gboolean in_use;  /* a service, or the kernel, has it: whether it takes writes can be told */
  PoolUsage *usage; /* of its snapshots together, and each volume's; NULL: not asked for */
} MetricsPool;

typedef struct {
  char *name;
  PoolVgInfo *info;   /* NULL: it cannot be opened */
  GPtrArray *pools;   /* of MetricsPool */
  GPtrArray *volumes; /* of PoolVolumeInfo */
  GVariant *requests; /* the property of its service (org.virt_thin.VolumeGroup1.xml); NULL: none */
} MetricsVg;

typedef struct {
  GPtrArray *vgs;      /* of MetricsVg */
  GPtrArray *problems; /* of char *: what could not be read, and why; none: all is here */
} Metrics;

/* Of the volume groups @names; NULL: all there are. @usage: who uses the chunks is asked, too,
 * which reads metadata. How fast pools grow is known from the file of earlier samples; with @keep
 * this one is added to it. What cannot be read is among the problems. */
Metrics *metrics_collect(const char *const *names, PoolWhere where, gboolean usage, gboolean keep);
void metrics_free(Metrics *metrics);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Metrics, metrics_free)
