#!/bin/bash
# virt-thin - what is in git is in the tarball, and what is made in a build is not
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
[ -e "$top_srcdir/.git" ] || skip_all "needs a git checkout"
command -v git >/dev/null || skip_all "needs git"
plan 3

# Whoever the checkout is owned by.
files_in_git() { git -c safe.directory='*' -C "$top_srcdir" ls-files --cached "$@" | sort; }
# But what bootstrap makes, which somebody with the tarball need not run.
files_in_tarball() {
  (cd "$tmp/dist" && find . -type f | sed 's|^\./||' |
    grep -vE '^(build-aux|m4)/|^(Makefile\.in|aclocal\.m4|config\.h\.in|configure)$' | sort)
}
# The folder that becomes the tarball.
ok "make distdir" make -s -C "$top_builddir" distdir distdir="$tmp/dist"
files_in_tarball >"$tmp/in-tarball"
is "all that git has is in it, but what is of use there alone" \
  "$(files_in_git | grep -v '^\.' | comm -23 - "$tmp/in-tarball")" ""
is "nothing is in it that git does not have, or would take" \
  "$(files_in_git --others --exclude-standard | comm -13 - "$tmp/in-tarball")" ""
