/* virt-thin - what a backup is of: its manifest.json
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/manifest.h"

#include <string.h>

#include "backup/file.h"
#include "cli/json.h"
#include "util/name.h"

static void volume_free(gpointer data)
{
  BackupVolume *volume = data;

  g_free(volume->vg);
  g_free(volume->vg_uuid);
  g_free(volume->lv);
  g_free(volume->uuid);
  g_free(volume->file);
  g_free(volume->format);
  g_free(volume->checksum_kind);
  g_free(volume->checksum);
  g_free(volume->parent);
  g_array_unref(volume->lost);
  g_free(volume->why_full);
  g_free(volume->baseline);
  g_free(volume->baseline_uuid);
  g_free(volume);
}

BackupManifest *backup_manifest_new(const char *id, gint64 time)
{
  BackupManifest *manifest = g_new0(BackupManifest, 1);

  manifest->id = g_strdup(id);
  manifest->time = time;
  manifest->volumes = g_ptr_array_new_with_free_func(volume_free);
  return manifest;
}

void backup_manifest_free(BackupManifest *manifest)
{
  if (!manifest)
    return;
  g_free(manifest->id);
  g_ptr_array_unref(manifest->volumes);
  g_free(manifest);
}

BackupVolume *backup_manifest_add(BackupManifest *manifest)
{
  BackupVolume *volume = g_new0(BackupVolume, 1);

  volume->lost = g_array_new(FALSE, FALSE, sizeof(BackupLost));
  g_ptr_array_add(manifest->volumes, volume);
  return volume;
}

BackupVolume *backup_manifest_find(const BackupManifest *manifest, const char *vg, const char *lv)
{
  for (guint i = 0; i < manifest->volumes->len; i++) {
    BackupVolume *volume = manifest->volumes->pdata[i];

    if (strcmp(volume->vg, vg) == 0 && strcmp(volume->lv, lv) == 0)
      return volume;
  }
  return NULL;
}

void backup_lost_add(GArray *all, guint64 offset, guint64 length)
{
  BackupLost *last = all->len ? &g_array_index(all, BackupLost, all->len - 1) : NULL;
  const BackupLost lost = {offset, length};

  if (last && last->offset + last->length == offset)
    last->length += length;
  else
    g_array_append_val(all, lost);
}

char *backup_describe_lost(const char *id, const BackupVolume *volume)
{
  g_autoptr(GString) text = g_string_new(NULL);

  for (guint i = 0; i < volume->lost->len; i++) {
    const BackupLost *lost = &g_array_index(volume->lost, BackupLost, i);

    g_string_append_printf(text, "%s%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, i ? ", " : "",
                           lost->offset, lost->offset + lost->length - 1);
  }
  return text->len ? g_strdup_printf("backup %s of %s/%s has zeros where the volume could not be "
                                     "read: bytes %s",
                                     id, volume->vg, volume->lv, text->str)
                   : NULL;
}

/* --- names --- */

gboolean backup_is_id(const char *text)
{
  static const char form[] = "########T######Z";

  for (gsize i = 0; i < sizeof form; i++)
    if (form[i] == '#' ? !g_ascii_isdigit(text[i]) : text[i] != form[i])
      return FALSE;
  return TRUE;
}

char *backup_make_id(gint64 time)
{
  g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc(time);

  return when ? g_date_time_format(when, "%Y%m%dT%H%M%SZ") : NULL;
}

char *backup_file_name(const char *vg, const char *lv, const char *format)
{
  return g_strdup_printf("%s@%s.%s", vg, lv, format);
}

gboolean backup_parse_file_name(const char *file, char **vg, char **lv, char **format)
{
  const char *at = strchr(file, '@'), *dot = strrchr(file, '.');

  *vg = *lv = *format = NULL;
  if (!at || !dot || dot < at || (strcmp(dot, ".raw") != 0 && strcmp(dot, ".qcow2") != 0))
    return FALSE;
  *vg = g_strndup(file, (gsize)(at - file));
  *lv = g_strndup(at + 1, (gsize)(dot - at - 1));
  *format = g_strdup(dot + 1);
  if (vt_vg_name_check(*vg, NULL) && vt_lv_name_check(*lv, NULL))
    return TRUE;
  g_clear_pointer(vg, g_free);
  g_clear_pointer(lv, g_free);
  g_clear_pointer(format, g_free);
  return FALSE;
}

/* --- reading --- */

/* @optional: null, or not there, is NULL. */
static gboolean get_string(JsonObject *object, const char *member, gboolean optional, char **value)
{
  JsonNode *node = json_object_get_member(object, member);

  if (!node || JSON_NODE_HOLDS_NULL(node))
    return optional;
  if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING)
    return FALSE;
  g_free(*value);
  *value = json_node_dup_string(node);
  return TRUE;
}

static gboolean get_number(JsonObject *object, const char *member, gboolean optional,
                           guint64 *value)
{
  JsonNode *node = json_object_get_member(object, member);

  if (!node || JSON_NODE_HOLDS_NULL(node))
    return optional;
  if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_INT64 ||
      json_node_get_int(node) < 0)
    return FALSE;
  *value = (guint64)json_node_get_int(node);
  return TRUE;
}

static gboolean is_hex(const char *text)
{
  return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* In order, within the volume. */
static gboolean get_lost(JsonObject *object, BackupVolume *volume)
{
  JsonNode *node = json_object_get_member(object, "lost");
  JsonArray *all = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
  guint64 at = 0;

  for (guint i = 0; all && i < json_array_get_length(all); i++) {
    JsonNode *element = json_array_get_element(all, i);
    JsonObject *one = JSON_NODE_HOLDS_OBJECT(element) ? json_node_get_object(element) : NULL;
    BackupLost lost = {0};

    if (!one || !get_number(one, "offset", FALSE, &lost.offset) ||
        !get_number(one, "length", FALSE, &lost.length) || lost.length == 0 || lost.offset < at ||
        lost.offset > volume->size || lost.length > volume->size - lost.offset)
      return FALSE;
    at = lost.offset + lost.length;
    g_array_append_val(volume->lost, lost);
  }
  return !node || all;
}

/* What is not as it should be; NULL: all is. */
static const char *bad_member(JsonObject *object, BackupVolume *volume)
{
  g_autofree char *file = NULL;

  if (!get_string(object, "vg", FALSE, &volume->vg) || !vt_vg_name_check(volume->vg, NULL))
    return "vg";
  if (!get_string(object, "lv", FALSE, &volume->lv) || !vt_lv_name_check(volume->lv, NULL))
    return "lv";
  if (!get_string(object, "vg_uuid", FALSE, &volume->vg_uuid))
    return "vg_uuid";
  if (!get_string(object, "uuid", FALSE, &volume->uuid))
    return "uuid";
  if (!get_string(object, "format", FALSE, &volume->format) ||
      (strcmp(volume->format, "raw") != 0 && strcmp(volume->format, "qcow2") != 0))
    return "format";
  file = backup_file_name(volume->vg, volume->lv, volume->format);
  if (!get_string(object, "file", FALSE, &volume->file) || strcmp(volume->file, file) != 0)
    return "file";
  if (!get_number(object, "size", FALSE, &volume->size) || volume->size == 0)
    return "size";
  if (!get_number(object, "file_size", FALSE, &volume->file_size))
    return "file_size";
  if (!get_string(object, "checksum_kind", FALSE, &volume->checksum_kind) ||
      !backup_is_checksum(volume->checksum_kind))
    return "checksum_kind";
  if (!get_string(object, "checksum", FALSE, &volume->checksum) || !is_hex(volume->checksum))
    return "checksum";
  if (!get_string(object, "parent", TRUE, &volume->parent) ||
      (volume->parent && !backup_is_id(volume->parent)))
    return "parent";
  if (!get_number(object, "merged", TRUE, &volume->merged) || volume->merged > G_MAXUINT32)
    return "merged";
  if (!get_lost(object, volume))
    return "lost";
  if (!get_string(object, "why_full", TRUE, &volume->why_full))
    return "why_full";
  if (!get_string(object, "baseline", TRUE, &volume->baseline))
    return "baseline";
  if (!get_string(object, "baseline_uuid", TRUE, &volume->baseline_uuid))
    return "baseline_uuid";
  return get_number(object, "baseline_device", TRUE, &volume->baseline_device) ? NULL
                                                                               : "baseline_device";
}

/* What the members say together. */
static const char *bad_sense(const BackupManifest *manifest, const BackupVolume *volume)
{
  gboolean raw = strcmp(volume->format, "raw") == 0;

  /* So no chain of backups has an end in itself. */
  if (volume->parent && strcmp(volume->parent, manifest->id) >= 0)
    return "parent";
  if (volume->merged && !volume->parent)
    return "merged";
  if (raw && (volume->parent || volume->file_size != volume->size))
    return "format";
  if (raw != (strcmp(volume->checksum_kind, "sha256-data") == 0))
    return "checksum_kind";
  return backup_manifest_find(manifest, volume->vg, volume->lv) != volume ? "lv" : NULL;
}

static gboolean parse_volumes(JsonObject *object, BackupManifest *manifest, const char *name,
                              GError **error)
{
  JsonNode *node = json_object_get_member(object, "volumes");
  JsonArray *volumes = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

  if (!volumes || json_array_get_length(volumes) == 0)
    return vt_set_error(error, EBADMSG, "%s is damaged: it has no volumes", name);
  for (guint i = 0; i < json_array_get_length(volumes); i++) {
    JsonNode *element = json_array_get_element(volumes, i);
    BackupVolume *volume = backup_manifest_add(manifest);
    const char *bad = JSON_NODE_HOLDS_OBJECT(element)
                          ? bad_member(json_node_get_object(element), volume)
                          : "volumes";

    if (!bad)
      bad = bad_sense(manifest, volume);
    if (bad)
      return vt_set_error(error, EBADMSG, "%s is damaged: \"%s\" of volume %u", name, bad, i);
  }
  return TRUE;
}

BackupManifest *backup_manifest_parse(const char *text, gsize length, const char *name,
                                      GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GError) local = NULL;
  g_autoptr(BackupManifest) manifest = backup_manifest_new(NULL, 0);
  guint64 version = 0, time = 0;
  g_autofree char *made = NULL;
  JsonObject *object;
  JsonNode *root;

  if (!g_utf8_validate(text, (gssize)length, NULL) ||
      !json_parser_load_from_data(parser, text, (gssize)length, &local) ||
      !(root = json_parser_get_root(parser)) || !JSON_NODE_HOLDS_OBJECT(root)) {
    vt_set_error(error, EBADMSG, "%s is damaged: %s", name, local ? local->message : "no object");
    return NULL;
  }
  object = json_node_get_object(root);
  if (get_number(object, "version", FALSE, &version) && version > BACKUP_MANIFEST_VERSION) {
    vt_set_error(error, EOPNOTSUPP,
                 "%s is of version %" G_GUINT64_FORMAT ", and this virt-thin knows version %d: a "
                 "newer one is wanted",
                 name, version, BACKUP_MANIFEST_VERSION);
    return NULL;
  }
  if (version != BACKUP_MANIFEST_VERSION || !get_string(object, "id", FALSE, &manifest->id) ||
      !backup_is_id(manifest->id) || !get_number(object, "time", FALSE, &time)) {
    vt_set_error(error, EBADMSG, "%s is damaged: \"version\", \"id\" or \"time\"", name);
    return NULL;
  }
  manifest->time = (gint64)time;
  made = backup_make_id(manifest->time);
  if (g_strcmp0(made, manifest->id) != 0) {
    vt_set_error(error, EBADMSG, "%s is damaged: \"time\" is not that of \"id\"", name);
    return NULL;
  }
  return parse_volumes(object, manifest, name, error) ? g_steal_pointer(&manifest) : NULL;
}

/* --- writing --- */

static void print_lost(JsonBuilder *json, const GArray *lost)
{
  json_builder_set_member_name(json, "lost");
  json_builder_begin_array(json);
  for (guint i = 0; i < lost->len; i++) {
    json_builder_begin_object(json);
    cli_json_number(json, "offset", g_array_index(lost, BackupLost, i).offset);
    cli_json_number(json, "length", g_array_index(lost, BackupLost, i).length);
    json_builder_end_object(json);
  }
  json_builder_end_array(json);
}

static void print_volume(JsonBuilder *json, const BackupVolume *volume)
{
  json_builder_begin_object(json);
  cli_json_string(json, "vg", volume->vg);
  cli_json_string(json, "vg_uuid", volume->vg_uuid);
  cli_json_string(json, "lv", volume->lv);
  cli_json_string(json, "uuid", volume->uuid);
  cli_json_number(json, "size", volume->size);
  cli_json_string(json, "file", volume->file);
  cli_json_string(json, "format", volume->format);
  cli_json_number(json, "file_size", volume->file_size);
  cli_json_string(json, "checksum_kind", volume->checksum_kind);
  cli_json_string(json, "checksum", volume->checksum);
  cli_json_string(json, "parent", volume->parent);
  if (volume->merged > 0)
    cli_json_number(json, "merged", volume->merged);
  if (volume->lost->len > 0)
    print_lost(json, volume->lost);
  cli_json_string(json, "why_full", volume->why_full);
  cli_json_string(json, "baseline", volume->baseline);
  cli_json_string(json, "baseline_uuid", volume->baseline_uuid);
  cli_json_number(json, "baseline_device",
                  volume->baseline ? volume->baseline_device : G_MAXUINT64);
  json_builder_end_object(json);
}

void backup_manifest_build(const BackupManifest *manifest, JsonBuilder *json)
{
  json_builder_begin_object(json);
  cli_json_number(json, "version", BACKUP_MANIFEST_VERSION);
  cli_json_string(json, "id", manifest->id);
  cli_json_number(json, "time", (guint64)manifest->time);
  json_builder_set_member_name(json, "volumes");
  json_builder_begin_array(json);
  for (guint i = 0; i < manifest->volumes->len; i++)
    print_volume(json, manifest->volumes->pdata[i]);
  json_builder_end_array(json);
  json_builder_end_object(json);
}

char *backup_manifest_print(const BackupManifest *manifest)
{
  g_autoptr(JsonBuilder) json = json_builder_new();
  g_autoptr(JsonGenerator) generator = json_generator_new();
  g_autoptr(JsonNode) root = NULL;
  g_autofree char *text = NULL;

  backup_manifest_build(manifest, json);
  root = json_builder_get_root(json);
  json_generator_set_root(generator, root);
  json_generator_set_pretty(generator, TRUE);
  text = json_generator_to_data(generator, NULL);
  return g_strconcat(text, "\n", NULL);
}
