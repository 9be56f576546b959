/* virt-thin - each callback of the storage backend: ours for VG/POOL, else the stock backend's own
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A plain VG behaves to the letter as if virt-thin were not there. Three members that the stock
 * table lacks are set here because thin pools need them; for a plain VG they act as libvirt does
 * without them, down to the message (libvirt src/storage/storage_driver.c).
 */
#include "config.h"

#include "libvirt/vtbackend-private.h"

static gboolean is_ours(VtPoolObj *obj)
{
  return vtbackend_source_is_ours(vtbackend_pool_source_name(vt.libvirt.pool_obj_get_def(obj)));
}

static int check_pool(VtPoolObj *obj, bool *active)
{
  return is_ours(obj) ? vtbackend_check_pool(obj, active) : vt.stock.check_pool(obj, active);
}

static int start_pool(VtPoolObj *obj)
{
  return is_ours(obj) ? vtbackend_start_pool(obj) : vt.stock.start_pool(obj);
}

static int build_pool(VtPoolObj *obj, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_build_pool(obj, flags) : vt.stock.build_pool(obj, flags);
}

static int refresh_pool(VtPoolObj *obj)
{
  return is_ours(obj) ? vtbackend_refresh_pool(obj) : vt.stock.refresh_pool(obj);
}

static int stop_pool(VtPoolObj *obj)
{
  return is_ours(obj) ? vtbackend_stop_pool(obj) : vt.stock.stop_pool(obj);
}

static int delete_pool(VtPoolObj *obj, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_delete_pool(obj, flags) : vt.stock.delete_pool(obj, flags);
}

/* Without a buildVol, libvirt builds nothing. */
static int build_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int flags)
{
  if (is_ours(obj))
    return vtbackend_build_vol(obj, vol, flags);
  return vt.stock.build_vol ? vt.stock.build_vol(obj, vol, flags) : 0;
}

static int build_vol_from(VtPoolObj *obj, VtVolDef *vol, VtVolDef *source, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_build_vol_from(obj, vol, source, flags)
                      : vt.stock.build_vol_from(obj, vol, source, flags);
}

/* Without a buildVol, libvirt refuses a volume of no capacity. */
static int create_vol(VtPoolObj *obj, VtVolDef *vol)
{
  if (is_ours(obj))
    return vtbackend_create_vol(obj, vol);
  if (!vt.stock.build_vol && vtbackend_vol_capacity(vol) == 0)
    return vtbackend_report(VIR_ERR_NO_SUPPORT, "%s",
                            "volume capacity required for this storage pool");
  return vt.stock.create_vol(obj, vol);
}

static int refresh_vol(VtPoolObj *obj, VtVolDef *vol)
{
  if (is_ours(obj))
    return vtbackend_refresh_vol(obj, vol);
  return vt.stock.refresh_vol ? vt.stock.refresh_vol(obj, vol) : 0;
}

static int delete_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_delete_vol(obj, vol, flags)
                      : vt.stock.delete_vol(obj, vol, flags);
}

static int resize_vol(VtPoolObj *obj, VtVolDef *vol, unsigned long long capacity,
                      unsigned int flags)
{
  if (is_ours(obj))
    return vtbackend_resize_vol(obj, vol, capacity, flags);
  if (vt.stock.resize_vol)
    return vt.stock.resize_vol(obj, vol, capacity, flags);
  return vtbackend_report(VIR_ERR_NO_SUPPORT, "%s",
                          "storage pool does not support changing of volume capacity");
}

static int upload_vol(VtPoolObj *obj, VtVolDef *vol, VtStream *stream, unsigned long long offset,
                      unsigned long long length, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_upload_vol(obj, vol, stream, offset, length, flags)
                      : vt.stock.upload_vol(obj, vol, stream, offset, length, flags);
}

static int download_vol(VtPoolObj *obj, VtVolDef *vol, VtStream *stream, unsigned long long offset,
                        unsigned long long length, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_download_vol(obj, vol, stream, offset, length, flags)
                      : vt.stock.download_vol(obj, vol, stream, offset, length, flags);
}

static int wipe_vol(VtPoolObj *obj, VtVolDef *vol, unsigned int algorithm, unsigned int flags)
{
  return is_ours(obj) ? vtbackend_wipe_vol(obj, vol, algorithm, flags)
                      : vt.stock.wipe_vol(obj, vol, algorithm, flags);
}

VtBackend *vtbackend_dispatch_table(void)
{
  static VtBackend table;
  table = (VtBackend){
      .type = vt.stock.type,
      .find_sources = vtbackend_find_sources,
      .check_pool = check_pool,
      .start_pool = start_pool,
      .build_pool = build_pool,
      .refresh_pool = refresh_pool,
      .stop_pool = stop_pool,
      .delete_pool = delete_pool,
      .build_vol = build_vol,
      .build_vol_from = build_vol_from,
      .create_vol = create_vol,
      .refresh_vol = refresh_vol,
      .delete_vol = delete_vol,
      .resize_vol = resize_vol,
      .upload_vol = upload_vol,
      .download_vol = download_vol,
      .wipe_vol = wipe_vol,
  };
  return &table;
}
