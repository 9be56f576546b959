#!/bin/bash
# Hostile streams of volumes under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=65536" FUZZ_LIBS="$(pkg-config --libs libzstd)"
exec "$(dirname "$0")/run.sh" stream transfer/stream-{bytes,read,volume,write}.c \
  image/interrupt.c util/{crc,error,name}.c
