/* virt-thin - the thin devices of a pool that its volume group does not know
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

static GHashTable *known_devices(LvmVg *vg, LvmLv *pool, guint64 tid)
{
  GHashTable *known = g_hash_table_new(NULL, NULL);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  g_autoptr(GArray) messages = lvm_pool_messages(pool);

  for (guint i = 0; i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN &&
        strcmp(lvm_thin_pool(lvs->pdata[i]), lvm_lv_name(pool)) == 0)
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

/* --- telling --- */

void pool_devices_tell(GArray *strays, GPtrArray *errors)
{
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

char *pool_devices_health(LvmLv *pool, guint64 tid, GArray *strays)
{
  g_autofree char *manager =
      tid != 0 && lvm_pool_transaction_id(pool) == 0
          ? g_strdup_printf(
                "something other than LVM manages it: its transaction id is %" G_GUINT64_FORMAT
                ", the volume group leaves it at 0",
                tid)
          : NULL;
  g_autofree char *found = strays && strays->len ? describe(strays) : NULL;

  if (manager && found)
    return g_strdup_printf("%s; it has %s", manager, found);
  return manager ? g_steal_pointer(&manager) : found ? g_strdup_printf("it has %s", found) : NULL;
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
