/* virt-thin - failover: the domains that have travelled along
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/failover-domains.h"

#include <string.h>

#include "cli/cli.h"

typedef struct {
  const Replica *replica;
  PoolHolder holder;
  GPtrArray *volumes;
  ApplyDomains *here;
} Work;

static void domain_free(gpointer data)
{
  FailoverDomain *domain = data;

  g_free(domain->document);
  g_free(domain);
}

/* --- where a disk is --- */

/* As the volume's snapshot shows, which is there. */
static const PoolVolumeInfo *find_snapshot(const Work *work, const char *volume)
{
  const Replica *r = work->replica;

  for (guint i = 0; r->volumes[i]; i++)
    for (guint j = 0; strcmp(r->volumes[i], volume) == 0 && j < work->volumes->len; j++) {
      const PoolVolumeInfo *info = work->volumes->pdata[j];

      if (strcmp(info->name, r->snapshots[i]) == 0)
        return info;
    }
  return NULL;
}

static void set_path(const Work *work, const char *volume, ApplyDisk *disk)
{
  const PoolVolumeInfo *snapshot = find_snapshot(work, volume);
  const char *vg = work->replica->vg;
  g_autofree char *folder = NULL;

  disk->is_block =
      work->holder == POOL_HOLDER_KERNEL || (snapshot && snapshot->path && snapshot->path_is_block);
  folder = disk->is_block ? g_build_filename(settings_dev_dir(), vg, NULL)
                          : settings_vg_file(vg, "volumes");
  disk->path = g_build_filename(folder, replica_lv(volume), NULL);
}

/* @was a volume of a pool of libvirt's, so it becomes one if there is such a pool. */
static ApplyDisk *place(const Work *work, const ApplyDisk *was, const char *volume)
{
  const char *pool =
      was->pool ? apply_domains_find_pool(work->here, work->replica->vg, work->replica->pool)
                : NULL;
  ApplyDisk *disk = g_new0(ApplyDisk, 1);

  disk->target = g_strdup(was->target);
  if (pool) {
    disk->pool = g_strdup(pool);
    disk->volume = g_strdup(replica_lv(volume));
  } else {
    set_path(work, volume, disk);
  }
  return disk;
}

/* The volume that disk @target is of; NULL: none that is replicated. */
static const char *volume_of(const ReplicaDomain *domain, const char *target)
{
  for (char **disk = domain->disks; disk[0] && disk[1]; disk += 2)
    if (strcmp(disk[0], target) == 0)
      return disk[1];
  return NULL;
}

/* GPtrArray of ApplyDisk *. */
static GPtrArray *places(const Work *work, const ReplicaDomain *domain)
{
  GPtrArray *moved = g_ptr_array_new_with_free_func((GDestroyNotify)apply_disk_free);
  g_autoptr(GPtrArray) disks = apply_domain_disks(domain->document);

  for (guint i = 0; i < disks->len; i++) {
    const ApplyDisk *disk = disks->pdata[i];
    const char *volume = volume_of(domain, disk->target);

    if (volume)
      g_ptr_array_add(moved, place(work, disk, volume));
    else if (disk->path || disk->volume)
      cli_warn("note: disk %s of domain %s is %s, which is no replica: it stays so", disk->target,
               domain->name, disk->path ? disk->path : disk->volume);
  }
  return moved;
}

/* --- what is here already --- */

/* Has the domain that is here the disks that it should have? */
static gboolean is_same(const ApplyDomain *here, GPtrArray *moved)
{
  g_autoptr(GPtrArray) disks = apply_domain_disks(here->document);

  for (guint i = 0; i < moved->len; i++) {
    gboolean found = FALSE;

    for (guint j = 0; j < disks->len && !found; j++) {
      const ApplyDisk *disk = disks->pdata[j], *want = moved->pdata[i];

      found = strcmp(disk->target, want->target) == 0 && apply_disk_is_same_place(disk, want);
    }
    if (!found)
      return FALSE;
  }
  return TRUE;
}

static gboolean check(const Work *work, GPtrArray *moved, FailoverDomain *plan, GError **error)
{
  const ReplicaDomain *domain = plan->domain;
  const ApplyDomain *same = apply_domains_find_uuid(work->here, domain->uuid),
                    *named = apply_domains_find(work->here, domain->name);

  if (named && named != same)
    return vt_set_error(error, EEXIST,
                        "another domain %s is here, with UUID %s: rename one of them", domain->name,
                        named->uuid);
  if (!same)
    return TRUE;
  if (!named)
    return vt_set_error(error, EEXIST, "domain %s has the UUID of %s, which is to be defined: %s",
                        same->name, domain->name, domain->uuid);
  if (!is_same(same, moved)) {
    g_autofree char *quoted = g_shell_quote(domain->name);

    return vt_set_error(error, EEXIST,
                        "domain %s is here already, with other disks than the replicas; if it is "
                        "not needed, virsh undefine --keep-nvram %s lets it be defined anew",
                        domain->name, quoted);
  }
  plan->is_defined = TRUE;
  plan->is_active = same->active;
  return TRUE;
}

GPtrArray *failover_domains(const Replica *replica, PoolHolder holder, GPtrArray *volumes,
                            ApplyDomains *here, GError **error)
{
  const Work work = {replica, holder, volumes, here};
  g_autoptr(GPtrArray) plans = g_ptr_array_new_with_free_func(domain_free);

  for (guint i = 0; i < replica->domains->len; i++) {
    FailoverDomain *plan = g_new0(FailoverDomain, 1);
    g_autoptr(GPtrArray) moved = NULL;

    g_ptr_array_add(plans, plan);
    plan->domain = replica->domains->pdata[i];
    moved = places(&work, plan->domain);
    plan->document = apply_domain_move(plan->domain->document, moved);
    if (!plan->document) {
      vt_set_error(error, EINVAL, "%s: the document of domain %s is none", replica->file,
                   plan->domain->name);
      return NULL;
    }
    if (!check(&work, moved, plan, error))
      return NULL;
  }
  return g_steal_pointer(&plans);
}
