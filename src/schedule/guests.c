/* virt-thin - replicas: which volumes make a guest
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "schedule/guests.h"

#include <string.h>

#include "apply/domains.h"
#include "cli/cli.h"
#include "pool/guest.h"
#include "schedule/nvram.h"
#include "schedule/replicas.h"
#include "settings/settings.h"
#include "util/io.h"

#define PATIENCE_S 30

typedef struct {
  char *vg, *pool, *volume, *snapshot, *vmid; /* vmid NULL: none */
  guint group;
} Member;

typedef struct {
  const ApplyDomain *domain;
  GPtrArray *disks; /* target, "VG/LV", … */
  guint group;
} User;

struct Guests {
  GPtrArray *members, *users;
  ApplyDomains *domains; /* NULL: libvirt was not asked */
};

static void member_free(gpointer data)
{
  Member *member = data;

  g_free(member->vg);
  g_free(member->pool);
  g_free(member->volume);
  g_free(member->snapshot);
  g_free(member->vmid);
  g_free(member);
}

static void user_free(gpointer data)
{
  User *user = data;

  g_ptr_array_unref(user->disks);
  g_free(user);
}

Guests *guests_new(void)
{
  Guests *guests = g_new0(Guests, 1);

  guests->members = g_ptr_array_new_with_free_func(member_free);
  guests->users = g_ptr_array_new_with_free_func(user_free);
  return guests;
}

void guests_free(Guests *guests)
{
  g_ptr_array_unref(guests->members);
  g_ptr_array_unref(guests->users);
  g_clear_pointer(&guests->domains, apply_domains_free);
  g_free(guests);
}

void guests_add(Guests *guests, const char *vg, const char *pool, const char *volume,
                const char *snapshot)
{
  Member *member = g_new0(Member, 1);
  PoolGuestName name = {0};

  member->vg = g_strdup(vg);
  member->pool = g_strdup(pool);
  member->volume = g_strdup(volume);
  member->snapshot = g_strdup(snapshot);
  member->group = guests->members->len;
  if (pool_guest_parse_name(POOL_GUEST_THIN, volume, &name, NULL))
    member->vmid = g_strdup(name.vmid);
  pool_guest_name_clear(&name);
  g_ptr_array_add(guests->members, member);
}

/* --- libvirt, which has no deadlines --- */

typedef struct {
  GMutex lock;
  GCond cond;
  gboolean done, given_up;
  ApplyDomains *domains;
  GError *error;
} Question;

static void question_free(Question *question)
{
  g_mutex_clear(&question->lock);
  g_cond_clear(&question->cond);
  g_clear_error(&question->error);
  g_free(question);
}

static gpointer ask(gpointer data)
{
  Question *question = data;
  g_autoptr(GError) local = NULL;
  ApplyDomains *domains = apply_domains_open(&local);
  gboolean given_up;

  g_mutex_lock(&question->lock);
  question->domains = domains;
  question->error = g_steal_pointer(&local);
  question->done = TRUE;
  given_up = question->given_up;
  g_cond_signal(&question->cond);
  g_mutex_unlock(&question->lock);
  if (given_up) {
    apply_domains_free(domains);
    question_free(question);
  }
  return NULL;
}

/* NULL: told. */
static ApplyDomains *ask_libvirt(void)
{
  Question *question = g_new0(Question, 1);
  gint64 deadline = g_get_monotonic_time() + PATIENCE_S * G_TIME_SPAN_SECOND;
  ApplyDomains *domains;

  g_mutex_init(&question->lock);
  g_cond_init(&question->cond);
  g_thread_unref(g_thread_new("libvirt", ask, question));
  g_mutex_lock(&question->lock);
  while (!question->done && g_cond_wait_until(&question->cond, &question->lock, deadline))
    ;
  question->given_up = !question->done;
  domains = question->domains;
  if (question->given_up)
    cli_warn("note: libvirt does not answer, so no domain goes along with the volumes");
  else if (!domains)
    cli_warn("note: no domain goes along with the volumes: %s", question->error->message);
  /* Given up, it is the thread's. */
  if (question->given_up) {
    g_mutex_unlock(&question->lock);
    return NULL;
  }
  g_mutex_unlock(&question->lock);
  question_free(question);
  return domains;
}

/* --- who belongs together --- */

static void merge(Guests *guests, guint from, guint to)
{
  for (guint i = 0; i < guests->members->len; i++) {
    Member *member = guests->members->pdata[i];

    if (member->group == from)
      member->group = to;
  }
}

/* device-mapper's name of a volume has each - twice. */
static char *mapper_path(const char *vg, const char *lv)
{
  g_auto(GStrv) one = g_strsplit(vg, "-", -1), two = g_strsplit(lv, "-", -1);
  g_autofree char *a = g_strjoinv("--", one), *b = g_strjoinv("--", two);

  return g_strdup_printf("/dev/mapper/%s-%s", a, b);
}

static gboolean is_at(const Member *member, const char *path)
{
  g_autofree char *link = g_build_filename("/dev", member->vg, member->volume, NULL),
                  *ours = g_build_filename(settings_dev_dir(), member->vg, member->volume, NULL),
                  *mapper = mapper_path(member->vg, member->volume),
                  *views = settings_vg_file(member->vg, "volumes"),
                  *file = g_build_filename(views, member->volume, NULL);

  return vt_is_same_file(path, link) || vt_is_same_file(path, ours) ||
         vt_is_same_file(path, mapper) || vt_is_same_file(path, file);
}

static gboolean is_disk(Guests *guests, const Member *member, const ApplyDisk *disk)
{
  const char *source = disk->pool ? apply_domains_pool_source(guests->domains, disk->pool) : NULL;
  g_autofree char *whole = g_strconcat(member->vg, "/", member->pool, NULL);

  if (disk->path)
    return is_at(member, disk->path);
  return source && disk->volume && strcmp(disk->volume, member->volume) == 0 &&
         (strcmp(source, member->vg) == 0 || strcmp(source, whole) == 0);
}

static void add_domain(Guests *guests, const ApplyDomain *domain)
{
  g_autoptr(GPtrArray) disks = apply_domain_disks(domain->document);
  User *user = NULL;

  for (guint i = 0; i < disks->len; i++)
    for (guint j = 0; j < guests->members->len; j++) {
      const Member *member = guests->members->pdata[j];
      const ApplyDisk *disk = disks->pdata[i];

      if (!is_disk(guests, member, disk))
        continue;
      if (!user) {
        user = g_new0(User, 1);
        user->domain = domain;
        user->disks = g_ptr_array_new_with_free_func(g_free);
        user->group = j;
        g_ptr_array_add(guests->users, user);
      }
      g_ptr_array_add(user->disks, g_strdup(disk->target));
      g_ptr_array_add(user->disks, g_strconcat(member->vg, "/", member->volume, NULL));
      merge(guests, member->group, ((const Member *)guests->members->pdata[user->group])->group);
    }
}

void guests_group(Guests *guests)
{
  const GPtrArray *domains;

  for (guint i = 0; i < guests->members->len; i++)
    for (guint j = 0; j < i; j++) {
      const Member *a = guests->members->pdata[i], *b = guests->members->pdata[j];

      if (a->vmid && g_strcmp0(a->vmid, b->vmid) == 0)
        merge(guests, a->group, b->group);
    }
  if (guests->members->len == 0 || !(guests->domains = ask_libvirt()))
    return;
  domains = apply_domains_list(guests->domains);
  for (guint i = 0; i < domains->len; i++)
    add_domain(guests, domains->pdata[i]);
  /* A user's group was a member until now. */
  for (guint i = 0; i < guests->users->len; i++) {
    User *user = guests->users->pdata[i];

    user->group = ((const Member *)guests->members->pdata[user->group])->group;
  }
}

static gboolean is_whole(Guests *guests, guint group)
{
  for (guint i = 0; i < guests->members->len; i++) {
    const Member *member = guests->members->pdata[i];

    if (member->group == group && !member->snapshot)
      return FALSE;
  }
  return TRUE;
}

gboolean guests_is_whole(Guests *guests, const char *vg, const char *volume)
{
  for (guint i = 0; i < guests->members->len; i++) {
    const Member *member = guests->members->pdata[i];

    if (strcmp(member->vg, vg) == 0 && strcmp(member->volume, volume) == 0)
      return is_whole(guests, member->group);
  }
  return TRUE;
}

/* --- telling --- */

static const char *name_of(Guests *guests, guint group)
{
  const char *name = NULL;

  for (guint i = 0; i < guests->members->len; i++) {
    const Member *member = guests->members->pdata[i];

    if (member->group == group && member->vmid)
      return member->vmid;
    if (member->group == group && !name)
      name = member->volume;
  }
  for (guint i = 0; i < guests->users->len; i++)
    if (((const User *)guests->users->pdata[i])->group == group)
      return ((const User *)guests->users->pdata[i])->domain->name;
  return name;
}

static void set_list(GKeyFile *file, const char *group, const char *key, GPtrArray *list)
{
  g_key_file_set_string_list(file, group, key, (const char *const *)list->pdata, list->len);
}

static void describe_nvram(const ApplyDomain *domain, const char *section, GKeyFile *file)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *packed = nvram_pack(domain->document, &local);

  if (!packed)
    cli_warn("note: the UEFI variables of domain %s do not go along: %s", domain->name,
             local->message);
  else if (*packed)
    g_key_file_set_string(file, section, "nvram", packed);
}

static void describe_domains(Guests *guests, guint group, const char *section, GKeyFile *file)
{
  g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);

  for (guint i = 0; i < guests->users->len; i++) {
    const User *user = guests->users->pdata[i];
    g_autofree char *name = g_strdup_printf("domain %u", i);

    if (user->group != group)
      continue;
    g_ptr_array_add(ids, g_strdup_printf("%u", i));
    g_key_file_set_string(file, name, "name", user->domain->name);
    g_key_file_set_string(file, name, "uuid", user->domain->uuid);
    g_key_file_set_string(file, name, "xml", user->domain->document);
    describe_nvram(user->domain, name, file);
    set_list(file, name, "disks", user->disks);
  }
  set_list(file, section, "domains", ids);
}

static void describe_guest(Guests *guests, guint group, GKeyFile *file)
{
  g_autofree char *section = g_strdup_printf("guest %u", group);
  g_autoptr(GPtrArray) volumes = g_ptr_array_new_with_free_func(g_free),
                       snapshots = g_ptr_array_new();

  for (guint i = 0; i < guests->members->len; i++) {
    const Member *member = guests->members->pdata[i];

    if (member->group != group)
      continue;
    g_ptr_array_add(volumes, g_strconcat(member->vg, "/", member->volume, NULL));
    g_ptr_array_add(snapshots, member->snapshot);
  }
  g_key_file_set_string(file, section, "name", name_of(guests, group));
  set_list(file, section, "volumes", volumes);
  set_list(file, section, "snapshots", snapshots);
  g_key_file_set_boolean(file, section, "asked", guests->domains != NULL);
  describe_domains(guests, group, section, file);
}

char *guests_describe(Guests *guests, const Schedule *s, const Peer *peer, const char *host,
                      gint64 time)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  gboolean some = FALSE;

  g_key_file_set_integer(file, "replicas", "version", REPLICAS_VERSION);
  g_key_file_set_string(file, "replicas", "schedule", s->name);
  g_key_file_set_string(file, "replicas", "host", host);
  g_key_file_set_string(file, "replicas", "vg", peer->vg);
  g_key_file_set_string(file, "replicas", "pool", peer->pool);
  g_key_file_set_int64(file, "replicas", "time", time);
  for (guint i = 0; i < guests->members->len; i++) {
    guint group = ((const Member *)guests->members->pdata[i])->group;
    g_autofree char *section = g_strdup_printf("guest %u", group);

    if (g_key_file_has_group(file, section) || !is_whole(guests, group))
      continue;
    describe_guest(guests, group, file);
    some = TRUE;
  }
  return some ? g_key_file_to_data(file, NULL, NULL) : NULL;
}
