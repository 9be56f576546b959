/* virt-thin - what the open transaction changed in the maps, kept in memory that outlives the
 * process SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A write to a new chunk is acknowledged before the metadata that maps the chunk is committed. A
 * power cut may lose such a write (it was not flushed), but the death of a user-space engine alone
 * may not: the guest that wrote runs on. The data is safe in the page cache of the PV; what dies
 * with the process is the map change. So each change is appended to a journal in shared memory
 * before the write is acknowledged, a commit empties it, and the next engine applies what it finds
 * to the metadata of the last commit (whose superblock the journal remembers: a commit that got
 * through leaves nothing to apply).
 *
 * One memory serves the pools of a volume group: each takes an equal area, found by its key. Units:
 * chunks. Thread-safety: none; the pool's lock serialises.
 */
#pragma once

#include "util/error.h"

typedef struct ThinJournal ThinJournal;

typedef struct {
  guint32 device;
  guint32 removed; /* 1: [begin, begin+n) was unmapped; 0: it was mapped to [chunk, chunk+n) */
  guint64 begin, n, chunk;
} ThinJournalEntry;

#define THIN_JOURNAL_AREAS 8
#define THIN_JOURNAL_MIN (THIN_JOURNAL_AREAS * 65536u) /* bytes of memory at least */

/* The area of @key (a pool's LV UUID) in @memory, zeroed when it was new; NULL: all areas are taken
 * by others, or memory is too small. */
ThinJournal *thin_journal_open(void *memory, gsize size, const char *key);
void thin_journal_close(ThinJournal *journal); /* the entries stay */

/* Entries that are still to be applied on a metadata device whose first block is @superblock (4096
 * bytes). */
guint thin_journal_pending(ThinJournal *journal, const void *superblock,
                           const ThinJournalEntry **entries);

/* Empty it: @superblock is what a commit has just written (or what open found, when nothing is
 * pending). */
void thin_journal_reset(ThinJournal *journal, const void *superblock);

/* FALSE: no room for another @n entries, commit first. */
gboolean thin_journal_has_room(ThinJournal *journal, guint n);
/* Whole or not at all, should the process die in the middle. */
void thin_journal_append(ThinJournal *journal, const ThinJournalEntry *entry);
