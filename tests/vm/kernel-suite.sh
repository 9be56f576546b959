#!/bin/bash
# virt-thin - what libvirt's tests ask of the bundled engine (tests/integration/libvirt-*.sh), asked by the same scripts of the kernel's pools: with Debian's kernel, udev, lvm2,
# libvirt and virtinst
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/vm-lib.sh"
vm_prepare_root
# The tests' own files, and for a build folder one that leads to what is installed.
source=$tmp/root/usr/src/virt-thin
mkdir -p "$source/tests" "$source/build/src/libvirt"
cp -r "$top_srcdir"/{scripts,xml} "$source/" && cp -r "$top_srcdir/tests/integration" "$source/tests/"
ln -s /usr/sbin/virt-thin "$source/build/"
backend=$(find "$tmp/root" -name virt-thin-backend.so -printf '/%P')
ln -s "${backend%/*}" "$source/build/src/libvirt/.libs"
vm_run_root -m 1536 -s 2 -t 1800 "$vm_kernel" "$tmp/base.cpio" "$vm_here/kernel-suite.guest"
