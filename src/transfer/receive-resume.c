/* virt-thin - volumes from a stream into a thin pool: how far it has come, to go on with it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include <string.h>

#include "transfer/receive-private.h"

#define CHECKPOINT_BYTES (G_GUINT64_CONSTANT(256) << 20)

gboolean receive_check_resumption(Receive *r, GVariant *dict, GError **error)
{
  guint64 volumes = G_MAXUINT64, offset = 0;
  const char *digest = "";

  if (!r->there)
    return TRUE;
  r->there_told = TRUE;
  g_variant_lookup(dict, "there-volumes", "t", &volumes);
  g_variant_lookup(dict, "there-offset", "t", &offset);
  g_variant_lookup(dict, "there-digest", "&s", &digest);
  return (volumes == r->there->volumes && offset == r->there->offset &&
          strcmp(digest, r->there->digest) == 0) ||
         vt_set_error(error, ESTALE,
                      "%s goes on at another place than thin pool %s/%s has come to: virt-thin "
                      "receive --resume-token %s/%s tells",
                      r->where->name, r->vg, r->where->pool, r->vg, r->where->pool);
}

gboolean receive_is_there(const Receive *r, guint index, guint64 *from)
{
  *from = 0;
  if (!r->there || index > r->there->volumes)
    return FALSE;
  if (index == r->there->volumes)
    *from = r->there->offset;
  return index < r->there->volumes || *from > 0;
}

/* While the stream only names what is there, nothing is new. */
static gboolean is_behind(const Receive *r, guint volumes, guint64 offset)
{
  return r->there && (volumes < r->there->volumes ||
                      (volumes == r->there->volumes && offset < r->there->offset));
}

gboolean receive_checkpoint(Receive *r, gboolean now, GError **error)
{
  guint volumes = r->items->len - (r->target != NULL);
  guint64 offset = r->target ? r->target_to : 0;
  TransferToken *token;

  if (!r->resumable || r->passing || is_behind(r, volumes, offset) || (r->target && offset == 0) ||
      (!now && offset - r->target_kept_to < CHECKPOINT_BYTES))
    return TRUE;
  if (r->target && !vt_io_flush(r->target, error))
    return FALSE;
  r->target_kept_to = offset;
  token = g_new0(TransferToken, 1);
  token->id = g_strdup(r->id);
  token->volumes = volumes;
  token->offset = offset;
  token->digest = transfer_digest(r->described);
  transfer_token_free(r->kept);
  r->kept = token;
  return transfer_keep(r->vg, r->where->pool, token, error);
}
