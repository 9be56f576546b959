#!/bin/bash
# virt-thin - a pool of the kernel's, by lvm2's commands, through the CLI
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
vm_prepare mdadm strace thin_delta blkdiscard
vm_run -m 768 -t 1800 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-pool.guest" \
  "$(vm_disk d0 1G)" "$(vm_disk d1 256M)"
