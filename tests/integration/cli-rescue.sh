#!/bin/bash
# virt-thin - volumes out of pools that do not open: damaged, wiped, cut to pieces; nothing of them
# is written to
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 97

export LVM_SYSTEM_DIR=$tmp/lvm
mkdir -p "$LVM_SYSTEM_DIR"/{archive,backup}
cd "$tmp" || exit 1
devices=() before=
fx() { vt "${devices[@]}" rescue "$@"; }
on() { # FILE...: where the volume group is from now on
  local file
  devices=()
  for file; do devices+=(--device "$file"); done
  before=$(sparse_md5 "$@") images=("$@")
}
use() { # fresh copies of a fixture's PVs
  rm -f "$tmp"/*.img
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  on "$tmp/$1"*.img
}
changed() { before=$(sparse_md5 "${images[@]}"); } # by this test
unchanged() { is "$1: nothing was written to it" "$(sparse_md5 "${images[@]}")" "$before"; }
known() { awk -v name="$2" '$2 == name { print $1 }' "$fixtures/$1.md5"; }
whole() { # DESCRIPTION FIXTURE VOLUME [OPTION...]
  local description=$1 fixture=$2 volume=$3 status=0; shift 3
  run fx "pve/$volume" rescued.raw "$@" || status=$?
  is "$description: $volume: status" "$status" 0
  is "$description: $volume" "$(md5 rescued.raw)" "$(known "$fixture" "$volume")"
}
wipe() { # FILE OFFSET LENGTH
  dd if=/dev/zero of="$1" bs=64K oflag=seek_bytes iflag=count_bytes seek="$2" count="$3" \
    conv=notrunc status=none
}
flip() { # FILE OFFSET
  python3 - "$1" "$2" <<'PYTHON'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
byte = os.pread(fd, 1, int(sys.argv[2]))
os.pwrite(fd, bytes([byte[0] ^ 1]), int(sys.argv[2]))
PYTHON
}
metadata_at() { # where the metadata volume of a fixture with one PV begins
  vgtext | python3 -c '
import re, sys
text = sys.stdin.read()
start = int(re.search(r"pe_start = (\d+)", text)[1]) * 512
extent = int(re.search(r"extent_size = (\d+)", text)[1]) * 512
lv = text[text.index("data_tmeta {"):]
print(start + extent * int(re.search(r"\"pv0\", (\d+)", lv)[1]))'
}
# same_but_lost MAP RESCUED WHOLE: what ddrescue reads out of the map to be lost is zero, the rest
# equal.
same_but_lost() {
  ddrescuelog --list-blocks=- "$1" >lost.blocks && ddrescuelog --list-blocks=+ "$1" >read.blocks &&
    python3 - "$2" "$3" <<'PYTHON'
import sys
rescued, whole = open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read()
lost = [int(line) for line in open("lost.blocks")]
read = [int(line) for line in open("read.blocks")]
assert len(rescued) == len(whole) and len(lost) + len(read) == len(whole) // 512
for n in lost:
    assert not rescued[n * 512 : n * 512 + 512].strip(b"\0"), n
for n in read:
    assert rescued[n * 512 : n * 512 + 512] == whole[n * 512 : n * 512 + 512], n
PYTHON
}
vgtext() { "$top_builddir/tests/integration/lvm-tool" show "${images[@]}"; }

# --- a pool that is whole ---
use 01-clean
for name in vm-100-disk-0 snap_vm-100-disk-0_s1 root; do
  whole "whole" 01-clean "$name" --map map
done
ok "sparse" test "$(blocks rescued.raw)" -le 8192
is "a map without losses" "$(sed -n '$p' map)" "0x00000000  0x00800000  +"
is "to standard output" "$(fx pve/vm-101-disk-1 - | md5)" "$(known 01-clean vm-101-disk-1)"
is "by the number of its device" "$(fx pve/data - --dev-id 2 --size 64m | md5)" \
  "$(known 01-clean vm-101-disk-1)"
ok "hidden volumes, too" fx pve/data_tmeta meta
ok "as thin_check takes them" thin_check -q meta
is "by a copy of the metadata" "$(fx pve/vm-100-disk-0 - --metadata meta | md5)" \
  "$(known 01-clean vm-100-disk-0)"
vt dump --metadata meta >dump.xml
is "by a dump of it" "$(fx pve/vm-100-disk-0 - --dump dump.xml | md5)" \
  "$(known 01-clean vm-100-disk-0)"
head -c 2000 dump.xml >half.xml
refused "by half a dump" 1 'half.xml' fx pve/vm-100-disk-0 x --dump half.xml
like "texts are listed" "$(fx --list-texts pve/vm-100-disk-0)" '^ *24 .* 1/1 .*committed .*01-clean'
is "all that are left" "$(fx --list-texts pve | grep -c ' left over ')" 23
like "roots are listed" "$(fx --list-roots pve/vm-100-disk-0)" \
  "^ *1 +1038 +1040 +4 +3 +5 .*whole, the superblock's"
like "with devices that are removed since" "$(fx --list-roots pve/data)" '1031 +1033 +5 +3 +6 '
is "older roots" "$(fx pve/vm-100-disk-0 - --root 2 2>/dev/null | md5)" \
  "$(known 01-clean vm-100-disk-0)"
is "by their block" "$(fx pve/vm-100-disk-0 - --root @1038 2>/dev/null | md5)" \
  "$(known 01-clean vm-100-disk-0)"
ok "a device that was removed" fx pve/data - --dev-id 6 --root @1031
refused "which is no more" 1 'no thin device 6.*--list-roots' fx pve/data x --dev-id 6
refused "a volume that an older text has" 1 'its text of seqno [0-9]+ has: --text' \
  fx pve/vm-103-disk-0 x
unchanged "whole"

# --- what is refused ---
refused "a pool" 1 'name a volume of it' fx pve/data x
vgtext | sed 's/thin_pool = "data"/thin_pool = "root"/' >odd.vg
refused "a volume in a pool that is none" 1 'pve/root is no thin pool' \
  fx pve/vm-100-disk-0 x --text odd.vg
refused "a volume that never was" 1 'nor had it in any text' fx pve/nope x
refused "a seqno that is not left, nor a file" 1 'No such file' fx pve/root x --text 99
refused "a physical volume as FILE" 1 'is a physical volume' fx pve/root "${images[0]}"
refused "or as map" 1 'is a physical volume' fx pve/root x --map "${images[0]}"
refused "roots that are none" 1 'no root of the devices' fx pve/vm-100-disk-0 x --root @5
refused "roots beyond the list" 1 'there are [0-9]+ pairs' fx pve/vm-100-disk-0 x --root 99
refused "roots in no form" 2 'a number in the list' fx pve/vm-100-disk-0 x --root y
refused "a volume group that is not there" 1 'no text of volume group' fx nope/x x
ok "no image is left of that" test ! -e x

# --- text and pool apart; needs_check; a power cut ---
use 03a-tid-pool-ahead
whole "apart" 01-clean vm-101-disk-1
unchanged "apart"
use 02-crash
is "power cut: what was flushed" "$(fx pve/vm-200-disk-0 x && head -c 64M x | md5)" \
  c89465d073e8ed045cd6ac040e015cfe
is "power cut: a snapshot" "$(fx pve/snap_vm-200-disk-0_base - | md5)" \
  a25e5972369cb8a37871d8868682d3be
unchanged "power cut"

# --- a damaged leaf ---
use 04b-damaged-leaf
refused "a damaged leaf is named" 1 'bytes 0 to 201326591 .* block 148' \
  fx pve/vm-100-disk-0 lost.raw --map map
like "older roots are pointed to" "$err" 'was rescued without .* older roots may have more'
is "what is lost reads zero" "$(md5 lost.raw)" "$(head -c 192M /dev/zero | md5)"
is "a hole" "$(blocks lost.raw)" 0
whole "damaged leaf" 01-clean root
ok "older roots do not need it" fx pve/vm-100-disk-0 x --root 3
unchanged "damaged leaf"

# --- a damaged list of devices ---
use 10-history
wipe "${images[0]}" $(($(metadata_at) + 54 * 4096)) 4096
changed
refused "a damaged list of devices: an earlier commit" 1 \
  'vm-1-disk-0 was rescued as it was at an earlier commit .* since is not in the image' \
  fx pve/vm-1-disk-0 x
ok "roots that were asked for" fx pve/vm-1-disk-0 x --root 1
unchanged "a damaged list of devices"

# --- damaged maps ---
use 01-clean
cp meta maps
wipe maps $((1038 * 4096)) 4096
refused "damaged maps, and details that fit older ones: an earlier commit" 1 \
  'vm-100-disk-0 was rescued as it was at an earlier commit .* since is not in the image' \
  fx pve/vm-100-disk-0 x --metadata maps
wipe maps 0 4096
ok "no superblock, either" run fx pve/vm-100-disk-0 x --metadata maps
like "it may be of an earlier commit, and that is told" "$err" \
  'may be of an earlier commit .* written to thin device 1 since is not there'

# --- no superblock ---
use 01-clean
at=$(metadata_at)
wipe "${images[0]}" "$at" 4096
changed
whole "no superblock" 01-clean vm-100-disk-0
like "roots are told" "$err" 'roots in metadata blocks 1038 and 1040 are used'
whole "no superblock" 01-clean vm-101-disk-1
flip "${images[0]}" $((at + 148 * 4096 + 200))
changed
refused "no superblock and a damaged leaf" 1 'bytes 0 to 201326591' fx pve/vm-100-disk-0 x
whole "no superblock and a damaged leaf" 01-clean vm-101-disk-1
unchanged "no superblock"
truncate -s 8M empty
refused "no metadata at all" 1 'no roots of thin metadata are left' fx pve/vm-100-disk-0 x \
  --metadata empty
is "but a copy of it" "$(fx pve/vm-100-disk-0 - --metadata meta | md5)" \
  "$(known 01-clean vm-100-disk-0)"

# --- no text ---
use 01-clean
vgtext >newest
wipe "${images[0]}" 4096 512 # the area's header
changed
whole "no header of the text" 01-clean vm-100-disk-0
like "the text is told" "$err" 'taken as its text of seqno 24'
wipe "${images[0]}" 0 1048576
changed
refused "no label, no text" 1 'name its devices with --device, or a text with --text' \
  fx pve/vm-100-disk-0 x
whole "no label, a text in a file" 01-clean vm-100-disk-0 --text newest
like "the device is told" "$err" 'is taken for it'
cp newest "$LVM_SYSTEM_DIR/backup/pve"
whole "no label, lvm2's backup" 01-clean vm-101-disk-1
rm "$LVM_SYSTEM_DIR/backup/pve"
mkdir -p "$state/archive"
cp newest "$state/archive/pve_00007-1.vg"
whole "no label, our archive" 01-clean vm-101-disk-1
unchanged "no text"
rm -r "$state/archive"

# --- a physical volume that has been cut off, and a block device ---
use 01-clean
vt "${devices[@]}" export pve/vm-100-disk-0 whole.raw
if [ "$(id -u)" = 0 ] && loop=$(losetup --find --show "${images[0]}" 2>/dev/null); then
  at_exit '[ -z "$loop" ] || losetup -d "$loop"'
  is "a block device" "$(vt --device "$loop" rescue pve/vm-101-disk-1 - | md5)" \
    "$(known 01-clean vm-101-disk-1)"
  losetup -d "$loop"
  loop=
else
  skip 1 "no loop device"
fi
truncate -s 11M "${images[0]}"
changed
refused "cut off" 1 'bytes [0-9]+ to [0-9]+ .* has been truncated' \
  fx pve/vm-100-disk-0 rescued.raw --metadata meta --map map
ok "cut off: all but that is there" same_but_lost map rescued.raw whole.raw
ok "cut off: some of it" test -s read.blocks
unchanged "cut off"

# --- somebody has it ---
if can_serve; then
  use 01-clean
  vt "${devices[@]}" serve pve 2>/dev/null
  refused "a served one" 1 'is served, .* use virt-thin export' fx pve/root x
  is "which export takes" "$(vt export pve/root - | md5)" "$(known 01-clean root)"
  vt stop pve
  whole "stopped" 01-clean root
else
  skip 4 "cannot serve"
fi

# --- a physical volume is gone ---
use 07-three-pvs
while read -r sum name size; do
  is "three PVs: $name" "$(fx "pve/$name" - | md5)" "$sum"
done <"$fixtures/07-three-pvs.md5"
vgtext >newest
on "$tmp"/07-three-pvs.[12].img
n_lost=0
while read -r _ name size; do
  vt --device "$tmp/07-three-pvs.0.img" --device "$tmp/07-three-pvs.1.img" \
    --device "$tmp/07-three-pvs.2.img" export "pve/$name" whole.raw
  run fx "pve/$name" rescued.raw --map map --text newest || n_lost=$((n_lost + 1))
  ok "two of three PVs: $name" same_but_lost map rescued.raw whole.raw
done <"$fixtures/07-three-pvs.md5"
ok "two of three PVs: something is lost" test "$n_lost" -gt 0
like "the physical volume is told" "$err" 'bytes [0-9]+ to .* are lost: .*pv0.*is missing'
unchanged "two of three PVs"
