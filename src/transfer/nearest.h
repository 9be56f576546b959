/* virt-thin - which of several volumes of a pool one differs from least
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * By the maps alone, at the cost of the differences; a volume that is farther away than the nearest
 * so far is left as soon as that shows.
 *
 * Errors: VT_ERROR; ECANCELED after a signal. Thread-safety: main thread only.
 */
#pragma once

#include "pool/pool.h"

/* @candidates: of const char *, in the order of their choice where several are as near; NULL is
 * the empty volume. *which: an index of them; *cost: the bytes that @volume has otherwise. */
gboolean transfer_nearest(VolumeGroup *group, const GPtrArray *candidates, const char *volume,
                          guint *which, guint64 *cost, GError **error);
