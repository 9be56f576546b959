/* virt-thin - tests: a volume group of 10,000 volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Times are this thread's processor time, so that they mean something on a busy machine, and the
 * limits leave room for a slow one, for sanitizers and for valgrind; the figures are printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "lvm-helper.h"

#define N 10000

static double now(void)
{
  struct timespec t;

  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double started;

static void start(void)
{
  started = now();
}

/* How long since start(); more than @limit milliseconds fails. */
static void stop(const char *what, double limit)
{
  double ms = now() - started;

  print_message("# %-32s %7.2f ms\n", what, ms);
  if (ms > limit)
    fail_msg("%s took %.1f ms, more than %.0f", what, ms, limit);
}

static void add_volumes(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");
  GError *error = NULL;

  for (guint i = 0; i < N; i++) {
    g_autofree char *name = g_strdup_printf("vm-%u-disk-0", i + 100);
    guint32 device = lvm_pool_next_device(vg, pool);
    LvmLv *lv = lvm_vg_add_thin(vg, pool, name, 8192, device, NULL, &error);

    assert_ok(lv, error);
    assert_int_equal(device, i + 1);
    if (i % 4 == 0)
      assert_ok(lvm_lv_add_tag(lv, "pve-vm-100", &error), error);
  }
}

/* A snapshot of one volume, with its commit. */
static void change_one(LvmStore *store, const char *name, const char *archive)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  LvmLv *pool = lvm_vg_find_lv(vg, "data");
  GError *error = NULL;

  assert_ok(lvm_vg_add_thin(vg, pool, name, 8192, lvm_pool_next_device(vg, pool), "vm-5000-disk-0",
                            &error),
            error);
  lvm_pool_set_transaction_id(pool, lvm_pool_transaction_id(pool) + 1);
  assert_ok(lvm_store_commit(store, vg, archive, "snapshot", &error), error);
}

static void check_all(LvmVg *vg)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  assert_int_equal(lvs->len, N + 4 + 20);
  for (guint i = 0; i < N; i++) {
    g_autofree char *name = g_strdup_printf("vm-%u-disk-0", i + 100);

    assert_int_equal(lvm_thin_device(lvm_vg_find_lv(vg, name)), i + 1);
  }
}

static void test_large(void **state)
{
  char *folder = lvm_test_folder();
  g_autofree char *path = lvm_test_file(folder, "pv.img", 256 * MIB),
                  *archive = g_build_filename(folder, "archive", NULL), *text = NULL;
  const char *paths[] = {path, NULL};
  GError *error = NULL;
  LvmStore *store = lvm_store_create("pve", paths, NULL, &error);
  LvmVg *vg;
  gsize length;

  assert_ok(store, error);
  vg = lvm_vg_copy(lvm_store_vg(store));
  assert_ok(lvm_vg_add_thin_pool(vg, "data", 32, 1, 65536, &error), error);
  start();
  add_volumes(vg);
  stop("add 10,000 volumes", 1000);
  start();
  text = lvm_vg_format(vg, &length);
  stop("format, everything new", 200);
  start();
  g_free(lvm_vg_format(vg, &length));
  stop("format again", 50);
  start();
  assert_ok(lvm_store_commit(store, vg, archive, "synthesise", &error), error);
  stop("commit", 200);
  start();
  vg = lvm_vg_parse(text, length, &error);
  stop("parse", 500);
  print_message("# %zu bytes of text\n", length);
  start();
  LvmVg *copy = lvm_vg_copy(vg);
  stop("copy", 50);
  start();
  assert_ok(lvm_vg_rename_lv(copy, lvm_vg_find_lv(copy, "vm-7777-disk-0"), "renamed", &error),
            error);
  stop("rename one", 50);
  start();
  assert_ok(lvm_vg_remove_lv(copy, lvm_vg_find_lv(copy, "vm-8888-disk-0"), &error), error);
  stop("remove one", 50);
  lvm_vg_free(copy);
  lvm_vg_free(vg);
  change_one(store, "snap-0", archive);
  start();
  for (guint i = 1; i < 20; i++) {
    g_autofree char *name = g_strdup_printf("snap-%u", i);

    change_one(store, name, archive);
  }
  started = now() - (now() - started) / 19;
  stop("one change, archive and commit", 250);
  lvm_store_close(store);
  start();
  store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error);
  stop("open", 600);
  assert_ok(store, error);
  check_all(lvm_store_vg(store));
  lvm_store_close(store);
  lvm_test_clean(folder);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_large)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
