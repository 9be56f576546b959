/* virt-thin - a socket as GDBus reads it: no message is longer than it may be
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What GDBus asks of a stream is reading and writing asynchronously. GFilterInputStream and
 * GFilterOutputStream do that in threads, of which peers that neither write nor read would take all
 * there are: so it is passed on. A message's length: D-Bus specification, "Message Format".
 */
#include "config.h"

#include <string.h>

#include "control/control-stream.h"

#define HEADER 16 /* as far as it says how long the message is */

/* --- reading --- */

#define CONTROL_TYPE_INPUT (control_input_get_type())
G_DECLARE_FINAL_TYPE(ControlInput, control_input, CONTROL, INPUT, GFilterInputStream)

struct _ControlInput {
  GFilterInputStream parent;
  guint32 max;
  guint8 header[HEADER];
  guint n_header;
  guint64 left; /* of the message whose header is known */
};
G_DEFINE_TYPE(ControlInput, control_input, G_TYPE_FILTER_INPUT_STREAM)

static guint32 header_number(const ControlInput *in, guint at)
{
  guint32 number;

  memcpy(&number, in->header + at, sizeof number);
  return *in->header == 'B' ? GUINT32_FROM_BE(number) : GUINT32_FROM_LE(number);
}

/* The header is there: is the message short enough? */
static gboolean begin_message(ControlInput *in, GError **error)
{
  guint64 fields = header_number(in, 12), body = header_number(in, 4);

  in->left = (fields + 7) / 8 * 8 + body;
  in->n_header = 0;
  if ((*in->header == 'l' || *in->header == 'B') && in->left <= in->max - HEADER)
    return TRUE;
  g_set_error(error, G_IO_ERROR, G_IO_ERROR_MESSAGE_TOO_LARGE, "a message of more than %u bytes",
              in->max);
  return FALSE;
}

static gboolean note_bytes(ControlInput *in, const guint8 *data, gsize n, GError **error)
{
  while (n) {
    gsize some = MIN(n, in->left ? in->left : HEADER - in->n_header);

    if (in->left) {
      in->left -= some;
    } else {
      memcpy(in->header + in->n_header, data, some);
      in->n_header += (guint)some;
      if (in->n_header == HEADER && !begin_message(in, error))
        return FALSE;
    }
    data += some;
    n -= some;
  }
  return TRUE;
}

static void on_read(GObject *base, GAsyncResult *result, gpointer data)
{
  g_autoptr(GTask) task = data;
  GError *error = NULL;
  gssize n = g_input_stream_read_finish(G_INPUT_STREAM(base), result, &error);

  if (n > 0)
    note_bytes(g_task_get_source_object(task), g_task_get_task_data(task), (gsize)n, &error);
  if (error)
    g_task_return_error(task, error);
  else
    g_task_return_int(task, n);
}

static void input_read_async(GInputStream *stream, void *buffer, gsize count, int priority,
                             GCancellable *cancellable, GAsyncReadyCallback callback,
                             gpointer user_data)
{
  GTask *task = g_task_new(stream, cancellable, callback, user_data);

  g_task_set_task_data(task, buffer, NULL);
  g_input_stream_read_async(g_filter_input_stream_get_base_stream(G_FILTER_INPUT_STREAM(stream)),
                            buffer, count, priority, cancellable, on_read, task);
}

static gssize input_read_finish(GInputStream *stream, GAsyncResult *result, GError **error)
{
  return g_task_propagate_int(G_TASK(result), error);
}

static void control_input_class_init(ControlInputClass *class)
{
  GInputStreamClass *stream = G_INPUT_STREAM_CLASS(class);

  stream->read_async = input_read_async;
  stream->read_finish = input_read_finish;
}

static void control_input_init(ControlInput *in)
{
}

/* --- writing --- */

#define CONTROL_TYPE_OUTPUT (control_output_get_type())
G_DECLARE_FINAL_TYPE(ControlOutput, control_output, CONTROL, OUTPUT, GFilterOutputStream)

struct _ControlOutput {
  GFilterOutputStream parent;
};
G_DEFINE_TYPE(ControlOutput, control_output, G_TYPE_FILTER_OUTPUT_STREAM)

static void on_written(GObject *base, GAsyncResult *result, gpointer data)
{
  g_autoptr(GTask) task = data;
  GError *error = NULL;
  gssize n = g_output_stream_write_finish(G_OUTPUT_STREAM(base), result, &error);

  if (error)
    g_task_return_error(task, error);
  else
    g_task_return_int(task, n);
}

static void output_write_async(GOutputStream *stream, const void *buffer, gsize count, int priority,
                               GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_output_stream_write_async(
      g_filter_output_stream_get_base_stream(G_FILTER_OUTPUT_STREAM(stream)), buffer, count,
      priority, cancellable, on_written, g_task_new(stream, cancellable, callback, user_data));
}

static gssize output_write_finish(GOutputStream *stream, GAsyncResult *result, GError **error)
{
  return g_task_propagate_int(G_TASK(result), error);
}

/* Nothing is held back. */
static void output_flush_async(GOutputStream *stream, int priority, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new(stream, cancellable, callback, user_data);

  g_task_return_boolean(task, TRUE);
}

static gboolean output_flush_finish(GOutputStream *stream, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

static void control_output_class_init(ControlOutputClass *class)
{
  GOutputStreamClass *stream = G_OUTPUT_STREAM_CLASS(class);

  stream->write_async = output_write_async;
  stream->write_finish = output_write_finish;
  stream->flush_async = output_flush_async;
  stream->flush_finish = output_flush_finish;
}

static void control_output_init(ControlOutput *out)
{
}

/* --- both --- */

#define CONTROL_TYPE_STREAM (control_stream_get_type())
G_DECLARE_FINAL_TYPE(ControlStream, control_stream, CONTROL, STREAM, GIOStream)

struct _ControlStream {
  GIOStream parent;
  GSocketConnection *connection;
  ControlInput *in;
  ControlOutput *out;
};
G_DEFINE_TYPE(ControlStream, control_stream, G_TYPE_IO_STREAM)

static GInputStream *stream_input(GIOStream *stream)
{
  return G_INPUT_STREAM(CONTROL_STREAM(stream)->in);
}

static GOutputStream *stream_output(GIOStream *stream)
{
  return G_OUTPUT_STREAM(CONTROL_STREAM(stream)->out);
}

/* The socket goes at once, whatever is under way on it. */
static gboolean stream_close(GIOStream *stream, GCancellable *cancellable, GError **error)
{
  return g_socket_close(control_stream_socket(stream), error);
}

static void stream_close_async(GIOStream *stream, int priority, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data)
{
  g_autoptr(GTask) task = g_task_new(stream, cancellable, callback, user_data);
  GError *error = NULL;

  if (stream_close(stream, cancellable, &error))
    g_task_return_boolean(task, TRUE);
  else
    g_task_return_error(task, error);
}

static gboolean stream_close_finish(GIOStream *stream, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean(G_TASK(result), error);
}

static void stream_finalize(GObject *object)
{
  ControlStream *stream = CONTROL_STREAM(object);

  g_clear_object(&stream->in);
  g_clear_object(&stream->out);
  g_clear_object(&stream->connection);
  G_OBJECT_CLASS(control_stream_parent_class)->finalize(object);
}

static void control_stream_class_init(ControlStreamClass *class)
{
  GIOStreamClass *stream = G_IO_STREAM_CLASS(class);

  stream->get_input_stream = stream_input;
  stream->get_output_stream = stream_output;
  stream->close_fn = stream_close;
  stream->close_async = stream_close_async;
  stream->close_finish = stream_close_finish;
  G_OBJECT_CLASS(class)->finalize = stream_finalize;
}

static void control_stream_init(ControlStream *stream)
{
}

GIOStream *control_stream_new(GSocketConnection *connection, guint32 max)
{
  ControlStream *stream = g_object_new(CONTROL_TYPE_STREAM, NULL);
  GIOStream *socket = G_IO_STREAM(connection);

  stream->connection = g_object_ref(connection);
  stream->in =
      g_object_new(CONTROL_TYPE_INPUT, "base-stream", g_io_stream_get_input_stream(socket), NULL);
  stream->in->max = max;
  stream->out =
      g_object_new(CONTROL_TYPE_OUTPUT, "base-stream", g_io_stream_get_output_stream(socket), NULL);
  return G_IO_STREAM(stream);
}

GSocket *control_stream_socket(GIOStream *stream)
{
  return g_socket_connection_get_socket(CONTROL_STREAM(stream)->connection);
}
