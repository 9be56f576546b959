#!/bin/bash
# virt-thin - a served volume group whose engine stands still, whose disk is slow, and whose clients
# take what they can: the others are served
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
ulimit -n 4096 2>/dev/null || skip_all "needs 4096 descriptors"
service_instance thin-service
idle=600 greedy=400
plan 19

# connect.py SOCKET NUMBER [VOLUME]: NUMBER clients that say nothing; with VOLUME, NBD clients that
# ask for all they can and read nothing. Prints "there" when they are there.
cat >"$tmp/connect.py" <<'P'
import socket, struct, sys, time
path, n, volume = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
clients = []
def receive(client, length):
    data = b''
    while len(data) < length:
        more = client.recv(length - len(data))
        if not more: raise EOFError
        data += more
    return data
def ask(client, name, i):
    receive(client, 18)
    client.sendall(struct.pack('>I8sIII', 3, b'IHAVEOPT', 7, len(name) + 6, len(name)) +
                   name + b'\0\0')
    kind = 0
    while kind != 1:
        magic, option, kind, length = struct.unpack('>QIII', receive(client, 20))
        receive(client, length)
    client.setblocking(False)
    length = (32 << 20, 4 << 20, 1 << 20, 65536)[i % 4]
    try:
        for j in range(100):
            client.send(struct.pack('>IHHQQI', 0x25609513, 0, 0, j, 0, length))
    except BlockingIOError: pass
for i in range(n):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    if volume: ask(client, volume[0].encode(), i)
    clients.append(client)
print('there', flush=True)
time.sleep(600)
P
crowd() { # SOCKET NUMBER [VOLUME]: $crowd is its pid
  : >"$tmp/crowd"
  python3 "$tmp/connect.py" "$@" >"$tmp/crowd" 2>&1 &
  crowd=$!
  wait_until 60 grep -q there "$tmp/crowd" || cat "$tmp/crowd"
}
disperse() {
  [ -z "$crowd" ] || { kill "$crowd"; wait "$crowd"; } 2>/dev/null
  crowd=
}
crowd=
at_exit disperse
log() { cat "$tmp/run/$vg/log"; }

# --- an engine that stands ---
echo $'[service]\nblock-nodes=none\nwatchdog=2' >"$VIRT_THIN_CONFIG"
ok "a volume group, served" make_group 1g vm-1=64m vm-2=384m
f=$volumes/vm-1 pid=$(holder)
dd if=/dev/urandom of="$tmp/data" bs=1M count=4 status=none
dd if="$tmp/data" of="$f" bs=1M conv=notrunc oflag=direct status=none
old=$(engine)
kill -STOP "$old"
ok "an engine that stands is replaced" wait_until 30 is_other_engine "$old"
is "by the same holder" "$(holder)" "$pid"
is "what was written is there" "$(head -c 4M "$f" | cksum)" "$(cksum <"$tmp/data")"
like "and the log says why" "$(log)" "the engine of volume group $vg, pid $old, has been silent for 2"

# --- a disk that stands: that of a volume group on a volume of the first ---
"$service" stop $vg
echo $'[service]\nblock-nodes=none\nwatchdog=0' >"$VIRT_THIN_CONFIG"
ok "again, without a watchdog" serve
outer=$vg outer_engine=$(engine)
printf '[service]\nblock-nodes=none\nwatchdog=2\n[devices]\npaths=%s\n' "$volumes/vm-2" \
  >"$tmp/inner.conf"
inner() { VIRT_THIN_CONFIG=$tmp/inner.conf "$service" "$@"; }
vg=in$$
ok "a volume group on a volume" inner init $vg data "$volumes/vm-2" 0
ok "served" inner serve $vg
inner create $vg vm-1 64m
old=$(engine) f=$tmp/run/$vg/volumes/vm-1
write() { dd if="$tmp/data" of="$f" bs=64k count=16 conv=notrunc,fsync status=none; }
ok "works" write
kill -STOP "$outer_engine"
timeout -s KILL 7 dd if="$tmp/data" of="$f" bs=64k count=16 conv=notrunc,fsync status=none
is "its disk stands, for longer than an engine may" $? 137
is "the engine stays: it is not its fault" "$(engine)" "$old"
kill -CONT "$outer_engine"
ok "the disk goes on, and it" write
is "nobody was killed" "$(engine) $(grep -c silent "$tmp/run/$vg/log")" "$old 0"
inner stop $vg
vg=$outer
"$service" stop $vg

# --- idle clients: there are fewer descriptors than they would like ---
: >"$VIRT_THIN_CONFIG"
(ulimit -n 256; exec "$service" serve $vg)
for socket in nbd control; do
  crowd "$tmp/run/$vg/$socket" $idle
  ok "$idle idle clients of $socket: control" timeout 20 "$service" create $vg "x-$socket" 8m
  ok "and NBD answer" timeout 20 python3 -c "
import socket; s = socket.socket(socket.AF_UNIX); s.connect('$tmp/run/$vg/nbd')
assert s.recv(8) == b'NBDMAGIC'"
  disperse
done
"$service" stop $vg force

# --- greedy clients ---
serve
crowd "$tmp/run/$vg/nbd" $greedy vm-1
memory=$(($(awk '/^RssAnon/ {print $2}' "/proc/$(engine)/status") / 1024))
ok "$greedy clients that ask and do not read have a bound: $memory MiB" \
  [ $memory -lt $((256 + greedy / 2 + 64)) ]
is "who reads is served" "$(timeout 60 python3 -c "
import sys; sys.argv = ['', '$tmp/run/$vg/nbd', '0']; exec(open('$tmp/connect.py').read()
    .replace('time.sleep(600)', '').replace(\"print('there', flush=True)\", ''))
c = socket.socket(socket.AF_UNIX); c.connect(path); ask(c, b'vm-1', 3); c.setblocking(True)
receive(c, 16); sys.stdout.buffer.write(receive(c, 65536))" | cksum)" \
  "$(head -c 65536 "$tmp/data" | cksum)"
disperse
