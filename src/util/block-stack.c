/* virt-thin - what a block device is made of
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/block-stack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "util/proc.h"

#define MAX_DEPTH 8
#define SECTOR 512

static BlockDevice *read_device(const char *folder, guint depth);

/* The one line of @folder/@file, fit to be shown; NULL: there is none. */
static char *read_attribute(const char *folder, const char *file)
{
  g_autofree char *path = g_build_filename(folder, file, NULL), *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? vt_printable(g_strchomp(text)) : NULL;
}

static BlockDevice *device_new(const char *kind, const char *name, guint64 size)
{
  BlockDevice *device = g_new0(BlockDevice, 1);

  device->kind = g_strdup(kind);
  device->name = g_strdup(name);
  device->size = size;
  device->below = g_ptr_array_new_with_free_func((GDestroyNotify)block_device_free);
  return device;
}

void block_device_free(BlockDevice *device)
{
  g_free(device->kind);
  g_free(device->name);
  g_ptr_array_unref(device->below);
  g_free(device);
}

/* LVM's, dm-crypt's, multipath's and others' begin with their kind. */
static const char *kind_of_mapped(const char *folder)
{
  g_autofree char *uuid = read_attribute(folder, "dm/uuid");

  return !uuid                              ? "device-mapper"
         : g_str_has_prefix(uuid, "LVM-")   ? "volume"
         : g_str_has_prefix(uuid, "CRYPT-") ? "encrypted"
         : g_str_has_prefix(uuid, "mpath-") ? "multipath"
                                            : "device-mapper";
}

static guint64 size_of_file(const char *path)
{
  struct stat st;

  return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (guint64)st.st_size : 0;
}

/* Itself, and the file that it is on, if it is a loop device. */
static BlockDevice *read_itself(const char *folder)
{
  g_autofree char *name = g_path_get_basename(folder), *level = read_attribute(folder, "md/level"),
                  *mapped = read_attribute(folder, "dm/name"),
                  *partition = read_attribute(folder, "partition"),
                  *file = read_attribute(folder, "loop/backing_file"),
                  *sectors = read_attribute(folder, "size");
  guint64 size = sectors ? g_ascii_strtoull(sectors, NULL, 10) * SECTOR : 0;
  BlockDevice *device = device_new(level       ? level
                                   : mapped    ? kind_of_mapped(folder)
                                   : file      ? "loop"
                                   : partition ? "partition"
                                               : "disk",
                                   mapped && !level ? mapped : name, size);

  if (file)
    g_ptr_array_add(device->below, device_new("file", file, size_of_file(file)));
  return device;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  const BlockDevice *const *left = a, *const *right = b;

  return strcmp((*left)->name, (*right)->name);
}

static void add_below(BlockDevice *device, const char *folder, guint depth)
{
  g_autofree char *slaves = g_build_filename(folder, "slaves", NULL);
  g_autoptr(GDir) dir = g_dir_open(slaves, 0, NULL);
  const char *name;

  if (strcmp(device->kind, "partition") == 0) {
    g_autofree char *disk = g_path_get_dirname(folder);

    g_ptr_array_add(device->below, read_device(disk, depth));
    return;
  }
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *link = g_build_filename(slaves, name, NULL), *target = realpath(link, NULL);

    if (target)
      g_ptr_array_add(device->below, read_device(target, depth));
  }
  g_ptr_array_sort(device->below, compare_names);
}

static BlockDevice *read_device(const char *folder, guint depth)
{
  BlockDevice *device = read_itself(folder);

  if (depth < MAX_DEPTH)
    add_below(device, folder, depth + 1);
  return device;
}

BlockDevice *block_stack_read(dev_t device, const char *sysfs)
{
  g_autofree char *number = g_strdup_printf("%u:%u", major(device), minor(device)),
                  *link = g_build_filename(sysfs, "dev/block", number, NULL),
                  *folder = realpath(link, NULL);

  return folder ? read_device(folder, 0) : device_new("device", number, 0);
}

static void describe(const BlockDevice *device, GString *text)
{
  for (guint i = 0; i < device->below->len; i++) {
    describe(device->below->pdata[i], text);
    g_string_append(text, i + 1 < device->below->len ? ", " : " -> ");
  }
  if (strcmp(device->kind, "loop") != 0) /* which its name says */
    g_string_append_printf(text, "%s ", device->kind);
  g_string_append(text, device->name);
}

char *block_stack_describe(dev_t device, const char *sysfs)
{
  g_autoptr(BlockDevice) top = block_stack_read(device, sysfs);
  GString *text = g_string_new(NULL);

  describe(top, text);
  return g_string_free(text, FALSE);
}
