/* virt-thin - a volume group from a stream
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The text comes first, so that it is known at once whether the devices are large enough. A volume
 * is written as it comes. Partition tables of disks that have become larger follow last, for until
 * then a volume may still be another's base.
 */
#include <string.h>

#include "archive/archive-private.h"
#include "archive/gpt.h"
#include "archive/rebuild.h"
#include "cli/cli.h"
#include "cli/progress.h"
#include "image/interrupt.h"
#include "util/error.h"
#include "util/size.h"

#define MIB ((guint64)1 << 20)
#define MAX_TEXT (256 * MIB)
#define MIN_METADATA (4 * MIB)

typedef struct {
  const UnarchiveOptions *options;
  const char *name; /* of the stream */
  StreamReader *reader;
  LvmVg *like;
  gboolean was_files;
  GHashTable *sizes; /* name -> LvmLikeSize */
  ArchivePlaces *places;
  Rebuild *rebuild;
  GPtrArray *volumes; /* of char *: their names, by number */
  VtIo *io;           /* of the volume that has begun; NULL: none */
  gboolean linear;
  guint64 at; /* of a linear one: up to where it is written */
  guint64 done;
  CliProgress *progress;
} Receiving;

static gboolean damaged(Receiving *r, GError **error, const char *what)
{
  return vt_set_error(error, EBADMSG, "%s is no archive that can be used: %s", r->name, what);
}

/* --- descriptions --- */

static LvmLikeSize *size_of(Receiving *r, const char *name)
{
  LvmLikeSize *size = g_hash_table_lookup(r->sizes, name);

  if (!size) {
    size = g_new0(LvmLikeSize, 1);
    g_hash_table_insert(r->sizes, g_strdup(name), size);
  }
  return size;
}

static void take_usage(Receiving *r, GVariant *dict)
{
  g_autoptr(GVariantIter) iter = NULL;
  const char *name;
  guint64 used, metadata;

  g_variant_lookup(dict, ARCHIVE_FILES, "b", &r->was_files);
  if (!g_variant_lookup(dict, ARCHIVE_POOLS, "a(stt)", &iter))
    return;
  while (g_variant_iter_next(iter, "(&stt)", &name, &used, &metadata)) {
    LvmLikeSize *size = size_of(r, name);

    size->least = MAX(used, 1);
    size->least_metadata = MAX(MIN(metadata, G_MAXINT64) * 2, MIN_METADATA);
  }
}

static gboolean take_part(Receiving *r, GVariant *dict, GString *text, guint64 *left,
                          GError **error)
{
  g_autoptr(GVariant) part = g_variant_lookup_value(dict, ARCHIVE_TEXT, G_VARIANT_TYPE_BYTESTRING);
  gsize length;
  const char *bytes;

  if (!part || !g_variant_lookup(dict, ARCHIVE_LEFT, "t", left))
    return damaged(r, error, "it does not begin with a volume group's text");
  bytes = g_variant_get_fixed_array(part, &length, 1);
  if (text->len + length > MAX_TEXT)
    return damaged(r, error, "its text is too long");
  g_string_append_len(text, bytes, (gssize)length);
  if (*left == 0)
    take_usage(r, dict);
  return TRUE;
}

static gboolean read_text(Receiving *r, GError **error)
{
  g_autoptr(GString) text = g_string_new(NULL);
  guint64 left = 1;

  while (left) {
    StreamRecord record;

    if (!stream_read(r->reader, &record, error))
      return FALSE;
    if (record.type != STREAM_DESCRIPTION)
      return damaged(r, error, "it does not begin with a volume group's text");
    if (!take_part(r, record.dict, text, &left, error))
      return FALSE;
  }
  r->like = lvm_vg_parse(text->str, text->len, error);
  return r->like && lvm_vg_check_like(r->like, error);
}

/* --- sizes --- */

static gboolean take_growth(Receiving *r, const char *word, GError **error)
{
  const char *equal = strrchr(word, '='), *slash = strchr(word, '/');
  g_autofree char *vg = slash ? g_strndup(word, slash - word) : g_strdup(r->options->vg);
  g_autofree char *name = NULL;
  g_autoptr(GError) fault = NULL;
  guint64 size;
  char sign = 0;
  LvmLv *lv;

  if (!equal || (slash && slash > equal))
    return cli_usage(error, "--grow %s: it is VG/LV=SIZE", word);
  name = g_strndup(slash ? slash + 1 : word, equal - (slash ? slash + 1 : word));
  if (!vt_size_parse(equal + 1, &size, &sign, &fault) || sign == '-')
    return cli_usage(error, "--grow %s: %s", word, fault ? fault->message : "it cannot shrink");
  lv = lvm_vg_find_lv(r->like, name);
  if ((strcmp(vg, r->options->vg) != 0 && strcmp(vg, lvm_vg_name(r->like)) != 0) || !lv ||
      !lvm_lv_is_visible(lv))
    return vt_set_error(error, ENOENT, "--grow %s: volume group %s has no volume %s", word,
                        r->options->vg, name);
  if (sign == '+')
    size = lvm_lv_size(lv) + MIN(size, G_MAXINT64);
  if (size < lvm_lv_size(lv) && lvm_lv_kind(lv) != LVM_LV_THIN_POOL)
    return vt_set_error(error, EINVAL, "--grow %s: it is larger already", word);
  size_of(r, name)->size = size;
  return TRUE;
}

static guint64 bytes_for(Receiving *r, LvmLv *lv, guint64 extent_size)
{
  const LvmLikeSize *size = g_hash_table_lookup(r->sizes, lvm_lv_name(lv));
  guint64 bytes = size && size->size ? size->size : lvm_lv_size(lv);

  return (bytes + extent_size - 1) / extent_size * extent_size;
}

/* How large a file is for all of it to find room: what lies in extents, and what is before them. */
static guint64 needed(Receiving *r)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(r->like);
  guint64 extent_size =
      r->options->extent_size ? r->options->extent_size : lvm_vg_extent_size(r->like);
  g_autofree char *text = lvm_vg_format(r->like, NULL);
  guint64 bytes = MAX(16 * MIB, strlen(text) * 4) + 3 * MIB;

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];
    LvmLvKind kind = lvm_lv_kind(lv);

    if (kind == LVM_LV_THIN || g_str_has_suffix(lvm_lv_name(lv), "_tdata"))
      continue; /* of a pool's data it is the pool's size that counts */
    bytes += bytes_for(r, lv, extent_size);
  }
  return bytes;
}

/* --- volumes --- */

static gboolean begin_volume(Receiving *r, const StreamRecord *record, GError **error)
{
  const StreamVolume *v = record->volume;
  LvmLv *lv = lvm_vg_find_lv(r->like, v->name);

  if (!lv || lvm_lv_size(lv) != v->size || (lvm_lv_kind(lv) == LVM_LV_THIN) != (v->pool != NULL))
    return damaged(r, error, "a volume in it is not as its text says");
  if (v->base == STREAM_BASE_THERE)
    return damaged(r, error, "a volume in it is based on what is elsewhere");
  r->io = rebuild_begin(r->rebuild, v->name,
                        v->base == STREAM_BASE_EARLIER ? r->volumes->pdata[v->base_index] : NULL,
                        error);
  g_ptr_array_add(r->volumes, g_strdup(v->name));
  r->linear = v->pool == NULL;
  r->at = 0;
  return r->io != NULL;
}

/* A linear volume shows what the devices held before, where nothing is written. */
static gboolean zero_up_to(Receiving *r, guint64 offset, GError **error)
{
  return !r->linear || offset == r->at ||
         vt_io_zero(r->io, r->at, offset - r->at, VT_IO_ZERO_MAY_UNMAP, error);
}

static gboolean take_range(Receiving *r, const StreamRecord *record, GError **error)
{
  if (!zero_up_to(r, record->offset, error))
    return FALSE;
  r->at = record->offset + record->length;
  if (record->type == STREAM_ZERO)
    return vt_io_zero(r->io, record->offset, record->length, VT_IO_ZERO_MAY_UNMAP, error);
  r->done += record->length;
  cli_progress_update(r->progress, r->done);
  if (record->type == STREAM_MAPPED_ZERO)
    return vt_io_zero(r->io, record->offset, record->length, 0, error) &&
           vt_io_back(r->io, record->offset, record->length, error);
  return vt_io_write(r->io, record->data, record->length, record->offset, error);
}

static gboolean end_volume(Receiving *r, GError **error)
{
  gboolean ok = zero_up_to(r, vt_io_size(r->io), error);

  g_clear_pointer(&r->io, vt_io_unref);
  return ok;
}

static gboolean take_record(Receiving *r, const StreamRecord *record, GError **error)
{
  switch (record->type) {
  case STREAM_BEGIN_VOLUME: return begin_volume(r, record, error);
  case STREAM_DATA:
  case STREAM_ZERO:
  case STREAM_MAPPED_ZERO: return take_range(r, record, error);
  case STREAM_END_VOLUME: return end_volume(r, error);
  case STREAM_END: return TRUE;
  default: return damaged(r, error, "it has more than one volume group");
  }
}

static gboolean read_volumes(Receiving *r, GError **error)
{
  StreamRecord record = {0};

  while (record.type != STREAM_END)
    if (!image_check_interrupt(error) || !stream_read(r->reader, &record, error) ||
        !take_record(r, &record, error))
      return FALSE;
  return TRUE;
}

/* --- the whole --- */

static gboolean move_tables(Receiving *r, GError **error)
{
  g_autoptr(GPtrArray) lvs = lvm_vg_lvs(r->like);

  for (guint i = 0; i < lvs->len; i++) {
    LvmLv *lv = lvs->pdata[i];
    LvmLv *now = lvm_vg_find_lv(rebuild_vg(r->rebuild), lvm_lv_name(lv));
    g_autoptr(VtIo) io = NULL;
    gboolean moved;

    if (!lvm_lv_is_visible(lv) || lvm_lv_kind(lv) == LVM_LV_THIN_POOL ||
        lvm_lv_size(now) == lvm_lv_size(lv))
      continue;
    io = rebuild_open(r->rebuild, lvm_lv_name(lv), error);
    if (!io || !gpt_follow_end(io, lvm_lv_size(lv), &moved, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean begin(Receiving *r, GError **error)
{
  const UnarchiveOptions *options = r->options;
  g_autofree char *same = options->new_identity ? NULL : archive_find_uuid(lvm_vg_uuid(r->like)),
                  *uuid = options->new_identity || same ? lvm_uuid_new() : NULL;
  RebuildHow how = {
      .vg = options->vg, .uuid = uuid, .extent_size = options->extent_size, .sizes = r->sizes};

  r->places = archive_places_new(options, needed(r), error);
  if (!r->places)
    return FALSE;
  how.paths = archive_places_paths(r->places);
  how.no_autoactivate = archive_places_are_files(r->places);
  if (r->was_files) /* where nothing is activated by itself; on disks that is theirs to say */
    lvm_vg_set_flag(r->like, "NOAUTOACTIVATE", FALSE);
  r->rebuild = rebuild_new(r->like, &how, error);
  if (r->rebuild && same)
    g_message("volume group %s is here and has the same UUID: %s gets one of its own", same,
              options->vg);
  return r->rebuild != NULL;
}

static gboolean receive(Receiving *r, guint64 estimate, GError **error)
{
  gboolean ok;

  if (!read_text(r, error))
    return FALSE;
  for (char **word = r->options->grow; word && *word; word++)
    if (!take_growth(r, *word, error))
      return FALSE;
  if (!begin(r, error))
    return FALSE;
  r->progress = cli_progress_new(estimate, "making %s", r->options->vg);
  ok = read_volumes(r, error);
  cli_progress_free(r->progress);
  return ok && move_tables(r, error) && rebuild_finish(r->rebuild, error);
}

gboolean archive_read(int fd, const char *name, const UnarchiveOptions *options, GError **error)
{
  StreamHeader header;
  Receiving r = {.options = options, .name = name};
  gboolean ok = FALSE;

  r.reader = stream_reader_new(fd, name, &header, error);
  if (!r.reader)
    return FALSE;
  r.sizes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  r.volumes = g_ptr_array_new_with_free_func(g_free);
  if (!(header.flags & STREAM_ARCHIVE))
    vt_set_error(error, EINVAL, "%s is a stream of volumes: virt-thin receive takes it", name);
  else
    ok = receive(&r, header.estimate, error);
  g_clear_pointer(&r.io, vt_io_unref);
  rebuild_free(r.rebuild);
  if (ok)
    archive_places_tell_lvm2(r.places);
  archive_places_free(r.places, ok);
  g_clear_pointer(&r.like, lvm_vg_free);
  g_hash_table_unref(r.sizes);
  g_ptr_array_unref(r.volumes);
  stream_reader_free(r.reader);
  return ok;
}
