#!/bin/bash
# A service that hangs: libvirtd answers, each call on its pool ends at its deadline, and all is
# well when the service goes on.
. "$(dirname "$0")/libvirt-lib.sh"
plan 24

deadline=3
libvirt_start VIRT_THIN_LIBVIRT_TIMEOUT=$deadline && thin_pool 256m >/dev/null || {
  echo "Bail out! no pool: $(tail -5 "$log")"; exit 1
}
virsh vol-create-as thin v1 16M >/dev/null
virsh vol-create-as thin v2 16M >/dev/null
virsh pool-define-as dir dir --target "$tmp" >/dev/null && virsh pool-start dir >/dev/null
processes() { pgrep -f "^(.*virt-thin serve|virt-thin-[a-z]+) $vg\$"; }
state() { virsh pool-info "${1-thin}" | sed -n 's/^State: *//p'; }
# Sets $ms, the milliseconds that a command takes.
took() {
  local start; start=$(date +%s%3N); "$@" >"$tmp/said" 2>&1; ms=$(($(date +%s%3N) - start))
}
freeze() { kill -STOP $(processes); }
thaw() { kill -CONT $(processes) 2>/dev/null; }
at_exit thaw

is "the service has three processes" "$(processes | wc -l)" 3
freeze
virsh vol-info v1 thin >"$tmp/first" 2>&1 & first=$!
sleep 0.2
took virsh list --all
ok "virsh list answers at once meanwhile ($ms ms)" test "$ms" -lt 2000
took virsh vol-list dir
ok "so do other pools ($ms ms)" test "$ms" -lt 2000
wait $first
like "a question about a volume is an error" \
  "$(cat "$tmp/first")" "does not answer|no answer in time"
took virsh vol-list thin --details
ok "the next one is refused at once ($ms ms)" test "$ms" -lt 2500
took virsh pool-list --all
ok "pool-list answers ($ms ms)" test "$ms" -lt 2000
sleep 3 # the time for which it is refused at once
for command in "vol-create-as thin v3 4M" "vol-delete v2 thin" "vol-resize v1 32M thin" \
    "vol-download v1 $tmp/out thin" "vol-clone v1 v4 thin"; do
  took virsh $command
  ok "${command%% *} ends in time ($ms ms)" test "$ms" -lt $((deadline * 1000 + 1500))
  like "and is an error" "$(cat "$tmp/said")" "^error:"
done
took virsh pool-refresh thin
ok "pool-refresh ends in time ($ms ms)" test "$ms" -lt $((deadline * 1000 + 1500))
like "and is an error" "$(cat "$tmp/said")" "does not answer|no answer in time"
is "the pool is inactive, as after every refresh that fails" "$(state)" inactive
libvirt_stop
took libvirt_start VIRT_THIN_LIBVIRT_TIMEOUT=$deadline
ok "libvirtd starts in spite of it ($ms ms)" test "$ms" -lt 20000
thaw
ok "the service goes on: the pool can be started" virsh pool-start thin
is "nothing has changed" "$(virsh vol-list thin | awk 'NR > 2 && NF {print $1}' | xargs)" "v1 v2"
is "nor got larger" \
  "$(virsh vol-info v1 thin --bytes | sed -n 's/^Capacity: *\([0-9]*\).*/\1/p')" $((16 << 20))
ok "and volumes can be made" virsh vol-create-as thin v3 4M
