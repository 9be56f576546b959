#!/bin/bash
# Any storage.cfg under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=4096 -dict=${abs_top_srcdir:?}/tests/fuzz/storagecfg.dict"
exec "$(dirname "$0")/run.sh" storagecfg storagecfg/{schema,formats,value,parse,edit}.c util/error.c
