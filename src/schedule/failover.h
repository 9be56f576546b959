/* virt-thin - failover: replicas become volumes, and the guests that had them are defined
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * On the host that has the replicas, when the one that they came from is gone. Of each guest the
 * newest point is taken at which it is whole (replicas.h): clones of those snapshots get the names
 * that the volumes had, and its domains are defined with their disks there. All that can be refused
 * is refused before the first change. What was done shows in itself: a volume of the right name
 * that is a clone of the snapshot is not made again, and a domain with its disks there is left as
 * it is; so a run that was killed is gone on with by the next.
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "util/error.h"

typedef struct {
  char **guests;         /* VMIDs or names; none: all of @from */
  const char *from;      /* the first host; NULL: whichever */
  const char *host;      /* where it is asked; NULL: by its name and address */
  const char *ssh;       /* NULL: the usual */
  gboolean force;        /* it is not asked */
  gboolean dry_run;      /* nothing is changed */
  gboolean volumes_only; /* no domain is defined */
  gboolean start;        /* domains */
} Failover;

/* What is done, or would be, goes to standard output. ENOENT: no such guest, or it is not whole;
 * EEXIST: something is in the way; EBUSY: the first host answers. */
gboolean failover_run(const Failover *failover, GError **error);
/* The guests that there are replicas of, to standard output. */
gboolean failover_list(const char *from, GError **error);
/* Keep what the first host tells, from @address (NULL: not known). */
gboolean failover_learn(const char *text, const char *address, GError **error);
