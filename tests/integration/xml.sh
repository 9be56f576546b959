#!/bin/bash
# The documents of xml/ pass libvirt's schemas and ours; ours refuse what a thin pool cannot be.
. "$(dirname "$0")/lib.sh"
command -v xmllint >/dev/null || skip_all "needs xmllint"
libvirt_schemas=/usr/share/libvirt/schemas
[ -f $libvirt_schemas/storagepool.rng ] || skip_all "needs libvirt's schemas"
cd "$top_srcdir" || exit 1

kind() { xmllint --xpath 'name(/*)' "$1"; }
libvirts() {
  case $(kind "$1") in pool) echo storagepool;; volume) echo storagevol;; domain) echo domain;; esac
}
valid() { xmllint --noout --relaxng "$1" "$2"; }

documents=(xml/*.xml)
plan $((${#documents[@]} * 2 + 13))
for document in "${documents[@]}"; do
  ok "$document is valid for libvirt" \
    valid "$libvirt_schemas/$(libvirts "$document").rng" "$document"
  if [ "$(kind "$document")" = domain ]; then
    ok "$document passes virt-xml-validate" virt-xml-validate "$document" domain
  else
    ok "$document is valid for virt-thin" valid "schemas/$(kind "$document").rng" "$document"
  fi
done

pool() {
  echo "<pool type='$1'><name>p</name><source>$2</source><target/></pool>" >"$tmp/p.xml"
  not_ok "refused: $3" valid schemas/pool.rng "$tmp/p.xml"
}
pool dir "<name>vg/data</name>" "a pool of another type"
pool logical "<name>vg</name>" "a plain volume group"
pool logical "<name>vg/data/more</name>" "a name of three parts"
pool logical "<name>vg/-data</name>" "a name that begins with a dash"
pool logical "<name>/data</name>" "no volume group"
pool logical "<name>vg/data</name><device path='/a'/><device path='/b'/>" "two devices"
volume() {
  echo "<volume>$1</volume>" >"$tmp/v.xml"
  not_ok "refused: $2" valid schemas/volume.rng "$tmp/v.xml"
}
volume "<name>v</name><target/>" "no capacity and no backing store"
volume "<name>a/b</name><capacity>1</capacity><target/>" "a name with a slash"
volume "<name>v</name><capacity>1</capacity><target><format type='qcow2'/></target>" "a format"
volume "<name>v</name><capacity>1</capacity><target><encryption format='luks'/></target>" \
  "encryption"
volume "<name>v</name><capacity>1</capacity><target/><backingStore><path>v1</path></backingStore>" \
  "a backing store that is no path"
volume "<name>v</name><capacity unit='XB'>1</capacity><target/>" "a unit there is not"

# AppArmor lets a guest open what libvirt's helper writes down for it. Of the document that the
# quickstart begins with that is the disk.
helper=/usr/lib/libvirt/virt-aa-helper
document=$(grep -o 'xml/domain-[a-z]*\.xml' scripts/quickstart | sort -u)
if [ -x $helper ]; then
  id=$(cat /proc/sys/kernel/random/uuid) disk=$tmp/disk
  : >"$disk"
  like "AppArmor lets the guest of $document open its disk" \
    "$(sed "s|<name>|<uuid>$id</uuid>&|; s|/dev/pve/vm-100-disk-0|$disk|" "$document" |
      $helper --dryrun -c -u "libvirt-$id" 2>&1)" "\"$disk\" rw"
else
  skip 1 "needs $helper"
fi
