/* virt-thin - simulation: what the volumes may hold and which there may be, in plain memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The unit is the 512-byte sector. Each write has a number, which stands in each of its sectors
 * together with the sector's own. The model knows of each sector what it holds, and what it held
 * when last durable; and of each write since then which sectors it is of, and whether it is known
 * to have been done. So
 *
 *   while the machine runs   a sector holds what it holds, or what a later write of unknown outcome
 *                            made of it
 *   after a power cut        what was durable, or what any later write made of it
 *
 * A change of the volume group under way when somebody died has been done, or has not.
 */
#pragma once

#include "fiber.h"
#include "util/io.h"

#define MODEL_SECTOR 512u
#define MODEL_READ G_MAXUINT32 /* the stamp of a read */

typedef struct {
  guint32 begin, end; /* sectors */
  guint32 stamp;      /* 0: zeros */
  guint32 number;     /* of the write: later ones have larger ones */
  guint32 ended;      /* the last number given out when it returned */
  gboolean done;      /* it has ended, and well */
  gboolean open;      /* under way: nobody else may touch the range */
  gboolean unsure;    /* it failed, or its process died */
  gboolean tainted;   /* a flush that it was in has failed: no later one says that it is durable */
  gboolean resolved;  /* it was unsure, and what there was of it has been looked at */
} ModelWrite;

typedef struct {
  char *name;
  guint32 size; /* sectors */
  guint32 *now, *now_number, *durable, *durable_number;
  GArray *writes;    /* of ModelWrite, by number */
  char *snapshot_of; /* NULL: none */
  gboolean read_only;
  guint users;       /* who has it open */
  guint observers;   /* snapshots of it under way */
  guint32 instant;   /* snapshots with the same one were taken at once; 0: alone, or looked at */
  gboolean reserved; /* for a change, or for good */
} ModelVolume;

ModelVolume *model_volume_new(const char *name, guint32 size);
/* As it is now, and may be after a power cut. */
ModelVolume *model_volume_copy(const ModelVolume *v, const char *name, guint32 size);
void model_volume_free(ModelVolume *v);

/* @number must be larger than all before. FALSE: another write is under way there. */
gboolean model_write_begin(ModelVolume *v, guint32 begin, guint32 end, guint32 stamp,
                           guint32 number);
void model_write_end(ModelVolume *v, guint32 number, gboolean done, guint32 now);
/* It was none, but a read, for which others keep off. */
void model_write_cancel(ModelVolume *v, guint32 number);
/* Writes that had ended before @mark was given out are durable. */
void model_settle(ModelVolume *v, guint32 mark);
/* The writes of @origin that began since @copy was made of it may be in that. */
void model_add_window(ModelVolume *copy, const ModelVolume *origin);

/* What it holds now is durable, but for what no flush can make so any more. */
void model_all_durable(ModelVolume *v);

/* FAILED: an engine's pool failed, so what was not durable may be lost though nothing is off. */
typedef enum { MODEL_RUNNING, MODEL_KILLED, MODEL_FAILED, MODEL_CUT } ModelLoss;
/* Sector @first + i may be what @bytes hold there: -1, or the first that may not. */
gint64 model_check(const ModelVolume *v, const guint8 *bytes, guint32 first, guint32 n,
                   ModelLoss loss);
char *model_explain(const ModelVolume *v, const guint8 *bytes, guint32 sector);
/* It is what was found, of the whole volume. */
void model_adopt(ModelVolume *v, const guint8 *bytes, ModelLoss loss);

void model_fill(guint8 *bytes, guint32 first, guint32 n, guint32 stamp);

/* --- changes of the volume group --- */

typedef struct {
  char *what;
  GPtrArray *gone;    /* of ModelVolume, the model's */
  GPtrArray *made;    /* of ModelVolume, until it is done the change's */
  GPtrArray *renamed; /* of ModelVolume, the model's, ... */
  GPtrArray *names;   /* ... and their new names */
  GPtrArray *origins; /* of ModelVolume: beside @made, whose snapshots those are; NULL: none */
  gboolean keeps;     /* it makes nothing durable of what was written */
} ModelChange;

typedef struct {
  GPtrArray *volumes; /* of ModelVolume */
  GPtrArray *changes; /* of ModelChange: those of unknown outcome */
  guint32 number;     /* the last one given out */
  ModelLoss loss;     /* since it was last looked at */
} Model;

Model *model_new(void);
void model_free(Model *model);
ModelVolume *model_find(Model *model, const char *name);
ModelChange *model_change_new(Model *model, const char *what);
void model_change_make(ModelChange *change, ModelVolume *made, ModelVolume *origin);
void model_change_rename(ModelChange *change, ModelVolume *v, const char *name);
/* It is known now. The change is freed. */
void model_change_end(Model *model, ModelChange *change, gboolean done);
void model_settle_all(Model *model, guint32 mark);

/* What was found: its names, and how to read one. */
typedef struct {
  const char *name;
  guint32 size;
  guint8 *bytes;
} ModelFound;
/* Ends the program if that cannot be; else the model is that from now on. */
void model_verify(Model *model, GArray *found);
