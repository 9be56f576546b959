/* virt-thin - source names of pools, and who is behind them: a service, or the kernel
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A VolumeGroup over D-Bus makes its connection again when the service was restarted, so one is
 * kept for each VG as long as libvirtd lives. What it cannot know is that libvirtd asks about a
 * thousand volumes one after the other: after a question that was not answered in time, further
 * ones are refused at once for a while.
 *
 * A VG that no service has, and that is the kernel's by choice (pool/open.h), is asked and
 * changed in this process, by the same interface. It stays so until a service has it.
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "control/service.h"
#include "libvirt/vtbackend-private.h"
#include "util/name.h"

#define DEFAULT_DEADLINE_S 10
#define CHANGE_DEADLINE_MS (60 * 1000)
#define SILENCE_US (3 * G_TIME_SPAN_SECOND)

typedef struct {
  VolumeGroup *questions, *changes;
  VolumeGroup *kernel; /* made once, kept */
  gboolean chosen;     /* the kernel, at the last look */
  PoolEngine engine;   /* as its pool's document says */
  gint64 silent_until; /* monotonic; 0: it answers */
} Service;

static GMutex lock;          /* of services */
static GHashTable *services; /* name of VG: Service. Entries stay. */

/* --- source names --- */

void vtbackend_source_clear(VtSource *source)
{
  g_clear_pointer(&source->vg, g_free);
  g_clear_pointer(&source->pool, g_free);
}

gboolean vtbackend_source_is_ours(const char *name)
{
  return name && strchr(name, '/');
}

gboolean vtbackend_source_parse(const char *name, VtSource *source, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(name ? name : "", "/", -1);
  gboolean good = g_strv_length(parts) == 2 && vt_vg_name_check(parts[0], NULL) &&
                  vt_lv_name_check(parts[1], NULL);
  if (!good)
    return vt_set_error(error, EINVAL,
                        "source name '%s' is not VG/POOL, a volume group and a thin pool in it",
                        name ? name : "");
  source->vg = g_strdup(parts[0]);
  source->pool = g_strdup(parts[1]);
  return TRUE;
}

gboolean vtbackend_source_of(VtPoolObj *obj, VtSource *source)
{
  g_autoptr(GError) error = NULL;
  if (vtbackend_source_parse(vtbackend_pool_source_name(vt.libvirt.pool_obj_get_def(obj)), source,
                             &error))
    return TRUE;
  vtbackend_report_gerror(g_steal_pointer(&error));
  return FALSE;
}

/* --- errors --- */

static int error_code(int err)
{
  switch (err) {
  case EEXIST: return VIR_ERR_STORAGE_VOL_EXIST;
  case EINVAL: return VIR_ERR_INVALID_ARG;
  case EOPNOTSUPP: return VIR_ERR_OPERATION_UNSUPPORTED;
  case ETIMEDOUT: return VIR_ERR_OPERATION_TIMEOUT;
  case EBUSY: return VIR_ERR_OPERATION_INVALID;
  default: return VIR_ERR_OPERATION_FAILED;
  }
}

int vtbackend_report_gerror_at(GError *error, const char *file, const char *function, gsize line)
{
  vt.libvirt.report_error(VIR_FROM_STORAGE, error_code(vt_error_to_errno(error)), file, function,
                          line, "%s", error->message);
  g_error_free(error);
  return -1;
}

/* libvirt has looked into its list before it asked: what contradicts that was done without it. */
int vtbackend_report_volume(VtPoolObj *obj, const VtSource *source, const char *name, GError *error)
{
  g_auto(VtPoolDocument) document = {0};
  gboolean absent = g_error_matches(error, VT_ERROR, ENOENT),
           present = g_error_matches(error, VT_ERROR, EEXIST);
  g_autoptr(PoolInfo) pool = absent || present ? vtbackend_service_pool(source, NULL) : NULL;
  g_autoptr(PoolVolumeInfo) volume = pool ? vtbackend_service_volume(source->vg, name, NULL) : NULL;
  if (pool && (present ? volume && g_strcmp0(volume->pool, source->pool) == 0 : !volume) &&
      vtbackend_pool_document_read(vt.libvirt.pool_obj_get_def(obj), &document, NULL)) {
    g_autofree char *message = g_steal_pointer(&error->message);
    error->message =
        g_strdup_printf("%s; volume %s was %s without libvirt: `virsh pool-refresh %s` brings its "
                        "list up to date",
                        message, name, present ? "made" : "removed", document.name);
  }
  return vtbackend_report_gerror(error);
}

/* --- the service --- */

guint vtbackend_deadline_ms(void)
{
  const char *text = g_getenv("VIRT_THIN_LIBVIRT_TIMEOUT");
  guint64 seconds = text ? g_ascii_strtoull(text, NULL, 10) : 0;
  return (seconds ? MIN(seconds, 3600) : DEFAULT_DEADLINE_S) * 1000;
}

static Service *find_service(const char *vg)
{
  if (!services)
    services = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  Service *service = g_hash_table_lookup(services, vg);
  if (!service) {
    service = g_new0(Service, 1);
    g_hash_table_insert(services, g_strdup(vg), service);
  }
  return service;
}

/* The kernel's pool of @vg, if that has it; else NULL, with @error set when it is the kernel's and
 * cannot be opened. Looking for it, outside the lock, opens block devices. */
static VolumeGroup *kernel_pool(const char *vg, GError **error)
{
  if (control_service_is_running(vg))
    return NULL;
  g_autoptr(PoolLook) look = pool_look_new();
  g_mutex_lock(&lock);
  VolumeGroup *group = find_service(vg)->chosen ? find_service(vg)->kernel : NULL;
  const PoolWhere where = {.engine = find_service(vg)->engine, .look = look};
  g_mutex_unlock(&lock);
  if (group || pool_holder(vg, &where) != POOL_HOLDER_KERNEL)
    return group;
  g_autoptr(VolumeGroup) mine = pool_open_kernel(vg, &where, error);
  if (!mine)
    return NULL;
  g_mutex_lock(&lock);
  Service *service = find_service(vg);
  if (!service->kernel)
    service->kernel = g_steal_pointer(&mine);
  service->chosen = TRUE;
  group = service->kernel;
  g_mutex_unlock(&lock);
  return group;
}

gboolean vtbackend_choose_again(const char *vg)
{
  g_mutex_lock(&lock);
  find_service(vg)->chosen = FALSE;
  const PoolWhere where = {.engine = find_service(vg)->engine};
  g_mutex_unlock(&lock);
  return pool_holder(vg, &where) == POOL_HOLDER_KERNEL;
}

void vtbackend_tell_engine(const char *vg, PoolEngine engine)
{
  g_mutex_lock(&lock);
  find_service(vg)->engine = engine;
  g_mutex_unlock(&lock);
}

gboolean vtbackend_is_kernels(const char *vg)
{
  return kernel_pool(vg, NULL) != NULL;
}

/* Connect outside the lock: it may take until the deadline. */
static VolumeGroup *connect_service(const char *vg, gboolean changes, guint timeout_ms,
                                    GError **error)
{
  g_mutex_lock(&lock);
  Service *service = find_service(vg);
  VolumeGroup **place = changes ? &service->changes : &service->questions;
  VolumeGroup *group = *place;
  gboolean silent = service->silent_until > g_get_monotonic_time();
  g_mutex_unlock(&lock);
  if (silent) {
    vt_set_error(error, ETIMEDOUT,
                 "the service of volume group %s does not answer; see its log, or `virt-thin stop "
                 "--force %s`",
                 vg, vg);
    return NULL;
  }
  if (group)
    return group;
  g_autoptr(GError) local = NULL;
  g_autoptr(VolumeGroup) mine = pool_connect(vg, timeout_ms, &local);
  if (!mine) {
    vtbackend_service_answered(vg, FALSE, local);
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  g_mutex_lock(&lock);
  if (!*place)
    *place = g_steal_pointer(&mine);
  group = *place;
  g_mutex_unlock(&lock);
  return group;
}

gboolean vtbackend_service_answered(const char *vg, gboolean ok, const GError *error)
{
  gboolean silent = !ok && g_error_matches(error, VT_ERROR, ETIMEDOUT);
  g_mutex_lock(&lock);
  find_service(vg)->silent_until = silent ? g_get_monotonic_time() + SILENCE_US : 0;
  g_mutex_unlock(&lock);
  return ok;
}

VolumeGroup *vtbackend_service(const char *vg, GError **error)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *kernel = kernel_pool(vg, &local);
  if (local)
    g_propagate_error(error, g_steal_pointer(&local));
  else if (!kernel)
    return connect_service(vg, FALSE, vtbackend_deadline_ms(), error);
  return kernel;
}

VolumeGroup *vtbackend_service_for_changes(const char *vg, GError **error)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *questions = vtbackend_service(vg, error);
  if (!questions || vtbackend_is_kernels(vg))
    return questions;
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(questions, &local);
  if (!vtbackend_service_answered(vg, info != NULL, local)) {
    g_propagate_error(error, g_steal_pointer(&local));
    return NULL;
  }
  return connect_service(vg, TRUE, CHANGE_DEADLINE_MS, error);
}

PoolVolumeInfo *vtbackend_service_volume(const char *vg, const char *name, GError **error)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *group = vtbackend_service(vg, error);
  PoolVolumeInfo *info = group ? pool_get_volume(group, name, &local) : NULL;
  if (group && !vtbackend_service_answered(vg, info != NULL, local))
    g_propagate_error(error, g_steal_pointer(&local));
  return info;
}

GPtrArray *vtbackend_service_volumes(const VtSource *source, GError **error)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *group = vtbackend_service(source->vg, error);
  GPtrArray *volumes = group ? pool_list_volumes(group, source->pool, &local) : NULL;
  if (group && !vtbackend_service_answered(source->vg, volumes != NULL, local))
    g_propagate_error(error, g_steal_pointer(&local));
  return volumes;
}

PoolInfo *vtbackend_service_pool(const VtSource *source, GError **error)
{
  g_autoptr(GError) local = NULL;
  VolumeGroup *group = vtbackend_service(source->vg, error);
  PoolInfo *info = group ? pool_get_info(group, source->pool, &local) : NULL;
  if (group && !vtbackend_service_answered(source->vg, info != NULL, local))
    g_propagate_error(error, g_steal_pointer(&local));
  return info;
}

/* --- where volumes are --- */

static char *files_folder(const char *vg)
{
  return settings_vg_file(vg, "volumes");
}

static char *nodes_folder(const char *vg)
{
  return g_build_filename(vtbackend_is_kernels(vg) ? "/dev" : settings_dev_dir(), vg, NULL);
}

static gboolean shows_nodes(const char *vg)
{
  return vtbackend_is_kernels(vg) || strcmp(settings_block_nodes(), "none") != 0;
}

gboolean vtbackend_volume_file_open(const char *vg, const char *name, gboolean read_only,
                                    VtVolumeFile *file, GError **error)
{
  VolumeGroup *kernel = kernel_pool(vg, NULL);
  g_autofree char *folder = kernel ? nodes_folder(vg) : files_folder(vg);
  file->path = g_build_filename(folder, name, NULL);
  if (kernel)
    file->device = pool_volume_open(kernel, name, read_only, "libvirtd", error);
  return !kernel || file->device;
}

void vtbackend_volume_file_close(VtVolumeFile *file)
{
  g_clear_pointer(&file->path, g_free);
  g_clear_pointer(&file->device, vt_io_unref);
}

char *vtbackend_volume_folder(const char *vg, GPtrArray *volumes)
{
  for (guint i = 0; volumes && i < volumes->len; i++) {
    PoolVolumeInfo *info = g_ptr_array_index(volumes, i);
    if (info->path)
      return info->path_is_block ? nodes_folder(vg) : files_folder(vg);
  }
  return shows_nodes(vg) ? nodes_folder(vg) : files_folder(vg);
}

/* A volume that is not served now - a snapshot, say - is where it would be, were it. */
char *vtbackend_volume_path(const PoolVolumeInfo *info)
{
  if (info->path)
    return g_strdup(info->path);
  g_autofree char *folder = vtbackend_volume_folder(info->vg, NULL);
  return g_build_filename(folder, info->name, NULL);
}

void vtbackend_expect_template(PoolVolumeInfo *info)
{
  g_autofree char *folder = files_folder(info->vg);
  if (vtbackend_is_kernels(info->vg) || !info->path_is_block)
    return;
  g_free(info->path);
  info->path = g_build_filename(folder, info->name, NULL);
  info->path_is_block = FALSE;
}

int vtbackend_volume_type(const PoolVolumeInfo *info)
{
  if (info->path)
    return info->path_is_block ? VIR_STORAGE_VOL_BLOCK : VIR_STORAGE_VOL_FILE;
  return shows_nodes(info->vg) ? VIR_STORAGE_VOL_BLOCK : VIR_STORAGE_VOL_FILE;
}

char *vtbackend_volume_of_path(const char *vg, const char *path)
{
  if (!path)
    return NULL;
  g_autofree char *folder = g_path_get_dirname(path), *nodes = nodes_folder(vg),
                  *files = files_folder(vg);
  g_autofree char *dev = g_strdup_printf("/dev/%s", vg);
  if (strcmp(folder, nodes) != 0 && strcmp(folder, files) != 0 && strcmp(folder, dev) != 0)
    return NULL;
  return g_path_get_basename(path);
}
