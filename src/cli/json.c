/* virt-thin - the documents that --json prints
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Numbers beyond 2^63 - 1 (no size that LVM addresses) would not fit JSON-GLib's integers and
 * become null.
 */
#include <stdio.h>

#include "cli/json.h"

static void add_text(JsonBuilder *builder, const char *value)
{
  g_autofree char *valid = value ? g_utf8_make_valid(value, -1) : NULL;

  if (valid)
    json_builder_add_string_value(builder, valid);
  else
    json_builder_add_null_value(builder);
}

void cli_json_string(JsonBuilder *builder, const char *member, const char *value)
{
  json_builder_set_member_name(builder, member);
  add_text(builder, value);
}

void cli_json_number(JsonBuilder *builder, const char *member, guint64 value)
{
  json_builder_set_member_name(builder, member);
  if (value > G_MAXINT64)
    json_builder_add_null_value(builder);
  else
    json_builder_add_int_value(builder, (gint64)value);
}

void cli_json_boolean(JsonBuilder *builder, const char *member, gboolean value)
{
  json_builder_set_member_name(builder, member);
  json_builder_add_boolean_value(builder, value);
}

void cli_json_strings(JsonBuilder *builder, const char *member, char **values, guint n)
{
  json_builder_set_member_name(builder, member);
  json_builder_begin_array(builder);
  for (guint i = 0; i < n; i++)
    add_text(builder, values[i]);
  json_builder_end_array(builder);
}

void cli_json_print(JsonBuilder *builder)
{
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autoptr(JsonGenerator) generator = json_generator_new();
  g_autofree char *text = NULL;

  json_generator_set_root(generator, root);
  json_generator_set_pretty(generator, TRUE);
  text = json_generator_to_data(generator, NULL);
  puts(text);
}
