/* virt-thin - Unix sockets of a VG service: made with the right mode, reached within a deadline
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sun_path holds 107 characters, and <runtime>/<vg>/control may have more: a longer path is reached
 * through its folder's descriptor, /proc/self/fd/N/control. On Linux the mode of a socket's file is
 * that of the unbound socket (fchmod) without the umask's bits; so the file is never there with
 * another's rights.
 */
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/control-socket.h"
#include "util/proc.h"

/* The address of @path. @dir_fd, to be closed after use, keeps a long one valid. */
static gboolean make_address(const char *path, struct sockaddr_un *address, int *dir_fd,
                             GError **error)
{
  g_autofree char *dir = NULL, *base = NULL;

  *dir_fd = -1;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (strlen(path) < sizeof address->sun_path) {
    strcpy(address->sun_path, path);
    return TRUE;
  }
  dir = g_path_get_dirname(path);
  base = g_path_get_basename(path);
  if (strlen(base) > 64)
    return vt_set_errno(error, ENAMETOOLONG, "socket %s", path);
  *dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (*dir_fd < 0)
    return vt_set_errno(error, errno, "opening %s", dir);
  snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", *dir_fd, base);
  return TRUE;
}

static void close_fd(int fd)
{
  if (fd >= 0)
    close(fd);
}

static int new_socket(GError **error)
{
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0)
    vt_set_errno(error, errno, "making a Unix socket");
  return fd;
}

/* Remove a socket that nobody listens on. TRUE also when there is nothing. */
static gboolean remove_stale(const char *path, GError **error)
{
  g_autoptr(GError) local = NULL;
  struct stat st;
  int fd;

  if (lstat(path, &st) < 0)
    return errno == ENOENT ? TRUE : vt_set_errno(error, errno, "looking at %s", path);
  if (!S_ISSOCK(st.st_mode))
    return vt_set_error(error, EEXIST, "%s is there and is no socket: move it away", path);
  fd = control_socket_connect(path, 1000, &local);
  close_fd(fd);
  if (fd >= 0 || g_error_matches(local, VT_ERROR, ETIMEDOUT))
    return vt_set_error(error, EADDRINUSE, "somebody listens on %s already", path);
  if (!g_error_matches(local, VT_ERROR, ECONNREFUSED) &&
      !g_error_matches(local, VT_ERROR, ENOENT)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  if (unlink(path) < 0 && errno != ENOENT)
    return vt_set_errno(error, errno, "removing the stale socket %s", path);
  return TRUE;
}

static gboolean give_to_group(const char *path, guint mode, const char *group, GError **error)
{
  struct group *entry, buffer;
  char text[16384];
  int err = getgrnam_r(group, &buffer, text, sizeof text, &entry);

  if (!entry)
    return vt_set_error(
        error, err ? err : ENOENT,
        "there is no group %s for socket %s: set socket-group in virt-thin.conf to one that exists",
        group, path);
  if (lchown(path, (uid_t)-1, entry->gr_gid) < 0) {
    if (errno != EINVAL)
      return vt_set_errno(error, errno, "giving socket %s to group %s", path, group);
    g_message("this user namespace does not have group %s: socket %s is its owner's alone", group,
              path);
    return TRUE;
  }
  if (chmod(path, mode) < 0)
    return vt_set_errno(error, errno, "setting the mode of socket %s", path);
  return TRUE;
}

int control_socket_listen(const char *path, guint mode, const char *group, GError **error)
{
  struct sockaddr_un address;
  int fd = -1, dir_fd = -1;
  gboolean ok = FALSE;

  if (!remove_stale(path, error) || !make_address(path, &address, &dir_fd, error))
    return -1;
  fd = new_socket(error);
  if (fd < 0)
    goto out;
  /* With a group still to come only the owner gets in until then. */
  if (fchmod(fd, group ? mode & 0700 : mode & 0777) < 0) {
    vt_set_errno(error, errno, "setting the mode of socket %s", path);
    goto out;
  }
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    vt_set_errno(error, errno, "making socket %s", path);
    goto out;
  }
  if (group) {
    if (!give_to_group(path, mode, group, error))
      goto out;
  } else if (chmod(path, mode) < 0) { /* what the umask took */
    vt_set_errno(error, errno, "setting the mode of socket %s", path);
    goto out;
  }
  if (listen(fd, 128) < 0) {
    vt_set_errno(error, errno, "listening on %s", path);
    goto out;
  }
  ok = TRUE;
out:
  close_fd(dir_fd);
  if (!ok) {
    close_fd(fd);
    fd = -1;
  }
  return fd;
}

int control_socket_connect(const char *path, guint timeout_ms, GError **error)
{
  struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000}, none = {0, 0};
  struct sockaddr_un address;
  int fd = -1, dir_fd = -1, err;

  if (!make_address(path, &address, &dir_fd, error))
    return -1;
  fd = new_socket(error);
  if (fd < 0) {
    close_fd(dir_fd);
    return -1;
  }
  /* connect() to a full backlog waits as long as a send would (linux net/unix/af_unix.c,
   * unix_stream_connect). */
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  do
    err = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
  while (err == EINTR);
  close_fd(dir_fd);
  if (err == EAGAIN)
    vt_set_error(error, ETIMEDOUT, "nobody answered on %s within %u ms", path, timeout_ms);
  else if (err)
    vt_set_errno(error, err, "connecting to %s", path);
  if (err) {
    close(fd);
    return -1;
  }
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof none);
  return fd;
}

gboolean control_socket_peer(int fd, uid_t *uid, gid_t *gid, pid_t *pid, GError **error)
{
  struct ucred cred;
  socklen_t length = sizeof cred;

  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
    return vt_set_errno(error, errno, "asking who is at the other end of a socket");
  if (uid)
    *uid = cred.uid;
  if (gid)
    *gid = cred.gid;
  if (pid)
    *pid = cred.pid;
  return TRUE;
}

char *control_socket_describe_peer(int fd)
{
  g_autofree char *name = NULL;
  pid_t pid;

  if (!control_socket_peer(fd, NULL, NULL, &pid, NULL) || pid <= 0)
    return g_strdup("an unknown process");
  name = vt_process_name(pid);
  return name ? g_strdup_printf("%s, pid %d", name, (int)pid) : g_strdup_printf("pid %d", (int)pid);
}
