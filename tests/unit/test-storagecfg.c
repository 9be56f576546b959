/* virt-thin - tests: storage.cfg, parsed as Proxmox parses it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "storagecfg-helper.h"

/* --- lines and sections --- */

static void test_lines(void **state)
{
  static const StorageCfgCase cases[] = {
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

  storagecfg_check_cases(cases, G_N_ELEMENTS(cases));
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
                    *got = storagecfg_show_warnings(cfg);

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
  static const StorageCfgCase cases[] = {
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

  storagecfg_check_cases(cases, G_N_ELEMENTS(cases));
}

/* --- a storage as a whole --- */

#define NFS "nfs: t1\n\tserver s\n\texport /e\n"

static void test_storages(void **state)
{
  static const StorageCfgCase cases[] = {
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

  storagecfg_check_cases(cases, G_N_ELEMENTS(cases));
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
      cmocka_unit_test(test_lines),   cmocka_unit_test(test_ids),
      cmocka_unit_test(test_local),   cmocka_unit_test(test_storages),
      cmocka_unit_test(test_answers), cmocka_unit_test(test_5000_sections),
  };

  return cmocka_run_group_tests_name("storage.cfg", tests, NULL, NULL);
}
