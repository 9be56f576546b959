#!/bin/bash
# virt-thin - a pool of the kernel's under libvirt
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
command -v libvirtd >/dev/null || skip_all "libvirtd is not installed"
modules=$(pkg-config --variable=libdir libvirt 2>/dev/null || echo /usr/lib/x86_64-linux-gnu)/libvirt
vm_prepare libvirtd virsh qemu-img "$modules/storage-backend" "$modules/storage-file" "$modules/connection-driver/libvirt_driver_storage.so" \
  "$top_builddir/src/libvirt/.libs/libvirt_storage_backend_logical.so" "$top_builddir/src/libvirt/.libs/virt-thin-backend.so"
vm_run -m 768 -t 1800 -i "$top_srcdir/xml/pool-bundled.xml" "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-libvirt.guest" "$(vm_disk d0 1G)"
