#!/bin/bash
# virt-thin - send and receive between pools of the kernel's and of the bundled engine's
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
vm_prepare
vm_run -m 768 -t 1800 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-send.guest" \
  "$(vm_disk d0 600M)" "$(vm_disk d1 600M)"
