/* virt-thin - commands storage export and import: pvesm's, in its stream formats raw+size,
 * qcow2+size and vmdk+size SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The disk's size in bytes, 8 bytes little-endian, then that many bytes, or an image
 * (PVE::Storage::Plugin::write_common_header).
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "image/copy.h"
#include "pvesm/commands.h"
#include "pvesm/folder.h"
#include "pvesm/volume.h"

#define HEADER_SIZE 8
#define ACCEPT_TIMEOUT_S 30
/* PVE::Tools::next_migrate_port */
#define FIRST_PORT 60000
#define LAST_PORT 60050

static gboolean check_format(const char *format, GError **error)
{
  static const char *const known[] = {"raw+size", "tar+size", "qcow2+size", "vmdk+size",
                                      "zfs",      "btrfs",    NULL};
  g_autofree char *all = g_strjoinv(", ", (GStrv)known);

  return g_strv_contains(known, format) ||
         pvesm_bad_parameter(error, "format",
                             "value '%s' does not have a value in the enumeration '%s'", format,
                             all);
}

/* The storage and the name of what is to be streamed. */
static gboolean find_volume(const StorageCfg *cfg, const PvesmWords *words,
                            const StorageCfgStorage **storage, char **name, GError **error)
{
  g_autofree char *id = NULL;
  g_autoptr(GError) local = NULL;

  if (!check_format(pvesm_word(words, 1), error))
    return FALSE;
  if (!pool_guest_parse_volume_id(pvesm_word(words, 0), &id, name, &local))
    return pvesm_bad_parameter(error, "volume", "%s", local->message);
  *storage = pvesm_find_enabled(cfg, id, error);
  return *storage != NULL;
}

/* Of a volume in a volume group. */
static gboolean parse_name(const StorageCfgStorage *storage, const char *name,
                           PoolGuestName *parsed, GError **error)
{
  PoolGuestStorage kind;

  if (!pvesm_require_lvm(storage, "stream volumes", &kind, error) ||
      !pool_guest_parse_name(kind, name, parsed, error))
    return FALSE;
  if (strcmp(parsed->format, "raw") == 0)
    return TRUE;
  vt_set_error(error, EINVAL,
               "volume '%s' is named as one of format %s: virt-thin streams raw ones", name,
               parsed->format);
  pool_guest_name_clear(parsed);
  return FALSE;
}

/* --- export --- */

typedef struct {
  const char *path; /* NULL: standard output */
  int fd;
} Target;

static gboolean open_target(Target *target, const char *argument, GError **error)
{
  gboolean created;

  *target = (Target){argument, -1};
  if (strcmp(argument, "-") == 0) {
    if (isatty(STDOUT_FILENO))
      return vt_set_error(error, EINVAL,
                          "a stream is nothing for a terminal: redirect standard output");
    target->path = NULL;
    target->fd = dup(STDOUT_FILENO);
    return target->fd >= 0 || vt_set_errno(error, errno, "standard output");
  }
  target->fd = image_open_output(argument, TRUE, &created, error);
  return target->fd >= 0;
}

static gboolean write_header(int fd, guint64 size, GError **error)
{
  guint64 header = GUINT64_TO_LE(size);

  for (gsize done = 0; done < HEADER_SIZE;) {
    ssize_t n = write(fd, (const char *)&header + done, HEADER_SIZE - done);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "writing the stream");
    done += (gsize)MAX(n, 0);
  }
  return TRUE;
}

static gboolean is_sparse_file(int fd)
{
  struct stat st;

  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(fcntl(fd, F_GETFL) & O_APPEND) &&
         lseek(fd, 0, SEEK_CUR) == st.st_size;
}

static const char *target_name(const Target *target)
{
  return target->path ? target->path : "standard output";
}

static ImageTarget target_kind(const Target *target)
{
  return is_sparse_file(target->fd) ? IMAGE_SPARSE : IMAGE_DENSE;
}

static gboolean stream_out(VtIo *volume, const char *name, Target *target, GError **error)
{
  g_autoptr(GPtrArray) lost = image_lost_new();
  guint64 size = vt_io_size(volume);
  CliProgress *progress;
  gboolean ok;

  if (!write_header(target->fd, size, error))
    return FALSE;
  progress = cli_progress_new(size, "exporting %s", name);
  ok = image_copy_out(volume, target->fd, target_name(target), target_kind(target), lost, progress,
                      error);
  cli_progress_free(progress);
  for (guint i = 0; i < lost->len; i++)
    cli_warn("%s", ((ImageLost *)lost->pdata[i])->text);
  return ok &&
         (!lost->len ||
          vt_set_error(error, EBADMSG, "volume %s is damaged: it cannot be exported whole", name));
}

/* Half a stream is nothing to keep; a device or a fifo is not ours. */
static gboolean close_target(Target *target, gboolean ok, GError **error)
{
  struct stat st;
  gboolean is_file = target->path && fstat(target->fd, &st) == 0 && S_ISREG(st.st_mode);

  if (close(target->fd) < 0 && ok)
    ok = vt_set_errno(error, errno, "writing %s", target_name(target));
  if (!ok && is_file)
    unlink(target->path);
  return ok;
}

static gboolean export_volume(const StorageCfgStorage *storage, const char *name,
                              const char *argument, GError **error)
{
  VolumeGroup *group = cli_open(storagecfg_string(storage, "vgname"), POOL_READ_ONLY, error);
  VtIo *volume =
      group ? pool_volume_open(group, name, TRUE, "virt-thin storage export", error) : NULL;
  Target target;
  gboolean ok = FALSE;

  if (volume && open_target(&target, argument, error))
    ok = close_target(&target, stream_out(volume, name, &target, error), error);
  if (volume)
    vt_io_unref(volume);
  return cli_close(group, error) && ok;
}

static gboolean export_from_group(const PvesmWords *words, const StorageCfgStorage *storage,
                                  const char *name, GError **error)
{
  const char *format = pvesm_word(words, 1), *type = storage->type->name;
  PoolGuestName parsed;

  if (!parse_name(storage, name, &parsed, error))
    return FALSE;
  pool_guest_name_clear(&parsed);
  if (strcmp(format, "raw+size") != 0)
    return vt_set_error(error, EINVAL, "volume export format %s not available for %s", format,
                        type);
  if (pvesm_flag(words, "with-snapshots") || pvesm_option(words, "snapshot-list"))
    return vt_set_error(error, EINVAL, "cannot export volumes together with their snapshots in %s",
                        type);
  if (pvesm_option(words, "base"))
    return vt_set_error(error, EINVAL, "cannot export an incremental stream in %s", type);
  if (pvesm_option(words, "snapshot"))
    return vt_set_error(error, EINVAL, "cannot export a snapshot in %s", type);
  return export_volume(storage, name, pvesm_word(words, 2), error);
}

static gboolean export_from_folder(const PvesmWords *words, const StorageCfgStorage *storage,
                                   const char *name, GError **error)
{
  const char *format = pvesm_word(words, 1), *type = storage->type->name;
  gboolean with_snapshots =
      pvesm_flag(words, "with-snapshots") || pvesm_option(words, "snapshot-list");
  g_autoptr(FolderSource) source = NULL;
  Target target;

  if (with_snapshots && storagecfg_boolean(storage, "snapshot-as-volume-chain", FALSE))
    return vt_set_error(error, EINVAL, "cannot export volumes together with their snapshots in %s",
                        type);
  if (pvesm_option(words, "base") || pvesm_option(words, "snapshot"))
    return vt_set_error(error, EINVAL, "volume export format %s not available for %s", format,
                        type);
  source = pvesm_folder_source_new(storage, name, format, with_snapshots, error);
  if (!source)
    return FALSE;
  if (pvesm_folder_source_is(source, pvesm_word(words, 2)))
    return vt_set_error(error, EINVAL, "%s is the volume itself", pvesm_word(words, 2));
  if (!open_target(&target, pvesm_word(words, 2), error))
    return FALSE;
  return close_target(&target,
                      write_header(target.fd, pvesm_folder_source_size(source), error) &&
                          pvesm_folder_source_copy(source, target.fd, target_name(&target),
                                                   target_kind(&target), error),
                      error);
}

static gboolean export(const PvesmWords *words, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  const StorageCfgStorage *storage;
  g_autofree char *name = NULL;

  if (!cfg || !find_volume(cfg, words, &storage, &name, error))
    return FALSE;
  return pvesm_is_folder(storage) ? export_from_folder(words, storage, name, error)
                                  : export_from_group(words, storage, name, error);
}

/* --- where a stream comes from --- */

static GSocket *listen_at(GSocketAddress *address, GError **error)
{
  g_autoptr(GSocket) listener = g_socket_new(
      g_socket_address_get_family(address), G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_DEFAULT, error);

  if (!listener || !g_socket_bind(listener, address, TRUE, error))
    return NULL;
  g_socket_set_listen_backlog(listener, 1);
  return g_socket_listen(listener, error) ? g_steal_pointer(&listener) : NULL;
}

/* A descriptor that blocks, which GIO's own do not; -1: an error. */
static int accept_one(GSocket *listener, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GSocket) client = NULL;
  int fd;

  g_socket_set_timeout(listener, ACCEPT_TIMEOUT_S);
  client = g_socket_accept(listener, NULL, &local);
  if (!client) {
    if (g_error_matches(local, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
      vt_set_error(error, ETIMEDOUT, "timed out waiting for client");
    else
      vt_set_error(error, EIO, "accepting a client: %s", local->message);
    return -1;
  }
  fd = fcntl(g_socket_get_fd(client), F_DUPFD_CLOEXEC, 0);
  if (fd < 0 || !g_unix_set_fd_nonblocking(fd, FALSE, NULL))
    vt_set_errno(error, errno, "accepting a client");
  return fd;
}

static gboolean is_in_network(const struct sockaddr *address, const guchar *network, int family,
                              guint prefix)
{
  const guchar *bytes =
      family == AF_INET
          ? (const guchar *)&((const struct sockaddr_in *)(const void *)address)->sin_addr
          : (const guchar *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;

  if (address->sa_family != family)
    return FALSE;
  for (guint bit = 0; bit < prefix; bit++)
    if ((bytes[bit / 8] ^ network[bit / 8]) & (0x80 >> bit % 8))
      return FALSE;
  return TRUE;
}

/* The one address of this host in the network of @cidr; "IP" alone is itself. */
static char *local_address(const char *cidr, GError **error)
{
  const char *slash = strchr(cidr, '/');
  g_autofree char *ip = g_strndup(cidr, slash ? (gsize)(slash - cidr) : strlen(cidr)),
                  *found = NULL;
  guchar network[16];
  int family = strchr(ip, ':') ? AF_INET6 : AF_INET;
  struct ifaddrs *all = NULL;
  guint64 prefix = 0;
  guint n = 0;

  if (inet_pton(family, ip, network) != 1 ||
      (slash && !g_ascii_string_to_unsigned(slash + 1, 10, 0, family == AF_INET ? 32 : 128, &prefix,
                                            NULL))) {
    vt_set_error(error, EINVAL, "'%s' is neither an address nor a network", cidr);
    return NULL;
  }
  if (!slash)
    return g_steal_pointer(&ip);
  if (getifaddrs(&all) < 0) {
    vt_set_errno(error, errno, "listing this host's addresses");
    return NULL;
  }
  for (struct ifaddrs *i = all; i; i = i->ifa_next) {
    char text[INET6_ADDRSTRLEN];

    if (!i->ifa_addr || !is_in_network(i->ifa_addr, network, family, (guint)prefix))
      continue;
    getnameinfo(i->ifa_addr,
                family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6), text,
                sizeof text, NULL, 0, NI_NUMERICHOST);
    g_free(found);
    found = g_strdup(text);
    n++;
  }
  freeifaddrs(all);
  if (n != 1)
    vt_set_error(error, EINVAL,
                 n ? "Got multiple local IP address in network '%s'"
                   : "Unable to get any local IP address in network '%s'",
                 cidr);
  return n == 1 ? g_steal_pointer(&found) : NULL;
}

static int open_tcp(const char *cidr, GError **error)
{
  g_autofree char *ip = local_address(cidr, error);
  g_autoptr(GSocket) listener = NULL;
  guint port;

  if (!ip)
    return -1;
  for (port = FIRST_PORT; port < LAST_PORT && !listener; port++) {
    g_autoptr(GSocketAddress) address = g_inet_socket_address_new_from_string(ip, port);

    listener = address ? listen_at(address, NULL) : NULL;
  }
  if (!listener) {
    vt_set_error(error, EADDRINUSE, "failed to open socket: no port from %u to %u is free at %s",
                 FIRST_PORT, LAST_PORT - 1, ip);
    return -1;
  }
  printf("%s\n%u\n", ip, port - 1);
  fflush(stdout);
  return accept_one(listener, error);
}

static int open_unix(const char *path, GError **error)
{
  g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
  g_autoptr(GError) local = NULL;
  g_autoptr(GSocket) listener = NULL;
  int fd;

  if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) { /* GIO would cut it off */
    vt_set_error(error, ENAMETOOLONG, "failed to open socket: the path %s is too long", path);
    return -1;
  }
  listener = listen_at(address, &local);
  if (!listener) {
    vt_set_error(error, EIO, "failed to open socket: %s: %s", path, local->message);
    return -1;
  }
  printf("ready\n");
  fflush(stdout);
  fd = accept_one(listener, error);
  unlink(path);
  return fd;
}

static int open_source(const char *argument, GError **error)
{
  int fd;

  if (strcmp(argument, "-") == 0)
    return dup(STDIN_FILENO);
  if (g_str_has_prefix(argument, "tcp://"))
    return open_tcp(argument + strlen("tcp://"), error);
  if (g_str_has_prefix(argument, "unix://"))
    return open_unix(argument + strlen("unix://"), error);
  fd = open(argument, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    vt_set_errno(error, errno, "open(%s)", argument);
  return fd;
}

/* --- import --- */

static gboolean read_header(int fd, guint64 *size, GError **error)
{
  guint64 header;

  for (gsize done = 0; done < HEADER_SIZE;) {
    ssize_t n = read(fd, (char *)&header + done, HEADER_SIZE - done);

    if (n < 0 && errno != EINTR)
      return vt_set_errno(error, errno, "reading the stream");
    if (n == 0)
      return vt_set_error(error, EINVAL, "import: no size found in export header, aborting.");
    done += (gsize)MAX(n, 0);
  }
  *size = GUINT64_FROM_LE(header);
  return *size <= G_MAXINT64 ||
         vt_set_error(error, EINVAL, "import: size %" G_GUINT64_FORMAT " in export header is none",
                      *size);
}

/* All of the stream, and no less. */
static gboolean stream_in(VolumeGroup *group, const char *name, int fd, guint64 size,
                          GError **error)
{
  g_autoptr(VtIo) volume = pool_volume_open(group, name, FALSE, "virt-thin storage import", error);
  ImageSource source = {.fd = fd, .name = "the stream", .size = IMAGE_UNKNOWN_SIZE};
  CliProgress *progress;
  gboolean fresh, ok;

  if (!volume || !pool_guest_reads_zero(group, name, &fresh, error))
    return FALSE;
  progress = cli_progress_new(size, "importing %s", name);
  ok = image_copy_in(&source, volume, fresh ? IMAGE_OVER_ZEROS : IMAGE_OVER_ANY, progress, error);
  cli_progress_free(progress);
  if (ok && source.size != size)
    return vt_set_error(error, EINVAL,
                        "the stream says that it has %" G_GUINT64_FORMAT
                        " bytes and has %" G_GUINT64_FORMAT,
                        size, source.size);
  return ok;
}

static gboolean is_there(GStrv names, const char *name)
{
  return g_strv_contains((const char *const *)names, name);
}

/* Under which name the volume is made: that asked for, of a template the one that it has before; or
 * the next free one.
 */
static gboolean choose_name(GStrv names, const StorageCfgStorage *storage, const char *wanted,
                            const PoolGuestName *parsed, gboolean allow_rename, char **name,
                            GError **error)
{
  g_autofree char *first =
      parsed->is_base ? g_strconcat("vm-", wanted + strlen("base-"), NULL) : g_strdup(wanted);
  const char *taken = is_there(names, wanted) ? wanted : is_there(names, first) ? first : NULL;

  *name = NULL;
  if (!taken) {
    *name = g_steal_pointer(&first);
    return TRUE;
  }
  if (!allow_rename)
    return vt_set_error(error, EEXIST, "volume %s/%s already exists",
                        storagecfg_string(storage, "vgname"), taken);
  cli_warn("volume %s/%s already exists - importing with a different name",
           storagecfg_string(storage, "vgname"), taken);
  *name = g_strdup("");
  return TRUE;
}

static char *import_volume(VolumeGroup *group, const StorageCfgStorage *storage, const char *wanted,
                           const PoolGuestName *parsed, gboolean allow_rename, int fd, guint64 size,
                           GError **error)
{
  g_auto(GStrv) names = pool_guest_names(group, error);
  g_autofree char *asked = NULL, *name = NULL, *base = NULL;

  if (!names || !choose_name(names, storage, wanted, parsed, allow_rename, &asked, error))
    return NULL;
  name = pvesm_allocate(group, storage, parsed->vmid, asked, (size + 1023) / 1024 * 1024, error);
  if (!name)
    return NULL;
  if (stream_in(group, name, fd, size, error)) {
    if (!parsed->is_base)
      return g_steal_pointer(&name);
    if (pool_guest_make_template(group, name, &base, error))
      return g_steal_pointer(&base);
  }
  pvesm_free_volume(group, storage, name, NULL);
  return NULL;
}

/* The stream, behind its header; -1: an error. */
static int open_stream(const PvesmWords *words, guint64 *size, GError **error)
{
  int fd = open_source(pvesm_word(words, 2), error);

  if (fd >= 0 && !read_header(fd, size, error)) {
    close(fd);
    return -1;
  }
  return fd;
}

/* The new volume's name. */
static char *import_to_group(const PvesmWords *words, const StorageCfgStorage *storage,
                             const char *wanted, const PoolGuestName *parsed, GError **error)
{
  const char *format = pvesm_word(words, 1), *type = storage->type->name;
  g_autofree char *name = NULL;
  VolumeGroup *group = NULL;
  guint64 size = 0;
  int fd;

  if (strcmp(format, "raw+size") != 0) {
    vt_set_error(error, EINVAL, "volume import format %s not available for %s", format, type);
    return NULL;
  }
  if (pvesm_flag(words, "with-snapshots") || pvesm_option(words, "delete-snapshot")) {
    vt_set_error(error, EINVAL, "cannot import a volume together with its snapshots in %s", type);
    return NULL;
  }
  fd = open_stream(words, &size, error);
  group = fd < 0 ? NULL : cli_open(storagecfg_string(storage, "vgname"), 0, error);
  if (group)
    name = import_volume(group, storage, wanted, parsed, pvesm_flag(words, "allow-rename"), fd,
                         size, error);
  if (fd >= 0)
    close(fd);
  return cli_close(group, error) ? g_steal_pointer(&name) : NULL;
}

static char *import_to_folder(const PvesmWords *words, const StorageCfgStorage *storage,
                              const char *wanted, GError **error)
{
  g_autofree char *name = NULL;
  guint64 size = 0;
  int fd;

  if (pvesm_option(words, "delete-snapshot")) {
    vt_set_error(error, EINVAL, "cannot delete a snapshot of what is imported in %s",
                 storage->type->name);
    return NULL;
  }
  if (!pvesm_folder_check_import(storage, wanted, pvesm_word(words, 1),
                                 pvesm_flag(words, "with-snapshots"), error))
    return NULL;
  fd = open_stream(words, &size, error);
  if (fd < 0)
    return NULL;
  name = pvesm_folder_import(storage, wanted, pvesm_flag(words, "allow-rename"), fd, size, error);
  close(fd);
  return g_steal_pointer(&name);
}

static gboolean import(const PvesmWords *words, GError **error)
{
  g_autoptr(StorageCfg) cfg = pvesm_config_load(pvesm_option(words, "config"), FALSE, error);
  const StorageCfgStorage *storage;
  g_autofree char *wanted = NULL, *name = NULL;
  PoolGuestName parsed = {NULL};

  if (!cfg || !find_volume(cfg, words, &storage, &wanted, error))
    return FALSE;
  if (pvesm_option(words, "base"))
    return vt_set_error(error, EINVAL, "cannot import an incremental stream in %s",
                        storage->type->name);
  if (pvesm_is_folder(storage))
    name = import_to_folder(words, storage, wanted, error);
  else if (parse_name(storage, wanted, &parsed, error))
    name = import_to_group(words, storage, wanted, &parsed, error);
  pool_guest_name_clear(&parsed);
  if (name)
    printf("successfully imported '%s:%s'\n", storage->id, name);
  return name != NULL;
}

/* --- the commands --- */

static const char *const arguments[] = {"volume", "format", "filename", NULL};
static const PvesmOption export_options[] = {
    {"snapshot", PVESM_TEXT, "NAME  As pvesm has it: refused"},
    {"base", PVESM_TEXT, "NAME  As pvesm has it: refused"},
    {"with-snapshots", PVESM_FLAG, "[0|1]  qcow2+size, vmdk+size: needed; else refused"},
    {"snapshot-list", PVESM_LIST, "LIST  As --with-snapshots"},
    {NULL, 0, NULL},
};
static const PvesmOption import_options[] = {
    {"allow-rename", PVESM_FLAG, "[0|1]  Take another name when this one is taken"},
    {"snapshot", PVESM_TEXT, "NAME  As pvesm has it; changes nothing"},
    {"base", PVESM_TEXT, "NAME  As pvesm has it: refused"},
    {"with-snapshots", PVESM_FLAG, "[0|1]  qcow2+size, vmdk+size: needed; else refused"},
    {"delete-snapshot", PVESM_TEXT, "NAME  As pvesm has it: refused"},
    {NULL, 0, NULL},
};
static const PvesmUsage export_usage = {
    .name = "export",
    .arguments = arguments,
    .options = export_options,
    .summary = "Write a volume as a stream",
    .description = "The format is raw+size, or for the file of an image in a folder as it is, "
                   "snapshots and all,\n"
                   "qcow2+size or vmdk+size. The filename - is standard output.",
};
static const PvesmUsage import_usage = {
    .name = "import",
    .arguments = arguments,
    .options = import_options,
    .summary = "Make a volume from a stream",
    .description = "The format is raw+size, or in a folder that of the volume's name: raw+size,\n"
                   "qcow2+size or vmdk+size. The filename is - for standard input, tcp://ADDRESS "
                   "or tcp://NETWORK/BITS (prints\n"
                   "address and port), unix://PATH (prints ready), or a file.",
};

static int run_export(char **words)
{
  return pvesm_run(&export_usage, export, words);
}

static int run_import(char **words)
{
  return pvesm_run(&import_usage, import, words);
}

const CliCommand pvesm_export = {
    .name = "export", .summary = "Write a volume as a stream", .run_words = run_export};
const CliCommand pvesm_import = {
    .name = "import", .summary = "Make a volume from a stream", .run_words = run_import};
