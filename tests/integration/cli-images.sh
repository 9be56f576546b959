#!/bin/bash
# virt-thin - images in and out of volumes: raw, sparse, from a pipe, and in qemu's formats; in the
# process and through a service
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

used() { vt info --json pve/data | field "d['pool']['used']"; }

# An image with data at odd places, holes, and zeros that are no hole.
head -c 1000001 /dev/urandom > "$tmp/raw"
truncate -s 37m "$tmp/raw"
dd if=/dev/urandom of="$tmp/raw" bs=1000 seek=20003 count=777 conv=notrunc status=none
dd if=/dev/zero of="$tmp/raw" bs=1M seek=5 count=4 conv=notrunc status=none
want=$(md5 "$tmp/raw")

images() {
  local how=$1 format before
  ok "$how: import raw" vt import "$tmp/raw" pve/raw
  is "$how: the volume is the image, and zeros to the next extent" \
    "$(export_md5 export pve/raw)" "$( (cat "$tmp/raw"; head -c 3m /dev/zero) | md5)"
  ok "$how: it maps the data's chunks only" \
    test "$(volume pve/raw mapped)" -le $((1900000 + 4 * 65536))
  ok "$how: export to a file" vt export pve/raw "$tmp/out"
  is "$how: the same" "$(head -c 37m "$tmp/out" | md5)" "$want"
  ok "$how: the file is as sparse as the volume" \
    test "$(blocks "$tmp/out")" -le $(($(volume pve/raw mapped) / 1024 + 64))
  vt export pve/raw - > "$tmp/out2"
  ok "$how: standard output redirected to a file is sparse, too" sh -c \
    "cmp '$tmp/out' '$tmp/out2' && [ $(blocks "$tmp/out2") -le $(($(blocks "$tmp/out") + 64)) ]"
  ok "$how: export over a file that is there" vt export pve/raw "$tmp/out2"
  ok "$how: the same again" cmp "$tmp/out" "$tmp/out2"

  ok "$how: import from a pipe" \
    sh -c "cat '$tmp/raw' | '$VIRT_THIN_PROGRAM' import - pve/pipe --size 40m"
  is "$how: the same" "$(export_md5 export pve/pipe)" "$(md5 "$tmp/out")"
  is "$how: zeros of a pipe are not mapped" "$(volume pve/pipe mapped)" "$(volume pve/raw mapped)"
  ok "$how: from a pipe of unknown length" \
    sh -c "cat '$tmp/raw' | '$VIRT_THIN_PROGRAM' import - pve/pipe3"
  is "$how: a volume as large as what came" "$(export_md5 export pve/pipe3)" "$(md5 "$tmp/out")"
  is "$how: with no more than that mapped" "$(volume pve/pipe3 mapped)" "$(volume pve/raw mapped)"
  refused "$how: an empty pipe" 1 'standard input is empty' \
    sh -c ": | '$VIRT_THIN_PROGRAM' import - pve/pipe2"
  not_ok "$how: makes no volume" vt info pve/pipe2
  vt remove pve/pipe3
  refused "$how: a pipe that is longer than its volume" 1 'larger than volume' \
    sh -c "cat '$tmp/raw' | '$VIRT_THIN_PROGRAM' import - pve/pipe2 --size 4m"
  not_ok "$how: which is not left behind" vt info pve/pipe2

  # Overwriting: a larger volume full of other data.
  head -c 60m /dev/urandom > "$tmp/noise"
  ok "$how: fill a volume" vt import "$tmp/noise" pve/noise
  ok "$how: overwrite it with less" vt import "$tmp/raw" pve/noise
  is "$how: the rest reads zero" \
    "$(export_md5 export pve/noise)" "$( (cat "$tmp/raw"; head -c 23m /dev/zero) | md5)"
  is "$how: and is given back" "$(volume pve/noise mapped)" "$(volume pve/raw mapped)"
  refused "$how: overwriting with more" 1 'resize pve/raw' vt import "$tmp/noise" pve/raw
  refused "$how: --size below the image's, in units" 1 \
    '--size 4m: .* holds a disk of 60.00 MiB, which is more' \
    vt import "$tmp/noise" pve/small --size 4m
  is "$how: changes nothing" "$(export_md5 export pve/raw)" "$(md5 "$tmp/out")"
  vt snapshot pve/raw s
  refused "$how: overwriting a snapshot" 1 'read-only' vt import "$tmp/raw" pve/snap_raw_s
  vt remove pve/snap_raw_s

  for format in $formats; do
    qemu-img convert -q -f raw -O "$format" "$tmp/raw" "$tmp/image.$format"
    ok "$how: import $format" vt import "$tmp/image.$format" "pve/$format"
    is "$how: the same" "$(vt export "pve/$format" - 2>/dev/null | head -c 37m | md5)" "$want"
    ok "$how: it maps no more than the raw import" \
      test "$(volume "pve/$format" mapped)" -le $(($(volume pve/raw mapped) + 4 * 65536))
    ok "$how: export $format" vt export pve/raw "$tmp/again.$format" --format "$format"
    is "$how: the same" \
      "$(qemu-img convert -q -f "$format" -O raw "$tmp/again.$format" "$tmp/again" &&
        head -c 37m "$tmp/again" | md5)" \
      "$want"
    is "$how: for its owner alone, as a raw one" \
      "$(stat -c %a "$tmp/again.$format") $(stat -c %a "$tmp/out")" "600 600"
    rm -f "$tmp/again" "$tmp/again.$format"
  done
  ok "$how: overwrite with qcow2" vt import "$tmp/image.qcow2" pve/noise
  is "$how: the rest reads zero" \
    "$(export_md5 export pve/noise)" "$( (cat "$tmp/raw"; head -c 23m /dev/zero) | md5)"
  ok "$how: --format raw takes a qcow2 image as it is" \
    vt import "$tmp/image.qcow2" pve/asis --format raw
  is "$how: byte for byte" \
    "$(vt export pve/asis - 2>/dev/null | head -c "$(stat -c %s "$tmp/image.qcow2")" | md5)" \
    "$(md5 "$tmp/image.qcow2")"
  ok "$how: qcow2 from a redirected file" \
    sh -c "'$VIRT_THIN_PROGRAM' import - pve/q < '$tmp/image.qcow2'"
  is "$how: the same" "$(vt export pve/q - 2>/dev/null | head -c 37m | md5)" "$want"
  vt remove pve/q
  refused "$how: qcow2 from a pipe" 1 'save it in a file' \
    sh -c "cat '$tmp/image.qcow2' | '$VIRT_THIN_PROGRAM' import - pve/q --size 64m"
  refused "$how: a file that is not there" 1 'nowhere' vt import "$tmp/nowhere" pve/q
  refused "$how: a folder" 1 'directory' vt import "$tmp" pve/q
  : > "$tmp/empty"
  refused "$how: an empty file" 1 'empty' vt import "$tmp/empty" pve/q
  refused "$how: export to where nothing can be" 1 'no-such-folder' \
    vt export pve/raw "$tmp/no-such-folder/x"
  refused "$how: export of what is not there" 1 'nope' vt export pve/nope "$tmp/x"
  not_ok "$how: makes no file" test -e "$tmp/x"

  equal "$how"

  # A terabyte with a little data, in seconds.
  rm -f "$tmp/huge" && truncate -s 1t "$tmp/huge"
  for offset in 0 1 500000 1048575; do
    dd if=/dev/urandom of="$tmp/huge" bs=1M count=1 seek=$offset conv=notrunc status=none
  done
  before=$(used)
  ok "$how: import 1 TiB with 4 MiB of data" \
    timeout 20 "$VIRT_THIN_PROGRAM" import "$tmp/huge" pve/huge
  is "$how: it takes 4 MiB" "$(($(used) - before))" $((4 << 20))
  ok "$how: import it again" timeout 20 "$VIRT_THIN_PROGRAM" import "$tmp/huge" pve/huge
  ok "$how: export it" timeout 20 "$VIRT_THIN_PROGRAM" export pve/huge "$tmp/huge2"
  ok "$how: 4 MiB again" test "$(blocks "$tmp/huge2")" -le 4200
  ok "$how: at their places" sh -c \
    "for o in 0 1 500000 1048575;
      do cmp -n 1048576 '$tmp/huge' '$tmp/huge2' \$((o << 20)) \$((o << 20)) || exit 1; done"
  rm -f "$tmp/huge2"

  stopped "$how" TERM
  stopped "$how" HUP
  ok "$how: check" vt check pve/data
  # shellcheck disable=SC2046
  ok "$how: remove all" vt remove $(names pve | sed 's|[^ ]*|pve/&|g')
  is "$how: every chunk is back" "$(used)" 0
}
exclusive() { vt info --json "$1" | field "d['volume']['exclusive']"; }
# Over a golden image's clone: what is equal stays shared.
equal() {
  local how=$1 image before
  head -c 20000000 /dev/urandom >"$tmp/golden.raw"
  truncate -s 30m "$tmp/golden.raw"
  qemu-img convert -q -f raw -O qcow2 "$tmp/golden.raw" "$tmp/golden.qcow2"
  vt import "$tmp/golden.raw" pve/golden && vt clone pve/golden pve/again
  before=$(used)
  for image in raw qcow2; do
    ok "$how: the same image again, $image" vt import "$tmp/golden.$image" pve/again
    is "$how: takes nothing" "$(exclusive pve/again) $(used)" "0 $before"
  done
  cp "$tmp/golden.raw" "$tmp/newer.raw"
  dd if=/dev/urandom of="$tmp/newer.raw" bs=64k seek=70 count=3 conv=notrunc status=none
  dd if=/dev/zero of="$tmp/newer.raw" bs=64k seek=100 count=3 conv=notrunc status=none
  printf x | dd of="$tmp/newer.raw" bs=1 seek=29000000 conv=notrunc status=none
  qemu-img convert -q -f raw -O qcow2 "$tmp/newer.raw" "$tmp/newer.qcow2"
  for image in raw qcow2; do
    vt import "$tmp/golden.raw" pve/again
    ok "$how: a newer one, $image" vt import "$tmp/newer.$image" pve/again
    is "$how: takes what is new" "$(exclusive pve/again)" $((4 * 65536))
    is "$how: is what was imported" \
      "$(export_md5 export pve/again)" "$( (cat "$tmp/newer.raw"; head -c 2m /dev/zero) | md5)"
  done
  vt remove pve/again && vt clone pve/golden pve/again
  ok "$how: over a clone from a pipe" sh -c "cat '$tmp/golden.raw' | '$VIRT_THIN_PROGRAM' import - pve/again"
  is "$how: takes nothing, too" "$(exclusive pve/again)" 0
  for image in raw qcow2; do
    ok "$how: --whole, $image" vt import --whole "$tmp/golden.$image" pve/again
    is "$how: shares nothing" "$(exclusive pve/again)" "$(volume pve/golden mapped)"
    is "$how: and is the image" "$(export_md5 export pve/again)" "$(export_md5 export pve/golden)"
  done
  vt remove pve/again pve/golden
}
# stopped HOW SIGNAL: what was begun is taken back, though whoever started the test may have it
# ignore hangups
stopped() {
  mkfifo "$tmp/fifo"
  env --default-signal="$2" "$VIRT_THIN_PROGRAM" import "$tmp/fifo" pve/stopped --size 8m \
    2>"$tmp/.stopped" &
  exec 9>"$tmp/fifo"; head -c 1m /dev/urandom >&9
  wait_until 10 vt info pve/stopped
  kill -"$2" $!; wait $!
  is "$1: an import that is stopped by SIG$2 fails" "$?" 1
  exec 9>&-; rm "$tmp/fifo"
  not_ok "$1: its volume is gone" vt info pve/stopped
}
# On a terminal there is a bar; elsewhere nothing.
bar() {
  script -qec "'$VIRT_THIN_PROGRAM' import '$tmp/raw' pve/bar" /dev/null </dev/null \
    >"$tmp/.bar" 2>&1
  like "on a terminal import shows how far it is" \
    "$(tr '\r' '\n' <"$tmp/.bar")" 'importing .*\[[#.]{30}\] +[0-9]+%'
  run vt import "$tmp/raw" pve/bar
  is "elsewhere nothing" "$? $out$err" "0 "
  vt remove pve/bar
}
formats=
for f in qcow2 vmdk vdi vpc vhdx; do
  qemu-img --help | grep -q "^Supported formats:.* $f" && formats+=" $f"
done
n=$(wc -w <<<"$formats")
each=$((71 + 6 * n))
plan $((2 * each + 6))
ok "init" vt init pve/data --size 512m
bar
images "in the process"
if can_serve; then
  ok "serve" vt serve pve
  images "served"
  ok "stop" vt stop pve
  ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img"
else
  skip $((each + 3)) "needs root and /dev/fuse"
fi
