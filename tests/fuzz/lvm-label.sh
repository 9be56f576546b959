#!/bin/bash
# Hostile labels, metadata headers and rings under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=4096" FUZZ_CFLAGS="$(pkg-config --cflags blkid devmapper)"
export FUZZ_LIBS="$(pkg-config --libs blkid devmapper)"
exec "$(dirname "$0")/run.sh" lvm-label \
  lvm/{archive,content,devmapper,label,lv-io,lvm-conf,metadata-area}.c \
  lvm/{ownership,probe,store,store-create}.c \
  lvm/model/{allocate,header,lv,pool-choose,status,text,text-parse,uuid,words}.c \
  lvm/model/vg{,-change,-like,-references}.c \
  util/{crc,error,image-format,io,io-file,io-tail,name,proc,size}.c
