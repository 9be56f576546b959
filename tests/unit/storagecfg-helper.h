/* virt-thin - tests: what comes of a storage.cfg, beside what should
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * What comes of a text is shown as
 *
 *     t1:lvmthin{content=images,rootdir thinpool=data vgname=pve}
 *
 * in the order of the storages (broken ones as t1:lvmthin!), and each warning as "<line> <section>
 * <verdict> <message>".
 */
#pragma once

#include "storagecfg/storagecfg.h"

#define T "\tthinpool data\n\tvgname pve\n"
#define WELL "content=images,rootdir thinpool=data vgname=pve"
#define T1 "t1:lvmthin{" WELL "}"
#define T2 "t2:lvmthin{" WELL "}"
#define NO_VG "fatal missing value for required option 'vgname'"
#define NO_POOL "fatal missing value for required option 'thinpool'"
#define DUPLICATE(key) "dropped unable to parse value of '" key "': duplicate attribute"
#define DROPPED(key, why) "dropped unable to parse value of '" key "': " why
#define NAME(name) "invalid format - lvm name '" name "' contains illegal characters"
#define NO_BOOLEAN(value) "type check ('boolean') failed - got '" value "'"
#define UNSUPPORTED(word) "dropped storage does not support content type '" word "'"
#define NO_PATH "invalid format - value does not look like a valid absolute path"
#define NO_VALUE "got undefined value"

typedef struct {
  const char *name, *text;
  const char *storages, *warnings;
  gsize length; /* of a text with NUL bytes */
} StorageCfgCase;

/* The caller's. */
char *storagecfg_show_warnings(const StorageCfg *cfg);
/* Failures so far of the test that runs: it ends by asserting that there are none. */
extern guint storagecfg_failures;
/* Of case @name, @what. */
void storagecfg_expect(const char *name, const char *what, const char *got, const char *want);
void storagecfg_check_cases(const StorageCfgCase *cases, gsize n);
