/* virt-thin - tests: thin devices in a pool that the volume group does not know
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is in them is somebody's: no volume is made of them, no pool that has them is removed, and
 * the check names them.
 */
#include "pool-helper.h"

#include <string.h>
#include <unistd.h>

#include "lvm/store.h"
#include "thin/thin.h"

/* --- what others do to the pool, and to the text --- */

/* Carry out @messages in pool @name beside LVM, and let the first device begin with @content. */
static void beside(const char *path, const char *name, const ThinMessage *messages, gsize n,
                   guint64 old_tid, guint64 new_tid, const char *content)
{
  const char *paths[] = {path, NULL};
  const ThinOptions options = {.chunk_size = 64 * KIB};
  LvmStore *store = NULL;
  LvmLv *pool;
  VtIo *metadata = NULL, *data = NULL;
  ThinPool *thin = NULL;
  ThinVolume *volume = NULL;

  assert_done((store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error)) != NULL);
  pool = lvm_vg_find_lv(lvm_store_vg(store), name);
  assert_done((metadata = lvm_store_open_lv(store, lvm_pool_metadata(pool), FALSE, &error)) !=
              NULL);
  assert_done((data = lvm_store_open_lv(store, lvm_pool_data(pool), FALSE, &error)) != NULL);
  assert_done((thin = thin_pool_open(metadata, data, &options, &error)) != NULL);
  assert_done(thin_pool_send(thin, messages, n, old_tid, new_tid, &error));
  if (content) {
    assert_done((volume = thin_volume_open(thin, messages[0].device, 8 * MIB, FALSE, &error)) !=
                NULL);
    assert_done(thin_volume_write(volume, content, strlen(content), 0, &error));
    thin_volume_close(volume);
  }
  assert_done(thin_pool_close(thin, &error));
  vt_io_unref(metadata);
  vt_io_unref(data);
  lvm_store_close(store);
}

static const char *health(VolumeGroup *group, const char *thin_pool)
{
  static char text[512];
  g_autoptr(PoolInfo) info = NULL;

  assert_done((info = pool_get_info(group, thin_pool, &error)) != NULL);
  g_strlcpy(text, info->health ? info->health : "well", sizeof text);
  return text;
}

/* The check finds @n devices that no volume is known for, one of which is said as @text. */
static void assert_strays(VolumeGroup *group, const char *thin_pool, guint n, const char *text)
{
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  gboolean found = FALSE;

  assert_done(pool_check(group, thin_pool, &errors, &leaks, &error));
  assert_int_equal(errors->len, n);
  assert_int_equal(leaks->len, 0);
  for (guint i = 0; i < n; i++)
    found = found || g_str_has_prefix(errors->pdata[i], text);
  assert_true(n == 0 || found);
}

static void remove_one(VolumeGroup *group, const char *name)
{
  const char *names[] = {name, NULL};

  assert_done(pool_remove(group, names, FALSE, &error));
}

static void assert_not_removed(VolumeGroup *group, const char *thin_pool, int errnum,
                               const char *text)
{
  const char *names[] = {thin_pool, NULL};

  assert_fails(pool_remove(group, names, FALSE, &error), errnum, text);
}

/* --- a command that was interrupted --- */

/* A VG with volume "v", device 1, and devices 2 and 7 that nobody knows; 2 holds a guest's
 * secret. */
static char *make_with_strays(void)
{
  static const ThinMessage messages[] = {{THIN_CREATE, 2, 0}, {THIN_CREATE, 7, 0}};
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", 0, MIB, 1);
  helper_close(group);
  beside(path, "data", messages, 2, 1, 1, "SECRET");
  return path;
}

static void test_no_volume_is_made_of_a_stray(void **state)
{
  char *path = make_with_strays();
  VolumeGroup *group = helper_open(path);

  for (guint i = 0; i < 8; i++) {
    g_autofree char *name = g_strdup_printf("new-%u", i), *clone = g_strdup_printf("clone-%u", i);

    assert_done(pool_create(group, NULL, name, 8 * MIB, &error));
    helper_check(group, name, 0, 8 * MIB, 0);
    assert_done(pool_clone(group, "v", clone, 0, &error));
    helper_check(group, clone, 0, MIB, 1);
  }
  assert_done(pool_snapshot(group, "v", "s", &error));
  helper_write(group, "v", 0, MIB, 2);
  assert_done(pool_rollback(group, "v", "s", &error));
  helper_check(group, "v", 0, MIB, 1);
  assert_done(pool_clone_into(group, "new-0", "new-1", &error));
  helper_check(group, "new-1", 0, 8 * MIB, 0);
  assert_strays(group, "data", 2,
                "thin device 2 (64.00 KiB mapped, made at transaction 1) is known to no volume");
  helper_close(group);
}

static void test_strays_are_told(void **state)
{
  static const char *const said =
      "it has 2 thin devices that no volume is known for: 2 (64.00 KiB mapped), 7 (0 B "
      "mapped)";
  char *path = make_with_strays();
  VolumeGroup *group = helper_open_read(path);

  assert_string_equal(health(group, NULL), said);
  assert_strays(group, "data", 2, "thin device 7 (0 B mapped");
  helper_close(group);
  group = helper_open(path);
  assert_string_equal(health(group, NULL), said);
  assert_strays(group, "data", 2, "thin device 2");
  helper_close(group);
}

static void test_a_pool_with_strays_is_not_empty(void **state)
{
  char *path = make_with_strays();
  VolumeGroup *group = helper_open(path);

  assert_not_removed(group, "data", EBUSY, "has 1 volume");
  remove_one(group, "v");
  assert_not_removed(group, "data", EBUSY,
                     "thin pool pve/data is not empty: it has 2 thin devices");
  helper_close(group);
  group = helper_open(path);
  assert_not_removed(group, "data", EBUSY, "lvremove pve/data");
  assert_strays(group, "data", 2, "thin device 2 (64.00 KiB mapped");
  helper_close(group);
}

/* --- a message whose number another device has --- */

static void pending_create(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");

  assert_done(lvm_vg_add_thin(vg, pool, "late", 2, 2, NULL, &error) != NULL);
  lvm_pool_add_create(pool, "late");
  lvm_pool_set_transaction_id(pool, 2);
}

static void pending_snapshot(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");

  assert_done(lvm_vg_add_thin(vg, pool, "late", 2, 7, "v", &error) != NULL);
  lvm_pool_add_create(pool, "late");
  lvm_pool_set_transaction_id(pool, 2);
}

static void assert_refused(const char *path, const char *text)
{
  const char *devices[] = {path, NULL};
  g_autofree char *before = helper_digest(path), *after = NULL;

  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EPERM, text);
  after = helper_digest(path);
  assert_string_equal(before, after);
}

static void test_a_message_does_not_take_a_stray(void **state)
{
  char *path = make_with_strays();

  edit_text(path, pending_create);
  assert_refused(path, "volume late is to be made as thin device 2");
}

static void test_a_snapshot_is_of_its_origin(void **state)
{
  char *path = make_with_strays();

  edit_text(path, pending_snapshot);
  assert_refused(path, "volume late is to be made as thin device 7");
}

/* The device that the message has made is the volume's, as is the snapshot's. */
static void test_what_a_message_has_made_is_taken(void **state)
{
  static const ThinMessage create = {THIN_CREATE, 2, 0}, snapshot = {THIN_SNAPSHOT, 7, 1};
  void (*const texts[])(LvmVg * vg) = {pending_create, pending_snapshot};
  const ThinMessage *messages[] = {&create, &snapshot};

  for (guint i = 0; i < 2; i++) {
    char *path = helper_make(64 * MIB, 0);
    VolumeGroup *group = helper_open(path);

    assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
    helper_write(group, "v", 0, MIB, 1);
    helper_close(group);
    beside(path, "data", messages[i], 1, 1, 1, NULL);
    edit_text(path, texts[i]);
    group = helper_open(path);
    helper_check(group, "late", 0, MIB, i);
    helper_check_pool(group, NULL);
    helper_close(group);
    unlink(path);
  }
}

static void pending_delete(LvmVg *vg)
{
  LvmLv *pool = lvm_vg_find_lv(vg, "data");

  lvm_pool_add_delete(pool, 2);
  lvm_pool_add_delete(pool, 7);
  lvm_pool_set_transaction_id(pool, 2);
}

static void leave_delete(LvmVg *vg)
{
  lvm_pool_add_delete(lvm_vg_find_lv(vg, "data"), 2);
}

static void test_what_is_to_be_deleted_is_no_stray(void **state)
{
  char *path = make_with_strays();
  VolumeGroup *group;

  edit_text(path, pending_delete);
  group = helper_open_read(path);
  assert_strays(group, "data", 0, NULL);
  assert_string_equal(health(group, NULL), "well");
  helper_close(group);
  group = helper_open(path); /* carries it out */
  assert_done(pool_create(group, NULL, "next", 8 * MIB, &error));
  helper_check(group, "next", 0, 8 * MIB, 0);
  helper_check_pool(group, NULL);
  helper_close(group);
}

/* The pool is through with the message: a device that it names was made since, by somebody else. */
static void test_an_old_message_deletes_nothing(void **state)
{
  char *path = make_with_strays();
  VolumeGroup *group;

  edit_text(path, leave_delete);
  group = helper_open_read(path);
  assert_strays(group, "data", 2, "thin device 2 (64.00 KiB mapped");
  helper_close(group);
  group = helper_open(path);
  assert_strays(group, "data", 2, "thin device 2 (64.00 KiB mapped");
  helper_close(group);
}

/* --- a pool that another manages --- */

static void check_foreign(guint64 tid, const char *said, gboolean makes_volumes)
{
  static const ThinMessage messages[] = {{THIN_CREATE, 0, 0}, {THIN_SNAPSHOT, 1, 0}};
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group;

  beside(path, "data", messages, 2, 0, tid, "an image");
  group = helper_open_read(path);
  assert_string_equal(health(group, NULL), said);
  assert_strays(group, "data", 2, "thin device 0 (64.00 KiB mapped, made at transaction 0)");
  helper_close(group);
  group = helper_open(path);
  assert_string_equal(health(group, NULL), said);
  assert_not_removed(group, "data", EBUSY, "0 (64.00 KiB mapped), 1 (0 B mapped)");
  if (makes_volumes) {
    assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
    helper_check(group, "v", 0, 8 * MIB, 0);
    remove_one(group, "v");
  } else {
    assert_fails(pool_create(group, NULL, "v", 8 * MIB, &error), EPERM,
                 "counted by something other than LVM");
  }
  assert_strays(group, "data", 2, "thin device 0 (64.00 KiB mapped");
  helper_close(group);
}

static void test_a_pool_that_another_counts_for(void **state)
{
  check_foreign(
      2,
      "something other than LVM manages it: its transaction id is 2, the volume group leaves it at "
      "0; it "
      "has 2 thin devices that no volume is known for: 0 (64.00 KiB mapped), 1 (0 B mapped)",
      FALSE);
}

static void test_a_pool_that_another_uses(void **state)
{
  check_foreign(
      0, "it has 2 thin devices that no volume is known for: 0 (64.00 KiB mapped), 1 (0 B mapped)",
      TRUE);
}

/* --- a pool that cannot be read --- */

static void damage(const char *path, const char *name)
{
  const char *paths[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;
  VtIo *metadata = NULL;

  assert_done((store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error)) != NULL);
  assert_done((metadata = lvm_store_open_lv(store, name, FALSE, &error)) != NULL);
  assert_done(vt_io_write(metadata, "damage", 6, 100, &error));
  assert_done(vt_io_flush(metadata, &error));
  vt_io_unref(metadata);
}

static void test_a_pool_that_cannot_be_read_is_not_empty(void **state)
{
  static const ThinMessage message = {THIN_CREATE, 5, 0};
  static const PoolNew params = {.size = 16 * MIB};
  char *path = helper_path("two.img");
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 128 * MIB, 0, &params, &error));
  group = helper_open(path);
  assert_done(pool_create_pool(group, "second", &params, &error));
  helper_close(group);
  beside(path, "second", &message, 1, 0, 0, "SECRET");
  damage(path, "second_tmeta");
  group = helper_open(path);
  assert_not_removed(group, "second", EBADMSG, "whether it is empty cannot be told");
  assert_not_removed(group, "second", EBADMSG, "lvremove pve/second");
  helper_close(group);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_no_volume_is_made_of_a_stray, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_strays_are_told, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_a_pool_with_strays_is_not_empty, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_a_message_does_not_take_a_stray, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_a_snapshot_is_of_its_origin, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_what_a_message_has_made_is_taken, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_what_is_to_be_deleted_is_no_stray, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_an_old_message_deletes_nothing, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_a_pool_that_another_counts_for, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_a_pool_that_another_uses, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_a_pool_that_cannot_be_read_is_not_empty, helper_setup,
                                      helper_teardown),
  };

  return cmocka_run_group_tests_name("pool-devices", tests, NULL, NULL);
}
