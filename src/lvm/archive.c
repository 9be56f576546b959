/* virt-thin - earlier texts of a volume group, kept as lvm2 keeps them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 lib/format_text/archive.c: NAME_NNNNN-RANDOM.vg, in the form of vgcfgbackup, so that
 * vgcfgrestore takes them. When there are more than ten, those older than thirty days go (lvm.conf,
 * backup/retain_min and retain_days). The folder is read once per VG and then once an hour: a busy
 * VG's has thousands of files.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <glib/gstdio.h>

#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"

#define RETAIN_MIN 10
#define RETAIN_SECONDS (30 * 24 * 3600)
#define REREAD_SECONDS 3600

struct LvmArchive {
  char *dir, *vg_name;
  char *last; /* path of the last one written; NULL: none */
  guint next;
  gint64 read_at; /* monotonic, seconds; 0: never */
};

typedef struct {
  char *path;
  guint index;
} Old;

void lvm_archive_free(LvmArchive *archive)
{
  if (!archive)
    return;
  g_free(archive->dir);
  g_free(archive->vg_name);
  g_free(archive->last);
  g_free(archive);
}

static void old_clear(gpointer data)
{
  g_free(((Old *)data)->path);
}

static gint compare_old(gconstpointer a, gconstpointer b)
{
  const Old *x = a, *y = b;

  return x->index < y->index ? -1 : x->index > y->index;
}

/* The number of archive @name of VG @vg_name; FALSE: it is none. */
static gboolean parse_name(const char *name, const char *vg_name, guint *index)
{
  gsize length = strlen(vg_name);
  guint random;
  int end = 0;

  return strncmp(name, vg_name, length) == 0 && name[length] == '_' &&
         sscanf(name + length + 1, "%u-%u.vg%n", index, &random, &end) == 2 && end > 0 &&
         name[length + 1 + end] == '\0';
}

static GArray *list(const char *dir, const char *vg_name, GError **error)
{
  g_autoptr(GDir) folder = g_dir_open(dir, 0, error);
  GArray *all;
  const char *name;

  if (!folder)
    return NULL;
  all = g_array_new(FALSE, FALSE, sizeof(Old));
  g_array_set_clear_func(all, old_clear);
  while ((name = g_dir_read_name(folder))) {
    Old old;

    if (!parse_name(name, vg_name, &old.index))
      continue;
    old.path = g_build_filename(dir, name, NULL);
    g_array_append_val(all, old);
  }
  g_array_sort(all, compare_old);
  return all;
}

static void expire(GArray *all)
{
  gint64 limit = g_get_real_time() / G_USEC_PER_SEC - RETAIN_SECONDS;

  for (guint i = 0; i + RETAIN_MIN < all->len; i++) {
    const Old *old = &g_array_index(all, Old, i);
    GStatBuf st;

    if (g_stat(old->path, &st) == 0 && st.st_mtime < limit)
      g_unlink(old->path);
  }
}

static gboolean read_folder(LvmArchive *archive, GError **error)
{
  gint64 now = g_get_monotonic_time() / G_USEC_PER_SEC + 1;
  g_autoptr(GArray) all = NULL;

  if (archive->read_at && now - archive->read_at < REREAD_SECONDS)
    return TRUE;
  if (g_mkdir_with_parents(archive->dir, 0700) < 0)
    return vt_set_errno(error, errno, "%s: cannot make the folder of archives", archive->dir);
  if (!(all = list(archive->dir, archive->vg_name, error)))
    return FALSE;
  expire(all);
  if (all->len)
    archive->next = MAX(archive->next, g_array_index(all, Old, all->len - 1).index + 1);
  archive->read_at = now;
  return TRUE;
}

const char *lvm_store_archive_path(LvmStore *store)
{
  return store->archive ? store->archive->last : NULL;
}

/* As vgcfgbackup lays it out: the header first, saying why. */
static GString *format(LvmVg *vg, const char *description)
{
  g_autofree char *why = g_strdup_printf("Created *before* executing '%s'", description);
  g_autoptr(LvmNode) header = lvm_header_new(why);
  GString *text = g_string_sized_new(vg->text_length + 4096);

  lvm_node_format(header, text);
  lvm_vg_format_group(vg, text);
  return text;
}

static gboolean write_file(LvmArchive *archive, GString *text, GError **error)
{
  g_autofree char *name = g_strdup_printf("%s_%05u-%u.vg", archive->vg_name, archive->next,
                                          g_random_int_range(0, G_MAXINT32));
  g_autofree char *path = g_build_filename(archive->dir, name, NULL);

  if (!g_file_set_contents_full(path, text->str, text->len, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                error))
    return FALSE;
  g_free(archive->last);
  archive->last = g_steal_pointer(&path);
  archive->next++;
  return TRUE;
}

gboolean lvm_archive_save(LvmArchive **archive, const char *dir, LvmVg *vg, const char *description,
                          GError **error)
{
  GString *text;
  gboolean ok;

  if (!*archive || strcmp((*archive)->dir, dir) != 0) {
    lvm_archive_free(*archive);
    *archive = g_new0(LvmArchive, 1);
    (*archive)->dir = g_strdup(dir);
    (*archive)->vg_name = g_strdup(lvm_vg_name(vg));
  }
  if (!read_folder(*archive, error))
    return FALSE;
  text = format(vg, description);
  ok = write_file(*archive, text, error);
  g_string_free(text, TRUE);
  return ok;
}
