# virt-thin - what the guests' test scripts share: TAP, judging, waiting; the guest finds it as
# /in/guest-lib.sh, or as /run/vm/guest-lib.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   ok DESCRIPTION COMMAND...      passes when the command succeeds
#   not_ok DESCRIPTION COMMAND...  when it fails
#   is DESCRIPTION GOT WANT        passes when the strings are equal
#   like DESCRIPTION TEXT REGEX    when the regex (grep -E) matches
#   must DESCRIPTION COMMAND...    as ok; without it the rest makes no sense
#   done_testing                   the plan, and the status: the script's last line
export LVM_SUPPRESS_FD_WARNINGS=1
n=0 failed=0
result() { # STATUS DESCRIPTION LOG
  n=$((n + 1))
  if [ "$1" = 0 ]; then echo "ok $n - $2"; return 0; fi
  failed=$((failed + 1))
  echo "not ok $n - $2"
  [ -z "$3" ] || echo "$3" | sed 's/^/# /'
  return 1
}
ok() {
  local description=$1 status=0; shift
  "$@" >/tmp/said 2>&1 || status=$?
  result $status "$description" "$*: status $status: $(cat /tmp/said)"
}
not_ok() {
  local description=$1 status=0; shift
  "$@" >/tmp/said 2>&1 && status=1
  result $status "$description" "$*: succeeded: $(cat /tmp/said)"
}
is() { if [ "$2" = "$3" ]; then result 0 "$1"; else result 1 "$1" "got: $2"$'\n'"want: $3"; fi; }
like() {
  if echo "$2" | grep -qE -- "$3"; then
    result 0 "$1"
  else
    result 1 "$1" "got: $2"$'\n'"want: /$3/"
  fi
}
must() { ok "$@" || { echo "Bail out! $1"; exit 1; }; }
wait_until() { # SECONDS COMMAND...
  local end=$(($(cut -d. -f1 /proc/uptime) + $1)); shift
  until "$@" >/dev/null 2>&1; do
    [ "$(cut -d. -f1 /proc/uptime)" -lt $end ] || return 1; sleep 0.05
  done
}
done_testing() { echo "1..$n"; [ $failed = 0 ]; }
