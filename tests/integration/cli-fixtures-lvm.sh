#!/bin/bash
# virt-thin - volume groups that lvm2 can make beside the usual ones: several PVs, stripes, other
# kinds of volumes, what repairs and history leave behind
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

devices=() images=() before= name=
finds=False # does the check find errors in what lvm2 left?
digest() {
  local image; for image in "${images[@]}"; do [ ! -e "$image" ] || sparse_md5 "$image"; done
}
use() { # fresh copies of a fixture's PVs; the last ones are removed
  local image
  name=$1
  rm -f "$tmp"/*.img
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  devices=() images=("$tmp/$1".*.img)
  for image in "${images[@]}"; do devices+=(--device "$image"); done
  before=$(digest)
}
fx() { vt "${devices[@]}" "$@"; }
unchanged() { is "$name: $1 changed nothing" "$(digest)" "$before"; }
checked() {
  fx check --json "pve/${1:-data}" 2>/dev/null |
    field "(d['ok'], len(d['errors']) > 0, len(d['leaks']) > 0)"
}
judged() {
  if [ "$(id -u)" = 0 ]; then
    ok "$name: strangers accept it${1:+, $1}" "$top_srcdir/scripts/judge" --quiet "${images[@]}"
  else
    skip 1 "needs root"
  fi
}
whole() { # REGEX of the volumes, DESCRIPTION: each is what the kernel showed
  local sum volume size wrong=
  while read -r sum volume size; do
    [[ $volume =~ ^($1)$ ]] || continue
    [ "$(fx export "pve/$volume" - 2>"$tmp/.err" | md5)" = "$sum" ] || wrong+=" $volume"
  done < "$fixtures/$name.md5"
  is "$name: the volumes are whole${2:+, $2}" "$wrong" ""
}
listed() {
  fx list --json pve 2>/dev/null | field "' '.join(sorted(v['name'] for v in d['volumes']))"
}
reads() { # REGEX of the volumes that can be read
  is "$name: list" "$(listed)" "$(awk '{ print $2 }' "$fixtures/$name.md5" | LC_ALL=C sort | xargs)"
  whole "$1"
  is "$name: check" "$(checked | cut -d, -f2)" " $finds"
}
# Create, write, read back, snapshot, remove, grow the pool; the neighbours stay as they were, and
# strangers accept it.
writes() { # REGEX of the volumes that can be read; POOL
  local pool=${2:-data}
  head -c 3m /dev/urandom > "$tmp/data"; truncate -s 8m "$tmp/data"
  ok "$name: create" fx create pve/new --size 8m --pool "$pool"
  is "$name: a new volume is empty" "$(fx export pve/new - | md5)" "$(head -c 8m /dev/zero | md5)"
  ok "$name: import" fx import "$tmp/data" pve/new
  is "$name: export" "$(fx export pve/new - | md5)" "$(md5 "$tmp/data")"
  ok "$name: snapshot" fx snapshot pve/new s
  ok "$name: resize" fx resize pve/new 12m
  ok "$name: grow the pool" fx resize "pve/$pool" +12m
  ok "$name: grow its metadata" fx resize "pve/$pool" +8m --metadata
  whole "$1" "after changes"
  is "$name: check after changes" "$(checked "$pool" | cut -d, -f2,3)" " $finds, False)"
  judged "after changes"
  ok "$name: remove" fx remove pve/new --snapshots
  judged "after removing"
}
edit() { # FILE AREA OLD NEW: the committed text of the metadata area at AREA, with its checksums
  python3 - "$@" <<'P'
import struct, sys, zlib
path, area, old, new = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4].encode()
crc = lambda b: zlib.crc32(b, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff
with open(path, 'r+b') as f:
    f.seek(area); header = bytearray(f.read(512))
    offset, size = struct.unpack_from('<QQ', header, 40)
    f.seek(area + offset); text = f.read(size)
    assert old in text
    text = text.replace(old, new, 1)
    f.seek(area + offset); f.write(text)
    struct.pack_into('<QQI', header, 40, offset, len(text), crc(text))
    struct.pack_into('<I', header, 0, crc(bytes(header[4:])))
    f.seek(area); f.write(header)
P
}
# superblock FILE OFFSET FORMAT VALUE: a field of the thin pool's superblock, wherever that is, with
# its checksum
superblock() {
  python3 - "$@" <<'P'
import struct, sys
path, offset, form, value = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
def crc(data):
    r = 0xffffffff
    for byte in data:
        r ^= byte
        for _ in range(8): r = (r >> 1) ^ (0x82f63b78 if r & 1 else 0)
    return r
with open(path, 'r+b') as f:
    at, end = 1 << 20, f.seek(0, 2)
    while at < end:
        f.seek(at); block = bytearray(f.read(4096))
        if block[32:40] == struct.pack('<Q', 27022010) and block[8:16] == bytes(8): break
        at += 1 << 20
    assert at < end
    struct.pack_into('<' + form, block, offset, value)
    struct.pack_into('<I', block, 0, crc(block[4:]) ^ 160774)
    f.seek(at); f.write(block)
P
}
poke() { printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; before=$(digest); }
# refuses REGEX...: read-write opening is refused with a message that matches each, and nothing is
# changed
refuses() {
  local status=0 regex
  run fx create pve/new --size 8m || status=$?
  is "$name: refused read-write" "$status" 1
  for regex; do like "$name: the message says $regex" "$err" "$regex"; done
  unchanged "that"
}
plan 325

# --- several PVs: two metadata areas, none, one that is ignored ---
use 07-three-pvs
reads '.*'
unchanged reading
writes '.*'
areas=(4096 208666624)
for area in "${areas[@]}"; do
  use 07-three-pvs; poke "${images[0]}" $((area + 100)) '\xff'
  like "header of area $area: the other one serves, and is no older text" \
    "$(fx list pve 2>&1 >/dev/null)" "header at offset $area is damaged: its checksum is wrong"
  is "header of area $area: no older text is spoken of" \
    "$(fx list pve 2>&1 >/dev/null | grep -c newest)" 0
  whole '.*' "header of area $area damaged"
  is "header of area $area: check" "$(checked | cut -d, -f1,2)" "(False, True"
  refuses "header at offset $area is damaged"
  use 07-three-pvs; edit "${images[0]}" "$area" 'segment_count = 1' 'segment_count = {1'
  before=$(digest)
  whole '.*' "text of area $area broken"
  is "text of area $area broken: check" "$(checked | cut -d, -f1,2)" "(False, True"
  refuses 'a value is missing here'
done
use 07-three-pvs; rm "${images[1]}"; devices=(--device "${images[0]}" --device "${images[2]}")
before=$(digest)
whole '.*' "a PV is missing that nothing was written to"
is "a PV missing: check" "$(checked | cut -d, -f1,2)" "(False, True"
refuses 'physical volume pv1 .* is missing'
use 07-three-pvs; rm "${images[2]}"; devices=(--device "${images[0]}" --device "${images[1]}")
like "a PV missing: list names the volumes that lie there" "$(fx list 2>&1)" \
  'pve/root cannot be read whole: extents of it lie on physical volume pv2 .*, which is missing'
like "a PV missing: so does info" \
  "$(fx info pve/root 2>/dev/null)" 'damage +extents of it lie on physical volume pv2'
refused "a PV missing: an error names it" 1 \
  'offset 0 lies on physical volume pv2 .*, which is missing' fx export pve/vm-1-disk-0 "$tmp/out"
use 07-three-pvs; rm "${images[0]}"; devices=(--device "${images[1]}" --device "${images[2]}")
refused "PVs without metadata say that others are wanted" 1 \
  'of a volume group whose metadata is on other devices' fx list pve
use 07-three-pvs; edit "${images[0]}" 4096 '"ALLOCATABLE"' '"ALLOCATABLE", "MISSING"'
edit "${images[0]}" 208666624 '"ALLOCATABLE"' '"ALLOCATABLE", "MISSING"'; before=$(digest)
whole '.*' "a PV is marked as missing"
refuses 'marked as missing.*vgextend --restoremissing pve PATH'
if [ "$(id -u)" = 0 ] && command -v lvm >/dev/null; then
  lvm_attach --writable "${images[@]}"
  command=$(grep -o 'vgextend --restoremissing pve PATH' <<<"$err")
  ok "a PV is back: as it is advised" lvm2 ${command/PATH/${lvm_loops[0]}}
  lvm_detach
  is "a PV is back: check" "$(checked)" "(True, False, False)"
  ok "a PV is back: and it is written" fx create pve/new --size 8m
else
  skip 3 "needs root and lvm2"
fi

# --- stripes, alignment, labels elsewhere ---
use 08-striped
reads '.*'
unchanged reading
writes '.*'

# --- other kinds of volumes beside the pool: listed, left alone, taken along as they are ---
# The rest of the group's text, but for what a commit changes.
others() { fx_text "${images[0]}" | python3 -c "
import re, sys
text = sys.stdin.read()
print(''.join(re.search(r'\n%s \{\n.*?\n\}\n' % name, text, re.S)[0] for name in
  ('root before snapshot0 snapshot1 thickly safe safe_rimage_0 safe_rmeta_1 twice twice_mimage_0 '
   'fast fast_corig cpool_cpool late late_wcorig later_cvol').split()))"
}
fx_text() { python3 - "$1" <<'P'
import struct, sys
with open(sys.argv[1], 'rb') as f:
    f.seek(4096 + 40); offset, size = struct.unpack('<QQ', f.read(16))
    f.seek(4096 + offset); sys.stdout.write(f.read(size - 1).decode())
P
}
use 09-other-types
readable='vm-.*|snap_.*|root'
text=$(others)
reads "$readable"
is "other types: root, which has an old snapshot, is read-only here" \
  "$(fx list --json pve 2>/dev/null |
    field "[v['readonly'] for v in d['volumes'] if v['name'] == 'root'][0]")" \
  true
for volume in before:snapshot thickly:snapshot safe:raid1 twice:mirror fast:cache \
    late:writecache; do
  refused "other types: ${volume%:*} is not read" 1 "is of type ${volume#*:}, .*lvm2" \
    fx export "pve/${volume%:*}" "$tmp/out"
done
unchanged reading
writes "$readable"
is "other types: they are as they were" "$(others)" "$text"
before=$(digest)
refused "an old snapshot would be destroyed: import" 1 'snapshot' fx import "$tmp/data" pve/root
refused "an old snapshot would be destroyed: import into a thin volume" 1 'snapshot' \
  fx import "$tmp/data" pve/vm-2-disk-0
refused "an old snapshot would be destroyed: resize" 1 'lvm2 and the kernel alone' \
  fx resize pve/vm-2-disk-0 12m
refused "an old snapshot is no reason to lose its origin" 1 'snapshot' fx remove pve/vm-2-disk-0
for volume in root before safe twice fast late; do
  refused "other types: $volume is not removed" 1 'lvm2' fx remove "pve/$volume"
done
unchanged "what was refused"

# --- lvm2's records of removed volumes name others ---
use 10-history
reads '.*'
unchanged reading
writes '.*'
ok "history: rename the origin" fx rename pve/vm-1-disk-0 vm-9-disk-0
judged "the origin renamed"
ok "history: rename the descendant" fx rename pve/vm-2-disk-0 vm-8-disk-0
judged "the descendant renamed"
like "history: the record names both" \
  "$(fx_text "${images[0]}" | sed -n '/^historical/,$p' | xargs)" \
  'origin = vm-9-disk-0 descendants = \[vm-8-disk-0\]'
ok "history: remove the descendant" fx remove pve/vm-8-disk-0
judged "the descendant removed"
ok "history: remove the origin" fx remove pve/vm-9-disk-0
judged "the origin removed"
is "history: it is gone with what it tied together" \
  "$(fx_text "${images[0]}" | grep -c historical)" 0

# --- external origins ---
use 11-external-origin
reads 'base|was|vm-[35]-.*'
for volume in vm-1-disk-0:base snap_vm-1-disk-0_s:base vm-2-disk-0:was vm-4-disk-0:vm-3-disk-0; do
  like "external origin: list names ${volume%:*}" "$(fx list 2>&1)" \
    "pve/${volume%:*} cannot be read whole: it has the external origin ${volume#*:},"
  refused "external origin: ${volume%:*} is not read" 1 "external origin ${volume#*:}," \
    fx export "pve/${volume%:*}" "$tmp/out"
  refused "external origin: ${volume%:*} is not copied" 1 "external origin ${volume#*:}," \
    fx snapshot "pve/${volume%:*}" x
done
unchanged "all this"
writes 'base|was|vm-[35]-.*'
for volume in base was vm-3-disk-0; do
  refused "external origin: $volume is kept" 1 'external origin|lvm2' fx remove "pve/$volume"
done

# --- metadata on raid ---
use 12-raid-metadata
whole 'vm-2-.*'
refused "raid: the reason and what to do" 1 'pve/data_tmeta is of type raid1.*vgchange -ay pve' \
  fx export pve/vm-1-disk-0 "$tmp/out"
refused "raid: it cannot be checked" 1 'pve/data_tmeta is of type raid1.*vgchange -ay pve' \
  fx check pve/data
is "raid: the other pool" "$(checked other)" "(True, False, False)"
unchanged reading
refused "raid: nothing is made in it" 1 'raid1' fx create pve/new --size 8m --pool data
writes 'vm-2-.*' other

# --- what repairs and experiments leave behind ---
use 13-repaired
reads '.*'
unchanged reading
writes '.*'
use 14-stray-devices; finds=True
reads '.*'
unchanged reading
writes '.*'
finds=False
found=$(fx check pve/data 2>/dev/null |
  sed -n 's/^error: thin device \([0-9]*\) (.*) is known to no volume$/\1/p')
is "stray devices: the check names them" "$(xargs <<<"$found")" "3 90"
like "stray devices: info says so" "$(fx info pve/data)" \
  'it has 2 thin devices that no volume is known for: 3 \(320.00 KiB mapped\), 90 \(0 B mapped\)'
while read -r _ volume _; do fx remove "pve/$volume"; done < "$fixtures/$name.md5"
refused "stray devices: a pool without volumes is not empty" 1 \
  'pve/data is not empty: it has 2 thin devices.*lvremove pve/data' fx remove pve/data
use 15-lost-device
whole '.*'
like "a device is gone: list says so" \
  "$(fx list 2>&1)" 'pve/vm-2-disk-0 cannot be read whole: its thin device 3 cannot be found'
is "a device is gone: check" "$(checked | cut -d, -f1,2)" "(False, True"
unchanged reading
ok "a device is gone: the volume can be removed" fx remove pve/vm-2-disk-0
is "a device is gone: check afterwards" "$(checked)" "(True, False, False)"
judged
use 16-pvmove
whole root
refused "pvmove: the reason and what to do" 1 \
  'extents of it are being moved \(pvmove0\).*pvmove --abort' fx export pve/vm-1-disk-0 "$tmp/out"
is "pvmove: check, of its metadata" "$(checked)" "(True, False, False)"
unchanged reading
refuses 'pvmove --abort'

# --- several pools ---
use 17-several-pools
reads '.*'
unchanged reading
for pool in data p-2 p.3+x; do
  is "several pools: check of $pool" "$(checked "$pool")" "(True, False, False)"
done
writes '.*' data
writes '.*' p-2
writes '.*' p.3+x

# --- damage, derived ---
use 10-history; superblock "${images[0]}" 336 I 256; before=$(digest)
is "another chunk size: check" "$(checked | cut -d, -f1,2)" "(False, True"
refuses 'chunks of 131072 bytes, the volume group says 65536' 'virt-thin repair pve/data'
use 10-history; superblock "${images[0]}" 360 I 1; before=$(digest)
is "unknown features: check" "$(checked | cut -d, -f1,2)" "(False, True"
refuses 'features .* that this version does not know'
use 10-history; superblock "${images[0]}" 64 Q 2000; before=$(digest)
is "more chunks than the data has: check" "$(checked | cut -d, -f1,2)" "(False, True"
refuses 'counts on 125.00 MiB of data, the volume group.s text gives it 64.00 MiB'
use 10-history; superblock "${images[0]}" 320 Q 900; before=$(digest)
like "the mapping tree is gone: info says that the metadata is damaged" \
  "$(fx info pve/data 2>/dev/null)" 'health +the metadata is damaged: .*metadata block 900'
for at in 520 546 590 600 616; do
  use 10-history; poke "${images[0]}" $at '\xff'
  whole '.*' "the label damaged at $at"
  is "the label damaged at $at: check" "$(checked | cut -d, -f1,2)" "(False, True"
  refuses 'label at offset 512 is damaged'
done
use 10-history; truncate -s 700 "${images[0]}"
refused "cut off amid the label" 1 'ends at offset 700.*truncated' fx list pve
