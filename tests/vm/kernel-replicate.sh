#!/bin/bash
# virt-thin - replicas between two volume groups of the kernel's: what travels, runs that are
# killed, failover, and the way back
# SPDX-License-Identifier: LGPL-2.1-or-later
# VIRT_THIN_TEST_LONG: killed 42 times, not twice.
. "$(dirname "$0")/vm-lib.sh"
vm_prepare
{
  echo "kills=${VIRT_THIN_TEST_LONG:+4}2"
  cat "$vm_here/kernel-replicate.guest"
} >"$tmp/script"
vm_run -m 768 -t 1800 "$vm_kernel" "$tmp/base.cpio" "$tmp/script" \
  "$(vm_disk d0 600M)" "$(vm_disk d1 600M)"
