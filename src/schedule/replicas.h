/* virt-thin - replicas: what the host that has them is told of whose they are
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * After the volumes of a run (replicate.h) their host is told, in one text, which of them make a
 * guest, and what libvirt's documents of its domains are. It keeps a file for each guest and run,
 *
 *     <state>/replicas/HOST/GUEST@SCHEDULE-SECONDS.conf      root's alone, it may hold passwords
 *
 * HOST being the first host's name, GUEST its VMID or else its domain's or its volume's name, with
 * %XX where a file name wants it. A file is written when all of its volumes are there, so what it
 * names is a point at which the guest is whole. It goes, by the next run that is told of, when one
 * of its snapshots has gone.
 *
 *     [replicas]
 *     version=1
 *     schedule=far           time=1796000000 (seconds since the epoch)
 *     host=alpha             address=10.0.0.1 (where it came from by ssh; added by who writes it)
 *     vg=pve2  pool=data     where the replicas are
 *
 *     [guest 0]
 *     name=101
 *     volumes=pve/vm-101-disk-0;…                        snapshots=snap_vm-101-disk-0_auto-…;…
 *     asked=true             libvirt was asked for domains; if not, those known before stay
 *     domains=0;…
 *
 *     [domain 0]
 *     name=  uuid=  xml=     disks=vda;pve/vm-101-disk-0;…   which of its disks are such volumes
 *     nvram=540672:…         its UEFI variables: bytes, and these packed by zlib, in base64; none
 *                            where it has none, or they could not be read
 *
 * Errors: VT_ERROR. Thread-safety: main thread only.
 */
#pragma once

#include "schedule/history.h"

#define REPLICAS_VERSION 1
#define REPLICAS_MAX_SIZE (128 * 1024 * 1024) /* of a text, bytes */

typedef struct {
  char *name, *uuid, *document, *nvram; /* nvram (nvram.h) NULL: none */
  GStrv disks;                          /* target, volume, target, volume… */
} ReplicaDomain;

typedef struct {
  char *file, *schedule, *host, *address, *vg, *pool, *guest; /* address NULL: not known */
  gint64 time;
  GStrv volumes, snapshots; /* "VG/LV" of the first host; its snapshot here; as many of each */
  gboolean asked;
  GPtrArray *domains; /* of ReplicaDomain * */
} Replica;
void replica_free(Replica *replica);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Replica, replica_free)
/* The part of "VG/LV" that is the volume's name here, too. */
const char *replica_lv(const char *volume);

/* Keep what is said in @text, which came from @address (NULL: not known). EINVAL: it is no such
 * text. */
gboolean replicas_keep(const char *text, const char *address, GError **error);
/* The files there are: GPtrArray of Replica *, the newest first; the caller's. What is damaged is a
 * warning. */
GPtrArray *replicas_list(void);
/* Is every snapshot of it among @there (of ScheduleSnapshot, of its schedule)? NULL: yes; else the
 * first that is not. */
const char *replica_missing(const Replica *replica, GPtrArray *there);
/* Remove the files of the same host, schedule and pool as @like, of which a snapshot is not among
 * @there. */
void replicas_prune(const Replica *like, GPtrArray *there);
/* The head of a text alone: schedule, host, vg, pool, time. EINVAL. The caller's. */
Replica *replicas_head(const char *text, GError **error);
