/* virt-thin - tests: what comes of a storage.cfg, beside what should
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "storagecfg-helper.h"

static void show_value(GString *shown, const StorageCfgValue *value)
{
  g_autofree char *list = value->list ? g_strjoinv(",", value->list) : NULL;

  g_string_append_printf(shown, "%s%s=%s", shown->str[shown->len - 1] == '{' ? "" : " ",
                         storagecfg_property_name(value->property), list ? list : value->text);
}

static char *show_storages(const StorageCfg *cfg)
{
  const GPtrArray *storages = storagecfg_storages(cfg);
  GString *shown = g_string_new(NULL);

  for (guint i = 0; i < storages->len; i++) {
    const StorageCfgStorage *storage = storages->pdata[i];

    g_string_append_printf(shown, "%s%s:%s", i ? "\n" : "", storage->id, storage->type->name);
    if (storage->broken) {
      g_string_append_c(shown, '!');
      continue;
    }
    g_string_append_c(shown, '{');
    for (guint j = 0; j < storage->values->len; j++)
      show_value(shown, storage->values->pdata[j]);
    g_string_append_c(shown, '}');
  }
  return g_string_free(shown, FALSE);
}

char *storagecfg_show_warnings(const StorageCfg *cfg)
{
  const GPtrArray *warnings = storagecfg_warnings(cfg);
  GString *shown = g_string_new(NULL);

  for (guint i = 0; i < warnings->len; i++) {
    const StorageCfgWarning *warning = warnings->pdata[i];

    g_string_append_printf(shown, "%s%u %s %s %s", i ? "\n" : "", warning->line,
                           warning->section ? warning->section : "-",
                           storagecfg_verdict_name(warning->verdict), warning->message);
  }
  return g_string_free(shown, FALSE);
}

guint storagecfg_failures;

void storagecfg_expect(const char *name, const char *what, const char *got, const char *want)
{
  if (strcmp(got, want) == 0)
    return;
  storagecfg_failures++;
  print_message("# %s: %s\n# got:\n%s\n# want:\n%s\n", name, what, got, want);
}

void storagecfg_check_cases(const StorageCfgCase *cases, gsize n)
{
  storagecfg_failures = 0;
  for (gsize i = 0; i < n; i++) {
    gsize length = cases[i].length ? cases[i].length : strlen(cases[i].text), written;
    g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", cases[i].text, length);
    g_autofree char *storages = show_storages(cfg), *warnings = storagecfg_show_warnings(cfg);

    storagecfg_expect(cases[i].name, "storages", storages, cases[i].storages);
    storagecfg_expect(cases[i].name, "warnings", warnings,
                      cases[i].warnings ? cases[i].warnings : "");
    if (memcmp(storagecfg_text(cfg, &written), cases[i].text, length) != 0 || written != length)
      fail_msg("%s: the text is not kept", cases[i].name);
  }
  assert_int_equal(storagecfg_failures, 0);
}
