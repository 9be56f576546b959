#!/bin/bash
# virt-thin - what an error message advises leads to health: the command in it is run as it stands,
# and then what was refused succeeds. Which test does that for which message: advice.txt
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root for loop devices"
for program in lvm thin_repair; do
  command -v $program >/dev/null || skip_all "no $program"
done
cd "$tmp" || exit 1
plan 125

# --- every message with a command in it is in the table, and nothing else ---
for kind in missing stale; do
  is "advice.txt: $kind" \
    "$(python3 "$top_srcdir/tests/integration/advice.py" $kind "$top_srcdir")" ""
done

devices=() images=() vg=pve
fx() { vt "${devices[@]}" "$@"; }
on() { # FILE...: where the volume group is from now on
  local file
  images=("$@") devices=()
  for file; do devices+=(--device "$file"); done
}
use() { # fresh copies of a fixture's PVs
  rm -f "$tmp"/*.img
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  on "$tmp/$1"*.img
}
well() {
  is "$1: check" "$(fx check --json "$vg/${2:-data}" 2>/dev/null | field "d['ok'], d['health']")" \
    "(True, None)"
  ok "$1: and it is written" fx create "$vg/vm-9-disk-9" --size 4m --pool "${2:-data}"
  ok "$1: strangers accept it" judge_lvm "${images[@]}"
}
# advised NAME REGEX COMMAND...: is refused, and $advice is what the message advises
advised() {
  local name=$1 regex=$2; shift 2
  refused "$name: refused" 1 "$regex" "$@"
  advice=$(grep -oE -- "$regex" <<<"$err" | head -n 1)
}
# The advice, of virt-thin's own commands; of lvm2's, on the files as loop devices, as it says.
follow() { # NAME [SUBSTITUTION...]
  local name=$1 substitution words; shift
  for substitution; do advice=$(sed "$substitution" <<<"$advice"); done
  eval "words=($advice)"
  case ${words[0]} in
    virt-thin) ok "$name: $advice" fx "${words[@]:1}";;
    vg* | lv* | pv*)
      lvm_attach --writable "${images[@]}"
      advice=${advice//PATH/${lvm_loops[0]}}; eval "words=($advice)"
      ok "$name: $advice" lvm2 "${words[@]}"
      lvm_detach;;
    *) ok "$name: $advice" "${words[@]}";;
  esac
}
whole() { # NAME LIST VOLUME...: as the kernel showed them
  local volume
  for volume in "${@:3}"; do
    is "$1: $volume is whole" "$(fx export "pve/$volume" - | md5)" \
      "$(awk -v v="$volume" '$2 == v || $1 == v { for (i = 1; i <= NF; i++)
        if (length($i) == 32) print $i }' "$fixtures/$2.md5")"
  done
}
receive() { fx receive "$1" <stream; }
create() { fx create "$vg/vm-9-disk-9" --size 4m "$@"; }
find_metadata() { # the block of one.img that data_tmeta begins at, by the newest text
  python3 - <<'P'
import re
with open('one.img', 'rb') as f:
    texts = re.findall(rb'one {\nid = "[^\0]*', f.read(1 << 20))
text = max(texts, key=lambda t: int(re.search(rb'seqno = (\d+)', t)[1])).decode()
number = lambda key, where=text: int(re.search(key + r' = (\d+)', where)[1])
extent = int(re.search(r'data_tmeta {.*?"pv0", (\d+)', text, re.S)[1])
print((number('pe_start') + extent * number('extent_size')) // 8)
P
}
metadata() { dd bs=4096 count=1024 conv=notrunc status=none "$@"; } # 4 MiB, in one piece

# --- damaged metadata ---
repair='virt-thin repair pve/data'
use 04b-damaged-leaf
refused "more than leaks: refused" 1 "See what can be done: $repair" fx check --auto-repair pve/data
advised "damaged leaf" "$repair" create
sum=$(md5 "${images[0]}")
run fx export pve/vm-101-disk-1 - # as it advises, first
advice+=' --yes'
follow "damaged leaf"
fx list pve >/dev/null
well "damaged leaf"
whole "damaged leaf" 01-clean vm-101-disk-1 snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2 \
  vm-102-disk-0
# A pool with a copy of its metadata, which is in one piece.
on "$tmp/one.img"
vt init one/data --file "$tmp/one.img" --size 200m --metadata-size 4m --reserve 60m >/dev/null
vg=one
head -c 3m /dev/urandom >data; truncate -s 16m data
fx create one/vm-1-disk-0 --size 16m
fx import data one/vm-1-disk-0
same_data() { is "$1: the volume is whole" "$(fx export one/vm-1-disk-0 - | md5)" "$(md5 data)"; }

advice_of_one='virt-thin repair one/data; .* add --from FILE'
for how in '' ' --from copy'; do
  at=$(find_metadata)
  metadata if=one.img of=copy skip="$at"
  metadata if=/dev/zero of=one.img seek="$at" count=1
  advised "superblock wiped" "$advice_of_one" create
  advice="${advice%%;*}$how --yes"
  follow "superblock wiped$how"
  same_data "superblock wiped$how"
  well "superblock wiped$how"
  fx remove one/vm-9-disk-9
done

use_one() {
  fx remove one/vm-9-disk-9 2>/dev/null
  at=$(find_metadata)
  metadata if=one.img of=copy skip="$at"
}
use_one
printf '\377' | dd of=one.img bs=1 seek=$((at * 4096 + 100)) conv=notrunc status=none
advised "superblock damaged" "$advice_of_one" create
advice="${advice%%;*} --from copy --yes"
follow "superblock damaged"
same_data "superblock damaged"
well "superblock damaged"
use_one
before=$(md5 one.img)
printf '\001' | dd of=copy bs=1 seek=360 conv=notrunc status=none
python3 - copy <<'P'
import struct, sys
def crc(data):
    r = 0xffffffff
    for byte in data:
        r ^= byte
        for _ in range(8): r = (r >> 1) ^ (0x82f63b78 if r & 1 else 0)
    return r
with open(sys.argv[1], 'r+b') as f:
    block = bytearray(f.read(4096))
    struct.pack_into('<I', block, 0, crc(block[4:]) ^ 160774)
    f.seek(0); f.write(block)
P
metadata if=copy of=one.img seek="$at" count=1
before=$(md5 one.img)
refused "features that are not known are not mended away" 1 'features' fx repair one/data --yes
is "and nothing is changed" "$(md5 one.img)" "$before"

# --- what lvm2 alone takes back: marks in the text ---
base=$tmp/base.img
vt init two/data --file "$base" --size 128m --metadata-size 4m --reserve 8m >/dev/null
vt --device "$base" create two/v --size 8m
fresh() { # a copy of that, and another file
  rm -f two.img second.img
  cp --sparse=always "$base" two.img
  truncate -s 64m second.img
  on "$tmp/two.img"
  vg=two
}
# edit EXPRESSION: lvm2 takes the text as sed makes it
edit() {
  lvm_attach --writable "${images[@]}"
  lvm2 vgcfgbackup -f text two >/dev/null
  sed -i "$1" text
  lvm2 vgcfgrestore --force -f text two >/dev/null 2>&1
  lvm_detach
}
by_lvm() { lvm_attach --writable "${images[@]}"; lvm2 "$@" >/dev/null; lvm_detach; }

fresh
by_lvm vgexport two
advised exported 'vgimport two' create
like "exported: lvm2 is shown the file" "$err" 'losetup --find --show [^ ]*two.img'
follow exported
well exported

fresh
edit 's/"RESIZEABLE", "READ", "WRITE"/"RESIZEABLE", "READ"/'
advised read-only 'vgcfgbackup -f FILE two, .*, vgcfgrestore --force -f FILE two' create
all=$advice
advice=${all%%,*}; follow read-only s/FILE/text/
sed -i 's/"RESIZEABLE", "READ"/&, "WRITE"/' text
advice=${all##*, }; follow read-only s/FILE/text/
well read-only

fresh
by_lvm vgchange -x n two
advised "not resizeable" 'vgchange --resizeable y two' fx extend two "$tmp/second.img"
follow "not resizeable"
ok "not resizeable: then it takes it" fx extend two "$tmp/second.img"
on two.img second.img
well "not resizeable"

fresh
by_lvm vgchange -p 1 two
advised "as many physical volumes as it may have" 'vgchange --maxphysicalvolumes 0 two' \
  fx extend two "$tmp/second.img"
follow "physical volumes"
ok "physical volumes: then it takes it" fx extend two "$tmp/second.img"
on two.img second.img
well "physical volumes"

fresh
by_lvm vgchange -l 2 two
advised "as many volumes as it may have" 'vgchange --logicalvolume 0 two' create
follow volumes
well volumes

fresh
fx extend two "$tmp/second.img"
on two.img second.img
by_lvm vgchange --alloc cling two
advised "allocation policy" 'lvchange --alloc normal two/data_tdata' fx resize two/data +40m
follow "allocation policy"
ok "allocation policy: then it grows" fx resize two/data +40m
well "allocation policy"

# --- other kinds of volumes: lvm2's commands do what ours refuse ---
use 09-other-types
vg=pve
advised "another kind" 'lvrename pve twice other' fx rename pve/twice pve/other
follow "another kind"
advised "a volume that another kind uses" 'lvrename pve vm-2-disk-0 other-disk' \
  fx rename pve/vm-2-disk-0 pve/other-disk
follow "a volume that another kind uses"
advice='lvrename pve other-disk vm-2-disk-0'
follow "a volume that another kind uses, back"
advised "a snapshot of the old kind" 'lvremove pve/[a-z]*' fx resize pve/vm-2-disk-0 12m
follow "a snapshot of the old kind" 's/lvremove/lvremove --yes/'
ok "a snapshot of the old kind: then it grows" fx resize pve/vm-2-disk-0 12m
advised "no thin volume is backed up" 'virt-thin export' fx backup pve/root "$tmp/backup"
advice+=' pve/root thick.raw'
follow "no thin volume is backed up"
is "no thin volume is backed up: it is whole" "$(md5 thick.raw)" "$(fx export pve/root - | md5)"
advised "no thin volume is sent" 'virt-thin export' fx send pve/root
advice+=' pve/root thick2.raw'
follow "no thin volume is sent"
ok "no thin volume is sent: it is whole" cmp thick.raw thick2.raw
well "other kinds"

# --- room ---
on "$tmp/room.img"
vg=room
vt init room/data --file "$tmp/room.img" --size 64m --metadata-size 4m >/dev/null
fx resize room/data +100%FREE
n=0
for what in 'resize room/data +100m' 'resize room/data +100%FREE' 'init room/more --size 100m'; do
  n=$((n + 1))
  advised "$what" 'virt-thin extend room PATH' fx $what
  follow "$what" "s|PATH|$tmp/more-$n.img --size 200m|"
  on "${images[@]}" "$tmp/more-$n.img"
  ok "$what: then there is" fx $what
  fx resize room/data +100%FREE
done
well room
# A stream that is larger than the pool.
on "$tmp/from.img"
vt init from/data --file "$tmp/from.img" --size 128m --metadata-size 4m >/dev/null
head -c 60m /dev/urandom >data
fx import --format raw data from/vm-1-disk-0 2>/dev/null
fx send from/vm-1-disk-0 >stream 2>/dev/null
on "$tmp/to.img"
vt init to/data --file "$tmp/to.img" --size 100m --metadata-size 4m --reserve 40m >/dev/null
advised "a stream that is larger than the pool" 'virt-thin resize' receive to/data
advice+=' to/data +32m'
follow "a stream that is larger than the pool"
ok "a stream that is larger than the pool: then it fits" receive to/data
is "a stream that is larger than the pool: it is whole" \
  "$(fx export to/vm-1-disk-0 - | md5)" "$(md5 data)"
vg=to
well "a stream that is larger than the pool"

# --- commands of our own ---
on "$tmp/own.img"
vg=own
refused "a volume group begins on one device: refused" 2 'virt-thin extend own PATH' \
  vt --device "$tmp/own.img" --device "$tmp/own2.img" init own/data --size 64m
vt init own/data --file "$tmp/own.img" --size 64m --metadata-size 4m >/dev/null
advice=$(grep -o 'virt-thin extend own PATH' <<<"$err")
follow "a volume group begins on one device" "s|PATH|$tmp/own2.img --size 64m|"
on "$tmp/own.img" "$tmp/own2.img"
advised "a volume group that exists" 'virt-thin extend own [^ ,]*own3.img' \
  fx init own/data --file "$tmp/own3.img" --size 64m
follow "a volume group that exists" 's/$/ --size 64m/'
on "$tmp/own.img" "$tmp/own2.img" "$tmp/own3.img"
well "a volume group that exists"
head -c 6m /dev/urandom >large
advised "an image that is larger" 'virt-thin resize own/vm-9-disk-9 [0-9]*b' \
  fx import large own/vm-9-disk-9
follow "an image that is larger"
ok "an image that is larger: then it fits" fx import large own/vm-9-disk-9
if command -v qemu-img >/dev/null; then
  secret="--object secret,id=key,data=word"
  options=encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10
  for try in 1 2 3 4 5; do # which measures the processor, and may not be able to
    qemu-img create -q $secret -f qcow2 -o $options locked.qcow2 4m && break
  done
  advised "an encrypted image" 'qemu-img convert' fx import locked.qcow2 own/locked
  advice+=" $secret --image-opts driver=qcow2,encrypt.key-secret=key,file.filename=locked.qcow2"
  advice+=' -O qcow2 open.qcow2'
  follow "an encrypted image"
  ok "an encrypted image: then it is taken" fx import open.qcow2 own/locked
else
  skip 3 "needs qemu-img"
fi
like "no volume group" "$(vt list 2>&1; vt info 2>&1)" 'virt-thin init makes one'
if can_serve; then
  mv "$tmp/own.img" "$state/" && rm "$tmp"/own[23].img
  vt init srv/data --file "$state/srv.img" --size 64m >/dev/null
  vt serve srv
  devices=()
  advised "served" 'virt-thin stop srv' fx repair srv/data
  follow "served"
  ok "served: then it is looked at" fx repair srv/data
else
  skip 3 "needs /dev/fuse"
fi

# --- a physical volume that nobody needs ---
vg=room
on "$tmp/room.img" "$tmp"/more-*.img
truncate -s 64m old.img other.img
lvm_attach --writable old.img other.img
lvm2 pvcreate --metadatacopies 0 "${lvm_loops[0]}" >/dev/null
lvm2 vgcreate gone "${lvm_loops[@]}" >/dev/null
lvm_detach
advised "a physical volume of what is gone" 'wipefs -a [^ ]*old.img, then --force' \
  fx extend room "$tmp/old.img"
advice=${advice%%,*}
follow "a physical volume of what is gone"
ok "a physical volume of what is gone: then it is taken" \
  fx extend --force room "$tmp/old.img"
on "${images[@]}" old.img
head -c 4096 /dev/zero >fs.img; truncate -s 64m fs.img; mkfs.ext4 -q fs.img
advised "something else is on it" '--force' fx extend room "$tmp/fs.img"
ok "something else is on it: --force" fx extend --force room "$tmp/fs.img"
