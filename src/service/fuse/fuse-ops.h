/* virt-thin - what each FUSE request does
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include "service/fuse/folder.h"

/* The session's user data is the Folder. */
extern const struct fuse_lowlevel_ops fuse_ops;

/* The calling worker's: where its request lies, and an aligned buffer of SHARED_MAX_WRITE bytes for
 * reads. */
typedef struct {
  SharedRequest *request;
  void *buffer;
} FuseWorker;
extern __thread FuseWorker fuse_worker;
