/* virt-thin - schedules: systemd's timers
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/timers.h"

#include <string.h>
#include <unistd.h>

#include "settings/settings.h"
#include "util/files.h"
#include "util/systemd.h"

#define UNIT_PREFIX "virt-thin-schedule@"
#define UNIT_SUFFIX ".timer"
#define WANTS "timers.target.wants"
#define MARK                                                                                       \
  "# Written by " VIRT_THIN_BINDIR                                                                 \
  "/virt-thin schedule, which changes and removes it, too: it is "                                 \
  "what\n# virt-thin.conf says.\n"

gboolean timers_check(const Schedule *s, GError **error)
{
  const char *bad = NULL;
  g_autoptr(GError) local = NULL;

  if (s->when && !systemd_check("calendar", s->when, &local))
    bad = "when";
  else if (s->delay && !systemd_check("timespan", s->delay, &local))
    bad = "delay";
  if (!bad)
    return TRUE;
  vt_set_error(error, local->code, "schedule %s: %s: %s%s", s->name, bad, local->message,
               local->code == EOPNOTSUPP
                   ? "; without a time it runs when something calls virt-thin schedule run"
                   : "");
  return FALSE;
}

/* What systemd starts has the environment of systemd. */
static gboolean check_environment(GError **error)
{
  static const char *const variables[] = {"VIRT_THIN_CONFIG", "VIRT_THIN_STATE_DIR",
                                          "VIRT_THIN_RUNTIME_DIR"};

  for (gsize i = 0; !g_getenv("VIRT_THIN_UNIT_DIR") && i < G_N_ELEMENTS(variables); i++)
    if (g_getenv(variables[i]))
      return vt_set_error(error, EINVAL,
                          "%s is set here, and is not where systemd starts a schedule: unset it, "
                          "or leave the time out and call virt-thin schedule run",
                          variables[i]);
  return TRUE;
}

static gboolean is_told(void)
{
  return !g_getenv("VIRT_THIN_UNIT_DIR") && systemd_runs();
}

/* --- units --- */

static char *unit_of(const char *name)
{
  return g_strconcat(UNIT_PREFIX, name, UNIT_SUFFIX, NULL);
}

static char *unit_text(const Schedule *s)
{
  g_autofree char *what = schedule_describe_what(s);
  g_autofree char *delay = s->delay ? g_strdup_printf("RandomizedDelaySec=%s\n", s->delay) : NULL;

  return g_strdup_printf(MARK "[Unit]\nDescription=virt-thin schedule %s: %s of %s\n"
                              "Documentation=man:virt-thin(1)\n\n[Timer]\nOnCalendar=%s\n"
                              "Persistent=true\n%s\n[Install]\nWantedBy=timers.target\n",
                         s->name, schedule_kinds[s->kind], what, s->when, delay ? delay : "");
}

/* Units of ours in @folder. Of char *; the caller's. */
static GPtrArray *list_units(const char *folder)
{
  GPtrArray *units = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;

    if (g_str_has_prefix(name, UNIT_PREFIX) && g_str_has_suffix(name, UNIT_SUFFIX) &&
        g_file_get_contents(path, &text, NULL, NULL) && g_str_has_prefix(text, MARK))
      g_ptr_array_add(units, g_strdup(name));
  }
  return units;
}

/* systemctl @word... for @units, none of which is all right. */
static gboolean tell(const char *const *words, GPtrArray *units, GError **error)
{
  g_autoptr(GPtrArray) args = g_ptr_array_new();

  if (units->len == 0)
    return TRUE;
  for (; *words; words++)
    g_ptr_array_add(args, (char *)*words);
  for (guint i = 0; i < units->len; i++)
    g_ptr_array_add(args, units->pdata[i]);
  g_ptr_array_add(args, NULL);
  return systemd_tell((const char *const *)args->pdata, error);
}

#define TELL(units, error, ...) tell((const char *const[]){__VA_ARGS__, NULL}, units, error)

/* When it last ran goes, too: of the same name another may come, which has missed nothing. */
static gboolean remove_units(const char *folder, GPtrArray *units, gboolean told, GError **error)
{
  g_autofree char *wants = g_build_filename(folder, WANTS, NULL);

  if (told && !TELL(units, error, "stop"))
    return FALSE;
  if (told)
    TELL(units, NULL, "clean", "--what=state");
  for (guint i = 0; i < units->len; i++)
    if (!files_remove(wants, units->pdata[i], TRUE, error) ||
        !files_remove(folder, units->pdata[i], FALSE, error))
      return FALSE;
  if (units->len > 0)
    rmdir(wants); /* stays when something else is in it */
  return TRUE;
}

/* *changed: it was not there as it is now. */
static gboolean write_unit(const char *folder, const Schedule *s, const char *unit,
                           gboolean *changed, GError **error)
{
  g_autofree char *path = g_build_filename(folder, unit, NULL), *text = unit_text(s),
                  *wants = g_build_filename(folder, WANTS, NULL),
                  *link = g_build_filename(wants, unit, NULL),
                  *target = g_build_filename("..", unit, NULL), *old = NULL, *leads = NULL;

  g_file_get_contents(path, &old, NULL, NULL);
  leads = g_file_read_link(link, NULL);
  *changed = g_strcmp0(old, text) != 0 || g_strcmp0(leads, target) != 0;
  return !*changed ||
         (files_make_folder(wants, error) && files_write(path, text, -1, 0644, error) &&
          files_link(wants, unit, target, error));
}

/* --- all of them --- */

static gboolean is_wanted(const Schedule *s)
{
  return s->enabled && s->when;
}

/* Those of @units that neither @schedules nor @leave want; takes @units. */
static GPtrArray *find_unwanted(GPtrArray *units, GPtrArray *schedules, const char *const *leave)
{
  g_autoptr(GHashTable) wanted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < schedules->len; i++)
    if (is_wanted(schedules->pdata[i]))
      g_hash_table_add(wanted, unit_of(((const Schedule *)schedules->pdata[i])->name));
  for (; leave && *leave; leave++)
    g_hash_table_add(wanted, unit_of(*leave));
  for (guint i = units->len; i-- > 0;)
    if (g_hash_table_contains(wanted, units->pdata[i]))
      g_ptr_array_remove_index(units, i);
  return units;
}

static gboolean start(GPtrArray *changed, GPtrArray *same, gboolean gone, GError **error)
{
  const char *const reload[] = {"daemon-reload", NULL};

  if (!is_told())
    return TRUE;
  return ((changed->len == 0 && !gone) || systemd_tell(reload, error)) &&
         TELL(changed, error, "restart") && TELL(same, error, "start");
}

gboolean timers_apply(GPtrArray *schedules, const char *const *leave, guint *n_made,
                      guint *n_removed, GError **error)
{
  g_autofree char *folder = settings_unit_dir();
  g_autoptr(GPtrArray) unwanted = find_unwanted(list_units(folder), schedules, leave),
                       changed = g_ptr_array_new_with_free_func(g_free),
                       same = g_ptr_array_new_with_free_func(g_free);
  gboolean any = unwanted->len > 0;

  for (guint i = 0; i < schedules->len; i++)
    any = any || is_wanted(schedules->pdata[i]);
  if (any && (!check_environment(error) || !remove_units(folder, unwanted, is_told(), error)))
    return FALSE;
  for (guint i = 0; i < schedules->len; i++) {
    const Schedule *s = schedules->pdata[i];
    g_autofree char *unit = unit_of(s->name);
    gboolean is_new = FALSE;

    if (is_wanted(s) && !write_unit(folder, s, unit, &is_new, error))
      return FALSE;
    if (is_wanted(s))
      g_ptr_array_add(is_new ? changed : same, g_steal_pointer(&unit));
  }
  *n_made = changed->len;
  *n_removed = unwanted->len;
  return start(changed, same, unwanted->len > 0, error);
}

/* What is installed, and enabled by the administrator: where the link is, and of what unit. */
static const struct {
  const char *wants, *unit;
} optional_units[] = {
    {WANTS, "virt-thin-check.timer"},
    {WANTS, "virt-thin-metrics.timer"},
    {"sockets.target.wants", "virt-thin-metrics.socket"},
};

static gboolean disable_optional(const char *folder, gboolean told, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS(optional_units); i++) {
    const char *unit = optional_units[i].unit, *const stop[] = {"stop", unit, NULL};
    g_autofree char *wants = g_build_filename(folder, optional_units[i].wants, NULL),
                    *link = g_build_filename(wants, unit, NULL);

    if (!g_file_test(link, G_FILE_TEST_IS_SYMLINK))
      continue;
    if ((told && !systemd_tell(stop, error)) || !files_remove(wants, unit, TRUE, error))
      return FALSE;
    rmdir(wants); /* stays when something else is in it */
  }
  return TRUE;
}

gboolean timers_remove(const char *folder, gboolean told, guint *n_removed, GError **error)
{
  g_autoptr(GPtrArray) units = list_units(folder);
  const char *const reload[] = {"daemon-reload", NULL};

  *n_removed = units->len;
  told = told && is_told();
  return disable_optional(folder, told, error) && remove_units(folder, units, told, error) &&
         (!told || units->len == 0 || systemd_tell(reload, error));
}

gint64 timers_next(const Schedule *s)
{
  g_autofree char *unit = unit_of(s->name);

  return is_wanted(s) && is_told() ? systemd_ask_time(unit, "NextElapseUSecRealtime") : 0;
}
