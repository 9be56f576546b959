/* virt-thin - image formats other than raw, through qemu-img and an NBD socket
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/copy.h"
#include "cli/qemu.h"
#include "pool/settings.h"
#include "service/nbd-server.h"

const char *cli_image_format(int fd, guint64 size, const char *head, gsize head_length)
{
  static const struct {
    gsize offset;
    const char *magic;
    gsize length;
    const char *format;
  } table[] = {
      {0, "QFI\xfb\0\0\0\1", 8, "qcow"},
      {0, "QFI\xfb", 4, "qcow2"},
      {0, "QED\0", 4, "qed"},
      {0, "KDMV", 4, "vmdk"},
      {0, "COWD", 4, "vmdk"},
      {0, "# Disk DescriptorFile", 21, "vmdk"},
      {0x40, "\x7f\x10\xda\xbe", 4, "vdi"},
      {0, "vhdxfile", 8, "vhdx"},
      {0, "conectix", 8, "vpc"},
      {0, "WithoutFreeSpace", 16, "parallels"},
      {0, "WithouFreSpacExt", 16, "parallels"},
      {0, "Bochs Virtual HD Image", 22, "bochs"},
  };
  char tail[8];

  for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
    if (head_length >= table[i].offset + table[i].length &&
        memcmp(head + table[i].offset, table[i].magic, table[i].length) == 0)
      return table[i].format;
  /* A VHD of fixed size has its mark in the last sector. */
  if (size >= 512 && pread(fd, tail, sizeof tail, (off_t)(size - 512)) == sizeof tail &&
      memcmp(tail, "conectix", 8) == 0)
    return "vpc";
  return "raw";
}

/* --- running qemu-img --- */

static void show_on_stderr(gpointer data)
{
  dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* Run; its progress on our terminal. A signal that reaches us ends it, too. *code: its exit status; -1: it was killed.
 */
static gboolean run_to_end(const char *const *argv, GSpawnFlags flags, const char *what, int *code, GError **error)
{
  g_autoptr(GError) local = NULL;
  gboolean told = FALSE;
  int status;
  GPid pid;

  cli_catch_interrupts();
  if (!g_spawn_async(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | flags, show_on_stderr,
                     NULL, &pid, &local))
    return vt_set_error(error, ENOENT, "%s: %s; install qemu-img (Debian: qemu-utils)", what, local->message);
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR)
      return vt_set_errno(error, errno, "waiting for qemu-img");
    if (cli_interrupted() && !told) {
      kill(pid, SIGTERM);
      told = TRUE;
    }
  }
  if (cli_interrupted())
    return vt_set_error(error, ECANCELED, "interrupted");
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return TRUE;
}

static gboolean run(const char *const *argv, const char *what, GError **error)
{
  int code;

  return run_to_end(argv, 0, what, &code, error) &&
         (code == 0 || vt_set_error(error, EIO, "%s: qemu-img failed", what));
}

/* A name that qemu-img takes for a file whatever it is: "json:…" and "nbd:…" are no protocols here. */
static char *plain_path(const char *path)
{
  return g_canonicalize_filename(path, NULL);
}

/* What `qemu-img info` says of an image, which opens nothing that it is based on; *size: its disk's. The caller's. */
static JsonNode *load_info(const char *path, const char *format, guint64 *size, GError **error)
{
  g_autofree char *full = plain_path(path), *out = NULL, *err = NULL;
  const char *const argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", format, full, NULL};
  g_autoptr(GError) local = NULL;
  g_autoptr(JsonNode) info = NULL;
  gint64 value = -1;
  int status;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &local)) {
    vt_set_error(error, ENOENT, "%s is in format %s: %s; install qemu-img (Debian: qemu-utils)", path, format,
                 local->message);
    return NULL;
  }
  if (!g_spawn_check_wait_status(status, NULL)) {
    vt_set_error(error, EINVAL, "%s: %s", path, g_strstrip(err));
    return NULL;
  }
  info = json_from_string(out, NULL);
  if (info && JSON_NODE_HOLDS_OBJECT(info))
    value = json_object_get_int_member_with_default(json_node_get_object(info), "virtual-size", -1);
  *size = (guint64)value;
  if (value < 0)
    vt_set_error(error, EINVAL, "%s: qemu-img does not tell its size", path);
  return value < 0 ? NULL : g_steal_pointer(&info);
}

static const char *backing_of(JsonNode *info)
{
  return json_object_get_string_member_with_default(json_node_get_object(info), "backing-filename", NULL);
}

gboolean cli_qemu_info(const char *path, const char *format, guint64 *size, char **backing, GError **error)
{
  g_autoptr(JsonNode) info = load_info(path, format, size, error);

  if (info && backing)
    *backing = g_strdup(backing_of(info));
  return info != NULL;
}

gboolean cli_qemu_new(const char *path, const char *format, const char *preallocation, guint64 size, GError **error)
{
  g_autofree char *full = plain_path(path), *what = g_strdup_printf("making %s", path),
                  *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, size),
                  *option = g_strconcat("preallocation=", preallocation, NULL);
  const char *const plain[] = {"qemu-img", "create", "-q", "-f", format, full, bytes, NULL},
                    *const allocating[] = {"qemu-img", "create", "-q", "-o", option, "-f", format, full, bytes, NULL};

  return run(preallocation ? allocating : plain, what, error);
}

/* --- images of somebody else's --- */

static gboolean is_of_format(int fd, const char *format, const guchar *head, gsize length)
{
  return strcmp(cli_image_format(fd, 0, (const char *)head, length), format) == 0;
}

/* What the file itself says, before QEMU opens what that names. */
static gboolean check_head(const char *path, const char *format, GError **error)
{
  guchar head[512] = {0};
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
  gboolean ok = n >= 0 && is_of_format(fd, format, head, (gsize)n);
  const char *what = NULL;

  if (n < 0)
    vt_set_errno(error, errno, "%s", path);
  else if (!ok)
    vt_set_error(error, EINVAL, "%s is no image of format %s", path, format);
  if (fd >= 0)
    close(fd);
  if (!ok)
    return FALSE;
  /* QEMU's docs/interop/qcow2.txt: backing_file_offset; version 3: incompatible_features, external data file. */
  if (strcmp(format, "qcow2") == 0)
    what = memcmp(head + 8, "\0\0\0\0\0\0\0", 8) != 0 ? "an image that it is based on"
           : head[7] >= 3 && head[79] & 4             ? "an external data file"
                                                      : NULL;
  /* VMware's Virtual Disk Format 5.0: a descriptor alone, and what QEMU takes for that, as its capacity is 0. */
  else if (strcmp(format, "vmdk") == 0)
    what =
        head[0] == '#' || (head[0] == 'K' && memcmp(head + 12, "\0\0\0\0\0\0\0", 8) == 0) ? "a file of extents" : NULL;
  return !what || vt_set_error(error, EOPNOTSUPP, "%s refers to another file, %s", path, what);
}

/* Has a vmdk extents elsewhere than in the file itself? */
static gboolean has_other_extents(JsonNode *info, const char *full)
{
  g_autoptr(JsonNode) found = json_path_query("$['format-specific']['data']['extents'][*]['filename']", info, NULL);
  JsonArray *names = found ? json_node_get_array(found) : NULL;

  return !names || json_array_get_length(names) != 1 || g_strcmp0(json_array_get_string_element(names, 0), full) != 0;
}

gboolean cli_qemu_check_alone(const char *path, const char *format, guint64 *size, GError **error)
{
  g_autofree char *full = plain_path(path);
  g_autoptr(JsonNode) info = check_head(path, format, error) ? load_info(path, format, size, error) : NULL;

  if (!info)
    return FALSE;
  if (backing_of(info))
    return vt_set_error(error, EOPNOTSUPP, "%s refers to another file, an image that it is based on", path);
  return strcmp(format, "vmdk") != 0 || !has_other_extents(info, full) ||
         vt_set_error(error, EOPNOTSUPP, "%s refers to another file, a file of extents", path);
}

gboolean cli_qemu_check(const char *path, const char *format, GError **error)
{
  enum { LEAKS_ALONE = 3, NOT_SUPPORTED = 63 }; /* qemu-img(1) */
  g_autofree char *full = plain_path(path), *what = g_strdup_printf("checking %s", path);
  const char *const argv[] = {"qemu-img", "check", "-q", "-f", format, full, NULL};
  int code;

  /* It has a line for every cluster that is not there. */
  if (!run_to_end(argv, G_SPAWN_STDERR_TO_DEV_NULL, what, &code, error))
    return FALSE;
  return code == 0 || code == LEAKS_ALONE || code == NOT_SUPPORTED ||
         vt_set_error(error, EBADMSG, "%s is damaged, or a part of it is missing", path);
}

/* --- the export --- */

struct CliExport {
  char *folder, *socket; /* folder NULL: the service's */
  char *uri;
  NbdServer *server;
};

static gboolean serve_privately(CliExport *export, Pool *pool, gboolean read_only, GError **error)
{
  NbdServerOptions options = {.read_only = read_only};
  g_autoptr(GError) local = NULL;

  export->folder = g_dir_make_tmp("virt-thin-XXXXXX", &local);
  if (!export->folder)
    return vt_set_error(error, EIO, "making a folder for an NBD socket: %s", local->message);
  export->socket = g_build_filename(export->folder, "nbd", NULL);
  export->server = nbd_server_start(pool, export->socket, &options, error);
  return export->server != NULL;
}

CliExport *cli_qemu_export(Pool *pool, gboolean served, const char *vg, const char *lv, gboolean read_only,
                           GError **error)
{
  CliExport *export = g_new0(CliExport, 1);
  g_autofree char *socket = NULL, *name = g_uri_escape_string(lv, NULL, FALSE);

  if (served)
    export->socket = settings_vg_file(vg, "nbd");
  else if (!serve_privately(export, pool, read_only, error)) {
    cli_qemu_unexport(export);
    return NULL;
  }
  socket = g_uri_escape_string(export->socket, "/", FALSE);
  export->uri = g_strdup_printf("nbd+unix:///%s?socket=%s", name, socket);
  return export;
}

void cli_qemu_unexport(CliExport *export)
{
  if (!export)
    return;
  if (export->server)
    nbd_server_stop(export->server, 5000);
  if (export->folder)
    g_rmdir(export->folder);
  g_free(export->folder);
  g_free(export->socket);
  g_free(export->uri);
  g_free(export);
}

/* Arguments that are there only on a terminal come first. */
static gboolean convert(const char *const *arguments, const char *what, GError **error)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new();

  g_ptr_array_add(argv, (gpointer) "qemu-img");
  g_ptr_array_add(argv, (gpointer) "convert");
  if (isatty(STDERR_FILENO))
    g_ptr_array_add(argv, (gpointer) "-p");
  for (; *arguments; arguments++)
    g_ptr_array_add(argv, (gpointer)*arguments);
  g_ptr_array_add(argv, NULL);
  return run((const char *const *)argv->pdata, what, error);
}

gboolean cli_qemu_import(const char *path, const char *format, CliExport *export, GError **error)
{
  g_autofree char *full = plain_path(path), *what = g_strdup_printf("importing %s", path);
  const char *const arguments[] = {"-n", "--target-is-zero", "-W", "-f", format, "-O", "raw", full, export->uri, NULL};

  return convert(arguments, what, error);
}

gboolean cli_qemu_create(CliExport *export, const char *path, const char *format, GError **error)
{
  g_autofree char *full = plain_path(path), *what = g_strdup_printf("exporting to %s", path);
  const char *const arguments[] = {"-f", "raw", "-O", format, export->uri, full, NULL};

  return convert(arguments, what, error);
}
