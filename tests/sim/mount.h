/* virt-thin - simulation: a mounted FUSE folder: the kernel's queue, memory that outlives engines
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <linux/fuse.h>

#include "fiber.h"
#include "model.h"
#include "service/fuse/fuse-view.h"

typedef struct Mount Mount;

/* One that asks. It outlives the engine, and who has asked. */
typedef struct {
  guint64 unique;
  GByteArray *request;
  GByteArray *reply; /* without its header */
  gint err;          /* of the reply, an errno */
  gboolean answered;
  gboolean orphan;     /* nobody waits for it any more */
  guint deaths;        /* of engines, since it was asked */
  ModelVolume *volume; /* that it writes to as a whole: write number @number; NULL: it does not */
  guint32 number;
} Asked;

Mount *mount_new(void);
Shared *mount_shared(Mount *mount);
/* By the engine that calls. NULL: it died meanwhile, or an error. */
FuseView *mount_serve(Mount *mount, Folder *folder, GError **error);
/* The engine, alive or dead, has no more of it. */
void mount_unserve(Mount *mount, FuseView *view);
void mount_free(Mount *mount);

/* What is left of it when its engine has been killed, which goes on in the old one. */
Mount *mount_survive(Mount *mount);
/* After a power cut: who waits waits no longer. */
void mount_vanish(Mount *mount);
/* Wait for what dead engines have left unanswered. FALSE: this one has died, too. Those who wrote
 * are told to @func. */
gboolean mount_finish(Mount *mount, void (*func)(const Asked *asked, gpointer data), gpointer data);

/* Ask, and wait. NULL: the engine has died. Freed by mount_forget(). */
Asked *mount_ask(Mount *mount, guint32 opcode, guint64 ino, gconstpointer in, gsize in_size,
                 gconstpointer data, gsize size, ModelVolume *volume, guint32 number);
void mount_forget(Asked *asked);
/* An open file: whoever has it may die, and the kernel closes it then. */
void mount_keep_open(Mount *mount, guint64 ino, guint64 fh, gboolean open);
