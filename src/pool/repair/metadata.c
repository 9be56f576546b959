/* virt-thin - mending a thin pool: metadata made anew
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "dm/thin-reader.h"
#include "pool/repair/repair-private.h"
#include "thin/format/block.h"
#include "thin/format/disk-format.h"
#include "thin/rebuild/rebuild.h"
#include "util/memory.h"

#define PIECE (1u << 20)

void repair_metadata_clear(RepairMetadata *metadata)
{
  g_clear_pointer(&metadata->errors, g_ptr_array_unref);
  g_clear_pointer(&metadata->leaks, g_ptr_array_unref);
  g_clear_pointer(&metadata->chosen, g_free);
  g_clear_pointer(&metadata->older, g_ptr_array_unref);
}

VtIo *repair_file_new(guint64 size, GError **error)
{
  g_autofree char *path = g_build_filename(g_get_tmp_dir(), "virt-thin-metadata-XXXXXX", NULL);
  int fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);

  if (fd < 0) {
    vt_set_errno(error, errno, "cannot make a file in %s", g_get_tmp_dir());
    return NULL;
  }
  g_unlink(path);
  if (ftruncate(fd, (off_t)size) < 0) {
    vt_set_errno(error, errno, "cannot make a file of %" G_GUINT64_FORMAT " bytes in %s", size,
                 g_get_tmp_dir());
    close(fd);
    return NULL;
  }
  return vt_io_new_file(fd, path, FALSE, error);
}

/* --- reading --- */

static void move_strings(GPtrArray *from, guint begin, GPtrArray *to)
{
  for (guint i = begin; i < from->len; i++)
    g_ptr_array_add(to, g_strdup(from->pdata[i]));
}

/* Of a superblock that is whole. */
static gboolean read_rest(VtIo *metadata, guint64 data_size, const ThinDiskSuperblock *superblock,
                          RepairMetadata *found, GError **error)
{
  g_autoptr(ThinReport) report = NULL;

  if (superblock->incompat_flags || superblock->compat_ro_flags)
    return vt_set_error(error, EPERM, "its metadata uses features that this version does not know");
  found->tid = GUINT64_FROM_LE(superblock->trans_id);
  found->chunk_size = (guint64)GUINT32_FROM_LE(superblock->data_block_size) * THIN_SECTOR;
  found->n_chunks = GUINT64_FROM_LE(superblock->data_space_map.root.nr_blocks);
  found->has_snapshot = superblock->held_root != 0;
  found->needs_check =
      (GUINT32_FROM_LE(superblock->header.flags) & THIN_SUPERBLOCK_NEEDS_CHECK) != 0;
  if (!(report = thin_check(metadata, data_size, error)))
    return FALSE;
  move_strings(report->errors, report->needs_check ? 1 : 0, found->errors);
  move_strings(report->leaks, 0, found->leaks);
  return TRUE;
}

gboolean repair_read_metadata(VtIo *metadata, guint64 data_size, RepairMetadata *found,
                              GError **error)
{
  g_autofree guint8 *block = g_malloc0(THIN_METADATA_BLOCK);
  g_autoptr(GError) damage = NULL;

  found->errors = g_ptr_array_new_with_free_func(g_free);
  found->leaks = g_ptr_array_new_with_free_func(g_free);
  found->older = g_ptr_array_new_with_free_func(g_free);
  if (!vt_io_read(metadata, block, THIN_METADATA_BLOCK, 0, error))
    return FALSE;
  if (vt_is_zero(block, THIN_METADATA_BLOCK)) {
    found->superblock = REPAIR_ZERO;
    return TRUE;
  }
  if (thin_superblock_read(metadata, 0, block, &damage))
    return read_rest(metadata, data_size, (gconstpointer)block, found, error);
  found->superblock = REPAIR_DAMAGED;
  g_ptr_array_add(found->errors, g_strdup(damage->message));
  return TRUE;
}

GArray *repair_list_devices(VtIo *metadata, guint64 *tid, GError **error)
{
  g_autoptr(DmkReader) reader = dmk_reader_open(metadata, 0, error);
  DmkSuperblock superblock;

  if (!reader)
    return NULL;
  dmk_reader_superblock(reader, &superblock);
  *tid = superblock.transaction_id;
  return dmk_reader_devices(reader, 0, THIN_DEVICE_MAX, error);
}

gboolean repair_device_end(VtIo *metadata, guint32 id, guint64 *end, GError **error)
{
  g_autoptr(DmkReader) reader = dmk_reader_open(metadata, 0, error);
  g_autoptr(GArray) map = reader ? dmk_reader_map(reader, id, error) : NULL;

  if (map)
    *end = map->len ? g_array_index(map, DmkRange, map->len - 1).end : 0;
  return map != NULL;
}

/* --- writing --- */

gboolean repair_rebuild(VtIo *from, const RepairRoots *roots, VtIo *to, GArray *lost,
                        gboolean *devices_lost, GError **error)
{
  const ThinRoots where = {.mapping_root = roots->mapping_root,
                           .details_root = roots->details_root,
                           .transaction_id = roots->transaction_id,
                           .time = roots->time,
                           .chunk_size = roots->chunk_size,
                           .n_chunks = roots->n_chunks,
                           .details_older = roots->details_older};
  g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(ThinLost));
  ThinRebuildStats stats = {0};

  if (!thin_rebuild(from, &where, to, ranges, &stats, error))
    return FALSE;
  for (guint i = 0; i < ranges->len; i++) {
    const ThinLost *range = &g_array_index(ranges, ThinLost, i);
    const RepairLost one = {range->device, range->offset, range->length};

    g_array_append_val(lost, one);
  }
  *devices_lost = stats.devices_lost;
  return TRUE;
}

gboolean repair_adjust(VtIo *metadata, VtIo *data, guint64 chunk_size, GArray *strays,
                       GArray *empty, guint64 tid, GError **error)
{
  const ThinOptions options = {
      .translations = 1024, .chunk_size = chunk_size, .discards = THIN_DISCARD_NO_PASSDOWN};
  ThinPool *thin = thin_pool_open(metadata, data, &options, error);
  g_autoptr(GArray) messages = g_array_new(FALSE, FALSE, sizeof(ThinMessage));
  ThinMessage message = {THIN_DELETE, 0, 0};
  ThinStatus status;
  gboolean ok;

  if (!thin)
    return FALSE;
  for (guint i = 0; strays && i < strays->len; i++) {
    message.device = g_array_index(strays, ThinDevice, i).id;
    g_array_append_val(messages, message);
  }
  message.kind = THIN_CREATE;
  for (guint i = 0; empty && i < empty->len; i++) {
    message.device = g_array_index(empty, guint32, i);
    g_array_append_val(messages, message);
  }
  thin_pool_get_status(thin, &status);
  ok = thin_pool_send(thin, (ThinMessage *)messages->data, messages->len, status.transaction_id,
                      tid, error);
  return thin_pool_close(thin, ok ? error : NULL) && ok;
}

/* What differs, but for the superblock. */
static gboolean copy_rest(VtIo *from, VtIo *to, GError **error)
{
  g_autofree char *a = g_malloc(PIECE), *b = g_malloc(PIECE);
  guint64 size = MIN(vt_io_size(from), vt_io_size(to));

  for (guint64 at = THIN_METADATA_BLOCK, n; at < size; at += n) {
    n = MIN(size - at, PIECE);
    if (!vt_io_read(from, a, n, at, error) || !vt_io_read(to, b, n, at, error))
      return FALSE;
    if (memcmp(a, b, n) != 0 && !vt_io_write(to, a, n, at, error))
      return FALSE;
  }
  return vt_io_flush(to, error);
}

gboolean repair_copy(VtIo *from, VtIo *to, GError **error)
{
  g_autofree char *block = g_malloc(THIN_METADATA_BLOCK);

  return vt_io_write_zeros(to, 0, THIN_METADATA_BLOCK, error) && vt_io_flush(to, error) &&
         copy_rest(from, to, error) && vt_io_read(from, block, THIN_METADATA_BLOCK, 0, error) &&
         vt_io_write(to, block, THIN_METADATA_BLOCK, 0, error) && vt_io_flush(to, error);
}
