#!/bin/bash
# Hostile NBD clients under a fuzzer. See run.sh.
# SPDX-License-Identifier: LGPL-2.1-or-later
export FUZZ_OPTIONS="-max_len=4096" FUZZ_LIBS="$(pkg-config --libs gio-unix-2.0) -lpthread"
exec "$(dirname "$0")/run.sh" nbd \
  service/nbd/{connection,context,dirty,handshake,memory,nbd-server,request}.c \
  control/control-socket.c pool/{pool,snapshots}.c util/{error,io,latency,proc,size}.c \
  ../tests/unit/memory-pool.c
