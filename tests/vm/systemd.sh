#!/bin/bash
# virt-thin - under a real systemd, with udev, lvm2 and libvirtd as Debian installs and starts them
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
vm_prepare_root
vm_run_root -m 1280 -s 2 -t 2400 -i "$top_srcdir/xml/local-lvm.xml" "$vm_kernel" "$tmp/base.cpio" \
  "$vm_here/systemd.guest" "$(vm_disk d0 256M)" "$(vm_disk d1 64M)"
