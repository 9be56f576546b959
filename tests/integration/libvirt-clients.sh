#!/bin/bash
# virt-install, virt-clone, libvirt's Python binding, and guests whose disks are volumes: while they
# run, libvirtd and the service may restart.
. "$(dirname "$0")/libvirt-lib.sh"
for program in virt-install virt-clone qemu-system-x86_64; do
  command -v $program >/dev/null || skip_all "needs $program"
done
plan 65

libvirt_start && thin_pool 1g >/dev/null || { echo "Bail out! no pool: $(tail -5 "$log")"; exit 1; }
MiB=$((1024 * 1024))
pool_bytes() { virsh pool-info thin --bytes | sed -n "s/^$1: *\([0-9]*\).*/\1/p"; }
consistent() {
  [ $(($(pool_bytes Allocation) + $(pool_bytes Available))) = "$(pool_bytes Capacity)" ]
}
sum() { md5sum <"$(virsh vol-path "$1" --pool thin)"; }
document() {
  sed "s|/dev/pve/|/dev/$vg/|; s|local-lvm|thin|; s|'MiB'>256|'MiB'>64|
    s|'GiB'>8|'MiB'>256|; s|'GiB'>12|'MiB'>384|" \
    "$top_srcdir/xml/$1"
}
disk_of() {
  virsh dumpxml "$1" | xmllint --xpath "string(/domain/devices/disk[@device='disk']/source/@dev)" -
}
engine_pid() { pgrep -P "$(cat "$VIRT_THIN_RUNTIME_DIR/$vg/pid")" -f virt-thin-engine; }

# --- guests on documents of xml/ ---
ok "xml/volume.xml" virsh vol-create thin <(document volume.xml)
dd if=/dev/urandom of="/dev/$vg/vm-100-disk-0" bs=1M count=20 oflag=direct status=none
ok "xml/clone.xml" virsh vol-create thin <(document clone.xml)
ok "xml/snapshot.xml" virsh vol-create thin <(document snapshot.xml)
ok "xml/domain-volume.xml" virsh define --validate <(document domain-volume.xml)
ok "xml/domain-block.xml" virsh define --validate \
  <(document domain-block.xml | sed 's/vm-100/vm-101/')
ok "a guest with a disk of type volume starts" virsh start vm-100
ok "a guest with a disk of type block starts" virsh start vm-101
is "the first has its volume's block node" \
  "$(virsh domblkinfo vm-100 vda | sed -n 's/^Capacity: *//p')" $((256 * MiB))
like "its volume cannot be deleted: QEMU has it" \
  "$(virsh vol-delete vm-100-disk-0 thin 2>&1)" "vm-100-disk-0.*qemu"
like "nor can the pool be stopped" "$(virsh pool-destroy thin 2>&1)" "qemu"
ok "it can be cloned" virsh vol-clone vm-100-disk-0 hot --pool thin
ok "and made a snapshot of" \
  virsh vol-create-as thin snap_vm-100-disk-0_hot 0 --backing-vol vm-100-disk-0
ok "refreshed" virsh pool-refresh thin
libvirt_restart
is "libvirtd restarts: the guests run" "$(virsh list --name | sort | xargs)" "vm-100 vm-101"
is "the pool, too" "$(virsh pool-list --name | xargs)" thin
# What a guest would do, through QEMU itself, which says in its log how it went.
qemu_io() {
  local qemu_log=/var/log/libvirt/qemu/vm-101.log lines
  lines=$(wc -l <$qemu_log)
  virsh qemu-monitor-command vm-101 --hmp \
    "qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \"$1\"" 2>&1
  wait_until 30 eval "tail -n +$((lines + 1)) $qemu_log | grep -qE 'bytes at|failed|error'"
  tail -n +$((lines + 1)) $qemu_log
}
like "the guest's disk can be written" "$(qemu_io 'write -P 0x5a 100M 4M')" "wrote 4194304"
if has_service; then
  kill -KILL "$(engine_pid)"
  read_back=$(qemu_io 'read -P 0x5a 100M 4M')
  like "the engine is killed: a read waits for the next one" "$read_back" "read 4194304"
  is "and gets what was written" "$(grep -c 'failed' <<<"$read_back")" 0
else
  without_service 2
fi
like "it can be written again" "$(qemu_io 'write -P 0xa5 200M 4M')" "wrote 4194304"
is "no guest has stopped" \
  "$(virsh domstate vm-101) $(virsh domblkerror vm-101 | head -1)" "running No errors found"
ok "libvirt's pool goes on" virsh pool-refresh thin
# docs/cli.md, "More room": by virsh, and by virt-thin.
ok "its volume grows" virsh vol-resize vm-101-disk-0 64M --delta --pool thin
ok "the guest is told" virsh blockresize vm-101 vda 448M
ok "and again" "$VIRT_THIN_PROGRAM" resize "$vg/vm-101-disk-0" +64m
ok "told" virsh blockresize vm-101 vda 512M
is "its disk is as large" \
  "$(virsh domblkinfo vm-101 vda | sed -n 's/^Capacity: *//p')" $((512 * MiB))
like "QEMU has it" "$(qemu_io 'write -P 0x11 500M 1M')" "wrote 1048576"
# A mirror writes the zeros that it reads of a disk whose holes it cannot see.
virsh vol-create-as thin copy 256M >/dev/null
sum_before=$(sum vm-100-disk-0)
ok "blockcopy onto a volume" virsh blockcopy vm-100 vda --dest "/dev/$vg/copy" --blockdev \
  --format raw --reuse-external --transient-job --wait --finish
is "copies it" "$(sum copy)" "$sum_before"
allocated=$(virsh vol-info copy thin --bytes | sed -n 's/^Allocation: *\([0-9]*\).*/\1/p')
if has_service; then
  is "and it is as thin as it was" "$allocated" $((20 * MiB))
else
  skip 1 "the kernel maps what is written"
fi
ok "deleted" virsh vol-delete copy thin
virsh destroy vm-100 >/dev/null; virsh destroy vm-101 >/dev/null
is "what the guest wrote is there" \
  "$(dd if="/dev/$vg/vm-101-disk-0" bs=1M skip=200 count=4 status=none | tr -d '\245' | wc -c)" 0

# --- virt-clone ---
before=$(pool_bytes Allocation)
original=$(sum vm-101-disk-0)
ok "virt-clone" virt-clone --original vm-101 --name vm-102 --auto-clone
is "the clone's disk is a volume of the pool" "$(dirname "$(disk_of vm-102)")" "/dev/$vg"
is "with the content" "$(md5sum <"$(disk_of vm-102)")" "$original"
is "that takes no space" "$(pool_bytes Allocation)" "$before"
ok "it starts" virsh start vm-102
virsh destroy vm-102 >/dev/null
ok "virt-clone --reflink" virt-clone --original vm-101 --name vm-103 --auto-clone --reflink
is "with the content" "$(md5sum <"$(disk_of vm-103)")" "$original"
ok "virt-clone of a disk of type volume" virt-clone --original vm-100 --name vm-104 --auto-clone
ok "to a name of one's own" \
  virt-clone --original vm-101 --name vm-105 --file "/dev/$vg/vm-105-disk-0"
is "which it has" "$(virsh vol-list thin | grep -c ' vm-105-disk-0 ')" 1
ok "capacity, allocation and available agree" consistent
ok "undefine --remove-all-storage takes the disk along" virsh undefine vm-102 --remove-all-storage
not_ok "indeed" virsh vol-info vm-101-disk-0-clone --pool thin

# --- virt-install ---
common="--memory 64 --vcpus 1 --virt-type qemu --osinfo detect=on,require=off --import
  --network none --graphics none --noautoconsole --wait 0"
ok "virt-install makes a disk in the pool" \
  virt-install --name vi-1 --disk pool=thin,size=0.0625 $common
is "its guest has the disk's node" "$(dirname "$(disk_of vi-1)")" "/dev/$vg"
is "and runs" "$(virsh domstate vi-1)" running
virsh destroy vi-1 >/dev/null
ok "virt-install on a volume that is there" virt-install --name vi-2 --disk vol=thin/hot $common
is "and runs" "$(virsh domstate vi-2)" running
virsh destroy vi-2 >/dev/null
like "virt-install --print-xml" \
  "$(virt-install --name vi-3 --disk "/dev/$vg/vi-3,size=0.0625" $common --print-xml 2>&1)" \
  "<source dev=\"/dev/$vg/vi-3\"/>"

# --- the Python binding ---
cat >"$tmp/binding.py" <<'END'
import hashlib, libvirt, os, sys
conn = libvirt.open()
pool = conn.storagePoolLookupByName('thin')
vol = pool.createXML('<volume><name>py</name><capacity unit="MiB">64</capacity></volume>')
data = os.urandom(1 << 20)
parts = [('hole', 8 << 20), ('data', data), ('hole', 16 << 20), ('data', data),
         ('hole', (64 << 20) - (26 << 20))]
stream = conn.newStream()
vol.upload(stream, 0, 0, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
for kind, what in parts:
    if kind == 'hole':
        stream.sendHole(what)
    else:
        view = what
        while view:
            sent = stream.send(view[:65536])
            view = view[sent:]
stream.finish()
pool.refresh()
want = b''.join(bytes(what) if kind == 'data' else bytes(what) for kind, what in parts)
with open(vol.path(), 'rb') as f:
    assert f.read() == want, 'content'
assert vol.info()[1:] == [64 << 20, 2 << 20], vol.info()
assert conn.storageVolLookupByKey(vol.key()).name() == 'py'
assert conn.storageVolLookupByPath(vol.path()).name() == 'py'
assert [v.name() for v in pool.listAllVolumes()].count('py') == 1
clone = pool.createXMLFrom('<volume><name>py2</name><capacity>0</capacity></volume>', vol,
                           libvirt.VIR_STORAGE_VOL_CREATE_REFLINK)
assert clone.info()[1:] == [64 << 20, 2 << 20]
vol.resize(128 << 20)
assert vol.info()[1] == 128 << 20
vol.delete(); clone.delete()
END
ok "Python: sparse upload, lookups, clone, resize, delete" /usr/bin/python3 "$tmp/binding.py"
for volume in $(virsh vol-list thin | awk 'NR > 2 && NF {print $1}'); do
  virsh vol-delete "$volume" thin
done >"$tmp/deleted" 2>&1
is "everything can be deleted" "$(virsh vol-list thin | awk 'NR > 2 && NF' | wc -l)" 0
is "and takes nothing then" "$(pool_bytes Allocation)" 0

# --- disks larger than what is free ---
like "a slip of the unit is refused" "$(virsh vol-create-as thin slip 900000G 2>&1)" \
  "largest-volume in virt-thin.conf \\(\\[pool $vg/data\\] or \\[limits\\]\\)"
like "virt-install refuses a disk larger than what is available" \
  "$(virt-install --name vi-4 --disk pool=thin,size=4 $common 2>&1)" "not enough free space"
ok "which is what is free" consistent
ok "destroy" virsh pool-destroy thin
printf '[limits]\novercommit=8\n[pool %s/data]\navailable=promises\n' "$vg" >"$VIRT_THIN_CONFIG"
libvirt_restart
ok "start" virsh pool-start thin
is "available=promises: what may be promised is available" "$(pool_bytes Available)" \
  $(($(pool_bytes Capacity) * 8))
ok "virt-install makes such a disk" virt-install --name vi-4 --disk pool=thin,size=4 $common
is "it is promised, then" "$(pool_bytes Available)" $(($(pool_bytes Capacity) * 8 - (4 << 30)))
like "what may not be is refused as ever" \
  "$(virsh vol-create-as thin more 4G 2>&1)" "over the limit of 8 times"
virsh destroy vi-4 >/dev/null; virsh undefine vi-4 --remove-all-storage >/dev/null
: >"$VIRT_THIN_CONFIG"
ok "destroy" virsh pool-destroy thin
ok "lvm2 and thin_check find nothing to say" judge_lvm "$(pv_file "$vg")"
