#!/bin/bash
# Volumes of a thin pool behind virsh: create, clone, snapshot, resize, delete; and what libvirt
# shows of them.
. "$(dirname "$0")/libvirt-lib.sh"
plan 110

libvirt_start && thin_pool 1g >/dev/null || { echo "Bail out! no pool: $(tail -5 "$log")"; exit 1; }
MiB=$((1024 * 1024))
bytes() { virsh vol-info "$1" thin --bytes | sed -n "s/^$2: *\([0-9]*\).*/\1/p"; }
pool_bytes() { virsh pool-info thin --bytes | sed -n "s/^$1: *\([0-9]*\).*/\1/p"; }
consistent() {
  [ $(($(pool_bytes Allocation) + $(pool_bytes Available))) = "$(pool_bytes Capacity)" ]
}
# A field of volume NAME as the program lists it.
listed() {
  "$VIRT_THIN_PROGRAM" list "$vg" --json |
    python3 -c 'import json, sys; volumes = json.load(sys.stdin)["volumes"]
print({v["name"]: v for v in volumes}[sys.argv[1]][sys.argv[2]])' \
      "$1" "$2"
}
uuid_of() { listed "$1" uuid; }
names() { virsh vol-list thin | awk 'NR > 2 && NF {print $1}' | sort | xargs; }
write() {
  dd if=/dev/urandom of="$(virsh vol-path "$1" --pool thin)" bs=1M count="$2" seek="${3:-0}" \
    oflag=direct conv=notrunc,fsync status=none
}
sum() { md5sum <"$(virsh vol-path "$1" --pool thin)"; }
# of what the kernel shows no node
downloaded() {
  virsh vol-download "$1" "$tmp/downloaded" --pool thin >/dev/null && md5sum <"$tmp/downloaded"
  rm -f "$tmp/downloaded"
}
xml() { virsh vol-dumpxml "$1" thin | xmllint --xpath "string(/volume/$2)" -; }
create() { cat >"$tmp/vol.xml"; virsh vol-create thin "$tmp/vol.xml" 2>&1; }

# --- create ---
ok "create" virsh vol-create-as thin v1 100M
is "its type is block" "$(xml v1 @type)" block
is "its path is /dev/VG/LV" "$(xml v1 target/path)" "/dev/$vg/v1"
ok "which is a block device" test -b "/dev/$vg/v1"
is "its key is the LV's UUID" "$(virsh vol-key v1 --pool thin)" "$(uuid_of v1)"
is "its capacity is what was asked for" "$(bytes v1 Capacity)" $((100 * MiB))
is "nothing is allocated" "$(bytes v1 Allocation)" 0
ok "it is found by its path" virsh vol-info "/dev/$vg/v1"
ok "and by its key" virsh vol-info "$(uuid_of v1)"
ok "a capacity is rounded up to extents" virsh vol-create-as thin v2 50M
is "to 52 MiB" "$(bytes v2 Capacity)" $((52 * MiB))
ok "an allocation asked for is ignored" virsh vol-create-as thin v3 64M --allocation 64M
is "nothing is allocated then, either" "$(bytes v3 Allocation)" 0
ok "a volume may be larger than the pool" virsh vol-create-as thin huge 10T
is "and takes nothing from it" "$(pool_bytes Allocation)" 0
like "a name twice is refused" "$(virsh vol-create-as thin v1 1M 2>&1)" "'v1'"
like "a name with a slash is refused" "$(virsh vol-create-as thin a/b 4M 2>&1)" "a/b"
like "a name that begins with a dash is refused" \
  "$(create <<<"<volume><name>-x</name><capacity>4194304</capacity></volume>")" "error.*-x"
like "a name of 128 characters is refused" \
  "$(virsh vol-create-as thin "$(printf 'x%.0s' {1..128})" 4M 2>&1)" "error"
like "no capacity is refused" \
  "$(create <<<"<volume><name>none</name><capacity>0</capacity></volume>")" \
  "volume none needs a capacity"
like "preallocation of metadata is refused" \
  "$(virsh vol-create-as thin meta 4M --prealloc-metadata 2>&1)" \
  "metadata preallocation is not supported"
like "encryption is refused" \
  "$(create <<<"<volume><name>luks</name><capacity>8388608</capacity>
    <target><encryption format='luks'/></target></volume>")" \
  "<encryption> is not supported in a thin pool"
is "what was refused is not there" "$(names)" "huge v1 v2 v3"
ok "owner, group and mode are set" \
  virsh vol-create thin "$top_srcdir/xml/volume-with-permissions.xml"
is "on the node" "$(stat -L -c '%u %g %a' "/dev/$vg/vm-100-disk-1")" "64055 64055 660"
virsh vol-delete huge thin >/dev/null; virsh vol-delete vm-100-disk-1 thin >/dev/null

# --- clones and snapshots through a backing store ---
write v1 20
original=$(sum v1)
is "what is written is allocated" "$(bytes v1 Allocation)" $((20 * MiB))
ok "a volume with a backing store is a clone" virsh vol-create-as thin c1 100M --backing-vol v1
is "it has the content" "$(sum c1)" "$original"
is "it shows its origin" "$(xml c1 backingStore/path)" "/dev/$vg/v1"
is "it takes no space" "$(pool_bytes Allocation)" $((20 * MiB))
ok "and can be written" write c1 1 50
is "which leaves its origin alone" "$(sum v1)" "$original"
ok "a clone may be larger" virsh vol-create-as thin c2 200M --backing-vol v1
is "it is" "$(bytes c2 Capacity)" $((200 * MiB))
like "but not smaller" "$(virsh vol-create-as thin c3 40M --backing-vol v1 2>&1)" "error"
ok "without a capacity it is as large" virsh vol-create thin \
  <(sed "s|/dev/pve/vm-100-disk-0|/dev/$vg/v1|; s|vm-100-disk-0|v1|g" \
    "$top_srcdir/xml/snapshot.xml")
is "its name makes it a snapshot" "$(listed snap_v1_before readonly)" True
is "it is as large as its origin" "$(bytes snap_v1_before Capacity)" $((100 * MiB))
like "a snapshot cannot be uploaded to" \
  "$(virsh vol-upload snap_v1_before /etc/hostname --pool thin 2>&1)" "read-only"
like "nor wiped" "$(virsh vol-wipe snap_v1_before thin 2>&1)" "read-only"
ok "it can be downloaded" virsh vol-download snap_v1_before "$tmp/snapshot" --pool thin
is "and has the content" "$(md5sum <"$tmp/snapshot")" "$original"
like "a backing store in another place is refused" \
  "$(create <<<"<volume><name>far</name><capacity>4194304</capacity>
    <backingStore><path>/dev/other/v1</path></backingStore></volume>")" \
  "not in volume group $vg"
like "one that is not there, too" \
  "$(create <<<"<volume><name>far</name><capacity>4194304</capacity>
    <backingStore><path>/dev/$vg/none</path></backingStore></volume>")" \
  "none"

# --- vol-clone ---
ok "vol-clone" virsh vol-clone v1 k1 --pool thin
is "has the content" "$(sum k1)" "$original"
# of the kernel's, a clone replaces the volume that vol-create had made
has_service || virsh pool-refresh thin >/dev/null
is "keeps the key that libvirt was told" "$(virsh vol-key k1 --pool thin)" "$(uuid_of k1)"
ok "vol-clone --reflink" virsh vol-clone v1 k2 --pool thin --reflink
is "takes no space" "$(pool_bytes Allocation)" $((21 * MiB))
ok "vol-clone of a snapshot can be written" virsh vol-clone snap_v1_before k3 --pool thin
ok "indeed" write k3 1
echo "<volume><name>k5</name><capacity>$((160 * MiB))</capacity></volume>" >"$tmp/vol.xml"
ok "a clone by vol-create-from may be larger" \
  virsh vol-create-from thin "$tmp/vol.xml" v1 --inputpool thin
is "it is" "$(bytes k5 Capacity)" $((160 * MiB))
is "and takes no space" "$(pool_bytes Allocation)" $((22 * MiB))
virsh vol-delete k5 thin >/dev/null
like "vol-clone --prealloc-metadata is refused" \
  "$(virsh vol-clone v1 k4 --pool thin --prealloc-metadata 2>&1)" \
  "metadata preallocation is not supported"
like "and leaves nothing" "$(names)" "^c1 c2 k1 k2 k3 snap_v1_before v1 v2 v3$"
ok "capacity, allocation and available agree" consistent
ok "a refresh changes nothing of it" virsh pool-refresh thin
is "nor of the list" "$(names)" "c1 c2 k1 k2 k3 snap_v1_before v1 v2 v3"

# --- templates: what is named as one is one, with a backing store or as a clone ---
ok "a template with a backing store" virsh vol-create thin \
  <(sed "s|/dev/pve/vm-100-disk-0|/dev/$vg/v1|; s|base-100-disk-0|base-1-a|" \
    "$top_srcdir/xml/template.xml")
is "is read-only" "$(listed base-1-a readonly) $(listed base-1-a origin)" "True v1"
ok "a template by vol-clone" virsh vol-clone v1 base-1-b --pool thin
is "is read-only, too, and has the content" \
  "$(listed base-1-b readonly) $(downloaded base-1-b)" "True $original"
ok "a template of a template, whose document names a backing store" \
  virsh vol-clone base-1-a base-1-c --pool thin
is "and of that" "$(listed base-1-c readonly) $(downloaded base-1-c)" "True $original"
truncate -s 8M "$tmp/image"; head -c 1M /dev/urandom | dd of="$tmp/image" conv=notrunc status=none
virsh pool-create-as images dir --target "$tmp" >/dev/null
ok "a template from a file" virsh vol-create-from thin \
  <(echo "<volume><name>base-1-d</name><capacity>$((8 * MiB))</capacity></volume>") image \
  --inputpool images
is "and that" "$(listed base-1-d readonly) $(downloaded base-1-d)" "True $(md5sum <"$tmp/image")"
virsh pool-destroy images >/dev/null; rm "$tmp/image"
like "it cannot be uploaded to" \
  "$(virsh vol-upload base-1-d /etc/hostname --pool thin 2>&1)" "read-only"
ok "a guest's volume of a template" virsh vol-create-as thin vm-1-a 100M --backing-vol base-1-b
ok "can be written" write vm-1-a 1
like "a template with linked clones is not deleted" \
  "$(virsh vol-delete base-1-b thin 2>&1)" "still in use by linked clones: vm-1-a"
ok "unless told to" virsh vol-delete base-1-b thin --delete-snapshots
for volume in base-1-c base-1-a base-1-d vm-1-a; do virsh vol-delete $volume thin >/dev/null; done

# Its document, which virsh copies, names a backing store that is larger now, or gone.
virsh vol-create-as thin b1 8M >/dev/null && write b1 1
before=$(sum b1)
virsh vol-create-as thin snap_b1_s 0 --backing-vol b1 >/dev/null
not_ok "a name for a snapshot of another is refused" \
  virsh vol-create-as thin snap_nosuch_x 0 --backing-vol b1
virsh vol-clone b1 b2 --pool thin >/dev/null
virsh vol-resize b1 16M --pool thin >/dev/null
ok "a snapshot is cloned whose origin has grown" virsh vol-clone snap_b1_s b3 --pool thin
is "the clone is the snapshot's" \
  "$(bytes b3 Capacity) $(sum b3) $(listed b3 origin)" "$((8 * MiB)) $before snap_b1_s"
is "a document that is no clone's is refused" \
  "$(virsh vol-dumpxml snap_b1_s thin | sed 's/snap_b1_s</b9</' >"$tmp/copied.xml"
  virsh vol-create thin "$tmp/copied.xml" 2>&1 | grep -o 'is less than the 16.00 MiB')" \
  "is less than the 16.00 MiB"
not_ok "and leaves nothing" virsh vol-info b9 thin
not_ok "nor in the volume group" "$VIRT_THIN_PROGRAM" info "$vg/b9"
"$VIRT_THIN_PROGRAM" remove "$vg/b1"
ok "a snapshot whose origin is gone" virsh vol-clone snap_b1_s b4 --pool thin
is "has the content, too" "$(sum b4)" "$before"
ok "a clone whose origin is gone" virsh vol-clone b2 b5 --pool thin
is "likewise" "$(sum b5)" "$before"
ok "a snapshot cloned under the name of one" virsh vol-clone snap_b1_s snap_b1_t --pool thin
is "can be read" \
  "$(virsh vol-download snap_b1_t "$tmp/snapshot" --pool thin >/dev/null &&
    md5sum <"$tmp/snapshot")" \
  "$before"
for volume in snap_b1_s snap_b1_t b2 b3 b4 b5; do virsh vol-delete $volume thin >/dev/null; done
virsh pool-refresh thin >/dev/null

# --- resize ---
ok "grow" virsh vol-resize v1 150M --pool thin
is "is rounded up to extents" "$(bytes v1 Capacity)" $((152 * MiB))
is "the node, too" "$(blockdev --getsize64 "/dev/$vg/v1")" $((152 * MiB))
ok "grow by a difference" virsh vol-resize v1 8M --delta --pool thin
is "adds it" "$(bytes v1 Capacity)" $((160 * MiB))
not_ok "shrinking without --shrink is refused" virsh vol-resize v1 100M --pool thin
ok "shrink" virsh vol-resize v1 100M --shrink --pool thin
is "the content before the end stays" "$(sum v1)" "$original"
not_ok "shrinking below what is allocated is libvirt's to refuse" \
  virsh vol-resize v1 4M --shrink --pool thin
ok "grow with --allocate" virsh vol-resize v2 56M --allocate --pool thin
is "allocates all of it" "$(bytes v2 Allocation)" $((56 * MiB))
not_ok "--allocate beyond the pool is refused" virsh vol-resize v3 5G --allocate --pool thin
ok "capacity, allocation and available agree" consistent

# --- delete ---
ok "delete" virsh vol-delete k3 thin
not_ok "it is gone" test -e "/dev/$vg/k3"
exec 8<"/dev/$vg/k2"
like "one that is open is refused, and by whom is said" \
  "$(virsh vol-delete k2 thin 2>&1)" "k2.*(in use|open|busy)"
exec 8<&-
ok "a closed one is not" virsh vol-delete k2 thin
ok "an origin alone" virsh vol-delete v1 thin
is "leaves its snapshot whole" \
  "$(virsh vol-download snap_v1_before "$tmp/snapshot" --pool thin >/dev/null &&
    md5sum <"$tmp/snapshot")" \
  "$original"
virsh vol-create-as thin snap_c1_a 0 --backing-vol c1 >/dev/null
virsh vol-create-as thin snap_c1_b 0 --backing-vol c1 >/dev/null
ok "with its snapshots" virsh vol-delete c1 thin --delete-snapshots
is "they go together, from libvirt's list, too" "$(names)" "c2 k1 snap_v1_before v2 v3"
consistent
tap_result $? "capacity, allocation and available agree at the end"

# --- many at once ---
work() {
  local i
  for i in 1 2 3; do
    virsh vol-create-as thin "p$1-$i" 16M && virsh vol-clone "p$1-$i" "q$1-$i" --pool thin &&
      virsh vol-info "q$1-$i" thin &&
      virsh vol-delete "p$1-$i" thin || return 1
  done
}
jobs=()
for i in 1 2 3 4 5 6; do work $i >"$tmp/work$i" 2>&1 & jobs+=($!); done
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=$((failed + 1)); done
is "six clients at once" "$failed" 0
is "have made what they should" "$(names)" \
  "c2 k1 $(for i in 1 2 3 4 5 6; do echo q$i-1 q$i-2 q$i-3; done | xargs) snap_v1_before v2 v3"
ok "which is so" virsh pool-refresh thin
ok "capacity, allocation and available agree" consistent
