/* virt-thin - a stream of volumes: what it says of a volume
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "transfer/stream-private.h"
#include "util/name.h"

static const char *const kinds[STREAM_N_KINDS] = {"volume", "snapshot", "template", "linear"};
static const char *const bases[STREAM_N_BASES] = {"none", "earlier", "there"};

void stream_volume_free(StreamVolume *volume)
{
  if (!volume)
    return;
  g_free(volume->name);
  g_free(volume->snapshot_of);
  g_free(volume->snapshot_name);
  g_free(volume->origin);
  g_free(volume->pool);
  g_free(volume->uuid);
  g_free(volume->identity);
  g_free(volume->base_identity);
  g_strfreev(volume->tags);
  g_clear_pointer(&volume->more, g_variant_unref);
  g_free(volume);
}

/* --- a dictionary as bytes --- */

GBytes *stream_dict_to_bytes(GVariant *dict)
{
  g_autoptr(GVariant) value = g_variant_ref_sink(dict);
#if G_BYTE_ORDER == G_BIG_ENDIAN
  g_autoptr(GVariant) swapped = g_variant_byteswap(value);

  return g_variant_get_data_as_bytes(swapped);
#else
  return g_variant_get_data_as_bytes(value);
#endif
}

GVariant *stream_dict_from_data(gpointer data, gsize length, GError **error)
{
  g_autoptr(GVariant) value = g_variant_ref_sink(
      g_variant_new_from_data(G_VARIANT_TYPE_VARDICT, data, length, FALSE, g_free, data));

  if (!g_variant_is_normal_form(value)) {
    vt_set_error(error, EBADMSG, "a description in it is not one");
    return NULL;
  }
#if G_BYTE_ORDER == G_BIG_ENDIAN
  return g_variant_byteswap(value);
#else
  return g_steal_pointer(&value);
#endif
}

/* --- out --- */

/* A text of the volume group may hold any bytes. */
static GVariant *string_value(const char *string)
{
  return g_variant_new_take_string(g_utf8_make_valid(string, -1));
}

static void add_string(GVariantBuilder *builder, const char *key, const char *string)
{
  if (string)
    g_variant_builder_add(builder, "{sv}", key, string_value(string));
}

static void add_strings(GVariantBuilder *builder, const char *key, GStrv strings)
{
  GVariantBuilder values;

  g_variant_builder_init(&values, G_VARIANT_TYPE_STRING_ARRAY);
  for (; strings && *strings; strings++)
    g_variant_builder_add_value(&values, string_value(*strings));
  g_variant_builder_add(builder, "{sv}", key, g_variant_builder_end(&values));
}

static void add_number(GVariantBuilder *builder, const char *key, guint64 number)
{
  g_variant_builder_add(builder, "{sv}", key, g_variant_new_uint64(number));
}

GVariant *stream_volume_to_dict(const StreamVolume *volume)
{
  GVariantBuilder builder;

  g_variant_builder_init(&builder, G_VARIANT_TYPE_VARDICT);
  add_string(&builder, "name", volume->name);
  add_string(&builder, "kind", kinds[volume->kind]);
  add_string(&builder, "snapshot-of", volume->snapshot_of);
  add_string(&builder, "snapshot-name", volume->snapshot_name);
  add_string(&builder, "origin", volume->origin);
  add_string(&builder, "pool", volume->pool);
  add_string(&builder, "uuid", volume->uuid);
  add_string(&builder, "identity", volume->identity);
  add_number(&builder, "size", volume->size);
  add_number(&builder, "creation-time", volume->creation_time);
  add_strings(&builder, "tags", volume->tags);
  add_string(&builder, "base", bases[volume->base]);
  add_number(&builder, "base-index", volume->base_index);
  add_string(&builder, "base-identity", volume->base_identity);
  g_variant_builder_add(&builder, "{sv}", "moves", g_variant_new_boolean(volume->moves));
  if (volume->more)
    g_variant_builder_add(&builder, "{sv}", "more", volume->more);
  return g_variant_builder_end(&builder);
}

/* --- in --- */

static char *get_string(GVariant *dict, const char *key)
{
  char *string = NULL;

  g_variant_lookup(dict, key, "s", &string);
  return string;
}

/* Which of @words it is. */
static gboolean get_word(GVariant *dict, const char *key, const char *const *words, guint n,
                         guint *which, GError **error)
{
  const char *word = NULL;
  g_autofree char *shown = NULL;

  if (!g_variant_lookup(dict, key, "&s", &word))
    return vt_set_error(error, EBADMSG, "a volume in it has no %s", key);
  for (*which = 0; *which < n; (*which)++)
    if (strcmp(words[*which], word) == 0)
      return TRUE;
  shown = g_strescape(word, NULL);
  return vt_set_error(error, EOPNOTSUPP,
                      "a volume in it has %s \"%.40s\", which this version does not know", key,
                      shown);
}

static gboolean is_identity(const char *text)
{
  return text && strlen(text) == STREAM_IDENTITY_LENGTH &&
         strspn(text, "0123456789abcdef") == STREAM_IDENTITY_LENGTH;
}

static gboolean check_names(const StreamVolume *v, GError **error)
{
  if (!v->name)
    return vt_set_error(error, EBADMSG, "a volume in it has no name");
  if (!vt_lv_name_check(v->name, error) ||
      (v->snapshot_of && !vt_lv_name_check(v->snapshot_of, error)) ||
      (v->snapshot_name && !vt_lv_name_check(v->snapshot_name, error)) ||
      (v->origin && !vt_lv_name_check(v->origin, error)) ||
      (v->pool && !vt_lv_name_check(v->pool, error)))
    return FALSE;
  for (guint i = 0; v->tags[i]; i++)
    if (!vt_tag_check(v->tags[i], error))
      return FALSE;
  if (v->uuid && (strlen(v->uuid) > 64 || !g_str_is_ascii(v->uuid)))
    return vt_set_error(error, EBADMSG, "volume %s in it has a UUID that is none", v->name);
  return TRUE;
}

static gboolean check(const StreamVolume *v, guint index, GError **error)
{
  if (!check_names(v, error))
    return FALSE;
  if (v->size == 0 || v->size > STREAM_MAX_SIZE)
    return vt_set_error(error, EBADMSG, "volume %s in it has a size of %" G_GUINT64_FORMAT " bytes",
                        v->name, v->size);
  if ((v->identity && !is_identity(v->identity)) ||
      (v->base == STREAM_BASE_THERE && !is_identity(v->base_identity)))
    return vt_set_error(error, EBADMSG, "volume %s in it has an identity that is none", v->name);
  if (v->base == STREAM_BASE_EARLIER && v->base_index >= index)
    return vt_set_error(error, EBADMSG, "volume %s in it is based on one that comes later",
                        v->name);
  if (v->kind == STREAM_SNAPSHOT ? !v->identity : v->snapshot_of || v->moves)
    return vt_set_error(error, EBADMSG, "volume %s in it is half a snapshot", v->name);
  return TRUE;
}

StreamVolume *stream_volume_from_dict(GVariant *dict, guint index, GError **error)
{
  g_autoptr(StreamVolume) v = g_new0(StreamVolume, 1);
  guint64 base_index = G_MAXUINT64;
  guint kind, base;

  if (!get_word(dict, "kind", kinds, STREAM_N_KINDS, &kind, error) ||
      !get_word(dict, "base", bases, STREAM_N_BASES, &base, error))
    return NULL;
  v->kind = kind;
  v->base = base;
  v->name = get_string(dict, "name");
  v->snapshot_of = get_string(dict, "snapshot-of");
  v->snapshot_name = get_string(dict, "snapshot-name");
  v->origin = get_string(dict, "origin");
  v->pool = get_string(dict, "pool");
  v->uuid = get_string(dict, "uuid");
  v->identity = get_string(dict, "identity");
  v->base_identity = get_string(dict, "base-identity");
  g_variant_lookup(dict, "size", "t", &v->size);
  g_variant_lookup(dict, "creation-time", "t", &v->creation_time);
  g_variant_lookup(dict, "base-index", "t", &base_index);
  g_variant_lookup(dict, "moves", "b", &v->moves);
  v->base_index = (guint)MIN(base_index, G_MAXUINT);
  v->more = g_variant_lookup_value(dict, "more", G_VARIANT_TYPE_VARDICT);
  if (!g_variant_lookup(dict, "tags", "^as", &v->tags))
    v->tags = g_new0(char *, 1);
  return check(v, index, error) ? g_steal_pointer(&v) : NULL;
}
