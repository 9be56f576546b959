/* virt-thin - simulation: laws that hold whatever happened, looked at apart from the engine
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "laws.h"

#include <string.h>
#include <unistd.h>

#include "lvm/store.h"

#define VG "pve"

static LvmStore *read_vg(World *w)
{
  g_autoptr(GError) error = NULL;
  LvmStore *store =
      lvm_store_open((const char *const *)w->paths->pdata, VG, TRUE, NULL, NULL, &error);

  if (!store)
    world_judge_error(w, "read the volume group", error);
  return store;
}

static guint8 *read_metadata(World *w, LvmStore *store, LvmLv *pool, guint64 *size)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(VtIo) io = lvm_store_open_lv(store, lvm_pool_metadata(pool), TRUE, &error);
  guint8 *bytes;

  if (!io) {
    world_judge_error(w, "open the metadata", error);
    return NULL;
  }
  *size = vt_io_size(io);
  bytes = g_malloc(*size);
  if (vt_io_read(io, bytes, *size, 0, &error))
    return bytes;
  world_judge_error(w, "read the metadata", error);
  g_free(bytes);
  return NULL;
}

/* Text and pool are of one time, nothing is under way, and the counts are right. */
static void check_disks(World *w)
{
  g_autoptr(LvmStore) store = read_vg(w);
  LvmLv *pool = store ? lvm_vg_find_lv(lvm_store_vg(store), "data") : NULL;
  g_autoptr(GArray) messages = pool ? lvm_pool_messages(pool) : NULL;
  g_autofree guint8 *metadata = NULL;
  guint64 size, id;

  if (!store || world_loss(w) != MODEL_RUNNING)
    return;
  if (!pool)
    sim_fail("the text has no thin pool");
  metadata = read_metadata(w, store, pool, &size);
  if (!metadata || sim_is_ghost() || world_loss(w) != MODEL_RUNNING)
    return; /* who cannot read the newest text makes do with an older one */
  laws_count(metadata, size, &id);
  if (messages->len || id != lvm_pool_transaction_id(pool))
    sim_fail("the text is of transaction %" G_GUINT64_FORMAT
             " with %u messages, the pool of %" G_GUINT64_FORMAT,
             lvm_pool_transaction_id(pool), messages->len, id);
  sim_totals.laws++;
}

void laws_check(World *w)
{
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(GError) error = NULL;

  if (!pool_check(w->group, NULL, &errors, &leaks, &error)) {
    world_judge_error(w, "check", error);
    return;
  }
  if (world_loss(w) != MODEL_RUNNING)
    return;
  if (errors->len)
    sim_fail("the check finds: %s", (char *)errors->pdata[0]);
  for (guint i = 0; i < leaks->len; i++)
    if (!g_str_has_prefix(leaks->pdata[i], "chunk"))
      sim_fail("the check finds: %s", (char *)leaks->pdata[i]);
  check_disks(w);
}

/* --- the real tools --- */

static void run_tool(const char *const *argv)
{
  g_autofree char *out = NULL, *err = NULL;
  int status = 0;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                    NULL))
    return;
  if (status != 0)
    sim_fail("%s does not agree: %s%s", argv[0], out, err);
  sim_totals.judged++;
}

static void judge_metadata(World *w, const char *folder)
{
  g_autoptr(LvmStore) store = read_vg(w);
  g_autofree char *path = g_build_filename(folder, "metadata", NULL);
  const char *argv[] = {"thin_check", "-q", path, NULL};
  g_autofree guint8 *bytes = NULL;
  guint64 size;

  bytes = read_metadata(w, store, lvm_vg_find_lv(lvm_store_vg(store), "data"), &size);
  if (g_file_set_contents(path, (char *)bytes, size, NULL))
    run_tool(argv);
  unlink(path);
}

/* lvm2 wants loop devices, and so root. */
static void judge_disks(World *w, const char *folder)
{
  g_autofree char *judge = g_strdup_printf("%s/scripts/judge", TEST_TOP_SRCDIR);
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);

  g_ptr_array_add(argv, g_steal_pointer(&judge));
  g_ptr_array_add(argv, g_strdup("--quiet"));
  for (guint i = 0; w->paths->pdata[i]; i++) {
    SimDisk *disk = sim_disk_find(w->paths->pdata[i]);
    char *path = g_strdup_printf("%s/pv%u", folder, i);

    g_file_set_contents(path, (const char *)sim_disk_bytes(disk), sim_disk_size(disk), NULL);
    g_ptr_array_add(argv, path);
  }
  g_ptr_array_add(argv, NULL);
  if (geteuid() == 0)
    run_tool((const char *const *)argv->pdata);
  for (guint i = 2; argv->pdata[i]; i++)
    unlink(argv->pdata[i]);
}

void laws_ask_judges(World *w)
{
  g_autofree char *folder = g_dir_make_tmp("virt-thin-sim-XXXXXX", NULL);

  if (!folder)
    return;
  judge_metadata(w, folder);
  judge_disks(w, folder);
  rmdir(folder);
}
