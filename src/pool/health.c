/* virt-thin - how a thin pool is: PoolInfo.health
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/health.h"

#include "pool/devices.h"
#include "util/error.h"
#include "util/size.h"

char *pool_health_of_vg(LvmStore *store)
{
  const char *const *warnings = lvm_store_warnings(store);

  return *warnings ? g_strjoinv("; ", (char **)warnings) : NULL;
}

char *pool_health_tid_conflict(LvmLv *pool, guint64 tid)
{
  guint64 expected = lvm_pool_transaction_id(pool);
  g_autoptr(GArray) messages = lvm_pool_messages(pool);

  if (expected == 0 || tid == expected || (tid + 1 == expected && messages->len > 0))
    return NULL;
  return g_strdup_printf("transaction id is %" G_GUINT64_FORMAT ", expected %" G_GUINT64_FORMAT,
                         tid, expected);
}

char *pool_health_size_conflict(LvmLv *pool, guint64 data_size)
{
  g_autofree char *counted = vt_size_format(data_size), *given = vt_size_format(lvm_lv_size(pool));

  if (data_size <= lvm_lv_size(pool))
    return NULL;
  return g_strdup_printf("its metadata counts on %s of data, the volume group's text gives it %s",
                         counted, given);
}

/* Part of its data or metadata is on a PV that is missing, or was cut off. */
static char *find_loss(LvmStore *store, LvmLv *pool)
{
  const char *const parts[] = {lvm_pool_metadata(pool), lvm_pool_data(pool)};

  for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
    LvmLv *part = lvm_vg_find_lv(lvm_store_vg(store), parts[i]);
    g_autofree char *loss = part ? lvm_store_lv_damage(store, part) : NULL;

    if (loss)
      return g_strdup_printf("its %s is not whole: %s", i == 0 ? "metadata" : "data", loss);
  }
  return NULL;
}

static char *find_fault(const PoolState *state)
{
  LvmVg *vg = lvm_store_vg(state->store);
  char *fault = NULL;

  if (state->failure) /* what the engine does not read is not damaged */
    return state->failure->code == EOPNOTSUPP ? NULL : g_strdup(state->failure->message);
  if ((fault = pool_health_tid_conflict(state->pool, state->tid)) ||
      (fault = pool_health_size_conflict(state->pool, state->data_size)))
    return fault;
  if (state->needs_check)
    return g_strdup(POOL_HEALTH_NEEDS_CHECK);
  if (state->trouble)
    return g_strdup(state->trouble);
  if ((fault = find_loss(state->store, state->pool)) || (fault = pool_health_of_vg(state->store)))
    return fault;
  return pool_devices_health(vg, state->pool, state->tid, state->devices);
}

char *pool_health(const PoolState *state)
{
  g_autofree char *fault = find_fault(state);

  if (!fault && state->failure)
    return g_strconcat(POOL_HEALTH_UNKNOWN, state->failure->message, NULL);
  if (fault && state->remark)
    return g_strconcat(state->remark, "; ", fault, NULL);
  return fault ? g_steal_pointer(&fault) : g_strdup(state->remark);
}

/* Something is wrong with it, not merely full or unknown. */
static gboolean is_fault(const char *health)
{
  static const char *const full[] = {POOL_HEALTH_NO_DATA, POOL_HEALTH_NO_METADATA,
                                     POOL_HEALTH_NO_ROOM, NULL};

  return health && !g_strv_contains(full, health) && !g_str_has_prefix(health, POOL_HEALTH_UNKNOWN);
}

void pool_health_add(const char *health, GPtrArray *errors)
{
  if (is_fault(health) && errors->len == 0)
    g_ptr_array_add(errors, g_strdup(health));
}
