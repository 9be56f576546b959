#!/bin/bash
# virt-thin mount without root: by fuse2fs, from a volume group of the user's own
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/cli-lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
for program in fusermount3 fuse2fs mkfs.ext4 sfdisk; do
  command -v $program >/dev/null || skip_all "$program is not installed"
done
plan 14
vg=usr$$ service=$VIRT_THIN_PROGRAM
at_exit service_end

# A disk with a file system that was in use: its journal is to be replayed.
mkdir "$tmp/mnt" "$tmp/guest"
truncate -s 24M "$tmp/ext4" && mkfs.ext4 -q -F "$tmp/ext4" >&2 &&
  mount -o loop "$tmp/ext4" "$tmp/guest" && echo here >"$tmp/guest/file" &&
  sync "$tmp/guest/file" && cp --sparse=always "$tmp/ext4" "$tmp/dirty" && umount "$tmp/guest" ||
  exit 1
truncate -s 40M "$tmp/disk" && printf 'label: gpt\nsize=24M\nsize=4M\n' | sfdisk -q "$tmp/disk" &&
  dd if="$tmp/dirty" of="$tmp/disk" bs=1M seek=1 conv=notrunc,sparse status=none || exit 1
# A user's /dev/fuse is open to all where there is a udev; here it is in a mount namespace of its
# own.
chmod 755 "$tmp"
cp "$VIRT_THIN_PROGRAM" "$tmp/program"
mkdir "$tmp/bin" && ln -s "$(command -v fusermount3)" "$tmp/bin/"
mknod "$tmp/fuse" c 10 229
chmod 666 "$tmp/fuse"
chown -R nobody "$tmp/run" "$tmp/state" "$tmp/dev" "$tmp/mnt" "$tmp/disk"
cat >"$tmp/as-user" <<END
mount --bind "$tmp/fuse" /dev/fuse
export VIRT_THIN_PROGRAM=$tmp/program
exec setpriv --reuid nobody --regid nogroup --clear-groups bash "$tmp/script" "$tmp" $vg
END
cat >"$tmp/script" <<'END'
tmp=$1 vg=$2
export HOME=$tmp/state
cd "$tmp/state"
vt() { "$tmp/program" "$@"; }
check() {
  local name=$1; shift
  if "$@" >"$tmp/state/said" 2>&1; then echo "pass $name"
  else echo "fail $name: $(cat "$tmp/state/said")"; fi
}
left() { vt list "$vg" | grep -c _tmp; grep -c "$tmp/mnt" /proc/self/mountinfo; }
check init vt init "$vg/data" --size 512m
check import vt import --format raw "$tmp/disk" "$vg/vm-1"
before=$(vt export "$vg/vm-1" - | md5sum)
check mount vt mount "$vg/vm-1" "$tmp/mnt"
echo "file $(cat "$tmp/mnt/file")"
touch "$tmp/mnt/new" 2>/dev/null || echo "pass read-only"
check umount vt umount "$tmp/mnt"
echo "left" $(left)
[ "$(vt export "$vg/vm-1" - | md5sum)" = "$before" ] && echo "pass unchanged"
check again vt mount "$vg/vm-1" "$tmp/mnt"
check umount-by-name vt umount "$vg/vm-1"
check exec vt snapshot "$vg/vm-1" --exec grep here {}/file
echo "writable $(vt mount "$vg/vm-1" "$tmp/mnt" --rw 2>&1)"
PATH=$tmp/bin; echo "none $("$tmp/program" mount "$vg/vm-1" "$tmp/mnt" 2>&1)"
END
said=$(unshare --mount bash "$tmp/as-user" 2>&1)
echo "$said" >&2
for what in init import mount read-only umount unchanged again umount-by-name exec; do
  like "$what" "$said" "^pass $what"
done
like "what was synced is there" "$said" "^file here"
like "nothing is left" "$said" "^left 0 0"
like "writing is for root" "$said" "^writable .*that is for root"
like "what would have to be installed is told" "$said" "^none .*\(Debian: apt-get install fuse2fs\)"
not_ok "no service is left" test -e "$tmp/run/$vg/pid"
