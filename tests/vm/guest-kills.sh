#!/bin/bash
# A guest verifies its disk, a volume's block node, while the engine beneath is killed again and
# again: it sees no I/O error and no wrong byte. VIRT_THIN_TEST_LONG: 100 kills instead of 15.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
for program in qemu-system-x86_64 fio; do
  command -v $program >/dev/null || skip_all "needs $program"
done
"$top_srcdir/scripts/guest-kernel" "$top_builddir/guest-kernel" >&2 ||
  skip_all "Debian's cloud kernel cannot be downloaded"
service_instance thin-service
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
kills=15
[ -z "${VIRT_THIN_TEST_LONG-}" ] || kills=100
plan 5

ok "a volume group, served" make_group 1g vm-1=128m
ok "the guest's files" \
  "$top_srcdir/tests/vm/mkinitramfs.sh" "$top_builddir/guest-kernel" "$tmp/base.cpio" fio
cat >"$tmp/script" <<END
echo GUEST READY
fio --name=guest --filename=/run/disk/d0 --ioengine=libaio --direct=1 --iodepth=16 --rw=randrw \
  --bsrange=4k-64k --bs_unaligned=0 --size=128m --verify=crc32c --verify_fatal=1 \
  --verify_backlog=500 --verify_state_save=0 --fsync=100 --time_based --runtime=$((kills)) \
  --minimal >/run/fio 2>&1
status=\$?
[ \$status = 0 ] || cat /run/fio
dmesg | grep -iE 'I/O error|blk_update_request' && status=1
exit \$status
END
run_guest() {
  "$top_srcdir/tests/vm/vmrun" -d -m 512 -t $((kills * 3 + 120)) "$top_builddir/guest-kernel" \
    "$tmp/base.cpio" "$tmp/script" "$(readlink -f "$nodes/vm-1")" >"$tmp/said" 2>&1
}
run_guest & guest=$!
killed=0
wait_until 60 grep -q 'GUEST READY' "$tmp/said"
while [ $killed -lt $kills ] && kill -0 $guest 2>/dev/null; do
  sleep 0.7
  kill_engine && killed=$((killed + 1))
  progress "$killed of $kills engines are killed"
done
status=0; wait $guest || status=$?
is "the guest saw no I/O error and no wrong byte" \
  "$status: $(grep -v '^VM_\|GUEST READY' "$tmp/said" | tail -n 20)" "0: "
is "while its engine was killed this often" $killed $kills
ok "strangers find the volume group well" \
  sh -c "'$service' stop $vg && '$top_srcdir/scripts/judge' --quiet '$pv'"
