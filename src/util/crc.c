/* virt-thin - the two checksums of the formats
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "util/crc.h"

#include <string.h>
#include <zlib.h>

#define CRC32C_POLY 0x82f63b78u /* Castagnoli, reflected */

static guint32 crc32c_table[8][256];

static void crc32c_make_table(void)
{
  for (guint i = 0; i < 256; i++) {
    guint32 crc = i;
    for (int bit = 0; bit < 8; bit++)
      crc = (crc >> 1) ^ (crc & 1 ? CRC32C_POLY : 0);
    crc32c_table[0][i] = crc;
  }
  for (guint i = 0; i < 256; i++)
    for (int t = 1; t < 8; t++)
      crc32c_table[t][i] =
          (crc32c_table[t - 1][i] >> 8) ^ crc32c_table[0][crc32c_table[t - 1][i] & 0xff];
}

/* Eight bytes at a time, one table for each (Kounavis and Berry's slicing). */
static guint32 crc32c_software(guint32 crc, const guint8 *p, gsize length)
{
  for (; length >= 8; p += 8, length -= 8) {
    guint64 word;
    memcpy(&word, p, 8);
    word = GUINT64_FROM_LE(word) ^ crc;
    crc = 0;
    for (int t = 0; t < 8; t++)
      crc ^= crc32c_table[7 - t][(word >> (8 * t)) & 0xff];
  }
  while (length--)
    crc = (crc >> 8) ^ crc32c_table[0][(crc ^ *p++) & 0xff];
  return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static guint32 crc32c_sse42(guint32 crc, const guint8 *p,
                                                              gsize length)
{
  guint64 crc64 = crc;
  for (; length >= 8; p += 8, length -= 8) {
    guint64 word;
    memcpy(&word, p, 8);
    crc64 = __builtin_ia32_crc32di(crc64, word);
  }
  crc = (guint32)crc64;
  while (length--)
    crc = __builtin_ia32_crc32qi(crc, *p++);
  return crc;
}
#endif

guint32 vt_crc32c(const void *data, gsize length)
{
#ifdef __x86_64__
  if (__builtin_cpu_supports("sse4.2"))
    return crc32c_sse42(0xffffffffu, data, length);
#endif
  static gsize ready;
  if (g_once_init_enter(&ready)) {
    crc32c_make_table();
    g_once_init_leave(&ready, 1);
  }
  return crc32c_software(0xffffffffu, data, length);
}

/* zlib inverts the register before and after; LVM2 does neither. */
guint32 vt_lvm_crc(guint32 initial, const void *data, gsize length)
{
  return (guint32)crc32_z(initial ^ 0xffffffffu, data, length) ^ 0xffffffffu;
}
