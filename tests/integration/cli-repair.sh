#!/bin/bash
# virt-thin - repair: what is found is mended, named as lost, and taken back; lvm2 and thin_check
# have nothing to complain of afterwards
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
# Nobody else's archives of volume groups of this name.
export LVM_SYSTEM_DIR=$tmp/lvm
mkdir -p "$LVM_SYSTEM_DIR"
cd "$tmp" || exit 1
plan $((255 + (${VIRT_THIN_TEST_LONG:+1} + 0)))

devices=() images=()
fx() { vt "${devices[@]}" "$@"; }
use() { # FIXTURE: fresh copies of its PVs, and of nobody's archives
  rm -rf "$tmp"/*.img "$state/archive"
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  images=("$tmp/$1"*.img) devices=()
  local file
  for file in "${images[@]}"; do devices+=(--device "$file"); done
}
judge() {
  if [ "$(id -u)" != 0 ] || ! command -v lvm thin_check >/dev/null; then
    skip 1 "needs root and lvm2"; return
  fi
  ok "$1: lvm2 and thin_check are silent" judge_lvm "${images[@]}"
}
well() { # NAME: nothing is left to mend, and it can be written
  like "$1: then there is nothing to mend" "$(fx repair pve/data --dry-run 2>&1)" 'nothing to mend'
  is "$1: nor for the check" "$(fx check pve/data 2>&1)" 'pve/data: 0 errors, 0 leaks'
  judge "$1"
  ok "$1: and it is written" fx create pve/vm-9-disk-9 --size 4m
}
# mended NAME FINDING OPTION...: it is, after a look that changed nothing
mended() {
  local name=$1 finding=$2 before; shift 2
  before=$(sparse_md5 "${images[@]}")
  like "$name: is found" "$(fx repair pve/data --dry-run "$@" 2>&1)" "^found: .*$finding"
  is "$name: a look changes nothing" "$(sparse_md5 "${images[@]}")" "$before"
  ok "$name: is mended" run fx repair pve/data --yes "$@"
}
whole() { # NAME VOLUME...: as the kernel showed them
  local volume
  for volume in "${@:2}"; do
    is "$1: $volume is whole" "$(fx export "pve/$volume" - | md5)" \
      "$(awk -v v="$volume" '$2 == v { print $1 }' "$fixtures/01-clean.md5")"
  done
}
volumes='vm-100-disk-0 vm-101-disk-1 vm-102-disk-0 snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2'
tmeta() { # the byte that data_tmeta begins at; one piece is enough for what is asked
  python3 - "${images[0]}" <<'P'
import re, sys
with open(sys.argv[1], 'rb') as f:
    texts = re.findall(rb'pve {\nid = "[^\0]*', f.read(1 << 20))
text = max(texts, key=lambda t: int(re.search(rb'seqno = (\d+)', t)[1])).decode()
number = lambda key: int(re.search(key + r' = (\d+)', text)[1])
extent = int(re.search(r'data_tmeta {.*?"pv0", (\d+)', text, re.S)[1])
print((number('pe_start') + extent * number('extent_size')) * 512)
P
}
names_of() { fx list --json pve | field "' '.join(sorted(v['name'] for v in d['volumes']))"; }
free_mib() { echo $(($(fx info --json pve | field "d['volume_group']['free']") >> 20)); }
zero() { # BYTE SECTORS
  dd if=/dev/zero of="${images[0]}" bs=512 seek=$(($1 / 512)) count="$2" conv=notrunc status=none
}
undo() { grep -o "virt-thin repair .*$1.*" <<<"$out" | tail -n 1; } # the last of those printed
follow() { # NAME COMMAND: as it was printed
  local words
  eval "words=($2)"
  ok "$1: $2" vt "${words[@]:1}" --yes
}

# --- metadata ---
use 04a-needs-check
mended needs_check 'needs_check'
well needs_check
use 04b-damaged-leaf
mended leaf 'metadata block 148'
is "leaf: what is lost is named" "$(grep ^lost <<<"$out")" \
  'lost: pve/vm-100-disk-0: bytes 0 to 201326591'
whole leaf vm-101-disk-1 vm-102-disk-0 snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2
follow "leaf: taken back" "$(undo --undo)"
like "leaf: it is damaged again" "$(fx check pve/data)" 'metadata block 148'
like "leaf: the way is told" "$(fx check pve/data)" 'how: virt-thin repair pve/data --dry-run$'
follow "leaf: mended again" "virt-thin ${devices[*]} repair pve/data --undo data_meta0"
well leaf
use 04c-leaked-block
mended leak 'chunk 1500'
well leak
use 01-clean
zero "$(tmeta)" 8
mended superblock 'superblock of the metadata is all zero'
whole superblock $volumes
well superblock

use 10-history
zero $(($(tmeta) + 54 * 4096)) 8
mended "list of devices" 'the metadata is found by roots [0-9]+,[0-9]+: 3 thin devices' \
  --remove-unknown --empty-missing
like "list of devices: older roots are told" "$out" \
  '^found: older, or not so likely, .* --roots: roots [0-9]+,[0-9]+: '
is "list of devices: what is lost" "$(grep '^lost.*bytes' <<<"$out" | cut -d: -f2)" \
  ' pve/vm-3-disk-0'
older() { sed -n 's/^lost: \(.*\): its changes since transaction [0-9]*/\1/p' <<<"$out" | xargs; }
is "list of devices: volumes that are older" "$(older)" 'pve/vm-1-disk-0 pve/vm-2-disk-0'
follow "list of devices: taken back" "$(undo --undo)"
roots=$(sed -n 's/^found: older.* roots \([0-9,]*\): .*/\1/p' <<<"$out" | head -n 1)
roots=${roots:-$(fx repair pve/data --dry-run |
  sed -n 's/^found: older.* roots \([0-9,]*\): .*/\1/p' | head -n 1)}
mended "list of devices: by older roots" 'metadata block 54' --roots "$roots" --remove-unknown \
  --remove-missing
is "list of devices: judged" "$(fx check pve/data 2>&1)" 'pve/data: 0 errors, 0 leaks'
judge "list of devices"

lose() { # BLOCK...: of the metadata, in whatever piece of it they lie
  "$top_builddir/tests/integration/lvm-tool" read data_tmeta "${images[0]}" >meta
  python3 - "${images[0]}" "$@" <<'P'
import sys
meta = open('meta', 'rb').read()
with open(sys.argv[1], 'r+b') as f:
    image = f.read()
    for block in map(int, sys.argv[2:]):
        f.seek(image.index(meta[block * 4096:][:4096])); f.write(bytes(4096))
P
}
use 01-clean
lose 1038 1040
mended "lists of devices and details" 'the metadata is found by roots [0-9]+,[0-9]+: 5 thin devices'
whole "lists of devices and details" $volumes
well "lists of devices and details"

# Of the last commit only the details are left: by those the volumes are named.
made() { # the two roots of a new pool's last commit
  rm -rf "$state/archive"
  images=("$tmp/made.img") devices=(--device "$tmp/made.img")
  vt init pve/data --file made.img --size 96m --metadata-size 2m --extent-size 64k --force \
    --reserve 16m >/dev/null 2>&1
  fx create pve/old --size 4m && head -c 1m /dev/urandom | fx import - pve/old
  fx create pve/new --size 4m && head -c 2m /dev/urandom | fx import - pve/new
  "$top_builddir/tests/integration/lvm-tool" read data_tmeta made.img >meta
  python3 -c "import struct; print(*struct.unpack('<QQ', open('meta', 'rb').read()[320:336]))"
}
read -r maps details < <(made)
devices=(--device "$tmp/made.img") images=("$tmp/made.img")
cp --sparse=always made.img whole.img
lose "$maps"
mended "maps" 'that is older than the last commit'
is "maps: what is lost" "$(older)" 'pve/old pve/new, and 2.00 MiB that it had mapped'
well "maps"
cp --sparse=always whole.img made.img
lose "$maps" 0
mended "maps and superblock" 'that is older than the last commit'
is "maps and superblock: what is lost" "$(older)" 'pve/old pve/new, and 2.00 MiB that it had mapped'
well "maps and superblock"
cp --sparse=always whole.img made.img
lose "$maps" 0 "$details"
mended "maps, superblock and details" 'should that be older than the last commit'
is "maps, superblock and details: what may be" "$(older)" 'pve/old pve/new'
ok "maps: so says the schema" valid repair <<<"$(cp --sparse=always whole.img made.img
  lose "$maps"; fx repair pve/data --dry-run --json)"
cp --sparse=always whole.img made.img
fx create pve/last --size 1m
lose "$("$top_builddir/tests/integration/lvm-tool" read data_tmeta made.img | python3 -c "
import struct, sys; print(*struct.unpack('<Q', sys.stdin.buffer.read()[320:328]))")" 0
mended "maps, and a new volume" 'last has no thin device' --remove-missing
is "maps, and a new volume: it is lost" "$(grep '^lost.*last' <<<"$out")" \
  'lost: pve/last: bytes 0 to 1048575'
well "maps, and a new volume"

# --- transaction ids and devices ---
use 03a-tid-pool-ahead
refused "ahead: devices are to be decided on" 1 '--adopt .*--remove-unknown' \
  fx repair pve/data --yes
like "ahead: so says the plan" "$(fx repair pve/data --dry-run --json |
  field "d['unknown_devices'], d['done'], d['steps'][0]['text']")" \
  "\['77'\], False, .the text gets the pool's transaction id, 9"
ok "ahead: the plan is what its schema says" valid repair \
  <<<"$(fx repair pve/data --dry-run --json)"
mended ahead 'transaction id is 9, expected 7' --remove-unknown
follow "ahead: taken back" "$(undo --text | grep -o 'virt-thin.*')"
like "ahead: as it was" "$(fx check pve/data)" 'transaction id is 9, expected 7'
ok "ahead: mended otherwise" fx repair pve/data --yes --name 77=vm-77-disk-0
like "ahead: the device is a volume" "$(names_of)" vm-77-disk-0
well ahead
use 14-stray-devices
mended strays 'thin device 3 ' --adopt
well strays
use 15-lost-device
refused "missing: to be decided on" 1 '--remove-missing' fx repair pve/data --yes
mended missing 'vm-2-disk-0 has no thin device' --remove-missing
well missing
use 15-lost-device
mended "missing, and wanted" 'vm-2-disk-0 has no thin device' --empty-missing
like "missing, and wanted: so is its loss" "$out" '^lost: .*/vm-2-disk-0: bytes 0 to'
is "missing, and wanted: it is empty" "$(fx export pve/vm-2-disk-0 - | tr -d '\0' | wc -c)" 0
well "missing, and wanted"

# --- labels and texts ---
use 01-clean
zero 4096 1
mended header 'metadata header at offset 4096 is damaged'
whole header vm-101-disk-1
well header
use 01-clean
zero 512 1
mended label 'label .* is gone'
is "label: of that nothing is taken back" "$(undo --text)" ""
well label
relabel() { # OFFSET VALUE: 8 bytes of the label, and its checksum
  python3 - "${images[0]}" "$@" <<'P'
import struct, sys, zlib
with open(sys.argv[1], 'r+b') as f:
    f.seek(512); label = bytearray(f.read(512))
    at = int(sys.argv[2])
    label[at:at + 8] = struct.pack('<Q', int(sys.argv[3]))
    crc = zlib.crc32(label[20:], 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff
    label[16:20] = struct.pack('<I', crc)
    f.seek(512); f.write(label)
P
}
use 01-clean
relabel 64 $((1 << 40))
mended "a label of a larger device" 'it has been truncated'
well "a label of a larger device"
use 01-clean
relabel 104 1
mended "an area over the label" 'it has a metadata area where none can be'
well "an area over the label"
use 01-clean
ok "text: archived" fx rename pve/vm-102-disk-0 pve/vm-8-disk-0
zero 4096 2032
mended text 'metadata header at offset 4096 is damaged'
like "text: by the archive" "$out" "from $state/archive/"
whole text vm-101-disk-1
well text
retext() { # FROM TO, as long: in the text, and its checksums
  python3 - "${images[0]}" "$@" <<'P'
import struct, sys, zlib
crc = lambda data: struct.pack('<I', zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff)
with open(sys.argv[1], 'r+b') as f:
    f.seek(4096); header = bytearray(f.read(512))
    offset, size = struct.unpack('<QQ', header[40:56])
    f.seek(4096 + offset); text = f.read(size)
    assert sys.argv[2].encode() in text
    text = text.replace(sys.argv[2].encode(), sys.argv[3].encode())
    f.seek(4096 + offset); f.write(text)
    header[56:60] = crc(text)
    header[:4] = crc(bytes(header[4:]))
    f.seek(4096); f.write(header)
P
}
use 01-clean
retext 'origin = "vm-100-disk-0"' 'origin = "vm-999-disk-0"'
refused "a lost origin: nothing is written" 1 'vm-999-disk-0 as its origin.*virt-thin repair pve' \
  fx create pve/vm-9-disk-0 --size 1m
like "a lost origin: so says the check" "$(fx check pve/data)" '^error: .* as its origin'
mended "a lost origin" 'has vm-999-disk-0 as its origin'
well "a lost origin"
use 01-clean
fx rename pve/vm-102-disk-0 pve/vm-8-disk-0
retext 'metadata = "data_tmeta"' 'metadata = "data_tmetb"'
mended "lost metadata" 'has data_tmetb as its metadata'
well "lost metadata"
seqno=$(vt "${devices[@]}" rescue pve --list-texts | awk '$1 ~ /^[0-9]+$/ { print $1 }' | sed -n 2p)
ok "text: one of the ring is put back by its number" run fx repair pve --text "$seqno" --yes
like "text: where it was found is told" "$out" "put back the text of seqno $seqno from .*01-clean"
refused "text: a number that is none's" 1 'seqno 999 is found: virt-thin rescue pve --list-texts' \
  fx repair pve --text 999 --yes

use 01-clean
retext $'extent_count = 24\n\ntype = "thin-pool"' $'extent_count = 20\n\ntype = "thin-pool"'
mended "smaller than its data" 'counts on 96.00 MiB of data, .* text gives it 80.00 MiB'
like "smaller than its data: the step" "$out" 'step 1: the text gives the pool what its data has, 96'
whole "smaller than its data" $volumes
well "smaller than its data"

use 07-three-pvs
zero 512 1
dd if=/dev/zero of="${images[2]}" bs=512 seek=1 count=1 conv=notrunc status=none
mended "two labels" 'has no label of physical volume .*, and is taken for it'
judge "two labels"
use 01-clean
ok "first megabyte: archived" fx rename pve/vm-102-disk-0 pve/vm-8-disk-0
zero 0 2048
refused "first megabyte: the way is told" 1 'virt-thin repair pve puts one back' \
  fx create pve/vm-9-disk-0 --size 1m
mended "first megabyte" 'has no label of physical volume pv0 .* is taken for it'
whole "first megabyte" vm-101-disk-1
well "first megabyte"
use 01-clean
fx rename pve/vm-102-disk-0 pve/vm-8-disk-0
zero 0 2048
zero "$(awk '/data_tmeta \{/ { at = 1 } at && /"pv0"/ { print 1048576 + $2 * 4194304; exit }' \
  "$state"/archive/*.vg)" 8
refused "first megabyte: not of a pool that does not vouch for it" 1 'no volume group pve' \
  fx repair pve/data --yes

use 07-three-pvs
zero 4096 1
mended "several PVs" 'metadata header at offset 4096 is damaged'
is "several PVs: the check" "$(fx check pve/data 2>&1)" 'pve/data: 0 errors, 0 leaks'

# --- without room ---
use 01-clean
fx rename pve/root pve/root2
python3 - "$state"/archive/*.vg >no-spare.vg <<'P'
import re, sys
text = open(sys.argv[1]).read()
at = text.index('lvol0_pmspare {')
print(text[:at] + re.sub(r'(?:[^{}]|\{[^{}]*\})*\}', '', text[at + 15:], count=1), end='')
P
ok "no room: a text without a spare is put back" fx repair pve --text no-spare.vg --yes
is "no room: as it is" "$(names_of)" "$(printf '%s\n' $volumes root | sort | xargs)"
ok "no room: all is the pool's" fx resize pve/data +"$(free_mib)"m
zero "$(tmeta)" 8
refused "no room: is told" 1 'neither a spare .* --keep FILE' fx repair pve/data --yes
mended "no room" 'all is zero|is all zero' --keep kept.bin
back=$(undo --undo)
whole "no room" $volumes
is "no room: what was there is in a file that others may not read" "$(stat -c '%a %s' kept.bin)" \
  "600 8388608"
refused "no room: that file is not written over" 1 'File exists' \
  fx repair pve/data --yes --keep kept.bin --from kept.bin
follow "no room: taken back" "$back"
like "no room: it is damaged again" "$(fx check pve/data)" 'is all zero'
ok "no room: from a copy" fx repair pve/data --yes --from kept.bin --keep again.bin
whole "no room" vm-101-disk-1
is "no room: the check" "$(fx check pve/data 2>&1)" 'pve/data: 0 errors, 0 leaks'

# --- metadata alone ---
zcat "$top_srcdir/tests/fixtures/thin-metadata/04b-damaged-leaf.gz" >tmeta.bin
ok "metadata: as thin_repair" run vt repair --metadata tmeta.bin --output mended.bin
like "metadata: what is lost" "$out" 'lost: thin device 1: all from byte 0 on'
if command -v thin_check >/dev/null; then
  ok "metadata: thin_check is silent" thin_check -q mended.bin
else
  skip 1 "no thin_check"
fi
refused "metadata: what is there is not written over" 1 'is not empty' \
  vt repair --metadata tmeta.bin --output mended.bin

dd if=/dev/zero of=tmeta.bin bs=4096 count=1 conv=notrunc status=none
refused "metadata: without a superblock" 1 'all zero.*--chunk-size SIZE and --data-size SIZE' \
  vt repair --metadata tmeta.bin --output without.bin
not_ok "metadata: and nothing is made" test -e without.bin
ok "metadata: what it said is given" run vt repair --metadata tmeta.bin --output without.bin \
  --chunk-size 64k --data-size 96m --transaction-id 7 --roots 1038,1040
ok "metadata: as with a superblock, but for the pool's time" cmp -i 4096 without.bin mended.bin
ok "metadata: nothing is known of its devices" run vt repair --metadata tmeta.bin \
  --output likely.bin --chunk-size 64k --data-size 96m
like "metadata: so what has any goes first" "$out" '^found: the metadata is found by .* 6 thin devices'

# --- not now ---
use 04b-damaged-leaf
refused "without --yes nothing is done" 1 'nothing was changed: --yes' fx repair pve/data
exec 7<"${images[0]}"
flock -x 7
refused "somebody has it" 1 'in use|has it open|locked' fx repair pve/data --yes
exec 7<&-

# --- killed at any moment ---
if [ -n "${VIRT_THIN_TEST_LONG-}" ]; then
  use 04b-damaged-leaf
  cp --sparse=always "${images[0]}" damaged.img
  n=0 died=0 bad=0
  while [ $n -lt 20 ]; do
    cp --sparse=always damaged.img "${images[0]}"
    timeout -s KILL "0.$(printf %03d $((RANDOM % 400)))" \
      "$top_builddir/virt-thin" "${devices[@]}" repair pve/data --yes >/dev/null 2>&1
    [ $? = 137 ] && died=$((died + 1))
    fx repair pve/data --yes >/dev/null 2>&1 || bad=$((bad + 1))
    [ "$(fx check pve/data 2>&1)" = 'pve/data: 0 errors, 0 leaks' ] || bad=$((bad + 1))
    [ "$(fx export pve/vm-101-disk-1 - | md5)" = "$(awk '$2 == "vm-101-disk-1" { print $1 }' \
      "$fixtures/01-clean.md5")" ] || bad=$((bad + 1))
    [ "$(id -u)" != 0 ] || judge_lvm "${images[@]}" >/dev/null 2>&1 || bad=$((bad + 1))
    n=$((n + 1))
  done
  echo "# $n repairs, $died of them killed"
  is "killed: another repair mends it each time" "$bad" 0
fi
