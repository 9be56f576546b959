#!/bin/bash
# virt-thin - schedules: sections of virt-thin.conf, the timers they become, runs: what fails is
# named and the rest done, one at a time, killed at any moment
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
systemd-analyze calendar daily >/dev/null 2>&1 || skip_all "needs systemd-analyze"
command -v strace >/dev/null || skip_all "needs strace"
plan 76

config=$VIRT_THIN_CONFIG units=$VIRT_THIN_UNIT_DIR
schedules() { vt schedule list --json | field "$1"; }
snapshots() { vt list --json pve | field "sum('_auto-' in v['name'] for v in d['volumes'])"; }
timers() { (cd "$units" 2>/dev/null && find . -not -type d | sort | xargs); }

vt init pve/data --size 256m
for disk in vm-101-disk-0 vm-101-disk-1 other; do vt create pve/$disk --size 16m; done
printf '# of mine\n\n[service]\n# not many\nthreads=3\n' >"$config"

# --- added, changed, removed ---
is "no schedule yet" "$(vt schedule list --json | tr -d ' \n')" '{"schedules":[]}'
refused "no rule of what is kept" 2 'how many snapshots are to be kept' \
  vt schedule add nightly snapshot pve/data --when daily
refused "no time of systemd's" 1 'when: "at night" is not what systemd takes: .*at night' \
  vt schedule add nightly snapshot pve/data --when "at night" --keep-last 1
refused "no delay of systemd's" 1 'delay: "soon" is not what' \
  vt schedule add nightly snapshot pve/data --when daily --delay soon --keep-last 1
refused "two lines in one" 2 'one line each' \
  vt schedule add nightly snapshot pve/data --when $'daily\nOnBootSec=1' --keep-last 1
refused "nobody's name" 2 '"a/b" is no name for a schedule' \
  vt schedule add a/b snapshot pve/data --keep-last 1
refused "a volume group alone" 2 'what: "pve" is neither VG/LV' \
  vt schedule add nightly snapshot pve --keep-last 1
refused "an unknown kind" 2 '"copy" is no kind of schedule' \
  vt schedule add nightly copy pve/data --keep-last 1
refused "a rule that is none" 2 'keep-daily: "-7" is not a number' \
  vt schedule add nightly snapshot pve/data --keep-daily=-7
refused "a backup to nowhere" 2 'a backup needs a folder' vt schedule add b backup pve/data
is "nothing has changed" "$(md5 "$config") $(timers)" \
  "$(printf '# of mine\n\n[service]\n# not many\nthreads=3\n' | md5) "
ok "add" vt schedule add nightly snapshot pve/data --when '*-*-* 01:00' --delay 10min \
  --keep-daily 7 --keep-weekly 4
refused "add again" 1 'there is a schedule nightly already' \
  vt schedule add nightly snapshot pve/data --keep-all
timer=virt-thin-schedule@nightly.timer
is "its timer is enabled" "$(timers)" "./timers.target.wants/$timer ./$timer"
ok "by a link that leads there" cmp "$units/timers.target.wants/$timer" "$units/$timer"
is "it says when" "$(sed -n '/^\[Timer\]/,/^$/p' "$units/$timer" | xargs -d '\n')" \
  "[Timer] OnCalendar=*-*-* 01:00 Persistent=true RandomizedDelaySec=10min "
cp "$units/$timer" "$tmp/virt-thin-schedule@nightly.timer"
sed 's/^ExecStart=.*/ExecStart=true/' "$top_builddir/src/service/virt-thin-schedule@.service" \
  >"$tmp/virt-thin-schedule@.service"
ok "systemd has nothing to say about it" \
  systemd-analyze verify --man=no "$tmp/virt-thin-schedule@nightly.timer"
is "comments and other sections are left" "$(grep -c -e '^# of mine$' -e '^# not many$' \
  -e '^threads=3$' "$config")" 3
ok "one without a time" vt schedule add guest snapshot 101 --keep-last 2
is "has no timer" "$(timers)" "./timers.target.wants/$timer ./$timer"
ok "the list is what the schema says" eval 'vt schedule list --json | valid schedule'
is "it has both, in order" \
  "$(schedules "' '.join(s['name'] + ':' + str(s['when']) for s in d['schedules'])")" \
  "nightly:*-*-* 01:00 guest:None"
like "for people, too" "$(vt schedule list)" \
  '^nightly +snapshot of pve/data +\*-\*-\* 01:00 +- +- +- +0 +0$'
ok "disable" vt schedule disable nightly
is "takes the timer away" "$(timers)" ""
is "and says so" "$(schedules "d['schedules'][0]['enabled']")" false
ok "enable" vt schedule enable nightly
is "brings it back" "$(timers)" "./timers.target.wants/$timer ./$timer"
refused "one that there is not" 1 'there is no schedule "none"' vt schedule enable none

# --- written by hand ---
sed -i 's/^when=.*/when=hourly/' "$config"
cat >>"$config" <<'CONF'

# by hand
[schedule bad]
kind=snapshot
what=pve/data
keep-dayly=7
[schedule weekly]
kind = snapshot
what = pve/other
when = Sun 03:00
keep-last = 3
CONF
: >"$units/mine.timer"
refused "apply names what makes no sense" 1 '\[schedule bad\] "keep-dayly" says nothing' \
  vt schedule apply
like "and does the rest" "$out" '^3 schedules: 2 timers made or changed, 0 removed$'
is "a time that was changed" "$(grep OnCalendar "$units/$timer")" OnCalendar=hourly
ok "one that is new" test -e "$units/virt-thin-schedule@weekly.timer"
refused "list names it, too" 1 '\[schedule bad\]' vt schedule list
sed -i '/^\[schedule bad\]/,/^keep-dayly/d; /^\[schedule weekly\]/,$d' "$config"
is "apply, of what is gone" "$(vt schedule apply)" \
  "2 schedules: 0 timers made or changed, 1 removed"
ok "another's timer stays" test -e "$units/mine.timer"
not_ok "without a folder of its own it touches no systemd's" \
  env -u VIRT_THIN_UNIT_DIR "$VIRT_THIN_PROGRAM" schedule apply

# --- runs ---
ok "run" vt schedule run nightly
is "of all volumes of the pool" "$(names pve)" "other snap_other_auto-$(date +%F-%H%M) $(
  printf 'snap_vm-101-disk-%s_auto-'"$(date +%F-%H%M)"' ' 0 1)vm-101-disk-0 vm-101-disk-1"
like "by a tag it knows them" "$(vt list --json pve)" '"virt-thin-schedule=nightly/[0-9]+"'
ok "a guest's" vt schedule run guest
is "are its volumes alone" "$(schedules "d['schedules'][1]['snapshots']")" 2
is "what came of it" "$(schedules "' '.join(str(d['schedules'][1][k]) for k in
  ('result', 'failures', 'message')) + ' %d' % (d['schedules'][1]['last_start'] > 1e9)")" \
  "done 0 None 1"
vt schedule run guest >&2; vt schedule run guest >&2
is "as many stay as the rules keep" "$(schedules "d['schedules'][1]['snapshots']")" 4
is "those of the other are left alone" "$(schedules "d['schedules'][0]['snapshots']")" 3
sed -i 's|^what=101|what=101;102;pve/none;gone/data|' "$config"
run vt schedule run guest
is "what is missing fails" $? 1
is "each is named" "$(grep -c -e 'guest 102 has no volume' -e 'no volume or thin pool pve/none' \
  -e 'no volume group gone' <<<"$err")" 4 || echo "# $err"
is "the rest is done" "$(schedules "' '.join(str(d['schedules'][1][k]) for k in
  ('result', 'failures'))")" "failed 1"
is "as ever" "$(vt list --json pve | field \
  "sum(t.startswith('virt-thin-schedule=guest/') for v in d['volumes'] for t in v['tags'])")" 4
vt schedule list >/dev/null 2>"$tmp/said"
like "the list says why" "$(cat "$tmp/said")" '^virt-thin: schedule guest: .*102'
sed -i 's|^what=101.*|what=101|' "$config"
vt schedule run guest >&2
is "a good run ends the counting" "$(schedules "d['schedules'][1]['failures']")" 0
(flock 9; refused "two at once" 1 'schedule guest is running already' vt schedule run guest
 is "which the list shows" "$(schedules "d['schedules'][1]['result']")" running
 refused "it is not removed meanwhile" 1 'is running: remove it when' vt schedule remove guest
) 9>>"$state/schedules/guest/lock"
tap_count=$((tap_count + 3))

# --- backups ---
if vt backup --help >/dev/null 2>&1; then
  ok "a schedule of backups" vt schedule add b backup pve/vm-101-disk-0 pve/none \
    --to "$tmp/backups" --keep-last 3 --keep-within 1m7d
  is "whose rules are listed" "$(schedules "d['schedules'][2]['keep']")" \
    "keep-within=1m7d,keep-last=3"
  run vt schedule run b
  is "what is missing is named" "$? $(grep -c 'warning: schedule b: .*pve/none' <<<"$err")" "1 1"
  is "the rest is backed up" "$(ls "$tmp/backups" | wc -l)" 1
  sed -i 's|;pve/none||' "$config"
  ok "without it all is well" vt schedule run b
  is "with one more" "$(ls "$tmp/backups" | wc -l)" 2
  sed -i "s|^to=.*|to=/proc/none|" "$config"
  refused "what virt-thin backup says is told" 1 '/proc/none: .*No such file' vt schedule run b
  like "by the list, too" "$(schedules "d['schedules'][2]['message']")" '/proc/none: .*No such file'
  ok "remove" vt schedule remove b
else
  skip 9 "this build makes no backups"
fi

# --- killed ---
synced() { # COUNT: killed at so many of its fsyncs
  strace -f -qq -o /dev/null -e trace=fsync,fdatasync \
    -e "inject=fsync,fdatasync:signal=KILL:when=$1" "$VIRT_THIN_PROGRAM" schedule run guest
}
n=0 killed=0 wrong= results=
while synced $((n += 1)) >/dev/null 2>&1; [ $? -gt 128 ]; do
  killed=$((killed + 1))
  results+=" $(schedules "d['schedules'][1]['result']")"
  # Each snapshot has its tag, and each volume as many as the other.
  wrong+=$(vt list --json pve | field "' '.join(v['name'] for v in d['volumes']
    if '_auto-' in v['name'] and not any(t.startswith('virt-thin-sch') for t in v['tags']))")
  [ $killed -lt 60 ] || break
done
ok "killed at each step" test $killed -gt 3
like "which shows" "$results" interrupted
is "no snapshot is nobody's" "$wrong" ""
ok "the next run goes on" vt schedule run guest
is "and leaves what the rules keep" "$(schedules "d['schedules'][1]['snapshots']")" 4
is "pool and metadata are well" "$(vt check pve/data >/dev/null; echo $?)" 0

# --- the end ---
ok "remove with its snapshots" vt schedule remove guest --snapshots
is "they are gone, the other's are there" "$(snapshots)" 3
is "and nothing is remembered" "$(ls "$state/schedules")" nightly
ln -s /usr/lib/systemd/system/virt-thin-{check,metrics}.timer "$units/timers.target.wants/"
mkdir "$units/sockets.target.wants"
ln -s /usr/lib/systemd/system/virt-thin-metrics.socket "$units/sockets.target.wants/"
ok "disable, of virt-thin itself" vt disable --if-enabled
is "takes the timers with it, and disables those of checks and metrics" "$(timers)" "./mine.timer"
ok "but no section" vt schedule apply
is "so apply brings them back" "$(timers)" "./mine.timer ./timers.target.wants/$timer ./$timer"
