/* virt-thin - where a command writes a raw image to: a file, a device, or standard output
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "image/output.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* Standard output that was redirected to a file can have holes, too. */
static ImageTarget kind_of(int fd)
{
  struct stat st;

  if (fstat(fd, &st) < 0)
    return IMAGE_DENSE;
  if (S_ISBLK(st.st_mode))
    return IMAGE_DEVICE;
  return S_ISREG(st.st_mode) && !(fcntl(fd, F_GETFL) & O_APPEND) &&
                 lseek(fd, 0, SEEK_CUR) == st.st_size
             ? IMAGE_SPARSE
             : IMAGE_DENSE;
}

static gboolean open_standard_output(ImageOutput *output, GError **error)
{
  output->name = "standard output";
  if (isatty(STDOUT_FILENO))
    return cli_usage(error, "a disk image is nothing for a terminal: redirect standard output");
  output->fd = dup(STDOUT_FILENO);
  return output->fd >= 0 || vt_set_errno(error, errno, "%s", output->name);
}

gboolean image_output_open(ImageOutput *output, const char *argument, GError **error)
{
  *output = (ImageOutput){.fd = -1};
  if (strcmp(argument, "-") == 0) {
    if (!open_standard_output(output, error))
      return FALSE;
  } else {
    output->path = output->name = argument;
    output->fd = image_open_output(argument, TRUE, &output->created, error);
    if (output->fd < 0)
      return FALSE;
  }
  output->target = kind_of(output->fd);
  return TRUE;
}

gboolean image_output_close(ImageOutput *output, gboolean keep, GError **error)
{
  gboolean ok = TRUE;

  if (output->fd >= 0 && close(output->fd) < 0)
    ok = vt_set_errno(keep ? error : NULL, errno, "writing %s", output->name);
  if (output->created && (!keep || !ok))
    unlink(output->path);
  return ok;
}
