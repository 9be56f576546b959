/* virt-thin - a volume group as a stream: writing it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "archive/archive-private.h"
#include "cli/progress.h"
#include "image/interrupt.h"
#include "util/error.h"
#include "util/memory.h"

#define PIECE STREAM_MAX_DATA
#define GRAIN (64u << 10) /* what is zero is left out by that */
#define RUNS 1024

typedef struct {
  ArchiveSource *source;
  StreamWriter *writer;
  CliProgress *progress;
  guint64 done;
  guint8 *buffer; /* PIECE bytes */
} Sending;

/* --- descriptions --- */

static gboolean write_part(StreamWriter *writer, ArchiveSource *source, const char *text,
                           gsize length, guint64 left, GError **error)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&builder, "{sv}", ARCHIVE_TEXT,
                        g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, text, length, 1));
  g_variant_builder_add(&builder, "{sv}", ARCHIVE_LEFT, g_variant_new_uint64(left));
  if (left == 0) {
    g_variant_builder_add(&builder, "{sv}", ARCHIVE_POOLS, source->pools);
    g_variant_builder_add(&builder, "{sv}", ARCHIVE_FILES, g_variant_new_boolean(source->files));
  }
  return stream_write_description(writer, g_variant_builder_end(&builder), error);
}

static gboolean write_text(StreamWriter *writer, ArchiveSource *source, GError **error)
{
  gsize length;
  g_autofree char *text = lvm_vg_format(source->vg, &length);
  guint64 parts = (length + ARCHIVE_PART - 1) / ARCHIVE_PART;

  for (guint64 i = 0; i < parts; i++)
    if (!write_part(writer, source, text + i * ARCHIVE_PART,
                    MIN(ARCHIVE_PART, length - i * ARCHIVE_PART), parts - 1 - i, error))
      return FALSE;
  return TRUE;
}

/* --- a volume's data --- */

/* Of what is mapped zeros are told, too; of a linear volume they are left out. */
static gboolean write_piece(Sending *s, guint64 offset, gsize length, gboolean linear,
                            GError **error)
{
  gsize at = 0;

  while (at < length) {
    gboolean zero = vt_is_zero(s->buffer + at, MIN(GRAIN, length - at));
    gsize end = at;

    while (end < length && vt_is_zero(s->buffer + end, MIN(GRAIN, length - end)) == zero)
      end = MIN(length, end + GRAIN);
    if (zero ? !linear && !stream_write_mapped_zero(s->writer, offset + at, end - at, error)
             : !stream_write_data(s->writer, offset + at, s->buffer + at, end - at, error))
      return FALSE;
    at = end;
  }
  return TRUE;
}

static gboolean write_range(Sending *s, VtIo *io, guint64 offset, guint64 length, gboolean linear,
                            GError **error)
{
  for (guint64 end = offset + length; offset < end;) {
    gsize n = MIN(PIECE - offset % PIECE, end - offset);

    if (!image_check_interrupt(error) || !vt_io_read(io, s->buffer, n, offset, error) ||
        !write_piece(s, offset, n, linear, error))
      return FALSE;
    offset += n;
    s->done += n;
    cli_progress_update(s->progress, s->done);
  }
  return TRUE;
}

/* Runs may go on behind the volume's end, where its base is larger. */
static gboolean write_run(Sending *s, VtIo *io, guint64 size, const PoolDeltaRun *run,
                          GError **error)
{
  guint64 length = run->offset < size ? MIN(run->length, size - run->offset) : 0;

  if (length == 0)
    return TRUE;
  if (run->kind == POOL_DELTA_LEFT_ONLY)
    return stream_write_zero(s->writer, run->offset, length, error);
  return write_range(s, io, run->offset, length, FALSE, error);
}

static gboolean write_thin(Sending *s, VtIo *io, const ArchiveVolume *volume, GError **error)
{
  g_autoptr(GArray) runs = g_array_new(FALSE, FALSE, sizeof(PoolDeltaRun));
  const ArchiveVolume *base = volume->base >= 0 ? s->source->volumes->pdata[volume->base] : NULL;
  guint64 offset = 0;

  while (offset != G_MAXUINT64) {
    g_array_set_size(runs, 0);
    if (!pool_delta(s->source->group, base ? base->read : NULL, volume->read, 0, &offset, RUNS,
                    runs, error))
      return FALSE;
    for (guint i = 0; i < runs->len; i++)
      if (!write_run(s, io, volume->size, &g_array_index(runs, PoolDeltaRun, i), error))
        return FALSE;
  }
  return TRUE;
}

/* --- volumes --- */

static gboolean begin_volume(Sending *s, const ArchiveVolume *volume, GError **error)
{
  static char *none[] = {NULL};
  LvmLv *lv = lvm_vg_find_lv(s->source->vg, volume->name);
  g_auto(GStrv) tags = lvm_lv_tags(lv);
  StreamVolume v = {.name = volume->name,
                    .kind = !volume->pool            ? STREAM_LINEAR
                            : lvm_lv_is_writable(lv) ? STREAM_VOLUME
                                                     : STREAM_TEMPLATE,
                    .pool = volume->pool,
                    .uuid = (char *)lvm_lv_uuid(lv),
                    .size = volume->size,
                    .creation_time = lvm_lv_creation_time(lv),
                    .tags = none}; /* those are in the text */

  if (volume->base >= 0) {
    v.base = STREAM_BASE_EARLIER;
    v.base_index = (guint)volume->base;
  }
  return stream_write_begin(s->writer, &v, NULL, error);
}

static gboolean write_volume(Sending *s, const ArchiveVolume *volume, GError **error)
{
  g_autofree char *opener = g_strdup_printf("virt-thin archive, pid %d", (int)getpid());
  g_autoptr(VtIo) io = pool_volume_open(s->source->group, volume->read, TRUE, opener, error);
  gboolean ok;

  if (!io)
    return FALSE;
  if (vt_io_size(io) < volume->size)
    return vt_set_error(error, EIO, "volume %s became smaller while it was read", volume->name);
  ok = begin_volume(s, volume, error) &&
       (volume->pool ? write_thin(s, io, volume, error)
                     : write_range(s, io, 0, volume->size, TRUE, error)) &&
       stream_write_end_volume(s->writer, error);
  if (!ok)
    g_prefix_error(error, "volume %s: ", volume->name);
  return ok;
}

static gboolean write_all(Sending *s, GError **error)
{
  if (!write_text(s->writer, s->source, error))
    return FALSE;
  for (guint i = 0; i < s->source->volumes->len; i++)
    if (!write_volume(s, s->source->volumes->pdata[i], error))
      return FALSE;
  return stream_write_end(s->writer, error);
}

gboolean archive_write(VolumeGroup *group, int fd, const char *name, const ArchiveOptions *options,
                       GError **error)
{
  g_autoptr(ArchiveSource) source = archive_source_new(group, options, error);
  g_autoptr(StreamWriter) writer = NULL;
  g_autofree guint8 *buffer = g_malloc(PIECE);
  StreamHeader header = {.flags = STREAM_ARCHIVE};
  Sending sending = {.source = source, .buffer = buffer};
  gboolean ok;

  if (!source)
    return FALSE;
  for (guint i = 0; i < source->volumes->len; i++)
    header.estimate += ((ArchiveVolume *)source->volumes->pdata[i])->data;
  if (getrandom(header.id, sizeof header.id, 0) != sizeof header.id)
    return vt_set_errno(error, errno, "getrandom()");
  writer = sending.writer = stream_writer_new(fd, name, &header, options->zstd, error);
  if (!writer)
    return FALSE;
  sending.progress = cli_progress_new(header.estimate, "archiving %s", lvm_vg_name(source->vg));
  ok = write_all(&sending, error);
  cli_progress_free(sending.progress);
  return ok;
}
