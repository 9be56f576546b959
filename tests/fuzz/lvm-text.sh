#!/bin/bash
# Hostile metadata text under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=16384 -only_ascii=0
  -dict=${abs_top_srcdir:?}/tests/fuzz/lvm-text.dict"
exec "$(dirname "$0")/run.sh" lvm-text \
  lvm/model/{allocate,header,lv,pool-choose,status,text,text-parse,uuid,vg,vg-change,words}.c \
  util/{error,name,size}.c
