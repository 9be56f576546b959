/* virt-thin - one error convention for every layer
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/error.h"

#include <gio/gio.h>

/* The name is no expression: */
/* clang-format off */
G_DEFINE_QUARK(virt-thin-error, vt_error)
/* clang-format on */

gboolean vt_set_errno(GError **error, int err, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *message = g_strdup_vprintf(format, args);
  va_end(args);
  g_set_error(error, VT_ERROR, err == EDQUOT || err == EFBIG ? ENOSPC : err, "%s: %s", message,
              g_strerror(err));
  return FALSE;
}

gboolean vt_set_error(GError **error, int err, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *message = g_strdup_vprintf(format, args);
  va_end(args);
  g_set_error_literal(error, VT_ERROR, err, message);
  return FALSE;
}

int vt_error_to_errno(const GError *error)
{
  if (error->domain == VT_ERROR && error->code > 0)
    return error->code;
  if (error->domain == G_IO_ERROR)
    switch (error->code) {
    case G_IO_ERROR_NOT_FOUND: return ENOENT;
    case G_IO_ERROR_EXISTS: return EEXIST;
    case G_IO_ERROR_NO_SPACE: return ENOSPC;
    case G_IO_ERROR_PERMISSION_DENIED: return EACCES;
    case G_IO_ERROR_BUSY: return EBUSY;
    case G_IO_ERROR_TIMED_OUT: return ETIMEDOUT;
    case G_IO_ERROR_INVALID_ARGUMENT: return EINVAL;
    }
  if (error->domain == G_FILE_ERROR)
    switch (error->code) {
    case G_FILE_ERROR_NOENT: return ENOENT;
    case G_FILE_ERROR_EXIST: return EEXIST;
    case G_FILE_ERROR_NOSPC: return ENOSPC;
    case G_FILE_ERROR_ACCES: return EACCES;
    case G_FILE_ERROR_PERM: return EPERM;
    case G_FILE_ERROR_ROFS: return EROFS;
    }
  return EIO;
}

gboolean vt_error_is_room(const GError *error)
{
  return error && vt_error_to_errno(error) == ENOSPC;
}
