#!/bin/bash
# virt-thin - input that is wrong: the message names what and why, and not a byte of the physical
# volumes changes
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

long=$(printf 'v%.0s' {1..128})
sum() { sparse_md5 "$state"/*.img; }
# bad DESCRIPTION REGEX COMMAND...: refused with status 1 and that message, one line of it, and
# nothing changed.
bad() {
  local description=$1 regex=$2 before; shift 2
  before=$(sum)
  refused "$description" 1 "$regex" "$@"
  is "$description: nothing changed" "$(sum)" "$before"
}
# Names that no volume may have: what|name
names=(
  "a slash|a/b" "a leading -|-x" "128 characters|$long" "XML|<vol>&amp;" "a newline|a"$'\n'"b"
  "an escape character|a"$'\033'"[31m" "a space|a b" "an umlaut|ä"
  "not UTF-8|"$'\xff\xfe' "a quote|a\"b" "a colon|a:b" "an @|a@b" "one dot|." "two dots|.."
  "a reserved prefix|snapshot1" "a reserved suffix|x_tdata" "a reserved middle|x_mlog_y"
)
# Over D-Bus they travel the same way; what might not get through is tried again. (The plan comes
# last: it is a table's length.)
served_names=("${names[@]:0:9}")

ok "init" vt init pve/data --size 128m --reserve 32m
ok "create" vt create pve/good --size 64m
ok "write" sh -c "head -c 4m /dev/urandom | '$VIRT_THIN_PROGRAM' import - pve/good"

inputs() {
  local how=$1 line what name; shift
  for line; do
    what=${line%%|*} name=${line#*|}
    bad "$how: create: $what" '^virt-thin: .' vt create "pve/$name" --size 4m
    bad "$how: clone: $what" '^virt-thin: .' vt clone pve/good "pve/$name"
    case $what in
      "a slash") ;; # VG/LV here
      *) bad "$how: rename: $what" '^virt-thin: .' vt rename -- pve/good "$name"
         case $what in
           # legal within a snapshot's name, or tried above
           "a reserved"*|"one dot"|"two dots"|"a leading -"|"128 characters") ;;
           *) bad "$how: snapshot: $what" '^virt-thin: .' vt snapshot -- pve/good "$name";;
         esac;;
    esac
    run vt create "pve/$name" --size 4m
    is "$how: the message for $what is fit for a terminal and a log" \
      "$(LC_ALL=C tr -d '\n -~\200-\377' <<<"$err" | wc -c) $(wc -l <<<"$err")" "0 1"
    bad "$how: info: $what" '^virt-thin: .' vt info "pve/$name"
  done
  bad "$how: a volume of nothing" 'size' vt create pve/new --size 0
  bad "$how: a volume beyond what LVM addresses" 'size|extents|large' vt create pve/new --size 15e
  bad "$how: one that exists" 'already' vt create pve/good --size 4m
  bad "$how: one named as the pool" 'already' vt create pve/data --size 4m
  bad "$how: a clone of what is not there" 'nope' vt clone pve/nope pve/new
  bad "$how: a clone onto one that is there" 'already' vt clone pve/good pve/good
  bad "$how: a resize beyond what LVM addresses" 'size|extents|large' vt resize pve/good 15e
  bad "$how: a pool larger than the free space" 'free|ENOSPC|space' vt resize pve/data +1t
  bad "$how: a pool that is not there" 'nope' vt create pve/new --size 4m --pool nope
  bad "$how: removing what is not there" 'nope' vt remove pve/nope
}
inputs "in the process" "${names[@]}"

bad "init: a pool that exists" 'of that name|already' vt init pve/data --size 1g
bad "init: a volume group that exists, elsewhere" 'pve exists already' vt init pve/other \
  --size 64m --file "$tmp/other.img"
not_ok "init: which makes no file" test -e "$tmp/other.img"
bad "init: two pools over one file" 'pve' vt init other/data --size 64m --file "$state/pve.img"
bad "extend: a file that is in it already" 'pve' vt extend pve "$state/pve.img"
bad "init: an odd chunk size" 'chunk' vt init pve/x --size 16m --chunk-size 100k
bad "init: metadata beyond the limit" 'metadata' vt init pve/x --size 16m --metadata-size 1t
bad "init: the only file full of something else" 'ext4' sh -c \
  "truncate -s 64m '$tmp/ext4' && mkfs.ext4 -q '$tmp/ext4' &&
    '$VIRT_THIN_PROGRAM' init second/data --size 64m --file '$tmp/ext4'"
# A folder of the host's; one of links is what an end without warning leaves.
mkdir -p "$VIRT_THIN_DEV_DIR/disk/by-id" "$VIRT_THIN_DEV_DIR/left"
ln -s /nowhere "$VIRT_THIN_DEV_DIR/left/vm-1"
bad "init: a name that the host has in /dev" "$VIRT_THIN_DEV_DIR/disk is there already" \
  vt init disk/data --size 64m --file "$tmp/other.img"
ok "init: beside dead links" vt init left/data --size 64m --file "$tmp/left.img"
for line in "${names[@]}"; do
  case ${line%%|*} in
    "a slash"|"a leading -"|"a reserved"*) ;; # VG/LV, an option, legal for a volume group
    *)
      refused "init: VG: ${line%%|*}" 1 '^virt-thin: .' \
        vt init "${line#*|}/data" --size 64m --file "$tmp/other.img" --;;
  esac
  case ${line%%|*} in
    "a slash") ;;
    *)
      refused "init: POOL: ${line%%|*}" 1 '^virt-thin: .' \
        vt init "third/${line#*|}" --size 64m --file "$tmp/other.img";;
  esac
done
not_ok "none of which makes a file" test -e "$tmp/other.img"

# Room to grow into: metadata for --max-size, as much of it as makes sense.
mkdir "$tmp/grow"
run vt --device "$tmp/grow/a" init grow/data --size 512m --max-size 4g
is "init: metadata for --max-size" \
  "$(vt --device "$tmp/grow/a" info --json grow/data |
    field "(d['pool']['metadata_size'], d['pool']['chunk_size'])")" \
  "($((4 << 20)), 65536)"
run vt --device "$tmp/grow/b" init grow/data --size 512m --max-size 32g
is "init: as much as 32 MiB" \
  "$(vt --device "$tmp/grow/b" info --json grow/data |
    field "(d['pool']['metadata_size'], d['pool']['chunk_size'])")" \
  "($((32 << 20)), 65536)"
run vt --device "$tmp/grow/c" init grow/data --size 512m --max-size 1t
is "init: no more than an eighth" \
  "$? $(vt --device "$tmp/grow/c" info --json grow/data |
    field "(d['pool']['metadata_size'], d['pool']['chunk_size'])")" \
  "0 ($((60 << 20)), 65536)"

# Larger than the pool: that is thin provisioning, and reported; beyond a limit refused.
run vt create pve/large --size 1g
is "a volume larger than its pool is allowed" "$?" 0
like "and reported" "$err" 'overcommitted [0-9.]+ times'
run vt create pve/small --size 8m
is "once: not with the next one" "$? $err" "0 "
run vt resize pve/small +8m
is "nor when one grows" "$? $err" "0 "
run vt snapshot pve/small s
is "or has a snapshot" "$? $err" "0 "
vt remove pve/small --snapshots
run vt resize pve/large -8m --shrink
is "one that shrinks goes without a word" "$? $err" "0 "
vt remove pve/large; run vt create pve/large --size 1g
like "when it becomes overcommitted again it is told again" "$err" 'overcommitted'
bad "a slip of the unit" 'largest-volume.*\[pool pve/data\]' vt create pve/slip --size 900000g
bad "also when one grows" 'largest-volume' vt resize pve/large +900000g
printf '[limits]\novercommit=8\n' > "$VIRT_THIN_CONFIG"
bad "beyond the limit it is refused" 'overcommit' vt create pve/larger --size 1g
: > "$VIRT_THIN_CONFIG"
vt remove pve/large

if can_serve; then
  # Folders may be given as seen from here; an engine begins elsewhere.
  (
    cd "$tmp" &&
      VIRT_THIN_STATE_DIR=state VIRT_THIN_RUNTIME_DIR=run VIRT_THIN_DEV_DIR=dev \
        VIRT_THIN_CONFIG=virt-thin.conf "$VIRT_THIN_PROGRAM" serve pve
  )
  ok "folders of a service may be relative" vt create pve/relative --size 4m
  vt remove pve/relative
  # A served volume group commits once a second when something was written; here nothing is.
  inputs "served" "${served_names[@]}"
  vt stop pve
else
  skip 2 "served: needs root and /dev/fuse"
fi
plan $tap_count
