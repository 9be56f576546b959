/* virt-thin - tests: the model of a volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "lvm-helper.h"
#include "util/name.h"

static const char *const fixtures[] = {"01-clean",           "02-crash",
                                       "03a-tid-pool-ahead", "04a-needs-check",
                                       "04b-damaged-leaf",   "04c-leaked-block",
                                       "05a-out-of-data",    "06-delete-msg-pending",
                                       "06-msg-pending",     "06-snap-made-tid-old"};

static LvmVg *parse(const char *text)
{
  GError *error = NULL;
  LvmVg *vg = lvm_vg_parse(text, strlen(text), &error);

  assert_ok(vg, error);
  return vg;
}

static LvmVg *read_backup(const char *name)
{
  g_autofree char *text = lvm_test_read(name, NULL);

  return parse(text);
}

/* The VG without the lines around it. */
static char *format(LvmVg *vg)
{
  gsize length;
  char *text = lvm_vg_format(vg, &length), *header = strstr(text, "\n}\n#");

  assert_int_equal(length, strlen(text));
  if (header)
    header[3] = '\0';
  return text;
}

static void assert_says(LvmVg *vg, const char *part)
{
  g_autofree char *text = format(vg);

  if (strstr(text, part))
    return;
  print_error("not found:\n%s\n--- in:\n%s\n", part, text);
  fail();
}

static void assert_says_not(LvmVg *vg, const char *part)
{
  g_autofree char *text = format(vg);

  assert_null(strstr(text, part));
}

/* What is written can be read, and is then written the same. */
static void check_stable(LvmVg *vg)
{
  gsize length, again_length;
  g_autofree char *text = lvm_vg_format(vg, &length);
  g_autoptr(LvmVg) again = parse(text);
  g_autofree char *second = lvm_vg_format(again, &again_length);

  assert_string_equal(text, second);
  assert_int_equal(length, again_length);
}

/* --- reading --- */

/* Every text that lvm2 ever put into the fixtures' rings comes back byte for byte. */
static void test_rings(void **state)
{
  char *folder = lvm_test_folder();
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS(fixtures); i++) {
    g_autofree char *path = lvm_test_fixture(folder, fixtures[i]);
    g_autoptr(GPtrArray) texts = lvm_test_ring_texts(path);

    for (guint j = 0; j < texts->len; j++, n++) {
      g_autoptr(LvmVg) vg = parse(texts->pdata[j]);
      g_autoptr(LvmVg) copy = lvm_vg_copy(vg);
      g_autofree char *text = lvm_vg_format(vg, NULL), *copied = lvm_vg_format(copy, NULL);

      assert_string_equal(text, texts->pdata[j]);
      assert_string_equal(copied, text);
    }
  }
  assert_true(n >= 140);
  lvm_test_clean(folder);
}

/* vgcfgbackup's files say the same with tabs, comments and another order: the VG comes out as it is
 * on the disk. */
static void test_backups(void **state)
{
  static const struct {
    const char *name;
    guint seqno;
  } cases[] = {{"vgcfgbackup-01-empty-vg.txt", 1},
               {"vgcfgbackup-02-pool.txt", 4},
               {"vgcfgbackup-04-final.txt", 24}};
  char *folder = lvm_test_folder();
  g_autofree char *path = lvm_test_fixture(folder, "01-clean");
  g_autoptr(GPtrArray) texts = lvm_test_ring_texts(path);

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(LvmVg) backup = read_backup(cases[i].name);
    g_autofree char *text = format(backup);
    gboolean found = FALSE;

    for (guint j = 0; j < texts->len; j++) {
      g_autoptr(LvmVg) disk = parse(texts->pdata[j]);
      g_autofree char *want = format(disk);

      if (lvm_vg_seqno(disk) != cases[i].seqno)
        continue;
      found = TRUE;
      assert_string_equal(text, want);
    }
    assert_true(found);
  }
  lvm_test_clean(folder);
}

static void test_accessors(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  g_autoptr(GPtrArray) pvs = lvm_vg_pvs(vg), lvs = lvm_vg_lvs(vg);
  LvmLv *pool = lvm_vg_find_lv(vg, "data"), *snap = lvm_vg_find_lv(vg, "snap_vm-100-disk-0_s1"),
        *root = lvm_vg_find_lv(vg, "root");
  g_auto(GStrv) tags = lvm_lv_tags(lvm_vg_find_lv(vg, "vm-101-disk-1"));

  assert_string_equal(lvm_vg_name(vg), "pve");
  assert_string_equal(lvm_vg_uuid(vg), "6Nfa6Q-bayC-pJfI-Ahv6-7fOJ-VKpV-nGtznS");
  assert_int_equal(lvm_vg_seqno(vg), 24);
  assert_int_equal(lvm_vg_extent_size(vg), 4 * MIB);
  assert_int_equal(lvm_vg_n_extents(vg), 63);
  assert_int_equal(lvm_vg_n_free_extents(vg), 33);
  assert_null(lvm_vg_system_id(vg));
  assert_null(lvm_vg_unwritable(vg));
  assert_int_equal(pvs->len, 1);
  assert_string_equal(lvm_pv_name(pvs->pdata[0]), "pv0");
  assert_string_equal(lvm_pv_uuid(pvs->pdata[0]), "7B6vkB-y7B9-2kUe-E7Bg-idDg-Ljus-PB5LB5");
  assert_string_equal(lvm_pv_device(pvs->pdata[0]), "/dev/vda");
  assert_int_equal(lvm_pv_start(pvs->pdata[0]), MIB);
  assert_int_equal(lvm_pv_size(pvs->pdata[0]), 256 * MIB);
  assert_int_equal(lvm_pv_n_free_extents(pvs->pdata[0]), 33);
  assert_int_equal(lvs->len, 10);
  assert_ptr_equal(lvs->pdata[0], pool);
  assert_int_equal(lvm_lv_kind(pool), LVM_LV_THIN_POOL);
  assert_string_equal(lvm_pool_data(pool), "data_tdata");
  assert_string_equal(lvm_pool_metadata(pool), "data_tmeta");
  assert_int_equal(lvm_pool_chunk_size(pool), 65536);
  assert_int_equal(lvm_pool_transaction_id(pool), 7);
  assert_string_equal(lvm_pool_discards(pool), "passdown");
  assert_true(lvm_pool_zeroes(pool));
  assert_int_equal(lvm_lv_size(pool), 96 * MIB);
  assert_int_equal(lvm_pool_next_device(vg, pool), 6);
  assert_int_equal(lvm_lv_kind(snap), LVM_LV_THIN);
  assert_string_equal(lvm_thin_pool(snap), "data");
  assert_string_equal(lvm_thin_origin(snap), "vm-100-disk-0");
  assert_int_equal(lvm_thin_device(snap), 3);
  assert_int_equal(lvm_thin_transaction_id(snap), 2);
  assert_null(lvm_thin_merge(snap));
  assert_null(lvm_thin_external_origin(snap));
  assert_true(lvm_lv_has_flag(snap, "ACTIVATION_SKIP"));
  assert_int_equal(lvm_lv_creation_time(snap), 1795220697);
  assert_int_equal(lvm_lv_kind(root), LVM_LV_STRIPED);
  assert_int_equal(lvm_lv_n_extents(root), 2);
  assert_true(lvm_lv_is_visible(root) && lvm_lv_is_writable(root));
  assert_false(lvm_lv_is_visible(lvm_vg_find_lv(vg, "lvol0_pmspare")));
  assert_string_equal(tags[0], "pve-vm-101");
  assert_true(lvm_lv_has_tag(lvm_vg_find_lv(vg, "vm-101-disk-1"), "pve-vm-101"));
  assert_null(lvm_vg_find_lv(vg, "nothing"));
}

static void test_merge(void **state)
{
  g_autoptr(LvmVg) pending = read_backup("vgcfgbackup-merge-pending.txt");

  assert_string_equal(lvm_thin_merge(lvm_vg_find_lv(pending, "s2")), "o");
  assert_false(lvm_lv_is_visible(lvm_vg_find_lv(pending, "s2")));
  assert_false(lvm_lv_is_writable(lvm_vg_find_lv(pending, "s1")));
  assert_false(lvm_pool_zeroes(lvm_vg_find_lv(pending, "p1")));
  assert_true(lvm_lv_has_flag(lvm_vg_find_lv(pending, "p1"), "ERROR_WHEN_FULL"));
  lvm_thin_set_merge(lvm_vg_find_lv(pending, "s2"), NULL);
  assert_says_not(pending, "merge =");
  lvm_thin_set_merge(lvm_vg_find_lv(pending, "s2"), "o");
  assert_says(pending, "origin = \"o\"\nmerge = \"o\"\n}");
}

/* The final text with @from in place of @to. */
static LvmVg *read_changed(const char *from, const char *to, GError **error)
{
  g_autofree char *text = lvm_test_read("vgcfgbackup-04-final.txt", NULL);
  g_auto(GStrv) parts = g_strsplit(text, from, -1);
  g_autofree char *changed = g_strjoinv(to, parts);

  assert_true(g_strv_length(parts) > 1);
  return lvm_vg_parse(changed, strlen(changed), error);
}

static void test_damage(void **state)
{
  static const struct {
    const char *from, *to, *error;
  } cases[] = {
      {"Text Format Volume Group", "Something Else", "this is no LVM2 metadata"},
      {"version = 1", "version = 2", "version 1"},
      {"6Nfa6Q-bayC", "6Nfa6Q_bayC", "no valid id"},
      {"seqno = 24", "seqno = x", "seqno"},
      {"extent_size = 8192", "extent_size = 0", "extent_size"},
      {"pe_count = 63", "pe_count = -1", "pv0 has no valid"},
      {"physical_volumes {", "physical_things {", "physical_volumes"},
      {"vm-102-disk-0 {", "vm-100-disk-0 {", "two logical volumes vm-100-disk-0"},
      {"device_id = 5", "device_id = 99999999", "vm-102-disk-0 has no valid device_id"},
      {"Snlcug-z5K", "Snlcu\377-z5K", "vm-102-disk-0 has no valid id"},
      {"chunk_size = 128", "chunk_size = 0", "data has no valid chunk_size"},
      {"segment_count = 2", "segment_count = 3", "segment_count"},
      {"start_extent = 16", "start_extent = 17", "start_extent"},
      {"extent_count = 48", "extent_count = 99999999999", "extent_count"},
      {"pve {", "pve { } two {", "two volume groups"},
      {"extent_count = 24\t# 96 Megabytes", "extent_count = 0", "data has a segment"},
      {"pe_start = 2048", "pe_start = 18014398509481985", "pv0 has no valid"},
      {"device_id = 5", "device_id = 16777216", "vm-102-disk-0 has no valid device_id"},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    GError *error = NULL;

    assert_null(read_changed(cases[i].from, cases[i].to, &error));
    assert_error(error, EBADMSG, cases[i].error);
  }
}

/* What lvm2 demands (lib/format_text/import_vsn1.c, lib/thin/thin.c, lib/striped/striped.c) must be
 * there and of its type, else it would be taken for 0, and written so. */
static void test_types(void **state)
{
  static const struct {
    const char *key;
    gboolean required;
  } keys[] = {
      {"seqno", TRUE},          {"extent_size", TRUE},
      {"max_lv", TRUE},         {"max_pv", TRUE},
      {"pe_start", TRUE},       {"pe_count", TRUE},
      {"dev_size", FALSE},      {"segment_count", TRUE},
      {"creation_time", FALSE}, {"start_extent", TRUE},
      {"extent_count", TRUE},   {"stripe_count", TRUE},
      {"transaction_id", TRUE}, {"chunk_size", TRUE},
      {"device_id", TRUE},      {"zero_new_blocks", FALSE},
      {"discards", FALSE},      {"origin", FALSE},
  };

  for (guint i = 0; i < G_N_ELEMENTS(keys); i++) {
    const char *const values[] = {
        " = \"7\"\nwas = ", " = 7.5\nwas = ", " = []\nwas = ", " = -7\nwas = "};
    g_autofree char *from = g_strconcat(keys[i].key, " = ", NULL),
                    *gone = g_strconcat("no_", from, NULL);
    gboolean string = strcmp(keys[i].key, "discards") == 0 || strcmp(keys[i].key, "origin") == 0;
    GError *missing = NULL;
    g_autoptr(LvmVg) without = read_changed(from, gone, &missing);

    if (keys[i].required)
      assert_error(missing, EBADMSG, keys[i].key);
    else
      assert_ok(without, missing);
    for (guint j = string; j < G_N_ELEMENTS(values); j++) {
      g_autofree char *to = g_strconcat(keys[i].key, values[j], NULL);
      GError *error = NULL;

      assert_null(read_changed(from, to, &error));
      assert_error(error, EBADMSG, keys[i].key);
    }
  }
}

static void test_unwritable(void **state)
{
  static const struct {
    const char *from, *to, *why;
  } cases[] = {
      {"status = [\"RESIZEABLE\",", "status = [\"EXPORTED\", \"RESIZEABLE\",", "exported"},
      {"status = [\"RESIZEABLE\",", "status = [\"CLUSTERED\", \"RESIZEABLE\",", "shared"},
      {"status = [\"RESIZEABLE\",", "status = [\"NEWFANGLED\", \"RESIZEABLE\",", "NEWFANGLED"},
      {"status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]", "status = [\"RESIZEABLE\", \"READ\"]",
       "read-only"},
      {"max_lv = 0", "max_lv = 0\nlock_type = \"sanlock\"", "lock_type sanlock"},
      {"status = [\"ALLOCATABLE\"]\n\t\t\tflags = []",
       "status = [\"ALLOCATABLE\"]\nflags = [\"MISSING\"]", "pv0"},
      {"status = [\"READ\", \"WRITE\", \"VISIBLE\"]\n\t\t\tflags = []\n\t\t\ttags",
       "status = [\"READ\", \"ODD\", \"VISIBLE\"]\nflags = []\ntags", "vm-101-disk-1"},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    GError *error = NULL;
    g_autoptr(LvmVg) vg = read_changed(cases[i].from, cases[i].to, &error);
    const char *why;

    assert_ok(vg, error);
    why = lvm_vg_unwritable(vg);
    if (!why || !strstr(why, cases[i].why))
      fail_msg("%s: %s", cases[i].why, why ? why : "writable");
  }
}

/* What lvm2 refuses as a whole; of that, what names nothing that is needed can be taken out. */
static void test_contradiction(void **state)
{
  static const struct {
    const char *from, *to, *what;
    gboolean drops;
  } cases[] = {
      {"\"pv0\", 28", "\"pv0\", 18", "extent 18 of physical volume pv0 belongs to two", FALSE},
      {"\"pv0\", 28", "\"pv0\", 62", "takes extents 62 to 63", FALSE},
      {"\"pv0\", 28", "\"pv7\", 28", "pv7, which is not there", FALSE},
      {"origin = \"vm-100-disk-0\"", "origin = \"gone\"", "gone as its origin", TRUE},
      {"origin = \"vm-100-disk-0\"", "merge = \"gone\"", "gone as its merge target", TRUE},
      {"origin = \"vm-100-disk-0\"", "origin = \"data_tdata\"", "data_tdata as its origin", TRUE},
      {"origin = \"vm-100-disk-0\"", "external_origin = \"gone\"", "its external origin", FALSE},
      {"thin_pool = \"data\"", "thin_pool = \"gone\"", "gone as its thin pool", FALSE},
      {"thin_pool = \"data\"", "thin_pool = \"data_tdata\"", "as its thin pool", FALSE},
      {"metadata = \"data_tmeta\"", "metadata = \"gone\"", "gone as its metadata", FALSE},
      {"pool = \"data_tdata\"", "pool = \"gone\"", "gone as its data", FALSE},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    GError *error = NULL;
    g_autoptr(LvmVg) vg = read_changed(cases[i].from, cases[i].to, &error);
    g_autofree char *what = NULL, *left = NULL;

    assert_ok(vg, error);
    what = lvm_vg_contradiction(vg);
    if (!what || !strstr(what, cases[i].what))
      fail_msg("%s: %s", cases[i].what, what ? what : "none");
    lvm_vg_drop_dangling(vg);
    left = lvm_vg_contradiction(vg);
    assert_int_equal(left == NULL, cases[i].drops);
  }
}

/* What we do not know stays, wherever it is. */
static void test_unknown(void **state)
{
  const char *text =
      "vg {\nid = \"6Nfa6Q-bayC-pJfI-Ahv6-7fOJ-VKpV-nGtznS\"\nseqno = 3\nformat = \"lvm2\"\nstatus "
      "= "
      "[\"RESIZEABLE\", \"READ\", \"WRITE\"]\n"
      "flags = []\nfuture = 0x1F\nextent_size = 8192\nmax_lv = 0\nmax_pv = 0\nmetadata_copies = "
      "0\n\nphysical_volumes {\n\npv0 {\n"
      "id = \"7B6vkB-y7B9-2kUe-E7Bg-idDg-Ljus-PB5LB5\"\ndevice = \"/dev/with "
      "\\\"quotes\\\"\"\n\nstatus "
      "= [\"ALLOCATABLE\"]\nflags = []\n"
      "dev_size = 524288\npe_start = 2048\npe_count = 63\n}\n}\n\nlogical_volumes {\n\nr {\nid = "
      "\"YrXdz2-l8tC-izKn-FZFs-Ygdi-Kx12-SDGb9r\"\n"
      "status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = [\"ODD\"]\nodd = 1.5\nsegment_count = "
      "1\n\nsegment1 {\nstart_extent = 0\n"
      "extent_count = 2\n\ntype = \"raid1\"\nraids = [\n\"r_rmeta_0\", "
      "\"r_rimage_0\"\n]\n}\n}\n}\n\nhistorical_logical_volumes {\n\n"
      "gone {\nid = \"YrXdz2-l8tC-izKn-FZFs-Ygdi-Kx12-SDGb9s\"\nname = \"-gone\"\n}\n}\n\n}\n"
      "# Generated by a test\n\ncontents = \"Text Format Volume Group\"\nversion = "
      "1\n\ndescription = "
      "\"\"\n\nnovelty = [1,\n2]\n\n";
  g_autoptr(LvmVg) vg = parse(text);
  g_autofree char *out = lvm_vg_format(vg, NULL);

  assert_string_equal(out, text);
  assert_int_equal(lvm_lv_kind(lvm_vg_find_lv(vg, "r")), LVM_LV_OTHER);
  assert_string_equal(lvm_lv_segment_type(lvm_vg_find_lv(vg, "r")), "raid1");
  assert_ok(lvm_lv_add_tag(lvm_vg_find_lv(vg, "r"), "t", NULL), NULL);
  assert_says(vg, "flags = [\"ODD\"]\ntags = [\"t\"]\nodd = 1.5\n");
  assert_says(vg, "future = 0x1F\n");
}

/* --- changing --- */

static void test_add_thin(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-02-pool.txt");
  g_autoptr(LvmVg) before = lvm_vg_copy(vg);
  LvmLv *pool = lvm_vg_find_lv(vg, "data"), *lv;
  g_autofree char *unchanged = format(before), *want = NULL, *still = NULL;
  GError *error = NULL;

  assert_int_equal(lvm_pool_next_device(vg, pool), 1);
  lv = lvm_vg_add_thin(vg, pool, "vm-100-disk-0", 48, 1, NULL, &error);
  assert_ok(lv, error);
  want = g_strdup_printf(
      "zero_new_blocks = 1\n}\n}\n\nvm-100-disk-0 {\nid = \"%s\"\nstatus = [\"READ\", \"WRITE\", "
      "\"VISIBLE\"]\nflags = []\n"
      "creation_time = %" G_GUINT64_FORMAT
      "\ncreation_host = \"%s\"\nsegment_count = 1\n\nsegment1 {\nstart_extent = 0\n"
      "extent_count = 48\n\ntype = \"thin\"\nthin_pool = \"data\"\ntransaction_id = 0\ndevice_id = "
      "1\n}\n}\n\nlvol0_pmspare {\n",
      lvm_lv_uuid(lv), lvm_lv_creation_time(lv), g_get_host_name());
  assert_says(vg, want);
  assert_int_equal(lvm_pool_next_device(vg, pool), 2);
  lvm_pool_set_transaction_id(pool, 1);
  lv = lvm_vg_add_thin(vg, pool, "snap", 48, 2, "vm-100-disk-0", &error);
  assert_ok(lv, error);
  assert_says(
      vg,
      "transaction_id = 1\ndevice_id = 2\norigin = \"vm-100-disk-0\"\n}\n}\n\nlvol0_pmspare {\n");
  lvm_lv_set_flag(lv, "ACTIVATION_SKIP", TRUE);
  lvm_lv_set_writable(lv, FALSE);
  assert_says(vg, "status = [\"READ\", \"VISIBLE\"]\nflags = [\"ACTIVATION_SKIP\"]\ncreation_time");
  lvm_lv_set_writable(lv, TRUE);
  lvm_lv_set_flag(lv, "ACTIVATION_SKIP", FALSE);
  assert_says_not(vg, "ACTIVATION_SKIP");
  check_stable(vg);
  still = format(before);
  assert_string_equal(still, unchanged);

  assert_null(lvm_vg_add_thin(vg, pool, "snap", 1, 3, NULL, &error));
  assert_error(error, EEXIST, "has a volume snap already");
  assert_null(lvm_vg_add_thin(vg, pool, "a/b", 1, 3, NULL, &error));
  assert_error(error, EINVAL, "a/b");
  assert_null(lvm_vg_add_thin(vg, pool, "zero", 0, 3, NULL, &error));
  assert_error(error, EINVAL, "size of zero");
  assert_null(lvm_vg_add_thin(vg, pool, "huge", G_GUINT64_CONSTANT(1) << 40, 3, NULL, &error));
  assert_error(error, EINVAL, "LVM can address");
  assert_null(lvm_vg_add_thin(vg, pool, "device", 1, 1 << 24, NULL, &error));
  assert_error(error, EINVAL, "thin device 16777216");
  check_stable(vg);
}

/* The same steps as lvcreate's and lvremove's: create message, its end, delete message. Text as in
 * the ring of 01-clean. */
static void test_messages(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-02-pool.txt");
  LvmLv *pool = lvm_vg_find_lv(vg, "data");
  g_autoptr(GArray) messages = NULL, none = NULL;

  lvm_pool_add_create(pool, "vm-100-disk-0");
  assert_says(vg, "zero_new_blocks = 1\n\nmessage1 {\ncreate = \"vm-100-disk-0\"\n}\n}\n}\n");
  lvm_pool_add_delete(pool, 7);
  assert_says(vg, "message1 {\ncreate = \"vm-100-disk-0\"\n}\nmessage2 {\ndelete = 7\n}\n}\n}\n");
  messages = lvm_pool_messages(pool);
  assert_int_equal(messages->len, 2);
  assert_string_equal(g_array_index(messages, LvmMessage, 0).create, "vm-100-disk-0");
  assert_null(g_array_index(messages, LvmMessage, 1).create);
  assert_int_equal(g_array_index(messages, LvmMessage, 1).delete_device, 7);
  assert_int_equal(lvm_pool_next_device(vg, pool), 8); /* not one that is still to be deleted */
  check_stable(vg);
  lvm_pool_clear_messages(pool);
  assert_says(vg, "zero_new_blocks = 1\n}\n}\n");
  none = lvm_pool_messages(pool);
  assert_int_equal(none->len, 0);
  assert_int_equal(lvm_pool_next_device(vg, pool), 1);
}

static void test_remove(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  GError *error = NULL;

  assert_false(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "data"), &error));
  assert_error(error, EBUSY, "lies in it");
  assert_false(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "data_tdata"), &error));
  assert_error(error, EBUSY, "part of another volume");
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "vm-100-disk-0"), &error), error);
  assert_null(lvm_vg_find_lv(vg, "vm-100-disk-0"));
  assert_null(lvm_thin_origin(lvm_vg_find_lv(vg, "snap_vm-100-disk-0_s1")));
  assert_says_not(vg, "origin = \"vm-100-disk-0\"");
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "vm-102-disk-0"), &error), error);
  assert_int_equal(lvm_pool_next_device(vg, lvm_vg_find_lv(vg, "data")), 5);
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "vm-101-disk-1"), &error), error);
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "snap_vm-100-disk-0_s1"), &error), error);
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "snap_vm-100-disk-0_s2"), &error), error);
  check_stable(vg);
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "data"), &error), error);
  assert_null(lvm_vg_find_lv(vg, "lvol0_pmspare")); /* goes with the last pool */
  assert_null(lvm_vg_find_lv(vg, "data_tdata"));
  assert_ok(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "root"), &error), error);
  assert_int_equal(lvm_vg_n_free_extents(vg), 63);
  assert_says_not(vg, "logical_volumes");
  assert_says(vg, "pe_count = 63\n}\n}\n\n\n}\n"); /* as lvm2 writes an empty VG */
  check_stable(vg);
}

static void test_remove_refused(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-merge-pending.txt");
  GError *error = NULL;

  assert_false(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "o"), &error));
  assert_error(error, EBUSY, "s2 is to be merged into it");
}

static void test_rename(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  g_autoptr(LvmVg) before = lvm_vg_copy(vg);
  g_autofree char *unchanged = format(before), *still = NULL;
  GError *error = NULL;
  LvmLv *lv = lvm_vg_find_lv(vg, "vm-100-disk-0");

  lvm_pool_add_create(lvm_vg_find_lv(vg, "data"), "vm-100-disk-0");
  assert_ok(lvm_vg_rename_lv(vg, lv, "vm-900-disk-0", &error), error);
  assert_string_equal(lvm_lv_name(lv), "vm-900-disk-0");
  assert_ptr_equal(lvm_vg_find_lv(vg, "vm-900-disk-0"), lv);
  assert_null(lvm_vg_find_lv(vg, "vm-100-disk-0"));
  assert_string_equal(lvm_thin_origin(lvm_vg_find_lv(vg, "snap_vm-100-disk-0_s1")),
                      "vm-900-disk-0");
  assert_says(vg, "create = \"vm-900-disk-0\"");
  lvm_pool_clear_messages(lvm_vg_find_lv(vg, "data"));
  assert_false(lvm_vg_rename_lv(vg, lv, "vm-101-disk-1", &error));
  assert_error(error, EEXIST, "vm-101-disk-1");
  assert_false(lvm_vg_rename_lv(vg, lv, "bad_tdata", &error));
  assert_error(error, EINVAL, "_tdata");
  assert_false(lvm_vg_rename_lv(vg, lvm_vg_find_lv(vg, "data_tdata"), "other", &error));
  assert_error(error, EOPNOTSUPP, "lvrename");
  check_stable(vg);

  assert_ok(lvm_vg_rename_lv(vg, lvm_vg_find_lv(vg, "data"), "fast", &error), error);
  assert_string_equal(lvm_thin_pool(lv), "fast");
  assert_string_equal(lvm_pool_data(lvm_vg_find_lv(vg, "fast")), "fast_tdata");
  assert_string_equal(lvm_pool_metadata(lvm_vg_find_lv(vg, "fast")), "fast_tmeta");
  assert_non_null(lvm_vg_find_lv(vg, "fast_tmeta"));
  assert_null(lvm_vg_find_lv(vg, "data_tmeta"));
  assert_says_not(vg, "\"data");
  check_stable(vg);
  still = format(before);
  assert_string_equal(still, unchanged);
}

static void test_tags(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  LvmLv *lv = lvm_vg_find_lv(vg, "vm-101-disk-1");
  GError *error = NULL;

  assert_ok(lvm_lv_add_tag(lv, "a=b", &error), error);
  assert_ok(lvm_lv_add_tag(lv, "a=b", &error), error);
  assert_says(vg, "flags = []\ntags = [\"pve-vm-101\", \"a=b\"]\ncreation_time");
  lvm_lv_remove_tag(lv, "pve-vm-101");
  lvm_lv_remove_tag(lv, "not there");
  assert_says(vg, "flags = []\ntags = [\"a=b\"]\ncreation_time");
  lvm_lv_remove_tag(lv, "a=b");
  assert_says_not(vg, "tags");
  assert_false(lvm_lv_add_tag(lv, "with space", &error));
  assert_error(error, EINVAL, "with space");
  lvm_vg_set_tag(vg, "x", TRUE);
  lvm_vg_set_system_id(vg, "me");
  lvm_vg_set_flag(vg, "NOAUTOACTIVATE", TRUE);
  assert_says(
      vg, "status = [\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\", \"NOAUTOACTIVATE\"]\n"
          "tags = [\"x\"]\nsystem_id = \"me\"\nextent_size");
  assert_true(lvm_vg_has_tag(vg, "x"));
  assert_true(lvm_vg_has_flag(vg, "NOAUTOACTIVATE"));
  lvm_vg_set_tag(vg, "x", FALSE);
  lvm_vg_set_system_id(vg, NULL);
  lvm_vg_set_flag(vg, "NOAUTOACTIVATE", FALSE);
  assert_says(vg, "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size");
}

/* A VG with a system_id is read-only to versions of lvm2 that know of none, and to nobody else. */
static void test_write_locked(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  g_autofree char *before = format(vg), *after = NULL;
  LvmLv *lv = lvm_vg_find_lv(vg, "vm-101-disk-1"), *made;
  GError *error = NULL;

  lvm_vg_set_system_id(vg, "me");
  assert_says_not(vg, "\"WRITE\"");
  assert_null(lvm_vg_unwritable(vg));
  assert_true(lvm_lv_is_writable(lv));
  lvm_lv_set_writable(lv, FALSE);
  assert_false(lvm_lv_is_writable(lv));
  lvm_lv_set_writable(lv, TRUE);
  assert_true(lvm_lv_is_writable(lv));
  made = lvm_vg_add_linear(vg, "linear", 1, &error);
  assert_ok(made, error);
  assert_true(lvm_lv_is_writable(made));
  assert_says_not(vg, "\"WRITE\"");
  assert_ok(lvm_vg_remove_lv(vg, made, &error), error);
  lvm_vg_set_system_id(vg, NULL);
  after = format(vg);
  assert_string_equal(after, before);
}

static void test_thin_changes(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  LvmLv *lv = lvm_vg_find_lv(vg, "vm-102-disk-0");
  GError *error = NULL;

  assert_ok(lvm_thin_set_extents(lv, 64, &error), error);
  assert_int_equal(lvm_lv_n_extents(lv), 64);
  assert_false(lvm_thin_set_extents(lv, 0, &error));
  assert_error(error, EINVAL, "zero");
  assert_int_equal(lvm_pool_next_device(vg, lvm_vg_find_lv(vg, "data")), 6);
  lvm_thin_set_device(lv, 9, 12);
  assert_int_equal(lvm_thin_device(lv), 9);
  assert_int_equal(lvm_thin_transaction_id(lv), 12);
  assert_int_equal(lvm_pool_next_device(vg, lvm_vg_find_lv(vg, "data")), 10);
  lvm_thin_set_origin(lv, NULL);
  assert_null(lvm_thin_origin(lv));
  lvm_thin_set_origin(lv, "root");
  assert_says(vg, "transaction_id = 12\ndevice_id = 9\norigin = \"root\"\n}");
  lvm_lv_set_visible(lv, FALSE);
  check_stable(vg);
  lvm_lv_set_visible(lv, TRUE);
  check_stable(vg);
}

/* Visible LVs are written first, whatever happens to them. */
static void test_order(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-04-final.txt");
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  GError *error = NULL;

  for (guint i = 0; i < 500; i++) {
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);
    LvmLv *lv = lvs->pdata[g_rand_int_range(rand, 0, lvs->len)];
    g_autofree char *name = g_strdup_printf("new-%u", i);
    gboolean hidden = FALSE;

    switch (g_rand_int_range(rand, 0, 3)) {
    case 0: lvm_lv_set_visible(lv, !lvm_lv_is_visible(lv)); break;
    case 1:
      assert_ok(lvm_vg_add_thin(vg, lvm_vg_find_lv(vg, "data"), name, 1, i + 10, NULL, &error),
                error);
      break;
    default:
      if (lvm_lv_kind(lv) == LVM_LV_THIN && lvs->len > 8)
        assert_ok(lvm_vg_remove_lv(vg, lv, &error), error);
    }
    g_ptr_array_unref(g_steal_pointer(&lvs));
    lvs = lvm_vg_lvs(vg);
    for (guint j = 0; j < lvs->len; j++) {
      assert_false(hidden && lvm_lv_is_visible(lvs->pdata[j]));
      hidden |= !lvm_lv_is_visible(lvs->pdata[j]);
    }
  }
  check_stable(vg);
}

/* --- pools --- */

static void test_add_pool(void **state)
{
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-01-empty-vg.txt");
  GError *error = NULL;
  LvmLv *pool;

  assert_null(lvm_vg_add_thin_pool(vg, "data", 62, 1, 65536, &error));
  assert_error(error, ENOSPC,
               "needs 256.00 MiB with its metadata and spare, but only 252.00 MiB is free");
  assert_says_not(vg, "logical_volumes");
  assert_null(lvm_vg_add_thin_pool(vg, "data", 10, 1, 65537, &error));
  assert_error(error, EINVAL, "multiple of 64 KiB");
  pool = lvm_vg_add_thin_pool(vg, "data", 16, 1, 65536, &error);
  assert_ok(pool, error);
  assert_says(vg, "segment1 {\nstart_extent = 0\nextent_count = 16\n\ntype = "
                  "\"thin-pool\"\nmetadata = \"data_tmeta\"\npool = "
                  "\"data_tdata\"\n"
                  "transaction_id = 0\nchunk_size = 128\ndiscards = \"passdown\"\nzero_new_blocks "
                  "= 1\n}\n}\n\nlvol0_pmspare {\n");
  assert_says(vg, "segment_count = 1\n\nsegment1 {\nstart_extent = 0\nextent_count = 16\n\ntype = "
                  "\"striped\"\nstripe_count = 1\n\nstripes = [\n\"pv0\", 2\n]\n}\n}\n");
  assert_says(vg, "pe_count = 63\n}\n}\n\nlogical_volumes {\n\ndata {\n");
  assert_int_equal(lvm_vg_n_free_extents(vg), 63 - 18);
  assert_null(lvm_vg_add_thin_pool(vg, "data", 1, 1, 65536, &error));
  assert_error(error, EEXIST, "data");
  check_stable(vg);

  assert_ok(lvm_vg_grow_pool_data(vg, pool, 20, &error), error);
  assert_int_equal(lvm_lv_n_extents(pool), 20);
  assert_int_equal(lvm_lv_n_extents(lvm_vg_find_lv(vg, "data_tdata")), 20);
  assert_says(vg, "extent_count = 20\n\ntype = \"striped\""); /* went on where it was */
  assert_false(lvm_vg_grow_pool_data(vg, pool, 19, &error));
  assert_error(error, EINVAL, "cannot shrink");
  assert_false(lvm_vg_grow_pool_data(vg, pool, 1000, &error));
  assert_error(error, ENOSPC, "has 164.00 MiB free, but logical volume data_tdata needs 3.83 GiB");
  assert_ok(lvm_vg_grow_pool_metadata(vg, pool, 3, &error), error);
  assert_int_equal(lvm_lv_n_extents(lvm_vg_find_lv(vg, "data_tmeta")), 3);
  assert_int_equal(lvm_lv_n_extents(lvm_vg_find_lv(vg, "lvol0_pmspare")), 3);
  assert_says(vg, "segment_count = 2\n\nsegment1 {");
  assert_says(vg, "]\n}\nsegment2 {\nstart_extent = 1\nextent_count = 2\n\ntype = \"striped\"");
  assert_null(lvm_vg_unwritable(vg));
  check_stable(vg);

  assert_ok(lvm_vg_add_thin_pool(vg, "second", 4, 1, 65536, &error), error);
  assert_int_equal(lvm_vg_n_free_extents(vg), 63 - 26 - 5); /* one spare for both */
  assert_ok(lvm_vg_remove_lv(vg, pool, &error), error);
  assert_non_null(lvm_vg_find_lv(vg, "lvol0_pmspare"));
  check_stable(vg);
}

/* Extents come from several areas and PVs when they must, and never from a PV that may not be
 * used. */
static void test_allocation(void **state)
{
  g_autoptr(LvmVg) vg =
      read_backup("vgcfgbackup-merge-done.txt"); /* two PVs of 31 extents; 9 and 1 taken */
  GError *error = NULL;
  LvmLv *pool;

  pool = lvm_vg_add_thin_pool(vg, "split", 40, 1, 65536, &error);
  assert_ok(pool, error);
  assert_int_equal(lvm_vg_n_free_extents(vg), 62 - 10 - 41);
  assert_null(lvm_vg_unwritable(vg));
  check_stable(vg);
  assert_null(lvm_vg_add_thin_pool(vg, "more", 11, 1, 65536, &error));
  assert_error(error, ENOSPC, "only 44.00 MiB is free");
  assert_ok(lvm_vg_add_thin_pool(vg, "more", 10, 1, 65536, &error), error);
  assert_int_equal(lvm_vg_n_free_extents(vg), 0);
  assert_null(lvm_vg_unwritable(vg));
}

static void test_not_allocatable(void **state)
{
  GError *error = NULL;
  g_autoptr(LvmVg) vg = read_changed("status = [\"ALLOCATABLE\"]", "status = []", &error);

  assert_ok(vg, error);
  assert_int_equal(lvm_vg_n_free_extents(vg), 0);
}

static void test_choose(void **state)
{
  /* lvm2 2.03.16's choices */
  static const struct {
    guint64 gib, chunk_kib, metadata_mib;
  } cases[] = {{1, 64, 4},       {10, 64, 12},      {64, 64, 64},
               {128, 64, 128},   {129, 128, 68},    {500, 256, 128},
               {1024, 512, 128}, {4096, 2048, 128}, {10240, 8192, 80}};
  guint64 chunk, metadata;
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
    chunk = metadata = 0;
    assert_ok(lvm_pool_choose(cases[i].gib * 1024 * MIB, 4 * MIB, &chunk, &metadata, &error),
              error);
    assert_int_equal(chunk, cases[i].chunk_kib * 1024);
    assert_int_equal(metadata, cases[i].metadata_mib * MIB);
  }
  chunk = 65536, metadata = MIB;
  assert_false(lvm_pool_choose(1024 * MIB, 4 * MIB, &chunk, &metadata, &error));
  assert_error(error, EINVAL, "at least 2 MiB");
  chunk = 65536, metadata = 0;
  assert_false(lvm_pool_choose(G_GUINT64_CONSTANT(20) << 40, 4 * MIB, &chunk, &metadata, &error));
  assert_error(error, EINVAL, "choose larger chunks");
  chunk = 96 * 1024, metadata = 0;
  assert_false(lvm_pool_choose(1024 * MIB, 4 * MIB, &chunk, &metadata, &error));
  assert_error(error, EINVAL, "multiple of 64 KiB");
  chunk = 0, metadata = 8 * MIB;
  assert_ok(lvm_pool_choose(1024 * 1024 * MIB, 4 * MIB, &chunk, &metadata, &error), error);
  assert_int_equal(chunk, 8 * MIB);
}

/* --- names --- */

static void test_names(void **state)
{
  static const char *const good[] = {
      "a", "vm-100-disk-0", "snap_vm-100-disk-0_s1", "x.y+z_", "0", "...", "_x",
      "+", "my-snapshot"};
  static const char *const bad[] = {
      "",          ".",          "..",      "-a",        "a/b",           "a b",
      "a\nb",      "\xc3\xa4",   "a<b",     "a\"b",      "a\001",         "snapshot0",
      "pvmove0",   "x_tdata",    "x_tmeta", "a_mlog_b",  "lvol0_pmspare", "r_rimage_0",
      "r_rmeta_0", "c_cdata",    "c_cmeta", "x_corig",   "x_cpool",       "x_cvol",
      "x_wcorig",  "x_mimage_0", "x_vdata", "x_vorigin", "x_imeta",       "x_iorig"};
  g_autofree char *longest = g_strnfill(127, 'a'), *too_long = g_strnfill(128, 'a');
  g_autoptr(LvmVg) vg = read_backup("vgcfgbackup-02-pool.txt");
  LvmLv *pool = lvm_vg_find_lv(vg, "data");
  GError *error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS(good); i++)
    assert_ok(vt_lv_name_check(good[i], &error), error);
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    assert_false(vt_lv_name_check(bad[i], &error));
    assert_error(error, EINVAL, "");
    assert_null(lvm_vg_add_thin(vg, pool, bad[i], 1, 1, NULL, NULL));
  }
  assert_ok(vt_lv_name_check(longest, &error), error);
  assert_false(vt_lv_name_check(too_long, &error));
  assert_error(error, EINVAL, "128 characters");
  assert_null(lvm_vg_add_thin(vg, pool, longest, 1, 1, NULL, &error));
  assert_error(error, EINVAL, "device-mapper name");
  longest[120] = '\0';
  assert_null(
      lvm_vg_add_thin_pool(vg, longest, 1, 1, 65536, &error)); /* its _tdata would be too long */
  assert_error(error, EINVAL, "device-mapper name");
  longest[100] = '\0';
  assert_ok(lvm_vg_add_thin_pool(vg, longest, 1, 1, 65536, &error), error);
  assert_ok(vt_vg_name_check("snapshot", &error), error);
  assert_false(vt_vg_name_check("a/b", &error));
  assert_error(error, EINVAL, "a/b");
  assert_ok(vt_tag_check("a_+.-/=!:&#", &error), error);
  assert_false(vt_tag_check("-a", &error));
  assert_error(error, EINVAL, "-a");
  assert_false(vt_tag_check("a@b", &error));
  assert_error(error, EINVAL, "a@b");
}

static void test_uuids(void **state)
{
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < 1000; i++) {
    char *uuid = lvm_uuid_new();

    assert_true(
        g_regex_match_simple("^[0-9A-Za-z]{6}(-[0-9A-Za-z]{4}){5}-[0-9A-Za-z]{6}$", uuid, 0, 0));
    assert_true(g_hash_table_add(seen, uuid));
    assert_true(lvm_uuid_is_valid(uuid));
  }
  /* old ones have two more letters (lvm2 lib/uuid/uuid.c) */
  assert_true(lvm_uuid_is_valid("!#0000-0000-0000-0000-0000-0000-00000!"));
  assert_false(lvm_uuid_is_valid("$00000-0000-0000-0000-0000-0000-000000"));
  assert_false(lvm_uuid_is_valid("000000-0000-0000-0000-0000-0000-00000"));
  assert_false(lvm_uuid_is_valid("0000000000-0000-0000-0000-0000-0000000"));
  assert_false(lvm_uuid_is_valid(NULL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rings),
      cmocka_unit_test(test_backups),
      cmocka_unit_test(test_accessors),
      cmocka_unit_test(test_merge),
      cmocka_unit_test(test_damage),
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_unwritable),
      cmocka_unit_test(test_contradiction),
      cmocka_unit_test(test_unknown),
      cmocka_unit_test(test_add_thin),
      cmocka_unit_test(test_messages),
      cmocka_unit_test(test_remove),
      cmocka_unit_test(test_remove_refused),
      cmocka_unit_test(test_rename),
      cmocka_unit_test(test_tags),
      cmocka_unit_test(test_write_locked),
      cmocka_unit_test(test_thin_changes),
      cmocka_unit_test(test_order),
      cmocka_unit_test(test_add_pool),
      cmocka_unit_test(test_allocation),
      cmocka_unit_test(test_not_allocatable),
      cmocka_unit_test(test_choose),
      cmocka_unit_test(test_names),
      cmocka_unit_test(test_uuids),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
