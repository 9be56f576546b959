/* virt-thin - commands storage list and scan: pvesm's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "cli/storage-volume.h"

/* --- list --- */

typedef struct {
  char *volid, *key, *vmid;
  const char *content, *format;
  guint64 size;
} Item;

static void item_free(Item *item)
{
  g_free(item->volid);
  g_free(item->key);
  g_free(item->vmid);
  g_free(item);
}

/* Where there is a cluster, it knows containers by their configuration. */
static gboolean is_container(const char *vmid)
{
  g_autofree char *pattern = g_strdup_printf("/etc/pve/nodes/*/lxc/%s.conf", vmid);
  glob_t found = {0};
  gboolean is = glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0;

  globfree(&found);
  return is;
}

static const char *content_of(const PoolVolumeInfo *volume, const char *vmid)
{
  return (volume->tags && g_strv_contains((const char *const *)volume->tags, STORAGE_ROOTDIR_TAG)) || is_container(vmid)
             ? "rootdir"
             : "images";
}

/* As list_images of LvmThinPlugin: thin volumes of the storage's pool that are named vm-<VMID>-… or base-<VMID>-…; of
 * LVMPlugin: those that are in no pool and named vm-<VMID>-…, with tagged_only only those with the guest's tag. */
static gboolean is_of(const StorageCfgStorage *storage, const PoolVolumeInfo *volume, const char *vmid)
{
  const char *thinpool = storagecfg_string(storage, "thinpool");
  g_autofree char *tag = g_strconcat("pve-vm-", vmid, NULL);

  if (thinpool)
    return g_strcmp0(volume->pool, thinpool) == 0;
  return volume->kind == POOL_VOLUME_LINEAR && g_str_has_prefix(volume->name, "vm-") &&
         (!storagecfg_boolean(storage, "tagged_only", FALSE) ||
          (volume->tags && g_strv_contains((const char *const *)volume->tags, tag)));
}

static Item *make_item(const StorageCfgStorage *storage, const PoolVolumeInfo *volume)
{
  const char *digits = g_str_has_prefix(volume->name, "vm-")     ? volume->name + 3
                       : g_str_has_prefix(volume->name, "base-") ? volume->name + 5
                                                                 : NULL;
  gsize n = digits ? strspn(digits, "0123456789") : 0;
  g_autofree char *vmid = g_strndup(digits, n);
  Item *item;

  if (!n || digits[n] != '-' || !is_of(storage, volume, vmid))
    return NULL;
  item = g_new0(Item, 1);
  item->volid = g_strconcat(storage->id, ":", volume->name, NULL);
  item->key = g_ascii_strdown(item->volid, -1);
  item->vmid = g_steal_pointer(&vmid);
  item->content = content_of(volume, item->vmid);
  item->format = !volume->pool && g_str_has_suffix(volume->name, ".qcow2") ? "qcow2" : "raw";
  item->size = volume->size;
  return item;
}

static int compare_items(gconstpointer a, gconstpointer b)
{
  return strcmp((*(Item *const *)a)->key, (*(Item *const *)b)->key);
}

static int digits_of(guint64 n)
{
  int digits = 1;

  while (n /= 10)
    digits++;
  return digits;
}

static void print_items(GPtrArray *items)
{
  int width = 0, digits = 1;

  for (guint i = 0; i < items->len; i++) {
    width = MAX(width, (int)strlen(((Item *)items->pdata[i])->volid));
    digits = MAX(digits, digits_of(((Item *)items->pdata[i])->size));
  }
  printf("%-*s %-7s %-9s %*s %s\n", width, "Volid", "Format", "Type", digits, "Size", "VMID");
  for (guint i = 0; i < items->len; i++) {
    const Item *item = items->pdata[i];

    printf("%-*s %-7s %-9s %*" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", width, item->volid, item->format,
           item->content, digits, item->size, g_ascii_strtoull(item->vmid, NULL, 10));
  }
}

static GPtrArray *list_items(const StorageCfgStorage *storage, const char *vmid, const char *content, GError **error)
{
  Pool *pool = cli_open(storagecfg_string(storage, "vgname"), POOL_READ_ONLY, error);
  g_autoptr(GPtrArray) volumes = pool ? pool_list_volumes(pool, NULL, error) : NULL,
                       items = g_ptr_array_new_with_free_func((GDestroyNotify)item_free);

  for (guint i = 0; volumes && i < volumes->len; i++) {
    Item *item = make_item(storage, volumes->pdata[i]);

    if (item && (!vmid || strcmp(vmid, item->vmid) == 0) && (!content || strcmp(content, item->content) == 0))
      g_ptr_array_add(items, item);
    else if (item)
      item_free(item);
  }
  g_ptr_array_sort(items, compare_items);
  return cli_close(pool, error) && volumes ? g_steal_pointer(&items) : NULL;
}

static gboolean list(const StorageWords *words, GError **error)
{
  const char *id = storage_word(words, 0), *vmid = storage_option(words, "vmid"),
             *content = storage_option(words, "content");
  g_autoptr(StorageCfg) cfg = NULL;
  g_autoptr(GPtrArray) items = NULL;
  const StorageCfgStorage *storage;
  PoolGuestStorage kind;

  if (vmid && !storage_check_vmid(vmid, error))
    return FALSE;
  if (content &&
      (strpbrk(content, ",; ") || !storagecfg_check_value(storagecfg_property_find("content"), content, NULL)))
    return storage_bad_parameter(error, "content", "invalid format - invalid content type '%s'", content);
  cfg = storage_config_load(storage_option(words, "config"), FALSE, error);
  storage = cfg ? storage_find_enabled(cfg, id, error) : NULL;
  if (!storage || !storage_require_lvm(storage, "list volumes", &kind, error))
    return FALSE;
  items = list_items(storage, vmid, content, error);
  if (items)
    print_items(items);
  return items != NULL;
}

/* --- scan --- */

static int compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean scan_lvm(const StorageWords *words, GError **error)
{
  gboolean all;
  g_auto(GStrv) vgs = cli_list_vgs(&all);

  for (char **vg = vgs; *vg; vg++)
    printf("%s\n", *vg);
  return all;
}

static gboolean is_vg_name(const char *name)
{
  gsize length = strlen(name);

  if (length < 2 || length > 100 || name[0] == '-')
    return FALSE;
  for (const char *p = name; *p; p++)
    if (!g_ascii_isalnum(*p) && !strchr(".+_-", *p))
      return FALSE;
  return TRUE;
}

static gboolean scan_lvmthin(const StorageWords *words, GError **error)
{
  const char *vg = storage_word(words, 0);
  g_autoptr(GPtrArray) pools = NULL, names = g_ptr_array_new();
  Pool *pool;

  if (!is_vg_name(vg))
    return storage_bad_parameter(error, "vg", "value does not match the regex pattern");
  pool = cli_open(vg, POOL_READ_ONLY, error);
  pools = pool ? pool_list_pools(pool, error) : NULL;
  for (guint i = 0; pools && i < pools->len; i++)
    g_ptr_array_add(names, ((PoolInfo *)pools->pdata[i])->name);
  g_ptr_array_sort(names, compare_names);
  for (guint i = 0; i < names->len; i++)
    printf("%s\n", (char *)names->pdata[i]);
  return cli_close(pool, error) && pools;
}

/* --- the commands --- */

static const char *const storage_argument[] = {"storage", NULL}, *const vg_argument[] = {"vg", NULL},
                         *const no_arguments[] = {NULL}, *const type_argument[] = {"type", NULL};
static const StorageOption list_options[] = {
    {"vmid", STORAGE_TEXT, "VMID  Only this guest's"},
    {"content", STORAGE_TEXT, "WORD  Only volumes of this content: images or rootdir"},
    {NULL, 0, NULL},
};
static const StorageUsage list_usage = {.name = "list",
                                        .arguments = storage_argument,
                                        .options = list_options,
                                        .summary = "List a storage's volumes: sizes in bytes"},
                          lvm_usage = {.name = "scan lvm", .arguments = no_arguments, .summary = "List volume groups"},
                          lvmthin_usage = {.name = "scan lvmthin",
                                           .arguments = vg_argument,
                                           .summary = "List a volume group's thin pools"},
                          scan_usage = {.name = "scan",
                                        .arguments = type_argument,
                                        .summary = "List what storages can be made of: scan lvm, scan lvmthin <vg>"};

static int run_list(char **words)
{
  return storage_run(&list_usage, list, words);
}

static int run_lvm(char **words)
{
  return storage_run(&lvm_usage, scan_lvm, words);
}

static int run_lvmthin(char **words)
{
  return storage_run(&lvmthin_usage, scan_lvmthin, words);
}

static gboolean no_scan(const StorageWords *words, GError **error)
{
  return cli_usage(error, "unknown command 'scan %s': virt-thin scans lvm and lvmthin", storage_word(words, 0));
}

static int run_scan(char **words)
{
  if (words[0] && strcmp(words[0], "lvm") == 0)
    return run_lvm(words + 1);
  if (words[0] && strcmp(words[0], "lvmthin") == 0)
    return run_lvmthin(words + 1);
  return storage_run(&scan_usage, no_scan, words);
}

const CliCommand storage_list = {.name = "list", .summary = "List a storage's volumes", .run_words = run_list};
const CliCommand storage_scan = {
    .name = "scan", .summary = "List volume groups (lvm) or thin pools (lvmthin VG)", .run_words = run_scan};
const CliCommand storage_lvmscan = {.name = "lvmscan", .summary = "The same as scan lvm", .run_words = run_lvm};
const CliCommand storage_lvmthinscan = {
    .name = "lvmthinscan", .summary = "The same as scan lvmthin", .run_words = run_lvmthin};
