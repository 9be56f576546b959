/* virt-thin - tests: what the bundled pool can do, on real files, judged by lvm2 and
 * thin-provisioning-tools SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

static void assert_names(VolumeGroup *group, const char *expected)
{
  g_autofree char *names = helper_names(group);

  assert_string_equal(names, expected);
}

/* --- a pool, and volumes in it --- */

static void test_init_and_list(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVgInfo) vg = NULL;
  g_autoptr(PoolInfo) info = NULL;
  g_autoptr(GPtrArray) pools = NULL;

  assert_done((vg = pool_get_vg_info(group, &error)) != NULL);
  assert_string_equal(vg->name, "pve");
  assert_int_equal(vg->extent_size, 4 * MIB);
  assert_int_equal(vg->free, 0);
  assert_string_equal(vg->devices[0], path);
  assert_true(vg->metadata_area_size > 4 * MIB);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_string_equal(info->name, "data");
  assert_int_equal(info->chunk_size, 64 * KIB);
  assert_int_equal(info->used, 0);
  assert_int_equal(info->size % (4 * MIB), 0);
  assert_true(info->size >= 90 * MIB);
  assert_null(info->health);
  assert_false(info->read_only);
  assert_done((pools = pool_list_pools(group, &error)) != NULL);
  assert_int_equal(pools->len, 1);
  assert_names(group, "");
  helper_check_pool(group, "data");
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_create_write_reopen(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) info = NULL, later = NULL;
  guint64 exclusive, shared;

  assert_done(pool_create(group, NULL, "vm-100-disk-0", 9 * MIB, &error));
  assert_done(pool_create(group, "data", "vm-101-disk-0", GIB, &error)); /* thin provisioning */
  info = helper_info(group, "vm-100-disk-0");
  assert_int_equal(info->size, 12 * MIB);
  assert_int_equal(info->mapped, 0);
  assert_int_equal(info->vmid, 100);
  assert_string_equal(info->pool, "data");
  assert_int_equal(info->device_id, 1);
  assert_false(info->read_only);
  assert_true(info->active);
  assert_true(info->creation_time > 0);
  helper_write(group, "vm-100-disk-0", 64 * KIB, 256 * KIB, 7);
  assert_done(pool_count_volume(group, "vm-100-disk-0", &exclusive, &shared, &error));
  assert_int_equal(exclusive, 256 * KIB);
  assert_int_equal(shared, 0);
  helper_close(group);
  helper_judge(path, NULL);

  group = helper_open_read(path);
  assert_names(group, "vm-100-disk-0 vm-101-disk-0");
  later = helper_info(group, "vm-100-disk-0");
  assert_int_equal(later->mapped, 256 * KIB);
  assert_string_equal(later->uuid, info->uuid);
  helper_check(group, "vm-100-disk-0", 0, 64 * KIB, 0);
  helper_check(group, "vm-100-disk-0", 64 * KIB, 256 * KIB, 7);
  assert_fails(pool_create(group, NULL, "x", MIB, &error), EROFS, "read-only");
  assert_fails(pool_volume_open(group, "vm-100-disk-0", FALSE, "me", &error), EROFS, NULL);
  helper_close(group);
}

static gint writer_ends; /* atomic */

/* Maps and unmaps, with a commit each. */
static gpointer write_all_the_time(gpointer group)
{
  VtIo *volume;
  g_autofree char *data = g_strnfill(64 * KIB, 'x');

  assert_done((volume = pool_volume_open(group, "vm-1-disk-0", FALSE, "me", &error)) != NULL);
  for (guint i = 0; !g_atomic_int_get(&writer_ends); i = (i + 1) % 256) {
    assert_done(vt_io_write(volume, data, 64 * KIB, i * 64 * KIB, &error));
    assert_done(vt_io_flush(volume, &error));
    if (i % 3 == 0)
      assert_done(vt_io_discard(volume, i / 2 * 64 * KIB, 64 * KIB, &error));
  }
  vt_io_unref(volume);
  return NULL;
}

/* Who uses what is of one moment: all that is in use is some volume's. */
static void test_usage_of_a_busy_pool(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  g_autoptr(PoolUsage) empty = NULL;
  GThread *writer;

  assert_done((empty = pool_usage(group, NULL, NULL, &error)) != NULL);
  assert_int_equal(empty->used, 0);
  assert_done(pool_create(group, NULL, "vm-1-disk-0", 16 * MIB, &error));
  helper_write(group, "vm-1-disk-0", 0, 4 * MIB, 7);
  assert_done(pool_clone(group, "vm-1-disk-0", "vm-2-disk-0", 0, &error));
  writer = g_thread_new("writer", write_all_the_time, group);
  for (guint i = 0; i < 300; i++) {
    g_autoptr(PoolUsage) usage = NULL;
    const PoolVolumeUsage *clone;
    assert_done((usage = pool_usage(group, "data", NULL, &error)) != NULL);
    assert_int_equal(usage->volumes->len, 2);
    assert_int_equal(usage->used, usage->mapped);
    assert_int_equal(usage->freed, usage->used);
    clone = usage->volumes->pdata[1];
    assert_int_equal(clone->mapped, 4 * MIB);
  }
  g_atomic_int_set(&writer_ends, 1);
  g_thread_join(writer);
  helper_close(group);
}

static void test_usage_errors(void **state)
{
  const char *const nobody[] = {"nope", NULL};
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));

  assert_fails(pool_usage(group, "nope", NULL, &error), ENOENT, "no thin pool nope");
  assert_fails(pool_usage(group, "data", nobody, &error), ENOENT, "no volume nope");
  helper_close(group);
}

static void test_extents_of_a_volume(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  VtIo *volume;
  guint64 length;
  gboolean mapped;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", MIB, 64 * KIB, 1);
  assert_done((volume = pool_volume_open(group, "v", FALSE, "test", &error)) != NULL);
  assert_int_equal(vt_io_chunk_size(volume), 64 * KIB);
  assert_done(vt_io_extent(volume, 0, 8 * MIB, &length, &mapped, &error));
  assert_int_equal(length, MIB);
  assert_false(mapped);
  assert_done(vt_io_extent(volume, MIB, 8 * MIB, &length, &mapped, &error));
  assert_int_equal(length, 64 * KIB);
  assert_true(mapped);
  assert_done(vt_io_discard(volume, MIB, 64 * KIB, &error));
  assert_done(vt_io_flush(volume, &error));
  assert_done(vt_io_extent(volume, 0, 8 * MIB, &length, &mapped, &error));
  assert_int_equal(length, 8 * MIB);
  assert_done(vt_io_zero(volume, 0, MIB, VT_IO_ZERO_MAY_UNMAP, &error));
  assert_fails(vt_io_read(volume, &length, 8, 8 * MIB, &error), EINVAL, NULL);
  vt_io_unref(volume);
  helper_close(group);
}

/* --- clones and snapshots --- */

static void test_clone(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) same = NULL, larger = NULL;

  assert_done(pool_create(group, NULL, "base-100-disk-0", 8 * MIB, &error));
  helper_write(group, "base-100-disk-0", 0, MIB, 3);
  assert_done(pool_clone(group, "base-100-disk-0", "vm-101-disk-0", 0, &error));
  assert_done(pool_clone(group, "base-100-disk-0", "vm-102-disk-0", 11 * MIB, &error));
  assert_fails(pool_clone(group, "base-100-disk-0", "vm-103-disk-0", 4 * MIB, &error), EINVAL,
               "is less than the 8.00 MiB");
  assert_fails(pool_clone(group, "base-100-disk-0", "vm-101-disk-0", 0, &error), EEXIST, NULL);
  same = helper_info(group, "vm-101-disk-0");
  larger = helper_info(group, "vm-102-disk-0");
  assert_string_equal(same->origin, "base-100-disk-0");
  assert_null(same->snapshot_of);
  assert_false(same->read_only);
  assert_true(same->active);
  assert_int_equal(same->mapped, MIB);
  assert_int_equal(larger->size, 12 * MIB);
  helper_write(group, "vm-101-disk-0", 0, 64 * KIB, 4);
  helper_check(group, "base-100-disk-0", 0, MIB, 3);
  helper_check(group, "vm-101-disk-0", 0, 64 * KIB, 4);
  helper_check(group, "vm-102-disk-0", 0, MIB, 3);
  helper_check(group, "vm-102-disk-0", 8 * MIB, 4 * MIB, 0);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_snapshot(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  g_autoptr(PoolVolumeInfo) snapshot = NULL, by_name = NULL;
  const char *const tags[] = {"virt-thin.snapshot-of=v", NULL};

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", 0, MIB, 3);
  assert_done(pool_snapshot(group, "v", "before", &error));
  assert_done(pool_clone(group, "v", "snap_v_by_name", 0, &error));
  snapshot = helper_info(group, "snap_v_before");
  by_name = helper_info(group, "snap_v_by_name");
  assert_string_equal(snapshot->snapshot_of, "v");
  assert_string_equal(snapshot->snapshot_name, "before");
  assert_string_equal(snapshot->origin, "v");
  assert_true(snapshot->read_only);
  assert_false(snapshot->active);
  assert_true(g_strv_equal((const char *const *)snapshot->tags, tags));
  assert_string_equal(by_name->snapshot_of, "v");
  assert_string_equal(by_name->snapshot_name, "by_name");
  assert_fails(pool_snapshot(group, "v", "before", &error), EEXIST, NULL);
  assert_fails(pool_snapshot(group, "w", "before", &error), ENOENT, NULL);
  assert_fails(pool_volume_open(group, "snap_v_before", FALSE, "me", &error), EROFS,
               "make a clone");
  assert_fails(pool_resize(group, "snap_v_before", 16 * MIB, FALSE, &error), EPERM, "read-only");
  helper_write(group, "v", 0, MIB, 9);
  helper_check(group, "snap_v_before", 0, MIB, 3);
  helper_close(group);
}

/* --- snapshots of several at one instant --- */

typedef struct {
  VtIo *a, *b;
  gint stop; /* atomic */
} Writer;

/* What is in b was in a before. */
static gpointer write_both(gpointer data)
{
  Writer *w = data;

  for (guint32 i = 1; !g_atomic_int_get(&w->stop); i++)
    if (!vt_io_write(w->a, &i, sizeof i, 0, NULL) || !vt_io_write(w->b, &i, sizeof i, 0, NULL))
      g_error("a write failed");
  return NULL;
}

static guint32 read_first(VolumeGroup *group, const char *name)
{
  VtIo *volume = pool_volume_open(group, name, TRUE, "test", NULL);
  guint32 value;

  assert_non_null(volume);
  assert_true(vt_io_read(volume, &value, sizeof value, 0, NULL));
  vt_io_unref(volume);
  return value;
}

static void test_snapshot_group(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  const char *const both[] = {"a", "b", NULL}, *const all[] = {"a", "b", "c", NULL};
  g_autofree char *names = NULL;
  Writer w = {0};
  GThread *thread;

  assert_done(pool_create(group, NULL, "a", 4 * MIB, &error));
  assert_done(pool_create(group, NULL, "b", 4 * MIB, &error));
  assert_done((w.a = pool_volume_open(group, "a", FALSE, "test", &error)) != NULL);
  assert_done((w.b = pool_volume_open(group, "b", FALSE, "test", &error)) != NULL);
  thread = g_thread_new("writer", write_both, &w);
  for (guint i = 0; i < 50; i++) {
    g_autofree char *s = g_strdup_printf("%u", i), *a = g_strdup_printf("snap_a_%u", i),
                    *b = g_strdup_printf("snap_b_%u", i);
    guint32 ahead;

    g_usleep(1000);
    assert_done(pool_snapshot_group(group, both, s, &error));
    ahead = read_first(group, a) - read_first(group, b);
    if (ahead > 1)
      fail_msg("snapshot %u: a is %d ahead of b", i, (gint32)ahead);
  }
  g_atomic_int_set(&w.stop, 1);
  g_thread_join(thread);
  vt_io_unref(w.a);
  vt_io_unref(w.b);
  assert_done(pool_remove(group, both, TRUE, &error));
  assert_done(pool_create(group, NULL, "a", 4 * MIB, &error));
  assert_done(pool_create(group, NULL, "b", 4 * MIB, &error));
  assert_fails(pool_snapshot_group(group, all, "s", &error), ENOENT,
               "cannot take a snapshot of pve/a and others: volume group pve has no volume c");
  assert_done(pool_snapshot(group, "b", "s", &error));
  assert_fails(pool_snapshot_group(group, both, "s", &error), EEXIST, "snap_b_s already");
  names = helper_names(group);
  assert_string_equal(names, "a b snap_b_s");
  helper_check_pool(group, "data");
  helper_close(group);
}

static void test_rollback(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) before = NULL, after = NULL, s1 = NULL;
  const char *const tags[] = {"mine", NULL};
  VtIo *view;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  assert_done(pool_set_tags(group, "v", tags, NULL, &error));
  before = helper_info(group, "v");
  assert_done((view = pool_volume_open_view(group, "v", &error)) != NULL);
  helper_write(group, "v", 0, MIB, 1);
  assert_done(pool_snapshot(group, "v", "s1", &error));
  helper_write(group, "v", 512 * KIB, MIB, 2);
  assert_done(pool_snapshot(group, "v", "s2", &error));
  helper_write(group, "v", 0, 4 * MIB, 3);
  assert_done(pool_rollback(group, "v", "s1", &error));
  helper_check(group, "v", 0, MIB, 1);
  helper_check(group, "v", MIB, 3 * MIB, 0);
  assert_done(pool_rollback(group, "v", "s2", &error));
  helper_check(group, "v", 0, 512 * KIB, 1);
  helper_check(group, "v", 512 * KIB, MIB, 2);
  helper_write(group, "v", 0, MIB, 5);
  assert_done(pool_rollback(group, "v", "snap_v_s2", &error)); /* the LV's own name will do */
  helper_check(group, "v", 0, 512 * KIB, 1);
  helper_check(group, "snap_v_s1", 0, MIB, 1);
  helper_check(group, "snap_v_s2", 512 * KIB, MIB, 2);
  assert_fails(pool_rollback(group, "v", "s3", &error), ENOENT, "it has s1, s2");
  after = helper_info(group, "v");
  s1 = helper_info(group, "snap_v_s1");
  assert_string_equal(after->uuid, before->uuid);
  assert_true(g_strv_equal((const char *const *)after->tags, tags));
  assert_int_equal(after->size, before->size);
  assert_null(after->origin);
  assert_string_equal(s1->origin, "v");
  assert_string_equal(s1->snapshot_of, "v");
  assert_int_equal(vt_io_size(view), 8 * MIB);
  vt_io_unref(view);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_rollback_brings_the_size_back(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) smaller = NULL, larger = NULL;
  VtIo *view;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  assert_done((view = pool_volume_open_view(group, "v", &error)) != NULL);
  helper_write(group, "v", 7 * MIB, MIB, 1);
  assert_done(pool_snapshot(group, "v", "eight", &error));
  assert_done(pool_resize(group, "v", 16 * MIB, FALSE, &error));
  helper_write(group, "v", 15 * MIB, MIB, 2);
  assert_done(pool_snapshot(group, "v", "sixteen", &error));
  assert_done(pool_rollback(group, "v", "eight", &error));
  smaller = helper_info(group, "v");
  assert_int_equal(smaller->size, 8 * MIB);
  assert_int_equal(vt_io_size(view), 8 * MIB);
  helper_check(group, "v", 7 * MIB, MIB, 1);
  assert_done(pool_rollback(group, "v", "sixteen", &error));
  larger = helper_info(group, "v");
  assert_int_equal(larger->size, 16 * MIB);
  assert_int_equal(vt_io_size(view), 16 * MIB);
  helper_check(group, "v", 15 * MIB, MIB, 2);
  vt_io_unref(view);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_clone_into(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) before = NULL, after = NULL, circle = NULL;

  assert_done(pool_create(group, NULL, "template", 8 * MIB, &error));
  helper_write(group, "template", 0, MIB, 1);
  assert_done(pool_create(group, NULL, "v", 12 * MIB, &error));
  helper_write(group, "v", 0, 2 * MIB, 2);
  before = helper_info(group, "v");
  assert_done(pool_clone_into(group, "template", "v", &error));
  after = helper_info(group, "v");
  assert_string_equal(after->uuid, before->uuid);
  assert_string_equal(after->origin, "template");
  assert_int_equal(after->size, 12 * MIB);
  assert_int_equal(after->mapped, MIB);
  helper_check(group, "v", 0, MIB, 1);
  helper_check(group, "v", MIB, MIB, 0);
  assert_done(pool_clone_into(group, "v", "template", &error) ||
              g_error_matches(error, VT_ERROR, EINVAL));
  assert_fails(pool_clone_into(group, "v", "v", &error), EINVAL, NULL);
  assert_done(pool_resize(group, "template", 16 * MIB, FALSE, &error));
  assert_fails(pool_clone_into(group, "template", "v", &error), EINVAL, "resize it first");
  assert_done(pool_clone_into(group, "v", "template", &error));
  circle = helper_info(group, "template");
  assert_null(circle->origin); /* v comes from it: origins do not run in circles */
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_rename(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) s1 = NULL;
  VtIo *view, *opened;

  assert_done(pool_create(group, NULL, "a", 8 * MIB, &error));
  helper_write(group, "a", 0, MIB, 1);
  assert_done(pool_snapshot(group, "a", "s1", &error));
  assert_done(pool_snapshot(group, "a", "s_2", &error));
  assert_done(pool_create(group, NULL, "a_s", 4 * MIB, &error));
  assert_done(pool_snapshot(group, "a_s", "2", &error) ||
              g_error_matches(error, VT_ERROR, EEXIST)); /* snap_a_s_2 is taken */
  assert_done((view = pool_volume_open_view(group, "a", &error)) != NULL);
  assert_done((opened = pool_volume_open(group, "snap_a_s1", TRUE, "backup", &error)) != NULL);
  assert_done(pool_rename(group, "a", "vm-100-disk-0", &error));
  assert_string_equal(vt_io_name(view), "pve/vm-100-disk-0");
  assert_string_equal(vt_io_name(opened), "pve/snap_vm-100-disk-0_s1");
  assert_names(group, "a_s snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s_2 vm-100-disk-0");
  s1 = helper_info(group, "snap_vm-100-disk-0_s1");
  assert_string_equal(s1->snapshot_of, "vm-100-disk-0");
  assert_string_equal(s1->origin, "vm-100-disk-0");
  assert_string_equal(s1->tags[0], "virt-thin.snapshot-of=vm-100-disk-0");
  vt_io_unref(view);
  vt_io_unref(opened);
  assert_done(pool_rollback(group, "vm-100-disk-0", "s1", &error));
  helper_check(group, "vm-100-disk-0", 0, MIB, 1);
  assert_fails(pool_rename(group, "vm-100-disk-0", "a_s", &error), EEXIST, NULL);
  assert_fails(pool_rename(group, "gone", "b", &error), ENOENT, NULL);
  assert_done(pool_create(group, NULL, "snap_b_s1", 4 * MIB, &error));
  assert_fails(pool_rename(group, "vm-100-disk-0", "b", &error), EEXIST, "snap_b_s1");
  assert_names(group, "a_s snap_b_s1 snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s_2 vm-100-disk-0");
  helper_close(group);
  helper_judge(path, NULL);
}

static guint64 seqno_of(VolumeGroup *group)
{
  g_autoptr(PoolVgInfo) info = NULL;

  assert_done((info = pool_get_vg_info(group, &error)) != NULL);
  return info->seqno;
}

static void assert_template(VolumeGroup *group, const char *name, const char *uuid)
{
  g_autoptr(PoolVolumeInfo) info = helper_info(group, name);

  assert_true(info->read_only && info->skipped && !info->snapshot_of);
  if (uuid)
    assert_string_equal(info->uuid, uuid);
}

static void test_template(void **state)
{
  const char *const owner[] = {"pve-vm-100", "other", NULL};
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) before = NULL, s = NULL, base = NULL;
  VtIo *view, *opened;
  guint64 seqno;

  assert_done(pool_create(group, NULL, "vm-100-disk-0", 8 * MIB, &error));
  assert_done(pool_set_tags(group, "vm-100-disk-0", owner, NULL, &error));
  helper_write(group, "vm-100-disk-0", 0, MIB, 1);
  assert_done(pool_snapshot(group, "vm-100-disk-0", "s", &error));
  before = helper_info(group, "vm-100-disk-0");
  assert_done((opened = pool_volume_open(group, "vm-100-disk-0", TRUE, "backup", &error)) != NULL);
  assert_fails(pool_template(group, "vm-100-disk-0", "base-100-disk-0", &error), EBUSY,
               "in use by backup");
  vt_io_unref(opened);
  assert_done(pool_create(group, NULL, "base-101-disk-0", 4 * MIB, &error));
  assert_fails(pool_template(group, "vm-100-disk-0", "base-101-disk-0", &error), EEXIST, NULL);
  assert_fails(pool_template(group, "vm-100-disk-0", "-x", &error), EINVAL, NULL);
  assert_fails(pool_template(group, "gone", "base-1-x", &error), ENOENT,
               "cannot make a template of volume pve/gone");

  assert_done((view = pool_volume_open_view(group, "vm-100-disk-0", &error)) != NULL);
  seqno = seqno_of(group);
  assert_done(pool_template(group, "vm-100-disk-0", "base-102-disk-0", &error));
  assert_int_equal(seqno_of(group), seqno + 1);
  assert_template(group, "base-102-disk-0", before->uuid);
  base = helper_info(group, "base-102-disk-0");
  assert_true(g_strv_contains((const char *const *)base->tags, "pve-vm-102"));
  assert_true(g_strv_contains((const char *const *)base->tags, "other"));
  assert_int_equal(g_strv_length(base->tags), 2);
  s = helper_info(group, "snap_base-102-disk-0_s");
  assert_string_equal(s->snapshot_of, "base-102-disk-0");
  assert_string_equal(vt_io_name(view), "pve/base-102-disk-0");
  assert_true(vt_io_is_read_only(view));
  assert_fails(vt_io_write(view, "x", 1, 0, &error), EROFS, NULL);
  vt_io_unref(view);
  assert_fails(pool_volume_open(group, "base-102-disk-0", FALSE, "me", &error), EROFS, NULL);
  assert_fails(pool_resize(group, "base-102-disk-0", 16 * MIB, FALSE, &error), EPERM, NULL);
  helper_check(group, "base-102-disk-0", 0, MIB, 1);

  /* Under its own name, and by that of a clone. */
  assert_done(pool_template(group, "base-101-disk-0", "base-101-disk-0", &error));
  assert_template(group, "base-101-disk-0", NULL);
  seqno = seqno_of(group);
  assert_done(pool_template(group, "base-101-disk-0", "base-101-disk-0", &error));
  assert_int_equal(seqno_of(group), seqno);
  assert_done(pool_clone(group, "base-102-disk-0", "base-103-disk-0", 0, &error));
  assert_template(group, "base-103-disk-0", NULL);
  assert_done(pool_clone(group, "base-102-disk-0", "vm-103-disk-0", 0, &error));
  helper_write(group, "vm-103-disk-0", 0, MIB, 2);
  helper_close(group);
  helper_judge(path, NULL);
  group = helper_open(path);
  assert_template(group, "base-102-disk-0", before->uuid);
  helper_check(group, "base-102-disk-0", 0, MIB, 1);
  helper_close(group);
}

static void test_remove_leaves_snapshots(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  const char *const names[] = {"v", NULL};
  g_autoptr(PoolVolumeInfo) s1 = NULL;
  g_autoptr(PoolInfo) info = NULL;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", 0, MIB, 1);
  assert_done(pool_snapshot(group, "v", "s1", &error));
  helper_write(group, "v", 0, MIB, 2);
  assert_done(pool_remove(group, names, FALSE, &error));
  assert_names(group, "snap_v_s1");
  s1 = helper_info(group, "snap_v_s1");
  assert_null(s1->origin);
  assert_string_equal(s1->snapshot_of, "v");
  helper_check(group, "snap_v_s1", 0, MIB, 1);
  /* What was lost comes back: a new volume of the name has the old one's snapshots. */
  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  assert_done(pool_rollback(group, "v", "s1", &error));
  helper_check(group, "v", 0, MIB, 1);
  helper_check_pool(group, NULL);
  assert_done(pool_remove(group, names, TRUE, &error));
  assert_names(group, "");
  assert_done(pool_commit(group, &error));
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(info->used, 0);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_remove_is_all_or_none(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  const char *const with_missing[] = {"a", "b", "nobody", NULL},
                    *const both[] = {"a", "b", "a", NULL}, *const none[] = {NULL};
  VtIo *volume;

  assert_done(pool_create(group, NULL, "a", 8 * MIB, &error));
  assert_done(pool_create(group, NULL, "b", 8 * MIB, &error));
  assert_done(pool_create(group, NULL, "c", 8 * MIB, &error));
  helper_write(group, "a", 0, MIB, 1);
  assert_fails(pool_remove(group, with_missing, FALSE, &error), ENOENT, "nobody");
  assert_names(group, "a b c");
  assert_done((volume = pool_volume_open(group, "b", TRUE, "nbd client, pid 99", &error)) != NULL);
  assert_fails(pool_remove(group, both, FALSE, &error), EBUSY, "b is in use by nbd client, pid 99");
  assert_fails(pool_rollback(group, "b", "s", &error), ENOENT, NULL);
  assert_names(group, "a b c");
  helper_check(group, "a", 0, MIB, 1);
  vt_io_unref(volume);
  assert_done(pool_remove(group, both, FALSE, &error));
  assert_done(pool_remove(group, none, FALSE, &error));
  assert_names(group, "c");
  helper_close(group);
}

static void test_in_use(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  const char *const names[] = {"v", NULL};
  VtIo *one, *two;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  assert_done(pool_snapshot(group, "v", "s", &error));
  assert_done((one = pool_volume_open(group, "v", FALSE, "qemu", &error)) != NULL);
  assert_done((two = pool_volume_open(group, "v", TRUE, "backup", &error)) != NULL);
  assert_fails(vt_io_write(two, "x", 1, 0, &error), EROFS, NULL);
  assert_fails(pool_remove(group, names, FALSE, &error), EBUSY, "qemu, backup");
  assert_fails(pool_rollback(group, "v", "s", &error), EBUSY, "qemu");
  assert_fails(pool_resize(group, "v", 4 * MIB, TRUE, &error), EBUSY, "qemu");
  assert_fails(pool_deactivate(group, "data", FALSE, &error), EBUSY, "qemu");
  assert_fails(pool_deactivate(group, NULL, FALSE, &error), EBUSY, "v is in use");
  assert_done(pool_deactivate(group, "data", TRUE, &error));
  assert_done(pool_resize(group, "v", 16 * MIB, FALSE, &error)); /* growing harms nobody */
  assert_int_equal(vt_io_size(one), 16 * MIB);
  assert_done(pool_snapshot(group, "v", "s2", &error));
  vt_io_unref(one);
  vt_io_unref(two);
  assert_done(pool_deactivate(group, "data", FALSE, &error));
  assert_done(pool_rollback(group, "v", "s", &error));
  helper_close(group);
}

/* --- sizes --- */

static void test_resize(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolVolumeInfo) info = NULL;
  g_autoptr(PoolInfo) usage = NULL;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", 0, 8 * MIB, 1);
  assert_fails(pool_resize(group, "v", 4 * MIB, FALSE, &error), EINVAL, "--shrink");
  assert_done(pool_resize(group, "v", 3 * MIB, TRUE, &error)); /* rounded up to an extent */
  info = helper_info(group, "v");
  assert_int_equal(info->size, 4 * MIB);
  assert_int_equal(info->mapped, 4 * MIB);
  assert_done((usage = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(usage->used, 4 * MIB);
  assert_done(pool_resize(group, "v", 8 * MIB, FALSE, &error));
  helper_check(group, "v", 0, 4 * MIB, 1);
  helper_check(group, "v", 4 * MIB, 4 * MIB, 0); /* what was cut off is gone */
  assert_done(pool_resize(group, "v", 8 * MIB, FALSE, &error));
  assert_fails(pool_resize(group, "w", 8 * MIB, FALSE, &error), ENOENT, NULL);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_larger_pool(void **state)
{
  char *path = helper_path("pv.img"), *second = helper_path("pv2.img");
  const char *devices[] = {path, second, NULL};
  const PoolNew small = {.size = 16 * MIB, .metadata_size = 4 * MIB};
  g_autoptr(PoolInfo) data = NULL, metadata = NULL, again = NULL;
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 128 * MIB, 0, &small, &error));
  assert_true(g_file_set_contents(second, "", 0, NULL));
  assert_int_equal(truncate(second, 64 * MIB), 0);
  group = helper_open(path);
  assert_done(pool_create(group, NULL, "v", 64 * MIB, &error));
  helper_write(group, "v", 0, 16 * MIB, 1); /* full */
  assert_done((data = pool_get_info(group, "data", &error)) != NULL);
  assert_int_equal(data->used, 16 * MIB);
  assert_done(pool_resize_pool(group, "data", 32 * MIB, FALSE, &error));
  helper_write(group, "v", 16 * MIB, 8 * MIB, 1);
  assert_done(pool_resize_pool(group, "data", 9 * MIB, TRUE, &error));
  assert_done((metadata = pool_get_info(group, "data", &error)) != NULL);
  assert_int_equal(metadata->size, 32 * MIB);
  assert_int_equal(metadata->metadata_size, 12 * MIB);
  assert_fails(pool_resize_pool(group, "data", 16 * MIB, FALSE, &error), EOPNOTSUPP,
               "cannot shrink");
  assert_fails(pool_resize_pool(group, "data", GIB, FALSE, &error), ENOSPC, NULL);
  assert_done(pool_extend(group, second, &error));
  assert_done(pool_resize_pool(group, "data", 96 * MIB, FALSE, &error));
  helper_write(group, "v", 24 * MIB, 32 * MIB, 1);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, second);

  assert_done((group = pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error)) != NULL);
  assert_done((again = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(again->size, 96 * MIB);
  helper_check(group, "v", 0, 56 * MIB, 1);
  helper_close(group);
}

static void test_second_pool(void **state)
{
  char *path = helper_path("pv.img");
  const PoolNew part = {.size = 32 * MIB}, rest = {.reserve = 8 * MIB};
  const char *const pool_name[] = {"fast", NULL}, *const from_both[] = {"a", "b", NULL},
                    *const b[] = {"b", NULL};
  g_autoptr(PoolVgInfo) vg = NULL;
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 128 * MIB, 0, &part, &error));
  group = helper_open(path);
  assert_done(pool_create_pool(group, "fast", &rest, &error));
  assert_fails(pool_create_pool(group, "data", &rest, &error), EEXIST, NULL);
  assert_done((vg = pool_get_vg_info(group, &error)) != NULL);
  assert_int_equal(vg->free, 8 * MIB);
  assert_fails(pool_create(group, NULL, "x", MIB, &error), EINVAL, "say which one");
  assert_done(pool_create(group, "data", "a", 8 * MIB, &error));
  assert_done(pool_create(group, "fast", "b", 8 * MIB, &error));
  helper_write(group, "b", 0, MIB, 2);
  assert_fails(pool_remove(group, from_both, FALSE, &error), EOPNOTSUPP, "of one pool");
  assert_fails(pool_clone_into(group, "a", "b", &error), EINVAL, "thin pool");
  assert_fails(pool_remove(group, pool_name, FALSE, &error), EBUSY, "has 1 volume:");
  helper_close(group);
  helper_judge(path, NULL);
  group = helper_open(path);
  helper_check(group, "b", 0, MIB, 2);
  assert_done(pool_remove(group, b, FALSE, &error));
  assert_done(pool_remove(group, pool_name, FALSE, &error));
  assert_names(group, "a");
  helper_write(group, "a", 0, MIB, 3);
  helper_close(group);
  helper_judge(path, NULL);
}

static void test_linear(void **state)
{
  char *path = helper_path("pv.img");
  const PoolNew part = {.size = 32 * MIB};
  const char *const root[] = {"root", NULL};
  g_autoptr(PoolVgInfo) before = NULL, after = NULL, end = NULL;
  g_autoptr(PoolVolumeInfo) info = NULL;
  VtIo *view, *held;
  char byte = 1;
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 128 * MIB, 0, &part, &error));
  group = helper_open(path);
  assert_done(pool_create(group, NULL, "a", 8 * MIB, &error));
  assert_done((before = pool_get_vg_info(group, &error)) != NULL);
  assert_done(pool_create_linear(group, "root", 9 * MIB, &error));
  assert_fails(pool_create_linear(group, "root", MIB, &error), EEXIST, "root already");
  assert_fails(pool_create_linear(group, "a/b", MIB, &error), EINVAL, NULL);
  assert_fails(pool_create_linear(group, "x", 0, &error), EINVAL, "size of 0");
  assert_fails(pool_create_linear(group, "x", 128 * MIB, &error), ENOSPC, "MiB free");
  assert_done((after = pool_get_vg_info(group, &error)) != NULL);
  assert_int_equal(before->free - after->free, 12 * MIB);
  info = helper_info(group, "root");
  assert_int_equal(info->kind, POOL_VOLUME_LINEAR);
  assert_int_equal(info->size, 12 * MIB);
  assert_null(info->pool);
  helper_write(group, "root", 0, 12 * MIB, 5);
  helper_close(group);
  helper_judge(path, NULL);

  group = helper_open(path);
  helper_check(group, "root", 0, 12 * MIB, 5);
  assert_fails(pool_remove(group, root, FALSE, &error), EOPNOTSUPP, "in no thin pool");
  assert_fails(pool_remove_linear(group, "a", &error), EINVAL, "in thin pool data");
  assert_fails(pool_remove_linear(group, "nobody", &error), ENOENT, "nobody");
  assert_done((held = pool_volume_open(group, "root", TRUE, "a reader", &error)) != NULL);
  assert_fails(pool_remove_linear(group, "root", &error), EBUSY, "a reader");
  vt_io_unref(held);
  assert_done((view = pool_volume_open_view(group, "root", &error)) != NULL);
  assert_done(pool_remove_linear(group, "root", &error));
  assert_fails(vt_io_read(view, &byte, 1, 0, &error), ENOENT, "was removed");
  vt_io_unref(view);
  assert_done(pool_create_linear(group, "root", 12 * MIB, &error)); /* in the same place */
  helper_check(group, "root", 0, 12 * MIB, 0);
  assert_done(pool_remove_linear(group, "root", &error));
  assert_done((end = pool_get_vg_info(group, &error)) != NULL);
  assert_int_equal(end->free, before->free);
  assert_names(group, "a");
  helper_close(group);
  helper_judge(path, NULL);
}

/* --- tags, events, openers --- */

static void test_tags(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  const char *const add[] = {"pve-vm-100", "x=y", NULL}, *const take[] = {"x=y", "absent", NULL},
                    *const own[] = {"virt-thin.snapshot-of=v", NULL};
  const char *const bad[] = {"with space", NULL};
  g_autoptr(PoolVolumeInfo) info = NULL;

  assert_done(pool_create(group, NULL, "v", MIB, &error));
  assert_done(pool_set_tags(group, "v", add, NULL, &error));
  assert_done(pool_set_tags(group, "v", NULL, take, &error));
  assert_done(pool_set_tags(group, "data", add, NULL, &error));
  assert_fails(pool_set_tags(group, "v", own, NULL, &error), EPERM, NULL);
  assert_fails(pool_set_tags(group, "v", bad, NULL, &error), EINVAL, NULL);
  info = helper_info(group, "v");
  assert_int_equal(g_strv_length(info->tags), 1);
  assert_string_equal(info->tags[0], "pve-vm-100");
  helper_close(group);
}

static void note_event(PoolEvent event, const char *name, const char *old_name, gpointer user_data)
{
  static const char *const words[] = {"added", "removed", "renamed", "resized", "replaced"};

  g_string_append_printf(user_data, "%s %s%s%s; ", words[event], name, old_name ? " was " : "",
                         old_name ? old_name : "");
}

/* @user_data: the volume in use; after an '!' one that only a claim finds in use. */
static char *find_user(const char *const *names, gboolean claim, const char **used,
                       gpointer user_data)
{
  const char *name = user_data;

  if (*name == '!' && !claim)
    return NULL;
  for (*used = NULL; *names && !*used; names++)
    *used = strcmp(*names, name + (*name == '!')) == 0 ? *names : NULL;
  return *used ? g_strdup("the kernel (loop7)") : NULL;
}

static void test_events_and_users(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  g_autoptr(GString) events = g_string_new(NULL);
  const char *const w[] = {"w", NULL}, *const busy[] = {"snap_w_s", NULL};

  pool_set_event_func(group, note_event, events);
  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  assert_done(pool_snapshot(group, "v", "s", &error));
  assert_done(pool_rename(group, "v", "w", &error));
  assert_done(pool_resize(group, "w", 12 * MIB, FALSE, &error));
  assert_done(pool_rollback(group, "w", "s", &error));
  pool_set_user_func(group, find_user, "snap_w_s");
  assert_fails(pool_remove(group, busy, FALSE, &error), EBUSY, "loop7");
  assert_fails(pool_remove(group, w, TRUE, &error), EBUSY,
               "snap_w_s is in use by the kernel (loop7)");
  pool_set_user_func(group, find_user, "!snap_w_s");
  assert_fails(pool_remove(group, w, TRUE, &error), EBUSY, "loop7");
  assert_fails(pool_deactivate(group, NULL, FALSE, &error), EBUSY, "loop7");
  pool_set_user_func(group, find_user, "w");
  assert_fails(pool_rollback(group, "w", "s", &error), EBUSY, "loop7");
  assert_fails(pool_resize(group, "w", 1, TRUE, &error), EBUSY, "loop7");
  pool_set_user_func(group, NULL, NULL);
  assert_done(pool_remove(group, w, TRUE, &error));
  assert_done(pool_create(group, NULL, "v", 4 * MIB, &error));
  pool_set_user_func(group, find_user, "v");
  assert_fails(pool_template(group, "v", "base-1-v", &error), EBUSY, "loop7");
  pool_set_user_func(group, NULL, NULL);
  assert_done(pool_template(group, "v", "base-1-v", &error));
  assert_string_equal(events->str,
                      "added v; added snap_v_s; renamed snap_w_s was snap_v_s; renamed w was v; "
                      "resized w; replaced w; resized w; "
                      "removed snap_w_s; removed w; added v; renamed base-1-v was v; ");
  helper_close(group);
}

static void test_views_follow(void **state)
{
  VolumeGroup *group = helper_open(helper_make(128 * MIB, 0));
  const char *const names[] = {"v", NULL};
  VtIo *view;
  char byte = 1;

  assert_done(pool_create(group, NULL, "v", 4 * MIB, &error));
  assert_done(pool_snapshot(group, "v", "empty", &error));
  assert_done((view = pool_volume_open_view(group, "v", &error)) != NULL);
  assert_done(vt_io_write(view, &byte, 1, 0, &error));
  assert_done(pool_rollback(group, "v", "empty", &error));
  assert_done(vt_io_read(view, &byte, 1, 0, &error));
  assert_int_equal(byte, 0);
  assert_done(pool_resize(group, "v", 8 * MIB, FALSE, &error));
  assert_int_equal(vt_io_size(view), 8 * MIB);
  assert_done(vt_io_write(view, "z", 1, 8 * MIB - 1, &error));
  assert_done(pool_resize(group, "v", 4 * MIB, TRUE, &error));
  assert_fails(vt_io_read(view, &byte, 1, 8 * MIB - 1, &error), EINVAL, NULL);
  assert_done(pool_remove(group, names, FALSE, &error));
  assert_fails(vt_io_read(view, &byte, 1, 0, &error), ENOENT, "removed");
  assert_fails(vt_io_write(view, &byte, 1, 0, &error), ENOENT, "removed");
  assert_done(pool_create(group, NULL, "v", 4 * MIB, &error)); /* another one of that name */
  assert_fails(vt_io_flush(view, &error), ENOENT, "removed");
  vt_io_unref(view);
  helper_close(group);
}

static void test_second_opener(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  const char *devices[] = {path, NULL};
  g_autofree char *pid = g_strdup_printf("%d", getpid());
  VolumeGroup *group = helper_open(path), *reader;

  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBUSY, pid);
  reader = helper_open_read(path); /* takes no lock */
  helper_close(reader);
  helper_close(group);
  helper_close(helper_open(path));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, helper_setup, helper_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_init_and_list),
      TEST(test_create_write_reopen),
      TEST(test_usage_of_a_busy_pool),
      TEST(test_usage_errors),
      TEST(test_extents_of_a_volume),
      TEST(test_clone),
      TEST(test_snapshot),
      TEST(test_snapshot_group),
      TEST(test_rollback),
      TEST(test_rollback_brings_the_size_back),
      TEST(test_clone_into),
      TEST(test_rename),
      TEST(test_template),
      TEST(test_remove_leaves_snapshots),
      TEST(test_remove_is_all_or_none),
      TEST(test_in_use),
      TEST(test_resize),
      TEST(test_larger_pool),
      TEST(test_second_pool),
      TEST(test_linear),
      TEST(test_tags),
      TEST(test_events_and_users),
      TEST(test_views_follow),
      TEST(test_second_opener),
  };

  return cmocka_run_group_tests_name("pool-bundled", tests, NULL, NULL);
}
