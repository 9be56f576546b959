#!/bin/bash
# The service of a user who is not root: files by fusermount3, no block nodes.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
type fusermount3 >/dev/null 2>&1 || skip_all "needs fusermount3"
service_instance thin-service
plan 12

# A user's /dev/fuse is open to all where there is a udev; here it is in a mount namespace of its
# own. The program is where a user can reach it.
chmod 755 "$tmp"
cp "$service" "$tmp/program"
mknod "$tmp/fuse" c 10 229
chmod 666 "$tmp/fuse"
chown -R nobody "$tmp/run" "$tmp/state" "$tmp/dev" "$tmp/files"
cat >"$tmp/as-user" <<END
mount --bind "$tmp/fuse" /dev/fuse
exec setpriv --reuid nobody --regid nogroup --clear-groups bash "$tmp/script" "$tmp" $vg
END
cat >"$tmp/script" <<'END'
tmp=$1 vg=$2 f=$1/run/$2/volumes/vm-1
export HOME=$tmp/state
cd "$tmp/state"
check() {
  local name=$1; shift
  if "$@" >"$tmp/state/said" 2>&1; then echo "pass $name"
  else echo "fail $name: $(cat "$tmp/state/said")"; fi
}
program() { "$tmp/program" "$@"; }
check init program init $vg data "$tmp/state/pv.img" 512m
check serve program serve $vg
check create program create $vg vm-1 32m
echo "path $(program path $vg vm-1)"
check write dd if=/dev/urandom of="$f" bs=1M count=4 conv=notrunc,fsync
sum=$(md5sum <"$f")
kill -9 $(pgrep -P "$(cat "$tmp/run/$vg/pid")" -f "^virt-thin-engine")
check survive test "$(md5sum <"$f")" = "$sum"
exec 5<"$f"
program stop $vg 2>&1 | grep -q "pid $$" && echo "pass busy"
exec 5<&-
check stop program stop $vg
check unmounted bash -c "! grep -q '$tmp/run/' /proc/self/mountinfo"
check again program serve $vg
echo "sum $([ "$(md5sum <"$f")" = "$sum" ] && echo same)"
program stop $vg
END
said=$(unshare --mount bash "$tmp/as-user" 2>&1)
for what in init serve create write survive busy stop unmounted again; do
  like "$what" "$said" "^pass $what"
done
like "a volume is found as a file" "$said" "^path $volumes/vm-1"
like "its content is there after a restart" "$said" "^sum same"
ok "strangers find the volume group whole" "$top_srcdir/scripts/judge" --quiet "$tmp/state/pv.img"
