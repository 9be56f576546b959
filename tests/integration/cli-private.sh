#!/bin/bash
# virt-thin - what another local user can open, and so read or lock, of a served volume group:
# nothing but what is meant for all
# SPDX-License-Identifier: LGPL-2.1-or-later
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
. "$top_srcdir/tests/integration/cli-lib.sh"
. "$top_srcdir/tests/integration/service-lib.sh"
need_root_fuse_loop
umask 000 # not what the files are to rely on
chmod 711 "$tmp"
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
vg=vt$$ run=$VIRT_THIN_RUNTIME_DIR dev=$VIRT_THIN_DEV_DIR
echo $'[service]\nblock-nodes=loop' >"$VIRT_THIN_CONFIG"
plan 16

# Every name below the folders: "MODE NAME" where it can be opened; r: to read, w: to write, c:
# connected to.
cat >"$tmp/open.py" <<'P'
import os, socket, stat, sys
os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
def can(function, *args):
    try: function(*args); return True
    except OSError: return False
def connect(path): socket.socket(socket.AF_UNIX).connect(path)
for top in sys.argv[1:]:
    for folder, folders, files in os.walk(top):
        for name in [''] + files:
            path = os.path.join(folder, name).rstrip('/')
            if stat.S_ISSOCK(os.stat(path).st_mode): mode = 'c' * can(connect, path)
            elif name:
                mode = 'r' * can(os.open, path, os.O_RDONLY) + 'w' * can(os.open, path, os.O_WRONLY)
            else: mode = 'w' * os.access(path, os.W_OK)
            if mode:
                path = os.path.relpath(path, os.path.dirname(top))
                print(mode, path.replace(os.environ['VG'], 'VG'))
P
opened() { VG=$vg python3 "$tmp/open.py" "$VIRT_THIN_STATE_DIR" "$run" "$dev" | sort; }
# as installed; what this test's umask made of them is the test's own doing
chmod 755 "$run" "$dev" "$state"

ok "a volume group" vt init $vg/data --size 300m
for v in vm-1-disk-0 vm-2-disk-0; do vt create $vg/$v --size 16m; done
vt snapshot $vg/vm-1-disk-0 s
# A file of an earlier version, which died.
mkdir -p "$run/$vg"; chmod 755 "$run/$vg"; : >"$run/$vg/lock"; chmod 644 "$run/$vg/lock"
ok "serve" vt serve $vg
vt remove $vg/vm-2-disk-0 # a second state of the archive
is "the lock is its owner's alone" "$(stat -c %a "$run/$vg/lock")" 600
is "what nobody can open" "$(opened)" "r run/VG/pid"
# The sockets are libvirt's to use, where there is that group.
libvirt=$(getent group libvirt | cut -d: -f3)
is "the sockets' owner, group and mode" "$(stat -c '%U:%G %a' "$run/$vg/control" "$run/$vg/nbd")" \
  "$(if [ -n "$libvirt" ]; then yes root:libvirt 660; else yes root:root 600; fi | head -n 2)"
connects() { # GROUP
  python3 -c 'import os, socket, sys
os.setgroups([int(sys.argv[1])])
os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
for path in sys.argv[2:]: socket.socket(socket.AF_UNIX).connect(path)' \
    "$1" "$run/$vg/control" "$run/$vg/nbd"
}
not_ok "an ordinary user may not connect" connects 65534
if [ -n "$libvirt" ]; then ok "one of the group libvirt may" connects "$libvirt"
else skip 1 "there is no group libvirt"; fi
ok "and there is more" test -e "$run/$vg/volumes/snap_vm-1-disk-0_s" -a -b "$dev/$vg/vm-1-disk-0" \
  -a -e "$run/$vg/devices" -a -S "$run/$vg/nbd"
not_ok "the lock cannot be had" as_nobody flock -n "$run/$vg/lock" true
not_ok "nor a node's" as_nobody flock -n "$dev/$vg/vm-1-disk-0" true
ok "stop" vt stop $vg
is "what nobody can open without a service" "$(opened)" ""

# Who may use the sockets finds the service all the same.
echo $'[service]\nblock-nodes=loop\nsocket-mode=0660\nsocket-group=nogroup' >"$VIRT_THIN_CONFIG"
rmdir "$run/$vg" "$dev/$vg" 2>/dev/null
umask 077
ok "serve for a group" vt serve $vg
umask 000
is "what its members can open" "$(opened)" $'c run/VG/control\nc run/VG/nbd\nr run/VG/pid'
if as_nobody test -x "$VIRT_THIN_PROGRAM"; then
  ok "they find it" as_nobody "$VIRT_THIN_PROGRAM" create $vg/vm-3-disk-0 --size 16m
else skip 1 "the program's folder is not for all"; fi
ok "stop" vt stop $vg
