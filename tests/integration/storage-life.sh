# virt-thin - pvesm's commands and the life of a volume, whoever serves the volume group: sourced by
# cli-storage.sh, and by kernel-storage.guest in the guest
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Needs what lib.sh and cli-lib.sh have, and an empty thin pool pve/data; of the volume group's own
# ways: volume VG/LV KEY, and lv, which prints the volumes' names, sorted, in one line.
# storage_life_tests is the number of tests.
cfg=$tmp/storage.cfg
st() { vt storage "$@"; }
on() { vt storage "$@" --config "$cfg"; }
empty_pool() { local name; for name in $(lv); do vt remove --force "pve/$name"; done; }

# wanted DESCRIPTION STATUS STDOUT COMMAND...
wanted() {
  local description=$1 want=$2 text=$3 got=0; shift 3
  run "$@" || got=$?
  if [ "$got" = "$want" ] && [ "$out" = "$text" ]; then tap_result 0 "$description"
  else
    tap_result 1 "$description" \
      "$*: status $got, wanted $want: got: $out"$'\n'"want: $text"$'\n'"said: $err"
  fi
}

# Tables of "description|status|standard output, or error|words"; that output, and the words, may
# begin on lines of their own.
each_case() { # FUNCTION LINE...
  local judge=$1 line description status text words; shift
  for line; do
    description=${line%%|*}; line=${line#*|}; status=${line%%|*}; line=${line#*|}; text=${line%|*}
    [[ $text != $'\n'* ]] || text=${text#"${text%%[![:space:]]*}"}
    eval "words=(${line##*|})"
    "$judge" "$description" "$status" "$text" on "${words[@]}" </dev/null
  done
}
cases=(
  # description|status|standard output|words
  "alloc: the next name|0|successfully created 'local-lvm:vm-100-disk-0'|
    alloc local-lvm 100 '' 65536"
  "alloc: and the next|0|successfully created 'local-lvm:vm-100-disk-1'|alloc local-lvm 100 '' 64M"
  "alloc: by name|0|successfully created 'local-lvm:vm-100-cloudinit'|
    alloc local-lvm 100 vm-100-cloudinit 4M"
  "alloc: format|0|successfully created 'local-lvm:vm-101-disk-0'|
    alloc local-lvm 101 '' 1G --format raw"
  "alloc: options with one dash, before the arguments|0|
    successfully created 'local-lvm:vm-102-disk-0'|
    alloc -format raw local-lvm 102 '' 1024"
  "list: all|0|Volid                      Format  Type            Size VMID
local-lvm:vm-100-cloudinit raw     images       4194304 100
local-lvm:vm-100-disk-0    raw     images      67108864 100
local-lvm:vm-100-disk-1    raw     images      67108864 100
local-lvm:vm-101-disk-0    raw     images    1073741824 101
local-lvm:vm-102-disk-0    raw     images       4194304 102|list local-lvm"
  "list: of a guest|0|Volid                   Format  Type            Size VMID
local-lvm:vm-101-disk-0 raw     images    1073741824 101|list local-lvm --vmid 101"
  "list: none|0|Volid Format  Type      Size VMID|list local-lvm --vmid 555"
  "list: of a content there is none|0|Volid Format  Type      Size VMID|
    list local-lvm --content rootdir"
  "path|0|$VIRT_THIN_DEV_DIR/pve/vm-100-disk-0|path local-lvm:vm-100-disk-0"
  "path: there need be nothing|0|$VIRT_THIN_DEV_DIR/pve/base-9-x1|path local-lvm:base-9-x1"
  "path: nor is it asked whether the storage is enabled|0|$VIRT_THIN_DEV_DIR/pve/vm-1-d|
    path off:vm-1-d"
  "path: of a folder|0|/srv/x/template/iso/a.iso|path files:iso/a.iso"
  "path: of a disk in a folder|0|/srv/x/images/100/vm-100-disk-0.raw|
    path files:100/vm-100-disk-0.raw"
  "free|0|Removed volume 'local-lvm:vm-100-disk-1'|free local-lvm:vm-100-disk-1"
  "free: by name|0|Removed volume 'local-lvm:vm-102-disk-0'|free vm-102-disk-0 --storage local-lvm"
  "free: what is not there|0||free local-lvm:vm-999-disk-0 --delay 5"
  "alloc: the lowest free number|0|successfully created 'local-lvm:vm-100-disk-1'|
    alloc local-lvm 100 '' 64M"
  "scan lvm|0|pve|scan lvm"
  "lvmscan|0|pve|lvmscan"
  "scan lvmthin|0|data|scan lvmthin pve"
  "lvmthinscan|0|data|lvmthinscan pve"
  "apiinfo|0|APIVER 15
APIAGE 6|apiinfo"
  "prune-backups: there are none|0|No backups found|prune-backups local-lvm --dry-run --keep-last 3"
  "prune-backups: nothing to do|0||prune-backups local-lvm -keep-last 3 -type qemu -vmid 100"
)
refusals=(
  # description|status|standard error|words
  "alloc: another guest's name|1|^illegal name 'vm-101-x' - should be 'vm-100-\*'$|
    alloc local-lvm 100 vm-101-x 1M"
  "alloc: a name that is taken|1|vm-100-disk-0|alloc local-lvm 100 vm-100-disk-0 1M"
  "alloc: a size of 0|1|size of 0|alloc local-lvm 100 '' 0"
  "alloc: no content of that kind|1|^storage 'disks' does not support content type 'rootdir'$|
    alloc disks 100 '' 64M --content rootdir"
  "free: no guest's volume|1|^unable to parse lvm volume name 'data'$|free local-lvm:data"
  "scan lvmthin: no group|1|volume group none|scan lvmthin none"
  "export: what is not there|1|vm-999-disk-0|export local-lvm:vm-999-disk-0 raw+size $tmp/x"
  "import: a format that is not ours|1|^volume import format zfs not available for lvmthin$|
    import local-lvm:vm-100-x1 zfs $tmp/x"
  "add: no such group|1|^create storage failed: no such volume group 'none': |
    add lvmthin s1 --vgname none --thinpool data"
  "add: no such pool|1|^create storage failed: no such logical volume pve/other$|
    add lvmthin s1 --vgname pve --thinpool other"
)
thick=(
  # as cases
  "alloc: without a thin pool|0|successfully created 'thick:vm-700-disk-0'|alloc thick 700 '' 6M"
  "alloc: its number is taken for thin ones, too|0|successfully created 'local-lvm:vm-700-disk-1'|
    alloc local-lvm 700 '' 4M"
  "alloc: and the other way round|0|successfully created 'thick:vm-700-disk-2'|
    alloc thick 700 '' 4M"
  "list: each storage has its own|0|Volid               Format  Type         Size VMID
thick:vm-700-disk-0 raw     images    8388608 700
thick:vm-700-disk-2 raw     images    4194304 700|list thick --vmid 700"
  "free: a linear one|0|Removed volume 'thick:vm-700-disk-2'|free thick:vm-700-disk-2"
)
thick_refusals=(
  "alloc: beyond what the group has|1|
    cannot create volume pve/vm-701-disk-0: .*(has [0-9.]+ .iB free|insufficient free space)|
    alloc thick 701 '' 100G"
  "alloc: a format|1|^unsupported format 'qcow2'$|alloc thick 701 vm-701-disk-0.qcow2 4M"
  "free: not from another storage|1|
    ^volume 'vm-700-disk-0' is not on storage 'local-lvm': it is in no thin pool$|
    free local-lvm:vm-700-disk-0"
  "free: nor a thin one from this|1|
    ^volume 'vm-700-disk-1' is not on storage 'thick': it is in data$|
    free thick:vm-700-disk-1"
  "free: a base there cannot be|1|^unable to parse lvm volume name 'base-700-disk-0'$|
    free thick:base-700-disk-0"
  "free: what is to be overwritten first|1|
    ^storage 'wiped' has saferemove: overwrite volume 'vm-700-disk-0'|
    free wiped:vm-700-disk-0"
  "export: what is named as of another format|1|named as one of format qcow2|
    export thick:vm-700-disk-0.qcow2 raw+size $tmp/x"
)
storage_life_tests=$((${#cases[@]} + ${#refusals[@]} + ${#thick[@]} + ${#thick_refusals[@]} + 71))
cat >"$cfg" <<'CFG'
# ours
lvmthin: local-lvm
	thinpool data
	vgname pve

lvmthin: disks
	thinpool data
	vgname pve
	content images

lvmthin: off
	thinpool data
	vgname pve
	disable

lvmthin: elsewhere
	thinpool data
	vgname pve
	nodes somewhere-else

dir: files
	path /srv/x

iscsi: san
	portal 10.0.0.1
	target iqn.2003-01.org.x:y

lvm: thick
	vgname pve
	base san:0.0.0.x
	disable

foo: strange
	bar 1

# the last
lvmthin: broken
	vgname pve
CFG

storage_life() {
  storage_words
  storage_templates
  storage_snapshots
  storage_containers
  storage_at_once
  storage_streams
  storage_thick
}

storage_words() { # 1 more than in the tables
  each_case wanted "${cases[@]}"
  each_case refused "${refusals[@]}"
  run on free local-lvm:vm-999-disk-0
  like "free: that it is not there is said" "$err" "volume 'local-lvm:vm-999-disk-0' is not there"
  empty_pool
}

storage_templates() { # 24
  local uuid golden
  head -c 3000000 /dev/urandom >"$tmp/image"
  vt create pve/vm-100-disk-0 --size 16m; vt import "$tmp/image" pve/vm-100-disk-0
  uuid=$(volume pve/vm-100-disk-0 uuid) golden=$(export_md5 export pve/vm-100-disk-0)
  is "template" "$(vt template pve/vm-100-disk-0)" "pve/base-100-disk-0"
  is "it is read-only" "$(volume pve/base-100-disk-0 readonly)" true
  is "and the volume that it was" "$(volume pve/base-100-disk-0 uuid)" "$uuid"
  is "with the content" "$(export_md5 export pve/base-100-disk-0)" "$golden"
  refused "it is not written to" 1 'read-only' vt import "$tmp/image" pve/base-100-disk-0
  refused "and not resized" 1 'read-only' vt resize pve/base-100-disk-0 +4m
  refused "no template's template" 1 '^virt-thin: create_base not possible with base image$' \
    vt template pve/base-100-disk-0
  refused "nor one of what is no guest's" 1 'unable to parse lvm volume name' vt template pve/data
  ok "a linked clone" vt clone pve/base-100-disk-0 pve/vm-200-disk-0
  is "can be written" "$(volume pve/vm-200-disk-0 readonly) $(volume pve/vm-200-disk-0 origin)" \
    "false base-100-disk-0"
  is "and has the template's content" "$(export_md5 export pve/vm-200-disk-0)" "$golden"
  ok "a full clone" vt clone --full pve/base-100-disk-0 pve/vm-202-disk-0
  is "has the content, and shares nothing" \
    "$(export_md5 export pve/vm-202-disk-0) $(volume pve/vm-202-disk-0 origin) $(
      volume pve/vm-202-disk-0 shared)" \
    "$golden null 0"
  ok "a full clone named as a template" vt clone --full pve/vm-202-disk-0 pve/base-202-disk-0
  is "is one" \
    "$(volume pve/base-202-disk-0 readonly) $(export_md5 export pve/base-202-disk-0)" "true $golden"
  vt create pve/vm-203-disk-0 --size 4m; vt create pve/base-203-disk-0 --size 4m
  refused "template: a name that is taken" 1 'base-203-disk-0' vt template pve/vm-203-disk-0
  is "leaves the volume as it was" "$(volume pve/vm-203-disk-0 readonly)" false
  wanted "a template counts for the next name" 0 "successfully created 'local-lvm:vm-100-disk-1'" \
    on alloc local-lvm 100 '' 4M
  run on list local-lvm
  is "list: a template is its guest's" \
    "$(grep base-100 <<<"$out")" "local-lvm:base-100-disk-0 raw     images    16777216 100"
  refused "free: a template with linked clones" 1 "still in use by linked clones: vm-200-disk-0" \
    on free local-lvm:base-100-disk-0
  refused "remove, too" 1 "still in use by linked clones: vm-200-disk-0" \
    vt remove pve/base-100-disk-0
  wanted "unless told to" 0 "Removed volume 'local-lvm:base-100-disk-0'" \
    on free local-lvm:base-100-disk-0 --force
  is "the clone stays whole" "$(export_md5 export pve/vm-200-disk-0)" "$golden"
  ok "and the pool well" vt check pve/data
  vt remove pve/vm-202-disk-0 pve/base-202-disk-0 pve/vm-203-disk-0 pve/base-203-disk-0
}

storage_snapshots() { # 16; needs the volumes of storage_templates
  local before after
  before=$(export_md5 export pve/vm-200-disk-0)
  vt snapshot pve/vm-200-disk-0 before
  head -c 2000000 /dev/urandom >"$tmp/image"; vt import "$tmp/image" pve/vm-200-disk-0
  after=$(export_md5 export pve/vm-200-disk-0)
  vt snapshot pve/vm-200-disk-0 after
  refused "no template with snapshots" 1 "found snapshot 'snap_vm-200-disk-0_(before|after)'" \
    vt template pve/vm-200-disk-0
  ok "rollback, and not to the newest" vt rollback pve/vm-200-disk-0 before
  is "gives the content back" "$(export_md5 export pve/vm-200-disk-0)" "$before"
  ok "all snapshots stay, also for a rollback forward" vt rollback pve/vm-200-disk-0 after
  is "which gives that content back" "$(export_md5 export pve/vm-200-disk-0)" "$after"
  ok "a linked clone of a snapshot" vt clone pve/snap_vm-200-disk-0_before pve/vm-204-disk-0
  is "has its content" \
    "$(export_md5 export pve/vm-204-disk-0) $(volume pve/vm-204-disk-0 readonly)" "$before false"
  ok "rename to another guest" vt rename pve/vm-200-disk-0 vm-205-disk-0
  is "the snapshots follow" "$(lv)" \
    "snap_vm-205-disk-0_after snap_vm-205-disk-0_before vm-100-disk-1 vm-204-disk-0 vm-205-disk-0"
  vt rename pve/vm-205-disk-0 vm-206-disk-0
  is "and the tag of its owner" "$(volume pve/vm-206-disk-0 tags)" "['pve-vm-206']"
  ok "delete a snapshot" vt remove pve/snap_vm-206-disk-0_after
  ok "resize by less than an extent" vt resize pve/vm-206-disk-0 +1k
  is "gives a whole one" "$(volume pve/vm-206-disk-0 size)" $((20 << 20))
  refused "a snapshot is not resized" 1 'read-only' vt resize pve/snap_vm-206-disk-0_before +4m
  vt create pve/vm-100-a --size 4m; vt create pve/vm-100-a_b --size 4m; vt snapshot pve/vm-100-a s1
  vt snapshot pve/vm-100-a_b cc
  on free local-lvm:vm-100-a >/dev/null 2>&1
  is "free takes its own snapshots, and never another's" "$(lv)" \
    "$(echo snap_vm-100-a_b_cc snap_vm-206-disk-0_before vm-100-a_b vm-100-disk-1 vm-204-disk-0 \
      vm-206-disk-0)"
  vt create pve/vm-100-disk.9 --size 4m; vt create pve/vm-100-disk-9 --size 4m
  vt snapshot pve/vm-100-disk-9 keep
  on free local-lvm:vm-100-disk.9 >/dev/null 2>&1
  like "a dot in a name is a dot" "$(lv)" "snap_vm-100-disk-9_keep"
}

storage_containers() { # 5
  if ! command -v mkfs.ext4 >/dev/null || ! [ -x /usr/sbin/e2fsck ]; then
    skip 5 "needs e2fsprogs"
    return
  fi
  wanted "alloc: a container's" 0 "successfully created 'local-lvm:vm-300-disk-0'" \
    on alloc local-lvm 300 '' 64M --content rootdir
  vt export pve/vm-300-disk-0 "$tmp/rootdir.img"
  ok "it has a file system" /usr/sbin/e2fsck -fn "$tmp/rootdir.img"
  is "with a label" "$(/usr/sbin/e2label "$tmp/rootdir.img")" "vm-300-disk-0"
  ok "which takes little" test "$(volume pve/vm-300-disk-0 mapped)" -lt 20000000
  run on list local-lvm --content rootdir
  is "list: it is a rootdir" \
    "$(awk 'NR > 1 { print $1, $3 }' <<<"$out")" "local-lvm:vm-300-disk-0 rootdir"
  rm "$tmp/rootdir.img"
}

storage_at_once() { # 1
  local i made=${storage_at_once:-12} jobs=()
  for ((i = 0; i < made; i++)); do
    on alloc local-lvm 400 '' 4M >"$tmp/alloc.$i" 2>&1 & jobs+=($!)
  done
  wait "${jobs[@]}"
  is "alloc: many at once, no name twice" \
    "$(cat "$tmp"/alloc.* | grep 'successfully created' | sort -u | wc -l)" "$made"
  rm "$tmp"/alloc.*
}

storage_streams() { # 14; needs vm-204-disk-0
  on export local-lvm:vm-204-disk-0 raw+size "$tmp/stream"
  is "export: the header" "$(head -c 8 "$tmp/stream" | od -An -tx1 | tr -d ' \n')" 0000000100000000
  is "export: the content" \
    "$(tail -c +9 "$tmp/stream" | md5)" "$(export_md5 export pve/vm-204-disk-0)"
  ok "export: holes stay holes" test "$(blocks "$tmp/stream")" -lt 8000
  is "export: to standard output" \
    "$(on export local-lvm:vm-204-disk-0 raw+size - 2>/dev/null | md5)" "$(md5 "$tmp/stream")"
  wanted "import: from standard input" 0 "successfully imported 'local-lvm:vm-500-disk-0'" \
    on import local-lvm:vm-500-disk-0 raw+size - <"$tmp/stream"
  is "import: the content" \
    "$(export_md5 export pve/vm-500-disk-0)" "$(export_md5 export pve/vm-204-disk-0)"
  refused "import: taken" 1 "^volume pve/vm-500-disk-0 already exists$" \
    on import local-lvm:vm-500-disk-0 raw+size "$tmp/stream"
  wanted "import: another name" 0 "successfully imported 'local-lvm:vm-500-disk-1'" \
    on import local-lvm:vm-500-disk-0 raw+size "$tmp/stream" --allow-rename 1
  on free local-lvm:vm-500-disk-1 >/dev/null 2>&1
  wanted "import: a template" 0 "successfully imported 'local-lvm:base-501-disk-0'" \
    on import local-lvm:base-501-disk-0 raw+size "$tmp/stream"
  is "which is one" "$(volume pve/base-501-disk-0 readonly)" true
  wanted "import: a template under another name" 0 \
    "successfully imported 'local-lvm:base-501-disk-1'" \
    on import local-lvm:base-501-disk-0 raw+size "$tmp/stream" -allow-rename
  head -c 1000000 "$tmp/stream" >"$tmp/short"; lv >"$tmp/names"
  refused "import: a stream that ends too early" 1 \
    "says that it has 16777216 bytes and has 999992" \
    on import local-lvm:vm-502-disk-0 raw+size "$tmp/short"
  head -c 5 "$tmp/stream" >"$tmp/short"
  refused "import: no header" 1 "no size found in export header" \
    on import local-lvm:vm-502-disk-0 raw+size "$tmp/short"
  is "leaves nothing" "$(lv)" "$(cat "$tmp/names")"
}

storage_thick() { # 10 more than in its tables
  local cfg=$tmp/thick.cfg golden
  printf '%b' 'lvmthin: local-lvm\n\tthinpool data\n\tvgname pve\n\n' \
    'lvm: thick\n\tvgname pve\n\tcontent images,rootdir\n\n' \
    'lvm: wiped\n\tvgname pve\n\tsaferemove\n' >"$cfg"
  each_case wanted "${thick[@]}"
  each_case refused "${thick_refusals[@]}"
  is "it is its guest's, as Proxmox marks it" "$(volume pve/vm-700-disk-0 tags)" "['pve-vm-700']"
  head -c $((8 << 20)) /dev/urandom | vt import - pve/vm-700-disk-0
  on free thick:vm-700-disk-0 >/dev/null
  head -c 3000000 /dev/urandom >"$tmp/image"; truncate -s 8M "$tmp/image"
  golden=$(md5 "$tmp/image")
  { printf '\0\0\200\0\0\0\0\0'; cat "$tmp/image"; } >"$tmp/stream" # 8 MiB
  wanted "import: where others' data was" 0 "successfully imported 'thick:vm-702-disk-0'" \
    on import thick:vm-702-disk-0 raw+size "$tmp/stream"
  is "nothing of which shows where it has zeros" "$(export_md5 export pve/vm-702-disk-0)" "$golden"
  is "export" "$(on export thick:vm-702-disk-0 raw+size - 2>/dev/null | tail -c +9 | md5)" "$golden"
  refused "import: taken" 1 "^volume pve/vm-702-disk-0 already exists$" \
    on import thick:vm-702-disk-0 raw+size "$tmp/stream"
  wanted "free: one with saferemove, and told to" 0 "Removed volume 'wiped:vm-702-disk-0'" \
    on free wiped:vm-702-disk-0 --force
  if command -v mkfs.ext4 >/dev/null && [ -x /usr/sbin/e2fsck ]; then
    wanted "alloc: a container's" 0 "successfully created 'thick:vm-703-disk-0'" \
      on alloc thick 703 '' 32M --content rootdir
    vt export pve/vm-703-disk-0 "$tmp/image"
    ok "it has a file system" /usr/sbin/e2fsck -fn "$tmp/image"
    wanted "free: that, too" 0 "Removed volume 'thick:vm-703-disk-0'" on free thick:vm-703-disk-0
  else
    skip 3 "needs e2fsprogs"
  fi
  run on list thick
  is "and all is free again" "$(wc -l <<<"$out")" 1
  on free local-lvm:vm-700-disk-1 >/dev/null
}
