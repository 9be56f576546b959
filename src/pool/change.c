/* virt-thin - a change of a volume group, as a value
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/change.h"

#include <string.h>

#include "lvm/model/vg.h"
#include "pool/pool-private.h"
#include "util/name.h"

const PoolChangeRow pool_changes[POOL_N_CHANGES] = {
    [POOL_CREATE] = {"Create", "pns", "create volume"},
    [POOL_CREATE_LINEAR] = {"CreateLinear", "ns", "create volume"},
    [POOL_REMOVE_LINEAR] = {"RemoveLinear", "n", "remove"},
    [POOL_CLONE] = {"Clone", "ons", "create volume"},
    [POOL_SNAPSHOT] = {"Snapshot", "no", "take a snapshot of"},
    [POOL_SNAPSHOT_GROUP] = {"SnapshotGroup", "lo", "take a snapshot of"},
    [POOL_SNAPSHOT_TAGGED] = {"SnapshotTagged", "lo+", "take a snapshot of"},
    [POOL_ROLLBACK] = {"Rollback", "no", "roll back volume"},
    [POOL_CLONE_INTO] = {"CloneInto", "on", "make a clone of volume"},
    [POOL_RENAME] = {"Rename", "no", "rename volume"},
    [POOL_TEMPLATE] = {"Template", "no", "make a template of volume"},
    [POOL_RESIZE] = {"Resize", "nsf", "resize volume"},
    [POOL_RESIZE_POOL] = {"ResizePool", "psf", "resize thin pool"},
    [POOL_REMOVE] = {"Remove", "lf", "remove"},
    [POOL_SET_TAGS] = {"SetTags", "n+-", "change the tags of"},
    [POOL_PUBLISH] = {"Publish", "V", "publish volume"},
    [POOL_CREATE_POOL] = {"CreatePool", "nSRCMX", "create thin pool"},
    [POOL_EXTEND] = {"Extend", "P", "extend volume group"},
};

/* --- messages --- */

char *pool_show_name(const char *name)
{
  g_autofree char *safe = g_strescape(name, NULL);

  if (strlen(safe) > 2 * VT_NAME_MAX)
    strcpy(safe + 2 * VT_NAME_MAX, "...");
  return g_steal_pointer(&safe);
}

static const char *publication_name(const PoolPublication *p)
{
  return p->new_name ? p->new_name : p->into;
}

static const char *subject(const PoolChange *change)
{
  const char *name = change->names            ? change->names[0]
                     : change->n_publications ? publication_name(change->publications)
                                              : change->name;

  return name ? name : change->thin_pool ? change->thin_pool : "(its thin pool)";
}

static const char *verb(const PoolChange *change)
{
  return change->kind == POOL_RESIZE_POOL && change->flag ? "resize the metadata of"
                                                          : pool_changes[change->kind].verb;
}

static const char *others(const PoolChange *change)
{
  return (change->names && change->names[0] && change->names[1]) || change->n_publications > 1
             ? " and others"
             : "";
}

char *pool_change_failure(const PoolChange *change, const char *vg)
{
  g_autofree char *shown = pool_show_name(subject(change));

  if (change->kind == POOL_EXTEND)
    return g_strdup_printf("cannot %s %s with %s", verb(change), vg, shown);
  return g_strdup_printf("cannot %s %s/%s%s", verb(change), vg, shown, others(change));
}

char *pool_change_description(const PoolChange *change)
{
  g_autofree char *shown = pool_show_name(subject(change));

  return g_strdup_printf("%s %s%s", verb(change), shown, others(change));
}

gboolean pool_change_failed(const PoolChange *change, const char *vg, GError **error)
{
  g_autofree char *failure = pool_change_failure(change, vg);

  g_prefix_error(error, "%s: ", failure);
  return FALSE;
}

gboolean pool_change(VolumeGroup *group, const PoolChange *change, GError **error)
{
  if (!group->ops->change)
    return vt_set_error(error, EOPNOTSUPP, "a %s pool cannot %s", group->ops->name,
                        pool_changes[change->kind].verb);
  return group->ops->change(group, change, error);
}

/* --- mounted file systems --- */

/* Not for what only looks like a name: that is refused later. */
static void add_disk(GArray *disks, const char *nodes, const char *files, const char *name)
{
  FreezeDisk disk;

  if (!name || *name == '.' || strchr(name, '/'))
    return;
  disk.device = g_build_filename(nodes, name, NULL);
  disk.file = files ? g_build_filename(files, name, NULL) : NULL;
  g_array_append_val(disks, disk);
}

static void clear_disk(gpointer data)
{
  FreezeDisk *disk = data;

  g_free(disk->device);
  g_free(disk->file);
}

gboolean pool_change_freeze(const PoolChange *change, const char *nodes, const char *files,
                            guint min_depth, Freeze **freeze, GError **error)
{
  g_autoptr(GArray) disks = g_array_new(FALSE, FALSE, sizeof(FreezeDisk));
  g_autoptr(GError) local = NULL;

  g_array_set_clear_func(disks, clear_disk);
  *freeze = NULL;
  switch (change->kind) {
  case POOL_CLONE:
  case POOL_CLONE_INTO: add_disk(disks, nodes, files, change->other); break;
  case POOL_SNAPSHOT: add_disk(disks, nodes, files, change->name); break;
  case POOL_SNAPSHOT_GROUP:
  case POOL_SNAPSHOT_TAGGED:
    for (const char *const *name = change->names; *name; name++)
      add_disk(disks, nodes, files, *name);
    break;
  default: return TRUE;
  }
  *freeze = freeze_begin((const FreezeDisk *)disks->data, disks->len, min_depth, &local);
  if (!local)
    return TRUE;
  g_propagate_error(error, g_steal_pointer(&local));
  return FALSE;
}

/* --- constructors --- */

gboolean pool_create(VolumeGroup *group, const char *thin_pool, const char *name, guint64 size,
                     GError **error)
{
  const PoolChange change = {
      .kind = POOL_CREATE, .thin_pool = thin_pool, .name = name, .size = size};

  return pool_change(group, &change, error);
}

gboolean pool_create_linear(VolumeGroup *group, const char *name, guint64 size, GError **error)
{
  const PoolChange change = {.kind = POOL_CREATE_LINEAR, .name = name, .size = size};

  return pool_change(group, &change, error);
}

gboolean pool_remove_linear(VolumeGroup *group, const char *name, GError **error)
{
  const PoolChange change = {.kind = POOL_REMOVE_LINEAR, .name = name};

  return pool_change(group, &change, error);
}

gboolean pool_clone(VolumeGroup *group, const char *origin, const char *name, guint64 size,
                    GError **error)
{
  const PoolChange change = {.kind = POOL_CLONE, .other = origin, .name = name, .size = size};

  return pool_change(group, &change, error);
}

gboolean pool_snapshot(VolumeGroup *group, const char *volume, const char *snapshot, GError **error)
{
  const PoolChange change = {.kind = POOL_SNAPSHOT, .name = volume, .other = snapshot};

  return pool_change(group, &change, error);
}

/* One alone is a call that older services know. */
gboolean pool_snapshot_group(VolumeGroup *group, const char *const *volumes, const char *snapshot,
                             GError **error)
{
  const PoolChange change = {.kind = POOL_SNAPSHOT_GROUP, .names = volumes, .other = snapshot};

  if (volumes[0] && !volumes[1])
    return pool_snapshot(group, volumes[0], snapshot, error);
  return pool_change(group, &change, error);
}

gboolean pool_snapshot_tagged(VolumeGroup *group, const char *const *volumes, const char *snapshot,
                              const char *const *tags, GError **error)
{
  const PoolChange change = {
      .kind = POOL_SNAPSHOT_TAGGED, .names = volumes, .other = snapshot, .add = tags};

  return pool_change(group, &change, error);
}

gboolean pool_rollback(VolumeGroup *group, const char *volume, const char *snapshot, GError **error)
{
  const PoolChange change = {.kind = POOL_ROLLBACK, .name = volume, .other = snapshot};

  return pool_change(group, &change, error);
}

gboolean pool_clone_into(VolumeGroup *group, const char *origin, const char *name, GError **error)
{
  const PoolChange change = {.kind = POOL_CLONE_INTO, .other = origin, .name = name};

  return pool_change(group, &change, error);
}

gboolean pool_rename(VolumeGroup *group, const char *name, const char *new_name, GError **error)
{
  const PoolChange change = {.kind = POOL_RENAME, .name = name, .other = new_name};

  return pool_change(group, &change, error);
}

gboolean pool_template(VolumeGroup *group, const char *name, const char *new_name, GError **error)
{
  const PoolChange change = {.kind = POOL_TEMPLATE, .name = name, .other = new_name};

  return pool_change(group, &change, error);
}

gboolean pool_resize(VolumeGroup *group, const char *name, guint64 size, gboolean shrink,
                     GError **error)
{
  const PoolChange change = {.kind = POOL_RESIZE, .name = name, .size = size, .flag = shrink};

  return pool_change(group, &change, error);
}

gboolean pool_resize_pool(VolumeGroup *group, const char *thin_pool, guint64 size,
                          gboolean metadata, GError **error)
{
  const PoolChange change = {
      .kind = POOL_RESIZE_POOL, .thin_pool = thin_pool, .size = size, .flag = metadata};

  return pool_change(group, &change, error);
}

gboolean pool_remove(VolumeGroup *group, const char *const *names, gboolean with_snapshots,
                     GError **error)
{
  const PoolChange change = {.kind = POOL_REMOVE, .names = names, .flag = with_snapshots};

  return pool_change(group, &change, error);
}

gboolean pool_set_tags(VolumeGroup *group, const char *name, const char *const *add,
                       const char *const *remove, GError **error)
{
  const PoolChange change = {.kind = POOL_SET_TAGS, .name = name, .add = add, .remove = remove};

  return pool_change(group, &change, error);
}

gboolean pool_publish(VolumeGroup *group, const PoolPublication *volumes, guint n, GError **error)
{
  const PoolChange change = {.kind = POOL_PUBLISH, .publications = volumes, .n_publications = n};

  return pool_change(group, &change, error);
}

gboolean pool_create_pool(VolumeGroup *group, const char *thin_pool, const PoolNew *params,
                          GError **error)
{
  PoolChange change = {.kind = POOL_CREATE_POOL, .name = thin_pool};

  if (params)
    change.new_pool = *params;
  return pool_change(group, &change, error);
}

gboolean pool_extend(VolumeGroup *group, const char *path, GError **error)
{
  const PoolChange change = {.kind = POOL_EXTEND, .name = path};

  return pool_change(group, &change, error);
}
