/* virt-thin - volumes from a stream into a thin pool: what its parts share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "cli/progress.h"
#include "transfer/identity.h"
#include "transfer/resume.h"
#include "transfer/receive.h"

typedef struct {
  const StreamVolume *volume; /* the reader's */
  char *temporary;            /* its name until all is there */
  char *there;                /* the volume that the receiver had, from which all began; NULL */
  char *into;                 /* a volume whose content becomes this one's; NULL */
  gboolean named;             /* it gets a name */
  gboolean changed;           /* it is not as its base */
  char *kept, *kept_name;     /* a snapshot of it that tells whether it is written to; NULL */
  char *source_tag;           /* NULL: none */
  GPtrArray *tags;            /* of const char *, NULL-terminated */
} ReceiveItem;

typedef struct {
  const ReceiveWhere *where;
  VolumeGroup *group;
  char *vg, *vg_uuid;
  guint64 extent_size, chunk_size;
  gboolean zeroes; /* new chunks read zero */
  char *id;        /* of the stream */
  TransferLock *lock;
  GPtrArray *infos; /* of PoolVolumeInfo: of the VG, before */
  GPtrArray *items; /* of ReceiveItem */
  StreamReader *reader;
  VtIo *target;           /* of the last item, while it is read; NULL */
  guint64 target_to;      /* what was written of it, */
  guint64 target_kept_to; /* and is known to be durable */
  GChecksum *described;   /* what the stream said of its volumes so far */
  gboolean resumable;
  gboolean passing;     /* a volume was begun that can be written to: another the next time */
  TransferToken *there; /* what is there from an earlier stream of this id; NULL */
  gboolean there_told;  /* and the stream has said so */
  TransferToken *kept;  /* what is durable now, if there is anything; NULL */
  guint64 data;
  CliProgress *progress;
} Receive;

/* The names that all get; and what goes with those that had others before. */
gboolean receive_publish(Receive *r, GError **error);
/* Those that have no other name. */
void receive_remove_temporary(Receive *r);

/* --- going on with it later (receive-resume.c) --- */

/* What a stream that goes on (STREAM_RESUMED) says first. ENOENT, ESTALE: it does not fit. */
gboolean receive_check_resumption(Receive *r, GVariant *dict, GError **error);
/* Is volume @index there already, whole (or in part: up to *@from)? */
gboolean receive_is_there(const Receive *r, guint index, guint64 *from);
/* Make durable what was written, and keep how far that is; if there is enough of it since, or
 * @now. */
gboolean receive_checkpoint(Receive *r, gboolean now, GError **error);

/* What the next volume of the stream becomes here: checked, not made. */
ReceiveItem *receive_prepare(Receive *r, const StreamVolume *volume, guint index, GError **error);
void receive_item_free(ReceiveItem *item);
