/* virt-thin - libvirt's own logical backend without virt-thin's: what it must not be asked about a
 * thin pool SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: for registration, which is one thread's.
 */
#pragma once

/* Register the stock backend at @stock_path with libvirt, but for pools on VG/POOL, which it
 * neither starts nor builds nor deletes: the error says @reason, which is copied. NULL: done. Else
 * why not, and nothing is registered. */
const char *vtbackend_guard_register(const char *stock_path, const char *reason);
