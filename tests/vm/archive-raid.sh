#!/bin/bash
# virt-thin - a volume group of the kernel's from one disk to an md RAID 5 of three, in two commands
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
command -v mdadm >/dev/null || skip_all "mdadm is not installed"
export VM_MODULES="virtio_pci virtio_blk loop dm-mod dm-thin-pool dm-snapshot raid456"
vm_prepare mdadm sfdisk
vm_run -m 768 -t 900 "$vm_kernel" "$tmp/base.cpio" "$vm_here/archive-raid.guest" \
  "$(vm_disk d0 1G)" "$(vm_disk d1 512M)" "$(vm_disk d2 512M)" "$(vm_disk d3 512M)"
