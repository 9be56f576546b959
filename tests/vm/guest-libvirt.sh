# virt-thin - libvirtd's storage driver with our backend, in a guest prepared with
# "${vm_libvirt[@]}"; the guest finds it as /in/guest-libvirt.sh, after guest-lib.sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   start_libvirtd     returns when it answers; what it says is in /tmp/libvirtd.log
#   stop_libvirtd
export VIRT_THIN_PROGRAM=/usr/bin/virt-thin LIBVIRT_DEFAULT_URI=storage:///system
mkdir -p /etc/libvirt/storage/autostart /var/lib/libvirt /var/log/libvirt /var/cache/libvirt \
  /run/libvirt /tmp/backends
printf '%s\n' 'auth_unix_rw = "none"' 'unix_sock_rw_perms = "0700"' 'unix_sock_group = "root"' \
  'log_outputs = "2:stderr"' >/etc/libvirt/libvirtd.conf
ln -s /usr/lib/*/libvirt/storage-backend/*.so /tmp/backends/
ln -sf /usr/bin/libvirt_storage_backend_logical.so /tmp/backends/
start_libvirtd() {
  LIBVIRT_STORAGE_BACKEND_DIR=/tmp/backends libvirtd -f /etc/libvirt/libvirtd.conf \
    -p /run/libvirt/libvirtd.pid >>/tmp/libvirtd.log 2>&1 &
  wait_until 120 virsh uri
}
stop_libvirtd() {
  local pid; pid=$(cat /run/libvirt/libvirtd.pid)
  kill "$pid"; wait "$pid" 2>/dev/null
  rm -f /run/libvirt/libvirtd.pid
}
