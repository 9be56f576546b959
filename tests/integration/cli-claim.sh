#!/bin/bash
# virt-thin - what is on a file or device already: it does not become a physical volume, and a part
# of an array is none
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

md_mark() { python3 "$top_srcdir/tests/integration/md-mark.py" "$@"; }
# at FILE OFFSET: standard input to there
at() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
# its offset, so many bytes before the end
end() { echo $(($(stat -c %s "$1") - $2)); }

# --- what is there stays there ---

ok "a volume group to extend" vt init pve/data --size 64m

# kept FILE WHAT: neither init nor extend takes FILE, they say that WHAT is on it, and not a byte
# changes.
kept() {
  local file=$1 what=$2 name=${1##*/} before
  before=$(md5 "$file")
  refused "$name: init" 1 "carries $what.*--force" vt init new/data --file "$file"
  refused "$name: init, with a larger size" 1 "carries $what" \
    vt init new/data --file "$file" --size 200m
  refused "$name: extend" 1 "carries $what.*--force" vt extend pve "$file"
  is "$name: nothing changed" "$(md5 "$file")" "$before"
}
empty() { rm -f "$tmp/$1"; truncate -s 64M "$tmp/$1"; echo "$tmp/$1"; }

head -c 40M /dev/urandom > "$tmp/random"
truncate -s 64M "$tmp/random"
# Of fixed size a VHD has its mark at the end, and a VDI none of its own.
for format in qcow qcow2 qed vdi vhdx parallels vpc vpc,subformat=fixed vmdk \
    vmdk,subformat=streamOptimized; do
  file=$tmp/$format
  qemu-img convert -q -f raw -O "${format%%,*}" \
    $([ "$format" = "${format#*,}" ] || echo -o "${format#*,}") "$tmp/random" "$file" 2>/dev/null ||
    { skip 4 "qemu-img does not make $format"; continue; }
  kept "$file" "a ${format%%,*} image"
done

# What the tools make.
made() { # FILE WHAT COMMAND...
  local file what=$2; file=$(empty "$1"); shift 2
  if command -v "$1" >/dev/null && "$@" "$file" >/dev/null 2>&1; then
    kept "$file" "$what"
  else
    skip 4 "no $1"
  fi
}
made ext4 ext4 mkfs.ext4 -q
made btrfs btrfs mkfs.btrfs -q -f --mixed
made swap swap mkswap
table() { echo ',,L' | sfdisk -q --label "$1" "$2"; }
made dos "dos partitions" table dos
made gpt "gpt partitions" table gpt
# Of a GPT only the copy at the end.
gpt_copy() { table gpt "$1" && head -c 1M /dev/zero | at "$1" 0; }
made gpt-copy "gpt partitions" gpt_copy

# What other tools make: the marks as in util-linux, libblkid/src/superblocks/*.c, the least that
# identifies them.
mark() { # FILE WHAT OFFSET BYTES...: printf's, at an offset (from the end, where negative)
  local file what=$2 offset; file=$(empty "$1"); shift 2
  while [ $# -gt 0 ]; do
    offset=$1
    [ "$offset" -ge 0 ] || offset=$(end "$file" $((-offset)))
    printf -- "$2" | at "$file" "$offset"
    shift 2
  done
  kept "$file" "$what"
}
mark luks1 crypto_LUKS 0 'LUKS\xba\xbe\x00\x01'
mark luks2 crypto_LUKS 0 'LUKS\xba\xbe\x00\x02\x00\x00\x00\x00\x00\x00\x40\x00'
mark bitlocker BitLocker 0 '\xeb\x58\x90-FVE-FS-' 176 '\x00\x00\x01' 65536 \
  '-FVE-FS-\x50\x00\x02\x00'
mark iso9660 iso9660 32768 '\x01CD001\x01' 34816 '\xffCD001\x01'
mark zfs zfs_member 131072 '\x0c\xb1\xba\x00' 132096 '\x0c\xb1\xba\x00' 133120 '\x0c\xb1\xba\x00' \
  134144 '\x0c\xb1\xba\x00' 135168 '\x0c\xb1\xba\x00'
mark isw isw_raid_member -1024 'Intel Raid ISM Cfg Sig. 1.3.00'
mark promise promise_fasttrack_raid_member -32256 'Promise Technology, Inc.'
mark via via_raid_member -512 '\x55\xaa\x00'
for version in 0.90 1.0 1.1 1.2; do
  file=$(empty "md-$version")
  md_mark "$file" "$version"
  kept "$file" linux_raid_member
done

# What nobody knows: a file is no disk, where old data lies about.
(cd "$tmp" && tar -cf archive.tar -C "$top_srcdir" README.md docs && gzip -k archive.tar)
kept "$tmp/archive.tar" "data of an unknown kind"
kept "$tmp/archive.tar.gz" "data of an unknown kind"
echo x | at "$(empty one-byte)" 50000000
kept "$tmp/one-byte" "data of an unknown kind"

# --- --force ---

for name in vpc,subformat=fixed gpt-copy md-1.0 md-0.90 one-byte; do
  ok "$name: init --force" vt init forced/data --force --file "$tmp/$name"
  ok "$name: which makes a good pool" vt --device "$tmp/$name" check forced/data
  is "$name: nothing else is there" "$(blkid -p -s TYPE -o value "$tmp/$name")" LVM2_member
  rm "$tmp/$name"
done
ok "extend --force" vt extend --force pve "$tmp/ext4"
ok "which makes a good volume group" vt check pve/data
refused "not over a volume group" 1 'of volume group pve already' \
  vt init --force new/data --file "$tmp/ext4"
refused "nor by extend" 1 'in use' vt extend --force pve "$state/pve.img"
head -c 20M /dev/zero > "$tmp/zeros"
truncate -s 64M "$tmp/zeros"
ok "zeros are nothing, also those that are written" vt extend pve "$tmp/zeros"

# --- parts of arrays ---

# A volume group on two devices.
two() {
  rm -f "$tmp/p1" "$tmp/p2" "$tmp/whole"
  truncate -s 64M "$tmp/p1" "$tmp/p2"
  vt init two/data --file "$tmp/p1" && vt --device "$tmp/p1" extend two "$tmp/p2" &&
    vt --device "$tmp/p1" --device "$tmp/p2" create two/a --size 8m
}
not_taken() { # HOW TYPE
  local before how=$1
  before=$(cat "$tmp/p1" "$tmp/p2" | md5)
  refused "$how: is missing" 1 "p2\) is missing; $tmp/p2 is a part of an array \($2\).*" \
    vt --device "$tmp/p1" --device "$tmp/p2" create two/b --size 4m
  run vt --device "$tmp/p1" --device "$tmp/p2" list two
  like "$how: the list says so" "$err" "$tmp/p2 is a part of an array \($2\)"
  refused "$how: nor by itself" 1 "no volume group two.*p2 is a part of an array \($2\)" \
    vt --device "$tmp/p2" create two/b --size 4m
  refused "$how: it is nothing to put another on" 1 "carries $2" vt init other/data --file "$tmp/p2"
  refused "$how: nor to extend with" 1 "carries $2" vt extend pve "$tmp/p2"
  is "$how: nothing changed" "$(cat "$tmp/p1" "$tmp/p2" | md5)" "$before"
}
for version in 0.90 1.0 1.1 1.2; do
  ok "md $version: a physical volume on a mirror" two
  truncate -s 65M "$tmp/p2"
  md_mark "$tmp/p2" $version
  not_taken "md $version" linux_raid_member
done
for version in 0.90 1.0; do
  ok "md $version, in place: a physical volume" two
  md_mark "$tmp/p2" $version
  not_taken "md $version, in place" linux_raid_member
done
ok "Intel's RAID: a physical volume" two
truncate -s 65M "$tmp/p2"
printf 'Intel Raid ISM Cfg Sig. 1.3.00' | at "$tmp/p2" "$(end "$tmp/p2" 1024)"
not_taken "Intel's RAID" isw_raid_member
ok "Promise's RAID: a physical volume" two
truncate -s 65M "$tmp/p2"
printf 'Promise Technology, Inc.' | at "$tmp/p2" "$(end "$tmp/p2" 32256)"
not_taken "Promise's RAID" promise_fasttrack_raid_member

# The array itself has the same label: that is the one.
ok "a mirror's whole: a physical volume" two
cp --sparse=always "$tmp/p2" "$tmp/whole"
truncate -s 65M "$tmp/p2"
md_mark "$tmp/p2" 1.0
ok "the whole is taken, beside its part" \
  vt --device "$tmp/p1" --device "$tmp/p2" --device "$tmp/whole" create two/b --size 4m

# What a guest writes is the guest's, though it looks like a RAID's mark: here the extents reach to
# the end.
rm -f "$tmp/guest"
ok "a pool whose extents reach to the end" \
  vt init guest/data --file "$tmp/guest" --size 81m --extent-size 64k
is "they do" \
  "$(vt --device "$tmp/guest" info --json guest | field "d['volume_group']['size']")" $((64 << 20))
md_mark "$tmp/guest" 1.0
ok "a mark in an extent means nothing" vt --device "$tmp/guest" create guest/a --size 4m

# A disk with partitions, and a label that something left there.
ok "partitions: a physical volume" two
printf '\x00\x00\x02\x00\x83\x00\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00' | at "$tmp/p2" 446
printf '\x55\xaa' | at "$tmp/p2" 510
refused "a disk with partitions is no physical volume" 1 'p2 is a disk with partitions' \
  vt --device "$tmp/p1" --device "$tmp/p2" create two/b --size 4m
head -c 64 /dev/zero | at "$tmp/p2" 446
ok "with an empty table it is" vt --device "$tmp/p1" --device "$tmp/p2" create two/b --size 4m

# --- block devices ---

if [ "$(id -u)" = 0 ] && loop=$(losetup -f --show "$(empty disk)" 2>/dev/null); then
  at_exit "losetup -d $loop"
  qemu-img create -q -f qcow2 "$loop" 32M
  refused "a block device with an image" 1 'carries a qcow2 image' vt init disk/data --file "$loop"
  head -c 8M /dev/urandom > "$loop"
  ok "old data on a block device is nothing" vt init disk/data --file "$loop"
  ok "a mounted one: its content" vt --device "$loop" check disk/data
  mkfs.ext4 -q -F "$loop"
  mkdir "$tmp/mnt" && mount "$loop" "$tmp/mnt" && at_exit "umount -q '$tmp/mnt' || :"
  refused "a mounted one, --force or not" 1 'in use|ext4' vt init disk/data --force --file "$loop"
  ok "is still mounted and whole" \
    sh -c "touch '$tmp/mnt/x' && umount '$tmp/mnt' && e2fsck -fn '$loop' >/dev/null 2>&1"
  ok "not mounted, --force takes it" vt init disk/data --force --file "$loop"
else
  skip 7 "needs root and loop devices"
fi
plan $tap_count
