#!/bin/bash
# virt-thin - the files that commands write: for their owner alone whatever the umask, and nothing
# behind a symbolic link that leads nowhere
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/cli-lib.sh"
command -v qemu-img >/dev/null || skip_all "needs qemu-img"
umask 000 # not what the files are to rely on
mkdir -p "$tmp/out" "$tmp/folder/images/100"
made=$tmp/out nowhere=$tmp/nowhere cfg=$tmp/storage.cfg
cat >"$cfg" <<CFG
lvmthin: thin
	vgname pve
	thinpool data

dir: folder
	path $tmp/folder
CFG
vt init pve/data --size 300m 2>/dev/null
vt create pve/vm-100-disk-0 --size 8m
qemu-img create -q -f qcow2 "$tmp/folder/images/100/vm-100-disk-0.qcow2" 8m
qemu-img snapshot -c s "$tmp/folder/images/100/vm-100-disk-0.qcow2"
truncate -s 8m "$tmp/folder/images/100/vm-100-disk-1.raw"
in_pool=thin:vm-100-disk-0 in_qcow2=folder:100/vm-100-disk-0.qcow2
in_raw=folder:100/vm-100-disk-1.raw
storage() { vt storage export --config "$cfg" "$@"; }
writers=( # NAME|COMMAND with FILE
  "a raw image|vt export pve/vm-100-disk-0 FILE"
  "a stream of a volume|storage $in_pool raw+size FILE"
  "a stream of a raw image|storage $in_raw raw+size FILE"
  "a stream of a qcow2 image|storage $in_qcow2 qcow2+size FILE --with-snapshots 1")
for format in qcow2 vmdk vdi vpc vhdx qed parallels; do
  writers+=("a $format image|vt export pve/vm-100-disk-0 FILE --format $format")
done
plan $((${#writers[@]} * 5 + 2))

n=0
for writer in "${writers[@]}"; do
  name=${writer%%|*} file=$made/$((n += 1)) command=${writer#*|}
  read -ra words <<<"${command/FILE/$file}"
  ok "$name" "${words[@]}"
  ln -s "$nowhere" "$made/link"
  read -ra words <<<"${command/FILE/$made/link}"
  refused "$name, where a link leads nowhere" 1 'symbolic link to what is not there' "${words[@]}"
  ok "nothing is made, the link stays" test ! -e "$nowhere" -a -L "$made/link"
  rm -f "$made/link" "$nowhere"
  : >"$made/there"; chmod 640 "$made/there"; ln -s there "$made/link"
  read -ra words <<<"${command/FILE/$made/link}"
  ok "$name, behind a link to a file" "${words[@]}"
  is "which stays that file" "$(stat -c %a "$made/there") $(readlink "$made/link")" "640 there"
  rm -f "$made/link" "$made/there"
done
is "all are for their owner alone" "$(find "$made" -type f -perm /077)" ""
vt remove pve/vm-100-disk-0
is "the physical volume and the archive are, too" "$(find "$state" -type f -perm /077)" ""
