# virt-thin - what the tests of the program share: a private instance, and helpers
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it after lib.sh. $state is the state folder of an instance of this test's own; services
# that a test started are ended at exit.

export VIRT_THIN_STATE_DIR=$tmp/state VIRT_THIN_RUNTIME_DIR=$tmp/run VIRT_THIN_DEV_DIR=$tmp/dev \
  VIRT_THIN_CONFIG=$tmp/virt-thin.conf VIRT_THIN_UNIT_DIR=$tmp/units
export VIRT_THIN_PROGRAM=$top_builddir/virt-thin
state=$VIRT_THIN_STATE_DIR
mkdir -p "$state" "$VIRT_THIN_RUNTIME_DIR" "$VIRT_THIN_DEV_DIR"
: > "$VIRT_THIN_CONFIG"
fixtures=$top_srcdir/tests/fixtures/pools

vt() { "$VIRT_THIN_PROGRAM" "$@"; }

stop_services() {
  local vg
  for vg in "$VIRT_THIN_RUNTIME_DIR"/*/; do
    [ -e "$vg/lock" ] && timeout 30 "$VIRT_THIN_PROGRAM" stop "$(basename "$vg")" --force
  done 2>/dev/null
  return 0
}
at_exit stop_services

can_serve() { [ "$(id -u)" = 0 ] && [ -e /dev/fuse ]; }

# The status of a command; what it said goes to $out and $err.
out= err=
run() {
  local status=0
  "$@" >"$tmp/.out" 2>"$tmp/.err" || status=$?
  out=$(tr -d '\0' <"$tmp/.out") err=$(cat "$tmp/.err")
  return $status
}
# refused DESCRIPTION STATUS REGEX COMMAND...: fails with that status, and a message that matches.
refused() {
  local description=$1 want=$2 regex=$3 got=0; shift 3
  run "$@" || got=$?
  if [ "$got" != "$want" ]; then tap_result 1 "$description" "$*: status $got, not $want: $out $err"
  elif ! grep -qE -- "$regex" <<<"$err"; then
    tap_result 1 "$description" "$*: said: $err"$'\n'"want: /$regex/"
  else tap_result 0 "$description"; fi
}
md5() { md5sum < "${1:-/dev/stdin}" | cut -d' ' -f1; }
# What is in files, whatever of it is allocated: their holes are not read, zeros count as such.
sparse_md5() {
  python3 - "$@" <<'PYTHON'
import hashlib, os, sys
digest = hashlib.md5()
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDONLY)
    end, at = os.fstat(fd).st_size, 0
    digest.update(b"%d\n" % end)
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        for at in range(at & -4096, os.lseek(fd, at, os.SEEK_HOLE), 4096):
            block = os.pread(fd, 4096, at)
            if block.strip(b"\0"):
                digest.update(b"%d " % at + block)
        at += 4096
print(digest.hexdigest())
PYTHON
}
export_md5() { vt "$@" - | md5; } # export_md5 [--device …] export VG/LV
blocks() { echo $(($(stat -c %b "$1") / 2)); } # KiB that a file takes
field() { # JSON on standard input; a Python expression over d
  python3 -c 'import json, sys; d = json.load(sys.stdin); v = eval(sys.argv[1])
print("null" if v is None else str(v).lower() if isinstance(v, bool) else v)' \
    "$1"
}
volume() {
  vt list --json "${1%%/*}" | field "[v for v in d['volumes'] if v['name'] == '${1#*/}'][0]['$2']"
}
names() { vt list --json "$1" | field "' '.join(sorted(v['name'] for v in d['volumes']))"; }
valid() {
  python3 "$top_srcdir/tests/integration/validate-json" "$top_srcdir/schemas/$1.schema.json"
}
