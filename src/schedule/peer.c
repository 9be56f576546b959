/* virt-thin - schedules: the host that has the replicas
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/peer.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "schedule/spawn.h"
#include "util/name.h"

void peer_clear(Peer *peer)
{
  g_free(peer->host);
  g_free(peer->vg);
  g_free(peer->pool);
  g_strfreev(peer->ssh);
}

/* A timer's run asks nobody for a password, and does not wait for ever for a host that is gone. */
static const char *const default_ssh[] = {
    "ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", NULL};

gboolean peer_parse(const Schedule *s, Peer *peer, GError **error)
{
  if (!schedule_split_peer(s->to, &peer->host, &peer->vg, &peer->pool, error))
    return FALSE;
  if (!s->ssh) {
    peer->ssh = g_strdupv((char **)default_ssh);
    return TRUE;
  }
  return g_shell_parse_argv(s->ssh, NULL, &peer->ssh, NULL) ||
         vt_set_error(error, EINVAL, "ssh: \"%s\" is no command", s->ssh);
}

/* Names are made of what a shell leaves alone. */
GPtrArray *peer_command(const Peer *peer, const char *const *words)
{
  GPtrArray *args = g_ptr_array_new_with_free_func(g_free);

  for (char **word = peer->ssh; *word; word++)
    g_ptr_array_add(args, g_strdup(*word));
  g_ptr_array_add(args, g_strdup("--"));
  g_ptr_array_add(args, g_strdup(peer->host));
  g_ptr_array_add(args, g_strdup("virt-thin"));
  for (; *words; words++)
    g_ptr_array_add(args, g_strdup(*words));
  g_ptr_array_add(args, NULL);
  return args;
}

/* The array @member of @object; NULL: it has none. */
static JsonArray *array_of(JsonObject *object, const char *member)
{
  JsonNode *node = object ? json_object_get_member(object, member) : NULL;

  return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;
}

/* What of a volume of `virt-thin list --json` is to be known; NULL: it is none that is named as
 * volumes are. */
static PoolVolumeInfo *read_volume(JsonNode *node)
{
  JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
  JsonArray *tags = array_of(object, "tags");
  const char *name = tags ? json_object_get_string_member_with_default(object, "name", NULL) : NULL;
  PoolVolumeInfo *info;
  GPtrArray *list;

  if (!name || !vt_lv_name_check(name, NULL))
    return NULL;
  info = g_new0(PoolVolumeInfo, 1);
  info->name = g_strdup(name);
  info->pool = g_strdup(json_object_get_string_member_with_default(object, "pool", NULL));
  list = g_ptr_array_new();
  for (guint i = 0; i < json_array_get_length(tags); i++)
    if (JSON_NODE_HOLDS_VALUE(json_array_get_element(tags, i)))
      g_ptr_array_add(list, g_strdup(json_array_get_string_element(tags, i)));
  g_ptr_array_add(list, NULL);
  info->tags = (GStrv)g_ptr_array_free(list, FALSE);
  return info;
}

static GPtrArray *read_list(const char *text, const Peer *peer, const char *schedule, char **why)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  g_autoptr(GPtrArray) volumes =
      g_ptr_array_new_with_free_func((GDestroyNotify)pool_volume_info_free);
  JsonNode *root =
      json_parser_load_from_data(parser, text, -1, NULL) ? json_parser_get_root(parser) : NULL;
  JsonArray *array =
      root && JSON_NODE_HOLDS_OBJECT(root) ? array_of(json_node_get_object(root), "volumes") : NULL;

  if (!array) {
    *why = g_strdup_printf("%s: virt-thin list says nothing that is understood", peer->host);
    return NULL;
  }
  for (guint i = 0; i < json_array_get_length(array); i++) {
    PoolVolumeInfo *info = read_volume(json_array_get_element(array, i));

    if (info)
      g_ptr_array_add(volumes, info);
  }
  return schedule_snapshots_received(volumes, schedule);
}

GPtrArray *peer_list(const Peer *peer, const char *schedule, char **why)
{
  g_autofree char *where = g_strconcat(peer->vg, "/", peer->pool, NULL);
  g_autoptr(GPtrArray) args =
      peer_command(peer, (const char *const[]){"list", "--json", where, NULL});
  g_autofree char *out = NULL, *failed = spawn_run(args, &out);

  if (!failed)
    return read_list(out, peer, schedule, why);
  *why = g_strdup_printf("%s: %s", peer->host, failed);
  return NULL;
}

char *peer_remove(const Peer *peer, GPtrArray *lvs)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free), args = NULL;

  g_ptr_array_add(words, g_strdup("remove"));
  for (char **lv = (char **)lvs->pdata; *lv; lv++)
    g_ptr_array_add(words, g_strconcat(peer->vg, "/", *lv, NULL));
  g_ptr_array_add(words, NULL);
  args = peer_command(peer, (const char *const *)words->pdata);
  return spawn_run(args, NULL);
}
