/* virt-thin - command usage: what volumes have alone, share, and would give back together
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/json.h"
#include "cli/progress.h"
#include "commands/commands.h"
#include "mount/source.h"

static gboolean json;

/* What is asked about in one volume group. */
typedef struct {
  char *vg;
  GPtrArray *names; /* of char *: volumes; NULL: all of them */
  char *pool;       /* that thin pool's alone; NULL: each one's */
  GPtrArray *found; /* of PoolUsage: of the pools that have some */
} Question;

static void question_clear(Question *question)
{
  g_free(question->vg);
  g_free(question->pool);
  g_clear_pointer(&question->names, g_ptr_array_unref);
  g_clear_pointer(&question->found, g_ptr_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Question, question_clear)

/* --- what is printed --- */

/* What is in use, and by nobody that the metadata names: leaks, or a metadata snapshot's. */
static guint64 unaccounted(const PoolUsage *usage)
{
  return usage->used - MIN(usage->used, usage->mapped + usage->strays);
}

static void json_volume(JsonBuilder *builder, const PoolVolumeUsage *volume)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "name", volume->name);
  cli_json_number(builder, "mapped", volume->mapped);
  cli_json_number(builder, "exclusive", volume->exclusive);
  cli_json_number(builder, "shared", volume->mapped - volume->exclusive);
  json_builder_end_object(builder);
}

static void json_usage(JsonBuilder *builder, const PoolUsage *usage)
{
  json_builder_begin_object(builder);
  cli_json_string(builder, "pool", usage->pool);
  cli_json_number(builder, "used", usage->used);
  cli_json_number(builder, "mapped", usage->mapped);
  cli_json_number(builder, "strays", usage->strays);
  cli_json_number(builder, "unaccounted", unaccounted(usage));
  cli_json_number(builder, "freed", usage->freed);
  json_builder_set_member_name(builder, "volumes");
  json_builder_begin_array(builder);
  for (guint i = 0; i < usage->volumes->len; i++)
    if (((PoolVolumeUsage *)usage->volumes->pdata[i])->chosen)
      json_volume(builder, usage->volumes->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
}

static void print_json(const Question *question)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  cli_json_string(builder, "vg", question->vg);
  json_builder_set_member_name(builder, "pools");
  json_builder_begin_array(builder);
  for (guint i = 0; i < question->found->len; i++)
    json_usage(builder, question->found->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

static int name_width(const PoolUsage *usage, const char *vg)
{
  gsize width = strlen("VOLUME");

  for (guint i = 0; i < usage->volumes->len; i++) {
    const PoolVolumeUsage *volume = usage->volumes->pdata[i];

    if (volume->chosen)
      width = MAX(width, strlen(vg) + 1 + strlen(volume->name));
  }
  return (int)width;
}

/* The number of volumes. */
static guint print_volumes(const PoolUsage *usage, const char *vg)
{
  int width = name_width(usage, vg);
  guint n = 0;

  printf("%-*s %12s %12s %12s\n", width, "VOLUME", "MAPPED", "EXCLUSIVE", "SHARED");
  for (guint i = 0; i < usage->volumes->len; i++) {
    const PoolVolumeUsage *v = usage->volumes->pdata[i];
    g_autofree char *name = g_strdup_printf("%s/%s", vg, v->name), *mapped = cli_size(v->mapped),
                    *exclusive = cli_size(v->exclusive),
                    *shared = cli_size(v->mapped - v->exclusive);

    if (!v->chosen)
      continue;
    printf("%-*s %12s %12s %12s\n", width, name, mapped, exclusive, shared);
    n++;
  }
  return n;
}

static void print_totals(const PoolUsage *usage, const char *vg)
{
  g_autofree char *used = cli_size(usage->used), *mapped = cli_size(usage->mapped);
  guint64 rest = unaccounted(usage);

  printf("%s/%s: %s in use, %s by its volumes", vg, usage->pool, used, mapped);
  if (usage->strays) {
    g_autofree char *strays = cli_size(usage->strays);
    printf(", %s by thin devices that no volume is known for", strays);
  }
  if (rest) {
    g_autofree char *size = cli_size(rest);
    printf(", %s by neither (leaked, or held by a metadata snapshot)", size);
  }
  putchar('\n');
}

static void print_text(const Question *question)
{
  for (guint i = 0; i < question->found->len; i++) {
    const PoolUsage *usage = question->found->pdata[i];
    g_autofree char *freed = cli_size(usage->freed);
    guint n;

    if (i)
      putchar('\n');
    n = print_volumes(usage, question->vg);
    if (!question->names)
      print_totals(usage, question->vg);
    else
      printf("Removing %s would free %s in %s/%s\n", n == 1 ? "it" : "them all", freed,
             question->vg, usage->pool);
  }
}

/* --- the question --- */

static gboolean add_argument(Question *question, const char *argument, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;

  if (!cli_split_optional(argument, &vg, &lv, error))
    return FALSE;
  if (question->vg && (!lv || !question->names || strcmp(vg, question->vg) != 0))
    return cli_usage(
        error,
        "%s: a volume group by itself, or volumes of one volume group are wanted: what "
        "they share is known within a thin pool only",
        argument);
  if (!question->vg && lv)
    question->names = g_ptr_array_new_with_free_func(g_free);
  if (lv)
    g_ptr_array_add(question->names, g_steal_pointer(&lv));
  if (!question->vg)
    question->vg = g_steal_pointer(&vg);
  return TRUE;
}

/* A thin pool by itself stands for all its volumes. */
static gboolean is_pool(VolumeGroup *group, Question *question)
{
  g_autoptr(PoolInfo) info =
      question->names->len == 1 ? pool_get_info(group, question->names->pdata[0], NULL) : NULL;

  if (!info)
    return FALSE;
  g_clear_pointer(&question->names, g_ptr_array_unref);
  question->pool = g_strdup(info->name);
  return TRUE;
}

/* The volumes by name, of each thin pool apart: GStrvBuilder. */
static GHashTable *sort_by_pool(VolumeGroup *group, const Question *question, GError **error)
{
  g_autoptr(GHashTable) pools =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_strv_builder_unref);

  for (guint i = 0; i < question->names->len; i++) {
    g_autofree char *lv = mount_source_find(group, question->vg, question->names->pdata[i], error);
    g_autoptr(PoolVolumeInfo) info = lv ? pool_get_volume(group, lv, error) : NULL;

    if (!info)
      return NULL;
    if (!info->pool) {
      vt_set_error(error, EINVAL, "%s/%s is in no thin pool: all that it has is its own",
                   question->vg, lv);
      return NULL;
    }
    if (!g_hash_table_contains(pools, info->pool))
      g_hash_table_insert(pools, g_strdup(info->pool), g_strv_builder_new());
    g_strv_builder_add(g_hash_table_lookup(pools, info->pool), lv);
  }
  return g_steal_pointer(&pools);
}

static gboolean ask_pool(VolumeGroup *group, Question *question, const char *pool,
                         GStrvBuilder *names, GError **error)
{
  g_auto(GStrv) chosen = names ? g_strv_builder_end(names) : NULL;
  PoolUsage *usage = pool_usage(group, pool, (const char *const *)chosen, error);

  if (usage)
    g_ptr_array_add(question->found, usage);
  return usage != NULL;
}

static gboolean ask(VolumeGroup *group, Question *question, GError **error)
{
  g_autoptr(GPtrArray) pools = pool_list_pools(group, error);
  g_autoptr(GHashTable) wanted = NULL;

  if (!pools)
    return FALSE;
  if (question->names && !is_pool(group, question) &&
      !(wanted = sort_by_pool(group, question, error)))
    return FALSE;
  for (guint i = 0; i < pools->len; i++) {
    const char *pool = ((PoolInfo *)pools->pdata[i])->name;

    if (wanted ? !g_hash_table_contains(wanted, pool)
               : question->pool && strcmp(question->pool, pool) != 0)
      continue;
    if (!ask_pool(group, question, pool, wanted ? g_hash_table_lookup(wanted, pool) : NULL, error))
      return FALSE;
  }
  return TRUE;
}

static int run_usage(char **args, GError **error)
{
  g_auto(Question)
      question = {.found = g_ptr_array_new_with_free_func((GDestroyNotify)pool_usage_free)};
  VolumeGroup *group;
  CliBusy *busy;
  gboolean ok;

  for (; *args; args++)
    if (!add_argument(&question, *args, error))
      return CLI_WRONG_USAGE;
  if (!(group = cli_open_patient(question.vg, POOL_READ_ONLY, error)))
    return CLI_FAILED;
  busy = cli_busy_new("reading the metadata of %s", question.vg);
  ok = ask(group, &question, error);
  cli_busy_free(busy);
  if (!cli_close(group, ok ? error : NULL) || !ok)
    return CLI_FAILED;
  if (json)
    print_json(&question);
  else
    print_text(&question);
  return CLI_OK;
}

static const GOptionEntry usage_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON, sizes in bytes", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_usage_command = {
    .name = "usage",
    .arguments = "VG[/LV...]",
    .summary = "Tell what volumes have alone, and would free",
    .description =
        "What each maps, has alone, and shares with others; and what removing all the volumes "
        "named would free, which is more than the sum of what each has alone if they share with "
        "one another. Of a volume group, or a thin pool: all volumes, and what they come to. "
        "VG/LV@SNAPSHOT is a snapshot. Reads metadata, and changes nothing.\n\n"
        "Example: virt-thin usage pve/vm-100-disk-0@monday pve/vm-100-disk-0@tuesday",
    .options = usage_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_usage,
};
