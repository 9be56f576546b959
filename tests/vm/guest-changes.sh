# virt-thin - in a guest: one pool on d0, by turns the bundled engine's and the kernel's, and random
# changes of it
# SPDX-License-Identifier: LGPL-2.1-or-later
# Source it after guest-lib.sh, with $seed set. What it does:
#   bundled, kernel              whose turn it is
#   bundled_ends, kernel_ends    the end of that
#   changes N                    N changes at random, the same by either
#   sums_bundled, sums_kernel    "name md5" of every volume, as either reads it
#   judged                       what lvm2 and thin_check say while nobody has it
export VIRT_THIN_STATE_DIR=/tmp/state VIRT_THIN_RUNTIME_DIR=/run/virt-thin \
  VIRT_THIN_CONFIG=/tmp/virt-thin.conf
disk=$(readlink -f /run/disk/d0)
modprobe fuse
RANDOM=$seed
next=1 # number of the next volume or snapshot

# --- whose turn it is ---
bundled() {
  printf '[vg]\nengine=bundled\n[devices]\npaths=%s\n[service]\nblock-nodes=none\n' "$disk" \
    >$VIRT_THIN_CONFIG
  virt-thin serve pve || return 1
  folder=/run/virt-thin/pve/volumes
}
kernel() {
  : >$VIRT_THIN_CONFIG
  virt-thin activate pve/data || return 1
  folder=/dev/pve
}
bundled_ends() { virt-thin stop pve; }
kernel_ends() { virt-thin deactivate pve/data; }

# --- what is done: at random, the same by either ---
names() { virt-thin list --json pve | tr '{' '\n' | sed -n 's/.*"name" *: *"\([^"]*\)".*/\1/p'; }
writable() { names | grep '^vm-'; }
any() { local list; list=($(cat)); [ ${#list[@]} -gt 0 ] && echo "${list[RANDOM % ${#list[@]}]}"; }
write() { # VOLUME
  local at=$((RANDOM % 120)) count=$((RANDOM % 40 + 1))
  head -c $((count * 65536 + RANDOM)) /dev/urandom >/tmp/bytes
  dd if=/tmp/bytes of="$folder/$1" bs=65536 seek=$at count=$count conv=notrunc,fsync 2>/dev/null
}
discard() { # VOLUME
  local at=$(((RANDOM % 100) * 65536)) length=$(((RANDOM % 50 + 1) * 65536))
  if [ -b "$folder/$1" ]; then
    blkdiscard -o $at -l $length "$folder/$1"
  else
    fallocate -p -o $at -l $length "$folder/$1"
  fi
}
step() {
  local volume snapshot new=$next choice=$((RANDOM % 12)); volume=$(writable | any) || choice=0
  next=$((next + 1))
  case $choice in
    0 | 1) virt-thin create pve/vm-$new --size $((RANDOM % 3 * 4 + 12))m && write vm-$new;;
    2 | 3 | 4) write "$volume";;
    5) discard "$volume";;
    6 | 7) virt-thin snapshot "pve/$volume" s$new;;
    8) virt-thin clone "pve/$(names | any)" vm-$new;; # also of a snapshot
    9) snapshot=$(names | grep '^snap_vm-' | any) || return 0
      volume=${snapshot#snap_}; volume=${volume%_*}
      ! names | grep -qx "$volume" || virt-thin rollback "pve/$volume" "${snapshot##*_}";;
    10) virt-thin resize "pve/$volume" +4m;;
    11) [ "$(names | wc -l)" -lt 8 ] || virt-thin remove "pve/$(names | any)";;
  esac
}
changes() {
  local i; for ((i = 0; i < $1; i++)); do step || { echo "step $i failed"; return 1; }; done
}

# --- what is left ---
sums_bundled() {
  local v; for v in $(names); do echo "$v $(md5sum <"$folder/$v" | cut -d' ' -f1)"; done | sort
}
sums_kernel() { # by lvm2 and the kernel alone
  local v
  lvm vgchange -ay -K pve >/dev/null 2>&1
  for v in $(lvs --noheadings -o lv_name -S 'segtype=thin' pve); do
    echo "$v $(md5sum </dev/pve/$v | cut -d' ' -f1)"
  done | sort
  for v in $(lvs --noheadings -o lv_name \
      -S 'segtype=thin && lv_skip_activation="skip activation"' pve); do
    lvchange -an pve/$v
  done
}
judged() { # nobody has it now: what do lvm2 and thin_check say?
  vgck pve && [ -z "$(lvs -a pve 2>&1 >/dev/null)" ] &&
    [ -z "$(lvs --noheadings -o lv_health_status pve | tr -d ' \n')" ] || return 1
  lvchange --yes -ay pve/data_tmeta || return 1
  thin_check /dev/pve/data_tmeta
  local status=$?
  lvchange -an pve/data_tmeta && return $status
}
