/* virt-thin - which snapshot is which, on two hosts; and what is under way
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The identity of a snapshot or template is a digest of what it is (docs/stream.md), and where it
 * was received, the tag that tells it. Volumes that are being received have names that say so, with
 * a number of 32 hexadecimal digits; whoever works on them holds a lock of that name, so that what
 * an interrupted one has left is known by the lock that nobody holds. Locks are of this host (in
 * the runtime folder).
 *
 * Strings returned are the caller's. Errors: VT_ERROR. Thread-safety: any thread.
 */
#pragma once

#include "pool/pool.h"

#define TRANSFER_ID_LENGTH 32

/* NULL: it is not read-only, and so has none. */
char *transfer_identity(const char *vg_uuid, const PoolVolumeInfo *info);

/* A random number of TRANSFER_ID_LENGTH digits; that of @bytes. */
char *transfer_new_id(void);
char *transfer_format_id(const guint8 *bytes);
gboolean transfer_parse_id(const char *text, guint8 *bytes);

/* "vt-receive-<id>-<index>" */
char *transfer_receive_name(const char *id, guint index);
/* The id; NULL: it is no such name. */
char *transfer_receive_id(const char *name);
/* "vt-received-<8 digits of the id>": the snapshot that keeps how a volume was received, so that a
 * write to it shows. */
char *transfer_received_name(const char *id);
gboolean transfer_is_received_name(const char *snapshot_name);

/* EBUSY: it is held. */
typedef struct TransferLock TransferLock;
TransferLock *transfer_lock(const char *vg, const char *id, GError **error);
void transfer_unlock(TransferLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TransferLock, transfer_unlock)

/* Remove what interrupted ones have left in @group, and temporary volumes that are over
 * (pool/temporary.h); failures are warnings. */
void transfer_clean_up(VolumeGroup *group);
