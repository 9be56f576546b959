/* virt-thin - libvirt's private functions, found by name in the running daemon
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "libvirt/vtbackend-libvirt.h"

#include <dlfcn.h>

typedef struct {
  const char *name;
  gsize offset; /* of the pointer in VtLibvirt */
  gboolean optional;
} Symbol;

#define SYMBOL(member, name)                                                                       \
  {                                                                                                \
    name, G_STRUCT_OFFSET(VtLibvirt, member), FALSE                                                \
  }
#define OPTIONAL(member, name)                                                                     \
  {                                                                                                \
    name, G_STRUCT_OFFSET(VtLibvirt, member), TRUE                                                 \
  }

static const Symbol symbols[] = {
    SYMBOL(backend_register, "virStorageBackendRegister"),
    SYMBOL(pool_obj_get_def, "virStoragePoolObjGetDef"),
    SYMBOL(pool_obj_add_vol, "virStoragePoolObjAddVol"),
    SYMBOL(pool_obj_get_asyncjobs, "virStoragePoolObjGetAsyncjobs"),
    SYMBOL(pool_obj_is_active, "virStoragePoolObjIsActive"),
    SYMBOL(vol_find_by_name, "virStorageVolDefFindByName"),
    SYMBOL(pool_obj_remove_vol, "virStoragePoolObjRemoveVol"),
    SYMBOL(object_lock, "virObjectLock"),
    SYMBOL(object_unlock, "virObjectUnlock"),
    OPTIONAL(pool_def_parse, "virStoragePoolDefParse"),
    OPTIONAL(pool_def_parse_string, "virStoragePoolDefParseString"),
    OPTIONAL(vol_def_parse, "virStorageVolDefParse"),
    OPTIONAL(vol_def_parse_string, "virStorageVolDefParseString"),
    SYMBOL(pool_def_format, "virStoragePoolDefFormat"),
    SYMBOL(vol_def_format, "virStorageVolDefFormat"),
    SYMBOL(pool_def_free, "virStoragePoolDefFree"),
    SYMBOL(vol_def_free, "virStorageVolDefFree"),
    SYMBOL(report_error, "virReportErrorHelper"),
    SYMBOL(reset_last_error, "virResetLastError"),
    SYMBOL(stream_open_block_device, "virFDStreamOpenBlockDevice"),
};

gboolean vtbackend_libvirt_resolve(VtLibvirt *libvirt, GError **error)
{
  *libvirt = (VtLibvirt){0};
  for (gsize i = 0; i < G_N_ELEMENTS(symbols); i++) {
    gpointer address = dlsym(RTLD_DEFAULT, symbols[i].name);
    if (!address && !symbols[i].optional)
      return vt_set_error(error, ENOENT, "this libvirt has no function %s", symbols[i].name);
    G_STRUCT_MEMBER(gpointer, libvirt, symbols[i].offset) = address;
  }
  if (!libvirt->pool_def_parse && !libvirt->pool_def_parse_string)
    return vt_set_error(error, ENOENT, "this libvirt has no function virStoragePoolDefParse");
  if (!libvirt->vol_def_parse && !libvirt->vol_def_parse_string)
    return vt_set_error(error, ENOENT, "this libvirt has no function virStorageVolDefParse");
  return TRUE;
}

VtPoolDef *vtbackend_pool_def_parse(const VtLibvirt *libvirt, const char *xml)
{
  return libvirt->pool_def_parse ? libvirt->pool_def_parse(xml, NULL, 0)
                                 : libvirt->pool_def_parse_string(xml, 0);
}

VtVolDef *vtbackend_vol_def_parse(const VtLibvirt *libvirt, VtPoolDef *pool, const char *xml)
{
  return libvirt->vol_def_parse ? libvirt->vol_def_parse(pool, xml, NULL, 0)
                                : libvirt->vol_def_parse_string(pool, xml, 0);
}
