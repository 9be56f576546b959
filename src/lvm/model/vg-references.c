/* virt-thin - what a volume group's text says against itself
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * One name that leads nowhere, and lvm2 reads nothing of the volume group (lvm2 lib/thin/thin.c,
 * lib/cache_segtype/cache.c, lib/snapshot/snapshot.c: text_import).
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"

typedef struct {
  const char *key, *what;                    /* what it names */
  const char *wanted;                        /* the type that it has to be. NULL: any */
  void (*drop)(LvmLv *lv, const char *name); /* without it nothing is lost. NULL: there is */
} Reference;

static const struct {
  const char *type;        /* of a segment */
  Reference references[5]; /* up to a key of NULL */
} types[] = {
    {"thin",
     {{"thin_pool", "thin pool", "thin-pool", NULL},
      {"origin", "origin", "thin", lvm_thin_set_origin},
      {"merge", "merge target", "thin", lvm_thin_set_merge},
      {"external_origin", "external origin", NULL, NULL}}},
    {"thin-pool", {{"metadata", "metadata", NULL, NULL}, {"pool", "data", NULL, NULL}}},
    {"cache", {{"cache_pool", "cache", NULL, NULL}, {"origin", "origin", NULL, NULL}}},
    {"cache-pool", {{"metadata", "metadata", NULL, NULL}, {"data", "data", NULL, NULL}}},
    {"writecache", {{"origin", "origin", NULL, NULL}, {"writecache", "cache", NULL, NULL}}},
    {"snapshot",
     {{"origin", "origin", NULL, NULL},
      {"cow_store", "store", NULL, NULL},
      {"merging_store", "store", NULL, NULL}}},
};

/* Those of @segment. NULL: it has none. */
static const Reference *references_of(LvmNode *segment)
{
  for (guint i = 0; i < G_N_ELEMENTS(types); i++)
    if (lvm_segment_is_type(segment, types[i].type))
      return types[i].references;
  return NULL;
}

/* The name, if it leads nowhere. */
static const char *dangling(LvmVg *vg, LvmNode *segment, const Reference *reference)
{
  const char *name = lvm_section_get_string(segment, reference->key);
  LvmLv *there = name ? lvm_vg_find_lv(vg, name) : NULL;

  if (there && (!reference->wanted ||
                (there->segment && lvm_segment_is_type(there->segment, reference->wanted))))
    return NULL;
  return name;
}

static char *find_dangling(LvmVg *vg)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    for (LvmNode *segment = lv->segment; segment; segment = lvm_segment_next(segment))
      for (const Reference *r = references_of(segment); r && r->key; r++) {
        const char *name = dangling(vg, segment, r);

        if (name)
          return g_strdup_printf("logical volume %s has %s as its %s, which is no such volume",
                                 lvm_lv_name(lv), name, r->what);
      }
  }
  return NULL;
}

char *lvm_vg_contradiction(LvmVg *vg)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) areas = lvm_vg_free_areas(vg, NULL, &error);

  return areas ? find_dangling(vg) : g_strdup(error->message);
}

void lvm_vg_drop_dangling(LvmVg *vg)
{
  for (GList *link = vg->lvs.head; link; link = link->next) {
    LvmLv *lv = link->data;

    for (const Reference *r = lv->segment ? references_of(lv->segment) : NULL; r && r->key; r++)
      if (r->drop && dangling(vg, lv->segment, r))
        r->drop(lv, NULL);
  }
}
