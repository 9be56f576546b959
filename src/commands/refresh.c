/* virt-thin - command refresh, for virt-thin alone: have libvirt look at its pools again
 * SPDX-License-Identifier: LGPL-2.1-or-later
 * See cli/refresh.h.
 */
#include "apply/libvirt-client.h"
#include "commands/commands.h"

static void be_silent(void *data, virErrorPtr error)
{
}

static gboolean refresh_pool(const LibvirtClient *libvirt, virConnectPtr connection,
                             const char *name)
{
  virStoragePoolPtr pool = libvirt->virStoragePoolLookupByName(connection, name);
  gboolean ok = pool && libvirt->virStoragePoolRefresh(pool, 0) == 0;
  virErrorPtr last = ok ? NULL : libvirt->virGetLastError();

  if (!ok)
    cli_warn("note: libvirt's list of pool %s is as it was: %s: virsh pool-refresh %s brings it up "
             "to date",
             name, last && last->message ? last->message : "it does not say why", name);
  if (pool)
    libvirt->virStoragePoolFree(pool);
  return ok;
}

static int run_refresh_pools(char **args, GError **error)
{
  const LibvirtClient *libvirt = libvirt_client(error);
  virConnectPtr connection;
  gboolean ok = TRUE;

  if (!libvirt)
    return CLI_FAILED;
  libvirt->virSetErrorFunc(NULL, be_silent);
  connection = libvirt->virConnectOpen(args[0]);
  if (!connection) {
    virErrorPtr last = libvirt->virGetLastError();

    return cli_status(vt_set_error(error, EIO,
                                   "note: libvirt's list of volumes is as it was: %s: virsh "
                                   "pool-refresh brings it up to date",
                                   last && last->message ? last->message : "no connection"));
  }
  for (char **pool = args + 1; *pool; pool++)
    ok = refresh_pool(libvirt, connection, *pool) && ok;
  libvirt->virConnectClose(connection);
  return cli_status(ok);
}

const CliCommand cli_refresh = {
    .name = "refresh",
    .arguments = "URI POOL...",
    .summary = "Have libvirt look at its pools again",
    .min_args = 2,
    .max_args = -1,
    .run = run_refresh_pools,
};
