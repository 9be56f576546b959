/* virt-thin - the service of a volume group: the processes behind `virt-thin serve VG`
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Three processes of one program, so that what the kernel holds on to outlives what may crash:
 *   holder   takes <runtime>/<vg>/lock, mounts <runtime>/<vg>/volumes, listens on the sockets, owns
 *            the shared memory (service/fuse/shared.h); starts the other two and restarts them. No
 *            engine code runs in it.
 *   engine   the pool, FUSE workers, NBD and D-Bus servers. It never enters its own mount: a thread
 *            waiting for itself could not be killed.
 *   nodes    makes and removes the block nodes (loop or NBD devices) for the engine, and may
 *            therefore wait for it.
 *
 * Signals to the holder: SIGTERM, SIGINT: commit, take mount, nodes and runtime files away, exit
 * within 5 s whoever is connected. SIGHUP: a planned restart of engine and nodes from the program
 * file (perhaps a new one); requests wait meanwhile, NBD clients reconnect.
 *
 * Volumes show up as files <runtime>/<vg>/volumes/<lv> (snapshots, too) and, those not skipped at
 * activation, as block nodes <dev-dir>/<vg>/<lv>. `serve` begins with every thin pool active (one
 * started by pool_service_start() for a pool, with that alone); pool_deactivate() over D-Bus takes
 * a pool's files and nodes away, pool_activate() brings them back. PoolVolumeInfo.path is the node
 * where there is one, else the file. A file's size is its volume's: shrinking it by truncate() is
 * refused (EPERM), O_TRUNC ignored. Under a second name, <lv>@upload, shrinking is ignored instead:
 * for libvirt's sparse upload, which cuts a regular file at each hole.
 *
 * Thread-safety: all for main(). Errors: VT_ERROR.
 */
#pragma once

#include "util/error.h"

/* --- for the program --- */

/* The first thing in main(): when this process was started by a holder as its engine or nodes
 * process, run that and return TRUE with the exit status. */
gboolean service_child_main(int argc, char **argv, int *status);

/* `virt-thin serve VG`: returns the exit status. Without @foreground the service goes on in a
 * session of its own and this returns once it is ready (or has failed, with the reason on standard
 * error), what it has to say later going to <runtime>/<vg>/log. With it, this process is the
 * holder, and tells systemd (sd_notify) when it is ready. @devices: where its PVs are, NULL: they
 * are looked for (pool/open.h). */
int service_main(const char *vg, const char *const *devices, gboolean foreground);

/* Take away what a killed holder left in the runtime folder: mount, links, loop devices, files.
 * EBUSY names a holder that lives. Serving does the same first. (The PVs' side of `virt-thin
 * release` is the pool's.) */
gboolean service_release(const char *vg, GError **error);
