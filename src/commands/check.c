/* virt-thin - command check: the metadata of a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>

#include "cli/json.h"
#include "cli/progress.h"
#include "commands/commands.h"

static gboolean json, clear, repair;
static char *copy;

static void print_json(const char *name, GPtrArray *errors, GPtrArray *leaks, const char *health)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  cli_json_string(builder, "pool", name);
  cli_json_strings(builder, "errors", (char **)errors->pdata, errors->len);
  cli_json_strings(builder, "leaks", (char **)leaks->pdata, leaks->len);
  cli_json_string(builder, "health", health);
  cli_json_boolean(builder, "ok", errors->len == 0);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

static void print_text(const char *name, GPtrArray *errors, GPtrArray *leaks, const char *health)
{
  if (health && errors->len == 0) /* else that is what they say */
    printf("health: %s\n", health);
  for (guint i = 0; i < errors->len; i++)
    printf("error: %s\n", (char *)errors->pdata[i]);
  for (guint i = 0; i < leaks->len; i++)
    printf("leak: %s\n", (char *)leaks->pdata[i]);
  printf("%s: %u error%s, %u leak%s\n", name, errors->len, errors->len == 1 ? "" : "s", leaks->len,
         leaks->len == 1 ? "" : "s");
}

/* What keeps a pool from being opened or read at all is what the check finds. Not so what says
 * nothing about it: that it is not there, or not ours. */
static gboolean is_finding(const GError *error)
{
  return error->domain == VT_ERROR && (error->code == EBADMSG || error->code == EIO ||
                                       error->code == EPERM || error->code == EINVAL);
}

/* What changes metadata is for who has it alone. @lvm2: how the kernel's pool is brought to it. */
static gboolean check_holder(const char *vg, const char *name, const PoolWhere *where,
                             const char *lvm2, GError **error)
{
  PoolHolder holder = pool_holder(vg, where);

  if (holder == POOL_HOLDER_SERVICE)
    return vt_set_error(error, EBUSY,
                        "volume group %s is served: stop it first (virt-thin stop %s)", vg, vg);
  return holder != POOL_HOLDER_KERNEL ||
         vt_set_error(error, EOPNOTSUPP,
                      "%s/%s is the kernel's. Deactivate it (virt-thin deactivate %s/%s), and "
                      "have lvm2 %s %s/%s",
                      vg, name, vg, name, lvm2, vg, name);
}

/* Damage is left to the check to tell. */
static gboolean clear_mark(const char *vg, const char *name, const PoolWhere *where, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!check_holder(vg, name, where,
                    "check it and clear the mark: lvchange -ay --config "
                    "'global/thin_check_options=[\"-q\",\"--clear-needs-check-flag\"]'",
                    error))
    return FALSE;
  if (pool_clear_needs_check(vg, name, where, &local) || g_error_matches(local, VT_ERROR, EBADMSG))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

static gboolean mend(const char *vg, const char *name, const PoolWhere *where, GError **error)
{
  g_autofree char *kept = NULL, *from = copy ? g_canonicalize_filename(copy, NULL) : NULL;
  gboolean ok = check_holder(vg, name, where, "repair it: lvconvert --repair", error) &&
                pool_repair(vg, name, from, where, &kept, error);

  if (kept && ok)
    cli_warn("the metadata of %s/%s was repaired; as it was, it is kept in %s. What a volume had "
             "where it was damaged is lost",
             vg, name, kept);
  return ok;
}

static int run_check(char **args, GError **error)
{
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(GError) local = NULL;
  g_autofree char *vg = NULL, *name = NULL, *full = NULL;
  g_autoptr(PoolInfo) info = NULL;
  PoolWhere where = cli_where_patient(0);
  g_autoptr(PoolLook) look = pool_look_new();
  CliBusy *busy;
  VolumeGroup *group;

  if (!cli_split_name(args[0], &vg, &name, error))
    return CLI_WRONG_USAGE;
  if (copy && !repair)
    return cli_usage(error, "--from FILE goes with --repair"), CLI_WRONG_USAGE;
  where.look = look;
  if ((repair && !mend(vg, name, &where, error)) || (clear && !clear_mark(vg, name, &where, error)))
    return CLI_FAILED;
  full = g_strdup_printf("%s/%s", vg, name);
  busy = cli_busy_new("checking %s", full);
  where.flags = POOL_READ_ONLY;
  group = pool_open(vg, &where, &local);
  g_clear_pointer(&look, pool_look_free);
  if (group && pool_check(group, name, &errors, &leaks, &local))
    info = pool_get_info(group, name, NULL);
  cli_busy_free(busy);
  if (!cli_close(group, error))
    return CLI_FAILED;
  if (local && !is_finding(local)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return CLI_FAILED;
  }
  if (!errors)
    errors = g_ptr_array_new_with_free_func(g_free);
  if (!leaks)
    leaks = g_ptr_array_new_with_free_func(g_free);
  if (local)
    g_ptr_array_add(errors, g_strdup(local->message));
  if (json)
    print_json(full, errors, leaks, info ? info->health : NULL);
  else
    print_text(full, errors, leaks, info ? info->health : NULL);
  return cli_status(errors->len == 0);
}

static const GOptionEntry check_options[] = {
    {"clear-needs-check", 0, 0, G_OPTION_ARG_NONE, &clear,
     "Take back the mark needs_check, if there are no other errors", NULL},
    {"repair", 0, 0, G_OPTION_ARG_NONE, &repair, "Have thin_repair mend damaged metadata", NULL},
    {"from", 0, 0, G_OPTION_ARG_FILENAME, &copy, "Mend it from a copy that was kept of it", "FILE"},
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_check = {
    .name = "check",
    .arguments = "VG/POOL",
    .summary = "Check the metadata of a thin pool",
    .description =
        "Exit status 1 when there are errors; a thin device that is known to no volume is one. "
        "Leaks - "
        "chunks or blocks that are counted and not used - are harmless. Changes nothing, but\n"
        "with --clear-needs-check the mark that a failed commit leaves, and that keeps a pool from "
        "being "
        "opened for writing, and with\n"
        "--repair damaged metadata: what thin_repair saves of it, if that is sound. What was there "
        "is kept in a file.",
    .options = check_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_check,
};
