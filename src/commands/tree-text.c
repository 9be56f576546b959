/* virt-thin - from disks to snapshots, in lines
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "commands/tree-text.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

#define NUMBERS 19 /* "1023.99 GiB  100 %", and a space before */
#define OPEN_BY 9
#define NAME_MIN 24

typedef struct {
  gboolean fine; /* lines, not only ASCII */
  guint width;   /* 0: no end */
  guint column;  /* of the numbers; 0: they are looked for, and nothing is printed */
  guint widest;
} Picture;

/* Of a node: what it is, behind the lines of the levels before. The caller's. */
static char *label_of(const Picture *picture, const char *lines, const TreeNode *node,
                      gboolean below)
{
  g_autofree char *kind = g_strconcat(node->kind ? "  " : "", node->kind ? node->kind : "",
                                      node->note ? ", " : "", node->note ? node->note : "",
                                      below ? "  (below)" : "", NULL),
                  *name = NULL;
  glong taken = g_utf8_strlen(lines, -1) + g_utf8_strlen(kind, -1);
  glong room = picture->column ? MAX((glong)picture->column - taken, 8) : G_MAXINT;

  name = cli_cut(node->name, (guint)room);
  return g_strconcat(lines, name, kind, NULL);
}

/* A line of its own where it does not fit behind the numbers. */
static void print_remark(const Picture *picture, const char *lines, const char *remark, guint at)
{
  guint length = (guint)g_utf8_strlen(remark, -1), before = (guint)g_utf8_strlen(lines, -1) + 2;
  g_autofree char *text = NULL;

  if (!picture->width || at + 2 + length <= picture->width) {
    printf("  %s\n", remark);
    return;
  }
  text = cli_cut(remark, before + 8 < picture->width ? picture->width - before : 8);
  printf("\n%s  %s\n", lines, text);
}

/* @lines: those of the levels above, for the lines that follow. */
static void print_node(const Picture *picture, const char *label, const char *lines,
                       const TreeNode *node)
{
  g_autofree char *size = node->size ? cli_size(node->size) : g_strdup("-"),
                  *used = node->used == G_MAXUINT64 || !node->size
                              ? g_strdup("")
                              : g_strdup_printf("%.0f %%",
                                                100.0 * (double)node->used / (double)node->size),
                  *remark = g_strconcat(node->user ? node->user : "",
                                        node->user && node->fault ? "; " : "",
                                        node->fault ? node->fault : "", NULL);
  int padding = (int)picture->column - (int)g_utf8_strlen(label, -1);

  if (!*remark && !*used)
    printf("%s%*s %11s\n", label, MAX(padding, 0), "", size);
  else
    printf("%s%*s %11s %5s", label, MAX(padding, 0), "", size, used);
  if (*remark)
    print_remark(picture, lines, remark, picture->column + NUMBERS - 1);
  else if (*used)
    putchar('\n');
}

static void walk(Picture *picture, TreeNode *node, const char *lines, const char *branch,
                 gboolean last)
{
  const char *bar = !*branch ? "" : last ? "  " : picture->fine ? "│ " : "| ";
  gboolean below = ++node->visits < node->n_below;
  g_autofree char *before = g_strconcat(lines, branch, NULL),
                  *label = label_of(picture, before, node, below),
                  *behind = g_strconcat(lines, bar, NULL),
                  *following = g_strconcat(behind,
                                           below || !node->above->len ? ""
                                           : picture->fine            ? "│ "
                                                                      : "| ",
                                           NULL);

  picture->widest = MAX(picture->widest, (guint)g_utf8_strlen(label, -1));
  if (picture->column && below)
    printf("%s\n", label);
  else if (picture->column)
    print_node(picture, label, following, node);
  for (guint i = 0; !below && i < node->above->len; i++) {
    gboolean end = i + 1 == node->above->len;

    walk(picture, node->above->pdata[i], behind,
         picture->fine ? (end ? "└ " : "├ ") : (end ? "` " : "|-"), end);
  }
}

static void walk_all(Picture *picture, GPtrArray *all)
{
  for (guint i = 0; i < all->len; i++)
    ((TreeNode *)all->pdata[i])->visits = 0;
  for (guint i = 0; i < all->len; i++)
    if (((TreeNode *)all->pdata[i])->n_below == 0)
      walk(picture, all->pdata[i], "", "", TRUE);
}

void tree_text_print(const TreeNodes *nodes, guint width)
{
  Picture picture = {.fine = cli_locale_is_utf8(), .width = width};

  walk_all(&picture, tree_nodes_all(nodes));
  picture.column = MAX(picture.widest, NAME_MIN);
  if (width)
    picture.column =
        MIN(picture.column, MAX(width, NUMBERS + OPEN_BY + NAME_MIN) - NUMBERS - OPEN_BY);
  printf("%-*s %11s %5s  %s\n", (int)picture.column, "NAME", "SIZE", "USED", "OPEN BY");
  walk_all(&picture, tree_nodes_all(nodes));
}
