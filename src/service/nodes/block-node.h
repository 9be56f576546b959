/* virt-thin - block nodes: kernel block devices over volumes' files, linked as <dev-dir>/<vg>/<lv>
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Used by the nodes process (node-process.c) alone. Of its kinds the first that works here is
 * taken, unless virt-thin.conf says otherwise. Thread-safety: none. Errors: VT_ERROR.
 */
#pragma once

#include "service/fuse/folder.h"
#include "util/error.h"

typedef struct {
  const char *name; /* as in virt-thin.conf, [service] block-nodes= */
  /* Can this process make such nodes on this machine? */
  gboolean (*usable)(GError **error);
  /* Make a device over volume @volume of @vg, which is also file @file: its path, the caller's. */
  char *(*attach)(const char *vg, const char *volume, const char *file, const NodeShape *shape,
                  GError **error);
  /* Take the device away; in use, it goes with its last user. */
  gboolean (*detach)(const char *device, GError **error);
  /* After a detach() of @device that is still there: it is to stay when its last user goes. TRUE
   * also when that has happened already. */
  gboolean (*keep)(const char *device, const char *folder, GError **error);
  /* Likewise, and nobody will serve it any more: requests that wait for that fail. NULL: detach()
   * does it. */
  gboolean (*abandon)(const char *device, GError **error);
  /* The volume's size has changed. */
  gboolean (*resize)(const char *device, const char *vg, const char *volume, const char *file,
                     GError **error);
  /* Is @device still what attach() made over a file of @folder? Enters the FUSE folder nowhere. */
  gboolean (*is_ours)(const char *device, const char *folder);
  /* Is there anything on @device, anybody's? */
  gboolean (*in_use)(const char *device);
  /* Is it over a file @volume of a folder that is mounted nowhere any more? NULL: that cannot
   * be. */
  gboolean (*is_left_over)(const char *device, const char *volume);
  /* All devices that are over files of @folder: GPtrArray of char *, the caller's. */
  GPtrArray *(*list)(const char *folder);
  /* These three are NULL where a device needs no connection to the engine. */
  gboolean (*reconnect)(const char *device, const char *vg, const char *volume,
                        GError **error); /* TRUE also when there was no need */
  int (*watch)(GError **error);          /* a descriptor, readable when a device may have lost its
                                            connection; -1: error */
  char *(*watched)(int watch_fd);        /* which, the caller's; NULL: none (now) */
} BlockNodeKind;

extern const BlockNodeKind block_node_nbd, block_node_loop;
