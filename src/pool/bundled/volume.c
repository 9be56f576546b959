/* virt-thin - the bundled pool: volumes opened for I/O
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A BundledVolume is an LV that is open, once, however many handles there are. I/O takes its lock
 * for reading and nothing else; what takes the device behind it away (removal) takes that for
 * writing. Rollback and resize need no such thing: the engine quiesces its volume by itself.
 */
#include "pool/bundled/bundled-private.h"

#include "pool/rules.h"

/* --- the shared volume --- */

static BundledVolume *volume_new(Bundled *b, LvmLv *lv)
{
  BundledVolume *volume = g_new0(BundledVolume, 1);
  pthread_rwlockattr_t attr;

  /* A removal must not wait for ever behind readers that come and go. */
  pthread_rwlockattr_init(&attr);
  pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&volume->lock, &attr);
  pthread_rwlockattr_destroy(&attr);
  volume->owner = b;
  volume->refs = 1;
  volume->handles = g_ptr_array_new();
  volume->read_only = b->read_only || !lvm_lv_is_writable(lv);
  volume->name = g_strdup(lvm_lv_name(lv));
  return volume;
}

static void close_devices(BundledVolume *volume)
{
  if (volume->thin)
    thin_volume_close(volume->thin);
  volume->thin = NULL;
  if (volume->private_thin)
    thin_pool_close(volume->private_thin, NULL);
  volume->private_thin = NULL;
  if (volume->io)
    vt_io_unref(volume->io);
  volume->io = NULL;
}

static void volume_free(BundledVolume *volume)
{
  close_devices(volume);
  pthread_rwlock_destroy(&volume->lock);
  g_ptr_array_unref(volume->handles);
  g_free(volume->name);
  g_free(volume);
}

/* Read-only, and the volume's creation is still a message to the pool: what it will hold is its
 * origin's content. That device may be open already, and an engine opens a device once; so this one
 * reads through an engine of its own, which is cheap, and rare. */
static gboolean open_pending(Bundled *b, BundledVolume *volume, LvmLv *lv, GError **error)
{
  const ThinOptions options = {.read_only = TRUE, .block_cache = 1u << 20, .translations = 1024};
  const char *name = lvm_thin_origin(lv);
  LvmLv *origin = name ? lvm_vg_find_lv(lvm_store_vg(b->store), name) : NULL;

  if (!origin)
    return TRUE;
  volume->private_thin =
      thin_pool_open(volume->pool->metadata, volume->pool->data, &options, error);
  if (volume->private_thin)
    volume->thin = thin_volume_open(volume->private_thin, lvm_thin_device(origin), lvm_lv_size(lv),
                                    TRUE, error);
  return volume->thin != NULL;
}

static gboolean is_pending(Bundled *b, LvmLv *lv)
{
  g_autoptr(GArray) messages =
      lvm_pool_messages(lvm_vg_find_lv(lvm_store_vg(b->store), lvm_thin_pool(lv)));

  for (guint i = 0; i < messages->len; i++)
    if (!g_strcmp0(g_array_index(messages, LvmMessage, i).create, lvm_lv_name(lv)))
      return TRUE;
  return FALSE;
}

static gboolean open_thin_volume(Bundled *b, BundledVolume *volume, LvmLv *lv, GError **error)
{
  ThinDevice device;
  gboolean found = TRUE;

  volume->pool = bundled_usable_pool(b, lvm_thin_pool(lv), error);
  if (!volume->pool)
    return FALSE;
  volume->chunk_size =
      lvm_pool_chunk_size(lvm_vg_find_lv(lvm_store_vg(b->store), volume->pool->name));
  if (lvm_thin_external_origin(lv))
    return vt_set_error(error, EOPNOTSUPP,
                        "it has the external origin %s, which virt-thin does not read",
                        lvm_thin_external_origin(lv));
  if (b->read_only && is_pending(b, lv) &&
      !bundled_find_device(volume->pool, lvm_thin_device(lv), &device, &found, error))
    return FALSE;
  if (!found)
    return open_pending(b, volume, lv, error);
  volume->thin = thin_volume_open(volume->pool->thin, lvm_thin_device(lv), lvm_lv_size(lv),
                                  volume->read_only, error);
  return volume->thin != NULL;
}

static gboolean open_devices(Bundled *b, BundledVolume *volume, LvmLv *lv, GError **error)
{
  gboolean ok;

  if (lvm_lv_kind(lv) == LVM_LV_THIN)
    ok = open_thin_volume(b, volume, lv, error);
  else
    ok = (volume->io = lvm_store_open_lv(b->store, lvm_lv_name(lv), volume->read_only, error)) !=
         NULL;
  if (ok) {
    __atomic_store_n(&volume->size, lvm_lv_size(lv), __ATOMIC_RELAXED);
    return TRUE;
  }
  close_devices(volume);
  g_prefix_error(error, "cannot open volume %s/%s: ", b->vg_name, lvm_lv_name(lv));
  return FALSE;
}

BundledVolume *bundled_volume_get(Bundled *b, const char *name, GError **error)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  LvmLv *lv;

  if (volume) {
    volume->refs++;
    return volume;
  }
  lv = pool_rules_find_volume(lvm_store_vg(b->store), name, error);
  if (!lv)
    return NULL;
  volume = volume_new(b, lv);
  if (!open_devices(b, volume, lv, error)) {
    volume_free(volume);
    return NULL;
  }
  g_hash_table_insert(b->volumes, volume->name, volume);
  return volume;
}

void bundled_volume_put(BundledVolume *volume)
{
  if (--volume->refs > 0)
    return;
  if (volume->owner && g_hash_table_lookup(volume->owner->volumes, volume->name) == volume)
    g_hash_table_remove(volume->owner->volumes, volume->name);
  volume_free(volume);
}

/* --- what administration does to it; under Bundled.lock --- */

char *bundled_volume_openers(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  GString *openers = NULL;

  for (guint i = 0; volume && i < volume->handles->len; i++) {
    BundledHandle *handle = volume->handles->pdata[i];

    if (!handle->opener)
      continue;
    if (!openers)
      openers = g_string_new(handle->opener);
    else
      g_string_append_printf(openers, ", %s", handle->opener);
  }
  return openers ? g_string_free(openers, FALSE) : NULL;
}

/* Its lock stays taken until bundled_volume_attach() or bundled_volume_gone(): I/O waits for what
 * becomes of it. */
void bundled_volume_detach(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  pthread_rwlock_wrlock(&volume->lock);
  close_devices(volume);
}

gboolean bundled_volume_attach(Bundled *b, const char *name, GError **error)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  gboolean ok;

  if (!volume)
    return TRUE;
  ok = open_devices(b, volume, lvm_vg_find_lv(lvm_store_vg(b->store), name), error);
  volume->gone = !ok;
  pthread_rwlock_unlock(&volume->lock);
  return ok;
}

void bundled_volume_gone(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  volume->gone = TRUE;
  g_hash_table_remove(b->volumes, name);
  pthread_rwlock_unlock(&volume->lock);
}

void bundled_volume_sealed(Bundled *b, const char *name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume)
    return;
  pthread_rwlock_wrlock(&volume->lock);
  g_atomic_int_set(&volume->read_only, TRUE);
  for (guint i = 0; i < volume->handles->len; i++)
    g_atomic_int_set(&((BundledHandle *)volume->handles->pdata[i])->io.read_only, TRUE);
  pthread_rwlock_unlock(&volume->lock);
}

void bundled_volume_renamed(Bundled *b, const char *name, const char *new_name)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);
  g_autofree char *shown = g_strdup_printf("%s/%s", b->vg_name, new_name);

  if (!volume)
    return;
  g_hash_table_remove(b->volumes, name);
  g_free(volume->name);
  volume->name = g_strdup(new_name);
  for (guint i = 0; i < volume->handles->len; i++)
    vt_io_rename(&((BundledHandle *)volume->handles->pdata[i])->io, shown);
  g_hash_table_insert(b->volumes, volume->name, volume);
}

gboolean bundled_volume_resized(Bundled *b, const char *name, guint64 size, GError **error)
{
  BundledVolume *volume = g_hash_table_lookup(b->volumes, name);

  if (!volume || !volume->thin)
    return TRUE;
  if (!thin_volume_resize(volume->thin, size, error))
    return FALSE;
  __atomic_store_n(&volume->size, size, __ATOMIC_RELAXED);
  return TRUE;
}

void bundled_volumes_close(Bundled *b)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, b->volumes);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    BundledVolume *volume = value;

    pthread_rwlock_wrlock(&volume->lock);
    close_devices(volume);
    volume->gone = TRUE;
    volume->owner = NULL;
    pthread_rwlock_unlock(&volume->lock);
  }
  g_hash_table_remove_all(b->volumes);
}
