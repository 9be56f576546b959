#!/bin/bash
# The whole service killed under load: what was acknowledged as flushed is there, and the volume
# group is whole. VIRT_THIN_TEST_LONG: 100 times instead of 6.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
service_instance thin-service
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
rounds=6
[ -z "${VIRT_THIN_TEST_LONG-}" ] || rounds=100
plan $((rounds + 4))

flush_log() { python3 "$top_srcdir/tests/integration/flush-log.py" "$@"; }
n_flushed() { stat -c %s "$tmp/flushed" 2>/dev/null || echo 0; }
grows() { [ "$(n_flushed)" -gt "$1" ]; }
kill_all() {
  local all p
  all="$(holder) $(engine) $(nodes_process)"
  kill -9 $all
  for p in $all; do wait_until 10 ended "$p" || return 1; done
}
# Written through the file and through the node in turn; snapshots come and go meanwhile, so that
# chunks are shared and copied.
round() {
  local target before writer churner status
  if [ $(($1 % 2)) = 0 ]; then target=$volumes/vm-1; else target=$nodes/vm-1; fi
  before=$(n_flushed)
  flush_log write "$target" "$tmp/flushed" 30 2>"$tmp/writer" & writer=$!
  (for ((i = 0; ; i++)); do
    "$service" snapshot $vg vm-1 r$1x$i && "$service" remove $vg snap_vm-1_r$1x$i || exit
  done) >"$tmp/churn" 2>&1 & churner=$!
  if ! wait_until 60 grows $((before + 2000)); then
    kill $writer $churner
    wait $writer $churner
    echo "after $(n_flushed) - $before bytes of log no more was flushed: $(
        cat "$tmp/writer" "$tmp/churn"; tail -n 5 "$tmp/run/$vg/log")"
    return 1
  fi
  sleep "0.$((RANDOM % 9))"
  kill_all || return 1
  wait $churner
  wait $writer
  status=$?
  [ $status = 3 ] || { echo "the writer ended with status $status"; return 1; }
  serve && flush_log check "$volumes/vm-1" "$tmp/flushed" && remove_leftover
}
# A snapshot that the kill has left: a hundred of those would fill the pool.
remove_leftover() {
  local file
  for file in "$volumes"/snap_*; do
    [ ! -e "$file" ] || "$service" remove $vg "${file##*/}" || return 1
  done
}
ok "a volume group, served" make_group 1g vm-1=128m
for ((r = 1; r <= rounds; r++)); do
  ok "killed, time $r" round $r
done
ok "... and through the node" flush_log check "$nodes/vm-1" "$tmp/flushed"
ok "stop" "$service" stop $vg
ok "strangers find the volume group whole" judge
