/* virt-thin - what pool.h's structs look like on D-Bus
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/pool-private.h"
#include "pool/remote/wire.h"

#include <string.h>

#include "pool/pool-private.h"

/* A string for the wire; floating. */
static GVariant *text(const char *string)
{
  if (!string)
    return g_variant_new_string("");
  if (g_utf8_validate(string, -1, NULL))
    return g_variant_new_string(string);
  return g_variant_new_take_string(g_utf8_make_valid(string, -1));
}

static GVariant *texts(const char *const *strings)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE("as"));
  for (; strings && *strings; strings++)
    g_variant_builder_add_value(&builder, text(*strings));
  return g_variant_builder_end(&builder);
}

static GVariant *further(const PoolVolumeInfo *info)
{
  GVariantBuilder more;

  g_variant_builder_init(&more, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&more, "{sv}", "open_by", text(info->open_by));
  return g_variant_builder_end(&more);
}

GVariant *pool_wire_from_strings(GPtrArray *strings)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE("as"));
  for (guint i = 0; strings && i < strings->len; i++)
    g_variant_builder_add_value(&builder, text(strings->pdata[i]));
  return g_variant_builder_end(&builder);
}

GVariant *pool_wire_from_volume(const PoolVolumeInfo *info)
{
  return g_variant_new("(@s@s@ss@s@s@s@sttxubb@as@st@sb@a{sv})", text(info->vg), text(info->name),
                       text(info->uuid), info->kind == POOL_VOLUME_LINEAR ? "linear" : "thin",
                       text(info->pool), text(info->origin), text(info->snapshot_of),
                       text(info->snapshot_name), info->size, info->mapped, info->vmid,
                       info->device_id, info->read_only, info->active,
                       texts((const char *const *)info->tags), text(info->path),
                       info->creation_time, text(info->damage), info->path_is_block, further(info));
}

GVariant *pool_wire_from_pool(const PoolInfo *info)
{
  GVariantBuilder more;

  g_variant_builder_init(&more, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&more, "{sv}", "max_size", g_variant_new_uint64(info->max_size));
  g_variant_builder_add(&more, "{sv}", "metadata_spare",
                        g_variant_new_uint64(info->metadata_spare));
  g_variant_builder_add(&more, "{sv}", "snapshots_counted",
                        g_variant_new_uint32(info->snapshots_counted));
  g_variant_builder_add(&more, "{sv}", "snapshots_metadata",
                        g_variant_new_uint64(info->snapshots_metadata));
  g_variant_builder_add(&more, "{sv}", "snapshots_left",
                        g_variant_new_uint64(info->snapshots_left));
  g_variant_builder_add(&more, "{sv}", "available", g_variant_new_uint64(info->available));
  g_variant_builder_add(&more, "{sv}", "zeroes", g_variant_new_boolean(info->zeroes));
  g_variant_builder_add(&more, "{sv}", "grown", text(info->grown));
  g_variant_builder_add(&more, "{sv}", "grows_at", g_variant_new_uint32(info->grows_at));
  g_variant_builder_add(&more, "{sv}", "grows_by", g_variant_new_uint32(info->grows_by));
  g_variant_builder_add(&more, "{sv}", "unwatched", text(info->unwatched));
  return g_variant_new("(@s@s@stttttttubbb@s@a{sv})", text(info->vg), text(info->name),
                       text(info->uuid), info->size, info->used, info->metadata_size,
                       info->metadata_used, info->chunk_size, info->virtual_size,
                       info->transaction_id, info->n_volumes, info->needs_check, info->read_only,
                       info->active, text(info->health), g_variant_builder_end(&more));
}

GVariant *pool_wire_from_vg(const PoolVgInfo *info)
{
  GVariantBuilder more;

  g_variant_builder_init(&more, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&more, "{sv}", "health", text(info->health));
  return g_variant_new("(@s@stttttt@as@s@a{sv})", text(info->name), text(info->uuid),
                       info->extent_size, info->size, info->free, info->seqno,
                       info->metadata_area_used, info->metadata_area_size,
                       texts((const char *const *)info->devices), text(info->served_by),
                       g_variant_builder_end(&more));
}

/* "" back to NULL; takes @string. */
static char *take(char *string)
{
  if (string && *string)
    return string;
  g_free(string);
  return NULL;
}

PoolVolumeInfo *pool_wire_to_volume(GVariant *value)
{
  PoolVolumeInfo *info = g_new0(PoolVolumeInfo, 1);
  g_autoptr(GVariant) more = NULL;
  const char *kind;

  g_variant_get(value, "(sss&sssssttxubb^asstsb@a{sv})", &info->vg, &info->name, &info->uuid, &kind,
                &info->pool, &info->origin, &info->snapshot_of, &info->snapshot_name, &info->size,
                &info->mapped, &info->vmid, &info->device_id, &info->read_only, &info->active,
                &info->tags, &info->path, &info->creation_time, &info->damage, &info->path_is_block,
                &more);
  g_variant_lookup(more, "open_by", "s", &info->open_by);
  info->kind = g_str_equal(kind, "linear") ? POOL_VOLUME_LINEAR : POOL_VOLUME_THIN;
  info->pool = take(info->pool);
  info->origin = take(info->origin);
  info->snapshot_of = take(info->snapshot_of);
  info->snapshot_name = take(info->snapshot_name);
  info->path = take(info->path);
  info->damage = take(info->damage);
  info->open_by = take(info->open_by);
  return info;
}

PoolInfo *pool_wire_to_pool(GVariant *value)
{
  PoolInfo *info = g_new0(PoolInfo, 1);
  g_autoptr(GVariant) more = NULL;

  g_variant_get(value, "(ssstttttttubbbs@a{sv})", &info->vg, &info->name, &info->uuid, &info->size,
                &info->used, &info->metadata_size, &info->metadata_used, &info->chunk_size,
                &info->virtual_size, &info->transaction_id, &info->n_volumes, &info->needs_check,
                &info->read_only, &info->active, &info->health, &more);
  g_variant_lookup(more, "max_size", "t", &info->max_size);
  g_variant_lookup(more, "metadata_spare", "t", &info->metadata_spare);
  info->snapshots_left = G_MAXUINT64;
  g_variant_lookup(more, "snapshots_counted", "u", &info->snapshots_counted);
  g_variant_lookup(more, "snapshots_metadata", "t", &info->snapshots_metadata);
  g_variant_lookup(more, "snapshots_left", "t", &info->snapshots_left);
  if (!g_variant_lookup(more, "available", "t", &info->available)) /* an older service */
    info->available = info->size - MIN(info->used, info->size);
  g_variant_lookup(more, "zeroes", "b", &info->zeroes);
  g_variant_lookup(more, "grown", "s", &info->grown);
  g_variant_lookup(more, "grows_at", "u", &info->grows_at);
  g_variant_lookup(more, "grows_by", "u", &info->grows_by);
  g_variant_lookup(more, "unwatched", "s", &info->unwatched);
  info->grown = take(info->grown);
  info->unwatched = take(info->unwatched);
  info->health = take(info->health);
  return info;
}

PoolVgInfo *pool_wire_to_vg(GVariant *value)
{
  PoolVgInfo *info = g_new0(PoolVgInfo, 1);
  g_autoptr(GVariant) more = NULL;

  g_variant_get(value, "(sstttttt^ass@a{sv})", &info->name, &info->uuid, &info->extent_size,
                &info->size, &info->free, &info->seqno, &info->metadata_area_used,
                &info->metadata_area_size, &info->devices, &info->served_by, &more);
  g_variant_lookup(more, "health", "s", &info->health);
  info->served_by = take(info->served_by);
  info->health = take(info->health);
  return info;
}

GPtrArray *pool_wire_to_strings(GVariant *value)
{
  GPtrArray *strings = g_ptr_array_new_with_free_func(g_free);
  GVariantIter iter;
  char *string;

  g_variant_iter_init(&iter, value);
  while (g_variant_iter_next(&iter, "s", &string))
    g_ptr_array_add(strings, string);
  return strings;
}

const char *pool_wire_event(PoolEvent event)
{
  static const char *const names[] = {"added", "removed", "renamed", "resized", "replaced"};

  return (guint)event < G_N_ELEMENTS(names) ? names[event] : "changed";
}

/* --- changes --- */

gboolean pool_wire_check_text(const char *string, GError **error)
{
  g_autofree char *readable = NULL;

  if (!string || g_utf8_validate(string, -1, NULL))
    return TRUE;
  readable = g_strescape(string, NULL);
  return vt_set_error(error, EINVAL, "\"%s\" is not a valid name: it is not UTF-8", readable);
}

#define PUBLICATIONS "a(ssssbass)"

static GVariant *from_publications(const PoolPublication *p, guint n, GError **error)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE(PUBLICATIONS));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add(&builder, "(@s@s@s@sb@as@s)", text(p[i].name), text(p[i].new_name),
                          text(p[i].snapshot_of), text(p[i].origin), p[i].sealed, texts(p[i].tags),
                          text(p[i].into));
  return g_variant_builder_end(&builder);
}

static const char *or_null(const char *string)
{
  return *string ? string : NULL;
}

/* Strings are @value's. */
static void to_publications(GVariant *value, PoolChange *change)
{
  gsize n = g_variant_n_children(value);
  PoolPublication *p = g_new0(PoolPublication, n + 1);

  change->publications = p;
  change->n_publications = (guint)n;
  for (gsize i = 0; i < n; i++) {
    g_variant_get_child(value, i, "(&s&s&s&sb^a&s&s)", &p[i].name, &p[i].new_name,
                        &p[i].snapshot_of, &p[i].origin, &p[i].sealed, &p[i].tags, &p[i].into);
    p[i].new_name = or_null(p[i].new_name);
    p[i].snapshot_of = or_null(p[i].snapshot_of);
    p[i].origin = or_null(p[i].origin);
    p[i].into = or_null(p[i].into);
  }
}

/* What the letters of a row stand for. */
static const struct {
  char letter;
  const char *type;
  gsize offset;
} members[] = {
    {'n', "s", offsetof(PoolChange, name)},
    {'P', "s", offsetof(PoolChange, name)}, /* a path: absolute, as the service is elsewhere */
    {'o', "s", offsetof(PoolChange, other)},
    {'p', "s", offsetof(PoolChange, thin_pool)}, /* "": NULL */
    {'l', "as", offsetof(PoolChange, names)},
    {'+', "as", offsetof(PoolChange, add)},
    {'-', "as", offsetof(PoolChange, remove)},
    {'s', "t", offsetof(PoolChange, size)},
    {'f', "b", offsetof(PoolChange, flag)},
    {'S', "t", offsetof(PoolChange, new_pool.size)},
    {'R', "t", offsetof(PoolChange, new_pool.reserve)},
    {'C', "t", offsetof(PoolChange, new_pool.chunk_size)},
    {'M', "t", offsetof(PoolChange, new_pool.metadata_size)},
    {'X', "t", offsetof(PoolChange, new_pool.max_size)},
    {'V', PUBLICATIONS, offsetof(PoolChange, publications)},
};

static gsize find_member(char letter)
{
  for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
    if (members[i].letter == letter)
      return i;
  g_assert_not_reached();
}

static GVariant *from_string(char letter, const char *string, GError **error)
{
  g_autofree char *path = letter == 'P' ? g_canonicalize_filename(string, NULL) : NULL;

  return pool_wire_check_text(path ? path : string, error) ? text(path ? path : string) : NULL;
}

static GVariant *from_strings(const char *const *strings, GError **error)
{
  for (const char *const *string = strings; string && *string; string++)
    if (!pool_wire_check_text(*string, error))
      return NULL;
  return texts(strings);
}

static GVariant *from_member(char letter, const PoolChange *change, GError **error)
{
  gsize i = find_member(letter);
  gconstpointer at = (const char *)change + members[i].offset;

  if (letter == 'V')
    return from_publications(change->publications, change->n_publications, error);
  switch (*members[i].type) {
  case 's': return from_string(letter, *(const char *const *)at, error);
  case 'a': return from_strings(*(const char *const *const *)at, error);
  case 't': return g_variant_new_uint64(*(const guint64 *)at);
  default: return g_variant_new_boolean(*(const gboolean *)at);
  }
}

GVariant *pool_wire_from_change(const PoolChange *change, GError **error)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_TUPLE);
  for (const char *letter = pool_changes[change->kind].members; *letter; letter++) {
    GVariant *value = from_member(*letter, change, error);

    if (!value) {
      g_variant_builder_clear(&builder);
      return NULL;
    }
    g_variant_builder_add_value(&builder, value);
  }
  return g_variant_builder_end(&builder);
}

static gboolean to_string(char letter, GVariant *value, const char **string, GError **error)
{
  *string = g_variant_get_string(value, NULL);
  if (letter == 'p' && !**string)
    *string = NULL;
  return letter != 'P' || g_path_is_absolute(*string) ||
         vt_set_error(error, EINVAL, "adding %s: the service needs an absolute path", *string);
}

static gboolean to_member(char letter, GVariant *value, PoolChange *change, GError **error)
{
  gsize i = find_member(letter);
  gpointer at = (char *)change + members[i].offset;

  if (letter == 'V') {
    to_publications(value, change);
    return TRUE;
  }
  switch (*members[i].type) {
  case 's': return to_string(letter, value, at, error);
  case 'a': *(const char ***)at = g_variant_get_strv(value, NULL); return TRUE;
  case 't': *(guint64 *)at = g_variant_get_uint64(value); return TRUE;
  default: *(gboolean *)at = g_variant_get_boolean(value); return TRUE;
  }
}

gboolean pool_wire_to_change(const char *method, GVariant *in, PoolChange *change, GError **error)
{
  const char *letters;

  *change = (PoolChange){0};
  while (change->kind < POOL_N_CHANGES && strcmp(pool_changes[change->kind].method, method) != 0)
    change->kind++;
  if (change->kind == POOL_N_CHANGES)
    return FALSE;
  letters = pool_changes[change->kind].members;
  for (gsize i = 0; letters[i]; i++) {
    g_autoptr(GVariant) value = g_variant_get_child_value(in, i);

    if (!to_member(letters[i], value, change, error))
      return FALSE;
  }
  return TRUE;
}

void pool_wire_change_clear(PoolChange *change)
{
  g_free((gpointer)change->names);
  g_free((gpointer)change->add);
  g_free((gpointer)change->remove);
  for (guint i = 0; i < change->n_publications; i++)
    g_free((gpointer)change->publications[i].tags);
  g_free((gpointer)change->publications);
}

/* --- deltas --- */

GVariant *pool_wire_from_delta(const GArray *runs)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE(POOL_WIRE_DELTA));
  for (guint i = 0; i < runs->len; i++) {
    const PoolDeltaRun *run = &g_array_index(runs, PoolDeltaRun, i);
    g_variant_builder_add(&builder, "(ttu)", run->offset, run->length, (guint32)run->kind);
  }
  return g_variant_builder_end(&builder);
}

void pool_wire_to_delta(GVariant *value, GArray *runs)
{
  GVariantIter iter;
  PoolDeltaRun run;
  guint32 kind;

  g_variant_iter_init(&iter, value);
  while (g_variant_iter_next(&iter, "(ttu)", &run.offset, &run.length, &kind)) {
    run.kind = (PoolDeltaKind)kind;
    pool_delta_add(runs, &run);
  }
}

/* --- who uses what --- */

GVariant *pool_wire_from_usage(const PoolUsage *usage)
{
  GVariantBuilder volumes;

  g_variant_builder_init(&volumes, G_VARIANT_TYPE("a(subtt)"));
  for (guint i = 0; i < usage->volumes->len; i++) {
    const PoolVolumeUsage *volume = usage->volumes->pdata[i];

    g_variant_builder_add(&volumes, "(subtt)", volume->name, volume->device_id, volume->chosen,
                          volume->mapped, volume->exclusive);
  }
  return g_variant_new("(stttta(subtt)@a{sv})", usage->pool, usage->used, usage->mapped,
                       usage->strays, usage->freed, &volumes,
                       g_variant_new_array(G_VARIANT_TYPE("{sv}"), NULL, 0));
}

PoolUsage *pool_wire_to_usage(GVariant *value)
{
  PoolUsage *usage = g_new0(PoolUsage, 1);
  g_autoptr(GVariantIter) iter = NULL;
  PoolVolumeUsage volume;

  usage->volumes = g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_usage_free);
  g_variant_get(value, "(stttta(subtt)@a{sv})", &usage->pool, &usage->used, &usage->mapped,
                &usage->strays, &usage->freed, &iter, NULL);
  while (g_variant_iter_next(iter, "(subtt)", &volume.name, &volume.device_id, &volume.chosen,
                             &volume.mapped, &volume.exclusive))
    g_ptr_array_add(usage->volumes, g_memdup2(&volume, sizeof volume));
  return usage;
}
