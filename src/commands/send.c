/* virt-thin - command send: volumes of a thin pool as a stream
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "image/interrupt.h"
#include "transfer/identity.h"
#include "transfer/send.h"

#define PIPE_SIZE (256 << 10) /* more leaves the processors' caches */

static char **since, *resume;
static gboolean recursive, zstd;

/* --- what is named --- */

typedef struct {
  char *vg, *pool;
  GPtrArray *volumes; /* of char *, NULL-terminated once all are there */
  gboolean whole;
} Named;

static void named_clear(Named *named)
{
  g_free(named->vg);
  g_free(named->pool);
  g_ptr_array_unref(named->volumes);
}

/* VG/POOL, VG/POOL/LV or VG/LV: a pool and a volume never have the same name. */
static gboolean add_name(Named *named, VolumeGroup *group, const char *rest, GError **error)
{
  const char *slash = strchr(rest, '/'), *pool;
  g_autofree char *first = slash ? g_strndup(rest, (gsize)(slash - rest)) : g_strdup(rest);
  const char *volume = slash ? slash + 1 : NULL;
  g_autoptr(PoolVolumeInfo) info = NULL;
  g_autoptr(PoolInfo) whole = NULL;

  if (!slash && !(whole = pool_get_info(group, first, NULL)))
    volume = first;
  if (volume && !(info = pool_get_volume(group, volume, error)))
    return FALSE;
  if (info && info->kind != POOL_VOLUME_THIN)
    return vt_set_error(error, EOPNOTSUPP, "%s/%s is in no thin pool: virt-thin export reads it",
                        named->vg, volume);
  pool = info ? info->pool : first;
  if (info && slash && strcmp(pool, first) != 0)
    return vt_set_error(error, ENOENT, "volume %s/%s is in thin pool %s, not in %s", named->vg,
                        volume, pool, first);
  if (named->pool && strcmp(named->pool, pool) != 0)
    return vt_set_error(error, EOPNOTSUPP,
                        "what one stream has is of one thin pool, not of %s and %s: send twice",
                        named->pool, pool);
  g_free(named->pool);
  named->pool = g_strdup(pool);
  if (volume)
    g_ptr_array_add(named->volumes, g_strdup(volume));
  else
    named->whole = TRUE;
  return TRUE;
}

static gboolean add_names(Named *named, VolumeGroup *group, char **args, GError **error)
{
  for (; *args; args++) {
    g_autofree char *vg = NULL, *rest = NULL;

    if (!cli_split_name(*args, &vg, &rest, error) || !add_name(named, group, rest, error))
      return FALSE;
  }
  g_ptr_array_add(named->volumes, NULL);
  return TRUE;
}

static gboolean find_vg(Named *named, char **args, GError **error)
{
  for (; *args; args++) {
    g_autofree char *vg = NULL, *rest = NULL;

    if (!cli_split_name(*args, &vg, &rest, error))
      return FALSE;
    if (named->vg && strcmp(named->vg, vg) != 0)
      return cli_usage(error, "what one stream has is of one volume group, not of %s and %s",
                       named->vg, vg);
    g_free(named->vg);
    named->vg = g_steal_pointer(&vg);
  }
  return TRUE;
}

/* --- sending --- */

static gboolean write_stream(SendPlan *plan, const char *name, const TransferToken *token,
                             GError **error)
{
  StreamHeader header = {.flags = token ? STREAM_RESUMED : 0, .estimate = send_plan_estimate(plan)};
  g_autofree char *id = token ? g_strdup(token->id) : transfer_new_id();
  g_autoptr(StreamWriter) writer = NULL;
  CliProgress *progress;
  guint64 data;
  gboolean ok;

  transfer_parse_id(id, header.id);
  (void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
  writer = stream_writer_new(STDOUT_FILENO, "standard output", &header, zstd, error);
  if (!writer)
    return FALSE;
  progress = cli_progress_new(header.estimate, "sending %s", name);
  ok = send_plan_write(plan, writer, progress, &data, error) && stream_write_end(writer, error);
  cli_progress_free(progress);
  return ok;
}

static gboolean send_named(VolumeGroup *group, Named *named, GError **error)
{
  SendWhat what = {.group = group,
                   .pool = named->pool,
                   .volumes = named->whole ? NULL : (const char *const *)named->volumes->pdata,
                   .recursive = recursive,
                   .since = (const char *const *)since};
  g_autofree char *name = g_strdup_printf(
      "%s/%s", named->vg, named->whole ? named->pool : (const char *)named->volumes->pdata[0]);
  g_autoptr(TransferToken) token = resume ? transfer_token_parse(resume, error) : NULL;
  g_autoptr(SendPlan) plan = NULL;
  CliBusy *busy;

  if (resume && !token)
    return FALSE;
  transfer_clean_up(group);
  busy = cli_busy_new("comparing volumes of %s/%s", named->vg, named->pool);
  plan = send_plan_new(&what, error);
  cli_busy_free(busy);
  return plan && (!token || send_plan_resume(plan, token, error)) &&
         write_stream(plan, name, token, error);
}

static int run_send(char **args, GError **error)
{
  Named named = {.volumes = g_ptr_array_new_with_free_func(g_free)};
  VolumeGroup *group = NULL;
  gboolean ok = FALSE;

  if (isatty(STDOUT_FILENO))
    cli_usage(error, "standard output is a terminal: give the stream to virt-thin receive by a "
                     "pipe or ssh, or to a file");
  else if (find_vg(&named, args, error)) {
    image_catch_interrupts();
    group = cli_open_patient(named.vg, 0, error);
    ok = group && add_names(&named, group, args, error) && send_named(group, &named, error);
  }
  named_clear(&named);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry send_options[] = {
    {"since", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &since,
     "Only what has changed since this snapshot, which the receiver has; may be repeated, of "
     "others "
     "that it has",
     "SNAPSHOT"},
    {"recursive", 0, 0, G_OPTION_ARG_NONE, &recursive, "The volumes' snapshots, too", NULL},
    {"resume", 0, 0, G_OPTION_ARG_FILENAME, &resume,
     "Go on where the receiver was interrupted that has printed this token", "TOKEN"},
    {"zstd", 0, 0, G_OPTION_ARG_NONE, &zstd, "Compress with zstd; receive sees that by itself",
     NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_send = {
    .name = "send",
    .arguments = "VG/POOL[/LV]...",
    .summary = "Write volumes and snapshots as a stream, for receive",
    .description =
        "Writes to standard output. Of a volume that can be written to a snapshot is sent, which "
        "is taken now (of several at one\ninstant) and removed in the end.\n"
        "What volumes share travels once. The receiving pool may have other chunks, another engine "
        "and be on another host:\n"
        "  virt-thin send pve/data/vm-100-disk-0 --recursive | ssh HOST virt-thin receive vg/pool\n"
        "With --since a snapshot that both sides have, only what has changed since travels; at the "
        "receiver a volume of which a\nsnapshot is sent becomes as that snapshot.",
    .options = send_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_send,
};
