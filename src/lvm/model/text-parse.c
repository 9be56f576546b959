/* virt-thin - LVM2 text into a tree
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One pass over the text, no lookahead, no recursion beyond LVM_TEXT_MAX_DEPTH. Lines are counted
 * only when an error is reported. Tokens are those of lvm2 libdm/libdm-config.c: a name runs to
 * white space, '#', '=', '{' or '}'; a string's only escapes are \" and \\.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/text-private.h"

typedef struct {
  const char *start, *p, *end;
  const char *source;
  GByteArray *values; /* of the assignment being read */
  guint depth;
  GError **error;
} Parser;

static gboolean fail(Parser *parser, const char *at, const char *what)
{
  guint64 line = 1;

  for (const char *p = parser->start; p < at && (p = memchr(p, '\n', at - p)); p++)
    line++;
  return vt_set_error(parser->error, EBADMSG, "%s, line %" G_GUINT64_FORMAT ": %s", parser->source,
                      line, what);
}

enum { SPACE = 1, NAME_END = 2, WORD_END = 4 };

/* What each character ends; [0]: the NUL that no text has. */
static const guint8 char_class[256] = {
    ['\0'] = NAME_END | WORD_END,
    [' '] = SPACE | NAME_END | WORD_END,
    ['\t'] = SPACE | NAME_END | WORD_END,
    ['\n'] = SPACE | NAME_END | WORD_END,
    ['\v'] = SPACE | NAME_END | WORD_END,
    ['\f'] = SPACE | NAME_END | WORD_END,
    ['\r'] = SPACE | NAME_END | WORD_END,
    ['#'] = NAME_END | WORD_END,
    ['='] = NAME_END | WORD_END,
    ['{'] = NAME_END | WORD_END,
    ['}'] = NAME_END | WORD_END,
    [','] = WORD_END,
    ['['] = WORD_END,
    [']'] = WORD_END,
    ['"'] = WORD_END,
    ['\''] = WORD_END,
};

/* Skip white space and, inside sections, comments; returns how many lines ended. */
static guint skip_space(Parser *parser, gboolean keep_comments)
{
  const char *p = parser->p, *end = parser->end;
  guint lines = 0;
  gboolean text = FALSE; /* a comment's line is no blank line */

  for (;; p++) {
    while (p < end && (char_class[(guchar)*p] & SPACE)) {
      if (*p == '\n') {
        lines += !text;
        text = FALSE;
      }
      p++;
    }
    if (p >= end || *p != '#' || keep_comments)
      break;
    p = memchr(p, '\n', end - p);
    if (!p)
      p = end;
    text = lines > 0;
    if (p >= end)
      break;
    p--; /* the line's end counts */
  }
  parser->p = p;
  return lines;
}

static gboolean is_name_end(char c)
{
  return char_class[(guchar)c] & NAME_END;
}

static gboolean is_word_end(char c)
{
  return char_class[(guchar)c] & WORD_END;
}

/* A value as it stands in the text. */
typedef struct {
  guint8 type;
  const char *text;
  gsize length;
} Spelling;

static gboolean read_string(Parser *parser, Spelling *value)
{
  const char *text = parser->p + 1, *p;

  value->type = LVM_VALUE_STRING;
  for (p = text; p < parser->end && *p != '"' && *p != '\0'; p++)
    if (*p == '\\' && p + 1 < parser->end && p[1] != '\0') {
      value->type |= VALUE_ESCAPED;
      p++;
    }
  if (p >= parser->end || *p != '"')
    return fail(parser, parser->p, "this string has no end");
  value->text = text;
  value->length = p - text;
  parser->p = p + 1;
  return TRUE;
}

static gboolean read_raw_string(Parser *parser, Spelling *value)
{
  const char *text = parser->p + 1;
  const char *p = memchr(text, '\'', parser->end - text);

  if (!p || memchr(text, '\0', p - text))
    return fail(parser, parser->p, "this string has no end");
  *value = (Spelling){LVM_VALUE_RAW_STRING, text, p - text};
  parser->p = p + 1;
  return TRUE;
}

static gboolean read_word(Parser *parser, Spelling *value)
{
  const char *p = parser->p, *text = p;
  gboolean number = TRUE, digit = FALSE;
  guint dots = 0;

  for (; p < parser->end && !is_word_end(*p); p++) {
    if (g_ascii_isdigit(*p))
      digit = TRUE;
    else if (*p == '.')
      dots++;
    else if (p != text || (*p != '-' && *p != '+'))
      number = FALSE;
  }
  if (p == text)
    return fail(parser, p, "a value is missing here");
  *value = (Spelling){!number || !digit || dots > 1 ? LVM_VALUE_BARE
                      : dots                        ? LVM_VALUE_FLOAT
                                                    : LVM_VALUE_INT,
                      text, p - text};
  parser->p = p;
  return TRUE;
}

static gboolean read_value(Parser *parser, Spelling *value)
{
  if (parser->p < parser->end && *parser->p == '"')
    return read_string(parser, value);
  if (parser->p < parser->end && *parser->p == '\'')
    return read_raw_string(parser, value);
  return read_word(parser, value);
}

/* Pack @value as text-private.h says. */
static void pack(GByteArray *values, const Spelling *value)
{
  guint start = values->len;
  guint8 *p;

  g_byte_array_set_size(values, start + 1 + 2 * (value->length + 1));
  p = values->data + start;
  *p++ = value->type;
  memcpy(p, value->text, value->length);
  p += value->length;
  *p++ = '\0';
  if (value->type & VALUE_ESCAPED) {
    for (const char *q = value->text; q < value->text + value->length; q++) {
      if (*q == '\\' && (q[1] == '"' || q[1] == '\\'))
        q++;
      *p++ = *q;
    }
    *p++ = '\0';
  }
  g_byte_array_set_size(values, p - values->data);
}

static gboolean read_array(Parser *parser, guint *n_values, gboolean *end_new_line)
{
  const char *start = parser->p;
  Spelling value;

  for (;;) {
    guint lines = skip_space(parser, FALSE);

    if (parser->p < parser->end && *parser->p == ']') {
      parser->p++;
      *end_new_line = lines > 0;
      return TRUE;
    }
    if (parser->p >= parser->end)
      return fail(parser, start, "this array has no end");
    if (!read_value(parser, &value))
      return FALSE;
    value.type |= lines ? VALUE_NEW_LINE : 0;
    pack(parser->values, &value);
    (*n_values)++;
    lines = skip_space(parser, FALSE);
    if (parser->p < parser->end && *parser->p == ',') {
      parser->p++;
    } else if (parser->p >= parser->end) {
      return fail(parser, start, "this array has no end");
    } else if (*parser->p != ']') {
      return fail(parser, parser->p, "',' or ']' is missing in this array");
    } else {
      *end_new_line = lines > 0;
      parser->p++;
      return TRUE;
    }
  }
}

static LvmNode *read_assignment(Parser *parser, const char *name, gsize name_length)
{
  gboolean end_new_line = FALSE;
  guint n_values = 0;
  Spelling value;
  LvmNode *node;

  skip_space(parser, FALSE);
  g_byte_array_set_size(parser->values, 0);
  if (parser->p < parser->end && *parser->p == '[') {
    parser->p++;
    if (!read_array(parser, &n_values, &end_new_line))
      return NULL;
    node = lvm_node_new(LVM_NODE_ASSIGNMENT, name, name_length, parser->values->data,
                        parser->values->len, n_values);
    node->is_array = TRUE;
    node->end_new_line = end_new_line;
    return node;
  }
  if (!read_value(parser, &value))
    return NULL;
  pack(parser->values, &value);
  return lvm_node_new(LVM_NODE_ASSIGNMENT, name, name_length, parser->values->data,
                      parser->values->len, 1);
}

static void read_comment(Parser *parser, LvmNode *section, guint lines)
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

static gboolean read_item(Parser *parser, LvmNode *section, guint blanks)
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
static gboolean read_content(Parser *parser, LvmNode *section)
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

LvmNode *lvm_text_parse(const char *text, gsize length, const char *source, GError **error)
{
  g_autoptr(LvmNode) root = lvm_section_new("");
  Parser parser = {
      .start = text, .p = text, .end = text + length, .source = source, .error = error};
  gboolean ok;

  parser.values = g_byte_array_new();
  ok = read_content(&parser, root);
  g_byte_array_unref(parser.values);
  return ok ? g_steal_pointer(&root) : NULL;
}
