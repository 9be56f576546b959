/* virt-thin - lists of words in LVM2 text: tags, status, flags
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <string.h>

#include "lvm/model/vg-private.h"

gboolean lvm_section_has_word(LvmNode *section, const char *key, const char *word)
{
  LvmValue it;

  lvm_value_init(&it, lvm_section_find(section, key));
  while (lvm_value_next(&it))
    if (it.type >= LVM_VALUE_STRING && strcmp(it.text, word) == 0)
      return TRUE;
  return FALSE;
}

/* Behind the others, but for lvm2's order (lib/format_text/flags.c): WRITE follows READ,
 * WRITE_LOCKED is the first. */
static guint place_of(GPtrArray *words, const char *word)
{
  guint read;

  if (strcmp(word, LVM_WRITE_LOCKED) == 0)
    return 0;
  if (strcmp(word, "WRITE") == 0)
    return g_ptr_array_find_with_equal_func(words, "READ", g_str_equal, &read) ? read + 1 : 0;
  return words->len;
}

void lvm_section_change_word(LvmNode *section, const char *key, const char *word, gboolean in,
                             const char *after)
{
  g_autoptr(GPtrArray) words = lvm_node_strings(lvm_section_find(section, key));

  if (lvm_section_has_word(section, key, word) == in)
    return;
  for (guint i = words->len; i-- > 0;)
    if (strcmp(words->pdata[i], word) == 0)
      g_ptr_array_remove_index(words, i);
  if (in)
    g_ptr_array_insert(words, place_of(words, word), (gpointer)word);
  if (words->len == 0 && strcmp(key, "flags") != 0 && strcmp(key, "status") != 0) {
    lvm_section_remove(section, key);
    return;
  }
  g_ptr_array_add(words, NULL);
  lvm_section_set_strings(section, key, (const char *const *)words->pdata, after);
}
