/* virt-thin - tests: what the machine says: name, id, clock, memory, files, block devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <glib/gstdio.h>

#include "lvm-helper.h"
#include "lvm/store-private.h"

#define SIZE (16 * MIB)

/* --- what it says ------------------------------------------------------------------- */

static struct {
  const char *host_name;
  const char *id; /* in /etc/machine-id; NULL: no such file */
  gint64 later;   /* microseconds by which the clock goes before */
  gboolean no_memory, no_writing;
} machine;

/* As the linker wants them. */
const char *__wrap_g_get_host_name(void);
const char *__wrap_g_get_host_name(void)
{
  return machine.host_name;
}

gboolean __real_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error);
gboolean __wrap_g_file_get_contents(const char *path, char **text, gsize *length, GError **error)
{
  if (strcmp(path, "/etc/machine-id") != 0)
    return __real_g_file_get_contents(path, text, length, error);
  *text = g_strdup(machine.id);
  return machine.id != NULL;
}

gint64 __real_g_get_monotonic_time(void);
gint64 __wrap_g_get_monotonic_time(void);
gint64 __wrap_g_get_monotonic_time(void)
{
  return __real_g_get_monotonic_time() + machine.later;
}

gpointer __real_g_try_malloc(gsize size);
gpointer __wrap_g_try_malloc(gsize size);
gpointer __wrap_g_try_malloc(gsize size)
{
  return machine.no_memory ? NULL : __real_g_try_malloc(size);
}

gboolean __real_g_file_set_contents_full(const char *path, const char *text, gssize length,
                                         GFileSetContentsFlags flags, int mode, GError **error);
gboolean __wrap_g_file_set_contents_full(const char *path, const char *text, gssize length,
                                         GFileSetContentsFlags flags, int mode, GError **error);
gboolean __wrap_g_file_set_contents_full(const char *path, const char *text, gssize length,
                                         GFileSetContentsFlags flags, int mode, GError **error)
{
  if (!machine.no_writing)
    return __real_g_file_set_contents_full(path, text, length, flags, mode, error);
  g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_ROFS, "%s: %s", path, g_strerror(EROFS));
  return FALSE;
}

/* ------------------------------------------------------------------------------------ */

static char *folder, *path;
static LvmStore *store;

static int setup(void **state)
{
  memset(&machine, 0, sizeof machine);
  machine.host_name = "here";
  folder = lvm_test_folder();
  store = lvm_test_create(folder, 1, SIZE, MIB, &path);
  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  return 0;
}

static int teardown(void **state)
{
  g_unsetenv("LVM_SYSTEM_DIR");
  lvm_store_close(g_steal_pointer(&store));
  g_clear_pointer(&path, g_free);
  lvm_test_clean(folder);
  return 0;
}

/* --- whose a volume group is -------------------------------------------------------- */

static void assert_whose(const char *id, gboolean ours)
{
  g_autofree char *foreign = NULL;

  lvm_vg_set_system_id(lvm_store_vg(store), id);
  foreign = lvm_store_foreign(store);
  if (ours != (foreign == NULL))
    fail_msg("%s: %s", id, foreign ? foreign : "ours");
}

static void set_conf(const char *source, const char *more)
{
  g_autofree char *name = g_build_filename(folder, "lvm.conf", NULL),
                  *text =
                      g_strdup_printf("global {\nsystem_id_source = \"%s\"\n%s\n}\n", source, more);

  assert_true(g_file_set_contents(name, text, -1, NULL));
}

/* Of the host's name there is in its id what lvm2 allows there, and as much as that allows. */
static void test_our_id(void **state)
{
  g_autofree char *name = g_strnfill(300, 'n'), *id = g_strconcat("virt-thin.", name, NULL);

  machine.host_name = "a_b.c-d e$f+g";
  assert_whose("virt-thin.a_b.c-defg", TRUE);
  assert_whose("virt-thin.a_b.c-d e$f+g", FALSE);
  machine.host_name = name;
  assert_whose(id, FALSE);
  id[128] = '\0';
  assert_whose(id, TRUE);
}

static void test_id_of_conf(void **state)
{
  g_autofree char *id = g_strnfill(200, 'n'), *local = g_strdup_printf("}\nlocal {\nsystem_id = "
                                                                       "\"%s\"\n",
                                                                       id);

  set_conf("lvmlocal", "}\nlocal {\nsystem_id = \".-9a!b+c\"\n");
  assert_whose("9ab+c", TRUE);
  assert_whose(".-9ab+c", FALSE);
  set_conf("lvmlocal", local);
  assert_whose(id, FALSE);
  id[128] = '\0';
  assert_whose(id, TRUE);
  set_conf("lvmlocal", "}\nlocal {\nsystem_id = \"\"\n");
  assert_whose("n", FALSE);
}

static void test_id_of_file(void **state)
{
  g_autofree char *said = g_strdup_printf("system_id_file = \"%s/none\"", folder);

  set_conf("file", "");
  assert_whose("n", FALSE);
  set_conf("file", said);
  assert_whose("n", FALSE);
}

/* As systemd-id128 machine-id --app-specific=f64406832c2140e8ac5422d1089aae03 has it. */
static void test_machine_id(void **state)
{
  static const char *const none[] = {"", "x123456789abcdeffedcba9876543210", "0x",
                                     "0123456789abcdeffedcba987654321"};

  machine.id = "0123456789abcdeffedcba9876543210\n";
  set_conf("machineid", "");
  assert_whose("0123456789abcdeffedcba9876543210", TRUE);
  assert_whose("1acbdc144ad3482c9566c7fce6e4ad13", FALSE);
  set_conf("appmachineid", "");
  assert_whose("1acbdc144ad3482c9566c7fce6e4ad13", TRUE);
  assert_whose("0123456789abcdeffedcba9876543210", FALSE);
  for (guint i = 0; i < G_N_ELEMENTS(none); i++) {
    machine.id = none[i];
    assert_whose("1acbdc144ad3482c9566c7fce6e4ad13", FALSE);
  }
  machine.id = NULL;
  assert_whose("1acbdc144ad3482c9566c7fce6e4ad13", FALSE);
}

/* --- block devices ------------------------------------------------------------------ */

/* A loop device over @file, open as @fd and gone when that is closed; NULL: there can be none. */
static char *attach(const char *file, int *fd)
{
  char *argv[] = {"losetup", "--find", "--show", (char *)file, NULL}, *device = NULL;
  int status;

  if (getuid() != 0 ||
      !g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &device, NULL, &status,
                    NULL) ||
      status != 0) {
    g_free(device);
    return NULL;
  }
  g_strchomp(device);
  *fd = open(device, O_RDONLY | O_CLOEXEC);
  assert_true(*fd >= 0);
  assert_true(g_spawn_sync(NULL, (char *[]){"losetup", "-d", device, NULL}, NULL,
                           G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  return device;
}

static LvmStore *create_on(const char *device)
{
  const char *devices[] = {device, NULL};
  LvmCreate params = {.extent_size = MIB, .metadata_area = 64 * 1024};
  GError *error = NULL;
  LvmStore *made = lvm_store_create("bvg", devices, &params, &error);

  assert_ok(made, error);
  return made;
}

/* A file that is gone is no block device. */
static void test_file_gone(void **state)
{
  GError *error = NULL;

  assert_int_equal(g_unlink(path), 0);
  assert_ok(lvm_store_take(store, NULL, &error), error);
  assert_false(lvm_store_is_taken(store));
}

static void assert_taken_as(LvmStore *of, const char *id, const char *tag, guint64 seqno)
{
  assert_true(g_strcmp0(lvm_vg_system_id(lvm_store_vg(of)), id) == 0);
  assert_true(!tag || lvm_vg_has_tag(lvm_store_vg(of), tag));
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(of)), seqno);
}

/* It is taken once, whatever an earlier taking left, and given back to whom it was; not where
 * somebody else has changed it. */
static void take_and_release(LvmStore *of, const char *device)
{
  GError *error = NULL;
  LvmVg *vg;

  assert_ok(lvm_store_take(of, NULL, &error), error);
  assert_taken_as(of, "virt-thin.here", "virt-thin.system_id=", 2);
  assert_ok(lvm_store_take(of, NULL, &error), error);
  assert_taken_as(of, "virt-thin.here", "virt-thin.system_id=", 2);
  assert_ok(lvm_store_release(of, NULL, &error), error);
  assert_taken_as(of, NULL, NULL, 3);
  vg = lvm_vg_copy(lvm_store_vg(of));
  lvm_vg_set_system_id(vg, "before");
  lvm_vg_set_tag(vg, "virt-thin.system_id=earlier", TRUE);
  lvm_test_commit(of, vg);
  lvm_test_flip(device, 4096 + 50);
  assert_false(lvm_store_take(of, NULL, &error));
  assert_error(error, ESTALE, "take the volume group");
  assert_taken_as(of, "before", "virt-thin.system_id=earlier", 4);
  lvm_test_flip(device, 4096 + 50);
  assert_ok(lvm_store_take(of, NULL, &error), error);
  assert_taken_as(of, "virt-thin.here", "virt-thin.system_id=before", 5);
  assert_false(lvm_vg_has_tag(lvm_store_vg(of), "virt-thin.system_id=earlier"));
  assert_ok(lvm_store_release(of, NULL, &error), error);
  assert_taken_as(of, "before", NULL, 6);
}

static void test_block_device(void **state)
{
  g_autofree char *disk = lvm_test_file(folder, "disk.img", SIZE), *device = NULL;
  GError *error = NULL;
  LvmStore *made;
  int fd = -1;

  if (!(device = attach(disk, &fd)))
    skip();
  made = create_on(device);
  take_and_release(made, device);
  lvm_store_close(made);
  /* Another host's: lvm2 sees it as it is. */
  assert_null(
      lvm_store_open((const char *const[]){device, NULL}, "bvg", FALSE, NULL, NULL, &error));
  assert_non_null(error);
  assert_null(strstr(error->message, "losetup"));
  assert_error(error, EPERM, "it belongs to another host (its system_id is \"before\"");
  close(fd);
}

/* --- the clock, memory, files ------------------------------------------------------- */

static gboolean commit(const char *dir, gboolean more, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  if (more)
    assert_non_null(lvm_vg_add_linear(vg, "lin", 1, NULL));
  if (lvm_store_commit(store, vg, dir, "x", error))
    return TRUE;
  lvm_vg_free(vg);
  return FALSE;
}

/* What others put into the folder of archives is seen when an hour has gone by. */
static void test_clock(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "archive", NULL),
                  *other = g_build_filename(dir, "tvg_00050-1.vg", NULL);
  GError *error = NULL;

  assert_ok(commit(dir, FALSE, &error), error);
  assert_true(g_file_set_contents(other, "x", 1, NULL));
  assert_ok(commit(dir, FALSE, &error), error);
  assert_non_null(strstr(lvm_store_archive_path(store), "/tvg_00001-"));
  machine.later = G_TIME_SPAN_HOUR + G_TIME_SPAN_SECOND;
  assert_ok(commit(dir, FALSE, &error), error);
  assert_non_null(strstr(lvm_store_archive_path(store), "/tvg_00051-"));
}

static void test_memory(void **state)
{
  LvmMetadataArea *area = store->areas->pdata[0];
  GError *error = NULL;
  gsize length;

  machine.no_memory = TRUE;
  assert_null(lvm_metadata_area_read_text(area, &length, &error));
  assert_error(error, ENOMEM, "no memory for the metadata text");
}

/* No file can be opened; the device is, and so what adds no volume goes on. */
static void test_no_more_files(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "archive", NULL);
  struct rlimit limit, none;
  GError *error = NULL;
  gboolean with, without;

  assert_int_equal(g_mkdir(dir, 0700), 0);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  none = limit;
  none.rlim_cur = 0;
  g_test_expect_message("virt-thin", G_LOG_LEVEL_WARNING, "*is not archived*");
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  with = commit(dir, TRUE, &error);
  without = commit(dir, FALSE, NULL);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  g_test_assert_expected_messages();
  assert_false(with);
  assert_true(without);
  assert_true(g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_MFILE));
  assert_non_null(strstr(error->message, "its text cannot be archived first"));
  g_clear_error(&error);
}

/* A folder that is read-only is left alone, as by lvm2, also when a volume is added. */
static void test_read_only_folder(void **state)
{
  g_autofree char *dir = g_build_filename(folder, "archive", NULL);
  GError *error = NULL;

  machine.no_writing = TRUE;
  g_test_expect_message("virt-thin", G_LOG_LEVEL_WARNING, "*is not archived*Read-only*");
  assert_ok(commit(dir, TRUE, &error), error);
  g_test_assert_expected_messages();
  assert_null(lvm_store_archive_path(store));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_our_id),           TEST(test_id_of_conf),   TEST(test_id_of_file),
      TEST(test_machine_id),       TEST(test_block_device), TEST(test_clock),
      TEST(test_file_gone),        TEST(test_memory),       TEST(test_no_more_files),
      TEST(test_read_only_folder),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
