/* virt-thin - the block devices that lvm2 would look at
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "dm/block-devices.h"
#include "dm/device-filter.h"

#define DEV "/dev"
#define SYS_BLOCK "/sys/class/block"

/* The content of an attribute of device @name; NULL: it has none. The caller's. */
static char *read_attribute(const char *name, const char *attribute)
{
  g_autofree char *path = g_build_filename(SYS_BLOCK, name, attribute, NULL);
  char *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

static gboolean attribute_begins(const char *name, const char *attribute, const char *prefix)
{
  g_autofree char *text = read_attribute(name, attribute);

  return text && g_str_has_prefix(text, prefix);
}

static gboolean is_part(const char *name)
{
  g_autofree char *path = g_build_filename(SYS_BLOCK, name, "holders", NULL);
  g_autoptr(GDir) holders = g_dir_open(path, 0, NULL);
  const char *holder;

  while (holders && (holder = g_dir_read_name(holders)))
    if (g_str_has_prefix(holder, "md") || attribute_begins(holder, "dm/uuid", "mpath-"))
      return TRUE;
  return FALSE;
}

static gboolean has_size(const char *name)
{
  g_autofree char *size = read_attribute(name, "size");

  return size && strcmp(size, "0") != 0;
}

/* A host has few PVs and perhaps hundreds of LVs and block nodes: those are told by the first
 * look. */
static gboolean is_candidate(const char *name, const char *own_folder)
{
  if (g_str_has_prefix(name, "nbd") || g_str_has_prefix(name, "sr") ||
      g_str_has_prefix(name, "fd") || g_str_has_prefix(name, "ram") ||
      g_str_has_prefix(name, "zram"))
    return FALSE;
  return !attribute_begins(name, "dm/uuid", "LVM-") && has_size(name) &&
         !attribute_begins(name, "loop/backing_file", own_folder) && !is_part(name);
}

/* The kernel writes '/' in a name as '!'; device-mapper's are better known below /dev/mapper. */
static char *device_path(const char *name)
{
  g_autofree char *dm = read_attribute(name, "dm/name"),
                  *plain = g_strdelimit(g_strdup(name), "!", '/');

  return dm ? g_build_filename(DEV "/mapper", dm, NULL) : g_build_filename(DEV, plain, NULL);
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* --- lvm.conf's filters --- */

/* Every name of every block device in @folder: by number, arrays of paths. */
static void add_names(GHashTable *all, const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL);
    GPtrArray *names;
    struct stat st;
    gint64 number;

    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
      add_names(all, path);
    if (stat(path, &st) < 0 || !S_ISBLK(st.st_mode))
      continue;
    number = (gint64)st.st_rdev;
    names = g_hash_table_lookup(all, &number);
    if (!names) {
      names = g_ptr_array_new_with_free_func(g_free);
      g_hash_table_insert(all, g_memdup2(&number, sizeof number), names);
    }
    g_ptr_array_add(names, g_steal_pointer(&path));
  }
}

static gboolean is_accepted(DmkFilter *filter, GHashTable *all, const char *path)
{
  GPtrArray *names = NULL;
  struct stat st;
  gint64 number;

  if (stat(path, &st) == 0) {
    number = (gint64)st.st_rdev;
    names = g_hash_table_lookup(all, &number);
  }
  return names && dmk_filter_accepts(filter, (const char *const *)names->pdata);
}

/* Take out of @paths what @filter rejects. */
static void apply_filter(DmkFilter *filter, GPtrArray *paths)
{
  g_autoptr(GHashTable) all =
      g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
  GHashTableIter iter;
  gpointer names;

  add_names(all, DEV);
  g_hash_table_iter_init(&iter, all);
  while (g_hash_table_iter_next(&iter, NULL, &names))
    g_ptr_array_add(names, NULL);
  for (guint i = paths->len; i-- > 0;)
    if (!is_accepted(filter, all, paths->pdata[i]))
      g_ptr_array_remove_index(paths, i);
}

/* @filter NULL: all. */
static GPtrArray *list_block_devices(const char *own_folder, DmkFilter *filter)
{
  g_autoptr(GDir) dir = g_dir_open(SYS_BLOCK, 0, NULL);
  GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    if (is_candidate(name, own_folder))
      g_ptr_array_add(paths, device_path(name));
  if (filter)
    apply_filter(filter, paths);
  g_ptr_array_sort(paths, compare_paths);
  g_ptr_array_add(paths, NULL);
  return paths;
}

/* --- the devices file --- */

/* The ids, without dashes, of the PVs that lvm2 may use; NULL: all (lvmdevices(8)). */
static GHashTable *read_devices_file(LvmConf *conf)
{
  g_autofree char *path = lvm_conf_path("devices/system.devices"), *text = NULL;
  g_auto(GStrv) words = NULL;
  GHashTable *ids;

  if (!lvm_conf_number(conf, "devices/use_devicesfile", 1) ||
      !g_file_get_contents(path, &text, NULL, NULL))
    return NULL;
  ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  words = g_strsplit_set(text, " \n", -1);
  for (char **word = words; *word; word++)
    if (g_str_has_prefix(*word, "PVID="))
      g_hash_table_add(ids, g_strdup(*word + strlen("PVID=")));
  return ids;
}

LvmProbe *dmk_probe_block_devices(const char *own_folder)
{
  g_autoptr(LvmConf) conf = lvm_conf_read(NULL);
  g_autoptr(GHashTable) devices_file = read_devices_file(conf);
  /* With a devices file lvm2 has no ear for filters. */
  g_autoptr(DmkFilter) filter = devices_file ? NULL : dmk_filter_new(conf);
  g_autoptr(GPtrArray) paths = list_block_devices(own_folder, filter);

  return lvm_probe((const char *const *)paths->pdata, devices_file, NULL, NULL);
}
