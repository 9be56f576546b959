/* virt-thin - chunk and metadata sizes of a new thin pool, as lvm2 chooses them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm2 lib/metadata/thin_manip.c: 64 bytes of metadata per chunk, at least 2 MiB; chunks of 64 KiB,
 * or as much larger (by powers of two) as it takes for the metadata to stay below 128 MiB or within
 * the size asked for. Chunk limits: linux drivers/md/dm-thin.c (DATA_DEV_BLOCK_SIZE_MIN_SECTORS,
 * _MAX_SECTORS).
 */
#include "config.h"

#include "lvm/model/vg.h"
#include "util/size.h"

#define KIB (G_GUINT64_CONSTANT(1) << 10)
#define MIB (G_GUINT64_CONSTANT(1) << 20)
#define MIN_CHUNK (64 * KIB)
#define MAX_CHUNK (1024 * MIB)
#define MIN_METADATA (2 * MIB)
#define USUAL_METADATA (128 * MIB)

static guint64 estimate(guint64 data_size, guint64 chunk_size)
{
  return data_size / chunk_size * 64 + (data_size % chunk_size ? 64 : 0);
}

static gboolean check_chunk(guint64 data_size, guint64 chunk_size, GError **error)
{
  g_autofree char *chunk = vt_size_format(chunk_size), *data = vt_size_format(data_size);

  if (chunk_size < MIN_CHUNK || chunk_size > MAX_CHUNK || chunk_size % MIN_CHUNK != 0)
    return vt_set_error(error, EINVAL,
                        "the chunk size of a thin pool is a multiple of 64 KiB up to 1 GiB, not %s",
                        chunk);
  return estimate(data_size, chunk_size) <= LVM_POOL_METADATA_MAX ||
         vt_set_error(error, EINVAL,
                      "a thin pool of %s is too large for chunks of %s: its metadata would exceed "
                      "15.81 GiB; choose larger chunks",
                      data, chunk);
}

gboolean lvm_pool_choose(guint64 data_size, guint64 extent_size, guint64 *chunk_size,
                         guint64 *metadata_size, GError **error)
{
  guint64 target = *metadata_size ? *metadata_size : USUAL_METADATA, size;

  if (*metadata_size && *metadata_size < MIN_METADATA) {
    g_autofree char *asked = vt_size_exact(*metadata_size);

    return vt_set_error(error, EINVAL, "the metadata of a thin pool needs at least 2 MiB, not %s",
                        asked);
  }
  if (*metadata_size > LVM_POOL_METADATA_MAX + extent_size)
    return vt_set_error(error, EINVAL,
                        "the metadata of a thin pool cannot be larger than 15.81 GiB");
  if (!*chunk_size)
    for (*chunk_size = MIN_CHUNK;
         *chunk_size < MAX_CHUNK && estimate(data_size, *chunk_size) > target;)
      *chunk_size *= 2;
  if (!check_chunk(data_size, *chunk_size, error))
    return FALSE;
  size = *metadata_size ? *metadata_size : MAX(estimate(data_size, *chunk_size), MIN_METADATA);
  *metadata_size = (size + extent_size - 1) / extent_size * extent_size;
  return TRUE;
}
