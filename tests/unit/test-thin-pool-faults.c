/* virt-thin - every I/O of a pool and its volumes fails in turn, with each set of options
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tests/crash/io-failures asks what the volumes hold afterwards. Here it is each way of writing,
 * with all that a pool can be set to: what fails says why, and leaves metadata that is whole. And
 * what is refused; and a journal that is full, or tells of what cannot be.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "thin-harness.h"
#include "thin/pool-private.h"

#define N_CHUNKS 140u
#define SIZE (64 * CHUNK)
#define N_IOV 300

#define assert_fails(call, errno_code)                                                             \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    assert_false(call);                                                                            \
    if (!g_error_matches(error, VT_ERROR, errno_code))                                             \
      fail_msg(#call ": %s", error ? error->message : "no error set");                             \
    g_clear_error(&error);                                                                         \
  } while (0)

typedef struct {
  Harness h;
  ThinVolume *volumes[4];
  char *buf;
} Bench;

/* --- what is done ------------------------------------------------------------------- */

static gboolean step_create(Bench *b, GError **error)
{
  for (guint32 i = 1; i <= 3; i++)
    if (!harness_message(&b->h, THIN_CREATE, i, 0, error) ||
        !(b->volumes[i] = thin_volume_open(b->h.pool, i, SIZE, FALSE, error)))
      return FALSE;
  return TRUE;
}

static gboolean step_write(Bench *b, GError **error)
{
  return thin_volume_write(b->volumes[1], b->buf, 512, 5 * CHUNK + 512, error) &&
         thin_volume_write(b->volumes[1], b->buf, 3 * CHUNK + 1000, 7 * CHUNK + 700, error) &&
         thin_volume_write(b->volumes[1], b->buf, 5 * CHUNK, 20 * CHUNK, error) &&
         thin_volume_write(b->volumes[2], b->buf, 2 * CHUNK, 3 * CHUNK, error) &&
         thin_volume_flush(b->volumes[1], error);
}

static gboolean step_snapshot(Bench *b, GError **error)
{
  return harness_message(&b->h, THIN_SNAPSHOT, 9, 1, error) &&
         harness_message(&b->h, THIN_SNAPSHOT, 10, 2, error);
}

/* Into shared chunks; of many pieces, with holes between them. */
static gboolean step_pieces(Bench *b, GError **error)
{
  struct iovec iov[N_IOV];

  for (guint i = 0; i < N_IOV; i++)
    iov[i] = (struct iovec){b->buf + i * 1024, 700};
  return thin_volume_write(b->volumes[1], b->buf, 100, 5 * CHUNK + 3000, error) &&
         thin_volume_writev(b->volumes[1], iov, N_IOV, 6 * CHUNK + 300, error) &&
         thin_volume_readv(b->volumes[1], iov, N_IOV, 4 * CHUNK + 300, error) &&
         thin_volume_readv(b->volumes[2], iov, N_IOV, 2 * CHUNK, error);
}

static gboolean step_zero(Bench *b, GError **error)
{
  guint64 length;
  gboolean mapped, ok;

  ok = thin_volume_zero(b->volumes[1], 7 * CHUNK + 100, 3 * CHUNK, FALSE, error) &&
       thin_volume_zero(b->volumes[1], 20 * CHUNK + 100, 3 * CHUNK, TRUE, error) &&
       thin_volume_zero(b->volumes[1], 0, 0, TRUE, error) &&
       thin_volume_back(b->volumes[1], 30 * CHUNK + 5, 3 * CHUNK, error) &&
       thin_volume_extent(b->volumes[1], 0, SIZE, &length, &mapped, error);
  return ok && (b->h.options.discards == THIN_DISCARD_IGNORE ||
                thin_volume_discard(b->volumes[1], 21 * CHUNK, 3 * CHUNK, error));
}

static gboolean step_resize(Bench *b, GError **error)
{
  return thin_volume_resize(b->volumes[1], 23 * CHUNK + 512, error) &&
         thin_volume_resize(b->volumes[1], SIZE, error) &&
         thin_volume_resize(b->volumes[2], 512, error);
}

static gboolean step_messages(Bench *b, GError **error)
{
  thin_volume_close(g_steal_pointer(&b->volumes[3]));
  return harness_message(&b->h, THIN_EXCHANGE, 1, 9, error) &&
         harness_message(&b->h, THIN_EXCHANGE, 1, 1, error) &&
         harness_message(&b->h, THIN_DELETE, 3, 0, error) &&
         harness_message(&b->h, THIN_DELETE, 10, 0, error);
}

static gboolean step_hold(Bench *b, GError **error)
{
  return thin_pool_reserve_metadata_snapshot(b->h.pool, error) &&
         thin_volume_write(b->volumes[1], b->buf, CHUNK, 8 * CHUNK, error) &&
         thin_pool_release_metadata_snapshot(b->h.pool, error);
}

/* Chunks that lie apart, all of the pool; then they go again. */
static gboolean step_fill(Bench *b, GError **error)
{
  g_autoptr(GError) full = NULL;

  for (guint i = 0; i < 64; i += 2)
    if (!thin_volume_write(b->volumes[1], b->buf, 512, i * CHUNK, error))
      return FALSE;
  harness_message(&b->h, THIN_CREATE, 20, 0, NULL);
  b->volumes[3] = thin_volume_open(b->h.pool, 20, 4 * SIZE, FALSE, error);
  if (!b->volumes[3])
    return FALSE;
  if (thin_volume_write(b->volumes[3], b->buf, 4 * SIZE, 0, &full) ||
      !g_error_matches(full, VT_ERROR, ENOSPC)) {
    if (full)
      g_propagate_error(error, g_steal_pointer(&full));
    return FALSE;
  }
  return b->h.options.discards == THIN_DISCARD_IGNORE ||
         (thin_volume_discard(b->volumes[3], 0, 2 * SIZE, error) &&
          thin_volume_write(b->volumes[3], b->buf, CHUNK, 3 * SIZE, error) &&
          thin_volume_discard(b->volumes[3], 0, 4 * SIZE, error));
}

static gboolean step_reopen(Bench *b, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS(b->volumes); i++)
    thin_volume_close(g_steal_pointer(&b->volumes[i]));
  gboolean ok = thin_pool_close(g_steal_pointer(&b->h.pool), error);
  return ok && (b->h.pool = thin_pool_open(b->h.metadata, b->h.data, &b->h.options, error));
}

static gboolean (*const steps[])(Bench *b, GError **error) = {
    step_create, step_write,    step_snapshot, step_pieces, step_zero,
    step_resize, step_messages, step_hold,     step_fill,   step_reopen};

/* --- each fails --------------------------------------------------------------------- */

typedef struct {
  gboolean data;
  VtIoKinds kind;
  guint countdown;
  int code;
  gboolean lasting;
} Fault;

static void arm(Bench *b, const Fault *fault, gboolean on)
{
  vt_io_failer_arm(fault->data ? b->h.data : b->h.metadata, fault->kind,
                   on ? fault->countdown : G_MAXUINT, fault->code);
}

static char buffer[4 * SIZE + MIB]; /* what is written, and read into */

/* TRUE: the fault was met. */
static gboolean run(const ThinOptions *options, const Fault *fault)
{
  Bench b = {.buf = buffer};
  gboolean met;

  harness_open_failing(&b.h, N_CHUNKS, MIB, options);
  arm(&b, fault, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
    g_autoptr(GError) error = NULL;
    if (steps[i](&b, &error))
      continue;
    if (!error || error->domain != VT_ERROR || !*error->message)
      fail_msg("step %u fails without a word", i);
    if (fault->countdown == G_MAXUINT)
      fail_msg("step %u: %s", i, error->message);
    if (!fault->lasting)
      arm(&b, fault, FALSE);
    if (i == 0 || !b.h.pool)
      break;
  }
  for (guint i = 0; i < G_N_ELEMENTS(b.volumes); i++)
    thin_volume_close(b.volumes[i]);
  thin_pool_close(g_steal_pointer(&b.h.pool), NULL);
  met = vt_io_failer_failed(fault->data ? b.h.data : b.h.metadata) > 0;
  arm(&b, fault, FALSE);
  g_assert_true(thin_clear_needs_check(b.h.metadata, N_CHUNKS * CHUNK, NULL));
  harness_check(b.h.metadata, N_CHUNKS * CHUNK, TRUE);
  harness_close(&b.h);
  return met;
}

static void quiet(const char *domain, GLogLevelFlags level, const char *message, gpointer user_data)
{
}

static void run_all(const ThinOptions *options)
{
  static const Fault faults[] = {
      {FALSE, VT_IO_READ, 0, EIO, FALSE},    {FALSE, VT_IO_WRITE, 0, EIO, FALSE},
      {FALSE, VT_IO_WRITE, 0, ENOSPC, TRUE}, {FALSE, VT_IO_FLUSH, 0, EIO, FALSE},
      {FALSE, VT_IO_FLUSH, 0, ENOSPC, TRUE}, {TRUE, VT_IO_READ, 0, EIO, FALSE},
      {TRUE, VT_IO_WRITE, 0, EIO, FALSE},    {TRUE, VT_IO_WRITE, 0, ENOSPC, TRUE},
      {TRUE, VT_IO_FLUSH, 0, EIO, FALSE},    {TRUE, VT_IO_ZERO, 0, EIO, FALSE},
      {TRUE, VT_IO_DISCARD, 0, EIO, FALSE},  {FALSE, VT_IO_BACK, 0, ENOSPC, TRUE}};
  guint handler =
      g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_MESSAGE, quiet, NULL);
  guint n = 0;

  memset(buffer, 'x', sizeof buffer);
  run(options, &(Fault){.countdown = G_MAXUINT});
  for (guint i = 0; i < G_N_ELEMENTS(faults); i++) {
    Fault fault = faults[i];
    while (run(options, &fault)) {
      n++;
      fault.countdown += 1 + fault.countdown / 12;
    }
  }
  g_log_remove_handler("virt-thin", handler);
  print_message("# %u runs, of which each met its fault\n", n);
}

static void test_passing_discards_down(void **state)
{
  /* few blocks and translations in memory, so that they are read again */
  run_all(&(ThinOptions){.discards = THIN_DISCARD_PASSDOWN, .block_cache = 1, .translations = 64});
}

static void test_ignoring_discards(void **state)
{
  run_all(&(ThinOptions){.discards = THIN_DISCARD_IGNORE});
}

static void test_without_zeroing(void **state)
{
  run_all(&(ThinOptions){.discards = THIN_DISCARD_NO_PASSDOWN, .skip_zeroing = TRUE});
}

static void test_with_a_journal(void **state)
{
  void *journal = g_malloc0(THIN_JOURNAL_MIN);

  run_all(&(ThinOptions){.discards = THIN_DISCARD_PASSDOWN,
                         .journal = journal,
                         .journal_size = THIN_JOURNAL_MIN,
                         .journal_key = "pool"});
  g_free(journal);
}

/* Chunks that are copied, and filled with zeros, in several pieces. */
static gboolean use_large(Harness *h, GError **error)
{
  ThinVolume *v = NULL;
  gboolean ok = harness_message(h, THIN_CREATE, 1, 0, error) &&
                (v = thin_volume_open(h->pool, 1, 16 * MIB, FALSE, error)) &&
                thin_volume_write(v, buffer, 3 * MIB, 0, error) &&
                harness_message(h, THIN_SNAPSHOT, 2, 1, error) &&
                thin_volume_write(v, buffer, 512, 600 * KIB, error) &&
                thin_volume_write(v, buffer, 512, 5 * MIB + 600 * KIB, error) &&
                thin_volume_zero(v, MIB + 300 * KIB, 1000 * KIB, FALSE, error) &&
                thin_volume_flush(v, error);

  thin_volume_close(v);
  return ok;
}

static void test_large_chunks(void **state)
{
  static const VtIoKinds kinds[] = {VT_IO_READ, VT_IO_WRITE, VT_IO_ZERO, VT_IO_FLUSH};
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet, NULL), n = 0;

  memset(buffer, 'x', sizeof buffer);
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
    gboolean ok = FALSE;
    for (guint at = 0; !ok; at++) {
      g_autoptr(GError) error = NULL;
      Harness h;
      harness_open_failing(&h, 24 * 16, MIB, &(ThinOptions){.chunk_size = MIB});
      vt_io_failer_arm(h.data, kinds[i], at, EIO);
      ok = use_large(&h, &error);
      if (ok != (vt_io_failer_failed(h.data) == 0))
        fail_msg("kind %u, at %u: %s", kinds[i], at, error ? error->message : "nothing said");
      n += !ok;
      thin_pool_close(g_steal_pointer(&h.pool), NULL);
      vt_io_failer_arm(h.data, 0, G_MAXUINT, EIO);
      g_assert_true(thin_clear_needs_check(h.metadata, 24 * MIB, NULL));
      harness_check(h.metadata, 24 * MIB, TRUE);
      harness_close(&h);
    }
  }
  g_log_remove_handler("virt-thin", handler);
  assert_true(n > 10);
}

/* --- the journal -------------------------------------------------------------------- */

/* Each write makes an entry, of a chunk of its own. */
static void fill_journal(Harness *h, ThinVolume *v)
{
  for (guint64 i = 0; !thin_pool_journal_is_full(h->pool); i++)
    MUST(thin_volume_write(v, "x", 1, 2 * i * CHUNK, &error));
}

/* Full, a write and a discard commit first; and where that fails they fail. */
static void test_full_journal(void **state)
{
  void *journal = g_malloc0(THIN_JOURNAL_MIN);
  ThinOptions options = {.skip_zeroing = TRUE, /* so that little is written */
                         .discards = THIN_DISCARD_NO_PASSDOWN,
                         .journal = journal,
                         .journal_size = THIN_JOURNAL_MIN,
                         .journal_key = "pool"};
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet, NULL);

  for (guint i = 0; i < 4; i++) {
    Harness h;
    harness_open_failing(&h, 4000, MIB, &options);
    harness_create(&h, 1);
    ThinVolume *v = harness_volume(&h, 1, 8000 * CHUNK);
    fill_journal(&h, v);
    if (i / 2)
      vt_io_failer_arm(h.metadata, VT_IO_FLUSH, 0, EIO);
    g_autoptr(GError) error = NULL;
    gboolean ok = i % 2 ? thin_volume_discard(v, 40 * CHUNK, CHUNK, &error)
                        : thin_volume_write(v, "x", 1, 51 * CHUNK, &error);
    g_assert_true(ok == (i < 2));
    vt_io_failer_arm(h.metadata, 0, G_MAXUINT, EIO);
    thin_volume_close(v);
    thin_pool_close(g_steal_pointer(&h.pool), NULL);
    harness_close(&h);
  }
  g_log_remove_handler("virt-thin", handler);
  g_free(journal);
}

/* An engine dies with changes in its journal; unless it is 0, one leads to @chunk. */
static void die_with(Harness *h, guint64 chunk)
{
  pid_t pid = fork();

  g_assert_true(pid >= 0);
  if (pid == 0) {
    MUST(h->pool = thin_pool_open(h->metadata, h->data, &h->options, &error));
    ThinVolume *v = harness_volume(h, 1, SIZE);
    MUST(thin_volume_write(v, "x", 1, 9 * CHUNK, &error));
    MUST(thin_volume_zero(v, 5 * CHUNK, CHUNK, TRUE, &error));
    if (chunk)
      thin_journal_append(h->pool->journal,
                          &(ThinJournalEntry){.device = 1, .begin = 3, .n = 2, .chunk = chunk});
    _exit(0);
  }
  g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
}

static void test_death(void **state)
{
  void *journal =
      mmap(NULL, THIN_JOURNAL_MIN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ThinOptions options = {
      .journal = journal, .journal_size = THIN_JOURNAL_MIN, .journal_key = "pool"};
  static const VtIoKinds kinds[] = {VT_IO_READ, VT_IO_WRITE, VT_IO_FLUSH};
  Harness h;
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, quiet, NULL);

  harness_open_failing(&h, N_CHUNKS, MIB, &options);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, SIZE);
  MUST(thin_volume_write(v, "x", 1, 5 * CHUNK, &error));
  thin_volume_close(v);
  for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
    for (guint at = 0;; at++) {
      MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
      die_with(&h, 0);
      vt_io_failer_arm(h.metadata, kinds[i], at, EIO);
      g_autoptr(GError) error = NULL;
      ThinPool *pool = thin_pool_open(h.metadata, h.data, &h.options, &error);
      vt_io_failer_arm(h.metadata, 0, G_MAXUINT, EIO);
      if ((h.pool = pool))
        break;
      g_assert_true(thin_clear_needs_check(h.metadata, 0, NULL));
      MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
    }
  MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
  die_with(&h, N_CHUNKS + 5); /* a chunk that is not there */
  assert_fails(thin_pool_open(h.metadata, h.data, &h.options, &error), EBADMSG);
  harness_check(h.metadata, N_CHUNKS * CHUNK, TRUE);
  harness_close(&h);
  munmap(journal, THIN_JOURNAL_MIN);
  g_log_remove_handler("virt-thin", handler);
}

/* --- what is refused ---------------------------------------------------------------- */

static void test_refused(void **state)
{
  char journal[THIN_JOURNAL_MIN] = {0}, *long_key = g_strnfill(100, 'k');
  ThinOptions options = {.journal = journal, .journal_size = 100, .journal_key = "pool"};
  int fd;
  g_autoptr(VtIo) tiny = harness_memory("tiny", 1000, NULL),
                  zero = harness_memory("zero", MIB, &fd);
  Harness h;

  assert_fails(thin_pool_format(tiny, CHUNK, MIB, &error), EBADMSG);
  assert_fails(thin_pool_format(zero, 1000, MIB, &error), EINVAL);
  assert_fails(thin_pool_format(zero, 2048 * MIB, MIB, &error), EINVAL);
  harness_open(&h, N_CHUNKS, MIB, NULL);
  assert_fails(thin_pool_format(h.metadata, CHUNK, MIB, &error), EEXIST);
  harness_create(&h, 1);
  assert_fails(thin_volume_open(h.pool, 1, 100, FALSE, &error), EINVAL);
  assert_fails(thin_volume_open(h.pool, 1, G_MAXUINT64 & ~511ull, FALSE, &error), EINVAL);
  assert_fails(thin_volume_open(h.pool, 2, 512, FALSE, &error), ENOENT);
  ThinVolume *v = harness_volume(&h, 1, SIZE);
  char buf[512];
  guint64 length;
  gboolean mapped;
  assert_fails(thin_volume_read(v, buf, 512, SIZE, &error), EINVAL);
  assert_fails(thin_volume_write(v, buf, 512, SIZE - 5, &error), EINVAL);
  assert_fails(thin_volume_back(v, SIZE, 512, &error), EINVAL);
  assert_fails(thin_volume_extent(v, SIZE, 1, &length, &mapped, &error), EINVAL);
  assert_fails(thin_volume_extent(v, 0, 0, &length, &mapped, &error), EINVAL);
  assert_fails(thin_volume_resize(v, 100, &error), EINVAL);
  assert_fails(thin_volume_resize(v, G_MAXUINT64 & ~511ull, &error), EINVAL);
  assert_fails(harness_message(&h, (ThinMessageKind)99, 1, 1, &error), EINVAL);
  assert_fails(harness_message(&h, THIN_EXCHANGE, 1, 7, &error), ENOENT);
  assert_fails(harness_message(&h, THIN_EXCHANGE, 7, 1, &error), ENOENT);
  assert_fails(harness_message(&h, THIN_CREATE, THIN_DEVICE_MAX + 1, 0, &error), EINVAL);
  assert_fails(harness_message(&h, THIN_DELETE, 1, 0, &error), EBUSY);
  thin_volume_close(v);
  thin_volume_close(NULL);
  thin_pool_close(g_steal_pointer(&h.pool), NULL);
  assert_fails(thin_pool_open(h.metadata, h.data, &options, &error), ENOSPC);
  options.journal_size = sizeof journal;
  options.journal_key = long_key;
  assert_fails(thin_pool_open(h.metadata, h.data, &options, &error), ENOSPC);
  options = (ThinOptions){.chunk_size = 2 * CHUNK};
  assert_fails(thin_pool_open(h.metadata, h.data, &options, &error), EBADMSG);
  g_autoptr(VtIo) part = vt_io_new_part(h.data, "part", 0, 10 * CHUNK);
  assert_fails(thin_pool_open(h.metadata, part, NULL, &error), EBADMSG);
  options = (ThinOptions){.chunk_size = 1000};
  assert_fails(thin_pool_open(zero, h.data, &options, &error), EINVAL);
  assert_fails(thin_pool_open(tiny, h.data, NULL, &error), EBADMSG);
  g_autoptr(VtIo) few = harness_memory("few", 3 * THIN_METADATA_BLOCK, NULL);
  options = (ThinOptions){.read_only = TRUE};
  assert_fails(thin_pool_open(few, h.data, &options, &error), ENOSPC);
  assert_true(thin_pool_close(NULL, NULL));
  g_free(long_key);
  close(fd);
  harness_close(&h);
}

/* Whoever asks is told, whatever he asks for. A journal is of no use then. */
static void test_read_only(void **state)
{
  Harness h;
  char buf[512] = "x", journal[THIN_JOURNAL_MIN] = {0};

  harness_open(&h, N_CHUNKS, MIB, NULL);
  harness_create(&h, 1);
  ThinVolume *v = harness_volume(&h, 1, SIZE);
  MUST(thin_volume_write(v, buf, 512, 0, &error));
  thin_volume_close(v);
  v = NULL;
  MUST(v = thin_volume_open(h.pool, 1, SIZE, TRUE, &error));
  for (guint i = 0; i < 2; i++) {
    assert_fails(thin_volume_write(v, buf, 512, 0, &error), EROFS);
    assert_fails(thin_volume_zero(v, 0, 512, TRUE, &error), EROFS);
    assert_fails(thin_volume_discard(v, 0, CHUNK, &error), EROFS);
    assert_fails(thin_volume_back(v, 0, CHUNK, &error), EROFS);
    assert_fails(thin_volume_resize(v, 512, &error), EROFS);
    MUST(thin_volume_read(v, buf, 512, 0, &error));
    MUST(thin_volume_flush(v, &error));
    thin_volume_close(v);
    if (i)
      break;
    h.options.read_only = TRUE;
    h.options.journal = journal;
    h.options.journal_size = sizeof journal;
    h.options.journal_key = "pool";
    harness_reopen(&h);
    assert_null(h.pool->journal);
    MUST(v = thin_volume_open(h.pool, 1, SIZE, FALSE, &error));
  }
  assert_fails(thin_pool_grow(h.pool, &error), EROFS);
  assert_fails(thin_pool_reserve_metadata_snapshot(h.pool, &error), EROFS);
  assert_fails(thin_pool_release_metadata_snapshot(h.pool, &error), EROFS);
  assert_fails(harness_message(&h, THIN_CREATE, 2, 0, &error), EROFS);
  MUST(thin_pool_commit(h.pool, &error));
  harness_close(&h);
}

/* --- what is many, and what is full ------------------------------------------------- */

/* More runs than are gathered at once, each between two chunks that stay. */
static void test_many_runs(void **state)
{
  const guint64 n = THIN_FREED_RUNS + 100;
  Harness h;
  struct stat before, after;

  harness_open(&h, 2 * n + 10, 8 * MIB, &(ThinOptions){.discards = THIN_DISCARD_PASSDOWN});
  harness_create(&h, 1);
  harness_create(&h, 2);
  ThinVolume *goes = harness_volume(&h, 1, n * CHUNK), *stays = harness_volume(&h, 2, n * CHUNK);
  for (guint64 i = 0; i < n; i++) {
    MUST(thin_volume_write(goes, "x", 1, i * CHUNK, &error));
    MUST(thin_volume_write(stays, "y", 1, i * CHUNK, &error));
  }
  MUST(thin_pool_commit(h.pool, &error));
  assert_int_equal(fstat(h.data_fd, &before), 0);
  thin_volume_close(goes);
  harness_delete(&h, 1);
  MUST(thin_pool_commit(h.pool, &error));
  assert_int_equal(fstat(h.data_fd, &after), 0);
  assert_int_equal(after.st_blocks, before.st_blocks / 2);
  for (guint64 i = 0; i < n; i += 97)
    harness_expect(stays, i * CHUNK + 1, 1, 0);
  thin_volume_close(stays);
  harness_close(&h);
}

/* Metadata that is full keeps a pool from taking a larger device into use, not from opening. */
static void test_larger_without_room(void **state)
{
  Harness h;
  ThinStatus status = {0};
  guint32 n = 0;

  harness_open(&h, N_CHUNKS, 60 * THIN_METADATA_BLOCK, NULL);
  while (harness_message(&h, THIN_CREATE, n, 0, NULL))
    n++;
  MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
  vt_io_unref(h.data);
  close(h.data_fd);
  h.data = harness_memory("larger", 500000 * CHUNK, &h.data_fd);
  g_test_expect_message("virt-thin", G_LOG_LEVEL_WARNING, "*cannot take the larger device*");
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  g_test_assert_expected_messages();
  thin_pool_get_status(h.pool, &status);
  assert_int_equal(status.data_size, N_CHUNKS * CHUNK);
  for (guint32 i = 0; i < n; i++)
    harness_delete(&h, i);
  MUST(thin_pool_grow(h.pool, &error));
  thin_pool_get_status(h.pool, &status);
  assert_int_equal(status.data_size, 500000 * CHUNK);
  harness_close(&h);
}

/* The format tells 2^24 snapshots apart. */
static void test_last_snapshot(void **state)
{
  union {
    guint8 block[THIN_METADATA_BLOCK];
    ThinDiskSuperblock superblock;
  } u;
  Harness h;

  harness_open(&h, N_CHUNKS, MIB, NULL);
  harness_create(&h, 1);
  MUST(thin_pool_close(g_steal_pointer(&h.pool), &error));
  MUST(thin_superblock_read(h.metadata, 0, u.block, &error));
  u.superblock.time = GUINT32_TO_LE(THIN_MAPPING_TIME_MAX - 1);
  thin_block_seal(u.block, 0, THIN_KIND_SUPERBLOCK);
  MUST(vt_io_write(h.metadata, u.block, sizeof u.block, 0, &error));
  MUST(h.pool = thin_pool_open(h.metadata, h.data, &h.options, &error));
  harness_snapshot(&h, 2, 1);
  assert_fails(harness_message(&h, THIN_SNAPSHOT, 3, 1, &error), ENOSPC);
  harness_create(&h, 3);
  harness_close(&h);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_passing_discards_down),
      cmocka_unit_test(test_ignoring_discards),
      cmocka_unit_test(test_without_zeroing),
      cmocka_unit_test(test_with_a_journal),
      cmocka_unit_test(test_large_chunks),
      cmocka_unit_test(test_full_journal),
      cmocka_unit_test(test_death),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_read_only),
      cmocka_unit_test(test_many_runs),
      cmocka_unit_test(test_larger_without_room),
      cmocka_unit_test(test_last_snapshot),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
