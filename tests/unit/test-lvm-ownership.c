/* virt-thin - tests: whose a volume group is, on hosts of any name
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What the host is called, what its files say and whether a path is a block device are made up
 * here, by functions that stand before the C library's and GLib's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/stat.h>

#include "lvm-helper.h"
#include "lvm/model/vg-private.h"

static struct {
  const char *host_name;  /* NULL: the real one */
  const char *machine_id; /* NULL: there is none */
  gboolean block_devices; /* all files are */
} made_up;

const gchar *__real_g_get_host_name(void);
const gchar *__wrap_g_get_host_name(void);
const gchar *__wrap_g_get_host_name(void)
{
  return made_up.host_name ? made_up.host_name : __real_g_get_host_name();
}

gboolean __real_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error)
{
  if (strcmp(path, "/etc/machine-id") != 0)
    return __real_g_file_get_contents(path, text, length, error);
  *text = g_strdup(made_up.machine_id);
  return *text != NULL;
}

int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st)
{
  int rc = __real_stat(path, st);

  if (rc == 0 && made_up.block_devices)
    st->st_mode = (st->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
  return rc;
}

/* --- the bench ---------------------------------------------------------------------- */

static char *folder, *paths[1];
static LvmStore *store;

static int setup(void **state)
{
  memset(&made_up, 0, sizeof made_up);
  folder = lvm_test_folder();
  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  store = lvm_test_create(folder, 1, 8 * MIB, MIB, paths);
  return 0;
}

static int teardown(void **state)
{
  lvm_store_close(store);
  g_unsetenv("LVM_SYSTEM_DIR");
  g_free(paths[0]);
  lvm_test_clean(folder);
  return 0;
}

static void set_id(const char *id)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  lvm_vg_set_system_id(vg, id);
  lvm_test_commit(store, vg);
}

static void set_conf(const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);

  assert_true(g_file_set_contents(path, text, -1, NULL));
}

static gboolean is_ours(const char *id)
{
  g_autofree char *foreign = NULL;

  set_id(id);
  foreign = lvm_store_foreign(store);
  return foreign == NULL;
}

/* --- whose it is -------------------------------------------------------------------- */

/* As another program reckons it (Python's hmac); lvm2 itself is asked in lvm-marks.sh. */
static void test_app_machine_id(void **state)
{
  static const char *const none[] = {NULL, "", "0123", "0123456789abcdef0123456789abcdeg",
                                     "0123456789abcdeg0123456789abcdef"};

  set_conf("lvm.conf", "global {\nsystem_id_source = \"appmachineid\"\n}\n");
  made_up.machine_id = "0123456789abcdef0123456789abcdef\n";
  assert_true(is_ours("e04dc1622fd546c992a77a2d2421761f"));
  for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
    made_up.machine_id = none[i];
    assert_false(is_ours("e04dc1622fd546c992a77a2d2421761f"));
  }
}

static void test_files(void **state)
{
  g_autofree char *gone = g_strdup_printf(
      "global {\nsystem_id_source = \"file\"\nsystem_id_file = \"%s/gone\"\n}\n", folder);

  set_conf("lvm.conf", "global {\nsystem_id_source = \"file\"\n}\n"); /* but no system_id_file */
  assert_false(is_ours("any"));
  set_conf("lvm.conf", gone);
  assert_false(is_ours("any"));
  set_conf("lvm.conf", "global {\nsystem_id_source = \"machineid\"\n}\n");
  made_up.machine_id = "of-etc\n"; /* where etc is not set */
  assert_true(is_ours("of-etc"));
}

/* lvm2 leaves out what no id may have, and ends it after 128 characters; so do we, of our own. */
static void test_host_names(void **state)
{
  g_autofree char *long_name = g_strnfill(200, 'h'), *long_id = g_strnfill(128, 'h');

  set_conf("lvm.conf", "global {\nsystem_id_source = \"uname\"\n}\n");
  made_up.host_name = "._-a+b/c d.e";
  assert_true(is_ours("a+bcd.e"));
  assert_true(is_ours("virt-thin.._-abcd.e"));
  assert_false(is_ours("._-a+b/c d.e"));
  made_up.host_name = "localhost.localdomain";
  assert_false(is_ours("localhost.localdomain"));
  made_up.host_name = "/// ";
  assert_false(is_ours("any"));
  made_up.host_name = long_name;
  assert_true(is_ours(long_id));
}

/* --- taking and giving back --------------------------------------------------------- */

static void assert_state(const char *id, const char *tag)
{
  LvmVg *vg = lvm_store_vg(store);

  assert_int_equal(g_strcmp0(lvm_vg_system_id(vg), id), 0);
  assert_true(!tag || lvm_vg_has_tag(vg, tag));
}

static void take(gboolean ok)
{
  GError *error = NULL;

  assert_int_equal(lvm_store_take(store, NULL, &error), ok);
  g_clear_error(&error);
}

static void test_take(void **state)
{
  GError *error = NULL;

  made_up.host_name = "here";
  take(TRUE); /* a file needs no mark: its lock says who has it */
  assert_state(NULL, NULL);
  made_up.block_devices = TRUE;
  take(TRUE);
  assert_state("virt-thin.here", LVM_TAKEN_TAG);
  take(TRUE); /* it is */
  assert_ok(lvm_store_release(store, NULL, &error), error);
  assert_state(NULL, NULL);

  set_id("host9");
  take(TRUE);
  assert_state("virt-thin.here", LVM_TAKEN_TAG "host9");
  made_up.host_name =
      "there"; /* a host of another name goes on with it: whose it was stays known */
  set_id("host9");
  take(TRUE);
  assert_state("virt-thin.there", LVM_TAKEN_TAG "host9");
  assert_ok(lvm_store_release(store, NULL, &error), error);
  assert_state("host9", NULL);
  assert_false(lvm_vg_has_tag(lvm_store_vg(store), LVM_TAKEN_TAG "host9"));
}

/* Who cannot commit has not taken it. */
static void test_take_fails(void **state)
{
  const char *all[] = {paths[0], NULL};
  GError *error = NULL;

  made_up.block_devices = TRUE;
  lvm_store_close(store);
  store = lvm_store_open(all, "tvg", TRUE, NULL, NULL, &error);
  assert_ok(store, error);
  take(FALSE);
  assert_state(NULL, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {TEST(test_app_machine_id), TEST(test_files),
                                     TEST(test_host_names), TEST(test_take), TEST(test_take_fails)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
