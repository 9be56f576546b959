/* virt-thin - command receive: volumes from a stream of virt-thin send
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <unistd.h>

#include "commands/commands.h"
#include "image/interrupt.h"
#include "transfer/identity.h"
#include "transfer/receive.h"
#include "transfer/resume.h"

static gboolean force, resumable, resume_token;

static gboolean receive(VolumeGroup *group, const char *vg, const char *pool, GError **error)
{
  ReceiveWhere where = {.group = group,
                        .pool = pool,
                        .fd = STDIN_FILENO,
                        .name = "the stream on standard input",
                        .resumable = resumable,
                        .force = force};
  ReceiveResult result;
  g_autofree char *data = NULL, *token = NULL;
  gboolean ok = transfer_receive(&where, &result, error);

  token = result.token;
  if (!ok) {
    g_prefix_error(error, "%s was received into %s/%s: ", token ? "not all" : "nothing", vg, pool);
    if (token)
      cli_warn("what has come is kept for a week: go on with the same virt-thin send and --resume "
               "%s",
               token);
    return FALSE;
  }
  data = cli_size(result.data);
  fprintf(stderr, "%u volume%s received, %s of data\n", result.volumes,
          result.volumes == 1 ? "" : "s", data);
  return TRUE;
}

/* Of what nobody is at. */
static int print_tokens(const char *vg, const char *pool)
{
  g_autoptr(GPtrArray) tokens = transfer_list_kept(vg, pool);

  for (guint i = 0; i < tokens->len; i++) {
    const TransferToken *token = tokens->pdata[i];
    g_autofree char *text = transfer_token_format(token);
    g_autoptr(TransferLock) lock = transfer_lock(vg, token->id, NULL);

    if (lock)
      puts(text);
  }
  return CLI_OK;
}

static int run_receive(char **args, GError **error)
{
  g_autofree char *vg = NULL, *pool = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &pool, error))
    return CLI_WRONG_USAGE;
  if (resume_token)
    return print_tokens(vg, pool);
  if (isatty(STDIN_FILENO))
    return cli_usage(error, "standard input is a terminal: what virt-thin send writes is wanted"),
           CLI_WRONG_USAGE;
  image_catch_interrupts();
  group = cli_open_patient(vg, 0, error);
  ok = group && receive(group, vg, pool, error);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry receive_options[] = {
    {"resumable", 0, 0, G_OPTION_ARG_NONE, &resumable,
     "Keep what has come when it is interrupted, and print a token to go on with it", NULL},
    {"resume-token", 0, 0, G_OPTION_ARG_NONE, &resume_token,
     "Print the tokens of what is kept, and do nothing", NULL},
    {"force", 0, 0, G_OPTION_ARG_NONE, &force,
     "Give up what was written here to a volume that becomes as a snapshot of the stream", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_receive = {
    .name = "receive",
    .arguments = "VG/POOL",
    .summary = "Make the volumes of a stream that send wrote",
    .description =
        "Reads standard input. Volumes get their names together, when the whole stream was read "
        "and is in order; before that there is\nnothing of it but volumes vt-receive-..., which "
        "the next receive removes if this one is killed.\n"
        "What is there already is refused, unless the stream is what has changed since a snapshot "
        "that is here, too.",
    .options = receive_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_receive,
};
