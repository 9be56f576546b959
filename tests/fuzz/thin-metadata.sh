#!/bin/bash
# Damaged thin metadata under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=512"
exec "$(dirname "$0")/run.sh" thin-metadata thin/format/{block,count-new,delta,usage,walk}.c \
  thin/metadata/{block-cache,transaction,btree,btree-insert,btree-remove}.c \
  thin/metadata/space-map-{metadata,data}.c \
  thin/metadata/metadata{,-devices,-maps}.c \
  thin/metadata/{check,check-walk,check-counts,check-quick,mend-leaks}.c \
  thin/rebuild/roots{,-commits,-describe,-pairs,-scan}.c \
  thin/rebuild/{build,build-blocks,build-counts,build-space,build-tree,rebuild,rebuild-maps}.c \
  util/{crc,error,io}.c
