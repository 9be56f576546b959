#!/bin/bash
# virt-thin - what libvirt's tests ask of the bundled engine (tests/integration/libvirt-*.sh), asked
# by the same scripts of the kernel's pools: with Debian's kernel, udev, lvm2, libvirt and virtinst
# SPDX-License-Identifier: LGPL-2.1-or-later
# VIRT_THIN_TEST_LONG: all of them, which takes an emulated machine most of an hour. TESTS_OF_SUITE:
# these.
. "$(dirname "$0")/vm-lib.sh"
vm_prepare_root
tests="${TESTS_OF_SUITE:-libvirt-pool}" limit=1800
if [ -n "${VIRT_THIN_TEST_LONG-}" ]; then
  tests="libvirt-volume libvirt-pool libvirt-data libvirt-sparse libvirt-thick libvirt-clients"
  limit=9000
fi
{ echo "tests='$tests'"; cat "$vm_here/kernel-suite.guest"; } >"$tmp/script"
# The tests' own files, and for a build folder one that leads to what is installed.
source=$tmp/root/usr/src/virt-thin
mkdir -p "$source/tests" "$source/build/src/libvirt"
cp -r "$top_srcdir"/{scripts,xml} "$source/" &&
  cp -r "$top_srcdir/tests/integration" "$source/tests/"
ln -s /usr/bin/virt-thin "$source/build/"
backend=$(find "$tmp/root" -name virt-thin-backend.so -printf '/%P')
ln -s "${backend%/*}" "$source/build/src/libvirt/.libs"
vm_run_root -m 1536 -s 2 -t $limit "$vm_kernel" "$tmp/base.cpio" "$tmp/script"
