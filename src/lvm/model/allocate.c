/* virt-thin - which extents of the physical volumes are taken, and taking more
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * LVM2 records no free list: what no segment names is free. New extents come, in this order, from
 * right behind the LV's end, from the first free run that holds all, from the largest runs; all of
 * them where the allocation policy of the LV, else the VG's, lets them be (lvm(8); lvm2
 * lib/metadata/lv_manip.c): "contiguous", in one run right behind the end; "cling", on the PVs of
 * the last segment. An LV that has no extents yet gets one run, or one PV. Segments: lvm2
 * lib/striped/striped.c.
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"

/* --- what is taken --- */

static gboolean add_area(LvmVg *vg, LvmNode *segment, const char *name, guint64 start, guint64 n,
                         GArray *areas, GError **error)
{
  LvmArea area = {.pv = lvm_vg_find_pv(vg, name), .start = start, .n = n};

  if (!area.pv) {
    if (lvm_vg_find_lv(vg, name))
      return TRUE; /* an LV on LVs */
    return vt_set_error(error, EBADMSG,
                        "volume group %s: a %s names the physical volume %s, which is not there",
                        lvm_vg_name(vg), lvm_node_name(segment), name);
  }
  if (start > area.pv->n_extents || n > area.pv->n_extents - start)
    return vt_set_error(error, EBADMSG,
                        "volume group %s: a segment takes extents %" G_GUINT64_FORMAT
                        " to %" G_GUINT64_FORMAT
                        " of physical volume %s, which has %" G_GUINT64_FORMAT,
                        lvm_vg_name(vg), start, start + n - 1, name, area.pv->n_extents);
  g_array_append_val(areas, area);
  return TRUE;
}

/* The "name", number pairs of an array. Others than a striped segment's are taken where they name a
 * PV. */
static gboolean add_pairs(LvmVg *vg, LvmNode *segment, LvmNode *array, guint64 n, gboolean striped,
                          GArray *areas, GError **error)
{
  LvmValue it;

  lvm_value_init(&it, array);
  while (lvm_value_next(&it)) {
    const char *name = it.text;
    gboolean string = it.type >= LVM_VALUE_STRING;
    guint64 start;

    if (!striped && (!string || !lvm_vg_find_pv(vg, name)))
      continue;
    if (!string || !lvm_value_next(&it) || !lvm_value_get_uint(&it, &start))
      return vt_set_error(error, EBADMSG,
                          "volume group %s: the stripes of a %s are no list of volumes and extents",
                          lvm_vg_name(vg), lvm_node_name(segment));
    if (!add_area(vg, segment, name, start, n, areas, error))
      return FALSE;
  }
  return TRUE;
}

gboolean lvm_segment_areas(LvmVg *vg, LvmNode *segment, GArray *areas, GError **error)
{
  gboolean striped =
      lvm_segment_is_type(segment, "striped") || lvm_segment_is_type(segment, "linear");
  guint64 n = 0, stripes = 1;
  guint before = areas->len;

  lvm_section_get_uint(segment, "extent_count", &n);
  if (!striped) {
    for (LvmNode *node = lvm_section_first(segment); node; node = lvm_node_next(node))
      if (lvm_node_kind(node) == LVM_NODE_ASSIGNMENT &&
          !add_pairs(vg, segment, node, n, FALSE, areas, error))
        return FALSE;
    return TRUE;
  }
  if (!lvm_section_get_uint(segment, "stripe_count", &stripes) || stripes == 0 || n % stripes != 0)
    return vt_set_error(error, EBADMSG, "volume group %s: a %s has no valid stripe_count",
                        lvm_vg_name(vg), lvm_node_name(segment));
  if (!add_pairs(vg, segment, lvm_section_find(segment, "stripes"), n / stripes, TRUE, areas,
                 error))
    return FALSE;
  if (areas->len - before > stripes)
    return vt_set_error(error, EBADMSG,
                        "volume group %s: a %s has more stripes than its stripe_count",
                        lvm_vg_name(vg), lvm_node_name(segment));
  return TRUE;
}

gboolean lvm_lv_find_run(LvmVg *vg, LvmLv *lv, LvmPv **pv, guint64 *offset)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));
  const LvmArea *first;

  if (lvm_lv_kind(lv) != LVM_LV_STRIPED) /* which has a segment */
    return FALSE;
  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment)) {
    guint before = areas->len;
    guint64 n = 0;

    lvm_section_get_uint(segment, "extent_count", &n);
    if (!lvm_segment_areas(vg, segment, areas, NULL) || areas->len != before + 1 ||
        g_array_index(areas, LvmArea, before).n != n)
      return FALSE;
  }
  first = &g_array_index(areas, LvmArea, 0);
  for (const LvmArea *area = first + 1; area < first + areas->len; area++)
    if (area->pv != first->pv || area->start != area[-1].start + area[-1].n)
      return FALSE;
  *pv = first->pv;
  *offset = lvm_pv_start(first->pv) + first->start * lvm_vg_extent_size(vg);
  return TRUE;
}

static gint compare_areas(gconstpointer a, gconstpointer b)
{
  const LvmArea *x = a, *y = b;

  if (x->pv != y->pv)
    return x->pv < y->pv ? -1 : 1;
  return x->start < y->start ? -1 : x->start > y->start;
}

static GArray *taken_areas(LvmVg *vg, GError **error)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));

  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    if (lv->kind == LVM_LV_THIN || lv->kind == LVM_LV_THIN_POOL)
      continue;
    for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
      if (!lvm_segment_areas(vg, segment, areas, error)) {
        g_prefix_error(error, "logical volume %s: ", lvm_lv_name(lv));
        return NULL;
      }
  }
  g_array_sort(areas, compare_areas);
  return g_steal_pointer(&areas);
}

/* --- what is free --- */

static gboolean add_free(LvmVg *vg, LvmPv *pv, GArray *taken, GArray *free_areas, GError **error)
{
  LvmArea area = {.pv = pv};

  for (guint i = 0; i < taken->len; i++) {
    const LvmArea *t = &g_array_index(taken, LvmArea, i);

    if (t->pv != pv)
      continue;
    if (t->start < area.start)
      return vt_set_error(error, EBADMSG,
                          "volume group %s: extent %" G_GUINT64_FORMAT
                          " of physical volume %s belongs to two logical volumes",
                          lvm_vg_name(vg), t->start, lvm_pv_name(pv));
    area.n = t->start - area.start;
    if (area.n)
      g_array_append_val(free_areas, area);
    area.start = t->start + t->n;
  }
  area.n = pv->n_extents - area.start;
  if (area.n)
    g_array_append_val(free_areas, area);
  return TRUE;
}

GArray *lvm_vg_free_areas(LvmVg *vg, LvmPv *pv, GError **error)
{
  g_autoptr(GArray) taken = taken_areas(vg, error);
  g_autoptr(GArray) free_areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));

  if (!taken)
    return NULL;
  for (guint i = 0; i < vg->pvs->len; i++) {
    LvmPv *each = vg->pvs->pdata[i];
    guint before = free_areas->len;

    if (pv && each != pv)
      continue;
    if (!add_free(vg, each, taken, free_areas, error))
      return NULL;
    if (!pv && (!lvm_pv_has_status(each, "ALLOCATABLE") || lvm_pv_has_status(each, "MISSING")))
      g_array_set_size(free_areas, before);
  }
  return g_steal_pointer(&free_areas);
}

static guint64 count_free(LvmVg *vg, LvmPv *pv)
{
  g_autoptr(GArray) areas = lvm_vg_free_areas(vg, pv, NULL);
  guint64 n = 0;

  for (guint i = 0; areas && i < areas->len; i++)
    n += g_array_index(areas, LvmArea, i).n;
  return n;
}

guint64 lvm_vg_n_free_extents(LvmVg *vg)
{
  return count_free(vg, NULL);
}

guint64 lvm_pv_n_free_extents(LvmPv *pv)
{
  return count_free(pv->vg, pv);
}

/* --- taking more --- */

/* Where the last segment of @lv ends, when it is linear on a PV. */
static gboolean last_area(LvmLv *lv, LvmNode **segment, LvmArea *area)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));
  guint64 stripes;

  *segment = NULL;
  for (LvmNode *s = lvm_segment_first(lvm_lv_node(lv)); s; s = lvm_segment_next(s))
    *segment = s;
  if (!*segment || !lvm_section_get_uint(*segment, "stripe_count", &stripes) || stripes != 1 ||
      !lvm_segment_areas(lv->vg, *segment, areas, NULL) || areas->len != 1)
    return FALSE;
  *area = g_array_index(areas, LvmArea, 0);
  return TRUE;
}

static void add_segment(LvmNode *section, const LvmArea *area, guint64 start)
{
  guint64 n = 0;
  g_autofree char *name = NULL;
  LvmPair pair = {lvm_pv_name(area->pv), area->start};
  LvmNode *segment;

  lvm_section_get_uint(section, "segment_count", &n);
  lvm_section_set_uint(section, "segment_count", n + 1, NULL);
  name = g_strdup_printf("segment%" G_GUINT64_FORMAT, n + 1);
  segment = lvm_section_add_section(section, name, n == 0, NULL);
  lvm_section_set_uint(segment, "start_extent", start, NULL);
  lvm_section_set_uint(segment, "extent_count", area->n, NULL);
  lvm_section_set_string(segment, "type", "striped", NULL);
  lvm_node_set_blanks(lvm_section_find(segment, "type"), 1);
  lvm_section_set_uint(segment, "stripe_count", 1, NULL);
  lvm_section_set_pairs(segment, "stripes", &pair, 1);
  lvm_node_set_blanks(lvm_section_find(segment, "stripes"), 1);
}

/* Put @area at the end of @lv: into its last segment where that ends right before. */
static void append_area(LvmLv *lv, const LvmArea *area)
{
  LvmNode *node = lvm_lv_edit(lv), *segment;
  LvmArea last;

  if (last_area(lv, &segment, &last) && last.pv == area->pv && last.start + last.n == area->start)
    lvm_section_set_uint(segment, "extent_count", last.n + area->n, NULL);
  else
    add_segment(node, area, lv->n_extents);
  lvm_lv_edited(lv);
}

/* --- where the allocation policy lets them be --- */

static const char *policy_of(LvmLv *lv)
{
  const char *own = lvm_section_get_string(lvm_lv_node(lv), "allocation_policy"),
             *of_vg = lvm_section_get_string(lv->vg->node, "allocation_policy");

  if (own && strcmp(own, "inherit") != 0)
    return own;
  return of_vg ? of_vg : "normal";
}

/* The PVs of the last segment; NULL: there is none. */
static GArray *last_segment_areas(LvmLv *lv)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));
  LvmNode *last = NULL;

  for (LvmNode *segment = lvm_segment_first(lvm_lv_node(lv)); segment;
       segment = lvm_segment_next(segment))
    last = segment;
  if (!last || !lvm_segment_areas(lv->vg, last, areas, NULL))
    return NULL;
  return g_steal_pointer(&areas);
}

static gboolean is_on(const LvmArea *area, GArray *areas)
{
  for (guint i = 0; i < areas->len; i++)
    if (g_array_index(areas, LvmArea, i).pv == area->pv)
      return TRUE;
  return FALSE;
}

/* Of runs sorted by PV, those of the PV that has most. */
static void keep_roomiest_pv(GArray *areas)
{
  LvmPv *pv = NULL, *best = NULL;
  guint64 n = 0, most = 0;

  for (guint i = 0; i < areas->len; i++) {
    const LvmArea *area = &g_array_index(areas, LvmArea, i);

    n = area->pv == pv ? n + area->n : area->n;
    pv = area->pv;
    if (n > most) {
      most = n;
      best = pv;
    }
  }
  for (guint i = areas->len; i-- > 0;)
    if (g_array_index(areas, LvmArea, i).pv != best)
      g_array_remove_index(areas, i);
}

/* Which of the free runs @lv may grow into. What clings by tags clings to the PVs themselves: the
 * tags that count are in lvm2's configuration. */
static GArray *usable_areas(LvmLv *lv, GError **error)
{
  GArray *areas = lvm_vg_free_areas(lv->vg, NULL, error);
  const char *policy = policy_of(lv);
  g_autoptr(GArray) last_segment = last_segment_areas(lv);
  gboolean contiguous = strcmp(policy, "contiguous") == 0,
           cling = g_str_has_prefix(policy, "cling");
  LvmNode *segment;
  LvmArea last = {0};

  if (!areas || (!contiguous && !cling))
    return areas;
  if (!last_segment && cling)
    keep_roomiest_pv(areas);
  last_area(lv, &segment, &last);
  for (guint i = areas->len; last_segment && i-- > 0;) {
    const LvmArea *area = &g_array_index(areas, LvmArea, i);

    if (!is_on(area, last_segment) ||
        (contiguous && (area->pv != last.pv || area->start != last.start + last.n)))
      g_array_remove_index(areas, i);
  }
  return areas;
}

/* The most that can be had of @areas. */
static guint64 count_usable(LvmLv *lv, GArray *areas)
{
  gboolean contiguous = strcmp(policy_of(lv), "contiguous") == 0;
  guint64 n = 0;

  for (guint i = 0; i < areas->len; i++) {
    guint64 run = g_array_index(areas, LvmArea, i).n;

    n = contiguous ? MAX(n, run) : n + run;
  }
  return n;
}

guint64 lvm_lv_n_growth(LvmLv *lv)
{
  g_autoptr(GArray) areas = usable_areas(lv, NULL);

  return areas ? count_usable(lv, areas) : 0;
}

static gboolean no_room(LvmLv *lv, guint64 n, guint64 available, GError **error)
{
  guint64 free_extents = lvm_vg_n_free_extents(lv->vg);
  g_autofree char *needed = lvm_vg_format_extents(lv->vg, n),
                  *free_text = lvm_vg_format_extents(lv->vg, free_extents),
                  *usable = lvm_vg_format_extents(lv->vg, available);

  if (free_extents >= n)
    return vt_set_error(
        error, ENOSPC,
        "volume group %s has %s free, but only %s where allocation policy %s lets logical volume "
        "%s have it, and it needs %s; change the policy with lvchange --alloc normal %s/%s",
        lvm_vg_name(lv->vg), free_text, usable, policy_of(lv), lvm_lv_name(lv), needed,
        lvm_vg_name(lv->vg), lvm_lv_name(lv));
  return vt_set_error(error, ENOSPC,
                      "volume group %s has %s free, but logical volume %s needs %s more; add a "
                      "physical volume (virt-thin extend %s PATH)",
                      lvm_vg_name(lv->vg), free_text, lvm_lv_name(lv), needed, lvm_vg_name(lv->vg));
}

/* The free run to go on with: see the top of this file. */
static LvmArea *choose(GArray *free_areas, LvmLv *lv, guint64 n)
{
  LvmArea last, *largest = NULL;
  LvmNode *segment;
  gboolean has_last = last_area(lv, &segment, &last);

  for (guint i = 0; has_last && i < free_areas->len; i++) {
    LvmArea *area = &g_array_index(free_areas, LvmArea, i);

    if (area->n && area->pv == last.pv && area->start == last.start + last.n)
      return area;
  }
  for (guint i = 0; i < free_areas->len; i++) {
    LvmArea *area = &g_array_index(free_areas, LvmArea, i);

    if (area->n >= n)
      return area;
    if (!largest || area->n > largest->n)
      largest = area;
  }
  return largest;
}

gboolean lvm_lv_allocate(LvmLv *lv, guint64 n, GError **error)
{
  g_autoptr(GArray) free_areas = usable_areas(lv, error);
  guint64 available;

  if (!free_areas)
    return FALSE;
  available = count_usable(lv, free_areas);
  if (available < n)
    return no_room(lv, n, available, error);
  while (n > 0) {
    LvmArea *area = choose(free_areas, lv, n);
    LvmArea part = {area->pv, area->start, MIN(area->n, n)};

    append_area(lv, &part);
    area->start += part.n;
    area->n -= part.n;
    n -= part.n;
  }
  return TRUE;
}

/* --- comparing --- */

static GArray *areas_of(LvmLv *lv)
{
  g_autoptr(GArray) areas = g_array_new(FALSE, FALSE, sizeof(LvmArea));

  for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
    if (!lvm_segment_areas(lv->vg, segment, areas, NULL))
      return NULL;
  return g_steal_pointer(&areas);
}

gboolean lvm_lv_same_extents(LvmLv *a, LvmLv *b)
{
  g_autoptr(GArray) areas = areas_of(a);
  g_autoptr(GArray) others = areas_of(b);

  if (!areas || !others || areas->len != others->len ||
      lvm_vg_extent_size(a->vg) != lvm_vg_extent_size(b->vg))
    return FALSE;
  for (guint i = 0; i < others->len; i++) {
    const LvmArea *x = &g_array_index(areas, LvmArea, i), *y = &g_array_index(others, LvmArea, i);

    if (strcmp(lvm_pv_uuid(x->pv), lvm_pv_uuid(y->pv)) != 0 ||
        lvm_pv_start(x->pv) != lvm_pv_start(y->pv) || x->start != y->start || x->n != y->n)
      return FALSE;
  }
  return TRUE;
}
