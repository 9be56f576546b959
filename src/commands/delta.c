/* virt-thin - command delta: in what two volumes differ, from the metadata alone
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "cli/json.h"
#include "commands/commands.h"

#define RUNS_AT_ONCE 16384

static gboolean json, xml, same;

typedef struct {
  const char *vg, *names[2];
  PoolVolumeInfo *volumes[2];
  PoolInfo *pool;
} Pair;

static void pair_clear(Pair *pair)
{
  pool_volume_info_free(pair->volumes[0]);
  pool_volume_info_free(pair->volumes[1]);
  pool_info_free(pair->pool);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Pair, pair_clear)

/* --- what is printed --- */

typedef struct {
  void (*begin)(const Pair *pair);
  void (*run)(const Pair *pair, const PoolDeltaRun *run);
  void (*end)(const Pair *pair);
} Printer;

static const char *const kinds[] = {"different", "left_only", "right_only", "same"};

static guint64 differing; /* bytes */

static void text_begin(const Pair *pair)
{
  printf("%20s %20s  %s\n", "OFFSET", "LENGTH", "WHERE");
}

static void text_run(const Pair *pair, const PoolDeltaRun *run)
{
  const char *only = run->kind == POOL_DELTA_LEFT_ONLY    ? pair->names[0]
                     : run->kind == POOL_DELTA_RIGHT_ONLY ? pair->names[1]
                                                          : NULL;

  printf("%20" G_GUINT64_FORMAT " %20" G_GUINT64_FORMAT "  %s%s\n", run->offset, run->length,
         only                           ? "only in "
         : run->kind == POOL_DELTA_SAME ? "in both, alike"
                                        : "in both",
         only ? only : "");
}

static void text_end(const Pair *pair)
{
  g_autofree char *size = cli_size(differing);

  printf("%s/%s and %s/%s differ in %s\n", pair->vg, pair->names[0], pair->vg, pair->names[1],
         differing ? size : "nothing");
}

/* As thin_delta writes it, in chunks. Its superblock's "time" is of no use to who reads this. */
static void xml_begin(const Pair *pair)
{
  const PoolInfo *pool = pair->pool;

  printf("<superblock uuid=\"\" transaction=\"%" G_GUINT64_FORMAT
         "\" data_block_size=\"%" G_GUINT64_FORMAT "\" nr_data_blocks=\"%" G_GUINT64_FORMAT "\">\n"
         "  <diff left=\"%u\" right=\"%u\">\n",
         pool->transaction_id, pool->chunk_size / 512, pool->size / pool->chunk_size,
         pair->volumes[0]->device_id, pair->volumes[1]->device_id);
}

static void xml_run(const Pair *pair, const PoolDeltaRun *run)
{
  guint64 chunk = pair->pool->chunk_size;

  printf("    <%s begin=\"%" G_GUINT64_FORMAT "\" length=\"%" G_GUINT64_FORMAT "\"/>\n",
         kinds[run->kind], run->offset / chunk, (run->length + chunk - 1) / chunk);
}

static void xml_end(const Pair *pair)
{
  printf("  </diff>\n</superblock>\n");
}

static JsonBuilder *builder;

static void json_begin(const Pair *pair)
{
  static const char *const sides[] = {"left", "right"};

  builder = json_builder_new();
  json_builder_begin_object(builder);
  for (int i = 0; i < 2; i++) {
    g_autofree char *name = g_strdup_printf("%s/%s", pair->vg, pair->names[i]);
    cli_json_string(builder, sides[i], name);
  }
  cli_json_number(builder, "chunk_size", pair->pool->chunk_size);
  json_builder_set_member_name(builder, "ranges");
  json_builder_begin_array(builder);
}

static void json_run(const Pair *pair, const PoolDeltaRun *run)
{
  json_builder_begin_object(builder);
  cli_json_number(builder, "offset", run->offset);
  cli_json_number(builder, "length", run->length);
  cli_json_string(builder, "kind", kinds[run->kind]);
  json_builder_end_object(builder);
}

static void json_end(const Pair *pair)
{
  json_builder_end_array(builder);
  cli_json_number(builder, "differing", differing);
  json_builder_end_object(builder);
  cli_json_print(builder);
  g_clear_object(&builder);
}

static const Printer text_printer = {text_begin, text_run, text_end},
                     xml_printer = {xml_begin, xml_run, xml_end},
                     json_printer = {json_begin, json_run, json_end};

/* --- the command --- */

static gboolean look_up(VolumeGroup *group, Pair *pair, GError **error)
{
  for (int i = 0; i < 2; i++)
    if (!(pair->volumes[i] = pool_get_volume(group, pair->names[i], error)))
      return FALSE;
  /* of one that is in no thin pool pool_delta() says so */
  pair->pool = pair->volumes[1]->pool ? pool_get_info(group, pair->volumes[1]->pool, error)
                                      : g_new0(PoolInfo, 1);
  return pair->pool != NULL;
}

static gboolean print_delta(VolumeGroup *group, const Pair *pair, const Printer *printer,
                            GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  PoolDeltaFlags flags = same ? POOL_DELTA_WITH_SAME : 0;
  guint64 offset = 0;
  gboolean begun = FALSE;

  while (offset != G_MAXUINT64) {
    if (!pool_delta(group, pair->names[0], pair->names[1], flags, &offset, RUNS_AT_ONCE, runs,
                    error))
      return FALSE;
    if (!begun)
      printer->begin(pair);
    begun = TRUE;
    /* the last run may go on */
    guint n = offset == G_MAXUINT64 ? runs->len : runs->len - (runs->len > 0);
    for (guint i = 0; i < n; i++) {
      const PoolDeltaRun *run = &g_array_index(runs, PoolDeltaRun, i);
      differing += run->kind == POOL_DELTA_SAME ? 0 : run->length;
      printer->run(pair, run);
    }
    g_array_remove_range(runs, 0, n);
  }
  printer->end(pair);
  return TRUE;
}

static int run_delta(char **args, GError **error)
{
  const Printer *printer = json ? &json_printer : xml ? &xml_printer : &text_printer;
  g_autofree char *left_vg = NULL, *left = NULL, *right_vg = NULL, *right = NULL;
  g_auto(Pair) pair = {0};
  VolumeGroup *group;
  gboolean ok;

  if (json && xml)
    return cli_usage(error, "--json or --xml, not both"), CLI_WRONG_USAGE;
  if (!cli_split_name(args[0], &left_vg, &left, error) ||
      !cli_split_name(args[1], &right_vg, &right, error))
    return CLI_WRONG_USAGE;
  if (strcmp(left_vg, right_vg) != 0)
    return cli_usage(error,
                     "%s and %s are in two volume groups: what they have in common is known "
                     "within a thin pool only",
                     args[0], args[1]),
           CLI_WRONG_USAGE;
  same |= xml;
  pair.vg = left_vg;
  pair.names[0] = left;
  pair.names[1] = right;
  if (!(group = cli_open_patient(left_vg, POOL_READ_ONLY, error)))
    return CLI_FAILED;
  ok = look_up(group, &pair, error) && print_delta(group, &pair, printer, error);
  return cli_status(cli_close(group, ok ? error : NULL) && ok);
}

static const GOptionEntry delta_options[] = {
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
    {"xml", 0, 0, G_OPTION_ARG_NONE, &xml, "Print XML, in chunks, as thin_delta does", NULL},
    {"same", 0, 0, G_OPTION_ARG_NONE, &same, "Also what they share (slower)", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_delta = {
    .name = "delta",
    .arguments = "VG/LV VG/LV",
    .summary = "Tell in what two volumes of a thin pool differ",
    .description =
        "The ranges, in bytes, that the two do not share, as the pool's metadata has them: no "
        "data is read, so what is shared no more may still be equal. The cost is that of the "
        "difference, however large the volumes are.\n\n"
        "Example: virt-thin delta pve/snap_vm-100-disk-0_before pve/vm-100-disk-0",
    .options = delta_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_delta,
};
