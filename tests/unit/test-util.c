/* virt-thin - tests of the helpers and of the I/O interface
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/crc.h"
#include "util/error.h"
#include "util/io.h"
#include "util/proc.h"
#include "util/size.h"

#define MIB (1u << 20)

static int fdatasync_error; /* of the next one; then the system's */
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
  errno = fdatasync_error;
  fdatasync_error = 0;
  return errno ? -1 : __real_fdatasync(fd);
}

/* Bit by bit, as the polynomial says. */
static guint32 slow_crc32c(const guint8 *data, gsize length)
{
  guint32 crc = 0xffffffffu;

  for (gsize i = 0; i < length; i++) {
    crc ^= data[i];
    for (guint bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
  }
  return crc;
}

/* Short ones, and such as are made in parts: whole, with rest, not aligned. */
static void test_crc_lengths(void **state)
{
  static const gsize lengths[] = {0, 1, 7, 8, 4031, 4032, 4033, 4092, 8063, 8064, 65536, 99999};
  g_autofree guint8 *data = g_malloc(100000);
  g_autoptr(GRand) random = g_rand_new_with_seed(7);

  for (guint i = 0; i < 100000; i++)
    data[i] = (guint8)g_rand_int(random);
  for (guint i = 0; i < G_N_ELEMENTS(lengths); i++)
    assert_int_equal(vt_crc32c(data + i % 2, lengths[i]), slow_crc32c(data + i % 2, lengths[i]));
}

static void test_crc(void **state)
{
  /* The check value of CRC-32C is 0xe3069283 with the final inversion that dm-thin leaves out. */
  assert_int_equal(vt_crc32c("123456789", 9), 0xe3069283u ^ 0xffffffffu);
  /* CRC-32's is 0xcbf43926; with its initial value and no final inversion: */
  assert_int_equal(vt_lvm_crc(0xffffffffu, "123456789", 9), 0xcbf43926u ^ 0xffffffffu);
  /* In pieces as in one. */
  assert_int_equal(vt_lvm_crc(vt_lvm_crc(LVM_CRC_INITIAL, "1234", 4), "56789", 5),
                   vt_lvm_crc(LVM_CRC_INITIAL, "123456789", 9));
}

static void assert_size(const char *text, guint64 expected)
{
  guint64 bytes = 0;
  GError *error = NULL;
  if (!vt_size_parse(text, &bytes, NULL, &error))
    fail_msg("%s", error->message);
  assert_true(bytes == expected);
}

static void assert_no_size(const char *text)
{
  guint64 bytes = 42;
  g_autoptr(GError) error = NULL;
  assert_false(vt_size_parse(text, &bytes, NULL, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  assert_int_equal(bytes, 42);
}

static void test_size_parse(void **state)
{
  assert_size("8G", 8ull << 30);
  assert_size("8g", 8ull << 30);
  assert_size("1.5k", 1536);
  assert_size("64KiB", 65536);
  assert_size("64kB", 65536);
  assert_size("3s", 1536);
  assert_size("512b", 512);
  assert_size("20", 20u * MIB);
  assert_size("15e", 15ull << 60);
  static const char *const bad[] = {"",
                                    "G",
                                    "8X",
                                    "8GG",
                                    "8GiBB",
                                    "-8G",
                                    "+8G",
                                    "8 G",
                                    "0x10",
                                    "16e",
                                    "99999999999999999999b",
                                    "nan",
                                    "8sB",
                                    "1e3"};
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
    assert_no_size(bad[i]);
  guint64 bytes;
  char sign;
  assert_true(vt_size_parse("+1G", &bytes, &sign, NULL));
  assert_int_equal(sign, '+');
  assert_true(vt_size_parse("1G", &bytes, &sign, NULL));
  assert_int_equal(sign, 0);
}

static void test_size_format(void **state)
{
  g_autofree char *small = vt_size_format(512), *large = vt_size_format(8ull << 30);
  assert_string_equal(small, "512 B");
  assert_string_equal(large, "8.00 GiB");
}

/* Where a size is rounded the bytes are told, too. */
static void test_size_exact(void **state)
{
  static const struct {
    guint64 bytes;
    const char *text;
  } cases[] = {
      {0, "0 B"},
      {1023, "1023 B"},
      {1024, "1.00 KiB"},
      {1024 + 256, "1.25 KiB"},
      {1024 + 255, "1.25 KiB (1279 bytes)"},
      {1ull << 30, "1.00 GiB"},
      {(1ull << 30) + 512, "1.00 GiB (1073742336 bytes)"},
      {(1ull << 40) - 1, "1024.00 GiB (1099511627775 bytes)"},
      {15ull << 60, "15.00 EiB"},
      {G_MAXUINT64, "16.00 EiB (18446744073709551615 bytes)"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *text = vt_size_exact(cases[i].bytes);

    assert_string_equal(text, cases[i].text);
  }
}

/* --- files --- */

typedef struct {
  char *path;
  VtIo *io;
} File;

static int setup_file(void **state)
{
  File *file = g_new0(File, 1);
  int fd = g_file_open_tmp("virt-thin-test-XXXXXX", &file->path, NULL);
  if (fd < 0 || ftruncate(fd, MIB) < 0)
    return -1;
  close(fd);
  file->io = vt_io_open_file(file->path, FALSE, NULL);
  *state = file;
  return file->io ? 0 : -1;
}

static int teardown_file(void **state)
{
  File *file = *state;
  vt_io_unref(file->io);
  g_unlink(file->path);
  g_free(file->path);
  g_free(file);
  return 0;
}

static void test_file(void **state)
{
  File *file = *state;
  char buf[8] = "", zeros[8] = "";
  g_autoptr(GError) error = NULL;
  assert_true(vt_io_write(file->io, "virtthin", 8, 1000, &error));
  struct iovec iov[2] = {{buf, 3}, {buf + 3, 5}};
  assert_true(vt_io_readv(file->io, iov, 2, 1000, &error));
  assert_memory_equal(buf, "virtthin", 8);
  assert_true(vt_io_zero(file->io, 0, 4096, 0, &error));
  assert_true(vt_io_read(file->io, buf, 8, 1000, &error));
  assert_memory_equal(buf, zeros, 8);
  assert_true(vt_io_write(file->io, "virtthin", 8, 8192, &error));
  assert_true(vt_io_zero(file->io, 8192, 4096, VT_IO_ZERO_MAY_UNMAP, &error));
  assert_true(vt_io_read(file->io, buf, 8, 8192, &error));
  assert_memory_equal(buf, zeros, 8);
  assert_true(vt_io_discard(file->io, 0, MIB, &error));
  assert_true(vt_io_flush(file->io, &error));
  assert_false(vt_io_write(file->io, "x", 1, MIB, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  assert_true(vt_io_grow_file(file->io, 2 * MIB, NULL));
  assert_true(vt_io_write(file->io, "x", 1, MIB, NULL));
  assert_false(vt_io_grow_file(file->io, MIB, NULL));
}

static blkcnt_t blocks_of(const char *path)
{
  struct stat st;
  assert_int_equal(stat(path, &st), 0);
  return st.st_blocks;
}

static void test_back(void **state)
{
  File *file = *state;
  char buf[8];
  g_autoptr(GError) error = NULL;
  assert_true(vt_io_write(file->io, "virtthin", 8, 65536, &error));
  assert_true(vt_io_back(file->io, 0, 512 * 1024, &error));
  assert_in_range(blocks_of(file->path), 1024, 1100);
  assert_true(vt_io_read(file->io, buf, 8, 65536, &error));
  assert_memory_equal(buf, "virtthin", 8);
  assert_true(vt_io_read(file->io, buf, 8, 0, &error));
  assert_memory_equal(buf, "\0\0\0\0\0\0\0\0", 8);
  assert_int_equal(vt_io_size(file->io), MIB);
  assert_false(vt_io_back(file->io, MIB - 1, 2, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
}

static void assert_extent(VtIo *io, guint64 offset, guint64 limit, guint64 length, gboolean mapped)
{
  guint64 found = 0;
  gboolean is_mapped = !mapped;
  assert_true(vt_io_extent(io, offset, limit, &found, &is_mapped, NULL));
  assert_int_equal(found, length);
  assert_int_equal(is_mapped, mapped);
}

static void test_extents(void **state)
{
  File *file = *state;
  g_autoptr(GError) error = NULL;
  gboolean mapped;
  guint64 length = 1;
  assert_true(vt_io_write_zeros(file->io, 65536, 65536, &error));
  assert_extent(file->io, 0, G_MAXUINT64, 65536, FALSE);
  assert_extent(file->io, 4096, 512, 512, FALSE);
  assert_extent(file->io, 65536, G_MAXUINT64, 65536, TRUE);
  assert_extent(file->io, 70000, 100, 100, TRUE);
  assert_extent(file->io, 131072, G_MAXUINT64, MIB - 131072, FALSE);
  assert_false(vt_io_extent(file->io, MIB, 1, &length, &mapped, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  assert_int_equal(length, 0);
  assert_false(vt_io_extent(file->io, 0, 0, &length, &mapped, NULL));

  /* Of a kind that knows none, all is mapped. */
  g_autoptr(VtIo) failer = vt_io_failer_new(file->io, 0, G_MAXUINT, EIO);
  assert_extent(failer, 4096, G_MAXUINT64, MIB - 4096, TRUE);
}

/* What others resize has the size it has; what is renamed keeps the names it had. */
static void test_followed_file(void **state)
{
  File *file = *state;
  int fd = open(file->path, O_RDWR | O_CLOEXEC);
  g_autoptr(VtIo) io = vt_io_new_file(fd, "vg/lv", FALSE, NULL);
  const char *name = vt_io_name(io);
  assert_true(vt_io_grow_file(file->io, 2 * MIB, NULL));
  assert_int_equal(vt_io_size(io), 2 * MIB);
  assert_true(vt_io_write(io, "x", 1, 2 * MIB - 1, NULL));
  assert_int_equal(ftruncate(fd, MIB), 0);
  assert_false(vt_io_write(io, "x", 1, 2 * MIB - 1, NULL));
  vt_io_rename(io, "vg/new");
  assert_string_equal(vt_io_name(io), "vg/new");
  assert_string_equal(name, "vg/lv");
}

/* Whatever the system calls want of room, it is ENOSPC; what it was stays in the message. */
static void test_no_room(void **state)
{
  File *file = *state;
  struct rlimit before, low = {256 * 1024, RLIM_INFINITY};
  g_autoptr(GError) error = NULL;
  assert_false(vt_set_errno(&error, EDQUOT, "x"));
  assert_true(vt_error_is_room(error));
  assert_non_null(strstr(error->message, "quota"));
  g_clear_error(&error);
  assert_false(vt_error_is_room(NULL));
  assert_false(vt_set_errno(&error, EIO, "x"));
  assert_false(vt_error_is_room(error));
  g_clear_error(&error);

  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  low.rlim_max = before.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
  gboolean below = vt_io_back(file->io, 0, 256 * 1024, NULL),
           above = vt_io_back(file->io, 192 * 1024, 128 * 1024, &error);
  GError *written = NULL;
  gboolean write = vt_io_write(file->io, "x", 1, 256 * 1024, &written);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_true(below);
  assert_false(above);
  assert_true(vt_error_is_room(error));
  assert_false(write);
  assert_true(vt_error_is_room(written));
  g_error_free(written);
}

/* The system tells of a lost write to one flush; others that share the VtIo must know. */
static void test_failed_flush(void **state)
{
  File *file = *state;
  g_autoptr(GError) first = NULL, second = NULL;
  VtIo *again;

  assert_true(vt_io_write(file->io, "x", 1, 0, NULL));
  fdatasync_error = EIO;
  assert_false(vt_io_flush(file->io, &first));
  assert_int_equal(first->code, EIO);
  assert_false(vt_io_flush(file->io, &second));
  assert_int_equal(second->code, EIO);
  assert_non_null(strstr(second->message, "an earlier flush failed"));
  assert_true(vt_io_write(file->io, "y", 1, 0, NULL));
  again = vt_io_open_file(file->path, FALSE, NULL);
  assert_true(vt_io_flush(again, NULL));
  vt_io_unref(again);
}

static void test_read_only(void **state)
{
  File *file = *state;
  g_autoptr(VtIo) io = vt_io_open_file(file->path, TRUE, NULL);
  g_autoptr(GError) error = NULL;
  assert_false(vt_io_write(io, "x", 1, 0, &error));
  assert_true(g_error_matches(error, VT_ERROR, EROFS));
}

static void test_truncated_under_us(void **state)
{
  File *file = *state;
  char c;
  g_autoptr(GError) error = NULL;
  assert_int_equal(truncate(file->path, 4096), 0);
  assert_false(vt_io_read(file->io, &c, 1, 8192, &error));
  assert_true(g_error_matches(error, VT_ERROR, EIO));
}

static void test_lock(void **state)
{
  File *file = *state;
  g_autoptr(VtIo) second = vt_io_open_file(file->path, FALSE, NULL);
  g_autoptr(GError) error = NULL;
  assert_true(vt_io_lock(file->io, FALSE, NULL, NULL));
  assert_false(vt_io_lock(second, FALSE, NULL, &error));
  assert_true(g_error_matches(error, VT_ERROR, EBUSY));
  g_autofree char *pid = g_strdup_printf("pid %d", getpid());
  assert_non_null(strstr(error->message, pid));
}

static void test_failer(void **state)
{
  File *file = *state;
  g_autoptr(VtIo) io = vt_io_failer_new(file->io, VT_IO_WRITE, 1, ENOSPC);
  g_autoptr(GError) error = NULL;
  char c;
  assert_true(vt_io_write(io, "x", 1, 0, NULL));
  assert_true(vt_io_read(io, &c, 1, 0, NULL));
  assert_false(vt_io_write(io, "x", 1, 0, &error));
  assert_true(g_error_matches(error, VT_ERROR, ENOSPC));
  assert_int_equal(vt_io_failer_count(io), 3);
  vt_io_failer_arm(io, 0, G_MAXUINT, 0);
  assert_true(vt_io_write(io, "x", 1, 0, NULL));
}

/* What was flushed is there after any power cut; what was not may be there or not, by whole
 * sectors. */
static void test_replay(void **state)
{
  File *file = *state;
  VtIoLog *log = vt_io_log_new();
  g_autoptr(VtIo) io = vt_io_recorder_new(file->io, log);
  guint8 a[2048], b[2048], got[4096];
  memset(a, 'a', sizeof a);
  memset(b, 'b', sizeof b);
  assert_true(vt_io_write(io, a, sizeof a, 0, NULL));
  assert_true(vt_io_flush(io, NULL));
  assert_true(vt_io_write(io, b, sizeof b, 2048, NULL));
  assert_int_equal(vt_io_log_length(log), 3);
  gboolean lost = FALSE, kept = FALSE, torn = FALSE;
  for (guint seed = 0; seed < 100; seed++) {
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("virt-thin-test-XXXXXX", &path, NULL);
    g_unlink(path);
    assert_int_equal(ftruncate(fd, sizeof got), 0);
    GRand *rand = g_rand_new_with_seed(seed);
    assert_true(vt_io_log_replay(log, 0, 3, rand, fd, NULL));
    assert_int_equal(pread(fd, got, sizeof got, 0), sizeof got);
    close(fd);
    g_rand_free(rand);
    assert_memory_equal(got, a, sizeof a);
    guint sectors = 0;
    for (guint s = 0; s < 4; s++) {
      guint8 first = got[2048 + 512 * s];
      assert_true(first == 0 || first == 'b');
      sectors += first == 'b';
    }
    lost |= sectors == 0;
    kept |= sectors == 4;
    torn |= sectors > 0 && sectors < 4;
  }
  assert_true(lost && kept && torn);
  vt_io_log_free(log);
}

/* --- /proc --- */

static void test_flock_holder(void **state)
{
  File *file = *state;
  int fd = open(file->path, O_RDWR | O_CLOEXEC);
  struct stat st;
  pid_t holder = -1;
  assert_int_equal(fstat(fd, &st), 0);
  assert_false(vt_flock_holder(&st, &holder));
  assert_int_equal(flock(fd, LOCK_SH), 0);
  assert_true(vt_flock_holder(&st, &holder));
  assert_int_equal(holder, getpid());
  assert_true(vt_flock_holder(&st, NULL));
  close(fd);
  assert_false(vt_flock_holder(&st, NULL));
}

/* Whoever is shown must not write to the terminal of who looks. */
static void test_process_name(void **state)
{
  char before[16];
  g_autofree char *name = NULL;

  prctl(PR_GET_NAME, before);
  prctl(PR_SET_NAME, "\033[31mx\ny\302\205\303\274\377");
  name = vt_process_name(getpid());
  prctl(PR_SET_NAME, before);
  assert_string_equal(name, "?[31mx?y?\303\274?");
  assert_null(vt_process_name(0));
}

static void test_printable(void **state)
{
  const char *const texts[][2] = {{"", ""},
                                  {"/srv/a b", "/srv/a b"},
                                  {"\033]0;x\007\n\r\t\177", "?]0;x?????"},
                                  {"\302\233\342\200\256\303\274", "??\303\274"},
                                  {"\377\357\277\275", "??"}};

  for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
    g_autofree char *shown = vt_printable(texts[i][0]);
    assert_string_equal(shown, texts[i][1]);
  }
}

static void test_mounts(void **state)
{
  g_autoptr(GArray) mounts = vt_list_mounts("self");
  struct stat st;
  gboolean found = FALSE;
  assert_int_equal(stat("/proc/self", &st), 0);
  for (guint i = 0; i < mounts->len; i++) {
    const VtMount *mount = &g_array_index(mounts, VtMount, i);
    assert_int_equal(*mount->where, '/');
    if (strcmp(mount->where, "/proc") == 0)
      found = mount->device == st.st_dev && strcmp(mount->source, "proc") == 0;
  }
  assert_true(found);
  assert_true(vt_is_mounted("/"));
  assert_true(vt_is_mounted("/proc"));
  assert_false(vt_is_mounted("/proc/self"));
  g_autoptr(GArray) none = vt_list_mounts("nobody");
  assert_int_equal(none->len, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crc),
      cmocka_unit_test(test_crc_lengths),
      cmocka_unit_test(test_size_parse),
      cmocka_unit_test(test_size_format),
      cmocka_unit_test(test_size_exact),
      cmocka_unit_test_setup_teardown(test_file, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_back, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_extents, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_followed_file, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_no_room, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_failed_flush, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_read_only, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_truncated_under_us, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_lock, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_flock_holder, setup_file, teardown_file),
      cmocka_unit_test(test_process_name),
      cmocka_unit_test(test_printable),
      cmocka_unit_test(test_mounts),
      cmocka_unit_test_setup_teardown(test_failer, setup_file, teardown_file),
      cmocka_unit_test_setup_teardown(test_replay, setup_file, teardown_file),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
