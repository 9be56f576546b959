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
/* The processor takes three cycles for eight bytes, and can begin with eight others in each: three
 * lanes at once. A block of a thin pool's metadata is three such lanes, and a bit. */
#define LANE 1344

static guint32 lane_shift[4][256]; /* what a register becomes when LANE zeros follow */

__attribute__((target("sse4.2"))) static guint32 crc32c_lane(guint32 crc, const guint8 *p,
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

static void crc32c_make_shift(void)
{
  static const guint8 zeros[LANE];

  for (guint i = 0; i < 4; i++)
    for (guint j = 0; j < 256; j++)
      lane_shift[i][j] = crc32c_lane(j << (8 * i), zeros, LANE);
}

static guint32 shift(guint32 crc)
{
  return lane_shift[0][crc & 0xff] ^ lane_shift[1][crc >> 8 & 0xff] ^
         lane_shift[2][crc >> 16 & 0xff] ^ lane_shift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static guint32 crc32c_sse42(guint32 crc, const guint8 *p,
                                                              gsize length)
{
  static gsize ready;

  if (length >= 3 * LANE && g_once_init_enter(&ready)) {
    crc32c_make_shift();
    g_once_init_leave(&ready, 1);
  }
  for (; length >= 3 * LANE; p += 3 * LANE, length -= 3 * LANE) {
    guint64 a = crc, b = 0, c = 0, words[3];

    for (gsize at = 0; at < LANE; at += 8) {
      memcpy(&words[0], p + at, 8);
      memcpy(&words[1], p + LANE + at, 8);
      memcpy(&words[2], p + 2 * LANE + at, 8);
      a = __builtin_ia32_crc32di(a, words[0]);
      b = __builtin_ia32_crc32di(b, words[1]);
      c = __builtin_ia32_crc32di(c, words[2]);
    }
    crc = shift(shift((guint32)a) ^ (guint32)b) ^ (guint32)c;
  }
  return crc32c_lane(crc, p, length);
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
