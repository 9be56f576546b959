/* virt-thin - tests: storage.cfg, parsed as Proxmox parses it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What comes of a text is shown as
 *
 *     t1:lvmthin{content=images,rootdir thinpool=data vgname=pve}
 *
 * in the order of the storages (broken ones as t1:lvmthin!), and each warning as "<line> <section>
 * <verdict> <message>".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "storagecfg/storagecfg.h"

#define T "\tthinpool data\n\tvgname pve\n"
#define WELL "content=images,rootdir thinpool=data vgname=pve"
#define T1 "t1:lvmthin{" WELL "}"
#define T2 "t2:lvmthin{" WELL "}"
#define NO_VG "fatal missing value for required option 'vgname'"
#define NO_POOL "fatal missing value for required option 'thinpool'"
#define DUPLICATE(key) "dropped unable to parse value of '" key "': duplicate attribute"
#define DROPPED(key, why) "dropped unable to parse value of '" key "': " why
#define NAME(name) "invalid format - lvm name '" name "' contains illegal characters"
#define NO_BOOLEAN(value) "type check ('boolean') failed - got '" value "'"

typedef struct {
  const char *name, *text;
  const char *storages, *warnings;
  gsize length; /* of a text with NUL bytes */
} Case;

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

static char *show_warnings(const StorageCfg *cfg)
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

static guint failures;

static void expect(const char *name, const char *what, const char *got, const char *want)
{
  if (strcmp(got, want) == 0)
    return;
  failures++;
  print_message("# %s: %s\n# got:\n%s\n# want:\n%s\n", name, what, got, want);
}

static void check_cases(const Case *cases, gsize n)
{
  failures = 0;
  for (gsize i = 0; i < n; i++) {
    gsize length = cases[i].length ? cases[i].length : strlen(cases[i].text), written;
    g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", cases[i].text, length);
    g_autofree char *storages = show_storages(cfg), *warnings = show_warnings(cfg);

    expect(cases[i].name, "storages", storages, cases[i].storages);
    expect(cases[i].name, "warnings", warnings, cases[i].warnings ? cases[i].warnings : "");
    if (memcmp(storagecfg_text(cfg, &written), cases[i].text, length) != 0 || written != length)
      fail_msg("%s: the text is not kept", cases[i].name);
  }
  assert_int_equal(failures, 0);
}

/* --- lines and sections --- */

static void test_lines(void **state)
{
  static const Case cases[] = {
      {"empty", "", "", NULL, 0},
      {"P1", "lvmthin: local-lvm\n\tthinpool data\n\tvgname pve\n\tcontent rootdir,images\n",
       "local-lvm:lvmthin{" WELL "}", NULL, 0},
      {"P2", "lvmthin: t1\n" T, T1, NULL, 0},
      {"P3: blanks", "lvmthin:   t1   \n   thinpool   data   \n vgname pve\n", T1, NULL, 0},
      {"P3: no blank", "lvmthin:t1\n" T, T1, NULL, 0},
      {"P3: case of the type", "LVMThin: t1\n" T, T1, NULL, 0},
      {"P3: tabs", "lvmthin:\tt1\t\n\t\tthinpool\tdata\t\n \t vgname \t pve\n", T1, NULL, 0},
      {"P3: vertical tabs and form feeds are blanks",
       "lvmthin:\vt1\f\n\vthinpool\fdata\n\fvgname\vpve\n", T1, NULL, 0},
      {"P4: blank before the colon", "lvmthin : t1\n" T, "",
       "1 - ignored ignore config line: lvmthin : t1\n2 - ignored ignore config line: \tthinpool "
       "data\n"
       "3 - ignored ignore config line: \tvgname pve",
       0},
      {"P4: two ids", "lvmthin: t1 t2\n" T, "",
       "1 - ignored ignore config line: lvmthin: t1 t2\n2 - ignored ignore config line: \tthinpool "
       "data\n"
       "3 - ignored ignore config line: \tvgname pve",
       0},
      {"P4: indented", " lvmthin: t1\n" T, "",
       "1 - ignored ignore config line:  lvmthin: t1\n2 - ignored ignore config line: \tthinpool "
       "data\n"
       "3 - ignored ignore config line: \tvgname pve",
       0},
      {"no id", "lvmthin:\n" T, "",
       "1 - ignored ignore config line: lvmthin:\n2 - ignored ignore config line: \tthinpool data\n"
       "3 - ignored ignore config line: \tvgname pve",
       0},
      {"no type", ": t1\n" T, "",
       "1 - ignored ignore config line: : t1\n2 - ignored ignore config line: \tthinpool data\n"
       "3 - ignored ignore config line: \tvgname pve",
       0},
      {"greedy", "lvmthin:a:t1\n" T, "", "1 t1 skipped unsupported type 'lvmthin:a'", 0},
      {"greedy, two colons", "lvmthin:: t1\n" T, "", "1 t1 skipped unsupported type 'lvmthin:'", 0},
      {"the id is a colon", "lvmthin::\n" T, "",
       "1 : skipped storage ID ':' cannot be shorter than 2 characters", 0},
      {"type 0", "0: t1\n" T, "", "1 t1 skipped missing type - internal error", 0},
      {"P5: no empty line", "lvmthin: t1\n" T "lvmthin: t2\n\tthinpool d2\n\tvgname v2\n", T1,
       "4 t1 ignored ignore config line: lvmthin: t2\n5 t1 " DUPLICATE(
           "thinpool") "\n6 t1 " DUPLICATE("vgname"),
       0},
      {"P5: a line of a tab", "lvmthin: t1\n" T "\t\nlvmthin: t2\n\tthinpool d2\n\tvgname v2\n", T1,
       "4 t1 ignored ignore config line: \t\n5 t1 ignored ignore config line: lvmthin: t2\n6 "
       "t1 " DUPLICATE("thinpool") "\n7 t1 " DUPLICATE("vgname"),
       0},
      {"P5: a comment", "lvmthin: t1\n" T "# x\nlvmthin: t2\n\tthinpool d2\n\tvgname v2\n", T1,
       "5 t1 ignored ignore config line: lvmthin: t2\n6 t1 " DUPLICATE(
           "thinpool") "\n7 t1 " DUPLICATE("vgname"),
       0},
      {"what the swallowed header brings is charged to the other",
       "lvmthin: t1\n" T "dir: d1\n\tpath /d\n\tnodes n1\n",
       "t1:lvmthin{content=images,rootdir nodes=n1 thinpool=data vgname=pve}",
       "4 t1 ignored ignore config line: dir: d1\n5 t1 " DROPPED("path",
                                                                 "unexpected property 'path'"),
       0},
      {"P6", "lvmthin: t1\n\tthinpool data\n\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 " NO_VG "\n4 - ignored ignore config line: \tvgname pve", 0},
      {"P7",
       "lvmthin: t1\r\n\tthinpool data\r\n\tvgname pve\r\n\r\nlvmthin: t2\r\n\tthinpool "
       "data\r\n\tvgname pve\r\n",
       T1,
       "4 t1 ignored ignore config line: \\x0d\n5 t1 ignored ignore config line: lvmthin: "
       "t2\\x0d\n6 t1 " DUPLICATE("thinpool") "\n7 t1 " DUPLICATE("vgname"),
       0},
      {"carriage returns at ends of lines are blanks",
       "lvmthin: t1\r\n\tthinpool data\r\n\tvgname pve\r\n", T1, NULL, 0},
      {"a carriage return within", "lvmthin: t1\n" T "\tbwlimit move=1\rclone=2\n", T1,
       "4 t1 " DROPPED("bwlimit", "property contains a line feed"), 0},
      {"P8", "lvmthin: t1\n" T "\nlvmthin: t1\n\tthinpool data2\n\tvgname pve2\n\tnodes n1\n",
       "t1:lvmthin{content=images,rootdir nodes=n1 thinpool=data2 vgname=pve2}", NULL, 0},
      {"P9", "lvmthin: t1\n" T "\nlvmthin: t1\n\tthinpool data2\n", "t1:lvmthin!", "6 t1 " NO_VG,
       0},
      {"P9: of another type", "lvmthin: t1\n" T "\ndir: t1\n\tpath /d\n",
       "t1:dir{content=images,rootdir path=/d}", NULL, 0},
      {"P9: mended", "lvmthin: t1\n\tthinpool data\n\nlvmthin: t1\n" T, T1, "2 t1 " NO_VG, 0},
      {"a skipped one takes no place", "lvmthin: t1\n" T "\nfoo: t1\n\tbar 1\n", T1,
       "5 t1 skipped unsupported type 'foo'", 0},
      {"the later place counts", "lvmthin: t1\n" T "\nlvmthin: t2\n" T "\nlvmthin: t1\n" T,
       T2 "\n" T1, NULL, 0},
      {"ids know case", "lvmthin: t1\n" T "\nlvmthin: T1\n" T, T1 "\nT1:lvmthin{" WELL "}", NULL,
       0},
      {"P10", "lvmthin: t1\n\tthinpool data\n\tthinpool data2\n\tvgname pve\n", T1,
       "3 t1 " DUPLICATE("thinpool"), 0},
      {"P10: first good", "lvmthin: t1\n\tthinpool d\n\tthinpool data\n\tvgname pve\n", T1,
       "2 t1 " DROPPED("thinpool", NAME("d")), 0},
      {"P10: unknown twice", "lvmthin: t1\n" T "\tfoo 1\n\tfoo 2\n", T1,
       "4 t1 " DROPPED("foo", "unknown property type") "\n5 t1 " DROPPED("foo",
                                                                         "unknown property type"),
       0},
      {"P18", "foo: t1\n\tbar 1\n\nlvmthin: t2\n" T, T2, "1 t1 skipped unsupported type 'foo'", 0},
      {"skipped sections swallow, too", "foo: t1\nlvmthin: t2\n" T, "",
       "1 t1 skipped unsupported type 'foo'", 0},
      {"P19: no trailing comments", "lvmthin: t1\n\tvgname pve # x\n\tthinpool data\n",
       "t1:lvmthin!", "2 t1 " DROPPED("vgname", NAME("pve # x")) "\n3 t1 " NO_VG, 0},
      {"P19: nor without a blank", "lvmthin: t1\n\tvgname pve\n\tthinpool data#x\n", "t1:lvmthin!",
       "3 t1 " DROPPED("thinpool", NAME("data#x")) "\n3 t1 " NO_POOL, 0},
      {"P21", "lvmthin: t1\nthinpool data\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 ignored ignore config line: thinpool data\n3 t1 " NO_POOL, 0},
      {"P22", "lvmthin: t1\n\tthinpool data\n0\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 " NO_VG "\n4 - ignored ignore config line: \tvgname pve", 0},
      {"00 ends nothing", "lvmthin: t1\n\tthinpool data\n00\n\tvgname pve\n", T1,
       "3 t1 ignored ignore config line: 00", 0},
      {"a 0 between sections is nothing", "0\nlvmthin: t1\n" T "0\n0\nlvmthin: t2\n" T, T1 "\n" T2,
       NULL, 0},
      {"no newline at the end", "lvmthin: t1\n\tthinpool data\n\tvgname pve", T1, NULL, 0},
      {"empty lines", "\n\n\nlvmthin: t1\n" T "\n\n\nlvmthin: t2\n" T "\n\n", T1 "\n" T2, NULL, 0},
      {"comments anywhere",
       "# a\nlvmthin: t1\n# b\n\tthinpool data\n  # c\n\t#d\n\tvgname pve\n#e\n\n#f\nlvmthin: "
       "t2\n" T,
       T1 "\n" T2, NULL, 0},
      {"a key that begins like a comment", "lvmthin: t1\n" T "\t#nodes a\n", T1, NULL, 0},
      {"comments count as lines", "# a\n# b\nlvmthin: t1\n# c\n\tfoo 1\n" T, T1,
       "5 t1 " DROPPED("foo", "unknown property type"), 0},
      {"a line of blanks outside", "  \nlvmthin: t1\n" T, T1,
       "1 - ignored ignore config line:   ", 0},
      {"text outside", "hello\nlvmthin: t1\n" T, T1, "1 - ignored ignore config line: hello", 0},
      {"no continuation", "lvmthin: t1\n\tthinpool \\\n\tdata\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 " DROPPED("thinpool", NAME("\\")) "\n3 t1 " DROPPED(
           "data", "unknown property type") "\n4 t1 " NO_POOL,
       0},
      {"no quotes", "lvmthin: t1\n\tthinpool \"data\"\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 " DROPPED("thinpool", NAME("\"data\"")) "\n3 t1 " NO_POOL, 0},
      {"no byte order mark", "\xef\xbb\xbflvmthin: t1\n" T, "",
       "1 t1 skipped unsupported type '\xef\xbb\xbflvmthin'", 0},
      {"a separator is part of the key", "lvmthin: t1\n\tthinpool: data\n\tvgname=pve\n",
       "t1:lvmthin!",
       "2 t1 " DROPPED("thinpool:", "unknown property type") "\n3 t1 " DROPPED(
           "vgname=pve", "unknown property type") "\n3 t1 " NO_VG,
       0},
      {"keys know case", "lvmthin: t1\n\tThinpool data\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 " DROPPED("Thinpool", "unknown property type") "\n3 t1 " NO_POOL, 0},
      {"a section of a header", "lvmthin: t1\n", "t1:lvmthin!", "1 t1 " NO_VG, 0},
      {"a header alone at the end", "lvmthin: t1", "t1:lvmthin!", "1 t1 " NO_VG, 0},
      {"a NUL byte in a name", "lvmthin: t1\n\tthinpool da\0ta\n\tvgname pve\n", "t1:lvmthin!",
       "2 t1 " DROPPED("thinpool", "property contains a NUL byte") "\n3 t1 " NO_POOL,
       sizeof "lvmthin: t1\n\tthinpool da\0ta\n\tvgname pve\n" - 1},
      {"a NUL byte in an id", "lvmthin: t\0x1\n" T, "",
       "1 \\0 skipped storage ID '\\0' contains illegal characters",
       sizeof "lvmthin: t\0x1\n" T - 1},
      {"NUL bytes alone separate", "lvmthin: t1\n" T "\tnodes a\0b\n",
       "t1:lvmthin{content=images,rootdir nodes=a,b "
       "thinpool=data vgname=pve}",
       NULL, sizeof "lvmthin: t1\n" T "\tnodes a\0b\n" - 1},
      {"with NUL bytes a comma is part of a word", "lvmthin: t1\n" T "\tnodes a,b\0c\n", T1,
       "4 t1 " DROPPED("nodes", "invalid format - value does not look like a valid node name"),
       sizeof "lvmthin: t1\n" T "\tnodes a,b\0c\n" - 1},
      {"not UTF-8", "lvmthin: t1\n" T "\tx\xff 1\n", T1,
       "4 t1 " DROPPED("x\xef\xbf\xbd", "unknown property type"), 0},
  };

  check_cases(cases, G_N_ELEMENTS(cases));
}

/* --- ids --- */

static void test_ids(void **state)
{
  static const struct {
    const char *id, *refusal;
  } cases[] = {
      {"ab", NULL},
      {"A1", NULL},
      {"a.b_c-d", NULL},
      {"a..b", NULL},
      {"a-_.b", NULL},
      {"zz9", NULL},
      {"a", "storage ID 'a' cannot be shorter than 2 characters"},
      {"1ab", "storage ID '1ab' contains illegal characters"},
      {"ab-", "storage ID 'ab-' contains illegal characters"},
      {"ab.", "storage ID 'ab.' contains illegal characters"},
      {"ab_", "storage ID 'ab_' contains illegal characters"},
      {"-ab", "storage ID '-ab' contains illegal characters"},
      {"_ab", "storage ID '_ab' contains illegal characters"},
      {"a/b", "storage ID 'a/b' contains illegal characters"},
      {"a+b", "storage ID 'a+b' contains illegal characters"},
      {"a\xc3\xa9", "storage ID 'a\xc3\xa9' contains illegal characters"},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *text = g_strdup_printf("lvmthin: %s\n" T, cases[i].id);
    g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", text, strlen(text));
    g_autofree char *want = cases[i].refusal
                                ? g_strdup_printf("1 %s skipped %s", cases[i].id, cases[i].refusal)
                                : g_strdup(""),
                    *got = show_warnings(cfg);

    assert_string_equal(got, want);
    assert_int_equal(storagecfg_storages(cfg)->len, cases[i].refusal ? 0 : 1);
    assert_true(storagecfg_check_id(cases[i].id, NULL) == !cases[i].refusal);
  }
}

/* --- local --- */

#define LOCAL                                                                                      \
  "local:dir{content=backup,images,iso,rootdir,snippets,vztmpl path=/var/lib/vz "                  \
  "prune-backups=keep-all=1}"

static void test_local(void **state)
{
  static const Case cases[] = {
      {"P20", "lvmthin: local\n" T, LOCAL, NULL, 0},
      {"as it comes", "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n",
       "local:dir{content=backup,iso,vztmpl path=/var/lib/vz}", NULL, 0},
      {"default content", "dir: local\n\tpath /var/lib/vz\n",
       "local:dir{content=images,rootdir path=/var/lib/vz}", NULL, 0},
      {"no nodes", "dir: local\n\tpath /var/lib/vz\n\tnodes a\n",
       "local:dir{content=images,rootdir path=/var/lib/vz}", NULL, 0},
      {"disabled", "dir: local\n\tpath /var/lib/vz\n\tdisable\n",
       "local:dir{content=images,rootdir disable=1 path=/var/lib/vz}", NULL, 0},
      {"elsewhere", "dir: local\n\tpath /srv\n\tdisable\n", LOCAL, NULL, 0},
      {"with a slash", "dir: local\n\tpath /var/lib/vz/\n", LOCAL, NULL, 0},
      {"broken", "dir: local\n\tcontent iso\n", LOCAL,
       "2 local fatal missing value for required option 'path'", 0},
      {"another id", "dir: Local\n\tpath /srv\n", "Local:dir{content=images,rootdir path=/srv}",
       NULL, 0},
  };

  check_cases(cases, G_N_ELEMENTS(cases));
}

/* --- content --- */

#define UNSUPPORTED(word) "dropped storage does not support content type '" word "'"
#define NO_NONE "fatal storage does not support content type 'none'"
#define ALONE "fatal unable to combine 'none' with other content types"
#define BOGUS(word) DROPPED("content", "invalid format - invalid content type '" word "'")

static void test_content(void **state)
{
  static const struct {
    const char *type, *content; /* NULL: no value */
    const char *result;         /* NULL: broken */
    const char *warnings;       /* of line 1, which the content is in; NULL: none */
  } cases[] = {
      {"lvmthin", "images rootdir", "images,rootdir", NULL},
      {"lvmthin", "images;rootdir", "images,rootdir", NULL},
      {"lvmthin", "images,,rootdir,", "images,rootdir", NULL},
      {"lvmthin", "rootdir , images", "images,rootdir", NULL},
      {"lvmthin", "images,images", "images", NULL},
      {"lvmthin", "rootdir", "rootdir", NULL},
      {"lvmthin", "iso,images", "images", UNSUPPORTED("iso")},
      {"lvmthin", "iso", NULL, UNSUPPORTED("iso") "|" NO_NONE},
      {"lvmthin", "backup,iso", NULL, UNSUPPORTED("backup") "|" UNSUPPORTED("iso") "|" NO_NONE},
      {"lvmthin", "iso,backup,iso", NULL, UNSUPPORTED("iso") "|" UNSUPPORTED("backup") "|" NO_NONE},
      {"lvmthin", "vztmpl;images iso,backup", "images",
       UNSUPPORTED("vztmpl") "|" UNSUPPORTED("iso") "|" UNSUPPORTED("backup")},
      {"lvmthin", ",", NULL, NO_NONE},
      {"lvmthin", ";", NULL, NO_NONE},
      {"lvmthin", "none", NULL, UNSUPPORTED("none") "|" NO_NONE},
      {"lvmthin", "images,none", "images", UNSUPPORTED("none")},
      {"lvmthin", "bogus", "images,rootdir", BOGUS("bogus")},
      {"lvmthin", "images,bogus", "images,rootdir", BOGUS("bogus")},
      {"lvmthin", "Images", "images,rootdir", BOGUS("Images")},
      {"lvmthin", "image", "images,rootdir", BOGUS("image")},
      {"lvmthin", NULL, "images,rootdir", DROPPED("content", "got undefined value")},
      {"lvm", NULL, "images", DROPPED("content", "got undefined value")},
      {"lvm", "rootdir", "rootdir", NULL},
      {"lvm", "vztmpl", NULL, UNSUPPORTED("vztmpl") "|" NO_NONE},
      {"dir", "none", "none", NULL},
      {"dir", ",", "", NULL},
      {"dir", "none,none", "none", NULL},
      {"dir", "none,images", NULL, ALONE},
      {"dir", "images rootdir vztmpl iso backup snippets import",
       "backup,images,import,iso,rootdir,snippets,vztmpl", NULL},
      {"btrfs", "none", "none", NULL},
      {"btrfs", "import", "import", NULL},
      {"nfs", "none", NULL, UNSUPPORTED("none") "|" NO_NONE},
      {"nfs", "iso,none", "iso", UNSUPPORTED("none")},
      {"nfs", "images rootdir vztmpl iso backup snippets import",
       "backup,images,import,iso,rootdir,snippets,vztmpl", NULL},
      {"cifs", "import,rootdir", "import,rootdir", NULL},
      {"cephfs", "images", NULL, UNSUPPORTED("images") "|" NO_NONE},
      {"cephfs", "vztmpl,iso,backup,snippets,import", "backup,import,iso,snippets,vztmpl", NULL},
      {"cephfs", "bogus", "backup", BOGUS("bogus")},
      {"iscsi", "none", "none", NULL},
      {"iscsi", "none,images", NULL, ALONE},
      {"iscsi", "rootdir", "", UNSUPPORTED("rootdir")},
      {"iscsidirect", "none", "none", NULL},
      {"iscsidirect", "images", "images", NULL},
      {"rbd", "rootdir", "rootdir", NULL},
      {"rbd", "none", NULL, UNSUPPORTED("none") "|" NO_NONE},
      {"zfspool", "bogus", "images,rootdir", BOGUS("bogus")},
      {"zfspool", "iso", NULL, UNSUPPORTED("iso") "|" NO_NONE},
      {"zfs", "rootdir", NULL, UNSUPPORTED("rootdir") "|" NO_NONE},
      {"zfs", "images", "images", NULL},
      {"pbs", "none", "none", NULL},
      {"pbs", "backup", "backup", NULL},
      {"pbs", "backup,none", NULL, ALONE},
      {"pbs", "images", "", UNSUPPORTED("images")},
      {"esxi", "import", "import", NULL},
      {"esxi", "images", NULL, UNSUPPORTED("images") "|" NO_NONE},
  };
  static const char *const required[][2] = {
      {"lvmthin", T},
      {"lvm", "\tvgname pve\n"},
      {"dir", "\tpath /d\n"},
      {"btrfs", "\tpath /d\n"},
      {"nfs", "\tserver s\n\texport /e\n"},
      {"cifs", "\tserver s\n\tshare sh\n"},
      {"cephfs", ""},
      {"iscsi", "\tportal p\n\ttarget iqn\n"},
      {"iscsidirect", "\tportal p\n\ttarget iqn\n"},
      {"rbd", ""},
      {"zfspool", "\tpool tank\n"},
      {"zfs", "\tportal p\n\ttarget iqn\n\tpool tank\n\tblocksize 4k\n\tiscsiprovider LIO\n"},
      {"pbs", "\tserver s\n\tdatastore ds\n"},
      {"esxi", "\tserver s\n\tusername u\n"},
  };

  failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    const char *needed = NULL;
    g_autofree char *name = g_strdup_printf("%s: content %s", cases[i].type, cases[i].content);

    for (gsize j = 0; j < G_N_ELEMENTS(required); j++)
      if (strcmp(required[j][0], cases[i].type) == 0)
        needed = required[j][1];
    assert_non_null(needed);
    {
      g_autofree char *text =
          g_strdup_printf("%s: t1\n%s\tcontent%s%s\n", cases[i].type, needed,
                          cases[i].content ? " " : "", cases[i].content ? cases[i].content : "");
      g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", text, strlen(text));
      const StorageCfgStorage *storage = storagecfg_find(cfg, "t1");
      g_autofree char *warnings = show_warnings(cfg), *list = NULL;
      g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
      g_autofree char *begin = g_strdup_printf("%u t1 ", g_strv_length(lines) - 1), *want = NULL;
      g_auto(GStrv) wanted =
          cases[i].warnings ? g_strsplit(cases[i].warnings, "|", -1) : g_new0(char *, 1);

      for (char **warning = wanted; *warning; warning++) {
        char *full = g_strconcat(begin, *warning, NULL);

        g_free(*warning);
        *warning = full;
      }
      want = g_strjoinv("\n", wanted);
      expect(name, "warnings", warnings, want);
      list = storage->broken ? g_strdup("!")
                             : g_strjoinv(",", storagecfg_value(storage, "content")->list);
      expect(name, "content", list, cases[i].result ? cases[i].result : "!");
    }
  }
  assert_int_equal(failures, 0);
}

/* --- values --- */

#define ENUM(value, all) "value '" value "' does not have a value in the enumeration '" all "'"
#define NO_PATH "invalid format - value does not look like a valid absolute path"
#define NO_SERVER "invalid format - value does not look like a valid server name or IP address"
#define NO_PORTAL "invalid format - value does not look like a valid portal address"
#define NO_NODE "invalid format - value does not look like a valid node name"
#define NO_VALUE "got undefined value"
#define NO_INTEGER(value) "type check ('integer') failed - got '" value "'"
#define NO_KEY "invalid format - missing key in comma-separated list property"
#define NO_DEFAULT_KEY                                                                             \
  "invalid format - value without key, but schema does not define a default key"
#define HEX "00:11:22:33:44:55:66:77:88:99:aA:bB:cC:dD:eE:fF"

static void test_values(void **state)
{
  static const struct {
    const char *property, *value; /* NULL: none given */
    const char *result;           /* NULL: refused */
    const char *refusal;
  } cases[] = {
      /* booleans: P11 */
      {"disable", NULL, "1", NULL},
      {"disable", "1", "1", NULL},
      {"disable", "0", "0", NULL},
      {"disable", "yes", NULL, NO_BOOLEAN("yes")},
      {"disable", "no", NULL, NO_BOOLEAN("no")},
      {"disable", "on", NULL, NO_BOOLEAN("on")},
      {"disable", "off", NULL, NO_BOOLEAN("off")},
      {"disable", "true", NULL, NO_BOOLEAN("true")},
      {"disable", "false", NULL, NO_BOOLEAN("false")},
      {"disable", "2", NULL, NO_BOOLEAN("2")},
      {"disable", "01", NULL, NO_BOOLEAN("01")},
      {"disable", "+1", NULL, NO_BOOLEAN("+1")},
      {"sparse", NULL, "1", NULL},
      {"mkdir", "yes", NULL, NO_BOOLEAN("yes")},
      {"krbd", "0", "0", NULL},
      /* nodes: P14 */
      {"nodes", "a,b c;d", "a,b,c,d", NULL},
      {"nodes", "b,a,b", "a,b", NULL},
      {"nodes", "a", "a", NULL},
      {"nodes", "A-1", "A-1", NULL},
      {"nodes", "1", "1", NULL},
      {"nodes", ",", "", NULL},
      {"nodes", "a_b", NULL, NO_NODE},
      {"nodes", "node-1.example", NULL, NO_NODE},
      {"nodes", "good,bad_one", NULL, NO_NODE},
      {"nodes", "-a", NULL, NO_NODE},
      {"nodes", "a-", NULL, NO_NODE},
      {"nodes", NULL, NULL, NO_VALUE},
      /* bwlimit: P15 */
      {"bwlimit", "default=100,move=80.5,restore=60", "default=100,move=80.5,restore=60", NULL},
      {"bwlimit", "move=0", "move=0", NULL},
      {"bwlimit", "migration=1e3,clone=.5", "migration=1e3,clone=.5", NULL},
      {"bwlimit", "move=1,", "move=1,", NULL},
      {"bwlimit", "move=1, ,clone=2", "move=1, ,clone=2", NULL},
      {"bwlimit", ",", ",", NULL},
      {"bwlimit", "100", NULL, NO_DEFAULT_KEY},
      {"bwlimit", "move=-1", NULL, "invalid format - move: value must have a minimum value of 0"},
      {"bwlimit", "foo=1", NULL,
       "invalid format - invalid key in comma-separated list property: foo"},
      {"bwlimit", "move=1,move=2", NULL,
       "invalid format - duplicate key in comma-separated list property: move"},
      {"bwlimit", "move=", NULL, NO_KEY},
      {"bwlimit", "=1", NULL, NO_KEY},
      {"bwlimit", "move=x", NULL, "invalid format - move: type check ('number') failed - got 'x'"},
      {"bwlimit", "move=1 MiB", NULL,
       "invalid format - move: type check ('number') failed - got '1 MiB'"},
      {"bwlimit", "move=1, clone=2", NULL,
       "invalid format - invalid key in comma-separated list property:  clone"},
      {"bwlimit", "move=1;clone=2", NULL,
       "invalid format - move: type check ('number') failed - got '1;clone=2'"},
      {"bwlimit", "Move=1", NULL,
       "invalid format - invalid key in comma-separated list property: Move"},
      {"bwlimit", NULL, NULL, NO_VALUE},
      /* prune-backups */
      {"prune-backups", "keep-all=1", "keep-all=1", NULL},
      {"prune-backups", "keep-all=yes", "keep-all=yes", NULL},
      {"prune-backups", "keep-all=0,keep-last=3", "keep-all=0,keep-last=3", NULL},
      {"prune-backups", "keep-all=1,keep-last=0", "keep-all=1,keep-last=0", NULL},
      {"prune-backups",
       "keep-last=1,keep-hourly=2,keep-daily=3,keep-weekly=4,keep-monthly=5,keep-yearly=6",
       "keep-last=1,keep-hourly=2,keep-daily=3,keep-weekly=4,keep-monthly=5,keep-yearly=6", NULL},
      {"prune-backups", "keep-last=0", "keep-last=0", NULL},
      {"prune-backups", "keep-all=1,keep-last=1", NULL,
       "invalid format - keep-all cannot be set together with other options."},
      {"prune-backups", "keep-all=2", NULL,
       "invalid format - keep-all: type check ('boolean') failed - got '2'"},
      {"prune-backups", "keep-last=1.5", NULL,
       "invalid format - keep-last: type check ('integer') failed - got '1.5'"},
      {"prune-backups", "keep-last=-1", NULL,
       "invalid format - keep-last: value must have a minimum value of 0"},
      {"prune-backups", "keep-never=1", NULL,
       "invalid format - invalid key in comma-separated list property: keep-never"},
      {"prune-backups", "3", NULL, NO_DEFAULT_KEY},
      /* names of LVM: P17 */
      {"vgname", "pve", "pve", NULL},
      {"vgname", "00", "00", NULL},
      {"thinpool", "0.0", "0.0", NULL},
      {"vgname", "a.b_c-d", "a.b_c-d", NULL},
      {"vgname", "A9", "A9", NULL},
      {"vgname", "pve/data", NULL, NAME("pve/data")},
      {"vgname", "-pve", NULL, NAME("-pve")},
      {"vgname", ".pve", NULL, NAME(".pve")},
      {"vgname", "_pve", NULL, NAME("_pve")},
      {"vgname", "pve+x", NULL, NAME("pve+x")},
      {"vgname", "pve_", NULL, NAME("pve_")},
      {"vgname", "pve-", NULL, NAME("pve-")},
      {"vgname", "pve.", NULL, NAME("pve.")},
      {"vgname", "p", NULL, NAME("p")},
      {"thinpool", "d", NULL, NAME("d")},
      {"thinpool", "da ta", NULL, NAME("da ta")},
      {"thinpool", "d\xc3\xa4ta", NULL, NAME("d\xc3\xa4ta")},
      {"vgname", NULL, NULL, NO_VALUE},
      /* volume ids */
      {"base", "iscsi:0.0.1.scsi-x", "iscsi:0.0.1.scsi-x", NULL},
      {"base", "ab:c:d", "ab:c:d", NULL},
      {"base", "a:x", NULL, "invalid format - unable to parse volume ID 'a:x'"},
      {"base", "iscsi:", NULL, "invalid format - unable to parse volume ID 'iscsi:'"},
      {"base", "iscsi", NULL, "invalid format - unable to parse volume ID 'iscsi'"},
      {"base", "1ab:x", NULL, "invalid format - unable to parse volume ID '1ab:x'"},
      /* paths */
      {"path", "/srv", "/srv", NULL},
      {"path", "/a b", "/a b", NULL},
      {"path", "//", "//", NULL},
      {"path", "/a;b", "/a;b", NULL},
      {"path", "/../x", "/../x", NULL},
      {"path", "/", NULL, NO_PATH},
      {"path", "srv", NULL, NO_PATH},
      {"path", "./srv", NULL, NO_PATH},
      {"path", "/;a", NULL, NO_PATH},
      {"path", "/(a", NULL, NO_PATH},
      {"path", "/)a", NULL, NO_PATH},
      {"export", "/e", "/e", NULL},
      {"export", "e", NULL, NO_PATH},
      {"subdir", "/s", "/s", NULL},
      {"subdir", "s", NULL, NO_PATH},
      {"mountpoint", "/tank", "/tank", NULL},
      {"mountpoint", "none", NULL, NO_PATH},
      /* options */
      {"options", "vers=4.2,soft", "vers=4.2,soft", NULL},
      {"options", "vers=4 soft", NULL, "invalid format - invalid options 'vers=4 soft'"},
      /* servers */
      {"server", "10.0.0.1", "10.0.0.1", NULL},
      {"server", "999.1.1.1", "999.1.1.1", NULL},
      {"server", "nas", "nas", NULL},
      {"server", "nas-1.example.org", "nas-1.example.org", NULL},
      {"server", "::1", "::1", NULL},
      {"server", "fe80::1:2", "fe80::1:2", NULL},
      {"server", "2001:db8::10.0.0.1", "2001:db8::10.0.0.1", NULL},
      {"server", "nas.", NULL, NO_SERVER},
      {"server", ".nas", NULL, NO_SERVER},
      {"server", "-nas", NULL, NO_SERVER},
      {"server", "n_as", NULL, NO_SERVER},
      {"server", "a..b", NULL, NO_SERVER},
      {"server", "nas:111", NULL, NO_SERVER},
      {"server", "[::1]", NULL, NO_SERVER},
      {"server", "fe80::1%eth0", NULL, NO_SERVER},
      {"server", "1:2:3", NULL, NO_SERVER},
      /* portals */
      {"portal", "10.0.0.1", "10.0.0.1", NULL},
      {"portal", "10.0.0.1:3260", "10.0.0.1:3260", NULL},
      {"portal", "san.example:3260", "san.example:3260", NULL},
      {"portal", "-..-", "-..-", NULL},
      {"portal", "[::1]:3260", "[::1]:3260", NULL},
      {"portal", "[10.0.0.1]:3260", "[10.0.0.1]:3260", NULL},
      {"portal", "[san]", "[san]", NULL},
      {"portal", "::1", "::1", NULL},
      {"portal", "::1.3260", "::1.3260", NULL},
      {"portal", "san:", NULL, NO_PORTAL},
      {"portal", "san:x", NULL, NO_PORTAL},
      {"portal", ":3260", NULL, NO_PORTAL},
      {"portal", "[::1", NULL, NO_PORTAL},
      {"portal", "[::1]3260", NULL, NO_PORTAL},
      {"portal", "[]", NULL, NO_PORTAL},
      {"portal", "s_n", NULL, NO_PORTAL},
      {"portal", "a b", NULL, NO_PORTAL},
      {"portal", "1:2:3", NULL, NO_PORTAL},
      {"monhost", "10.0.0.3 10.0.0.1,10.0.0.2:6789", "10.0.0.3,10.0.0.1,10.0.0.2:6789", NULL},
      {"monhost", "[::1]:6789;mon2", "[::1]:6789,mon2", NULL},
      {"monhost", "mon1,m_n2", NULL, NO_PORTAL},
      /* folders of content */
      {"content-dirs", "iso=iso/x,vztmpl=ct", "iso=iso/x,vztmpl=ct", NULL},
      {"content-dirs", "iso=a iso=b", "iso=b", NULL},
      {"content-dirs", "iso=.hidden", "iso=.hidden", NULL},
      {"content-dirs", "iso=/abs", "iso=/abs", NULL},
      {"content-dirs", "iso=a=b", "iso=a=b", NULL},
      {"content-dirs", ",", "", NULL},
      {"content-dirs", "iso", NULL, "invalid format - invalid override 'iso'"},
      {"content-dirs", "iso=", NULL, "invalid format - invalid override 'iso='"},
      {"content-dirs", "=x", NULL, "invalid format - invalid override '=x'"},
      {"content-dirs", "ISO=x", NULL, "invalid format - invalid override 'ISO=x'"},
      {"content-dirs", "iso=../x", NULL, "invalid format - invalid override 'iso=../x'"},
      {"content-dirs", "iso=x/..", NULL, "invalid format - invalid override 'iso=x/..'"},
      {"content-dirs", "iso=x.", NULL, "invalid format - invalid override 'iso=x.'"},
      {"content-dirs", "bogus=x", NULL, "invalid format - invalid content type 'bogus'"},
      /* numbers */
      {"port", "1", "1", NULL},
      {"port", "65535", "65535", NULL},
      {"port", "08007", "8007", NULL},
      {"port", "+22", "22", NULL},
      {"port", "0", NULL, "value must have a minimum value of 1"},
      {"port", "65536", NULL, "value must have a maximum value of 65535"},
      {"port", "-1", NULL, "value must have a minimum value of 1"},
      {"port", "8007.0", NULL, NO_INTEGER("8007.0")},
      {"port", "0x16", NULL, NO_INTEGER("0x16")},
      {"port", "99999999999999999999", NULL, "value must have a maximum value of 65535"},
      {"port", NULL, NULL, NO_VALUE},
      {"max-protected-backups", "-1", "-1", NULL},
      {"max-protected-backups", "0", "0", NULL},
      {"max-protected-backups", "5", "5", NULL},
      {"max-protected-backups", "-2", NULL, "value must have a minimum value of -1"},
      {"max-protected-backups", "many", NULL, NO_INTEGER("many")},
      {"saferemove-stepsize", "1", "1", NULL},
      {"saferemove-stepsize", "32", "32", NULL},
      {"saferemove-stepsize", "3", NULL, ENUM("3", "1, 2, 4, 8, 16, 32")},
      {"saferemove-stepsize", "64", NULL, ENUM("64", "1, 2, 4, 8, 16, 32")},
      {"saferemove-stepsize", "x", NULL, NO_INTEGER("x")},
      /* enumerations */
      {"format", "raw", "raw", NULL},
      {"format", "qcow2", "qcow2", NULL},
      {"format", "vdi", NULL, ENUM("vdi", "raw, qcow2, subvol, vmdk")},
      {"format", "RAW", NULL, ENUM("RAW", "raw, qcow2, subvol, vmdk")},
      {"preallocation", "off", "off", NULL},
      {"preallocation", "metadata", "metadata", NULL},
      {"preallocation", "falloc", "falloc", NULL},
      {"preallocation", "full", "full", NULL},
      {"preallocation", "some", NULL, ENUM("some", "off, metadata, falloc, full")},
      {"smbversion", "default", "default", NULL},
      {"smbversion", "3.11", "3.11", NULL},
      {"smbversion", "1.0", NULL, ENUM("1.0", "default, 2.0, 2.1, 3, 3.0, 3.11")},
      {"smbversion", "3.1.1", NULL, ENUM("3.1.1", "default, 2.0, 2.1, 3, 3.0, 3.11")},
      /* the rest */
      {"fingerprint", HEX ":" HEX, HEX ":" HEX, NULL},
      {"fingerprint", HEX, NULL, "value does not match the regex pattern"},
      {"fingerprint", HEX ":" HEX ":00", NULL, "value does not match the regex pattern"},
      {"fs-name", "cephfs", "cephfs", NULL},
      {"fs-name", "c_-9", "c_-9", NULL},
      {"fs-name", "c", NULL, "invalid format - invalid configuration ID 'c'"},
      {"fs-name", "9c", NULL, "invalid format - invalid configuration ID '9c'"},
      {"fs-name", "c.fs", NULL, "invalid format - invalid configuration ID 'c.fs'"},
      {"is_mountpoint", "yes", "yes", NULL},
      {"is_mountpoint", "/mnt/x", "/mnt/x", NULL},
      {"is_mountpoint", NULL, NULL, NO_VALUE},
      {"target", "iqn.2003-01.org.x:y z", "iqn.2003-01.org.x:y z", NULL},
      {"saferemove_throughput", "-10485760", "-10485760", NULL},
  };

  failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    const StorageCfgProperty *property = storagecfg_property_find(cases[i].property);
    g_autofree char *name = g_strdup_printf("%s %s", cases[i].property, cases[i].value);
    g_autoptr(GError) error = NULL;

    assert_non_null(property);
    storagecfg_check_value(property, cases[i].value, &error);
    expect(name, "refusal", error ? error->message : "", cases[i].refusal ? cases[i].refusal : "");
    for (const StorageCfgType *const *type = storagecfg_types(); *type && cases[i].result; type++) {
      g_autofree char *text = g_strdup_printf("%s: t1\n\t%s %s\n", (*type)->name, cases[i].property,
                                              cases[i].value ? cases[i].value : "");
      g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", text, strlen(text));
      const StorageCfgStorage *storage = storagecfg_find(cfg, "t1");
      const StorageCfgValue *value = storage ? storagecfg_value(storage, cases[i].property) : NULL;
      g_autofree char *list = value && value->list ? g_strjoinv(",", value->list) : NULL;

      /* What a type does with formats and content is another table's. */
      if (value && strcmp(cases[i].property, "content-dirs") != 0)
        expect(name, "value", list ? list : value->text, cases[i].result);
    }
  }
  assert_int_equal(failures, 0);
}

static void test_lengths(void **state)
{
  static const struct {
    const char *property, *begin;
    gsize length;
    gboolean ok;
  } cases[] = {
      {"password", "", 256, TRUE},
      {"password", "", 257, FALSE},
      {"domain", "", 256, TRUE},
      {"domain", "", 257, FALSE},
      {"content-dirs", "iso=", 254, TRUE},
      {"content-dirs", "iso=", 255, FALSE},
      {"content-dirs", "iso=a/", 254, TRUE},
      {"content-dirs", "iso=a/", 255, FALSE},
      {"path", "/", 5000, TRUE},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autofree char *rest = g_strnfill(cases[i].length, 'x'),
                    *value = g_strconcat(cases[i].begin, rest, NULL);

    if (storagecfg_check_value(storagecfg_property_find(cases[i].property), value, NULL) !=
        cases[i].ok)
      fail_msg("%s of %s and %zu characters", cases[i].property, cases[i].begin, cases[i].length);
  }
  {
    GString *path = g_string_new("iso=");

    while (path->len < 4 + 1022)
      g_string_append_c(path, path->len % 100 ? 'x' : '/');
    assert_true(storagecfg_check_value(storagecfg_property_find("content-dirs"), path->str, NULL));
    g_string_append_c(path, 'x');
    assert_false(storagecfg_check_value(storagecfg_property_find("content-dirs"), path->str, NULL));
    g_string_free(path, TRUE);
  }
}

/* --- which type has which property --- */

#define B " nodes disable content"
#define FS                                                                                         \
  " content-dirs prune-backups max-protected-backups format mkdir create-base-path "               \
  "create-subdirs bwlimit"

static const struct {
  const char *type, *required, *optional, *defaults;
} tables[] = {
    {"lvmthin", "vgname thinpool", "bwlimit" B, "content=images,rootdir"},
    {"lvm", "vgname",
     "base saferemove saferemove-stepsize saferemove_throughput tagged_only shared bwlimit "
     "snapshot-as-volume-chain" B,
     "content=images"},
    {"dir", "path", "shared is_mountpoint preallocation snapshot-as-volume-chain" FS B,
     "content=images,rootdir"},
    {"nfs", "server export", "path options preallocation snapshot-as-volume-chain" FS B,
     "content=images path=/mnt/pve/t1 shared=1"},
    {"cifs", "server share",
     "path subdir username password domain smbversion options preallocation "
     "snapshot-as-volume-chain" FS B,
     "content=images path=/mnt/pve/t1 shared=1"},
    {"btrfs", "path",
     "shared is_mountpoint nocow preallocation format mkdir create-base-path create-subdirs "
     "prune-backups "
     "max-protected-backups" B,
     "content=images,rootdir"},
    {"cephfs", "", "path monhost subdir options username fuse keyring fs-name" FS B,
     "content=backup path=/mnt/pve/t1 shared=1"},
    {"iscsi", "portal target", "bwlimit" B, "content=images shared=1"},
    {"iscsidirect", "portal target", "bwlimit" B, "content=images shared=1"},
    {"rbd", "", "monhost pool data-pool namespace username krbd keyring bwlimit" B,
     "content=images shared=1"},
    {"zfspool", "pool", "blocksize sparse mountpoint bwlimit" B, "content=images,rootdir"},
    {"zfs", "portal target pool blocksize iscsiprovider",
     "nowritecache sparse comstar_hg comstar_tg lio_tpg zfs-base-path bwlimit" B,
     "content=images shared=1"},
    {"pbs", "server datastore",
     "namespace port username password encryption-key master-pubkey fingerprint prune-backups "
     "max-protected-backups" B,
     "content=backup shared=1"},
    {"esxi", "server username", "password skip-cert-verification port shared" B, "content=import"},
};

static const char *const all_properties[][2] = {
    {"authsupported", "x"},
    {"base", "ab:c"},
    {"blocksize", "4k"},
    {"bwlimit", "move=1"},
    {"comstar_hg", "x"},
    {"comstar_tg", "x"},
    {"content-dirs", "iso=x"},
    {"create-base-path", "1"},
    {"create-subdirs", "1"},
    {"data-pool", "x"},
    {"datastore", "x"},
    {"disable", "1"},
    {"domain", "x"},
    {"encryption-key", "x"},
    {"export", "/e"},
    {"fingerprint", HEX ":" HEX},
    {"format", "raw"},
    {"fs-name", "fs"},
    {"fuse", "1"},
    {"is_mountpoint", "1"},
    {"iscsiprovider", "LIO"},
    {"keyring", "x"},
    {"krbd", "1"},
    {"lio_tpg", "x"},
    {"master-pubkey", "x"},
    {"max-protected-backups", "1"},
    {"mkdir", "1"},
    {"monhost", "m"},
    {"mountpoint", "/m"},
    {"namespace", "x"},
    {"nocow", "1"},
    {"nodes", "n"},
    {"nowritecache", "1"},
    {"options", "x"},
    {"password", "x"},
    {"path", "/p"},
    {"pool", "x"},
    {"port", "1"},
    {"portal", "p"},
    {"preallocation", "off"},
    {"prune-backups", "keep-all=1"},
    {"saferemove", "1"},
    {"saferemove-stepsize", "1"},
    {"saferemove_throughput", "1"},
    {"server", "s"},
    {"share", "x"},
    {"shared", "1"},
    {"skip-cert-verification", "1"},
    {"smbversion", "3"},
    {"snapshot-as-volume-chain", "1"},
    {"sparse", "1"},
    {"storage", "x"},
    {"subdir", "/s"},
    {"tagged_only", "1"},
    {"target", "x"},
    {"thinpool", "data"},
    {"type", "x"},
    {"username", "u"},
    {"vgname", "pve"},
    {"zfs-base-path", "/z"},
    {"maxfiles", "1"},
    {"server2", "s"},
    {"transport", "tcp"},
    {"volume", "v"},
    {"comment", "x"},
    {"priority", "1"},
};

static gboolean is_in(const char *words, const char *word)
{
  g_auto(GStrv) list = g_strsplit(words, " ", -1);

  return g_strv_contains((const char *const *)list, word);
}

static void append_required(GString *text, const char *required, const char *without)
{
  for (gsize i = 0; i < G_N_ELEMENTS(all_properties); i++)
    if (is_in(required, all_properties[i][0]) && g_strcmp0(all_properties[i][0], without) != 0)
      g_string_append_printf(text, "\t%s %s\n", all_properties[i][0], all_properties[i][1]);
}

static void test_options(void **state)
{
  failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(tables); i++)
    for (gsize j = 0; j < G_N_ELEMENTS(all_properties); j++) {
      const char *property = all_properties[j][0];
      g_autoptr(GString) text = g_string_new(NULL);
      gboolean known = storagecfg_property_find(property) != NULL,
               is_option =
                   is_in(tables[i].required, property) || is_in(tables[i].optional, property);
      g_autofree char *want = NULL, *got = NULL,
                      *name = g_strconcat(tables[i].type, ": ", property, NULL);
      g_autoptr(StorageCfg) cfg = NULL;

      g_string_append_printf(text, "%s: t1\n\t%s %s\n", tables[i].type, property,
                             all_properties[j][1]);
      append_required(text, tables[i].required, property);
      cfg = storagecfg_parse("storage.cfg", text->str, text->len);
      got = show_warnings(cfg);
      /* Only types with formats of their own take one. */
      if (strcmp(property, "format") == 0 && strcmp(tables[i].type, "cephfs") == 0)
        want = g_strdup("2 t1 dropped storage does not support format 'raw'");
      else if (is_option)
        want = g_strdup("");
      else if (!known)
        want = g_strdup_printf("2 t1 dropped unable to parse value of '%s': unknown property type",
                               property);
      else
        want =
            g_strdup_printf("2 t1 dropped unable to parse value of '%s': unexpected property '%s'",
                            property, property);
      expect(name, "warnings", got, want);
    }
  assert_int_equal(failures, 0);
}

static void test_required(void **state)
{
  failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
    g_auto(GStrv) required = g_strsplit(tables[i].required, " ", -1);
    g_autoptr(GString) whole = g_string_new(NULL);
    g_autoptr(StorageCfg) well = NULL;
    GString *defaults = g_string_new(NULL);

    for (char **missing = required; *missing && **missing; missing++) {
      g_autoptr(GString) text = g_string_new(NULL);
      g_autoptr(StorageCfg) cfg = NULL;
      g_autofree char *want = NULL, *got = NULL;

      g_string_append_printf(text, "%s: t1\n", tables[i].type);
      append_required(text, tables[i].required, *missing);
      cfg = storagecfg_parse("storage.cfg", text->str, text->len);
      want = g_strdup_printf("%u t1 fatal missing value for required option '%s'",
                             g_strv_length(required), *missing);
      got = show_warnings(cfg);
      expect(tables[i].type, *missing, got, want);
      assert_true(storagecfg_find(cfg, "t1")->broken);
    }
    g_string_append_printf(whole, "%s: t1\n", tables[i].type);
    append_required(whole, tables[i].required, NULL);
    well = storagecfg_parse("storage.cfg", whole->str, whole->len);
    for (guint j = 0; j < storagecfg_find(well, "t1")->values->len; j++) {
      const StorageCfgValue *value = storagecfg_find(well, "t1")->values->pdata[j];
      g_autofree char *list = value->list ? g_strjoinv(",", value->list) : NULL;

      if (!value->line)
        g_string_append_printf(defaults, "%s%s=%s", defaults->len ? " " : "",
                               storagecfg_property_name(value->property),
                               list ? list : value->text);
    }
    expect(tables[i].type, "defaults", defaults->str, tables[i].defaults);
    g_string_free(defaults, TRUE);
  }
  assert_int_equal(failures, 0);
}

/* --- a storage as a whole --- */

#define NFS "nfs: t1\n\tserver s\n\texport /e\n"

static void test_storages(void **state)
{
  static const Case cases[] = {
      {"what Proxmox comes with",
       "dir: local\n\tpath /var/lib/vz\n\tcontent iso,vztmpl,backup\n\nlvmthin: "
       "local-lvm\n\tthinpool data\n"
       "\tvgname pve\n\tcontent rootdir,images\n",
       "local:dir{content=backup,iso,vztmpl path=/var/lib/vz}\nlocal-lvm:lvmthin{" WELL "}", NULL,
       0},
      {"the type once more", "lvmthin: t1\n\ttype lvmthin\n" T, T1, NULL, 0},
      {"the type twice", "lvmthin: t1\n\ttype lvmthin\n\ttype lvmthin\n" T, T1,
       "3 t1 " DUPLICATE("type"), 0},
      {"another type", "lvmthin: t1\n\ttype dir\n" T, T1,
       "2 t1 " DROPPED("type", "unexpected property 'type'"), 0},
      {"no type", "lvmthin: t1\n\ttype\n" T, T1,
       "2 t1 " DROPPED("type", "unexpected property 'type'"), 0},
      {"lvmthin is not shared", "lvmthin: t1\n" T "\tshared 1\n", T1,
       "4 t1 " DROPPED("shared", "unexpected property 'shared'"), 0},
      {"nfs is", NFS, "t1:nfs{content=images export=/e path=/mnt/pve/t1 server=s shared=1}", NULL,
       0},
      {"nfs says so itself", NFS "\tshared 0\n",
       "t1:nfs{content=images export=/e path=/mnt/pve/t1 server=s shared=1}",
       "4 t1 " DROPPED("shared", "unexpected property 'shared'"), 0},
      {"dir may be", "dir: t1\n\tpath /d\n\tshared\n",
       "t1:dir{content=images,rootdir path=/d shared=1}", NULL, 0},
      {"a path of its own", NFS "\tpath /mnt/x\n",
       "t1:nfs{content=images export=/e path=/mnt/x server=s shared=1}", NULL, 0},
      {"a bad path leaves the default", NFS "\tpath x\n",
       "t1:nfs{content=images export=/e path=/mnt/pve/t1 server=s shared=1}",
       "4 t1 " DROPPED("path", NO_PATH), 0},
      {"dir: a path with a blank", "dir: t1\n\tpath /a b\n", "t1:dir!",
       "2 t1 fatal illegal path for directory storage: /a b", 0},
      {"dir: characters of a path", "dir: t1\n\tpath /aZ0-9_.@/\n",
       "t1:dir{content=images,rootdir path=/aZ0-9_.@/}", NULL, 0},
      {"dir: a colon", "dir: t1\n\tpath /a:b\n", "t1:dir!",
       "2 t1 fatal illegal path for directory storage: /a:b", 0},
      {"btrfs as dir", "btrfs: t1\n\tpath /a+b\n", "t1:btrfs!",
       "2 t1 fatal illegal path for directory storage: /a+b", 0},
      {"nfs is not as strict", NFS "\tpath /a b\n",
       "t1:nfs{content=images export=/e path=/a b server=s shared=1}", NULL, 0},
      {"dir without a path", "dir: t1\n\tcontent iso\n", "t1:dir!",
       "2 t1 fatal missing value for required option 'path'", 0},
      {"format: not offered", "btrfs: t1\n\tpath /d\n\tformat qcow2\n",
       "t1:btrfs{content=images,rootdir path=/d}",
       "3 t1 dropped storage does not support format 'qcow2'", 0},
      {"format: offered", "btrfs: t1\n\tpath /d\n\tformat subvol\n",
       "t1:btrfs{content=images,rootdir format=subvol path=/d}", NULL, 0},
      {"format: nfs has no subvol", NFS "\tformat subvol\n",
       "t1:nfs{content=images export=/e path=/mnt/pve/t1 server=s shared=1}",
       "4 t1 dropped storage does not support format 'subvol'", 0},
      {"format: none in cephfs", "cephfs: t1\n\tformat raw\n",
       "t1:cephfs{content=backup path=/mnt/pve/t1 shared=1}",
       "2 t1 dropped storage does not support format 'raw'", 0},
      {"content-dirs: what the type has not", "cephfs: t1\n\tcontent-dirs images=x,iso=y\n",
       "t1:cephfs{content=backup content-dirs=iso=y path=/mnt/pve/t1 shared=1}",
       "2 t1 " UNSUPPORTED("images"), 0},
      {"maxfiles is gone", "dir: t1\n\tpath /d\n\tmaxfiles 3\n",
       "t1:dir{content=images,rootdir path=/d}",
       "3 t1 " DROPPED("maxfiles", "unknown property type"), 0},
      {"glusterfs is gone", "glusterfs: t1\n\tpath /d\n\tvolume v\n\tbogus\n\nlvmthin: t2\n" T, T2,
       "1 t1 skipped unsupported type 'glusterfs'", 0},
      {"authsupported is nobody's", "rbd: t1\n\tauthsupported x\n",
       "t1:rbd{content=images shared=1}",
       "2 t1 " DROPPED("authsupported", "unexpected property 'authsupported'"), 0},
      {"a required one dropped", "lvmthin: t1\n\tthinpool data\n\tvgname\n", "t1:lvmthin!",
       "3 t1 " DROPPED("vgname", NO_VALUE) "\n3 t1 " NO_VG, 0},
      {"broken ones harm no others",
       "lvmthin: br\n\nlvmthin: t1\n" T "\ndir: br2\n\nlvmthin: t2\n" T,
       "br:lvmthin!\n" T1 "\nbr2:dir!\n" T2,
       "1 br " NO_VG "\n7 br2 fatal missing value for required option 'path'", 0},
      {"the line is the section's last", "lvmthin: t1\n\tthinpool data\n# x\n\tfoo 1\n# y\n\n",
       "t1:lvmthin!", "4 t1 " DROPPED("foo", "unknown property type") "\n4 t1 " NO_VG, 0},
  };

  check_cases(cases, G_N_ELEMENTS(cases));
}

static void test_answers(void **state)
{
  static const char text[] =
      "lvmthin: t1\n" T "\n"
      "lvmthin: t1\n\tthinpool data2\n\tvgname pve2\n\tnodes n1\n\n"
      "lvmthin: t2\n" T "\tdisable\n\tnodes ,\n\nglusterfs: g1\n\tvolume v\n\tserver s\n\nhello\n";
  g_autoptr(StorageCfg) cfg = storagecfg_parse("/etc/pve/storage.cfg", text, strlen(text));
  const StorageCfgStorage *t1 = storagecfg_find(cfg, "t1"), *t2 = storagecfg_find(cfg, "t2");
  const GPtrArray *retired = storagecfg_retired(cfg), *warnings = storagecfg_warnings(cfg);
  g_autofree char *first = storagecfg_warning_format(cfg, warnings->pdata[0]),
                  *second = storagecfg_warning_format(cfg, warnings->pdata[1]);
  g_autoptr(StorageCfg) nothing = storagecfg_parse("x", NULL, 0);

  assert_int_equal(t1->order, 2);
  assert_int_equal(t2->order, 3);
  assert_int_equal(t1->line, 5);
  assert_true(storagecfg_is_on_node(t1, "n1"));
  assert_false(storagecfg_is_on_node(t1, "n2"));
  assert_true(storagecfg_is_enabled(t1));
  assert_false(storagecfg_is_on_node(t2, "n1"));
  assert_false(storagecfg_is_enabled(t2));
  assert_true(storagecfg_has_content(t1, "rootdir"));
  assert_false(storagecfg_has_content(t1, "iso"));
  assert_null(storagecfg_find(cfg, "t3"));
  assert_null(storagecfg_string(t1, "path"));
  assert_int_equal(retired->len, 1);
  assert_string_equal(storagecfg_string(retired->pdata[0], "volume"), "v");
  assert_string_equal(storagecfg_string(retired->pdata[0], "path"), "/mnt/pve/g1");
  assert_string_equal(
      first, "file /etc/pve/storage.cfg line 16 (skip section 'g1'): unsupported type 'glusterfs'");
  assert_string_equal(second, "file /etc/pve/storage.cfg line 20 - ignore config line: hello");
  assert_string_equal(storagecfg_digest(nothing), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* --- edits --- */

typedef struct {
  const char *name, *before;
  const char *type, *id;       /* type: add */
  const char *set[4][2];       /* value NULL: bare */
  const char *deleted;         /* by blanks; type and no settings nor this: remove */
  const char *after, *refusal; /* one of them */
} Edit;

static StorageCfg *run_edit(const StorageCfg *cfg, const Edit *edit, GError **error)
{
  g_auto(GStrv) deleted = edit->deleted ? g_strsplit(edit->deleted, " ", -1) : NULL;
  StorageCfgSetting settings[4];
  gsize n = 0;

  for (; n < 4 && edit->set[n][0]; n++)
    settings[n] = (StorageCfgSetting){edit->set[n][0], edit->set[n][1]};
  if (edit->type)
    return storagecfg_add(cfg, edit->type, edit->id, settings, n, error);
  if (n || deleted)
    return storagecfg_change(cfg, edit->id, settings, n, (const char *const *)deleted, error);
  return storagecfg_remove(cfg, edit->id, error);
}

#define SET(key, value)                                                                            \
  {                                                                                                \
    {                                                                                              \
      key, value                                                                                   \
    }                                                                                              \
  }
#define NEW                                                                                        \
  {                                                                                                \
    {"vgname", "pve"},                                                                             \
    {                                                                                              \
      "thinpool", "data"                                                                           \
    }                                                                                              \
  }
#define REMAINS "# about t2\nlvmthin: t2\n" T "\n# the end\n"

static void test_edits(void **state)
{
  static const Edit edits[] = {
      {"add to nothing", "", "lvmthin", "t1", NEW, NULL, "lvmthin: t1\n" T "\n", NULL},
      {"add behind an empty line", "# x\n\n", "lvmthin", "t1", NEW, NULL,
       "# x\n\nlvmthin: t1\n" T "\n", NULL},
      {"add behind an open section", "foo: f\n\tbar", "lvmthin", "t1", NEW, NULL,
       "foo: f\n\tbar\n\nlvmthin: t1\n" T "\n", NULL},
      {"add behind a line of blanks", "foo: f\n\t\n", "lvmthin", "t1", NEW, NULL,
       "foo: f\n\t\n\nlvmthin: t1\n" T "\n", NULL},
      {"add: disable first, then the required, then by name",
       "",
       "lvmthin",
       "t1",
       {{"vgname", "pve"}, {"thinpool", "data"}, {"nodes", "a,b"}, {"disable", NULL}},
       NULL,
       "lvmthin: t1\n\tdisable\n" T "\tnodes a,b\n\n",
       NULL},
      {"add: disable 0 is not written",
       "",
       "lvmthin",
       "t1",
       {{"vgname", "pve"}, {"thinpool", "data"}, {"disable", "0"}},
       NULL,
       "lvmthin: t1\n" T "\n",
       NULL},
      {"add: booleans as numbers",
       "",
       "lvm",
       "t1",
       {{"vgname", "pve"}, {"shared", NULL}, {"saferemove", "0"}},
       NULL,
       "lvm: t1\n\tvgname pve\n\tsaferemove 0\n\tshared 1\n\n",
       NULL},
      {"add: taken", "lvmthin: t1\n" T, "lvmthin", "t1", NEW, NULL, NULL,
       "storage ID 't1' already defined"},
      {"add: taken by a broken one", "lvmthin: t1\n", "lvmthin", "t1", NEW, NULL, NULL,
       "storage ID 't1' already defined"},
      {"add: a bad id", "", "lvmthin", "t", NEW, NULL, NULL,
       "storage ID 't' cannot be shorter than 2 characters"},
      {"add: an id with a line feed", "", "lvmthin", "t1\ndir: x", NEW, NULL, NULL,
       "storage ID 't1\ndir: x' contains illegal characters"},
      {"add: no type", "", "foo", "t1", NEW, NULL, NULL, "unknown storage type 'foo'"},
      {"add: retired", "", "glusterfs", "t1", SET("volume", "v"), NULL, NULL,
       "storage type 'glusterfs' is retired"},
      {"add: something missing", "", "lvmthin", "t1", SET("vgname", "pve"), NULL, NULL,
       "missing value for required option 'thinpool'"},
      {"add: another type's property", "", "lvmthin", "t1", SET("path", "/p"), NULL, NULL,
       "path: a storage of type lvmthin does not have this property"},
      {"add: nobody's", "", "lvmthin", "t1", SET("foo", "1"), NULL, NULL,
       "foo: no type of storage has this property"},
      {"add: a bad value", "", "lvmthin", "t1", SET("vgname", "p"), NULL, NULL,
       "vgname: invalid format - lvm name 'p' contains illegal characters"},
      {"add: a value with a line feed", "", "iscsi", "t1", SET("target", "x\n\tnodes a"), NULL,
       NULL, "target: property contains a line feed"},
      {"add: content that it has not",
       "",
       "lvmthin",
       "t1",
       {{"vgname", "pve"}, {"thinpool", "data"}, {"content", "images,iso"}},
       NULL,
       NULL,
       "content: storage type lvmthin does not support all of 'images,iso'"},
      {"add: a format that it has not",
       "",
       "btrfs",
       "t1",
       {{"path", "/p"}, {"format", "qcow2"}},
       NULL,
       NULL,
       "format: storage type btrfs does not support 'qcow2'"},
      {"add: local is a folder", "", "lvmthin", "local", NEW, NULL, NULL,
       "storage 'local' is always the folder /var/lib/vz, of type dir"},
      {"set: new ones at the end",
       "lvmthin: t1\n" T "# end\n\n" REMAINS,
       NULL,
       "t1",
       {{"nodes", "a"}, {"disable", NULL}},
       NULL,
       "lvmthin: t1\n" T "\tnodes a\n\tdisable\n# end\n\n" REMAINS,
       NULL},
      {"set: in its place", "lvmthin: t1\n # c\n nodes   x # 1\n\tnodes b\n" T "\n" REMAINS, NULL,
       "t1", SET("nodes", "a,b"), NULL,
       "lvmthin: t1\n # c\n nodes   x # 1\n\tnodes a,b\n" T "\n" REMAINS, NULL},
      {"set: keeps what was dropped and ignored", "lvmthin: t1\n\tfoo 1\nbar\n" T "\tnodes a_b\n",
       NULL, "t1", SET("nodes", "ab"), NULL,
       "lvmthin: t1\n\tfoo 1\nbar\n" T "\tnodes ab\n\tnodes a_b\n", NULL},
      {"set: no newline at the end", "lvmthin: t1\n\tthinpool data\n\tvgname pve", NULL, "t1",
       SET("nodes", "a"), NULL, "lvmthin: t1\n" T "\tnodes a\n", NULL},
      {"set: the last of an id", "lvmthin: t1\n" T "\nlvmthin: t1\n" T, NULL, "t1",
       SET("nodes", "a"), NULL, "lvmthin: t1\n" T "\nlvmthin: t1\n" T "\tnodes a\n", NULL},
      {"set: mend a broken one", "lvmthin: t1\n\tthinpool data\n", NULL, "t1", SET("vgname", "pve"),
       NULL, "lvmthin: t1\n\tthinpool data\n\tvgname pve\n", NULL},
      {"set: mend a bad value", "lvmthin: t1\n\tthinpool data\n\tvgname p\n", NULL, "t1",
       SET("vgname", "pve"), NULL, "lvmthin: t1\n\tthinpool data\n\tvgname pve\n\tvgname p\n",
       NULL},
      {"set: beside a broken one", "lvmthin: br\n\nlvmthin: t1\n" T, NULL, "t1", SET("nodes", "a"),
       NULL, "lvmthin: br\n\nlvmthin: t1\n" T "\tnodes a\n", NULL},
      {"set: still broken", "lvmthin: t1\n", NULL, "t1", SET("vgname", "pve"), NULL, NULL,
       "missing value for required option 'thinpool'"},
      {"set: fixed", "lvmthin: t1\n" T, NULL, "t1", SET("thinpool", "data2"), NULL, NULL,
       "can't change value of fixed parameter 'thinpool'"},
      {"set: not there", "lvmthin: t1\n" T, NULL, "t2", SET("nodes", "a"), NULL, NULL,
       "storage 't2' does not exist"},
      {"set: local elsewhere", "dir: local\n\tpath /srv\n", NULL, "local", SET("disable", NULL),
       NULL, NULL, "storage 'local' is always the folder /var/lib/vz: its section has no effect"},
      {"set: local", "dir: local\n\tpath /var/lib/vz\n", NULL, "local", SET("disable", NULL), NULL,
       "dir: local\n\tpath /var/lib/vz\n\tdisable\n", NULL},
      {"delete",
       "lvmthin: t1\n\tnodes a\n" T "\n" REMAINS,
       NULL,
       "t1",
       {{NULL}},
       "nodes",
       "lvmthin: t1\n" T "\n" REMAINS,
       NULL},
      {"delete: and what would take its place",
       "lvmthin: t1\n\tnodes a\n# c\n\tnodes b\n" T,
       NULL,
       "t1",
       {{NULL}},
       "nodes",
       "lvmthin: t1\n# c\n" T,
       NULL},
      {"delete: and set", "lvmthin: t1\n\tnodes a\n" T, NULL, "t1", SET("bwlimit", "move=1"),
       "nodes", "lvmthin: t1\n" T "\tbwlimit move=1\n", NULL},
      {"delete: not set",
       "lvmthin: t1\n" T,
       NULL,
       "t1",
       {{NULL}},
       "nodes",
       "lvmthin: t1\n" T,
       NULL},
      {"delete: required",
       "lvmthin: t1\n" T,
       NULL,
       "t1",
       {{NULL}},
       "vgname",
       NULL,
       "unable to delete required option 'vgname'"},
      {"delete: fixed",
       "lvm: t1\n\tvgname pve\n\tbase ab:c\n",
       NULL,
       "t1",
       {{NULL}},
       "base",
       NULL,
       "unable to delete fixed option 'base'"},
      {"delete: nobody's",
       "lvmthin: t1\n" T,
       NULL,
       "t1",
       {{NULL}},
       "path",
       NULL,
       "no such option 'path'"},
      {"delete: and set the same", "lvmthin: t1\n" T, NULL, "t1", SET("nodes", "a"), "nodes", NULL,
       "cannot set and delete property 'nodes' at the same time!"},
      {"remove",
       "# a\nlvmthin: t1\n# in it\n" T "\n" REMAINS,
       NULL,
       "t1",
       {{NULL}},
       NULL,
       "# a\n" REMAINS,
       NULL},
      {"remove: all of its id",
       "lvmthin: t1\n" T "\nfoo: f\n\nlvmthin: t1\n" T,
       NULL,
       "t1",
       {{NULL}},
       NULL,
       "foo: f\n\n",
       NULL},
      {"remove: broken", "lvmthin: t1\n\n" REMAINS, NULL, "t1", {{NULL}}, NULL, REMAINS, NULL},
      {"remove: the swallowed stays",
       "lvmthin: t1\n" T REMAINS,
       NULL,
       "t1",
       {{NULL}},
       NULL,
       "lvmthin: t2\n" T "\n# the end\n",
       NULL},
      {"remove: not there",
       "foo: t1\n",
       NULL,
       "t1",
       {{NULL}},
       NULL,
       NULL,
       "storage 't1' does not exist"},
  };

  failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(edits); i++) {
    g_autoptr(StorageCfg) cfg =
        storagecfg_parse("storage.cfg", edits[i].before, strlen(edits[i].before));
    g_autoptr(GError) error = NULL;
    g_autoptr(StorageCfg) edited = run_edit(cfg, &edits[i], &error);
    gsize length;

    expect(edits[i].name, "refusal", error ? error->message : "",
           edits[i].refusal ? edits[i].refusal : "");
    if (edited && edits[i].after)
      expect(edits[i].name, "text", storagecfg_text(edited, &length), edits[i].after);
    else if (edited)
      fail_msg("%s: not refused", edits[i].name);
  }
  assert_int_equal(failures, 0);
}

/* --- many --- */

static void test_5000_sections(void **state)
{
  g_autoptr(GString) text = g_string_new(NULL);
  double best = 1;

  for (guint i = 0; i < 5000; i++)
    g_string_append_printf(text,
                           "# storage %u\nlvmthin: store-%u\n\tthinpool data%u\n\tvgname vg%u\n"
                           "\tcontent rootdir,images\n\tnodes node1,node2\n\n",
                           i, i, i, i);
  for (guint try = 0; try < 5; try++) {
    clock_t begin = clock();
    g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", text->str, text->len);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;

    assert_int_equal(storagecfg_storages(cfg)->len, 5000);
    assert_int_equal(storagecfg_warnings(cfg)->len, 0);
    assert_string_equal(storagecfg_string(storagecfg_find(cfg, "store-4999"), "vgname"), "vg4999");
    best = MIN(best, seconds);
  }
  print_message("# 5000 sections: %.1f ms of CPU\n", best * 1000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  assert_true(best < 0.050);
#endif
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_lines),    cmocka_unit_test(test_ids),
      cmocka_unit_test(test_local),    cmocka_unit_test(test_content),
      cmocka_unit_test(test_values),   cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_options),  cmocka_unit_test(test_required),
      cmocka_unit_test(test_storages), cmocka_unit_test(test_answers),
      cmocka_unit_test(test_edits),    cmocka_unit_test(test_5000_sections),
  };

  return cmocka_run_group_tests_name("storage.cfg", tests, NULL, NULL);
}
