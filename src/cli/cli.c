/* virt-thin - what the commands of the virt-thin program share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/refresh.h"
#include "util/size.h"

/* A check or removal that walks a large pool's metadata takes as long as it takes. */
#define PATIENT_TIMEOUT_MS (24u * 3600 * 1000)

/* The name is no expression: */
/* clang-format off */
G_DEFINE_QUARK(virt-thin-usage, cli_usage)
/* clang-format on */

gboolean cli_usage(GError **error, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  if (error)
    *error = g_error_new_valist(CLI_USAGE, 0, format, args);
  va_end(args);
  return FALSE;
}

const CliCommand cli_end = {.name = NULL};

int cli_status(gboolean ok)
{
  return ok ? CLI_OK : CLI_FAILED;
}

/* --- names and sizes --- */

gboolean cli_split_optional(const char *argument, char **vg, char **lv, GError **error)
{
  const char *name = g_str_has_prefix(argument, "/dev/") ? argument + strlen("/dev/") : argument;
  const char *slash = strchr(name, '/');

  *vg = *lv = NULL;
  if (slash == name || !*name || (slash && !slash[1]))
    return cli_usage(error, "\"%s\" is neither VG nor VG/LV", argument);
  *vg = slash ? g_strndup(name, slash - name) : g_strdup(name);
  *lv = slash ? g_strdup(slash + 1) : NULL;
  return TRUE;
}

gboolean cli_split_name(const char *argument, char **vg, char **lv, GError **error)
{
  if (!cli_split_optional(argument, vg, lv, NULL))
    return cli_usage(error, "\"%s\" is not VG/LV", argument);
  if (*lv)
    return TRUE;
  g_clear_pointer(vg, g_free);
  return cli_usage(error, "\"%s\" names a volume group alone: VG/LV is wanted", argument);
}

gboolean cli_parse_size(const char *option, const char *text, guint64 *size, GError **error)
{
  g_autoptr(GError) local = NULL;

  *size = 0;
  if (!text || vt_size_parse(text, size, NULL, &local))
    return TRUE;
  return cli_usage(error, "%s %s: %s", option, text, local->message);
}

/* --- opening --- */

static GStrv given_devices;

const char *const *cli_devices(void)
{
  return (const char *const *)given_devices;
}

void cli_set_devices(char **paths)
{
  GPtrArray *full;

  if (!paths)
    return;
  full = g_ptr_array_new();
  for (char **path = paths; *path; path++)
    g_ptr_array_add(full, g_canonicalize_filename(*path, NULL));
  g_ptr_array_add(full, NULL);
  g_strfreev(given_devices);
  given_devices = (GStrv)g_ptr_array_free(full, FALSE);
}

PoolWhere cli_where(PoolOpenFlags flags)
{
  return (PoolWhere){.devices = cli_devices(), .flags = flags, .bundled = pool_open_bundled};
}

PoolWhere cli_where_patient(PoolOpenFlags flags)
{
  PoolWhere where = cli_where(flags);

  where.timeout_ms = PATIENT_TIMEOUT_MS;
  return where;
}

VolumeGroup *cli_open_at(const PoolWhere *where, const char *vg, GError **error)
{
  VolumeGroup *group = pool_open(vg, where, error);

  if (group && !(where->flags & POOL_READ_ONLY) && pool_get_holder(group) != POOL_HOLDER_BUNDLED)
    cli_refresh_later(vg);
  return group;
}

VolumeGroup *cli_open(const char *vg, PoolOpenFlags flags, GError **error)
{
  const PoolWhere where = cli_where(flags);

  return cli_open_at(&where, vg, error);
}

VolumeGroup *cli_open_patient(const char *vg, PoolOpenFlags flags, GError **error)
{
  const PoolWhere where = cli_where_patient(flags);

  return cli_open_at(&where, vg, error);
}

gboolean cli_close(VolumeGroup *group, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!group || pool_close(group, &local))
    return TRUE;
  if (error && !*error)
    g_propagate_error(error, g_steal_pointer(&local));
  else
    cli_warn("%s", local->message);
  return FALSE;
}

GPtrArray *cli_list_vgs(const PoolWhere *where, gboolean *all)
{
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
  GPtrArray *vgs = pool_list_vgs(where, problems, all);

  for (guint i = 0; i < problems->len; i++)
    cli_warn("%s", (char *)problems->pdata[i]);
  return vgs;
}

void cli_tell_namesakes(const PoolWhere *where, const char *vg)
{
  g_autoptr(GPtrArray) problems = pool_find_namesakes(vg, where);

  for (guint i = 0; i < problems->len; i++)
    cli_warn("%s", (char *)problems->pdata[i]);
}
