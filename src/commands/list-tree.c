/* virt-thin - list on a terminal: a tree of origins for each thin pool
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/list-tree.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "pool/users.h"

typedef struct Node Node;
struct Node {
  const PoolVolumeInfo *volume;
  guint64 exclusive; /* G_MAXUINT64: not known */
  char *user;        /* NULL: nobody */
  GPtrArray *children;
  gboolean is_child, shown;
};

typedef struct {
  PoolInfo *pool;   /* NULL: the volumes that are in none */
  GPtrArray *nodes; /* of Node, in the list's order */
} Section;

struct ListTree {
  GPtrArray *sections;
  BlockScan *scan; /* made when it is needed first */
  gboolean fine;   /* the terminal shows lines, not only ASCII */
};

static void node_free(gpointer data)
{
  Node *node = data;

  g_free(node->user);
  g_ptr_array_unref(node->children);
  g_free(node);
}

static void section_free(gpointer data)
{
  Section *section = data;

  g_clear_pointer(&section->pool, pool_info_free);
  g_ptr_array_unref(section->nodes);
  g_free(section);
}

ListTree *list_tree_new(void)
{
  ListTree *tree = g_new0(ListTree, 1);

  tree->sections = g_ptr_array_new_with_free_func(section_free);
  tree->fine = cli_locale_is_utf8();
  return tree;
}

void list_tree_free(ListTree *tree)
{
  g_ptr_array_unref(tree->sections);
  g_clear_pointer(&tree->scan, block_scan_free);
  g_free(tree);
}

/* --- what is asked of each volume --- */

static Node *node_new(ListTree *tree, GHashTable *counts, const PoolVolumeInfo *v)
{
  const PoolVolumeUsage *count = g_hash_table_lookup(counts, v->name);
  Node *node = g_new0(Node, 1);

  node->volume = v;
  node->children = g_ptr_array_new();
  node->exclusive = count ? count->exclusive : G_MAXUINT64;
  node->user = pool_volume_user(v, &tree->scan);
  return node;
}

static void link_origins(GPtrArray *nodes)
{
  g_autoptr(GHashTable) by_name = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; i < nodes->len; i++)
    g_hash_table_insert(by_name, ((Node *)nodes->pdata[i])->volume->name, nodes->pdata[i]);
  for (guint i = 0; i < nodes->len; i++) {
    Node *node = nodes->pdata[i], *origin = NULL;

    if (node->volume->origin)
      origin = g_hash_table_lookup(by_name, node->volume->origin);
    if (origin)
      g_ptr_array_add(origin->children, node);
    node->is_child = origin != NULL;
  }
}

/* Name -> PoolVolumeUsage in @usage; none of what could not be read. */
static GHashTable *index_usage(const PoolUsage *usage)
{
  GHashTable *counts = g_hash_table_new(g_str_hash, g_str_equal);

  for (guint i = 0; usage && i < usage->volumes->len; i++) {
    PoolVolumeUsage *count = usage->volumes->pdata[i];

    g_hash_table_insert(counts, count->name, count);
  }
  return counts;
}

/* @pool becomes the section's; NULL: the volumes that are in none. */
static void add_section(ListTree *tree, VolumeGroup *group, PoolInfo *pool, GPtrArray *volumes)
{
  g_autoptr(PoolUsage) usage = pool ? pool_usage(group, pool->name, NULL, NULL) : NULL;
  g_autoptr(GHashTable) counts = index_usage(usage);
  Section *section = g_new0(Section, 1);

  section->pool = pool;
  section->nodes = g_ptr_array_new_with_free_func(node_free);
  for (guint i = 0; i < volumes->len; i++) {
    const PoolVolumeInfo *v = volumes->pdata[i];

    if (g_strcmp0(v->pool, pool ? pool->name : NULL) == 0)
      g_ptr_array_add(section->nodes, node_new(tree, counts, v));
  }
  link_origins(section->nodes);
  if (pool || section->nodes->len)
    g_ptr_array_add(tree->sections, section);
  else
    section_free(section);
}

void list_tree_add(ListTree *tree, VolumeGroup *group, const char *thin_pool, GPtrArray *volumes)
{
  g_autoptr(GPtrArray) pools = pool_list_pools(group, NULL);

  for (guint i = 0; pools && i < pools->len; i++) {
    PoolInfo *pool = pools->pdata[i];

    if (!thin_pool || strcmp(pool->name, thin_pool) == 0)
      add_section(tree, group, g_steal_pointer(&pools->pdata[i]), volumes);
  }
  if (!thin_pool)
    add_section(tree, group, NULL, volumes);
}

/* --- the picture --- */

static void print_row(const char *name, int width, guint64 size, guint64 mapped, guint64 exclusive,
                      const char *flags, const char *user)
{
  g_autofree char *a = cli_size(size), *b = cli_size(mapped), *c = cli_percent(mapped, size),
                  *d = cli_size(exclusive);
  int padding = width - (int)g_utf8_strlen(name, -1);
  g_autofree char *rest = g_strdup_printf("  %-5s  %s", flags, user);

  printf("  %s%*s %10s %10s %5s %10s%s\n", name, padding, "", a, b, c, d, g_strchomp(rest));
}

static char *flags_of(const PoolVolumeInfo *v)
{
  return g_strconcat(v->read_only ? "ro" : "rw", v->active && v->path ? "a" : "",
                     v->damage ? "!" : "", NULL);
}

/* @lines: of the levels above; the volume itself hangs on @branch. Returns the widest, and prints
 * only with @width. */
static int walk(ListTree *tree, Node *node, const char *lines, const char *branch, int width)
{
  g_autofree char *name = g_strconcat(lines, branch, node->volume->name, NULL),
                  *flags = flags_of(node->volume), *below = NULL;
  const char *bar = tree->fine ? "│ " : "| ";
  int widest = (int)g_utf8_strlen(name, -1);
  gboolean last = g_str_has_prefix(branch, "`") || g_str_has_prefix(branch, "└");

  if (node->shown)
    return 0;
  node->shown = TRUE;
  if (width)
    print_row(name, width, node->volume->size, node->volume->mapped, node->exclusive, flags,
              node->user ? node->user : "");
  below = g_strconcat(lines, !*branch ? "" : last ? "  " : bar, NULL);
  for (guint i = 0; i < node->children->len; i++) {
    gboolean end = i + 1 == node->children->len;
    int w = walk(tree, node->children->pdata[i], below,
                 tree->fine ? (end ? "└ " : "├ ") : (end ? "` " : "|-"), width);

    widest = MAX(widest, w);
  }
  return widest;
}

/* Those first that nothing is above; then what is only above itself, in a text that is wrong. */
static int walk_all(ListTree *tree, Section *section, int width)
{
  int widest = (int)strlen("VOLUME");

  for (guint i = 0; i < section->nodes->len; i++)
    ((Node *)section->nodes->pdata[i])->shown = FALSE;
  for (int round = 0; round < 2; round++)
    for (guint i = 0; i < section->nodes->len; i++) {
      Node *node = section->nodes->pdata[i];

      int w = round || !node->is_child ? walk(tree, node, "", "", width) : 0;

      widest = MAX(widest, w);
    }
  return widest;
}

static void print_heading(const Section *section)
{
  const PoolInfo *pool = section->pool;
  g_autofree char *bar = NULL, *used = NULL, *size = NULL, *full = NULL;

  if (!pool) {
    printf("%s, in no thin pool\n", ((Node *)section->nodes->pdata[0])->volume->vg);
    return;
  }
  bar = cli_bar(pool->used, pool->size);
  used = cli_size(pool->used);
  size = cli_size(pool->size);
  full = cli_percent(pool->used, pool->size);
  printf("%s/%s  [%s] %s, %s of %s%s%s\n", pool->vg, pool->name, bar, full, used, size,
         pool->health ? "; " : "", pool->health ? pool->health : "");
}

/* What volumes share counts once in MAPPED: it is what the pool gives. */
static void print_total(const Section *section, int width)
{
  guint64 size = 0, exclusive = 0;
  g_autofree char *name =
      g_strdup_printf("%u volume%s", section->nodes->len, section->nodes->len == 1 ? "" : "s");

  for (guint i = 0; i < section->nodes->len; i++) {
    const Node *node = section->nodes->pdata[i];

    size += node->volume->size;
    exclusive = exclusive == G_MAXUINT64 || node->exclusive == G_MAXUINT64
                    ? G_MAXUINT64
                    : exclusive + node->exclusive;
  }
  print_row(name, width, size, section->pool ? section->pool->used : G_MAXUINT64, exclusive, "",
            "");
}

void list_tree_print(ListTree *tree)
{
  if (!tree->sections->len)
    printf("There is no thin pool, and no volume.\n");
  for (guint i = 0; i < tree->sections->len; i++) {
    Section *section = tree->sections->pdata[i];
    int width = MAX(walk_all(tree, section, 0), (int)strlen("000 volumes"));

    if (i)
      putchar('\n');
    print_heading(section);
    printf("  %-*s %10s %10s %5s %10s  %-5s  %s\n", width, "VOLUME", "SIZE", "MAPPED", "USED",
           "EXCLUSIVE", "FLAGS", "OPEN BY");
    walk_all(tree, section, width);
    print_total(section, width);
  }
}
