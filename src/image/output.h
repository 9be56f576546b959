/* virt-thin - where a command writes a raw image to: a file, a device, or standard output
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Errors: VT_ERROR; CLI_USAGE for what cannot be asked for. Thread-safety: main thread only.
 */
#pragma once

#include "image/copy.h"

typedef struct {
  const char *path; /* the caller's; NULL: standard output */
  const char *name; /* for messages */
  int fd;           /* -1: not open */
  ImageTarget target;
  gboolean created; /* by us: goes again when the command fails */
} ImageOutput;

/* @argument as a command has it: a path (image_open_output()), or "-". */
gboolean image_output_open(ImageOutput *output, const char *argument, GError **error);
/* Not @keep: it is of no use, and what has been made for it goes. */
gboolean image_output_close(ImageOutput *output, gboolean keep, GError **error);
