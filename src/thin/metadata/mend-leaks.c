/* virt-thin - thin metadata whose only faults are leaks, and the mark needs_check: mended
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What is counted more often than it is used gets the count that it should have, by the engine's
 * own space maps and commits: after each of these there are fewer leaks than before, so an end at
 * any point leaves nothing that is worse. Metadata blocks come first, for what they free may be
 * needed for the rest.
 */
#include "config.h"
#include "thin/metadata/check-private.h"
#include "thin/metadata/metadata-private.h"

static gboolean mend_metadata(ThinMetadata *md, const GArray *leaks, GError **error)
{
  for (guint i = 0; i < leaks->len; i++) {
    const CheckLeak *leak = &g_array_index(leaks, CheckLeak, i);

    for (guint64 block = leak->begin; leak->metadata && block < leak->end; block++)
      thin_metadata_map_correct(md->tm.map, block, leak->used);
    md->changed |= leak->metadata;
  }
  return thin_metadata_commit(md, NULL, NULL, error);
}

static gboolean mend_data(ThinMetadata *md, const GArray *leaks, GError **error)
{
  for (guint i = 0; i < leaks->len; i++) {
    const CheckLeak *leak = &g_array_index(leaks, CheckLeak, i);

    if (leak->metadata)
      continue;
    if (thin_metadata_wants_commit(md) && !thin_metadata_commit(md, NULL, NULL, error))
      return FALSE;
    if (!thin_metadata_has_reserve(md, error) ||
        !thin_metadata_changed_by(md, thin_data_map_lower(md->data, leak->begin,
                                                          leak->end - leak->begin,
                                                          leak->counted - leak->used, error)))
      return FALSE;
  }
  return thin_metadata_commit(md, NULL, NULL, error);
}

/* @n_allocated: chunks that the bitmaps have in use. */
static gboolean mend(VtIo *io, const GArray *leaks, guint64 n_allocated, GError **error)
{
  ThinMetadata *md = thin_metadata_open(io, FALSE, 0, error);
  gboolean ok;

  if (!md)
    return FALSE;
  if (thin_data_map_n_allocated(md->data) != n_allocated) {
    thin_data_map_set_allocated(md->data, n_allocated);
    md->changed = TRUE;
  }
  ok = mend_metadata(md, leaks, error) && mend_data(md, leaks, error);
  thin_metadata_close(md);
  return ok;
}

gboolean thin_mend_leaks(VtIo *io, guint64 data_size, ThinReport **found, GError **error)
{
  g_autoptr(GArray) leaks = g_array_new(FALSE, FALSE, sizeof(CheckLeak));
  guint64 n_allocated = 0;
  g_autoptr(ThinReport) report = check_for_leaks(io, data_size, leaks, &n_allocated, error);
  gboolean ok;

  *found = NULL;
  if (!report)
    return FALSE;
  if (report->errors->len > (report->needs_check ? 1u : 0u)) /* the mark is the first */
    return vt_set_error(error, EBADMSG, "%s: it is damaged: %s", vt_io_name(io),
                        (char *)report->errors->pdata[report->needs_check ? 1 : 0]);
  ok = (!report->needs_check || check_clear_mark(io, error)) &&
       (report->leaks->len == 0 || mend(io, leaks, n_allocated, error));
  if (ok)
    *found = g_steal_pointer(&report);
  return ok;
}
