/* virt-thin - replicas: what the host that has them is told of whose they are
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/replicas.h"

#include <string.h>
#include <unistd.h>

#include "schedule/schedule.h"
#include "settings/settings.h"
#include "util/files.h"
#include "util/name.h"

#define HEAD "replicas"
#define SUFFIX ".conf"

static void domain_free(gpointer data)
{
  ReplicaDomain *domain = data;

  g_free(domain->name);
  g_free(domain->uuid);
  g_free(domain->document);
  g_free(domain->nvram);
  g_strfreev(domain->disks);
  g_free(domain);
}

void replica_free(Replica *replica)
{
  if (!replica)
    return;
  g_free(replica->file);
  g_free(replica->schedule);
  g_free(replica->host);
  g_free(replica->address);
  g_free(replica->vg);
  g_free(replica->pool);
  g_free(replica->guest);
  g_strfreev(replica->volumes);
  g_strfreev(replica->snapshots);
  g_clear_pointer(&replica->domains, g_ptr_array_unref);
  g_free(replica);
}

const char *replica_lv(const char *volume)
{
  const char *slash = strchr(volume, '/');

  return slash ? slash + 1 : volume;
}

/* --- reading --- */

static gboolean bad(GError **error, const char *what)
{
  return vt_set_error(error, EINVAL, "what is said of replicas is not understood: %s", what);
}

static gboolean read_head(GKeyFile *file, Replica *r, GError **error)
{
  gint64 version = g_key_file_get_int64(file, HEAD, "version", NULL);

  if (version != REPLICAS_VERSION)
    return bad(error, version > REPLICAS_VERSION ? "it is a newer virt-thin's" : "no version");
  r->schedule = g_key_file_get_string(file, HEAD, "schedule", NULL);
  r->host = g_key_file_get_string(file, HEAD, "host", NULL);
  r->address = g_key_file_get_string(file, HEAD, "address", NULL);
  r->vg = g_key_file_get_string(file, HEAD, "vg", NULL);
  r->pool = g_key_file_get_string(file, HEAD, "pool", NULL);
  r->time = g_key_file_get_int64(file, HEAD, "time", NULL);
  if (!r->schedule || !schedule_check_name(r->schedule, NULL))
    return bad(error, "no schedule");
  if (!r->host || !schedule_check_name(r->host, NULL))
    return bad(error, "no host");
  if (!r->vg || !vt_vg_name_check(r->vg, NULL) || !r->pool || !vt_lv_name_check(r->pool, NULL))
    return bad(error, "no thin pool");
  return r->time > 0 || bad(error, "no time");
}

static gboolean check_volumes(const Replica *r)
{
  guint n = r->volumes ? g_strv_length(r->volumes) : 0;

  if (n == 0 || !r->snapshots || g_strv_length(r->snapshots) != n)
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!strchr(r->volumes[i], '/') || !vt_lv_name_check(replica_lv(r->volumes[i]), NULL) ||
        !vt_lv_name_check(r->snapshots[i], NULL))
      return FALSE;
  return TRUE;
}

static gboolean read_domain(GKeyFile *file, const char *id, Replica *r, GError **error)
{
  g_autofree char *group = g_strconcat("domain ", id, NULL);
  ReplicaDomain *domain = g_new0(ReplicaDomain, 1);

  g_ptr_array_add(r->domains, domain);
  domain->name = g_key_file_get_string(file, group, "name", NULL);
  domain->uuid = g_key_file_get_string(file, group, "uuid", NULL);
  domain->document = g_key_file_get_string(file, group, "xml", NULL);
  domain->nvram = g_key_file_get_string(file, group, "nvram", NULL);
  domain->disks = g_key_file_get_string_list(file, group, "disks", NULL, NULL);
  return (domain->name && domain->uuid && g_uuid_string_is_valid(domain->uuid) &&
          domain->document && domain->disks && g_strv_length(domain->disks) % 2 == 0) ||
         bad(error, "half a domain");
}

/* Guest @group ("guest 0") of @file, which has a head. NULL: @error. */
static Replica *read_guest(GKeyFile *file, const char *group, GError **error)
{
  g_autoptr(Replica) r = g_new0(Replica, 1);
  g_auto(GStrv) domains = g_key_file_get_string_list(file, group, "domains", NULL, NULL);

  r->domains = g_ptr_array_new_with_free_func(domain_free);
  if (!read_head(file, r, error))
    return NULL;
  r->guest = g_key_file_get_string(file, group, "name", NULL);
  r->volumes = g_key_file_get_string_list(file, group, "volumes", NULL, NULL);
  r->snapshots = g_key_file_get_string_list(file, group, "snapshots", NULL, NULL);
  r->asked = g_key_file_get_boolean(file, group, "asked", NULL);
  if (!r->guest || !*r->guest || !check_volumes(r)) {
    bad(error, "half a guest");
    return NULL;
  }
  for (char **id = domains; id && *id; id++)
    if (!read_domain(file, *id, r, error))
      return NULL;
  return g_steal_pointer(&r);
}

static GKeyFile *parse(const char *text, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) local = NULL;

  if (g_key_file_load_from_data(file, text, (gsize)-1, G_KEY_FILE_NONE, &local))
    return g_steal_pointer(&file);
  bad(error, local->message);
  return NULL;
}

Replica *replicas_head(const char *text, GError **error)
{
  g_autoptr(GKeyFile) file = parse(text, error);
  g_autoptr(Replica) r = g_new0(Replica, 1);

  return file && read_head(file, r, error) ? g_steal_pointer(&r) : NULL;
}

/* --- the files --- */

static char *top_folder(void)
{
  return g_build_filename(settings_state_dir(), "replicas", NULL);
}

static int newest_first(gconstpointer a, gconstpointer b)
{
  const Replica *one = *(const Replica *const *)a, *two = *(const Replica *const *)b;

  return one->time == two->time ? strcmp(one->file, two->file) : one->time < two->time ? 1 : -1;
}

static void list_folder(const char *folder, GPtrArray *replicas)
{
  g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;
    g_autoptr(GError) local = NULL;
    g_autoptr(GKeyFile) file = NULL;
    Replica *replica;

    if (!g_str_has_suffix(name, SUFFIX) || !g_file_get_contents(path, &text, NULL, &local))
      continue;
    file = parse(text, &local);
    replica = file ? read_guest(file, "guest 0", &local) : NULL;
    if (!replica) {
      g_warning("%s: %s", path, local->message);
      continue;
    }
    replica->file = g_steal_pointer(&path);
    g_ptr_array_add(replicas, replica);
  }
}

GPtrArray *replicas_list(void)
{
  GPtrArray *replicas = g_ptr_array_new_with_free_func((GDestroyNotify)replica_free);
  g_autofree char *top = top_folder();
  g_autoptr(GDir) dir = g_dir_open(top, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    g_autofree char *folder = g_build_filename(top, name, NULL);

    if (g_file_test(folder, G_FILE_TEST_IS_DIR))
      list_folder(folder, replicas);
  }
  g_ptr_array_sort(replicas, newest_first);
  return replicas;
}

/* Names are used again. */
const char *replica_missing(const Replica *r, GPtrArray *there)
{
  for (char **snapshot = r->snapshots; *snapshot; snapshot++) {
    gboolean found = FALSE;

    for (guint i = 0; i < there->len && !found; i++) {
      const ScheduleSnapshot *s = there->pdata[i];

      found =
          s->time == r->time && strcmp(s->lv, *snapshot) == 0 && g_strcmp0(s->pool, r->pool) == 0;
    }
    if (!found)
      return *snapshot;
  }
  return NULL;
}

void replicas_prune(const Replica *like, GPtrArray *there)
{
  g_autoptr(GPtrArray) replicas = replicas_list();

  for (guint i = 0; i < replicas->len; i++) {
    const Replica *r = replicas->pdata[i];

    if (strcmp(r->host, like->host) == 0 && strcmp(r->schedule, like->schedule) == 0 &&
        strcmp(r->vg, like->vg) == 0 && strcmp(r->pool, like->pool) == 0 &&
        replica_missing(r, there))
      unlink(r->file);
  }
}

/* --- keeping --- */

static void copy_group(GKeyFile *from, const char *group, GKeyFile *to, const char *as)
{
  g_auto(GStrv) keys = g_key_file_get_keys(from, group, NULL, NULL);

  for (char **key = keys; key && *key; key++) {
    g_autofree char *value = g_key_file_get_value(from, group, *key, NULL);

    g_key_file_set_value(to, as, *key, value);
  }
}

static void add_domain(GKeyFile *file, guint index, const ReplicaDomain *domain)
{
  g_autofree char *group = g_strdup_printf("domain %u", index);

  g_key_file_set_string(file, group, "name", domain->name);
  g_key_file_set_string(file, group, "uuid", domain->uuid);
  g_key_file_set_string(file, group, "xml", domain->document);
  if (domain->nvram)
    g_key_file_set_string(file, group, "nvram", domain->nvram);
  g_key_file_set_string_list(file, group, "disks", (const char *const *)domain->disks,
                             g_strv_length(domain->disks));
}

/* Where libvirt was not asked, the domains that are known from before. */
static void take_over_domains(Replica *r, GPtrArray *known)
{
  for (guint i = 0; i < known->len; i++) {
    Replica *old = known->pdata[i];

    if (strcmp(old->host, r->host) != 0 || strcmp(old->guest, r->guest) != 0)
      continue;
    if (old->domains->len) {
      g_ptr_array_unref(r->domains);
      r->domains = g_ptr_array_ref(old->domains);
    }
    return;
  }
}

/* What is too long for a file's name has a digest. */
static char *file_name(const Replica *r)
{
  g_autofree char *escaped = g_uri_escape_string(r->guest, NULL, FALSE),
                  *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, r->guest, -1);

  return g_strdup_printf("%s@%s-%" G_GINT64_FORMAT SUFFIX,
                         strlen(escaped) <= 128 ? escaped : digest, r->schedule, r->time);
}

static gboolean write_guest(GKeyFile *file, const char *group, const Replica *r,
                            const char *address, GError **error)
{
  g_autoptr(GKeyFile) out = g_key_file_new();
  g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
  g_autofree char *top = top_folder(), *folder = g_build_filename(top, r->host, NULL),
                  *name = file_name(r), *path = g_build_filename(folder, name, NULL), *text = NULL;

  copy_group(file, HEAD, out, HEAD);
  g_key_file_remove_key(out, HEAD, "address", NULL);
  if (address)
    g_key_file_set_string(out, HEAD, "address", address);
  copy_group(file, group, out, "guest 0");
  for (guint i = 0; i < r->domains->len; i++) {
    add_domain(out, i, r->domains->pdata[i]);
    g_ptr_array_add(ids, g_strdup_printf("%u", i));
  }
  g_key_file_set_string_list(out, "guest 0", "domains", (const char *const *)ids->pdata, ids->len);
  text = g_key_file_to_data(out, NULL, NULL);
  return settings_make_folder(folder, error) && files_write(path, text, -1, 0600, error);
}

/* All are read before one is written. */
gboolean replicas_keep(const char *text, const char *address, GError **error)
{
  g_autoptr(GKeyFile) file = parse(text, error);
  g_autoptr(Replica) head = file ? replicas_head(text, error) : NULL;
  g_autoptr(GPtrArray) guests = g_ptr_array_new_with_free_func((GDestroyNotify)replica_free),
                       names = g_ptr_array_new_with_free_func(g_free), known = NULL;
  g_auto(GStrv) groups = head ? g_key_file_get_groups(file, NULL) : NULL;

  if (!head)
    return FALSE;
  for (char **group = groups; *group; group++) {
    Replica *r;

    if (!g_str_has_prefix(*group, "guest "))
      continue;
    if (!(r = read_guest(file, *group, error)))
      return FALSE;
    g_ptr_array_add(guests, r);
    g_ptr_array_add(names, g_strdup(*group));
  }
  known = replicas_list();
  for (guint i = 0; i < guests->len; i++) {
    Replica *r = guests->pdata[i];

    if (!r->asked)
      take_over_domains(r, known);
    if (!write_guest(file, names->pdata[i], r, address, error))
      return FALSE;
  }
  return TRUE;
}
