/* virt-thin - checking thin metadata: the roots alone
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What a superblock leads to at once: a handful of blocks, however large the pool is. A superblock
 * of another time, or of another device, is found by that; a damaged node further down is not.
 */
#include "config.h"
#include "thin/metadata/check-private.h"

static void check_root(Check *check, const char *what, guint64 number, ThinKind kind,
                       guint value_size)
{
  guint64 block[THIN_METADATA_BLOCK / 8];
  const guint8 *data = (const guint8 *)block;
  g_autoptr(GError) fault = NULL;
  const char *wrong = NULL;

  if (number == 0 || number >= check->n_blocks)
    vt_set_error(&fault, EBADMSG,
                 "it is said to be in metadata block %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT,
                 number, check->n_blocks);
  else if (thin_block_read(check->io, number, kind, (guint8 *)block, &fault) && value_size)
    wrong = thin_node_fault(data, value_size, TRUE);
  if (fault || wrong)
    check_error(check, "root of the %s: %s", what, fault ? fault->message : wrong);
}

static void check_map(Check *check, const char *what, const ThinDiskSpaceMapRoot *root,
                      ThinKind kind, guint value_size)
{
  if (GUINT64_FROM_LE(root->nr_allocated) > GUINT64_FROM_LE(root->nr_blocks))
    check_error(check, "superblock: the %s space map has more in use than there is", what);
  check_root(check, what, GUINT64_FROM_LE(root->bitmap_root), kind, value_size);
  check_root(check, "reference counts", GUINT64_FROM_LE(root->ref_count_root), THIN_KIND_NODE,
             sizeof(guint32));
}

void check_roots(Check *check)
{
  const ThinDiskSuperblock *sb = &check->superblock;

  check_root(check, "mapping tree of the devices", GUINT64_FROM_LE(sb->data_mapping_root),
             THIN_KIND_NODE, sizeof(guint64));
  check_root(check, "device details", GUINT64_FROM_LE(sb->device_details_root), THIN_KIND_NODE,
             sizeof(ThinDiskDetails));
  check_map(check, "data", &sb->data_space_map.root, THIN_KIND_NODE, sizeof(ThinDiskIndexEntry));
  check_map(check, "metadata", &sb->metadata_space_map.root, THIN_KIND_INDEX, 0);
  if (sb->held_root)
    check_root(check, "metadata snapshot", GUINT64_FROM_LE(sb->held_root), THIN_KIND_SUPERBLOCK, 0);
}
