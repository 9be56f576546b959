/* virt-thin - power cuts in the middle of what a pool does to its volume group
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A seeded run of pool operations, each durable when it returns, is recorded with every byte that
 * goes to the PV. Then, many times over, the power fails: at a point of the record, with what was
 * not flushed applied, dropped, torn at 512 bytes, in any order. Each time the volume group must
 * open, and be what it was before the operation that was under way, or what it should become:
 * names, sizes, origins, snapshots, tags of all volumes; and every sector of their content (of a
 * write under way: old or new). The check must find no error, nor may thin_check and, every so
 * often, lvm2.
 *
 * $VIRT_THIN_TEST_SEED, and $VIRT_THIN_TEST_LONG for ten times as many cuts.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "../unit/progress.h"
#include "case.h"
#include "pool/bundled/bundled-private.h"
#include "util/memory.h"

#define KIB 1024u
#define MIB (KIB * KIB)
#define EXTENT (64u * KIB)
#define SECTOR 512u
#define N_OPS 70
#define MOST_EXTENTS 8
#define MOST_VOLUMES 10

/* --- what the volume group should hold --- */

typedef struct {
  char *name, *origin, *snapshot_of;
  char *tag; /* one of ours, or NULL */
  gboolean template;
  guint8 *bytes;
  gsize size;
} Volume;

typedef struct {
  GPtrArray *volumes;
  char *what;     /* the operation that led here */
  guint log;      /* length of the record then */
  gboolean exact; /* FALSE: two contents may be mixed on the way here */
} State;

static void volume_free(gpointer data)
{
  Volume *v = data;

  g_free(v->name);
  g_free(v->origin);
  g_free(v->snapshot_of);
  g_free(v->tag);
  g_free(v->bytes);
  g_free(v);
}

static Volume *volume_copy(const Volume *from)
{
  Volume *v = g_new0(Volume, 1);

  v->name = g_strdup(from->name);
  v->origin = g_strdup(from->origin);
  v->snapshot_of = g_strdup(from->snapshot_of);
  v->tag = g_strdup(from->tag);
  v->template = from->template;
  v->size = from->size;
  v->bytes = vt_memdup(from->bytes, from->size);
  return v;
}

static State *state_copy(const State *from)
{
  State *s = g_new0(State, 1);

  s->volumes = g_ptr_array_new_with_free_func(volume_free);
  for (guint i = 0; from && i < from->volumes->len; i++)
    g_ptr_array_add(s->volumes, volume_copy(from->volumes->pdata[i]));
  return s;
}

static void state_free(gpointer data)
{
  State *s = data;

  g_ptr_array_unref(s->volumes);
  g_free(s->what);
  g_free(s);
}

static Volume *find(const State *s, const char *name)
{
  for (guint i = 0; i < s->volumes->len; i++)
    if (strcmp(((Volume *)s->volumes->pdata[i])->name, name) == 0)
      return s->volumes->pdata[i];
  return NULL;
}

static Volume *add(State *s, const char *name, gsize size, const Volume *from)
{
  Volume *v = g_new0(Volume, 1);

  v->name = g_strdup(name);
  v->size = size;
  v->bytes = g_malloc0(size);
  if (from) {
    memcpy(v->bytes, from->bytes, MIN(size, from->size));
    v->origin = g_strdup(from->name);
  }
  g_ptr_array_add(s->volumes, v);
  return v;
}

static void set_size(Volume *v, gsize size)
{
  v->bytes = g_realloc(v->bytes, size);
  if (size > v->size)
    memset(v->bytes + v->size, 0, size - v->size);
  v->size = size;
}

static void drop(State *s, Volume *gone)
{
  for (guint i = 0; i < s->volumes->len; i++) {
    Volume *v = s->volumes->pdata[i];

    if (!g_strcmp0(v->origin, gone->name))
      g_clear_pointer(&v->origin, g_free);
  }
  g_ptr_array_remove(s->volumes, gone);
}

/* --- operations, on the pool and on what it should hold --- */

typedef struct {
  VolumeGroup *pool;
  State *now;
  GRand *rand;
  guint n_made;
} Run;

static Volume *any(Run *r, gboolean snapshot)
{
  g_autoptr(GPtrArray) fit = g_ptr_array_new();

  for (guint i = 0; i < r->now->volumes->len; i++)
    if ((((Volume *)r->now->volumes->pdata[i])->snapshot_of != NULL) == snapshot)
      g_ptr_array_add(fit, r->now->volumes->pdata[i]);
  return fit->len ? fit->pdata[g_rand_int_range(r->rand, 0, fit->len)] : NULL;
}

static char *new_name(Run *r)
{
  return g_strdup_printf("vm-%u-disk-0", 100 + r->n_made++);
}

static gsize random_size(Run *r)
{
  return g_rand_int_range(r->rand, 1, MOST_EXTENTS + 1) * EXTENT;
}

static char *op_create(Run *r)
{
  g_autofree char *name = new_name(r);
  gsize size = random_size(r);

  must(pool_create(r->pool, NULL, name, size, &error));
  add(r->now, name, size, NULL);
  return g_strdup_printf("create %s", name);
}

static char *op_clone(Run *r)
{
  Volume *from = any(r, g_rand_boolean(r->rand));
  g_autofree char *name = new_name(r);
  gsize size;

  if (!from)
    return NULL;
  size = from->size + g_rand_int_range(r->rand, 0, 2) * EXTENT;
  must(pool_clone(r->pool, from->name, name, size, &error));
  add(r->now, name, size, from);
  return g_strdup_printf("clone %s", name);
}

static void add_snapshot(Run *r, Volume *from, const char *part)
{
  g_autofree char *name = g_strdup_printf("snap_%s_%s", from->name, part);

  add(r->now, name, from->size, from)->snapshot_of = g_strdup(from->name);
}

static char *op_snapshot(Run *r)
{
  Volume *from = any(r, FALSE);
  g_autofree char *part = g_strdup_printf("s%u", r->n_made++);

  if (!from)
    return NULL;
  must(pool_snapshot(r->pool, from->name, part, &error));
  add_snapshot(r, from, part);
  return g_strdup_printf("snapshot %s of %s", part, from->name);
}

/* All of them, or none. */
static char *op_snapshot_group(Run *r)
{
  g_autoptr(GPtrArray) from = g_ptr_array_new(), names = g_ptr_array_new();
  g_autofree char *part = g_strdup_printf("g%u", r->n_made++);

  for (guint i = 0; i < r->now->volumes->len && from->len < 3; i++) {
    Volume *v = r->now->volumes->pdata[i];

    if (v->snapshot_of)
      continue;
    g_ptr_array_add(from, v);
    g_ptr_array_add(names, v->name);
  }
  if (from->len < 2)
    return NULL;
  g_ptr_array_add(names, NULL);
  must(pool_snapshot_group(r->pool, (const char *const *)names->pdata, part, &error));
  for (guint i = 0; i < from->len; i++)
    add_snapshot(r, from->pdata[i], part);
  return g_strdup_printf("snapshot %s of %u", part, from->len);
}

static char *op_rollback(Run *r)
{
  Volume *snapshot = any(r, TRUE), *v = snapshot ? find(r->now, snapshot->snapshot_of) : NULL;

  if (!v)
    return NULL;
  must(pool_rollback(r->pool, v->name, snapshot->name, &error));
  set_size(v, snapshot->size);
  memcpy(v->bytes, snapshot->bytes, v->size);
  return g_strdup_printf("rollback %s", snapshot->name);
}

static gboolean comes_from(const State *s, const Volume *v, const char *name)
{
  for (guint i = 0; v && v->origin && i < 100; i++) {
    if (strcmp(v->origin, name) == 0)
      return TRUE;
    v = find(s, v->origin);
  }
  return FALSE;
}

static char *op_clone_into(Run *r)
{
  Volume *v = any(r, FALSE), *from = any(r, g_rand_boolean(r->rand));

  if (!v || !from || v == from || v->size < from->size)
    return NULL;
  must(pool_clone_into(r->pool, from->name, v->name, &error));
  memset(v->bytes, 0, v->size);
  memcpy(v->bytes, from->bytes, from->size);
  if (!comes_from(r->now, from, v->name)) {
    g_free(v->origin);
    v->origin = g_strdup(from->name);
  }
  return g_strdup_printf("clone %s into %s", from->name, v->name);
}

/* Origins that name it follow. */
static void rename_volume(State *s, Volume *v, const char *name)
{
  for (guint i = 0; i < s->volumes->len; i++) {
    Volume *other = s->volumes->pdata[i];

    if (g_strcmp0(other->origin, v->name) != 0)
      continue;
    g_free(other->origin);
    other->origin = g_strdup(name);
  }
  g_free(v->name);
  v->name = g_strdup(name);
}

/* Its snapshots follow. */
static void rename_with_snapshots(State *now, Volume *v, const char *name)
{
  g_autofree char *old = g_strdup(v->name);

  rename_volume(now, v, name);
  for (guint i = 0; i < now->volumes->len; i++) {
    Volume *s = now->volumes->pdata[i];

    if (g_strcmp0(s->snapshot_of, old) != 0)
      continue;
    g_autofree char *snapshot =
        g_strconcat("snap_", name, s->name + strlen("snap_") + strlen(old), NULL);

    g_free(s->snapshot_of);
    s->snapshot_of = g_strdup(name);
    rename_volume(now, s, snapshot);
  }
}

static char *op_rename(Run *r)
{
  Volume *v = any(r, FALSE);
  g_autofree char *old = v ? g_strdup(v->name) : NULL, *name = new_name(r);

  if (!v)
    return NULL;
  must(pool_rename(r->pool, old, name, &error));
  rename_with_snapshots(r->now, v, name);
  return g_strdup_printf("rename %s to %s", old, name);
}

static char *op_template(Run *r)
{
  Volume *v = any(r, FALSE);
  g_autofree char *old = v ? g_strdup(v->name) : NULL,
                  *name = g_strdup_printf("base-%u-disk-0", 100 + r->n_made++);

  if (!v || v->template)
    return NULL;
  must(pool_template(r->pool, old, name, &error));
  rename_with_snapshots(r->now, v, name);
  v->template = TRUE;
  return g_strdup_printf("template %s of %s", name, old);
}

static char *op_resize(Run *r)
{
  Volume *v = any(r, FALSE);
  gsize size = random_size(r);

  if (!v || v->template || v->size == size)
    return NULL;
  must(pool_resize(r->pool, v->name, size, TRUE, &error));
  set_size(v, size);
  return g_strdup_printf("resize %s", v->name);
}

static char *op_remove(Run *r)
{
  Volume *one = any(r, g_rand_boolean(r->rand)), *two = any(r, FALSE);
  const char *names[] = {one ? one->name : NULL, two && two != one ? two->name : NULL, NULL};
  char *what = g_strdup_printf("remove %s %s", names[0], names[0] ? names[1] : NULL);

  if (!one || r->now->volumes->len < MOST_VOLUMES / 2) {
    g_free(what);
    return NULL;
  }
  must(pool_remove(r->pool, names, FALSE, &error));
  if (two && two != one)
    drop(r->now, two);
  drop(r->now, one);
  return what;
}

static char *op_remove_all_of_one(Run *r)
{
  Volume *v = any(r, FALSE);
  const char *names[] = {v ? v->name : NULL, NULL};
  g_autofree char *name = v ? g_strdup(v->name) : NULL;

  if (!v || r->now->volumes->len < MOST_VOLUMES / 2)
    return NULL;
  must(pool_remove(r->pool, names, TRUE, &error));
  for (guint i = r->now->volumes->len; i > 0; i--)
    if (!g_strcmp0(((Volume *)r->now->volumes->pdata[i - 1])->snapshot_of, name))
      drop(r->now, r->now->volumes->pdata[i - 1]);
  drop(r->now, find(r->now, name));
  return g_strdup_printf("remove %s --snapshots", name);
}

static char *op_tag(Run *r)
{
  Volume *v = any(r, FALSE);
  g_autofree char *tag = g_strdup_printf("tag%u", r->n_made++);
  const char *add_tags[] = {tag, NULL}, *remove_tags[] = {v ? v->tag : NULL, NULL};

  if (!v)
    return NULL;
  must(pool_set_tags(r->pool, v->name, add_tags, remove_tags, &error));
  g_free(v->tag);
  v->tag = g_strdup(tag);
  return g_strdup_printf("tag %s", v->name);
}

static char *op_write(Run *r)
{
  Volume *v = any(r, FALSE);
  gsize offset, length;
  VtIo *volume;

  if (!v || v->template)
    return NULL;
  offset = g_rand_int_range(r->rand, 0, v->size / SECTOR) * SECTOR;
  length = (gsize)g_rand_int_range(r->rand, 1, 160) * KIB;
  length = MIN(length, v->size - offset);
  must((volume = pool_volume_open(r->pool, v->name, FALSE, "run", &error)) != NULL);
  if (g_rand_int_range(r->rand, 0, 4) == 0) {
    memset(v->bytes + offset, 0, length);
    must(vt_io_zero(volume, offset, length, g_rand_boolean(r->rand) ? VT_IO_ZERO_MAY_UNMAP : 0,
                    &error));
  } else {
    for (gsize i = 0; i < length; i += 4)
      *(guint32 *)(v->bytes + offset + i) = g_rand_int(r->rand);
    must(vt_io_write(volume, v->bytes + offset, length, offset, &error));
  }
  must(vt_io_flush(volume, &error));
  vt_io_unref(volume);
  return g_strdup_printf("write %s", v->name);
}

static char *op_grow_pool(Run *r)
{
  g_autoptr(PoolInfo) info = NULL;

  must((info = pool_get_info(r->pool, NULL, &error)) != NULL);
  must(pool_resize_pool(r->pool, NULL, info->size + EXTENT, FALSE, &error));
  return g_strdup("grow the pool");
}

static char *op_grow_metadata(Run *r)
{
  g_autoptr(PoolInfo) info = NULL;

  if (g_rand_int_range(r->rand, 0, 3))
    return NULL;
  must((info = pool_get_info(r->pool, NULL, &error)) != NULL);
  must(pool_resize_pool(r->pool, NULL, info->metadata_size + EXTENT, TRUE, &error));
  return g_strdup("grow the metadata");
}

typedef char *(*Op)(Run *r);
static const Op ops[] = {
    op_create,     op_clone,  op_snapshot, op_snapshot_group, op_rollback,          op_rollback,
    op_clone_into, op_rename, op_resize,   op_remove,         op_remove_all_of_one, op_tag,
    op_write,      op_write,  op_write,    op_grow_pool,      op_grow_metadata,     op_template};

/* --- recording --- */

static VtIo *open_recorded(const char *path, gboolean read_only, gpointer user_data, GError **error)
{
  g_autoptr(VtIo) file = vt_io_open_file(path, read_only, error);

  return file ? vt_io_recorder_new(file, user_data) : NULL;
}

static void keep(GPtrArray *states, State *now, VtIoLog *log, char *what)
{
  State *s = state_copy(now);

  s->what = what;
  s->log = vt_io_log_length(log);
  g_ptr_array_add(states, s);
}

static GPtrArray *record(const char *path, VtIoLog *log)
{
  const char *devices[] = {path, NULL};
  GPtrArray *states = g_ptr_array_new_with_free_func(state_free);
  Run run = {.rand = g_rand_new_with_seed(case_seed), .now = state_copy(NULL)};

  must((run.pool = bundled_open("pve", &(PoolWhere){.devices = devices}, open_recorded, log,
                                &error)) != NULL);
  keep(states, run.now, log, g_strdup("open"));
  while (states->len < N_OPS) {
    Op op = ops[g_rand_int_range(run.rand, 0, G_N_ELEMENTS(ops))];
    gboolean full = run.now->volumes->len >= MOST_VOLUMES;
    char *what;

    if (full && (op == op_create || op == op_clone || op == op_snapshot || op == op_snapshot_group))
      op = op_remove;
    what = op(&run);
    if (what)
      keep(states, run.now, log, what);
  }
  must(pool_close(run.pool, &error));
  keep(states, run.now, log, g_strdup("close"));
  state_free(run.now);
  g_rand_free(run.rand);
  return states;
}

/* --- comparing --- */

/* Is @v, as the pool tells of it, what @info says? */
static gboolean same_facts(const Volume *v, const PoolVolumeInfo *info)
{
  gboolean tagged = v->tag == NULL || g_strv_contains((const char *const *)info->tags, v->tag);

  return info->size == v->size && !g_strcmp0(info->origin, v->origin) &&
         !g_strcmp0(info->snapshot_of, v->snapshot_of) && tagged && !info->damage &&
         info->read_only == (v->template || v->snapshot_of) && info->skipped == info->read_only;
}

static gboolean same_list(const State *s, GPtrArray *infos)
{
  if (infos->len != s->volumes->len)
    return FALSE;
  for (guint i = 0; i < infos->len; i++) {
    const Volume *v = find(s, ((PoolVolumeInfo *)infos->pdata[i])->name);

    if (!v || !same_facts(v, infos->pdata[i]))
      return FALSE;
  }
  return TRUE;
}

/* Every sector is @a's or, if that is given, @z's. Returns the first that is neither, or -1. */
static gssize first_difference(const guint8 *found, gsize size, const Volume *a, const Volume *z)
{
  for (gsize at = 0; at < size; at += SECTOR) {
    if (at < a->size && memcmp(found + at, a->bytes + at, SECTOR) == 0)
      continue;
    if (z && at < z->size && memcmp(found + at, z->bytes + at, SECTOR) == 0)
      continue;
    return at;
  }
  return -1;
}

/* NULL: all content is that of @s, or on the way from @other to it. */
static char *compare_content(VolumeGroup *group, const State *s, const State *other)
{
  for (guint i = 0; i < s->volumes->len; i++) {
    const Volume *v = s->volumes->pdata[i], *z = other ? find(other, v->name) : NULL;
    g_autofree guint8 *found = g_malloc(v->size);
    VtIo *volume;
    gssize at;

    must((volume = pool_volume_open(group, v->name, TRUE, "check", &error)) != NULL);
    must(vt_io_read(volume, found, v->size, 0, &error));
    vt_io_unref(volume);
    at = first_difference(found, v->size, v, z);
    if (at >= 0)
      return g_strdup_printf("%s at byte %zd", v->name, at);
  }
  return NULL;
}

static char *describe(GPtrArray *infos)
{
  GString *text = g_string_new(NULL);

  for (guint i = 0; i < infos->len; i++) {
    PoolVolumeInfo *info = infos->pdata[i];
    g_autofree char *tags = g_strjoinv(",", info->tags);

    g_string_append_printf(text, "%s(%" G_GUINT64_FORMAT " of %s, %s%s%s) ", info->name, info->size,
                           info->origin, tags, info->damage ? " " : "",
                           info->damage ? info->damage : "");
  }
  return g_string_free(text, FALSE);
}

static char *describe_state(const State *s)
{
  GString *text = g_string_new(NULL);

  for (guint i = 0; i < s->volumes->len; i++) {
    Volume *v = s->volumes->pdata[i];

    g_string_append_printf(text, "%s(%zu of %s, %s) ", v->name, v->size, v->origin,
                           v->tag           ? v->tag
                           : v->snapshot_of ? v->snapshot_of
                                            : "");
  }
  return g_string_free(text, FALSE);
}

/* The state before or after the operation under way. */
static void compare(VolumeGroup *group, const State *before, const State *after, const char *cut)
{
  g_autoptr(GPtrArray) infos = NULL;
  g_autofree char *no_before = NULL, *no_after = NULL, *found = NULL, *was = NULL, *becomes = NULL;
  gboolean in_place = g_str_has_prefix(after->what, "write");

  must((infos = pool_list_volumes(group, NULL, &error)) != NULL);
  if (same_list(before, infos) &&
      !(no_before = compare_content(group, before, in_place ? after : NULL)))
    return;
  if (same_list(after, infos) &&
      !(no_after = compare_content(group, after, in_place ? before : NULL)))
    return;
  found = describe(infos);
  was = describe_state(before);
  becomes = describe_state(after);
  case_fail(
      "%s (%s): neither as before (%s) nor as after (%s)\n# found  %s\n# before %s\n# after  %s",
      cut, after->what, no_before ? no_before : "volumes", no_after ? no_after : "volumes", found,
      was, becomes);
}

/* --- one power cut --- */

static void copy_file(const char *from, const char *to)
{
  int in = open(from, O_RDONLY | O_CLOEXEC),
      out = open(to, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  g_autofree guint8 *buf = g_malloc(MIB);
  struct stat st;
  off_t end = 0;

  if (in < 0 || out < 0 || fstat(in, &st) != 0 || ftruncate(out, st.st_size) != 0)
    case_fail("%s: %s", to, g_strerror(errno));
  for (off_t at; (at = lseek(in, end, SEEK_DATA)) >= 0;) {
    end = lseek(in, at, SEEK_HOLE);
    for (; at < end; at += MIB) {
      ssize_t n = pread(in, buf, MIN((off_t)MIB, end - at), at);

      if (n <= 0 || pwrite(out, buf, n, at) != n)
        case_fail("%s: %s", to, g_strerror(errno));
    }
  }
  close(in);
  close(out);
}

static void run_judge(const char *const *argv)
{
  g_autofree char *out = NULL, *err = NULL;
  int status = 0;

  must(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                    &error));
  if (status != 0)
    case_fail("%s: %s%s", argv[0], out, err);
}

static void ask_thin_check(const char *path)
{
  const char *devices[] = {path, NULL};
  g_autoptr(LvmStore) store = NULL;
  g_autoptr(VtIo) io = NULL;
  g_autofree char *file = g_build_filename(case_folder, "metadata", NULL);
  const char *argv[] = {"thin_check", "-q", file, NULL};
  g_autofree char *bytes = NULL;

  must((store = lvm_store_open(devices, NULL, TRUE, NULL, NULL, &error)) != NULL);
  must((io = lvm_store_open_lv(store, "data_tmeta", TRUE, &error)) != NULL);
  bytes = g_malloc(vt_io_size(io));
  must(vt_io_read(io, bytes, vt_io_size(io), 0, &error));
  must(g_file_set_contents(file, bytes, vt_io_size(io), &error));
  run_judge(argv);
}

static void check_after(const char *path, const State *before, const State *after, const char *cut,
                        guint n)
{
  const char *devices[] = {path, NULL};
  g_autofree char *judge = g_strdup_printf("%s/scripts/judge", g_getenv("abs_top_srcdir"));
  const char *argv[] = {judge, "--quiet", path, NULL};
  g_autoptr(GPtrArray) errors = NULL, leaks = NULL;
  g_autoptr(GError) error = NULL;
  VolumeGroup *group;

  if (n % 4 == 0) { /* whoever looks before it is recovered sees all of it, too */
    must((group = pool_open_bundled(
              "pve", &(PoolWhere){.devices = devices, .flags = POOL_READ_ONLY}, &error)) != NULL);
    if (!g_str_has_prefix(after->what, "roll") && !g_str_has_prefix(after->what, "clone"))
      compare(group, before, after, cut);
    must(pool_close(group, &error));
  }
  group = pool_open_bundled("pve", &(PoolWhere){.devices = devices}, &error);
  if (!group)
    case_fail("%s (%s): %s", cut, after->what, error->message);
  compare(group, before, after, cut);
  must(pool_check(group, NULL, &errors, &leaks, &error));
  if (errors->len)
    case_fail("%s (%s): %s", cut, after->what, (char *)errors->pdata[0]);
  must(pool_create(group, NULL, "afterwards", EXTENT, &error));
  must(pool_close(group, &error));
  if (n % 10 == 0)
    ask_thin_check(path);
  if (n % 250 == 0 && geteuid() == 0)
    run_judge(argv);
}

static void cut_power(VtIoLog *log, GPtrArray *states, guint n, guint n_cuts)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(case_seed + n);
  g_autofree char *base = g_build_filename(case_folder, "base.img", NULL),
                  *path = g_build_filename(case_folder, "cut.img", NULL), *cut = NULL;
  guint first = ((State *)states->pdata[0])->log, last = vt_io_log_length(log), upto, i = 0;
  int fd;

  /* Evenly over the record; the last of a point's kind of cut applies all that was written. */
  upto = first + (guint64)n * (last - first) / n_cuts;
  while (i + 1 < states->len && ((State *)states->pdata[i + 1])->log <= upto)
    i++;
  copy_file(base, path);
  fd = open(path, O_RDWR | O_CLOEXEC);
  must(vt_io_log_replay(log, 0, upto, n % 5 == 4 ? NULL : rand, fd, &error));
  close(fd);
  cut = g_strdup_printf("cut %u at %u of %u", n, upto, last);
  check_after(path, states->pdata[i], states->pdata[MIN(i + 1, states->len - 1)], cut, n);
}

int main(void)
{
  guint n_cuts = g_getenv("VIRT_THIN_TEST_LONG") ? 10500 : 1050;
  g_autofree char *path = NULL, *base = NULL;
  const PoolNew part = {.size = 6 * MIB, .metadata_size = 2 * MIB};
  VtIoLog *log = vt_io_log_new();
  GPtrArray *states;
  gint64 start;

  case_begin(20260101);
  path = g_build_filename(case_folder, "pv.img", NULL);
  base = g_build_filename(case_folder, "base.img", NULL);
  must(pool_init("pve", "data", path, 40 * MIB, EXTENT, &part, &error));
  copy_file(path, base);
  start = g_get_monotonic_time();
  states = record(path, log);
  printf("# seed %u: %u operations, %u entries recorded in %.1f s\n", case_seed, states->len,
         vt_io_log_length(log), (g_get_monotonic_time() - start) / 1e6);
  for (guint n = 0; n < n_cuts; n++) {
    cut_power(log, states, n, n_cuts);
    progress("%u of %u power cuts", n + 1, n_cuts);
  }
  printf("# %u power cuts in %.1f s\n", n_cuts, (g_get_monotonic_time() - start) / 1e6);
  case_end("%u power cuts of %u pool operations", n_cuts, states->len);
  g_ptr_array_unref(states);
  vt_io_log_free(log);
  return 0;
}
