#!/bin/bash
# virt-thin - a root file system with systemd for tests under a real kernel: Debian, as the host's
# apt sources have it
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: tests/vm/mkroot.sh KERNEL_DIR OUT.img PACKAGE...
#   KERNEL_DIR  as scripts/guest-kernel leaves it: its modules are put in
#
# Installs the packages with mmdebstrap, as root or as mmdebstrap(1) lets others: nothing of this
# machine but its apt sources goes in. Once made, for the same kernel and packages, OUT.img is left
# alone. It is for vmrun -r.
set -euo pipefail
kernel=${1:?usage: tests/vm/mkroot.sh KERNEL_DIR OUT.img PACKAGE...} out=${2:?}
shift 2
stamp="$(cat "$kernel/version") $*"
exec 9>"$out.lock"; flock 9
if [ -e "$out" ] && [ "$(cat "$out.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
for program in mmdebstrap mke2fs; do
  command -v $program >/dev/null || { echo "$0: needs $program" >&2; exit 1; }
done
work=$(mktemp -d "${TMPDIR:-/tmp}/vm-root.XXXXXX")
trap 'rm -rf "$work"' EXIT
sources=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
  'Created-By: Packages' 'Origin: Debian' | sort -u)
[ -n "$sources" ] || { echo "$0: no Debian among the apt sources" >&2; exit 1; }
packages="systemd-sysv udev dbus kmod e2fsprogs procps $*"
mmdebstrap --quiet --variant=essential --include="${packages// /,}" \
  --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' "" \
  "$work/root.tar" - <<<"$sources"
cat > "$work/make" <<'M'
set -e
mkdir "$1/root"
tar -x --numeric-owner -f "$1/root.tar" -C "$1/root"
mkdir -p "$1/root/lib/modules"
cp -r "$2/lib/modules/." "$1/root/lib/modules/"
: > "$1/root/etc/machine-id" # made at boot, without the questions of a first one
echo vm > "$1/root/etc/hostname"
truncate -s 2G "$3"
mke2fs -q -t ext4 -O ^has_journal -d "$1/root" "$3"
M
as_root=()
[ "$(id -u)" = 0 ] || as_root=(fakeroot --)
"${as_root[@]}" bash "$work/make" "$work" "$kernel" "$out.new"
mv "$out.new" "$out"
echo "$stamp" > "$out.stamp"
