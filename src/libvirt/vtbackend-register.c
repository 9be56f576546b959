/* virt-thin - registration of the storage backend: only when this libvirt is understood
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Three things have to be as expected before one pointer is handed to libvirt: the functions
 * (vtbackend-libvirt.c), the fields (vtbackend-layout.c), and the table of callbacks (stock.c).
 * Where something differs nothing is registered, and the shim lets the stock backend serve.
 */
#include "config.h"

#include <stdio.h>

#include "libvirt/vtbackend-private.h"

VtGlobal vt;

#define DIR_POOL_XML                                                                               \
  "<pool "                                                                                         \
  "type='dir'><name>virt-thin</name><uuid>8f3a2c1e-5b6d-4e7f-9a0b-1c2d3e4f5a6b</"                  \
  "uuid><target><path>/</path></"                                                                  \
  "target></pool>"

static gboolean prepare(const char *stock_path, GError **error)
{
  const char *problem;
  if (!vtbackend_libvirt_resolve(&vt.libvirt, error))
    return FALSE;
  if ((problem = vtbackend_stock_load(stock_path, &vt.stock)))
    return vt_set_error(error, EINVAL, "%s", problem);
  if (!vtbackend_layout_discover(&vt.libvirt, &vt.layout, error))
    return FALSE;
  if (!(vt.dir_pool = vtbackend_pool_def_parse(&vt.libvirt, DIR_POOL_XML)))
    return vt_set_error(error, EINVAL, "libvirt does not parse a pool of type dir");
  return TRUE;
}

int vtbackend_register(const char *stock_path)
{
  g_autoptr(GError) error = NULL;
  gboolean ready = prepare(stock_path, &error);
  if (vt.libvirt.reset_last_error)
    vt.libvirt.reset_last_error();
  if (!ready) {
    fprintf(stderr, "virt-thin: this libvirt is not understood: %s\n", error->message);
    return -1;
  }
  return vt.libvirt.backend_register(vtbackend_dispatch_table());
}
