/* virt-thin - work beside one's own: items in their order, by a thread
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Whoever hands an item over goes on with the next one, so that reading, hashing and writing
 * overlap. When one fails those behind it are left out, and all later calls fail as it did. The
 * thread takes no signals: they interrupt who waits for a pipe. Where there can be no thread, the
 * work is done at once.
 *
 * Thread-safety: one thread at a time.
 */
#pragma once

#include <glib.h>

typedef gboolean (*VtWork)(gconstpointer item, gpointer user_data, GError **error);

typedef struct VtWorker VtWorker;
/* Items are of @item_size bytes, @depth at most are under way or wait. */
VtWorker *vt_worker_new(VtWork work, gpointer user_data, gsize item_size, guint depth);
/* Of a copy of @item; waits for a place. On return @depth at most are not done. */
gboolean vt_worker_push(VtWorker *worker, gconstpointer item, GError **error);
/* All are done on return. */
gboolean vt_worker_finish(VtWorker *worker, GError **error);
/* Waits for the one that is under way; those behind it are left out. NULL is fine. */
void vt_worker_free(VtWorker *worker);
