/* virt-thin - the domains of this host's libvirt
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Only libvirt's public API is used. Errors: VT_ERROR with libvirt's message. Thread-safety: one
 * thread.
 */
#pragma once

#include "apply/domain-xml.h"
#include "util/error.h"

typedef struct {
  char *name, *uuid, *document; /* as it is defined, with its secrets */
  gboolean active;
} ApplyDomain;

typedef struct ApplyDomains ApplyDomains;

/* Connect (libvirt's usual address) and read. For others than root no daemon is started. ENOENT: no
 * libvirt is here. */
ApplyDomains *apply_domains_open(GError **error);
void apply_domains_free(ApplyDomains *domains);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ApplyDomains, apply_domains_free)

/* GPtrArray of ApplyDomain *; theirs. */
const GPtrArray *apply_domains_list(ApplyDomains *domains);
/* NULL: there is none. */
const ApplyDomain *apply_domains_find(ApplyDomains *domains, const char *name);
const ApplyDomain *apply_domains_find_uuid(ApplyDomains *domains, const char *uuid);

/* "VG" or "VG/POOL", what libvirt's pool @pool is of; NULL: of something else. */
const char *apply_domains_pool_source(ApplyDomains *domains, const char *pool);
/* libvirt's pool of thin pool @vg/@pool, or of all @vg; NULL: it has none. */
const char *apply_domains_find_pool(ApplyDomains *domains, const char *vg, const char *pool);

gboolean apply_domains_define(ApplyDomains *domains, const char *name, const char *document,
                              GError **error);
gboolean apply_domains_start(ApplyDomains *domains, const char *name, GError **error);
