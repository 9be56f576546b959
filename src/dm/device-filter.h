/* virt-thin - lvm.conf's filter and global_filter: devices that lvm2 is not to look at
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvm.conf(5), devices/filter: a list of regular expressions, "a|...|" to accept and "r|...|" to
 * reject, held against every name that a device has below /dev. A name's first match counts; one
 * accepted name accepts the device, else a rejected one rejects it; a device that nothing matches
 * is accepted. The expressions are libdevmapper's, as lvm2's.
 *
 * Thread-safety: a filter is one thread's at a time.
 */
#pragma once

#include "lvm/lvm-conf.h"

typedef struct DmkFilter DmkFilter;

/* NULL: there is none. One with an expression that cannot be read accepts nothing, as lvm2 does
 * nothing then. */
DmkFilter *dmk_filter_new(LvmConf *conf);
void dmk_filter_free(DmkFilter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DmkFilter, dmk_filter_free)
/* @filter may be NULL. */
gboolean dmk_filter_accepts(DmkFilter *filter, const char *const *names);
