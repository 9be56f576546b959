/* virt-thin - storage.cfg: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "storagecfg/storagecfg.h"

struct StorageCfgProperty {
  const char *name;
  StorageCfgKind kind;
  /* Of a value, or of each element of a list. NULL: anything. */
  gboolean (*check)(const char *value, GError **error);
  const char *const *words; /* an enumeration */
  gint64 minimum, maximum;  /* of an integer */
  gsize max_length;         /* bytes; 0: any */
  gboolean ordered;         /* a list whose order and doubles count */
};

typedef struct {
  const char *start;
  gsize length;
} StorageCfgLine;

/* A header and what is charged to it: lines[first] … lines[end - 1]. */
typedef struct {
  guint first, end;
  gboolean skipped;
  StorageCfgStorage *storage; /* NULL when skipped */
} StorageCfgSection;

struct StorageCfg {
  char *name, *digest, *text;
  gsize length;
  GArray *lines; /* of StorageCfgLine */
  GPtrArray *sections, *storages, *retired, *warnings;
  GHashTable *by_id; /* id -> StorageCfgStorage in storages */
};

/* What Perl's \s is, of bytes. */
static inline gboolean storagecfg_is_blank(char c)
{
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* "<type>: <id>" in column 0. */
gboolean storagecfg_split_header(StorageCfgLine line, char **type, char **id);
/* " <key> <value>"; @value NULL when there is none. */
gboolean storagecfg_split_property(StorageCfgLine line, StorageCfgLine *key, StorageCfgLine *value);
gboolean storagecfg_is_comment(StorageCfgLine line);

/* The elements of a list. */
GStrv storagecfg_split_list(const char *text, gsize length);
/* Check @text and make a value of it. @text NULL: none was given. */
StorageCfgValue *storagecfg_value_new(const StorageCfgProperty *property, const char *text,
                                      gsize length, GError **error);
StorageCfgValue *storagecfg_value_new_default(const char *property, const char *text);
void storagecfg_value_free(StorageCfgValue *value);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageCfgValue, storagecfg_value_free)
/* Put it in its place by name, instead of one that is there. */
void storagecfg_set_value(StorageCfgStorage *storage, StorageCfgValue *value);
void storagecfg_unset_value(StorageCfgStorage *storage, const char *property);
/* storagecfg_property_find(), with those that only a retired @type has. */
const StorageCfgProperty *storagecfg_property_of(const StorageCfgType *type, const char *name);
gboolean storagecfg_has_word(const char *words, const char *word);
