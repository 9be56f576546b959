/* virt-thin - the pool as the service shows it: the bundled pool, with files and block nodes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A VolumeGroup around the one that does the work: adds where volumes are found, whether they are
 * shown, and activation. Volumes open straight on the inner one.
 */
#pragma once

#include "service/fuse/folder.h"
#include "service/nodes/nodes.h"

typedef struct ServicePool ServicePool;

/* Keeps none of its arguments alive; @inner is closed by its owner. pool_close() frees it. */
VolumeGroup *service_pool_new(const char *vg, VolumeGroup *inner, Folder *folder, Nodes *nodes);

/* The inner one's event and user functions; their user data is this one. Events are passed on to
 * @func. */
void service_pool_follow(VolumeGroup *group, PoolEventFunc func, gpointer user_data);

/* The PVs to open: those the holder was started with, those known from an earlier engine, and where
 * settings look. The caller's. */
GStrv service_pool_devices(const char *vg);
/* Remember the PVs that @inner has, for the next engine. */
void service_pool_remember_devices(const char *vg, VolumeGroup *inner);
