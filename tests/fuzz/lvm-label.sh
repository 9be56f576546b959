#!/bin/bash
# Hostile labels, metadata headers and rings under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=4096" FUZZ_CFLAGS="$(pkg-config --cflags blkid devmapper)"
export FUZZ_LIBS="$(pkg-config --libs blkid devmapper)"
exec "$(dirname "$0")/run.sh" lvm-label \
  lvm/{allocate,archive,content,devmapper,header,label,lv,lv-io,lvm-conf,metadata-area}.c \
  lvm/{names,ownership,pool-choose,probe,status,store,store-create}.c \
  lvm/{text,text-parse,vg,vg-change}.c util/{crc,error,image-format,io,io-file}.c
