#!/bin/bash
# A thin pool becomes full beneath a guest: it pauses (werror=enospc, QEMU's default, and stop), and
# goes on after room was added, with every byte.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/libvirt-lib.sh"
command -v qemu-system-x86_64 >/dev/null || skip_all "needs qemu-system-x86_64"
kernel=$top_builddir/guest-kernel
"$top_srcdir/scripts/guest-kernel" "$kernel" >&2 ||
  skip_all "Debian's cloud kernel cannot be downloaded"
plan 17

# As tests/vm/vmrun starts it: what the script says comes out of the second serial port.
mkdir -p "$tmp/extra/lib/vm"
cat >"$tmp/extra/lib/vm/script" <<'S'
data() {
  openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddee0$1 \
    -iv 0 </dev/zero 2>/dev/null | head -c 200M
}
for disk in a b; do
  echo "WRITE $disk"
  data $disk | dd of=/dev/vd$disk bs=1M oflag=direct iflag=fullblock status=none ||
    echo "ERROR $disk"
  echo "SUM $disk $(data $disk | md5sum | cut -d' ' -f1) $(
      head -c 200M /dev/vd$disk | md5sum | cut -d' ' -f1)"
done
dmesg | grep -iE 'I/O error|blk_update_request' || echo "NO ERRORS"
S
"$top_srcdir/tests/vm/mkinitramfs.sh" "$kernel" "$tmp/base.cpio" openssl md5sum head >&2
{
  cat "$tmp/base.cpio"; (cd "$tmp/extra" && find . | cpio --quiet -o -H newc -R 0:0)
} >"$tmp/initrd"
rm "$tmp/base.cpio"

echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
libvirt_start && thin_pool 200m >/dev/null || {
  echo "Bail out! no pool: $(tail -5 "$log")"; exit 1
}
for volume in vm-100-disk-0 vm-100-disk-1; do virsh vol-create-as thin $volume 256M >/dev/null; done
: >"$tmp/serial"
disk() {
  echo "<disk type='volume' device='disk'>" \
    "<driver name='qemu' type='raw' cache='none' io='native' $3/>" \
    "<source pool='thin' volume='$1'/><target dev='$2' bus='virtio'/></disk>"
}
cat >"$tmp/guest.xml" <<END
<domain type='qemu'><name>full</name><memory unit='MiB'>768</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>$kernel/vmlinuz</kernel><initrd>$tmp/initrd</initrd><cmdline>\
console=ttyS0 quiet panic=-1 rdinit=/init mitigations=off tsc=reliable no_timer_check</cmdline></os>
  <cpu mode='maximum'/><on_reboot>destroy</on_reboot>
  <devices>$(disk vm-100-disk-0 vda '')$(disk vm-100-disk-1 vdb "error_policy='stop'")
    <serial type='file'><source path='$tmp/console'/><target port='0'/></serial>
    <serial type='file'><source path='$tmp/serial'/><target port='1'/></serial>
    <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>
END
state() { virsh domstate full --reason; }
is_paused() { [ "$(state)" = "paused (I/O error)" ]; }
said() { tr -d '\r' <"$tmp/serial" | grep -E "$1"; }

ok "a guest on two volumes larger than their pool" virsh create "$tmp/guest.xml"
at_exit 'cat "$tmp/console" "$tmp/serial" >&2'
for disk in a b; do
  if [ $disk = a ]; then policy=enospc; else policy=stop; fi
  ok "$policy: the guest is paused when the pool is full" wait_until 120 is_paused
  ok "$policy: while it writes to that disk" said "WRITE $disk"
  like "$policy: virsh names the disk" "$(virsh domblkerror full)" "vd$disk: no space"
  like "$policy: the log tells of the pool" \
    "$(cat "$VIRT_THIN_RUNTIME_DIR/$vg/log")" "thin pool $vg/data: [0-9]+ % of its data is in use"
  truncate -s 240M "$tmp/more-$disk"
  ok "$policy: room is added" sh -c \
    "'$VIRT_THIN_PROGRAM' extend $vg '$tmp/more-$disk' &&
      '$VIRT_THIN_PROGRAM' resize $vg/data +200m"
  ok "$policy: the guest goes on" virsh resume full
  ok "$policy: to the end" wait_until 180 said "^SUM $disk"
done
is "what it wrote is what it reads" "$(said '^SUM' | awk '{print $2, $3 == $4}' | xargs)" "a 1 b 1"
ok "and it saw no error" wait_until 60 said "NO ERRORS"
