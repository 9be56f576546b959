/* virt-thin - a transfer that was interrupted, and goes on later
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "transfer/resume.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "settings/settings.h"
#include "transfer/identity.h"
#include "transfer/stream.h"

#define KEPT_SECONDS (7 * 24 * 60 * 60)

void transfer_token_free(TransferToken *token)
{
  if (!token)
    return;
  g_free(token->id);
  g_free(token->digest);
  g_free(token);
}

char *transfer_token_format(const TransferToken *token)
{
  return g_strdup_printf("%s-%u-%" G_GUINT64_FORMAT "-%s", token->id, token->volumes, token->offset,
                         token->digest);
}

static gboolean is_hex(const char *text, gsize length)
{
  return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

TransferToken *transfer_token_parse(const char *text, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(text, "-", -1);
  g_autoptr(TransferToken) token = g_new0(TransferToken, 1);
  guint64 volumes;

  if (g_strv_length(parts) != 4 || !is_hex(parts[0], TRANSFER_ID_LENGTH) ||
      !g_ascii_string_to_unsigned(parts[1], 10, 0, STREAM_MAX_VOLUMES, &volumes, NULL) ||
      !g_ascii_string_to_unsigned(parts[2], 10, 0, STREAM_MAX_SIZE, &token->offset, NULL) ||
      !is_hex(parts[3], TRANSFER_DIGEST_LENGTH)) {
    g_autofree char *shown = g_strescape(text, NULL);

    vt_set_error(error, EINVAL, "\"%.100s\" is no token of virt-thin receive", shown);
    return NULL;
  }
  token->volumes = (guint)volumes;
  token->id = g_strdup(parts[0]);
  token->digest = g_strdup(parts[3]);
  return g_steal_pointer(&token);
}

char *transfer_digest(const GChecksum *sum)
{
  g_autoptr(GChecksum) copy = g_checksum_copy(sum);

  return g_strndup(g_checksum_get_string(copy), TRANSFER_DIGEST_LENGTH);
}

/* --- the receiver's file: "POOL TOKEN\n" --- */

static char *folder(void)
{
  return g_build_filename(settings_state_dir(), "transfers", NULL);
}

static char *file_of(const char *vg, const char *id)
{
  g_autofree char *in = folder(), *name = g_strconcat(vg, ".", id, NULL);

  return g_build_filename(in, name, NULL);
}

gboolean transfer_keep(const char *vg, const char *pool, const TransferToken *token, GError **error)
{
  g_autofree char *in = folder(), *path = file_of(vg, token->id),
                  *text = transfer_token_format(token),
                  *line = g_strdup_printf("%s %s\n", pool, text);
  g_autoptr(GError) local = NULL;

  if (g_mkdir_with_parents(in, 0700) < 0)
    return vt_set_errno(error, errno, "making folder %s", in);
  return g_file_set_contents(path, line, -1, &local) ||
         vt_set_error(error, EIO, "keeping how far it has come: %s", local->message);
}

static gboolean is_old(const char *path)
{
  GStatBuf st;

  return g_stat(path, &st) == 0 && st.st_mtime + KEPT_SECONDS < g_get_real_time() / G_USEC_PER_SEC;
}

TransferToken *transfer_kept(const char *vg, const char *pool, const char *id)
{
  g_autofree char *path = file_of(vg, id), *line = NULL;
  g_autoptr(TransferToken) token = NULL;
  char *space;

  if (is_old(path) || !g_file_get_contents(path, &line, NULL, NULL) ||
      !(space = strchr(g_strchomp(line), ' ')))
    return NULL;
  *space = '\0';
  token = transfer_token_parse(space + 1, NULL);
  return token && strcmp(token->id, id) == 0 && (!pool || strcmp(pool, line) == 0)
             ? g_steal_pointer(&token)
             : NULL;
}

GPtrArray *transfer_list_kept(const char *vg, const char *pool)
{
  GPtrArray *tokens = g_ptr_array_new_with_free_func((GDestroyNotify)transfer_token_free);
  g_autofree char *in = folder(), *prefix = g_strconcat(vg, ".", NULL);
  g_autoptr(GDir) dir = g_dir_open(in, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name(dir))) {
    const char *id = name + strlen(prefix);
    TransferToken *token = g_str_has_prefix(name, prefix) && is_hex(id, TRANSFER_ID_LENGTH)
                               ? transfer_kept(vg, pool, id)
                               : NULL;

    if (token)
      g_ptr_array_add(tokens, token);
  }
  return tokens;
}

void transfer_forget(const char *vg, const char *id)
{
  g_autofree char *path = file_of(vg, id);

  unlink(path);
}
