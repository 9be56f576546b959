/* virt-thin - tests: volume groups made by the kernel and lvm2, also at crash points and damaged
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tests/fixtures/pools/README.md says what each image is.
 */
#include "pool-helper.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lvm/label.h"
#include "lvm/store.h"
#include "thin/thin.h"

typedef struct {
  const char *volume;
  guint64 length; /* 0: all */
  const char *md5;
} Sum;

#define ALL_01                                                                                     \
  {"vm-101-disk-1", 0, "3d6ddcc9ac438d8cadbc782fcf41885d"},                                        \
      {"vm-102-disk-0", 0, "e3daa09171e7063c777b69384291aed6"},                                    \
      {"snap_vm-100-disk-0_s1", 0, "670106f7a3b68dc4daaffb1fac12ec5a"},                            \
      {"snap_vm-100-disk-0_s2", 0, "cb2da43aaefff55d2f83cd9a5b05eb9d"},                            \
  {                                                                                                \
    "root", 0, "96995b58d4cbf6aaa9041b4f00c7f6ae"                                                  \
  }
#define VM_100                                                                                     \
  {                                                                                                \
    "vm-100-disk-0", 0, "f58033394769c0068d1f3ff89f232a08"                                         \
  }
#define ORIGIN_06 "c2b13ce904d669138233ce99a0ccb18c"

typedef struct {
  const char *name;
  int refused;             /* errno of opening read-write; 0: it opens */
  const char *why;         /* what the refusal says */
  const char *next;        /* and the next step */
  const char *names;       /* of all volumes, before ... */
  const char *after;       /* ... and after opening read-write; NULL: the same */
  guint n_errors, n_leaks; /* of check; G_MAXUINT: some */
  Sum sums[8];
} Fixture;

#define NAMES_01                                                                                   \
  "root snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2 vm-100-disk-0 vm-101-disk-1 vm-102-disk-0"

static const Fixture fixtures[] = {
    {"01-clean", 0, NULL, NULL, NAMES_01, NULL, 0, 0, {VM_100, ALL_01}},
    {"02-crash",
     0,
     NULL,
     NULL,
     "s19 s29 s39 s9 snap_vm-200-disk-0_base vm-200-disk-0",
     NULL,
     0,
     0,
     {{"vm-200-disk-0", 64 * MIB, "c89465d073e8ed045cd6ac040e015cfe"},
      {"snap_vm-200-disk-0_base", 0, "a25e5972369cb8a37871d8868682d3be"}}},
    {"03a-tid-pool-ahead",
     EPERM,
     "transaction id is 9, expected 7",
     "virt-thin repair",
     NAMES_01,
     NULL,
     G_MAXUINT,
     0,
     {VM_100,
      {"vm-101-disk-1", 0, "3d6ddcc9ac438d8cadbc782fcf41885d"},
      {"root", 0, "96995b58d4cbf6aaa9041b4f00c7f6ae"}}},
    {"04a-needs-check",
     EPERM,
     "needs_check",
     "virt-thin check --clear-needs-check pve",
     "snap_vm-400-disk-0_s1 vm-400-disk-0",
     NULL,
     G_MAXUINT,
     0,
     {{"vm-400-disk-0", 0, "79954edff9c46a02c5ec046c1d071e80"}}},
    {"04b-damaged-leaf",
     EBADMSG,
     "148",
     "virt-thin repair",
     NAMES_01,
     NULL,
     G_MAXUINT,
     0,
     {ALL_01}},
    {"04c-leaked-block", 0, NULL, NULL, NAMES_01, NULL, 0, G_MAXUINT, {VM_100}},
    {"05a-out-of-data",
     0,
     NULL,
     NULL,
     "vm-300-disk-0",
     NULL,
     G_MAXUINT, /* 28 thin devices that dmsetup made */
     0,
     {{"vm-300-disk-0", 0, "7c0e5a4d79d2493d03d3897723db3d6c"}}},
    {"06-msg-pending",
     0,
     NULL,
     NULL,
     "snap_vm-500-disk-0_s1 vm-500-disk-0",
     NULL,
     0,
     0,
     {{"vm-500-disk-0", 0, ORIGIN_06}, {"snap_vm-500-disk-0_s1", 0, ORIGIN_06}}},
    {"06-snap-made-tid-old",
     0,
     NULL,
     NULL,
     "snap_vm-500-disk-0_s1 vm-500-disk-0",
     NULL,
     0,
     0,
     {{"vm-500-disk-0", 0, ORIGIN_06}, {"snap_vm-500-disk-0_s1", 0, ORIGIN_06}}},
    {"06-delete-msg-pending",
     0,
     NULL,
     NULL,
     "vm-500-disk-0",
     NULL,
     0,
     0,
     {{"vm-500-disk-0", 0, ORIGIN_06}}},
};

static void assert_names(VolumeGroup *group, const char *expected)
{
  g_autofree char *names = helper_names(group);

  assert_string_equal(names, expected);
}

/* Of the first @n. */
static void check_sums(VolumeGroup *group, const Fixture *f, guint n)
{
  for (guint i = 0; i < MIN(n, G_N_ELEMENTS(f->sums)) && f->sums[i].volume; i++) {
    g_autofree char *md5 = helper_md5(group, f->sums[i].volume, f->sums[i].length);

    if (strcmp(md5, f->sums[i].md5) != 0)
      fail_msg("%s: %s has MD5 %s, not %s", f->name, f->sums[i].volume, md5, f->sums[i].md5);
  }
}

static void check_check(VolumeGroup *group, const Fixture *f)
{
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;

  assert_done(pool_check(group, "data", &errors, &leaks, &error));
  if ((errors->len > 0) != (f->n_errors > 0))
    fail_msg("%s: %u errors: %s", f->name, errors->len,
             errors->len ? (char *)errors->pdata[0] : "");
  if ((leaks->len > 0) != (f->n_leaks > 0))
    fail_msg("%s: %u leaks: %s", f->name, leaks->len, leaks->len ? (char *)leaks->pdata[0] : "");
}

/* List, info, export and check of each, and not a byte of the PV changes. */
static void test_reading_is_whole_and_writes_nothing(void **state)
{
  for (gsize i = 0; i < G_N_ELEMENTS(fixtures); i++) {
    const Fixture *f = &fixtures[i];
    char *path = helper_fixture(f->name);
    g_autofree char *before = helper_digest(path), *after = NULL;
    VolumeGroup *group = helper_open_read(path);
    g_autoptr(PoolInfo) info = NULL;

    assert_names(group, f->names);
    assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
    assert_true(info->used > 0 && info->metadata_used > 0);
    check_sums(group, f, G_MAXUINT);
    check_check(group, f);
    helper_close(group);
    after = helper_digest(path);
    assert_string_equal(before, after);
    unlink(path);
  }
}

static void open_writable(const Fixture *f, const char *path)
{
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolInfo) info = NULL;

  assert_names(group, f->after ? f->after : f->names);
  check_sums(group, f, 2);
  check_check(group, f);
  helper_close(group);
  if (!f->n_leaks)
    helper_judge(path, NULL);
  /* And once more, now that nothing is left to do. */
  group = helper_open(path);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  if (strcmp(f->name, "05a-out-of-data") != 0) {
    assert_done(pool_create(group, NULL, "fresh", 8 * MIB, &error));
    helper_write(group, "fresh", 0, MIB, 1);
    assert_done(pool_snapshot(group, "fresh", "s", &error));
  }
  helper_close(group);
}

static void test_opening_for_writing(void **state)
{
  for (gsize i = 0; i < G_N_ELEMENTS(fixtures); i++) {
    const Fixture *f = &fixtures[i];
    char *path = helper_fixture(f->name);
    const char *devices[] = {path, NULL};
    g_autofree char *before = helper_digest(path), *after = NULL;

    if (f->refused) {
      assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), f->refused,
                   f->why);
      assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), f->refused,
                   f->next);
      after = helper_digest(path);
      assert_string_equal(before, after);
    } else {
      open_writable(f, path);
    }
    unlink(path);
  }
}

static void test_the_lost_range_is_named(void **state)
{
  char *path = helper_fixture("04b-damaged-leaf");
  VolumeGroup *group = helper_open_read(path);
  g_autoptr(PoolVolumeInfo) damaged = helper_info(group, "vm-100-disk-0"),
                            whole = helper_info(group, "vm-101-disk-1");
  g_autoptr(PoolInfo) info = NULL;
  guint64 length, lost = 0;
  gboolean mapped;
  VtIo *volume;

  assert_non_null(damaged->damage);
  assert_non_null(strstr(damaged->damage, "cannot be read"));
  assert_non_null(strstr(damaged->damage, "148"));
  assert_null(whole->damage);
  assert_done((volume = pool_volume_open(group, "vm-100-disk-0", TRUE, "export", &error)) != NULL);
  for (guint64 offset = 0; offset < vt_io_size(volume); offset += length) {
    g_autoptr(GError) error = NULL;

    length = 0;
    if (!vt_io_extent(volume, offset, G_MAXUINT64, &length, &mapped, &error)) {
      assert_true(g_error_matches(error, VT_ERROR, EBADMSG));
      lost += length;
    }
    assert_true(length > 0);
  }
  assert_true(lost > 0);
  vt_io_unref(volume);
  helper_close(group);
}

static void test_full_of_data(void **state)
{
  char *path = helper_fixture("05a-out-of-data");
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolInfo) full = NULL, freed = NULL;
  VtIo *volume;
  char buf[4096] = "x";
  guint64 hole = 0, length;
  gboolean mapped = TRUE;

  assert_done((volume = pool_volume_open(group, "vm-300-disk-0", FALSE, "test", &error)) != NULL);
  for (; mapped; hole += length)
    assert_done(vt_io_extent(volume, hole, G_MAXUINT64, &length, &mapped, &error));
  hole -= length;
  assert_fails(vt_io_write(volume, buf, sizeof buf, hole, &error), ENOSPC, NULL);
  assert_done((full = pool_get_info(group, NULL, &error)) != NULL);
  assert_true(g_str_has_prefix(full->health, "out of data space; it has 28 thin devices"));
  assert_done(vt_io_write(volume, buf, sizeof buf, 0, &error)); /* in its own chunk */
  assert_done(vt_io_discard(volume, 0, 16 * MIB, &error));
  assert_done(vt_io_flush(volume, &error));
  assert_done(vt_io_write(volume, buf, sizeof buf, hole, &error));
  assert_done((freed = pool_get_info(group, NULL, &error)) != NULL);
  assert_true(
      g_str_has_prefix(freed->health, "it has 28 thin devices that no volume is known for"));
  vt_io_unref(volume);
  helper_close(group);
  helper_judge(path, NULL);
}

/* --- crash points that the images do not have, made from those --- */

static void leave_message(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");

  lvm_pool_add_delete(pool, 5);
  lvm_pool_set_transaction_id(pool, 7);
}

/* The pool has done what the messages say: they only have to go. 01: tid 7; a delete of a device
 * that an LV has is not carried out. */
static void test_messages_that_were_carried_out(void **state)
{
  char *path = helper_fixture("01-clean");
  VolumeGroup *group;

  edit_text(path, leave_message);
  group = helper_open(path);
  assert_names(group, NAMES_01);
  check_sums(group, &fixtures[0], 2);
  helper_close(group);
  helper_judge(path, NULL);
}

static void wipe_deleted(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");
  guint64 tid = lvm_pool_transaction_id(pool);

  lvm_pool_add_delete(pool, 77);
  lvm_pool_set_transaction_id(pool, tid + 1);
}

/* lvm2 sent the delete and died before set_transaction_id. */
static void test_deleted_and_the_id_is_old(void **state)
{
  char *path = helper_fixture("01-clean");
  g_autoptr(PoolInfo) info = NULL;
  VolumeGroup *group;

  edit_text(path, wipe_deleted);
  group = helper_open(path);
  check_sums(group, &fixtures[0], 2);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(info->transaction_id, 8);
  helper_close(group);
  helper_judge(path, NULL);
}

static void create_over_other(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");

  /* A volume whose number the pool gave to another long ago. */
  lvm_thin_set_device(lvm_vg_find_lv(vg, "vm-101-disk-1"), 1, 1);
  lvm_pool_add_create(pool, "vm-101-disk-1");
  lvm_pool_set_transaction_id(pool, 8);
}

static void test_a_number_taken_by_another_is_refused(void **state)
{
  char *path = helper_fixture("01-clean");
  const char *devices[] = {path, NULL};

  edit_text(path, create_over_other);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EPERM,
               "vm-101-disk-1");
}

static void two_behind(LvmVg *vg)
{
  lvm_pool_set_transaction_id(lvm_vg_find_lv(vg, "data"), 9);
}

static void test_two_transactions_apart_is_refused(void **state)
{
  char *path = helper_fixture("01-clean");
  const char *devices[] = {path, NULL};
  VolumeGroup *group;

  edit_text(path, two_behind);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EPERM,
               "transaction id is 7, expected 9");
  group = helper_open_read(path);
  check_sums(group, &fixtures[0], 2);
  helper_close(group);
}

static void start_merge(LvmVg *vg)
{
  LvmLv *s1 = lvm_vg_find_lv(vg, "snap_vm-100-disk-0_s1");

  lvm_lv_set_visible(s1, FALSE);
  lvm_thin_set_merge(s1, "vm-100-disk-0");
}

/* lvconvert --merge waits for the next activation: vm-100-disk-0 takes the place of s1. */
static void test_a_pending_merge_is_finished(void **state)
{
  char *path = helper_fixture("01-clean");
  g_autoptr(PoolVolumeInfo) before = NULL, after = NULL, s2 = NULL;
  g_autofree char *md5 = NULL, *pending = NULL;
  VolumeGroup *group = helper_open_read(path);

  before = helper_info(group, "vm-100-disk-0");
  helper_close(group);
  edit_text(path, start_merge);
  group = helper_open_read(path);
  pending = helper_md5(group, "vm-100-disk-0", 0);
  assert_string_equal(pending, "f58033394769c0068d1f3ff89f232a08");
  helper_close(group);
  group = helper_open(path);
  assert_names(group, "root snap_vm-100-disk-0_s2 vm-100-disk-0 vm-101-disk-1 vm-102-disk-0");
  after = helper_info(group, "vm-100-disk-0");
  s2 = helper_info(group, "snap_vm-100-disk-0_s2");
  assert_string_equal(after->uuid, before->uuid);
  assert_int_equal(after->device_id, 3);
  assert_int_equal(after->size, 128 * MIB);
  assert_null(s2->origin);
  md5 = helper_md5(group, "vm-100-disk-0", 0);
  assert_string_equal(md5, "670106f7a3b68dc4daaffb1fac12ec5a");
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

/* --- damage elsewhere --- */

static void overwrite(const char *path, off_t offset, const void *bytes, gsize length)
{
  int fd = open(path, O_WRONLY | O_CLOEXEC);

  assert_true(fd >= 0);
  assert_int_equal(pwrite(fd, bytes, length, offset), length);
  close(fd);
}

/* Where fixture 01 has the first extent of data_tmeta: pe_start 1 MiB, extent 17 of 4 MiB. */
#define TMETA_01 (MIB + 17 * 4 * MIB)

static void test_damaged_superblock(void **state)
{
  char *path = helper_fixture("01-clean");
  const char *devices[] = {path, NULL};
  g_autofree char *md5 = NULL, *before = NULL, *after = NULL;
  g_autoptr(PoolVolumeInfo) info = NULL;
  g_autoptr(PoolInfo) pool_info = NULL;
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  VolumeGroup *group;

  overwrite(path, TMETA_01 + 100, "damage", 6);
  before = helper_digest(path);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBADMSG,
               "superblock");
  group = helper_open_read(path);
  assert_names(group, NAMES_01);
  md5 = helper_md5(group, "root", 0);
  assert_string_equal(md5, "96995b58d4cbf6aaa9041b4f00c7f6ae");
  info = helper_info(group, "vm-100-disk-0");
  assert_non_null(info->damage);
  assert_done((pool_info = pool_get_info(group, NULL, &error)) != NULL);
  assert_non_null(pool_info->health);
  assert_fails(pool_volume_open(group, "vm-100-disk-0", TRUE, "me", &error), EBADMSG, "superblock");
  assert_done(pool_check(group, NULL, &errors, &leaks, &error));
  assert_true(errors->len > 0);
  helper_close(group);
  after = helper_digest(path);
  assert_string_equal(before, after);
}

static void test_wiped_superblock_is_not_an_empty_pool(void **state)
{
  static const guint8 zeros[4096];
  char *path = helper_fixture("01-clean");
  const char *devices[] = {path, NULL};
  g_autofree char *before = NULL, *after = NULL;

  overwrite(path, TMETA_01, zeros, sizeof zeros);
  before = helper_digest(path);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBADMSG,
               "all zero");
  after = helper_digest(path);
  assert_string_equal(before, after);
}

static void test_damaged_text(void **state)
{
  char *path = helper_fixture("01-clean");
  const char *devices[] = {path, NULL};
  g_autofree char *before = NULL, *after = NULL;

  overwrite(path, 4096 + 0x12e00 + 200, "damage", 6); /* where the header says the text is */
  before = helper_digest(path);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBADMSG, NULL);
  after = helper_digest(path);
  assert_string_equal(before, after);
}

static void test_truncated_file(void **state)
{
  char *path = helper_fixture("01-clean");
  const char *devices[] = {path, NULL};
  const Fixture volumes = {
      .name = "truncated",
      .sums = {VM_100, {"vm-101-disk-1", 0, "3d6ddcc9ac438d8cadbc782fcf41885d"}}};
  g_autofree char *before = NULL, *after = NULL;
  VtIo *volume;
  char buf[512];
  VolumeGroup *group;

  assert_int_equal(truncate(path, 112 * MIB), 0); /* pool and metadata are before, root behind */
  before = helper_digest(path);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBADMSG, NULL);
  group = helper_open_read(path);
  assert_names(group, NAMES_01);
  check_sums(group, &volumes, 2);
  assert_done((volume = pool_volume_open(group, "root", TRUE, "export", &error)) != NULL);
  assert_fails(vt_io_read(volume, buf, sizeof buf, 4 * MIB, &error), EIO, "truncated");
  vt_io_unref(volume);
  helper_close(group);
  after = helper_digest(path);
  assert_string_equal(before, after);
}

/* --- a bad pool beside a good one --- */

static void test_a_refused_pool_keeps_nobody_away(void **state)
{
  static const guint8 zeros[4096];
  char *path = helper_path("pv.img");
  const PoolNew part = {.size = 32 * MIB};
  const char *const gone[] = {"b", NULL};
  g_autoptr(PoolInfo) bad = NULL;
  g_autoptr(PoolVolumeInfo) volume = NULL;
  VolumeGroup *group;
  off_t place = 0;
  guint8 block[4096];
  int fd;

  assert_done(pool_init("pve", "data", path, 128 * MIB, 0, &part, &error));
  group = helper_open(path);
  assert_done(pool_create_pool(group, "other", &part, &error));
  assert_done(pool_create(group, "data", "a", 4 * MIB, &error));
  assert_done(pool_create(group, "other", "b", 4 * MIB, &error));
  helper_write(group, "a", 0, MIB, 1);
  helper_close(group);
  /* The last superblock on the PV is other's. */
  fd = open(path, O_RDWR | O_CLOEXEC);
  for (off_t at = 17 * MIB; pread(fd, block, sizeof block, at) == sizeof block; at += 4096)
    if (memcmp(block + 32, "\xba\x52\x9c\x01", 4) == 0)
      place = at;
  assert_true(place > 0);
  close(fd);
  overwrite(path, place, zeros, sizeof zeros);
  group = helper_open(path);
  assert_done((bad = pool_get_info(group, "other", &error)) != NULL);
  assert_non_null(strstr(bad->health, "all zero"));
  assert_true(bad->read_only);
  volume = helper_info(group, "b");
  assert_non_null(volume->damage);
  assert_fails(pool_create(group, "other", "c", MIB, &error), EBADMSG, "virt-thin repair");
  assert_fails(pool_remove(group, gone, FALSE, &error), EBADMSG, "all zero");
  helper_check(group, "a", 0, MIB, 1);
  assert_done(pool_snapshot(group, "a", "s", &error));
  helper_close(group);
}

/* A pool that is refused stays as it is, to the mark on its label that says whose it is. */
static void test_refused_label(void **state)
{
  char *path = helper_fixture("03a-tid-pool-ahead");
  const char *devices[] = {path, NULL};
  const PoolWhere where = {.devices = devices};
  g_autoptr(LvmLabel) label = NULL;
  g_autofree char *before = NULL, *after = NULL;
  VtIo *io;

  assert_done((io = vt_io_open_file(path, FALSE, &error)) != NULL);
  assert_done(lvm_label_read(io, &label, &error));
  label->used = FALSE;
  assert_done(lvm_label_write(io, label, &error));
  vt_io_unref(io);
  before = helper_digest(path);
  assert_fails(pool_open_bundled(NULL, &where, &error), EPERM, "transaction id");
  after = helper_digest(path);
  assert_string_equal(before, after);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, helper_setup, helper_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_reading_is_whole_and_writes_nothing),
      TEST(test_opening_for_writing),
      TEST(test_refused_label),
      TEST(test_the_lost_range_is_named),
      TEST(test_full_of_data),
      TEST(test_messages_that_were_carried_out),
      TEST(test_deleted_and_the_id_is_old),
      TEST(test_a_number_taken_by_another_is_refused),
      TEST(test_two_transactions_apart_is_refused),
      TEST(test_a_pending_merge_is_finished),
      TEST(test_damaged_superblock),
      TEST(test_wiped_superblock_is_not_an_empty_pool),
      TEST(test_damaged_text),
      TEST(test_truncated_file),
      TEST(test_a_refused_pool_keeps_nobody_away),
  };

  return cmocka_run_group_tests_name("pool-fixtures", tests, NULL, NULL);
}
