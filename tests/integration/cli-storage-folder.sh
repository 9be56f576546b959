#!/bin/bash
# virt-thin - pvesm's list, alloc, free and path on storages that are folders
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
. "$(dirname "$0")/storage-life.sh" # on, wanted, each_case

command -v qemu-img >/dev/null || skip_all "needs qemu-img"
files=$tmp/files
cat >"$cfg" <<CFG
dir: files
	path $files
	content images,rootdir,vztmpl,iso,backup,snippets,import

dir: own
	path $tmp/own
	content images,iso
	content-dirs images=vm/disks,iso=cd
	format qcow2
	preallocation off

dir: full
	path $tmp/full
	preallocation full

dir: isos
	path $files
	content iso

dir: containers
	path $files
	content rootdir

dir: twice
	path $tmp/twice
	content images,iso
	content-dirs images=one,iso=one

dir: unmade
	path $tmp/unmade
	create-base-path 0

dir: unmounted
	path $tmp/mount
	is_mountpoint 1

nfs: share
	path $tmp/share
	server 192.0.2.1
	export /srv
	content images

btrfs: sub
	path $tmp/sub
	content images,rootdir,iso

btrfs: nocow
	path $tmp/sub/nocow
	nocow

dir: off
	path $files
	disable

dir: elsewhere
	path $files
	nodes somewhere-else

rbd: ceph
	monhost 192.0.2.1
	content images
CFG

paths=(
  # description|status|standard output|words
  "path: a disk|0|$files/images/100/vm-100-disk-0.raw|path files:100/vm-100-disk-0.raw"
  "path: another guest's name|0|$files/images/100/vm-101-x.qcow2|path files:100/vm-101-x.qcow2"
  "path: a template's|0|$files/images/7/base-7-disk-0.vmdk|path files:7/base-7-disk-0.vmdk"
  "path: a container's folder|0|$files/images/100/subvol-100-disk-0.subvol|
    path files:100/subvol-100-disk-0.subvol"
  "path: a linked clone|0|$files/images/101/vm-101-disk-0.qcow2|
    path files:100/base-100-disk-0.raw/101/vm-101-disk-0.qcow2"
  "path: of what need be no template|0|$files/images/101/vm-101-disk-0.qcow2|
    path files:100/vm-100-disk-0.raw/101/vm-101-disk-0.qcow2"
  "path: iso|0|$files/template/iso/a b.ISO|path 'files:iso/a b.ISO'"
  "path: iso, img|0|$files/template/iso/a..b.img|path files:iso/a..b.img"
  "path: vztmpl|0|$files/template/cache/debian_1.tar.zst|path files:vztmpl/debian_1.tar.zst"
  "path: vztmpl, tar|0|$files/template/cache/oci.tar|path files:vztmpl/oci.tar"
  "path: backup|0|$files/dump/vzdump-qemu-100-x.vma.zst|path files:backup/vzdump-qemu-100-x.vma.zst"
  "path: backup, tgz|0|$files/dump/x.tgz|path files:backup/x.tgz"
  "path: snippets|0|$files/snippets/user.yaml|path files:snippets/user.yaml"
  "path: import|0|$files/import/a b.ova|path 'files:import/a b.ova'"
  "path: import, in an archive|0|$files/import/a.ova/disk 1.vmdk|
    path 'files:import/a.ova/disk 1.vmdk'"
  "path: content-dirs|0|$tmp/own/vm/disks/100/vm-100-disk-0.qcow2|path own:100/vm-100-disk-0.qcow2"
  "path: content-dirs, iso|0|$tmp/own/cd/x.iso|path own:iso/x.iso"
  "path: btrfs|0|$tmp/sub/images/100/vm-100-disk-0/disk.raw|path sub:100/vm-100-disk-0.raw"
  "path: btrfs, qcow2|0|$tmp/sub/images/100/vm-100-disk-0.qcow2|path sub:100/vm-100-disk-0.qcow2"
)
names=( # what is no volume's name, and what is said
  "files:100/vm-100-disk-0|filename 'vm-100-disk-0'"
  "files:100/disk.raw|filename 'disk.raw'"
  "files:100/vm-a-disk.raw|filename 'vm-a-disk.raw'"
  "files:100/VM-100-disk.raw|filename 'VM-100-disk.raw'"
  "files:100/vm-100-.raw|filename 'vm-100-.raw'"
  "files:100/vm-100-disk-0.vhdx|filename 'vm-100-disk-0.vhdx'"
  "files:100/vm-100-a/../../x.raw|filename 'vm-100-a/../../x.raw'"
  "files:100/../100/vm-100-disk-0.raw|filename '..'"
  "files:100/base-100-disk-0.img/101/vm-101-disk-0.qcow2|filename 'base-100-disk-0.img'"
  "files:100/base-100-disk-0.raw/x/vm-101-disk-0.qcow2|\
filename 'base-100-disk-0.raw/x/vm-101-disk-0.qcow2'"
  "files:100/vm-100-a b.raw|directory volume name '100/vm-100-a b.raw'"
  "files:x/vm-100-disk-0.raw|directory volume name 'x/vm-100-disk-0.raw'"
  "files:images/vm-100-disk-0.raw|directory volume name 'images/vm-100-disk-0.raw'"
  "files:rootdir/100|directory volume name 'rootdir/100'"
  "files:vm-100-disk-0.raw|directory volume name 'vm-100-disk-0.raw'"
  "files:100/|directory volume name '100/'"
  "files:iso/x.dvd|directory volume name 'iso/x.dvd'"
  "files:iso/.iso|directory volume name 'iso/.iso'"
  "files:iso/../x.iso|directory volume name 'iso/../x.iso'"
  "files:iso/a/x.iso|directory volume name 'iso/a/x.iso'"
  "files:vztmpl/x.zip.gz|directory volume name 'vztmpl/x.zip.gz'"
  "files:vztmpl/x.tar.lzo|directory volume name 'vztmpl/x.tar.lzo'"
  "files:backup/x.vma.xz|directory volume name 'backup/x.vma.xz'"
  "files:backup/x.tgz.lzo|directory volume name 'backup/x.tgz.lzo'"
  "files:backup/x.VMA|directory volume name 'backup/x.VMA'"
  "files:snippets/..|directory volume name 'snippets/..'"
  "files:snippets/a/b|directory volume name 'snippets/a/b'"
  "files:import/x.foo|directory volume name 'import/x.foo'"
  "files:import/a#.raw|directory volume name 'import/a#.raw'"
  "files:import/x.ova/y.ovf|directory volume name 'import/x.ova/y.ovf'"
)
allocs=(
  # description|status|standard output|words
  "alloc: the next name|0|successfully created 'files:100/vm-100-disk-0.raw'|
    alloc files 100 '' 1024"
  "alloc: a format|0|successfully created 'files:100/vm-100-disk-1.qcow2'|
    alloc files 100 '' 64M --format qcow2"
  "alloc: by name|0|successfully created 'files:100/vm-100-cloudinit.qcow2'|
    alloc files 100 vm-100-cloudinit.qcow2 4M"
  "alloc: vmdk|0|successfully created 'files:100/vm-100-disk-3.vmdk'|
    alloc files 100 vm-100-disk-3.vmdk 8M -format vmdk"
  "alloc: the lowest free number|0|successfully created 'files:100/vm-100-disk-2.raw'|
    alloc files 100 '' 1M --format raw"
  "alloc: and the next|0|successfully created 'files:100/vm-100-disk-4.raw'|alloc files 100 '' 1M"
  "alloc: another guest|0|successfully created 'files:101/vm-101-disk-0.raw'|alloc files 101 '' 1G"
  "alloc: another guest's name, as Proxmox has it|0|successfully created 'files:102/vm-7-x.raw'|
    alloc files 102 vm-7-x.raw 0"
  "alloc: the storage's format, and place|0|successfully created 'own:100/vm-100-disk-0.qcow2'|
    alloc own 100 '' 1M"
  "alloc: another than the storage's|0|successfully created 'own:100/vm-100-disk-1.raw'|
    alloc own 100 '' 1M --format raw"
  "alloc: preallocated|0|successfully created 'full:100/vm-100-disk-0.raw'|alloc full 100 '' 1M"
  "alloc: for a container|0|successfully created 'files:103/vm-103-disk-0.raw'|
    alloc files 103 '' 16M --content rootdir"
  "alloc: for a container, preallocated|0|successfully created 'full:103/vm-103-disk-0.raw'|
    alloc full 103 '' 16M --content rootdir"
)
refusals=(
  # description|status|standard error|words
  "alloc: a name that is taken|1|^disk image '$files/images/100/vm-100-disk-0.raw' already exists$|
    alloc files 100 vm-100-disk-0.raw 1M"
  "alloc: no format in the name|1|^unable to parse volume filename 'vm-100-x'$|
    alloc files 100 vm-100-x 1M"
  "alloc: nobody's name|1|^unable to parse volume filename 'x.raw'$|alloc files 100 x.raw 1M"
  "alloc: a path|1|^unable to parse volume filename '../100/vm-100-x.raw'$|
    alloc files 100 ../100/vm-100-x.raw 1M"
  "alloc: another format than the name's|255|^format: different storage formats \(raw != qcow2\)$|
    alloc files 100 vm-100-x.qcow2 1M --format raw"
  "alloc: a folder's name|1|
    ^illegal name 'vm-100-x.subvol' - wrong extension for format \('subvol != 'raw'\)$|
    alloc files 100 vm-100-x.subvol 1M"
  "alloc: a folder|1|^unsupported format 'subvol'|alloc files 100 '' 0 --format subvol"
  "alloc: no format|255|^format: value 'qed' does not have a value in the enumeration|
    alloc files 100 '' 1M --format qed"
  "alloc: a container's, in another format|1|^unsupported format 'qcow2': a container's volume|
    alloc files 100 '' 16M --content rootdir --format qcow2"
  "alloc: no content of that kind|1|^storage 'isos' does not support content type 'images'$|
    alloc isos 100 '' 1M"
  "alloc: a content|255|^content: 'iso' is nothing that is allocated|
    alloc files 100 '' 1M --content iso"
  "alloc: larger than a file can be|1|making $files/images/555/vm-555-disk-0.qcow2: qemu-img failed|
    alloc files 555 '' 8000000000G --format qcow2"
  "alloc: too small for a file system|1|^mkfs.ext4 failed: |alloc files 555 '' 1 --content rootdir"
  "alloc: what is no btrfs|1|
    ^unable to activate storage 'sub' - '$tmp/sub' is not a btrfs file system$|
    alloc sub 100 '' 1M"
  "alloc: another type|1|^storage 'ceph' is of type rbd: virt-thin can allocate volumes|
    alloc ceph 100 '' 1M"
  "alloc: a folder of two contents|1|
    ^unable to activate storage 'twice' - it uses directory $tmp/twice/one for multiple content types$|
    alloc twice 100 '' 1M"
  "alloc: not to be made|1|^unable to activate storage 'unmade' - $tmp/unmade: No such file|
    alloc unmade 100 '' 1M"
  "alloc: not mounted|1|^unable to activate storage 'unmounted' - nothing is mounted at $tmp/mount$|
    alloc unmounted 100 '' 1M"
  "alloc: a share that is not mounted|1|
    ^unable to activate storage 'share' - nothing is mounted at $tmp/share$|
    alloc share 100 '' 1M"
  "alloc: a disabled storage|1|^storage 'off' is disabled$|alloc off 100 '' 1M"
  "alloc: another node's|1|^storage 'elsewhere' is not available on node|alloc elsewhere 100 '' 1M"
  "list: not to be made|1|^unable to activate storage 'unmade' - |list unmade"
  "list: not mounted|1|^unable to activate storage 'unmounted' - |list unmounted"
  "list: a disabled storage|1|^storage 'off' is disabled$|list off"
  "list: another type|1|^storage 'ceph' is of type rbd: virt-thin can list volumes|list ceph"
  "free: not mounted|1|^unable to activate storage 'share' - |free share:100/vm-100-disk-0.raw"
  "free: no volume|1|^unable to parse directory volume name 'vm-100-disk-0'$|
    free files:vm-100-disk-0"
  "free: out of the folder|1|^unable to parse directory volume name 'snippets/..'$|
    free files:snippets/.."
  "free: out of the guest's folder|1|^unable to parse volume filename 'vm-100-x/../../x.raw'$|
    free files:100/vm-100-x/../../x.raw"
  "free: a folder|1|^volume 'files:100/subvol-100-disk-9.subvol' is a container's folder|
    free files:100/subvol-100-disk-9.subvol"
  "free: a part of an archive|1|is in an archive|free files:import/a.ova/disk.vmdk"
)
tests=$((${#paths[@]} + ${#names[@]} + ${#allocs[@]} + ${#refusals[@]} + 97))
plan $tests

mkdir "$files" "$tmp/share" "$tmp/mount" "$tmp/sub" "$tmp/full"
mkdir -p "$tmp/twice/one"
each_case wanted "${paths[@]}"
for name in "${names[@]}"; do
  refused "path: no name is $(tr '\n' ' ' <<<"${name%%|*}")" 1 \
    "^unable to parse (volume )?${name#*|}" on path "${name%%|*}"
done

# --- alloc ---
wanted "list: a folder with nothing in it" 0 "Volid Format  Type      Size VMID" on list files
wanted "list: a storage whose folder is not there yet" 0 "Volid Format  Type      Size VMID" \
  on list own
not_ok "which does not make it" test -e "$tmp/own"
each_case wanted "${allocs[@]}"
each_case refused "${refusals[@]}"
not_ok "a failure leaves nothing, of the guest's folder neither" test -e "$files/images/555"
not_ok "nor where nothing is mounted" test -e "$tmp/share/images"
is "alloc: the mode" \
  "$(stat -c %a "$files/images/100" "$files/images/100/vm-100-disk-0.raw" \
    "$files/images/100/vm-100-disk-1.qcow2" |
    paste -sd' ')" \
  "755 640 640"
info() { qemu-img info --output=json "$1" | field "$2"; }
is "alloc: what QEMU makes of it" \
  "$(for name in disk-0.raw disk-1.qcow2 cloudinit.qcow2 disk-3.vmdk; do
    info "$files/images/100/vm-100-$name" "d['format'], d['virtual-size']"
  done |
    paste -sd' ')" \
  "('raw', 1048576) ('qcow2', 67108864) ('qcow2', 4194304) ('vmdk', 8388608)"
metadata=$(blocks "$files/images/100/vm-100-disk-1.qcow2")
qemu-img create -q -f qcow2 -o preallocation=off "$tmp/off.qcow2" 64M
ok "alloc: metadata of qcow2 is preallocated" [ "$metadata" -gt "$(blocks "$tmp/off.qcow2")" ]
qemu-img create -q -f qcow2 -o preallocation=off "$tmp/off.qcow2" 1M
is "alloc: unless the storage says no" \
  "$(blocks "$tmp/own/vm/disks/100/vm-100-disk-0.qcow2")" "$(blocks "$tmp/off.qcow2")"
is "alloc: full" "$(blocks "$tmp/full/images/100/vm-100-disk-0.raw")" 1024
ok "alloc: full, with a file system" \
  [ "$(blocks "$tmp/full/images/103/vm-103-disk-0.raw")" -ge 16384 ]
is "alloc: a file system, with its name" \
  "$(blkid -p -s TYPE -s LABEL -o value "$files/images/103/vm-103-disk-0.raw" \
    "$tmp/full/images/103/vm-103-disk-0.raw" |
    sort | paste -sd' ')" \
  "ext4 ext4 vm-103-disk-0 vm-103-disk-0"
ok "alloc: which e2fsck finds nothing wrong with" e2fsck -fn "$files/images/103/vm-103-disk-0.raw"
for i in {1..12}; do
  on alloc files 401 '' 1M --format $([ $((i % 2)) = 0 ] && echo raw || echo qcow2) \
    >"$tmp/alloc.$i" 2>&1 &
done
wait
is "alloc: at the same time, each has a name of its own" \
  "$(cat "$tmp"/alloc.* | grep -o 'disk-[0-9]*' | sort -Vu | paste -sd' ')" \
  "$(printf 'disk-%d ' {0..11} | sed 's/ $//')"
for i in {1..8}; do on alloc files 402 vm-402-x.qcow2 1M >"$tmp/alloc.$i" 2>&1 & done; wait
is "alloc: of one name one" "$(grep -c 'successfully created' "$tmp"/alloc.[1-8] | grep -c ':1')" 1
round() {
  local i
  for i in {1..15}; do
    on alloc files 403 '' 1M && on free files:403/vm-403-disk-0.raw
    on free files:403/vm-403-disk-1.raw
  done
}
for i in 1 2 3; do round >"$tmp/round.$i" 2>&1 & done; wait
is "alloc: while the guest's folder comes and goes" \
  "$(cat "$tmp"/round.* |
    grep -vE "^(successfully created|Removed volume) |is not there: nothing to free$")" \
  ""
for i in {0..1023}; do : >"$files/images/101/vm-101-disk-$i.raw"; done
refused "alloc: no number is left" 1 \
  "^unable to allocate an image name for VM 101 in storage 'files'$" on alloc files 101 '' 1M
rm -r "$files/images/"{100,101,102,103,401,402}; rm -rf "$files/images/403"
mkdir -p "$files/images/100/subvol-100-disk-0.subvol"; : >"$files/images/100/base-100-disk-1.qcow2"
: >"$files/images/100/snap-a-vm-100-disk-2.qcow2"
wanted "alloc: what uses a number" 0 "successfully created 'files:100/vm-100-disk-3.raw'" \
  on alloc files 100 '' 1M
rm -r "$files/images/100"

# --- list ---
put() { mkdir -p "$(dirname "$files/$1")"; head -c "${2-0}" /dev/zero >"$files/$1"; }
on alloc files 100 '' 1M >/dev/null; on alloc files 100 '' 2M --format qcow2 >/dev/null
on alloc files 100 '' 3M --format vmdk >/dev/null
mkdir "$files/images/9000" "$files/images/101" "$files/images/007" "$files/images/0" \
  "$files/images/12x"
qemu-img create -q -f qcow2 "$files/images/9000/base-9000-disk-0.qcow2" 4M
qemu-img create -q -f qcow2 -b ../9000/base-9000-disk-0.qcow2 -F qcow2 \
  "$files/images/101/vm-101-disk-0.qcow2"
qemu-img create -q -f qcow2 -b "$files/images/9000/base-9000-disk-0.qcow2" -F qcow2 \
  "$files/images/101/vm-101-disk-1.qcow2"
put images/007/vm-007-disk-0.raw 1000; put images/0/vm-0-x.raw 512; put images/12x/vm-12-x.raw 1
put images/101/vm-101-disk-2.qcow2 700; mkdir "$files/images/101/subvol-101-disk-3.subvol"
put images/101/snap-s1-vm-101-disk-0.qcow2; put images/101/.vm-101-hidden.raw
put images/101/old.raw; put images/101/vm-101-notes.txt; put images/vm-1-x.raw
ln -s "$tmp/nowhere" "$files/images/101/vm-101-disk-4.raw"
ln -s "$files/images/100/vm-100-disk-0.raw" "$files/images/101/vm-101-disk-5.raw"
mkdir "$files/images/101/vm-101-disk-6.raw"
printf 'QFI\373\0\0\0\011' >"$files/images/101/vm-101-disk-7.qcow2"
put template/iso/B.ISO 5; put template/iso/a.img 12345678; put template/iso/x.dvd
mkdir "$files/template/iso/folder.iso"
put template/cache/debian_12.tar.zst 7; put template/cache/alpine.tar.gz 8
put template/cache/oci.tar 9; put template/cache/x.zip
put dump/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst 10
put dump/vzdump-lxc-101-2026_01_02-03_04_05.tar 11; put dump/vzdump-qemu-100-2026_01_02-03_04_05.log
put dump/mine.tgz 12; put dump/my-2026-backup.tar.gz 13; put dump/vzdump-qemu-99-x.vma 14
put dump/x.vma.xz
put dump/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst.notes
put dump/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst.protected
put snippets/user.yaml 1; put snippets/.hidden; mkdir "$files/snippets/folder"
put import/vm.ova 2; put import/disk.vmdk 3; put 'import/a b.raw' 4; put import/x.foo
everything="\
Volid                                                     Format  Type          Size VMID
files:007/vm-007-disk-0.raw                               raw     images        1024 7
files:100/vm-100-disk-0.raw                               raw     images     1048576 100
files:100/vm-100-disk-1.qcow2                             qcow2   images     2097152 100
files:100/vm-100-disk-2.vmdk                              vmdk    images     3145728 100
files:101/subvol-101-disk-3.subvol                        subvol  images           0 101
files:101/vm-101-disk-1.qcow2                             qcow2   images     4194304 101
files:101/vm-101-disk-2.qcow2                             invalid images        1024 101
files:101/vm-101-disk-5.raw                               raw     images     1048576 101
files:101/vm-101-disk-7.qcow2                             qcow2   images           - 101
files:9000/base-9000-disk-0.qcow2                         qcow2   images     4194304 9000
files:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2 qcow2   images     4194304 101
files:backup/my-2026-backup.tar.gz                        tar.gz  backup          13 2026
files:backup/vzdump-lxc-101-2026_01_02-03_04_05.tar       tar     backup          11 101
files:backup/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst  vma.zst backup          10 100
files:iso/a.img                                           iso     iso       12345678
files:iso/B.ISO                                           iso     iso              5
files:import/vm.ova                                       ova     import           2
files:0/vm-0-x.raw                                        raw     images         512
files:snippets/user.yaml                                  snippet snippets         1
files:vztmpl/oci.tar                                      tar     vztmpl           9
files:backup/mine.tgz                                     tgz     backup          12
files:vztmpl/alpine.tar.gz                                tgz     vztmpl           8
files:vztmpl/debian_12.tar.zst                            tzst    vztmpl           7
files:backup/vzdump-qemu-99-x.vma                         vma     backup          14
files:import/disk.vmdk                                    vmdk    import           3"
wanted "list: all" 0 "$everything" on list files
like "list: a link to nothing is left out" \
  "$err" "failed to stat '$files/images/101/vm-101-disk-4.raw'"
like "list: what is of another format is told" "$err" \
  "image '$files/images/101/vm-101-disk-2.qcow2' is not in expected format 'qcow2', querying as raw"
like "list: so is what cannot be read" "$err" "vm-101-disk-7.qcow2: .*Unsupported qcow2 version 9"
like "list: and what has no volume's name" "$err" "'101/old.raw' is not supported"
is "list: nothing else" "$(grep -c . <<<"$err")" 5
lists=(
  "list: of a guest|0|\
Volid                                                    Format  Type         Size VMID
files:100/vm-100-disk-0.raw                              raw     images    1048576 100
files:100/vm-100-disk-1.qcow2                            qcow2   images    2097152 100
files:100/vm-100-disk-2.vmdk                             vmdk    images    3145728 100
files:backup/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst vma.zst backup         10 100
files:import/vm.ova                                      ova     import          2
files:snippets/user.yaml                                 snippet snippets        1
files:import/disk.vmdk                                   vmdk    import          3|
    list files --vmid 100"
  "list: of a guest's content|0|\
Volid                                               Format  Type      Size VMID
files:backup/vzdump-lxc-101-2026_01_02-03_04_05.tar tar     backup    11 101|
    list files --vmid 101 --content backup"
  "list: iso|0|Volid           Format  Type          Size VMID
files:iso/a.img iso     iso       12345678
files:iso/B.ISO iso     iso              5|list files --content iso"
  "list: containers are those that a cluster knows|0|Volid Format  Type      Size VMID|
    list files --content rootdir"
  "list: nor are others shown where there are only containers|0|Volid Format  Type      Size VMID|
    list containers"
  "list: of a guest iso is none|0|Volid Format  Type      Size VMID|
    list files --content iso --vmid 100"
  "list: what the storage is not for|0|Volid Format  Type      Size VMID|list isos --content images"
  "list: what it is for|0|Volid          Format  Type          Size VMID
isos:iso/a.img iso     iso       12345678
isos:iso/B.ISO iso     iso              5|list isos"
  "list: content-dirs|0|Volid                       Format  Type         Size VMID
own:100/vm-100-disk-0.qcow2 qcow2   images    1048576 100
own:100/vm-100-disk-1.raw   raw     images    1048576 100
own:iso/mine.iso            iso     iso             3|list own"
)
mkdir "$tmp/own/cd"; printf xyz >"$tmp/own/cd/mine.iso"
each_case wanted "${lists[@]}"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
  mkdir -m 700 "$tmp/full/images/200"; chmod a+rx "$tmp"
  wanted "list: a folder that may not be read is an error" 1 "" setpriv --reuid=65534 \
    --regid=65534 --clear-groups "$VIRT_THIN_PROGRAM" storage list full --config "$cfg"
  like "which names it" "$err" "^reading folder $tmp/full/images/200: Permission denied$"
  rmdir "$tmp/full/images/200"
else
  skip 2 "needs root, and setpriv"
fi

# --- where something has to be mounted ---
if [ "$(id -u)" = 0 ] && mount -t tmpfs none "$tmp/mount" 2>/dev/null; then
  mount -t tmpfs none "$tmp/share"
  wanted "mounted: alloc" 0 "successfully created 'unmounted:100/vm-100-disk-0.raw'" \
    on alloc unmounted 100 '' 1M
  wanted "a share: alloc" 0 "successfully created 'share:100/vm-100-disk-0.qcow2'" \
    on alloc share 100 '' 1M --format qcow2
  wanted "a share: numbers are by format" 0 "successfully created 'share:100/vm-100-disk-0.raw'" \
    on alloc share 100 '' 1M
  wanted "a share: list" 0 "Volid                         Format  Type         Size VMID
share:100/vm-100-disk-0.qcow2 qcow2   images    1048576 100
share:100/vm-100-disk-0.raw   raw     images    1048576 100" on list share
  umount "$tmp/mount" "$tmp/share"
else
  skip 4 "cannot mount here"
fi

# --- btrfs ---
truncate -s 256M "$tmp/btrfs.img"
if [ "$(id -u)" = 0 ] && mkfs.btrfs -q "$tmp/btrfs.img" >/dev/null 2>&1 &&
    mount -o loop "$tmp/btrfs.img" "$tmp/sub" 2>/dev/null; then
  at_exit 'umount -q "$tmp/sub"'
  images=$tmp/sub/images
  subvolumes() {
    (
      cd "$images" &&
        for name in *//*; do [ "$(stat -c %i "$name")" = 256 ] && echo "${name//\/\///}"; done |
          sort | paste -sd' '
    )
  }
  each_case wanted \
    "btrfs: alloc|0|successfully created 'sub:100/vm-100-disk-0.raw'|alloc sub 100 '' 1M" \
    "btrfs: and the next|0|successfully created 'sub:100/vm-100-disk-1.raw'|alloc sub 100 '' 2M" \
    "btrfs: qcow2|0|successfully created 'sub:100/vm-100-disk-2.qcow2'|
      alloc sub 100 '' 3M --format qcow2" \
    "btrfs: by name, for a container|0|successfully created 'sub:100/vm-100-root.raw'|
      alloc sub 100 vm-100-root.raw 16M --content rootdir" \
    "btrfs: without copies on write|0|successfully created 'nocow:100/vm-100-disk-0.raw'|
      alloc nocow 100 '' 1M"
  is "btrfs: raw images are subvolumes" \
    "$(subvolumes)" "100/vm-100-disk-0 100/vm-100-disk-1 100/vm-100-root"
  is "btrfs: the mode" "$(stat -c %a "$images/100/vm-100-disk-0/disk.raw")" 640
  like "btrfs: which of a file is so" \
    "$(lsattr "$tmp/sub/nocow/images/100/vm-100-disk-0/disk.raw")" "^[^ ]*C"
  ok "btrfs: and has a file system" e2fsck -fn "$images/100/vm-100-root/disk.raw"
  refused "btrfs: alloc: a name that is taken" 1 \
    "^disk image '$images/100/vm-100-disk-0.raw' already exists$" \
    on alloc sub 100 vm-100-disk-0.raw 1M
  for i in {1..8}; do on alloc sub 401 '' 1M >"$tmp/alloc.$i" 2>&1 & done; wait
  is "btrfs: at the same time, each has a name of its own" \
    "$(cat "$tmp"/alloc.[1-8] | grep -o 'disk-[0-9]*' | sort -Vu | paste -sd' ')" \
    "$(printf 'disk-%d ' {0..7} | sed 's/ $//')"
  refused "btrfs: too small for a file system" 1 "^mkfs.ext4 failed: " \
    on alloc sub 402 '' 1 --content rootdir
  not_ok "btrfs: leaves nothing" test -e "$images/402"
  for name in vm-100-disk-0@s1 vm-100-disk-0@s2 vm-100-disk-01@s1; do
    btrfs -q subvolume snapshot -r "$images/100/vm-100-disk-0" "$images/100/$name"
  done
  btrfs -q subvolume snapshot -r "$images/100/vm-100-disk-0" "$images/100/base-100-disk-5"
  wanted "btrfs: list" 0 "Volid                       Format  Type          Size VMID
sub:100/base-100-disk-5.raw raw     images     1048576 100
sub:100/vm-100-disk-0.raw   raw     images     1048576 100
sub:100/vm-100-disk-1.raw   raw     images     2097152 100
sub:100/vm-100-disk-2.qcow2 qcow2   images     3145728 100
sub:100/vm-100-root.raw     raw     images    16777216 100" on list sub --vmid 100
  is "btrfs: without a word" "$err" ""
  wanted "btrfs: free" 0 "Removed volume 'sub:100/vm-100-disk-0.raw'" \
    on free sub:100/vm-100-disk-0.raw
  is "btrfs: with its snapshots, not another's" \
    "$(subvolumes | tr ' ' '\n' | grep ^100 | paste -sd' ')" \
    "100/base-100-disk-5 100/vm-100-disk-01@s1 100/vm-100-disk-1 100/vm-100-root"
  wanted "btrfs: free: a template, read-only" 0 "Removed volume 'sub:100/base-100-disk-5.raw'" \
    on free sub:100/base-100-disk-5.raw
  wanted "btrfs: free: qcow2" 0 "Removed volume 'sub:100/vm-100-disk-2.qcow2'" \
    on free sub:100/vm-100-disk-2.qcow2
  wanted "btrfs: free: what is not there" 0 "" on free sub:100/vm-100-disk-0.raw
  mkdir "$images/100/vm-100-plain"
  refused "btrfs: free: what is no subvolume" 1 "^removing volume 'sub:100/vm-100-plain.raw': " \
    on free sub:100/vm-100-plain.raw
  wanted "btrfs: free: the last" 0 "Removed volume 'nocow:100/vm-100-disk-0.raw'" \
    on free nocow:100/vm-100-disk-0.raw
  not_ok "btrfs: with its guest's folder" test -e "$tmp/sub/nocow/images/100"
  umount "$tmp/sub"
else
  skip 23 "needs root, a loop device, btrfs and mkfs.btrfs"
fi

# --- free ---
freed() { wanted "free: $1" 0 "Removed volume '$2'" on free "$2" "${@:3}"; }
left() { (cd "$files" && find "$1" -mindepth 1 | sort | paste -sd' '); }
wanted "free: what is not there" 0 "" on free files:100/vm-100-disk-9.raw
like "which is told" "$err" "volume 'files:100/vm-100-disk-9.raw' is not there: nothing to free"
wanted "free: nor its guest's folder" 0 "" on free files:777/vm-777-disk-0.raw
wanted "free: nor the storage's" 0 "" on free own:iso/none.iso
freed "a disk" files:100/vm-100-disk-0.raw
wanted "free: by name" 0 "Removed volume 'files:100/vm-100-disk-1.qcow2'" \
  on free 100/vm-100-disk-1.qcow2 --storage files
is "free: the others stay" "$(left images/100)" "images/100/vm-100-disk-2.vmdk"
freed "the last" files:100/vm-100-disk-2.vmdk
not_ok "free: which takes the guest's folder along" test -e "$files/images/100"
ok "free: but not the others'" test -d "$files/images"
refused "free: a template with linked clones" 1 \
  "^base volume '9000/base-9000-disk-0.qcow2' is still in use by linked clones, such as files:(101|9000)/" \
  on free files:9000/base-9000-disk-0.qcow2
freed "a linked clone" files:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2
refused "free: a template with a clone by its full path" 1 \
  "still in use by linked clones, such as files:101/vm-101-disk-1.qcow2" \
  on free files:9000/base-9000-disk-0.qcow2
qemu-img create -q -f raw "$files/images/9000/base-9000-disk-1.raw" 1M
refused "free: a template, while it cannot be told" 1 \
  "^cannot tell whether volume 'files:101/vm-101-disk-7.qcow2' is a linked clone" \
  on free files:9000/base-9000-disk-1.raw
freed "what cannot be read" files:101/vm-101-disk-7.qcow2
at_exit 'chattr -fi "$files"/images/9000/*'
chattr +i "$files/images/9000/base-9000-disk-1.raw" 2>/dev/null ||
  echo "# nothing is immutable here"
freed "a template without clones, immutable" files:9000/base-9000-disk-1.raw
freed "with --force" files:9000/base-9000-disk-0.qcow2 --force
refused "free: a folder that is called a disk" 1 "^'files:101/vm-101-disk-6.raw' is no file$" \
  on free files:101/vm-101-disk-6.raw
freed "a symbolic link" files:101/vm-101-disk-4.raw
mkdir "$tmp/outside"; : >"$tmp/outside/vm-300-disk-0.raw"; ln -s "$tmp/outside" "$files/images/300"
ln -s "$tmp/outside/vm-300-disk-0.raw" "$files/images/101/vm-101-disk-8.raw"
refused "free: behind a link in a guest's folder's place" 1 \
  "^$files/images/300 is no folder, or a symbolic link" on free files:300/vm-300-disk-0.raw
refused "alloc: nor is anything made there" 1 "^$files/images/300 is a symbolic link" \
  on alloc files 300 '' 1M
freed "a link to outside" files:101/vm-101-disk-8.raw
ok "free: outside all is there" test -e "$tmp/outside/vm-300-disk-0.raw"
archive=backup/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst
refused "free: a protected backup" 1 "^cannot remove protected volume '$archive' on 'files'$" \
  on free files:$archive --force
rm "$files/dump/vzdump-qemu-100-2026_01_02-03_04_05.vma.zst.protected"
freed "a backup" files:$archive
is "free: with its log and its notes" "$(left dump)" \
  "$(echo dump/mine.tgz dump/my-2026-backup.tar.gz dump/vzdump-lxc-101-2026_01_02-03_04_05.tar \
    dump/vzdump-qemu-99-x.vma dump/x.vma.xz)"
for name in backup/mine.tgz iso/B.ISO vztmpl/oci.tar snippets/user.yaml import/vm.ova \
    'import/a b.raw'; do
  freed "${name%%/*}" "files:$name"
done
ok "free: the folder of a content stays" test -d "$files/snippets"
sed -i 's/^dir: full$/&\n\tsnapshot-as-volume-chain 1/' "$cfg"
chain=$tmp/full/images/100; mkdir -p "$chain"; rm "$chain"/*
for name in snap-s1-vm-100-a.qcow2 snap-s2-vm-100-a.qcow2 vm-100-a.qcow2 snap-s1-vm-100-aa.qcow2 \
    snap-s1-xvm-100-a.qcow2; do
  : >"$chain/$name"
done
freed "of a chain" full:100/vm-100-a.qcow2
is "free: with its snapshots, not another's" \
  "$(ls "$chain" | paste -sd' ')" "snap-s1-vm-100-aa.qcow2 snap-s1-xvm-100-a.qcow2"
