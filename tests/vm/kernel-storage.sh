#!/bin/bash
# virt-thin - pvesm's commands and the life of a volume on a pool of the kernel's
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
vm_prepare e2label
vm_run -s 2 -m 768 -t 1800 -i "$top_srcdir/tests/integration/cli-lib.sh" -i \
  "$top_srcdir/tests/integration/storage-life.sh" \
  "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-storage.guest" "$(vm_disk d0 1G)"
