/* virt-thin - the tree of LVM2 text: nodes, reading, changing, formatting
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "lvm/model/text-private.h"

/* --- nodes --- */

LvmNode *lvm_node_new(LvmNodeKind kind, const char *name, gsize name_length, const void *values,
                      gsize values_length, guint n_values)
{
  gsize header = kind == LVM_NODE_SECTION ? sizeof(LvmSection) : sizeof(LvmNode);
  LvmNode *node = g_malloc(header + name_length + 1 + values_length);
  char *tail = (char *)node + header;

  memset(node, 0, header);
  node->link.data = node;
  node->refs = 1;
  node->kind = kind;
  node->n_values = n_values;
  node->name = tail;
  memcpy(tail, name, name_length);
  tail[name_length] = '\0';
  node->values = tail + name_length + 1;
  if (values_length)
    memcpy(tail + name_length + 1, values, values_length);
  return node;
}

LvmNode *lvm_section_new(const char *name)
{
  return lvm_node_new(LVM_NODE_SECTION, name, strlen(name), NULL, 0, 0);
}

static GQueue *children(LvmNode *section)
{
  g_assert(section->kind == LVM_NODE_SECTION);
  return &((LvmSection *)section)->children;
}

LvmNode *lvm_node_ref(LvmNode *node)
{
  g_atomic_int_inc(&node->refs);
  return node;
}

void lvm_node_unref(LvmNode *node)
{
  GList *link;

  if (!node || !g_atomic_int_dec_and_test(&node->refs))
    return;
  if (node->kind == LVM_NODE_SECTION)
    while ((link = g_queue_pop_head_link(children(node))))
      lvm_node_unref(link->data);
  g_free(node);
}

gboolean lvm_node_is_shared(LvmNode *node)
{
  return g_atomic_int_get(&node->refs) > 1;
}

static gsize values_length(LvmNode *node)
{
  const char *p = node->values;

  for (guint i = 0; i < node->n_values; i++) {
    gboolean escaped = *p & VALUE_ESCAPED;

    p += strlen(p + 1) + 2;
    if (escaped)
      p += strlen(p) + 1;
  }
  return p - node->values;
}

LvmNode *lvm_node_copy(LvmNode *node, const char *name)
{
  const char *copy_name = name ? name : node->name;
  LvmNode *copy = lvm_node_new(node->kind, copy_name, strlen(copy_name), node->values,
                               values_length(node), node->n_values);

  copy->blanks = node->blanks;
  copy->is_array = node->is_array;
  copy->end_new_line = node->end_new_line;
  copy->same_line = node->same_line;
  copy->end_blanks = node->end_blanks;
  if (node->kind == LVM_NODE_SECTION)
    for (LvmNode *child = lvm_section_first(node); child; child = lvm_node_next(child))
      lvm_section_append(copy, lvm_node_copy(child, NULL));
  return copy;
}

LvmNodeKind lvm_node_kind(LvmNode *node)
{
  return node->kind;
}

const char *lvm_node_name(LvmNode *node)
{
  return node->name;
}

guint lvm_node_blanks(LvmNode *node)
{
  return node->blanks;
}

void lvm_node_set_blanks(LvmNode *node, guint blanks)
{
  node->blanks = blanks;
}

guint lvm_section_end_blanks(LvmNode *section)
{
  return section->end_blanks;
}

void lvm_section_set_end_blanks(LvmNode *section, guint blanks)
{
  section->end_blanks = blanks;
}

/* --- reading --- */

LvmNode *lvm_section_first(LvmNode *section)
{
  return g_queue_peek_head(children(section));
}

LvmNode *lvm_node_next(LvmNode *node)
{
  return node->link.next ? node->link.next->data : NULL;
}

LvmNode *lvm_section_find(LvmNode *section, const char *name)
{
  for (LvmNode *child = lvm_section_first(section); child; child = lvm_node_next(child))
    if (child->name[0] == name[0] && child->kind != LVM_NODE_COMMENT &&
        strcmp(child->name, name) == 0)
      return child;
  return NULL;
}

LvmNode *lvm_section_find_section(LvmNode *section, const char *name)
{
  LvmNode *node = lvm_section_find(section, name);

  return node && node->kind == LVM_NODE_SECTION ? node : NULL;
}

void lvm_value_init(LvmValue *value, LvmNode *assignment)
{
  value->type = 0;
  value->text = NULL;
  value->next_ = assignment ? assignment->values : NULL;
  value->left_ = assignment ? assignment->n_values : 0;
}

gboolean lvm_value_next(LvmValue *value)
{
  const char *p = value->next_;
  guint8 type;

  if (value->left_ == 0)
    return FALSE;
  value->left_--;
  type = *p++;
  value->type = type & VALUE_TYPE;
  if (type & VALUE_ESCAPED)
    p += strlen(p) + 1;
  value->text = p;
  value->next_ = p + strlen(p) + 1;
  return TRUE;
}

gboolean lvm_value_get_uint(const LvmValue *value, guint64 *number)
{
  char *end;

  if (value->type != LVM_VALUE_INT || value->text[0] == '-')
    return FALSE;
  errno = 0;
  *number = g_ascii_strtoull(value->text, &end, 0);
  return errno == 0 && *end == '\0'; /* it has a digit */
}

gboolean lvm_section_get_uint(LvmNode *section, const char *key, guint64 *value)
{
  LvmNode *node = lvm_section_find(section, key);
  LvmValue it;

  lvm_value_init(&it, node);
  return node && !node->is_array && lvm_value_next(&it) && lvm_value_get_uint(&it, value);
}

const char *lvm_section_get_string(LvmNode *section, const char *key)
{
  LvmNode *node = lvm_section_find(section, key);
  LvmValue it;

  lvm_value_init(&it, node);
  if (!node || node->is_array || !lvm_value_next(&it) || it.type < LVM_VALUE_STRING)
    return NULL;
  return it.text;
}

GPtrArray *lvm_node_strings(LvmNode *assignment)
{
  GPtrArray *strings = g_ptr_array_new();
  LvmValue it;

  lvm_value_init(&it, assignment);
  while (lvm_value_next(&it))
    if (it.type >= LVM_VALUE_STRING)
      g_ptr_array_add(strings, (gpointer)it.text);
  return strings;
}

/* --- changing --- */

void lvm_section_append(LvmNode *section, LvmNode *child)
{
  g_queue_push_tail_link(children(section), &child->link);
}

LvmNode *lvm_section_steal(LvmNode *section, LvmNode *child)
{
  g_queue_unlink(children(section), &child->link);
  return child;
}

void lvm_section_remove(LvmNode *section, const char *name)
{
  LvmNode *node = lvm_section_find(section, name);

  if (node)
    lvm_node_unref(lvm_section_steal(section, node));
}

/* Put @node, which has the key's new value, where the old one is, or after the key @after. */
static void replace(LvmNode *section, LvmNode *node, const char *after)
{
  GQueue *queue = children(section);
  LvmNode *old = lvm_section_find(section, node->name);
  LvmNode *place = old ? old : after ? lvm_section_find(section, after) : NULL;

  if (!place) {
    lvm_section_append(section, node);
    return;
  }
  if (place->link.next)
    g_queue_insert_before_link(queue, place->link.next, &node->link);
  else
    g_queue_push_tail_link(queue, &node->link);
  if (old) {
    node->blanks = old->blanks;
    lvm_node_unref(lvm_section_steal(section, old));
  }
}

/* The spelling of a string, as lvm2 escapes it. */
static void put_string(GByteArray *values, guint8 flags, const char *text)
{
  guint8 type = LVM_VALUE_STRING | flags | (strpbrk(text, "\"\\") ? VALUE_ESCAPED : 0);

  g_byte_array_append(values, &type, 1);
  if (type & VALUE_ESCAPED) {
    for (const char *p = text; *p; p++) {
      if (*p == '"' || *p == '\\')
        g_byte_array_append(values, (const guint8 *)"\\", 1);
      g_byte_array_append(values, (const guint8 *)p, 1);
    }
    g_byte_array_append(values, (const guint8 *)"", 1);
  }
  g_byte_array_append(values, (const guint8 *)text, strlen(text) + 1);
}

static void put_uint(GByteArray *values, guint64 number)
{
  char text[32];

  text[0] = LVM_VALUE_INT;
  g_snprintf(text + 1, sizeof text - 1, "%" G_GUINT64_FORMAT, number);
  g_byte_array_append(values, (const guint8 *)text, strlen(text) + 1);
}

static LvmNode *assignment_new(const char *key, GByteArray *values, guint n_values)
{
  LvmNode *node =
      lvm_node_new(LVM_NODE_ASSIGNMENT, key, strlen(key), values->data, values->len, n_values);

  g_byte_array_unref(values);
  return node;
}

void lvm_section_set_uint(LvmNode *section, const char *key, guint64 value, const char *after)
{
  GByteArray *values = g_byte_array_new();

  put_uint(values, value);
  replace(section, assignment_new(key, values, 1), after);
}

void lvm_section_set_string(LvmNode *section, const char *key, const char *value, const char *after)
{
  GByteArray *values = g_byte_array_new();

  put_string(values, 0, value);
  replace(section, assignment_new(key, values, 1), after);
}

void lvm_section_set_strings(LvmNode *section, const char *key, const char *const *strings,
                             const char *after)
{
  GByteArray *values = g_byte_array_new();
  LvmNode *node;
  guint n = 0;

  for (; strings[n]; n++)
    put_string(values, 0, strings[n]);
  node = assignment_new(key, values, n);
  node->is_array = TRUE;
  replace(section, node, after);
}

void lvm_section_set_pairs(LvmNode *section, const char *key, const LvmPair *pairs, guint n_pairs)
{
  GByteArray *values = g_byte_array_new();
  LvmNode *node;

  for (guint i = 0; i < n_pairs; i++) {
    put_string(values, VALUE_NEW_LINE, pairs[i].name);
    put_uint(values, pairs[i].number);
  }
  node = assignment_new(key, values, 2 * n_pairs);
  node->is_array = TRUE;
  node->end_new_line = TRUE;
  replace(section, node, NULL);
}

LvmNode *lvm_section_add_section(LvmNode *section, const char *name, guint blanks, LvmNode *before)
{
  LvmNode *node = lvm_section_new(name);

  node->blanks = blanks;
  if (before)
    g_queue_insert_before_link(children(section), &before->link, &node->link);
  else
    lvm_section_append(section, node);
  return node;
}

void lvm_section_add_comment(LvmNode *section, const char *text, gboolean same_line, guint blanks)
{
  LvmNode *node = lvm_node_new(LVM_NODE_COMMENT, text, strlen(text), NULL, 0, 0);

  node->same_line = same_line;
  node->blanks = blanks;
  lvm_section_append(section, node);
}

/* --- formatting --- */

/* g_string_append_len(), without the call where there is room. */
static inline void put(GString *out, const char *text, gsize length)
{
  if (out->len + length >= out->allocated_len) {
    g_string_append_len(out, text, length);
    return;
  }
  memcpy(out->str + out->len, text, length);
  out->len += length;
  out->str[out->len] = '\0';
}

static void put_blanks(GString *out, guint n)
{
  while (n--)
    g_string_append_c(out, '\n');
}

static void format_values(LvmNode *node, GString *out)
{
  const char *p = node->values;

  for (guint i = 0; i < node->n_values; i++) {
    guint8 type = *p++;
    gsize length = strlen(p);
    const char *quote = (type & VALUE_TYPE) == LVM_VALUE_STRING       ? "\""
                        : (type & VALUE_TYPE) == LVM_VALUE_RAW_STRING ? "'"
                                                                      : NULL;

    if (type & VALUE_NEW_LINE)
      put(out, i ? ",\n" : "\n", i ? 2 : 1);
    else if (i)
      put(out, ", ", 2);
    if (quote)
      g_string_append_c(out, *quote);
    put(out, p, length);
    if (quote)
      g_string_append_c(out, *quote);
    p += length + 1;
    if (type & VALUE_ESCAPED)
      p += strlen(p) + 1;
  }
}

static void format_assignment(LvmNode *node, GString *out)
{
  put(out, node->name, strlen(node->name));
  if (!node->is_array) {
    put(out, " = ", 3);
    format_values(node, out);
    return;
  }
  put(out, " = [", 4);
  format_values(node, out);
  if (node->end_new_line)
    g_string_append_c(out, '\n');
  g_string_append_c(out, ']');
}

void lvm_node_format_open(LvmNode *section, GString *out)
{
  put_blanks(out, section->blanks);
  put(out, section->name, strlen(section->name));
  put(out, " {\n", 3);
}

void lvm_node_format_close(LvmNode *section, GString *out)
{
  put_blanks(out, section->end_blanks);
  put(out, "}\n", 2);
}

static void format_children(LvmNode *section, GString *out)
{
  for (LvmNode *child = lvm_section_first(section); child; child = lvm_node_next(child)) {
    if (child->same_line && out->len) { /* behind the end of a line */
      g_string_truncate(out, out->len - 1);
      g_string_append_c(out, '\t');
    }
    lvm_node_format(child, out);
  }
}

void lvm_node_format(LvmNode *node, GString *out)
{
  switch ((LvmNodeKind)node->kind) {
  case LVM_NODE_COMMENT:
    put_blanks(out, node->same_line ? 0 : node->blanks);
    put(out, node->name, strlen(node->name));
    g_string_append_c(out, '\n');
    break;
  case LVM_NODE_ASSIGNMENT:
    put_blanks(out, node->blanks);
    format_assignment(node, out);
    g_string_append_c(out, '\n');
    break;
  case LVM_NODE_SECTION:
    if (node->name[0] == '\0') {
      format_children(node, out);
      put_blanks(out, node->end_blanks);
      break;
    }
    lvm_node_format_open(node, out);
    format_children(node, out);
    lvm_node_format_close(node, out);
    break;
  }
}
