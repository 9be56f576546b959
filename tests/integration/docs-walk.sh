#!/bin/bash
# The way of a new user: the commands of README.md and of the pages of docs/ that it leads to, each
# page from a fresh state, in its order, with the program installed
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/libvirt-lib.sh"
. "$(dirname "$0")/docs-lib.sh"
for program in mkfs.ext4 qemu-img zstd; do
  command -v $program >/dev/null || skip_all "needs $program"
done
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")
[ "$prefix" = /usr ] || skip_all "this build is for $prefix"

# Installed, without what the other tests set: the system's folders are this test's own.
unset ${!VIRT_THIN*}
mkdir "$tmp/layers" && mount -t tmpfs layers "$tmp/layers"
at_exit 'umount -l "$tmp/layers"'
for folder in usr etc var; do
  mkdir "$tmp/layers/$folder" "$tmp/layers/$folder.work" &&
    mount -t overlay overlay "/$folder" \
      -o "lowerdir=/$folder,upperdir=$tmp/layers/$folder,workdir=$tmp/layers/$folder.work" \
      2>/dev/null || skip_all "needs overlay file systems"
done
own() { # FOLDER NAME: one of ours in its place
  mkdir -p "$1" "$tmp/$2" && mount --bind "$tmp/$2" "$1"
}
own /var/lib/virt-thin state
made_run=; [ -d /run/virt-thin ] || made_run=yes
own /run/virt-thin run
at_exit 'umount -l /run/virt-thin; [ -z "$made_run" ] || rmdir /run/virt-thin'
mkdir -p /etc/virt-thin "$tmp/dev" "$tmp/bin" "$tmp/srv" "$tmp/mnt" "$tmp/backup"
printf '[service]\ndev-dir=%s\n' "$tmp/dev" >/etc/virt-thin/virt-thin.conf
# For libvirt-lib.sh's end.
VIRT_THIN_RUNTIME_DIR=/run/virt-thin VIRT_THIN_PROGRAM=/usr/bin/virt-thin
private_libvirt_folders "$tmp/root"

# The other host: the same one, with other volumes.
cat >"$tmp/bin/ssh" <<SH
#!/bin/sh
shift
exec unshare --mount sh -c '
  for folder in /var/lib/virt-thin /run/virt-thin /var/lib/vz; do
    mkdir -p \$folder "$tmp/other\$folder" && mount --bind "$tmp/other\$folder" \$folder
  done
  eval "\$0"' "\$*"
SH
cat >"$tmp/bin/scp" <<SH
#!/bin/sh
cp "$tmp/other/\${1#*:}" "\$2"
SH
printf '#!/bin/sh\nexec "$@"\n' >"$tmp/bin/sudo"
# What `virt-thin enable` asks for where no systemd runs.
cat >"$tmp/bin/restart-libvirt" <<SH
#!/bin/bash
. "$top_srcdir/scripts/private-libvirt"
private_libvirt_stop
private_libvirt_start /var/lib/virt-thin-libvirt "$log" ${sanitizer[@]@Q}
SH
chmod +x "$tmp/bin"/*
PATH=$tmp/bin:$PATH
# Paths in folders of others; and sizes, for whole disks are copied through pipes.
here() {
  sed "s|^\./bootstrap.* make install\$|make -s -C '$top_builddir' install >/dev/null|
    s|^\(sudo \)\?virt-thin enable\b.*|&\nrestart-libvirt|
    s|+20g\b|+200m|; s|\b32G\b|256M|
    s|/dev/pve|$tmp/dev/pve|g; s|/srv/|$tmp/srv/|g; s|/mnt\b|$tmp/mnt|g
    s| /backup/| $tmp/backup/|"
}
fresh() {
  local pool
  for pool in $(virsh pool-list --all --name); do
    virsh pool-destroy "$pool"; virsh pool-undefine "$pool"
  done
  virt-thin stop --force pve
  rm -rf /var/lib/virt-thin/* "$page_work"
  mkdir "$page_work"
  ln -s "$top_srcdir/xml" "$page_work/"
} >/dev/null 2>&1

at_exit 'fresh; private_libvirt_stop'

# --- what the pages take for granted ---
before_a_template_and_guests_from_it() {
  mkdir -p "$tmp/files/etc" && echo "# none" >"$tmp/files/etc/fstab"
  mkfs.ext4 -q -d "$tmp/files" "$tmp/image" 64m >/dev/null 2>&1 &&
    qemu-img convert -O qcow2 "$tmp/image" "$page_work/debian-12-generic.qcow2"
}
before_before_something_risky_2() {
  for disk in 1 2; do virt-thin create pve/vm-101-disk-$disk --size 1g; done
}
before_serve() { virt-thin stop pve; }
before_backup_and_restore_2() {
  qemu-img create -q -f qcow2 -b debian-12-generic.qcow2 -F qcow2 "$page_work/overlay.qcow2"
}
before_increments() { virt-thin remove pve/vm-102-disk-0; }
before_to_another_pool_or_host() {
  ssh other virt-thin init pve2/data --size 10g >&2
}
before_to_another_pool_or_host_2() {
  virt-thin snapshot pve/vm-101-disk-0 monday &&
    virt-thin send pve/snap_vm-101-disk-0_monday --since before |
    ssh other virt-thin receive pve2/data 2>/dev/null
}
before_for_programs_2() { virt-thin serve pve && virt-thin remove pve/snap_vm-101-disk-0_before; }
before_templates() {
  virt-thin init pve/data --size 10g && virsh pool-define "$top_srcdir/xml/local-lvm.xml" &&
    virsh pool-start local-lvm && virsh vol-create-as local-lvm vm-9000-disk-0 256M
} >/dev/null
before_1_take_the_file_along_and_check_it() {
  virt-thin init pve/data --size 100g && ssh other virt-thin init pve/data --size 100g
  mkdir -p "$tmp/other/etc/pve" && cat >"$tmp/other/etc/pve/storage.cfg" <<'CFG'
dir: local
	path /var/lib/vz
	content iso,images

lvmthin: local-lvm
	thinpool data
	vgname pve
	content images

nfs: share
	path /mnt/pve/share
	server 10.0.0.10
	export /srv/vm
	disable
CFG
} >/dev/null
before_4_use_it_as_on_proxmox() { virt-thin create pve/vm-9000-disk-0 --size 256m; }
before_4_use_it_as_on_proxmox_2() {
  sed 's/vm-100/guest/; /<disk/,/<\/disk>/d' "$top_srcdir/xml/domain-block.xml" >"$tmp/guest.xml"
  virsh define "$tmp/guest.xml" >/dev/null
}

pages='README.md docs/cli.md docs/libvirt.md docs/storage-cfg.md' blocks=0
for page in $pages; do
  page_read "$top_srcdir/$page" || { echo "Bail out! nothing on $page"; exit 1; }
  blocks=$((blocks + page_count))
done
plan $((blocks + 2))
private_libvirt_start "$stock_backends" "$log" || { echo "Bail out! no libvirtd"; exit 1; }
for page in $pages; do
  fresh
  page_read "$top_srcdir/$page"
  page_run "${page##*/}: "
  [ $page != README.md ] || {
    is "README.md: three volumes" "$(virsh -q vol-list local-lvm | awk '{ print $1 }' | xargs)" \
      "snap_vm-100-disk-0_before vm-100-disk-0 vm-101-disk-0"
  }
done
is "the disk came to the other host" \
  "$(ssh other virt-thin list pve | grep -c '^pve/vm-101-disk-0 ')" 1
