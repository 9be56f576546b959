/* virt-thin - what a block device is made of
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/block-stack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#define MAX_DEPTH 8

static char *describe(const char *folder, guint depth);

/* The one line of @folder/@file; NULL: there is none. */
static char *read_attribute(const char *folder, const char *file)
{
  g_autofree char *path = g_build_filename(folder, file, NULL);
  char *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

/* LVM's, dm-crypt's, multipath's and others' begin with their kind. */
static char *describe_mapped(const char *folder, const char *name)
{
  g_autofree char *uuid = read_attribute(folder, "dm/uuid");

  if (uuid && g_str_has_prefix(uuid, "LVM-"))
    return g_strdup_printf("volume %s", name);
  if (uuid && g_str_has_prefix(uuid, "CRYPT-"))
    return g_strdup_printf("encrypted %s", name);
  if (uuid && g_str_has_prefix(uuid, "mpath-"))
    return g_strdup_printf("multipath %s", name);
  return g_strdup_printf("device-mapper %s", name);
}

static char *describe_itself(const char *folder)
{
  g_autofree char *name = g_path_get_basename(folder), *level = read_attribute(folder, "md/level"),
                  *mapped = read_attribute(folder, "dm/name"),
                  *partition = read_attribute(folder, "partition"),
                  *file = read_attribute(folder, "loop/backing_file");

  if (level)
    return g_strdup_printf("%s %s", level, name);
  if (mapped)
    return describe_mapped(folder, mapped);
  if (file)
    return g_strdup_printf("file %s -> %s", file, name);
  return g_strdup_printf("%s %s", partition ? "partition" : "disk", name);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The devices that it is on; NULL: none. */
static char *describe_below(const char *folder, guint depth)
{
  g_autofree char *slaves = g_build_filename(folder, "slaves", NULL),
                  *partition = read_attribute(folder, "partition");
  g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GDir) dir = g_dir_open(slaves, 0, NULL);
  const char *name;

  if (partition) {
    g_autofree char *disk = g_path_get_dirname(folder);

    return describe(disk, depth);
  }
  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *link = g_build_filename(slaves, name, NULL), *target = realpath(link, NULL);

    if (target)
      g_ptr_array_add(texts, describe(target, depth));
  }
  g_ptr_array_sort(texts, compare_texts);
  g_ptr_array_add(texts, NULL);
  return texts->len > 1 ? g_strjoinv(", ", (char **)texts->pdata) : NULL;
}

static char *describe(const char *folder, guint depth)
{
  g_autofree char *itself = describe_itself(folder),
                  *below = depth < MAX_DEPTH ? describe_below(folder, depth + 1) : NULL;

  return below ? g_strdup_printf("%s -> %s", below, itself) : g_steal_pointer(&itself);
}

char *block_stack_describe(dev_t device, const char *sysfs)
{
  g_autofree char *link =
                      g_strdup_printf("%s/dev/block/%u:%u", sysfs, major(device), minor(device)),
                  *folder = realpath(link, NULL);

  if (!folder)
    return g_strdup_printf("device %u:%u", major(device), minor(device));
  return describe(folder, 0);
}
