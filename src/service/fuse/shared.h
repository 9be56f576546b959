/* virt-thin - the memory that outlives the engine: requests in flight, open files, file modes, the
 * journals SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The holder makes it (a memfd), every engine maps it. It is written by one engine at a time, and
 * nothing in it is a pointer.
 *
 * A slot holds one FUSE request from the moment the kernel hands it over until it is answered. The
 * kernel forgets what it has handed over: a request read by an engine that then died would wait for
 * ever. The slot's life: length 0 (free; a worker waits in read()) -> the kernel writes the
 * request, whose first word is its length -> the engine carries it out and notes the outcome
 * ("executed") -> answers -> length 0. The next engine carries out what was not, answers again what
 * was (the kernel ignores a second answer), and never repeats an executed write, for newer data may
 * lie there by then.
 *
 * Thread-safety: a slot belongs to its worker; SharedOpen and SharedMode are under locks of the
 * engine (service/fuse/folder.c).
 */
#pragma once

#include <sys/types.h>
#include <linux/fuse.h>

#include "util/error.h"

#define SHARED_MAX_WRITE (1u << 20)
/* The data of a WRITE request begins on a page: the kernel reads into the buffer from here on. */
#define SHARED_SLOT_OFFSET (4096 - sizeof(struct fuse_in_header) - sizeof(struct fuse_write_in))
#define SHARED_REQUEST_MAX (SHARED_MAX_WRITE + 4096)

#define SHARED_VERSION 2u /* of the layout below */
#define SHARED_MAX_SLOTS 256
#define SHARED_MAX_OPENS 65536
#define SHARED_MAX_MODES 65536
#define SHARED_JOURNAL (64u << 20)

/* What the holder's children find open. */
enum {
  SERVICE_FD_FUSE = 3,
  SERVICE_FD_SHARED,
  SERVICE_FD_NBD,     /* listening */
  SERVICE_FD_CONTROL, /* listening */
  SERVICE_FD_NODES,   /* one end of a pair: engine and nodes process */
  SERVICE_FD_STATUS,  /* engine to holder, a line each: "lock", with the descriptor of a PV that it
                         has locked; "ready"; "writing" (the last commit); else the reason why it
                         is not ready */
  SERVICE_FD_LOCKS,   /* from here on: SharedHeader.n_locks PVs, locked by an earlier engine */
};

typedef struct {
  guint32 executed; /* outcome and value are the answer */
  gint32 outcome;   /* errno */
  guint64 value;    /* bytes written; or the handle of an OPEN */
  guint32 attempts; /* engines that have found it unfinished */
  guint32 padding;
} SharedSlot;

typedef struct {
  SharedSlot slot;
  char space[SHARED_SLOT_OFFSET - sizeof(SharedSlot)];
  union { /* the request */
    struct fuse_in_header header;
    char bytes[SHARED_REQUEST_MAX];
  };
  char tail[4096 - SHARED_SLOT_OFFSET];
} SharedRequest;

/* An open file of the FUSE folder. Its handle is generation << 32 | index. */
typedef struct {
  guint64 ino;    /* 0: free */
  guint64 unique; /* of the OPEN request: to find it again when that is replayed */
  guint32 generation;
  guint32 flags; /* SHARED_OPEN_… */
  gint32 pid;
  char comm[20];
} SharedOpen;
enum { SHARED_OPEN_WRITE = 1, SHARED_OPEN_NODE = 2 /* by the nodes process: nobody's use */ };

/* Owner and mode given to a file by chown and chmod. */
typedef struct {
  guint64 ino; /* 0: free */
  guint32 uid, gid, mode, padding;
} SharedMode;

typedef struct {
  guint32 version; /* SHARED_VERSION */
  guint32 n_slots;
  guint32 init_length; /* the INIT request, as the first engine got it; 0: not yet */
  char init[1020];
  guint32 beats; /* of the engine's main loop, one a second, counted; 0: it has none */
  gint32 nodes_pid;
  guint32 engine_generation; /* counts engines */
  guint32 n_locks;           /* at SERVICE_FD_LOCKS */
  SharedOpen opens[SHARED_MAX_OPENS];
  SharedMode modes[SHARED_MAX_MODES];
} SharedHeader;

typedef struct {
  SharedHeader *header;
  SharedRequest *slots; /* header->n_slots */
  void *journal;        /* SHARED_JOURNAL bytes */
} Shared;

/* A new memory with @n_slots slots: its descriptor (close-on-exec), -1 on error. Pages cost nothing
 * until used. */
int shared_create(guint n_slots, GError **error);
Shared *shared_map(int fd, GError **error);
/* Have every page of the slots at hand, so that the kernel's copy of a request cannot fail in the
 * middle when this process is being killed. */
void shared_populate(Shared *shared);
void shared_unmap(Shared *shared);
