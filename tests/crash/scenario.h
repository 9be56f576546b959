/* virt-thin - seeded random work on a thin pool, and the plain model in memory that says what must
 * be there SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The unit is the 512-byte sector: each that is written holds the number of the write and its own
 * number, many times over, so that whatever turns up in its place is recognised; some writes are
 * of zeros, which map nothing. The model knows of
 * every device what it holds now, what it held when last made durable, and what was written since:
 * after a power cut each sector must be one of these.
 */
#pragma once

#include "../unit/thin-harness.h"

#define SECTOR 512u
#define SCENARIO_SECTORS (40u * 128u) /* of the largest volume: 40 chunks */
#define SCENARIO_DEVICES 12u          /* at most, at a time */

typedef enum {
  OP_CREATE,
  OP_SNAPSHOT,
  OP_DELETE,
  OP_EXCHANGE,
  OP_WRITE,
  OP_ZERO,
  OP_DISCARD,
  OP_RESIZE,
  OP_READ,
  OP_FLUSH,
  OP_COMMIT,
  OP_REOPEN
} OpKind;

typedef struct {
  OpKind kind;
  guint32 device, other;
  guint64 begin, n; /* sectors; OP_RESIZE: begin is the new size */
  guint32 stamp;    /* 0: zeros are written */
  gboolean gaps;    /* ... to every other chunk, whatever the stamp is */
  gboolean unmap;
  gboolean no_space; /* it failed with ENOSPC */
} Op;

typedef struct {
  guint32 id;
  guint64 size;           /* sectors */
  guint32 *now, *durable; /* of SCENARIO_SECTORS stamps */
  GArray *since;          /* of Op: what changed sectors since it was durable */
} ModelDevice;

typedef struct {
  GHashTable *devices; /* id -> ModelDevice */
  guint32 next_id, next_stamp;
} Model;

Model *model_new(void);
void model_free(Model *model);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Model, model_free)

/* The next thing to do, one that is possible. @weights: of each OpKind. */
Op scenario_next(Model *model, GRand *rand, const guint weights[OP_REOPEN + 1]);
extern const guint scenario_weights[OP_REOPEN + 1];

/* Do it to the pool. ENOSPC is noted in @op, any other error is returned. Reads are compared with
 * the model (as it is before the operation) and end the program when they differ. */
typedef struct {
  Harness *harness;
  GHashTable *volumes; /* id -> ThinVolume, open */
} Scenario;
void scenario_init(Scenario *scenario, Harness *harness);
void scenario_close_volumes(Scenario *scenario);
void scenario_clear(Scenario *scenario); /* closes the volumes */
gboolean scenario_do(Scenario *scenario, Model *model, Op *op, GError **error);

/* Do it to the model. After ENOSPC, the pool is asked how far it came (@scenario may be NULL: it
 * may be either). */
void model_do(Model *model, Scenario *scenario, const Op *op);
/* It was begun, and may have been done or not. Messages are not for this: the transaction id
 * tells. */
void model_begin(Model *model, const Op *op);

/* Does @pool hold what the model says: exactly, or (after a cut) one of what may be there? Returns
 * the number of sectors looked at; ends the program. */
guint64 model_verify(Model *model, ThinPool *pool, gboolean after_cut, const char *where);
