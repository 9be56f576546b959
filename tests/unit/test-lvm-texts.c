/* virt-thin - tests: every text of a volume group that can be found
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/store-private.h"
#include "lvm/texts.h"

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

static GPtrArray *find(const char *path, const char *second, const char *name, const char *archive,
                       LvmProbe **probe)
{
  const char *paths[] = {path, second, NULL}, *folders[] = {archive, NULL};

  *probe = lvm_probe(paths, NULL, NULL, NULL);
  return lvm_texts_find(*probe, name, folders, NULL);
}

/* @n texts of falling seqno from @newest on. */
static void assert_falling(GPtrArray *texts, guint newest, guint n)
{
  assert_int_equal(texts->len, n);
  for (guint i = 0; i < texts->len; i++) {
    const LvmText *text = texts->pdata[i];

    assert_int_equal(text->seqno, newest - i);
    assert_non_null(text->vg);
    assert_int_equal(lvm_vg_seqno(text->vg), newest - i);
  }
}

static void test_ring(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean");
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = find(path, NULL, "pve", NULL, &probe);
  const LvmText *newest = texts->pdata[0];

  assert_falling(texts, 24, 24);
  assert_int_equal(newest->kind, LVM_TEXT_COMMITTED);
  assert_int_equal(((LvmText *)texts->pdata[1])->kind, LVM_TEXT_RING);
  assert_int_equal(newest->n_pvs, 1);
  assert_int_equal(newest->n_present, 1);
  assert_true(newest->creation_time > 1700000000);
  assert_non_null(strstr(newest->sources->pdata[0], path));
}

static void zero(const char *path, guint64 offset, gsize length)
{
  g_autofree char *zeros = g_malloc0(length);
  FILE *file = g_fopen(path, "r+");

  assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
  assert_int_equal(fwrite(zeros, 1, length, file), length);
  fclose(file);
}

static void test_without_label_and_header(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean");
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = NULL;

  zero(path, 0, 4608);
  texts = find(path, NULL, "pve", NULL, &probe);
  assert_falling(texts, 24, 24);
  assert_int_equal(((LvmText *)texts->pdata[0])->kind, LVM_TEXT_RING);
}

static void test_damaged_text(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "01-clean");
  g_autoptr(LvmProbe) whole = NULL, probe = NULL;
  g_autoptr(GPtrArray) before = find(path, NULL, "pve", NULL, &whole), texts = NULL;
  const char *source = ((LvmText *)before->pdata[0])->sources->pdata[0];

  lvm_test_flip(path, g_ascii_strtoull(strstr(source, "offset ") + 7, NULL, 10) + 100);
  texts = find(path, NULL, "pve", NULL, &probe);
  assert_int_equal(((LvmText *)texts->pdata[0])->seqno, 23);
}

/* Two PVs and an archive: what is in all of them is one text. */
static void make_history(char **paths, const char *archive)
{
  LvmStore *store = lvm_test_create(folder, 2, 64 * MIB, 0, paths);
  GError *error = NULL;

  for (guint i = 0; i < 5; i++) {
    g_autofree char *name = g_strdup_printf("lv%u", i);
    LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

    assert_ok(lvm_vg_add_linear(vg, name, 1, &error), error);
    assert_ok(lvm_store_commit(store, vg, archive, name, &error), error);
  }
  lvm_store_close(store);
}

static void test_joined(void **state)
{
  g_autofree char *archive = g_build_filename(folder, "archive", NULL), *first = NULL,
                  *second = NULL;
  char *paths[2];
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = NULL;

  make_history(paths, archive);
  first = paths[0];
  second = paths[1];
  texts = find(first, second, "tvg", archive, &probe);
  assert_falling(texts, 6, 6);
  assert_int_equal(((LvmText *)texts->pdata[0])->sources->len, 2);
  assert_int_equal(((LvmText *)texts->pdata[0])->kind, LVM_TEXT_COMMITTED);
  assert_int_equal(((LvmText *)texts->pdata[1])->sources->len, 3);
  assert_int_equal(((LvmText *)texts->pdata[1])->kind, LVM_TEXT_ARCHIVE);
  assert_string_equal(((LvmText *)texts->pdata[1])->description,
                      "Created *before* executing 'lv4'");
}

/* Nothing on the PVs is left; another VG had the name before. */
static void test_archive_alone(void **state)
{
  g_autofree char *archive = g_build_filename(folder, "archive", NULL), *first = NULL,
                  *second = NULL;
  char *paths[2];
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  g_autoptr(LvmStore) store = NULL;

  make_history(paths, archive);
  g_free(paths[0]);
  g_free(paths[1]);
  make_history(paths, archive);
  first = paths[0];
  second = paths[1];
  zero(first, 4096, 16 * MIB);
  zero(second, 4096, 16 * MIB);
  texts = find(first, second, "tvg", archive, &probe);
  assert_falling(texts, 5, 5);
  assert_int_equal(((LvmText *)texts->pdata[0])->n_present, 2);
  store = lvm_store_open_as(probe, ((LvmText *)texts->pdata[0])->vg);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 5);
  for (const char *const *warning = lvm_store_warnings(store); *warning; warning++)
    assert_null(strstr(*warning, "missing"));
}

static void test_file(void **state)
{
  g_autofree char *path = g_build_filename(folder, "text", NULL);
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) none = find("/dev/null", NULL, "pve", NULL, &probe);
  g_autofree char *content = NULL;
  g_autoptr(LvmText) text = NULL;
  GError *error = NULL;
  gsize length;

  assert_int_equal(none->len, 0);
  content = lvm_test_read("vgcfgbackup-04-final.txt", &length);
  assert_ok(g_file_set_contents(path, content, (gssize)length, &error), error);
  assert_null(lvm_text_read(probe, "/nowhere", "pve", &error));
  assert_int_equal(vt_error_to_errno(error), ENOENT);
  g_clear_error(&error);
  text = lvm_text_read(probe, path, NULL, &error);
  assert_ok(text, error);
  lvm_text_free(g_steal_pointer(&text));
  lvm_text_free(NULL);
  assert_null(lvm_text_read(probe, path, "other", &error));
  assert_error(error, EINVAL, "is a text of volume group pve");
  text = lvm_text_read(probe, path, "pve", &error);
  assert_ok(text, error);
  assert_int_equal(text->n_present, 0);
  assert_ok(g_file_set_contents(path, content, (gssize)length / 2, &error), error);
  assert_null(lvm_text_read(probe, path, "pve", &error));
  assert_error(error, EBADMSG, path);
}

/* A ring with what is no text, with one of another VG, and a header that points nowhere. */
static void test_other_texts(void **state)
{
  const LvmRange range = {4096, MIB - 4096};
  g_autofree char *text = NULL, *other = NULL, *none = NULL, *first = NULL;
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = NULL;
  char *paths[1];
  LvmStore *store = lvm_test_create(folder, 1, 16 * MIB, MIB, paths);

  text = lvm_vg_format(lvm_store_vg(store), NULL);
  lvm_store_close(store);
  first = paths[0];
  other = lvm_test_replace(text, "tvg {", "pvg {");
  none = lvm_test_replace(text, "seqno", "=");
  lvm_test_put(first, 4096 + 512 * 100, other, strlen(other) + 1);
  lvm_test_put(first, 4096 + 512 * 200, none, strlen(none) + 1);
  lvm_test_set_areas(first, &range, 1, NULL);
  texts = find(first, NULL, "tvg", NULL, &probe);
  assert_int_equal(texts->len, 1);
  assert_int_equal(((LvmText *)texts->pdata[0])->kind, LVM_TEXT_RING);
}

static VtIo *open_counted(const char *path, gboolean read_only, gpointer n, GError **error)
{
  ++*(guint *)n;
  return vt_io_open_file(path, read_only, error);
}

/* What is no PV is opened as the probe opens; what cannot be is told. What is a part of something
 * else is left alone. */
static void test_no_physical_volumes(void **state)
{
  static const guint32 mark[] = {GUINT32_TO_LE(0xa92b4efc), 0, GUINT32_TO_LE(90)};
  g_autofree char *path = lvm_test_fixture(folder, "01-clean"),
                  *part = g_build_filename(folder, "part", NULL);
  const char *paths[] = {path, "/nowhere", NULL}, *parts[] = {part, NULL};
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free), texts = NULL, none = NULL;
  g_autoptr(LvmProbe) probe = NULL, probe_of_part = NULL;
  guint n = 0;

  assert_int_equal(g_rename(path, part), 0);
  g_free(path);
  path = lvm_test_fixture(folder, "01-clean");
  paths[0] = path;
  zero(path, 0, 4608);
  probe = lvm_probe(paths, NULL, open_counted, &n);
  n = 0;
  texts = lvm_texts_find(probe, "pve", NULL, problems);
  assert_falling(texts, 24, 24);
  assert_int_equal(n, 2);
  assert_int_equal(problems->len, 1);
  assert_non_null(strstr(problems->pdata[0], "/nowhere"));
  assert_int_equal(truncate(part, 258 * MIB), 0);
  lvm_test_put(part, 258 * MIB - 64 * 1024, mark, sizeof mark);
  probe_of_part = lvm_probe(parts, NULL, NULL, NULL);
  assert_int_equal(probe_of_part->parts->len, 1);
  none = lvm_texts_find(probe_of_part, "pve", NULL, NULL);
  assert_int_equal(none->len, 0);
}

/* Texts of one seqno and one second are in order of their names. */
static void test_same_time(void **state)
{
  g_autofree char *content = lvm_test_read("vgcfgbackup-04-final.txt", NULL),
                  *other = lvm_test_replace(content, "max_lv = 0", "max_lv = 99");
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = NULL;

  assert_string_not_equal(content, other);
  for (guint i = 1; i <= 2; i++) {
    g_autofree char *path = g_strdup_printf("%s/pve_0000%u-1.vg", folder, i);

    assert_true(g_file_set_contents(path, i == 1 ? other : content, -1, NULL));
  }
  texts = find("/dev/null", NULL, "pve", folder, &probe);
  assert_int_equal(texts->len, 2);
  for (guint i = 0; i < 2; i++) {
    g_autofree char *name = g_strdup_printf("pve_0000%u-1.vg", i + 1);

    assert_non_null(strstr(((LvmText *)texts->pdata[i])->sources->pdata[0], name));
  }
}

static void test_too_many(void **state)
{
  g_autofree char *content = lvm_test_read("vgcfgbackup-04-final.txt", NULL);
  const guint n = LVM_TEXTS_MAX + 10;
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = NULL;

  for (guint i = 1; i <= n; i++) {
    g_autofree char *path = g_strdup_printf("%s/pve_%05u-1.vg", folder, i),
                    *seqno = g_strdup_printf("seqno = %u #", i),
                    *text = lvm_test_replace(content, "seqno = ", seqno);

    assert_true(g_file_set_contents(path, text, -1, NULL));
  }
  texts = find("/dev/null", NULL, "pve", folder, &probe);
  assert_falling(texts, n, LVM_TEXTS_MAX);
}

static LvmVg *parse(const char *text)
{
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(text, strlen(text), &error);

  assert_ok(vg, error);
  return vg;
}

/* What is about to be made is a volume; what is about to be deleted is none; nor is another
 * pool's. */
static void test_messages(void **state)
{
  static const guint32 left[] = {1, 3, 4};
  g_autofree char *all = lvm_test_read("all-kinds.txt", NULL),
                  *text = lvm_test_replace(all, "delete = 9", "delete = 2");
  g_autoptr(LvmVg) vg = parse(text);
  g_autoptr(GArray) devices = NULL, of_other = NULL;
  LvmLv *other;

  assert_non_null(other = lvm_vg_add_thin_pool(vg, "other", 1, 1, 65536, NULL));
  assert_non_null(lvm_vg_add_thin(vg, other, "alone", 1, 7, NULL, NULL));
  devices = lvm_pool_devices(vg, lvm_vg_find_lv(vg, "pool"));
  assert_int_equal(devices->len, G_N_ELEMENTS(left));
  assert_memory_equal(devices->data, left, sizeof left);
  of_other = lvm_pool_devices(vg, other);
  assert_int_equal(of_other->len, 1);
  assert_int_equal(g_array_index(of_other, guint32, 0), 7);
}

static void test_devices_of_a_pool(void **state)
{
  g_autofree char *path = lvm_test_fixture(folder, "06-delete-msg-pending");
  g_autoptr(LvmProbe) probe = NULL;
  g_autoptr(GPtrArray) texts = find(path, NULL, "pve", NULL, &probe);
  LvmVg *vg = ((LvmText *)texts->pdata[0])->vg;
  g_autoptr(GArray) devices = lvm_pool_devices(vg, lvm_vg_find_lv(vg, "data"));

  assert_int_equal(devices->len, 1);
  assert_int_equal(g_array_index(devices, guint32, 0), 1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_ring, setup, teardown),
      cmocka_unit_test_setup_teardown(test_without_label_and_header, setup, teardown),
      cmocka_unit_test_setup_teardown(test_damaged_text, setup, teardown),
      cmocka_unit_test_setup_teardown(test_joined, setup, teardown),
      cmocka_unit_test_setup_teardown(test_archive_alone, setup, teardown),
      cmocka_unit_test_setup_teardown(test_file, setup, teardown),
      cmocka_unit_test_setup_teardown(test_other_texts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_no_physical_volumes, setup, teardown),
      cmocka_unit_test_setup_teardown(test_same_time, setup, teardown),
      cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
      cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
      cmocka_unit_test_setup_teardown(test_devices_of_a_pool, setup, teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
