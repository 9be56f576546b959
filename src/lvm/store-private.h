/* virt-thin - physical volumes and their volume groups, as found on devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "lvm/label.h"
#include "lvm/metadata-area.h"
#include "lvm/store.h"

/* A file or block device that is a PV, or could be one. Counted (g_rc_box): of a probe and of the
 * stores that are open read-only from it. */
typedef struct {
  char *path;
  VtIo *io;
  VtIo *lock; /* another opening of @path that holds the lock; NULL: @io does, or nobody */
  LvmLabel *label;
  gboolean identified; /* the label is whole, so its uuid counts */
  GPtrArray *areas;    /* of LvmMetadataArea */
  GPtrArray *groups;   /* of LvmGroup *, beside @areas: whose text; NULL: none that is whole */
  GPtrArray *problems; /* of char *; at least one where it is not identified by a probe */
} LvmDevice;

/* A distinct text found on devices. */
typedef struct {
  guint32 crc;
  gsize size;
  LvmVg *vg;
  gboolean salvaged; /* no header vouches for it... */
  char *note;        /* ...which its reader is to know */
} LvmGroup;

struct LvmProbe {
  GStrv paths;
  GHashTable *pv_ids; /* of the caller's; NULL: all */
  LvmOpenFunc open;
  gpointer user_data;
  GPtrArray *devices; /* of LvmDevice: those with a label or the rests of one */
  GPtrArray *parts;   /* of LvmDevice: those whose label is another device's; what that is, is their
                         last problem */
  GPtrArray *groups;  /* of LvmGroup: @devices' */
  GPtrArray *problems; /* of char *: what concerns no PV */
};

/* The device whose label, whole or not, says that it is PV @uuid; NULL: none. */
LvmDevice *lvm_probe_device(LvmProbe *probe, const char *uuid);
/* The one of @devices that was found at @path; NULL: none was. */
LvmDevice *lvm_device_at(GPtrArray *devices, const char *path);
/* What a device looked at is a part of that carries PV @uuid; NULL: none does. */
const char *lvm_probe_part(LvmProbe *probe, const char *uuid);
/* Look for @vg's PVs that are not in @probe where they were last seen. TRUE: some were there. */
gboolean lvm_probe_follow(LvmProbe *probe, LvmVg *vg);
/* Take the one device that could be @pv of @vg, though no label says so, for that: as large,
 * no other PV, and not where another that is missing was last seen. FALSE: there is none, or more
 * than one. */
gboolean lvm_probe_adopt(LvmProbe *probe, LvmVg *vg, LvmPv *pv);
/* Look at all of it anew. */
void lvm_probe_again(LvmProbe *probe);
void lvm_device_free(LvmDevice *device); /* when nobody else has it */
/* The newest text of VG @name (NULL: the only one), with @salvaged ones or without. ENOENT, EINVAL
 * (several), EBADMSG (damage that may be why). */
LvmGroup *lvm_probe_find(LvmProbe *probe, const char *name, gboolean salvaged, GError **error);

/* One PV of an open VG. */
typedef struct {
  LvmDevice *device; /* NULL: missing */
  char *uuid;
} LvmStorePv;

struct LvmStore {
  LvmVg *vg;
  gboolean read_only;
  gboolean failed;      /* a commit failed half-way and could not be taken back */
  GPtrArray *devices;   /* of LvmDevice */
  GPtrArray *areas;     /* of LvmMetadataArea: the devices', in use */
  GPtrArray *warnings;  /* NULL-terminated char * */
  GPtrArray *paths;     /* NULL-terminated char *, the devices' */
  GHashTable *open_lvs; /* "r" or "w" + name -> VtIo */
  gsize text_size;
  LvmOpenFunc open;
  gpointer user_data;
  const VtIoLocks *locks;
  struct LvmArchive *archive;
  gboolean untidy;         /* lvm_store_is_untidy() */
  gboolean archive_warned; /* it cannot be written, which has been told */
};

/* The device that is the PV of @uuid; NULL: missing. */
LvmDevice *lvm_store_device(LvmStore *store, const char *uuid);
/* The device of @probe that is @pv of @vg, by its label, or as the only one that can be; NULL. */
LvmDevice *lvm_store_find_pv(LvmProbe *probe, LvmVg *vg, LvmPv *pv);
LvmStore *lvm_store_new(gboolean read_only, LvmOpenFunc open, gpointer user_data);
/* Take @device, and its areas where they are usable. */
void lvm_store_add_device(LvmStore *store, LvmDevice *device);
/* Open @path for writing, as @store opens its PVs (NULL: no store's), and lock it. */
LvmDevice *lvm_device_open_locked(const char *path, LvmStore *store, GError **error);

/* Write @device's label, saying whether a VG uses it, and flush. */
gboolean lvm_device_write_label(LvmDevice *device, gboolean used, GError **error);

/* --- lv-io.c --- */
/* Let the open LVs see what store->vg says now. */
void lvm_store_update_lvs(LvmStore *store);

/* --- archive.c --- */
typedef struct LvmArchive LvmArchive;
void lvm_archive_free(LvmArchive *archive);
/* Save @vg as it was before @description, as vgcfgbackup would. *archive remembers the folder's
 * state between calls. */
gboolean lvm_archive_save(LvmArchive **archive, const char *dir, LvmVg *vg, const char *description,
                          GError **error);
