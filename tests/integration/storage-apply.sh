#!/bin/bash
# virt-thin - storage apply: a real libvirtd's pools follow a storage.cfg, and its changes
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/libvirt-lib.sh"
command -v qemu-system-x86_64 >/dev/null || skip_all "needs qemu-system-x86_64"
plan 75

cfg=$tmp/storage.cfg store=$tmp/store
apply() { "$VIRT_THIN_PROGRAM" storage apply --config "$cfg" --node node1 "$@"; }
# The plan, as "action pool" lines; what it says in $plan.
plan_of() { apply --json "$@" >"$tmp/plan.json" 2>"$tmp/said"; echo $? >"$tmp/status"
  python3 -c 'import json, sys
for s in json.load(open(sys.argv[1]))["plan"]: print(s["action"], s["pool"] or s["storage"])' \
    "$tmp/plan.json" | sort | paste -sd';'
}
reason() { python3 -c 'import json, sys
plan = json.load(open(sys.argv[1]))["plan"]
print("; ".join(s["reason"] + "".join(" | " + n for n in s["notes"])
                for s in plan if (s["pool"] or s["storage"]) == sys.argv[2]))' \
    "$tmp/plan.json" "$1"
}
failure() { python3 -c 'import json, sys
plan = json.load(open(sys.argv[1]))["plan"]
print("; ".join(s["error"] or "none" for s in plan if s["storage"] == sys.argv[2]))' \
    "$tmp/plan.json" "$1"
}
state() {
  virsh pool-info "$1" 2>/dev/null | sed -n 's/^State: *//p; s/^Autostart: */autostart /p' |
    paste -sd' '
}
all_pools() { virsh pool-list --all --name | sort | paste -sd' ' | xargs; }
element() { virsh pool-dumpxml --inactive "$1" | xmllint --xpath "string($2)" -; }
snapshot_of_all() {
  virsh pool-list --all
  for pool in $(virsh pool-list --all --name); do virsh pool-dumpxml --inactive "$pool"; done
}

libvirt_start || { echo "Bail out! libvirtd did not start"; exit 1; }
"$VIRT_THIN_PROGRAM" init "$vg/data" --size 1g

cat >"$cfg" <<CFG
# the fleet
dir: store
	path $store
	content images,iso,backup

lvmthin: local-lvm
	thinpool data
	vgname $vg

lvm: thick
	vgname ${vg}x

nfs: share
	server 127.0.0.1
	export /srv/none
	options soft,timeo=1,retrans=0
	content iso
	path $tmp/share

iscsi: san
	portal 127.0.0.1:3260
	target iqn.2003-01.org.example:none

rbd: ceph
	monhost 127.0.0.1
	pool vms
	username libvirt

pbs: backups
	server pbs
	datastore d

lvmthin: broken
	thinpool data

lvmthin: elsewhere
	thinpool data
	vgname ${vg}y
	nodes node2

dir: off
	path $tmp/off
	disable
CFG

want="create local-lvm;create san;create share;create share-iso;create store;create store-iso"
want+=";create thick;not possible backups;not possible broken;not possible ceph"
virsh pool-capabilities | grep -q "type='rbd' supported='yes'" &&
  want="${want/;not possible ceph/}" want="create ceph;$want"
is "the plan" "$(plan_of --dry-run)" "$want"
is "a dry run changes nothing" "$(cat "$tmp/status") $(all_pools)" "0 "
like "what stays invisible is told" \
  "$(reason store)" "does not show in libvirt: backup, rootdir|does not show in libvirt: backup"
like "what is not possible, with the reason" \
  "$(reason backups)" "no pool for a Proxmox Backup Server"
like "of what is broken the line" "$(reason broken)" "line 33 is broken"
ok "JSON as the schema says" python3 "$top_srcdir/tests/integration/validate-json" \
  "$top_srcdir/schemas/storage-apply.schema.json" <"$tmp/plan.json"
run_text() { apply --dry-run 2>/dev/null; }
like "the plan as text" "$(run_text)" "^create       local-lvm +logical pool $vg/data$"

is "applied as planned" "$(plan_of)" "$want"
is "what cannot start here is a failure" "$(cat "$tmp/status")" 1
like "of its own" "$(failure share)" "starting pool share: .*mount"
is "that stops no other" "$(failure store) $(failure local-lvm)" "none; none none"
is "the thin pool runs" "$(state local-lvm)" "running autostart yes"
is "the folder, too" "$(state store)" "running autostart yes"
is "it is where Proxmox has it" "$(element store /pool/target/path)" "$store/images"
is "and the one of images of disks" "$(element store-iso /pool/target/path) $(state store-iso)" \
  "$store/template/iso running autostart yes"
is "the thin pool's source has no device" \
  "$(element local-lvm /pool/source/name)$(element local-lvm 'count(/pool/source/device)')" \
  "$vg/data""0"
is "what failed to start is defined" "$(state share)" "inactive autostart yes"
is "portal and target" \
  "$(element san /pool/source/host/@name) $(element san /pool/source/host/@port) $(
    element san /pool/source/device/@path)" \
  "127.0.0.1 3260 iqn.2003-01.org.example:none"
is "mount options" \
  "$(virsh pool-dumpxml --inactive share | grep -o "option name='[^']*'" | paste -sd' ')" \
  "option name='soft' option name='timeo=1' option name='retrans=0'"
is "nothing is made where a share is not mounted" \
  "$(state share-iso) $(ls "$tmp/share")" "inactive autostart yes "
is "the UUID is one of version 5" "$(virsh pool-uuid local-lvm | cut -c15)" 5
not_ok "nothing was made of what is not for here" virsh pool-info elsewhere
ok "a volume can be made" virsh vol-create-as local-lvm vm-100-disk-0 64M

snapshot_of_all >"$tmp/first"
is "again: what runs is unchanged, what does not is tried" "$(plan_of)" \
  "$(sed -E 's/create (local-lvm|store|store-iso)/unchanged \1/g; s/create/start/g' <<<"$want" |
    tr ';' '\n' | sort | paste -sd';')"
snapshot_of_all >"$tmp/second"
ok "and nothing changes" diff "$tmp/first" "$tmp/second"

# --- changes ---
sed -i "s#path $store\$#path $store-2#
  s/content images,iso,backup/content images/; s/options soft.*/options hard/" \
  "$cfg"
sed -i '/^nfs: share/a\	disable' "$cfg"
want="stop share;stop share-iso;stop store-iso;update store"
is "what has changed is planned" \
  "$(plan_of --dry-run | tr ';' '\n' | grep -E 'store|share' | paste -sd';')" "$want"
like "with the reason" "$(reason store)" "target: $store-2/images, not $store/images"
like "for each" "$(reason share)" "is disabled"
plan_of >/dev/null
is "the folder has moved" \
  "$(element store /pool/target/path) $(state store)" "$store-2/images running autostart yes"
not_ok "the pool that the storage has no more is gone" virsh pool-info store-iso
ok "its files are not" test -d "$store/template/iso"
is "what is disabled is not started" "$(state share)" "inactive autostart no"
is "what is disabled and stopped is unchanged" \
  "$(plan_of --dry-run | tr ';' '\n' | grep -E 'share|store' | paste -sd';')" \
  "unchanged share;unchanged share-iso;unchanged store"

# --- what a domain uses ---
cat >"$tmp/domain.xml" <<XML
<domain type='qemu'><name>user</name><memory unit='MiB'>32</memory>
<os><type arch='x86_64'>hvm</type></os>
<devices>
<disk type='block' device='disk'>
<source dev='/dev/$vg/vm-100-disk-0'/><target dev='vda'/></disk>
<disk type='file' device='disk'>
<source file='$store-2/images/a.img'/><target dev='vdb'/></disk>
</devices></domain>
XML
virsh define "$tmp/domain.xml" >/dev/null
sed -i "/^lvmthin: local-lvm/a\	nodes node2" "$cfg"
is "what a domain uses is not stopped" \
  "$(plan_of | tr ';' '\n' | grep local-lvm)" "unchanged local-lvm"
like "the plan says why" \
  "$(reason local-lvm)" "not for node node1, but not stopped: domain user uses it"
is "nor is it" "$(state local-lvm)" "running autostart yes"
sed -i "s#path $store-2\$#path $store-3#" "$cfg"
is "what a domain uses is not moved" "$(plan_of | tr ';' '\n' | grep store)" "update store"
like "but defined" \
  "$(reason store) $(element store /pool/target/path)" "in use by domain user.* $store-3/images$"
is "and goes on" \
  "$(virsh pool-dumpxml store | xmllint --xpath 'string(/pool/target/path)' -) $(state store)" \
  "$store-2/images running autostart yes"
snapshot_of_all >"$tmp/first"; plan_of >/dev/null; snapshot_of_all >"$tmp/second"
ok "again nothing changes" diff "$tmp/first" "$tmp/second"
virsh undefine user >/dev/null
plan_of >/dev/null
is "once no domain uses it, the thin pool is stopped" "$(state local-lvm)" "inactive autostart no"
is "and the folder moves" \
  "$(virsh pool-dumpxml store | xmllint --xpath 'string(/pool/target/path)' -)" "$store-3/images"
sed -i "/^	nodes node2/d" "$cfg"
is "meant for this node again, it is started" \
  "$(plan_of | tr ';' '\n' | grep local-lvm) $(state local-lvm)" \
  "start local-lvm running autostart yes"
ok "its volume is there" virsh vol-info vm-100-disk-0 --pool local-lvm

# --- others' pools ---
virsh pool-define-as foreign dir --target "$tmp/foreign" >/dev/null
virsh pool-define-as taken dir --target "$tmp/taken" >/dev/null
printf '\ndir: taken\n\tpath %s\n' "$tmp/else" >>"$cfg"
is "a pool of that name is a conflict" \
  "$(plan_of | tr ';' '\n' | grep taken) $(cat "$tmp/status")" "not possible taken 1"
like "which is reported" "$(reason taken)" "conflict: pool taken is there, with UUID"
is "and left alone" "$(element taken /pool/target/path)" "$tmp/taken"
virsh pool-define-as beside dir --target "$tmp/else/images" >/dev/null
is "also where another pool has the source" \
  "$(plan_of --adopt | tr ';' '\n' | grep -E 'taken|beside') $(cat "$tmp/status")" \
  "not possible taken 1"
virsh pool-undefine beside >/dev/null
like "what is another source" "$(reason taken)" "making .target: $tmp/else/images, not $tmp/taken"

# --- others' pools of the same source: README's, and one with another name ---
cp "$cfg" "$tmp/cfg.before"
"$VIRT_THIN_PROGRAM" init "m$vg/data" --size 64m
# Their definition goes further than ours: what it says stays.
said="<device path='$VIRT_THIN_STATE_DIR/m$vg.img'/>"
said+="<vendor name='virt-thin'/><product name='bundled'/>"
sed "s|pve/data|m$vg/data|; s|local-lvm|mine|; s|^  </source>|$said</source>|" \
  "$top_srcdir/xml/local-lvm.xml" >"$tmp/mine.xml"
virsh pool-define "$tmp/mine.xml" >/dev/null
virsh pool-define-as images dir --target "$tmp/images/images" >/dev/null
printf '\nlvmthin: mine\n\tthinpool data\n\tvgname m%s\n' "$vg" >>"$cfg"
printf '\ndir: folder\n\tpath %s\n\tcontent images\n' "$tmp/images" >>"$cfg"
sed -i '/^dir: taken/,/path/d' "$cfg"
uuid=$(virsh pool-uuid mine)
of_mine() { plan_of "$@" | tr ';' '\n' | grep -E 'mine|images|folder' | paste -sd';'; }
is "a pool of the storage's type and source is it" "$(of_mine --dry-run)" \
  "unchanged images;unchanged mine"
is "no conflict" "$(cat "$tmp/status")" 0
like "but yours" "$(reason mine)" "^yours: logical pool m$vg/data; --adopt makes it"
like "which does not run" "$(reason mine)" "\| it does not run: virsh pool-start mine starts it"
like "under whatever name" "$(reason images)" "^yours, under another name than folder: dir pool"
is "it is left alone" "$(virsh pool-uuid mine | xargs) $(state mine)" \
  "$(xargs <<<"$uuid") inactive autostart no"
sed "s|/dev/$vg/vm-100-disk-0|/dev/$vg/none|; s|$store-2/images/a.img|$tmp/images/images/a.img|" \
  "$tmp/domain.xml" >"$tmp/user.xml"
virsh define "$tmp/user.xml" >/dev/null
virsh pool-start mine >/dev/null
is "--adopt takes over what no domain uses" "$(of_mine --adopt)" "unchanged images;update mine"
like "the plan says why not" "$(reason images)" "not adopted: domain user uses it"
is "it runs" "$(state mine)" "running autostart yes"
not_ok "with the UUID of a storage" test "$(virsh pool-uuid mine)" = "$uuid"
is "and all else that was said of it" \
  "$(element mine /pool/source/device/@path) $(element mine /pool/source/product/@name)" \
  "$VIRT_THIN_STATE_DIR/m$vg.img bundled"
virsh undefine user >/dev/null
is "as the other once it can be" "$(of_mine --adopt)" "unchanged mine;update folder"
is "by its storage's name" "$(all_pools | grep -o 'folder\|images' | xargs) $(state folder)" \
  "folder running autostart yes"
is "then they are virt-thin's" "$(of_mine)" "unchanged folder;unchanged mine"
cp "$tmp/cfg.before" "$cfg"
plan_of >/dev/null
is "and go with their storages" "$(all_pools | grep -o 'mine\|folder' | xargs)" ""
"$VIRT_THIN_PROGRAM" remove "$vg/mine"
printf '# nothing left\nlvmthin: broken\n\nfoo: store\n' >"$cfg"
plan_of >/dev/null
is "what the file has no more goes, others' pools stay, and what it is not clear about" \
  "$(all_pools)" "foreign store taken"
ok "the data stays" sh -c "'$VIRT_THIN_PROGRAM' list $vg | grep vm-100-disk-0"

# --- volume groups ---
truncate -s 64M "$tmp/disk.img"
device=$(losetup --find --show "$tmp/disk.img")
export LVM_SYSTEM_DIR=$tmp/lvm
mkdir -p "$LVM_SYSTEM_DIR"
cat >"$LVM_SYSTEM_DIR/lvm.conf" <<END
devices { use_devicesfile = 0 filter = [ "a|^$device\$|", "r|.*|" ] scan = [ "/dev" ] }
activation { udev_sync = 0 udev_rules = 0 }
backup { backup = 0 archive = 0 }
END
if command -v vgcreate >/dev/null && [ -n "$device" ] && vgcreate -qq "${vg}x" "$device"; then
  libvirt_restart
  printf 'lvm: one\n\tvgname %s\n\nlvmthin: two\n\tthinpool data\n\tvgname %s\n' "${vg}x" \
    "${vg}x" >"$cfg"
  plan_of >/dev/null
  is "a volume group runs" "$(state one)" "running autostart yes"
  sed -i '/^lvm: one/a\	disable' "$cfg"
  is "none is taken from another storage" \
    "$(plan_of | tr ';' '\n' | grep one) $(state one)" "unchanged one running autostart yes"
  like "the plan says from which" "$(reason one)" "take volume group ${vg}x from storage two"
  sed -i '/^lvmthin: two/a\	disable' "$cfg"
  plan_of >/dev/null
  is "once that does not use it, it is stopped" "$(state one)" "inactive autostart no"
  vgremove -qq -f "${vg}x"
else
  skip 4 "needs lvm2 and a loop device"
fi
unset LVM_SYSTEM_DIR

# --- mount points ---
mkdir -p "$tmp/mnt"
printf 'dir: mount\n\tpath %s\n\tis_mountpoint yes\n' "$tmp/mnt" >"$cfg"
is "what is to be mounted and is not" "$(plan_of | tr ';' '\n' | grep mount)" "not possible mount"
mount -t tmpfs tmpfs "$tmp/mnt"
is "and is" \
  "$(plan_of | tr ';' '\n' | grep mount) $(state mount)" "create mount running autostart yes"
umount "$tmp/mnt" || { virsh pool-destroy mount; umount "$tmp/mnt"; }

# --- wrong ---
not_ok "no such file" "$VIRT_THIN_PROGRAM" storage apply --config "$tmp/none"
not_ok "no such libvirt" apply --connect "qemu+unix:///system?socket=$tmp/none"
not_ok "no such name of a node" "$VIRT_THIN_PROGRAM" storage apply --config "$cfg" --node a_b
