#!/bin/bash
# virt-thin - sectors of more than 512 bytes: block nodes have them, too; a volume group mixes none
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
can_serve || skip_all "needs root and /dev/fuse"
losetup --find >/dev/null 2>&1 || skip_all "no loop devices"
plan 28
printf '[service]\nblock-nodes=loop\n' >"$VIRT_THIN_CONFIG"
export LVM_SYSTEM_DIR=$tmp/lvm
mkdir "$LVM_SYSTEM_DIR"

loops=()
at_exit 'losetup -d "${loops[@]}"'
disk() { # NAME SECTOR-SIZE: a loop device
  truncate -s 300m "$tmp/$1" && loop=$(losetup -f --show -b "$2" "$tmp/$1") && loops+=("$loop")
}
disk large 4096; large=$loop
disk small 512; small=$loop
disk second 4096; second=$loop
node() { readlink -f "$VIRT_THIN_DEV_DIR/$1"; }
sectors() { local n; n=$(node "$1"); cat "/sys/block/${n##*/}/queue/logical_block_size"; }
table() {
  sfdisk --json "$(node "$1")" | field "[(p['start'], p['size'], d['partitiontable']['sectorsize'])
    for p in d['partitiontable']['partitions']]"
}
nbd() { echo "nbd+unix:///$2?socket=$VIRT_THIN_RUNTIME_DIR/$1/nbd"; }

ok "init on sectors of 4096" vt --device "$large" init four/data
ok "create" vt --device "$large" create four/v --size 64m
ok "serve" vt --device "$large" serve four
is "the node has them" "$(sectors four/v)" 4096
printf 'label: gpt\n,16M,L\n,,L\n' | sfdisk -q "$(node four/v)" 2>/dev/null
table=$(table four/v)
like "a partition table on it counts in them" "$table" '^\[\(256, [0-9]*, 4096\)'
ok "a volume made while it is served" vt create four/w --size 8m
is "has them as well" "$(sectors four/w)" 4096
if command -v nbdinfo >/dev/null; then
  is "so does the NBD server" \
    "$(nbdinfo --json "$(nbd four v)" | field "d['exports'][0]['block_size_minimum']")" 4096
else
  skip 1 "no nbdinfo"
fi
# Smaller pieces: by the file, at odd places.
python3 - "$VIRT_THIN_RUNTIME_DIR/four/volumes/w" <<'PY'
import os, sys
f = os.open(sys.argv[1], os.O_RDWR)
for at in (0, 513, 4095, 65535, 1 << 20):
    os.pwrite(f, b'%07d' % at, at)
os.fsync(f)
PY
is "what is written in smaller pieces is there" "$(for at in 513 4095 65535 $((1 << 20)); do
  tail -c +$((at + 1)) "$(node four/w)" | head -c 7; done)" "0000513000409500655351048576"
nodes() { pgrep -P "$(cat "$VIRT_THIN_RUNTIME_DIR/four/pid")" -f '^virt-thin-nodes '; }
old=$(nodes)
before=$(node four/v)
kill -9 "$old"
is_replaced() { local now; now=$(nodes) && [ "$now" != "$old" ]; }
ok "another process for the nodes" wait_until 20 is_replaced
ok "create once more" vt create four/x --size 8m
is "keeps the nodes that there are" "$(node four/v)" "$before"
is "and makes others like them" "$(sectors four/x)" 4096
refused "extend by smaller sectors" 1 \
  'sectors of 512 bytes, the physical volumes of volume group four have 4096' \
  vt extend four "$small"
truncate -s 100m "$tmp/file"
refused "extend by a file" 1 'sectors of 512 bytes' vt extend four "$tmp/file"
is "nothing was written to them" "$(cat "$tmp/small" "$tmp/file" | tr -d '\0' | wc -c)" 0
ok "extend by sectors alike" vt extend four "$second"
ok "stop" vt stop four
ok "serve again" vt --device "$large" --device "$second" serve four
is "the same partition table" "$(table four/v)" "$table"
ok "stop again" vt stop four

# --- mixed, where lvm.conf allows it ---
wipefs -qa "$second"
ok "init on sectors of 512" vt --device "$small" init mixed/data
ok "create there" vt --device "$small" create mixed/v --size 8m
refused "extend by larger ones" 1 'allow_mixed_block_sizes' \
  vt --device "$small" extend mixed "$second"
echo 'devices { allow_mixed_block_sizes = 1 }' >"$LVM_SYSTEM_DIR/lvm.conf"
ok "unless they may be mixed" vt --device "$small" extend mixed "$second"
vt --device "$small" --device "$second" serve mixed
is "a pool on small sectors has small ones" "$(sectors mixed/v)" 512
vt resize mixed/data +100m && vt stop mixed && vt --device "$small" --device "$second" serve mixed
is "a pool on both has the larger" "$(sectors mixed/v)" 4096
vt stop mixed
vt init file/data --size 100m && vt create file/v --size 8m && vt serve file
is "a file's are 512" "$(sectors file/v)" 512
