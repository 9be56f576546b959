#!/bin/bash
# Hostile peers of a service's D-Bus socket under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
# What these sources call and plans do not need is the build's own.
export FUZZ_OPTIONS="-max_len=1024 -detect_leaks=0" \
  FUZZ_CFLAGS="-I${abs_top_builddir:?}/src $(pkg-config --cflags gio-unix-2.0)"
FUZZ_CFLAGS+=" -DVIRT_THIN_SYSCONFDIR=\"/nowhere\" -DVIRT_THIN_LOCALSTATEDIR=\"/nowhere\""
FUZZ_CFLAGS+=" -DVIRT_THIN_RUNSTATEDIR=\"/nowhere\" -DVIRT_THIN_BINDIR=\"/nowhere\""
archives=
for lib in pool/libpool dm/libdm lvm/liblvm thin/libthinformat settings/libsettings util/libutil; do
  archives+=" $abs_top_builddir/src/${lib%/*}/.libs/${lib#*/}.a"
done
export FUZZ_LIBS="-Wl,--start-group $archives -Wl,--end-group $(
  pkg-config --libs gio-unix-2.0 blkid devmapper) -lpthread"
[ -f "$abs_top_builddir/src/pool/.libs/libpool.a" ] || make -s -C "$abs_top_builddir" all >&2
exec "$(dirname "$0")/run.sh" control control/control{,-handshake,-listener,-socket,-stream}.c \
  service/process/control-server.c pool/remote/wire.c \
  pool/{change,guest,layout,plan,plan-work,pool,rules,snapshots}.c settings/settings.c \
  lvm/model/{allocate,header,lv,pool-choose,status,text,text-parse,uuid,vg,vg-change,words}.c \
  util/{crc,error,io,name,proc,size}.c ../tests/unit/fake-pool.c \
  "$abs_top_builddir/src/control/control-info.c"
