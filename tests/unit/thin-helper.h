/* virt-thin - what the tests of the thin metadata share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "thin/metadata/metadata-private.h"

/* A folder of the test's own, removed by thin_test_teardown(). */
typedef struct {
  char *folder;
} ThinTest;
int thin_test_setup(void **state);
int thin_test_teardown(void **state);

/* The path of a file in the folder. The caller's. */
char *thin_test_path(ThinTest *test, const char *name);
/* Unpack tests/fixtures/thin-metadata/NAME.gz to @path. */
void thin_test_unpack(const char *name, const char *path);
/* A new file of @size zero bytes, opened. */
VtIo *thin_test_file(ThinTest *test, const char *name, guint64 size);
VtIo *thin_test_open(const char *path, gboolean read_only);
/* Change block @number of @path: @offset takes the @size bytes of @value, little endian; the
 * checksum is made right again. */
void thin_test_poke(const char *path, guint64 number, ThinKind kind, guint offset, guint64 value,
                    guint size);

/* Run the system's thin_check on @path; fail the test unless it is content and silent. */
void thin_test_assert_thin_check(const char *path);
/* What a command prints on its standard output. */
char *thin_test_output(const char *const *argv);

/* Fail with @error's message. */
#define assert_no_error(error)                                                                     \
  do {                                                                                             \
    if (error)                                                                                     \
      fail_msg("%s", (error)->message);                                                            \
  } while (0)

/* Run @call, which takes &error last, and fail with its message unless it is true. */
#define assert_ok(call)                                                                            \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    if (!(call))                                                                                   \
      fail_msg(#call ": %s", error ? error->message : "no error set");                             \
  } while (0)
#define assert_fails(call, errno_code)                                                             \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    assert_false(call);                                                                            \
    assert_non_null(error);                                                                        \
    if (!g_error_matches(error, VT_ERROR, errno_code))                                             \
      fail_msg(#call ": %s (code %d)", error->message, error->code);                               \
    g_clear_error(&error);                                                                         \
  } while (0)

/* Commit, and have what it freed be free. */
void thin_test_commit(ThinMetadata *md);
/* Map chunks that are free. */
gboolean thin_test_try_map(ThinMetadata *md, guint32 id, guint64 begin, guint64 n, GError **error);
void thin_test_map(ThinMetadata *md, guint32 id, guint64 begin, guint64 n);
/* Map, or unmap, up to 100 chunks somewhere in the first @n_chunks of device @id. */
void thin_test_change(ThinMetadata *md, GRand *rand, guint32 id, guint64 n_chunks);

/* All that the metadata holds, in the words of thin_dump. */
char *thin_test_dump(ThinMetadata *md);

/* Check @path, and fail the test unless there is no error, and (if @no_leaks) no leak. */
void thin_test_assert_clean(const char *path, gboolean no_leaks);
