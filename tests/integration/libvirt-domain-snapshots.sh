#!/bin/bash
# docs/domain-snapshots.md: what libvirt refuses, in the words that stand there, and each command
# that does it instead, with a guest that counts on its disk.
. "$(dirname "$0")/libvirt-lib.sh"
for program in qemu-system-x86_64 as ld; do
  command -v $program >/dev/null || skip_all "needs $program"
done
plan 27

libvirt_start && thin_pool 1g >/dev/null || { echo "Bail out! no pool: $(tail -5 "$log")"; exit 1; }
PATH=$(dirname "$VIRT_THIN_PROGRAM"):$PATH
page=$top_srcdir/docs/domain-snapshots.md images=/var/lib/libvirt/images disk=/dev/$vg/vm-100-disk-0
mkdir -p $images
here() { sed "s|pve/|$vg/|g; s|local-lvm|thin|g; s|'GiB'>8|'MiB'>64|"; }
# The commands of the Nth block of a section.
block() { # SECTION N
  bash -exc "cd '$tmp'
$(awk -v section="## $1" -v want="$2" '
    /^## / { inside = $0 == section }
    inside && /^    / { if (!open) n++; open = 1; if (n == want) print substr($0, 5); next }
    { open = 0 }' "$page" | here)"
}
# What the guest has counted: its boots, or its timer.
count() { # SECTOR
  dd if="$disk" bs=512 skip="$1" count=1 iflag=direct status=none | od -An -tu2 -N2 | tr -d ' '
}
more_ticks() { [ "$(count 2)" -gt "$1" ]; }
goes_on() { wait_until 60 more_ticks "$(count 2)"; }

as --32 -o "$tmp/counter.o" "$top_srcdir/tests/vm/counter.S" &&
  ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o "$tmp/counter.bin" "$tmp/counter.o" ||
  { echo "Bail out! the assembler fails"; exit 1; }
virsh vol-create thin <(here <"$top_srcdir/xml/volume.xml") >/dev/null
virsh vol-upload --pool thin vm-100-disk-0 "$tmp/counter.bin"
virsh define <(here <"$top_srcdir/xml/domain-block.xml") >/dev/null
ok "the guest starts" virsh start vm-100
ok "it counts" wait_until 60 more_ticks 2

# The table: each command is refused, with those words.
while IFS=$'\t' read -r command words; do
  said=$($command 2>&1) && said="not refused"
  is "$command" "$(grep -oF "$words" <<<"$said")" "$words"
done < <(sed -n 's/^| `\(virsh [^`]*\)` | \([^|]*\) |.*/\1\t\2/p' "$page")

ok "a snapshot of the disk" block "The disks" 1
ok "the guest goes on" goes_on
ok "back to it" block "The disks" 2
ok "the guest counts on" goes_on
is "from the snapshot, which had booted once" "$(count 1)" 2

ok "disk and memory" block "Disks and memory" 1
ok "the guest goes on" goes_on
is "as it was: that was no boot" "$(count 1)" 2
at=$(($(count 2) + 100))
ok "it counts" wait_until 60 more_ticks $at
for time in first second; do
  ok "back to it, the $time time" block "Disks and memory" 2
  now=$(count 2)
  ok "what was counted since is forgotten" test "$now" -lt "$at"
  ok "it goes on" goes_on
  is "without a boot" "$(count 1)" 2
done

ok "a file over it" block "libvirt's own, in a file" 1
is "the guest writes there" "$(virsh domblklist vm-100 | awk '$1 == "vda" { print $2 }')" \
  $images/vm-100.try
ok "and into it" block "libvirt's own, in a file" 2
ok "the guest writes its volume again" goes_on
ok "a backup of it while it runs" block "A backup" 1
