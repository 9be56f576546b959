/* virt-thin - from disks to snapshots: what is on what
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/tree-nodes.h"

#include <string.h>
#include <sys/stat.h>

#include "pool/users.h"
#include "util/block-stack.h"

struct TreeNodes {
  GPtrArray *all;      /* of TreeNode */
  GHashTable *devices; /* kind and name -> TreeNode: block devices and files, each once */
  BlockScan *scan;     /* made when it is first needed */
};

static void node_free(gpointer data)
{
  TreeNode *node = data;

  g_free(node->name);
  g_free(node->kind);
  g_free(node->note);
  g_free(node->user);
  g_free(node->fault);
  g_ptr_array_unref(node->above);
  g_free(node);
}

TreeNodes *tree_nodes_new(void)
{
  TreeNodes *nodes = g_new0(TreeNodes, 1);

  nodes->all = g_ptr_array_new_with_free_func(node_free);
  nodes->devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  return nodes;
}

void tree_nodes_free(TreeNodes *nodes)
{
  g_hash_table_unref(nodes->devices);
  g_ptr_array_unref(nodes->all);
  g_clear_pointer(&nodes->scan, block_scan_free);
  g_free(nodes);
}

GPtrArray *tree_nodes_all(const TreeNodes *nodes)
{
  return nodes->all;
}

static TreeNode *add_node(TreeNodes *nodes, const char *name, char *kind, guint64 size,
                          guint64 used)
{
  TreeNode *node = g_new0(TreeNode, 1);

  node->name = g_strdup(name);
  node->kind = kind;
  node->size = size;
  node->used = used;
  node->above = g_ptr_array_new();
  g_ptr_array_add(nodes->all, node);
  return node;
}

static void put_on(TreeNode *above, TreeNode *below)
{
  if (g_ptr_array_find(below->above, above, NULL))
    return;
  g_ptr_array_add(below->above, above);
  above->n_below++;
}

/* --- what a physical volume is made of --- */

static TreeNode *add_device(TreeNodes *nodes, const BlockDevice *device)
{
  g_autofree char *key = g_strdup_printf("%s %s", device->kind, device->name);
  TreeNode *node = g_hash_table_lookup(nodes->devices, key);

  if (node)
    return node;
  node = add_node(nodes, device->name, g_strdup(device->kind), device->size, G_MAXUINT64);
  g_hash_table_insert(nodes->devices, g_steal_pointer(&key), node);
  for (guint i = 0; i < device->below->len; i++)
    put_on(node, add_device(nodes, device->below->pdata[i]));
  return node;
}

static TreeNode *add_path(TreeNodes *nodes, const char *path)
{
  struct stat st;
  gboolean there = stat(path, &st) == 0;
  g_autoptr(BlockDevice) device = NULL;
  BlockDevice file = {(char *)"file", (char *)path, there ? (guint64)st.st_size : 0, NULL};
  TreeNode *node;

  if (there && S_ISBLK(st.st_mode)) {
    device = block_stack_read(st.st_rdev, "/sys");
    return add_device(nodes, device);
  }
  file.below = g_ptr_array_new();
  node = add_device(nodes, &file);
  g_ptr_array_unref(file.below);
  /* A file may have holes. */
  if (there)
    node->used = MIN((guint64)st.st_blocks * 512, node->size);
  else if (!node->fault)
    node->fault = g_strdup("missing");
  return node;
}

/* --- volumes --- */

static char *kind_of(const PoolVolumeInfo *v)
{
  return v->kind == POOL_VOLUME_LINEAR        ? g_strdup("linear volume")
         : v->snapshot_of                     ? g_strdup("snapshot")
         : g_str_has_prefix(v->name, "base-") ? g_strdup("template")
                                              : NULL;
}

/* Is @node on @other, by whatever way? */
static gboolean is_on(const TreeNode *node, const TreeNode *other)
{
  for (guint i = 0; i < other->above->len; i++)
    if (other->above->pdata[i] == node || is_on(node, other->above->pdata[i]))
      return TRUE;
  return FALSE;
}

/* Each on its origin, if that is there, and is not on it in a text that is wrong; else in its pool,
 * or in the volume group. */
static void add_volumes(TreeNodes *nodes, GPtrArray *volumes, GHashTable *pools, TreeNode *vg)
{
  g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];
    TreeNode *node = add_node(nodes, v->name, kind_of(v), v->size, v->mapped);

    node->user = pool_volume_user(v, &nodes->scan);
    node->fault = g_strdup(v->damage);
    g_hash_table_insert(by_name, v->name, node);
  }
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];
    TreeNode *node = g_hash_table_lookup(by_name, v->name),
             *origin = v->origin ? g_hash_table_lookup(by_name, v->origin) : NULL,
             *pool = v->pool ? g_hash_table_lookup(pools, v->pool) : NULL;

    if (!origin || origin == node || is_on(origin, node))
      origin = pool ? pool : vg;
    put_on(node, origin);
  }
}

/* --- volume groups --- */

static TreeNode *add_pool(TreeNodes *nodes, const PoolInfo *info)
{
  TreeNode *node = add_node(nodes, info->name, g_strdup("thin pool"), info->size, info->used);

  if (info->metadata_used != G_MAXUINT64 && info->metadata_size)
    node->note = g_strdup_printf("metadata %.0f %%",
                                 100.0 * (double)info->metadata_used / (double)info->metadata_size);
  node->fault = g_strdup(info->health);
  return node;
}

gboolean tree_nodes_add(TreeNodes *nodes, VolumeGroup *group, GError **error)
{
  g_autoptr(PoolVgInfo) info = pool_get_vg_info(group, error);
  g_autoptr(GPtrArray) pools = info ? pool_list_pools(group, error) : NULL,
                       volumes = pools ? pool_list_volumes(group, NULL, error) : NULL;
  g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);
  TreeNode *vg;

  if (!volumes)
    return FALSE;
  vg = add_node(nodes, info->name, g_strdup("volume group"), info->size,
                info->size - MIN(info->free, info->size));
  vg->user = g_strdup(info->served_by);
  vg->fault = g_strdup(info->health);
  for (char **device = info->devices; device && *device; device++)
    put_on(vg, add_path(nodes, *device));
  for (guint i = 0; i < pools->len; i++) {
    PoolInfo *pool = pools->pdata[i];
    TreeNode *node = add_pool(nodes, pool);

    put_on(node, vg);
    g_hash_table_insert(by_name, pool->name, node);
  }
  add_volumes(nodes, volumes, by_name, vg);
  return TRUE;
}
