/* virt-thin - tests: storage.cfg: edits
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "storagecfg-helper.h"

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

  storagecfg_failures = 0;
  for (gsize i = 0; i < G_N_ELEMENTS(edits); i++) {
    g_autoptr(StorageCfg) cfg =
        storagecfg_parse("storage.cfg", edits[i].before, strlen(edits[i].before));
    g_autoptr(GError) error = NULL;
    g_autoptr(StorageCfg) edited = run_edit(cfg, &edits[i], &error);
    gsize length;

    storagecfg_expect(edits[i].name, "refusal", error ? error->message : "",
                      edits[i].refusal ? edits[i].refusal : "");
    if (edited && edits[i].after)
      storagecfg_expect(edits[i].name, "text", storagecfg_text(edited, &length), edits[i].after);
    else if (edited)
      fail_msg("%s: not refused", edits[i].name);
  }
  assert_int_equal(storagecfg_failures, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_edits),
  };

  return cmocka_run_group_tests_name("edits of storage.cfg", tests, NULL, NULL);
}
