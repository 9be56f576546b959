/* virt-thin - tests: others at the same volume group, and many at the same time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>

#include "lvm/store.h"

/* --- somebody else changes the VG while we have it open --- */

#define AREA (17 * MIB) /* label and metadata area of a VG that virt-thin made */

/* A stranger knows of no locks: the change is made on a copy, and the copy's label and metadata
 * area put in place. */
static void change_behind_its_back(const char *path, void (*change)(LvmVg *vg))
{
  g_autofree char *copy = g_strconcat(path, ".copy", NULL), *bytes = g_malloc(AREA);
  const char *argv[] = {"cp", "--sparse=always", path, copy, NULL}, *paths[] = {copy, NULL};
  LvmStore *store;
  LvmVg *vg;
  int fd;

  assert_done(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                           NULL, &error));
  assert_done((store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error)) != NULL);
  vg = lvm_vg_copy(lvm_store_vg(store));
  change(vg);
  assert_done(lvm_store_commit(store, vg, NULL, "a stranger", &error));
  lvm_store_close(store);
  fd = open(copy, O_RDONLY | O_CLOEXEC);
  assert_int_equal(pread(fd, bytes, AREA, 0), AREA);
  close(fd);
  fd = open(path, O_WRONLY | O_CLOEXEC);
  assert_int_equal(pwrite(fd, bytes, AREA, 0), AREA);
  close(fd);
  unlink(copy);
}

static void rename_a_volume(LvmVg *vg)
{
  assert_done(lvm_vg_rename_lv(vg, lvm_vg_find_lv(vg, "v"), "renamed", &error));
}

static void ignore(const char *domain, GLogLevelFlags level, const char *message,
                   gpointer user_data)
{
  (*(guint *)user_data)++;
}

static void test_a_rename_by_a_stranger(void **state)
{
  char *path = helper_make(64 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  guint warnings = 0, handler;
  VtIo *volume;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", 0, MIB, 1);
  assert_done((volume = pool_volume_open(group, "v", FALSE, "guest", &error)) != NULL);
  handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, ignore, &warnings);
  change_behind_its_back(path, rename_a_volume);
  assert_done(pool_commit(group, &error)); /* once a second in a service */
  assert_int_equal(warnings, 1);
  assert_fails(pool_create(group, NULL, "w", 8 * MIB, &error), ESTALE, "restart the service");
  assert_fails(pool_snapshot(group, "v", "s", &error), ESTALE, "Reading and writing go on");
  /* The guest goes on, in new chunks, too. */
  assert_done(vt_io_write(volume, "still here", 10, 4 * MIB, &error));
  assert_done(vt_io_flush(volume, &error));
  vt_io_unref(volume);
  helper_close(group);
  g_log_remove_handler("virt-thin", handler);
  helper_judge(path, NULL);
  group = helper_open(path);
  helper_check(group, "renamed", 0, MIB, 1);
  assert_done(pool_snapshot(group, "renamed", "s", &error));
  helper_close(group);
}

static void make_another_pool(LvmVg *vg)
{
  assert_done(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "v"), &error));
  assert_done(lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, "data"), &error));
  assert_done(lvm_vg_add_thin_pool(vg, "theirs", 4, 2, 128 * KIB, &error) != NULL);
}

static void test_a_stranger_takes_the_extents(void **state)
{
  char *path = helper_make(64 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  g_autofree char *before = NULL, *after = NULL;
  g_autoptr(GError) last = NULL;
  guint warnings = 0, handler;
  VtIo *volume;

  assert_done(pool_create(group, NULL, "v", 8 * MIB, &error));
  helper_write(group, "v", 0, MIB, 1);
  assert_done((volume = pool_volume_open(group, "v", FALSE, "guest", &error)) != NULL);
  assert_done(vt_io_write(volume, "not flushed", 11, 4 * MIB, &error)); /* a commit is due */
  handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, ignore, &warnings);
  change_behind_its_back(path, make_another_pool);
  before = helper_digest(path);
  assert_fails(pool_commit(group, &error), ESTALE, "Its extents moved");
  assert_fails(vt_io_write(volume, "x", 1, 0, &error), ESTALE, NULL);
  assert_fails(vt_io_zero(volume, 0, 64 * KIB, VT_IO_ZERO_MAY_UNMAP, &error), ESTALE, NULL);
  assert_fails(vt_io_discard(volume, 0, 64 * KIB, &error), ESTALE, NULL);
  assert_fails(vt_io_flush(volume, &error), ESTALE, NULL);
  assert_fails(pool_create(group, NULL, "w", 8 * MIB, &error), ESTALE, "vgcfgrestore");
  vt_io_unref(volume);
  assert_false(pool_close(group, &last));
  helper_check_error("pool_close", last, ESTALE, NULL);
  g_log_remove_handler("virt-thin", handler);
  after = helper_digest(path);
  assert_string_equal(before, after);
}

/* --- another process --- */

static void test_another_process_is_named(void **state)
{
  char *path = helper_make(64 * MIB, 0);
  const char *devices[] = {path, NULL};
  g_autofree char *pid_text = NULL;
  int ready[2], status;
  pid_t pid;
  char byte;

  assert_int_equal(pipe(ready), 0);
  pid = fork();
  if (pid == 0) {
    VolumeGroup *group = pool_open_bundled("pve", &(PoolWhere){.devices = devices}, NULL);

    if (group && write(ready[1], "r", 1) == 1)
      pause();
    _exit(1);
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  pid_text = g_strdup_printf("pid %d (test-pool-stran", pid);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBUSY, pid_text);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  close(ready[0]);
  close(ready[1]);
  helper_close(helper_open(path)); /* a lock dies with its holder */
}

/* --- a block device: lvm2 is kept away by the VG's system_id --- */

static char *system_id(const char *path)
{
  const char *paths[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;

  assert_done((store = lvm_store_open(paths, NULL, TRUE, NULL, NULL, &error)) != NULL);
  return g_strdup(lvm_vg_system_id(lvm_store_vg(store)));
}

static void assert_taken(const char *path, gboolean taken)
{
  g_autofree char *id = system_id(path);

  if (taken)
    assert_true(id && g_str_has_prefix(id, "virt-thin."));
  else
    assert_null(id);
}

/* Open @device in a process that dies with it open. */
static void die_with_it_open(const char *device)
{
  const char *devices[] = {device, NULL};
  int status;
  pid_t pid = fork();

  if (pid == 0) {
    VolumeGroup *group = pool_open_bundled("pve", &(PoolWhere){.devices = devices}, NULL);

    if (group && pool_create(group, NULL, "v", 4 * MIB, NULL))
      raise(SIGKILL);
    _exit(1);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFSIGNALED(status));
}

static char *loop;

static void detach_loop(void)
{
  const char *argv[] = {"losetup", "-d", loop, NULL};

  if (loop)
    assert_done(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                             NULL, &error));
  g_clear_pointer(&loop, g_free);
}

static int teardown_loop(void **state)
{
  detach_loop();
  return helper_teardown(state);
}

/* NULL: this machine lets us have none. */
static const char *attach_loop(const char *path)
{
  const char *argv[] = {"losetup", "--find", "--show", path, NULL};
  int status;

  assert_done(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &loop, NULL,
                           &status, &error));
  if (status != 0)
    g_clear_pointer(&loop, g_free);
  return loop ? g_strstrip(loop) : NULL;
}

static void test_block_device(void **state)
{
  char *path = helper_path("disk");
  const char *names[] = {"v", NULL};
  const char *device;
  VolumeGroup *group;

  assert_true(g_file_set_contents(path, "", 0, NULL));
  assert_int_equal(truncate(path, 64 * MIB), 0);
  device = geteuid() == 0 ? attach_loop(path) : NULL;
  if (!device)
    skip();
  const char *devices[] = {device, NULL};

  assert_done(pool_init("pve", "data", device, 0, 0, NULL, &error));
  assert_taken(device, FALSE);
  group = helper_open(device);
  assert_taken(device, TRUE);
  assert_done(pool_create(group, NULL, "v", 4 * MIB, &error));
  helper_write(group, "v", 0, MIB, 1);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error), EBUSY,
               "test-pool-stran");
  assert_fails(pool_release("pve", &(PoolWhere){.devices = devices}, &error), EBUSY, NULL);
  assert_done(pool_remove(group, names, FALSE, &error));
  helper_close(group);
  assert_taken(device, FALSE);
  die_with_it_open(device);
  assert_taken(device, TRUE);
  assert_done(pool_release("pve", &(PoolWhere){.devices = devices}, &error));
  assert_taken(device, FALSE);
  group = helper_open(device);
  assert_done(pool_remove(group, names, FALSE, &error));
  helper_close(group);
  die_with_it_open(device);
  group = helper_open(device);
  assert_taken(device, TRUE);
  helper_close(group);
  assert_taken(device, FALSE);
  detach_loop();
  helper_judge(path, NULL);
}

/* --- many threads --- */

typedef struct {
  VolumeGroup *pool;
  guint number;
  gint *stop;
} Worker;

static void check_worker(gboolean ok, GError *error)
{
  if (!ok)
    g_error("%s", error->message);
}

/* A volume of its own: written, read, flushed, resized, snapshotted, rolled back. */
static gpointer work(gpointer user_data)
{
  Worker *w = user_data;
  g_autofree char *name = g_strdup_printf("v%u", w->number),
                  *snapshot = g_strdup_printf("snap_v%u_s", w->number);
  const char *const names[] = {snapshot, NULL};
  guint64 buf[512], found[512];
  GError *error = NULL;

  check_worker(pool_create(w->pool, NULL, name, 4 * MIB, &error), error);
  for (guint i = 0; i < 25; i++) {
    guint64 offset = (i * 7 % 60) * 64 * KIB;
    VtIo *volume = pool_volume_open(w->pool, name, FALSE, "worker", &error);

    check_worker(volume != NULL, error);
    for (guint j = 0; j < G_N_ELEMENTS(buf); j++)
      buf[j] = (guint64)w->number << 32 | (i * 1000 + j);
    check_worker(vt_io_write(volume, buf, sizeof buf, offset, &error), error);
    check_worker(vt_io_flush(volume, &error), error);
    vt_io_unref(volume);
    check_worker(pool_snapshot(w->pool, name, "s", &error), error);
    volume = pool_volume_open(w->pool, name, FALSE, "worker", &error);
    check_worker(volume != NULL, error);
    check_worker(vt_io_zero(volume, offset, sizeof buf, 0, &error), error);
    vt_io_unref(volume);
    check_worker(pool_rollback(w->pool, name, "s", &error), error);
    check_worker(pool_remove(w->pool, names, FALSE, &error), error);
    volume = pool_volume_open(w->pool, name, TRUE, "worker", &error);
    check_worker(volume != NULL, error);
    check_worker(vt_io_read(volume, found, sizeof found, offset, &error), error);
    if (memcmp(buf, found, sizeof buf) != 0)
      g_error("%s: something else was read than was written", name);
    vt_io_unref(volume);
  }
  return NULL;
}

static gpointer look(gpointer user_data)
{
  Worker *w = user_data;

  while (!g_atomic_int_get(w->stop)) {
    g_autoptr(GPtrArray) infos = pool_list_volumes(w->pool, NULL, NULL),
                         pools = pool_list_pools(w->pool, NULL);
    g_autoptr(GError) error = NULL;
    guint64 exclusive, shared;

    for (guint i = 0; i < infos->len; i++)
      pool_count_volume(w->pool, ((PoolVolumeInfo *)infos->pdata[i])->name, &exclusive, &shared,
                        NULL); /* it may be gone by now */
    check_worker(pool_commit(w->pool, &error), error);
  }
  return NULL;
}

static void test_many_threads(void **state)
{
  char *path = helper_make(128 * MIB, 0);
  VolumeGroup *group = helper_open(path);
  Worker workers[5];
  GThread *threads[5];
  gint stop = 0;

  for (guint i = 0; i < 5; i++) {
    workers[i] = (Worker){group, i, &stop};
    threads[i] = g_thread_new("worker", i < 4 ? work : look, &workers[i]);
  }
  for (guint i = 0; i < 4; i++)
    g_thread_join(threads[i]);
  g_atomic_int_set(&stop, 1);
  g_thread_join(threads[4]);
  helper_check_pool(group, NULL);
  helper_close(group);
  helper_judge(path, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, helper_setup, helper_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_a_rename_by_a_stranger),
      TEST(test_a_stranger_takes_the_extents),
      TEST(test_another_process_is_named),
      cmocka_unit_test_setup_teardown(test_block_device, helper_setup, teardown_loop),
      TEST(test_many_threads),
  };

  return cmocka_run_group_tests_name("pool-strangers", tests, NULL, NULL);
}
