#!/bin/bash
# virt-thin - eight processes create, clone, roll back and delete in one volume group of the
# kernel's
# SPDX-License-Identifier: LGPL-2.1-or-later
# VIRT_THIN_TEST_LONG: for two minutes instead of half a one.
. "$(dirname "$0")/vm-lib.sh"
vm_prepare
{
  echo "seconds=${VIRT_THIN_TEST_LONG:+1}${VIRT_THIN_TEST_LONG:+20}"
  cat "$vm_here/kernel-concurrency.guest"
} >"$tmp/script"
vm_run -m 768 -s 2 -t 1200 "$vm_kernel" "$tmp/base.cpio" "$tmp/script" "$(vm_disk d0 1G)"
