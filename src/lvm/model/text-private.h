/* virt-thin - how a node of the text tree lies in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume group of 20,000 volumes is 400,000 nodes, so a node is one block of memory: the struct,
 * its name, then (an assignment) its values, packed: a type byte, the spelling, NUL, and, where the
 * spelling has escapes, the unescaped text, NUL.
 */
#pragma once

#include "lvm/model/text.h"

enum {
  VALUE_TYPE = 0x0f,
  VALUE_ESCAPED = 0x40,  /* the unescaped text follows */
  VALUE_NEW_LINE = 0x80, /* begins on a line of its own */
};

struct LvmNode {
  GList link; /* in the section it is in; link.data is the node */
  gint refs;
  guint8 kind;
  guint8 blanks;
  guint8 is_array : 1;
  guint8 end_new_line : 1; /* the array's ']' is on a line of its own */
  guint8 same_line : 1;    /* a comment after something else */
  guint8 end_blanks;       /* of a section */
  guint n_values;
  const char *values;
  char *name;
};

typedef struct {
  LvmNode node;
  GQueue children;
} LvmSection;

LvmNode *lvm_node_new(LvmNodeKind kind, const char *name, gsize name_length, const void *values,
                      gsize values_length, guint n_values);
void lvm_section_append(LvmNode *section, LvmNode *child);

#define LVM_TEXT_MAX_DEPTH 32
