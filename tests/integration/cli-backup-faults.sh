#!/bin/bash
# virt-thin - backup and restore that do not come to their end: a full disk, a kill, an interrupt,
# damage on the way, two at once. What is left is as before, or the next run makes it so
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

backups=$tmp/backups
snapshots() { names "$1" | tr ' ' '\n' | grep -c -e '_backup-' -e restoring; }
whole() { ls "$backups" | wc -l; }
hidden() { ls -A "$backups" | grep -c '^\.[0-9]'; }
# Start a command, and hold it when it has begun to write: pid is set.
held() { # GLOB COMMAND...
  local glob=$1 i; shift
  "$@" >"$tmp/.held" 2>&1 & pid=$!
  for ((i = 0; i < 20000; i++)); do
    compgen -G "$glob" >/dev/null && { kill -STOP $pid; return; }
    kill -0 $pid 2>/dev/null || break
  done
  echo "# not held: $(cat "$tmp/.held")"
  return 1
}
at_exit '[ -z "${pid-}" ] || kill -9 $pid 2>/dev/null'
ended() { wait "$pid" 2>/dev/null; local status=$?; pid=; return $status; }

plan 54
vt init pve/data --size 1g
vt init other/data --size 100m
vt create pve/vm-1 --size 160m; vt create other/vm-1 --size 8m
head -c 150m /dev/urandom >"$tmp/data"
vt import "$tmp/data" pve/vm-1
want=$(export_md5 export pve/vm-1)
partial="$backups/.2*.partial/*@*"

# --- a drive gives errors for two pages of it ---
# In the second piece of 1 MiB, and when that is read page by page the first two. What pread64()
# cannot is tried by preadv().
reads() { strace -f -qq -e trace=pread64,preadv "$@"; }
if command -v strace >/dev/null; then
  head -c 8m /dev/urandom >"$tmp/bad"; vt import --format raw "$tmp/bad" other/vm-1
  for i in 1 2; do # the second as the third will be
    reads -o "$tmp/reads" "$VIRT_THIN_PROGRAM" backup other/vm-1 "$tmp/lossy" --full >/dev/null
  done
  good=$(ls "$tmp/lossy" | tail -n 1)
  before=$(sed '/ 1048576, [0-9]*) = 1048576/q' "$tmp/reads")
  at=$(($(grep -c pread64 <<<"$before") + 1)) again=$(($(grep -c preadv <<<"$before") + 1))
  run reads -o /dev/null -e "inject=pread64:error=EIO:when=$at..$((at + 2))" \
    -e "inject=preadv:error=EIO:when=$again..$((again + 2))" \
    "$VIRT_THIN_PROGRAM" backup other/vm-1 "$tmp/lossy" --full --keep-last 1
  like "what cannot be read is named, and left out" "$? $(tr '\n' ' ' <<<"$err")" \
    '^1 .*bytes 1048576 to 1056767.*made without what could not be read'
  lossy=$(ls "$tmp/lossy" | tail -n 1)
  ok "nothing is pruned" test -d "$tmp/lossy/$good"
  ok "the manifest keeps to its schema" valid backup-manifest <"$tmp/lossy/$lossy/manifest.json"
  vt backup list --json "$tmp/lossy" >"$tmp/list.json"
  ok "the list to its own" valid backup-list <"$tmp/list.json"
  is "and says which" "$(field "d['volumes'][0]['lost']" <"$tmp/lossy/$lossy/manifest.json")" \
    "[{'offset': 1048576, 'length': 8192}]"
  run vt restore "$tmp/lossy/$lossy" other/again
  like "restore says it, too" "$err" 'bytes 1048576 to 1056767'
  dd if=/dev/zero of="$tmp/bad" bs=8k seek=128 count=1 conv=notrunc status=none
  is "and has all the rest" "$(export_md5 export other/again)" "$(md5 "$tmp/bad")"
  vt remove other/again
  run vt backup other/vm-1 "$tmp/lossy"
  like "the next one goes on with the one before" "$out" "increment to $good"
  vt remove other/vm-1 --snapshots; vt create other/vm-1 --size 8m
else
  skip 8 "needs strace"
fi

# --- a drive gives errors for everything ---
if command -v strace >/dev/null; then
  head -c 8m /dev/urandom | vt import --format raw - other/vm-1
  for i in 1 2; do
    reads -o "$tmp/reads" "$VIRT_THIN_PROGRAM" backup other/vm-1 "$tmp/dead" --full >/dev/null
  done
  before=$(sed '/ 1048576, [0-9]*) = 1048576/,$d' "$tmp/reads")
  at=$(($(grep -c pread64 <<<"$before") + 1)) again=$(($(grep -c preadv <<<"$before") + 1))
  had=$(ls "$tmp/dead")
  run reads -o /dev/null -e "inject=pread64:error=EIO:when=$at+" \
    -e "inject=preadv:error=EIO:when=$again+" \
    "$VIRT_THIN_PROGRAM" backup other/vm-1 "$tmp/dead" --full
  like "no image of zeros is made of it" "$? $(tr '\n' ' ' <<<"$err")" \
    '^1 .*nothing of it can be read, of the first 8388608 bytes'
  is "there is no such backup" "$(ls "$tmp/dead")" "$had"
  vt remove other/vm-1 --snapshots; vt create other/vm-1 --size 8m
else
  skip 2 "needs strace"
fi

# --- the pool's metadata is damaged within the volume's map ---
vt init hurt/data --size 150m
head -c 96m /dev/urandom >"$tmp/map"
vt create hurt/vm-1 --size 96m; vt import --format raw "$tmp/map" hurt/vm-1
vt create hurt/vm-2 --size 4m
vt backup hurt/vm-1 "$tmp/hurt" >/dev/null
# What is lost are the chunks of its leaves that begin with one of 500 to 999.
python3 - "$state/hurt.img" <<'PYTHON'
import struct, sys
with open(sys.argv[1], "r+b") as image:
    at = 0
    while block := image.read(4096):
        flags, _, n, most, size, _, first = struct.unpack_from("<IQIIIIQ", block, 4)
        if (flags, most, size) == (2, 252, 8) and 0 < n <= 252 and 500 <= first < 1000:
            image.seek(at)
            image.write(b"\xff\xff\xff\xff")
        at += 4096
        image.seek(at)
PYTHON
sum=$(md5 "$state/hurt.img")
run vt backup hurt/vm-1 "$tmp/hurt" --keep-last 1
like "damaged metadata: what is lost is named" "$? $(tr '\n' ' ' <<<"$err")" \
  '^1 .*virt-thin repair hurt/data.*bytes [0-9]* to [0-9]*.*made without what could not be read'
like "damaged metadata: it is a full one" "$out" 'full.*can only be read'
is "damaged metadata: the one before stays" "$(ls "$tmp/hurt" | wc -l)" 2
is "damaged metadata: nothing is written to it" "$(md5 "$state/hurt.img")" "$sum"
vt export hurt/vm-1 "$tmp/map.raw" 2>/dev/null
ok "damaged metadata: the image has what export has" qemu-img compare -f raw -F qcow2 \
  "$tmp/map.raw" "$(ls -d "$tmp"/hurt/2*/*.qcow2 | tail -n 1)"
not_ok "damaged metadata: which is not all, nor nothing" eval \
  'cmp -s "$tmp/map" "$tmp/map.raw" || cmp -s "$tmp/map.raw" /dev/zero -n 96M'
run vt backup hurt/vm-2 "$tmp/hurt"
is "damaged metadata: another volume is whole" "$? $(ls "$tmp/hurt" | wc -l)" "0 3"
rm "$tmp/map" "$tmp/map.raw"

# --- killed ---
ok "a backup has begun" held "$partial" "$VIRT_THIN_PROGRAM" backup pve/vm-1 "$backups"
refused "another into the same folder is refused by name" 1 'in use by.*virt-thin' \
  vt backup other/vm-1 "$backups"
is "which takes no snapshot" "$(snapshots other)" 0
refused "so is prune" 1 'in use by' vt backup prune "$backups" --keep-last 1
ok "list is not" vt backup list "$backups"
kill -9 $pid; ended
is "killed: no backup is there, but what is left of it" "$(whole) $(hidden)" "0 1"
is "and its snapshot" "$(snapshots pve)" 1
run vt backup other/vm-1 "$backups"
like "a backup of another volume group leaves that alone" "$? $err" \
  '^0 .*interrupted backup of other volume groups'
run vt backup pve/vm-1 "$backups"
like "the next one removes it" "$? $err" '^0 .*interrupted backup.*removed'
is "all of it" "$(whole) $(hidden) $(snapshots pve)" "2 0 1"
ok "and is whole" vt backup verify "$backups"

# --- killed when all was written but the name ---
first=$(ls "$backups" | tail -n 1)
mv "$backups/$first" "$backups/.$first.partial"
ok "a backup that lacks its name alone" vt backup prune "$backups" --keep-last 5
is "gets it" "$(ls "$backups" | tail -n 1)" "$first"
cp -a "$backups/$first" "$backups/.20200101T000000Z.removed"
ok "one that was being removed" vt backup prune "$backups" --keep-last 5
is "goes" "$(whole) $(hidden)" "2 0"

# --- killed at any moment ---
vt create pve/vm-2 --size 24m; head -c 20m "$tmp/data" | vt import --format raw - pve/vm-2
RANDOM=${VIRT_THIN_TEST_SEED:-$$}
rounds=8 wrong=
[ -z "${VIRT_THIN_TEST_LONG-}" ] || rounds=200
mkdir "$tmp/killed"
for ((i = 0; i < rounds; i++)); do
  "$VIRT_THIN_PROGRAM" backup pve/vm-2 "$tmp/killed" >/dev/null 2>&1 & pid=$!
  for ((j = RANDOM * 2; j > 0; j--)); do :; done
  kill -9 $pid 2>/dev/null; ended
  vt backup verify "$tmp/killed" >/dev/null || wrong+=" verify-$i"
  dd if=/dev/urandom bs=64k count=1 status=none |
    dd of="$tmp/data" bs=64k seek=$((RANDOM % 300)) conv=notrunc status=none
  head -c 20m "$tmp/data" | vt import --format raw - pve/vm-2 || wrong+=" import-$i"
done
vt backup pve/vm-2 "$tmp/killed" >/dev/null 2>&1 || wrong+=" backup"
is "killed $rounds times at any moment: what is there is whole" "$wrong" ""
is "and the next run makes it tidy" "$(ls -A "$tmp/killed" | grep -c '^\.[0-9]') $(names pve |
  tr ' ' '\n' | grep -c 'snap_vm-2')" "0 1"
for ((i = 0; i < rounds; i++)); do
  "$VIRT_THIN_PROGRAM" restore "$tmp/killed" pve/back >/dev/null 2>&1 & pid=$!
  for ((j = RANDOM; j > 0; j--)); do :; done
  kill -9 $pid 2>/dev/null; ended
  if vt info pve/back >/dev/null 2>&1; then
    [ "$(export_md5 export pve/back)" = "$(export_md5 export pve/vm-2)" ] || wrong+=" half-$i"
    vt remove pve/back
  fi
done
vt restore "$tmp/killed" pve/back || wrong+=" restore"
is "a restore that is killed has no name, or is whole" "$wrong $(snapshots pve)" " 2"
vt remove pve/back; vt remove pve/vm-2 --snapshots

# --- interrupted ---
ok "a full one has begun" held "$partial" "$VIRT_THIN_PROGRAM" backup --full pve/vm-1 "$backups"
kill -INT $pid; kill -TERM $pid; kill -CONT $pid
not_ok "and is interrupted" ended
is "it leaves nothing" "$(whole) $(hidden) $(snapshots pve)" "2 0 1"

# --- no room ---
if [ "${virt_thin_test_mounts-}" = own ] && mkdir "$tmp/fs" &&
    mount -t tmpfs -o size=20m none "$tmp/fs"; then
  at_exit 'umount "$tmp/fs"'
  refused "the disk is full" 1 'no room left in .*/fs/b' vt backup pve/vm-1 "$tmp/fs/b"
  is "nothing stays" "$(ls -A "$tmp/fs/b") $(snapshots pve)" ".lock 1"
  ok "a small one has room" vt backup other/vm-1 "$tmp/fs/b"
  dd if=/dev/zero of="$tmp/fs/junk" bs=4k 2>/dev/null
  refused "no room for a folder" 1 'No space' vt backup --full other/vm-1 "$tmp/fs/b"
  is "the one before is there, and its snapshot" \
    "$(ls "$tmp/fs/b" | wc -l) $(snapshots other)" "1 2"
  rm "$tmp/fs/junk"
  run vt backup other/vm-1 "$tmp/fs/b"
  like "with room again the next is an increment" "$out" "increment to"
else
  skip 6 "needs a mount namespace of its own"
fi

# --- restore ---
head -c 140m "$tmp/data" | tac -s x 2>/dev/null | head -c 100m >"$tmp/data2"
vt import "$tmp/data2" pve/vm-1
vt backup pve/vm-1 "$backups" >/dev/null
ok "restore over a volume that is left half restored" vt create pve/new.restoring --size 4m
ok "which is removed" vt restore "$backups/$first" pve/new
is "and the content is right" "$(export_md5 export pve/new) $(snapshots pve)" "$want 1"
last=$(ls "$backups" | tail -n 1)
printf '\125' | dd of="$backups/$last/pve@vm-1.qcow2" bs=1 seek=90000000 conv=notrunc status=none
refused "damage that shows at the end alone" 1 'checksum' vt restore "$backups/$last" pve/x
is "leaves no volume" "$(names pve | tr ' ' '\n' | grep -cE '^x')" 0
refused "nor does it change one that is there" 1 'checksum' \
  vt restore --force "$backups/$last" pve/new
is "which is as it was" "$(export_md5 export pve/new)" "$want"
run vt backup pve/vm-1 "$backups"
like "a backup does not read what it is based on" "$out" "increment to $last"
if can_serve; then
  vt serve pve
  exec 8<"$VIRT_THIN_RUNTIME_DIR/pve/volumes/new"
  refused "one that is open is not replaced" 1 'in use|open' \
    vt restore --force "$backups/$first" pve/new
  exec 8<&-
  is "and nothing is left of that" "$(snapshots pve)" 1
  vt stop pve
else
  skip 2 "needs root and /dev/fuse"
fi
