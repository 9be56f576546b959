/* virt-thin - volumes from a stream into a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * They are made under temporary names (transfer/identity.h), and get their own in one step when the
 * whole stream was read and is in order (pool_publish()). Whatever goes wrong before, the temporary
 * ones are removed, or by the next that receives; what had a name before is as it was.
 *
 * Errors: VT_ERROR; EBADMSG: of the stream; EEXIST, ENOENT, ESTALE: it does not fit what is there;
 * ECANCELED after a signal. Thread-safety: main thread only.
 */
#pragma once

#include "pool/pool.h"
#include "transfer/stream.h"

typedef struct {
  VolumeGroup *group;
  const char *pool;   /* thin pool */
  int fd;             /* the stream; stays the caller's */
  const char *name;   /* of it, for messages */
  gboolean resumable; /* what was received when it fails is kept, to go on with it */
  gboolean force;     /* what was written to a volume here, since it was received, may be lost */
} ReceiveWhere;

typedef struct {
  guint volumes;
  guint64 data; /* bytes */
  char *token;  /* how to go on with what is kept (transfer/resume.h), the caller's; NULL: nothing
                   is */
} ReceiveResult;

gboolean transfer_receive(const ReceiveWhere *where, ReceiveResult *result, GError **error);
