#!/bin/bash
# virt-thin - installed, enabled, upgraded, removed, with and without `disable`: libvirtd comes up,
# and libvirt's own backend serves where ours is gone
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/libvirt-lib.sh"
has_service || skip_all "needs this build's folder"

# The folders of the system, but what is written there is this test's own, and goes with it.
mkdir "$tmp/layers" && mount -t tmpfs layers "$tmp/layers"
at_exit 'umount -l "$tmp/layers"'
private_folder() {
  local layer=$tmp/layers/${1//\//-}
  mkdir "$layer" "$layer.work" &&
    mount -t overlay -o "lowerdir=$1,upperdir=$layer,workdir=$layer.work" overlay "$1"
}
for folder in /usr /etc /var/lib; do
  private_folder $folder 2>/dev/null || skip_all "needs overlay file systems"
done
setting=$(strings -a "$VIRT_THIN_PROGRAM" | grep -m1 virt-thin-libvirt)
case $setting in /var/lib/*) ;; *) skip_all "this build's folder is not in /var/lib";; esac
program=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")/bin/virt-thin
shim=$setting/libvirt_storage_backend_logical.so
plan 38

# As systemd would, by the drop-in. libvirtd starts a service by the program that is installed.
daemon() {
  local drop_in=/etc/systemd/system/libvirtd.service.d/50-virt-thin.conf
  local variable=LIBVIRT_STORAGE_BACKEND_DIR folder
  folder=$(sed -n "s/^Environment=$variable=//p" $drop_in 2>/dev/null)
  private_libvirt_stop
  private_libvirt_start "${folder:-$stock_backends}" "$log" "${sanitizer[@]}" \
    VIRT_THIN_PROGRAM="$program"
}
# Written in the system's folders, by whomever: lvm2 archives what it sees.
installed_files() {
  (cd "$tmp/layers" && find ./-usr ./-etc ./-var-lib -not -type d -path '*virt[-_]thin*' | sort)
}
in_make() { make -s -C "$top_builddir" "$@"; }
pools_work() {
  ok "VG/POOL works $1" virsh pool-start thin
  ok "and stops" virsh pool-destroy thin
  plain_works "$1"
}
no_vg="cannot find logical volume group name"
plain_works() {
  like "VG is the stock backend's $1" "$(virsh pool-start thick 2>&1)" "$no_vg '$vg-thick'\$"
}
refused_clearly() {
  like "VG/POOL is refused, and by whom it is served said" "$(virsh pool-start thin 2>&1)" \
    "'$vg/data': this is a thin pool of virt-thin, which is not loaded"
}

private_libvirt_folders "$tmp/root"
new_vg "$vg/data" 64m >/dev/null
before=$(installed_files)
ok "install" in_make install
not_ok "switches nothing over" test -e "$setting"
like "enable says what it did, and that no daemon runs" "$("$program" enable 2>&1)" \
  "^libvirt's storage backends are those in $setting, by drop-ins .*|^neither .* runs"
like "without systemd, what to set" "$("$program" enable 2>&1)" \
  "systemd does not run here: .* sets LIBVIRT_STORAGE_BACKEND_DIR=$setting in its environment"
private_libvirt_start "$stock_backends" "$log"
daemon_pid() { cat /run/libvirt/libvirtd.pid; }
like "a libvirtd outside systemd is named, and what to set" "$("$program" enable 2>&1)" \
  "libvirtd .pid $(daemon_pid). runs outside systemd.*, with LIBVIRT_STORAGE_BACKEND_DIR=$setting"
ok "libvirtd starts" daemon
like "then it has them" "$("$program" enable 2>&1)" "^libvirtd .pid $(daemon_pid). has them"
virsh pool-define-as thin logical --source-name "$vg/data" >/dev/null
virsh pool-define-as thick logical --source-name "$vg-thick" >/dev/null
pools_work "when enabled"

# An upgrade while libvirtd runs.
echo >>"$shim"
maps=$(grep -c "$shim" "/proc/$(cat /run/libvirt/libvirtd.pid)/maps")
said=$(in_make install 2>&1)
like "an upgrade says who has to be restarted" "$said" "until it is restarted"
ok "renews the copy of the shim" cmp "$shim" "$modules/libvirt_storage_backend_logical.so"
ok "libvirtd that runs has the old one" test "$maps" -gt 0
pools_work "before libvirtd is restarted"
daemon
pools_work "after it"

# A package that is gone without `disable`, while libvirtd runs and after it was started again.
rm -r "$program" "$(dirname "$(readlink "$setting/virt-thin-backend.so")")"
plain_works "when the files are gone"
ok "libvirtd starts without them" daemon
plain_works "still"
refused_clearly
is "other types of pools are there" \
  "$(virsh pool-capabilities | grep -c "type='dir' supported='yes'")" 1
virsh pool-build thin --overwrite 2>/dev/null; virsh pool-delete thin 2>/dev/null
ok "installed again" in_make install
ok "libvirtd starts" daemon
pools_work "again"

# Not what another prefix is switched over to.
in_make uninstall prefix="$tmp/elsewhere" DESTDIR="$tmp/elsewhere" >/dev/null 2>&1
ok "uninstall under another root leaves it" test -e "$shim"
like "uninstall says who has to be restarted" "$(in_make uninstall 2>&1)" \
  "libvirtd .pid $(daemon_pid). .*until it is restarted, without LIBVIRT_STORAGE_BACKEND_DIR"
plain_works "uninstalled"
is "nothing is left" "$(installed_files)" "$before"
ok "libvirtd starts" daemon
plain_works "of libvirt alone"
like "VG/POOL is nobody's" "$(virsh pool-start thin 2>&1)" "$no_vg '$vg/data'\$"

# A folder that nothing can be run from: libvirtd would not start.
mount -t tmpfs -o noexec noexec "$(dirname "$setting")"
in_make install
like "not where modules cannot be loaded" "$("$program" enable 2>&1)" "noexec"
ok "nothing is changed then" test ! -e "$setting" -a ! -e /etc/systemd/system/libvirtd.service.d
umount "$(dirname "$setting")"
