/* virt-thin - storage.cfg: Proxmox VE's list of storages, read as Proxmox reads it and written back
 * as it was SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The grammar is that of pve-storage 9.1.7 and pve-common 9.2.1 (PVE::SectionConfig,
 * PVE::JSONSchema, PVE::Storage::Plugin and the plugins' option tables), observed by running them.
 * Nothing in a file is an error to the parser: what is wrong is a warning with a verdict, and
 * concerns its own section alone. Where Proxmox loses text when it writes the file - comments,
 * sections of types it does not know, sections that are broken - this keeps every byte: a
 * StorageCfg never changes; an edit makes a new one from the text of the old.
 *
 * One deviation: a NUL byte in a value that is no list drops the property; Proxmox takes it into
 * free text.
 *
 * Ownership: what hangs on a StorageCfg belongs to it. Errors: VT_ERROR. Thread-safety: a
 * StorageCfg is constant.
 */
#pragma once

#include "util/error.h"

typedef struct StorageCfg StorageCfg;

/* --- what Proxmox knows --- */

typedef enum {
  STORAGECFG_STRING,
  STORAGECFG_BOOLEAN, /* "0", "1" */
  STORAGECFG_INTEGER,
  STORAGECFG_LIST, /* separated by , ; or blanks */
} StorageCfgKind;

typedef struct StorageCfgProperty StorageCfgProperty;
const StorageCfgProperty *storagecfg_property_find(const char *name); /* NULL: no type has it */
const char *storagecfg_property_name(const StorageCfgProperty *property);
StorageCfgKind storagecfg_property_kind(const StorageCfgProperty *property);

typedef enum {
  STORAGECFG_REQUIRED = 1 << 0,
  STORAGECFG_FIXED = 1 << 1, /* cannot change once the storage is there */
} StorageCfgOptionFlags;
typedef struct {
  const char *name;
  StorageCfgOptionFlags flags;
} StorageCfgOption;

typedef struct {
  const char *name;
  const StorageCfgOption *options;       /* by name; the last has no name */
  const char *content, *default_content; /* words, separated by blanks */
  const char *formats;                   /* NULL: the property format means nothing here */
  gboolean shared;                       /* always on all nodes */
  gboolean has_default_path;             /* without path it is at /mnt/pve/<id> */
  gboolean retired;                      /* Proxmox VE 9 skips it as a type it does not know */
} StorageCfgType;
const StorageCfgType *storagecfg_type_find(const char *name); /* NULL: none */
const StorageCfgType *const *storagecfg_types(void);          /* NULL-terminated */
const StorageCfgOption *storagecfg_type_option(const StorageCfgType *type,
                                               const char *property); /* NULL: not its */

/* --- what is in a file --- */

typedef struct {
  const StorageCfgProperty *property;
  char *text; /* as it stands in the file; numbers without sign and leading zeros, a bare boolean
                 "1" */
  GStrv list; /* of a list, sorted, without doubles (monhost: as it stands); else NULL */
  guint line; /* 0: it is not in the file */
} StorageCfgValue;

typedef struct {
  char *id;
  const StorageCfgType *type;
  guint order;       /* 1 for the first */
  guint line;        /* of the header */
  gboolean broken;   /* it is there, and Proxmox can use it for nothing */
  gboolean replaced; /* "local", which is always the folder /var/lib/vz: what the file says is not
                        used */
  GPtrArray *values; /* of StorageCfgValue, by name: the valid properties, and defaults */
} StorageCfgStorage;

typedef enum {
  STORAGECFG_FATAL,   /* the storage is broken */
  STORAGECFG_SKIPPED, /* the section is no storage: its type or its id is not known */
  STORAGECFG_DROPPED, /* the property, or a word of it, has no effect */
  STORAGECFG_IGNORED, /* the line has no effect */
} StorageCfgVerdict;
const char *storagecfg_verdict_name(StorageCfgVerdict verdict);

typedef struct {
  guint line;
  char *section; /* NULL: outside */
  StorageCfgVerdict verdict;
  char *message; /* UTF-8, one line */
} StorageCfgWarning;

/* @name: for messages. @text need not be UTF-8, nor end in 0 or a newline. */
StorageCfg *storagecfg_parse(const char *name, const char *text, gsize length);
/* The file @path. A missing file is ENOENT. */
StorageCfg *storagecfg_load(const char *path, GError **error);
void storagecfg_free(StorageCfg *cfg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageCfg, storagecfg_free)

const char *storagecfg_name(const StorageCfg *cfg);
const char *storagecfg_text(const StorageCfg *cfg, gsize *length);
const char *storagecfg_digest(const StorageCfg *cfg); /* SHA-1 of the text, hexadecimal */
/* In their order, each id once: of several sections of one id the last counts. GPtrArray of
 * StorageCfgStorage. */
const GPtrArray *storagecfg_storages(const StorageCfg *cfg);
/* Sections of retired types that would be well otherwise, for those who can do something with
 * them. */
const GPtrArray *storagecfg_retired(const StorageCfg *cfg);
const StorageCfgStorage *storagecfg_find(const StorageCfg *cfg, const char *id);
/* Of StorageCfgWarning, in Proxmox's order. */
const GPtrArray *storagecfg_warnings(const StorageCfg *cfg);
/* As Proxmox says it: "file storage.cfg line 3 (section 'a') - ignore config line: …". Free with
 * g_free(). */
char *storagecfg_warning_format(const StorageCfg *cfg, const StorageCfgWarning *warning);

const StorageCfgValue *storagecfg_value(const StorageCfgStorage *storage,
                                        const char *property); /* NULL: not set */
const char *storagecfg_string(const StorageCfgStorage *storage,
                              const char *property); /* NULL: not set */
gboolean storagecfg_boolean(const StorageCfgStorage *storage, const char *property,
                            gboolean otherwise);
gboolean storagecfg_has_content(const StorageCfgStorage *storage, const char *word);
/* Is it meant for @node? Without nodes it is for all; with an empty list for none. */
gboolean storagecfg_is_on_node(const StorageCfgStorage *storage, const char *node);
gboolean storagecfg_is_enabled(const StorageCfgStorage *storage);

/* --- edits: each gives a new StorageCfg, or NULL with nothing changed --- */

typedef struct {
  const char *property, *value; /* @value NULL: a boolean that is true */
} StorageCfgSetting;

/* A further storage. EEXIST: the id is taken. EINVAL: a bad id, a property or value that would be
 * dropped, or a required property is missing. EOPNOTSUPP: a retired type. */
StorageCfg *storagecfg_add(const StorageCfg *cfg, const char *type, const char *id,
                           const StorageCfgSetting *settings, gsize n_settings, GError **error);
/* Set and delete properties of a storage. ENOENT: it is not there. EINVAL: as above, or a property
 * that is fixed, or required and to be deleted. A broken storage can be mended, and its fixed
 * properties set while they are missing. */
StorageCfg *storagecfg_change(const StorageCfg *cfg, const char *id,
                              const StorageCfgSetting *settings, gsize n_settings,
                              const char *const *deleted, GError **error);
/* Without storage @id: all its sections go, the comments around them stay. ENOENT. */
StorageCfg *storagecfg_remove(const StorageCfg *cfg, const char *id, GError **error);

/* --- words --- */

/* A valid storage id? EINVAL. */
gboolean storagecfg_check_id(const char *id, GError **error);
/* A valid node name? EINVAL. */
gboolean storagecfg_check_node(const char *node, GError **error);
/* Would @value of @property be taken in a file? @value NULL: none is given. EINVAL with Proxmox's
 * words. */
gboolean storagecfg_check_value(const StorageCfgProperty *property, const char *value,
                                GError **error);
/* "1", "on", "yes", "true" and their opposites in any case, as on Proxmox's command lines. FALSE:
 * neither. */
gboolean storagecfg_parse_boolean(const char *text, gboolean *value);
