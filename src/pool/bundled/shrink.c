/* virt-thin - the bundled pool: volumes that become smaller
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What lies beyond the new end is unmapped once the text says that the volume ends there: a crash
 * before leaves all of it. One in between leaves chunks that nobody sees, until the volume, or a
 * clone of it, becomes larger and shows them again. So the text says until it is done, by the tag
 *
 *     virt-thin.shrunk=<extents before>
 *
 * that it is still to be done. To lvm2 it is any tag.
 */
#include "pool/bundled/bundled-private.h"

#include <string.h>

#include "pool/rules.h"

#define SHRUNK_TAG POOL_OWN_TAGS "shrunk="

/* The caller's; NULL: none. */
static char *find_tag(LvmLv *lv)
{
  g_auto(GStrv) tags = lvm_lv_tags(lv);

  for (char **tag = tags; *tag; tag++)
    if (g_str_has_prefix(*tag, SHRUNK_TAG))
      return g_strdup(*tag);
  return NULL;
}

gboolean bundled_begin_shrink(LvmVg *vg, const PoolStep *step, GError **error)
{
  g_autofree char *tag = g_strdup_printf(SHRUNK_TAG "%" G_GUINT64_FORMAT, step->old_extents);

  return lvm_lv_add_tag(lvm_vg_find_lv(vg, step->name), tag, error);
}

/* It is done and durable, but for the tag: the next open takes that out, and until then nothing is
 * changed. */
static void tell_untidy(Bundled *b, const char *name, GError *failure)
{
  g_warning("volume group %s: volume %s has become smaller, but that could not be tidied up, which "
            "the next open will do: %s",
            b->vg_name, name, failure->message);
  if (!b->stuck)
    b->stuck = g_error_copy(failure);
}

/* Should this fail, the next open does it, and until then nothing is changed. */
gboolean bundled_end_shrink(Bundled *b, const PoolStep *step, gboolean done, GError **error)
{
  LvmVg *vg = lvm_vg_copy(lvm_store_vg(b->store));
  LvmLv *lv = lvm_vg_find_lv(vg, step->name);
  g_autofree char *tag = find_tag(lv);
  g_autoptr(GError) failure = NULL;

  if (!done) {
    lvm_vg_free(vg);
    if (!b->stuck && error && *error)
      b->stuck = g_error_copy(*error);
    return FALSE;
  }
  lvm_lv_remove_tag(lv, tag);
  if (!bundled_commit_text(b, vg, "a volume has become smaller", &failure))
    tell_untidy(b, step->name, failure);
  return TRUE;
}

gboolean bundled_finish_shrink(LvmVg *vg, BundledPool *pool, LvmLv *lv, gboolean *changed,
                               GError **error)
{
  g_autofree char *tag = find_tag(lv);
  guint64 extents = tag ? g_ascii_strtoull(tag + strlen(SHRUNK_TAG), NULL, 10) : 0,
          before = MAX(extents * lvm_vg_extent_size(vg), lvm_lv_size(lv));
  ThinVolume *volume;
  gboolean ok;

  if (!tag)
    return TRUE;
  volume = thin_volume_open(pool->thin, lvm_thin_device(lv), before, FALSE, error);
  ok = volume && thin_volume_resize(volume, lvm_lv_size(lv), error);
  if (volume)
    thin_volume_close(volume);
  if (!ok || !thin_pool_commit(pool->thin, error)) {
    g_prefix_error(error, "volume %s/%s: what lies beyond its new end cannot be taken away: ",
                   lvm_vg_name(vg), lvm_lv_name(lv));
    return FALSE;
  }
  lvm_lv_remove_tag(lv, tag);
  *changed = TRUE;
  return TRUE;
}
