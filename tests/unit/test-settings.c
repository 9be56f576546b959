/* virt-thin - tests: virt-thin.conf, the environment, the folders
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Settings are read once per process, so each case runs in a child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <grp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "settings/settings.h"

static char *folder;

static int make_folder(void **state)
{
  folder = g_dir_make_tmp("virt-thin-XXXXXX", NULL);
  return folder ? 0 : -1;
}

static int remove_folder(void **state)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_remove(path);
  }
  g_rmdir(folder);
  g_free(folder);
  return 0;
}

static void write_file(const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);

  g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* Run @check in a child; @config NULL: no file. FALSE: it aborted. What it says on standard error
 * comes back in @said.
 */
static gboolean in_child(const char *config, void (*check)(void), char **said)
{
  g_autofree char *path = g_build_filename(folder, "virt-thin.conf", NULL);
  g_autofree char *err = g_build_filename(folder, "stderr", NULL);
  int status;
  pid_t pid;

  if (config)
    write_file("virt-thin.conf", config);
  pid = fork();
  if (pid == 0) {
    const char *const unset[] = {"VIRT_THIN_CONFIG",      "VIRT_THIN_STATE_DIR",
                                 "VIRT_THIN_RUNTIME_DIR", "VIRT_THIN_DEV_DIR",
                                 "VIRT_THIN_PROGRAM",     "VIRT_THIN_ENGINE"};

    for (gsize i = 0; i < G_N_ELEMENTS(unset); i++)
      g_unsetenv(unset[i]);
    g_setenv("VIRT_THIN_STATE_DIR", folder, TRUE);
    if (config)
      g_setenv("VIRT_THIN_CONFIG", path, TRUE);
    if (said && !freopen(err, "w", stderr))
      _exit(2);
    check();
    fflush(stderr);
    _exit(0);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (said)
    assert_true(g_file_get_contents(err, said, NULL, NULL));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Root's services are for libvirt's group, if there is one. */
static void check_socket_defaults(void)
{
  if (geteuid() == 0 && getgrnam("libvirt")) {
    g_assert_cmpuint(settings_socket_mode(), ==, 0660);
    g_assert_cmpstr(settings_socket_group(), ==, "libvirt");
  } else {
    g_assert_cmpuint(settings_socket_mode(), ==, 0600);
    g_assert_null(settings_socket_group());
  }
}

static void check_user_defaults(void)
{
  if (geteuid() == 0 && setuid(65534) != 0)
    _exit(3);
  check_socket_defaults();
  g_assert_cmpuint(settings_socket_mode(), ==, 0600);
}

static void test_sockets_of_a_user(void **state)
{
  assert_true(in_child("", check_user_defaults, NULL));
}

static void check_closed(void)
{
  g_assert_cmpuint(settings_socket_mode(), ==, 0600);
}

static void check_root_group(void)
{
  g_assert_cmpuint(settings_socket_mode(), ==, 0660);
  g_assert_cmpstr(settings_socket_group(), ==, "root");
}

static void test_sockets_as_told(void **state)
{
  assert_true(in_child("[service]\nsocket-mode=0600\n", check_closed, NULL));
  assert_true(in_child("[service]\nsocket-group=root\n", check_root_group, NULL));
}

static void check_defaults(void)
{
  g_autofree char *vg_dir = settings_vg_dir("pve");
  g_autofree char *control = settings_vg_file("pve", "control");
  g_autofree char *archive = settings_archive_dir();
  g_autofree char *expected = g_build_filename(settings_runtime_dir(), "pve", NULL);
  g_auto(GStrv) devices = settings_devices();

  g_assert_cmpstr(settings_state_dir(), ==, folder);
  g_assert_cmpstr(vg_dir, ==, expected);
  g_assert_true(g_str_has_suffix(control, "/pve/control"));
  g_assert_true(g_str_has_prefix(archive, folder));
  g_assert_cmpuint(g_strv_length(devices), ==, 2);
  g_assert_true(g_str_has_suffix(devices[0], "/a.img"));
  g_assert_true(g_str_has_suffix(devices[1], "/b.img"));
  g_assert_cmpfloat(settings_limits("pve", "data").overcommit, ==, 0);
  g_assert_cmpfloat(settings_limits("pve", "data").largest_volume, ==, 250);
  g_assert_false(settings_limits("pve", "data").promises);
  g_assert_cmpstr(settings_block_nodes(), ==, "auto");
  check_socket_defaults();
  g_assert_cmpuint(settings_threads(), ==, 32);
  g_assert_cmpstr(settings_dev_dir(), ==, "/dev");
  g_assert_true(g_path_is_absolute(settings_program()));
}

static void test_defaults(void **state)
{
  write_file("b.img", "");
  write_file("a.img", "");
  write_file("c.txt", "");
  assert_true(in_child(NULL, check_defaults, NULL));
}

static void check_file(void)
{
  g_auto(GStrv) devices = settings_devices();

  g_assert_cmpfloat(settings_limits("pve", "other").overcommit, ==, 2.5);
  g_assert_false(settings_limits("pve", "other").promises);
  g_assert_cmpfloat(settings_limits("pve", "data").overcommit, ==, 2.5);
  g_assert_cmpfloat(settings_limits("pve", "data").largest_volume, ==, 0);
  g_assert_cmpuint(settings_limits("pve", "data").usual_volume, ==, 0);
  g_assert_cmpuint(settings_limits("pve", "other").usual_volume, >, 0);
  g_assert_true(settings_limits("pve", "data").promises);
  g_assert_cmpstr(settings_block_nodes(), ==, "loop");
  g_assert_cmpuint(settings_socket_mode(), ==, 0660);
  g_assert_cmpstr(settings_socket_group(), ==, "disk");
  g_assert_cmpuint(settings_threads(), ==, 4);
  g_assert_cmpstr(settings_dev_dir(), ==, "/tmp/dev");
  g_assert_cmpint(settings_engine("pve", POOL_ENGINE_AUTO), ==, POOL_ENGINE_KERNEL);
  g_assert_cmpint(settings_engine("scratch", POOL_ENGINE_AUTO), ==, POOL_ENGINE_BUNDLED);
  g_assert_cmpuint(g_strv_length(devices), ==, 2);
  g_assert_cmpstr(devices[0], ==, "/dev/sdz9");
  g_assert_true(g_str_has_suffix(devices[1], "/a.img"));
}

static void test_file(void **state)
{
  g_autofree char *config = g_strdup_printf(
      "[pool pve/data]\navailable=promises\nlargest-volume=0\n"
      "[limits]\novercommit=2.5\n[service]\nblock-nodes=loop\nsocket-mode=0660\nsocket-group=disk\n"
      "threads=4\ndev-dir=/tmp/dev\n[vg]\nengine=kernel\n[vg  "
      "scratch]\nengine=bundled\n[devices]\npaths=/dev/sdz9; %s/a*.img\n",
      folder);

  write_file("a.img", "");
  write_file("b.img", "");
  assert_true(in_child(config, check_file, NULL));
}

static void check_nonsense(void)
{
  g_assert_cmpfloat(settings_limits("pve", "data").overcommit, ==, 0);
  g_assert_cmpfloat(settings_limits("pve", "data").largest_volume, ==, 250);
  g_assert_false(settings_limits("pve", "data").promises);
  g_assert_cmpstr(settings_block_nodes(), ==, "auto");
  check_socket_defaults();
  g_assert_cmpuint(settings_threads(), ==, 32);
  g_assert_cmpint(settings_engine("pve", POOL_ENGINE_AUTO), ==, POOL_ENGINE_AUTO);
}

static void test_nonsense_is_named_and_the_default_holds(void **state)
{
  g_autofree char *said = NULL;

  assert_true(in_child("[limits]\novercommit=lots\n[pool "
                       "pve/"
                       "data]\nlargest-volume=-1\navailable=yes\n[service]\nblock-nodes="
                       "tape\nsocket-mode=9\nthreads=0\n"
                       "[vg pve]\nengine=steam\n",
                       check_nonsense, &said));
  assert_non_null(strstr(said, "[limits] overcommit=lots is not a number"));
  assert_non_null(strstr(said, "[pool pve/data] largest-volume=-1 is not a number"));
  assert_non_null(strstr(said, "[pool pve/data] available=yes is not space or promises"));
  assert_non_null(strstr(said, "block-nodes=tape is not auto, nbd, loop or none"));
  assert_non_null(strstr(said, "socket-mode=9"));
  assert_non_null(strstr(said, "threads=0"));
  assert_non_null(strstr(said, "[vg pve] engine=steam is not auto, kernel or bundled"));
  g_clear_pointer(&said, g_free);
  assert_true(in_child("no key file at all\n", check_nonsense, &said));
  assert_non_null(strstr(said, "going on with the defaults"));
}

static void check_environment(void)
{
  g_setenv("VIRT_THIN_RUNTIME_DIR", "/tmp/instance", TRUE);
  g_setenv("VIRT_THIN_DEV_DIR", "/tmp/nodes", TRUE);
  g_setenv("VIRT_THIN_PROGRAM", "/opt/virt-thin", TRUE);
  g_setenv("VIRT_THIN_ENGINE", "bundled", TRUE);
  g_assert_cmpstr(settings_runtime_dir(), ==, "/tmp/instance");
  g_assert_cmpstr(settings_dev_dir(), ==, "/tmp/nodes");
  g_assert_cmpstr(settings_program(), ==, "/opt/virt-thin");
  g_assert_cmpint(settings_engine("pve", POOL_ENGINE_AUTO), ==, POOL_ENGINE_BUNDLED);
}

static void test_environment_comes_first(void **state)
{
  assert_true(in_child("[service]\ndev-dir=/elsewhere\n[vg pve]\nengine=kernel\n",
                       check_environment, NULL));
}

static void check_names(void)
{
  const char *const names[] = {"..", ".", "", "a/b", "../../etc"};

  for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *dir = settings_vg_dir(names[i]);
    g_autofree char *parent = g_path_get_dirname(dir);

    g_assert_cmpstr(parent, ==, settings_runtime_dir());
    g_assert_cmpstr(strrchr(dir, '/'), !=, "/..");
  }
}

static void test_a_name_leads_nowhere_else(void **state)
{
  assert_true(in_child(NULL, check_names, NULL));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_defaults, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(test_nonsense_is_named_and_the_default_holds, make_folder,
                                      remove_folder),
      cmocka_unit_test_setup_teardown(test_environment_comes_first, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(test_a_name_leads_nowhere_else, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(test_sockets_of_a_user, make_folder, remove_folder),
      cmocka_unit_test_setup_teardown(test_sockets_as_told, make_folder, remove_folder),
  };

  return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
