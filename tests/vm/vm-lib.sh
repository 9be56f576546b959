# virt-thin - what the tests under a real kernel share, outside the guest
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it first (it sources integration/lib.sh). Then:
#   vm_prepare PROGRAM...   the kernel, and the guest's base archive with virt-thin, these programs
#                           and lvm2; skips the test where there is no QEMU
#   vm_run [OPTION...] "$vm_kernel" "$tmp/base.cpio" SCRIPT DISK...
#                           run a script that speaks TAP (with guest-lib.sh) in the guest, and end
#                           with its result
#   vm_prepare_root         the kernel, and a Debian with systemd, libvirtd and QEMU; in $tmp/root
#                           what is to be unpacked over it: virt-thin, as installed
#   vm_run_root [OPTION...] "$vm_kernel" "$tmp/base.cpio" SCRIPT DISK...
#                           the same in the guest that boots it
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"

vm_here=$top_srcdir/tests/vm
vm_kernel=$top_builddir/guest-kernel
vm_lvm2=(lvm lvchange lvconvert lvcreate lvextend lvreduce lvremove lvrename lvs pvcreate pvremove
  pvs vgchange vgck vgcreate vgextend vgmknodes vgremove vgs
  dmsetup thin_check thin_dump)
# libvirtd with its storage driver and our backend: in the guest, guest-libvirt.sh starts it.
vm_modules=$(pkg-config --variable=libdir libvirt 2>/dev/null ||
  echo /usr/lib/x86_64-linux-gnu)/libvirt
vm_libvirt=(libvirtd virsh "$vm_modules/storage-backend" "$vm_modules/storage-file"
  "$vm_modules/connection-driver/libvirt_driver_storage.so"
  "$top_builddir/src/libvirt/.libs/libvirt_storage_backend_logical.so"
  "$top_builddir/src/libvirt/.libs/virt-thin-backend.so")

# One image for all tests of that kind: what virt-thin needs, and what they do.
vm_packages=(lvm2 thin-provisioning-tools libvirt-daemon-system libvirt-clients qemu-system-x86
  qemu-utils libglib2.0-0 libfuse3-3 libjson-glib-1.0-0 libnl-genl-3-200 libxml2
  libxml2-utils python3-libvirt virtinst)

vm_need_kernel() {
  command -v qemu-system-x86_64 >/dev/null || skip_all "qemu-system-x86_64 is not installed"
  "$top_srcdir/scripts/guest-kernel" "$vm_kernel" >&2 ||
    skip_all "Debian's package linux-image-cloud-amd64 is not to be had"
}
vm_prepare() {
  local program=$top_builddir/virt-thin
  vm_need_kernel
  [ ! -x "$top_builddir/.libs/virt-thin" ] || program=$top_builddir/.libs/virt-thin
  "$vm_here/mkinitramfs.sh" "$vm_kernel" "$tmp/base.cpio" "$program" "${vm_lvm2[@]}" "$@" >&2 ||
    { echo "Bail out! the guest's base archive"; exit 1; }
}
vm_prepare_root() {
  command -v mmdebstrap >/dev/null || skip_all "mmdebstrap is not installed"
  vm_need_kernel
  "$vm_here/mkroot.sh" "$vm_kernel" "$top_builddir/guest-root.img" "${vm_packages[@]}" >&2 ||
    skip_all "Debian's packages for the guest are not to be had"
  make -s -C "$top_builddir" install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1 ||
    { echo "Bail out! make install fails: $(tail -n 3 "$tmp/install.log")"; exit 1; }
  "$vm_here/mkinitramfs.sh" "$vm_kernel" "$tmp/base.cpio" >&2 || {
    echo "Bail out! the guest's base archive"; exit 1
  }
}
# Pass on what a guest says, and count its tests for progress.
vm_count() {
  local line
  while IFS= read -r line; do
    echo "$line"
    case $line in "ok "* | "not ok "*) echo $((tap_count += 1)) >"$tmp/.count" ;; esac
  done
}
vm_run() {
  local status
  "$vm_here/vmrun" -c "$tmp/console" -i "$vm_here/guest-lib.sh" -i "$vm_here/guest-changes.sh" \
    -i "$vm_here/guest-libvirt.sh" "$@" | grep --line-buffered -v '^VM_' | vm_count
  status=${PIPESTATUS[0]}
  [ "$status" = 0 ] || {
    tail -n 40 "$tmp/console" | sed 's/^/# /'; echo "Bail out! the guest ended with status $status"
    exit 1
  }
}
vm_run_root() {
  tar -c --owner=0 --group=0 -C "$tmp/root" -f "$tmp/root.tar" .
  vm_run -r "$top_builddir/guest-root.img" -i "$tmp/root.tar" "$@"
}
vm_disk() { # NAME SIZE: a sparse disk; prints its path
  truncate -s "$2" "$tmp/$1"
  echo "$tmp/$1"
}
