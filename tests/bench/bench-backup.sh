#!/bin/bash
# virt-thin - full backups of a guest's disk, by virt-thin and by virtnbdbackup, in turns
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: bench-backup.sh PROGRAM VG/LV DISK ROUNDS      DISK: the file of volume VG/LV
# prints, for each round: seconds of ours, seconds of virtnbdbackup's
# The guest is paused, in a libvirt of its own. Everything lies in $TMPDIR.
set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "$0")/../../scripts/private-libvirt"
if [ -z "${BENCH_NAMESPACE-}" ]; then
  export BENCH_NAMESPACE=1
  # Whoever serves the volume is to be seen: no process namespace.
  exec unshare --mount --propagation slave bash "$0" "$@"
fi
program=$1 volume=$2 disk=$3 rounds=$4
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-backup.XXXXXX")
end() {
  virsh -q destroy bench || true
  private_libvirt_stop
  kill "$(cat /run/libvirt/virtlogd.pid)" || true
  rm -rf "$work"
} >&2
trap end EXIT
export LIBVIRT_DEFAULT_URI=qemu:///system
private_libvirt_folders "$work/root"
mkdir "$work/backends"
private_libvirt_start "$work/backends" "$work/libvirtd.log" ||
  { cat "$work/libvirtd.log" >&2; exit 1; }
cat >"$work/guest.xml" <<XML
<domain type='qemu'><name>bench</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$disk'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
XML
virsh -q define "$work/guest.xml" >&2
virsh -q start bench --paused >&2

seconds() { # COMMAND...: how long it takes
  local from=$EPOCHREALTIME to
  "$@" >&2
  to=$EPOCHREALTIME
  awk "BEGIN { printf \"%.3f\", $to - $from }"
}
for _ in $(seq "$rounds"); do
  ours=$(seconds "$program" backup "$volume" "$work/ours")
  theirs=$(seconds virtnbdbackup -n -S "$work" -d bench -l copy --raw -o "$work/theirs")
  rm -r "$work/ours" "$work/theirs"
  echo "$ours $theirs"
done
