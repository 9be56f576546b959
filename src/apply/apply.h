/* virt-thin - storage apply: what is in libvirt, what should be, and the way from one to the other
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Only libvirt's public API is used. Errors: VT_ERROR with libvirt's message. Thread-safety: main
 * thread only.
 */
#pragma once

#include "storagecfg/pools.h"

/* --- what is there --- */

typedef struct {
  char *name, *uuid;
  gboolean active, autostart, persistent;
  char *document;             /* as it is defined */
  GHashTable *defined, *live; /* fields of the documents: "type", "source name", "target", …; live
                                 NULL: not active */
} ApplyPool;

typedef struct ApplyHost ApplyHost;

ApplyHost *apply_host_open(const char *uri, GError **error);
void apply_host_free(ApplyHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApplyHost, apply_host_free)
char *apply_host_uri(ApplyHost *host);
/* This machine's libvirt: its files and mounts are ours to look at. */
gboolean apply_host_is_local(ApplyHost *host);
/* GPtrArray of ApplyPool; the host's. */
const GPtrArray *apply_host_pools(ApplyHost *host);
const ApplyPool *apply_host_find(ApplyHost *host, const char *name);
const ApplyPool *apply_host_find_uuid(ApplyHost *host, const char *uuid);
/* Has this libvirt a backend for pools of @type? TRUE where it cannot say. */
gboolean apply_host_supports(ApplyHost *host, const char *type);
/* A domain, running or defined, that uses the pool; NULL: none. The host's. */
const char *apply_host_user(ApplyHost *host, const ApplyPool *pool);
/* FALSE: it is a daemon of storage alone, which cannot say who uses a pool. */
gboolean apply_host_sees_domains(ApplyHost *host);
/* The fields of a document. Unref it. */
GHashTable *apply_fields(const char *document);
/* What differs between what is @wanted and what @is, in words; NULL: nothing. */
char *apply_difference(GHashTable *wanted, GHashTable *is);

/* Is it a pool of one type over one source, whatever else is said of it? */
gboolean apply_is_same_source(GHashTable *wanted, GHashTable *is);

/* --- changes --- */

gboolean apply_define(ApplyHost *host, const StorageCfgPool *pool, GError **error);
/* Make @theirs, which is stopped for that, the pool @name with @uuid; its document stays. A failure
 * is taken back. */
gboolean apply_adopt(ApplyHost *host, const ApplyPool *theirs, const char *name, const char *uuid,
                     GError **error);
/* @build: make its folder first. */
gboolean apply_start(ApplyHost *host, const char *uuid, gboolean build, GError **error);
gboolean apply_stop(ApplyHost *host, const char *uuid, GError **error);
gboolean apply_set_autostart(ApplyHost *host, const char *uuid, gboolean autostart, GError **error);
gboolean apply_undefine(ApplyHost *host, const char *uuid, GError **error);
/* Define the secret of a Ceph user; with @key (base64) its value is set, too. One that is there
 * stays. */
gboolean apply_secret(ApplyHost *host, const char *uuid, const char *storage, const char *key,
                      GError **error);
gboolean apply_has_secret(ApplyHost *host, const char *uuid);

/* --- the plan --- */

typedef enum {
  APPLY_CREATE,
  APPLY_UPDATE,
  APPLY_START,
  APPLY_STOP,
  APPLY_UNCHANGED,
  APPLY_NOT_POSSIBLE,
} ApplyAction;
const char *apply_action_name(ApplyAction action);

typedef struct ApplyStep ApplyStep;
struct ApplyStep {
  char *storage, *pool, *uuid; /* pool NULL: the storage has none */
  const char *type;            /* libvirt's; NULL */
  ApplyAction action;
  char *reason;
  GPtrArray *notes;           /* of char * */
  const StorageCfgPool *want; /* create, update, start */
  const ApplyPool *adopt;     /* somebody else's that becomes it; NULL */
  gboolean define, stop, start, undefine, autostart, no_autostart, build;
  gboolean conflict, at_rest; /* at_rest: somebody else's, that does not run */
  const ApplyStep *mount;     /* what its folder is in; NULL: nothing that a step mounts */
  char *ceph_key;             /* for the secret of @want */
  gboolean done;              /* what was to do is done */
  GError *error;
};

typedef struct {
  GPtrArray *steps; /* of ApplyStep, in the order of doing them */
  GPtrArray *kept;  /* StorageCfgPools that steps point to */
} ApplyPlan;

/* @adopt: take over pools of the same source that somebody else has defined. */
ApplyPlan *apply_plan_new(const StorageCfg *cfg, ApplyHost *host, const char *node, gboolean adopt);
void apply_plan_free(ApplyPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApplyPlan, apply_plan_free)
/* Do what is planned; a step that fails stops no other. FALSE: some failed. */
gboolean apply_plan_run(ApplyPlan *plan, ApplyHost *host);
