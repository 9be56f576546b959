/* virt-thin - the bundled pool: damaged metadata, mended by thin_repair
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * thin_repair reads a copy of the metadata, and writes what can be saved into a file. That goes
 * back only if a check finds nothing wrong with it and it is of the text's time. A crash on the way
 * leaves a superblock that is all zero, which opens nothing, and the copy.
 */
#include "pool/bundled/bundled-private.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "dm/lvm2.h"
#include "pool/health.h"
#include "settings/settings.h"
#include "thin/format/block.h"
#include "thin/format/disk-format.h"
#include "util/memory.h"

#define PIECE (1u << 20)

typedef struct {
  const char *vg;
  LvmLv *pool;
  VtIo *metadata, *data;
  char *old, *new; /* files: what is there, and what thin_repair makes of it */
} Repair;

/* Of @from what is not zero, or, with @all, what differs; but for the superblock. */
static gboolean copy_rest(VtIo *from, VtIo *to, gboolean all, GError **error)
{
  g_autofree char *a = g_malloc(PIECE), *b = g_malloc0(PIECE);
  guint64 size = vt_io_size(from);

  for (guint64 at = THIN_METADATA_BLOCK, n; at < size; at += n) {
    n = MIN(size - at, PIECE);
    if (!vt_io_read(from, a, n, at, error) || (all && !vt_io_read(to, b, n, at, error)))
      return FALSE;
    if (memcmp(a, b, n) != 0 && !vt_io_write(to, a, n, at, error))
      return FALSE;
  }
  return vt_io_flush(to, error);
}

static gboolean copy_superblock(VtIo *from, VtIo *to, GError **error)
{
  g_autofree char *block = g_malloc(THIN_METADATA_BLOCK);

  return vt_io_read(from, block, THIN_METADATA_BLOCK, 0, error) &&
         vt_io_write(to, block, THIN_METADATA_BLOCK, 0, error) && vt_io_flush(to, error);
}

/* A new file, as large as the metadata. */
static VtIo *make_file(const Repair *repair, const char *path, GError **error)
{
  int fd = g_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  if (fd < 0 || ftruncate(fd, (off_t)vt_io_size(repair->metadata)) < 0) {
    vt_set_errno(error, errno, "cannot make %s", path);
    if (fd >= 0)
      close(fd);
    return NULL;
  }
  return vt_io_new_file(fd, path, FALSE, error);
}

static gboolean keep_old(const Repair *repair, GError **error)
{
  g_autoptr(VtIo) file = make_file(repair, repair->old, error);

  return file && copy_rest(repair->metadata, file, FALSE, error) &&
         copy_superblock(repair->metadata, file, error);
}

/* thin_repair asks for what a damaged superblock does not say any more: the text says it. */
static gboolean run_thin_repair(const Repair *repair, const char *input, GError **error)
{
  g_autofree char *tid =
      g_strdup_printf("%" G_GUINT64_FORMAT, lvm_pool_transaction_id(repair->pool));
  g_autofree char *chunk =
      g_strdup_printf("%" G_GUINT64_FORMAT, lvm_pool_chunk_size(repair->pool) / 512);
  g_autofree char *chunks = g_strdup_printf(
      "%" G_GUINT64_FORMAT, lvm_lv_size(repair->pool) / lvm_pool_chunk_size(repair->pool));
  const char *argv[] = {"thin_repair", "-i",
                        input,         "-o",
                        repair->new,   "--transaction-id",
                        tid,           "--data-block-size",
                        chunk,         "--nr-data-blocks",
                        chunks,        NULL};
  g_autofree char *said = NULL, *said_then = NULL;
  int status = 0, status_then = 0;

  argv[5] = NULL;
  if (!dmk_run(argv, &status, &said, error))
    return FALSE;
  if (status == 0)
    return TRUE;
  argv[5] = "--transaction-id";
  if (!dmk_run(argv, &status_then, &said_then, error))
    return FALSE;
  return status_then == 0 || vt_set_error(error, EBADMSG, "thin_repair cannot mend it: %s",
                                          *g_strstrip(said) ? said : "it gives no reason");
}

/* May it take the place of what is there? */
static gboolean accept(const Repair *repair, VtIo *mended, GError **error)
{
  guint64 data_size = lvm_lv_size(repair->pool);
  const ThinOptions options = {
      .read_only = TRUE, .translations = 1024, .chunk_size = lvm_pool_chunk_size(repair->pool)};
  g_autoptr(ThinReport) report = thin_check(mended, data_size, error);
  g_autofree char *conflict = NULL;
  ThinStatus status;
  ThinPool *thin;

  if (!report)
    return FALSE;
  if (report->errors->len)
    return vt_set_error(error, EBADMSG, "what thin_repair makes of it is damaged: %s",
                        (char *)report->errors->pdata[0]);
  if (!(thin = thin_pool_open(mended, repair->data, &options, error)))
    return FALSE;
  thin_pool_get_status(thin, &status);
  thin_pool_close(thin, NULL);
  if ((conflict = pool_health_tid_conflict(repair->pool, status.transaction_id)) ||
      (conflict = pool_health_size_conflict(repair->pool, status.data_size)))
    return vt_set_error(error, EBADMSG,
                        "what thin_repair makes of it is not of the time of the volume group's "
                        "text: %s",
                        conflict);
  return TRUE;
}

static gboolean put_back(const Repair *repair, VtIo *mended, GError **error)
{
  return vt_io_write_zeros(repair->metadata, 0, THIN_METADATA_BLOCK, error) &&
         vt_io_flush(repair->metadata, error) && copy_rest(mended, repair->metadata, TRUE, error) &&
         copy_superblock(mended, repair->metadata, error);
}

static gboolean mend(const Repair *repair, const char *copy, GError **error)
{
  g_autoptr(VtIo) mended = NULL;

  if (!keep_old(repair, error))
    return FALSE;
  mended = make_file(repair, repair->new, error);
  return mended && run_thin_repair(repair, copy ? copy : repair->old, error) &&
         accept(repair, mended, error) && put_back(repair, mended, error);
}

/* Files of this moment, in the folder of archives. */
static gboolean name_files(Repair *repair, GError **error)
{
  g_autofree char *dir = settings_archive_dir(), *path = NULL, *time = NULL;
  g_autoptr(GDateTime) now = g_date_time_new_now_local();

  if (g_mkdir_with_parents(dir, 0700) < 0)
    return vt_set_errno(error, errno, "%s: cannot make the folder of archives", dir);
  time = g_date_time_format(now, "%Y%m%d-%H%M%S");
  path = g_strdup_printf("%s/%s-%s-%s.%06d", dir, repair->vg, lvm_lv_name(repair->pool), time,
                         g_date_time_get_microsecond(now));
  repair->old = g_strconcat(path, ".metadata", NULL);
  repair->new = g_strconcat(path, ".mended", NULL);
  return TRUE;
}

/* What a newer version wrote is not damaged, and would be. */
static gboolean check_features(const Repair *repair, GError **error)
{
  g_autofree guint8 *block = g_malloc0(THIN_METADATA_BLOCK);

  return !thin_superblock_read(repair->metadata, 0, block, NULL) ||
         !((ThinDiskSuperblock *)(gpointer)block)->incompat_flags ||
         vt_set_error(error, EPERM, "its metadata uses features that this version does not know");
}

static gboolean needs_repair(const Repair *repair, gboolean *needed, GError **error)
{
  g_autofree char *block = g_malloc(THIN_METADATA_BLOCK);
  g_autoptr(ThinReport) report = NULL;

  if (!vt_io_read(repair->metadata, block, THIN_METADATA_BLOCK, 0, error) ||
      !(report = thin_check(repair->metadata, lvm_lv_size(repair->pool), error)))
    return FALSE;
  *needed = report->errors->len || vt_is_zero(block, THIN_METADATA_BLOCK);
  return !*needed || check_features(repair, error);
}

static gboolean repair_pool(Repair *repair, const char *copy, GError **error)
{
  gboolean needed, ok;

  if (!needs_repair(repair, &needed, error))
    return FALSE;
  if (!needed)
    return TRUE;
  ok = name_files(repair, error) && mend(repair, copy, error);
  if (repair->new)
    g_unlink(repair->new);
  return ok;
}

/* What else there is to do, when it is the metadata that cannot be mended. */
static gboolean repair_failed(const Repair *repair, const GError *failure, GError **error)
{
  const char *name = lvm_lv_name(repair->pool);

  if (failure->code != EBADMSG)
    return vt_set_error(error, failure->code, "thin pool %s/%s: %s", repair->vg, name,
                        failure->message);
  return vt_set_error(error, EBADMSG,
                      "thin pool %s/%s: %s. A copy of its metadata that was kept can be put back: "
                      "virt-thin check --repair --from FILE %s/%s",
                      repair->vg, name, failure->message, repair->vg, name);
}

gboolean pool_repair(const char *vg, const char *thin_pool, const char *copy,
                     const PoolWhere *where, char **kept, GError **error)
{
  g_autoptr(LvmStore) store = bundled_open_vg(vg, where, NULL, NULL, error);
  LvmLv *lv = store ? lvm_vg_find_lv(lvm_store_vg(store), thin_pool) : NULL;
  g_autoptr(VtIo) metadata = NULL, data = NULL;
  Repair repair = {.vg = vg, .pool = lv};
  g_autoptr(GError) local = NULL;

  *kept = NULL;
  if (!store)
    return FALSE;
  if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    return vt_set_error(error, ENOENT, "volume group %s has no thin pool %s", vg, thin_pool);
  if (!(metadata = lvm_store_open_lv(store, lvm_pool_metadata(lv), FALSE, error)) ||
      !(data = lvm_store_open_lv(store, lvm_pool_data(lv), TRUE, error)))
    return FALSE;
  repair.metadata = metadata;
  repair.data = data;
  if (!repair_pool(&repair, copy, &local))
    repair_failed(&repair, local, error);
  g_free(repair.new);
  *kept = repair.old;
  return local == NULL;
}
