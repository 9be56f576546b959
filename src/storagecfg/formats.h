/* virt-thin - storage.cfg: what values may look like
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Proxmox's formats (PVE::JSONSchema's, and those that PVE::Storage::Plugin registers) with
 * Proxmox's words of refusal; none of them lets a line feed through. Errors: EINVAL. Thread-safety:
 * pure functions.
 */
#pragma once

#include "util/error.h"

gboolean format_storage_id(const char *value, GError **error);
gboolean format_volume_id(const char *value, GError **error);
gboolean format_lvm_name(const char *value, GError **error);
gboolean format_node(const char *value, GError **error);
gboolean format_config_id(const char *value, GError **error);
gboolean format_content(const char *value, GError **error);
gboolean format_content_dir(const char *value, GError **error);
gboolean format_path(const char *value, GError **error);
gboolean format_options(const char *value, GError **error);
gboolean format_server(const char *value, GError **error);
gboolean format_portal(const char *value, GError **error);
gboolean format_fingerprint(const char *value, GError **error);
gboolean format_bwlimit(const char *value, GError **error);
gboolean format_prune_backups(const char *value, GError **error);

/* PVE::JSONSchema's is_integer and is_number. */
gboolean format_is_integer(const char *value);
gboolean format_is_number(const char *value);
