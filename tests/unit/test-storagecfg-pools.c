/* virt-thin - tests: the libvirt pools that storages become
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Each tests/fixtures/storagecfg-pools/NAME.cfg is held against NAME.pools: notes as lines that
 * begin with "# ", and the documents. With VIRT_THIN_TEST_ACCEPT=1 in the environment those are
 * written anew.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "storagecfg/pools.h"

static char *show(const StorageCfgPools *pools)
{
  GString *shown = g_string_new(NULL);

  if (pools->why_not)
    g_string_append_printf(shown, "# not possible: %s\n", pools->why_not);
  for (guint i = 0; i < pools->notes->len; i++)
    g_string_append_printf(shown, "# %s\n", (char *)pools->notes->pdata[i]);
  for (guint i = 0; i < pools->pools->len; i++) {
    const StorageCfgPool *pool = pools->pools->pdata[i];

    g_string_append_printf(shown, "%s", pool->document);
    assert_non_null(strstr(pool->document, pool->uuid));
  }
  return g_string_free(shown, FALSE);
}

static void check_file(const char *folder, const char *name)
{
  g_autofree char *base = g_strndup(name, strlen(name) - strlen(".cfg")),
                  *path = g_build_filename(folder, name, NULL),
                  *wanted = g_strconcat(folder, "/", base, ".pools", NULL), *want = NULL,
                  *got = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(StorageCfg) cfg = storagecfg_load(path, &error);
  const GPtrArray *storages;
  g_autoptr(StorageCfgPools) pools = NULL;

  if (!cfg)
    fail_msg("%s", error->message);
  storages = storagecfg_storages(cfg)->len ? storagecfg_storages(cfg) : storagecfg_retired(cfg);
  assert_int_equal(storages->len, 1);
  assert_false(((StorageCfgStorage *)storages->pdata[0])->broken);
  pools = storagecfg_pools_new(storages->pdata[0],
                               &(StorageCfgHost){.initiator = "iqn.1993-08.org.debian:01:host"});
  got = show(pools);
  if (g_getenv("VIRT_THIN_TEST_ACCEPT"))
    assert_true(g_file_set_contents(wanted, got, -1, NULL));
  if (!g_file_get_contents(wanted, &want, NULL, &error))
    fail_msg("%s", error->message);
  if (strcmp(got, want) != 0)
    fail_msg("%s: got:\n%swant:\n%s", name, got, want);
}

static void test_documents(void **state)
{
  g_autofree char *folder =
      g_build_filename(g_getenv("abs_top_srcdir"), "tests/fixtures/storagecfg-pools", NULL);
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;
  guint n = 0;

  assert_non_null(dir);
  while ((name = g_dir_read_name(dir)))
    if (g_str_has_suffix(name, ".cfg")) {
      check_file(folder, name);
      n++;
    }
  assert_true(n >= 25);
}

static StorageCfgPools *pools_of(const char *text, const StorageCfgHost *host)
{
  g_autoptr(StorageCfg) cfg = storagecfg_parse("x", text, strlen(text));

  assert_int_equal(storagecfg_storages(cfg)->len, 1);
  return storagecfg_pools_new(storagecfg_storages(cfg)->pdata[0], host);
}

static void test_host(void **state)
{
  static const char iscsi[] = "iscsidirect: i1\n\tportal p\n\ttarget iqn.2003-01.org.x:y\n",
                    rbd[] = "rbd: r1\n\tmonhost m\n";
  g_autoptr(StorageCfgPools) no_name = pools_of(iscsi, &(StorageCfgHost){NULL, FALSE}),
                             key = pools_of(rbd, &(StorageCfgHost){NULL, TRUE}),
                             no_key = pools_of(rbd, &(StorageCfgHost){NULL, FALSE});

  assert_non_null(
      strstr(((StorageCfgPool *)no_name->pools->pdata[0])->document, "iqn.2008-11.org.linux-kvm"));
  assert_non_null(strstr(((StorageCfgPool *)key->pools->pdata[0])->document, "username='admin'"));
  assert_non_null(((StorageCfgPool *)key->pools->pdata[0])->secret_uuid);
  assert_null(strstr(((StorageCfgPool *)no_key->pools->pdata[0])->document, "<auth"));
  assert_null(((StorageCfgPool *)no_key->pools->pdata[0])->secret_uuid);
}

static void test_uuids(void **state)
{
  g_autofree char *one = storagecfg_pool_uuid("local-lvm"),
                  *again = storagecfg_pool_uuid("local-lvm"),
                  *other = storagecfg_pool_uuid("local-lvn");

  assert_string_equal(one, again);
  assert_string_not_equal(one, other);
  assert_int_equal(strlen(one), 36);
  assert_int_equal(one[14], '5');
  assert_non_null(strchr("89ab", one[19]));
}

static void test_what_xml_cannot_hold(void **state)
{
  g_autoptr(StorageCfgPools)
      control = pools_of("zfspool: z1\n\tpool a\x01z\n", &(StorageCfgHost){NULL, FALSE}),
      bytes = pools_of("zfspool: z1\n\tpool a\xffz\n", &(StorageCfgHost){NULL, FALSE});

  assert_non_null(control->why_not);
  assert_int_equal(control->pools->len, 0);
  assert_non_null(bytes->why_not);
}

static void test_portals(void **state)
{
  static const struct {
    const char *portal, *host;
    guint port;
  } cases[] = {
      {"san", "san", 0},
      {"san:3260", "san", 3260},
      {"10.0.0.1", "10.0.0.1", 0},
      {"10.0.0.1:3261", "10.0.0.1", 3261},
      {"[fd00::1]", "fd00::1", 0},
      {"[fd00::1]:3260", "fd00::1", 3260},
      {"[san]:1", "san", 1},
      {"fd00::1", "fd00::1", 0},
      {"fd00::1.3260", "fd00::1", 3260},
      {"fd00::10.0.0.1", "fd00::10.0.0.1", 0},
      {"san:99999999999", "san", 65535},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *host = NULL;
    guint port;

    storagecfg_split_portal(cases[i].portal, &host, &port);
    assert_string_equal(host, cases[i].host);
    assert_int_equal(port, cases[i].port);
  }
}

/* The how-to has a row for each property, and for each type. */
static void test_the_how_to_is_complete(void **state)
{
  g_autofree char *path = g_build_filename(g_getenv("abs_top_srcdir"), "docs/storage-cfg.md", NULL),
                  *text = NULL;
  const char *table;

  assert_true(g_file_get_contents(path, &text, NULL, NULL));
  table = strstr(text, "## Every property");
  for (const StorageCfgType *const *type = storagecfg_types(); *type; type++) {
    g_autofree char *named =
        g_strdup_printf("^\\| ([a-z, ]+, )?%s(, [a-z, ]+)? \\|", (*type)->name);

    if (!g_regex_match_simple(named, strstr(text, "## Every type"), G_REGEX_MULTILINE, 0))
      fail_msg("no row for type %s", (*type)->name);
    for (const StorageCfgOption *option = (*type)->options; option->name; option++) {
      g_autofree char *row =
          g_strdup_printf("^\\| ([a-z0-9_, -]+, )?%s(, [a-z0-9_, -]+)? \\| ", option->name);

      if (!g_regex_match_simple(row, table, G_REGEX_MULTILINE, 0))
        fail_msg("no row for property %s of type %s", option->name, (*type)->name);
    }
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_documents), cmocka_unit_test(test_host),
      cmocka_unit_test(test_uuids),     cmocka_unit_test(test_what_xml_cannot_hold),
      cmocka_unit_test(test_portals),   cmocka_unit_test(test_the_how_to_is_complete),
  };

  return cmocka_run_group_tests_name("pools of storage.cfg", tests, NULL, NULL);
}
