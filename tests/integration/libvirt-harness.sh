#!/bin/bash
# The storage backend in a process of its own: what sanitizers watch (configure
# --enable-sanitizers=address,undefined).
. "$(dirname "$0")/libvirt-lib.sh"
driver=$(dirname "$stock_backends")/connection-driver/libvirt_driver_storage.so
[ -f "$driver" ] || skip_all "needs libvirt's storage driver"

echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
"$VIRT_THIN_PROGRAM" init "$vg/data" --size 256m
truncate -s 8M "$tmp/image.raw"
dd if=/dev/urandom of="$tmp/image.raw" bs=1M count=1 seek=2 conv=notrunc status=none
timeout 50 "$top_builddir/tests/integration/libvirt-harness" "$modules/virt-thin-backend.so" \
  "$stock_backends/libvirt_storage_backend_logical.so" "$driver" \
  "$vg/data" "$tmp"
status=$?
[ $status = 0 ] || [ $status = 1 ] || echo "Bail out! the harness ended with status $status"
