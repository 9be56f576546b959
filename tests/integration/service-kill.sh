#!/bin/bash
# The engine's death, and its planned restart, cost nobody anything: no I/O error, nothing lost that
# was acknowledged. VIRT_THIN_TEST_LONG: 100 kills instead of 10.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
type fio >/dev/null 2>&1 || skip_all "needs fio"
service_instance thin-service
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
kills=5
[ -z "${VIRT_THIN_TEST_LONG-}" ] || kills=50
plan 17

ok "a volume group, served" make_group 2g vm-1=256m vm-2=256m vm-3=64m

# Not flushed, not committed, acknowledged: there. First chunks that nobody had, then a hole where
# there was data.
write_one() {
  dd if="$tmp/block" of="$volumes/vm-3" bs=64k seek="$1" count=1 oflag=direct conv=notrunc \
    status=none
}
read_all() { dd if="$volumes/vm-3" bs=1M iflag=direct status=none | cmp - "$tmp/model"; }
truncate -s 64M "$tmp/model"
survives() {
  local i
  for i in 1 2 3; do
    dd if=/dev/urandom of="$tmp/block" bs=64k count=1 status=none
    write_one $((i * 5)) &&
      dd if="$tmp/block" of="$tmp/model" bs=64k seek=$((i * 5)) conv=notrunc status=none
    kill -9 "$(engine)" || return 1
    read_all || return 1 # waits for the next engine
  done
  fallocate -p -o $((5 * 65536)) -l 65536 "$volumes/vm-3" &&
    fallocate -p -o $((5 * 65536)) -l 65536 "$tmp/model"
  write_one 99 && dd if="$tmp/block" of="$tmp/model" bs=64k seek=99 conv=notrunc status=none
  kill -9 "$(engine)" && read_all
}
ok "a write that was not flushed survives the engine" survives

# Nobody takes its physical volumes meanwhile, not even a virt-thin that knows nothing of this
# service.
stranger() { VIRT_THIN_RUNTIME_DIR=$tmp/other "$top_builddir/virt-thin" --device "$pv" "$@"; }
kill -STOP "$(holder)"
old=$(engine)
kill -9 "$old"
wait_until 5 grep -q '^State:.Z' "/proc/$old/status"
for i in 1 2; do
  not_ok "a stranger does not get at the volume group without an engine ($i)" \
    stranger create $vg/stolen --size 8m
  [ $i = 2 ] || {
    kill -CONT "$(holder)"; wait_until 10 is_other_engine "$old"; old=$(engine)
    kill -STOP "$(holder)"; kill -9 "$old"; wait_until 5 grep -q '^State:.Z' "/proc/$old/status"
  }
done
kill -CONT "$(holder)"
like "... and is told whose it is" "$(cat "$tmp/.said")" "in use by the service"

# An operation while there is no engine waits for it.
waits() {
  kill -STOP "$(holder)"
  kill -9 "$(engine)"
  stat "$volumes/vm-3" >"$tmp/stat" & local pid=$!
  sleep 0.3
  [ ! -s "$tmp/stat" ] || return 1
  kill -CONT "$(holder)"
  wait $pid
}
ok "a request waits for the next engine" waits

# A disk under load.
kill_often() { # N, then hang up once
  local i
  for ((i = 0; i < $1; i++)); do
    sleep 0.7; kill -9 "$(engine)"
    progress "$i of $1 engines are killed"
  done
  sleep 0.7
  kill -HUP "$(holder)"
}
load() { # FILE
  local result
  kill_often $kills & local killer=$!
  fio --name=load --filename="$1" --ioengine=libaio --direct=1 --iodepth=32 --rw=randrw \
    --bsrange=4k-128k --bs_unaligned=0 --size=256m \
    --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_backlog=1000 --fsync=200 \
    --verify_state_save=0 --time_based --runtime=$((kills * 7 / 10 + 2))
  result=$?
  wait $killer
  return $result
}
log=$tmp/run/$vg/log
n_deaths() { grep -c "ended by signal 9" "$log"; }
before=$(n_deaths)
ok "load on the node while the engine is killed $kills times" load "$nodes/vm-1"
ok "load on the file while the engine is killed $kills times" load "$volumes/vm-2"
is "the engine died as often as it was killed" $(($(n_deaths) - before)) $((2 * kills))
is "and restarted as planned" "$(grep -c 'planned restart' "$log")" 2
not_ok "nothing else went wrong" grep -E "CRITICAL|cannot|failed" "$log"

ok "a client logs what is flushed while the engine is killed" \
  python3 "$top_srcdir/tests/integration/flush-log.py" write "$volumes/vm-1" "$tmp/flushed" 4 \
  "kill -9 \$(pgrep -P $(holder) -f ^virt-thin-engine)"
ok "... and finds it" \
  python3 "$top_srcdir/tests/integration/flush-log.py" check "$volumes/vm-1" "$tmp/flushed"

ok "stop" "$service" stop $vg
ok "strangers find the volume group whole" judge
ok "serve again" serve
ok "what was flushed is there" \
  python3 "$top_srcdir/tests/integration/flush-log.py" check "$volumes/vm-1" "$tmp/flushed"
