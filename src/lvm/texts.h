/* virt-thin - every text of a volume group that can be found, old ones too
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A VG's text is in a ring on its PVs, where the last ones stay until they are written over; and
 * before each change lvm2 and we put it in a folder of archives, after each lvm2 in one of backups.
 * All of them are read here, checked, joined where they are equal, and put in order.
 *
 * What is called equal is the VG itself: the lines around it say when and why it was written, and
 * differ between a PV and an archive.
 *
 * Errors: VT_ERROR. Nothing is written. Thread-safety: none for one LvmProbe.
 */
#pragma once

#include "lvm/store.h"

/* Where a text was found; what comes first is trusted most. */
typedef enum {
  LVM_TEXT_COMMITTED, /* a metadata area's header vouches for it */
  LVM_TEXT_BACKUP,    /* lvm2's, of what it last committed */
  LVM_TEXT_ARCHIVE,   /* lvm2's or ours, of what was there before a change */
  LVM_TEXT_RING,      /* lies in a ring, with no header's word for it */
  LVM_TEXT_FILE,      /* given by name */
} LvmTextKind;

typedef struct {
  LvmVg *vg;
  char *text; /* as found, NUL-terminated: of a PV or of a file, which differ in their order */
  gsize length;
  guint64 seqno;
  char *uuid;             /* of the VG */
  guint64 creation_time;  /* seconds since 1970, of the best source; 0: it does not say */
  char *description;      /* why it was written; NULL: it does not say */
  LvmTextKind kind;       /* of the best source */
  GPtrArray *sources;     /* of char *, the best first: "/dev/sdb, offset 5632", or a path */
  guint n_pvs, n_present; /* its PVs, and how many of them are among those looked at */
} LvmText;

/* The newest that are kept. */
#define LVM_TEXTS_MAX 256

void lvm_text_free(LvmText *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmText, lvm_text_free)

/* The folders that have archives and backups of texts: @ours (NULL: none), and lvm2's as lvm.conf
 * names them. The caller's GStrv. */
GStrv lvm_texts_folders(const char *ours);

/* All texts of VG @name on the paths of @probe and in @folders (NULL: none), the newest first:
 * GPtrArray of LvmText *, the caller's, perhaps empty. Of several VGs of that name those count that
 * have the PVs that are there, else that are committed. What cannot be read is said in @problems
 * (char *; may be NULL). */
GPtrArray *lvm_texts_find(LvmProbe *probe, const char *name, const char *const *folders,
                          GPtrArray *problems);
/* The text in file @path, as vgcfgbackup or a PV has it. EBADMSG; EINVAL: it is of another VG. */
LvmText *lvm_text_read(LvmProbe *probe, const char *path, const char *name, GError **error);

/* The device ids of the thin volumes of @pool, in order of the text: GArray of guint32, the
 * caller's. Those that a message says are to be deleted are no volumes any more. */
GArray *lvm_pool_devices(LvmVg *vg, LvmLv *pool);

/* A VG as @vg says it is, on those devices of @probe that are its PVs; open read-only, whatever
 * text is on them. A PV that no label tells of is the device of its size, if there is just one, or
 * one where it was last seen. That, and which PVs are missing, is among its warnings. */
LvmStore *lvm_store_open_as(LvmProbe *probe, LvmVg *vg);
