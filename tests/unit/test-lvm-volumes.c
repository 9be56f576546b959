/* virt-thin - tests: the bytes of logical volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utime.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"

static char *folder;

static int setup(void **state)
{
  folder = lvm_test_folder();
  return 0;
}

static int teardown(void **state)
{
  lvm_test_clean(folder);
  return 0;
}

/* --- logical volumes --- */

/* Random reads and writes on @io against a plain buffer. */
static void exercise(VtIo *io, guint seed)
{
  gsize size = vt_io_size(io);
  g_autofree guint8 *model = g_malloc0(size), *buf = g_malloc(3 * MIB);
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  GError *error = NULL;

  assert_ok(vt_io_zero(io, 0, size, 0, &error), error);
  for (guint i = 0; i < 300; i++) {
    gsize length = g_rand_int_range(rand, 1, i % 10 ? 70000 : 3 * MIB), offset;
    struct iovec iov[3];

    length = MIN(length, size);
    offset = g_rand_int_range(rand, 0, size - length + 1);
    iov[0] = (struct iovec){buf, length / 3};
    iov[1] = (struct iovec){buf + length / 3, 0};
    iov[2] = (struct iovec){buf + length / 3, length - length / 3};
    switch (i % 3) {
    case 0:
      for (gsize j = 0; j < length; j++)
        buf[j] = model[offset + j] = i + j * 7;
      assert_ok(vt_io_writev(io, iov, 3, offset, &error), error);
      break;
    case 1:
      memset(model + offset, 0, length);
      assert_ok(vt_io_zero(io, offset, length, VT_IO_ZERO_MAY_UNMAP, &error), error);
      break;
    default:
      assert_ok(vt_io_readv(io, iov, 3, offset, &error), error);
      assert_memory_equal(buf, model + offset, length);
    }
  }
  assert_ok(vt_io_flush(io, &error), error);
  assert_ok(vt_io_discard(io, 0, size, &error), error);
  assert_false(vt_io_read(io, buf, 1, size, &error));
  assert_error(error, EINVAL, "ends at");
}

static void test_linear(void **state)
{
  char *paths[3];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 3, 16 * MIB, MIB, paths);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  VtIo *io, *same;
  char mark[] = "here";

  assert_ok(lvm_vg_add_thin_pool(vg, "data", 36, 3, 65536, &error), error);
  lvm_test_commit(store, vg);
  io = lvm_store_open_lv(store, "data_tdata", FALSE, &error);
  assert_ok(io, error);
  assert_string_equal(vt_io_name(io), "tvg/data_tdata");
  assert_int_equal(vt_io_size(io), 36 * MIB);
  exercise(io, 1);
  same = lvm_store_open_lv(store, "data_tdata", FALSE, &error);
  assert_ptr_equal(io, same);
  assert_ok(vt_io_write(io, mark, sizeof mark, 36 * MIB - sizeof mark, &error), error);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_ok(lvm_vg_grow_pool_data(vg, lvm_vg_find_lv(vg, "data"), 39, &error), error);
  lvm_test_commit(store, vg);
  assert_int_equal(vt_io_size(io), 39 * MIB); /* in place */
  assert_ok(vt_io_read(io, mark, sizeof mark, 36 * MIB - sizeof mark, &error), error);
  assert_string_equal(mark, "here");
  exercise(io, 2);
  assert_null(lvm_store_open_lv(store, "data", FALSE, &error));
  assert_error(error, EOPNOTSUPP, "thin-pool");
  assert_null(lvm_store_open_lv(store, "nothing", FALSE, &error));
  assert_error(error, ENOENT, "no volume nothing");
  lvm_store_close(store);
  exercise(io, 3); /* whoever has it open keeps it */
  vt_io_unref(io);
  vt_io_unref(same);
  for (guint i = 0; i < 3; i++)
    g_free(paths[i]);
}

typedef struct {
  VtIo *io;
  guint64 base; /* this thread's MiB */
  gint *go_on;  /* atomic */
  guint n;
} Worker;

static gpointer work(gpointer data)
{
  Worker *w = data;
  guint8 buf[8192], got[8192];

  for (; g_atomic_int_get(w->go_on); w->n++) {
    guint64 offset = w->base + (w->n * 4096) % (MIB - sizeof buf);

    memset(buf, w->n, sizeof buf);
    if (!vt_io_write(w->io, buf, sizeof buf, offset, NULL) ||
        !vt_io_read(w->io, got, sizeof got, offset, NULL) || memcmp(buf, got, sizeof got) != 0 ||
        vt_io_size(w->io) < 4 * MIB)
      return w;
  }
  return NULL;
}

/* An LV grows while others use it. */
static void test_grow_in_use(void **state)
{
  char *paths[2];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 32 * MIB, MIB, paths);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  gint go_on = TRUE;
  Worker workers[3];
  GThread *threads[3];
  VtIo *io;

  assert_ok(lvm_vg_add_thin_pool(vg, "data", 4, 2, 65536, &error), error);
  lvm_test_commit(store, vg);
  io = lvm_store_open_lv(store, "data_tdata", FALSE, &error);
  assert_ok(io, error);
  for (guint i = 0; i < 3; i++) {
    workers[i] = (Worker){io, i * MIB, &go_on, 0};
    threads[i] = g_thread_new("worker", work, &workers[i]);
  }
  for (guint i = 5; i <= 50; i++) {
    vg = lvm_vg_copy(lvm_store_vg(store));
    assert_ok(lvm_vg_grow_pool_data(vg, lvm_vg_find_lv(vg, "data"), i, &error), error);
    lvm_test_commit(store, vg);
    assert_int_equal(vt_io_size(io), i * MIB);
  }
  g_atomic_int_set(&go_on, FALSE);
  for (guint i = 0; i < 3; i++)
    assert_null(g_thread_join(threads[i]));
  vt_io_unref(io);
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
}

static void assert_there(VtIo *io, guint64 offset, guint64 length)
{
  GError *error = NULL;
  guint64 found;

  assert_ok(lvm_lv_io_is_there(io, offset, 64 * MIB, &found, &error), error);
  assert_int_equal(found, length);
}

static void assert_lost(VtIo *io, guint64 offset, const char *words)
{
  GError *error = NULL;
  guint64 found;
  char byte;

  assert_false(lvm_lv_io_is_there(io, offset, 64 * MIB, &found, &error));
  assert_error(error, EIO, words);
  assert_false(vt_io_read(io, &byte, 1, offset, &error));
  assert_error(error, EIO, words);
}

/* A volume on two physical volumes, of which the second is cut off, then missing: how far it goes,
 * and what is lost. */
static void test_partly_there(void **state)
{
  char *paths[2];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 32 * MIB, MIB, paths);
  const char *const both[] = {paths[0], paths[1], NULL}, *const first[] = {paths[0], NULL};
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  VtIo *io;

  assert_ok(lvm_vg_add_linear(vg, "lin", 50, &error), error); /* 31 and 19 */
  lvm_test_commit(store, vg);
  lvm_store_close(store);
  for (guint i = 0; i < 3; i++) {
    if (i == 1)
      assert_int_equal(truncate(paths[1], 5 * MIB + 512), 0);
    store = lvm_store_open(i < 2 ? both : first, "tvg", TRUE, NULL, NULL, &error);
    assert_ok(store, error);
    io = lvm_store_open_lv(store, "lin", TRUE, &error);
    assert_ok(io, error);
    assert_there(io, MIB, 30 * MIB);
    if (i == 0)
      assert_there(io, 31 * MIB, 19 * MIB);
    if (i == 1) {
      assert_there(io, 31 * MIB, 4 * MIB + 512);
      assert_lost(io, 40 * MIB, "which has been truncated");
    }
    if (i == 2)
      assert_lost(io, 40 * MIB, "which is missing");
    vt_io_unref(io);
    lvm_store_close(store);
  }
  g_free(paths[0]);
  g_free(paths[1]);
}

static void test_striped(void **state)
{
  char *paths[2];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 16 * MIB, MIB, paths);
  g_autofree char *text = lvm_vg_format(lvm_store_vg(store), NULL), *changed = NULL;
  char *place = strstr(text, "\n\n}\n#"), buf[3] = "", pv[1];
  LvmVg *vg;
  VtIo *io, *file;

  *place = '\0';
  changed = g_strconcat(
      text,
      "\nlogical_volumes {\nwide {\nid = \"YrXdz2-l8tC-izKn-FZFs-Ygdi-Kx12-SDGb9r\"\nstatus = "
      "[\"READ\", \"WRITE\", \"VISIBLE\"]\n"
      "flags = []\nsegment_count = 2\nsegment1 {\nstart_extent = 0\nextent_count = 8\ntype = "
      "\"striped\"\nstripe_count = 2\n"
      "stripe_size = 128\nstripes = [\"pv0\", 2, \"pv1\", 5]\n}\nsegment2 {\nstart_extent = "
      "8\nextent_count = 1\ntype = \"striped\"\n"
      "stripe_count = 1\nstripes = [\"pv0\", 9]\n}\n}\n}\n",
      place + 1, NULL);
  vg = lvm_vg_parse(changed, strlen(changed), &error);
  assert_ok(vg, error);
  assert_int_equal(lvm_vg_n_free_extents(vg), 30 - 9);
  lvm_test_commit(store, vg);
  io = lvm_store_open_lv(store, "wide", FALSE, &error);
  assert_ok(io, error);
  assert_int_equal(vt_io_size(io), 9 * MIB);
  exercise(io, 4);
  /* byte 65536 is the first of the second PV's stripe */
  assert_ok(vt_io_write(io, "AB", 2, 65535, &error), error);
  assert_ok(vt_io_write(io, "C", 1, 131072, &error), error);
  file = vt_io_open_file(paths[0], TRUE, &error);
  assert_ok(vt_io_read(file, buf, 1, MIB + 2 * MIB + 65535, &error) &&
                vt_io_read(file, buf + 1, 1, MIB + 2 * MIB + 65536, &error),
            error);
  assert_string_equal(buf, "AC");
  vt_io_unref(file);
  file = vt_io_open_file(paths[1], TRUE, &error);
  assert_ok(vt_io_read(file, pv, 1, MIB + 5 * MIB, &error), error);
  assert_int_equal(pv[0], 'B');
  vt_io_unref(file);
  vt_io_unref(io);
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
}

static void test_zero_new(void **state)
{
  char *paths[1];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 1, 64 * MIB, MIB, paths);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  g_autofree guint8 *buf = g_malloc(4 * MIB), *zeros = g_malloc0(4 * MIB);
  VtIo *io, *file = vt_io_open_file(paths[0], FALSE, &error);

  memset(buf, 'x', 4 * MIB);
  for (guint i = 0; i < 15; i++)
    assert_ok(vt_io_write(file, buf, 4 * MIB, MIB + i * 4 * MIB, &error), error);
  assert_ok(lvm_vg_add_thin_pool(vg, "data", 20, 4, 65536, &error), error);
  assert_ok(lvm_store_zero_new(store, vg, "data_tmeta", &error), error);
  assert_ok(lvm_store_zero_new(store, vg, "lvol0_pmspare", &error), error);
  lvm_test_commit(store, vg);
  io = lvm_store_open_lv(store, "data_tmeta", FALSE, &error);
  assert_ok(io && vt_io_read(io, buf, 4 * MIB, 0, &error), error);
  assert_memory_equal(buf, zeros, 4 * MIB);
  memset(buf, 'y', 4 * MIB);
  assert_ok(vt_io_write(io, buf, 4 * MIB, 0, &error), error);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_ok(lvm_vg_grow_pool_metadata(vg, lvm_vg_find_lv(vg, "data"), 7, &error), error);
  assert_ok(lvm_store_zero_new(store, vg, "data_tmeta", &error), error);
  lvm_test_commit(store, vg);
  assert_ok(vt_io_read(io, buf, 4 * MIB, 0, &error), error);
  assert_int_equal(buf[0], 'y');
  assert_int_equal(buf[4 * MIB - 1], 'y');
  assert_ok(vt_io_read(io, buf, 3 * MIB, 4 * MIB, &error), error);
  assert_memory_equal(buf, zeros, 3 * MIB);
  vt_io_unref(io);
  io = lvm_store_open_lv(store, "data_tdata", FALSE, &error);
  assert_ok(vt_io_read(io, buf, MIB, 0, &error), error);
  assert_int_equal(buf[0], 'x');
  vt_io_unref(io);
  vt_io_unref(file);
  assert_false(lvm_store_zero_new(store, lvm_store_vg(store), "nothing", &error));
  assert_error(error, ENOENT, "nothing");
  lvm_store_close(store);
  g_free(paths[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_linear),       TEST(test_grow_in_use), TEST(test_striped),
      TEST(test_partly_there), TEST(test_zero_new),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
