#!/bin/bash
# virt-thin - thin pools of the kernel's that lvm2's dmeventd extends before they are full
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
plugin=$(ldconfig -p | awk '$1 == "libdevmapper-event-lvm2thin.so" { print $NF; exit }')
command -v dmeventd >/dev/null && [ -n "$plugin" ] || skip_all "dmeventd is not installed"
# As the kernel left it after a failed commit: needs_check is set.
tar --zstd -xSf "$top_srcdir/tests/fixtures/pools/04a-needs-check.img.tar.zst" -C "$tmp" ||
  skip_all "zstd is not installed"
vm_prepare dmeventd "$(realpath "${plugin%/*}")/${plugin##*/}" fio
vm_run -m 768 -t 1800 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-grow.guest" \
  "$(vm_disk d0 1500M)" "$(vm_disk d1 64M)" "$(vm_disk d2 256M)" "$(vm_disk d3 256M)" \
  "$tmp/04a-needs-check.img"
