/* virt-thin - a pool's metadata in words: XML as thin_dump writes it, or its human form
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/format/dump.h"

#include <errno.h>

#define N64 "%" G_GUINT64_FORMAT

typedef struct {
  guint64 origin, data, n;
  guint32 time;
} Range;

typedef struct {
  VtIo *io;
  const ThinDumpOptions *options;
  FILE *out;
  union {
    ThinDiskSuperblock superblock;
    guint8 block[THIN_METADATA_BLOCK];
    guint64 align;
  };
  GArray *devices; /* of ThinDevice, mapped in chunks */
  GArray *roots;   /* of Root */
  guint32 device;  /* whose map is walked */
  Range range;     /* not yet printed; n 0: none */
} Dump;

typedef struct {
  guint64 id, block;
} Root;

/* --- what is printed --- */

static void print_begin(const Dump *dump)
{
  const ThinDiskSuperblock *sb = &dump->superblock;
  const char *format = dump->options->format == THIN_DUMP_XML
                           ? "<superblock uuid=\"\" time=\"%u\" transaction=\"" N64
                             "\" flags=\"%u\" version=\"%u\" "
                             "data_block_size=\"%u\" nr_data_blocks=\"" N64 "\">\n"
                           : "begin superblock: \"\", %u, " N64 ", %u, %u, %u, " N64 "\n";

  fprintf(dump->out, format, GUINT32_FROM_LE(sb->time), GUINT64_FROM_LE(sb->trans_id),
          GUINT32_FROM_LE(sb->header.flags), GUINT32_FROM_LE(sb->version),
          GUINT32_FROM_LE(sb->data_block_size), GUINT64_FROM_LE(sb->data_space_map.root.nr_blocks));
}

static void print_end(const Dump *dump)
{
  fputs(dump->options->format == THIN_DUMP_XML ? "</superblock>\n" : "end superblock\n", dump->out);
}

static void print_device(const Dump *dump, const ThinDevice *device)
{
  const char *format = dump->options->format == THIN_DUMP_XML
                           ? "  <device dev_id=\"%u\" mapped_blocks=\"" N64 "\" transaction=\"" N64
                             "\" creation_time=\"%u\" snap_time=\"%u\">\n"
                           : "device: %u\nmapped_blocks: " N64 "\ntransaction: " N64
                             "\ncreation time: %u\nsnap time: %u\n";

  fprintf(dump->out, format, device->id, device->mapped, device->transaction_id,
          device->creation_time, device->snapshotted_time);
}

static void print_end_device(const Dump *dump)
{
  fputs(dump->options->format == THIN_DUMP_XML ? "  </device>\n" : "\n", dump->out);
}

static void print_xml_range(const Dump *dump, const Range *r)
{
  if (r->n == 1)
    fprintf(dump->out,
            "    <single_mapping origin_block=\"" N64 "\" data_block=\"" N64 "\" time=\"%u\"/>\n",
            r->origin, r->data, r->time);
  else
    fprintf(dump->out,
            "    <range_mapping origin_begin=\"" N64 "\" data_begin=\"" N64 "\" length=\"" N64
            "\" time=\"%u\"/>\n",
            r->origin, r->data, r->n, r->time);
}

static void print_human_range(const Dump *dump, const Range *r)
{
  if (r->n == 1)
    fprintf(dump->out, "    " N64 " -> " N64 ", %u\n", r->origin, r->data, r->time);
  else
    fprintf(dump->out, "    (" N64 ".." N64 ") -> (" N64 ".." N64 "), %u\n", r->origin,
            r->origin + r->n - 1, r->data, r->data + r->n - 1, r->time);
}

static void end_range(Dump *dump)
{
  if (dump->range.n && dump->options->format == THIN_DUMP_XML)
    print_xml_range(dump, &dump->range);
  else if (dump->range.n)
    print_human_range(dump, &dump->range);
  dump->range.n = 0;
}

/* --- what is lost --- */

static void lose_devices(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  Dump *dump = walk->data;

  g_ptr_array_add(dump->options->lost,
                  g_strdup_printf("thin devices " N64 " to " N64 ": %s", lower,
                                  MIN(upper - 1, THIN_DEVICE_MAX), fault->message));
}

static void lose_chunks(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
  Dump *dump = walk->data;
  g_autofree char *to =
      upper == G_MAXUINT64 ? g_strdup("the end") : g_strdup_printf(N64, upper - 1);

  g_ptr_array_add(dump->options->lost,
                  g_strdup_printf("thin device %u: virtual chunks " N64 " to %s: %s", dump->device,
                                  lower, to, fault->message));
}

static void ignore_loss(ThinWalk *walk, guint64 lower, guint64 upper, const GError *fault)
{
}

/* --- walking --- */

static ThinWalk new_walk(Dump *dump, guint value_size, ThinEntryFunc entry)
{
  return (ThinWalk){.io = dump->io,
                    .n_blocks = vt_io_size(dump->io) / THIN_METADATA_BLOCK,
                    .value_size = value_size,
                    .end = G_MAXUINT64,
                    .data = dump,
                    .entry = entry};
}

static gboolean take_device(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  const ThinDiskDetails *details = value;
  ThinDevice device = {(guint32)key, GUINT64_FROM_LE(details->mapped_blocks),
                       GUINT64_FROM_LE(details->transaction_id),
                       GUINT32_FROM_LE(details->creation_time),
                       GUINT32_FROM_LE(details->snapshotted_time)};

  g_array_append_val(((Dump *)walk->data)->devices, device);
  return TRUE;
}

static gboolean take_root(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Root root = {key, thin_value_u64(value)};

  g_array_append_val(((Dump *)walk->data)->roots, root);
  return TRUE;
}

static gboolean take_mapping(ThinWalk *walk, guint64 key, gconstpointer value, GError **error)
{
  Dump *dump = walk->data;
  Range *range = &dump->range;
  guint64 mapping = thin_value_u64(value), data = THIN_MAPPING_CHUNK(mapping);
  guint32 time = THIN_MAPPING_TIME(mapping);

  if (range->n && key == range->origin + range->n && data == range->data + range->n &&
      time == range->time) {
    range->n++;
    return TRUE;
  }
  end_range(dump);
  *range = (Range){key, data, 1, time};
  return TRUE;
}

static gboolean find_devices(Dump *dump, GError **error)
{
  ThinWalk details = new_walk(dump, sizeof(ThinDiskDetails), take_device),
           maps = new_walk(dump, sizeof(guint64), take_root);

  if (dump->options->device >= 0) {
    details.begin = maps.begin = (guint64)dump->options->device;
    details.end = maps.end = details.begin + 1;
  }
  if (dump->options->lost)
    details.lost = maps.lost = lose_devices;
  return thin_walk(&details, GUINT64_FROM_LE(dump->superblock.device_details_root), NULL, error) &&
         thin_walk(&maps, GUINT64_FROM_LE(dump->superblock.data_mapping_root), NULL, error);
}

/* @device and the map at @root. What is left of a damaged map is counted first. */
static gboolean dump_device(Dump *dump, ThinDevice *device, guint64 root, GError **error)
{
  ThinWalk walk = new_walk(dump, sizeof(guint64), take_mapping);
  gboolean ok = TRUE;

  dump->device = device->id;
  if (dump->options->lost) {
    ThinWalk counting = new_walk(dump, sizeof(guint64), NULL);
    ThinSubtree found;
    counting.lost = lose_chunks;
    thin_walk(&counting, root, &found, NULL);
    device->mapped = found.n_entries;
    walk.lost = ignore_loss;
  }
  print_device(dump, device);
  if (!dump->options->skip_mappings)
    ok = thin_walk(&walk, root, NULL, error);
  end_range(dump);
  print_end_device(dump);
  return ok;
}

/* A device without a map, or a map without a device. */
static gboolean half_a_device(Dump *dump, guint64 id, const char *what, GError **error)
{
  if (!dump->options->lost)
    return vt_set_error(error, EBADMSG, "%s: thin device " N64 " has no %s", vt_io_name(dump->io),
                        id, what);
  g_ptr_array_add(dump->options->lost,
                  g_strdup_printf("thin device " N64 ": it has no %s", id, what));
  return TRUE;
}

static gboolean dump_devices(Dump *dump, GError **error)
{
  gboolean ok = TRUE;
  guint i = 0, j = 0;

  while (ok && (i < dump->devices->len || j < dump->roots->len)) {
    ThinDevice *device =
        i < dump->devices->len ? &g_array_index(dump->devices, ThinDevice, i) : NULL;
    const Root *root = j < dump->roots->len ? &g_array_index(dump->roots, Root, j) : NULL;

    if (device && root && device->id == root->id)
      ok = dump_device(dump, device, root->block, error);
    else if (device && (!root || device->id < root->id))
      ok = half_a_device(dump, device->id, "map", error);
    else
      ok = half_a_device(dump, root->id, "details", error);
    i += device && (!root || device->id <= root->id);
    j += root && (!device || root->id <= device->id);
  }
  return ok;
}

gboolean thin_dump(VtIo *metadata, const ThinDumpOptions *options, FILE *out, GError **error)
{
  g_autoptr(GArray) devices = g_array_new(FALSE, FALSE, sizeof(ThinDevice)),
                    roots = g_array_new(FALSE, FALSE, sizeof(Root));
  Dump dump = {.io = metadata, .options = options, .out = out, .devices = devices, .roots = roots};

  if (!thin_superblock_read(metadata, options->superblock, dump.block, error) ||
      !find_devices(&dump, error))
    return FALSE;
  if (options->device >= 0 && devices->len == 0 && roots->len == 0)
    return vt_set_error(error, ENOENT, "%s: there is no thin device %" G_GINT64_FORMAT,
                        vt_io_name(metadata), options->device);
  print_begin(&dump);
  if (!dump_devices(&dump, error))
    return FALSE;
  print_end(&dump);
  return !ferror(out) || vt_set_errno(error, errno, "writing what %s holds", vt_io_name(metadata));
}
