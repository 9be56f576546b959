#!/bin/bash
# docs/systemd.md, "A user of its own": the unit with that drop-in, under a systemd of the test's
# own that is the first process of its namespaces.
# SPDX-License-Identifier: LGPL-2.1-or-later
[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP needs root, to make a user"; exit 0; }
. "$(dirname "$0")/../../scripts/private-libvirt"
if [ -z "${VIRT_THIN_TEST_NAMESPACE-}" ]; then
  "${private_libvirt_namespaces[@]}" true 2>/dev/null ||
    { echo "1..0 # SKIP needs mount and process namespaces"; exit 0; }
  export VIRT_THIN_TEST_NAMESPACE=1 virt_thin_test_mounts=own
  exec "${private_libvirt_namespaces[@]}" bash "$0" "$@"
fi
unset VIRT_THIN_TEST_NAMESPACE
. "$(dirname "$0")/lib.sh"
for program in fusermount3 useradd qemu-io systemctl nsenter; do
  command -v $program >/dev/null || [ -x /usr/sbin/$program ] || skip_all "needs $program"
done
[ -x /lib/systemd/systemd ] || skip_all "needs systemd"
case $(sed -n 's/^prefix = //p' "$top_builddir/Makefile") in /usr) ;; *)
  skip_all "this build is not for /usr";; esac

# The system's folders, but what is installed and who is added is this test's own.
chmod 755 "$tmp"
mkdir "$tmp/layers" && mount -t tmpfs -o mode=755 layers "$tmp/layers"
at_exit 'umount -l "$tmp/layers"'
for folder in usr etc; do
  mkdir "$tmp/layers/$folder" "$tmp/layers/$folder.work" &&
    mount -t overlay overlay "/$folder" \
      -o "lowerdir=/$folder,upperdir=$tmp/layers/$folder,workdir=$tmp/layers/$folder.work" \
      2>/dev/null || skip_all "needs overlay file systems"
done
mknod -m 666 "$tmp/layers/fuse" c 10 229 && mount --bind "$tmp/layers/fuse" /dev/fuse
make -s -C "$top_builddir" install >"$tmp/install.log" 2>&1 ||
  skip_all "make install fails: $(tail -n 3 "$tmp/install.log")"
mount -t tmpfs -o mode=755 run /run && mount -t tmpfs -o mode=755 lib /var/lib
getent group libvirt >/dev/null || groupadd --system libvirt
useradd --no-create-home --groups libvirt member
useradd --no-create-home stranger
mkdir -p /etc/virt-thin
echo $'[service]\nsocket-group=libvirt' >/etc/virt-thin/virt-thin.conf
sed -i '/^user_allow_other/d' /etc/fuse.conf

# Units of its own alone: systemd starts nothing of the host's.
export SYSTEMD_UNIT_PATH=$tmp/units
mkdir -p "$tmp/units/virt-thin@pve.service.d"
for target in sysinit basic shutdown test; do
  printf '[Unit]\nDefaultDependencies=no\n' >"$tmp/units/$target.target"
done
cp /usr/lib/systemd/system/virt-thin@.service "$tmp/units/"
page() { sed -n '/^## A user of its own/,/^## Why/s/^    //p' "$top_srcdir/docs/systemd.md"; }
page | sed -n '/^\[Service\]/,$p' >"$tmp/units/virt-thin@pve.service.d/override.conf"

# In a control group of its own.
mountpoint -q /sys/fs/cgroup && umount -l /sys/fs/cgroup
group=/sys/fs/cgroup/virt-thin-test-$$-$RANDOM
mount -t cgroup2 cgroup /sys/fs/cgroup && mkdir "$group" ||
  skip_all "needs control groups, version 2"
end_systemd() {
  echo 1 >"$group/cgroup.kill"
  wait "$starter" 2>/dev/null
  wait_until 20 eval 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; [ ! -e "$group" ]'
}
bash -c 'echo $$ >"$1/cgroup.procs" && exec unshare --mount --pid --fork --ipc --uts --cgroup \
  --mount-proc bash -c "umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup /sys/fs/cgroup &&
    container=lxc exec /lib/systemd/systemd --system --unit=test.target --log-target=console \
    --show-status=no"' - "$group" >"$tmp/systemd.log" 2>&1 </dev/null &
starter=$!
at_exit end_systemd
inside() {
  nsenter --target "$(pgrep -P "$starter")" --mount --pid --ipc --uts --cgroup \
    env -u VIRT_THIN_RUNTIME_DIR -u VIRT_THIN_STATE_DIR -u VIRT_THIN_CONFIG -u VIRT_THIN_DEV_DIR \
    -u VIRT_THIN_PROGRAM timeout 60 "$@"
}
as() { # USER COMMAND...
  local user=$1; shift
  inside setpriv --reuid "$user" --regid "$user" --init-groups env HOME=/ \
    VIRT_THIN_RUNTIME_DIR=/run/virt-thin VIRT_THIN_CONFIG=/etc/virt-thin/virt-thin.conf "$@"
}
wait_until 30 inside systemctl is-active -q test.target || skip_all "systemd does not run here"
start() { inside systemctl start virt-thin@pve; }
stop() { inside systemctl stop virt-thin@pve; }
seen() { inside stat -c '%U:%G %a' /run/virt-thin/pve/"$1"; }
status() { # FIELD, of all its processes
  local pid group
  group=/sys/fs/cgroup$(inside systemctl show --value -p ControlGroup virt-thin@pve)
  for pid in $(inside cat "$group/cgroup.procs"); do
    inside sed -n "s/^$1:\t*//p" "/proc/$pid/status"
  done | sort -u
}
plan 20

inside virt-thin init pve/data --size 256m >/dev/null
ok "a user, whose the volume group becomes" \
  inside bash -ec "$(page | sed '/^\[Service\]/,$d')"
ok "the unit starts" start
user=$(id -u virt-thin)
is "all its processes are the user's" "$(status Uid)" "$user"$'\t'"$user"$'\t'"$user"$'\t'"$user"
is "with one capability" "$(status CapBnd)" 0000000000200000
is "no new privileges, and system calls filtered" "$(status NoNewPrivs) $(status Seccomp)" "1 2"
is "its sockets are the group's" "$(seen control) $(seen nbd)" \
  "virt-thin:libvirt 660 virt-thin:libvirt 660"
ok "root uses it" inside virt-thin create pve/vm-1-disk-0 --size 16m
ok "a member of the group does" as member virt-thin create pve/vm-2-disk-0 --size 16m
not_ok "nobody else does" as stranger virt-thin list pve
ok "a guest's disk is served over NBD" as member qemu-io -f raw -c "write -P 7 0 1M" -c flush \
  "nbd+unix:///vm-1-disk-0?socket=/run/virt-thin/pve/nbd"
not_ok "the volumes' files are the user's alone" inside test -e /run/virt-thin/pve/volumes
ok "a new engine" inside systemctl reload virt-thin@pve
ok "stop" stop
echo user_allow_other >>/etc/fuse.conf
start
is "root finds them where /etc/fuse.conf lets users show them" "$(seen volumes/vm-1-disk-0)" \
  "virt-thin:virt-thin 660"
is "with what NBD wrote" "$(inside od -An -tu1 -N2 /run/virt-thin/pve/volumes/vm-1-disk-0 | xargs)" \
  "7 7"
not_ok "others may not open them" as stranger head -c 1 /run/virt-thin/pve/volumes/vm-1-disk-0
# Taken over, it names a process of root's as its own, and does not answer.
engine=$(inside pgrep -u virt-thin -f ^virt-thin-engine)
inside bash -c 'sleep 1000 >/dev/null 2>&1 & echo $!' >"$tmp/victim"
victim=$(cat "$tmp/victim")
inside kill -STOP "$engine"
inside sh -c "cp -p /run/virt-thin/pve/pid /run/pid; echo $victim >/run/virt-thin/pve/pid"
not_ok "stop --force does not end what it names" inside virt-thin stop --force pve
like "and says why" "$(inside virt-thin stop --force pve 2>&1)" \
  "is user $user's, but says that it is process $victim, user 0's"
ok "that lives" inside kill "$victim"
inside sh -c "cat /run/pid >/run/virt-thin/pve/pid; kill -CONT $engine"
stop

# What the page says of a user without the capability.
sed -i '/Capabilit/d' "$tmp/units/virt-thin@pve.service.d/override.conf"
inside systemctl daemon-reload
start 2>/dev/null
like "without it there is no mount" "$(inside systemctl show -p StatusText virt-thin@pve)" \
  "fusermount3: mount failed: Operation not permitted"
stop
