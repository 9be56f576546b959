/* virt-thin - checking thin metadata
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The rules are those of the kernel and of thin-provisioning-tools: every block is what its place
 * demands, every node but the roots at least a third full, keys in order and in range; every device
 * has a map and details that agree; every count is the number of references. A reference is: the
 * superblock's to each root; each edge from node to node (a shared node's children once, not once
 * for each who shares it); a device's entry to its root; a mapping in a distinct leaf to its chunk.
 *
 * Nothing here trusts what it reads, and memory follows from the size of the metadata device: 29
 * bytes a block that is used, one a chunk.
 */
#include "config.h"
#include "thin/metadata/check-private.h"

#include <stdarg.h>

#include "thin/metadata/metadata-private.h"

/* --- report ------------------------------------------------------------------------- */

void thin_report_free(ThinReport *report)
{
  g_ptr_array_unref(report->errors);
  g_ptr_array_unref(report->leaks);
  g_free(report);
}

static void add_line(GPtrArray *lines, guint64 *n, const char *format, va_list args)
{
  if ((*n)++ < CHECK_LINES_MAX)
    g_ptr_array_add(lines, g_strdup_vprintf(format, args));
}

void check_error(Check *check, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  add_line(check->report->errors, &check->n_errors, format, args);
  va_end(args);
}

void check_leak(Check *check, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  add_line(check->report->leaks, &check->n_leaks, format, args);
  va_end(args);
}

static void tell_rest(GPtrArray *lines, guint64 n)
{
  if (n > CHECK_LINES_MAX)
    g_ptr_array_add(lines, g_strdup_printf("and %" G_GUINT64_FORMAT " more", n - CHECK_LINES_MAX));
}

#define PROGRESS_STEP 1024 /* blocks */

void check_progress(Check *check)
{
  const ThinCheckOptions *options = check->options;
  guint64 total = GUINT64_FROM_LE(check->superblock.metadata_space_map.root.nr_allocated);

  if (++check->n_read % PROGRESS_STEP == 0 && options && options->progress)
    options->progress(MIN(check->n_read, total) * THIN_METADATA_BLOCK, total * THIN_METADATA_BLOCK,
                      options->data);
}

/* --- devices ------------------------------------------------------------------------ */

typedef struct {
  guint32 id;
  gboolean whole; /* its map was walked without loss */
  gboolean has_details;
  guint64 mapped;
} Device;

/* One view of the devices: the live one, or the metadata snapshot's. */
typedef struct {
  GArray *devices; /* in order of id */
  guint32 time;
  gboolean held, top_whole, details_whole;
} View;

static void mapping_leaf(CheckTree *tree, const guint8 *data, guint n)
{
  Check *check = tree->check;
  const View *view = tree->user_data;
  guint32 time_max = view->time > THIN_MAPPING_TIME_MAX ? THIN_MAPPING_TIME_MAX : view->time;

  for (guint i = 0; i < n; i++) {
    guint64 value = thin_node_child(data, i), chunk = THIN_MAPPING_CHUNK(value);
    if (chunk >= check->n_chunks) {
      check_error(check,
                  "device %" G_GINT64_FORMAT ": virtual chunk %" G_GUINT64_FORMAT
                  " is mapped to chunk %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT,
                  tree->device, thin_node_key(data, i), chunk, check->n_chunks);
      continue;
    }
    if (THIN_MAPPING_TIME(value) > time_max)
      check_error(check,
                  "device %" G_GINT64_FORMAT ": virtual chunk %" G_GUINT64_FORMAT
                  " was mapped at time %u, the pool is at %u",
                  tree->device, thin_node_key(data, i), THIN_MAPPING_TIME(value), view->time);
    if (check->mapped[chunk] < G_MAXUINT8)
      check->mapped[chunk]++;
    else
      g_hash_table_insert(check->mapped_more, GSIZE_TO_POINTER(chunk),
                          GUINT_TO_POINTER(1 + GPOINTER_TO_UINT(g_hash_table_lookup(
                                                   check->mapped_more, GSIZE_TO_POINTER(chunk)))));
  }
}

/* A leaf of the top tree that live view and metadata snapshot share is walked for the first of them
 * only; the other one's devices are then the same. */
static void top_leaf(CheckTree *tree, const guint8 *data, guint n)
{
  View *view = tree->user_data;
  for (guint i = 0; i < n; i++) {
    guint64 id = thin_node_key(data, i);
    CheckTree mapping = {tree->check,
                         ROLE_MAPPING,
                         sizeof(guint64),
                         "mapping tree",
                         (gint64)MIN(id, G_MAXINT64),
                         tree->held,
                         mapping_leaf,
                         view};
    Device device = {.id = (guint32)id};
    if (id > THIN_DEVICE_MAX)
      check_error(tree->check, "%s: device id %" G_GUINT64_FORMAT " is out of range", tree->name,
                  id);
    device.whole = check_walk(&mapping, thin_node_child(data, i), &device.mapped);
    if (id <= THIN_DEVICE_MAX)
      g_array_append_val(view->devices, device);
  }
}

static gint by_id(gconstpointer a, gconstpointer b)
{
  guint32 x = ((const Device *)a)->id, y = ((const Device *)b)->id;
  return x < y ? -1 : x > y;
}

static void check_details(Check *check, const View *view, guint32 id,
                          const ThinDiskDetails *details)
{
  Device key = {.id = id};
  guint at;

  if (GUINT32_FROM_LE(details->creation_time) > view->time ||
      GUINT32_FROM_LE(details->snapshotted_time) > view->time)
    check_error(check,
                "device %u: details: made at time %u, last snapshot at %u, the pool is at %u", id,
                GUINT32_FROM_LE(details->creation_time), GUINT32_FROM_LE(details->snapshotted_time),
                view->time);
  if (!g_array_binary_search(view->devices, &key, by_id, &at)) {
    if (view->top_whole)
      check_error(check, "device %u: has details, but no mapping tree", id);
    return;
  }
  Device *device = &g_array_index(view->devices, Device, at);
  device->has_details = TRUE;
  if (device->whole && device->mapped != GUINT64_FROM_LE(details->mapped_blocks))
    check_error(check,
                "device %u: details: %" G_GUINT64_FORMAT
                " chunks mapped, the mapping tree has %" G_GUINT64_FORMAT,
                id, GUINT64_FROM_LE(details->mapped_blocks), device->mapped);
}

static void details_leaf(CheckTree *tree, const guint8 *data, guint n)
{
  for (guint i = 0; i < n; i++) {
    guint64 id = thin_node_key(data, i);
    if (id > THIN_DEVICE_MAX)
      check_error(tree->check, "%s: device id %" G_GUINT64_FORMAT " is out of range", tree->name,
                  id);
    else
      check_details(tree->check, tree->user_data, (guint32)id,
                    (const ThinDiskDetails *)(gconstpointer)thin_node_value(data, i));
  }
}

static void check_view(Check *check, guint64 mapping_root, guint64 details_root, guint32 time,
                       gboolean held)
{
  View view = {.devices = g_array_new(FALSE, TRUE, sizeof(Device)), .time = time, .held = held};
  CheckTree top = {check, ROLE_TOP, sizeof(guint64), "mapping tree of the devices",
                   -1,    held,     top_leaf,        &view};
  CheckTree details = {
      check,        ROLE_DETAILS, sizeof(ThinDiskDetails), "device details", -1, held,
      details_leaf, &view};
  /* A view that shares blocks with the other one sees only part of each tree: what can be said is
   * said there. */
  gboolean first = !held;

  view.top_whole = check_walk(&top, mapping_root, NULL) && first;
  if (!first)
    details.leaf = NULL;
  view.details_whole = check_walk(&details, details_root, NULL) && first;
  for (guint i = 0; i < view.devices->len; i++) {
    const Device *device = &g_array_index(view.devices, Device, i);
    if (view.details_whole && !device->has_details)
      check_error(check, "device %u: has a mapping tree, but no details", device->id);
  }
  g_array_unref(view.devices);
}

/* --- superblocks -------------------------------------------------------------------- */

static void check_held(Check *check, guint64 number)
{
  g_autofree ThinDiskSuperblock *copy = g_malloc0(THIN_METADATA_BLOCK);
  g_autoptr(GError) fault = NULL;

  if (check_refer(check, number, ROLE_SUPERBLOCK, &fault) &&
      thin_superblock_read(check->io, number, (guint8 *)copy, &fault)) {
    check_view(check, GUINT64_FROM_LE(copy->data_mapping_root),
               GUINT64_FROM_LE(copy->device_details_root), GUINT32_FROM_LE(copy->time), TRUE);
    return;
  }
  check_error(check, "metadata snapshot: %s", fault->message);
  check->mappings_lost = TRUE;
}

/* FALSE: nothing further can be checked. */
static gboolean check_superblock(Check *check, guint64 data_size)
{
  const ThinDiskSuperblock *sb = &check->superblock;
  guint64 on_device = vt_io_size(check->io) / THIN_METADATA_BLOCK;
  guint64 n_blocks = GUINT64_FROM_LE(sb->metadata_space_map.root.nr_blocks);
  guint64 chunk_size = (guint64)GUINT32_FROM_LE(sb->data_block_size) * THIN_SECTOR;

  check->report->needs_check =
      (GUINT32_FROM_LE(sb->header.flags) & THIN_SUPERBLOCK_NEEDS_CHECK) != 0;
  if (check->report->needs_check)
    check_error(check, "superblock: needs_check is set: the last commit failed");
  if (sb->incompat_flags || sb->compat_ro_flags)
    check_error(check, "superblock: unknown features (flags %#x, %#x)",
                GUINT32_FROM_LE(sb->incompat_flags), GUINT32_FROM_LE(sb->compat_ro_flags));
  if (n_blocks == 0 || n_blocks > THIN_METADATA_BLOCKS_MAX) {
    check_error(check, "superblock: metadata of %" G_GUINT64_FORMAT " blocks cannot be", n_blocks);
    return FALSE;
  }
  if (n_blocks > on_device)
    check_error(check,
                "%s: has %" G_GUINT64_FORMAT " blocks, the superblock counts on %" G_GUINT64_FORMAT,
                check->name, on_device, n_blocks);
  check->n_blocks = MIN(n_blocks, on_device);
  check->n_chunks = GUINT64_FROM_LE(sb->data_space_map.root.nr_blocks);
  if (check->n_chunks / THIN_BITMAP_SLOTS > check->n_blocks) {
    check_error(check,
                "superblock: %" G_GUINT64_FORMAT " chunks cannot be counted in %" G_GUINT64_FORMAT
                " metadata blocks",
                check->n_chunks, check->n_blocks);
    return FALSE;
  }
  if (data_size && check->n_chunks > data_size / chunk_size)
    check_error(check,
                "superblock: counts on %" G_GUINT64_FORMAT
                " chunks, the data device has %" G_GUINT64_FORMAT,
                check->n_chunks, data_size / chunk_size);
  return TRUE;
}

/* --- all ---------------------------------------------------------------------------- */

static gboolean reserve(Check *check)
{
  check->references = g_try_new0(guint32, check->n_blocks);
  check->roles = g_try_new0(guint8, check->n_blocks);
  check->subtrees = g_try_new0(ThinSubtree, check->n_blocks);
  check->mapped = g_try_new0(guint8, MAX(check->n_chunks, 1));
  check->mapped_more = g_hash_table_new(NULL, NULL);
  if (check->references && check->roles && check->subtrees && check->mapped) /* else no memory */
    return TRUE;
  check_error(check,
              "no memory to check %" G_GUINT64_FORMAT " metadata blocks and %" G_GUINT64_FORMAT
              " chunks",
              check->n_blocks, check->n_chunks);
  return FALSE;
}

static void check_all(Check *check)
{
  const ThinDiskSuperblock *sb = &check->superblock;
  CheckMap metadata = {0}, data = {0};

  check->references[0] = 1;
  check->roles[0] = ROLE_SUPERBLOCK;
  check_view(check, GUINT64_FROM_LE(sb->data_mapping_root),
             GUINT64_FROM_LE(sb->device_details_root), GUINT32_FROM_LE(sb->time), FALSE);
  if (sb->held_root)
    check_held(check, GUINT64_FROM_LE(sb->held_root));
  check_find_maps(check, &metadata, &data);
  check_compare_maps(check, &metadata, &data);
  g_free(metadata.entries);
  g_free(data.entries);
}

static void check_deep(Check *check)
{
  if (reserve(check)) /* else no memory */
    check_all(check);
  g_free(check->references);
  g_free(check->roles);
  g_free(check->subtrees);
  g_free(check->mapped);
  g_clear_pointer(&check->mapped_more, g_hash_table_unref);
}

/* @check with what is asked; the report. */
static ThinReport *run(Check *check, guint64 data_size, GError **error)
{
  g_autoptr(GError) fault = NULL;
  g_autofree guint8 *block = g_malloc0(THIN_METADATA_BLOCK);
  VtIo *io = check->io;

  check->name = vt_io_name(io);
  check->report = g_new0(ThinReport, 1);
  check->report->errors = g_ptr_array_new_with_free_func(g_free);
  check->report->leaks = g_ptr_array_new_with_free_func(g_free);
  if (!thin_superblock_read(io, 0, block, &fault)) {
    if (g_error_matches(fault, VT_ERROR, ENOENT))
      return check->report; /* not yet formatted: the first to open it does that */
    if (!g_error_matches(fault, VT_ERROR, EBADMSG)) {
      g_propagate_error(error, g_steal_pointer(&fault));
      thin_report_free(check->report);
      return NULL;
    }
    check_error(check, "%s", fault->message);
    return check->report;
  }
  memcpy(&check->superblock, block, sizeof check->superblock);
  if (check_superblock(check, data_size)) {
    if (check->options && check->options->quick)
      check_roots(check);
    else
      check_deep(check);
  }
  tell_rest(check->report->errors, check->n_errors);
  tell_rest(check->report->leaks, check->n_leaks);
  return check->report;
}

ThinReport *thin_check_as(VtIo *io, guint64 data_size, const ThinCheckOptions *options,
                          GError **error)
{
  Check check = {.io = io, .options = options};

  return run(&check, data_size, error);
}

ThinReport *thin_check(VtIo *io, guint64 data_size, GError **error)
{
  return thin_check_as(io, data_size, NULL, error);
}

ThinReport *check_for_leaks(VtIo *io, guint64 data_size, GArray *leaks, guint64 *n_allocated,
                            GError **error)
{
  Check check = {.io = io, .leaks = leaks};
  ThinReport *report = run(&check, data_size, error);

  *n_allocated = check.n_allocated;
  return report;
}

gboolean check_clear_mark(VtIo *io, GError **error)
{
  g_autofree guint8 *block = g_malloc0(THIN_METADATA_BLOCK);

  if (!thin_superblock_read(io, 0, block, error))
    return FALSE;
  ((ThinDiskSuperblock *)(gpointer)block)->header.flags &=
      ~GUINT32_TO_LE(THIN_SUPERBLOCK_NEEDS_CHECK);
  thin_block_seal(block, 0, THIN_KIND_SUPERBLOCK);
  return vt_io_write(io, block, THIN_METADATA_BLOCK, 0, error) && vt_io_flush(io, error);
}

gboolean thin_clear_needs_check(VtIo *io, guint64 data_size, GError **error)
{
  g_autoptr(ThinReport) report = thin_check(io, data_size, error);

  if (!report)
    return FALSE;
  if (!report->needs_check)
    return TRUE;
  if (report->errors->len > 1) /* the mark is the first */
    return vt_set_error(error, EBADMSG, "%s: needs_check stays, for the metadata is damaged: %s",
                        vt_io_name(io), (char *)report->errors->pdata[1]);
  return check_clear_mark(io, error);
}
