/* virt-thin - command failover: guests go on from their replicas, on the host that has them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * With --learn, which no user calls, it is told by the host that sends them whose they are.
 */
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "schedule/failover.h"
#include "schedule/replicas.h"

static Failover wanted;
static gboolean learn, all;

/* All of standard input; NULL: @error. */
static char *read_text(GError **error)
{
  GString *text = g_string_new(NULL);
  char buffer[4096];
  gssize n;

  while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) != 0) {
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      vt_set_errno(error, errno, "standard input");
    else if (text->len + (gsize)n > REPLICAS_MAX_SIZE || memchr(buffer, 0, (gsize)n))
      vt_set_error(error, EINVAL, "standard input says nothing of replicas");
    else {
      g_string_append_len(text, buffer, n);
      continue;
    }
    g_string_free(text, TRUE);
    return NULL;
  }
  return g_string_free(text, FALSE);
}

/* Of who came by ssh: "ADDRESS PORT ADDRESS PORT". */
static gboolean run_learn(GError **error)
{
  const char *connection = g_getenv("SSH_CONNECTION");
  g_autofree char *address = connection ? g_strndup(connection, strcspn(connection, " ")) : NULL,
                  *text = read_text(error);

  return text && failover_learn(text, address, error);
}

static int run_failover(char **args, GError **error)
{
  static char *none[] = {NULL};

  wanted.guests = args ? args : none;
  if (learn)
    return cli_status(run_learn(error));
  if (all && (args || !wanted.from))
    return cli_usage(error, "--all is of a host (--from), and of no guests"), CLI_WRONG_USAGE;
  if (wanted.start && wanted.volumes_only)
    return cli_usage(error, "--start and --volumes-only contradict each other"), CLI_WRONG_USAGE;
  if (all || args)
    return cli_status(failover_run(&wanted, error));
  if (wanted.force || wanted.dry_run || wanted.start || wanted.volumes_only)
    return cli_usage(error, "which guest? (--all: all that came --from a host)"), CLI_WRONG_USAGE;
  return cli_status(failover_list(wanted.from, error));
}

static const GOptionEntry options[] = {
    {"all", 0, 0, G_OPTION_ARG_NONE, &all, "All guests that came from that host", NULL},
    {"from", 0, 0, G_OPTION_ARG_STRING, &wanted.from, "The host that the replicas came from",
     "HOST"},
    {"host", 0, 0, G_OPTION_ARG_STRING, &wanted.host, "Where that is asked whether it runs",
     "HOST"},
    {"ssh", 0, 0, G_OPTION_ARG_STRING, &wanted.ssh, "The command that leads there", "COMMAND"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &wanted.force, "Do not ask it", NULL},
    {"dry-run", 0, 0, G_OPTION_ARG_NONE, &wanted.dry_run, "Change nothing, say what would be done",
     NULL},
    {"start", 0, 0, G_OPTION_ARG_NONE, &wanted.start, "Start the domains, too", NULL},
    {"volumes-only", 0, 0, G_OPTION_ARG_NONE, &wanted.volumes_only, "Define no domains", NULL},
    {"learn", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &learn, NULL, NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_failover = {
    .name = "failover",
    .arguments = "[GUEST...]",
    .summary = "Make volumes of replicas, and define the guests that had them",
    .description =
        "On the host that has the replicas, when the one that they came from is gone: each guest's "
        "volumes are made as they were at the newest point of which there is all, and libvirt's "
        "domain, which has travelled along, is defined with them. Refused as long as the first "
        "host answers.\nWithout a guest: which ones there are, and of when.\n\nExample: virt-thin "
        "failover 101 --start",
    .options = options,
    .min_args = 0,
    .max_args = -1,
    .run = run_failover,
};
