/* virt-thin - commands storage alloc, free, path: pvesm's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pvesm/commands.h"
#include "pvesm/folder.h"
#include "pvesm/volume.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "image/copy.h"
#include "settings/settings.h"

/* --- alloc --- */

/* Proxmox marks what is a guest's on a storage without thin pool, where others' volumes may be,
 * too. */
static gboolean make_linear(VolumeGroup *group, const char *vmid, const char *name, guint64 size,
                            GError **error)
{
  g_autofree char *tag = g_strconcat("pve-vm-", vmid, NULL);
  const char *tags[] = {tag, NULL};

  if (!pool_create_linear(group, name, size, error))
    return FALSE;
  if (pool_set_tags(group, name, tags, NULL, error))
    return TRUE;
  pool_remove_linear(group, name, NULL);
  return FALSE;
}

static gboolean make_volume(VolumeGroup *group, const StorageCfgStorage *storage, const char *vmid,
                            const char *name, guint64 size, GError **error)
{
  const char *thinpool = storagecfg_string(storage, "thinpool");

  return thinpool ? pool_create(group, thinpool, name, size, error)
                  : make_linear(group, vmid, name, size, error);
}

gboolean pvesm_free_volume(VolumeGroup *group, const StorageCfgStorage *storage, const char *name,
                           GError **error)
{
  const char *names[] = {name, NULL};

  return storagecfg_string(storage, "thinpool") ? pool_remove(group, names, TRUE, error)
                                                : pool_remove_linear(group, name, error);
}

/* Another process may take the name between our look and our try, where a service has the volume
 * group: then the next is tried. */
static char *allocate_next(VolumeGroup *group, const StorageCfgStorage *storage, const char *vmid,
                           guint64 size, GError **error)
{
  for (;;) {
    g_auto(GStrv) names = pool_guest_names(group, error);
    g_autofree char *name =
        names ? pool_guest_next_name((const char *const *)names, vmid, storage->id, error) : NULL;
    g_autoptr(GError) local = NULL;

    if (!name)
      return NULL;
    if (make_volume(group, storage, vmid, name, size, &local))
      return g_steal_pointer(&name);
    if (!g_error_matches(local, VT_ERROR, EEXIST)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
  }
}

char *pvesm_allocate(VolumeGroup *group, const StorageCfgStorage *storage, const char *vmid,
                     const char *name, guint64 size, GError **error)
{
  if (!*name)
    return allocate_next(group, storage, vmid, size, error);
  if (!pool_guest_check_new_name(name, vmid, error) ||
      !make_volume(group, storage, vmid, name, size, error))
    return NULL;
  return g_strdup(name);
}

/* mkfs.ext4 makes a sparse file, of which the volume takes what is not zero: no node of the volume
 * is needed, nor root.
 */
gboolean pvesm_format(VolumeGroup *group, const char *name, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr(VtIo) volume = pool_volume_open(group, name, FALSE, "virt-thin storage alloc", error);
  ImageSource source = {.name = "the new file system"};
  gboolean blank, ok = FALSE;

  if (!volume || !pool_guest_reads_zero(group, name, &blank, error))
    return FALSE;
  source.size = vt_io_size(volume);
  source.fd = g_file_open_tmp("virt-thin-XXXXXX", &path, error);
  if (source.fd < 0)
    return FALSE;
  if (pvesm_make_ext4(path, name, source.size, error)) {
    CliProgress *progress = cli_progress_new(source.size, "formatting %s", name);

    ok = image_copy_in(&source, volume, blank ? IMAGE_OVER_ZEROS : IMAGE_OVER_ANY, progress, error);
    cli_progress_free(progress);
  }
  close(source.fd);
  g_unlink(path);
  return ok;
}

/* "<n>", KiB, or "<n>M" or "<n>G". */
static gboolean parse_size(const char *text, guint64 *bytes, GError **error)
{
  gsize digits = strspn(text, "0123456789");
  guint64 unit = !text[digits] ? 1024 : text[digits] == 'M' ? 1024 * 1024 : 1024 * 1024 * 1024, n;

  if (!digits || (text[digits] && (!strchr("MG", text[digits]) || text[digits + 1])))
    return pvesm_bad_parameter(error, "size", "value does not match the regex pattern");
  n = g_ascii_strtoull(text, NULL, 10);
  if (digits > 19 || n > G_MAXINT64 / unit)
    return pvesm_bad_parameter(error, "size", "unable to parse size '%s'", text);
  *bytes = n * unit;
  return TRUE;
}

/* *format: as given, or as the name ends; NULL: neither says it. */
static gboolean find_format(const char *name, const char **format, GError **error)
{
  static const char *const formats[] = {"raw", "qcow2", "vmdk"};

  for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
    g_autofree char *suffix = g_strconcat(".", formats[i], NULL);

    if (!g_str_has_suffix(name, suffix))
      continue;
    if (*format && strcmp(*format, formats[i]) != 0)
      return pvesm_bad_parameter(error, "format", "different storage formats (%s != %s)", *format,
                                 formats[i]);
    *format = formats[i];
  }
  return !*format || storagecfg_check_value(storagecfg_property_find("format"), *format, NULL) ||
         pvesm_bad_parameter(
             error, "format",
             "value '%s' does not have a value in the enumeration 'raw, qcow2, subvol, vmdk'",
             *format);
}

static gboolean check_format(const char *format, GError **error)
{
  return !format || strcmp(format, "raw") == 0 ||
         vt_set_error(error, EINVAL, "unsupported format '%s'", format);
}

static gboolean check_content(const StorageCfgStorage *storage, const char *content, GError **error)
{
  gboolean ok = content ? storagecfg_has_content(storage, content)
                        : storagecfg_has_content(storage, "images") ||
                              storagecfg_has_content(storage, "rootdir");

  if (content && strcmp(content, "images") != 0 && strcmp(content, "rootdir") != 0)
    return pvesm_bad_parameter(error, "content",
                               "'%s' is nothing that is allocated: images or rootdir", content);
  return ok || vt_set_error(error, EINVAL, "storage '%s' does not support content type '%s'",
                            storage->id, content ? content : "images");
}

/* A container's volume is ready for it, or it is not there. */
static gboolean make_rootdir(VolumeGroup *group, const StorageCfgStorage *storage, const char *name,
                             GError **error)
{
  const char *tags[] = {PVESM_ROOTDIR_TAG, NULL};

  if (pvesm_format(group, name, error) && pool_set_tags(group, name, tags, NULL, error))
    return TRUE;
  pvesm_free_volume(group, storage, name, NULL);
  return FALSE;
}

static gboolean alloc_in_folder(const StorageCfgStorage *storage, const PvesmWords *words,
                                const char *format, guint64 size, GError **error)
{
  const char *content = pvesm_option(words, "content");
  g_autofree char *made = NULL;

  if (!check_content(storage, content, error))
    return FALSE;
  made = pvesm_folder_allocate(storage, pvesm_word(words, 1), pvesm_word(words, 2), format, content,
                               size, error);
  if (made)
    printf("successfully created '%s:%s'\n", storage->id, made);
  return made != NULL;
}

static gboolean alloc(const PvesmWords *words, GError **error)
{
  const char *id = pvesm_word(words, 0), *vmid = pvesm_word(words, 1), *name = pvesm_word(words, 2),
             *content = pvesm_option(words, "content"), *format = pvesm_option(words, "format");
  g_autoptr(StorageCfg) cfg = NULL;
  const StorageCfgStorage *storage;
  g_autofree char *made = NULL;
  PoolGuestStorage kind;
  guint64 size = 0;
  VolumeGroup *group;
  gboolean ok;

  if (!storagecfg_check_id(id, NULL))
    return pvesm_bad_parameter(error, "storage",
                               "invalid format - storage ID '%s' contains illegal characters", id);
  if (!pvesm_check_vmid(vmid, error))
    return FALSE;
  cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  if (!cfg || !parse_size(pvesm_word(words, 3), &size, error))
    return FALSE;
  storage = pvesm_find_enabled(cfg, id, error);
  if (!storage || !find_format(name, &format, error))
    return FALSE;
  if (pvesm_is_folder(storage))
    return alloc_in_folder(storage, words, format, size, error);
  if (!pvesm_require_lvm(storage, "allocate volumes", &kind, error) ||
      !check_content(storage, content, error) || !check_format(format, error))
    return FALSE;
  group = cli_open(storagecfg_string(storage, "vgname"), 0, error);
  made = group ? pvesm_allocate(group, storage, vmid, name, size, error) : NULL;
  ok = made && (g_strcmp0(content, "rootdir") != 0 || make_rootdir(group, storage, made, error));
  ok = cli_close(group, error) && ok;
  if (ok)
    printf("successfully created '%s:%s'\n", id, made);
  return ok;
}

/* --- free --- */

static gboolean free_volume(VolumeGroup *group, const StorageCfgStorage *storage, const char *name,
                            gboolean force, GError **error)
{
  const char *names[] = {name, NULL};
  g_autoptr(GError) local = NULL;
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, name, &local);

  if (!info && g_error_matches(local, VT_ERROR, ENOENT)) {
    cli_warn("volume '%s:%s' is not there: nothing to free", storage->id, name);
    return TRUE;
  }
  if (!info)
    return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
  if (g_strcmp0(info->pool, storagecfg_string(storage, "thinpool")) != 0)
    return vt_set_error(error, EINVAL, "volume '%s' is not on storage '%s': it is in %s", name,
                        storage->id, info->pool ? info->pool : "no thin pool");
  if (!force && !pool_guest_check_clones(group, names, "--force frees it nevertheless", error))
    return FALSE;
  if (!pvesm_free_volume(group, storage, name, error))
    return FALSE;
  printf("Removed volume '%s:%s'\n", storage->id, name);
  return TRUE;
}

static gboolean free_words(const PvesmWords *words, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  g_autofree char *id = NULL, *name = NULL;
  const char *delay = pvesm_option(words, "delay");
  gboolean force = pvesm_flag(words, "force"), ok;
  const StorageCfgStorage *storage;
  PoolGuestStorage kind;
  PoolGuestName parsed;
  VolumeGroup *group;

  if (!cfg ||
      !pvesm_split_volume(pvesm_word(words, 0), pvesm_option(words, "storage"), &id, &name, error))
    return FALSE;
  if (delay && (strspn(delay, "0123456789") != strlen(delay) ||
                !g_ascii_string_to_unsigned(delay, 10, 1, 30, NULL, NULL)))
    return pvesm_bad_parameter(error, "delay", "value must be from 1 to 30");
  storage = pvesm_find_enabled(cfg, id, error);
  if (storage && pvesm_is_folder(storage))
    return pvesm_folder_free(storage, name, force, error);
  if (!storage || !pvesm_require_lvm(storage, "free volumes", &kind, error) ||
      !pool_guest_parse_name(kind, name, &parsed, error))
    return FALSE;
  pool_guest_name_clear(&parsed);
  if (!force && storagecfg_boolean(storage, "saferemove", FALSE))
    return vt_set_error(error, EOPNOTSUPP,
                        "storage '%s' has saferemove: overwrite volume '%s' (virsh vol-wipe), then "
                        "free it with --force",
                        id, name);
  group = cli_open_patient(storagecfg_string(storage, "vgname"), 0, error);
  ok = group && free_volume(group, storage, name, force, error);
  return cli_close(group, error) && ok;
}

/* --- path --- */

static char *path_of(const StorageCfgStorage *storage, const char *volume, GError **error)
{
  g_auto(FolderVolume) file = {0};
  PoolGuestStorage kind;
  PoolGuestName parsed;

  if (pvesm_is_folder(storage))
    return pvesm_folder_parse(volume, &file, error) ? pvesm_folder_path(storage, &file) : NULL;
  if (!pvesm_require_lvm(storage, "tell paths", &kind, error) ||
      !pool_guest_parse_name(kind, volume, &parsed, error))
    return NULL;
  pool_guest_name_clear(&parsed);
  return g_build_filename(settings_dev_dir(), storagecfg_string(storage, "vgname"), volume, NULL);
}

static gboolean path_words(const PvesmWords *words, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  g_autofree char *id = NULL, *volume = NULL, *path = NULL;
  g_autoptr(GError) local = NULL;
  const StorageCfgStorage *storage;

  if (!cfg)
    return FALSE;
  if (!pool_guest_parse_volume_id(pvesm_word(words, 0), &id, &volume, &local))
    return pvesm_bad_parameter(error, "volume", "invalid format - %s", local->message);
  storage = pvesm_find(cfg, id, error);
  path = storage ? path_of(storage, volume, error) : NULL;
  if (path)
    printf("%s\n", path);
  return path != NULL;
}

/* --- the commands --- */

static const char *const alloc_arguments[] = {"storage", "vmid", "filename", "size", NULL};
static const char *const volume_arguments[] = {"volume", NULL};
static const PvesmOption alloc_options[] = {
    {"format", PVESM_TEXT, "raw|qcow2|vmdk  The format; in a volume group there is raw alone"},
    {"content", PVESM_TEXT, "images|rootdir  rootdir: with an ext4 file system, for a container"},
    {NULL, 0, NULL},
};
static const PvesmUsage alloc_usage = {
    .name = "alloc",
    .arguments = alloc_arguments,
    .options = alloc_options,
    .summary = "Make a volume for a guest",
    .description =
        "The filename is vm-VMID-NAME, of a storage that is a folder vm-VMID-NAME.FORMAT, or '' "
        "for the next\n"
        "free vm-VMID-disk-N. The size is in KiB, or with M or G behind it in MiB or GiB.",
};
static const PvesmOption free_options[] = {
    {"storage", PVESM_TEXT, "ID  The storage of a volume that is given by its name alone"},
    {"delay", PVESM_TEXT, "1..30  As pvesm has it; it is done at once"},
    {"force", PVESM_FLAG,
     "  A template, too, that has linked clones; on a storage with saferemove, without it"},
    {NULL, 0, NULL},
};
static const PvesmUsage free_usage = {
    .name = "free",
    .arguments = volume_arguments,
    .options = free_options,
    .summary = "Remove a volume, and its snapshots",
    .description = "A volume that is not there is no error.",
};
static const PvesmUsage path_usage = {
    .name = "path",
    .arguments = volume_arguments,
    .summary = "Where a volume is, or would be",
};

static int run_alloc(char **words)
{
  return pvesm_run(&alloc_usage, alloc, words);
}

static int run_free(char **words)
{
  return pvesm_run(&free_usage, free_words, words);
}

static int run_path(char **words)
{
  return pvesm_run(&path_usage, path_words, words);
}

const CliCommand pvesm_alloc = {
    .name = "alloc", .summary = "Make a volume for a guest", .run_words = run_alloc};
const CliCommand pvesm_free = {
    .name = "free", .summary = "Remove a volume, and its snapshots", .run_words = run_free};
const CliCommand pvesm_path = {
    .name = "path", .summary = "Where a volume is, or would be", .run_words = run_path};
