/* virt-thin - command list: the volumes of a volume group or thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/json.h"
#include "commands/commands.h"
#include "commands/list-tree.h"

static gboolean json;
static ListTree *tree; /* NULL: for programs */

typedef struct {
  GPtrArray *volumes;  /* of PoolVolumeInfo */
  GPtrArray *warnings; /* of char * */
} Listing;

static void listing_clear(Listing *listing)
{
  g_ptr_array_unref(listing->volumes);
  g_ptr_array_unref(listing->warnings);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Listing, listing_clear)

/* --- what there is --- */

static void add_warning(Listing *listing, const char *vg, const char *name, const char *what)
{
  g_ptr_array_add(listing->warnings,
                  g_strdup_printf("%s%s%s: %s", vg, name ? "/" : "", name ? name : "", what));
}

/* How the VG and its pools, or one of them, are. What a pool has from the VG is told once; the
 * tree's headings tell it of pools. */
static void collect_health(VolumeGroup *group, const char *thin_pool, Listing *listing)
{
  g_autoptr(PoolVgInfo) vg = pool_get_vg_info(group, NULL);
  g_autoptr(GPtrArray) pools = pool_list_pools(group, NULL);

  if (vg && vg->health)
    add_warning(listing, vg->name, NULL, vg->health);
  for (guint i = 0; !tree && vg && pools && i < pools->len; i++) {
    const PoolInfo *info = pools->pdata[i];

    if (info->health && g_strcmp0(info->health, vg->health) != 0 &&
        (!thin_pool || strcmp(thin_pool, info->name) == 0))
      add_warning(listing, info->vg, info->name, info->health);
  }
}

/* Volumes of one VG; FALSE with a word on standard error. */
static gboolean collect(const PoolWhere *where, const char *vg, const char *thin_pool,
                        Listing *listing, GError **error)
{
  VolumeGroup *group = pool_open(vg, where, error);
  g_autoptr(GPtrArray) volumes = NULL;

  if (!group)
    return FALSE;
  /* Of a pool that is not there there is no list, not an empty one. */
  if (thin_pool) {
    g_autoptr(PoolInfo) info = pool_get_info(group, thin_pool, error);

    if (!info)
      return cli_close(group, error), FALSE;
  }
  volumes = pool_list_volumes(group, thin_pool, error);
  if (volumes && tree)
    list_tree_add(tree, group, thin_pool, volumes);
  if (volumes) {
    g_ptr_array_set_free_func(volumes, NULL);
    for (guint i = 0; i < volumes->len; i++)
      g_ptr_array_add(listing->volumes, volumes->pdata[i]);
    collect_health(group, thin_pool, listing);
  }
  return cli_close(group, error) && volumes;
}

/* --- telling --- */

static void print_json(GPtrArray *volumes)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "volumes");
  json_builder_begin_array(builder);
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];

    json_builder_begin_object(builder);
    cli_json_string(builder, "vg", v->vg);
    cli_json_string(builder, "name", v->name);
    cli_json_string(builder, "pool", v->pool);
    cli_json_number(builder, "vmid", v->vmid < 0 ? G_MAXUINT64 : (guint64)v->vmid);
    cli_json_number(builder, "size", v->size);
    cli_json_number(builder, "mapped", v->mapped);
    cli_json_string(builder, "origin", v->origin);
    cli_json_number(builder, "device_id", v->pool ? v->device_id : G_MAXUINT64);
    cli_json_string(builder, "uuid", v->uuid);
    cli_json_boolean(builder, "readonly", v->read_only);
    cli_json_strings(builder, "tags", v->tags, v->tags ? g_strv_length(v->tags) : 0);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

static void print_text(GPtrArray *volumes)
{
  int width = (int)strlen("VOLUME");

  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];

    width = MAX(width, (int)(strlen(v->vg) + 1 + strlen(v->name)));
  }
  printf("%-*s %-12s %12s %12s %-3s %s\n", width, "VOLUME", "POOL", "SIZE", "MAPPED", "", "ORIGIN");
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];
    g_autofree char *name = g_strdup_printf("%s/%s", v->vg, v->name), *size = cli_size(v->size),
                    *mapped = cli_size(v->mapped);

    printf("%-*s %-12s %12s %12s %-3s %s\n", width, name, v->pool ? v->pool : "-", size, mapped,
           v->read_only ? "ro" : "rw", v->origin ? v->origin : "");
  }
}

/* Every volume group there is; those that cannot be read are told, and the rest listed. */
static gboolean collect_all(const PoolWhere *where, Listing *listing)
{
  gboolean all;
  g_autoptr(GPtrArray) vgs = cli_list_vgs(where, &all);

  for (guint i = 0; i < vgs->len; i++) {
    const PoolVg *vg = vgs->pdata[i];
    g_autoptr(GError) local = NULL;

    all = !vg->twice && all;
    if (!vg->twice && !collect(where, vg->name, NULL, listing, &local)) {
      cli_warn("%s", local->message);
      all = FALSE;
    }
  }
  return all;
}

static int run_list(char **args, GError **error)
{
  g_auto(Listing) listing = {g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free),
                             g_ptr_array_new_with_free_func(g_free)};
  g_autofree char *vg = NULL, *thin_pool = NULL;
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where(POOL_READ_ONLY);
  gboolean ok;

  if (args && !cli_split_optional(args[0], &vg, &thin_pool, error))
    return CLI_WRONG_USAGE;
  tree = !json && isatty(STDOUT_FILENO) ? list_tree_new() : NULL;
  where.look = look;
  ok = vg ? collect(&where, vg, thin_pool, &listing, error) : collect_all(&where, &listing);
  if (vg && !ok)
    return CLI_FAILED;
  if (vg)
    cli_tell_namesakes(&where, vg);
  if (json)
    print_json(listing.volumes);
  else if (tree)
    list_tree_print(tree);
  else
    print_text(listing.volumes);
  for (guint i = 0; i < listing.warnings->len; i++)
    cli_warn("%s", (char *)listing.warnings->pdata[i]);
  for (guint i = 0; i < listing.volumes->len; i++) {
    const PoolVolumeInfo *v = listing.volumes->pdata[i];

    if (v->damage)
      cli_warn("%s/%s cannot be read whole: %s", v->vg, v->name, v->damage);
  }
  g_clear_pointer(&tree, list_tree_free);
  return cli_status(ok);
}

static const GOptionEntry list_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, sizes in bytes", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_list = {
    .name = "list",
    .arguments = "[VG[/POOL]]",
    .summary = "List volumes",
    .description =
        "MAPPED is what a volume uses of its pool, alone or together with others. On a terminal\n"
        "volumes hang on their origins. EXCLUSIVE is what removing one would give back; it is\n"
        "counted for two seconds at most. FLAGS: ro or rw, a active, ! damaged. Changes nothing.",
    .options = list_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_list,
};
