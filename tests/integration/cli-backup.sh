#!/bin/bash
# virt-thin - backup and restore: a history of increments, each point read by qemu-img alone and
# restored; archives, prune, damage, a full disk, a killed run, two at once, bad manifests
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

# A number from 0 to N - 1, of a seed that a failed test tells.
seed=${VIRT_THIN_TEST_SEED:-$((16#$(head -c 2 /dev/urandom | xxd -p)))}
RANDOM=$seed
echo "# VIRT_THIN_TEST_SEED=$seed"
increments=16
[ -z "${VIRT_THIN_TEST_LONG-}" ] || increments=100

backups=$tmp/backups model=$tmp/model
id_of() { cut -d' ' -f1 <<<"$1" | head -n 1; }
baselines() { vt list --json "$1" | field "' '.join(sorted(v['name'] for v in d['volumes']
  if '_backup-' in v['name']))"; }
image() { echo "$backups/$1/pve@vm-1.qcow2"; }

# What a guest does: the file changes, and the volume becomes like it, chunk by chunk.
change() { # writes, of odd lengths at odd places, and ranges that are emptied
  python3 - "$model" "$RANDOM" <<'P'
import os, random, sys
rand, fd = random.Random(int(sys.argv[2])), os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(fd).st_size
for i in range(rand.randint(1, 6)):
    at, n = rand.randrange(size), rand.choice((1, 512, 5000, 65536, 300000))
    os.pwrite(fd, (bytes(n) if rand.random() < 0.4 else rand.randbytes(n))[:size - at], at)
P
}
resize() {
  local size=$(((RANDOM % 8 + 3) * 4))
  truncate -s ${size}m "$model"
  vt resize pve/vm-1 ${size}m --shrink
}
points=() # names of snapshots
step() {
  local point
  case $((RANDOM % 8)) in
  0) resize;;
  1) points+=("p$1"); vt snapshot pve/vm-1 "p$1";;
  2) [ ${#points[@]} -gt 0 ] && {
       point=${points[RANDOM % ${#points[@]}]}
       vt rollback pve/vm-1 "$point" && vt export pve/vm-1 "$model"
     };;
  esac
  change && vt import --format raw "$model" pve/vm-1
}

plan 107

vt init pve/data --size 1g
vt init other/data --size 100m
vt create pve/vm-1 --size 24m
truncate -s 24m "$model"

# --- a history ---
# Of a copy, fewer and fewer are kept: what the last of them need of those that go is merged.
merged() { # HOW KEPT...: as history() has ids and sums
  local copy=$tmp/merged how=$1 kept i wrong=; shift
  rm -rf "$copy"; cp -a "$backups" "$copy"
  for kept; do
    vt backup prune "$copy" --keep-last "$kept" >/dev/null 2>&1 || wrong+=" prune-$kept"
    for ((i = increments - kept + 1; i <= increments; i++)); do
      qemu-img convert -O raw "$copy/${ids[i]}/pve@vm-1.qcow2" "$tmp/raw" || wrong+=" convert-$i"
      [ "$(md5 "$tmp/raw")" = "${sums[i]}" ] || wrong+=" $kept-differs-$i"
    done
    [ "$(ls "$copy" | wc -l)" -le $((kept + 1)) ] || wrong+=" $kept-more"
    vt backup verify "$copy" >/dev/null || wrong+=" $kept-verify"
  done
  is "$how: what is kept is what it was when others were merged into it" "$wrong" ""
}
history() { # HOW
  local how=$1 i said id wrong= kinds= ids=() sums=()
  for ((i = 0; i <= increments; i++)); do
    step "$how$i" || wrong+=" step-$i"
    said=$(vt backup pve/vm-1 "$backups") || wrong+=" backup-$i"
    kinds+=$(cut -d' ' -f3 <<<"$said" | head -c 1)
    ids+=("$(id_of "$said")") sums+=("$(export_md5 export pve/vm-1)")
  done
  is "$how: a history of $increments increments" "$wrong" ""
  is "$how: of which the first alone is full" "$kinds" "${2-f}$(printf 'i%.0s' $(seq $increments))"
  is "$how: one snapshot stays" "$(baselines pve)" "snap_vm-1_backup-${ids[-1]}"
  for ((i = 0; i <= increments; i++)); do
    qemu-img convert -O raw "$(image "${ids[i]}")" "$tmp/raw" || wrong+=" convert-$i"
    [ "$(md5 "$tmp/raw")" = "${sums[i]}" ] || wrong+=" differs-$i"
  done
  is "$how: each is what it was, by qemu-img alone" "$wrong" ""
  for ((i = 0; i <= increments; i++)); do
    id=${ids[i]}
    vt restore "$backups/$id" pve/again || wrong+=" restore-$i"
    [ "$(export_md5 export pve/again)" = "${sums[i]}" ] || wrong+=" restored-$i"
    vt remove pve/again
  done
  is "$how: and by restore" "$wrong" ""
  ok "$how: verify" vt backup verify "$backups"
  merged "$how" $((RANDOM % 5 + 5)) $((RANDOM % 3 + 1))
  is "$how: nothing else is left" \
    "$(ls -A "$backups" | grep -vE '^[0-9]{8}T[0-9]{6}Z$' | xargs)" ".lock .readers"
}
history bundled
if can_serve; then
  vt serve pve
  history served i
  vt stop pve
else
  skip 8 "needs root and /dev/fuse"
fi

# --- what is written ---
last=$(ls "$backups" | tail -n 1) first=$(ls "$backups" | head -n 1)
is "folders and files are their owner's alone" \
  "$(find "$backups" -printf '%m\n' | sort -u | xargs)" "600 700"
ok "the manifest keeps to its schema" valid backup-manifest <"$backups/$last/manifest.json"
vt backup list --json "$backups" >"$tmp/list.json"
ok "the list to its own" valid backup-list <"$tmp/list.json"
is "it has them all" "$(field "len(d['backups'])" <"$tmp/list.json")" "$(ls "$backups" | wc -l)"
is "the checksum is sha256sum's" "$(sha256sum <"$(image "$last")" | cut -d' ' -f1)" \
  "$(field "d['volumes'][0]['checksum']" <"$backups/$last/manifest.json")"
is "the backing file is by a relative name, with its format" \
  "$(qemu-img info --output json "$(image "$last")" |
    field "d['backing-filename'][:3] + d['backing-filename-format']")" "../qcow2"
before=$(vt info --json pve/vm-1 | field "d['volume']['mapped']")
run vt backup pve/vm-1 "$backups"
ok "of what has not changed nothing is stored" test "$(stat -c %s "$(image "$(id_of "$out")")")" \
  -le $((5 * 65536))
run vt backup pve/vm-1 "$tmp/raw-backups" --format raw
raw=$tmp/raw-backups/$(id_of "$out")/pve@vm-1.raw
is "a raw image is the volume" "$(md5 "$raw")" "$(export_md5 export pve/vm-1)"
ok "and sparse" test "$(blocks "$raw")" -le $((before / 1024 + 64))
change; vt import --format raw "$model" pve/vm-1; vt backup pve/vm-1 "$tmp/raw-backups" >/dev/null
ok "restored with an increment over it" vt restore "$tmp/raw-backups" pve/from-raw
is "that is the same" "$(export_md5 export pve/from-raw)" "$(export_md5 export pve/vm-1)"
vt remove pve/from-raw

# --- volume groups of other extents ---
vt init small/data --size 100m --extent-size 512k >/dev/null; vt create small/v --size 5632k
head -c 5632k /dev/urandom >"$tmp/data"; vt import --format raw "$tmp/data" small/v
vt backup small/v "$tmp/small" >/dev/null; vt resize small/v 3584k --shrink
vt backup small/v "$tmp/small" >/dev/null; vt resize small/v 8m
vt backup small/v "$tmp/small" >/dev/null
ok "from smaller extents to larger ones, and from a larger volume to a smaller one" \
  vt restore "$(ls -d "$tmp/small"/2* | head -n 1)" pve/v
is "it has all, and zeros" "$(export_md5 export pve/v)" \
  "$( (cat "$tmp/data"; head -c 2560k /dev/zero) | md5)"
ok "what was cut off stays so" vt restore "$tmp/small" pve/v --force
is "when it has grown again" "$(export_md5 export pve/v)" "$(export_md5 export small/v)"
vt remove pve/v

# --- several volumes; full ones, and why; an archive ---
vt create pve/vm-2 --size 8m; vt create other/vm-1 --size 8m
head -c 3m /dev/urandom >"$tmp/data"
vt import "$tmp/data" pve/vm-2; vt import "$tmp/data" other/vm-1
run vt backup pve/vm-1 pve/vm-2 other/vm-1 "$tmp/several"
like "volumes of several pools, and that this is no one instant" "$? $err" '^0 .*2 thin pools'
is "three images" "$(ls "$tmp/several"/2*/ | xargs)" \
  "manifest.json other@vm-1.qcow2 pve@vm-1.qcow2 pve@vm-2.qcow2"
refused "which of them is to be said" 1 'several volumes: say which, --volume' \
  vt restore "$tmp/several" pve/again
ok "by an option" vt restore "$tmp/several" pve/again --volume other/vm-1
is "that is it" "$(export_md5 export pve/again)" "$(export_md5 export other/vm-1)"
refused "a volume that is there" 1 '--force' vt restore "$tmp/several"/2*/pve@vm-2.qcow2 pve/again
vt snapshot pve/again old
ok "its content becomes another" \
  vt restore "$tmp/several" pve/again --volume pve/vm-1 --force
is "and its snapshots stay" "$(export_md5 export pve/again) $(export_md5 export pve/snap_again_old)" \
  "$(export_md5 export pve/vm-1) $(export_md5 export other/vm-1)"
vt remove pve/again --snapshots
vt remove "pve/$(baselines pve | tr ' ' '\n' | grep vm-2)"
run vt backup pve/vm-2 "$tmp/several"
like "without the snapshot a full one, which says why" "$out" 'full.*snapshot is not there any more'
run vt backup pve/vm-2 "$tmp/several" --full
like "a full one that is asked for" "$out" 'full.*asked for'
vt backup pve/vm-2 "$tmp/several" >/dev/null
run vt backup pve/vm-2 "$tmp/several" --max-increments 1
like "one after so many increments" "$out" 'full.*1 increments since'
had=$(baselines pve)
vt backup pve/vm-1 pve/vm-2 - >"$tmp/archive.tar"
ok "an archive, restored from a pipe" \
  sh -c "cat '$tmp/archive.tar' | '$VIRT_THIN_PROGRAM' restore - pve/again --volume pve/vm-2"
is "it is the same, and no snapshot stays" "$(export_md5 export pve/again) $(baselines pve)" \
  "$(export_md5 export pve/vm-2) $had"
vt remove pve/again

# --- more of archives ---
mkdir "$tmp/unpacked"
ok "it unpacks to a folder of backups" tar -xf "$tmp/archive.tar" -C "$tmp/unpacked"
ok "which is whole" vt backup verify "$tmp/unpacked"
for cut in 100 5000 200000 -700 -1200; do
  head -c "$cut" "$tmp/archive.tar" >"$tmp/cut.tar"
  refused "an archive cut off at $cut" 1 'cut off|damaged|no backup' \
    sh -c "'$VIRT_THIN_PROGRAM' restore - pve/again --volume pve/vm-2 <'$tmp/cut.tar'"
done
is "leaves nothing" "$(names pve | tr ' ' '\n' | grep -c again)" 0
python3 -c 'import sys
file = open(sys.argv[1], "r+b"); file.seek(2000000); byte = file.read(1)[0]
file.seek(2000000); file.write(bytes([byte ^ 1]))' "$tmp/archive.tar"
refused "one bit that is another" 1 'checksum' \
  sh -c "'$VIRT_THIN_PROGRAM' restore - pve/again --volume pve/vm-1 <'$tmp/archive.tar'"
refused "who reads it goes away" 1 'writing' bash -c \
  "'$VIRT_THIN_PROGRAM' backup pve/vm-1 - | head -c 1000 >/dev/null; exit \${PIPESTATUS[0]}"
mkfifo "$tmp/pipe"
"$VIRT_THIN_PROGRAM" backup pve/vm-1 - >"$tmp/pipe" & killed=$!
exec {pipe}<"$tmp/pipe"
head -c 1000 <&"$pipe" >/dev/null
kill -9 $killed; wait $killed 2>/dev/null; exec {pipe}<&-
temporary() { names pve | tr ' ' '\n' | grep -c _tmp; }
is "one that is killed leaves its snapshot" "$(temporary)" 1
ok "until the next" sh -c "'$VIRT_THIN_PROGRAM' backup pve/vm-1 - >/dev/null"
is "which removes it" "$(temporary)" 0
is "leaves nothing, either" "$(baselines pve) $(names pve | tr ' ' '\n' | grep -c again)" "$had 0"

# --- prune ---
vt create pve/vm-3 --size 4m
for i in 1 2 3 4 5 6; do vt backup pve/vm-3 "$tmp/prune" --max-increments 1 >/dev/null; done
all=$(ls "$tmp/prune")
run vt backup prune "$tmp/prune" --keep-last 3 --dry-run
is "prune says what would go: not the full one that a kept increment needs" \
  "$(awk '{ print $3 }' <<<"$out" | sort | xargs)" "$(head -n 2 <<<"$all" | xargs)"
like "which it tells" "$err" ': 1 that the rules do not keep'
is "and does nothing" "$(ls "$tmp/prune")" "$all"
ok "prune" vt backup prune "$tmp/prune" --keep-last 3
is "removes these" "$(ls "$tmp/prune")" "$(tail -n 4 <<<"$all")"
ok "what is left is whole" vt backup verify "$tmp/prune"
run vt backup pve/vm-3 "$tmp/prune" --keep-last 1 --full
is "the next backup does it itself" "$? $(ls "$tmp/prune" | wc -l)" "0 1"
vt backup pve/vm-3 "$tmp/several" >/dev/null
had=$(baselines pve | wc -w)
vt backup pve/vm-3 "$tmp/renamed" >/dev/null
vt rename pve/vm-3 pve/vm-4
run vt backup pve/vm-4 "$tmp/renamed"
like "of a volume that has another name the next is full" "$out" 'full.*no backup of it yet'
is "and the snapshot from before goes, too" "$(baselines pve | wc -w)" $((had + 1))
vt rename pve/vm-4 pve/vm-3
ok "of these volumes alone" vt backup pve/vm-3 "$tmp/several" --keep-last 1
is "others' stay" "$(ls "$tmp/several" | wc -l)" 7
run vt backup prune "$tmp/prune" --keep-within 1h
is "what is as new as that stays" "$? $(ls "$tmp/prune" | wc -l)" "0 1"

# --- merged, and killed at each step of it ---
merging=$tmp/merging
head -c 4m /dev/urandom >"$tmp/data"
for i in 1 2 3; do
  dd if="$tmp/data" of="$tmp/data" bs=64k skip=30 seek=$((i * 5)) count=3 conv=notrunc status=none
  for lv in vm-3 vm-2; do vt import --format raw "$tmp/data" pve/$lv; done
  vt backup pve/vm-3 pve/vm-2 "$merging" >/dev/null
done
newest=$(ls "$merging" | tail -n 1)
run vt backup prune "$merging" --keep-last 1 --dry-run
is "prune says what it would merge" "$out" "would merge into $newest
would remove $(ls "$merging" | sed -n 2p)"
has_all() { # DIR: the newest, whole
  local lv
  for lv in vm-2 vm-3; do
    qemu-img convert -O raw "$1/$newest/pve@$lv.qcow2" "$tmp/raw" && cmp -n 4194304 "$tmp/raw" "$tmp/data" ||
      return 1
  done
}
if command -v strace >/dev/null; then
  wrong=
  for at in $(seq 1 50); do
    copy=$tmp/copy; rm -rf "$copy"; cp -a "$merging" "$copy"
    { strace -qq -o /dev/null -e trace=fsync -e "inject=fsync:signal=KILL:when=$at" \
        "$VIRT_THIN_PROGRAM" backup prune "$copy" --keep-last 1; } >/dev/null 2>&1 && break
    has_all "$copy" || wrong+=" $at"
    vt backup prune "$copy" --keep-last 1 >/dev/null 2>&1 || wrong+=" $at-again"
    has_all "$copy" && vt backup verify "$copy" >/dev/null || wrong+=" $at-then"
    [ "$(ls -A "$copy" | wc -l)" = 4 ] || wrong+=" $at-left"
  done
  is "killed at each of $((at - 1)) steps it is as it was, or merged, and the next goes on" "$wrong" ""
  ok "these were some" test "$at" -gt 5
else
  skip 2 "needs strace"
fi
# A file system that neither exchanges (NFS) nor has hard links (vfat); killed at each step there.
# The newest is an increment of one volume, and full of the other, which is kept.
lacking() { # EXPRESSION COMMAND...
  local expression=$1; shift
  strace -qq -o /dev/null -e trace=renameat2,linkat,renameat,fsync \
    -e inject=renameat2:error=EINVAL -e inject=linkat:error=EPERM $expression "$@"
}
plain=$tmp/plain newest_before=$newest
if command -v strace >/dev/null; then
  for i in 1 2 3; do
    dd if=/dev/urandom of="$tmp/data" bs=64k count=1 conv=notrunc status=none
    for lv in vm-3 vm-2; do vt import --format raw "$tmp/data" pve/$lv; done
    [ $i != 3 ] || vt remove "pve/snap_vm-2_backup-$(ls "$plain" | tail -n 1)"
    vt backup pve/vm-3 pve/vm-2 "$plain" >/dev/null
  done
  newest=$(ls "$plain" | tail -n 1) wrong= steps=0
  for call in fsync renameat; do
    for at in $(seq 1 50); do
      copy=$tmp/copy; rm -rf "$copy"; cp -a "$plain" "$copy"
      lacking "-e inject=$call:signal=KILL:when=$at" \
        "$VIRT_THIN_PROGRAM" backup prune "$copy" --keep-last 1 >/dev/null 2>&1 && break
      steps=$((steps + 1))
      lacking "" "$VIRT_THIN_PROGRAM" backup prune "$copy" --keep-last 1 >/dev/null 2>&1 ||
        wrong+=" $call-$at-again"
      has_all "$copy" && vt backup verify "$copy" >/dev/null || wrong+=" $call-$at-then"
      [ "$(ls -A "$copy" | wc -l)" = 4 ] || wrong+=" $call-$at-left: $(ls -A "$copy" | xargs)"
    done
  done
  is "without exchange and links, killed at each of $steps steps, the next goes on" "$wrong" ""
  ok "which were some" test $steps -gt 7
  rm -rf "$copy"; cp -a "$plain" "$copy"
  ok "not killed it merges" lacking "" "$VIRT_THIN_PROGRAM" backup prune "$copy" --keep-last 1
  ok "and all is there" has_all "$copy"
else
  skip 4 "needs strace"
fi
newest=$newest_before
exec {reader}<>"$merging/.readers"; flock -s "$reader"
refused "nothing takes another's place while it is read" 1 'wait until that is done' \
  vt backup prune "$merging" --keep-last 1
exec {reader}>&-
run vt backup prune "$merging" --keep-last 1
like "merging tells what into what" "$out" "^merged into $newest: [0-9]+T"
ok "the manifest says so" valid backup-manifest <"$merging/$newest/manifest.json"
is "how many" "$(field "d['volumes'][0]['merged']" <"$merging/$newest/manifest.json")" 1
vt backup pve/vm-3 pve/vm-2 "$merging" >/dev/null
run vt backup pve/vm-3 pve/vm-2 "$merging" --max-increments 3
like "and they count as increments since the last full one" "$out" 'full.*there are 3 increments'

# --- damage ---
damaged() { # DESCRIPTION REGEX COMMAND...: of a copy of the backups, $copy
  local description=$1 regex=$2; shift 2
  copy=$tmp/copy; rm -rf "$copy"; cp -a "$tmp/several" "$copy"
  bad=$(ls -d "$copy"/2* | sed -n 3p)
  "$@"
  refused "$description" 1 "$regex" vt backup verify "$copy"
}
flip() { printf '\125' | dd of="$(ls "$bad"/*.qcow2)" bs=1 seek="$1" conv=notrunc status=none; }
damaged "verify finds another byte of data" 'checksum|damaged' flip 400000
damaged "of a table" 'damaged' flip 200000
damaged "of the header" 'damaged' flip 5
damaged "an image that is cut off" 'bytes, and should have' eval 'truncate -s -65536 "$bad"/*.qcow2'
damaged "one that is missing" 'No such file' eval 'rm "$bad"/*.qcow2'
damaged "a link in its place" 'symbolic link|too many levels' \
  eval 'mv "$bad"/*.qcow2 "$copy/x"; ln -s ../x "$bad/pve@vm-2.qcow2"'
parent=$(vt backup list --json "$tmp/several" |
  field "[v['parent'] for b in d['backups'] for v in b['volumes'] if v['parent']][0]")
damaged "a parent that is missing" "increment to backup $parent, which is missing" \
  eval 'rm -r "$copy/$parent"'
child=$(vt backup list --json "$tmp/several" | field "[b['id'] for b in d['backups']
  for v in b['volumes'] if v['parent'] == '$parent'][0]")
refused "restore of what needs it" 1 'missing' \
  vt restore "$copy/$child" pve/again --volume "$(field "[v['vg'] + '/' + v['lv']
    for v in d['volumes'] if v['parent']][0]" <"$copy/$child/manifest.json")"
not_ok "makes no volume" vt info pve/again

# --- bad manifests ---
mangle() { # STATEMENTS: over m, the manifest of a copy, and v, its first volume
  copy=$tmp/copy; rm -rf "$copy"; cp -a "$tmp/prune" "$copy"
  python3 - "$(echo "$copy"/2*/manifest.json)" "$1" <<'P'
import json, sys
m = json.load(open(sys.argv[1])); v = m["volumes"][0]
exec(sys.argv[2])
json.dump(m, open(sys.argv[1], "w"))
P
}
bad_manifest() { # DESCRIPTION REGEX STATEMENTS
  mangle "$3"
  refused "manifest: $1" 1 "$2" vt backup list "$copy"
}
bad_manifest "a file elsewhere" '"file" of volume 0' 'v["file"] = "../../etc/passwd"'
bad_manifest "a name with a slash" '"vg" of volume 0' \
  'v["vg"] = "a/b"; v["file"] = "a/b@vm-3.qcow2"'
bad_manifest "the name .." '"lv" of volume 0' 'v["lv"] = ".."; v["file"] = "pve@...qcow2"'
bad_manifest "a parent elsewhere" '"parent" of volume 0' 'v["parent"] = "../20200101T000000Z"'
bad_manifest "itself for a parent" '"parent" of volume 0' 'v["parent"] = m["id"]'
bad_manifest "an absurd size" '"size" of volume 0' 'v["size"] = 2 ** 80'
bad_manifest "a negative one" '"size" of volume 0' 'v["size"] = -1'
bad_manifest "no checksum" '"checksum" of volume 0' 'del v["checksum"]'
bad_manifest "a newer version" 'a newer one is wanted' 'm["version"] = 2'
bad_manifest "another backup's id" 'is of another backup|"time"' 'm["id"] = "20200101T000000Z"'
bad_manifest "no volumes" 'no volumes' 'm["volumes"] = []'
bad_manifest "a volume twice" '"lv" of volume' 'm["volumes"] = [v, v]'
refused "is not pruned" 1 'nothing is pruned' vt backup prune "$copy" --keep-last 1
mangle 'v["size"] = 2 ** 62'
refused "a size that the image does not have" 1 '.' vt restore "$copy" pve/again
truncate -s 100 "$copy"/2*/manifest.json
refused "manifest: cut off" 1 'damaged' vt backup list "$copy"
is "the pool is as it was" "$(names pve | tr ' ' '\n' | grep -c again)" 0
