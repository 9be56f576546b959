/* virt-thin - the one case of a program: its seed and folder, and how it fails
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "case.h"

#include <errno.h>
#include <stdio.h>

char *case_folder;
guint32 case_seed;

void case_begin(guint32 default_seed)
{
  const char *seed = g_getenv("VIRT_THIN_TEST_SEED");
  g_autofree char *name =
      g_build_filename(g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "/dev/shm" : g_get_tmp_dir(),
                       "virt-thin-XXXXXX", NULL);

  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("1..1\n");
  case_seed = seed ? (guint32)g_ascii_strtoull(seed, NULL, 10) : default_seed;
  if (!g_mkdtemp(name))
    g_error("%s: %s", name, g_strerror(errno));
  case_folder = g_steal_pointer(&name);
  g_setenv("VIRT_THIN_STATE_DIR", case_folder, TRUE);
  g_setenv("VIRT_THIN_CONFIG", "/dev/null", TRUE);
}

static void remove_folder(void)
{
  const char *argv[] = {"rm", "-rf", case_folder, NULL};

  g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
  g_clear_pointer(&case_folder, g_free);
}

void case_end(const char *title, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, title);
  text = g_strdup_vprintf(title, args);
  va_end(args);
  printf("ok 1 - %s\n", text);
  remove_folder();
}

void case_fail(const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start(args, format);
  text = g_strdup_vprintf(format, args);
  va_end(args);
  printf("not ok 1 - seed %u: %s\n", case_seed, text);
  if (!g_getenv("VIRT_THIN_TEST_KEEP"))
    remove_folder();
  exit(1);
}

void case_run(const char *const *argv)
{
  int status;

  must(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status,
                    &error) &&
       g_spawn_check_wait_status(status, &error));
}
