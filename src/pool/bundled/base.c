/* virt-thin - the bundled pool: its lock, its events, its thin pools
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/bundled/bundled-private.h"

#include "pool/rules.h"

/* --- locks and events --- */

static void clear_event(gpointer data)
{
  BundledEvent *event = data;

  g_free(event->name);
  g_free(event->old_name);
}

GArray *bundled_events_new(void)
{
  GArray *events = g_array_new(FALSE, FALSE, sizeof(BundledEvent));

  g_array_set_clear_func(events, clear_event);
  return events;
}

void bundled_lock(Bundled *b)
{
  pthread_mutex_lock(&b->lock);
}

void bundled_unlock(Bundled *b)
{
  g_autoptr(GArray) events = b->events;
  PoolEventFunc func = b->event_func;
  gpointer data = b->event_data;

  b->events = bundled_events_new();
  pthread_mutex_unlock(&b->lock);
  for (guint i = 0; func && i < events->len; i++) {
    BundledEvent *event = &g_array_index(events, BundledEvent, i);

    func(event->event, event->name, event->old_name, data);
  }
}

void bundled_event(Bundled *b, PoolEvent event, const char *name, const char *old_name)
{
  BundledEvent e = {event, g_strdup(name), g_strdup(old_name)};

  g_array_append_val(b->events, e);
}

/* --- finding things --- */

BundledPool *bundled_find_pool(Bundled *b, const char *name, GError **error)
{
  LvmLv *pool = pool_rules_find_pool(lvm_store_vg(b->store), name, error);

  return pool ? g_hash_table_lookup(b->pools, lvm_lv_name(pool)) : NULL;
}

BundledPool *bundled_usable_pool(Bundled *b, const char *name, GError **error)
{
  BundledPool *pool = bundled_find_pool(b, name, error);

  if (pool && !pool->thin) {
    g_propagate_error(error, g_error_copy(pool->refused));
    return NULL;
  }
  return pool;
}

gboolean bundled_find_device(BundledPool *pool, guint32 id, ThinDevice *device, gboolean *found,
                             GError **error)
{
  g_autoptr(GError) failure = NULL;

  *found = thin_pool_get_device(pool->thin, id, device, &failure);
  if (*found || g_error_matches(failure, VT_ERROR, ENOENT))
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&failure));
  return FALSE;
}

void bundled_pool_hold(Bundled *b, BundledPool *pool)
{
  pool->users++;
}

void bundled_pool_release(Bundled *b, BundledPool *pool)
{
  if (--pool->users == 0)
    pthread_cond_broadcast(&b->idle);
}

BundledPool *bundled_pool_borrow(Bundled *b, const char *name, GError **error)
{
  BundledPool *pool;

  bundled_lock(b);
  pool = bundled_find_pool(b, name, error);
  if (pool)
    bundled_pool_hold(b, pool);
  bundled_unlock(b);
  return pool;
}

void bundled_pool_give_back(Bundled *b, BundledPool *pool)
{
  bundled_lock(b);
  bundled_pool_release(b, pool);
  bundled_unlock(b);
}
