# virt-thin - what integration tests share: TAP, a temporary folder, waiting for an event
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it first. Then:
#   plan N                     how many tests follow
#   skip_all REASON            none will
#   ok DESCRIPTION COMMAND...  passes when the command succeeds
#   not_ok DESCRIPTION COMMAND...   when it fails
#   is DESCRIPTION GOT WANT    passes when the strings are equal
#   like DESCRIPTION TEXT REGEX     when the regex (grep -E) matches
#   skip N REASON              N tests in place
#   wait_until SECONDS COMMAND...   polls until the command succeeds
#   at_exit COMMAND            run at exit, the last first; also when the test fails or is killed
#   progress TEXT              how far a long test is: in the long form a line every 10 seconds says
# $tmp is a folder of this test's own, removed at exit. What commands say goes to standard error, or
# behind a failed test as a comment.

# In a mount namespace of its own, where root may make one: else a test that starts in parallel
# makes itself one and takes along, for as long as it runs, what is mounted here at that moment.
if [ "$(id -u)" = 0 ] && [ -z "${virt_thin_test_mounts-}" ] &&
    unshare --mount true 2>/dev/null; then
  virt_thin_test_mounts=own exec unshare --mount --propagation slave "$(realpath "$0")" "$@"
fi

# Also where the kernel has thin pools: it is virt-thin's own engine that these tests are about, and
# the machine's volume groups are not. What libvirt-lib.sh says of both engines is asked of the
# kernel's where a test under a real kernel sets VIRT_THIN_TEST_ENGINE=kernel: there nothing names
# the engine, which then is found by its devices.
test_engine=${VIRT_THIN_TEST_ENGINE:-bundled}
if [ $test_engine = bundled ]; then export VIRT_THIN_ENGINE=bundled; else unset VIRT_THIN_ENGINE; fi

top_srcdir=${abs_top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
top_builddir=${abs_top_builddir:-$top_srcdir/build}

tap_count=0 tap_plan=0
plan() { tap_plan=$1; echo "1..$1"; }
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
tap_result() { # STATUS DESCRIPTION [LOG]
  tap_count=$((tap_count + 1))
  echo $tap_count >"$tmp/.count"
  if [ "$1" = 0 ]; then echo "ok $tap_count - $2"; return 0; fi
  echo "not ok $tap_count - $2"
  [ -z "${3-}" ] || sed 's/^/# /' <<<"$3"
}
# The command runs in this shell: what it sets stays.
ok() {
  local tap_description=$1 tap_status=0; shift
  "$@" >"$tmp/.said" 2>&1 || tap_status=$?
  tap_result $tap_status "$tap_description" "$*: status $tap_status: $(cat "$tmp/.said")"
}
not_ok() {
  local tap_description=$1 tap_status=0; shift
  "$@" >"$tmp/.said" 2>&1 && tap_status=1
  tap_result $tap_status "$tap_description" "$*: succeeded: $(cat "$tmp/.said")"
}
is() {
  if [ "$2" = "$3" ]; then tap_result 0 "$1"; else tap_result 1 "$1" "got: $2"$'\n'"want: $3"; fi
}
like() {
  if grep -qE -- "$3" <<<"$2"; then
    tap_result 0 "$1"
  else
    tap_result 1 "$1" "got: $2"$'\n'"want: /$3/"
  fi
}
skip() {
  local i
  for ((i = 0; i < $1; i++)); do tap_count=$((tap_count + 1)); echo "ok $tap_count # SKIP $2"; done
}
wait_until() {
  local end=$((SECONDS + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

exit_commands=()
at_exit() { exit_commands=("$1" "${exit_commands[@]}"); }
run_exit_commands() {
  local status=$? command
  trap - EXIT
  for command in "${exit_commands[@]}"; do eval "$command" >&2 || true; done
  rm -rf --one-file-system "$tmp"
  exit $status
}
tmp=$(mktemp -d "${TMPDIR:-/tmp}/virt-thin-test.XXXXXX")
trap run_exit_commands EXIT
trap 'exit 143' TERM
progress() { echo ", $*" >"$tmp/.progress"; }
tell_progress() {
  local count text
  while sleep 10 >/dev/null 2>&1; do
    count=0 text=
    [ ! -e "$tmp/.count" ] || read -r count <"$tmp/.count"
    [ ! -e "$tmp/.progress" ] || read -r text <"$tmp/.progress"
    echo "# $SECONDS s: $count tests are done$text"
  done
}
[ -z "${VIRT_THIN_TEST_LONG-}" ] || { tell_progress & at_exit "kill $!"; }
trap 'exit 130' INT

# --- lvm2 as a judge ---
#   lvm_attach [--writable] FILE...    files as loop devices, which lvm2 alone then sees: sets
#                                      lvm_loops (array) and lvm_devices (a,b), and makes the
#                                      function lvm2 COMMAND ARGUMENT... run lvm2 on them: standard
#                                      output, and standard error without what concerns this
#                                      machine's kernel
#   lvm_detach                         the end of that
#   judge_lvm FILE...                  scripts/judge: lvm2 and thin-provisioning-tools must have
#                                      nothing to complain of
lvm_loops=()
lvm_attach() {
  local mode=--read-only file dir=$tmp/lvm-system
  [ "$1" = --writable ] && { mode=; shift; }
  mkdir -p "$dir"
  cat > "$dir/lvm.conf" <<CONF
devices {
  use_devicesfile=0 obtain_device_list_from_udev=0 hints="none" external_device_info_source="none"
}
global {
  activation=0 locking_type=1 locking_dir="$dir/lock" use_lvmpolld=0 system_id_source="none"
  event_activation=0
}
backup { backup=0 archive=0 }
activation { udev_sync=0 udev_rules=0 monitoring=0 }
CONF
  lvm_loops=()
  for file; do lvm_loops+=("$(losetup $mode --find --show "$file")") || return 1; done
  lvm_devices=$(IFS=,; echo "${lvm_loops[*]}")
}
lvm_detach() {
  local loop
  for loop in "${lvm_loops[@]}"; do losetup -d "$loop"; done
  lvm_loops=()
}
at_exit lvm_detach
lvm2() {
  local command=$1 rc=0; shift
  # pvck 2.03.16 does not find its devices in the list
  [ "$command" = pvck ] || set -- --devices "$lvm_devices" "$@"
  LVM_SYSTEM_DIR=$tmp/lvm-system LVM_SUPPRESS_FD_WARNINGS=1 DM_DISABLE_UDEV=1 LC_ALL=C lvm \
    "$command" "$@" 2>"$tmp/.lvm-errors" || rc=$?
  grep -v -e 'Activation disabled' -e 'is NOT backed up' "$tmp/.lvm-errors" >&2
  return $rc
}
judge_lvm() { "$top_srcdir/scripts/judge" --quiet "$@"; }
