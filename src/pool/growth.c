/* virt-thin - how fast thin pools fill: what was in use when, kept in a file
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/growth.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/files.h"

#define HOUR 3600
#define DAY (24 * HOUR)
#define SPACING 300  /* between samples */
#define SHORTEST 600 /* less says nothing */
#define UUID_MAX 63

typedef struct {
  char uuid[UUID_MAX + 1];
  gint64 time;
  guint64 used, metadata_used;
} Sample;

struct PoolHistory {
  GArray *samples; /* of Sample, the oldest first */
  gboolean changed;
};

PoolHistory *pool_history_load(const char *path)
{
  PoolHistory *history = g_new0(PoolHistory, 1);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  history->samples = g_array_new(FALSE, FALSE, sizeof(Sample));
  if (!g_file_get_contents(path, &text, NULL, NULL))
    return history;
  lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line; line++) {
    Sample sample;

    if (sscanf(*line, "%63s %" SCNd64 " %" SCNu64 " %" SCNu64, sample.uuid, &sample.time,
               &sample.used, &sample.metadata_used) == 4)
      g_array_append_val(history->samples, sample);
  }
  return history;
}

void pool_history_free(PoolHistory *history)
{
  g_array_unref(history->samples);
  g_free(history);
}

static Sample *sample_at(const PoolHistory *history, guint i)
{
  return &g_array_index(history->samples, Sample, i);
}

void pool_history_add(PoolHistory *history, const PoolInfo *info, gint64 now)
{
  Sample sample = {.time = now, .used = info->used, .metadata_used = info->metadata_used};

  if (info->used == G_MAXUINT64 || info->metadata_used == G_MAXUINT64)
    return;
  for (guint i = history->samples->len; i-- > 0;)
    if (sample_at(history, i)->time > now || sample_at(history, i)->time < now - DAY - SPACING)
      g_array_remove_index(history->samples, i);
  for (guint i = 0; i < history->samples->len; i++)
    if (strcmp(sample_at(history, i)->uuid, info->uuid) == 0 &&
        sample_at(history, i)->time > now - SPACING)
      return;
  g_strlcpy(sample.uuid, info->uuid, sizeof sample.uuid);
  g_array_append_val(history->samples, sample);
  history->changed = TRUE;
}

gboolean pool_history_save(PoolHistory *history, const char *path, GError **error)
{
  g_autoptr(GString) text = g_string_new(NULL);

  if (!history->changed)
    return TRUE;
  for (guint i = 0; i < history->samples->len; i++) {
    const Sample *sample = sample_at(history, i);

    g_string_append_printf(text,
                           "%s %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
                           sample->uuid, sample->time, sample->used, sample->metadata_used);
  }
  if (!files_write(path, text->str, -1, 0644, error))
    return FALSE;
  history->changed = FALSE;
  return TRUE;
}

/* Bytes an hour since the oldest sample of the last @span seconds. */
static double growth_since(const PoolHistory *history, const PoolInfo *info, gboolean metadata,
                           gint64 now, gint64 span)
{
  guint64 used = metadata ? info->metadata_used : info->used;

  if (used == G_MAXUINT64)
    return NAN;
  for (guint i = 0; i < history->samples->len; i++) {
    const Sample *sample = sample_at(history, i);
    guint64 then = metadata ? sample->metadata_used : sample->used;

    if (strcmp(sample->uuid, info->uuid) == 0 && sample->time >= now - span - SPACING &&
        sample->time <= now - SHORTEST)
      return ((double)used - (double)then) * HOUR / (double)(now - sample->time);
  }
  return NAN;
}

PoolGrowth pool_history_growth(const PoolHistory *history, const PoolInfo *info, gboolean metadata,
                               gint64 now)
{
  PoolGrowth growth = {growth_since(history, info, metadata, now, HOUR),
                       growth_since(history, info, metadata, now, DAY), NAN};
  guint64 size = metadata ? info->metadata_size : MAX(info->size, info->max_size),
          used = metadata ? info->metadata_used : info->used;
  double faster = fmax(growth.hour, growth.day); /* of a NAN and a number the number */

  if (isnan(faster))
    return growth;
  growth.full_in =
      faster > 0 ? ((double)size - (double)MIN(used, size)) * HOUR / faster : (double)INFINITY;
  return growth;
}
