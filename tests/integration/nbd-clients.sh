#!/bin/bash
# virt-thin - the NBD server with the clients people use: nbdinfo, nbdcopy, qemu, libnbd, fio; and
# with clients that are killed
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"

for program in nbdinfo nbdcopy qemu-img qemu-io fio; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
plan 27
serve=$top_builddir/tests/integration/nbd-serve
kills=${VIRT_THIN_TEST_LONG:+1000}; kills=${kills:-100}

# Volumes in memory: the pool has tests of its own.
sock=$tmp/nbd
"$serve" "$sock" memory vol=64m other=64m ro=8m,ro odd=12345s big=1t target=64m v1=64m v2=64m \
  v3=64m >"$tmp/serve.out" 2>"$tmp/serve.err" &
server=$!
at_exit "kill -KILL $server 2>/dev/null"
wait_until 10 test -S "$sock" || { cat "$tmp/serve.err" >&2; exit 1; }
uri() { echo "nbd+unix:///$1?socket=$sock"; }

# A sparse image with something in it.
img=$tmp/image.raw
truncate -s 64M "$img"
for at in 0 3 4 20 63; do
  dd if=/dev/urandom of="$img" bs=64k count=5 seek=$((at * 16)) conv=notrunc status=none
done
md5=$(md5sum < "$img")
copied_back() {
  nbdcopy "$@" "$(uri vol)" "$tmp/back.raw" && [ "$(md5sum < "$tmp/back.raw")" = "$md5" ]
}

# --- nbdinfo ---
list=$(nbdinfo --list "$(uri '')" 2>&1)
is "nbdinfo --list names every volume" "$(grep -c '^export=' <<<"$list")" 9
like "and describes it" "$list" 'description: 64.00 MiB thin volume in mem/data'
info=$(nbdinfo "$(uri ro)")
like "nbdinfo sees a read-only export" "$info" 'is_read_only: true'
like "nbdinfo sees the block sizes" "$info" 'block_size_preferred: 65536'
is "nbdinfo --size, of an odd size" "$(nbdinfo --size "$(uri odd)")" $((12345 * 512))
not_ok "an export that does not exist is refused" nbdinfo "$(uri nothing)"
not_ok "and so is the default export" nbdinfo "nbd+unix:///?socket=$sock"

# --- nbdcopy ---
ok "nbdcopy uploads" nbdcopy --flush "$img" "$(uri vol)"
ok "nbdcopy downloads the same" copied_back
ok "over one connection, too" copied_back --connections=1 --requests=64
is "nbdinfo --map shows what is mapped" \
  "$(nbdinfo --map --totals "$(uri vol)" | awk '$4 == "data" {print $1}')" $((25 * 65536))

# --- qemu ---
ok "qemu-img convert into an export" qemu-img convert -n -f raw -O raw "$img" "$(uri target)"
ok "qemu-img compare" qemu-img compare -f raw -F raw "$img" "$(uri target)"
is "qemu-img map sees the same data" "$(qemu-img map --output=json -f raw "$(uri target)" |
  /usr/bin/python3 -c \
    'import json,sys; print(sum(e["length"] for e in json.load(sys.stdin) if e["data"]))')" \
  $((25 * 65536))
ok "qemu-img convert from an export to qcow2" \
  qemu-img convert -f raw -O qcow2 "$(uri target)" "$tmp/image.qcow2"
ok "and the qcow2 holds the same" qemu-img compare -f qcow2 -F raw "$tmp/image.qcow2" "$img"
qemu_io() {
  qemu-io -f raw "$@" >"$tmp/qemu-io.out" 2>&1 &&
    ! grep -qiE 'failed|mismatch|error' "$tmp/qemu-io.out"
}
ok "qemu-io writes, zeroes, discards, flushes and reads back" qemu_io \
  -c 'write -P 0x5a 1000 200000' -c 'write -f -P 0x11 300k 4k' -c flush -c 'write -z 8k 100k' \
  -c 'write -z -u 128k 64k' -c 'discard 256k 128k' -c 'read -P 0x5a 1000 7192' \
  -c 'read -P 0 8k 100k' -c 'read -P 0x5a 110592 20480' -c 'read -P 0 128k 64k' "$(uri other)"
not_ok "qemu-io cannot write to a read-only export" qemu_io -c 'write 0 4k' "$(uri ro)"
if command -v qemu-nbd >/dev/null; then
  is "qemu-nbd's client lists the exports" "$(qemu-nbd --list -k "$sock" | grep -c '^ export:')" 9
else
  skip 1 "qemu-nbd is not installed"
fi
ok "a terabyte is mapped and zeroed in no time" timeout 10 qemu-io -f raw \
  -c 'write -P 1 1000G 64k' -c 'write -z -u 999G 1G' -c 'write -z -u 1000G 1G' \
  -c 'read -P 0 1000G 64k' "$(uri big)"

# --- libnbd ---
cat > "$tmp/libnbd.py" <<'PY'
import nbd, os, sys
h = nbd.NBD()
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.set_full_info(True)
h.connect_uri(sys.argv[1])
assert h.get_structured_replies_negotiated() and h.can_multi_conn() and h.can_fast_zero()
assert h.can_df() and h.can_cache() and h.can_fua() and h.can_trim()
assert h.get_canonical_export_name() == "v1" and "thin volume" in h.get_export_description()
data = os.urandom(300000)
h.pwrite(data, 70000, nbd.CMD_FLAG_FUA)
assert h.pread(300000, 70000) == data
chunks = []
h.pread_structured(1 << 20, 0, lambda buf, offset, status, err:
                   chunks.append((offset, len(buf), status)))
assert sum(c[1] for c in chunks) == 1 << 20, chunks
assert any(c[2] == nbd.READ_HOLE for c in chunks), chunks
assert any(c[2] == nbd.READ_DATA for c in chunks), chunks
whole = h.pread_structured(1 << 20, 0, lambda buf, offset, status, err: 0, nbd.CMD_FLAG_DF)
assert len(whole) == 1 << 20
h.cache(1 << 20, 0)
h.zero(100000, 70000)
assert h.pread(100000, 70000) == bytearray(100000)
h.zero(1 << 20, 1 << 20, nbd.CMD_FLAG_NO_HOLE)
extents = []
h.block_status(64 << 20, 0, lambda name, offset, e, err: extents.extend(e))
assert extents[::2][0] == 65536 and extents[1] == 3, extents
assert any(extents[i] >= 1 << 20 and extents[i + 1] == 0
           for i in range(0, len(extents), 2)), extents
h.zero(64 << 20, 0, nbd.CMD_FLAG_FAST_ZERO)
try:
    h.zero(100, 0, nbd.CMD_FLAG_FAST_ZERO | nbd.CMD_FLAG_NO_HOLE)
    assert False
except nbd.Error as e:
    assert e.errno == "ENOTSUP", e
h.trim(1 << 20, 0)
h.flush()
# What libnbd itself would refuse, said all the same.
h.set_strict_mode(0)
for call, err in ((lambda: h.pread(4096, 64 << 20), "EINVAL"),
                  (lambda: h.pwrite(b"x" * 512, 64 << 20), "ENOSPC"),
                  (lambda: h.pread(0, 0), "EINVAL"),
                  (lambda: h.pread((32 << 20) + 1, 0), "EINVAL")):
    try:
        call()
        assert False
    except nbd.Error as e:
        assert e.errno == err, e
# Many at once, answered in any order.
buffers = [nbd.Buffer(4096) for i in range(1000)]
cookies = [h.aio_pread(b, i * 4096) for i, b in enumerate(buffers)]
while h.aio_in_flight():
    h.poll(-1)
h.shutdown()
PY
if /usr/bin/python3 -c 'import nbd' 2>/dev/null; then
  ok "libnbd: every command and flag" timeout 30 /usr/bin/python3 "$tmp/libnbd.py" "$(uri v1)"
else
  skip 1 "libnbd's Python module is not installed"
fi

# --- fio ---
fio_verify() ( # EXPORT SECONDS
  exec fio --name=verify --ioengine=nbd --uri="$(uri "$1")" --rw=randrw --rwmixread=30 \
    --bsrange=512-128k --iodepth=32 --size=48m --offset=8m \
    --verify=crc32c --verify_backlog=256 --verify_fatal=1 --verify_state_save=0 --time_based \
    --runtime="$2" --minimal
)
if fio --enghelp 2>/dev/null | grep -qw nbd; then
  ok "fio verifies random writes of any size" fio_verify v1 2
  # Clients killed at any moment, while two others verify every byte of theirs.
  fio_verify v2 600 >"$tmp/fio2" 2>&1 & fio2=$!
  fio_verify v3 600 >"$tmp/fio3" 2>&1 & fio3=$!
  at_exit "kill -KILL $fio2 $fio3 2>/dev/null"
  killed=0 n=0
  while [ $killed -lt "$kills" ]; do
    n=$((n + 1))
    case $((n % 4)) in
      0) nbdcopy --connections=4 "$(uri vol)" "$(uri other)" & ;;
      1) qemu-img convert -n -W -m 16 -f raw -O raw "$img" "$(uri target)" & ;;
      2)
        fio --name=x --ioengine=nbd --uri="$(uri other)" --rw=randrw --bs=64k --iodepth=64 \
          --size=64m --time_based --runtime=60 --minimal --thread & ;;
      3) nbdcopy --connections=1 --requests=128 "$(uri target)" null: & ;;
    esac >/dev/null 2>&1
    victim=$!
    sleep 0.0$((RANDOM % 90 + 10))
    kill -KILL $victim 2>/dev/null && killed=$((killed + 1)) # unless it was through already
    wait $victim 2>/dev/null
    kill -0 $server 2>/dev/null || break
    progress "$killed of $kills clients are killed"
  done
  is "$kills clients killed with requests in flight" $killed "$kills"
  ok "the server lives" kill -0 $server
  kill -TERM $fio2 $fio3
  s2=0 s3=0; wait $fio2 || s2=$?; wait $fio3 || s3=$?
  is "two others verified what they wrote meanwhile" \
    "$(grep -cE 'verify:|error=' "$tmp/fio2" "$tmp/fio3" | cut -d: -f2 | tr '\n' ' ')" "0 0 "
else
  skip 4 "fio has no nbd engine"
fi

# --- the end ---
for i in 1 2 3 4 5; do
  /usr/bin/python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(18)
print("connected", flush=True); time.sleep(600)' \
    "$sock" >"$tmp/idle.$i" &
  at_exit "kill $! 2>/dev/null"
done
wait_until 20 sh -c "[ \$(cat '$tmp'/idle.* | wc -l) = 5 ]"
kill -TERM $server
status=0; wait $server || status=$?
is "SIGTERM ends it, whoever is connected" "$status" 0
like "at once" "$(cat "$tmp/serve.out")" 'stopped in [0-9]{1,3} ms'
