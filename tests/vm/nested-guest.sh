#!/bin/bash
# virt-thin - a guest of libvirt boots from the block node of a volume, on either engine, by the
# same document
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
for program in as ld; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
vm_prepare_root
as --32 -o "$tmp/counter.o" "$vm_here/counter.S" &&
  ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$tmp/counter.bin" "$tmp/counter.o" ||
  { echo "Bail out! no boot sector"; exit 1; }
vm_run_root -m 1280 -s 2 -t 1200 -i "$tmp/counter.bin" "$vm_kernel" "$tmp/base.cpio" \
  "$vm_here/nested-guest.guest" "$(vm_disk d0 256M)"
