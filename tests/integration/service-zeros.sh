#!/bin/bash
# virt-thin - copies made by programs that write zeros where nothing is: the volume stays thin,
# through each of its views
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
. "$(dirname "$0")/service-lib.sh"
for program in qemu-img qemu-io nbdcopy mkfs.ext4; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
need_root_fuse_loop
plan 35
vg=zero$$ service=$VIRT_THIN_PROGRAM
volumes=$VIRT_THIN_RUNTIME_DIR/$vg/volumes nodes=$VIRT_THIN_DEV_DIR/$vg
uri() { echo "nbd+unix:///$1?socket=$VIRT_THIN_RUNTIME_DIR/$vg/nbd"; }

# 64 MiB, all of them there to be read; 8 chunks hold something, one of them in its last byte alone.
head -c 64M /dev/zero >"$tmp/image"
for at in 0 1 2 100 101 500 1023; do
  dd if=/dev/urandom of="$tmp/image" bs=64k count=1 seek=$at conv=notrunc status=none
done
printf x | dd of="$tmp/image" bs=1 seek=$((601 * 65536 - 1)) conv=notrunc status=none
want=$((8 * 65536))

# copy DESCRIPTION COMMAND...: into volume v, of nothing, whose name the command has from $1 on.
copy() {
  local how=$1; shift
  vt create $vg/v --size 64M >&2
  ok "$how" "$@"
  ok "$how: the same" cmp "$tmp/image" "$volumes/v"
  is "$how: and as thin" "$(volume $vg/v mapped)" $want
  vt remove $vg/v >&2
}
through_node() { dd if="$tmp/image" of="$nodes/v" bs="$1" conv=fsync "${@:2}"; }

ok "a volume group" vt init $vg/data --size 1G
ok "serve it" vt serve $vg
copy "dd into the file" dd if="$tmp/image" of="$volumes/v" bs=1M conv=notrunc,fsync
copy "dd of odd pieces" dd if="$tmp/image" of="$volumes/v" bs=100000 conv=notrunc,fsync
copy "dd into the node" through_node 1M
copy "dd into the node, past the page cache" through_node 64k oflag=direct
copy "cp into the node" cp --sparse=never "$tmp/image" "$nodes/v"
copy "qemu-img convert to the export" \
  qemu-img convert -n -S 0 -f raw -O raw "$tmp/image" "$(uri v)"
copy "qemu-img convert to the node" qemu-img convert -n -S 0 -f raw -O raw "$tmp/image" "$nodes/v"
copy "nbdcopy" nbdcopy --flush --allocated --sparse=0 "$tmp/image" "$(uri v)"

# Who asks for the space by its name gets it: what is mapped keeps what it holds.
vt create $vg/v --size 64M >&2
dd if="$tmp/image" of="$volumes/v" bs=1M conv=notrunc,fsync status=none
ok "fallocate of the file" fallocate -l 64M "$volumes/v"
is "takes all of it" "$(sync "$volumes/v"; volume $vg/v mapped)" $((64 << 20))
ok "and changes nothing" cmp "$tmp/image" "$volumes/v"
vt remove $vg/v >&2
vt create $vg/v --size 64M >&2
ok "zeros without holes, of the export" \
  qemu-io -f raw -c "write -z 0 16M" -c flush "$(uri v)"
is "take what they cover" "$(volume $vg/v mapped)" $((16 << 20))
ok "and read zero" cmp -n $((16 << 20)) /dev/zero "$volumes/v"
vt remove $vg/v >&2

# An installer's formatting, with all its tables written at once.
vt create $vg/fs --size 64M >&2
ok "mkfs without discards" mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0 "$nodes/fs"
sync "$nodes/fs"
ok "takes what it has to say" test "$(volume $vg/fs mapped)" -le $((16 * 65536))
ok "and is a file system" fsck.ext4 -fn "$nodes/fs"
