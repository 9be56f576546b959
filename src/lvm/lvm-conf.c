/* virt-thin - what lvm.conf(5) says, as lvm2 reads it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <libdevmapper.h>
#include <string.h>

#include "lvm/devmapper.h"
#include "lvm/lvm-conf.h"

#define N_TREES 3

struct LvmConf {
  struct dm_config_tree *trees[N_TREES]; /* the first that has a key goes; NULL: nothing */
};

char *lvm_conf_path(const char *name)
{
  const char *folder = g_getenv("LVM_SYSTEM_DIR");

  return g_build_filename(folder && *folder ? folder : "/etc/lvm", name, NULL);
}

static struct dm_config_tree *read_tree(const char *path)
{
  g_autofree char *text = NULL;

  return g_file_get_contents(path, &text, NULL, NULL) ? dm_config_from_string(text) : NULL;
}

static const struct dm_config_value *find(LvmConf *conf, const char *key)
{
  const struct dm_config_node *node = NULL;

  for (gsize i = 0; i < N_TREES && !node; i++)
    node = conf->trees[i] ? dm_config_tree_find_node(conf->trees[i], key) : NULL;
  return node ? node->v : NULL;
}

const char *lvm_conf_string(LvmConf *conf, const char *key)
{
  const struct dm_config_value *value = find(conf, key);

  return value && value->type == DM_CFG_STRING ? value->v.str : NULL;
}

/* A profile's name comes from the VG's text: a path it is not. */
static struct dm_config_tree *read_profile(LvmConf *conf, const char *profile)
{
  const char *folder = lvm_conf_string(conf, "config/profile_dir"),
             *name = profile ? profile : lvm_conf_string(conf, "config/metadata_profile");
  g_autofree char *usual = lvm_conf_path("profile"), *path = NULL;

  if (!name || !*name || strchr(name, '/'))
    return NULL;
  path = g_strdup_printf("%s/%s.profile", folder ? folder : usual, name);
  return read_tree(path);
}

LvmConf *lvm_conf_read(const char *profile)
{
  LvmConf *conf = g_new0(LvmConf, 1);
  g_autofree char *local = lvm_conf_path("lvmlocal.conf"), *common = lvm_conf_path("lvm.conf");

  dmk_begin();
  conf->trees[1] = read_tree(local);
  conf->trees[2] = read_tree(common);
  conf->trees[0] = read_profile(conf, profile);
  dmk_end();
  return conf;
}

void lvm_conf_free(LvmConf *conf)
{
  if (!conf)
    return;
  for (gsize i = 0; i < N_TREES; i++)
    if (conf->trees[i])
      dm_config_destroy(conf->trees[i]);
  g_free(conf);
}

guint lvm_conf_number(LvmConf *conf, const char *key, guint otherwise)
{
  const struct dm_config_value *value = find(conf, key);

  if (!value || value->type != DM_CFG_INT || value->v.i < 0)
    return otherwise;
  return (guint)MIN(value->v.i, G_MAXINT);
}

GStrv lvm_conf_strings(LvmConf *conf, const char *key)
{
  const struct dm_config_value *value = find(conf, key);
  GPtrArray *strings = value ? g_ptr_array_new() : NULL;

  for (; value; value = value->next)
    if (value->type == DM_CFG_STRING)
      g_ptr_array_add(strings, g_strdup(value->v.str));
  if (!strings)
    return NULL;
  g_ptr_array_add(strings, NULL);
  return (GStrv)g_ptr_array_free(strings, FALSE);
}
