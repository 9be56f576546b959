/* virt-thin - the disks of a libvirt domain, and its UEFI variables, in its document
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "apply/domain-xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

void apply_disk_free(ApplyDisk *disk)
{
  g_free(disk->target);
  g_free(disk->path);
  g_free(disk->pool);
  g_free(disk->volume);
  g_free(disk);
}

gboolean apply_disk_is_same_place(const ApplyDisk *a, const ApplyDisk *b)
{
  return g_strcmp0(a->path, b->path) == 0 && g_strcmp0(a->pool, b->pool) == 0 &&
         g_strcmp0(a->volume, b->volume) == 0;
}

static xmlDocPtr parse(const char *text)
{
  return xmlReadMemory(text, (int)strlen(text), "domain.xml", NULL,
                       XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
}

/* The first child of @node called @name from @child on; NULL: none. */
static xmlNodePtr find_from(xmlNodePtr child, const char *name)
{
  while (child && (child->type != XML_ELEMENT_NODE || strcmp((const char *)child->name, name) != 0))
    child = child->next;
  return child;
}

static xmlNodePtr find(xmlNodePtr node, const char *name)
{
  return node ? find_from(node->children, name) : NULL;
}

static char *attribute(xmlNodePtr node, const char *name)
{
  xmlChar *value = node ? xmlGetProp(node, BAD_CAST name) : NULL;
  char *copy = value ? g_strdup((const char *)value) : NULL;

  xmlFree(value);
  return copy;
}

/* The first disk of a document of a domain. */
static xmlNodePtr first_disk(xmlDocPtr document)
{
  xmlNodePtr root = document ? xmlDocGetRootElement(document) : NULL;

  if (!root || strcmp((const char *)root->name, "domain") != 0)
    return NULL;
  return find(find(root, "devices"), "disk");
}

static ApplyDisk *read_disk(xmlNodePtr node)
{
  xmlNodePtr source = find(node, "source");
  ApplyDisk *disk = g_new0(ApplyDisk, 1);

  disk->target = attribute(find(node, "target"), "dev");
  disk->path = attribute(source, "dev");
  disk->is_block = disk->path != NULL;
  if (!disk->path)
    disk->path = attribute(source, "file");
  disk->pool = attribute(source, "pool");
  disk->volume = attribute(source, "volume");
  return disk;
}

GPtrArray *apply_domain_disks(const char *text)
{
  GPtrArray *disks = g_ptr_array_new_with_free_func((GDestroyNotify)apply_disk_free);
  xmlDocPtr document = parse(text);

  for (xmlNodePtr node = first_disk(document); node; node = find_from(node->next, "disk")) {
    ApplyDisk *disk = read_disk(node);

    if (disk->target)
      g_ptr_array_add(disks, disk);
    else
      apply_disk_free(disk);
  }
  xmlFreeDoc(document);
  return disks;
}

/* What else is in <source> (labels, reservations) stays. */
static void move(xmlNodePtr node, const ApplyDisk *to)
{
  static const char *const old[] = {"file", "dev", "pool", "volume", "mode", "index"};
  xmlNodePtr source = find(node, "source");

  if (!source)
    source = xmlNewChild(node, NULL, BAD_CAST "source", NULL);
  for (gsize i = 0; i < G_N_ELEMENTS(old); i++)
    xmlUnsetProp(source, BAD_CAST old[i]);
  if (to->pool) {
    xmlSetProp(source, BAD_CAST "pool", BAD_CAST to->pool);
    xmlSetProp(source, BAD_CAST "volume", BAD_CAST to->volume);
  } else {
    xmlSetProp(source, BAD_CAST(to->is_block ? "dev" : "file"), BAD_CAST to->path);
  }
  xmlSetProp(node, BAD_CAST "type",
             BAD_CAST(to->pool       ? "volume"
                      : to->is_block ? "block"
                                     : "file"));
}

static char *write_document(xmlDocPtr document)
{
  xmlBufferPtr buffer = xmlBufferCreate();
  char *text;

  xmlNodeDump(buffer, document, xmlDocGetRootElement(document), 0, 0);
  text = g_strdup((const char *)xmlBufferContent(buffer));
  xmlBufferFree(buffer);
  return text;
}

/* <nvram>PATH</nvram>, or <nvram type='file'><source file='PATH'/></nvram>. */
char *apply_domain_nvram(const char *text)
{
  xmlDocPtr document = parse(text);
  xmlNodePtr root = document ? xmlDocGetRootElement(document) : NULL, nvram = NULL;
  g_autofree char *path = NULL;

  if (root && strcmp((const char *)root->name, "domain") == 0)
    nvram = find(find(root, "os"), "nvram");
  path = attribute(find(nvram, "source"), "file");
  if (nvram && !find(nvram, "source")) {
    xmlChar *content = xmlNodeGetContent(nvram);

    path = g_strstrip(g_strdup(content ? (const char *)content : ""));
    xmlFree(content);
  }
  xmlFreeDoc(document);
  return path && g_path_is_absolute(path) ? g_steal_pointer(&path) : NULL;
}

char *apply_domain_move(const char *text, GPtrArray *moved)
{
  xmlDocPtr document = parse(text);
  xmlNodePtr root = document ? xmlDocGetRootElement(document) : NULL;
  char *result = NULL;

  for (xmlNodePtr node = first_disk(document); node; node = find_from(node->next, "disk")) {
    g_autofree char *target = attribute(find(node, "target"), "dev");

    for (guint i = 0; i < moved->len; i++)
      if (g_strcmp0(((const ApplyDisk *)moved->pdata[i])->target, target) == 0)
        move(node, moved->pdata[i]);
  }
  if (root && strcmp((const char *)root->name, "domain") == 0)
    result = write_document(document);
  xmlFreeDoc(document);
  return result;
}
