#!/bin/bash
# docs/without-root.md: each command of it, by an ordinary user with a fresh home, to guests that
# boot; where a systemd runs for that user, and where none does.
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
for program in libvirtd virsh virt-install qemu-system-x86_64 fusermount3 useradd as ld; do
  command -v $program >/dev/null || [ -x /usr/sbin/$program ] || skip_all "needs $program"
done
prefix=$(sed -n 's/^prefix = //p' "$top_builddir/Makefile")
case $prefix in /usr*) ;; *) skip_all "this build is for $prefix";; esac

# The system's folders, but what is installed and who is added is this test's own.
chmod 755 "$tmp"
mkdir "$tmp/layers" && mount -t tmpfs layers "$tmp/layers"
at_exit 'umount -l "$tmp/layers"'
for folder in usr etc; do
  mkdir "$tmp/layers/$folder" "$tmp/layers/$folder.work" &&
    mount -t overlay overlay "/$folder" \
      -o "lowerdir=/$folder,upperdir=$tmp/layers/$folder,workdir=$tmp/layers/$folder.work" \
      2>/dev/null || skip_all "needs overlay file systems"
done
# /dev/fuse is open to all where there is a udev.
mknod -m 666 "$tmp/layers/fuse" c 10 229 && mount --bind "$tmp/layers/fuse" /dev/fuse
make -s -C "$top_builddir" install >"$tmp/install.log" 2>&1 ||
  skip_all "make install fails: $(tail -n 3 "$tmp/install.log")"
# The guest counts on its disk: sector 1 its boots.
as --32 -o "$tmp/counter.o" "$top_srcdir/tests/vm/counter.S" &&
  ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$tmp/disk.img" "$tmp/counter.o" &&
  truncate -s 16m "$tmp/disk.img" || skip_all "no guest: the assembler fails"

flow_tests=23 schedule_tests=7
plan $((flow_tests * 2 + schedule_tests))

# The user of a flow, $user: HOME and what a login sets, and no more.
as_user() {
  setpriv --reuid "$user" --regid "$user" --init-groups env -i HOME="$tmp/$user" \
    XDG_RUNTIME_DIR="$tmp/run-$user" PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C USER="$user" \
    bash -c 'cd; [ ! -e .profile-of-ours ] || . ./.profile-of-ours
      export LIBVIRT_DEFAULT_URI=qemu:///session; "$@"' - "$@"
}
# The commands of a section of the page, in its order.
section() {
  as_user bash -exc "$(sed -n "/^## $1\$/,/^## /s/^    //p" "$top_srcdir/docs/without-root.md" |
    sed "s|/usr/share|$prefix/share|")"
}
boots() { # VOLUME: as often the guest that has it counted itself
  as_user sh -c "od -An -tu2 -j512 -N2 \"\$(virsh vol-path $1 local-lvm)\"" | tr -d ' '
}
has_booted() { [ "$(boots "$1")" = "$2" ]; }
libvirtd_pid() { cat "$tmp/run-$user/libvirt/libvirtd.pid"; }
libvirtd_has_ours() { grep -q virt-thin-backend "/proc/$(libvirtd_pid)/maps"; }
libvirtd_ends() {
  local pid; pid=$(libvirtd_pid)
  kill "$pid" && wait_until 20 eval "! [ -d /proc/$pid ] || grep -q '^State:.Z' /proc/$pid/status"
}
of_ours() {
  (cd "$tmp/$user" && find . -path '*virt-thin*' -not -path './.local/share/virt-thin*')
}

flow() { # USER DESCRIPTION IS-A-UNIT
  local user=$1 said
  # That libvirt's own backend serves at first: a client has started it.
  as_user virsh uri >/dev/null
  said=$(section "Switch your libvirt over" 2>&1)
  like "$2: enable --session says what has it" "$said" "qemu:///session\) has virt-thin's"
  like "$2: and that the libvirtd that ran was ended" "$said" "Ended libvirtd \(process [0-9]+\)"
  sed -n 's/^    export/export/p' <<<"$said" >"$tmp/$user/.profile-of-ours"
  ok "$2: from a fresh home to a guest" section "A pool, a disk, a guest"
  ok "$2: by our backend" libvirtd_has_ours
  ok "$2: the guest has booted, and written to its volume" \
    wait_until 60 has_booted vm-100-disk-0 1
  is "$2: a unit of ours has started it, or not" \
    "$(grep -c '/virt-thin-libvirtd.service$' "/proc/$(libvirtd_pid)/cgroup")" "$3"
  ok "$2: libvirtd ends" libvirtd_ends
  is "$2: who connects next finds the pool" "$(as_user virsh -q pool-list --name | xargs)" local-lvm
  is "$2: and the guest" "$(as_user virsh list --name | xargs)" vm-100
  ok "$2: it is ours again" libvirtd_has_ours
  ok "$2: enable --session again" as_user virt-thin enable --session
  is "$2: the pool stays" "$(as_user virsh -q pool-list --name | xargs)" local-lvm
  ok "$2: clones and snapshots" section "Clones and snapshots"
  ok "$2: the clone has booted, what it shares said so" wait_until 60 has_booted vm-101-disk-0 2
  is "$2: the snapshot is rolled back to" "$(boots vm-100-disk-0)" 1
  like "$2: one size in the pool" "$(as_user virt-thin info pve/data)" "^volumes +3"
  said=$(section Back 2>&1)
  like "$2: and back" "$said" "qemu:///session\) has its own storage backends again"
  if [ -s "$tmp/$user/.profile-of-ours" ]; then
    like "$2: what to take out of the profile" "$said" "Unset LIBVIRTD_PATH"
  else
    is "$2: systemd has no unit of ours, but what is installed" \
      "$(as_user systemctl --user list-unit-files --no-legend 'virt-thin*' | awk '{ print $1 }')" \
      virt-thin-schedule@.service
  fi
  is "$2: nothing of ours is left" "$(of_ours)" ""
  not_ok "$2: not the folder" test -e "$tmp/$user/.local/share/virt-thin-libvirt"
  rm "$tmp/$user/.profile-of-ours"
  like "$2: libvirt's own backend serves" "$(as_user virsh pool-start local-lvm 2>&1)" \
    "error: Failed to start pool local-lvm"
  not_ok "$2: indeed" libvirtd_has_ours
  ok "$2: disable --session again" as_user virt-thin disable --session
}
# A user's own schedule, by the user's own systemd.
schedules() { # USER
  local user=$1 unit=virt-thin-schedule@often
  ok "a schedule" as_user virt-thin schedule add often snapshot pve/data --when hourly \
    --keep-last 1
  is "systemd waits for its time" "$(as_user systemctl --user is-active $unit.timer)" active
  ok "and runs it" as_user systemctl --user start $unit.service
  like "the list says when, and what came of it" "$(as_user virt-thin schedule list)" \
    '^often +snapshot of pve/data +hourly +20.*:00 +20.* +done +[1-9] +0$'
  ok "disable --session" as_user virt-thin disable --session
  is "ends the timer, and takes it away" \
    "$(as_user systemctl --user is-active $unit.timer) $(of_ours | grep -c timer)" "inactive 0"
  ok "remove" as_user virt-thin schedule remove often --snapshots
}
new_user() {
  useradd --create-home --base-dir "$tmp" "$1" && cp "$tmp/disk.img" "$tmp/$1/" &&
    install -d -m 700 -o "$1" -g "$1" "$tmp/run-$1"
}

# A systemd of the user's own, in a control group of its own: it only looks whether it has one, and
# whether systemd runs the machine.
group=/sys/fs/cgroup/virt-thin-test-$$-$RANDOM
end_user_systemd() {
  kill "$systemd"; wait "$systemd"
  echo 1 >"$group/cgroup.kill"
  wait_until 20 eval 'find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; [ ! -e "$group" ]'
}
user_systemd() {
  local user=$1
  [ -x /lib/systemd/systemd ] && mount -t tmpfs -o mode=755 run /run &&
    mkdir -p /run/systemd/system || return 1
  mountpoint -q /sys/fs/cgroup && umount -l /sys/fs/cgroup
  mount -t cgroup2 cgroup /sys/fs/cgroup && mkdir "$group" && chown "$user" "$group" || return 1
  (
    echo $BASHPID >"$group/cgroup.procs" && chown -R "$user" "$group"
    exec setpriv --reuid "$user" --regid "$user" --init-groups env -i HOME="$tmp/$user" \
      XDG_RUNTIME_DIR="$tmp/run-$user" PATH=/usr/bin:/bin \
      /lib/systemd/systemd --user --log-target=console >"$tmp/systemd.log" 2>&1
  ) &
  systemd=$!
  at_exit end_user_systemd
  wait_until 30 as_user systemctl --user is-active sockets.target
}
new_user alice && new_user bob || { echo "Bail out! no user"; exit 1; }
flow alice "without systemd" 0
if user_systemd bob; then
  flow bob "with systemd" 1
  schedules bob
else
  skip $((flow_tests + schedule_tests)) "no systemd for a user here"
fi
