#!/bin/bash
# virt-thin - what has changed since a snapshot, over NBD, by the programs people use: nbdinfo,
# qemu-img, libnbd; and `virt-thin nbd`, which serves it while a command runs
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

for program in nbdinfo qemu-img qemu-io; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
/usr/bin/python3 -c 'import nbd' 2>/dev/null || skip_all "libnbd's Python module is not installed"
plan 38
export TMPDIR=$tmp PYTHONDONTWRITEBYTECODE=1
printf '[service]\nblock-nodes=none\n' >"$VIRT_THIN_CONFIG"
seed=${VIRT_THIN_TEST_SEED:-$((RANDOM * 32768 + RANDOM))}
generations=${VIRT_THIN_TEST_LONG:+40}; generations=${generations:-6}
echo "# VIRT_THIN_TEST_SEED=$seed"
judge_since() { /usr/bin/python3 "$top_srcdir/tests/integration/nbd-since.py" "$@"; }
export judge="$top_srcdir/tests/integration/nbd-since.py"
background() { # RETURNS WHEN COMMAND...: its pid in $pid, what it says in $tmp/said
  local ready=$1; shift
  : >"$tmp/said"
  "$@" >"$tmp/said" 2>&1 & pid=$!
  at_exit "kill $pid 2>/dev/null"
  wait_until 10 $ready
}
ended() { status=0; wait "$pid" || status=$?; } # sets $status

# --- seeded histories: every pair of snapshots ---
vg=since$$
ok "a volume group" vt init $vg/data --size 512m
chunk=65536 size=$((24 << 20)) names=()
vt create $vg/vol --size ${size}b >&2
mkdir "$tmp/raw"
write_some() { # SEED: what qemu-io makes of it
  judge_since history "$1" $size $chunk >"$tmp/history"
  vt nbd $vg/vol --writable -- sh -c 'qemu-io -f raw "$NBD_URI" <"$0" >/dev/null' "$tmp/history"
}
status=0
for ((i = 0; i < generations; i++)); do
  write_some $((seed + i)) || status=$?
  case $i in
    2) size=$((size + (8 << 20))); vt resize $vg/vol ${size}b >&2 || status=$?;;
    4)
      size=$((24 << 20))
      vt rollback $vg/vol g1 >&2 && write_some $((seed + 1000)) || status=$?;;
  esac
  vt snapshot $vg/vol g$i && vt export $vg/snap_vol_g$i "$tmp/raw/g$i.raw" >&2 || status=$?
  names+=(g$i)
done
is "random writes and discards, a resize, a rollback, with snapshots" $status 0
pairs() { # COMMAND...: in whose environment NBD_SOCKET is
  "$@" sh -c '/usr/bin/python3 "$judge" pairs "$NBD_SOCKET" "$@"' sh $vg vol "$tmp/raw" "${names[@]}"
}
ok "every pair, where nobody serves it" pairs vt nbd "${names[@]/#/$vg/snap_vol_}" --
echo "# $(cat "$tmp/.said")"
if can_serve; then
  ok "serve it" vt serve $vg
  ok "every pair, by the service's own socket" \
    pairs env NBD_SOCKET="$VIRT_THIN_RUNTIME_DIR/$vg/nbd"
  ok "every pair, by a server of the command's over it" \
    pairs vt nbd "${names[@]/#/$vg/snap_vol_}" --
else
  skip 3 "needs root and FUSE"
fi

# --- the snapshot goes while a client has its context ---
if can_serve; then
  uri="nbd+unix:///snap_vol_g3?socket=$VIRT_THIN_RUNTIME_DIR/$vg/nbd"
  background "grep -q ready $tmp/said" \
    /usr/bin/python3 "$judge" lost "$uri" qemu:dirty-bitmap:since-g2 "$tmp/again"
  ok "a snapshot is removed, whoever has what changed since" vt remove $vg/snap_vol_g2
  ok "the client gets an error" wait_until 10 grep -q lost "$tmp/said"
  like "that says why" "$(cat "$tmp/said")" 'EIO|snap_vol_g2'
  vt snapshot $vg/vol g2 >&2; : >"$tmp/again"
  ended; is "also when there is another of that name" $status 0
  is "which is newer, and no context" \
    "$(nbdinfo --map=qemu:dirty-bitmap:since-g2 "$uri" 2>&1 | grep -c 'not')" 1
  ok "the volume tells of what changes since at once" sh -c '
    qemu-io -f raw -c "write -q -P 3 1m 64k" "$1" &&
      nbdinfo --map=qemu:dirty-bitmap:since-g2 "$1" | grep -qx " *1048576 *65536 *1 *dirty"' \
    sh "nbd+unix:///vol?socket=$VIRT_THIN_RUNTIME_DIR/$vg/nbd"
  ok "stop" vt stop $vg
else
  skip 8 "needs root and FUSE"
fi

# --- virt-thin nbd ---
in_environment() { vt nbd $vg/snap_vol_g1 $vg/vol --since g0 -- "$@"; }
run env NBD_CONTEXT=mine "$VIRT_THIN_PROGRAM" nbd $vg/snap_vol_g1 $vg/vol --since g0 -- \
  sh -c 'echo "$NBD_URI|$NBD_URIS|$NBD_SOCKET|$NBD_CONTEXT"'
like "the command finds all in its environment" "$out" "^nbd\+unix:///snap_vol_g1\?socket=(/.*/nbd)\
\|nbd\+unix:///snap_vol_g1\?socket=\1 nbd\+unix:///vol\?socket=\1\|\1\|qemu:dirty-bitmap:since-g0$"
run env NBD_CONTEXT=mine "$VIRT_THIN_PROGRAM" nbd $vg/vol -- sh -c 'echo "<$NBD_CONTEXT>"'
is "and no context where none was asked for" "$out" "<>"
is "its standard input is the command's" "$(echo words | vt nbd $vg/vol -- cat)" words
status=0; vt nbd $vg/vol -- sh -c 'exit 7' || status=$?
is "its exit status is the command's" $status 7
status=0; vt nbd $vg/vol -- sh -c 'kill -9 $$' || status=$?
is "128 and more where a signal ended that" $status 137
refused "a command that is not there" 1 'no-such-program' vt nbd $vg/vol -- no-such-program
ok "an argument with blanks, and ours behind --" \
  sh -c '[ "$("$VIRT_THIN_PROGRAM" nbd '$vg'/vol -- echo "a  b" --since)" = "a  b --since" ]'
not_ok "nobody writes" in_environment sh -c 'qemu-io -f raw -c "write 0 4k" "${NBD_URIS#* }"'
ok "unless that is asked for" \
  vt nbd $vg/vol --writable -- sh -c 'qemu-io -f raw -c "write -q -P 9 0 4k" "$NBD_URI"'
is "and it is there" "$(vt export $vg/vol - | head -c 4096 | tr -d '\t' | wc -c)" 0
is "what is named is an export, and nothing else" \
  "$(in_environment sh -c 'nbdinfo --list "nbd+unix:///?socket=$NBD_SOCKET"' |
    grep -c '^export=')" 2
not_ok "not even by its name" in_environment sh -c \
  'nbdinfo "nbd+unix:///snap_vol_g0?socket=$NBD_SOCKET"'
refused "a snapshot that is not there: those that are are named" 1 \
  "$vg/vol has no older snapshot none: there are g0, g1" vt nbd $vg/vol --since none -- true
refused "one that is not older" 1 "has no older snapshot g1, nor any other" \
  vt nbd $vg/snap_vol_g0 --since g1 -- true
refused "a volume that is not there" 1 "no volume none" vt nbd $vg/vol $vg/none -- true
ok "a socket of that name" vt nbd $vg/vol --socket "$tmp/my socket" -- \
  sh -c 'nbdinfo --size "$NBD_URI" && [ -S "$0" ] && [ "$(stat -c %a "$0")" = 600 ]' "$tmp/my socket"
not_ok "goes with the command" test -e "$tmp/my socket"
: >"$tmp/file"
refused "no file is overwritten by it" 1 "$tmp/file is there and is no socket" \
  vt nbd $vg/vol --socket "$tmp/file" -- true

# Without a command: until interrupted.
background "grep -q nbd $tmp/said" "$VIRT_THIN_PROGRAM" nbd $vg/vol $vg/snap_vol_g1
is "without a command the addresses are printed" "$(wc -l <"$tmp/said")" 2
ok "and served" nbdinfo --size "$(tail -n 1 "$tmp/said")"
refused "nobody else has the volume group meanwhile" 1 "in use by pid $pid" \
  timeout 60 "$VIRT_THIN_PROGRAM" remove $vg/snap_vol_g0
kill -TERM $pid
ended; is "SIGTERM ends it" $status 0
background "pgrep -P \$pid -x sleep" "$VIRT_THIN_PROGRAM" nbd $vg/vol -- sleep 600
kill -TERM $pid
ended; is "and a command that runs" $status 143
is "no folder of a socket is left" "$(find "$tmp" -mindepth 1 -maxdepth 1 -name 'virt-thin-*')" ""
ok "the pool is whole" vt check $vg/data
