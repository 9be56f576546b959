#!/bin/bash
# How the service begins, is refused, ends and is cleaned up after.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
service_instance thin-service
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
plan 49

ok "a volume group, served" make_group 2g vm-1=64m vm-2=64m
n=$nodes/vm-1 f=$volumes/vm-1
pid=$(holder)

# Two at once.
not_ok "a second service is refused" serve
like "... naming the first" "$(cat "$tmp/.said")" "$vg is served already, by pid $pid"
not_ok "so is one with another runtime folder" \
  env VIRT_THIN_RUNTIME_DIR="$tmp/run2" "$service" serve "$vg"
like "... naming who has the physical volume" "$(cat "$tmp/.said")" "pv.img.*pid $(engine)"
not_ok "... of which nothing stays" grep -q "$tmp/run2" /proc/self/mountinfo
ok "the first goes on" dd if=/dev/urandom of="$f" bs=1M count=4 conv=notrunc,fsync status=none

# The holder holds no engine.
not_ok "no engine code in the holder's memory to speak of" \
  test "$(awk '/^RssAnon/ {print $2}' "/proc/$pid/status")" -gt 4096

# In use.
exec 5<"$f"
not_ok "a service in use does not stop" without_5 "$service" stop "$vg"
like "... and the opener of the file is named" "$(cat "$tmp/.said")" "vm-1.*service-life.*pid $$"
exec 5<&-
exec 5<"$n"
not_ok "nor with an open node" without_5 "$service" stop "$vg"
like "... whose opener is named" "$(cat "$tmp/.said")" "vm-1.*service-life.*pid $$"
exec 5<&-

# SIGTERM, whoever is connected: a mounted node with data not yet written out, an open file, an NBD
# client that says nothing, one in its handshake.
mkdir "$tmp/mnt"
at_exit "umount -q -l $tmp/mnt"
mkfs.ext4 -q "$nodes/vm-2"
mount "$nodes/vm-2" "$tmp/mnt"
echo dirty >"$tmp/mnt/dirty"
exec 5<>"$f"
python3 -c "
import socket, struct, time
s = socket.socket(socket.AF_UNIX); s.connect('$tmp/run/$vg/nbd')
s.recv(18, socket.MSG_WAITALL)
s.sendall(struct.pack('>I8sIII4sH', 3, b'IHAVEOPT', 7, 10, 4, b'vm-1', 0))  # NBD_OPT_GO
while True:
    magic, option, kind, length = struct.unpack('>QIII', s.recv(20, socket.MSG_WAITALL))
    s.recv(length, socket.MSG_WAITALL)
    if kind == 1:
        break
print('connected', flush=True)
time.sleep(60)" >"$tmp/client" 2>&1 &
client=$!
at_exit "kill $client"
ok "a client is connected" wait_until 10 grep -q connected "$tmp/client"
dd if=/dev/urandom of="$tmp/block" bs=64k count=1 status=none
ok "a write that is not flushed" \
  dd if="$tmp/block" of="$f" bs=64k seek=100 oflag=direct conv=notrunc status=none
began=$(date +%s%N)
kill "$pid"
ok "SIGTERM ends the service" wait_until 10 ended "$pid"
took=$((($(date +%s%N) - began) / 1000000))
echo "# took $took ms"
ok "... within 5 s" test $took -lt 5000
not_ok "... the engine, too" pgrep -f "^virt-thin-engine $vg"
not_ok "... and the nodes process" pgrep -f "^virt-thin-nodes $vg"
umount -l "$tmp/mnt"
exec 5>&-
ok "nothing is left" wait_until 5 service_gone
ok "strangers find the volume group whole" judge
ok "serve again" serve
ok "what was not flushed was committed at the end" \
  cmp "$tmp/block" <(dd if="$f" bs=64k skip=100 count=1 status=none)
ok "stop" "$service" stop "$vg"
ok "nothing is left" service_gone

# The holder killed: the others end by themselves, and the next start takes away what stays.
ok "serve" serve
pid=$(holder) e=$(engine)
ok "a write that is not flushed" \
  dd if="$tmp/block" of="$f" bs=64k seek=200 oflag=direct conv=notrunc status=none
kill -9 "$pid"
ok "without the holder the engine ends" wait_until 8 ended "$e"
not_ok "the folder is dead" stat "$f"
ok "serve cleans up" serve
ok "the engine had committed" cmp "$tmp/block" <(dd if="$f" bs=64k skip=200 count=1 status=none)
ok "the nodes are there" test -b "$n"

# All killed at once.
kill_all() {
  local all; all="$(engine) $(nodes_process) $(holder)"; kill -9 $all
  for p in $all; do wait_until 5 ended $p; done
}
dd if=/dev/urandom of="$f" bs=1M count=4 conv=notrunc,fsync status=none
sum=$(md5sum <"$f")
kill_all
is "a dead node stays" "$(readlink -e "$n" | cut -c1-9)" /dev/loop
ok "release" "$service" release "$vg"
ok "takes it all away" service_gone
ok "serve" serve
is "what was flushed is there" "$(md5sum <"$f")" "$sum"
ok "the node, too" cmp "$n" "$f"
kill_all
umount -l "$volumes"
ok "serve after all was killed and unmounted" serve
ok "with a node" cmp "$n" "$f"
not_ok "release of a living service is refused" "$service" release "$vg"
ok "stop" "$service" stop "$vg"

# Failing to begin.
printf 'garbage' | dd of="$pv" bs=512 seek=1 conv=notrunc status=none
not_ok "a damaged volume group is not served" serve
like "... for a reason that is said" "$(cat "$tmp/.said")" "[a-z]"
ok "... and leaves nothing" service_gone
not_ok "nor one that is not there" "$service" serve nosuch$$

# In the foreground, for systemd.
"$service" init "v2$vg" data "$tmp/state/two.img" 1g
vg=v2$vg
nodes=$tmp/dev/$vg
mkfifo "$tmp/wait"
python3 -c "
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind('$tmp/notify')
open('$tmp/wait', 'w').close(); s.settimeout(20)
print(s.recv(100).decode(), flush=True); print(s.recv(100).decode(), flush=True)" >"$tmp/notified" &
notified=$!
cat "$tmp/wait"
NOTIFY_SOCKET=$tmp/notify "$service" serve "$vg" --foreground 2>"$tmp/foreground" & pid=$!
ok "systemd is told when it is ready" wait_until 10 grep -qx READY=1 "$tmp/notified"
is "the process started is the holder" "$(holder)" $pid
kill $pid
ok "it ends well" wait $pid
wait $notified
ok "... and says so" grep -qx STOPPING=1 "$tmp/notified"
