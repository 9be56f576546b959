#!/bin/bash
# virt-thin - block nodes by the kernel's NBD client, under a kernel that has one
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../integration/lib.sh"

command -v qemu-system-x86_64 >/dev/null || skip_all "qemu-system-x86_64 is not installed"
here=$top_srcdir/tests/vm
kernel=$top_builddir/guest-kernel
"$top_srcdir/scripts/guest-kernel" "$kernel" >&2 ||
  skip_all "Debian's package linux-image-cloud-amd64 is not to be had"
program=$top_builddir/virt-thin
[ -x "$top_builddir/.libs/virt-thin" ] && program=$top_builddir/.libs/virt-thin
VM_MODULES="virtio_pci virtio_blk ext4 crc32c_generic fuse loop nbd nvmet" "$here/mkinitramfs.sh" \
  "$kernel" "$tmp/base.cpio" "$program" fio >&2
truncate -s 256M "$tmp/d0"
[ -z "${VIRT_THIN_TEST_LONG:-}" ] || { echo 'KILLS=50'; cat "$here/nbd-node.guest"; } > "$tmp/long"
guest=$here/nbd-node.guest; [ ! -e "$tmp/long" ] || guest=$tmp/long
"$here/vmrun" -m 1280 -s 2 -t "${VIRT_THIN_TEST_LONG:+3}300" -c "$tmp/console" "$kernel" \
  "$tmp/base.cpio" "$guest" "$tmp/d0" | grep --line-buffered -v '^VM_'
status=${PIPESTATUS[0]}
[ "$status" = 0 ] || {
  tail -n 40 "$tmp/console" | sed 's/^/# /'; echo "Bail out! the guest ended with status $status"
  exit 1
}
