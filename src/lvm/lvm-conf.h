/* virt-thin - what lvm.conf(5) says, as lvm2 reads it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * lvmlocal.conf goes before lvm.conf, and a metadata profile before both. All are in
 * $LVM_SYSTEM_DIR, else /etc/lvm; files of host tags (lvm_TAG.conf) are not looked at. A file that
 * cannot be read counts as empty, and what none says is lvm2's default, which the caller knows.
 *
 * Thread-safety: every function may be called from any thread; a LvmConf is one thread's at a time.
 */
#pragma once

#include <glib.h>

typedef struct LvmConf LvmConf;

/* @profile NULL: the one that lvm.conf names, if any. */
LvmConf *lvm_conf_read(const char *profile);
void lvm_conf_free(LvmConf *conf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LvmConf, lvm_conf_free)

/* @key: "activation/monitoring". @otherwise: it is not there, or no number. */
guint lvm_conf_number(LvmConf *conf, const char *key, guint otherwise);
/* NULL: it is not there, or no single string. */
const char *lvm_conf_string(LvmConf *conf, const char *key);
/* A list of strings, or one string; NULL: it is not there. The caller's. */
GStrv lvm_conf_strings(LvmConf *conf, const char *key);

/* Where lvm2 has file @name. The caller's. */
char *lvm_conf_path(const char *name);
