#!/bin/bash
# What is done to a pool without libvirt: virt-thin's own commands have it look again, when it runs;
# of what others do, its list is mended by the commands that its messages end with.
. "$(dirname "$0")/libvirt-lib.sh"
plan 42

vt() { "$VIRT_THIN_PROGRAM" "$@"; }
state() { virsh pool-info thin | sed -n 's/^State: *//p'; }
names() { virsh vol-list thin | awk 'NR > 2 && NF {print $1}' | sort | xargs; }
capacity() { virsh vol-info "$1" thin --bytes | sed -n 's/^Capacity: *\([0-9]*\).*/\1/p'; }
pool_capacity() { virsh pool-info thin --bytes | sed -n 's/^Capacity: *\([0-9]*\).*/\1/p'; }

libvirt_start || { echo "Bail out! no libvirtd: $(tail -5 "$log")"; exit 1; }
thin_pool 600m >/dev/null

# --- virt-thin's own commands ---
ok "create" vt create "$vg/a" --size 8m
is "libvirt knows of it" "$(names)" a
ok "clone" vt clone "$vg/a" b
ok "snapshot" vt snapshot "$vg/a" s
is "both" "$(names)" "a b snap_a_s"
ok "rename" vt rename "$vg/b" c
ok "resize" vt resize "$vg/c" 12m
is "as it is now" "$(names) $(capacity c)" "a c snap_a_s $((12 << 20))"
ok "remove" vt remove "$vg/c"
ok "what libvirt is to make has a free name" virsh vol-clone a c --pool thin
ok "import" sh -c "head -c 5m /dev/urandom | '$VIRT_THIN_PROGRAM' import - '$vg/d'"
is "its size" "$(capacity d)" $((8 << 20))
before=$(pool_capacity)
vt extend "$vg" "$(disk "$tmp/second.pv" 200m)"
ok "the pool grows" vt resize "$vg/data" +100%FREE
ok "which libvirt knows, too" test "$(pool_capacity)" -gt "$before"
printf 'lvmthin: store\n\tthinpool data\n\tvgname %s\n\tcontent images\n' "$vg" >"$tmp/storage.cfg"
ok "storage alloc" vt storage alloc store 101 '' 8M --config "$tmp/storage.cfg"
is "is seen" "$(names)" "a c d snap_a_s vm-101-disk-0"
ok "storage free" vt storage free store:vm-101-disk-0 --config "$tmp/storage.cfg"
is "is not any more" "$(names)" "a c d snap_a_s"
ok "what is refused" eval '! vt remove "$vg/nosuch"'
ok "a volume is deleted by libvirt, which has virt-thin do nothing that waits for it" \
  timeout 20 virsh vol-delete c thin
virsh pool-define-as more logical --source-name "$vg/more" >/dev/null
vt extend "$vg" "$(disk "$tmp/third.pv" 200m)"
ok "nor does a build" timeout 20 virsh pool-build more
ok "or a delete" timeout 20 virsh pool-delete more
virsh pool-undefine more >/dev/null

# --- others ---
behind create "$vg/behind" --size 8m
is "what others do is not seen" "$(names)" "a d snap_a_s"
like "to make it again says what helps" "$(virsh vol-create-as thin behind 8M 2>&1)" \
  "there is a volume behind already.*made without libvirt: .virsh pool-refresh thin. brings"
ok "which does" virsh pool-refresh thin
is "it is listed" "$(names)" "a behind d snap_a_s"
behind remove "$vg/behind"
for command in "vol-info behind" "vol-resize behind 16M" "vol-upload behind $VIRT_THIN_CONFIG" \
    "vol-download behind $tmp/out" "vol-wipe behind"; do
  # shellcheck disable=SC2086
  like "${command%% *} of what is gone says what helps" "$(virsh $command --pool thin 2>&1)" \
    "behind was removed without libvirt: .virsh pool-refresh thin. brings its list up to date"
done
ok "to delete it succeeds" virsh vol-delete behind thin
is "and takes it off the list" "$(names)" "a d snap_a_s"
behind rename "$vg/d" e
ok "so does to delete what has another name now" virsh vol-delete d thin
ok "that stays" vt info "$vg/e"

# --- a libvirt that does not answer, or does not run ---
pid=$(cat /run/libvirt/libvirtd.pid)
kill -STOP "$pid"
start=$SECONDS
ok "a command does not wait for a libvirt that is stuck" vt create "$vg/f" --size 8m
like "for long" "$((SECONDS - start < 20)) $(cat "$tmp/.said")" \
  '^1 .*libvirt does not answer.*virsh pool-refresh'
kill -CONT "$pid"
ok "once that goes on" virsh pool-refresh thin
libvirt_stop
vt create "$vg/g" --size 8m
not_ok "none is started" pgrep -x libvirtd
is "nor libvirt loaded" "$(LD_DEBUG=files vt create "$vg/h" --size 8m 2>&1 | grep -c libvirt.so)" 0
# As systemd holds it for a daemon that is not there.
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind("/run/libvirt/libvirt-sock"); s.listen()
s.settimeout(1)
open(sys.argv[1], "w").close()
try:
    s.accept(); print("connected")
except TimeoutError:
    print("nobody")' "$tmp/listens" >"$tmp/heard" &
wait_until 10 test -e "$tmp/listens"
vt create "$vg/i" --size 8m
wait $!
is "nor a socket that waits for one connected to" "$(cat "$tmp/heard")" nobody
rm -f /run/libvirt/libvirt-sock
libvirt_start
is "libvirt that starts anew sees all" "$(state): $(names)" "running: a e f g h i snap_a_s"
