/* virt-thin - a file system of a volume, mounted and unmounted
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "mount/attach.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "settings/settings.h"
#include "util/loop.h"
#include "util/proc.h"

#define STARTED_MS 10000 /* how long a program has to make its mount */

/* --- programs --- */

/* What is for root is also looked for by others. The caller's; NULL: not installed. */
static char *find_program(const char *name)
{
  static const char *const folders[] = {"/usr/sbin", "/sbin"};
  char *path = g_find_program_in_path(name);

  for (gsize i = 0; !path && i < G_N_ELEMENTS(folders); i++) {
    path = g_build_filename(folders[i], name, NULL);
    if (access(path, X_OK) == -1)
      g_clear_pointer(&path, g_free);
  }
  return path;
}

/* Its last words are the error. */
static gboolean run(const char *const *argv, GError **error)
{
  g_autofree char *program = find_program(argv[0]), *said = NULL;
  g_auto(GStrv) words = g_strdupv((GStrv)argv);
  g_autoptr(GError) local = NULL;
  int status;

  if (!program)
    return vt_set_error(error, ENOENT, "%s is not installed", argv[0]);
  g_free(words[0]);
  words[0] = g_steal_pointer(&program);
  if (!g_spawn_sync(NULL, words, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, &said, &status,
                    &local) ||
      !g_spawn_check_wait_status(status, &local))
    return vt_set_error(error, EIO, "%s", said && *g_strstrip(said) ? said : local->message);
  return TRUE;
}

/* --- for root --- */

/* Without what a guest could make root's on this machine. */
static char *mount_options(const char *type, MountMode mode)
{
  const char *more = "";

  if (strcmp(type, "xfs") == 0)
    more = mode == MOUNT_UNTOUCHED ? ",nouuid,norecovery" : ",nouuid";
  else if (mode == MOUNT_UNTOUCHED && (strcmp(type, "ext4") == 0 || strcmp(type, "ext3") == 0))
    more = ",noload";
  else if (mode == MOUNT_UNTOUCHED && strcmp(type, "btrfs") == 0)
    more = ",rescue=nologreplay";
  return g_strdup_printf("%s,nosuid,nodev%s", mode == MOUNT_WRITABLE ? "rw" : "ro", more);
}

/* The name that mount(8) knows it by. */
static const char *mount_type(const char *type)
{
  g_autofree char *ntfs_3g = strcmp(type, "ntfs") == 0 ? find_program("mount.ntfs-3g") : NULL;

  if (strcmp(type, "ntfs") == 0)
    return ntfs_3g ? "ntfs-3g" : "ntfs3";
  return type;
}

static gboolean attach_root(const char *path, const MountPart *part, MountMode mode,
                            const char *folder, GError **error)
{
  VtLoop how = {.offset = part->offset,
                .size = part->size,
                .read_only = mode == MOUNT_UNTOUCHED,
                .autoclear = TRUE};
  g_autofree char *options = mount_options(part->type, mode), *device = NULL;
  int loop = vt_loop_attach(path, &how, &device, error);
  const char *argv[] = {"mount", "-t", mount_type(part->type), "-o", options, device, folder, NULL};
  gboolean ok;

  if (loop == -1)
    return FALSE;
  ok = run(argv, error);
  close(loop);
  return ok;
}

/* --- for others --- */

/* fuse2fs replays no journal into what it mounts read-only. What cannot be replayed is read without
 * it. */
static gboolean attach_fuse2fs(const char *path, const MountPart *part, MountMode mode,
                               const char *folder, GError **error)
{
  g_autofree char *at = g_strdup_printf("%s?offset=%" G_GUINT64_FORMAT, path, part->offset);
  g_autofree char *options =
      g_strdup_printf("ro,norecovery,offset=%" G_GUINT64_FORMAT, part->offset);
  const char *replay[] = {"e2fsck", "-y", "-E", "journal_only", at, NULL};
  const char *argv[] = {"fuse2fs", path, folder, "-o", options, NULL};

  if (mode == MOUNT_CLONE)
    run(replay, NULL);
  return run(argv, error);
}

static gboolean attach_guestmount(const char *path, const MountPart *part, const char *folder,
                                  GError **error)
{
  g_autofree char *device = strchr(part->name, '/') ? g_strconcat("/dev/", part->name, NULL)
                            : strcmp(part->name, "0") == 0
                                ? g_strdup("/dev/sda")
                                : g_strconcat("/dev/sda", part->name, NULL);
  g_autofree char *source = g_strconcat("fsname=", path, NULL);
  const char *argv[] = {"guestmount", "--format=raw", "-a",   path,   "-m", device,
                        "--ro",       "-o",           source, folder, NULL};

  return run(argv, error);
}

/* They go into the background before all is done. */
static gboolean wait_for_mount(const char *folder, GError **error)
{
  for (guint waited = 0; waited < STARTED_MS; waited += 20) {
    if (vt_is_mounted(folder))
      return TRUE;
    g_usleep(20 * G_TIME_SPAN_MILLISECOND);
  }
  return vt_set_error(error, ETIMEDOUT, "nothing has been mounted in time");
}

static gboolean attach_user(const char *path, const MountPart *part, MountMode mode,
                            const char *folder, GError **error)
{
  g_autofree char *fuse2fs = find_program("fuse2fs"), *guestmount = find_program("guestmount");
  gboolean ext = g_str_has_prefix(part->type, "ext") && strlen(part->type) == strlen("ext4");
  gboolean ok;

  if (mode == MOUNT_WRITABLE)
    return vt_set_error(error, EPERM, "for writing, that is for root");
  if (ext && fuse2fs)
    ok = attach_fuse2fs(path, part, mode, folder, error);
  else if (guestmount)
    ok = attach_guestmount(path, part, folder, error);
  else
    return vt_set_error(error, EOPNOTSUPP,
                        "for who is not root, %s it is (Debian: apt-get install %s)",
                        ext ? "fuse2fs or guestmount that does" : "guestmount that does",
                        ext ? "fuse2fs" : "guestmount");
  return ok && wait_for_mount(folder, error);
}

/* --- both --- */

gboolean mount_attach(const char *path, const char *what, const MountPart *part, MountMode mode,
                      const char *folder, GError **error)
{
  gboolean ok = geteuid() == 0 ? attach_root(path, part, mode, folder, error)
                               : attach_user(path, part, mode, folder, error);

  if (!ok)
    g_prefix_error(error, "cannot mount partition %s of %s (%s) on %s: ", part->name, what,
                   part->type, folder);
  return ok;
}

gboolean mount_detach(const char *folder, GError **error)
{
  g_autofree char *fusermount = find_program("fusermount3");
  const char *argv[] = {"umount", folder, NULL},
             *fuse[] = {fusermount ? "fusermount3" : "fusermount", "-u", folder, NULL};

  if (run(geteuid() == 0 ? argv : fuse, error))
    return TRUE;
  g_prefix_error(error, "cannot unmount %s: ", folder);
  return FALSE;
}

/* --- what is mounted --- */

static void mounted_free(gpointer data)
{
  Mounted *mounted = data;

  g_free(mounted->where);
  g_free(mounted->vg);
  g_free(mounted->lv);
  g_free(mounted);
}

/* <runtime>/VG/volumes/LV */
static gboolean split_file(const char *path, char **vg, char **lv)
{
  g_autofree char *dir = realpath(settings_runtime_dir(), NULL);
  g_auto(GStrv) words = NULL;

  if (!dir || !g_str_has_prefix(path, dir) || path[strlen(dir)] != '/')
    return FALSE;
  words = g_strsplit(path + strlen(dir) + 1, "/", 4);
  if (g_strv_length(words) != 3 || strcmp(words[1], "volumes") != 0)
    return FALSE;
  *vg = g_strdup(words[0]);
  *lv = g_strdup(words[2]);
  return TRUE;
}

/* Device-mapper's name of a logical volume has its hyphens doubled, and one between VG and LV. */
static gboolean split_device(const char *path, char **vg, char **lv)
{
  g_autofree char *file = NULL, *name = NULL;
  g_autoptr(GString) word = g_string_new(NULL);
  struct stat st;

  if (stat(path, &st) == -1 || !S_ISBLK(st.st_mode))
    return FALSE;
  file = g_strdup_printf("/sys/dev/block/%u:%u/dm/name", major(st.st_rdev), minor(st.st_rdev));
  if (!g_file_get_contents(file, &name, NULL, NULL))
    return FALSE;
  g_strchomp(name);
  for (const char *c = name; *c; c++) {
    if (*c == '-' && c[1] != '-' && !*vg) {
      *vg = g_strdup(word->str);
      g_string_truncate(word, 0);
      continue;
    }
    g_string_append_c(word, *c);
    c += *c == '-' && c[1] == '-';
  }
  *lv = *vg ? g_strdup(word->str) : NULL;
  return *vg != NULL;
}

GPtrArray *mount_list(void)
{
  GPtrArray *list = g_ptr_array_new_with_free_func(mounted_free);
  g_autoptr(GArray) mounts = vt_list_mounts("self");

  for (guint i = mounts->len; i-- > 0;) {
    const VtMount *mount = &g_array_index(mounts, VtMount, i);
    g_autofree char *file = vt_loop_file(mount->source);
    g_autofree char *vg = NULL, *lv = NULL;
    Mounted *mounted;

    if (file ? !split_file(file, &vg, &lv) && !split_device(file, &vg, &lv)
             : !split_file(mount->source, &vg, &lv))
      continue;
    mounted = g_new0(Mounted, 1);
    mounted->where = g_strdup(mount->where);
    mounted->vg = g_steal_pointer(&vg);
    mounted->lv = g_steal_pointer(&lv);
    g_ptr_array_add(list, mounted);
  }
  return list;
}
