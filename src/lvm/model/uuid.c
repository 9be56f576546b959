/* virt-thin - UUIDs as LVM2 writes them
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Its form: lvm2 lib/uuid/uuid.c.
 */
#include "config.h"

#include <string.h>
#include <sys/random.h>

#include "lvm/model/vg.h"

/* 32 random characters, in groups of 6-4-4-4-4-4-6. */
char *lvm_uuid_new(void)
{
  static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  GString *uuid = g_string_sized_new(40);
  guint8 random[64];
  guint n = 0;

  while (n < 32) {
    if (getrandom(random, sizeof random, 0) != sizeof random)
      g_error("getrandom() does not work: %s", g_strerror(errno));
    for (guint i = 0; i < sizeof random && n < 32; i++) {
      if (random[i] >= 4 * 62)
        continue; /* so that each letter is equally likely */
      if (n >= 6 && n < 30 && (n - 6) % 4 == 0)
        g_string_append_c(uuid, '-');
      g_string_append_c(uuid, letters[random[i] % 62]);
      n++;
    }
  }
  return g_string_free(uuid, FALSE);
}

gboolean lvm_uuid_is_valid(const char *uuid)
{
  static const guint8 dash[] = {6, 11, 16, 21, 26, 31};

  if (!uuid || strlen(uuid) != 38)
    return FALSE;
  for (guint i = 0, d = 0; i < 38; i++) {
    if (d < G_N_ELEMENTS(dash) && i == dash[d]) {
      if (uuid[i] != '-')
        return FALSE;
      d++;
    } else if (!g_ascii_isalnum(uuid[i]) && uuid[i] != '!' && uuid[i] != '#') {
      return FALSE;
    }
  }
  return TRUE;
}
