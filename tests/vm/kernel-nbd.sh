#!/bin/bash
# virt-thin - volumes of the kernel's over NBD while a command runs, and what has changed in them
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
for program in nbdinfo nbdcopy qemu-img; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
vm_prepare nbdinfo nbdcopy qemu-img cmp
vm_run -m 512 -t 900 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-nbd.guest" "$(vm_disk d0 512M)"
