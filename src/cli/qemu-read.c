/* virt-thin - the content of an image of any format, read through qemu-nbd
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * qemu-img writes raw images to files that it can seek in alone. qemu-nbd is given a socket as systemd gives one
 * (LISTEN_FDS; QEMU's manual, qemu-nbd(8)) to which we are connected already: so there is nothing to wait for, and it
 * ends with us.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/copy.h"
#include "cli/qemu.h"
#include "service/nbd-protocol.h"

#define FIRST_PASSED_FD 3 /* SD_LISTEN_FDS_START */
#define NOT_FOUND 127     /* as a shell's */

struct CliImage {
  const char *path;
  pid_t server;
  int fd;
  guint64 size;
};

/* --- the server --- */

static void become_server(int listener, const CliQemuFile *file, const char *name)
{
  char pid[16];

  g_snprintf(pid, sizeof pid, "%d", (int)getpid());
  /* dup2() gives a descriptor that stays open, unless it is the same. */
  if (listener != FIRST_PASSED_FD || (listener = dup(listener)) >= 0)
    dup2(listener, FIRST_PASSED_FD);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  cli_qemu_keep(file);
  setenv("LISTEN_FDS", "1", 1);
  setenv("LISTEN_PID", pid, 1);
  execlp("qemu-nbd", "qemu-nbd", "--read-only", "-f", file->format, name, NULL);
  _exit(NOT_FOUND);
}

/* Two sockets, one of which listens; nothing is left of their name. */
static gboolean make_sockets(int *listener, int *fd, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *folder = g_dir_make_tmp("virt-thin-XXXXXX", &local), *path = NULL;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const struct sockaddr *name = (const struct sockaddr *)&address;
  gboolean ok;

  if (!folder)
    return vt_set_error(error, EIO, "making a folder for an NBD socket: %s", local->message);
  path = g_build_filename(folder, "nbd", NULL);
  if (g_strlcpy(address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path) {
    g_rmdir(folder);
    return vt_set_error(error, ENAMETOOLONG, "the path of socket %s is too long: set TMPDIR", path);
  }
  *listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ok = *listener >= 0 && *fd >= 0 && bind(*listener, name, sizeof address) == 0 && listen(*listener, 1) == 0 &&
       connect(*fd, name, sizeof address) == 0;
  if (!ok)
    vt_set_errno(error, errno, "making socket %s", path);
  g_unlink(path);
  g_rmdir(folder);
  return ok;
}

static gboolean start_server(CliImage *image, const CliQemuFile *file, GError **error)
{
  CliQemuFile given = *file; /* where no socket is passed */
  g_autofree char *name = NULL;
  int listener = -1;
  gboolean ok = make_sockets(&listener, &image->fd, error);

  given.fd = fcntl(file->fd, F_DUPFD_CLOEXEC, FIRST_PASSED_FD + 1);
  name = cli_qemu_name(&given);
  if (ok && (image->server = fork()) == 0)
    become_server(listener, &given, name);
  if (ok && image->server < 0)
    ok = vt_set_errno(error, errno, "cannot start a process");
  if (listener >= 0)
    close(listener);
  if (given.fd >= 0)
    close(given.fd);
  return ok;
}

/* Wait for it to end; why the connection to it broke. Always FALSE. */
static gboolean server_failed(CliImage *image, GError **error)
{
  int status = 0;

  if (cli_interrupted())
    return vt_set_error(error, ECANCELED, "interrupted");
  shutdown(image->fd, SHUT_RDWR);
  while (waitpid(image->server, &status, 0) < 0 && errno == EINTR)
    ;
  image->server = 0;
  if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND)
    return vt_set_error(error, ENOENT, "reading %s: there is no qemu-nbd; install it (Debian: qemu-utils)",
                        image->path);
  return vt_set_error(error, EIO, "reading %s: qemu-nbd failed", image->path);
}

/* --- the client --- */

static gboolean receive(CliImage *image, void *data, gsize length, GError **error)
{
  for (gsize done = 0; done < length;) {
    ssize_t n = recv(image->fd, (char *)data + done, length - done, 0);

    if (n == 0 || (n < 0 && (errno != EINTR || cli_interrupted())))
      return server_failed(image, error);
    done += (gsize)MAX(n, 0);
  }
  return TRUE;
}

/* So little that it is sent at once. */
static gboolean send_all(CliImage *image, const void *data, gsize length, GError **error)
{
  return send(image->fd, data, length, MSG_NOSIGNAL) == (ssize_t)length || server_failed(image, error);
}

static gboolean is_foreign(CliImage *image, GError **error)
{
  return vt_set_error(error, EPROTO, "reading %s: qemu-nbd speaks another protocol", image->path);
}

static gboolean send_option(CliImage *image, guint32 number, GError **error)
{
  NbdOption option = {GUINT64_TO_BE(NBD_OPTION_MAGIC), GUINT32_TO_BE(number), 0};

  return send_all(image, &option, sizeof option, error);
}

/* Structured replies: holes are not sent as zeros. */
static gboolean shake_hands(CliImage *image, GError **error)
{
  guint32 flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
  NbdGreeting greeting;
  NbdOptionReply structured;
  NbdExportNameReply reply;

  if (!receive(image, &greeting, sizeof greeting, error))
    return FALSE;
  if (GUINT64_FROM_BE(greeting.magic) != NBD_MAGIC || GUINT64_FROM_BE(greeting.option_magic) != NBD_OPTION_MAGIC ||
      ~GUINT16_FROM_BE(greeting.flags) & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES))
    return is_foreign(image, error);
  if (!send_all(image, &flags, sizeof flags, error) || !send_option(image, NBD_OPT_STRUCTURED_REPLY, error) ||
      !receive(image, &structured, sizeof structured, error))
    return FALSE;
  if (GUINT64_FROM_BE(structured.magic) != NBD_REP_MAGIC || GUINT32_FROM_BE(structured.type) != NBD_REP_ACK ||
      structured.length)
    return is_foreign(image, error);
  if (!send_option(image, NBD_OPT_EXPORT_NAME, error) ||
      !receive(image, &reply, G_STRUCT_OFFSET(NbdExportNameReply, zeroes), error))
    return FALSE;
  image->size = GUINT64_FROM_BE(reply.size);
  return TRUE;
}

CliImage *cli_image_open(const CliQemuFile *file, guint64 *size, GError **error)
{
  CliImage *image = g_new0(CliImage, 1);

  *image = (CliImage){.path = file->path, .fd = -1};
  cli_catch_interrupts();
  if (start_server(image, file, error) && shake_hands(image, error)) {
    *size = image->size;
    return image;
  }
  cli_image_close(image);
  return NULL;
}

/* What is read into: @buffer for [offset, offset + length) of the image. */
typedef struct {
  char *buffer;
  gsize length;
  guint64 offset;
} Range;

/* Where @length bytes at @offset go; NULL: nowhere. */
static char *place_of(const Range *range, guint64 offset, guint64 length)
{
  return offset >= range->offset && length <= range->length && offset - range->offset <= range->length - length
             ? range->buffer + (offset - range->offset)
             : NULL;
}

static gboolean take_data(CliImage *image, const Range *range, guint32 length, GError **error)
{
  guint64 offset;
  char *place;

  if (length < sizeof offset)
    return is_foreign(image, error);
  if (!receive(image, &offset, sizeof offset, error))
    return FALSE;
  place = place_of(range, GUINT64_FROM_BE(offset), length - sizeof offset);
  return place ? receive(image, place, length - sizeof offset, error) : is_foreign(image, error);
}

static gboolean take_hole(CliImage *image, const Range *range, guint32 length, GError **error)
{
  struct {
    guint64 offset;
    guint32 length;
  } __attribute__((packed)) hole;
  char *place;

  if (length != sizeof hole)
    return is_foreign(image, error);
  if (!receive(image, &hole, sizeof hole, error))
    return FALSE;
  place = place_of(range, GUINT64_FROM_BE(hole.offset), GUINT32_FROM_BE(hole.length));
  if (!place)
    return is_foreign(image, error);
  memset(place, 0, GUINT32_FROM_BE(hole.length));
  return TRUE;
}

/* After which the connection is of no more use. Always FALSE. */
static gboolean take_error(CliImage *image, const Range *range, guint32 length, GError **error)
{
  guint32 code;

  if (length < sizeof code)
    return is_foreign(image, error);
  return receive(image, &code, sizeof code, error) &&
         vt_set_error(error, EIO, "reading %s at offset %" G_GUINT64_FORMAT ": %s", image->path, range->offset,
                      g_strerror((int)GUINT32_FROM_BE(code)));
}

static gboolean take_chunk(CliImage *image, const Range *range, gboolean *done, GError **error)
{
  NbdChunk chunk;
  guint32 length;

  if (!receive(image, &chunk, sizeof chunk, error))
    return FALSE;
  if (GUINT32_FROM_BE(chunk.magic) != NBD_STRUCTURED_REPLY_MAGIC)
    return is_foreign(image, error);
  length = GUINT32_FROM_BE(chunk.length);
  *done = (GUINT16_FROM_BE(chunk.flags) & NBD_REPLY_FLAG_DONE) != 0;
  switch (GUINT16_FROM_BE(chunk.type)) {
  case NBD_REPLY_TYPE_NONE: return length == 0 || is_foreign(image, error);
  case NBD_REPLY_TYPE_OFFSET_DATA: return take_data(image, range, length, error);
  case NBD_REPLY_TYPE_OFFSET_HOLE: return take_hole(image, range, length, error);
  default: return take_error(image, range, length, error);
  }
}

gssize cli_image_read(gpointer user_data, char *buffer, gsize length, guint64 offset, GError **error)
{
  CliImage *image = user_data;
  Range range = {buffer, (gsize)MIN(length, image->size - MIN(offset, image->size)), offset};
  NbdRequest request = {.magic = GUINT32_TO_BE(NBD_REQUEST_MAGIC),
                        .type = GUINT16_TO_BE(NBD_CMD_READ),
                        .offset = GUINT64_TO_BE(offset),
                        .length = GUINT32_TO_BE((guint32)range.length)};
  gboolean done = range.length == 0;

  if (!done && !send_all(image, &request, sizeof request, error))
    return -1;
  while (!done)
    if (!take_chunk(image, &range, &done, error))
      return -1;
  return (gssize)range.length;
}

void cli_image_close(CliImage *image)
{
  if (image->fd >= 0)
    close(image->fd);
  if (image->server > 0) {
    kill(image->server, SIGTERM); /* also when it is still opening what it is to serve */
    while (waitpid(image->server, NULL, 0) < 0 && errno == EINTR)
      ;
  }
  g_free(image);
}
