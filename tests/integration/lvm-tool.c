/* virt-thin - a volume group made, changed and shown by src/lvm alone, for lvm2 to judge
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: lvm-tool make ARCHIVE FILE FILE FILE   VG "tvg" on the first two, then changed in every
 *                                               way; the third is added
 *        lvm-tool create VG PATH...             an empty VG
 *        lvm-tool show PATH...                  the VG's text
 *        lvm-tool tag TAG PATH...               a VG tag and a commit
 *        lvm-tool ring N SEED PATH...           N commits with texts of any size
 *        lvm-tool many N PATH...                N thin volumes in one commit
 *        lvm-tool grow PATH...                  take what the first PV has grown by
 *        lvm-tool take|release PATH...          ownership
 *        lvm-tool read LV PATH...               the bytes of an LV
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lvm/store.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

static GError *error;

static void G_GNUC_NORETURN die(const char *what)
{
  fprintf(stderr, "lvm-tool: %s: %s\n", what, error ? error->message : "failed");
  exit(1);
}

#define CHECK(call)                                                                                \
  do {                                                                                             \
    if (!(call))                                                                                   \
      die(#call);                                                                                  \
  } while (0)

static LvmStore *open_store(char **paths, gboolean read_only)
{
  LvmStore *store = lvm_store_open((const char *const *)paths, NULL, read_only, NULL, NULL, &error);

  CHECK(store);
  return store;
}

static const char *archive;

static void commit(LvmStore *store, LvmVg *vg, const char *what)
{
  CHECK(lvm_store_commit(store, vg, archive, what, &error));
}

static LvmLv *find(LvmVg *vg, const char *name)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);

  CHECK(lv);
  return lv;
}

static LvmLv *add(LvmVg *vg, const char *pool_name, const char *name, guint64 extents,
                  const char *origin)
{
  LvmLv *pool = find(vg, pool_name),
        *lv = lvm_vg_add_thin(vg, pool, name, extents, lvm_pool_next_device(vg, pool), origin,
                              &error);

  CHECK(lv);
  lvm_pool_set_transaction_id(pool, lvm_pool_transaction_id(pool) + 1);
  return lv;
}

/* Two pools, volumes, snapshots. */
static void make_volumes(LvmStore *store)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  CHECK(lvm_vg_add_thin_pool(vg, "data", 40, 2, 64 * 1024, &error));
  CHECK(lvm_vg_add_thin_pool(vg, "other", 5, 1, 1024 * 1024, &error));
  CHECK(lvm_store_zero_new(store, vg, "data_tmeta", &error) &&
        lvm_store_zero_new(store, vg, "lvol0_pmspare", &error));
  commit(store, vg, "create pools");
  vg = lvm_vg_copy(lvm_store_vg(store));
  add(vg, "data", "vm-100-disk-0", 100, NULL);
  lvm_pool_add_create(find(vg, "data"), "vm-100-disk-0");
  commit(store, vg, "create a volume, message pending");
  vg = lvm_vg_copy(lvm_store_vg(store));
  lvm_pool_clear_messages(find(vg, "data"));
  add(vg, "data", "vm-101-disk-0", 7, NULL);
  add(vg, "data", "snap_vm-100-disk-0_a", 100, "vm-100-disk-0");
  add(vg, "data", "vm-102-disk-0", 120, "snap_vm-100-disk-0_a");
  add(vg, "data", "base-103-disk-0", 3, NULL);
  add(vg, "data", "to-go", 3, NULL);
  add(vg, "data", "orphan", 3, "to-go");
  add(vg, "other", "vm-200-disk-0", 9, NULL);
  add(vg, "other", "vm-201-disk-0", 9, "vm-200-disk-0");
  commit(store, vg, "create volumes and snapshots with \"quotes\" and \\");
}

static void change_volumes(LvmStore *store)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
  LvmLv *snap = find(vg, "snap_vm-100-disk-0_a");

  lvm_lv_set_writable(snap, FALSE);
  lvm_lv_set_flag(snap, "ACTIVATION_SKIP", TRUE);
  CHECK(lvm_lv_add_tag(snap, "virt-thin.snapshot-of=vm-100-disk-0", &error) &&
        lvm_lv_add_tag(snap, "second", &error));
  lvm_lv_set_writable(find(vg, "base-103-disk-0"), FALSE);
  CHECK(lvm_vg_rename_lv(vg, find(vg, "vm-100-disk-0"), "vm-900-disk-0", &error));
  CHECK(lvm_thin_set_extents(find(vg, "vm-101-disk-0"), 33, &error));
  CHECK(lvm_vg_remove_lv(vg, find(vg, "to-go"), &error));
  lvm_thin_set_device(find(vg, "vm-102-disk-0"), lvm_pool_next_device(vg, find(vg, "data")), 5);
  commit(store, vg, "change volumes");
  vg = lvm_vg_copy(lvm_store_vg(store));
  CHECK(lvm_vg_grow_pool_data(vg, find(vg, "data"), 50, &error));
  CHECK(lvm_vg_grow_pool_metadata(vg, find(vg, "data"), 4, &error));
  CHECK(lvm_store_zero_new(store, vg, "data_tmeta", &error) &&
        lvm_store_zero_new(store, vg, "lvol0_pmspare", &error));
  lvm_lv_set_flag(find(vg, "data"), "ERROR_WHEN_FULL", TRUE);
  CHECK(lvm_vg_rename_lv(vg, find(vg, "other"), "slow", &error));
  commit(store, vg, "grow and rename pools");
}

static int make(char **args)
{
  const char *paths[] = {args[1], args[2], NULL};
  LvmCreate params = {.no_autoactivate = TRUE};
  LvmStore *store = lvm_store_create("tvg", paths, &params, &error);
  LvmVg *vg;

  archive = args[0];
  CHECK(store);
  make_volumes(store);
  change_volumes(store);
  CHECK(lvm_store_add_pv(store, args[3], archive, &error));
  CHECK(truncate(args[3], 192 * MIB) == 0);
  CHECK(lvm_store_grow_pv(store, args[3], archive, &error));
  vg = lvm_vg_copy(lvm_store_vg(store));
  CHECK(lvm_vg_grow_pool_data(vg, find(vg, "data"),
                              lvm_lv_n_extents(find(vg, "data")) + lvm_vg_n_free_extents(vg) - 8,
                              &error));
  commit(store, vg, "grow over all physical volumes");
  lvm_store_close(store);
  return 0;
}

static int ring(guint n, guint seed, char **paths)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
  LvmStore *store = open_store(paths, FALSE);

  for (guint i = 0; i < n; i++) {
    LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));
    guint target = g_rand_int_range(rand, 0, 800);
    g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

    if (!lvm_vg_find_lv(vg, "data"))
      CHECK(lvm_vg_add_thin_pool(vg, "data", 4, 1, 65536, &error));
    for (guint k = lvs->len; k < target; k++) {
      g_autofree char *name = g_strdup_printf("vm-%u-%u", i, k);

      add(vg, "data", name, 4, NULL);
    }
    for (guint k = 0; k < lvs->len && lvs->len - k > target; k++)
      if (lvm_lv_kind(lvs->pdata[k]) == LVM_LV_THIN)
        CHECK(lvm_vg_remove_lv(vg, lvs->pdata[k], &error));
    commit(store, vg, "ring");
  }
  lvm_store_close(store);
  return 0;
}

static int many(guint n, char **paths)
{
  LvmStore *store = open_store(paths, FALSE);
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(store));

  CHECK(lvm_vg_add_thin_pool(vg, "data", 4, 1, 65536, &error));
  for (guint i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf("vm-%u-disk-0", i + 100);

    add(vg, "data", name, 1000, i % 3 ? NULL : i ? "vm-100-disk-0" : NULL);
  }
  commit(store, vg, "many");
  lvm_store_close(store);
  return 0;
}

static int read_lv(const char *name, char **paths)
{
  LvmStore *store = open_store(paths, TRUE);
  VtIo *io = lvm_store_open_lv(store, name, TRUE, &error);
  g_autofree char *buf = g_malloc(MIB);

  CHECK(io);
  for (guint64 done = 0; done < vt_io_size(io); done += MIB) {
    gsize n = MIN(MIB, vt_io_size(io) - done);

    CHECK(vt_io_read(io, buf, n, done, &error) && fwrite(buf, 1, n, stdout) == n);
  }
  vt_io_unref(io);
  lvm_store_close(store);
  return 0;
}

static int simple(const char *command, const char *tag, char **paths)
{
  gboolean show = strcmp(command, "show") == 0;
  LvmStore *store = open_store(paths, show);
  LvmVg *vg;

  if (show) {
    g_autofree char *text = lvm_vg_format(lvm_store_vg(store), NULL);

    fputs(text, stdout);
    for (const char *const *warning = lvm_store_warnings(store); *warning; warning++)
      fprintf(stderr, "warning: %s\n", *warning);
  } else if (strcmp(command, "grow") == 0) {
    CHECK(lvm_store_grow_pv(store, paths[0], NULL, &error));
  } else if (strcmp(command, "take") == 0) {
    CHECK(lvm_store_take(store, NULL, &error));
  } else if (strcmp(command, "release") == 0) {
    CHECK(lvm_store_release(store, NULL, &error));
  } else {
    vg = lvm_vg_copy(lvm_store_vg(store));
    lvm_vg_set_tag(vg, tag, TRUE);
    commit(store, vg, "tag");
  }
  lvm_store_close(store);
  return 0;
}

int main(int argc, char **argv)
{
  const char *command = argc > 2 ? argv[1] : "";

  if (strcmp(command, "make") == 0 && argc == 6)
    return make(argv + 2);
  if (strcmp(command, "create") == 0 && argc > 3) {
    LvmStore *store = lvm_store_create(argv[2], (const char *const *)argv + 3, NULL, &error);

    CHECK(store);
    lvm_store_close(store);
    return 0;
  }
  if (strcmp(command, "ring") == 0 && argc > 4)
    return ring(atoi(argv[2]), atoi(argv[3]), argv + 4);
  if (strcmp(command, "many") == 0 && argc > 3)
    return many(atoi(argv[2]), argv + 3);
  if (strcmp(command, "read") == 0 && argc > 3)
    return read_lv(argv[2], argv + 3);
  if (strcmp(command, "tag") == 0 && argc > 3)
    return simple(command, argv[2], argv + 3);
  if (strcmp(command, "show") == 0 || strcmp(command, "grow") == 0 ||
      strcmp(command, "take") == 0 || strcmp(command, "release") == 0)
    return simple(command, NULL, argv + 2);
  fprintf(stderr, "lvm-tool: wrong usage\n");
  return 2;
}
