/* virt-thin - the content of an image of any format, read through qemu-nbd
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * qemu-img writes raw images to files that it can seek in alone. qemu-nbd is given a socket as
 * systemd gives one (LISTEN_FDS; QEMU's manual, qemu-nbd(8)) to which we are connected already: so
 * there is nothing to wait for, and it ends with us. libnbd would start it so, too; but its
 * socket's folder stays until the connection is closed, and for ever when we are killed; and
 * standard output, which may be the stream, would be qemu-nbd's as well.
 */
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "image/copy.h"
#include "image/interrupt.h"
#include "image/libnbd-client.h"
#include "image/qemu.h"

#define FIRST_PASSED_FD 3 /* SD_LISTEN_FDS_START */
/* libnbd goes on waiting after a signal: look so often whether there was one */
#define POLL_MS 100
/* asked for at a time: what it is of */
#define STATUS_SIZE (1u << 30)

struct ImageFile {
  const char *path;
  const LibnbdClient *lib;
  struct nbd_handle *nbd;
  GSubprocess *server;
};

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
  ok = *listener >= 0 && *fd >= 0 && bind(*listener, name, sizeof address) == 0 &&
       listen(*listener, 1) == 0 && connect(*fd, name, sizeof address) == 0;
  if (!ok)
    vt_set_errno(error, errno, "making socket %s", path);
  g_unlink(path);
  g_rmdir(folder);
  return ok;
}

/* A shell, because LISTEN_PID is to be the process's own. @listener: taken. */
static gboolean start_server(ImageFile *image, const ImageQemuFile *file, int listener,
                             GError **error)
{
  static const char script[] = "export LISTEN_PID=$$; exec qemu-nbd --read-only -f \"$0\" \"$1\"";
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
  g_autofree char *program = g_find_program_in_path("qemu-nbd"), *name = NULL;
  g_autoptr(GError) local = NULL;
  ImageQemuFile given = *file;

  g_subprocess_launcher_take_fd(launcher, listener, FIRST_PASSED_FD);
  if (!program)
    return vt_set_error(error, ENOENT,
                        "reading %s: there is no qemu-nbd; install it (Debian: qemu-utils)",
                        file->path);
  given.fd = fcntl(file->fd, F_DUPFD_CLOEXEC, FIRST_PASSED_FD + 1);
  g_subprocess_launcher_take_fd(launcher, given.fd, given.fd);
  g_subprocess_launcher_take_stdout_fd(launcher, dup(STDERR_FILENO));
  g_subprocess_launcher_setenv(launcher, "LISTEN_FDS", "1", TRUE);
  name = image_qemu_name(&given);
  image->server = g_subprocess_launcher_spawn(launcher, &local, "/bin/sh", "-c", script,
                                              file->format, name, NULL);
  return image->server || vt_set_error(error, EIO, "cannot start qemu-nbd: %s", local->message);
}

/* Why the connection to it broke: what it said itself, unless it ended well. Always FALSE. */
static gboolean server_failed(ImageFile *image, GError **error)
{
  g_autofree char *why = g_strdup(image->lib->nbd_get_error());

  if (!image_check_interrupt(error))
    return FALSE;
  g_clear_pointer(&image->nbd, image->lib->nbd_close);
  g_subprocess_wait(image->server, NULL, NULL);
  return g_subprocess_get_successful(image->server)
             ? vt_set_error(error, EPROTO, "reading %s: %s", image->path, why)
             : vt_set_error(error, EIO, "reading %s: qemu-nbd failed", image->path);
}

static gboolean wait_for_server(ImageFile *image)
{
  return !image_interrupted() && image->lib->nbd_poll(image->nbd, POLL_MS) >= 0;
}

/* @fd: taken. */
static gboolean shake_hands(ImageFile *image, int fd, GError **error)
{
  image->nbd = image->lib->nbd_create();
  if (!image->nbd || image->lib->nbd_add_meta_context(image->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) ||
      image->lib->nbd_aio_connect_socket(image->nbd, fd) < 0) {
    close(fd);
    return server_failed(image, error);
  }
  while (image->lib->nbd_aio_is_connecting(image->nbd) && wait_for_server(image))
    ;
  return image->lib->nbd_aio_is_ready(image->nbd) || server_failed(image, error);
}

ImageFile *image_open(const ImageQemuFile *file, guint64 *size, GError **error)
{
  const LibnbdClient *lib = libnbd_client(error);
  ImageFile *image;
  int listener = -1, fd = -1;

  if (!lib) {
    g_prefix_error(error, "reading %s: ", file->path);
    return NULL;
  }
  image = g_new0(ImageFile, 1);
  *image = (ImageFile){.path = file->path, .lib = lib};
  image_catch_interrupts();
  if (make_sockets(&listener, &fd, error) && start_server(image, file, listener, error) &&
      shake_hands(image, fd, error)) {
    *size = (guint64)lib->nbd_get_size(image->nbd);
    return image;
  }
  image_close(image);
  return NULL;
}

static gboolean finish(ImageFile *image, int64_t cookie, guint64 offset, GError **error)
{
  const LibnbdClient *lib = image->lib;
  int done = 0;

  while (cookie >= 0 &&
         (done = lib->nbd_aio_command_completed(image->nbd, (uint64_t)cookie)) == 0 &&
         wait_for_server(image))
    ;
  if (done > 0)
    return TRUE;
  if (done < 0 && lib->nbd_aio_is_ready(image->nbd))
    return vt_set_error(error, EIO, "reading %s at offset %" G_GUINT64_FORMAT ": %s", image->path,
                        offset, g_strerror(lib->nbd_get_errno()));
  return server_failed(image, error);
}

gssize image_read(gpointer user_data, char *buffer, gsize length, guint64 offset, GError **error)
{
  ImageFile *image = user_data;
  guint64 size = (guint64)image->lib->nbd_get_size(image->nbd);
  gsize count = (gsize)MIN(length, size - MIN(offset, size));

  if (count == 0)
    return 0;
  return finish(
             image,
             image->lib->nbd_aio_pread(image->nbd, buffer, count, offset, NBD_NULL_COMPLETION, 0),
             offset, error)
             ? (gssize)count
             : -1;
}

typedef struct {
  guint64 from, to; /* behind zeros, the first run of data; alike: none so far */
} Data;

static int on_extents(void *user_data, const char *context, uint64_t offset, uint32_t *entries,
                      size_t n, int *error)
{
  Data *data = user_data;

  for (size_t i = 0; i + 1 < n; i += 2) {
    gboolean zero = entries[i + 1] & LIBNBD_STATE_ZERO;
    if (zero && data->from < data->to)
      break;
    data->to += entries[i];
    if (zero)
      data->from = data->to;
  }
  return 0;
}

gboolean image_next_data(ImageFile *image, guint64 offset, guint64 *from, guint64 *to,
                         GError **error)
{
  const LibnbdClient *lib = image->lib;
  guint64 size = (guint64)lib->nbd_get_size(image->nbd);
  gboolean tells = lib->nbd_can_meta_context(image->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
  Data data = {offset, tells ? offset : size};
  nbd_extent_callback callback = {.callback = on_extents, .user_data = &data};

  while (data.from == data.to && data.to < size) {
    guint64 at = data.to;
    int64_t cookie = lib->nbd_aio_block_status(image->nbd, MIN(size - at, STATUS_SIZE), at,
                                               callback, NBD_NULL_COMPLETION, 0);

    if (!finish(image, cookie, at, error))
      return FALSE;
    if (data.to == at)
      data.to = size; /* it does not tell */
  }
  *from = data.from;
  *to = MIN(data.to, size);
  return TRUE;
}

void image_close(ImageFile *image)
{
  image->lib->nbd_close(image->nbd);
  if (image->server) {
    g_subprocess_send_signal(image->server,
                             SIGTERM); /* also when it is still opening what it is to serve */
    g_subprocess_wait(image->server, NULL, NULL);
    g_object_unref(image->server);
  }
  g_free(image);
}
