#!/bin/bash
# virt-thin - under a real systemd, with udev, lvm2 and libvirtd as Debian installs and starts them
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/../integration/lib.sh"

for program in qemu-system-x86_64 mmdebstrap; do command -v $program >/dev/null || skip_all "$program is not installed"; done
here=$top_srcdir/tests/vm
kernel=$top_builddir/guest-kernel root=$top_builddir/guest-root.img
"$top_srcdir/scripts/guest-kernel" "$kernel" >&2 || skip_all "Debian's package linux-image-cloud-amd64 is not to be had"
"$here/mkroot.sh" "$kernel" "$root" lvm2 libvirt-daemon-system libvirt-clients qemu-system-x86 libglib2.0-0 libfuse3-3 libjson-glib-1.0-0 libnl-genl-3-200 libxml2 >&2 ||
  skip_all "Debian's packages for the guest are not to be had"
# As a package of it would be laid out.
make -s -C "$top_builddir" install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1 || { echo "Bail out! make install fails: $(tail -n 3 "$tmp/install.log")"; exit 1; }
tar -c --owner=0 --group=0 -C "$tmp/root" -f "$tmp/root.tar" .
"$here/mkinitramfs.sh" "$kernel" "$tmp/base.cpio" >&2
truncate -s 256M "$tmp/disk"
"$here/vmrun" -r "$root" -m 1280 -s 2 -t 1200 -c "$tmp/console" -i "$tmp/root.tar" -i "$top_srcdir/xml/local-lvm.xml" "$kernel" "$tmp/base.cpio" "$here/systemd.guest" "$tmp/disk" |
  grep --line-buffered -v '^VM_'
status=${PIPESTATUS[0]}
[ "$status" = 0 ] || { tail -n 40 "$tmp/console" | sed 's/^/# /'; echo "Bail out! the guest ended with status $status"; exit 1; }
