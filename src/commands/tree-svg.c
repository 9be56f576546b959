/* virt-thin - from disks to snapshots, as a picture
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/tree-svg.h"

#include <string.h>

#include "cli/cli.h"

/* Pixels. */
#define BOX_WIDTH 250
#define BOX_HEIGHT 62
#define COLUMN (BOX_WIDTH + 48)
#define ROW (BOX_HEIGHT + 10)
#define MARGIN 16
#define NAME_LETTERS 30
#define LETTERS 36

typedef struct {
  TreeNode *node;
  double y;
} Box;

typedef struct {
  GPtrArray *boxes;   /* of Box, in the order in which they are come across */
  GHashTable *places; /* TreeNode -> Box */
  guint levels;
  double height;
} Layout;

static void set_level(TreeNode *node, guint level)
{
  if (node->level > level)
    return;
  node->level = level;
  for (guint i = 0; i < node->above->len; i++)
    set_level(node->above->pdata[i], level + 1);
}

/* --- where each box is --- */

/* What carries nothing gets the rows, one after the other. */
static void place(Layout *layout, TreeNode *node)
{
  Box *box;

  if (g_hash_table_contains(layout->places, node))
    return;
  box = g_new0(Box, 1);
  box->node = node;
  g_ptr_array_add(layout->boxes, box);
  g_hash_table_insert(layout->places, node, box);
  layout->levels = MAX(layout->levels, node->level + 1);
  for (guint i = 0; i < node->above->len; i++)
    place(layout, node->above->pdata[i]);
  if (node->above->len)
    return;
  box->y = layout->height;
  layout->height += ROW;
}

/* The boxes of a level, each in the middle of what is on it, and none over another. */
static void arrange(Layout *layout, guint level)
{
  double free_from = 0;

  for (guint i = 0; i < layout->boxes->len; i++) {
    Box *box = layout->boxes->pdata[i];
    GPtrArray *above = box->node->above;

    if (box->node->level != level)
      continue;
    if (above->len) {
      const Box *first = g_hash_table_lookup(layout->places, above->pdata[0]),
                *last = g_hash_table_lookup(layout->places, above->pdata[above->len - 1]);

      box->y = (first->y + last->y) / 2;
    }
    box->y = MAX(box->y, free_from);
    free_from = box->y + ROW;
    layout->height = MAX(layout->height, free_from);
  }
}

static void layout_all(Layout *layout, GPtrArray *all)
{
  for (guint i = 0; i < all->len; i++)
    if (((TreeNode *)all->pdata[i])->n_below == 0)
      set_level(all->pdata[i], 0);
  for (guint i = 0; i < all->len; i++)
    if (((TreeNode *)all->pdata[i])->n_below == 0)
      place(layout, all->pdata[i]);
  for (guint level = layout->levels; level-- > 0;)
    arrange(layout, level);
}

/* --- drawing --- */

static guint x_of(const TreeNode *node)
{
  return MARGIN + node->level * COLUMN;
}

/* @text, as XML; its middle is left out if it has more than @letters. The caller's. */
static char *escaped(const char *text, glong letters)
{
  g_autofree char *valid = g_utf8_make_valid(text, -1), *begin = NULL, *cut = NULL;
  glong length = g_utf8_strlen(valid, -1), half = (letters - 1) / 2;

  if (length <= letters)
    return g_markup_escape_text(valid, -1);
  begin = g_utf8_substring(valid, 0, half);
  cut = g_strconcat(begin, "…", g_utf8_offset_to_pointer(valid, length - half), NULL);
  return g_markup_escape_text(cut, -1);
}

static double share_of(const TreeNode *node)
{
  return node->used == G_MAXUINT64 || !node->size ? -1
                                                  : MIN((double)node->used / (double)node->size, 1);
}

/* "thin pool, 80.00 GiB, 41 % used". The caller's. */
static char *about(const TreeNode *node)
{
  g_autofree char *size = node->size ? cli_size(node->size) : NULL;
  GString *text = g_string_new(node->kind ? node->kind : "volume");

  if (size)
    g_string_append_printf(text, ", %s", size);
  if (share_of(node) >= 0)
    g_string_append_printf(text, ", %.0f %%", 100 * share_of(node));
  return g_string_free(text, FALSE);
}

static void draw_text(GString *out, double x, double y, const char *class, const char *text,
                      glong letters)
{
  g_autofree char *shown = escaped(text, letters);

  g_string_append_printf(out, "<text x=\"%.0f\" y=\"%.0f\" class=\"%s\">%s</text>\n", x, y, class,
                         shown);
}

/* The colour says how near the end is. */
static void draw_bar(GString *out, double x, double y, double share)
{
  const char *class = share > 0.95 ? "full" : share > 0.8 ? "filling" : "fine";

  g_string_append_printf(out,
                         "<rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"5\" class=\"bar\"/>\n"
                         "<rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"5\" class=\"%s\"/>\n",
                         x, y, BOX_WIDTH - 20, x, y, (BOX_WIDTH - 20) * share, class);
}

static void draw_box(GString *out, const Box *box)
{
  const TreeNode *node = box->node;
  double x = x_of(node), y = MARGIN + box->y;
  const char *third = node->fault ? node->fault : node->user ? node->user : node->note;
  g_autofree char *what = about(node), *name = escaped(node->name, G_MAXINT),
                  *user = escaped(node->user ? node->user : "", G_MAXINT),
                  *fault = escaped(node->fault ? node->fault : "", G_MAXINT),
                  *title = g_strdup_printf("%s: %s%s%s%s%s", name, what, *user ? "; open by " : "",
                                           user, *fault ? "; " : "", fault);

  g_string_append_printf(out,
                         "<g><title>%s</title>\n"
                         "<rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" rx=\"6\" "
                         "class=\"%s\"/>\n",
                         title, x, y, BOX_WIDTH, BOX_HEIGHT, node->fault ? "faulty box" : "box");
  draw_text(out, x + 10, y + 18, "name", node->name, NAME_LETTERS);
  draw_text(out, x + 10, y + 33, "what", what, LETTERS);
  if (third)
    draw_text(out, x + 10, y + 47,
              node->fault  ? "fault"
              : node->user ? "user"
                           : "what",
              third, LETTERS);
  if (share_of(node) >= 0)
    draw_bar(out, x + 10, y + BOX_HEIGHT - 10, share_of(node));
  g_string_append(out, "</g>\n");
}

static void draw_lines(GString *out, const Layout *layout, const Box *box)
{
  double x = x_of(box->node) + BOX_WIDTH, y = MARGIN + box->y + BOX_HEIGHT / 2.0;

  for (guint i = 0; i < box->node->above->len; i++) {
    const Box *above = g_hash_table_lookup(layout->places, box->node->above->pdata[i]);
    double to_x = x_of(above->node), to_y = MARGIN + above->y + BOX_HEIGHT / 2.0;

    g_string_append_printf(out,
                           "<path d=\"M%.0f %.0f C%.0f %.0f %.0f %.0f %.0f %.0f\" "
                           "class=\"line\"/>\n",
                           x, y, x + 24, y, to_x - 24, to_y, to_x, to_y);
  }
}

static const char style[] =
    "<style>\n"
    "text{font-family:sans-serif;fill:#222}.name{font-size:13px;font-weight:bold}"
    ".what,.user,.fault{font-size:11px}.user{fill:#1f5f9f}.fault{fill:#b00020}\n"
    ".box{fill:#f7f7f4;stroke:#666}.faulty{stroke:#b00020;stroke-width:2}"
    ".line{fill:none;stroke:#888}\n"
    ".bar{fill:#ddd}.fine{fill:#3a923a}.filling{fill:#e08a00}.full{fill:#c62828}\n"
    "</style>\n";

char *tree_svg_draw(const TreeNodes *nodes)
{
  Layout layout = {.boxes = g_ptr_array_new_with_free_func(g_free),
                   .places = g_hash_table_new(NULL, NULL)};
  GString *out = g_string_new(NULL);
  guint width, height;

  layout_all(&layout, tree_nodes_all(nodes));
  width = layout.levels * COLUMN - (COLUMN - BOX_WIDTH) + 2 * MARGIN;
  height = (guint)layout.height - (ROW - BOX_HEIGHT) + 2 * MARGIN;
  g_string_append_printf(out,
                         "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
                         "viewBox=\"0 0 %u %u\">\n<title>Volume groups and thin pools</title>\n%s"
                         "<rect width=\"%u\" height=\"%u\" fill=\"white\"/>\n",
                         width, height, width, height, style, width, height);
  for (guint i = 0; i < layout.boxes->len; i++)
    draw_lines(out, &layout, layout.boxes->pdata[i]);
  for (guint i = 0; i < layout.boxes->len; i++)
    draw_box(out, layout.boxes->pdata[i]);
  g_string_append(out, "</svg>\n");
  g_hash_table_unref(layout.places);
  g_ptr_array_unref(layout.boxes);
  return g_string_free(out, FALSE);
}
