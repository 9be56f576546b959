#!/bin/bash
# virt-thin - how a pool of the kernel's is: a physical volume that is missing, metadata that only
# the kernel puts together
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
export VM_MODULES="virtio_pci virtio_blk loop dm-mod dm-thin-pool dm-snapshot dm-raid raid456
  md-mod raid1"
vm_prepare losetup lvconvert
vm_run -m 512 -t 900 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-health.guest"
