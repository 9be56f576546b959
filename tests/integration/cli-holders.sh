#!/bin/bash
# virt-thin - whoever uses a volume's node, in whatever way the kernel knows: the volume stays, and
# the user is named
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/cli-lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
command -v qemu-storage-daemon >/dev/null || skip_all "qemu-storage-daemon is not installed"
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"

vg=vt$$ v=vm-1-disk-0 mnt=$tmp/mnt
nodes=$VIRT_THIN_DEV_DIR/$vg n=$nodes/$v f=$VIRT_THIN_RUNTIME_DIR/$vg/volumes/$v
mkdir -p "$mnt"
loops=()
loop() { local l; l=$(losetup -f --show "$@") && loops+=("$l"); } # ...: the last of $loops is on it
loops_gone() {
  local i; for ((i = ${#loops[@]} - 1; i >= 0; i--)); do losetup -d "${loops[i]}"; done; loops=()
}
at_exit 'umount -q $mnt "$tmp"/odd*; loops_gone'
last() { basename "${loops[-1]}"; }

# held DESCRIPTION REGEX: nothing that ends the volume, or its service, is done while somebody has
# it, whom the regex tells.
changes=("remove $vg/$v" "rollback $vg/$v s" "resize --shrink $vg/$v 8m" "deactivate $vg/data"
  "stop $vg")
held() {
  local change before; before=$(readlink "$n")
  for change in "${changes[@]}"; do
    # shellcheck disable=SC2086
    refused "$1: no ${change%% *}" 1 "$vg/$v is in use by $2" vt $change
  done
  is "... and its node is the one it was" "$(readlink "$n")" "$before"
}
plan 112

ok "a volume group" vt init $vg/data --size 600m
ok "a volume" vt create $vg/$v --size 64m
vt create $vg/vm-2-disk-0 --size 16m
ok "a snapshot" vt snapshot $vg/$v s
ok "serve" vt serve $vg

loop "$n"
held "a loop device" "block device $(last)\$"
mke2fs -qF "${loops[-1]}" 48m
mount "${loops[-1]}" "$mnt"
held "a mount on a loop device" "block device $(last), in use by a mount on $mnt\$"
umount "$mnt"
loop "${loops[0]}"
mount "${loops[-1]}" "$mnt"
held "a loop device on a loop device" \
  "block device $(basename "${loops[0]}"), in use by block device $(
    last), in use by a mount on $mnt\$"
umount "$mnt"; loops_gone

mount -o loop "$n" "$mnt"
l=$(findmnt -no SOURCE "$mnt")
held "mount -o loop" "block device ${l#/dev/}, in use by a mount on $mnt\$"
umount "$mnt"
loop "$f"
mount "${loops[-1]}" "$mnt"
held "a loop device on the file" "block device $(last), in use by a mount on $mnt\$"
umount "$mnt"; loops_gone

mknod "$tmp/secret" b 7 "$(($(stat -Lc 0x%T "$n")))"
loop "$tmp/secret"
held "a loop device by a node of another name" "block device $(last)\$"
loops_gone; rm "$tmp/secret"

mkswap -q "$n"; swapon "$n"
held "swap space" "swap space\$"
swapoff "$n"
loop "$n"; swapon "${loops[-1]}"
held "swap space on a loop device" "block device $(last), in use by swap space\$"
swapoff "${loops[-1]}"; loops_gone

mkfs.btrfs -qf "$n" 2>/dev/null || mke2fs -qF "$n"
if mount "$n" "$mnt"; then
  held "btrfs, whose numbers are no device's" "a mount on $mnt\$"
  umount "$mnt"
else skip 5 "no btrfs in this kernel"; fi

mke2fs -qF "$n"
unshare --mount --propagation private bash -c \
  "mount $n $mnt && echo mounted >$tmp/ready && exec sleep 1000" &
sleeper=$!
wait_until 5 test -s "$tmp/ready"
held "a mount in another namespace" "a mount on $mnt that pid $sleeper sees\$"
kill $sleeper; wait $sleeper 2>/dev/null

odd=$tmp/$'odd\e[31m'
mkdir "$odd"
mount "$n" "$odd"
held "a mount on a folder whose name a terminal would obey" "a mount on $tmp/odd\?\[31m\$"
umount "$odd"

# What only the kernel can tell: nobody's descriptor, and a path that leads nowhere.
mount -t tmpfs none "$mnt"
mknod "$mnt/hidden" b 7 $(($(stat -Lc 0x%T "$n")))
loop "$mnt/hidden"
umount -l "$mnt"
held "what cannot be found" "the kernel, or a process"
is "... works on" "$(head -c 8M "${loops[-1]}" | md5sum)" "$(head -c 8M "$n" | md5sum)"
loops_gone

qemu-storage-daemon --blockdev host_device,node-name=d,filename="$n" --export \
  vhost-user-blk,id=e,node-name=d,writable=on,addr.type=unix,addr.path="$tmp/vhost" &
qsd=$!
wait_until 5 test -S "$tmp/vhost"
held "vhost-user" "qemu-storage-.*pid $qsd"
kill $qsd; wait $qsd 2>/dev/null

qemu-storage-daemon --blockdev \
  nbd,node-name=d,server.type=unix,server.path="$VIRT_THIN_RUNTIME_DIR/$vg/nbd",export=$v \
  --chardev socket,id=c,path="$tmp/qmp",server=on,wait=off \
  --monitor c & qsd=$!
wait_until 5 test -S "$tmp/qmp"
held "an NBD client" "nbd client, pid $qsd"
kill $qsd; wait $qsd 2>/dev/null

# Partitions, as partx tells the kernel of them. That there are some is no use of the node.
partition() { # DEVICE: makes its first
  local name=${1#/dev/} number
  addpart "$1" 1 2048 40960 || return 1
  number=$(cat "/sys/block/$name/${name}p1/dev")
  [ -b "${1}p1" ] || mknod "${1}p1" b "${number%:*}" "${number#*:}"
  mke2fs -qF "${1}p1" && mount "${1}p1" "$mnt"
}
own=$(readlink "$n")
ok "a partition of the node" partition "$own"
held "a mounted partition of it" "block device ${own#/dev/}p1, in use by a mount on $mnt\$"
umount "$mnt"; delpart "$own" 1
loop "$n"
ok "a partition of a loop device" partition "${loops[-1]}"
held "a mounted partition of that" \
  "block device $(last), in use by block device $(last)p1, in use by a mount on $mnt\$"
umount "$mnt"; delpart "${loops[-1]}" 1; loops_gone

# A volume's user does not keep others.
loop "$n"
loop "$nodes/vm-2-disk-0"
refused "nor does it become a template" 1 "$vg/vm-2-disk-0 is in use by block device $(last)\$" \
  vt template $vg/vm-2-disk-0
losetup -d "${loops[-1]}"; unset 'loops[-1]'
ok "another volume can be removed" vt remove $vg/vm-2-disk-0
loops_gone
ok "a rollback" vt rollback $vg/$v s
ok "leaves a node" test -b "$n"
ok "shrinking as well" vt resize --shrink $vg/$v 32m
is "of the new size" "$(blockdev --getsize64 "$n")" $((32 << 20))
refused "a change that is refused for another reason" 1 "snapshot" vt rollback $vg/$v none
ok "does, too" test -b "$n"
loop "$n"
ok "stop --force takes no heed" vt stop --force $vg
loops_gone
