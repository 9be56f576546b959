/* virt-thin - the layout of libvirt's objects, by experiment
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It is found in every release measured and in any other order, and doubt is an error. A stand-in
 * for libvirt: its parser and formatter work on blobs whose layout each test chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "libvirt/vtbackend-layout.h"

typedef struct {
  gsize pool_size, vol_size;
  VtLayout at;
  guint32 pool_refresh;  /* a pointer that the formatter follows when it is set */
  guint32 vol_path_copy; /* a second place that holds the path; 0: none */
  gboolean deaf_to_key;  /* the formatter shows a key of its own */
  gboolean deaf_to_available;
  gboolean crash, hang;
} Model;

static Model model;

/* Measured with offsetof() against the headers of each release, amd64. */
static const struct {
  const char *release;
  gsize pool_size, vol_size;
  guint32 target_path, capacity, allocation, physical;
} releases[] = {
    {"7.0.0", 304, 528, 224, 304, 312, 320},
    {"9.0.0", 312, 568, 232, 320, 328, 336},
    {"10.0.0", 312, 616, 232, 336, 344, 352},
    {"11.3.0", 312, 656, 232, 336, 344, 352},
};

static Model release_model(guint i)
{
  return (Model){
      .pool_size = releases[i].pool_size,
      .vol_size = releases[i].vol_size,
      .pool_refresh = 32,
      .at = {.pool_source_name = 176,
             .pool_target_path = releases[i].target_path,
             .pool_capacity = 48,
             .pool_allocation = 40,
             .pool_available = 56,
             .vol_name = 0,
             .vol_key = 8,
             .vol_path = 88,
             .vol_type = 16,
             .vol_capacity = releases[i].capacity,
             .vol_allocation = releases[i].allocation,
             .vol_physical = releases[i].physical},
  };
}

static char *between(const char *xml, const char *before, const char *after)
{
  const char *start = strstr(xml, before),
             *end = start ? strstr(start + strlen(before), after) : NULL;
  return end ? g_strndup(start + strlen(before), end - start - strlen(before)) : NULL;
}

static guint64 number_between(const char *xml, const char *before, const char *after)
{
  g_autofree char *text = between(xml, before, after);
  return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static VtPoolDef *pool_parse(const char *xml, const char *filename, unsigned int flags)
{
  gpointer pool = g_malloc0(model.pool_size);
  char *source = between(xml, "<source><name>", "</name>");
  VT_FIELD(pool, model.at.pool_source_name, char *) = source;
  VT_FIELD(pool, model.at.pool_target_path, char *) = g_strdup_printf("/dev/%s", source);
  return pool;
}

static void pool_free(VtPoolDef *pool)
{
  g_free(VT_FIELD(pool, model.at.pool_source_name, char *));
  g_free(VT_FIELD(pool, model.at.pool_target_path, char *));
  g_free(pool);
}

static char *pool_format(VtPoolDef *pool)
{
  const int *refresh = VT_FIELD(pool, model.pool_refresh, const int *);
  int refreshed = refresh ? *refresh : 0;
  if (model.hang)
    pause();
  return g_strdup_printf(
      "<pool><capacity unit='bytes'>%llu</capacity><allocation "
      "unit='bytes'>%llu</allocation><available unit='bytes'>%llu</available>"
      "<source><name>%s</name></source><target><path>%s</path></target><refresh>%d</refresh></"
      "pool>",
      VT_FIELD(pool, model.at.pool_capacity, unsigned long long),
      VT_FIELD(pool, model.at.pool_allocation, unsigned long long),
      model.deaf_to_available ? 0 : VT_FIELD(pool, model.at.pool_available, unsigned long long),
      VT_FIELD(pool, model.at.pool_source_name, char *),
      VT_FIELD(pool, model.at.pool_target_path, char *), refreshed);
}

static const char *const types[] = {"file", "block", "dir", "network", "netdir", NULL};

static VtVolDef *vol_parse(VtPoolDef *pool, const char *xml, const char *filename,
                           unsigned int flags)
{
  gpointer vol = g_malloc0(model.vol_size);
  g_autofree char *type = between(xml, "<volume type='", "'");
  VT_FIELD(vol, model.at.vol_name, char *) = between(xml, "<name>", "</name>");
  VT_FIELD(vol, model.at.vol_key, char *) = between(xml, "<key>", "</key>");
  VT_FIELD(vol, model.at.vol_path, char *) = between(xml, "<path>", "</path>");
  VT_FIELD(vol, model.at.vol_capacity, guint64) =
      number_between(xml, "<capacity unit='bytes'>", "<");
  VT_FIELD(vol, model.at.vol_allocation, guint64) =
      number_between(xml, "<allocation unit='bytes'>", "<");
  for (int i = 0; types[i]; i++)
    if (strcmp(types[i], type) == 0)
      VT_FIELD(vol, model.at.vol_type, int) = i;
  if (model.vol_path_copy)
    VT_FIELD(vol, model.vol_path_copy, char *) = VT_FIELD(vol, model.at.vol_path, char *);
  return vol;
}

static void vol_free(VtVolDef *vol)
{
  g_free(VT_FIELD(vol, model.at.vol_name, char *));
  g_free(VT_FIELD(vol, model.at.vol_key, char *));
  g_free(VT_FIELD(vol, model.at.vol_path, char *));
  g_free(vol);
}

static char *vol_format(VtPoolDef *pool, VtVolDef *vol)
{
  if (model.crash)
    abort();
  guint64 physical = VT_FIELD(vol, model.at.vol_physical, guint64);
  g_autofree char *physical_xml =
      physical
          ? g_strdup_printf("<physical unit='bytes'>%" G_GUINT64_FORMAT "</physical>", physical)
          : g_strdup("");
  return g_strdup_printf(
      "<volume type='%s'><name>%s</name><key>%s</key><capacity unit='bytes'>%llu</capacity>"
      "<allocation unit='bytes'>%llu</allocation>%s<target><path>%s</path></target></volume>",
      types[VT_FIELD(vol, model.at.vol_type, int) % 5], VT_FIELD(vol, model.at.vol_name, char *),
      model.deaf_to_key ? "vtproof-key" : VT_FIELD(vol, model.at.vol_key, char *),
      VT_FIELD(vol, model.at.vol_capacity, unsigned long long),
      VT_FIELD(vol, model.at.vol_allocation, unsigned long long), physical_xml,
      VT_FIELD(vol, model.at.vol_path, char *));
}

static VtPoolDef *pool_parse_string(const char *xml, unsigned int flags)
{
  return pool_parse(xml, NULL, flags);
}

static VtVolDef *vol_parse_string(VtPoolDef *pool, const char *xml, unsigned int flags)
{
  return vol_parse(pool, xml, NULL, flags);
}

static const VtLibvirt stand_in = {
    .pool_def_parse = pool_parse,
    .pool_def_format = pool_format,
    .pool_def_free = pool_free,
    .vol_def_parse = vol_parse,
    .vol_def_format = vol_format,
    .vol_def_free = vol_free,
};

static void assert_found(void)
{
  VtLayout layout;
  g_autoptr(GError) error = NULL;
  if (!vtbackend_layout_discover(&stand_in, &layout, &error))
    fail_msg("%s", error->message);
  assert_memory_equal(&layout, &model.at, sizeof layout);
}

static void assert_refused(const char *message)
{
  VtLayout layout = {0};
  g_autoptr(GError) error = NULL;
  assert_false(vtbackend_layout_discover(&stand_in, &layout, &error));
  assert_non_null(strstr(error->message, message));
  assert_int_equal(layout.vol_key, 0);
}

static void test_releases(void **state)
{
  for (guint i = 0; i < G_N_ELEMENTS(releases); i++) {
    model = release_model(i);
    assert_found();
  }
}

static void test_old_names(void **state)
{
  VtLibvirt old = stand_in;
  VtLayout layout;
  old.pool_def_parse = NULL;
  old.vol_def_parse = NULL;
  old.pool_def_parse_string = pool_parse_string;
  old.vol_def_parse_string = vol_parse_string;
  model = release_model(0);
  assert_true(vtbackend_layout_discover(&old, &layout, NULL));
  assert_memory_equal(&layout, &model.at, sizeof layout);
}

/* Fields in any order and place; the pool's totals before its source, physical within two words of
 * allocation, as always so far. */
static void test_any_order(void **state)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(20261121);
  for (guint round = 0; round < 40; round++) {
    guint32 places[64];
    model = (Model){.pool_size = 400, .vol_size = 64 * 8 + g_rand_int_range(rand, 2, 40) * 8};
    for (guint32 i = 0; i < 64; i++)
      places[i] = i * 8;
    for (guint32 i = 0; i < 20;
         i++) { /* the first twenty, shuffled: totals and a pointer of the pool */
      guint32 j = (guint32)g_rand_int_range(rand, 0, 20), keep = places[i];
      places[i] = places[j];
      places[j] = keep;
    }
    model.at.pool_capacity = places[0];
    model.at.pool_allocation = places[1];
    model.at.pool_available = places[2];
    model.pool_refresh = places[3];
    model.at.pool_source_name = 160 + 8 * (guint32)g_rand_int_range(rand, 0, 10);
    model.at.pool_target_path = 240 + 8 * (guint32)g_rand_int_range(rand, 0, 10);
    model.at.vol_name = places[4];
    model.at.vol_key = places[5];
    model.at.vol_path = places[6];
    model.at.vol_type = places[7] + 4 * (guint32)g_rand_int_range(rand, 0, 2);
    model.at.vol_capacity = 160 + 8 * (guint32)g_rand_int_range(rand, 0, 10);
    model.at.vol_allocation = 240 + 8 * (guint32)g_rand_int_range(rand, 0, 10);
    model.at.vol_physical = model.at.vol_allocation + 8 * (guint32)g_rand_int_range(rand, 1, 3);
    assert_found();
  }
}

static void test_ambiguous(void **state)
{
  model = release_model(1);
  model.vol_path_copy = 400;
  assert_refused("path or type of a volume not found");
}

static void test_deaf(void **state)
{
  model = release_model(1);
  model.deaf_to_key = TRUE;
  assert_refused("a volume does not show what was set in it");
  model = release_model(1);
  model.deaf_to_available = TRUE;
  assert_refused("available of a pool not found");
}

static void test_crash(void **state)
{
  model = release_model(1);
  model.crash = TRUE;
  assert_refused("signal 6");
}

static void test_hang(void **state)
{
  model = release_model(1);
  model.hang = TRUE;
  assert_refused("did not come back");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_releases),  cmocka_unit_test(test_old_names),
      cmocka_unit_test(test_any_order), cmocka_unit_test(test_ambiguous),
      cmocka_unit_test(test_deaf),      cmocka_unit_test(test_crash),
      cmocka_unit_test(test_hang),
  };
  return cmocka_run_group_tests_name("libvirt-layout", tests, NULL, NULL);
}
