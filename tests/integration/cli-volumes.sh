#!/bin/bash
# virt-thin - every command of the program on a real volume group in a file: in the process, or with
# argument "served" through a service
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

# What holds either way; $1 says which.
volumes() {
  local how=$1 a b
  for a in 1 2 3 4 5 6; do
    "$VIRT_THIN_PROGRAM" create pve/at-once-$a --size 4m &
  done 2>"$tmp/.at-once"
  wait
  is "$how: six commands at once wait for each other" "$(names pve) $(cat "$tmp/.at-once")" \
    "at-once-1 at-once-2 at-once-3 at-once-4 at-once-5 at-once-6 "
  vt remove pve/at-once-{1..6}
  ok "$how: create" vt create pve/vm-100-disk-0 --size 100m
  is "$how: its size" "$(volume pve/vm-100-disk-0 size)" $((100 << 20))
  is "$how: it maps nothing" "$(volume pve/vm-100-disk-0 mapped)" 0
  is "$how: its VMID" "$(volume pve/vm-100-disk-0 vmid)" 100
  ok "$how: a size is rounded up to extents" vt create pve/odd --size 4097k
  is "$how: 4097k is two extents" "$(volume pve/odd size)" $((8 << 20))
  head -c 3000000 /dev/urandom > "$tmp/one"; head -c 2000000 /dev/urandom > "$tmp/two"
  truncate -s $((100 << 20)) "$tmp/one" "$tmp/two"
  ok "$how: import" vt import "$tmp/one" pve/vm-100-disk-0
  a=$(md5 "$tmp/one") b=$(md5 "$tmp/two")
  is "$how: export gives it back" "$(export_md5 export pve/vm-100-disk-0)" "$a"

  ok "$how: snapshot s1" vt snapshot pve/vm-100-disk-0 s1
  ok "$how: overwrite" vt import "$tmp/two" pve/vm-100-disk-0
  ok "$how: snapshot s2" vt snapshot pve/vm-100-disk-0 s2
  is "$how: snapshots are read-only" "$(volume pve/snap_vm-100-disk-0_s1 readonly)" true
  is "$how: the snapshot's origin" "$(volume pve/snap_vm-100-disk-0_s1 origin)" vm-100-disk-0
  is "$how: s1 has the old content" "$(export_md5 export pve/snap_vm-100-disk-0_s1)" "$a"
  ok "$how: rollback to s1" vt rollback pve/vm-100-disk-0 s1
  is "$how: the volume has the old content again" "$(export_md5 export pve/vm-100-disk-0)" "$a"
  ok "$how: rollback to s2" vt rollback pve/vm-100-disk-0 s2
  is "$how: the volume has the new content" "$(export_md5 export pve/vm-100-disk-0)" "$b"
  ok "$how: and back to s1" vt rollback pve/vm-100-disk-0 s1
  refused "$how: rollback to a snapshot that is not there" 1 'nope' \
    vt rollback pve/vm-100-disk-0 nope

  ok "$how: snapshots of several at one instant" vt snapshot pve/vm-100-disk-0 pve/odd both
  is "$how: are there" "$(names pve)" "odd snap_odd_both snap_vm-100-disk-0_both snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2 vm-100-disk-0"
  is "$how: of the one" "$(export_md5 export pve/snap_vm-100-disk-0_both)" "$a"
  is "$how: of the other" "$(volume pve/snap_odd_both origin)" odd
  vt remove pve/snap_odd_both
  refused "$how: all of them, or none" 1 'snap_vm-100-disk-0_both already' \
    vt snapshot pve/odd pve/vm-100-disk-0 both
  is "$how: none" "$(names pve)" "odd snap_vm-100-disk-0_both snap_vm-100-disk-0_s1 snap_vm-100-disk-0_s2 vm-100-disk-0"
  refused "$how: of two volume groups" 2 'must be of one volume group' \
    vt snapshot pve/odd other/odd both
  vt remove pve/snap_vm-100-disk-0_both

  ok "$how: clone" vt clone pve/vm-100-disk-0 pve/vm-101-disk-0
  is "$how: the clone is writable" "$(volume pve/vm-101-disk-0 readonly)" false
  is "$how: the clone shares everything" \
    "$(vt info --json pve/vm-101-disk-0 | field "d['volume']['exclusive']")" 0
  ok "$how: write to the clone" vt import "$tmp/two" pve/vm-101-disk-0
  is "$how: the origin keeps its own" "$(export_md5 export pve/vm-100-disk-0)" "$a"
  ok "$how: a clone named as a snapshot" vt clone pve/vm-101-disk-0 pve/snap_vm-101-disk-0_x
  is "$how: is one" "$(volume pve/snap_vm-101-disk-0_x readonly)" true

  ok "$how: rename" vt rename pve/vm-100-disk-0 vm-200-disk-0
  is "$how: its snapshots follow" "$(names pve)" \
    "$(echo odd snap_vm-101-disk-0_x snap_vm-200-disk-0_s1 snap_vm-200-disk-0_s2 vm-101-disk-0 \
      vm-200-disk-0)"
  ok "$how: rename to VG/NEW" vt rename pve/odd pve/even
  ok "$how: rollback after a rename" vt rollback pve/vm-200-disk-0 s2
  is "$how: has s2's content" "$(export_md5 export pve/vm-200-disk-0)" "$b"

  ok "$how: rename to another guest" vt rename pve/vm-200-disk-0 vm-201-disk-0
  is "$how: Proxmox's tag of the owner comes" "$(volume pve/vm-201-disk-0 tags)" "['pve-vm-201']"
  vt rename pve/vm-201-disk-0 vm-200-disk-0
  is "$how: and changes" "$(volume pve/vm-200-disk-0 tags)" "['pve-vm-200']"

  vt clone pve/vm-101-disk-0 vm-102-disk-0; a=$(volume pve/vm-102-disk-0 uuid)
  is "$how: template" "$(vt template pve/vm-102-disk-0)" pve/base-102-disk-0
  is "$how: it is the same volume, read-only" \
    "$(volume pve/base-102-disk-0 uuid) $(volume pve/base-102-disk-0 readonly) $(
      volume pve/base-102-disk-0 tags)" \
    "$a true []"
  refused "$how: it is not written to" 1 'read-only' vt import "$tmp/one" pve/base-102-disk-0
  ok "$how: a clone named as a template" vt clone pve/base-102-disk-0 base-103-disk-0
  is "$how: is one" "$(volume pve/base-103-disk-0 readonly)" true
  ok "$how: an import named as one" vt import "$tmp/two" pve/base-104-disk-0
  is "$how: is one in the end" \
    "$(volume pve/base-104-disk-0 readonly) $(export_md5 export pve/base-104-disk-0)" "true $b"
  refused "$how: a template with linked clones is not removed" 1 \
    'still in use by linked clones: base-103-disk-0' vt remove pve/base-102-disk-0
  ok "$how: but with them" vt remove pve/base-102-disk-0 pve/base-103-disk-0
  ok "$how: or when told to" sh -c \
    "'$VIRT_THIN_PROGRAM' clone pve/base-104-disk-0 vm-104-disk-0 &&
      '$VIRT_THIN_PROGRAM' remove --force pve/base-104-disk-0 &&
      '$VIRT_THIN_PROGRAM' remove pve/vm-104-disk-0"

  ok "$how: resize to" vt resize pve/even 16m
  ok "$how: resize by +" vt resize pve/even +8m
  is "$how: 24m" "$(volume pve/even size)" $((24 << 20))
  refused "$how: smaller without --shrink" 1 'shrink' vt resize pve/even -8m
  refused "$how: to nothing" 1 'nothing would be left' vt resize pve/even -24m --shrink
  ok "$how: smaller with --shrink" vt resize pve/even --shrink -8m
  is "$how: 16m" "$(volume pve/even size)" $((16 << 20))
  refused "$how: a read-only snapshot is not resized" 1 'snap_vm-200-disk-0_s1' \
    vt resize pve/snap_vm-200-disk-0_s1 +4m
  refused "$how: a volume has no metadata" 1 'no thin pool' vt resize pve/even +4m --metadata
  a=$(vt info --json pve/data | field "d['pool']['size']")
  ok "$how: grow the pool" vt resize pve/data +16m
  is "$how: by 16m" $(($(vt info --json pve/data | field "d['pool']['size']") - a)) $((16 << 20))
  ok "$how: grow its metadata" vt resize pve/data +4m --metadata
  refused "$how: a pool does not shrink" 1 'data' vt resize pve/data -16m --shrink

  ok "$how: list --json" sh -c \
    "'$VIRT_THIN_PROGRAM' list --json pve |
      python3 '$top_srcdir/tests/integration/validate-json' '$top_srcdir/schemas/list.schema.json'"
  is "$how: list of a pool" "$(vt list --json pve/data | md5)" "$(vt list --json pve | md5)"
  is "$how: list of everything" "$(vt list --json | md5)" "$(vt list --json pve | md5)"
  refused "$how: list of a pool that is not there" 1 'nope' vt list pve/nope
  for a in pve pve/data pve/even pve/snap_vm-200-disk-0_s1; do
    ok "$how: info --json $a" sh -c \
      "'$VIRT_THIN_PROGRAM' info --json $a |
        python3 '$top_srcdir/tests/integration/validate-json' \
          '$top_srcdir/schemas/info.schema.json'"
    ok "$how: info $a" vt info $a
  done
  ok "$how: check" vt check pve/data
  ok "$how: check --json" sh -c \
    "'$VIRT_THIN_PROGRAM' check --json pve/data |
      python3 '$top_srcdir/tests/integration/validate-json' '$top_srcdir/schemas/check.schema.json'"
  is "$how: it is well" \
    "$(vt check --json pve/data | field "(d['pool'], d['ok'], d['errors'], d['leaks'])")" \
    "('pve/data', True, [], [])"

  a=$(names pve)
  refused "$how: remove is all or none" 1 'nope' vt remove pve/even pve/nope
  is "$how: none" "$(names pve)" "$a"
  ok "$how: remove an origin" vt remove pve/vm-200-disk-0
  is "$how: its snapshots stay" "$(names pve)" \
    "even snap_vm-101-disk-0_x snap_vm-200-disk-0_s1 snap_vm-200-disk-0_s2 vm-101-disk-0"
  is "$how: and are whole" "$(export_md5 export pve/snap_vm-200-disk-0_s2)" "$b"
  ok "$how: remove with snapshots" vt remove --snapshots pve/vm-101-disk-0
  ok "$how: remove several" vt remove pve/even pve/snap_vm-200-disk-0_s1 pve/snap_vm-200-disk-0_s2
  is "$how: nothing is left" "$(names pve)" ""
  is "$how: every chunk is back" "$(vt info --json pve/data | field "d['pool']['used']")" 0
  ok "$how: extend" vt extend pve further.img
  ok "$how: a further thin pool" vt init pve/more --size 32m
  refused "$how: which of two pools" 1 'pool' vt create pve/which --size 4m
  ok "$how: this one" vt create pve/which --size 4m --pool more
  is "$how: it is there" "$(volume pve/which pool)" more
  refused "$how: a pool with volumes is not removed" 1 'more' vt remove pve/more
  ok "$how: remove volume, then pool" \
    sh -c "'$VIRT_THIN_PROGRAM' remove pve/which && '$VIRT_THIN_PROGRAM' remove pve/more"
}
each=97
[ "${1:-}" != served ] || can_serve || skip_all "needs root and /dev/fuse"
plan $([ "${1:-}" = served ] && echo $((each + 21)) || echo $((each + 3)))

ok "init" vt init pve/data --size 600m --reserve 128m
truncate -s 64m "$tmp/further.img"
printf '[devices]\npaths=%s;%s\n' "$state/*.img" "$tmp/further.img" > "$VIRT_THIN_CONFIG"
ok "the file is sparse, but for what commits need: the texts' 16 MiB, and metadata" \
  test "$(blocks "$state/pve.img")" -lt $((22 * 1024))
cd "$tmp" || exit 1
if [ "${1:-}" != served ]; then
  volumes "in the process"
  if [ "$(id -u)" = 0 ]; then
    ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img" "$tmp/further.img"
  else
    skip 1 "needs root"
  fi
else
  ok "serve" vt serve pve
  like "it is served" "$(vt info pve)" 'served by +virt-thin service'
  refused "a second service" 1 'pve' vt serve pve
  volumes "served"

  # In use: named by whom, and nothing happens.
  vt create pve/open --size 8m; vt snapshot pve/open s
  exec 8<"$VIRT_THIN_RUNTIME_DIR/pve/volumes/open"
  for command in "stop pve" "remove pve/open" "rollback pve/open s" \
      "resize pve/open 4m --shrink"; do
    # shellcheck disable=SC2086
    refused "while a volume is open: $command" 1 "open is (in use|open).*pid $$" vt $command
  done
  vt create pve/vm-105-open --size 8m; exec 9<"$VIRT_THIN_RUNTIME_DIR/pve/volumes/vm-105-open"
  refused "while a volume is open: template" 1 "open is (in use|open).*pid $$" \
    vt template pve/vm-105-open
  exec 9<&-; vt remove pve/vm-105-open
  ok "growing is no harm" vt resize pve/open 12m
  exec 8<&-
  vt remove --snapshots pve/open
  ok "stop" vt stop pve
  refused "stop again" 1 'not served' vt stop pve
  like "nobody serves it" "$(vt info pve)" 'served by +nobody'
  is "nothing of it is left" "$(ls "$VIRT_THIN_DEV_DIR/pve" 2>/dev/null)" ""
  ok "release after a clean stop does no harm" vt release pve
  ok "strangers accept it" "$top_srcdir/scripts/judge" --quiet "$state/pve.img" "$tmp/further.img"
  ok "check" vt check pve/data

  # An engine that hangs: stop --force ends it all the same.
  vt serve pve
  holder=$(cat "$VIRT_THIN_RUNTIME_DIR/pve/pid")
  engine=$(for p in $(cat /proc/"$holder"/task/*/children); do
    grep -qa engine /proc/"$p"/cmdline && echo "$p"
  done)
  kill -STOP "$engine"
  ok "stop --force of an engine that hangs" vt stop pve --force
  not_ok "it is gone" test -e /proc/"$engine"
  like "nobody serves it" "$(vt info pve)" 'served by +nobody'
fi
