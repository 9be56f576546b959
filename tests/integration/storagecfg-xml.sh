#!/bin/bash
# virt-thin - the documents of pools that storages become are valid for libvirt, those of thin pools
# for virt-thin, too
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
command -v xmllint >/dev/null || skip_all "needs xmllint"
command -v virt-xml-validate >/dev/null || skip_all "needs virt-xml-validate"
[ -f /usr/share/libvirt/schemas/storagepool.rng ] || skip_all "needs libvirt's schemas"
cd "$top_srcdir/tests/fixtures/storagecfg-pools" || exit 1

mkdir "$tmp/xml"
for file in *.pools; do
  grep -v '^#' "$file" |
    awk -v base="$tmp/xml/${file%.pools}" '/^<pool/ { n++ } { print > (base "-" n ".xml") }'
done
documents=("$tmp"/xml/*.xml)
plan $((${#documents[@]} + 2))
for document in "${documents[@]}"; do
  ok "$(basename "$document" .xml)" virt-xml-validate "$document" storagepool
done
ok "a thin pool, by our schema" \
  xmllint --noout --relaxng "$top_srcdir/schemas/pool.rng" "$tmp/xml/lvmthin-1.xml"
types=$(cat "${documents[@]}" | grep -o "^<pool type='[a-z-]*'" | sort -u | tr -d "'" |
  cut -d= -f2 | paste -sd' ')
is "of every type of pool there is for a storage" \
  "$types" "dir iscsi iscsi-direct logical netfs rbd zfs"
