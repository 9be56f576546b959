#!/bin/bash
# docs/backup.md, "QEMU's bitmaps": each command of it, with the libvirt, QEMU and virtnbdbackup of
# Debian 13, over a volume of ours. Every backup is held against a snapshot of that moment.
# SPDX-License-Identifier: LGPL-2.1-or-later
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root"; exit 0; }
. "$(dirname "$0")/../../scripts/private-libvirt"
if [ -z "${VIRT_THIN_TEST_NAMESPACE-}" ]; then
  "${private_libvirt_namespaces[@]}" true 2>/dev/null ||
    { echo "1..0 # SKIP needs mount and process namespaces"; exit 0; }
  export VIRT_THIN_TEST_NAMESPACE=1 virt_thin_test_mounts=own
  exec "${private_libvirt_namespaces[@]}" bash "$0" "$@"
fi
unset VIRT_THIN_TEST_NAMESPACE
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/docs-lib.sh"
for program in mmdebstrap as ld python3; do
  command -v $program >/dev/null || skip_all "needs $program"
done
[ -e /dev/fuse ] || skip_all "needs /dev/fuse"
debian=$top_builddir/debian13-root
"$top_srcdir/tests/integration/make-root" trixie "$debian" libvirt-daemon \
  libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 qemu-utils libnbd-bin virtnbdbackup \
  >"$tmp/make-root.log" 2>&1 ||
  skip_all "Debian 13's packages are not to be had: $(tail -n 1 "$tmp/make-root.log")"
rounds=0; [ -z "${VIRT_THIN_TEST_LONG-}" ] || rounds=30
plan $((37 + rounds))

# --- that root, with a /dev, /run and our program of its own ---
root=$tmp/root images=$tmp/root/var/lib/libvirt/images
mkdir "$tmp/layers" "$root" && mount -t tmpfs layers "$tmp/layers" &&
  mkdir "$tmp/layers/upper" "$tmp/layers/work" &&
  mount -t overlay overlay "$root" \
    -o "lowerdir=$debian,upperdir=$tmp/layers/upper,workdir=$tmp/layers/work" ||
  { echo "Bail out! no overlay of $debian"; exit 1; }
at_exit 'umount -R -l "$root"; umount -l "$tmp/layers"'
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"; ln -s /proc/self/fd "$root/dev/fd"
cp -a /dev/{null,zero,full,random,urandom,tty} "$root/dev/"
mkdir -p "$root/srv/backup" "$root/opt/virt-thin"
printf '%s\n' 'auth_unix_rw = "none"' 'unix_sock_rw_perms = "0700"' \
  'log_outputs = "2:stderr"' >"$root/etc/libvirt/libvirtd.conf"
printf '%s\n' 'security_driver = "none"' 'cgroup_controllers = []' 'remember_owner = 0' \
  'user = "root"' 'group = "root"' 'namespaces = []' >"$root/etc/libvirt/qemu.conf"
# The program brings the libraries that it was built with.
program=$top_builddir/virt-thin
[ ! -x "$top_builddir/.libs/virt-thin" ] || program=$top_builddir/.libs/virt-thin
{ echo "$program"; ldd "$program" | grep -o '/[^ ]*'; } |
  xargs cp -L -t "$root/opt/virt-thin"
printf '#!/bin/sh\nexec /opt/virt-thin/%s --library-path /opt/virt-thin %s "$@"\n' \
  "$(basename "$(ldd "$program" | grep -o '/[^ ]*ld-linux[^ ]*')")" /opt/virt-thin/virt-thin \
  >"$root/usr/bin/virt-thin"
chmod +x "$root/usr/bin/virt-thin"
in_root() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C PYTHONDONTWRITEBYTECODE=1 \
    LIBVIRT_DEFAULT_URI=qemu:///system DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nonexistent \
    chroot "$root" "$@"
}
page_exec() { cp "$1" "$root/block" && in_root bash -ec 'cd /root; . /block'; }
here() { sed 's/\b8G\b/64M/g; s/\b10g\b/80m/g; s/\b10G\b/80M/g; s/\b12g\b/96m/g; s/\b12G\b/96M/g'; }

# --- the volume, served from outside ---
export VIRT_THIN_RUNTIME_DIR=$root/run/virt-thin VIRT_THIN_DEV_DIR=$root/dev \
  VIRT_THIN_STATE_DIR=$tmp/state VIRT_THIN_CONFIG=$tmp/virt-thin.conf VIRT_THIN_PROGRAM=$program
mkdir "$VIRT_THIN_RUNTIME_DIR" "$VIRT_THIN_STATE_DIR"
: >"$VIRT_THIN_CONFIG"
end_service() {
  local device file
  timeout 30 "$program" stop --force pve
  losetup --noheadings --raw --list -O NAME,BACK-FILE | while read -r device file; do
    case $file in "$tmp"/*) losetup -d "$device";; esac
  done
}
at_exit 'end_service 2>/dev/null'
as --32 -o "$tmp/scatter.o" "$top_srcdir/tests/vm/scatter.S" &&
  ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$tmp/scatter" "$tmp/scatter.o" ||
  { echo "Bail out! the assembler fails"; exit 1; }
{ cat "$tmp/scatter"; head -c 512 /dev/zero; head -c 10m /dev/urandom; } >"$tmp/disk"
truncate -s 64m "$tmp/disk"
"$program" init pve/data --size 1g >/dev/null &&
  "$program" import --format raw "$tmp/disk" pve/vm-100-disk-0 && "$program" serve pve ||
  { echo "Bail out! no volume"; exit 1; }
node=$(readlink "$root/dev/pve/vm-100-disk-0") && cp -a "$node" "$root/dev/" ||
  { echo "Bail out! no block node"; exit 1; }

in_root virtlogd -d
in_root libvirtd >"$tmp/libvirtd.log" 2>&1 &
libvirtd=$!
end_libvirt() {
  in_root virsh destroy vm-100
  kill $libvirtd; wait $libvirtd
}
at_exit 'end_libvirt >/dev/null 2>&1'
ok "libvirt $(in_root libvirtd --version | grep -o '[0-9.]*$') answers" \
  wait_until 60 in_root virsh uri

# --- what the guest does, and what holds it ---
number() { # the last one that it wrote
  dd if="$node" bs=512 skip=1 count=1 iflag=direct status=none | od -An -tu4 -N4 | tr -d ' '
}
beyond() { [ "$(number)" -gt "$1" ]; }
goes_on() { wait_until 60 beyond $(($(number) + 20)); }
# A moment: the guest stands still, and a snapshot has what is in its disk.
moment() { # NAME
  in_root virsh suspend vm-100 >"$tmp/said" 2>&1 &&
    "$program" snapshot pve/vm-100-disk-0 "$1" >"$tmp/said" 2>&1 || cat "$tmp/said" >&2
}
go_on() { in_root virsh resume vm-100; }
content() { # SNAPSHOT: as a file in /root
  [ -e "$root/root/$1" ] || "$program" export "pve/snap_vm-100-disk-0_$1" "$root/root/$1"
}
is_moment() { # NAME IMAGE
  content "$1" && in_root qemu-img compare -U -F raw "$2" "/root/$1"
}
volume_is_moment() {
  content "$1" && "$program" export pve/vm-100-disk-0 - | cmp - "$root/root/$1"
}
# Off, written to while it is, and on again.
off() { in_root virsh destroy vm-100; }
off_and_on() {
  off && in_root qemu-io -c "write -P $((RANDOM % 255 + 1)) $((RANDOM % 500 + 33 * 1024))k 64k" \
    /var/lib/libvirt/images/vm-100.qcow2 && in_root virsh start vm-100 && goes_on
}
under() { [ "$(stat -c %s "$root$1")" -lt "$2" ]; } # FILE SIZE

page_read "$top_srcdir/docs/backup.md" || { echo "Bail out! no page"; exit 1; }

# --- the image, and the guest's disk ---
section="The image, and the guest's disk"
cp "$top_srcdir/xml/domain-block.xml" "$root/root/"
in_root virsh define /root/domain-block.xml >/dev/null
ok "a guest with the volume as its disk" in_root virsh start vm-100
ok "it writes" goes_on
like "its disk is raw: no checkpoint" "$(in_root virsh checkpoint-create-as vm-100 c 2>&1)" \
  "checkpoint for disk vda unsupported for storage type raw"
off >/dev/null
before=$(number)
ok "an image over the volume" page_block "$section" 1
is "it says where the data is" "$(in_root qemu-img info --output=json \
  /var/lib/libvirt/images/vm-100.qcow2 | grep -oE '"data-file(-raw)?": [^,]*' | xargs)" \
  "data-file: /dev/pve/vm-100-disk-0 data-file-raw: true"
is "the data is as it was" "$(number)" "$before"
page_text "$section" 2 >"$root/root/disk.xml"
ok "the guest gets it, and starts" page_block "$section" 3
ok "it writes on, from where it was" wait_until 60 beyond $((before + 20))

# --- by a backup program ---
section="By a backup program"
moment v-full
ok "virtnbdbackup: a full one" page_block "$section" 1
go_on >/dev/null; goes_on
ok "the guest goes off, and on" off_and_on
moment v-inc
ok "an increment" page_block "$section" 2
go_on >/dev/null; goes_on
off >/dev/null
"$program" snapshot pve/vm-100-disk-0 v-off
ok "an increment of a guest that is off" page_block "$section" 2
is "it is off" "$(in_root virsh domstate vm-100 | xargs)" "shut off"
"$program" import --format raw "$tmp/disk" pve/vm-100-disk-0
ok "the last of them is restored" page_block "$section" 3
ok "it is what was in the disk at that moment" volume_is_moment v-off
is "a full one, and one of each increment" \
  "$(cd "$root/srv/backup/vm-100" && ls | grep -c '^vda.*data$')" 3
# The bitmaps know nothing of that import.
in_root virsh start vm-100 >/dev/null
ok "the old checkpoints go" page_block "What to mind" 1
is "all of them" "$(in_root virsh checkpoint-list vm-100 --name | xargs)" ""

# --- by virsh ---
section="By virsh"
page_text "$section" 1 >"$root/root/full.xml"
page_text "$section" 3 >"$root/root/increment.xml"
page_text "$section" 5 >"$root/root/pull.xml"
goes_on
moment monday
ok "virsh: a full one" page_block "$section" 2
ok "it is what was in the disk" is_moment monday /srv/backup/vm-100.monday.qcow2
go_on >/dev/null; goes_on
ok "the guest goes off, and on" off_and_on
moment tuesday
ok "an increment" page_block "$section" 4
ok "with the full one it is what was in the disk" is_moment tuesday /srv/backup/vm-100.tuesday.qcow2
ok "it is small" under /srv/backup/vm-100.tuesday.qcow2 $((24 << 20))
go_on >/dev/null; goes_on
ok "the guest goes off, and on" off_and_on
moment wednesday
page_block "$section" 6 >"$tmp/pulled" 2>"$tmp/said" || cat "$tmp/said" >&2
# What the socket says has changed, put into Tuesday's, is Wednesday's.
content tuesday && content wednesday
ok "what is pulled is what has changed" python3 - "$tmp/pulled" "$root/root/tuesday" \
  "$root/srv/backup/vm-100.raw" "$root/root/wednesday" <<'PYTHON'
import re, sys
ranges = [tuple(map(int, m)) for m in
          re.findall(r"^ *(\d+) +(\d+) +1 ", open(sys.argv[1]).read(), re.M)]
old, new, want = (open(f, "rb").read() for f in sys.argv[2:])
old = bytearray(old)
for offset, length in ranges:
    old[offset:offset + length] = new[offset:offset + length]
assert 0 < sum(length for _, length in ranges) < len(new) // 2, ranges
assert old == want, "not all that has changed"
PYTHON
go_on >/dev/null

# --- what to mind ---
kill -KILL "$(cat "$root/run/libvirt/qemu/vm-100.pid")"
wait_until 30 in_root sh -c '[ "$(virsh domstate vm-100)" = "shut off" ]'
in_root virsh start vm-100 >/dev/null
like "QEMU was killed: no increment" "$(in_root virsh backup-begin vm-100 /root/pull.xml 2>&1)" \
  "missing or broken bitmap"
ok "the old checkpoints go" page_block "What to mind" 1
rm "$root"/srv/backup/vm-100.*.qcow2
ok "a full one" page_block "$section" 2
goes_on
moment again
page_block "$section" 4 >"$tmp/said" 2>&1 || cat "$tmp/said" >&2
go_on >/dev/null; goes_on
ok "a larger disk, while the guest runs" page_block "What to mind" 2
ok "it goes on" goes_on
off >/dev/null
ok "and while it is off" page_block "What to mind" 3
is "both have grown" "$(in_root sh -c 'qemu-img info /var/lib/libvirt/images/vm-100.qcow2; \
  virt-thin info pve/vm-100-disk-0' | grep -ciE 'size:? .*96(.00)? MiB')" 2
ok "the increment of the time before is restored" page_block "$section" 7
ok "it is what was in the disk" eval 'content again &&
  "$program" export pve/vm-100-disk-0 - 2>/dev/null | cmp -n $((64 << 20)) - "$root/root/again"'
is "the whole of it was run" "$(page_left libvirt-datastore.sh)" ""
[ $rounds = 0 ] || {
  in_root virsh start vm-100 && page_block "What to mind" 1
  in_root virtnbdbackup -d vm-100 -l full -o /srv/backup/long
} >/dev/null 2>&1
# An increment of an increment...: each restored alone.
for ((round = 1; round <= rounds; round++)); do
  progress "round $round of $rounds"
  case $((RANDOM % 3)) in
    0) goes_on;;
    1) off_and_on;;
    2) off; in_root virsh start vm-100;;
  esac >/dev/null
  moment "round-$round" 2>/dev/null
  in_root virtnbdbackup -d vm-100 -l inc -o /srv/backup/long >"$tmp/said" 2>&1 || cat "$tmp/said"
  go_on >/dev/null
  rm -rf "$root/srv/long"
  in_root virtnbdrestore -i /srv/backup/long -o /srv/long >"$tmp/said" 2>&1 || cat "$tmp/said"
  ok "round $round" is_moment "round-$round" /srv/long/vm-100.qcow2
  rm -f "$root/root/round-$round"
done
