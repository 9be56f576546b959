#!/bin/bash
# virt-thin - the source is laid out as scripts/format does it
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
git -C "$top_srcdir" rev-parse 2>/dev/null && [ -e "$top_srcdir/.clang-format" ] ||
  skip_all "this is no checkout"
command -v clang-format >/dev/null || skip_all "clang-format is not installed"
plan 1
ok "layout, licence lines, columns" "$top_srcdir/scripts/format" --check
