/* virt-thin - failover: the domains that have travelled along
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "apply/domains.h"
#include "pool/pool.h"
#include "schedule/replicas.h"

typedef struct {
  const ReplicaDomain *domain;
  char *document;                 /* with its disks where they are here */
  gboolean is_defined, is_active; /* here, and it is the same */
} FailoverDomain;

/* What is to be defined for @replica, whose volume group @holder has, with volumes @volumes (of
 * PoolVolumeInfo): GPtrArray of FailoverDomain *, the caller's. Disks that are no replicas are
 * told. EEXIST: another of that name or UUID is there. */
GPtrArray *failover_domains(const Replica *replica, PoolHolder holder, GPtrArray *volumes,
                            ApplyDomains *here, GError **error);
