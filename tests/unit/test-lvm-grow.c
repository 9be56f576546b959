/* virt-thin - tests: physical volumes that grow, or are larger than LVM can address
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/store-private.h"

#define SIZE (16 * MIB)
#define HUGE_SIZE (17 * MIB * MIB) /* in extents of 4 KiB more than 32 bits can say */

static char *folder, *path;

static int setup(void **state)
{
  folder = lvm_test_folder();
  lvm_store_close(lvm_test_create(folder, 1, SIZE, MIB, &path));
  return 0;
}

static int teardown(void **state)
{
  g_free(path);
  lvm_test_clean(folder);
  return 0;
}

static LvmStore *open_it(void)
{
  const char *paths[] = {path, NULL};
  GError *error = NULL;
  LvmStore *store = lvm_store_open(paths, "tvg", FALSE, NULL, NULL, &error);

  assert_ok(store, error);
  return store;
}

static guint64 n_extents(LvmStore *store)
{
  return lvm_vg_n_extents(lvm_store_vg(store));
}

/* --- too large ---------------------------------------------------------------------- */

static LvmStore *create_with_small_extents(const char *on, GError **error)
{
  const char *paths[] = {on, NULL};
  const LvmCreate params = {.extent_size = 4096, .metadata_area = 64 * 1024};

  return lvm_store_create("small", paths, &params, error);
}

/* As many extents as can be addressed are taken of what grows; a new PV that has more is refused,
 * and nothing of it is written. */
static void test_more_than_32_bits(void **state)
{
  g_autofree char *huge = lvm_test_file(folder, "huge", 0),
                  *first = lvm_test_file(folder, "first", SIZE);
  GError *error = NULL;
  LvmStore *store;

  if (truncate(huge, HUGE_SIZE) < 0)
    skip(); /* a file system that has no such files */
  assert_null(create_with_small_extents(huge, &error));
  assert_error(error, EINVAL, "choose a larger extent size");
  store = create_with_small_extents(first, &error);
  assert_ok(store, error);
  assert_false(lvm_store_add_pv(store, huge, NULL, &error));
  assert_error(error, EINVAL, "choose a larger extent size");
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 1);
  assert_null(lvm_store_paths(store)[1]);
  assert_int_equal(truncate(first, HUGE_SIZE), 0);
  assert_ok(lvm_store_grow_pv(store, first, NULL, &error), error);
  assert_int_equal(n_extents(store), G_MAXUINT32);
  lvm_store_close(store);
}

/* --- growing ------------------------------------------------------------------------ */

/* What there is of the file already is taken, too. */
static void test_room_already(void **state)
{
  GError *error = NULL;
  LvmStore *store;

  assert_int_equal(truncate(path, 20 * MIB), 0);
  store = open_it();
  assert_int_equal(n_extents(store), 15);
  assert_ok(lvm_store_grow_file(store, 1, NULL, &error), error);
  assert_int_equal(n_extents(store), 19);
  assert_ok(lvm_store_grow_file(store, 1, NULL, &error), error);
  assert_int_equal(n_extents(store), 20);
  lvm_store_close(store);
}

/* @call with files that cannot become larger than @size. */
#define LIMITED(size, ok, call)                                                                    \
  do {                                                                                             \
    struct rlimit limit, less;                                                                     \
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);                                          \
    less = limit;                                                                                  \
    less.rlim_cur = size;                                                                          \
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);                                           \
    ok = call;                                                                                     \
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);                                          \
  } while (0)

/* The file must not become larger; nor may another one that is at its path by now. */
static void test_cannot_grow(void **state)
{
  g_autofree char *other = lvm_test_file(folder, "other", 24 * MIB);
  LvmStore *store = open_it();
  GError *error = NULL;
  gboolean ok;

  signal(SIGXFSZ, SIG_IGN);
  LIMITED(SIZE, ok, lvm_store_grow_file(store, 5, NULL, &error));
  assert_false(ok);
  assert_error(error, ENOSPC, "cannot grow to 22020096 bytes");
  assert_int_equal(g_rename(other, path), 0);
  LIMITED(SIZE, ok, lvm_store_grow_pv(store, path, NULL, &error));
  assert_false(ok);
  assert_error(error, ENOSPC, "cannot grow to 25165824 bytes");
  assert_int_equal(n_extents(store), 15);
  lvm_store_close(store);
}

/* As pvcreate --metadatacopies 2 makes it. */
static void test_area_at_the_end(void **state)
{
  const LvmRange ranges[] = {{4096, MIB - 4096}, {15 * MIB, MIB}};
  g_autofree char *text = NULL;
  LvmStore *store = open_it();
  GError *error = NULL;
  gsize size;

  text = lvm_vg_format(lvm_store_vg(store), &size);
  lvm_store_close(store);
  lvm_test_set_areas(path, ranges, G_N_ELEMENTS(ranges), text);
  store = open_it();
  assert_int_equal(truncate(path, 24 * MIB), 0);
  assert_false(lvm_store_grow_pv(store, path, NULL, &error));
  assert_error(error, EOPNOTSUPP, "as it has a metadata area at its end");
  assert_int_equal(n_extents(store), 15);
  lvm_store_close(store);
}

/* --- like another ------------------------------------------------------------------- */

/* Without a word on it, a metadata area of 16 MiB. */
static void test_usual_area(void **state)
{
  g_autofree char *copy = lvm_test_file(folder, "copy", 40 * MIB);
  const char *paths[] = {copy, NULL};
  const LvmCreate params = {.extent_size = MIB};
  LvmStore *store = open_it(), *like;
  GError *error = NULL;

  like = lvm_store_create_like(lvm_store_vg(store), "like", NULL, paths, &params, NULL, &error);
  assert_ok(like, error);
  assert_ok(lvm_store_finish(like, "test", &error), error);
  assert_int_equal(n_extents(like), 40 - 17);
  lvm_store_close(like);
  lvm_store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_more_than_32_bits), TEST(test_room_already), TEST(test_cannot_grow),
      TEST(test_area_at_the_end),   TEST(test_usual_area),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
