#!/bin/bash
# The quickstart, with the program that is built: two guests boot from a volume and its clone,
# strangers judge what is left.
. "${abs_top_srcdir:-$(dirname "$0")/../..}/tests/integration/lib.sh"
[ "$(id -u)" = 0 ] || skip_all "needs root"
for program in qemu-system-x86_64 extlinux virt-clone libvirtd; do
  command -v $program >/dev/null || [ -x /usr/sbin/$program ] || skip_all "needs $program"
done
"$top_srcdir/scripts/guest-kernel" "$top_builddir/guest-kernel" >&2 ||
  skip_all "Debian's cloud kernel cannot be downloaded"
[ ! -e /dev/pve ] || before=$(ls -la /dev/pve)
plan 6

out=$tmp/out
ok "it runs to its end" sh -c \
  "timeout 300 '$top_srcdir/scripts/quickstart' --no-install --build '$top_builddir' \
    --dir '$tmp/quickstart' > '$out' 2>&1 ||
    { cat '$out'; false; }"
is "all its steps" "$(grep -oE '[0-7]\. [A-Z]' "$out" | cut -c1 | tr -d '\n')" 01234567
is "both guests did their work" "$(grep -c 'GUEST DONE' "$out")" 2
is "nobody had anything to say against what is left" \
  "$(grep -oE '(pvck|pvs|vgs|vgck|lvs|thin_check|thin_dump) .*: well' "$out" | awk '{ print $1 }' |
    sort -u | wc -l)" \
  7
not_ok "its folder is gone" test -e "$tmp/quickstart"
is "/dev/pve is as it was" "$(ls -la /dev/pve 2>/dev/null)" "${before-}"
