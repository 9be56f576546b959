/* virt-thin - the NBD server tells what has changed since a snapshot, as QEMU tells a dirty bitmap
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nbd-client.h"
#include "pool/snapshots.h"

#define SINCE(name) "qemu:dirty-bitmap:since-" name
#define QUERIES(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define BIG_CHUNKS 1024u /* of volume "big" */

static int setup(void **state)
{
  alarm(100);
  *state = served_new();
  return 0;
}

static int teardown(void **state)
{
  served_free(*state);
  return 0;
}

/* --- which snapshots --- */

static void add_info(GPtrArray *volumes, const char *name, const char *of, const char *snapshot,
                     guint32 device)
{
  PoolVolumeInfo *info = g_new0(PoolVolumeInfo, 1);
  info->name = g_strdup(name);
  info->pool = g_strdup("data");
  info->snapshot_of = g_strdup(of);
  info->snapshot_name = g_strdup(snapshot);
  info->device_id = device;
  info->read_only = of != NULL;
  g_ptr_array_add(volumes, info);
}

static char *names_before(GPtrArray *volumes, guint i)
{
  g_autoptr(GPtrArray) found = pool_snapshots_before(volumes, volumes->pdata[i]);
  GString *names = g_string_new(NULL);
  for (guint n = 0; n < found->len; n++)
    g_string_append_printf(names, "%s ", ((PoolVolumeInfo *)found->pdata[n])->snapshot_name);
  return g_string_free(names, FALSE);
}

static void assert_before(GPtrArray *volumes, guint i, const char *expected)
{
  g_autofree char *names = names_before(volumes, i);
  g_assert_cmpstr(names, ==, expected);
}

static void test_order(void **state)
{
  g_autoptr(GPtrArray) volumes =
      g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
  add_info(volumes, "vol", NULL, NULL, 1);
  add_info(volumes, "snap_vol_c", "vol", "c", 7); /* in no order, and all of one second */
  add_info(volumes, "snap_vol_a", "vol", "a", 2);
  add_info(volumes, "snap_vol_b", "vol", "b", 4);
  add_info(volumes, "snap_other_x", "other", "x", 3);
  add_info(volumes, "snap_vol_w", "vol", "w", 5);
  ((PoolVolumeInfo *)volumes->pdata[5])->read_only = FALSE; /* may have been written to since */
  add_info(volumes, "snap_vol_p", "vol", "p", 6);
  g_free(((PoolVolumeInfo *)volumes->pdata[6])->pool);
  ((PoolVolumeInfo *)volumes->pdata[6])->pool = g_strdup("another");
  assert_before(volumes, 0, "a b c ");
  assert_before(volumes, 1, "a b ");
  assert_before(volumes, 2, "");
  assert_before(volumes, 3, "a ");
  assert_before(volumes, 4, "");
  assert_before(volumes, 5, "a b ");
  assert_before(volumes, 6, "");

  add_info(volumes, "b", "vol", "b", 8); /* lvm2's, with a name of ours */
  assert_before(volumes, 0, "a c ");
  assert_before(volumes, 1, "a b ");

  ((PoolVolumeInfo *)volumes->pdata[0])->kind = POOL_VOLUME_LINEAR;
  assert_before(volumes, 0, "");
}

/* --- negotiation --- */

/* The names in the answer to a context option, each with a blank behind it; @ids those that were
 * given, in that order. */
static char *ask(int fd, guint32 option, const char *name, const char *const *queries, guint32 *ids)
{
  g_autoptr(GByteArray) data = client_context_data(name, queries);
  GString *names = g_string_new(NULL);
  client_option(fd, option, data->data, data->len);
  for (guint n = 0;; n++) {
    g_autoptr(GByteArray) reply = NULL;
    guint32 type = client_option_reply(fd, option, &reply), id;
    if (type == NBD_REP_ACK)
      return g_string_free(names, FALSE);
    g_assert_cmphex(type, ==, NBD_REP_META_CONTEXT);
    memcpy(&id, reply->data, sizeof id);
    if (ids)
      ids[n] = GUINT32_FROM_BE(id);
    else
      g_assert_cmpuint(id, ==, 0);
    g_string_append_len(names, (char *)reply->data + 4, reply->len - 4);
    g_string_append_c(names, ' ');
  }
}

static void assert_asked(int fd, guint32 option, const char *name, const char *const *queries,
                         const char *expected)
{
  guint32 ids[8] = {0};
  g_autofree char *names =
      ask(fd, option, name, queries, option == NBD_OPT_SET_META_CONTEXT ? ids : NULL);
  g_assert_cmpstr(names, ==, expected);
  for (guint i = 1; i < G_N_ELEMENTS(ids); i++)
    g_assert_true(ids[i] == 0 || ids[i] != ids[i - 1]);
}

static int structured(Served *served)
{
  int fd = client_hello(served);
  client_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_STRUCTURED_REPLY, NULL), ==, NBD_REP_ACK);
  return fd;
}

static void test_queries(void **state)
{
  Served *served = *state;
  guint32 list = NBD_OPT_LIST_META_CONTEXT, set = NBD_OPT_SET_META_CONTEXT;
  memory_pool_snapshot(served->pool, "vol", "a");
  memory_pool_snapshot(served->pool, "vol", "b");
  int fd = structured(served);
#define BOTH SINCE("a") " " SINCE("b") " "
  assert_asked(fd, list, "vol", QUERIES(), "base:allocation " BOTH);
  assert_asked(fd, list, "vol", QUERIES("qemu:"), BOTH);
  assert_asked(fd, list, "vol", QUERIES("qemu:dirty-bitmap:"), BOTH);
  assert_asked(fd, list, "vol", QUERIES("base:", "qemu:"), "base:allocation " BOTH);
  assert_asked(fd, list, "vol", QUERIES("base:"), "base:allocation ");
  assert_asked(fd, list, "vol", QUERIES(SINCE("b")), SINCE("b") " ");
  assert_asked(fd, list, "vol", QUERIES(SINCE("b"), SINCE("b"), "qemu:"), BOTH);
  /* What is no name, nor one of the two that stand for many. */
  assert_asked(fd, list, "vol",
               QUERIES(SINCE(""), SINCE("ab"), "qemu:dirty", "qemu:dirty-bitmap:since",
                       "qemu:dirty-bitmap:a", "qemu:allocation-depth", "QEMU:", ":"),
               "");
  assert_asked(fd, list, "snap_vol_b", QUERIES("qemu:"), SINCE("a") " ");
  assert_asked(fd, list, "snap_vol_a", QUERIES("qemu:"), "");
  assert_asked(fd, list, "other", QUERIES("qemu:"), "");

  assert_asked(fd, set, "vol", QUERIES("qemu:"), "");
  assert_asked(fd, set, "vol", QUERIES("qemu:dirty-bitmap:", "base:"), "");
  assert_asked(fd, set, "vol", QUERIES(SINCE("b"), "base:allocation", SINCE("a"), SINCE("a")),
               "base:allocation " BOTH);
  assert_asked(fd, set, "snap_vol_a", QUERIES(SINCE("b")), "");
  close(fd);
}

static void test_bad_queries(void **state)
{
  Served *served = *state;
  memory_pool_snapshot(served->pool, "vol", "a");
  int fd = client_hello(served);
  static const guint32 options[] = {NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT};
  for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
    g_autoptr(GByteArray) data = client_context_data("vol", QUERIES(SINCE("a")));
    client_option(fd, options[i], data->data, data->len); /* not before structured replies */
    g_assert_cmphex(client_option_reply(fd, options[i], NULL), ==, NBD_REP_ERR_INVALID);
  }
  client_option(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0);
  client_option_reply(fd, NBD_OPT_STRUCTURED_REPLY, NULL);
  g_autofree char *longest = g_strnfill(4096, 'x'), *too_long = g_strnfill(4097, 'x');
  memcpy(longest, "qemu:dirty-bitmap:since-", 24);
  memcpy(too_long, "qemu:dirty-bitmap:since-", 24);
  assert_asked(fd, NBD_OPT_LIST_META_CONTEXT, "vol", QUERIES(longest), "");
  const char *const bad[] = {too_long, "qemu", "qemu:\xff", ""};
  for (guint i = 0; i < 2 * G_N_ELEMENTS(bad); i++) {
    g_autoptr(GByteArray) data = client_context_data("vol", QUERIES(bad[i / 2]));
    client_option(fd, options[i % 2], data->data, data->len);
    g_assert_cmphex(client_option_reply(fd, options[i % 2], NULL), ==, NBD_REP_ERR_INVALID);
  }
  close(fd);
}

/* --- block status --- */

/* A connection to @name with @queries set; *ids: those of the answer, in its order. */
static int go_with(Served *served, const char *name, const char *const *queries, guint32 *ids)
{
  int fd = structured(served);
  g_autofree char *names = ask(fd, NBD_OPT_SET_META_CONTEXT, name, queries, ids);
  g_autoptr(GByteArray) data = client_info_data(name, NULL);
  client_option(fd, NBD_OPT_GO, data->data, data->len);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_INFO);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_ACK);
  return fd;
}

/* The next chunk of an answer to a request for block status: descriptors in the processor's byte
 * order, their number; or 0, and *error. */
static guint next_status(int fd, guint32 *id, gboolean *done, NbdDescriptor *descriptors,
                         guint32 *error)
{
  NbdChunk chunk;
  client_receive(fd, &chunk, sizeof chunk);
  g_assert_cmphex(GUINT32_FROM_BE(chunk.magic), ==, NBD_STRUCTURED_REPLY_MAGIC);
  *done = GUINT16_FROM_BE(chunk.flags) & NBD_REPLY_FLAG_DONE;
  guint32 length = GUINT32_FROM_BE(chunk.length);
  g_autofree guint8 *data = g_malloc(length);
  client_receive(fd, data, length);
  guint32 first;
  memcpy(&first, data, sizeof first);
  first = GUINT32_FROM_BE(first);
  if (GUINT16_FROM_BE(chunk.type) == NBD_REPLY_TYPE_ERROR) {
    g_assert_true(*done);
    *error = first;
    return 0;
  }
  g_assert_cmpint(GUINT16_FROM_BE(chunk.type), ==, NBD_REPLY_TYPE_BLOCK_STATUS);
  *id = first;
  guint n = (length - 4) / sizeof *descriptors;
  memcpy(descriptors, data + 4, n * sizeof *descriptors);
  for (guint i = 0; i < n; i++) {
    descriptors[i].length = GUINT32_FROM_BE(descriptors[i].length);
    descriptors[i].flags = GUINT32_FROM_BE(descriptors[i].flags);
  }
  return n;
}

#define DESCRIPTORS_MAX 8192u

/* One context's status of a range: into @flags, one for each chunk, as far as it was told; how far.
 * 0: *error. */
static guint64 get_status(int fd, guint16 request_flags, guint64 offset, guint32 length,
                          guint8 *flags, guint32 *error)
{
  g_autofree NbdDescriptor *descriptors = g_new(NbdDescriptor, DESCRIPTORS_MAX);
  guint32 id;
  gboolean done;
  client_request(fd, request_flags, NBD_CMD_BLOCK_STATUS, 1, offset, length);
  guint n = next_status(fd, &id, &done, descriptors, error);
  guint64 at = offset;
  g_assert_true(done);
  g_assert_true(!(request_flags & NBD_CMD_FLAG_REQ_ONE) || n <= 1);
  for (guint i = 0; i < n; at += descriptors[i].length, i++) {
    g_assert_cmpuint(descriptors[i].length, >, 0);
    g_assert_true(i == 0 || descriptors[i].flags != descriptors[i - 1].flags);
    for (guint64 c = at / MEMORY_CHUNK; c <= (at + descriptors[i].length - 1) / MEMORY_CHUNK; c++)
      flags[c] = descriptors[i].flags;
  }
  g_assert_cmpuint(at, <=, offset + length);
  return at - offset;
}

static void write_chunk(int fd, guint chunk, guint8 value)
{
  g_autofree guint8 *data = g_malloc(MEMORY_CHUNK);
  memset(data, value, MEMORY_CHUNK);
  g_assert_cmpuint(client_write(fd, 0, (guint64)chunk * MEMORY_CHUNK, data, MEMORY_CHUNK), ==, 0);
}

/* "big" with snapshots: chunks 0 (mod 4) are in both, 1 changed, 2 discarded, 3 new in b, for those
 * that are below @n. */
static void make_history(Served *served, guint n)
{
  int fd = client_go(served, "big", FALSE, FALSE);
  for (guint i = 0; i < n; i++)
    if (i % 4 != 3)
      write_chunk(fd, i, 1);
  memory_pool_snapshot(served->pool, "big", "a");
  for (guint i = 0; i < n; i++)
    if (i % 4 == 2)
      client_call(fd, 0, NBD_CMD_TRIM, (guint64)i * MEMORY_CHUNK, MEMORY_CHUNK);
    else if (i % 4)
      write_chunk(fd, i, 2);
  memory_pool_snapshot(served->pool, "big", "b");
  close(fd);
}

/* Asked in steps of any size, with and without REQ_ONE, the same. */
static void test_bits(void **state)
{
  Served *served = *state;
  static const guint32 steps[] = {64 << 20, 1 << 20, 100000, MEMORY_CHUNK};
  make_history(served, BIG_CHUNKS - 10);
  for (guint i = 0; i < 2 * G_N_ELEMENTS(steps); i++) {
    const char *export = i % 2 ? "snap_big_b" : "big"; /* kept pages, and none */
    int fd = go_with(served, export, QUERIES(SINCE("a")), (guint32[1]){0});
    guint8 flags[BIG_CHUNKS];
    memset(flags, 0xff, sizeof flags);
    guint64 offset = 0, end = 64 << 20, n;
    for (; offset < end; offset += n) {
      guint32 error;
      n = get_status(fd, i & 4 ? NBD_CMD_FLAG_REQ_ONE : 0, offset, MIN(steps[i / 2], end - offset),
                     flags, &error);
      g_assert_cmpuint(n, >, 0);
    }
    for (guint c = 0; c < BIG_CHUNKS; c++)
      g_assert_cmphex(flags[c], ==, c % 4 && c < BIG_CHUNKS - 10 ? NBD_STATE_DIRTY : 0);
    close(fd);
  }
}

/* What it costs follows what is asked for. */
static void test_cost(void **state)
{
  Served *served = *state;
  guint8 flags[BIG_CHUNKS];
  guint32 error;
  make_history(served, BIG_CHUNKS);
  int fd = go_with(served, "snap_big_b", QUERIES(SINCE("a")), (guint32[1]){0});
  for (guint i = 0; i < BIG_CHUNKS; i++)
    g_assert_cmpuint(get_status(fd, 0, (guint64)i * MEMORY_CHUNK, MEMORY_CHUNK, flags, &error), ==,
                     MEMORY_CHUNK);
  /* 256 groups of three runs (changed, gone, new): 768 in pages of 128, 256, 512. */
  g_assert_cmpuint(memory_pool_count(served->pool, MEMORY_DELTA), <=, 4);
  close(fd);
}

/* Many at once, of several threads, from pages that come and go. */
static void test_at_once(void **state)
{
  Served *served = *state;
  make_history(served, BIG_CHUNKS);
  for (guint round = 0; round < 2; round++) {
    int fd = go_with(served, round ? "big" : "snap_big_b", QUERIES(SINCE("a")), (guint32[1]){0});
    memory_pool_delay(served->pool, MEMORY_DELTA, 100);
    for (guint i = 0; i < BIG_CHUNKS / 4; i++)
      client_request(fd, 0, NBD_CMD_BLOCK_STATUS, i,
                     (guint64)(i * 97 % (BIG_CHUNKS / 4)) * 4 * MEMORY_CHUNK, 4 * MEMORY_CHUNK);
    for (guint i = 0; i < BIG_CHUNKS / 4; i++) {
      NbdDescriptor descriptors[64];
      guint32 id, error = 0;
      gboolean done;
      g_assert_cmpuint(next_status(fd, &id, &done, descriptors, &error), ==, 2);
      g_assert_cmphex(descriptors[0].flags, ==, 0);
      g_assert_cmpuint(descriptors[0].length, ==, MEMORY_CHUNK);
      g_assert_cmpuint(descriptors[1].length, ==, 3 * MEMORY_CHUNK);
    }
    close(fd);
  }
}

static void test_several_contexts(void **state)
{
  Served *served = *state;
  guint32 ids[4] = {0}, error = 0, id;
  NbdDescriptor descriptors[64];
  gboolean done;
  make_history(served, 8);
  int fd =
      go_with(served, "snap_big_b", QUERIES(SINCE("a"), "base:allocation", SINCE("none")), ids);
  g_assert_cmpuint(ids[2], ==, 0);
  client_request(fd, 0, NBD_CMD_BLOCK_STATUS, 5, 0, 8 * MEMORY_CHUNK);
  guint n = next_status(fd, &id, &done, descriptors, &error);
  g_assert_cmpuint(id, ==, ids[0]); /* data of two, hole, data of three, hole, data */
  g_assert_false(done);
  g_assert_cmpuint(n, ==, 5);
  n = next_status(fd, &id, &done, descriptors, &error);
  g_assert_cmpuint(id, ==, ids[1]); /* clean, dirty of three, clean, dirty of three */
  g_assert_true(done);
  g_assert_cmpuint(n, ==, 4);
  g_assert_cmpuint(descriptors[1].length, ==, 3 * MEMORY_CHUNK);
  g_assert_cmphex(descriptors[1].flags, ==, NBD_STATE_DIRTY);
  /* One descriptor of each. */
  client_request(fd, NBD_CMD_FLAG_REQ_ONE, NBD_CMD_BLOCK_STATUS, 6, 0, 8 * MEMORY_CHUNK);
  g_assert_cmpuint(next_status(fd, &id, &done, descriptors, &error), ==, 1);
  g_assert_cmpuint(descriptors[0].length, ==, 2 * MEMORY_CHUNK);
  g_assert_cmpuint(next_status(fd, &id, &done, descriptors, &error), ==, 1);
  g_assert_cmpuint(descriptors[0].length, ==, MEMORY_CHUNK);
  close(fd);
  /* An error of the second behind the answer of the first. */
  fd = go_with(served, "snap_big_b", QUERIES(SINCE("a"), "base:allocation"), ids);
  memory_pool_fail(served->pool, MEMORY_DELTA, EIO);
  client_request(fd, 0, NBD_CMD_BLOCK_STATUS, 7, 0, MEMORY_CHUNK);
  g_assert_cmpuint(next_status(fd, &id, &done, descriptors, &error), ==, 1);
  g_assert_false(done);
  g_assert_cmpuint(next_status(fd, &id, &done, descriptors, &error), ==, 0);
  g_assert_cmpuint(error, ==, NBD_EIO);
  close(fd);
}

/* What is written before a request shows in its answer. */
static void test_live(void **state)
{
  Served *served = *state;
  guint8 flags[BIG_CHUNKS];
  guint32 error;
  memory_pool_snapshot(served->pool, "big", "a");
  int fd = go_with(served, "big", QUERIES(SINCE("a")), (guint32[1]){0});
  for (guint i = 0; i < 20; i++) {
    memset(flags, 0xff, sizeof flags);
    g_assert_cmpuint(get_status(fd, 0, 0, 64 << 20, flags, &error), ==, 64 << 20);
    for (guint c = 0; c < BIG_CHUNKS; c++)
      g_assert_cmphex(flags[c], ==, c / 10 < i && c % 10 == 0 ? NBD_STATE_DIRTY : 0);
    write_chunk(fd, i * 10, 3);
  }
  close(fd);
}

/* --- the snapshot goes --- */

static guint32 status_error(int fd, guint64 offset)
{
  guint8 flags[BIG_CHUNKS];
  guint32 error = 0;
  get_status(fd, 0, offset, MEMORY_CHUNK, flags, &error);
  return error;
}

static void test_removed(void **state)
{
  Served *served = *state;
  make_history(served, BIG_CHUNKS);
  int fd = go_with(served, "snap_big_b", QUERIES(SINCE("a")), (guint32[1]){0});
  g_assert_cmpuint(status_error(fd, 0), ==, 0);
  memory_pool_remove(served->pool, "snap_big_a");
  g_assert_cmpuint(status_error(fd, 63 << 20), ==, NBD_EIO);
  /* Another of its name. */
  memory_pool_snapshot(served->pool, "big", "a");
  g_assert_cmpuint(status_error(fd, 63 << 20), ==, NBD_EIO);
  g_assert_cmpuint(status_error(fd, 0), ==, NBD_EIO);
  /* All else goes on. */
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  close(fd);
}

/* Between the choice of the context and that of the export, too. */
static void test_replaced_early(void **state)
{
  Served *served = *state;
  make_history(served, 8);
  int fd = structured(served);
  assert_asked(fd, NBD_OPT_SET_META_CONTEXT, "big", QUERIES(SINCE("a")), SINCE("a") " ");
  memory_pool_remove(served->pool, "snap_big_a");
  memory_pool_snapshot(served->pool, "big", "a");
  g_autoptr(GByteArray) data = client_info_data("big", NULL);
  client_option(fd, NBD_OPT_GO, data->data, data->len);
  client_option_reply(fd, NBD_OPT_GO, NULL);
  client_option_reply(fd, NBD_OPT_GO, NULL);
  g_assert_cmpuint(status_error(fd, 0), ==, NBD_EIO);
  close(fd);
}

static void test_made_writable(void **state)
{
  Served *served = *state;
  make_history(served, BIG_CHUNKS);
  int fd = go_with(served, "snap_big_b", QUERIES(SINCE("a")), (guint32[1]){0});
  g_assert_cmpuint(status_error(fd, 0), ==, 0);
  memory_pool_make_writable(served->pool, "snap_big_a");
  g_assert_cmpuint(status_error(fd, 63 << 20), ==, NBD_EIO);
  close(fd);
}

/* The pool fails: an error, and right again. */
static void test_pool_fails(void **state)
{
  Served *served = *state;
  make_history(served, BIG_CHUNKS);
  int fd = go_with(served, "snap_big_b", QUERIES(SINCE("a")), (guint32[1]){0});
  memory_pool_fail(served->pool, MEMORY_DELTA, EBADMSG);
  g_assert_cmpuint(status_error(fd, 0), ==, NBD_EIO);
  memory_pool_fail(served->pool, MEMORY_DELTA, 0);
  g_assert_cmpuint(status_error(fd, 0), ==, 0);
  close(fd);
}

/* --- only some volumes are exports --- */

static void test_some_exports(void **state)
{
  Served *served = served_new_with(&(NbdServerOptions){
      .exports = (const char *const[]){"snap_vol_a", "other", NULL}, .read_only = TRUE});
  memory_pool_snapshot(served->pool, "vol", "a");
  int fd = client_hello(served);
  client_option(fd, NBD_OPT_LIST, NULL, 0);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_LIST, NULL), ==, NBD_REP_SERVER);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_LIST, NULL), ==, NBD_REP_SERVER);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_LIST, NULL), ==, NBD_REP_ACK);
  g_autoptr(GByteArray) data = client_info_data("vol", NULL);
  client_option(fd, NBD_OPT_GO, data->data, data->len);
  g_assert_cmphex(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_ERR_UNKNOWN);
  close(fd);
  fd = client_go(served, "other", FALSE, FALSE);
  g_assert_cmpuint(client_write(fd, 0, 0, "x", 1), ==, NBD_EPERM);
  close(fd);
  served_free(served);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order),
      cmocka_unit_test_setup_teardown(test_queries, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bad_queries, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bits, setup, teardown),
      cmocka_unit_test_setup_teardown(test_cost, setup, teardown),
      cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
      cmocka_unit_test_setup_teardown(test_several_contexts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_live, setup, teardown),
      cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
      cmocka_unit_test_setup_teardown(test_replaced_early, setup, teardown),
      cmocka_unit_test_setup_teardown(test_made_writable, setup, teardown),
      cmocka_unit_test_setup_teardown(test_pool_fails, setup, teardown),
      cmocka_unit_test(test_some_exports),
  };
  return cmocka_run_group_tests_name("nbd-since", tests, NULL, NULL);
}
