/* virt-thin - tests: a volume group made like another
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

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

static LvmLv *find(LvmVg *vg, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);

  assert_non_null(lv);
  return lv;
}

/* Two pools, three volumes with a chain of origins, and one that is linear; of it the text. */
static LvmVg *make_source(void)
{
  char *paths[2];
  LvmStore *store = lvm_test_create(folder, 2, 128 * MIB, MIB, paths);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  GError *error = NULL;

  lvm_vg_set_tag(vg, "of-the-group", TRUE);
  lvm_vg_set_system_id(vg, "virt-thin.elsewhere");
  lvm_vg_set_tag(vg, "virt-thin.system_id=", TRUE);
  assert_ok(lvm_vg_add_linear(vg, "root", 9, &error), error);
  assert_ok(lvm_vg_add_thin_pool(vg, "data", 100, 4, 65536, &error), error);
  assert_ok(lvm_vg_add_thin_pool(vg, "slow", 20, 2, 1048576, &error), error);
  assert_ok(lvm_vg_add_thin(vg, find(vg, "data"), "vm-1", 300, 7, NULL, &error), error);
  assert_ok(lvm_vg_add_thin(vg, find(vg, "data"), "snap", 300, 9, "vm-1", &error), error);
  assert_ok(lvm_vg_add_thin(vg, find(vg, "slow"), "vm-2", 5, 7, NULL, &error), error);
  lvm_lv_set_writable(find(vg, "snap"), FALSE);
  lvm_lv_set_flag(find(vg, "snap"), "ACTIVATION_SKIP", TRUE);
  assert_ok(lvm_lv_add_tag(find(vg, "snap"), "a-tag", &error), error);
  lvm_thin_set_device(find(vg, "snap"), 9, 3);
  lvm_pool_set_transaction_id(find(vg, "data"), 12);
  lvm_test_commit(store, vg);
  vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_store_close(store);
  g_free(paths[0]);
  g_free(paths[1]);
  return vg;
}

static LvmStore *make_like(LvmVg *like, const char *const *paths, guint64 extent_size,
                           GHashTable *sizes, GError **error)
{
  const LvmCreate params = {.extent_size = extent_size, .metadata_area = MIB};

  return lvm_store_create_like(like, "copy", NULL, paths, &params, sizes, error);
}

static void same_strings(GStrv a, GStrv b)
{
  assert_true(g_strv_equal((const char *const *)a, (const char *const *)b));
  g_strfreev(a);
  g_strfreev(b);
}

/* All that is kept of a volume, wherever its extents lie. */
static void same_lv(LvmLv *a, LvmLv *z)
{
  assert_string_equal(lvm_lv_name(a), lvm_lv_name(z));
  assert_string_equal(lvm_lv_uuid(a), lvm_lv_uuid(z));
  assert_int_equal(lvm_lv_kind(a), lvm_lv_kind(z));
  assert_int_equal(lvm_lv_is_visible(a), lvm_lv_is_visible(z));
  assert_int_equal(lvm_lv_is_writable(a), lvm_lv_is_writable(z));
  assert_int_equal(lvm_lv_creation_time(a), lvm_lv_creation_time(z));
  assert_int_equal(lvm_lv_has_flag(a, "ACTIVATION_SKIP"), lvm_lv_has_flag(z, "ACTIVATION_SKIP"));
  assert_int_equal(lvm_pool_transaction_id(a), lvm_pool_transaction_id(z));
  assert_int_equal(lvm_pool_chunk_size(a), lvm_pool_chunk_size(z));
  assert_int_equal(lvm_thin_device(a), lvm_thin_device(z));
  assert_int_equal(lvm_thin_transaction_id(a), lvm_thin_transaction_id(z));
  assert_true(g_strcmp0(lvm_thin_origin(a), lvm_thin_origin(z)) == 0);
  same_strings(lvm_lv_tags(a), lvm_lv_tags(z));
}

static void same_lvs(LvmVg *a, LvmVg *z)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(a), others = lvm_vg_lvs(z);

  assert_int_equal(lvs->len, others->len);
  for (guint i = 0; i < lvs->len; i++)
    same_lv(lvs->pdata[i], others->pdata[i]);
}

/* Nothing shows before the end; then it is there, and what is said of it is the same. */
static void test_same(void **state)
{
  g_autoptr(LvmVg) like = make_source();
  g_autofree char *a = lvm_test_file(folder, "a", 200 * MIB),
                  *b = lvm_test_file(folder, "b", 200 * MIB);
  const char *const paths[] = {a, b, NULL};
  GError *error = NULL;
  LvmStore *store = make_like(like, paths, 0, NULL, &error), *again;
  VtIo *io;
  LvmVg *vg;

  assert_ok(store, error);
  io = lvm_store_open_lv(store, "root", FALSE, &error);
  assert_ok(io, error);
  assert_ok(vt_io_write(io, "here", 5, 8 * MIB, &error), error);
  vt_io_unref(io);
  again = lvm_store_open(paths, NULL, TRUE, NULL, NULL, &error);
  assert_null(again);
  assert_error(error, ENOENT, "");
  assert_ok(lvm_store_finish(store, "a test", &error), error);
  lvm_store_close(store);
  again = lvm_store_open(paths, "copy", FALSE, NULL, NULL, &error);
  assert_ok(again, error);
  vg = lvm_store_vg(again);
  assert_null(lvm_vg_unwritable(vg));
  assert_string_equal(lvm_vg_uuid(vg), lvm_vg_uuid(like));
  assert_true(lvm_vg_has_tag(vg, "of-the-group"));
  assert_false(lvm_vg_is_taken(vg));
  assert_false(lvm_vg_has_tag(vg, "virt-thin.system_id="));
  same_lvs(like, vg);
  assert_int_equal(lvm_lv_size(find(vg, "data")), 100 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "vm-1")), 300 * MIB);
  lvm_store_close(again);
}

static void add_size(GHashTable *sizes, const char *name, guint64 size, guint64 least,
                     guint64 least_metadata)
{
  LvmLikeSize *entry = g_new0(LvmLikeSize, 1);

  *entry = (LvmLikeSize){size, least, least_metadata};
  g_hash_table_insert(sizes, (gpointer)name, entry);
}

/* Pools get less than they had where there is less, in proportion, and not less than they need. */
static void test_smaller(void **state)
{
  g_autoptr(LvmVg) like = make_source();
  g_autoptr(GHashTable) sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  g_autofree char *a = lvm_test_file(folder, "small", 66 * MIB);
  const char *const paths[] = {a, NULL};
  GError *error = NULL;
  LvmStore *store = make_like(like, paths, 0, NULL, &error);
  LvmVg *vg;

  assert_null(store);
  assert_error(error, ENOSPC, "needs 139.00 MiB");
  add_size(sizes, "data", 0, 20 * MIB, 2 * MIB);
  add_size(sizes, "slow", 0, 4 * MIB, 2 * MIB);
  store = make_like(like, paths, 0, sizes, &error);
  assert_ok(store, error);
  vg = lvm_store_vg(store);
  assert_int_equal(lvm_lv_size(find(vg, "data_tmeta")), 4 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "data_tdata")), lvm_lv_size(find(vg, "data")));
  assert_in_range(lvm_lv_size(find(vg, "data")), 36 * MIB, 37 * MIB);
  assert_in_range(lvm_lv_size(find(vg, "slow")), 7 * MIB, 8 * MIB);
  assert_in_range(lvm_vg_n_free_extents(vg), 0, 1);
  lvm_store_close(store);
  add_size(sizes, "data", 0, 41 * MIB, 2 * MIB);
  add_size(sizes, "slow", 0, 5 * MIB, 2 * MIB);
  g_assert(truncate(a, 0) == 0 && truncate(a, 66 * MIB) == 0);
  store = make_like(like, paths, 0, sizes, &error);
  assert_ok(store, error);
  assert_int_equal(lvm_lv_size(find(lvm_store_vg(store), "data_tmeta")), 2 * MIB);
  lvm_store_close(store);
}

/* Sizes asked for, larger extents. */
static void test_larger(void **state)
{
  g_autoptr(LvmVg) like = make_source();
  g_autoptr(GHashTable) sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  g_autofree char *a = lvm_test_file(folder, "large", 400 * MIB);
  const char *const paths[] = {a, NULL};
  GError *error = NULL;
  LvmStore *store;
  LvmVg *vg;

  add_size(sizes, "data", 200 * MIB, 20 * MIB, 0);
  add_size(sizes, "root", 17 * MIB, 0, 0);
  add_size(sizes, "vm-2", 1000 * MIB, 0, 0);
  store = make_like(like, paths, 8 * MIB, sizes, &error);
  assert_ok(store, error);
  vg = lvm_store_vg(store);
  assert_int_equal(lvm_lv_size(find(vg, "data_tdata")), 200 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "slow")), 24 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "root")), 24 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "vm-1")), 304 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "vm-2")), 1000 * MIB);
  assert_int_equal(lvm_lv_size(find(vg, "lvol0_pmspare")), 8 * MIB);
  lvm_store_close(store);
  g_assert(truncate(a, 0) == 0 && truncate(a, 400 * MIB) == 0);
  add_size(sizes, "vm-1", 299 * MIB, 0, 0);
  assert_null(make_like(like, paths, 0, sizes, &error));
  assert_error(error, EINVAL, "cannot shrink");
  g_hash_table_remove(sizes, "vm-1");
  add_size(sizes, "data", 16 * MIB, 20 * MIB, 0);
  assert_null(make_like(like, paths, 0, sizes, &error));
  assert_error(error, EINVAL, "smaller than what is in it");
}

/* Texts that say what cannot be, or what nobody can carry over. */
static void test_refused(void **state)
{
  static const struct {
    const char *find, *with, *says;
  } cases[] = {{"device_id = 9", "device_id = 7", "device id"},
               {"thin_pool = \"slow\"", "thin_pool = \"gone\"", "not there"},
               {"pool = \"slow_tdata\"", "pool = \"data_tdata\"", "another pool"},
               {"pool = \"slow_tdata\"", "pool = \"root\"", "of its own"},
               {"metadata = \"slow_tmeta\"", "metadata = \"lvol0_pmspare\"", "of its own"},
               {"transaction_id = 3", "transaction_id = 13", "later transaction"},
               {"type = \"striped\"", "type = \"raid1\"", "does not carry"},
               {"origin = \"vm-1\"", "external_origin = \"root\"", "outside"},
               {"root {", "..{", ""},
               {"device_id = 9", "device_id = 0", "device id"},
               {"device_id = 9", "device_id = 9\nmerge = \"vm-1\"", "let lvm2 finish that"},
               {"thin_pool = \"slow\"", "thin_pool = \"root\"", "not there"},
               {"pool = \"slow_tdata\"", "pool = \"gone_tdata\"", "of its own"},
               {"pool = \"slow_tdata\"", "pool = \"slow_tmeta\"", "of its own"},
               {"pool = \"slow_tdata\"", "pool = \"vm-2\"", "of its own"},
               {"pool = \"slow_tdata\"", "pool = \"slow\"", "of its own"},
               {"metadata = \"slow_tmeta\"", "metadata = \"data_tmeta\"", "another pool"},
               {"pool = \"slow_tdata\"", "message1 {\ncreate = \"vm-2\"\n}\npool = \"slow_tdata\"",
                "a change under way"}};
  g_autoptr(LvmVg) like = make_source();
  g_autofree char *text = lvm_vg_format(like, NULL);

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GString) changed = g_string_new(text);
    g_autoptr(LvmVg) vg = NULL;
    GError *error = NULL;

    assert_true(g_string_replace(changed, cases[i].find, cases[i].with, 1) == 1);
    vg = lvm_vg_parse(changed->str, changed->len, &error);
    assert_ok(vg, error);
    assert_false(lvm_vg_check_like(vg, &error));
    assert_error(error, EOPNOTSUPP, cases[i].says);
  }
}

/* @like with the first @find_text in the section of LV @name made @with. */
static LvmVg *with_changed(LvmVg *like, const char *name, const char *find_text, const char *with)
{
  g_autofree char *text = lvm_vg_format(like, NULL), *head = g_strdup_printf("\n%s {", name);
  g_autoptr(GString) changed = g_string_new(NULL);
  GError *error = NULL;
  const char *section, *at;
  LvmVg *vg;

  section = strstr(text, head);
  assert_non_null(section);
  at = strstr(section, find_text);
  assert_non_null(at);
  g_string_append_len(changed, text, at - text);
  g_string_append(changed, with);
  g_string_append(changed, at + strlen(find_text));
  vg = lvm_vg_parse(changed->str, changed->len, &error);
  assert_ok(vg, error);
  return vg;
}

/* What one volume's section says of itself. */
static void test_refused_volumes(void **state)
{
  static const struct {
    const char *name, *find, *with, *says;
  } cases[] = {
      {"snap", "\"VISIBLE\"", "\"READ\"", "is hidden"},
      {"root", "\"VISIBLE\"", "\"VISIBLE\", \"LOCKED\"", "is locked"},
      {"slow_tdata", "\"READ\"", "\"READ\", \"VISIBLE\"", "data and metadata of its own"},
      {"data_tmeta", "\"READ\"", "\"READ\", \"VISIBLE\"", "data and metadata of its own"},
  };
  g_autoptr(LvmVg) like = make_source();

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LvmVg) vg = with_changed(like, cases[i].name, cases[i].find, cases[i].with);
    GError *error = NULL;

    assert_false(lvm_vg_check_like(vg, &error));
    assert_error(error, EOPNOTSUPP, cases[i].says);
    assert_false(lvm_vg_fill_like(vg, vg, NULL, &error));
    assert_error(error, EOPNOTSUPP, cases[i].says);
  }
}

/* A snapshot of the old kind, and with it its origin. */
static void test_refused_snapshot(void **state)
{
  g_autoptr(LvmVg) like = make_source(), vg = NULL;
  GError *error = NULL;

  assert_ok(lvm_vg_add_linear(like, "store", 1, &error), error);
  assert_ok(lvm_vg_add_linear(like, "x", 1, &error), error);
  vg = with_changed(like, "x", "\"striped\"",
                    "\"snapshot\"\norigin = \"root\"\ncow_store = \"store\"");
  assert_false(lvm_vg_check_like(vg, &error));
  assert_error(error, EOPNOTSUPP, "root is of type snapshot");
}

/* Two volumes with one UUID. */
static void test_refused_id(void **state)
{
  g_autoptr(LvmVg) like = make_source();
  g_autofree char *twice = g_strdup_printf("id = \"%s\"", lvm_lv_uuid(find(like, "vm-1"))),
                  *own = g_strdup_printf("id = \"%s\"", lvm_lv_uuid(find(like, "vm-2")));
  g_autoptr(LvmVg) vg = with_changed(like, "vm-2", own, twice);
  GError *error = NULL;

  assert_false(lvm_vg_check_like(vg, &error));
  assert_error(error, EOPNOTSUPP, "has no UUID of its own");
}

/* A volume that lies beneath a pool's part, or is a second spare; sizes that cannot be. */
static void test_odd_sizes(void **state)
{
  g_autoptr(LvmVg) like = make_source();
  g_autoptr(GHashTable) sizes = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  g_autofree char *a = lvm_test_file(folder, "odd", 400 * MIB);
  const char *const paths[] = {a, NULL};
  GError *error = NULL;
  LvmStore *store;

  add_size(sizes, "vm-2", G_GUINT64_CONSTANT(1) << 60, 0, 0);
  assert_null(make_like(like, paths, 0, sizes, &error));
  assert_error(error, EINVAL, "volume vm-2 cannot have");
  g_hash_table_remove(sizes, "vm-2");
  add_size(sizes, "slow", G_GUINT64_CONSTANT(1) << 60, 0, 0);
  assert_null(make_like(like, paths, 0, sizes, &error));
  assert_error(error, EINVAL, "volume slow cannot have");
  add_size(sizes, "slow", 0, 0, 0); /* nothing is said of it but that it is there */
  assert_true(truncate(a, 0) == 0 && truncate(a, 400 * MIB) == 0);
  store = make_like(like, paths, 0, sizes, &error);
  assert_ok(store, error);
  assert_int_equal(lvm_lv_size(find(lvm_store_vg(store), "slow")), 20 * MIB);
  lvm_store_close(store);
}

/* A volume group that is not empty has a volume of that name. */
static void test_name_taken(void **state)
{
  g_autoptr(LvmVg) like = make_source();
  static const char *const names[] = {"root", "data", "vm-1"};
  char *paths[1];
  LvmStore *store = lvm_test_create(folder, 1, 400 * MIB, MIB, paths);

  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(LvmVg) vg = lvm_vg_copy(lvm_store_vg(store));
    GError *error = NULL;
    LvmLv *lv = lvm_vg_add_linear(vg, "there", 1, &error);

    assert_ok(lv, error);
    assert_ok(lvm_vg_rename_lv(vg, lv, names[i], &error), error);
    assert_false(lvm_vg_fill_like(vg, like, NULL, &error));
    assert_error(error, EEXIST, "already");
  }
  lvm_store_close(store);
  g_free(paths[0]);
}

/* @like, and in it a volume "x" that is hidden, as a part of another is, called @name. */
static LvmVg *with_hidden(LvmVg *like, const char *name)
{
  g_autoptr(LvmVg) more = lvm_vg_copy(like), hidden = NULL;
  g_autofree char *head = g_strdup_printf("\n%s {", name), *text = NULL, *renamed = NULL;
  GError *error = NULL;
  LvmVg *vg;

  assert_ok(lvm_vg_add_linear(more, "x", 1, &error), error);
  hidden = with_changed(more, "x", ", \"VISIBLE\"", "");
  text = lvm_vg_format(hidden, NULL);
  renamed = lvm_test_replace(text, "\nx {", head);
  vg = lvm_vg_parse(renamed, strlen(renamed), &error);
  assert_ok(vg, error);
  return vg;
}

/* What lies beneath a part that was no linear volume is left out; a pool has one spare. */
static void test_hidden(void **state)
{
  g_autoptr(LvmVg) like = make_source(), beneath = with_hidden(like, "root_rimage_0"),
                   twice = with_hidden(like, "more_pmspare");
  g_autofree char *a = lvm_test_file(folder, "hidden", 400 * MIB);
  const char *const paths[] = {a, NULL};
  GError *error = NULL;
  LvmStore *store = make_like(beneath, paths, 0, NULL, &error);

  assert_ok(store, error);
  assert_null(lvm_vg_find_lv(lvm_store_vg(store), "root_rimage_0"));
  same_lvs(like, lvm_store_vg(store));
  lvm_store_close(store);
  assert_true(truncate(a, 0) == 0 && truncate(a, 400 * MIB) == 0);
  assert_null(make_like(twice, paths, 0, NULL, &error));
  assert_error(error, EOPNOTSUPP, "is there twice");
}

/* A limit was for the physical volumes that it had; an origin that is gone is none. */
static void test_left_out(void **state)
{
  g_autoptr(LvmVg) like = make_source(), vg = with_changed(like, "snap", "\"vm-1\"", "\"gone\"");
  g_autofree char *text = lvm_vg_format(vg, NULL),
                  *limited = lvm_test_replace(text, "max_pv = 0", "max_pv = 2"), *made = NULL,
                  *a = lvm_test_file(folder, "left", 400 * MIB);
  const char *const paths[] = {a, NULL};
  GError *error = NULL;
  LvmStore *store;
  g_autoptr(LvmVg) odd = lvm_vg_parse(limited, strlen(limited), &error);

  assert_ok(odd, error);
  store = make_like(odd, paths, 0, NULL, &error);
  assert_ok(store, error);
  assert_null(lvm_thin_origin(find(lvm_store_vg(store), "snap")));
  made = lvm_vg_format(lvm_store_vg(store), NULL);
  assert_null(strstr(made, "max_pv = 2"));
  lvm_store_close(store);
}

/* Extents side by side, where those that are free lie apart. */
static void test_contiguous(void **state)
{
  static const struct {
    const char *name;
    guint64 size;
  } cases[] = {{"data_tdata", 80 * MIB}, {"root", 8 * MIB}, {"data_tmeta", 3 * MIB}};
  g_autoptr(LvmVg) like = make_source();

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LvmVg) vg = with_changed(like, cases[i].name, "segment_count",
                                       "allocation_policy = \"contiguous\"\nsegment_count");
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    GError *error = NULL;

    for (guint64 left = 400 * MIB; left > 0; left -= MIN(left, cases[i].size)) {
      g_autofree char *name = g_strdup_printf("%u-%u", i, paths->len);
      g_ptr_array_add(paths, lvm_test_file(folder, name, cases[i].size));
    }
    g_ptr_array_add(paths, NULL);
    assert_null(make_like(vg, (const char *const *)paths->pdata, 0, NULL, &error));
    assert_error(error, ENOSPC, "");
  }
}

int main(void)
{
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_same, setup, teardown),
      cmocka_unit_test_setup_teardown(test_smaller, setup, teardown),
      cmocka_unit_test_setup_teardown(test_larger, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused_volumes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused_snapshot, setup, teardown),
      cmocka_unit_test_setup_teardown(test_refused_id, setup, teardown),
      cmocka_unit_test_setup_teardown(test_odd_sizes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_name_taken, setup, teardown),
      cmocka_unit_test_setup_teardown(test_contiguous, setup, teardown),
      cmocka_unit_test_setup_teardown(test_hidden, setup, teardown),
      cmocka_unit_test_setup_teardown(test_left_out, setup, teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
