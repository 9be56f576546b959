/* virt-thin - the grammar of LVM2's metadata text and configuration files, as a tree
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   file       := (section | assignment)*
 *   section    := name '{' file '}'
 *   assignment := name '=' (value | '[' value, ... ']')
 *   value      := number | "string with \" and \\" | 'string' | bare word
 *
 * (lvm2 libdm/libdm-config.c.) The tree keeps what lvm2 keeps and what it does not: the order, the
 * blank lines, the layout of arrays and the spelling of each value, so that text as lvm2 writes it
 * on disk is formatted again byte for byte. Indentation and, inside sections, comments are dropped:
 * lvm2 does not write them on disk. Comments outside of all sections stay: the header has some.
 *
 * A node is reference counted, and one that is shared must not be changed: change a copy. Strings
 * returned belong to the node they come from and live until it is changed or freed. Thread-safety:
 * nodes that nobody changes may be read, shared and released from any thread.
 */
#pragma once

#include "util/error.h"

typedef enum { LVM_NODE_SECTION, LVM_NODE_ASSIGNMENT, LVM_NODE_COMMENT } LvmNodeKind;

typedef struct LvmNode LvmNode;

/* The root: a section without a name. EBADMSG names @source and the line. */
LvmNode *lvm_text_parse(const char *text, gsize length, const char *source, GError **error);
LvmNode *lvm_node_ref(LvmNode *node);
void lvm_node_unref(LvmNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmNode, lvm_node_unref)
gboolean lvm_node_is_shared(LvmNode *node);
/* A deep copy, which is nobody's child. @name NULL: the same name. */
LvmNode *lvm_node_copy(LvmNode *node, const char *name);

/* Append the blank lines before @node and @node as text; a root without braces. */
void lvm_node_format(LvmNode *node, GString *out);
/* Append the blank lines and "name {\n"; then "}\n" with the blank lines before it. For callers
 * that format a section's content themselves. */
void lvm_node_format_open(LvmNode *section, GString *out);
void lvm_node_format_close(LvmNode *section, GString *out);

LvmNodeKind lvm_node_kind(LvmNode *node);
const char *lvm_node_name(LvmNode *node); /* a comment: its text, with the '#' */
guint lvm_node_blanks(LvmNode *node);     /* blank lines before it */
void lvm_node_set_blanks(LvmNode *node, guint blanks);
guint lvm_section_end_blanks(LvmNode *section); /* blank lines before its brace */
void lvm_section_set_end_blanks(LvmNode *section, guint blanks);

/* --- reading a section --- */
LvmNode *lvm_section_first(LvmNode *section); /* NULL: empty */
LvmNode *lvm_node_next(LvmNode *node);        /* its sibling; NULL: none */
LvmNode *lvm_section_find(LvmNode *section,
                          const char *name); /* the first of that name, of either kind; NULL */
LvmNode *lvm_section_find_section(LvmNode *section, const char *name);
/* FALSE: absent, an array, or no number within 64 bits. */
gboolean lvm_section_get_uint(LvmNode *section, const char *key, guint64 *value);
/* NULL: absent, or not one string. */
const char *lvm_section_get_string(LvmNode *section, const char *key);

/* --- the values of an assignment --- */
typedef enum {
  LVM_VALUE_INT = 1,
  LVM_VALUE_FLOAT,
  LVM_VALUE_STRING,
  LVM_VALUE_RAW_STRING,
  LVM_VALUE_BARE
} LvmValueType;
typedef struct {
  LvmValueType type;
  const char *text; /* a string without quotes and escapes; else as spelt */
  const char *next_;
  guint left_;
} LvmValue;
void lvm_value_init(LvmValue *value, LvmNode *assignment); /* NULL or a section: no values */
gboolean lvm_value_next(LvmValue *value);                  /* FALSE: no more */
gboolean lvm_value_get_uint(const LvmValue *value, guint64 *number);
/* The strings of an array; numbers in it are left out. The caller's, freed with
 * g_ptr_array_unref(); the strings are the node's. */
GPtrArray *lvm_node_strings(LvmNode *assignment);

/* --- changing a section: each finds the key, or puts a new one after the key @after (NULL: at the
 * end) --- */
void lvm_section_set_uint(LvmNode *section, const char *key, guint64 value, const char *after);
void lvm_section_set_string(LvmNode *section, const char *key, const char *value,
                            const char *after);
void lvm_section_set_strings(LvmNode *section, const char *key, const char *const *values,
                             const char *after);
/* An array of "name", number pairs, one pair a line, as lvm2 writes stripes. */
typedef struct {
  const char *name;
  guint64 number;
} LvmPair;
void lvm_section_set_pairs(LvmNode *section, const char *key, const LvmPair *pairs, guint n_pairs);
/* A new section (comment) at the end, or before @before; returned for filling. */
LvmNode *lvm_section_add_section(LvmNode *section, const char *name, guint blanks, LvmNode *before);
void lvm_section_add_comment(LvmNode *section, const char *text, gboolean same_line, guint blanks);
void lvm_section_remove(LvmNode *section,
                        const char *name); /* the first of that name; nothing when absent */
/* Take @child out of its section; the caller gets its reference. */
LvmNode *lvm_section_steal(LvmNode *section, LvmNode *child);
LvmNode *lvm_section_new(const char *name);
