#!/bin/bash
# virt-thin - what list and info show on a terminal: trees, bars, totals; pipes get what they got
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 29

# What a command writes on a terminal, and its status.
terminal() {
  LC_ALL=${locale-C.UTF-8} python3 -c '
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))' "$VIRT_THIN_PROGRAM" "$@" \
    </dev/null >"$tmp/terminal" 2>&1
  local status=$?
  tr -d '\r' <"$tmp/terminal"
  return $status
}
row() { grep -F -- "$1" <<<"$said" | head -n 1 | tr -s ' '; }

vt init pve/data --size 256m --reserve 32m >/dev/null
vt create pve/vm-100-disk-0 --size 64m
head -c 20M /dev/urandom >"$tmp/data"
vt import --format raw "$tmp/data" pve/vm-100-disk-0 2>/dev/null
vt snapshot pve/vm-100-disk-0 before >/dev/null
vt clone pve/vm-100-disk-0 pve/vm-101-disk-0
vt clone pve/snap_vm-100-disk-0_before pve/vm-102-disk-0
head -c 5M /dev/urandom >"$tmp/data"
vt import --format raw "$tmp/data" pve/vm-101-disk-0 2>/dev/null

# --- list ---
said=$(terminal list)
like "a pool has a heading with a bar" "$(sed -n 1p <<<"$said")" \
  '^pve/data  \[###+\.+\] [0-9]+ %, 2[0-9.]+ MiB of [0-9.]+ MiB'
like "each column has a heading, flags too" "$(sed -n 2p <<<"$said")" \
  '^ +VOLUME +SIZE +MAPPED +USED +EXCLUSIVE +FLAGS +OPEN BY$'
like "a volume begins a tree" "$said" '^  vm-100-disk-0 '
like "what was made of it hangs on it" "$said" '^  ├ snap_vm-100-disk-0_before '
like "and what was made of that, on that" "$said" '^  │ └ vm-102-disk-0 '
like "the last one ends the tree" "$said" '^  └ vm-101-disk-0 '
like "size, mapped, used, exclusive, flags" "$(row '└ vm-101-disk-0')" \
  '└ vm-101-disk-0 64.00 MiB 5.00 MiB 8 % 5.00 MiB rw$'
like "of a snapshot" "$(row before)" '64.00 MiB 20.00 MiB 31 % 0 B ro$'
like "totals: what is shared counts once" "$(row '4 volumes')" \
  '4 volumes 256.00 MiB 2[0-9.]+ MiB [0-9]+ % '
locale=C said=$(locale=C terminal list pve/data)
like "without UTF-8, in ASCII" "$said" '^  \| ` vm-102-disk-0 '
unset locale
refused "of a pool that is not there" 1 "no thin pool|nosuch" vt list pve/nosuch
is "a pipe gets the plain table" "$(vt list | head -n 2 | tr -s ' ')" \
  "VOLUME POOL SIZE MAPPED ORIGIN"$'\n'"pve/vm-100-disk-0 data 64.00 MiB 20.00 MiB rw "

# --- open by ---
if can_serve; then
  vt serve pve >/dev/null
  sleep 1000 <"$VIRT_THIN_RUNTIME_DIR/pve/volumes/vm-102-disk-0" & holder=$!
  at_exit 'kill $holder'
  said=$(terminal list)
  like "who has a volume open" "$(row vm-102-disk-0)" "rwa sleep, pid $holder\$"
  like "and who has none" "$(row '└ vm-101-disk-0')" 'rwa$'
  like "info as well" "$(vt info pve/vm-102-disk-0)" "^open by +sleep, pid $holder\$"
  if command -v qemu-io >/dev/null; then
    coproc nbd { exec qemu-io -f raw \
      "nbd+unix:///vm-101-disk-0?socket=$VIRT_THIN_RUNTIME_DIR/pve/nbd"; }
    client=$nbd_PID
    at_exit "kill $client"
    opened() { vt info pve/vm-101-disk-0 | grep -q "^open by"; }
    wait_until 20 opened
    said=$(terminal list)
    like "a client of NBD's" "$(row '└ vm-101-disk-0')" "nbd client, pid $client \([^)]*\)\$"
    like "info as well" "$(vt info pve/vm-101-disk-0)" "^open by +nbd client, pid $client "
    ok "in JSON" valid info <<<"$(vt info --json pve/vm-101-disk-0)"
    is "by the same name" "nbd client" \
      "$(vt info --json pve/vm-101-disk-0 | field "d['volume']['open_by'][:10]")"
  else
    skip 4 "no qemu-io"
  fi
  vt stop --force pve
else
  skip 7 "needs root and /dev/fuse"
fi

# --- info ---
vt init other/thin --size 64m >/dev/null
said=$(terminal info)
is "info tells of all volume groups" \
  "$(awk '/^volume group/ { print $3 }' <<<"$said" | xargs)" "other pve"
like "with bars" "$said" '^data +\[###+\.+\] 2[0-9.]+ MiB of'
like "of a volume group the used part is filled" "$said" '^free +\[####+\.+\] 32.00 MiB of'
like "and the stack it is" "$said" \
  "^stack +file $state/pve.img -> volume group pve -> thin pool data\$"
is "a pipe gets no bars" "$(vt info | grep -cE '\[|^stack')" 0
is "and all volume groups" "$(vt info | grep -c '^volume group')" 2
is "JSON has them in an array" \
  "$(vt info --json | field "' '.join(v['name'] for v in d['volume_groups'])")" "other pve"
ok "as its schema says" valid info < <(vt info --json)
rm "$state"/*.img
like "list of nothing says so" "$(terminal list)" "no thin pool, and no volume"
like "none: how to make one" "$(vt info 2>&1)" "no volume group; virt-thin init makes one"
