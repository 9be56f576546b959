# virt-thin - runs the commands of a page of docs/, as they stand there
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it after lib.sh (or libvirt-lib.sh), then:
#   page_read FILE      takes its blocks of commands apart: what is indented by four spaces, until
#                       something else is there. Sets page_count
#   page_run [WHERE]    one test for each block, in the order of the page, in folder $page_work.
#                       Functions of the test's own are called where there are any:
#                       before_SECTION, after_SECTION, and before_SECTION_N for its Nth block, in
#                       the order of the page; they are no tests. here is a filter that each block
#                       goes through (sed for paths). A SECTION is the heading in small letters,
#                       each run of what are no letters a _
#   page_block SECTION N   runs the Nth block of a section (the heading as it stands)
#   page_text SECTION N    prints it
# A block is run by page_exec FILE, which a test may define anew.
#
# What a block is, a comment on the line before it says, which no reader sees:
#   <!-- test: not run, REASON -->   it cannot be run here; the test is skipped with the reason
#   <!-- test: by NAME.sh -->        that test runs it, by page_block or page_text, and asks at its
#                                    end page_left NAME.sh for those that it has not: there are none
#   <!-- test: needs PROGRAM... -->  where those are installed
#   <!-- test: file NAME -->         it is what stands in a file of that name, in $page_work
#   <!-- test: said -->              it is what commands print; it is no test
# Without a comment it is commands for bash, which ends with the first that fails.

page_work=$tmp/page-work
here() { cat; }

# Each block becomes a file $tmp/page/N, the line of it in $tmp/page/list: N, the section, which of
# the section's it is, and its comment.
page_read() {
  rm -rf "$tmp/page"; page_count=0
  mkdir -p "$tmp/page" "$page_work"
  awk -v dir="$tmp/page" '
    function flush() {
      if (text == "") return
      file = sprintf("%s/%03d", dir, ++n)
      printf "%s", text > file; close(file)
      printf "%03d\t%s\t%d\t%s\n", n, section, ++of_section, mark > (dir "/list")
      text = mark = ""
    }
    /^```/ { fenced = !fenced; if (!fenced) flush(); next }
    fenced { text = text $0 "\n"; next }
    /^    / { text = text blank substr($0, 5) "\n"; blank = ""; next }
    /^$/ { if (text != "") blank = blank "\n"; next }
    { flush(); blank = "" }
    /^#+ / { section = $0; sub(/^#+ /, "", section); of_section = 0 }
    /^<!-- test: .* -->$/ { mark = $0; gsub(/^<!-- test: | -->$/, "", mark); next }
    { mark = "" }
    END { flush() }' "$1" && [ -s "$tmp/page/list" ] || return 1
  page_count=$(grep -cvE $'\t(said|by [^\t]*)$' "$tmp/page/list")
}
page_exec() { (cd "$page_work" && bash -ex "$1"); }
# Never a disk of this machine: what a guest, or another machine, would do to it is marked.
page_bash() { # N
  ! sed 's/ #.*//' "$tmp/page/$1" | grep -E '/dev/(sd|vd|xvd|nvme)' || return 1
  here <"$tmp/page/$1" >"$tmp/page/$1.sh" && page_exec "$tmp/page/$1.sh"
}
page_find() { # SECTION N
  awk -F'\t' -v s="$1" -v k="$2" '$2 == s && $3 == k { print $1 }' "$tmp/page/list"
}
page_used() { tee -a "$tmp/page/used"; }
page_left() { # NAME.sh
  awk -F'\t' -v by="by $1" 'NR == FNR { used[$1] = 1; next }
    $4 == by && !($1 in used) { print $2 ", block " $3 }' "$tmp/page/used" "$tmp/page/list"
}
page_block() {
  local n; n=$(page_find "$1" "$2" | page_used)
  [ -n "$n" ] && page_bash "$n"
}
page_text() {
  local n; n=$(page_find "$1" "$2" | page_used)
  [ -n "$n" ] && here <"$tmp/page/$n"
}
page_call() { # FUNCTION: if there is one
  ! declare -F "$1" >/dev/null || "$1" || echo "# $1: status $?"
}
page_programs() { # those of them that are missing
  local program
  for program; do
    command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || echo "$program"
  done | xargs
}
page_test() { # N SECTION K MARK WHERE
  local name="${5-}$2, block $3" missing
  case $4 in
    "") ok "$name" page_bash "$1";;
    said | "by "*) ;;
    "not run, "*) skip 1 "$name: ${4#not run, }";;
    "needs "*)
      missing=$(page_programs ${4#needs })
      if [ -n "$missing" ]; then
        skip 1 "$name: needs $missing"
      else
        ok "$name" page_bash "$1"
      fi;;
    "file "*) ok "$name: ${4#file }" eval "here <'$tmp/page/$1' >'$page_work/${4#file }'";;
    *) tap_result 1 "$name" "this mark is not known: $4";;
  esac
}
page_run() {
  local n section k mark slug was=
  # Not from standard input: that is for the commands.
  while IFS=$'\t' read -r -u 7 n section k mark; do
    slug=$(tr '[:upper:]' '[:lower:]' <<<"$section" | tr -cs 'a-z0-9\n' _ | sed 's/_$//')
    if [ "$slug" != "$was" ]; then
      [ -z "$was" ] || page_call "after_$was"
      page_call "before_$slug"
      was=$slug
    fi
    page_call "before_${slug}_$k"
    page_test "$n" "$section" "$k" "$mark" "${1-}"
  done 7<"$tmp/page/list"
  page_call "after_$was"
}
