#!/bin/bash
# virt-thin - files on a volume that is mounted on this machine are in its snapshots, written to the
# disk or not: the file system is frozen meanwhile, and always thawed
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
. "$(dirname "$0")/service-lib.sh"
command -v mkfs.ext4 >/dev/null || skip_all "mkfs.ext4 is not installed"
need_root_fuse_loop
plan 38
vg=frz$$ service=$VIRT_THIN_PROGRAM
volumes=$VIRT_THIN_RUNTIME_DIR/$vg/volumes nodes=$VIRT_THIN_DEV_DIR/$vg
printf '[service]\nblock-nodes=loop\n' >"$VIRT_THIN_CONFIG"
tool=$top_builddir/tests/integration/freeze-tool
mkdir "$tmp/mnt" "$tmp/mnt2" "$tmp/look"
at_exit "umount -q $tmp/look; umount -q $tmp/mnt2; umount -q $tmp/mnt"

ok "a volume group" vt init $vg/data --size 1G
for v in a b; do vt create $vg/$v --size 64M >&2; done
ok "serve it" vt serve $vg
mkfs.ext4 -q "$nodes/a" && mkfs.ext4 -q "$nodes/b" || exit 1

# holds VOLUME [OFFSET] [FILE]: what is in that file of it, through a clone
clones=0
holds() {
  clones=$((clones + 1))
  vt clone "$vg/$1" $vg/look$clones >&2 &&
    mount -o "loop,offset=${2-0}" "$nodes/look$clones" "$tmp/look" &&
    cat "$tmp/look/${3-file}"
  umount -q "$tmp/look"
  wait_until 10 vt remove $vg/look$clones >&2
}
frozen_by() { # DEVICE: a write to mnt2 waits while that is held
  local tool_pid said status
  coproc HOLD { exec "$tool" "$1"; }
  tool_pid=$HOLD_PID
  read -r -u "${HOLD[0]}" said && [ "$said" = frozen ] && not_writable
  status=$?
  kill -9 "$tool_pid"; wait "$tool_pid" 2>/dev/null
  return $status
}
not_writable() { ! fsfreeze -f "$tmp/mnt2"; } # somebody else has frozen it
writes() { timeout 5 sh -c "echo more >>'$1/more' && sync -f '$1/more'"; }

ok "mount" mount "$nodes/a" "$tmp/mnt"
echo one >"$tmp/mnt/file"
ok "a snapshot of it" vt snapshot $vg/a s1
is "has the file that was written a moment ago" "$(holds snap_a_s1)" one
ok "it is writable again" writes "$tmp/mnt"
echo two >"$tmp/mnt/file"
ok "a clone" vt clone $vg/a $vg/c
is "has it, too" "$(holds c)" two
ok "mount another" mount "$nodes/b" "$tmp/mnt2"
echo three >"$tmp/mnt/file"; echo four >"$tmp/mnt2/file"
ok "snapshots of both" vt snapshot $vg/a $vg/b s2
is "have what was written to either" "$(holds snap_a_s2) $(holds snap_b_s2)" "three four"
ok "both are writable again" eval 'writes "$tmp/mnt" && writes "$tmp/mnt2"'
not_ok "a snapshot that cannot be" vt snapshot $vg/a s1
ok "leaves it writable" writes "$tmp/mnt"

# Somebody else's freeze stays his.
fsfreeze -f "$tmp/mnt2"
ok "a snapshot of what is frozen" vt snapshot $vg/b s3
not_ok "leaves it so" fsfreeze -f "$tmp/mnt2"
fsfreeze -u "$tmp/mnt2"
umount "$tmp/mnt2"

# In a mount namespace of its own; on what lies between.
inside="mount '$nodes/b' '$tmp/mnt2' && echo five >'$tmp/mnt2/file' && echo mounted && read -r _"
coproc NAMESPACE { unshare -m bash -c "$inside"; }
namespace_pid=$NAMESPACE_PID
read -r -u "${NAMESPACE[0]}" mounted
is "mounted where this shell does not see it" \
  "$mounted $(findmnt -n "$tmp/mnt2" >&2 || echo nothing)" "mounted nothing"
ok "a snapshot" vt snapshot $vg/b s4
is "has it" "$(holds snap_b_s4)" five
echo >&"${NAMESPACE[1]}"; wait "$namespace_pid"
vt create $vg/p --size 64M >&2
for below in "$nodes/p" "$volumes/p"; do
  loop=$(losetup --find --show --offset 1M "$below") && mkfs.ext4 -q "$loop" &&
    mount "$loop" "$tmp/mnt2" && echo "$below" >"$tmp/mnt2/file"
  ok "a snapshot of what is mounted from a loop device on $(basename "$(dirname "$below")")" \
    vt snapshot $vg/p "s$(basename "$(dirname "$below")" | tr -d 0-9)"
  is "has the file" "$(holds "snap_p_s$(basename "$(dirname "$below")" | tr -d 0-9)" 1M)" "$below"
  umount "$tmp/mnt2"; losetup -d "$loop"
done

# A file system in a file of one; one on two volumes.
mkdir "$tmp/mnt3"
at_exit "umount -q $tmp/mnt3"
mount "$nodes/b" "$tmp/mnt2" && truncate -s 16M "$tmp/mnt2/inner" &&
  mkfs.ext4 -q "$tmp/mnt2/inner" && mount -o loop "$tmp/mnt2/inner" "$tmp/mnt3"
echo seven >"$tmp/mnt3/file"
ok "a snapshot, with a file system mounted from a file" vt snapshot $vg/b s7
clones=$((clones + 1))
vt clone $vg/snap_b_s7 $vg/look$clones >&2 && mount -o loop "$nodes/look$clones" "$tmp/look" &&
  mkdir -p "$tmp/look2" && mount -o loop "$tmp/look/inner" "$tmp/look2"
is "has what was written in that" "$(cat "$tmp/look2/file")" seven
umount "$tmp/look2"; umount "$tmp/look"
ok "both are writable again" eval 'writes "$tmp/mnt3" && writes "$tmp/mnt2"'
umount "$tmp/mnt3"; rm "$tmp/mnt2/inner"; umount "$tmp/mnt2"
if command -v mkfs.btrfs >/dev/null && grep -qw btrfs /proc/filesystems; then
  for v in d e; do vt create $vg/$v --size 128M >&2; done
  mkfs.btrfs -q -f -d single -m single "$nodes/d" "$nodes/e" &&
    mount -o "device=$nodes/d,device=$nodes/e" "$nodes/d" "$tmp/mnt2"
  ok "a btrfs on two volumes is frozen by either" frozen_by "$nodes/e"
  ok "and thawed" writes "$tmp/mnt2"
  umount "$tmp/mnt2"
else
  skip 2 "no btrfs"
fi

# One that cannot be frozen in time: its device waits for another file system.
at_exit "fsfreeze -u $tmp/mnt2"
mount "$nodes/b" "$tmp/mnt2" && truncate -s 32M "$tmp/mnt2/image" &&
  mkfs.ext4 -q "$tmp/mnt2/image" && mount -o loop "$tmp/mnt2/image" "$tmp/mnt3"
below=$(findmnt -n -o SOURCE "$tmp/mnt3")
fsfreeze -f "$tmp/mnt2"
head -c 1M /dev/urandom >"$tmp/mnt3/file"
not_ok "a freeze has an end" timeout 60 "$tool" "$below" </dev/null
like "the file system is named" "$(cat "$tmp/.said")" \
  "the file system on $tmp/mnt3 could not be frozen in time"
fsfreeze -u "$tmp/mnt2"
ok "and thawed once it is frozen" wait_until 10 writes "$tmp/mnt3"
umount "$tmp/mnt3"; umount "$tmp/mnt2"

# Whoever froze it may be killed, and the process that does it for him.
freeze() {
  coproc FREEZER { exec "$tool" "$nodes/a"; }
  freezer=$FREEZER_PID
  read -r -u "${FREEZER[0]}" said && [ "$said" = frozen ]
}
write_waits() {
  (echo x >"$tmp/mnt/waits") & writer=$!
  ! wait_until 1 ended $writer
}
ok "frozen" freeze
ok "a write waits" write_waits
kill -9 "$freezer"
ok "killed: it goes on" wait_until 10 ended $writer
wait 2>/dev/null
ok "frozen again" freeze
ok "a write waits" write_waits
kill -9 "$(pgrep -f "^$tool $nodes/a" | grep -vx "$freezer")"
eval "exec ${FREEZER[1]}>&-"
ok "what froze it is killed: it goes on" wait_until 10 ended $writer
wait 2>/dev/null
ok "the file system is as it should be" eval 'umount "$tmp/mnt" && fsck.ext4 -fn "$nodes/a"'
