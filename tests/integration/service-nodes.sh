#!/bin/bash
# Block nodes follow their volumes, agree with the other views, and survive strangers.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
service_instance thin-service
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
plan 63

ok "a volume group, served" make_group 2g vm-1=256m vm-2=64m
n=$nodes/vm-1 f=$volumes/vm-1
device() { readlink "$nodes/$1"; }
size_of() { blockdev --getsize64 "$1"; }
is "a volume is found at its node" "$("$service" path $vg vm-1)" "$n"
ok "which is a block device" test -b "$n"
is "of its size" "$(size_of "$n")" $((256 << 20))
is "with direct I/O" "$(cat "/sys/block/$(basename "$(device vm-1)")/loop/dio")" 1
is "for root and disk" "$(stat -L -c '%U:%G %a' "$n")" "root:disk 660"

# One content, three views. A node's writes are complete when it is closed.
nbd() { echo "nbd+unix:///$1?socket=$tmp/run/$vg/nbd"; }
sum() { head -c 64M "$1" | md5sum; }
nbd_sum() { nbdcopy "$(nbd "$1")" - | head -c 64M | md5sum; }
dd if=/dev/urandom of="$tmp/data" bs=1M count=64 status=none
want=$(md5sum <"$tmp/data")
dd if="$tmp/data" of="$n" bs=1M conv=notrunc status=none
is "written by the node, read from the file" "$(sum "$f")" "$want"
is "... and by NBD" "$(nbd_sum vm-1)" "$want"
dd if=/dev/urandom of="$tmp/data" bs=1M count=64 status=none
want=$(md5sum <"$tmp/data")
dd if="$tmp/data" of="$f" bs=1M conv=notrunc oflag=direct status=none
is "written by the file, read from the node" "$(sum "$n")" "$want"
is "... and by NBD" "$(nbd_sum vm-1)" "$want"
dd if=/dev/urandom of="$tmp/data" bs=1M count=64 status=none
want=$(md5sum <"$tmp/data")
nbdcopy "$tmp/data" "$(nbd vm-2)"
is "written by NBD, read from the node" "$(sum "$nodes/vm-2")" "$want"
is "... and from the file" "$(sum "$volumes/vm-2")" "$want"

# What people do with disks.
mkdir "$tmp/mnt"
at_exit "umount -q $tmp/mnt"
ok "mkfs" mkfs.ext4 -q -E nodiscard "$n"
ok "mount" mount -o discard "$n" "$tmp/mnt"
ok "fill" dd if=/dev/urandom of="$tmp/mnt/big" bs=1M count=100 conv=fsync status=none
mapped() { stat -c %b "$f"; }
filled_is() { [ "$(mapped)" -ge "$1" ]; }
emptied_is() { [ "$(mapped)" -lt "$1" ]; }
ok "its file shows what is mapped" wait_until 5 filled_is $((100 * 2048))
rm "$tmp/mnt/big"
sync -f "$tmp/mnt"
ok "discards give it back" wait_until 5 emptied_is $((60 * 2048))
not_ok "a mounted volume is not removed" "$service" remove $vg vm-1
like "... and the mount is named" "$(cat "$tmp/.said")" "vm-1.*in use by a mount on $tmp/mnt"
not_ok "nor is its pool deactivated" "$service" deactivate $vg data
like "... and volume and mount are named" "$(cat "$tmp/.said")" "vm-1.* a mount on $tmp/mnt"
not_ok "nor its service stopped" "$service" stop $vg
echo kept >"$tmp/mnt/kept"
umount "$tmp/mnt"
ok "snapshot" "$service" snapshot $vg vm-1 s1
ok "... which has a file" test -f "$volumes/snap_vm-1_s1"
not_ok "... and no node" test -e "$nodes/snap_vm-1_s1"
is "... so the file is where it is found" \
  "$("$service" path $vg snap_vm-1_s1)" "$volumes/snap_vm-1_s1"
mount "$n" "$tmp/mnt" && echo lost >"$tmp/mnt/kept" && umount "$tmp/mnt"
ok "rollback" "$service" rollback $vg vm-1 s1
ok "... is seen by the node at once" mount "$n" "$tmp/mnt"
is "... with the old content" "$(cat "$tmp/mnt/kept")" kept

ok "grow the mounted volume" "$service" resize $vg vm-1 320m
is "the node's size" "$(size_of "$n")" $((320 << 20))
ok "the kernel sees it in the mounted device" \
  test "$(cat /sys/block/$(basename "$(device vm-1)")/size)" = $((320 * 2048))
ok "rename the mounted volume" "$service" rename $vg vm-1 vm-3
not_ok "the old node is gone" test -e "$n"
n=$nodes/vm-3
ok "... and the new one there" test -b "$n"
echo more >"$tmp/mnt/more"
umount "$tmp/mnt"
ok "fsck" e2fsck -fn "$n"

# A process that has it open; then a stranger takes the device away.
exec 5<"$n"
not_ok "an open volume is not removed" without_5 "$service" remove $vg vm-3
like "... and the opener is named" "$(cat "$tmp/.said")" "service-nodes.*pid $$"
exec 5<&-
losetup -d "$(device vm-3)"
has_backing() {
  [ "$(size_of "$nodes/vm-3")" = $((320 << 20)) ] &&
    grep -q "^$volumes/" "/sys/block/$(basename "$(device vm-3)")/loop/backing_file"
}
ok "a device taken away is made again" wait_until 5 has_backing
ok "fsck" e2fsck -fn "$n"

old=$(device vm-2)
ok "kill the engine" kill_engine
is "the device is still the same" "$(device vm-2)" "$old"
is "... and its content" "$(sum "$nodes/vm-2")" "$want"
kill -9 "$(nodes_process)"
ok "the nodes process is replaced" wait_until 5 nodes_process
created() { "$service" create $vg vm-9 16m; [ -b "$nodes/vm-9" ]; }
ok "... and goes on" wait_until 10 created
is "... with the devices that are there" "$(device vm-2)" "$old"
cp "$(command -v sleep)" "$tmp/blkid"
"$tmp/blkid" 0.5 <"$nodes/vm-9" &
ok "who looks at every device for a moment is waited for" "$service" remove $vg vm-9
wait $!

"$service" create $vg vm-8 16m
dd if="$tmp/data" of="$nodes/vm-8" bs=1M count=16 conv=notrunc status=none
exec 5<"$nodes/vm-8"
not_ok "an open volume becomes no template" without_5 "$service" template $vg vm-8 base-8-a
like "... and the opener is named" "$(cat "$tmp/.said")" "service-nodes.*pid $$"
exec 5<&-
ok "template" "$service" template $vg vm-8 base-8-a
not_ok "... has no node" test -e "$nodes/vm-8" -o -e "$nodes/base-8-a"
ok "... and a file" test -f "$volumes/base-8-a"
is "... with the content" "$(md5sum <"$volumes/base-8-a")" "$(head -c 16M "$tmp/data" | md5sum)"
not_ok "... that cannot be written" \
  dd if=/dev/zero of="$volumes/base-8-a" bs=4k count=1 conv=notrunc
ok "deactivate" "$service" deactivate $vg data
is "no node is left" "$(ls "$nodes" 2>/dev/null)" ""
is "nor a file" "$(ls "$volumes")" ""
ok "activate" "$service" activate $vg data
ok "fsck" e2fsck -fn "$nodes/vm-3"

# Beside a folder of the host's of its name, as /dev/disk is.
ok "stop" "$service" stop $vg
wait_until 10 service_gone
mkdir -p "$nodes/by-id"
ok "a folder of its name that is the host's: served" serve
is "... without links in it" "$("$service" path $vg vm-3; ls "$nodes")" "$volumes/vm-3
by-id"
ok "... and told why" wait_until 5 grep -q "$nodes is there already" "$tmp/run/$vg/log"
rmdir "$nodes/by-id" "$nodes"
