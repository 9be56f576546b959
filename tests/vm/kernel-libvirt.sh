#!/bin/bash
# virt-thin - a pool of the kernel's under libvirt
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
command -v libvirtd >/dev/null || skip_all "libvirtd is not installed"
vm_prepare "${vm_libvirt[@]}" qemu-img
vm_run -m 768 -t 1800 -i "$top_srcdir/xml/pool-bundled.xml" "$vm_kernel" "$tmp/base.cpio" \
  "$vm_here/kernel-libvirt.guest" "$(vm_disk d0 1G)"
