#!/bin/bash
# virt-thin - pools written by the real kernel and lvm2, clean, crashed, full and damaged, each as
# the program must take it
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

image= before=
use() { # a fresh copy of a fixture; the last one is removed
  rm -f "$tmp"/*.img
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  image=$tmp/$1.img before=$(sparse_md5 "$image")
}
fx() { vt --device "$image" "$@"; }
unchanged() { is "$1: reading changed nothing" "$(sparse_md5 "$image")" "$before"; }
checked() {
  fx check --json pve/data 2>/dev/null |
    field "(d['ok'], len(d['errors']) > 0, len(d['leaks']) > 0)"
}
judged() {
  if [ "$(id -u)" = 0 ]; then
    ok "$1" "$top_srcdir/scripts/judge" --quiet "$image"
  else
    skip 1 "needs root"
  fi
}
# Each volume of 01-clean's table, but those named behind it.
volumes_whole() {
  local name sum _
  while read -r sum name _; do
    case " $2 " in *" $name "*) continue;; esac
    is "$1: $name is whole" "$(fx export "pve/$name" - 2>"$tmp/.err" | md5)" "$sum"
  done < "$fixtures/01-clean.md5"
}
# takes_writes NAME: open read-write, write and read back, close; the neighbours stay as they were.
takes_writes() {
  ok "$1: opens read-write" fx create pve/new --size 8m
  head -c 3m /dev/urandom > "$tmp/data"; truncate -s 8m "$tmp/data"
  ok "$1: takes writes" fx import "$tmp/data" pve/new
  is "$1: and gives them back" "$(fx export pve/new - | md5)" "$(md5 "$tmp/data")"
}
refuses() { # NAME REGEX...: read-write opening is refused with a message that matches each
  local name=$1 status=0 regex; shift
  run fx create pve/new --size 8m || status=$?
  is "$name: refused read-write" "$status" 1
  for regex; do like "$name: the message says $regex" "$err" "$regex"; done
}
plan 174

# --- whole ---
use 01-clean
is "clean: list" \
  "$(fx list --json pve | field "' '.join(sorted(v['name'] for v in d['volumes']))")" \
  "root snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2 vm-100-disk-0 vm-101-disk-1 vm-102-disk-0"
ok "clean: list --json is what its schema says" sh -c \
  "'$VIRT_THIN_PROGRAM' --device '$image' list --json |
    python3 '$top_srcdir/tests/integration/validate-json' '$top_srcdir/schemas/list.schema.json'"
is "clean: sizes" \
  "$(fx list --json pve | field "' '.join('%s=%d' % (v['name'], v['size'])
    for v in sorted(d['volumes'], key=lambda v: v['name']))")" \
  "$(sort -k2 "$fixtures/01-clean.md5" | LC_ALL=C sort -k2,2 |
    awk '{printf "%s%s=%s", s, $2, $3; s=" "}')"
is "clean: origins" \
  "$(fx list --json pve |
    field "' '.join('%s<%s' % (v['name'], v['origin']) for v in d['volumes'] if v['origin'])")" \
  "$(echo "snap_vm-100-disk-0_s1<vm-100-disk-0 snap_vm-100-disk-0_s2<vm-100-disk-0" \
    "vm-102-disk-0<snap_vm-100-disk-0_s1")"
is "clean: a linear volume has no pool" \
  "$(fx list --json pve | field "[v['pool'] for v in d['volumes'] if v['name'] == 'root'][0]")" null
volumes_whole clean
is "clean: check" "$(checked)" "(True, False, False)"
ok "clean: info" fx info pve
unchanged clean
takes_writes clean
volumes_whole "clean, written to"
judged "clean, written to: strangers accept it"

# --- crash points that LVM's protocol resolves ---
use 02-crash
is "crash: what was flushed survived" \
  "$(fx export pve/vm-200-disk-0 - 2>/dev/null | head -c 64M | md5)" \
  c89465d073e8ed045cd6ac040e015cfe
is "crash: the snapshot survived" \
  "$(fx export pve/snap_vm-200-disk-0_base - | md5)" a25e5972369cb8a37871d8868682d3be
is "crash: check" "$(checked | cut -d, -f1)" "(True"
unchanged crash
takes_writes crash
is "crash: what was flushed is still there" \
  "$(fx export pve/vm-200-disk-0 - 2>/dev/null | head -c 64M | md5)" \
  c89465d073e8ed045cd6ac040e015cfe
judged "crash: strangers accept it"
for name in 06-msg-pending 06-snap-made-tid-old 06-delete-msg-pending; do
  use $name
  ok "$name: list" fx list
  is "$name: check" "$(checked | cut -d, -f1)" "(True"
  sum=$(fx export pve/vm-500-disk-0 - | md5)
  unchanged $name
  takes_writes $name
  is "$name: the volume is as before" "$(fx export pve/vm-500-disk-0 - | md5)" "$sum"
  is "$name: check, written to" "$(checked)" "(True, False, False)"
  judged "$name: strangers accept it"
done
use 06-msg-pending
ok "06-msg-pending: opened read-write" fx create pve/new --size 4m
is "06-msg-pending: the snapshot under way was finished" \
  "$(fx export pve/snap_vm-500-disk-0_s1 - | md5)" "$(fx export pve/vm-500-disk-0 - | md5)"

# --- refused, the reason and the next step named; readable all the same ---
use 03a-tid-pool-ahead
refuses "ids apart" 'pve/data' 'transaction id' '9' '7'
volumes_whole "ids apart"
is "ids apart: check" "$(checked | cut -d, -f1,2)" "(False, True"
refused "ids apart: exit status of check" 1 '' fx check pve/data
unchanged "ids apart"
use 04a-needs-check
refuses "needs_check" 'pve/data' 'needs_check' 'thin_repair|thin_check|lvconvert|virt-thin check'
ok "needs_check: list" fx list
ok "needs_check: export" fx export pve/vm-400-disk-0 "$tmp/out"
is "needs_check: check" "$(checked | cut -d, -f1,2)" "(False, True"
unchanged "needs_check"

# --- damage ---
use 04b-damaged-leaf
refuses "damaged leaf" 'pve/data' '148'
volumes_whole "damaged leaf" vm-100-disk-0
refused "damaged leaf: export of the damaged volume" 1 \
  'bytes 0 to 201326591 of volume pve/vm-100-disk-0 are lost' fx export pve/vm-100-disk-0 "$tmp/out"
is "damaged leaf: what cannot be reached is a hole" "$(stat -c %s "$tmp/out")" 201326592
is "damaged leaf: check names block and range" \
  "$(fx check --json pve/data | field "any('148' in e and 'chunk' in e for e in d['errors'])")" true
refused "damaged leaf: exit status of check" 1 '' fx check pve/data
unchanged "damaged leaf"

# --- a leak harms nobody ---
use 04c-leaked-block
is "leak: check" "$(checked)" "(True, False, True)"
ok "leak: exit status of check" fx check pve/data
like "leak: it is named" "$(fx check pve/data)" 'chunk 1500'
unchanged leak
takes_writes leak
volumes_whole leak

# --- full ---
use 05a-out-of-data
others=$(fx check pve/data 2>/dev/null |
  grep -v -e 'thin device [0-9]* (.*) is known to no volume$' -e '^what can be mended')
is "full: check finds only the devices that dmsetup made" "$others" "pve/data: 28 errors, 0 leaks"
like "full: info says so" "$(fx info pve/data)" 'out of data space'
sum=$(fx export pve/vm-300-disk-0 - | md5)
unchanged full
ok "full: opens read-write" fx create pve/new --size 8m
head -c 1m /dev/urandom > "$tmp/data"
refused "full: a write that needs a chunk" 1 '[Ss]pace|full|chunk' fx import "$tmp/data" pve/new
is "full: the rest is whole" "$(fx export pve/vm-300-disk-0 - | md5)" "$sum"

# --- what holds the metadata is damaged ---
# Where things are in 01-clean (pvck --dump headers): text at 4096 + 77312; data_tmeta begins at
# extent 17 of pv0, whose first is at 1 MiB.
flip() {
  printf '\xff' | dd of="$image" bs=1 seek="$1" conv=notrunc status=none
  before=$(sparse_md5 "$image")
}
superblock=$(((1 << 20) + 17 * (4 << 20)))
use 01-clean; flip $((4096 + 77312 + 100))
refuses "text" '01-clean.img' 'text' 'checksum'
like "text: list uses the one before, and says so" \
  "$(fx list pve 2>&1 >/dev/null)" 'newest that can be read'
is "text: what came later is not in it" \
  "$(fx list --json pve 2>/dev/null | field "len(d['volumes'])")" 5
volumes_whole text root
is "text: check" "$(checked | cut -d, -f1,2)" "(False, True"
unchanged text
use 01-clean; flip 4100
refuses "metadata header" '01-clean.img' 'header'
ok "metadata header: list" fx list pve
is "metadata header: check" "$(checked | cut -d, -f1,2)" "(False, True"
unchanged "metadata header"
use 01-clean; flip $((superblock + 20))
refuses "superblock" 'pve/data' 'block 0' 'superblock'
ok "superblock: list" fx list pve
is "superblock: the linear volume is whole" \
  "$(fx export pve/root - | md5)" "$(awk '$2 == "root" { print $1 }' "$fixtures/01-clean.md5")"
refused "superblock: a thin volume is not" 1 'superblock' fx export pve/vm-101-disk-1 "$tmp/out"
is "superblock: check" "$(checked | cut -d, -f1,2)" "(False, True"
unchanged superblock
use 01-clean
dd if=/dev/zero of="$image" bs=4096 seek=$((superblock / 4096)) count=1 conv=notrunc status=none
before=$(sparse_md5 "$image")
refuses "superblock of zeros" 'pve/data' 'zero'
is "superblock of zeros: check" "$(checked | cut -d, -f1,2)" "(False, True"
refused "superblock of zeros: check says why" 1 'all zero.*overwritten' \
  sh -c "'$VIRT_THIN_PROGRAM' --device '$image' check pve/data >&2"
is "superblock of zeros: what is mapped is not known" \
  "$(fx list --json pve | field "[v['mapped'] for v in d['volumes'] if v['pool']]" | tr -d '[], ' |
    sed 's/None//g')" \
  ""
refused "superblock of zeros: export" 1 'all zero' fx export pve/vm-101-disk-1 "$tmp/out"
unchanged "superblock of zeros"
use 01-clean
dd if=/dev/zero of="$image" bs=512 seek=1 count=1 conv=notrunc status=none
before=$(sparse_md5 "$image")
refused "no label: read-write" 1 'label|physical volume|volume group' fx create pve/new --size 4m
refused "no label: check" 1 '' fx check pve/data
unchanged "no label"
use 01-clean
truncate -s 100m "$image"; before=$(sparse_md5 "$image")
refused "truncated: read-write" 1 '01-clean.img' fx create pve/new --size 4m
refused "truncated: check" 1 '' fx check pve/data
refused "truncated: what lay behind the cut is lost, and named" 1 \
  'bytes 0 to 8388607 of volume pve/root are lost' fx export pve/root "$tmp/out"
unchanged "truncated"
truncate -s 1024 "$image"; before=$(sparse_md5 "$image")
refused "truncated to the label: read-write" 1 'ends at offset 1024.*truncated' \
  fx create pve/new --size 4m
is "truncated to the label: check" "$(checked | cut -d, -f1,2)" "(False, True"
unchanged "truncated to the label"

# --- through a service ---
if can_serve; then
  use 01-clean
  ok "served: serve" fx serve pve
  is "served: list" "$(fx list --json pve | field "len(d['volumes'])")" 6
  volumes_whole served
  is "served: check" "$(checked)" "(True, False, False)"
  ok "served: stop" vt stop pve
  use 03a-tid-pool-ahead
  refused "served: ids apart" 1 'transaction id' fx serve pve
  unchanged "served: ids apart"
else
  skip 12 "needs root and /dev/fuse"
fi
