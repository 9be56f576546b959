/* virt-thin - guests' volumes as Proxmox VE knows them: names, what can be done with one, templates
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/guest.h"

#include <string.h>

#include "pool/rules.h"

#define MAX_DISKS 1024 /* PVE::Storage::Plugin: $MAX_VOLUMES_PER_GUEST */
#define COPY_SIZE (4u << 20)

/* --- names --- */

gboolean pool_guest_parse_name(PoolGuestStorage storage, const char *name, PoolGuestName *parsed,
                               GError **error)
{
  gboolean is_base = storage == POOL_GUEST_THIN && g_str_has_prefix(name, "base-");
  const char *digits = name + strlen(is_base ? "base-" : "vm-");
  gsize n;

  *parsed = (PoolGuestName){NULL};
  if (!pool_rules_is_proxmox_name(name))
    return vt_set_error(error, EINVAL, "lvm name '%s' contains illegal characters", name);
  if (!is_base && !g_str_has_prefix(name, "vm-"))
    return vt_set_error(error, EINVAL, "unable to parse lvm volume name '%s'", name);
  n = strspn(digits, "0123456789");
  if (!n || digits[n] != '-' || !digits[n + 1])
    return vt_set_error(error, EINVAL, "unable to parse lvm volume name '%s'", name);
  parsed->vmid = g_strndup(digits, n);
  parsed->is_base = is_base;
  parsed->format =
      storage == POOL_GUEST_THICK && g_str_has_suffix(name, ".qcow2") ? "qcow2" : "raw";
  return TRUE;
}

void pool_guest_name_clear(PoolGuestName *parsed)
{
  g_clear_pointer(&parsed->vmid, g_free);
}

gboolean pool_guest_parse_volume_id(const char *volume_id, char **storage, char **volume,
                                    GError **error)
{
  const char *colon = strchr(volume_id, ':');
  g_autofree char *id = g_strndup(volume_id, colon ? colon - volume_id : 0);

  if (!colon || !colon[1] || strchr(volume_id, '\n') || !g_ascii_isalpha(*id) ||
      !pool_rules_is_proxmox_name(id))
    return vt_set_error(error, EINVAL, "unable to parse volume ID '%s'", volume_id);
  *storage = g_steal_pointer(&id);
  *volume = g_strdup(colon + 1);
  return TRUE;
}

gboolean pool_guest_is_vmid(const char *text)
{
  gsize length = strlen(text);

  return length >= 3 && length <= 9 && text[0] != '0' && strspn(text, "0123456789") == length;
}

gboolean pool_guest_check_snapshot(const char *name, GError **error)
{
  gsize length = strlen(name);
  gboolean ok = length >= 2 && g_ascii_isalpha(name[0]);

  for (const char *p = name; ok && *p; p++)
    ok = g_ascii_isalnum(*p) || *p == '_' || *p == '-';
  if (!ok)
    return vt_set_error(error, EINVAL, "invalid configuration ID '%s'", name);
  return length <= 40 || vt_set_error(error, EINVAL, "value may only be 40 characters long");
}

gboolean pool_guest_check_new_name(const char *name, const char *vmid, GError **error)
{
  g_autofree char *prefix = g_strdup_printf("vm-%s-", vmid);
  PoolGuestName parsed;

  if (!g_str_has_prefix(name, prefix))
    return vt_set_error(error, EINVAL, "illegal name '%s' - should be 'vm-%s-*'", name, vmid);
  if (!pool_guest_parse_name(POOL_GUEST_THIN, name, &parsed, error))
    return FALSE;
  pool_guest_name_clear(&parsed);
  return TRUE;
}

/* Mark the numbers of all /(vm|base)-<vmid>-disk-(\d+)/ in @name. */
static void mark_numbers(const char *name, const char *key, gboolean *used)
{
  for (const char *found = name; (found = strstr(found, key)); found += strlen(key)) {
    const char *digits = found + strlen(key);
    guint64 number;

    if (!g_ascii_isdigit(*digits))
      continue;
    number = g_ascii_strtoull(digits, NULL, 10);
    /* 00 is no name that would be given: it takes none from 0. */
    if (number < MAX_DISKS && (digits[0] != '0' || !g_ascii_isdigit(digits[1])))
      used[number] = TRUE;
  }
}

char *pool_guest_next_name(const char *const *names, const char *vmid, const char *storage,
                           GError **error)
{
  g_autofree char *vm = g_strdup_printf("vm-%s-disk-", vmid),
                  *base = g_strdup_printf("base-%s-disk-", vmid);
  gboolean used[MAX_DISKS] = {FALSE};

  for (; *names; names++) {
    mark_numbers(*names, vm, used);
    mark_numbers(*names, base, used);
  }
  for (guint i = 0; i < MAX_DISKS; i++)
    if (!used[i])
      return g_strdup_printf("%s%u", vm, i);
  vt_set_error(error, ENOSPC, "unable to allocate an image name for VM %s in storage '%s'", vmid,
               storage);
  return NULL;
}

/* --- what can be done --- */

gboolean pool_guest_has_feature(PoolGuestStorage storage, const char *feature, PoolGuestState state)
{
  /* Of the current state, of a base, of a snapshot of either. */
  static const struct {
    const char *feature;
    gboolean thin[3], thick[3];
  } features[] = {
      {"snapshot", {1, 0, 0}, {0, 0, 0}},   {"clone", {0, 1, 1}, {0, 0, 0}},
      {"template", {1, 0, 0}, {0, 0, 0}},   {"copy", {1, 1, 1}, {1, 0, 0}},
      {"sparseinit", {1, 1, 0}, {0, 0, 0}}, {"rename", {1, 0, 0}, {1, 0, 0}},
      {"replicate", {0, 0, 0}, {0, 0, 0}},
  };

  for (gsize i = 0; i < G_N_ELEMENTS(features); i++)
    if (strcmp(features[i].feature, feature) == 0)
      return storage == POOL_GUEST_THIN ? features[i].thin[state] : features[i].thick[state];
  return FALSE;
}

/* lvm2 libdm dm_percent_to_round_float() */
guint64 pool_guest_used(guint64 size, guint64 used)
{
  guint hundredths;

  if (!size)
    return 0;
  hundredths = (guint)((double)used * 10000 / (double)size + 0.5);
  if (used > 0 && hundredths == 0)
    hundredths = 1;
  if (used < size && hundredths >= 10000)
    hundredths = 9999;
  return (guint64)((unsigned __int128)size * MIN(hundredths, 10000) / 10000);
}

/* --- on a pool --- */

GStrv pool_guest_names(VolumeGroup *group, GError **error)
{
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, error);
  GPtrArray *names;

  if (!volumes)
    return NULL;
  names = g_ptr_array_new();
  for (guint i = 0; i < volumes->len; i++)
    g_ptr_array_add(names, g_strdup(((PoolVolumeInfo *)volumes->pdata[i])->name));
  g_ptr_array_add(names, NULL);
  return (GStrv)g_ptr_array_free(names, FALSE);
}

/* "vm-101-disk-0, vm-102-disk-0": the linked clones of @name but for @names; NULL: none. */
static char *other_clones(GPtrArray *volumes, const char *name, const char *const *names)
{
  GString *clones = NULL;

  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *volume = volumes->pdata[i];

    if (volume->snapshot_of || g_strcmp0(volume->origin, name) != 0 ||
        g_strv_contains(names, volume->name))
      continue;
    if (!clones)
      clones = g_string_new(volume->name);
    else
      g_string_append_printf(clones, ", %s", volume->name);
  }
  return clones ? g_string_free(clones, FALSE) : NULL;
}

gboolean pool_guest_check_clones(VolumeGroup *group, const char *const *names,
                                 const char *otherwise, GError **error)
{
  g_autoptr(GPtrArray) volumes = NULL;

  for (const char *const *name = names; *name; name++) {
    g_autofree char *clones = NULL;

    if (!pool_rules_is_template_name(*name))
      continue;
    if (!volumes && !(volumes = pool_list_volumes(group, NULL, error)))
      return FALSE;
    clones = other_clones(volumes, *name, names);
    if (clones)
      return vt_set_error(
          error, EBUSY,
          "base volume '%s' is still in use by linked clones: %s. They would stay whole: %s", *name,
          clones, otherwise);
  }
  return TRUE;
}

/* The snapshots of a volume stand in the way of its becoming a template. */
static gboolean check_no_snapshots(VolumeGroup *group, const char *name, GError **error)
{
  g_autoptr(GPtrArray) volumes = pool_list_volumes(group, NULL, error);

  for (guint i = 0; volumes && i < volumes->len; i++) {
    const PoolVolumeInfo *volume = volumes->pdata[i];

    if (g_strcmp0(volume->snapshot_of, name) == 0)
      return vt_set_error(error, EBUSY,
                          "unable to create base volume - found snapshot '%s': remove it first",
                          volume->name);
  }
  return volumes != NULL;
}

gboolean pool_guest_make_template(VolumeGroup *group, const char *name, char **base, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = NULL;
  g_autofree char *new_name = NULL;
  PoolGuestName parsed;

  if (!pool_guest_parse_name(POOL_GUEST_THIN, name, &parsed, error))
    return FALSE;
  pool_guest_name_clear(&parsed);
  if (parsed.is_base)
    return vt_set_error(error, EINVAL, "create_base not possible with base image");
  info = pool_get_volume(group, name, error);
  if (!info || !check_no_snapshots(group, name, error))
    return FALSE;
  if (info->kind != POOL_VOLUME_THIN)
    return vt_set_error(error, EOPNOTSUPP, "can't create base images in lvm storage");
  new_name = g_strconcat("base-", name + strlen("vm-"), NULL);
  if (!pool_template(group, name, new_name, error))
    return FALSE;
  *base = g_steal_pointer(&new_name);
  return TRUE;
}

gboolean pool_guest_finish(VolumeGroup *group, const char *name, GError **error)
{
  return !pool_rules_is_template_name(name) || pool_template(group, name, name, error);
}

/* --- copy --- */

static gboolean copy_run(VtIo *from, VtIo *to, guint64 offset, guint64 length, char *buffer,
                         GError **error)
{
  for (guint64 done = 0; done < length;) {
    gsize step = (gsize)MIN(COPY_SIZE, length - done);

    if (!vt_io_read(from, buffer, step, offset + done, error) ||
        !vt_io_write(to, buffer, step, offset + done, error))
      return FALSE;
    done += step;
  }
  return TRUE;
}

static gboolean copy_content(VtIo *from, VtIo *to, void (*told)(guint64 done, gpointer user_data),
                             gpointer user_data, GError **error)
{
  g_autofree char *buffer = g_malloc(COPY_SIZE);
  guint64 size = vt_io_size(from), length;
  gboolean mapped;

  for (guint64 offset = 0; offset < size; offset += length) {
    if (!vt_io_extent(from, offset, size - offset, &length, &mapped, error) ||
        (mapped && !copy_run(from, to, offset, length, buffer, error)))
      return FALSE;
    if (told)
      told(offset + length, user_data);
  }
  return vt_io_flush(to, error);
}

gboolean pool_guest_reads_zero(VolumeGroup *group, const char *name, gboolean *reads_zero,
                               GError **error)
{
  g_autoptr(PoolVolumeInfo) volume = pool_get_volume(group, name, error);
  g_autoptr(PoolInfo) info =
      volume && volume->pool ? pool_get_info(group, volume->pool, error) : NULL;

  *reads_zero = info && info->zeroes;
  return volume && (info || !volume->pool);
}

static gboolean make_blank(VolumeGroup *group, const char *name, VtIo *volume, GError **error)
{
  gboolean blank;

  return pool_guest_reads_zero(group, name, &blank, error) &&
         (blank || vt_io_zero(volume, 0, vt_io_size(volume), VT_IO_ZERO_MAY_UNMAP, error));
}

gboolean pool_guest_copy(VolumeGroup *group, const char *name, const char *thin_pool,
                         const char *new_name, void (*told)(guint64 done, gpointer user_data),
                         gpointer user_data, GError **error)
{
  g_autoptr(PoolVolumeInfo) info = pool_get_volume(group, name, error);
  VtIo *from = info ? pool_volume_open(group, name, TRUE, "a full clone", error) : NULL, *to = NULL;
  const char *made[] = {new_name, NULL};
  gboolean ok = FALSE, created = FALSE;

  if (from)
    created = pool_create(group, thin_pool ? thin_pool : info->pool, new_name, info->size, error);
  if (created)
    to = pool_volume_open(group, new_name, FALSE, "a full clone", error);
  if (to)
    ok = make_blank(group, new_name, to, error) && copy_content(from, to, told, user_data, error);
  g_clear_pointer(&to, vt_io_unref);
  g_clear_pointer(&from, vt_io_unref);
  ok = ok && pool_guest_finish(group, new_name, error);
  if (created && !ok)
    pool_remove(group, made, FALSE, NULL);
  return ok;
}
