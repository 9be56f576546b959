/* virt-thin - whose volume group is it?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * LVM2 has one mark of ownership on disk, the VG's system_id: a host refuses a VG whose id is not its own
 * (lvmsystemid(7)). While virt-thin has a VG on block devices open for writing, it sets an id of its own,
 * "virt-thin.HOST", so that lvm2 on the same host leaves the VG alone. What was there before is remembered in a VG tag,
 * "virt-thin.system_id=ID" (or "...=" for none): tags are what lvm2 lets others write, and the tag and the id change in
 * one commit, so whoever opens the VG after a crash finds both. VGs on files need none of this: lvm2 does not look at
 * files.
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "lvm/store-private.h"
#include "lvm/vg-private.h"

#define OUR_PREFIX "virt-thin."
#define TAG "virt-thin.system_id="

/* Only characters that lvm2 keeps in a system_id: others it leaves out. */
static char *our_id(void)
{
  GString *id = g_string_new(OUR_PREFIX);

  for (const char *p = g_get_host_name(); *p && id->len < 128; p++)
    if (g_ascii_isalnum(*p) || strchr("_.-", *p))
      g_string_append_c(id, *p);
  return g_string_free(id, FALSE);
}

/* --- this host's own id, as lvm2 finds it (lvm.conf, global/system_id_source) --- */

static char *lvm_setting(const char *file, const char *section, const char *key)
{
  const char *dir = g_getenv("LVM_SYSTEM_DIR");
  g_autofree char *path = g_build_filename(dir && *dir ? dir : "/etc/lvm", file, NULL), *text = NULL;
  g_autoptr(LvmNode) root = NULL;
  LvmNode *found;
  gsize length;

  if (!g_file_get_contents(path, &text, &length, NULL) || !(root = lvm_text_parse(text, length, path, NULL)))
    return NULL;
  found = lvm_section_find_section(root, section);
  return found ? g_strdup(lvm_section_get_string(found, key)) : NULL;
}

static char *host_id(void)
{
  g_autofree char *source = lvm_setting("lvm.conf", "global", "system_id_source"), *path = NULL;
  char *id = NULL;

  if (!source || strcmp(source, "none") == 0)
    return NULL;
  if (strcmp(source, "lvmlocal") == 0)
    return lvm_setting("lvmlocal.conf", "local", "system_id");
  if (strcmp(source, "uname") == 0)
    return g_strdup(g_get_host_name());
  if (strcmp(source, "machineid") == 0)
    path = g_strdup("/etc/machine-id");
  else if (strcmp(source, "file") == 0)
    path = lvm_setting("lvm.conf", "global", "system_id_file");
  if (path && g_file_get_contents(path, &id, NULL, NULL))
    g_strstrip(id);
  return id;
}

char *lvm_system_id_foreign(LvmVg *vg)
{
  const char *id = lvm_vg_system_id(vg);
  g_autofree char *ours = our_id(), *host = NULL;

  if (!id || strcmp(id, ours) == 0)
    return NULL;
  host = host_id();
  if (host && strcmp(id, host) == 0)
    return NULL;
  if (g_str_has_prefix(id, OUR_PREFIX))
    return g_strdup_printf(
        "virt-thin on another host (system_id \"%s\") has it open; if that host is gone for good, take the mark "
        "away with vgchange --systemid",
        id);
  return g_strdup_printf("it belongs to another host (system_id \"%s\", this host has \"%s\"; see lvmsystemid(7))", id,
                         host ? host : "");
}

/* --- taking and giving back --- */

static gboolean on_block_devices(LvmStore *store)
{
  for (guint i = 0; i < store->devices->len; i++) {
    struct stat st;

    if (stat(((LvmDevice *)store->devices->pdata[i])->path, &st) == 0 && S_ISBLK(st.st_mode))
      return TRUE;
  }
  return FALSE;
}

/* The tag that remembers; NULL: none. */
static char *find_tag(LvmVg *vg)
{
  g_auto(GStrv) tags = lvm_vg_tags(vg);

  for (char **tag = tags; *tag; tag++)
    if (g_str_has_prefix(*tag, TAG))
      return g_strdup(*tag);
  return NULL;
}

gboolean lvm_store_is_taken(LvmStore *store)
{
  const char *id = lvm_vg_system_id(store->vg);

  return id && g_str_has_prefix(id, OUR_PREFIX);
}

gboolean lvm_store_take(LvmStore *store, const char *archive_dir, GError **error)
{
  g_autofree char *ours = our_id(), *tag = find_tag(store->vg), *new_tag = NULL;
  const char *before = lvm_vg_system_id(store->vg);
  g_autoptr(LvmVg) vg = NULL;

  if (!on_block_devices(store) || g_strcmp0(before, ours) == 0)
    return TRUE;
  vg = lvm_vg_copy(store->vg);
  new_tag = g_strconcat(TAG, before ? before : "", NULL);
  if (tag)
    lvm_vg_set_tag(vg, tag, FALSE);
  lvm_vg_set_tag(vg, new_tag, TRUE);
  lvm_vg_set_system_id(vg, ours);
  if (!lvm_store_commit(store, vg, archive_dir, "virt-thin: take the volume group", error))
    return FALSE;
  vg = NULL; /* the store's */
  return TRUE;
}

gboolean lvm_store_release(LvmStore *store, const char *archive_dir, GError **error)
{
  g_autofree char *tag = find_tag(store->vg);
  g_autoptr(LvmVg) vg = NULL;
  const char *before = tag ? tag + strlen(TAG) : "";

  if (!lvm_store_is_taken(store) && !tag)
    return TRUE;
  vg = lvm_vg_copy(store->vg);
  if (tag)
    lvm_vg_set_tag(vg, tag, FALSE);
  if (lvm_store_is_taken(store))
    lvm_vg_set_system_id(vg, *before ? before : NULL);
  if (!lvm_store_commit(store, vg, archive_dir, "virt-thin: give the volume group back", error))
    return FALSE;
  vg = NULL; /* the store's */
  return TRUE;
}
