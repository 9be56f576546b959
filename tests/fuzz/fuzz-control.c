/* virt-thin - libFuzzer target: hostile peers of a service's D-Bus socket
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A server as the engine has it, over a Unix socket. Behind it, asking is answered by the fake pool
 * of the unit tests, and a change is planned (plan.h) on the text of a volume group of lvm2's,
 * which is where what a peer says is judged. The input is calls: a method, its arguments
 * (sometimes of other types), strings out of a list or out of the input. Each must be answered.
 */
#include "config.h"

#include <gio/gio.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "control/control-info.h"
#include "control/control-socket.h"
#include "control/control.h"
#include "pool/plan.h"
#include "service/process/control-server.h"
#include "../tests/unit/fake-pool.h"

#define CALLS_MAX 16
#define ANSWER_MS 10000

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static PoolOps ops;
static FakePool fake = {.base = {&ops}, .n_volumes = 5};
static char *vg_text, *socket_path;
static GDBusConnection *peer;

/* --- the pool --- */

static PoolLimits no_limits(const char *vg, const char *pool)
{
  return (PoolLimits){0};
}

static char *find_user(LvmLv *lv, gpointer data)
{
  return strcmp(lvm_lv_name(lv), "vm-101-disk-1") == 0 ? g_strdup("qemu, pid 7") : NULL;
}

static gboolean plan_change(VolumeGroup *group, const PoolChange *change, GError **error)
{
  const PoolFacts facts = {.limits = no_limits, .find_user = find_user};
  LvmVg *vg = lvm_vg_parse(vg_text, strlen(vg_text), error);
  g_autoptr(PoolPlan) plan = vg ? pool_plan(vg, change, &facts, error) : NULL;
  g_autofree char *text = plan ? lvm_vg_format(plan->vg, NULL) : NULL;

  lvm_vg_free(vg);
  return plan != NULL;
}

/* --- the server --- */

static gboolean on_stop(gboolean force, gpointer data, GError **error)
{
  return force || vt_set_error(error, EBUSY, "volume vg0/x is open: qemu, pid 99");
}

static gpointer serve(gpointer fd)
{
  g_autoptr(GError) error = NULL;
  GMainLoop *loop = g_main_loop_new(NULL, FALSE);

  if (!control_server_new(&fake.base, GPOINTER_TO_INT(fd), on_stop, NULL, &error))
    g_error("%s", error->message);
  g_main_loop_run(loop);
  return NULL;
}

/* Thousands of messages of what is refused say nothing. */
static GLogWriterOutput say_nothing(GLogLevelFlags level, const GLogField *fields, gsize n,
                                    gpointer data)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    g_log_writer_standard_streams(level, fields, n, NULL);
  return G_LOG_WRITER_HANDLED;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
  g_autofree char *folder = g_dir_make_tmp("virt-thin-fuzz-XXXXXX", NULL);
  g_autofree char *fixture = g_build_filename(g_getenv("abs_top_srcdir"), "tests", "fixtures",
                                              "lvm", "vgcfgbackup-04-final.txt", NULL);
  g_autoptr(GError) error = NULL;
  int fd;

  g_log_set_writer_func(say_nothing, NULL, NULL);
  g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_FATAL_MASK);
  g_setenv("VIRT_THIN_CONFIG", "/dev/null", TRUE);
  if (!g_file_get_contents(fixture, &vg_text, NULL, &error))
    g_error("%s", error->message);
  ops = fake_pool_ops;
  ops.change = plan_change;
  socket_path = g_build_filename(folder, "control", NULL);
  fd = control_socket_listen(socket_path, 0600, NULL, &error);
  if (fd < 0)
    g_error("%s", error->message);
  g_thread_new("server", serve, GINT_TO_POINTER(fd));
  peer = control_connect(socket_path, ANSWER_MS, &error);
  if (!peer)
    g_error("%s", error->message);
  unlink(socket_path);
  rmdir(folder);
  return 0;
}

/* --- what a peer says --- */

typedef struct {
  const uint8_t *at, *end;
} Input;

static guint take(Input *in)
{
  return in->at < in->end ? *in->at++ : 0;
}

static guint64 take_number(Input *in)
{
  static const guint64 edges[] = {
      0,          1,          511,         512,        4096,       65535,      65536,
      4194304,    G_MAXINT32, G_MAXUINT32, 1ull << 40, G_MAXINT64, 1ull << 63, G_MAXUINT64 - 1,
      G_MAXUINT64};
  guint first = take(in);
  guint64 number = 0;

  if (first < G_N_ELEMENTS(edges))
    return edges[first];
  for (guint i = 0; i < first % 8; i++)
    number = number << 8 | take(in);
  return number;
}

/* The caller's. */
static char *take_string(Input *in)
{
  static const char *const known[] = {"",
                                      "vm-100-disk-0",
                                      "vm-101-disk-1",
                                      "vm-102-disk-0",
                                      "root",
                                      "data",
                                      "snap_vm-100-disk-0_s",
                                      "base-9-disk-0",
                                      "/",
                                      "..",
                                      "../../etc/passwd",
                                      "/dev/sda",
                                      "data_tmeta",
                                      "lvol0_pmspare",
                                      "virt-thin.source=x",
                                      "%s%n",
                                      "\n",
                                      "é\xc2\xa0"};
  guint first = take(in);
  gsize length;

  if (first < G_N_ELEMENTS(known))
    return g_strdup(known[first]);
  if (first == 255)
    return g_strnfill(take_number(in) % 100000, 'a');
  length = MIN(first % 32, (gsize)(in->end - in->at));
  in->at += length;
  return g_utf8_make_valid((const char *)in->at - length, (gssize)length);
}

static GVariant *take_value(Input *in, const GVariantType *type);

static GVariant *take_array(Input *in, const GVariantType *type)
{
  GVariantBuilder builder;
  guint n = take(in);

  g_variant_builder_init(&builder, type);
  for (n = n == 255 ? 3000 : n % 8; n; n--)
    g_variant_builder_add_value(&builder, take_value(in, g_variant_type_element(type)));
  return g_variant_builder_end(&builder);
}

static GVariant *take_tuple(Input *in, const GVariantType *type)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, type);
  for (const GVariantType *item = g_variant_type_first(type); item;
       item = g_variant_type_next(item))
    g_variant_builder_add_value(&builder, take_value(in, item));
  return g_variant_builder_end(&builder);
}

static GVariant *take_value(Input *in, const GVariantType *type)
{
  if (g_variant_type_is_array(type))
    return take_array(in, type);
  if (g_variant_type_is_tuple(type))
    return take_tuple(in, type);
  switch (*g_variant_type_peek_string(type)) {
  case 's': return g_variant_new_take_string(take_string(in));
  case 't': return g_variant_new_uint64(take_number(in));
  case 'u': return g_variant_new_uint32((guint32)take_number(in));
  default: return g_variant_new_boolean(take(in) & 1);
  }
}

/* What the method wants, or (one in 32) something else. */
static GVariant *take_arguments(Input *in, const GDBusMethodInfo *method)
{
  static const char *const others[] = {"()",   "(s)",   "(as)",      "(tt)", "(a(ssssbass))",
                                       "(ub)", "(aas)", "(ssssssss)"};
  g_autoptr(GString) type = g_string_new("(");
  guint other = take(in);

  for (GDBusArgInfo **arg = method->in_args; arg && *arg; arg++)
    g_string_append(type, (*arg)->signature);
  g_string_append_c(type, ')');
  if (other >= 248)
    g_string_assign(type, others[other - 248]);
  return take_value(in, G_VARIANT_TYPE(type->str));
}

static void call(Input *in)
{
  GDBusMethodInfo **methods = org_virt_thin_volume_group1_interface.methods;
  guint n = 0;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) answer = NULL;

  while (methods[n])
    n++;
  const GDBusMethodInfo *method = methods[take(in) % n];
  answer = g_dbus_connection_call_sync(peer, NULL, CONTROL_OBJECT_PATH, CONTROL_INTERFACE,
                                       method->name, take_arguments(in, method), NULL,
                                       G_DBUS_CALL_FLAGS_NONE, ANSWER_MS, NULL, &error);
  if (!answer && control_error_to_errno(error) == ETIMEDOUT)
    g_error("%s is not answered", method->name);
  if (!answer && control_error_is_disconnect(error))
    g_error("%s: the peer is disconnected", method->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  Input in = {data, data + size};

  for (guint i = 0; in.at < in.end && i < CALLS_MAX; i++)
    call(&in);
  return 0;
}
