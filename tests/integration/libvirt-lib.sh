# virt-thin - a libvirt of a test's own: its files, its daemons, its storage backend
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it first (it sources lib.sh). The test is run again as the first process of a mount and
# process namespace of its own, in which private folders lie over libvirt's; so no test sees
# another's libvirt or the host's, `virsh` needs no URI, and whatever is started goes when the test
# ends.
#   libvirt_start [VAR=VALUE...]   starts virtlogd and libvirtd, with our shim among links to the
#                                  stock backends ($backends)
#   libvirt_stop                   ends libvirtd alone          libvirt_restart [VAR=VALUE...]
# $vg is a volume group's name that nobody else uses. $log is what libvirtd said.
#
# The tests are run on both engines (tests/vm/kernel-suite.sh): virt-thin's own, in files, with a
# service for each volume group; and the kernel's, on loop devices over such files.
#   disk FILE SIZE                     a disk of SIZE, in FILE; prints its path
#   new_vg VG/POOL SIZE [OPTION...]    a volume group with a thin pool, by `virt-thin init`, on such
#                                      a disk
#   pv_file VG                         its file
#   at_rest VG                         as after a boot: nobody has VG        is_at_rest VG
#   behind COMMAND ARGUMENT...         `virt-thin COMMAND`, which does not see that libvirt runs
#   has_service                        what follows is about a service
#   without_service N                  skips N tests that are

if [ "$(id -u)" != 0 ]; then echo "1..0 # SKIP needs root"; exit 0; fi
for program in libvirtd virtlogd; do
  if [ ! -x /usr/sbin/$program ]; then echo "1..0 # SKIP needs $program"; exit 0; fi
done
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/private-libvirt"
if [ -z "${VIRT_THIN_TEST_NAMESPACE-}" ]; then
  if ! "${private_libvirt_namespaces[@]}" true 2>/dev/null; then
    echo "1..0 # SKIP needs mount and process namespaces"; exit 0
  fi
  export VIRT_THIN_TEST_NAMESPACE=1 virt_thin_test_mounts=own
  exec "${private_libvirt_namespaces[@]}" bash "$0" "$@"
fi
unset VIRT_THIN_TEST_NAMESPACE
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

backends=$tmp/backends log=$tmp/libvirtd.log
modules=$top_builddir/src/libvirt/.libs
stock_backends=$(pkg-config --variable=libdir libvirt 2>/dev/null ||
  echo /usr/lib/x86_64-linux-gnu)/libvirt/storage-backend
vg=vt$(head -c 5 /dev/urandom | od -An -tx1 | tr -d ' \n')
export VIRT_THIN_RUNTIME_DIR=$tmp/run VIRT_THIN_STATE_DIR=$tmp/state \
  VIRT_THIN_CONFIG=$tmp/virt-thin.conf VIRT_THIN_PROGRAM=$top_builddir/virt-thin
export LIBVIRT_DEFAULT_URI=qemu:///system LC_ALL=C
# virt-install and virt-clone keep a cache and a log in the home folder.
export HOME=$tmp/home
: >"$VIRT_THIN_CONFIG"
mkdir -p "$HOME" "$VIRT_THIN_STATE_DIR" "$VIRT_THIN_RUNTIME_DIR"

# A backend built with AddressSanitizer needs its library in libvirtd first.
sanitizer=()
if nm -D "$modules/virt-thin-backend.so" 2>/dev/null | grep -q __asan_init; then
  sanitizer=(LD_PRELOAD="$(${CC:-gcc} -print-file-name=libasan.so)"
    ASAN_OPTIONS=detect_leaks=0:log_path="$tmp/asan")
fi

libvirtd_answers() { virsh uri; }
libvirt_start() {
  mountpoint -q /run/libvirt || {
    private_libvirt_folders "$tmp/root"
    private_libvirt_backends "$backends" "$modules/libvirt_storage_backend_logical.so"
  }
  private_libvirt_start "$backends" "$log" "${sanitizer[@]}" "$@"
}
libvirt_stop() { private_libvirt_stop; }
libvirt_restart() { libvirt_stop; libvirt_start "$@"; }

has_service() { [ "$test_engine" = bundled ]; }
without_service() { skip "$1" "the kernel's: there is no service"; }
disk() {
  truncate -s "$2" "$1" || return 1
  if has_service; then echo "$1"; else losetup --find --show "$1"; fi
}
# Not in the state folder for the kernel's: what is there is for the bundled engine.
pv_file() { if has_service; then echo "$VIRT_THIN_STATE_DIR/$1.img"; else echo "$tmp/$1.pv"; fi; }
new_vg() {
  local device
  device=$(disk "$(pv_file "${1%/*}")" "$2") &&
    "$VIRT_THIN_PROGRAM" init "$1" --file "$device" "${@:3}"
}
at_rest() { if has_service; then "$VIRT_THIN_PROGRAM" stop "$1"; else vgchange -qq -an "$1"; fi; }
behind() {
  unshare --mount sh -c 'mount -t tmpfs none /run/libvirt && exec "$@"' sh "$VIRT_THIN_PROGRAM" "$@"
}
is_at_rest() {
  if has_service; then
    [ ! -e "$VIRT_THIN_RUNTIME_DIR/$1/control" ]
  else
    ! dmsetup ls | grep "^$1-"
  fi
}

# The namespaces take processes and mounts along, but not loop devices: those go with the service,
# in an orderly way while it can, or with the kernel's volume group.
libvirt_teardown() {
  local domain device file group
  grep -h -A 30 ERROR: "$tmp"/asan.* >&3
  if libvirtd_answers; then
    for domain in $(virsh list --name); do virsh destroy "$domain"; done
  fi
  libvirt_stop
  for file in "$VIRT_THIN_RUNTIME_DIR"/*/lock; do
    [ ! -e "$file" ] ||
      timeout 20 "$VIRT_THIN_PROGRAM" stop --force "$(basename "$(dirname "$file")")"
  done
  losetup --noheadings --raw --list -O NAME,BACK-FILE | while read -r device file; do
    case $file in "$tmp"/*)
      has_service || for group in $(pvs --noheadings -o vg_name "$device"); do
        vgremove -ff -y "$group"
      done
      losetup -d "$device";;
    esac
  done
  kill "$(cat /run/libvirt/virtlogd.pid)"
  umount -l "$VIRT_THIN_RUNTIME_DIR"/*/volumes
  rmdir "/dev/$vg"
}
at_exit 'libvirt_teardown 3>&2 >/dev/null 2>&1'

# A thin pool "thin" on $vg/data, in one sparse file of SIZE.
thin_pool() {
  new_vg "$vg/data" "$1" && virsh pool-define-as thin logical --source-name "$vg/data" &&
    virsh pool-start thin
}
