/* virt-thin - a volume as far as it can be read, straight from what is left of its pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "rescue/volume.h"

#include "lvm/store.h"
#include "thin/format/walk.h"

#define WINDOW 65536u  /* chunks whose map is in memory */
#define SMALLEST 4096u /* how finely bad places of a disk are told from good ones */

typedef struct {
  VtIo io;
  VtIo *data, *origin;
  RescueMap *map; /* NULL: all of @data */
  guint64 chunk_size, size;
  GMutex mutex;       /* of what follows */
  guint64 begin, end; /* of the window, in chunks */
  GArray *pieces;     /* of RescuePiece */
} Volume;

/* --- the map --- */

static void clear_piece(gpointer piece)
{
  g_free(((RescuePiece *)piece)->lost);
}

void rescue_piece_add(GArray *pieces, guint64 begin, guint64 end, guint64 chunk, const char *lost)
{
  RescuePiece *last = pieces->len ? &g_array_index(pieces, RescuePiece, pieces->len - 1) : NULL;
  RescuePiece next = {begin, end, chunk, NULL};

  if (last && !lost && !last->lost && last->end == begin &&
      last->chunk + (begin - last->begin) == chunk) {
    last->end = end;
    return;
  }
  next.lost = g_strdup(lost);
  g_array_append_val(pieces, next);
}

typedef struct {
  RescueMap map;
  VtIo *metadata;
  guint64 root;
} TreeMap;

static gboolean take_mapping(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  rescue_piece_add(walk->data, key, key + 1, THIN_MAPPING_CHUNK(thin_value_u64(value)), NULL);
  return TRUE;
}

static void take_loss(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  lower = MAX(lower, walk->begin);
  upper = MIN(upper, walk->end);
  if (lower < upper)
    rescue_piece_add(walk->data, lower, upper, 0, fault->message);
}

static gboolean tree_load(RescueMap *map, guint64 begin, guint64 end, GArray *pieces,
                          GError **error)
{
  TreeMap *tree = (TreeMap *)map;
  ThinWalk walk = {.io = tree->metadata,
                   .n_blocks = vt_io_size(tree->metadata) / THIN_METADATA_BLOCK,
                   .value_size = sizeof(guint64),
                   .begin = begin,
                   .end = end,
                   .data = pieces,
                   .entry = take_mapping,
                   .lost = take_loss};

  return thin_walk(&walk, tree->root, NULL, error);
}

static void tree_free(RescueMap *map)
{
  vt_io_unref(((TreeMap *)map)->metadata);
  g_free(map);
}

RescueMap *rescue_map_of_tree(VtIo *metadata, guint64 root)
{
  TreeMap *tree = g_new0(TreeMap, 1);

  tree->map.load = tree_load;
  tree->map.free = tree_free;
  tree->metadata = vt_io_ref(metadata);
  tree->root = root;
  return &tree->map;
}

/* --- where bytes are --- */

typedef enum { HOLE, ORIGIN, DATA } Kind;
typedef struct {
  Kind kind;
  guint64 offset; /* in @data or @origin */
  guint64 length;
} Place;

/* The window around @chunk. */
static gboolean load(Volume *volume, guint64 chunk, GError **error)
{
  guint64 begin = chunk / WINDOW * WINDOW;

  if (chunk >= volume->begin && chunk < volume->end)
    return TRUE;
  g_array_set_size(volume->pieces, 0);
  volume->begin = volume->end = 0;
  if (!volume->map->load(volume->map, begin, begin + WINDOW, volume->pieces, error))
    return FALSE;
  volume->begin = begin;
  volume->end = begin + WINDOW;
  return TRUE;
}

/* The first piece that ends behind @chunk; NULL: none does. */
static const RescuePiece *find_piece(Volume *volume, guint64 chunk)
{
  guint low = 0, high = volume->pieces->len;

  while (low < high) {
    guint middle = low + (high - low) / 2;

    if (g_array_index(volume->pieces, RescuePiece, middle).end <= chunk)
      low = middle + 1;
    else
      high = middle;
  }
  return low < volume->pieces->len ? &g_array_index(volume->pieces, RescuePiece, low) : NULL;
}

static gboolean check_data(Volume *volume, Place *place, GError **error)
{
  guint64 size = vt_io_size(volume->data);

  if (place->offset >= size)
    return vt_set_error(error, EBADMSG,
                        "%s: the map leads to offset %" G_GUINT64_FORMAT
                        " of the pool's data, which has %" G_GUINT64_FORMAT " bytes",
                        vt_io_name(&volume->io), place->offset, size);
  return lvm_lv_io_is_there(volume->data, place->offset, MIN(place->length, size - place->offset),
                            &place->length, error);
}

/* What lies at @offset, *place->length bytes of it at most. FALSE: that many are lost. */
static gboolean look_up(Volume *volume, guint64 offset, Place *place, GError **error)
{
  guint64 chunk = offset / volume->chunk_size, until;
  const RescuePiece *piece;

  if (!load(volume, chunk, error)) {
    place->length = 0;
    return FALSE;
  }
  piece = find_piece(volume, chunk);
  until = piece ? piece->begin <= chunk ? piece->end : piece->begin : volume->end;
  place->length = MIN(place->length, until * volume->chunk_size - offset);
  if (!piece || piece->begin > chunk) {
    place->kind = volume->origin && offset < vt_io_size(volume->origin) ? ORIGIN : HOLE;
    place->offset = offset;
    if (place->kind == ORIGIN)
      place->length = MIN(place->length, vt_io_size(volume->origin) - offset);
    return TRUE;
  }
  if (piece->lost)
    return vt_set_error(error, EBADMSG, "%s", piece->lost);
  place->kind = DATA;
  chunk = piece->chunk + (chunk - piece->begin);
  place->offset = chunk < G_MAXINT64 / volume->chunk_size
                      ? chunk * volume->chunk_size + offset % volume->chunk_size
                      : G_MAXUINT64;
  return check_data(volume, place, error);
}

static gboolean find(Volume *volume, guint64 offset, guint64 limit, Place *place, GError **error)
{
  gboolean ok;

  *place = (Place){DATA, offset, limit};
  if (!volume->map)
    return check_data(volume, place, error);
  g_mutex_lock(&volume->mutex);
  ok = look_up(volume, offset, place, error);
  g_mutex_unlock(&volume->mutex);
  return ok;
}

/* --- the VtIo --- */

/* Whatever a disk says, the place is bad. */
static gboolean read_place(VtIo *io, void *buf, gsize length, guint64 offset, GError **error)
{
  g_autoptr(GError) why = NULL;

  return vt_io_read(io, buf, length, offset, &why) ||
         vt_set_error(error, why->code == EBADMSG ? EBADMSG : EIO, "%s", why->message);
}

static gboolean read_bytes(Volume *volume, char *buf, gsize length, guint64 offset, GError **error)
{
  while (length) {
    Place place;
    gsize step;

    if (!find(volume, offset, length, &place, error))
      return FALSE;
    step = (gsize)place.length;
    if (place.kind == HOLE)
      memset(buf, 0, step);
    else if (!read_place(place.kind == DATA ? volume->data : volume->origin, buf, step,
                         place.offset, error))
      return FALSE;
    buf += step;
    offset += step;
    length -= step;
  }
  return TRUE;
}

static gboolean volume_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  for (int i = 0; i < n_iov; i++) {
    if (!read_bytes((Volume *)io, iov[i].iov_base, iov[i].iov_len, offset, error))
      return FALSE;
    offset += iov[i].iov_len;
  }
  return TRUE;
}

static gboolean volume_extent(VtIo *io, guint64 offset, guint64 limit, guint64 *length,
                              gboolean *mapped, GError **error)
{
  Volume *volume = (Volume *)io;
  Place place;
  gboolean ok = find(volume, offset, limit, &place, error);

  *length = place.length;
  if (ok && place.kind == ORIGIN)
    return vt_io_extent(volume->origin, offset, place.length, length, mapped, error);
  *mapped = ok && place.kind == DATA;
  return ok;
}

static guint64 volume_size(VtIo *io)
{
  return ((Volume *)io)->size;
}

static guint volume_sector_size(VtIo *io)
{
  return vt_io_sector_size(((Volume *)io)->data);
}

static void volume_free(VtIo *io)
{
  Volume *volume = (Volume *)io;

  if (volume->map)
    volume->map->free(volume->map);
  vt_io_unref(volume->data);
  vt_io_unref(volume->origin);
  g_array_unref(volume->pieces);
  g_mutex_clear(&volume->mutex);
  g_free(volume);
}

/* It is opened read-only: nothing that writes is ever called. */
static const VtIoOps volume_ops = {
    .readv = volume_readv,
    .extent = volume_extent,
    .size = volume_size,
    .sector_size = volume_sector_size,
    .free = volume_free,
};

VtIo *rescue_volume_new(const char *name, RescueMap *map, VtIo *data, VtIo *origin,
                        guint64 chunk_size, guint64 size)
{
  Volume *volume = g_new0(Volume, 1);

  vt_io_init(&volume->io, &volume_ops, name, TRUE);
  volume->io.chunk_size = SMALLEST;
  volume->map = map;
  volume->data = vt_io_ref(data);
  volume->origin = origin ? vt_io_ref(origin) : NULL;
  volume->chunk_size = chunk_size;
  volume->size = size;
  volume->pieces = g_array_new(FALSE, FALSE, sizeof(RescuePiece));
  g_array_set_clear_func(volume->pieces, clear_piece);
  g_mutex_init(&volume->mutex);
  return &volume->io;
}

VtIo *rescue_volume_of_lv(VtIo *lv, const char *name)
{
  return rescue_volume_new(name, NULL, lv, NULL, 1, vt_io_size(lv));
}
