/* virt-thin - what the tests of src/lvm share
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "lvm/label.h"
#include "lvm/store.h"

#define MIB (G_GUINT64_CONSTANT(1) << 20)

/* A folder of the test's own; lvm_test_clean() removes it and what is in it. */
char *lvm_test_folder(void);
void lvm_test_clean(char *folder);
/* A sparse file there; the caller frees the path. */
char *lvm_test_file(const char *folder, const char *name, guint64 size);
/* As above, beginning with the first MiB of fixture @fixture, whole with its size. */
char *lvm_test_fixture(const char *folder, const char *fixture);
/* The contents of tests/fixtures/lvm/@name. */
char *lvm_test_read(const char *name, gsize *length);
/* @text with each @old made @new; the caller frees it. */
char *lvm_test_replace(const char *text, const char *old, const char *new);
/* The VG of the text tests/fixtures/lvm/@fixture with each @from made @to. */
LvmVg *lvm_test_vg(const char *fixture, const char *from, const char *to);
/* Each text in @device's first MiB, a ring of lvm2's: as NUL-terminated strings. */
GPtrArray *lvm_test_ring_texts(const char *path);
/* Change byte @offset of @path. */
void lvm_test_flip(const char *path, guint64 offset);
/* Write @length bytes there. */
void lvm_test_put(const char *path, guint64 offset, const void *data, gsize length);
/* Make the checksum of the label in @sector right. */
void lvm_test_seal_label(guint8 *sector);
/* Let PV @path have the metadata areas @ranges, each with @text; NULL: empty ones. */
void lvm_test_set_areas(const char *path, const LvmRange *ranges, guint n, const char *text);

/* A VG "tvg" on @n new files of @size bytes, whose paths the caller frees, open read-write. */
LvmStore *lvm_test_create(const char *folder, guint n, guint64 size, guint64 extent_size,
                          char **paths);
void lvm_test_commit(LvmStore *store, LvmVg *vg);

/* Fail the test with @error's message unless @ok. */
#define assert_ok(ok, error)                                                                       \
  do {                                                                                             \
    gboolean assert_ok_ = (ok) != 0; /* before the error is looked at */                           \
    lvm_test_assert_ok(assert_ok_, error, #ok, __FILE__, __LINE__);                                \
  } while (0)
void lvm_test_assert_ok(gboolean ok, GError *error, const char *what, const char *file, int line);
/* The error is there, with @code, and says @text; it is cleared. */
#define assert_error(error, code, text)                                                            \
  lvm_test_assert_error(&error, code, text, __FILE__, __LINE__)
void lvm_test_assert_error(GError **error, int code, const char *text, const char *file, int line);

/* Whether @call, which takes &error last, succeeds or not: what fails has a reason. */
#define TRY(call)                                                                                  \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    gboolean ok_ = (call) != 0;                                                                    \
    lvm_test_discard(&error, ok_);                                                                 \
  } while (0)
void lvm_test_discard(GError **error, gboolean ok);

/* @call, which takes &error last, fails with @code and says @text; or it succeeds. */
#define LVM_REFUSED(call, code, text)                                                              \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    assert_true((call) == 0);                                                                      \
    assert_error(error, code, text);                                                               \
  } while (0)
#define LVM_DONE(call)                                                                             \
  do {                                                                                             \
    GError *error = NULL;                                                                          \
    assert_ok(call, error);                                                                        \
  } while (0)
