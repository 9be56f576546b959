/* virt-thin - volumes of a thin pool to a stream
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is read-only is read as it is. Of what can be written to a snapshot is taken, of all such
 * volumes at one instant, and removed in the end. They go in the order in which they were made,
 * each as what its base lacks: an earlier volume of the stream, or what the receiver has, whichever
 * it differs from least.
 *
 * Units: bytes. Errors: VT_ERROR; ECANCELED after a signal. Thread-safety: main thread only.
 */
#pragma once

#include "cli/progress.h"
#include "pool/pool.h"
#include "transfer/resume.h"
#include "transfer/stream.h"

typedef struct {
  VolumeGroup *group;
  const char *pool;           /* thin pool */
  const char *const *volumes; /* NULL: all of it */
  gboolean recursive;         /* the snapshots of @volumes, too */
  const char *const *since;   /* snapshots of each, which the receiver has: what is newer than the
                                 newest of them is sent; NULL: all */
} SendWhat;

typedef struct SendPlan SendPlan;

/* Choose what is sent, and from what; takes the snapshots. ENOENT, EINVAL. */
SendPlan *send_plan_new(const SendWhat *what, GError **error);
/* Only what @token says that the receiver lacks (transfer/resume.h). ESTALE: what was sent of it
 * cannot be sent again. Keeps no reference to it. */
gboolean send_plan_resume(SendPlan *plan, const TransferToken *token, GError **error);
/* How much data that is, about; of how many volumes. */
guint64 send_plan_estimate(const SendPlan *plan);
guint send_plan_n_volumes(const SendPlan *plan);
/* All volumes, without the stream's end. *data: how much of it is data. EBADMSG, and others: it is
 * not whole. */
gboolean send_plan_write(SendPlan *plan, StreamWriter *writer, CliProgress *progress, guint64 *data,
                         GError **error);
/* Removes the snapshots; NULL is fine. */
void send_plan_free(SendPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SendPlan, send_plan_free)
