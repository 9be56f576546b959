/* virt-thin - libdevmapper, which is one thread's at a time
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include <glib.h>
#include <libdevmapper.h>
#include <stdarg.h>

#include "lvm/devmapper.h"

#define LOG_LEVEL(level) ((level)&7) /* lvm2 lib/log/log.h; above are flags */
#define LOG_ERR 3

static GMutex lock; /* of the library, and last_words */
static char *last_words;

static void collect(int level, const char *file, int line, int dm_errno_or_class,
                    const char *format, ...)
{
  va_list args;

  if (LOG_LEVEL(level) > LOG_ERR || last_words)
    return;
  va_start(args, format);
  last_words = g_strdup_vprintf(format, args);
  va_end(args);
}

/* Somebody else in this process may use the library, too: its messages are ours only meanwhile. */
void dmk_begin(void)
{
  g_mutex_lock(&lock);
  dm_log_with_errno_init(collect);
  dm_hold_control_dev(0);
}

void dmk_end(void)
{
  dm_log_with_errno_init(NULL);
  dm_lib_release();
  g_clear_pointer(&last_words, g_free);
  g_mutex_unlock(&lock);
}

const char *dmk_last_words(void)
{
  return last_words;
}
