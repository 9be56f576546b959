#!/bin/bash
# virt-thin - who uses what of a thin pool: the command against thin_ls, and against what removing
# frees, in the process and through a service; and the levels of `check`
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 43

lvm_tool=$top_builddir/tests/integration/lvm-tool
disk=pve/vm-100-disk-0

# --- against thin_ls ---
# ours ARGUMENT...: "device mapped exclusive shared" of each volume, in chunks, in order of devices
ours() {
  vt "$@" list --json >"$tmp/list.json"
  vt "$@" usage --json pve >"$tmp/usage.json"
  python3 - "$tmp/list.json" "$tmp/usage.json" "$chunk" <<'PYTHON'
import json, sys
volumes = json.load(open(sys.argv[1]))["volumes"]
ids = {v["name"]: v["device_id"] for v in volumes if v["device_id"] is not None}
rows = [(ids[v["name"]], v["mapped"], v["exclusive"], v["shared"])
        for pool in json.load(open(sys.argv[2]))["pools"] for v in pool["volumes"]]
for row in sorted(rows):
    print(row[0], *(n // int(sys.argv[3]) for n in row[1:]))
PYTHON
}
theirs() {
  thin_ls --no-headers --format DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS "$1" |
    awk '{ print $1, $2, $3, $4 }' | sort -n
}
chunk=65536
for fixture in 01-clean 02-crash 04a-needs-check 06-snap-made-tid-old; do
  tar --zstd -xSf "$fixtures/$fixture.img.tar.zst" -C "$tmp"
  "$lvm_tool" read data_tmeta "$tmp/$fixture.img" >"$tmp/meta"
  is "$fixture: as thin_ls counts" \
    "$(ours --device "$tmp/$fixture.img" | grep -v ' 0 0 0$')" \
    "$(theirs "$tmp/meta" | grep -v ' 0 0 0$')"
  rm "$tmp/$fixture.img"
done

# --- what removing frees ---
field_of() { field "d['pools'][0]['$1']"; }
used() { vt usage --json pve | field_of used; }
vt init pve/data --size 300m 2>/dev/null
head -c 12M /dev/urandom >"$tmp/data"
vt import "$tmp/data" $disk --size 32m 2>/dev/null
rewrite() { # VOLUME OFFSET LENGTH: in place
  vt nbd --writable "$1" -- sh -c "qemu-io -f raw -c 'write -P 7 $2 $3' \"\$NBD_URI\" >/dev/null"
}
at=0
for snapshot in one two three; do
  vt snapshot $disk $snapshot
  vt clone $disk pve/clone-$snapshot
  rewrite $disk $((at++))M 900k
  rewrite pve/clone-$snapshot $((at++))M 1500k
done
chunk=$(vt info --json pve/data | field "d['pool']['chunk_size']")
"$lvm_tool" read data_tmeta "$state/pve.img" >"$tmp/meta"
is "a pool of our own: as thin_ls counts" "$(ours)" "$(theirs "$tmp/meta")"
ok "some of it is shared, and some not" [ "$(ours | awk '$3 && $4' | wc -l)" -ge 3 ]
ok "the JSON is what its schema says" valid usage <"$tmp/usage.json"
is "all of it is accounted for" \
  "$(field "d['pools'][0]['used'] == d['pools'][0]['mapped']" <"$tmp/usage.json")" true
is "removing all frees all" \
  "$(field "d['pools'][0]['freed'] == d['pools'][0]['used']" <"$tmp/usage.json")" true
is "a pool by name is the same" "$(vt usage --json pve/data)" "$(cat "$tmp/usage.json")"
like "in words" "$(vt usage pve)" "^pve/vm-100-disk-0 +[0-9.]+ MiB +.*
.*|data: [0-9.]+ MiB in use, [0-9.]+ MiB by its volumes$"

set=(pve/clone-one $disk pve/snap_${disk#*/}_two)
answer=$(vt usage --json "${set[@]}")
is "of a set, only that is listed" "$(field "len(d['pools'][0]['volumes'])" <<<"$answer")" 3
freed=$(field_of freed <<<"$answer")
like "and what it frees is told" "$(vt usage "${set[@]}" | tail -1)" \
  '^Removing them all would free [0-9.]+ MiB in pve/data$'
ok "more than what each has alone" \
  [ "$freed" -ge "$(field "sum(v['exclusive'] for v in d['pools'][0]['volumes'])" <<<"$answer")" ]
is "a snapshot by its short name" "$(vt usage --json $disk@one | field_of freed)" \
  "$(vt usage --json pve/snap_${disk#*/}_one | field_of freed)"
before=$(used)
vt remove "${set[@]}"
is "just that comes free" $((before - $(used))) "$freed"

# --- errors ---
refused "a volume that is not there" 1 'no volume nope' vt usage pve/nope
refused "a snapshot that is not there" 1 'no snapshot "nope"' vt usage pve/clone-two@nope
refused "no such volume group" 1 'other' vt usage other

# --- through a service ---
if can_serve; then
  answer=$(ours; cat "$tmp/usage.json")
  vt serve pve 2>/dev/null
  is "a service says the same" "$(ours; cat "$tmp/usage.json")" "$answer"
  is "of a set, too" "$(vt usage --json pve/clone-two pve/clone-three | field_of freed)" \
    "$(vt stop pve; vt usage --json pve/clone-two pve/clone-three | field_of freed)"
else
  skip 2 "cannot serve"
fi

# --- devices that are no volume's, and a metadata snapshot ---
tar --zstd -xSf "$fixtures/14-stray-devices.img.tar.zst" -C "$tmp"
stray=$(ls "$tmp"/14-stray-devices*.img)
vt --device "$stray" usage --json pve >"$tmp/usage.json"
is "what strays have is told" "$(field "d['pools'][0]['strays'] > 0" <"$tmp/usage.json")" true
like "in words, too" "$(vt --device "$stray" usage pve)" \
  'by thin devices that no volume is known for'
rm "$stray"

# --- levels of check ---
image=
use() {
  rm -f "$tmp"/0*.img
  tar --zstd -xSf "$fixtures/$1.img.tar.zst" -C "$tmp"
  image=$tmp/$1.img
}
fx() { vt --device "$image" "$@"; }
counts() { fx check --json pve/data 2>/dev/null | field "(len(d['errors']), len(d['leaks']))"; }
thin_checked() {
  "$lvm_tool" read data_tmeta "$image" >"$tmp/meta"
  is "$1: thin_check has nothing to say" "$(thin_check -q "$tmp/meta" 2>&1; echo $?)" 0
}
use 04c-leaked-block
is "a leak: a chunk, and the sum" "$(counts)" "(0, 2)"
ok "a quick check is content with it" fx check --quick pve/data
refused "it is mended" 0 'pve/data: 2 leaks were mended' fx check --auto-repair pve/data
is "and gone" "$(counts)" "(0, 0)"
thin_checked "leak"
whole=$(sparse_md5 "$image")
ok "once more: nothing to do" fx check --auto-repair pve/data
is "and nothing done" "$(sparse_md5 "$image")" "$whole"
use 04a-needs-check
refused "needs_check: not opened" 1 needs_check fx create pve/new --size 8m
ok "needs_check: mended" fx check --auto-repair pve/data
thin_checked "needs_check"
ok "needs_check: opened" fx create pve/new --size 8m
use 04b-damaged-leaf
damaged=$(sparse_md5 "$image")
refused "damage is not its business" 1 'more than leaks.*block 148.*virt-thin repair pve/data' \
  fx check --auto-repair pve/data
is "and nothing is changed" "$(sparse_md5 "$image")" "$damaged"
ok "a quick check does not see a leaf" fx check --quick pve/data
run fx check pve || :
like "of a volume group: its pools" "$out" '^pve/data: [1-9][0-9]* error'
use 03a-tid-pool-ahead
run fx check --quick pve/data || :
like "a quick check sees another time" "$out" 'transaction id is 9'
rm "$image"

# --- all there are ---
ok "all volume groups" vt check
vt init more/data --size 40m 2>/dev/null
vt check --json >"$tmp/check.json"
is "each pool of each" "$(field "' '.join(p['pool'] for p in d['pools'])" <"$tmp/check.json")" \
  "more/data pve/data"
ok "the JSON is what its schema says" valid check <"$tmp/check.json"
use 04b-damaged-leaf && mv "$image" "$state/more.img"
refused "one that is damaged, or there twice, makes it fail" 1 '' vt check --json
