/* virt-thin - block nodes by the loop driver: direct I/O to the volume's FUSE file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Direct I/O keeps the loop driver's view coherent with the others, and asynchronous. Discards and
 * zeroes arrive at the file as fallocate(). No partition scan: what is inside a guest's disk is not
 * this machine's business.
 */
#include "config.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "service/nodes/block-node.h"
#include "util/loop.h"

static gboolean loop_usable(GError **error)
{
  if (geteuid() != 0)
    return vt_set_error(error, EPERM, "loop devices are for root");
  if (access("/dev/loop-control", R_OK | W_OK) == -1)
    return vt_set_errno(error, errno, "/dev/loop-control");
  return TRUE;
}

static gboolean number_of(const char *device, guint *n)
{
  guint64 number;
  if (!g_str_has_prefix(device, "/dev/loop") ||
      !g_ascii_string_to_unsigned(device + strlen("/dev/loop"), 10, 0, G_MAXUINT, &number, NULL))
    return FALSE;
  *n = number;
  return TRUE;
}

/* Owner and mode of a disk; the node may be left from another's use. */
static void set_permissions(int loop)
{
  struct group *disk = getgrnam("disk");
  if (fchown(loop, 0, disk ? disk->gr_gid : 0) == -1 || fchmod(loop, 0660) == -1)
    g_message("cannot set the owner of a loop device: %s", g_strerror(errno));
}

static char *loop_attach(const char *vg, const char *volume, const char *path,
                         const NodeShape *shape, GError **error)
{
  const VtLoop how = {
      .sector_size = shape->sector_size, .read_only = shape->read_only, .direct = TRUE};
  char *device = NULL;
  int loop = vt_loop_attach(path, &how, &device, error);

  if (loop == -1)
    return NULL;
  set_permissions(loop);
  close(loop);
  return device;
}

/* With others who have it open the kernel takes it away at their last close. */
static gboolean loop_detach(const char *device, GError **error)
{
  int loop = open(device, O_RDONLY | O_CLOEXEC);
  int result = loop == -1 ? -1 : ioctl(loop, LOOP_CLR_FD);

  if (result == -1 && errno != ENXIO && errno != ENOENT)
    vt_set_errno(error, errno, "cannot take %s away", device);
  else
    result = 0;
  if (loop != -1)
    close(loop);
  return result == 0;
}

/* Of loop device number @n. */
static char *backing_file(guint n)
{
  g_autofree char *device = g_strdup_printf("/dev/loop%u", n);

  return vt_loop_file(device);
}

static gboolean is_in(const char *file, const char *folder)
{
  return file && g_str_has_prefix(file, folder) && file[strlen(folder)] == '/';
}

static gboolean loop_is_ours(const char *device, const char *folder)
{
  g_autofree char *file = NULL;
  guint n;
  return number_of(device, &n) && is_in(file = backing_file(n), folder);
}

/* Open, it cannot go, and become somebody else's, between the look and the change. */
static gboolean loop_keep(const char *device, const char *folder, GError **error)
{
  int loop = open(device, O_RDONLY | O_CLOEXEC);
  struct loop_info64 info;
  gboolean kept = TRUE;

  if (loop != -1 && loop_is_ours(device, folder)) {
    kept = ioctl(loop, LOOP_GET_STATUS64, &info) == 0;
    info.lo_flags &= ~LO_FLAGS_AUTOCLEAR;
    kept = kept && ioctl(loop, LOOP_SET_STATUS64, &info) == 0;
    if (!kept)
      vt_set_errno(error, errno, "cannot keep %s, which goes with its last user", device);
  }
  if (loop != -1)
    close(loop);
  return kept;
}

static gboolean loop_resize(const char *device, const char *vg, const char *volume,
                            const char *path, GError **error)
{
  struct stat st;
  int loop = open(device, O_RDONLY | O_CLOEXEC);

  /* stat() has the kernel ask for the file's size, which the loop driver then reads. */
  gboolean done = loop != -1 && stat(path, &st) == 0 && ioctl(loop, LOOP_SET_CAPACITY, 0) == 0;
  if (!done)
    vt_set_errno(error, errno, "cannot give %s its new size", device);
  if (loop != -1)
    close(loop);
  return done;
}

static gboolean loop_in_use(const char *device)
{
  g_autofree char *file = NULL;
  guint n;
  return !number_of(device, &n) || (file = backing_file(n)) != NULL;
}

/* The kernel names a file of a detached mount as if that were the root. */
static gboolean loop_is_left_over(const char *device, const char *volume)
{
  g_autofree char *file = NULL;
  struct stat st;
  guint n;
  return number_of(device, &n) && (file = backing_file(n)) && *file == '/' &&
         strcmp(file + 1, volume) == 0 && lstat(file, &st) == -1;
}

static GPtrArray *loop_list(const char *folder)
{
  GPtrArray *devices = g_ptr_array_new_with_free_func(g_free);
  GDir *dir = g_dir_open("/sys/block", 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *device = g_strdup_printf("/dev/%s", name);
    if (loop_is_ours(device, folder))
      g_ptr_array_add(devices, g_steal_pointer(&device));
  }
  if (dir)
    g_dir_close(dir);
  return devices;
}

const BlockNodeKind block_node_loop = {
    .name = "loop",
    .usable = loop_usable,
    .attach = loop_attach,
    .detach = loop_detach,
    .keep = loop_keep,
    .resize = loop_resize,
    .is_ours = loop_is_ours,
    .in_use = loop_in_use,
    .is_left_over = loop_is_left_over,
    .list = loop_list,
};
