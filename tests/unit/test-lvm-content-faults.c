/* virt-thin - tests: a device cannot be looked at: what is taken for free, and what is told of it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The linker hands the calls of the system and of libblkid to what is here (local.mk): one of them
 * fails when it is called for the n-th time. A file can say that it is a block device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <blkid.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lvm-helper.h"
#include "lvm/content.h"
#include "lvm/metadata-area.h"

#define SIZE (16 * MIB)
#define EXTENTS ((const LvmRange){MIB, 15 * MIB})

static char *folder;

static int setup(void **state)
{
  folder = lvm_test_folder();
  return 0;
}

/* --- what fails --- */

typedef enum {
  NONE,
  PREAD,
  SHORT_PREAD,
  LSEEK,
  FSTAT,
  FALLOCATE,
  FDATASYNC,
  NEW_PROBE,
  SET_DEVICE,
  DO_PROBE
} Call;

static struct {
  Call call;
  guint countdown;
  gboolean met;
  const char *udev; /* of a block device; NULL: all are files */
  gboolean is_partition;
} faults;

static gboolean fails(Call call)
{
  if (call != faults.call || faults.countdown-- > 0)
    return FALSE;
  faults.call = NONE;
  faults.met = TRUE;
  return TRUE;
}

static void arm(Call call, guint countdown)
{
  faults.call = call;
  faults.countdown = countdown;
  faults.met = FALSE;
}

static int teardown(void **state)
{
  memset(&faults, 0, sizeof faults);
  lvm_test_clean(folder);
  return 0;
}

#define FAIL_WITH(err, value)                                                                      \
  do {                                                                                             \
    errno = err;                                                                                   \
    return value;                                                                                  \
  } while (0)

ssize_t __real_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t offset)
{
  if (fails(PREAD))
    FAIL_WITH(EIO, -1);
  return fails(SHORT_PREAD) ? 0 : __real_pread(fd, buf, n, offset);
}

off_t __real_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence);
off_t __wrap_lseek(int fd, off_t offset, int whence)
{
  if (fails(LSEEK))
    FAIL_WITH(EIO, -1);
  return __real_lseek(fd, offset, whence);
}

int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
  if (fails(FALLOCATE))
    FAIL_WITH(EIO, -1);
  return __real_fallocate(fd, mode, offset, length);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
  if (fails(FDATASYNC))
    FAIL_WITH(EIO, -1);
  return __real_fdatasync(fd);
}

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st)
{
  int rc;

  if (fails(FSTAT))
    FAIL_WITH(EIO, -1);
  rc = __real_fstat(fd, st);
  if (faults.udev)
    st->st_mode = S_IFBLK | 0600;
  return rc;
}

blkid_probe __real_blkid_new_probe(void);
blkid_probe __wrap_blkid_new_probe(void);
blkid_probe __wrap_blkid_new_probe(void)
{
  if (fails(NEW_PROBE))
    FAIL_WITH(ENOMEM, NULL);
  return __real_blkid_new_probe();
}

int __real_blkid_probe_set_device(blkid_probe probe, int fd, blkid_loff_t offset,
                                  blkid_loff_t size);
int __wrap_blkid_probe_set_device(blkid_probe probe, int fd, blkid_loff_t offset,
                                  blkid_loff_t size);
int __wrap_blkid_probe_set_device(blkid_probe probe, int fd, blkid_loff_t offset, blkid_loff_t size)
{
  if (fails(SET_DEVICE))
    FAIL_WITH(0, -1); /* it does not always say why */
  return __real_blkid_probe_set_device(probe, fd, offset, size);
}

int __real_blkid_do_probe(blkid_probe probe);
int __wrap_blkid_do_probe(blkid_probe probe);
int __wrap_blkid_do_probe(blkid_probe probe)
{
  return fails(DO_PROBE) ? -1 : __real_blkid_do_probe(probe);
}

gboolean __real_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error)
{
  if (!faults.udev || !g_str_has_prefix(path, "/run/udev/data/b"))
    return __real_g_file_get_contents(path, text, length, error);
  *text = g_strdup(faults.udev);
  return TRUE;
}

gboolean __real_g_file_test(const char *path, GFileTest test);
gboolean __wrap_g_file_test(const char *path, GFileTest test);
gboolean __wrap_g_file_test(const char *path, GFileTest test)
{
  return faults.udev && g_str_has_prefix(path, "/sys/dev/block/") &&
                 g_str_has_suffix(path, "/partition")
             ? faults.is_partition
             : __real_g_file_test(path, test);
}

/* --- files --- */

static void put(const char *path, guint64 offset, const void *data, gsize length)
{
  int fd = open(path, O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, data, length, (off_t)offset), length);
  close(fd);
}

/* A DOS partition table with a partition of 2 MiB, where there may be a label. */
static void put_table(const char *path, gboolean label)
{
  const guint8 entry[16] = {0, 0, 0, 0, 0x8e, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10};

  put(path, 446, entry, sizeof entry);
  put(path, 510, "\x55\xaa", 2);
  if (label)
    put(path, 2 * MIB + 512, "LABELONE\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0LVM2 001", 32);
}

static void put_md_mark(const char *path)
{
  const guint32 mark[] = {GUINT32_TO_LE(0xa92b4efc), 0, GUINT32_TO_LE(90)};

  put(path, SIZE - 128 * 1024 / 2, mark, sizeof mark);
}

/* What remains when the making of a VG is cut short. */
static void put_remains(const char *path)
{
  const LvmRange range = {4096, MIB - 4096};
  VtIo *io = vt_io_open_file(path, FALSE, NULL);
  LvmMetadataArea *area = lvm_metadata_area_new(io, &range);
  GError *error = NULL;

  assert_ok(lvm_metadata_area_write_header(area, NULL, NULL, &error), error);
  lvm_metadata_area_free(area);
  vt_io_unref(io);
}

/* --- may it become one? --- */

typedef gboolean (*Question)(const char *path, GError **error);

/* Call @call fails for the first time, the second, ..., until none does: is the answer ever that
 * @path is free? How many times the call was made to fail. */
static guint ask_with_faults(Question ask, const char *path, Call call, gboolean *free)
{
  guint n = 0;

  *free = FALSE;
  for (gboolean met = TRUE; met; n += met) {
    GError *error = NULL;
    gboolean ok;

    arm(call, n);
    ok = ask(path, &error);
    met = faults.met;
    arm(NONE, 0);
    assert_int_equal(ok, error == NULL);
    if (met && error)
      assert_true(error->code == EIO || error->code == ENOMEM || error->code == EEXIST);
    *free |= met && ok;
    g_clear_error(&error);
  }
  return n;
}

/* Whatever cannot be looked at, what has something on it is not free; nor is what is empty, where
 * all of it must be looked at. */
static void test_not_free(void **state)
{
  static const Call calls[] = {PREAD, LSEEK, FSTAT, NEW_PROBE, SET_DEVICE, DO_PROBE};
  g_autofree char *data = lvm_test_file(folder, "data", SIZE),
                  *image = lvm_test_file(folder, "image", SIZE), *pv;
  gboolean free;

  lvm_store_close(lvm_test_create(folder, 1, SIZE, MIB, &pv));
  put(data, 9 * MIB, "x", 1);
  put(image, 0, "QFI\xfb\0\0\0\3", 8);
  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    assert_true(ask_with_faults(lvm_content_check_free, data, calls[i], &free) > 0);
    assert_false(free);
    ask_with_faults(lvm_content_check_free, pv, calls[i], &free);
    assert_false(free);
    ask_with_faults(lvm_content_check_free, image, calls[i], &free);
    assert_false(free);
    ask_with_faults(lvm_content_check_unmarked, image, calls[i], &free);
    assert_false(free);
    ask_with_faults(lvm_content_clear, pv, calls[i], &free);
    assert_false(free);
  }
}

/* It is not cleared, or not said to be, where its clearing fails, or cannot be looked at. */
static void test_not_cleared(void **state)
{
  static const Call calls[] = {FALLOCATE, FDATASYNC, NEW_PROBE, SET_DEVICE, DO_PROBE};
  g_autofree char *empty = lvm_test_file(folder, "empty", 0);
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
    g_autofree char *path = lvm_test_file(folder, "file", SIZE);
    gboolean free;

    put(path, 9 * MIB, "x", 1);
    assert_true(ask_with_faults(lvm_content_clear, path, calls[i], &free) > 0);
    assert_false(free);
  }
  assert_ok(lvm_content_clear(empty, &error), error); /* nothing is there to be cleared */
}

/* Where nothing is but zeros and the remains of a making, it is free, or not known to be; a file
 * may end before its end. */
static void test_remains(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", SIZE), *zeros = g_malloc0(MIB);
  GError *error = NULL;
  gboolean free;

  put_remains(path);
  put(path, 3 * MIB, zeros, MIB);
  assert_ok(lvm_content_check_free(path, &error), error);
  assert_true(ask_with_faults(lvm_content_check_free, path, PREAD, &free) > 2);
  assert_true(ask_with_faults(lvm_content_check_free, path, LSEEK, &free) > 2);
  assert_true(ask_with_faults(lvm_content_check_free, path, SHORT_PREAD, &free) > 2);
}

/* --- is it one of its own, and where in it is one? --- */

/* Nothing is known of what cannot be looked at: no answer, or the same. */
static void test_unknown(void **state)
{
  static const Call calls[] = {PREAD, SHORT_PREAD, FSTAT, NEW_PROBE, SET_DEVICE, DO_PROBE};
  g_autofree char *path = lvm_test_file(folder, "file", SIZE),
                  *image = lvm_test_file(folder, "image", SIZE), *owner, *inside, *of_image;

  put_table(path, TRUE);
  put(image, 0, "QFI\xfb\0\0\0\3", 8);
  owner = lvm_content_belongs_to(path, SIZE, &EXTENTS);
  inside = lvm_content_find_inside(path);
  of_image = lvm_content_find_inside(image);
  assert_non_null(owner);
  assert_non_null(inside);
  assert_non_null(of_image);
  for (guint i = 0; i < G_N_ELEMENTS(calls); i++)
    for (guint n = 0; n < 4; n++) {
      g_autofree char *a = NULL, *b = NULL, *c = NULL;

      arm(calls[i], n);
      a = lvm_content_belongs_to(path, SIZE, &EXTENTS);
      arm(calls[i], n);
      b = lvm_content_find_inside(path);
      arm(calls[i], n);
      c = lvm_content_find_inside(image);
      arm(NONE, 0);
      assert_true(!a || strcmp(a, owner) == 0);
      assert_true(!b || strcmp(b, inside) == 0);
      assert_true(!c || strcmp(c, of_image) == 0);
    }
}

static void assert_owned(const char *path, const char *words)
{
  g_autofree char *owner = lvm_content_belongs_to(path, SIZE, &EXTENTS);

  if (!words)
    assert_null(owner);
  else if (!owner || !strstr(owner, words))
    fail_msg("not '%s', but '%s'", words, owner ? owner : "");
}

/* A path of a multipath device is none of its own, and says so of itself. */
static void test_multipath(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "disk", SIZE);

  faults.udev = "E:DM_MULTIPATH_DEVICE_PATH=0\n";
  assert_owned(path, NULL);
  faults.udev = "I:1\nE:DM_MULTIPATH_DEVICE_PATH=1\nG:systemd\n";
  assert_owned(path, "is a path of a multipath device");
  faults.udev = NULL;
  assert_owned(path, NULL); /* a file is no path, whatever is said of a disk */
}

/* A partition may have a table of its own, a logical one's, which nobody reads; a disk's counts. */
static void test_partition(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "disk", SIZE), *inside = NULL;

  put_table(path, TRUE);
  faults.udev = "";
  assert_owned(path, "is a disk with partitions");
  inside = lvm_content_find_inside(path);
  assert_non_null(inside);
  assert_non_null(strstr(inside, "partx --add"));
  faults.is_partition = TRUE;
  assert_owned(path, NULL);
  put(path, 510, "\x55\x55", 2); /* and what is no table is none */
  faults.is_partition = FALSE;
  assert_owned(path, NULL);
}

/* Of a block device only marks count, and its remains are not looked for. */
static void test_block_device(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "disk", SIZE);
  GError *error = NULL;
  gboolean free;

  put(path, 9 * MIB, "x", 1);
  faults.udev = "";
  assert_ok(lvm_content_check_free(path, &error), error);
  put_md_mark(path);
  assert_false(lvm_content_check_free(path, &error));
  assert_error(error, EEXIST, "linux_raid_member");
  ask_with_faults(lvm_content_check_unmarked, path, DO_PROBE, &free);
  assert_false(free);
}

/* A label alone does not make a PV of a partition: it names lvm2's format. */
static void test_other_label(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "disk", SIZE);

  put_table(path, TRUE);
  put(path, 2 * MIB + 512 + 24, "LVM1 001", 8);
  assert_null(lvm_content_find_inside(path));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_not_free),  TEST(test_not_cleared), TEST(test_remains),      TEST(test_unknown),
      TEST(test_multipath), TEST(test_partition),   TEST(test_block_device), TEST(test_other_label),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
