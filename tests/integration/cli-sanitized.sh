#!/bin/bash
# virt-thin - the program's own tests again, built with AddressSanitizer, UndefinedBehaviorSanitizer
# and LeakSanitizer (long form only)
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
[ -n "${VIRT_THIN_TEST_LONG:-}" ] || skip_all "compiles everything again: long form only"

tests="cli-usage cli-volumes cli-served cli-images cli-bad-input cli-fixtures cli-backup
  cli-backup-faults cli-storage-check
  cli-storage cli-storage-folder cli-storage-folder-stream"
build=$tmp/build
mkdir "$build"
(
  cd "$build" &&
    "$top_srcdir/configure" --quiet --enable-sanitizers=address,undefined CFLAGS='-g -O1' &&
  make -s src/control/control-info.h && make -s -j"$(nproc)" virt-thin) >"$tmp/build.log" 2>&1 ||
  { plan 1; tap_result 1 "build" "$(tail -n 20 "$tmp/build.log")"; exit 0; }
plan $((2 * $(wc -w <<<"$tests")))
# What the sanitizers say goes to files, so that no test takes it for a message of the program.
export ASAN_OPTIONS=log_path=$tmp/report:detect_leaks=1:exitcode=99 \
  UBSAN_OPTIONS=log_path=$tmp/report:print_stacktrace=1:halt_on_error=1
for test in $tests; do
  abs_top_builddir=$build bash "$top_srcdir/tests/integration/$test.sh" >"$tmp/$test.log" 2>&1 ||
    true
  is "$test: passes" \
    "$(grep -E '^not ok|^1\.\.0' "$tmp/$test.log"; grep -cE '^ok' "$tmp/$test.log")" \
    "$(sed -n 's/^1\.\.//p' "$tmp/$test.log")"
  is "$test: no report" "$(cat "$tmp"/report.* 2>/dev/null | head -n 60; rm -f "$tmp"/report.*)" ""
done
