/* virt-thin - tests of the engine's data plane: what reads, writes, zeros, discards and snapshots
 * do SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "thin-harness.h"

#define assert_error(call, expected)                                                               \
  G_STMT_START                                                                                     \
  {                                                                                                \
    GError *error = NULL;                                                                          \
    assert_false(call);                                                                            \
    assert_non_null(error);                                                                        \
    assert_int_equal(error->domain, VT_ERROR);                                                     \
    assert_int_equal(error->code, expected);                                                       \
    g_error_free(error);                                                                           \
  }                                                                                                \
  G_STMT_END

static int setup(void **state)
{
  Harness *h = g_new0(Harness, 1);
  harness_open(h, 256, 4 * MIB, NULL);
  harness_create(h, 1);
  *state = h;
  return 0;
}

static int teardown(void **state)
{
  Harness *h = *state;
  guint64 data_size = vt_io_size(h->data);
  MUST(thin_pool_close(h->pool, &error));
  h->pool = NULL;
  harness_check(h->metadata, data_size, FALSE);
  harness_tool("thin_check", h->metadata_fd);
  harness_close(h);
  g_free(h);
  return 0;
}

/* --- reading and writing --- */

static void test_unwritten_reads_zero(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_expect(v, 0, 10 * MIB, 0);
  assert_int_equal(harness_used(h), 0);
  thin_volume_close(v);
}

static void test_partial_writes(void **state)
{
  Harness *h = *state;
  /* The data device holds something else: nothing of it may show. */
  g_autofree char *junk = g_malloc(MIB);
  memset(junk, 0xdb, MIB);
  for (int i = 0; i < 16; i++)
    MUST(vt_io_write(h->data, junk, MIB, i * MIB, &error));
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 5000, 700, 7);                     /* within a chunk, at odd bytes */
  harness_write(v, 3 * CHUNK - 100, 200, 9);          /* over a border */
  harness_write(v, 10 * CHUNK + 4096, 3 * CHUNK, 11); /* whole chunks between two parts */
  harness_write(v, 20 * CHUNK, CHUNK, 13);
  assert_int_equal(harness_used(h), 1 + 2 + 4 + 1);
  harness_expect(v, 0, 5000, 0);
  harness_expect(v, 5000, 700, 7);
  harness_expect(v, 5700, CHUNK - 5700, 0);
  harness_expect(v, 2 * CHUNK, CHUNK - 100, 0);
  harness_expect(v, 3 * CHUNK - 100, 200, 9);
  harness_expect(v, 3 * CHUNK + 100, CHUNK - 100, 0);
  harness_expect(v, 10 * CHUNK, 4096, 0);
  harness_expect(v, 10 * CHUNK + 4096, 3 * CHUNK, 11);
  harness_expect(v, 13 * CHUNK + 4096, CHUNK - 4096, 0);
  harness_expect(v, 20 * CHUNK, CHUNK, 13);
  thin_volume_close(v);
}

static void test_vectors(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  /* More pieces than one system call takes, of sizes that fit nothing, some of none. */
  enum { N = 3000 };
  g_autofree struct iovec *iov = g_new(struct iovec, N);
  gsize total = 0;
  for (int i = 0; i < N; i++)
    total += iov[i].iov_len = i % 7 == 0 ? 0 : 100 + i % 613;
  g_autofree guint8 *buf = g_malloc(total), *back = g_malloc0(total);
  harness_fill(buf, total, 3);
  gsize at = 0;
  for (int i = 0; i < N; at += iov[i++].iov_len)
    iov[i].iov_base = buf + at;
  MUST(thin_volume_writev(v, iov, N, 12345, &error));
  harness_expect(v, 12345, total, 3);
  for (int i = 0; i < N; i++)
    iov[i].iov_base = back + ((guint8 *)iov[i].iov_base - buf);
  MUST(thin_volume_readv(v, iov, N, 12345, &error));
  assert_memory_equal(buf, back, total);
  MUST(thin_volume_writev(v, NULL, 0, 0, &error));
  MUST(thin_volume_read(v, NULL, 0, 10 * MIB, &error));
  thin_volume_close(v);
}

static void test_ranges(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 100 * 512);
  char buf[1024] = {0};
  harness_write(v, 99 * 512, 512, 5);
  assert_error(thin_volume_write(v, buf, 1024, 99 * 512, &error), EINVAL);
  assert_error(thin_volume_read(v, buf, 1, 100 * 512, &error), EINVAL);
  assert_error(thin_volume_read(v, buf, 512, G_MAXUINT64 - 100, &error), EINVAL);
  assert_error(thin_volume_zero(v, 0, 101 * 512, TRUE, &error), EINVAL);
  assert_error(thin_volume_discard(v, 512, G_MAXUINT64, &error), EINVAL);
  assert_error(thin_volume_resize(v, 100, &error), EINVAL);
  guint64 length;
  gboolean mapped;
  assert_error(thin_volume_extent(v, 100 * 512, 1, &length, &mapped, &error), EINVAL);
  /* The end of the volume is within its only chunk, which is mapped whole. */
  MUST(thin_volume_resize(v, CHUNK, &error));
  harness_expect(v, 99 * 512, 512, 5);
  harness_expect(v, 100 * 512, CHUNK - 100 * 512, 0);
  thin_volume_close(v);
}

static void test_handles(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, MIB);
  assert_error(thin_volume_open(h->pool, 1, MIB, FALSE, &error), EBUSY);
  assert_error(thin_volume_open(h->pool, 2, MIB, FALSE, &error), ENOENT);
  assert_error(thin_volume_open(h->pool, 1, 100, FALSE, &error), EINVAL);
  assert_int_equal(thin_volume_id(v), 1);
  assert_int_equal(thin_volume_size(v), MIB);
  harness_write(v, 0, 100, 3);
  thin_volume_close(v);
  MUST(v = thin_volume_open(h->pool, 1, MIB, TRUE, &error));
  char byte = 0;
  assert_error(thin_volume_write(v, &byte, 1, 0, &error), EROFS);
  assert_error(thin_volume_zero(v, 0, 1, FALSE, &error), EROFS);
  assert_error(thin_volume_discard(v, 0, MIB, &error), EROFS);
  harness_expect(v, 0, 100, 3);
  thin_volume_close(v);
}

/* --- sharing --- */

static void test_copy_on_write(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 4 * CHUNK, 3);
  harness_snapshot(h, 2, 1);
  assert_int_equal(harness_used(h), 4);
  ThinVolume *s = harness_volume(h, 2, 10 * MIB);
  harness_expect(s, 0, 4 * CHUNK, 3);
  harness_write(v, 100, 50, 200); /* part: copies the rest */
  assert_int_equal(harness_used(h), 5);
  harness_write(v, 2 * CHUNK, CHUNK, 201); /* whole: copies nothing, but is a new chunk as well */
  assert_int_equal(harness_used(h), 6);
  harness_write(v, 120, 10, 202); /* owned by now */
  assert_int_equal(harness_used(h), 6);
  harness_expect(s, 0, 4 * CHUNK, 3);
  harness_write(s, 3 * CHUNK + 1, 1, 99);
  assert_int_equal(harness_used(h), 7);
  guint8 expected[CHUNK];
  harness_fill(expected, CHUNK, 3);
  harness_fill(expected + 100, 50, 200);
  harness_fill(expected + 120, 10, 202);
  guint8 found[CHUNK];
  MUST(thin_volume_read(v, found, CHUNK, 0, &error));
  assert_memory_equal(found, expected, CHUNK);
  harness_expect(v, 2 * CHUNK, CHUNK, 201);
  thin_volume_close(v);
  thin_volume_close(s);
}

static void test_snapshot_is_of_the_moment(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, MIB);
  harness_write(v, 0, 1000, 3);
  harness_snapshot(h, 2, 1);
  harness_write(v, 0, 1000, 4);
  harness_snapshot(h, 3, 2); /* of a snapshot */
  harness_snapshot(h, 4, 1);
  harness_write(v, 0, 1000, 5);
  const guint8 expected[] = {5, 3, 3, 4};
  thin_volume_close(v);
  for (guint32 id = 1; id <= 4; id++) {
    v = harness_volume(h, id, MIB);
    harness_expect(v, 0, 1000, expected[id - 1]);
    thin_volume_close(v);
  }
  assert_error(harness_message(h, THIN_SNAPSHOT, 4, 1, &error), EEXIST);
  assert_error(harness_message(h, THIN_SNAPSHOT, 5, 77, &error), ENOENT);
}

/* Once its snapshots are gone, and that is committed, a volume writes in place again (the exact
 * test). */
static void test_in_place_after_delete(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 4 * CHUNK, 3);
  harness_snapshot(h, 2, 1);
  harness_write(v, 0, CHUNK, 4);
  assert_int_equal(harness_used(h), 5);
  harness_delete(h, 2);
  assert_int_equal(harness_used(h), 4);
  harness_write(v, 0, 4 * CHUNK, 5);
  harness_write(v, CHUNK + 7, 9, 6);
  assert_int_equal(harness_used(h), 4);
  thin_volume_close(v);
}

/* A chunk that the other device left in this transaction is still its own until that is committed:
 * a power cut gives it back. */
static void test_not_in_place_before_commit(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 4 * CHUNK, 3);
  harness_snapshot(h, 2, 1);
  ThinVolume *s = harness_volume(h, 2, 10 * MIB);
  harness_write(s, 0, CHUNK, 4);                      /* leaves by copy-on-write */
  MUST(thin_volume_discard(s, CHUNK, CHUNK, &error)); /* leaves by discard */
  assert_int_equal(harness_used(h), 5);
  harness_write(v, 0, 2 * CHUNK, 5);
  ThinOptions options = {.read_only = TRUE, .block_cache = MIB, .translations = 4096};
  ThinPool *cut = NULL; /* what a power cut would leave */
  MUST(cut = thin_pool_open(h->metadata, h->data, &options, &error));
  for (guint32 id = 1; id <= 2; id++) {
    ThinVolume *before = NULL;
    MUST(before = thin_volume_open(cut, id, 10 * MIB, TRUE, &error));
    harness_expect(before, 0, 4 * CHUNK, 3);
    thin_volume_close(before);
  }
  MUST(thin_pool_close(cut, &error));
  MUST(thin_pool_commit(h->pool, &error));
  harness_write(v, 0, 2 * CHUNK, 6);
  assert_int_equal(harness_used(h), 5);
  /* And when nobody but v is left with them, after the commit. */
  MUST(thin_volume_discard(s, 2 * CHUNK, 2 * CHUNK, &error));
  MUST(thin_pool_commit(h->pool, &error));
  harness_write(v, 2 * CHUNK, 2 * CHUNK, 6);
  assert_int_equal(harness_used(h), 5);
  thin_volume_close(v);
  thin_volume_close(s);
}

static void test_exchange(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, MIB);
  harness_write(v, 0, 1000, 3);
  harness_snapshot(h, 2, 1);
  harness_write(v, 0, 1000, 4);
  harness_expect(v, 0, 1000, 4);
  MUST(harness_message(h, THIN_EXCHANGE, 1, 2,
                       &error)); /* the rollback: v is open, and sees the old content at once */
  harness_expect(v, 0, 1000, 3);
  harness_write(v, 500, 10, 9);
  ThinVolume *s = harness_volume(h, 2, MIB);
  harness_expect(s, 0, 1000, 4);
  thin_volume_close(s);
  thin_volume_close(v);
}

static void test_messages_are_one(void **state)
{
  Harness *h = *state;
  ThinMessage bad[] = {{THIN_CREATE, 5, 0}, {THIN_DELETE, 1, 0}, {THIN_DELETE, 9, 0}};
  assert_error(thin_pool_send(h->pool, bad, 3, h->tid, h->tid + 1, &error), ENOENT);
  ThinDevice device;
  MUST(thin_pool_get_device(h->pool, 1, &device, &error));
  assert_error(thin_pool_get_device(h->pool, 5, &device, &error), ENOENT);
  ThinMessage good[] = {
      {THIN_CREATE, 5, 0}, {THIN_SNAPSHOT, 6, 5}, {THIN_DELETE, 5, 0}, {THIN_EXCHANGE, 1, 6}};
  assert_error(thin_pool_send(h->pool, good, 4, h->tid + 1, h->tid + 2, &error), EPERM);
  MUST(thin_pool_send(h->pool, good, 4, h->tid, h->tid + 1, &error));
  h->tid++;
  harness_reopen(h);
  g_autoptr(GArray) devices = NULL;
  MUST(devices = thin_pool_list_devices(h->pool, &error));
  assert_int_equal(devices->len, 2);
  assert_int_equal(g_array_index(devices, ThinDevice, 1).id, 6);
  ThinStatus status;
  thin_pool_get_status(h->pool, &status);
  assert_int_equal(status.transaction_id, h->tid);
  assert_int_equal(status.n_devices, 2);
  ThinVolume *v = harness_volume(h, 1, MIB);
  assert_error(harness_message(h, THIN_DELETE, 1, 0, &error), EBUSY);
  thin_volume_close(v);
  assert_error(harness_message(h, THIN_CREATE, THIN_DEVICE_MAX + 1, 0, &error), EINVAL);
}

static void test_counts(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 10 * CHUNK, 3);
  harness_snapshot(h, 2, 1);
  harness_write(v, 0, 4 * CHUNK, 4);
  guint64 exclusive, shared;
  MUST(thin_pool_count_device(h->pool, 1, &exclusive, &shared, &error));
  assert_int_equal(exclusive, 4 * CHUNK);
  assert_int_equal(shared, 6 * CHUNK);
  thin_volume_close(v);
}

static void test_metadata_snapshot(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 2 * CHUNK, 3);
  harness_snapshot(h, 2, 1);
  harness_delete(h, 2);
  harness_write(v, 0, 10, 4); /* owned by the exact test only */
  assert_int_equal(harness_used(h), 2);
  MUST(thin_pool_reserve_metadata_snapshot(h->pool, &error));
  assert_error(thin_pool_reserve_metadata_snapshot(h->pool, &error), EEXIST);
  ThinStatus status;
  thin_pool_get_status(h->pool, &status);
  assert_int_not_equal(status.held_root, 0);
  harness_write(v, 0, 10, 5); /* what the metadata snapshot maps keeps its content */
  assert_int_equal(harness_used(h), 3);
  MUST(thin_pool_release_metadata_snapshot(h->pool, &error));
  assert_error(thin_pool_release_metadata_snapshot(h->pool, &error), ENOENT);
  assert_int_equal(harness_used(h), 2);
  harness_expect(v, 0, 10, 5);
  thin_volume_close(v);
}

/* --- zero, discard, resize, extents --- */

static void test_zero(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 8 * CHUNK, 3);
  MUST(thin_volume_zero(v, 100, CHUNK - 200, FALSE, &error));
  harness_expect(v, 100, CHUNK - 200, 0);
  MUST(thin_volume_zero(v, CHUNK, CHUNK, FALSE, &error)); /* whole, but not to be unmapped */
  assert_int_equal(harness_used(h), 8);
  harness_expect(v, CHUNK, CHUNK, 0);
  MUST(thin_volume_zero(v, 2 * CHUNK + 1, 2 * CHUNK, TRUE, &error)); /* one whole chunk inside */
  assert_int_equal(harness_used(h), 7);
  harness_expect(v, 2 * CHUNK + 1, 2 * CHUNK, 0);
  MUST(thin_volume_zero(v, 20 * CHUNK, 50 * CHUNK + 5, FALSE,
                        &error)); /* not mapped: nothing is done */
  assert_int_equal(harness_used(h), 7);
  harness_snapshot(h, 2, 1);
  MUST(thin_volume_zero(v, 6 * CHUNK, CHUNK + 10, FALSE, &error)); /* shared */
  assert_int_equal(harness_used(h), 9);
  harness_expect(v, 6 * CHUNK, CHUNK + 10, 0);
  ThinVolume *s = harness_volume(h, 2, 10 * MIB);
  g_autofree guint8 *before = g_malloc(8 * CHUNK), *now = g_malloc(2 * CHUNK);
  harness_fill(before, 8 * CHUNK, 3);
  MUST(thin_volume_read(s, now, 2 * CHUNK, 6 * CHUNK, &error));
  assert_memory_equal(now, before + 6 * CHUNK, 2 * CHUNK);
  thin_volume_close(s);
  thin_volume_close(v);
}

static gboolean is_mapped(ThinVolume *v, guint64 offset)
{
  guint64 length;
  gboolean mapped = FALSE;
  MUST(thin_volume_extent(v, offset, 1, &length, &mapped, &error));
  return mapped;
}

/* A write of zeros, as who copies without knowing of holes makes it. */
static void test_written_zeros(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  enum { N = 6 };
  g_autofree guint8 *buf = g_malloc0(N * CHUNK);
  MUST(thin_volume_write(v, buf, N * CHUNK, 100, &error));
  MUST(thin_volume_write(v, buf, 512, 10 * MIB - 512, &error));
  assert_int_equal(harness_used(h), 0);
  /* Each chunk by itself, whatever pieces it comes in: data in the last byte of one, and in the
   * first of another. */
  buf[2 * CHUNK - 1] = 1;
  buf[4 * CHUNK] = 2;
  struct iovec iov[] = {{buf, 1}, {buf, 0}, {buf + 1, 2 * CHUNK}, {buf + 2 * CHUNK + 1, 3 * CHUNK}};
  MUST(thin_volume_writev(v, iov, G_N_ELEMENTS(iov), 20 * CHUNK, &error));
  assert_int_equal(harness_used(h), 2);
  assert_true(is_mapped(v, 21 * CHUNK) && is_mapped(v, 24 * CHUNK));
  g_autofree guint8 *back = g_malloc(5 * CHUNK);
  MUST(thin_volume_read(v, back, 5 * CHUNK, 20 * CHUNK, &error));
  assert_memory_equal(buf, back, 5 * CHUNK);
  /* What is mapped is written; what is shared, to a chunk of its own. */
  memset(buf, 0, N * CHUNK);
  harness_snapshot(h, 2, 1);
  MUST(thin_volume_write(v, buf, N * CHUNK, 19 * CHUNK, &error));
  assert_int_equal(harness_used(h), 4);
  harness_expect(v, 0, 10 * MIB, 0);
  ThinVolume *s = harness_volume(h, 2, 10 * MIB);
  MUST(thin_volume_read(s, back, CHUNK, 21 * CHUNK, &error));
  assert_int_equal(back[CHUNK - 1], 1);
  /* What was discarded stays so, durably once the zeros are flushed. */
  MUST(thin_volume_discard(v, 21 * CHUNK, CHUNK, &error));
  MUST(thin_volume_write(v, buf, CHUNK, 21 * CHUNK, &error));
  MUST(thin_volume_flush(v, &error));
  assert_int_equal(harness_used(h), 3);
  /* Where nothing may be written, zeros may not either. */
  thin_volume_close(v);
  MUST(v = thin_volume_open(h->pool, 1, 10 * MIB, TRUE, &error));
  assert_error(thin_volume_write(v, buf, 512, 0, &error), EROFS);
  thin_volume_close(v);
  thin_volume_close(s);
}

/* A chunk of such a pool keeps what the data device holds where nothing is written: zeros are. */
static void test_written_zeros_without_zeroing(void **state)
{
  Harness h;
  harness_open(&h, 256, 4 * MIB, &(ThinOptions){.skip_zeroing = TRUE});
  g_autofree char *junk = g_malloc(MIB), *zeros = g_malloc0(CHUNK);
  memset(junk, 0xdb, MIB);
  MUST(vt_io_write(h.data, junk, MIB, 0, &error));
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 10 * MIB);
  MUST(thin_volume_write(v, zeros, 4096, 0, &error));
  MUST(thin_volume_write(v, zeros, CHUNK, CHUNK, &error));
  harness_write(v, 4096, 4096, 3);
  harness_write(v, CHUNK + 4096, 4096, 3);
  harness_expect(v, 0, 4096, 0);
  harness_expect(v, CHUNK, 4096, 0);
  harness_expect(v, CHUNK + 8192, CHUNK - 8192, 0);
  thin_volume_close(v);
  harness_close(&h);
}

static void test_discard(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 0, 8 * CHUNK, 3);
  MUST(thin_volume_discard(v, 10, CHUNK, &error)); /* no whole chunk */
  assert_int_equal(harness_used(h), 8);
  harness_expect(v, 0, 8 * CHUNK, 3);
  MUST(thin_volume_discard(v, 10, 3 * CHUNK, &error)); /* two */
  assert_int_equal(harness_used(h), 6);
  harness_expect(v, 0, CHUNK, 3);
  harness_expect(v, CHUNK, 2 * CHUNK, 0);
  MUST(thin_volume_discard(v, 0, 10 * MIB, &error));
  assert_int_equal(harness_used(h), 0);
  harness_expect(v, 0, 10 * MIB, 0);
  MUST(thin_volume_resize(v, 5 * CHUNK + 512, &error));
  harness_write(v, 5 * CHUNK, 512, 4);
  MUST(thin_volume_discard(v, 5 * CHUNK, 512,
                           &error)); /* to the end of the volume: its last chunk goes */
  assert_int_equal(harness_used(h), 0);
  thin_volume_close(v);
}

static void test_resize(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * CHUNK);
  harness_write(v, 0, 10 * CHUNK, 3);
  MUST(thin_volume_resize(v, 4 * CHUNK + 1024, &error));
  assert_int_equal(harness_used(h), 5);
  char byte;
  assert_error(thin_volume_read(v, &byte, 1, 4 * CHUNK + 1024, &error), EINVAL);
  MUST(thin_volume_resize(v, 20 * CHUNK, &error));
  guint8 expected[2048], found[2048];
  g_autofree guint8 *all = g_malloc(5 * CHUNK);
  harness_fill(all, 5 * CHUNK, 3);
  memcpy(expected, all + 4 * CHUNK, 1024);
  memset(expected + 1024, 0, 1024);
  MUST(thin_volume_read(v, found, 2048, 4 * CHUNK, &error));
  assert_memory_equal(found, expected, 2048);
  harness_expect(v, 5 * CHUNK, 15 * CHUNK, 0);
  MUST(thin_volume_resize(v, 0, &error));
  assert_int_equal(harness_used(h), 0);
  thin_volume_close(v);
}

static void test_extents(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 100 * CHUNK + 512);
  for (int i = 19; i >= 10; i--) /* backwards: no two are neighbours in the right order */
    harness_write(v, i * CHUNK, CHUNK, 3);
  guint64 length;
  gboolean mapped;
  MUST(thin_volume_extent(v, 0, G_MAXUINT64, &length, &mapped, &error));
  assert_false(mapped);
  assert_int_equal(length, 10 * CHUNK);
  MUST(thin_volume_extent(v, 10 * CHUNK + 5, G_MAXUINT64, &length, &mapped, &error));
  assert_true(mapped);
  assert_int_equal(length, 10 * CHUNK - 5);
  MUST(thin_volume_extent(v, 10 * CHUNK + 5, 100, &length, &mapped, &error));
  assert_int_equal(length, 100);
  MUST(thin_volume_extent(v, 20 * CHUNK, G_MAXUINT64, &length, &mapped, &error));
  assert_false(mapped);
  assert_int_equal(length, 80 * CHUNK + 512);
  thin_volume_close(v);
}

static void test_persistence(void **state)
{
  Harness *h = *state;
  ThinVolume *v = harness_volume(h, 1, 10 * MIB);
  harness_write(v, 12345, 3 * CHUNK, 3);
  thin_volume_close(v);
  harness_reopen(h);
  v = harness_volume(h, 1, 10 * MIB);
  harness_expect(v, 0, 12345, 0);
  harness_expect(v, 12345, 3 * CHUNK, 3);
  thin_volume_close(v);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      T(test_unwritten_reads_zero),
      T(test_partial_writes),
      T(test_vectors),
      T(test_ranges),
      T(test_handles),
      T(test_copy_on_write),
      T(test_snapshot_is_of_the_moment),
      T(test_in_place_after_delete),
      T(test_not_in_place_before_commit),
      T(test_exchange),
      T(test_messages_are_one),
      T(test_counts),
      T(test_metadata_snapshot),
      T(test_zero),
      T(test_written_zeros),
      cmocka_unit_test(test_written_zeros_without_zeroing),
      T(test_discard),
      T(test_resize),
      T(test_extents),
      T(test_persistence),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
