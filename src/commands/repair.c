/* virt-thin - command repair: a thin pool that will not open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/progress.h"
#include "commands/commands.h"
#include "pool/repair/repair.h"
#include "thin/format/device.h"

static gboolean dry_run, json, yes, adopt, remove_unknown, remove_missing, empty_missing;
static char **names;
static char *from, *keep, *roots, *kept, *text_file, *metadata, *output;
static char *chunk_text, *data_text;
static gint64 transaction_id = -1; /* not given */

/* --- telling --- */

static void json_steps(JsonBuilder *builder, const PoolRepairPlan *plan)
{
  json_builder_set_member_name(builder, "steps");
  json_builder_begin_array(builder);
  for (guint i = 0; i < plan->steps->len; i++) {
    const PoolRepairStep *step = plan->steps->pdata[i];

    json_builder_begin_object(builder);
    cli_json_string(builder, "text", step->text);
    cli_json_string(builder, "undo", step->undo);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

static void json_lost(JsonBuilder *builder, const PoolRepairPlan *plan)
{
  json_builder_set_member_name(builder, "lost");
  json_builder_begin_array(builder);
  for (guint i = 0; i < plan->lost->len; i++) {
    const PoolRepairLoss *loss = plan->lost->pdata[i];

    json_builder_begin_object(builder);
    cli_json_string(builder, "volume", loss->volume);
    cli_json_number(builder, "offset", loss->offset);
    cli_json_number(builder, "length", loss->length);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

static void json_older(JsonBuilder *builder, const PoolRepairPlan *plan)
{
  json_builder_set_member_name(builder, "older");
  json_builder_begin_array(builder);
  for (guint i = 0; i < plan->older->len; i++) {
    const PoolRepairOlder *older = plan->older->pdata[i];

    json_builder_begin_object(builder);
    cli_json_string(builder, "volume", older->volume);
    cli_json_number(builder, "transaction_id", older->transaction_id);
    cli_json_number(builder, "missing", older->missing);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

static void print_json(const char *name, const PoolRepairPlan *plan, gboolean done)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();

  json_builder_begin_object(builder);
  cli_json_string(builder, "pool", name);
  cli_json_strings(builder, "diagnosis", (char **)plan->findings->pdata, plan->findings->len);
  json_steps(builder, plan);
  json_lost(builder, plan);
  json_older(builder, plan);
  cli_json_strings(builder, "unknown_devices", (char **)plan->unknown->pdata, plan->unknown->len);
  cli_json_strings(builder, "missing_volumes", (char **)plan->missing->pdata, plan->missing->len);
  cli_json_boolean(builder, "done", done);
  json_builder_end_object(builder);
  cli_json_print(builder);
}

static void print_lost(const PoolRepairPlan *plan)
{
  for (guint i = 0; i < plan->lost->len; i++) {
    const PoolRepairLoss *loss = plan->lost->pdata[i];

    printf("lost: %s: ", loss->volume);
    if (loss->length == G_MAXUINT64)
      printf("all from byte %" G_GUINT64_FORMAT " on\n", loss->offset);
    else
      printf("bytes %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT "\n", loss->offset,
             loss->offset + loss->length - 1);
  }
}

static void print_older(const PoolRepairPlan *plan)
{
  for (guint i = 0; i < plan->older->len; i++) {
    const PoolRepairOlder *older = plan->older->pdata[i];
    g_autofree char *size = cli_size(older->missing);

    printf("lost: %s: its changes since transaction %" G_GUINT64_FORMAT, older->volume,
           older->transaction_id);
    if (older->missing)
      printf(", and %s that it had mapped", size);
    printf("\n");
  }
}

static void print_plan(const char *name, const PoolRepairPlan *plan)
{
  for (guint i = 0; i < plan->findings->len; i++)
    printf("found: %s\n", (char *)plan->findings->pdata[i]);
  for (guint i = 0; i < plan->steps->len; i++)
    printf("step %u: %s\n", i + 1, ((PoolRepairStep *)plan->steps->pdata[i])->text);
  print_lost(plan);
  print_older(plan);
  if (plan->unknown->len)
    printf("to decide: the unknown thin devices: --adopt, or --remove-unknown\n");
  if (plan->missing->len)
    printf("to decide: the volumes without a thin device: --remove-missing, or "
           "--empty-missing\n");
  if (plan->findings->len == 0 && plan->steps->len == 0)
    printf("%s: there is nothing to mend\n", name);
}

static void print_undo(const PoolRepairPlan *plan)
{
  const char *last = NULL;

  for (guint i = plan->steps->len; i-- > 0;) {
    const char *undo = ((PoolRepairStep *)plan->steps->pdata[i])->undo;

    if (undo && g_strcmp0(undo, last) != 0)
      printf("to take back step %u: %s\n", i + 1, undo);
    last = undo;
  }
}

/* --- asking --- */

static gboolean is_terminal(void)
{
  return !json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

/* The first letter of the answer, small; 0: none. */
static char ask(const char *question)
{
  char line[64] = "";

  printf("%s ", question);
  fflush(stdout);
  return fgets(line, sizeof line, stdin) ? g_ascii_tolower(line[0]) : 0;
}

/* TRUE: there is an answer, and all is to be looked at with it. */
static gboolean ask_questions(const PoolRepairPlan *plan, PoolRepairChoice *choice)
{
  char answer;

  if (dry_run || !is_terminal())
    return FALSE;
  if (plan->unknown->len) {
    answer = ask("Devices that no volume is known for: (a)dopt them as volumes, (r)emove them, or "
                 "leave all as it is?");
    choice->adopt = answer == 'a';
    choice->remove_unknown = answer == 'r';
    return choice->adopt || choice->remove_unknown;
  }
  if (!plan->missing->len)
    return FALSE;
  answer = ask("Volumes that have no device: (r)emove them from the text, make them (e)mpty, or "
               "leave all as it is?");
  choice->remove_missing = answer == 'r';
  choice->empty_missing = answer == 'e';
  return choice->remove_missing || choice->empty_missing;
}

static gboolean agreed(GError **error)
{
  if (yes)
    return TRUE;
  if (is_terminal())
    return ask("Do that (y/n)?") == 'y' || vt_set_error(error, ECANCELED, "nothing was changed");
  return vt_set_error(error, EINVAL, "nothing was changed: --yes does what the steps say");
}

/* --- options --- */

static gboolean parse_roots(PoolRepairChoice *choice, GError **error)
{
  char *end = roots;

  if (!roots)
    return TRUE;
  choice->mapping_root = g_ascii_strtoull(roots, &end, 10);
  if (*end == ',')
    choice->details_root = g_ascii_strtoull(end + 1, &end, 10);
  return (choice->mapping_root && *end == '\0') ||
         cli_usage(error, "--roots %s: two blocks are wanted, such as 12,13", roots);
}

static gboolean parse_names(PoolRepairChoice *choice, GError **error)
{
  choice->names = g_hash_table_new(NULL, NULL);
  for (char **name = names; name && *name; name++) {
    char *end;
    guint64 id = g_ascii_strtoull(*name, &end, 10);

    if (*end != '=' || end == *name || id > G_MAXUINT32)
      return cli_usage(error, "--name %s: ID=NAME is wanted, such as 3=vm-100-disk-0", *name);
    g_hash_table_insert(choice->names, GUINT_TO_POINTER((guint)id), end + 1);
  }
  return TRUE;
}

static gboolean parse_options(PoolRepairChoice *choice, GError **error)
{
  *choice = (PoolRepairChoice){.adopt = adopt || names,
                               .remove_unknown = remove_unknown,
                               .remove_missing = remove_missing,
                               .empty_missing = empty_missing,
                               .keep = keep};
  if (choice->adopt && remove_unknown)
    return cli_usage(error, "--adopt or --remove-unknown, not both");
  if (remove_missing && empty_missing)
    return cli_usage(error, "--remove-missing or --empty-missing, not both");
  if ((kept || text_file) &&
      (adopt || remove_unknown || remove_missing || empty_missing || from || keep || roots))
    return cli_usage(error, "--undo and --text stand alone");
  if (from)
    choice->from = g_canonicalize_filename(from, NULL);
  return parse_roots(choice, error) && parse_names(choice, error);
}

/* --- the kinds of repair --- */

typedef struct {
  char *vg, *name, *full;
  PoolWhere where;
  PoolRepairChoice choice;
} Job;

static PoolRepairPlan *look(const Job *job, GError **error)
{
  CliBusy *busy = cli_busy_new("looking at %s", job->full);
  PoolRepairPlan *plan;

  if (text_file)
    plan = pool_repair_text_look(job->vg, text_file, &job->where, error);
  else if (kept)
    plan = pool_repair_undo_look(job->vg, job->name, kept, &job->where, error);
  else
    plan = pool_repair_look(job->vg, job->name, &job->where, &job->choice, error);
  cli_busy_free(busy);
  return plan;
}

static gboolean carry_out(const Job *job, PoolRepairPlan *plan, GError **error)
{
  if (text_file)
    return pool_repair_text(job->vg, text_file, &job->where, plan, error);
  if (kept)
    return pool_repair_undo(job->vg, job->name, kept, &job->where, plan, error);
  return pool_repair_run(job->vg, job->name, &job->where, &job->choice, plan, error);
}

static gboolean mend(Job *job, PoolRepairPlan **plan, GError **error)
{
  if (!(*plan = look(job, error)))
    return FALSE;
  while (ask_questions(*plan, &job->choice)) {
    pool_repair_plan_free(*plan);
    if (!(*plan = look(job, error)))
      return FALSE;
  }
  if (!json)
    print_plan(job->full, *plan);
  if (dry_run || (*plan)->steps->len + (*plan)->unknown->len + (*plan)->missing->len == 0)
    return TRUE;
  return agreed(error) && carry_out(job, *plan, error);
}

static int run_volume_group(char **args, GError **error)
{
  g_autoptr(PoolRepairPlan) plan = NULL;
  Job job = {.where = cli_where_patient(0)};
  gboolean ok =
      parse_options(&job.choice, error) && cli_split_optional(args[0], &job.vg, &job.name, error);

  if (!ok)
    return CLI_WRONG_USAGE;
  job.full = g_strdup(args[0]);
  ok = mend(&job, &plan, error);
  if (plan && json)
    print_json(job.full, plan, ok && !dry_run);
  else if (plan && ok && !dry_run)
    print_undo(plan);
  g_free(job.vg);
  g_free(job.name);
  g_free(job.full);
  g_free((char *)job.choice.from);
  g_hash_table_unref(job.choice.names);
  return cli_status(ok);
}

static gboolean parse_sizes(PoolRepairChoice *choice, GError **error)
{
  guint64 data = 0;

  if (!cli_parse_size("--chunk-size", chunk_text, &choice->chunk_size, error) ||
      !cli_parse_size("--data-size", data_text, &data, error))
    return FALSE;
  if (transaction_id < -1 || (choice->chunk_size == 0) != (data == 0) ||
      choice->chunk_size % THIN_CHUNK_MIN != 0 || choice->chunk_size > THIN_CHUNK_MAX)
    return cli_usage(error, "--chunk-size and --data-size go together; a chunk is a multiple of "
                            "64 KiB, up to 1 GiB; --transaction-id is no negative number");
  choice->n_chunks = data ? data / choice->chunk_size : 0;
  choice->transaction_id = (guint64)MAX(transaction_id, 0);
  return TRUE;
}

static int run_metadata(GError **error)
{
  g_autoptr(PoolRepairPlan) plan = NULL;
  PoolRepairChoice choice = {0};

  if (!metadata || !output)
    return cli_usage(error, "--metadata IN and --output OUT go together"), CLI_WRONG_USAGE;
  if (!parse_roots(&choice, error) || !parse_sizes(&choice, error))
    return CLI_WRONG_USAGE;
  if (!(plan = pool_repair_metadata(metadata, output, &choice, error)))
    return CLI_FAILED;
  if (json)
    print_json(metadata, plan, TRUE);
  else
    print_plan(metadata, plan);
  return CLI_OK;
}

static int run_repair(char **args, GError **error)
{
  if (metadata || output)
    return args && args[0] ? (cli_usage(error, "--metadata stands alone"), CLI_WRONG_USAGE)
                           : run_metadata(error);
  if (!args || !args[0])
    return cli_usage(error, "missing arguments: VG/POOL is wanted"), CLI_WRONG_USAGE;
  return run_volume_group(args, error);
}

static const GOptionEntry repair_options[] = {
    {"dry-run", 0, 0, G_OPTION_ARG_NONE, &dry_run, "Tell what would be done", NULL},
    {"yes", 'y', 0, G_OPTION_ARG_NONE, &yes, "Do it without asking", NULL},
    {"json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL},
    {"adopt", 0, 0, G_OPTION_ARG_NONE, &adopt, "Make volumes of unknown thin devices", NULL},
    {"name", 0, 0, G_OPTION_ARG_STRING_ARRAY, &names, "Adopt them, device ID as NAME", "ID=NAME"},
    {"remove-unknown", 0, 0, G_OPTION_ARG_NONE, &remove_unknown, "Remove unknown thin devices",
     NULL},
    {"remove-missing", 0, 0, G_OPTION_ARG_NONE, &remove_missing,
     "Remove volumes whose thin device is gone", NULL},
    {"empty-missing", 0, 0, G_OPTION_ARG_NONE, &empty_missing, "Give them empty ones", NULL},
    {"from", 0, 0, G_OPTION_ARG_FILENAME, &from, "Go by a copy that was kept of the metadata",
     "FILE"},
    {"keep", 0, 0, G_OPTION_ARG_FILENAME, &keep,
     "Keep the metadata in a file, and write over it: where there is no room for a spare", "FILE"},
    {"roots", 0, 0, G_OPTION_ARG_STRING, &roots,
     "Go by these roots, as 'rescue VG/LV --list-roots' lists them", "BLOCK,BLOCK"},
    {"undo", 0, 0, G_OPTION_ARG_FILENAME, &kept,
     "Take it back: the metadata kept in a volume, or a "
     "file",
     "LV|FILE"},
    {"text", 0, 0, G_OPTION_ARG_FILENAME, &text_file,
     "Put an older text of the volume group back, as 'rescue VG --list-texts' lists them",
     "SEQNO|FILE"},
    {"metadata", 0, 0, G_OPTION_ARG_FILENAME, &metadata, "Mend metadata alone, a file or device",
     "IN"},
    {"output", 0, 0, G_OPTION_ARG_FILENAME, &output, "... into this one", "OUT"},
    {"chunk-size", 0, 0, G_OPTION_ARG_STRING, &chunk_text,
     "... its chunk size, where the superblock is damaged", "SIZE"},
    {"data-size", 0, 0, G_OPTION_ARG_STRING, &data_text, "... and the size of the pool's data",
     "SIZE"},
    {"transaction-id", 0, 0, G_OPTION_ARG_INT64, &transaction_id,
     "... and its transaction id (default: the last that a device was made in)", "N"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_repair = {
    .name = "repair",
    .arguments = "[VG/POOL]",
    .summary = "Mend a thin pool: metadata, transaction ids, devices, the text",
    .description =
        "Tells what is the matter, what would be done, and which ranges of volumes are lost; does "
        "it after a 'y', or with --yes. Damaged metadata is made anew in the spare, and what was "
        "there stays, as a volume POOL_meta0. With what command each step is taken back is told at "
        "the end. The pool must not be in use.",
    .options = repair_options,
    .min_args = 0,
    .max_args = 1,
    .run = run_repair,
};
