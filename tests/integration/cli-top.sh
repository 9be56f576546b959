#!/bin/bash
# virt-thin - what top shows: what a service was asked between two looks, who wrote and who grew
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
can_serve || skip_all "needs root and /dev/fuse"
command -v qemu-io >/dev/null || skip_all "needs qemu-io"
plan 14

row() { grep -E -- "^ +$1 " <<<"$said" | head -n 1 | tr -s ' ' | sed 's/ $//'; }
vt init pve/data --size 256m --reserve 32m >/dev/null
vt create pve/vm-100-disk-0 --size 64m
long=vm-101-$(printf 'long_%.0s' {1..8})disk-0
vt create "pve/$long" --size 64m

said=$(vt top --interval 0.2 --count 1)
like "of a volume group that nobody has: its pool" "$said" \
  '^pve/data  \[\.+\] 0 %, metadata [0-9]+ %$'
is "its volumes, of which nothing is known but that they do not grow" "$(row vm-100-disk-0)" \
  " vm-100-disk-0 - - - -"
like "long names keep both their ends" "$said" '^  vm-101-.*disk-0 '
is "in 80 columns" "$(awk 'length > 80' <<<"$said")" ""

vt serve pve >/dev/null
# Many looks, until one of them has seen it; a second between two, so that it falls between them.
"$VIRT_THIN_PROGRAM" top --interval 1 >"$tmp/top" & top=$!
at_exit 'kill $top 2>/dev/null'
wait_until 20 grep -q ^pve/data "$tmp/top"
qemu-io -f raw -c 'write 0 8M' -c 'read 0 4M' -c flush \
  "nbd+unix:///vm-100-disk-0?socket=$VIRT_THIN_RUNTIME_DIR/pve/nbd" >/dev/null
wait_until 20 grep -qE '^  write +[0-9.]+ [KM]iB ' "$tmp/top"
said=$(grep -E '^  write +[0-9.]+ [KM]iB ' "$tmp/top")
like "what was written, and how long it took" "$said" '^  write +[0-9.]+ MiB +[0-9]+ +[0-9.]+$'
said=$(grep -E '^  read +[0-9.]+ [KM]iB ' "$tmp/top")
like "what was read" "$said" '^  read +[0-9.]+ MiB +[0-9]+ +[0-9.]+$'
wait_until 20 grep -qE '^  vm-100-disk-0 .* [0-9.]+ [KM]iB$' "$tmp/top"
said=$(grep -E '^  vm-100-disk-0 .* [0-9.]+ [KM]iB$' "$tmp/top")
like "the volume grew" "$said" '^  vm-100-disk-0 .* [0-9.]+ MiB$'
wait_until 20 grep -qE 'full in: [0-9]+ (h|min)' "$tmp/top"
said=$(grep 'full in: [0-9]' "$tmp/top" | head -n 1)
like "and the pool with it: when it will be full" "$said" \
  '^  grows per hour: [0-9.]+ GiB, full in: [0-9]+ (min|h [0-9]+ min)$'
if [ -b "$VIRT_THIN_DEV_DIR/pve/$long" ]; then
  dd if=/dev/zero of="$VIRT_THIN_DEV_DIR/pve/$long" bs=1M count=4 oflag=direct status=none
  wait_until 20 grep -qE '^  vm-101-[^ ]* +(-|[0-9.]+ [KM]iB) +[0-9.]+ [KM]iB ' "$tmp/top"
  said=$(grep -E '^  vm-101-[^ ]* +(-|[0-9.]+ [KM]iB) +[0-9.]+ [KM]iB ' "$tmp/top" | head -n 1)
  like "what was written to a block device" "$said" ' [0-9.]+ [KM]iB +[0-9]+ '
else
  skip 1 "no block nodes"
fi
kill -INT $top; wait $top
is "Control-C ends it, and that is no failure" $? 0

# --- on a terminal ---
LC_ALL=C.UTF-8 python3 -c '
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 6, 60, 0, 0))
    os.execv(sys.argv[1], sys.argv[1:])
try:
    while data := os.read(fd, 4096):
        os.write(1, data)
except OSError:
    pass
os.waitpid(pid, 0)' "$VIRT_THIN_PROGRAM" top --interval 0.2 --count 2 </dev/null |
  tr -d '\r' >"$tmp/terminal"
is "each look has the screen" "$(grep -c $'\033\\[2J' "$tmp/terminal")" 2
is "no more lines than it has" "$(wc -l <"$tmp/terminal")" 10
is "nor columns" "$(python3 -c 'import sys
print(max(len(l.split("\033[2J")[-1].rstrip("\n")) for l in open(sys.argv[1])) <= 60)' \
  "$tmp/terminal")" True
vt stop pve
run vt top --interval 0.1 --count 1 nosuch
like "of a volume group that is not there" "$?: $out" "^1: .*nosuch"
