/* virt-thin - the memory that outlives the engine: requests in flight, open files, file modes, the
 * journals SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service/fuse/shared.h"

G_STATIC_ASSERT(G_STRUCT_OFFSET(SharedRequest, bytes) == SHARED_SLOT_OFFSET);
G_STATIC_ASSERT(sizeof(SharedRequest) % 4096 == 0);
G_STATIC_ASSERT(G_STRUCT_OFFSET(SharedHeader, version) == 0 &&
                G_STRUCT_OFFSET(SharedHeader, n_slots) == 4);

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static gsize round_up(gsize bytes)
{
  return (bytes + 4095) & ~(gsize)4095;
}

static gsize total_size(guint n_slots)
{
  return round_up(sizeof(SharedHeader)) + n_slots * sizeof(SharedRequest) + SHARED_JOURNAL;
}

int shared_create(guint n_slots, GError **error)
{
  int fd = memfd_create("virt-thin requests", MFD_CLOEXEC);
  if (fd == -1) {
    vt_set_errno(error, errno, "cannot make shared memory");
    return -1;
  }
  guint32 start[2] = {SHARED_VERSION, CLAMP(n_slots, 1, SHARED_MAX_SLOTS)};
  if (ftruncate(fd, total_size(start[1])) == -1 ||
      pwrite(fd, start, sizeof start, 0) != sizeof start) {
    vt_set_errno(error, errno, "cannot size shared memory");
    close(fd);
    return -1;
  }
  return fd;
}

Shared *shared_map(int fd, GError **error)
{
  struct stat st;
  guint32 start[2];

  if (fstat(fd, &st) == -1 || pread(fd, start, sizeof start, 0) != sizeof start) {
    vt_set_errno(error, errno, "cannot read shared memory");
    return NULL;
  }
  guint32 n = start[1];
  if (start[0] != SHARED_VERSION || n < 1 || n > SHARED_MAX_SLOTS ||
      (gsize)st.st_size != total_size(n)) {
    vt_set_error(
        error, EPROTO,
        "the shared memory is laid out by another version: stop the service and start it again");
    return NULL;
  }
  char *base = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    vt_set_errno(error, errno, "cannot map shared memory");
    return NULL;
  }
  Shared *shared = g_new0(Shared, 1);
  shared->header = (SharedHeader *)base;
  shared->slots = (SharedRequest *)(base + round_up(sizeof(SharedHeader)));
  shared->journal = shared->slots + n;
  return shared;
}

void shared_populate(Shared *shared)
{
  gsize size = shared->header->n_slots * sizeof(SharedRequest);

  if (madvise(shared->slots, size, MADV_POPULATE_WRITE) == 0)
    return;
  for (gsize at = 0; at < size; at += 4096) { /* an older kernel */
    volatile char *byte = (char *)shared->slots + at;
    *byte = *byte;
  }
}

void shared_unmap(Shared *shared)
{
  munmap(shared->header, total_size(shared->header->n_slots));
  g_free(shared);
}
