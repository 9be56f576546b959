/* virt-thin - tests: metadata has room for snapshots, or makes it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <sys/stat.h>
#include <time.h>

#include "pool/bundled/bundled-private.h"

#define VOLUME (256 * MIB)

/* A snapshot, and after it @n writes of 4 KiB to places of volume v that @rand chooses. */
static void snapshot_and_write(VolumeGroup *group, guint i, guint n, GRand *rand)
{
  g_autofree char *name = g_strdup_printf("s%u", i);
  g_autoptr(VtIo) volume = NULL;
  char block[4096] = {1};

  assert_done(pool_snapshot(group, "v", name, &error));
  assert_done((volume = pool_volume_open(group, "v", FALSE, "test", &error)) != NULL);
  for (guint j = 0; j < n; j++)
    assert_done(vt_io_write(
        volume, block, sizeof block,
        (guint64)g_rand_int_range(rand, 0, VOLUME / sizeof block) * sizeof block, &error));
}

/* Snapshots @from to @to. */
static void take_snapshots(VolumeGroup *group, guint from, guint to, guint n_writes)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(from);

  if (from == 0)
    assert_done(pool_create(group, NULL, "v", VOLUME, &error));
  for (guint i = from; i < to; i++)
    snapshot_and_write(group, i, n_writes, rand);
}

/* Nothing is said before there are two; then about what the next will cost:
 * a volume that fills has larger maps. */
static void test_forecast(void **state)
{
  VolumeGroup *group = helper_open(helper_make(3584 * MIB, 0));
  g_autoptr(PoolInfo) none = NULL, one = NULL, before = NULL, after = NULL;
  guint64 each, cost;

  assert_done((none = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(none->snapshots_left, G_MAXUINT64);
  take_snapshots(group, 0, 1, 64);
  assert_done((one = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(one->snapshots_left, G_MAXUINT64);
  assert_int_equal(one->snapshots_counted, 0);
  take_snapshots(group, 1, 30, 64);
  assert_done((before = pool_get_info(group, NULL, &error)) != NULL);
  assert_int_equal(before->snapshots_counted, 10);
  each = before->snapshots_metadata / 10;
  assert_in_range(before->snapshots_left * each, 0, before->metadata_size - before->metadata_used);
  take_snapshots(group, 30, 40, 64);
  assert_done((after = pool_get_info(group, NULL, &error)) != NULL);
  cost = (after->metadata_used - before->metadata_used) / 10;
  print_message("# %d bytes each, %d were foretold\n", (int)cost, (int)each);
  assert_in_range(cost, each * 2 / 3, each * 3 / 2);
  helper_close(group);
}

/* lvm2's choice, 4 MiB, is full at the 43rd. What the file takes on disk is no more for it. */
static void test_default_is_roomy(void **state)
{
  char *path = helper_make(3584 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autoptr(PoolInfo) info = NULL;
  struct stat st;

  assert_int_equal(stat(path, &st), 0);
  assert_true((guint64)st.st_blocks * 512 < 28 * MIB);
  take_snapshots(group, 0, 64, 64);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_null(info->health);
  assert_null(info->grown); /* it was there from the beginning */
  assert_int_equal(info->metadata_size, 28 * MIB);
  assert_int_equal(info->metadata_spare, info->metadata_size);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

/* No extent is free: the file grows, whoever meets the end first, a writer or a snapshot. */
static void test_metadata_grows_with_file(void **state)
{
  const PoolNew params = {.metadata_size = 2 * MIB};
  char *path = helper_path("pv.img");
  g_autoptr(PoolVgInfo) vg = NULL;
  g_autoptr(PoolInfo) info = NULL;
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 512 * MIB, MIB, &params, &error));
  group = helper_open(path);
  assert_done((vg = pool_get_vg_info(group, &error)) != NULL);
  assert_int_equal(vg->free, 0);
  take_snapshots(group, 0, 400, 1);
  assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
  assert_null(info->health);
  assert_non_null(info->grown);
  assert_true(info->metadata_size > 2 * MIB);
  assert_int_equal(info->metadata_spare, info->metadata_size);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

/* --- a full pool, whose volume group is being changed --- */

#define SLOW_US (G_USEC_PER_SEC / 2)

typedef struct {
  VtIo io;
  VtIo *base;
} Slow;

static gint slow_flushes; /* atomic: the flush is as slow as that; one has begun */
static gint slow_begun;

static gboolean slow_readv(VtIo *io, const struct iovec *iov, int n, guint64 at, GError **error)
{
  return vt_io_readv(((Slow *)io)->base, iov, n, at, error);
}

static gboolean slow_writev(VtIo *io, const struct iovec *iov, int n, guint64 at, GError **error)
{
  return vt_io_writev(((Slow *)io)->base, iov, n, at, error);
}

static gboolean slow_flush(VtIo *io, GError **error)
{
  if (g_atomic_int_compare_and_exchange(&slow_flushes, 1, 0)) {
    g_atomic_int_set(&slow_begun, 1);
    g_usleep(SLOW_US);
  }
  return vt_io_flush(((Slow *)io)->base, error);
}

static gboolean slow_zero(VtIo *io, guint64 at, guint64 length, VtIoZeroFlags flags, GError **error)
{
  return vt_io_zero(((Slow *)io)->base, at, length, flags, error);
}

static gboolean slow_discard(VtIo *io, guint64 at, guint64 length, GError **error)
{
  return vt_io_discard(((Slow *)io)->base, at, length, error);
}

static guint64 slow_size(VtIo *io)
{
  return vt_io_size(((Slow *)io)->base);
}

static void slow_free(VtIo *io)
{
  vt_io_unref(((Slow *)io)->base);
  g_free(io);
}

static const VtIoOps slow_ops = {.readv = slow_readv,
                                 .writev = slow_writev,
                                 .flush = slow_flush,
                                 .zero = slow_zero,
                                 .discard = slow_discard,
                                 .size = slow_size,
                                 .free = slow_free};

static VtIo *open_slow(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  VtIo *base = vt_io_open_file(path, read_only, error);
  Slow *slow = base ? g_new0(Slow, 1) : NULL;

  if (!slow)
    return NULL;
  vt_io_init(&slow->io, &slow_ops, path, read_only);
  slow->base = base;
  return &slow->io;
}

static gpointer set_tag(gpointer group)
{
  const char *tags[] = {"slow", NULL};

  assert_done(pool_set_tags(group, "v", tags, NULL, &error));
  return NULL;
}

static gint64 own_time(void)
{
  struct timespec at;

  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return at.tv_sec * G_USEC_PER_SEC + at.tv_nsec / 1000;
}

/* A writer whom the pool has no room for waits for who may be making some, and not by asking as
 * fast as it can. */
static void test_full_behind_a_slow_change(void **state)
{
  const char *devices[] = {helper_make(64 * MIB, 64 * KIB), NULL};
  VolumeGroup *group = NULL;
  g_autoptr(GError) failure = NULL;
  g_autofree char *chunk = g_malloc(MIB);
  g_autoptr(VtIo) volume = NULL;
  GThread *thread;
  gint64 used;
  guint64 at = 0;

  assert_done((group = bundled_open("pve", &(PoolWhere){.devices = devices}, open_slow, NULL,
                                    &error)) != NULL);
  assert_done(pool_create(group, NULL, "v", 128 * MIB, &error));
  assert_done((volume = pool_volume_open(group, "v", FALSE, "test", &error)) != NULL);
  memset(chunk, 1, MIB);
  for (; vt_io_write(volume, chunk, MIB, at, &failure); at += MIB)
    continue;
  assert_true(g_error_matches(failure, VT_ERROR, ENOSPC));
  g_atomic_int_set(&slow_flushes, 1);
  thread = g_thread_new("tag", set_tag, group);
  while (!g_atomic_int_get(&slow_begun))
    g_thread_yield();
  used = own_time();
  assert_fails(vt_io_write(volume, chunk, MIB, at, &error), ENOSPC, NULL);
  used = own_time() - used;
  g_thread_join(thread);
  assert_true(used < SLOW_US / 4);
  g_clear_pointer(&volume, vt_io_unref);
  helper_close(group);
}

/* --- a check while it grows --- */

#define GROWTHS 100

static gpointer grow_often(gpointer group)
{
  for (guint i = 1; i <= GROWTHS; i++)
    assert_done(pool_resize_pool(group, NULL, 4 * MIB + i * 64 * KIB, FALSE, &error));
  return NULL;
}

/* The superblock does not count on more than there is, however the two come together; tests/sim
 * brings them together more closely. */
static void test_check_while_it_grows(void **state)
{
  const PoolNew params = {.size = 4 * MIB, .metadata_size = 2 * MIB};
  const PoolCheckOptions quick = {.quick = TRUE};
  char *path = helper_path("pv.img");
  guint64 size = 0;
  VolumeGroup *group;
  GThread *grower;

  assert_done(pool_init("pve", "data", path, 128 * MIB, 64 * KIB, &params, &error));
  group = helper_open(path);
  grower = g_thread_new("grower", grow_often, group);
  while (size < 4 * MIB + GROWTHS * 64 * KIB) {
    g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
    g_autoptr(PoolInfo) info = NULL;

    assert_done(pool_check_as(group, NULL, &quick, &errors, &leaks, &error));
    if (errors->len)
      fail_msg("check: %s", (char *)errors->pdata[0]);
    assert_done((info = pool_get_info(group, NULL, &error)) != NULL);
    size = info->size;
  }
  g_thread_join(grower);
  helper_close(group);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_default_is_roomy, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_forecast, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_metadata_grows_with_file, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_full_behind_a_slow_change, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_check_while_it_grows, helper_setup, helper_teardown),
  };

  return cmocka_run_group_tests_name("pool-room", tests, NULL, NULL);
}
