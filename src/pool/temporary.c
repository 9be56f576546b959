/* virt-thin - volumes that are for one use
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/temporary.h"

#include <string.h>
#include <unistd.h>

#include "pool/rules.h"

#define CLOSE_WAIT_MS 10000

/* --- whose is it? --- */

/* The eight digits that begin the id of this boot. */
static char *boot_id(void)
{
  char *text = NULL;

  if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL) ||
      strlen(text) < 8) {
    g_free(text);
    return g_strdup("00000000");
  }
  text[8] = 0;
  return text;
}

/* When process @pid was started, in the kernel's ticks; 0: there is none. */
static guint64 start_time(guint64 pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%" G_GUINT64_FORMAT "/stat", pid), *text = NULL;
  g_auto(GStrv) words = NULL;
  const char *rest;

  if (!g_file_get_contents(path, &text, NULL, NULL) || !(rest = strrchr(text, ')')))
    return 0;
  words = g_strsplit(rest + 1, " ", 0); /* from field 2's end on: 22 is the 20th behind it */
  return g_strv_length(words) > 20 ? g_ascii_strtoull(words[20], NULL, 10) : 0;
}

char *pool_temporary_suffix(void)
{
  g_autofree char *boot = boot_id();

  return g_strdup_printf("tmp.%s.%d.%" G_GUINT64_FORMAT, boot, (int)getpid(),
                         start_time((guint64)getpid()));
}

gboolean pool_temporary_is(const PoolVolumeInfo *info)
{
  return info->tags && g_strv_contains((const char *const *)info->tags, POOL_TEMPORARY_TAG) &&
         pool_rules_is_temporary_name(info->name);
}

/* Has the process that made it ended? */
static gboolean is_over(const char *name)
{
  g_autofree char *boot = boot_id();
  const char *owner = g_strrstr(name, "_tmp.") + strlen("_tmp.");
  g_auto(GStrv) words = g_strsplit(owner, ".", 3);

  return strcmp(words[0], boot) != 0 ||
         start_time(g_ascii_strtoull(words[1], NULL, 10)) != g_ascii_strtoull(words[2], NULL, 10);
}

/* --- volumes --- */

gboolean pool_temporary_remove(VolumeGroup *group, const char *name, GError **error)
{
  const char *names[] = {name, NULL};

  for (guint waited = 0;; waited += 50) {
    g_autoptr(GError) local = NULL;

    if (pool_remove(group, names, FALSE, &local) || g_error_matches(local, VT_ERROR, ENOENT))
      return TRUE;
    if (!g_error_matches(local, VT_ERROR, EBUSY) || waited >= CLOSE_WAIT_MS) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_usleep(50 * G_TIME_SPAN_MILLISECOND);
  }
}

void pool_temporary_clean(VolumeGroup *group)
{
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, NULL);

  for (guint i = 0; volumes && i < volumes->len; i++) {
    PoolVolumeInfo *info = volumes->pdata[i];
    const char *names[] = {info->name, NULL};
    g_autoptr(GError) error = NULL;

    if (pool_temporary_is(info) && is_over(info->name) &&
        !pool_remove(group, names, FALSE, &error) && !g_error_matches(error, VT_ERROR, EBUSY) &&
        !g_error_matches(error, VT_ERROR, ENOENT))
      g_warning("a temporary volume stays: %s", error->message);
  }
}
