/* virt-thin - the documents that --json prints, described in the schemas folder
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <json-glib/json-glib.h>

#include "pool/pool.h"

/* Members of the object that @builder is in. NULL strings and unknown numbers become null; bytes
 * that are not UTF-8 U+FFFD. */
void cli_json_string(JsonBuilder *builder, const char *member, const char *value);
void cli_json_number(JsonBuilder *builder, const char *member, guint64 value);
void cli_json_boolean(JsonBuilder *builder, const char *member, gboolean value);
void cli_json_strings(JsonBuilder *builder, const char *member, char **values, guint n);

/* Print what @builder holds, and a newline. */
void cli_json_print(JsonBuilder *builder);
