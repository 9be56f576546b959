/* virt-thin - the checksum of a backup's file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/sum.h"

#include <string.h>

#include "backup/sha256.h"
#include "util/memory.h"
#include "util/worker.h"

struct BackupSum {
  gboolean data_only;
  BackupSha256 *sha256;
  VtWorker *worker; /* NULL: none was needed; then there are */
  char *buffers[BACKUP_PIECES];
  guint turn; /* of which is to be filled */
};

typedef struct {
  guint64 offset;
  const char *data;
  gsize length;
} Part;

gboolean backup_is_checksum(const char *kind)
{
  return strcmp(kind, "sha256") == 0 || strcmp(kind, "sha256-data") == 0;
}

static void add_block(BackupSha256 *sha256, guint64 offset, const char *data, gsize length)
{
  guint64 where = GUINT64_TO_BE(offset);

  backup_sha256_update(sha256, &where, sizeof where);
  backup_sha256_update(sha256, data, length);
}

/* A VtWork of a BackupSum. */
static gboolean add(gconstpointer item, gpointer user_data, GError **error)
{
  const Part *part = item;
  BackupSum *sum = user_data;

  if (!sum->data_only)
    backup_sha256_update(sum->sha256, part->data, part->length);
  for (gsize done = 0, n; sum->data_only && done < part->length; done += n) {
    n = MIN(part->length - done, BACKUP_BLOCK);
    if (!vt_is_zero(part->data + done, n))
      add_block(sum->sha256, part->offset + done, part->data + done, n);
  }
  return TRUE;
}

BackupSum *backup_sum_new(gboolean data_only)
{
  BackupSum *sum = g_new0(BackupSum, 1);

  sum->data_only = data_only;
  sum->sha256 = backup_sha256_new();
  return sum;
}

char *backup_sum_buffer(BackupSum *sum)
{
  if (!sum->worker) {
    sum->worker = vt_worker_new(add, sum, sizeof(Part), BACKUP_PIECES - 1);
    for (guint i = 0; i < BACKUP_PIECES; i++)
      sum->buffers[i] = g_malloc(BACKUP_PIECE);
  }
  return sum->buffers[sum->turn];
}

/* The next one is done on return. */
void backup_sum_add_buffer(BackupSum *sum, guint64 offset, gsize length)
{
  const Part part = {offset, sum->buffers[sum->turn], length};

  vt_worker_push(sum->worker, &part, NULL);
  sum->turn = (sum->turn + 1) % BACKUP_PIECES;
}

void backup_sum_add(BackupSum *sum, guint64 offset, const void *data, gsize length)
{
  const Part part = {offset, data, length};

  if (sum->worker)
    vt_worker_finish(sum->worker, NULL);
  add(&part, sum, NULL);
}

char *backup_sum_end(BackupSum *sum)
{
  char *text;

  if (sum->worker)
    vt_worker_finish(sum->worker, NULL);
  text = backup_sha256_end(g_steal_pointer(&sum->sha256));
  backup_sum_free(sum);
  return text;
}

void backup_sum_free(BackupSum *sum)
{
  if (!sum)
    return;
  vt_worker_free(sum->worker);
  for (guint i = 0; i < BACKUP_PIECES; i++)
    g_free(sum->buffers[i]);
  backup_sha256_free(sum->sha256);
  g_free(sum);
}
