#!/bin/bash
# virt-thin - the power goes while one of the two, the bundled engine or the kernel, works on a
# pool; the other goes on with it
# SPDX-License-Identifier: LGPL-2.1-or-later
# VIRT_THIN_TEST_LONG: 10 rounds instead of 1. SEED: what the rounds are made from.
. "$(dirname "$0")/vm-lib.sh"
vm_prepare fallocate blkdiscard
rounds=1
[ -z "${VIRT_THIN_TEST_LONG-}" ] || rounds=10
plan $((1 + rounds * 6))
RANDOM=${SEED:-1}
disk=$(vm_disk d0 1G)

# What is in volumes that nobody changes any more is known when the power goes: lines "SUM name
# md5".
boot() { # WHAT IT DOES [OPTION...]: what it says is in $tmp/said
  { echo "seed=$RANDOM what='$1'"; cat "$vm_here/power-cut.guest"; } >"$tmp/script"
  shift
  "$vm_here/vmrun" -m 768 -t 1200 -c "$tmp/console" -i "$vm_here/guest-lib.sh" \
    -i "$vm_here/guest-changes.sh" -i "$tmp/sums" "$@" "$vm_kernel" "$tmp/base.cpio" "$tmp/script" \
    "$disk" >"$tmp/said" 2>&1
}
boot_and_cut() { # WHAT
  boot "$1" -k '^GOING ON' -w $((RANDOM % 5 + 1))
  sed -n 's/^SUM //p' "$tmp/said" >"$tmp/sums"
  grep -q '^GOING ON' "$tmp/said" && [ -s "$tmp/sums" ] || {
    cat "$tmp/said"; tail -n 20 "$tmp/console"; return 1
  }
}
boot_and_judge() { boot "$1" || { cat "$tmp/said"; tail -n 20 "$tmp/console"; return 1; }; }

: >"$tmp/sums"
ok "the bundled engine makes a volume group" boot_and_judge make
for ((round = 1; round <= rounds; round++)); do
  ok "round $round: the power goes while the bundled engine works" boot_and_cut "bundled work"
  ok "the kernel finds what was flushed, and lvm2 and thin_check are content" \
    boot_and_judge "kernel look"
  ok "the power goes while the kernel works" boot_and_cut "kernel work"
  ok "the bundled engine finds what was flushed, and lvm2 and thin_check are content" \
    boot_and_judge "bundled look"
  ok "the power goes while the bundled engine works" boot_and_cut "bundled work"
  ok "it goes on itself" boot_and_judge "bundled look"
done
