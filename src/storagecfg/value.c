/* virt-thin - storage.cfg: values of properties, checked
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdlib.h>
#include <string.h>

#include "storagecfg/formats.h"
#include "storagecfg/storagecfg-private.h"

gboolean storagecfg_parse_boolean(const char *text, gboolean *value)
{
  static const char *const yes[] = {"1", "on", "yes", "true"}, *const no[] = {"0", "off", "no",
                                                                              "false"};

  for (gsize i = 0; i < G_N_ELEMENTS(yes); i++) {
    *value = g_ascii_strcasecmp(text, yes[i]) == 0;
    if (*value || g_ascii_strcasecmp(text, no[i]) == 0)
      return TRUE;
  }
  return FALSE;
}

/* --- lists --- */

/* PVE::Tools::split_list: where there is a NUL byte, that alone separates, and leaves empty
 * elements but at the end. */
static GStrv split_at_nul(const char *text, gsize length)
{
  GPtrArray *list = g_ptr_array_new();
  const char *end = text + length;

  while (end > text && !end[-1])
    end--;
  for (const char *p = text; p < end; p += strlen(p) + 1)
    g_ptr_array_add(list, g_strndup(p, end - p));
  g_ptr_array_add(list, NULL);
  return (GStrv)g_ptr_array_free(list, FALSE);
}

static gboolean separates(char c)
{
  return c == ',' || c == ';' || storagecfg_is_blank(c);
}

GStrv storagecfg_split_list(const char *text, gsize length)
{
  GPtrArray *list;
  gsize i = 0;

  if (memchr(text, 0, length))
    return split_at_nul(text, length);
  list = g_ptr_array_new();
  while (i < length) {
    gsize start;

    while (i < length && separates(text[i]))
      i++;
    for (start = i; i < length && !separates(text[i]); i++)
      ;
    if (i > start)
      g_ptr_array_add(list, g_strndup(text + start, i - start));
  }
  g_ptr_array_add(list, NULL);
  return (GStrv)g_ptr_array_free(list, FALSE);
}

static int compare_words(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Two words are one when they are equal; of content-dirs when they are for one type of content: the
 * later counts. */
static gboolean is_same(const char *a, const char *b, gboolean keyed)
{
  const char *equals = keyed ? strchr(a, '=') : NULL;

  return equals ? strncmp(a, b, equals - a + 1) == 0 : strcmp(a, b) == 0;
}

static void sort_list(GStrv list, gboolean keyed)
{
  guint kept = 0;

  for (guint i = 0; list[i]; i++) {
    guint j = 0;

    while (j < kept && !is_same(list[j], list[i], keyed))
      j++;
    if (j < kept)
      g_free(list[j]);
    list[j] = list[i];
    kept = MAX(kept, j + 1);
  }
  list[kept] = NULL;
  qsort(list, kept, sizeof *list, compare_words);
}

/* --- checks --- */

static gboolean check_type(const StorageCfgProperty *property, const char *text, GError **error)
{
  if (property->kind == STORAGECFG_BOOLEAN && strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
    return vt_set_error(error, EINVAL, "type check ('boolean') failed - got '%s'", text);
  if (property->kind == STORAGECFG_INTEGER && !format_is_integer(text))
    return vt_set_error(error, EINVAL, "type check ('integer') failed - got '%s'", text);
  return TRUE;
}

static gboolean check_range(const StorageCfgProperty *property, const char *text, GError **error)
{
  double number = g_ascii_strtod(text, NULL);

  if (property->kind != STORAGECFG_INTEGER)
    return TRUE;
  if (number > (double)property->maximum)
    return vt_set_error(error, EINVAL, "value must have a maximum value of %" G_GINT64_FORMAT,
                        property->maximum);
  if (number < (double)property->minimum)
    return vt_set_error(error, EINVAL, "value must have a minimum value of %" G_GINT64_FORMAT,
                        property->minimum);
  return TRUE;
}

static gboolean check_words(const StorageCfgProperty *property, const char *text, GError **error)
{
  g_autofree char *all = NULL;

  if (!property->words || g_strv_contains(property->words, text))
    return TRUE;
  all = g_strjoinv(", ", (GStrv)property->words);
  return vt_set_error(error, EINVAL, "value '%s' does not have a value in the enumeration '%s'",
                      text, all);
}

static gboolean check_format(const StorageCfgProperty *property, const char *text, GError **error)
{
  if (!property->check || property->check(text, error))
    return TRUE;
  if (property->check != format_fingerprint) /* a pattern, not a format */
    g_prefix_error(error, "invalid format - ");
  return FALSE;
}

static gboolean check_list(const StorageCfgProperty *property, GStrv list, GError **error)
{
  for (char **word = list; *word; word++)
    if (!check_format(property, *word, error))
      return FALSE;
  return TRUE;
}

static gboolean check_text(const StorageCfgProperty *property, const char *text, gsize length,
                           GError **error)
{
  if (memchr(text, '\n', length) || memchr(text, '\r', length))
    return vt_set_error(error, EINVAL, "property contains a line feed");
  if (property->kind == STORAGECFG_LIST)
    return TRUE;
  if (memchr(text, 0, length))
    return vt_set_error(error, EINVAL, "property contains a NUL byte");
  if (property->max_length && length > property->max_length)
    return vt_set_error(error, EINVAL, "value may only be %zu characters long",
                        (size_t)property->max_length);
  return check_type(property, text, error) && check_format(property, text, error) &&
         check_range(property, text, error) && check_words(property, text, error);
}

/* --- values --- */

StorageCfgValue *storagecfg_value_new(const StorageCfgProperty *property, const char *text,
                                      gsize length, GError **error)
{
  g_autoptr(StorageCfgValue) value = g_new0(StorageCfgValue, 1);

  if (!text && property->kind != STORAGECFG_BOOLEAN) {
    vt_set_error(error, EINVAL, "got undefined value");
    return NULL;
  }
  value->property = property;
  value->text = text ? g_malloc(length + 1) : g_strdup("1");
  if (text) {
    memcpy(value->text, text, length);
    value->text[length] = 0;
    if (!check_text(property, value->text, length, error))
      return NULL;
  }
  if (property->kind == STORAGECFG_INTEGER) {
    gint64 number = g_ascii_strtoll(value->text, NULL, 10);

    g_free(value->text);
    value->text = g_strdup_printf("%" G_GINT64_FORMAT, number);
  }
  if (property->kind == STORAGECFG_LIST) {
    value->list = storagecfg_split_list(text, length);
    if (!check_list(property, value->list, error))
      return NULL;
    if (!property->ordered)
      sort_list(value->list, property->check == format_content_dir);
    for (gsize i = 0; i < length; i++) /* a C string from here on */
      if (!value->text[i])
        value->text[i] = ',';
  }
  return g_steal_pointer(&value);
}

StorageCfgValue *storagecfg_value_new_default(const char *property, const char *text)
{
  return storagecfg_value_new(storagecfg_property_find(property), text, strlen(text), NULL);
}

void storagecfg_value_free(StorageCfgValue *value)
{
  if (!value)
    return;
  g_free(value->text);
  g_strfreev(value->list);
  g_free(value);
}

gboolean storagecfg_check_value(const StorageCfgProperty *property, const char *text,
                                GError **error)
{
  g_autoptr(StorageCfgValue) value =
      storagecfg_value_new(property, text, text ? strlen(text) : 0, error);

  return value != NULL;
}

gboolean storagecfg_check_id(const char *id, GError **error)
{
  return format_storage_id(id, error);
}

gboolean storagecfg_check_node(const char *node, GError **error)
{
  return format_node(node, error);
}

/* --- of a storage --- */

static guint find_place(const StorageCfgStorage *storage, const char *name, gboolean *found)
{
  guint low = 0, high = storage->values->len;

  *found = FALSE;
  while (low < high && !*found) {
    guint middle = (low + high) / 2;
    int order = strcmp(name, ((StorageCfgValue *)storage->values->pdata[middle])->property->name);

    *found = order == 0;
    if (order <= 0)
      high = middle;
    else
      low = middle + 1;
  }
  return high;
}

void storagecfg_set_value(StorageCfgStorage *storage, StorageCfgValue *value)
{
  gboolean found;
  guint place = find_place(storage, value->property->name, &found);

  if (found) {
    storagecfg_value_free(storage->values->pdata[place]);
    storage->values->pdata[place] = value;
  } else {
    g_ptr_array_insert(storage->values, (int)place, value);
  }
}

void storagecfg_unset_value(StorageCfgStorage *storage, const char *property)
{
  gboolean found;
  guint place = find_place(storage, property, &found);

  if (found)
    g_ptr_array_remove_index(storage->values, place);
}

const StorageCfgValue *storagecfg_value(const StorageCfgStorage *storage, const char *property)
{
  gboolean found;
  guint place = find_place(storage, property, &found);

  return found ? storage->values->pdata[place] : NULL;
}

const char *storagecfg_string(const StorageCfgStorage *storage, const char *property)
{
  const StorageCfgValue *value = storagecfg_value(storage, property);

  return value ? value->text : NULL;
}

gboolean storagecfg_boolean(const StorageCfgStorage *storage, const char *property,
                            gboolean otherwise)
{
  const char *text = storagecfg_string(storage, property);

  return text ? strcmp(text, "1") == 0 : otherwise;
}

gboolean storagecfg_has_content(const StorageCfgStorage *storage, const char *word)
{
  const StorageCfgValue *content = storagecfg_value(storage, "content");

  return content && g_strv_contains((const char *const *)content->list, word);
}

gboolean storagecfg_is_on_node(const StorageCfgStorage *storage, const char *node)
{
  const StorageCfgValue *nodes = storagecfg_value(storage, "nodes");

  return !nodes || g_strv_contains((const char *const *)nodes->list, node);
}

gboolean storagecfg_is_enabled(const StorageCfgStorage *storage)
{
  return !storagecfg_boolean(storage, "disable", FALSE);
}
