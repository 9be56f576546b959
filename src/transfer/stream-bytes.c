/* virt-thin - a stream of volumes: its bytes, compressed with zstd or not
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zstd.h>

#include "image/interrupt.h"
#include "transfer/stream-private.h"

/* --- out --- */

struct StreamOutput {
  int fd;
  char *name;
  guint64 sent;
  ZSTD_CCtx *zstd; /* NULL: not compressed */
  char *buffer;
  gsize buffer_size;
};

StreamOutput *stream_output_new(int fd, const char *name, gboolean zstd, GError **error)
{
  StreamOutput *output = g_new0(StreamOutput, 1);

  output->fd = fd;
  output->name = g_strdup(name);
  if (!zstd)
    return output;
  output->zstd = ZSTD_createCCtx();
  if (!output->zstd) {
    vt_set_error(error, ENOMEM, "writing %s: no memory to compress it", name);
    stream_output_free(output);
    return NULL;
  }
  ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_checksumFlag, 1);
  /* A library built without threads refuses this, and does all in ours. */
  ZSTD_CCtx_setParameter(output->zstd, ZSTD_c_nbWorkers, (int)MIN(g_get_num_processors(), 4));
  output->buffer_size = ZSTD_CStreamOutSize();
  output->buffer = g_malloc(output->buffer_size);
  return output;
}

void stream_output_free(StreamOutput *output)
{
  if (!output)
    return;
  ZSTD_freeCCtx(output->zstd);
  g_free(output->buffer);
  g_free(output->name);
  g_free(output);
}

static gboolean write_all(StreamOutput *output, struct iovec *iov, int n, GError **error)
{
  while (n > 0) {
    ssize_t done = writev(output->fd, iov, n);

    if (done < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "writing %s", output->name);
    if (!image_check_interrupt(error))
      return FALSE;
    output->sent += (guint64)MAX(done, 0);
    for (gsize left = (gsize)MAX(done, 0); n > 0; iov++, n--) {
      gsize part = MIN(left, iov->iov_len);

      iov->iov_base = (char *)iov->iov_base + part;
      iov->iov_len -= part;
      left -= part;
      if (iov->iov_len > 0)
        break;
    }
  }
  return TRUE;
}

static gboolean compress_bytes(StreamOutput *output, const void *data, gsize length,
                               ZSTD_EndDirective how, GError **error)
{
  ZSTD_inBuffer in = {data, length, 0};
  size_t left;

  do {
    ZSTD_outBuffer out = {output->buffer, output->buffer_size, 0};
    struct iovec iov;

    left = ZSTD_compressStream2(output->zstd, &out, &in, how);
    if (ZSTD_isError(left))
      return vt_set_error(error, EIO, "compressing %s: %s", output->name, ZSTD_getErrorName(left));
    iov = (struct iovec){output->buffer, out.pos};
    if (!write_all(output, &iov, 1, error))
      return FALSE;
  } while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
  return TRUE;
}

gboolean stream_output_write(StreamOutput *output, const void *head, gsize head_length,
                             const void *data, gsize length, GError **error)
{
  struct iovec iov[] = {{(gpointer)head, head_length}, {(gpointer)data, length}};

  if (!output->zstd)
    return write_all(output, iov, G_N_ELEMENTS(iov), error);
  return compress_bytes(output, head, head_length, ZSTD_e_continue, error) &&
         compress_bytes(output, data, length, ZSTD_e_continue, error);
}

gboolean stream_output_end(StreamOutput *output, GError **error)
{
  return !output->zstd || compress_bytes(output, NULL, 0, ZSTD_e_end, error);
}

guint64 stream_output_sent(const StreamOutput *output)
{
  return output->sent;
}

/* --- in --- */

struct StreamInput {
  int fd;
  char *name;
  gboolean began, ended;
  ZSTD_DCtx *zstd; /* NULL: not compressed */
  size_t missing;  /* of what is compressed; 0: it may end here */
  char *buffer;
  gsize buffer_size, from, to; /* read, not yet used */
};

StreamInput *stream_input_new(int fd, const char *name)
{
  StreamInput *input = g_new0(StreamInput, 1);

  input->fd = fd;
  input->name = g_strdup(name);
  input->buffer_size = ZSTD_DStreamInSize();
  input->buffer = g_malloc(input->buffer_size);
  return input;
}

void stream_input_free(StreamInput *input)
{
  if (!input)
    return;
  ZSTD_freeDCtx(input->zstd);
  g_free(input->buffer);
  g_free(input->name);
  g_free(input);
}

const char *stream_input_name(const StreamInput *input)
{
  return input->name;
}

/* *got 0: the end. */
static gboolean read_some(StreamInput *input, void *buffer, gsize length, gsize *got,
                          GError **error)
{
  ssize_t n;

  do {
    if (!image_check_interrupt(error))
      return FALSE;
    n = input->ended ? 0 : read(input->fd, buffer, length);
  } while (n < 0 && errno == EINTR);
  input->ended = n == 0;
  *got = (gsize)MAX(n, 0);
  return n >= 0 || vt_set_errno(error, errno, "reading %s", input->name);
}

/* More of what is compressed, or of the beginning. */
static gboolean fill(StreamInput *input, GError **error)
{
  gsize got;

  if (input->from == input->to)
    input->from = input->to = 0;
  if (!read_some(input, input->buffer + input->to, input->buffer_size - input->to, &got, error))
    return FALSE;
  input->to += got;
  return TRUE;
}

static gboolean begin(StreamInput *input, GError **error)
{
  guint32 magic = 0;

  while (input->to < sizeof magic && !input->ended)
    if (!fill(input, error))
      return FALSE;
  input->began = TRUE;
  if (input->to < sizeof magic)
    return TRUE;
  memcpy(&magic, input->buffer, sizeof magic);
  if (GUINT32_FROM_LE(magic) != STREAM_ZSTD_MAGIC)
    return TRUE;
  input->zstd = ZSTD_createDCtx();
  return input->zstd ||
         vt_set_error(error, ENOMEM, "reading %s: no memory to decompress it", input->name);
}

/* What is not full has all that came of the input so far. */
static gboolean decompress(StreamInput *input, char *buffer, gsize length, gsize *got,
                           GError **error)
{
  ZSTD_outBuffer out = {buffer, length, 0};

  for (;;) {
    ZSTD_inBuffer in = {input->buffer + input->from, input->to - input->from, 0};
    size_t result = ZSTD_decompressStream(input->zstd, &out, &in);

    input->from += in.pos;
    if (in.size > 0)
      input->missing = result;
    *got = out.pos;
    if (ZSTD_isError(result))
      return vt_set_error(error, EBADMSG, "%s is damaged: it cannot be decompressed: %s",
                          input->name, ZSTD_getErrorName(result));
    if (out.pos == length)
      return TRUE;
    if (input->from == input->to && !fill(input, error))
      return FALSE;
    if (input->from == input->to)
      return input->missing == 0 || out.pos > 0 ||
             vt_set_error(error, EBADMSG, "%s ends in the middle: it was cut", input->name);
  }
}

gboolean stream_input_read(StreamInput *input, void *buffer, gsize length, gsize *got,
                           GError **error)
{
  gsize part;

  if (!input->began && !begin(input, error))
    return FALSE;
  if (input->zstd)
    return decompress(input, buffer, length, got, error);
  *got = MIN(length, input->to - input->from);
  memcpy(buffer, input->buffer + input->from, *got);
  input->from += *got;
  for (; *got < length; *got += part) {
    if (!read_some(input, (char *)buffer + *got, length - *got, &part, error))
      return FALSE;
    if (part == 0)
      break;
  }
  return TRUE;
}
