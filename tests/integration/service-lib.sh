# virt-thin - what the tests of the VG service share: a private instance, ended without a trace
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source lib.sh and this, then service_instance PROGRAM: runtime, state and dev folders are in $tmp;
# PROGRAM is in $service.
#   $vg, $volumes (the FUSE folder), $nodes (the folder of links)
#   serve                           start detached, wait until ready
#   holder, engine, nodes_process   their pids
#   service_gone                    is nothing left of it?
#   kill_engine                     SIGKILL, returns once the next one runs

need_root_fuse_loop() {
  [ "$(id -u)" = 0 ] || skip_all "needs root"
  [ -c /dev/fuse ] || skip_all "needs /dev/fuse"
  [ -c /dev/loop-control ] || skip_all "needs loop devices"
}
service_instance() {
  service=$top_builddir/tests/integration/$1
  vg=vt$$
  export VIRT_THIN_RUNTIME_DIR=$tmp/run VIRT_THIN_STATE_DIR=$tmp/state VIRT_THIN_DEV_DIR=$tmp/dev \
    VIRT_THIN_CONFIG=$tmp/virt-thin.conf
  export FILE_POOL_FOLDER=$tmp/files
  mkdir -p "$tmp/run" "$tmp/state" "$tmp/dev" "$tmp/files"
  : >"$VIRT_THIN_CONFIG"
  volumes=$tmp/run/$vg/volumes nodes=$tmp/dev/$vg
  at_exit service_end
}
serve() { "$service" serve "$vg"; }
holder() { cat "$tmp/run/$vg/pid"; }
child() { pgrep -P "$(holder)" -f "^$1 "; }
engine() { child virt-thin-engine; }
nodes_process() { child virt-thin-nodes; }
is_other_engine() { local now; now=$(engine) && [ -n "$now" ] && [ "$now" != "$1" ]; }
kill_engine() {
  local old; old=$(engine) || return 1
  kill -9 "$old" && wait_until 10 is_other_engine "$old"
}
ended() { ! kill -0 "$1" 2>/dev/null; }
service_gone() {
  ! grep -q " $tmp/run/" /proc/self/mountinfo &&
    ! grep -sq "^$tmp/run/" /sys/block/loop*/loop/backing_file &&
    [ ! -e "$tmp/run/$vg/pid" ] && [ ! -e "$tmp/run/$vg/control" ] && [ ! -e "$nodes" ]
}
# However the test ended: no process, mount or device stays.
service_end() {
  local pid pids f
  pids=$( (cat "$tmp"/run/*/pid; pgrep -f "^virt-thin-(engine|nodes) $vg") 2>/dev/null)
  for pid in $pids; do kill "$pid" 2>/dev/null; done
  for pid in $pids; do wait_until 8 ended "$pid" || kill -9 "$pid" 2>/dev/null; done
  for f in /sys/block/loop*/loop/backing_file; do
    if grep -sq "^$tmp/" "$f"; then f=${f#/sys/block/}; losetup -d "/dev/${f%%/*}"; fi
  done
  grep -o " $tmp/[^ ]*" /proc/self/mountinfo | while read -r f; do umount -l "$f"; done
  [ -z "${SERVICE_TEST_VERBOSE-}" ] || cat "$tmp"/run/*/log
}
# A volume group $vg with thin pool "data" in $pv, of SIZE, and volumes NAME=SIZE...
make_group() {
  local size=$1 volume; shift
  pv=$tmp/state/pv.img
  "$service" init "$vg" data "$pv" "$size" || return 1
  serve || return 1
  for volume; do "$service" create "$vg" "${volume%=*}" "${volume#*=}" || return 1; done
}
judge() { "$top_srcdir/scripts/judge" --quiet "$pv"; }
# A command that has not what this shell has open as 5.
without_5() { "$@" 5<&-; }
