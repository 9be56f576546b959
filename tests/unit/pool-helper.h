/* virt-thin - tests: volume groups in a temporary folder
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lvm/store.h"
#include "pool/open.h"

#define KIB G_GUINT64_CONSTANT(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* Each test has a folder of its own. virt-thin.conf and the state folder of the machine are left
 * alone. */
int helper_setup(void **state);
int helper_teardown(void **state);
const char *helper_folder(void);
char *helper_path(const char *name); /* in the folder; freed with it */

/* @call uses &error. */
#define assert_done(call)                                                                          \
  do {                                                                                             \
    g_autoptr(GError) error = NULL;                                                                \
    if (!(call))                                                                                   \
      fail_msg("%s: %s", #call, error ? error->message : "no error is set");                       \
  } while (0)
/* It fails with @errnum, saying @text (NULL: whatever). */
#define assert_fails(call, errnum, text)                                                           \
  do {                                                                                             \
    g_autoptr(GError) error = NULL;                                                                \
    if (call)                                                                                      \
      fail_msg("%s: worked", #call);                                                               \
    helper_check_error(#call, error, errnum, text);                                                \
  } while (0)
void helper_check_error(const char *call, const GError *error, int errnum, const char *text);

/* A VG pve with thin pool data on a new file pv.img of @size bytes; @extent_size 0: 4 MiB. Returns
 * its path. */
char *helper_make(guint64 size, guint64 extent_size);
VolumeGroup *helper_open(const char *path);      /* read-write; the test fails if it cannot be */
VolumeGroup *helper_open_read(const char *path); /* read-only */
void helper_close(VolumeGroup *group);

/* Unpack fixture image @name ("01-clean"); returns its path. */
char *helper_fixture(const char *name);

/* A checksum of a file's bytes; holes cost nothing. The caller's. */
char *helper_digest(const char *path);
/* MD5 of the first @length bytes of a volume (0: of all). The caller's. */
char *helper_md5(VolumeGroup *group, const char *volume, guint64 length);

/* Write and check bytes that @seed tells. */
void helper_write(VolumeGroup *group, const char *volume, guint64 offset, guint64 length,
                  guint seed);
void helper_check(VolumeGroup *group, const char *volume, guint64 offset, guint64 length,
                  guint seed); /* seed 0: zeros */

/* "name name ..." of all volumes, sorted. The caller's. */
char *helper_names(VolumeGroup *group);
PoolVolumeInfo *helper_info(VolumeGroup *group, const char *volume); /* the caller's */

/* virt-thin's own check finds neither errors nor leaks. */
void helper_check_pool(VolumeGroup *group, const char *thin_pool);
/* lvm2 and thin-provisioning-tools find nothing to complain of (on a VG that is closed). Without
 * root: nothing is asked. */
void helper_judge(const char *path, const char *second_path);

/* Change the text of the VG on @path, and leave its pools as they are. */
void edit_text(const char *path, void (*change)(LvmVg *vg));
