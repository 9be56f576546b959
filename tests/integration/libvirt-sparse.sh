#!/bin/bash
# What QEMU learns of a volume's holes, by each way in which a domain can have it for a disk, and
# what keeps a copy thin where it learns nothing: what docs/libvirt.md says of it, line by line.
. "$(dirname "$0")/libvirt-lib.sh"
for program in qemu-system-x86_64 qemu-img; do
  command -v $program >/dev/null || skip_all "needs $program"
done
plan 23

libvirt_start && thin_pool 1g >/dev/null || { echo "Bail out! no pool: $(tail -5 "$log")"; exit 1; }
# 256 MiB, of which 20 hold something; and the same as a file whose zeros are written.
virsh vol-create-as thin disk 256M >/dev/null
dd if=/dev/urandom of="/dev/$vg/disk" bs=1M count=20 oflag=direct status=none
content=$(md5sum <"/dev/$vg/disk")
cp --sparse=never "/dev/$vg/disk" "$tmp/image"
chmod 755 "$tmp"
mkdir -m 777 "$tmp/backup"

with() { # DISK-TYPE SOURCE: start the guest of xml/domain-block.xml with that for a disk
  virsh create <(sed "s|<name>.*|<name>guest</name>|; s|'MiB'>256|'MiB'>64|
    s|<disk type='block'|<disk type='$1'|
    s|<source dev=.*|$2|; $([ "$1" != network ] || echo "s|io='native' ||")" \
    "$top_srcdir/xml/domain-block.xml")
}
is_over() { virsh domjobinfo guest | grep -q 'Job type: *None'; }
backup() { # DISK: a full one to that
  virsh backup-begin guest <(echo "<domainbackup><disks>$1</disks></domainbackup>") &&
    wait_until 60 is_over
}
backup_file() {
  backup "<disk name='vda' type='file'><driver type='qcow2'/><target file='$1'/></disk>"
}
size() { du -m "$1" | cut -f1; }
is_small() { [ "$(size "$1")" -le 24 ]; }
mapped() { virsh vol-info "$1" thin --bytes | sed -n 's/^Allocation: *\([0-9]*\).*/\1/p'; }
small=$((20 * 1048576))
fresh() {
  virsh vol-delete copy thin 2>/dev/null
  virsh vol-create-as thin copy 256M
} >&2

takes_what_is_written() { # what has been written to "copy": all of the disk, zeros and all
  if has_service; then
    is "takes what the disk takes" "$(mapped copy)" $small
  else
    is "the kernel maps what is written" "$(mapped copy)" $((256 << 20))
  fi
}

# --- what tells of holes ---
ok "a guest on the block node" with block "<source dev='/dev/$vg/disk'/>"
ok "a backup of it" backup_file "$tmp/backup/block"
ok "has all of it, holes too" test "$(size "$tmp/backup/block")" -ge 256

# --- what keeps a copy thin all the same ---
fresh
ok "blockcopy to a volume" virsh blockcopy guest vda --dest "/dev/$vg/copy" --blockdev \
  --format raw --reuse-external --transient-job --wait --finish
takes_what_is_written
is "and is the same" "$(md5sum <"/dev/$vg/copy")" "$content"
fresh
ok "a backup to a volume" backup \
  "<disk name='vda' type='block'><driver type='raw'/><target dev='/dev/$vg/copy'/></disk>"
takes_what_is_written
# The guest of the document writes zeros: also over data they are a discard.
before=$(mapped disk)
virsh qemu-monitor-command guest --hmp \
  'qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend "write -P 0 16M 100M"' >&2
is_thinner() { [ "$(mapped disk)" = $((before - (4 << 20))) ]; }
ok "zeros that a guest writes give back what they cover" wait_until 10 is_thinner
virsh destroy guest >&2
ok "a conversion" qemu-img convert -O qcow2 "$tmp/backup/block" "$tmp/backup/small"
ok "leaves out what a backup has of holes" is_small "$tmp/backup/small"
fresh
ok "dd conv=sparse" dd if="$tmp/image" of="/dev/$vg/copy" bs=64k conv=sparse,fsync
is "takes what the disk takes" "$(mapped copy)" $small
virsh vol-delete copy thin >&2
ok "virt-thin import" "$VIRT_THIN_PROGRAM" import --format raw "$tmp/image" "$vg/copy"
virsh pool-refresh thin >&2
is "takes what the disk takes" "$(mapped copy)" $small
fresh
ok "vol-upload" virsh vol-upload copy "$tmp/image" thin
is "takes what the disk takes" "$(mapped copy)" $small

# --- the views that tell ---
if has_service; then
  ok "a guest on the volume's file" \
    with file "<source file='$VIRT_THIN_RUNTIME_DIR/$vg/volumes/disk'/>"
  ok "a backup of it" backup_file "$tmp/backup/file"
  ok "is small" is_small "$tmp/backup/file"
  virsh destroy guest >&2
  ok "a guest on the volume's NBD export" with network "<source protocol='nbd' name='disk'>\
<host transport='unix' socket='$VIRT_THIN_RUNTIME_DIR/$vg/nbd'/></source>"
  ok "a backup of it" backup_file "$tmp/backup/nbd"
  virsh destroy guest >&2
  ok "is small" is_small "$tmp/backup/nbd"
else
  without_service 6
fi
