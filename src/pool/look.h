/* virt-thin - what a search for volume groups has found on devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For who opens a volume group in this process; open.h is what others use. A probe is the look's,
 * and closes what it has open with that. Thread-safety: a PoolLook is one thread's at a time.
 */
#pragma once

#include "lvm/store.h"
#include "pool/open.h"

/* @where (NULL: the usual), with a look of its own in *@own if it has none. */
PoolWhere pool_look_begin(const PoolWhere *where, PoolLook **own);
/* Forget what is not so any more. */
void pool_look_refresh(const PoolWhere *where);

/* On the devices given, or in the usual places. */
LvmProbe *pool_look_first(const PoolWhere *where);
const char *const *pool_look_paths(const PoolWhere *where); /* which these are */
/* Wherever lvm2 would look. */
LvmProbe *pool_look_block_devices(const PoolWhere *where);
/* The one of them that has @vg (NULL: the only one); the first if none has. *@usual (may be NULL):
 * it is of the usual places. */
LvmProbe *pool_look_find(const char *vg, const PoolWhere *where, gboolean *usual);
