# virt-thin - what integration tests share: TAP, a temporary folder, waiting for an event
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it first. Then:
#   plan N                     how many tests follow                skip_all REASON   none will
#   ok DESCRIPTION COMMAND...  passes when the command succeeds     not_ok DESCRIPTION COMMAND...   when it fails
#   is DESCRIPTION GOT WANT    passes when the strings are equal    like DESCRIPTION TEXT REGEX     when the regex (grep -E) matches
#   skip N REASON              N tests in place
#   wait_until SECONDS COMMAND...   polls until the command succeeds
#   at_exit COMMAND            run at exit, the last first; also when the test fails or is killed
# $tmp is a folder of this test's own, removed at exit. What commands say goes to standard error, or behind a failed test as a comment.

top_srcdir=${abs_top_srcdir:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
top_builddir=${abs_top_builddir:-$top_srcdir/build}

tap_count=0 tap_plan=0
plan() { tap_plan=$1; echo "1..$1"; }
skip_all() { echo "1..0 # SKIP $1"; exit 0; }
tap_result() { # STATUS DESCRIPTION [LOG]
  tap_count=$((tap_count + 1))
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
  if grep -qE -- "$3" <<<"$2"; then tap_result 0 "$1"; else tap_result 1 "$1" "got: $2"$'\n'"want: /$3/"; fi
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
trap 'exit 130' INT
