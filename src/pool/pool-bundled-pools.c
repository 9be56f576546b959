/* virt-thin - the bundled pool: changes of thin pools and of the volume group; making one; checking
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/pool-bundled.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lvm/content.h"
#include "pool/pool-devices.h"
#include "pool/pool-layout.h"
#include "pool/pool-rules.h"
#include "pool/settings.h"
#include "util/size.h"

/* Old data in new metadata extents could be taken for metadata, by a repair that scans for it. */
static gboolean zero_metadata(Bundled *b, LvmVg *vg, const char *pool, GError **error)
{
  LvmLv *spare = pool_layout_spare(vg);

  return bundled_check_seqno(b, error) &&
         lvm_store_zero_new(b->store, vg, lvm_pool_metadata(lvm_vg_find_lv(vg, pool)), error) &&
         (!spare || lvm_store_zero_new(b->store, vg, lvm_lv_name(spare), error));
}

static void prefix(GError **error, Bundled *b, const char *what, const char *name)
{
  g_autofree char *shown = bundled_show(name ? name : "(its thin pool)");

  g_prefix_error(error, "cannot %s %s/%s: ", what, b->vg_name, shown);
}

/* --- a larger pool --- */

static gboolean grow(Bundled *b, LvmVg *vg, LvmLv *pool_lv, guint64 extents, gboolean metadata, GError **error)
{
  LvmLv *lv = metadata ? lvm_vg_find_lv(vg, lvm_pool_metadata(pool_lv)) : pool_lv;

  if (!lv)
    return vt_set_error(error, EBADMSG, "the volume group has no %s", lvm_pool_metadata(pool_lv));
  if (extents < lvm_lv_n_extents(lv)) {
    g_autofree char *asked = vt_size_format(extents * lvm_vg_extent_size(vg)), *has = vt_size_format(lvm_lv_size(lv));

    return vt_set_error(error, EOPNOTSUPP, "%s is less than the %s that it has, and a thin pool cannot shrink", asked,
                        has);
  }
  return metadata ? lvm_vg_grow_pool_metadata(vg, pool_lv, extents, error) &&
                        zero_metadata(b, vg, lvm_lv_name(pool_lv), error)
                  : lvm_vg_grow_pool_data(vg, pool_lv, extents, error);
}

gboolean bundled_resize_pool_locked(Bundled *b, const char *thin_pool, guint64 size, gboolean metadata, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autofree char *description = NULL;
  BundledPool *pool;
  guint64 extents, before;
  LvmLv *pool_lv;

  if (!bundled_begin(b, &vg, error) || !(pool = bundled_usable_pool(b, thin_pool, error)) ||
      !pool_rules_extents(metadata ? "a pool's metadata" : "a pool", size, lvm_vg_extent_size(vg), &extents, error))
    return FALSE;
  pool_lv = lvm_vg_find_lv(vg, pool->name);
  before = lvm_vg_n_free_extents(vg);
  if (!grow(b, vg, pool_lv, extents, metadata, error))
    return FALSE;
  if (lvm_vg_n_free_extents(vg) == before)
    return TRUE;
  description = g_strdup_printf("growth of %s", pool->name);
  return bundled_commit_text(b, g_steal_pointer(&vg), description, error) && thin_pool_grow(pool->thin, error);
}

gboolean bundled_resize_pool(Pool *pool, const char *thin_pool, guint64 size, gboolean metadata, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = bundled_resize_pool_locked(b, thin_pool, size, metadata, error);
  bundled_unlock(b);
  if (!ok)
    prefix(error, b, metadata ? "resize the metadata of" : "resize thin pool", thin_pool);
  return ok;
}

/* --- a further pool --- */

/* What of the volume group is not @data_extents: its physical volumes' own metadata, other volumes, the reserve. */
static guint64 overhead(LvmVg *vg, guint64 data_extents)
{
  g_autoptr(GPtrArray) pvs = lvm_vg_pvs(vg);
  guint64 size = 0;

  for (guint i = 0; i < pvs->len; i++)
    size += lvm_pv_size(pvs->pdata[i]);
  return size - data_extents * lvm_vg_extent_size(vg);
}

/* What marks a pool as ours: a writer is told at once that it is full, also by the kernel; and it may grow. */
static gboolean finish_pool(LvmVg *vg, LvmLv *pool_lv, const PoolNew *params, const PoolLayout *layout, GError **error)
{
  guint64 max = params->max_size, besides = params->size ? 0 : overhead(vg, layout->data);

  lvm_lv_set_flag(pool_lv, "ERROR_WHEN_FULL", TRUE);
  return !max || bundled_set_max_size(pool_lv, MAX(max - MIN(max, besides), lvm_lv_size(pool_lv)), error);
}

static gboolean create_pool_locked(Bundled *b, const char *name, const PoolNew *params, GError **error)
{
  static const PoolNew defaults;
  g_autoptr(LvmVg) vg = NULL;
  g_autofree char *description = g_strdup_printf("thin pool %s", name);
  PoolLayout layout;
  LvmLv *pool_lv;

  if (!params)
    params = &defaults;
  if (!lvm_name_check(name, error) || !bundled_begin(b, &vg, error))
    return FALSE;
  if (lvm_vg_find_lv(vg, name))
    return vt_set_error(error, EEXIST, "volume group %s has a %s of that name", b->vg_name,
                        g_hash_table_contains(b->pools, name) ? "thin pool" : "volume");
  if (!pool_layout_choose(vg, params, &layout, error) ||
      !(pool_lv = lvm_vg_add_thin_pool(vg, name, layout.data, layout.metadata, layout.chunk_size, error)) ||
      !finish_pool(vg, pool_lv, params, &layout, error) || !zero_metadata(b, vg, name, error))
    return FALSE;
  return bundled_commit_text(b, g_steal_pointer(&vg), description, error) && bundled_open_pool(b, name, error);
}

gboolean bundled_create_pool(Pool *pool, const char *thin_pool, const PoolNew *params, GError **error)
{
  Bundled *b = (Bundled *)pool;
  gboolean ok;

  bundled_lock(b);
  ok = create_pool_locked(b, thin_pool, params, error);
  bundled_unlock(b);
  if (!ok)
    prefix(error, b, "create thin pool", thin_pool);
  return ok;
}

/* --- a pool less --- */

/* Its metadata, to be read, though the pool may be refused; give it back with end_reading(). */
static ThinPool *begin_reading(Bundled *b, BundledPool *pool, GError **error)
{
  const ThinOptions options = {.read_only = TRUE,
                               .block_cache = 4u << 20,
                               .translations = 1024,
                               .chunk_size = lvm_pool_chunk_size(lvm_vg_find_lv(lvm_store_vg(b->store), pool->name))};

  if (pool->thin)
    return pool->thin;
  if (pool->data)
    return thin_pool_open(pool->metadata, pool->data, &options, error);
  g_propagate_error(error, g_error_copy(pool->refused));
  return NULL;
}

static void end_reading(BundledPool *pool, ThinPool *thin)
{
  if (thin && thin != pool->thin)
    thin_pool_close(thin, NULL);
}

static gboolean check_empty(Bundled *b, LvmVg *vg, BundledPool *pool, GError **error)
{
  g_autoptr(GError) failure = NULL;
  ThinPool *thin = begin_reading(b, pool, &failure);
  g_autoptr(GArray) devices = thin ? thin_pool_list_devices(thin, &failure) : NULL;
  ThinStatus status;

  if (thin)
    thin_pool_get_status(thin, &status);
  end_reading(pool, thin);
  if (devices)
    return pool_devices_check_removal(vg, lvm_vg_find_lv(vg, pool->name), status.transaction_id, devices, error);
  return vt_set_error(error, failure->code,
                      "whether it is empty cannot be told: %s. If nothing that may be in it is needed: lvremove %s/%s",
                      failure->message, b->vg_name, pool->name);
}

gboolean bundled_remove_pool(Bundled *b, const char *name, GError **error)
{
  g_autoptr(LvmVg) vg = NULL;
  g_autofree char *own_name = g_strdup(name), *description = g_strdup_printf("removal of thin pool %s", name);
  BundledPool *pool = g_hash_table_lookup(b->pools, name);
  guint n_volumes;

  if (!bundled_begin(b, &vg, error))
    return FALSE;
  pool_rules_virtual_size(vg, name, &n_volumes);
  if (n_volumes > 0)
    return vt_set_error(error, EBUSY, "thin pool %s/%s has %u volume%s: remove %s first", b->vg_name, name, n_volumes,
                        n_volumes == 1 ? "" : "s", n_volumes == 1 ? "that" : "those");
  if (!check_empty(b, vg, pool, error) || !lvm_vg_remove_lv(vg, lvm_vg_find_lv(vg, name), error))
    return FALSE;
  while (pool->users > 0)
    pthread_cond_wait(&b->idle, &b->lock);
  g_hash_table_remove(b->pools, own_name);
  if (!bundled_pool_close(pool, error) || !bundled_commit_text(b, g_steal_pointer(&vg), description, error)) {
    bundled_open_pool(b, own_name, NULL); /* as it was, or refused with its reason */
    return FALSE;
  }
  return TRUE;
}

/* --- a larger volume group --- */

static gboolean require_new_pv(Bundled *b, const char *path, GError **error)
{
  if (!g_strv_contains(lvm_store_paths(b->store), path))
    return TRUE;
  return vt_set_error(error, EEXIST, "it is one of its physical volumes already");
}

gboolean bundled_extend(Pool *pool, const char *path, GError **error)
{
  Bundled *b = (Bundled *)pool;
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  g_autoptr(LvmVg) vg = NULL;
  gboolean ok;

  bundled_lock(b);
  ok = bundled_begin(b, &vg, error) && require_new_pv(b, absolute, error) &&
       lvm_store_add_pv(b->store, absolute, b->archive_dir, error) && lvm_store_take(b->store, b->archive_dir, error);
  bundled_unlock(b);
  if (!ok)
    g_prefix_error(error, "cannot extend volume group %s with %s: ", b->vg_name, path);
  return ok;
}

/* --- checking --- */

/* A pool in use is read while it goes on. A commit or two in the middle of that may free what is being read; then the
 * errors mean nothing. */
static gboolean check_metadata(VtIo *metadata, VtIo *data, ThinReport **report, GError **error)
{
  g_autofree guint8 *before = g_malloc(THIN_METADATA_BLOCK), *after = g_malloc(THIN_METADATA_BLOCK);

  *report = NULL;
  for (guint i = 0; i < 10; i++) {
    g_clear_pointer(report, thin_report_free);
    if (!vt_io_read(metadata, before, THIN_METADATA_BLOCK, 0, error))
      return FALSE;
    *report = thin_check(metadata, vt_io_size(data), error);
    if (!*report || ((*report)->errors->len == 0 && (*report)->leaks->len == 0))
      return *report != NULL;
    if (!vt_io_read(metadata, after, THIN_METADATA_BLOCK, 0, error))
      return FALSE;
    if (memcmp(before, after, THIN_METADATA_BLOCK) == 0)
      return TRUE;
  }
  return vt_set_error(error, EBUSY,
                      "the pool was changed ten times while it was being checked: check it when there is less to do");
}

static gboolean is_unformatted(VtIo *metadata)
{
  static const guint8 zeros[THIN_METADATA_BLOCK];
  g_autofree guint8 *block = g_malloc(THIN_METADATA_BLOCK);

  return vt_io_read(metadata, block, THIN_METADATA_BLOCK, 0, NULL) && memcmp(block, zeros, THIN_METADATA_BLOCK) == 0;
}

static gboolean is_under_way(GArray *messages, const char *name)
{
  for (guint i = 0; i < messages->len; i++)
    if (!g_strcmp0(g_array_index(messages, LvmMessage, i).create, name))
      return TRUE;
  return FALSE;
}

/* Do VG text and pool speak of the same devices, at the same time? */
static void compare_with_text(Bundled *b, LvmLv *pool_lv, ThinPool *thin, GPtrArray *errors)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(lvm_store_vg(b->store));
  g_autoptr(GArray) messages = lvm_pool_messages(pool_lv), devices = thin_pool_list_devices(thin, NULL), strays = NULL;
  char *conflict;
  ThinStatus status;

  thin_pool_get_status(thin, &status);
  conflict = bundled_tid_conflict(b, pool_lv, status.transaction_id);
  if (conflict)
    g_ptr_array_add(errors, conflict);
  if (status.needs_check && errors->len == 0)
    g_ptr_array_add(errors,
                    g_strdup("the metadata is marked needs_check: a commit failed, or a repair was not finished"));
  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];
    g_autoptr(GError) failure = NULL;
    ThinDevice device;

    if (lvm_lv_kind(lv) == LVM_LV_THIN && strcmp(lvm_thin_pool(lv), lvm_lv_name(pool_lv)) == 0 &&
        !thin_pool_get_device(thin, lvm_thin_device(lv), &device, &failure) && !is_under_way(messages, lvm_lv_name(lv)))
      g_ptr_array_add(errors, g_strdup_printf("volume %s: its thin device %u cannot be found: %s", lvm_lv_name(lv),
                                              lvm_thin_device(lv), failure->message));
  }
  if (devices)
    pool_devices_tell(strays = pool_devices_strays(lvm_store_vg(b->store), pool_lv, status.transaction_id, devices),
                      errors);
}

static void move_strings(GPtrArray *from, GPtrArray *to)
{
  for (guint i = 0; i < from->len; i++)
    g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

static void check_text(Bundled *b, BundledPool *pool, GPtrArray *errors)
{
  LvmLv *pool_lv = lvm_vg_find_lv(lvm_store_vg(b->store), pool->name);
  g_autoptr(GError) failure = NULL;
  ThinPool *thin = begin_reading(b, pool, &failure);

  if (thin)
    compare_with_text(b, pool_lv, thin, errors);
  else if (errors->len == 0)
    g_ptr_array_add(errors, g_strdup(failure->message));
  end_reading(pool, thin);
}

/* Called without the lock, @pool held. */
static gboolean check_pool(Bundled *b, BundledPool *pool, GPtrArray *errors, GPtrArray *leaks, GError **error)
{
  g_autoptr(ThinReport) report = NULL;

  /* Damaged copies of label and text that another made up for. */
  bundled_lock(b);
  for (const char *const *warning = lvm_store_warnings(b->store); warning && *warning; warning++)
    g_ptr_array_add(errors, g_strdup(*warning));
  bundled_unlock(b);
  if (!pool->metadata || !pool->data) {
    g_ptr_array_add(errors, g_strdup(pool->refused->message));
    return TRUE;
  }
  if (is_unformatted(pool->metadata)) {
    if (pool->refused) { /* it was not always so */
      g_ptr_array_add(errors, g_strdup(pool->refused->message));
      return TRUE;
    }
  } else {
    if (!check_metadata(pool->metadata, pool->data, &report, error))
      return FALSE;
    move_strings(report->errors, errors);
    move_strings(report->leaks, leaks);
  }
  bundled_lock(b);
  check_text(b, pool, errors);
  bundled_unlock(b);
  return TRUE;
}

gboolean bundled_check(Pool *pool, const char *thin_pool, GPtrArray **errors, GPtrArray **leaks, GError **error)
{
  Bundled *b = (Bundled *)pool;
  g_autoptr(GPtrArray) e = g_ptr_array_new_with_free_func(g_free), l = g_ptr_array_new_with_free_func(g_free);
  BundledPool *p;
  gboolean ok = FALSE;

  bundled_lock(b);
  p = bundled_find_pool(b, thin_pool, error);
  if (p)
    bundled_pool_hold(b, p);
  bundled_unlock(b);
  if (p) {
    ok = check_pool(b, p, e, l, error);
    bundled_lock(b);
    bundled_pool_release(b, p);
    bundled_unlock(b);
  }
  if (!ok) {
    prefix(error, b, "check thin pool", thin_pool);
    return FALSE;
  }
  *errors = g_steal_pointer(&e);
  *leaks = g_steal_pointer(&l);
  return TRUE;
}

/* --- a new volume group --- */

/* What is to be taken back when the rest fails. */
typedef struct {
  const char *path;
  gboolean made; /* the file */
  gboolean labelled;
  off_t size_before; /* -1: not grown */
} Undo;

static void undo_init(const Undo *undo)
{
  static const guint8
      zeros[2048]; /* the four sectors that may hold a label: lvm2 lib/label/label.h LABEL_SCAN_SECTORS */
  int fd;

  if (undo->made) {
    unlink(undo->path);
    return;
  }
  if (!undo->labelled && undo->size_before < 0)
    return;
  fd = open(undo->path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if ((undo->labelled && (pwrite(fd, zeros, sizeof zeros, 0) != sizeof zeros || fsync(fd) != 0)) ||
      (undo->size_before >= 0 && ftruncate(fd, undo->size_before) != 0))
    g_warning("%s could not be brought back to what it was: %s", undo->path, g_strerror(errno));
  close(fd);
}

/* btrfs, which copies on write, then keeps what is allocated ahead (vt_io_back()), and does not cut a disk's image into
 * thousands of pieces: libvirt does the same to its pools there. Of an empty file; others know no such flag. */
static void write_in_place(int fd)
{
  int flags;

  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
    flags |= FS_NOCOW_FL;
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
  }
}

static gboolean make_file(Undo *undo, guint64 size, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(undo->path);
  int fd;
  gboolean ok;

  if (size == 0)
    return vt_set_error(error, EINVAL, "%s does not exist: give a size to make it", undo->path);
  if (strcmp(folder, settings_state_dir()) == 0 && g_mkdir_with_parents(folder, 0711) != 0)
    return vt_set_errno(error, errno, "cannot make the folder %s", folder);
  fd = open(undo->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return vt_set_errno(error, errno, "cannot make %s", undo->path);
  undo->made = TRUE;
  write_in_place(fd);
  ok = size <= G_MAXINT64 && ftruncate(fd, size) == 0;
  if (!ok)
    vt_set_errno(error, size <= G_MAXINT64 ? errno : EFBIG, "cannot give %s a size of %" G_GUINT64_FORMAT " bytes",
                 undo->path, size);
  close(fd);
  return ok;
}

/* The file or device at undo->path, with @size bytes. */
static gboolean prepare_pv(Undo *undo, guint64 size, gboolean *is_block, GError **error)
{
  struct stat st;

  if (stat(undo->path, &st) != 0)
    return errno == ENOENT ? make_file(undo, size, error) : vt_set_errno(error, errno, "%s", undo->path);
  *is_block = S_ISBLK(st.st_mode);
  if (!*is_block && !S_ISREG(st.st_mode))
    return vt_set_error(error, EINVAL, "%s is neither a file nor a block device", undo->path);
  if (*is_block || size == 0 || (guint64)st.st_size == size)
    return TRUE;
  if ((guint64)st.st_size > size)
    return vt_set_error(error, EINVAL,
                        "%s exists, and is larger (%" G_GUINT64_FORMAT " bytes) than the %" G_GUINT64_FORMAT
                        " asked for: give its size, or none",
                        undo->path, (guint64)st.st_size, size);
  /* Now, for marks at its end are not found any more when it is longer. */
  if (!lvm_content_check_free(undo->path, error))
    return FALSE;
  if (size > G_MAXINT64 || truncate(undo->path, size) != 0)
    return vt_set_errno(error, size > G_MAXINT64 ? EFBIG : errno,
                        "cannot give %s a size of %" G_GUINT64_FORMAT " bytes", undo->path, size);
  undo->size_before = st.st_size;
  return TRUE;
}

static gboolean require_new_vg(const char *vg, GError **error)
{
  g_auto(GStrv) paths = settings_devices();
  g_autoptr(GPtrArray) scans = lvm_scan((const char *const *)paths, NULL);
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < scans->len; i++) {
    LvmScan *scan = scans->pdata[i];

    if (!g_strcmp0(scan->vg_name, vg))
      ok = vt_set_error(error, EEXIST, "there is a volume group %s already, on %s", vg, scan->path);
  }
  g_ptr_array_set_free_func(scans, (GDestroyNotify)lvm_scan_free);
  return ok;
}

static gboolean make_vg(const char *vg, const char *thin_pool, Undo *undo, guint64 extent_size, gboolean is_block,
                        const PoolNew *params, GError **error)
{
  const char *paths[] = {undo->path, NULL};
  const LvmCreate create = {.extent_size = extent_size, .no_autoactivate = !is_block};
  LvmStore *store = lvm_store_create(vg, paths, &create, error);
  Pool *pool;
  gboolean ok;

  if (!store)
    return FALSE;
  undo->labelled = TRUE;
  pool = bundled_open_store(store, FALSE, error);
  if (!pool)
    return FALSE;
  ok = pool_create_pool(pool, thin_pool, params, error);
  return pool_close(pool, ok ? error : NULL) && ok;
}

gboolean pool_init(const char *vg, const char *thin_pool, const char *path, guint64 size, guint64 extent_size,
                   const PoolNew *params, GError **error)
{
  g_autofree char *absolute = g_canonicalize_filename(path, NULL);
  Undo undo = {.path = absolute, .size_before = -1};
  gboolean is_block = FALSE;

  if (!lvm_vg_name_check(vg, error) || !lvm_name_check(thin_pool, error))
    return FALSE;
  if (require_new_vg(vg, error) && prepare_pv(&undo, size, &is_block, error) &&
      make_vg(vg, thin_pool, &undo, extent_size, is_block, params, error))
    return TRUE;
  undo_init(&undo);
  g_prefix_error(error, "cannot make volume group %s on %s: ", vg, path);
  return FALSE;
}

static LvmStore *open_for_writing(const char *vg, const char *const *devices, GError **error)
{
  return devices ? lvm_store_open(devices, vg, FALSE, NULL, NULL, error)
                 : bundled_find_store(vg, FALSE, NULL, NULL, error);
}

gboolean pool_release(const char *vg, const char *const *devices, GError **error)
{
  g_autofree char *archive = settings_archive_dir();
  g_autoptr(LvmStore) store = open_for_writing(vg, devices, error);

  return store && lvm_store_release(store, archive, error);
}

gboolean pool_clear_needs_check(const char *vg, const char *thin_pool, const char *const *devices, GError **error)
{
  g_autoptr(LvmStore) store = open_for_writing(vg, devices, error);
  LvmLv *lv = store ? lvm_vg_find_lv(lvm_store_vg(store), thin_pool) : NULL;
  g_autoptr(VtIo) metadata = NULL;

  if (!store)
    return FALSE;
  if (!lv || lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    return vt_set_error(error, ENOENT, "volume group %s has no thin pool %s", vg, thin_pool);
  metadata = lvm_store_open_lv(store, lvm_pool_metadata(lv), FALSE, error);
  return metadata && thin_clear_needs_check(metadata, lvm_lv_size(lv), error);
}
