/* virt-thin - commands init and extend: volume groups, thin pools and physical volumes
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>
#include <sys/stat.h>

#include "commands/commands.h"
#include "util/name.h"
#include "util/size.h"

static gboolean force;
static char *size_text, *file, *max_text, *reserve_text, *chunk_text, *metadata_text, *extent_text;

typedef struct {
  guint64 size, extent_size;
  PoolNew pool;
} Sizes;

static gboolean parse_sizes(Sizes *sizes, GError **error)
{
  const struct {
    const char *option, *text;
    guint64 *size;
  } options[] = {
      {"--size", size_text, &sizes->size},
      {"--max-size", max_text, &sizes->pool.max_size},
      {"--reserve", reserve_text, &sizes->pool.reserve},
      {"--chunk-size", chunk_text, &sizes->pool.chunk_size},
      {"--metadata-size", metadata_text, &sizes->pool.metadata_size},
      {"--extent-size", extent_text, &sizes->extent_size},
  };

  memset(sizes, 0, sizeof *sizes);
  for (gsize i = 0; i < G_N_ELEMENTS(options); i++) {
    if (!cli_parse_size(options[i].option, options[i].text, options[i].size, error))
      return FALSE;
    if (options[i].text && *options[i].size == 0 && options[i].size != &sizes->pool.reserve)
      return cli_usage(error, "%s %s: a size of nothing", options[i].option, options[i].text);
  }
  if (reserve_text && !sizes->pool.reserve)
    sizes->pool.reserve = POOL_NO_RESERVE;
  if (sizes->pool.max_size && sizes->pool.max_size < sizes->size)
    return cli_usage(error, "--max-size %s is smaller than --size %s", max_text, size_text);
  return TRUE;
}

static gboolean add_pool(const char *vg, const char *name, Sizes *sizes, const PoolWhere *where,
                         GError **error)
{
  VolumeGroup *group = cli_open_at(where, vg, error);
  g_autoptr(PoolVgInfo) info = group ? pool_get_vg_info(group, error) : NULL;
  gboolean ok;

  if (sizes->extent_size && info && sizes->extent_size != info->extent_size) {
    g_autofree char *its = vt_size_exact(info->extent_size);

    vt_set_error(error, EINVAL, "volume group %s has extents of %s: leave --extent-size away", vg,
                 its);
  }
  sizes->pool.size = sizes->size;
  ok = info && (!sizes->extent_size || sizes->extent_size == info->extent_size) &&
       pool_create_pool(group, name, &sizes->pool, error);
  return cli_close(group, error) && ok;
}

/* The file or device to make the volume group on. The caller's. */
static char *choose_path(const char *vg, GError **error)
{
  const char *const *given = cli_devices();

  if (file)
    return g_canonicalize_filename(file, NULL);
  if (!given)
    return g_strdup_printf("%s/%s.img", settings_state_dir(), vg);
  if (!given[1])
    return g_strdup(given[0]);
  cli_usage(error,
            "a volume group begins on one device: give one --device, and add the others with "
            "virt-thin extend %s PATH",
            vg);
  return NULL;
}

/* With --force, what is on @path goes. */
static gboolean clear(const char *path, GError **error)
{
  return !force || !g_file_test(path, G_FILE_TEST_EXISTS) || pool_erase(path, error);
}

static gboolean make_vg(const char *vg, const char *name, const char *path, Sizes *sizes,
                        const PoolWhere *where, GError **error)
{
  struct stat st = {0};

  if (stat(path, &st) < 0 && !sizes->size)
    return cli_usage(error, "%s is not there: --size says how large to make it", path);
  if (!clear(path, error))
    return FALSE;
  if (!file && !cli_devices() && g_mkdir_with_parents(settings_state_dir(), 0700) < 0)
    return vt_set_errno(error, errno, "making folder %s", settings_state_dir());
  if (pool_holder_of_new(vg, path, where) == POOL_HOLDER_KERNEL)
    return pool_kernel_init(vg, name, path, sizes->extent_size, &sizes->pool, error);
  return pool_init(vg, name, path, sizes->size, sizes->extent_size, &sizes->pool, error);
}

static int run_init(char **args, GError **error)
{
  g_autofree char *vg = NULL, *name = NULL, *path = NULL, *owner = NULL;
  g_autoptr(PoolVg) found = NULL;
  g_autoptr(PoolLook) look = pool_look_new();
  PoolWhere where = cli_where_patient(0);
  Sizes sizes;

  if (!cli_split_name(args[0], &vg, &name, error) || !parse_sizes(&sizes, error))
    return CLI_WRONG_USAGE;
  if (!vt_vg_name_check(vg, error) || !vt_lv_name_check(name, error))
    return CLI_FAILED;
  where.look = look;
  found = pool_find_vg(vg, &where);
  if (found && !file)
    return cli_status(add_pool(vg, name, &sizes, &where, error));
  path = choose_path(vg, error);
  if (!path)
    return CLI_WRONG_USAGE;
  owner = pool_vg_of(path, &where);
  if (owner && strcmp(owner, vg) == 0) {
    const char *const there[] = {path, NULL};

    if (!found) { /* it lies where nobody would look */
      where.devices = there;
      where.look = NULL;
    }
    return cli_status(add_pool(vg, name, &sizes, &where, error));
  }
  if (found)
    return cli_status(vt_set_error(
        error, EEXIST,
        "volume group %s exists already, on %s: add %s to it with virt-thin extend %s %s, "
        "or leave --file away to give it a "
        "further thin pool",
        vg, found->served ? "its service" : found->devices[0], path, vg, path));
  if (owner)
    return cli_status(vt_set_error(
        error, EEXIST, "%s is a physical volume of volume group %s already", path, owner));
  return cli_status(make_vg(vg, name, path, &sizes, &where, error));
}

static const GOptionEntry init_options[] = {
    {"size", 0, 0, G_OPTION_ARG_FILENAME, &size_text,
     "Size of the physical volume to make (of a further pool: its data)", "SIZE"},
    {"file", 0, 0, G_OPTION_ARG_FILENAME, &file,
     "File (made sparse) or block device; default: --device, else VG.img in the state folder",
     "PATH"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &force, "Erase what is on it: a file system, an image, data",
     NULL},
    {"max-size", 0, 0, G_OPTION_ARG_FILENAME, &max_text,
     "Let it grow to this when it fills (with the physical volume, if that is a file)", "SIZE"},
    {"reserve", 0, 0, G_OPTION_ARG_FILENAME, &reserve_text,
     "Leave this much of the volume group free (default: room for metadata to grow, on a disk)",
     "SIZE"},
    {"chunk-size", 0, 0, G_OPTION_ARG_FILENAME, &chunk_text,
     "Thin pool's chunk size (default: lvm2's choice)", "SIZE"},
    {"metadata-size", 0, 0, G_OPTION_ARG_FILENAME, &metadata_text,
     "Thin pool's metadata size (default: room for snapshots in a file, lvm2's choice on a disk)",
     "SIZE"},
    {"extent-size", 0, 0, G_OPTION_ARG_FILENAME, &extent_text,
     "Volume group's extent size (default: 4m)", "SIZE"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_init = {
    .name = "init",
    .arguments = "VG/POOL",
    .summary = "Make a volume group with a thin pool in a file or on a device",
    .description = "The pool takes all of the physical volume but its metadata, the spare and what "
                   "--reserve leaves. A "
                   "volume group that\n"
                   "exists gains a further thin pool from its free extents. A file or device with "
                   "something on it is "
                   "refused,\n"
                   "unless --force.\n\n"
                   "Example: virt-thin init pve/data --size 100g",
    .options = init_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_init,
};

static int run_extend(char **args, GError **error)
{
  g_autofree char *path = g_canonicalize_filename(args[1], NULL);
  g_autofree char *vg = NULL, *lv = NULL;
  guint64 size;
  VolumeGroup *group;
  gboolean ok;

  if (!cli_split_optional(args[0], &vg, &lv, error) ||
      !cli_parse_size("--size", size_text, &size, error))
    return CLI_WRONG_USAGE;
  if (size_text && !size)
    return cli_usage(error, "--size %s: a size of nothing", size_text), CLI_WRONG_USAGE;
  if (lv)
    return cli_usage(error, "\"%s\" is no volume group", args[0]), CLI_WRONG_USAGE;
  if (!size && !g_file_test(path, G_FILE_TEST_EXISTS))
    return cli_usage(error, "%s is not there: --size says how large to make it", path),
           CLI_WRONG_USAGE;
  group = cli_open_patient(vg, 0, error);
  ok = group && clear(path, error) && pool_extend_with_file(group, path, size, error);
  return cli_status(cli_close(group, error) && ok);
}

static const GOptionEntry extend_options[] = {
    {"size", 0, 0, G_OPTION_ARG_FILENAME, &size_text,
     "Make it: a sparse file of this size, that nobody else may read", "SIZE"},
    {"force", 0, 0, G_OPTION_ARG_NONE, &force, "Erase what is on it: a file system, an image, data",
     NULL},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

const CliCommand cli_extend = {
    .name = "extend",
    .arguments = "VG PATH",
    .summary = "Add a physical volume, file or block device, to a volume group",
    .description = "The thin pool grows into it with virt-thin resize VG/POOL +SIZE, or\n"
                   "+100%FREE. Refused where something is on it, unless --force.\n\n"
                   "Example: virt-thin extend pve /srv/second.img --size 200g",
    .options = extend_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_extend,
};
