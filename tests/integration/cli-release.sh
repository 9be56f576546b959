#!/bin/bash
# virt-thin - release: take a volume group back after its service was killed, on a file and on a
# block device
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
can_serve || skip_all "needs root and /dev/fuse"

# Every process of the service at once: holder first, or it starts the others again.
kill_service() {
  local holder children
  holder=$(cat "$VIRT_THIN_RUNTIME_DIR/pve/pid")
  children=$(cat /proc/"$holder"/task/*/children)
  # shellcheck disable=SC2086
  kill -9 "$holder" $children
  wait_until 10 sh -c \
    "for p in $holder $children; do [ ! -e /proc/\$p ] || grep -q '^State:.Z' /proc/\$p/status ||
      exit 1; done"
}
truncate -s 300m "$tmp/pv"
loop=$(losetup --find --show "$tmp/pv" 2>/dev/null) || loop=
[ -z "$loop" ] || at_exit "losetup -d $loop"
plan 30


released() {
  local how=$1 device=$2 sum
  export_device=(--device "$device")
  ok "$how: init" vt "${export_device[@]}" init pve/data --size 200m
  head -c 5m /dev/urandom > "$tmp/data"; truncate -s 16m "$tmp/data"; sum=$(md5 "$tmp/data")
  ok "$how: serve" vt "${export_device[@]}" serve pve
  ok "$how: import" vt import "$tmp/data" pve/vm-1
  refused "$how: a service that lives is not released" 1 'pve' vt "${export_device[@]}" release pve
  kill_service
  # A folder mounted by a dead process, loop devices over its files, sockets, links: all there
  # still.
  ok "$how: something is left" test -e "$VIRT_THIN_RUNTIME_DIR/pve/control"
  ok "$how: release" vt "${export_device[@]}" release pve
  not_ok "$how: no mount" grep -q " $VIRT_THIN_RUNTIME_DIR/pve/volumes " /proc/mounts
  not_ok "$how: no node" test -e "$VIRT_THIN_DEV_DIR/pve/vm-1"
  is "$how: no loop device over it" \
    "$(losetup -l -n -O BACK-FILE | grep -c "^$VIRT_THIN_RUNTIME_DIR/" || true)" 0
  is "$how: what was acknowledged is there" \
    "$(export_md5 "${export_device[@]}" export pve/vm-1)" "$sum"
  ok "$how: check" vt "${export_device[@]}" check pve/data
  ok "$how: it is not served" sh -c \
    "'$VIRT_THIN_PROGRAM' ${export_device[*]} info --json pve | grep -q '\"served_by\" : null'"
  ok "$how: and can be, again" vt "${export_device[@]}" serve pve
  ok "$how: stop" vt stop pve
}
released "a file" "$tmp/file"
ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$tmp/file"
if [ -n "$loop" ]; then
  released "a block device" "$loop"
  ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$tmp/pv"
else
  skip 15 "no loop device"
fi
