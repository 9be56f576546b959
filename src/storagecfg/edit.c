/* virt-thin - storage.cfg: edits of the text, line by line
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * New lines look as Proxmox writes them: header, "\tdisable", the required properties by name, the
 * others by name, an empty line. All other text stays as it is, and an edit is proven by parsing
 * what it made.
 */
#include <string.h>

#include "storagecfg/formats.h"
#include "storagecfg/storagecfg-private.h"

static const StorageCfgLine *line_at(const StorageCfg *cfg, guint i)
{
  return &g_array_index(cfg->lines, StorageCfgLine, i);
}

static void append_lines(GString *text, const StorageCfg *cfg, guint first, guint end)
{
  for (guint i = first; i < end; i++) {
    g_string_append_len(text, line_at(cfg, i)->start, (gssize)line_at(cfg, i)->length);
    if (i + 1 < cfg->lines->len || (cfg->length && cfg->text[cfg->length - 1] == '\n'))
      g_string_append_c(text, '\n');
  }
}

/* The section that counts: the last one of @storage's id. */
static const StorageCfgSection *find_section(const StorageCfg *cfg,
                                             const StorageCfgStorage *storage)
{
  for (guint i = 0; i < cfg->sections->len; i++) {
    const StorageCfgSection *section = cfg->sections->pdata[i];

    if (section->storage == storage)
      return section;
  }
  return NULL;
}

/* --- checks --- */

static gboolean check_setting(const StorageCfgType *type, const char *property, const char *value,
                              GError **error)
{
  const StorageCfgProperty *known = storagecfg_property_of(type, property);

  if (!known)
    return vt_set_error(error, EINVAL, "%s: no type of storage has this property", property);
  if (!storagecfg_type_option(type, property))
    return vt_set_error(error, EINVAL, "%s: a storage of type %s does not have this property",
                        property, type->name);
  if (storagecfg_check_value(known, value, error))
    return TRUE;
  g_prefix_error(error, "%s: ", property);
  return FALSE;
}

static gboolean check_settings(const StorageCfgType *type, const StorageCfgSetting *settings,
                               gsize n, GError **error)
{
  for (gsize i = 0; i < n; i++)
    if (!check_setting(type, settings[i].property, settings[i].value, error))
      return FALSE;
  return TRUE;
}

/* What an edit left is parsed, and must be what was meant: nothing of it may be dropped, and no
 * storage break. */
static gboolean check_result(const StorageCfg *cfg, const char *id,
                             const StorageCfgSetting *settings, gsize n, GError **error)
{
  const StorageCfgStorage *storage = storagecfg_find(cfg, id);
  const StorageCfgWarning *last = NULL;

  for (guint i = 0; i < cfg->warnings->len; i++) {
    const StorageCfgWarning *warning = cfg->warnings->pdata[i];

    if (warning->section && strcmp(warning->section, id) == 0 &&
        (!storage || warning->line >= storage->line) && warning->verdict == STORAGECFG_FATAL)
      last = warning;
  }
  if (!storage || storage->broken)
    return vt_set_error(error, EINVAL, "%s",
                        last ? last->message : "the storage would not be there");
  if (storage->replaced)
    return vt_set_error(error, EINVAL,
                        "storage 'local' is always the folder /var/lib/vz, of type dir");
  for (gsize i = 0; i < n; i++) {
    const StorageCfgValue *value = storagecfg_value(storage, settings[i].property);
    gboolean is_list = value && value->property->kind == STORAGECFG_LIST;

    if (strcmp(id, "local") == 0 && strcmp(settings[i].property, "nodes") == 0)
      continue; /* has no effect there, but may be written */
    if (!value || !value->line)
      return vt_set_error(error, EINVAL, "%s: storage type %s does not support '%s'",
                          settings[i].property, storage->type->name, settings[i].value);
    if (is_list && value->property->check != format_portal) {
      StorageCfgValue *all =
          storagecfg_value_new(value->property, settings[i].value, strlen(settings[i].value), NULL);
      guint wanted = g_strv_length(all->list);

      storagecfg_value_free(all);
      if (g_strv_length(value->list) != wanted)
        return vt_set_error(error, EINVAL, "%s: storage type %s does not support all of '%s'",
                            settings[i].property, storage->type->name, settings[i].value);
    }
  }
  return TRUE;
}

static StorageCfg *finish(const StorageCfg *cfg, GString *text, const char *id,
                          const StorageCfgSetting *settings, gsize n, GError **error)
{
  g_autoptr(StorageCfg) edited = storagecfg_parse(cfg->name, text->str, text->len);

  g_string_free(text, TRUE);
  return check_result(edited, id, settings, n, error) ? g_steal_pointer(&edited) : NULL;
}

/* --- lines of a section --- */

static void append_setting(GString *text, const char *property, const char *value)
{
  if (value)
    g_string_append_printf(text, "\t%s %s\n", property, value);
  else
    g_string_append_printf(text, "\t%s\n", property);
}

static int compare_settings(gconstpointer a, gconstpointer b, gpointer type)
{
  const StorageCfgSetting *one = a, *other = b;
  gboolean one_required = storagecfg_type_option(type, one->property)->flags & STORAGECFG_REQUIRED,
           other_required =
               storagecfg_type_option(type, other->property)->flags & STORAGECFG_REQUIRED;

  if (one_required != other_required)
    return one_required ? -1 : 1;
  return strcmp(one->property, other->property);
}

static gboolean is_true(const StorageCfgSetting *setting)
{
  return !setting->value || strcmp(setting->value, "1") == 0;
}

static void append_section(GString *text, const StorageCfgType *type, const char *id,
                           const StorageCfgSetting *settings, gsize n)
{
  g_autofree StorageCfgSetting *sorted = g_memdup2(settings, n * sizeof *settings);

  if (n)
    g_qsort_with_data(sorted, (int)n, sizeof *sorted, compare_settings, (gpointer)type);
  g_string_append_printf(text, "%s: %s\n", type->name, id);
  for (gsize i = 0; i < n; i++)
    if (strcmp(sorted[i].property, "disable") == 0 && is_true(&sorted[i]))
      g_string_append(text, "\tdisable\n");
  for (gsize i = 0; i < n; i++)
    if (strcmp(sorted[i].property, "disable") != 0)
      append_setting(text, sorted[i].property, sorted[i].value ? sorted[i].value : "1");
  g_string_append_c(text, '\n');
}

StorageCfg *storagecfg_add(const StorageCfg *cfg, const char *type_name, const char *id,
                           const StorageCfgSetting *settings, gsize n_settings, GError **error)
{
  const StorageCfgType *type = storagecfg_type_find(type_name);
  g_autoptr(GArray) used = g_array_new(FALSE, FALSE, sizeof *settings);
  GString *text;

  if (!type || type->retired) {
    vt_set_error(error, type ? EOPNOTSUPP : EINVAL,
                 type ? "storage type '%s' is retired" : "unknown storage type '%s'", type_name);
    return NULL;
  }
  if (!format_storage_id(id, error) || !check_settings(type, settings, n_settings, error))
    return NULL;
  if (storagecfg_find(cfg, id)) {
    vt_set_error(error, EEXIST, "storage ID '%s' already defined", id);
    return NULL;
  }
  for (gsize i = 0; i < n_settings; i++)
    if (strcmp(settings[i].property, "disable") != 0 || is_true(&settings[i]))
      g_array_append_val(used, settings[i]);
  text = g_string_new_len(cfg->text, (gssize)cfg->length);
  if (text->len && text->str[text->len - 1] != '\n')
    g_string_append_c(text, '\n');
  if (cfg->lines->len && line_at(cfg, cfg->lines->len - 1)->length)
    g_string_append_c(text, '\n'); /* ends the section that is open */
  append_section(text, type, id, (StorageCfgSetting *)(gpointer)used->data, used->len);
  return finish(cfg, text, id, (StorageCfgSetting *)(gpointer)used->data, used->len, error);
}

/* --- changes --- */

static gboolean names_property(StorageCfgLine line, const char *property)
{
  StorageCfgLine key, value;

  return !storagecfg_is_comment(line) && storagecfg_split_property(line, &key, &value) &&
         key.length == strlen(property) && strncmp(key.start, property, key.length) == 0;
}

static const StorageCfgSetting *find_setting(const StorageCfgSetting *settings, gsize n,
                                             const char *property)
{
  for (gsize i = 0; i < n; i++)
    if (strcmp(settings[i].property, property) == 0)
      return &settings[i];
  return NULL;
}

/* Delete what would be the property's value now or come to be it: its line, and those behind that
 * name it. */
static gboolean is_deleted(StorageCfgLine line, guint number, const StorageCfgStorage *storage,
                           const char *const *deleted)
{
  for (; deleted && *deleted; deleted++) {
    const StorageCfgValue *value = storagecfg_value(storage, *deleted);

    if (names_property(line, *deleted) && (!value || number >= value->line))
      return TRUE;
  }
  return FALSE;
}

/* The line of the last property that has an effect, else that of the header: new ones go behind
 * it. */
static guint last_line(const StorageCfgStorage *storage)
{
  guint last = storage->line;

  for (guint i = 0; i < storage->values->len; i++)
    last = MAX(last, ((StorageCfgValue *)storage->values->pdata[i])->line);
  return last;
}

static void append_changed(GString *text, const StorageCfg *cfg, const StorageCfgSection *section,
                           const StorageCfgSetting *settings, gsize n, const char *const *deleted)
{
  const StorageCfgStorage *storage = section->storage;
  guint insert = last_line(storage);

  for (guint i = section->first; i < section->end; i++) {
    const StorageCfgSetting *here = NULL;

    for (guint j = 0; j < storage->values->len && !here; j++) {
      const StorageCfgValue *value = storage->values->pdata[j];

      if (value->line == i + 1)
        here = find_setting(settings, n, value->property->name);
    }
    if (here)
      append_setting(text, here->property, here->value);
    else if (i == section->first || !is_deleted(*line_at(cfg, i), i + 1, storage, deleted))
      append_lines(text, cfg, i, i + 1);
    if (text->len && text->str[text->len - 1] != '\n')
      g_string_append_c(text, '\n');
    for (gsize j = 0; i + 1 == insert && j < n; j++) {
      const StorageCfgValue *value = storagecfg_value(storage, settings[j].property);

      if (!value || !value->line)
        append_setting(text, settings[j].property, settings[j].value);
    }
  }
}

static gboolean check_change(const StorageCfgStorage *storage, const StorageCfgSetting *settings,
                             gsize n, const char *const *deleted, GError **error)
{
  for (gsize i = 0; i < n; i++) {
    const StorageCfgOption *option = storagecfg_type_option(storage->type, settings[i].property);
    const char *old = storagecfg_string(storage, settings[i].property);

    if (option->flags & STORAGECFG_FIXED && !(storage->broken && !old))
      return vt_set_error(error, EINVAL, "can't change value of fixed parameter '%s'",
                          settings[i].property);
  }
  for (; deleted && *deleted; deleted++) {
    const StorageCfgOption *option = storagecfg_type_option(storage->type, *deleted);

    if (!option)
      return vt_set_error(error, EINVAL, "no such option '%s'", *deleted);
    if (option->flags & STORAGECFG_REQUIRED)
      return vt_set_error(error, EINVAL, "unable to delete required option '%s'", *deleted);
    if (option->flags & STORAGECFG_FIXED)
      return vt_set_error(error, EINVAL, "unable to delete fixed option '%s'", *deleted);
    if (find_setting(settings, n, *deleted))
      return vt_set_error(error, EINVAL, "cannot set and delete property '%s' at the same time!",
                          *deleted);
  }
  return TRUE;
}

StorageCfg *storagecfg_change(const StorageCfg *cfg, const char *id,
                              const StorageCfgSetting *settings, gsize n_settings,
                              const char *const *deleted, GError **error)
{
  const StorageCfgStorage *storage = storagecfg_find(cfg, id);
  const StorageCfgSection *section;
  GString *text;

  if (!storage) {
    vt_set_error(error, ENOENT, "storage '%s' does not exist", id);
    return NULL;
  }
  if (storage->replaced) {
    vt_set_error(error, EINVAL,
                 "storage 'local' is always the folder /var/lib/vz: its section has no effect");
    return NULL;
  }
  if (!check_settings(storage->type, settings, n_settings, error) ||
      !check_change(storage, settings, n_settings, deleted, error))
    return NULL;
  section = find_section(cfg, storage);
  text = g_string_sized_new(cfg->length + 128);
  append_lines(text, cfg, 0, section->first);
  append_changed(text, cfg, section, settings, n_settings, deleted);
  append_lines(text, cfg, section->end, cfg->lines->len);
  return finish(cfg, text, id, settings, n_settings, error);
}

/* --- removal --- */

/* Where what belongs to the section ends: a header further down that was not seen as one, because
 * no empty line stands before it, is the beginning of what somebody meant to be a section of its
 * own. */
static guint own_end(const StorageCfg *cfg, const StorageCfgSection *section)
{
  for (guint i = section->first + 1; i < section->end; i++) {
    g_autofree char *type = NULL, *id = NULL;

    if (!storagecfg_is_comment(*line_at(cfg, i)) &&
        storagecfg_split_header(*line_at(cfg, i), &type, &id))
      return i;
  }
  return section->end;
}

StorageCfg *storagecfg_remove(const StorageCfg *cfg, const char *id, GError **error)
{
  GString *text;
  guint line = 0;

  if (!storagecfg_find(cfg, id)) {
    vt_set_error(error, ENOENT, "storage '%s' does not exist", id);
    return NULL;
  }
  text = g_string_sized_new(cfg->length);
  for (guint i = 0; i < cfg->sections->len; i++) {
    const StorageCfgSection *section = cfg->sections->pdata[i];

    if (section->skipped || strcmp(section->storage->id, id) != 0)
      continue;
    append_lines(text, cfg, line, section->first);
    line = own_end(cfg, section);
    if (line < cfg->lines->len && !line_at(cfg, line)->length)
      line++; /* the empty line that ended it */
  }
  append_lines(text, cfg, line, cfg->lines->len);
  {
    StorageCfg *edited = storagecfg_parse(cfg->name, text->str, text->len);

    g_string_free(text, TRUE);
    return edited;
  }
}
