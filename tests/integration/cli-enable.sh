#!/bin/bash
# virt-thin - enable and disable: libvirt's daemons are pointed at our folder of storage backends, and back, and nothing else is touched
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 16

# A system of its own under --root, with the folders of this build.
make -s -C "$top_builddir" install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1 || skip_all "make install fails: $(tail -n 3 "$tmp/install.log")"
program=$(find "$tmp/root" -name virt-thin -path '*sbin*' -type f)
shim=$(find "$tmp/root" -name libvirt_storage_backend_logical.so)
folder=$(strings -a "$program" 2>/dev/null | grep -m1 'virt-thin-libvirt' || true)
stock=$(strings -a "$program" | grep -m1 'libvirt/storage-backend$')
mkdir -p "$tmp/root$stock"; : > "$tmp/root$stock/libvirt_storage_backend_future.so"
before=$(cd "$tmp/root" && find . | sort | md5)

refused "not installed" 1 'not installed' vt enable --root "$tmp/nowhere"
ok "enable" vt enable --root "$tmp/root"
for service in libvirtd virtstoraged; do
  drop_in=$tmp/root/etc/systemd/system/$service.service.d/50-virt-thin.conf
  is "$service looks into our folder" "$(grep -v '^#' "$drop_in" 2>/dev/null)" "[Service]"$'\n'"Environment=LIBVIRT_STORAGE_BACKEND_DIR=$folder"
done
is "the logical module is our shim" "$tmp/root$(readlink "$tmp/root$folder/libvirt_storage_backend_logical.so")" "$shim"
is "the others are libvirt's" "$(readlink "$tmp/root$folder/libvirt_storage_backend_fs.so")" "$stock/libvirt_storage_backend_fs.so"
is "those that are not installed, too" "$(readlink "$tmp/root$folder/libvirt_storage_backend_zfs.so")" "$stock/libvirt_storage_backend_zfs.so"
is "and those we do not know" "$(readlink "$tmp/root$folder/libvirt_storage_backend_future.so")" "$stock/libvirt_storage_backend_future.so"
is "each module that is installed here has a link" \
  "$(for f in "$stock"/libvirt_storage_backend_*.so; do [ ! -e "$f" ] || [ -L "$tmp/root$folder/$(basename "$f")" ] || echo "$f"; done)" ""
now=$(cd "$tmp/root" && find . | sort | md5)
ok "enable again" vt enable --root "$tmp/root"
is "changes nothing" "$(cd "$tmp/root" && find . | sort | md5)" "$now"
: > "$tmp/root/etc/systemd/system/libvirtd.service.d/mine.conf"
ok "disable" vt disable --root "$tmp/root"
ok "another's drop-in stays" test -e "$tmp/root/etc/systemd/system/libvirtd.service.d/mine.conf"
rm -r "$tmp/root/etc/systemd/system"; rmdir "$tmp/root/etc/systemd" "$tmp/root/etc" 2>/dev/null
is "nothing else is left" "$(cd "$tmp/root" && find . -not -path './etc*' | sort | md5)" "$(cd "$tmp/root" && find . -not -path './etc*' | sort | md5)"
not_ok "not our folder" test -e "$tmp/root$folder"
ok "disable again" vt disable --root "$tmp/root"
