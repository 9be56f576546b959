#!/bin/bash
# virt-thin - more room: for the volume group (extend --size), its pool (resize +N%FREE), a volume,
# and the file system in it, as docs/cli.md has it
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 42

MiB=$((1 << 20))
pool() { vt info --json pve/data | field "d['pool']['$1']"; }
free() { vt info --json pve | field "d['volume_group']['free']"; }
size() { volume "$1" size; }

# --- a physical volume of a size ---
ok "init" vt init pve/data --size 128m
refused "a file that is not there needs a size" 2 'second.img is not there: --size says how large' \
  vt extend pve "$tmp/second.img"
refused "which is not nothing" 2 'a size of nothing' vt extend pve "$tmp/second.img" --size 0
not_ok "nothing is made" test -e "$tmp/second.img"
ok "extend --size makes it" vt extend pve "$tmp/second.img" --size 256m
is "as large as asked for, sparse, and nobody else's to read" \
  "$(stat -c '%s %a' "$tmp/second.img") $(($(blocks "$tmp/second.img") < 65536))" \
  "$((256 * MiB)) 600 1"
is "what is free is in it" "$(($(free) / MiB))" 236
refused "too small a one" 1 'too small' vt extend pve "$tmp/third.img" --size 1m
not_ok "is not left behind" test -e "$tmp/third.img"
truncate -s 64m "$tmp/empty.img"
refused "one that is larger than asked for" 1 'is larger \(64.00 MiB\) than the 32.00 MiB asked' \
  vt extend pve "$tmp/empty.img" --size 32m
echo data >"$tmp/full.img"
refused "one with something on it" 1 'carries data' vt extend pve "$tmp/full.img" --size 64m
is "stays as it is" "$(cat "$tmp/full.img") $(stat -c %s "$tmp/full.img")" "data 5"

# --- a part of something ---
before=$(pool size)
ok "half of what is free" vt resize pve/data +50%FREE
is "in whole extents" "$((($(pool size) - before) / MiB))" 116
ok "all of it" vt resize pve/data +100%free
is "nothing is free" "$(free)" 0
refused "then there is no more" 1 'pve has no extent free .*: add a physical volume' \
  vt resize pve/data +100%FREE
refused "what is too much is told in sizes" 1 'takes 190.00 GiB, and volume group pve has 0 B free' \
  vt resize pve/data +190g
refused "of metadata, too" 1 'takes 2.00 GiB, with the spare.*, and volume group pve has 0 B' \
  vt resize pve/data +1g --metadata
ok "more" vt extend pve "$tmp/fourth.img" --size 128m
total=$(vt info --json pve | field "d['volume_group']['size']")
ok "so much of the volume group" vt resize pve/data 80%VG
is "is what the pool has" "$(pool size)" "$((total / MiB / 4 * 80 / 100 * 4 * MiB))"
refused "it does not shrink" 1 'is less than the .* that it has' vt resize pve/data 50%VG
vt create pve/a --size 100m
ok "a volume, by a part of itself" vt resize pve/a +20%LV
is "is that much larger" "$(size pve/a)" $((120 * MiB))
ok "and smaller" vt resize pve/a -50%LV --shrink
is "is it" "$(size pve/a)" $((60 * MiB))
refused "no volume takes what is free" 1 '%FREE is for the data of a thin pool' \
  vt resize pve/a +100%FREE
refused "nor does metadata" 1 '%VG is for the data' vt resize pve/data 10%VG --metadata
refused "a pool is not as large as what is free" 1 'is what is added: \+100%FREE' \
  vt resize pve/data 100%FREE
for wrong in 100% +%FREE 10%PVS ++5%LV 10%FREE1; do
  refused "no part: $wrong" 2 'a part is N%FREE' vt resize pve/data "$wrong"
done
vt remove pve/a

# --- to the file system in a volume ---
if can_serve && [ -n "$(command -v sfdisk)" ] && [ -n "$(command -v mkfs.ext4)" ]; then
  ok "a volume" vt create pve/vm-101-disk-0 --size 64m
  ok "served" vt serve pve
  disk=$VIRT_THIN_RUNTIME_DIR/pve/volumes/vm-101-disk-0
  echo '2048,' | sfdisk -q "$disk" 2>/dev/null
  partition() { losetup --find --show --offset $MiB "$disk"; } # what is /dev/vda1 in the guest
  loop=$(partition)
  at_exit '[ -z "$loop" ] || losetup -d "$loop"'
  mkfs.ext4 -q "$loop"
  ok "is larger" vt resize pve/vm-101-disk-0 +40m
  ok "its partition, by the document's command" \
    sh -c "echo ', +' | sfdisk --no-reread -N 1 '$disk'"
  is "is, too" "$(sfdisk --json "$disk" | field "d['partitiontable']['partitions'][0]['size']")" \
    $(((104 - 1) * 2048))
  losetup -c "$loop"
  ok "the file system" resize2fs "$loop"
  ok "is whole" e2fsck -fn "$loop"
  losetup -d "$loop"; loop=
else
  skip 6 "needs root, /dev/fuse, sfdisk and mkfs.ext4"
fi
