/* virt-thin - raw images in and out of volumes: holes are neither read nor written
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * In: data is read in whole chunks of the pool, and a chunk of zeros is not written. Whole chunks,
 * because a pool may leave new chunks as they are (lvcreate
 * --zero n): what is written into one must cover it. Nor, over a volume that is there, is a chunk
 * written that holds it all already: it may be shared, and stays so.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image/copy.h"
#include "image/interrupt.h"
#include "util/memory.h"
#include "util/size.h"

#define BUFFER_SIZE (4u << 20)
#define DEFAULT_GRANULE (64u << 10)

#define WHERE_IT_STANDS G_MAXUINT64

/* *got is less than @length at the end alone. FALSE: errno, or interrupted. */
static gboolean read_all(int fd, char *buffer, gsize length, guint64 offset, gsize *got)
{
  for (*got = 0; *got < length;) {
    ssize_t n = offset == WHERE_IT_STANDS
                    ? read(fd, buffer + *got, length - *got)
                    : pread(fd, buffer + *got, length - *got, (off_t)(offset + *got));

    if (n < 0 && (errno != EINTR || image_interrupted()))
      return FALSE;
    if (n == 0)
      break;
    *got += (gsize)MAX(n, 0);
  }
  return TRUE;
}

/* --- in --- */

typedef struct {
  int fd;
  const char *name;
  guint64 size;
  const char *head;
  gsize head_length;
  gboolean seekable;
  ImageSource *source;
  VtIo *volume;
  guint64 volume_size;
  ImageOver over;
  guint64 granule;
  char *buffer, *there;
  gsize buffer_size;          /* a multiple of granule, where that is not larger */
  guint64 zero_from, zero_to; /* gathered, not yet zeroed */
  CliProgress *progress;
} CopyIn;

/* Zero what has been gathered. */
static gboolean end_zeros(CopyIn *copy, GError **error)
{
  guint64 from = copy->zero_from, to = copy->zero_to;

  copy->zero_from = copy->zero_to = 0;
  return copy->over == IMAGE_OVER_ZEROS || from == to ||
         vt_io_zero(copy->volume, from, to - from, VT_IO_ZERO_MAY_UNMAP, error);
}

static gboolean add_zeros(CopyIn *copy, guint64 from, guint64 to, GError **error)
{
  if (copy->zero_to != from) {
    if (!end_zeros(copy, error))
      return FALSE;
    copy->zero_from = from;
  }
  copy->zero_to = to;
  return TRUE;
}

/* Write what the volume does not hold already, in whole granules. What it cannot tell is
 * written. */
static gboolean write_data(CopyIn *copy, const char *data, gsize length, guint64 offset,
                           GError **error)
{
  gsize from = 0;

  if (copy->over == IMAGE_OVER_EQUAL && vt_io_read(copy->volume, copy->there, length, offset, NULL))
    for (gsize at = 0, step; at < length; at += step) {
      step = MIN(copy->granule, length - at);
      if (memcmp(data + at, copy->there + at, step) != 0)
        continue;
      if (from < at && !vt_io_write(copy->volume, data + from, at - from, offset + from, error))
        return FALSE;
      from = at + step;
    }
  return from == length ||
         vt_io_write(copy->volume, data + from, length - from, offset + from, error);
}

/* One buffer's worth at @offset, in runs of zero and other granules. */
static gboolean put(CopyIn *copy, guint64 offset, gsize length, GError **error)
{
  gsize done = 0;

  while (done < length) {
    gsize step = MIN(copy->granule, length - done), run = 0;
    gboolean zero = vt_is_zero(copy->buffer + done, step);

    while (done + run < length &&
           vt_is_zero(copy->buffer + done + run, MIN(copy->granule, length - done - run)) == zero)
      run += MIN(copy->granule, length - done - run);
    if (copy->granule > copy->buffer_size)
      zero = FALSE; /* part of a chunk only: it has to be covered */
    if (zero ? !add_zeros(copy, offset + done, offset + done + run, error)
             : !(end_zeros(copy, error) &&
                 write_data(copy, copy->buffer + done, run, offset + done, error)))
      return FALSE;
    done += run;
  }
  return TRUE;
}

/* Fill the buffer; *got is less than asked for at the end alone. */
static gboolean fill(CopyIn *copy, guint64 offset, gsize length, gsize *got, GError **error)
{
  gsize more;
  gboolean ok;

  *got = 0;
  if (copy->source->image) {
    gssize n = image_read(copy->source->image, copy->buffer, length, offset, error);
    *got = (gsize)MAX(n, 0);
    return n >= 0;
  }
  if (!copy->seekable && copy->head_length) {
    *got = MIN(copy->head_length, length);
    memcpy(copy->buffer, copy->head, *got);
    copy->head += *got;
    copy->head_length -= *got;
  }
  ok = read_all(copy->fd, copy->buffer + *got, length - *got,
                copy->seekable ? offset : WHERE_IT_STANDS, &more);
  *got += more;
  return ok || (image_check_interrupt(error) &&
                vt_set_errno(error, errno, "reading %s at offset %" G_GUINT64_FORMAT, copy->name,
                             offset + *got));
}

/* Zeros from the source's end to that of the chunk it ends in. */
static gsize pad(CopyIn *copy, guint64 offset, gsize got)
{
  guint64 end = offset + got,
          room = MIN(copy->volume_size - MIN(end, copy->volume_size), copy->buffer_size - got);
  gsize padding = (gsize)MIN((copy->granule - end % copy->granule) % copy->granule, room);

  memset(copy->buffer + got, 0, padding);
  return got + padding;
}

static gboolean make_room(CopyIn *copy, guint64 size, GError **error)
{
  if (size > copy->volume_size && copy->source->grow) {
    if (!copy->source->grow(size, copy->source->user_data, error))
      return FALSE;
    copy->volume_size = vt_io_size(copy->volume);
  }
  if (size > copy->volume_size) {
    g_autofree char *its = vt_size_exact(copy->volume_size);

    return vt_set_error(error, EINVAL, "%s is larger than volume %s with its %s", copy->name,
                        vt_io_name(copy->volume), its);
  }
  return TRUE;
}

/* [from, to) of the source, all of it to be read; *end is where it ended. */
static gboolean copy_range(CopyIn *copy, guint64 from, guint64 to, guint64 *end, GError **error)
{
  while (from < to) {
    gsize length = (gsize)MIN(to - from, copy->buffer_size), got, padded;

    if (!image_check_interrupt(error) || !fill(copy, from, length, &got, error))
      return FALSE;
    if (!make_room(copy, from + got, error))
      return FALSE;
    padded = got < length || from + got == copy->size ? pad(copy, from, got) : got;
    if (!put(copy, from, padded, error))
      return FALSE;
    from += got;
    *end = MAX(*end, from - got + padded);
    cli_progress_update(copy->progress, from);
    if (got < length && copy->size == IMAGE_UNKNOWN_SIZE)
      copy->source->size = from;
    if (got < length)
      return copy->size == IMAGE_UNKNOWN_SIZE ||
             vt_set_error(error, EIO,
                          "%s ends at %" G_GUINT64_FORMAT " bytes: it has been truncated",
                          copy->name, from);
  }
  return TRUE;
}

static void seek_data(CopyIn *copy, guint64 offset, guint64 *from, guint64 *to)
{
  off_t data = lseek(copy->fd, (off_t)offset, SEEK_DATA), hole;

  *to = copy->size;
  if (data < 0) { /* a file system that knows no holes: all is data */
    *from = errno == ENXIO ? copy->size : offset;
    return;
  }
  *from = (guint64)data;
  hole = lseek(copy->fd, data, SEEK_HOLE);
  if (hole >= 0)
    *to = (guint64)hole;
}

/* The next run of data at or behind @offset, in whole granules: [*from, *to); *from at the end of
 * the source when there is none. */
static gboolean next_data(CopyIn *copy, guint64 offset, guint64 *from, guint64 *to, GError **error)
{
  if (!copy->source->image)
    seek_data(copy, offset, from, to);
  else if (!image_next_data(copy->source->image, offset, from, to, error))
    return FALSE;
  if (*from < copy->size)
    *from = MAX(offset, *from / copy->granule * copy->granule);
  *to = MIN(*to + (copy->granule - *to % copy->granule) % copy->granule, copy->size);
  return TRUE;
}

static gboolean copy_seekable(CopyIn *copy, guint64 *end, GError **error)
{
  guint64 offset = 0;

  while (offset < copy->size) {
    guint64 from, to;

    if (!next_data(copy, offset, &from, &to, error))
      return FALSE;
    if (from > offset && !add_zeros(copy, offset, from, error))
      return FALSE;
    *end = MAX(*end, from);
    if (from < to && !copy_range(copy, from, to, end, error))
      return FALSE;
    offset = MAX(to, from);
  }
  return TRUE;
}

gboolean image_copy_in(ImageSource *source, VtIo *volume, ImageOver over, CliProgress *progress,
                       GError **error)
{
  CopyIn copy = {.source = source,
                 .fd = source->fd,
                 .name = source->name,
                 .size = source->size,
                 .head = source->head,
                 .head_length = source->head_length,
                 .volume = volume,
                 .over = over,
                 .progress = progress};
  guint64 end = 0;
  gboolean ok;

  image_catch_interrupts();
  copy.seekable = copy.size != IMAGE_UNKNOWN_SIZE;
  copy.volume_size = vt_io_size(volume);
  copy.granule = vt_io_chunk_size(volume) ? vt_io_chunk_size(volume) : DEFAULT_GRANULE;
  copy.buffer_size =
      copy.granule <= BUFFER_SIZE ? BUFFER_SIZE / copy.granule * copy.granule : BUFFER_SIZE;
  copy.buffer = g_malloc(copy.buffer_size);
  copy.there = over == IMAGE_OVER_EQUAL ? g_malloc(copy.buffer_size) : NULL;
  if (copy.seekable)
    ok = copy_seekable(&copy, &end, error);
  else
    ok = copy_range(&copy, 0, copy.size, &end, error);
  ok = ok && (end >= copy.volume_size || add_zeros(&copy, end, copy.volume_size, error)) &&
       end_zeros(&copy, error) && vt_io_flush(volume, error);
  g_free(copy.buffer);
  g_free(copy.there);
  return ok;
}

/* --- out --- */

typedef struct {
  VtIo *volume;
  int fd;
  const char *name;
  ImageTarget target;
  guint64 base; /* position of the volume's first byte in a file or device */
  guint64 granule;
  char *buffer;
  GPtrArray *lost;
  guint64 lost_from, lost_to;
  char *lost_why;
  CliProgress *progress;
} CopyOut;

static gboolean write_bytes(CopyOut *copy, const char *data, gsize length, guint64 offset,
                            GError **error)
{
  while (length) {
    ssize_t n = copy->target == IMAGE_DENSE
                    ? write(copy->fd, data, length)
                    : pwrite(copy->fd, data, length, (off_t)(copy->base + offset));

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "writing %s", copy->name);
    if (n < 0 && !image_check_interrupt(error))
      return FALSE;
    n = MAX(n, 0);
    data += n;
    offset += (guint64)n;
    length -= (gsize)n;
  }
  return TRUE;
}

/* The buffer's first @length bytes; zeros are left out where that will do. */
static gboolean write_buffer(CopyOut *copy, guint64 offset, gsize length, GError **error)
{
  for (gsize done = 0; done < length;) {
    gsize part = MIN(length - done, DEFAULT_GRANULE);

    if (!(copy->target == IMAGE_SPARSE && vt_is_zero(copy->buffer + done, part)) &&
        !write_bytes(copy, copy->buffer + done, part, offset + done, error))
      return FALSE;
    done += part;
  }
  return TRUE;
}

static gboolean write_zeros(CopyOut *copy, guint64 offset, guint64 length, GError **error)
{
  static const char zeros[64 << 10];

  if (copy->target == IMAGE_SPARSE)
    return TRUE;
  if (copy->target == IMAGE_DEVICE &&
      fallocate(copy->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(copy->base + offset),
                (off_t)length) == 0)
    return TRUE;
  while (length) {
    gsize step = (gsize)MIN(length, sizeof zeros);

    if (!image_check_interrupt(error) || !write_bytes(copy, zeros, step, offset, error))
      return FALSE;
    offset += step;
    length -= step;
  }
  return TRUE;
}

static void lost_free(gpointer lost)
{
  g_free(((ImageLost *)lost)->text);
  g_free(lost);
}

GPtrArray *image_lost_new(void)
{
  return g_ptr_array_new_with_free_func(lost_free);
}

static void tell_lost(CopyOut *copy)
{
  ImageLost *lost = g_new0(ImageLost, 1);

  lost->offset = copy->lost_from;
  lost->length = copy->lost_to - copy->lost_from;
  lost->text = g_strdup_printf(
      "bytes %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT " of volume %s are lost: %s",
      copy->lost_from, copy->lost_to - 1, vt_io_name(copy->volume), copy->lost_why);
  g_ptr_array_add(copy->lost, lost);
}

static void end_lost(CopyOut *copy)
{
  if (copy->lost_from < copy->lost_to)
    tell_lost(copy);
  copy->lost_from = copy->lost_to = 0;
  g_clear_pointer(&copy->lost_why, g_free);
}

/* Neighbouring ranges become one; the first one's reason stands for all. */
static void add_lost(CopyOut *copy, guint64 offset, guint64 length, const GError *why)
{
  if (copy->lost_to != offset || !copy->lost_why) {
    end_lost(copy);
    copy->lost_from = offset;
    copy->lost_why = g_strdup(why->message);
  }
  copy->lost_to = offset + length;
}

static gboolean is_damage(const GError *error)
{
  return error->domain == VT_ERROR && (error->code == EBADMSG || error->code == EIO);
}

/* Read into the buffer; what cannot be read granule by granule becomes zero and is noted as
 * lost. */
static gboolean read_what_there_is(CopyOut *copy, guint64 offset, gsize length, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (vt_io_read(copy->volume, copy->buffer, length, offset, &local))
    return TRUE;
  if (!is_damage(local)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
  }
  for (gsize done = 0; done < length;) {
    g_autoptr(GError) why = NULL;
    gsize step = MIN(length - done, (gsize)(copy->granule - (offset + done) % copy->granule));

    if (!vt_io_read(copy->volume, copy->buffer + done, step, offset + done, &why)) {
      if (!is_damage(why)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
      }
      memset(copy->buffer + done, 0, step);
      add_lost(copy, offset + done, step, why);
    }
    done += step;
  }
  return TRUE;
}

static gboolean copy_mapped(CopyOut *copy, guint64 offset, guint64 length, GError **error)
{
  while (length) {
    gsize step = (gsize)MIN(length, BUFFER_SIZE);

    if (!image_check_interrupt(error) || !read_what_there_is(copy, offset, step, error) ||
        !write_buffer(copy, offset, step, error))
      return FALSE;
    offset += step;
    length -= step;
    cli_progress_update(copy->progress, offset);
  }
  return TRUE;
}

static gboolean copy_out_extents(CopyOut *copy, guint64 size, GError **error)
{
  guint64 offset = 0;

  while (offset < size) {
    g_autoptr(GError) local = NULL;
    guint64 length = 0;
    gboolean mapped = FALSE;

    if (!image_check_interrupt(error))
      return FALSE;
    if (!vt_io_extent(copy->volume, offset, size - offset, &length, &mapped, &local)) {
      if (!is_damage(local) || length == 0) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
      }
      add_lost(copy, offset, length, local);
    }
    if (mapped ? !copy_mapped(copy, offset, length, error)
               : !write_zeros(copy, offset, length, error))
      return FALSE;
    offset += length;
    cli_progress_update(copy->progress, offset);
  }
  return TRUE;
}

/* Where the file or device stands. */
static gboolean find_base(CopyOut *copy, GError **error)
{
  off_t base = copy->target == IMAGE_DENSE ? 0 : lseek(copy->fd, 0, SEEK_CUR);

  copy->base = (guint64)base;
  return base >= 0 || vt_set_errno(error, errno, "%s", copy->name);
}

/* Holes at the end are written by nothing else. */
static gboolean set_end(CopyOut *copy, guint64 size, GError **error)
{
  return copy->target != IMAGE_SPARSE || ftruncate(copy->fd, (off_t)(copy->base + size)) == 0 ||
         vt_set_errno(error, errno, "%s: setting its size to %" G_GUINT64_FORMAT " bytes",
                      copy->name, copy->base + size);
}

gboolean image_copy_out(VtIo *volume, int fd, const char *name, ImageTarget target, GPtrArray *lost,
                        CliProgress *progress, GError **error)
{
  CopyOut copy = {.volume = volume,
                  .fd = fd,
                  .name = name,
                  .target = target,
                  .lost = lost,
                  .progress = progress};
  guint64 size = vt_io_size(volume);
  gboolean ok;

  image_catch_interrupts();
  copy.granule = vt_io_chunk_size(volume) ? vt_io_chunk_size(volume) : DEFAULT_GRANULE;
  if (!find_base(&copy, error) || !set_end(&copy, size, error))
    return FALSE;
  copy.buffer = g_malloc(BUFFER_SIZE);
  ok = copy_out_extents(&copy, size, error);
  end_lost(&copy);
  if (ok && target == IMAGE_SPARSE)
    lseek(fd, (off_t)(copy.base + size), SEEK_SET);
  g_free(copy.buffer);
  return ok;
}

/* --- bytes --- */

static gssize read_bytes(int fd, char *buffer, gsize length, guint64 offset, GError **error)
{
  gsize got;

  if (read_all(fd, buffer, length, offset, &got))
    return (gssize)got;
  if (image_check_interrupt(error))
    vt_set_errno(error, errno, "reading");
  return -1;
}

/* Has the file nothing there? */
static gboolean is_hole(int fd, guint64 offset, gsize length)
{
  off_t data = lseek(fd, (off_t)offset, SEEK_DATA);
  struct stat st;

  if (data >= 0)
    return (guint64)data >= offset + length;
  return errno == ENXIO && fstat(fd, &st) == 0 && (guint64)st.st_size >= offset + length;
}

int image_open_output(const char *path, gboolean truncate, gboolean *created, GError **error)
{
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  *created = fd >= 0;
  if (fd < 0 && errno == EEXIST)
    fd = open(path, O_WRONLY | (truncate ? O_TRUNC : 0) | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT && g_file_test(path, G_FILE_TEST_IS_SYMLINK))
    vt_set_error(error, ENOENT, "opening %s: it is a symbolic link to what is not there", path);
  else if (fd < 0)
    vt_set_errno(error, errno, "opening %s", path);
  return fd;
}

gssize image_read_file(gpointer fd, char *buffer, gsize length, guint64 offset, GError **error)
{
  if (is_hole(*(int *)fd, offset, length)) {
    memset(buffer, 0, length);
    return (gssize)length;
  }
  return read_bytes(*(int *)fd, buffer, length, offset, error);
}

gssize image_read_stream(gpointer fd, char *buffer, gsize length, guint64 offset, GError **error)
{
  return read_bytes(*(int *)fd, buffer, length, WHERE_IT_STANDS, error);
}

gboolean image_copy_bytes(ImageRead read, gpointer source, guint64 limit, int fd, const char *name,
                          ImageTarget target, guint64 *copied, CliProgress *progress,
                          GError **error)
{
  g_autofree char *buffer = g_malloc(BUFFER_SIZE);
  CopyOut copy = {.fd = fd, .name = name, .target = target, .buffer = buffer};
  gsize length;
  gssize got;

  *copied = 0;
  image_catch_interrupts();
  if (!find_base(&copy, error))
    return FALSE;
  do {
    length = (gsize)MIN(limit - *copied, BUFFER_SIZE);
    got = image_check_interrupt(error) ? read(source, buffer, length, *copied, error) : -1;
    if (got < 0 || !write_buffer(&copy, *copied, (gsize)got, error))
      return FALSE;
    *copied += (guint64)got;
    cli_progress_update(progress, *copied);
  } while (got > 0 && (gsize)got == length);
  if (!set_end(&copy, *copied, error))
    return FALSE;
  if (target != IMAGE_DENSE)
    lseek(fd, (off_t)(copy.base + *copied), SEEK_SET);
  return TRUE;
}
