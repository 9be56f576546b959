#!/bin/bash
# virt-thin - archive and unarchive: a whole volume group onto other devices, judged by lvm2,
# thin_check and sfdisk; damaged archives, full disks, and a process that is killed
# SPDX-License-Identifier: LGPL-2.1-or-later
[ ! -w /dev/shm ] || TMPDIR=/dev/shm
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root for loop devices"
command -v lvm >/dev/null || skip_all "no lvm2"
losetup --find >/dev/null 2>&1 || skip_all "no loop devices"
cd "$tmp" || exit 1
plan 68

source_state=$state
# The same program where there is no volume group yet.
elsewhere() { export VIRT_THIN_STATE_DIR=$tmp/other; mkdir -p "$tmp/other"; }
at_home() { export VIRT_THIN_STATE_DIR=$source_state; }
new_files() { # SIZE NAME...
  local size=$1; shift
  rm -f "$@"; truncate -s "$size" "$@"
}
# What lvm2 says of a volume group in files; sizes of pools and their parts only with "all".
account() { # all|volumes FILE...
  local fields=lv_name,lv_uuid,lv_attr,pool_lv,origin,thin_id,lv_tags,lv_time,transaction_id
  local what=$1; shift
  lvm_attach "$@"
  lvm2 vgs --noheadings -o vg_tags pve
  if [ "$what" = all ]; then
    lvm2 lvs -a --noheadings -o $fields,lv_size,chunk_size,zero,discards,lv_when_full pve | sort -u
  else
    lvm2 lvs --noheadings -o $fields,chunk_size,zero,discards,lv_when_full pve | sort -u
  fi
  lvm_detach
}
volumes="root vm-100-disk-0 vm-101-disk-0 vm-102-disk-0 vm-200-disk-0 base-103-disk-0
  vm-104-disk-0 snap_vm-100-disk-0_one snap_vm-100-disk-0_two snap_vm-101-disk-0_one"
sums() { # LENGTH of each, of what follows only that it is zero; [--device …]
  local length=$1 name; shift
  for name in $volumes; do
    echo "$name $(vt "$@" export "pve/$name" - 2>/dev/null | head -c "$length" | md5)"
  done
}
uuid_of() { # VG [--device …]
  local vg=$1; shift
  vt "$@" info --json "$vg" | field "d['volume_group']['uuid']"
}
used() { vt "$@" info --json pve/data | field "d['pool']['used']"; }
within_a_percent() { [ $(($1 * 100)) -le $(($2 * 101)) ] && [ $(($2 * 100)) -le $(($1 * 101)) ]; }
tables() { sfdisk --verify "$1" 2>&1 | grep -i -e error -e backup -e warning; }
gone() { not_ok "$1: there is no volume group" vt info "${2-pve}"; }

# --- a volume group with what there is ---
vt init pve/data --size 640m --reserve 200m 2>/dev/null
vt init pve/slow --size 40m --chunk-size 1m 2>/dev/null
truncate -s 120m disk
sfdisk -q disk <<'END' 2>/dev/null
label: gpt
start=1MiB, size=60MiB
start=62MiB
END
mkfs.ext4 -q -E offset=1048576 disk 60m 2>/dev/null
truncate -s 40m disk4k
printf 'g\nn\n1\n\n+20M\nw\n' | fdisk -b 4096 disk4k >/dev/null 2>&1
head -c 9m /dev/urandom | dd of=disk bs=1M seek=20 conv=notrunc status=none
head -c 5000000 /dev/urandom > small
vt import disk pve/vm-100-disk-0 --pool data
vt import small pve/vm-101-disk-0 --pool data
vt create pve/vm-102-disk-0 --size 1t --pool data 2>/dev/null
vt import disk4k pve/vm-200-disk-0 --pool slow
vt snapshot pve/vm-100-disk-0 one
dd if=/dev/urandom of=disk bs=64k seek=500 count=40 conv=notrunc status=none
vt import disk pve/vm-100-disk-0
vt snapshot pve/vm-100-disk-0 two
vt snapshot pve/vm-101-disk-0 one
vt resize pve/vm-101-disk-0 +12m # and has data where its snapshot has none
cat small small small | vt import - pve/vm-101-disk-0
vt import small pve/vm-103-disk-0 --pool data
vt template pve/vm-103-disk-0
vt clone pve/base-103-disk-0 pve/vm-104-disk-0
dd if=/dev/urandom of=disk bs=64k seek=900 count=9 conv=notrunc status=none
vt import disk pve/vm-100-disk-0
lvm_attach --writable state/pve.img
lvm2 lvcreate -q -an -Zn -Wn -y -l 5 -n root pve >/dev/null
lvm2 lvchange -q --addtag of-a-volume pve/vm-101-disk-0 >/dev/null
lvm2 vgchange -q --addtag of-the-group pve >/dev/null
lvm_detach
vt import small pve/root
before=$(account all state/pve.img) volumes_before=$(account volumes state/pve.img)
sums_before=$(sums 16m)
used_before=$(used)
digest=$(sparse_md5 state/pve.img)
ok 'archive it' vt archive pve all.vtar
is 'which leaves it as it was' "$(sparse_md5 state/pve.img)" "$digest"
ok 'the archive holds little more than the data, and what is shared once' \
  test "$(stat -c %s all.vtar)" -le $((used_before + 5 * 1048576 + 5 * 1048576 + 65536))
ok 'with zstd, from a pipe to a pipe' eval 'vt archive pve - --zstd > all.zst'
is 'a name that is there already' \
  "$(vt unarchive all.vtar pve 2>&1 | grep -o 'there is a volume group pve already')" \
  'there is a volume group pve already'
ok 'another one gets a UUID of its own' vt unarchive all.vtar second
uuid=$(uuid_of pve)
not_ok 'so that the two are not taken for one' [ "$uuid" = "$(uuid_of second)" ]

# --- onto three files ---
elsewhere
new_files 300m a.img b.img c.img
three="--device a.img --device b.img --device c.img"
# shellcheck disable=SC2086
ok 'onto three files' eval "vt $three unarchive - pve < all.zst"
# shellcheck disable=SC2086
is 'its UUID is the one it had' "$(uuid_of pve $three)" "$uuid"
# shellcheck disable=SC2086
is 'volumes read the same' "$(sums 16m $three)" "$sums_before"
# shellcheck disable=SC2086
ok 'and take as much' within_a_percent "$(used $three)" "$used_before"
is 'lvm2 sees the same' "$(account all a.img b.img c.img)" "$before"
ok 'and has nothing to complain of, nor has thin_check' judge_lvm a.img b.img c.img
# shellcheck disable=SC2086
is 'also each of the volumes' "$(vt $three list pve)" "$(at_home; vt list pve)"
# shellcheck disable=SC2086
ok 'it can be changed' vt $three snapshot pve/vm-104-disk-0 later
refused 'onto its files' 1 'a.img is a physical volume of volume group pve|belongs' \
  vt --device a.img unarchive all.vtar other --force

# --- smaller, larger, other extents ---
new_files 190m small.img
ok 'onto a smaller file' vt --device small.img unarchive all.vtar pve
is 'volumes read the same' "$(sums 16m --device small.img)" "$sums_before"
is 'lvm2 sees the same volumes' "$(account volumes small.img)" "$volumes_before"
ok 'and is content' judge_lvm small.img
ok 'and they take as much' within_a_percent "$(used --device small.img)" "$used_before"
new_files 60m tiny.img
refused 'onto one that is too small' 1 'needs .* for what is in use .* room for' \
  vt --device tiny.img unarchive all.vtar pve
is 'which is left empty' "$(blocks tiny.img)" 0
new_files 2g large.img
ok 'onto a larger one, with larger extents' \
  vt --device large.img unarchive all.vtar pve --extent-size 16m
is 'volumes read the same' \
  "$(sums 5m --device large.img | grep -v -e vm-100 -e vm-200)" \
  "$(at_home; sums 5m | grep -v -e vm-100 -e vm-200)"
ok 'and lvm2 is content' judge_lvm large.img
is 'what became larger has its partition table at its new end' \
  "$(vt --device large.img export pve/vm-100-disk-0 out; tables out)" 'No errors detected.'

# --- grown ---
ok 'grown, into the state folder' vt unarchive all.vtar pve --size 1g \
  --grow pve/vm-100-disk-0=400m --grow data=700m --grow root=+8m --grow vm-101-disk-0=+1g \
  --grow vm-200-disk-0=+40m
is 'the volume is larger' "$(volume pve/vm-100-disk-0 size)" $((400 << 20))
is 'so is the pool' "$(vt info --json pve/data | field "d['pool']['size']")" $((700 << 20))
is 'and the linear volume' "$(volume pve/root size)" $((28 << 20))
vt export pve/vm-100-disk-0 out
is 'sfdisk finds both tables, and nothing wrong' \
  "$(tables out)" 'No errors detected.'
is 'with the partitions that were there' "$(sfdisk --dump out | grep -o 'start=.*')" \
  "$(sfdisk --dump disk | grep -o 'start=.*')"
is 'and room for more' "$(sfdisk --list-free --quiet out | awk '$3 + 0 > 500000' | wc -l)" 1
vt export pve/vm-200-disk-0 out4k
is 'also with sectors of 4 KiB' \
  "$(fdisk -b 4096 -l out4k 2>&1 | awk '/^out4k1/ { print $2, $3 } /ackup|corrupt/')" \
  "$(fdisk -b 4096 -l disk4k 2>&1 | awk '/^disk4k1/ { print $2, $3 }')"
ok 'and the file system is as it was' \
  cmp <(tail -c +1048577 disk | head -c 60m) <(tail -c +1048577 out | head -c 60m)
is 'its snapshot is not' "$(vt export pve/snap_vm-100-disk-0_two - 2>/dev/null | head -c 16m | md5)" \
  "$(sed -n 's/^snap_vm-100-disk-0_two //p' <<<"$sums_before")"
ok 'lvm2 is content' judge_lvm other/pve.img
rm -rf other; elsewhere
refused 'smaller than it is' 1 'it is larger already' \
  vt unarchive all.vtar pve --grow pve/vm-100-disk-0=40m
refused 'a volume that is not in it' 1 'has no volume none' \
  vt unarchive all.vtar pve --grow pve/none=1g

# --- what is no whole archive ---
damaged() { # DESCRIPTION REGEX < ARCHIVE
  refused "$1" 1 "$2" vt unarchive - pve
  [ ! -e other/pve.img ] || tap_result 1 "$1: leaves a file" "$(ls -l other)"
}
size=$(stat -c %s all.vtar)
wrong=
for at in 0 63 64 200 5000 $((size / 3)) $((size / 2)) $((size - 90)) $((size - 1)); do
  head -c "$at" all.vtar | vt unarchive - pve 2>/dev/null && wrong+=" cut at $at"
  [ ! -e other/pve.img ] || wrong+=" left at $at"
  python3 - "$at" <<'END' | vt unarchive - pve 2>/dev/null && wrong+=" changed at $at"
import sys
data = bytearray(open('all.vtar', 'rb').read())
data[int(sys.argv[1])] ^= 0x10
sys.stdout.buffer.write(data)
END
  [ ! -e other/pve.img ] || wrong+=" left, changed at $at"
done
is 'cut and changed archives are refused, and leave nothing' "$wrong" ''
damaged 'what is none' 'unarchive|VTSTREAM|stream' < disk
damaged 'one with something behind it' 'something follows' < <(cat all.vtar disk)
head -c 3m /dev/urandom > taken.img
before_it=$(md5 taken.img)
refused 'a file with something in it' 1 'taken.img' vt --device taken.img unarchive all.vtar pve
is 'which is not touched' "$(md5 taken.img)" "$before_it"
truncate -s 700m taken.img
ok 'unless it is to be erased' vt --device taken.img unarchive all.vtar pve --force

# --- no room in the middle ---
mkdir full
mount -t tmpfs -o size=24m none full && at_exit 'umount full'
truncate -s 700m full/pve.img
refused 'a full disk' 1 'No space|no room|full' vt --device full/pve.img unarchive all.vtar pve
is 'leaves the file as it was' "$(stat -c '%s %b' full/pve.img)" "$((700 << 20)) 0"

# --- killed in the middle ---
mkfifo slow
exec 9<>slow # so that nobody waits for the other end
"$VIRT_THIN_PROGRAM" unarchive slow pve 2>/dev/null 9>&- &
timeout 30 head -c $((size / 2)) all.vtar >&9
at_work() { [ "$(blocks other/pve.img)" -gt $((size / 2 / 1024 - 4096)) ]; }
wait_until 20 at_work
kill -9 $!
wait $! 2>/dev/null
exec 9>&-
gone 'killed'
ok 'the next run takes its place' vt unarchive all.vtar pve --force
ok 'and is whole' judge_lvm other/pve.img

# --- what the real kernel and lvm2 made ---
elsewhere
fixture() { # NAME
  local name=$1 file given=()
  mkdir "$name"; tar --zstd -xf "$fixtures/$name.img.tar.zst" -C "$name"
  for file in "$name"/*; do given+=(--device "$file"); done
  rm -rf other/*
  vt "${given[@]}" archive pve fixture.vtar && vt unarchive fixture.vtar pv2 &&
    judge_lvm other/pv2.img &&
    diff <(vt "${given[@]}" list pve | sed "s|pve/||") <(vt list pv2 | sed "s|pv2/||")
}
for name in 01-clean 06-msg-pending 08-striped 10-history 17-several-pools; do
  ok "the kernel's: $name" fixture $name
done
is 'volumes that cannot be carried over are named' \
  "$(fixture 09-other-types 2>&1; fixture 11-external-origin 2>&1)" "$(printf '%s%s\n' \
  'virt-thin: cannot archive volume group pve: volume group pve cannot be made again as it is: ' \
  'root is of type snapshot, which virt-thin does not carry over' \
  'virt-thin: cannot archive volume group pve: volume group pve cannot be made again as it is: ' \
  'vm-1-disk-0 has an origin outside its pool')"

# --- while a service has it, and a guest writes ---
at_home
names_before=$(names pve)
served() {
  ok 'served: serve' vt serve pve
  # Each block says how often all were written, so that an instant shows: none is older by two.
  python3 - "$VIRT_THIN_RUNTIME_DIR/pve/volumes/vm-101-disk-0" <<'END' &
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
for n in range(1, 1 << 30):
    for block in range(64):
        os.pwrite(fd, n.to_bytes(8, 'little') * 512, block * 65536)
END
  writer=$!
  at_exit "kill $writer 2>/dev/null"
  written() {
    [ "$(vt export pve/vm-101-disk-0 - | head -c 8 | od -An -tu4 | awk '{ print $1 }')" -lt 10000 ]
  } 2>/dev/null
  wait_until 20 written
  run vt archive pve served.vtar
  like 'served: archive' "$? $(tr "\n" " " <<<"$err")" '^0 .*of 2 thin pools'
  is 'served: its snapshots are gone' "$(names pve)" "$names_before"
  mkfifo stuck
  exec 9<>stuck
  "$VIRT_THIN_PROGRAM" archive pve stuck 2>/dev/null 9>&- &
  has_snapshots() { [ "$(names pve)" != "$names_before" ]; }
  wait_until 20 has_snapshots
  kill -9 $!
  wait $! 2>/dev/null
  exec 9<&-
  ok 'served: one that is killed leaves its own' has_snapshots
  ok 'served: until the next one' vt archive pve served.vtar
  is 'served: which removes them' "$(names pve)" "$names_before"
  kill $writer; wait $writer 2>/dev/null
  vt stop pve
  elsewhere; rm -rf other/*
  ok 'served: made again' vt unarchive served.vtar pve
  ok 'served: lvm2 and thin_check are content' judge_lvm other/pve.img
  is 'served: it has the volumes' "$(names pve)" "$names_before"
  vt export pve/vm-101-disk-0 out
  ok 'served: what was written to is of one instant' python3 - <<'END'
import sys
data = open('out', 'rb').read()
seen = [int.from_bytes(data[at:at + 8], 'little') for at in range(0, 64 * 65536, 65536)]
sys.exit(not (seen == sorted(seen, reverse=True) and seen[0] - seen[-1] <= 1))
END
  at_home; vt_sums=$(sums 16m | grep -v vm-101-disk-0); elsewhere
  is 'served: the others read the same' "$(sums 16m | grep -v vm-101-disk-0)" "$vt_sums"
}
if can_serve; then served; else skip 11 "needs root and /dev/fuse"; fi
