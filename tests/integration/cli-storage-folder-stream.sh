#!/bin/bash
# virt-thin - pvesm's export and import on storages that are folders
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
. "$(dirname "$0")/storage-life.sh" # on, wanted, each_case

for program in qemu-img qemu-io qemu-nbd; do
  command -v $program >/dev/null || skip_all "needs $program"
done
files=$tmp/files images=$tmp/files/images
cat >"$cfg" <<CFG
dir: files
	path $files
	content images,iso,import

dir: other
	path $tmp/other

dir: chain
	path $files
	snapshot-as-volume-chain 1

nfs: share
	path $tmp/share
	server 192.0.2.1
	export /srv

btrfs: sub
	path $tmp/sub

dir: off
	path $files
	disable

lvmthin: local-lvm
	thinpool data
	vgname pve
CFG
refusals=(
  # description|status|standard error|words
  "export: qcow2+size without snapshots|1|^volume export format qcow2\+size not available for dir$|
    export files:100/vm-100-disk-0.qcow2 qcow2+size $tmp/x"
  "export: qcow2+size of another format|1|^volume export format qcow2\+size not available for dir$|
    export files:100/vm-100-disk-0.raw qcow2+size $tmp/x --with-snapshots"
  "export: vmdk+size of another format|1|^volume export format vmdk\+size not available for dir$|
    export files:100/vm-100-disk-0.qcow2 vmdk+size $tmp/x --with-snapshots"
  "export: raw+size with snapshots|1|^volume export format raw\+size not available for dir$|
    export files:100/vm-100-disk-0.qcow2 raw+size $tmp/x --with-snapshots 1"
  "export: raw+size with a list of snapshots|1|
    ^volume export format raw\+size not available for dir$|
    export files:100/vm-100-disk-0.raw raw+size $tmp/x --snapshot-list a,b"
  "export: tar+size of an image|1|^volume export format tar\+size not available for dir$|
    export files:100/vm-100-disk-0.raw tar+size $tmp/x"
  "export: zfs|1|^volume export format zfs not available for dir$|
    export files:100/vm-100-disk-0.raw zfs $tmp/x"
  "export: a snapshot|1|^volume export format raw\+size not available for dir$|
    export files:100/vm-100-disk-0.raw raw+size $tmp/x --snapshot s1"
  "export: incremental|1|^volume export format raw\+size not available for dir$|
    export files:100/vm-100-disk-0.raw raw+size $tmp/x --base s1"
  "export: of a chain, with snapshots|1|
    ^cannot export volumes together with their snapshots in dir$|
    export chain:100/vm-100-disk-0.qcow2 qcow2+size $tmp/x --with-snapshots"
  "export: no format|255|^format: value 'raw' does not have a value in the enumeration|
    export files:100/vm-100-disk-0.raw raw $tmp/x"
  "export: no name|1|^unable to parse volume filename 'disk.raw'$|
    export files:100/disk.raw raw+size $tmp/x"
  "export: what is not there|1|^$files/images/100/vm-100-disk-9.qcow2: No such file|
    export files:100/vm-100-disk-9.qcow2 raw+size $tmp/x"
  "export: to itself|1|^$files/images/100/vm-100-disk-0.raw is the volume itself$|
    export files:100/vm-100-disk-0.raw raw+size $files/images/100/vm-100-disk-0.raw"
  "export: a folder|1|^$files/images/100/vm-100-disk-8.raw is no file$|
    export files:100/vm-100-disk-8.raw raw+size $tmp/x"
  "export: a fifo|1|^$files/images/100/vm-100-disk-7.raw is no file$|
    export files:100/vm-100-disk-7.raw raw+size $tmp/x"
  "export: a container's folder|1|^volume '100/subvol-100-disk-6.subvol' is a container's folder|
    export files:100/subvol-100-disk-6.subvol tar+size $tmp/x"
  "export: what is not of its format|1|
    ^reading $files/images/100/vm-100-disk-5.qcow2: qemu-nbd failed$|
    export files:100/vm-100-disk-5.qcow2 raw+size $tmp/x"
  "export: as it is, what is not of its format|1|
    ^$files/images/100/vm-100-disk-5.qcow2 is no image of format qcow2$|
    export files:100/vm-100-disk-5.qcow2 qcow2+size $tmp/x --with-snapshots"
  "export: not mounted|1|^unable to activate storage 'share' - nothing is mounted at|
    export share:100/vm-100-disk-0.raw raw+size $tmp/x"
  "export: disabled|1|^storage 'off' is disabled$|export off:100/vm-100-disk-0.raw raw+size $tmp/x"
  "import: qcow2+size without snapshots|1|^format qcow2\+size cannot be imported without snapshots$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/raw"
  "import: raw+size with snapshots|1|^format raw\+size cannot be imported with snapshots$|
    import files:777/vm-777-disk-0.raw raw+size $tmp/raw --with-snapshots"
  "import: raw+size into qcow2|1|^cannot import format raw\+size into a file of format qcow2$|
    import files:777/vm-777-disk-0.qcow2 raw+size $tmp/raw"
  "import: qcow2+size into raw|1|^cannot import format qcow2\+size into a file of format raw$|
    import files:777/vm-777-disk-0.raw qcow2+size $tmp/raw --with-snapshots"
  "import: tar+size into an image|1|^cannot import format tar\+size into a file of format raw$|
    import files:777/vm-777-disk-0.raw tar+size $tmp/raw"
  "import: btrfs|1|^volume import format 'btrfs' not available for dir$|
    import files:777/vm-777-disk-0.raw btrfs $tmp/raw"
  "import: a container's folder|1|is a container's folder|
    import files:777/subvol-777-disk-0.subvol tar+size $tmp/raw"
  "import: incremental|1|^cannot import an incremental stream in dir$|
    import files:777/vm-777-disk-0.raw raw+size $tmp/raw --base s1"
  "import: with a snapshot to delete|1|^cannot delete a snapshot|
    import files:777/vm-777-disk-0.raw raw+size $tmp/raw --delete-snapshot s1"
  "import: a linked clone's name|1|is a linked clone's: .* such as '777/vm-777-disk-0.raw'$|
    import files:9000/base-9000-disk-0.raw/777/vm-777-disk-0.raw raw+size $tmp/raw"
  "import: an iso|1|^unable to parse volume filename 'x.iso'$|
    import files:iso/x.iso raw+size $tmp/raw"
  "import: no name|1|^unable to parse volume filename '\.\.'$|
    import files:777/../777/vm-777-x.raw raw+size $tmp/raw"
  "import: no file|1|^open\($tmp/none\): No such file|
    import files:777/vm-777-disk-0.raw raw+size $tmp/none"
  "import: not mounted|1|^unable to activate storage 'share' - nothing is mounted at|
    import share:777/vm-777-disk-0.raw raw+size $tmp/raw"
)
bad_streams=(
  # description|status|standard error|words
  "import: no header|1|^import: no size found in export header, aborting\.$|
    import files:777/vm-777-disk-0.raw raw+size $tmp/no-header"
  "import: nothing|1|^import: no size found in export header, aborting\.$|
    import files:777/vm-777-disk-0.raw raw+size /dev/null"
  "import: a stream that ends too early|1|
    ^the stream says that it has 16777216 bytes and has 999992$|
    import files:777/vm-777-disk-0.raw raw+size $tmp/short"
  "import: one that does not end|1|^the stream says that it has 16777216 bytes and has more$|
    import files:777/vm-777-disk-0.raw raw+size $tmp/long"
  "import: a header alone, of more than there is|1|
    ^the stream says that it has 9223372036854775807 bytes and has 0$|
    import files:777/vm-777-disk-0.raw raw+size $tmp/huge"
  "import: qcow2 that ends too early|1|vm-777-disk-0.qcow2 is damaged, or a part of it is missing$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/short.qcow2 --with-snapshots"
  "import: vmdk that ends too early|1|vm-777-disk-0.vmdk|
    import files:777/vm-777-disk-0.vmdk vmdk+size $tmp/short.vmdk --with-snapshots"
  "import: qcow2 that is none|1|vm-777-disk-0.qcow2 is no image of format qcow2$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/raw --with-snapshots"
  "import: qcow2 that is vmdk|1|vm-777-disk-0.qcow2 is no image of format qcow2$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/whole.vmdk --with-snapshots"
  "import: qcow2 with a header alone|1|vm-777-disk-0.qcow2 is no image of format qcow2$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/huge --with-snapshots"
  "import: qcow2 on a file of this host|1|refers to another file, an image that it is based on$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/clone.qcow2 --with-snapshots"
  "import: qcow2 whose data is a file of this host|1|refers to another file, an external data file$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/data.qcow2 --with-snapshots"
  "import: vmdk whose extents are files of this host|1|refers to another file, a file of extents$|
    import files:777/vm-777-disk-0.vmdk vmdk+size $tmp/flat.vmdk --with-snapshots"
  "import: vmdk that hides a descriptor|1|refers to another file, a file of extents$|
    import files:777/vm-777-disk-0.vmdk vmdk+size $tmp/hidden.vmdk --with-snapshots"
  "import: vmdk on a file of this host|1|refers to another file, an image that it is based on$|
    import files:777/vm-777-disk-0.vmdk vmdk+size $tmp/clone.vmdk --with-snapshots"
  "import: a disk of another size than the header's|1|
    ^the stream says that its disk has 16777217 bytes, and the image in it has 16777216$|
    import files:777/vm-777-disk-0.qcow2 qcow2+size $tmp/size.qcow2 --with-snapshots"
)
plan $((${#refusals[@]} + ${#bad_streams[@]} + 92))

vt init pve/data --size 256m --reserve 16m >/dev/null
mkdir -p "$images/100" "$tmp/share" "$tmp/sub" "$tmp/other" "$files/template/iso" "$files/import"
header() { head -c 8 "$1" | od -An -tu8 | tr -d ' '; } # as this machine's order is little-endian
body() { tail -c +9 "$1"; }
# what a guest sees
plain() { rm -f "$tmp/plain"; qemu-img convert -O raw "$1" "$tmp/plain" && md5 "$tmp/plain"; }
disk() { # FORMAT SIZE FILE: with data at both ends
  qemu-img create -q -f "$1" "$3" "$2"
  qemu-io -f "$1" -c "write -P 1 0 3M" -c "write -P 2 $(($(numfmt --from=iec "$2") - 65536)) 64k" \
    -c "write -P 3 5000k 1k" "$3" >/dev/null
}
for format in raw qcow2 vmdk; do disk $format 16M "$images/100/vm-100-disk-0.$format"; done
golden=$(md5 "$images/100/vm-100-disk-0.raw")
qemu-img create -q -f qcow2 "$images/100/vm-100-odd.qcow2" 5243392
qemu-io -f qcow2 -c 'write -P 9 5242880 512' "$images/100/vm-100-odd.qcow2" >/dev/null
head -c 1000001 /dev/urandom >"$images/100/vm-100-odd.raw"
: >"$images/100/vm-100-none.raw"
mkdir "$images/100/vm-100-disk-8.raw" "$images/100/subvol-100-disk-6.subvol"
mkfifo "$images/100/vm-100-disk-7.raw"
echo nothing >"$images/100/vm-100-disk-5.qcow2"

# --- export ---
for format in raw qcow2 vmdk; do
  wanted "export: $format" 0 "" on export files:100/vm-100-disk-0.$format raw+size "$tmp/$format"
  is "export: $format: the disk's size, and as many bytes" \
    "$(header "$tmp/$format") $(body "$tmp/$format" | wc -c)" "16777216 16777216"
  is "export: $format: its content" "$(body "$tmp/$format" | md5)" "$golden"
  ok "export: $format: holes stay holes" test "$(blocks "$tmp/$format")" -lt 4096
  is "export: $format: to standard output" \
    "$(on export files:100/vm-100-disk-0.$format raw+size - | md5)" "$(md5 "$tmp/$format")"
done
is "export: without a word" "$err" ""
on export files:100/vm-100-odd.qcow2 raw+size "$tmp/odd"
is "export: a size that is no multiple of anything" \
  "$(header "$tmp/odd") $(body "$tmp/odd" | md5)" "5243392 $(plain "$images/100/vm-100-odd.qcow2")"
on export files:100/vm-100-odd.raw raw+size "$tmp/odd"
is "export: nor of a sector" \
  "$(header "$tmp/odd") $(body "$tmp/odd" | md5)" "1000001 $(md5 "$images/100/vm-100-odd.raw")"
is "export: an image of 0 bytes" \
  "$(on export files:100/vm-100-none.raw raw+size - | od -An -tx1 | tr -d ' ')" 0000000000000000
cp "$images/100/vm-100-odd.raw" "$files/template/iso/x.iso"
is "export: an iso" "$(on export files:iso/x.iso raw+size - | md5)" "$(md5 "$tmp/odd")"

each_case refused "${refusals[@]}"
not_ok "a failure leaves no stream" test -e "$tmp/x"
is "and the volume as it was" "$(md5 "$images/100/vm-100-disk-0.raw")" "$golden"
refused "export: without qemu-nbd" 1 "there is no qemu-nbd; install it \(Debian: qemu-utils\)$" \
  env PATH=/none "$VIRT_THIN_PROGRAM" storage export files:100/vm-100-disk-0.qcow2 raw+size \
  "$tmp/x" --config "$cfg"
mkdir "$tmp/bin" "$tmp/lib"
echo none >"$tmp/lib/libnbd.so.0"
bare=(storage export files:100/vm-100-disk-0.qcow2 raw+size - --config "$cfg")
refused "export: without libnbd" 1 \
  "^reading $images/100/vm-100-disk-0.qcow2: libnbd cannot be loaded: .*: install libnbd0$" \
  env LD_LIBRARY_PATH="$tmp/lib" "$VIRT_THIN_PROGRAM" "${bare[@]}"
cat >"$tmp/bin/qemu-nbd" <<'SH'
#!/usr/bin/env python3
import socket, time
client = socket.socket(fileno=3).accept()[0]
print("hello", flush=True)
client.sendall(b"hello" * 9)
time.sleep(1)
SH
chmod +x "$tmp/bin/qemu-nbd"
refused "export: a qemu-nbd that speaks another protocol" 1 \
  "^reading $images/100/vm-100-disk-0.qcow2: .*magic" \
  env PATH="$tmp/bin:$PATH" "$VIRT_THIN_PROGRAM" "${bare[@]}"
is "what it says is not in the stream" "$out" ""
cp "$images/100/vm-100-disk-0.qcow2" "$images/100/vm-100-bad.qcow2"
python3 - "$images/100/vm-100-bad.qcow2" <<'PY'
import struct, sys
def entry(at, mask=0xfffffffffffe00):
    f.seek(at)
    return struct.unpack('>Q', f.read(8))[0] & mask
with open(sys.argv[1], 'r+b') as f:
    table = entry(entry(40))  # the first of level 2
    f.seek(table + 8 * 128)   # for the cluster at 8 MiB
    f.write(struct.pack('>Q', 1 << 63 | 0x200))
PY
refused "export: what is damaged" 1 \
  "^reading $images/100/vm-100-bad.qcow2 at offset 8388608: Input/output error$" \
  on export files:100/vm-100-bad.qcow2 raw+size "$tmp/x"
not_ok "is not kept" test -e "$tmp/x"
not_ok "nor an import a guest's folder" test -e "$images/777"

# --- as it is ---
qemu-img snapshot -c s1 "$images/100/vm-100-disk-0.qcow2"
qemu-io -f qcow2 -c 'write -P 8 1M 64k' "$images/100/vm-100-disk-0.qcow2" >/dev/null
for format in qcow2 vmdk; do
  wanted "export: $format as it is" 0 "" \
    on export files:100/vm-100-disk-0.$format $format+size "$tmp/whole.$format" --with-snapshots
  is "export: the disk's size, and the file" \
    "$(header "$tmp/whole.$format") $(body "$tmp/whole.$format" | md5)" \
    "16777216 $(md5 "$images/100/vm-100-disk-0.$format")"
  wanted "import: $format" 0 "successfully imported 'files:101/vm-101-disk-0.$format'" \
    on import files:101/vm-101-disk-0.$format $format+size "$tmp/whole.$format" --with-snapshots
  ok "import: it is that file" \
    cmp "$images/100/vm-100-disk-0.$format" "$images/101/vm-101-disk-0.$format"
done
like "import: with its snapshots" \
  "$(qemu-img snapshot -l "$images/101/vm-101-disk-0.qcow2")" "^1 +s1 "
is "export: a list of snapshots is that" \
  "$(on export files:100/vm-100-disk-0.qcow2 qcow2+size - --snapshot-list s1 | md5)" \
  "$(md5 "$tmp/whole.qcow2")"

# --- linked clones ---
mkdir "$images/9000"; disk qcow2 16M "$images/9000/base-9000-disk-0.qcow2"
qemu-img create -q -f qcow2 -b ../9000/base-9000-disk-0.qcow2 -F qcow2 \
  "$images/101/vm-101-clone.qcow2"
qemu-io -f qcow2 -c 'write -P 7 2M 2M' "$images/101/vm-101-clone.qcow2" >/dev/null
clone=files:9000/base-9000-disk-0.qcow2/101/vm-101-clone.qcow2
on export $clone raw+size "$tmp/clone"
is "export: a linked clone has all of its content" \
  "$(header "$tmp/clone") $(body "$tmp/clone" | md5)" \
  "16777216 $(plain "$images/101/vm-101-clone.qcow2")"
refused "export: a linked clone as it is" 1 \
  "refers to another file, an image that it is based on: export it as raw\+size, which has all of it$" \
  on export $clone qcow2+size "$tmp/x" --with-snapshots
not_ok "leaves nothing" test -e "$tmp/x"
qemu-img create -q -f qcow2 -o data_file="$tmp/data",data_file_raw=on \
  "$images/101/vm-101-data.qcow2" 16M
refused "export: an image whose data is elsewhere, as it is" 1 \
  "refers to another file, an external data file" \
  on export files:101/vm-101-data.qcow2 qcow2+size - --with-snapshots
echo secret >"$tmp/secret"; truncate -s 1M "$tmp/secret"
qemu-img create -q -f qcow2 -b "$tmp/secret" -F raw "$files/import/x.qcow2"
refused "export: what somebody has put there, and a file of this host with it" 1 \
  "import/x.qcow2 refers to another file, an image that it is based on$" \
  on export files:import/x.qcow2 raw+size -
rm "$files/import/x.qcow2"; disk qcow2 16M "$files/import/x.qcow2"
is "export: what stands alone" \
  "$(on export files:import/x.qcow2 raw+size - | body /dev/stdin | md5)" "$golden"

# --- import ---
wanted "import: from standard input" 0 "successfully imported 'files:200/vm-200-disk-0.raw'" \
  on import files:200/vm-200-disk-0.raw raw+size - <"$tmp/raw"
is "import: the content, sparse, and the mode" \
  "$(md5 "$images/200/vm-200-disk-0.raw") $(
    stat -c %a \
      "$images/200/vm-200-disk-0.raw") $(($(blocks "$images/200/vm-200-disk-0.raw") < 4096))" \
  "$golden 640 1"
refused "import: a name that is taken" 1 "^file '$images/200/vm-200-disk-0.raw' already exists$" \
  on import files:200/vm-200-disk-0.raw raw+size "$tmp/odd"
is "leaves that as it was" \
  "$(ls "$images/200") $(md5 "$images/200/vm-200-disk-0.raw")" "vm-200-disk-0.raw $golden"
wanted "import: another name" 0 "successfully imported 'files:200/vm-200-disk-1.raw'" \
  on import files:200/vm-200-disk-0.raw raw+size "$tmp/odd" --allow-rename
like "which is told" \
  "$err" "file '$images/200/vm-200-disk-0.raw' already exists - importing with a different name"
is "import: a size that is no multiple of a sector" \
  "$(md5 "$images/200/vm-200-disk-1.raw")" "$(md5 "$images/100/vm-100-odd.raw")"
wanted "import: a name of its own, though it may be another" 0 \
  "successfully imported 'files:200/vm-200-x.raw'" \
  on import files:200/vm-200-x.raw raw+size "$tmp/raw" --allow-rename
wanted "import: a template" 0 "successfully imported 'files:200/base-200-disk-2.raw'" \
  on import files:200/base-200-disk-2.raw raw+size "$tmp/raw"
wanted "import: 0 bytes" 0 "successfully imported 'files:200/vm-200-none.raw'" \
  on import files:200/vm-200-none.raw raw+size - < <(head -c 8 /dev/zero)
is "import: to nothing but zeros" "$(on export files:200/vm-200-none.raw raw+size - | wc -c)" 8
wanted "import: a storage whose folder has nothing" 0 \
  "successfully imported 'other:200/vm-200-disk-0.raw'" \
  on import other:200/vm-200-disk-0.raw raw+size "$tmp/raw"
for i in {1..8}; do
  on import files:201/vm-201-disk-0.raw raw+size "$tmp/raw" \
    --allow-rename >"$tmp/import.$i" 2>/dev/null &
done
wait
is "import: at the same time, each has a name of its own" \
  "$(cat "$tmp"/import.* | grep -o 'disk-[0-9]*' | sort -Vu | paste -sd' ')" \
  "$(printf 'disk-%d ' {0..7} | sed 's/ $//')"
is "import: and all of the content" "$(md5sum "$images/201"/* | cut -d' ' -f1 | sort -u)" "$golden"
on import files:202/vm-202-disk-0.raw raw+size "unix://$tmp/socket" >"$tmp/unix.out" 2>/dev/null &
pid=$!
wait_until 30 grep -q ready "$tmp/unix.out"
python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendfile(open(sys.argv[2], "rb"))' \
  "$tmp/socket" "$tmp/raw"
wait $pid
is "import: from a Unix socket" \
  "$(tail -n 1 "$tmp/unix.out") $(md5 "$images/202/vm-202-disk-0.raw")" \
  "successfully imported 'files:202/vm-202-disk-0.raw' $golden"

# --- what must not come in ---
stream() { { printf '\0\0\0\1\0\0\0\0'; cat "$1"; } >"$tmp/$(basename "$1")"; } # of 16 MiB
mkdir "$tmp/bad"
head -c 5 "$tmp/raw" >"$tmp/no-header"
head -c 1000000 "$tmp/raw" >"$tmp/short"
{ cat "$tmp/raw"; echo; } >"$tmp/long"
printf '\377\377\377\377\377\377\377\177' >"$tmp/huge"
for format in qcow2 vmdk; do head -c 2000000 "$tmp/whole.$format" >"$tmp/short.$format"; done
qemu-img create -q -f qcow2 -b "$tmp/secret" -F raw "$tmp/bad/clone.qcow2" 16M
cp "$images/101/vm-101-data.qcow2" "$tmp/bad/data.qcow2"
printf '%b' '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n' \
  'createType="monolithicFlat"\nRW 2048 FLAT "' "$tmp/secret" '" 0\n' >"$tmp/bad/flat.vmdk"
python3 - "$tmp/bad/flat.vmdk" "$tmp/bad/hidden.vmdk" <<'PY'
import struct, sys
text = open(sys.argv[1], 'rb').read()
# a capacity of 0, and the descriptor in sector 1
head = struct.pack('<4sIIQQQQ', b'KDMV', 1, 3, 0, 128, 1, 20)
open(sys.argv[2], 'wb').write(head.ljust(512, b'\0') + text.ljust(20 * 512, b'\0'))
PY
disk vmdk 16M "$tmp/bad/parent.vmdk"
qemu-img create -q -f vmdk -b "$tmp/bad/parent.vmdk" -F vmdk "$tmp/bad/clone.vmdk"
is "of what follows QEMU would read this host's files" \
  "$(for name in flat hidden; do
    qemu-img convert -f vmdk -O raw "$tmp/bad/$name.vmdk" "$tmp/plain" && head -c 6 "$tmp/plain"
  done)" \
  "secretsecret"
for name in clone.qcow2 data.qcow2 flat.vmdk hidden.vmdk clone.vmdk; do
  stream "$tmp/bad/$name"
done
{ printf '\1\0\0\1\0\0\0\0'; body "$tmp/whole.qcow2"; } >"$tmp/size.qcow2"
each_case refused "${bad_streams[@]}"
not_ok "of all that is nothing left" test -e "$images/777"
ok "and this host's files are as they were" \
  cmp "$tmp/secret" <(echo secret; head -c $((1048576 - 7)) /dev/zero)

# --- a signal ---
mkfifo "$tmp/fifo"
on import files:777/vm-777-disk-0.raw raw+size "$tmp/fifo" >/dev/null 2>"$tmp/said" & pid=$!
exec 9>"$tmp/fifo"; head -c 5000000 "$tmp/raw" >&9
reads() {
  [ "$(stat -c %s "$images/777/vm-777-disk-0.raw")" -gt 0 ] &&
    grep -q '^State:.S' "/proc/$(pgrep -P $pid || echo $pid)/status"
}
wait_until 30 reads
kill $(pgrep -P $pid || echo $pid); code=0; wait $pid || code=$?
exec 9>&-
like "import: a signal ends it" "$(cat "$tmp/said")" "interrupted"
not_ok "import: and leaves nothing" test -e "$images/777"
mkdir "$tmp/room"
TMPDIR=$tmp/room on export files:100/vm-100-disk-0.qcow2 raw+size "$tmp/fifo" \
  >/dev/null 2>"$tmp/said" & pid=$!
exec 9<"$tmp/fifo"; head -c 8 <&9 >/dev/null
server() { pgrep -f "^qemu-nbd .*$images/100/vm-100-disk-0.qcow2" >/dev/null; }
ok "export: a process of QEMU's reads the image" server
is "export: of its socket no name is left, whoever is killed" "$(ls "$tmp/room")" ""
kill $(pgrep -P $pid || echo $pid); wait $pid || :
exec 9<&-
like "export: a signal ends it" "$(cat "$tmp/said")" "interrupted"
not_ok "export: and that process" server
ok "export: but removes no fifo" test -p "$tmp/fifo"
on export files:100/vm-100-disk-0.qcow2 raw+size - 2>/dev/null | head -c 8 >/dev/null
gone() { ! server; }
ok "export: so does a reader that has enough" wait_until 30 gone

# --- to a thin pool, and back ---
for format in raw qcow2 vmdk; do
  disk $format 16M "$images/100/vm-100-trip.$format"
  on export files:100/vm-100-trip.$format raw+size - |
    on import local-lvm:vm-300-$format raw+size - >/dev/null
  is "$format to a thin pool: the content" "$(export_md5 export pve/vm-300-$format)" "$golden"
  on export local-lvm:vm-300-$format raw+size - |
    on import files:300/vm-300-$format.raw raw+size - >/dev/null
  ok "$format: and back" \
    cmp "$images/300/vm-300-$format.raw" "$tmp/other/images/200/vm-200-disk-0.raw"
done
ok "in the pool nothing but the data" test "$(volume pve/vm-300-qcow2 mapped)" -lt 5000000
on export $clone raw+size - | on import local-lvm:vm-300-clone raw+size - >/dev/null
is "a linked clone: whole" \
  "$(export_md5 export pve/vm-300-clone)" "$(plain "$images/101/vm-101-clone.qcow2")"
on export files:100/vm-100-odd.qcow2 raw+size - |
  on import local-lvm:vm-300-odd raw+size - >/dev/null
is "what is no multiple of an extent: the content, and zeros" \
  "$(export_md5 export pve/vm-300-odd)" \
  "$( (
    qemu-img convert -O raw "$images/100/vm-100-odd.qcow2" "$tmp/plain"; truncate -s 8M "$tmp/plain"
    md5 "$tmp/plain"
  ))"

# --- no room ---
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=2m none "$tmp/share" 2>/dev/null; then
  at_exit 'umount -q "$tmp/share"'
  refused "import: a storage that is full" 1 \
    "^writing $tmp/share/images/100/vm-100-disk-0.raw: No space left on device$" \
    on import share:100/vm-100-disk-0.raw raw+size "$tmp/raw"
  is "import: leaves nothing" "$(find "$tmp/share" -mindepth 1 | paste -sd' ')" "$tmp/share/images"
  refused "export: to a disk that is full" 1 "^writing $tmp/share/x: No space left on device$" \
    on export files:100/vm-100-disk-0.qcow2 raw+size "$tmp/share/x"
  not_ok "export: nor does that" test -e "$tmp/share/x"
else
  skip 4 "needs root"
fi

# --- btrfs ---
truncate -s 256M "$tmp/btrfs.img"
if [ "$(id -u)" = 0 ] && mkfs.btrfs -q "$tmp/btrfs.img" >/dev/null 2>&1 &&
    mount -o loop "$tmp/btrfs.img" "$tmp/sub" 2>/dev/null; then
  at_exit 'umount -q "$tmp/sub"'
  wanted "btrfs: import" 0 "successfully imported 'sub:100/vm-100-disk-0.raw'" \
    on import sub:100/vm-100-disk-0.raw raw+size "$tmp/raw"
  is "btrfs: to a subvolume" \
    "$(stat -c %i "$tmp/sub/images/100/vm-100-disk-0") $(
      md5 "$tmp/sub/images/100/vm-100-disk-0/disk.raw")" \
    "256 $golden"
  refused "btrfs: import: taken" 1 \
    "^file '$tmp/sub/images/100/vm-100-disk-0/disk.raw' already exists$" \
    on import sub:100/vm-100-disk-0.raw raw+size "$tmp/raw"
  wanted "btrfs: import: another name" 0 "successfully imported 'sub:100/vm-100-disk-1.raw'" \
    on import sub:100/vm-100-disk-0.raw raw+size "$tmp/raw" --allow-rename
  refused "btrfs: import: too short" 1 "and has 999992$" \
    on import sub:101/vm-101-disk-0.raw raw+size "$tmp/short"
  not_ok "btrfs: leaves nothing" test -e "$tmp/sub/images/101"
  is "btrfs: export" "$(on export sub:100/vm-100-disk-0.raw raw+size - | md5)" "$(md5 "$tmp/raw")"
  refused "btrfs: export: what needs a snapshot" 1 \
    "^volume export format btrfs not available for btrfs$" \
    on export sub:100/vm-100-disk-0.raw btrfs -
  umount "$tmp/sub"
else
  skip 8 "needs root, a loop device, btrfs and mkfs.btrfs"
fi
