/* virt-thin - dmeventd, which extends the kernel's thin pools before they are full
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <libdevmapper-event.h>
#include <libdevmapper.h>
#include <string.h>
#include <unistd.h>

#include "dm/dm-private.h"
#include "dm/watch.h"

#define DMEVENTD_PID "/run/dmeventd.pid"
#define NO_PROGRAM "/nonexistent/dmeventd"
#define SMALLEST_THRESHOLD 50 /* lvm2 takes a smaller one for this */

/* --- lvm.conf --- */

static struct dm_config_tree *read_config(const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? dm_config_from_string(text) : NULL;
}

/* The first of @trees that has it. */
static const struct dm_config_node *find(struct dm_config_tree *const *trees, gsize n_trees, const char *key)
{
  const struct dm_config_node *node = NULL;

  for (gsize i = 0; i < n_trees && !node; i++)
    node = trees[i] ? dm_config_tree_find_node(trees[i], key) : NULL;
  return node;
}

static guint find_number(struct dm_config_tree *const *trees, gsize n_trees, const char *key, guint otherwise)
{
  const struct dm_config_node *node = find(trees, n_trees, key);

  if (!node || !node->v || node->v->type != DM_CFG_INT || node->v->v.i < 0)
    return otherwise;
  return (guint)MIN(node->v->v.i, G_MAXINT);
}

static const char *find_string(struct dm_config_tree *const *trees, gsize n_trees, const char *key)
{
  const struct dm_config_node *node = find(trees, n_trees, key);

  return node && node->v && node->v->type == DM_CFG_STRING ? node->v->v.str : NULL;
}

/* A profile's name comes from the VG's text: a path it is not. */
static struct dm_config_tree *read_profile(struct dm_config_tree *const *trees, gsize n_trees, const char *folder,
                                           const char *profile)
{
  const char *profiles = find_string(trees, n_trees, "config/profile_dir"),
             *name = profile ? profile : find_string(trees, n_trees, "config/metadata_profile");
  g_autofree char *path = NULL;

  if (!name || !*name || strchr(name, '/'))
    return NULL;
  path = profiles ? g_strdup_printf("%s/%s.profile", profiles, name)
                  : g_strdup_printf("%s/profile/%s.profile", folder, name);
  return read_config("/", path);
}

void dmk_watch_settings(const char *profile, DmkWatchSettings *settings)
{
  const char *folder = g_getenv("LVM_SYSTEM_DIR");
  struct dm_config_tree *trees[3] = {NULL};

  if (!folder)
    folder = "/etc/lvm";
  dmk_begin();
  trees[1] = read_config(folder, "lvmlocal.conf");
  trees[2] = read_config(folder, "lvm.conf");
  trees[0] = read_profile(trees, G_N_ELEMENTS(trees), folder, profile);
  settings->monitoring = find_number(trees, G_N_ELEMENTS(trees), "activation/monitoring", 1) != 0;
  settings->percent = find_number(trees, G_N_ELEMENTS(trees), "activation/thin_pool_autoextend_percent", 20);
  settings->threshold = CLAMP(find_number(trees, G_N_ELEMENTS(trees), "activation/thin_pool_autoextend_threshold", 100),
                              SMALLEST_THRESHOLD, 100);
  for (gsize i = 0; i < G_N_ELEMENTS(trees); i++)
    if (trees[i])
      dm_config_destroy(trees[i]);
  dmk_end();
}

/* --- dmeventd --- */

gboolean dmk_is_watched(const char *uuid, gboolean *pending)
{
  struct dm_event_handler *handler;
  gboolean watched;

  if (pending)
    *pending = FALSE;
  /* systemd listens for it, and would start it for the question; so would the library, if it found the program. */
  if (access(DMEVENTD_PID, F_OK) < 0)
    return FALSE;
  dmk_begin();
  handler = dm_event_handler_create();
  watched = handler && dm_event_handler_set_dmeventd_path(handler, NO_PROGRAM) == 0 &&
            dm_event_handler_set_uuid(handler, uuid) == 0 && dm_event_get_registered_device(handler, 0) == 0;
  if (watched && pending)
    *pending = (dm_event_handler_get_event_mask(handler) & DM_EVENT_REGISTRATION_PENDING) != 0;
  if (handler)
    dm_event_handler_destroy(handler);
  dmk_end();
  return watched;
}
