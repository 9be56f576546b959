#!/bin/bash
# virt-thin - pvesm's commands: words, output, units and exit status
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

vt init pve/data --size 1g --reserve 64m >/dev/null
lv() { vt list --json pve | field "' '.join(sorted(v['name'] for v in d['volumes']))"; }
volume() { vt info --json "$1" | field "d['volume']['$2']"; }
. "$(dirname "$0")/storage-life.sh"

failures=(
  # description|status|standard error|words
  "alloc: a format|1|^unsupported format 'qcow2'$|alloc local-lvm 100 '' 1M --format qcow2"
  "alloc: a suffix is a format|1|^unsupported format 'qcow2'$|alloc local-lvm 100 vm-100-x.qcow2 1M"
  "alloc: another format than the suffix|255|^format: different storage formats \(raw != qcow2\)$|
    alloc local-lvm 100 vm-100-x.qcow2 1M --format raw"
  "alloc: a template's name|1|^illegal name 'base-100-x' - should be 'vm-100-\*'$|
    alloc local-lvm 100 base-100-x 1M"
  "alloc: a path|1|illegal characters|alloc local-lvm 100 vm-100-../x 1M"
  "alloc: a size|255|^size: value does not match the regex pattern$|alloc local-lvm 100 '' 1T"
  "alloc: a size of a fraction|255|^size: value|alloc local-lvm 100 '' 1.5G"
  "alloc: a negative size|255|^400 unknown option: 1G$|alloc local-lvm 100 '' -1G"
  "alloc: a size beyond all|255|^size: unable to parse size|alloc local-lvm 100 '' 99999999999999G"
  "alloc: a VMID|255|^vmid: invalid format - value does not look like a valid VM ID$|
    alloc local-lvm 99 '' 1M"
  "alloc: no VMID|255|^vmid: type check \('integer'\) failed - got 'x1'$|alloc local-lvm x1 '' 1M"
  "alloc: no storage|1|^storage 'none' does not exist$|alloc none 100 '' 1M"
  "alloc: a disabled storage|1|^storage 'off' is disabled$|alloc off 100 '' 1M"
  "alloc: another node's|1|^storage 'elsewhere' is not available on node '.*'$|
    alloc elsewhere 100 '' 1M"
  "alloc: a broken one|1|^storage 'broken' is broken: see line [0-9]+ of|alloc broken 100 '' 1M"
  "alloc: another type|1|storage 'san' is of type iscsi|alloc san 100 '' 1M"
  "alloc: too few|255|^400 not enough arguments$|alloc local-lvm 100"
  "alloc: too many|255|^400 too many arguments$|alloc local-lvm 100 '' 1M more"
  "alloc: usage|255|^virt-thin storage alloc <storage> <vmid> <filename> <size> \[OPTIONS\]$|alloc"
  "alloc: an unknown option|255|^400 unknown option: explode$|alloc --explode"
  "a flag that is none|255|^400 unable to parse boolean option --enabled$|status --enabled=maybe"
  "free: no storage|255|^volume: no storage specified - incomplete volume ID$|free vm-100-disk-0"
  "free: another storage|255|^volume: storage ID mismatch \(local-lvm != disks\)$|
    free local-lvm:vm-100-disk-0 --storage disks"
  "free: no volume id|255|^volume: unable to parse volume ID 'x:y'$|free x:y"
  "free: a delay|255|^delay: value must be from 1 to 30$|free local-lvm:vm-999-a --delay 31"
  "path: no volume id|255|^volume: invalid format - unable to parse volume ID 'vm-100-disk-0'$|
    path vm-100-disk-0"
  "path: a linked clone of other storages|1|illegal characters|
    path local-lvm:base-100-disk-0/vm-101-disk-0"
  "path: out of the folder|1|unable to parse directory volume name|path files:iso/../../x"
  "list: a VMID|255|^vmid: |list local-lvm --vmid 1x"
  "list: a content|255|^content: invalid format - invalid content type 'movies'$|
    list local-lvm --content movies"
  "list: no storage|1|^storage 'none' does not exist$|list none"
  "scan: of what|255|^400 unknown command 'scan nfs'|scan nfs"
  "scan lvmthin: a name|255|^vg: value does not match the regex pattern$|scan lvmthin a,b"
  "status: no storage|255|^storage: No such storage\.$|status --storage none"
  "export: a format that is not ours|1|^volume export format qcow2\+size not available for lvmthin$|
    export local-lvm:vm-100-disk-0 qcow2+size $tmp/x"
  "export: no format|255|^format: value 'raw' does not have a value in the enumeration|
    export local-lvm:vm-100-disk-0 raw $tmp/x"
  "export: a snapshot|1|^cannot export a snapshot in lvmthin$|
    export local-lvm:vm-100-disk-0 raw+size $tmp/x --snapshot s1"
  "export: with snapshots|1|^cannot export volumes together with their snapshots in lvmthin$|
    export local-lvm:vm-100-disk-0 raw+size $tmp/x -with-snapshots 1"
  "export: incremental|1|^cannot export an incremental stream in lvmthin$|
    export local-lvm:vm-100-disk-0 raw+size $tmp/x --base s1"
  "import: no file|1|^open\($tmp/none\): No such file|import local-lvm:vm-100-x1 raw+size $tmp/none"
  "import: no address|1|neither an address nor a network|
    import local-lvm:vm-100-x1 raw+size tcp://here"
  "import: no such network here|1|Unable to get any local IP address in network '198.51.100.0/24'|
    import local-lvm:vm-100-x1 raw+size tcp://198.51.100.0/24"
  "add: no type|255|^type: value 'foo' is no type of storage$|add foo s1"
  "add: an id|255|^storage: invalid format - storage ID 's' cannot be shorter than 2 characters$|
    add lvmthin s --vgname pve --thinpool data"
  "add: a value|255|^vgname: invalid format - lvm name 'p' contains|
    add lvmthin s1 --vgname p --thinpool data"
  "add: taken|1|^create storage failed: storage ID 'local-lvm' already defined$|
    add lvmthin local-lvm --vgname pve --thinpool data"
  "add: something missing|1|^create storage failed: missing value for required option 'thinpool'$|
    add lvmthin s1 --vgname pve"
  "add: an unknown property|255|^400 unknown option: foo$|add lvmthin s1 --foo 1"
  "add: a secret|1|^create storage failed: password: virt-thin keeps no secrets|
    add cifs s1 --server nas --share s --password x"
  "prune-backups: what there may be|1|
    storage 'files' is of type dir: virt-thin does not prune backups|
    prune-backups files --keep-last 1"
  "prune-backups: a number|255|^keep-last: type check \('integer'\) failed - got 'x'$|
    prune-backups files --keep-last x"
  "prune-backups: all, and not|255|^prune-backups: keep-all cannot be set together|
    prune-backups local-lvm --keep-all 1 --keep-daily 7"
  "prune-backups: a type|255|^type: value 'vm' does not have a value in the enumeration|
    prune-backups local-lvm --type vm"
  "prune-backups: no storage|1|^storage 'none' does not exist$|prune-backups none"
  "extractconfig: what is no backup|1|^volume 'local-lvm:vm-100-disk-0' is no backup$|
    extractconfig local-lvm:vm-100-disk-0"
  "extractconfig: what may be one|1|storage 'files' is of type dir: virt-thin does not read|
    extractconfig files:backup/vzdump-qemu-100-2026_01_01-00_00_00.vma.zst"
  "extractconfig: no volume id|255|^volume: invalid format - unable to parse volume ID 'x:'$|
    extractconfig x:"
  "list: of what is not LVM's|1|
    storage 'san' is of type iscsi: virt-thin can list volumes in folders and on storages of types lvmthin and lvm|
    list san"
  "set: what is fixed|255|^400 unknown option: thinpool$|set local-lvm --thinpool other"
  "set: not there|1|^update storage failed: storage 'none' does not exist$|set none --nodes a"
  "set: a digest|1|^update storage failed: detected modified configuration|
    set local-lvm --nodes a --digest 1234"
  "set: delete what is required|1|
    ^update storage failed: unable to delete required option 'vgname'$|
    set local-lvm --delete vgname"
  "set: delete what is fixed|1|^update storage failed: unable to delete fixed option 'base'$|
    set thick --delete base"
  "set: delete what there is not|1|^update storage failed: no such option 'path'$|
    set local-lvm --delete path"
  "set: and delete|1|
    ^update storage failed: cannot set and delete property 'nodes' at the same time!$|
    set local-lvm --delete nodes --nodes a"
  "set: a value|255|^nodes: invalid format - value does not look like a valid node name$|
    set local-lvm --nodes a_b"
  "remove: not there|1|^delete storage failed: storage 'none' does not exist$|remove none"
  "remove: what another is on|1|
    ^delete storage failed: can't remove storage - storage is used as base of another storage$|
    remove san"
)
plan $((storage_life_tests + ${#failures[@]} + 37))

cp "$cfg" "$tmp/before"
storage_life
each_case refused "${failures[@]}"
ok "nothing of that changed the file" cmp "$cfg" "$tmp/before"
refused "an option without its argument" 255 "^400 option format requires an argument$" \
  st alloc --format
not_ok "nor left one of an export" test -e "$tmp/x"
run on alloc none 100 '' 1M
like "what is wrong in the file is said, too" \
  "$err" "file $cfg line 33 \(skip section 'strange'\): unsupported type 'foo'"
like "and harms no other" \
  "$err" "line 38 \(skip section 'broken'\): missing value for required option 'thinpool'"

# --- status ---
cat >"$tmp/status.cfg" <<CFG
lvmthin: local-lvm
	thinpool data
	vgname pve

lvmthin: broken
	thinpool none
	vgname pve

lvmthin: off
	thinpool data
	vgname pve
	disable

lvmthin: elsewhere
	thinpool data
	vgname pve
	nodes somewhere-else

dir: nodir
	path $tmp/none
CFG
empty_pool
vt create pve/vm-100-disk-0 --size 512m
head -c 99614720 /dev/urandom | vt import - pve/vm-100-disk-0
stat_on() { vt storage status --config "$tmp/status.cfg" "$@"; }
total=$(vt info --json pve/data | field "d['pool']['size']") \
  used=$(vt info --json pve/data | field "d['pool']['used']")
shown=$(python3 -c "
t=$total; h=round($used*10000/t); u=t*h//10000
print('%15d %15d %15d % 7.2f%%' % (t//1024, u//1024, (t-u)//1024, u*100/t))")
wanted "status" 0 \
  "Name             Type     Status     Total (KiB)      Used (KiB) Available (KiB)        %
broken        lvmthin   inactive               0               0               0    0.00%
elsewhere     lvmthin   disabled               0               0               0      N/A
local-lvm     lvmthin     active $shown
nodir             dir   inactive               0               0               0    0.00%
off           lvmthin   disabled               0               0               0      N/A" stat_on
like "why one is not active is said" "$err" "storage 'broken': .*none"
wanted "status: one" 0 \
  "Name             Type     Status     Total (KiB)      Used (KiB) Available (KiB)        %
local-lvm     lvmthin     active $shown" stat_on --storage local-lvm
run stat_on -enabled 1
is "status: the enabled" \
  "$(awk 'NR > 1 { print $1 }' <<<"$out" | paste -sd' ')" "broken local-lvm nodir"
run stat_on --content iso; is "status: by content" "$(wc -l <<<"$out")" 1
run stat_on --enabled; is "status: a bare flag" "$(wc -l <<<"$out")" 4
stat_on --json 2>/dev/null >"$tmp/json"
ok "status: JSON as its schema says" valid storage-status <"$tmp/json"
is "status: metadata, health, overcommit" \
  "$(field "[s['metadata_size'] > s['metadata_used'] > 0 and s['health'] == 'well' and
    0.5 < s['overcommit'] < 0.6 for s in d['storages'] if s['storage'] == 'local-lvm']" \
    <"$tmp/json")" \
  "[True]"
run stat_on -v
like "status -v" \
  "$out" "metadata [0-9]+ of 8192 KiB, .*; health: well; volumes of 524288 KiB in all, 0.5"
mkdir "$tmp/none"; run stat_on --storage nodir
is "status: a folder, as df has it" "$(awk 'NR == 2 { print $3, $4 }' <<<"$out")" \
  "active $(df -k --output=size "$tmp/none" | awk 'NR == 2 { print $1 }')"

# --- at the same time ---
if can_serve; then
  vt serve pve
  for i in {1..12}; do on alloc local-lvm 401 '' 4M >"$tmp/alloc.$i" 2>&1 & done; wait
  is "of a volume group that is served, too" \
    "$(sort -u "$tmp"/alloc.* | grep -c 'successfully created')" 12
  run on status --storage local-lvm
  like "whose state is known" "$out" "^local-lvm +lvmthin +active"
  vt storage import --config "$tmp/thick.cfg" thick:vm-402-disk-0 raw+size \
    "$tmp/stream" >/dev/null 2>&1
  is "and linear volumes, too, are made" \
    "$(vt storage export --config "$tmp/thick.cfg" thick:vm-402-disk-0 raw+size - 2>/dev/null |
      md5)" \
    "$(md5 "$tmp/stream")"
  wanted "and freed" 0 "Removed volume 'thick:vm-402-disk-0'" \
    vt storage free --config "$tmp/thick.cfg" thick:vm-402-disk-0
  vt stop pve
else
  skip 4 "cannot serve here"
fi

# --- streams ---
on import local-lvm:vm-503-disk-0 raw+size "unix://$tmp/socket" >"$tmp/unix.out" 2>/dev/null &
pid=$!
wait_until 10 grep -q ready "$tmp/unix.out"
python3 -c 'import socket, sys, shutil
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendfile(open(sys.argv[2], "rb"))' \
  "$tmp/socket" "$tmp/stream"
wait $pid
is "import: from a Unix socket" \
  "$(paste -sd' ' "$tmp/unix.out") $(export_md5 export pve/vm-503-disk-0)" \
  "ready successfully imported 'local-lvm:vm-503-disk-0' $(tail -c +9 "$tmp/stream" | md5)"
on import local-lvm:vm-504-disk-0 raw+size tcp://127.0.0.0/8 >"$tmp/tcp.out" 2>/dev/null & pid=$!
wait_until 10 sh -c "[ \$(wc -l <'$tmp/tcp.out') = 2 ]"
python3 -c 'import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendfile(open(sys.argv[3], "rb"))' \
  $(cat "$tmp/tcp.out") "$tmp/stream"
wait $pid
is "import: from a TCP port" "$(sed -n '1p;3p' "$tmp/tcp.out" | paste -sd' ')" \
  "127.0.0.1 successfully imported 'local-lvm:vm-504-disk-0'"
ok "lvm2 and thin_check have nothing to complain of" judge_lvm "$state/pve.img"

# --- rename ---
vt create pve/vm-200-disk-0 --size 4m; vt snapshot pve/vm-200-disk-0 before
if command -v lvm >/dev/null && lvm_attach --writable "$state/pve.img"; then
  lvm2 lvchange -qq --addtag pve-vm-200 --addtag other pve/vm-200-disk-0 2>/dev/null
  lvm_detach
  is "of the owner lvm2 knows" "$(volume pve/vm-200-disk-0 tags)" "['pve-vm-200', 'other']"
  vt rename pve/vm-200-disk-0 vm-205-disk-0
  is "rename: the owner's tag follows" \
    "$(volume pve/vm-205-disk-0 tags | tr "'" '\n' | grep -E '[a-z]' | sort | paste -sd' ')" \
    "other pve-vm-205"
  like "rename: so do the snapshots" "$(lv)" "snap_vm-205-disk-0_before"
else
  skip 3 "needs lvm2 and a loop device"
fi

# --- the file ---
chmod 604 "$cfg"
wanted "add" 0 "" \
  on add lvmthin new --vgname pve --thinpool data --nodes node1 --nodes node2 --disable
is "as Proxmox writes it, at the end" "$(tail -n +39 "$cfg")" "
lvmthin: new
	disable
	thinpool data
	vgname pve
	nodes node1,node2"
ok "the rest stays" cmp -n "$(stat -c %s "$tmp/before")" "$cfg" "$tmp/before"
is "and the file's mode" "$(stat -c %a "$cfg")" 604
wanted "set" 0 "" on set new -content images --bwlimit move=100 --disable 0 --delete nodes \
  --digest "$(sha1sum <"$cfg" | cut -d' ' -f1)"
is "is in the file" "$(tail -n +39 "$cfg")" "
lvmthin: new
	thinpool data
	vgname pve
	bwlimit move=100
	content images"
wanted "remove" 0 "" on remove new
ok "what was there before is there" cmp -n "$(stat -c %s "$tmp/before")" "$cfg" "$tmp/before"
for i in {1..8}; do on add dir "par$i" --path "/srv/$i" 2>/dev/null & done; wait
is "many at once lose nothing" "$(grep -c '^dir: par' "$cfg")" 8
ln -s "$cfg" "$tmp/link"; vt storage remove --config "$tmp/link" par1 2>/dev/null
is "a symbolic link stays one" "$(readlink "$tmp/link") $(grep -c '^dir: par' "$cfg")" "$cfg 7"
wanted "add: to no file" 0 "" vt storage add dir store --path /srv/store --config "$tmp/new.cfg"
ln -s "$VIRT_THIN_PROGRAM" "$tmp/pvesm"
is "under the name pvesm it is that" \
  "$("$tmp/pvesm" path local-lvm:vm-1-d --config "$cfg" 2>/dev/null)" \
  "$VIRT_THIN_DEV_DIR/pve/vm-1-d"
