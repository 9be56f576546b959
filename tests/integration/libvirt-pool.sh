#!/bin/bash
# A thin pool's life behind virsh: define, start, restart of libvirtd, autostart, refresh, sources,
# stop, build, delete; a service that is gone.
. "$(dirname "$0")/libvirt-lib.sh"
plan 96

state() { virsh pool-info "${1-thin}" | sed -n 's/^State: *//p'; }
target() { virsh pool-dumpxml thin | xmllint --xpath 'string(/pool/target/path)' -; }
names() { virsh vol-list thin | awk 'NR > 2 && NF {print $1}' | sort | xargs; }
# Of ours: other tests' volume groups come and go on loop devices meanwhile.
sources() {
  virsh find-storage-pool-sources logical |
    xmllint --xpath "/sources/source/name[starts-with(., '$vg/')]/text()" - 2>/dev/null
}
pool_bytes() { virsh pool-info thin --bytes | sed -n "s/^$1: *\([0-9]*\).*/\1/p"; }
service_pid() { cat "$VIRT_THIN_RUNTIME_DIR/$vg/pid"; }
engine_pid() { pgrep -P "$(service_pid)" -f virt-thin-engine; }
boot() {
  libvirt_stop
  ok "shutdown" at_rest "$vg"
  ok "leaves nobody at the volume group" is_at_rest "$vg"
  rm -rf /run/libvirt/storage
  libvirt_start
}
document() { sed "s|pve/data|$vg/data|" "$top_srcdir/xml/local-lvm.xml" | sed 's|local-lvm|thin|'; }

libvirt_start || { echo "Bail out! no libvirtd: $(tail -5 "$log")"; exit 1; }
new_vg "$vg/data" 512m

# --- define and start ---
ok "xml/local-lvm.xml can be defined, validated" virsh pool-define --validate <(document)
like "its name is required" "$(virsh pool-define <(document | grep -v '<name>thin') 2>&1)" "error"
is "the sources name it before it is served" "$(sources)" "$vg/data"
not_ok "a pool that is not there does not start" \
  virsh pool-create-as other logical --source-name "$vg/none"
if has_service; then ok "nor keeps the volume group" is_at_rest "$vg"; else without_service 1; fi
ok "start" virsh pool-start thin
is "it runs" "$(state)" running
is "its target is where the volumes are" "$(target)" "/dev/$vg"
is "the sources name it while it is served, once" "$(sources)" "$vg/data"
ok "capacity is the thin pool's" \
  test "$(pool_bytes Capacity)" -gt $((400 << 20)) -a "$(pool_bytes Capacity)" -lt $((512 << 20))
virsh vol-create-as thin v1 100M >/dev/null
dd if=/dev/urandom of="/dev/$vg/v1" bs=1M count=10 oflag=direct status=none
virsh pool-refresh thin >/dev/null
is "allocation is what is mapped" "$(pool_bytes Allocation)" $((10 << 20))
like "while another is active it says so" \
  "$(virsh pool-create-as other logical --source-name "$vg/none" 2>&1)" "none"
like "so does one in a volume group that is not there" \
  "$(virsh pool-create-as other logical --source-name "no$vg/data" 2>&1)" "no$vg"
for name in "$vg/data/more" "/data" "$vg/" "$vg/-x" "$vg/.."; do
  like "source name $name is refused" \
    "$(virsh pool-create-as other logical --source-name "$name" 2>&1)" "is not VG/POOL"
done

# --- what others do behind libvirt's back ---
behind create "$vg/behind" --size 8m
is "a volume made by others is not seen" "$(names)" v1
ok "until a refresh" virsh pool-refresh thin
is "then it is" "$(names)" "behind v1"
rm "/dev/$vg/behind"
ok "a node that is missing does not fail a refresh" virsh pool-refresh thin
is "nor hide a volume" "$(names)" "behind v1"
behind remove "$vg/behind"
not_ok "one that is gone cannot be asked about" virsh vol-info behind thin
ok "a refresh forgets it" virsh pool-refresh thin
is "so it is" "$(names)" v1

# --- restarts of libvirtd ---
libvirt_restart
is "the pool runs after a restart of libvirtd" "$(state)" running
is "with its target" "$(target)" "/dev/$vg"
is "and its volumes" "$(names)" v1
ok "autostart" virsh pool-autostart thin
libvirt_restart
is "an autostart pool runs after a restart, too" "$(state)" running
boot
is "and is started after a boot" "$(state)" running
if has_service; then
  is "by starting its service" "$(kill -0 "$(service_pid)" && echo yes)" yes
else
  without_service 1
fi
is "the volumes are there" "$(names)" v1
virsh pool-autostart thin --disable >/dev/null
boot
is "without autostart it is not" "$(state)" inactive
virsh pool-start thin >/dev/null

# --- stop ---
exec 8<"/dev/$vg/v1"
like "destroy is refused while a volume is open, and by whom is said" \
  "$(virsh pool-destroy thin 2>&1)" "v1.*pid"
is "the pool goes on" "$(state)" running
ok "with its node" test -b "/dev/$vg/v1"
exec 8<&-
loop=$(losetup -f --show "/dev/$vg/v1")
for command in "pool-destroy thin" "vol-delete v1 thin" "vol-wipe v1 thin"; do
  # shellcheck disable=SC2086
  like "${command%% *} names a loop device on the node" \
    "$(virsh $command 2>&1)" "v1 is in use by block device ${loop#/dev/}"
done
losetup -d "$loop"
ok "destroy when it is closed" virsh pool-destroy thin
not_ok "takes the nodes away" test -e "/dev/$vg/v1"
wait_until 10 is_at_rest "$vg"
ok "and nobody has the volume group any more" is_at_rest "$vg"
ok "delete is refused while there are volumes" eval '! virsh pool-delete thin'
ok "start again" virsh pool-start thin
is "nothing is lost" "$(names)" v1

# --- the service dies ---
service_dies() {
  dd if=/dev/urandom of="$tmp/data" bs=1M count=5 status=none
  virsh vol-upload v1 "$tmp/data" --pool thin >/dev/null
  kill -KILL "$(engine_pid)"
  ok "the engine killed: refresh waits for the next one" virsh pool-refresh thin
  is "the volume is there" "$(names)" v1
  is "and its content" "$(head -c $((5 << 20)) "/dev/$vg/v1" | md5sum)" "$(md5sum <"$tmp/data")"
  "$VIRT_THIN_PROGRAM" stop "$vg"
  like "the service stopped: refresh says so" "$(virsh pool-refresh thin 2>&1)" "$vg is not served"
  is "and the pool is inactive" "$(state)" inactive
  ok "start brings it back" virsh pool-start thin
  is "with its volumes" "$(names)" v1
}
if has_service; then service_dies; else without_service 7; fi
cp "$(command -v sleep)" "$tmp/reader"
"$tmp/reader" 60 <"/dev/$vg/v1" & reader=$!
like "who has it open is named" "$(virsh pool-destroy thin 2>&1)" "reader"
kill $reader; wait $reader 2>/dev/null
virsh vol-delete v1 thin >/dev/null

# --- build and delete ---
disk=$(disk "$tmp/disk.img" 256M)
sed "s|/dev/sdb|$disk|; s|fast/data|b$vg/data|" "$top_srcdir/xml/pool-on-device.xml" \
  >"$tmp/build.xml"
ok "xml/pool-on-device.xml can be defined" virsh pool-define "$tmp/build.xml"
not_ok "not started before it is built" virsh pool-start fast
image=$(printf 'QFI\373...\3' | tee >(dd of="$disk" conv=notrunc status=none) | md5sum)
like "not over a guest's disk image" "$(virsh pool-build fast 2>&1)" "carries a qcow2 image"
not_ok "nor with --no-overwrite" virsh pool-build fast --no-overwrite
not_ok "nor with both" virsh pool-build fast --no-overwrite --overwrite
is "it is whole" "$(head -c 8 "$disk" | md5sum)" "$image"
ok "build with --overwrite" virsh pool-build fast --overwrite
not_ok "not twice" virsh pool-build fast --no-overwrite
like "nor over itself, with --overwrite" "$(virsh pool-build fast --overwrite 2>&1)" "already"
ok "start" virsh pool-start fast
ok "it takes volumes" virsh vol-create-as fast v1 10M
is "it runs after a restart of libvirtd" "$(libvirt_restart; state fast)" running
virsh vol-delete v1 fast >/dev/null
ok "destroy" virsh pool-destroy fast
ok "delete, now that it is empty" virsh pool-delete fast
not_ok "not started after that" virsh pool-start fast
ok "build again, in the volume group that has stayed" virsh pool-build fast
ok "it starts" virsh pool-start fast
ok "and takes volumes" virsh vol-create-as fast v1 10M
virsh vol-delete v1 fast >/dev/null; virsh pool-destroy fast >/dev/null
ok "delete it again" virsh pool-delete fast
virsh pool-define-as none logical --source-name "none$vg/data" >/dev/null
like "a volume group that is not there needs a device" \
  "$(virsh pool-build none 2>&1)" "no volume group none$vg yet: .* needs exactly one <device"
virsh pool-undefine none >/dev/null
virsh pool-destroy thin >/dev/null
like "a pool that is there is not built, but started" \
  "$(virsh pool-build thin 2>&1)" "$vg/data is there already: .virsh pool-start thin. starts it"
new_vg "w$vg/data" 256m --reserve 100m
has_service || "$VIRT_THIN_PROGRAM" deactivate "w$vg/data"
virsh pool-define-as second logical --source-name "w$vg/second" >/dev/null
ok "a second pool is built in a volume group that is there" virsh pool-build second
ok "and starts" virsh pool-start second
virsh pool-destroy second >/dev/null; virsh pool-undefine second >/dev/null
rmdir "/dev/b$vg" 2>/dev/null
ok "undefine" virsh pool-undefine fast

# --- two pools in one volume group ---
two=m$vg
new_vg "$two/one" 256m --reserve 100m
for pool in one two; do
  virsh pool-define-as $pool logical --source-name "$two/$pool" >/dev/null
done
ok "start the first" virsh pool-start one
virsh vol-create-as one o1 8M >/dev/null
ok "a second one, made while the volume group is served" "$VIRT_THIN_PROGRAM" init "$two/two"
has_service || "$VIRT_THIN_PROGRAM" deactivate "$two/two" # lvm2 has activated what it made
libvirt_restart
is "is not active because of that" "$(state one), $(state two)" "running, inactive"
ok "so the first one's end" virsh pool-destroy one
ok "is the volume group's" is_at_rest "$two"
ok "start the second alone" virsh pool-start two
virsh vol-create-as two t1 8M >/dev/null
is "it has its nodes alone" "$(ls "/dev/$two")" t1
if has_service; then
  kill -KILL "$(pgrep -P "$(cat "$VIRT_THIN_RUNTIME_DIR/$two/pid")" -f virt-thin-engine)"
fi
libvirt_restart
is "also after a restart of engine and libvirtd" "$(state one), $(state two)" "inactive, running"
ok "start the first, too" virsh pool-start one
is "both have theirs" "$(ls "/dev/$two" | xargs)" "o1 t1"
ok "destroy the first" virsh pool-destroy one
is "the second goes on" "$(ls "/dev/$two")" t1
ok "destroy the second" virsh pool-destroy two
