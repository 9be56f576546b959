#!/bin/bash
# virt-thin - each folder of the source includes only what docs/architecture.md says it may, and
# where many commands and operations meet no files call each other in a ring
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
cd "$top_srcdir" || exit 1

# "FOLDER FOLDER-IT-MAY-INCLUDE..." of each row of the table.
table=$(sed -n 's/^| `src\/\([a-z/]*\)` |.*| *\([a-z, /]*\) *|$/\1 \2/p' docs/architecture.md |
  tr -d ,)
folders() { find src -name '*.[ch]' -printf '%h\n' | sed 's|^src/||' | sort -u; }
includes() { sed -n 's|^#include "\(.*\)/[^/]*"$|\1|p' "src/$1"/*.[ch] | sort -u; }

# "FILE FILE" for each file of a folder that uses a function or a variable of another.
uses() {
  nm -A $(find "$top_builddir/src/$1" -maxdepth 2 -name '*.o') 2>/dev/null |
    awk '{ sub(/.*\//, "", $1); sub(/:.*/, "", $1) }
      $2 == "U" { used[$1, $3] }
      $2 ~ /[TDBR]/ { where[$3] = $1 }
      END { for (use in used) { split(use, is, SUBSEP)
        if (is[2] in where && where[is[2]] != is[1]) print is[1], where[is[2]] } }'
}
no_rings="cli commands pvesm schedule image backup transfer
  apply pool pool/bundled pool/kernel pool/remote"

plan $(($(folders | wc -l) + 1 + $(wc -w <<<"$no_rings")))
is "the table has every folder" "$(cut -d' ' -f1 <<<"$table" | sort)" "$(folders)"
for folder in $(folders); do
  may=$(sed -n "s|^$folder ||p" <<<"$table")
  is "src/$folder includes what it may" \
    "$(comm -23 <(includes "$folder") <(tr ' ' '\n' <<<"$folder $may" | sort -u))" ""
done
for folder in $no_rings; do
  is "src/$folder has no ring of files" "$(uses "$folder" | tsort 2>&1 >/dev/null)" ""
done
