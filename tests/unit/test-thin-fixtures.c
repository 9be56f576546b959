/* virt-thin - tests: the engine goes on where the kernel stopped
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tests/fixtures/images/01-clean is a pool that the kernel's dm-thin has exercised: snapshots,
 * overflow counts, grown metadata. Random work on two of its volumes must leave the others, which
 * share chunks with them, as their recorded checksums say, and metadata that thin_check finds in
 * order.
 */
#include "pool-helper.h"

#include <stdlib.h>
#include <string.h>

#include "lvm/store.h"
#include "thin/thin.h"

#define REGION (16 * MIB) /* of each volume that is worked on */
#define CHUNK (64 * KIB)

typedef struct {
  LvmStore *store;
  VtIo *metadata, *data;
  ThinPool *pool;
  guint64 tid;
} Fixture;

static void fixture_open(Fixture *f, const char *path)
{
  const char *paths[] = {path, NULL};
  assert_done((f->store = lvm_store_open(paths, "pve", FALSE, NULL, NULL, &error)) != NULL);
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(f->store), "data");
  ThinOptions options = {.chunk_size = lvm_pool_chunk_size(lv)};
  assert_done((f->metadata = lvm_store_open_lv(f->store, lvm_pool_metadata(lv), FALSE, &error)) !=
              NULL);
  assert_done((f->data = lvm_store_open_lv(f->store, lvm_pool_data(lv), FALSE, &error)) != NULL);
  assert_done((f->pool = thin_pool_open(f->metadata, f->data, &options, &error)) != NULL);
  ThinStatus status;
  thin_pool_get_status(f->pool, &status);
  f->tid = status.transaction_id;
}

/* Everything that thin_check() says, but never what an earlier kernel leaked. */
static void fixture_close(Fixture *f)
{
  guint64 data_size = vt_io_size(f->data);
  assert_done(thin_pool_close(f->pool, &error));
  g_autoptr(ThinReport) report = NULL;
  assert_done((report = thin_check(f->metadata, data_size, &error)) != NULL);
  for (guint i = 0; i < report->errors->len; i++)
    fail_msg("thin_check(): %s", (char *)report->errors->pdata[i]);
  assert_int_equal(report->leaks->len, 0);
  vt_io_unref(f->metadata);
  vt_io_unref(f->data);
  lvm_store_close(f->store);
}

static ThinVolume *open_lv(Fixture *f, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(f->store), name);
  ThinVolume *volume = NULL;
  assert_non_null(lv);
  assert_done((volume = thin_volume_open(f->pool, lvm_thin_device(lv), lvm_lv_size(lv), FALSE,
                                         &error)) != NULL);
  return volume;
}

static void check_md5(Fixture *f, const char *name, const char *expected)
{
  ThinVolume *volume = open_lv(f, name);
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_MD5);
  g_autofree guint8 *buf = g_malloc(MIB);
  for (guint64 at = 0; at < thin_volume_size(volume); at += MIB) {
    assert_done(thin_volume_read(volume, buf, MIB, at, &error));
    g_checksum_update(sum, buf, MIB);
  }
  thin_volume_close(volume);
  assert_string_equal(g_checksum_get_string(sum), expected);
}

/* One random change of @volume's first bytes, and of what they are now in @now. */
static void change(ThinVolume *volume, guint8 *now, GRand *rand)
{
  guint64 offset = g_rand_int_range(rand, 0, REGION),
          length = 1 + g_rand_int_range(rand, 0, g_rand_boolean(rand) ? 5000 : 300000);
  length = MIN(length, REGION - offset);
  guint64 begin = (offset + CHUNK - 1) / CHUNK * CHUNK, end = (offset + length) / CHUNK * CHUNK;
  g_autofree guint8 *buf = g_malloc(length);
  switch (g_rand_int_range(rand, 0, 6)) {
  case 0:
    assert_done(thin_volume_discard(volume, offset, length, &error));
    if (end > begin)
      memset(now + begin, 0, end - begin);
    break;
  case 1:
    assert_done(thin_volume_zero(volume, offset, length, g_rand_boolean(rand), &error));
    memset(now + offset, 0, length);
    break;
  default:
    memset(buf, g_rand_int_range(rand, 1, 256), length);
    assert_done(thin_volume_write(volume, buf, length, offset, &error));
    memcpy(now + offset, buf, length);
  }
}

static void send(Fixture *f, ThinMessageKind kind, guint32 device, guint32 other)
{
  assert_done(
      thin_pool_send(f->pool, &(ThinMessage){kind, device, other}, 1, f->tid, f->tid + 1, &error));
  f->tid++;
}

static void test_work_on_a_kernel_pool(void **state)
{
  const char *names[] = {"vm-100-disk-0", "vm-102-disk-0"};
  guint8 *now[] = {g_malloc(REGION), g_malloc(REGION)};
  g_autoptr(GRand) rand = g_rand_new_with_seed(20250707);
  char *path = helper_fixture("01-clean");
  Fixture f;
  fixture_open(&f, path);
  for (guint round = 0; round < 5; round++) {
    ThinVolume *volumes[] = {open_lv(&f, names[0]), open_lv(&f, names[1])};
    for (guint i = 0; round == 0 && i < 2; i++)
      assert_done(thin_volume_read(volumes[i], now[i], REGION, 0, &error));
    for (guint i = 0; i < 120; i++) {
      guint which = g_rand_int_range(rand, 0, 2);
      change(volumes[which], now[which], rand);
      if (i % 40 == 10)
        send(&f, THIN_SNAPSHOT, 1000 + round * 3 + i / 40, thin_volume_id(volumes[which]));
      if (i % 40 == 30)
        send(&f, THIN_DELETE, 1000 + round * 3 + i / 40, 0);
    }
    for (guint i = 0; i < 2; i++) {
      g_autofree guint8 *found = g_malloc(REGION);
      assert_done(thin_volume_read(volumes[i], found, REGION, 0, &error));
      assert_memory_equal(found, now[i], REGION);
      thin_volume_close(volumes[i]);
    }
    fixture_close(&f);
    fixture_open(&f, path);
  }
  check_md5(&f, "snap_vm-100-disk-0_s1", "670106f7a3b68dc4daaffb1fac12ec5a");
  check_md5(&f, "snap_vm-100-disk-0_s2", "cb2da43aaefff55d2f83cd9a5b05eb9d");
  check_md5(&f, "vm-101-disk-1", "3d6ddcc9ac438d8cadbc782fcf41885d");
  fixture_close(&f);
  g_free(now[0]);
  g_free(now[1]);
  helper_judge(path, NULL);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_work_on_a_kernel_pool, helper_setup, helper_teardown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
