#!/bin/bash
# virt-thin mount, umount, snapshot --exec: what is in a volume is got at, the volume stays as it
# is, and nothing is left behind
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
. "$(dirname "$0")/service-lib.sh"
for program in mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat sfdisk; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
need_root_fuse_loop
plan 99
service=$VIRT_THIN_PROGRAM vg=mnt$$
volumes=$VIRT_THIN_RUNTIME_DIR/$vg/volumes
mnt=$tmp/mnt guest=$tmp/guest
mkdir "$mnt" "$guest" "$tmp/files"
at_exit service_end
at_exit 'umount -q "$mnt"; umount -q "$guest"; umount -q "$tmp"/run/*/mount/*/* 2>/dev/null'
known() { grep -qw "$1" /proc/filesystems; }
left() { # what is there beside the volumes of this test
  names $vg | tr ' ' '\n' | grep _tmp
  grep " $tmp/run/$vg/mount/" /proc/self/mountinfo
  ls -A "$tmp/run/$vg/mount" 2>/dev/null
}
volume_md5() { vt export "$vg/$1" - | md5; }

# --- images of disks, made without a kernel's help but for what must be used to be dirty ---

MIB=$((1 << 20))
put() { dd if="$1" of="$2" bs=1M seek="$3" conv=notrunc,sparse status=none; } # FILE DISK MIB
make_fs() { # TYPE FILE SIZE: with a file "what" that says TYPE
  echo "$1" >"$tmp/files/what"
  truncate -s "$3" "$2"
  case $1 in
    ext4) mkfs.ext4 -q -F -L "fs-$1" -d "$tmp/files" "$2";;
    xfs)
      printf '/\n0 0\nd--755 0 0\nwhat ---644 0 0 %s\n$\n' "$tmp/files/what" >"$tmp/proto"
      mkfs.xfs -q -f -L "fs-$1" -p "$tmp/proto" "$2";;
    btrfs) mkfs.btrfs -q -f -L "fs-$1" --rootdir "$tmp/files" "$2";;
    vfat) mkfs.vfat -n FS-VFAT "$2";;
  esac >&2
}
make_disk() { # DISK MIB LABEL-TYPE PARTITION-MIB...
  local disk=$1 size=$2 table=$3; shift 3
  truncate -s "${size}M" "$disk"
  { echo "label: $table"; printf 'size=%sM\n' "$@"; } | sfdisk -q "$disk" >&2
}
make_fs ext4 "$tmp/ext4" 16M && make_fs xfs "$tmp/xfs" 300M && make_fs btrfs "$tmp/btrfs" 120M &&
  make_fs vfat "$tmp/vfat" 16M || exit 1
make_disk "$tmp/gpt" 480 gpt 16 300 120 16 8
for i in 1:1:ext4 2:17:xfs 3:317:btrfs 4:437:vfat; do
  IFS=: read -r _ at fs <<<"$i"; put "$tmp/$fs" "$tmp/gpt" "$at"
done
make_disk "$tmp/mbr" 40 dos 16 && put "$tmp/ext4" "$tmp/mbr" 1
printf 'LUKS\xba\xbe\x00\x01' >"$tmp/luks" && truncate -s 8M "$tmp/luks"

ok "a volume group" vt init $vg/data --size 2G
for disk in gpt mbr ext4 luks; do
  vt import --format raw "$tmp/$disk" $vg/$disk >&2 || exit 1
done

# --- which file system ---

before=$(volume_md5 gpt)
refused "several file systems: one is to be chosen" 1 "has 4 file systems: choose one" \
  vt mount $vg/gpt "$mnt"
like "their numbers, sizes, types and labels are told" "$err" "^ +2 +300.00 MiB +xfs +fs-xfs$"
is "nothing is left of that" "$(left)" ""
for i in 1:ext4 2:xfs 3:btrfs; do
  known "${i#*:}" || { skip 4 "this kernel has no ${i#*:}"; continue; }
  ok "mount ${i#*:}, partition ${i%:*} of a GPT" vt mount $vg/gpt "$mnt" --partition "${i%:*}"
  is "${i#*:}: its file is there" "$(cat "$mnt/what")" "${i#*:}"
  not_ok "${i#*:}: it is read-only" touch "$mnt/new"
  ok "${i#*:}: umount" vt umount "$mnt"
done
if known vfat; then
  ok "vfat" eval 'vt mount $vg/gpt "$mnt" --partition 4 && vt umount "$mnt"'
else
  refused "a file system that this kernel does not know is named" 1 \
    "cannot mount partition 4 of $vg/gpt \(vfat\) on $mnt: .*vfat" \
    vt mount $vg/gpt "$mnt" --partition 4
fi
is "the volume has not changed" "$(volume_md5 gpt)" "$before"
is "nothing is left" "$(left)" ""
not_ok "nor a service, which nobody had started before" test -e "$tmp/run/$vg/pid"
refused "a partition that is not there" 1 "has no partition 7:" \
  vt mount $vg/gpt "$mnt" --partition 7
refused "one with nothing on it" 1 "cannot be mounted: nothing known is on it" \
  vt mount $vg/gpt "$mnt" --partition 5
refused "a LUKS header is recognised" 1 "crypto_LUKS +\(encrypted: .*cryptsetup" \
  vt mount $vg/luks "$mnt"
ok "the only file system of an MBR" vt mount $vg/mbr "$mnt"
is "is mounted" "$(cat "$mnt/what")" ext4
refused "not where something is mounted" 1 "has something mounted already" \
  vt mount $vg/ext4 "$mnt"
ok "umount by the volume's name" vt umount $vg/mbr
ok "a file system without partitions" vt mount $vg/ext4 "$mnt"
like "what a guest made setuid or a device is neither on the host" \
  "$(findmnt -no OPTIONS "$mnt")" '^ro,nosuid,nodev'
is "is mounted" "$(cat "$mnt/what")" ext4
ok "umount" vt umount "$mnt"
if command -v mkntfs mount.ntfs-3g ntfscp >/dev/null; then
  truncate -s 20M "$tmp/ntfs"; echo ntfs >"$tmp/what"
  { mkntfs -F -q -L fs-ntfs "$tmp/ntfs" && ntfscp "$tmp/ntfs" "$tmp/what" what; } >&2
  vt import --format raw "$tmp/ntfs" $vg/ntfs >&2
  ok "NTFS, by ntfs-3g" vt mount $vg/ntfs "$mnt"
  is "its file is there" "$(cat "$mnt/what")" ntfs
  not_ok "it is read-only" touch "$mnt/new"
  ok "umount" vt umount "$mnt"
  ok "for writing" eval 'vt mount $vg/ntfs "$mnt" --rw && echo new >"$mnt/new" && vt umount "$mnt"'
  is "which is kept" "$(vt snapshot $vg/ntfs --exec cat {}/new)" new
  is "nothing is left" "$(left)" ""
else
  skip 7 "needs ntfs-3g"
fi
truncate -s 40M "$tmp/4k" && loop=$(losetup --find --show --sector-size 4096 "$tmp/4k") &&
  printf 'label: gpt\nsize=16M\n' | sfdisk -q "$loop" >&2
losetup -d "$loop"; put "$tmp/ext4" "$tmp/4k" 1
vt import --format raw "$tmp/4k" $vg/4k >&2
ok "a partition table that counts in sectors of 4096" vt mount $vg/4k "$mnt"
is "is understood" "$(cat "$mnt/what")" ext4
ok "a plain umount" umount "$mnt"
refused "leaves the clone to the next" 1 "no clone of $vg/4k is mounted" vt umount $vg/4k
is "which takes it away" "$(left)" ""
refused "no such folder" 1 "is no folder to mount on" vt mount $vg/ext4 "$tmp/none"
refused "no such snapshot" 1 "has no snapshot \"s\"" vt mount $vg/ext4@s "$mnt"
refused "nothing is mounted" 1 "no clone of $vg/ext4 is mounted" vt umount $vg/ext4

# --- LVM in the guest: root in one piece, split in two ---

truncate -s 64M "$tmp/pv" && lvm_attach --writable "$tmp/pv" &&
  lvm2 vgcreate -q -s 4M guestvg "$lvm_devices" >&2 &&
  lvm2 lvcreate -q -an -Zn -Wn -l 4 -n root guestvg >&2 &&
  lvm2 lvcreate -q -an -Zn -Wn -l 1 -n split guestvg >&2 &&
  lvm2 lvcreate -q -an -Zn -Wn -l 1 -n between guestvg >&2 &&
  lvm2 lvextend -q -l 2 guestvg/split >&2 || exit 1
lvm_detach
make_fs ext4 "$tmp/root" 16M && put "$tmp/root" "$tmp/pv" 1
make_disk "$tmp/lvm" 66 gpt 64 && put "$tmp/pv" "$tmp/lvm" 1
vt import --format raw "$tmp/lvm" $vg/lvm >&2
refused "a volume of LVM in the guest that is in pieces" 1 "in several pieces" \
  vt mount $vg/lvm "$mnt" --partition guestvg/split
run vt mount $vg/lvm "$mnt" --partition nothing
like "what LVM in the guest has is told: the physical volume" "$err" \
  "^ +1 +.* LVM2_member +\(a physical volume of guestvg\)"
like "its volumes" "$err" "^ +guestvg/root +16.00 MiB +ext4 +fs-ext4$"
ok "its only file system is mounted" vt mount $vg/lvm "$mnt"
is "and is there" "$(cat "$mnt/what")" ext4
ok "umount" vt umount $vg/lvm

# --- a file system that was in use: what was synced is there ---

for fs in ext4 xfs btrfs; do
  known $fs || { skip 4 "this kernel has no $fs"; continue; }
  mount -o loop "$tmp/$fs" "$guest" && echo "$fs was synced" >"$guest/synced" &&
    sync "$guest/synced" && cp --sparse=always "$tmp/$fs" "$tmp/dirty" && umount "$guest" || exit 1
  vt import --format raw "$tmp/dirty" $vg/dirty-$fs >&2
  before=$(volume_md5 dirty-$fs)
  ok "$fs with a journal to replay" vt mount $vg/dirty-$fs "$mnt"
  is "$fs: what was synced is there" "$(cat "$mnt/synced")" "$fs was synced"
  vt umount "$mnt" >&2
  vt mount $vg/dirty-$fs "$mnt" --direct && vt umount "$mnt"
  is "$fs: mounted itself, too" "$?" 0
  is "$fs: the volume has not changed" "$(volume_md5 dirty-$fs)" "$before"
done

# --- a volume that is written to meanwhile ---

ok "serve it" vt serve $vg
loop=$(losetup --find --show "$volumes/ext4") && mount "$loop" "$guest" && losetup -d "$loop"
(
  i=0
  while [ ! -e "$tmp/enough" ]; do
    i=$((i + 1))
    echo $i >"$guest/count.new"; sync "$guest/count.new"; mv "$guest/count.new" "$guest/count"
    sync -f "$guest"; echo $i >"$tmp/count"
  done
) &
wait_until 20 test -e "$tmp/count"
count=$(cat "$tmp/count")
ok "a volume that somebody writes to" vt mount $vg/ext4 "$mnt"
is "is mounted as it was" "$([ "$(cat "$mnt/count")" -ge "$count" ] && cat "$mnt/what")" ext4
ok "umount" vt umount $vg/ext4
refused "not itself" 1 "ext4 is in use by block device loop[0-9]+, in use by a mount on $guest" \
  vt mount $vg/ext4 "$mnt" --direct
refused "nor for writing" 1 "is in use by" vt mount $vg/ext4 "$mnt" --rw
ok "snapshot --exec meanwhile" \
  eval '[ "$(vt snapshot $vg/ext4 --exec cat {}/what)" = ext4 ]'
touch "$tmp/enough"; wait; umount "$guest"
ok "the service was there, and is" vt info $vg
ok "for writing" vt mount $vg/ext4 "$mnt" --rw
like "... likewise" "$(findmnt -no OPTIONS "$mnt")" '^rw,nosuid,nodev'
ok "something is written" eval 'echo new >"$mnt/new" && vt umount "$mnt"'
vt snapshot $vg/ext4 s >&2
ok "a snapshot" vt mount $vg/ext4@s "$mnt"
is "has it" "$(cat "$mnt/new")" new
ok "umount by the snapshot's name" vt umount $vg/ext4@s
refused "no snapshot for writing" 1 "is read-only, a snapshot or a template" \
  vt mount $vg/ext4@s "$mnt" --rw

# --- snapshot --exec ---

vt snapshot $vg/ext4 --exec sh -c 'cat "$VIRT_THIN_SNAPSHOT/what"; exit 7' >"$tmp/said"
is "the exit status is the command's, its variable says where" "$? $(cat "$tmp/said")" "7 ext4"
is "two at one instant" \
  "$(vt snapshot $vg/ext4 $vg/mbr --exec sh -c 'cat {}/ext4/what {}/mbr/what' | xargs)" "ext4 ext4"
is "the volume itself" "$(vt snapshot $vg/gpt --raw --exec cat {} | md5)" "$(volume_md5 gpt)"
vt snapshot $vg/ext4 kept --exec true
like "a snapshot that has a name stays" "$(names $vg)" "snap_ext4_kept"
refused "a command that is not there" 1 "cannot run $tmp/none" \
  vt snapshot $vg/ext4 --exec "$tmp/none"
is "nothing is left" "$(left)" ""
begin() { # SIGNAL: and it comes when the command runs
  rm -f "$tmp/started"
  "$service" snapshot $vg/ext4 $vg/mbr --exec sh -c "echo >'$tmp/started'; exec sleep 1000" &
  wait_until 20 test -e "$tmp/started"
  kill "-$1" $!; wait $!
}
begin TERM
is "ended by a signal, it cleans up" "$? $(left)" "143 "
begin KILL
like "killed, the next run finds it" "$(left)" "_tmp"
ok "and cleans up" vt snapshot $vg/mbr --exec true
is "so that nothing is left" "$(left)" ""
vt mount $vg/ext4 "$mnt" >&2
begin KILL
ok "so does umount, of another" vt umount "$mnt"
is "nothing is left" "$(left)" ""

# --- a service that was started for a mount ---

vt stop $vg >&2
ok "nobody serves it" vt mount $vg/ext4 "$mnt"
run vt serve $vg
ok "somebody wants to: it stays" eval 'vt umount "$mnt" && vt stop $vg'
ok "a crash" eval 'vt mount $vg/ext4 "$mnt" && kill -9 "$(cat "$tmp/run/$vg/pid")"'
wait_until 10 eval '! pgrep -f "^virt-thin-(engine|nodes) $vg"'
ok "umount all the same" vt umount "$mnt"
is "nothing is left" "$(left)" ""
printf '[limits]\novercommit=0.01\n' >"$VIRT_THIN_CONFIG"
refused "where no clone can be made it is said how to do without" 1 \
  "no clone of it can be made to mount \(mount --direct needs none\)" vt mount $vg/ext4 "$mnt"
ok "and that does" eval 'vt mount $vg/ext4 "$mnt" --direct && vt umount "$mnt"'
ok "the volume group is whole" "$top_srcdir/scripts/judge" --quiet "$state/$vg.img"
