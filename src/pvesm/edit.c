/* virt-thin - commands storage add, set, remove: pvesm's, on the text of storage.cfg
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The file is read and written under a lock on its folder, and exchanged in one step.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pvesm/commands.h"

#define LOCK_PATIENCE_US (10 * G_TIME_SPAN_SECOND)
#define NEW_MODE 0640

/* --- the file --- */

typedef struct {
  char *path; /* without symbolic links */
  int lock;
  StorageCfg *cfg;
} File;

static void file_close(File *file)
{
  if (file->lock >= 0)
    close(file->lock);
  storagecfg_free(file->cfg);
  g_free(file->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(File, file_close)

static gboolean lock_folder(File *file, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(file->path);
  gint64 deadline = g_get_monotonic_time() + LOCK_PATIENCE_US;

  file->lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (file->lock < 0)
    return vt_set_errno(error, errno, "cannot open the folder of %s", file->path);
  while (flock(file->lock, LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK && errno != EINTR)
      return vt_set_errno(error, errno, "can't lock file '%s'", file->path);
    if (g_get_monotonic_time() > deadline)
      return vt_set_error(error, EBUSY, "can't lock file '%s' - got timeout", file->path);
    g_usleep(20 * G_TIME_SPAN_MILLISECOND);
  }
  return TRUE;
}

static gboolean check_owner(const File *file, gboolean force, GError **error)
{
  return force || !g_str_has_prefix(file->path, "/etc/pve/") ||
         vt_set_error(
             error, EPERM,
             "%s is Proxmox VE's own, which locks it otherwise: use pvesm there, or --force",
             file->path);
}

/* @may_be_new: a file that is not there is an empty one. */
static gboolean file_open(File *file, const PvesmWords *words, gboolean may_be_new, GError **error)
{
  g_autofree char *given = pvesm_config_path(pvesm_option(words, "config"));
  const char *digest = pvesm_option(words, "digest");
  g_autoptr(GError) local = NULL;
  char *real = realpath(given, NULL);

  file->path = real ? g_strdup(real) : g_canonicalize_filename(given, NULL);
  free(real);
  if (!check_owner(file, pvesm_flag(words, "force"), error) || !lock_folder(file, error))
    return FALSE;
  file->cfg = storagecfg_load(file->path, &local);
  if (!file->cfg && g_error_matches(local, VT_ERROR, ENOENT) && may_be_new)
    file->cfg = storagecfg_parse(file->path, "", 0);
  else if (!file->cfg)
    return g_propagate_error(error, g_steal_pointer(&local)), FALSE;
  return !digest || strcmp(digest, storagecfg_digest(file->cfg)) == 0 ||
         vt_set_error(error, ESTALE,
                      "detected modified configuration - file changed by other user? Try again.");
}

static gboolean file_write(const File *file, const StorageCfg *edited, GError **error)
{
  struct stat st;
  gboolean old = stat(file->path, &st) == 0;
  gsize length;
  const char *text = storagecfg_text(edited, &length);

  if (!g_file_set_contents_full(file->path, text, (gssize)length,
                                G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                old ? (int)(st.st_mode & 07777) : NEW_MODE, error))
    return FALSE;
  if (old && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
      chown(file->path, st.st_uid, st.st_gid) < 0)
    cli_warn("%s: its owner could not be kept: %s", file->path, g_strerror(errno));
  return TRUE;
}

/* --- properties among the options --- */

static int compare_settings(gconstpointer a, gconstpointer b)
{
  return strcmp(((const StorageCfgSetting *)a)->property, ((const StorageCfgSetting *)b)->property);
}

static gboolean is_own_option(const PvesmWords *words, const char *name)
{
  if (strcmp(name, "config") == 0 || strcmp(name, "help") == 0)
    return TRUE;
  for (const PvesmOption *option = words->usage->options; option->name; option++)
    if (strcmp(option->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* Of StorageCfgSetting, by name; the words'. */
static GArray *collect_settings(const PvesmWords *words)
{
  GArray *settings = g_array_new(FALSE, FALSE, sizeof(StorageCfgSetting));
  GHashTableIter iter;
  gpointer name, value;

  g_hash_table_iter_init(&iter, words->options);
  while (g_hash_table_iter_next(&iter, &name, &value))
    if (!is_own_option(words, name)) {
      StorageCfgSetting setting = {name, value};

      g_array_append_val(settings, setting);
    }
  g_array_sort(settings, compare_settings);
  return settings;
}

/* Proxmox keeps these in files of their own, next to the one that all nodes share. */
static gboolean check_secrets(const GArray *settings, GError **error)
{
  static const char *const secrets[] = {"password", "keyring", "encryption-key", "master-pubkey",
                                        NULL};

  for (guint i = 0; i < settings->len; i++) {
    const char *name = g_array_index(settings, StorageCfgSetting, i).property;

    if (g_strv_contains(secrets, name))
      return vt_set_error(error, EOPNOTSUPP, "%s: virt-thin keeps no secrets in storage.cfg", name);
  }
  return TRUE;
}

/* --- add --- */

/* What Proxmox's activation would find wrong. */
static gboolean check_is_there(const StorageCfgStorage *storage, GError **error)
{
  const char *vg = storagecfg_string(storage, "vgname"),
             *thin_pool = storagecfg_string(storage, "thinpool");
  g_autofree char *node = pvesm_node_name();
  g_autoptr(PoolInfo) info = NULL;
  g_autoptr(GError) local = NULL;
  VolumeGroup *group;

  if (!vg || !storagecfg_is_enabled(storage) || !storagecfg_is_on_node(storage, node))
    return TRUE;
  group = cli_open(vg, POOL_READ_ONLY, &local);
  if (!group)
    return vt_set_error(error, ENOENT, "no such volume group '%s': %s", vg, local->message);
  info = thin_pool ? pool_get_info(group, thin_pool, &local) : NULL;
  cli_close(group, NULL);
  return !thin_pool || info ||
         vt_set_error(error, ENOENT, "no such logical volume %s/%s", vg, thin_pool);
}

static gboolean add_storage(const PvesmWords *words, const GArray *settings, GError **error)
{
  const char *type = pvesm_word(words, 0), *id = pvesm_word(words, 1);
  g_auto(File) file = {.lock = -1};
  g_autoptr(StorageCfg) edited = NULL;

  if (!file_open(&file, words, TRUE, error))
    return FALSE;
  edited = storagecfg_add(file.cfg, type, id, (StorageCfgSetting *)(gpointer)settings->data,
                          settings->len, error);
  return edited && check_is_there(storagecfg_find(edited, id), error) &&
         file_write(&file, edited, error);
}

static gboolean add(const PvesmWords *words, GError **error)
{
  const char *type = pvesm_word(words, 0), *id = pvesm_word(words, 1);
  g_autoptr(GArray) settings = collect_settings(words);
  const StorageCfgType *known = storagecfg_type_find(type);
  g_autoptr(GError) local = NULL;

  if (!known || known->retired)
    return pvesm_bad_parameter(error, "type", "value '%s' is no type of storage", type);
  if (!storagecfg_check_id(id, &local))
    return pvesm_bad_parameter(error, "storage", "invalid format - %s", local->message);
  for (guint i = 0; i < settings->len; i++) {
    const StorageCfgSetting *setting = &g_array_index(settings, StorageCfgSetting, i);

    if (strcmp(setting->property, "nodes") == 0 && !*setting->value)
      g_array_remove_index(settings, i--);
    else if (!storagecfg_check_value(storagecfg_property_find(setting->property), setting->value,
                                     &local))
      return pvesm_bad_parameter(error, setting->property, "%s", local->message);
  }
  if (check_secrets(settings, error) && add_storage(words, settings, error))
    return TRUE;
  g_prefix_error(error, "create storage failed: ");
  return FALSE;
}

/* --- set --- */

/* What is fixed is no option here. */
static gboolean check_options(const StorageCfgStorage *storage, const GArray *settings,
                              GError **error)
{
  g_autoptr(GError) local = NULL;

  for (guint i = 0; i < settings->len; i++) {
    const StorageCfgSetting *setting = &g_array_index(settings, StorageCfgSetting, i);
    const StorageCfgOption *option = storagecfg_type_option(storage->type, setting->property);

    if (option && option->flags & STORAGECFG_FIXED && !storage->broken)
      return cli_usage(error, "unknown option: %s", setting->property);
    if (!storagecfg_check_value(storagecfg_property_find(setting->property), setting->value,
                                &local))
      return pvesm_bad_parameter(error, setting->property, "%s", local->message);
  }
  return TRUE;
}

/* "disable" is there or not. */
static void settle_disable(GArray *settings, GPtrArray *deleted)
{
  for (guint i = 0; i < settings->len; i++) {
    StorageCfgSetting *setting = &g_array_index(settings, StorageCfgSetting, i);

    if (strcmp(setting->property, "disable") != 0)
      continue;
    if (strcmp(setting->value, "1") == 0) {
      setting->value = NULL;
    } else {
      g_array_remove_index(settings, i);
      g_ptr_array_add(deleted, g_strdup("disable"));
    }
    return;
  }
}

static GPtrArray *split_deleted(const char *list)
{
  GPtrArray *deleted = g_ptr_array_new_with_free_func(g_free);
  g_auto(GStrv) words = g_strsplit_set(list ? list : "", ",; ", -1);

  for (char **word = words; *word; word++)
    if (**word)
      g_ptr_array_add(deleted, g_strdup(*word));
  return deleted;
}

static gboolean set_storage(const PvesmWords *words, const File *file,
                            const StorageCfgStorage *storage, GArray *settings, GError **error)
{
  g_autoptr(GPtrArray) deleted = split_deleted(pvesm_option(words, "delete"));
  g_autoptr(StorageCfg) edited = NULL;

  if (!check_secrets(settings, error))
    return FALSE;
  settle_disable(settings, deleted);
  g_ptr_array_add(deleted, NULL);
  edited = storagecfg_change(file->cfg, storage->id, (StorageCfgSetting *)(gpointer)settings->data,
                             settings->len, (const char *const *)deleted->pdata, error);
  return edited && file_write(file, edited, error);
}

static gboolean set(const PvesmWords *words, GError **error)
{
  g_autoptr(GArray) settings = collect_settings(words);
  const char *id = pvesm_word(words, 0);
  const StorageCfgStorage *storage;
  g_auto(File) file = {.lock = -1};

  if (file_open(&file, words, FALSE, error)) {
    storage = storagecfg_find(file.cfg, id);
    if (!storage)
      vt_set_error(error, ENOENT, "storage '%s' does not exist", id);
    else if (!check_options(storage, settings, error))
      return FALSE;
    else if (set_storage(words, &file, storage, settings, error))
      return TRUE;
  }
  g_prefix_error(error, "update storage failed: ");
  return FALSE;
}

/* --- remove --- */

static gboolean check_unused(const StorageCfg *cfg, const char *id, GError **error)
{
  g_autofree char *prefix = g_strconcat(id, ":", NULL);
  const GPtrArray *storages = storagecfg_storages(cfg);

  for (guint i = 0; i < storages->len; i++) {
    const char *base = storagecfg_string(storages->pdata[i], "base");

    if (base && g_str_has_prefix(base, prefix))
      return vt_set_error(error, EBUSY,
                          "can't remove storage - storage is used as base of another storage");
  }
  return TRUE;
}

static gboolean remove_storage(const PvesmWords *words, GError **error)
{
  const char *id = pvesm_word(words, 0);
  g_auto(File) file = {.lock = -1};
  g_autoptr(StorageCfg) edited = NULL;

  if (file_open(&file, words, FALSE, error) && check_unused(file.cfg, id, error)) {
    edited = storagecfg_remove(file.cfg, id, error);
    if (edited && file_write(&file, edited, error))
      return TRUE;
  }
  g_prefix_error(error, "delete storage failed: ");
  return FALSE;
}

/* --- the commands --- */

static const char *const add_arguments[] = {"type", "storage", NULL}, *const pvesm_argument[] = {
                                                                          "storage", NULL};
#define FORCE                                                                                      \
  {                                                                                                \
    "force", PVESM_FLAG, "  Also a file below /etc/pve"                                            \
  }
static const PvesmOption add_options[] = {FORCE, {NULL, 0, NULL}};
static const PvesmOption set_options[] = {
    {"delete", PVESM_LIST, "LIST  Properties to take away"},
    {"digest", PVESM_TEXT, "SHA1  Only if the file still has this digest"},
    FORCE,
    {NULL, 0, NULL},
};
static const PvesmUsage add_usage = {.name = "add",
                                     .arguments = add_arguments,
                                     .options = add_options,
                                     .properties = TRUE,
                                     .summary = "Add a storage to the file"},
                        set_usage = {.name = "set",
                                     .arguments = pvesm_argument,
                                     .options = set_options,
                                     .properties = TRUE,
                                     .summary = "Change a storage in the file"},
                        remove_usage = {.name = "remove",
                                        .arguments = pvesm_argument,
                                        .options = add_options,
                                        .summary = "Take a storage out of the file",
                                        .description = "Its volumes stay."};

static int run_add(char **words)
{
  return pvesm_run(&add_usage, add, words);
}

static int run_set(char **words)
{
  return pvesm_run(&set_usage, set, words);
}

static int run_remove(char **words)
{
  return pvesm_run(&remove_usage, remove_storage, words);
}

const CliCommand pvesm_add = {
    .name = "add", .summary = "Add a storage to the file", .run_words = run_add};
const CliCommand pvesm_set = {
    .name = "set", .summary = "Change a storage in the file", .run_words = run_set};
const CliCommand pvesm_remove = {
    .name = "remove", .summary = "Take a storage out of the file", .run_words = run_remove};
