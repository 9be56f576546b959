/* virt-thin - LVM2 text into a tree
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One pass over the text, no lookahead, no recursion beyond LVM_TEXT_MAX_DEPTH. Lines are counted only when an error is reported. Tokens are those of
 * lvm2 libdm/libdm-config.c: a name runs to white space, '#', '=', '{' or '}'; a string's only escapes are \" and \\.
 */
#include "config.h"

#include <string.h>

#include "lvm/text-private.h"

typedef struct {
  const char *start, *p, *end;
  const char *source;
  GByteArray *values; /* of the assignment being read */
  guint depth;
  GError **error;
} Parser;

static gboolean
fail(Parser *parser, const char *at, const char *what)
{
  guint64 line = 1;

  for (const char *p = parser->start; p < at && (p = memchr(p, '\n', at - p)); p++)
    line++;
  return vt_set_error(parser->error, EBADMSG, "%s, line %" G_GUINT64_FORMAT ": %s", parser->source, line, what);
}

/* Skip white space and, inside sections, comments; returns how many lines ended. */
static guint
skip_space(Parser *parser, gboolean keep_comments)
{
  guint lines = 0;
  gboolean text = FALSE; /* a comment's line is no blank line */

  for (; parser->p < parser->end; parser->p++) {
    char c = *parser->p;

    if (c == '\n') {
      lines += !text;
      text = FALSE;
    } else if (c == '#') {
      if (keep_comments)
        break;
      const char *eol = memchr(parser->p, '\n', parser->end - parser->p);
      text = lines > 0;
      parser->p = (eol ? eol : parser->end) - 1;
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\v' && c != '\f') {
      break;
    }
  }
  return lines;
}

static gboolean
is_name_end(char c)
{
  return g_ascii_isspace(c) || c == '\v' || c == '#' || c == '=' || c == '{' || c == '}' || c == '\0';
}

static void
put(Parser *parser, const void *data, gsize length)
{
  g_byte_array_append(parser->values, data, length);
}

static void
put_value(Parser *parser, guint8 type, const char *text, gsize length)
{
  put(parser, &type, 1);
  put(parser, text, length);
  put(parser, "", 1);
}

static gboolean
read_string(Parser *parser, guint8 flags)
{
  const char *text = parser->p + 1, *p;
  gboolean escaped = FALSE;

  for (p = text; p < parser->end && *p != '"' && *p != '\0'; p++)
    if (*p == '\\' && p + 1 < parser->end && p[1] != '\0') {
      escaped = TRUE;
      p++;
    }
  if (p >= parser->end || *p != '"')
    return fail(parser, parser->p, "this string has no end");
  put_value(parser, LVM_VALUE_STRING | flags | (escaped ? VALUE_ESCAPED : 0), text, p - text);
  if (escaped) {
    for (const char *q = text; q < p; q++) {
      if (*q == '\\' && (q[1] == '"' || q[1] == '\\'))
        q++;
      put(parser, q, 1);
    }
    put(parser, "", 1);
  }
  parser->p = p + 1;
  return TRUE;
}

static gboolean
read_raw_string(Parser *parser, guint8 flags)
{
  const char *text = parser->p + 1;
  const char *p = memchr(text, '\'', parser->end - text);

  if (!p || memchr(text, '\0', p - text))
    return fail(parser, parser->p, "this string has no end");
  put_value(parser, LVM_VALUE_RAW_STRING | flags, text, p - text);
  parser->p = p + 1;
  return TRUE;
}

static gboolean
read_word(Parser *parser, guint8 flags)
{
  const char *p = parser->p, *text = p;
  gboolean number = TRUE, digit = FALSE;
  guint dots = 0;

  for (; p < parser->end && !is_name_end(*p) && !strchr(",[]\"'", *p); p++) {
    dots += *p == '.';
    digit |= g_ascii_isdigit(*p);
    number &= g_ascii_isdigit(*p) || *p == '.' || (p == text && (*p == '-' || *p == '+'));
  }
  if (p == text)
    return fail(parser, p, "a value is missing here");
  put_value(parser, (!number || !digit || dots > 1 ? LVM_VALUE_BARE : dots ? LVM_VALUE_FLOAT : LVM_VALUE_INT) | flags, text, p - text);
  parser->p = p;
  return TRUE;
}

static gboolean
read_value(Parser *parser, guint8 flags)
{
  if (parser->p < parser->end && *parser->p == '"')
    return read_string(parser, flags);
  if (parser->p < parser->end && *parser->p == '\'')
    return read_raw_string(parser, flags);
  return read_word(parser, flags);
}

/* After '['. */
static gboolean
read_array(Parser *parser, guint *n_values, gboolean *end_new_line)
{
  const char *start = parser->p;

  for (;;) {
    guint lines = skip_space(parser, FALSE);

    if (parser->p < parser->end && *parser->p == ']') {
      parser->p++;
      *end_new_line = lines > 0;
      return TRUE;
    }
    if (parser->p >= parser->end)
      return fail(parser, start, "this array has no end");
    if (!read_value(parser, lines ? VALUE_NEW_LINE : 0))
      return FALSE;
    (*n_values)++;
    lines = skip_space(parser, FALSE);
    if (parser->p < parser->end && *parser->p == ',') {
      parser->p++;
    } else if (parser->p >= parser->end || *parser->p != ']') {
      return fail(parser, parser->p, "',' or ']' is missing in this array");
    } else {
      *end_new_line = lines > 0;
      parser->p++;
      return TRUE;
    }
  }
}

static LvmNode *
read_assignment(Parser *parser, const char *name, gsize name_length)
{
  gboolean array, end_new_line = FALSE;
  guint n_values = 0;
  LvmNode *node;

  skip_space(parser, FALSE);
  g_byte_array_set_size(parser->values, 0);
  array = parser->p < parser->end && *parser->p == '[';
  if (array) {
    parser->p++;
    if (!read_array(parser, &n_values, &end_new_line))
      return NULL;
  } else {
    if (!read_value(parser, 0))
      return NULL;
    n_values = 1;
  }
  node = lvm_node_new(LVM_NODE_ASSIGNMENT, name, name_length, parser->values->data, parser->values->len, n_values);
  node->is_array = array;
  node->end_new_line = end_new_line;
  return node;
}

static void
read_comment(Parser *parser, LvmNode *section, guint lines)
{
  const char *eol = memchr(parser->p, '\n', parser->end - parser->p);
  gsize length = (eol ? eol : parser->end) - parser->p;
  LvmNode *node = lvm_node_new(LVM_NODE_COMMENT, parser->p, length, NULL, 0, 0);
  LvmNode *last = g_queue_peek_tail(&((LvmSection *)section)->children);

  node->same_line = last && last->kind != LVM_NODE_COMMENT && lines == 0;
  node->blanks = MIN(lines - (last && lines > 0), G_MAXUINT8);
  lvm_section_append(section, node);
  parser->p += length;
}

static gboolean read_content(Parser *parser, LvmNode *section);

static gboolean
read_item(Parser *parser, LvmNode *section, guint blanks)
{
  const char *name = parser->p;
  gsize length;
  g_autoptr(LvmNode) node = NULL;

  while (parser->p < parser->end && !is_name_end(*parser->p))
    parser->p++;
  length = parser->p - name;
  if (length == 0)
    return fail(parser, name, "a name is missing here");
  skip_space(parser, FALSE);
  if (parser->p >= parser->end || (*parser->p != '=' && *parser->p != '{'))
    return fail(parser, parser->p, "'=' or '{' is missing after a name");
  if (*parser->p++ == '=') {
    if (!(node = read_assignment(parser, name, length)))
      return FALSE;
  } else {
    if (++parser->depth > LVM_TEXT_MAX_DEPTH)
      return fail(parser, name, "sections are nested too deep");
    node = lvm_node_new(LVM_NODE_SECTION, name, length, NULL, 0, 0);
    if (!read_content(parser, node))
      return FALSE;
    parser->depth--;
  }
  node->blanks = MIN(blanks, G_MAXUINT8);
  lvm_section_append(section, g_steal_pointer(&node));
  return TRUE;
}

/* To the section's '}', or to the end of the text for the root. */
static gboolean
read_content(Parser *parser, LvmNode *section)
{
  gboolean root = parser->depth == 0, first = root;
  const char *start = parser->p;

  for (;; first = FALSE) {
    guint lines = skip_space(parser, root);
    guint blanks = lines - (!first && lines > 0);

    if (parser->p >= parser->end) {
      if (!root)
        return fail(parser, start, "this section has no end");
      section->end_blanks = MIN(blanks, G_MAXUINT8);
      return TRUE;
    }
    if (*parser->p == '}' && !root) {
      parser->p++;
      section->end_blanks = MIN(blanks, G_MAXUINT8);
      return TRUE;
    }
    if (*parser->p == '#')
      read_comment(parser, section, lines);
    else if (!read_item(parser, section, blanks))
      return FALSE;
  }
}

LvmNode *
lvm_text_parse(const char *text, gsize length, const char *source, GError **error)
{
  g_autoptr(LvmNode) root = lvm_section_new("");
  Parser parser = { .start = text, .p = text, .end = text + length, .source = source, .error = error };
  gboolean ok;

  parser.values = g_byte_array_new();
  ok = read_content(&parser, root);
  g_byte_array_unref(parser.values);
  return ok ? g_steal_pointer(&root) : NULL;
}
