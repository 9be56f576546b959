/* virt-thin - tests: volume groups on files
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

static LvmStore *open_paths(gboolean read_only, GError **error, const char *path,
                            const char *second)
{
  const char *paths[] = {path, second, NULL};

  return lvm_store_open(paths, NULL, read_only, NULL, NULL, error);
}

/* What tells whether @path has been written to: its beginning, size, blocks and time of change. */
/* @times: with that of the last change, which also allocating ahead of use is. */
static char *digest(const char *path, gboolean times)
{
  g_autofree guint8 *data = g_malloc0(2 * MIB);
  g_autofree char *sum = NULL;
  GStatBuf st;
  int fd = open(path, O_RDONLY);

  assert_true(fd >= 0 && pread(fd, data, 2 * MIB, 0) >= 0);
  close(fd);
  assert_int_equal(g_stat(path, &st), 0);
  sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, data, 2 * MIB);
  return g_strdup_printf("%s %" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %ld.%09ld", sum,
                         (gint64)st.st_size, (gint64)st.st_blocks,
                         times ? (long)st.st_mtim.tv_sec : 0, times ? st.st_mtim.tv_nsec : 0);
}

/* --- reading what lvm2 made --- */

static void test_fixtures(void **state)
{
  static const struct {
    const char *name;
    guint seqno, n_lvs;
  } cases[] = {{"01-clean", 24, 10},           {"02-crash", 16, 10},
               {"03a-tid-pool-ahead", 24, 10}, {"04a-needs-check", 8, 6},
               {"04b-damaged-leaf", 24, 10},   {"04c-leaked-block", 24, 10},
               {"05a-out-of-data", 6, 5},      {"06-delete-msg-pending", 9, 5},
               {"06-msg-pending", 7, 6},       {"06-snap-made-tid-old", 7, 6}};

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *path = lvm_test_fixture(folder, cases[i].name), *before = digest(path, TRUE),
                    *after = NULL, *committed = NULL;
    GError *error = NULL;
    LvmStore *store = open_paths(TRUE, &error, path, NULL);
    guint64 used, available;

    assert_ok(store, error);
    assert_string_equal(lvm_vg_name(lvm_store_vg(store)), "pve");
    assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), cases[i].seqno);
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(store));
    assert_int_equal(lvs->len, cases[i].n_lvs);
    assert_null(lvm_store_warnings(store)[0]);
    assert_string_equal(lvm_store_paths(store)[0], path);
    assert_null(lvm_store_paths(store)[1]);
    lvm_store_metadata_space(store, &used, &available);
    assert_int_equal(available, 521472); /* lvm2's own figure for its default area */
    assert_false(lvm_store_commit(store, lvm_store_vg(store), NULL, "x", &error));
    assert_error(error, EROFS, "read-only");
    assert_ok(lvm_store_check_seqno(store, &error), error);
    lvm_store_close(store);
    after = digest(path, TRUE);
    assert_string_equal(before, after);
    before = (g_free(before), digest(path, FALSE));
    store = open_paths(FALSE, &error, path, NULL);
    assert_ok(store, error);
    after = (g_free(after), digest(path, FALSE));
    assert_string_equal(before, after);
    lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
    lvm_store_close(store);
    store = open_paths(FALSE, &error, path, NULL);
    assert_ok(store, error);
    assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), cases[i].seqno + 1);
    lvm_store_close(store);
    committed = digest(path, TRUE);
    assert_string_not_equal(before, committed);
  }
}

static void test_scan(void **state)
{
  g_autofree char *a = lvm_test_fixture(folder, "01-clean"),
                  *empty = lvm_test_file(folder, "empty", MIB),
                  *tiny = lvm_test_file(folder, "tiny", 10);
  g_autofree char *damaged = lvm_test_fixture(folder, "06-msg-pending");
  const char *paths[] = {a, empty, tiny, damaged, "/nowhere/at/all", a, NULL};
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free), scans = NULL;
  g_autoptr(LvmProbe) probe = NULL;
  LvmScan *scan;

  lvm_test_flip(damaged, 520);
  probe = lvm_probe(paths, NULL, NULL, NULL);
  scans = lvm_probe_list(probe, problems);
  assert_int_equal(scans->len, 2);
  scan = scans->pdata[0];
  assert_string_equal(scan->path, a);
  assert_string_equal(scan->pv_uuid, "7B6vkB-y7B9-2kUe-E7Bg-idDg-Ljus-PB5LB5");
  assert_string_equal(scan->vg_name, "pve");
  assert_int_equal(problems->len, 2);
  assert_non_null(strstr(problems->pdata[0], "/nowhere/at/all"));
  assert_non_null(strstr(problems->pdata[1], "label at offset 512 is damaged"));
}

static void test_several_groups(void **state)
{
  g_autofree char *a = lvm_test_fixture(folder, "01-clean"),
                  *b = lvm_test_fixture(folder, "02-crash");
  const char *both[] = {a, b, NULL}, *none[] = {NULL};
  GError *error = NULL;
  char *paths[1];

  assert_null(open_paths(TRUE, &error, a, b));
  assert_error(error, EINVAL, "several volume groups");
  assert_null(lvm_store_open(both, "pve", TRUE, NULL, NULL, &error));
  assert_error(error, EINVAL, "two volume groups pve");
  assert_null(lvm_store_open(both, "other", TRUE, NULL, NULL, &error));
  assert_error(error, ENOENT, "no volume group other on");
  assert_null(lvm_store_open(none, NULL, TRUE, NULL, NULL, &error));
  assert_error(error, ENOENT, "no device at all");
  lvm_store_close(lvm_test_create(folder, 1, 16 * MIB, MIB, paths));
  both[1] = paths[0];
  LvmStore *store = lvm_store_open(both, "tvg", TRUE, NULL, NULL, &error);
  assert_ok(store, error);
  lvm_store_close(store);
  g_free(paths[0]);
}

/* --- damage --- */

static void check_damage(const char *path, const char *place, guint seqno)
{
  GError *error = NULL;
  LvmStore *store;

  assert_null(open_paths(FALSE, &error, path, NULL));
  assert_error(error, EBADMSG, place);
  store = open_paths(TRUE, &error, path, NULL);
  assert_ok(store, error);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), seqno);
  assert_non_null(lvm_store_warnings(store)[0]);
  assert_non_null(strstr(lvm_store_warnings(store)[0], place));
  VtIo *io = lvm_store_open_lv(store, "data_tmeta", TRUE, &error);
  assert_ok(io, error);
  vt_io_unref(io);
  lvm_store_close(store);
}

static void test_damaged_label(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean"), *zeros = g_malloc0(4096);
  int fd;

  lvm_test_flip(path, 512 + 32 + 5); /* in the PV's uuid */
  check_damage(path, "label at offset 512 is damaged", 24);
  fd = open(path, O_WRONLY);
  assert_int_equal(pwrite(fd, zeros, 4096, 0), 4096);
  close(fd);
  check_damage(path, "the label of the physical volume, at offset 512, is gone", 24);
}

static void test_damaged_header(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean");

  lvm_test_flip(path, 4096 + 45);
  check_damage(path, "metadata header at offset 4096 is damaged: its checksum is wrong", 24);
}

static void test_damaged_text(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean"), *unlabelled = NULL;
  GError *error = NULL;

  lvm_test_flip(path, 81408 + 1000); /* in the committed text */
  check_damage(path, "metadata text at offset 81408 (4237 bytes) is damaged: its checksum is",
               23); /* the one before it */
  unlabelled = lvm_test_file(folder, "nothing", 16 * MIB);
  assert_null(open_paths(TRUE, &error, unlabelled, NULL));
  assert_error(error, ENOENT, "no volume group on");
}

static void test_truncated(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean");
  GError *error = NULL;
  char buf[4096];
  LvmStore *store;
  VtIo *io;

  assert_int_equal(truncate(path, 20 * MIB), 0);
  assert_null(open_paths(FALSE, &error, path, NULL));
  assert_error(error, EBADMSG, "has been truncated");
  store = open_paths(TRUE, &error, path, NULL);
  assert_ok(store, error);
  assert_non_null(strstr(lvm_store_warnings(store)[0], "ends at offset 20971520"));
  io = lvm_store_open_lv(store, "data_tdata", TRUE, &error);
  assert_ok(io, error);
  assert_ok(vt_io_read(io, buf, sizeof buf, 0, &error), error);
  assert_false(vt_io_read(io, buf, sizeof buf, 30 * MIB, &error));
  assert_error(error, EIO, "pve/data_tdata: offset 31457280 lies beyond the end of");
  vt_io_unref(io);
  lvm_store_close(store);
  assert_int_equal(truncate(path, 600 * 1024), 0); /* within the metadata area */
  check_damage(path, "has been truncated", 24);
}

/* Two PVs: one whole copy is enough to read, not to write. */
static void test_one_of_two(void **state)
{
  char *paths[2];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 16 * MIB, MIB, paths);

  lvm_store_close(store);
  lvm_test_flip(paths[0], 4096 + 512 + 10);
  for (guint i = 0; i < 64 * 1024; i += 512) /* wherever the text is */
    lvm_test_flip(paths[0], 4096 + 512 + i + 11);
  assert_null(open_paths(FALSE, &error, paths[0], paths[1]));
  assert_error(error, EBADMSG, "metadata text at offset");
  store = open_paths(TRUE, &error, paths[0], paths[1]);
  assert_ok(store, error);
  assert_non_null(strstr(lvm_store_warnings(store)[0], "metadata text at offset"));
  assert_null(lvm_store_warnings(store)[1]);
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
}

static void test_missing(void **state)
{
  char *paths[2], buf[512];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 16 * MIB, MIB, paths);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  VtIo *io;

  assert_ok(lvm_vg_add_thin_pool(vg, "data", 20, 2, 65536, &error), error);
  lvm_test_commit(store, vg);
  lvm_store_close(store);
  assert_null(open_paths(FALSE, &error, paths[0], NULL));
  assert_error(error, ENOENT, "physical volume pv1");
  store = open_paths(TRUE, &error, paths[0], NULL);
  assert_ok(store, error);
  assert_non_null(strstr(lvm_store_warnings(store)[0], "pv1"));
  io = lvm_store_open_lv(store, "data_tdata", TRUE, &error);
  assert_ok(io, error);
  assert_false(vt_io_read(io, buf, sizeof buf, 0, &error) &&
               vt_io_read(io, buf, sizeof buf, 19 * MIB, &error));
  assert_error(error, EIO, "is missing");
  vt_io_unref(io);
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
}

/* The PV is not missing: nobody can tell that it is the one, for neither its label nor its metadata
 * are whole. */
static void test_lost(void **state)
{
  char *paths[2];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 16 * MIB, MIB, paths);

  lvm_store_close(store);
  lvm_test_flip(paths[1], 512 + 40);
  lvm_test_flip(paths[1], 4096 + 45);
  for (guint i = 0; i < 64 * 1024; i += 8)
    lvm_test_flip(paths[1], 4096 + 512 + i);
  assert_null(open_paths(FALSE, &error, paths[0], paths[1]));
  assert_error(error, EBADMSG, "pv1.img: the label at offset 512 is damaged");
  store = open_paths(TRUE, &error, paths[0], paths[1]);
  assert_ok(store, error);
  assert_non_null(strstr(lvm_store_warnings(store)[0], "physical volume pv1"));
  assert_non_null(
      strstr(lvm_store_warnings(store)[1], "pv1.img: the label at offset 512 is damaged"));
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
}

static void test_copies(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "06-msg-pending"),
                  *copy = g_build_filename(folder, "copy.img", NULL), *data = NULL;
  GError *error = NULL;
  LvmStore *store;
  gsize length;

  assert_true(g_file_get_contents(path, &data, &length, NULL));
  assert_true(g_file_set_contents(copy, data, length, NULL));
  assert_null(open_paths(FALSE, &error, path, copy));
  assert_error(error, EBADMSG, "carry the same physical volume");
  store = open_paths(TRUE, &error, path, copy);
  assert_ok(store, error);
  assert_non_null(strstr(lvm_store_warnings(store)[0], "copy of the other"));
  lvm_store_close(store);
  assert_int_equal(g_unlink(copy), 0);
  assert_int_equal(symlink(path, copy), 0); /* the same file twice is no copy */
  store = open_paths(FALSE, &error, path, copy);
  assert_ok(store, error);
  lvm_store_close(store);
}

/* --- locks, strangers --- */

static void test_lock(void **state)
{
  char *paths[1];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 1, 16 * MIB, MIB, paths), *reader;

  assert_null(open_paths(FALSE, &error, paths[0], NULL));
  assert_error(error, EBUSY, "in use by");
  reader = open_paths(TRUE, &error, paths[0], NULL);
  assert_ok(reader, error);
  lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
  assert_false(lvm_store_check_seqno(reader, &error));
  assert_error(error, ESTALE, "changed by somebody else");
  lvm_store_close(reader);
  lvm_store_close(store);
  store = open_paths(FALSE, &error, paths[0], NULL);
  assert_ok(store, error);
  lvm_store_close(store);
  g_free(paths[0]);
}

static void test_stale(void **state)
{
  char *paths[1];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 1, 16 * MIB, MIB, paths);
  g_autoptr(LvmVg) vg = lvm_vg_copy(lvm_store_vg(store));
  g_autofree char *before = NULL, *after = NULL;

  lvm_test_flip(paths[0], 4096 + 50);
  before = digest(paths[0], TRUE);
  assert_false(lvm_store_commit(store, vg, NULL, "create volume x", &error));
  assert_error(error, ESTALE, "volume group tvg cannot be changed (create volume x)");
  after = digest(paths[0], TRUE);
  assert_string_equal(before, after);
  lvm_test_flip(paths[0], 4096 + 50);
  assert_ok(lvm_store_check_seqno(store, &error), error);
  lvm_store_close(store);
  g_free(paths[0]);
}

static void test_foreign(void **state)
{
  static const char *const ids[] = {"some-other-host", "virt-thin.some-other-host"};
  char *paths[1];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 1, 16 * MIB, MIB, paths);
  g_autofree char *ours = g_strconcat("virt-thin.", g_get_host_name(), NULL);
  LvmVg *vg;

  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
    vg = lvm_vg_copy(lvm_store_vg(store));
    lvm_vg_set_system_id(vg, ids[i]);
    lvm_test_commit(store, vg);
    lvm_store_close(store);
    assert_null(open_paths(FALSE, &error, paths[0], NULL));
    assert_error(error, EPERM, ids[i]);
    store = open_paths(TRUE, &error, paths[0], NULL); /* reading is nobody's concern */
    assert_ok(store, error);
    lvm_store_close(store);
    g_autofree char *conf = g_build_filename(folder, "lvm.conf", NULL),
                    *local = g_build_filename(folder, "lvmlocal.conf", NULL);
    g_autofree char *text = g_strdup_printf("local {\n\t# mine\n\tsystem_id = \"%s\"\n}\n", ids[i]);
    assert_true(
        g_file_set_contents(conf, "global {\n\tsystem_id_source = \"lvmlocal\"\n}\n", -1, NULL));
    assert_true(g_file_set_contents(local, text, -1, NULL));
    store = open_paths(FALSE, &error, paths[0], NULL); /* it is this host's own */
    assert_ok(store, error);
    g_unlink(conf);
  }
  g_unsetenv("LVM_SYSTEM_DIR");
  vg = lvm_vg_copy(lvm_store_vg(store)); /* as a crash leaves a taken VG */
  lvm_vg_set_system_id(vg, ours);
  lvm_vg_set_tag(vg, "virt-thin.system_id=myhost", TRUE);
  lvm_test_commit(store, vg);
  lvm_store_close(store);
  store = open_paths(FALSE, &error, paths[0], NULL);
  assert_ok(store, error);
  assert_true(lvm_store_is_taken(store));
  assert_ok(lvm_store_take(store, NULL, &error), error); /* on files: nothing */
  assert_ok(lvm_store_release(store, NULL, &error), error);
  assert_false(lvm_store_is_taken(store));
  assert_string_equal(lvm_vg_system_id(lvm_store_vg(store)), "myhost");
  assert_false(lvm_vg_has_tag(lvm_store_vg(store), "virt-thin.system_id=myhost"));
  lvm_store_close(store);
  g_free(paths[0]);
}

/* --- making --- */

static void test_create(void **state)
{
  char *paths[2];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 2, 16 * MIB, MIB, paths);
  LvmVg *vg = lvm_store_vg(store);

  assert_int_equal(lvm_vg_seqno(vg), 1);
  assert_int_equal(lvm_vg_n_extents(vg), 30);
  assert_int_equal(lvm_vg_n_free_extents(vg), 30);
  assert_true(lvm_vg_has_flag(vg, "NOAUTOACTIVATE"));
  lvm_store_close(store);
  store = open_paths(FALSE, &error, paths[1], paths[0]);
  assert_ok(store, error);
  assert_string_equal(lvm_store_paths(store)[0], paths[0]);
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
}

static void test_create_defaults(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "default.img", 64 * MIB);
  const char *paths[] = {path, NULL};
  GError *error = NULL;
  LvmStore *store = lvm_store_create("pve", paths, NULL, &error);
  guint64 used, available;

  assert_ok(store, error);
  lvm_store_metadata_space(store, &used, &available);
  assert_true(available >= 8 * MIB); /* 20,000 volumes */
  assert_int_equal(lvm_vg_extent_size(lvm_store_vg(store)), 4 * MIB);
  assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 11);
  lvm_store_close(store);
}

static void test_create_refused(void **state)
{
  g_autofree char *used = lvm_test_fixture(folder, "06-msg-pending"),
                  *small = lvm_test_file(folder, "small", 17 * MIB);
  g_autofree char *luks = lvm_test_file(folder, "luks", 64 * MIB),
                  *good = lvm_test_file(folder, "good", 64 * MIB), *before = digest(used, TRUE);
  g_autofree char *empty = digest(good, TRUE);
  struct {
    const char *name, *path;
    guint64 extent_size, area;
    int code;
    const char *error;
  } cases[] = {
      {"a/b", good, 0, 0, EINVAL, "a/b"},
      {"-a", good, 0, 0, EINVAL, "-a"},
      {"vg", NULL, 0, 0, EINVAL, "at least one file"},
      {"vg", "/nowhere", 0, 0, ENOENT, "/nowhere"},
      {"vg", folder, 0, 0, EISDIR, folder},
      {"vg", used, 0, 0, EEXIST, "is a physical volume of volume group pve already"},
      {"vg", luks, 0, 0, EEXIST, "crypto_LUKS"},
      {"vg", small, 0, 0, EINVAL, "too small"},
      {"vg", good, 1000, 0, EINVAL, "extent size"},
      {"vg", good, 0, 100, EINVAL, "metadata area"},
      {"vg", good, 128 * MIB, 0, EINVAL, "too small"},
  };
  int fd = open(luks, O_WRONLY);

  assert_int_equal(pwrite(fd, "LUKS\xba\xbe\0\1", 8, 0), 8);
  close(fd);
  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    const char *paths[] = {cases[i].path, NULL};
    LvmCreate params = {.extent_size = cases[i].extent_size, .metadata_area = cases[i].area};
    GError *error = NULL;

    assert_null(lvm_store_create(cases[i].name, paths, &params, &error));
    assert_error(error, cases[i].code, cases[i].error);
  }
  g_autofree char *after = digest(used, TRUE), *untouched = digest(good, TRUE);
  assert_string_equal(before, after);
  assert_string_equal(untouched, empty);
}

static void test_add_and_grow(void **state)
{
  char *paths[1];
  g_autofree char *second = NULL, *archive = g_build_filename(folder, "archive", NULL);
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 1, 16 * MIB, MIB, paths);

  second = lvm_test_file(folder, "second.img", 20 * MIB);
  assert_ok(lvm_store_add_pv(store, second, archive, &error), error);
  assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 15 + 19);
  assert_false(lvm_store_add_pv(store, second, archive, &error));
  assert_error(error, EBUSY, second);
  lvm_store_close(store);
  store = open_paths(FALSE, &error, paths[0], second);
  assert_ok(store, error);
  assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 34);
  assert_int_equal(truncate(second, 30 * MIB), 0);
  assert_ok(lvm_store_grow_pv(store, second, archive, &error), error);
  assert_int_equal(lvm_vg_n_extents(lvm_store_vg(store)), 44);
  assert_ok(lvm_store_grow_pv(store, second, archive, &error), error);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 3);
  assert_false(lvm_store_grow_pv(store, "/nowhere", archive, &error));
  assert_error(error, ENOENT, "no physical volume of volume group tvg");
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  assert_ok(lvm_vg_add_thin_pool(vg, "data", 40, 2, 65536, &error), error);
  lvm_test_commit(store, vg);
  VtIo *io = lvm_store_open_lv(store, "data_tdata", FALSE, &error);
  assert_ok(io, error);
  assert_ok(vt_io_zero(io, 0, vt_io_size(io), 0, &error), error); /* up to the new end */
  vt_io_unref(io);
  lvm_store_close(store);
  store = open_paths(FALSE, &error, second, paths[0]);
  assert_ok(store, error);
  lvm_store_close(store);
  g_free(paths[0]);
}

/* --- archives --- */

static guint count_archives(const char *dir, guint *lowest)
{
  GDir *all = g_dir_open(dir, 0, NULL);
  const char *name;
  guint n = 0;

  *lowest = G_MAXUINT;
  while ((name = g_dir_read_name(all))) {
    if (!g_str_has_prefix(name, "tvg_"))
      continue;
    n++;
    *lowest = MIN(*lowest, (guint)atoi(name + 4));
  }
  g_dir_close(all);
  return n;
}

static void make_old(const char *dir)
{
  GDir *all = g_dir_open(dir, 0, NULL);
  struct utimbuf old = {time(NULL) - 31 * 24 * 3600, time(NULL) - 31 * 24 * 3600};
  const char *name;

  while ((name = g_dir_read_name(all))) {
    g_autofree char *path = g_build_filename(dir, name, NULL);

    assert_int_equal(utime(path, &old), 0);
  }
  g_dir_close(all);
}

/* Where there can be no archive, nothing is added. What is removed, and what else may be to make
 * room, is told once. */
static void check_without_archive(LvmStore *store)
{
  const char *nowhere = "/proc/nowhere";
  GError *error = NULL;
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  assert_non_null(lvm_vg_add_linear(vg, "linear", 1, &error));
  assert_false(lvm_store_commit(store, vg, nowhere, "x", &error));
  assert_error(error, ENOENT, "/proc/nowhere");
  assert_ok(lvm_store_commit(store, vg, NULL, "x", &error), error);
  vg = lvm_vg_copy(vg);
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "linear"), &error), error);
  g_test_expect_message("virt-thin", G_LOG_LEVEL_WARNING,
                        "*'remove' is not archived*/proc/nowhere*");
  assert_ok(lvm_store_commit(store, vg, nowhere, "remove", &error), error);
  assert_ok(lvm_store_commit(store, lvm_vg_copy(vg), nowhere, "again", &error), error);
  g_test_assert_expected_messages();
}

static void test_archive(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "state", "archive", NULL), *file = NULL,
                  *text = NULL, *other = NULL;
  char *paths[1];
  GError *error = NULL;
  LvmStore *store = lvm_test_create(folder, 1, 16 * MIB, MIB, paths);
  guint lowest;

  for (guint i = 0; i < 14; i++)
    assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), dir, "a \"quoted\" change",
                               &error),
              error);
  assert_int_equal(count_archives(dir, &lowest), 14);
  assert_int_equal(lowest, 0);
  other = g_build_filename(dir, "tvg_2_00001-1.vg", NULL); /* VG tvg_2's */
  assert_true(g_file_set_contents(other, "x", 1, NULL));
  make_old(dir);
  lvm_store_close(store);
  store = open_paths(FALSE, &error, paths[0], NULL);
  assert_ok(store, error);
  assert_ok(lvm_store_commit(store, lvm_vg_copy(lvm_store_vg(store)), dir, "one more", &error),
            error);
  assert_int_equal(count_archives(dir, &lowest),
                   12); /* ten old ones stay, the new one, and the other VG's */
  assert_true(g_file_test(other, G_FILE_TEST_EXISTS));
  GDir *all = g_dir_open(dir, 0, NULL);
  for (const char *name; (name = g_dir_read_name(all));)
    if (g_str_has_prefix(name, "tvg_00014-"))
      file = g_build_filename(dir, name, NULL);
  g_dir_close(all);
  assert_non_null(file);
  gsize length;
  assert_true(g_file_get_contents(file, &text, &length, NULL));
  assert_true(g_str_has_prefix(text, "# Generated by virt-thin"));
  assert_non_null(strstr(text, "description = \"Created *before* executing 'one more'\"\n"));
  LvmVg *vg = lvm_vg_parse(text, length, &error);
  assert_ok(vg, error);
  assert_int_equal(lvm_vg_seqno(vg), lvm_vg_seqno(lvm_store_vg(store)) - 1);
  lvm_vg_free(vg);
  check_without_archive(store);
  lvm_store_close(store);
  g_free(paths[0]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_fixtures),        TEST(test_scan),           TEST(test_several_groups),
      TEST(test_damaged_label),   TEST(test_damaged_header), TEST(test_damaged_text),
      TEST(test_truncated),       TEST(test_one_of_two),     TEST(test_missing),
      TEST(test_copies),          TEST(test_lost),           TEST(test_lock),
      TEST(test_stale),           TEST(test_foreign),        TEST(test_create),
      TEST(test_create_defaults), TEST(test_create_refused), TEST(test_add_and_grow),
      TEST(test_archive),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
