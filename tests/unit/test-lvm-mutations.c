/* virt-thin - tests: a volume group's text of which any one line says something else
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The text has volumes of all kinds that are told apart. Each line of it in turn is left out,
 * doubled, and made to say each of some things that it should not. Such a text is refused with a
 * reason, or it is a volume group: then everything is asked of it, and every change is tried. What
 * comes of that is a text that can be read again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lvm-helper.h"
#include "lvm/model/vg-private.h"

#define ID(n) "0000" n "-0000-0000-0000-0000-0000-0000" n
#define LV(name, n, status, segments)                                                              \
  name " {\nid = \"" ID(n) "\"\nstatus = [" status "]\nflags = []\ncreation_time = 5\n"            \
                           "segment_count = " segments "}\n"
#define SEGMENT(k, start, n, type)                                                                 \
  "segment" k " {\nstart_extent = " start "\nextent_count = " n "\ntype = \"" type "\"\n"
#define STRIPED(k, start, n, pv, at)                                                               \
  SEGMENT(k, start, n, "striped") "stripe_count = 1\nstripes = [\n\"" pv "\", " at "\n]\n}\n"
#define LINEAR(n, pv, at) "1\n" STRIPED("1", "0", n, pv, at)
#define THIN(device, more)                                                                         \
  "1\n" SEGMENT("1", "0", "40", "thin") "thin_pool = \"pool\"\ntransaction_id = 1\n"               \
                                        "device_id = " device "\n" more "}\n"

/* Extents of pv0: 0-1 pool_tmeta, 2-11 pool_tdata, 12-13 the spare, 14-19 lin, ...; of pv1 likewise
 * behind what is striped. */
static const char text_of_all[] = "vg {\nid = \"" ID(
    "01") "\"\nseqno = 7\nformat = \"lvm2\"\n"
          "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\ntags = [\"a\"]\n"
          "extent_size = 8192\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = 0\n"
          "allocation_policy = \"normal\"\n"
          "physical_volumes {\n"
          "pv0 {\nid = \"" ID(
              "02") "\"\ndevice = \"/dev/a\"\nstatus = [\"ALLOCATABLE\"]\nflags = []\n"
                    "dev_size = 1000000\npe_start = 2048\npe_count = 100\n}\n"
                    "pv1 {\nid = \"" ID(
                        "03") "\"\ndevice = \"/dev/b\"\nstatus = [\"ALLOCATABLE\"]\nflags = []\n"
                              "dev_size = 1000000\npe_start = 2048\npe_count = 100\n}\n}\n"
                              "logical_volumes {\n" LV(
                                  "pool", "04", "\"READ\", \"WRITE\", \"VISIBLE\"",
                                  "1\n" SEGMENT(
                                      "1", "0", "10",
                                      "thin-pool") "metadata = \"pool_tmeta\"\npool = "
                                                   "\"pool_tdata\"\n"
                                                   "transaction_id = 2\nchunk_size = 128\ndiscards "
                                                   "= \"passdown\"\nzero_new_blocks = 1\n"
                                                   "message1 {\ncreate = \"snap\"\n}\nmessage2 "
                                                   "{\ndelete = 9\n}\n}\n") LV("thin", "05",
                                                                               "\"READ\", "
                                                                               "\"WRITE\", "
                                                                               "\"VISIBLE\"",
                                                                               THIN("1", ""))
                                  LV("snap", "06", "\"READ\", \"VISIBLE\"",
                                     THIN("2",
                                          "origin = \"thin\"\n")) LV("merging", "07",
                                                                     "\"READ\", \"WRITE\", "
                                                                     "\"VISIBLE\"",
                                                                     THIN(
                                                                         "3",
                                                                         "origin = \"thin\"\nmerge "
                                                                         "= \"thin\"\n"))
                                      LV("outside", "08", "\"READ\", \"WRITE\", \"VISIBLE\"",
                                         THIN("4", "external_origin = \"lin\"\n"))
                                          LV("lin", "09", "\"READ\", \"WRITE\", \"VISIBLE\"",
                                             "2\n" STRIPED("1", "0", "4", "pv0", "14") STRIPED(
                                                 "2", "4", "2", "pv1",
                                                 "50")) LV("two", "10",
                                                           "\"READ\", \"WRITE\", \"VISIBLE\"",
                                                           "1\n" SEGMENT(
                                                               "1", "0", "4",
                                                               "striped") "stripe_count = "
                                                                          "2\nstripe_size = 128\n"
                                                                          "stripes = [\n\"pv0\", "
                                                                          "20,\n\"pv1\", 0\n]\n}\n")
                                              LV("origin", "11", "\"READ\", \"WRITE\", \"VISIBLE\"",
                                                 LINEAR(
                                                     "2", "pv0",
                                                     "30")) LV("cow", "12",
                                                               "\"READ\", \"WRITE\", \"VISIBLE\"",
                                                               LINEAR("2", "pv0", "32"))
                                                  LV("snapshot0", "13", "\"READ\", \"WRITE\"",
                                                     "1\n" SEGMENT(
                                                         "1", "0", "2",
                                                         "snapshot") "chunk_size = 8\norigin = "
                                                                     "\"origin\"\ncow_store = "
                                                                     "\"cow\"\n}\n")
                                                      LV("mirrored", "14",
                                                         "\"READ\", \"WRITE\", \"VISIBLE\"",
                                                         "1\n" SEGMENT(
                                                             "1", "0", "2",
                                                             "raid1") "device_count = "
                                                                      "2\nregion_size = 1024\n"
                                                                      "raids = [\n\"m_rmeta_0\", "
                                                                      "\"m_rimage_0\", \"pv0\", "
                                                                      "60\n]\n}\n")
                                                          LV("m_rimage_0", "15",
                                                             "\"READ\", \"WRITE\"",
                                                             LINEAR("2", "pv0",
                                                                    "40")) LV("m_rmeta_0", "16",
                                                                              "\"READ\", \"WRITE\"",
                                                                              LINEAR("1", "pv0",
                                                                                     "42"))
                                                              LV("moving", "17",
                                                                 "\"READ\", \"WRITE\", "
                                                                 "\"VISIBLE\", \"LOCKED\"",
                                                                 LINEAR("2", "pvmove0", "0"))
                                                                  LV("pvmove0", "18",
                                                                     "\"READ\", \"WRITE\", "
                                                                     "\"PVMOVE\", \"LOCKED\"",
                                                                     LINEAR("2", "pv1", "60"))
                                                                      LV("pool_tmeta", "19",
                                                                         "\"READ\", \"WRITE\"",
                                                                         LINEAR(
                                                                             "2", "pv0",
                                                                             "0")) LV("pool_tdata",
                                                                                      "20",
                                                                                      "\"READ\", "
                                                                                      "\"WRITE\"",
                                                                                      LINEAR("10",
                                                                                             "pv0",
                                                                                             "2"))
                                                                          LV("lvol0_pmspare", "21",
                                                                             "\"READ\", \"WRITE\"",
                                                                             LINEAR(
                                                                                 "2", "pv0",
                                                                                 "12")) "}\n"
                                                                                        "historical"
                                                                                        "_logical_"
                                                                                        "volumes "
                                                                                        "{\n"
                                                                                        "gone "
                                                                                        "{\nname = "
                                                                                        "\"gone\"\n"
                                                                                        "origin = "
                                                                                        "\"thin\"\n"
                                                                                        "descendant"
                                                                                        "s = "
                                                                                        "[\"snap\","
                                                                                        " \"lin\"]"
                                                                                        "\n}\n}\n"
                                                                                        "}\ncontent"
                                                                                        "s = "
                                                                                        "\"Text "
                                                                                        "Format "
                                                                                        "Volume "
                                                                                        "Group\"\nv"
                                                                                        "ersion = "
                                                                                        "1\n";

/* What a value is made to say. */
static const char *const values[] = {"0",
                                     "1",
                                     "3",
                                     "100",
                                     "-1",
                                     "1.5",
                                     "4294967296",
                                     "18446744073709551615",
                                     "\"\"",
                                     "\"nonsense\"",
                                     "\"pool\"",
                                     "\"pv1\"",
                                     "\"lin\"",
                                     "\"pool_tdata\"",
                                     "\"pvmove0\"",
                                     "\"striped\"",
                                     "\"thin\"",
                                     "\"thin-pool\"",
                                     "\"raid1\"",
                                     "\"snapshot\"",
                                     "\"cling\"",
                                     "\"contiguous\"",
                                     "\"inherit\"",
                                     "\"none\"",
                                     "\"dlm\"",
                                     "\"striped+WHATEVER\"",
                                     "[]",
                                     "[\"WRITE\"]",
                                     "[\"MISSING\"]",
                                     "[\"LOCKED\", \"VISIBLE\"]",
                                     "[\"EXPORTED\"]",
                                     "[\"SHARED\"]",
                                     "[\"pv0\", 99]",
                                     "[\"pv0\", 1, \"pv1\", 1, \"pv1\", 5]",
                                     "[\"pv0\"]",
                                     "[5, 6]",
                                     "[\"pvmove0\", 0]",
                                     "[\"snap\", \"pool\"]"};
/* What a section is made to be called, and lines that are put before it. */
static const char *const names[] = {"pool {",
                                    "pv0 {",
                                    "a/b {",
                                    "segment2 {",
                                    "message1 {",
                                    "physical_volumes {",
                                    "logical_volumes {",
                                    "x {"};
static const char *const more[] = {"allocation_policy = \"cling\"",
                                   "lock_type = \"sanlock\"",
                                   "pr = [\"require\"]",
                                   "system_id = \"other\"",
                                   "system_id = \"virt-thin.other\"",
                                   "profile = \"p\"",
                                   "# a remark",
                                   "merge = \"snap\"",
                                   "max_lv = 3",
                                   "max_pv = 1"};

static guint n_refused, n_taken;

static void discard(GError **error, gboolean ok)
{
  if (!ok) {
    assert_non_null(*error);
    assert_true((*error)->domain == VT_ERROR && *(*error)->message);
  }
  g_clear_error(error);
}
#define TRY(call)                                                                                  \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    gboolean ok_ = (call) != 0;                                                                    \
    discard(&error, ok_);                                                                          \
  } while (0)

static void ask_lv(LvmVg *vg, LvmLv *lv)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);
  g_autofree char *old = lvm_lv_old_snapshot(lv);
  g_autoptr(GArray) messages = lvm_pool_messages(lv);
  guint64 offset;
  LvmPv *pv;

  assert_non_null(lvm_lv_name(lv));
  lvm_lv_segment_type(lv);
  lvm_lv_is_visible(lv);
  lvm_lv_is_writable(lv);
  lvm_lv_creation_time(lv);
  lvm_lv_profile(vg, lv);
  lvm_lv_has_flag(lv, "LOCKED");
  lvm_lv_n_growth(lv);
  lvm_lv_find_run(vg, lv, &pv, &offset);
  if (lvm_lv_kind(lv) == LVM_LV_THIN_POOL) {
    assert_true(lvm_pool_next_device(vg, lv) > 0);
    lvm_pool_discards(lv);
    lvm_pool_zeroes(lv);
  }
  lvm_thin_external_origin(lv);
  lvm_thin_merge(lv);
}

static void ask(LvmVg *vg)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  g_autoptr(LvmVg) other = lvm_vg_copy(vg);

  lvm_vg_unwritable(vg);
  lvm_vg_n_free_extents(vg);
  lvm_vg_has_flag(vg, "EXPORTED");
  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i], *same = lvm_vg_find_lv(other, lvm_lv_name(lv));

    ask_lv(vg, lv);
    lvm_lv_same_extents(lv, same);
    lvm_lv_same_extents(lv, lvs->pdata[0]);
  }
  TRY(lvm_vg_check_new_pv(vg, &error));
}

/* One change of each kind, to volume @i. */
static void change(LvmVg *vg, guint i)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
  LvmLv *lv = lvs->pdata[i], *pool = lvm_vg_find_lv(vg, "pool");

  TRY(lvm_lv_add_tag(lv, "t", &error));
  lvm_lv_remove_tag(lv, "t");
  lvm_lv_set_writable(lv, i % 2);
  lvm_lv_set_visible(lv, TRUE);
  if (lvm_lv_kind(lv) == LVM_LV_THIN) {
    TRY(lvm_thin_set_extents(lv, 50, &error));
    lvm_thin_set_merge(lv, "lin");
    lvm_thin_set_device(lv, 20, 3);
  }
  if (pool && lvm_lv_kind(pool) == LVM_LV_THIN_POOL) {
    TRY(lvm_vg_add_thin(vg, pool, "new", 10, 30 + i, lvm_lv_name(lv), &error));
    TRY(lvm_vg_grow_pool_data(vg, pool, 10 + i, &error));
    TRY(lvm_vg_grow_pool_metadata(vg, pool, 3, &error));
    lvm_pool_add_create(pool, "lin");
    lvm_pool_add_delete(pool, 5);
  }
  TRY(lvm_vg_add_linear(vg, "more", 3 + i, &error));
  TRY(lvm_vg_add_thin_pool(vg, "pool2", 5, 1, 65536, &error));
  TRY(lvm_vg_rename_lv(vg, lv, "renamed", &error));
  if (i % 3 == 0)
    lvm_vg_set_system_id(vg, i % 2 ? "other" : NULL);
  TRY(lvm_vg_remove_lv(vg, lv, &error));
}

static void make_like(LvmVg *like)
{
  g_autoptr(LvmVg) vg = NULL;

  TRY(lvm_vg_check_like(like, &error));
  TRY(vg = lvm_vg_new_like(like, "other", 8 * MIB, NULL, &error));
}

static void assert_readable(LvmVg *vg, const char *was)
{
  gsize length;
  g_autofree char *text = lvm_vg_format(vg, &length);
  GError *error = NULL;
  LvmVg *again = lvm_vg_parse(text, length, &error);

  if (!again)
    fail_msg("%s\n--- of\n%s--- came\n%s", error->message, was, text);
  lvm_vg_free(again);
}

static void try_text(const char *text)
{
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(text, strlen(text), &error);
  guint n;

  if (!vg) {
    discard(&error, FALSE);
    n_refused++;
    return;
  }
  n_taken++;
  n = g_queue_get_length(&vg->lvs);
  ask(vg);
  make_like(vg);
  for (guint i = n_taken % 7; i < n; i += 7) {
    g_autoptr(LvmVg) copy = lvm_vg_copy(vg);

    change(copy, i);
    assert_readable(copy, text);
  }
  lvm_vg_free(vg);
}

/* The text with @lines, but for @i, which is @instead (NULL: itself), behind @before. */
static void try_line(char **lines, guint i, const char *before, const char *instead)
{
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint j = 0; lines[j]; j++) {
    const char *line = j == i && instead ? instead : lines[j];

    g_string_append_printf(text, "%s%s%s%s", j == i ? before : "", j == i && *before ? "\n" : "",
                           line, lines[j + 1] ? "\n" : "");
  }
  try_text(text->str);
}

static void try_values(char **lines, guint i)
{
  g_autofree char *key = g_strndup(lines[i], strcspn(lines[i], "="));

  for (guint v = 0; v < G_N_ELEMENTS(values); v++) {
    g_autofree char *line = g_strdup_printf("%s= %s", key, values[v]);

    if (!g_str_has_suffix(lines[i], "["))
      try_line(lines, i, "", line);
  }
}

static void try_names(char **lines, guint i)
{
  for (guint v = 0; v < G_N_ELEMENTS(names); v++)
    try_line(lines, i, "", names[v]);
  for (guint v = 0; v < G_N_ELEMENTS(more); v++) {
    g_autofree char *line = g_strdup_printf("%s\n%s", lines[i], more[v]);

    try_line(lines, i, more[v], NULL);
    try_line(lines, i, "", line);
  }
}

static void test_as_it_is(void **state)
{
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(text_of_all, strlen(text_of_all), &error);

  assert_ok(vg, error);
  assert_null(lvm_vg_unwritable(vg));
  assert_int_equal(g_queue_get_length(&vg->lvs), 18);
  lvm_vg_free(vg);
  try_text(text_of_all);
}

/* lvconvert --merge of a snapshot of the old kind, before it is done. */
static void test_merging_snapshot(void **state)
{
  g_auto(GStrv) parts = g_strsplit(text_of_all, "cow_store", -1);
  g_autofree char *text = g_strjoinv("merging_store", parts), *old = NULL;
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(text, strlen(text), &error);

  assert_ok(vg, error);
  assert_false(lvm_lv_is_writable(lvm_vg_find_lv(vg, "origin")));
  old = lvm_lv_old_snapshot(lvm_vg_find_lv(vg, "origin"));
  assert_string_equal(old, "vg/cow");
  lvm_vg_free(vg);
}

static void test_each_line(void **state)
{
  g_auto(GStrv) lines = g_strsplit(text_of_all, "\n", -1);

  n_refused = n_taken = 0;
  for (guint i = 0; lines[i]; i++) {
    try_line(lines, i, "", "");
    try_line(lines, i, lines[i], NULL);
    if (strstr(lines[i], " = "))
      try_values(lines, i);
    if (g_str_has_suffix(lines[i], " {"))
      try_names(lines, i);
  }
  print_message("# %u texts were refused, %u taken\n", n_refused, n_taken);
  assert_true(n_refused > 1000 && n_taken > 1000);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_as_it_is),
      cmocka_unit_test(test_merging_snapshot),
      cmocka_unit_test(test_each_line),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
