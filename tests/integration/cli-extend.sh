#!/bin/bash
# virt-thin - extend with a device that lies elsewhere: it is found again, served or not, but not by
# a copy of the volume group
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 16

mkdir "$tmp/elsewhere" "$tmp/copy"
truncate -s 128m "$tmp/elsewhere/second.img" "$tmp/elsewhere/third.img"
ok "init" vt init pve/data --size 128m
ok "extend, by a relative path" \
  sh -c "cd '$tmp/elsewhere' && '$VIRT_THIN_PROGRAM' extend pve second.img"
refused "the same again" 1 'already' vt extend pve "$tmp/elsewhere/second.img"
ok "the pool grows into it" vt resize pve/data +100m
ok "create" vt create pve/a --size 150m
run vt list pve; is "no warning" "$err" ""
refused "--device names all there is" 1 'second.img\) is missing' \
  vt --device "$state/pve.img" create pve/b --size 4m
cp --sparse=always "$state/pve.img" "$tmp/copy"
VIRT_THIN_STATE_DIR=$tmp/copy refused "a copy does not take the original's device" 1 \
  'second.img\) is missing' vt create pve/b --size 4m

if can_serve; then
  ok "served: serve" vt serve pve
  ok "served: extend" vt extend pve "$tmp/elsewhere/third.img"
  ok "served: stop" vt stop pve
  ok "served: serve again" vt serve pve
  is "served: all devices" "$(vt info pve --json | field "len(d['volume_group']['devices'])")" 3
  ok "served: stop again" vt stop pve
else
  skip 6 "needs root and /dev/fuse"
fi
mv "$tmp/elsewhere/second.img" "$tmp/elsewhere/moved.img"
refused "gone" 1 'second.img\) is missing' vt create pve/b --size 4m
ok "named" vt --device "$state/pve.img" --device "$tmp/elsewhere/moved.img" \
  --device "$tmp/elsewhere/third.img" create pve/b --size 4m
