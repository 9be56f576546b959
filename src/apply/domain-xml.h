/* virt-thin - the disks of a libvirt domain, and its UEFI variables, in its document
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Strings are the caller's. Thread-safety: pure functions.
 */
#pragma once

#include <glib.h>

/* Where a disk is: a path, or a volume of a pool of libvirt's. */
typedef struct {
  char *target;        /* "vda" */
  char *path;          /* NULL: none */
  gboolean is_block;   /* the path is a block device's */
  char *pool, *volume; /* NULL: by path */
} ApplyDisk;
void apply_disk_free(ApplyDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApplyDisk, apply_disk_free)
gboolean apply_disk_is_same_place(const ApplyDisk *a, const ApplyDisk *b);

/* GPtrArray of ApplyDisk *; of what is no document none. */
GPtrArray *apply_domain_disks(const char *document);
/* The document with disks @moved (of ApplyDisk *, by target) where those say; all else stays as it
 * is. NULL: it is no domain's document. */
char *apply_domain_move(const char *document, GPtrArray *moved);
/* The file, by its full path, that has the domain's UEFI variables; NULL: it has no such file. */
char *apply_domain_nvram(const char *document);
