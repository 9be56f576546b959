/* virt-thin - mending a thin pool: metadata without a volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <glib/gstdio.h>

#include "pool/repair/repair-private.h"
#include "util/memory.h"
#include "thin/format/disk-format.h"

/* A file is made, as large as what it is made of; what is there must hold nothing. */
static VtIo *open_output(const char *path, guint64 size, GError **error)
{
  g_autofree char *block = g_malloc(THIN_METADATA_BLOCK);
  int fd = g_open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  g_autoptr(VtIo) io = NULL;

  if (fd >= 0 && ftruncate(fd, (off_t)size) == 0)
    return vt_io_new_file(fd, path, FALSE, error);
  if (fd >= 0)
    close(fd);
  if (errno != EEXIST)
    return vt_set_errno(error, errno, "cannot make %s", path), NULL;
  if (!(io = vt_io_open_file(path, FALSE, error)) || !vt_io_lock(io, FALSE, NULL, error) ||
      !vt_io_read(io, block, THIN_METADATA_BLOCK, 0, error))
    return NULL;
  if (!vt_is_zero(block, THIN_METADATA_BLOCK))
    return vt_set_error(error, EEXIST,
                        "%s is not empty: its first block must be all zero, or it must not be "
                        "there",
                        path),
           NULL;
  return g_steal_pointer(&io);
}

static char *name_device(guint32 id)
{
  return g_strdup_printf("thin device %u", id);
}

static void tell_lost(PoolRepairPlan *plan, GArray *lost)
{
  for (guint i = 0; i < lost->len; i++) {
    const RepairLost *one = &g_array_index(lost, RepairLost, i);

    repair_plan_lose(plan, name_device(one->device), one->offset, one->length);
  }
}

static gboolean tell_older(PoolRepairPlan *plan, VtIo *in, VtIo *out, const RepairMetadata *found,
                           GArray *lost, GError **error)
{
  guint64 tid, chunk_size = found->roots.chunk_size ? found->roots.chunk_size : found->chunk_size;
  g_autoptr(GArray) devices = repair_list_devices(out, &tid, error),
                    older = g_array_new(FALSE, FALSE, sizeof(RepairOlder));

  if (!devices)
    return FALSE;
  repair_find_missing(in, found, chunk_size, devices, NULL, older, lost);
  for (guint i = 0; i < older->len; i++) {
    const RepairOlder *one = &g_array_index(older, RepairOlder, i);

    repair_plan_older(plan, name_device(one->device), found->older_tid, one->missing);
  }
  return TRUE;
}

static gboolean find_roots(VtIo *io, const PoolRepairChoice *choice, RepairMetadata *found,
                           GError **error)
{
  return (found->superblock == REPAIR_WHOLE && !choice->mapping_root) ||
         repair_find_roots(io, NULL, choice, found, error);
}

static gboolean find_older(VtIo *io, const PoolRepairChoice *choice, RepairMetadata *found,
                           GError **error)
{
  return found->superblock != REPAIR_WHOLE || choice->mapping_root ||
         repair_find_older(io, NULL, found, error);
}

/* What a text would say, and nothing but the superblock does here. */
static gboolean check_known(const char *from, const PoolRepairChoice *choice,
                            const RepairMetadata *found, GError **error)
{
  return found->superblock == REPAIR_WHOLE || (choice->chunk_size && choice->n_chunks) ||
         vt_set_error(error, EINVAL,
                      "%s: the superblock is %s, and with it what it said of the pool, which the "
                      "text of the volume group says as well: give --chunk-size SIZE and "
                      "--data-size SIZE, and --transaction-id N",
                      from, found->superblock == REPAIR_ZERO ? "all zero" : "damaged");
}

PoolRepairPlan *pool_repair_metadata(const char *from, const char *to,
                                     const PoolRepairChoice *choice, GError **error)
{
  g_autoptr(VtIo) in = vt_io_open_file(from, TRUE, error), out = NULL;
  g_autoptr(GArray) lost = g_array_new(FALSE, FALSE, sizeof(RepairLost));
  g_autoptr(PoolRepairPlan) plan = repair_plan_new();
  RepairMetadata found = {0};
  gboolean devices_lost = FALSE, ok;

  ok = in && repair_read_metadata(in, 0, &found, error) && check_known(from, choice, &found, error);
  found.roots.transaction_id = choice->transaction_id;
  found.roots.chunk_size = choice->chunk_size;
  found.roots.n_chunks = choice->n_chunks;
  ok = ok && find_roots(in, choice, &found, error) &&
       (out = open_output(to, vt_io_size(in), error)) &&
       repair_rebuild(in, &found.roots, out, lost, &devices_lost, error) &&
       ((!lost->len && !devices_lost) || find_older(in, choice, &found, error)) &&
       tell_older(plan, in, out, &found, lost, error);
  if (ok) {
    repair_plan_find_damage(plan, &found);
    tell_lost(plan, lost);
    if (devices_lost)
      repair_plan_find(plan, "%s", REPAIR_DEVICES_LOST);
    repair_plan_step(plan, POOL_REPAIR_WRITE, "new metadata is in %s", to);
  }
  repair_metadata_clear(&found);
  return ok ? g_steal_pointer(&plan) : NULL;
}
