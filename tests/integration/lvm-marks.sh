#!/bin/bash
# virt-thin - whose a volume group is, and what marks in its text forbid: held against lvm2
# SPDX-License-Identifier: LGPL-2.1-or-later
set -u
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root for loop devices"
command -v lvm >/dev/null || skip_all "no lvm2"
losetup --find >/dev/null 2>&1 || skip_all "no loop devices"
cd "$tmp" || exit 1
plan 92

truncate -s 64m second.img third.img
vt init pve/data --size 128m --metadata-size 4m --reserve 8m && vt create pve/v --size 8m || exit 1
image=$state/pve.img
lvm_attach --writable "$image" second.img third.img || exit 1
export LVM_SYSTEM_DIR=$tmp/lvm-system
second=${lvm_loops[1]} third=${lvm_loops[2]}
volumes() {
  vt list --json pve |
    field "' '.join(v['name'] + (' rw', ' ro')[v['readonly']] for v in d['volumes'])"
}
text() { lvm2 vgcfgbackup --foreign -f text pve >/dev/null && grep -v '^#' text; }
restore() { lvm2 vgcfgrestore --force -f "$1" pve >/dev/null 2>&1; }
# edit EXPRESSION: lvm2 takes the text as sed makes it
edit() { text >/dev/null && sed -i "$1" text && restore text; }

# --- whose ---
# conf SOURCE [LOCAL]: system_id_source, and what lvmlocal.conf says
nothing="local { }" # lvm2 takes no empty file
conf() {
  sed -i "/system_id_file/d; s|system_id_source=\"[^\"]*\"|system_id_source=\"$1\"|" \
    "$LVM_SYSTEM_DIR/lvm.conf"
  echo "global/system_id_file = \"$tmp/id\"" >>"$LVM_SYSTEM_DIR/lvm.conf"
  echo "${2:-$nothing}" >"$LVM_SYSTEM_DIR/lvmlocal.conf"
}
vg_id() { lvm2 vgs --foreign --noheadings -o systemid pve | tr -d ' '; }
give() { lvm2 vgchange -y --config "local/extra_system_ids=[\"$(vg_id)\"]" --systemid "$1" pve; }
owned() { # DESCRIPTION [COMMAND THAT RUNS ANOTHER...]: this host's id, as lvm2 has it, is the VG's
  local what=$1 id; shift
  id=$("$@" lvm systemid 2>/dev/null | sed 's/.*: *//')
  conf lvmlocal 'local { system_id="for-the-moment" }'
  ok "$what: lvm2 gives the volume group the id $id" give "$id"
  conf "${source[@]}"
  ok "$what: a volume is made" "$@" "$VIRT_THIN_PROGRAM" create pve/new --size 4m
  is "$what: and writable" "$("$@" "$VIRT_THIN_PROGRAM" list pve | grep -c ' rw')" 2
  ok "$what: and removed" "$@" "$VIRT_THIN_PROGRAM" remove pve/new
}
named() { unshare --uts sh -c 'hostname "$0"; exec "$@"' "$@"; }

source=(lvmlocal 'local { system_id="node1" }'); conf "${source[@]}"; owned "lvmlocal" env
source=(lvmlocal 'local/system_id="-_no de1/+x.y!"'); conf "${source[@]}"
owned "characters that lvm2 leaves out" env
source=(lvmlocal "local/system_id=\"$(printf 'x%.0s' {1..140})\""); conf "${source[@]}"
owned "a long one" env
printf '# whose\n\n  node-2  # this\nnode-3\n' >id
source=(file); conf "${source[@]}"; owned "file" env
source=(uname); conf "${source[@]}"; owned "uname" named node4.example
source=(Machine-ID); conf "${source[@]}"; owned "machine-id" env
source=(appmachineid); conf "${source[@]}"; owned "appmachineid" env
source=(lvmlocal 'local { system_id="node1" extra_system_ids=["", "other", "shared"] }')
conf lvmlocal 'local/system_id="node1"'; give shared >/dev/null 2>&1; conf "${source[@]}"
ok "one of the extra ids: lvm2" lvm2 vgchange --addtag x pve
ok "one of the extra ids: virt-thin" vt create pve/new --size 4m
text >ours; lvm2 vgchange --addtag y pve >/dev/null
is "and the marks are lvm2's own: it changes but its tag" \
  "$(diff ours <(text) | grep '^[<>]' | grep -v 'seqno\|description\|creation_time =.*#')" \
  "$(printf '< \ttags = ["x"]\n> \ttags = ["x", "y"]')"
not_ok "which read-only is to versions that know of no system_id" grep -q '"WRITE"' text
ok "read-only is still something else" lvm2 lvchange -an -pr pve/new
is "and told" "$(volumes)" 'v rw new ro'
ok "back" vt remove pve/new

foreign() { # DESCRIPTION REGEX SOURCE LOCAL
  conf "$3" "${4-}"
  refused "$1: lvm2 refuses" 5 'Cannot access VG' lvm2 vgchange --addtag z pve
  refused "$1: so does virt-thin" 1 "$2" vt create pve/new --size 4m
  is "$1: it is listed" "$(volumes)" 'v rw'
}
foreign "another host's" \
  'belongs to another host \(its system_id is "shared", this host has "node1"\)' \
  lvmlocal 'local/system_id="node1"'
take_over=$(grep -o "vgchange --config '.*' --systemid node1 pve" <<<"$err")
ok "and it is taken over as it says" eval "lvm2 $take_over"
foreign "no id of its own" 'this host has none: see system_id_source' \
  none 'local { system_id="node1" extra_system_ids=["node1"] }'
foreign "a source without one" 'this host has none' lvmlocal ''
foreign "a name that is no id" 'this host has none' lvmlocal 'local/system_id="localhost-node1"'
foreign "an unknown source" 'this host has none' None 'local/system_id="node1"'
conf lvmlocal 'local/system_id="node1"'
ok "given up" lvm2 vgchange -y --systemid '' pve
conf none
is "it is written as before" "$(text | grep -c '"WRITE"')" "$(text | grep -c '"READ"')"

# --- physical volumes ---
lvm2 vgchange -x n pve >/dev/null
refused "not resizeable: lvm2" 5 'not resizeable' lvm2 vgextend pve "$second"
refused "not resizeable: virt-thin" 1 'vgchange --resizeable y pve' vt extend pve third.img
is "nothing was written" "$(tr -d '\0' <third.img | wc -c)" 0
ok "a volume can be made" vt create pve/w --size 4m
lvm2 vgchange -x y pve >/dev/null && lvm2 vgchange -p 2 pve >/dev/null
ok "up to max_pv" lvm2 vgextend pve "$second"
refused "max_pv: lvm2" 5 'max 2 physical' lvm2 vgextend pve "$third"
both() { vt --device "$image" --device second.img "$@"; }
wipefs -qa third.img
refused "max_pv: virt-thin" 1 'may have 2 physical volumes' both extend pve third.img
lvm2 vgchange -p 0 pve >/dev/null && lvm2 vgchange -l 3 pve >/dev/null
refused "max_lv: lvm2" 5 'Maximum number of logical volumes' lvm2 lvcreate -an -Zn -l1 -n l pve
refused "max_lv: virt-thin" 1 'may have 3 volumes' both create pve/x --size 4m
lvm2 vgchange -l 0 pve >/dev/null
lvm2 pvchange -x n "$second" >/dev/null
refused "not allocatable: lvm2" 5 'nsufficient free space' lvm2 lvcreate -an -Zn -l14 -n l pve
refused "not allocatable: virt-thin" 1 'MiB free' both resize pve/data +56m
lvm2 pvchange -x y "$second" >/dev/null

# --- allocation policies: 15 extents are free on the second physical volume, few on the first ---
lvm2 vgchange --alloc contiguous pve >/dev/null
free=$(lvm2 pvs --noheadings -o pv_pe_count,pv_pe_alloc_count "${lvm_loops[0]}" |
  awk '{ print $1 - $2 }')
grow() { echo "+$((4 * $1))m"; }
refused "contiguous: lvm2" 5 'contiguous allocatable extents' \
  lvm2 lvcreate -an -Zn -l $((15 + free)) -n l pve
refused "contiguous: virt-thin" 1 'allocation policy contiguous' \
  both resize pve/data "$(grow $((free + 1)))"
ok "contiguous: what follows on the end" both resize pve/data "$(grow 1)"
lvm2 vgchange --alloc cling pve >/dev/null
refused "cling: lvm2, a new one" 5 'allocatable extents' \
  lvm2 lvcreate -an -Zn -l $((14 + free)) -n l pve
refused "cling: virt-thin" 1 'allocation policy cling' both resize pve/data "$(grow $((free + 1)))"
edit '/data_tdata {/,/segment_count/s/segment_count/allocation_policy = "normal"\n&/'
ok "the volume's own policy goes first" both resize pve/data "$(grow $((free + 1)))"
lvm2 vgchange --alloc normal pve >/dev/null
ok "lvm2 is content" lvm2 vgck pve

# --- logical volumes ---
edit '/^\t\tv {/,/status/s/"VISIBLE"/"VISIBLE", "LOCKED"/'
for it in 'lvrename pve v u|rename pve/v pve/u' 'lvremove -f pve/v|remove pve/v' \
  'lvresize -L 12m pve/v|resize pve/v 12m'; do
  refused "locked: lvm2 ${it%%|*}" 5 'locked' lvm2 ${it%%|*}
  refused "locked: virt-thin ${it##*|}" 1 'locked by lvm2' both ${it##*|}
done
edit 's/, "LOCKED"//; /^\t\tv {/,/type/s/flags = \[\]/flags = ["FUTURE"]/'
ok "an unknown flag is nobody's concern" both create pve/u --size 4m
edit '/^\t\tv {/,/type/s/"thin"/"thin+FUTURE"/'
refused "an unknown flag of a segment type: lvm2" 5 'unknown segments' lvm2 vgchange --addtag z pve
refused "an unknown flag of a segment type: virt-thin" 1 \
  'of a type that virt-thin does not know, thin\+FUTURE' both create pve/y --size 4m
edit 's/thin+FUTURE/thin/'

# --- the volume group ---
edit 's/"RESIZEABLE", "READ", "WRITE"/"RESIZEABLE", "READ"/'
refused "read-only: lvm2" 5 'is read-only' lvm2 vgchange --addtag z pve
refused "read-only: virt-thin" 1 'sets it read-only' both create pve/y --size 4m
edit 's/"RESIZEABLE", "READ"/"RESIZEABLE", "READ", "WRITE"/'
lvm2 vgexport pve >/dev/null
refused "exported: lvm2" 5 'is exported' lvm2 vgchange --addtag z pve
refused "exported: virt-thin" 1 'vgimport' both create pve/y --size 4m
lvm2 vgimport pve >/dev/null
text >/dev/null && cp text good
for type in sanlock dlm; do
  edit "s/^\tmax_lv/\tlock_type = \"$type\"\n\tlock_args = \"1.0.0:lock\"\n&/"
  refused "$type: lvm2" 5 'requires lvmlockd' lvm2 vgchange --addtag z pve
  refused "$type: virt-thin" 1 "shared between hosts \(lock_type $type\)" \
    both create pve/y --size 4m
  restore good
done
edit 's/^\tmax_lv/\tlock_type = "none"\n&/'
ok "lock_type none" both create pve/y --size 4m
ok "lvm2 is content with the end" lvm2 vgck pve

# --- extents smaller than a sector ---
wipefs -qa "$third" second.img
truncate -s 64m large.img
large=$(losetup --find --show --sector-size 4096 large.img)
at_exit 'losetup -d "$large"'
lvm_devices+=,$large
sed -i 's/^devices {/& allow_mixed_block_sizes=1/' "$LVM_SYSTEM_DIR/lvm.conf"
lvm2 vgcreate -q -s 1k tiny "$third" >/dev/null
refused "extents of 1 KiB: lvm2" 5 'less than logical block size' lvm2 vgextend tiny "$large"
refused "extents of 1 KiB: virt-thin" 1 'more than an extent' \
  vt --device third.img extend tiny "$large"
