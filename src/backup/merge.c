/* virt-thin - an increment that takes the place of those before it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/merge.h"

#include <string.h>
#include <unistd.h>

#include "backup/image.h"
#include "backup/verify.h"
#include "cli/progress.h"
#include "image/interrupt.h"
#include "util/io.h"

/* One of the images that become one. */
typedef struct {
  const BackupLink *link;
  int fd;
  char *path;
  GArray *pieces; /* of Piece */
} Source;

/* Of a source: whole clusters, in order. */
typedef struct {
  guint64 offset, length;
  gboolean zero;
  int fd;
  guint64 at; /* of data, in the file */
} Piece;

static void source_clear(gpointer data)
{
  Source *source = data;

  if (source->fd >= 0)
    close(source->fd);
  g_free(source->path);
  g_clear_pointer(&source->pieces, g_array_unref);
}

/* --- what there is --- */

/* Data lies in its order, behind the tables. */
static gboolean read_pieces(Source *source, GError **error)
{
  BackupImageHead head = {0};
  BackupIn in;
  guint64 at;
  gboolean ok;

  source->pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
  backup_in_begin(&in, source->fd, source->path, source->link->volume->file_size, TRUE, FALSE);
  ok = backup_image_read_head(&in, FALSE, &head, error);
  at = in.offset;
  for (guint i = 0; ok && i < head.runs->len; i++) {
    const BackupRun *run = &g_array_index(head.runs, BackupRun, i);
    const Piece piece = {run->offset, run->length, run->zero, source->fd, at};

    g_array_append_val(source->pieces, piece);
    at += run->zero ? 0 : run->length;
  }
  backup_image_head_clear(&head);
  backup_in_clear(&in);
  return ok;
}

/* Those of @chain (the oldest first), verified: what is wrong would be right in the new image. */
static gboolean open_sources(BackupFolder *folder, const GArray *chain, GArray *sources,
                             GError **error)
{
  for (guint i = 0; i < chain->len; i++) {
    const BackupLink *link = &g_array_index(chain, BackupLink, i);
    Source source = {.link = link,
                     .fd = -1,
                     .path = backup_folder_file(folder, link->manifest->id, link->volume->file)};
    gboolean ok =
        backup_verify_volume(folder, link->manifest, link->volume, error) &&
        backup_folder_open_image(folder, link->manifest->id, link->volume, &source.fd, error) &&
        read_pieces(&source, error);

    g_array_append_val(sources, source);
    if (!ok)
      return FALSE;
  }
  return TRUE;
}

/* --- one over the other --- */

static void add(GArray *pieces, Piece piece, guint64 from, guint64 to)
{
  guint64 end = MIN(piece.offset + piece.length, to);

  if (from > piece.offset) {
    piece.at += from - piece.offset;
    piece.offset = from;
  }
  if (piece.offset >= end)
    return;
  piece.length = end - piece.offset;
  g_array_append_val(pieces, piece);
}

/* What @lower has in [from, to); *next: the first piece that may be in there. */
static void add_lower(GArray *pieces, const GArray *lower, guint *next, guint64 from, guint64 to)
{
  for (; *next < lower->len && from < to; ++*next) {
    const Piece *piece = &g_array_index(lower, Piece, *next);

    add(pieces, *piece, from, to);
    if (piece->offset + piece->length > to)
      return;
  }
}

/* Where @upper has nothing @lower shows, up to the end of the smaller of the two; what @upper has
 * beyond @lower's end reads zero, whatever is below: that has @base_size. */
static GArray *overlay(const GArray *upper, guint64 upper_size, const GArray *lower,
                       guint64 lower_size, guint64 base_size)
{
  GArray *pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
  guint64 clusters = (lower_size + BACKUP_CLUSTER - 1) / BACKUP_CLUSTER * BACKUP_CLUSTER;
  guint64 shown = MAX(MIN(upper_size, base_size), clusters);
  const Piece beyond = {clusters, shown - clusters, TRUE, -1, 0};
  guint64 at = 0;
  guint next = 0;

  for (guint i = 0; i <= upper->len; i++) {
    const Piece *piece = i < upper->len ? &g_array_index(upper, Piece, i) : NULL;
    guint64 to = piece ? piece->offset : upper_size;

    add_lower(pieces, lower, &next, at, MIN(to, clusters));
    add(pieces, beyond, at, to);
    if (piece)
      add(pieces, *piece, 0, upper_size);
    at = piece ? piece->offset + piece->length : to;
  }
  return pieces;
}

static GArray *overlay_all(const GArray *sources, guint64 base_size)
{
  const Source *first = &g_array_index(sources, Source, 0);
  GArray *pieces = g_array_ref(first->pieces);
  guint64 size = first->link->volume->size;

  for (guint i = 1; i < sources->len; i++) {
    const Source *upper = &g_array_index(sources, Source, i);
    GArray *both = overlay(upper->pieces, upper->link->volume->size, pieces, size, base_size);

    g_array_unref(pieces);
    pieces = both;
    size = upper->link->volume->size;
  }
  return pieces;
}

/* --- to be read as a volume, from its beginning to its end --- */

typedef struct {
  VtIo io;
  const GArray *pieces;
  guint next;
  guint64 size;
} Merged;

static gboolean merged_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                             GError **error)
{
  Merged *merged = (Merged *)io;

  for (int i = 0; i < n_iov; i++) {
    const Piece *piece;

    while ((piece = &g_array_index(merged->pieces, Piece, merged->next)),
           piece->offset + piece->length <= offset)
      merged->next++;
    for (gsize done = 0; done < iov[i].iov_len;) {
      gssize n = pread(piece->fd, (char *)iov[i].iov_base + done, iov[i].iov_len - done,
                       (off_t)(piece->at + offset - piece->offset + done));

      if (n <= 0 && !(n < 0 && errno == EINTR))
        return vt_set_errno(error, n < 0 ? errno : EIO, "reading %s", io->name);
      done += (gsize)MAX(n, 0);
    }
    offset += iov[i].iov_len;
  }
  return image_check_interrupt(error);
}

static guint64 merged_size(VtIo *io)
{
  return ((Merged *)io)->size;
}

static void merged_free(VtIo *io)
{
  g_free(io);
}

static VtIo *merged_new(const GArray *pieces, const char *name, guint64 size)
{
  static const VtIoOps ops = {.readv = merged_readv, .size = merged_size, .free = merged_free};
  Merged *merged = g_new0(Merged, 1);

  vt_io_init(&merged->io, &ops, name, TRUE);
  merged->pieces = pieces;
  merged->size = size;
  return &merged->io;
}

/* --- an image --- */

static GArray *runs_of(const GArray *pieces)
{
  GArray *runs = g_array_new(FALSE, FALSE, sizeof(BackupRun));

  for (guint i = 0; i < pieces->len; i++) {
    const Piece *piece = &g_array_index(pieces, Piece, i);
    const BackupRun run = {piece->offset, piece->length, piece->zero};

    g_array_append_val(runs, run);
  }
  return runs;
}

static void tell(guint64 bytes, gpointer user_data)
{
}

/* @base: what the new image is based on. */
static gboolean write_image(BackupFolder *folder, const BackupManifest *manifest,
                            BackupVolume *volume, const BackupLink *base, const GArray *pieces,
                            GError **error)
{
  g_autofree char *backing = g_strdup_printf("../%s/%s", base->manifest->id, base->volume->file);
  const BackupImage image = {FALSE, volume->size, backing, base->volume->format};
  g_autoptr(GArray) runs = runs_of(pieces);
  g_autoptr(VtIo) io = merged_new(pieces, volume->file, volume->size);
  int fd = backup_folder_create(folder, manifest->id, volume->file, error);
  g_autofree char *checksum = NULL;
  BackupOut out;
  gboolean ok;

  if (fd < 0)
    return FALSE;
  backup_out_begin(&out, fd, volume->file, TRUE, FALSE);
  ok = backup_image_write(&out, &image, runs, io, NULL, tell, NULL, error) &&
       backup_out_end(&out, &checksum, error);
  backup_out_clear(&out);
  if (close(fd) < 0 && ok)
    ok = vt_set_errno(error, errno, "writing %s", volume->file);
  if (!ok)
    return FALSE;
  volume->file_size = backup_image_file_size(&image, runs);
  g_free(volume->checksum);
  volume->checksum = g_steal_pointer(&checksum);
  g_free(volume->parent);
  volume->parent = g_strdup(base->manifest->id);
  return TRUE;
}

static gboolean is_gone(GPtrArray *gone, const char *id)
{
  return g_ptr_array_find_with_equal_func(gone, id, g_str_equal, NULL);
}

/* @chain of @volume: its last links, up to the first that stays; *base: that. */
static GArray *cut_chain(const GArray *chain, GPtrArray *gone, const BackupLink **base)
{
  GArray *tail = g_array_new(FALSE, FALSE, sizeof(BackupLink));
  guint first = chain->len - 1;

  while (first > 0 && is_gone(gone, g_array_index(chain, BackupLink, first - 1).manifest->id))
    first--;
  *base = first > 0 ? &g_array_index(chain, BackupLink, first - 1) : NULL;
  g_array_append_vals(tail, &g_array_index(chain, BackupLink, first), chain->len - first);
  return tail;
}

static gboolean merge_volume(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                             GPtrArray *gone, GPtrArray *merged, GError **error)
{
  g_autoptr(GArray) chain = backup_folder_chain(folder, manifest, volume, error), tail = NULL,
                    sources = g_array_new(FALSE, TRUE, sizeof(Source)), pieces = NULL;
  const BackupLink *base;

  g_array_set_clear_func(sources, source_clear);
  if (!chain)
    return FALSE;
  tail = cut_chain(chain, gone, &base);
  g_assert(base);
  if (!open_sources(folder, tail, sources, error))
    return FALSE;
  pieces = overlay_all(sources, base->volume->size);
  for (guint i = 0; i + 1 < tail->len; i++) {
    const BackupLink *link = &g_array_index(tail, BackupLink, i);

    volume->merged += 1 + link->volume->merged;
    if (!g_ptr_array_find_with_equal_func(merged, link->manifest->id, g_str_equal, NULL))
      g_ptr_array_add(merged, g_strdup(link->manifest->id));
  }
  return write_image(folder, manifest, volume, base, pieces, error);
}

/* --- a backup --- */

static gboolean is_needed(const BackupVolume *volume, GPtrArray *gone)
{
  return volume->parent && is_gone(gone, volume->parent);
}

gboolean backup_merge_is_needed(const BackupManifest *manifest, GPtrArray *gone)
{
  for (guint i = 0; i < manifest->volumes->len; i++)
    if (is_needed(manifest->volumes->pdata[i], gone))
      return TRUE;
  return FALSE;
}

gboolean backup_merge(BackupFolder *folder, BackupManifest *manifest, GPtrArray *gone,
                      GPtrArray **merged, GError **error)
{
  g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
  gboolean ok = backup_folder_begin(folder, manifest->id, "", error);

  if (!ok)
    return FALSE;
  for (guint i = 0; ok && i < manifest->volumes->len; i++) {
    BackupVolume *volume = manifest->volumes->pdata[i];

    ok = is_needed(volume, gone) ? merge_volume(folder, manifest, volume, gone, ids, error)
                                 : backup_folder_keep(folder, manifest->id, volume->file, error);
  }
  if (!ok) {
    backup_folder_abort(folder, manifest->id);
    return FALSE;
  }
  *merged = g_steal_pointer(&ids);
  return backup_folder_replace(folder, manifest, error);
}
