#!/bin/bash
# A pool on a plain volume group behaves as if virt-thin were not there: the same session under the stock backend and under ours says the same.
. "$(dirname "$0")/libvirt-lib.sh"
for program in pvcreate vgcreate vgremove pvs losetup; do
  command -v $program >/dev/null || skip_all "needs $program"
done

truncate -s 64M "$tmp/disk.img"
device=$(losetup --find --show "$tmp/disk.img") || skip_all "needs a loop device"
export LVM_SYSTEM_DIR=$tmp/lvm
mkdir -p "$LVM_SYSTEM_DIR"
cat >"$LVM_SYSTEM_DIR/lvm.conf" <<END
devices { use_devicesfile = 0 filter = [ "a|^$device\$|", "r|.*|" ] scan = [ "/dev" ] }
activation { udev_sync = 0 udev_rules = 0 }
backup { backup = 0 archive = 0 }
END

cat >"$tmp/pool.xml" <<END
<pool type='logical'><name>thick</name><uuid>b4d0b2a6-7a3e-4e44-9c55-0f6f6ab0cf11</uuid>
<source><name>$vg</name><device path='$device'/></source><target/></pool>
END
echo "<volume><name>v1</name><capacity unit='bytes'>0</capacity></volume>" >"$tmp/empty.xml"
echo "<volume><name>v1</name><capacity unit='MiB'>8</capacity><backingStore><path>/dev/$vg/none</path></backingStore></volume>" >"$tmp/backed.xml"

# What is said, without what differs from run to run.
run() { echo "\$ $*"; "$@" 2>&1 | sed "s/[0-9a-f]\{8\}-[0-9a-f-]\{27\}/UUID/; s/^  *[0-9]*:.*//"; echo "status ${PIPESTATUS[0]}"; }
session() {
  run virsh pool-define --validate "$tmp/pool.xml"
  run virsh pool-start thick
  run virsh pool-build thick --overwrite --no-overwrite
  run virsh pool-build thick --no-overwrite
  run virsh pool-build thick --no-overwrite
  run virsh find-storage-pool-sources logical
  run virsh find-storage-pool-sources-as logical
  run virsh pool-start thick
  run virsh pool-info thick
  run virsh pool-dumpxml thick
  run virsh vol-list thick
  run virsh vol-create thick "$tmp/empty.xml"
  run virsh vol-create thick "$tmp/backed.xml"
  run virsh vol-create-as thick v1 16M
  run virsh vol-create-as thick v1 16M --prealloc-metadata
  run virsh vol-create-as thick v2 10G
  run virsh vol-list thick --details
  run virsh vol-resize v1 32M --pool thick
  run virsh vol-delete v1 --pool thick
  run virsh pool-refresh thick
  run virsh pool-capabilities
  libvirt_restart "$@" >/dev/null
  run virsh pool-list --all
  run virsh pool-destroy thick
  run virsh pool-delete thick
  run virsh pool-undefine thick
  run pvs --noheadings -o pv_name,vg_name
}

libvirt_start LIBVIRT_STORAGE_BACKEND_DIR="$stock_backends"
session LIBVIRT_STORAGE_BACKEND_DIR="$stock_backends" >"$tmp/stock"
libvirt_stop
vgremove -qq -f "$vg" >/dev/null 2>&1; pvremove -qq -f "$device" >/dev/null 2>&1; dd if=/dev/zero of="$device" bs=1M count=4 status=none
libvirt_start
session >"$tmp/ours"
losetup -d "$device"

# One test for each command and what it said.
split() { csplit -s -z -f "$tmp/$1-" -n 3 "$tmp/$1" '/^\$ /' '{*}'; }
split stock; split ours
set -- "$tmp"/stock-*
plan $(($# + 2))
for part in "$@"; do
  is "$(head -1 "$part")" "$(cat "${part/stock-/ours-}" 2>/dev/null)" "$(cat "$part")"
done
is "as many answers" "$(ls "$tmp"/ours-* | wc -l)" $#
like "the session did something: the pool was built" "$(grep -A2 -- '--no-overwrite' "$tmp/ours")" "Pool thick built"
