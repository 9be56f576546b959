#!/bin/bash
# What moves data: build from other pools and formats, upload, download, wipe. Holes stay holes, and
# what is not in the range stays.
. "$(dirname "$0")/libvirt-lib.sh"
[ ${#sanitizer[@]} = 0 ] ||
  skip_all "qemu-img, as libvirtd's child, does not run with a preloaded AddressSanitizer"
plan 72

libvirt_start && thin_pool 1g >/dev/null || { echo "Bail out! no pool: $(tail -5 "$log")"; exit 1; }
mkdir "$tmp/dir"
virsh pool-define-as dir dir --target "$tmp/dir" >/dev/null && virsh pool-start dir >/dev/null
MiB=$((1024 * 1024))
bytes() { virsh vol-info "$1" thin --bytes | sed -n "s/^$2: *\([0-9]*\).*/\1/p"; }
sum() { md5sum <"$(virsh vol-path "$1" --pool thin)"; }
# The first BYTES of a volume.
head_sum() { head -c "$2" "$(virsh vol-path "$1" --pool thin)" | md5sum; }
reads_zero() { cmp -n "$(bytes "$1" Capacity)" "$(virsh vol-path "$1" --pool thin)" /dev/zero; }

# 200 MiB with 10 MiB at 30 and 3 MiB at 150.
image=$tmp/dir/image.raw
truncate -s 200M "$image"
dd if=/dev/urandom of="$image" bs=1M count=10 seek=30 conv=notrunc status=none
dd if=/dev/urandom of="$image" bs=1M count=3 seek=150 conv=notrunc status=none
image_sum=$(md5sum <"$image")
qemu-img convert -f raw -O qcow2 "$image" "$tmp/dir/image.qcow2"
qemu-img convert -f raw -O vmdk "$image" "$tmp/dir/image.vmdk"
qemu-img create -q -f qcow2 -F qcow2 -b "$tmp/dir/image.qcow2" "$tmp/dir/overlay.qcow2"
dd if=/dev/zero of="$tmp/dir/zeros.raw" bs=1M count=64 status=none
# Disks whose guests have written the header of an image.
qemu-img create -q -u -f qcow2 -F raw -b /etc/passwd "$tmp/header" 4M
truncate -s 4M "$tmp/header"
cp "$tmp/header" "$tmp/dir/guest.img"; cp "$tmp/header" "$tmp/dir/disk.raw"
truncate -s 4M "$tmp/dir/cd.iso"
printf CD001 | dd of="$tmp/dir/cd.iso" bs=1 seek=32769 conv=notrunc status=none
(cd "$tmp/dir" && qemu-img create -q -f qcow2 -o data_file=data.bin,data_file_raw=on data.qcow2 4M)
virsh pool-refresh dir >/dev/null

# --- from other pools ---
# create-from SOURCE NAME [CAPACITY]
from() {
  echo "<volume><name>$2</name><capacity>${3:-1}</capacity></volume>" >"$tmp/vol.xml"; shift 2
  virsh vol-create-from thin "$tmp/vol.xml" "$source" --inputpool dir "${@:2}"
}
for source in image.raw image.qcow2 image.vmdk; do
  ok "from $source" from "$source" "from-$source"
  is "has the content" "$(sum "from-$source")" "$image_sum"
  is "and its holes" "$(bytes "from-$source" Allocation)" $((13 * MiB))
done
like "as which format is in libvirtd's log" "$(cat "$log")" \
  "$tmp/dir/image.qcow2 is copied as an image in format qcow2, as which libvirt has recognised it"
# What an image refers to is not followed: libvirt takes any file for one that begins so, and a
# guest's disk may.
refers() { refused_from "$1" "refers to another file, $2: .* --format raw; .* --follow-backing"; }
refused_from() { # SOURCE REGEX
  source=$1
  like "from $1: refused" "$(from "$1" foreign 2>&1)" "$2"
  not_ok "and leaves nothing" test -e "/dev/$vg/foreign"
}
refers overlay.qcow2 'an image that it is based on'
refers guest.img 'an image that it is based on'
refers data.qcow2 'an external data file'
refused_from disk.raw 'is named as the content of a disk and looks like an image in format qcow2'
source=cd.iso
ok "from an iso, which is raw" from cd.iso from-iso
is "has the content" "$(sum from-iso)" "$(md5sum <"$tmp/dir/cd.iso")"
virsh vol-delete from-iso thin >/dev/null
# With the document that libvirt has of it, whose backing store is in its own pool.
virsh vol-dumpxml overlay.qcow2 dir | sed 's/overlay.qcow2</from-document</' >"$tmp/overlay.xml"
backing=$(xmllint --xpath 'string(/volume/backingStore/path)' "$tmp/overlay.xml")
is "an overlay's document has a backing store" "$backing" "$tmp/dir/image.qcow2"
like "which is refused where there is nothing to copy" \
  "$(sed 's/from-document</nothing</' "$tmp/overlay.xml" >"$tmp/n.xml"
    virsh vol-create thin "$tmp/n.xml" 2>&1)" \
  "not in volume group $vg"
not_ok "and leaves nothing" test -e "/dev/$vg/nothing"
source=zeros.raw
ok "from a file of written zeros" from zeros.raw zeros
is "takes nothing" "$(bytes zeros Allocation)" 0
source=image.raw
ok "into a larger volume" from image.raw larger $((300 * MiB))
is "has the content at its beginning" "$(head_sum larger $((200 * MiB)))" "$image_sum"
like "--reflink from another pool is refused" "$(from image.raw linked 1 --reflink 2>&1)" \
  "only a volume of one thin pool can be cloned without a copy"
not_ok "and leaves nothing" test -e "/dev/$vg/linked"
# Out of the thin pool, by libvirt's own code.
echo "<volume><name>back.qcow2</name><capacity>1</capacity>" \
  "<target><format type='qcow2'/></target></volume>" \
  >"$tmp/vol.xml"
ok "to qcow2 in another pool" \
  virsh vol-create-from dir "$tmp/vol.xml" from-image.raw --inputpool thin
is "and it is the same" \
  "$(qemu-img convert -f qcow2 -O raw "$tmp/dir/back.qcow2" "$tmp/back.raw" &&
    md5sum <"$tmp/back.raw")" \
  "$image_sum"
for volume in from-image.qcow2 from-image.vmdk larger zeros; do
  virsh vol-delete "$volume" thin >/dev/null
done
rm "$tmp/back.raw" "$tmp/dir/back.qcow2"

# --- upload and download ---
virsh vol-create-as thin u1 200M >/dev/null
ok "upload" virsh vol-upload u1 "$image" --pool thin
is "has the content" "$(sum u1)" "$image_sum"
ok "download" virsh vol-download u1 "$tmp/out" --pool thin
is "gives it back" "$(md5sum <"$tmp/out")" "$image_sum"
ok "sparse upload over it" virsh vol-upload u1 "$image" --pool thin --sparse
is "has the content" "$(sum u1)" "$image_sum"
is "and gives back what is a hole" "$(bytes u1 Allocation)" $((13 * MiB))
rm "$tmp/out"
ok "sparse download" virsh vol-download u1 "$tmp/out" --pool thin --sparse
is "gives it back" "$(md5sum <"$tmp/out")" "$image_sum"
is "with its holes" "$(du -k "$tmp/out" | cut -f1)" $((13 * 1024))
is "the size is as it was" "$(bytes u1 Capacity)" $((200 * MiB))

# Nor is a format looked for in what is uploaded, downloaded, or read back out of the pool.
virsh vol-create-as thin g1 4M >/dev/null
ok "upload a disk with the header of an image" virsh vol-upload g1 "$tmp/dir/disk.raw" --pool thin
is "it is itself" "$(sum g1)" "$(md5sum <"$tmp/dir/disk.raw")"
virsh vol-download g1 "$tmp/out" --pool thin
ok "so is its download" cmp "$tmp/out" "$tmp/dir/disk.raw"
echo "<volume><name>back.raw</name><capacity>1</capacity><target><format type='raw'/></target>" \
  "</volume>" >"$tmp/vol.xml"
virsh vol-create-from dir "$tmp/vol.xml" g1 --inputpool thin >/dev/null
ok "and a copy in another pool" cmp "$tmp/dir/back.raw" "$tmp/dir/disk.raw"
rm "$tmp/out" "$tmp/dir/back.raw"

# (offset, length) in {0, 1M} x {0, 1M}: the range changes, and nothing before or behind it.
dd if=/dev/urandom of="$tmp/base" bs=1M count=4 status=none
dd if=/dev/urandom of="$tmp/part" bs=1M count=1 status=none
virsh vol-create-as thin r1 4M >/dev/null
for offset in 0 1; do
  for length in 0 1; do
    virsh vol-upload r1 "$tmp/base" --pool thin >/dev/null
    cp "$tmp/base" "$tmp/want"
    dd if="$tmp/part" of="$tmp/want" bs=1M seek=$offset conv=notrunc status=none
    virsh vol-upload r1 "$tmp/part" --pool thin --offset $((offset * MiB)) \
      --length $((length * MiB)) >/dev/null
    is "upload at ${offset}M, length ${length}M" "$(sum r1)" "$(md5sum <"$tmp/want")"
    virsh vol-download r1 "$tmp/got" --pool thin --offset $((offset * MiB)) \
      --length $((length * MiB)) >/dev/null
    is "download at ${offset}M, length ${length}M" "$(md5sum <"$tmp/got")" \
      "$(dd if="$tmp/want" bs=1M skip=$offset count=$((length ? 1 : 4)) status=none | md5sum)"
  done
done
virsh vol-upload r1 "$tmp/base" --pool thin >/dev/null
truncate -s 1M "$tmp/hole"
virsh vol-upload r1 "$tmp/hole" --pool thin --sparse --offset $MiB --length $MiB >/dev/null
cp "$tmp/base" "$tmp/want"
dd if=/dev/zero of="$tmp/want" bs=1M seek=1 count=1 conv=notrunc status=none
is "a sparse upload of a hole clears its range alone" "$(sum r1)" "$(md5sum <"$tmp/want")"
is "and releases it" "$(bytes r1 Allocation)" $((3 * MiB))
# Zeros that are sent: over data, beside it, alone.
dd if=/dev/zero of="$tmp/zero" bs=1M count=1 status=none
dd if="$tmp/zero" of="$tmp/base" bs=100000 seek=25 count=12 iflag=fullblock conv=notrunc status=none
cp "$tmp/base" "$tmp/want"
dd if="$tmp/zero" of="$tmp/want" bs=1M seek=100000 oflag=seek_bytes conv=notrunc status=none
virsh vol-create-as thin r2 4M >/dev/null; virsh vol-create-as thin r3 64M >/dev/null
virsh vol-upload r2 "$tmp/base" --pool thin >/dev/null
is "an upload with zeros has them" "$(sum r2)" "$(md5sum <"$tmp/base")"
allocated=$(bytes r2 Allocation)
virsh vol-upload r2 "$tmp/zero" --pool thin --offset 100000 >/dev/null
is "and one of zeros over data" "$(sum r2)" "$(md5sum <"$tmp/want")"
virsh vol-upload r3 "$tmp/dir/zeros.raw" --pool thin >/dev/null
is "a chunk of zeros takes nothing" "$allocated" $((4 * MiB - 15 * 65536))
is "nor do they all" "$(bytes r3 Allocation)" 0
if has_service; then
  skip 1 "what is mapped, a service leaves mapped unless it is told of a hole"
else
  is "over data, it is released" "$(bytes r2 Allocation)" $((4 * MiB - 15 * 65536 - 15 * 65536))
fi
like "an upload beyond the end is refused" \
  "$(virsh vol-upload r1 "$tmp/part" --pool thin --offset $((4 * MiB)) --length $MiB 2>&1)" \
  "has 4194304 bytes"
like "a download beyond the end, too" \
  "$(virsh vol-download r1 "$tmp/got" --pool thin --offset $((5 * MiB)) 2>&1)" "has 4194304 bytes"
not_ok "more than fits is refused" virsh vol-upload r1 "$image" --pool thin

# --- wipe ---
virsh vol-clone u1 w1 --pool thin >/dev/null
ok "wipe" virsh vol-wipe w1 thin
ok "reads zero to the end" reads_zero w1
is "takes nothing" "$(bytes w1 Allocation)" 0
is "and leaves alone what shared its chunks" "$(sum u1)" "$image_sum"
virsh vol-upload w1 "$image" --pool thin >/dev/null
ok "wipe by trim" virsh vol-wipe w1 thin --algorithm trim
ok "reads zero, too" reads_zero w1
if command -v scrub >/dev/null; then
  ok "wipe by another algorithm" virsh vol-wipe r1 thin --algorithm random
else
  like "another algorithm needs scrub, and says so" \
    "$(virsh vol-wipe r1 thin --algorithm dod 2>&1)" "scrub"
fi
ok "delete, zeroing first (through the binding: virsh has no such option)" /usr/bin/python3 -c "
import libvirt
volume = libvirt.open().storagePoolLookupByName('thin').storageVolLookupByName('w1')
volume.delete(libvirt.VIR_STORAGE_VOL_DELETE_ZEROED)"
