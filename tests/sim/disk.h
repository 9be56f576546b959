/* virt-thin - simulation: disks in memory, the file system beneath them, and what befalls them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A disk is a sparse file behind the product's one I/O interface (util/io.h), under a path of its
 * own. What is written is seen at once and is durable once a flush that was asked for later has
 * returned. A power cut leaves of each write that was not: nothing, all, or some of its 512-byte
 * sectors, in any order; the death of one process leaves all that had returned, and of what was
 * under way the first pages, or none. After a flush that failed, what it was for may never become
 * durable, whatever later ones say, as Linux has it.
 */
#pragma once

#include "fiber.h"
#include "util/io.h"

#define SIM_SECTOR 512u
#define SIM_BLOCK 4096u /* of the file system */

typedef struct SimDisk SimDisk;

SimDisk *sim_disk_new(const char *path, guint64 size);
SimDisk *sim_disk_find(const char *path);
void sim_disks_clear(void);
/* As it is, unflushed or not: for laws that look from outside. */
const guint8 *sim_disk_bytes(SimDisk *disk);
guint64 sim_disk_size(SimDisk *disk);
guint8 *sim_disk_fill(SimDisk *disk); /* the same, to be filled: durable */

/* --- faults: each happens where the countdown says, in I/Os of @kinds by living processes --- */

typedef enum { SIM_NOTHING, SIM_EIO, SIM_SLOW, SIM_CALL } SimFaultKind;
typedef struct {
  SimFaultKind kind;
  VtIoKinds kinds;
  guint countdown; /* 0: it is due */
  guint times;     /* how many I/Os it strikes, G_MAXUINT: all from then on */
  SimFunc call;    /* of SIM_CALL: in the midst of it */
} SimFault;
#define SIM_FAULTS 4
extern SimFault sim_faults[SIM_FAULTS];
extern guint sim_n_eio; /* that were delivered */

/* The file system: blocks that it still has; G_MAXUINT64: any number. */
void sim_set_room(guint64 blocks);
gboolean sim_is_full(void);
extern guint sim_n_full; /* refusals for want of room */

/* It takes no notice of others' locks, as lvm2 does of ours, and meets no faults. NULL: nobody. */
extern SimProcess *sim_lawless;
/* Whose the locks are, dead or alive: the holder keeps them for it. NULL: whoever takes them. */
extern SimProcess *sim_lock_owner;

/* The power fails now: every disk becomes what it may be after it. Kill the processes besides. */
void sim_disks_cut(SimRandom *random);
/* The same for what @process has under way. */
void sim_disks_die(SimProcess *process, SimRandom *random);

/* --- known mistakes, to see that they are found: made here, not in the product --- */

typedef enum {
  SIM_BREAK_NONE,
  SIM_BREAK_FLUSH,      /* now and then a flush makes nothing durable */
  SIM_BREAK_DATA,       /* a flush makes no guest's data durable */
  SIM_BREAK_SUPERBLOCK, /* a superblock may reach the disk before what was flushed just before it */
  SIM_BREAK_WRITE,      /* now and then a write goes nowhere */
  SIM_BREAK_TEXT,       /* the header of a volume group's text may be older than a flush */
  SIM_BREAK_JOURNAL,    /* an engine finds its journal empty */
  SIM_N_BREAKS
} SimBreak;
extern SimBreak sim_break;
extern const char *const sim_break_names[SIM_N_BREAKS];

/* Every sector that a guest writes begins with it, in the first word's upper half. */
#define SIM_GUEST_MAGIC 0x51adb0deu
