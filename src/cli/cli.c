/* virt-thin - what the commands of the virt-thin program share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/refresh.h"
#include "control/service.h"
#include "lvm/content.h"
#include "lvm/store.h"
#include "pool/choose.h"
#include "settings/settings.h"
#include "util/name.h"
#include "util/size.h"

#define LOCK_PATIENCE_US (3 * G_TIME_SPAN_SECOND)
/* A check or removal that walks a large pool's metadata takes as long as it takes. */
#define PATIENT_TIMEOUT_MS (24u * 3600 * 1000)

/* The name is no expression: */
/* clang-format off */
G_DEFINE_QUARK(virt-thin-usage, cli_usage)
/* clang-format on */

gboolean cli_usage(GError **error, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  if (error)
    *error = g_error_new_valist(CLI_USAGE, 0, format, args);
  va_end(args);
  return FALSE;
}

const CliCommand cli_end = {.name = NULL};

int cli_status(gboolean ok)
{
  return ok ? CLI_OK : CLI_FAILED;
}

void cli_warn(const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_strdup_vprintf(format, args);
  va_end(args);
  fflush(stdout);
  fprintf(stderr, "virt-thin: %s\n", text);
}

char *cli_size(guint64 bytes)
{
  return bytes == G_MAXUINT64 ? g_strdup("-") : vt_size_format(bytes);
}

char *cli_growth(const PoolInfo *info)
{
  if (info->unwatched)
    return g_strdup_printf("not by itself: %s", info->unwatched);
  if (!info->grows_at)
    return NULL;
  return g_strdup_printf("by %u %% at %u %%%s", info->grows_by, info->grows_at,
                         info->max_size ? ""
                                        : ", its metadata only: it was made without --max-size");
}

/* --- names and sizes --- */

gboolean cli_split_optional(const char *argument, char **vg, char **lv, GError **error)
{
  const char *name = g_str_has_prefix(argument, "/dev/") ? argument + strlen("/dev/") : argument;
  const char *slash = strchr(name, '/');

  *vg = *lv = NULL;
  if (slash == name || !*name || (slash && !slash[1]))
    return cli_usage(error, "\"%s\" is neither VG nor VG/LV", argument);
  *vg = slash ? g_strndup(name, slash - name) : g_strdup(name);
  *lv = slash ? g_strdup(slash + 1) : NULL;
  return TRUE;
}

gboolean cli_split_name(const char *argument, char **vg, char **lv, GError **error)
{
  if (!cli_split_optional(argument, vg, lv, NULL))
    return cli_usage(error, "\"%s\" is not VG/LV", argument);
  if (*lv)
    return TRUE;
  g_clear_pointer(vg, g_free);
  return cli_usage(error, "\"%s\" names a volume group alone: VG/LV is wanted", argument);
}

gboolean cli_parse_size(const char *option, const char *text, guint64 *size, GError **error)
{
  g_autoptr(GError) local = NULL;

  *size = 0;
  if (!text || vt_size_parse(text, size, NULL, &local))
    return TRUE;
  return cli_usage(error, "%s %s: %s", option, text, local->message);
}

/* --- opening --- */

static GStrv given_devices;

const char *const *cli_devices(void)
{
  return (const char *const *)given_devices;
}

/* main.c: what --device said, made absolute. */
void cli_set_devices(char **paths)
{
  GPtrArray *full;

  if (!paths)
    return;
  full = g_ptr_array_new();
  for (char **path = paths; *path; path++)
    g_ptr_array_add(full, g_canonicalize_filename(*path, NULL));
  g_ptr_array_add(full, NULL);
  g_strfreev(given_devices);
  given_devices = (GStrv)g_ptr_array_free(full, FALSE);
  settings_set_devices((const char *const *)given_devices);
}

static gboolean same_file(const char *a, const char *b)
{
  struct stat one, two;

  if (strcmp(a, b) == 0)
    return TRUE;
  if (stat(a, &one) < 0 || stat(b, &two) < 0)
    return FALSE;
  if (S_ISBLK(one.st_mode) && S_ISBLK(two.st_mode))
    return one.st_rdev == two.st_rdev;
  return one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

static gboolean shares_a_device(PoolVgInfo *info)
{
  for (char **given = given_devices; *given; given++)
    for (char **device = info->devices; device && *device; device++)
      if (same_file(*given, *device))
        return TRUE;
  return FALSE;
}

/* With --device another volume group of that name may be meant than the one that is served here. A
 * service that does not answer is taken for the one. */
gboolean cli_is_served(const char *vg)
{
  g_autoptr(VolumeGroup) group = NULL;
  g_autoptr(PoolVgInfo) info = NULL;

  if (!vt_vg_name_check(vg, NULL) || !control_service_is_running(vg))
    return FALSE;
  if (!given_devices)
    return TRUE;
  group = pool_connect(vg, 0, NULL);
  info = group ? pool_get_vg_info(group, NULL) : NULL;
  return !info || shares_a_device(info);
}

static void note_change(const char *vg, PoolOpenFlags flags)
{
  if (!(flags & POOL_READ_ONLY))
    cli_refresh_later(vg);
}

/* Through the engine in this process, or the kernel. */
static VolumeGroup *open_here(const char *vg, PoolOpenFlags flags, GError **error)
{
  if (pool_choose_engine(vg, NULL) == POOL_ENGINE_KERNEL) {
    note_change(vg, flags);
    return pool_open_kernel(vg, cli_devices(), flags, error);
  }
  return pool_open_bundled(vg, NULL, flags, error);
}

/* Another command may have the volume group open for a moment, or a service be about to take it:
 * wait for them a little, as lvm2's commands do for their locks. FALSE: it is served now. */
static gboolean open_in_turn(const char *vg, PoolOpenFlags flags, VolumeGroup **group,
                             GError **error)
{
  gint64 deadline = g_get_monotonic_time() + LOCK_PATIENCE_US;

  for (;;) {
    g_autoptr(GError) local = NULL;

    if (cli_is_served(vg))
      return FALSE;
    *group = open_here(vg, flags, &local);
    if (*group)
      return TRUE;
    if (!g_error_matches(local, VT_ERROR, EBUSY) || g_get_monotonic_time() >= deadline) {
      g_propagate_error(error, g_steal_pointer(&local));
      return TRUE;
    }
    g_usleep(50 * G_TIME_SPAN_MILLISECOND);
  }
}

static VolumeGroup *open_vg(const char *vg, PoolOpenFlags flags, gboolean patient, GError **error)
{
  VolumeGroup *group = NULL;

  if (open_in_turn(vg, flags, &group, error))
    return group;
  if (patient) {
    g_autoptr(VolumeGroup) answers = pool_connect(vg, 0, error);

    if (!answers)
      return NULL;
  }
  note_change(vg, flags);
  return pool_connect(vg, patient ? PATIENT_TIMEOUT_MS : 0, error);
}

VolumeGroup *cli_open(const char *vg, PoolOpenFlags flags, GError **error)
{
  return open_vg(vg, flags, FALSE, error);
}

VolumeGroup *cli_open_patient(const char *vg, PoolOpenFlags flags, GError **error)
{
  return open_vg(vg, flags, TRUE, error);
}

gboolean cli_close(VolumeGroup *group, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!group || pool_close(group, &local))
    return TRUE;
  if (error && !*error)
    g_propagate_error(error, g_steal_pointer(&local));
  else
    cli_warn("%s", local->message);
  return FALSE;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean was_found(GPtrArray *found, const char *path)
{
  for (guint i = 0; i < found->len; i++)
    if (strcmp(((LvmScan *)found->pdata[i])->path, path) == 0)
      return TRUE;
  return FALSE;
}

/* A problem begins with its device's path. Those of a volume group that can be found are told when
 * it is opened. */
static void tell_problems(GPtrArray *problems, GPtrArray *found)
{
  for (guint i = 0; i < problems->len; i++) {
    gboolean later = FALSE;

    for (guint j = 0; j < found->len; j++) {
      const LvmScan *scan = found->pdata[j];

      later = later || (scan->vg_name && g_str_has_prefix(problems->pdata[i], scan->path));
    }
    if (!later)
      cli_warn("%s", (char *)problems->pdata[i]);
  }
}

/* @path is no physical volume: is one in it? (A pattern of virt-thin.conf's matches a disk and its
 * partitions.) */
static gboolean tell_inside(const char *path)
{
  g_autofree char *inside = given_devices || g_file_test(path, G_FILE_TEST_IS_REGULAR)
                                ? lvm_content_find_inside(path)
                                : NULL;

  if (inside)
    cli_warn("%s", inside);
  return inside != NULL;
}

GStrv cli_list_vgs(gboolean *all)
{
  g_auto(GStrv) paths = settings_devices();
  g_auto(GStrv) served = control_service_list(),
                kernels = given_devices ? NULL : pool_list_kernel_vgs();
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
  g_autoptr(GPtrArray) found = lvm_scan((const char *const *)paths, problems);
  g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
  GPtrArray *list = g_ptr_array_new();
  GHashTableIter iter;
  gpointer name;

  tell_problems(problems, found);
  *all = TRUE;
  for (char **path = paths; *path; path++) {
    gboolean inside = !was_found(found, *path) && tell_inside(*path);

    if (was_found(found, *path) || !(problems->len || given_devices))
      continue;
    *all = FALSE;
    if (!problems->len && !inside)
      cli_warn("%s is no physical volume", *path);
  }
  for (guint i = 0; found && i < found->len; i++)
    if (((LvmScan *)found->pdata[i])->vg_name)
      g_hash_table_add(names, ((LvmScan *)found->pdata[i])->vg_name);
  for (char **vg = served; *vg; vg++)
    if (cli_is_served(*vg))
      g_hash_table_add(names, *vg);
  for (char **vg = kernels; vg && *vg; vg++)
    g_hash_table_add(names, *vg);
  g_hash_table_iter_init(&iter, names);
  while (g_hash_table_iter_next(&iter, &name, NULL))
    g_ptr_array_add(list, g_strdup(name));
  g_ptr_array_sort(list, compare_names);
  g_ptr_array_add(list, NULL);
  return (GStrv)g_ptr_array_free(list, FALSE);
}
