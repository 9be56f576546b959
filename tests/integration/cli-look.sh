#!/bin/bash
# virt-thin - a command looks once at each device for the volume group that it is about, and tells
# of two that have one name
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/cli-lib.sh"
command -v strace >/dev/null || skip_all "needs strace"
# Nothing decides for it whose a volume group is: it looks, where there is a device-mapper.
unset VIRT_THIN_ENGINE

# How often the label of each was read by a descriptor that is for reading; a PV that is opened for
# writing is read again, under its lock. The sectors that may hold a label are read at once, and
# nothing else is read so.
looks() { # FILE...
  local file said=
  for file; do
    said+="$(awk -v file="<$file>" '
      index($0, "openat(") { writes[$NF] = /O_RDWR/ }
      index($0, "pread64(") && index($0, file ",") && /, 2048, 0\) = / {
        match($0, /[0-9]+</)
        n += !writes[substr($0, RSTART, RLENGTH - 1) file]
      }
      END { print n + 0 }' "$tmp/trace") "
  done
  echo "${said% }"
}
traced() {
  local status=0
  timeout 60 strace -f -y -o "$tmp/trace" -e trace=openat,pread64,flock "$VIRT_THIN_PROGRAM" "$@" \
    >"$tmp/said" 2>&1 || status=$?
  return $status
}
# looked DESCRIPTION STATUS COMMAND...: it ends with that, having looked once at every image.
looked() {
  local description=$1 want=$2 got=0; shift 2
  traced "$@" || got=$?
  is "$description" "$got: $(looks "$state"/{pve,scratch,none}.img)" "$want: 1 1 1"
}

plan 36
for vg in pve scratch; do ok "$vg is made" vt init $vg/data --size 128m; done
truncate -s 64m "$state/none.img" "$tmp/new.img" "$tmp/further.img"
ok "scratch has a volume" vt create scratch/c --size 4m
looked "create" 0 create pve/a --size 8m
looked "snapshot" 0 snapshot pve/a before
looked "list" 0 list pve
looked "list, of all there are" 0 list
is "which are both" "$(grep -cE '^(pve/a|scratch/c) ' "$tmp/said")" 2
looked "info" 0 info pve/a
looked "info, of all" 0 info
looked "check" 0 check pve/data
looked "resize" 0 resize pve/a +4m
looked "remove" 0 remove pve/a --snapshots
looked "release" 0 release pve
looked "init, of a further pool" 1 init pve/more
looked "init, on a file" 0 init other/data --file "$tmp/new.img"
looked "extend" 0 extend pve "$tmp/further.img"
printf 'lvmthin: %s\n\tvgname %s\n\tthinpool data\n\n' one pve two scratch three pve >"$tmp/cfg"
looked "the status of three storages" 0 storage status --config "$tmp/cfg"

looked "nothing there" 1 info nowhere/a
like "which is told" "$(cat "$tmp/said")" 'no volume group nowhere on'

# A volume group that somebody has open is waited for, and looked at again only when it was changed.
mkfifo "$tmp/busy"
hold() { flock "$1" cat "$tmp/busy" & exec 9>"$tmp/busy"; }
hold "$state/pve.img"
looked "busy" 1 create pve/b --size 8m
like "which is told" "$(cat "$tmp/said")" "pve.img: in use by pid [0-9]+ \(flock\)"
: >"$tmp/trace"
traced create pve/b --size 8m 9>&- & waiting=$!
wait_until 20 grep -q "flock(.*EAGAIN" "$tmp/trace"
exec 9>&-
ok "busy, but not for long" wait $waiting
is "is looked at once as well" "$(looks "$state"/{pve,scratch,none}.img)" "1 1 1"

mkdir "$tmp/elsewhere"
VIRT_THIN_STATE_DIR=$tmp/elsewhere run vt init pve/twin --size 64m
VIRT_THIN_STATE_DIR=$tmp/elsewhere run vt create pve/t --size 4m
mv "$tmp/elsewhere/pve.img" "$state/twin.img"
refused "two of one name are told" 1 'there are two volume groups pve, .* name the devices of one' \
  vt list
like "and the others listed" "$out" '^scratch/c '
refused "it is told who asks for one, too" 1 'there are two volume groups pve' vt list pve
like "which its device names" "$(vt list --device "$state/twin.img" pve 2>&1)" '^pve/t '

rm "$state/twin.img"
if can_serve; then
  echo $'[service]\nblock-nodes=none' >"$VIRT_THIN_CONFIG"
  VIRT_THIN_STATE_DIR=$tmp/elsewhere run vt init scratch/data --size 64m
  VIRT_THIN_STATE_DIR=$tmp/elsewhere run vt create scratch/s --size 4m
  ok "another scratch is served" vt --device "$tmp/elsewhere/scratch.img" serve scratch
  run vt list
  like "both are told" "$err" \
    'two volume groups scratch, on .*/state/scratch.img and that which is served; .* the latter'
  like "and what is said to be meant is listed" "$out" '^scratch/s '
  like "and who asks for one is told, too" "$(vt list scratch 2>&1 >/dev/null)" \
    'two volume groups scratch, on .*/state/scratch.img and that which is served; .* the latter'
  like "whatever of it" "$(vt info scratch/s 2>&1 >/dev/null)" 'two volume groups scratch, on '
  is "not who names its device" \
    "$(vt info --device "$tmp/elsewhere/scratch.img" scratch/s 2>&1 >/dev/null)" ""
  like "the other one by its device" "$(vt list --device "$state/scratch.img" scratch)" \
    '^scratch/c '
  like "the one that is served, too" \
    "$(vt list --device "$tmp/elsewhere/scratch.img" scratch)" '^scratch/s '
else
  skip 8 "no service can run here"
fi
