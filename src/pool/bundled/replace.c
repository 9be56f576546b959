/* virt-thin - the bundled pool: a volume's content becomes another's
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The LV stays as it is, with its name, UUID, tags, device id and the origin keys of its snapshots,
 * and its thin device gets the other's map: one thin commit makes a snapshot of the other under a
 * new device id, lets the two devices trade places, and deletes the new id, which holds the old map
 * by then. For LVM nothing happens but the deletion of a device that no LV has: should lvm2 come
 * upon the volume group in between, it finds a message to delete what is not there (fine), or one
 * that was carried out. What it cannot know, the volume's new size and its segment's
 * transaction_id, is kept until our own next open in a tag,
 *
 *     virt-thin.rollback=<extents before>/<LV whose content it takes>
 *     virt-thin.clone=<the same>
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#include "pool/rules.h"

#define ROLLBACK_TAG POOL_OWN_TAGS "rollback="
#define CLONE_TAG POOL_OWN_TAGS "clone="

/* Until it is finished the volume shows all of either content, and a clone has the origin that it
 * had. */
gboolean bundled_begin_replacement(LvmVg *vg, LvmLv *before, const PoolStep *step,
                                   const ThinDevice *device, GError **error)
{
  LvmLv *lv = lvm_vg_find_lv(vg, step->name), *from = lvm_vg_find_lv(vg, step->other);
  g_autofree char *tag =
      g_strdup_printf("%s%" G_GUINT64_FORMAT "/%s", step->rollback ? ROLLBACK_TAG : CLONE_TAG,
                      step->old_extents, step->other);

  lvm_thin_set_device(lv, device->id, device->transaction_id);
  lvm_thin_set_origin(lv, lvm_thin_origin(before));
  return lvm_lv_add_tag(lv, tag, error) &&
         lvm_thin_set_extents(lv, MAX(step->old_extents, lvm_lv_n_extents(from)), error);
}

/* Take the tag out; what it stands for was done, or was not. */
static void end_replacement(LvmVg *vg, LvmLv *lv, const char *tag, gboolean done,
                            guint64 details_tid)
{
  gboolean rollback = g_str_has_prefix(tag, ROLLBACK_TAG);
  char *name;
  guint64 extents = g_ascii_strtoull(strchr(tag, '=') + 1, &name, 10);
  LvmLv *from = *name == '/' ? lvm_vg_find_lv(vg, name + 1) : NULL;

  if (done) {
    lvm_thin_set_device(lv, lvm_thin_device(lv), details_tid);
    if (rollback)
      extents = from ? lvm_lv_n_extents(from) : 0;
    else if (from && from != lv && !pool_rules_descends_from(vg, from, lvm_lv_name(lv)))
      lvm_thin_set_origin(lv, name + 1);
  }
  if (extents)
    lvm_thin_set_extents(lv, extents, NULL);
  lvm_lv_remove_tag(lv, tag);
}

/* The caller's; NULL: none. */
static char *find_tag(LvmLv *lv)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (char **tag = tags; *tag; tag++)
    if (g_str_has_prefix(*tag, ROLLBACK_TAG) || g_str_has_prefix(*tag, CLONE_TAG))
      return g_strdup(*tag);
  return NULL;
}

void bundled_end_replacement(LvmVg *vg, const char *name, guint64 details_tid)
{
  LvmLv *lv = lvm_vg_find_lv(vg, name);
  g_autofree char *tag = find_tag(lv);

  end_replacement(vg, lv, tag, TRUE, details_tid);
}

/* The device's details tell: a device that took another's place was made later than the text
 * says. */
gboolean bundled_finish_replacement(LvmVg *vg, LvmLv *lv, guint64 details_tid)
{
  g_autofree char *tag = find_tag(lv);

  if (tag)
    end_replacement(vg, lv, tag, details_tid != lvm_thin_transaction_id(lv), details_tid);
  return tag != NULL;
}
