/* virt-thin - simulation: what a disk holds that was not flushed, and what is left of it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "disk-private.h"

#include <string.h>

#include "thin/format/disk-format.h"

void sim_write_free(gpointer data)
{
  SimWrite *w = data;

  g_free(w->before);
  g_free(w->after);
  g_free(w);
}

static gboolean is_superblock(const guint8 *bytes, guint64 length)
{
  const ThinDiskSuperblock *sb = (gconstpointer)bytes;

  return length == THIN_METADATA_BLOCK && sb->magic == GUINT64_TO_LE(THIN_SUPERBLOCK_MAGIC);
}

static gboolean is_text_header(const guint8 *bytes, guint64 length)
{
  return length >= 24 && memcmp(bytes + 4, " LVM2 x[5A%r0N*>", 16) == 0;
}

static gboolean is_guests(const guint8 *bytes, guint64 length)
{
  return length >= 8 && *(const guint64 *)bytes >> 32 == SIM_GUEST_MAGIC;
}

static gboolean is_overlap(const SimWrite *a, const SimWrite *b)
{
  return a->offset < b->offset + b->length && b->offset < a->offset + a->length;
}

void sim_disk_apply(SimDisk *disk, guint64 offset, guint64 length, const guint8 *bytes)
{
  SimWrite *w = g_new0(SimWrite, 1);

  w->offset = offset;
  w->length = length;
  w->before = g_memdup2(disk->bytes + offset, length);
  w->after = g_memdup2(bytes, length);
  if (sim_break == SIM_BREAK_SUPERBLOCK && is_superblock(bytes, length)) {
    for (guint i = 0; i < disk->flushed->len; i++)
      if (!is_overlap(disk->flushed->pdata[i], w))
        g_ptr_array_insert(disk->pending, i, disk->flushed->pdata[i]);
    g_ptr_array_set_free_func(disk->flushed, NULL);
    g_ptr_array_set_size(disk->flushed, 0);
    g_ptr_array_set_free_func(disk->flushed, sim_write_free);
  }
  g_ptr_array_add(disk->pending, w);
  memcpy(disk->bytes + offset, bytes, length);
}

/* @w is durable: an older one that is not leaves no trace of itself there. */
static void overrule(SimWrite *older, const SimWrite *w)
{
  guint64 from = MAX(older->offset, w->offset),
          to = MIN(older->offset + older->length, w->offset + w->length);

  if (from >= to)
    return;
  memcpy(older->before + (from - older->offset), w->after + (from - w->offset), to - from);
  memcpy(older->after + (from - older->offset), w->after + (from - w->offset), to - from);
}

static gboolean is_kept_back(const SimWrite *w)
{
  return w->stuck || (sim_break == SIM_BREAK_DATA && is_guests(w->after, w->length)) ||
         (sim_break == SIM_BREAK_TEXT && is_text_header(w->after, w->length));
}

void sim_disk_settle(SimDisk *disk, guint mark)
{
  g_autoptr(GPtrArray) left = g_ptr_array_new();

  if (sim_break == SIM_BREAK_FLUSH && sim_random(8) == 0)
    return;
  g_ptr_array_set_size(disk->flushed, 0);
  for (guint i = 0; i < disk->pending->len; i++) {
    SimWrite *w = disk->pending->pdata[i];

    if (i >= mark || is_kept_back(w)) {
      g_ptr_array_add(left, w);
      continue;
    }
    for (guint j = 0; j < left->len; j++)
      overrule(left->pdata[j], w);
    if (sim_break == SIM_BREAK_SUPERBLOCK)
      g_ptr_array_add(disk->flushed, w);
    else
      sim_write_free(w);
  }
  g_ptr_array_set_free_func(disk->pending, NULL);
  g_ptr_array_set_size(disk->pending, 0);
  for (guint i = 0; i < left->len; i++)
    g_ptr_array_add(disk->pending, left->pdata[i]);
  g_ptr_array_set_free_func(disk->pending, sim_write_free);
}

/* --- what is left --- */

static void put_sectors(SimDisk *disk, guint64 offset, guint64 length, const guint8 *bytes,
                        SimRandom *random)
{
  for (guint64 at = 0; at < length;) {
    guint64 next = MIN(length, (offset + at) / SIM_SECTOR * SIM_SECTOR + SIM_SECTOR - offset);

    if (sim_chance(random, 2))
      memcpy(disk->bytes + offset + at, bytes + at, next - at);
    at = next;
  }
}

static void put_by_chance(SimDisk *disk, guint64 offset, guint64 length, const guint8 *bytes,
                          SimRandom *random)
{
  switch (sim_next(random, 4)) {
  case 0: break;
  case 1: put_sectors(disk, offset, length, bytes, random); break;
  default: memcpy(disk->bytes + offset, bytes, length);
  }
}

static void cut(SimDisk *disk, SimRandom *random)
{
  GPtrArray *pending = disk->pending;

  for (guint i = pending->len; i > 0; i--) {
    SimWrite *w = pending->pdata[i - 1];
    memcpy(disk->bytes + w->offset, w->before, w->length);
  }
  for (guint i = pending->len; i > 1; i--) {
    guint j = sim_next(random, i);
    gpointer swap = pending->pdata[i - 1];
    pending->pdata[i - 1] = pending->pdata[j];
    pending->pdata[j] = swap;
  }
  for (guint i = 0; i < pending->len; i++) {
    SimWrite *w = pending->pdata[i];
    put_by_chance(disk, w->offset, w->length, w->after, random);
  }
  g_ptr_array_set_size(pending, 0);
  g_ptr_array_set_size(disk->flushed, 0);
}

void sim_disks_cut(SimRandom *random)
{
  for (guint i = 0; i < sim_disks->len; i++)
    cut(sim_disks->pdata[i], random);
  for (guint i = 0; i < sim_underway->len; i++) {
    SimUnderway *u = sim_underway->pdata[i];

    if (u->process && !u->process->dead)
      put_by_chance(u->disk, u->offset, u->length, u->bytes, random);
  }
}

void sim_disks_die(SimProcess *process, SimRandom *random)
{
  for (guint i = 0; i < sim_underway->len; i++) {
    SimUnderway *u = sim_underway->pdata[i];
    guint64 n = (u->length + SIM_BLOCK - 1) / SIM_BLOCK, length;

    if (u->process != process)
      continue;
    length = sim_next(random, n + 1) * SIM_BLOCK;
    length = MIN(length, u->length);
    if (length)
      sim_disk_apply(u->disk, u->offset, length, u->bytes);
  }
}
