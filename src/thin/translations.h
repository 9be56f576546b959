/* virt-thin - the translation cache: (volume, virtual chunk) to chunk, read without a lock
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A fixed, direct-mapped array of 16-byte entries, reserved when the pool is opened. An entry
 * belongs to a tag, a number never used twice in the life of a pool: a volume whose whole map
 * changes (snapshot, exchange) takes a new tag, and its entries are gone in O(1).
 *
 * Thread-safety: translations_get() may run at any time; put and new_tag are serialised by the
 * caller (the pool's metadata lock), who also sees to it that an entry says what the metadata says:
 * each change of a map and its put happen under one hold of that lock.
 */
#pragma once

#include <glib.h>

typedef struct Translations Translations;

typedef enum {
  TRANSLATION_NONE,     /* not in the cache */
  TRANSLATION_UNMAPPED, /* reads zero */
  TRANSLATION_SHARED,   /* mapped; a write must look again, and copy if it is so still */
  TRANSLATION_OWNED,    /* mapped, written in place */
} TranslationState;

typedef struct {
  guint64 chunk; /* of the data device, when mapped */
  TranslationState state;
} Translation;

Translations *translations_new(gsize n_entries);
void translations_free(Translations *translations);
guint64 translations_new_tag(Translations *translations);

Translation translations_get(Translations *translations, guint64 tag, guint64 vchunk);
void translations_put(Translations *translations, guint64 tag, guint64 vchunk,
                      Translation translation);
