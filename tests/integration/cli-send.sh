#!/bin/bash
# virt-thin - send and receive: through pipes and files, to other chunks, by services, and what is
# left when one of them is killed
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

plan 57
disk=vm-100-disk-0 live=
vt init a/pool --size 1g >/dev/null
vt init b/pool --size 1g >/dev/null
vt init c/pool --size 1g --chunk-size 512k >/dev/null

noise() { # MIB: bytes that compress to nothing less
  openssl enc -aes-128-ctr -K "$(printf %032x $((++seed)))" -iv 00 </dev/zero 2>/dev/null |
    head -c "$1M"
}
seed=0
noise 24 >"$tmp/image"
truncate -s 100M "$tmp/image"
change() { # OFFSET_MIB: one MiB of the image, and of the volume
  noise 1 | dd of="$tmp/image" bs=1M seek="$1" conv=notrunc status=none
  vt import "$tmp/image" a/$disk 2>/dev/null
}
# Without what tells a receiver of writes.
volumes() { vt list "$1" --json | sed -n 's/^ *"name" : "\(.*\)",$/\1/p' |
    grep -v _vt-received- | sort | paste -sd' '; }
used() { vt info "$1" --json | sed -n 's/^ *"used" : \([0-9]*\),$/\1/p' | head -n 1; }
digest() { vt export "$1" - | md5; }
same() { # VG...: every volume is as in a
  local vg lv
  for vg; do
    [ "$(volumes a)" = "$(volumes "$vg")" ] || { echo "$vg has $(volumes "$vg")"; return 1; }
    for lv in $(volumes a); do
      [ "$(digest "a/$lv")" = "$(digest "$vg/$lv")" ] || { echo "$vg/$lv differs"; return 1; }
    done
  done
}
hand_over() { # VG/POOL WORD...: send WORDs to receive
  local to=$1; shift
  vt send "$@" 2>"$tmp/send-err" | vt receive "$to"
  [ "${PIPESTATUS[*]}" = "0 0" ] || { cat "$tmp/send-err"; return 1; }
}

vt import "$tmp/image" a/$disk
vt snapshot a/$disk s1
change 10
vt snapshot a/$disk s2
change 20

# --- all of a pool ---
ok "all of a pool, by a pipe" hand_over b/pool a/pool
ok "it is there, byte for byte" same b
is "and shares as much" "$(used b/pool)" "$(used a/pool)"
is "the temporary snapshot is gone" "$(volumes a)" "snap_${disk}_s1 snap_${disk}_s2 $disk"
ok "to a file, compressed" sh -c '"$0" send a/pool --zstd >"$1"' "$VIRT_THIN_PROGRAM" "$tmp/stream"
is "which zstd knows" "$(head -c 4 "$tmp/stream" | xxd -p)" 28b52ffd
ok "into a pool with other chunks" vt receive c/pool <"$tmp/stream"
ok "it is there, too" same c
run vt info b/snap_${disk}_s1
like "the snapshot is one" "$out" "$disk"
refused "a stream a second time" 1 "received before" vt receive c/pool <"$tmp/stream"

# --- what has changed ---
change 21
vt snapshot a/$disk s3
vt send a/snap_${disk}_s3 --since s2 >"$tmp/increment"
ok "an increment has what has changed" \
  test "$(stat -c %s "$tmp/increment")" -lt $(((2 << 20) + 20000))
ok "and is received" vt receive b/pool <"$tmp/increment"
ok "also by a pipe, compressed, where chunks are large" \
  hand_over c/pool a/pool/$disk --recursive --since s2 --zstd
ok "both have all of it" same b c
vt rollback a/$disk s1
ok "a volume that was rolled back" sh -c '"$0" send a/'$disk' --since s3 --since s1 >"$1"' \
  "$VIRT_THIN_PROGRAM" "$tmp/back"
ok "travels as nothing" test "$(stat -c %s "$tmp/back")" -lt 4096
ok "and is received" vt receive b/pool <"$tmp/back"
ok "so" same b
vt rollback a/$disk s3
hand_over b/pool a/$disk --since s3 2>/dev/null

# --- refused: nothing changes ---
before=$(volumes c)
head -c 5000000 "$tmp/stream" >"$tmp/cut"
vt init d/pool --size 1g >/dev/null
refused "a stream that was cut" 1 "nothing was received into d/pool: .*it was cut" \
  vt receive d/pool <"$tmp/cut"
refused "no stream" 1 "is no stream" vt receive d/pool <"$tmp/image"
refused "nothing at all" 1 "is empty" vt receive d/pool </dev/null
refused "an increment without its base" 1 "does not have" vt receive d/pool <"$tmp/increment"
refused "to a pool that is not there" 1 "no thin pool x" vt receive d/x <"$tmp/stream"
is "nothing is there" "$(volumes d)" ""
echo written >"$tmp/written"
vt import "$tmp/written" c/$disk 2>/dev/null
vt snapshot a/$disk s4
refused "to a volume that was written to" 1 "was written to" \
  sh -c '"$0" send a/snap_'$disk'_s4 --since s3 | "$0" receive c/pool' "$VIRT_THIN_PROGRAM"
is "it is as it was" "$(volumes c) $(vt export c/$disk - | head -c 7)" "$before written"
ok "unless by force" sh -c '"$0" send a/snap_'$disk'_s4 --since s3 | "$0" receive c/pool --force' \
  "$VIRT_THIN_PROGRAM"
ok "then it is as sent" same c

# --- killed ---
mkfifo "$tmp/pipe"
vt send a/pool >"$tmp/whole" 2>/dev/null
"$VIRT_THIN_PROGRAM" receive d/pool <"$tmp/pipe" 2>/dev/null & receiver=$!
exec 3>"$tmp/pipe"
head -c 12000000 "$tmp/whole" >&3
wait_until 20 pgrep -P $$ -f "receive d/pool"
kill -9 $receiver
wait $receiver 2>/dev/null
exec 3>&-
like "a receiver that is killed leaves temporary volumes alone" "$(volumes d)" \
  "^vt-receive-[0-9a-f]{32}-0$"
ok "the next one removes them, and receives" vt receive d/pool <"$tmp/whole"
ok "all of it" same d
vt remove d/$disk --snapshots
"$VIRT_THIN_PROGRAM" receive d/pool --resumable <"$tmp/pipe" 2>/dev/null & receiver=$!
vt send a/snap_${disk}_s1 a/snap_${disk}_s2 >"$tmp/parts"
exec 3>"$tmp/pipe"
head -c $(($(stat -c %s "$tmp/parts") - 500000)) "$tmp/parts" >&3
kill -9 $receiver
wait $receiver 2>/dev/null
exec 3>&-
run vt receive d/pool --resume-token
like "of one that is resumable, a token tells what is there" "$out" \
  "^[0-9a-f]{32}-1-0-[0-9a-f]{16}$"
refused "with which other volumes are not sent" 1 "not what would be sent now" \
  vt send a/snap_${disk}_s2 --resume "$out"
refused "nor is anything with what is none" 1 "no token" vt send a/pool --resume 1-2-3
vt receive d/pool --resume-token >"$tmp/token"
ok "but the rest of the same" sh -c '"$0" send "$1" "$2" --resume "$3" >"$4"' "$VIRT_THIN_PROGRAM" \
  a/snap_${disk}_s1 a/snap_${disk}_s2 "$(cat "$tmp/token")" "$tmp/rest"
ok "which is less" test "$(stat -c %s "$tmp/rest")" -lt $((2 << 20))
ok "and is received" vt receive d/pool <"$tmp/rest"
is "it is there, byte for byte, and nothing is kept" \
  "$(digest d/snap_${disk}_s2) $(volumes d) $(vt receive d/pool --resume-token)" \
  "$(digest a/snap_${disk}_s2) snap_${disk}_s1 snap_${disk}_s2 "
vt remove d/snap_${disk}_s1 d/snap_${disk}_s2
cut() { # FILE: all but its end is received, resumable; what that said goes to $err
  head -c $(($(stat -c %s "$1") - 300000)) "$1" >"$tmp/cut"
  run vt receive d/pool --resumable <"$tmp/cut"
}
vt send a/$disk >"$tmp/parts"
not_ok "cut within a volume that can be written to" cut "$tmp/parts"
is "nothing is kept, for it is another the next time" \
  "$(grep -c ^virt-thin:.*nothing <<<"$err") $(volumes d) $(vt receive d/pool --resume-token)" "1  "
change 60
vt send a/snap_${disk}_s1 a/$disk >"$tmp/parts"
not_ok "cut behind a snapshot of it" cut "$tmp/parts"
run vt receive d/pool --resume-token
like "that snapshot is what is kept" "$out" "^[0-9a-f]{32}-1-0-[0-9a-f]{16}$"
token=$out
change 61
ok "the rest goes on from there" sh -c '"$0" send "$1" "$2" --resume "$3" >"$4"' \
  "$VIRT_THIN_PROGRAM" a/snap_${disk}_s1 a/$disk "$token" "$tmp/rest"
ok "and is received" vt receive d/pool <"$tmp/rest"
is "the volume as it is by then" "$(digest d/$disk) $(digest d/snap_${disk}_s1)" \
  "$(digest a/$disk) $(digest a/snap_${disk}_s1)"
vt remove d/$disk --snapshots
vt receive d/pool <"$tmp/whole" 2>/dev/null
start_sender() { # of which a MiB is read, through descriptor 4
  "$VIRT_THIN_PROGRAM" send a/pool >"$tmp/pipe" 2>"$tmp/send-err" & live=$!
  exec 4<"$tmp/pipe"
  head -c 1048576 <&4 >/dev/null
}
stop_sender() { # SIGNAL
  kill "-$1" $live
  wait $live 2>/dev/null
  exec 4<&-
}
start_sender
stop_sender KILL
like "a sender that is killed leaves its snapshot" "$(volumes a)" "snap_${disk}_send_tmp\."
start_sender
stop_sender TERM
is "the next one removes it, and its own, though interrupted" \
  "$(volumes a)" "snap_${disk}_s1 snap_${disk}_s2 snap_${disk}_s3 snap_${disk}_s4 $disk"
like "and says so" "$(cat "$tmp/send-err")" "interrupted"

# --- served ---
if ! can_serve; then
  skip 9 "services need root and FUSE"
  exit
fi
vt remove b/$disk --snapshots
vt serve a; vt serve b; vt serve d
ok "from service to service" hand_over b/pool a/pool
ok "it is all there" same b
change 22
vt snapshot a/$disk s5
exec 5<"$VIRT_THIN_RUNTIME_DIR/b/volumes/$disk"
refused "to a volume that is open: before anything is sent" 1 "which is to follow, is in use" \
  sh -c '"$0" send a/snap_'$disk'_s5 --since s4 | "$0" receive b/pool' "$VIRT_THIN_PROGRAM"
exec 5<&-
ok "and that is closed" hand_over b/pool a/snap_${disk}_s5 --since s4
vt remove d/$disk --snapshots
vt send a/pool >"$tmp/whole" 2>/dev/null
for i in 1 2; do
  vt send a/pool 2>/dev/null >"$tmp/whole$i"
  "$VIRT_THIN_PROGRAM" receive d/pool <"$tmp/whole$i" 2>"$tmp/err$i" & pids[i]=$!
done
statuses=
for i in 1 2; do wait "${pids[i]}"; statuses+=$?; done
like "of two that receive the same at once one does" "$statuses" "^(01|10|11)$"
[ "$statuses" != 11 ] || vt receive d/pool <"$tmp/whole1" 2>/dev/null
ok "and nothing is half" same d
vt remove d/$disk --snapshots
"$VIRT_THIN_PROGRAM" receive d/pool <"$tmp/pipe" 2>"$tmp/err1" & receiver=$!
exec 3>"$tmp/pipe"
head -c 12000000 "$tmp/whole" >&3
refused "the same stream twice at once" 1 "under way" vt receive d/pool <"$tmp/whole"
tail -c +12000001 "$tmp/whole" >&3
exec 3>&-
ok "the first is not disturbed" wait $receiver
start_sender
vt remove a/snap_${disk}_s3 a/snap_${disk}_s5
cat <&4 >/dev/null
exec 4<&-
wait $live; status=$?
like "a snapshot that is removed before it is sent" "$status $(cat "$tmp/send-err")" \
  "^1 .*(s3|s5)"
