#!/bin/bash
# virt-thin - storage apply: an iscsidirect storage on a real target, tgt on the loopback
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/libvirt-lib.sh"
for program in tgtd tgtadm; do command -v $program >/dev/null || skip_all "needs tgt"; done
[ -e "$stock_backends/libvirt_storage_backend_iscsi-direct.so" ] ||
  skip_all "needs libvirt's iscsi-direct backend"
plan 7

# A port and a control port that nobody else has.
free_port() {
  python3 -c \
    'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port) control=$((port % 30000 + 1)) target=iqn.2003-01.org.virt-thin:test
export TGT_IPC_SOCKET=$tmp/tgtd.socket
admin() { tgtadm -C $control --lld iscsi "$@"; }
tgtd -f -C $control --iscsi portal=127.0.0.1:$port >"$tmp/tgtd.log" 2>&1 &
at_exit "kill $!"
truncate -s 32M "$tmp/lun.img"
wait_until 10 admin --mode sys --op show
admin --mode target --op new --tid 1 --targetname $target &&
  admin --mode target --op bind --tid 1 --initiator-address ALL &&
  admin --mode logicalunit --op new --tid 1 --lun 1 --backing-store "$tmp/lun.img" ||
  { sed 's/^/# /' "$tmp/tgtd.log"; echo "Bail out! no target"; exit 1; }

libvirt_start || { echo "Bail out! libvirtd did not start"; exit 1; }
cfg=$tmp/storage.cfg
printf 'iscsidirect: direct\n\tportal 127.0.0.1:%s\n\ttarget %s\n' $port $target >"$cfg"
apply() { "$VIRT_THIN_PROGRAM" storage apply --config "$cfg" "$@"; }
state() {
  virsh pool-info direct | sed -n 's/^State: *//p; s/^Autostart: */autostart /p' | paste -sd' '
}

ok "applied" apply
is "it runs" "$(state)" "running autostart yes"
virsh vol-list direct >"$tmp/volumes"
like "the target's disk is there" "$(cat "$tmp/volumes")" "unit:0:0:1"
# libvirt 9.0.0 takes the number of the last block for that of blocks.
like "of its size" \
  "$(virsh vol-dumpxml unit:0:0:1 --pool direct | xmllint --xpath 'string(/volume/capacity)' -)" \
  "^(33554432|33553920)$"
like "again nothing is to do" "$(apply --dry-run)" "^unchanged +direct"
printf '\tdisable\n' >>"$cfg"
ok "disabled" apply
is "it is stopped" "$(state)" "inactive autostart no"
