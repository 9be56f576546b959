/* virt-thin - libvirt's objects as documents: what the backend learns of them and makes of them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <string.h>

#include "libvirt/vtbackend-private.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathContext, xmlXPathFreeContext)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlXPathObject, xmlXPathFreeObject)

#define PARSE_OPTIONS (XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)

static xmlDoc *parse(const char *xml, const char *what, GError **error)
{
  xmlDoc *doc = xml ? xmlReadMemory(xml, (int)strlen(xml), NULL, NULL, PARSE_OPTIONS) : NULL;
  if (!doc)
    vt_set_error(error, EINVAL, "%s cannot be parsed", what);
  return doc;
}

/* The string value of @expression; NULL: empty or absent. The caller's (g_free). */
static char *xpath_string(xmlXPathContext *context, const char *expression)
{
  g_autoptr(xmlXPathObject) object = xmlXPathEvalExpression(BAD_CAST expression, context);
  if (!object || object->type != XPATH_STRING || !object->stringval || !*object->stringval)
    return NULL;
  return g_strdup((const char *)object->stringval);
}

static gboolean xpath_number(xmlXPathContext *context, const char *expression, guint base,
                             gint64 *number)
{
  g_autofree char *text = xpath_string(context, expression);
  if (!text)
    return FALSE;
  *number = g_ascii_strtoll(text, NULL, base);
  return TRUE;
}

void vtbackend_vol_document_clear(VtVolDocument *document)
{
  g_clear_pointer(&document->name, g_free);
  g_clear_pointer(&document->backing, g_free);
  g_clear_pointer(&document->path, g_free);
  g_clear_pointer(&document->format, g_free);
}

gboolean vtbackend_vol_document_read(VtPoolDef *pool, VtVolDef *vol, VtVolDocument *document,
                                     GError **error)
{
  g_autofree char *xml = vt.libvirt.vol_def_format(pool, vol);
  g_autoptr(xmlDoc) doc = parse(xml, "the volume's document", error);
  g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
  gint64 number;
  if (!context)
    return FALSE;
  document->name = xpath_string(context, "string(/volume/name)");
  document->backing = xpath_string(context, "string(/volume/backingStore/path)");
  document->path = xpath_string(context, "string(/volume/target/path)");
  document->format = xpath_string(context, "string(/volume/target/format/@type)");
  g_autofree char *encryption = xpath_string(context, "string(count(/volume/target/encryption))");
  document->encrypted = encryption && strcmp(encryption, "0") != 0;
  if ((document->has_mode =
           xpath_number(context, "string(/volume/target/permissions/mode)", 8, &number)))
    document->mode = (guint)number & 07777;
  if ((document->has_owner =
           xpath_number(context, "string(/volume/target/permissions/owner)", 10, &number)))
    document->owner = (uid_t)number;
  if ((document->has_group =
           xpath_number(context, "string(/volume/target/permissions/group)", 10, &number)))
    document->group = (gid_t)number;
  return TRUE;
}

void vtbackend_pool_document_clear(VtPoolDocument *document)
{
  g_clear_pointer(&document->name, g_free);
  g_clear_pointer(&document->devices, g_strfreev);
}

static GStrv device_paths(xmlXPathContext *context)
{
  g_autoptr(xmlXPathObject) nodes =
      xmlXPathEvalExpression(BAD_CAST "/pool/source/device/@path", context);
  GPtrArray *paths = g_ptr_array_new();
  for (int i = 0; nodes && nodes->nodesetval && i < nodes->nodesetval->nodeNr; i++) {
    xmlChar *path = xmlNodeGetContent(nodes->nodesetval->nodeTab[i]);
    g_ptr_array_add(paths, g_strdup((const char *)path));
    xmlFree(path);
  }
  g_ptr_array_add(paths, NULL);
  return (GStrv)g_ptr_array_free(paths, FALSE);
}

/* libvirt's documents have no room for options of a backend, but keep who made a source, and what
 * it is. */
static gboolean read_engine(xmlXPathContext *context, PoolEngine *engine, GError **error)
{
  g_autofree char *word =
      xpath_string(context, "string(/pool/source[vendor/@name='virt-thin']/product/@name)");
  *engine = POOL_ENGINE_AUTO;
  return !word || settings_parse_engine(word, engine) ||
         vt_set_error(error, EINVAL,
                      "<product name='%s'/> of the pool's <source> is not auto, kernel or bundled",
                      word);
}

gboolean vtbackend_pool_document_read(VtPoolDef *pool, VtPoolDocument *document, GError **error)
{
  g_autofree char *xml = vt.libvirt.pool_def_format(pool);
  g_autoptr(xmlDoc) doc = parse(xml, "the pool's document", error);
  g_autoptr(xmlXPathContext) context = doc ? xmlXPathNewContext(doc) : NULL;
  if (!context || !read_engine(context, &document->engine, error))
    return FALSE;
  document->name = xpath_string(context, "string(/pool/name)");
  document->devices = device_paths(context);
  return TRUE;
}

VtVolDef *vtbackend_volume_object(VtPoolDef *pool, const PoolVolumeInfo *info, GHashTable *paths,
                                  GError **error)
{
  g_autofree char *path = vtbackend_volume_path(info);
  g_autofree char *backing = NULL;
  const char *origin = info->origin && paths ? g_hash_table_lookup(paths, info->origin) : NULL;
  if (origin)
    backing = g_markup_printf_escaped("<backingStore><path>%s</path></backingStore>", origin);
  g_autofree char *xml = g_markup_printf_escaped(
      "<volume type='%s'><name>%s</name><key>%s</key><capacity unit='bytes'>%" G_GUINT64_FORMAT
      "</capacity>"
      "<allocation unit='bytes'>%" G_GUINT64_FORMAT "</allocation><target><path>%s</path></target>",
      vtbackend_volume_type(info) == VIR_STORAGE_VOL_BLOCK ? "block" : "file", info->name,
      info->uuid, info->size, info->mapped == G_MAXUINT64 ? info->size : info->mapped, path);
  g_autofree char *whole = g_strconcat(xml, backing ? backing : "", "</volume>", NULL);
  VtVolDef *vol = vtbackend_vol_def_parse(&vt.libvirt, pool, whole);
  if (!vol) {
    vt_set_error(error, EINVAL, "libvirt does not take volume %s/%s", info->vg, info->name);
    return NULL;
  }
  vtbackend_vol_physical(vol) = info->size;
  return vol;
}

/* As libvirt writes its own: <source><name>VG/POOL</name><format type='lvm2'/></source>. */
static void append_source(GString *document, const char *name)
{
  g_autofree char *source = g_markup_printf_escaped(
      "  <source>\n    <name>%s</name>\n    <format type='lvm2'/>\n  </source>\n", name);
  g_string_append(document, source);
}

char *vtbackend_sources_document(const char *sources, GPtrArray *names)
{
  const char *end = sources ? g_strrstr(sources, "</sources>") : NULL;
  if (sources && (names->len == 0 || (!end && !strstr(sources, "<sources/>"))))
    return strdup(sources);
  GString *document = g_string_new(NULL);
  if (end)
    g_string_append_len(document, sources, end - sources);
  else
    g_string_append(document, "<sources>\n");
  for (guint i = 0; i < names->len; i++)
    append_source(document, g_ptr_array_index(names, i));
  g_string_append(document, "</sources>\n");
  return g_string_free(document, FALSE);
}
