/* virt-thin - storage list: volumes of storages that are folders
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/qemu.h"
#include "pvesm/folder.h"
#include "storagecfg/pools.h"
#include "util/image-format.h"

/* --- images --- */

/* As QEMU sees a raw image: in sectors. */
static guint64 sectors_of(guint64 size)
{
  return (size + 511) & ~(guint64)511;
}

/* Does the file begin as one of @format does? */
static gboolean has_format(const char *path, const char *format, guint64 size, gboolean *has,
                           GError **error)
{
  char head[512];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);

  if (n < 0)
    vt_set_errno(error, errno, "%s", path);
  else
    *has = strcmp(vt_image_format(fd, size, head, (gsize)n), format) == 0;
  if (fd >= 0)
    close(fd);
  return n >= 0;
}

/* *size: PVESM_UNKNOWN_SIZE of an image that cannot be read. *format becomes "invalid" of a file
 * that is none of its format. */
static gboolean look_into(const char *path, const struct stat *st, char **format, guint64 *size,
                          char **backing, GError **error)
{
  g_autoptr(GError) local = NULL;
  gboolean raw = strcmp(*format, "raw") == 0, has = TRUE;

  *size = sectors_of((guint64)st->st_size);
  if (raw && S_ISREG(st->st_mode))
    return TRUE;
  if (!raw && has_format(path, *format, (guint64)st->st_size, &has, &local) && !has) {
    cli_warn("image '%s' is not in expected format '%s', querying as raw", path, *format);
    g_free(*format);
    *format = g_strdup("invalid");
    return TRUE;
  }
  if (!local && image_qemu_info(&(ImageQemuFile){path, *format, -1, TRUE}, size, backing, &local))
    return TRUE;
  *size = PVESM_UNKNOWN_SIZE;
  if (access(path, F_OK) < 0)
    return TRUE; /* it has been freed meanwhile */
  if (g_error_matches(local, VT_ERROR, ENOENT))
    return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
  cli_warn("%s", local->message);
  return TRUE;
}

/* What a clone is a clone of: "9000/base-9000-disk-0.qcow2" when that is an image of this storage,
 * else NULL. */
static char *base_of(const char *images, const char *folder, const char *backing)
{
  g_autofree char *full = backing ? g_canonicalize_filename(backing, folder) : NULL,
                  *root = g_canonicalize_filename(images, "/");
  gsize n = strlen(root);
  g_auto(FolderVolume) base = {0};

  if (!full || strncmp(full, root, n) != 0 || full[n] != '/' ||
      !pvesm_folder_parse(full + n + 1, &base, NULL))
    return NULL;
  return g_strdup(full + n + 1);
}

/* Of a file of a guest; NULL, without an error, when it is no volume. */
static PvesmItem *look_at(const StorageCfgStorage *storage, const char *images,
                          const FolderVolume *volume, const char *path, GError **error)
{
  g_autofree char *folder = g_build_filename(images, volume->vmid, NULL),
                  *format = g_strdup(volume->format), *backing = NULL, *base = NULL;
  gboolean subvolume = strcmp(format, "subvol") == 0;
  guint64 size = 0;
  struct stat st;
  char *name;

  if (stat(path, &st) < 0) {
    if (lstat(path, &st) == 0)
      cli_warn("failed to stat '%s' - dangling symlink?", path);
    return NULL;
  }
  if (subvolume != S_ISDIR(st.st_mode) ||
      !(subvolume || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
    cli_warn("'%s' is no volume: it is not what its name says", path);
    return NULL;
  }
  if (!subvolume &&
      (!look_into(path, &st, &format, &size, &backing, error) || access(path, F_OK) < 0))
    return NULL;
  base = base_of(images, folder, backing);
  name = base && g_str_has_prefix(backing, "../")
             ? g_strdup_printf("%s/%s/%s", base, volume->vmid, volume->file)
             : g_strdup_printf("%s/%s", volume->vmid, volume->file);
  return pvesm_item_new(storage->id, name, pvesm_is_container(volume->vmid) ? "rootdir" : "images",
                        g_steal_pointer(&format), size, g_strdup(volume->vmid),
                        g_steal_pointer(&base));
}

static gboolean has_word(const char *words, const char *word)
{
  g_auto(GStrv) all = g_strsplit(words ? words : "raw", " ", -1);

  return g_strv_contains((const char *const *)all, word);
}

/* The volume that @name in a guest's folder is; FALSE: none. Of Proxmox's snapshots, which are
 * files beside, nothing is said. */
static gboolean volume_of(const StorageCfgStorage *storage, const char *vmid, const char *name,
                          FolderVolume *volume)
{
  gboolean btrfs = strcmp(storage->type->name, "btrfs") == 0;
  const char *dot = strrchr(name, '.');
  /* On btrfs a raw image is a subvolume, and one with an @ a snapshot. */
  g_autofree char *volume_name =
      g_strdup_printf("%s/%s%s", vmid, name, btrfs && !strpbrk(name, ".@") ? ".raw" : "");

  if (btrfs &&
      (strchr(name, '@') || (dot && (strchr(name, '.') != dot || strcmp(dot, ".raw") == 0))))
    return FALSE;
  if (!btrfs && (!dot || !has_word(storage->type->formats, dot + 1)))
    return FALSE;
  if (pvesm_folder_parse(volume_name, volume, NULL))
    return TRUE;
  if (!g_str_has_prefix(name, "snap-") && dot)
    cli_warn(
        "this volume name '%s' is not supported: vm-<VMID>-<name>.%s is what an image is called",
        volume_name, dot + 1);
  pvesm_folder_clear(volume);
  return FALSE;
}

static gboolean list_guest(const StorageCfgStorage *storage, const char *images, const char *vmid,
                           GPtrArray *items, GError **error)
{
  g_autofree char *folder = g_build_filename(images, vmid, NULL);
  g_autoptr(GPtrArray) names = pvesm_folder_read(folder, error);

  for (guint i = 0; names && i < names->len; i++) {
    g_auto(FolderVolume) volume = {0};
    g_autofree char *path = NULL;
    g_autoptr(GError) local = NULL;
    PvesmItem *item;

    if (!volume_of(storage, vmid, names->pdata[i], &volume))
      continue;
    path = pvesm_folder_path(storage, &volume);
    item = look_at(storage, images, &volume, path, &local);
    if (local)
      return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
    if (item)
      g_ptr_array_add(items, item);
  }
  return names != NULL;
}

static gboolean list_images(const StorageCfgStorage *storage, const char *vmid, GPtrArray *items,
                            GError **error)
{
  g_autofree char *images = storagecfg_content_folder(storage, "images");
  g_autoptr(GPtrArray) owners = pvesm_folder_read(images, error);

  for (guint i = 0; owners && i < owners->len; i++) {
    const char *owner = owners->pdata[i];
    g_autofree char *folder = g_build_filename(images, owner, NULL);

    if (strspn(owner, "0123456789") == strlen(owner) && (!vmid || strcmp(vmid, owner) == 0) &&
        g_file_test(folder, G_FILE_TEST_IS_DIR) &&
        !list_guest(storage, images, owner, items, error))
      return FALSE;
  }
  return owners != NULL;
}

gboolean pvesm_folder_find_clone(const StorageCfgStorage *storage, const char *vmid,
                                 const char *base, char **of, GError **error)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func((GDestroyNotify)pvesm_item_free);
  g_autofree char *name = g_strdup_printf("%s/%s", vmid, base);
  const char *unknown = NULL;

  *of = NULL;
  if (!list_images(storage, NULL, items, error))
    return FALSE;
  for (guint i = 0; i < items->len && !*of; i++) {
    const PvesmItem *item = items->pdata[i];

    if (item->size == PVESM_UNKNOWN_SIZE)
      unknown = item->volid;
    else if (g_strcmp0(item->base, name) == 0)
      *of = g_strdup(item->volid);
  }
  return *of || !unknown ||
         vt_set_error(error, EIO,
                      "cannot tell whether volume '%s' is a linked clone of '%s:%s'; --force frees "
                      "it nevertheless",
                      unknown, storage->id, name);
}

/* --- other files --- */

/* The guest that a backup's name has, by Proxmox's rule: the first number between dashes. NULL:
 * none. */
static char *backup_owner(const char *file, const char *format)
{
  static GRegex *regex;
  g_autoptr(GMatchInfo) match = NULL;
  g_autofree char *stem = g_strndup(file, strlen(file) - strlen(format) - 1);

  if (!regex)
    regex = g_regex_new("-([1-9][0-9]{2,8})-.", G_REGEX_RAW | G_REGEX_OPTIMIZE, 0, NULL);
  return g_regex_match(regex, stem, 0, &match) ? g_match_info_fetch(match, 1) : NULL;
}

/* Proxmox holds --vmid against a backup's name like this. */
static gboolean is_backup_of(const char *file, const char *vmid)
{
  g_autofree char *part = g_strdup_printf("-%s-", vmid);

  for (const char *at = strstr(file, part); at; at = strstr(at + 1, part))
    if (at > file && !g_ascii_isspace(at[-1]) && at[strlen(part)] &&
        !g_ascii_isspace(at[strlen(part)]))
      return TRUE;
  return FALSE;
}

static gboolean list_files(const StorageCfgStorage *storage, const char *content, const char *vmid,
                           GPtrArray *items, GError **error)
{
  gboolean backups = strcmp(content, "backup") == 0, imports = strcmp(content, "import") == 0;
  g_autofree char *folder = storagecfg_content_folder(storage, content);
  g_autoptr(GPtrArray) names = pvesm_folder_read(folder, error);

  for (guint i = 0; names && i < names->len; i++) {
    const char *name = names->pdata[i];
    g_autofree char *path = g_build_filename(folder, name, NULL),
                    *format = pvesm_folder_format(content, name), *owner = NULL;
    struct stat st;

    /* A name with a blank can be told to import, but is not listed. */
    if (!format || (imports && strchr(name, ' ')) ||
        (backups && vmid && !is_backup_of(name, vmid)) || stat(path, &st) < 0 ||
        S_ISDIR(st.st_mode))
      continue;
    owner = !backups ? NULL : vmid ? g_strdup(vmid) : backup_owner(name, format);
    g_ptr_array_add(items, pvesm_item_new(storage->id, g_strdup_printf("%s/%s", content, name),
                                          content, g_steal_pointer(&format), (guint64)st.st_size,
                                          g_steal_pointer(&owner), NULL));
  }
  return names != NULL;
}

/* --- all --- */

/* Images are what a guest of another kind than the storage is for has there, too: they are then not
 * shown. */
static gboolean list_wanted_images(const StorageCfgStorage *storage, const char *vmid,
                                   const char *content, GPtrArray *items, GError **error)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)pvesm_item_free);

  if (!list_images(storage, vmid, all, error))
    return FALSE;
  while (all->len > 0) {
    PvesmItem *item = g_ptr_array_steal_index(all, all->len - 1);

    if (storagecfg_has_content(storage, item->content) &&
        (!content || strcmp(content, item->content) == 0))
      g_ptr_array_add(items, item);
    else
      pvesm_item_free(item);
  }
  return TRUE;
}

gboolean pvesm_folder_list(const StorageCfgStorage *storage, const char *vmid, const char *content,
                           GPtrArray *items, GError **error)
{
  static const char *const files[] = {"vztmpl", "iso", "backup", "snippets", "import"};
  gboolean images = !content || strcmp(content, "images") == 0 || strcmp(content, "rootdir") == 0;

  if (!pvesm_folder_activate(storage, FALSE, error))
    return FALSE;
  if (images &&
      (storagecfg_has_content(storage, "images") || storagecfg_has_content(storage, "rootdir")) &&
      !list_wanted_images(storage, vmid, content, items, error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS(files); i++) {
    gboolean owned_by_none = i < 2; /* which Proxmox does not show with those of a guest */

    if (storagecfg_has_content(storage, files[i]) && (!content || strcmp(content, files[i]) == 0) &&
        !(vmid && owned_by_none) && !list_files(storage, files[i], vmid, items, error))
      return FALSE;
  }
  return TRUE;
}
