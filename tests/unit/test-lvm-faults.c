/* virt-thin - tests: every I/O of what is done to a volume group fails in turn
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A volume group is made, extended, filled, changed, and made again elsewhere. The first time the
 * first I/O on its physical volumes fails, then the second, and so on, each kind by itself: for
 * once, or from then on. What fails says why; and what is then on the disks can be opened, and is
 * as it was before that step, or behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "lvm-helper.h"
#include "lvm/content.h"

#define SIZE (16 * MIB)
#define KIND_OPEN 64 /* besides VtIoKinds */

/* --- I/O that fails ----------------------------------------------------------------- */

static struct {
  guint kinds, countdown; /* G_MAXUINT: never */
  gboolean lasting;
  guint met;
  guint sector_size; /* of the file whose name ends in "3.img" */
} fault;

typedef struct {
  VtIo io;
  VtIo *base;
} Faulty;

static gboolean passes(guint kind, VtIo *io, GError **error)
{
  if (!(fault.kinds & kind) || fault.countdown == G_MAXUINT)
    return TRUE;
  if (fault.countdown > 0) {
    fault.countdown--;
    return TRUE;
  }
  fault.met++;
  if (!fault.lasting)
    fault.countdown = G_MAXUINT;
  return vt_set_error(error, EIO, "%s: made to fail", io ? vt_io_name(io) : "open");
}

static VtIo *base_of(VtIo *io)
{
  return ((Faulty *)io)->base;
}

static gboolean faulty_readv(VtIo *io, const struct iovec *iov, int n, guint64 offset,
                             GError **error)
{
  return passes(VT_IO_READ, io, error) && vt_io_readv(base_of(io), iov, n, offset, error);
}

static gboolean faulty_writev(VtIo *io, const struct iovec *iov, int n, guint64 offset,
                              GError **error)
{
  return passes(VT_IO_WRITE, io, error) && vt_io_writev(base_of(io), iov, n, offset, error);
}

static gboolean faulty_flush(VtIo *io, GError **error)
{
  return passes(VT_IO_FLUSH, io, error) && vt_io_flush(base_of(io), error);
}

static gboolean faulty_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                            GError **error)
{
  return passes(VT_IO_ZERO, io, error) && vt_io_zero(base_of(io), offset, length, flags, error);
}

static gboolean faulty_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return passes(VT_IO_DISCARD, io, error) && vt_io_discard(base_of(io), offset, length, error);
}

static gboolean faulty_back(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return passes(VT_IO_BACK, io, error) && vt_io_back(base_of(io), offset, length, error);
}

static gboolean faulty_check(VtIo *io, GError **error)
{
  return passes(KIND_OPEN, io, error) && vt_io_check(base_of(io), error);
}

static guint64 faulty_size(VtIo *io)
{
  return vt_io_size(base_of(io));
}

static guint faulty_sector_size(VtIo *io)
{
  return fault.sector_size && g_str_has_suffix(vt_io_name(io), "3.img") ? fault.sector_size : 512;
}

static void faulty_free(VtIo *io)
{
  vt_io_unref(base_of(io));
  g_free(io);
}

static const VtIoOps faulty_ops = {.readv = faulty_readv,
                                   .writev = faulty_writev,
                                   .flush = faulty_flush,
                                   .zero = faulty_zero,
                                   .discard = faulty_discard,
                                   .back = faulty_back,
                                   .check = faulty_check,
                                   .size = faulty_size,
                                   .sector_size = faulty_sector_size,
                                   .free = faulty_free};

static VtIo *open_faulty(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  VtIo *base = passes(KIND_OPEN, NULL, error) ? vt_io_open_file(path, read_only, error) : NULL;
  Faulty *faulty;

  if (!base)
    return NULL;
  faulty = g_new0(Faulty, 1);
  vt_io_init(&faulty->io, &faulty_ops, path, read_only);
  faulty->base = base;
  return &faulty->io;
}

/* --- what is done ------------------------------------------------------------------- */

typedef struct {
  char *folder, *paths[5]; /* two for the group, one to extend it by, two for one like it */
  const char *both[3];
  LvmStore *store; /* NULL: not open */
} Bench;

static gboolean commit(LvmStore *store, LvmVg *vg, GError **error)
{
  if (lvm_store_commit(store, vg, NULL, "test", error))
    return TRUE;
  lvm_vg_free(vg);
  return FALSE;
}

static gboolean step_create(Bench *bench, GError **error)
{
  LvmCreate params = {.extent_size = MIB, .metadata_area = 64 * 1024, .open = open_faulty};

  bench->store = lvm_store_create("tvg", bench->both, &params, error);
  return bench->store != NULL;
}

static gboolean step_pool(Bench *bench, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(bench->store));

  assert_non_null(lvm_vg_add_linear(vg, "lin", 20, NULL));
  assert_non_null(lvm_vg_add_thin_pool(vg, "data", 4, 2, 65536, NULL));
  if (lvm_store_zero_new(bench->store, vg, "data_tmeta", error))
    return commit(bench->store, vg, error);
  lvm_vg_free(vg);
  return FALSE;
}

static gboolean step_extend(Bench *bench, GError **error)
{
  return lvm_store_add_pv(bench->store, bench->paths[2], NULL, error);
}

static gboolean step_grow(Bench *bench, GError **error)
{
  return lvm_store_grow_file(bench->store, 5, NULL, error);
}

/* Each operation of a volume, across the border of two physical volumes. */
static gboolean step_volume(Bench *bench, GError **error)
{
  VtIo *lin = lvm_store_open_lv(bench->store, "lin", FALSE, error);
  char buf[8192] = "x";
  guint64 border = 14 * MIB - 4096;
  gboolean ok = lin && vt_io_write(lin, buf, sizeof buf, border, error) &&
                vt_io_read(lin, buf, sizeof buf, border, error) && vt_io_flush(lin, error) &&
                vt_io_zero(lin, border, sizeof buf, 0, error) && vt_io_check(lin, error) &&
                vt_io_discard(lin, border, sizeof buf, error) &&
                vt_io_back(lin, border, sizeof buf, error) &&
                lvm_store_check_devices(bench->store, error);

  if (lin)
    vt_io_unref(lin);
  return ok;
}

static gboolean step_reopen(Bench *bench, GError **error)
{
  const char *all[] = {bench->paths[2], bench->paths[0], bench->paths[1], NULL};

  lvm_store_close(bench->store);
  bench->store = lvm_store_open(all, "tvg", TRUE, open_faulty, NULL, error);
  if (!bench->store)
    return FALSE;
  lvm_store_close(bench->store);
  bench->store = lvm_store_open(all, "tvg", FALSE, open_faulty, NULL, error);
  return bench->store != NULL;
}

static gboolean step_release(Bench *bench, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(bench->store));

  lvm_vg_set_tag(vg, "virt-thin.system_id=was", TRUE);
  return commit(bench->store, vg, error) && lvm_store_release(bench->store, NULL, error);
}

static gboolean step_remove(Bench *bench, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(bench->store));

  assert_true(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "lin"), NULL));
  return commit(bench->store, vg, error);
}

static gboolean step_like(Bench *bench, GError **error)
{
  const char *paths[] = {bench->paths[3], bench->paths[4], NULL};
  LvmCreate params = {.open = open_faulty, .metadata_area = 64 * 1024, .no_autoactivate = TRUE};
  g_autoptr(LvmStore) like =
      lvm_store_create_like(lvm_store_vg(bench->store), "other", NULL, paths, &params, NULL, error);

  return like && lvm_store_finish(like, "test", error);
}

static gboolean (*const steps[])(Bench *bench, GError **error) = {
    step_create, step_pool,    step_extend, step_grow, step_volume,
    step_reopen, step_release, step_remove, step_like};

/* --- what must hold ----------------------------------------------------------------- */

static char *describe(LvmStore *store)
{
  g_autoptr(GString) text = g_string_new(NULL);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(store));

  for (guint i = 0; i < lvs->len; i++)
    g_string_append_printf(text, "%s ", lvm_lv_name(lvs->pdata[i]));
  return g_string_free(g_steal_pointer(&text), FALSE);
}

/* @before and @after: of the step that failed. */
static void assert_whole(Bench *bench, guint step, const char *before)
{
  const char *all[] = {bench->paths[0], bench->paths[1], bench->paths[2], NULL};
  g_autofree char *now = NULL;
  GError *error = NULL;
  LvmStore *store = lvm_store_open(all, "tvg", FALSE, NULL, NULL, &error);

  if (!store && step == 0) { /* as if nothing had been begun: it can be begun again */
    g_clear_error(&error);
    assert_ok(fault.lasting || step_create(bench, &error), error);
    return;
  }
  assert_ok(store, error);
  now = describe(store);
  if (steps[step] == step_pool)
    assert_true(strcmp(now, before) == 0 || strstr(now, "data_tmeta"));
  else if (steps[step] == step_remove)
    assert_true(strcmp(now, before) == 0 || !strstr(now, "lin"));
  else
    assert_string_equal(now, before);
  lvm_store_close(store);
}

static void prepare(Bench *bench)
{
  *bench = (Bench){.folder = lvm_test_folder()};
  for (guint i = 0; i < G_N_ELEMENTS(bench->paths); i++) {
    g_autofree char *name = g_strdup_printf("%u.img", i);

    bench->paths[i] = lvm_test_file(bench->folder, name, i > 2 ? 2 * SIZE : SIZE);
  }
  bench->both[0] = bench->paths[0];
  bench->both[1] = bench->paths[1];
}

static void clear(Bench *bench)
{
  for (guint i = 0; i < G_N_ELEMENTS(bench->paths); i++)
    g_free(bench->paths[i]);
  lvm_test_clean(bench->folder);
}

/* TRUE: the fault was met. */
static gboolean run(guint kinds, guint countdown, gboolean lasting)
{
  g_autofree char *before = g_strdup("");
  gboolean ok = TRUE;
  Bench bench;
  guint step;

  prepare(&bench);
  fault.kinds = kinds;
  fault.countdown = countdown;
  fault.lasting = lasting;
  fault.met = 0;
  for (step = 0; step < G_N_ELEMENTS(steps) && ok; step++) {
    GError *error = NULL;

    if (bench.store)
      before = (g_free(before), describe(bench.store));
    ok = steps[step](&bench, &error);
    if (!ok) {
      assert_non_null(error);
      assert_true(error->domain == VT_ERROR && *error->message);
      g_clear_error(&error);
    }
  }
  fault.countdown = G_MAXUINT;
  lvm_store_close(g_steal_pointer(&bench.store));
  assert_whole(&bench, step - 1, before);
  lvm_store_close(bench.store);
  clear(&bench);
  return fault.met > 0;
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static void test_each_fails(void **state)
{
  static const guint kinds[] = {VT_IO_READ,    VT_IO_WRITE, VT_IO_FLUSH, VT_IO_ZERO,
                                VT_IO_DISCARD, VT_IO_BACK,  KIND_OPEN};
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet, NULL), n = 0;

  assert_false(run(0, G_MAXUINT, FALSE));
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
    for (guint lasting = 0; lasting < 2; lasting++)
      for (guint at = 0; run(kinds[i], at, lasting); at++)
        n++;
  g_log_remove_handler("virt-thin", handler);
  print_message("# %u I/O operations, each failed in turn\n", n);
  assert_true(n > 100);
}

/* Sectors of another size than those that are there, or than an extent. */
static void test_sectors(void **state)
{
  g_autofree char *conf = NULL;
  GError *error = NULL;
  const char *paths[2] = {NULL};
  LvmCreate params = {.extent_size = 4096, .metadata_area = 64 * 1024, .open = open_faulty};
  Bench bench;

  prepare(&bench);
  fault.countdown = G_MAXUINT;
  fault.sector_size = 8192;
  paths[0] = bench.paths[3];
  assert_null(lvm_store_create("tvg", paths, &params, &error));
  assert_error(error, EINVAL, "more than an extent of volume group tvg");
  fault.sector_size = 4096;
  g_setenv("LVM_SYSTEM_DIR", bench.folder, TRUE);
  assert_ok(step_create(&bench, &error), error);
  assert_false(lvm_store_add_pv(bench.store, bench.paths[3], NULL, &error));
  assert_error(error, EINVAL, "has sectors of 4096 bytes");
  conf = g_build_filename(bench.folder, "lvm.conf", NULL);
  assert_true(g_file_set_contents(conf, "devices { allow_mixed_block_sizes = 1 }\n", -1, NULL));
  assert_ok(lvm_store_add_pv(bench.store, bench.paths[3], NULL, &error), error);
  assert_ok(lvm_store_add_pv(bench.store, bench.paths[4], NULL, &error), error); /* mixed already */
  g_unsetenv("LVM_SYSTEM_DIR");
  fault.sector_size = 0;
  lvm_store_close(bench.store);
  clear(&bench);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_fails),
      cmocka_unit_test(test_sectors),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
