#!/bin/bash
# virt-thin - a pool's metadata in words, against thin_dump; thin_restore takes it
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 35

cd "$tmp" || exit 1
for fixture in "$top_srcdir"/tests/fixtures/thin-metadata/*.gz; do
  name=$(basename "$fixture" .gz)
  zcat "$fixture" >"$name"
  [ "$name" != 04b-damaged-leaf ] || continue
  is "$name: as thin_dump" "$(vt dump --metadata "$name" | md5)" "$(thin_dump "$name" | md5)"
  is "$name: its human form" "$(vt dump --metadata "$name" --format human | md5)" \
    "$(thin_dump --format human_readable "$name" | md5)"
done
is "a device alone" "$(vt dump --metadata 01-clean --dev-id 2 | md5)" \
  "$(thin_dump --dev-id 2 01-clean | md5)"
is "without maps" "$(vt dump --metadata 01-clean --skip-mappings | md5)" \
  "$(thin_dump --skip-mappings 01-clean | md5)"
refused "a device that is not there" 1 'no thin device 99' vt dump --metadata 01-clean --dev-id 99

# --- damage ---
refused "damage is named" 1 'metadata block 148' vt dump --metadata 04b-damaged-leaf
ok "and left out" vt dump --metadata 04b-damaged-leaf --repair
vt dump --metadata 04b-damaged-leaf --repair >left.xml 2>left.err
like "what is lost is told" "$(cat left.err)" 'lost: thin device 1: virtual chunks 0 to the end'
truncate -s 8M restored
ok "thin_restore takes what is left" thin_restore -i left.xml -o restored
ok "thin_check has nothing to say" thin_check restored
device_4() { sed -n '/dev_id="4"/,/<\/device>/p'; }
is "the other devices are as they were" "$(thin_dump restored | device_4 | md5)" \
  "$(thin_dump --repair 04b-damaged-leaf | device_4 | md5)"
head -c 8M /dev/zero >empty
refused "no pool" 1 'empty' vt dump --metadata empty
head -c 8M /dev/urandom >noise
refused "noise" 1 'noise' vt dump --metadata noise --repair

# --- of a volume group ---
vt init pve/data --size 200m 2>/dev/null
head -c 3M /dev/urandom | vt import - pve/v --size 16m; vt snapshot pve/v s
"$top_builddir/tests/integration/lvm-tool" read data_tmeta "$state/pve.img" >meta
is "a pool of a volume group" "$(vt dump pve/data | md5)" "$(thin_dump meta | md5)"
refused "a pool that is not there" 1 'nope' vt dump pve/nope
refused "neither" 2 'is wanted' vt dump
refused "a format that there is not" 2 'xml or human' vt dump pve/data --format qcow2
if can_serve; then
  vt serve pve 2>/dev/null
  refused "not of a served one" 1 'virt-thin stop VG' vt dump pve/data
  vt stop pve
  ok "but once it is stopped" vt dump pve/data
else
  skip 2 "cannot serve"
fi
