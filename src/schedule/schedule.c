/* virt-thin - schedules: what is done again and again, and when
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/schedule.h"

#include <string.h>

#include "pool/guest.h"
#include "util/name.h"

#define NAME_MAX_LENGTH 64

const char *const schedule_kinds[SCHEDULE_N_KINDS] = {[SCHEDULE_SNAPSHOT] = "snapshot",
                                                      [SCHEDULE_BACKUP] = "backup",
                                                      [SCHEDULE_REPLICATE] = "replicate"};

void schedule_free(Schedule *schedule)
{
  if (!schedule)
    return;
  g_free(schedule->name);
  g_strfreev(schedule->what);
  g_free(schedule->when);
  g_free(schedule->delay);
  g_free(schedule->to);
  g_free(schedule->ssh);
  g_free(schedule);
}

gboolean schedule_check_name(const char *name, GError **error)
{
  gsize length = strlen(name), legal = strspn(name, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "._-");
  g_autofree char *shown = g_strescape(name, NULL);

  return (length && length == legal && length <= NAME_MAX_LENGTH && g_ascii_isalnum(*name)) ||
         vt_set_error(error, EINVAL,
                      "\"%s\" is no name for a schedule: it is made of letters, digits, \".\", "
                      "\"_\" and \"-\", begins with a letter or digit, and has %d at most",
                      shown, NAME_MAX_LENGTH);
}

gboolean schedule_parse_kind(const char *word, ScheduleKind *kind, GError **error)
{
  for (guint i = 0; i < SCHEDULE_N_KINDS; i++)
    if (strcmp(word, schedule_kinds[i]) == 0) {
      *kind = (ScheduleKind)i;
      return TRUE;
    }
  return vt_set_error(error, EINVAL,
                      "\"%s\" is no kind of schedule: give snapshot, backup or replicate", word);
}

/* "VG/NAME", or a VMID. */
static gboolean check_item(const char *item, GError **error)
{
  const char *slash = strchr(item, '/');
  g_autofree char *vg = slash ? g_strndup(item, slash - item) : NULL,
                  *shown = g_strescape(item, NULL);
  g_autoptr(GError) local = NULL;

  if (slash ? vt_vg_name_check(vg, &local) && vt_lv_name_check(slash + 1, &local)
            : pool_guest_is_vmid(item))
    return TRUE;
  return vt_set_error(error, EINVAL,
                      "what: \"%s\" is neither VG/LV or VG/POOL, nor the number of a guest%s%s",
                      shown, local ? ": " : "", local ? local->message : "");
}

static gboolean has_control(const char *text)
{
  for (; text && *text; text++)
    if (g_ascii_iscntrl(*text))
      return TRUE;
  return FALSE;
}

gboolean schedule_split_peer(const char *to, char **host, char **vg, char **pool, GError **error)
{
  const char *colon = to ? strrchr(to, ':') : NULL, *slash = colon ? strchr(colon, '/') : NULL;
  g_autofree char *shown = g_strescape(to ? to : "", NULL);
  g_autofree char *its_vg = slash ? g_strndup(colon + 1, slash - colon - 1) : NULL;

  if (!slash || colon == to || *to == '-' || strchr(to, ' ') || !vt_vg_name_check(its_vg, NULL) ||
      !vt_lv_name_check(slash + 1, NULL))
    return vt_set_error(error, EINVAL, "to: \"%s\" is not HOST:VG/POOL", shown);
  *host = g_strndup(to, colon - to);
  *vg = g_steal_pointer(&its_vg);
  *pool = g_strdup(slash + 1);
  return TRUE;
}

static gboolean check_to(const Schedule *s, GError **error)
{
  g_autofree char *host = NULL, *vg = NULL, *pool = NULL;

  if (s->kind != SCHEDULE_REPLICATE && s->ssh)
    return vt_set_error(error, EINVAL, "ssh: a %s goes to no other host", schedule_kinds[s->kind]);
  switch (s->kind) {
  case SCHEDULE_BACKUP:
    return (s->to && g_path_is_absolute(s->to)) ||
           vt_set_error(error, EINVAL, "to: a backup needs a folder, with its full path");
  case SCHEDULE_REPLICATE: return schedule_split_peer(s->to, &host, &vg, &pool, error);
  default:
    return !s->to || vt_set_error(error, EINVAL, "to: a %s has no folder", schedule_kinds[s->kind]);
  }
}

gboolean schedule_check(const Schedule *s, GError **error)
{
  if (!schedule_check_name(s->name, error))
    return FALSE;
  if (!s->what || !s->what[0])
    return vt_set_error(error, EINVAL,
                        "what: nothing is named: give VG/LV, VG/POOL or the number of a guest");
  for (char **item = s->what; *item; item++)
    if (!check_item(*item, error))
      return FALSE;
  if (has_control(s->when) || has_control(s->delay) || has_control(s->to) || has_control(s->ssh))
    return vt_set_error(error, EINVAL, "when, delay, to and ssh are one line each");
  return check_to(s, error);
}

char *schedule_describe_what(const Schedule *schedule)
{
  return g_strjoinv(", ", schedule->what);
}
