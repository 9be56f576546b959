/* virt-thin - who has a block device open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Nobody tells, so look everywhere: file descriptors of all processes, mount tables, swap space,
 * what the kernel has been told to build on a device (other devices, targets, gadgets), its
 * partitions, and what an exclusive open says of all the rest. What is on it is followed upwards: a
 * loop device says little, its mount all. Files are looked at without asking their servers
 * (AT_STATX_DONT_SYNC, RESOLVE_CACHED): one of those may be our own engine.
 */
#include "config.h"

#include <fcntl.h>
#include <glob.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/block-users.h"
#include "util/memory.h"
#include "util/proc.h"

#define MAX_DEPTH 8 /* devices on devices */

struct BlockScan {
  GHashTable *users; /* gint64 *: device number -> char * */
  GHashTable *upper; /* gint64 *: device number -> GPtrArray of char *: the devices built on it that
                        no "holders" folder shows */
  GHashTable *files; /* char *: regular file -> char *: the process that has it open */
  GHashTable *loops; /* char *: file -> GPtrArray of char *: the loop devices on it */
  GPtrArray *mounts; /* BlockMount *; depth: not set */
};

static void add(GHashTable *table, dev_t rdev, char *text)
{
  gint64 key = rdev;

  if (g_hash_table_contains(table, &key))
    g_free(text);
  else
    g_hash_table_insert(table, vt_memdup(&key, sizeof key), text);
}

static gpointer look_up(GHashTable *table, dev_t rdev)
{
  gint64 key = rdev;
  return g_hash_table_lookup(table, &key);
}

/* @name to the names of @key, which is copied with its @size bytes. */
static void add_name(GHashTable *table, gconstpointer key, gsize size, const char *name)
{
  GPtrArray *names = g_hash_table_lookup(table, key);

  if (!names)
    g_hash_table_insert(table, vt_memdup(key, size),
                        names = g_ptr_array_new_with_free_func(g_free));
  g_ptr_array_add(names, g_strdup(name));
}

/* --- processes --- */

/* A block device, *@rdev, or a regular file, whose path is in @link then. */
static gboolean look_at_fd(int dir, const char *name, char link[PATH_MAX], dev_t *rdev)
{
  struct statx stx;
  ssize_t n = readlinkat(dir, name, link, PATH_MAX - 1);

  if (n <= 0 || link[0] != '/')
    return FALSE; /* a socket, a pipe, an anonymous inode */
  link[n] = '\0';
  if (statx(dir, name, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) == -1)
    return FALSE;
  *rdev = S_ISBLK(stx.stx_mode) ? makedev(stx.stx_rdev_major, stx.stx_rdev_minor) : 0;
  return S_ISBLK(stx.stx_mode) || S_ISREG(stx.stx_mode);
}

static void scan_process(BlockScan *scan, const char *pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%s/fd", pid);
  int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  GDir *list = dir == -1 ? NULL : g_dir_open(path, 0, NULL);
  g_autofree char *user = NULL;
  const char *name;
  char link[PATH_MAX];
  dev_t rdev;

  while (list && (name = g_dir_read_name(list))) {
    if (!look_at_fd(dir, name, link, &rdev))
      continue;
    if (!user) {
      g_autofree char *process = vt_process_name(atoi(pid));

      user = g_strdup_printf("%s, pid %s", process ? process : "a process", pid);
    }
    if (rdev)
      add(scan->users, rdev, g_strdup(user));
    else
      g_hash_table_insert(scan->files, g_strdup(link), g_strdup(user));
  }
  if (list)
    g_dir_close(list);
  if (dir != -1)
    close(dir);
}

/* --- what names a device by its path --- */

/* Is @path a block device? A path that the kernel gives for a file in use is in its cache, so it
 * need not wait for any file system's server. */
static gboolean path_is_block(const char *path, dev_t *rdev)
{
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_CACHED};
  int fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  struct stat st;
  gboolean found = fd != -1 && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);

  if (found)
    *rdev = st.st_rdev;
  if (fd != -1)
    close(fd);
  return found;
}

static void add_mount(BlockScan *scan, const VtMount *mount, dev_t device, const char *whose)
{
  BlockMount *added = g_new0(BlockMount, 1);

  added->device = device;
  added->id = mount->id;
  added->file_system = mount->device;
  added->path =
      whose ? g_strdup_printf("/proc/%s/root%s", whose, mount->where) : g_strdup(mount->where);
  g_ptr_array_add(scan->mounts, added);
}

static void free_mount(gpointer data)
{
  BlockMount *mount = data;

  g_free(mount->path);
  g_free(mount);
}

/* The mounts that process @pid sees; @whose for the message, NULL: this process's. */
static void scan_mounts(BlockScan *scan, const char *pid, const char *whose)
{
  g_autoptr(GArray) mounts = vt_list_mounts(pid);
  dev_t rdev;

  for (guint i = 0; i < mounts->len; i++) {
    const VtMount *mount = &g_array_index(mounts, VtMount, i);
    g_autofree char *where = vt_printable(mount->where);
    g_autofree char *user = whose ? g_strdup_printf("a mount on %s that pid %s sees", where, whose)
                                  : g_strdup_printf("a mount on %s", where);

    add(scan->users, mount->device, g_strdup(user));
    add_mount(scan, mount, mount->device, whose);
    if (*mount->source == '/' && path_is_block(mount->source, &rdev) && rdev != mount->device) {
      add(scan->users, rdev, g_steal_pointer(&user));
      add_mount(scan, mount, rdev, whose);
    }
  }
}

static void scan_swaps(BlockScan *scan)
{
  g_autofree char *table = NULL;
  g_auto(GStrv) lines = NULL;
  char name[4096];
  dev_t rdev;

  if (!g_file_get_contents("/proc/swaps", &table, NULL, NULL))
    return;
  lines = g_strsplit(table, "\n", -1);
  for (char **line = lines; *line; line++) {
    if (*line[0] != '/' || sscanf(*line, "%4095s", name) != 1)
      continue;
    g_autofree char *plain = g_strcompress(name);
    if (path_is_block(plain, &rdev))
      add(scan->users, rdev, g_strdup("swap space"));
  }
}

/* Files that hold the path of what the block device that they belong to has open: there may be
 * thousands of devices, most of them without. */
static const struct {
  const char *prefix, *file;
} device_files[] = {{"loop", "loop/backing_file"}, {"zram", "backing_dev"}};

/* Of what their folder has open. */
static const struct {
  const char *files, *what;
} path_files[] = {
    {"/sys/kernel/config/target/core/*/*/udev_path", "the SCSI target"},
    {"/sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path", "the NVMe target"},
    {"/sys/kernel/config/usb_gadget/*/functions/*/lun.*/file", "the USB gadget"},
};

static gboolean is_disabled(const char *folder)
{
  g_autofree char *path = g_build_filename(folder, "enable", NULL);
  g_autofree char *text = NULL;
  return g_file_get_contents(path, &text, NULL, NULL) && *text == '0';
}

/* The path in @file; NULL: none. The caller's. */
static char *read_path(const char *file)
{
  g_autofree char *path = NULL;

  if (!g_file_get_contents(file, &path, NULL, NULL) || *g_strchomp(path) != '/')
    return NULL;
  return g_steal_pointer(&path);
}

static void scan_device(BlockScan *scan, const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS(device_files); i++) {
    g_autofree char *file = NULL, *path = NULL;
    gint64 key;
    dev_t rdev;

    if (!g_str_has_prefix(name, device_files[i].prefix))
      continue;
    file = g_build_filename("/sys/block", name, device_files[i].file, NULL);
    if (access(file, R_OK) < 0 || !(path = read_path(file)))
      continue;
    if (path_is_block(path, &rdev)) {
      key = rdev;
      add_name(scan->upper, &key, sizeof key, name);
    } else {
      add_name(scan->loops, path, strlen(path) + 1, name);
    }
  }
}

static void scan_devices(BlockScan *scan)
{
  g_autoptr(GDir) dir = g_dir_open("/sys/block", 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    scan_device(scan, name);
}

static void scan_path_file(BlockScan *scan, const char *file, const char *what)
{
  g_autofree char *path = read_path(file), *folder = g_path_get_dirname(file);
  dev_t rdev;

  if (path && path_is_block(path, &rdev) && !is_disabled(folder)) {
    g_autofree char *shown = vt_printable(folder);
    add(scan->users, rdev, g_strdup_printf("%s %s", what, shown));
  }
}

static void scan_path_files(BlockScan *scan)
{
  for (guint i = 0; i < G_N_ELEMENTS(path_files); i++) {
    glob_t found;
    if (glob(path_files[i].files, GLOB_NOSORT, NULL, &found) != 0)
      continue;
    for (gsize k = 0; k < found.gl_pathc; k++)
      scan_path_file(scan, found.gl_pathv[k], path_files[i].what);
    globfree(&found);
  }
}

/* --- all of it --- */

static BlockScan *new_scan(gboolean mounts_alone)
{
  g_autoptr(GHashTable) namespaces = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  GDir *dir = g_dir_open("/proc", 0, NULL);
  BlockScan *scan = g_new0(BlockScan, 1);
  const char *pid;

  scan->users = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
  scan->upper =
      g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
  scan->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  scan->loops =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
  scan->mounts = g_ptr_array_new_with_free_func(free_mount);
  scan_mounts(scan, "self", NULL);
  scan_swaps(scan);
  scan_devices(scan);
  scan_path_files(scan);
  while (dir && (pid = g_dir_read_name(dir))) {
    g_autofree char *ns_path = g_strdup_printf("/proc/%s/ns/mnt", pid);
    g_autofree char *ns = g_ascii_isdigit(*pid) ? g_file_read_link(ns_path, NULL) : NULL;

    if (!g_ascii_isdigit(*pid) || (pid_t)g_ascii_strtoll(pid, NULL, 10) == getpid())
      continue;
    if (!mounts_alone)
      scan_process(scan, pid);
    if (ns && g_hash_table_add(namespaces, g_steal_pointer(&ns)))
      scan_mounts(scan, pid, pid);
  }
  if (dir)
    g_dir_close(dir);
  return scan;
}

BlockScan *block_scan_new(void)
{
  return new_scan(FALSE);
}

void block_scan_free(BlockScan *scan)
{
  g_ptr_array_unref(scan->mounts);
  g_hash_table_unref(scan->users);
  g_hash_table_unref(scan->upper);
  g_hash_table_unref(scan->files);
  g_hash_table_unref(scan->loops);
  g_free(scan);
}

/* --- one device --- */

static char *user_of(BlockScan *scan, dev_t rdev, const char *device, guint depth);

static char *read_line(const char *folder, const char *file)
{
  g_autofree char *path = g_build_filename(folder, file, NULL);
  char *text = NULL;
  return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

static char *device_user(BlockScan *scan, const char *name, guint depth)
{
  g_autofree char *folder = g_build_filename("/sys/class/block", name, NULL),
                  *number = read_line(folder, "dev");
  g_autofree char *device = g_build_filename("/dev", name, NULL);
  unsigned major_number, minor_number;

  if (depth == MAX_DEPTH || !number || sscanf(number, "%u:%u", &major_number, &minor_number) != 2)
    return NULL;
  return user_of(scan, makedev(major_number, minor_number), device, depth);
}

/* "block device dm-0 (secret), in use by a mount on /mnt" */
static char *describe_device(const char *name, const char *user)
{
  g_autofree char *folder = g_build_filename("/sys/class/block", name, NULL),
                  *dm_name = read_line(folder, "dm/name"),
                  *shown = dm_name ? vt_printable(dm_name) : NULL;
  g_autofree char *title = shown ? g_strdup_printf("%s (%s)", name, shown) : g_strdup(name);
  return g_strdup_printf("block device %s%s%s", title, user ? ", in use by " : "",
                         user ? user : "");
}

static char *describe_upper(BlockScan *scan, const char *name, guint depth)
{
  g_autofree char *user = device_user(scan, name, depth + 1);
  return describe_device(name, user);
}

/* dm, md and others that say so: /sys/dev/block/M:N/holders/. */
static char *find_holder(BlockScan *scan, const char *folder, guint depth)
{
  g_autofree char *path = g_build_filename(folder, "holders", NULL);
  GDir *dir = g_dir_open(path, 0, NULL);
  const char *name = dir ? g_dir_read_name(dir) : NULL;
  char *user = name ? describe_upper(scan, name, depth) : NULL;

  if (dir)
    g_dir_close(dir);
  return user;
}

/* A partition that is there is no use of the device; one that is used is. Its folder is in the
 * device's, and named after it. */
static char *find_partition_user(BlockScan *scan, const char *folder, guint depth)
{
  g_autofree char *link = g_file_read_link(folder, NULL),
                  *disk = link ? g_path_get_basename(link) : NULL;
  GDir *dir = disk ? g_dir_open(folder, 0, NULL) : NULL;
  char *found = NULL;
  const char *name;

  while (dir && !found && (name = g_dir_read_name(dir))) {
    g_autofree char *user =
        g_str_has_prefix(name, disk) ? device_user(scan, name, depth + 1) : NULL;
    if (user)
      found = describe_device(name, user);
  }
  if (dir)
    g_dir_close(dir);
  return found;
}

static gboolean is_held_exclusively(const char *device)
{
  int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
  gboolean held = fd == -1 && errno == EBUSY;

  if (fd != -1)
    close(fd);
  return held;
}

static char *user_of(BlockScan *scan, dev_t rdev, const char *device, guint depth)
{
  g_autofree char *folder = g_strdup_printf("/sys/dev/block/%u:%u", major(rdev), minor(rdev));
  const char *known = look_up(scan->users, rdev);
  GPtrArray *upper = look_up(scan->upper, rdev);
  char *user = known   ? g_strdup(known)
               : upper ? describe_upper(scan, upper->pdata[0], depth)
                       : NULL;

  if (!user)
    user = find_holder(scan, folder, depth);
  if (!user)
    user = find_partition_user(scan, folder, depth);
  if (!user && is_held_exclusively(device))
    user = g_strdup("the kernel (a mount or device that cannot be seen from here)");
  return user;
}

char *block_scan_user(BlockScan *scan, const char *device)
{
  struct stat st;

  if (stat(device, &st) == -1 || !S_ISBLK(st.st_mode))
    return NULL;
  return user_of(scan, st.st_rdev, device, 0);
}

char *block_scan_file_opener(BlockScan *scan, const char *file)
{
  return g_strdup(g_hash_table_lookup(scan->files, file));
}

char *block_scan_file_user(BlockScan *scan, const char *file, const char *except)
{
  GPtrArray *names = g_hash_table_lookup(scan->loops, file);

  for (guint i = 0; names && i < names->len; i++)
    if (!g_str_has_prefix(except, "/dev/") ||
        strcmp(except + strlen("/dev/"), names->pdata[i]) != 0)
      return describe_upper(scan, names->pdata[i], 0);
  return NULL;
}

/* --- all mounts on a device --- */

static void collect(BlockScan *scan, dev_t rdev, guint depth, GPtrArray *found);

static void collect_named(BlockScan *scan, const char *name, guint depth, GPtrArray *found)
{
  g_autofree char *folder = g_build_filename("/sys/class/block", name, NULL),
                  *number = read_line(folder, "dev");
  unsigned major_number, minor_number;

  if (depth <= MAX_DEPTH && number && sscanf(number, "%u:%u", &major_number, &minor_number) == 2)
    collect(scan, makedev(major_number, minor_number), depth, found);
}

/* Those of @folder that begin with @prefix: a device's holders, or its partitions. */
static void collect_folder(BlockScan *scan, const char *folder, const char *prefix, guint depth,
                           GPtrArray *found)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir)))
    if (g_str_has_prefix(name, prefix))
      collect_named(scan, name, depth, found);
}

/* The number of the file system that @file lies on, as this process sees it: of the mount that is
 * the nearest above it, the last of those in one place. */
static dev_t file_system_of(BlockScan *scan, const char *file)
{
  const BlockMount *found = NULL;
  gsize longest = 0;

  for (guint i = 0; i < scan->mounts->len; i++) {
    const BlockMount *mount = scan->mounts->pdata[i];
    gsize length = strlen(mount->path);

    if (length >= longest && strncmp(mount->path, file, length) == 0 &&
        (file[length] == '/' || length == 1)) {
      found = mount;
      longest = length;
    }
  }
  return found ? found->file_system : 0;
}

/* What is on the loop devices of files of @file_system. */
static void collect_files(BlockScan *scan, dev_t file_system, guint depth, GPtrArray *found)
{
  GHashTableIter it;
  gpointer file, names;

  g_hash_table_iter_init(&it, scan->loops);
  while (g_hash_table_iter_next(&it, &file, &names))
    for (guint i = 0; file_system_of(scan, file) == file_system && i < ((GPtrArray *)names)->len;
         i++)
      collect_named(scan, ((GPtrArray *)names)->pdata[i], depth, found);
}

/* The mounts of @rdev, each behind those of what lies in its files. */
static void add_mounts(BlockScan *scan, dev_t rdev, guint depth, GPtrArray *found)
{
  for (guint i = 0; i < scan->mounts->len; i++) {
    BlockMount *mount = scan->mounts->pdata[i];

    if (mount->device != rdev || g_ptr_array_find(found, mount, NULL))
      continue;
    collect_files(scan, mount->file_system, depth + 1, found);
    mount->depth = depth;
    g_ptr_array_add(found, mount);
  }
}

/* A btrfs on several devices is mounted by the name of one of them. */
static void add_btrfs(BlockScan *scan, const char *disk, guint depth, GPtrArray *found)
{
  g_autofree char *pattern = g_strconcat("/sys/fs/btrfs/*/devices/", disk, NULL);
  glob_t all;

  if (glob(pattern, GLOB_NOSORT, NULL, &all) != 0)
    return;
  for (gsize i = 0; i < all.gl_pathc; i++) {
    g_autofree char *folder = g_path_get_dirname(all.gl_pathv[i]);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
      g_autofree char *device = g_build_filename(folder, name, NULL),
                      *number = read_line(device, "dev");
      unsigned major_number, minor_number;

      if (strcmp(name, disk) != 0 && number &&
          sscanf(number, "%u:%u", &major_number, &minor_number) == 2)
        add_mounts(scan, makedev(major_number, minor_number), depth, found);
    }
  }
  globfree(&all);
}

static void collect(BlockScan *scan, dev_t rdev, guint depth, GPtrArray *found)
{
  g_autofree char *folder = g_strdup_printf("/sys/dev/block/%u:%u", major(rdev), minor(rdev)),
                  *holders = g_build_filename(folder, "holders", NULL),
                  *link = g_file_read_link(folder, NULL),
                  *disk = link ? g_path_get_basename(link) : NULL;
  GPtrArray *upper = look_up(scan->upper, rdev);

  for (guint i = 0; upper && i < upper->len; i++)
    collect_named(scan, upper->pdata[i], depth + 1, found);
  collect_folder(scan, holders, "", depth + 1, found);
  if (disk)
    collect_folder(scan, folder, disk, depth + 1, found);
  add_mounts(scan, rdev, depth, found);
  if (disk)
    add_btrfs(scan, disk, depth, found);
}

BlockScan *block_scan_new_mounts(void)
{
  return new_scan(TRUE);
}

void block_scan_mounts(BlockScan *scan, const char *device, const char *file, GPtrArray *found)
{
  GPtrArray *loops = file ? g_hash_table_lookup(scan->loops, file) : NULL;
  struct stat st;

  if (stat(device, &st) == 0 && S_ISBLK(st.st_mode))
    collect(scan, st.st_rdev, 0, found);
  for (guint i = 0; loops && i < loops->len; i++)
    collect_named(scan, loops->pdata[i], 1, found);
}
