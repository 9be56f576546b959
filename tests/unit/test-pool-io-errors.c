/* virt-thin - tests: every single I/O of every pool operation fails once
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For each operation: let the first write, flush, zero (or the second, the third...) to the PV
 * fail, and all after it, until the operation gets through. Whatever it said, the next open finds
 * the volume group as before or as after; if the operation said it was done, as after. Reads fail
 * likewise.
 */
#include "pool-helper.h"

#include <stdio.h>
#include <string.h>

#include "pool/bundled/bundled-private.h"

static VtIo *the_failer;
static guint read_that_fails = G_MAXUINT; /* once, of who opens */

static VtIo *open_failer(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  g_autoptr(VtIo) file = vt_io_open_file(path, read_only, error);
  VtIo *failer =
      file ? vt_io_failer_new(file, VT_IO_READ | VT_IO_ONCE, read_that_fails, EIO) : NULL;

  if (failer)
    the_failer = failer;
  return failer;
}

static gboolean op_create(VolumeGroup *group, GError **error)
{
  return pool_create(group, NULL, "new", 512 * KIB, error);
}

static gboolean op_snapshot(VolumeGroup *group, GError **error)
{
  return pool_snapshot(group, "v", "new", error);
}

static gboolean op_rollback(VolumeGroup *group, GError **error)
{
  return pool_rollback(group, "v", "s", error);
}

static gboolean op_rename(VolumeGroup *group, GError **error)
{
  return pool_rename(group, "v", "w", error);
}

static gboolean op_template(VolumeGroup *group, GError **error)
{
  return pool_template(group, "v", "base-1-v", error);
}

static gboolean op_grow(VolumeGroup *group, GError **error)
{
  return pool_resize(group, "v", MIB, FALSE, error);
}

static gboolean op_shrink(VolumeGroup *group, GError **error)
{
  return pool_resize(group, "v", 256 * KIB, TRUE, error);
}

static gboolean op_remove(VolumeGroup *group, GError **error)
{
  const char *const names[] = {"v", NULL};

  return pool_remove(group, names, TRUE, error);
}

static gboolean op_grow_pool(VolumeGroup *group, GError **error)
{
  return pool_resize_pool(group, NULL, 8 * MIB, FALSE, error);
}

static gboolean op_grow_metadata(VolumeGroup *group, GError **error)
{
  return pool_resize_pool(group, NULL, 3 * MIB, TRUE, error);
}

static gboolean op_create_pool(VolumeGroup *group, GError **error)
{
  const PoolNew params = {.size = MIB};

  return pool_create_pool(group, "second", &params, error);
}

static const struct {
  const char *name;
  gboolean (*run)(VolumeGroup *group, GError **error);
} ops[] = {
    {"create", op_create},
    {"snapshot", op_snapshot},
    {"rollback", op_rollback},
    {"rename", op_rename},
    {"grow", op_grow},
    {"shrink", op_shrink},
    {"remove", op_remove},
    {"grow pool", op_grow_pool},
    {"grow metadata", op_grow_metadata},
    {"create pool", op_create_pool},
    {"template", op_template},
};

/* All that can be seen, in one string. */
static char *describe(VolumeGroup *group)
{
  GString *text = g_string_new(NULL);
  g_autoptr(GPtrArray) infos = NULL, pools = NULL;

  assert_done((infos = pool_list_volumes(group, NULL, &error)) != NULL);
  for (guint i = 0; i < infos->len; i++) {
    PoolVolumeInfo *info = infos->pdata[i];
    g_autofree char *md5 = helper_md5(group, info->name, 0), *tags = g_strjoinv(",", info->tags);

    g_string_append_printf(text, "%s %" G_GUINT64_FORMAT " of %s, %s, %s%s; ", info->name,
                           info->size, info->origin, tags, md5,
                           info->read_only ? ", read-only" : "");
  }
  assert_done((pools = pool_list_pools(group, &error)) != NULL);
  for (guint i = 0; i < pools->len; i++) {
    PoolInfo *info = pools->pdata[i];

    g_string_append_printf(text, "%s %" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT " %s; ", info->name,
                           info->size, info->metadata_size, info->health);
  }
  return g_string_free(text, FALSE);
}

static void copy(const char *from, const char *to)
{
  const char *argv[] = {"cp", "--sparse=always", from, to, NULL};

  assert_done(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL,
                           NULL, &error));
}

static char *make_base(void)
{
  const PoolNew params = {.size = 4 * MIB, .metadata_size = 2 * MIB};
  char *path = helper_path("base.img");
  VolumeGroup *group;

  assert_done(pool_init("pve", "data", path, 40 * MIB, 64 * KIB, &params, &error));
  group = helper_open(path);
  assert_done(pool_create(group, NULL, "v", 512 * KIB, &error));
  helper_write(group, "v", 0, 384 * KIB, 1);
  assert_done(pool_snapshot(group, "v", "s", &error));
  helper_write(group, "v", 0, 128 * KIB, 2);
  helper_close(group);
  return path;
}

static char *state_after(const char *base, gboolean (*run)(VolumeGroup *group, GError **error))
{
  char *path = helper_path("after.img"), *text;
  VolumeGroup *group;

  copy(base, path);
  group = helper_open(path);
  if (run)
    assert_done(run(group, &error));
  text = describe(group);
  helper_close(group);
  return text;
}

/* Of what was cut off nothing comes back. */
static void check_shrunk(VolumeGroup *group)
{
  assert_done(pool_resize(group, "v", 512 * KIB, FALSE, &error));
  helper_check(group, "v", 256 * KIB, 256 * KIB, 0);
}

/* TRUE: no I/O was left to fail. */
static gboolean fail_at(const char *base, guint op, VtIoKinds kinds, guint countdown,
                        const char *before, const char *after, guint *n_before)
{
  char *path = helper_path("failing.img");
  const char *devices[] = {path, NULL};
  g_autofree char *found = NULL;
  g_autoptr(GError) failure = NULL;
  gboolean done, through;
  guint seen;
  VolumeGroup *group;

  copy(base, path);
  assert_done((group = bundled_open("pve", &(PoolWhere){.devices = devices}, open_failer, NULL,
                                    &error)) != NULL);
  vt_io_failer_arm(the_failer, kinds, countdown, EIO);
  seen = vt_io_failer_count(the_failer);
  done = ops[op].run(group, &failure);
  if (!done && !failure)
    fail_msg("%s failed at %u without saying why", ops[op].name, countdown);
  through = done && countdown >= vt_io_failer_count(the_failer) - seen;
  pool_close(group, NULL); /* with the disk still broken */
  group = helper_open(path);
  found = describe(group);
  if (ops[op].run == op_shrink && strcmp(found, after) == 0)
    check_shrunk(group);
  helper_check_pool(group, "data");
  helper_close(group);
  if (strcmp(found, after) == 0)
    return through;
  if (done || strcmp(found, before) != 0)
    fail_msg("%s, failing at %u: %s\nfound:  %s\nbefore: %s\nafter:  %s", ops[op].name, countdown,
             done ? "done" : failure->message, found, before, after);
  (*n_before)++;
  return through;
}

static void fail_each(VtIoKinds kinds)
{
  char *base = make_base();
  g_autofree char *before = state_after(base, NULL);
  guint total = 0, kept = 0;

  for (guint op = 0; op < G_N_ELEMENTS(ops); op++) {
    g_autofree char *after = state_after(base, ops[op].run);
    guint n = 0;

    while (!fail_at(base, op, kinds, n, before, after, &kept)) {
      n++;
      if (n > 500)
        fail_msg("%s fails for ever", ops[op].name);
    }
    total += n;
  }
  print_message("# %u failures, %u of them left all as it was\n", total, kept);
}

/* What fails at write @countdown leaves something to recover. Let each read of that fail once: who
 * gets through all the same has done all of it. */
static gboolean fail_recovery(const char *base, guint op, guint countdown)
{
  char *path = helper_path("failing.img"), *copied = helper_path("recovered.img");
  const char *devices[] = {path, NULL};
  const PoolWhere where = {.devices = devices};
  gboolean done, more = TRUE;
  VolumeGroup *group;

  copy(base, path);
  assert_done((group = bundled_open("pve", &where, open_failer, NULL, &error)) != NULL);
  vt_io_failer_arm(the_failer, VT_IO_WRITE | VT_IO_FLUSH | VT_IO_ZERO, countdown, EIO);
  done = ops[op].run(group, NULL);
  pool_close(group, NULL);
  copy(path, copied);
  for (read_that_fails = 0; more && !done; read_that_fails++) {
    copy(copied, path);
    group = bundled_open("pve", &where, open_failer, NULL, NULL);
    more = !group || vt_io_failer_failed(the_failer) > 0;
    if (group)
      pool_close(group, NULL);
    pool_clear_needs_check("pve", "data", &where, NULL); /* a commit may have failed */
    group = helper_open(path);
    helper_check_pool(group, "data");
    helper_close(group);
  }
  read_that_fails = G_MAXUINT;
  return !done;
}

static void silence(const char *domain, GLogLevelFlags level, const char *message,
                    gpointer user_data)
{
}

static void test_every_write_fails_once(void **state)
{
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, silence, NULL);

  fail_each(VT_IO_WRITE | VT_IO_FLUSH | VT_IO_ZERO);
  g_log_remove_handler("virt-thin", handler);
}

static void test_every_read_fails_once(void **state)
{
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, silence, NULL);

  fail_each(VT_IO_READ);
  g_log_remove_handler("virt-thin", handler);
}

static void test_every_read_of_a_recovery_fails_once(void **state)
{
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, silence, NULL);
  char *base = make_base();

  for (guint op = 0; op < G_N_ELEMENTS(ops); op++)
    if (ops[op].run == op_remove || ops[op].run == op_rollback)
      for (guint n = 0; fail_recovery(base, op, n); n++)
        ;
  g_log_remove_handler("virt-thin", handler);
}

static void note_shrunk(const char *domain, GLogLevelFlags level, const char *message,
                        gpointer user_data)
{
  gboolean *told = user_data;

  *told |= strstr(message, "volume v has become smaller, but that could not be tidied up") != NULL;
}

/* Shrink v while all fails from write @countdown on. TRUE: it was done, but the text was not tidied
 * up: that is told, nothing is changed any more, and the next open does it. */
static gboolean shrink_untidily(const char *base, guint countdown, const char *after)
{
  char *path = helper_path("untidy.img");
  const char *devices[] = {path, NULL};
  g_autofree char *found = NULL;
  g_autoptr(GError) failure = NULL;
  gboolean told = FALSE, done, untidy;
  guint handler = g_log_set_handler("virt-thin", G_LOG_LEVEL_WARNING, note_shrunk, &told);
  VolumeGroup *group;

  copy(base, path);
  assert_done((group = bundled_open("pve", &(PoolWhere){.devices = devices}, open_failer, NULL,
                                    &error)) != NULL);
  vt_io_failer_arm(the_failer, VT_IO_WRITE | VT_IO_FLUSH | VT_IO_ZERO, countdown, EIO);
  done = op_shrink(group, NULL);
  untidy = done && vt_io_failer_failed(the_failer) > 0;
  assert_int_equal(told, untidy);
  vt_io_failer_arm(the_failer, VT_IO_WRITE, G_MAXUINT, EIO); /* the disk is well again */
  if (untidy) {
    assert_false(op_create(group, &failure));
    assert_non_null(failure);
  }
  pool_close(group, NULL);
  g_log_remove_handler("virt-thin", handler);
  if (!untidy)
    return FALSE;
  group = helper_open(path);
  found = describe(group);
  assert_string_equal(found, after);
  check_shrunk(group);
  helper_close(group);
  return TRUE;
}

static void test_shrunk_and_not_tidied_up(void **state)
{
  char *base = make_base();
  g_autofree char *after = state_after(base, op_shrink);
  guint n = 0;

  for (guint countdown = 0; countdown < 100; countdown++)
    n += shrink_untidily(base, countdown, after);
  print_message("# %u times\n", n);
  assert_true(n > 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_every_write_fails_once, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_every_read_fails_once, helper_setup, helper_teardown),
      cmocka_unit_test_setup_teardown(test_every_read_of_a_recovery_fails_once, helper_setup,
                                      helper_teardown),
      cmocka_unit_test_setup_teardown(test_shrunk_and_not_tidied_up, helper_setup, helper_teardown),
  };

  return cmocka_run_group_tests_name("pool-io-errors", tests, NULL, NULL);
}
