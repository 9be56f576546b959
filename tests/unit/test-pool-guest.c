/* virt-thin - tests: guests' volumes as Proxmox VE knows them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pool/guest.h"

#define ILLEGAL "illegal characters"
#define NO_NAME "unable to parse lvm volume name"

static void test_names(void **state)
{
  static const struct {
    const char *name, *vmid;
    gboolean is_base;
    const char *refusal;
  } cases[] = {
      {"vm-100-disk-0", "100", FALSE, NULL},
      {"vm-100-foo", "100", FALSE, NULL},
      {"vm-100-cloudinit", "100", FALSE, NULL},
      {"vm-100-state-snap1", "100", FALSE, NULL},
      {"vm-100-fleece-0", "100", FALSE, NULL},
      {"vm-100-d", "100", FALSE, NULL},
      {"vm-100-disk_0", "100", FALSE, NULL},
      {"vm-100-disk..0", "100", FALSE, NULL},
      {"vm-0-x1", "0", FALSE, NULL},
      {"vm-007-disk-0", "007", FALSE, NULL},
      {"vm-100-disk-0.qcow2", "100", FALSE, NULL},
      {"vm-12345678901234567890-a", "12345678901234567890", FALSE, NULL},
      {"base-100-disk-0", "100", TRUE, NULL},
      {"base-007-x", "007", TRUE, NULL},
      {"vm-100-", NULL, FALSE, ILLEGAL},
      {"vm-100-disk-", NULL, FALSE, ILLEGAL},
      {"vm-100-disk-0.", NULL, FALSE, ILLEGAL},
      {"vm-100-disk-0_", NULL, FALSE, ILLEGAL},
      {"vm-100-disk+0", NULL, FALSE, ILLEGAL},
      {"vm-100-a b", NULL, FALSE, ILLEGAL},
      {"vm-100-disk-0@x", NULL, FALSE, ILLEGAL},
      {"base-100-disk-0/vm-101-disk-0", NULL, FALSE, ILLEGAL},
      {"vm-100/disk-0", NULL, FALSE, ILLEGAL},
      {"vm-100-d\xc3\xa4", NULL, FALSE, ILLEGAL},
      {"vm-100-disk-0\n", NULL, FALSE, ILLEGAL},
      {"", NULL, FALSE, ILLEGAL},
      {"-", NULL, FALSE, ILLEGAL},
      {"vm-100", NULL, FALSE, NO_NAME},
      {"vm--disk-0", NULL, FALSE, NO_NAME},
      {"vm-a-disk-0", NULL, FALSE, NO_NAME},
      {"vm-1a-disk-0", NULL, FALSE, NO_NAME},
      {"VM-100-disk-0", NULL, FALSE, NO_NAME},
      {"Base-100-disk-0", NULL, FALSE, NO_NAME},
      {"subvol-100-disk-0", NULL, FALSE, NO_NAME},
      {"basevol-100-disk-0", NULL, FALSE, NO_NAME},
      {"snap_vm-100-disk-0_s1", NULL, FALSE, NO_NAME},
      {"del-vm-100-disk-0", NULL, FALSE, NO_NAME},
      {"disk0", NULL, FALSE, NO_NAME},
      {"data", NULL, FALSE, NO_NAME},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    PoolGuestName parsed;
    gboolean ok = pool_guest_parse_name(POOL_GUEST_THIN, cases[i].name, &parsed, &error);

    if (ok != !cases[i].refusal || (error && !strstr(error->message, cases[i].refusal)) ||
        g_strcmp0(parsed.vmid, cases[i].vmid) != 0 || parsed.is_base != cases[i].is_base ||
        (ok && strcmp(parsed.format, "raw") != 0))
      fail_msg("%s: %s, VMID %s", cases[i].name, error ? error->message : "taken", parsed.vmid);
    pool_guest_name_clear(&parsed);
  }
}

static void test_names_of_thick_storages(void **state)
{
  PoolGuestName parsed;

  assert_true(pool_guest_parse_name(POOL_GUEST_THICK, "vm-100-disk-0.qcow2", &parsed, NULL));
  assert_string_equal(parsed.format, "qcow2");
  pool_guest_name_clear(&parsed);
  assert_true(pool_guest_parse_name(POOL_GUEST_THICK, "vm-100-disk-0", &parsed, NULL));
  assert_string_equal(parsed.format, "raw");
  pool_guest_name_clear(&parsed);
  assert_false(pool_guest_parse_name(POOL_GUEST_THICK, "base-100-disk-0", &parsed, NULL));
}

static void test_volume_ids(void **state)
{
  static const struct {
    const char *id, *storage, *volume;
  } cases[] = {
      {"local-lvm:vm-100-disk-0", "local-lvm", "vm-100-disk-0"},
      {"ab:c:d", "ab", "c:d"},
      {"A1:x", "A1", "x"},
      {"a.b_c-d:x y", "a.b_c-d", "x y"},
      {"a:x", NULL, NULL},
      {"1ab:x", NULL, NULL},
      {"ab-:x", NULL, NULL},
      {"ab:", NULL, NULL},
      {":x", NULL, NULL},
      {"ab", NULL, NULL},
      {"", NULL, NULL},
      {"ab:x\n", NULL, NULL},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *storage = NULL, *volume = NULL;
    g_autoptr(GError) error = NULL;

    if (pool_guest_parse_volume_id(cases[i].id, &storage, &volume, &error) !=
        (cases[i].storage != NULL))
      fail_msg("%s", cases[i].id);
    if (error)
      assert_non_null(strstr(error->message, "unable to parse volume ID '"));
    assert_true(g_strcmp0(storage, cases[i].storage) == 0 &&
                g_strcmp0(volume, cases[i].volume) == 0);
  }
}

static void test_vmids(void **state)
{
  static const char *const good[] = {"100", "101", "999999999"}, *const bad[] = {
                                                                     "",           "0",   "1",
                                                                     "99",         "099", "0100",
                                                                     "1000000000", "1a0", " 100",
                                                                     "100 ",       "-100"};

  for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
    assert_true(pool_guest_is_vmid(good[i]));
  for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
    if (pool_guest_is_vmid(bad[i]))
      fail_msg("%s", bad[i]);
}

static void test_snapshots(void **state)
{
  static const char *const good[] = {"s1", "before", "a_b-c", "A9"}, *const bad[] = {
                                                                         "",   "s",   "1a", "_a",
                                                                         "-a", "a.b", "a b"};
  g_autofree char *forty = g_strnfill(40, 'a'), *more = g_strnfill(41, 'a');

  for (gsize i = 0; i < G_N_ELEMENTS(good); i++)
    assert_true(pool_guest_check_snapshot(good[i], NULL));
  for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
    if (pool_guest_check_snapshot(bad[i], NULL))
      fail_msg("%s", bad[i]);
  assert_true(pool_guest_check_snapshot(forty, NULL));
  assert_false(pool_guest_check_snapshot(more, NULL));
}

static void test_new_names(void **state)
{
  static const struct {
    const char *name, *vmid, *refusal;
  } cases[] = {
      {"vm-100-disk-0", "100", NULL},
      {"vm-100-cloudinit", "100", NULL},
      {"vm-101-disk-0", "100", "illegal name 'vm-101-disk-0' - should be 'vm-100-*'"},
      {"base-100-disk-0", "100", "illegal name 'base-100-disk-0' - should be 'vm-100-*'"},
      {"disk", "100", "illegal name 'disk' - should be 'vm-100-*'"},
      {"vm-1000-disk-0", "100", "illegal name 'vm-1000-disk-0' - should be 'vm-100-*'"},
      {"vm-100-../x", "100", "lvm name 'vm-100-../x' contains illegal characters"},
      {"vm-100-", "100", "lvm name 'vm-100-' contains illegal characters"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;

    pool_guest_check_new_name(cases[i].name, cases[i].vmid, &error);
    assert_true(g_strcmp0(error ? error->message : NULL, cases[i].refusal) == 0);
  }
}

static void test_next_names(void **state)
{
  static const struct {
    const char *names, *vmid, *next; /* names by blanks */
  } cases[] = {
      {"", "100", "vm-100-disk-0"},
      {"vm-100-disk-1", "100", "vm-100-disk-0"},
      {"vm-100-disk-0 vm-100-disk-2", "100", "vm-100-disk-1"},
      {"vm-100-disk-0 vm-100-disk-1", "100", "vm-100-disk-2"},
      {"base-100-disk-0", "100", "vm-100-disk-1"},
      {"snap_vm-100-disk-0_s1", "100", "vm-100-disk-1"},
      {"del-vm-100-disk-0", "100", "vm-100-disk-1"},
      {"xvm-100-disk-0y", "100", "vm-100-disk-1"},
      {"vm-1001-disk-0", "100", "vm-100-disk-0"},
      {"vm-100-disk-00", "100", "vm-100-disk-0"},
      {"vm-100-cloudinit", "100", "vm-100-disk-0"},
      {"vm-200-disk-0 base-100-disk-1", "100", "vm-100-disk-0"},
      {"vm-100-disk-5000 data root", "100", "vm-100-disk-0"},
      {"vm-100-disk-0", "200", "vm-200-disk-0"},
  };
  GPtrArray *many = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GError) error = NULL;
  g_autofree char *last = NULL, *none = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_auto(GStrv) names = g_strsplit(cases[i].names, " ", -1);
    g_autofree char *next =
        pool_guest_next_name((const char *const *)names, cases[i].vmid, "st", NULL);

    if (strcmp(next, cases[i].next) != 0)
      fail_msg("%s: %s", cases[i].names, next);
  }
  for (guint i = 0; i < 1023; i++)
    g_ptr_array_add(many, g_strdup_printf("vm-100-disk-%u", i));
  g_ptr_array_add(many, NULL);
  last = pool_guest_next_name((const char *const *)many->pdata, "100", "st", NULL);
  assert_string_equal(last, "vm-100-disk-1023");
  many->pdata[1023] = g_strdup(last);
  g_ptr_array_add(many, NULL);
  none = pool_guest_next_name((const char *const *)many->pdata, "100", "st", &error);
  assert_null(none);
  assert_string_equal(error->message,
                      "unable to allocate an image name for VM 100 in storage 'st'");
  g_ptr_array_unref(many);
}

static void test_features(void **state)
{
  static const struct {
    const char *feature, *thin, *thick; /* current, base, snapshot */
  } cases[] = {
      {"snapshot", "100", "000"},  {"clone", "011", "000"},      {"template", "100", "000"},
      {"copy", "111", "100"},      {"sparseinit", "110", "000"}, {"rename", "100", "100"},
      {"replicate", "000", "000"}, {"flight", "000", "000"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
    for (PoolGuestState s = POOL_GUEST_CURRENT; s <= POOL_GUEST_SNAPSHOT; s++)
      if (pool_guest_has_feature(POOL_GUEST_THIN, cases[i].feature, s) !=
              (cases[i].thin[s] == '1') ||
          pool_guest_has_feature(POOL_GUEST_THICK, cases[i].feature, s) !=
              (cases[i].thick[s] == '1'))
        fail_msg("%s of %d", cases[i].feature, s);
}

static void test_usage(void **state)
{
  const guint64 size = 4702863360, chunk = 65536;
  const struct {
    guint64 used, shown;
  } cases[] = {
      {26910 * chunk, 1763573760}, {23918 * chunk, 1567464357}, {1, 470286},  {chunk, 470286},
      {size - 1, 4702393073},      {size - chunk, 4702393073},  {size, size}, {0, 0},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
    assert_int_equal(pool_guest_used(size, cases[i].used), cases[i].shown);
  assert_int_equal(pool_guest_used(0, 0), 0);
  assert_int_equal(pool_guest_used((guint64)1 << 62, (guint64)1 << 61), (guint64)1 << 61);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),      cmocka_unit_test(test_names_of_thick_storages),
      cmocka_unit_test(test_volume_ids), cmocka_unit_test(test_vmids),
      cmocka_unit_test(test_snapshots),  cmocka_unit_test(test_new_names),
      cmocka_unit_test(test_next_names), cmocka_unit_test(test_features),
      cmocka_unit_test(test_usage),
  };

  return cmocka_run_group_tests_name("guests' volumes", tests, NULL, NULL);
}
