/* virt-thin - a long random history of volumes, sent on generation by generation
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * In each generation volumes are written to, discarded in, resized, rolled back, and their oldest
 * snapshots removed, at both ends; then snapshots are taken and what is new is sent: of all the
 * pool, or the snapshots alone. What is new is then equal at both ends, byte for byte (all is, now
 * and then and in the end), and where chunks are of one size both use equally much.
 * $VIRT_THIN_TEST_SEED sets the seed, $VIRT_THIN_TEST_LONG makes it 200 generations.
 */
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "transfer-helper.h"

#define N_VOLUMES 3
#define MOST_SNAPSHOTS 5
#define UNIT (4 * KIB)

typedef struct {
  VolumeGroup *from, *to;
  GRand *rand;
  guint generation, writes;
  GPtrArray *kept; /* names of snapshots that both have, the oldest first */
} History;

static const char *volume_name(guint i)
{
  static const char *const names[N_VOLUMES] = {"vm-1-disk-0", "vm-1-disk-1", "vm-2-disk-0"};

  return names[i];
}

static guint64 pick(History *h, guint64 most)
{
  return (guint64)g_rand_int_range(h->rand, 0, (gint32)most);
}

/* --- what happens to a volume --- */

static void write_some(History *h, const char *name, guint64 size)
{
  guint64 length = (1 + pick(h, 64)) * UNIT, offset = pick(h, (size - length) / UNIT + 1) * UNIT;

  helper_write(h->from, name, offset, length, ++h->writes);
}

static void discard_some(History *h, const char *name, guint64 size)
{
  guint64 length = (1 + pick(h, 256)) * UNIT, offset = pick(h, (size - length) / UNIT + 1) * UNIT;
  g_autoptr(VtIo) io = NULL;

  assert_done((io = pool_volume_open(h->from, name, FALSE, "test", &error)) != NULL);
  assert_done(vt_io_zero(io, offset, length, VT_IO_ZERO_MAY_UNMAP, &error));
  assert_done(vt_io_flush(io, &error));
}

static void resize(History *h, const char *name)
{
  assert_done(pool_resize(h->from, name, (2 + pick(h, 6)) * 4 * MIB, TRUE, &error));
}

static void roll_back(History *h, const char *name)
{
  if (h->kept->len > 0)
    assert_done(pool_rollback(h->from, name, h->kept->pdata[pick(h, h->kept->len)], &error));
}

static void happen(History *h, const char *name)
{
  for (guint n = 2 + (guint)pick(h, 12); n > 0; n--) {
    g_autoptr(PoolVolumeInfo) info = helper_info(h->from, name);
    guint64 what = pick(h, 100);

    if (what < 75)
      write_some(h, name, info->size);
    else if (what < 88)
      discard_some(h, name, info->size);
    else if (what < 94)
      resize(h, name);
    else
      roll_back(h, name);
  }
}

/* --- snapshots --- */

static void remove_snapshot(History *h, VolumeGroup *group, const char *snapshot)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < N_VOLUMES; i++)
    g_ptr_array_add(names, g_strdup_printf("snap_%s_%s", volume_name(i), snapshot));
  g_ptr_array_add(names, NULL);
  assert_done(pool_remove(group, (const char *const *)names->pdata, FALSE, &error));
}

static void prune(History *h)
{
  guint index;

  if (h->kept->len < MOST_SNAPSHOTS)
    return;
  index = (guint)pick(h, h->kept->len - 1); /* not the newest */
  remove_snapshot(h, h->from, h->kept->pdata[index]);
  remove_snapshot(h, h->to, h->kept->pdata[index]);
  g_ptr_array_remove_index(h->kept, index);
}

static void take_snapshots(History *h)
{
  const char *names[N_VOLUMES + 1] = {NULL};
  g_autofree char *snapshot = g_strdup_printf("g%u", h->generation);

  for (guint i = 0; i < N_VOLUMES; i++)
    names[i] = volume_name(i);
  assert_done(pool_snapshot_group(h->from, names, snapshot, &error));
}

/* --- a generation --- */

/* The snapshots alone, which the volumes there follow; or all that is new, volumes too. */
static void send_on(History *h)
{
  g_autoptr(GString) names = g_string_new(NULL), since = g_string_new(NULL);
  gboolean snapshots = h->kept->len > 0 && pick(h, 2);

  for (guint i = 0; i < N_VOLUMES; i++)
    g_string_append_printf(names, "%ssnap_%s_g%u", i ? " " : "", volume_name(i), h->generation);
  for (guint i = 0; i < h->kept->len; i++)
    g_string_append_printf(since, "%s%s", i ? " " : "", (const char *)h->kept->pdata[i]);
  transfer_test_receive(h->to, transfer_test_send(h->from, snapshots ? names->str : NULL, FALSE,
                                                  h->kept->len ? since->str : NULL));
  g_ptr_array_add(h->kept, g_strdup_printf("g%u", h->generation));
}

/* Snapshots that were equal stay so, or something is very wrong. */
static void compare(History *h)
{
  g_autofree char *snapshot = g_strdup_printf("_g%u", h->generation);

  transfer_test_compare_some(h->from, h->to, h->generation % 10 == 0 ? "" : snapshot);
  for (guint i = 0; i < N_VOLUMES; i++) {
    g_autofree char *a = helper_md5(h->from, volume_name(i), 0),
                    *b = helper_md5(h->to, volume_name(i), 0);

    assert_string_equal(b, a);
  }
}

static void live(guint64 chunk_size, guint n_generations)
{
  const char *seed = g_getenv("VIRT_THIN_TEST_SEED");
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed ? (guint32)atoi(seed) : 20261130);
  g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(g_free);
  History h = {.rand = rand, .kept = kept};

  h.from = transfer_test_make("a", GIB, 0);
  h.to = transfer_test_make("b", GIB, chunk_size);
  for (guint i = 0; i < N_VOLUMES; i++)
    assert_done(pool_create(h.from, "data", volume_name(i), 16 * MIB, &error));
  for (h.generation = 1; h.generation <= n_generations; h.generation++) {
    guint64 a, b;

    progress("generation %u of %u", h.generation, n_generations);
    for (guint i = 0; i < N_VOLUMES; i++)
      happen(&h, volume_name(i));
    take_snapshots(&h);
    send_on(&h);
    compare(&h);
    a = transfer_test_used(h.from);
    b = transfer_test_used(h.to);
    if (chunk_size == 0 && (b > a + a / 100 || b < a - a / 100))
      fail_msg("generation %u: %" G_GUINT64_FORMAT " bytes are used, %" G_GUINT64_FORMAT " there",
               h.generation, a, b);
    prune(&h);
  }
  transfer_test_compare(h.from, h.to);
  helper_check_pool(h.to, "data");
  helper_close(h.from);
  helper_close(h.to);
  helper_judge(helper_path("b"), NULL);
}

static guint generations(void)
{
  return g_getenv("VIRT_THIN_TEST_LONG") ? 200 : 20;
}

static void test_equal_chunks(void **state)
{
  live(0, generations());
}

static void test_other_chunks(void **state)
{
  live(256 * KIB, generations() / 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_equal_chunks, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_other_chunks, helper_setup, helper_teardown),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
