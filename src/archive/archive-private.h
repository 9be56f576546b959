/* virt-thin - a volume group as a stream: what its writer and its reader share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The text comes in as many descriptions as it takes, in order:
 *   "vg-text" ay  a part of it
 *   "left" t      how many more come
 * and in the last one also
 *   "pools" a(stt)  of each thin pool: what is in use of its data and of its metadata, at most
 *   "files" b       its physical volumes were files
 */
#pragma once

#include "archive/archive.h"
#include "lvm/model/vg.h"
#include "transfer/stream.h"

#define ARCHIVE_TEXT "vg-text"
#define ARCHIVE_LEFT "left"
#define ARCHIVE_POOLS "pools"
#define ARCHIVE_FILES "files"
#define ARCHIVE_PART (128u << 10) /* bytes of text in a description */

/* --- archive-source.c: what is sent --- */

typedef struct {
  char *name;    /* of the volume */
  char *read;    /* what is read for it: a snapshot of it, or itself */
  gboolean ours; /* that is a snapshot, made for this */
  char *pool;    /* NULL: a linear one */
  guint64 size, transaction_id;
  guint32 device;
  gint base;    /* which of those before it it is sent as a difference to; -1: none */
  guint64 data; /* so much is to be sent, about */
} ArchiveVolume;

typedef struct {
  VolumeGroup *group;
  char *snapshot;     /* what its snapshots are called: as is temporary (pool/temporary.h) */
  guint n_instants;   /* in so many thin pools it has taken some */
  LvmVg *vg;          /* its text at that instant, without the snapshots */
  gboolean files;     /* on files */
  GPtrArray *volumes; /* of ArchiveVolume, in the order in which they are sent */
  GVariant *pools;
} ArchiveSource;

ArchiveSource *archive_source_new(VolumeGroup *group, const ArchiveOptions *options,
                                  GError **error);
/* Removes its snapshots. */
void archive_source_free(ArchiveSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArchiveSource, archive_source_free)

/* --- archive-base.c --- */

/* Put the volumes into their order, and give each its base. */
gboolean archive_choose_bases(ArchiveSource *source, GError **error);

/* --- archive-target.c: where it goes --- */

/* The devices that a volume group is made on. */
typedef struct ArchivePlaces ArchivePlaces;
/* @needed: for what is in the volume group. EEXIST: something is on one of them, or there is such a
 * volume group. */
ArchivePlaces *archive_places_new(const UnarchiveOptions *options, guint64 needed, GError **error);
const char *const *archive_places_paths(ArchivePlaces *places);
gboolean archive_places_are_files(ArchivePlaces *places); /* all of them */
/* They are physical volumes now: into lvm2's list of devices, where it has one. */
void archive_places_tell_lvm2(ArchivePlaces *places);
/* Unless @keep, they become what they were. */
void archive_places_free(ArchivePlaces *places, gboolean keep);
/* Has a volume group that can be found here the UUID @uuid? Its name, the caller's. */
char *archive_find_uuid(const char *uuid);
