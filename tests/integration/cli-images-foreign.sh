#!/bin/bash
# virt-thin - images that a guest, or anybody else, has written: no file that they refer to is read,
# and what they are called is no address
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

for program in qemu-img python3; do
  command -v $program >/dev/null || skip_all "needs $program"
done
secret=$tmp/secret content=$tmp/content d=$tmp/images
yes 'root:secret' | head -c 1M >"$secret"
head -c 300000 /dev/urandom >"$content"; truncate -s 1M "$content"
mkdir "$d"
create() { qemu-img create -q "$@" || echo "cannot make $*" >&2; }
piped() { local file=$1; shift; "$VIRT_THIN_PROGRAM" import - pve/x "$@" < <(cat "$file"); }
redirected() { "$VIRT_THIN_PROGRAM" import - pve/x <"$1"; }
none() { ! vt info pve/x >/dev/null 2>&1; }
# VOLUME FILE: the file is what it begins with
whole() { vt export "$1" - 2>/dev/null | head -c "$(stat -c %s "$2")" | cmp - "$2"; }
format_of() {
  local format=${1##*.}; format=${format,,}
  case $format in vhd) echo vpc;; hdd) echo parallels;; *) echo "$format";; esac
}

# --- images that refer to a file of this host, or elsewhere ---
backed() { create -u -f "$1" -F raw -b "$3" ${4:+-o "$4"} "$2" 1M; } # FORMAT FILE BASE [OPTIONS]
backed qcow2 "$d/backing.qcow2" "$secret"
backed qcow2 "$d/relative.qcow2" ../secret
backed qcow2 "$d/old.qcow2" "$secret" compat=0.10
backed qcow2 "$d/json.qcow2" "json:{\"driver\":\"raw\",\"file.filename\":\"$secret\"}"
backed qcow2 "$d/nbd.qcow2" nbd://127.0.0.1:1/x
backed qcow2 "$d/socket.qcow2" "nbd+unix:///x?socket=$tmp/socket"
cp "$d/backing.qcow2" "$d/Upper.QCOW2"
backed qcow "$d/first.qcow" "$secret"
backed qed "$d/backing.qed" "$secret"
create -f qcow2 -o data_file="$tmp/data",data_file_raw=on "$d/data.qcow2" 1M
cp "$secret" "$tmp/data"
descriptor() { # TYPE EXTENT
  printf '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="%s"\n' "$1"
  printf 'RW 2048 %s\n' "$2"
}
descriptor monolithicFlat "FLAT \"$secret\" 0" >"$d/absolute.vmdk"
descriptor monolithicFlat 'FLAT "../secret" 0' >"$d/near.vmdk"
descriptor vmfs "VMFS \"$secret\"" >"$d/vmfs.vmdk"
create -f vmdk "$d/alone.vmdk" 1M
create -f vmdk -F vmdk -b "$d/alone.vmdk" "$d/clone.vmdk"
sed 's/parentFileNameHint/parentFileName____/' "$d/clone.vmdk" >"$d/orphan.vmdk"
create -f vpc "$d/child.vhd" 1M
python3 - "$d" <<'PY'
import struct, sys
folder = sys.argv[1]
text = open(folder + '/absolute.vmdk', 'rb').read()
head = struct.pack('<4sIIQQQQ', b'KDMV', 1, 3, 0, 128, 1, 20)  # capacity 0, descriptor at 1
open(folder + '/hidden.vmdk', 'wb').write(head.ljust(512, b'\0') + text.ljust(20 * 512, b'\0'))
with open(folder + '/child.vhd', 'r+b') as f:
    f.seek(60); f.write(b'\0\0\0\4')  # Disk Type: differencing
PY
read=(backing.qcow2 relative.qcow2 old.qcow2 json.qcow2 first.qcow backing.qed data.qcow2
  absolute.vmdk near.vmdk vmfs.vmdk hidden.vmdk) # by QEMU, so that the secret is what it gives
chains=("${read[@]}" nbd.qcow2 socket.qcow2 Upper.QCOW2 clone.vmdk)
what='(an image that it is based on|an external data file|a file of extents)'
both="refers to another file, $what: --format raw .*; --follow-backing "
secrets() {
  local name
  for name in "${read[@]}"; do
    qemu-img convert -f "$(format_of "$name")" -O raw "$d/$name" "$tmp/plain" &&
      head -c 11 "$tmp/plain"
  done
}
foreign() { # NAME
  local format; format=$(format_of "$1")
  refused "$1: refused" 1 "$both" vt import "$d/$1" pve/x
  refused "$1: with its format said, too" 1 "$both" vt import "$d/$1" pve/x --format "$format"
  cp "$d/$1" "$tmp/backup.img"; cp "$d/$1" "$tmp/backup.raw"
  refused "$1: as a backup" 1 "$both" vt import "$tmp/backup.img" pve/x
  refused "$1: from a pipe: first of all raw" 1 \
    "^virt-thin: standard input begins as an image in format $format does: --format raw " \
    piped "$d/$1"
  ok "$1: nothing is made" none
  ok "$1: from a pipe, raw" piped "$d/$1" --format raw
  ok "$1: byte for byte" whole pve/x "$d/$1"
  vt remove pve/x
  run vt import "$tmp/backup.raw" pve/x
  like "$1: named raw, it is that, which is told" "$?$err" \
    "^0virt-thin: $tmp/backup.raw looks like an image in format $format: as its name says, "
  ok "$1: byte for byte" whole pve/x "$tmp/backup.raw"
  vt remove pve/x
}
followed() { # NAME
  ok "$1: --follow-backing" vt import "$d/$1" pve/x --follow-backing
  ok "$1: reads that" whole pve/x "$secret"
  vt remove pve/x
}
orphan() { # NAME
  local regex='is based on another image, which QEMU does not read'
  refused "$1: a parent that QEMU does not look for" 1 "$regex" vt import "$d/$1" pve/x
  refused "$1: nor is it followed" 1 "$regex" vt import "$d/$1" pve/x --follow-backing
}

# --- images that stand alone ---
alone() { # EXTENSION
  local format image=$tmp/alone.$1 backup=$tmp/backup.img; format=$(format_of "x.$1")
  local ambiguous="looks like an image in format $format, .*: --format raw .*; --format $format if"
  qemu-img convert -q -f raw -O "$format" "$content" "$image"
  cp "$image" "$backup"
  run vt import "$image" pve/x
  like "$format by its name, which is told" "$?$err" \
    "^0virt-thin: $image is read as an image in format $format; --format raw takes it as it is$"
  ok "$format: its content" whole pve/x "$content"
  vt remove pve/x
  refused "$format: a name that does not say so" 1 "backup.img $ambiguous" vt import "$backup" pve/x
  refused "$format: redirected, too" 1 "standard input $ambiguous" redirected "$backup"
  ok "$format: said, it is read" vt import "$backup" pve/x --format "$format"
  ok "$format: its content" whole pve/x "$content"
  is "$format: without a word" "$(vt import "$backup" pve/x --format "$format" 2>&1)" ""
  vt remove pve/x
  ok "$format: raw, it is itself" vt import "$backup" pve/x --format raw
  ok "$format: byte for byte" whole pve/x "$backup"
  vt remove pve/x
}

# --- a guest's own disk: what it wrote, out and in ---
restored() { is "a guest's disk: as it was" "$(export_md5 export pve/x)" "$want"; vt remove pve/x; }
guest() {
  local disk=pve/vm-100-disk-0
  vt create $disk --size 4m
  vt import "$d/backing.qcow2" $disk --format raw
  want=$(export_md5 export $disk)
  vt export $disk "$tmp/guest.img"
  refused "a guest's disk: no image" 1 "$both" vt import "$tmp/guest.img" pve/x
  ok "a guest's disk: restored" vt import "$tmp/guest.img" pve/x --format raw
  restored
  vt export $disk - >"$tmp/stream"
  ok "a guest's disk: by a pipe, as the manual has it" piped "$tmp/stream" --format raw
  restored
  ok "a guest's disk: exported as qcow2" vt export $disk "$tmp/guest.qcow2" --format qcow2
  ok "a guest's disk: and back" vt import "$tmp/guest.qcow2" pve/x
  restored
  like "a raw export named as something else: told" "$(vt export $disk "$tmp/raw.qcow2" 2>&1)" \
    "raw.qcow2 becomes a raw image, which its name does not say"
  is "unless it is meant" "$(vt export $disk "$tmp/raw.qcow2" --format raw 2>&1)" ""
  { head -c 4193792 /dev/zero; printf conectix; head -c 504 /dev/zero; } >"$tmp/tail.img"
  refused "what looks like a VHD at its end" 1 'tail.img.*: --format raw if it is' \
    vt import "$tmp/tail.img" pve/x
  ok "is raw if that is said" vt import "$tmp/tail.img" pve/x --format raw
  ok "byte for byte" whole pve/x "$tmp/tail.img"
  { printf 'QFI\373\0\0\0\3'; head -c 1m /dev/zero; } >"$tmp/broken.img"
  refused "what only begins as an image does" 1 ': --format raw if it is the content of a disk' \
    vt import "$tmp/broken.img" pve/y
  vt remove pve/x $disk
}

# --- the file changes between the look at it and its reading ---
race() { # WHAT is done to $tmp/race.qcow2 when qemu-img is about to convert it
  cp "$tmp/alone.qcow2" "$tmp/race.qcow2"
  mkdir -p "$tmp/bin"
  cat >"$tmp/bin/qemu-img" <<WRAPPER
#!/bin/sh
PATH=\${PATH#*:}
[ "\$1" != convert ] || { $1; }
exec qemu-img "\$@"
WRAPPER
  chmod +x "$tmp/bin/qemu-img"
  PATH=$tmp/bin:$PATH run vt import "$tmp/race.qcow2" pve/x
}
races() {
  race "cp '$d/backing.qcow2' '$tmp/new'; mv '$tmp/new' '$tmp/race.qcow2'"
  ok "what was looked at is read, whatever has its name by then" whole pve/x "$content"
  ok "and it was another" cmp "$tmp/race.qcow2" "$d/backing.qcow2"
  vt remove pve/x
  race "rm '$tmp/race.qcow2'"
  ok "also when nothing has" whole pve/x "$content"
  vt remove pve/x
  race "cat '$d/backing.qcow2' >'$tmp/race.qcow2'"
  ok "an image that is based on a file by then" cmp "$tmp/race.qcow2" "$d/backing.qcow2"
  is "is read without it" "$(vt export pve/x - 2>/dev/null | grep -c secret)" 0
  none || vt remove pve/x
}

# --- encrypted, on a device, of no format ---
others=(luks nbd vvfat blkdebug file host_device json quorum http null-co '')
unreadable() {
  local format name key='encrypt.format=aes,encrypt.key-secret=s'
  for format in "${others[@]}"; do
    refused "--format $format is none" 1 "format $format is none that virt-thin reads" \
      vt import "$d/backing.qcow2" pve/x --format "$format"
  done
  head -c 8 /dev/zero >"$tmp/no-image"
  refused "--format of another kind" 1 'no-image is no image of format qcow2$' \
    vt import "$tmp/no-image" pve/x --format qcow2
  refused "--format qcow2 of a pipe" 1 'standard input is a stream' \
    piped "$tmp/alone.qcow2" --format qcow2
  cp "$tmp/alone.qcow2" "$d/luks.qcow2" # crypt_method
  printf '\0\0\0\2' | dd of="$d/luks.qcow2" bs=1 seek=32 conv=notrunc status=none
  for format in qcow2 qcow; do
    create -f $format --object secret,id=s,data=abc -o "$key" "$d/aes.$format" 1M 2>/dev/null
  done
  for name in luks.qcow2 aes.qcow2 aes.qcow; do
    refused "an encrypted image: $name" 1 'is encrypted: decrypt it' vt import "$d/$name" pve/x
  done
}
on_device() {
  local loop
  if [ "$(id -u)" != 0 ] || ! loop=$(losetup --find --show "$tmp/alone.qcow2" 2>/dev/null); then
    skip 2 "needs root and a loop device"
    return
  fi
  at_exit "losetup -d $loop"
  ok "an image on a block device" vt import "$loop" pve/x --format qcow2
  ok "its content" whole pve/x "$content"
  vt remove pve/x
}

# --- names ---
names=('json:{"driver":"nbd","host":"127.0.0.1","port":"1"}' 'a,b=c,,d' driver=nbd nbd:127.0.0.1:1
  nbd:unix:x nbd+unix: fat:rw:x vvfat: file:x host_device:x blkdebug::x fd:0 http:x -dash --help
  %2e%41 'a b' $'new\nline' $'lat\351' "quote'\"" '#x' '\back' '*' '{}')
holds() { # QCOW2 FILE
  rm -f "$tmp/plain"
  qemu-img convert -f qcow2 -O raw "$PWD/$1" "$tmp/plain" && cmp -n 1048576 "$tmp/plain" "$2"
}
named() { # NAME
  local shown; shown=$(printf %q "$1")
  cp -- "$content" "$1.raw"; cp -- "$tmp/alone.qcow2" "$1.qcow2"
  ok "$shown: raw" vt import -- "$1.raw" pve/x
  ok "$shown: its content" whole pve/x "$content"
  vt remove pve/x
  ok "$shown: qcow2" vt import -- "$1.qcow2" pve/x
  ok "$shown: its content" whole pve/x "$content"
  ok "$shown: over a raw one" vt export -- pve/x "$1.raw"
  ok "$shown: its content" cmp -n 1048576 -- "$1.raw" "$content"
  ok "$shown: over a qcow2 one" vt export --format qcow2 -- pve/x "$1.qcow2"
  ok "$shown: its content" holds "$1.qcow2" "$content"
  vt remove pve/x
}

extensions=(qcow2 qcow qed vmdk vdi vhdx vhd hdd)
plan $((2 + 9 * ${#chains[@]} + 2 * ${#read[@]} + 4 + 9 * ${#extensions[@]} + 14 + 5 +
  ${#others[@]} + 5 + 2 + 8 * ${#names[@]} + 1))
ok "init" vt init pve/data --size 256m
is "QEMU would read this host's file" "$(secrets)" "$(printf 'root:secret%.0s' "${read[@]}")"
for name in "${chains[@]}"; do foreign "$name"; done
for name in "${read[@]}"; do followed "$name"; done
for name in orphan.vmdk child.vhd; do orphan "$name"; done
for extension in "${extensions[@]}"; do alone "$extension"; done
guest
races
unreadable
on_device
mkdir "$tmp/names" && cd "$tmp/names" || exit 1
for name in "${names[@]}"; do named "$name"; done
cd / || exit 1
ok "check" vt check pve/data
