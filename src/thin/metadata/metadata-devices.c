/* virt-thin - thin metadata: devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A device is an entry in two trees: its root in the top tree, its details in another. Roots are
 * stored as soon as they change, because shadowing a shared top leaf counts the roots it finds
 * there. Details change with every mapping and are gathered until the commit.
 */
#include "config.h"
#include "thin/metadata/metadata-private.h"

static gboolean unpack_details(ThinMetadataDevice *device, const ThinDiskDetails *details)
{
  device->mapped = GUINT64_FROM_LE(details->mapped_blocks);
  device->transaction_id = GUINT64_FROM_LE(details->transaction_id);
  device->creation_time = GUINT32_FROM_LE(details->creation_time);
  device->snapshotted_time = GUINT32_FROM_LE(details->snapshotted_time);
  return TRUE;
}

static gboolean load_details(ThinMetadata *md, ThinMetadataDevice *device, GError **error)
{
  g_autoptr(GError) fault = NULL;
  ThinBtree tree = thin_metadata_details_tree(md);
  ThinDiskDetails details;
  gboolean found = FALSE;

  if (thin_btree_lookup(&tree, md->details_root, device->id, &details, &found, &fault) && found)
    return unpack_details(device, &details);
  if (!fault)
    vt_set_error(&fault, EBADMSG, "device %u: has a mapping tree, but no details", device->id);
  if (!md->read_only) {
    g_propagate_error(error, g_steal_pointer(&fault));
    return FALSE;
  }
  device->details_lost = TRUE;
  device->snapshotted_time = G_MAXUINT32; /* so every mapping counts as shared */
  return TRUE;
}

ThinMetadataDevice *thin_metadata_find_device(ThinMetadata *md, guint32 id, GError **error)
{
  ThinMetadataDevice *known = g_hash_table_lookup(md->devices, GUINT_TO_POINTER(id));
  if (known)
    return known;
  g_autofree ThinMetadataDevice *device = g_new0(ThinMetadataDevice, 1);
  ThinBtree top = thin_metadata_top_tree(md);
  guint64 root;
  gboolean found;
  device->id = id;
  if (!thin_btree_lookup(&top, md->mapping_root, id, &root, &found, error)) {
    g_prefix_error(error, "device %u: ", id);
    return NULL;
  }
  if (!found) {
    vt_set_error(error, ENOENT, "%s: there is no thin device %u", vt_io_name(md->io), id);
    return NULL;
  }
  device->root = GUINT64_FROM_LE(root);
  if (!load_details(md, device, error))
    return NULL;
  g_hash_table_insert(md->devices, GUINT_TO_POINTER(id), device);
  return g_steal_pointer(&device);
}

ThinMetadataDevice *thin_metadata_own_device(ThinMetadata *md, guint32 id, GError **error)
{
  ThinMetadataDevice *device = thin_metadata_find_device(md, id, error);
  if (!device || device->owned)
    return device;
  ThinBtree top = thin_metadata_top_tree(md);
  if (!thin_metadata_changed_by(md, thin_btree_own_path(&top, &md->mapping_root, id, error)))
    return NULL;
  device->owned = TRUE;
  return device;
}

static gboolean set_root(ThinMetadata *md, guint32 id, guint64 root, GError **error)
{
  ThinBtree top = thin_metadata_top_tree(md);
  guint64 key = id, value = GUINT64_TO_LE(root);
  top.dec = NULL; /* the reference that the old value held has moved */
  return thin_btree_insert(&top, &md->mapping_root, &key, &value, 1, NULL, error);
}

gboolean thin_metadata_store_root(ThinMetadata *md, ThinMetadataDevice *device, GError **error)
{
  return set_root(md, device->id, device->root, error);
}

/* --- details ------------------------------------------------------------------------ */

static gboolean store_details(ThinMetadata *md, const ThinMetadataDevice *device, GError **error)
{
  ThinBtree tree = thin_metadata_details_tree(md);
  guint64 key = device->id;
  ThinDiskDetails details = {GUINT64_TO_LE(device->mapped), GUINT64_TO_LE(device->transaction_id),
                             GUINT32_TO_LE(device->creation_time),
                             GUINT32_TO_LE(device->snapshotted_time)};
  return thin_btree_insert(&tree, &md->details_root, &key, &details, 1, NULL, error);
}

static gint by_id(gconstpointer a, gconstpointer b)
{
  guint32 x = (*(ThinMetadataDevice *const *)a)->id, y = (*(ThinMetadataDevice *const *)b)->id;
  return x < y ? -1 : x > y;
}

gboolean thin_metadata_write_details(ThinMetadata *md, GError **error)
{
  g_autoptr(GPtrArray) changed = g_ptr_array_new();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, md->devices);
  while (g_hash_table_iter_next(&iter, NULL, &value))
    if (((ThinMetadataDevice *)value)->changed)
      g_ptr_array_add(changed, value);
  g_ptr_array_sort(changed, by_id); /* the same writes for the same state */
  for (guint i = 0; i < changed->len; i++)
    if (!store_details(md, changed->pdata[i], error))
      return FALSE;
  return TRUE;
}

/* --- asking ------------------------------------------------------------------------- */

static ThinDevice describe(ThinMetadata *md, const ThinMetadataDevice *device)
{
  return (ThinDevice){
      .id = device->id,
      .mapped = device->mapped * thin_metadata_chunk_size(md),
      .transaction_id = device->transaction_id,
      .creation_time = device->creation_time,
      .snapshotted_time = device->details_lost ? 0 : device->snapshotted_time,
  };
}

gboolean thin_metadata_get_device(ThinMetadata *md, guint32 id, ThinDevice *out, GError **error)
{
  ThinMetadataDevice *device = thin_metadata_find_device(md, id, error);
  if (device)
    *out = describe(md, device);
  return device != NULL;
}

gboolean thin_metadata_device_changed(ThinMetadata *md, guint32 id)
{
  const ThinMetadataDevice *device = g_hash_table_lookup(md->devices, GUINT_TO_POINTER(id));
  return device && device->changed;
}

/* Visit each key of @tree; damage ends it, or (read only) is passed over and noted in @damage. */
typedef void (*VisitFunc)(ThinMetadata *md, guint64 key, const guint8 *value, gpointer user_data);

static gboolean visit(ThinMetadata *md, const ThinBtree *tree, guint64 root, VisitFunc func,
                      gpointer user_data, GError **damage)
{
  guint64 key = 0;
  do {
    g_auto(ThinLeaf) leaf = {0};
    g_autoptr(GError) fault = NULL;
    if (!thin_btree_seek(tree, root, key, &leaf, &fault)) {
      if (*damage == NULL)
        *damage = g_steal_pointer(&fault);
      if (!md->read_only)
        return FALSE;
    } else {
      for (guint i = leaf.first; i < leaf.n; i++)
        func(md, thin_leaf_key(&leaf, i), thin_node_value(leaf.block->data, i), user_data);
    }
    key = leaf.upper;
  } while (key != G_MAXUINT64);
  return TRUE;
}

static void add_details(ThinMetadata *md, guint64 key, const guint8 *value, gpointer user_data)
{
  ThinMetadataDevice device = {.id = (guint32)key}, *known;
  if (key > THIN_DEVICE_MAX)
    return;
  known = g_hash_table_lookup(md->devices, GUINT_TO_POINTER(device.id));
  unpack_details(&device, (const ThinDiskDetails *)(gconstpointer)value);
  ThinDevice entry = describe(md, known && !known->details_lost ? known : &device);
  g_array_append_val(user_data, entry);
}

typedef struct {
  GArray *devices; /* those whose details can be read, in order of id */
  GArray *more;    /* those in the top tree alone */
  guint at;
} TopVisit;

static void add_without_details(ThinMetadata *md, guint64 key, const guint8 *value,
                                gpointer user_data)
{
  TopVisit *top = user_data;
  while (top->at < top->devices->len && g_array_index(top->devices, ThinDevice, top->at).id < key)
    top->at++;
  if (key > THIN_DEVICE_MAX ||
      (top->at < top->devices->len && g_array_index(top->devices, ThinDevice, top->at).id == key))
    return;
  ThinDevice entry = {.id = (guint32)key};
  g_array_append_val(top->more, entry);
}

static gint device_by_id(gconstpointer a, gconstpointer b)
{
  guint32 x = ((const ThinDevice *)a)->id, y = ((const ThinDevice *)b)->id;
  return x < y ? -1 : x > y;
}

/* Devices made in this transaction, whose details are not in the tree yet. */
static void add_created(ThinMetadata *md, GArray *devices, GArray *more)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init(&iter, md->devices);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    ThinDevice entry = describe(md, value);
    if (((ThinMetadataDevice *)value)->changed &&
        !g_array_binary_search(devices, &entry, device_by_id, NULL))
      g_array_append_val(more, entry);
  }
}

GArray *thin_metadata_list_devices(ThinMetadata *md, GError **error)
{
  g_autoptr(GArray) devices = g_array_new(FALSE, TRUE, sizeof(ThinDevice)),
                    more = g_array_new(FALSE, TRUE, sizeof(ThinDevice));
  g_autoptr(GError) damage = NULL;
  ThinBtree details = thin_metadata_details_tree(md), top = thin_metadata_top_tree(md);
  TopVisit visit_top = {devices, more, 0};

  if (!visit(md, &details, md->details_root, add_details, devices, &damage) ||
      (md->read_only &&
       !visit(md, &top, md->mapping_root, add_without_details, &visit_top, &damage)) ||
      (damage && devices->len + more->len == 0)) {
    g_propagate_error(error, g_steal_pointer(&damage));
    return NULL;
  }
  if (!md->read_only)
    add_created(md, devices, more);
  if (more->len) {
    g_array_append_vals(devices, more->data, more->len);
    g_array_sort(devices, device_by_id);
  }
  return g_steal_pointer(&devices);
}

gboolean thin_metadata_count_devices(ThinMetadata *md, guint *n, GError **error)
{
  if (md->n_devices == G_MAXUINT) {
    g_autoptr(GArray) devices = thin_metadata_list_devices(md, error);
    if (!devices)
      return FALSE;
    md->n_devices = devices->len;
  }
  *n = md->n_devices;
  return TRUE;
}

/* --- changing ----------------------------------------------------------------------- */

/* May device @id be made? It must be in neither tree. */
static gboolean is_new_id(ThinMetadata *md, guint32 id, GError **error)
{
  g_autoptr(GError) fault = NULL;
  if (id > THIN_DEVICE_MAX)
    return vt_set_error(error, EINVAL, "device id %u: the highest is %u", id, THIN_DEVICE_MAX);
  if (thin_metadata_find_device(md, id, &fault))
    return vt_set_error(error, EEXIST, "%s: there is a thin device %u already", vt_io_name(md->io),
                        id);
  if (!g_error_matches(fault, VT_ERROR, ENOENT)) {
    g_propagate_error(error, g_steal_pointer(&fault));
    return FALSE;
  }
  return TRUE;
}

static gboolean add_device(ThinMetadata *md, guint32 id, guint64 root, guint64 mapped,
                           GError **error)
{
  ThinMetadataDevice *device = g_new0(ThinMetadataDevice, 1);
  *device = (ThinMetadataDevice){.id = id,
                                 .root = root,
                                 .mapped = mapped,
                                 .transaction_id = md->transaction_id,
                                 .creation_time = md->time,
                                 .snapshotted_time = md->time,
                                 .changed = TRUE,
                                 .owned = TRUE};
  g_hash_table_insert(md->devices, GUINT_TO_POINTER(id), device);
  if (md->n_devices != G_MAXUINT)
    md->n_devices++;
  return thin_metadata_store_root(md, device, error) && store_details(md, device, error);
}

gboolean thin_metadata_create(ThinMetadata *md, guint32 id, GError **error)
{
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_room(md, 0, error) ||
      !is_new_id(md, id, error))
    return FALSE;
  ThinBtree tree = thin_metadata_device_tree(md);
  guint64 root;
  return thin_metadata_changed_by(md, thin_btree_empty(&tree, &root, error) &&
                                          add_device(md, id, root, 0, error));
}

gboolean thin_metadata_snapshot(ThinMetadata *md, guint32 id, guint32 origin_id, GError **error)
{
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_room(md, 0, error) ||
      !is_new_id(md, id, error))
    return FALSE;
  if (md->time >= THIN_MAPPING_TIME_MAX)
    return vt_set_error(error, EOVERFLOW,
                        "%s: %u snapshots were taken, the most the format can tell apart",
                        vt_io_name(md->io), md->time);
  ThinMetadataDevice *origin = thin_metadata_own_device(md, origin_id, error);
  if (!origin)
    return FALSE;
  if (!thin_tm_inc(&md->tm, origin->root, error))
    return thin_metadata_changed_by(md, FALSE);
  md->time++;
  origin->snapshotted_time = md->time;
  origin->changed = TRUE;
  return thin_metadata_changed_by(md, add_device(md, id, origin->root, origin->mapped, error));
}

gboolean thin_metadata_delete(ThinMetadata *md, guint32 id, GError **error)
{
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_reserve(md, error) ||
      !thin_metadata_find_device(md, id, error))
    return FALSE;
  ThinBtree top = thin_metadata_top_tree(md), details = thin_metadata_details_tree(md);
  g_hash_table_remove(md->devices, GUINT_TO_POINTER(id));
  if (md->n_devices != G_MAXUINT)
    md->n_devices--;
  return thin_metadata_changed_by(
      md, thin_btree_remove(&details, &md->details_root, id, (guint64)id + 1, NULL, error) &&
              thin_btree_remove(&top, &md->mapping_root, id, (guint64)id + 1, NULL, error));
}

gboolean thin_metadata_exchange(ThinMetadata *md, guint32 a, guint32 b, GError **error)
{
  if (!thin_metadata_writable(md, error) || !thin_metadata_has_reserve(md, error))
    return FALSE;
  ThinMetadataDevice *x = thin_metadata_find_device(md, a, error),
                     *y = x ? thin_metadata_find_device(md, b, error) : NULL;
  if (!y)
    return FALSE;
  if (x == y)
    return TRUE;
  if (!(x = thin_metadata_own_device(md, a, error)) ||
      !(y = thin_metadata_own_device(md, b, error)))
    return FALSE;
  ThinMetadataDevice was = *x;
  *x = *y;
  *y = was;
  x->id = a;
  y->id = b;
  x->changed = y->changed = TRUE;
  return thin_metadata_changed_by(md, thin_metadata_store_root(md, x, error) &&
                                          thin_metadata_store_root(md, y, error));
}
