/* virt-thin - libvirt's own logical backend: its table of callbacks
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Shared by the shim and the backend; needs nothing but libc.
 *
 * Thread-safety: for registration, which is one thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct VtPoolObj VtPoolObj; /* virStoragePoolObj */
typedef struct VtPoolDef VtPoolDef; /* virStoragePoolDef */
typedef struct VtVolDef VtVolDef;   /* virStorageVolDef */
typedef struct VtStream VtStream;   /* virStream */

/* virStorageBackend (libvirt src/storage/storage_backend.h): the same 17 members in the same order
 * from 7.0 to 12. */
typedef struct {
  int type;
  char *(*find_sources)(const char *spec, unsigned int flags);
  int (*check_pool)(VtPoolObj *obj, bool *active);
  int (*start_pool)(VtPoolObj *obj);
  int (*build_pool)(VtPoolObj *obj, unsigned int flags);
  int (*refresh_pool)(VtPoolObj *obj);
  int (*stop_pool)(VtPoolObj *obj);
  int (*delete_pool)(VtPoolObj *obj, unsigned int flags);
  int (*build_vol)(VtPoolObj *obj, VtVolDef *vol, unsigned int flags);
  int (*build_vol_from)(VtPoolObj *obj, VtVolDef *vol, VtVolDef *source, unsigned int flags);
  int (*create_vol)(VtPoolObj *obj, VtVolDef *vol);
  int (*refresh_vol)(VtPoolObj *obj, VtVolDef *vol);
  int (*delete_vol)(VtPoolObj *obj, VtVolDef *vol, unsigned int flags);
  int (*resize_vol)(VtPoolObj *obj, VtVolDef *vol, unsigned long long capacity, unsigned int flags);
  int (*upload_vol)(VtPoolObj *obj, VtVolDef *vol, VtStream *stream, unsigned long long offset,
                    unsigned long long length, unsigned int flags);
  int (*download_vol)(VtPoolObj *obj, VtVolDef *vol, VtStream *stream, unsigned long long offset,
                      unsigned long long length, unsigned int flags);
  int (*wipe_vol)(VtPoolObj *obj, VtVolDef *vol, unsigned int algorithm, unsigned int flags);
} VtBackend;

/* Load the module at @path and copy its table, after it was held against what is known of it. NULL:
 * done. Else why not, which holds until the next call. */
const char *vtbackend_stock_load(const char *path, VtBackend *table);
