/* virt-thin - the block devices that lvm2 would look at
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "dm/block-devices.h"
#include "lvm/text.h"

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

/* A host has few PVs and perhaps hundreds of LVs and block nodes: those are told by the first look. */
static gboolean is_candidate(const char *name, const char *own_folder)
{
  if (g_str_has_prefix(name, "nbd") || g_str_has_prefix(name, "sr") || g_str_has_prefix(name, "fd") ||
      g_str_has_prefix(name, "ram") || g_str_has_prefix(name, "zram"))
    return FALSE;
  return !attribute_begins(name, "dm/uuid", "LVM-") && has_size(name) &&
         !attribute_begins(name, "loop/backing_file", own_folder) && !is_part(name);
}

/* The kernel writes '/' in a name as '!'; device-mapper's are better known below /dev/mapper. */
static char *device_path(const char *name)
{
  g_autofree char *dm = read_attribute(name, "dm/name"), *plain = g_strdelimit(g_strdup(name), "!", '/');

  return dm ? g_build_filename("/dev/mapper", dm, NULL) : g_build_filename("/dev", plain, NULL);
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GStrv list_block_devices(const char *own_folder)
{
  g_autoptr(GDir) dir = g_dir_open(SYS_BLOCK, 0, NULL);
  GPtrArray *paths = g_ptr_array_new();
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    if (is_candidate(name, own_folder))
      g_ptr_array_add(paths, device_path(name));
  g_ptr_array_sort(paths, compare_paths);
  g_ptr_array_add(paths, NULL);
  return (GStrv)g_ptr_array_free(paths, FALSE);
}

/* --- the devices file --- */

static char *lvm_path(const char *file)
{
  const char *dir = g_getenv("LVM_SYSTEM_DIR");

  return g_build_filename(dir && *dir ? dir : "/etc/lvm", file, NULL);
}

static gboolean is_switched_off(void)
{
  g_autofree char *path = lvm_path("lvm.conf"), *text = NULL;
  g_autoptr(LvmNode) root = NULL;
  LvmNode *devices;
  guint64 value = 1;
  gsize length;

  if (g_file_get_contents(path, &text, &length, NULL) && (root = lvm_text_parse(text, length, path, NULL)) &&
      (devices = lvm_section_find_section(root, "devices")))
    lvm_section_get_uint(devices, "use_devicesfile", &value);
  return value == 0;
}

/* The ids, without dashes, of the PVs that lvm2 may use; NULL: all (lvmdevices(8)). */
static GHashTable *read_devices_file(void)
{
  g_autofree char *path = lvm_path("devices/system.devices"), *text = NULL;
  g_auto(GStrv) words = NULL;
  GHashTable *ids;

  if (is_switched_off() || !g_file_get_contents(path, &text, NULL, NULL))
    return NULL;
  ids = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  words = g_strsplit_set(text, " \n", -1);
  for (char **word = words; *word; word++)
    if (g_str_has_prefix(*word, "PVID="))
      g_hash_table_add(ids, g_strdup(*word + strlen("PVID=")));
  return ids;
}

static gboolean is_allowed(GHashTable *devices_file, const LvmScan *scan)
{
  g_auto(GStrv) groups = g_strsplit(scan->pv_uuid, "-", -1);
  g_autofree char *id = g_strjoinv("", groups);

  return !devices_file || g_hash_table_contains(devices_file, id);
}

/* --- physical volumes --- */

GPtrArray *dmk_scan_block_devices(const char *own_folder)
{
  g_auto(GStrv) paths = list_block_devices(own_folder);
  g_autoptr(GHashTable) devices_file = read_devices_file();
  GPtrArray *scans = lvm_scan((const char *const *)paths, NULL);

  for (guint i = scans->len; i-- > 0;)
    if (!is_allowed(devices_file, scans->pdata[i]))
      g_ptr_array_remove_index(scans, i);
  return scans;
}

GStrv dmk_paths_of(GPtrArray *scans, const char *vg)
{
  GPtrArray *paths = g_ptr_array_new();

  for (guint i = 0; i < scans->len; i++) {
    const LvmScan *scan = scans->pdata[i];

    if (g_strcmp0(scan->vg_name, vg) == 0)
      g_ptr_array_add(paths, g_strdup(scan->path));
  }
  g_ptr_array_add(paths, NULL);
  return (GStrv)g_ptr_array_free(paths, FALSE);
}
