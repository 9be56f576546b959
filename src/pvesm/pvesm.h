/* virt-thin - what the commands of `virt-thin storage` share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Two kinds: virt-thin's own (check, apply), whose options are GOption's, and pvesm's, which are
 * given and answer as Proxmox VE's pvesm does: --option and -option, `400 Parameter verification
 * failed.`, exit status 255 for wrong usage.
 *
 * Thread-safety: main thread only. Errors: VT_ERROR, or CLI_USAGE (which of pvesm's commands is the
 * line behind "400").
 */
#pragma once

#include "cli/cli.h"
#include "pool/guest.h"
#include "storagecfg/storagecfg.h"

#define PVESM_WRONG_USAGE 255

/* The file: @given, else /etc/virt-thin/storage.cfg (sysconfdir) when it is there, else
 * /etc/pve/storage.cfg. Free with g_free(). */
char *pvesm_config_path(const char *given);
/* Parse it. What is wrong in it is told on standard error in Proxmox's words, unless @quietly. */
StorageCfg *pvesm_config_load(const char *given, gboolean quietly, GError **error);
/* This node's name, as Proxmox takes it: the host's name up to the first dot. Free with
 * g_free(). */
char *pvesm_node_name(void);

/* --- words of pvesm's commands --- */

typedef enum { PVESM_TEXT, PVESM_FLAG, PVESM_LIST } PvesmOptionKind;
typedef struct {
  const char *name;
  PvesmOptionKind kind;
  const char *help; /* "ID  Only this storage" */
} PvesmOption;

typedef struct {
  const char *name;             /* "scan lvm": behind `virt-thin storage` */
  const char *const *arguments; /* names, NULL-terminated */
  const PvesmOption *options;   /* the last has no name; NULL: none */
  gboolean properties;          /* those of storage.cfg are options, too */
  const char *summary, *description;
} PvesmUsage;

typedef struct {
  const PvesmUsage *usage;
  GPtrArray *arguments; /* as many as usage has */
  GHashTable *options;  /* name -> text; of a flag "1" or "0" */
} PvesmWords;

/* Parse @words, run @command, tell how it ended; the exit status. */
int pvesm_run(const PvesmUsage *usage, gboolean (*command)(const PvesmWords *, GError **),
              char **words);
const char *pvesm_word(const PvesmWords *words, guint i);
const char *pvesm_option(const PvesmWords *words, const char *name); /* NULL: not given */
gboolean pvesm_flag(const PvesmWords *words, const char *name);
/* Set a usage error about parameter @name. Always FALSE. */
gboolean pvesm_bad_parameter(GError **error, const char *name, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* --- storages --- */

/* The storage @id of the file. ENOENT: none of that name. EINVAL: it is broken. */
const StorageCfgStorage *pvesm_find(const StorageCfg *cfg, const char *id, GError **error);
/* That, and enabled, and meant for this node (EPERM). */
const StorageCfgStorage *pvesm_find_enabled(const StorageCfg *cfg, const char *id, GError **error);
/* A guest's number, as parameter "vmid". */
gboolean pvesm_check_vmid(const char *vmid, GError **error);
/* What pvesm's commands do with volumes they do on storages of types lvmthin and lvm, besides those
 * that are folders (EOPNOTSUPP). *kind: which. */
gboolean pvesm_require_lvm(const StorageCfgStorage *storage, const char *what,
                           PoolGuestStorage *kind, GError **error);
/* "<storage>:<volume>" of @text, or @text a volume's name and @storage given. */
gboolean pvesm_split_volume(const char *text, const char *storage, char **id, char **volume,
                            GError **error);
