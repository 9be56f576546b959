#!/bin/bash
# virt-thin - mount, umount and snapshot --exec of volumes in a pool of the kernel's, by a kernel
# that knows vfat
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
for program in mkfs.ext4 mkfs.xfs mkfs.vfat sfdisk; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
export VM_MODULES="virtio_pci virtio_blk loop dm-mod dm-thin-pool dm-snapshot ext4 crc32c_generic
  xfs vfat nls_cp437 nls_ascii nls_iso8859-1 nls_utf8"
vm_prepare losetup
guest=$(vm_disk guest 384M) && printf 'label: gpt\nsize=16M\nsize=320M\nsize=16M\n' |
  sfdisk -q "$guest" >&2 || exit 1
mkdir "$tmp/files" && echo ext4 >"$tmp/files/what"
truncate -s 16M "$tmp/ext4" "$tmp/vfat" && truncate -s 320M "$tmp/xfs" &&
  mkfs.ext4 -q -d "$tmp/files" "$tmp/ext4" >&2 && mkfs.xfs -q "$tmp/xfs" &&
  mkfs.vfat "$tmp/vfat" >&2 || exit 1
for i in 1:ext4 17:xfs 337:vfat; do
  dd if="$tmp/${i#*:}" of="$guest" bs=1M seek="${i%:*}" conv=notrunc,sparse status=none
done
vm_run -m 512 -t 900 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-mount.guest" \
  "$(vm_disk pv 1G)" "$guest"
