/* virt-thin - whose volume group is it?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * LVM2 has one mark of ownership on disk, the VG's system_id: a host refuses a VG whose id is not
 * its own (lvmsystemid(7)). While virt-thin has a VG on block devices open for writing, it sets an
 * id of its own, "virt-thin.HOST", so that lvm2 on the same host leaves the VG alone. What was
 * there before is remembered in a VG tag, "virt-thin.system_id=ID" (or "...=" for none): tags are
 * what lvm2 lets others write, and the tag and the id change in one commit, so whoever opens the VG
 * after a crash finds both. VGs on files need none of this: lvm2 does not look at files.
 */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "lvm/lvm-conf.h"
#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"

#define LVM_ID_MAX 128
#define OUR_PREFIX "virt-thin."
#define TAG LVM_TAKEN_TAG

/* Only characters that lvm2 keeps in a system_id: others it leaves out. */
static char *our_id(void)
{
  GString *id = g_string_new(OUR_PREFIX);

  for (const char *p = g_get_host_name(); *p && id->len < LVM_ID_MAX; p++)
    if (g_ascii_isalnum(*p) || strchr("_.-", *p))
      g_string_append_c(id, *p);
  return g_string_free(id, FALSE);
}

/* --- this host's own id, as lvm2 finds it (lib/commands/toolcontext.c, lvmsystemid(7)) --- */

/* What lvm2 makes of @text: it begins with a letter or digit, and other characters are left out;
 * NULL: no id. */
static char *id_from_text(const char *text)
{
  g_autoptr(GString) id = g_string_new(NULL);

  for (; *text && id->len < LVM_ID_MAX; text++)
    if (g_ascii_isalnum(*text) || (id->len && strchr("._-+", *text)))
      g_string_append_c(id, *text);
  return id->len && !g_str_has_prefix(id->str, "localhost") ? g_strdup(id->str) : NULL;
}

/* The first line of the file that has one, comments apart. */
static char *id_from_file(const char *path)
{
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  char *id = NULL;

  if (!path || !g_file_get_contents(path, &text, NULL, NULL))
    return NULL;
  lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line && !id; line++) {
    (*line)[strcspn(*line, "#")] = '\0';
    id = id_from_text(*line);
  }
  return id;
}

static char *id_from_machine_id(LvmConf *conf)
{
  const char *etc = lvm_conf_string(conf, "global/etc");
  g_autofree char *path = g_build_filename(etc ? etc : "/etc", "machine-id", NULL);

  return id_from_file(path);
}

static gboolean read_hex(const char *text, guint8 *bytes, gsize n)
{
  for (gsize i = 0; i < n; i++) {
    int high = g_ascii_xdigit_value(text[2 * i]),
        low = high < 0 ? -1 : g_ascii_xdigit_value(text[2 * i + 1]);

    if (low < 0)
      return FALSE;
    bytes[i] = high << 4 | low;
  }
  return TRUE;
}

/* sd_id128_get_machine_app_specific(3): the first half of HMAC-SHA256, keyed by the machine's id,
 * of the application's, marked as a random UUID. That of LVM is lvm2's LVM_APPLICATION_ID. */
static char *id_from_app_machine_id(void)
{
  static const guint8 lvm[] = {0xf6, 0x44, 0x06, 0x83, 0x2c, 0x21, 0x40, 0xe8,
                               0xac, 0x54, 0x22, 0xd1, 0x08, 0x9a, 0xae, 0x03};
  g_autofree char *text = NULL;
  guint8 machine[16], mac[32];
  gsize length = sizeof mac;
  GString *id;
  GHmac *hmac;

  if (!g_file_get_contents("/etc/machine-id", &text, NULL, NULL) ||
      !read_hex(text, machine, sizeof machine))
    return NULL;
  hmac = g_hmac_new(G_CHECKSUM_SHA256, machine, sizeof machine);
  g_hmac_update(hmac, lvm, sizeof lvm);
  g_hmac_get_digest(hmac, mac, &length);
  g_hmac_unref(hmac);
  mac[6] = (mac[6] & 0x0f) | 0x40;
  mac[8] = (mac[8] & 0x3f) | 0x80;
  id = g_string_new(NULL);
  for (guint i = 0; i < 16; i++)
    g_string_append_printf(id, "%02x", mac[i]);
  return g_string_free(id, FALSE);
}

/* NULL: this host has none, and so no VG with one. */
static char *host_id(LvmConf *conf)
{
  const char *source = lvm_conf_string(conf, "global/system_id_source"), *text = NULL;

  if (!source || strcmp(source, "none") == 0)
    return NULL;
  if (g_ascii_strcasecmp(source, "machineid") == 0 || g_ascii_strcasecmp(source, "machine-id") == 0)
    return id_from_machine_id(conf);
  if (g_ascii_strcasecmp(source, "appmachineid") == 0)
    return id_from_app_machine_id();
  if (g_ascii_strcasecmp(source, "file") == 0)
    return id_from_file(lvm_conf_string(conf, "global/system_id_file"));
  if (g_ascii_strcasecmp(source, "uname") == 0)
    text = g_get_host_name();
  else if (g_ascii_strcasecmp(source, "lvmlocal") == 0)
    text = lvm_conf_string(conf, "local/system_id");
  return text ? id_from_text(text) : NULL;
}

/* A host without an id of its own has none of others, either. */
static gboolean is_host_id(LvmConf *conf, const char *host, const char *id)
{
  g_auto(GStrv) extra = lvm_conf_strings(conf, "local/extra_system_ids");

  return host &&
         (strcmp(id, host) == 0 || (extra && g_strv_contains((const char *const *)extra, id)));
}

char *lvm_store_foreign(LvmStore *store)
{
  LvmVg *vg = store->vg;
  const char *id = lvm_vg_system_id(vg);
  g_autofree char *ours = our_id(), *host = NULL;
  g_autoptr(LvmConf) conf = NULL;

  if (!id || strcmp(id, ours) == 0)
    return NULL;
  conf = lvm_conf_read(NULL);
  host = host_id(conf);
  if (is_host_id(conf, host, id))
    return NULL;
  /* lvm2 lets nobody change a foreign VG, its system_id apart, and that only who says that he knows
   * whose it is. */
  return g_strdup_printf("%s (its system_id is \"%s\", this host has %s%s%s). If it is not used "
                         "there any more, take it over: vgchange "
                         "--config 'local/extra_system_ids=[\"%s\"]' --systemid %s %s; a host that "
                         "is to have it beside its own keeps it "
                         "in extra_system_ids of lvmlocal.conf (lvmsystemid(7))",
                         g_str_has_prefix(id, OUR_PREFIX) ? "virt-thin on another host has it open"
                                                          : "it belongs to another host",
                         id, host ? "\"" : "none: see system_id_source in lvm.conf",
                         host ? host : "", host ? "\"" : "", id, host ? host : "ID",
                         lvm_vg_name(vg));
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

gboolean lvm_vg_is_taken(LvmVg *vg)
{
  const char *id = lvm_vg_system_id(vg);

  return id && g_str_has_prefix(id, OUR_PREFIX);
}

gboolean lvm_store_is_taken(LvmStore *store)
{
  return lvm_vg_is_taken(store->vg);
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
