#!/bin/bash
# virt-thin - build a libFuzzer target with the address and undefined-behaviour sanitizers, and run
# it for a bounded time
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: run.sh NAME SOURCE...   tests/fuzz/fuzz-NAME.c with SOURCEs (relative to src/); speaks TAP
# The corpus is tests/fuzz/corpus-NAME/, where there is one. $FUZZ_OPTIONS: more options for the
# fuzzer. $FUZZ_CFLAGS, $FUZZ_LIBS: for the compiler. 15 seconds, an hour with $VIRT_THIN_TEST_LONG.
# What is found is printed in base64.
set -u
name=$1; shift
top=${abs_top_srcdir:?} build=${abs_top_builddir:?}
seconds=15
[ -z "${VIRT_THIN_TEST_LONG:-}" ] || seconds=3600
echo 1..2
if ! command -v clang >/dev/null; then
  echo "ok 1 - build $name # SKIP no clang"; echo "ok 2 - run $name # SKIP no clang"
  exit 0
fi
tell=
work=$(mktemp -d) && trap 'rm -rf "$work"; [ -z "$tell" ] || kill "$tell"' EXIT
trap 'exit 143' TERM; trap 'exit 130' INT
cd "$top/src" || exit 1
if clang -g -O1 -std=gnu11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
    -D_GNU_SOURCE '-DG_LOG_DOMAIN="virt-thin"' \
    -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION ${FUZZ_CFLAGS:-} -I. -I"$build" \
    $(pkg-config --cflags glib-2.0 gio-2.0) \
    -include "$top/tests/fuzz/fuzz.h" "$top/tests/fuzz/fuzz-$name.c" "$@" \
    $(pkg-config --libs glib-2.0 gio-2.0) ${FUZZ_LIBS:-} -lz -lm -o "$work/fuzz" 2>"$work/log"; then
  echo "ok 1 - build $name"
else
  sed 's/^/# /' "$work/log"
  echo "not ok 1 - build $name"; echo "not ok 2 - run $name"
  exit 1
fi
mkdir "$work/corpus" "$work/found"
corpus=$top/tests/fuzz/corpus-$name
[ -d "$corpus" ] || corpus=
# libFuzzer's own lines begin with "#", and how many inputs it has tried.
tell_progress() {
  while sleep 10 >/dev/null 2>&1; do
    echo "# $(grep -ao '^#[0-9]*' "$work/log" | tail -n 1 | tr -d '#') inputs and more were tried"
  done
}
[ -z "${VIRT_THIN_TEST_LONG:-}" ] || { tell_progress & tell=$!; }
if G_SLICE=always-malloc "$work/fuzz" -max_total_time=$seconds -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="$work/found/" ${FUZZ_OPTIONS:-} "$work/corpus" \
    $corpus >"$work/log" 2>&1; then
  grep -E 'number_of_executed_units|^Done' "$work/log" | sed 's/^/# /'
  echo "ok 2 - run $name"
else
  grep -aE 'ERROR|SUMMARY' "$work/log" | head -n 20 | sed 's/^/# /'
  tail -n 60 "$work/log" | sed 's/^/# /'
  for f in "$work"/found/*; do [ ! -e "$f" ] || echo "# $(basename "$f"): $(base64 -w0 "$f")"; done
  echo "not ok 2 - run $name"
fi
