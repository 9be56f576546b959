/* virt-thin - replicas: a domain's UEFI variables, which are a file and not in its document
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/nvram.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "apply/domain-xml.h"
#include "util/files.h"

/* All of regular file @path. NULL: @error, ENOENT if it is not there. */
static char *read_file(const char *path, gsize *length, GError **error)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  g_autofree char *data = NULL;
  struct stat st;
  gssize n = -1;

  if (fd < 0 || fstat(fd, &st) < 0)
    vt_set_errno(error, errno, "%s", path);
  else if (!S_ISREG(st.st_mode) || st.st_size > NVRAM_MAX_SIZE)
    vt_set_error(error, EFBIG, "%s is no file of at most %d MiB", path, NVRAM_MAX_SIZE >> 20);
  else {
    data = g_malloc((gsize)st.st_size + 1);
    n = pread(fd, data, (gsize)st.st_size, 0);
    if (n != st.st_size)
      vt_set_errno(error, n < 0 ? errno : EIO, "reading %s", path);
  }
  if (fd >= 0)
    close(fd);
  if (!data || n != st.st_size)
    return NULL;
  *length = (gsize)n;
  return g_steal_pointer(&data);
}

char *nvram_pack(const char *document, GError **error)
{
  g_autofree char *path = apply_domain_nvram(document), *data = NULL, *text = NULL;
  g_autofree Bytef *packed = NULL;
  gsize length;
  uLongf n;

  if (!path)
    return g_strdup("");
  if (!(data = read_file(path, &length, error)))
    return NULL;
  n = compressBound(length);
  packed = g_malloc(n);
  if (compress(packed, &n, (const Bytef *)data, length) != Z_OK) {
    vt_set_error(error, EIO, "%s cannot be packed", path);
    return NULL;
  }
  text = g_base64_encode(packed, n);
  return g_strdup_printf("%" G_GSIZE_FORMAT ":%s", length, text);
}

/* NULL: @packed is none. */
static char *unpack(const char *packed, gsize *length)
{
  char *end;
  guint64 size = g_ascii_strtoull(packed, &end, 10);
  g_autofree Bytef *bytes = NULL;
  g_autofree char *data = NULL;
  uLongf n = (uLongf)size;
  gsize n_bytes;

  if (!g_ascii_isdigit(*packed) || *end != ':' || size > NVRAM_MAX_SIZE)
    return NULL;
  bytes = g_base64_decode(end + 1, &n_bytes);
  data = g_malloc((gsize)size + 1);
  if (uncompress((Bytef *)data, &n, bytes, n_bytes) != Z_OK || n != size)
    return NULL;
  *length = (gsize)size;
  return g_steal_pointer(&data);
}

static gboolean write_file(const char *path, const char *data, gsize length, GError **error)
{
  g_autofree char *folder = g_path_get_dirname(path);

  return files_make_folder(folder, error) && files_write(path, data, (gssize)length, 0600, error);
}

gboolean nvram_put(const char *document, const char *packed, gboolean dry_run, NvramPut *put,
                   char **path, GError **error)
{
  g_autofree char *data = NULL, *here = NULL;
  g_autoptr(GError) local = NULL;
  gsize length, n;

  *put = NVRAM_NONE;
  *path = packed && *packed ? apply_domain_nvram(document) : NULL;
  if (!*path)
    return TRUE;
  if (!(data = unpack(packed, &length)))
    return vt_set_error(error, EBADMSG, "the UEFI variables that travelled along are damaged");
  here = read_file(*path, &n, &local);
  if (here || !g_error_matches(local, VT_ERROR, ENOENT)) {
    *put = here && n == length && memcmp(here, data, n) == 0 ? NVRAM_SAME : NVRAM_OTHER;
    return TRUE;
  }
  *put = NVRAM_WRITTEN;
  return dry_run || write_file(*path, data, length, error);
}
