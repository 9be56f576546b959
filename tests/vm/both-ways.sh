#!/bin/bash
# virt-thin - one pool, by turns the bundled engine's and the kernel's: each finds every byte as the
# other left it
# SPDX-License-Identifier: LGPL-2.1-or-later
# VIRT_THIN_TEST_LONG: 20 rounds instead of 3. SEED: what the rounds are made from.
. "$(dirname "$0")/vm-lib.sh"
vm_prepare fallocate blkdiscard losetup sfdisk
rounds=3
[ -z "${VIRT_THIN_TEST_LONG-}" ] || rounds=20
{ echo "rounds=$rounds seed=${SEED:-1}"; cat "$vm_here/both-ways.guest"; } >"$tmp/script"
vm_run -m 1024 -t $((rounds * 600)) "$vm_kernel" "$tmp/base.cpio" "$tmp/script" "$(vm_disk d0 1G)"
