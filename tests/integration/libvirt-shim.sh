#!/bin/bash
# libvirtd comes up whatever is wrong with our backend, and then the stock one serves.
. "$(dirname "$0")/libvirt-lib.sh"
plan 32

shim=$modules/libvirt_storage_backend_logical.so backend=$modules/virt-thin-backend.so
defined() {
  virsh pool-define-as "thin" logical --source-name "$vg/data" &&
    virsh pool-define-as "thick" logical --source-name "$vg"
}
start_error() { virsh pool-start "$1" 2>&1; }
logical_types() { virsh pool-capabilities | grep -c "<pool type='logical' supported='yes'>"; }
stock_words="cannot find logical volume group name '$vg/data'"

is "the shim needs nothing but libc" \
  "$(readelf -d "$shim" | grep -o 'NEEDED.*\[.*\]' | sed 's/.*\[//; s/\..*//' | sort -u)" libc
is "the shim shows one symbol" \
  "$(nm -D --defined-only "$shim" | awk '{print $3}')" virStorageBackendLogicalRegister
is "the backend shows one symbol" \
  "$(nm -D --defined-only "$backend" | awk '{print $3}')" vtbackend_register
is "the backend links no libvirt" "$(readelf -d "$backend" | grep NEEDED | grep -c virt)" 0
is "the backend needs no private symbol" "$(nm -D "$backend" | grep -c 'PRIVATE\| vir')" 0

functions() { nm --defined-only "$1" | awk '$2 ~ /[tT]/ { print $3 }'; }
# Of src/thin it links the format, which is no engine.
engine() {
  grep -E '^(thin_|bundled_|pool_open_bundled|pool_init|nbd_|fuse_|service_)' |
    grep -vxFf <(functions "$top_builddir/src/thin/.libs/libthinformat.a")
}
is "no engine code is in the backend" "$(functions "$backend" | engine)" ""

ok "libvirtd starts with the backend" libvirt_start
is "logical pools are registered once" "$(logical_types)" 1
ok "pools on VG/POOL and VG can be defined" defined
like "VG/POOL is ours: no such VG" "$(start_error thin)" "volume group $vg"
is "VG is the stock backend's" \
  "$(start_error thick | grep -c "cannot find logical volume group name '$vg'")" 1
ok "a pool on VG/POOL passes libvirt's schema" \
  virsh pool-define --validate <(virsh pool-dumpxml thin)

printf 'not a module' >"$tmp/broken.so"
libvirt_restart VIRT_THIN_BACKEND="$tmp/broken.so"
like "with a broken backend, the stock one serves" "$(start_error thin)" "$stock_words"
libvirt_restart VIRT_THIN_BACKEND="$tmp/missing.so"
like "with a missing backend, the stock one serves" "$(start_error thin)" "$stock_words"
like "the error names us, and why" \
  "$(start_error thin)" "thin pool of virt-thin, which is not loaded .*missing.so"
# By itself it writes over the devices of a pool before it asks lvm2 about the name.
head -c 1M /dev/urandom >"$tmp/disk"
if disk=$(losetup --find --show "$tmp/disk" 2>/dev/null); then
  at_exit "losetup -d $disk"
  sum=$(md5sum <"$tmp/disk")
  virsh pool-define-as built logical --source-name "$vg/data" --source-dev "$disk" >/dev/null
  like "it does not build VG/POOL" \
    "$(virsh pool-build built --overwrite 2>&1)" "$stock_words: .*virt-thin"
  is "or write to its devices" "$(sync; md5sum <"$tmp/disk")" "$sum"
  like "or delete it" "$(virsh pool-delete built 2>&1)" "$stock_words: .*virt-thin"
  virsh pool-undefine built >/dev/null
else
  skip 3 "needs a loop device"
fi
like "VG is not ours to guard" \
  "$(start_error thick)" "cannot find logical volume group name '$vg'\$"
libvirt_restart VIRT_THIN_BACKEND="$stock_backends/libvirt_storage_backend_disk.so"
like "with a backend that is none, the stock one serves" "$(start_error thin)" "$stock_words"
libvirt_restart LD_PRELOAD="$top_builddir/tests/integration/.libs/libvirt-wrong-layout.so"
like "with objects of another layout, the stock one serves" "$(start_error thin)" "$stock_words"
like "the error says why" "$(start_error thin)" "does not understand this libvirt"
like "and the reason is logged" "$(cat "$log")" \
  "virt-thin: this libvirt is not understood: a volume does not show what was set in it"
is "it is registered once then, too" "$(logical_types)" 1

libvirt_restart VIRT_THIN_STOCK_BACKEND_DIR="$tmp/nowhere"
ok "without a stock backend, libvirtd is up" virsh uri
like "and has no logical pools" \
  "$(virsh pool-define-as other logical --source-name "$vg" 2>&1)" "missing backend for pool type"

# Another release's stock module: its private symbols are not there.
mkdir -p "$tmp/skewed"
cat >"$tmp/skewed.c" <<'END'
extern void vir_of_another_release(void);
void *virStorageBackendLogical = (void *) vir_of_another_release;
END
if ${CC:-gcc} -shared -fPIC -o "$tmp/skewed/libvirt_storage_backend_logical.so" \
    "$tmp/skewed.c" 2>/dev/null; then
  libvirt_restart VIRT_THIN_STOCK_BACKEND_DIR="$tmp/skewed"
  ok "with a stock backend of another release, libvirtd is up" virsh uri
else
  skip 1 "needs a compiler"
fi

# What `virt-thin enable` makes outlives what is installed.
mkdir "$tmp/installed"
cp "$shim" "$backend" "$tmp/installed"
rm "$backends/libvirt_storage_backend_logical.so" && cp "$shim" "$backends/"
ln -sf "$tmp/installed/virt-thin-backend.so" "$backends/"
libvirt_restart
like "a copy of the shim finds the backend by the link beside it" \
  "$(start_error thin)" "volume group $vg"
rm -r "$tmp/installed"
libvirt_restart
like "uninstalled, the stock one serves" "$(start_error thin)" "$stock_words"
is "VG, too" "$(start_error thick | grep -c "cannot find logical volume group name '$vg'\$")" 1

rm "$backends/libvirt_storage_backend_logical.so"
ln -s "$tmp/gone.so" "$backends/libvirt_storage_backend_logical.so"
libvirt_restart
ok "with the shim uninstalled, libvirtd is up" virsh uri
ln -sf "$modules/libvirt_storage_backend_logical.so" "$backends/"
libvirt_restart
like "and all is well again when it is back" "$(start_error thin)" "volume group $vg"
