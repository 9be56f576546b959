#!/bin/bash
# virt-thin - a pool's metadata from XML and back, against thin_dump, thin_restore and thin_check
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 69

cd "$tmp" || exit 1
unpack() { zcat "$top_srcdir/tests/fixtures/thin-metadata/$1.gz" >"$1"; }
# A file of zeros, and as large.
room() { rm -f "$1"; truncate -s "$2" "$1"; }
size() { stat -c %s "$1"; }
used() { python3 -c 'import struct, sys
print(struct.unpack_from("<Q", open(sys.argv[1], "rb").read(4096), 200)[0])' "$1"; }

# --- pools of the kernel's, in both directions ---
for name in 01-clean 02-crash 04a-needs-check 04c-leaked-block 05a-out-of-data; do
  unpack "$name"
  thin_dump "$name" >"$name.xml"
  room back "$(size "$name")"
  ok "$name: what thin_dump wrote is restored" vt restore --metadata back "$name.xml"
  is "$name: thin_dump finds the same in it" "$(thin_dump back | md5)" "$(md5 "$name.xml")"
  is "$name: and in words" "$(vt dump --metadata back --format human | md5)" \
    "$(thin_dump --format human_readable "$name" | md5)"
  ok "$name: thin_check has nothing to say" thin_check --skip-mappings back
  ok "$name: in no more blocks" test "$(used back)" -le "$(used "$name")"
  room theirs 64M
  ok "$name: thin_restore takes what virt-thin wrote" \
    bash -c "'$VIRT_THIN_PROGRAM' dump --metadata back >xml && thin_restore -i xml -o theirs"
  is "$name: with the same in it" "$(thin_dump theirs | md5)" "$(md5 "$name.xml")"
done

# --- where from, where to ---
room back "$(size 01-clean)"
ok "from standard input" bash -c "cat 01-clean.xml | '$VIRT_THIN_PROGRAM' restore --metadata back -"
is "is the same" "$(thin_dump back | md5)" "$(md5 01-clean.xml)"
ok "over metadata that is there" vt restore --metadata back 02-crash.xml
is "which is gone then" "$(thin_dump back | md5)" "$(md5 02-crash.xml)"
unpack 04b-damaged-leaf
room back "$(size 04b-damaged-leaf)"
vt dump --metadata 04b-damaged-leaf --repair >left.xml 2>/dev/null
ok "what is left of damaged metadata" vt restore --metadata back left.xml
is "is what there is" "$(thin_dump back | md5)" "$(md5 left.xml)"
ok "makes a pool that is sound" thin_check back

# --- stretches that devices share, as some of 1.x write them ---
cat >shared.xml <<'XML'
<?xml version="1.0"?>
<!-- two devices -->
<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="100">
  <def name="0"><range_mapping origin_begin="0" data_begin="5" length="40" time="0"/>
    <single_mapping origin_block="50" data_block="60" time="0"/></def>
  <device dev_id="1" mapped_blocks="42" transaction="0" creation_time="0" snap_time="1">
    <ref name="0"/><single_mapping origin_block="51" data_block="1" time="1"/></device>
  <device dev_id="2" mapped_blocks="41" transaction="1" creation_time="1" snap_time="1">
    <ref name="0"/></device>
</superblock>
XML
room back 1M
ok "shared stretches" vt restore --metadata back shared.xml
is "are in each device" "$(thin_dump back | grep -c 'data_begin="5" length="40"')" 2
ok "counted well" thin_check back

# --- bad input changes nothing ---
before=$(md5 back)
bad() {
  printf '%s\n' "$3" >bad.xml
  refused "$1" 1 "$2" vt restore --metadata back bad.xml
}
sb='<superblock uuid="" time="1" transaction="2" data_block_size="128" nr_data_blocks="100">'
dev='<device dev_id="1" mapped_blocks="1" transaction="0" creation_time="0" snap_time="1">'
map() { echo "<single_mapping origin_block=\"$1\" data_block=\"$2\" time=\"${3-0}\"/>"; }
head -n 8 01-clean.xml >cut.xml
refused "a text that ends early" 1 'cut.xml: .*(ended|unfinished)' \
  vt restore --metadata back cut.xml
bad "nothing" 'bad.xml: .*empty' ''
bad "an unknown element" 'line 1: element volume is not known' '<volume/>'
bad "an element in the wrong place" 'line 1: element device cannot be here' "$dev</device>"
bad "an unknown attribute" 'superblock: attribute colour is not known' '<superblock colour="red"/>'
bad "an attribute that is missing" 'attribute nr_data_blocks is missing' \
  '<superblock uuid="" time="1" transaction="2" data_block_size="128"></superblock>'
bad "no number" 'time="soon" is no number' "${sb/time=\"1\"/time=\"soon\"}</superblock>"
bad "chunks that cannot be" 'chunks of 51200 bytes' "${sb/128/100}</superblock>"
bad "more chunks than there can be" 'is no number up to' \
  "${sb/\"100\"/\"9999999999999999\"}</superblock>"
bad "a virtual chunk twice" 'line 2: thin device 1: virtual chunk 3 is mapped twice' \
  "$sb$dev$(map 3 4)"$'\n'"$(map 3 5)</device></superblock>"
bad "a chunk beyond the pool" 'the pool has 100' "$sb$dev$(map 3 100)</device></superblock>"
bad "a time that is to come" 'at time 2, the pool is at 1' \
  "$sb$dev$(map 3 4 2)</device></superblock>"
bad "a device twice" 'not in order' "$sb$dev</device>$dev</device></superblock>"
bad "words" 'line 1: text' "$sb words </superblock>"
is "the metadata is as it was" "$(md5 back)" "$before"

# --- who may be there ---
head -c 1M /dev/urandom >noise
refused "data" 1 'noise holds no .*--force' vt restore --metadata noise shared.xml
ok "unless it is said so" vt restore --metadata noise shared.xml --force
vt init pve/data --size 64m 2>/dev/null
refused "a physical volume" 1 'holds no ' vt restore --metadata "$state/pve.img" shared.xml
if [ "$(id -u)" = 0 ] && loop=$(losetup -f --show back 2>/dev/null); then
  at_exit "losetup -d $loop 2>/dev/null"
  refused "a loop device over it" 1 "in use by.*$(basename "$loop")" \
    vt restore --metadata back shared.xml
  ok "which is a device to restore to" vt restore --metadata "$loop" 01-clean.xml
  losetup -d "$loop"
else
  skip 2 "no loop devices"
fi
room tiny 8K
refused "no room for any" 1 'too few' vt restore --metadata tiny shared.xml
room small 64K
refused "too small for this" 1 'too small' vt restore --metadata small 05a-out-of-data.xml
ok "which is left alone" cmp -s -n 65536 small /dev/zero
refused "nothing there" 1 'nowhere' vt restore --metadata nowhere shared.xml
