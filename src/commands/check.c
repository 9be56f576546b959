/* virt-thin - command check: the metadata of a thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>

#include "cli/json.h"
#include "cli/progress.h"
#include "commands/commands.h"

static gboolean json, clear, quick, auto_repair;

/* What was found of a thin pool, or, where none could be looked at, of a volume group. */
typedef struct {
  char *name; /* VG/POOL, or VG */
  GPtrArray *errors, *leaks;
  char *health;
} Finding;

static Finding *finding_new(char *name)
{
  Finding *found = g_new0(Finding, 1);

  found->name = name;
  found->errors = g_ptr_array_new_with_free_func(g_free);
  found->leaks = g_ptr_array_new_with_free_func(g_free);
  return found;
}

static void finding_free(Finding *found)
{
  g_free(found->name);
  g_free(found->health);
  g_ptr_array_unref(found->errors);
  g_ptr_array_unref(found->leaks);
  g_free(found);
}

/* --- what is printed --- */

static void json_finding(JsonBuilder *builder, const Finding *found)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "pool", found->name);
  cli_json_strings(builder, "errors", (char **)found->errors->pdata, found->errors->len);
  cli_json_strings(builder, "leaks", (char **)found->leaks->pdata, found->leaks->len);
  cli_json_string(builder, "health", found->health);
  cli_json_boolean(builder, "ok", found->errors->len == 0);
  json_builder_end_object(builder);
}

/* One thin pool that was named stands by itself. */
static void print_json(GPtrArray *findings, gboolean one, gboolean ok)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  if (one) {
    json_finding(builder, findings->pdata[0]);
  } else {
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "pools");
    json_builder_begin_array(builder);
    for (guint i = 0; i < findings->len; i++)
      json_finding(builder, findings->pdata[i]);
    json_builder_end_array(builder);
    cli_json_boolean(builder, "ok", ok);
    json_builder_end_object(builder);
  }
  cli_json_print(builder);
}

static void print_text(const Finding *found)
{
  guint n_errors = found->errors->len, n_leaks = found->leaks->len;

  if (found->health && n_errors == 0) /* else that is what they say */
    printf("health: %s\n", found->health);
  for (guint i = 0; i < n_errors; i++)
    printf("error: %s\n", (char *)found->errors->pdata[i]);
  for (guint i = 0; i < n_leaks; i++)
    printf("leak: %s\n", (char *)found->leaks->pdata[i]);
  printf("%s: %u error%s, %u leak%s\n", found->name, n_errors, n_errors == 1 ? "" : "s", n_leaks,
         n_leaks == 1 ? "" : "s");
  if (n_errors > 0)
    printf("what can be mended, and how: virt-thin repair %s --dry-run\n", found->name);
}

/* How far a check is: a clock, and a bar where the engine tells more. */
typedef struct {
  const char *name;
  CliBusy *busy;
  CliProgress *bar;
} Show;

static void show_progress(guint64 done, guint64 total, gpointer data)
{
  Show *show = data;

  g_clear_pointer(&show->busy, cli_busy_free);
  if (!show->bar)
    show->bar = cli_progress_new(total, "checking %s", show->name);
  cli_progress_update(show->bar, done);
}

/* --- mending --- */

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

static gboolean mend_leaks(const char *vg, const char *name, const PoolWhere *where, GError **error)
{
  g_autoptr(GError) local = NULL;
  guint n = 0;

  if (!check_holder(vg, name, where,
                    "check and mend it: lvchange -ay --config "
                    "'global/thin_check_options=[\"-q\",\"--auto-repair\"]'",
                    error))
    return FALSE;
  if (pool_mend_leaks(vg, name, where, &n, &local)) {
    if (n)
      cli_warn("%s/%s: %u leak%s mended", vg, name, n, n == 1 ? " was" : "s were");
    return TRUE;
  }
  if (g_error_matches(local, VT_ERROR, EBADMSG))
    return vt_set_error(error, EBADMSG,
                        "thin pool %s/%s: nothing was mended, for there is more than leaks and "
                        "needs_check: %s. See what can be done: virt-thin repair %s/%s",
                        vg, name, local->message, vg, name);
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

static gboolean mend_first(const char *vg, const char *name, const PoolWhere *where, GError **error)
{
  return (!clear || clear_mark(vg, name, where, error)) &&
         (!auto_repair || mend_leaks(vg, name, where, error));
}

/* --- checking --- */

/* What @local says of @name is a finding; else it is an error. */
static gboolean take_failure(Finding *found, GError *local, GError **error)
{
  if (!is_finding(local)) {
    g_propagate_error(error, local);
    return FALSE;
  }
  g_ptr_array_add(found->errors, g_strdup(local->message));
  g_error_free(local);
  return TRUE;
}

static gboolean check_pool(VolumeGroup *group, const char *vg, const char *name,
                           GPtrArray *findings, GError **error)
{
  Finding *found = finding_new(g_strdup_printf("%s/%s", vg, name));
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(PoolInfo) info = NULL;
  Show show = {found->name, cli_busy_new("checking %s", found->name), NULL};
  const PoolCheckOptions options = {quick, show_progress, &show};
  GError *local = NULL;

  g_ptr_array_add(findings, found);
  if (pool_check_as(group, name, &options, &errors, &leaks, &local) && !quick)
    info = pool_get_info(group, name, NULL);
  cli_busy_free(show.busy);
  cli_progress_free(show.bar);
  if (local)
    return take_failure(found, local, error);
  g_ptr_array_unref(found->errors);
  g_ptr_array_unref(found->leaks);
  found->errors = g_steal_pointer(&errors);
  found->leaks = g_steal_pointer(&leaks);
  found->health = info ? g_strdup(info->health) : NULL;
  return TRUE;
}

/* A service knows its thin pools; else the text does, which is read without a look at them. Of char
 * *, the caller's. */
static GPtrArray *list_pools(VolumeGroup *group, const char *vg, const PoolWhere *where,
                             GError **error)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) infos = NULL;
  g_autoptr(PoolVg) found = NULL;

  if (pool_get_holder(group) != POOL_HOLDER_SERVICE && (found = pool_find_vg(vg, where))) {
    for (guint i = 0; i < found->thin_pools->len; i++)
      g_ptr_array_add(names, g_strdup(found->thin_pools->pdata[i]));
    return names;
  }
  if (!(infos = pool_list_pools(group, error)))
    g_clear_pointer(&names, g_ptr_array_unref);
  for (guint i = 0; infos && i < infos->len; i++)
    g_ptr_array_add(names, g_strdup(((PoolInfo *)infos->pdata[i])->name));
  return names;
}

static gboolean check_pools(VolumeGroup *group, const char *vg, const PoolWhere *where,
                            GPtrArray *findings, GError **error)
{
  g_autoptr(GPtrArray) names = list_pools(group, vg, where, error);

  for (guint i = 0; names && i < names->len; i++)
    if (!check_pool(group, vg, names->pdata[i], findings, error))
      return FALSE;
  return names != NULL;
}

/* Thin pool @name of @vg; NULL: all of them. */
static gboolean check_vg(const char *vg, const char *name, const PoolWhere *where,
                         GPtrArray *findings, GError **error)
{
  GError *local = NULL;
  VolumeGroup *group = pool_open(vg, where, &local);
  gboolean ok;

  if (!group) {
    Finding *found = finding_new(name ? g_strdup_printf("%s/%s", vg, name) : g_strdup(vg));

    g_ptr_array_add(findings, found);
    return take_failure(found, local, error);
  }
  ok = name ? check_pool(group, vg, name, findings, error)
            : check_pools(group, vg, where, findings, error);
  return cli_close(group, ok ? error : NULL) && ok;
}

/* Every volume group there is; those that cannot be looked at are told, and the rest checked. */
static gboolean check_all(PoolWhere *where, GPtrArray *findings)
{
  gboolean ok;
  g_autoptr(GPtrArray) vgs = cli_list_vgs(where, &ok);

  for (guint i = 0; i < vgs->len; i++) {
    const PoolVg *vg = vgs->pdata[i];
    g_autoptr(GError) local = NULL;

    ok = ok && !vg->twice;
    if (vg->twice || check_vg(vg->name, NULL, where, findings, &local))
      continue;
    cli_warn("%s", local->message);
    ok = FALSE;
  }
  return ok;
}

static int finish(GPtrArray *findings, gboolean one, gboolean ok)
{
  for (guint i = 0; i < findings->len; i++)
    ok = ok && ((Finding *)findings->pdata[i])->errors->len == 0;
  if (json)
    print_json(findings, one, ok);
  for (guint i = 0; !json && i < findings->len; i++)
    print_text(findings->pdata[i]);
  return cli_status(ok);
}

static int run_check(char **args, GError **error)
{
  g_autoptr(GPtrArray) findings = g_ptr_array_new_with_free_func((GDestroyNotify)finding_free);
  g_autofree char *vg = NULL, *name = NULL;
  PoolWhere where = cli_where_patient(0);
  g_autoptr(PoolLook) look = pool_look_new();
  gboolean ok = TRUE;

  if (args && !cli_split_optional(args[0], &vg, &name, error))
    return CLI_WRONG_USAGE;
  if (!name && (clear || auto_repair))
    return cli_usage(error, "which thin pool is to be mended? VG/POOL is wanted"), CLI_WRONG_USAGE;
  where.look = look;
  if (name && !mend_first(vg, name, &where, error))
    return CLI_FAILED;
  where.flags = POOL_READ_ONLY;
  if (!vg)
    ok = check_all(&where, findings);
  else if (!check_vg(vg, name, &where, findings, error))
    return CLI_FAILED;
  return finish(findings, name != NULL, ok);
}

static const GOptionEntry check_options[] = {
    {"clear-needs-check", 0, 0, G_OPTION_ARG_NONE, &clear,
     "Take back the mark needs_check, if there are no other errors", NULL},
    {"quick", 0, 0, G_OPTION_ARG_NONE, &quick,
     "Only the superblock, the roots, and whether the volumes agree", NULL},
    {"auto-repair", 0, 0, G_OPTION_ARG_NONE, &auto_repair,
     "Mend leaks and needs_check, if there is nothing else", NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_check = {
    .name = "check",
    .arguments = "[VG[/POOL]]",
    .summary = "Check the metadata of thin pools",
    .description =
        "Exit status 1 when there are errors; a thin device that is known to no volume is one. "
        "Leaks - "
        "chunks or blocks that are counted and not used - are harmless. Of a volume group, or "
        "without an "
        "argument of all there are: every thin pool. Changes nothing, but\n"
        "with --clear-needs-check the mark that a failed commit leaves, and that keeps a pool from "
        "being "
        "opened for writing. 'virt-thin repair' mends what it finds.",
    .options = check_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_check,
};
