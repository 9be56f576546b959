#!/bin/bash
# virt-thin - volume groups between src/lvm and lvm2: each reads, judges and changes what the other
# wrote
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
[ ! -w /dev/shm ] || TMPDIR=/dev/shm # thousands of flushes
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root for loop devices"
command -v lvm >/dev/null || skip_all "no lvm2"
losetup --find >/dev/null 2>&1 || skip_all "no loop devices"
tool=$top_builddir/tests/integration/lvm-tool
cd "$tmp" || exit 1
plan 63

group() { sed '/^# Generated/,$d' "$1"; } # the VG without the lines around it

# --- ours, judged ---
truncate -s 256M a.img b.img; truncate -s 128M c.img
ok 'make a volume group and change it in every way' "$tool" make "$tmp/archive" a.img b.img c.img
ok 'lvm2 has nothing to complain of' judge_lvm a.img b.img c.img
"$tool" show a.img b.img c.img > ours.txt 2> warnings.txt
is 'it opens without warnings' "$(cat warnings.txt)" ''

lvm_attach a.img b.img c.img
volumes=$(lvm2 lvs -a --noheadings --separator '|' -o \
  lv_name,lv_attr,pool_lv,origin,thin_id,lv_tags tvg | tr -d ' ' | sort -u)
is 'lvm2 sees the volumes as they are' "$volumes" "$(sort <<'END'
data|twi-XXtz--||||
[data_tdata]|Twi-XX----||||
[data_tmeta]|ewi-XX----||||
[lvol0_pmspare]|ewi-XX----||||
slow|twi-XXtz--||||
[slow_tdata]|Twi-XX----||||
[slow_tmeta]|ewi-XX----||||
base-103-disk-0|Vri-XXtz--|data||5|
orphan|Vwi-XXtz--|data||7|
snap_vm-100-disk-0_a|Vri-XXtz-k|data|vm-900-disk-0|3|second,virt-thin.snapshot-of=vm-100-disk-0
vm-101-disk-0|Vwi-XXtz--|data||2|
vm-102-disk-0|Vwi-XXtz--|data|snap_vm-100-disk-0_a|8|
vm-200-disk-0|Vwi-XXtz--|slow||1|
vm-201-disk-0|Vwi-XXtz--|slow|vm-200-disk-0|2|
vm-900-disk-0|Vwi-XXtz--|data||1|
END
)"
is 'and which pool fails when it is full' \
  "$(lvm2 lvs --noheadings -o lv_name,lv_when_full tvg | grep error | xargs)" 'data error'
is 'it is not activated by itself' \
  "$(lvm2 vgs --noheadings -o vg_autoactivation tvg | tr -d ' ')" ''
is 'three PVs of the right sizes' \
  "$(lvm2 pvs --noheadings -o pv_size --units m | tr -d ' ' | sort | xargs)" \
  '172.00m 236.00m 236.00m'
lvm2 pvck --dump metadata -f dumped.txt "${lvm_loops[2]}" >/dev/null
is 'pvck dumps the text that we read' "$(cat dumped.txt)" "$(cat ours.txt)"
lvm_detach

# --- lvm2 rewrites ours: the same text, byte for byte ---
lvm_attach --writable a.img b.img c.img
ok 'lvm2 adds a tag' lvm2 vgchange --addtag from-lvm2 tvg
"$tool" show a.img b.img c.img > rewritten.txt
is 'and changes nothing else' \
  "$(diff <(group ours.txt) <(group rewritten.txt | sed "s|/dev/loop[0-9]*|X|") | grep '^[<>]' |
    grep -v device)" \
  "$(printf '< seqno = %d\n> seqno = %d\n> tags = ["from-lvm2"]' \
    "$(sed -n 's/^seqno = //p' ours.txt)" "$(($(sed -n 's/^seqno = //p' ours.txt) + 1))")"

# --- lvm2 changes ours, we read ---
reads() { "$tool" show a.img b.img c.img | grep -A"${2:-0}" -x -- "$1"; }
ok 'lvchange --addtag' lvm2 lvchange --addtag tagged tvg/vm-101-disk-0
like 'is read' "$(reads 'vm-101-disk-0 {' 4)" 'tags = \["tagged"\]'
ok 'lvrename' lvm2 lvrename tvg/vm-200-disk-0 tvg/renamed
like 'is read' "$(reads 'renamed {')" renamed
like 'with its references' "$(reads 'origin = "renamed"')" renamed
ok 'lvchange -pr' lvm2 lvchange -pr tvg/vm-102-disk-0
like 'is read' "$(reads 'vm-102-disk-0 {' 2)" 'status = \["READ", "VISIBLE"\]'
ok 'lvchange -ky' lvm2 lvchange -ky tvg/vm-102-disk-0
like 'is read' "$(reads 'vm-102-disk-0 {' 3)" 'ACTIVATION_SKIP'
ok 'lvcreate of a linear volume' lvm2 lvcreate -an -Zn -Wn -y -l 2 -n lin tvg
ok 'lvextend of it' lvm2 lvextend -l +1 tvg/lin
is 'its bytes can be read' "$("$tool" read lin a.img b.img c.img | wc -c)" $((3 * 4194304))
ok 'lvrename of a pool' lvm2 lvrename tvg/slow tvg/slower
ok 'we commit on top' "$tool" tag ours a.img b.img c.img
lvm_detach
ok 'lvm2 is content with both hands in one volume group' judge_lvm a.img b.img c.img

# --- archives ---
is 'each change has its archive' "$(ls archive | wc -l)" 8
lvm_attach --writable a.img b.img c.img
last=$(ls archive/tvg_00005-*.vg)
ok 'vgcfgrestore takes one' lvm2 vgcfgrestore --force -y -f "$last" tvg
lvm_detach
ok 'and what it restores is whole' judge_lvm a.img b.img
"$tool" show a.img b.img > restored.txt
is 'and says what the archive says' "$(group restored.txt | grep -v -e '^seqno' -e '^device')" \
  "$(sed '1,/^creation_time/d' "$last" | sed '/./,$!d' | grep -v -e '^seqno' -e '^device')"

# --- lvm2's, changed by us: two areas on a PV, none on another, small areas ---
truncate -s 64M d.img e.img f.img
lvm_attach --writable d.img e.img f.img
ok 'lvm2 makes PVs with two, one and no metadata areas' \
  eval 'lvm2 pvcreate -q --pvmetadatacopies 2 "${lvm_loops[0]}" &&
  lvm2 pvcreate -q --metadatasize 64k --dataalignment 128k "${lvm_loops[1]}" &&
  lvm2 pvcreate -q --pvmetadatacopies 0 "${lvm_loops[2]}" &&
  lvm2 vgcreate -q -s 1m lvg "${lvm_loops[@]}"'
ok 'and a striped volume' lvm2 lvcreate -q -an -Zn -Wn -y -l 6 -i 3 -I 16k -n wide lvg
head -c 6M /dev/urandom > random
python3 - "$tool" <<'END'
# the striped volume's bytes, laid out by hand from lvm2's account of it
import re, subprocess, sys
text = subprocess.run([sys.argv[1], 'show', 'd.img', 'e.img', 'f.img'],
                      capture_output=True, text=True).stdout
pvs = dict(zip(['pv0', 'pv1', 'pv2'], ['d.img', 'e.img', 'f.img']))
start = {pv: int(re.search(pv + r' \{.*?pe_start = (\d+)', text, re.S).group(1)) * 512
         for pv in pvs}
stripes = re.findall(r'"(pv\d)", (\d+)', text[text.index('wide {'):])
data = open('random', 'rb').read()
files = {pv: open(f, 'r+b') for pv, f in pvs.items()}
for unit in range(len(data) // 16384):
    pv, extent = stripes[unit % 3]
    files[pv].seek(start[pv] + int(extent) * 1048576 + unit // 3 * 16384)
    files[pv].write(data[unit * 16384:(unit + 1) * 16384])
END
is 'a striped volume reads as lvm2 lays it out' \
  "$("$tool" read wide d.img e.img f.img | md5sum)" "$(md5sum < random)"
ok 'we commit to each area' "$tool" tag mine d.img e.img f.img
is 'lvm2 sees the tag' "$(lvm2 vgs --noheadings -o vg_tags lvg | tr -d ' ')" mine
lvm_detach
ok 'and is content' judge_lvm d.img e.img f.img
ok 'with the first area of the first PV alone, too' \
  cmp <("$tool" show e.img 2>/dev/null) <("$tool" show d.img f.img 2>/dev/null)

# --- areas that lvm2 ignores ---
lvm_attach --writable d.img e.img f.img
ok 'lvm2 keeps the text in one area alone' lvm2 vgchange --metadatacopies 1 lvg
ok 'we commit to that one' "$tool" tag again d.img e.img f.img
is 'lvm2 sees the tag, and one area in use of three' \
  "$(lvm2 vgs --noheadings -o vg_tags,vg_mda_used_count,vg_mda_count lvg | xargs)" 'again,mine 1 3'
lvm_detach
ok 'and is content' judge_lvm d.img e.img f.img

# --- a PV with a boot loader area, which we do not know, grows ---
truncate -s 64M j.img
lvm_attach --writable j.img
ok 'lvm2 makes a PV with a boot loader area' eval \
  'lvm2 pvcreate -q --bootloaderareasize 1m "${lvm_loops[0]}" &&
    lvm2 vgcreate -q bvg "${lvm_loops[0]}"'
lvm_detach
truncate -s 96M j.img
ok 'we take what it has grown by' "$tool" grow j.img
lvm_attach j.img
is 'and leave the rest as it was' \
  "$(lvm2 pvs --noheadings --units m -o pv_size,pv_ba_size,dev_size | xargs)" '92.00m 1.00m 96.00m'
lvm_detach
ok 'lvm2 is content' judge_lvm j.img

# --- 10,000 volumes ---
truncate -s 64M k.img
ok 'a large volume group' "$tool" create kvg k.img
ok 'gets 10,000 volumes in one commit' "$tool" many 10000 k.img
lvm_attach k.img
ok 'lvm2 is content' lvm2 vgck
is 'and sees them' "$(lvm2 lvs --noheadings -o lv_name kvg | wc -l)" 10001
lvm_detach

# --- around the ring ---
truncate -s 64M g.img
ok 'a volume group for many commits' "$tool" create rvg g.img
commits=300; [ -z "${VIRT_THIN_TEST_LONG:-}" ] || commits=5000
for round in 1 2; do
  ok "$commits commits of any size, $round" "$tool" ring $commits $round g.img
  ok 'lvm2 is content' judge_lvm g.img
done

# --- whose is it? ---
truncate -s 64M h.img
lvm_attach --writable h.img
ok 'a volume group on a block device' "$tool" create hvg "${lvm_loops[0]}"
lvm2 lvcreate -q -an -Zn -l1 -n writable hvg 2>/dev/null
lvm2 lvcreate -q -an -Zn -l1 -pr -n readonly hvg 2>/dev/null
"$tool" show "${lvm_loops[0]}" > before.txt
ok 'is taken' "$tool" take "${lvm_loops[0]}"
not_ok 'and lvm2 leaves it alone' lvm2 vgchange --addtag stranger hvg
"$tool" show "${lvm_loops[0]}" > taken.txt
not_ok 'also one that knows of no system_id' grep -q '"WRITE"' taken.txt
ours="global/system_id_source=\"lvmlocal\" local/system_id=\"virt-thin.$(hostname)\""
lvm2 vgchange -q --config "$ours" --addtag x hvg; lvm2 vgchange -q --config "$ours" --deltag x hvg
is 'whose id it is finds it written as by itself' \
  "$("$tool" show "${lvm_loops[0]}" | group /dev/stdin | diff <(group taken.txt) - |
    grep -c '^[<>]')" \
  2
ok 'we open it again, as after a crash, and give it back' "$tool" release "${lvm_loops[0]}"
"$tool" show "${lvm_loops[0]}" > after.txt
is 'as it was' "$(diff <(group before.txt) <(group after.txt) | grep '^[<>]' | grep -vc seqno)" 0
ok 'it is anybody'\''s again' lvm2 vgchange --addtag stranger hvg
lvm_detach

# --- what is there is not written over ---
truncate -s 64M i.img
mkfs.ext4 -q i.img
before=$(md5sum i.img)
not_ok 'a file system is not made a PV' "$tool" create ivg i.img
is 'and nothing changed' "$(md5sum i.img)" "$before"
