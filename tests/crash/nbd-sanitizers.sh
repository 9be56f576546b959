#!/bin/bash
# virt-thin - the NBD server under the sanitizers: its tests, and real clients that load it and are
# killed
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds the server and its tests twice, under TSan and under ASan and UBSan, in a temporary folder.
# One suppression: glibc's tzset(), which GLib's log calls for the time, has a lock of its own that
# TSan does not see.
. "$(dirname "$0")/../integration/lib.sh"
tests=(handshake requests since clients)
plan $((2 * (${#tests[@]} + 2)))
src=$top_srcdir
cflags="-std=gnu11 -D_GNU_SOURCE -DG_LOG_DOMAIN=\"virt-thin\" -O1 -g -fno-omit-frame-pointer
  -pthread -I$src/src -I$top_builddir -I$src/tests/unit
  $(pkg-config --cflags glib-2.0 gio-unix-2.0 cmocka)"
libs="$(pkg-config --libs glib-2.0 gio-unix-2.0 cmocka) -lm"
sources=("$src"/src/service/nbd/*.c
  "$src"/src/control/control-socket.c "$src"/src/pool/{pool,snapshots}.c
  "$src"/src/util/{error,io,latency,proc,size}.c "$src"/tests/unit/{memory-pool,nbd-client}.c)
echo 'race:tzset_internal' >"$tmp/suppressions"
export G_SLICE=always-malloc TSAN_OPTIONS=halt_on_error=1:exitcode=66:suppressions=$tmp/suppressions \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 \
  CMOCKA_MESSAGE_OUTPUT=TAP

build() { # NAME SANITIZERS
  mkdir "$tmp/$1"
  (
    cd "$tmp/$1" &&
      printf '%s\n' "${sources[@]}" | xargs -P 2 -n 5 ${CC:-gcc} $cflags -fsanitize="$2" -c
  ) || return
  local test
  for test in "${tests[@]/#/unit/test-nbd-}" integration/nbd-serve; do
    ${CC:-gcc} $cflags -fsanitize="$2" "$src/tests/$test.c" "$tmp/$1"/*.o $libs \
      -o "$tmp/$1/${test##*/}" || return
  done
}
# Two clients verify, others come and are killed; then the server ends with clients connected.
load() { # NAME
  local sock=$tmp/$1/nbd i victim server a b status=0
  # ends with an error if a sanitizer had to say something
  "$tmp/$1/nbd-serve" "$sock" memory a=16m b=16m c=64m & server=$!
  at_exit "kill -KILL $server 2>/dev/null"
  wait_until 20 test -S "$sock" || return
  verify() {
    exec timeout 30 fio --name=v --ioengine=nbd --uri="nbd+unix:///$1?socket=$sock" --rw=randrw \
      --bsrange=512-64k --iodepth=32 --size=16m --verify=crc32c --verify_backlog=64 \
      --verify_fatal=1 --verify_state_save=0 --time_based --runtime=3 --minimal; }
  (verify a) & a=$!
  (verify b) & b=$!
  for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    if [ $((i % 2)) = 0 ]; then
      nbdcopy --connections=4 "nbd+unix:///c?socket=$sock" null: &
    else
      (
        exec qemu-io -f raw -c 'write -P 1 0 32m' -c 'read 0 32m' -c 'write -z 0 64m' \
          -c 'discard 0 64m' "nbd+unix:///c?socket=$sock"
      ) &
    fi
    victim=$!
    sleep 0.0$((RANDOM % 90 + 10))
    kill -KILL $victim 2>/dev/null
    wait $victim 2>/dev/null
  done
  wait $a || status=1
  wait $b || status=1
  [ $status = 0 ] || return $status
  nbdcopy "nbd+unix:///c?socket=$sock" null: & victim=$!
  kill -TERM $server
  wait $server || status=$?
  kill -KILL $victim 2>/dev/null
  wait $victim 2>/dev/null
  return $status
}

for pair in thread:thread address:address,undefined; do
  name=${pair%%:*} sanitizers=${pair#*:}
  ok "build under $sanitizers" build "$name" "$sanitizers"
  for test in "${tests[@]}"; do
    ok "test-nbd-$test under $sanitizers" timeout 300 "$tmp/$name/test-nbd-$test"
  done
  if command -v fio >/dev/null && command -v nbdcopy >/dev/null &&
      command -v qemu-io >/dev/null; then
    ok "real clients under $sanitizers" load "$name"
  else
    skip 1 "fio, nbdcopy or qemu-io is not installed"
  fi
done
