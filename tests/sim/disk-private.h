/* virt-thin - simulation: what the files of the disks share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "disk.h"

/* A write that is seen and not durable, or (stuck) may never be. */
typedef struct {
  guint64 offset, length;
  guint8 *before, *after;
  gboolean stuck;
} SimWrite;

/* One whose function has not returned, nor is it seen. */
typedef struct {
  SimDisk *disk;
  SimProcess *process;
  guint64 offset, length;
  const guint8 *bytes;
} SimUnderway;

struct SimDisk {
  char *path;
  guint8 *bytes; /* of @mapped */
  guint64 size, mapped;
  guint8 *backed;     /* a byte for each block: the file system gave room */
  GPtrArray *pending; /* of SimWrite, in order */
  GPtrArray *flushed; /* of SimWrite, by the last flush: for SIM_BREAK_SUPERBLOCK */
  SimProcess *owner;  /* of the exclusive lock; NULL: nobody */
  gpointer lock;      /* the handle that has it */
};

extern GPtrArray *sim_disks;    /* of SimDisk */
extern GPtrArray *sim_underway; /* of SimUnderway, their callers' */

/* It is seen from now on. */
void sim_disk_apply(SimDisk *disk, guint64 offset, guint64 length, const guint8 *bytes);
/* A flush that was asked for when there were @mark pending ones has succeeded. */
void sim_disk_settle(SimDisk *disk, guint mark);
void sim_write_free(gpointer write);
