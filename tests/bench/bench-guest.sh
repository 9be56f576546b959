#!/bin/bash
# virt-thin - disks compared inside a guest: operations per second of 4 KiB random I/O, depth 32, in
# turns
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: bench-guest.sh BUILD OURS THEIRS ROUNDS SECONDS      OURS and THEIRS: block nodes or files
# prints, for each round and kind: randread|randwrite OURS THEIRS
set -euo pipefail
build=$1 ours=$2 theirs=$3 rounds=$4 seconds=$5
here=$(cd "$(dirname "$0")/../vm" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/bench-guest.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$here/../../scripts/guest-kernel" "$build/guest-kernel" >&2
"$here/mkinitramfs.sh" "$build/guest-kernel" "$work/base.cpio" fio >&2
cat > "$work/script" <<SCRIPT
iops() { # DISK KIND
  fio --name=x --filename=/run/disk/\$1 --rw=\$2 --bs=4k --iodepth=32 --ioengine=libaio --direct=1 \
    --norandommap --time_based --runtime=$seconds \
    --output-format=terse --terse-version=3 2>/dev/null |
    awk -F';' '/^3;/ { print (\$8 > \$49) ? \$8 : \$49 }'
}
for round in \$(seq $rounds); do
  for kind in randread randwrite; do echo "\$kind \$(iops d0 \$kind) \$(iops d1 \$kind)"; done
done
SCRIPT
"$here/vmrun" -d -m 1024 -s 2 -t $((120 + rounds * 6 * seconds)) "$build/guest-kernel" \
  "$work/base.cpio" "$work/script" "$ours" "$theirs" | grep '^rand'
