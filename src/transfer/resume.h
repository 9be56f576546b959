/* virt-thin - a transfer that was interrupted, and goes on later
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A token says how far a receiver has come: the stream's id, how many volumes are whole, up to
 * which offset the next one is there, and a digest over what the stream said of these volumes. By
 * that the sender knows whether it would send the same again. The receiver keeps it in a file,
 * <state>/transfers/<vg>.<id>, which is never ahead of what is durable; volumes with a temporary
 * name of that id stay as long as it is there, a week at most.
 *
 * Errors: VT_ERROR. Thread-safety: any thread.
 */
#pragma once

#include "pool/pool.h"

#define TRANSFER_DIGEST_LENGTH 16

typedef struct {
  char *id;
  guint volumes;
  guint64 offset;
  char *digest; /* of the descriptions of @volumes, and one more if @offset is not 0 */
} TransferToken;

void transfer_token_free(TransferToken *token);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TransferToken, transfer_token_free)

/* The caller's. */
char *transfer_token_format(const TransferToken *token);
TransferToken *transfer_token_parse(const char *text, GError **error); /* EINVAL */
/* What a digest is of: @sum, of the descriptions. The caller's. */
char *transfer_digest(const GChecksum *sum);

gboolean transfer_keep(const char *vg, const char *pool, const TransferToken *token,
                       GError **error);
/* NULL: nothing is kept of @id in @pool (NULL: in any). */
TransferToken *transfer_kept(const char *vg, const char *pool, const char *id);
/* Of all in @pool: GPtrArray of TransferToken. */
GPtrArray *transfer_list_kept(const char *vg, const char *pool);
void transfer_forget(const char *vg, const char *id);
