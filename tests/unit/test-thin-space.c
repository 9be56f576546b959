/* virt-thin - tests of the engine's data plane: space, flushes and commits, options, other chunk
 * sizes SPDX-License-Identifier: LGPL-2.1-or-later
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

static ThinMode mode_of(Harness *h)
{
  ThinStatus status;
  thin_pool_get_status(h->pool, &status);
  return status.mode;
}

static void finish(Harness *h)
{
  guint64 data_size = vt_io_size(h->data);
  MUST(thin_pool_close(h->pool, &error));
  h->pool = NULL;
  harness_check(h->metadata, data_size, FALSE);
  harness_tool("thin_check", h->metadata_fd);
  harness_close(h);
}

/* --- out of space --- */

static void test_out_of_data(void **state)
{
  Harness h;
  harness_open(&h, 20, 4 * MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 100 * CHUNK);
  harness_write(v, 0, 20 * CHUNK, 3);
  assert_int_equal(mode_of(&h), THIN_MODE_WRITE);
  char byte = 1;
  assert_error(thin_volume_write(v, &byte, 1, 30 * CHUNK, &error), ENOSPC);
  assert_int_equal(mode_of(&h), THIN_MODE_OUT_OF_DATA);
  assert_error(thin_volume_write(v, &byte, 1, 30 * CHUNK, &error), ENOSPC);
  harness_write(v, 5 * CHUNK, 4 * CHUNK, 4); /* what is mapped goes on */
  harness_expect(v, 5 * CHUNK, 4 * CHUNK, 4);
  harness_expect(v, 30 * CHUNK, CHUNK, 0);
  /* What this transaction frees can be had: the write commits. */
  MUST(thin_volume_discard(v, 0, 2 * CHUNK, &error));
  harness_write(v, 30 * CHUNK, 2 * CHUNK, 5);
  assert_int_equal(mode_of(&h), THIN_MODE_WRITE);
  harness_expect(v, 30 * CHUNK, 2 * CHUNK, 5);
  assert_error(thin_volume_write(v, &byte, 1, 40 * CHUNK, &error), ENOSPC);
  assert_int_equal(mode_of(&h), THIN_MODE_OUT_OF_DATA);
  /* Partly done: as far as there was room. */
  MUST(thin_volume_discard(v, 2 * CHUNK, CHUNK, &error));
  g_autofree char *three = g_malloc(3 * CHUNK);
  memset(three, 1, 3 * CHUNK); /* zeros would need no chunk */
  assert_error(thin_volume_write(v, three, 3 * CHUNK, 40 * CHUNK, &error), ENOSPC);
  assert_int_equal(harness_used(&h), 20);
  /* The pool grows. */
  g_assert_true(ftruncate(h.data_fd, 25 * CHUNK) == 0);
  thin_volume_close(v);
  MUST(thin_pool_close(h.pool, &error));
  vt_io_unref(h.data);
  g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", h.data_fd);
  MUST(h.data = vt_io_open_file(path, FALSE, &error));
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  v = harness_volume(&h, 1, 100 * CHUNK);
  harness_write(v, 50 * CHUNK, 5 * CHUNK, 6);
  harness_expect(v, 50 * CHUNK, 5 * CHUNK, 6);
  assert_error(thin_volume_write(v, &byte, 1, 60 * CHUNK, &error), ENOSPC);
  MUST(vt_io_grow_file(h.data, 30 * CHUNK, &error));
  MUST(thin_pool_grow(h.pool, &error));
  assert_int_equal(mode_of(&h), THIN_MODE_WRITE);
  harness_write(v, 60 * CHUNK, CHUNK, 7);
  thin_volume_close(v);
  finish(&h);
}

/* A full pool of a snapshotted volume: a write needs a chunk; the delete of the snapshot gives
 * it. */
static void test_out_of_data_shared(void **state)
{
  Harness h;
  harness_open(&h, 4, 4 * MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 4 * CHUNK);
  harness_write(v, 0, 4 * CHUNK, 3);
  harness_snapshot(&h, 2, 1);
  char byte = 1;
  assert_error(thin_volume_write(v, &byte, 1, 0, &error), ENOSPC);
  harness_expect(v, 0, 4 * CHUNK, 3);
  harness_delete(&h, 2);
  harness_write(v, 0, 4 * CHUNK, 4);
  harness_expect(v, 0, 4 * CHUNK, 4);
  thin_volume_close(v);
  finish(&h);
}

/* A data device that keeps nothing and reads zero: maps can be large. */
static gboolean null_readv(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                           GError **error)
{
  for (int i = 0; i < n_iov; i++)
    memset(iov[i].iov_base, 0, iov[i].iov_len);
  return TRUE;
}

static gboolean null_writev(VtIo *io, const struct iovec *iov, int n_iov, guint64 offset,
                            GError **error)
{
  return TRUE;
}

static gboolean null_flush(VtIo *io, GError **error)
{
  return TRUE;
}

static gboolean null_zero(VtIo *io, guint64 offset, guint64 length, VtIoZeroFlags flags,
                          GError **error)
{
  return TRUE;
}

static gboolean null_discard(VtIo *io, guint64 offset, guint64 length, GError **error)
{
  return TRUE;
}

static guint64 null_size(VtIo *io)
{
  return 400000 * CHUNK;
}

static const VtIoOps null_ops = {
    .readv = null_readv,
    .writev = null_writev,
    .flush = null_flush,
    .zero = null_zero,
    .discard = null_discard,
    .size = null_size,
    .free = (void (*)(VtIo *))g_free,
};

/* Metadata as small as LVM makes it. */
static void test_out_of_metadata(void **state)
{
  Harness h;
  harness_open(&h, 1, 2 * MIB, NULL);
  MUST(thin_pool_close(h.pool, &error));
  vt_io_unref(h.data);
  h.data = g_new0(VtIo, 1);
  vt_io_init(h.data, &null_ops, "null", FALSE);
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 400000 * CHUNK);
  guint64 n = 0;
  g_autoptr(GError) full = NULL;
  /* In strides of a leaf's width. */
  g_autofree char *chunk = g_malloc(CHUNK);
  memset(chunk, 1, CHUNK);
  while (n < 400000 && thin_volume_write(v, chunk, CHUNK, n * 251 % 400000 * CHUNK, &full))
    n++;
  assert_non_null(full);
  assert_int_equal(full->code, ENOSPC);
  assert_int_equal(mode_of(&h), THIN_MODE_OUT_OF_METADATA);
  assert_int_equal(harness_used(&h), n);
  assert_error(harness_message(&h, THIN_CREATE, 2, 0, &error), ENOSPC);
  MUST(thin_volume_flush(v, &error));
  MUST(thin_volume_write(v, chunk, CHUNK, 0, &error)); /* mapped */
  harness_check(h.metadata, vt_io_size(h.data), FALSE);
  /* The reserve lets the discard through, and then there is room again. */
  MUST(thin_volume_discard(v, 0, 400000 * CHUNK, &error));
  MUST(thin_pool_commit(h.pool, &error));
  assert_int_equal(mode_of(&h), THIN_MODE_WRITE);
  MUST(thin_volume_write(v, chunk, CHUNK, 77 * CHUNK, &error));
  thin_volume_close(v);
  finish(&h);
}

/* --- a full disk beneath --- */

/* A commit finds no room: an error to who asked for it. What is mapped can be used; the rest
 * waits. */
static void test_commit_waits_for_room(void **state)
{
  Harness h;
  harness_open_failing(&h, 100, 4 * MIB, NULL);
  harness_create(&h, 1);
  harness_create(&h, 2);
  ThinVolume *v = harness_volume(&h, 1, 50 * CHUNK), *other = harness_volume(&h, 2, 50 * CHUNK);
  char byte = 1;
  harness_write(other, 0, CHUNK, 2);
  MUST(thin_volume_flush(other, &error));
  harness_write(v, 0, 10 * CHUNK, 3);
  vt_io_failer_arm(h.metadata, VT_IO_WRITE, 0, ENOSPC);
  assert_error(thin_volume_flush(v, &error), ENOSPC);
  assert_error(thin_volume_flush(v, &error), ENOSPC);
  assert_int_equal(mode_of(&h), THIN_MODE_OUT_OF_ROOM);
  MUST(thin_volume_flush(other, &error));
  harness_write(v, 5 * CHUNK, 2 * CHUNK, 4);
  harness_expect(v, 5 * CHUNK, 2 * CHUNK, 4);
  assert_error(thin_volume_write(v, &byte, 1, 20 * CHUNK, &error), ENOSPC);
  harness_expect(v, 20 * CHUNK, CHUNK, 0);
  assert_error(harness_message(&h, THIN_CREATE, 3, 0, &error), ENOSPC);
  assert_error(harness_message(&h, THIN_SNAPSHOT, 3, 1, &error), ENOSPC);
  MUST(thin_volume_discard(v, 0, 2 * CHUNK, &error));
  assert_error(thin_pool_commit(h.pool, &error), ENOSPC);
  vt_io_failer_arm(h.metadata, 0, G_MAXUINT, 0);
  MUST(thin_pool_commit(h.pool, &error));
  assert_int_equal(mode_of(&h), THIN_MODE_WRITE);
  harness_write(v, 20 * CHUNK, CHUNK, 5);
  harness_snapshot(&h, 3, 1);
  thin_volume_close(v);
  thin_volume_close(other);
  harness_reopen(&h);
  v = harness_volume(&h, 1, 50 * CHUNK);
  harness_expect(v, 0, 2 * CHUNK, 0);
  harness_expect(v, 5 * CHUNK, 2 * CHUNK, 4);
  harness_expect(v, 20 * CHUNK, CHUNK, 5);
  thin_volume_close(v);
  finish(&h);
}

typedef struct {
  ThinVolume *volume;
  gint *n_refused;
} Flusher;

static gpointer flush_once(gpointer user_data)
{
  Flusher *flusher = user_data;
  g_autoptr(GError) error = NULL;
  if (!thin_volume_flush(flusher->volume, &error) && error->code == ENOSPC)
    g_atomic_int_inc(flusher->n_refused);
  return NULL;
}

/* Many share a commit that finds no room: each is told. */
static void test_shared_commit_without_room(void **state)
{
  Harness h;
  harness_open_failing(&h, 100, 4 * MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 50 * CHUNK);
  harness_write(v, 0, CHUNK, 3);
  vt_io_failer_arm(h.metadata, VT_IO_WRITE, 0, ENOSPC);
  gint n_refused = 0;
  Flusher flusher = {v, &n_refused};
  GThread *threads[16];
  for (guint round = 0; round < 50; round++) {
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
      threads[i] = g_thread_new("flush", flush_once, &flusher);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
      g_thread_join(threads[i]);
  }
  assert_int_equal(n_refused, 50 * G_N_ELEMENTS(threads));
  vt_io_failer_arm(h.metadata, 0, G_MAXUINT, 0);
  MUST(thin_volume_flush(v, &error));
  thin_volume_close(v);
  finish(&h);
}

/* What cannot wait fails the pool, and leaves it in no need of a check: as it was at the last
 * commit. */
static void expect_last_commit(Harness *h)
{
  g_autoptr(GError) error = NULL;
  ThinStatus status;
  assert_int_equal(mode_of(h), THIN_MODE_FAILED);
  thin_pool_close(h->pool, &error);
  vt_io_failer_arm(h->metadata, 0, G_MAXUINT, 0);
  vt_io_failer_arm(h->data, 0, G_MAXUINT, 0);
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
  thin_pool_get_status(h->pool, &status);
  assert_false(status.needs_check);
  ThinVolume *v = harness_volume(h, 1, 50 * CHUNK);
  harness_expect(v, 0, CHUNK, 3);
  harness_expect(v, 10 * CHUNK, CHUNK, 0);
  thin_volume_close(v);
  finish(h);
}

static void test_message_without_room(void **state)
{
  Harness h;
  harness_open_failing(&h, 100, 4 * MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 50 * CHUNK);
  harness_write(v, 0, CHUNK, 3);
  MUST(thin_volume_flush(v, &error));
  thin_volume_close(v);
  vt_io_failer_arm(h.metadata, VT_IO_WRITE, 0, ENOSPC);
  assert_error(harness_message(&h, THIN_CREATE, 2, 0, &error), ENOSPC);
  expect_last_commit(&h);
}

static void test_data_flush_without_room(void **state)
{
  Harness h;
  harness_open_failing(&h, 100, 4 * MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 50 * CHUNK);
  harness_write(v, 0, CHUNK, 3);
  MUST(thin_volume_flush(v, &error));
  harness_write(v, 10 * CHUNK, CHUNK, 4);
  vt_io_failer_arm(h.data, VT_IO_FLUSH, 0, EDQUOT);
  g_autoptr(GError) error = NULL;
  assert_false(thin_volume_flush(v, &error));
  thin_volume_close(v);
  expect_last_commit(&h);
}

/* Not even the last commit can be read any more; whoever asks for room then is told by what he
 * does. */
static void test_room_of_a_device_gone(void **state)
{
  Harness h;
  harness_open_failing(&h, 100, 4 * MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 50 * CHUNK);
  harness_write(v, 0, CHUNK, 3);
  vt_io_failer_arm(h.metadata, VT_IO_READ | VT_IO_WRITE | VT_IO_FLUSH, 0, EIO);
  assert_error(thin_volume_flush(v, &error), EIO);
  assert_true(thin_pool_has_room(h.pool, 2));
  assert_error(harness_message(&h, THIN_CREATE, 2, 0, &error), EROFS);
  thin_volume_close(v);
  assert_error(thin_pool_close(g_steal_pointer(&h.pool), &error), EROFS);
  vt_io_failer_arm(h.metadata, 0, G_MAXUINT, 0);
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  finish(&h);
}

/* --- what reaches the devices --- */

typedef struct {
  guint8 freed[64]; /* data chunks that were unmapped and not yet committed */
  guint writes, flushes, discards, superblocks, metadata_writes, metadata_flushes;
  gboolean reused;
  GString *order;
} Watch;

static void watch_data(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data)
{
  Watch *w = user_data;
  if (kind == VT_IO_FLUSH) {
    w->flushes++;
    g_string_append_c(w->order, 'F');
  }
  if (kind == VT_IO_DISCARD)
    w->discards++;
  if (kind != VT_IO_WRITE && kind != VT_IO_ZERO)
    return;
  w->writes++;
  g_string_append_c(w->order, 'D');
  for (guint64 c = offset / CHUNK; c <= (offset + length - 1) / CHUNK; c++)
    w->reused |= w->freed[c];
}

static void watch_metadata(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data)
{
  Watch *w = user_data;
  if (kind == VT_IO_FLUSH) {
    w->metadata_flushes++;
    g_string_append_c(w->order, 'f');
  }
  if (kind != VT_IO_WRITE)
    return;
  w->metadata_writes++;
  w->superblocks += offset == 0;
  g_string_append_c(w->order, offset == 0 ? 'S' : 'm');
  if (offset == 0)
    memset(w->freed, 0, sizeof w->freed);
}

static void watched_open(Harness *h, Watch *w, guint64 n_chunks, const ThinOptions *options)
{
  harness_open(h, n_chunks, 4 * MIB, options);
  MUST(thin_pool_close(h->pool, &error));
  memset(w, 0, sizeof *w);
  w->order = g_string_new(NULL);
  VtIo *metadata = harness_watch_new(h->metadata, watch_metadata, w),
       *data = harness_watch_new(h->data, watch_data, w);
  vt_io_unref(h->metadata);
  vt_io_unref(h->data);
  h->metadata = metadata;
  h->data = data;
  MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
}

static void test_flush_commits_once(void **state)
{
  Harness h;
  Watch w;
  watched_open(&h, &w, 64, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 64 * CHUNK);
  w.superblocks = 0;
  harness_write(v, 0, CHUNK, 3);
  assert_int_equal(w.superblocks, 0);
  g_string_truncate(w.order, 0);
  MUST(thin_volume_flush(v, &error));
  assert_int_equal(w.superblocks, 1);
  /* data, blocks, flush, superblock, flush */
  g_autofree char *order = g_strdup(w.order->str);
  assert_true(g_regex_match_simple("^Fm+fSf$", order, 0, 0));
  guint writes = w.metadata_writes, flushes = w.flushes;
  MUST(thin_volume_flush(v, &error)); /* nothing written since */
  harness_write(v, 100, 200, 4);      /* in place: no metadata */
  MUST(thin_volume_flush(v, &error));
  assert_int_equal(w.metadata_writes, writes);
  assert_int_equal(w.flushes, flushes + 1);
  MUST(thin_pool_commit(h.pool, &error));
  assert_int_equal(w.metadata_writes, writes);
  thin_volume_close(v);
  finish(&h);
  g_string_free(w.order, TRUE);
}

static void test_untouched_never_commits(void **state)
{
  Harness h;
  Watch w;
  watched_open(&h, &w, 64, NULL);
  harness_create(&h, 1);
  w.metadata_writes = w.writes = 0;
  for (int i = 0; i < 3; i++) {
    harness_reopen(&h);
    ThinVolume *v = harness_volume(&h, 1, 64 * CHUNK);
    harness_expect(v, 0, CHUNK, 0);
    MUST(thin_volume_flush(v, &error));
    MUST(thin_pool_commit(h.pool, &error));
    thin_volume_close(v);
  }
  assert_int_equal(w.metadata_writes, 0);
  assert_int_equal(w.writes, 0);
  finish(&h);
  g_string_free(w.order, TRUE);
}

/* A freed chunk holds what the last commit promised until the next one: nothing may be written to
 * it. */
static void test_no_reuse_before_commit(void **state)
{
  Harness h;
  Watch w;
  watched_open(&h, &w, 16, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 64 * CHUNK);
  harness_write(v, 0, 8 * CHUNK, 3);
  MUST(thin_volume_flush(v, &error));
  MUST(thin_volume_discard(v, 0, 8 * CHUNK, &error));
  memset(w.freed, 1, 8); /* a new pool fills from chunk 0 */
  assert_int_equal(w.discards, 0);
  harness_write(v, 20 * CHUNK, 8 * CHUNK, 4); /* the other half */
  assert_false(w.reused);
  assert_int_equal(w.superblocks, 2);
  harness_write(v, 40 * CHUNK, CHUNK,
                5); /* there is no other: commits first, which also passes the discard down */
  assert_int_equal(w.superblocks, 3);
  assert_false(w.reused);
  assert_int_equal(w.discards, 1);
  harness_expect(v, 20 * CHUNK, 8 * CHUNK, 4);
  harness_expect(v, 40 * CHUNK, CHUNK, 5);
  thin_volume_close(v);
  finish(&h);
  g_string_free(w.order, TRUE);
}

/* --- options --- */

static void test_discard_options(void **state)
{
  for (ThinDiscards d = THIN_DISCARD_PASSDOWN; d <= THIN_DISCARD_IGNORE; d++) {
    Harness h;
    Watch w;
    watched_open(&h, &w, 64, &(ThinOptions){.discards = d});
    harness_create(&h, 1);
    ThinVolume *v = harness_volume(&h, 1, 64 * CHUNK);
    harness_write(v, 0, 40 * CHUNK, 3);
    MUST(thin_pool_commit(h.pool, &error));
    if (d == THIN_DISCARD_IGNORE) {
      assert_error(thin_volume_discard(v, 0, 10 * CHUNK, &error), EOPNOTSUPP);
      MUST(thin_volume_zero(v, 0, 10 * CHUNK, TRUE, &error));
      assert_int_equal(harness_used(&h), 40);
    } else {
      MUST(thin_volume_discard(v, 0, 10 * CHUNK, &error));
      assert_int_equal(harness_used(&h), 30);
    }
    MUST(thin_pool_commit(h.pool, &error));
    assert_int_equal(w.discards, d == THIN_DISCARD_PASSDOWN ? 1 : 0); /* neighbours are one */
    harness_expect(v, 0, 10 * CHUNK, d == THIN_DISCARD_IGNORE ? 0 : 0);
    MUST(
        thin_volume_resize(v, 20 * CHUNK, &error)); /* a shrink discards whatever the option says */
    MUST(thin_pool_commit(h.pool, &error));
    assert_int_equal(harness_used(&h), d == THIN_DISCARD_IGNORE ? 20 : 10);
    thin_volume_close(v);
    finish(&h);
    g_string_free(w.order, TRUE);
  }
}

static void test_skip_zeroing(void **state)
{
  Harness h;
  harness_open(&h, 64, 4 * MIB, &(ThinOptions){.skip_zeroing = TRUE});
  g_autofree char *junk = g_malloc(CHUNK), *found = g_malloc(CHUNK);
  memset(junk, 0xdb, CHUNK);
  for (int i = 0; i < 64; i++)
    MUST(vt_io_write(h.data, junk, CHUNK, i * CHUNK, &error));
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 10 * CHUNK);
  harness_write(v, 1000, 3000, 3);
  MUST(thin_volume_read(v, found, CHUNK, 0, &error));
  harness_fill(junk + 1000, 3000, 3);
  assert_memory_equal(found, junk, CHUNK);
  harness_expect(v, CHUNK, CHUNK, 0);
  harness_snapshot(&h, 2, 1); /* a copy is a copy all the same */
  harness_write(v, 0, 10, 4);
  harness_expect(v, 1000, 3000, 3);
  MUST(thin_volume_zero(v, 0, 3 * CHUNK, TRUE,
                        &error)); /* zeros stay, whatever is written beside them */
  harness_write(v, 2 * CHUNK, 10, 5);
  harness_expect(v, 0, 2 * CHUNK, 0);
  harness_expect(v, 2 * CHUNK + 10, CHUNK - 10, 0);
  thin_volume_close(v);
  finish(&h);
}

/* Chunks that fit no buffer, of no power of two, over a data device with a rest that is no
 * chunk. */
static void test_chunk_sizes(void **state)
{
  const guint64 sizes[] = {192 * KIB, 1 * MIB, 3 * MIB + 64 * KIB};
  for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
    guint64 c = sizes[i];
    int fd;
    g_autoptr(VtIo) metadata = harness_memory("metadata", 4 * MIB, &fd),
                    data = harness_memory("data", 20 * c + 512, NULL);
    g_autofree char *junk = g_malloc(c);
    memset(junk, 0xdb, c);
    for (int j = 0; j < 20; j++)
      MUST(vt_io_write(data, junk, c, j * c, &error));
    MUST(thin_pool_format(metadata, c, 20 * c + 512, &error));
    ThinPool *pool = NULL;
    assert_error(thin_pool_open(metadata, data, &(ThinOptions){.chunk_size = CHUNK}, &error),
                 EBADMSG);
    MUST(pool = thin_pool_open(metadata, data, &(ThinOptions){.chunk_size = c}, &error));
    ThinMessage messages[] = {{THIN_CREATE, 1, 0}, {THIN_SNAPSHOT, 2, 1}};
    MUST(thin_pool_send(pool, messages, 1, 0, 1, &error));
    ThinVolume *v = NULL;
    MUST(v = thin_volume_open(pool, 1, 100 * c, FALSE, &error));
    harness_write(v, c / 2, 100, 3);
    harness_write(v, 3 * c - 5, 2 * c + 10, 4);
    harness_expect(v, 0, c / 2, 0);
    harness_expect(v, c / 2, 100, 3);
    harness_expect(v, c / 2 + 100, c / 2 - 100, 0);
    harness_expect(v, 2 * c, c - 5, 0);
    harness_expect(v, 3 * c - 5, 2 * c + 10, 4);
    harness_expect(v, 5 * c + 5, c - 5, 0);
    MUST(thin_pool_send(pool, messages + 1, 1, 1, 2, &error));
    harness_write(v, c / 2 + 50, 10, 5);
    harness_expect(v, 0, c / 2, 0);
    harness_expect(v, c / 2, 50, 3);
    harness_expect(v, c / 2 + 50, 10, 5);
    harness_expect(v, c / 2 + 100, c / 2 - 100, 0);
    harness_write(v, 3 * c, 1, 9);
    ThinVolume *s = NULL;
    MUST(s = thin_volume_open(pool, 2, 100 * c, TRUE, &error));
    harness_expect(s, c / 2, 100, 3);
    harness_expect(s, 3 * c - 5, 2 * c + 10, 4);
    thin_volume_close(s);
    thin_volume_close(v);
    MUST(thin_pool_close(pool, &error));
    harness_tool("thin_check", fd);
    close(fd);
  }
}

/* --- opening --- */

static void test_unformatted(void **state)
{
  g_autoptr(VtIo) metadata = harness_memory("metadata", 4 * MIB, NULL),
                  data = harness_memory("data", 64 * CHUNK, NULL);
  ThinPool *pool = NULL;
  MUST(pool = thin_pool_open(metadata, data,
                             &(ThinOptions){.read_only = TRUE, .chunk_size = 2 * CHUNK}, &error));
  ThinStatus status;
  thin_pool_get_status(pool, &status);
  assert_int_equal(status.mode, THIN_MODE_READ_ONLY);
  assert_int_equal(status.chunk_size, 2 * CHUNK);
  assert_int_equal(status.n_devices, 0);
  assert_error(thin_pool_send(pool, NULL, 0, 0, 1, &error), EROFS);
  assert_error(thin_volume_open(pool, 1, MIB, TRUE, &error), ENOENT);
  MUST(thin_pool_close(pool, &error));
  char block[4096], zeros[4096] = {0};
  MUST(vt_io_read(metadata, block, sizeof block, 0, &error));
  assert_memory_equal(block, zeros, sizeof block);
  MUST(pool = thin_pool_open(metadata, data, &(ThinOptions){.chunk_size = 2 * CHUNK}, &error));
  MUST(thin_pool_close(pool, &error));
  MUST(vt_io_read(metadata, block, sizeof block, 0, &error));
  assert_memory_not_equal(block, zeros, sizeof block);
  assert_error(thin_pool_format(metadata, CHUNK, 64 * CHUNK, &error), EEXIST);
  g_autoptr(VtIo) small = harness_memory("small", 63 * CHUNK, NULL);
  assert_error(thin_pool_open(metadata, small, NULL, &error), EBADMSG);
  assert_error(thin_pool_format(data, CHUNK + 1, 64 * CHUNK, &error), EINVAL);
}

static void test_read_only(void **state)
{
  Harness h;
  Watch w;
  watched_open(&h, &w, 64, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, 64 * CHUNK);
  harness_write(v, 0, 1000, 3);
  thin_volume_close(v);
  MUST(thin_pool_close(h.pool, &error));
  w.metadata_writes = w.metadata_flushes = w.writes = w.flushes = 0;
  h.options.read_only = TRUE;
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  v = harness_volume(&h, 1, 64 * CHUNK);
  harness_expect(v, 0, 1000, 3);
  char byte = 0;
  assert_error(thin_volume_write(v, &byte, 1, 0, &error), EROFS);
  assert_error(thin_volume_discard(v, 0, CHUNK, &error), EROFS);
  MUST(thin_volume_flush(v, &error));
  thin_volume_close(v);
  assert_error(harness_message(&h, THIN_CREATE, 2, 0, &error), EROFS);
  assert_error(thin_pool_reserve_metadata_snapshot(h.pool, &error), EROFS);
  MUST(thin_pool_commit(h.pool, &error));
  MUST(thin_pool_close(h.pool, &error));
  assert_int_equal(w.metadata_writes + w.metadata_flushes + w.writes + w.flushes + w.discards, 0);
  h.pool = NULL;
  harness_close(&h);
  g_string_free(w.order, TRUE);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_out_of_data),
      cmocka_unit_test(test_out_of_data_shared),
      cmocka_unit_test(test_out_of_metadata),
      cmocka_unit_test(test_commit_waits_for_room),
      cmocka_unit_test(test_shared_commit_without_room),
      cmocka_unit_test(test_message_without_room),
      cmocka_unit_test(test_data_flush_without_room),
      cmocka_unit_test(test_room_of_a_device_gone),
      cmocka_unit_test(test_flush_commits_once),
      cmocka_unit_test(test_untouched_never_commits),
      cmocka_unit_test(test_no_reuse_before_commit),
      cmocka_unit_test(test_discard_options),
      cmocka_unit_test(test_skip_zeroing),
      cmocka_unit_test(test_chunk_sizes),
      cmocka_unit_test(test_unformatted),
      cmocka_unit_test(test_read_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
