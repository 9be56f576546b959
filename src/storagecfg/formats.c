/* virt-thin - storage.cfg: what values may look like
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "storagecfg/formats.h"

#include <arpa/inet.h>
#include <string.h>

#include "storagecfg/storagecfg-private.h"

#define CONTENT_WORDS "backup images import iso none rootdir snippets vztmpl"
#define PATH_MAX_LENGTH 1023 /* content-dirs: PVE::Storage::Plugin::verify_dir_override */
#define PATH_PART_MAX_LENGTH 255

/* Letters, digits and the characters of @inner; a letter or digit at both ends; not in need of
 * two. */
static gboolean is_name(const char *value, gsize length, const char *inner)
{
  if (!length || !g_ascii_isalnum(value[0]) || !g_ascii_isalnum(value[length - 1]))
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum(value[i]) && !strchr(inner, value[i]))
      return FALSE;
  return TRUE;
}

/* --- names --- */

gboolean format_storage_id(const char *value, GError **error)
{
  gsize length = strlen(value);

  if (length < 2)
    return vt_set_error(error, EINVAL, "storage ID '%s' cannot be shorter than 2 characters",
                        value);
  if (!g_ascii_isalpha(value[0]) || !is_name(value, length, "._-"))
    return vt_set_error(error, EINVAL, "storage ID '%s' contains illegal characters", value);
  return TRUE;
}

gboolean format_volume_id(const char *value, GError **error)
{
  const char *colon = strchr(value, ':');
  gsize length = colon ? colon - value : 0;

  if (length < 2 || !g_ascii_isalpha(value[0]) || !is_name(value, length, "._-") || !colon[1])
    return vt_set_error(error, EINVAL, "unable to parse volume ID '%s'", value);
  return TRUE;
}

gboolean format_lvm_name(const char *value, GError **error)
{
  gsize length = strlen(value);

  if (length < 2 || !is_name(value, length, "._-"))
    return vt_set_error(error, EINVAL, "lvm name '%s' contains illegal characters", value);
  return TRUE;
}

gboolean format_node(const char *value, GError **error)
{
  if (!is_name(value, strlen(value), "-"))
    return vt_set_error(error, EINVAL, "value does not look like a valid node name");
  return TRUE;
}

gboolean format_config_id(const char *value, GError **error)
{
  gboolean ok = g_ascii_isalpha(value[0]) && value[1];

  for (const char *p = value; ok && *p; p++)
    ok = g_ascii_isalnum(*p) || *p == '_' || *p == '-';
  return ok || vt_set_error(error, EINVAL, "invalid configuration ID '%s'", value);
}

/* --- content --- */

gboolean format_content(const char *value, GError **error)
{
  return storagecfg_has_word(CONTENT_WORDS, value) ||
         vt_set_error(error, EINVAL, "invalid content type '%s'", value);
}

/* No two dots in a row and none at the end: no way out of the folder. */
static gboolean is_relative_path(const char *path)
{
  gsize length = strlen(path), part = 0;

  if (!length || length >= PATH_MAX_LENGTH || path[length - 1] == '.' || strstr(path, ".."))
    return FALSE;
  for (const char *p = path; *p; p++) {
    part = *p == '/' ? 0 : part + 1;
    if (part >= PATH_PART_MAX_LENGTH)
      return FALSE;
  }
  return TRUE;
}

gboolean format_content_dir(const char *value, GError **error)
{
  const char *equals = strchr(value, '=');
  g_autofree char *content = g_strndup(value, equals ? equals - value : 0);

  for (const char *p = content; *p; p++)
    if (!g_ascii_islower(*p))
      return vt_set_error(error, EINVAL, "invalid override '%s'", value);
  if (!*content || !is_relative_path(equals + 1))
    return vt_set_error(error, EINVAL, "invalid override '%s'", value);
  return format_content(content, error);
}

/* --- paths and places --- */

gboolean format_path(const char *value, GError **error)
{
  if (value[0] != '/' || !value[1] || strchr(";()", value[1]))
    return vt_set_error(error, EINVAL, "value does not look like a valid absolute path");
  return TRUE;
}

gboolean format_options(const char *value, GError **error)
{
  for (const char *p = value; *p; p++)
    if (storagecfg_is_blank(*p))
      return vt_set_error(error, EINVAL, "invalid options '%s'", value);
  return TRUE;
}

static gboolean is_address(int family, const char *text, gsize length)
{
  g_autofree char *address = g_strndup(text, length);
  struct in6_addr binary;

  return inet_pton(family, address, &binary) == 1;
}

/* Labels of letters, digits and inner dashes, with single dots between: an IPv4 address, right or
 * wrong, is one. */
static gboolean is_dns_name(const char *value)
{
  g_auto(GStrv) labels = g_strsplit(value, ".", -1);

  if (!*labels)
    return FALSE;
  for (char **label = labels; *label; label++)
    if (!is_name(*label, strlen(*label), "-"))
      return FALSE;
  return TRUE;
}

gboolean format_server(const char *value, GError **error)
{
  return is_dns_name(value) || is_address(AF_INET6, value, strlen(value)) ||
         vt_set_error(error, EINVAL, "value does not look like a valid server name or IP address");
}

static gboolean is_host(const char *text, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isalnum(text[i]) && text[i] != '-' && text[i] != '.')
      return FALSE;
  return length > 0;
}

/* "" or @separator and digits. */
static gboolean is_port(const char *text, char separator)
{
  if (!*text)
    return TRUE;
  if (*text++ != separator || !*text)
    return FALSE;
  for (; *text; text++)
    if (!g_ascii_isdigit(*text))
      return FALSE;
  return TRUE;
}

/* PVE::Tools::parse_host_and_port: host[:port], [host or IPv6][:port], IPv6[.port]. */
gboolean format_portal(const char *value, GError **error)
{
  const char *end = value[0] == '[' ? strchr(value, ']') : strchr(value, ':'),
             *dot = strrchr(value, '.');
  gsize length = end ? (gsize)(end - value) : strlen(value);

  if (value[0] == '[') {
    if (end && (is_host(value + 1, length - 1) || is_address(AF_INET6, value + 1, length - 1)) &&
        is_port(end + 1, ':'))
      return TRUE;
  } else if ((is_host(value, length) && is_port(value + length, ':')) ||
             is_address(AF_INET6, value, strlen(value)) ||
             (dot && is_address(AF_INET6, value, dot - value) && is_port(dot, '.'))) {
    return TRUE;
  }
  return vt_set_error(error, EINVAL, "value does not look like a valid portal address");
}

gboolean format_fingerprint(const char *value, GError **error)
{
  gsize length = strlen(value);
  gboolean ok = length == 32 * 3 - 1;

  for (gsize i = 0; ok && i < length; i++)
    ok = i % 3 == 2 ? value[i] == ':' : g_ascii_isxdigit(value[i]);
  return ok || vt_set_error(error, EINVAL, "value does not match the regex pattern");
}

/* --- numbers --- */

gboolean format_is_integer(const char *value)
{
  if (*value == '+' || *value == '-')
    value++;
  if (!*value)
    return FALSE;
  for (; *value; value++)
    if (!g_ascii_isdigit(*value))
      return FALSE;
  return TRUE;
}

static const char *skip_digits(const char *p)
{
  while (g_ascii_isdigit(*p))
    p++;
  return p;
}

/* 1, 1., .1, 1.1, each with a sign and an exponent. */
gboolean format_is_number(const char *value)
{
  const char *p = *value == '+' || *value == '-' ? value + 1 : value, *integer = skip_digits(p),
             *end = integer;

  if (*integer == '.')
    end = skip_digits(integer + 1);
  if (end == p || (end == p + 1 && *p == '.'))
    return FALSE;
  if (*end == 'e' || *end == 'E') {
    const char *exponent = end[1] == '+' || end[1] == '-' ? end + 2 : end + 1;

    end = skip_digits(exponent);
    if (end == exponent)
      return FALSE;
  }
  return !*end;
}

/* --- property strings: k=v,k=v --- */

typedef struct {
  const char *name;
  enum { FRACTION, INTEGER, FLAG } kind;
} Key;

static gboolean check_key_value(const Key *key, const char *value, GError **error)
{
  static const char *const kinds[] = {"number", "integer", "boolean"};
  gboolean flag, ok = key->kind == FRACTION  ? format_is_number(value)
                      : key->kind == INTEGER ? format_is_integer(value)
                                             : storagecfg_parse_boolean(value, &flag);

  if (!ok)
    return vt_set_error(error, EINVAL, "%s: type check ('%s') failed - got '%s'", key->name,
                        kinds[key->kind], value);
  if (key->kind != FLAG && g_ascii_strtod(value, NULL) < 0)
    return vt_set_error(error, EINVAL, "%s: value must have a minimum value of 0", key->name);
  return TRUE;
}

static gboolean check_part(const char *part, const Key *keys, gsize n, char **values,
                           GError **error)
{
  const char *equals = strchr(part, '=');
  gsize length = equals ? equals - part : 0;

  if (!equals)
    return vt_set_error(error, EINVAL,
                        "value without key, but schema does not define a default key");
  if (!length || !equals[1])
    return vt_set_error(error, EINVAL, "missing key in comma-separated list property");
  for (gsize i = 0; i < n; i++)
    if (strlen(keys[i].name) == length && strncmp(part, keys[i].name, length) == 0) {
      if (values[i])
        return vt_set_error(error, EINVAL, "duplicate key in comma-separated list property: %s",
                            keys[i].name);
      values[i] = g_strdup(equals + 1);
      return check_key_value(&keys[i], values[i], error);
    }
  return vt_set_error(error, EINVAL, "invalid key in comma-separated list property: %.*s",
                      (int)length, part);
}

static gboolean is_empty(const char *part)
{
  while (storagecfg_is_blank(*part))
    part++;
  return !*part;
}

/* @values: one for each key, given or NULL. */
static gboolean check_property_string(const char *text, const Key *keys, gsize n, char **values,
                                      GError **error)
{
  g_auto(GStrv) parts = g_strsplit(text, ",", -1);

  for (char **part = parts; *part; part++)
    if (!is_empty(*part) && !check_part(*part, keys, n, values, error))
      return FALSE;
  return TRUE;
}

gboolean format_bwlimit(const char *value, GError **error)
{
  static const Key keys[] = {{"default", FRACTION},
                             {"restore", FRACTION},
                             {"migration", FRACTION},
                             {"clone", FRACTION},
                             {"move", FRACTION}};
  char *values[G_N_ELEMENTS(keys)] = {NULL};
  gboolean ok = check_property_string(value, keys, G_N_ELEMENTS(keys), values, error);

  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
    g_free(values[i]);
  return ok;
}

gboolean format_prune_backups(const char *value, GError **error)
{
  static const Key keys[] = {{"keep-all", FLAG},       {"keep-last", INTEGER},
                             {"keep-hourly", INTEGER}, {"keep-daily", INTEGER},
                             {"keep-weekly", INTEGER}, {"keep-monthly", INTEGER},
                             {"keep-yearly", INTEGER}};
  char *values[G_N_ELEMENTS(keys)] = {NULL};
  gboolean ok = check_property_string(value, keys, G_N_ELEMENTS(keys), values, error), all = FALSE,
           others = FALSE;

  if (ok && values[0])
    storagecfg_parse_boolean(values[0], &all);
  for (gsize i = 1; ok && i < G_N_ELEMENTS(keys); i++)
    others = others || (values[i] && g_ascii_strtod(values[i], NULL) > 0);
  for (gsize i = 0; i < G_N_ELEMENTS(keys); i++)
    g_free(values[i]);
  return ok && all && others
             ? vt_set_error(error, EINVAL, "keep-all cannot be set together with other options.")
             : ok;
}
