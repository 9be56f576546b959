#!/bin/bash
# virt-thin - a served volume group whose control socket is attacked: by peers that never introduce
# themselves, messages that never end, messages of absurd lengths and arrays. Others are served, and
# its memory is bounded
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
ulimit -n 4096 2>/dev/null || skip_all "needs 4096 descriptors"
service_instance thin-service
plan 16

# attack.py SOCKET HOW: prints "there" when all is said, and then waits, its connections open.
cat >"$tmp/attack.py" <<'P'
import os, signal, socket, struct, sys, threading
path, how = sys.argv[1:]
kept = []
def connect():
    s = socket.socket(socket.AF_UNIX); s.connect(path); s.settimeout(20); kept.append(s); return s
def peer():
    s = connect()
    s.sendall(b'\0AUTH EXTERNAL ' + str(os.geteuid()).encode().hex().encode() + b'\r\n')
    assert s.recv(100).startswith(b'OK')
    s.sendall(b'BEGIN\r\n')
    return s
def field(code, kind, text):
    data = struct.pack('<BB2s', code, 1, kind + b'\0')
    if kind == b'g': data += struct.pack('<B', len(text)) + text + b'\0'
    else: data += struct.pack('<I', len(text)) + text + b'\0'
    return data + b'\0' * (-len(data) % 8)
def message(method, signature, body, length=None, serial=1):
    fields = field(1, b'o', b'/org/virt_thin/VolumeGroup')
    fields += field(2, b's', b'org.virt_thin.VolumeGroup1')
    fields += field(3, b's', method) + field(8, b'g', signature)
    body_length = len(body) if length is None else length
    # What aligns the body is not of the fields.
    fields_length = len(fields) - (-(len(signature) + 6) % 8)
    return struct.pack('<4sIII', b'l\1\0\1', body_length, serial, fields_length) + fields + body
def array(n): # of empty strings, in a tuple with TRUE
    data = b'\0' * (8 * (n - 1) + 5)
    data = struct.pack('<I', len(data)) + data
    return data + b'\0' * (-len(data) % 4) + struct.pack('<I', 1)
def errors(s, n): # the names of those that @n calls are answered with
    data = b''
    while data.count(b'org.virt_thin.Error.') < n:
        more = s.recv(65536)
        if not more: break
        data += more
    return [e.split(b'\0')[0] for e in data.split(b'org.virt_thin.Error.')[1:]]
def hung_up(s):
    try:
        while s.recv(65536): pass
        return True
    except ConnectionError: return True
if how == 'silent':
    for i in range(1000): connect()
elif how == 'half-said':
    for i in range(300): connect().sendall(b'\0AUTH EXTERNAL 30')
elif how == 'endless-line':
    s = connect()
    try:
        for i in range(1000): s.sendall(b'\0' if not i else b'A' * 1024)
    except OSError: pass
    assert hung_up(s)
elif how == 'too-long':
    for length in (3 << 20, 100 << 20, 0xfffffff8):
        s = peer(); s.sendall(message(b'Remove', b'asb', b'', length)); assert hung_up(s), length
elif how == 'half-open':
    for i in range(300):
        s = peer()
        try: s.sendall(message(b'Remove', b'asb', b'\0' * (1 << 20), 2000000))
        except OSError: pass
elif how == 'arrays':
    # They are what Remove takes, and it says what it thinks of them.
    s = peer(); s.sendall(message(b'Remove', b'asb', array(3)))
    assert len(errors(s, 1)) == 1
    peers = [peer() for i in range(4)]
    for s in peers:
        body = array(50000)
        for serial in range(1, 4): s.sendall(message(b'Remove', b'asb', body, None, serial))
    for s in peers: assert len(errors(s, 3)) == 3
elif how == 'nonsense':
    for i in range(200):
        s = peer(); s.sendall(os.urandom(64 + i * 16))
print('there', flush=True)
signal.pause()
P
attack() { # HOW: goes on; $attacker is its pid
  : >"$tmp/attack"
  python3 "$tmp/attack.py" "$tmp/run/$vg/control" "$1" >"$tmp/attack" 2>&1 &
  attacker=$!
  wait_until 60 grep -q -e there -e Error "$tmp/attack"
  grep -q there "$tmp/attack" || { cat "$tmp/attack"; return 1; }
}
retreat() {
  [ -z "$attacker" ] || { kill "$attacker"; wait "$attacker"; } 2>/dev/null
  attacker=
}
attacker=
at_exit retreat
memory() { echo $(($(awk '/^RssAnon/ {print $2}' "/proc/$(engine)/status") / 1024)); }

echo $'[service]\nblock-nodes=none' >"$VIRT_THIN_CONFIG"
ok "a volume group, served" make_group 1g vm-1=64m
first=$(engine) before=$(memory) most=0 n=0
for how in silent half-said endless-line too-long half-open arrays nonsense; do
  ok "attack: $how" attack $how
  now=$(memory); [ "$now" -le $most ] || most=$now
  ok "others are served" timeout 20 "$service" create $vg "x-$((n += 1))" 8m
  retreat
done
ok "the same engine, with no more memory than is told: $before, then $most MiB" \
  [ "$(engine)" = "$first" -a $most -lt $((before + 800)) ]
