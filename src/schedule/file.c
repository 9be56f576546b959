/* virt-thin - schedules: the sections of virt-thin.conf, read and changed
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schedule/schedule.h"
#include "settings/settings.h"
#include "util/files.h"

#define GROUP "schedule "

struct ScheduleFile {
  GKeyFile *keys;
  char *path;
  int lock; /* the folder, locked; -1 */
  struct stat st;
};

/* --- open, close, save --- */

/* The folder is what is locked: the file itself is replaced when it is saved. */
static gboolean lock_folder(ScheduleFile *file, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(file->path);

  if (!files_make_folder(folder, error))
    return FALSE;
  file->lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return (file->lock >= 0 && flock(file->lock, LOCK_EX) == 0) ||
         vt_set_errno(error, errno, "cannot lock folder %s", folder);
}

/* Where a link leads: it stays one. */
static char *real_path(char *path)
{
  char *real = realpath(path, NULL), *copy = real ? g_strdup(real) : path;

  if (real)
    g_free(path);
  free(real);
  return copy;
}

ScheduleFile *schedule_file_open(gboolean for_change, GError **error)
{
  g_autoptr(ScheduleFile) file = g_new0(ScheduleFile, 1);
  g_autofree char *text = NULL;
  g_autoptr(GError) local = NULL;
  gsize length;

  file->lock = -1;
  file->path = real_path(settings_config_file());
  file->keys = g_key_file_new();
  file->st.st_mode = 0644;
  if (for_change && !lock_folder(file, error))
    return NULL;
  if (!g_file_get_contents(file->path, &text, &length, &local)) {
    if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      return g_steal_pointer(&file);
    vt_set_error(error, EIO, "%s", local->message);
    return NULL;
  }
  if (stat(file->path, &file->st) < 0 ||
      !g_key_file_load_from_data(file->keys, text, length,
                                 G_KEY_FILE_KEEP_COMMENTS | G_KEY_FILE_KEEP_TRANSLATIONS, &local)) {
    vt_set_error(error, EINVAL, "%s: %s", file->path, local ? local->message : g_strerror(errno));
    return NULL;
  }
  return g_steal_pointer(&file);
}

void schedule_file_close(ScheduleFile *file)
{
  if (!file)
    return;
  g_key_file_unref(file->keys);
  g_free(file->path);
  if (file->lock >= 0)
    close(file->lock);
  g_free(file);
}

gboolean schedule_file_save(ScheduleFile *file, GError **error)
{
  gsize length;
  g_autofree char *text = g_key_file_to_data(file->keys, &length, NULL);

  if (!files_write(file->path, text, (gssize)length, file->st.st_mode & 07777, error))
    return FALSE;
  return geteuid() != 0 || chown(file->path, file->st.st_uid, file->st.st_gid) == 0 ||
         vt_set_errno(error, errno, "%s: its owner", file->path);
}

/* --- reading --- */

static char *group_of(const char *name)
{
  return g_strconcat(GROUP, name, NULL);
}

GStrv schedule_file_names(ScheduleFile *file)
{
  g_auto(GStrv) groups = g_key_file_get_groups(file->keys, NULL);
  GPtrArray *names = g_ptr_array_new();

  for (char **group = groups; *group; group++)
    if (g_str_has_prefix(*group, GROUP))
      g_ptr_array_add(names, g_strdup(*group + strlen(GROUP)));
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(names, FALSE);
}

static GStrv split(const char *text)
{
  g_auto(GStrv) parts = g_strsplit(text, ";", -1);
  GPtrArray *items = g_ptr_array_new();

  for (char **part = parts; *part; part++)
    if (*g_strstrip(*part))
      g_ptr_array_add(items, g_strdup(*part));
  g_ptr_array_add(items, NULL);
  return (GStrv)g_ptr_array_free(items, FALSE);
}

static gboolean parse_yes(const char *key, const char *value, gboolean *yes, GError **error)
{
  *yes = strcmp(value, "yes") == 0;
  return *yes || strcmp(value, "no") == 0 ||
         vt_set_error(error, EINVAL, "%s: \"%s\" is neither yes nor no", key, value);
}

/* keep-all=1, or a rule. */
static gboolean read_keep(Schedule *s, const char *key, const char *value, gboolean *all,
                          GError **error)
{
  if (strcmp(key, "keep-all") != 0)
    return vt_keep_set(&s->keep, key, value, error);
  *all = strcmp(value, "1") == 0;
  return *all || vt_set_error(error, EINVAL, "keep-all: \"%s\" is not 1", value);
}

/* What is not understood must not pass: it may have been what keeps. */
static gboolean read_key(Schedule *s, const char *key, char *value, gboolean *all, GError **error)
{
  if (strcmp(key, "kind") == 0)
    return schedule_parse_kind(value, &s->kind, error);
  if (strcmp(key, "enabled") == 0)
    return parse_yes(key, value, &s->enabled, error);
  if (g_str_has_prefix(key, "keep-"))
    return read_keep(s, key, value, all, error);
  if (strcmp(key, "what") == 0) {
    g_strfreev(s->what);
    s->what = split(value);
    return TRUE;
  }
  char **text = strcmp(key, "when") == 0    ? &s->when
                : strcmp(key, "delay") == 0 ? &s->delay
                : strcmp(key, "to") == 0    ? &s->to
                : strcmp(key, "ssh") == 0   ? &s->ssh
                                            : NULL;
  if (!text)
    return vt_set_error(error, EINVAL, "there is no key \"%s\"", key);
  g_free(*text);
  *text = *value ? g_strdup(value) : NULL;
  return TRUE;
}

static gboolean read_keys(ScheduleFile *file, const char *group, Schedule *s, GError **error)
{
  g_auto(GStrv) keys = g_key_file_get_keys(file->keys, group, NULL, NULL);
  gboolean all = FALSE;

  for (char **key = keys; key && *key; key++) {
    g_autofree char *value = g_key_file_get_string(file->keys, group, *key, error);

    if (!value || !read_key(s, *key, g_strstrip(value), &all, error))
      return FALSE;
  }
  if (!g_key_file_has_key(file->keys, group, "kind", NULL))
    return vt_set_error(error, EINVAL, "kind: give snapshot, backup or replicate");
  if (all && !vt_keep_is_all(&s->keep))
    return vt_set_error(error, EINVAL, "keep-all=1 and another rule contradict each other");
  if (!all && s->kind != SCHEDULE_BACKUP && vt_keep_is_all(&s->keep))
    return vt_set_error(error, EINVAL,
                        "nothing says how many snapshots are kept: give keep-daily=7 or the like, "
                        "or keep-all=1");
  return schedule_check(s, error);
}

Schedule *schedule_file_get(ScheduleFile *file, const char *name, GError **error)
{
  g_autofree char *group = group_of(name), *shown = g_strescape(name, NULL);
  g_autoptr(Schedule) s = g_new0(Schedule, 1);
  g_autoptr(GError) local = NULL;

  if (!g_key_file_has_group(file->keys, group)) {
    vt_set_error(error, ENOENT, "there is no schedule \"%s\" in %s", shown, file->path);
    return NULL;
  }
  s->name = g_strdup(name);
  s->enabled = TRUE;
  if (read_keys(file, group, s, &local))
    return g_steal_pointer(&s);
  vt_set_error(error, EINVAL, "%s: [schedule %s] %s", file->path, shown, local->message);
  return NULL;
}

/* --- changing --- */

static void set_keep(GKeyFile *keys, const char *group, const Schedule *s)
{
  g_autofree char *text = vt_keep_format(&s->keep);
  g_auto(GStrv) parts = g_strsplit(text, ",", -1);

  if (s->kind == SCHEDULE_BACKUP && vt_keep_is_all(&s->keep))
    return;
  for (char **part = parts; *part; part++) {
    char *value = strchr(*part, '=');

    *value++ = '\0';
    g_key_file_set_string(keys, group, *part, value);
  }
}

gboolean schedule_file_add(ScheduleFile *file, const Schedule *s, GError **error)
{
  g_autofree char *group = group_of(s->name), *what = g_strjoinv(";", s->what);

  if (!schedule_check(s, error))
    return FALSE;
  if (g_key_file_has_group(file->keys, group))
    return vt_set_error(error, EEXIST, "there is a schedule %s already, in %s", s->name,
                        file->path);
  g_key_file_set_string(file->keys, group, "kind", schedule_kinds[s->kind]);
  g_key_file_set_string(file->keys, group, "what", what);
  if (s->when)
    g_key_file_set_string(file->keys, group, "when", s->when);
  if (s->delay)
    g_key_file_set_string(file->keys, group, "delay", s->delay);
  if (s->to)
    g_key_file_set_string(file->keys, group, "to", s->to);
  if (s->ssh)
    g_key_file_set_string(file->keys, group, "ssh", s->ssh);
  set_keep(file->keys, group, s);
  if (!s->enabled)
    g_key_file_set_string(file->keys, group, "enabled", "no");
  return TRUE;
}

static gboolean require_group(ScheduleFile *file, const char *group, const char *name,
                              GError **error)
{
  g_autofree char *shown = g_strescape(name, NULL);

  return g_key_file_has_group(file->keys, group) ||
         vt_set_error(error, ENOENT, "there is no schedule \"%s\" in %s", shown, file->path);
}

gboolean schedule_file_remove(ScheduleFile *file, const char *name, GError **error)
{
  g_autofree char *group = group_of(name);

  return require_group(file, group, name, error) &&
         g_key_file_remove_group(file->keys, group, NULL);
}

gboolean schedule_file_enable(ScheduleFile *file, const char *name, gboolean enabled,
                              GError **error)
{
  g_autofree char *group = group_of(name);

  if (!require_group(file, group, name, error))
    return FALSE;
  if (enabled)
    g_key_file_remove_key(file->keys, group, "enabled", NULL);
  else
    g_key_file_set_string(file->keys, group, "enabled", "no");
  return TRUE;
}
