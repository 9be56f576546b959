/* virt-thin - tests: what a file or device holds before it becomes, or is, a physical volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lvm-helper.h"
#include "lvm/content.h"
#include "lvm/metadata-area.h"

#define SIZE (16 * MIB)
#define EXTENTS ((const LvmRange){MIB, 15 * MIB})

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

static void put(const char *path, guint64 offset, const void *data, gsize length)
{
  int fd = open(path, O_WRONLY);

  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, data, length, (off_t)offset), length);
  close(fd);
}

/* A PV of VG tvg; the caller frees the path. */
static char *make_pv(void)
{
  char *path;

  lvm_store_close(lvm_test_create(folder, 1, SIZE, MIB, &path));
  return path;
}

/* Linux include/uapi/linux/raid/md_p.h, struct mdp_superblock_s: without a checksum that fits. */
static void put_md_mark(const char *path)
{
  const guint32 mark[] = {GUINT32_TO_LE(0xa92b4efc), 0, GUINT32_TO_LE(90)};

  put(path, SIZE - 128 * 1024 / 2, mark, sizeof mark);
}

/* Entry @i of a DOS partition table. */
static void put_partition(const char *path, guint i, guint8 type, guint32 start, guint32 n)
{
  guint8 entry[16] = {0};

  start = GUINT32_TO_LE(start);
  n = GUINT32_TO_LE(n);
  entry[4] = type;
  memcpy(entry + 8, &start, 4);
  memcpy(entry + 12, &n, 4);
  put(path, 446 + 16 * i, entry, sizeof entry);
  put(path, 510, "\x55\xaa", 2);
}

static void put_label(const char *path, guint64 offset)
{
  put(path, offset + 512, "LABELONE", 8);
  put(path, offset + 512 + 24, "LVM2 001", 8);
}

static void run(const char *tool, const char *option, const char *second, const char *path)
{
  const char *argv[] = {tool, option, second, path, NULL};
  GError *error = NULL;
  int status;

  assert_ok(
      g_spawn_sync(NULL, (char **)argv, NULL,
                   G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                   NULL, NULL, NULL, NULL, &status, &error),
      error);
  assert_int_equal(status, 0);
}

static void assert_free(const char *path)
{
  GError *error = NULL;

  assert_ok(lvm_content_check_free(path, &error), error);
}

static void assert_taken(const char *path, int code, const char *words)
{
  GError *error = NULL;

  assert_false(lvm_content_check_free(path, &error));
  assert_error(error, code, words);
}

static void assert_cleared(const char *path)
{
  GError *error = NULL;

  assert_ok(lvm_content_clear(path, &error), error);
  assert_free(path);
}

static void assert_own(const char *path)
{
  g_autofree char *owner = lvm_content_belongs_to(path, SIZE, &EXTENTS);

  assert_null(owner);
}

/* --- may it become one? --- */

static void test_nothing_there(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", 0), *zeros = g_malloc0(MIB);

  assert_free(path);
  assert_cleared(path);
  assert_int_equal(truncate(path, SIZE), 0);
  assert_free(path);
  put(path, 3 * MIB, zeros, MIB); /* data that is none */
  assert_free(path);
  assert_taken("/nowhere/at/all", ENOENT, "cannot look for what is on it");
}

static void test_taken(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", SIZE);

  put(path, 9 * MIB, "x", 1);
  assert_taken(path, EEXIST, "data of an unknown kind");
  put(path, 0, "QFI\xfb\0\0\0\3", 8);
  assert_taken(path, EEXIST, "a qcow2 image");
  assert_cleared(path);
  put_partition(path, 0, 0x83, 2048, 4096);
  assert_taken(path, EEXIST, "dos partitions");
  put(path, 0, "LUKS\xba\xbe\0\1", 8);
  assert_taken(path, EEXIST, "crypto_LUKS");
  assert_cleared(path);
  put_md_mark(path);
  assert_taken(path, EEXIST, "linux_raid_member");
  assert_cleared(path);
}

static void test_physical_volumes(void **state)
{
  g_autofree char *path = make_pv();
  GError *error = NULL;
  char zero[512] = {0};
  LvmLabel *label;
  VtIo *io;

  assert_taken(path, EEXIST, "is a physical volume of volume group tvg already");
  assert_false(lvm_content_clear(path, &error));
  assert_error(error, EEXIST, "is a physical volume of volume group tvg already");

  /* what a making that was cut short leaves: an area that points nowhere, and no label */
  LvmStore *store =
      lvm_store_open((const char *const[]){path, NULL}, "tvg", FALSE, NULL, NULL, &error);
  assert_ok(store, error);
  assert_false(lvm_content_clear(path, &error));
  assert_error(error, EBUSY, "in use by");
  lvm_store_close(store);

  /* one that no VG uses */
  io = vt_io_open_file(path, FALSE, &error);
  assert_ok(io, error);
  assert_ok(lvm_label_read(io, &label, &error), error);
  label->used = FALSE;
  assert_ok(lvm_label_write(io, label, &error), error);
  lvm_label_free(label);
  vt_io_unref(io);
  assert_taken(path, EEXIST, "volume group tvg");
  put(path, 4096 + 512, zero, sizeof zero); /* its text is gone, which its header does not know */
  assert_taken(path, EEXIST, "wipe it with wipefs -a");
}

static void assert_unmarked(const char *path, int code, const char *words)
{
  GError *error = NULL;

  assert_int_equal(lvm_content_check_unmarked(path, &error), code == 0);
  if (code)
    assert_error(error, code, words);
}

/* What is to become a part of a volume group again has data, but nobody's marks. */
static void test_unmarked(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", 0);

  assert_unmarked(path, 0, "");
  assert_int_equal(truncate(path, SIZE), 0);
  assert_unmarked(path, 0, "");
  put(path, 9 * MIB, "x", 1);
  assert_unmarked(path, 0, "");
  put(path, 0, "QFI\xfb\0\0\0\3", 8);
  assert_unmarked(path, EEXIST, "a qcow2 image");
  put_md_mark(path);
  assert_unmarked(path, EEXIST, "linux_raid_member and a qcow2 image");
  assert_unmarked("/nowhere/at/all", ENOENT, "cannot look for what is on it");
  assert_unmarked(folder, EINVAL, "cannot look for what is on it");
}

/* One name, however many marks there are of it; a file of one byte has none. */
static void test_same_mark_twice(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", SIZE), *tiny = NULL;

  run("mkfs.ext4", "-q", "-F", path);
  assert_taken(path, EEXIST, "carries ext4 already");
  put_partition(path, 0, 0x83, 2048, 4096);
  assert_taken(path, EEXIST, "ext4");
  run("mkswap", "-f", "-q", path);
  assert_taken(path, EEXIST, "swap");
  assert_cleared(path);
  tiny = lvm_test_file(folder, "tiny", 1);
  assert_free(tiny);
  put(tiny, 0, "x", 1);
  assert_taken(tiny, EEXIST, "data of an unknown kind");
  assert_own(tiny);
  assert_null(lvm_content_find_inside(tiny));
  assert_cleared(tiny);
}

/* A GPT of which only the copy at the end is left. */
static void test_gpt(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", SIZE), *zeros = g_malloc0(MIB);

  run("sh", "-c", "printf 'label: gpt\\nsize=4MiB\\n' | sfdisk -q \"$0\"", path);
  assert_taken(path, EEXIST, "gpt partitions");
  put(path, 0, zeros, MIB);
  assert_taken(path, EEXIST, "gpt partitions");
  assert_cleared(path);
}

/* What is read to find data may be a hole at the end, or nothing but zeros before it. */
static void test_data_behind_zeros(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", SIZE), *zeros = g_malloc0(3 * MIB);

  put(path, 2 * MIB, zeros, 3 * MIB);
  put(path, SIZE - 4096, zeros, 4096);
  assert_free(path);
  put(path, 5 * MIB - 1, "x", 1);
  assert_taken(path, EEXIST, "data of an unknown kind");
}

/* An area that points nowhere is what remains when the making of a VG is cut short. */
static void test_remains(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "file", SIZE);
  const LvmRange range = {4096, MIB - 4096};
  VtIo *io = vt_io_open_file(path, FALSE, NULL);
  LvmMetadataArea *area = lvm_metadata_area_new(io, &range);
  GError *error = NULL;

  assert_ok(lvm_metadata_area_write_header(area, NULL, NULL, &error), error);
  lvm_metadata_area_free(area);
  vt_io_unref(io);
  assert_free(path);
  put(path, 2 * MIB, "x", 1);
  assert_taken(path, EEXIST, "data of an unknown kind");
}

/* --- is it one of its own? --- */

static void assert_owned(const char *path, const LvmRange *extents, const char *words)
{
  g_autofree char *owner = lvm_content_belongs_to(path, SIZE, extents);

  assert_non_null(owner);
  assert_non_null(strstr(owner, words));
}

static void test_arrays(void **state)
{
  g_autofree char *path = make_pv(), *empty = lvm_test_file(folder, "empty", 0);

  assert_own(path);
  assert_own(empty);
  assert_own("/nowhere/at/all");
  put_md_mark(path);
  assert_own(path); /* within the extents: a guest's */
  assert_owned(path, &(const LvmRange){MIB, 10 * MIB}, "is a part of an array (linux_raid_member)");
  assert_owned(path, &(const LvmRange){SIZE, MIB}, "mdadm --assemble --scan");
}

/* Another array's mark counts where the PV is smaller than the disk that carries it, and it lies
 * outside of the extents. DRBD's of version 8 is at the end (libblkid's superblocks/drbd.c). */
static void test_other_arrays(void **state)
{
  const guint32 drbd = GUINT32_TO_BE(0x8374026b);
  g_autofree char *path = make_pv();

  put(path, SIZE - 4096 + 60, &drbd, sizeof drbd);
  assert_own(path);
  {
    g_autofree char *owner =
        lvm_content_belongs_to(path, SIZE - MIB, &(const LvmRange){MIB, 10 * MIB});

    assert_non_null(owner);
    assert_non_null(strstr(owner, "dmraid, drbdadm"));
  }
}

static void test_partitions(void **state)
{
  g_autofree char *path = make_pv();

  put(path, 510, "\x55\xaa", 2); /* no partition */
  assert_own(path);
  put_partition(path, 1, 0xee, 1, 100); /* one that says that there is a GPT */
  assert_own(path);
  put_partition(path, 2, 0x83, 2048, 4096);
  assert_owned(path, &EXTENTS, "is a disk with partitions");
  put(path, 446, "\x7f", 1); /* nothing that can be booted has such a flag: it is no table */
  assert_own(path);
}

/* --- where in it is one? --- */

static void assert_inside(const char *path, const char *first, const char *second)
{
  g_autofree char *inside = lvm_content_find_inside(path);

  assert_non_null(inside);
  assert_non_null(strstr(inside, first));
  assert_non_null(strstr(inside, second));
}

static void test_inside(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "disk.img", SIZE), *empty = NULL;

  assert_null(lvm_content_find_inside("/nowhere/at/all"));
  assert_null(lvm_content_find_inside(path));
  put_partition(path, 0, 0x83, 2048, 2048);
  put_partition(path, 1, 0x8e, 4096, 2048);
  put_partition(path, 2, 0x8e, 8192, 4096);
  assert_null(lvm_content_find_inside(path));
  put_label(path, 4096 * 512);
  assert_inside(path, "partition 2 of", "--offset 2097152 --sizelimit 1048576");
  put_label(path, 8192 * 512);
  assert_inside(path, "; partition 3 of", "--offset 4194304");
  empty = lvm_test_file(folder, "empty", 0);
  assert_null(lvm_content_find_inside(empty));
  put(empty, 0, "QFI\xfb\0\0\0\3", 8);
  assert_int_equal(truncate(empty, MIB), 0);
  assert_null(lvm_content_belongs_to(empty, MIB, &EXTENTS));
  assert_inside(empty, "is a qcow2 image", "qemu-img convert");
}

/* --- block devices --- */

/* A loop device over @path, open as @fd and gone when that is closed; NULL: there can be none. */
static char *attach(const char *path, int *fd)
{
  char *argv[] = {"losetup", "--find", "--show", (char *)path, NULL}, *device = NULL;
  int status;

  if (getuid() != 0 ||
      !g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &device, NULL, &status,
                    NULL) ||
      status != 0) {
    g_free(device);
    return NULL;
  }
  g_strchomp(device);
  *fd = open(device, O_RDONLY | O_CLOEXEC);
  assert_true(*fd >= 0);
  assert_true(g_spawn_sync(NULL, (char *[]){"losetup", "-d", device, NULL}, NULL,
                           G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  return device;
}

static void test_block_device(void **state)
{
  g_autofree char *path = lvm_test_file(folder, "disk.img", SIZE), *device = NULL;
  int fd = -1;

  put_partition(path, 0, 0x8e, 4096, 8192);
  put_label(path, 4096 * 512);
  if (!(device = attach(path, &fd)))
    skip();
  assert_taken(device, EEXIST, "dos partitions");
  assert_inside(device, "partition 1 of", "partx --add");
  assert_owned(device, &EXTENTS, "is a disk with partitions");
  assert_cleared(device);
  assert_own(device);
  put(path, 9 * MIB, "x", 1); /* data of no known kind is none */
  assert_free(device);
  assert_null(lvm_content_find_inside(device));
  close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_unmarked),     TEST(test_same_mark_twice),
      TEST(test_gpt),          TEST(test_data_behind_zeros),
      TEST(test_other_arrays), TEST(test_nothing_there),
      TEST(test_taken),        TEST(test_physical_volumes),
      TEST(test_remains),      TEST(test_arrays),
      TEST(test_partitions),   TEST(test_inside),
      TEST(test_block_device),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
