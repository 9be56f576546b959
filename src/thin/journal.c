/* virt-thin - what the open transaction changed in the maps, kept in memory that outlives the
 * process SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * An area begins with a header; its entries follow. The writer may die between any two stores, so
 * an entry counts only once n_entries, stored last, says so; and a reset first forgets the entries,
 * then learns the superblock. A death between the two leaves an area that has nothing to apply,
 * which is right: the commit that is being noted has got through.
 */
#include "thin/journal.h"

#include <string.h>

#define MAGIC 0x6c6e726a6e696874ull /* "thinjrnl" */
#define KEY_MAX 64
/* the rest of the block is zero (linux drivers/md/dm-thin-metadata.c, struct
 * thin_disk_superblock) */
#define SUPERBLOCK_USED 512

typedef struct {
  guint64 magic; /* stored last when an area is taken */
  char key[KEY_MAX];
  guint32 n_entries; /* stored last when an entry is added */
  guint32 unused;
  guint8 superblock[SUPERBLOCK_USED];
} AreaHeader;

G_STATIC_ASSERT(sizeof(AreaHeader) % 8 == 0);
G_STATIC_ASSERT(sizeof(ThinJournalEntry) == 32);

struct ThinJournal {
  AreaHeader *header;
  ThinJournalEntry *entries;
  guint capacity;
};

static gboolean take_area(AreaHeader *header, const char *key)
{
  if (header->magic == MAGIC)
    return strncmp(header->key, key, KEY_MAX) == 0;
  memset(header, 0, sizeof *header);
  g_strlcpy(header->key, key, KEY_MAX);
  __atomic_store_n(&header->magic, MAGIC, __ATOMIC_RELEASE);
  return TRUE;
}

ThinJournal *thin_journal_open(void *memory, gsize size, const char *key)
{
  if (size < THIN_JOURNAL_MIN || strlen(key) >= KEY_MAX)
    return NULL;
  gsize area = size / THIN_JOURNAL_AREAS & ~(gsize)7;
  for (guint i = 0; i < THIN_JOURNAL_AREAS; i++) {
    AreaHeader *header = (AreaHeader *)((char *)memory + i * area);
    if (!take_area(header, key))
      continue;
    ThinJournal *journal = g_new0(ThinJournal, 1);
    journal->header = header;
    journal->entries = (ThinJournalEntry *)(header + 1);
    journal->capacity = (area - sizeof *header) / sizeof *journal->entries;
    return journal;
  }
  return NULL;
}

void thin_journal_close(ThinJournal *journal)
{
  g_free(journal);
}

guint thin_journal_pending(ThinJournal *journal, const void *superblock,
                           const ThinJournalEntry **entries)
{
  *entries = journal->entries;
  if (memcmp(journal->header->superblock, superblock, SUPERBLOCK_USED) != 0)
    return 0;
  return MIN(__atomic_load_n(&journal->header->n_entries, __ATOMIC_ACQUIRE), journal->capacity);
}

void thin_journal_reset(ThinJournal *journal, const void *superblock)
{
  __atomic_store_n(&journal->header->n_entries, 0, __ATOMIC_SEQ_CST);
  memcpy(journal->header->superblock, superblock, SUPERBLOCK_USED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
}

gboolean thin_journal_has_room(ThinJournal *journal, guint n)
{
  return journal->capacity - journal->header->n_entries >= n;
}

void thin_journal_append(ThinJournal *journal, const ThinJournalEntry *entry)
{
  guint n = journal->header->n_entries;
  g_return_if_fail(n < journal->capacity);
  journal->entries[n] = *entry;
  __atomic_store_n(&journal->header->n_entries, n + 1, __ATOMIC_RELEASE);
}
