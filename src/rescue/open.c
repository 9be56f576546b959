/* virt-thin - opening the volume group of a pool that does not open
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "dm/dm.h"
#include "dm/thin-reader.h"
#include "pool/look.h"
#include "rescue/open-private.h"
#include "settings/settings.h"

void rescue_note(RescueGroup *group, const char *format, ...)
{
  va_list args;

  va_start(args, format);
  g_ptr_array_add(group->notes, g_strdup_vprintf(format, args));
  va_end(args);
}

/* --- where it is --- */

/* A block device past the page cache, which knows nothing of what the kernel's device-mapper has
 * written below it. */
static VtIo *open_pv(const char *path, gboolean read_only, gpointer unused, GError **error)
{
  struct stat st;

  return stat(path, &st) == 0 && S_ISBLK(st.st_mode) ? dmk_open_direct(path, TRUE, NULL, error)
                                                     : vt_io_open_file(path, TRUE, error);
}

static gboolean find_paths(const char *vg, GStrv *paths, GError **error)
{
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where(POOL_READ_ONLY);
  g_autoptr(PoolVg) found = NULL;
  LvmProbe *probe;

  where.look = look;
  found = pool_find_vg(vg, &where);
  if (found && found->served)
    return vt_set_error(
        error, EBUSY, "volume group %s is served, so its pools are open: use virt-thin export", vg);
  probe = pool_look_find(vg, &where, NULL);
  *paths = probe == pool_look_first(&where) ? g_strdupv((GStrv)pool_look_paths(&where))
                                            : lvm_probe_paths(probe, vg);
  return TRUE;
}

/* --- which text --- */

static const LvmText *find_seqno(GPtrArray *texts, const char *word)
{
  guint64 seqno;

  if (!g_ascii_string_to_unsigned(word, 10, 0, G_MAXUINT64, &seqno, NULL))
    return NULL;
  for (guint i = 0; i < texts->len; i++)
    if (((LvmText *)texts->pdata[i])->seqno == seqno)
      return texts->pdata[i];
  return NULL;
}

static const LvmText *newest(GPtrArray *texts)
{
  for (guint i = 0; i < texts->len; i++)
    if (((LvmText *)texts->pdata[i])->kind == LVM_TEXT_COMMITTED)
      return texts->pdata[i];
  return texts->len ? texts->pdata[0] : NULL;
}

static gboolean choose_text(RescueGroup *group, const RescueRequest *request, GError **error)
{
  group->text = request->text ? find_seqno(group->texts, request->text) : newest(group->texts);
  if (!group->text && request->text)
    group->text = group->file = lvm_text_read(group->probe, request->text, request->vg, error);
  else if (!group->text)
    return vt_set_error(error, ENOENT,
                        "no text of volume group %s is left on the devices looked at, nor in the "
                        "folders of archives; name its devices with --device, or a text with "
                        "--text FILE",
                        request->vg);
  if (!group->text)
    return FALSE;
  if (group->text->kind != LVM_TEXT_COMMITTED)
    rescue_note(group,
                "volume group %s is taken as its text of seqno %" G_GUINT64_FORMAT " says (%s)",
                request->vg, group->text->seqno, (char *)group->text->sources->pdata[0]);
  return TRUE;
}

/* --- who has it --- */

/* The kernel writes to what is active, and what is read would be of no one time. */
gboolean rescue_check_idle(RescueGroup *group, LvmLv *lv, GError **error)
{
  static const char *const layers[] = {NULL, "tpool", "tmeta", "tdata"};
  LvmVg *vg = lvm_store_vg(group->store);

  for (guint i = 0; i < G_N_ELEMENTS(layers); i++) {
    g_autofree char *uuid = dmk_uuid(lvm_vg_uuid(vg), lvm_lv_uuid(lv), layers[i]);

    if (dmk_is_active(uuid, NULL))
      return vt_set_error(error, EBUSY,
                          "%s/%s is active, and the kernel may be writing to it: use virt-thin "
                          "export, or deactivate it first",
                          lvm_vg_name(vg), lvm_lv_name(lv));
  }
  return TRUE;
}

static gboolean lock_pvs(RescueGroup *group, GError **error)
{
  for (const char *const *path = lvm_store_paths(group->store); *path; path++) {
    VtIo *io = vt_io_open_file(*path, TRUE, error);

    if (!io)
      return FALSE;
    g_ptr_array_add(group->locks, io);
    if (!vt_io_lock(io, TRUE, NULL, error))
      return FALSE;
  }
  return TRUE;
}

/* --- all of it --- */

static void take_warnings(RescueGroup *group)
{
  for (const char *const *warning = lvm_store_warnings(group->store); *warning; warning++)
    rescue_note(group, "%s", *warning);
}

RescueGroup *rescue_group_open(const RescueRequest *request, GError **error)
{
  g_autoptr(RescueGroup) group = g_new0(RescueGroup, 1);
  g_autofree char *archive = settings_archive_dir();
  g_auto(GStrv) paths = NULL, folders = lvm_texts_folders(archive);

  group->locks = g_ptr_array_new_with_free_func((GDestroyNotify)vt_io_unref);
  group->notes = g_ptr_array_new_with_free_func(g_free);
  if (!find_paths(request->vg, &paths, error))
    return NULL;
  group->probe = lvm_probe((const char *const *)paths, NULL, open_pv, NULL);
  group->texts = lvm_texts_find(group->probe, request->vg, (const char *const *)folders, NULL);
  if (!choose_text(group, request, error))
    return NULL;
  group->store = lvm_store_open_as(group->probe, group->text->vg);
  take_warnings(group);
  return lock_pvs(group, error) ? g_steal_pointer(&group) : NULL;
}

void rescue_group_free(RescueGroup *group)
{
  if (!group)
    return;
  lvm_store_close(group->store);
  if (group->texts)
    g_ptr_array_unref(group->texts);
  lvm_text_free(group->file);
  g_ptr_array_unref(group->locks);
  g_ptr_array_unref(group->notes);
  lvm_probe_free(group->probe);
  g_free(group);
}

gboolean rescue_group_has(RescueGroup *group, const char *path)
{
  for (const char *const *pv = lvm_store_paths(group->store); *pv; pv++)
    if (vt_is_same_file(*pv, path))
      return TRUE;
  return FALSE;
}
