/* virt-thin - storage apply: what is in libvirt
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "apply/apply.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <string.h>

#include "apply/libvirt-client.h"

/* Set as soon as there is a host. */
static const LibvirtClient *libvirt;

struct ApplyHost {
  virConnectPtr connection;
  GPtrArray *pools;        /* of ApplyPool */
  GPtrArray *uses;         /* of Use */
  GHashTable *unsupported; /* types of pools; NULL: not known */
  gboolean sees_no_domains;
};

typedef struct {
  char *domain, *pool, *path, *protocol, *name;
} Use;

static gboolean libvirt_failed(GError **error, const char *what, const char *name)
{
  virErrorPtr last = libvirt->virGetLastError();

  return vt_set_error(error, EIO, "%s%s%s: %s", what, name ? " " : "", name ? name : "",
                      last && last->message ? last->message : "libvirt does not say why");
}

/* libvirt prints each error itself, else. */
static void be_silent(void *data, virErrorPtr error)
{
}

/* --- documents --- */

static GPtrArray *xpath(xmlXPathContextPtr context, const char *expression)
{
  GPtrArray *nodes = g_ptr_array_new();
  xmlXPathObjectPtr found = xmlXPathEvalExpression(BAD_CAST expression, context);

  for (int i = 0; found && found->nodesetval && i < found->nodesetval->nodeNr; i++)
    g_ptr_array_add(nodes, found->nodesetval->nodeTab[i]);
  xmlXPathFreeObject(found);
  return nodes;
}

static char *attribute(xmlNodePtr node, const char *name)
{
  xmlChar *value = xmlGetProp(node, BAD_CAST name);
  char *copy = value ? g_strdup((const char *)value) : NULL;

  xmlFree(value);
  return copy;
}

static xmlXPathContextPtr parse_xml(const char *text)
{
  xmlDocPtr document = xmlReadMemory(text, (int)strlen(text), "libvirt.xml", NULL,
                                     XML_PARSE_NONET | XML_PARSE_NOERROR);

  return document ? xmlXPathNewContext(document) : NULL;
}

static void free_xml(xmlXPathContextPtr context)
{
  xmlDocPtr document = context->doc;

  xmlXPathFreeContext(context);
  xmlFreeDoc(document);
}

/* As libvirt's virFileSanitizePath() does. */
static char *sanitize_path(const char *path)
{
  GString *clean = g_string_new(NULL);

  for (const char *p = path; *p; p++)
    if (*p != '/' || !clean->len || clean->str[clean->len - 1] != '/')
      g_string_append_c(clean, *p);
  if (clean->len > 1 && clean->str[clean->len - 1] == '/')
    g_string_truncate(clean, clean->len - 1);
  return g_string_free(clean, FALSE);
}

/* Each field: its name, where it is, and whether it is a path. Several nodes are joined. */
static const struct {
  const char *field, *path, *attributes[3];
  gboolean is_path;
} places[] = {
    {"type", "/pool", {"type"}, FALSE},
    {"source name", "/pool/source/name", {NULL}, FALSE},
    {"host", "/pool/source/host", {"name", "port"}, FALSE},
    {"folder on the host", "/pool/source/dir", {"path"}, TRUE},
    {"device", "/pool/source/device", {"path"}, FALSE},
    {"format", "/pool/source/format", {"type"}, FALSE},
    {"initiator", "/pool/source/initiator/iqn", {"name"}, FALSE},
    {"user", "/pool/source/auth", {"type", "username"}, FALSE},
    {"secret", "/pool/source/auth/secret", {"uuid", "usage"}, FALSE},
    {"target", "/pool/target/path", {NULL}, TRUE},
    {"option", "/pool/*[local-name()='mount_opts']/*", {"name"}, FALSE},
    {"Ceph option", "/pool/*[local-name()='config_opts']/*", {"name", "value"}, FALSE},
};

static char *read_node(xmlNodePtr node, const char *const *attributes, gboolean is_path)
{
  g_autoptr(GString) text = g_string_new(NULL);

  if (!attributes[0]) {
    xmlChar *content = xmlNodeGetContent(node);

    g_string_append(text, (const char *)content);
    xmlFree(content);
  }
  for (gsize i = 0; i < 3 && attributes[i]; i++) {
    g_autofree char *value = attribute(node, attributes[i]);

    if (value)
      g_string_append_printf(text, "%s%s", text->len ? ":" : "", value);
  }
  return is_path ? sanitize_path(text->str) : g_strdup(text->str);
}

GHashTable *apply_fields(const char *document)
{
  GHashTable *fields = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
  xmlXPathContextPtr context = parse_xml(document);

  for (gsize i = 0; context && i < G_N_ELEMENTS(places); i++) {
    g_autoptr(GPtrArray) nodes = xpath(context, places[i].path);
    g_autoptr(GString) all = g_string_new(NULL);

    for (guint j = 0; j < nodes->len; j++) {
      g_autofree char *text = read_node(nodes->pdata[j], places[i].attributes, places[i].is_path);

      g_string_append_printf(all, "%s%s", j ? " " : "", text);
    }
    if (nodes->len)
      g_hash_table_insert(fields, (gpointer)places[i].field, g_strdup(all->str));
  }
  if (context)
    free_xml(context);
  return fields;
}

char *apply_difference(GHashTable *wanted, GHashTable *is)
{
  static const char *const filled_in[] = {"target", "format", "device", NULL};
  GString *text = g_string_new(NULL);

  for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
    const char *field = places[i].field, *want = g_hash_table_lookup(wanted, field),
               *have = g_hash_table_lookup(is, field);

    /* What a document does not say of these libvirt fills in, or whose pool it is may say: where a
     * volume group is looked for. */
    if (!want && g_strv_contains(filled_in, field))
      continue;
    if (g_strcmp0(want, have) != 0)
      g_string_append_printf(text, "%s%s: %s, not %s", text->len ? "; " : "", field,
                             want ? want : "none", have ? have : "none");
  }
  if (text->len)
    return g_string_free(text, FALSE);
  g_string_free(text, TRUE);
  return NULL;
}

/* Of iSCSI, that which is not said. */
static char *without_usual_port(const char *host)
{
  return host && g_str_has_suffix(host, ":3260") ? g_strndup(host, strlen(host) - strlen(":3260"))
                                                 : g_strdup(host);
}

gboolean apply_is_same_source(GHashTable *wanted, GHashTable *is)
{
  static const char *const fields[] = {"type", "source name", "folder on the host"};
  const char *type = g_hash_table_lookup(wanted, "type");
  g_autofree char *host = without_usual_port(g_hash_table_lookup(wanted, "host")),
                  *has = without_usual_port(g_hash_table_lookup(is, "host"));
  gboolean same = g_strcmp0(host, has) == 0;

  for (gsize i = 0; i < G_N_ELEMENTS(fields); i++)
    same = same && g_strcmp0(g_hash_table_lookup(wanted, fields[i]),
                             g_hash_table_lookup(is, fields[i])) == 0;
  /* A volume group is where it is; a folder is nothing else. */
  if (g_strcmp0(type, "logical") != 0)
    same = same &&
           g_strcmp0(g_hash_table_lookup(wanted, "device"), g_hash_table_lookup(is, "device")) == 0;
  if (g_strcmp0(type, "dir") == 0)
    same = same &&
           g_strcmp0(g_hash_table_lookup(wanted, "target"), g_hash_table_lookup(is, "target")) == 0;
  return same;
}

/* --- pools --- */

static void pool_free(ApplyPool *pool)
{
  g_free(pool->name);
  g_free(pool->uuid);
  g_free(pool->document);
  g_clear_pointer(&pool->defined, g_hash_table_unref);
  g_clear_pointer(&pool->live, g_hash_table_unref);
  g_free(pool);
}

/* The caller's; NULL: it has gone meanwhile. */
static char *read_document(virStoragePoolPtr pool, unsigned int flags)
{
  char *document = libvirt->virStoragePoolGetXMLDesc(pool, flags), *copy = g_strdup(document);

  free(document);
  return copy;
}

/* NULL: it has gone meanwhile. */
static ApplyPool *read_pool(virStoragePoolPtr handle)
{
  ApplyPool *pool = g_new0(ApplyPool, 1);
  char uuid[VIR_UUID_STRING_BUFLEN];
  g_autofree char *live = NULL;
  int autostart = 0;

  pool->name = g_strdup(libvirt->virStoragePoolGetName(handle));
  if (libvirt->virStoragePoolGetUUIDString(handle, uuid) == 0)
    pool->uuid = g_strdup(uuid);
  pool->active = libvirt->virStoragePoolIsActive(handle) == 1;
  pool->persistent = libvirt->virStoragePoolIsPersistent(handle) == 1;
  if (pool->persistent && libvirt->virStoragePoolGetAutostart(handle, &autostart) == 0)
    pool->autostart = autostart;
  pool->document = read_document(handle, pool->persistent ? VIR_STORAGE_XML_INACTIVE : 0);
  live = pool->active ? read_document(handle, 0) : NULL;
  pool->defined = pool->document ? apply_fields(pool->document) : NULL;
  pool->live = live ? apply_fields(live) : NULL;
  if (pool->name && pool->uuid && pool->defined)
    return pool;
  pool_free(pool);
  return NULL;
}

static gboolean read_pools(ApplyHost *host, GError **error)
{
  virStoragePoolPtr *handles = NULL;
  int n = libvirt->virConnectListAllStoragePools(host->connection, &handles, 0);

  if (n < 0)
    return libvirt_failed(error, "listing storage pools", NULL);
  for (int i = 0; i < n; i++) {
    ApplyPool *pool = read_pool(handles[i]);

    if (pool)
      g_ptr_array_add(host->pools, pool);
    libvirt->virStoragePoolFree(handles[i]);
  }
  free(handles);
  return TRUE;
}

static void read_capabilities(ApplyHost *host)
{
  char *text = libvirt->virConnectGetStoragePoolCapabilities(host->connection, 0);
  xmlXPathContextPtr context = text ? parse_xml(text) : NULL;

  free(text);
  if (!context)
    return;
  host->unsupported = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  {
    g_autoptr(GPtrArray) nodes = xpath(context, "/storagepoolCapabilities/pool[@supported='no']");

    for (guint i = 0; i < nodes->len; i++)
      g_hash_table_add(host->unsupported, attribute(nodes->pdata[i], "type"));
  }
  free_xml(context);
}

/* --- domains --- */

static void use_free(Use *use)
{
  g_free(use->domain);
  g_free(use->pool);
  g_free(use->path);
  g_free(use->protocol);
  g_free(use->name);
  g_free(use);
}

static void read_sources(ApplyHost *host, const char *domain, const char *document)
{
  xmlXPathContextPtr context = parse_xml(document);
  g_autoptr(GPtrArray) nodes = context ? xpath(context, "/domain/devices//source") : NULL;

  for (guint i = 0; nodes && i < nodes->len; i++) {
    static const char *const paths[] = {"file", "dev", "dir"};
    Use *use = g_new0(Use, 1);

    use->domain = g_strdup(domain);
    use->pool = attribute(nodes->pdata[i], "pool");
    use->protocol = attribute(nodes->pdata[i], "protocol");
    use->name = attribute(nodes->pdata[i], "name");
    for (gsize j = 0; j < G_N_ELEMENTS(paths) && !use->path; j++)
      use->path = attribute(nodes->pdata[i], paths[j]);
    g_ptr_array_add(host->uses, use);
  }
  if (context)
    free_xml(context);
}

static void read_domain(ApplyHost *host, virDomainPtr domain)
{
  static const unsigned int flags[] = {0, VIR_DOMAIN_XML_INACTIVE};

  for (gsize i = 0; i < G_N_ELEMENTS(flags); i++) {
    char *document = libvirt->virDomainGetXMLDesc(domain, flags[i]);

    if (document)
      read_sources(host, libvirt->virDomainGetName(domain), document);
    free(document);
  }
}

static gboolean read_domains(ApplyHost *host, GError **error)
{
  virDomainPtr *domains = NULL;
  int n = libvirt->virConnectListAllDomains(host->connection, &domains, 0);

  /* A daemon of storage alone. */
  host->sees_no_domains = n < 0 && libvirt->virGetLastErrorCode() == VIR_ERR_NO_SUPPORT;
  if (host->sees_no_domains)
    return TRUE;
  if (n < 0)
    return libvirt_failed(error, "listing domains", NULL);
  for (int i = 0; i < n; i++) {
    read_domain(host, domains[i]);
    libvirt->virDomainFree(domains[i]);
  }
  free(domains);
  return TRUE;
}

static gboolean is_below(const char *path, const char *folder)
{
  gsize length = strlen(folder);

  return strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]);
}

static gboolean is_used_by(GHashTable *pool, const char *name, const Use *use)
{
  const char *type = g_hash_table_lookup(pool, "type"),
             *source = g_hash_table_lookup(pool, "source name"),
             *device = g_hash_table_lookup(pool, "device"),
             *target = g_hash_table_lookup(pool, "target");

  if (g_strcmp0(use->pool, name) == 0)
    return TRUE;
  if (g_strcmp0(type, "iscsi") == 0) /* its target is the folder of all disks */
    return use->path && device && strstr(use->path, device);
  if (use->path && target && is_below(use->path, target))
    return TRUE;
  if (g_strcmp0(use->protocol, "rbd") == 0)
    return g_strcmp0(type, "rbd") == 0 && use->name && source && is_below(use->name, source);
  if (g_strcmp0(use->protocol, "iscsi") == 0)
    return g_strcmp0(type, "iscsi-direct") == 0 && use->name && device &&
           is_below(use->name, device);
  return FALSE;
}

gboolean apply_host_sees_domains(ApplyHost *host)
{
  return !host->sees_no_domains;
}

const char *apply_host_user(ApplyHost *host, const ApplyPool *pool)
{
  for (guint i = 0; i < host->uses->len; i++) {
    const Use *use = host->uses->pdata[i];

    if (is_used_by(pool->defined, pool->name, use) ||
        (pool->live && is_used_by(pool->live, pool->name, use)))
      return use->domain;
  }
  return NULL;
}

/* --- the host --- */

ApplyHost *apply_host_open(const char *uri, GError **error)
{
  g_autoptr(ApplyHost) host = NULL;

  if (!(libvirt = libvirt_client(error)))
    return NULL;
  host = g_new0(ApplyHost, 1);
  host->pools = g_ptr_array_new_with_free_func((GDestroyNotify)pool_free);
  host->uses = g_ptr_array_new_with_free_func((GDestroyNotify)use_free);
  libvirt->virSetErrorFunc(NULL, be_silent);
  host->connection = libvirt->virConnectOpen(uri);
  if (!host->connection) {
    libvirt_failed(error, "connecting to libvirt", uri);
    return NULL;
  }
  if (!read_pools(host, error) || !read_domains(host, error))
    return NULL;
  read_capabilities(host);
  return g_steal_pointer(&host);
}

void apply_host_free(ApplyHost *host)
{
  if (!host)
    return;
  if (host->connection)
    libvirt->virConnectClose(host->connection);
  g_clear_pointer(&host->unsupported, g_hash_table_unref);
  g_ptr_array_unref(host->uses);
  g_ptr_array_unref(host->pools);
  g_free(host);
}

char *apply_host_uri(ApplyHost *host)
{
  char *uri = libvirt->virConnectGetURI(host->connection), *copy = g_strdup(uri);

  free(uri);
  return copy;
}

gboolean apply_host_is_local(ApplyHost *host)
{
  g_autofree char *text = apply_host_uri(host);
  g_autoptr(GUri) uri = text ? g_uri_parse(text, G_URI_FLAGS_NON_DNS, NULL) : NULL;

  return uri && (!g_uri_get_host(uri) || !*g_uri_get_host(uri));
}

const GPtrArray *apply_host_pools(ApplyHost *host)
{
  return host->pools;
}

const ApplyPool *apply_host_find(ApplyHost *host, const char *name)
{
  for (guint i = 0; i < host->pools->len; i++)
    if (strcmp(((ApplyPool *)host->pools->pdata[i])->name, name) == 0)
      return host->pools->pdata[i];
  return NULL;
}

const ApplyPool *apply_host_find_uuid(ApplyHost *host, const char *uuid)
{
  for (guint i = 0; i < host->pools->len; i++)
    if (strcmp(((ApplyPool *)host->pools->pdata[i])->uuid, uuid) == 0)
      return host->pools->pdata[i];
  return NULL;
}

gboolean apply_host_supports(ApplyHost *host, const char *type)
{
  return !host->unsupported || !g_hash_table_contains(host->unsupported, type);
}

/* --- changes --- */

static virStoragePoolPtr find(ApplyHost *host, const char *uuid, GError **error)
{
  virStoragePoolPtr pool = libvirt->virStoragePoolLookupByUUIDString(host->connection, uuid);

  if (!pool)
    libvirt_failed(error, "finding pool", uuid);
  return pool;
}

static gboolean define(ApplyHost *host, const char *document, const char *name, GError **error)
{
  virStoragePoolPtr handle = libvirt->virStoragePoolDefineXML(host->connection, document, 0);

  if (!handle)
    return libvirt_failed(error, "defining pool", name);
  libvirt->virStoragePoolFree(handle);
  return TRUE;
}

gboolean apply_define(ApplyHost *host, const StorageCfgPool *pool, GError **error)
{
  return define(host, pool->document, pool->name, error);
}

/* Each call resets libvirt's last error, virStoragePoolGetName() too: the name is asked for
 * before. */
gboolean apply_start(ApplyHost *host, const char *uuid, gboolean build, GError **error)
{
  virStoragePoolPtr pool = find(host, uuid, error);
  const char *name = pool ? libvirt->virStoragePoolGetName(pool) : NULL;
  gboolean ok;

  if (!pool)
    return FALSE;
  if (build && libvirt->virStoragePoolBuild(pool, 0) < 0)
    ok = libvirt_failed(error, "making the folder of pool", name);
  else
    ok =
        libvirt->virStoragePoolCreate(pool, 0) == 0 || libvirt_failed(error, "starting pool", name);
  libvirt->virStoragePoolFree(pool);
  return ok;
}

static gboolean change(ApplyHost *host, const char *uuid, int (*function)(virStoragePoolPtr pool),
                       const char *what, GError **error)
{
  virStoragePoolPtr pool = find(host, uuid, error);
  const char *name = pool ? libvirt->virStoragePoolGetName(pool) : NULL;
  gboolean ok = pool && (function(pool) == 0 || libvirt_failed(error, what, name));

  if (pool)
    libvirt->virStoragePoolFree(pool);
  return ok;
}

gboolean apply_stop(ApplyHost *host, const char *uuid, GError **error)
{
  return change(host, uuid, libvirt->virStoragePoolDestroy, "stopping pool", error);
}

static int autostart_on(virStoragePoolPtr pool)
{
  return libvirt->virStoragePoolSetAutostart(pool, 1);
}

static int autostart_off(virStoragePoolPtr pool)
{
  return libvirt->virStoragePoolSetAutostart(pool, 0);
}

gboolean apply_set_autostart(ApplyHost *host, const char *uuid, gboolean autostart, GError **error)
{
  return change(host, uuid, autostart ? autostart_on : autostart_off,
                "setting the autostart of pool", error);
}

gboolean apply_undefine(ApplyHost *host, const char *uuid, GError **error)
{
  return change(host, uuid, libvirt->virStoragePoolUndefine, "undefining pool", error);
}

/* @document with another <name> and <uuid>, of which libvirt writes one each before any other. */
static char *rename_document(const char *document, const char *name, const char *uuid)
{
  static const char *const tags[] = {"name", "uuid"};
  const char *const values[] = {name, uuid};
  char *text = g_strdup(document);

  for (gsize i = 0; i < G_N_ELEMENTS(tags); i++) {
    g_autofree char *before = g_steal_pointer(&text),
                    *pattern = g_strdup_printf("<%s>[^<]*</%s>", tags[i], tags[i]),
                    *value = g_markup_printf_escaped("%s", values[i]),
                    *element = g_strdup_printf("<%s>%s</%s>", tags[i], value, tags[i]);
    g_autoptr(GRegex) regex = g_regex_new(pattern, 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    int start = 0, end = 0;

    if (g_regex_match(regex, before, 0, &match))
      g_match_info_fetch_pos(match, 0, &start, &end);
    text = g_strdup_printf("%.*s%s%s", start, before, end ? element : "", before + end);
  }
  return text;
}

static void give_back(ApplyHost *host, const ApplyPool *theirs)
{
  if (theirs->persistent && define(host, theirs->document, theirs->name, NULL) && theirs->autostart)
    apply_set_autostart(host, theirs->uuid, TRUE, NULL);
  if (theirs->active)
    apply_start(host, theirs->uuid, FALSE, NULL);
}

gboolean apply_adopt(ApplyHost *host, const ApplyPool *theirs, const char *name, const char *uuid,
                     GError **error)
{
  g_autofree char *document = rename_document(theirs->document, name, uuid);

  if (theirs->active && !apply_stop(host, theirs->uuid, error))
    return FALSE;
  if ((!theirs->persistent || apply_undefine(host, theirs->uuid, error)) &&
      define(host, document, name, error))
    return TRUE;
  give_back(host, theirs);
  return FALSE;
}

gboolean apply_has_secret(ApplyHost *host, const char *uuid)
{
  virSecretPtr secret = libvirt->virSecretLookupByUUIDString(host->connection, uuid);

  if (secret)
    libvirt->virSecretFree(secret);
  return secret != NULL;
}

gboolean apply_secret(ApplyHost *host, const char *uuid, const char *storage, const char *key,
                      GError **error)
{
  g_autofree char *document = g_markup_printf_escaped(
      "<secret ephemeral='no' private='yes'><uuid>%s</uuid><description>Ceph key of storage "
      "%s</description><usage type='ceph'><name>virt-thin storage %s</name></usage></secret>",
      uuid, storage, storage);
  virSecretPtr secret;
  gboolean ok = TRUE;

  if (apply_has_secret(host, uuid))
    return TRUE;
  secret = libvirt->virSecretDefineXML(host->connection, document, 0);
  if (!secret)
    return libvirt_failed(error, "defining the secret of storage", storage);
  if (key) {
    gsize length;
    g_autofree guchar *value = g_base64_decode(key, &length);

    ok = libvirt->virSecretSetValue(secret, value, length, 0) == 0 ||
         libvirt_failed(error, "setting the secret of storage", storage);
  }
  libvirt->virSecretFree(secret);
  return ok;
}
