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

/* What a value is made to say. */
static const char values[] =
    "0|1|3|100|08|-1|1.5|16777216|4294967296|18446744073709551615|\"\"|\"nonsense\"|\"pool\"|"
    "\"pv1\"|\"linear\"|\"cache-pool\"|\"striped+\"|\"+\"|\"stripe\"|"
    "\"lin\"|\"pool_tdata\"|\"pvmove0\"|\"striped\"|\"thin\"|\"thin-pool\"|\"raid1\"|"
    "\"snapshot\"|\"cling\"|\"contiguous\"|\"inherit\"|\"none\"|\"dlm\"|\"striped+WHATEVER\"|"
    "[]|[\"WRITE\"]|[\"MISSING\"]|[\"LOCKED\", \"VISIBLE\"]|[\"EXPORTED\"]|[\"SHARED\"]|"
    "[\"pv0\", 99]|[\"pv0\", 1, \"pv1\", 1, \"pv1\", 5]|[\"pv0\"]|[5, 6]|[\"pvmove0\", 0]|"
    "[\"snap\", \"pool\"]|[\"pv0\", \"pv1\"]|[\"pv0\", 0, 5, 6]|[\"pvmove0\"]|[7]";
/* What a section is made to be called, and lines that are put before it. */
static const char names[] =
    "pool {|pv0 {|a/b {|segment2 {|message1 {|physical_volumes {|logical_volumes {|x {";
static const char more[] =
    "allocation_policy = \"cling\"|lock_type = \"sanlock\"|pr = [\"require\"]|"
    "system_id = \"other\"|system_id = \"virt-thin.other\"|profile = \"p\"|# a remark|"
    "merge = \"snap\"|max_lv = 3|max_pv = 1|lock_type = \"\"|lock_type = \"none\"|"
    "allocation_policy = \"inherit\"|allocation_policy = \"contiguous\"|tags = [\"pool\"]|"
    "segment_count = 0|system_id = \"\"";

static guint n_refused, n_taken;

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

/* What there is no room for, or no number, or no name. */
static void ask_too_much(LvmVg *vg, LvmLv *pool)
{
  g_autofree char *long_name = g_strnfill(126, 'n');
  guint64 n = lvm_vg_n_free_extents(vg);

  TRY(lvm_vg_add_linear(vg, "more", n + 1, &error));
  TRY(lvm_vg_add_linear(vg, "more", 0, &error));
  TRY(lvm_vg_add_linear(vg, "more", G_MAXINT64, &error));
  TRY(lvm_vg_add_linear(vg, long_name, 1, &error));
  TRY(lvm_vg_add_linear(vg, "a/b", 1, &error));
  TRY(lvm_vg_add_thin_pool(vg, "more", n, 1, 65536, &error));
  TRY(lvm_vg_add_thin_pool(vg, "more", 0, 1, 65536, &error));
  TRY(lvm_vg_add_thin_pool(vg, "more", 5, 0, 65536, &error));
  if (!pool)
    return;
  TRY(lvm_vg_add_thin(vg, pool, "more", 10, 0, NULL, &error));
  TRY(lvm_vg_add_thin(vg, pool, "more", 10, 1u << 24, NULL, &error));
  TRY(lvm_vg_grow_pool_data(vg, pool, n + 100, &error));
  TRY(lvm_vg_grow_pool_data(vg, pool, 1, &error));
  TRY(lvm_vg_grow_pool_metadata(vg, pool, n + 100, &error));
  TRY(lvm_vg_grow_pool_metadata(vg, pool, 1u << 20, &error));
}

/* A pool goes when no volume lies in it; what its numbers come to when the last one is taken. */
static void empty_pool(LvmVg *vg, LvmLv *pool)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];

    if (lvm_lv_kind(lv) != LVM_LV_THIN || g_strcmp0(lvm_thin_pool(lv), lvm_lv_name(pool)) != 0)
      continue;
    lvm_thin_set_merge(lv, NULL);
    lvm_thin_set_device(lv, (1u << 24) - 1, 1);
    assert_true(lvm_pool_next_device(vg, pool) > 0);
    TRY(lvm_vg_remove_lv(vg, lv, &error));
  }
  lvm_pool_clear_messages(pool);
  TRY(lvm_vg_remove_lv(vg, pool, &error));
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
  ask_too_much(vg, pool && lvm_lv_kind(pool) == LVM_LV_THIN_POOL ? pool : NULL);
  TRY(lvm_vg_add_linear(vg, "more", 3 + i, &error));
  TRY(lvm_vg_add_thin_pool(vg, "pool2", 5, 1, 65536, &error));
  if (lvm_lv_kind(lv) == LVM_LV_THIN_POOL) {
    TRY(lvm_vg_rename_lv(vg, lv, "renamed", &error));
    empty_pool(vg, lv);
    return;
  }
  TRY(lvm_vg_rename_lv(vg, lv, "renamed", &error));
  if (i % 3 == 0)
    lvm_vg_set_system_id(vg, i % 2 ? "other" : NULL);
  TRY(lvm_vg_remove_lv(vg, lv, &error));
}

/* A group of one large PV, and nothing in it. */
static LvmVg *roomy_vg(void)
{
  static const char text[] = "other {\nid = \"" ID(
      "99") "\"\nseqno = 0\nstatus = [\"RESIZEABLE\", \"READ\", "
            "\"WRITE\"]\nflags = []\nextent_size = 8192\nmax_lv = 0\nmax_pv = 0\n"
            "physical_volumes {\npv0 {\nid = \"" ID(
                "98") "\"\ndevice = \"/dev/z\"\n"
                      "status = [\"ALLOCATABLE\"]\nflags = []\ndev_size = 9000000\npe_start = "
                      "2048\n"
                      "pe_count = 70\n}\n}\n}\ncontents = \"Text Format Volume Group\"\nversion = "
                      "1\n";

  return lvm_vg_parse(text, strlen(text), NULL);
}

/* @size: of what is the pool's, 0: nothing is said; @least: what it may become. */
static void fill_like(LvmVg *like, guint64 size, guint64 least)
{
  g_autoptr(LvmVg) vg = roomy_vg();
  g_autoptr(GHashTable) sizes = g_hash_table_new(g_str_hash, g_str_equal);
  LvmLikeSize pool = {size, least, least};

  g_hash_table_insert(sizes, (gpointer) "pool", &pool);
  TRY(lvm_vg_fill_like(vg, like, size || least ? sizes : NULL, &error));
}

static void make_like(LvmVg *like)
{
  g_autoptr(LvmVg) vg = NULL;

  TRY(lvm_vg_check_like(like, &error));
  TRY(vg = lvm_vg_new_like(like, "other", 8 * MIB, n_taken % 2 ? ID("97") : NULL, &error));
  fill_like(like, 0, 0);
  fill_like(like, 0, MIB);
  fill_like(like, n_taken % 3 ? 300 * MIB : 50 * MIB, 0);
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
    lvm_test_discard(&error, FALSE);
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
  g_auto(GStrv) all = g_strsplit(values, "|", -1);
  g_autofree char *key = g_strndup(lines[i], strcspn(lines[i], "="));

  for (char **value = all; *value; value++) {
    g_autofree char *line = g_strdup_printf("%s= %s", key, *value);

    if (!g_str_has_suffix(lines[i], "["))
      try_line(lines, i, "", line);
  }
}

static void try_names(char **lines, guint i)
{
  g_auto(GStrv) all_names = g_strsplit(names, "|", -1), all_more = g_strsplit(more, "|", -1);

  for (char **name = all_names; *name; name++)
    try_line(lines, i, "", *name);
  for (char **each = all_more; *each; each++) {
    g_autofree char *line = g_strdup_printf("%s\n%s", lines[i], *each);

    try_line(lines, i, *each, NULL);
    try_line(lines, i, "", line);
  }
}

static LvmVg *parse(const char *text)
{
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(text, strlen(text), &error);

  assert_ok(vg, error);
  return vg;
}

static void test_as_they_are(void **state)
{
  g_autofree char *all = lvm_test_read("all-kinds.txt", NULL),
                  *plain = lvm_test_read("plain-kinds.txt", NULL);
  g_autoptr(LvmVg) vg = parse(all), like = parse(plain), other = roomy_vg();
  GError *error = NULL;

  assert_null(lvm_vg_unwritable(vg));
  assert_int_equal(g_queue_get_length(&vg->lvs), 18);
  assert_ok(lvm_vg_check_like(like, &error), error);
  assert_ok(lvm_vg_fill_like(other, like, NULL, &error), error);
  assert_int_equal(g_queue_get_length(&other->lvs), 8);
}

/* lvconvert --merge of a snapshot of the old kind, before it is done. */
static void test_merging_snapshot(void **state)
{
  g_autofree char *all = lvm_test_read("all-kinds.txt", NULL), *old = NULL,
                  *text = lvm_test_replace(all, "cow_store", "merging_store");
  g_autoptr(LvmVg) vg = NULL;

  vg = parse(text);
  assert_false(lvm_lv_is_writable(lvm_vg_find_lv(vg, "origin")));
  old = lvm_lv_old_snapshot(lvm_vg_find_lv(vg, "origin"));
  assert_string_equal(old, "vg/cow");
}

static void try_each_line(const char *fixture)
{
  g_autofree char *text = lvm_test_read(fixture, NULL);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

  n_refused = n_taken = 0;
  for (guint i = 0; lines[i]; i++) {
    try_line(lines, i, "", "");
    try_line(lines, i, lines[i], NULL);
    if (strstr(lines[i], " = "))
      try_values(lines, i);
    if (g_str_has_suffix(lines[i], " {"))
      try_names(lines, i);
  }
  print_message("# %s: %u texts were refused, %u taken\n", fixture, n_refused, n_taken);
  assert_true(n_refused > 500 && n_taken > 500);
}

static void test_all_kinds(void **state)
{
  try_each_line("all-kinds.txt");
}

/* What can be made again as it is: without what lvm2 alone carries. */
static void test_plain_kinds(void **state)
{
  try_each_line("plain-kinds.txt");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_as_they_are),
      cmocka_unit_test(test_merging_snapshot),
      cmocka_unit_test(test_all_kinds),
      cmocka_unit_test(test_plain_kinds),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
