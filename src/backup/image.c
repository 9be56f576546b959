/* virt-thin - the images of a backup: qcow2, of what is mapped or has changed, and raw
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The format: QEMU's docs/interop/qcow2.
 */
#include "backup/image.h"

#include <string.h>

#include "util/size.h"

#define MAGIC 0x514649fb
#define HEADER_LENGTH 104
#define EXTENSION_BACKING_FORMAT 0xe2792aca
#define MAX_NAME 1023
#define PAGE 4096
#define GIVE_UP (16 * 1024 * 1024)           /* bytes of which none could be read */
#define COPIED (G_GUINT64_CONSTANT(1) << 63) /* its refcount is one */
#define ZERO 1
#define PER_TABLE (BACKUP_CLUSTER / 8) /* clusters that an L2 table is for */
#define PER_REFCOUNTS (BACKUP_CLUSTER / 2)
#define MAX_L1 (32 * 1024 * 1024 / 8) /* QEMU's */

typedef struct __attribute__((packed)) {
  guint32 magic, version;
  guint64 backing_offset;
  guint32 backing_length, cluster_bits;
  guint64 size;
  guint32 encryption, l1_entries;
  guint64 l1_offset, refcounts_offset;
  guint32 refcounts_clusters, n_snapshots;
  guint64 snapshots_offset;
  guint64 incompatible, compatible, autoclear;
  guint32 refcount_order, header_length;
} Header;
G_STATIC_ASSERT(sizeof(Header) == HEADER_LENGTH);

/* In clusters. */
typedef struct {
  guint64 refcount_table, refcount_blocks, l1, l2, data;
} Layout;

static guint64 clusters(guint64 bytes)
{
  return bytes / BACKUP_CLUSTER + (bytes % BACKUP_CLUSTER != 0);
}

static guint64 l1_entries(guint64 size)
{
  guint64 n = clusters(size);

  return n / PER_TABLE + (n % PER_TABLE != 0);
}

static guint64 total(const Layout *layout)
{
  return 1 + layout->refcount_table + layout->refcount_blocks + layout->l1 + layout->l2 +
         layout->data;
}

static Layout lay_out(guint64 size, const GArray *runs)
{
  Layout layout = {.l1 = clusters(l1_entries(size) * 8)};
  guint64 next = 0; /* L1 entry */

  for (guint i = 0; i < runs->len; i++) {
    const BackupRun *run = &g_array_index(runs, BackupRun, i);
    guint64 first = run->offset / BACKUP_CLUSTER, n = clusters(run->length);
    guint64 from = MAX(first / PER_TABLE, next), to = (first + n - 1) / PER_TABLE + 1;

    if (!run->zero)
      layout.data += n;
    layout.l2 += to > from ? to - from : 0;
    next = MAX(next, to);
  }
  for (guint64 before = 0; before != total(&layout);) {
    before = total(&layout);
    layout.refcount_blocks = (before + PER_REFCOUNTS - 1) / PER_REFCOUNTS;
    layout.refcount_table = clusters(layout.refcount_blocks * 8);
  }
  return layout;
}

gboolean backup_image_check_size(guint64 size, GError **error)
{
  if (l1_entries(size) > MAX_L1) {
    g_autofree char *wanted = vt_size_exact(size);

    return vt_set_error(error, EOPNOTSUPP,
                        "%s are more than a qcow2 image of clusters of 64 KiB holds: --format raw",
                        wanted);
  }
  return TRUE;
}

guint64 backup_image_file_size(const BackupImage *image, const GArray *runs)
{
  const Layout layout = lay_out(image->size, runs);

  return image->raw ? image->size : total(&layout) * BACKUP_CLUSTER;
}

/* --- writing --- */

static gboolean write_header(BackupOut *out, const BackupImage *image, const Layout *layout,
                             GError **error)
{
  g_autofree char *cluster = g_malloc0(BACKUP_CLUSTER);
  gsize format_length = image->backing ? strlen(image->backing_format) : 0,
        name_length = image->backing ? strlen(image->backing) : 0;
  guint64 names = HEADER_LENGTH + 8 + ((format_length + 7) & ~(gsize)7) + 8;
  guint64 l1 = 1 + layout->refcount_table + layout->refcount_blocks;
  Header header = {
      .magic = GUINT32_TO_BE(MAGIC),
      .version = GUINT32_TO_BE(3),
      .backing_offset = GUINT64_TO_BE(image->backing ? names : 0),
      .backing_length = GUINT32_TO_BE((guint32)name_length),
      .cluster_bits = GUINT32_TO_BE(16),
      .size = GUINT64_TO_BE(image->size),
      .l1_entries = GUINT32_TO_BE((guint32)l1_entries(image->size)),
      .l1_offset = GUINT64_TO_BE(l1 * BACKUP_CLUSTER),
      .refcounts_offset = GUINT64_TO_BE(BACKUP_CLUSTER),
      .refcounts_clusters = GUINT32_TO_BE((guint32)layout->refcount_table),
      .refcount_order = GUINT32_TO_BE(4),
      .header_length = GUINT32_TO_BE(HEADER_LENGTH),
  };
  guint32 extension[2] = {GUINT32_TO_BE(EXTENSION_BACKING_FORMAT),
                          GUINT32_TO_BE((guint32)format_length)};

  memcpy(cluster, &header, sizeof header);
  if (image->backing) {
    memcpy(cluster + HEADER_LENGTH, extension, sizeof extension);
    memcpy(cluster + HEADER_LENGTH + 8, image->backing_format, format_length);
    memcpy(cluster + names, image->backing, name_length);
  }
  return backup_out_write(out, cluster, BACKUP_CLUSTER, error);
}

/* A table of 64 bit numbers, which is written when it is full. */
typedef struct {
  BackupOut *out;
  guint64 *entries;
  guint n;
} Table;

static gboolean put(Table *table, guint64 entry, GError **error)
{
  table->entries[table->n++] = GUINT64_TO_BE(entry);
  if (table->n < PER_TABLE)
    return TRUE;
  table->n = 0;
  return backup_out_write(table->out, table->entries, BACKUP_CLUSTER, error);
}

static gboolean fill_up(Table *table, GError **error)
{
  while (table->n)
    if (!put(table, 0, error))
      return FALSE;
  return TRUE;
}

static gboolean write_refcounts(BackupOut *out, const Layout *layout, GError **error)
{
  g_autofree guint64 *entries = g_malloc(BACKUP_CLUSTER);
  guint16 *counts = (guint16 *)entries;
  Table table = {out, entries, 0};

  for (guint64 i = 0; i < layout->refcount_blocks; i++)
    if (!put(&table, (1 + layout->refcount_table + i) * BACKUP_CLUSTER, error))
      return FALSE;
  if (!fill_up(&table, error))
    return FALSE;
  for (guint64 i = 0, left = total(layout); i < layout->refcount_blocks; i++) {
    for (guint j = 0; j < PER_REFCOUNTS; j++)
      counts[j] = GUINT16_TO_BE(j < left ? 1 : 0);
    left -= MIN(left, PER_REFCOUNTS);
    if (!backup_out_write(out, entries, BACKUP_CLUSTER, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean write_l1(BackupOut *out, const Layout *layout, const GArray *runs, GError **error)
{
  g_autofree guint64 *entries = g_malloc(BACKUP_CLUSTER);
  guint64 l2 = total(layout) - layout->data - layout->l2, next = 0;
  Table table = {out, entries, 0};

  for (guint i = 0; i < runs->len; i++) {
    const BackupRun *run = &g_array_index(runs, BackupRun, i);
    guint64 first = run->offset / BACKUP_CLUSTER, last = first + clusters(run->length) - 1;

    for (; next <= last / PER_TABLE; next++) {
      guint64 entry = next >= first / PER_TABLE ? l2++ * BACKUP_CLUSTER | COPIED : 0;

      if (!put(&table, entry, error))
        return FALSE;
    }
  }
  if (!fill_up(&table, error))
    return FALSE;
  /* The end of the L1 table may be clusters that no run was for. */
  return backup_out_zeros(
      out, (total(layout) - layout->data - layout->l2) * BACKUP_CLUSTER - out->offset, error);
}

static gboolean write_l2(BackupOut *out, const Layout *layout, const GArray *runs, GError **error)
{
  g_autofree guint64 *entries = g_malloc(BACKUP_CLUSTER);
  guint64 data = total(layout) - layout->data, at = 0; /* @at: the next entry's cluster */
  Table table = {out, entries, 0};

  for (guint i = 0; i < runs->len; i++) {
    const BackupRun *run = &g_array_index(runs, BackupRun, i);
    guint64 first = run->offset / BACKUP_CLUSTER;

    if (at / PER_TABLE != first / PER_TABLE) { /* tables between them are not there */
      if (!fill_up(&table, error))
        return FALSE;
      at = first / PER_TABLE * PER_TABLE;
    }
    for (; at < first; at++)
      if (!put(&table, 0, error))
        return FALSE;
    for (; at < first + clusters(run->length); at++)
      if (!put(&table, run->zero ? ZERO : data++ * BACKUP_CLUSTER | COPIED, error))
        return FALSE;
  }
  return fill_up(&table, error);
}

static gboolean is_damage(const GError *error)
{
  return error->domain == VT_ERROR && (error->code == EBADMSG || error->code == EIO);
}

/* What cannot be read at once is read page by page. */
static gboolean read_what_there_is(VtIo *volume, char *buffer, guint64 length, guint64 offset,
                                   GArray *lost, GError **error)
{
  g_autoptr(GError) whole = NULL;

  if (vt_io_read(volume, buffer, length, offset, &whole))
    return TRUE;
  if (!lost || !is_damage(whole)) {
    g_propagate_error(error, g_steal_pointer(&whole));
    return FALSE;
  }
  for (guint64 done = 0, n; done < length; done += n) {
    g_autoptr(GError) why = NULL;

    n = MIN(length - done, PAGE);
    if (vt_io_read(volume, buffer + done, n, offset + done, &why))
      continue;
    if (!is_damage(why)) {
      g_propagate_error(error, g_steal_pointer(&why));
      return FALSE;
    }
    memset(buffer + done, 0, n);
    backup_lost_add(lost, offset + done, n);
  }
  return TRUE;
}

/* A drive that is gone gives errors for everything, and page by page takes days over it: an image
 * of nothing but zeros is no backup. @tried: bytes until now; @last: there are no more. */
static gboolean check_some(const GArray *lost, guint64 tried, gboolean last, GError **error)
{
  guint64 n = 0;

  if (!lost || tried == 0 || (tried < GIVE_UP && !last))
    return TRUE;
  for (guint i = 0; i < lost->len; i++)
    n += g_array_index(lost, BackupLost, i).length;
  return n < tried || vt_set_error(error, EIO,
                                   "nothing of it can be read, of the first %" G_GUINT64_FORMAT
                                   " bytes that it maps: is its drive there, and well?",
                                   tried);
}

static gboolean write_data(BackupOut *out, gboolean raw, const GArray *runs, VtIo *volume,
                           GArray *lost, BackupTold told, gpointer user_data, GError **error)
{
  guint64 tried = 0;

  for (guint i = 0; i < runs->len; i++) {
    const BackupRun *run = &g_array_index(runs, BackupRun, i);

    if (run->zero)
      continue;
    if (raw && !backup_out_zeros(out, run->offset - out->offset, error))
      return FALSE;
    for (guint64 done = 0, n; done < run->length; done += n) {
      n = MIN(run->length - done, BACKUP_PIECE);
      if (!read_what_there_is(volume, backup_out_buffer(out), n, run->offset + done, lost, error) ||
          !check_some(lost, tried += n, FALSE, error) || !backup_out_write_buffer(out, n, error))
        return FALSE;
      told(n, user_data);
    }
    if (!raw && run->length % BACKUP_CLUSTER &&
        !backup_out_zeros(out, BACKUP_CLUSTER - run->length % BACKUP_CLUSTER, error))
      return FALSE;
  }
  return check_some(lost, tried, TRUE, error);
}

gboolean backup_image_write(BackupOut *out, const BackupImage *image, const GArray *runs,
                            VtIo *volume, GArray *lost, BackupTold told, gpointer user_data,
                            GError **error)
{
  const Layout layout = lay_out(image->size, runs);

  if (image->raw)
    return write_data(out, TRUE, runs, volume, lost, told, user_data, error) &&
           backup_out_zeros(out, image->size - out->offset, error);
  return write_header(out, image, &layout, error) && write_refcounts(out, &layout, error) &&
         write_l1(out, &layout, runs, error) && write_l2(out, &layout, runs, error) &&
         write_data(out, FALSE, runs, volume, lost, told, user_data, error);
}

/* --- reading --- */

static gboolean damaged(BackupIn *in, const char *what, GError **error)
{
  return vt_set_error(error, EBADMSG, "%s is damaged, or no image of a backup: %s", in->name, what);
}

void backup_image_head_clear(BackupImageHead *head)
{
  g_clear_pointer(&head->backing, g_free);
  g_clear_pointer(&head->backing_format, g_free);
  g_clear_pointer(&head->runs, g_array_unref);
}

static gboolean read_names(BackupIn *in, const char *cluster, const Header *header,
                           BackupImageHead *head, GError **error)
{
  guint64 offset = GUINT64_FROM_BE(header->backing_offset);
  guint32 length = GUINT32_FROM_BE(header->backing_length), extension[2];

  if (offset == 0)
    return length == 0 || damaged(in, "the name of its backing file", error);
  memcpy(extension, cluster + HEADER_LENGTH, sizeof extension);
  extension[1] = GUINT32_FROM_BE(extension[1]);
  if (length == 0 || length > MAX_NAME || offset > BACKUP_CLUSTER - length ||
      extension[0] != GUINT32_TO_BE(EXTENSION_BACKING_FORMAT) || extension[1] > 16)
    return damaged(in, "the name of its backing file", error);
  head->backing = g_strndup(cluster + offset, length);
  head->backing_format = g_strndup(cluster + HEADER_LENGTH + 8, extension[1]);
  /* They are told, perhaps on a terminal. */
  for (const char *at = head->backing; *at; at++)
    if (!g_ascii_isgraph(*at))
      return damaged(in, "the name of its backing file", error);
  return TRUE;
}

static gboolean read_header(BackupIn *in, Header *header, BackupImageHead *head, GError **error)
{
  g_autofree char *cluster = g_malloc(BACKUP_CLUSTER);
  guint64 refcounts, l1;

  if (!backup_in_read(in, cluster, BACKUP_CLUSTER, error))
    return FALSE;
  memcpy(header, cluster, sizeof *header);
  head->size = GUINT64_FROM_BE(header->size);
  refcounts = GUINT32_FROM_BE(header->refcounts_clusters);
  l1 = GUINT64_FROM_BE(header->l1_offset);
  if (header->magic != GUINT32_TO_BE(MAGIC) || header->version != GUINT32_TO_BE(3) ||
      header->cluster_bits != GUINT32_TO_BE(16) || header->encryption || header->n_snapshots ||
      header->incompatible || header->header_length != GUINT32_TO_BE(HEADER_LENGTH))
    return damaged(in, "its header", error);
  if (l1_entries(head->size) > MAX_L1 ||
      header->l1_entries != GUINT32_TO_BE((guint32)l1_entries(head->size)) ||
      header->refcounts_offset != GUINT64_TO_BE(BACKUP_CLUSTER) || l1 % BACKUP_CLUSTER ||
      l1 < (1 + refcounts) * BACKUP_CLUSTER || l1 >= in->size)
    return damaged(in, "where its tables are", error);
  return read_names(in, cluster, header, head, error);
}

static void add_run(GArray *runs, guint64 offset, gboolean zero)
{
  BackupRun *last = runs->len ? &g_array_index(runs, BackupRun, runs->len - 1) : NULL;
  BackupRun run = {offset, BACKUP_CLUSTER, zero};

  if (last && last->zero == zero && last->offset + last->length == offset)
    last->length += BACKUP_CLUSTER;
  else
    g_array_append_val(runs, run);
}

/* @index: of its L1 entry; @data: where the next cluster of data is, what there was before the
 * first L2 table being 0 until the first is found. */
static gboolean read_l2(BackupIn *in, guint64 index, guint64 size, guint64 first_data,
                        guint64 *data, GArray *runs, GError **error)
{
  g_autofree guint64 *entries = g_malloc(BACKUP_CLUSTER);

  if (!backup_in_read(in, entries, BACKUP_CLUSTER, error))
    return FALSE;
  for (guint i = 0; i < PER_TABLE; i++) {
    guint64 entry = GUINT64_FROM_BE(entries[i]), offset = (index * PER_TABLE + i) * BACKUP_CLUSTER;

    if (entry == 0)
      continue;
    if (offset >= size ||
        (entry != ZERO && entry != ((first_data + *data) * BACKUP_CLUSTER | COPIED)))
      return damaged(in, "where its data is", error);
    add_run(runs, offset, entry == ZERO);
    *data += entry != ZERO;
  }
  return TRUE;
}

static gboolean read_tables(BackupIn *in, const Header *header, BackupImageHead *head,
                            GError **error)
{
  guint64 n = l1_entries(head->size), n_l2 = 0, data = 0, l2;
  gsize length = (gsize)(clusters(n * 8) * BACKUP_CLUSTER);
  g_autofree guint64 *l1 = NULL;

  if (!backup_in_skip(in, GUINT64_FROM_BE(header->l1_offset) - in->offset, error))
    return FALSE;
  if (length > in->size - in->offset)
    return damaged(in, "where its tables are", error);
  l1 = g_malloc(length);
  if (!backup_in_read(in, l1, length, error))
    return FALSE;
  l2 = in->offset / BACKUP_CLUSTER;
  for (guint64 i = 0; i < n; i++)
    if (l1[i] && GUINT64_FROM_BE(l1[i]) != ((l2 + n_l2++) * BACKUP_CLUSTER | COPIED))
      return damaged(in, "its tables", error);
  for (guint64 i = 0; i < n; i++)
    if (l1[i] && !read_l2(in, i, head->size, l2 + n_l2, &data, head->runs, error))
      return FALSE;
  return in->size == (l2 + n_l2 + data) * BACKUP_CLUSTER || damaged(in, "its length", error);
}

gboolean backup_image_read_head(BackupIn *in, gboolean raw, BackupImageHead *head, GError **error)
{
  Header header;

  *head = (BackupImageHead){.size = in->size, .runs = g_array_new(FALSE, FALSE, sizeof(BackupRun))};
  if (raw)
    return TRUE;
  return read_header(in, &header, head, error) && read_tables(in, &header, head, error);
}

static gboolean read_raw(BackupIn *in, BackupData data, gpointer user_data, GError **error)
{
  while (backup_in_next_data(in, error) && in->offset < in->size) {
    guint64 offset = in->offset, n = MIN(in->size - offset, BACKUP_PIECE);
    const char *buffer;

    if (!backup_in_read_buffer(in, &buffer, n, error) || !data(offset, buffer, n, user_data, error))
      return FALSE;
  }
  return in->offset == in->size;
}

/* @visible: what of it the volume has, where it is not whole clusters. */
static gboolean read_run(BackupIn *in, const BackupRun *run, guint64 visible, BackupData data,
                         gpointer user_data, GError **error)
{
  if (run->zero)
    return data(run->offset, NULL, visible, user_data, error);
  for (guint64 done = 0, n; done < run->length; done += n) {
    const char *buffer;

    n = MIN(run->length - done, BACKUP_PIECE);
    if (!backup_in_read_buffer(in, &buffer, n, error) ||
        !data(run->offset + done, buffer, MIN(n, visible - done), user_data, error))
      return FALSE;
  }
  return TRUE;
}

gboolean backup_image_read(BackupIn *in, gboolean raw, const BackupImageHead *head, BackupData data,
                           gpointer user_data, GError **error)
{
  if (raw)
    return read_raw(in, data, user_data, error);
  for (guint i = 0; i < head->runs->len; i++) {
    const BackupRun *run = &g_array_index(head->runs, BackupRun, i);

    if (!read_run(in, run, MIN(run->length, head->size - run->offset), data, user_data, error))
      return FALSE;
  }
  return TRUE;
}
