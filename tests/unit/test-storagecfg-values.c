/* virt-thin - tests: storage.cfg: which property a storage may have, and which value
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "storagecfg-helper.h"

/* --- content --- */

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

  storagecfg_failures = 0;
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
      g_autofree char *warnings = storagecfg_show_warnings(cfg), *list = NULL;
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
      storagecfg_expect(name, "warnings", warnings, want);
      list = storage->broken ? g_strdup("!")
                             : g_strjoinv(",", storagecfg_value(storage, "content")->list);
      storagecfg_expect(name, "content", list, cases[i].result ? cases[i].result : "!");
    }
  }
  assert_int_equal(storagecfg_failures, 0);
}

/* --- values --- */

#define ENUM(value, all) "value '" value "' does not have a value in the enumeration '" all "'"
#define NO_SERVER "invalid format - value does not look like a valid server name or IP address"
#define NO_PORTAL "invalid format - value does not look like a valid portal address"
#define NO_NODE "invalid format - value does not look like a valid node name"
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

  storagecfg_failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
    const StorageCfgProperty *property = storagecfg_property_find(cases[i].property);
    g_autofree char *name = g_strdup_printf("%s %s", cases[i].property, cases[i].value);
    g_autoptr(GError) error = NULL;

    assert_non_null(property);
    storagecfg_check_value(property, cases[i].value, &error);
    storagecfg_expect(name, "refusal", error ? error->message : "",
                      cases[i].refusal ? cases[i].refusal : "");
    for (const StorageCfgType *const *type = storagecfg_types(); *type && cases[i].result; type++) {
      g_autofree char *text = g_strdup_printf("%s: t1\n\t%s %s\n", (*type)->name, cases[i].property,
                                              cases[i].value ? cases[i].value : "");
      g_autoptr(StorageCfg) cfg = storagecfg_parse("storage.cfg", text, strlen(text));
      const StorageCfgStorage *storage = storagecfg_find(cfg, "t1");
      const StorageCfgValue *value = storage ? storagecfg_value(storage, cases[i].property) : NULL;
      g_autofree char *list = value && value->list ? g_strjoinv(",", value->list) : NULL;

      /* What a type does with formats and content is another table's. */
      if (value && strcmp(cases[i].property, "content-dirs") != 0)
        storagecfg_expect(name, "value", list ? list : value->text, cases[i].result);
    }
  }
  assert_int_equal(storagecfg_failures, 0);
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
  storagecfg_failures = 0;
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
      got = storagecfg_show_warnings(cfg);
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
      storagecfg_expect(name, "warnings", got, want);
    }
  assert_int_equal(storagecfg_failures, 0);
}

static void test_required(void **state)
{
  storagecfg_failures = 0;
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
      got = storagecfg_show_warnings(cfg);
      storagecfg_expect(tables[i].type, *missing, got, want);
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
    storagecfg_expect(tables[i].type, "defaults", defaults->str, tables[i].defaults);
    g_string_free(defaults, TRUE);
  }
  assert_int_equal(storagecfg_failures, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_content),  cmocka_unit_test(test_values),
      cmocka_unit_test(test_lengths),  cmocka_unit_test(test_options),
      cmocka_unit_test(test_required),
  };

  return cmocka_run_group_tests_name("values of storage.cfg", tests, NULL, NULL);
}
