#!/bin/bash
# virt-thin - the guest's base archive for tests under a real kernel
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: tests/vm/mkinitramfs.sh KERNEL_DIR OUT.cpio [PROGRAM...]
#   KERNEL_DIR  as scripts/guest-kernel leaves it
#   PROGRAM     taken along with its libraries, under its own path for a path, else as found in
#               $PATH; a folder is taken as a whole
#
# Holds busybox, bash, the programs, and the modules named in $VM_MODULES (default: what a block
# node needs). Modules are loaded by name by the guest's modprobe, also when the kernel or a program
# asks for one; of lvm2 a configuration that suits a guest without udev.
set -euo pipefail
kernel=${1:?usage: tests/vm/mkinitramfs.sh KERNEL_DIR OUT.cpio [PROGRAM...]} out=${2:?}
shift 2
version=$(cat "$kernel/version")
modules=${VM_MODULES:-virtio_pci virtio_blk ext4 crc32c_generic fuse loop nbd dm-mod dm-thin-pool
  dm-snapshot md-mod raid1}
root=$(mktemp -d "${TMPDIR:-/tmp}/vm-initramfs.XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p \
  "$root"/{bin,sbin,usr/bin,usr/sbin,etc/lvm,proc,sys,dev,run,tmp,var/lib,out,in,modules,lib/vm,mnt}
ln -s ../run "$root/var/run"
cp "$(command -v busybox)" "$root/bin/busybox"

copy_libraries() {
  local library
  ldd "$1" 2>/dev/null | grep -oE '/[^ ]+' | sort -u | while read -r library; do
    [ -e "$root$library" ] && continue
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
}
# A program in $PATH keeps its place, one of a build folder goes to /usr/bin; a name that is a link
# (lvcreate is one to lvm) stays one.
copy_program() {
  local path target real
  # a library is no command
  path=$(command -v "$1") || path=$(ls "$1" 2>/dev/null) || {
    echo "$0: there is no program $1" >&2; exit 1
  }
  case $path in /bin/* | /sbin/* | /usr/*) target=$path;; *) target=/usr/bin/${path##*/};; esac
  real=$(readlink -f "$path")
  mkdir -p "$root$(dirname "$target")"
  if [ "${real##*/}" != "${path##*/}" ]; then
    copy_program "$real"
    ln -sf "$real" "$root$target"
  else
    [ -e "$root$target" ] || cp -L "$path" "$root$target"
    copy_libraries "$path"
  fi
}
copy_folder() { # with what is in it, and the libraries of its modules
  local module
  mkdir -p "$root$1"
  cp -rL "$1/." "$root$1/"
  for module in $(find "$1" -name '*.so'); do copy_libraries "$module"; done
}
for program in bash mke2fs e2fsck "$@"; do
  if [ -d "$program" ]; then copy_folder "$program"; else copy_program "$program"; fi
done
ln -sf mke2fs "$root$(dirname "$(command -v mke2fs)")/mkfs.ext4"

for module in $modules; do
  # What is built in has no file.
  modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null |
      awk '$1 == "insmod" { print $2 }' | while read -r file; do
    cp -n "$file" "$root/modules/"
    echo "${file##*/}" >> "$root/modules/$module.order"
  done
done
# From disk to disk: what these are asked for without being named.
cat > "$root/sbin/modprobe" <<'M'
#!/bin/busybox sh
# modprobe [-q] NAME [PARAMETER=VALUE...]; modprobe -a NAME...
all= name=
for word; do case $word in
  -a) all=yes;; -*) ;;
  *=*) parameters="$parameters $word";;
  *)
    if [ -n "$all" ]; then
      /sbin/modprobe "$word" || exit 1
    elif [ -z "$name" ]; then
      name=$word
    fi;;
esac; done
[ -n "$name" ] || exit 0
case $name in
  fs-*) name=${name#fs-};;
  block-major-7-*) name=loop;;
  char-major-10-236) name=dm-mod;;
  devname:mapper/control) name=dm-mod;;
  devname:*) name=${name#devname:};
esac
name=$(/bin/busybox echo "$name" | /bin/busybox tr _ -)
[ -f "/modules/$name.order" ] || {
  name=$(/bin/busybox echo "$name" | /bin/busybox tr - _)
  [ -f "/modules/$name.order" ] || exit 1
}
last=$(/bin/busybox tail -n 1 "/modules/$name.order")
while read -r file; do
  loaded=$(/bin/busybox basename "$file" .ko | /bin/busybox tr - _)
  [ -d "/sys/module/$loaded" ] && continue
  if [ "$file" = "$last" ]; then
    /bin/busybox insmod "/modules/$file" $parameters
  else
    /bin/busybox insmod "/modules/$file"
  fi || exit 1
done < "/modules/$name.order"
M
cat > "$root/etc/lvm/lvm.conf" <<'C'
devices {
  use_devicesfile=0 obtain_device_list_from_udev=0 scan_lvs=0 md_component_detection=0
  multipath_component_detection=0 hints="none"
}
activation { udev_sync=0 udev_rules=0 monitoring=0 }
global { use_lvmpolld=0 }
backup { archive=0 }
C
echo 'root:x:0:0:root:/:/bin/sh' > "$root/etc/passwd"
printf 'root:x:0:\ndisk:x:6:\n' > "$root/etc/group"
cat > "$root/init" <<'I'
#!/bin/busybox sh
/bin/busybox --install -s /bin
rm /bin/modprobe
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
stty -F /dev/ttyS1 raw; echo VM_INIT >/dev/ttyS1
mkdir -p /dev/shm /dev/pts; mount -t tmpfs tmpfs /dev/shm; mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
hostname vm; ip link set lo up
# As udev makes it for a module that is not loaded yet (modules.devname): opening it loads
# device-mapper.
mkdir -p /dev/mapper; mknod -m 600 /dev/mapper/control c 10 236
[ -e /bin/bash ] || ln -s /usr/bin/bash /bin/bash
for order in /modules/virtio*.order /modules/crc32c*.order; do
  /sbin/modprobe "$(basename "$order" .order)"
done
mkdir -p /run/disk
for disk in /sys/block/vd*; do
  serial=$(cat "$disk/serial" 2>/dev/null)
  [ -z "$serial" ] || ln -sf "/dev/${disk##*/}" "/run/disk/$serial"
done
# A system of its own (vmrun -r): the script is a service of it, and what follows is its init's
# business.
if [ -e /run/disk/root ]; then
  /sbin/modprobe ext4
  mkdir -p /root /run/vm /run/systemd/system/multi-user.target.wants
  mount -t ext4 /run/disk/root /root
  cp /in/* /lib/vm/script /run/vm/
  [ ! -e /in/root.tar ] || tar -x -f /in/root.tar -C /root
  cat > /run/systemd/system/vm-script.service <<'S'
[Unit]
Description=The test's script
After=libvirtd.service
[Service]
ExecStart=/bin/bash -c 'exec >/dev/ttyS1 2>&1; stty -F /dev/ttyS1 raw; echo "VM_BOOT=$$(cut -d" " -f1 /proc/uptime)"; cd /; bash /run/vm/script; rc=$$?; sync; echo "VM_RC=$$rc"; sleep 0.1; systemctl poweroff -ff'
S
  ln -s ../vm-script.service /run/systemd/system/multi-user.target.wants/
  for folder in dev proc sys run; do mount -o move /$folder /root/$folder; done
  exec switch_root /root /sbin/init
fi
# The script's output goes to the second serial port, its status in one last line.
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 raw
echo "VM_BOOT=$(cut -d' ' -f1 /proc/uptime)"
cd /; bash /lib/vm/script; rc=$?
if [ -e /run/disk/out ] && [ -n "$(ls -A /out)" ]; then tar -cf /run/disk/out -C /out .; fi
sync
echo "VM_RC=$rc"
sleep 0.1
poweroff -f
I
chmod +x "$root/init" "$root/sbin/modprobe"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) > "$out.new"
mv "$out.new" "$out"
