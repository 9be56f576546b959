/* virt-thin - tests: two volume groups, and streams between them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer-helper.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transfer/identity.h"

VolumeGroup *transfer_test_make(const char *name, guint64 size, guint64 chunk_size)
{
  const char *path = helper_path(name), *const devices[] = {path, NULL};
  const PoolNew new = {.chunk_size = chunk_size ? chunk_size : 64 * KIB};
  VolumeGroup *group;

  g_setenv("VIRT_THIN_RUNTIME_DIR", helper_folder(), FALSE);
  assert_done(pool_init(name, "data", path, size, 0, &new, &error));
  assert_done((group = pool_open_bundled(name, &(PoolWhere){.devices = devices}, &error)) != NULL);
  return group;
}

static gboolean try_send(VolumeGroup *group, const char *volumes, gboolean recursive,
                         const char *since, const TransferToken *token, int fd, GError **error)
{
  g_auto(GStrv) names = volumes ? g_strsplit(volumes, " ", -1) : NULL,
                sinces = since ? g_strsplit(since, " ", -1) : NULL;
  const SendWhat what = {.group = group,
                         .pool = "data",
                         .volumes = (const char *const *)names,
                         .recursive = recursive,
                         .since = (const char *const *)sinces};
  static gboolean zstd; /* every second time */
  StreamHeader header = {.flags = 0};
  g_autofree char *id = transfer_new_id();
  g_autoptr(SendPlan) plan = send_plan_new(&what, error);
  g_autoptr(StreamWriter) writer = NULL;
  guint64 data;

  if (!plan || (token && !send_plan_resume(plan, token, error)))
    return FALSE;
  header.flags = token ? STREAM_RESUMED : 0;
  transfer_parse_id(token ? token->id : id, header.id);
  header.estimate = send_plan_estimate(plan);
  writer = stream_writer_new(fd, "the stream", &header, zstd = !zstd, error);
  return writer && send_plan_write(plan, writer, NULL, &data, error) &&
         stream_write_end(writer, error);
}

gboolean transfer_test_try_send(VolumeGroup *group, const char *volumes, gboolean recursive,
                                const char *since, int fd, GError **error)
{
  return try_send(group, volumes, recursive, since, NULL, fd, error);
}

int transfer_test_resume(VolumeGroup *group, const char *volumes, const char *token)
{
  g_autoptr(TransferToken) parsed = NULL;
  int fd = memfd_create("stream", MFD_CLOEXEC);

  assert_done((parsed = transfer_token_parse(token, &error)) != NULL);
  assert_done(try_send(group, volumes, FALSE, NULL, parsed, fd, &error));
  return fd;
}

char *transfer_test_receive_part(VolumeGroup *group, int fd)
{
  const ReceiveWhere where = {
      .group = group, .pool = "data", .fd = fd, .name = "the stream", .resumable = TRUE};
  ReceiveResult result;

  lseek(fd, 0, SEEK_SET);
  assert_fails(transfer_receive(&where, &result, &error), EBADMSG, "cut");
  return result.token;
}

int transfer_test_send(VolumeGroup *group, const char *volumes, gboolean recursive,
                       const char *since)
{
  int fd = memfd_create("stream", MFD_CLOEXEC);

  assert_done(transfer_test_try_send(group, volumes, recursive, since, fd, &error));
  return fd;
}

gboolean transfer_test_try_receive(VolumeGroup *group, int fd, gboolean force, GError **error)
{
  const ReceiveWhere where = {
      .group = group, .pool = "data", .fd = fd, .name = "the stream", .force = force};
  ReceiveResult result;

  lseek(fd, 0, SEEK_SET);
  return transfer_receive(&where, &result, error);
}

void transfer_test_receive(VolumeGroup *group, int fd)
{
  assert_done(transfer_test_try_receive(group, fd, FALSE, &error));
  close(fd);
}

/* Of virt-thin's own tags the one that binds a snapshot. */
static char *tell(VolumeGroup *group, const char *name)
{
  g_autoptr(PoolVolumeInfo) info = helper_info(group, name);
  g_autofree char *md5 = helper_md5(group, name, 0);
  GString *text = g_string_new(NULL);

  g_string_printf(text, "%s %" G_GUINT64_FORMAT " %s of %s (%s)", name, info->size,
                  info->read_only ? "ro" : "rw", info->snapshot_of ? info->snapshot_of : "-",
                  info->snapshot_name ? info->snapshot_name : "-");
  for (char **tag = info->tags; *tag; tag++)
    if (!g_str_has_prefix(*tag, POOL_SOURCE_TAG))
      g_string_append_printf(text, " %s", *tag);
  g_string_append_printf(text, " %s", md5);
  return g_string_free(text, FALSE);
}

void transfer_test_compare(VolumeGroup *a, VolumeGroup *b)
{
  transfer_test_compare_some(a, b, "");
}

void transfer_test_compare_some(VolumeGroup *a, VolumeGroup *b, const char *part)
{
  g_autofree char *names = helper_names(a), *others = helper_names(b);
  g_auto(GStrv) all = g_strsplit(names, " ", -1);

  assert_string_equal(others, names);
  for (char **name = all; *name; name++) {
    g_autofree char *want = NULL, *got = NULL;

    if (!strstr(*name, part))
      continue;
    want = tell(a, *name);
    got = tell(b, *name);
    assert_string_equal(got, want);
  }
}

guint64 transfer_test_used(VolumeGroup *group)
{
  g_autoptr(PoolInfo) info = NULL;

  assert_done((info = pool_get_info(group, "data", &error)) != NULL);
  return info->used;
}
