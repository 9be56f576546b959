/* virt-thin - a volume group from a stream: the devices that it is made on
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "archive/archive-private.h"
#include "dm/lvm2.h"
#include "lvm/content.h"
#include "lvm/lvm-conf.h"
#include "lvm/store.h"
#include "pool/place.h"
#include "settings/settings.h"
#include "util/error.h"

struct ArchivePlaces {
  GPtrArray *paths; /* of char *, NULL-terminated */
  GArray *places;   /* of PoolPlace */
  gboolean files;
};

/* --- what is here already --- */

static PoolWhere everywhere(void)
{
  return (PoolWhere){.bundled = pool_open_bundled, .flags = POOL_READ_ONLY};
}

static gboolean has_uuid(const PoolVg *vg, const PoolWhere *where, const char *uuid)
{
  g_autoptr(VolumeGroup) group = NULL;
  g_autoptr(PoolVgInfo) info = NULL;

  if (vg->devices && vg->devices[0]) {
    g_autoptr(LvmProbe) probe = lvm_probe((const char *const *)vg->devices, NULL, NULL, NULL);
    LvmVg *text = lvm_probe_vg(probe, vg->name, NULL);

    return text && strcmp(lvm_vg_uuid(text), uuid) == 0;
  }
  group = pool_open(vg->name, where, NULL);
  info = group ? pool_get_vg_info(group, NULL) : NULL;
  return info && g_strcmp0(info->uuid, uuid) == 0;
}

char *archive_find_uuid(const char *uuid)
{
  const PoolWhere where = everywhere();
  gboolean all;
  g_autoptr(GPtrArray) vgs = pool_list_vgs(&where, NULL, &all);

  for (guint i = 0; i < vgs->len; i++)
    if (has_uuid(vgs->pdata[i], &where, uuid))
      return g_strdup(((PoolVg *)vgs->pdata[i])->name);
  return NULL;
}

static gboolean check_name(const char *vg, GError **error)
{
  const PoolWhere where = everywhere();
  g_autoptr(PoolVg) found = pool_find_vg(vg, &where);

  if (found)
    return vt_set_error(error, EEXIST,
                        "there is a volume group %s already, on %s: give another name", vg,
                        found->devices && found->devices[0] ? found->devices[0] : "its service");
  return settings_check_links(vg, error);
}

/* --- the devices --- */

static gboolean prepare(ArchivePlaces *p, const char *path, const UnarchiveOptions *options,
                        guint64 size, GError **error)
{
  gboolean there = g_file_test(path, G_FILE_TEST_EXISTS);
  PoolPlace place = POOL_PLACE_INIT(path);
  gboolean ok;

  if (there && options->force && !pool_erase(path, error))
    return FALSE;
  ok = pool_place_prepare(&place, there ? 0 : size, error);
  if (ok && there) {
    ok = lvm_content_check_free(path, error);
    place.emptied = ok && !place.is_block; /* from here on it is ours */
  }
  p->files &= !place.is_block;
  g_array_append_val(p->places, place);
  return ok;
}

static gboolean prepare_all(ArchivePlaces *p, const UnarchiveOptions *options, guint64 needed,
                            GError **error)
{
  guint n_new = 0;

  for (guint i = 0; i + 1 < p->paths->len; i++)
    n_new += !g_file_test(p->paths->pdata[i], G_FILE_TEST_EXISTS);
  if (n_new > 1 && !options->file_size)
    return vt_set_error(error, EINVAL,
                        "several files are to be made: --size says how large each is to be");
  for (guint i = 0; i + 1 < p->paths->len; i++)
    if (!prepare(p, p->paths->pdata[i], options, options->file_size ? options->file_size : needed,
                 error))
      return FALSE;
  return TRUE;
}

ArchivePlaces *archive_places_new(const UnarchiveOptions *options, guint64 needed, GError **error)
{
  ArchivePlaces *p;

  if (!check_name(options->vg, error))
    return NULL;
  p = g_new0(ArchivePlaces, 1);
  p->paths = g_ptr_array_new_with_free_func(g_free);
  p->places = g_array_new(FALSE, TRUE, sizeof(PoolPlace));
  p->files = TRUE;
  for (guint i = 0; options->paths && options->paths[i]; i++)
    g_ptr_array_add(p->paths, g_strdup(options->paths[i]));
  if (p->paths->len == 0)
    g_ptr_array_add(p->paths, g_strdup_printf("%s/%s.img", settings_state_dir(), options->vg));
  g_ptr_array_add(p->paths, NULL);
  if (prepare_all(p, options, needed, error))
    return p;
  archive_places_free(p, FALSE);
  return NULL;
}

const char *const *archive_places_paths(ArchivePlaces *p)
{
  return (const char *const *)p->paths->pdata;
}

gboolean archive_places_are_files(ArchivePlaces *p)
{
  return p->files;
}

void archive_places_free(ArchivePlaces *p, gboolean keep)
{
  if (!p)
    return;
  for (guint i = 0; i < p->places->len && !keep; i++)
    pool_place_undo(&g_array_index(p->places, PoolPlace, i));
  g_array_unref(p->places);
  g_ptr_array_unref(p->paths);
  g_free(p);
}

/* --- lvm2's list --- */

/* Where lvm2 looks at nothing but what is in its list (lvmdevices(8)), a new physical volume is to
 * be in it, as pvcreate would see to. */
void archive_places_tell_lvm2(ArchivePlaces *p)
{
  g_autofree char *list = lvm_conf_path("devices/system.devices");
  g_autoptr(LvmConf) conf = lvm_conf_read(NULL);

  if (!lvm_conf_number(conf, "devices/use_devicesfile", 1) ||
      !g_file_test(list, G_FILE_TEST_EXISTS))
    return;
  for (guint i = 0; i < p->places->len; i++) {
    const PoolPlace *place = &g_array_index(p->places, PoolPlace, i);
    const char *const add[] = {"lvmdevices", "--yes", "--adddev", place->path, NULL};
    g_autoptr(GError) error = NULL;

    if (place->is_block && !dmk_lvm2(add, &error))
      g_warning("%s is not in lvm2's list of devices (%s): add it with lvmdevices --adddev",
                place->path, error->message);
  }
}
