/* virt-thin - which backups of a folder are kept
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/prune.h"

#include <string.h>

static gint by_text(gconstpointer a, gconstpointer b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of which volumes it is, in any order; the caller's. */
static char *volumes_of(const BackupManifest *manifest)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < manifest->volumes->len; i++) {
    const BackupVolume *volume = manifest->volumes->pdata[i];

    g_ptr_array_add(names, g_strdup_printf("%s/%s", volume->vg, volume->lv));
  }
  g_ptr_array_sort(names, by_text);
  g_ptr_array_add(names, NULL);
  return g_strjoinv(" ", (char **)names->pdata);
}

/* Decide about those that are of the volumes that @list[first] is of: FALSE in @keep[i]. */
static void decide(GPtrArray *list, char **volumes, guint first, const VtKeep *retention,
                   gboolean *keep)
{
  g_autofree gint64 *times = g_new(gint64, list->len);
  g_autofree gboolean *kept = g_new0(gboolean, list->len);
  g_autofree guint *which = g_new(guint, list->len);
  guint n = 0;

  for (guint i = first; i < list->len; i++)
    if (strcmp(volumes[i], volumes[first]) == 0) {
      times[n] = ((BackupManifest *)list->pdata[i])->time;
      which[n++] = i;
    }
  vt_keep_select(retention, times, n, kept);
  for (guint i = 0; i < n; i++)
    keep[which[i]] = kept[i];
}

/* FALSE: it was kept before, or is not there. */
static gboolean keep_one(GPtrArray *list, const BackupManifest *manifest, gboolean *keep)
{
  guint where;

  if (!manifest || !g_ptr_array_find(list, manifest, &where) || keep[where])
    return FALSE;
  keep[where] = TRUE;
  return TRUE;
}

/* The full image that @volume is based on, by increments that can go: they are merged. Where one of
 * them is missing nothing can be. */
static guint keep_base(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                       gboolean *keep)
{
  GPtrArray *list = backup_folder_list(folder);
  g_autoptr(GArray) chain = backup_folder_chain(folder, manifest, volume, NULL);
  BackupManifest *parent = volume->parent ? backup_folder_find(folder, volume->parent) : NULL;

  return keep_one(list, chain ? g_array_index(chain, BackupLink, 0).manifest : parent, keep);
}

/* Those are older, and before it in the list. How many. */
static guint keep_needed(BackupFolder *folder, gboolean *keep)
{
  GPtrArray *list = backup_folder_list(folder);
  guint n = 0;

  for (guint i = list->len; i-- > 0;) {
    BackupManifest *manifest = list->pdata[i];

    for (guint j = 0; keep[i] && j < manifest->volumes->len; j++)
      n += keep_base(folder, manifest, manifest->volumes->pdata[j], keep);
  }
  return n;
}

GPtrArray *backup_prune_select(BackupFolder *folder, const VtKeep *retention,
                               const BackupManifest *like, guint *needed)
{
  GPtrArray *list = backup_folder_list(folder), *gone = g_ptr_array_new_with_free_func(g_free);
  g_autofree gboolean *keep = g_new(gboolean, list->len);
  g_auto(GStrv) volumes = g_new0(char *, list->len + 1);
  g_autofree char *wanted = like ? volumes_of(like) : NULL;
  g_autoptr(GHashTable) done = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; i < list->len; i++) {
    volumes[i] = volumes_of(list->pdata[i]);
    keep[i] = TRUE;
  }
  for (guint i = 0; i < list->len; i++)
    if ((!wanted || strcmp(volumes[i], wanted) == 0) && g_hash_table_add(done, volumes[i]))
      decide(list, volumes, i, retention, keep);
  *needed = keep_needed(folder, keep);
  for (guint i = list->len; i-- > 0;)
    if (!keep[i])
      g_ptr_array_add(gone, g_strdup(((BackupManifest *)list->pdata[i])->id));
  return gone;
}
