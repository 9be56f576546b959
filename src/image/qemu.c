/* virt-thin - image formats other than raw, through qemu-img and an NBD socket
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/copy.h"
#include "image/interrupt.h"
#include "image/qemu.h"
#include "util/image-format.h"

/* --- what QEMU is given --- */

/* A name that qemu-img takes for a file whatever it is: "json:…" and "nbd:…" are no protocols
 * here. */
static char *plain_path(const char *path)
{
  return g_canonicalize_filename(path, NULL);
}

char *image_qemu_name(const ImageQemuFile *file)
{
  return file->follow ? plain_path(file->path) : vt_image_qemu_name(file->fd);
}

void image_qemu_keep(const ImageQemuFile *file)
{
  if (file && !file->follow)
    fcntl(file->fd, F_SETFD, 0);
}

/* --- running qemu-img --- */

static void keep_file(gpointer file)
{
  image_qemu_keep(file);
}

static void show_on_stderr(gpointer file)
{
  dup2(STDERR_FILENO, STDOUT_FILENO);
  image_qemu_keep(file);
}

/* Run; its progress on our terminal. A signal that reaches us ends it, too. @file: what it reads,
 * or NULL. *code: its exit status; -1: it was killed. */
static gboolean run_to_end(const char *const *argv, GSpawnFlags flags, const ImageQemuFile *file,
                           const char *what, int *code, GError **error)
{
  g_autoptr(GError) local = NULL;
  gboolean told = FALSE;
  int status;
  GPid pid;

  image_catch_interrupts();
  if (!g_spawn_async(NULL, (char **)argv, NULL,
                     G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | flags, show_on_stderr,
                     (gpointer)file, &pid, &local))
    return vt_set_error(error, ENOENT, "%s: %s; install qemu-img (Debian: qemu-utils)", what,
                        local->message);
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR)
      return vt_set_errno(error, errno, "waiting for qemu-img");
    if (image_interrupted() && !told) {
      kill(pid, SIGTERM);
      told = TRUE;
    }
  }
  if (!image_check_interrupt(error))
    return FALSE;
  *code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return TRUE;
}

static gboolean run(const char *const *argv, const ImageQemuFile *file, const char *what,
                    GError **error)
{
  int code;

  return run_to_end(argv, 0, file, what, &code, error) &&
         (code == 0 || vt_set_error(error, EIO, "%s: qemu-img failed", what));
}

/* What `qemu-img info` says of an image, which opens nothing that it is based on; *size: its
 * disk's. The caller's. */
static JsonNode *load_info(const ImageQemuFile *file, guint64 *size, GError **error)
{
  g_autofree char *name = image_qemu_name(file), *out = NULL, *err = NULL;
  const char *const argv[] = {"qemu-img", "info", "--output=json", "-U", "-f", file->format,
                              name,       NULL};
  g_autoptr(GError) local = NULL;
  g_autoptr(JsonNode) info = NULL;
  gint64 value = -1;
  int status;

  if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, keep_file, (gpointer)file, &out,
                    &err, &status, &local)) {
    vt_set_error(error, ENOENT, "%s is in format %s: %s; install qemu-img (Debian: qemu-utils)",
                 file->path, file->format, local->message);
    return NULL;
  }
  if (!g_spawn_check_wait_status(status, &local)) {
    vt_set_error(error, EINVAL, "%s: %s", file->path, *g_strstrip(err) ? err : local->message);
    return NULL;
  }
  info = json_from_string(out, NULL);
  if (info && JSON_NODE_HOLDS_OBJECT(info))
    value = json_object_get_int_member_with_default(json_node_get_object(info), "virtual-size", -1);
  *size = (guint64)value;
  if (value < 0)
    vt_set_error(error, EINVAL, "%s: qemu-img does not tell its size", file->path);
  return value < 0 ? NULL : g_steal_pointer(&info);
}

gboolean image_qemu_info(const ImageQemuFile *file, guint64 *size, char **backing, GError **error)
{
  g_autoptr(JsonNode) info = load_info(file, size, error);

  if (info)
    *backing = g_strdup(json_object_get_string_member_with_default(json_node_get_object(info),
                                                                   "backing-filename", NULL));
  return info != NULL;
}

gboolean image_qemu_look(const ImageQemuFile *file, guint64 *size, GError **error)
{
  g_autofree char *backing = NULL;

  if (!vt_image_check(file->fd, file->path, file->format, !file->follow, error) ||
      !image_qemu_info(file, size, &backing, error))
    return FALSE;
  return file->follow || !backing ||
         vt_set_error(error, EOPNOTSUPP, "%s refers to another file, an image that it is based on",
                      file->path);
}

gboolean image_qemu_new(const char *path, const char *format, const char *preallocation,
                        guint64 size, GError **error)
{
  g_autofree char *full = plain_path(path), *what = g_strdup_printf("making %s", path),
                  *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, size),
                  *option = g_strconcat("preallocation=", preallocation, NULL);
  const char *const plain[] = {"qemu-img", "create", "-q", "-f", format, full, bytes, NULL},
                    *const allocating[] = {"qemu-img", "create", "-q", "-o",  option,
                                           "-f",       format,   full, bytes, NULL};

  return run(preallocation ? allocating : plain, NULL, what, error);
}

gboolean image_qemu_check(const ImageQemuFile *file, GError **error)
{
  enum { LEAKS_ALONE = 3, NOT_SUPPORTED = 63 }; /* qemu-img(1) */
  g_autofree char *name = image_qemu_name(file), *what = g_strdup_printf("checking %s", file->path);
  const char *const argv[] = {"qemu-img", "check", "-q", "-f", file->format, name, NULL};
  int code;

  /* It has a line for every cluster that is not there. */
  if (!run_to_end(argv, G_SPAWN_STDERR_TO_DEV_NULL, file, what, &code, error))
    return FALSE;
  return code == 0 || code == LEAKS_ALONE || code == NOT_SUPPORTED ||
         vt_set_error(error, EBADMSG, "%s is damaged, or a part of it is missing", file->path);
}

/* --- an export --- */

/* Arguments that are there only on a terminal come first. @file: NULL, or what is converted. */
static gboolean convert(const char *const *arguments, const ImageQemuFile *file, const char *what,
                        GError **error)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new();

  g_ptr_array_add(argv, (gpointer) "qemu-img");
  g_ptr_array_add(argv, (gpointer) "convert");
  if (isatty(STDERR_FILENO))
    g_ptr_array_add(argv, (gpointer) "-p");
  for (; *arguments; arguments++)
    g_ptr_array_add(argv, (gpointer)*arguments);
  g_ptr_array_add(argv, NULL);
  return run((const char *const *)argv->pdata, file, what, error);
}

gboolean image_qemu_import(const ImageQemuFile *file, ImageExport *export, GError **error)
{
  g_autofree char *name = image_qemu_name(file),
                  *what = g_strdup_printf("importing %s", file->path);
  const char *const arguments[] = {
      "-n", "--target-is-zero",          "-W", "-f", file->format, "-O", "raw",
      name, image_export_uri(export, 0), NULL};

  return convert(arguments, file, what, error);
}

gboolean image_qemu_create(ImageExport *export, const char *path, const char *format,
                           GError **error)
{
  g_autofree char *full = plain_path(path), *what = g_strdup_printf("exporting to %s", path);
  const char *const arguments[] = {"-f", "raw", "-O", format, image_export_uri(export, 0),
                                   full, NULL};

  return convert(arguments, NULL, what, error);
}
