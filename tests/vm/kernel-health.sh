#!/bin/bash
# virt-thin - how a pool of the kernel's is: a physical volume that is missing, metadata that only
# the kernel puts together
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
export VM_MODULES="virtio_pci virtio_blk loop dm-mod dm-thin-pool dm-snapshot dm-raid raid456
  md-mod raid1"
vm_prepare losetup lvconvert thin_ls thin_repair
# Pools in a state that a message advises about: under names of their own.
disks=()
fixture() { # NAME VG
  tar --zstd -xSf "$top_srcdir/tests/fixtures/pools/$1.img.tar.zst" -C "$tmp"
  lvm_attach --writable "$tmp/$1"*.img && lvm2 vgrename pve "$2" >&2
  lvm_detach
  disks+=("$tmp/$1"*.img)
}
[ "$(id -u)" = 0 ] || skip_all "needs root for loop devices"
fixture 04b-damaged-leaf damaged
fixture 14-stray-devices strays
vm_run -m 512 -t 900 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-health.guest" "${disks[@]}"
