#!/bin/bash
# Images from elsewhere, damaged with right checksums, and every command on each: image.c. 10
# seconds with a fresh seed; with $VIRT_THIN_TEST_LONG 50,000 images, and as many again for ten
# minutes with the sanitizers.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
seed=${IMAGE_SEED:-$((RANDOM * 32768 + RANDOM))}
export IMAGE_FOLDER=$tmp/images
mkdir "$IMAGE_FOLDER"
damage() { # BUILD COUNT SECONDS
  "$1/tests/fuzz/image" $seed 0 "$2" "$3" >"$tmp/report" 2>&1; local status=$?
  sed 's/^[^#]/# &/' "$tmp/report"
  return $status
}
report() { # DESCRIPTION BUILD COUNT SECONDS
  local what=$1 status=0; shift
  damage "$@" || status=$?
  tap_result $status "$what"
}
if [ -z "${VIRT_THIN_TEST_LONG-}" ]; then
  plan 1
  report "damaged images (seed $seed)" "$top_builddir" 1000000 10
  exit
fi
plan 3
report "50,000 damaged images (seed $seed)" "$top_builddir" 50000 100000
mkdir "$tmp/build"
ok "build with sanitizers" bash -c "cd '$tmp/build' &&
  '$top_srcdir/configure' --quiet --enable-sanitizers=address,undefined CFLAGS='-g -O1' &&
  make -s src/control/control-info.h && make -s -j$(nproc) tests/fuzz/image"
seed=$((seed + 1))
ASAN_OPTIONS=detect_leaks=0:exitcode=99 UBSAN_OPTIONS=halt_on_error=1:exitcode=99 \
  report "damaged images under sanitizers (seed $seed)" "$tmp/build" 1000000 600
