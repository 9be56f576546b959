/* virt-thin - what LVM2 takes for a name, a tag
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Rules: lvm2 lib/misc/lvm-string.c (validate_name, apply_lvname_restrictions, validate_tag).
 */
#include "util/name.h"

#include <string.h>

#define TAG_MAX 1023

static gboolean check_characters(const char *what, const char *name, gsize max, const char *others,
                                 GError **error)
{
  if (!name || !*name)
    return vt_set_error(error, EINVAL, "a %s must not be empty", what);
  if (strlen(name) > max)
    return vt_set_error(error, EINVAL,
                        "this %s is too long: %zu characters, at most %zu are allowed", what,
                        strlen(name), max);
  for (const char *p = name; *p; p++) {
    if (g_ascii_isalnum(*p) || strchr(others, *p))
      continue;
    g_autofree char *shown = g_strescape(name, NULL);
    return vt_set_error(
        error, EINVAL, "%s \"%s\" has a character that LVM does not allow: only A-Z a-z 0-9 and %s",
        what, shown, others);
  }
  if (name[0] == '-') /* asked last: the name is safe to print by now */
    return vt_set_error(error, EINVAL, "%s \"%s\" must not begin with '-'", what, name);
  return TRUE;
}

static gboolean check_name(const char *what, const char *name, GError **error)
{
  if (!check_characters(what, name, VT_NAME_MAX, "+_.-", error))
    return FALSE;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
    return vt_set_error(error, EINVAL, "\"%s\" cannot be a %s", name, what);
  return TRUE;
}

gboolean vt_vg_name_check(const char *name, GError **error)
{
  return check_name("volume group name", name, error);
}

gboolean vt_lv_name_check(const char *name, GError **error)
{
  static const char *const prefixes[] = {"snapshot", "pvmove"};
  static const char *const parts[] = {
      "_cdata", "_cmeta", "_corig", "_cpool", "_cvol",    "_wcorig",  "_mimage", "_mlog", "_rimage",
      "_rmeta", "_tdata", "_tmeta", "_vdata", "_pmspare", "_vorigin", "_imeta",  "_iorig"};

  if (!check_name("volume name", name, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS(prefixes); i++)
    if (g_str_has_prefix(name, prefixes[i]))
      return vt_set_error(error, EINVAL,
                          "volume name \"%s\" begins with \"%s\", which LVM keeps for itself", name,
                          prefixes[i]);
  for (guint i = 0; i < G_N_ELEMENTS(parts); i++)
    if (strstr(name, parts[i]))
      return vt_set_error(error, EINVAL,
                          "volume name \"%s\" contains \"%s\", which LVM keeps for itself", name,
                          parts[i]);
  return TRUE;
}

gboolean vt_tag_check(const char *tag, GError **error)
{
  return check_characters("tag", tag, TAG_MAX, "_+.-/=!:&#", error);
}
