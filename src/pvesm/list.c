/* virt-thin - commands storage list and scan: pvesm's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "pvesm/commands.h"
#include "pvesm/folder.h"

/* --- list --- */

static const char *content_of(const PoolVolumeInfo *volume, const char *vmid)
{
  return (volume->tags && g_strv_contains((const char *const *)volume->tags, PVESM_ROOTDIR_TAG)) ||
                 pvesm_is_container(vmid)
             ? "rootdir"
             : "images";
}

/* As list_images of LvmThinPlugin: thin volumes of the storage's pool that are named vm-<VMID>-… or
 * base-<VMID>-…; of LVMPlugin: those that are in no pool and named vm-<VMID>-…, with tagged_only
 * only those with the guest's tag. */
static gboolean is_of(const StorageCfgStorage *storage, const PoolVolumeInfo *volume,
                      const char *vmid)
{
  const char *thinpool = storagecfg_string(storage, "thinpool");
  g_autofree char *tag = g_strconcat("pve-vm-", vmid, NULL);

  if (thinpool)
    return g_strcmp0(volume->pool, thinpool) == 0;
  return volume->kind == POOL_VOLUME_LINEAR && g_str_has_prefix(volume->name, "vm-") &&
         (!storagecfg_boolean(storage, "tagged_only", FALSE) ||
          (volume->tags && g_strv_contains((const char *const *)volume->tags, tag)));
}

static PvesmItem *make_item(const StorageCfgStorage *storage, const PoolVolumeInfo *volume)
{
  const char *digits = g_str_has_prefix(volume->name, "vm-")     ? volume->name + 3
                       : g_str_has_prefix(volume->name, "base-") ? volume->name + 5
                                                                 : NULL;
  gsize n = digits ? strspn(digits, "0123456789") : 0;
  g_autofree char *vmid = g_strndup(digits, n);
  gboolean qcow2 = !volume->pool && g_str_has_suffix(volume->name, ".qcow2");
  const char *content;

  if (!n || digits[n] != '-' || !is_of(storage, volume, vmid))
    return NULL;
  content = content_of(volume, vmid);
  return pvesm_item_new(storage->id, g_strdup(volume->name), content,
                        g_strdup(qcow2 ? "qcow2" : "raw"), volume->size, g_steal_pointer(&vmid),
                        NULL);
}

static gboolean list_volume_group(const StorageCfgStorage *storage, const char *vmid,
                                  const char *content, GPtrArray *items, GError **error)
{
  VolumeGroup *group = cli_open(storagecfg_string(storage, "vgname"), POOL_READ_ONLY, error);
  g_autoptr(GPtrArray) volumes = group ? pool_list_volumes(group, NULL, error) : NULL;

  for (guint i = 0; volumes && i < volumes->len; i++) {
    PvesmItem *item = make_item(storage, volumes->pdata[i]);

    if (item && (!vmid || strcmp(vmid, item->vmid) == 0) &&
        (!content || strcmp(content, item->content) == 0))
      g_ptr_array_add(items, item);
    else if (item)
      pvesm_item_free(item);
  }
  return cli_close(group, error) && volumes;
}

static int compare_items(gconstpointer a, gconstpointer b)
{
  return strcmp((*(PvesmItem *const *)a)->key, (*(PvesmItem *const *)b)->key);
}

static GPtrArray *list_items(const StorageCfgStorage *storage, const char *vmid,
                             const char *content, GError **error)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)pvesm_item_free);

  if (!(pvesm_is_folder(storage) ? pvesm_folder_list(storage, vmid, content, items, error)
                                 : list_volume_group(storage, vmid, content, items, error)))
    return NULL;
  g_ptr_array_sort(items, compare_items);
  return g_steal_pointer(&items);
}

/* --- its table --- */

static int compare_formats(gconstpointer a, gconstpointer b)
{
  const PvesmItem *one = *(PvesmItem *const *)a, *other = *(PvesmItem *const *)b;
  int order = strcmp(one->format, other->format);

  return order ? order : strcmp(one->key, other->key);
}

static char *size_of(const PvesmItem *item)
{
  return item->size == PVESM_UNKNOWN_SIZE ? g_strdup("-")
                                          : g_strdup_printf("%" G_GUINT64_FORMAT, item->size);
}

/* Those of a guest come first, then the others by format. */
static void print_items(GPtrArray *items)
{
  g_autoptr(GPtrArray) others = g_ptr_array_new();
  int width = 0, digits = 1;

  for (guint i = 0; i < items->len; i++) {
    g_autofree char *size = size_of(items->pdata[i]);

    width = MAX(width, (int)strlen(((PvesmItem *)items->pdata[i])->volid));
    digits = MAX(digits, (int)strlen(size));
  }
  printf("%-*s %-7s %-9s %*s %s\n", width, "Volid", "Format", "Type", digits, "Size", "VMID");
  for (guint i = 0; i < items->len; i++) {
    PvesmItem *item = items->pdata[i];
    g_autofree char *size = size_of(item);
    guint64 vmid = item->vmid ? g_ascii_strtoull(item->vmid, NULL, 10) : 0;

    if (vmid)
      printf("%-*s %-7s %-9s %*s %" G_GUINT64_FORMAT "\n", width, item->volid, item->format,
             item->content, digits, size, vmid);
    else
      g_ptr_array_add(others, item);
  }
  g_ptr_array_sort(others, compare_formats);
  for (guint i = 0; i < others->len; i++) {
    const PvesmItem *item = others->pdata[i];
    g_autofree char *size = size_of(item);

    printf("%-*s %-7s %-9s %*s\n", width, item->volid, item->format, item->content, digits, size);
  }
}

/* --- the command --- */

static gboolean list(const PvesmWords *words, GError **error)
{
  const char *id = pvesm_word(words, 0), *vmid = pvesm_option(words, "vmid"),
             *content = pvesm_option(words, "content");
  g_autoptr(StorageCfg) cfg = NULL;
  g_autoptr(GPtrArray) items = NULL;
  const StorageCfgStorage *storage;
  PoolGuestStorage kind;

  if (vmid && !pvesm_check_vmid(vmid, error))
    return FALSE;
  if (content && (strpbrk(content, ",; ") ||
                  !storagecfg_check_value(storagecfg_property_find("content"), content, NULL)))
    return pvesm_bad_parameter(error, "content", "invalid format - invalid content type '%s'",
                               content);
  cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  storage = cfg ? pvesm_find_enabled(cfg, id, error) : NULL;
  if (!storage ||
      (!pvesm_is_folder(storage) && !pvesm_require_lvm(storage, "list volumes", &kind, error)))
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

static gboolean scan_lvm(const PvesmWords *words, GError **error)
{
  const PoolWhere where = cli_where(POOL_READ_ONLY);
  gboolean all;
  g_autoptr(GPtrArray) vgs = cli_list_vgs(&where, &all);

  for (guint i = 0; i < vgs->len; i++)
    printf("%s\n", ((PoolVg *)vgs->pdata[i])->name);
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

static gboolean scan_lvmthin(const PvesmWords *words, GError **error)
{
  const char *vg = pvesm_word(words, 0);
  g_autoptr(GPtrArray) pools = NULL, names = g_ptr_array_new();
  VolumeGroup *group;

  if (!is_vg_name(vg))
    return pvesm_bad_parameter(error, "vg", "value does not match the regex pattern");
  group = cli_open(vg, POOL_READ_ONLY, error);
  pools = group ? pool_list_pools(group, error) : NULL;
  for (guint i = 0; pools && i < pools->len; i++)
    g_ptr_array_add(names, ((PoolInfo *)pools->pdata[i])->name);
  g_ptr_array_sort(names, compare_names);
  for (guint i = 0; i < names->len; i++)
    printf("%s\n", (char *)names->pdata[i]);
  return cli_close(group, error) && pools;
}

/* --- the commands --- */

static const char *const pvesm_argument[] = {"storage", NULL}, *const vg_argument[] = {"vg", NULL},
                         *const no_arguments[] = {NULL}, *const type_argument[] = {"type", NULL};
static const PvesmOption list_options[] = {
    {"vmid", PVESM_TEXT, "VMID  Only this guest's"},
    {"content", PVESM_TEXT,
     "WORD  Only volumes of this content, of a folder's also iso, vztmpl, backup, snippets, "
     "import"},
    {NULL, 0, NULL},
};
static const PvesmUsage list_usage = {.name = "list",
                                      .arguments = pvesm_argument,
                                      .options = list_options,
                                      .summary = "List a storage's volumes: sizes in bytes"},
                        lvm_usage = {.name = "scan lvm",
                                     .arguments = no_arguments,
                                     .summary = "List volume groups"},
                        lvmthin_usage = {.name = "scan lvmthin",
                                         .arguments = vg_argument,
                                         .summary = "List a volume group's thin pools"},
                        scan_usage = {
                            .name = "scan",
                            .arguments = type_argument,
                            .summary =
                                "List what storages can be made of: scan lvm, scan lvmthin <vg>"};

static int run_list(char **words)
{
  return pvesm_run(&list_usage, list, words);
}

static int run_lvm(char **words)
{
  return pvesm_run(&lvm_usage, scan_lvm, words);
}

static int run_lvmthin(char **words)
{
  return pvesm_run(&lvmthin_usage, scan_lvmthin, words);
}

static gboolean no_scan(const PvesmWords *words, GError **error)
{
  return cli_usage(error, "unknown command 'scan %s': virt-thin scans lvm and lvmthin",
                   pvesm_word(words, 0));
}

static int run_scan(char **words)
{
  if (words[0] && strcmp(words[0], "lvm") == 0)
    return run_lvm(words + 1);
  if (words[0] && strcmp(words[0], "lvmthin") == 0)
    return run_lvmthin(words + 1);
  return pvesm_run(&scan_usage, no_scan, words);
}

const CliCommand pvesm_list = {
    .name = "list", .summary = "List a storage's volumes", .run_words = run_list};
const CliCommand pvesm_scan = {.name = "scan",
                               .summary = "List volume groups (lvm) or thin pools (lvmthin VG)",
                               .run_words = run_scan};
const CliCommand pvesm_lvmscan = {
    .name = "lvmscan", .summary = "The same as scan lvm", .run_words = run_lvm};
const CliCommand pvesm_lvmthinscan = {
    .name = "lvmthinscan", .summary = "The same as scan lvmthin", .run_words = run_lvmthin};
