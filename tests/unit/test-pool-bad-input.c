/* virt-thin - tests: names and sizes that cannot be, each with its message, and that nothing
 * changed SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool-helper.h"

#include <string.h>
#include <unistd.h>

#include "settings/settings.h"

typedef struct {
  char *path;
  char *before; /* digest of the PV, taken when the pool is open and idle */
  VolumeGroup *pool;
} Ground;

static Ground ground(void)
{
  Ground g = {helper_make(64 * MIB, 0), NULL, NULL};

  g.pool = helper_open(g.path);
  assert_done(pool_create(g.pool, NULL, "v", 8 * MIB, &error));
  helper_write(g.pool, "v", 0, MIB, 1);
  assert_done(pool_snapshot(g.pool, "v", "s", &error));
  assert_done(pool_commit(g.pool, &error));
  g.before = helper_digest(g.path);
  return g;
}

/* Not a byte of the PV has changed, nor has what is listed. */
static void assert_unchanged(Ground *g)
{
  g_autofree char *after = helper_digest(g->path), *names = helper_names(g->pool);

  assert_string_equal(g->before, after);
  assert_string_equal(names, "snap_v_s v");
}

static void leave(Ground *g)
{
  helper_check(g->pool, "v", 0, MIB, 1);
  helper_close(g->pool);
  helper_judge(g->path, NULL);
  g_free(g->before);
}

/* What goes into messages must not play tricks on a terminal. */
static void assert_printable(const GError *error)
{
  for (const char *p = error->message; *p; p++)
    if ((guchar)*p < ' ' || *p == 127)
      fail_msg("control character in \"%s\"", error->message);
}

static const char *const bad_names[] = {
    "",           "-v",        "--size",    ".",
    "..",         "a/b",       "/",         "../../etc/passwd",
    "a b",        " ",         "a\tb",      "a\nb",
    "v\n",        "a\033[2Jb", "-\033[2J",  "a&amp;b",
    "<name>",     "a\"b",      "a'b",       "a;b",
    "a|b",        "a$b",       "a`b`",      "a\\b",
    "a*",         "a?",        "a[b]",      "a:b",
    "a,b",        "a=b",       "a@b",       "a#b",
    "a%b",        "a!b",       "a~b",       "caf\xc3\xa9",
    "\xff\xfe",   "snapshot",  "snapshot1", "pvmove0",
    "a_tdata",    "a_tmeta",   "a_pmspare", "x_cdata",
    "x_rimage_0", "x_mlog",    "x_vorigin", "x_mimage_1",
};

static void test_names(void **state)
{
  Ground g = ground();
  g_autofree char *just_too_long = g_strnfill(128, 'n'), *far_too_long = g_strnfill(100000, 'n');
  g_autoptr(GPtrArray) names = g_ptr_array_new();

  for (gsize i = 0; i < G_N_ELEMENTS(bad_names); i++)
    g_ptr_array_add(names, (gpointer)bad_names[i]);
  g_ptr_array_add(names, just_too_long);
  g_ptr_array_add(names, far_too_long);
  for (guint i = 0; i < names->len; i++) {
    g_autoptr(GError) create = NULL, clone = NULL, rename = NULL, pool = NULL, get = NULL;

    assert_false(pool_create(g.pool, NULL, names->pdata[i], MIB, &create));
    assert_false(pool_clone(g.pool, "v", names->pdata[i], 0, &clone));
    assert_false(pool_rename(g.pool, "v", names->pdata[i], &rename));
    assert_false(pool_create_pool(g.pool, names->pdata[i], NULL, &pool));
    assert_null(pool_get_volume(g.pool, names->pdata[i], &get));
    helper_check_error(names->pdata[i], create, EINVAL, NULL);
    helper_check_error(names->pdata[i], clone, EINVAL, NULL);
    helper_check_error(names->pdata[i], rename, EINVAL, NULL);
    helper_check_error(names->pdata[i], pool, EINVAL, NULL);
    helper_check_error(names->pdata[i], get, ENOENT, NULL);
    assert_printable(create);
    assert_printable(clone);
    assert_printable(rename);
    assert_printable(pool);
    assert_printable(get);
    assert_true(strlen(create->message) < 1000);
    assert_true(strlen(get->message) < 1000);
  }
  assert_unchanged(&g);
  leave(&g);
}

static void test_what_the_messages_say(void **state)
{
  Ground g = ground();
  g_autofree char *too_long = g_strnfill(128, 'n');

  assert_fails(
      pool_create(g.pool, NULL, "a/b", MIB, &error), EINVAL,
      "cannot create volume pve/a/b: volume name \"a/b\" has a character that LVM does not allow");
  assert_fails(pool_create(g.pool, NULL, "-v", MIB, &error), EINVAL, "must not begin with '-'");
  assert_fails(pool_create(g.pool, NULL, too_long, MIB, &error), EINVAL,
               "too long: 128 characters, at most 127");
  assert_fails(pool_create(g.pool, NULL, "pvmove0", MIB, &error), EINVAL, "LVM keeps for itself");
  assert_fails(pool_create(g.pool, NULL, "", MIB, &error), EINVAL, "must not be empty");
  assert_fails(pool_create(g.pool, NULL, "v", MIB, &error), EEXIST, "v");
  assert_fails(pool_create(g.pool, NULL, "data", MIB, &error), EEXIST, "data");
  assert_fails(pool_create(g.pool, "fast", "w", MIB, &error), ENOENT, "no thin pool fast");
  assert_fails(pool_snapshot(g.pool, "v", "", &error), EINVAL, "needs a name");
  assert_fails(pool_snapshot(g.pool, "v", "a b", &error), EINVAL, "does not allow");
  assert_fails(pool_snapshot(g.pool, "data", "s", &error), EINVAL, "is a thin pool, not a volume");
  assert_fails(pool_rename(g.pool, "data", "other", &error), EINVAL, "is a thin pool");
  assert_fails(pool_rename(g.pool, "data_tmeta", "other", &error), ENOENT, NULL);
  assert_fails(pool_resize(g.pool, "data_tmeta", GIB, FALSE, &error), ENOENT, NULL);
  assert_fails(pool_volume_open(g.pool, "data_tdata", FALSE, "me", &error), ENOENT, NULL);
  assert_fails(pool_volume_open(g.pool, "lvol0_pmspare", FALSE, "me", &error), ENOENT, NULL);
  assert_unchanged(&g);
  leave(&g);
}

static void test_sizes(void **state)
{
  const guint64 too_large[] = {G_GUINT64_CONSTANT(1) << 54, (guint64)G_MAXUINT32 * 4 * MIB + 1,
                               G_MAXINT64, G_MAXUINT64 - 1, G_MAXUINT64};
  Ground g = ground();

  for (gsize i = 0; i < G_N_ELEMENTS(too_large); i++) {
    assert_fails(pool_create(g.pool, NULL, "w", too_large[i], &error), EINVAL,
                 "LVM addresses at most 16.00 PiB");
    assert_fails(pool_clone(g.pool, "v", "w", too_large[i], &error), EINVAL,
                 "LVM addresses at most");
    assert_fails(pool_resize(g.pool, "v", too_large[i], FALSE, &error), EINVAL,
                 "LVM addresses at most");
    assert_fails(pool_resize_pool(g.pool, NULL, too_large[i], FALSE, &error), EINVAL,
                 "LVM addresses at most");
  }
  assert_fails(pool_create(g.pool, NULL, "w", 0, &error), EINVAL, "size of 0");
  assert_fails(pool_resize(g.pool, "v", 0, TRUE, &error), EINVAL, "size of 0");
  assert_fails(pool_resize_pool(g.pool, NULL, 0, FALSE, &error), EINVAL, "size of 0");
  assert_fails(pool_resize_pool(g.pool, NULL, GIB, FALSE, &error), ENOSPC, NULL);
  assert_fails(pool_resize_pool(g.pool, NULL, 20 * GIB, TRUE, &error), EINVAL, NULL);
  assert_unchanged(&g);
  leave(&g);
}

static void test_pool_layouts(void **state)
{
  const struct {
    PoolNew params;
    int errnum;
  } cases[] = {
      {{.size = 8 * MIB, .chunk_size = 48 * KIB},
       EINVAL}, /* less than 64 KiB, or no multiple of it */
      {{.size = 8 * MIB, .chunk_size = 100 * KIB}, EINVAL},
      {{.size = 8 * MIB, .chunk_size = 2 * GIB}, EINVAL},
      {{.size = 4 * MIB, .chunk_size = GIB}, EINVAL}, /* not one chunk fits */
      {{.size = 8 * MIB, .metadata_size = 64 * GIB}, EINVAL},
      {{.size = GIB}, ENOSPC},
      {{.reserve = GIB}, ENOSPC},
      {{0}, ENOSPC}, /* the first pool took all */
  };
  Ground g = ground();

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
    assert_fails(pool_create_pool(g.pool, "fast", &cases[i].params, &error), cases[i].errnum,
                 "cannot create thin pool pve/fast");
  assert_unchanged(&g);
  leave(&g);
}

/* --- new volume groups --- */

static void assert_absent(const char *path)
{
  assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void test_init(void **state)
{
  char *path = helper_path("new.img"), *folder = helper_path("no/such/folder/x.img");
  const PoolNew chunk = {.chunk_size = 100 * KIB}, large = {.size = GIB};
  g_autofree char *too_long = g_strnfill(128, 'v');

  assert_fails(pool_init("a/b", "data", path, GIB, 0, NULL, &error), EINVAL, "does not allow");
  assert_fails(pool_init("-pve", "data", path, GIB, 0, NULL, &error), EINVAL,
               "must not begin with '-'");
  assert_fails(pool_init(too_long, "data", path, GIB, 0, NULL, &error), EINVAL, "too long");
  assert_fails(pool_init("pve", "da ta", path, GIB, 0, NULL, &error), EINVAL, "does not allow");
  assert_fails(pool_init("pve", "a_tdata", path, GIB, 0, NULL, &error), EINVAL,
               "LVM keeps for itself");
  assert_fails(pool_init("pve", "data", path, 0, 0, NULL, &error), EINVAL, "give a size");
  assert_fails(pool_init("pve", "data", path, MIB, 0, NULL, &error), EINVAL, "too small");
  assert_fails(pool_init("pve", "data", path, 25 * MIB, 0, NULL, &error), ENOSPC, NULL);
  assert_fails(pool_init("pve", "data", path, G_MAXUINT64, 0, NULL, &error), ENOSPC, NULL);
  assert_fails(pool_init("pve", "data", path, 128 * MIB, 0, &chunk, &error), EINVAL, NULL);
  assert_fails(pool_init("pve", "data", path, 128 * MIB, 0, &large, &error), ENOSPC, NULL);
  assert_fails(pool_init("pve", "data", path, 128 * MIB, 100, NULL, &error), EINVAL, NULL);
  assert_fails(pool_init("pve", "data", folder, GIB, 0, NULL, &error), ENOENT, "no/such/folder");
  assert_fails(pool_init("pve", "data", helper_folder(), GIB, 0, NULL, &error), EINVAL,
               "neither a file nor a block device");
  assert_absent(path);
}

static void test_init_keeps_what_is_there(void **state)
{
  char *path = helper_make(64 * MIB, 0), *text = helper_path("notes"),
       *empty = helper_path("empty.img");
  const char *devices[] = {path, NULL};
  g_autofree char *before = helper_digest(path), *after = NULL, *notes_before = NULL,
                  *notes_after = NULL, *owner = NULL;
  g_autoptr(PoolVg) vg = NULL;
  g_autofree char *ext = g_malloc0(2 * MIB);

  vg = pool_find_vg("pve", &(PoolWhere){.devices = devices});
  assert_string_equal(vg->devices[0], path);
  assert_string_equal(vg->thin_pools->pdata[0], "data");
  assert_null(pool_find_vg("pve2", &(PoolWhere){.devices = devices}));
  owner = pool_vg_of(path, NULL);
  assert_string_equal(owner, "pve");
  assert_fails(pool_init("pve2", "data", path, 0, 0, NULL, &error), EEXIST,
               NULL); /* two pools over one file */
  assert_fails(pool_init("pve2", "data", path, 65 * MIB, 0, NULL, &error), EEXIST, NULL);
  assert_fails(pool_init("pve2", "data", path, 32 * MIB, 0, NULL, &error), EINVAL, "larger");
  after = helper_digest(path);
  assert_string_equal(before, after);
  helper_judge(path, NULL);
  /* A file system there is. */
  ext[1024 + 56] = 0x53, ext[1024 + 57] = (char)0xef, ext[1024] = 16, ext[1024 + 4] = 64;
  assert_true(g_file_set_contents(text, ext, 2 * MIB, NULL));
  assert_int_equal(truncate(text, 64 * MIB), 0);
  notes_before = helper_digest(text);
  assert_fails(pool_init("pve2", "data", text, 0, 0, NULL, &error), EEXIST, NULL);
  notes_after = helper_digest(text);
  assert_string_equal(notes_before, notes_after);
  /* An empty file is grown, and brought back to nothing when the rest fails. */
  assert_true(g_file_set_contents(empty, "", 0, NULL));
  assert_fails(pool_init("pve2", "data", empty, 25 * MIB, 0, NULL, &error), ENOSPC, NULL);
  g_clear_pointer(&after, g_free);
  assert_true(g_file_get_contents(empty, &after, NULL, NULL));
  assert_string_equal(after, "");
  assert_done(pool_init("pve2", "data", empty, 64 * MIB, 0, NULL, &error));
  helper_judge(empty, NULL);
}

static void test_extend(void **state)
{
  Ground g = ground();
  char *text = helper_path("small"), *none = helper_path("none");

  assert_true(g_file_set_contents(text, "", 0, NULL));
  assert_fails(pool_extend(g.pool, none, &error), ENOENT, "none");
  assert_fails(pool_extend(g.pool, g.path, &error), EEXIST, "already");
  assert_fails(pool_extend(g.pool, helper_folder(), &error), EISDIR, NULL);
  assert_fails(pool_extend(g.pool, text, &error), EINVAL, "too small");
  assert_unchanged(&g);
  leave(&g);
}

static void test_opening_what_is_not_there(void **state)
{
  char *path = helper_make(64 * MIB, 0);
  const char *devices[] = {path, NULL}, *none[] = {helper_path("none"), NULL}, *nothing[] = {NULL};

  assert_fails(pool_open_bundled("other", &(PoolWhere){.devices = devices}, &error), ENOENT,
               "other");
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = none}, &error), ENOENT, "none");
  assert_fails(pool_open_bundled(NULL, &(PoolWhere){.devices = none}, &error), ENOENT, NULL);
  assert_fails(pool_open_bundled("pve", &(PoolWhere){.devices = nothing}, &error), ENOENT,
               "--device");
}

/* --- overcommit --- */

static void test_overcommit_is_reported(void **state)
{
  Ground g = ground();
  g_autoptr(PoolInfo) info = NULL;

  assert_done(
      pool_create(g.pool, NULL, "huge", 1024 * GIB, &error)); /* that is thin provisioning */
  assert_done((info = pool_get_info(g.pool, NULL, &error)) != NULL);
  assert_int_equal(info->virtual_size, 1024 * GIB + 16 * MIB);
  assert_fails(pool_create(g.pool, NULL, "slip", 10241 * GIB, &error), EPERM, "largest-volume");
  assert_true(info->virtual_size > info->size);
  leave(&g);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, helper_setup, helper_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_names),
      TEST(test_what_the_messages_say),
      TEST(test_sizes),
      TEST(test_pool_layouts),
      TEST(test_init),
      TEST(test_init_keeps_what_is_there),
      TEST(test_extend),
      TEST(test_opening_what_is_not_there),
      TEST(test_overcommit_is_reported),
  };

  return cmocka_run_group_tests_name("pool-bad-input", tests, NULL, NULL);
}
