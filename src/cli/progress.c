/* virt-thin - a bar or a clock on a terminal's standard error
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/progress.h"
#include "util/size.h"

#define BAR_WIDTH 30
#define UPDATE_US (100 * G_TIME_SPAN_MILLISECOND)
#define CLEAR_LINE "\r\033[K"

struct CliProgress {
  char *name;
  guint64 total;
  gint64 began, shown;
  gboolean terminal;
};

char *cli_bar(guint64 part, guint64 total)
{
  double share = total ? (double)MIN(part, total) / (double)total : 0;
  char *bar = g_strnfill(BAR_WIDTH, part == G_MAXUINT64 ? '?' : '.');

  if (part != G_MAXUINT64)
    memset(bar, '#', (gsize)(share * BAR_WIDTH));
  return bar;
}

CliProgress *cli_progress_new(guint64 total, const char *format, ...)
{
  CliProgress *progress = g_new0(CliProgress, 1);
  va_list args;

  va_start(args, format);
  progress->name = g_strdup_vprintf(format, args);
  va_end(args);
  progress->total = total;
  progress->began = g_get_monotonic_time();
  progress->terminal = isatty(STDERR_FILENO);
  return progress;
}

/* ", 12 s left", if it goes on as it went so far; of what has just begun nothing. */
static char *estimate(const CliProgress *progress, gint64 now, guint64 done)
{
  double passed = (double)(now - progress->began) / G_TIME_SPAN_SECOND,
         rest = (double)(progress->total - MIN(done, progress->total));

  if (passed < 2 || done == 0)
    return g_strdup("");
  return g_strdup_printf(", %.0f s left", passed * rest / (double)done);
}

void cli_progress_update(CliProgress *progress, guint64 done)
{
  gint64 now = g_get_monotonic_time();
  g_autofree char *at = NULL, *total = NULL, *bar = NULL, *left = NULL;

  if (!progress || !progress->terminal || now - progress->shown < UPDATE_US)
    return;
  progress->shown = now;
  at = vt_size_format(done);
  if (!progress->total) {
    fprintf(stderr, CLEAR_LINE "%s  %s  %d s", progress->name, at,
            (int)((now - progress->began) / G_TIME_SPAN_SECOND));
    return;
  }
  bar = cli_bar(done, progress->total);
  total = vt_size_format(progress->total);
  left = estimate(progress, now, done);
  fprintf(stderr, CLEAR_LINE "%s [%s] %3d%%  %s of %s%s", progress->name, bar,
          (int)((double)MIN(done, progress->total) / (double)progress->total * 100), at, total,
          left);
}

void cli_progress_free(CliProgress *progress)
{
  if (!progress)
    return;
  if (progress->shown)
    fputs(CLEAR_LINE, stderr);
  g_free(progress->name);
  g_free(progress);
}

struct CliBusy {
  char *name;
  GThread *thread; /* NULL: no terminal */
  GMutex lock;
  GCond changed;
  gboolean done;
};

static gpointer show_time(gpointer data)
{
  CliBusy *busy = data;
  gint64 began = g_get_monotonic_time();
  gboolean shown = FALSE;

  g_mutex_lock(&busy->lock);
  while (!busy->done)
    if (!g_cond_wait_until(&busy->changed, &busy->lock,
                           g_get_monotonic_time() + G_TIME_SPAN_SECOND) &&
        !busy->done) {
      fprintf(stderr, CLEAR_LINE "%s  %d s", busy->name,
              (int)((g_get_monotonic_time() - began) / G_TIME_SPAN_SECOND));
      shown = TRUE;
    }
  g_mutex_unlock(&busy->lock);
  if (shown)
    fputs(CLEAR_LINE, stderr);
  return NULL;
}

CliBusy *cli_busy_new(const char *format, ...)
{
  CliBusy *busy = g_new0(CliBusy, 1);
  va_list args;

  va_start(args, format);
  busy->name = g_strdup_vprintf(format, args);
  va_end(args);
  g_mutex_init(&busy->lock);
  g_cond_init(&busy->changed);
  if (isatty(STDERR_FILENO))
    busy->thread = g_thread_new("busy", show_time, busy);
  return busy;
}

void cli_busy_free(CliBusy *busy)
{
  if (!busy)
    return;
  g_mutex_lock(&busy->lock);
  busy->done = TRUE;
  g_cond_signal(&busy->changed);
  g_mutex_unlock(&busy->lock);
  if (busy->thread)
    g_thread_join(busy->thread);
  g_cond_clear(&busy->changed);
  g_mutex_clear(&busy->lock);
  g_free(busy->name);
  g_free(busy);
}
