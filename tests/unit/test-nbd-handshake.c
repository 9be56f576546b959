/* virt-thin - the NBD server's handshake, byte by byte
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "nbd-client.h"

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

/* Send an option whose only reply is @type. */
static void expect(int fd, guint32 option, const void *data, guint32 length, guint32 type)
{
  client_option(fd, option, data, length);
  g_assert_cmphex(client_option_reply(fd, option, NULL), ==, type);
}

static void expect_array(int fd, guint32 option, GByteArray *data, guint32 type)
{
  expect(fd, option, data->data, data->len, type);
  g_byte_array_unref(data);
}

static void test_client_flags(void **state)
{
  static const guint32 bad[] = {0, NBD_FLAG_NO_ZEROES, 4 | NBD_FLAG_FIXED_NEWSTYLE, 0xffffffff};
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    int fd = client_new(*state);
    NbdGreeting greeting;
    client_receive(fd, &greeting, sizeof greeting);
    guint32 flags = GUINT32_TO_BE(bad[i]);
    client_send(fd, &flags, sizeof flags);
    assert_closed(fd);
  }
}

static void test_garbage(void **state)
{
  int fd = client_hello(*state);
  client_send(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
  assert_closed(fd);

  /* Hang-ups at every byte of an option. */
  NbdOption header = {GUINT64_TO_BE(NBD_OPTION_MAGIC), GUINT32_TO_BE(NBD_OPT_GO),
                      GUINT32_TO_BE(100)};
  for (gsize n = 0; n <= sizeof header; n++) {
    fd = client_hello(*state);
    client_send(fd, &header, n);
    close(fd);
  }
}

static void test_unknown_option(void **state)
{
  int fd = client_hello(*state);
  expect(fd, 11, NULL, 0, NBD_REP_ERR_UNSUP); /* extended headers */
  expect(fd, 4, "xyz", 3, NBD_REP_ERR_UNSUP);
  expect(fd, 0xdeadbeef, "0123456789", 10, NBD_REP_ERR_UNSUP);
  expect(fd, NBD_OPT_STARTTLS, NULL, 0, NBD_REP_ERR_POLICY);
  expect(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0, NBD_REP_ACK);
  close(fd);
}

static void test_long_options(void **state)
{
  int fd = client_hello(*state);
  g_autofree char *data = g_malloc0(8 << 20);
  expect(fd, NBD_OPT_GO, data, 65537, NBD_REP_ERR_TOO_BIG);
  expect(fd, 77, data, 8 << 20, NBD_REP_ERR_TOO_BIG);
  expect(fd, NBD_OPT_LIST, "x", 1, NBD_REP_ERR_INVALID);
  client_option(fd, NBD_OPT_INFO, NULL, 0xffffffff);
  assert_closed(fd);

  fd = client_hello(*state);
  client_option(fd, NBD_OPT_EXPORT_NAME, NULL, 65537);
  assert_closed(fd);
}

static void test_abort(void **state)
{
  int fd = client_hello(*state);
  expect(fd, NBD_OPT_ABORT, "ignored", 7, NBD_REP_ACK);
  assert_closed(fd);
}

static void test_list(void **state)
{
  int fd = client_hello(*state);
  static const char *const names[] = {"vol", "other", "ro", "big"};
  client_option(fd, NBD_OPT_LIST, NULL, 0);
  for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autoptr(GByteArray) data = NULL;
    g_assert_cmpuint(client_option_reply(fd, NBD_OPT_LIST, &data), ==, NBD_REP_SERVER);
    guint32 length = GUINT32_FROM_BE(*(guint32 *)data->data);
    g_assert_cmpuint(length, ==, strlen(names[i]));
    g_assert_cmpmem(data->data + 4, length, names[i], strlen(names[i]));
    g_autofree char *text = g_strndup((char *)data->data + 4 + length, data->len - 4 - length);
    g_assert_nonnull(strstr(text, "thin volume in mem/data"));
    g_assert_cmpint(strstr(text, "read-only") != NULL, ==, i == 2);
  }
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_LIST, NULL), ==, NBD_REP_ACK);
  close(fd);
}

static void test_empty_list(void **state)
{
  Served empty = {memory_pool_new(), NULL};
  g_autoptr(GError) error = NULL;
  empty.server = nbd_server_start_fd(empty.pool, -1, NULL, &error);
  g_assert_no_error(error);
  int fd = client_hello(&empty);
  expect(fd, NBD_OPT_LIST, NULL, 0, NBD_REP_ACK);
  expect_array(fd, NBD_OPT_GO, client_info_data("", NULL), NBD_REP_ERR_UNKNOWN);
  close(fd);
  nbd_server_stop(empty.server, 1000);
  pool_unref(empty.pool);
}

/* Sends INFO and checks each reply by kind; returns how many there were before the ACK. */
static guint collect_info(int fd, guint32 option, const char *name, const int *infos, guint64 *size,
                          guint16 *flags, guint32 sizes[3], char **texts)
{
  g_autoptr(GByteArray) query = client_info_data(name, infos);
  client_option(fd, option, query->data, query->len);
  for (guint n = 0;; n++) {
    g_autoptr(GByteArray) data = NULL;
    guint32 type = client_option_reply(fd, option, &data);
    if (type == NBD_REP_ACK)
      return n;
    g_assert_cmpuint(type, ==, NBD_REP_INFO);
    guint16 kind = data->data[0] << 8 | data->data[1];
    if (kind == NBD_INFO_EXPORT) {
      NbdInfoExport *export = (NbdInfoExport *)data->data;
      g_assert_cmpuint(data->len, ==, sizeof *export);
      *size = GUINT64_FROM_BE(export->size);
      *flags = GUINT16_FROM_BE(export->flags);
    } else if (kind == NBD_INFO_BLOCK_SIZE) {
      NbdInfoBlockSize *block = (NbdInfoBlockSize *)data->data;
      g_assert_cmpuint(data->len, ==, sizeof *block);
      sizes[0] = GUINT32_FROM_BE(block->minimum);
      sizes[1] = GUINT32_FROM_BE(block->preferred);
      sizes[2] = GUINT32_FROM_BE(block->maximum);
    } else
      texts[kind] = g_strndup((char *)data->data + 2, data->len - 2);
  }
}

static void test_info(void **state)
{
  Served *served = *state;
  int fd = client_hello(served);
  guint64 size = 0;
  guint16 flags = 0;
  guint32 sizes[3] = {0};
  char *texts[4] = {NULL};
  g_assert_cmpuint(collect_info(fd, NBD_OPT_INFO, "vol", NULL, &size, &flags, sizes, texts), ==, 1);
  g_assert_cmpuint(size, ==, 8 << 20);
  g_assert_cmphex(flags, ==,
                  0xd6d); /* has-flags flush fua trim write-zeroes multi-conn cache fast-zero */
  /* Asked for everything, and for what there is not. */
  g_assert_cmpuint(collect_info(fd, NBD_OPT_INFO, "vol", (int[]){3, 1, 2, 4711, 0, -1}, &size,
                                &flags, sizes, texts),
                   ==, 4);
  g_assert_cmpuint(sizes[0], ==, 1);
  g_assert_cmpuint(sizes[1], ==, MEMORY_CHUNK);
  g_assert_cmpuint(sizes[2], ==, 32 << 20);
  g_assert_cmpstr(texts[1], ==, "vol");
  g_assert_nonnull(strstr(texts[2], "thin volume in mem/data"));
  g_free(texts[1]);
  g_free(texts[2]);
  /* To look is not to use. */
  g_assert_cmpuint(memory_pool_opens(served->pool, "vol", NULL), ==, 0);
  g_assert_cmpuint(memory_pool_views(served->pool, "vol"), ==, 0);

  g_assert_cmpuint(collect_info(fd, NBD_OPT_INFO, "ro", NULL, &size, &flags, sizes, texts), ==, 1);
  g_assert_cmphex(flags, ==, 0x50f);
  expect(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0, NBD_REP_ACK);
  g_assert_cmpuint(collect_info(fd, NBD_OPT_GO, "ro", NULL, &size, &flags, sizes, texts), ==, 1);
  g_assert_cmphex(flags, ==, 0x50f | NBD_FLAG_SEND_DF);
  close(fd);
}

static void test_bad_names(void **state)
{
  int fd = client_hello(*state);
  static const guint32 options[] = {NBD_OPT_INFO, NBD_OPT_GO};
  g_autofree char *longest = g_strnfill(4096, 'x'), *too_long = g_strnfill(4097, 'x');
  for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
    guint32 option = options[i];
    expect_array(fd, option, client_info_data("nothing", NULL), NBD_REP_ERR_UNKNOWN);
    expect_array(fd, option, client_info_data("", NULL), NBD_REP_ERR_UNKNOWN);
    expect_array(fd, option, client_info_data("../vol", NULL), NBD_REP_ERR_UNKNOWN);
    expect_array(fd, option, client_info_data(longest, NULL), NBD_REP_ERR_UNKNOWN);
    expect_array(fd, option, client_info_data(too_long, NULL), NBD_REP_ERR_INVALID);
    expect_array(fd, option, client_info_data("\xff\xfe", NULL), NBD_REP_ERR_INVALID);
    expect(fd, option, "\0\0\0\x04vol\0\0\0", 10, NBD_REP_ERR_INVALID); /* NUL in the name */
    expect(fd, option, "", 0, NBD_REP_ERR_INVALID);                     /* nothing at all */
    expect(fd, option, "\0\0\0\x03vol", 7, NBD_REP_ERR_INVALID);        /* no number of requests */
    expect(fd, option, "\0\0\0\x03vol\0\x01", 9, NBD_REP_ERR_INVALID);  /* one request promised */
    expect(fd, option, "\0\0\0\x03vol\0\0\0\0", 11, NBD_REP_ERR_INVALID); /* one too many */
    expect(fd, option, "\xff\xff\xff\xffvol\0\0", 9,
           NBD_REP_ERR_INVALID); /* a name beyond the option */
  }
  close(fd);
}

static void test_go(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", FALSE, FALSE);
  g_autofree char *opener = NULL;
  g_assert_cmpuint(memory_pool_opens(served->pool, "vol", &opener), ==, 1);
  g_autofree char *expected = g_strdup_printf("nbd client, pid %d (", getpid());
  g_assert_true(g_str_has_prefix(opener, expected));
  client_request(fd, 0, NBD_CMD_DISC, 1, 0, 0);
  assert_closed(fd);
  g_assert_cmpuint(memory_pool_opens(served->pool, "vol", NULL), ==,
                   0); /* closed before the connection is */
}

static void test_export_name(void **state)
{
  Served *served = *state;
  int fd = client_hello(served);
  client_option(fd, NBD_OPT_EXPORT_NAME, "vol", 3);
  NbdExportNameReply reply;
  client_receive(fd, &reply, 10);
  g_assert_cmpuint(GUINT64_FROM_BE(reply.size), ==, 8 << 20);
  g_assert_cmphex(GUINT16_FROM_BE(reply.flags), ==, 0xd6d);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  close(fd);

  fd = client_new(served); /* with the zeroes of old */
  NbdGreeting greeting;
  client_receive(fd, &greeting, sizeof greeting);
  guint32 flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE);
  client_send(fd, &flags, sizeof flags);
  client_option(fd, NBD_OPT_EXPORT_NAME, "vol", 3);
  client_receive(fd, &reply, sizeof reply);
  for (guint i = 0; i < sizeof reply.zeroes; i++)
    g_assert_cmpuint(reply.zeroes[i], ==, 0);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_FLUSH, 0, 0), ==, 0);
  close(fd);

  static const char *const bad[] = {"", "nothing", "\xff"};
  for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
    fd = client_hello(served);
    client_option(fd, NBD_OPT_EXPORT_NAME, bad[i], strlen(bad[i]));
    assert_closed(fd);
  }
}

/* Send a context option; returns whether base:allocation was in the answer (with @id). */
static gboolean ask_context(int fd, guint32 option, const char *name, const char *const *queries,
                            guint32 *id)
{
  g_autoptr(GByteArray) data = client_context_data(name, queries), reply = NULL;
  client_option(fd, option, data->data, data->len);
  guint32 type = client_option_reply(fd, option, &reply);
  if (type == NBD_REP_ACK)
    return FALSE;
  g_assert_cmphex(type, ==, NBD_REP_META_CONTEXT);
  *id = GUINT32_FROM_BE(*(guint32 *)reply->data);
  g_assert_cmpmem(reply->data + 4, reply->len - 4, "base:allocation", 15);
  g_assert_cmpuint(client_option_reply(fd, option, NULL), ==, NBD_REP_ACK);
  return TRUE;
}

static void test_contexts(void **state)
{
  int fd = client_hello(*state);
  guint32 id = 0, list = NBD_OPT_LIST_META_CONTEXT, set = NBD_OPT_SET_META_CONTEXT;
#define QUERIES(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
  expect_array(fd, set, client_context_data("vol", QUERIES("base:allocation")),
               NBD_REP_ERR_INVALID);
  expect_array(fd, list, client_context_data("vol", QUERIES()), NBD_REP_ERR_INVALID);
  expect(fd, NBD_OPT_STRUCTURED_REPLY, "x", 1, NBD_REP_ERR_INVALID);
  expect(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0, NBD_REP_ACK);

  g_assert_true(ask_context(fd, list, "vol", QUERIES(), &id));
  g_assert_cmpuint(id, ==, 0);
  g_assert_true(ask_context(fd, list, "vol", QUERIES("qemu:", "base:"), &id));
  g_assert_true(ask_context(fd, list, "vol", QUERIES("base:allocation", "base:allocation"), &id));
  g_assert_false(ask_context(fd, list, "vol", QUERIES("qemu:", "x-some:thing", "base:other"), &id));
  g_assert_false(ask_context(fd, set, "vol", QUERIES(), &id));
  g_assert_false(ask_context(fd, set, "vol", QUERIES("base:"), &id));
  g_assert_true(
      ask_context(fd, set, "vol", QUERIES("qemu:dirty-bitmap:b", "base:allocation"), &id));
  g_assert_cmpuint(id, !=, 0);

  expect_array(fd, set, client_context_data("nothing", QUERIES("base:allocation")),
               NBD_REP_ERR_UNKNOWN);
  expect_array(fd, set, client_context_data("vol", QUERIES("nocolon")), NBD_REP_ERR_INVALID);
  expect(fd, set, "\0\0\0\x03vol", 7, NBD_REP_ERR_INVALID);
  expect(fd, set, "\0\0\0\x03vol\0\0\0\x01", 11, NBD_REP_ERR_INVALID);
  expect(fd, set,
         "\0\0\0\x03vol\0\0\0\x01\0\0\0\x20"
         "base:",
         20, NBD_REP_ERR_INVALID);
  expect(fd, set, "\0\0\0\x03vol\0\0\0\0x", 12, NBD_REP_ERR_INVALID);
  expect(fd, set, "\0\0\0\x03vol\xff\xff\xff\xff", 11, NBD_REP_ERR_TOO_BIG);
  close(fd);
}

/* A context counts for the export it was set for, as long as nothing fails after it. */
static void test_context_of_another_export(void **state)
{
  Served *served = *state;
  int fd = client_go(served, "vol", TRUE, FALSE);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_BLOCK_STATUS, 0, 4096), ==, NBD_EINVAL);
  close(fd);

  fd = client_hello(served);
  guint32 id;
  expect(fd, NBD_OPT_STRUCTURED_REPLY, NULL, 0, NBD_REP_ACK);
  g_assert_true(
      ask_context(fd, NBD_OPT_SET_META_CONTEXT, "other", QUERIES("base:allocation"), &id));
  g_autoptr(GByteArray) data = client_info_data("vol", NULL);
  client_option(fd, NBD_OPT_GO, data->data, data->len);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_INFO);
  g_assert_cmpuint(client_option_reply(fd, NBD_OPT_GO, NULL), ==, NBD_REP_ACK);
  g_assert_cmpuint(client_call(fd, 0, NBD_CMD_BLOCK_STATUS, 0, 4096), ==, NBD_EINVAL);
  close(fd);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_client_flags, setup, teardown),
      cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
      cmocka_unit_test_setup_teardown(test_unknown_option, setup, teardown),
      cmocka_unit_test_setup_teardown(test_long_options, setup, teardown),
      cmocka_unit_test_setup_teardown(test_abort, setup, teardown),
      cmocka_unit_test_setup_teardown(test_list, setup, teardown),
      cmocka_unit_test(test_empty_list),
      cmocka_unit_test_setup_teardown(test_info, setup, teardown),
      cmocka_unit_test_setup_teardown(test_bad_names, setup, teardown),
      cmocka_unit_test_setup_teardown(test_go, setup, teardown),
      cmocka_unit_test_setup_teardown(test_export_name, setup, teardown),
      cmocka_unit_test_setup_teardown(test_contexts, setup, teardown),
      cmocka_unit_test_setup_teardown(test_context_of_another_export, setup, teardown),
  };
  return cmocka_run_group_tests_name("nbd-handshake", tests, NULL, NULL);
}
