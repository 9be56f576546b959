/* virt-thin - tests: names, snapshots, limits
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pool/rules.h"
#include "util/name.h"

#define GIB (G_GUINT64_CONSTANT(1) << 30)

/* --- a volume group to look at --- */

typedef struct {
  const char *name, *status, *flags, *tags, *origin;
} Volume;

static void add_lv(GString *text, const Volume *v, guint device)
{
  g_string_append_printf(text,
                         "%s {\nid = \"%06u-aaaa-bbbb-cccc-dddd-eeee-ffffff\"\nstatus = [%s, "
                         "\"VISIBLE\"]\nflags = [%s]\n",
                         v->name, device, v->status, v->flags ? v->flags : "");
  if (v->tags)
    g_string_append_printf(text, "tags = [%s]\n", v->tags);
  g_string_append_printf(text,
                         "segment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 2\ntype "
                         "= \"thin\"\nthin_pool = \"data\"\n"
                         "transaction_id = 1\ndevice_id = %u\n",
                         device);
  if (v->origin)
    g_string_append_printf(text, "origin = \"%s\"\n", v->origin);
  g_string_append(text, "}\n}\n");
}

static LvmVg *make_vg(const Volume *volumes, gsize n)
{
  g_autoptr(GString) text = g_string_new(
      "pve {\nid = \"6Nfa6Q-bayC-pJfI-Ahv6-7fOJ-VKpV-nGtznS\"\nseqno = 1\nformat = \"lvm2\"\n"
      "status = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\nflags = []\nextent_size = 8192\nmax_lv = "
      "0\nmax_pv = 0\n"
      "metadata_copies = 0\nphysical_volumes {\npv0 {\nid = "
      "\"7B6vkB-y7B9-2kUe-E7Bg-idDg-Ljus-PB5LB5\"\ndevice = "
      "\"/dev/x\"\n"
      "status = [\"ALLOCATABLE\"]\nflags = []\ndev_size = 262144\npe_start = 2048\npe_count = "
      "31\n}\n}\nlogical_volumes {\n"
      "data {\nid = \"ahL2iu-uUCL-YAyN-Rtrk-Wg09-PVsb-cmw1la\"\nstatus = [\"READ\", \"WRITE\", "
      "\"VISIBLE\"]\nflags = "
      "[]\n"
      "segment_count = 1\nsegment1 {\nstart_extent = 0\nextent_count = 16\ntype = "
      "\"thin-pool\"\nmetadata = "
      "\"data_tmeta\"\n"
      "pool = \"data_tdata\"\ntransaction_id = 7\nchunk_size = 128\ndiscards = "
      "\"passdown\"\nzero_new_blocks = "
      "1\n}\n}\n");
  g_autoptr(GError) error = NULL;
  LvmVg *vg;

  for (gsize i = 0; i < n; i++)
    add_lv(text, &volumes[i], i + 1);
  g_string_append(text, "}\n}\ncontents = \"Text Format Volume Group\"\nversion = 1\ndescription = "
                        "\"\"\ncreation_host "
                        "= \"h\"\ncreation_time = 1\n");
  vg = lvm_vg_parse(text->str, text->len, &error);
  if (!vg)
    fail_msg("%s", error->message);
  return vg;
}

#define RW "\"READ\", \"WRITE\""
#define RO "\"READ\""
#define SKIP "\"ACTIVATION_SKIP\""

static void assert_snapshot(LvmVg *vg, const char *name, const char *volume, const char *snapshot)
{
  g_autofree char *of = NULL, *part = NULL;
  gboolean is = pool_rules_snapshot_of(lvm_vg_find_lv(vg, name), &of, &part);

  if (!volume) {
    assert_false(is);
    return;
  }
  assert_true(is);
  assert_string_equal(of, volume);
  assert_string_equal(part, snapshot);
}

/* --- names --- */

static void test_vmid(void **state)
{
  const struct {
    const char *name;
    gint64 vmid;
  } cases[] = {
      {"vm-100-disk-0", 100},
      {"vm-100-foo", 100},
      {"vm-100-cloudinit", 100},
      {"vm-100-state-snap1", 100},
      {"vm-100-fleece-0", 100},
      {"vm-100-d", 100},
      {"vm-100-disk_0", 100},
      {"vm-100-disk..0", 100},
      {"vm-0-x1", 0},
      {"vm-007-disk-0", 7},
      {"base-100-disk-0", 100},
      {"vm-100-", -1},
      {"vm-100-disk-", -1},
      {"vm-100-disk-0.", -1},
      {"vm-100-disk-0_", -1},
      {"vm-100-disk+0", -1},
      {"vm-100-a b", -1},
      {"vm-100-disk-0@x", -1},
      {"vm-100-../x", -1},
      {"", -1},
      {"vm-100", -1},
      {"vm--disk-0", -1},
      {"vm-a-disk-0", -1},
      {"VM-100-disk-0", -1},
      {"Base-100-disk-0", -1},
      {"subvol-100-disk-0", -1},
      {"basevol-100-disk-0", -1},
      {"snap_vm-100-disk-0_s1", -1},
      {"del-vm-100-disk-0", -1},
      {"disk0", -1},
      {"data", -1},
      {"vm-100-disk-0\n", -1},
      {"vm-99999999999999999999-disk-0", -1},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
    if (pool_rules_vmid(cases[i].name) != cases[i].vmid)
      fail_msg("%s: %" G_GINT64_FORMAT, cases[i].name, pool_rules_vmid(cases[i].name));
}

static void test_snapshot_names(void **state)
{
  g_autofree char *name = pool_rules_snapshot_name("vm-100-disk-0", "before", NULL),
                  *tag = pool_rules_snapshot_tag("vm-100-disk-0"), *none = NULL;
  g_autofree char *long_name = g_strnfill(120, 'a');
  g_autoptr(GError) error = NULL;

  assert_string_equal(name, "snap_vm-100-disk-0_before");
  assert_true(vt_tag_check(tag, NULL));
  assert_null(strchr(tag, ':'));
  assert_true(pool_rules_is_snapshot_name("snap_a_b", "a"));
  assert_true(pool_rules_is_snapshot_name("snap_a_b_c", "a"));
  assert_true(pool_rules_is_snapshot_name("snap_a_b_c", "a_b"));
  assert_false(pool_rules_is_snapshot_name("snap_a_", "a"));
  assert_false(pool_rules_is_snapshot_name("snap_ab", "a"));
  assert_false(pool_rules_is_snapshot_name("vm-101-disk-0", "vm-100-disk-0"));
  none = pool_rules_snapshot_name("a", "", &error);
  assert_null(none);
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  g_clear_error(&error);
  none = pool_rules_snapshot_name(long_name, "abc", &error);
  assert_null(none);
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  g_clear_error(&error);
  none = pool_rules_snapshot_name("a", "x/y\033[31m", &error);
  assert_null(none);
  assert_null(strchr(error->message, '\033'));
}

/* --- which volume is whose snapshot --- */

static void test_a_tag_tells(void **state)
{
  const Volume volumes[] = {
      {"a", RW, NULL, NULL, NULL},
      {"a_b", RW, NULL, NULL, NULL},
      {"snap_a_b_c", RO, SKIP, "\"virt-thin.snapshot-of=a_b\"", "a_b"},
      {"snap_a_x", RO, SKIP, "\"other\", \"virt-thin.snapshot-of=a\"", "a"},
      {"snap_gone_s", RO, SKIP, "\"virt-thin.snapshot-of=gone\"", NULL},
      {"kept", RO, SKIP, "\"virt-thin.snapshot-of=a\"", "a"},
      {"empty", RW, NULL, "\"virt-thin.snapshot-of=\"", NULL},
      {"snap_a_fake", RW, NULL, NULL, NULL},
  };
  g_autoptr(LvmVg) vg = make_vg(volumes, G_N_ELEMENTS(volumes));
  g_autoptr(GPtrArray) of_a = pool_rules_list_snapshots(vg, "a"),
                       of_gone = pool_rules_list_snapshots(vg, "gone");

  assert_snapshot(vg, "a", NULL, NULL);
  assert_snapshot(vg, "snap_a_b_c", "a_b", "c");
  assert_snapshot(vg, "snap_a_x", "a", "x");
  assert_snapshot(vg, "snap_gone_s", "gone", "s"); /* its volume was removed */
  assert_snapshot(vg, "kept", "a", "kept");        /* renamed by hand */
  assert_snapshot(vg, "empty", NULL, NULL);
  assert_snapshot(vg, "snap_a_fake", NULL, NULL); /* a name alone says nothing */
  assert_int_equal(of_a->len, 2);
  assert_int_equal(of_gone->len, 1);
}

static void test_the_origin_tells_after_a_foreign_rename(void **state)
{
  const Volume volumes[] = {{"new", RW, NULL, NULL, NULL},
                            {"snap_old_s", RO, SKIP, "\"virt-thin.snapshot-of=old\"", "new"}};
  g_autoptr(LvmVg) vg = make_vg(volumes, G_N_ELEMENTS(volumes));

  assert_snapshot(vg, "snap_old_s", "new", "s");
}

static void test_foreign_snapshots(void **state)
{
  const Volume volumes[] = {
      {"vm-100-disk-0", RW, NULL, NULL, NULL},
      {"snap_vm-100-disk-0_s1", RO, SKIP, NULL, "vm-100-disk-0"}, /* Proxmox's */
      {"snap_vm-100-disk-0_s2", RW, SKIP, NULL, "vm-100-disk-0"}, /* lvcreate -s */
      {"by-hand", RO, NULL, NULL, "vm-100-disk-0"},
      {"work", RW, SKIP, NULL, "vm-100-disk-0"}, /* a writable copy somebody works in */
      {"vm-101-disk-0", RW, NULL, NULL, "snap_vm-100-disk-0_s1"}, /* a linked clone */
      {"base-102-disk-0", RO, SKIP, NULL, "vm-100-disk-0"},       /* a template that began as one */
      {"vm-103-disk-0", RO, NULL, NULL, "vm-100-disk-0"},
      {"base-104-disk-0", RO, SKIP, "\"virt-thin.snapshot-of=vm-104-disk-0\"",
       NULL}, /* lvrename of a snapshot */
  };
  g_autoptr(LvmVg) vg = make_vg(volumes, G_N_ELEMENTS(volumes));

  assert_snapshot(vg, "snap_vm-100-disk-0_s1", "vm-100-disk-0", "s1");
  assert_snapshot(vg, "snap_vm-100-disk-0_s2", "vm-100-disk-0", "s2");
  assert_snapshot(vg, "by-hand", "vm-100-disk-0", "by-hand");
  assert_snapshot(vg, "work", NULL, NULL);
  assert_snapshot(vg, "vm-101-disk-0", NULL, NULL);
  assert_snapshot(vg, "base-102-disk-0", NULL, NULL);
  assert_snapshot(vg, "vm-103-disk-0", NULL, NULL);
  assert_snapshot(vg, "base-104-disk-0", NULL, NULL);
}

static void assert_rename_tags(LvmVg *vg, const char *name, const char *new_name, const char *lost,
                               const char *gained)
{
  g_autoptr(GPtrArray) minus = NULL, plus = NULL;
  g_autofree char *lost_now = NULL, *gained_now = NULL;

  pool_rules_rename_tags(lvm_vg_find_lv(vg, name), new_name, &minus, &plus);
  g_ptr_array_add(minus, NULL);
  g_ptr_array_add(plus, NULL);
  lost_now = g_strjoinv(" ", (char **)minus->pdata);
  gained_now = g_strjoinv(" ", (char **)plus->pdata);
  assert_string_equal(lost_now, lost);
  assert_string_equal(gained_now, gained);
}

static void test_tags_of_another_name(void **state)
{
  const Volume volumes[] = {
      {"vm-100-disk-0", RW, NULL, "\"pve-vm-100\", \"other\"", NULL},
      {"vm-100-disk-1", RW, NULL, NULL, NULL},
      {"vm-100-disk-2", RW, NULL, "\"pve-vm-101\", \"pve-vm-1001\"", NULL},
      {"disk", RW, NULL, "\"pve-vm-100\"", NULL},
      {"snap_vm-100-disk-0_s", RO, SKIP, "\"virt-thin.snapshot-of=vm-100-disk-0\"",
       "vm-100-disk-0"},
  };
  g_autoptr(LvmVg) vg = make_vg(volumes, G_N_ELEMENTS(volumes));

  assert_rename_tags(vg, "vm-100-disk-0", "vm-100-data", "", "");
  assert_rename_tags(vg, "vm-100-disk-0", "base-100-disk-0", "", "");
  assert_rename_tags(vg, "vm-100-disk-0", "vm-101-disk-0", "pve-vm-100", "pve-vm-101");
  assert_rename_tags(vg, "vm-100-disk-0", "base-101-disk-0", "pve-vm-100", "pve-vm-101");
  assert_rename_tags(vg, "vm-100-disk-0", "disk-0", "pve-vm-100", "");
  assert_rename_tags(vg, "vm-100-disk-1", "vm-101-disk-0", "",
                     "pve-vm-101"); /* Proxmox adds it, too */
  assert_rename_tags(vg, "vm-100-disk-2", "vm-101-disk-0", "", "");
  assert_rename_tags(vg, "disk", "vm-101-disk-0", "", "");
  assert_rename_tags(vg, "snap_vm-100-disk-0_s", "kept", "", "");
  assert_rename_tags(vg, "snap_vm-100-disk-0_s", "vm-101-disk-0",
                     "virt-thin.snapshot-of=vm-100-disk-0", "");
}

static void test_finding_a_snapshot(void **state)
{
  const Volume volumes[] = {
      {"a", RW, NULL, NULL, NULL},
      {"snap_a_s1", RO, SKIP, "\"virt-thin.snapshot-of=a\"", "a"},
      {"s1", RO, SKIP, "\"virt-thin.snapshot-of=a\"", "a"},
      {"snap_a_s2", RO, SKIP, "\"virt-thin.snapshot-of=a\"", "a"},
      {"b", RW, NULL, NULL, NULL},
  };
  g_autoptr(LvmVg) vg = make_vg(volumes, G_N_ELEMENTS(volumes));
  g_autoptr(GError) error = NULL;

  assert_string_equal(lvm_lv_name(pool_rules_find_snapshot(vg, "a", "s1", NULL)), "snap_a_s1");
  assert_string_equal(lvm_lv_name(pool_rules_find_snapshot(vg, "a", "snap_a_s2", NULL)),
                      "snap_a_s2");
  assert_null(pool_rules_find_snapshot(vg, "a", "s3", &error));
  assert_true(g_error_matches(error, VT_ERROR, ENOENT));
  assert_non_null(strstr(error->message, "it has s1, s1, s2"));
  g_clear_error(&error);
  assert_null(pool_rules_find_snapshot(vg, "b", "s1", &error));
  assert_non_null(strstr(error->message, "it has none"));
}

/* --- limits --- */

static void test_extents(void **state)
{
  g_autoptr(GError) error = NULL;
  guint64 n;

  assert_true(pool_rules_extents("a volume", 1, 4 << 20, &n, NULL));
  assert_int_equal(n, 1);
  assert_true(pool_rules_extents("a volume", (8 << 20) + 1, 4 << 20, &n, NULL));
  assert_int_equal(n, 3);
  assert_true(pool_rules_extents("a volume", (guint64)G_MAXUINT32 * (4 << 20), 4 << 20, &n, NULL));
  assert_int_equal(n, G_MAXUINT32);
  assert_false(pool_rules_extents("a volume", 0, 4 << 20, &n, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  g_clear_error(&error);
  assert_false(
      pool_rules_extents("a volume", (guint64)G_MAXUINT32 * (4 << 20) + 1, 4 << 20, &n, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
  assert_non_null(strstr(error->message, "16.00 PiB"));
  g_clear_error(&error);
  assert_false(pool_rules_extents("a volume", G_MAXUINT64, 4 * GIB, &n, &error));
  assert_true(g_error_matches(error, VT_ERROR, EINVAL));
}

static void test_overcommit(void **state)
{
  const PoolLimits none = {0}, limits = {.overcommit = 1.5};
  g_autoptr(GError) error = NULL;

  assert_true(pool_rules_check_overcommit("pve", "data", 1000 * GIB, GIB, &none, NULL));
  assert_true(pool_rules_check_overcommit("pve", "data", 3 * GIB, 2 * GIB, &limits, NULL));
  assert_false(pool_rules_check_overcommit("pve", "data", 3 * GIB + 1, 2 * GIB, &limits, &error));
  assert_true(g_error_matches(error, VT_ERROR, EPERM));
  assert_non_null(strstr(error->message, "virt-thin.conf"));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vmid),
      cmocka_unit_test(test_snapshot_names),
      cmocka_unit_test(test_a_tag_tells),
      cmocka_unit_test(test_the_origin_tells_after_a_foreign_rename),
      cmocka_unit_test(test_foreign_snapshots),
      cmocka_unit_test(test_tags_of_another_name),
      cmocka_unit_test(test_finding_a_snapshot),
      cmocka_unit_test(test_extents),
      cmocka_unit_test(test_overcommit),
  };

  return cmocka_run_group_tests_name("pool-rules", tests, NULL, NULL);
}
