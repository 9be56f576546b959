/* virt-thin - schedules: what is done by other processes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "settings/settings.h"

GPtrArray *spawn_virt_thin(const char *command)
{
  GPtrArray *args = g_ptr_array_new_with_free_func(g_free);

  g_ptr_array_add(args, g_strdup(settings_program()));
  for (const char *const *device = cli_devices(); device && *device; device++)
    g_ptr_array_add(args, g_strconcat("--device=", *device, NULL));
  g_ptr_array_add(args, g_strdup(command));
  return args;
}

/* In the child. */
static void end_with_parent(gpointer unused)
{
  prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* What was said last, for who asks later: the rest is in the journal. The caller's; NULL:
 * nothing. */
static char *last_line(char *said)
{
  char *line = said ? strrchr(g_strchomp(said), '\n') : NULL;

  line = line ? line + 1 : said;
  if (line && g_str_has_prefix(line, "virt-thin: "))
    line += strlen("virt-thin: ");
  return line && *line ? g_strdup(line) : NULL;
}

char *spawn_run(GPtrArray *args, char **out)
{
  g_autofree char *said = NULL, *last = NULL;
  g_autoptr(GError) local = NULL;
  gboolean seen = isatty(STDERR_FILENO);
  int status;

  fflush(stdout);
  if (g_spawn_sync(NULL, (char **)args->pdata, NULL,
                   G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, end_with_parent, NULL, out,
                   seen ? NULL : &said, &status, &local))
    g_spawn_check_wait_status(status, &local);
  if (said)
    fputs(said, stderr);
  if (!local)
    return NULL;
  last = last_line(said);
  return last ? g_steal_pointer(&last) : g_strdup(local->message);
}

/* @in, @out -1: nothing, and ours. -1: @error. */
static GPid start(GPtrArray *args, int in, int out, GError **error)
{
  GPid pid;

  return g_spawn_async_with_fds(NULL, (char **)args->pdata, NULL,
                                G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, end_with_parent,
                                NULL, &pid, in, out, -1, error)
             ? pid
             : -1;
}

/* What of *error is not set yet. */
static void wait_for(GPid pid, const char *name, GError **error)
{
  int status;

  if (pid < 0)
    return;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (!*error && !g_spawn_check_wait_status(status, error))
    g_prefix_error(error, "%s: ", name);
}

char *spawn_pipe(GPtrArray *from, GPtrArray *to)
{
  g_autoptr(GError) local = NULL;
  GPid sender = -1, receiver = -1;
  int ends[2];

  if (pipe2(ends, O_CLOEXEC) < 0)
    return g_strdup_printf("a pipe: %s", g_strerror(errno));
  receiver = start(to, ends[0], -1, &local);
  if (receiver >= 0)
    sender = start(from, -1, ends[1], &local);
  close(ends[0]);
  close(ends[1]);
  /* The receiver's is the better reason: a sender fails for want of one. */
  wait_for(receiver, to->pdata[0], &local);
  wait_for(sender, from->pdata[0], &local);
  return local ? g_strdup(local->message) : NULL;
}

static gboolean write_all(int fd, const char *text, gsize length)
{
  while (length > 0) {
    gssize n = write(fd, text, length);

    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return FALSE;
    text += n;
    length -= (gsize)n;
  }
  return lseek(fd, 0, SEEK_SET) == 0;
}

char *spawn_feed(GPtrArray *args, const char *text)
{
  g_autoptr(GError) local = NULL;
  int fd = memfd_create("virt-thin", MFD_CLOEXEC);

  if (fd < 0 || !write_all(fd, text, strlen(text))) {
    int err = errno;

    if (fd >= 0)
      close(fd);
    return g_strdup_printf("a file in memory: %s", g_strerror(err));
  }
  wait_for(start(args, fd, -1, &local), args->pdata[0], &local);
  close(fd);
  return local ? g_strdup(local->message) : NULL;
}
