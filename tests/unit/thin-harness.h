/* virt-thin - what the tests of the engine share: pools in memory, I/O that is watched, the
 * strangers' tools SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A test's devices are memory files, so that nothing is left behind whatever happens. Functions
 * that cannot go on end the program with a message: a test that uses them has failed.
 */
#pragma once

#include "thin/thin.h"

#define KIB ((guint64)1 << 10)
#define MIB ((guint64)1 << 20)
#define CHUNK (64 * KIB)

/* Ends the program when @error is set. */
void harness_must(gboolean ok, GError **error, const char *what);
#define MUST(call)                                                                                 \
  G_STMT_START                                                                                     \
  {                                                                                                \
    GError *error = NULL;                                                                          \
    gboolean ok_ = !!(call);                                                                       \
    harness_must(ok_, &error, #call);                                                              \
  }                                                                                                \
  G_STMT_END

/* A memory file of @size bytes; the VtIo, and (unless NULL) a descriptor of its own on the same
 * file. */
VtIo *harness_memory(const char *name, guint64 size, int *fd);

/* --- I/O that is watched --- */

/* Called before each operation that passes; @kind says which.  */
typedef void (*HarnessWatch)(VtIoKinds kind, guint64 offset, guint64 length, gpointer user_data);
VtIo *harness_watch_new(VtIo *base, HarnessWatch watch, gpointer user_data);

/* --- a pool --- */

typedef struct {
  VtIo *metadata, *data;    /* as the engine sees them */
  int metadata_fd, data_fd; /* beneath */
  ThinOptions options;
  ThinPool *pool;
  guint64 tid;
} Harness;

/* A new, open pool of @n_chunks times 64 KiB, in chunks of that size unless @options say another;
 * they may be NULL. */
void harness_open(Harness *h, guint64 n_chunks, guint64 metadata_size, const ThinOptions *options);
/* The same on devices that are failers (util/io.h), not armed. */
void harness_open_failing(Harness *h, guint64 n_chunks, guint64 metadata_size,
                          const ThinOptions *options);
/* Close the pool (which must succeed) and open it again. */
void harness_reopen(Harness *h);
void harness_close(Harness *h);

gboolean harness_message(Harness *h, ThinMessageKind kind, guint32 device, guint32 other,
                         GError **error);
void harness_create(Harness *h, guint32 device);
void harness_snapshot(Harness *h, guint32 device, guint32 origin);
void harness_delete(Harness *h, guint32 device);
ThinVolume *harness_volume(Harness *h, guint32 device, guint64 size);
guint64 harness_used(Harness *h); /* chunks of the data device in use */

/* Fill @n bytes with a pattern of @seed; does [offset, offset + n) of @volume hold it (seed 0:
 * zeros)? */
void harness_fill(void *buf, gsize n, guint8 seed);
void harness_write(ThinVolume *volume, guint64 offset, gsize n, guint8 seed);
void harness_expect(ThinVolume *volume, guint64 offset, gsize n, guint8 seed);

/* Our own check: ends the program with what it found. Leaks count when not @leaks_allowed. */
void harness_check(VtIo *metadata, guint64 data_size, gboolean leaks_allowed);
/* Run a stranger's tool on the file behind @fd; the program ends with its output unless it
 * succeeds. */
void harness_tool(const char *tool, int fd);
void harness_tool_with(const char *tool, const char *option, int fd);
