/* virt-thin - libraries that are loaded by who needs them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * For those that bring many others along. Linked, they would be most of the time that any command,
 * and each process of a service, needs to start. Thread-safety: main thread only.
 */
#pragma once

#include "util/error.h"

typedef struct {
  const char *file, *name, *package; /* of the dynamic linker, for messages, Debian's */
  const char *oldest;                /* which has all of @functions */
  const char *const *functions;      /* NULL-terminated */
  gboolean loaded;
} VtLibrary;

/* Of a list F(function) F(function) …: a table of pointers, and @functions. */
#define VT_LIBRARY_POINTER(function) __typeof__(function) *function;
#define VT_LIBRARY_NAME(function) #function,

/* Fill @table, which has a pointer for each of @functions; once, as the library stays loaded.
 * Error: ENOENT, it cannot be loaded or lacks a function. */
gboolean vt_library_load(VtLibrary *library, gpointer table, GError **error);
