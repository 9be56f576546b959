/* virt-thin - the thin devices of a pool and its volume group's volumes: do they agree?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/devices.h"

#include <string.h>

#include "util/size.h"

#define SHOWN 8 /* strays that one message names */

static gint compare_id(gconstpointer a, gconstpointer b)
{
  guint32 x = ((const ThinDevice *)a)->id, y = ((const ThinDevice *)b)->id;

  return x < y ? -1 : x > y;
}

const ThinDevice *pool_devices_find(GArray *devices, guint32 id)
{
  ThinDevice wanted = {.id = id};
  guint i;

  return g_array_binary_search(devices, &wanted, compare_id, &i)
             ? &g_array_index(devices, ThinDevice, i)
             : NULL;
}

/* --- what the text knows --- */

/* Are the messages in the text still to be carried out? */
static gboolean is_ahead(LvmLv *pool, guint64 tid)
{
  return tid + 1 == lvm_pool_transaction_id(pool);
}

static gboolean is_in_pool(LvmLv *lv, LvmLv *pool)
{
  return lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), lvm_lv_name(pool)) == 0;
}

static GHashTable *known_devices(LvmVg *vg, LvmLv *pool, guint64 tid)
{
  GHashTable *known = g_hash_table_new(NULL, NULL);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  g_autoptr(GArray) messages = lvm_pool_messages(pool);

  for (guint i = 0; i < lvs->len; i++)
    if (is_in_pool(lvs->pdata[i], pool))
      g_hash_table_add(known, GUINT_TO_POINTER(lvm_thin_device(lvs->pdata[i])));
  for (guint i = 0; is_ahead(pool, tid) && i < messages->len; i++) {
    const LvmMessage *message = &g_array_index(messages, LvmMessage, i);

    if (!message->create)
      g_hash_table_add(known, GUINT_TO_POINTER(message->delete_device));
  }
  return known;
}

GArray *pool_devices_strays(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices)
{
  g_autoptr(GHashTable) known = known_devices(vg, pool, tid);
  GArray *strays = g_array_new(FALSE, FALSE, sizeof(ThinDevice));

  for (guint i = 0; i < devices->len; i++) {
    const ThinDevice *device = &g_array_index(devices, ThinDevice, i);

    if (!g_hash_table_contains(known, GUINT_TO_POINTER(device->id)))
      g_array_append_val(strays, *device);
  }
  return strays;
}

static gboolean is_to_be_made(GArray *messages, const char *name)
{
  for (guint i = 0; i < messages->len; i++)
    if (g_strcmp0(g_array_index(messages, LvmMessage, i).create, name) == 0)
      return TRUE;
  return FALSE;
}

GPtrArray *pool_devices_lost(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  GPtrArray *lost = g_ptr_array_new();

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (is_in_pool(lv, pool) && !pool_devices_find(devices, lvm_thin_device(lv)) &&
        !(is_ahead(pool, tid) && is_to_be_made(messages, lvm_lv_name(lv))))
      g_ptr_array_add(lost, lv);
  }
  return lost;
}

/* --- telling --- */

static char *tell_lost(GPtrArray *lost, guint i)
{
  return g_strdup_printf("volume %s: its thin device %u is not in the pool",
                         lvm_lv_name(lost->pdata[i]), lvm_thin_device(lost->pdata[i]));
}

void pool_devices_compare(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices, GPtrArray *errors)
{
  g_autoptr(GPtrArray) lost = pool_devices_lost(vg, pool, tid, devices);
  g_autoptr(GArray) strays = pool_devices_strays(vg, pool, tid, devices);

  for (guint i = 0; i < lost->len; i++)
    g_ptr_array_add(errors, tell_lost(lost, i));
  for (guint i = 0; i < strays->len; i++) {
    const ThinDevice *stray = &g_array_index(strays, ThinDevice, i);
    g_autofree char *mapped = vt_size_format(stray->mapped);

    g_ptr_array_add(
        errors, g_strdup_printf("thin device %u (%s mapped, made at transaction %" G_GUINT64_FORMAT
                                ") is known to no volume",
                                stray->id, mapped, stray->transaction_id));
  }
}

/* "2 thin devices that no volume is known for: 3 (320.00 KiB mapped), 90 (0 B mapped)" */
static char *describe(GArray *strays)
{
  GString *text = g_string_new(NULL);

  g_string_printf(text, "%u thin device%s that no volume is known for:", strays->len,
                  strays->len == 1 ? "" : "s");
  for (guint i = 0; i < strays->len && i < SHOWN; i++) {
    const ThinDevice *stray = &g_array_index(strays, ThinDevice, i);
    g_autofree char *mapped = vt_size_format(stray->mapped);

    g_string_append_printf(text, "%s %u (%s mapped)", i ? "," : "", stray->id, mapped);
  }
  if (strays->len > SHOWN)
    g_string_append_printf(text, " and %u more", strays->len - SHOWN);
  return g_string_free(text, FALSE);
}

/* "2 thin devices that…", or a lost volume and how many more there are. */
static char *describe_difference(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices)
{
  g_autoptr(GPtrArray) lost = pool_devices_lost(vg, pool, tid, devices);
  g_autoptr(GArray) strays = pool_devices_strays(vg, pool, tid, devices);
  g_autofree char *stray = strays->len ? describe(strays) : NULL,
                  *first = lost->len ? tell_lost(lost, 0) : NULL;
  GString *text = g_string_new(first);

  if (lost->len > 1)
    g_string_append_printf(text, ", nor are those of %u more", lost->len - 1);
  if (stray)
    g_string_append_printf(text, "%sit has %s", first ? "; " : "", stray);
  return g_string_free(text, text->len == 0);
}

char *pool_devices_health(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices)
{
  g_autofree char *found = devices ? describe_difference(vg, pool, tid, devices) : NULL;

  if (tid == 0 || lvm_pool_transaction_id(pool) != 0)
    return g_steal_pointer(&found);
  return g_strdup_printf("something other than LVM manages it: its transaction id is "
                         "%" G_GUINT64_FORMAT ", the volume group leaves it at 0%s%s",
                         tid, found ? "; " : "", found ? found : "");
}

/* --- deciding --- */

gboolean pool_devices_check_removal(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices,
                                    GError **error)
{
  const char *name = lvm_lv_name(pool);
  g_autoptr(GArray) strays = pool_devices_strays(vg, pool, tid, devices);
  g_autofree char *found = strays->len ? describe(strays) : NULL;

  if (!found)
    return TRUE;
  return vt_set_error(
      error, EBUSY,
      "thin pool %s/%s is not empty: it has %s. Something other than LVM uses it (Docker's "
      "devicemapper, dmsetup), or an interrupted command left that behind. If nothing of it is "
      "needed: "
      "lvremove %s/%s removes the pool with all that is in it",
      lvm_vg_name(vg), name, found, lvm_vg_name(vg), name);
}

/* Was @device made by the message that lvm2 sent last before it died? Then it is of the pool's
 * transaction, and empty, as nothing opens it before the end; or, a snapshot, of the very moment
 * when its origin's last one was taken (time goes on with each). */
static gboolean is_made_by_message(const ThinDevice *device, gboolean snapshot,
                                   const ThinDevice *origin, guint64 tid)
{
  if (device->transaction_id != tid)
    return FALSE;
  if (!snapshot)
    return device->mapped == 0;
  return origin && device->creation_time == origin->snapshotted_time &&
         origin->snapshotted_time > origin->creation_time;
}

gboolean pool_devices_check_messages(LvmVg *vg, LvmLv *pool, guint64 tid, GArray *devices,
                                     GError **error)
{
  g_autoptr(GArray) messages = lvm_pool_messages(pool);

  for (guint i = 0; is_ahead(pool, tid) && i < messages->len; i++) {
    const char *create = g_array_index(messages, LvmMessage, i).create;
    LvmLv *lv = create ? lvm_vg_find_lv(vg, create) : NULL, *from;
    const ThinDevice *device, *origin;

    if (!create)
      continue;
    if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN)
      return vt_set_error(
          error, EBADMSG,
          "thin pool %s/%s: a message says to create %s, which the volume group does not have",
          lvm_vg_name(vg), lvm_lv_name(pool), create);
    device = pool_devices_find(devices, lvm_thin_device(lv));
    from = lvm_thin_origin(lv) ? lvm_vg_find_lv(vg, lvm_thin_origin(lv)) : NULL;
    origin = from ? pool_devices_find(devices, lvm_thin_device(from)) : NULL;
    if (device && !is_made_by_message(device, from != NULL, origin, tid))
      return vt_set_error(
          error, EPERM,
          "thin pool %s/%s: volume %s is to be made as thin device %u, but the pool has one of "
          "that "
          "number, made at transaction %" G_GUINT64_FORMAT " (now %" G_GUINT64_FORMAT
          ") and not for this volume. Open it read-only; remove the device or the volume by hand",
          lvm_vg_name(vg), lvm_lv_name(pool), create, device->id, device->transaction_id, tid);
  }
  return TRUE;
}

gboolean pool_devices_unknown(const char *vg, const char *pool, const GError *failure,
                              GError **error)
{
  return vt_set_error(error, failure->code,
                      "whether it is empty cannot be told: %s. If nothing that may be in it is "
                      "needed: lvremove %s/%s",
                      failure->message, vg, pool);
}
