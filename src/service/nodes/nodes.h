/* virt-thin - the engine's side of block nodes: tells the nodes process what to show
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Nodes are made by a process of their own (node-process.c), because making one reads from the
 * FUSE folder: a thread of the engine that waits for the engine could not be killed, and a dead
 * engine not be replaced. With thousands of volumes nodes_sync() goes on in the background.
 *
 * Thread-safety: all functions from any thread that holds no lock which answering a FUSE request
 * needs. Errors: VT_ERROR.
 */
#pragma once

#include "service/fuse/folder.h"

typedef struct Nodes Nodes;

/* @fd: the engine's end of the pair (not taken over). */
Nodes *nodes_new(const char *vg, int fd);

/* Make nodes for the volumes of @folder that want one (folder_list_active()) and take all others
 * away; returns when done or after @wait_ms, the rest then follows. A later call makes an earlier
 * one end where it is. */
void nodes_sync(Nodes *nodes, Folder *folder, guint wait_ms);

gboolean nodes_show(Nodes *nodes, const char *name, const NodeShape *shape, GError **error);
gboolean nodes_hide(Nodes *nodes, const char *name, GError **error);
gboolean nodes_rename(Nodes *nodes, const char *name, const char *new_name, GError **error);
gboolean nodes_resized(Nodes *nodes, const char *name, GError **error);
gboolean nodes_flush(Nodes *nodes, const char *name,
                     GError **error); /* the content is another: forget what is cached */
/* Who has the node of one of @names open, or a loop device on its file: see block_scan_user(),
 * after one look at the machine for all of them. @used receives that name. The caller's; NULL:
 * nobody that can be found. */
char *nodes_user(Nodes *nodes, const char *const *names, const char **used);
/* Take the nodes of @names away if nobody has them open, which the kernel knows even of what
 * nodes_user() cannot find: NULL, and nobody can open them until nodes_show(). Else as
 * nodes_user(): that node stays as it is, those of the names before it are gone. */
char *nodes_claim(Nodes *nodes, const char *const *names, const char **used);
gboolean nodes_has(Nodes *nodes, const char *name);

/* --- the process --- */

/* Serve requests on SERVICE_FD_NODES until SIGTERM, then take all nodes away. Returns the exit
 * status. */
int node_process_main(const char *vg);
/* Take away what a dead nodes process of @vg left: devices over files of @folder, and links to
 * them. */
void node_process_clean(const char *vg, const char *folder);
/* Have the file systems that are mounted from nodes of @vg write what they hold back. Returns the
 * exit status. */
int node_sync_main(const char *vg);

/* --- between the two --- */

typedef enum {
  NODE_SYNC_BEGIN,
  NODE_SYNC_END,
  NODE_SHOW,
  NODE_HIDE,
  NODE_RENAME,
  NODE_RESIZED,
  NODE_FLUSH,
  NODE_LOOK, /* around the machine, for: */
  NODE_USER,
  NODE_CLAIM /* err: EBUSY, and its user; then the node is as before */
} NodeOp;
typedef struct {
  guint64 id;
  guint32 op, read_only;
  char name[128], new_name[128];
  guint64 sector_size; /* 0, and not there at all in what engines before this send: 512 */
} NodeRequest;
typedef struct {
  guint64 id;
  gint32 err; /* errno; EOPNOTSUPP: no nodes can be made here */
  char text[512];
} NodeReply;
