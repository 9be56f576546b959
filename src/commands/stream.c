/* virt-thin - command stream, for the storage backend alone: a volume of the kernel's as a file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <unistd.h>

#include "commands/commands.h"
#include "service/fuse/stream-file.h"

#define PATIENCE_MS (60 * 1000)

static gboolean read_only;
static int ready_fd;

/* From here on nobody listens: the command is over. */
static void become_background(void)
{
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);

  for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
    dup2(null, fd);
  if (write(ready_fd, "", 1) != 1)
    _exit(CLI_FAILED);
  close(ready_fd);
}

static gboolean serve(char **args, GError **error)
{
  g_autofree char *vg = NULL, *lv = NULL;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_name(args[0], &vg, &lv, error))
    return FALSE;
  group = cli_open(vg, read_only ? POOL_READ_ONLY : 0, error);
  ok = group &&
       stream_file_serve(group, lv, read_only, args[1], PATIENCE_MS, become_background, error);
  return cli_close(group, error) && ok;
}

static int run_stream(char **args, GError **error)
{
  int ready[2];
  char byte;
  pid_t pid;

  if (pipe2(ready, O_CLOEXEC) < 0 || (pid = fork()) < 0)
    return cli_status(vt_set_errno(error, errno, "cannot start a process"));
  if (pid == 0) {
    setsid();
    close(ready[0]);
    ready_fd = ready[1];
    return cli_status(serve(args, error));
  }
  close(ready[1]);
  /* Else it has said why. */
  return cli_status(read(ready[0], &byte, 1) == 1);
}

static const GOptionEntry options[] = {
    {"read-only", 0, 0, G_OPTION_ARG_NONE, &read_only, "For reading", NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_stream = {
    .name = "stream",
    .arguments = "VG/LV FOLDER",
    .summary = "Show a volume as FOLDER/LV, for one open of that file",
    .options = options,
    .min_args = 2,
    .max_args = 2,
    .run = run_stream,
};
