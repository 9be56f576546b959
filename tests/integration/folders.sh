#!/bin/bash
# virt-thin - each folder of the source includes only what docs/architecture.md says it may
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
cd "$top_srcdir" || exit 1

# "FOLDER FOLDER-IT-MAY-INCLUDE..." of each row of the table.
table=$(sed -n 's/^| `src\/\([a-z/]*\)` |.*| *\([a-z, /]*\) *|$/\1 \2/p' docs/architecture.md |
  tr -d ,)
folders() { find src -name '*.[ch]' -printf '%h\n' | sed 's|^src/||' | sort -u; }
includes() { sed -n 's|^#include "\(.*\)/[^/]*"$|\1|p' "src/$1"/*.[ch] | sort -u; }

plan $(($(folders | wc -l) + 1))
is "the table has every folder" "$(cut -d' ' -f1 <<<"$table" | sort)" "$(folders)"
for folder in $(folders); do
  may=$(sed -n "s|^$folder ||p" <<<"$table")
  is "src/$folder includes what it may" \
    "$(comm -23 <(includes "$folder") <(tr ' ' '\n' <<<"$folder $may" | sort -u))" ""
done
