/* virt-thin - what a block device is made of, told from a tree as the kernel has it in /sys
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/block-stack.h"

static char *sysfs;

static void write_attribute(const char *device, const char *file, const char *text)
{
  g_autofree char *path = g_build_filename(sysfs, "devices", device, file, NULL),
                  *folder = g_path_get_dirname(path);

  assert_int_equal(g_mkdir_with_parents(folder, 0755), 0);
  assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void link_to(const char *device, const char *folder, const char *name)
{
  g_autofree char *target = g_build_filename(sysfs, "devices", device, NULL),
                  *where = g_build_filename(sysfs, folder, NULL),
                  *path = g_build_filename(where, name, NULL);

  assert_int_equal(g_mkdir_with_parents(where, 0755), 0);
  assert_int_equal(symlink(target, path), 0);
}

/* sda and sdb; partition 1 of each; md0 over those; dm-0 encrypted, on md0. */
static int make_tree(void **state)
{
  sysfs = g_dir_make_tmp("virt-thin-test.XXXXXX", NULL);
  write_attribute("sda", "size", "2048\n");
  write_attribute("sda/sda1", "partition", "1\n");
  write_attribute("sdb/sdb1", "partition", "1\n");
  write_attribute("md0", "md/level", "raid1\n");
  link_to("sda/sda1", "devices/md0/slaves", "sda1");
  link_to("sdb/sdb1", "devices/md0/slaves", "sdb1");
  write_attribute("dm-0", "dm/name", "safe\n");
  write_attribute("dm-0", "dm/uuid", "CRYPT-LUKS2-0123-safe\n");
  link_to("md0", "devices/dm-0/slaves", "md0");
  write_attribute("loop0", "loop/backing_file", "/srv/pve.img\n");
  write_attribute("loop1", "loop/backing_file", "/srv/\033[31mred.img\n");
  link_to("sda", "dev/block", "8:0");
  link_to("md0", "dev/block", "9:0");
  link_to("dm-0", "dev/block", "254:0");
  link_to("loop0", "dev/block", "7:0");
  link_to("loop1", "dev/block", "7:1");
  link_to("sdb/sdb1", "dev/block", "8:17");
  return 0;
}

static int remove_tree(void **state)
{
  char *args[] = {"rm", "-rf", sysfs, NULL};

  g_spawn_sync(NULL, args, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_free(sysfs);
  return 0;
}

static void is_told(guint major_number, guint minor_number, const char *want)
{
  g_autofree char *text = block_stack_describe(makedev(major_number, minor_number), sysfs);

  assert_string_equal(text, want);
}

static void test_stacks(void **state)
{
  is_told(8, 0, "disk sda");
  is_told(8, 17, "disk sdb -> partition sdb1");
  is_told(9, 0, "disk sda -> partition sda1, disk sdb -> partition sdb1 -> raid1 md0");
  is_told(254, 0,
          "disk sda -> partition sda1, disk sdb -> partition sdb1 -> raid1 md0 -> encrypted safe");
  is_told(7, 0, "file /srv/pve.img -> loop0");
  is_told(7, 1, "file /srv/?[31mred.img -> loop1");
  is_told(8, 99, "device 8:99");
}

/* The same device twice is two of the answer. */
static void test_devices(void **state)
{
  g_autoptr(BlockDevice) safe = block_stack_read(makedev(254, 0), sysfs);
  const BlockDevice *raid, *partition, *disk;

  assert_string_equal(safe->kind, "encrypted");
  assert_string_equal(safe->name, "safe");
  assert_int_equal(safe->below->len, 1);
  raid = safe->below->pdata[0];
  assert_string_equal(raid->kind, "raid1");
  assert_int_equal(raid->below->len, 2);
  partition = raid->below->pdata[0];
  assert_string_equal(partition->kind, "partition");
  disk = partition->below->pdata[0];
  assert_string_equal(disk->kind, "disk");
  assert_int_equal(disk->size, 1 << 20);
  assert_int_equal(disk->below->len, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_stacks), cmocka_unit_test(test_devices)};

  return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
