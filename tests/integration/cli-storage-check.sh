#!/bin/bash
# virt-thin - storage check: what Proxmox makes of a storage.cfg, as text and JSON
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
plan 17

cfg=$tmp/storage.cfg
cat >"$cfg" <<'CFG'
# the fleet's storages
dir: local
	path /var/lib/vz
	content iso,vztmpl,backup

lvmthin: local-lvm
	thinpool data
	vgname pve
	nodes node1,node2

nfs: isos
	server 10.0.0.10
	export /srv/isos
	content iso,none
	port 2049
	max-protected-backups 5
	mkdir 0
	content-dirs iso=.

lvmthin: broken
	thinpool data

foo: strange
	bar 1

rbd: ceph
	monhost 10.0.0.1 10.0.0.2
	disable
stray
CFG

run vt storage check "$cfg"
is "warnings are no failure" "$?" 0
is "the storages" "$(awk '{ print $1, $2 }' <<<"$out" | paste -sd' ')" \
  "STORAGE TYPE local dir local-lvm lvmthin isos nfs broken lvmthin ceph rbd"
like "where a storage is" "$out" "^local-lvm +lvmthin +on node1,node2 +images,rootdir$"
like "which is disabled" "$out" "^ceph +rbd +disabled"
like "which is broken" "$out" "^broken +lvmthin +broken +-$"
like "a line is told by file, number and section" \
  "$err" "file $cfg line 14 \(section 'isos'\) - storage does not support content type 'none'"
like "what is broken" \
  "$err" "file $cfg line 21 \(skip section 'broken'\): missing value for required option 'vgname'"

vt storage check --json "$cfg" >"$tmp/json" 2>"$tmp/err"
is "JSON is as its schema says" "$(valid storage-check <"$tmp/json")$(cat "$tmp/err")" ""
q() { field "$1" <"$tmp/json"; }
is "verdicts" \
  "$(q "' '.join('%d:%s:%s' % (w['line'], w['section'], w['verdict']) for w in d['warnings'])")" \
  "$(echo 15:isos:dropped 18:isos:dropped 14:isos:dropped 21:broken:fatal 23:strange:skipped \
    29:ceph:ignored)"
is "lists are arrays" "$(q "d['storages'][4]['properties']['monhost']")" "['10.0.0.1', '10.0.0.2']"
is "booleans are booleans" \
  "$(q "[d['storages'][4]['properties']['disable'], d['storages'][2]['properties']['mkdir']]")" \
  "[True, False]"
is "numbers are numbers" "$(q "d['storages'][2]['properties']['max-protected-backups'] + 1")" 6
is "defaults are there" \
  "$(q "d['storages'][2]['properties']['path'], d['storages'][2]['properties']['shared']")" \
  "('/mnt/pve/isos', True)"

refused "--strict" 1 "6 warnings" vt storage check --strict "$cfg"
printf 'lvmthin: t1\n\tthinpool data\n\tvgname pve\n' >"$cfg"
ok "--strict with nothing to say" vt storage check --strict "$cfg"
refused "no such file" 1 "cannot read $tmp/none.*No such file" vt storage check "$tmp/none"
printf 'lvmthin: local\n\tthinpool data\n\tvgname pve\n' >"$cfg"
run vt storage check "$cfg"
like "local is what it is" \
  "$out$err" "^local +dir .*backup,images,iso,rootdir,snippets,vztmpl.*whatever line 1"
