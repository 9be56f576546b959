#!/bin/bash
# Hostile images, manifests and archives of backups under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=8192" FUZZ_CFLAGS="$(pkg-config --cflags json-glib-1.0)"
export FUZZ_LIBS="$(pkg-config --libs json-glib-1.0) -ldl"
exec "$(dirname "$0")/run.sh" backup backup/{file,image,manifest,sha256,sum,tar}.c \
  cli/json.c image/interrupt.c util/{error,io,io-file,io-tail,library,name,proc,size,worker}.c
