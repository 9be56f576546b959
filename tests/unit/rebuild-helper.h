/* virt-thin - what the tests of metadata written anew share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A test fails, or the program ends, where something is amiss.
 */
#pragma once

#include "thin-helper.h"
#include "thin-harness.h"

char *anew_dump(VtIo *metadata);   /* as XML. The caller's */
guint64 anew_used(VtIo *metadata); /* blocks in use */
/* Neither our check nor thin_check has anything to say. */
void anew_check(VtIo *metadata, int fd);

/* @from is healthy: rebuilt on a memory file of @size bytes everything is as before. */
VtIo *anew_rebuild(VtIo *from, guint64 size, int *fd);
/* The XML of @from comes back, in at most @percent of the blocks. */
VtIo *anew_restore(VtIo *from, guint64 size, guint percent, int *fd);

/* --- metadata without data --- */

#define LARGE_METADATA (24 * MIB) /* of anew_make_large() */

ThinMetadata *anew_open(VtIo *io);
void anew_map(ThinMetadata *md, guint32 device, guint64 begin, guint64 n);
void anew_commit(ThinMetadata *md);
/* Two volumes, a dense and a sparse one, and @n_snapshots, each of them changed a little: up to
 * three runs of at most @longest chunks. */
void anew_make_large(VtIo *io, guint32 seed, guint n_snapshots, gint longest);
/* Random changes to all that is in @io; then nothing may be amiss. */
void anew_work_on(VtIo *io, int fd, GRand *rand);
