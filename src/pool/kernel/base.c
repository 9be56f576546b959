/* virt-thin - the kernel's pool: what is on disk, the VG's text and its thin pools' metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "dm/thin-reader.h"
#include "pool/look.h"
#include "pool/kernel/kernel-private.h"
#include "settings/settings.h"

/* A reader that comes upon a commit finds it done some milliseconds later. */
#define READ_ATTEMPTS 20
#define READ_PAUSE_US (10 * G_TIME_SPAN_MILLISECOND)
#define PEEK_ATTEMPTS 3
#define FORECAST_US G_TIME_SPAN_SECOND

/* --- reading the VG --- */

void kernel_forget(KernelPool *k)
{
  g_clear_pointer(&k->store, lvm_store_close);
}

/* Read, and look at the headers again: what was read is of one moment, or read again. */
static gboolean read_once(KernelPool *k, GError **error)
{
  kernel_forget(k);
  k->store =
      lvm_store_open((const char *const *)k->paths, k->vg_name, TRUE, dmk_open_direct, NULL, error);
  if (k->store && lvm_store_check_seqno(k->store, error)) {
    if (!*lvm_store_warnings(k->store))
      return TRUE;
    vt_set_error(error, EBADMSG, "%s", *lvm_store_warnings(k->store));
    return FALSE;
  }
  kernel_forget(k);
  return FALSE;
}

/* A PV that is missing or damaged may be one that was read in the middle of a commit; if it stays
 * so, what there is has to do. */
static gboolean read_patiently(KernelPool *k, GError **error)
{
  for (guint i = 1;; i++) {
    g_autoptr(GError) local = NULL;

    if (read_once(k, &local) || (k->store && i == READ_ATTEMPTS))
      return TRUE;
    if (i == READ_ATTEMPTS || g_error_matches(local, VT_ERROR, ENOENT)) {
      kernel_forget(k);
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_usleep(READ_PAUSE_US);
  }
}

LvmVg *kernel_find_vg(KernelPool *k, const PoolWhere *where, GError **error)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);

  g_strfreev(k->paths);
  k->paths = k->devices ? g_strdupv(k->devices)
                        : lvm_probe_paths(pool_look_block_devices(&begun), k->vg_name);
  if (*k->paths)
    return read_patiently(k, error) ? lvm_store_vg(k->store) : NULL;
  g_clear_pointer(&k->paths, g_strfreev);
  vt_set_error(error, ENOENT,
               "there is no volume group %s on any block device that lvm2 would look at",
               k->vg_name);
  return NULL;
}

LvmVg *kernel_read_vg(KernelPool *k, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (k->store && !*lvm_store_warnings(k->store) && lvm_store_check_seqno(k->store, NULL))
    return lvm_store_vg(k->store);
  if (k->paths && read_patiently(k, &local) && !*lvm_store_warnings(k->store))
    return lvm_store_vg(k->store);
  /* Its PVs may be elsewhere now, or more. */
  return kernel_find_vg(k, NULL, error);
}

char *kernel_uuid(LvmVg *vg, LvmLv *lv)
{
  return dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(lv), NULL);
}

char *kernel_pool_uuid(LvmVg *vg, LvmLv *pool)
{
  return dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(pool), "tpool");
}

/* --- the metadata of a thin pool --- */

/* A metadata snapshot is one per pool, so those who want one take turns. The file says whose pool
 * has one of ours, for whoever comes after a crash. */
static int lock_snapshots(KernelPool *k, GError **error)
{
  g_autofree char *folder = g_build_filename(settings_runtime_dir(), ".metadata-snapshots", NULL);
  g_autofree char *path = g_build_filename(folder, k->vg_name, NULL);
  int fd = -1;

  if (!settings_make_folder(settings_runtime_dir(), error))
    return -1;
  if (g_mkdir_with_parents(folder, 0700) == 0)
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && flock(fd, LOCK_EX) == 0)
    return fd;
  vt_set_errno(error, errno, "locking %s", path);
  if (fd >= 0)
    close(fd);
  return -1;
}

static gboolean is_left_over(int fd, const char *uuid)
{
  char text[256];
  ssize_t n = pread(fd, text, sizeof text - 1, 0);

  text[MAX(n, 0)] = 0;
  return strcmp(text, uuid) == 0;
}

static gboolean is_anothers(const char *uuid, GError **error)
{
  DmkInfo info = {0};

  dmk_is_active(uuid, &info);
  return vt_set_error(error, EBUSY,
                      "another program has a metadata snapshot of the thin pool: try again when it "
                      "is done, or release one that was left over (dmsetup message %s 0 "
                      "release_metadata_snap)",
                      info.name);
}

static gboolean reserve(int fd, const char *uuid, DmkPoolStatus *status, GError **error)
{
  if (!dmk_get_pool_status(uuid, status, error))
    return FALSE;
  if (status->held_root && !is_left_over(fd, uuid))
    return is_anothers(uuid, error);
  if (status->held_root && !dmk_release_metadata_snapshot(uuid, error))
    return FALSE;
  if (ftruncate(fd, 0) < 0 || pwrite(fd, uuid, strlen(uuid), 0) != (ssize_t)strlen(uuid))
    return vt_set_errno(error, errno, "noting a metadata snapshot");
  return dmk_reserve_metadata_snapshot(uuid, error) && dmk_get_pool_status(uuid, status, error);
}

char *kernel_metadata_device(LvmVg *vg, LvmLv *pool)
{
  LvmLv *metadata = lvm_vg_find_lv(vg, lvm_pool_metadata(pool));
  g_autofree char *layer =
                      metadata ? dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(metadata), "tmeta") : NULL,
                  *plain = metadata ? kernel_uuid(vg, metadata) : NULL;
  DmkInfo info;

  return metadata && (dmk_is_active(layer, &info) || dmk_is_active(plain, &info))
             ? g_build_filename("/dev/mapper", info.name, NULL)
             : NULL;
}

/* Where it is active, as the kernel puts it together: it may be on raid, or being moved. */
static VtIo *open_metadata(KernelPool *k, LvmLv *pool, GError **error)
{
  g_autofree char *device = kernel_metadata_device(lvm_store_vg(k->store), pool);

  return device ? dmk_open_direct(device, TRUE, NULL, error)
                : lvm_store_open_lv(k->store, lvm_pool_metadata(pool), TRUE, error);
}

static gboolean read_at(KernelPool *k, LvmLv *pool, guint64 root, KernelReadFunc func,
                        gpointer data, GError **error)
{
  g_autoptr(VtIo) io = open_metadata(k, pool, error);
  g_autoptr(DmkReader) reader = io ? dmk_reader_open(io, root, error) : NULL;

  return reader && func(reader, data, error);
}

static gboolean read_snapshot(KernelPool *k, LvmLv *pool, const char *uuid, KernelReadFunc func,
                              gpointer data, GError **error)
{
  int fd = lock_snapshots(k, error);
  DmkPoolStatus status;
  gboolean ok;

  if (fd < 0)
    return FALSE;
  ok = reserve(fd, uuid, &status, error);
  if (ok) {
    ok = read_at(k, pool, status.held_root, func, data, error);
    if (dmk_release_metadata_snapshot(uuid, ok ? error : NULL))
      ok = ftruncate(fd, 0) == 0 && ok;
    else
      ok = FALSE;
  }
  close(fd);
  return ok;
}

gboolean kernel_read_metadata(KernelPool *k, LvmLv *pool, KernelReadFunc func, gpointer data,
                              GError **error)
{
  g_autofree char *uuid = kernel_pool_uuid(lvm_store_vg(k->store), pool);

  if (dmk_is_active(uuid, NULL))
    return read_snapshot(k, pool, uuid, func, data, error);
  return read_at(k, pool, 0, func, data, error);
}

typedef struct {
  guint32 first, last;
  gboolean live; /* the superblock is the pool's own */
  GArray *devices;
  DmkSuperblock superblock;
} DeviceRequest;

static gboolean take_devices(gpointer reader, gpointer data, GError **error)
{
  DeviceRequest *request = data;

  dmk_reader_superblock(reader, &request->superblock);
  request->devices = dmk_reader_devices(reader, request->first, request->last, error);
  if (!request->devices || !request->live || dmk_reader_is_current(reader))
    return request->devices != NULL;
  g_clear_pointer(&request->devices, g_array_unref);
  return vt_set_error(error, EBUSY, "a commit came in between");
}

GArray *kernel_peek_devices(KernelPool *k, LvmLv *pool, guint64 tid)
{
  DeviceRequest request = {0, THIN_DEVICE_MAX, TRUE, NULL, {0}};
  gboolean ok = FALSE;

  for (guint i = 0; !ok && i < PEEK_ATTEMPTS; i++)
    ok = read_at(k, pool, 0, take_devices, &request, NULL);
  if (ok && request.superblock.transaction_id != tid)
    g_clear_pointer(&request.devices, g_array_unref);
  return request.devices;
}

/* Few blocks are read between two commits, if not at once then soon; a pool that leaves no such gap
 * is asked for a metadata snapshot. */
GArray *kernel_read_devices(KernelPool *k, LvmLv *pool, guint32 first, guint32 last, guint64 *tid,
                            GError **error)
{
  DeviceRequest request = {first, last, TRUE, NULL, {0}};
  gboolean ok = FALSE;

  for (guint i = 0; !ok && i < READ_ATTEMPTS; i++)
    ok = read_at(k, pool, 0, take_devices, &request, NULL);
  request.live = FALSE;
  if (!ok && !kernel_read_metadata(k, pool, take_devices, &request, error))
    return NULL;
  *tid = request.superblock.transaction_id;
  return request.devices;
}

typedef struct {
  LvmVg *vg;
  LvmLv *pool;
  PoolForecast *forecast;
  DmkReader *reader;
  gint64 deadline;
  gboolean live; /* the superblock is the pool's own */
  gboolean done; /* nothing else would come of another attempt */
} ForecastRequest;

static gboolean count_new(gpointer data, guint32 id, GByteArray *seen, guint64 *n, GError **error)
{
  ForecastRequest *request = data;

  return dmk_reader_count_new(request->reader, id, request->deadline, seen, n, error);
}

static gboolean take_forecast(gpointer reader, gpointer data, GError **error)
{
  ForecastRequest *request = data;
  gboolean ok;

  request->reader = reader;
  ok = pool_forecast(request->forecast, request->vg, lvm_lv_name(request->pool), count_new, request,
                     error);
  request->done = !request->live || dmk_reader_is_current(reader);
  return ok;
}

void kernel_forecast(KernelPool *k, LvmLv *pool, PoolForecast *forecast)
{
  ForecastRequest request = {.vg = lvm_store_vg(k->store),
                             .pool = pool,
                             .forecast = forecast,
                             .deadline = g_get_monotonic_time() + FORECAST_US,
                             .live = TRUE};

  for (guint i = 0; !request.done && i < PEEK_ATTEMPTS; i++)
    read_at(k, pool, 0, take_forecast, &request, NULL);
  request.live = FALSE;
  if (!request.done && g_get_monotonic_time() < request.deadline)
    kernel_read_metadata(k, pool, take_forecast, &request, NULL);
  if (!request.done) /* it may be of two moments */
    *forecast = (PoolForecast){0};
}
