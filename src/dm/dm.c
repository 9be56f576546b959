/* virt-thin - the kernel's device-mapper: what is active, how full it is, who uses it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <libdevmapper.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "dm/dm.h"
#include "lvm/devmapper.h"

#define CONTROL "/dev/mapper/control"
#define SECTOR 512u

/* --- tasks: one at a time, its errors for us and not for standard error --- */

static gboolean task_failed(struct dm_task *task, const char *uuid, const char *what,
                            GError **error)
{
  int err = task ? dm_task_get_errno(task) : 0;

  return vt_set_error(error,
                      err == ENXIO ? ENOENT
                      : err        ? err
                                   : EIO,
                      "device-mapper: %s %s: %s", what, uuid,
                      dmk_last_words() ? dmk_last_words()
                      : err != 0       ? g_strerror(err)
                                       : "failed");
}

/* A task on device @uuid that has been run, or NULL; the lock held. */
static struct dm_task *run(int type, const char *uuid, const char *what, GError **error)
{
  struct dm_task *task = dm_task_create(type);

  if (task && dm_task_set_uuid(task, uuid) && dm_task_no_flush(task) &&
      (type == DM_DEVICE_INFO || dm_task_no_open_count(task)) && dm_task_run(task))
    return task;
  task_failed(task, uuid, what, error);
  if (task)
    dm_task_destroy(task);
  return NULL;
}

static gboolean no_device(const char *uuid, GError **error)
{
  return vt_set_error(error, ENOENT, "device-mapper has no device %s: it is not active", uuid);
}

/* --- is it there? --- */

gboolean dmk_available(GError **error)
{
  struct dm_task *task;
  gboolean ok;

  /* The library would make a node that is not there. */
  if (access(CONTROL, R_OK | W_OK) < 0)
    return vt_set_error(error, EOPNOTSUPP, "device-mapper cannot be used here: " CONTROL ": %s",
                        g_strerror(errno));
  dmk_begin();
  task = dm_task_create(DM_DEVICE_GET_TARGET_VERSION);
  ok = (task && dm_task_set_name(task, "thin-pool") && dm_task_run(task)) ||
       vt_set_error(error, EOPNOTSUPP, "this kernel has no thin pools (module dm-thin-pool)%s%s",
                    dmk_last_words() ? ": " : "", dmk_last_words() ? dmk_last_words() : "");
  if (task)
    dm_task_destroy(task);
  dmk_end();
  return ok;
}

static void append_id(GString *uuid, const char *id)
{
  for (; *id; id++)
    if (*id != '-')
      g_string_append_c(uuid, *id);
}

char *dmk_uuid(const char *vg_uuid, const char *lv_uuid, const char *layer)
{
  GString *uuid = g_string_new("LVM-");

  append_id(uuid, vg_uuid);
  append_id(uuid, lv_uuid);
  if (layer)
    g_string_append_printf(uuid, "-%s", layer);
  return g_string_free(uuid, FALSE);
}

gboolean dmk_get_info(const char *uuid, DmkInfo *info, GError **error)
{
  struct dm_task *task;
  struct dm_info found;
  gboolean ok;

  if (access(CONTROL, F_OK) < 0)
    return no_device(uuid, error);
  dmk_begin();
  task = run(DM_DEVICE_INFO, uuid, "asking about", error);
  ok = task && (dm_task_get_info(task, &found) || task_failed(task, uuid, "asking about", error)) &&
       (found.exists || no_device(uuid, error));
  if (ok && info) {
    g_strlcpy(info->name, dm_task_get_name(task), sizeof info->name);
    info->device = makedev(found.major, found.minor);
    info->open_count = found.open_count;
  }
  if (task)
    dm_task_destroy(task);
  dmk_end();
  return ok;
}

gboolean dmk_is_active(const char *uuid, DmkInfo *info)
{
  return dmk_get_info(uuid, info, NULL);
}

/* --- devices of a VG --- */

static GPtrArray *list_names(void)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  struct dm_task *task = dm_task_create(DM_DEVICE_LIST);
  struct dm_names *entry = task && dm_task_run(task) ? dm_task_get_names(task) : NULL;

  while (entry && entry->dev) {
    g_ptr_array_add(names, g_strdup(entry->name));
    entry = entry->next ? (struct dm_names *)((char *)entry + entry->next) : NULL;
  }
  if (task)
    dm_task_destroy(task);
  return names;
}

static gboolean belongs_to(const char *name, const char *prefix)
{
  struct dm_task *task = dm_task_create(DM_DEVICE_INFO);
  const char *uuid =
      task && dm_task_set_name(task, name) && dm_task_no_open_count(task) && dm_task_run(task)
          ? dm_task_get_uuid(task)
          : NULL;
  gboolean ours = uuid && g_str_has_prefix(uuid, prefix);

  if (task)
    dm_task_destroy(task);
  return ours;
}

char *dmk_find_active(const char *vg_uuid)
{
  g_autofree char *prefix = dmk_uuid(vg_uuid, "", NULL);
  g_autoptr(GPtrArray) names = NULL;
  char *found = NULL;

  if (access(CONTROL, R_OK | W_OK) < 0)
    return NULL;
  dmk_begin();
  names = list_names();
  for (guint i = 0; i < names->len && !found; i++)
    if (belongs_to(names->pdata[i], prefix))
      found = g_strdup(names->pdata[i]);
  dmk_end();
  return found;
}

/* --- status --- */

typedef gboolean (*ParseFunc)(struct dm_pool *memory, const char *parameters, gpointer result);

static gboolean get_status(const char *uuid, const char *type, ParseFunc parse, gpointer result,
                           GError **error)
{
  char *target = NULL, *parameters = NULL;
  struct dm_pool *memory;
  struct dm_task *task;
  guint64 start, length;
  gboolean ok = FALSE;

  if (access(CONTROL, F_OK) < 0)
    return no_device(uuid, error);
  dmk_begin();
  task = run(DM_DEVICE_STATUS, uuid, "asking for the status of", error);
  memory = dm_pool_create("status", 1024);
  if (task) {
    dm_get_next_target(task, NULL, &start, &length, &target, &parameters);
    if (!target || strcmp(target, type) != 0)
      vt_set_error(error, EINVAL, "device-mapper: device %s is a %s, not a %s", uuid,
                   target ? target : "nothing", type);
    else if (!(ok = parse(memory, parameters, result)))
      vt_set_error(error, EIO, "device-mapper: the %s %s says: %s", type, uuid, parameters);
    dm_task_destroy(task);
  }
  dm_pool_destroy(memory);
  dmk_end();
  return ok;
}

static gboolean parse_pool(struct dm_pool *memory, const char *parameters, gpointer result)
{
  struct dm_status_thin_pool *found = NULL;
  DmkPoolStatus *status = result;

  if (!dm_get_status_thin_pool(memory, parameters, &found))
    return FALSE;
  *status = (DmkPoolStatus){
      .transaction_id = found->transaction_id,
      .data_used = found->used_data_blocks,
      .data_total = found->total_data_blocks,
      .metadata_used = found->used_metadata_blocks,
      .metadata_total = found->total_metadata_blocks,
      .held_root = found->held_metadata_root,
      .mode = found->fail                ? DMK_FAILED
              : found->out_of_data_space ? DMK_OUT_OF_DATA
              : found->read_only         ? DMK_READ_ONLY
                                         : DMK_READ_WRITE,
      .needs_check = found->needs_check,
  };
  return TRUE;
}

gboolean dmk_get_pool_status(const char *uuid, DmkPoolStatus *status, GError **error)
{
  return get_status(uuid, "thin-pool", parse_pool, status, error);
}

static gboolean parse_thin(struct dm_pool *memory, const char *parameters, gpointer result)
{
  struct dm_status_thin *found = NULL;

  if (!dm_get_status_thin(memory, parameters, &found) || found->fail)
    return FALSE;
  *(guint64 *)result = found->mapped_sectors * SECTOR;
  return TRUE;
}

gboolean dmk_get_thin_mapped(const char *uuid, guint64 *mapped, GError **error)
{
  return get_status(uuid, "thin", parse_thin, mapped, error);
}

/* --- the two things done behind LVM's back --- */

static gboolean send_message(const char *uuid, const char *message, GError **error)
{
  struct dm_task *task;
  gboolean ok;

  dmk_begin();
  task = dm_task_create(DM_DEVICE_TARGET_MSG);
  ok = (task && dm_task_set_uuid(task, uuid) && dm_task_set_sector(task, 0) &&
        dm_task_set_message(task, message) && dm_task_run(task)) ||
       task_failed(task, uuid, message, error);
  if (task)
    dm_task_destroy(task);
  dmk_end();
  return ok;
}

gboolean dmk_reserve_metadata_snapshot(const char *uuid, GError **error)
{
  return send_message(uuid, "reserve_metadata_snap", error);
}

gboolean dmk_release_metadata_snapshot(const char *uuid, GError **error)
{
  return send_message(uuid, "release_metadata_snap", error);
}

gboolean dmk_remove_when_closed(const char *uuid, GError **error)
{
  struct dm_task *task;
  gboolean ok;

  dmk_begin();
  task = dm_task_create(DM_DEVICE_REMOVE);
  ok = (task && dm_task_set_uuid(task, uuid) && dm_task_deferred_remove(task) &&
        dm_task_run(task)) ||
       task_failed(task, uuid, "releasing", error);
  if (task)
    dm_task_destroy(task);
  dmk_end();
  return ok;
}
