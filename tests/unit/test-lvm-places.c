/* virt-thin - tests: odd labels, headers and texts; whose they are, and how they are found
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lvm-helper.h"
#include "lvm/lvm-conf.h"
#include "lvm/store-private.h"
#include "lvm/texts.h"
#include "util/crc.h"

#define SIZE (16 * MIB)

static char *folder, *paths[2];
static char *first_mib[2]; /* of each, as it was made */

static int setup(void **state)
{
  folder = lvm_test_folder();
  lvm_store_close(lvm_test_create(folder, 2, SIZE, MIB, paths));
  for (guint i = 0; i < 2; i++) {
    int fd = open(paths[i], O_RDONLY);

    first_mib[i] = g_malloc(MIB);
    assert_int_equal(pread(fd, first_mib[i], MIB, 0), MIB);
    close(fd);
  }
  g_setenv("LVM_SYSTEM_DIR", folder, TRUE);
  return 0;
}

static int teardown(void **state)
{
  g_unsetenv("LVM_SYSTEM_DIR");
  for (guint i = 0; i < 2; i++) {
    g_free(first_mib[i]);
    g_free(paths[i]);
  }
  lvm_test_clean(folder);
  return 0;
}

static void restore(void)
{
  for (guint i = 0; i < 2; i++)
    lvm_test_put(paths[i], 0, first_mib[i], MIB);
}

static LvmStore *open_both(gboolean read_only, GError **error)
{
  const char *both[] = {paths[0], paths[1], NULL};

  return lvm_store_open(both, NULL, read_only, NULL, NULL, error);
}

/* --- all that is asked of what lies there ------------------------------------------- */

static void use_lv(LvmStore *store, LvmLv *lv)
{
  g_autofree char *damage = lvm_store_lv_damage(store, lv), *buf = g_malloc(3 * MIB);
  g_autoptr(LvmVg) vg = lvm_vg_copy(lvm_store_vg(store));
  const char *name = lvm_lv_name(lv);
  VtIo *io = NULL;

  assert_true(lvm_store_sector_size(store, lv) >= 512);
  TRY(io = lvm_store_open_lv(store, name, TRUE, &error));
  if (io) {
    TRY(vt_io_read(io, buf, MIN(3 * MIB, vt_io_size(io)), 0, &error));
    TRY(vt_io_read(io, buf, 0, 0, &error));
    vt_io_unref(io);
  }
  io = NULL;
  TRY(io = lvm_store_open_lv(store, name, FALSE, &error));
  if (io) {
    guint64 n = MIN(3 * MIB, vt_io_size(io));
    TRY(vt_io_write(io, buf, n, 0, &error) && vt_io_zero(io, 0, n, 0, &error) &&
        vt_io_discard(io, 0, n, &error) && vt_io_back(io, 0, n, &error) &&
        vt_io_flush(io, &error) && vt_io_check(io, &error));
    vt_io_unref(io);
  }
  TRY(lvm_store_zero_new(store, vg, name, &error));
}

static void use(LvmStore *store)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(store));
  g_autofree char *foreign = lvm_store_foreign(store);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  guint64 used, available;

  lvm_store_metadata_space(store, &used, &available);
  for (guint i = 0; i < lvs->len; i++)
    use_lv(store, lvs->pdata[i]);
  TRY(lvm_store_open_lv(store, "nothing", TRUE, &error));
  TRY(lvm_store_zero_new(store, vg, "nothing", &error));
  TRY(lvm_store_grow_pv(store, paths[0], NULL, &error));
  TRY(lvm_store_take(store, NULL, &error));
  TRY(lvm_store_release(store, NULL, &error));
  if (lvm_store_commit(store, vg, NULL, NULL, NULL))
    return;
  lvm_vg_free(vg);
}

static void look(void)
{
  const char *both[] = {paths[0], paths[1], NULL};
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free), scans = NULL;
  g_autoptr(LvmProbe) probe = lvm_probe(both, NULL, NULL, NULL);
  g_auto(GStrv) of_group = lvm_probe_paths(probe, "tvg"), of_none = lvm_probe_paths(probe, NULL);

  scans = lvm_probe_list(probe, problems);
  assert_true(lvm_probe_is_current(probe));
  TRY(lvm_probe_vg(probe, NULL, &error));
  TRY(lvm_probe_vg(probe, "tvg", &error));
}

static void try_it(void)
{
  LvmStore *store = NULL;

  look();
  TRY(store = open_both(TRUE, &error));
  if (store)
    use(store);
  lvm_store_close(g_steal_pointer(&store));
  TRY(store = open_both(FALSE, &error));
  if (store)
    use(store);
  lvm_store_close(store);
}

/* --- odd fields --------------------------------------------------------------------- */

static void seal_header(guint8 *sector)
{
  guint32 crc = GUINT32_TO_LE(vt_lvm_crc(LVM_CRC_INITIAL, sector + 4, LVM_SECTOR - 4));

  memcpy(sector, &crc, sizeof crc);
}

static const guint32 odd[] = {0,    1,     2,     8,       31,         32,         40,
                              480,  500,   512,   4096,    65536,      0x100000,   0x00f00000,
                              5000, 60000, 65000, 1 << 28, G_MAXINT32, G_MAXUINT32};

/* Fields [from, to) of the sector at @offset say each of those in turn, with the checksum fixed. */
static void try_fields(guint which, guint64 offset, guint from, guint to, void (*seal)(guint8 *))
{
  for (guint at = from; at < to; at += 4)
    for (guint v = 0; v < G_N_ELEMENTS(odd); v++) {
      guint8 sector[LVM_SECTOR];
      guint32 value = GUINT32_TO_LE(odd[v]);

      memcpy(sector, first_mib[which] + offset, sizeof sector);
      memcpy(sector + at, &value, sizeof value);
      seal(sector);
      restore();
      lvm_test_put(paths[which], offset, sector, sizeof sector);
      try_it();
    }
}

static void test_label_fields(void **state)
{
  try_fields(0, 512, 0, 16, lvm_test_seal_label);
  try_fields(0, 512, 20, 36, lvm_test_seal_label);
  try_fields(0, 512, 64, 132, lvm_test_seal_label);
}

static void test_header_fields(void **state)
{
  try_fields(0, 4096, 4, 8, seal_header);
  try_fields(0, 4096, 20, 64, seal_header);
}

/* Lists of areas that fill the sector. */
static void test_endless_lists(void **state)
{
  guint8 sector[LVM_SECTOR];
  GError *error = NULL;
  LvmLabel *label;
  VtIo *io;

  memcpy(sector, first_mib[0] + 512, sizeof sector);
  for (guint end = 88; end <= LVM_SECTOR; end += 16) {
    memset(sector + 72, 1, end - 72);
    lvm_test_seal_label(sector);
    lvm_test_put(paths[0], 512, sector, sizeof sector);
    try_it();
  }
  io = vt_io_open_file(paths[0], TRUE, NULL);
  assert_false(lvm_label_read(io, &label, &error));
  assert_error(error, EBADMSG, "its lists of areas have no end");
  vt_io_unref(io);
}

/* Two damaged labels: the first counts. A whole one behind a damaged one. */
static void test_two_labels(void **state)
{
  guint8 sector[LVM_SECTOR];
  GError *error = NULL;
  LvmStore *store;

  memcpy(sector, first_mib[0] + 512, sizeof sector);
  lvm_test_put(paths[0], 1024, sector, sizeof sector); /* which says that it is the other */
  store = open_both(FALSE, &error);
  assert_ok(store, error);
  lvm_store_close(store);
  lvm_test_flip(paths[0], 600);
  assert_null(open_both(FALSE, &error));
  assert_error(error, EBADMSG, "the label at offset 512 is damaged");
  sector[8] = 2;
  lvm_test_seal_label(sector);
  lvm_test_put(paths[0], 1024, sector, sizeof sector);
  store = open_both(FALSE, &error);
  assert_ok(store, error);
  lvm_store_close(store);
}

/* --- odd texts ---------------------------------------------------------------------- */

/* @text as what both say, with checksums that are right. */
static void put_text(const char *text)
{
  const LvmRange range = {4096, MIB - 4096};
  gsize size = strlen(text) + 1;
  guint32 crc = vt_lvm_crc(LVM_CRC_INITIAL, text, size);

  restore();
  for (guint i = 0; i < 2; i++) {
    VtIo *io = vt_io_open_file(paths[i], FALSE, NULL);
    LvmMetadataArea *area = lvm_metadata_area_new(io, &range);
    LvmTextPlace place;
    GError *error = NULL;

    assert_ok(lvm_metadata_area_read_header(area, &error), error);
    assert_ok(lvm_metadata_area_write_text(area, text, size, crc, &place, &error), error);
    assert_ok(lvm_metadata_area_write_header(area, &place, NULL, &error), error);
    lvm_metadata_area_free(area);
    vt_io_unref(io);
  }
}

/* A fixture's text on these physical volumes. */
static char *text_here(const char *fixture)
{
  static const char *const ids[] = {"000002-0000-0000-0000-0000-0000-000002",
                                    "000003-0000-0000-0000-0000-0000-000003"},
                           *const devices[] = {"\"/dev/a\"", "\"/dev/b\""};
  char *text = lvm_test_read(fixture, NULL);
  GError *error = NULL;
  LvmStore *store = open_both(TRUE, &error);

  assert_ok(store, error);
  for (guint i = 0; i < 2; i++) {
    const char *uuid = ((LvmDevice *)store->devices->pdata[i])->label->uuid;
    g_autofree char *path = g_strdup_printf("\"%s\"", paths[i]),
                    *with_id = lvm_test_replace(text, ids[i], uuid);

    g_free(text);
    text = lvm_test_replace(with_id, devices[i], path);
  }
  lvm_store_close(store);
  return text;
}

static void try_lines(const char *text)
{
  static const char *const values[] = {"0",
                                       "2",
                                       "7",
                                       "4294967296",
                                       "\"pv1\"",
                                       "\"raid1\"",
                                       "[\"pv0\", 0, \"pv1\", 99]",
                                       "[\"pvmove0\", 1]",
                                       "[\"READ\", \"MISSING\", \"EXPORTED\"]",
                                       "\"other\""};
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

  for (guint i = 0; lines[i]; i++)
    for (guint v = 0; strstr(lines[i], " = ") && v < G_N_ELEMENTS(values); v++) {
      g_autofree char *was = lines[i], *key = g_strndup(was, strcspn(was, "=")), *changed = NULL;

      lines[i] = g_strdup_printf("%s= %s", key, values[v]);
      changed = g_strjoinv("\n", lines);
      g_free(lines[i]);
      lines[i] = g_steal_pointer(&was);
      put_text(changed);
      try_it();
    }
}

static void test_odd_texts(void **state)
{
  g_autofree char *plain = text_here("plain-kinds.txt"), *all = text_here("all-kinds.txt"),
                  *fits = lvm_test_replace(all, "pe_count = 100", "pe_count = 15");

  put_text(plain);
  try_it();
  put_text(fits);
  try_it();
  try_lines(all);
}

/* --- whose it is -------------------------------------------------------------------- */

static void set_conf(const char *name, const char *text)
{
  g_autofree char *path = g_build_filename(folder, name, NULL);

  assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* With lvm.conf's system_id_source as @source, is a VG of host @id this host's? */
static void assert_whose(const char *source, const char *id, gboolean ours)
{
  g_autofree char *conf = g_strdup_printf(
      "global {\n%s%s%s\nsystem_id_file = \"%s/id\"\netc = \"%s\"\n}\n",
      *source ? "system_id_source = \"" : "", source, *source ? "\"" : "", folder, folder);
  g_autofree char *foreign = NULL;
  GError *error = NULL;
  LvmStore *store;
  LvmVg *vg;

  restore();
  store = open_both(FALSE, &error);
  assert_ok(store, error);
  vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_vg_set_system_id(vg, id);
  lvm_test_commit(store, vg);
  set_conf("lvm.conf", conf);
  foreign = lvm_store_foreign(store);
  if (ours != (foreign == NULL))
    fail_msg("%s, %s: %s", source, id, foreign ? foreign : "ours");
  lvm_store_close(store);
}

static void test_whose(void **state)
{
  g_autofree char *uname = g_strdup(g_get_host_name());

  set_conf("id", "# of this host\n\n9$host-1 # the one\n");
  set_conf("machine-id", "0123456789abcdef0123456789abcdef\n");
  set_conf("lvmlocal.conf", "local {\nsystem_id = \"mine\"\nextra_system_ids = [\"more\", 5]\n}\n");
  assert_whose("", "mine", FALSE);
  assert_whose("none", "mine", FALSE);
  assert_whose("lvmlocal", "mine", TRUE);
  assert_whose("lvmlocal", "more", TRUE);
  assert_whose("lvmlocal", "less", FALSE);
  assert_whose("file", "9host-1", TRUE);
  assert_whose("machineid", "0123456789abcdef0123456789abcdef", TRUE);
  assert_whose("machine-id", "other", FALSE);
  assert_whose("appmachineid", "other", FALSE);
  assert_whose("uname", uname, !g_str_has_prefix(uname, "localhost"));
  assert_whose("whatever", "mine", FALSE);
  set_conf("id", "#\n");
  assert_whose("file", "9host-1", FALSE);
  set_conf("lvmlocal.conf", "local {\nsystem_id = \"localhost\"\n}\n");
  assert_whose("lvmlocal", "localhost", FALSE);
}

static void test_conf(void **state)
{
  LvmConf *conf;
  GStrv words;

  set_conf("lvm.conf", "a {\nn = 5\nhuge = 99999999999\nless = -1\nword = \"w\"\n}\n"
                       "config {\nprofile_dir = \"/nowhere\"\nmetadata_profile = \"p\"\n}\n");
  conf = lvm_conf_read(NULL);
  assert_int_equal(lvm_conf_number(conf, "a/n", 1), 5);
  assert_int_equal(lvm_conf_number(conf, "a/huge", 1), G_MAXINT);
  assert_int_equal(lvm_conf_number(conf, "a/less", 1), 1);
  assert_int_equal(lvm_conf_number(conf, "a/word", 1), 1);
  assert_null(lvm_conf_string(conf, "a/n"));
  words = lvm_conf_strings(conf, "a/word");
  assert_string_equal(words[0], "w");
  g_strfreev(words);
  assert_null(lvm_conf_strings(conf, "a/nothing"));
  lvm_conf_free(conf);
  lvm_conf_free(NULL);
  lvm_conf_free(lvm_conf_read("../p"));
  lvm_conf_free(lvm_conf_read(""));
  g_setenv("LVM_SYSTEM_DIR", "", TRUE);
  g_free(lvm_conf_path("lvm.conf"));
  g_unsetenv("LVM_SYSTEM_DIR");
  g_free(lvm_conf_path("lvm.conf"));
}

/* --- how it is found ---------------------------------------------------------------- */

static void test_wanted_alone(void **state)
{
  const char *both[] = {paths[0], paths[1], NULL};
  g_autoptr(GHashTable) ids = g_hash_table_new(g_str_hash, g_str_equal);
  g_autoptr(LvmProbe) all = lvm_probe(both, NULL, NULL, NULL), none = NULL, one = NULL;
  g_autoptr(GPtrArray) of_none = NULL, of_one = NULL;
  g_auto(GStrv) parts = NULL;
  g_autofree char *id = NULL;

  none = lvm_probe(both, ids, NULL, NULL);
  of_none = lvm_probe_list(none, NULL);
  assert_int_equal(of_none->len, 0);
  parts = g_strsplit(((LvmDevice *)all->devices->pdata[1])->label->uuid, "-", -1);
  id = g_strjoinv("", parts);
  g_hash_table_add(ids, id);
  one = lvm_probe(both, ids, NULL, NULL);
  of_one = lvm_probe_list(one, NULL);
  assert_int_equal(of_one->len, 1);
  assert_string_equal(((LvmScan *)of_one->pdata[0])->path, paths[1]);
}

/* Somebody commits, and the probe is not of now any more. */
static void test_current(void **state)
{
  const char *both[] = {paths[0], paths[1], NULL};
  g_autoptr(LvmProbe) probe = lvm_probe(both, NULL, NULL, NULL);
  const LvmOpening how = {.read_only = FALSE};
  GError *error = NULL;
  LvmStore *store = open_both(FALSE, &error);

  assert_ok(store, error);
  assert_true(lvm_probe_is_current(probe));
  lvm_test_commit(store, lvm_vg_copy(lvm_store_vg(store)));
  assert_false(lvm_probe_is_current(probe));
  lvm_store_close(store);
  store = lvm_store_open_probed(probe, "tvg", &how, &error); /* looks again by itself */
  assert_ok(store, error);
  assert_int_equal(lvm_vg_seqno(lvm_store_vg(store)), 2);
  lvm_store_close(store);
}

/* One PV is named, the other is where it was last seen; or is not, or it is another's. */
static void test_follow(void **state)
{
  const char *first[] = {paths[0], NULL};
  const LvmOpening how = {.read_only = TRUE, .usual = TRUE};
  g_autofree char *moved = g_build_filename(folder, "moved", NULL);
  GError *error = NULL;

  for (guint i = 0; i < 3; i++) {
    g_autoptr(LvmProbe) probe = NULL;
    LvmStore *store;

    if (i == 1)
      lvm_test_flip(paths[1], 520);
    if (i == 2) {
      assert_int_equal(rename(paths[0], moved), 0);
      first[0] = moved;
    }
    probe = lvm_probe(first, NULL, NULL, NULL);
    store = lvm_store_open_probed(probe, "tvg", &how, &error);
    assert_ok(store, error);
    assert_int_equal(store->devices->len, i == 0 ? 2 : 1);
    lvm_store_close(store);
  }
}

/* A PV whose metadata is elsewhere (vgcreate --metadatacopies), alone and with the one that has
 * it. */
static void test_lone(void **state)
{
  guint8 sector[LVM_SECTOR];
  const char *second[] = {paths[1], NULL};
  g_autoptr(LvmProbe) probe = NULL;
  GError *error = NULL;
  LvmStore *store;

  memcpy(sector, first_mib[1] + 512, sizeof sector);
  memset(sector + 104, 0, 16); /* the list of metadata areas ends where it begins ... */
  memcpy(sector + 120, first_mib[1] + 512 + 136, 8); /* ... and the extension follows */
  lvm_test_seal_label(sector);
  lvm_test_put(paths[1], 512, sector, sizeof sector);
  assert_null(lvm_store_open(second, NULL, TRUE, NULL, NULL, &error));
  assert_error(error, ENOENT, "of a volume group whose metadata is on other devices");
  store = open_both(FALSE, &error);
  assert_ok(store, error);
  lvm_store_close(store);
  look();
  probe = lvm_probe((const char *const[]){paths[0], paths[1], NULL}, NULL, NULL, NULL);
  g_auto(GStrv) both = lvm_probe_paths(probe, "tvg");
  assert_int_equal(g_strv_length(both), 2);
}

/* What is a part of an array is none of ours, however it looks. */
static void test_part(void **state)
{
  const guint32 mark[] = {GUINT32_TO_LE(0xa92b4efc), 0, GUINT32_TO_LE(90)};
  const char *first[] = {paths[0], NULL};
  GError *error = NULL;

  assert_int_equal(truncate(paths[0], (off_t)(SIZE + 2 * MIB)), 0);
  lvm_test_put(paths[0], SIZE + 2 * MIB - 64 * 1024, mark, sizeof mark);
  assert_null(lvm_store_open(first, NULL, TRUE, NULL, NULL, &error));
  assert_error(error, ENOENT, "is a part of an array");
  assert_null(open_both(FALSE, &error));
  assert_error(error, ENOENT, "is a part of an array");
  look();
  lvm_store_close(open_both(TRUE, &error));
}

/* --- without a label, by its size --------------------------------------------------- */

static VtIo *open_plainly(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  return vt_io_open_file(path, read_only, error);
}

static VtIo *open_none_but_first(const char *path, gboolean read_only, gpointer user_data,
                                 GError **error)
{
  if (strcmp(path, paths[0]) == 0)
    return vt_io_open_file(path, read_only, error);
  vt_set_error(error, EACCES, "%s: made to fail", path);
  return NULL;
}

static void wipe(const char *path)
{
  g_autofree char *zeros = g_malloc0(MIB);

  lvm_test_put(path, 0, zeros, MIB);
}

/* Of the devices @path... (NULL ends) one is the first; how many PVs are found for the text, and is
 * one of them said to have no label? */
static void assert_adopted(LvmOpenFunc open, const char *a, const char *b, guint n_devices,
                           gboolean adopted)
{
  const char *three[] = {paths[0], a, b, NULL};
  g_autoptr(LvmProbe) probe = lvm_probe(three, NULL, open, NULL);
  LvmGroup *group = lvm_probe_find(probe, "tvg", TRUE, NULL);
  gboolean said = FALSE;
  LvmStore *store;

  assert_non_null(group);
  store = lvm_store_open_as(probe, group->vg);
  assert_int_equal(store->devices->len, n_devices);
  for (const char *const *warning = lvm_store_warnings(store); *warning; warning++)
    said |= strstr(*warning, "is taken for it, for it is as large") != NULL;
  assert_int_equal(said, adopted);
  lvm_store_close(store);
}

static void test_adopted(void **state)
{
  g_autofree char *moved = g_build_filename(folder, "moved", NULL),
                  *other = lvm_test_file(folder, "other", SIZE),
                  *larger = lvm_test_file(folder, "larger", SIZE + MIB);
  const char *one[] = {other, NULL};
  const LvmCreate params = {.extent_size = MIB, .metadata_area = 64 * 1024};

  assert_adopted(NULL, paths[1], NULL, 2, FALSE); /* it has its label */
  wipe(paths[1]);
  assert_adopted(NULL, paths[1], NULL, 2, TRUE);
  assert_adopted(open_plainly, paths[1], NULL, 2, TRUE);
  assert_adopted(open_none_but_first, paths[1], NULL, 1, FALSE);
  assert_adopted(NULL, paths[1], other, 2, TRUE); /* where it was last seen, and not elsewhere */
  assert_int_equal(rename(paths[1], moved), 0);
  assert_adopted(NULL, moved, larger, 2, TRUE); /* the only one of its size */
  assert_adopted(NULL, moved, other, 1, FALSE); /* which one? */
  assert_adopted(NULL, larger, NULL, 1, FALSE);
  lvm_store_close(lvm_store_create("another", one, &params, NULL));
  assert_adopted(NULL, other, NULL, 1, FALSE); /* it has a label, of another */
  wipe(other);
  lvm_test_put(other, 4096, first_mib[0] + 4096, MIB - 4096);
  assert_adopted(NULL, other, NULL, 2, FALSE); /* by what its metadata area says */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      TEST(test_label_fields), TEST(test_header_fields), TEST(test_endless_lists),
      TEST(test_two_labels),   TEST(test_odd_texts),     TEST(test_whose),
      TEST(test_conf),         TEST(test_wanted_alone),  TEST(test_current),
      TEST(test_follow),       TEST(test_lone),          TEST(test_part),
      TEST(test_adopted),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
