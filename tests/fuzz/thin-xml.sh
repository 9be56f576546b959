#!/bin/bash
# Any XML of a thin pool's metadata under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=4096 -dict=${abs_top_srcdir:?}/tests/fuzz/thin-xml.dict"
exec "$(dirname "$0")/run.sh" thin-xml thin/format/{block,delta,dump,walk,count-new}.c \
  thin/rebuild/{build,build-blocks,build-counts,build-space,build-tree}.c \
  thin/rebuild/{rebuild,rebuild-maps,xml}.c \
  thin/metadata/{block-cache,transaction,btree,btree-insert,btree-remove}.c \
  thin/metadata/space-map-{metadata,data}.c \
  thin/metadata/metadata{,-devices,-maps}.c \
  thin/metadata/{check,check-walk,check-counts,check-quick,mend-leaks}.c \
  util/{crc,error,io,io-file,io-tail,proc}.c
