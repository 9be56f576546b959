/* virt-thin - who has a volume group, where it is, and opening it there
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "pool/open.h"

#include <string.h>
#include <sys/stat.h>

#include "dm/dm.h"
#include "lvm/content.h"
#include "pool/look.h"
#include "util/name.h"
#include "control/service.h"

#define PATIENCE_US (3 * G_TIME_SPAN_SECOND)

/* --- who has it --- */

static gboolean has_any(const char *const *devices, const char *path)
{
  for (; *devices; devices++)
    if (vt_is_same_file(*devices, path))
      return TRUE;
  return FALSE;
}

/* Has the service of @vg one of @devices? If that cannot be told, as when it is only beginning, it
 * is taken for the one. */
static gboolean serves(const char *vg, const char *const *devices)
{
  g_autofree char *path = settings_vg_file(vg, CONTROL_SERVICE_DEVICES), *text = NULL;
  g_auto(GStrv) lines = NULL;
  gboolean known = FALSE;

  if (!g_file_get_contents(path, &text, NULL, NULL))
    return TRUE;
  lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line; line++) {
    if (**line && has_any(devices, *line))
      return TRUE;
    known = known || **line;
  }
  return !known;
}

/* With devices given another volume group of that name may be meant than the one that is served. */
static gboolean is_served(const char *vg, const PoolWhere *where)
{
  return vt_vg_name_check(vg, NULL) && control_service_is_running(vg) &&
         (!where->devices || serves(vg, where->devices));
}

static gboolean all_block_devices(GStrv paths)
{
  struct stat st;

  for (; *paths; paths++)
    if (stat(*paths, &st) < 0 || !S_ISBLK(st.st_mode))
      return FALSE;
  return TRUE;
}

static gboolean is_taken(LvmProbe *probe, const char *vg)
{
  LvmVg *text = lvm_probe_vg(probe, vg, NULL);

  return text && lvm_vg_is_taken(text);
}

/* Of those that may open it in this process. */
static PoolHolder choose(const char *vg, const PoolWhere *where)
{
  PoolEngine engine = settings_engine(vg, where->engine);
  g_auto(GStrv) paths = NULL;
  LvmProbe *probe;

  if (engine != POOL_ENGINE_AUTO)
    return engine == POOL_ENGINE_KERNEL ? POOL_HOLDER_KERNEL : POOL_HOLDER_BUNDLED;
  if (!dmk_available(NULL))
    return POOL_HOLDER_BUNDLED;
  probe = pool_look_find(vg, where, NULL);
  paths = lvm_probe_paths(probe, vg);
  return *paths && all_block_devices(paths) && !is_taken(probe, vg) ? POOL_HOLDER_KERNEL
                                                                    : POOL_HOLDER_BUNDLED;
}

static PoolHolder find_holder(const char *vg, const PoolWhere *where)
{
  return is_served(vg, where) ? POOL_HOLDER_SERVICE : choose(vg, where);
}

PoolHolder pool_holder(const char *vg, const PoolWhere *where)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);

  return find_holder(vg, &begun);
}

/* --- opening --- */

static VolumeGroup *try_open(const char *vg, const PoolWhere *where, GError **error)
{
  PoolHolder holder = find_holder(vg, where);

  if (holder == POOL_HOLDER_KERNEL)
    return pool_open_kernel(vg, where, error);
  if (holder == POOL_HOLDER_BUNDLED && where->bundled)
    return where->bundled(vg, where, error);
  return pool_connect(vg, where->timeout_ms, error);
}

VolumeGroup *pool_open(const char *vg, const PoolWhere *where, GError **error)
{
  gint64 deadline = g_get_monotonic_time() + PATIENCE_US;
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);

  for (;;) {
    g_autoptr(GError) local = NULL;
    VolumeGroup *group;

    pool_look_refresh(&begun);
    group = try_open(vg, &begun, &local);
    if (group)
      return group;
    if (!g_error_matches(local, VT_ERROR, EBUSY) || g_get_monotonic_time() >= deadline) {
      g_propagate_error(error, g_steal_pointer(&local));
      return NULL;
    }
    g_usleep(50 * G_TIME_SPAN_MILLISECOND);
  }
}

/* --- listing --- */

void pool_vg_free(PoolVg *vg)
{
  g_free(vg->name);
  g_strfreev(vg->devices);
  g_ptr_array_unref(vg->thin_pools);
  g_free(vg);
}

static PoolVg *find_vg(GPtrArray *vgs, const char *name)
{
  for (guint i = 0; i < vgs->len; i++)
    if (strcmp(((PoolVg *)vgs->pdata[i])->name, name) == 0)
      return vgs->pdata[i];
  return NULL;
}

/* What @probe (NULL: nobody) has of @name. */
static PoolVg *read_vg(const char *name, LvmProbe *probe, GPtrArray *problems)
{
  g_autoptr(GError) error = NULL;
  LvmVg *text = probe ? lvm_probe_vg(probe, name, &error) : NULL;
  g_autoptr(GPtrArray) lvs = text ? lvm_vg_lvs(text) : NULL;
  PoolVg *vg = g_new0(PoolVg, 1);

  vg->name = g_strdup(name);
  vg->devices = probe ? lvm_probe_paths(probe, name) : g_new0(char *, 1);
  vg->thin_pools = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; lvs && i < lvs->len; i++)
    if (lvm_lv_kind(lvs->pdata[i]) == LVM_LV_THIN_POOL)
      g_ptr_array_add(vg->thin_pools, g_strdup(lvm_lv_name(lvs->pdata[i])));
  vg->twice = g_error_matches(error, VT_ERROR, EINVAL);
  if (vg->twice && problems)
    g_ptr_array_add(problems, g_strdup(error->message));
  return vg;
}

PoolVg *pool_find_vg(const char *vg, const PoolWhere *where)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  g_autoptr(PoolVg) found = read_vg(vg, pool_look_find(vg, &begun, NULL), NULL);

  found->served = is_served(vg, &begun);
  return found->served || *found->devices ? g_steal_pointer(&found) : NULL;
}

static void tell_twice(const PoolVg *vg, const char *other, GPtrArray *problems)
{
  g_autofree char *devices = g_strjoinv(" ", vg->devices);

  g_ptr_array_add(problems, g_strdup_printf("there are two volume groups %s, on %s and %s; without "
                                            "--device the latter is meant",
                                            vg->name, devices, other));
}

/* A problem begins with its device's path. Those of a volume group that can be found are told when
 * it is opened. */
static void add_problems(GPtrArray *found, GPtrArray *scans, GPtrArray *problems)
{
  for (guint i = 0; i < found->len; i++) {
    gboolean later = FALSE;

    for (guint j = 0; j < scans->len; j++) {
      const LvmScan *scan = scans->pdata[j];

      later = later || (scan->vg_name && g_str_has_prefix(found->pdata[i], scan->path));
    }
    if (!later)
      g_ptr_array_add(problems, g_strdup(found->pdata[i]));
  }
}

static gboolean was_found(GPtrArray *scans, const char *path)
{
  for (guint i = 0; i < scans->len; i++)
    if (strcmp(((LvmScan *)scans->pdata[i])->path, path) == 0)
      return TRUE;
  return FALSE;
}

/* @path is no physical volume: is one in it? (A pattern of virt-thin.conf's matches a disk and its
 * partitions.) */
static gboolean tell_inside(const char *path, const PoolWhere *where, GPtrArray *problems)
{
  char *inside = where->devices || g_file_test(path, G_FILE_TEST_IS_REGULAR)
                     ? lvm_content_find_inside(path)
                     : NULL;

  if (inside)
    g_ptr_array_add(problems, inside);
  return inside != NULL;
}

/* On the devices given, or in the usual places. FALSE: one could not be read at all. */
static gboolean add_first(GPtrArray *vgs, const PoolWhere *where, GPtrArray *problems)
{
  LvmProbe *probe = pool_look_first(where);
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) scans = lvm_probe_list(probe, found);
  gboolean all = TRUE;

  add_problems(found, scans, problems);
  for (const char *const *path = pool_look_paths(where); *path; path++) {
    gboolean inside = !was_found(scans, *path) && tell_inside(*path, where, problems);

    if (was_found(scans, *path) || !(found->len || where->devices))
      continue;
    all = FALSE;
    if (!found->len && !inside)
      g_ptr_array_add(problems, g_strdup_printf("%s is no physical volume", *path));
  }
  for (guint i = 0; i < scans->len; i++) {
    const char *name = ((LvmScan *)scans->pdata[i])->vg_name;

    if (name && !find_vg(vgs, name))
      g_ptr_array_add(vgs, read_vg(name, probe, problems));
  }
  return all;
}

/* @vg was found, and a service has one of that name. */
static void compare_served(const PoolVg *vg, GPtrArray *problems)
{
  if (!serves(vg->name, (const char *const *)vg->devices))
    tell_twice(vg, "that which is served", problems);
}

static void add_served(GPtrArray *vgs, const PoolWhere *where, GPtrArray *problems)
{
  g_auto(GStrv) names = control_service_list();

  for (char **name = names; *name; name++) {
    PoolVg *vg = find_vg(vgs, *name);

    if (!is_served(*name, where))
      continue;
    if (!vg)
      g_ptr_array_add(vgs, vg = read_vg(*name, NULL, problems));
    else
      compare_served(vg, problems);
    vg->served = TRUE;
    vg->twice = FALSE;
  }
}

static gboolean is_same(PoolVg *vg, LvmProbe *a, LvmProbe *b)
{
  LvmVg *one = lvm_probe_vg(a, vg->name, NULL), *other = lvm_probe_vg(b, vg->name, NULL);

  return one && other && strcmp(lvm_vg_uuid(one), lvm_vg_uuid(other)) == 0;
}

/* Is there a @name on block devices that lvm2 would look at, and the kernel's? */
static gboolean is_kernels(const char *name, const PoolWhere *where)
{
  LvmProbe *probe = pool_look_block_devices(where);
  g_auto(GStrv) paths = lvm_probe_paths(probe, name);

  return *paths && !is_taken(probe, name) &&
         settings_engine(name, where->engine) != POOL_ENGINE_BUNDLED;
}

/* The kernel's @name, if that is another than @other (NULL: none) of the usual places, which is
 * then told. */
static PoolVg *read_kernels(const char *name, const PoolVg *other, const PoolWhere *where,
                            GPtrArray *problems)
{
  LvmProbe *first = pool_look_first(where), *probe = pool_look_block_devices(where);
  g_autoptr(PoolVg) vg = read_vg(name, probe, problems);
  g_autofree char *devices = other ? g_strjoinv(" ", other->devices) : NULL;

  if (!other)
    return g_steal_pointer(&vg);
  if (!is_same(vg, first, probe))
    tell_twice(vg, devices, problems);
  return NULL;
}

static void add_kernels(GPtrArray *vgs, const PoolWhere *where, GPtrArray *problems)
{
  g_autoptr(GPtrArray) scans = lvm_probe_list(pool_look_block_devices(where), NULL);
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; i < scans->len; i++) {
    char *name = ((LvmScan *)scans->pdata[i])->vg_name;
    g_autoptr(PoolVg) vg = NULL;

    if (!name || !g_hash_table_add(seen, name) || !is_kernels(name, where))
      continue;
    vg = read_kernels(name, find_vg(vgs, name), where, problems);
    if (vg && (vg->thin_pools->len || vg->twice))
      g_ptr_array_add(vgs, g_steal_pointer(&vg));
  }
}

GPtrArray *pool_find_namesakes(const char *name, const PoolWhere *where)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  GPtrArray *problems = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(PoolVg) vg = NULL;

  if (begun.devices)
    return problems;
  vg = read_vg(name, pool_look_first(&begun), NULL);
  if (!*vg->devices)
    g_clear_pointer(&vg, pool_vg_free);
  if (dmk_available(NULL) && is_kernels(name, &begun)) {
    PoolVg *kernels = read_kernels(name, vg, &begun, problems);

    vg = vg ? vg : kernels;
  }
  if (vg && is_served(name, &begun))
    compare_served(vg, problems);
  return problems;
}

static int compare_vgs(gconstpointer a, gconstpointer b)
{
  return strcmp((*(PoolVg *const *)a)->name, (*(PoolVg *const *)b)->name);
}

GPtrArray *pool_list_vgs(const PoolWhere *where, GPtrArray *problems, gboolean *all)
{
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  g_autoptr(GPtrArray) told =
      problems ? g_ptr_array_ref(problems) : g_ptr_array_new_with_free_func(g_free);
  GPtrArray *vgs = g_ptr_array_new_with_free_func((GDestroyNotify)pool_vg_free);
  gboolean read = add_first(vgs, &begun, told);

  if (all)
    *all = read;
  if (!begun.devices && dmk_available(NULL))
    add_kernels(vgs, &begun, told);
  add_served(vgs, &begun, told);
  g_ptr_array_sort(vgs, compare_vgs);
  return vgs;
}

/* --- before a volume group is made --- */

char *pool_vg_of(const char *path, const PoolWhere *where)
{
  const char *const paths[] = {path, NULL};
  g_autoptr(PoolLook) own = NULL;
  const PoolWhere begun = pool_look_begin(where, &own);
  g_autoptr(LvmProbe) alone = NULL;
  g_autoptr(GPtrArray) scans = NULL;
  LvmProbe *probe = pool_look_first(&begun);

  if (!has_any(pool_look_paths(&begun), path))
    probe = alone = lvm_probe(paths, NULL, NULL, NULL);
  scans = lvm_probe_list(probe, NULL);
  for (guint i = 0; i < scans->len; i++)
    if (vt_is_same_file(((LvmScan *)scans->pdata[i])->path, path))
      return g_strdup(((LvmScan *)scans->pdata[i])->vg_name);
  return NULL;
}

PoolHolder pool_holder_of_new(const char *vg, const char *path, const PoolWhere *where)
{
  struct stat st;

  return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && dmk_available(NULL) &&
                 settings_engine(vg, where->engine) != POOL_ENGINE_BUNDLED
             ? POOL_HOLDER_KERNEL
             : POOL_HOLDER_BUNDLED;
}

gboolean pool_erase(const char *path, GError **error)
{
  return lvm_content_clear(path, error);
}
