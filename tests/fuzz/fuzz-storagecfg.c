/* virt-thin - libFuzzer target: any storage.cfg
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whatever is parsed is written back byte by byte, and parses to the same. An edit of one storage -
 * a property set, the storage removed, another added - leaves every other as it was, and is undone
 * by its opposite.
 */
#include "config.h"

#include <stdint.h>
#include <string.h>

#include "storagecfg/storagecfg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void show(const StorageCfgStorage *storage, GString *shown)
{
  g_string_append_printf(shown, "%s %s %d %d\n", storage->id, storage->type->name, storage->broken,
                         storage->replaced);
  for (guint i = 0; i < storage->values->len; i++) {
    const StorageCfgValue *value = storage->values->pdata[i];
    g_autofree char *list = value->list ? g_strjoinv("|", value->list) : NULL;

    g_string_append_printf(shown, " %s=%s\n", storagecfg_property_name(value->property),
                           list ? list : value->text);
  }
}

/* All storages but @without. */
static char *show_all(const StorageCfg *cfg, const char *without)
{
  const GPtrArray *storages = storagecfg_storages(cfg);
  GString *shown = g_string_new(NULL);

  for (guint i = 0; i < storages->len; i++)
    if (g_strcmp0(((StorageCfgStorage *)storages->pdata[i])->id, without) != 0)
      show(storages->pdata[i], shown);
  return g_string_free(shown, FALSE);
}

static void check_same(const StorageCfg *one, const StorageCfg *other, const char *without,
                       const char *what)
{
  g_autofree char *a = show_all(one, without), *b = show_all(other, without);
  gsize n, m;

  if (strcmp(a, b) != 0)
    g_error("%s: other storages changed:\n%s\n---\n%s\n=== text:\n%s\n---\n%s", what, a, b,
            storagecfg_text(one, &n), storagecfg_text(other, &m));
}

static void check_round_trip(const StorageCfg *cfg)
{
  gsize length, again_length;
  const char *text = storagecfg_text(cfg, &length);
  g_autoptr(StorageCfg) again = storagecfg_parse("again", text, length);
  const char *again_text = storagecfg_text(again, &again_length);

  if (length != again_length || memcmp(text, again_text, length) != 0)
    g_error("written otherwise than read");
  check_same(cfg, again, NULL, "parsed again");
  if (storagecfg_warnings(cfg)->len != storagecfg_warnings(again)->len)
    g_error("parsed again: other warnings");
  for (guint i = 0; i < storagecfg_warnings(cfg)->len; i++) {
    g_autofree char *said = storagecfg_warning_format(cfg, storagecfg_warnings(cfg)->pdata[i]);

    if (strchr(said, '\n') || !g_utf8_validate(said, -1, NULL))
      g_error("a warning that is no line of text: %s", said);
  }
}

static void check_change(const StorageCfg *cfg, const StorageCfgStorage *storage)
{
  const StorageCfgSetting setting = {"nodes", "fuzz1,fuzz2"};
  const char *const deleted[] = {"nodes", NULL};
  g_autoptr(StorageCfg) set = storagecfg_change(cfg, storage->id, &setting, 1, NULL, NULL);
  g_autoptr(StorageCfg) unset = NULL;

  if (!set)
    return;
  check_same(cfg, set, storage->id, "set");
  if (strcmp(storage->id, "local") != 0 &&
      (!storagecfg_is_on_node(storagecfg_find(set, storage->id), "fuzz1") ||
       storagecfg_is_on_node(storagecfg_find(set, storage->id), "fuzz3")))
    g_error("set: it is not");
  unset = storagecfg_change(set, storage->id, NULL, 0, deleted, NULL);
  if (!unset || storagecfg_value(storagecfg_find(unset, storage->id), "nodes"))
    g_error("deleted: it is not");
  check_same(cfg, unset, storage->id, "deleted");
}

static void check_removal(const StorageCfg *cfg, const StorageCfgStorage *storage)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StorageCfg) removed = storagecfg_remove(cfg, storage->id, &error);
  const GPtrArray *storages = storagecfg_storages(cfg);

  if (!removed)
    g_error("cannot be removed: %s", error->message);
  /* A header that was swallowed may come to light, and be one of an id that there is. */
  for (guint i = 0; i < storages->len; i++) {
    const StorageCfgStorage *other = storages->pdata[i];

    if (other != storage && !storagecfg_find(removed, other->id))
      g_error("removed: %s is gone, too", other->id);
  }
}

static void check_addition(const StorageCfg *cfg)
{
  static const StorageCfgSetting settings[] = {
      {"vgname", "pve"}, {"thinpool", "data"}, {"disable", NULL}};
  g_autoptr(StorageCfg) added =
      storagecfg_add(cfg, "lvmthin", "fuzzed", settings, G_N_ELEMENTS(settings), NULL),
                        removed = NULL;

  if (!added) {
    if (!storagecfg_find(cfg, "fuzzed"))
      g_error("cannot be added");
    return;
  }
  check_same(cfg, added, "fuzzed", "added");
  removed = storagecfg_remove(added, "fuzzed", NULL);
  check_same(cfg, removed, NULL, "added and removed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autoptr(StorageCfg) cfg = storagecfg_parse("fuzz", (const char *)data, size);
  const GPtrArray *storages = storagecfg_storages(cfg);

  check_round_trip(cfg);
  check_addition(cfg);
  for (guint i = 0; i < storages->len && i < 4; i++) {
    check_change(cfg, storages->pdata[i]);
    check_removal(cfg, storages->pdata[i]);
  }
  return 0;
}
