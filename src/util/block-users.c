/* virt-thin - who has a block device open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Nobody tells, so look everywhere: file descriptors of all processes, mount tables, devices built on it, and what an
 * exclusive open says of all the rest. Descriptors are looked at without asking the servers of their files
 * (AT_STATX_DONT_SYNC): one of those may be our own engine.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/block-users.h"
#include "util/memory.h"

static gboolean fd_is_block(int dir, const char *name, dev_t *rdev)
{
  char link[64];
  struct statx stx;

  ssize_t n = readlinkat(dir, name, link, sizeof link - 1);
  if (n <= 0 || link[0] != '/')
    return FALSE; /* a socket, a pipe, an anonymous inode */
  if (statx(dir, name, AT_STATX_DONT_SYNC, STATX_TYPE, &stx) == -1 || !S_ISBLK(stx.stx_mode))
    return FALSE;
  *rdev = makedev(stx.stx_rdev_major, stx.stx_rdev_minor);
  return TRUE;
}

struct BlockScan {
  GHashTable *users; /* gint64 *: device number -> char * */
};

static void add_user(BlockScan *scan, dev_t rdev, char *user)
{
  gint64 key = rdev;

  if (g_hash_table_contains(scan->users, &key))
    g_free(user);
  else
    g_hash_table_insert(scan->users, vt_memdup(&key, sizeof key), user);
}

static void scan_process(BlockScan *scan, const char *pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%s/fd", pid);
  g_autofree char *comm_path = g_strdup_printf("/proc/%s/comm", pid);
  int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  GDir *list = dir == -1 ? NULL : g_dir_open(path, 0, NULL);
  const char *name;
  dev_t rdev;

  while (list && (name = g_dir_read_name(list))) {
    g_autofree char *comm = NULL;
    if (!fd_is_block(dir, name, &rdev))
      continue;
    g_file_get_contents(comm_path, &comm, NULL, NULL);
    add_user(scan, rdev, g_strdup_printf("%s, pid %s", comm ? g_strchomp(comm) : "a process", pid));
  }
  if (list)
    g_dir_close(list);
  if (dir != -1)
    close(dir);
}

/* The mounts that process @pid sees; @whose for the message, NULL: this process's. */
static void scan_mounts(BlockScan *scan, const char *pid, const char *whose)
{
  g_autofree char *path = g_strdup_printf("/proc/%s/mountinfo", pid);
  g_autofree char *table = NULL;
  g_auto(GStrv) lines = NULL;
  unsigned major_number, minor_number;
  char where[4096];

  if (!g_file_get_contents(path, &table, NULL, NULL))
    return;
  lines = g_strsplit(table, "\n", -1);
  for (char **line = lines; *line; line++)
    if (sscanf(*line, "%*s %*s %u:%u %*s %4095s", &major_number, &minor_number, where) == 3)
      add_user(scan, makedev(major_number, minor_number),
               whose ? g_strdup_printf("a mount on %s that pid %s sees", where, whose)
                     : g_strdup_printf("a mount on %s", where));
}

BlockScan *block_scan_new(void)
{
  g_autoptr(GHashTable) namespaces = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  GDir *dir = g_dir_open("/proc", 0, NULL);
  BlockScan *scan = g_new0(BlockScan, 1);
  const char *pid;

  scan->users = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
  scan_mounts(scan, "self", NULL);
  while (dir && (pid = g_dir_read_name(dir))) {
    g_autofree char *ns_path = g_strdup_printf("/proc/%s/ns/mnt", pid);
    g_autofree char *ns = g_ascii_isdigit(*pid) ? g_file_read_link(ns_path, NULL) : NULL;

    if (!g_ascii_isdigit(*pid) || (pid_t)g_ascii_strtoll(pid, NULL, 10) == getpid())
      continue;
    scan_process(scan, pid);
    if (ns && g_hash_table_add(namespaces, g_steal_pointer(&ns)))
      scan_mounts(scan, pid, pid);
  }
  if (dir)
    g_dir_close(dir);
  return scan;
}

void block_scan_free(BlockScan *scan)
{
  g_hash_table_unref(scan->users);
  g_free(scan);
}

/* dm, md and other loop devices on it: /sys/dev/block/M:N/holders/. */
static char *find_holder(dev_t rdev)
{
  g_autofree char *path = g_strdup_printf("/sys/dev/block/%u:%u/holders", major(rdev), minor(rdev));
  GDir *dir = g_dir_open(path, 0, NULL);
  const char *name = dir ? g_dir_read_name(dir) : NULL;
  char *user = name ? g_strdup_printf("block device %s", name) : NULL;

  if (dir)
    g_dir_close(dir);
  return user;
}

char *block_scan_user(BlockScan *scan, const char *device)
{
  struct stat st;
  gint64 key;
  char *user;

  if (stat(device, &st) == -1 || !S_ISBLK(st.st_mode))
    return NULL;
  key = st.st_rdev;
  user = g_hash_table_lookup(scan->users, &key);
  if (user)
    return g_strdup(user);
  if ((user = find_holder(st.st_rdev)))
    return user;
  int fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
  if (fd == -1 && errno == EBUSY)
    return g_strdup("the kernel (swap space, or a mount or device that cannot be seen from here)");
  if (fd != -1)
    close(fd);
  return NULL;
}
