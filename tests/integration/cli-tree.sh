#!/bin/bash
# virt-thin - what tree shows: from disks to snapshots, in lines that fit a terminal, and a picture
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 26

# What a command writes on a terminal of $columns columns.
columns=80
terminal() {
  LC_ALL=${locale-C.UTF-8} python3 -c '
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, int(sys.argv[1]), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
try:
    while data := os.read(fd, 4096):
        os.write(1, data)
except OSError:
    pass
os.waitpid(pid, 0)' "$columns" "$VIRT_THIN_PROGRAM" "$@" </dev/null 2>&1 | tr -d '\r'
}
row() { grep -E -- "$1" <<<"$said" | head -n 1 | tr -s ' '; }
widest() { python3 -c 'import sys; print(max(len(l.rstrip("\n")) for l in sys.stdin))' <<<"$said"; }
drawn() { # XPATH, of elements without their namespace
  sed 's/ xmlns="[^"]*"//' "$tmp/tree.svg" | xmllint --xpath "$1" - 2>/dev/null
}

like "without a volume group that is said" "$(vt tree 2>&1)" "there is no volume group"
vt init pve/data --size 256m --reserve 32m >/dev/null
vt extend pve "$tmp/second.img" --size 64m 2>/dev/null
vt create pve/vm-100-disk-0 --size 64m
head -c 20M /dev/urandom >"$tmp/data"
vt import --format raw "$tmp/data" pve/vm-100-disk-0 2>/dev/null
vt snapshot pve/vm-100-disk-0 before >/dev/null
vt clone pve/vm-100-disk-0 pve/vm-101-disk-0
vt clone pve/snap_vm-100-disk-0_before pve/vm-102-disk-0
export VIRT_THIN_STATE_DIR # where the first file is; the second is named
both=(--device "$state/pve.img" --device "$tmp/second.img")

said=$(terminal "${both[@]}" tree)
is "each column has a heading" "$(sed -n 1p <<<"$said" | tr -s ' ')" "NAME SIZE USED OPEN BY"
like "at the bottom is a file" "$(row '^[^└]*pve\.img')" 'pve\.img file 256\.00 MiB [0-9]+ %$'
like "the volume group is on two" "$(row 'below')" '^└ pve volume group \(below\)$'
like "and hangs on the last" "$(row '^└ pve +volume group  +[0-9]')" \
  '^└ pve volume group 280\.00 MiB [0-9]+ %$'
like "the pool, with its metadata" "$(row 'data +thin pool')" \
  '^ └ data thin pool, metadata [0-9]+ % [0-9.]+ MiB 1[0-9] %$'
like "a volume" "$(row '─?└ vm-100-disk-0')" '^ └ vm-100-disk-0 64\.00 MiB 31 %$'
like "a snapshot of it" "$(row 'snap_')" '├ snap_vm-100-disk-0_before snapshot 64\.00 MiB 31 %$'
like "what was made of that" "$(row 'vm-102')" '^ │ └ vm-102-disk-0 '
like "what was made of the volume" "$(row 'vm-101')" '^ └ vm-101-disk-0 '
is "each is there once" "$(grep -c 'vm-10[0-2]-disk-0' <<<"$said")" 4
locale=C said=$(locale=C terminal "${both[@]}" tree)
like "without UTF-8, in ASCII" "$said" '^ +\| ` vm-102-disk-0 '
unset locale

long=vm-103-$(printf 'long_%.0s' {1..14})disk-0
vt "${both[@]}" create "pve/$long" --size 4m
vt "${both[@]}" snapshot "pve/$long" x >/dev/null
said=$(terminal "${both[@]}" tree)
ok "long names keep to 80 columns" test "$(widest)" -le 80
like "both their ends are there" "$said" 'vm-103-long_.*….*long_disk-0 '
columns=60
said=$(terminal "${both[@]}" tree)
ok "and to 60" test "$(widest)" -le 60
columns=80
like "a pipe gets them whole" "$(vt "${both[@]}" tree)" "$long "
is "of one volume group" "$(vt "${both[@]}" tree pve)" "$(vt "${both[@]}" tree)"
refused "of one that is not there" 1 "nosuch" vt tree nosuch

# --- as a picture ---
ok "a picture" vt "${both[@]}" tree --svg "$tmp/tree.svg"
is "has a box for each" "$(drawn 'count(/svg/g)')" 10
is "a line from each to what is on it" "$(drawn 'count(/svg/path)')" 9
like "their names" "$(drawn '/svg/g/text[@class="name"]/text()' | tr '\n' ' ')" \
  'pve data vm-100-disk-0 snap_vm-100-disk-0_before vm-102-disk-0 vm-101-disk-0 '
is "what does not fit into a box, its title has" \
  "$(drawn "count(/svg/g/title[starts-with(., '$long')])")" 1
is "no two boxes are at one place" "$(drawn '/svg/g/rect[1]/@x | /svg/g/rect[1]/@y' | paste - - |
  sort | uniq -d)" ""

# --- who has it open ---
if can_serve; then
  vt "${both[@]}" serve pve >/dev/null
  sleep 1000 <"$VIRT_THIN_RUNTIME_DIR/pve/volumes/vm-102-disk-0" & holder=$!
  at_exit 'kill $holder'
  said=$(terminal tree)
  like "who has a volume open, where there is room" "$(grep -A1 vm-102-disk-0 <<<"$said")" \
    "sleep, pid $holder\$"
  like "and who serves it" "$said" 'virt-thin service, pid [0-9]+$'
else
  skip 2 "needs root and /dev/fuse"
fi
