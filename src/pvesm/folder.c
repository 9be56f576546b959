/* virt-thin - storage: names and places of volumes in storages that are folders
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pvesm/folder.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storagecfg/pools.h"
#include "util/proc.h"

gboolean pvesm_is_folder(const StorageCfgStorage *storage)
{
  return storagecfg_string(storage, "path") != NULL;
}

/* --- is it there? --- */

static gboolean is_mounted(const char *path)
{
  g_autofree char *real = realpath(path, NULL);

  return real && vt_is_mounted(real);
}

/* content-dirs may lead two contents to one folder, whose files would be volumes of both. */
static char *find_shared_folder(const StorageCfgStorage *storage)
{
  const StorageCfgValue *content = storagecfg_value(storage, "content");
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, free, NULL);

  for (char **word = content ? content->list : NULL; word && *word; word++) {
    g_autofree char *folder = storagecfg_content_folder(storage, *word);
    char *real = realpath(folder, NULL);

    if (real && g_hash_table_contains(seen, real)) {
      char *problem = g_strdup_printf("it uses directory %s for multiple content types", real);

      free(real);
      return problem;
    }
    if (real)
      g_hash_table_add(seen, real);
  }
  return NULL;
}

char *pvesm_folder_problem(const StorageCfgStorage *storage)
{
  const char *path = storagecfg_string(storage, "path"),
             *mount = storagecfg_string(storage, "is_mountpoint");
  gboolean flag = storage->type->has_default_path; /* a share is mounted */

  if (mount && !storagecfg_parse_boolean(mount, &flag))
    flag = TRUE;
  else
    mount = path;
  if (flag && !is_mounted(mount))
    return g_strdup_printf("nothing is mounted at %s", mount);
  if (access(path, F_OK) < 0)
    return g_strdup_printf("%s: %s", path, g_strerror(errno));
  if (strcmp(storage->type->name, "btrfs") == 0 && !pvesm_is_on_btrfs(path))
    return g_strdup_printf("'%s' is not a btrfs file system", path);
  return find_shared_folder(storage);
}

GPtrArray *pvesm_folder_read(const char *path, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  DIR *dir = opendir(path);
  struct dirent *entry;

  if (!dir && errno != ENOENT) {
    vt_set_errno(error, errno, "reading folder %s", path);
    return NULL;
  }
  while (dir && (entry = readdir(dir)))
    if (entry->d_name[0] != '.')
      g_ptr_array_add(names, g_strdup(entry->d_name));
  if (dir)
    closedir(dir);
  return g_steal_pointer(&names);
}

/* Proxmox makes a folder that may be missing when it uses the storage. */
static gboolean may_be_made(const StorageCfgStorage *storage)
{
  const char *mount = storagecfg_string(storage, "is_mountpoint");
  gboolean mounted = FALSE;

  if (storage->type->has_default_path ||
      (mount && (!storagecfg_parse_boolean(mount, &mounted) || mounted)))
    return FALSE;
  return storagecfg_boolean(storage, "create-base-path",
                            storagecfg_boolean(storage, "mkdir", TRUE));
}

gboolean pvesm_folder_activate(const StorageCfgStorage *storage, gboolean make, GError **error)
{
  const char *path = storagecfg_string(storage, "path");
  g_autofree char *problem = NULL;

  if (may_be_made(storage) && access(path, F_OK) < 0 && errno == ENOENT) {
    if (!make)
      return TRUE;
    if (g_mkdir_with_parents(path, 0755) < 0)
      return vt_set_errno(error, errno, "unable to activate storage '%s' - making folder %s",
                          storage->id, path);
  }
  problem = pvesm_folder_problem(storage);
  return !problem ||
         vt_set_error(error, ENOENT, "unable to activate storage '%s' - %s", storage->id, problem);
}

/* --- names --- */

#define SAFE "[-A-Za-z0-9.+=_ ]+"

/* Of what is in a folder of a content, and which part of it is the format. Bytes: names need not be
 * UTF-8. */
static const struct {
  const char *content, *pattern;
  GRegexCompileFlags flags;
  const char *before, *otherwise; /* what the format is: @before and that part, or @otherwise */
} kinds[] = {
    {"images", "^(?:vm|base|subvol)-[0-9]+-[^/\\s[:cntrl:]]+\\.(raw|qcow2|vmdk|subvol)$", 0, "",
     NULL},
    {"iso", "^[^/[:cntrl:]]+\\.(?:iso|img)$", G_REGEX_CASELESS, NULL, "iso"},
    {"vztmpl", "^[^/[:cntrl:]]+\\.tar(?:\\.(gz|xz|zst|bz2))?$", G_REGEX_CASELESS, "t", "tar"},
    {"backup", "^[^/[:cntrl:]]+\\.(tgz|(?:tar|vma)(?:\\.(?:gz|lzo|zst|bz2))?)$", 0, "", NULL},
    {"snippets", "^(?!\\.{1,2}$)[^/[:cntrl:]]+$", 0, NULL, "snippet"},
    {"import", "^" SAFE "\\.(ova|ovf|qcow2|raw|vmdk)$", 0, "", NULL},
    {"import", "^" SAFE "\\.ova/" SAFE "\\.(qcow2|raw|vmdk)$", 0, "ova+",
     NULL}, /* a disk in an archive */
};

static char *match_kind(gsize i, const char *file)
{
  static GRegex *regexes[G_N_ELEMENTS(kinds)];
  g_autoptr(GMatchInfo) match = NULL;
  g_autofree char *part = NULL;

  if (!regexes[i])
    regexes[i] = g_regex_new(
        kinds[i].pattern, kinds[i].flags | G_REGEX_RAW | G_REGEX_DOLLAR_ENDONLY | G_REGEX_OPTIMIZE,
        0, NULL);
  if (!g_regex_match(regexes[i], file, 0, &match))
    return NULL;
  part = g_match_info_fetch(match, 1);
  return part && *part ? g_strconcat(kinds[i].before, part, NULL) : g_strdup(kinds[i].otherwise);
}

/* *content: the constant. */
static char *find_format(const char **content, const char *file)
{
  for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
    char *format = strcmp(*content, kinds[i].content) == 0 ? match_kind(i, file) : NULL;

    if (format) {
      *content = kinds[i].content;
      return format;
    }
  }
  return NULL;
}

char *pvesm_folder_format(const char *content, const char *file)
{
  return find_format(&content, file);
}

static gboolean is_digits(const char *text)
{
  return *text && strspn(text, "0123456789") == strlen(text);
}

static gboolean parse_image(const char *vmid, const char *file, FolderVolume *parsed,
                            GError **error)
{
  parsed->format = pvesm_folder_format("images", file);
  if (!parsed->format)
    return vt_set_error(error, EINVAL, "unable to parse volume filename '%s'", file);
  parsed->content = "images";
  parsed->vmid = g_strdup(vmid);
  parsed->file = g_strdup(file);
  parsed->is_base = g_str_has_prefix(file, "base-");
  return TRUE;
}

/* "<vmid>/<file>", "<vmid>/<base>/<vmid>/<file>" */
static gboolean parse_images(const char *volume, FolderVolume *parsed, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(volume, "/", -1);
  g_autofree char *base_format = NULL;

  if (g_strv_length(parts) != 4 || !is_digits(parts[2]))
    return parse_image(parts[0], volume + strlen(parts[0]) + 1, parsed, error);
  base_format = pvesm_folder_format("images", parts[1]);
  if (!base_format)
    return vt_set_error(error, EINVAL, "unable to parse volume filename '%s'", parts[1]);
  return parse_image(parts[2], parts[3], parsed, error);
}

gboolean pvesm_folder_parse(const char *volume, FolderVolume *parsed, GError **error)
{
  const char *slash = strchr(volume, '/'), *content;
  g_autofree char *first = g_strndup(volume, slash ? slash - volume : 0);

  memset(parsed, 0, sizeof *parsed);
  if (slash && slash[1] && is_digits(first) && !strpbrk(volume, " \t\n\v\f\r"))
    return parse_images(volume, parsed, error);
  content = first;
  if (slash && strcmp(first, "images") != 0 &&
      (parsed->format = find_format(&content, slash + 1))) {
    parsed->content = content;
    parsed->file = g_strdup(slash + 1);
    return TRUE;
  }
  return vt_set_error(error, EINVAL, "unable to parse directory volume name '%s'", volume);
}

void pvesm_folder_clear(FolderVolume *parsed)
{
  g_free(parsed->vmid);
  g_free(parsed->file);
  g_free(parsed->format);
  memset(parsed, 0, sizeof *parsed);
}

gboolean pvesm_folder_is_subvolume(const StorageCfgStorage *storage, const char *format)
{
  return strcmp(storage->type->name, "btrfs") == 0 && strcmp(format, "raw") == 0;
}

char *pvesm_folder_path(const StorageCfgStorage *storage, const FolderVolume *volume)
{
  g_autofree char *folder = storagecfg_content_folder(storage, volume->content), *stem = NULL;

  if (!volume->vmid)
    return g_build_filename(folder, volume->file, NULL);
  if (!pvesm_folder_is_subvolume(storage, volume->format))
    return g_build_filename(folder, volume->vmid, volume->file, NULL);
  stem = g_strndup(volume->file, strlen(volume->file) - strlen(".raw"));
  return g_build_filename(folder, volume->vmid, stem, PVESM_SUBVOLUME_FILE, NULL);
}
