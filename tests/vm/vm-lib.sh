# virt-thin - what the tests under a real kernel share, outside the guest
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it first (it sources integration/lib.sh). Then:
#   vm_prepare PROGRAM...             the kernel, and the guest's base archive with virt-thin, these programs and lvm2; skips the test where there is no QEMU
#   vm_run [OPTION...] SCRIPT DISK...  run a script that speaks TAP (with guest-lib.sh) in the guest, and end with its result
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"

vm_here=$top_srcdir/tests/vm
vm_kernel=$top_builddir/guest-kernel
vm_lvm2=(lvm lvchange lvconvert lvcreate lvextend lvreduce lvremove lvrename lvs pvcreate pvremove pvs vgchange vgck vgcreate vgextend vgmknodes vgremove vgs
  dmsetup thin_check thin_dump)

vm_prepare() {
  local program=$top_builddir/virt-thin
  command -v qemu-system-x86_64 >/dev/null || skip_all "qemu-system-x86_64 is not installed"
  "$top_srcdir/scripts/guest-kernel" "$vm_kernel" >&2 || skip_all "Debian's package linux-image-cloud-amd64 is not to be had"
  [ ! -x "$top_builddir/.libs/virt-thin" ] || program=$top_builddir/.libs/virt-thin
  "$vm_here/mkinitramfs.sh" "$vm_kernel" "$tmp/base.cpio" "$program" "${vm_lvm2[@]}" "$@" >&2 || { echo "Bail out! the guest's base archive"; exit 1; }
}
vm_run() {
  local status
  "$vm_here/vmrun" -c "$tmp/console" -i "$vm_here/guest-lib.sh" -i "$vm_here/guest-changes.sh" "$@" | grep --line-buffered -v '^VM_'
  status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || { tail -n 40 "$tmp/console" | sed 's/^/# /'; echo "Bail out! the guest ended with status $status"; exit 1; }
}
vm_disk() { # NAME SIZE: a sparse disk; prints its path
  truncate -s "$2" "$tmp/$1"
  echo "$tmp/$1"
}
