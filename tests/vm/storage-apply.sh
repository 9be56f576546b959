#!/bin/bash
# virt-thin - storage apply under a kernel with device-mapper and iSCSI: storages of types lvm and
# iscsi start for real
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../integration/lib.sh"

command -v qemu-system-x86_64 >/dev/null || skip_all "qemu-system-x86_64 is not installed"
for program in libvirtd virsh lvm tgtd tgtadm; do
  command -v $program >/dev/null || skip_all "needs $program"
done
here=$top_srcdir/tests/vm
kernel=$top_builddir/guest-kernel
"$top_srcdir/scripts/guest-kernel" "$kernel" >&2 ||
  skip_all "Debian's package linux-image-cloud-amd64 is not to be had"
# Not installed: open-iscsi would bring udev along.
mkdir "$tmp/iscsi"
(
  cd "$tmp/iscsi" && apt-get -qq download open-iscsi libopeniscsiusr libisns0 &&
    for package in *.deb; do dpkg -x "$package" .; done
) >&2 ||
  skip_all "Debian's package open-iscsi is not to be had"
libraries=$tmp/iscsi/usr/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH=$libraries
program=$top_builddir/virt-thin
[ -x "$top_builddir/.libs/virt-thin" ] && program=$top_builddir/.libs/virt-thin
export VM_MODULES="virtio_pci virtio_blk ext4 crc32c_generic fuse loop nbd dm-thin-pool dm-snapshot
  iscsi_tcp sd_mod"
"$here/mkinitramfs.sh" "$kernel" "$tmp/base.cpio" "$program" libvirtd virsh lvm vgcreate pvcreate \
  vgscan vgs pvs lvs lvcreate lvremove vgchange dmsetup tgtd tgtadm \
  "$tmp/iscsi/sbin/iscsid" "$tmp/iscsi/sbin/iscsiadm" >&2

# Modules that libvirtd loads, with their libraries.
stock=$(pkg-config --variable=libdir libvirt)/libvirt root=$tmp/root
mkdir -p "$root/backends" "$root$stock/connection-driver" "$root/usr/lib/x86_64-linux-gnu"
cp -P "$libraries"/*.so* "$root/usr/lib/x86_64-linux-gnu/"
cp "$stock"/storage-backend/*.so "$root/backends/"
cp "$stock/connection-driver"/libvirt_driver_{storage,secret,qemu}.so \
  "$root$stock/connection-driver/"
cp "$top_builddir/src/libvirt/.libs/libvirt_storage_backend_logical.so" \
  "$top_builddir"/src/libvirt/.libs/virt-thin-backend.so "$root/backends/"
mkdir -p "$root$stock/storage-backend" &&
  cp "$stock"/storage-backend/libvirt_storage_backend_logical.so "$root$stock/storage-backend/"
for module in "$root/backends"/*.so "$root$stock"/*/*.so; do ldd "$module"; done |
    grep -oE '/(usr/)?lib[^ ]+' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"
done
tar -C "$root" -cf "$tmp/libvirt.tar" .

truncate -s 128M "$tmp/disk"
"$here/vmrun" -m 1280 -s 2 -t 240 -i "$tmp/libvirt.tar" -c "$tmp/console" "$kernel" \
  "$tmp/base.cpio" "$here/storage-apply.guest" "$tmp/disk" | grep --line-buffered -v '^VM_'
status=${PIPESTATUS[0]}
[ "$status" = 0 ] || {
  tail -n 40 "$tmp/console" | sed 's/^/# /'; echo "Bail out! the guest ended with status $status"
  exit 1
}
