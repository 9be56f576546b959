/* virt-thin - command info: what there is to know about a volume group, thin pool or volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/progress.h"
#include "commands/commands.h"
#include "commands/list-tree.h"
#include "pool/users.h"
#include "util/block-stack.h"

static gboolean json;
static gboolean terminal; /* for people, with bars; else as programs know it */

/* --- for people: "name   value" --- */

static void line(const char *name, const char *value)
{
  if (value && *value)
    printf("%-18s %s\n", name, value);
}

static void size_line(const char *name, guint64 bytes)
{
  g_autofree char *text = bytes == G_MAXUINT64 ? g_strdup("not known") : cli_size(bytes);

  line(name, text);
}

/* @part of @size, and how much of that is @used for the bar. */
static void bar_line(const char *name, guint64 part, guint64 size, guint64 used)
{
  g_autofree char *a = cli_size(part), *b = cli_size(size), *bar = cli_bar(used, size),
                  *shown = terminal ? g_strdup_printf("[%s] ", bar) : g_strdup(""), *text = NULL;

  if (part == G_MAXUINT64)
    text = g_strdup_printf("%snot known, of %s", shown, b);
  else
    text = g_strdup_printf("%s%s of %s (%.2f %%)", shown, a, b,
                           size ? 100.0 * (double)part / (double)size : 0.0);
  line(name, text);
}

static void share_line(const char *name, guint64 used, guint64 size)
{
  g_autofree char *whole = cli_size(size), *text = g_strdup_printf("not known, of %s", whole);

  if (used == G_MAXUINT64)
    line(name, text);
  else
    bar_line(name, used, size, used);
}

static void number_line(const char *name, guint64 number)
{
  g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, number);

  line(name, text);
}

static void list_line(const char *name, char **values)
{
  g_autofree char *text = values ? g_strjoinv(" ", values) : NULL;

  line(name, text);
}

static void spare_line(const PoolInfo *info)
{
  g_autofree char *size = info->metadata_spare ? cli_size(info->metadata_spare) : g_strdup("none"),
                  *text = NULL;

  if (info->metadata_spare < info->metadata_size)
    text = g_strdup_printf(
        "%s: too little to repair the metadata with (it grows with that: virt-thin resize "
        "--metadata %s/%s +1)",
        size, info->vg, info->name);
  line("metadata spare", text ? text : size);
}

static void snapshots_line(const PoolInfo *info)
{
  g_autofree char *each = NULL, *text = NULL;

  if (info->snapshots_left == G_MAXUINT64)
    return;
  each = cli_size(info->snapshots_metadata / info->snapshots_counted);
  text = g_strdup_printf("metadata has room for about %" G_GUINT64_FORMAT
                         " more like the last %u (%s each)",
                         info->snapshots_left, info->snapshots_counted, each);
  line("snapshots", text);
}

static void print_pool(const PoolInfo *info)
{
  g_autofree char *name = g_strdup_printf("%s/%s", info->vg, info->name),
                  *growth = cli_growth(info);

  line("thin pool", name);
  line("uuid", info->uuid);
  share_line("data", info->used, info->size);
  share_line("metadata", info->metadata_used, info->metadata_size);
  spare_line(info);
  snapshots_line(info);
  size_line("chunk size", info->chunk_size);
  number_line("volumes", info->n_volumes);
  size_line("virtual size", info->virtual_size);
  if (info->size && info->virtual_size > info->size) {
    g_autofree char *text =
        g_strdup_printf("%.2f times", (double)info->virtual_size / (double)info->size);

    line("overcommit", text);
  }
  line("grows", growth);
  if (info->max_size)
    size_line("grows to", info->max_size);
  line("grown", info->grown);
  number_line("transaction id", info->transaction_id);
  line("health", info->health ? info->health : "well");
}

/* What each physical volume is made of, and what is made of it. */
static void print_stack(const PoolVgInfo *info, GPtrArray *pools)
{
  g_autoptr(GString) above = g_string_new(NULL);

  g_string_printf(above, " -> volume group %s", info->name);
  for (guint i = 0; i < pools->len; i++)
    g_string_append_printf(above, "%s%s", i ? ", " : " -> thin pool ",
                           ((PoolInfo *)pools->pdata[i])->name);
  for (char **device = info->devices; device && *device; device++) {
    struct stat st;
    gboolean block = stat(*device, &st) == 0 && S_ISBLK(st.st_mode);
    g_autofree char *below =
        block ? block_stack_describe(st.st_rdev, "/sys") : g_strdup_printf("file %s", *device);
    g_autofree char *text = g_strconcat(below, above->str, NULL);

    line(device == info->devices ? "stack" : "", text);
  }
}

static void print_vg(const PoolVgInfo *info, GPtrArray *pools)
{
  line("volume group", info->name);
  line("uuid", info->uuid);
  list_line("devices", info->devices);
  bar_line("free", info->free, info->size, info->size - MIN(info->free, info->size));
  size_line("extent size", info->extent_size);
  share_line("metadata area", info->metadata_area_used, info->metadata_area_size);
  number_line("seqno", info->seqno);
  line("served by", info->served_by ? info->served_by : "nobody");
  line("health", info->health ? info->health : "well");
  if (terminal)
    print_stack(info, pools);
  for (guint i = 0; i < pools->len; i++) {
    putchar('\n');
    print_pool(pools->pdata[i]);
  }
}

typedef struct {
  gboolean known;
  guint64 exclusive, shared;
} Counts;

static void print_volume(const PoolVolumeInfo *v, const Counts *counts, const char *user)
{
  g_autofree char *name = g_strdup_printf("%s/%s", v->vg, v->name), *time = NULL;

  line("volume", name);
  line("uuid", v->uuid);
  line("kind", v->kind == POOL_VOLUME_LINEAR ? "linear"
               : v->snapshot_of              ? "thin snapshot"
                                             : "thin");
  line("thin pool", v->pool);
  line("origin", v->origin);
  line("snapshot of", v->snapshot_of);
  line("snapshot name", v->snapshot_name);
  size_line("size", v->size);
  size_line("mapped", v->mapped);
  if (counts->known) {
    size_line("exclusive", counts->exclusive);
    size_line("shared", counts->shared);
  }
  if (v->vmid >= 0)
    number_line("vmid", (guint64)v->vmid);
  if (v->pool)
    number_line("device id", v->device_id);
  line("access", v->read_only ? "read-only" : "read-write");
  line("active", v->active ? "yes" : "no");
  line("open by", user);
  line("path", v->path);
  list_line("tags", v->tags);
  if (v->creation_time) {
    g_autoptr(GDateTime) when = g_date_time_new_from_unix_local((gint64)v->creation_time);

    time = when ? g_date_time_format(when, "%F %T %z") : NULL;
    line("created", time);
  }
  line("damage", v->damage);
}

/* --- JSON --- */

static void json_pool(JsonBuilder *builder, const PoolInfo *info)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "vg", info->vg);
  cli_json_string(builder, "name", info->name);
  cli_json_string(builder, "uuid", info->uuid);
  cli_json_number(builder, "size", info->size);
  cli_json_number(builder, "used", info->used);
  cli_json_number(builder, "metadata_size", info->metadata_size);
  cli_json_number(builder, "metadata_used", info->metadata_used);
  cli_json_number(builder, "metadata_spare", info->metadata_spare);
  cli_json_number(builder, "snapshots_counted", info->snapshots_counted);
  cli_json_number(builder, "snapshots_metadata", info->snapshots_metadata);
  cli_json_number(builder, "snapshots_left", info->snapshots_left);
  cli_json_number(builder, "available", info->available);
  cli_json_number(builder, "chunk_size", info->chunk_size);
  cli_json_number(builder, "virtual_size", info->virtual_size);
  cli_json_number(builder, "volumes", info->n_volumes);
  cli_json_number(builder, "transaction_id", info->transaction_id);
  cli_json_boolean(builder, "needs_check", info->needs_check);
  cli_json_boolean(builder, "readonly", info->read_only);
  cli_json_boolean(builder, "active", info->active);
  cli_json_number(builder, "max_size", info->max_size ? info->max_size : G_MAXUINT64);
  cli_json_number(builder, "grows_at",
                  info->grows_at && info->grows_at < 100 ? info->grows_at : G_MAXUINT64);
  cli_json_number(builder, "grows_by", info->grows_by ? info->grows_by : G_MAXUINT64);
  cli_json_string(builder, "unwatched", info->unwatched);
  cli_json_string(builder, "grown", info->grown);
  cli_json_string(builder, "health", info->health);
  json_builder_end_object(builder);
}

static void json_vg(JsonBuilder *builder, const PoolVgInfo *info, GPtrArray *pools)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "name", info->name);
  cli_json_string(builder, "uuid", info->uuid);
  cli_json_strings(builder, "devices", info->devices,
                   info->devices ? g_strv_length(info->devices) : 0);
  cli_json_number(builder, "size", info->size);
  cli_json_number(builder, "free", info->free);
  cli_json_number(builder, "extent_size", info->extent_size);
  cli_json_number(builder, "metadata_area_size", info->metadata_area_size);
  cli_json_number(builder, "metadata_area_used", info->metadata_area_used);
  cli_json_number(builder, "seqno", info->seqno);
  cli_json_string(builder, "served_by", info->served_by);
  cli_json_string(builder, "health", info->health);
  json_builder_set_member_name(builder, "pools");
  json_builder_begin_array(builder);
  for (guint i = 0; i < pools->len; i++)
    json_pool(builder, pools->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
}

static void json_volume(JsonBuilder *builder, const PoolVolumeInfo *v, const Counts *counts,
                        const char *user)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "vg", v->vg);
  cli_json_string(builder, "name", v->name);
  cli_json_string(builder, "uuid", v->uuid);
  cli_json_string(builder, "kind", v->kind == POOL_VOLUME_LINEAR ? "linear" : "thin");
  cli_json_string(builder, "pool", v->pool);
  cli_json_string(builder, "origin", v->origin);
  cli_json_string(builder, "snapshot_of", v->snapshot_of);
  cli_json_string(builder, "snapshot_name", v->snapshot_name);
  cli_json_number(builder, "vmid", v->vmid < 0 ? G_MAXUINT64 : (guint64)v->vmid);
  cli_json_number(builder, "size", v->size);
  cli_json_number(builder, "mapped", v->mapped);
  cli_json_number(builder, "exclusive", counts->known ? counts->exclusive : G_MAXUINT64);
  cli_json_number(builder, "shared", counts->known ? counts->shared : G_MAXUINT64);
  cli_json_number(builder, "device_id", v->pool ? v->device_id : G_MAXUINT64);
  cli_json_boolean(builder, "readonly", v->read_only);
  cli_json_boolean(builder, "active", v->active);
  cli_json_number(builder, "creation_time", v->creation_time ? v->creation_time : G_MAXUINT64);
  cli_json_string(builder, "path", v->path);
  cli_json_strings(builder, "tags", v->tags, v->tags ? g_strv_length(v->tags) : 0);
  cli_json_string(builder, "damage", v->damage);
  cli_json_string(builder, "open_by", user);
  json_builder_end_object(builder);
}

/* {"volume_group"|"pool"|"volume": …} */
static JsonBuilder *json_document(const char *member)
{
  JsonBuilder *builder = json_builder_new();

  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, member);
  return builder;
}

static void json_finish(JsonBuilder *builder)
{
  json_builder_end_object(builder);
  cli_json_print(builder);
  g_object_unref(builder);
}

/* --- the command --- */

/* @all: one of several, for whose document it is. */
static gboolean info_vg(VolumeGroup *group, JsonBuilder *all, GError **error)
{
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(group, error);
  g_autoptr(GPtrArray) pools = info ? pool_list_pools(group, error) : NULL;

  if (!pools)
    return FALSE;
  if (all) {
    json_vg(all, info, pools);
  } else if (json) {
    JsonBuilder *builder = json_document("volume_group");

    json_vg(builder, info, pools);
    json_finish(builder);
  } else {
    print_vg(info, pools);
  }
  return TRUE;
}

static gboolean info_pool(VolumeGroup *group, const char *name)
{
  g_autoptr(PoolInfo) info = pool_get_info(group, name, NULL);

  if (!info)
    return FALSE;
  if (json) {
    JsonBuilder *builder = json_document("pool");

    json_pool(builder, info);
    json_finish(builder);
  } else {
    print_pool(info);
  }
  return TRUE;
}

static gboolean info_volume(VolumeGroup *group, const char *name, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, name, error);
  g_autofree char *user = NULL;
  g_autoptr(BlockScan) scan = NULL;
  Counts counts = {0};

  if (!info)
    return FALSE;
  user = pool_volume_user(info, &scan);
  /* Of a damaged volume they cannot be told; the damage is. */
  counts.known =
      info->pool && pool_count_volume(group, name, &counts.exclusive, &counts.shared, NULL);
  if (json) {
    JsonBuilder *builder = json_document("volume");

    json_volume(builder, info, &counts, user);
    json_finish(builder);
  } else {
    print_volume(info, &counts, user);
  }
  return TRUE;
}

/* Every volume group there is; those that cannot be read are told, and the rest shown. */
static gboolean info_all(void)
{
  JsonBuilder *builder = json ? json_document("volume_groups") : NULL;
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where_patient(POOL_READ_ONLY);
  g_autoptr(GPtrArray) vgs = NULL;
  gboolean ok;

  where.look = look;
  vgs = cli_list_vgs(&where, &ok);
  if (!vgs->len)
    cli_warn("there is no volume group; virt-thin init makes one");
  if (builder)
    json_builder_begin_array(builder);
  for (guint i = 0; i < vgs->len; i++) {
    const PoolVg *vg = vgs->pdata[i];
    g_autoptr(GError) local = NULL;
    VolumeGroup *group;

    ok = ok && !vg->twice;
    if (vg->twice)
      continue;
    group = pool_open(vg->name, &where, &local);
    if (!json && i)
      printf("\n\n");
    if (!group || !info_vg(group, builder, &local) || !cli_close(group, &local)) {
      cli_warn("%s", local->message);
      ok = FALSE;
    }
  }
  if (builder) {
    json_builder_end_array(builder);
    json_finish(builder);
  }
  return ok;
}

static int run_info(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where_patient(POOL_READ_ONLY);
  VolumeGroup *group;
  gboolean ok;

  terminal = !json && isatty(STDOUT_FILENO);
  if (!args)
    return cli_status(info_all());
  if (!cli_split_optional(args[0], &vg, &lv, error))
    return CLI_WRONG_USAGE;
  where.look = look;
  group = cli_open_at(&where, vg, error);
  if (!group)
    return CLI_FAILED;
  cli_tell_namesakes(&where, vg);
  if (!lv)
    ok = info_vg(group, NULL, error);
  else
    ok = info_pool(group, lv) || info_volume(group, lv, error);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry info_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, sizes in bytes", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_info = {
    .name = "info",
    .arguments = "[VG[/LV]]",
    .summary = "Tell about a volume group, thin pool or volume",
    .description = "Exclusive is what removing the volume would give back to the pool; shared is "
                   "used by others, too. "
                   "Without an argument: all volume groups. Changes nothing.",
    .options = info_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_info,
};
