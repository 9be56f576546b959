/* virt-thin - the domains of this host's libvirt
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "apply/domains.h"

#include <string.h>
#include <unistd.h>

#include "apply/apply.h"
#include "apply/libvirt-client.h"

struct ApplyDomains {
  const LibvirtClient *libvirt;
  virConnectPtr connection;
  GPtrArray *domains;  /* of ApplyDomain */
  GHashTable *sources; /* of pools, by name: "VG" or "VG/POOL" */
};

static gboolean failed(ApplyDomains *d, GError **error, const char *what, const char *name)
{
  virErrorPtr last = d->libvirt->virGetLastError();

  return vt_set_error(error, EIO, "%s%s%s: %s", what, name ? " " : "", name ? name : "",
                      last && last->message ? last->message : "libvirt does not say why");
}

/* libvirt prints each error itself, else. */
static void be_silent(void *data, virErrorPtr error)
{
}

static void domain_free(gpointer data)
{
  ApplyDomain *domain = data;

  g_free(domain->name);
  g_free(domain->uuid);
  g_free(domain->document);
  g_free(domain);
}

static void read_domain(ApplyDomains *d, virDomainPtr handle)
{
  char *document =
      d->libvirt->virDomainGetXMLDesc(handle, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
  char uuid[VIR_UUID_STRING_BUFLEN];
  ApplyDomain *domain;

  /* It has gone meanwhile. */
  if (!document || d->libvirt->virDomainGetUUIDString(handle, uuid) < 0) {
    free(document);
    return;
  }
  domain = g_new0(ApplyDomain, 1);
  domain->name = g_strdup(d->libvirt->virDomainGetName(handle));
  domain->uuid = g_strdup(uuid);
  domain->document = g_strdup(document);
  domain->active = d->libvirt->virDomainIsActive(handle) == 1;
  g_ptr_array_add(d->domains, domain);
  free(document);
}

static gboolean read_domains(ApplyDomains *d, GError **error)
{
  virDomainPtr *handles = NULL;
  int n = d->libvirt->virConnectListAllDomains(d->connection, &handles, 0);

  if (n < 0)
    return failed(d, error, "listing domains", NULL);
  for (int i = 0; i < n; i++) {
    read_domain(d, handles[i]);
    d->libvirt->virDomainFree(handles[i]);
  }
  free(handles);
  return TRUE;
}

static void read_pool(ApplyDomains *d, virStoragePoolPtr handle)
{
  char *document = d->libvirt->virStoragePoolGetXMLDesc(handle, 0);
  g_autoptr(GHashTable) fields = document ? apply_fields(document) : NULL;
  const char *source = fields ? g_hash_table_lookup(fields, "source name") : NULL;

  if (source && g_strcmp0(g_hash_table_lookup(fields, "type"), "logical") == 0)
    g_hash_table_insert(d->sources, g_strdup(d->libvirt->virStoragePoolGetName(handle)),
                        g_strdup(source));
  free(document);
}

/* A libvirt without storage has none. */
static void read_pools(ApplyDomains *d)
{
  virStoragePoolPtr *handles = NULL;
  int n = d->libvirt->virConnectListAllStoragePools(d->connection, &handles, 0);

  for (int i = 0; i < n; i++) {
    read_pool(d, handles[i]);
    d->libvirt->virStoragePoolFree(handles[i]);
  }
  if (n >= 0)
    free(handles);
}

/* Has this user a daemon? root's is the system's. */
static gboolean may_connect(void)
{
  static const char *const sockets[] = {"libvirt-sock", "virtqemud-sock"};

  if (geteuid() == 0 || g_getenv("LIBVIRT_DEFAULT_URI"))
    return TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS(sockets); i++) {
    g_autofree char *path = g_build_filename(g_get_user_runtime_dir(), "libvirt", sockets[i], NULL);

    if (g_file_test(path, G_FILE_TEST_EXISTS))
      return TRUE;
  }
  return FALSE;
}

ApplyDomains *apply_domains_open(GError **error)
{
  g_autoptr(ApplyDomains) d = g_new0(ApplyDomains, 1);

  d->domains = g_ptr_array_new_with_free_func(domain_free);
  d->sources = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  if (!may_connect()) {
    vt_set_error(error, ENOENT, "this user's libvirt does not run");
    return NULL;
  }
  if (!(d->libvirt = libvirt_client(error)))
    return NULL;
  d->libvirt->virSetErrorFunc(NULL, be_silent);
  d->connection = d->libvirt->virConnectOpen(NULL);
  if (!d->connection) {
    failed(d, error, "connecting to libvirt", NULL);
    return NULL;
  }
  if (!read_domains(d, error))
    return NULL;
  read_pools(d);
  return g_steal_pointer(&d);
}

void apply_domains_free(ApplyDomains *d)
{
  if (!d)
    return;
  if (d->connection)
    d->libvirt->virConnectClose(d->connection);
  g_ptr_array_unref(d->domains);
  g_hash_table_unref(d->sources);
  g_free(d);
}

const GPtrArray *apply_domains_list(ApplyDomains *d)
{
  return d->domains;
}

const ApplyDomain *apply_domains_find(ApplyDomains *d, const char *name)
{
  for (guint i = 0; i < d->domains->len; i++)
    if (strcmp(((const ApplyDomain *)d->domains->pdata[i])->name, name) == 0)
      return d->domains->pdata[i];
  return NULL;
}

const ApplyDomain *apply_domains_find_uuid(ApplyDomains *d, const char *uuid)
{
  for (guint i = 0; i < d->domains->len; i++)
    if (g_ascii_strcasecmp(((const ApplyDomain *)d->domains->pdata[i])->uuid, uuid) == 0)
      return d->domains->pdata[i];
  return NULL;
}

const char *apply_domains_pool_source(ApplyDomains *d, const char *pool)
{
  return g_hash_table_lookup(d->sources, pool);
}

const char *apply_domains_find_pool(ApplyDomains *d, const char *vg, const char *pool)
{
  g_autofree char *whole = g_strconcat(vg, "/", pool, NULL);
  const char *found = NULL;
  GHashTableIter iter;
  gpointer name, source;

  g_hash_table_iter_init(&iter, d->sources);
  while (g_hash_table_iter_next(&iter, &name, &source)) {
    if (strcmp(source, whole) == 0)
      return name;
    if (strcmp(source, vg) == 0)
      found = name;
  }
  return found;
}

gboolean apply_domains_define(ApplyDomains *d, const char *name, const char *document,
                              GError **error)
{
  virDomainPtr handle = d->libvirt->virDomainDefineXML(d->connection, document);

  if (!handle)
    return failed(d, error, "defining domain", name);
  d->libvirt->virDomainFree(handle);
  return TRUE;
}

gboolean apply_domains_start(ApplyDomains *d, const char *name, GError **error)
{
  virDomainPtr handle = d->libvirt->virDomainLookupByName(d->connection, name);
  gboolean ok = handle && d->libvirt->virDomainCreate(handle) == 0;

  if (!ok)
    failed(d, error, "starting domain", name);
  if (handle)
    d->libvirt->virDomainFree(handle);
  return ok;
}
