/* virt-thin - the file of a volume group that is damaged again and again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "image-file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lvm/store.h"
#include "pool/open.h"
#include "util/io.h"

#define RANGE 65536

static int image_fd;
static guint8 *image_data;                  /* the file, shared */
static guint8 has_data[IMAGE_SIZE / RANGE]; /* the pristine one, there */
static guint8 *pristine, *damaged;          /* as made; as it shall be now */

/* No write is after this one: a change of the file shows in its time. */
static void mark_unchanged(void)
{
  static const struct timespec never[2] = {{0, 0}, {0, 0}};

  g_assert_no_errno(futimens(image_fd, never));
}

/* Compare, or put back, what lies between. */
typedef gboolean (*RangeFunc)(guint64 from, guint64 to);

static gboolean is_as_before(guint64 from, guint64 to)
{
  return memcmp(image_data + from, damaged + from, to - from) == 0;
}

static gboolean restore(guint64 from, guint64 to)
{
  for (guint64 at = from; at < to; at += THIN_METADATA_BLOCK)
    if (!is_as_before(at, at + THIN_METADATA_BLOCK))
      memcpy(image_data + at, damaged + at, THIN_METADATA_BLOCK);
  return TRUE;
}

/* What is in the file: most of it is holes. */
static gboolean each_range(RangeFunc func)
{
  off_t from, to = 0;

  while ((from = lseek(image_fd, to, SEEK_DATA)) >= 0) {
    to = lseek(image_fd, from, SEEK_HOLE);
    if (!func((guint64)from / RANGE * RANGE, ((guint64)to + RANGE - 1) / RANGE * RANGE))
      return FALSE;
  }
  return TRUE;
}

/* What was in it at first. */
static gboolean each_old_range(RangeFunc func)
{
  for (guint i = 0; i < IMAGE_SIZE / RANGE; i++)
    if (has_data[i] && !func((guint64)i * RANGE, (guint64)(i + 1) * RANGE))
      return FALSE;
  return TRUE;
}

static gboolean note_range(guint64 from, guint64 to)
{
  memset(has_data + from / RANGE, 1, (to - from) / RANGE);
  return TRUE;
}

static gboolean reset_range(guint64 from, guint64 to)
{
  memcpy(damaged + from, pristine + from, to - from);
  return TRUE;
}

static gboolean read_range(guint64 from, guint64 to)
{
  g_assert_cmpint(pread(image_fd, pristine + from, to - from, (off_t)from), ==, to - from);
  return reset_range(from, to);
}

gboolean image_file_is_changed(void)
{
  struct stat st;

  g_assert_no_errno(fstat(image_fd, &st));
  if ((guint64)st.st_size != IMAGE_SIZE)
    return TRUE;
  return st.st_mtim.tv_sec != 0 && !(each_range(is_as_before) && each_old_range(is_as_before));
}

void image_file_put_back(void)
{
  g_assert_no_errno(ftruncate(image_fd, IMAGE_SIZE));
  each_range(restore);
  each_old_range(restore);
  mark_unchanged();
}

void image_file_reset(void)
{
  each_old_range(reset_range);
}

/* --- making it --- */

#define MUST(call)                                                                                 \
  do {                                                                                             \
    g_autoptr(GError) error = NULL;                                                                \
    if (!(call))                                                                                   \
      g_error("%s: %s", #call, error ? error->message : "");                                       \
  } while (0)

/* Chunks here and there, so that the map has several leaves. */
static void write_some(VolumeGroup *group, const char *name, guint64 first, guint64 step)
{
  VtIo *io;

  MUST((io = pool_volume_open(group, name, 0, "image", &error)) != NULL);
  for (guint64 at = first; at < vt_io_size(io); at += step)
    MUST(vt_io_write(io, name, strlen(name), at, &error));
  vt_io_unref(io);
}

void image_file_make(const char *path)
{
  const PoolNew params = {.size = 24 * MIB, .chunk_size = 65536, .metadata_size = 2 * MIB};
  const LvmCreate create = {.extent_size = 65536, .metadata_area = MIB, .no_autoactivate = TRUE};
  const char *paths[] = {path, NULL}, *gone[] = {"gone", NULL};
  const PoolWhere where = {.devices = paths};
  LvmStore *store;
  VolumeGroup *group;

  g_assert_no_errno(truncate(path, IMAGE_SIZE));
  MUST((store = lvm_store_create("v", paths, &create, &error)) != NULL);
  lvm_store_close(store);
  MUST((group = pool_open_bundled(NULL, &where, &error)) != NULL);
  MUST(pool_create_pool(group, "data", &params, &error));
  MUST(pool_create(group, NULL, "vm-1-disk-0", 17 * MIB, &error));
  MUST(pool_create(group, NULL, "gone", MIB, &error));
  write_some(group, "vm-1-disk-0", 0, 65536);
  write_some(group, "gone", 0, 65536);
  MUST(pool_snapshot(group, "vm-1-disk-0", "s", &error));
  write_some(group, "vm-1-disk-0", 65536, 17 * 65536);
  MUST(pool_clone(group, "snap_vm-1-disk-0_s", "base-9-disk-0", 0, &error));
  MUST(pool_remove(group, gone, FALSE, &error));
  MUST(pool_close(group, &error));
}

/* --- opening it --- */

/* What is in the volumes is nobody's business. */
static gboolean punch_range(guint64 from, guint64 to)
{
  for (guint64 at = from; at < to; at += RANGE) {
    char start[5] = "";

    if (pread(image_fd, start, 4, (off_t)at) == 4 &&
        (strcmp(start, "vm-1") == 0 || strcmp(start, "gone") == 0))
      fallocate(image_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, RANGE);
  }
  return TRUE;
}

gboolean image_file_open(const char *path, Image *image)
{
  image_fd = open(path, O_RDWR | O_CLOEXEC);
  each_range(punch_range);
  image_data = mmap(NULL, IMAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, image_fd, 0);
  g_assert_true(image_data != MAP_FAILED);
  pristine = g_malloc0(IMAGE_SIZE); /* of which what is never written takes no memory */
  damaged = g_malloc0(IMAGE_SIZE);
  each_range(note_range);
  each_old_range(read_range);
  mark_unchanged();
  return image_find(image, damaged, IMAGE_SIZE);
}
