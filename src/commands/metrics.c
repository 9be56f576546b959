/* virt-thin - command metrics: volume groups and thin pools for a monitoring system
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "metrics/http.h"
#include "metrics/text.h"
#include "util/files.h"

static gboolean volumes;
static char *output, *listen_at;

static gboolean ask_listen(const char *option, const char *value, gpointer unused, GError **error)
{
  g_free(listen_at);
  listen_at = g_strdup(value ? value : "");
  return TRUE;
}

/* What cannot be read is told, and the rest is there. */
static char *collect(char **vgs, gboolean keep, gboolean *complete)
{
  PoolWhere where = volumes ? cli_where_patient(POOL_READ_ONLY) : cli_where(POOL_READ_ONLY);
  g_autoptr(Metrics) metrics = metrics_collect((const char *const *)vgs, where, volumes, keep);

  for (guint i = 0; i < metrics->problems->len; i++)
    cli_warn("%s", (char *)metrics->problems->pdata[i]);
  if (complete)
    *complete = metrics->problems->len == 0;
  return metrics_format(metrics);
}

static char *answer(gpointer vgs)
{
  return collect(vgs, TRUE, NULL);
}

static int run_metrics(char **args, GError **error)
{
  g_autofree char *text = NULL;
  gboolean complete;

  for (char **arg = args; arg && *arg; arg++)
    if (strchr(*arg, '/'))
      return cli_usage(error, "\"%s\" is not a volume group", *arg), CLI_WRONG_USAGE;
  if (output && listen_at)
    return cli_usage(error, "--output and --listen are two ways: choose one"), CLI_WRONG_USAGE;
  if (listen_at)
    return cli_status(metrics_http_serve(*listen_at ? listen_at : NULL, answer, args, error));
  text = collect(args, output != NULL, &complete);
  if (output && !files_write(output, text, -1, 0644, error))
    return CLI_FAILED;
  if (!output && fputs(text, stdout) == EOF)
    return vt_set_errno(error, errno, "writing metrics to standard output"), CLI_FAILED;
  return cli_status(complete);
}

static const GOptionEntry metrics_options[] = {
    {"volumes", 0, 0, G_OPTION_ARG_NONE, &volumes,
     "Also what each volume uses, and has alone: reads metadata", NULL},
    {"output", 0, 0, G_OPTION_ARG_FILENAME, &output,
     "Write the file anew, whole, for node_exporter's textfile collector", "FILE"},
    {"listen", 0, G_OPTION_FLAG_OPTIONAL_ARG, G_OPTION_ARG_CALLBACK, (gpointer)ask_listen,
     "Answer HTTP at that Unix socket, or at the one from systemd", "SOCKET"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_metrics = {
    .name = "metrics",
    .arguments = "[VG...]",
    .summary = "Tell a monitoring system how pools are",
    .description =
        "OpenMetrics text, which Prometheus reads: how full data and metadata are, how fast they "
        "grow and when they will be full, health, snapshots, how long a service takes for "
        "requests. How fast pools grow is known from samples that --output and --listen keep, one "
        "in five minutes for a day. What cannot be read is left out and told; the exit status is 1 "
        "then. Changes nothing else.\n\n"
        "Example: virt-thin metrics --output /var/lib/prometheus/node-exporter/virt-thin.prom",
    .options = metrics_options,
    .min_args = 0,
    .max_args = -1,
    .run = run_metrics,
};
