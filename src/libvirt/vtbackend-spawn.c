/* virt-thin - programs as children of libvirtd
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "libvirt/vtbackend-private.h"

#define LAST_WORDS_MAX 2000

/* libvirtd's threads block signals, and its handlers are no business of the child's. GLib has
 * marked every descriptor to be closed. Async-signal-safe. */
static void prepare_child(gpointer kept)
{
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  if (kept)
    fcntl(*(const int *)kept, F_SETFD, 0);
}

gboolean vtbackend_spawn(const char *const *argv, GError **error)
{
  return vtbackend_spawn_with(argv, NULL, error);
}

gboolean vtbackend_spawn_with(const char *const *argv, const int *kept, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *said = NULL;
  int status = 0;
  if (!g_spawn_sync("/", (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                    prepare_child, (gpointer)kept, NULL, &said, &status, &local))
    return vt_set_error(error,
                        g_error_matches(local, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT) ? ENOENT : EIO,
                        "running %s: %s", argv[0], local->message);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return TRUE;
  g_strstrip(said);
  gsize length = strlen(said);
  const char *words = length > LAST_WORDS_MAX ? said + length - LAST_WORDS_MAX : said;
  if (WIFSIGNALED(status))
    return vt_set_error(error, EIO, "%s ended with signal %d%s%s", argv[0], WTERMSIG(status),
                        *words ? ": " : "", words);
  return vt_set_error(error, EIO, "%s failed (status %d)%s%s", argv[0], WEXITSTATUS(status),
                      *words ? ": " : "", words);
}
