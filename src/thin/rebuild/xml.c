/* virt-thin - the metadata of a thin pool made from XML, as thin_dump writes it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"
#include "thin/rebuild/xml.h"

#include <string.h>
#include <unistd.h>

#include "thin/format/disk-format.h"

#define PIECE (256u << 10) /* bytes of text at a time */

typedef struct {
  guint64 begin, chunk, n;
  guint32 time;
} Run;

/* A stretch of maps that devices refer to by its name: runs in the spool. */
typedef struct {
  guint64 first, n;
} Shared;

typedef enum {
  OUTSIDE,
  IN_SUPERBLOCK,
  IN_DEVICE,
  IN_SHARED,
  IN_LEAF, /* an element that has nothing in it */
  AFTER,
} Place;

typedef struct {
  VtIo *to; /* NULL: a dry run */
  ThinBuild *build;
  Place place, around; /* around an IN_LEAF */
  FILE *spool;         /* of Run. NULL: nothing is shared */
  guint64 n_spooled;
  GHashTable *shared; /* name -> Shared */
  Shared *under_way;
} Restore;

/* --- attributes --------------------------------------------------------------------- */

typedef struct {
  const char *name;
  guint64 max;       /* 0: text, which is passed over */
  gboolean optional; /* then 0 */
} Attribute;

static guint find_attribute(const Attribute *known, guint n, const char *name)
{
  guint i = 0;

  while (i < n && strcmp(known[i].name, name) != 0)
    i++;
  return i;
}

static gboolean read_number(const char *element, const Attribute *known, const char *text,
                            guint64 *number, GError **error)
{
  return known->max == 0 || g_ascii_string_to_unsigned(text, 10, 0, known->max, number, NULL) ||
         vt_set_error(error, EINVAL, "%s: %s=\"%s\" is no number up to %" G_GUINT64_FORMAT, element,
                      known->name, text, known->max);
}

/* The @n attributes @known of @element into @numbers. */
static gboolean read_numbers(const char *element, const char **names, const char **values,
                             const Attribute *known, guint n, guint64 *numbers, GError **error)
{
  guint seen = 0;

  memset(numbers, 0, n * sizeof *numbers);
  for (guint i = 0; names[i]; i++) {
    guint at = find_attribute(known, n, names[i]);

    if (at == n)
      return vt_set_error(error, EINVAL, "%s: attribute %s is not known", element, names[i]);
    if (seen & 1u << at)
      return vt_set_error(error, EINVAL, "%s: attribute %s is there twice", element, names[i]);
    seen |= 1u << at;
    if (!read_number(element, &known[at], values[i], &numbers[at], error))
      return FALSE;
  }
  for (guint i = 0; i < n; i++)
    if (!known[i].optional && !(seen & 1u << i))
      return vt_set_error(error, EINVAL, "%s: attribute %s is missing", element, known[i].name);
  return TRUE;
}

/* --- elements ----------------------------------------------------------------------- */

static gboolean begin_superblock(Restore *restore, const char **names, const char **values,
                                 GError **error)
{
  static const Attribute known[] = {{"time", G_MAXUINT32, FALSE},
                                    {"transaction", G_MAXUINT64, FALSE},
                                    {"flags", THIN_SUPERBLOCK_NEEDS_CHECK, TRUE},
                                    {"version", THIN_SUPERBLOCK_VERSION, TRUE},
                                    {"data_block_size", THIN_CHUNK_MAX / THIN_SECTOR, FALSE},
                                    {"nr_data_blocks", THIN_CHUNKS_MAX, FALSE},
                                    {"uuid", 0, TRUE},
                                    {"metadata_snap", 0, TRUE}};
  guint64 numbers[G_N_ELEMENTS(known)];

  if (!read_numbers("superblock", names, values, known, G_N_ELEMENTS(known), numbers, error))
    return FALSE;
  restore->place = IN_SUPERBLOCK;
  restore->build = thin_build_new(restore->to,
                                  &(ThinPoolFacts){.time = (guint32)numbers[0],
                                                   .transaction_id = numbers[1],
                                                   .flags = (guint32)numbers[2],
                                                   .chunk_size = numbers[4] * THIN_SECTOR,
                                                   .n_chunks = numbers[5]},
                                  error);
  return restore->build != NULL;
}

static gboolean begin_device(Restore *restore, const char **names, const char **values,
                             GError **error)
{
  static const Attribute known[] = {{"dev_id", THIN_DEVICE_MAX, FALSE},
                                    {"mapped_blocks", G_MAXUINT64, FALSE},
                                    {"transaction", G_MAXUINT64, FALSE},
                                    {"creation_time", G_MAXUINT32, FALSE},
                                    {"snap_time", G_MAXUINT32, FALSE}};
  guint64 numbers[G_N_ELEMENTS(known)];

  restore->place = IN_DEVICE;
  return read_numbers("device", names, values, known, G_N_ELEMENTS(known), numbers, error) &&
         thin_build_device(restore->build,
                           &(ThinDevice){.id = (guint32)numbers[0],
                                         .transaction_id = numbers[2],
                                         .creation_time = (guint32)numbers[3],
                                         .snapshotted_time = (guint32)numbers[4]},
                           error);
}

static gboolean take_run(Restore *restore, const Run *run, GError **error)
{
  if (restore->around == IN_DEVICE)
    return thin_build_map(restore->build, run->begin, run->chunk, run->n, run->time, error);
  restore->n_spooled++;
  restore->under_way->n++;
  return fwrite(run, sizeof *run, 1, restore->spool) == 1 ||
         vt_set_errno(error, errno, "writing a temporary file");
}

static gboolean take_single(Restore *restore, const char **names, const char **values,
                            GError **error)
{
  static const Attribute known[] = {{"origin_block", G_MAXUINT64, FALSE},
                                    {"data_block", G_MAXUINT64, FALSE},
                                    {"time", THIN_MAPPING_TIME_MAX, FALSE}};
  guint64 numbers[G_N_ELEMENTS(known)];

  return read_numbers("single_mapping", names, values, known, G_N_ELEMENTS(known), numbers,
                      error) &&
         take_run(restore, &(Run){numbers[0], numbers[1], 1, (guint32)numbers[2]}, error);
}

static gboolean take_range(Restore *restore, const char **names, const char **values,
                           GError **error)
{
  static const Attribute known[] = {{"origin_begin", G_MAXUINT64, FALSE},
                                    {"data_begin", G_MAXUINT64, FALSE},
                                    {"length", G_MAXUINT64, FALSE},
                                    {"time", THIN_MAPPING_TIME_MAX, FALSE}};
  guint64 numbers[G_N_ELEMENTS(known)];

  return read_numbers("range_mapping", names, values, known, G_N_ELEMENTS(known), numbers, error) &&
         take_run(restore, &(Run){numbers[0], numbers[1], numbers[2], (guint32)numbers[3]}, error);
}

/* --- shared stretches --------------------------------------------------------------- */

static const char *read_name(const char *element, const char **names, const char **values,
                             GError **error)
{
  if (names[0] && strcmp(names[0], "name") == 0 && !names[1])
    return values[0];
  vt_set_error(error, EINVAL, "%s: it has a name, and nothing else", element);
  return NULL;
}

static gboolean begin_shared(Restore *restore, const char **names, const char **values,
                             GError **error)
{
  const char *name = read_name("def", names, values, error);

  if (!name)
    return FALSE;
  if (g_hash_table_contains(restore->shared, name))
    return vt_set_error(error, EINVAL, "def: there is another one with the name %s", name);
  if (!restore->spool && !(restore->spool = tmpfile()))
    return vt_set_errno(error, errno, "making a temporary file");
  if (fseeko(restore->spool, 0, SEEK_END) < 0)
    return vt_set_errno(error, errno, "writing a temporary file");
  restore->under_way = g_new0(Shared, 1);
  restore->under_way->first = restore->n_spooled;
  g_hash_table_insert(restore->shared, g_strdup(name), restore->under_way);
  restore->place = IN_SHARED;
  return TRUE;
}

static gboolean take_shared(Restore *restore, const char **names, const char **values,
                            GError **error)
{
  const char *name = read_name("ref", names, values, error);
  const Shared *shared = name ? g_hash_table_lookup(restore->shared, name) : NULL;
  Run run;

  if (!name)
    return FALSE;
  if (!shared || restore->around != IN_DEVICE)
    return vt_set_error(error, EINVAL, "ref: no def with the name %s is known here", name);
  if (fseeko(restore->spool, (off_t)(shared->first * sizeof run), SEEK_SET) < 0)
    return vt_set_errno(error, errno, "reading a temporary file");
  for (guint64 i = 0; i < shared->n; i++) {
    if (fread(&run, sizeof run, 1, restore->spool) != 1)
      return vt_set_errno(error, errno, "reading a temporary file");
    if (!take_run(restore, &run, error))
      return FALSE;
  }
  return TRUE;
}

/* --- where each may stand ----------------------------------------------------------- */

typedef struct {
  const char *name;
  guint places; /* bits */
  gboolean is_leaf;
  gboolean (*begin)(Restore *restore, const char **names, const char **values, GError **error);
} Element;

static const Element elements[] = {
    {"single_mapping", 1u << IN_DEVICE | 1u << IN_SHARED, TRUE, take_single},
    {"range_mapping", 1u << IN_DEVICE | 1u << IN_SHARED, TRUE, take_range},
    {"ref", 1u << IN_DEVICE, TRUE, take_shared},
    {"device", 1u << IN_SUPERBLOCK, FALSE, begin_device},
    {"def", 1u << IN_SUPERBLOCK, FALSE, begin_shared},
    {"superblock", 1u << OUTSIDE, FALSE, begin_superblock},
};

static void begin_element(GMarkupParseContext *context, const char *name, const char **names,
                          const char **values, gpointer data, GError **error)
{
  Restore *restore = data;
  const Element *element = elements;

  while (element < elements + G_N_ELEMENTS(elements) && strcmp(element->name, name) != 0)
    element++;
  if (element == elements + G_N_ELEMENTS(elements)) {
    vt_set_error(error, EINVAL, "element %s is not known", name);
    return;
  }
  if (!(element->places & 1u << restore->place)) {
    vt_set_error(error, EINVAL, "element %s cannot be here", name);
    return;
  }
  if (element->is_leaf) {
    restore->around = restore->place;
    restore->place = IN_LEAF;
  }
  element->begin(restore, names, values, error);
}

static void end_element(GMarkupParseContext *context, const char *name, gpointer data,
                        GError **error)
{
  Restore *restore = data;

  if (restore->place == IN_LEAF)
    restore->place = restore->around;
  else
    restore->place = restore->place == IN_SUPERBLOCK ? AFTER : IN_SUPERBLOCK;
}

static void take_text(GMarkupParseContext *context, const char *text, gsize length, gpointer data,
                      GError **error)
{
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isspace(text[i])) {
      vt_set_error(error, EINVAL, "text where there can be none");
      return;
    }
}

/* --- reading ------------------------------------------------------------------------ */

/* GMarkup's own errors tell the line, those of the callbacks do not. */
static gboolean set_where(GMarkupParseContext *context, const char *name, GError *fault,
                          GError **error)
{
  gint line;

  g_markup_parse_context_get_position(context, &line, NULL);
  if (fault->domain == G_MARKUP_ERROR)
    vt_set_error(error, EINVAL, "%s: %s", name, fault->message);
  else
    vt_set_error(error, fault->code, "%s: line %d: %s", name, line, fault->message);
  g_error_free(fault);
  return FALSE;
}

static gboolean parse(GMarkupParseContext *context, FILE *in, const char *name, GError **error)
{
  g_autofree char *piece = g_malloc(PIECE);
  GError *fault = NULL;
  size_t n;

  while ((n = fread(piece, 1, PIECE, in)) > 0)
    if (!g_markup_parse_context_parse(context, piece, (gssize)n, &fault))
      return set_where(context, name, fault, error);
  if (ferror(in))
    return vt_set_errno(error, errno, "reading %s", name);
  return g_markup_parse_context_end_parse(context, &fault) ||
         set_where(context, name, fault, error);
}

static gboolean restore_once(FILE *in, const char *name, VtIo *to, guint64 *n_used, GError **error)
{
  static const GMarkupParser parser = {
      .start_element = begin_element, .end_element = end_element, .text = take_text};
  Restore restore = {.to = to,
                     .shared = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free)};
  GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &restore, NULL);
  gboolean ok = parse(context, in, name, error);

  if (ok && restore.place != AFTER)
    ok = vt_set_error(error, EINVAL, "%s: there is no superblock in it", name);
  ok = ok && thin_build_finish(restore.build, n_used, error);
  g_markup_parse_context_free(context);
  thin_build_free(restore.build);
  g_hash_table_unref(restore.shared);
  if (restore.spool)
    fclose(restore.spool);
  return ok;
}

/* A file of what is left of @in, to be read twice. */
static FILE *spool(FILE *in, const char *name, GError **error)
{
  g_autofree char *piece = g_malloc(PIECE);
  FILE *out = tmpfile();
  size_t n;

  while (out && (n = fread(piece, 1, PIECE, in)) > 0)
    if (fwrite(piece, 1, n, out) != n)
      g_clear_pointer(&out, fclose);
  if (out && !ferror(in) && fseeko(out, 0, SEEK_SET) == 0)
    return out;
  vt_set_errno(error, errno, "keeping %s in a temporary file", name);
  g_clear_pointer(&out, fclose);
  return NULL;
}

static gboolean restore_twice(FILE *in, const char *name, VtIo *to, guint64 *n_used, GError **error)
{
  off_t start = ftello(in);
  guint64 n;

  if (!restore_once(in, name, NULL, &n, error))
    return FALSE;
  if (n_used)
    *n_used = n;
  if (!to)
    return TRUE;
  if (n > vt_io_size(to) / THIN_METADATA_BLOCK)
    return vt_set_error(error, ENOSPC,
                        "%s: too small for what %s holds: it takes %" G_GUINT64_FORMAT
                        " bytes, there are %" G_GUINT64_FORMAT,
                        vt_io_name(to), name, n * THIN_METADATA_BLOCK, vt_io_size(to));
  if (fseeko(in, start, SEEK_SET) < 0)
    return vt_set_errno(error, errno, "reading %s again", name);
  return restore_once(in, name, to, n_used, error);
}

gboolean thin_restore(FILE *in, const char *name, VtIo *to, guint64 *n_used, GError **error)
{
  FILE *copy;
  gboolean ok;

  if (ftello(in) >= 0)
    return restore_twice(in, name, to, n_used, error);
  copy = spool(in, name, error);
  if (!copy)
    return FALSE;
  ok = restore_twice(copy, name, to, n_used, error);
  fclose(copy);
  return ok;
}
