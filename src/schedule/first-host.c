/* virt-thin - failover: is the host that the replicas came from gone?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/first-host.h"

#include <string.h>
#include <sys/wait.h>

/* Nobody is asked for a password, and a host that is gone not waited for for ever. */
static const char *const default_ssh[] = {
    "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", NULL};

#define NOTHING_BACK                                                                               \
  "^(ssh: connect to host .*|channel .*: connect failed): "                                        \
  "(Connection timed out|No route to host|Host is down)\\s*$"

FirstHost first_host_judge(int status, const char *said)
{
  if (status != 255)
    return FIRST_HOST_ANSWERS;
  if (g_regex_match_simple(NOTHING_BACK, said, G_REGEX_MULTILINE, 0))
    return FIRST_HOST_SILENT;
  return g_regex_match_simple("^ssh: Could not resolve hostname", said, G_REGEX_MULTILINE, 0)
             ? FIRST_HOST_NO_NAME
             : FIRST_HOST_ANSWERS;
}

static char *first_line(const char *text)
{
  return g_strstrip(g_strndup(text, strcspn(text, "\r\n")));
}

/* `ssh HOST virsh domstate UUID`, in a language that is known. What was said goes to *said, the
 * caller's. */
static gboolean ask(const Replica *replica, char **ssh, const char *host, FirstHost *is,
                    char **said, GError **error)
{
  const ReplicaDomain *domain = replica->domains->len ? replica->domains->pdata[0] : NULL;
  g_autoptr(GPtrArray) args = g_ptr_array_new();
  g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "LC_ALL", "C", TRUE);
  g_autofree char *out = NULL, *err = NULL, *line = NULL;
  g_autoptr(GError) local = NULL;
  int status;

  for (char **word = ssh; *word; word++)
    g_ptr_array_add(args, *word);
  g_ptr_array_add(args, (gpointer) "--");
  g_ptr_array_add(args, (gpointer)host);
  g_ptr_array_add(args, (gpointer)(domain ? "virsh" : "true"));
  if (domain) {
    g_ptr_array_add(args, (gpointer) "domstate");
    g_ptr_array_add(args, domain->uuid);
  }
  g_ptr_array_add(args, NULL);
  if (!g_spawn_sync(NULL, (char **)args->pdata, environment,
                    G_SPAWN_SEARCH_PATH | G_SPAWN_STDIN_FROM_DEV_NULL, NULL, NULL, &out, &err,
                    &status, &local))
    return vt_set_error(error, EHOSTUNREACH, "%s cannot be asked whether it runs: %s", host,
                        local->message);
  *is = first_host_judge(WIFEXITED(status) ? WEXITSTATUS(status) : -1, err);
  line = first_line(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? out : err);
  *said = domain && WIFEXITED(status) && WEXITSTATUS(status) == 0
              ? g_strdup_printf("domain %s there: %s", domain->name, line)
              : g_steal_pointer(&line);
  return TRUE;
}

static gboolean answers(GError **error, const char *host, const char *said)
{
  return vt_set_error(error, EBUSY,
                      "%s answers%s%s%s, and a guest must not run on two hosts: switch it off; "
                      "--force, if you know that the guest does not run there",
                      host, *said ? " (" : "", said, *said ? ")" : "");
}

gboolean first_host_is_gone(const Replica *replica, const char *ssh, const char *at, GError **error)
{
  const char *const hosts[] = {at ? at : replica->host, at ? NULL : replica->address};
  g_auto(GStrv) command = NULL;
  gboolean silent = FALSE;

  if (!ssh)
    command = g_strdupv((char **)default_ssh);
  else if (!g_shell_parse_argv(ssh, NULL, &command, NULL))
    return vt_set_error(error, EINVAL, "--ssh: \"%s\" is no command", ssh);
  for (gsize i = 0; i < G_N_ELEMENTS(hosts) && hosts[i]; i++) {
    g_autofree char *said = NULL;
    FirstHost is = FIRST_HOST_ANSWERS;

    if (!ask(replica, command, hosts[i], &is, &said, error))
      return FALSE;
    if (is == FIRST_HOST_ANSWERS)
      return answers(error, hosts[i], said);
    silent = silent || is == FIRST_HOST_SILENT;
  }
  return silent || vt_set_error(error, EHOSTUNREACH,
                                "%s has no address here, so that it cannot be asked whether it "
                                "runs: --host says where it is; --force, if you know that it is "
                                "gone",
                                hosts[0]);
}
