/* virt-thin - metrics as OpenMetrics 1.0 text
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "metrics/text.h"

#include <math.h>
#include <string.h>

#include "metrics/lines.h"

static double number_of(guint64 n)
{
  return n == G_MAXUINT64 ? NAN : (double)n;
}

static double ratio_of(guint64 part, guint64 whole)
{
  return whole ? number_of(part) / (double)whole : NAN;
}

/* --- of volume groups --- */

typedef struct {
  LinesFamily family;
  double (*value)(const MetricsVg *vg);
} VgFamily;

static double vg_up(const MetricsVg *vg)
{
  return vg->info != NULL;
}
static double vg_served(const MetricsVg *vg)
{
  return vg->info ? vg->info->served_by != NULL : NAN;
}
static double vg_healthy(const MetricsVg *vg)
{
  return vg->info ? vg->info->health == NULL : NAN;
}
static double vg_size(const MetricsVg *vg)
{
  return vg->info ? number_of(vg->info->size) : NAN;
}
static double vg_free(const MetricsVg *vg)
{
  return vg->info ? number_of(vg->info->free) : NAN;
}

static const VgFamily vg_families[] = {
    {{"virt_thin_vg_up", "gauge", "Whether the volume group can be opened."}, vg_up},
    {{"virt_thin_vg_served", "gauge", "Whether a service of virt-thin serves it."}, vg_served},
    {{"virt_thin_vg_healthy", "gauge", "Whether nothing is wrong with its physical volumes."},
     vg_healthy},
    {{"virt_thin_vg_size_bytes", "gauge", "Size of its physical volumes."}, vg_size},
    {{"virt_thin_vg_free_bytes", "gauge", "What no logical volume has."}, vg_free},
};

static void print_vgs(GString *out, const Metrics *metrics)
{
  for (guint f = 0; f < G_N_ELEMENTS(vg_families); f++) {
    const VgFamily *family = &vg_families[f];
    gsize begin = out->len;

    for (guint i = 0; i < metrics->vgs->len; i++) {
      const MetricsVg *vg = metrics->vgs->pdata[i];
      g_autofree char *labels = lines_labels("vg", vg->name, NULL);

      lines_sample(out, family->family.name, "", labels, family->value(vg));
    }
    lines_end_family(out, begin, &family->family);
  }
}

/* --- of thin pools --- */

typedef struct {
  LinesFamily family;
  double (*value)(const MetricsPool *pool);
} PoolFamily;

static double data_size(const MetricsPool *pool)
{
  return number_of(pool->info->size);
}
static double data_used(const MetricsPool *pool)
{
  return number_of(pool->info->used);
}
static double data_ratio(const MetricsPool *pool)
{
  return ratio_of(pool->info->used, pool->info->size);
}
static double data_max(const MetricsPool *pool)
{
  return number_of(MAX(pool->info->size, pool->info->max_size));
}
static double data_growth_hour(const MetricsPool *pool)
{
  return pool->data.hour;
}
static double data_growth_day(const MetricsPool *pool)
{
  return pool->data.day;
}
static double data_full(const MetricsPool *pool)
{
  return pool->data.full_in;
}
static double metadata_size(const MetricsPool *pool)
{
  return number_of(pool->info->metadata_size);
}
static double metadata_used(const MetricsPool *pool)
{
  return number_of(pool->info->metadata_used);
}
static double metadata_ratio(const MetricsPool *pool)
{
  return ratio_of(pool->info->metadata_used, pool->info->metadata_size);
}
static double metadata_growth_hour(const MetricsPool *pool)
{
  return pool->metadata.hour;
}
static double metadata_growth_day(const MetricsPool *pool)
{
  return pool->metadata.day;
}
static double metadata_full(const MetricsPool *pool)
{
  return pool->metadata.full_in;
}
static double metadata_spare(const MetricsPool *pool)
{
  return number_of(pool->info->metadata_spare);
}
static double virtual_size(const MetricsPool *pool)
{
  return number_of(pool->info->virtual_size);
}
static double overcommit(const MetricsPool *pool)
{
  return ratio_of(pool->info->virtual_size, pool->info->size);
}
static double chunk_size(const MetricsPool *pool)
{
  return number_of(pool->info->chunk_size);
}
static double n_volumes(const MetricsPool *pool)
{
  return pool->info->n_volumes;
}
static double n_snapshots(const MetricsPool *pool)
{
  return pool->snapshots;
}
static double snapshots_exclusive(const MetricsPool *pool)
{
  return pool->usage ? number_of(pool->usage->freed) : NAN;
}
static double snapshots_left(const MetricsPool *pool)
{
  return number_of(pool->info->snapshots_left);
}
static double transaction_id(const MetricsPool *pool)
{
  return number_of(pool->info->transaction_id);
}
static double healthy(const MetricsPool *pool)
{
  return pool->info->health == NULL;
}
static double needs_check(const MetricsPool *pool)
{
  return pool->info->needs_check;
}
static double read_only(const MetricsPool *pool)
{
  return pool->in_use ? pool->info->read_only : NAN;
}
static double active(const MetricsPool *pool)
{
  return pool->in_use ? pool->info->active : 0;
}
static double watched(const MetricsPool *pool)
{
  return pool->in_use ? pool->info->unwatched == NULL : NAN;
}

#define POOL "virt_thin_pool_"
static const PoolFamily pool_families[] = {
    {{POOL "data_size_bytes", "gauge", "Size of the thin pool's data."}, data_size},
    {{POOL "data_used_bytes", "gauge", "Chunks in use, in bytes."}, data_used},
    {{POOL "data_used_ratio", "gauge", "Part of the data that is in use."}, data_ratio},
    {{POOL "data_max_bytes", "gauge", "What the data may grow to by itself."}, data_max},
    {{POOL "data_growth_bytes_per_hour", "gauge", "Growth of what is in use, over the last hour."},
     data_growth_hour},
    {{POOL "data_growth_day_bytes_per_hour", "gauge",
      "Growth of what is in use, over the last day."},
     data_growth_day},
    {{POOL "data_full_in_seconds", "gauge",
      "When no more data fits, as the faster of both goes on, and the data grows as far as it "
      "may."},
     data_full},
    {{POOL "metadata_size_bytes", "gauge", "Size of the metadata."}, metadata_size},
    {{POOL "metadata_used_bytes", "gauge", "Metadata in use."}, metadata_used},
    {{POOL "metadata_used_ratio", "gauge", "Part of the metadata that is in use."}, metadata_ratio},
    {{POOL "metadata_growth_bytes_per_hour", "gauge",
      "Growth of metadata in use, over the last hour."},
     metadata_growth_hour},
    {{POOL "metadata_growth_day_bytes_per_hour", "gauge",
      "Growth of metadata in use, over the last day."},
     metadata_growth_day},
    {{POOL "metadata_full_in_seconds", "gauge",
      "When the metadata that there is is full, as the faster of both goes on."},
     metadata_full},
    {{POOL "metadata_spare_bytes", "gauge",
      "The volume group's spare metadata, which a repair needs."},
     metadata_spare},
    {{POOL "virtual_size_bytes", "gauge", "Sizes of its volumes together."}, virtual_size},
    {{POOL "overcommit_ratio", "gauge", "Sizes of its volumes together, by the size of its data."},
     overcommit},
    {{POOL "chunk_size_bytes", "gauge", "Size of a chunk."}, chunk_size},
    {{POOL "volumes", "gauge", "Volumes, snapshots among them."}, n_volumes},
    {{POOL "snapshots", "gauge", "Snapshots."}, n_snapshots},
    {{POOL "snapshots_exclusive_bytes", "gauge",
      "What removing all of its snapshots would free (with --volumes)."},
     snapshots_exclusive},
    {{POOL "snapshots_left", "gauge",
      "For about how many more snapshots like the last the metadata has room."},
     snapshots_left},
    {{POOL "transaction_id", "gauge", "Of its metadata."}, transaction_id},
    {{POOL "healthy", "gauge", "Whether nothing is wrong with it."}, healthy},
    {{POOL "needs_check", "gauge", "Whether its metadata is marked needs_check."}, needs_check},
    {{POOL "read_only", "gauge", "Whether it takes no writes."}, read_only},
    {{POOL "active", "gauge", "Whether its volumes can be used."}, active},
    {{POOL "watched", "gauge", "Whether what shall grow it by itself is at work."}, watched},
};

static void print_pools(GString *out, const Metrics *metrics, const PoolFamily *family)
{
  gsize begin = out->len;

  for (guint i = 0; i < metrics->vgs->len; i++) {
    const MetricsVg *vg = metrics->vgs->pdata[i];

    for (guint k = 0; k < vg->pools->len; k++) {
      const MetricsPool *pool = vg->pools->pdata[k];
      g_autofree char *labels = lines_labels("vg", vg->name, "pool", pool->info->name, NULL);

      lines_sample(out, family->family.name, "", labels, family->value(pool));
    }
  }
  lines_end_family(out, begin, &family->family);
}

/* What is wrong, in words: it changes with them, so a pool that is well has none. */
static void print_faults(GString *out, const Metrics *metrics)
{
  static const LinesFamily family = {POOL "fault", "gauge", "1: what is wrong with it, in words."};
  gsize begin = out->len;

  for (guint i = 0; i < metrics->vgs->len; i++) {
    const MetricsVg *vg = metrics->vgs->pdata[i];

    for (guint k = 0; k < vg->pools->len; k++) {
      const PoolInfo *info = ((MetricsPool *)vg->pools->pdata[k])->info;
      g_autofree char *labels =
          lines_labels("vg", vg->name, "pool", info->name, "health", info->health, NULL);

      lines_sample(out, family.name, "", labels, info->health ? 1 : NAN);
    }
  }
  lines_end_family(out, begin, &family);
}

/* --- of volumes --- */

#define VOLUME "virt_thin_volume_"

static double volume_exclusive(const MetricsVg *vg, const PoolVolumeInfo *volume)
{
  for (guint i = 0; i < vg->pools->len; i++) {
    const PoolUsage *usage = ((MetricsPool *)vg->pools->pdata[i])->usage;

    if (!usage || g_strcmp0(usage->pool, volume->pool) != 0)
      continue;
    for (guint k = 0; k < usage->volumes->len; k++) {
      const PoolVolumeUsage *found = usage->volumes->pdata[k];

      if (strcmp(found->name, volume->name) == 0)
        return number_of(found->exclusive);
    }
  }
  return NAN;
}
static double volume_size(const MetricsVg *vg, const PoolVolumeInfo *volume)
{
  return number_of(volume->size);
}
static double volume_mapped(const MetricsVg *vg, const PoolVolumeInfo *volume)
{
  return number_of(volume->mapped);
}

typedef struct {
  LinesFamily family;
  double (*value)(const MetricsVg *vg, const PoolVolumeInfo *volume);
} VolumeFamily;

static const VolumeFamily volume_families[] = {
    {{VOLUME "size_bytes", "gauge", "Size of the volume."}, volume_size},
    {{VOLUME "mapped_bytes", "gauge", "What it uses of its pool, alone or together with others."},
     volume_mapped},
    {{VOLUME "exclusive_bytes", "gauge", "What removing it would free."}, volume_exclusive},
};

static gboolean has_usage(const MetricsVg *vg)
{
  return vg->pools->len > 0 && ((MetricsPool *)vg->pools->pdata[0])->usage;
}

static void print_volumes(GString *out, const Metrics *metrics, const VolumeFamily *family)
{
  gsize begin = out->len;

  for (guint i = 0; i < metrics->vgs->len; i++) {
    const MetricsVg *vg = metrics->vgs->pdata[i];

    for (guint k = 0; has_usage(vg) && k < vg->volumes->len; k++) {
      const PoolVolumeInfo *volume = vg->volumes->pdata[k];
      g_autofree char *labels =
          lines_labels("vg", vg->name, "pool", volume->pool, "volume", volume->name, "snapshot_of",
                       volume->snapshot_of, NULL);

      lines_sample(out, family->family.name, "", labels, family->value(vg, volume));
    }
  }
  lines_end_family(out, begin, &family->family);
}

/* --- of services --- */

static const LinesFamily duration_family = {
    "virt_thin_request_duration_seconds", "histogram",
    "How long the service took for a request, until its answer was ready."};
static const LinesFamily size_family = {"virt_thin_request_size_bytes", "summary",
                                        "What requests asked for."};

/* One of the rows of the property. */
typedef struct {
  const char *vg, *way, *kind;
  const guint64 *bounds, *counts; /* one more of these */
  gsize n;
  guint64 time, bytes;
} Requests;

static guint64 count_requests(const Requests *requests)
{
  guint64 n = 0;

  for (gsize i = 0; i <= requests->n; i++)
    n += requests->counts[i];
  return n;
}

static void print_duration(GString *out, const Requests *requests)
{
  g_autofree char *labels =
      lines_labels("vg", requests->vg, "way", requests->way, "kind", requests->kind, NULL);
  guint64 n = 0;

  for (gsize i = 0; i < requests->n; i++) {
    char bound[G_ASCII_DTOSTR_BUF_SIZE];
    double seconds = (double)requests->bounds[i] / G_USEC_PER_SEC;
    g_autofree char *with_bound = NULL;

    g_ascii_formatd(bound, sizeof bound, seconds == floor(seconds) ? "%.1f" : "%.9g", seconds);
    with_bound = g_strdup_printf("%s,le=\"%s\"", labels, bound);
    lines_sample(out, duration_family.name, "_bucket", with_bound,
                 (double)(n += requests->counts[i]));
  }
  g_autofree char *all = g_strdup_printf("%s,le=\"+Inf\"", labels);

  n += requests->counts[requests->n];
  lines_sample(out, duration_family.name, "_bucket", all, (double)n);
  lines_sample(out, duration_family.name, "_count", labels, (double)n);
  lines_sample(out, duration_family.name, "_sum", labels, (double)requests->time / G_USEC_PER_SEC);
}

static void print_bytes(GString *out, const Requests *requests)
{
  g_autofree char *labels =
      lines_labels("vg", requests->vg, "way", requests->way, "kind", requests->kind, NULL);

  lines_sample(out, size_family.name, "_count", labels, (double)count_requests(requests));
  lines_sample(out, size_family.name, "_sum", labels, (double)requests->bytes);
}

static void print_requests(GString *out, const Metrics *metrics, const LinesFamily *family,
                           void (*print)(GString *out, const Requests *requests))
{
  gsize begin = out->len;

  for (guint i = 0; i < metrics->vgs->len; i++) {
    const MetricsVg *vg = metrics->vgs->pdata[i];
    g_autoptr(GVariant) bounds = NULL, rows = NULL;
    Requests requests = {.vg = vg->name};

    if (!vg->requests)
      continue;
    bounds = g_variant_get_child_value(vg->requests, 0);
    rows = g_variant_get_child_value(vg->requests, 1);
    requests.bounds = g_variant_get_fixed_array(bounds, &requests.n, sizeof *requests.bounds);
    for (gsize k = 0; k < g_variant_n_children(rows); k++) {
      g_autoptr(GVariant) row = g_variant_get_child_value(rows, k), counts = NULL;
      gsize n;

      g_variant_get(row, "(&s&s@attt)", &requests.way, &requests.kind, &counts, &requests.time,
                    &requests.bytes);
      requests.counts = g_variant_get_fixed_array(counts, &n, sizeof *requests.counts);
      if (n == requests.n + 1)
        print(out, &requests);
    }
  }
  lines_end_family(out, begin, family);
}

/* --- the whole --- */

static void print_one(GString *out, const char *name, const char *labels, double value,
                      const char *help)
{
  const LinesFamily family = {name, "gauge", help};
  gsize begin = out->len;

  lines_sample(out, name, "", labels, value);
  lines_end_family(out, begin, &family);
}

char *metrics_format(const Metrics *metrics)
{
  GString *out = g_string_new(NULL);
  g_autofree char *version = lines_labels("version", PACKAGE_VERSION, NULL);

  print_one(out, "virt_thin_build_info", version, 1, "1: the version of virt-thin.");
  print_one(out, "virt_thin_complete", "", metrics->problems->len == 0,
            "Whether all that there is could be read.");
  print_vgs(out, metrics);
  for (guint i = 0; i < G_N_ELEMENTS(pool_families); i++)
    print_pools(out, metrics, &pool_families[i]);
  print_faults(out, metrics);
  for (guint i = 0; i < G_N_ELEMENTS(volume_families); i++)
    print_volumes(out, metrics, &volume_families[i]);
  print_requests(out, metrics, &duration_family, print_duration);
  print_requests(out, metrics, &size_family, print_bytes);
  g_string_append(out, "# EOF\n");
  return g_string_free(out, FALSE);
}
