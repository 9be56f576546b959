/* virt-thin - what a search for volume groups has found on devices
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "pool/look.h"

#include "dm/block-devices.h"
#include "dm/dm.h"

struct PoolLook {
  GStrv paths;                     /* of first */
  LvmProbe *first, *block_devices; /* NULL: not looked at yet */
};

PoolLook *pool_look_new(void)
{
  return g_new0(PoolLook, 1);
}

static void forget(PoolLook *look)
{
  g_clear_pointer(&look->paths, g_strfreev);
  g_clear_pointer(&look->first, lvm_probe_free);
  g_clear_pointer(&look->block_devices, lvm_probe_free);
}

void pool_look_free(PoolLook *look)
{
  if (!look)
    return;
  forget(look);
  g_free(look);
}

PoolWhere pool_look_begin(const PoolWhere *where, PoolLook **own)
{
  PoolWhere begun = where ? *where : (PoolWhere){0};

  if (!begun.look)
    begun.look = *own = pool_look_new();
  return begun;
}

static GStrv paths_of(const PoolWhere *where)
{
  return where->devices ? g_strdupv((GStrv)where->devices) : settings_devices();
}

void pool_look_refresh(const PoolWhere *where)
{
  PoolLook *look = where->look;
  g_auto(GStrv) paths = look->first ? paths_of(where) : NULL;

  if ((look->first &&
       (!g_strv_equal((const char *const *)paths, (const char *const *)look->paths) ||
        !lvm_probe_is_current(look->first))) ||
      (look->block_devices && !lvm_probe_is_current(look->block_devices)))
    forget(look);
}

LvmProbe *pool_look_first(const PoolWhere *where)
{
  PoolLook *look = where->look;

  if (!look->first) {
    look->paths = paths_of(where);
    look->first = lvm_probe((const char *const *)look->paths, NULL, NULL, NULL);
  }
  return look->first;
}

const char *const *pool_look_paths(const PoolWhere *where)
{
  pool_look_first(where);
  return (const char *const *)where->look->paths;
}

LvmProbe *pool_look_block_devices(const PoolWhere *where)
{
  g_autofree char *own = g_strconcat(settings_runtime_dir(), "/", NULL);

  if (!where->look->block_devices)
    where->look->block_devices = dmk_probe_block_devices(own);
  return where->look->block_devices;
}

static gboolean has(LvmProbe *probe, const char *vg)
{
  g_auto(GStrv) paths = lvm_probe_paths(probe, vg);

  return *paths != NULL;
}

LvmProbe *pool_look_find(const char *vg, const PoolWhere *where, gboolean *usual)
{
  LvmProbe *first = pool_look_first(where);
  gboolean elsewhere = !where->devices && vg && !has(first, vg) && dmk_available(NULL) &&
                       has(pool_look_block_devices(where), vg);

  if (usual)
    *usual = !where->devices && !elsewhere;
  return elsewhere ? where->look->block_devices : first;
}
