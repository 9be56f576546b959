/* virt-thin - the lines of OpenMetrics 1.0 text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Thread-safety: pure functions.
 */
#pragma once

#include <glib.h>

typedef struct {
  const char *name; /* its unit, if it has one, at the end */
  const char *type; /* "gauge", "histogram", "summary" */
  const char *help; /* a sentence */
} LinesFamily;

/* vg="pve",pool="data": names and values, NULL at the end. The caller's. */
char *lines_labels(const char *name, ...) G_GNUC_NULL_TERMINATED;
/* A sample of family @name; @suffix: "", "_count"... NAN: none. */
void lines_sample(GString *out, const char *name, const char *suffix, const char *labels,
                  double value);
/* The header of @family, before its samples, which were added from @begin on; none: nothing. */
void lines_end_family(GString *out, gsize begin, const LinesFamily *family);
