#!/bin/bash
# virt-thin - enable and disable: libvirt's daemons are pointed at our folder of storage backends,
# and back, and nothing else is touched
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 32

# A system of its own under --root, with the folders of this build, after an earlier version.
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")
mkdir -p "$tmp/root$prefix/sbin"; : >"$tmp/root$prefix/sbin/virt-thin"
make -s -C "$top_builddir" install DESTDIR="$tmp/root" >"$tmp/install.log" 2>&1 ||
  skip_all "make install fails: $(tail -n 3 "$tmp/install.log")"
program=$tmp/root$prefix/bin/virt-thin
shim=$(find "$tmp/root" -name libvirt_storage_backend_logical.so)
folder=$(strings -a "$program" 2>/dev/null | grep -m1 'virt-thin-libvirt' || true)
stock=$(strings -a "$program" | grep -m1 'libvirt/storage-backend$')
mkdir -p "$tmp/root$stock"; : > "$tmp/root$stock/libvirt_storage_backend_future.so"
files() { (cd "$tmp/root" && find . -not -type d | sort); }
before=$(files)

ok "the program is where every user finds it" test -x "$program"
not_ok "and not where an earlier version had it" test -e "$tmp/root$prefix/sbin/virt-thin"
refused "not installed" 1 'not installed' vt enable --root "$tmp/nowhere"
ok "enable" vt enable --root "$tmp/root"
for service in libvirtd virtstoraged; do
  drop_in=$tmp/root/etc/systemd/system/$service.service.d/50-virt-thin.conf
  is "$service looks into our folder" "$(grep -v '^#' "$drop_in" 2>/dev/null)" \
    "[Service]"$'\n'"Environment=LIBVIRT_STORAGE_BACKEND_DIR=$folder"
done
copy=$tmp/root$folder/libvirt_storage_backend_logical.so link=$tmp/root$folder/virt-thin-backend.so
ok "the logical module is a copy of our shim" cmp "$copy" "$shim"
not_ok "no link, which would dangle without us" test -L "$copy"
is "what it loads is what is installed" "$tmp/root$(readlink "$link")" \
  "${shim%/*}/virt-thin-backend.so"
is "the others are libvirt's" "$(readlink "$tmp/root$folder/libvirt_storage_backend_fs.so")" \
  "$stock/libvirt_storage_backend_fs.so"
is "those that are not installed, too" \
  "$(readlink "$tmp/root$folder/libvirt_storage_backend_zfs.so")" \
  "$stock/libvirt_storage_backend_zfs.so"
is "and those we do not know" "$(readlink "$tmp/root$folder/libvirt_storage_backend_future.so")" \
  "$stock/libvirt_storage_backend_future.so"
is "each module that is installed here has a link" \
  "$(for f in "$stock"/libvirt_storage_backend_*.so; do
       [ ! -e "$f" ] || [ -L "$tmp/root$folder/$(basename "$f")" ] || [ "${f##*_}" = logical.so ] ||
         echo "$f"
     done)" ""
now=$(cd "$tmp/root" && find . | sort | md5)
ok "enable again" vt enable --root "$tmp/root"
is "changes nothing" "$(cd "$tmp/root" && find . | sort | md5)" "$now"
# An upgrade: another shim. And one from a version that linked it.
echo >>"$shim"; now=$(stat -c %i "$copy")
ok "enable after an upgrade" vt enable --if-enabled --root "$tmp/root"
ok "renews the copy" cmp "$copy" "$shim"
not_ok "in another file: libvirtd has the old one mapped" test "$(stat -c %i "$copy")" = "$now"
ln -sf "${shim#"$tmp/root"}" "$copy"; rm "$link"
ok "also where an earlier version has made a link" vt enable --if-enabled --root "$tmp/root"
ok "that is a copy now" cmp "$copy" "$shim"
attribute() { # getxattr|setxattr FILE [VALUE]
  python3 -c "import os, sys; file, *value = sys.argv[1:]
print((os.$1(file, 'security.selinux', *map(os.fsencode, value)) or b'').decode())" "${@:2}"
}
if attribute setxattr "$shim" system_u:object_r:lib_t:s0 2>/dev/null; then
  vt enable --root "$tmp/root"
  is "labelled for SELinux as the installed one" "$(attribute getxattr "$copy")" \
    system_u:object_r:lib_t:s0
else
  skip 1 "needs extended attributes of root's"
fi
ln -sf /opt/other/virt-thin-backend.so "$link"
ok "another installation's" vt disable --if-enabled --root "$tmp/root"
ok "stays" test -e "$copy"
: >"$copy.ABC123" # of an enable that was killed
: > "$tmp/root/etc/systemd/system/libvirtd.service.d/mine.conf"
ok "disable" vt disable --root "$tmp/root"
ok "another's drop-in stays" test -e "$tmp/root/etc/systemd/system/libvirtd.service.d/mine.conf"
rm -r "$tmp/root/etc/systemd/system"; rmdir "$tmp/root/etc/systemd" "$tmp/root/etc" 2>/dev/null
is "nothing else is left" "$(files)" "$before"
not_ok "not our folder" test -e "$tmp/root$folder"
ok "not enabled, nothing is renewed" vt enable --if-enabled --root "$tmp/root"
not_ok "or made" test -e "$tmp/root$folder"
ok "disable again" vt disable --root "$tmp/root"
if [ "$(id -u)" = 0 ]; then
  refused "a session is not root's" 1 "users without root" vt enable --session
else
  refused "the host is not a user's" 1 "root's to switch" vt enable
fi
refused "nor under another folder" 2 "no --root" vt enable --session --root "$tmp/root"
