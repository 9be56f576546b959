#!/bin/bash
# virt-thin - a physical volume in a partition of a disk's image, or in an image of another format:
# it is told where, and how it is got at, and that way is gone
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
[ "$(id -u)" = 0 ] && command -v sfdisk >/dev/null || skip_all "needs root and sfdisk"
probe=$tmp/loop.img; truncate -s 1m "$probe"
loop=$(losetup --find --show "$probe" 2>/dev/null) || skip_all "needs a loop device"
losetup -d "$loop"
plan 18

# As an installer would: for the firmware, for /boot, and for LVM.
disk() { # FILE LABEL TABLE...: a disk; the last partition has pve in it
  local file=$1 label=$2; shift 2
  truncate -s 300m "$file"
  printf '%s\n' "label: $label" "$@" | sfdisk -q "$file"
  read -r start size < <(sfdisk --json "$file" |
    field "'{start} {size}'.format(**d['partitiontable']['partitions'][-1])")
  truncate -s $((size * 512)) "$tmp/pv.img"
  vt --device "$tmp/pv.img" init pve/data --size $((size * 512))b
  vt --device "$tmp/pv.img" create pve/vm-100-disk-0 --size 8m
  dd if="$tmp/pv.img" of="$file" bs=1M seek=$((start / 2048)) conv=notrunc,sparse status=none
  rm "$tmp/pv.img"
}
told() { run vt --device "$1" "${@:2}"; echo "$? $err"; }
loop=
at_exit '[ -z "$loop" ] || losetup -d "$loop"'
by_the_way_told() { # FILE: as the message says
  loop=$(eval "$(told "$1" list | grep -o 'losetup --find --show --offset [0-9]* --sizelimit [0-9]* [^ ]*')")
}

try() { # WHAT NUMBER: of $tmp/disk.img
  local sum
  like "$1: the partition is told" "$(told "$tmp/disk.img" list)" \
    "^1 .*partition $2 of $tmp/disk.img is a physical volume: losetup --find --show --offset "
  like "$1: to who asks for the volume group, too" "$(told "$tmp/disk.img" info pve)" \
    "no volume group pve on .*: partition $2 of $tmp/disk.img is a physical volume: losetup"
  sum=$(md5 "$tmp/disk.img")
  ok "$1: the way" by_the_way_told "$tmp/disk.img"
  is "$1: leads there" "$(vt --device "$loop" list pve --json | field "d['volumes'][0]['name']")" \
    vm-100-disk-0
  is "$1: nothing was changed" "$(md5 "$tmp/disk.img")" "$sum"
  ok "$1: where volumes can be made" vt --device "$loop" create pve/vm-101-disk-0 --size 8m
  losetup -d "$loop"; loop=
}
disk "$tmp/disk.img" gpt 'size=1M, type=21686148-6449-6E6F-744E-656564454649' 'size=64M' \
  'type=E6D6D379-F507-44C2-A23C-238F2A3DF928'
try GPT 3
refused "it is not erased for another" 1 'carries gpt partitions' \
  vt init other/data --file "$tmp/disk.img"
cp --sparse=always "$tmp/disk.img" "$state/whole.img"
like "it is told of what lies in the usual folder" "$(run vt list; echo "$? $err")" \
  "0 .*partition 3 of $state/whole.img is a physical volume"
rm "$state/whole.img"
rm "$tmp/disk.img"
disk "$tmp/disk.img" dos 'size=16M, type=83' 'type=5' "$tmp/disk.img5 : type=8e"
try "an MS-DOS table, a logical partition" 5
if command -v qemu-img >/dev/null; then
  qemu-img convert -O qcow2 "$tmp/disk.img" "$tmp/disk.qcow2"
  like "an image of another format" "$(told "$tmp/disk.qcow2" list)" \
    "disk.qcow2 is a qcow2 image: .* qemu-img convert -O raw $tmp/disk.qcow2"
  qemu-img convert -O raw "$tmp/disk.qcow2" "$tmp/raw.img"
  like "leads on from there" "$(told "$tmp/raw.img" list)" "partition 5 of"
else
  skip 2 "needs qemu-img"
fi
mkfs=$(command -v mkfs.ext4)
[ -z "$mkfs" ] || { truncate -s 8m "$tmp/fs.img"; "$mkfs" -q "$tmp/fs.img"; }
truncate -s 8m "$tmp/fs.img"
like "what is nothing of this" "$(told "$tmp/fs.img" list)" "fs.img is no physical volume"
truncate -s 300m "$tmp/empty.img"
echo 'size=64M' | sfdisk -q "$tmp/empty.img"
like "nor a disk without" "$(told "$tmp/empty.img" list)" "empty.img is no physical volume"
