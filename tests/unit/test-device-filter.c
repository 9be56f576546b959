/* virt-thin - tests: which devices lvm.conf's filters leave over
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * That lvm2 comes to the same result is tested where it has devices: tests/vm/kernel-pool.guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "dm/device-filter.h"

static char *folder;

static int setup(void **state)
{
  folder = g_dir_make_tmp("virt-thin-filter.XXXXXX", NULL);
  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  return folder ? 0 : -1;
}

static int teardown(void **state)
{
  g_autofree char *path = g_build_filename(folder, "lvm.conf", NULL);

  g_remove(path);
  return g_rmdir(folder);
}

static DmkFilter *read_filter(const char *devices)
{
  g_autofree char *path = g_build_filename(folder, "lvm.conf", NULL),
                  *text = g_strdup_printf("devices { %s }", devices);
  g_autoptr(LvmConf) conf = NULL;

  assert_true(g_file_set_contents(path, text, -1, NULL));
  conf = lvm_conf_read(NULL);
  return dmk_filter_new(conf);
}

/* A device with the names that @names has, blanks between them. */
static void assert_accepts(const char *devices, const char *names, gboolean accepts)
{
  g_autoptr(DmkFilter) filter = read_filter(devices);
  g_auto(GStrv) words = g_strsplit(names, " ", -1);

  if (dmk_filter_accepts(filter, (const char *const *)words) != accepts)
    fail_msg("%s: %s is %s", devices, names, accepts ? "rejected" : "accepted");
}

static void test_filters(void **state)
{
  static const struct {
    const char *devices, *names;
    gboolean accepts;
  } cases[] = {
      {"filter=[\"r|.*|\"]", "/dev/sda", FALSE},
      {"filter=[\"a|.*|\"]", "/dev/sda", TRUE},
      {"filter=\"r|.*|\"", "/dev/sda", FALSE}, /* a string is a list of one */
      {"filter=[\"r|^/dev/zd.*|\", \"r|/dev/rbd.*|\"]", "/dev/zd16", FALSE},
      {"filter=[\"r|^/dev/zd.*|\", \"r|/dev/rbd.*|\"]", "/dev/rbd0", FALSE},
      {"filter=[\"r|^/dev/zd.*|\", \"r|/dev/rbd.*|\"]", "/dev/sdz", TRUE},
      {"filter=[\"a|sda|\", \"r|.*|\"]", "/dev/sda", TRUE}, /* anywhere in the name */
      {"filter=[\"a|sda|\", \"r|.*|\"]", "/dev/sda1", TRUE},
      {"filter=[\"a|^/dev/sda$|\", \"r|.*|\"]", "/dev/sda1", FALSE},
      {"filter=[\"r|.*|\", \"a|sda|\"]", "/dev/sda", FALSE}, /* the first counts */
      {"filter=[\"a|by-id|\", \"r|.*|\"]", "/dev/sda /dev/disk/by-id/x",
       TRUE}, /* one name is enough */
      {"filter=[\"r|by-id|\"]", "/dev/sda /dev/disk/by-id/x", FALSE},
      {"filter=[\"a|sd|\", \"r|by-id|\"]", "/dev/disk/by-id/x /dev/sda", TRUE},
      {"filter=[\"a/sda/\", \"r(.*)\"]", "/dev/sdb", FALSE}, /* other marks */
      {"filter=[\"a{sd[a-c]}\", \"r[.*]\"]", "/dev/sdb", TRUE},
      {"filter=[\"a|sd(a|b)|\", \"r|.*|\"]", "/dev/sdb", TRUE},
      {"global_filter=[\"r|sdb|\"]", "/dev/sdb", FALSE},
      {"global_filter=[\"r|sdb|\"] filter=[\"a|.*|\"]", "/dev/sdb", FALSE}, /* both are to accept */
      {"global_filter=[\"a|sdb|\"] filter=[\"r|.*|\"]", "/dev/sdb", FALSE},
      {"filter=[]", "/dev/sda", TRUE},
      {"filter=[\"sda\"]", "/dev/sda", FALSE}, /* broken */
      {"filter=[\"a|.*|\", \"r|x\"]", "/dev/sda", FALSE},
      {"filter=[\"a|(|\"]", "/dev/sda", FALSE},
      {"filter=[\"a\"]", "/dev/sda", FALSE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
    assert_accepts(cases[i].devices, cases[i].names, cases[i].accepts);
}

static void test_none(void **state)
{
  assert_null(read_filter("dir=\"/dev\""));
  assert_true(dmk_filter_accepts(NULL, (const char *const[]){"/dev/sda", NULL}));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_filters),
      cmocka_unit_test(test_none),
  };

  return cmocka_run_group_tests(tests, setup, teardown);
}
