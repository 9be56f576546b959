/* virt-thin - every text of a volume group that can be found, old ones too
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A ring has room for thousands of texts, so what is known of one until the end is its digest, and
 * what it is sorted by; those that are kept are parsed again.
 */
#include "config.h"

#include <string.h>

#include "lvm/lvm-conf.h"
#include "lvm/model/vg-private.h"
#include "lvm/store-private.h"
#include "lvm/texts.h"

/* Where a PV whose label and header are gone may have its ring: lvm2 begins it there, and makes it
 * 1020 KiB unless told otherwise, we 16 MiB. */
#define USUAL_AREA 4096
#define USUAL_AREA_SIZE ((16u << 20) - USUAL_AREA)

typedef struct {
  LvmProbe *probe;
  const char *name;
  GHashTable *by_digest; /* digest -> LvmText, without its VG */
  GPtrArray *problems;
} Search;

void lvm_text_free(LvmText *text)
{
  if (!text)
    return;
  lvm_vg_free(text->vg);
  g_free(text->text);
  g_free(text->uuid);
  g_free(text->description);
  g_ptr_array_unref(text->sources);
  g_free(text);
}

static void problem(GPtrArray *problems, const GError *error)
{
  if (problems)
    g_ptr_array_add(problems, g_strdup(error->message));
}

/* --- one text --- */

static char *digest_of(LvmVg *vg)
{
  GString *group = g_string_new(NULL);
  char *digest;

  lvm_vg_format_group(vg, group);
  digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, group->str, (gssize)group->len);
  g_string_free(group, TRUE);
  return digest;
}

static void set_header(LvmText *text, LvmVg *vg)
{
  text->creation_time = 0;
  g_clear_pointer(&text->description, g_free);
  lvm_section_get_uint(vg->header, "creation_time", &text->creation_time);
  text->description = g_strdup(lvm_section_get_string(vg->header, "description"));
}

static void count_pvs(LvmText *text, LvmVg *vg, LvmProbe *probe)
{
  text->n_pvs = vg->pvs->len;
  text->n_present = 0;
  for (guint i = 0; i < vg->pvs->len; i++)
    text->n_present += lvm_probe_device(probe, lvm_pv_uuid(vg->pvs->pdata[i])) != NULL;
}

static LvmText *text_new(LvmProbe *probe, LvmVg *vg, const char *content, gsize length,
                         LvmTextKind kind)
{
  LvmText *text = g_new0(LvmText, 1);

  text->text = g_strndup(content, length);
  text->length = length;
  text->seqno = lvm_vg_seqno(vg);
  text->uuid = g_strdup(lvm_vg_uuid(vg));
  text->kind = kind;
  text->sources = g_ptr_array_new_with_free_func(g_free);
  set_header(text, vg);
  count_pvs(text, vg, probe);
  return text;
}

/* Another place of a text that is known. */
static void join(LvmText *text, LvmVg *vg, const char *content, gsize length, LvmTextKind kind,
                 char *source)
{
  if (kind >= text->kind) {
    g_ptr_array_add(text->sources, source);
    return;
  }
  text->kind = kind;
  g_free(text->text);
  text->text = g_strndup(content, length);
  text->length = length;
  set_header(text, vg);
  g_ptr_array_insert(text->sources, 0, source);
}

static void add(Search *search, LvmVg *vg, const char *content, gsize length, LvmTextKind kind,
                char *source)
{
  g_autofree char *digest = digest_of(vg);
  LvmText *text = g_hash_table_lookup(search->by_digest, digest);

  if (text) {
    join(text, vg, content, length, kind, source);
    return;
  }
  text = text_new(search->probe, vg, content, length, kind);
  g_ptr_array_add(text->sources, source);
  g_hash_table_insert(search->by_digest, g_steal_pointer(&digest), text);
}

/* --- on the PVs --- */

typedef struct {
  Search *search;
  LvmMetadataArea *area;
  const char *path;
} Ring;

static gboolean take_from_ring(const char *content, gsize length, guint64 offset,
                               gpointer user_data)
{
  Ring *ring = user_data;
  g_autoptr(LvmVg) vg = NULL;

  if (ring->area->usable && offset == ring->area->start + ring->area->text.offset)
    return FALSE; /* the header tells of it */
  vg = lvm_vg_parse(content, length, NULL);
  if (vg && strcmp(lvm_vg_name(vg), ring->search->name) == 0)
    add(ring->search, vg, content, length, LVM_TEXT_RING,
        g_strdup_printf("%s, offset %" G_GUINT64_FORMAT, ring->path, offset));
  return FALSE;
}

static void read_committed(Search *search, LvmDevice *device, LvmMetadataArea *area)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *content = NULL;
  g_autoptr(LvmVg) vg = NULL;
  gsize length;

  if (!area->usable || !area->text.offset)
    return;
  content = lvm_metadata_area_read_text(area, &length, &error);
  vg = content ? lvm_vg_parse(content, length, &error) : NULL;
  if (!vg)
    problem(search->problems, error);
  else if (strcmp(lvm_vg_name(vg), search->name) == 0)
    add(search, vg, content, length, LVM_TEXT_COMMITTED,
        g_strdup_printf("%s, offset %" G_GUINT64_FORMAT, device->path,
                        area->start + area->text.offset));
}

static void read_device(Search *search, LvmDevice *device)
{
  for (guint i = 0; i < device->areas->len; i++) {
    Ring ring = {search, device->areas->pdata[i], device->path};

    read_committed(search, device, ring.area);
    lvm_metadata_area_search(ring.area, take_from_ring, &ring);
  }
}

static void read_usual_place(Search *search, const char *path, VtIo *io)
{
  LvmRange range = {USUAL_AREA, USUAL_AREA_SIZE};
  LvmMetadataArea *area = lvm_metadata_area_new(io, &range);
  Ring ring = {search, area, path};

  lvm_metadata_area_search(area, take_from_ring, &ring);
  lvm_metadata_area_free(area);
}

static gboolean has_area(LvmDevice *device)
{
  for (guint i = 0; i < device->areas->len; i++)
    if (((LvmMetadataArea *)device->areas->pdata[i])->usable)
      return TRUE;
  return FALSE;
}

static void read_path(Search *search, const char *path)
{
  LvmProbe *probe = search->probe;
  g_autoptr(GError) error = NULL;
  VtIo *io = probe->open ? probe->open(path, TRUE, probe->user_data, &error)
                         : vt_io_open_file(path, TRUE, &error);

  if (io)
    read_usual_place(search, path, io);
  else
    problem(search->problems, error);
  vt_io_unref(io);
}

static void read_probe(Search *search)
{
  LvmProbe *probe = search->probe;

  for (guint i = 0; i < probe->devices->len; i++) {
    LvmDevice *device = probe->devices->pdata[i];

    read_device(search, device);
    if (!has_area(device))
      read_usual_place(search, device->path, device->io);
  }
  for (char **path = probe->paths; *path; path++)
    if (!lvm_device_at(probe->devices, *path) && !lvm_device_at(probe->parts, *path))
      read_path(search, *path);
}

/* --- in folders --- */

/* NAME.vg and NAME_00012-345.vg are archives, NAME a backup. */
static gboolean is_of(const char *file, const char *name, LvmTextKind *kind)
{
  gsize length = strlen(name);

  *kind = strcmp(file, name) == 0 ? LVM_TEXT_BACKUP : LVM_TEXT_ARCHIVE;
  return strncmp(file, name, length) == 0 &&
         (file[length] == '\0' ||
          ((file[length] == '_' || file[length] == '.') && g_str_has_suffix(file, ".vg")));
}

static LvmVg *read_file(const char *path, char **content, gsize *length, GError **error)
{
  LvmVg *vg;

  if (!g_file_get_contents(path, content, length, error))
    return NULL;
  vg = lvm_vg_parse(*content, *length, error);
  if (!vg)
    g_prefix_error(error, "%s: ", path);
  return vg;
}

static void take_file(Search *search, const char *path, LvmTextKind kind)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *content = NULL;
  g_autoptr(LvmVg) vg = NULL;
  gsize length;

  vg = read_file(path, &content, &length, &error);
  if (!vg)
    problem(search->problems, error);
  else if (strcmp(lvm_vg_name(vg), search->name) == 0)
    add(search, vg, content, length, kind, g_strdup(path));
}

static void read_folder(Search *search, const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) folder = g_dir_open(path, 0, &error);
  const char *file;
  LvmTextKind kind;

  if (!folder && !g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    problem(search->problems, error);
  while (folder && (file = g_dir_read_name(folder))) {
    g_autofree char *full = g_build_filename(path, file, NULL);

    if (is_of(file, search->name, &kind) && g_file_test(full, G_FILE_TEST_IS_REGULAR))
      take_file(search, full, kind);
  }
}

GStrv lvm_texts_folders(const char *ours)
{
  g_autoptr(LvmConf) conf = lvm_conf_read(NULL);
  const char *archives = lvm_conf_string(conf, "backup/archive_dir"),
             *backups = lvm_conf_string(conf, "backup/backup_dir");
  GPtrArray *folders = g_ptr_array_new();

  if (ours)
    g_ptr_array_add(folders, g_strdup(ours));
  g_ptr_array_add(folders, archives ? g_strdup(archives) : lvm_conf_path("archive"));
  g_ptr_array_add(folders, backups ? g_strdup(backups) : lvm_conf_path("backup"));
  g_ptr_array_add(folders, NULL);
  return (GStrv)g_ptr_array_free(folders, FALSE);
}

/* --- which, and in what order --- */

static gint descending(guint64 a, guint64 b)
{
  return a > b ? -1 : a < b;
}

static gint compare(gconstpointer a, gconstpointer b)
{
  const LvmText *x = *(LvmText *const *)a, *y = *(LvmText *const *)b;
  const gint orders[] = {
      descending(x->seqno, y->seqno),
      (gint)x->kind - (gint)y->kind,
      descending(x->creation_time, y->creation_time),
      strcmp(x->sources->pdata[0], y->sources->pdata[0]),
  };
  guint i = 0;

  while (i < G_N_ELEMENTS(orders) - 1 && !orders[i])
    i++;
  return orders[i];
}

/* Is @a of the VG that is meant, rather than @b? */
static gboolean is_better(const LvmText *a, const LvmText *b)
{
  if ((a->n_present > 0) != (b->n_present > 0))
    return a->n_present > 0;
  if ((a->kind == LVM_TEXT_COMMITTED) != (b->kind == LVM_TEXT_COMMITTED))
    return a->kind == LVM_TEXT_COMMITTED;
  return a->creation_time > b->creation_time;
}

static const char *choose_uuid(GHashTable *texts)
{
  const LvmText *best = NULL;
  GHashTableIter it;
  gpointer text;

  g_hash_table_iter_init(&it, texts);
  while (g_hash_table_iter_next(&it, NULL, &text))
    if (!best || is_better(text, best))
      best = text;
  return best ? best->uuid : NULL;
}

/* Those of the VG that is meant, out of @texts. */
static GPtrArray *sort_out(GHashTable *texts)
{
  GPtrArray *kept = g_ptr_array_new_with_free_func((GDestroyNotify)lvm_text_free);
  g_autofree char *uuid = g_strdup(choose_uuid(texts));
  GHashTableIter it;
  gpointer digest, value;

  g_hash_table_iter_init(&it, texts);
  while (g_hash_table_iter_next(&it, &digest, &value)) {
    LvmText *text = value;

    if (strcmp(text->uuid, uuid) != 0)
      continue;
    g_hash_table_iter_steal(&it);
    g_free(digest);
    g_ptr_array_add(kept, text);
  }
  g_ptr_array_sort(kept, compare);
  g_ptr_array_set_size(kept, (gint)MIN(kept->len, LVM_TEXTS_MAX));
  for (guint i = 0; i < kept->len; i++) {
    LvmText *text = kept->pdata[i];

    text->vg = lvm_vg_parse(text->text, text->length, NULL);
  }
  return kept;
}

GPtrArray *lvm_texts_find(LvmProbe *probe, const char *name, const char *const *folders,
                          GPtrArray *problems)
{
  Search search = {.probe = probe, .name = name, .problems = problems};
  GPtrArray *kept;

  search.by_digest =
      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)lvm_text_free);
  read_probe(&search);
  for (guint i = 0; folders && folders[i]; i++)
    read_folder(&search, folders[i]);
  kept = sort_out(search.by_digest);
  g_hash_table_unref(search.by_digest);
  return kept;
}

LvmText *lvm_text_read(LvmProbe *probe, const char *path, const char *name, GError **error)
{
  g_autofree char *content = NULL;
  gsize length;
  LvmVg *vg = read_file(path, &content, &length, error);
  LvmText *text;

  if (!vg)
    return NULL;
  if (name && strcmp(lvm_vg_name(vg), name) != 0) {
    vt_set_error(error, EINVAL, "%s is a text of volume group %s, not of %s", path, lvm_vg_name(vg),
                 name);
    lvm_vg_free(vg);
    return NULL;
  }
  text = text_new(probe, vg, content, length, LVM_TEXT_FILE);
  g_ptr_array_add(text->sources, g_strdup(path));
  text->vg = vg;
  return text;
}

/* --- what a text says of a pool --- */

static gboolean is_to_be_deleted(GArray *messages, guint32 device)
{
  for (guint i = 0; i < messages->len; i++) {
    const LvmMessage *message = &g_array_index(messages, LvmMessage, i);

    if (!message->create && message->delete_device == device)
      return TRUE;
  }
  return FALSE;
}

GArray *lvm_pool_devices(LvmVg *vg, LvmLv *pool)
{
  GArray *devices = g_array_new(FALSE, FALSE, sizeof(guint32));
  g_autoptr(GArray) messages = lvm_pool_messages(pool);
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(vg);

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];
    guint32 device;

    if (lvm_lv_kind(lv) != LVM_LV_THIN || g_strcmp0(lvm_thin_pool(lv), lvm_lv_name(pool)) != 0)
      continue;
    device = lvm_thin_device(lv);
    if (!is_to_be_deleted(messages, device))
      g_array_append_val(devices, device);
  }
  return devices;
}
