#!/bin/bash
# virt-thin - NBD clients on the volumes of a served volume group: data, holes, clones, EBUSY,
# kills, and a whole pool at the end
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

for program in nbdinfo nbdcopy qemu-img fio; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
[ -c /dev/fuse ] || skip_all "the service needs FUSE, and there is no /dev/fuse"
plan 18
export VIRT_THIN_STATE_DIR=$tmp/state VIRT_THIN_RUNTIME_DIR=$tmp/run VIRT_THIN_DEV_DIR=$tmp/dev \
  VIRT_THIN_CONFIG=$tmp/virt-thin.conf VIRT_THIN_PROGRAM=$top_builddir/virt-thin
printf '[service]\nblock-nodes=none\n' > "$VIRT_THIN_CONFIG"
vt() { "$VIRT_THIN_PROGRAM" "$@"; }
vg=nbd$$
uri() { echo "nbd+unix:///$1?socket=$VIRT_THIN_RUNTIME_DIR/$vg/nbd"; }
kills=${VIRT_THIN_TEST_LONG:+500}; kills=${kills:-25}

img=$tmp/image.raw
truncate -s 64M "$img"
for at in 0 3 4 20 63; do
  dd if=/dev/urandom of="$img" bs=64k count=5 seek=$((at * 16)) conv=notrunc status=none
done
md5=$(md5sum < "$img")
same() { nbdcopy "$(uri "$1")" "$tmp/back.raw" && [ "$(md5sum < "$tmp/back.raw")" = "$md5" ]; }
mapped() { nbdinfo --map --totals "$(uri "$1")" | awk '$4 == "data" {print $1}'; }

ok "a volume group" vt init $vg/data --size 1G
for v in base work other; do vt create $vg/$v --size 64M >&2; done
at_exit "vt stop --force $vg 2>/dev/null"
ok "serve it" vt serve $vg
ok "nbdcopy uploads" nbdcopy --flush "$img" "$(uri base)"
ok "nbdcopy downloads the same" same base
is "only what was written is mapped" "$(mapped base)" $((25 * 65536))
ok "a clone while it is served" vt clone $vg/base $vg/clone
ok "is an export at once, with the same data" same clone
ok "a snapshot" vt snapshot $vg/base before
like "is read-only" "$(nbdinfo "$(uri snap_base_before)")" 'is_read_only: true'
ok "qemu-img zeroes and writes the clone" \
  qemu-img convert -n -f raw -O raw -S 4k "$img" "$(uri clone)"
ok "and it holds the same" qemu-img compare -f raw -F raw "$img" "$(uri clone)"

# A client that holds a volume open is named.
/usr/bin/python3 -c 'import nbd' 2>/dev/null && {
  /usr/bin/python3 -c 'import nbd, sys, time
h = nbd.NBD(); h.connect_uri(sys.argv[1]); print("open", flush=True); time.sleep(600)' \
    "$(uri other)" > "$tmp/open" &
  holder=$!
  at_exit "kill $holder 2>/dev/null"
  wait_until 10 grep -q open "$tmp/open"
  like "a volume that a client has open is not removed, and the client is named" \
    "$(vt remove $vg/other 2>&1)" "nbd client, pid $holder \(python3\)"
  kill $holder; wait $holder 2>/dev/null
  ok "it is once the client is gone" wait_until 10 vt remove $vg/other
} || skip 2 "libnbd's Python module is not installed"

if fio --enghelp 2>/dev/null | grep -qw nbd; then
  (
    exec fio --name=verify --ioengine=nbd --uri="$(uri work)" --rw=randrw --rwmixread=30 \
      --bsrange=512-128k --iodepth=32 --size=48m --offset=8m --verify=crc32c \
      --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 --time_based --runtime=600 \
      --minimal
  ) > "$tmp/fio" 2>&1 &
  fio=$!
  at_exit "kill -KILL $fio 2>/dev/null"
  killed=0 n=0
  while [ $killed -lt "$kills" ] && [ $n -lt $((10 * kills)) ]; do
    n=$((n + 1))
    case $((n % 3)) in
      0) nbdcopy --connections=4 "$(uri base)" "$(uri clone)" & ;;
      1) qemu-img convert -n -W -m 16 -f raw -O raw "$img" "$(uri clone)" & ;;
      2) nbdcopy --connections=1 --requests=128 --sparse=0 "$(uri base)" null: & ;;
    esac >/dev/null 2>&1
    victim=$!
    sleep 0.0$((RANDOM % 40 + 10))
    kill -KILL $victim 2>/dev/null && killed=$((killed + 1))
    wait $victim 2>/dev/null
    progress "$killed of $kills clients are killed"
  done
  is "$kills clients killed with requests in flight" "$killed" "$kills"
  kill -TERM $fio; wait $fio
  is "another one verified what it wrote meanwhile" "$(grep -cE 'verify:|error=' "$tmp/fio")" 0
else
  skip 2 "fio has no nbd engine"
fi
ok "the origin is untouched" same base
ok "stop" vt stop $vg
ok "the pool is whole" vt check $vg/data
