/* virt-thin - tests: what a change comes to, on the text of a volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The volume group is lvm2's own (fixture vgcfgbackup-04-final): thin pool data of 24 extents of 4
 * MiB in it vm-100-disk-0 with two snapshots, a clone vm-102-disk-0 of one of these, and
 * vm-101-disk-1; beside it the linear root. Each change is planned twice, for the bundled engine
 * and for lvm2: both refuse the same, in the same words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lvm-helper.h"
#include "pool/plan.h"

#define FIXTURE "vgcfgbackup-04-final.txt"

static const char *in_use; /* the volume that somebody has open */
static PoolLimits limits;

static char *find_user(LvmLv *lv, gpointer data)
{
  return g_strcmp0(lvm_lv_name(lv), in_use) == 0 ? g_strdup("qemu, pid 7") : NULL;
}

/* An interrupted command left a device behind. */
static gboolean has_device(LvmLv *pool, guint32 id, gboolean *has, gpointer data, GError **error)
{
  *has = id == 6;
  return TRUE;
}

static PoolLimits get_limits(const char *vg, const char *pool)
{
  return limits;
}

static PoolFacts facts_of(gboolean lvm2)
{
  return (PoolFacts){.lvm2 = lvm2,
                     .limits = get_limits,
                     .find_user = find_user,
                     .has_device = lvm2 ? NULL : has_device};
}

/* The fixture with each of @edits (pairs, NULL: none) made in its text. */
static LvmVg *read_vg(const char *const *edits)
{
  g_autofree char *text = lvm_test_read(FIXTURE, NULL);
  GError *error = NULL;
  LvmVg *vg;

  for (; edits && *edits; edits += 2) {
    g_autoptr(GString) edited = g_string_new(text);

    assert_int_not_equal(g_string_replace(edited, edits[0], edits[1], 0), 0);
    g_free(text);
    text = g_string_free(g_steal_pointer(&edited), FALSE);
  }
  vg = lvm_vg_parse(text, strlen(text), &error);
  assert_ok(vg, error);
  return vg;
}

/* --- telling --- */

static const char *const step_names[] = {"add-thin",  "add-linear", "remove",      "rename",
                                         "tags",      "seal",       "resize",      "replace",
                                         "grow-pool", "add-pool",   "remove-pool", "add-pv"};

static void tell_tags(GString *told, char sign, GPtrArray *tags)
{
  for (guint i = 0; tags && i < tags->len; i++)
    g_string_append_printf(told, " %c%s", sign, (char *)tags->pdata[i]);
}

/* "rename a b; resize c 3": the caller's. */
static char *tell_steps(PoolPlan *plan)
{
  GString *told = g_string_new(NULL);

  for (guint i = 0; i < plan->steps->len; i++) {
    const PoolStep *step = plan->steps->pdata[i];

    g_string_append_printf(told, "%s%s %s", i ? "; " : "", step_names[step->kind], step->name);
    if (step->other)
      g_string_append_printf(told, " %s", step->other);
    if (step->extents)
      g_string_append_printf(told, " %d", (int)step->extents);
    if (step->kind == POOL_STEP_ADD_POOL)
      g_string_append_printf(told, " %d+%d", (int)step->layout.data, (int)step->layout.metadata);
    tell_tags(told, '-', step->lost);
    tell_tags(told, '+', step->gained);
    g_string_append(told, step->sealed     ? " sealed"
                          : step->metadata ? " metadata"
                          : step->rollback ? " rollback"
                                           : "");
  }
  return g_string_free(told, FALSE);
}

/* The lines of the VG's text, each with the LV that it is of, but for those that no two runs have
 * in common. */
static GPtrArray *list_lines(LvmVg *vg)
{
  g_autofree char *text = lvm_vg_format(vg, NULL), *lv = g_strdup("");
  g_auto(GStrv) lines = g_strsplit(strstr(text, "logical_volumes {"), "\n", -1);
  GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
  int depth = 1;

  for (char **line = lines + 1; depth > 0; line++) {
    depth += g_str_has_suffix(*line, "{") - g_str_has_prefix(*line, "}");
    if (g_str_has_suffix(*line, " {") && !g_str_has_prefix(*line, "segment")) {
      g_free(lv);
      lv = g_strndup(*line, strlen(*line) - 2);
    }
    if (!g_str_has_prefix(*line, "id =") && !g_str_has_prefix(*line, "creation_") &&
        strchr(*line, '='))
      g_ptr_array_add(list, g_strdup_printf("%s: %s", lv, *line));
  }
  return list;
}

static gboolean has_line(GPtrArray *lines, const char *line)
{
  return g_ptr_array_find_with_equal_func(lines, line, g_str_equal, NULL);
}

/* "-vm-1: device_id = 3\n+…": the caller's. */
static char *tell_changes(LvmVg *before, LvmVg *after)
{
  g_autoptr(GPtrArray) old = list_lines(before), new = list_lines(after);
  GString *told = g_string_new(NULL);

  for (guint i = 0; i < old->len; i++)
    if (!has_line(new, old->pdata[i]))
      g_string_append_printf(told, "-%s\n", (char *)old->pdata[i]);
  for (guint i = 0; i < new->len; i++)
    if (!has_line(old, new->pdata[i]))
      g_string_append_printf(told, "+%s\n", (char *)new->pdata[i]);
  return g_string_free(told, FALSE);
}

/* --- asking --- */

static void assert_same(const char *told, const char *expected)
{
  if (strcmp(told, expected) != 0)
    fail_msg("it is\n%s\nand should be\n%s", told, expected);
}

static void assert_steps(LvmVg *vg, const PoolChange *change, gboolean lvm2, const char *steps,
                         const char *changes)
{
  const PoolFacts facts = facts_of(lvm2);
  g_autofree char *before = lvm_vg_format(vg, NULL), *after = NULL, *told = NULL, *changed = NULL;
  GError *error = NULL;
  g_autoptr(PoolPlan) plan = pool_plan(vg, change, &facts, &error);

  assert_ok(plan, error);
  told = tell_steps(plan);
  changed = tell_changes(vg, plan->vg);
  assert_same(told, steps);
  if (changes)
    assert_same(changed, changes);
  after = lvm_vg_format(vg, NULL);
  assert_string_equal(before, after);
}

/* Either way the same steps. */
static void assert_plan(const char *const *edits, PoolChange change, const char *steps,
                        const char *changes)
{
  g_autoptr(LvmVg) vg = read_vg(edits);

  assert_steps(vg, &change, FALSE, steps, changes);
  assert_steps(vg, &change, TRUE, steps, NULL);
}

static void assert_refused(const char *const *edits, PoolChange change, int code, const char *text)
{
  g_autoptr(LvmVg) vg = read_vg(edits);

  for (int lvm2 = 0; lvm2 < 2; lvm2++) {
    const PoolFacts facts = facts_of(lvm2);
    GError *error = NULL;

    assert_null(pool_plan(vg, &change, &facts, &error));
    assert_error(error, code, text);
  }
}

#define PLAN(kind_, steps, changes, ...)                                                           \
  assert_plan(NULL, (PoolChange){.kind = kind_, __VA_ARGS__}, steps, changes)
#define REFUSED(kind_, code, text, ...)                                                            \
  assert_refused(NULL, (PoolChange){.kind = kind_, __VA_ARGS__}, code, text)

/* --- tests --- */

static void test_create(void **state)
{
  PLAN(POOL_CREATE, "add-thin v 3",
       "+v: status = [\"READ\", \"WRITE\", \"VISIBLE\"]\n+v: flags = []\n+v: segment_count = "
       "1\n+v: start_extent = 0\n"
       "+v: extent_count = 3\n+v: type = \"thin\"\n+v: thin_pool = \"data\"\n+v: transaction_id = "
       "7\n"
       "+v: device_id = 7\n",
       .name = "v", .size = 10 * MIB);
  PLAN(POOL_CREATE_LINEAR, "add-linear v 1", NULL, .name = "v", .size = 1);
  REFUSED(POOL_CREATE, EEXIST, "there is a volume root already", .name = "root", .size = 1);
  REFUSED(POOL_CREATE, EEXIST, "there is a thin pool data already", .name = "data", .size = 1);
  REFUSED(POOL_CREATE, EINVAL, "LVM keeps for itself", .name = "a_tdata", .size = 1);
  REFUSED(POOL_CREATE, EINVAL, "size of 0", .name = "v");
  REFUSED(POOL_CREATE, ENOENT, "volume group pve has no thin pool root", .name = "v",
          .thin_pool = "root", .size = 1);
  limits.overcommit = 8;
  REFUSED(POOL_CREATE, EPERM, "over the limit of 8 times", .name = "v", .size = 1024 * MIB);
  limits.overcommit = 0;
}

/* Pool data is of 96 MiB. What is made from a volume that is large already is no slip. */
static void test_largest_volume(void **state)
{
  limits.largest_volume = 250;
  PLAN(POOL_CREATE, "add-thin v 6000", NULL, .name = "v", .size = 24000 * MIB);
  REFUSED(POOL_CREATE, EPERM,
          "23.44 GiB would be more than 250 times as large as thin pool pve/data", .name = "v",
          .size = 24001 * MIB);
  REFUSED(POOL_CREATE, EPERM,
          "raise largest-volume in virt-thin.conf ([pool pve/data] or [limits])", .name = "v",
          .size = 900000 * 1024 * MIB);
  REFUSED(POOL_CLONE, EPERM, "largest-volume", .other = "vm-101-disk-1", .name = "v",
          .size = 24001 * MIB);
  REFUSED(POOL_RESIZE, EPERM, "largest-volume", .name = "vm-101-disk-1", .size = 24001 * MIB);
  limits.largest_volume = 0.5;
  PLAN(POOL_CLONE, "add-thin v vm-101-disk-1 16", NULL, .other = "vm-101-disk-1", .name = "v");
  PLAN(POOL_CLONE, "add-thin v vm-101-disk-1 16", NULL, .other = "vm-101-disk-1", .name = "v",
       .size = 64 * MIB);
  PLAN(POOL_SNAPSHOT,
       "add-thin snap_vm-101-disk-1_s vm-101-disk-1 16 +virt-thin.snapshot-of=vm-101-disk-1 sealed",
       NULL, .name = "vm-101-disk-1", .other = "s");
  PLAN(POOL_RESIZE, "resize vm-101-disk-1 15", NULL, .name = "vm-101-disk-1", .size = 60 * MIB,
       .flag = TRUE);
  limits.largest_volume = 0;
  PLAN(POOL_CREATE, "add-thin v 24000", NULL, .name = "v", .size = 96000 * MIB);
}

static void assert_note(const char *const *edits, PoolChange change, const char *note)
{
  g_autoptr(LvmVg) vg = read_vg(edits);

  for (int lvm2 = 0; lvm2 < 2; lvm2++) {
    const PoolFacts facts = facts_of(lvm2);
    g_autoptr(PoolPlan) plan = pool_plan(vg, &change, &facts, NULL);

    assert_non_null(plan);
    assert_int_equal(plan->note != NULL, note != NULL);
    if (note)
      assert_string_equal(plan->note, note);
  }
}

/* There are volumes of 160 extents in it. */
static void test_overcommit_is_told_when_it_begins(void **state)
{
  const char *const roomy[] = {"extent_count = 24\t# 96 Megabytes", "extent_count = 320", NULL};
  const PoolChange more = {.kind = POOL_CREATE, .name = "v", .size = 161 * 4 * MIB},
                   less = {.kind = POOL_CREATE, .name = "v", .size = 160 * 4 * MIB};

  assert_note(roomy, more,
              "thin pool pve/data is overcommitted 1.00 times: its volumes add up to 1.25 GiB, it "
              "holds 1.25 GiB");
  assert_note(roomy, less, NULL);
  assert_note(NULL, more, NULL); /* it was before */
}

static void test_clone(void **state)
{
  PLAN(POOL_CLONE, "add-thin v vm-101-disk-1 16", NULL, .other = "vm-101-disk-1", .name = "v");
  PLAN(POOL_CLONE, "add-thin v vm-101-disk-1 17", NULL, .other = "vm-101-disk-1", .name = "v",
       .size = 65 * MIB);
  PLAN(POOL_CLONE, "add-thin base-1-v vm-101-disk-1 16 sealed", NULL, .other = "vm-101-disk-1",
       .name = "base-1-v");
  REFUSED(POOL_CLONE, EINVAL, "a name for a snapshot", .other = "vm-101-disk-1",
          .name = "snap_nosuch_x");
  REFUSED(POOL_CLONE, EINVAL, "(of vm-101-disk-1: snap_vm-101-disk-1_…)", .other = "vm-101-disk-1",
          .name = "snap_vm-101-disk-1");
  REFUSED(POOL_CLONE, EINVAL,
          "4.00 MiB is less than the 64.00 MiB of volume pve/vm-101-disk-1 that it is backed by",
          .other = "vm-101-disk-1", .name = "v", .size = 4 * MIB);
  REFUSED(POOL_CLONE, EOPNOTSUPP, "is in no thin pool", .other = "root", .name = "v");
  REFUSED(POOL_CLONE, EINVAL, "is a thin pool, not a volume", .other = "data", .name = "v");
  REFUSED(POOL_CLONE, ENOENT, "has no volume lvol0_pmspare", .other = "lvol0_pmspare", .name = "v");
}

static void test_snapshot(void **state)
{
  PLAN(POOL_SNAPSHOT,
       "add-thin snap_vm-101-disk-1_s vm-101-disk-1 16 +virt-thin.snapshot-of=vm-101-disk-1 sealed",
       "+snap_vm-101-disk-1_s: status = [\"READ\", \"VISIBLE\"]\n"
       "+snap_vm-101-disk-1_s: flags = [\"ACTIVATION_SKIP\"]\n"
       "+snap_vm-101-disk-1_s: tags = [\"virt-thin.snapshot-of=vm-101-disk-1\"]\n"
       "+snap_vm-101-disk-1_s: segment_count = 1\n+snap_vm-101-disk-1_s: start_extent = 0\n"
       "+snap_vm-101-disk-1_s: extent_count = 16\n+snap_vm-101-disk-1_s: type = \"thin\"\n"
       "+snap_vm-101-disk-1_s: thin_pool = \"data\"\n+snap_vm-101-disk-1_s: transaction_id = 7\n"
       "+snap_vm-101-disk-1_s: device_id = 7\n+snap_vm-101-disk-1_s: origin = \"vm-101-disk-1\"\n",
       .name = "vm-101-disk-1", .other = "s");
  REFUSED(POOL_SNAPSHOT, EEXIST, "there is a volume snap_vm-100-disk-0_s1 already",
          .name = "vm-100-disk-0", .other = "s1");
  REFUSED(POOL_SNAPSHOT, EINVAL, "needs a name", .name = "vm-100-disk-0", .other = "");
}

#define OWNER "tmp.0123abcd.99.12345"

/* What is for one use is known by a tag, from its first commit on. */
static void test_temporary(void **state)
{
  PLAN(POOL_CLONE, "add-thin mount_vm-101-disk-1_" OWNER " vm-101-disk-1 16 +virt-thin.temporary",
       NULL, .other = "vm-101-disk-1", .name = "mount_vm-101-disk-1_" OWNER);
  PLAN(POOL_SNAPSHOT,
       "add-thin snap_vm-101-disk-1_" OWNER
       " vm-101-disk-1 16 +virt-thin.snapshot-of=vm-101-disk-1 +virt-thin.temporary sealed",
       NULL, .name = "vm-101-disk-1", .other = OWNER);
  PLAN(POOL_CLONE, "add-thin v_tmp.0123abcd.99 vm-101-disk-1 16", NULL, .other = "vm-101-disk-1",
       .name = "v_tmp.0123abcd.99");
}

static void test_snapshot_group(void **state)
{
  const char *const two[] = {"vm-102-disk-0", "vm-101-disk-1", "vm-102-disk-0", NULL},
                    *const taken[] = {"vm-101-disk-1", "vm-100-disk-0", NULL},
                    *const linear[] = {"vm-101-disk-1", "root", NULL};

  PLAN(
      POOL_SNAPSHOT_GROUP,
      "add-thin snap_vm-102-disk-0_s vm-102-disk-0 32 +virt-thin.snapshot-of=vm-102-disk-0 sealed; "
      "add-thin snap_vm-101-disk-1_s vm-101-disk-1 16 +virt-thin.snapshot-of=vm-101-disk-1 sealed",
      NULL, .names = two, .other = "s");
  REFUSED(POOL_SNAPSHOT_GROUP, EEXIST, "there is a volume snap_vm-100-disk-0_s1 already",
          .names = taken, .other = "s1");
  REFUSED(POOL_SNAPSHOT_GROUP, EOPNOTSUPP, "volume pve/root is in no thin pool", .names = linear,
          .other = "s");
}

static void test_snapshot_tagged(void **state)
{
  const char *const names[] = {"vm-102-disk-0", "vm-101-disk-1", NULL},
                    *const tags[] = {"t/1", NULL}, *const bad[] = {"a b", NULL},
                    *const own[] = {"virt-thin.with=x", NULL};

  PLAN(POOL_SNAPSHOT_TAGGED,
       "add-thin snap_vm-102-disk-0_s vm-102-disk-0 32 +virt-thin.snapshot-of=vm-102-disk-0 +t/1 "
       "sealed; "
       "add-thin snap_vm-101-disk-1_s vm-101-disk-1 16 +virt-thin.snapshot-of=vm-101-disk-1 +t/1 "
       "sealed",
       NULL, .names = names, .other = "s", .add = tags);
  REFUSED(POOL_SNAPSHOT_TAGGED, EINVAL, "tag", .names = names, .other = "s", .add = bad);
  REFUSED(POOL_SNAPSHOT_TAGGED, EPERM, "virt-thin's own", .names = names, .other = "s", .add = own);
}

/* lvm2 makes another LV of it, so that snapshots which are known by their origin need the tag. */
static void test_content(void **state)
{
  const PoolChange rollback = {.kind = POOL_ROLLBACK, .name = "vm-100-disk-0", .other = "s1"};
  g_autoptr(LvmVg) vg = read_vg(NULL);

  assert_steps(vg, &rollback, FALSE, "replace vm-100-disk-0 snap_vm-100-disk-0_s1 32 rollback",
               "-vm-100-disk-0: extent_count = 48\n+vm-100-disk-0: extent_count = 32\n");
  assert_steps(vg, &rollback, TRUE,
               "tags snap_vm-100-disk-0_s1 +virt-thin.snapshot-of=vm-100-disk-0; "
               "tags snap_vm-100-disk-0_s2 +virt-thin.snapshot-of=vm-100-disk-0; "
               "replace vm-100-disk-0 snap_vm-100-disk-0_s1 32 rollback",
               NULL);
  REFUSED(POOL_ROLLBACK, ENOENT, "has no snapshot \"s3\"; it has s1, s2", .name = "vm-100-disk-0",
          .other = "s3");
  PLAN(POOL_CLONE_INTO, "replace vm-102-disk-0 vm-101-disk-1 32",
       "-vm-102-disk-0: origin = \"snap_vm-100-disk-0_s1\"\n+vm-102-disk-0: origin = "
       "\"vm-101-disk-1\"\n",
       .name = "vm-102-disk-0", .other = "vm-101-disk-1");
  REFUSED(POOL_CLONE_INTO, EINVAL,
          "64.00 MiB is less than the 192.00 MiB of volume pve/vm-100-disk-0: resize it",
          .name = "vm-101-disk-1", .other = "vm-100-disk-0");
  REFUSED(POOL_CLONE_INTO, EINVAL, "a clone of itself", .name = "vm-101-disk-1",
          .other = "vm-101-disk-1");
  in_use = "vm-100-disk-0";
  REFUSED(POOL_ROLLBACK, EBUSY, "volume pve/vm-100-disk-0 is in use by qemu, pid 7",
          .name = "vm-100-disk-0", .other = "s1");
  in_use = NULL;
}

/* A circle of origin keys is none that lvm2 would read. */
static void test_no_circles(void **state)
{
  const PoolChange change = {
      .kind = POOL_CLONE_INTO, .name = "vm-100-disk-0", .other = "vm-102-disk-0"};
  g_autoptr(LvmVg) vg = read_vg(NULL);

  assert_steps(vg, &change, FALSE, "replace vm-100-disk-0 vm-102-disk-0 48", "");
}

static void test_rename(void **state)
{
  PLAN(POOL_RENAME,
       "rename snap_vm-100-disk-0_s1 snap_vm-9-disk-0_s1; rename snap_vm-100-disk-0_s2 "
       "snap_vm-9-disk-0_s2; "
       "tags vm-100-disk-0 +pve-vm-9; rename vm-100-disk-0 vm-9-disk-0",
       NULL, .name = "vm-100-disk-0", .other = "vm-9-disk-0");
  PLAN(POOL_RENAME, "tags vm-101-disk-1 -pve-vm-101 +pve-vm-9; rename vm-101-disk-1 vm-9-disk-0",
       NULL, .name = "vm-101-disk-1", .other = "vm-9-disk-0");
  PLAN(POOL_RENAME, "rename root other", NULL, .name = "root", .other = "other");
  PLAN(POOL_RENAME, "rename snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s3", NULL,
       .name = "snap_vm-100-disk-0_s1", .other = "snap_vm-100-disk-0_s3");
  REFUSED(POOL_RENAME, EINVAL, "a name for a snapshot", .name = "snap_vm-100-disk-0_s1",
          .other = "snap_vm-101-disk-1_s1");
  REFUSED(POOL_RENAME, EINVAL, "a name for a snapshot", .name = "vm-101-disk-1",
          .other = "snap_vm-100-disk-0_s3");
  REFUSED(POOL_RENAME, EEXIST, "there is a volume root already", .name = "vm-101-disk-1",
          .other = "root");
  PLAN(POOL_TEMPLATE, "seal vm-101-disk-1; rename vm-101-disk-1 base-101-disk-1", NULL,
       .name = "vm-101-disk-1", .other = "base-101-disk-1");
  PLAN(POOL_TEMPLATE, "seal vm-101-disk-1",
       "-vm-101-disk-1: status = [\"READ\", \"WRITE\", \"VISIBLE\"]\n-vm-101-disk-1: flags = []\n"
       "+vm-101-disk-1: status = [\"READ\", \"VISIBLE\"]\n+vm-101-disk-1: flags = "
       "[\"ACTIVATION_SKIP\"]\n",
       .name = "vm-101-disk-1", .other = "vm-101-disk-1");
}

/* Names that hold when a step's turn comes: a snapshot's tag changes before its name. */
static void test_rename_with_tags(void **state)
{
  static const char *const tagged[] = {
      "flags = [\"ACTIVATION_SKIP\"]\n\t\t\tcreation_time = 1795220697",
      "flags = [\"ACTIVATION_SKIP\"]\n"
      "\t\t\ttags = [\"virt-thin.snapshot-of=vm-100-disk-0\"]\n"
      "\t\t\tcreation_time = 1795220697",
      NULL};

  assert_plan(
      tagged, (PoolChange){.kind = POOL_RENAME, .name = "vm-100-disk-0", .other = "v"},
      "tags snap_vm-100-disk-0_s1 -virt-thin.snapshot-of=vm-100-disk-0 +virt-thin.snapshot-of=v; "
      "rename snap_vm-100-disk-0_s1 snap_v_s1; rename snap_vm-100-disk-0_s2 snap_v_s2; "
      "rename vm-100-disk-0 v",
      NULL);
}

static void test_resize(void **state)
{
  PLAN(POOL_RESIZE, "resize vm-101-disk-1 17",
       "-vm-101-disk-1: extent_count = 16\n+vm-101-disk-1: extent_count = 17\n",
       .name = "vm-101-disk-1", .size = 65 * MIB);
  PLAN(POOL_RESIZE, "", "", .name = "vm-101-disk-1", .size = 63 * MIB);
  PLAN(POOL_RESIZE, "resize vm-101-disk-1 1", NULL, .name = "vm-101-disk-1", .size = 1,
       .flag = TRUE);
  REFUSED(POOL_RESIZE, EINVAL, "allow it to shrink (--shrink)", .name = "vm-101-disk-1", .size = 1);
  in_use = "vm-101-disk-1";
  REFUSED(POOL_RESIZE, EBUSY, "is in use by qemu", .name = "vm-101-disk-1", .size = 1,
          .flag = TRUE);
  PLAN(POOL_RESIZE, "resize vm-101-disk-1 17", NULL, .name = "vm-101-disk-1", .size = 65 * MIB);
  in_use = NULL;
}

static void test_pools(void **state)
{
  const PoolChange largest = {
      .kind = POOL_CREATE_POOL, .name = "more", .new_pool = {.max_size = 1024 * MIB}};
  const PoolFacts lvm2 = facts_of(TRUE);
  g_autoptr(LvmVg) vg = read_vg(NULL);
  GError *error = NULL;

  PLAN(POOL_RESIZE_POOL, "grow-pool data 25", NULL, .size = 100 * MIB);
  PLAN(POOL_RESIZE_POOL, "grow-pool data 3 metadata", NULL, .size = 12 * MIB, .flag = TRUE);
  PLAN(POOL_RESIZE_POOL, "", "", .thin_pool = "data", .size = 96 * MIB);
  REFUSED(POOL_RESIZE_POOL, EOPNOTSUPP, "a thin pool cannot shrink", .size = 1);
  /* In the units of sizes, whoever would carry it out. */
  REFUSED(POOL_RESIZE_POOL, ENOSPC,
          "that takes 9.91 GiB, and volume group pve has 132.00 MiB free: add a physical volume",
          .size = 10240 * MIB);
  REFUSED(POOL_RESIZE_POOL, ENOSPC, "that takes 184.00 MiB, with the spare", .size = 100 * MIB,
          .flag = TRUE);
  REFUSED(POOL_CREATE_LINEAR, ENOSPC, "that takes 1.00 GiB, and", .name = "v", .size = 1024 * MIB);
  REFUSED(POOL_CREATE_POOL, ENOSPC, "that takes 1.00 GiB with its metadata, and", .name = "more",
          .new_pool = {.size = 1024 * MIB});
  PLAN(POOL_CREATE_POOL, "add-pool more 2+1", NULL, .name = "more", .new_pool = {.size = 8 * MIB});
  REFUSED(POOL_CREATE_POOL, EEXIST, "there is a thin pool data already", .name = "data");
  REFUSED(POOL_REMOVE, EBUSY, "thin pool pve/data has 5 volumes: remove those first",
          .names = (const char *const[]){"data", NULL});
  assert_steps(vg, &largest, FALSE, "add-pool more 32+1", NULL);
  assert_null(pool_plan(vg, &largest, &lvm2, &error));
  assert_error(error, EOPNOTSUPP, "lvm2 knows no maximum size");
}

/* All that is free of a PV of 14 GiB, 3555 extents. The spare has one. */
static void assert_layout(gboolean sparse, PoolNew params, const char *steps, guint64 left)
{
  const char *const edits[] = {"pe_count = 63", "pe_count = 3584", NULL};
  const PoolChange change = {.kind = POOL_CREATE_POOL, .name = "more", .new_pool = params};
  PoolFacts facts = facts_of(FALSE);
  g_autoptr(LvmVg) vg = read_vg(edits);
  g_autoptr(PoolPlan) plan = NULL;
  g_autofree char *told = NULL;

  facts.sparse = sparse;
  assert_non_null(plan = pool_plan(vg, &change, &facts, NULL));
  told = tell_steps(plan);
  assert_same(told, steps);
  assert_int_equal(lvm_vg_n_free_extents(plan->vg), left);
}

/* Metadata has room for snapshots, or may grow to as much: with its spare, so twice. */
static void test_room_for_metadata(void **state)
{
  assert_layout(TRUE, (PoolNew){0}, "add-pool more 3500+28", 0);
  assert_layout(FALSE, (PoolNew){0}, "add-pool more 3500+4", 48);
  assert_layout(FALSE, (PoolNew){.reserve = POOL_NO_RESERVE}, "add-pool more 3548+4", 0);
  assert_layout(FALSE, (PoolNew){.reserve = 40 * MIB}, "add-pool more 3538+4", 10);
  assert_layout(FALSE, (PoolNew){.metadata_size = 8 * MIB}, "add-pool more 3552+2", 0);
  assert_layout(TRUE, (PoolNew){.metadata_size = 8 * MIB}, "add-pool more 3552+2", 0);
  assert_layout(TRUE, (PoolNew){.size = 1024 * MIB}, "add-pool more 256+2", 3296);
  assert_layout(FALSE, (PoolNew){.size = 1024 * MIB}, "add-pool more 256+1", 3297);
  assert_layout(TRUE, (PoolNew){.max_size = 512 * 1024 * MIB}, "add-pool more 3300+128", 0);
}

static void test_remove(void **state)
{
  const char *const one[] = {"vm-100-disk-0", NULL},
                    *const twice[] = {"vm-101-disk-1", "vm-102-disk-0", "vm-101-disk-1", NULL},
                    *const both[] = {"vm-101-disk-1", "data", NULL}, *const none[] = {NULL};

  PLAN(POOL_REMOVE,
       "tags snap_vm-100-disk-0_s1 +virt-thin.snapshot-of=vm-100-disk-0; "
       "tags snap_vm-100-disk-0_s2 +virt-thin.snapshot-of=vm-100-disk-0; remove vm-100-disk-0",
       NULL, .names = one);
  PLAN(POOL_REMOVE,
       "remove snap_vm-100-disk-0_s1; remove snap_vm-100-disk-0_s2; remove vm-100-disk-0", NULL,
       .names = one, .flag = TRUE);
  PLAN(POOL_REMOVE, "remove vm-101-disk-1; remove vm-102-disk-0", NULL, .names = twice);
  PLAN(POOL_REMOVE, "", "", .names = none);
  PLAN(POOL_REMOVE_LINEAR, "remove root", NULL, .name = "root");
  REFUSED(POOL_REMOVE, EINVAL, "pve/data is a thin pool, not a volume", .names = both);
  REFUSED(POOL_REMOVE_LINEAR, EINVAL, "it is in thin pool data", .name = "vm-101-disk-1");
  in_use = "snap_vm-100-disk-0_s2";
  REFUSED(POOL_REMOVE, EBUSY, "volume pve/snap_vm-100-disk-0_s2 is in use", .names = one,
          .flag = TRUE);
  in_use = NULL;
}

static void test_tags(void **state)
{
  const char *const some[] = {"pve-vm-101", "new", "new", NULL},
                    *const old[] = {"pve-vm-101", "absent", NULL},
                    *const own[] = {"virt-thin.snapshot-of=v", NULL};

  PLAN(
      POOL_SET_TAGS, "tags vm-101-disk-1 +new",
      "-vm-101-disk-1: tags = [\"pve-vm-101\"]\n+vm-101-disk-1: tags = [\"pve-vm-101\", \"new\"]\n",
      .name = "vm-101-disk-1", .add = some, .remove = old);
  PLAN(POOL_SET_TAGS, "tags vm-101-disk-1 -pve-vm-101", NULL, .name = "vm-101-disk-1",
       .remove = old);
  PLAN(POOL_SET_TAGS, "", "", .name = "root", .remove = old);
  PLAN(POOL_SET_TAGS, "tags data +pve-vm-101 +new", NULL, .name = "data", .add = some);
  REFUSED(POOL_SET_TAGS, EPERM, "virt-thin's own", .name = "root", .add = own);
}

#define PUBLISH(steps, changes, ...)                                                               \
  assert_plan(NULL,                                                                                \
              (PoolChange){.kind = POOL_PUBLISH,                                                   \
                           .publications = (const PoolPublication[]){__VA_ARGS__},                 \
                           .n_publications = sizeof((const PoolPublication[]){__VA_ARGS__}) /      \
                                             sizeof(PoolPublication)},                             \
              steps, changes)
#define PUBLISH_REFUSED(code, text, ...)                                                           \
  REFUSED(POOL_PUBLISH, code, text, .n_publications = 1,                                           \
          .publications = &(const PoolPublication){__VA_ARGS__})

/* What was received, as a clone of whatever was nearest, becomes what it was. */
static void test_publish(void **state)
{
  const char *const tags[] = {"new", POOL_SOURCE_TAG "0123", NULL}, *const own[] = {
                                                                        "virt-thin.max_size=1",
                                                                        NULL};

  PUBLISH("seal vm-102-disk-0; tags vm-102-disk-0 +new +virt-thin.source=0123 "
          "+virt-thin.snapshot-of=v; rename vm-102-disk-0 snap_v_s",
          "-vm-102-disk-0: status = [\"READ\", \"WRITE\", \"VISIBLE\"]\n"
          "-vm-102-disk-0: flags = []\n"
          "-vm-102-disk-0: segment_count = 1\n"
          "-vm-102-disk-0: start_extent = 0\n"
          "-vm-102-disk-0: extent_count = 32\n"
          "-vm-102-disk-0: type = \"thin\"\n"
          "-vm-102-disk-0: thin_pool = \"data\"\n"
          "-vm-102-disk-0: transaction_id = 4\n"
          "-vm-102-disk-0: device_id = 5\n"
          "-vm-102-disk-0: origin = \"snap_vm-100-disk-0_s1\"\n"
          "+snap_v_s: status = [\"READ\", \"VISIBLE\"]\n"
          "+snap_v_s: flags = [\"ACTIVATION_SKIP\"]\n"
          "+snap_v_s: tags = [\"new\", \"virt-thin.source=0123\", \"virt-thin.snapshot-of=v\"]\n"
          "+snap_v_s: segment_count = 1\n"
          "+snap_v_s: start_extent = 0\n"
          "+snap_v_s: extent_count = 32\n"
          "+snap_v_s: type = \"thin\"\n"
          "+snap_v_s: thin_pool = \"data\"\n"
          "+snap_v_s: transaction_id = 4\n"
          "+snap_v_s: device_id = 5\n",
          {.name = "vm-102-disk-0",
           .new_name = "snap_v_s",
           .snapshot_of = "v",
           .sealed = TRUE,
           .tags = tags});
  PUBLISH("rename vm-101-disk-1 v; seal vm-102-disk-0; "
          "tags vm-102-disk-0 +virt-thin.snapshot-of=v; rename vm-102-disk-0 snap_v_s",
          NULL, {.name = "vm-101-disk-1", .new_name = "v"},
          {.name = "vm-102-disk-0",
           .new_name = "snap_v_s",
           .snapshot_of = "v",
           .origin = "v",
           .sealed = TRUE});
  PUBLISH_REFUSED(EEXIST, "vm-100-disk-0 already", .name = "vm-102-disk-0",
                  .new_name = "vm-100-disk-0");
  PUBLISH_REFUSED(EINVAL, "a name for a snapshot", .name = "vm-102-disk-0", .new_name = "snap_v_s");
  PUBLISH_REFUSED(EPERM, "virt-thin's own", .name = "vm-102-disk-0", .new_name = "v", .tags = own);
  PUBLISH_REFUSED(ENOENT, "no volume x", .name = "x", .new_name = "v");
  PUBLISH_REFUSED(EINVAL, "become nothing", .name = "vm-102-disk-0");
  in_use = "vm-102-disk-0";
  PUBLISH_REFUSED(EBUSY, "qemu, pid 7", .name = "vm-102-disk-0", .new_name = "v");
  in_use = "vm-101-disk-1";
  PUBLISH_REFUSED(EBUSY, "qemu, pid 7", .name = "vm-102-disk-0", .into = "vm-101-disk-1");
  in_use = NULL;
}

static void test_other_content(void **state)
{
  static const char *const external[] = {"origin = \"snap_vm-100-disk-0_s1\"",
                                         "external_origin = \"root\"", NULL};
  const char *const names[] = {"vm-102-disk-0", NULL};
  const PoolChange changes[] = {
      {.kind = POOL_CLONE, .other = "vm-102-disk-0", .name = "v"},
      {.kind = POOL_SNAPSHOT, .name = "vm-102-disk-0", .other = "s"},
      {.kind = POOL_TEMPLATE, .name = "vm-102-disk-0", .other = "base-102-disk-0"},
      {.kind = POOL_RESIZE, .name = "vm-102-disk-0", .size = 1024 * MIB},
      {.kind = POOL_REMOVE, .names = names},
      {.kind = POOL_CLONE_INTO, .other = "vm-102-disk-0", .name = "vm-100-disk-0"}};

  for (gsize i = 0; i < G_N_ELEMENTS(changes); i++)
    assert_refused(external, changes[i], EOPNOTSUPP,
                   "volume pve/vm-102-disk-0 has the external origin root");
  assert_refused(external, (PoolChange){.kind = POOL_REMOVE_LINEAR, .name = "root"}, EBUSY,
                 "it is the external origin of vm-102-disk-0");
}

/* What is done in one step is of one thin pool, whoever does it. */
static void test_two_pools(void **state)
{
  const PoolFacts facts = facts_of(FALSE);
  const PoolChange add = {.kind = POOL_CREATE_POOL, .name = "more", .new_pool = {.size = 8 * MIB}},
                   create = {.kind = POOL_CREATE, .name = "v", .thin_pool = "more", .size = 1};
  const char *const names[] = {"v", "vm-101-disk-1", NULL};
  const PoolChange changes[] = {{.kind = POOL_REMOVE, .names = names},
                                {.kind = POOL_SNAPSHOT_GROUP, .names = names, .other = "s"},
                                {.kind = POOL_CLONE_INTO, .other = "v", .name = "vm-101-disk-1"}};
  g_autoptr(LvmVg) vg = read_vg(NULL);
  g_autoptr(PoolPlan) first = pool_plan(vg, &add, &facts, NULL),
                      second = pool_plan(first->vg, &create, &facts, NULL);

  for (int i = 0; i < 6; i++) {
    const PoolFacts either = facts_of(i % 2);
    GError *error = NULL;

    assert_null(pool_plan(second->vg, &changes[i / 2], &either, &error));
    assert_error(error, i / 2 == 2 ? EINVAL : EOPNOTSUPP, "in thin pool data");
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_largest_volume),
      cmocka_unit_test(test_room_for_metadata),
      cmocka_unit_test(test_overcommit_is_told_when_it_begins),
      cmocka_unit_test(test_create),
      cmocka_unit_test(test_clone),
      cmocka_unit_test(test_snapshot),
      cmocka_unit_test(test_temporary),
      cmocka_unit_test(test_content),
      cmocka_unit_test(test_no_circles),
      cmocka_unit_test(test_rename),
      cmocka_unit_test(test_resize),
      cmocka_unit_test(test_rename_with_tags),
      cmocka_unit_test(test_pools),
      cmocka_unit_test(test_remove),
      cmocka_unit_test(test_tags),
      cmocka_unit_test(test_other_content),
      cmocka_unit_test(test_publish),
      cmocka_unit_test(test_two_pools),
      cmocka_unit_test(test_snapshot_group),
      cmocka_unit_test(test_snapshot_tagged),
  };

  return cmocka_run_group_tests_name("pool-plan", tests, NULL, NULL);
}
