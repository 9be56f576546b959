/* virt-thin - libvirt's private functions that the backend calls, found by name in the running
 * daemon SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * No header of libvirt's inside is included and no private symbol is linked: the functions are
 * looked up in the process (dlsym), so that one build loads into libvirt 7 to 12 and a function
 * that is gone is noticed, not fatal. The objects behind them are opaque here; vtbackend-layout.h
 * knows how to find the few fields the backend touches. Signatures: libvirt
 * src/conf/storage_conf.h, src/conf/virstorageobj.h, src/storage/storage_backend.h,
 * src/util/virfdstream.h, src/util/virerror.h.
 *
 * Thread-safety: resolved once at registration, constant afterwards.
 */
#pragma once

#include "libvirt/stock.h"
#include "util/error.h"

typedef struct {
  int (*backend_register)(VtBackend *backend);
  VtPoolDef *(*pool_obj_get_def)(VtPoolObj *obj);
  int (*pool_obj_add_vol)(VtPoolObj *obj, VtVolDef *vol); /* takes @vol on success; sets no error */
  unsigned int (*pool_obj_get_asyncjobs)(VtPoolObj *obj);
  bool (*pool_obj_is_active)(VtPoolObj *obj);
  VtVolDef *(*vol_find_by_name)(VtPoolObj *obj, const char *name);
  void (*pool_obj_remove_vol)(VtPoolObj *obj, VtVolDef *vol); /* frees it */
  void (*object_lock)(void *object);
  void (*object_unlock)(void *object);

  /* Through the functions below: older releases have the second form. */
  VtPoolDef *(*pool_def_parse)(const char *xml, const char *filename, unsigned int flags);
  VtPoolDef *(*pool_def_parse_string)(const char *xml, unsigned int flags);
  VtVolDef *(*vol_def_parse)(VtPoolDef *pool, const char *xml, const char *filename,
                             unsigned int flags);
  VtVolDef *(*vol_def_parse_string)(VtPoolDef *pool, const char *xml, unsigned int flags);
  char *(*pool_def_format)(VtPoolDef *def);
  char *(*vol_def_format)(VtPoolDef *pool, VtVolDef *def);
  void (*pool_def_free)(VtPoolDef *def);
  void (*vol_def_free)(VtVolDef *def);

  void (*report_error)(int domain, int code, const char *file, const char *function, size_t line,
                       const char *format, ...) G_GNUC_PRINTF(6, 7);
  void (*reset_last_error)(void);
  int (*stream_open_block_device)(VtStream *stream, const char *path, unsigned long long offset,
                                  unsigned long long length, bool sparse, int oflags);
} VtLibvirt;

/* Find every function in this process. ENOENT names what is missing. */
gboolean vtbackend_libvirt_resolve(VtLibvirt *libvirt, GError **error);

/* NULL: libvirt's error is set. */
VtPoolDef *vtbackend_pool_def_parse(const VtLibvirt *libvirt, const char *xml);
VtVolDef *vtbackend_vol_def_parse(const VtLibvirt *libvirt, VtPoolDef *pool, const char *xml);
