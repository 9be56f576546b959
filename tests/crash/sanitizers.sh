#!/bin/bash
# virt-thin - the engine's tests under the sanitizers: threads under TSan, everything else under
# ASan and UBSan
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds util, the engine and its tests once for each, in a temporary folder. No suppressions.
# TSan's deadlock detector alone is off: it gives up at 64 locks held by one thread, which quiescing
# two volumes exceeds; the order of locks is in src/thin/pool-private.h.
# GLib before 2.76 hands memory from thread to thread by its slices, under locks that TSan does not
# know: malloc() takes their place.
set -euo pipefail
src=${abs_top_srcdir:-$(cd "$(dirname "$0")/../.." && pwd)} build=${abs_top_builddir:-$src/build}
work=$(mktemp -d "${TMPDIR:-/tmp}/sanitizers.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

cflags="-std=gnu11 -D_GNU_SOURCE -DG_LOG_DOMAIN=\"virt-thin\" -O1 -g -fno-omit-frame-pointer
  -pthread -I$src/src -I$build -I$src/tests/unit -I$src/tests/crash
  $(pkg-config --cflags glib-2.0 gio-2.0 cmocka)"
libs="$(pkg-config --libs glib-2.0 gio-2.0 cmocka zlib) -lm"
n=0 failed=0
ok() { n=$((n + 1)); echo "ok $n - $1"; }
not_ok() { n=$((n + 1)); failed=1; echo "not ok $n - $1"; sed 's/^/# /' "$work/log"; }

# Build the library's objects: $1 a name, $2 the sanitizers.
objects() {
  mkdir "$work/$1"
  printf '%s\n' "$src"/src/util/*.c "$src"/src/thin/{,format/,metadata/}*.c \
    "$src"/tests/unit/thin-harness.c "$src"/tests/crash/scenario.c |
    (cd "$work/$1" && xargs -P 2 -n 4 ${CC:-gcc} $cflags -fsanitize="$2" -c) 2>"$work/log" ||
    { cat "$work/log"; exit 1; }
}
# Build and run a test: $1 and $2 as above, $3 its source.
run() {
  local name
  name=$(basename "$3" .c)
  if ${CC:-gcc} $cflags -fsanitize="$2" "$src/$3" "$work/$1"/*.o $libs -o "$work/$1/$name" \
      > "$work/log" 2>&1 &&
        CMOCKA_MESSAGE_OUTPUT=TAP "$work/$1/$name" > "$work/log" 2>&1; then
    ok "$name under $2"
  else
    not_ok "$name under $2"
  fi
}

export G_SLICE=always-malloc TSAN_OPTIONS=detect_deadlocks=0:halt_on_error=1:exitcode=66 \
  UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1
tests=(tests/crash/concurrency.c tests/crash/io-failures.c tests/unit/test-thin-volume.c
  tests/unit/test-thin-space.c)
echo "1..$((${#tests[@]} + 1))"
objects tsan thread
run tsan thread tests/crash/concurrency.c
objects asan address,undefined
for test in "${tests[@]}"; do run asan address,undefined "$test"; done
exit $failed
