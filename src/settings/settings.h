/* virt-thin - where things are: virt-thin.conf, the environment, the folders
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Root: /etc/virt-thin/virt-thin.conf (sysconfdir), state /var/lib/virt-thin, runtime
 * /run/virt-thin. Else: XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_RUNTIME_DIR, each + /virt-thin.
 * $VIRT_THIN_CONFIG (a file), $VIRT_THIN_STATE_DIR and $VIRT_THIN_RUNTIME_DIR override; instances
 * with different runtime folders do not see each other (but the PVs' locks do).
 *
 * Runtime folder of a served VG, <runtime>/<vg>/:
 *   control    D-Bus socket
 *   nbd        NBD socket, one export per LV
 *   volumes/   FUSE folder
 *   devices    where its PVs are, a path a line
 *   pid        "<holder pid>\n"
 *   lock       held (flock) by the holder while the VG is served
 *
 * Thread-safety: read once, constant afterwards. Strings returned belong to the settings unless
 * said otherwise.
 */
#pragma once

#include "util/error.h"

/* Variables above that hold a relative path: make it absolute, for processes that begin in another
 * folder. */
void settings_make_environment_absolute(void);

/* Sparse PV files <state>/<vg>.img, archives under <state>/archive. */
const char *settings_state_dir(void);
const char *settings_runtime_dir(void);
/* Make @path and what is missing above it: for all to enter, whatever the umask is. */
gboolean settings_make_folder(const char *path, GError **error);
char *settings_vg_dir(const char *vg);                    /* <runtime>/<vg>; the caller's */
char *settings_vg_file(const char *vg, const char *name); /* <runtime>/<vg>/<name>; the caller's */
char *settings_archive_dir(void);                         /* the caller's */

/* The file itself: for who changes it. The caller's. */
char *settings_config_file(void);
/* Where units of systemd's are written that this user's schedules need: $VIRT_THIN_UNIT_DIR (of
 * which no systemd is told), else /etc/systemd/system, of others than root
 * XDG_CONFIG_HOME/systemd/user. The caller's. */
char *settings_unit_dir(void);

/* PVs to look at, where none are given: [devices] paths= of the file (globs allowed), else
 * <state>/ *.img. The caller's GStrv. */
GStrv settings_devices(void);

/* Of thin pool @vg/@pool, each what [pool VG/POOL] says, else [limits]. */
typedef struct {
  double overcommit;     /* overcommit=0: its volumes may add up to that many times its size */
  double largest_volume; /* largest-volume=250: and one be that many times as large; 0: no limit */
  guint64 usual_volume;  /* bytes, always allowed: 10 TiB unless largest-volume= is given, else 0 */
  gboolean promises;     /* available=space|promises: what libvirt is told */
} PoolLimits;
PoolLimits settings_limits(const char *vg, const char *pool);
/* [autoextend] threshold=80: how full, in percent, a thin pool's data or metadata may become before
 * it grows (100: never), and percent=20: by how much of its size. lvm.conf's
 * thin_pool_autoextend_threshold and _percent, but for pools that virt-thin serves. */
guint settings_autoextend_threshold(void);
guint settings_autoextend_percent(void);
/* Who serves a VG: $VIRT_THIN_ENGINE, else @told (what a pool's own document says; AUTO: nothing),
 * else [vg NAME] engine=auto|kernel|bundled, else [vg] engine=, else auto (pool/open.h decides). */
typedef enum { POOL_ENGINE_AUTO, POOL_ENGINE_KERNEL, POOL_ENGINE_BUNDLED } PoolEngine;
PoolEngine settings_engine(const char *vg, PoolEngine told);
/* "auto", "kernel" or "bundled"; else FALSE. */
gboolean settings_parse_engine(const char *word, PoolEngine *engine);
const char *settings_engine_name(PoolEngine engine);
/* [service] block-nodes=auto|nbd|loop|none, socket-mode=, socket-group=, threads=32. */
const char *settings_block_nodes(void);
guint settings_socket_mode(void);
const char *settings_socket_group(void); /* NULL: unchanged; root's default is libvirt */
guint settings_threads(void);
/* [service] watchdog=30: seconds after which a silent engine is replaced; 0: never. */
guint settings_watchdog(void);
/* $VIRT_THIN_DEV_DIR, [service] dev-dir=, else "/dev": where <vg>/<lv> links are made. */
const char *settings_dev_dir(void);
/* May <dev>/@vg be the folder of those links? EEXIST: it is there and is another's, as /dev/disk,
 * /dev/mapper and /dev/shm are. lvm2 makes no volume group of a name that is in /dev. */
gboolean settings_check_links(const char *vg, GError **error);
/* The program to start a service with: $VIRT_THIN_PROGRAM, else bindir/virt-thin. */
const char *settings_program(void);
