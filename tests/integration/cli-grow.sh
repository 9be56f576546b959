#!/bin/bash
# virt-thin - thin pools that grow before they are full: data up to --max-size, with the file
# beneath; metadata and its spare into what is free
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
can_serve || skip_all "needs root and /dev/fuse"

pool() { vt info --json "$1" | field "d['pool']['$2']"; }
MiB=$((1 << 20))

# Faster than once a second: a writer meets the end of the pool, and goes on.
fills() { # HOW
  ok "$1: a pool of 64 MiB that may become 512" vt init pve/data --size 64m --max-size 512m
  is "$1: says so" "$(vt info pve/data | sed -n 's/^grows to *//p')" \
    "$(numfmt --to=iec --format=%.2f $(pool pve/data max_size) | sed 's/M/ MiB/')"
  is "$1: its file is no larger yet" "$(stat -c %s "$state/pve.img")" $((64 * MiB))
  [ "$1" = served ] && vt serve pve
  vt create pve/vm-100-disk-0 --size 2g 2>/dev/null
  ok "$1: a writer of 400 MiB" vt import "$tmp/data" pve/vm-100-disk-0
  is "$1: finds them again" "$(vt export pve/vm-100-disk-0 - | head -c 400M | md5)" "$sum"
  ok "$1: the pool is as large as that needs" test "$(pool pve/data size)" -ge $((400 * MiB))
  ok "$1: and no larger than it may be" test "$(pool pve/data size)" -le "$(pool pve/data max_size)"
  ok "$1: nor is its file" test "$(stat -c %s "$state/pve.img")" -le $((512 * MiB))
  refused "$1: a writer of more than that" 1 'space' vt import "$tmp/more" pve/vm-100-disk-0
  ok "$1: the pool has then become as large as it may be" \
    test "$(pool pve/data size)" -gt $(($(pool pve/data max_size) - 4 * MiB))
  ok "$1: and is of use again when something is removed" sh -c \
    "'$VIRT_THIN_PROGRAM' remove pve/vm-100-disk-0 &&
      '$VIRT_THIN_PROGRAM' create pve/b --size 64m && head -c 32m /dev/urandom |
      '$VIRT_THIN_PROGRAM' import - pve/b"
  if [ "$1" = served ]; then
    like "$1: info tells what grew" "$(vt info pve/data)" '^grown +data, from .* to .*, at 20'
    like "$1: the log tells of overcommit" "$(cat "$VIRT_THIN_RUNTIME_DIR/pve/log")" \
      'thin pool pve/data is overcommitted .* times: its volumes add up to 2.00 GiB'
    like "$1: so does the log" \
      "$(cat "$VIRT_THIN_RUNTIME_DIR/pve/log")" 'thin pool pve/data: its data grew from'
    like "$1: and of the pool that can grow no more how full it is" \
      "$(cat "$VIRT_THIN_RUNTIME_DIR/pve/log")" \
      'thin pool pve/data: [89][0-9] % of its data is in use'
    vt stop pve
  fi
  like "$1: info tells when it grows" "$(vt info pve/data)" '^grows +by 20 % at 80 %$'
  ok "$1: strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img"
  rm "$state/pve.img"
}
plan 67
head -c 400M /dev/urandom >"$tmp/data"
sum=$(md5 "$tmp/data")
head -c 600M /dev/urandom >"$tmp/more"
fills "in the process"
fills served
rm "$tmp/more" "$tmp/data"

# Without a word from a writer: the service looks once a second.
ok "a pool that fills slowly" vt init pve/data --size 128m --max-size 256m
vt serve pve
before=$(pool pve/data size)
vt create pve/a --size 200m 2>/dev/null
head -c $((before * 85 / 100)) /dev/urandom | vt import - pve/a
has_grown() { [ "$(pool pve/data size)" -gt "$before" ]; }
ok "grows before it is full" wait_until 10 has_grown
is "by a fifth" "$(pool pve/data size)" $(((before / MiB / 4 + before / MiB / 4 / 5) * 4 * MiB))
vt stop pve; rm "$state/pve.img"

# Metadata: of snapshots and scattered chunks it takes much, of data little. It grows into what is
# free, without --max-size.
ok "a pool with little metadata" vt init pve/data --size 1g --reserve 64m --metadata-size 4m
vt serve pve
vt create pve/a --size 100g 2>/dev/null
python3 - "$VIRT_THIN_RUNTIME_DIR/pve/volumes/a" <<'P' || true
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
for i in range(10000):
    os.pwrite(fd, b"x" * 512, i * 8 * 1024 * 1024)
os.fsync(fd)
P
for ((i = 0; i < 30; i++)); do
  vt snapshot pve/a s$i || break
  python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
for i in range(0, 10000, 120):
    os.pwrite(fd, b"y" * 512, (i + int(sys.argv[2])) * 8 * 1024 * 1024)' \
    "$VIRT_THIN_RUNTIME_DIR/pve/volumes/a" $i || break
done
is "takes all its snapshots" $i 30
ok "for its metadata has grown" test "$(pool pve/data metadata_size)" -gt $((4 * MiB))
like "which info tells" "$(vt info pve/data)" '^grown +metadata, from .* to'
metadata=$(pool pve/data metadata_size)
vt stop pve
is "the spare with it" \
  "$(lvm_attach "$state/pve.img"
    lvm2 lvs -a --noheadings --nosuffix --units b -o lv_size pve/lvol0_pmspare | tr -d ' '
    lvm_detach)" \
  "$metadata"
is "lvm2 sees that a full pool answers at once" \
  "$(lvm_attach "$state/pve.img"; lvm2 lvs --noheadings -o lv_when_full pve/data | tr -d ' '
    lvm_detach)" \
  error
ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img"
rm "$state/pve.img"

# Metadata, and no free extents: the file grows, and a guest's writes do not fail.
ok "a pool with little metadata in a full volume group" \
  vt init pve/data --size 1g --extent-size 1m --metadata-size 2m
is "of which nothing is free" "$(vt info --json pve | field "d['volume_group']['free']")" 0
size=$(stat -c %s "$state/pve.img")
vt serve pve
vt create pve/a --size 100g 2>/dev/null
scatter() { # EVERY FIRST
  python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
for i in range(int(sys.argv[3]), 10000, int(sys.argv[2])):
    os.pwrite(fd, b"z" * 512, i * 8 * 1024 * 1024)
os.fsync(fd)' "$VIRT_THIN_RUNTIME_DIR/pve/volumes/a" "$1" "$2" 2>"$tmp/error"
}
ok "scattered writes" scatter 1 0
for ((i = 0; i < 30; i++)); do vt snapshot pve/a s$i 2>"$tmp/error" && scatter 120 $i || break; done
is "take all their snapshots" $i 30
ok "the file has grown" test "$(stat -c %s "$state/pve.img")" -gt "$size"
is "the spare with the metadata" "$(vt info --json pve/data |
  field "d['pool']['metadata_spare'] == d['pool']['metadata_size']")" true
like "info foretells how many more it takes" "$(vt info pve/data)" \
  '^snapshots +metadata has room for about [0-9]+ more like the last 10 \([0-9.]+ .iB each\)$'
vt info --json pve/data >"$tmp/info.json"
ok "as JSON by its schema" valid info <"$tmp/info.json"
vt stop pve
ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img"
rm "$state/pve.img"

# Where nothing may grow.
printf '[autoextend]\nthreshold=100\n' >"$VIRT_THIN_CONFIG"
vt init pve/data --size 1g --extent-size 1m --metadata-size 2m
vt serve pve
vt create pve/a --size 100g 2>/dev/null
ok "scattered writes" scatter 1 0
for ((i = 0; i < 30; i++)); do vt snapshot pve/a s$i 2>"$tmp/error" && scatter 120 $i || break; done
ok "with snapshots run into its end" test $i -lt 30
like "with an error" "$(cat "$tmp/error")" 'No space left|out of metadata|metadata'
like "info tells" "$(vt info pve/data)" '^health +out of metadata space'
truncate -s 64M "$state/more.img"
before=$(pool pve/data metadata_size)
ok "more room for the volume group" vt extend pve "$state/more.img"
vt stop pve; : >"$VIRT_THIN_CONFIG"; vt serve pve
has_more() {
  [ "$(pool pve/data metadata_size)" -gt "$before" ] && vt info pve/data | grep -q '^health *well'
}
ok "the metadata grows into it" wait_until 20 has_more
ok "the writer goes on" scatter 120 50
ok "a snapshot can be taken" vt snapshot pve/a more
is "the spare is as large" "$(pool pve/data metadata_spare)" "$(pool pve/data metadata_size)"
vt stop pve
ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img" "$state/more.img"
rm "$state/pve.img" "$state/more.img"

# Data, and no free extents.
ok "a pool that cannot grow" vt init pve/data --size 64m
vt serve pve
vt create pve/a --size 200m 2>/dev/null
refused "a writer of more than it holds" 1 'space' \
  sh -c "head -c 100m /dev/urandom | '$VIRT_THIN_PROGRAM' import - pve/a"
truncate -s 128M "$state/more.img"
ok "more room for the volume group" vt extend pve "$state/more.img"
ok "and for the pool" vt resize pve/data +100m
ok "the writer goes on" sh -c "head -c 100m /dev/urandom | '$VIRT_THIN_PROGRAM' import - pve/a"
vt stop pve
rm "$state/pve.img" "$state/more.img"

# Switched off.
echo $'[autoextend]\nthreshold=100' >"$VIRT_THIN_CONFIG"
ok "a pool that could grow" vt init pve/data --size 64m --max-size 512m
vt create pve/a --size 100m 2>/dev/null
refused "does not, where that is switched off" 1 'space' \
  sh -c "head -c 100m /dev/urandom | '$VIRT_THIN_PROGRAM' import - pve/a"
like "which info tells" \
  "$(vt info pve/data)" "^grows +not by itself: virt-thin.conf's .autoextend. threshold is 100"
