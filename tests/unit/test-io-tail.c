/* virt-thin - tests: a file that somebody cuts, and that grows back before anybody looks
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
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/io.h"

#define MIB (1u << 20)
#define DATA (64u << 10)

typedef struct {
  char *path;
  VtIo *io;
} File;

/* Nearly all of it is a hole, as of a fresh image. */
static int setup(void **state)
{
  File *file = g_new0(File, 1);
  int fd = g_file_open_tmp("virt-thin-test-XXXXXX", &file->path, NULL);

  if (fd < 0 || ftruncate(fd, MIB) < 0 || pwrite(fd, "label", 5, 4096) != 5)
    return -1;
  close(fd);
  file->io = vt_io_open_file(file->path, FALSE, NULL);
  *state = file;
  return file->io ? 0 : -1;
}

static int teardown(void **state)
{
  File *file = *state;

  vt_io_unref(file->io);
  g_unlink(file->path);
  g_free(file->path);
  g_free(file);
  return 0;
}

static void write_data(File *file, guint64 offset, char byte)
{
  char data[DATA];

  memset(data, byte, sizeof data);
  assert_true(vt_io_write(file->io, data, sizeof data, offset, NULL));
}

static void cut(File *file, guint64 size)
{
  assert_int_equal(truncate(file->path, size), 0);
  assert_int_equal(truncate(file->path, MIB), 0);
}

static void assert_known_lost(File *file)
{
  g_autoptr(GError) error = NULL, later = NULL;

  assert_false(vt_io_flush(file->io, &error));
  assert_true(g_error_matches(error, VT_ERROR, EIO));
  assert_non_null(strstr(error->message, "somebody has cut it, and let it grow again"));
  assert_false(vt_io_write(file->io, "x", 1, 0, &later));
}

static void assert_whole(File *file)
{
  assert_true(vt_io_flush(file->io, NULL));
  assert_true(vt_io_check(file->io, NULL)); /* from now on of what is last by now */
  assert_true(vt_io_check(file->io, NULL));
  assert_true(vt_io_flush(file->io, NULL));
}

static void test_what_was_there(void **state)
{
  cut(*state, 0);
  assert_known_lost(*state);
}

static void test_what_a_look_has_found(void **state)
{
  write_data(*state, 4 * DATA, 'a');
  assert_whole(*state);
  cut(*state, 4 * DATA);
  assert_known_lost(*state);
}

/* By the first flush, not by a look before and after. */
static void test_what_was_just_written(void **state)
{
  File *file = *state;
  char data[2][512];
  struct iovec iov[2] = {{data[0], 512}, {data[1], 512}};

  memset(data, 'a', sizeof data);
  assert_true(vt_io_writev(file->io, iov, 2, 8 * DATA, NULL));
  assert_true(vt_io_flush(file->io, NULL));
  cut(file, 8 * DATA);
  assert_known_lost(file);
}

static void test_more_is_written_behind(void **state)
{
  write_data(*state, 4 * DATA, 'a');
  assert_whole(*state);
  cut(*state, 4 * DATA);
  write_data(*state, 8 * DATA, 'b');
  assert_known_lost(*state);
}

/* Written again before anybody looks: the others tell. */
static void test_the_end_is_written_again(void **state)
{
  File *file = *state;
  g_autoptr(GError) error = NULL;

  for (guint i = 2; i < 6; i++)
    write_data(file, 2 * i * DATA, 'a');
  assert_whole(file);
  cut(file, 2 * DATA);
  write_data(file, 10 * DATA, 'b');
  assert_true(vt_io_flush(file->io, NULL));
  assert_false(vt_io_check(file->io, &error));
  assert_known_lost(file);
}

/* What we release, or write as zeros, tells nothing. */
static void test_holes_of_our_own(void **state)
{
  File *file = *state;

  write_data(file, 8 * DATA, 'a');
  assert_true(vt_io_discard(file->io, 8 * DATA, DATA, NULL));
  assert_whole(file);
  write_data(file, 8 * DATA, 'a');
  assert_whole(file);
  assert_true(vt_io_zero(file->io, 8 * DATA, DATA, VT_IO_ZERO_MAY_UNMAP, NULL));
  assert_whole(file);
  write_data(file, 10 * DATA, '\0');
  cut(file, 10 * DATA);
  assert_whole(file);
  write_data(file, 6 * DATA, 'a');
  assert_true(vt_io_discard(file->io, 4096, MIB - 4096, NULL));
  assert_whole(file);
  write_data(file, 6 * DATA, 'a');
  cut(file, 6 * DATA);
  assert_known_lost(file);
}

/* Where the file system's blocks are of 1 KiB (TMPDIR), the rest of ours stays a hole. */
static void test_a_small_block(void **state)
{
  char data[1024];

  memset(data, 'a', sizeof data);
  assert_true(vt_io_write(((File *)*state)->io, data, sizeof data, 8 * DATA + 2048, NULL));
  assert_whole(*state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_what_was_there),         TEST(test_what_a_look_has_found),
      TEST(test_what_was_just_written),  TEST(test_the_end_is_written_again),
      TEST(test_holes_of_our_own),       TEST(test_a_small_block),
      TEST(test_more_is_written_behind),
  };

  return cmocka_run_group_tests_name("io-tail", tests, NULL, NULL);
}
