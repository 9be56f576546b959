/* virt-thin - SHA-256 as fast as the processor has it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "backup/sha256.h"

#include "util/library.h"

#define LENGTH 32

/* Of gnutls/crypto.h, of all that is wanted of it: GNUTLS_DIG_SHA256 is 6. */
enum { SHA256 = 6 };
int gnutls_hash_init(void **hash, int algorithm);
int gnutls_hash(void *hash, const void *data, size_t length);
void gnutls_hash_deinit(void *hash, void *digest);

#define GNUTLS_FUNCTIONS(F) F(gnutls_hash_init) F(gnutls_hash) F(gnutls_hash_deinit)

typedef struct {
  GNUTLS_FUNCTIONS(VT_LIBRARY_POINTER)
} Gnutls;

struct BackupSha256 {
  const Gnutls *gnutls;
  void *hash;
  GChecksum *checksum; /* without GnuTLS */
};

static const Gnutls *load(void)
{
  static const char *const functions[] = {GNUTLS_FUNCTIONS(VT_LIBRARY_NAME) NULL};
  static VtLibrary library = {"libgnutls.so.30", "GnuTLS",  "libgnutls30",
                              "GnuTLS 3.4",      functions, FALSE};
  static Gnutls gnutls;

  return vt_library_load(&library, &gnutls, NULL) ? &gnutls : NULL;
}

BackupSha256 *backup_sha256_new(void)
{
  BackupSha256 *sum = g_new0(BackupSha256, 1);

  sum->gnutls = load();
  if (!sum->gnutls || sum->gnutls->gnutls_hash_init(&sum->hash, SHA256) != 0) {
    sum->gnutls = NULL;
    sum->checksum = g_checksum_new(G_CHECKSUM_SHA256);
  }
  return sum;
}

void backup_sha256_update(BackupSha256 *sum, const void *data, gsize length)
{
  if (!sum->gnutls)
    g_checksum_update(sum->checksum, data, (gssize)length);
  else if (sum->gnutls->gnutls_hash(sum->hash, data, length) != 0)
    g_error("GnuTLS cannot go on with a checksum");
}

char *backup_sha256_end(BackupSha256 *sum)
{
  guint8 digest[LENGTH];
  gsize length = LENGTH;
  GString *text = g_string_sized_new(2 * LENGTH);

  if (sum->gnutls) {
    sum->gnutls->gnutls_hash_deinit(sum->hash, digest);
    sum->hash = NULL;
  } else
    g_checksum_get_digest(sum->checksum, digest, &length);
  for (gsize i = 0; i < LENGTH; i++)
    g_string_append_printf(text, "%02x", digest[i]);
  backup_sha256_free(sum);
  return g_string_free(text, FALSE);
}

void backup_sha256_free(BackupSha256 *sum)
{
  if (!sum)
    return;
  if (sum->hash)
    sum->gnutls->gnutls_hash_deinit(sum->hash, NULL);
  g_clear_pointer(&sum->checksum, g_checksum_free);
  g_free(sum);
}
