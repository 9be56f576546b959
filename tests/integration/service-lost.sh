#!/bin/bash
# virt-thin - a physical volume that goes while it is served: said at once by info and the log, and
# to whoever writes; what info advises leads back to health
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/cli-lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
printf '[service]\nblock-nodes=none\n[devices]\npaths=%s/*\n' "$tmp/pv" \
  >"$VIRT_THIN_CONFIG"
vg=lost$$ pv=$tmp/pv/pv.img run=$VIRT_THIN_RUNTIME_DIR
mkdir "$tmp/pv"
cases=(deleted replaced emptied halved "emptied and grown" "cut and grown"
  "deleted under a loop device"
  "replaced under a loop device" "cut under a loop device")
plan $((${#cases[@]} * 7 + 5))

log_says() { grep -qE "$1" "$run/$vg/log"; }
is_ill() { vt info $vg/data --json | grep -qE "\"health\" *: *\"[^\"]*($1)"; }
write() { # OFFSET IN 64 KiB
  dd if="$tmp/block" of="$run/$vg/volumes/vm-1" bs=64k seek="$1" count=1 conv=notrunc,fsync \
    oflag=direct status=none
}
write_fails() { ! write 9; }
hurt() {
  case $1 in
    deleted*) rm "$pv" ;;
    replaced*) truncate -s 300m "$tmp/other"; mv "$tmp/other" "$pv" ;;
    emptied) : >"$pv" ;;
    halved | "cut under"*) truncate -s 150m "$pv" ;;
    "emptied and grown") truncate -s 0 "$pv"; truncate -s 300m "$pv" ;;
    "cut and grown") truncate -s 1m "$pv"; truncate -s 300m "$pv" ;; # the text stays
  esac
}
dd if=/dev/urandom of="$tmp/block" bs=64k count=1 status=none
device=
for case in "${cases[@]}"; do
  truncate -s 300m "$pv"
  file=$pv
  case $case in
    *loop*) mv "$pv" "$tmp/behind"; pv=$tmp/behind; device=$(losetup -f --show "$pv")
      at_exit "losetup -d $device 2>/dev/null"; ln -s "$device" "$tmp/pv/loop"; file=$device ;;
  esac
  ok "$case: a volume group, served" vt init $vg/data --file "$file"
  vt create $vg/vm-1 --size 64m
  vt serve $vg
  ok "and written to" write 1
  case $case in
    deleted* | replaced*) why="deleted or replaced" ;;
    *grown) why="somebody has cut it, and let it grow again|changed by somebody else" ;;
    *) why="somebody has cut" ;;
  esac
  if [ "$case" = "cut and grown" ]; then # it is known what is there
    vt stop $vg
    vt serve $vg
  fi
  hurt "$case"
  ok "who writes is told at once" write_fails
  ok "info says why" wait_until 5 is_ill "$why"
  ok "and the log" wait_until 5 log_says "$why"
  if [ "$case" = deleted ]; then
    refused "stop, which would lose it" 1 "would lose it .*copy it with cp" vt stop $vg
    read -ra advice <<<"$(grep -o 'cp --sparse=always /proc/[0-9]*/fd/[0-9]*' "$run/$vg/log" |
      head -n 1)"
    ok "the advice: ${advice[*]}" "${advice[@]}" "$tmp/copy"
    vt stop $vg --force
    mv "$tmp/copy" "$pv"
    ok "started again with the copy" vt serve $vg
    is "nothing that was flushed is lost" \
      "$(dd if="$run/$vg/volumes/vm-1" bs=64k skip=1 count=1 status=none | md5)" \
      "$(md5 "$tmp/block")"
    ok "it takes writes" write 5
    vt stop $vg
    ok "and is whole" vt check $vg/data
  fi
  [ "$case" = deleted ] || ok "stop" timeout 60 "$VIRT_THIN_PROGRAM" stop $vg --force
  ok "nothing of it stays" [ ! -e "$run/$vg/pid" ]
  [ -z "$device" ] || losetup -d "$device"
  device= pv=$tmp/pv/pv.img
  rm -f "$tmp/pv/loop" "$pv" "$tmp/behind"
done
