/* virt-thin - simulation: what the linker calls in place of sockets that wait
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The sockets are the system's own, both ends of each in this program; what would wait for one is
 * a fiber that waits for any of them to move. A ghost's peers have gone.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fiber.h"

#define MOST 1024 /* descriptors */

static const char moved;      /* what waiters wait for */
static gint64 patience[MOST]; /* SO_RCVTIMEO, microseconds; 0: for ever */

ssize_t __wrap_recv(int fd, void *buf, size_t length, int flags);
ssize_t __real_recv(int fd, void *buf, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *buf, size_t length, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *msg, int flags);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_shutdown(int fd, int how);
int __real_shutdown(int fd, int how);
int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length);
int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t length);

void sim_sockets_moved(void)
{
  sim_wake(&moved, TRUE);
}

static gint64 deadline_of(int fd)
{
  return fd < MOST && patience[fd] ? sim_now() + patience[fd] : G_MAXINT64;
}

ssize_t __wrap_recv(int fd, void *buf, size_t length, int flags)
{
  gint64 deadline = deadline_of(fd);

  sim_point("recv", length);
  for (;;) {
    ssize_t n = sim_is_ghost() ? 0 : __real_recv(fd, buf, length, flags | MSG_DONTWAIT);

    if (n >= 0 || errno != EAGAIN || (flags & MSG_DONTWAIT)) {
      sim_digest_add((guint64)n);
      if (n > 0)
        sim_sockets_moved();
      return n;
    }
    if (!sim_wait(&moved, deadline)) {
      errno = EAGAIN;
      return -1;
    }
  }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
  sim_point("send", 0);
  for (;;) {
    ssize_t n = -1;

    if (sim_is_ghost())
      errno = EPIPE;
    else
      n = __real_sendmsg(fd, msg, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0 || errno != EAGAIN || (flags & MSG_DONTWAIT)) {
      sim_digest_add((guint64)n);
      if (n > 0)
        sim_sockets_moved();
      return n;
    }
    sim_wait(&moved, G_MAXINT64);
  }
}

ssize_t __wrap_send(int fd, const void *buf, size_t length, int flags)
{
  struct iovec iov = {(void *)buf, length};
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

  return __wrap_sendmsg(fd, &msg, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
  gint64 deadline = timeout_ms < 0 ? G_MAXINT64 : sim_now() + timeout_ms * G_GINT64_CONSTANT(1000);

  sim_point("poll", n);
  for (;;) {
    int ready = __real_poll(fds, n, 0);

    if (ready != 0 || sim_is_ghost() || sim_now() >= deadline || !sim_wait(&moved, deadline))
      return ready;
  }
}

int __wrap_shutdown(int fd, int how)
{
  int result = __real_shutdown(fd, how);

  sim_sockets_moved();
  return result;
}

int __wrap_close(int fd)
{
  int result = __real_close(fd);

  if (fd >= 0 && fd < MOST)
    patience[fd] = 0;
  sim_sockets_moved();
  return result;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
  const struct timeval *timeout = value;

  if (level != SOL_SOCKET || name != SO_RCVTIMEO || fd >= MOST)
    return __real_setsockopt(fd, level, name, value, length);
  patience[fd] = timeout->tv_sec * G_USEC_PER_SEC + timeout->tv_usec;
  return 0;
}
