/* virt-thin - metadata with many snapshots, and who uses what of it, as thin_ls prints it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * usage: bench-thin-usage make FILE [SNAPSHOTS [CHUNKS]]   (default 1000 of 100000 chunks)
 *        bench-thin-usage FILE        prints device, mapped, exclusive and shared chunks
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "thin/format/usage.h"
#include "thin/metadata/metadata.h"

#define WRITES 32 /* between two snapshots, each elsewhere */

static void must(gboolean ok, GError *error, const char *what)
{
  if (ok)
    return;
  fprintf(stderr, "bench-thin-usage: %s: %s\n", what, error ? error->message : "failed");
  exit(1);
}
#define MUST(call)                                                                                 \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    must(call, error, #call);                                                                      \
  } while (0)

static void map(ThinMetadata *md, guint64 begin, guint64 n)
{
  while (n > 0) {
    guint64 chunk, got;
    MUST(thin_metadata_alloc(md, n, &chunk, &got, &error));
    MUST(thin_metadata_insert(md, 1, begin, chunk, got, &error));
    begin += got;
    n -= got;
  }
}

static void commit(ThinMetadata *md)
{
  MUST(thin_metadata_commit(md, NULL, NULL, &error));
  thin_metadata_freed_done(md);
}

static int make(const char *path, guint snapshots, guint chunks)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(1);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  off_t size = (64 << 20) + (off_t)chunks * 64 + (off_t)snapshots * WRITES * 4096 * 3;
  ThinMetadata *md;
  VtIo *io;

  must(fd >= 0 && ftruncate(fd, size) == 0, NULL, path);
  MUST((io = vt_io_new_file(fd, path, FALSE, &error)) != NULL);
  MUST(thin_metadata_format(io, THIN_CHUNK_MIN, chunks + (guint64)snapshots * WRITES, &error));
  MUST((md = thin_metadata_open(io, FALSE, 0, &error)) != NULL);
  MUST(thin_metadata_create(md, 1, &error));
  map(md, 0, chunks);
  for (guint i = 0; i < snapshots; i++) {
    MUST(thin_metadata_snapshot(md, 2 + i, 1, &error));
    for (guint j = 0; j < WRITES; j++)
      map(md, (guint64)g_rand_int_range(rand, 0, (gint)chunks), 1);
    commit(md);
  }
  thin_metadata_close(md);
  vt_io_unref(io);
  return 0;
}

static int show(const char *path)
{
  g_auto(ThinUsage) usage = {0};
  VtIo *io;

  MUST((io = vt_io_open_file(path, TRUE, &error)) != NULL);
  MUST(thin_usage(io, &usage, &error));
  for (guint i = 0; i < usage.devices->len; i++) {
    const ThinUsageDevice *device = &g_array_index(usage.devices, ThinUsageDevice, i);
    guint64 mapped = device->mapped / usage.chunk_size,
            exclusive = device->exclusive / usage.chunk_size;

    printf("%u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", device->id,
           mapped, exclusive, mapped - exclusive);
  }
  vt_io_unref(io);
  return 0;
}

int main(int argc, char **argv)
{
  if (argc == 2)
    return show(argv[1]);
  if (argc < 3 || !g_str_equal(argv[1], "make"))
    return fprintf(stderr, "usage: bench-thin-usage [make] FILE [SNAPSHOTS [CHUNKS]]\n"), 2;
  return make(argv[2], argc > 3 ? (guint)atoi(argv[3]) : 1000,
              argc > 4 ? (guint)atoi(argv[4]) : 100000);
}
