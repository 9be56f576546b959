/* virt-thin - the storage backend inside libvirtd: what its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   shim.c                what libvirt loads; loads the backend, or the stock one
 *   guard.c               the stock one without ours
 *   stock.c               its table of callbacks
 *   vtbackend-libvirt.c   libvirt's functions, by name
 *   vtbackend-layout.c    libvirt's fields, by experiment
 *   vtbackend-register.c  verification and registration
 *   vtbackend-dispatch.c  each callback: ours or the stock backend's
 *   vtbackend-service.c   source names, the VG service
 *   vtbackend-xml.c       libvirt's objects as documents
 *   vtbackend-pool.c      callbacks on pools
 *   vtbackend-volume.c    callbacks on volumes
 *   vtbackend-data.c      callbacks that move data
 *   vtbackend-copy.c      copying, wiping, allocating: plain file I/O
 *   vtbackend-spawn.c     programs as children
 *   vtbackend-sources.c   finding sources
 *
 * No engine code runs in libvirtd: the backend talks to the VG's service over D-Bus and uses the
 * files the service shows, where every call has a deadline; or it runs lvm2's commands.
 *
 * Thread-safety: callbacks run in any of libvirtd's threads, for one pool one at a time unless
 * libvirt says otherwise (libvirt.org, storage driver: buildVol, buildVolFrom, upload, download and
 * wipe run with the pool unlocked).
 */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "libvirt/vtbackend-layout.h"
#include "libvirt/vtbackend-libvirt.h"
#include "pool/open.h"

/* Set by vtbackend_register(), constant afterwards. */
typedef struct {
  VtLibvirt libvirt;
  VtLayout layout;
  VtBackend stock;     /* a copy */
  VtPoolDef *dir_pool; /* a pool of type dir: volumes of files are formatted with it, which shows
                          their format */
} VtGlobal;
extern VtGlobal vt;

/* The entry point for the shim, which may be an older one: what it takes and does stays as it is,
 * or it gets another name. -1: nothing was registered. */
int vtbackend_register(const char *stock_path);

/* --- dispatch --- */
/* The table to register. */
VtBackend *vtbackend_dispatch_table(void);

/* --- errors: always return -1 --- */
#define vtbackend_report(code, ...)                                                                \
  (vt.libvirt.report_error(VIR_FROM_STORAGE, (code), __FILE__, __func__, __LINE__, __VA_ARGS__), -1)
/* Report and free @error. */
#define vtbackend_report_gerror(error)                                                             \
  vtbackend_report_gerror_at((error), __FILE__, __func__, __LINE__)
int vtbackend_report_gerror_at(GError *error, const char *file, const char *function, gsize line);

/* --- source names and the service --- */

typedef struct {
  char *vg, *pool; /* of VG/POOL */
} VtSource;
void vtbackend_source_clear(VtSource *source);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtSource, vtbackend_source_clear)
/* Is source name @name ours at all? */
gboolean vtbackend_source_is_ours(const char *name);
gboolean vtbackend_source_parse(const char *name, VtSource *source, GError **error);
/* Of a pool; reports. */
gboolean vtbackend_source_of(VtPoolObj *obj, VtSource *source);
/* Report and free @error about volume @name, and where libvirt's list is not of now - the volume is
 * not there, or is there already - how that is mended. Always -1. */
int vtbackend_report_volume(VtPoolObj *obj, const VtSource *source, const char *name,
                            GError *error);

/* Milliseconds a question to a service may take; $VIRT_THIN_LIBVIRT_TIMEOUT (seconds) overrides. */
guint vtbackend_deadline_ms(void);
/* Is @vg the kernel's (pool/open.h), with no service? Then the functions below ask and
 * change it in this process.
 */
gboolean vtbackend_is_kernels(const char *vg);
gboolean vtbackend_choose_again(const char *vg); /* the same, looked at anew */
/* What the document of its pool says; AUTO: nothing. */
void vtbackend_tell_engine(const char *vg, PoolEngine engine);
/* The service of @vg for questions, or for changes, which may take longer. Never freed by the
 * caller. ETIMEDOUT at once for some seconds after the service did not answer: a list of a thousand
 * volumes must not wait a thousand deadlines. One for changes is given only to a service that
 * answers. */
VolumeGroup *vtbackend_service(const char *vg, GError **error);
VolumeGroup *vtbackend_service_for_changes(const char *vg, GError **error);
/* Tell what became of a question: keeps the record for the fast refusal above. Returns @ok. */
gboolean vtbackend_service_answered(const char *vg, gboolean ok, const GError *error);

PoolVolumeInfo *vtbackend_service_volume(const char *vg, const char *name, GError **error);
GPtrArray *vtbackend_service_volumes(const VtSource *source, GError **error);
PoolInfo *vtbackend_service_pool(const VtSource *source, GError **error);

/* A volume to be opened by its path: the file in the service's FUSE folder, or the kernel's device,
 * which is active as long as this is open, or something that was opened meanwhile. */
typedef struct {
  char *path;
  VtIo *device; /* NULL: a file */
} VtVolumeFile;
gboolean vtbackend_volume_file_open(const char *vg, const char *name, gboolean read_only,
                                    VtVolumeFile *file, GError **error);
void vtbackend_volume_file_close(VtVolumeFile *file);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtVolumeFile, vtbackend_volume_file_close)
/* The folder volumes are reported in: /dev/<vg>, or the FUSE folder where there are no block nodes.
 * The caller's. */
char *vtbackend_volume_folder(const char *vg, GPtrArray *volumes);
/* Where and as what @info is reported. The path is the caller's. */
char *vtbackend_volume_path(const PoolVolumeInfo *info);
/* Of a new volume that will be a template when it has its content: it is where it is found then.
 * Its file is there from the beginning; its node, if it has one, goes. libvirt keeps the path that
 * it was told first. */
void vtbackend_expect_template(PoolVolumeInfo *info);
int vtbackend_volume_type(const PoolVolumeInfo *info);
/* The volume of @vg that @path names - node, link or file; NULL: none. The caller's. */
char *vtbackend_volume_of_path(const char *vg, const char *path);

/* --- documents --- */

/* What the backend wants to know of a volume document. */
typedef struct {
  char *name;
  char *backing; /* path; NULL */
  char *path;    /* that of the volume whose document it was; NULL */
  char *format;  /* "qcow2"; NULL */
  gboolean encrypted;
  gboolean has_mode, has_owner, has_group;
  guint mode;
  uid_t owner;
  gid_t group;
} VtVolDocument;
void vtbackend_vol_document_clear(VtVolDocument *document);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtVolDocument, vtbackend_vol_document_clear)
gboolean vtbackend_vol_document_read(VtPoolDef *pool, VtVolDef *vol, VtVolDocument *document,
                                     GError **error);
/* What the backend wants to know of a pool's <source>. */
typedef struct {
  char *name;    /* libvirt's, of the pool */
  GStrv devices; /* <device path=…> */
  /* <vendor name='virt-thin'/><product name='bundled'/>; AUTO: it does not say */
  PoolEngine engine;
} VtPoolDocument;
void vtbackend_pool_document_clear(VtPoolDocument *document);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtPoolDocument, vtbackend_pool_document_clear)
gboolean vtbackend_pool_document_read(VtPoolDef *pool, VtPoolDocument *document, GError **error);
/* A volume object made of @info; @paths: the path of each volume there is, by name, for its origin.
 * NULL: error. */
VtVolDef *vtbackend_volume_object(VtPoolDef *pool, const PoolVolumeInfo *info, GHashTable *paths,
                                  GError **error);
/* @sources (libvirt's <sources> document; NULL for none) with the thin pools @names (of "vg/pool")
 * added. libvirt's to free. */
char *vtbackend_sources_document(const char *sources, GPtrArray *names);

/* --- what there is, as the physical volumes tell --- */
typedef enum { VT_NO_GROUP, VT_GROUP, VT_GROUP_WITH_POOL } VtPlace;
/* @devices: where to look first. */
VtPlace vtbackend_find_place(const VtSource *source, char **devices);

/* --- programs --- */
/* Run @argv, wait, and make its last words the error. No shell, no terminal, default signals. */
gboolean vtbackend_spawn(const char *const *argv, GError **error);
/* The same, with descriptor *@kept open in it. */
gboolean vtbackend_spawn_with(const char *const *argv, const int *kept, GError **error);

/* --- data --- */
/* A descriptor that goes with its block: g_auto(VtFd) fd = {-1}. */
typedef struct {
  int fd;
} VtFd;
void vtbackend_fd_clear(VtFd *fd);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VtFd, vtbackend_fd_clear)
gboolean vtbackend_fd_open(VtFd *fd, const char *path, int flags, GError **error);
/* The part of @in that is not zero to @out, which reads zero; @name for messages. */
gboolean vtbackend_copy_sparse(int in, int out, guint64 size, const char *name, GError **error);
/* Make [@offset, @offset + @length) read zero and release its space. */
gboolean vtbackend_discard(const VtVolumeFile *file, guint64 offset, guint64 length,
                           const char *name, GError **error);
/* Overwrite what is mapped there with zeros, on the medium. */
gboolean vtbackend_overwrite(const VtVolumeFile *file, guint64 length, const char *name,
                             GError **error);
/* Give every hole of [0, @length) its space. */
gboolean vtbackend_allocate(const VtVolumeFile *file, guint64 length, const char *name,
                            GError **error);

/* --- the callbacks for VG/POOL; contracts: libvirt src/storage/storage_backend.h --- */
char *vtbackend_find_sources(const char *spec, unsigned int flags);
int vtbackend_check_pool(VtPoolObj *obj, bool *active);
int vtbackend_start_pool(VtPoolObj *obj);
int vtbackend_build_pool(VtPoolObj *obj, unsigned int flags);
int vtbackend_refresh_pool(VtPoolObj *obj);
int vtbackend_stop_pool(VtPoolObj *obj);
int vtbackend_delete_pool(VtPoolObj *obj, unsigned int flags);
int vtbackend_build_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int flags);
int vtbackend_build_vol_from(VtPoolObj *obj, VtVolDef *vol, VtVolDef *source, unsigned int flags);
int vtbackend_create_vol(VtPoolObj *obj, VtVolDef *vol);
int vtbackend_refresh_vol(VtPoolObj *obj, VtVolDef *vol);
int vtbackend_delete_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int flags);
int vtbackend_resize_vol(VtPoolObj *obj, VtVolDef *vol, unsigned long long capacity,
                         unsigned int flags);
int vtbackend_upload_vol(VtPoolObj *obj, VtVolDef *vol, VtStream *stream, unsigned long long offset,
                         unsigned long long length, unsigned int flags);
int vtbackend_download_vol(VtPoolObj *obj, VtVolDef *vol, VtStream *stream,
                           unsigned long long offset, unsigned long long length,
                           unsigned int flags);
int vtbackend_wipe_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int algorithm, unsigned int flags);

/* Write the pool's totals into its definition. */
void vtbackend_set_totals(VtPoolDef *def, const PoolInfo *info);

/* --- fields of libvirt's objects --- */
#define vtbackend_pool_source_name(def) VT_FIELD(def, vt.layout.pool_source_name, char *)
#define vtbackend_pool_target_path(def) VT_FIELD(def, vt.layout.pool_target_path, char *)
#define vtbackend_pool_capacity(def) VT_FIELD(def, vt.layout.pool_capacity, unsigned long long)
#define vtbackend_pool_allocation(def) VT_FIELD(def, vt.layout.pool_allocation, unsigned long long)
#define vtbackend_pool_available(def) VT_FIELD(def, vt.layout.pool_available, unsigned long long)
#define vtbackend_vol_name(vol) VT_FIELD(vol, vt.layout.vol_name, char *)
#define vtbackend_vol_key(vol) VT_FIELD(vol, vt.layout.vol_key, char *)
#define vtbackend_vol_path(vol) VT_FIELD(vol, vt.layout.vol_path, char *)
#define vtbackend_vol_type(vol) VT_FIELD(vol, vt.layout.vol_type, int)
#define vtbackend_vol_capacity(vol) VT_FIELD(vol, vt.layout.vol_capacity, unsigned long long)
#define vtbackend_vol_allocation(vol) VT_FIELD(vol, vt.layout.vol_allocation, unsigned long long)
#define vtbackend_vol_physical(vol) VT_FIELD(vol, vt.layout.vol_physical, unsigned long long)
