/* virt-thin - libnbd, loaded by who needs it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * It brings a TLS library along: see library.h. Thread-safety: main thread only.
 */
#pragma once

#include <libnbd.h>

#include "util/library.h"

#define LIBNBD_CLIENT_FUNCTIONS(F)                                                                 \
  F(nbd_add_meta_context)                                                                          \
  F(nbd_aio_block_status)                                                                          \
  F(nbd_aio_command_completed)                                                                     \
  F(nbd_aio_connect_socket)                                                                        \
  F(nbd_aio_is_connecting)                                                                         \
  F(nbd_aio_is_ready)                                                                              \
  F(nbd_aio_pread)                                                                                 \
  F(nbd_can_meta_context)                                                                          \
  F(nbd_close)                                                                                     \
  F(nbd_create)                                                                                    \
  F(nbd_get_errno)                                                                                 \
  F(nbd_get_error)                                                                                 \
  F(nbd_get_size)                                                                                  \
  F(nbd_poll)

typedef struct {
  LIBNBD_CLIENT_FUNCTIONS(VT_LIBRARY_POINTER)
} LibnbdClient;

/* Stays loaded. Error: ENOENT, it cannot be loaded or lacks a function. */
const LibnbdClient *libnbd_client(GError **error);
