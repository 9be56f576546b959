/* virt-thin - the texts and roots that a volume can be rescued by, as lists to choose from
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <stdio.h>

#include "cli/cli.h"
#include "rescue/lists.h"

#define N_LOSSES_SHOWN 8u

static const char *kind_name(LvmTextKind kind)
{
  static const char *const names[] = {"committed", "backup", "archive", "left over", "file"};

  return names[kind];
}

static char *format_time(guint64 time)
{
  g_autoptr(GDateTime) when = time ? g_date_time_new_from_unix_local((gint64)time) : NULL;

  return when ? g_date_time_format(when, "%Y-%m-%d %H:%M:%S") : g_strdup("-");
}

/* --- texts --- */

static void print_text(const LvmText *text, const char *lv_name)
{
  LvmLv *lv = lv_name ? lvm_vg_find_lv(text->vg, lv_name) : NULL;
  g_autofree char *time = format_time(text->creation_time),
                  *size = cli_size(lv ? lvm_lv_size(lv) : G_MAXUINT64),
                  *pvs = g_strdup_printf("%u/%u", text->n_present, text->n_pvs);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(text->vg);

  printf("%6" G_GUINT64_FORMAT "  %-19s  %5s  %7u", text->seqno, time, pvs, lvs->len);
  if (lv_name)
    printf("  %10s", size);
  printf("  %-9s  %s\n", kind_name(text->kind), (char *)text->sources->pdata[0]);
  for (guint i = 1; i < text->sources->len; i++)
    printf("%*s%s\n", lv_name ? 67 : 55, "", (char *)text->sources->pdata[i]);
}

void rescue_print_texts(RescueGroup *group, const char *lv)
{
  printf("%6s  %-19s  %5s  %7s", "SEQNO", "WRITTEN", "PVS", "VOLUMES");
  if (lv)
    printf("  %10s", "SIZE");
  printf("  %-9s  %s\n", "KIND", "FOUND");
  for (guint i = 0; i < group->texts->len; i++)
    print_text(group->texts->pdata[i], lv);
}

/* --- roots --- */

static const char *match_name(const ThinRootPair *pair)
{
  static const char *const names[] = {"whole", "damaged", "apart"};

  return names[pair->match];
}

static void print_losses(const ThinRootPair *pair)
{
  for (guint i = 0; i < MIN(pair->losses->len, N_LOSSES_SHOWN); i++) {
    g_autofree char *text = thin_root_loss_text(&g_array_index(pair->losses, ThinRootLoss, i));

    printf("      lost: %s\n", text);
  }
  if (pair->losses->len > N_LOSSES_SHOWN)
    printf("      ... and %u more%s\n", pair->losses->len - N_LOSSES_SHOWN,
           pair->more_losses ? ", at least" : "");
}

static void print_pair(const ThinRootPair *pair, guint number, guint64 chunk_size, gint64 device)
{
  const ThinRootDevice *wanted = device >= 0 ? thin_root_pair_device(pair, (guint32)device) : NULL;
  g_autofree char *all = cli_size(pair->n_mappings * chunk_size),
                  *one = cli_size(wanted ? wanted->n_found * chunk_size : G_MAXUINT64);

  printf("%3u  %8" G_GUINT64_FORMAT "  %8" G_GUINT64_FORMAT "  %11" G_GUINT64_FORMAT
         "  %6u  %7u  %10s",
         number, pair->mapping_root, pair->details_root, pair->transaction_id, pair->time,
         pair->devices->len, all);
  if (device >= 0)
    printf("  %10s", one);
  printf("  %s%s\n", match_name(pair), pair->is_current ? ", the superblock's" : "");
  print_losses(pair);
}

void rescue_print_roots(RescueGroup *group, GPtrArray *pairs, LvmLv *pool, const char *lv_name)
{
  LvmLv *lv = lvm_vg_find_lv(lvm_store_vg(group->store), lv_name);
  gint64 device = lv != pool ? (gint64)lvm_thin_device(lv) : -1;

  printf("%3s  %8s  %8s  %11s  %6s  %7s  %10s", "N", "MAPS", "DETAILS", "TRANSACTION", "TIME",
         "DEVICES", "MAPPED");
  if (device >= 0)
    printf("  %10s", "OF IT");
  printf("  STATE\n");
  for (guint i = 0; i < pairs->len; i++)
    print_pair(pairs->pdata[i], i + 1, lvm_pool_chunk_size(pool), device);
}
