#!/bin/bash
# virt-thin - the file system under a pool is full, over quota or limited: writers get errors, what
# frees goes on, and with room again so does the rest
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
can_serve || skip_all "needs root and /dev/fuse"
[ "${virt_thin_test_mounts-}" = own ] || skip_all "needs a mount namespace of its own"

fs=$tmp/fs
mkdir "$fs"
mounted() { # KIND: a file system of 100 MB with the state folder on it
  rm -f "$tmp/fs.img"
  case $1 in
  tmpfs) mount -t tmpfs -o size=100m none "$fs";;
  *)
    truncate -s "${2-100m}" "$tmp/fs.img"
    case $1 in
    btrfs) mkfs.btrfs -q "$tmp/fs.img";;
    *) "mkfs.$1" -q "$tmp/fs.img";;
    esac >/dev/null 2>&1 && mount -t "$1" -o loop "$tmp/fs.img" "$fs" 2>/dev/null;;
  esac || return
  export VIRT_THIN_STATE_DIR=$fs/state
}
gone() { umount "$fs" && rm -f "$tmp/fs.img"; }
at_exit 'mountpoint -q "$fs" && { stop_services; umount "$fs"; }'
image() { echo "$fs/state/pve.img"; }
full() { # by another's file
  dd if=/dev/zero of="$fs/junk" bs=64k 2>/dev/null; dd if=/dev/zero of="$fs/junk2" bs=1k 2>/dev/null
  [ "$(stat -c %s "$fs/junk")" -gt 0 ]
}
roomy() { rm "$fs"/junk*; sync -f "$fs"; } # btrfs gives room back when it commits
marked() { vt info --json pve/data | field "d['pool']['needs_check']"; }
log() { cat "$VIRT_THIN_RUNTIME_DIR/pve/log"; }
file() { echo "$VIRT_THIN_RUNTIME_DIR/pve/volumes/$1"; }

# Guests' I/O by Python: each word is an operation.
#   write OFFSET LENGTH BYTE   in pieces of 64 KiB until one is refused, which must be for want of
#                              room; prints how many pieces were accepted
#   punch OFFSET LENGTH STEP   discard 64 KiB of every STEP
#   expect OFFSET LENGTH BYTE  must be read      flush   prints ok or the error's name
guest() { python3 - "$@" <<'P'
import ctypes, errno, os, sys
K, libc = 65536, ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR)
words = sys.argv[2:]
def number(): return int(words.pop(0))
while words:
    verb = words.pop(0)
    if verb == "flush":
        try: os.fsync(fd); print("ok")
        except OSError as e: print(errno.errorcode[e.errno])
        continue
    offset, length = number() * 1024, number() * 1024
    if verb == "punch":
        for at in range(offset, offset + length, number() * 1024):
            if libc.fallocate(fd, 3, ctypes.c_long(at), ctypes.c_long(K)):
                sys.exit("punch: " + os.strerror(ctypes.get_errno()))
        continue
    piece, n = bytes([number()]) * K, 0
    for at in range(offset, offset + length, K):
        if verb == "write":
            try: os.pwrite(fd, piece, at)
            except OSError as e:
                if e.errno != errno.ENOSPC: sys.exit("write: " + str(e))
                break
        elif os.pread(fd, K, at) != piece: sys.exit("at %d is something else" % at)
        n += 1
    if verb == "write": print(n)
P
}

plan 169
head -c 280m /dev/urandom >"$tmp/data"
head -c 8m "$tmp/data" >"$tmp/small"

# The three ways, with room for what a commit needs allocated ahead.
three_ways() { # KIND
  mounted "$1" ${2-} || { skip 29 "no $1 here"; return; }
  ok "$1: init" vt init pve/data --size 1g
  ok "$1: create" vt create pve/a --size 800m
  vt import "$tmp/small" pve/a; vt create pve/kept --size 8m; vt import "$tmp/small" pve/kept
  refused "$1: an import of more than there is room for" 1 'No space left' \
    vt import "$tmp/data" pve/a
  is "$1: leaves a pool in no need of a check" "$(marked)" false
  ok "$1: that is whole" vt check pve/data
  full
  refused "$1: a volume cannot be added without an archive" 1 'archive' vt create pve/b --size 8m
  run vt remove pve/a; is "$1: one can be removed" "$?" 0
  like "$1: which tells that the text is not archived, and where" "$err" 'not archived.*/archive/'
  roomy
  ok "$1: with room again there is an archive" vt create pve/a --size 800m
  is "$1: what was there is still" "$(vt export pve/kept - | md5)" "$(md5 "$tmp/small")"

  vt serve pve
  is "$1: served: a guest writes" "$(guest "$(file a)" write 0 32768 7 flush)" $'512\nok'
  vt snapshot pve/a s
  full
  ok "$1: served: and discards on a full disk" guest "$(file a)" punch 0 32768 128
  is "$1: served: its flush succeeds" "$(guest "$(file a)" flush)" ok
  is "$1: served: the snapshot is as it was" "$(vt export pve/snap_a_s - | head -c 32m | md5)" \
    "$(head -c 32m /dev/zero | tr '\0' '\7' | md5)"
  n=$(guest "$(file a)" write 0 32768 9)
  ok "$1: served: writes that need a chunk are refused for want of room" test "$n" -lt 512
  ok "$1: served: those before that are there" guest "$(file a)" expect 0 $((n * 64)) 9
  ok "$1: served: the one refused is as before" \
    guest "$(file a)" expect $((n * 64)) 64 $((n % 2 ? 7 : 0))
  is "$1: served: volumes that were not written can be flushed" "$(guest "$(file kept)" flush)" ok
  ok "$1: served: a snapshot can be removed" vt remove pve/snap_a_s
  roomy
  is "$1: served: with room again writes go on" \
    "$(guest "$(file a)" write 0 32768 9 flush)" $'512\nok'

  n=$(guest "$(file a)" write 65536 400000 5)
  ok "$1: a writer faster than its flushes" test "$n" -lt 6250
  ok "$1: finds what it was told is written" guest "$(file a)" expect 65536 $((n * 64)) 5
  ok "$1: and can read on" guest "$(file a)" expect 0 32768 9
  is "$1: and discard all it has, and flush" \
    "$(guest "$(file a)" punch 65536 $((n * 64)) 64 flush; sync -f "$fs")" ok
  is "$1: and write again" "$(guest "$(file a)" write 65536 8192 6 flush)" $'128\nok'
  is "$1: nothing has failed" "$(log | grep -c 'fails and goes read-only')" 0
  ok "$1: stop" vt stop pve
  ok "$1: the pool is whole" vt check pve/data
  like "$1: it can be served again" \
    "$(vt serve pve && guest "$(file a)" expect 0 32768 9 expect 65536 8192 6 && echo found)" found
  vt stop pve
  gone
}
three_ways tmpfs
three_ways ext4
three_ways btrfs 300m # which copies on write, but not the files that virt-thin makes
three_ways ext3 # which allocates nothing ahead: holes are filled with zeros

# A file system that copies on write files that others made wants room for what was allocated ahead,
# too, and a quota says so in its own words: then a commit waits.
waits() { # WHAT COMMAND-TO-FILL COMMAND-TO-EMPTY
  mkdir "$VIRT_THIN_STATE_DIR"; truncate -s 1g "$VIRT_THIN_STATE_DIR/pve.img"
  vt init pve/data --file "$VIRT_THIN_STATE_DIR/pve.img"; vt create pve/a --size 800m
  vt create pve/kept --size 8m; vt import "$tmp/small" pve/kept
  vt serve pve
  is "$1: a guest writes" "$(guest "$(file a)" write 0 16384 7 flush)" $'256\nok'
  eval "$2"
  n=$(guest "$(file a)" write 65536 400000 5)
  ok "$1: until there is no room" test "$n" -lt 6250
  guest "$(file a)" punch 0 16384 128
  like "$1: a flush says so" "$(guest "$(file a)" flush)" '^(ENOSPC|ok)$'
  ok "$1: what was accepted can be read" guest "$(file a)" expect 65536 $((n * 64)) 5
  is "$1: and so can the rest" "$(vt export pve/kept - | md5)" "$(md5 "$tmp/small")"
  eval "$3"
  is "$1: with room again a flush succeeds" \
    "$(wait_until 10 sh -c "'$VIRT_THIN_PROGRAM' info pve/data | grep -q 'health.*well'"
      guest "$(file a)" flush)" \
    ok
  is "$1: and a write" "$(guest "$(file a)" write 0 16384 9 flush)" $'256\nok'
  is "$1: nothing has failed" "$(log | grep -c 'fails and goes read-only')" 0
  vt stop pve
  ok "$1: the pool is whole" vt check pve/data
  vt serve pve
  ok "$1: with all in it" guest "$(file a)" expect 65536 $((n * 64)) 5 expect 0 16384 9
  vt stop pve
  gone
}
if mounted btrfs 300m; then waits btrfs full roomy; else skip 10 "no btrfs here"; fi
if mounted btrfs 300m && btrfs quota enable "$fs" && btrfs -q subvolume create "$fs/sub" &&
    btrfs qgroup limit 90m "$fs/sub"; then
  export VIRT_THIN_STATE_DIR=$fs/sub/state
  waits quota : 'btrfs qgroup limit none "$fs/sub"'
else
  skip 10 "no quota here"
fi

# RLIMIT_FSIZE is an error, too.
mounted tmpfs
limited() {
  local mib=$1; shift; prlimit --fsize=$((mib << 20)):unlimited "$VIRT_THIN_PROGRAM" "$@"
}
refused "limit: init of a larger file" 1 'File too large' limited 512 init pve/data --size 1g
vt init pve/data --size 1g; vt create pve/a --size 800m; vt import "$tmp/small" pve/a
refused "limit: an import beyond it" 1 'File too large' limited 60 import "$tmp/data" pve/a
ok "limit: leaves a whole pool" vt check pve/data
vt serve pve
limit_service() { # MIB
  local pid
  for pid in $(pgrep -P \
      "$(vt info --json pve | field "d['volume_group']['served_by'].split()[-1]")"); do
    prlimit --pid "$pid" --fsize="$1":unlimited
  done
}
limit_service $((60 << 20))
n=$(guest "$(file a)" write 65536 65536 5)
ok "limit: a service refuses what lies beyond it" test "$n" -lt 1024
is "limit: lives, and commits the rest" "$(guest "$(file a)" flush expect 65536 $((n * 64)) 5)" ok
limit_service $((21 << 20))
ok "limit: below the metadata as well" guest "$(file a)" expect 65536 $((n * 64)) 5
is "limit: where nothing can be committed" "$(guest "$(file a)" punch 65536 64 64 flush)" ENOSPC
limit_service unlimited
is "limit: without it, it can" "$(guest "$(file a)" punch 65536 64 64 flush)" ok
vt stop pve

gone

# The archive lies on another file system: that is full, or read-only.
mounted tmpfs
export VIRT_THIN_STATE_DIR=$tmp/state
truncate -s 64m "$tmp/state/pve.img"
vt init pve/data --file "$tmp/state/pve.img"; vt create pve/a --size 8m
rm -rf "$tmp/state/archive"; ln -s "$fs" "$tmp/state/archive"
full
refused "archive: no room for it: a volume cannot be added" 1 'archived first.*No space left' \
  vt create pve/b --size 8m
run vt resize pve/a +8m; is "archive: one can grow" "$?" 0
like "archive: which tells that there is none" "$err" 'not archived.*No space left'
ok "archive: and be removed" vt remove pve/a
roomy
ok "archive: with room again one can be added" vt create pve/b --size 8m
mount -o remount,ro "$fs"
ok "archive: read-only: as with lvm2 all goes on" vt create pve/a --size 8m
gone; rm "$tmp/state/archive" "$tmp/state/pve.img"

# A pool made before, or copied, has holes where others' files have data: the first opening for
# writing fills them, as far as it needs.
vt init pve/data --size 4g --metadata-size 1g; vt create pve/a --size 800m
ok "holes: little of large metadata is allocated" \
  test "$(blocks "$tmp/state/pve.img")" -lt $((50 * 1024))
cp --sparse=always "$tmp/state/pve.img" "$tmp/copy" && mv "$tmp/copy" "$tmp/state/pve.img"
ok "holes: a copy has them again" test "$(blocks "$tmp/state/pve.img")" -lt $((2 * 1024))
vt check pve/data; vt list pve >/dev/null
ok "holes: reading leaves them" test "$(blocks "$tmp/state/pve.img")" -lt $((2 * 1024))
vt resize pve/a +8m
ok "holes: writing fills what it needs" test "$(blocks "$tmp/state/pve.img")" -gt $((32 * 1024))
ok "holes: and no more" test "$(blocks "$tmp/state/pve.img")" -lt $((50 * 1024))
rm "$tmp/state/pve.img"

# The mark that a failed commit leaves.
fixture() {
  tar -C "$tmp/state" --zstd -xSf "$fixtures/$1.img.tar.zst" &&
    mv "$tmp/state"/*"$1"*.img "$tmp/state/pve.img"
}
fixture 04a-needs-check
refused "mark: a pool with it is not written" 1 'check --clear-needs-check pve/' \
  vt create pve/new --size 4m
before=$(md5 "$tmp/state/pve.img")
refused "mark: check alone tells of it" 1 '^$' vt check pve/data
like "mark: as an error" "$out" 'error: .*needs_check'
is "mark: and leaves it" "$(md5 "$tmp/state/pve.img")" "$before"
ok "mark: it is cleared when nothing else is wrong" vt check --clear-needs-check pve/data
is "mark: then it is gone" "$(marked)" false
ok "mark: for lvm2's tools, too" "$top_srcdir/scripts/judge" --quiet "$tmp/state/pve.img"
ok "mark: and the pool can be written" vt create pve/new --size 4m
ok "mark: clearing what is not marked does nothing" vt check --clear-needs-check pve/data
vt serve pve
refused "mark: not while it is served" 1 'virt-thin stop pve' vt check --clear-needs-check pve/data
vt stop pve
refused "mark: of no pool" 1 'no thin pool nix' vt check --clear-needs-check pve/nix
fixture 04b-damaged-leaf
# the mark beside the damage: found by the superblock's magic, and sealed again
python3 - "$tmp/state/pve.img" <<'P'
import struct, sys
table = []
for i in range(256):
    for _ in range(8): i = i >> 1 ^ (0x82f63b78 if i & 1 else 0)
    table.append(i)
def crc32c(data):
    crc = 0xffffffff
    for byte in data: crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc
with open(sys.argv[1], "r+b") as f:
    image = f.read(256 << 20)
    at = image.index(struct.pack("<Q", 27022010)) - 32
    block = bytearray(image[at:at + 4096])
    block[4] |= 1
    block[:4] = struct.pack("<I", crc32c(block[4:]) ^ 160774)
    f.seek(at); f.write(block)
P
before=$(md5 "$tmp/state/pve.img")
refused "mark: stays on a damaged pool" 1 '' vt check --clear-needs-check pve/data
like "mark: whose damage is told" "$out" 'error: .*metadata block'
is "mark: and which is left alone" "$(marked)$(md5 "$tmp/state/pve.img")" "true$before"
rm "$tmp/state/pve.img"
