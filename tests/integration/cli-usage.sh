#!/bin/bash
# virt-thin - the program's grammar: help for each command, exit status 2 for wrong usage
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"

commands="init extend serve stop release activate deactivate list tree info metrics top usage
  delta dump check repair create clone template snapshot rollback rename resize remove import
  export rescue mount umount backup restore archive unarchive send receive nbd storage replicate
  failover schedule enable disable"
wrong=(
  "no command|"
  "unknown command|explode"
  "unknown global option|--explode list"
  "unknown option|list --explode"
  "--device without a path|--device"
  "an engine that is none|--engine qemu list"
  "init: no size for a file that is not there|init pve/data"
  "init: no name|init --size 1g"
  "init: a VG alone|init pve --size 1g"
  "init: not a size|init pve/data --size big"
  "init: an unknown unit|init pve/data --size 5x"
  "init: a negative size|init pve/data --size=-5g"
  "init: a size of nothing|init pve/data --size 0"
  "init: a size beyond 16 EiB|init pve/data --size 17e"
  "init: max-size below size|init pve/data --size 2g --max-size 1g"
  "init: two devices|--device $tmp/a --device $tmp/b init pve/data --size 1g"
  "create: no size|create pve/x"
  "create: not a size|create pve/x --size 1q"
  "create: no VG|create x --size 1g"
  "create: no LV|create pve/ --size 1g"
  "create: no VG before the slash|create /x --size 1g"
  "create: two names|create pve/x pve/y --size 1g"
  "clone: one name|clone pve/x"
  "clone: another pool without a copy|clone pve/x pve/y --pool z"
  "clone: across volume groups|clone pve/x other/y"
  "template: no name|template"
  "template: a VG alone|template pve"
  "snapshot: no name|snapshot pve/x"
  "snapshot: no volume|snapshot name --exec true"
  "snapshot: no command|snapshot pve/x --exec"
  "snapshot: a partition without a command|snapshot pve/x name --partition 1"
  "snapshot: a partition of the whole|snapshot pve/x --raw --partition 1 --exec true"
  "mount: no folder|mount pve/x"
  "mount: a VG alone|mount pve $tmp"
  "mount: two ways|mount pve/x $tmp --rw --direct"
  "umount: a VG alone|umount pve"
  "rollback: no name|rollback pve/x"
  "rename: no name|rename pve/x"
  "rename: across volume groups|rename pve/x other/y"
  "resize: no size|resize pve/x"
  "resize: not a size|resize pve/x +-1g"
  "resize: a part of nothing known|resize pve/x +100%PVS"
  "extend: not a size|extend pve file --size big"
  "extend: no size for a file that is not there|extend pve $tmp/none"
  "remove: no name|remove"
  "remove: across volume groups|remove pve/x other/y"
  "import: no volume|import file"
  "import: a VG alone|import file pve"
  "import: not a size|import file pve/x --size many"
  "export: no file|export pve/x"
  "export: qcow2 to standard output|export pve/x - --format qcow2"
  "backup: no folder|backup pve/x"
  "backup: a VG alone|backup pve $tmp/b"
  "backup: a volume twice|backup pve/x pve/x $tmp/b"
  "backup: not a format|backup pve/x $tmp/b --format vmdk"
  "backup: no number|backup pve/x $tmp/b --keep-last many"
  "backup: rules for an archive|backup pve/x - --keep-last 3"
  "backup: a span for an archive|backup pve/x - --keep-within 3d"
  "backup: no span|backup pve/x $tmp/b --keep-within 3w"
  "backup prune: nothing to keep|backup prune $tmp/b"
  "backup verify: no ID|backup verify $tmp/b yesterday"
  "backup list: two folders|backup list a b"
  "restore: a VG alone|restore $tmp pve"
  "restore: no ID|restore $tmp pve/x --id yesterday"
  "restore: an ID of an archive|restore - pve/x --id 20261130T153000Z"
  "archive: no file|archive pve"
  "archive: a volume|archive pve/x file"
  "unarchive: no VG|unarchive file"
  "unarchive: a volume|unarchive file pve/x"
  "unarchive: not a size|unarchive file pve --size many"
  "send: no name|send"
  "send: a VG alone|send pve"
  "send: across volume groups|send pve/x other/y"
  "receive: a VG alone|receive pve"
  "receive: two pools|receive pve/x pve/y"
  "restore: no VG/LV|restore $tmp"
  "restore: two of XML|restore --metadata $tmp/a $tmp/b $tmp/c"
  "restore: an ID of metadata|restore --metadata $tmp/a $tmp/b --id 20261130T153000Z"
  "nbd: no volume|nbd"
  "rescue: no file|rescue pve/x"
  "rescue: a VG alone|rescue pve file"
  "rescue: a list into a file|rescue pve/x file --list-texts"
  "rescue: roots of a VG|rescue pve --list-roots"
  "rescue: a map of a list|rescue pve/x --list-roots --map file"
  "rescue: not a size|rescue pve/x file --size many"
  "rescue: a device that cannot be|rescue pve/x file --dev-id 16777216"
  "rescue: two sources of metadata|rescue pve/x file --metadata a --dump b"
  "nbd: a command alone|nbd -- true"
  "nbd: a VG alone|nbd pve"
  "nbd: of two volume groups|nbd pve/x other/y -- true"
  "nbd: an option of the command's before --|nbd pve/x --format raw"
  "info: two names|info pve other"
  "tree: an LV|tree pve/data"
  "tree: two names|tree pve other"
  "metrics: an LV|metrics pve/data"
  "metrics: two ways|metrics --output $tmp/a --listen $tmp/b"
  "top: an LV|top pve/data"
  "top: no time|top --interval 0"
  "top: not a number|top --count many"
  "delta: one volume|delta pve/x"
  "delta: across volume groups|delta pve/x other/y"
  "usage: nothing named|usage"
  "usage: of two volume groups|usage pve/x other/y"
  "usage: a volume group and a volume|usage pve pve/x"
  "check: two pools|check pve/data pve/more"
  "check: to mend what|check pve --auto-repair"
  "repair: neither pool nor metadata|repair"
  "repair: two answers|repair pve/data --adopt --remove-unknown"
  "repair: two answers for what is missing|repair pve/data --remove-missing --empty-missing"
  "repair: a name without a device|repair pve/data --name vm-1-disk-0"
  "repair: no roots|repair pve/data --roots x"
  "repair: undo with more|repair pve/data --undo data_meta0 --adopt"
  "repair: metadata without output|repair --metadata x"
  "repair: a size without the other|repair --metadata x --output y --chunk-size 64k"
  "repair: metadata and a pool|repair pve/data --metadata x --output y"
  "list: two names|list pve other"
  "serve: no VG|serve"
  "serve: an LV|serve pve/data"
  "stop: an LV|stop pve/data"
  "release: an LV|release pve/data"
  "extend: no path|extend pve"
  "extend: an LV|extend pve/data file"
  "enable: an argument|enable libvirt"
  "replicate: to nowhere|replicate pve/x"
  "replicate: to no pool|replicate pve/x other:pve"
  "failover: nobody|failover --start"
  "failover: all of whom|failover --all"
  "failover: all and one|failover 107 --all --from other"
  "failover: a domain and none|failover 107 --start --volumes-only"
  "schedule: no command|schedule"
  "schedule: no such command|schedule explode"
  "schedule add: nothing to do it with|schedule add x snapshot --keep-all"
  "schedule add: no rule|schedule add x snapshot pve/data"
  "schedule add: two rules that contradict each other|schedule add x snapshot pve/data --keep-all
    --keep-last 1"
  "schedule run: two names|schedule run a b"
  "schedule list: an argument|schedule list a"
  "storage: no command|storage"
  "storage: no such command|storage explode"
  "storage check: two files|storage check a b"
  "storage apply: an argument|storage apply file"
  "storage apply: a bad name of a node|storage apply --node a_b"
  "storage check: unknown option|storage check --explode"
)
n=$(wc -w <<<"$commands")
plan $((n + 4 + ${#wrong[@]} + 2 + 27 + 2))

for command in $commands; do
  run vt "$command" --help
  like "$command --help" "$?: $out" "^0: Usage:.*virt-thin $command|virt-thin $command "
done
run vt --help; status=$?
missing=
for command in $commands; do grep -qE "^  $command +[A-Z]" <<<"$out" || missing+=" $command"; done
is "--help lists every command" "$status$missing" 0
run vt -h; is "-h is --help" "$?" 0
run vt --version; like "--version" "$out" '^virt-thin [0-9]'
run vt create --help
not_ok "help is plain text, whatever the locale" grep -q '?' <<<"${out%%Example*}"

for line in "${wrong[@]}"; do
  read -ra words -d '' <<<"${line#*|}"
  refused "${line%%|*}" 2 "^Try 'virt-thin.* --help'\.$" vt "${words[@]}" </dev/null
done
is "nothing was made" "$(find "$state" -type f | wc -l)" 0
ok "options may follow the arguments, and -- ends them" \
  sh -c "'$VIRT_THIN_PROGRAM' init --size 64m -- pve/data && '$VIRT_THIN_PROGRAM' list --json pve"

man=$(cat "$top_srcdir/docs/virt-thin.1")
missing=
group_commands=$(for group in storage backup schedule; do
  vt $group --help | sed -n "s/^  \([a-z]*\)  *[A-Z].*/$group \1/p"
done)
while read -r command; do
  grep -qF "\\fB$command\\fR" <<<"$man" || missing+=" $command"
  for option in $(vt $command --help | grep -oE '^ +--[a-z-]+' |
      grep -v -e --device -e --engine -e '--help'); do
    grep -qF -- "$option" <<<"${man//\\-/-}" || missing+=" $command:$option"
  done
done < <(tr -s ' ' '\n' <<<"$commands"; echo "$group_commands")
is "the manual page has every command and option" "$missing" ""
wide=$(while read -r command; do vt $command --help; done \
  < <(echo; tr -s ' ' '\n' <<<"$commands"; echo "$group_commands") | awk 'length > 80')
is "help fits into 80 columns" "$wide" ""
keys=$(grep -oE 'get_value\(file, "[a-z]+", "[a-z-]+"\)' "$top_srcdir/src/settings/settings.c" |
  grep -oE '"[a-z-]+"\)' | tr -d '")' | sort -u)
missing=
for key in $keys; do
  grep -qE "^\.B $key=" "$top_srcdir/docs/virt-thin.conf.5" || missing+=" $key"
done
keys=$(grep -oE '(strcmp\(key, |set_string\(.*group, )"[a-z-]+"' "$top_srcdir/src/schedule/file.c" |
  grep -oE '[a-z-]+"$' | tr -d '"' | sort -u)
for key in $keys keep-{last,hourly,daily,weekly,monthly,yearly,within}; do
  sed -n '/^\.SH \[schedule/,/^\.SH EXAMPLE/p' "$top_srcdir/docs/virt-thin.conf.5" |
    grep -qE "^\.B (.* )?$key=" || missing+=" $key"
done
is "that of the configuration every key" "$missing" ""
complete() { # WORDS...: what bash offers for the last of them
  (cd "$VIRT_THIN_DEV_DIR" && bash -c \
    'PATH=$1:$PATH; source "$2"; shift 2; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _virt_thin
    printf "%s\n" "${COMPREPLY[@]}" | sort | paste -sd" "' \
    complete "$top_builddir" "$top_srcdir/src/cli/completion/virt-thin" virt-thin "$@")
}
is "completion: commands" "$(complete re)" \
  "receive release remove rename repair replicate rescue resize restore"
is "completion: commands of storage" "$(complete storage che)" "check"
is "completion: options of these" "$(complete storage check --s)" "--strict"
is "completion: commands of schedule" "$(complete schedule r)" "remove run"
is "completion: options of these, too" "$(complete schedule add x --d)" \
  "--delay --device --disabled"
is "completion: what can be done" "$(complete schedule add x s)" "snapshot"
is "completion: to what" "$(complete schedule add x snapshot pve/d)" "pve/data"
is "completion: options" "$(complete create --s)" "--size"
is "completion: commands of backup" "$(complete backup v)" "verify"
is "completion: options of these, too" "$(complete backup prune --d)" "--device --dry-run"
is "completion: and their rules" "$(complete backup prune --keep-w)" "--keep-weekly --keep-within"
is "completion: volume groups" "$(complete serve p)" "pve"
is "completion: pools, also empty ones, where one is meant" "$(complete check pve/)" "pve/data"
is "completion: a pool by itself" "$(complete create pve/vm-1 --pool d)" "data"
vt create pve/vm-1 --size 4m
vt snapshot pve/vm-1 before; vt snapshot pve/vm-1 after; vt create pve/vm-11 --size 4m
vt snapshot pve/vm-11 other
is "completion: names" "$(complete info pve/vm)" "pve/vm-1 pve/vm-11"
is "completion: no pool where a volume is meant" "$(complete clone pve/d)" ""
is "completion: both" "$(complete resize pve/d)" "pve/data"
is "completion: the volume's own snapshots" "$(complete rollback pve/vm-1 "")" "after before"
is "completion: since which snapshot" "$(complete nbd pve/vm-1 --since "")" "after before"
is "completion: what is run" "$(complete nbd pve/vm-1 -- qemu-im)" "$(compgen -c qemu-im | sort -u |
  paste -sd' ')"
is "completion: no option of ours behind it" "$(complete nbd pve/vm-1 -- true --s)" ""
printf 'lvmthin: thin\n\tvgname pve\n\tthinpool data\n' >"$tmp/storage.cfg"
is "completion: storages" "$(complete storage list --config "$tmp/storage.cfg" t)" "thin"
is "completion: before a volume of one" \
  "$(complete storage path --config "$tmp/storage.cfg" t)" "thin:"
vt create pve/vm-100-disk-0 --size 4m
is "completion: its volumes" "$(complete storage path --config "$tmp/storage.cfg" thin:vm)" \
  "thin:vm-100-disk-0"
is "completion: where bash divides at the colon" \
  "$(complete storage path --config "$tmp/storage.cfg" thin : vm)" "vm-100-disk-0"

printf '[service]\nthreads=many\n' > "$VIRT_THIN_CONFIG"
run vt list pve
is "a warning looks like everything else it says" \
  "${err%%: *}: $(wc -l <<<"$err") $(grep -c '^virt-thin: warning: .*threads=many' <<<"$err")" \
  "virt-thin: 1 1"
