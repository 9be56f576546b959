/* virt-thin - what pool.h's structs look like on D-Bus
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The layouts are documented in src/control/org.virt_thin.VolumeGroup1.xml. A NULL string travels
 * as "", a NULL list as an empty one; bytes that are not UTF-8 (a path may have them) as U+FFFD.
 * Variants returned are floating; structs are the caller's. Thread-safety: pure functions.
 */
#pragma once

#include "pool/change.h"

#define POOL_WIRE_VOLUME "(ssssssssttxubbasstsba{sv})"
#define POOL_WIRE_POOL "(ssstttttttubbbsa{sv})"
#define POOL_WIRE_VG "(ssttttttassa{sv})"
#define POOL_WIRE_DELTA "a(ttu)"
#define POOL_WIRE_USAGE "(stttta(subtt)a{sv})"

GVariant *pool_wire_from_volume(const PoolVolumeInfo *info);
GVariant *pool_wire_from_pool(const PoolInfo *info);
GVariant *pool_wire_from_vg(const PoolVgInfo *info);
GVariant *pool_wire_from_delta(const GArray *runs); /* of PoolDeltaRun */
GVariant *pool_wire_from_usage(const PoolUsage *usage);
GVariant *pool_wire_from_strings(GPtrArray *strings); /* of char *; NULL: none */

/* @value has the type named above: GDBus has checked it. */
PoolVolumeInfo *pool_wire_to_volume(GVariant *value);
PoolInfo *pool_wire_to_pool(GVariant *value);
PoolVgInfo *pool_wire_to_vg(GVariant *value);
GPtrArray *pool_wire_to_strings(GVariant *value);
PoolUsage *pool_wire_to_usage(GVariant *value);
void pool_wire_to_delta(GVariant *value, GArray *runs); /* appends; joins as pool_delta() */

/* D-Bus carries UTF-8 only: EINVAL. NULL is an absent name. */
gboolean pool_wire_check_text(const char *text, GError **error);
/* The arguments of the method that @change is; floating. NULL: EINVAL. */
GVariant *pool_wire_from_change(const PoolChange *change, GError **error);
/* A call of @method with arguments that GDBus has checked: FALSE without an error when it is no
 * change. *change holds strings of @in, and arrays until pool_wire_change_clear(). */
gboolean pool_wire_to_change(const char *method, GVariant *in, PoolChange *change, GError **error);
void pool_wire_change_clear(PoolChange *change);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PoolChange, pool_wire_change_clear)

const char *pool_wire_event(PoolEvent event);
