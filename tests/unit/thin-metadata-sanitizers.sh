#!/bin/bash
# virt-thin - the tests of the thin metadata under the address and undefined-behaviour sanitizers
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
top=${abs_top_srcdir:?} build=${abs_top_builddir:?}
tests=(metadata check faults mend)
[ -z "${VIRT_THIN_TEST_LONG:-}" ] || tests+=(btree model roots)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
trap 'exit 143' TERM; trap 'exit 130' INT
cflags="-std=gnu11 -D_GNU_SOURCE -DG_LOG_DOMAIN=\"virt-thin\" -O1 -g -fno-omit-frame-pointer
  -fsanitize=address,undefined
  -I$top/src -I$build -I$top/tests/unit $(pkg-config --cflags glib-2.0 gio-2.0 cmocka)"
libs="$(pkg-config --libs glib-2.0 gio-2.0 cmocka zlib) -lm"

echo "1..${#tests[@]}"
objects=$(cd "$top" &&
  printf '%s\n' src/util/*.c src/thin/format/*.c \
    src/thin/metadata/*.c src/thin/rebuild/roots*.c \
    tests/unit/thin-helper.c)
for test in "${tests[@]}"; do objects="$objects tests/unit/test-thin-$test.c"; done
if ! printf "$top/%s\n" $objects |
    (cd "$work" && xargs -P 2 -n 4 ${CC:-gcc} $cflags -c) 2>"$work/log"; then
  sed 's/^/# /' "$work/log"
  for test in "${tests[@]}"; do echo "not ok - build test-thin-$test"; done
  exit 1
fi
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1 \
  CMOCKA_MESSAGE_OUTPUT=TAP
mkdir "$work/tests" && mv "$work"/test-thin-*.o "$work/tests"
for test in "${tests[@]}"; do
  if ${CC:-gcc} $cflags "$work/tests/test-thin-$test.o" "$work"/*.o $libs -o "$work/test" \
      >"$work/log" 2>&1 && "$work/test" >"$work/log" 2>&1; then
    echo "ok - test-thin-$test under the sanitizers"
  else
    sed 's/^/# /' "$work/log"
    echo "not ok - test-thin-$test under the sanitizers"
  fi
done
