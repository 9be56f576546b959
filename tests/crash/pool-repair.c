/* virt-thin - random damage to a pool, mended; and power cuts while it is mended
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A pool with volumes whose content is known. Over and over a copy of it is damaged: some blocks of
 * its metadata, its superblock, header or text of the volume group. It is mended, with all that is
 * written to the PV recorded; then every byte that is not named as lost must be what it was, the
 * check must find nothing, and nothing may be left to mend. Then the power fails at some points of
 * the record, and what that leaves must come to the same by another repair. (Without a superblock,
 * and with the root of the maps damaged, older roots may be all there is: then volumes are named as
 * older, and may be so. Where nothing is left that tells that the roots are older, they are not
 * named, and content is not compared.)
 *
 * $VIRT_THIN_TEST_SEED, and $VIRT_THIN_TEST_LONG for twenty times as many.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/progress.h"
#include "case.h"
#include "pool/repair/repair-private.h"
#include "thin/format/block.h"
#include "util/memory.h"

#define KIB 1024u
#define MIB (KIB * KIB)
#define EXTENT (64u * KIB)
#define BLOCK 4096u
#define N_VOLUMES 6
#define N_CUTS 4

typedef struct {
  char name[32];
  guint8 *bytes;
  gsize size;
} Volume;

static Volume volumes[N_VOLUMES];
static guint64 metadata_at, metadata_size; /* bytes of the PV: in one piece */
static guint64 newest_root;                /* of the maps */
static guint n_refused, n_lossless, n_older, n_unnamed, n_cuts_done;
static gboolean compares;       /* content, in this round */
static gboolean has_superblock; /* as it was, in this round */

/* --- a pool whose content is known --- */

static void fill(VolumeGroup *group, Volume *v, GRand *rand)
{
  VtIo *io;

  must((io = pool_volume_open(group, v->name, FALSE, "test", &error)) != NULL);
  for (guint i = 0; i < 12; i++) {
    gsize at = (gsize)g_rand_int_range(rand, 0, v->size / BLOCK) * BLOCK;

    for (gsize j = 0; j < BLOCK; j += 4)
      *(guint32 *)(gpointer)(v->bytes + at + j) = g_rand_int(rand);
    must(vt_io_write(io, v->bytes + at, BLOCK, at, &error));
  }
  must(vt_io_flush(io, &error));
  vt_io_unref(io);
}

/* Half of them are clones of the one before, which goes on. */
static void make_pool(const char *path)
{
  const PoolNew part = {.size = 24 * MIB, .metadata_size = 2 * MIB};
  const char *devices[] = {path, NULL};
  GRand *rand = g_rand_new_with_seed(case_seed);
  VolumeGroup *group;

  must(pool_init("pve", "data", path, 48 * MIB, EXTENT, &part, &error));
  must((group = pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error)) != NULL);
  for (guint i = 0; i < N_VOLUMES; i++) {
    Volume *v = &volumes[i], *from = i % 2 ? v - 1 : NULL;

    g_snprintf(v->name, sizeof v->name, "vm-%u-disk-0", 100 + i);
    v->size = 4 * MIB;
    v->bytes = from ? vt_memdup(from->bytes, v->size) : g_malloc0(v->size);
    if (from)
      must(pool_clone(group, from->name, v->name, v->size, &error));
    else
      must(pool_create(group, NULL, v->name, v->size, &error));
    fill(group, v, rand);
    if (from)
      fill(group, from, rand);
  }
  must(pool_close(group, &error));
  g_rand_free(rand);
}

static void find_metadata(const char *path)
{
  const char *devices[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;
  g_autoptr(VtIo) io = NULL;
  ThinDiskSuperblock superblock;
  LvmLv *lv;
  LvmPv *pv;

  must((store = lvm_store_open(devices, NULL, TRUE, NULL, NULL, &error)) != NULL);
  lv = lvm_vg_find_lv(lvm_store_vg(store), "data_tmeta");
  if (!lvm_lv_find_run(lvm_store_vg(store), lv, &pv, &metadata_at))
    case_fail("data_tmeta lies in pieces");
  metadata_size = lvm_lv_size(lv);
  must((io = lvm_store_open_lv(store, "data_tmeta", TRUE, &error)) != NULL);
  must(vt_io_read(io, &superblock, sizeof superblock, 0, &error));
  newest_root = GUINT64_FROM_LE(superblock.data_mapping_root);
}

static void copy_file(const char *from, const char *to)
{
  const char *argv[] = {"cp", "--sparse=always", from, to, NULL};

  case_run(argv);
}

/* --- damage --- */

static void put(const char *path, guint64 at, gconstpointer bytes, gsize n)
{
  int fd = open(path, O_WRONLY | O_CLOEXEC);

  if (fd < 0 || pwrite(fd, bytes, n, (off_t)at) != (ssize_t)n)
    case_fail("%s: %s", path, g_strerror(errno));
  close(fd);
}

/* Blocks that are in use lie at the beginning. */
static void damage_blocks(const char *path, GRand *rand)
{
  for (gint n = g_rand_int_range(rand, 1, 4); n > 0; n--) {
    guint64 block = g_rand_int_range(rand, 1, 45);
    guint32 noise = g_rand_int(rand);

    put(path, metadata_at + block * BLOCK + (guint64)g_rand_int_range(rand, 0, BLOCK / 4) * 4,
        &noise, sizeof noise);
  }
}

/* Damage that no checksum tells of, anywhere in a block that has the right kind of one. */
static void damage_content(const char *path, GRand *rand)
{
  g_autofree guint8 *data = g_malloc(BLOCK);
  int fd = open(path, O_RDWR | O_CLOEXEC);

  for (gint n = g_rand_int_range(rand, 1, 8); n > 0; n--) {
    guint64 block = g_rand_int_range(rand, 0, 45);
    off_t at = (off_t)(metadata_at + block * BLOCK);
    ThinKind kind = THIN_KIND_SUPERBLOCK;

    if (pread(fd, data, BLOCK, at) != BLOCK)
      case_fail("%s: %s", path, g_strerror(errno));
    while (kind <= THIN_KIND_INDEX && !thin_block_verify(data, block, kind, "test", NULL))
      kind++;
    if (kind > THIN_KIND_INDEX)
      continue;
    data[g_rand_int_range(rand, 16, g_rand_boolean(rand) ? 400 : BLOCK)] ^=
        1u << g_rand_int_range(rand, 0, 8);
    thin_block_seal(data, block, kind);
    if (pwrite(fd, data, BLOCK, at) != BLOCK)
      case_fail("%s: %s", path, g_strerror(errno));
  }
  close(fd);
}

static char *damage(const char *path, GRand *rand)
{
  static const guint8 zeros[BLOCK];
  gint kind = g_rand_int_range(rand, 0, 10);

  compares = kind < 8;
  has_superblock = kind < 5 || kind == 7;
  if (kind < 6)
    damage_blocks(path, rand);
  if (kind == 5 || kind == 6)
    put(path, metadata_at, zeros, BLOCK);
  if (kind == 7 || kind == 4)
    put(path, 4096, zeros, 512); /* the header of the metadata area */
  if (kind >= 8)
    damage_content(path, rand);
  return g_strdup_printf("damage %d", kind);
}

/* --- mending --- */

static VtIo *open_recorded(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  g_autoptr(VtIo) file = vt_io_open_file(path, read_only, error);

  return file ? vt_io_recorder_new(file, user_data) : NULL;
}

/* Which of what there is to decide nobody asks here. NULL: refused. */
static PoolRepairPlan *mend(const char *path, VtIoLog *log, GError **error)
{
  const char *devices[] = {path, NULL};
  const PoolWhere where = {.devices = devices, .engine = POOL_ENGINE_BUNDLED};
  const PoolRepairChoice choice = {.adopt = TRUE, .remove_missing = TRUE};
  PoolRepairPlan *plan = pool_repair_look("pve", "data", &where, &choice, error);

  if (!plan || repair_run_hooked("pve", "data", &where, &choice, plan, log ? open_recorded : NULL,
                                 log, error))
    return plan;
  pool_repair_plan_free(plan);
  return NULL;
}

/* --- judging --- */

static gboolean is_lost(const PoolRepairPlan *plan, const Volume *v, guint64 at)
{
  g_autofree char *full = g_strdup_printf("pve/%s", v->name);

  for (guint i = 0; i < plan->lost->len; i++) {
    const PoolRepairLoss *loss = plan->lost->pdata[i];

    if (strcmp(loss->volume, full) == 0 && at >= loss->offset && at - loss->offset < loss->length)
      return TRUE;
  }
  return FALSE;
}

static gboolean is_named_older(const PoolRepairPlan *plan, const Volume *v)
{
  g_autofree char *full = g_strdup_printf("pve/%s", v->name);

  for (guint i = 0; i < plan->older->len; i++)
    if (strcmp(((PoolRepairOlder *)plan->older->pdata[i])->volume, full) == 0)
      return TRUE;
  return FALSE;
}

static gboolean was_missing(const PoolRepairPlan *plan, const Volume *v)
{
  for (guint i = 0; i < plan->steps->len; i++)
    if (g_str_has_prefix(((PoolRepairStep *)plan->steps->pdata[i])->text, "remove volume") &&
        strstr(((PoolRepairStep *)plan->steps->pdata[i])->text, v->name))
      return TRUE;
  return FALSE;
}

/* Roots other than the newest, where those of the maps are lost. */
static gboolean is_older(const PoolRepairPlan *plan)
{
  g_autofree char *newest = g_strdup_printf("found by roots %" G_GUINT64_FORMAT ",", newest_root);

  for (guint i = 0; i < plan->findings->len; i++)
    if (strstr(plan->findings->pdata[i], "found by roots "))
      return !strstr(plan->findings->pdata[i], newest);
  return FALSE;
}

static void check_volume(VolumeGroup *group, const PoolRepairPlan *plan, const Volume *v,
                         const char *what)
{
  g_autofree guint8 *found = g_malloc(v->size);
  g_autoptr(GError) error = NULL;
  VtIo *io = pool_volume_open(group, v->name, TRUE, "test", &error);

  if (!io && was_missing(plan, v))
    return;
  if (!io || !vt_io_read(io, found, v->size, 0, &error))
    case_fail("%s: %s: %s", what, v->name, error->message);
  vt_io_unref(io);
  for (gsize at = 0; at < v->size && !is_named_older(plan, v); at += BLOCK)
    if (memcmp(found + at, v->bytes + at, BLOCK) != 0 && !is_lost(plan, v, at))
      case_fail("%s: %s at byte %zu is not what it was, nor named as lost", what, v->name, at);
}

/* @also: what was lost before that. */
static void check_pool(const char *path, const PoolRepairPlan *plan, const char *what)
{
  const char *devices[] = {path, NULL};
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(PoolRepairPlan) again = NULL;
  VolumeGroup *group;

  must((again = pool_repair_look("pve", "data",
                                 &(PoolWhere){.devices = devices, .engine = POOL_ENGINE_BUNDLED},
                                 NULL, &error)) != NULL);
  if (again->findings->len)
    case_fail("%s: still to mend: %s", what, (char *)again->findings->pdata[0]);
  must((group = pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error)) != NULL);
  must(pool_check(group, NULL, &errors, &leaks, &error));
  if (errors->len || leaks->len)
    case_fail("%s: %s", what, (char *)(errors->len ? errors : leaks)->pdata[0]);
  for (guint i = 0; i < N_VOLUMES && compares; i++)
    check_volume(group, plan, &volumes[i], what);
  must(pool_create(group, NULL, "afterwards", EXTENT, &error));
  must(pool_close(group, &error));
}

static void cut_power(const char *damaged, VtIoLog *log, const PoolRepairPlan *plan, GRand *rand,
                      const char *what)
{
  g_autofree char *path = g_build_filename(case_folder, "cut.img", NULL), *cut = NULL;
  g_autoptr(PoolRepairPlan) then = NULL;
  guint upto = (guint)g_rand_int_range(rand, 0, (gint)vt_io_log_length(log) + 1);
  int fd;

  copy_file(damaged, path);
  fd = open(path, O_RDWR | O_CLOEXEC);
  must(vt_io_log_replay(log, 0, upto, rand, fd, &error));
  close(fd);
  cut = g_strdup_printf("%s, cut at %u of %u", what, upto, vt_io_log_length(log));
  {
    g_autoptr(GError) error = NULL;

    if (!(then = mend(path, NULL, &error)))
      case_fail("%s: %s", cut, error->message);
  }
  check_pool(path, plan, cut);
  n_cuts_done++;
}

/* What was refused was not written to. */
static void check_unchanged(const char *before, const char *after, const char *what)
{
  const char *argv[] = {"cmp", "-s", before, after, NULL};
  int status;

  must(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                    &error));
  if (status != 0)
    case_fail("%s: refused, and changed all the same", what);
}

static void round_of(const char *base, guint n)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(case_seed + n);
  g_autofree char *damaged = g_build_filename(case_folder, "damaged.img", NULL),
                  *path = g_build_filename(case_folder, "mended.img", NULL), *kind = NULL,
                  *what = NULL;
  g_autoptr(PoolRepairPlan) plan = NULL;
  g_autoptr(GError) refused = NULL;
  VtIoLog *log = vt_io_log_new();

  copy_file(base, damaged);
  kind = damage(damaged, rand);
  what = g_strdup_printf("round %u, %s", n, kind);
  copy_file(damaged, path);
  plan = mend(path, log, &refused);
  if (!plan) {
    if (!g_error_matches(refused, VT_ERROR, EBADMSG) && !g_error_matches(refused, VT_ERROR, EPERM))
      case_fail("%s: %s", what, refused->message);
    check_unchanged(damaged, path, what);
    n_refused++;
  } else {
    n_lossless += plan->lost->len + plan->older->len == 0;
    n_older += is_older(plan);
    if (is_older(plan) && !plan->older->len) {
      if (has_superblock)
        case_fail("%s: by older roots, and no volume is named as older", what);
      n_unnamed++;
      compares = FALSE;
    }
    check_pool(path, plan, what);
    for (guint i = 0; i < N_CUTS && vt_io_log_length(log); i++)
      cut_power(damaged, log, plan, rand, what);
  }
  vt_io_log_free(log);
}

int main(void)
{
  guint n_rounds = g_getenv("VIRT_THIN_TEST_LONG") ? 1000 : 15;
  g_autofree char *base = NULL;
  gint64 start = g_get_monotonic_time();

  case_begin(20261130);
  g_setenv("LVM_SYSTEM_DIR", case_folder, TRUE); /* nobody else's archives */
  base = g_build_filename(case_folder, "base.img", NULL);
  make_pool(base);
  find_metadata(base);
  for (guint n = 0; n < n_rounds; n++) {
    round_of(base, n);
    progress("%u of %u rounds", n + 1, n_rounds);
  }
  printf("# seed %u: %u rounds, %u without loss, %u by older roots "
         "(%u of them do not name what is older), %u refused, %u power cuts, in %.1f s\n",
         case_seed, n_rounds, n_lossless, n_older, n_unnamed, n_refused, n_cuts_done,
         (g_get_monotonic_time() - start) / 1e6);
  case_end("a pool is mended, and a repair that was interrupted");
  for (guint i = 0; i < N_VOLUMES; i++)
    g_free(volumes[i].bytes);
  return 0;
}
