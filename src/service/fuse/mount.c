/* virt-thin - the mount of the FUSE folder: made by the holder, taken away by it or its successor
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/fuse/mount.h"
#include "util/proc.h"

/* fusermount3 opens /dev/fuse, mounts, and sends the descriptor over the socket named by
 * _FUSE_COMMFD (libfuse lib/mount.c). */
static int receive_fd(int socket)
{
  char byte;
  struct iovec iov = {&byte, 1};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {
      .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int fd = -1;

  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0)
    return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

static int mount_as_user(const char *folder, const char *options, GError **error)
{
  int sockets[2], said[2], fd;
  g_autofree char *number = NULL;
  char words[512] = "";

  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == -1 ||
      pipe2(said, O_CLOEXEC) == -1) {
    vt_set_errno(error, errno, "cannot make a socket pair");
    return -1;
  }
  number = g_strdup_printf("%d", sockets[0]);
  pid_t pid = fork();
  if (pid == 0) {
    fcntl(sockets[0], F_SETFD, 0);
    dup2(said[1], STDERR_FILENO);
    setenv("_FUSE_COMMFD", number, 1);
    execlp("fusermount3", "fusermount3", "-o", options, "--", folder, NULL);
    _exit(127);
  }
  close(sockets[0]);
  close(said[1]);
  fd = pid == -1 ? -1 : receive_fd(sockets[1]);
  close(sockets[1]);
  if (pid != -1)
    waitpid(pid, NULL, 0);
  if (fd == -1 && read(said[0], words, sizeof words - 1) <= 0)
    strcpy(words, "fusermount3 (package fuse3) did not mount it");
  close(said[0]);
  if (fd == -1)
    vt_set_error(error, EPERM, "cannot mount %s: %s", folder, g_strchomp(words));
  return fd;
}

#define USER_OPTIONS "nosuid,nodev,noatime,default_permissions,fsname=virt-thin,subtype=virt-thin"

/* For others, too, by the modes of what is there, where the host lets users do so. */
static int mount_as_user_for(gboolean others, const char *folder, GError **error)
{
  g_autoptr(GError) refused = NULL;
  int fd = others ? mount_as_user(folder, USER_OPTIONS ",allow_other", &refused) : -1;

  if (refused)
    g_info("%s is for its user alone: %s", folder, refused->message);
  return fd != -1 ? fd : mount_as_user(folder, USER_OPTIONS, error);
}

int mount_fuse(const char *folder, gboolean others, GError **error)
{
  if (geteuid() != 0)
    return mount_as_user_for(others, folder, error);

  int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fd == -1) {
    vt_set_errno(error, errno, "cannot open /dev/fuse (is the kernel's fuse module there?)");
    return -1;
  }
  g_autofree char *options = g_strdup_printf(
      "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd);
  if (mount("virt-thin", folder, "fuse.virt-thin", MS_NOSUID | MS_NODEV | MS_NOATIME, options) ==
      -1) {
    vt_set_errno(error, errno, "cannot mount %s", folder);
    close(fd);
    return -1;
  }
  return fd;
}

gboolean unmount_fuse(const char *folder, GError **error)
{
  for (guint i = 0; i < 16 && vt_is_mounted(folder); i++) {
    if (geteuid() != 0) {
      g_autofree char *said = NULL;
      const char *argv[] = {"fusermount3", "-u", "-z", "--", folder, NULL};
      g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                   NULL, NULL, NULL, &said, NULL, NULL);
      if (vt_is_mounted(folder))
        return vt_set_error(error, EBUSY, "cannot unmount %s: %s", folder,
                            said ? g_strchomp(said) : "fusermount3 failed");
    } else if (umount2(folder, MNT_DETACH | UMOUNT_NOFOLLOW) == -1) {
      return vt_set_errno(error, errno, "cannot unmount %s", folder);
    }
  }
  return TRUE;
}
