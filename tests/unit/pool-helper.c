/* virt-thin - tests: volume groups in a temporary folder
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"
#include "util/memory.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

static char *folder;
static GPtrArray *paths;

static void run(const char *const *argv)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr(GError) error = NULL;
  int status;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                    &error))
    fail_msg("%s: %s", argv[0], error->message);
  if (!g_spawn_check_wait_status(status, &error))
    fail_msg("%s: %s\n%s%s", argv[0], error->message, out, err);
}

/* Settings are read once, so all tests of a program share this one; each test's own folder is in
 * it, too. */
static char *root;
static pid_t cleaner;
static int cleaner_input;

/* A process of its own removes the folder when the program ends, however that happens: it reads
 * from a pipe until nobody has the other end. */
static void start_cleaner(void)
{
  int ends[2];

  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  cleaner = fork();
  assert_true(cleaner >= 0);
  if (cleaner == 0) {
    int null = open("/dev/null", O_WRONLY);

    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (dup2(ends[0], 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2)
      execl("/bin/sh", "sh", "-c", "cat; exec rm -rf -- \"$0\"", root, NULL);
    _exit(127);
  }
  close(ends[0]);
  cleaner_input = ends[1];
}

static void clean(void)
{
  close(cleaner_input);
  waitpid(cleaner, NULL, 0);
  g_free(root);
}

/* In memory, where there is room: tests flush a lot. */
static void choose_place(void)
{
  struct statvfs fs;

  if (!g_getenv("TMPDIR") && statvfs("/dev/shm", &fs) == 0 &&
      (guint64)fs.f_bavail * fs.f_frsize >= GIB)
    g_setenv("TMPDIR", "/dev/shm", TRUE);
}

int helper_setup(void **state)
{
  if (!root) {
    g_autofree char *state_folder = NULL;

    choose_place();
    root = g_dir_make_tmp("virt-thin-tests-XXXXXX", NULL);
    assert_non_null(root);
    start_cleaner();
    atexit(clean);
    state_folder = g_build_filename(root, "state", NULL);
    g_setenv("VIRT_THIN_STATE_DIR", state_folder, TRUE);
    g_setenv("VIRT_THIN_CONFIG", "/dev/null", TRUE);
  }
  folder = g_mkdtemp(g_build_filename(root, "XXXXXX", NULL));
  paths = g_ptr_array_new_with_free_func(g_free);
  return folder ? 0 : -1;
}

int helper_teardown(void **state)
{
  const char *argv[] = {"rm", "-rf", folder, NULL};

  run(argv);
  g_clear_pointer(&folder, g_free);
  g_clear_pointer(&paths, g_ptr_array_unref);
  return 0;
}

const char *helper_folder(void)
{
  return folder;
}

char *helper_path(const char *name)
{
  char *path = g_build_filename(folder, name, NULL);

  g_ptr_array_add(paths, path);
  return path;
}

void helper_check_error(const char *call, const GError *error, int errnum, const char *text)
{
  if (!error)
    fail_msg("%s: failed without saying why", call);
  if (error->domain != VT_ERROR || error->code != errnum)
    fail_msg("%s: code %d, not %d: %s", call, error->code, errnum, error->message);
  if (text && !strstr(error->message, text))
    fail_msg("%s: \"%s\" does not say \"%s\"", call, error->message, text);
}

char *helper_make(guint64 size, guint64 extent_size)
{
  char *path = helper_path("pv.img");

  assert_done(pool_init("pve", "data", path, size, extent_size, NULL, &error));
  return path;
}

static VolumeGroup *open_pool(const char *path, PoolOpenFlags flags)
{
  const char *devices[] = {path, NULL};
  VolumeGroup *group;

  assert_done((group = pool_open_bundled(NULL, &(PoolWhere){.devices = devices, .flags = flags},
                                         &error)) != NULL);
  return group;
}

VolumeGroup *helper_open(const char *path)
{
  return open_pool(path, 0);
}

VolumeGroup *helper_open_read(const char *path)
{
  return open_pool(path, POOL_READ_ONLY);
}

void helper_close(VolumeGroup *group)
{
  assert_done(pool_close(group, &error));
}

char *helper_fixture(const char *name)
{
  g_autofree char *archive =
      g_strdup_printf("%s/tests/fixtures/pools/%s.img.tar.zst", g_getenv("abs_top_srcdir"), name);
  g_autofree char *image = g_strconcat(name, ".img", NULL);
  const char *argv[] = {"tar", "--zstd", "-xSf", archive, "-C", folder, NULL};
  char *path = helper_path(image);

  run(argv);
  if (chmod(path, 0600) != 0)
    fail_msg("%s: %s", path, g_strerror(errno));
  return path;
}

/* --- looking at bytes --- */

#define BLOCK 4096

char *helper_digest(const char *path)
{
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  guint8 block[BLOCK];
  struct stat st;
  off_t end = 0;

  assert_true(fd >= 0 && fstat(fd, &st) == 0);
  g_checksum_update(sum, (guchar *)&st.st_size, sizeof st.st_size);
  for (off_t start; (start = lseek(fd, end, SEEK_DATA)) >= 0;) {
    end = lseek(fd, start, SEEK_HOLE);
    for (start &= ~(off_t)(BLOCK - 1); start < end; start += BLOCK) {
      ssize_t got = pread(fd, block, BLOCK, start);

      assert_true(got > 0);
      if (vt_is_zero(block, got))
        continue;
      g_checksum_update(sum, (guchar *)&start, sizeof start);
      g_checksum_update(sum, block, got);
    }
  }
  close(fd);
  return g_strdup(g_checksum_get_string(sum));
}

char *helper_md5(VolumeGroup *group, const char *name, guint64 length)
{
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_MD5);
  g_autofree guint8 *buf = g_malloc(MIB);
  VtIo *volume;

  assert_done((volume = pool_volume_open(group, name, TRUE, "md5", &error)) != NULL);
  if (!length)
    length = vt_io_size(volume);
  for (guint64 offset = 0; offset < length; offset += MIB) {
    gsize n = MIN(MIB, length - offset);

    assert_done(vt_io_read(volume, buf, n, offset, &error));
    g_checksum_update(sum, buf, n);
  }
  vt_io_unref(volume);
  return g_strdup(g_checksum_get_string(sum));
}

/* Every eight bytes tell seed and place. */
static void fill(guint64 *words, guint64 offset, guint64 length, guint seed)
{
  for (guint64 i = 0; i < length / 8; i++)
    words[i] = seed ? ((offset / 8 + i) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15)) ^
                          ((guint64)seed << 32 | seed)
                    : 0;
}

void helper_write(VolumeGroup *group, const char *name, guint64 offset, guint64 length, guint seed)
{
  g_autofree guint64 *words = g_malloc(length);
  VtIo *volume;

  fill(words, offset, length, seed);
  assert_done((volume = pool_volume_open(group, name, FALSE, "writer", &error)) != NULL);
  assert_done(vt_io_write(volume, words, length, offset, &error));
  assert_done(vt_io_flush(volume, &error));
  vt_io_unref(volume);
}

void helper_check(VolumeGroup *group, const char *name, guint64 offset, guint64 length, guint seed)
{
  g_autofree guint64 *words = g_malloc(length), *found = g_malloc(length);
  VtIo *volume;

  fill(words, offset, length, seed);
  assert_done((volume = pool_volume_open(group, name, TRUE, "reader", &error)) != NULL);
  assert_done(vt_io_read(volume, found, length, offset, &error));
  vt_io_unref(volume);
  if (memcmp(words, found, length) != 0)
    fail_msg("%s: not what was written with seed %u at %" G_GUINT64_FORMAT, name, seed, offset);
}

/* --- looking at volumes --- */

static gint compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp((*(PoolVolumeInfo *const *)a)->name, (*(PoolVolumeInfo *const *)b)->name);
}

char *helper_names(VolumeGroup *group)
{
  GString *names = g_string_new(NULL);
  GPtrArray *infos;

  assert_done((infos = pool_list_volumes(group, NULL, &error)) != NULL);
  g_ptr_array_sort(infos, compare_names);
  for (guint i = 0; i < infos->len; i++)
    g_string_append_printf(names, "%s%s", i ? " " : "", ((PoolVolumeInfo *)infos->pdata[i])->name);
  g_ptr_array_unref(infos);
  return g_string_free(names, FALSE);
}

PoolVolumeInfo *helper_info(VolumeGroup *group, const char *volume)
{
  PoolVolumeInfo *info;

  assert_done((info = pool_get_volume(group, volume, &error)) != NULL);
  return info;
}

void helper_check_pool(VolumeGroup *group, const char *thin_pool)
{
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;

  assert_done(pool_check(group, thin_pool, &errors, &leaks, &error));
  if (errors->len)
    fail_msg("check: %s", (char *)errors->pdata[0]);
  if (leaks->len)
    fail_msg("check: leak: %s", (char *)leaks->pdata[0]);
}

void helper_judge(const char *path, const char *second_path)
{
  g_autofree char *judge = g_strdup_printf("%s/scripts/judge", g_getenv("abs_top_srcdir"));
  const char *argv[] = {judge, "--quiet", path, second_path, NULL};

  if (geteuid() == 0)
    run(argv);
}

void edit_text(const char *path, void (*change)(LvmVg *vg))
{
  const char *paths[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;
  LvmVg *vg;

  assert_done((store = lvm_store_open(paths, NULL, FALSE, NULL, NULL, &error)) != NULL);
  vg = lvm_vg_copy(lvm_store_vg(store));
  change(vg);
  assert_done(lvm_store_commit(store, vg, NULL, "edited by a test", &error));
}
