/* virt-thin - simulation: what the linker calls in place of a service's surroundings
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Its runtime folder is in memory, and is what a tmpfs would be: there after the death of an
 * engine, and gone after a power cut. The host makes no block nodes, and mounts no volume.
 */
#include <string.h>

#include "fiber.h"
#include "service.h"
#include "service/nodes/nodes.h"
#include "util/freeze.h"

static GHashTable *files; /* of char *: char * */

void service_forget_files(void)
{
  if (files)
    g_hash_table_remove_all(files);
}

gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __real_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_set_contents_full(const char *path, const char *text, gssize length,
                                         GFileSetContentsFlags flags, int mode, GError **error);

gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error)
{
  const char *found;

  if (!g_str_has_prefix(path, SERVICE_RUNTIME "/"))
    return __real_g_file_get_contents(path, text, length, error);
  found = files ? g_hash_table_lookup(files, path) : NULL;
  if (!found) {
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "there is no %s", path);
    return FALSE;
  }
  *text = g_strdup(found);
  if (length)
    *length = strlen(found);
  return TRUE;
}

gboolean __wrap_g_file_set_contents_full(const char *path, const char *text, gssize length,
                                         GFileSetContentsFlags flags, int mode, GError **error)
{
  if (!g_str_has_prefix(path, SERVICE_RUNTIME "/"))
    sim_fail("a file is written that is not the service's: %s", path);
  sim_point("file", (guint64)length);
  if (sim_is_ghost())
    return TRUE;
  if (!files)
    files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_replace(files, g_strdup(path), g_strndup(text, (gsize)length));
  return TRUE;
}

/* --- the kernel's --- */

Freeze *__wrap_freeze_begin(const FreezeDisk *disks, guint n, guint min_depth, GError **error);
void __wrap_freeze_end(Freeze *freeze);
void __wrap_nodes_sync(Nodes *nodes, Folder *folder, guint wait_ms);
gboolean __wrap_nodes_show(Nodes *nodes, const char *name, const NodeShape *shape, GError **error);
gboolean __wrap_nodes_hide(Nodes *nodes, const char *name, GError **error);
gboolean __wrap_nodes_rename(Nodes *nodes, const char *name, const char *new_name, GError **error);
gboolean __wrap_nodes_resized(Nodes *nodes, const char *name, GError **error);
gboolean __wrap_nodes_flush(Nodes *nodes, const char *name, GError **error);
char *__wrap_nodes_user(Nodes *nodes, const char *const *names, const char **used);
char *__wrap_nodes_claim(Nodes *nodes, const char *const *names, const char **used);
gboolean __wrap_nodes_has(Nodes *nodes, const char *name);

Freeze *__wrap_freeze_begin(const FreezeDisk *disks, guint n, guint min_depth, GError **error)
{
  return NULL;
}

void __wrap_freeze_end(Freeze *freeze)
{
}

void __wrap_nodes_sync(Nodes *nodes, Folder *folder, guint wait_ms)
{
  g_array_unref(folder_list_active(folder));
}

gboolean __wrap_nodes_show(Nodes *nodes, const char *name, const NodeShape *shape, GError **error)
{
  return TRUE;
}

gboolean __wrap_nodes_hide(Nodes *nodes, const char *name, GError **error)
{
  return TRUE;
}

gboolean __wrap_nodes_rename(Nodes *nodes, const char *name, const char *new_name, GError **error)
{
  return TRUE;
}

gboolean __wrap_nodes_resized(Nodes *nodes, const char *name, GError **error)
{
  return TRUE;
}

gboolean __wrap_nodes_flush(Nodes *nodes, const char *name, GError **error)
{
  return TRUE;
}

char *__wrap_nodes_user(Nodes *nodes, const char *const *names, const char **used)
{
  return NULL;
}

char *__wrap_nodes_claim(Nodes *nodes, const char *const *names, const char **used)
{
  return NULL;
}

gboolean __wrap_nodes_has(Nodes *nodes, const char *name)
{
  return FALSE;
}
