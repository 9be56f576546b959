/* virt-thin - command storage status: pvesm status
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cli/json.h"
#include "pvesm/commands.h"
#include "pvesm/folder.h"

typedef struct {
  const StorageCfgStorage *storage;
  gboolean enabled, active;
  guint64 total, used, available; /* bytes; G_MAXUINT64: not known */
  PoolInfo *pool;                 /* of a thin pool; NULL */
  char *problem;                  /* why it is not active; NULL */
} Status;

static void status_free(Status *status)
{
  g_clear_pointer(&status->pool, pool_info_free);
  g_free(status->problem);
  g_free(status);
}

/* --- by type --- */

static void ask_thin_pool(Status *status, const PoolWhere *where)
{
  const char *name = storagecfg_string(status->storage, "thinpool");
  g_autoptr(GError) error = NULL;
  VolumeGroup *group = pool_open(storagecfg_string(status->storage, "vgname"), where, &error);

  status->pool = group ? pool_get_info(group, name, &error) : NULL;
  if (group)
    cli_close(group, NULL);
  if (!status->pool) {
    status->problem = g_strdup(error->message);
    return;
  }
  status->active = TRUE;
  status->total = status->pool->size;
  if (status->pool->used == G_MAXUINT64)
    return;
  status->used = pool_guest_used(status->pool->size, status->pool->used);
  status->available = status->total - status->used;
}

static void ask_volume_group(Status *status, const PoolWhere *where)
{
  g_autoptr(GError) error = NULL;
  VolumeGroup *group = pool_open(storagecfg_string(status->storage, "vgname"), where, &error);
  g_autoptr(PoolVgInfo) info = group ? pool_get_vg_info(group, &error) : NULL;

  if (group)
    cli_close(group, NULL);
  if (!info) {
    status->problem = g_strdup(error->message);
    return;
  }
  status->active = TRUE;
  status->total = info->size;
  status->available = info->free;
  status->used = info->size - info->free;
}

static void ask_folder(Status *status)
{
  const char *path = storagecfg_string(status->storage, "path");
  struct statvfs fs;

  status->problem = pvesm_folder_problem(status->storage);
  if (status->problem)
    return;
  if (statvfs(path, &fs) < 0) {
    status->problem = g_strdup_printf("%s: %s", path, g_strerror(errno));
    return;
  }
  status->active = TRUE;
  status->total = (guint64)fs.f_blocks * fs.f_frsize;
  status->used = (guint64)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
  status->available = (guint64)fs.f_bavail * fs.f_frsize;
}

static Status *ask(const StorageCfgStorage *storage, const char *node, const PoolWhere *where)
{
  Status *status = g_new0(Status, 1);

  status->storage = storage;
  status->total = status->used = status->available = G_MAXUINT64;
  status->enabled = storagecfg_is_enabled(storage) && storagecfg_is_on_node(storage, node);
  if (!status->enabled)
    return status;
  if (storage->broken)
    status->problem = g_strdup_printf("its section in line %u is broken", storage->line);
  else if (strcmp(storage->type->name, "lvmthin") == 0)
    ask_thin_pool(status, where);
  else if (strcmp(storage->type->name, "lvm") == 0)
    ask_volume_group(status, where);
  else if (pvesm_is_folder(storage))
    ask_folder(status);
  else
    status->problem =
        g_strdup_printf("virt-thin does not look into storages of type %s", storage->type->name);
  return status;
}

/* --- telling --- */

static const char *state_of(const Status *status)
{
  return !status->enabled ? "disabled" : status->active ? "active" : "inactive";
}

/* As pvesm: of what is not active all is 0. */
static char *kib(const Status *status, guint64 bytes)
{
  if (!status->active)
    return g_strdup("0");
  return bytes == G_MAXUINT64 ? g_strdup("unknown")
                              : g_strdup_printf("%" G_GUINT64_FORMAT, bytes / 1024);
}

static char *percent(const Status *status, guint64 used, guint64 total)
{
  if (!status->enabled)
    return g_strdup("N/A");
  if (status->active && used == G_MAXUINT64)
    return g_strdup("unknown");
  return g_strdup_printf("%.2f%%",
                         status->active && total ? (double)used * 100 / (double)total : 0);
}

static void tell_more(const Status *status)
{
  const PoolInfo *pool = status->pool;
  g_autofree char *growth = NULL, *used = NULL, *share = NULL;

  if (status->problem)
    printf("  %s\n", status->problem);
  if (!pool)
    return;
  growth = cli_growth(pool);
  used = kib(status, pool->metadata_used);
  share = percent(status, pool->metadata_used, pool->metadata_size);
  printf("  metadata %s of %" G_GUINT64_FORMAT " KiB, %s; health: %s; volumes of %" G_GUINT64_FORMAT
         " KiB in all, %.2f times the pool%s%s\n",
         used, pool->metadata_size / 1024, share, pool->health ? pool->health : "well",
         pool->virtual_size / 1024,
         pool->size ? (double)pool->virtual_size / (double)pool->size : 0, growth ? "; grows " : "",
         growth ? growth : "");
}

static void print_text(GPtrArray *all, gboolean verbose)
{
  int width = 0;

  for (guint i = 0; i < all->len; i++)
    width = MAX(width, (int)strlen(((Status *)all->pdata[i])->storage->id));
  width++;
  printf("%-*s %10s %10s %15s %15s %15s %8s\n", width, "Name", "Type", "Status", "Total (KiB)",
         "Used (KiB)", "Available (KiB)", "%");
  for (guint i = 0; i < all->len; i++) {
    const Status *status = all->pdata[i];
    g_autofree char *total = kib(status, status->total), *used = kib(status, status->used),
                    *available = kib(status, status->available),
                    *share = percent(status, status->used, status->total);

    printf("%-*s %10s %10s %15s %15s %15s %8s\n", width, status->storage->id,
           status->storage->type->name, state_of(status), total, used, available, share);
    if (verbose)
      tell_more(status);
  }
}

/* What -v says below a storage's line. */
static void warn(const Status *status)
{
  const char *what = status->problem ? status->problem : status->pool ? status->pool->health : NULL;

  if (what)
    cli_warn("storage '%s': %s", status->storage->id, what);
}

static void add_status(JsonBuilder *builder, const Status *status)
{
  const StorageCfgValue *content = storagecfg_value(status->storage, "content");
  const PoolInfo *pool = status->pool;
  guint64 unknown = G_MAXUINT64;

  json_builder_begin_object(builder);
  cli_json_string(builder, "storage", status->storage->id);
  cli_json_string(builder, "type", status->storage->type->name);
  cli_json_string(builder, "status", state_of(status));
  cli_json_boolean(builder, "enabled", status->enabled);
  cli_json_boolean(builder, "active", status->active);
  cli_json_boolean(builder, "shared", storagecfg_boolean(status->storage, "shared", FALSE));
  cli_json_strings(builder, "content", content ? content->list : NULL,
                   content ? g_strv_length(content->list) : 0);
  cli_json_number(builder, "total", status->total);
  cli_json_number(builder, "used", status->used);
  cli_json_number(builder, "avail", status->available);
  cli_json_number(builder, "metadata_size", pool ? pool->metadata_size : unknown);
  cli_json_number(builder, "metadata_used", pool ? pool->metadata_used : unknown);
  cli_json_number(builder, "virtual_size", pool ? pool->virtual_size : unknown);
  json_builder_set_member_name(builder, "overcommit");
  if (pool && pool->size)
    json_builder_add_double_value(builder, (double)pool->virtual_size / (double)pool->size);
  else
    json_builder_add_null_value(builder);
  cli_json_string(builder, "health", pool ? pool->health ? pool->health : "well" : NULL);
  cli_json_string(builder, "unwatched", pool ? pool->unwatched : NULL);
  cli_json_string(builder, "problem", status->problem);
  json_builder_end_object(builder);
}

static void print_json(GPtrArray *all)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "storages");
  json_builder_begin_array(builder);
  for (guint i = 0; i < all->len; i++)
    add_status(builder, all->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

/* --- choosing --- */

static gboolean has_any_content(const StorageCfgStorage *storage, const char *list)
{
  g_auto(GStrv) words = g_strsplit_set(list, ",; ", -1);

  for (char **word = words; *word; word++)
    if (**word && !storage->broken && storagecfg_has_content(storage, *word))
      return TRUE;
  return FALSE;
}

static int compare_ids(gconstpointer a, gconstpointer b)
{
  return strcmp((*(StorageCfgStorage *const *)a)->id, (*(StorageCfgStorage *const *)b)->id);
}

/* For the other node, too, must a storage of --target be. */
static gboolean is_chosen(const StorageCfgStorage *storage, const PvesmWords *words,
                          const char *node)
{
  const char *id = pvesm_option(words, "storage"), *content = pvesm_option(words, "content"),
             *target = pvesm_option(words, "target");

  if (id && strcmp(id, storage->id) != 0)
    return FALSE;
  if (content && !has_any_content(storage, content))
    return FALSE;
  if (pvesm_flag(words, "enabled") &&
      (!storagecfg_is_enabled(storage) || !storagecfg_is_on_node(storage, node)))
    return FALSE;
  return !target || strcmp(target, node) == 0 ||
         (storagecfg_is_on_node(storage, target) && storagecfg_boolean(storage, "shared", FALSE));
}

static gboolean check_words(const StorageCfg *cfg, const PvesmWords *words, GError **error)
{
  const char *id = pvesm_option(words, "storage"), *content = pvesm_option(words, "content");
  g_autoptr(GError) local = NULL;

  if (content && !storagecfg_check_value(storagecfg_property_find("content"), content, &local))
    return pvesm_bad_parameter(error, "content", "%s", local->message);
  return !id || storagecfg_find(cfg, id) ||
         pvesm_bad_parameter(error, "storage", "No such storage.");
}

static gboolean run(const PvesmWords *words, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  g_autoptr(GPtrArray) chosen = g_ptr_array_new(),
                       all = g_ptr_array_new_with_free_func((GDestroyNotify)status_free);
  g_autofree char *node = pvesm_node_name();
  const char *format = pvesm_option(words, "output-format");
  gboolean verbose = pvesm_flag(words, "verbose");
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where(POOL_READ_ONLY);
  const GPtrArray *storages;

  if (!cfg || !check_words(cfg, words, error))
    return FALSE;
  storages = storagecfg_storages(cfg);
  for (guint i = 0; i < storages->len; i++)
    if (is_chosen(storages->pdata[i], words, node))
      g_ptr_array_add(chosen, storages->pdata[i]);
  g_ptr_array_sort(chosen, compare_ids);
  where.look = look;
  for (guint i = 0; i < chosen->len; i++)
    g_ptr_array_add(all, ask(chosen->pdata[i], node, &where));
  if (pvesm_flag(words, "json") || (format && g_str_has_prefix(format, "json")))
    print_json(all);
  else
    print_text(all, verbose);
  for (guint i = 0; !verbose && i < all->len && !pvesm_flag(words, "json"); i++)
    warn(all->pdata[i]);
  return TRUE;
}

static const char *const no_arguments[] = {NULL};
static const PvesmOption options[] = {
    {"storage", PVESM_TEXT, "ID  Only this storage"},
    {"content", PVESM_LIST, "LIST  Only storages with one of these contents"},
    {"enabled", PVESM_FLAG, "[0|1]  Only those that are enabled and meant for this node"},
    {"target", PVESM_TEXT, "NODE  Only those that this other node has, too"},
    {"format", PVESM_FLAG, "[0|1]  As pvesm has it; changes nothing"},
    {"output-format", PVESM_TEXT, "text|json|json-pretty  As pvesh has it"},
    {"json", PVESM_FLAG, "  Print JSON, in bytes, with metadata, health, overcommit and growth"},
    {"verbose", PVESM_FLAG, "  Metadata, health, overcommit and growth, too; also -v"},
    {NULL, 0, NULL},
};
static const PvesmUsage usage = {
    .name = "status",
    .arguments = no_arguments,
    .options = options,
    .summary = "The state of the storages: sizes in KiB",
    .description = "Of a thin pool that is what lvs says of it.",
};

static int run_status(char **words)
{
  return pvesm_run(&usage, run, words);
}

const CliCommand pvesm_status = {
    .name = "status",
    .summary = "The state of the storages",
    .run_words = run_status,
};
