#!/bin/bash
# virt-thin - the systemd units: how exposed it is, by systemd's own measure. What it can do with
# what it may is for tests/vm/systemd.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
unit=$top_builddir/src/service/virt-thin@.service
{ systemd-analyze security --help | grep -e --offline -q; } 2>/dev/null ||
  skip_all "needs systemd-analyze"
plan 17
cp "$unit" "$tmp/"
ok "the exposure is 4.1 of 10 at most" \
  systemd-analyze security --no-pager --offline=true --threshold=41 "$tmp/virt-thin@.service"
is "its mount is made where the host sees it: no namespace of its own" \
  "$(grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Temporary|Bind|Mount)' "$unit" |
    grep -v '^ProtectClock=')" ""
# With the drop-in of docs/systemd.md, "A user of its own"; that it works: service-user.sh.
{
  sed '/^\[Install\]/,$d' "$unit"
  sed -n '/^## A user of its own/,/^## /s/^    //p' "$top_srcdir/docs/systemd.md" |
    sed '1,/^\[Service\]/d'
} >"$tmp/own@.service"
ok "as a user of its own 3.3" \
  systemd-analyze security --no-pager --offline=true --threshold=33 "$tmp/own@.service"
like "a watchdog of systemd's is set" "$(cat "$unit")" '^WatchdogSec=[0-9]+$'

# That of a schedule's run, which mounts nothing.
run=$top_builddir/src/service/virt-thin-schedule@.service
cp "$run" "$tmp/"
ok "that of a schedule's run is 3.6" systemd-analyze security --no-pager --offline=true \
  --threshold=36 "$tmp/virt-thin-schedule@.service"
is "it sees what the host mounts, everywhere" \
  "$(grep -E '^(PrivateTmp|PrivateDevices|ProtectHome|MountFlags|ReadOnly|Inaccessible)' "$run")" ""
mkdir "$tmp/user"
cp "$top_builddir/src/service/user/virt-thin-schedule@.service" "$tmp/user/"
ok "that of a user's is 6.4, for want of what a user's systemd cannot take away" systemd-analyze \
  security --no-pager --offline=true --threshold=64 "$tmp/user/virt-thin-schedule@.service"
is "it runs what a user's unit runs" "$(grep ^ExecStart= "$run")" \
  "$(grep ^ExecStart= "$top_builddir/src/service/user/virt-thin-schedule@.service")"

# What systemd-analyze finds fault with has its reason in docs/systemd.md.
faults() { # UNIT
  systemd-analyze security --no-pager --offline=true "$tmp/$1" | sed -n 's/^✗ \([^ ]*\) .*/\1/p'
}
cp "$top_builddir"/src/service/virt-thin-check.{service,timer} \
  "$top_builddir"/src/service/virt-thin-metrics{,-http}.service \
  "$top_builddir"/src/service/virt-thin-metrics.{timer,socket} "$tmp/"
reasons=$(sed -n '/^## Why not more/,/^## /p' "$top_srcdir/docs/systemd.md" | sed 's/\\|/|/g')
is "what is missing has a reason" "$(
  for unit in virt-thin@.service virt-thin-schedule@.service virt-thin-check.service \
    virt-thin-metrics{,-http}.service; do
    faults $unit
  done | sort -u |
    while read -r name; do grep -qF -- "\`$name\`" <<<"$reasons" || echo "$name"; done)" ""

# The check of all pools, by a timer that is installed disabled: it only reads.
ok "its exposure is 3.0" systemd-analyze security --no-pager --offline=true \
  --threshold=30 "$tmp/virt-thin-check.service"
sed -i 's/^ExecStart=.*/ExecStart=true/' "$tmp/virt-thin-check.service"
is "systemd has nothing to say about it, nor about its timer" \
  "$(systemd-analyze verify --man=no "$tmp/virt-thin-check.timer" "$tmp/virt-thin-check.service" \
    2>&1 | grep virt-thin-check)" ""
like "it comes once a week, at another time on each host" \
  "$(cat "$tmp/virt-thin-check.timer")" $'OnCalendar=weekly\nRandomizedDelaySec='

# Metrics, which only read: into a file each minute, or to who asks.
for unit in virt-thin-metrics{,-http}.service; do
  ok "the exposure of $unit is 3.1" systemd-analyze security --no-pager --offline=true \
    --threshold=31 "$tmp/$unit"
done
sed -i 's/^ExecStart=.*/ExecStart=true/' "$tmp"/virt-thin-metrics{,-http}.service
is "systemd has nothing to say about them" \
  "$(systemd-analyze verify --man=no "$tmp"/virt-thin-metrics.{timer,socket} \
    "$tmp"/virt-thin-metrics{,-http}.service 2>&1 | grep virt-thin-metrics)" ""
is "where there is no collector nothing is written" "$(grep -c \
  '^ConditionPathIsDirectory=/var/lib/prometheus/node-exporter$' "$tmp/virt-thin-metrics.service")" 1
is "nothing is enabled by being installed: no unit wants them" \
  "$(grep -lE '^(Wants|Requires)=.*virt-thin-metrics' "$tmp"/*.service | xargs -rn1 basename)" \
  virt-thin-metrics-http.service
