/* virt-thin - the bytes of a linear or striped logical volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An I/O finds its segment in a table that nobody changes: when the LV grows, a new table takes the
 * old one's place. Old tables stay until the LV is closed, because an I/O in another thread may
 * still be looking at one; there is one per growth, so they do not add up, and the data path takes
 * no lock.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"

typedef struct {
  VtIo *io; /* NULL: the PV is missing */
  guint64 offset;
  char *missing; /* which one; NULL: none */
} Stripe;

typedef struct {
  guint64 start, length; /* in the LV */
  guint64 stripe_size;   /* linear: @length */
  guint n_stripes, first_stripe;
} Segment;

typedef struct {
  guint64 size;
  GArray *segments; /* of Segment, in order, without gaps */
  GArray *stripes;  /* of Stripe */
  GPtrArray *ios;   /* each PV once; holds the references */
} Map;

typedef struct {
  VtIo io;
  Map *map;       /* atomic */
  GPtrArray *old; /* of Map */
  char *uuid;
} LvIo;

/* --- the table --- */

static void clear_stripe(gpointer stripe)
{
  g_free(((Stripe *)stripe)->missing);
}

static void map_free(gpointer data)
{
  Map *map = data;

  if (!map)
    return;
  g_array_unref(map->segments);
  g_array_unref(map->stripes);
  g_ptr_array_unref(map->ios);
  g_free(map);
}

/* Some stripes lie on another LV: on pvmove0 while extents are moved, for example. */
static gboolean check_stripes(LvmNode *node, guint n_on_pvs, GError **error)
{
  guint64 n = 1;
  LvmValue it;

  lvm_section_get_uint(node, "stripe_count", &n);
  if (n == n_on_pvs && n > 0)
    return TRUE;
  lvm_value_init(&it, lvm_section_find(node, "stripes"));
  while (lvm_value_next(&it))
    if (it.type >= LVM_VALUE_STRING && g_str_has_prefix(it.text, "pvmove"))
      return vt_set_error(
          error, EOPNOTSUPP,
          "extents of it are being moved (%s): have lvm2 go on (vgchange -ay), and finish "
          "that with pvmove, or take it back with pvmove --abort",
          it.text);
  return vt_set_error(error, EOPNOTSUPP,
                      "%s does not lie on physical volumes alone: use it through lvm2",
                      lvm_node_name(node));
}

static gboolean add_segment(LvmStore *store, LvmVg *vg, LvmNode *node, Map *map, GError **error)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));
  guint64 extent_size = lvm_vg_extent_size(vg), n = 0, stripe_size = 0;
  Segment segment = {.start = map->size, .first_stripe = map->stripes->len};

  if (!lvm_segment_areas(vg, node, areas, error) || !check_stripes(node, areas->len, error))
    return FALSE;
  lvm_section_get_uint(node, "extent_count", &n);
  lvm_section_get_uint(node, "stripe_size", &stripe_size);
  segment.length = n * extent_size;
  segment.n_stripes = areas->len;
  segment.stripe_size = areas->len == 1 ? segment.length : stripe_size * LVM_SECTOR;
  if (stripe_size > G_MAXUINT32 || segment.stripe_size == 0 ||
      segment.length % (segment.n_stripes * segment.stripe_size) != 0)
    return vt_set_error(error, EBADMSG, "%s has no valid stripes", lvm_node_name(node));
  for (guint i = 0; i < areas->len; i++) {
    const LvmArea *area = &g_array_index(areas, LvmArea, i);
    LvmDevice *device = lvm_store_device(store, lvm_pv_uuid(area->pv));
    Stripe stripe = {device ? device->io : NULL, lvm_pv_start(area->pv) + area->start * extent_size,
                     NULL};

    if (!device)
      stripe.missing = g_strdup_printf("%s (%s, last seen as %s)", lvm_pv_name(area->pv),
                                       lvm_pv_uuid(area->pv), lvm_pv_device(area->pv));
    g_array_append_val(map->stripes, stripe);
    if (device && !g_ptr_array_find(map->ios, device->io, NULL))
      g_ptr_array_add(map->ios, vt_io_ref(device->io));
  }
  g_array_append_val(map->segments, segment);
  map->size += segment.length;
  return TRUE;
}

static Map *map_new(LvmStore *store, LvmVg *vg, LvmLv *lv, GError **error)
{
  Map *map = g_new0(Map, 1);

  map->segments = g_array_new(FALSE, FALSE, sizeof(Segment));
  map->stripes = g_array_new(FALSE, FALSE, sizeof(Stripe));
  g_array_set_clear_func(map->stripes, clear_stripe);
  map->ios = g_ptr_array_new_with_free_func((GDestroyNotify)vt_io_unref);
  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
    if (!add_segment(store, vg, segment, map, error)) {
      map_free(map);
      return NULL;
    }
  return map;
}

static gboolean map_equal(const Map *a, const Map *b)
{
  return a->segments->len == b->segments->len && a->stripes->len == b->stripes->len &&
         memcmp(a->segments->data, b->segments->data, a->segments->len * sizeof(Segment)) == 0 &&
         memcmp(a->stripes->data, b->stripes->data, a->stripes->len * sizeof(Stripe)) == 0;
}

/* Where byte @offset is: on which PV, and how many bytes follow there. */
static const Stripe *map_find(const Map *map, guint64 offset, guint64 *pv_offset, guint64 *run)
{
  guint low = 0, high = map->segments->len;
  const Segment *segment;
  const Stripe *stripe;
  guint64 unit, inner;

  while (high - low > 1) {
    guint middle = (low + high) / 2;

    if (g_array_index(map->segments, Segment, middle).start <= offset)
      low = middle;
    else
      high = middle;
  }
  segment = &g_array_index(map->segments, Segment, low);
  unit = (offset - segment->start) / segment->stripe_size;
  inner = (offset - segment->start) % segment->stripe_size;
  stripe = &g_array_index(map->stripes, Stripe, segment->first_stripe + unit % segment->n_stripes);
  *pv_offset = stripe->offset + unit / segment->n_stripes * segment->stripe_size + inner;
  *run = segment->stripe_size - inner;
  return stripe;
}

/* --- I/O --- */

static const VtIoOps lv_ops;

static Map *get_map(VtIo *io)
{
  return g_atomic_pointer_get(&((LvIo *)io)->map);
}

static gboolean is_there(VtIo *io, const Stripe *stripe, guint64 offset, guint64 end,
                         GError **error)
{
  if (!stripe->io)
    return vt_set_error(
        error, EIO, "%s: offset %" G_GUINT64_FORMAT " lies on physical volume %s, which is missing",
        vt_io_name(io), offset, stripe->missing);
  if (end > vt_io_size(stripe->io))
    return vt_set_error(error, EIO,
                        "%s: offset %" G_GUINT64_FORMAT
                        " lies beyond the end of %s, which has been truncated to %" G_GUINT64_FORMAT
                        " bytes",
                        vt_io_name(io), offset, vt_io_name(stripe->io), vt_io_size(stripe->io));
  return TRUE;
}

gboolean lvm_lv_io_is_there(VtIo *io, guint64 offset, guint64 limit, guint64 *length,
                            GError **error)
{
  guint64 pv_offset, run, size;
  const Stripe *stripe;

  g_return_val_if_fail(io->ops == &lv_ops && offset < vt_io_size(io) && limit > 0, FALSE);
  stripe = map_find(get_map(io), offset, &pv_offset, &run);
  *length = MIN(run, limit);
  size = stripe->io ? vt_io_size(stripe->io) : 0;
  if (pv_offset < size)
    *length = MIN(*length, size - pv_offset);
  return is_there(io, stripe, offset, pv_offset + 1, error);
}

typedef gboolean (*VectorFunc)(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                               GError **error);

/* Fill @part with the next @length bytes of @iov, from @skip bytes into *index on. */
static int slice(const struct iovec *iov, int *index, gsize *skip, guint64 length,
                 struct iovec *part)
{
  int n = 0;

  while (length) {
    gsize step = MIN(length, iov[*index].iov_len - *skip);

    if (step)
      part[n++] = (struct iovec){(char *)iov[*index].iov_base + *skip, step};
    *skip += step;
    length -= step;
    if (*skip == iov[*index].iov_len) {
      (*index)++;
      *skip = 0;
    }
  }
  return n;
}

static gboolean transfer_split(VtIo *io, VectorFunc func, const struct iovec *iov, int n_iov,
                               guint64 offset, guint64 length, GError **error)
{
  g_autofree struct iovec *part = g_new(struct iovec, n_iov);
  const Map *map = get_map(io);
  int index = 0;
  gsize skip = 0;

  while (length) {
    guint64 pv_offset, run;
    const Stripe *stripe = map_find(map, offset, &pv_offset, &run);
    int n;

    run = MIN(run, length);
    n = slice(iov, &index, &skip, run, part);
    if (!is_there(io, stripe, offset, pv_offset + run, error) ||
        !func(stripe->io, part, n, pv_offset, error))
      return FALSE;
    offset += run;
    length -= run;
  }
  return TRUE;
}

static gboolean transfer(VtIo *io, VectorFunc func, const struct iovec *iov, int n_iov,
                         guint64 offset, GError **error)
{
  guint64 length = vt_iov_length(iov, n_iov), pv_offset, run;
  const Stripe *stripe;

  if (length == 0)
    return TRUE;
  stripe = map_find(get_map(io), offset, &pv_offset, &run);
  if (length > run)
    return transfer_split(io, func, iov, n_iov, offset, length, error);
  return is_there(io, stripe, offset, pv_offset + length, error) &&
         func(stripe->io, iov, n_iov, pv_offset, error);
}

static gboolean lv_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                         GError **error)
{
  return transfer(io, vt_io_readv, iov, n_iov, offset, error);
}

static gboolean lv_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                          GError **error)
{
  return transfer(io, vt_io_writev, iov, n_iov, offset, error);
}

static gboolean lv_flush(VtIo *io, GError **error)
{
  const Map *map = get_map(io);

  for (guint i = 0; i < map->ios->len; i++)
    if (!vt_io_flush(map->ios->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean map_check(const Map *map, GError **error)
{
  for (guint i = 0; i < map->ios->len; i++)
    if (!vt_io_check(map->ios->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean lv_check(VtIo *io, GError **error)
{
  return map_check(get_map(io), error);
}

static gboolean lv_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                        GError **error)
{
  const Map *map = get_map(io);

  while (length) {
    guint64 pv_offset, run;
    const Stripe *stripe = map_find(map, offset, &pv_offset, &run);

    run = MIN(run, length);
    if (!is_there(io, stripe, offset, pv_offset + run, error) ||
        !vt_io_zero(stripe->io, pv_offset, run, flags, error))
      return FALSE;
    offset += run;
    length -= run;
  }
  return TRUE;
}

typedef gboolean (*RangeFunc)(VtIo *io, guint64 offset, guint64 length, GError **error);

static gboolean on_each_stripe(VtIo *io, RangeFunc func, guint64 offset, guint64 length,
                               GError **error)
{
  const Map *map = get_map(io);

  while (length) {
    guint64 pv_offset, run;
    const Stripe *stripe = map_find(map, offset, &pv_offset, &run);

    run = MIN(run, length);
    if (!is_there(io, stripe, offset, pv_offset + run, error) ||
        !func(stripe->io, pv_offset, run, error))
      return FALSE;
    offset += run;
    length -= run;
  }
  return TRUE;
}

static gboolean lv_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return on_each_stripe(io, vt_io_discard, offset, length, error);
}

static gboolean lv_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return on_each_stripe(io, vt_io_back, offset, length, error);
}

static guint64 lv_size(VtIo *io)
{
  return get_map(io)->size;
}

/* Of devices that are put together, device-mapper takes the largest (linux block/blk-settings.c,
 * blk_stack_limits()). */
static guint map_sector_size(const Map *map)
{
  guint largest = LVM_SECTOR;

  for (guint i = 0; i < map->ios->len; i++)
    largest = MAX(largest, vt_io_sector_size(map->ios->pdata[i]));
  return largest;
}

static guint lv_sector_size(VtIo *io)
{
  return map_sector_size(get_map(io));
}

static void lv_free(VtIo *io)
{
  LvIo *lv = (LvIo *)io;

  map_free(lv->map);
  g_ptr_array_unref(lv->old);
  g_free(lv->uuid);
  g_free(lv);
}

static const VtIoOps lv_ops = {
    .readv = lv_readv,
    .writev = lv_writev,
    .flush = lv_flush,
    .zero = lv_zero,
    .discard = lv_discard,
    .back = lv_back,
    .check = lv_check,
    .size = lv_size,
    .sector_size = lv_sector_size,
    .free = lv_free,
};

/* --- opening --- */

static VtIo *lv_io_new(LvmStore *store, LvmLv *lv, gboolean read_only, GError **error)
{
  g_autofree char *name = g_strdup_printf("%s/%s", lvm_vg_name(store->vg), lvm_lv_name(lv));
  Map *map;
  LvIo *lv_io;

  if (lv->kind != LVM_LV_STRIPED) {
    vt_set_error(error, EOPNOTSUPP,
                 "%s is of type %s, and virt-thin opens linear and striped volumes: use it through "
                 "lvm2 (vgchange -ay %s)",
                 name, lvm_lv_segment_type(lv), lvm_vg_name(store->vg));
    return NULL;
  }
  if (!read_only && (store->read_only || !lvm_lv_is_writable(lv))) {
    vt_set_error(error, EROFS, "%s cannot be opened for writing: it is read-only", name);
    return NULL;
  }
  map = map_new(store, store->vg, lv, error);
  if (!map) {
    g_prefix_error(error, "%s cannot be opened: ", name);
    return NULL;
  }
  lv_io = g_new0(LvIo, 1);
  vt_io_init(&lv_io->io, &lv_ops, name, read_only);
  lv_io->map = map;
  lv_io->old = g_ptr_array_new_with_free_func(map_free);
  lv_io->uuid = g_strdup(lvm_lv_uuid(lv));
  return &lv_io->io;
}

VtIo *lvm_store_open_lv(LvmStore *store, const char *lv_name, gboolean read_only, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(store->vg, lv_name);
  g_autofree char *key = NULL;
  VtIo *io;

  if (!lv) {
    vt_set_error(error, ENOENT, "volume group %s has no volume %s", lvm_vg_name(store->vg),
                 lv_name);
    return NULL;
  }
  key = g_strdup_printf("%c%s", read_only ? 'r' : 'w', lvm_lv_uuid(lv));
  io = g_hash_table_lookup(store->open_lvs, key);
  if (!io) {
    io = lv_io_new(store, lv, read_only, error);
    if (!io)
      return NULL;
    g_hash_table_insert(store->open_lvs, g_steal_pointer(&key), io);
  }
  return vt_io_ref(io);
}

guint lvm_store_sector_size(LvmStore *store, LvmLv *lv)
{
  Map *map = lv->kind == LVM_LV_STRIPED ? map_new(store, store->vg, lv, NULL) : NULL;
  guint size = map ? map_sector_size(map) : LVM_SECTOR;

  map_free(map);
  return size;
}

static char *describe_loss(const Segment *segment, const Stripe *stripe)
{
  guint64 end = stripe->offset + segment->length / segment->n_stripes;

  if (!stripe->io)
    return g_strdup_printf("extents of it lie on physical volume %s, which is missing",
                           stripe->missing);
  if (end > vt_io_size(stripe->io))
    return g_strdup_printf(
        "extents of it lie beyond the end of %s, which has been truncated to %" G_GUINT64_FORMAT
        " bytes",
        vt_io_name(stripe->io), vt_io_size(stripe->io));
  return NULL;
}

char *lvm_store_lv_damage(LvmStore *store, LvmLv *lv)
{
  g_autoptr(GError) error = NULL;
  char *loss = NULL;
  Map *map;

  if (lv->kind != LVM_LV_STRIPED)
    return NULL;
  if (!(map = map_new(store, store->vg, lv, &error)))
    return store->read_only ? g_strdup(error->message) : NULL;
  if (!map_check(map, &error))
    loss = g_strdup(error->message);
  for (guint i = 0; store->read_only && !loss && i < map->segments->len; i++) {
    const Segment *segment = &g_array_index(map->segments, Segment, i);

    for (guint j = 0; !loss && j < segment->n_stripes; j++)
      loss =
          describe_loss(segment, &g_array_index(map->stripes, Stripe, segment->first_stripe + j));
  }
  map_free(map);
  return loss;
}

static LvmLv *find_by_uuid(LvmVg *vg, const char *uuid)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind == LVM_LV_STRIPED && strcmp(lvm_lv_uuid(lv), uuid) == 0)
      return lv;
  }
  return NULL;
}

void lvm_store_update_lvs(LvmStore *store)
{
  GHashTableIter it;
  gpointer value;

  g_hash_table_iter_init(&it, store->open_lvs);
  while (g_hash_table_iter_next(&it, NULL, &value)) {
    LvIo *lv_io = value;
    LvmLv *lv = find_by_uuid(store->vg, lv_io->uuid);
    Map *map = lv ? map_new(store, store->vg, lv, NULL) : NULL;

    if (!lv)
      g_hash_table_iter_remove(&it); /* whoever has it open keeps it */
    if (map && !map_equal(map, lv_io->map)) {
      g_ptr_array_add(lv_io->old, lv_io->map);
      g_atomic_pointer_set(&lv_io->map, map);
    } else {
      map_free(map);
    }
  }
}

/* --- zeroing what is new --- */

/* Does @lv (NULL: no) have extent @extent of the PV of @uuid? */
static gboolean has_extent(GArray *areas, const char *uuid, guint64 extent)
{
  for (guint i = 0; areas && i < areas->len; i++) {
    const LvmArea *area = &g_array_index(areas, LvmArea, i);

    if (extent >= area->start && extent - area->start < area->n &&
        strcmp(lvm_pv_uuid(area->pv), uuid) == 0)
      return TRUE;
  }
  return FALSE;
}

static GArray *lv_areas(LvmVg *vg, LvmLv *lv, GError **error)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));

  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
    if (!lvm_segment_areas(vg, segment, areas, error))
      return NULL;
  return g_steal_pointer(&areas);
}

static gboolean zero_area(LvmStore *store, LvmVg *vg, const LvmArea *area, GArray *old,
                          GError **error)
{
  const char *uuid = lvm_pv_uuid(area->pv);
  LvmDevice *device = lvm_store_device(store, uuid);
  guint64 extent_size = lvm_vg_extent_size(vg), end = area->start + area->n;

  if (!device)
    return vt_set_error(error, EIO, "physical volume %s is missing", lvm_pv_name(area->pv));
  for (guint64 from = area->start, to; from < end; from = to) {
    gboolean mine = has_extent(old, uuid, from);

    for (to = from + 1; to < end && has_extent(old, uuid, to) == mine; to++)
      continue;
    if (!mine && !vt_io_zero(device->io, lvm_pv_start(area->pv) + from * extent_size,
                             (to - from) * extent_size, VT_IO_ZERO_MAY_UNMAP, error))
      return FALSE;
  }
  return vt_io_flush(device->io, error);
}

gboolean lvm_store_zero_new(LvmStore *store, LvmVg *vg, const char *lv_name, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(vg, lv_name), *before = lvm_vg_find_lv(store->vg, lv_name);
  g_autoptr(GArray) areas = NULL, old = NULL;

  if (!lv)
    return vt_set_error(error, ENOENT, "volume group %s has no volume %s", lvm_vg_name(vg),
                        lv_name);
  if (!(areas = lv_areas(vg, lv, error)))
    return FALSE;
  if (before && strcmp(lvm_lv_uuid(before), lvm_lv_uuid(lv)) == 0 &&
      !(old = lv_areas(store->vg, before, error)))
    return FALSE;
  for (guint i = 0; i < areas->len; i++)
    if (!zero_area(store, vg, &g_array_index(areas, LvmArea, i), old, error)) {
      g_prefix_error(error, "cannot zero the new extents of %s/%s: ", lvm_vg_name(vg), lv_name);
      return FALSE;
    }
  return TRUE;
}
