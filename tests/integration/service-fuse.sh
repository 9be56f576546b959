#!/bin/bash
# A volume's file has a disk's manners: each behaviour on its own, over plain files.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
service_instance file-service
echo $'[service]\nblock-nodes=none' >"$VIRT_THIN_CONFIG"
manner() { python3 "$top_srcdir/tests/integration/fuse-manners.py" "$@"; }
plan 42
export FILE_POOL_POISON=DEADLY
ulimit -c 0

truncate -s 64M "$FILE_POOL_FOLDER/vm-1"
truncate -s 64M "$FILE_POOL_FOLDER/snap_vm-1_before"
ok "the service starts" serve
f=$volumes/vm-1
for check in direct buffered coherent_opens sync end punch zero_range allocate holes o_trunc \
    truncate folder mmap owner; do
  ok "$check" manner $check "$f"
done
ok "a snapshot is read-only" manner read_only "$volumes/snap_vm-1_before"
ok "the folder's space" manner space "$volumes"
is "no block nodes where none are wanted" "$("$service" path $vg vm-1)" "$f"
ok "an owner outlives the engine" kill_engine
ok "... and is still there" manner has_owner "$f"

# A request that ends each engine that tries it is given up, and harms nobody else.
not_ok "a deadly request gets an I/O error" \
  timeout 60 dd if=<(echo DEADLY) of="$f" bs=512 seek=8 conv=notrunc oflag=sync status=none
like "... not another" "$(cat "$tmp/.said")" "Input/output error"
ok "the service goes on" \
  dd if=/dev/urandom of="$f" bs=64k count=1 conv=notrunc oflag=direct status=none
is "four engines were lost to it" "$(grep -c "ended by signal 4" "$tmp/run/$vg/log")" 4
ok "that was said" grep -q "has ended 4 engines" "$tmp/run/$vg/log"

# Changes show at once, also to who has the file open.
exec 5<>"$f"
ok "grow an open volume" "$service" resize $vg vm-1 96m
is "its size, by name" "$(stat -c %s "$f")" $((96 << 20))
is "its size, to who has it open" "$(stat -L -c %s /proc/self/fd/5)" $((96 << 20))
ok "seek to the new end" manner size "$f" $((96 << 20))
ok "write beyond the old end" \
  dd if=/dev/urandom of="$f" bs=1M seek=80 count=1 oflag=direct conv=notrunc status=none
not_ok "an open volume cannot shrink" without_5 "$service" resize $vg vm-1 64m shrink
like "... and the opener is named" "$(cat "$tmp/.said")" "bash|service-fuse.*pid $$"
exec 5>&-
ok "a closed one can" "$service" resize $vg vm-1 64m shrink
ok "its size is the smaller one" manner size "$f" $((64 << 20))
dd if=/dev/urandom of="$f" bs=1M count=4 conv=notrunc status=none
before=$(md5sum <"$f")
ok "snapshot" "$service" snapshot $vg vm-1 s1
ok "its file is there at once" cmp "$volumes/snap_vm-1_s1" "$f"
dd if=/dev/urandom of="$f" bs=1M count=4 conv=notrunc status=none
ok "rollback" "$service" rollback $vg vm-1 s1
is "the old content is back" "$(md5sum <"$f")" "$before"
exec 5<"$f"
ok "rename an open volume" "$service" rename $vg vm-1 vm-2
not_ok "its old name is gone" stat "$f"
is "who has it open reads on" "$(md5sum <&5)" "$before"
exec 5<&-
ok "remove" "$service" remove $vg vm-2
