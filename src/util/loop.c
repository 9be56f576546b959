/* virt-thin - loop devices: a file, or a part of one, as a block device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ATTEMPTS 64

/* Make the node where no udev does. */
static gboolean make_device_node(const char *device, guint n, GError **error)
{
  if (access(device, F_OK) == 0)
    return TRUE;
  if (mknod(device, S_IFBLK | 0660, makedev(7, n)) == -1 && errno != EEXIST)
    return vt_set_errno(error, errno, "cannot make %s", device);
  return TRUE;
}

static gboolean configure(int loop, const char *device, int file, const char *path,
                          const VtLoop *how, GError **error)
{
  struct loop_config config = {.fd = file, .block_size = how->sector_size};

  config.info.lo_offset = how->offset;
  config.info.lo_sizelimit = how->size;
  config.info.lo_flags = (how->direct ? LO_FLAGS_DIRECT_IO : 0) |
                         (how->read_only ? LO_FLAGS_READ_ONLY : 0) |
                         (how->autoclear ? LO_FLAGS_AUTOCLEAR : 0);
  g_strlcpy((char *)config.info.lo_file_name, path, LO_NAME_SIZE);
  if (ioctl(loop, LOOP_CONFIGURE, &config) == -1)
    return vt_set_errno(error, errno, "cannot set %s up over %s", device, path);
  return TRUE;
}

/* The first free one. EBUSY: somebody else was faster. */
static int attach_free(int control, int file, const char *path, const VtLoop *how, char **device,
                       GError **error)
{
  int n = ioctl(control, LOOP_CTL_GET_FREE), loop = -1;
  g_autofree char *name = g_strdup_printf("/dev/loop%d", n);

  if (n < 0) {
    vt_set_errno(error, errno, "cannot get a loop device");
  } else if (make_device_node(name, (guint)n, error)) {
    loop = open(name, (how->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (loop == -1)
      vt_set_errno(error, errno, "cannot get a loop device");
  }
  if (loop != -1 && !configure(loop, name, file, path, how, error)) {
    close(loop);
    loop = -1;
  }
  if (loop != -1)
    *device = g_steal_pointer(&name);
  return loop;
}

int vt_loop_attach(const char *path, const VtLoop *how, char **device, GError **error)
{
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  int flags = (how->read_only ? O_RDONLY : O_RDWR) | (how->direct ? O_DIRECT : 0) | O_CLOEXEC;
  int file = control == -1 ? -1 : open(path, flags), loop = -1;

  if (file == -1)
    vt_set_errno(error, errno, "cannot open %s", control == -1 ? "/dev/loop-control" : path);
  for (guint attempt = 1; file != -1 && loop == -1 && attempt <= ATTEMPTS; attempt++) {
    g_autoptr(GError) local = NULL;

    loop = attach_free(control, file, path, how, device, &local);
    if (loop == -1 && (attempt == ATTEMPTS || !g_error_matches(local, VT_ERROR, EBUSY))) {
      g_propagate_error(error, g_steal_pointer(&local));
      break;
    }
  }
  if (file != -1)
    close(file);
  if (control != -1)
    close(control);
  return loop;
}

char *vt_loop_file(const char *device)
{
  g_autofree char *path = NULL;
  char *text = NULL;

  if (!g_str_has_prefix(device, "/dev/loop"))
    return NULL;
  path = g_strdup_printf("/sys/block/%s/loop/backing_file", device + strlen("/dev/"));
  return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}
