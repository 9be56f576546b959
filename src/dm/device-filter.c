/* virt-thin - lvm.conf's filter and global_filter
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <libdevmapper.h>
#include <string.h>

#include "dm/device-filter.h"
#include "lvm/devmapper.h"

typedef struct {
  gboolean accept;
  struct dm_regex *regex;
} Pattern;

typedef struct {
  GArray *patterns; /* of Pattern; NULL: it is not there */
  gboolean broken;
} List;

struct DmkFilter {
  struct dm_pool *memory;
  List lists[2]; /* a device is to pass both */
};

/* "a|expression|": whatever character, or pair of brackets, stands around it. */
static gboolean add_pattern(DmkFilter *filter, GArray *patterns, const char *text)
{
  Pattern pattern = {.accept = text[0] == 'a'};
  g_autofree char *expression = NULL;
  const char *expressions[1];
  char last;
  gsize n = strlen(text);

  if ((text[0] != 'a' && text[0] != 'r') || n < 3)
    return FALSE;
  last = text[1] == '(' ? ')' : text[1] == '[' ? ']' : text[1] == '{' ? '}' : text[1];
  if (text[n - 1] != last)
    return FALSE;
  expression = g_strndup(text + 2, n - 3);
  expressions[0] = expression;
  pattern.regex = dm_regex_create(filter->memory, expressions, 1);
  if (pattern.regex)
    g_array_append_val(patterns, pattern);
  return pattern.regex != NULL;
}

static void read_list(DmkFilter *filter, List *list, LvmConf *conf, const char *key)
{
  g_auto(GStrv) texts = lvm_conf_strings(conf, key);

  if (!texts)
    return;
  list->patterns = g_array_new(FALSE, FALSE, sizeof(Pattern));
  for (char **text = texts; *text && !list->broken; text++)
    list->broken = !add_pattern(filter, list->patterns, *text);
}

DmkFilter *dmk_filter_new(LvmConf *conf)
{
  DmkFilter *filter = g_new0(DmkFilter, 1);

  dmk_begin();
  filter->memory = dm_pool_create("filter", 1024);
  read_list(filter, &filter->lists[0], conf, "devices/global_filter");
  read_list(filter, &filter->lists[1], conf, "devices/filter");
  dmk_end();
  if (filter->lists[0].patterns || filter->lists[1].patterns)
    return filter;
  dmk_filter_free(filter);
  return NULL;
}

void dmk_filter_free(DmkFilter *filter)
{
  if (!filter)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS(filter->lists); i++)
    g_clear_pointer(&filter->lists[i].patterns, g_array_unref);
  dm_pool_destroy(filter->memory); /* with the expressions */
  g_free(filter);
}

/* What the first pattern that matches says; NULL: none does. */
static const Pattern *match(const List *list, const char *name)
{
  for (guint i = 0; i < list->patterns->len; i++) {
    const Pattern *pattern = &g_array_index(list->patterns, Pattern, i);

    if (dm_regex_match(pattern->regex, name) >= 0)
      return pattern;
  }
  return NULL;
}

static gboolean list_accepts(const List *list, const char *const *names)
{
  gboolean rejected = list->broken;

  for (; list->patterns && !list->broken && *names; names++) {
    const Pattern *pattern = match(list, *names);

    if (pattern && pattern->accept)
      return TRUE;
    rejected |= pattern != NULL;
  }
  return !rejected;
}

gboolean dmk_filter_accepts(DmkFilter *filter, const char *const *names)
{
  return !filter ||
         (list_accepts(&filter->lists[0], names) && list_accepts(&filter->lists[1], names));
}
