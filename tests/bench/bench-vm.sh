#!/bin/bash
# virt-thin - changes and data compared under a real kernel: ours on both engines, lvm2 by hand,
# libvirt's own backend
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: bench-vm.sh ROUNDS SECONDS
# in the environment: abs_top_srcdir, abs_top_builddir, as for a test
# prints, once a round: op OPERATION WHO MICROSECONDS, and fio KIND WHO OPERATIONS_PER_SECOND
. "$(dirname "$0")/../vm/vm-lib.sh"
for program in libvirtd fio qemu-nbd; do
  command -v $program >/dev/null || { echo "bench-vm: $program is not installed" >&2; exit 1; }
done
vm_prepare "${vm_libvirt[@]}" fio qemu-nbd vgscan lvdisplay vgdisplay
{ echo "rounds=$1 seconds=$2"; cat "$top_srcdir/tests/bench/bench-vm.guest"; } >"$tmp/script"
"$vm_here/vmrun" -m 1536 -s 2 -t 3600 -c "$tmp/console" -i "$vm_here/guest-lib.sh" \
  -i "$vm_here/guest-libvirt.sh" "$vm_kernel" "$tmp/base.cpio" "$tmp/script" \
  "$(vm_disk d0 2G)" "$(vm_disk d1 2G)" "$(vm_disk d2 2G)" "$(vm_disk d3 512M)"
