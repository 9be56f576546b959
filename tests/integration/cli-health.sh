#!/bin/bash
# virt-thin - how a thin pool is: list, info, check, storage status say the same, what is not known
# is not 0, and what a message advises leads out
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

devices=() vg=pve
fx() { vt "${devices[@]}" "$@"; }
use() { # a fresh copy of a fixture
  rm -f "$tmp"/*.img
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  on "$tmp/$1"*.img
}
on() { # FILE...: where the volume group is from now on
  local file
  devices=()
  for file; do devices+=(--device "$file"); done
}
info() { fx info --json "$vg/data" 2>/dev/null | field "d['pool']['$1']"; }
cfg() { printf 'lvmthin: thin\n\tvgname %s\n\tthinpool data\n' "$vg" >"$tmp/storage.cfg"; }
status() { cfg; vt storage status --config "$tmp/storage.cfg" "${devices[@]}" "$@"; }
times() { grep -cF -- "$1" <<<"$2"; }

# same NAME OK REGEX: everybody says the same; OK: has the check no error?
same() {
  local name=$1 want=$2 health; shift 2
  health=$(info health)
  like "$name: info --json" "$health" "$1"
  like "$name: info" "$(fx info "$vg/data" 2>/dev/null | sed -n 's/^health  *//p')" "$1"
  is "$name: list warns" "$(times "$vg/data: $health" "$(fx list "$vg/data" 2>&1 >/dev/null)")" 1
  is "$name: check" "$(fx check --json "$vg/data" 2>/dev/null |
    field "'%s %s' % (d['ok'], d['health'])")" "$want $health"
  is "$name: storage status --json" \
    "$(status --json 2>/dev/null | field "d['storages'][0]['health']")" "$health"
  is "$name: storage status warns" "$(times "$health" "$(status 2>&1 >/dev/null)")" 1
  is "$name: storage status -v says it once" "$(times "$health" "$(status -v 2>&1)")" 1
}
well() {
  is "$1: all is well" \
    "$(info health) $(fx list "$vg/data" 2>&1 >/dev/null)$(fx check --json "$vg/data" |
      field "d['ok']") $(status --json | field "d['storages'][0]['health']")" "null true well"
}
plan 95

use 01-clean
well "a clean pool"

# --- a physical volume is missing ---
use 07-three-pvs
well "three physical volumes"
devices=("${devices[@]:0:2}" "${devices[@]:4}")
same "one is missing" False "physical volume pv1 .* missing"
# It lies on pv0 and pv1; what is missing of the volume group is told of it, too.
like "the volume group, too" "$(fx info --json pve | field "d['volume_group']['health']")" \
  "^physical volume pv1 .* is missing$"
like "and in words" "$(fx info pve | sed -n 's/^health  *//p' | head -n 1)" " is missing$"
ok "info --json is what its schema says" valid info <<<"$(fx info --json pve)"
ok "check --json as well" valid check <<<"$(fx check --json pve/data)"

# --- full, and more ---
use 05a-out-of-data
same "full, with strays" False "^out of data space; it has 28 thin devices"
use 15-lost-device
same "a device is lost" False "^volume vm-2-disk-0: its thin device 3 is not in the pool$"

# --- what is not known is not 0 ---
for fixture in 12-raid-metadata 16-pvmove; do
  use $fixture
  is "$fixture: usage is not known" "$(info used) $(info metadata_used)" "null null"
  ok "$fixture: info --json is what its schema says" valid info <<<"$(fx info --json pve 2>&1)"
  is "$fixture: nor in words" "$(fx info pve/data | grep -c '^\(meta\)\?data  *not known, of ')" 2
  like "$fixture: storage status" "$(status 2>/dev/null)" \
    'thin +lvmthin +active +[0-9]+ +unknown +unknown +unknown$'
  is "$fixture: storage status --json" \
    "$(status --json | field "[d['storages'][0][k] for k in ('used', 'avail')]")" "[None, None]"
  ok "$fixture: which is what its schema says" valid storage-status <<<"$(status --json)"
  like "$fixture: nor is it well" "$(info health)" '^not known: '
done

# --- text and pool are not of one time: what the message advises leads out ---
vg=te image=$tmp/te.img
can_restore() { [ "$(id -u)" = 0 ] && command -v vgcfgrestore >/dev/null; }
make() { # a pool of 40 MiB with a volume
  rm -f "$tmp"/*.img "$tmp"/before*
  on "$image"
  vt init te/data --file "$image" --size 200m --reserve 100m >/dev/null
  fx create te/vm-1-disk-0 --size 32m
  head -c 2m /dev/urandom >"$tmp/data"; truncate -s 32m "$tmp/data"
  fx import "$tmp/data" te/vm-1-disk-0
  cp --sparse=always "$image" "$tmp/before"
  can_restore || return 0
  lvm_attach "$image"
  lvm2 pvck --dump metadata -f "$tmp/before.vg" "${lvm_loops[0]}" >/dev/null
  lvm_detach
}
old_pool() { dd if="$tmp/before" of="$image" bs=1M skip=1 seek=1 conv=notrunc status=none; }
old_text() { # as whoever cannot be told restores it; without lvm2, the first MiB of the disk
  can_restore || { dd if="$tmp/before" of="$image" bs=1M count=1 conv=notrunc status=none; return; }
  lvm_attach --writable "$image"
  lvm2 vgcfgrestore --force -f "$tmp/before.vg" te >/dev/null 2>&1
  lvm_detach
}
# Do as the message in $err says: it puts back the last text that matches.
restore() {
  local advice
  advice=$(grep -o 'virt-thin repair te/data' <<<"$err")
  ok "$advice" fx ${advice#virt-thin } --yes
  like "and then there is nothing to mend" "$(fx repair te/data --dry-run)" 'nothing to mend'
  well "and then"
  is "the volume is whole" "$(fx export te/vm-1-disk-0 - | md5)" "$(md5 "$tmp/data")"
}
refuses() { # REGEX
  refused "and nothing is changed in it" 1 "^virt-thin: thin pool te/data: $1: .*virt-thin repair te/data" \
    fx create te/x --size 4m
}

make
fx snapshot te/vm-1-disk-0 a
old_pool
same "the text is one transaction ahead" False "^transaction id is 1, expected 2$"
refuses "transaction id is 1, expected 2"
restore

make
fx snapshot te/vm-1-disk-0 a
old_text
same "the pool is ahead" False "^transaction id is 2, expected 1$"
refuses "transaction id is 2, expected 1"
restore

make
fx resize te/data +20m
old_text
same "the text gives the data less" False \
  "^its metadata counts on 92.00 MiB of data, the volume group's text gives it 72.00 MiB$"
refuses "its metadata counts on 92.00 MiB of data, .*"
restore

# --- needs_check ---
vg=pve
use 04a-needs-check
same "needs_check" False "^metadata read-only: needs_check$"
run fx create pve/x --size 4m || :
command=$(grep -oE 'virt-thin check --clear-needs-check pve/data' <<<"$err")
ok "the message says how to clear it" fx ${command#virt-thin }
well "and then"

# --- full ---
vg=full image=$tmp/full.img
on "$image"
vt init full/data --file "$image" --size 64m >/dev/null
fx create full/vm-1-disk-0 --size 100m
head -c 100m /dev/urandom >"$tmp/data"
refused "a full pool" 1 'free some or extend the pool$' fx import "$tmp/data" full/vm-1-disk-0
same "full" True "^out of data space$"
fx extend full "$tmp/more.img" --size 200m
on "$image" "$tmp/more.img"
fx resize full/data +100m
well "extended"
