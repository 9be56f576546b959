/* virt-thin - the translation cache
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Readers take no lock. An entry is two words, and a reader must not pair the first of one with the
 * second of another; so a small array of sequence counters, each for a group of neighbouring
 * entries, is odd while an entry of the group is being changed (a seqlock). A reader that meets a
 * change takes it for a miss. All is done with atomic loads and stores, ordered by acquire and
 * release, without fences, so that a thread sanitizer can follow.
 */
#include "thin/translations.h"

#define MIN_ENTRIES 4096u
#define N_GROUPS 256u /* few enough to stay in a processor's nearest cache */

/* key: virtual chunk (48 bits; chunks are at least 2^16 bytes), low 16 bits of the tag.
 * value: chunk (40 bits, as in the format), high 22 bits of the tag, state (2 bits). */
typedef struct {
  guint64 key, value;
} Entry;

G_STATIC_ASSERT(sizeof(Entry) == 16);

struct Translations {
  Entry *entries;
  gsize mask;
  guint64 last_tag;
  guint64 sequences[N_GROUPS];
};

Translations *translations_new(gsize n_entries)
{
  gsize n = MIN_ENTRIES;
  while (n * 2 <= n_entries)
    n *= 2;
  Translations *t = g_new0(Translations, 1);
  t->entries = g_new0(Entry, n);
  t->mask = n - 1;
  return t;
}

void translations_free(Translations *t)
{
  if (!t)
    return;
  g_free(t->entries);
  g_free(t);
}

guint64 translations_new_tag(Translations *t)
{
  return ++t->last_tag; /* from 1: an entry of zeros belongs to nobody */
}

static inline gsize slot_of(const Translations *t, guint64 tag, guint64 vchunk)
{
  return (vchunk + (tag * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) >> 20)) & t->mask;
}

static inline guint64 *sequence_of(Translations *t, gsize slot)
{
  return &t->sequences[(slot >> 4) % N_GROUPS];
}

static inline guint64 key_of(guint64 tag, guint64 vchunk)
{
  return vchunk << 16 | (tag & 0xffff);
}

static inline guint64 tag_bits(guint64 tag)
{
  return (tag >> 16 & 0x3fffff) << 2;
}

Translation translations_get(Translations *t, guint64 tag, guint64 vchunk)
{
  gsize slot = slot_of(t, tag, vchunk);
  guint64 *sequence = sequence_of(t, slot);
  guint64 before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
  guint64 key = __atomic_load_n(&t->entries[slot].key, __ATOMIC_ACQUIRE);
  guint64 value = __atomic_load_n(&t->entries[slot].value, __ATOMIC_ACQUIRE);
  guint64 after = __atomic_load_n(sequence, __ATOMIC_RELAXED);
  if (before != after || (before & 1) || key != key_of(tag, vchunk) ||
      (value & tag_bits(0x3fffffffff)) != tag_bits(tag))
    return (Translation){.state = TRANSLATION_NONE};
  return (Translation){.chunk = value >> 24, .state = value & 3};
}

void translations_put(Translations *t, guint64 tag, guint64 vchunk, Translation translation)
{
  gsize slot = slot_of(t, tag, vchunk);
  guint64 *sequence = sequence_of(t, slot);
  guint64 before = __atomic_load_n(sequence, __ATOMIC_RELAXED);
  __atomic_store_n(sequence, before + 1, __ATOMIC_RELAXED);
  __atomic_store_n(&t->entries[slot].key, key_of(tag, vchunk), __ATOMIC_RELEASE);
  __atomic_store_n(&t->entries[slot].value,
                   translation.chunk << 24 | tag_bits(tag) | translation.state, __ATOMIC_RELEASE);
  __atomic_store_n(sequence, before + 2, __ATOMIC_RELEASE);
}
