/* virt-thin - what /proc tells of processes, locks and mounts
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/proc.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

char *vt_printable(const char *text)
{
  g_autofree char *valid = g_utf8_make_valid(text, -1);
  GString *shown = g_string_new(NULL);

  for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
    gunichar c = g_utf8_get_char(at);

    g_string_append_unichar(shown, g_unichar_isprint(c) && c != 0xfffd ? c : '?');
  }
  return g_string_free(shown, FALSE);
}

char *vt_process_name(pid_t pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int)pid);
  g_autofree char *comm = NULL;

  if (!g_file_get_contents(path, &comm, NULL, NULL))
    return NULL;
  if (g_str_has_suffix(comm, "\n"))
    comm[strlen(comm) - 1] = '\0';
  return vt_printable(comm);
}

static GStrv read_lines(const char *path)
{
  g_autofree char *text = NULL;

  g_file_get_contents(path, &text, NULL, NULL);
  return g_strsplit(text ? text : "", "\n", -1);
}

/* "1: FLOCK  ADVISORY  WRITE 123 00:2f:4711 0 EOF" */
gboolean vt_flock_holder(const struct stat *st, pid_t *holder)
{
  g_autofree char *inode = g_strdup_printf("%02x:%02x:%" G_GUINT64_FORMAT, major(st->st_dev),
                                           minor(st->st_dev), (guint64)st->st_ino);
  g_auto(GStrv) lines = read_lines("/proc/locks");
  char kind[16], where[64];
  int pid;

  for (char **line = lines; *line; line++) {
    if (sscanf(*line, "%*s %15s %*s %*s %d %63s", kind, &pid, where) != 3 ||
        strcmp(kind, "FLOCK") != 0 || strcmp(where, inode) != 0)
      continue;
    if (holder)
      *holder = MAX(pid, 0);
    return TRUE;
  }
  return FALSE;
}

static void mount_clear(gpointer data)
{
  VtMount *mount = data;

  g_free(mount->source);
  g_free(mount->where);
}

/* "36 35 98:0 / /mnt rw,noatime shared:1 - ext4 /dev/nbd0 rw"; a blank in a path is \040. */
GArray *vt_list_mounts(const char *pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%s/mountinfo", pid);
  GArray *mounts = g_array_new(FALSE, FALSE, sizeof(VtMount));
  g_auto(GStrv) lines = read_lines(path);
  unsigned major_number, minor_number;

  g_array_set_clear_func(mounts, mount_clear);
  for (char **line = lines; *line; line++) {
    char *rest = strstr(*line, " - ");
    g_auto(GStrv) words = g_strsplit(*line, " ", 6), source = g_strsplit(rest ? rest : "", " ", 5);

    if (g_strv_length(words) < 6 || g_strv_length(source) < 4 ||
        sscanf(words[2], "%u:%u", &major_number, &minor_number) != 2)
      continue;
    VtMount mount = {(guint)g_ascii_strtoull(words[0], NULL, 10),
                     makedev(major_number, minor_number), g_strcompress(source[3]),
                     g_strcompress(words[4])};
    g_array_append_val(mounts, mount);
  }
  return mounts;
}

gboolean vt_is_mounted(const char *folder)
{
  g_autoptr(GArray) mounts = vt_list_mounts("self");

  for (guint i = 0; i < mounts->len; i++)
    if (strcmp(g_array_index(mounts, VtMount, i).where, folder) == 0)
      return TRUE;
  return FALSE;
}
