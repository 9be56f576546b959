#!/bin/bash
# virt-thin - the systemd units: how exposed it is, by systemd's own measure. What it can do with
# what it may is for tests/vm/systemd.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
unit=$top_builddir/src/service/virt-thin@.service
{ systemd-analyze security --help | grep -e --offline -q; } 2>/dev/null ||
  skip_all "needs systemd-analyze"
plan 6
cp "$unit" "$tmp/"
ok "the exposure is 4.5 of 10 at most" \
  systemd-analyze security --no-pager --offline=true --threshold=45 "$tmp/virt-thin@.service"
is "its mount is made where the host sees it: no namespace of its own" \
  "$(grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Temporary|Bind|Mount)' "$unit")" ""
like "a watchdog of systemd's is set" "$(cat "$unit")" '^WatchdogSec=[0-9]+$'

# That of a schedule's run: file systems are frozen where the host has them mounted.
run=$top_builddir/src/service/virt-thin-schedule@.service
cp "$run" "$tmp/"
ok "the exposure of a schedule's run, too" systemd-analyze security --no-pager --offline=true \
  --threshold=49 "$tmp/virt-thin-schedule@.service"
is "it sees the host's mounts" \
  "$(grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Temporary|Bind|Mount)' "$run")" ""
is "it runs what a user's unit runs" "$(grep ^ExecStart= "$run")" \
  "$(grep ^ExecStart= "$top_builddir/src/service/user/virt-thin-schedule@.service")"
