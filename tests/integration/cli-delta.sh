#!/bin/bash
# virt-thin - in what two volumes differ: the command against thin_delta and against the bytes, in
# the process and through a service
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 32

disk=pve/vm-100-disk-0
snap() { echo "pve/snap_vm-100-disk-0_$1"; }
lvm_tool=$top_builddir/tests/integration/lvm-tool

# scattered SEED COUNT FILE: writes into FILE
scattered() {
  python3 - "$@" <<'PYTHON'
import os, random, sys
seed, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
random.seed(seed)
size = os.stat(path).st_size
with open(path, "r+b") as f:
    for _ in range(count):
        f.seek(random.randrange(size - 300000))
        f.write(random.randbytes(random.randrange(1, 300000)))
PYTHON
}
# unlike A B: where the files differ and the ranges on standard input do not say so
unlike() {
  python3 - "$@" <<'PYTHON'
import json, sys
ranges = [(r["offset"], r["offset"] + r["length"]) for r in json.load(sys.stdin)["ranges"]]
a, b = (open(path, "rb").read() for path in sys.argv[1:])
size = max(len(a), len(b))
for at in range(0, size, 4096):
    if a[at:at + 4096].ljust(4096, b"\0") != b[at:at + 4096].ljust(4096, b"\0"):
        if not any(begin <= at < end for begin, end in ranges):
            print(at)
PYTHON
}
id_of() { vt info --json "$1" | field "d['volume']['device_id']"; }

# agrees HOW A B: the XML with thin_delta's, but for the line of the superblock
agrees() {
  is "$1: thin_delta says the same of ${2##*/} and ${3##*/}" \
    "$(vt delta "$2" "$3" --xml | sed 1d | md5)" \
    "$(thin_delta --thin1 "$(id_of "$2")" --thin2 "$(id_of "$3")" "$tmp/meta" | sed 1d | md5)"
}
deltas() {
  local how=$1 a b
  for a in s1 s2 s3; do vt export "$(snap $a)" "$tmp/$how-$a"; done
  vt export $disk "$tmp/$how-now"
  for a in "s1 s2" "s2 s1" "s1 s3" "s2 s3"; do
    read -r a b <<<"$a"
    is "$how: where $a and $b differ is named" \
      "$(vt delta "$(snap $a)" "$(snap $b)" --json | unlike "$tmp/$how-$a" "$tmp/$how-$b")" ''
    agrees "$how" "$(snap $a)" "$(snap $b)"
  done
  agrees "$how" "$(snap s3)" $disk
  is "$how: of a volume that has grown" \
    "$(vt delta "$(snap s3)" $disk --json | unlike "$tmp/$how-s3" "$tmp/$how-now")" ''
  is "$how: of one and the same" "$(vt delta "$(snap s1)" "$(snap s1)" | sed 1d)" \
    "$(snap s1) and $(snap s1) differ in nothing"
  ok "$how: --json follows its schema" sh -c "'$VIRT_THIN_PROGRAM' delta $(snap s1) $disk --json |
    python3 '$top_srcdir/tests/integration/validate-json' '$top_srcdir/schemas/delta.schema.json'"
  is "$how: the sum at the end" "$(vt delta "$(snap s1)" "$(snap s2)" | tail -n 1)" "$sum"
  refused "$how: a volume that is not there" 1 'nope' vt delta "$(snap s1)" pve/nope
  refused "$how: of two thin pools" 1 'in thin pool data.*other' vt delta $disk pve/other-1
}

truncate -s 96M "$tmp/a"
vt init pve/data --size 400m --chunk-size 64k
scattered 1 60 "$tmp/a"
vt import "$tmp/a" $disk; vt snapshot $disk s1
scattered 2 7 "$tmp/a"
vt import "$tmp/a" $disk; vt snapshot $disk s2
vt rollback $disk s1
scattered 3 3 "$tmp/a"
vt import "$tmp/a" $disk; vt snapshot $disk s3
vt resize $disk +32m
scattered 4 1 "$tmp/a"
vt import "$tmp/a" $disk
"$lvm_tool" read data_tmeta "$state/pve.img" > "$tmp/meta"
"$VIRT_THIN_PROGRAM" extend pve --size 100m "$tmp/more.img"
vt init pve/other --size 32m
vt create pve/other-1 --size 4m --pool other
sum="$(snap s1) and $(snap s2) differ in $(
  vt delta "$(snap s1)" "$(snap s2)" --json |
    field "'%.2f MiB' % (sum(r['length'] for r in d['ranges']) / 2**20)")"

deltas "in the process"
if can_serve; then
  vt serve pve 2>/dev/null
  deltas "served"
else
  skip 15 "cannot serve"
fi
refused "of two volume groups" 2 'two volume groups' vt delta $disk other/x
refused "two ways of telling" 2 'not both' vt delta $disk $disk --json --xml
