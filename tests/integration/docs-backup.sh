#!/bin/bash
# docs/backup.md: each command of it, in its order, and what it is there for: the bytes come back
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/libvirt-lib.sh"
. "$(dirname "$0")/docs-lib.sh"
for program in mkfs.ext4 debugfs qemu-img zstd; do
  command -v $program >/dev/null || skip_all "needs $program"
done
page_read "$top_srcdir/docs/backup.md" ||
  { echo "Bail out! there are no commands on the page"; exit 1; }

# The page is of volume group pve; here it is seen by this test alone.
export VIRT_THIN_DEV_DIR=$tmp/dev VIRT_THIN_UNIT_DIR=$tmp/units
PATH=$(dirname "$VIRT_THIN_PROGRAM"):$PATH
mkdir "$tmp/dev" "$tmp/srv"
here() {
  sed "s|/dev/pve|$tmp/dev/pve|g; s|/run/virt-thin|$VIRT_THIN_RUNTIME_DIR|g
    s|/srv/|$tmp/srv/|g; s|/mnt|$tmp/mnt|g; s|var/lib/libvirt/swtpm|${tmp#/}/swtpm|g"
}

# A guest's disk: a file system with files.
mkdir "$tmp/files" && head -c 3m /dev/urandom >"$tmp/files/data" && echo one >"$tmp/files/name"
truncate -s 64m "$tmp/disk.raw" && mkfs.ext4 -q -d "$tmp/files" "$tmp/disk.raw"
virt-thin init pve/data --size 1g >/dev/null &&
  virt-thin import --format raw "$tmp/disk.raw" pve/vm-101-disk-0 >/dev/null ||
  { echo "Bail out! no disk"; exit 1; }
same() { # VOLUME: holds what the disk held
  virt-thin export "pve/$1" - | cmp - "$tmp/disk.raw"
}

before_a_disk_as_a_file_2() { # something happens to it
  head -c 5m /dev/urandom | virt-thin import --format raw - pve/vm-101-disk-0
}
after_a_disk_as_a_file() {
  for volume in vm-101-disk-0 vm-102-disk-0 vm-103-disk-0; do
    ok "A disk as a file: $volume has the disk's bytes" same $volume
  done
}

after_increments_in_a_folder() {
  for volume in vm-104-disk-0 vm-105-disk-0; do
    ok "Increments in a folder: $volume has the disk's bytes" same $volume
  done
  ok "Increments in a folder: so has what QEMU reads" cmp "$page_work/again.raw" "$tmp/disk.raw"
}

before_a_second_pool() { virt-thin init second/data --size 1g; }
after_a_second_pool() {
  ok "A second pool: the disk there has the disk's bytes" \
    sh -c 'virt-thin export second/vm-101-disk-0 - | cmp - "$0"' "$tmp/disk.raw"
  virt-thin remove pve/snap_vm-101-disk-0_monday
  virt-thin remove pve/snap_vm-101-disk-0_tuesday
}

# A guest with UEFI variables; of the TPM there is the folder.
before_what_else_a_guest_has() {
  command -v libvirtd virsh qemu-system-x86_64 >/dev/null && libvirt_start || return
  uuid=0c9ca34a-5d10-4f6e-8a8b-91a1a4b0c101
  mkdir -p "$tmp/swtpm/$uuid/tpm2" "$tmp/srv/backup"
  head -c 64k /dev/urandom | tee "$tmp/variables.had" >"$tmp/variables.fd"
  echo secret >"$tmp/swtpm/$uuid/tpm2/tpm2-00.permall"
  head -c 64k /dev/zero >"$tmp/code.fd"
  virsh define /dev/stdin >&2 <<XML
<domain type='qemu'><name>vm-101</name><uuid>$uuid</uuid><memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type>
    <loader readonly='yes' type='pflash'>$tmp/code.fd</loader>
    <nvram template='$tmp/code.fd'>$tmp/variables.fd</nvram></os>
  <features><acpi/></features></domain>
XML
}
before_what_else_a_guest_has_2() { # another host
  virsh undefine --keep-nvram vm-101 >&2
  rm -r "$tmp/swtpm" "$tmp/variables.fd"
}
after_what_else_a_guest_has() {
  command -v libvirtd virsh qemu-system-x86_64 >/dev/null || return 0
  ok "What else a guest has: its UEFI variables" cmp "$tmp/variables.had" "$tmp/variables.fd"
  is "What else a guest has: what the TPM keeps" "$(cat "$tmp/swtpm/$uuid/tpm2/"*)" secret
  is "What else a guest has: its domain" "$(virsh domuuid vm-101 | xargs)" "$uuid"
  libvirt_stop
}

before_the_files_in_the_disk() {
  mkdir "$tmp/mnt" "$tmp/srv/vm-101"
  echo secret >"$tmp/srv/restic.password"
  ! command -v restic >/dev/null ||
    restic -q -r "$tmp/srv/restic" -p "$tmp/srv/restic.password" init
}
has_files() { diff -r "$tmp/files" "$1" --exclude lost+found; }
before_the_files_in_the_disk_3() {
  ok "The files in the disk: they are all there" has_files "$tmp/srv/vm-101"
  rm -r "$tmp/srv/vm-101" && mkdir "$tmp/srv/vm-101"
  virt-thin import --format raw "$tmp/disk.raw" pve/vm-101-disk-1
}
after_the_files_in_the_disk() {
  ok "The files in the disk: step by step, too" has_files "$tmp/srv/vm-101"
  is "The files in the disk: of two disks" \
    "$(tar -tf "$page_work/vm-101.tar" | grep /name | sort | xargs)" \
    "vm-101-disk-0/name vm-101-disk-1/name"
  not_ok "The files in the disk: nothing is left mounted" mountpoint -q "$tmp/mnt"
  not_ok "The files in the disk: nor a clone" eval 'virt-thin list pve | grep _tmp'
}

before_the_changed_blocks_over_nbd_3() { # something happens to it again
  head -c 7m /dev/urandom | virt-thin import --format raw - pve/vm-101-disk-0
  virt-thin nbd pve/vm-101-disk-0 --writable -- \
    sh -c 'qemu-io -f raw -c "write -P 7 40m 1m" -c "discard 2m 1m" "$NBD_URI"'
} >/dev/null
after_the_changed_blocks_over_nbd() {
  virt-thin export pve/snap_vm-101-disk-0_tuesday "$tmp/tuesday.raw"
  ok "The changed blocks over NBD: the chain has the disk's bytes" \
    qemu-img compare -f qcow2 -F raw "$page_work/tuesday.qcow2" "$tmp/tuesday.raw"
  ok "The changed blocks over NBD: the increment has no more than what changed" \
    test "$(du -k "$page_work/tuesday.qcow2" | cut -f1)" -lt 10000
}

page_run
plan $tap_count
