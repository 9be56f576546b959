/* virt-thin - which snapshot is which, on two hosts; and what is under way
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer/identity.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "pool/temporary.h"
#include "settings/settings.h"
#include "transfer/resume.h"

#define RECEIVE_PREFIX "vt-receive-"
#define RECEIVED_PREFIX "vt-received-"
#define HEX "0123456789abcdef"

/* --- identity --- */

static char *tagged_identity(const PoolVolumeInfo *info)
{
  for (char **tag = info->tags; tag && *tag; tag++)
    if (g_str_has_prefix(*tag, POOL_SOURCE_TAG))
      return g_strdup(*tag + strlen(POOL_SOURCE_TAG));
  return NULL;
}

char *transfer_identity(const char *vg_uuid, const PoolVolumeInfo *info)
{
  g_autofree char *text = NULL, *digest = NULL;
  char *tagged;

  if (info->kind != POOL_VOLUME_THIN || !info->read_only)
    return NULL;
  tagged = tagged_identity(info);
  if (tagged)
    return tagged;
  text = g_strdup_printf("%s %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, vg_uuid, info->uuid,
                         info->size, info->creation_time);
  digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
  return g_strndup(digest, TRANSFER_ID_LENGTH);
}

/* --- names --- */

char *transfer_new_id(void)
{
  g_autofree char *uuid = g_uuid_string_random();
  g_auto(GStrv) parts = g_strsplit(uuid, "-", -1);

  return g_strjoinv("", parts);
}

char *transfer_format_id(const guint8 *bytes)
{
  char *text = g_malloc(TRANSFER_ID_LENGTH + 1);

  for (guint i = 0; i < TRANSFER_ID_LENGTH / 2; i++)
    g_snprintf(text + 2 * i, 3, "%02x", bytes[i]);
  return text;
}

gboolean transfer_parse_id(const char *text, guint8 *bytes)
{
  if (strlen(text) != TRANSFER_ID_LENGTH || strspn(text, HEX) != TRANSFER_ID_LENGTH)
    return FALSE;
  for (guint i = 0; i < TRANSFER_ID_LENGTH / 2; i++)
    bytes[i] =
        (guint8)(g_ascii_xdigit_value(text[2 * i]) << 4 | g_ascii_xdigit_value(text[2 * i + 1]));
  return TRUE;
}

char *transfer_receive_name(const char *id, guint index)
{
  return g_strdup_printf(RECEIVE_PREFIX "%s-%u", id, index);
}

char *transfer_receive_id(const char *name)
{
  const char *id = name + strlen(RECEIVE_PREFIX);

  return g_str_has_prefix(name, RECEIVE_PREFIX) && strspn(id, HEX) == TRANSFER_ID_LENGTH &&
                 id[TRANSFER_ID_LENGTH] == '-'
             ? g_strndup(id, TRANSFER_ID_LENGTH)
             : NULL;
}

char *transfer_received_name(const char *id)
{
  return g_strdup_printf(RECEIVED_PREFIX "%.8s", id);
}

gboolean transfer_is_received_name(const char *snapshot_name)
{
  return g_str_has_prefix(snapshot_name, RECEIVED_PREFIX);
}

/* --- locks --- */

struct TransferLock {
  int fd;
  char *path;
};

/* Is @fd still what @path leads to? Who had the lock before has unlinked it. */
static gboolean is_there(int fd, const char *path)
{
  struct stat mine, there;

  return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino;
}

static int open_and_lock(const char *path, GError **error)
{
  int fd;

  for (;;) {
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
      vt_set_errno(error, errno, "opening %s", path);
      return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
      if (errno == EWOULDBLOCK)
        vt_set_error(error, EBUSY, "it is under way, in another process");
      else
        vt_set_errno(error, errno, "locking %s", path);
      close(fd);
      return -1;
    }
    if (is_there(fd, path))
      return fd;
    close(fd);
  }
}

/* No VG has a name with a leading dot in that folder (settings_vg_dir()). */
TransferLock *transfer_lock(const char *vg, const char *id, GError **error)
{
  g_autofree char *folder = g_build_filename(settings_runtime_dir(), ".transfers", NULL),
                  *file = g_strconcat(vg, ".", id, NULL),
                  *path = g_build_filename(folder, file, NULL);
  TransferLock *lock;
  int fd;

  if (!settings_make_folder(settings_runtime_dir(), error))
    return NULL;
  if (g_mkdir_with_parents(folder, 0700) < 0) {
    vt_set_errno(error, errno, "making folder %s", folder);
    return NULL;
  }
  fd = open_and_lock(path, error);
  if (fd < 0)
    return NULL;
  lock = g_new0(TransferLock, 1);
  lock->fd = fd;
  lock->path = g_steal_pointer(&path);
  return lock;
}

void transfer_unlock(TransferLock *lock)
{
  if (!lock)
    return;
  unlink(lock->path);
  close(lock->fd);
  g_free(lock->path);
  g_free(lock);
}

/* --- what was left --- */

void transfer_clean_up(VolumeGroup *group)
{
  g_autoptr(GPtrArray) infos = NULL;

  pool_temporary_clean(group);
  infos = pool_list_volumes(group, NULL, NULL);
  for (guint i = 0; infos && i < infos->len; i++) {
    const PoolVolumeInfo *info = infos->pdata[i];
    const char *const names[] = {info->name, NULL};
    g_autofree char *id = transfer_receive_id(info->name);
    g_autoptr(TransferToken) kept = id ? transfer_kept(info->vg, NULL, id) : NULL;
    g_autoptr(TransferLock) lock = id && !kept ? transfer_lock(info->vg, id, NULL) : NULL;
    g_autoptr(GError) error = NULL;

    if (lock)
      transfer_forget(info->vg, id);
    if (lock && !pool_remove(group, names, FALSE, &error))
      cli_warn("%s/%s, which an interrupted transfer has left, stays for now: %s", info->vg,
               info->name, error->message);
  }
}
