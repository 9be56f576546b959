/* virt-thin - is a backup what its manifest says?
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/verify.h"

#include <string.h>
#include <unistd.h>

#include "backup/image.h"
#include "cli/progress.h"
#include "image/interrupt.h"
#include "image/qemu.h"

typedef struct {
  CliProgress *progress;
  guint64 done;
} Verifying;

static gboolean pass_over(guint64 offset, const char *data, guint64 length, gpointer user_data,
                          GError **error)
{
  Verifying *verifying = user_data;

  verifying->done += data ? length : 0;
  cli_progress_update(verifying->progress, verifying->done);
  return image_check_interrupt(error);
}

/* The image's own word of what it is based on. */
static gboolean check_base(const BackupImageHead *head, const BackupLink *parent, const char *path,
                           GError **error)
{
  g_autofree char *backing =
      parent ? g_strdup_printf("../%s/%s", parent->manifest->id, parent->volume->file) : NULL;

  return (g_strcmp0(head->backing, backing) == 0 &&
          g_strcmp0(head->backing_format, parent ? parent->volume->format : NULL) == 0) ||
         vt_set_error(error, EBADMSG, "%s is damaged: it is based on %s, and not on %s", path,
                      head->backing ? head->backing : "nothing", backing ? backing : "nothing");
}

static gboolean read_image(Verifying *verifying, int fd, const char *path,
                           const BackupVolume *volume, const BackupLink *parent, GError **error)
{
  gboolean raw = strcmp(volume->format, "raw") == 0, ok;
  g_autofree char *checksum = NULL;
  BackupImageHead head = {0};
  BackupIn in;

  backup_in_begin(&in, fd, path, volume->file_size, TRUE, raw);
  ok = backup_image_read_head(&in, raw, &head, error) && check_base(&head, parent, path, error) &&
       backup_image_read(&in, raw, &head, pass_over, verifying, error) &&
       ((head.size == volume->size &&
         strcmp(checksum = backup_in_end(&in), volume->checksum) == 0) ||
        vt_set_error(error, EBADMSG, "%s is damaged: its checksum, or size, is not the manifest's",
                     path));
  backup_image_head_clear(&head);
  backup_in_clear(&in);
  return ok;
}

gboolean backup_verify_volume(BackupFolder *folder, BackupManifest *manifest, BackupVolume *volume,
                              GError **error)
{
  g_autofree char *path = backup_folder_file(folder, manifest->id, volume->file);
  g_autoptr(GArray) chain = backup_folder_chain(folder, manifest, volume, error);
  g_autofree char *qemu_img = g_find_program_in_path("qemu-img");
  Verifying verifying = {0};
  gboolean ok;
  int fd;

  if (!chain || !backup_folder_open_image(folder, manifest->id, volume, &fd, error))
    return FALSE;
  verifying.progress = cli_progress_new(volume->file_size, "verifying %s", volume->file);
  ok = read_image(&verifying, fd, path, volume,
                  chain->len > 1 ? &g_array_index(chain, BackupLink, chain->len - 2) : NULL, error);
  cli_progress_free(verifying.progress);
  if (ok && qemu_img && strcmp(volume->format, "qcow2") == 0) {
    /* By its name: it opens what it is based on, too, which has just been checked. */
    const ImageQemuFile file = {path, "qcow2", fd, TRUE};

    ok = image_qemu_check(&file, error);
  }
  close(fd);
  return ok;
}

gboolean backup_verify(BackupFolder *folder, BackupManifest *manifest, GPtrArray *problems,
                       GError **error)
{
  image_catch_interrupts();
  for (guint i = 0; i < manifest->volumes->len; i++) {
    g_autoptr(GError) local = NULL;

    if (backup_verify_volume(folder, manifest, manifest->volumes->pdata[i], &local))
      continue;
    if (g_error_matches(local, VT_ERROR, ECANCELED)) {
      g_propagate_error(error, g_steal_pointer(&local));
      return FALSE;
    }
    g_ptr_array_add(problems, g_strdup(local->message));
  }
  return TRUE;
}
