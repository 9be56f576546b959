/* virt-thin - tests: the grammar of LVM2's text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lvm-helper.h"
#include "lvm/model/text.h"
#include "util/memory.h"

static LvmNode *parse(const char *text)
{
  GError *error = NULL;
  LvmNode *root = lvm_text_parse(text, strlen(text), "test", &error);

  assert_ok(root, error);
  return root;
}

static char *format(LvmNode *node)
{
  GString *out = g_string_new(NULL);

  lvm_node_format(node, out);
  return g_string_free(out, FALSE);
}

/* @text comes out as @want; that comes out as it is. */
static void check_format(const char *text, const char *want)
{
  g_autoptr(LvmNode) root = parse(text), again = parse(want);
  g_autofree char *once = format(root), *twice = format(again);

  assert_string_equal(once, want);
  assert_string_equal(twice, want);
}

static void test_values(void **state)
{
  g_autoptr(LvmNode) root = parse("a = 5\nb=-7\nc = 0x10\nd = 3.25\ne = \"x y\"\nf = 'raw \\ "
                                  "\"s\"'\ng = bare-word\nh = 18446744073709551615\n"
                                  "i = 18446744073709551616\nj = 010\nk = []\n");
  guint64 n;

  assert_true(lvm_section_get_uint(root, "a", &n));
  assert_int_equal(n, 5);
  assert_false(lvm_section_get_uint(root, "b", &n));
  assert_false(lvm_section_get_uint(root, "c", &n)); /* lvm2 does not know hexadecimal either */
  assert_false(lvm_section_get_uint(root, "d", &n));
  assert_string_equal(lvm_section_get_string(root, "e"), "x y");
  assert_string_equal(lvm_section_get_string(root, "f"), "raw \\ \"s\"");
  assert_string_equal(lvm_section_get_string(root, "g"), "bare-word");
  assert_true(lvm_section_get_uint(root, "h", &n));
  assert_true(n == G_MAXUINT64);
  assert_false(lvm_section_get_uint(root, "i", &n));
  assert_true(lvm_section_get_uint(root, "j", &n));
  assert_int_equal(n, 8); /* strtoll() with base 0 */
  assert_null(lvm_section_get_string(root, "a"));
  assert_null(lvm_section_get_string(root, "k"));
  assert_null(lvm_section_get_string(root, "nothing"));
}

/* What looks like a number, and is none. */
static void test_no_numbers(void **state)
{
  g_autoptr(LvmNode) root =
      parse("plus = +5\nminus = -\ndots = 1.2.3\noctal = 08\nsection {\n}\n# comment\n");
  guint64 n;

  assert_true(lvm_section_get_uint(root, "plus", &n));
  assert_int_equal(n, 5);
  assert_false(lvm_section_get_uint(root, "minus", &n));
  assert_string_equal(lvm_section_get_string(root, "minus"), "-");
  assert_false(lvm_section_get_uint(root, "dots", &n));
  assert_string_equal(lvm_section_get_string(root, "dots"), "1.2.3");
  assert_false(lvm_section_get_uint(root, "octal", &n));
  assert_false(lvm_section_get_uint(root, "section", &n));
  assert_null(lvm_section_get_string(root, "section"));
  assert_null(lvm_section_find_section(root, "plus"));
  assert_null(lvm_section_find(root, "# comment"));
}

static void test_escapes(void **state)
{
  g_autoptr(LvmNode) root =
      parse("a = \"say \\\"hi\\\" and \\\\ but \\n\"\nb = \"two\nlines\"\nc = \"\"\n");
  g_autofree char *text = NULL;

  assert_string_equal(lvm_section_get_string(root, "a"), "say \"hi\" and \\ but \\n");
  assert_string_equal(lvm_section_get_string(root, "b"), "two\nlines");
  assert_string_equal(lvm_section_get_string(root, "c"), "");
  lvm_section_set_string(root, "a", "\\\"", NULL);
  text = format(root);
  assert_string_equal(text, "a = \"\\\\\\\"\"\nb = \"two\nlines\"\nc = \"\"\n");
}

static void test_arrays(void **state)
{
  g_autoptr(LvmNode) root =
      parse("a = [ \"x\",5 , 1.5,\n]\nb = []\nc = [\n]\nd = [\"pv0\", 0,\n\"pv1\", 7]\n");
  g_autoptr(GPtrArray) strings = lvm_node_strings(lvm_section_find(root, "d"));
  LvmValue it;
  guint64 n;

  lvm_value_init(&it, lvm_section_find(root, "a"));
  assert_true(lvm_value_next(&it));
  assert_string_equal(it.text, "x");
  assert_false(lvm_value_get_uint(&it, &n));
  assert_true(lvm_value_next(&it));
  assert_true(lvm_value_get_uint(&it, &n));
  assert_int_equal(n, 5);
  assert_true(lvm_value_next(&it));
  assert_int_equal(it.type, LVM_VALUE_FLOAT);
  assert_false(lvm_value_next(&it));
  lvm_value_init(&it, lvm_section_find(root, "b"));
  assert_false(lvm_value_next(&it));
  assert_int_equal(strings->len, 2);
  assert_string_equal(strings->pdata[1], "pv1");
}

static void test_layout(void **state)
{
  check_format("\t a {# why\n\n\t\tb=1 # x\n# y\n\t\tc   =   [\"d\",\n\t\"e\" ,3]\n\n\n}",
               "a {\n\nb = 1\nc = [\"d\",\n\"e\", 3]\n\n\n}\n");
  check_format("a = [\n\t\"pv0\", 1,\n\t\"pv1\", 2\n]\n", "a = [\n\"pv0\", 1,\n\"pv1\", 2\n]\n");
  check_format("# first\n\nx = 1\t# second\ny { } # third\n# fourth",
               "# first\n\nx = 1\t# second\ny {\n}\t# third\n# fourth\n");
  check_format("", "");
  check_format("a='\"'", "a = '\"'\n");
  check_format("a {}b=2", "a {\n}\nb = 2\n");
}

static void test_changes(void **state)
{
  g_autoptr(LvmNode) root = parse("a = 1\n\nb = 2\ns {\n}\n");
  const char *words[] = {"READ", "WRITE", NULL};
  LvmPair pairs[] = {{"pv0", 3}, {"pv1", 4}};
  g_autoptr(LvmNode) copy = NULL;
  g_autofree char *text = NULL, *copied = NULL;

  lvm_section_set_uint(root, "b", 5, NULL);
  lvm_section_set_string(root, "after", "x", "a");
  lvm_section_set_strings(lvm_section_find_section(root, "s"), "status", words, NULL);
  lvm_section_set_pairs(lvm_section_find_section(root, "s"), "stripes", pairs, 2);
  lvm_section_add_section(root, "t", 1, lvm_section_find(root, "s"));
  lvm_section_remove(root, "a");
  lvm_section_remove(root, "not there");
  copy = lvm_node_copy(root, NULL);
  text = format(root);
  copied = format(copy);
  assert_string_equal(
      text, "after = \"x\"\n\nb = 5\n\nt {\n}\ns {\nstatus = [\"READ\", \"WRITE\"]\nstripes = "
            "[\n\"pv0\", 3,\n\"pv1\", 4\n]\n}\n");
  assert_string_equal(copied, text);
}

/* A comment whose line goes stays, on a line of its own. */
static void test_comment_left(void **state)
{
  g_autoptr(LvmNode) root = parse("a = 1 # why\nb = 2\n");
  g_autofree char *text = NULL;

  lvm_section_remove(root, "a");
  text = format(root);
  assert_string_equal(text, "# why\nb = 2\n");
}

static void test_references(void **state)
{
  LvmNode *root = parse("a = 1\n");

  assert_false(lvm_node_is_shared(root));
  assert_ptr_equal(lvm_node_ref(root), root);
  assert_true(lvm_node_is_shared(root));
  lvm_node_unref(root);
  assert_false(lvm_node_is_shared(root));
  lvm_node_unref(root);
  lvm_node_unref(NULL);
}

static void check_error(const char *text, gsize length, const char *want)
{
  GError *error = NULL;

  assert_null(lvm_text_parse(text, length, "file", &error));
  assert_error(error, EBADMSG, want);
}

static void test_errors(void **state)
{
  static const struct {
    const char *text, *error;
  } cases[] = {
      {"a = 1\nb\n", "file, line 3: '=' or '{'"},
      {"a = 1\nb = \n", "line 3: a value is missing"},
      {"a = \"x\n\n", "line 1: this string has no end"},
      {"a = 'x", "line 1: this string has no end"},
      {"a = \"x\\", "this string has no end"},
      {"\na = [1, 2", "line 2: this array has no end"},
      {"a = [1 2]", "',' or ']' is missing"},
      {"a = [,]", "a value is missing"},
      {"a {\nb = 1\n", "line 1: this section has no end"},
      {"}", "a name is missing"},
      {"= 5", "a name is missing"},
      {"{ }", "a name is missing"},
      {"a = [[1]]", "a value is missing"},
      {"a = 1 = 2", "a name is missing"},
  };

  for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
    check_error(cases[i].text, strlen(cases[i].text), cases[i].error);
  check_error("a = 1\n\0b = 2\n", 13, "line 2: a name is missing");
  check_error("a = \"x\0y\"\n", 10, "line 1: this string has no end");
  check_error("a = \"x\\\0y\"\n", 11, "line 1: this string has no end");
  check_error("a = 'x\0y'\n", 10, "line 1: this string has no end");
}

static void test_depth(void **state)
{
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint i = 0; i < 100000; i++)
    g_string_append(text, "a{");
  check_error(text->str, text->len, "nested too deep");
}

/* Cut off everywhere, a text is an error or a shorter text, and nothing worse. */
static void test_prefixes(void **state)
{
  gsize length;
  g_autofree char *text = lvm_test_read("vgcfgbackup-04-final.txt", &length);

  for (gsize n = 0; n < length; n++) {
    g_autofree char *part = vt_memdup(text, n);
    g_autoptr(LvmNode) root = lvm_text_parse(part, n, "part", NULL);
    g_autoptr(LvmVg) vg = lvm_vg_parse(part, n, NULL);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),     cmocka_unit_test(test_escapes),
      cmocka_unit_test(test_arrays),     cmocka_unit_test(test_layout),
      cmocka_unit_test(test_changes),    cmocka_unit_test(test_errors),
      cmocka_unit_test(test_depth),      cmocka_unit_test(test_prefixes),
      cmocka_unit_test(test_no_numbers), cmocka_unit_test(test_comment_left),
      cmocka_unit_test(test_references),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
