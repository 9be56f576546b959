#!/bin/bash
# virt-thin - what a monitoring system reads: the numbers are those that info and usage tell, in a
# form that Prometheus takes; as a file, over HTTP; alerts and a dashboard know no other names
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 58
monitoring=$top_srcdir/docs/monitoring

# metric NAME[{LABELS}]: its value in $text
metric() { awk -v name="$1" '$1 == name { print $2 }' <<<"$text"; }
pool() { metric "virt_thin_pool_$1{vg=\"pve\",pool=\"data\"}"; }
info() { vt info --json pve/data 2>/dev/null | field "d['pool']['$1']"; }
open_metrics() {
  python3 -c '
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
assert list(parse(sys.stdin.read()))' <<<"$1"
}
accepted() { # DESCRIPTION: by those who read it
  if python3 -c 'import prometheus_client.openmetrics.parser' 2>/dev/null; then
    ok "$1: OpenMetrics" open_metrics "$text"
  else
    skip 1 "needs python3-prometheus-client"
  fi
  if command -v promtool >/dev/null; then
    is "$1: Prometheus has nothing to say about it" \
      "$(promtool check metrics <<<"$text" 2>&1; echo $?)" 0
  else
    skip 1 "needs promtool"
  fi
}

vt init pve/data --size 256m --reserve 32m >/dev/null
vt create pve/vm-100-disk-0 --size 256m 2>/dev/null
head -c 20M /dev/urandom >"$tmp/data"
vt import --format raw "$tmp/data" pve/vm-100-disk-0 2>/dev/null
vt snapshot pve/vm-100-disk-0 before >/dev/null
vt snapshot pve/vm-100-disk-0 again >/dev/null
head -c 10M /dev/urandom >"$tmp/data"
vt import --format raw "$tmp/data" pve/vm-100-disk-0 2>/dev/null

# --- the numbers ---
text=$(vt metrics)
is "data and metadata are what info says" \
  "$(for name in data_used data_size metadata_used metadata_size; do
    pool ${name}_bytes; done | xargs)" \
  "$(for name in used size metadata_used metadata_size; do info $name; done | xargs)"
like "ratios" "$(pool data_used_ratio) $(pool metadata_used_ratio)" '^0\.1[0-9]* 0\.[0-9]+$'
like "overcommitted: 768 MiB of 196" "$(pool overcommit_ratio)" '^3\.9'
is "volumes, snapshots" "$(pool volumes) $(pool snapshots)" "3 2"
is "transaction id" "$(pool transaction_id)" "$(info transaction_id)"
is "it is well" "$(pool healthy) $(pool needs_check)" "1 0"
is "nobody has it" "$(metric 'virt_thin_vg_served{vg="pve"}') $(pool active)" "0 0"
is "so who looks says nothing of whether it takes writes, nor of growth" \
  "$(pool read_only)$(pool data_growth_bytes_per_hour)" ""
is "of volumes nothing, unless asked for" "$(grep -c virt_thin_volume_ <<<"$text")" 0
is "all was read" "$(metric virt_thin_complete)" 1
accepted "of a pool that nobody has"
is "nothing was written" "$(ls "$state")" "$(printf '%s\n' archive pve.img)"

text=$(vt metrics --volumes pve)
is "what removing all snapshots would free" "$(pool snapshots_exclusive_bytes)" "$(
  vt usage --json pve/snap_vm-100-disk-0_{before,again} | field "d['pools'][0]['freed']")"
exclusive='virt_thin_volume_exclusive_bytes{vg="pve",pool="data",volume="vm-100-disk-0"'
is "what a volume has alone" "$(metric "$exclusive,snapshot_of=\"\"}")" \
  "$(vt info --json pve/vm-100-disk-0 | field "d['volume']['exclusive']")"
is "each says what it is a snapshot of" \
  "$(grep -c '^virt_thin_volume_mapped_bytes.*snapshot_of="vm-100-disk-0"' <<<"$text")" 2
accepted "of volumes"
names=$(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' <<<"$text")

# --- growth ---
uuid=$(info uuid) now=$(date +%s)
printf '%s %s %s %s\n' "$uuid" $((now - 7200)) $(($(info used) - (20 << 20))) 0 \
  "$uuid" $((now - 3600)) $(($(info used) - (16 << 20))) "$(info metadata_used)" >"$state/growth"
text=$(vt metrics)
near() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a > b * 0.99 && a < b * 1.01) }'; }
ok "growth over an hour" near "$(pool data_growth_bytes_per_hour)" $((16 << 20))
ok "and over a day, or as long as it is known" near "$(pool data_growth_day_bytes_per_hour)" \
  $((10 << 20))
ok "when it is full" near "$(pool data_full_in_seconds)" \
  $((($(info size) - $(info used)) * 3600 / (16 << 20)))
ok "of metadata over a day" near "$(pool metadata_growth_day_bytes_per_hour)" \
  $(($(info metadata_used) / 2))
printf '%s %s %s %s\n' "$uuid" $((now - 3600)) $(info used) $(info metadata_used) >"$state/growth"
text=$(vt metrics)
is "one that does not grow will not be full" "$(pool data_full_in_seconds)" +Inf
accepted "with growth"
names+=$'\n'$(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' <<<"$text")
rm "$state/growth"

# --- a file ---
mkdir "$tmp/collector"
file=$tmp/collector/virt-thin.prom
ok "into a file" vt metrics --output "$file"
is "for all to read" "$(stat -c %a "$file") $(tail -n 1 "$file")" "644 # EOF"
is "and what is in use is kept" "$(cut -d' ' -f1,3,4 "$state/growth")" \
  "$uuid $(info used) $(info metadata_used)"
inode=$(stat -c %i "$file")
exec {old}<"$file"
vt metrics --output "$file"
is "another in its place: who reads the old one reads it to its end" \
  "$([ "$(stat -c %i "$file")" != "$inode" ] && tail -n 1 <&$old) $(ls "$tmp/collector")" \
  "# EOF virt-thin.prom"
is "one sample in five minutes" "$(wc -l <"$state/growth")" 1
refused "where there is no such folder" 1 "$tmp/none" vt metrics --output "$tmp/none/x.prom"

# --- what cannot be read ---
run vt metrics pve nosuch; status=$? text=$out
is "a volume group that is not there" \
  "$status $(metric virt_thin_complete) $(metric 'virt_thin_vg_up{vg="nosuch"}')" "1 0 0"
is "is said, and the others are told" "$(pool healthy) $(grep -c nosuch <<<"$err")" "1 1"
tar --zstd -xSf "$fixtures/04a-needs-check.img.tar.zst" -C "$tmp"
text=$(vt --device "$tmp/04a-needs-check.img" metrics 2>/dev/null)
is "needs_check" "$(pool healthy) $(pool needs_check)" "0 1"
like "what is wrong, in words" "$text" \
  '^virt_thin_pool_fault\{.*health="metadata read-only: needs_check"\} 1$'
accepted "of one that is not well"
names+=$'\n'$(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' <<<"$text")

# --- served ---
if can_serve && command -v qemu-io >/dev/null; then
  vt serve pve >/dev/null
  qemu-io -f raw -c 'write 0 1M' -c 'read 0 64k' -c 'read 64k 64k' \
    "nbd+unix:///vm-100-disk-0?socket=$VIRT_THIN_RUNTIME_DIR/pve/nbd" >/dev/null
  dd if="$VIRT_THIN_RUNTIME_DIR/pve/volumes/vm-100-disk-0" of=/dev/null bs=64k count=1 \
    iflag=direct status=none
  text=$(vt metrics)
  request() { metric "virt_thin_request_$1{vg=\"pve\",way=\"$2\",kind=\"$3\"$4}"; }
  is "requests are counted" \
    "$(request duration_seconds_count nbd read) $(request duration_seconds_count nbd write)" "2 1"
  is "FUSE's, too" "$(request duration_seconds_count fuse read)" 1
  is "their bytes" "$(request size_bytes_sum nbd read) $(request size_bytes_sum nbd write)" \
    "131072 1048576"
  is "a histogram ends with all" "$(request duration_seconds_bucket nbd read ',le="+Inf"')" 2
  ok "they took a time, less than 30 seconds" awk -v t="$(request duration_seconds_sum nbd read)" \
    'BEGIN { exit !(t > 0 && t < 30) }'
  is "it is served, and takes writes" \
    "$(metric 'virt_thin_vg_served{vg="pve"}') $(pool active) $(pool read_only)" "1 1 0"
  accepted "of a service"
  names+=$'\n'$(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' <<<"$text")
  vt stop pve
else
  skip 8 "needs root, /dev/fuse and qemu-io"
fi

# --- over HTTP ---
socket=$tmp/metrics.sock
get() { curl -s --max-time 20 --unix-socket "$socket" "$@"; }
if command -v curl >/dev/null; then
  "$VIRT_THIN_PROGRAM" metrics --listen "$socket" & listener=$!
  at_exit "kill $listener 2>/dev/null"
  wait_until 20 get http://x/metrics
  text=$(get http://x/metrics)
  is "the same" "$(pool data_used_bytes) $(tail -n 1 <<<"$text")" "$(info used) # EOF"
  is "who asks for OpenMetrics is told so" \
    "$(get -o /dev/null -w '%{content_type}' -H 'Accept: application/openmetrics-text' \
      http://x/metrics) $(get -o /dev/null -w '%{content_type}' http://x/metrics)" \
    "application/openmetrics-text; version=1.0.0; charset=utf-8 $(
      )text/plain; version=0.0.4; charset=utf-8"
  is "there is nothing else" "$(get -o /dev/null -w '%{http_code}' http://x/) $(
    get -o /dev/null -w '%{http_code}' -X POST http://x/metrics)" "404 405"
  is "its socket is for root and whom it is given to" "$(stat -c %a "$socket")" 660
  coproc silent { exec python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print(flush=True)
s.recv(1)' "$socket"; }
  read -r -t 20 <&"${silent[0]}"
  ok "one who says nothing keeps nobody for long" get -o /dev/null http://x/metrics
  kill $listener; wait $listener
  is "ended, and its socket with it" "$? $(ls "$socket" 2>/dev/null)" "0 "
  if command -v systemd-socket-activate >/dev/null; then
    systemd-socket-activate -l "$socket" -E VIRT_THIN_STATE_DIR -E VIRT_THIN_RUNTIME_DIR \
      -E VIRT_THIN_CONFIG -E VIRT_THIN_ENGINE "$VIRT_THIN_PROGRAM" metrics --listen 2>/dev/null &
    listener=$!
    at_exit "kill $listener 2>/dev/null"
    wait_until 20 test -S "$socket"
    is "a socket of systemd's" "$(get http://x/metrics | tail -n 1)" "# EOF"
    kill $listener; wait $listener
    rm "$socket"
  else
    skip 1 "needs systemd-socket-activate"
  fi
else
  skip 7 "needs curl"
fi
refused "without one" 1 "systemd has handed over no socket" vt metrics --listen

# --- alerts and the dashboard ---
# Parts of histograms and summaries are named for them.
names=$(sort -u <<<"$names" |
  sed 's/^\(virt_thin_request_.*\)$/\1_bucket\n\1_count\n\1_sum/'; echo virt_thin_pool_watched)
expressions() {
  python3 - "$monitoring/virt-thin.dashboard.json" <<'PYTHON'
import json, re, sys
for panel in json.load(open(sys.argv[1]))["panels"]:
    for target in panel["targets"]:
        text = target["expr"].replace("$__rate_interval", "5m")
        print(re.sub(r"\$\w+", ".*", text))
PYTHON
}
unknown() { grep -oE 'virt_thin_[a-z_]+' | sort -u | grep -vxF "$names"; }
is "alerts are about what there is" \
  "$(sed -n 's/^ *\(expr\|rate\|\/ rate\)//p' "$monitoring/virt-thin.rules.yml" | unknown)" ""
is "the dashboard, too" "$( (expressions; grep -o 'label_values([^)]*)' \
  "$monitoring/virt-thin.dashboard.json") | unknown)" ""
if command -v promtool >/dev/null; then
  ok "Prometheus takes the rules" promtool check rules "$monitoring/virt-thin.rules.yml"
  sed "s|RULES|$monitoring/virt-thin.rules.yml|" \
    "$top_srcdir/tests/integration/metrics-alerts.yml" >"$tmp/alerts.yml"
  ok "and alerts come when they should" promtool test rules "$tmp/alerts.yml"
  { echo 'groups: [{name: dashboard, rules: ['
    expressions | nl -w1 -s' ' | while read -r n expression; do
      echo "{record: 'x$n', expr: '${expression//\'/\'\'}'},"
    done
    echo ']}]'; } >"$tmp/dashboard.yml"
  ok "and what the dashboard asks" promtool check rules "$tmp/dashboard.yml"
else
  skip 3 "needs promtool"
fi
