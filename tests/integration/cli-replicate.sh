#!/bin/bash
# virt-thin - replicas on another host, which is this one, behind an sshd of the test's own: what
# travels, what is kept, and that a run goes on wherever the one before was ended
# VIRT_THIN_TEST_LONG: it is ended a hundred times. VIRT_THIN_TEST_SEED: at the same times again.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/cli-lib.sh"
vt send --help >/dev/null 2>&1 || skip_all "this build sends nothing"
sshd=$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null) || skip_all "needs sshd"
command -v strace >/dev/null || skip_all "needs strace"
plan 40

# --- the other host ---
there=$tmp/there
mkdir -p "$there/bin" "$there/state" "$there/run" "$there/dev" "$tmp/ssh"
chmod 700 "$tmp/ssh"
cat >"$there/bin/virt-thin" <<SCRIPT
#!/bin/sh
export VIRT_THIN_STATE_DIR=$there/state VIRT_THIN_RUNTIME_DIR=$there/run \\
  VIRT_THIN_DEV_DIR=$there/dev VIRT_THIN_CONFIG=$there/conf VIRT_THIN_ENGINE=bundled
exec $VIRT_THIN_PROGRAM "\$@"
SCRIPT
cat >"$tmp/ssh/forced" <<SCRIPT
#!/bin/sh
PATH=$there/bin:\$PATH exec sh -c "\$SSH_ORIGINAL_COMMAND"
SCRIPT
chmod +x "$there/bin/virt-thin" "$tmp/ssh/forced"
: >"$there/conf"
other() { "$there/bin/virt-thin" "$@"; }
. "$(dirname "$0")/ssh-lib.sh"
ssh_start || skip_all "sshd does not start: $(tail -n 1 "$tmp/ssh/log")"
ssh="ssh -p $ssh_port $ssh_options"
$ssh 127.0.0.1 true 2>"$tmp/ssh/said" || skip_all "sshd lets nobody in: $(cat "$tmp/ssh/said")"

# --- what is there ---
vt init pve/data --size 256m
other init backup/pool --size 256m
for disk in 0 1; do
  vt create pve/vm-107-disk-$disk --size 32m
  head -c 4m /dev/urandom | vt import --format raw - pve/vm-107-disk-$disk
done
change() { head -c 300k /dev/urandom | vt import --format raw - pve/vm-107-disk-0; }
replicas() { other list --json backup | field "' '.join(v['name'] for v in d['volumes'])"; }
mine() { # those of schedule "r"
  vt list --json pve | field "' '.join(v['name'] for v in d['volumes']
    if any(t.startswith('virt-thin-schedule=r/') for t in v['tags']))"
}
n() { wc -w <<<"$1"; }
newest() { # of a disk, by its tag: names are used again
  vt list --json pve | field "max((int(t.split('/')[1]), v['name']) for v in d['volumes']
    for t in v['tags'] if t.startswith('virt-thin-schedule=r/') and 'disk-$1_' in v['name'])[1]"
}
same() { # DISK: its newest replica is what it is now
  local name; name=$(newest "$1")
  [ "$(other export "backup/$name" - | md5)" = "$(vt export "pve/vm-107-disk-$1" - | md5)" ]
}

refused "no place for replicas" 2 'to: "other" is not HOST:VG/POOL' \
  vt schedule add r replicate 107 --to other --keep-last 1
refused "an option that looks like a host" 2 'is not HOST:VG/POOL' \
  vt schedule add r replicate 107 --to=-oProxyCommand=x:a/b --keep-last 1
ok "add" vt schedule add r replicate 107 --to 127.0.0.1:backup/pool --keep-last 2 --ssh "$ssh"
ok "the first run" vt schedule run r
is "both disks are there, and nothing else" "$(replicas)" "$(mine)"
ok "with what is in them" same 0
change
run vt schedule run r
is "the second" "$? $out" "0 schedule r: 2 snapshots sent, 0 removed"
like "sends what has changed" "$err" '^2 volumes received, [0-9.]+ KiB of data$'
ok "so that they are equal" same 0
change; vt schedule run r >&2
is "two are kept of each, there and here" "$(n "$(replicas)") $(replicas)" "4 $(mine)"
vt create pve/vm-107-disk-2 --size 8m
ok "one disk more" vt schedule run r
ok "goes with the others" eval '[ -n "$(newest 2)" ] && same 2'
vt snapshot pve/vm-107-disk-0 mine

# --- what goes wrong ---
sed -i "s|^to=.*|to=127.0.0.1:backup/none|" "$VIRT_THIN_CONFIG"
before=$(mine)
refused "a pool that is not there" 1 'none' vt schedule run r
is "takes nothing away" "$(mine)" "$before"
sed -i "s|^to=.*|to=127.0.0.1:backup/pool|" "$VIRT_THIN_CONFIG"
kill "$(cat "$tmp/ssh/pid")"; wait_until 10 test ! -e "$tmp/ssh/pid"
here=$(mine)
refused "a host that does not answer" 1 'schedule r: .*127.0.0.1: ' vt schedule run r
is "costs no snapshot" "$(mine)" "$here"
ssh_start; ssh=$(sed "s/-p [0-9]*/-p $ssh_port/" <<<"$ssh")
sed -i "s|^ssh=ssh -p [0-9]*|ssh=ssh -p $ssh_port|" "$VIRT_THIN_CONFIG"
ok "when it is back, all goes on" vt schedule run r
ok "and is equal" same 0
is "the user's snapshot is left" "$(vt list --json pve | field \
  "sum(v['name'] == 'snap_vm-107-disk-0_mine' for v in d['volumes'])")" 1

# --- a host that is no virt-thin's, and a run without a section ---
nonsense() { # what it says
  printf '#!/bin/sh\necho '\''%s'\''\n' "$1" >"$tmp/nonsense" && chmod +x "$tmp/nonsense"
}
for text in hello '{"volumes":7}' '[]'; do
  nonsense "$text"
  refused "a host that says $text" 1 'says nothing that is understood' \
    vt replicate 107 other:a/b --ssh "$tmp/nonsense"
done
nonsense '{"volumes":[7,{"name":"a b","tags":[3,{}]},{"name":"x","tags":{}}]}'
refused "or knows nothing" 1 'sending pve/snap_vm-107' vt replicate 107 other:a/b \
  --ssh "$tmp/nonsense"
other init third/pool --size 256m
ok "replicate" vt replicate pve/vm-107-disk-0 127.0.0.1:third/pool --ssh "$ssh"
change
run vt replicate pve/vm-107-disk-0 127.0.0.1:third/pool --ssh "$ssh"
is "again: what has changed is sent, and one stays" \
  "$? $out $(grep -o '[0-9.]* KiB' <<<"$err") $(other list third/pool | grep -c _auto-)" \
  "0 1 snapshots sent, 1 removed 300.00 KiB 1"

third() { other list third/pool | grep -o "vm-107-disk-$1_auto-[0-9A-Za-z_.-]*" | sort -u | xargs; }
before=$(third 0)
vt init copies/data --size 100m
vt create copies/vm-107-disk-0 --size 8m
refused "a number, of a guest that has a volume of that name in two volume groups" 1 \
  'vm-107-disk-0 in volume groups .*: in place of its number say which' \
  vt replicate 107 127.0.0.1:third/pool --ssh "$ssh"
is "of these none is taken" "$(third 0)" "$before"
like "the others are" "$(third 1)" .
vt remove copies/vm-107-disk-0

# --- killed ---
# This process, what sends and what receives: at so many of its fsyncs.
killed=0
for at in $(seq 1 ${VIRT_THIN_TEST_LONG:+40} ${VIRT_THIN_TEST_LONG-8}); do
  change
  strace -f -qq -o /dev/null -e trace=fsync,fdatasync \
    -e "inject=fsync,fdatasync:signal=KILL:when=$at" "$VIRT_THIN_PROGRAM" schedule run r \
    >/dev/null 2>&1
  [ $? -le 128 ] || killed=$((killed + 1))
done
ok "killed at many steps" test $killed -gt 2
change
ok "the next run goes on" vt schedule run r
ok "with what is in the disks" eval 'same 0 && same 1 && same 2'
is "nothing is left but what is kept" "$(n "$(replicas)") $(replicas)" "6 $(mine)"
is "here and there all is well" \
  "$(vt check pve/data >/dev/null; echo $?) $(other check backup/pool >/dev/null; echo $?)" "0 0"
is "nobody is left who receives" "$(pgrep -f "$there/bin/virt-thin receive")" ""

# At any time of what a run takes: this process alone, or with all that it has started here.
change_all() {
  local disk
  for disk in 0 1 2; do
    head -c 200k /dev/urandom | vt import --format raw - pve/vm-107-disk-$disk
  done
}
rest=$(names pve | tr ' ' '\n' | grep -vxFf <(tr ' ' '\n' <<<"$(mine)") | xargs)
sorted() { tr ' ' '\n' <<<"$*" | sort | xargs; }
equal() { # what is kept is there as it is here, and nothing else is left
  local name here; here=$(sorted "$(mine)")
  [ "$(sorted "$(replicas)")" = "$here" ] && [ "$(n "$here")" = 6 ] &&
    [ "$(names pve)" = "$(sorted "$here $rest")" ] ||
    { echo "here: $(names pve)"; echo "there: $(replicas)"; return 1; }
  for name in 0 1 2; do same $name || { echo "disk $name is another there"; return 1; }; done
  for name in $here; do
    [ "$(other export "backup/$name" - | md5)" = "$(vt export "pve/$name" - | md5)" ] ||
      { echo "$name differs"; return 1; }
  done
}
from=$(date +%s%N) killed=0 ended=0 wrong=
change_all; vt schedule run r >/dev/null 2>&1
took=$((($(date +%s%N) - from) / 1000000)) # milliseconds
RANDOM=${VIRT_THIN_TEST_SEED:-$$} rounds=8
[ -z "${VIRT_THIN_TEST_LONG-}" ] || rounds=100
for i in $(seq "$rounds"); do
  change_all
  at=$((RANDOM % took + 1))
  [ $((i % 2)) = 0 ] && alone= || alone=--foreground
  timeout $alone -s KILL "$(printf '%d.%03d' $((at / 1000)) $((at % 1000)))" \
    "$VIRT_THIN_PROGRAM" schedule run r >/dev/null 2>&1
  [ $? = 137 ] && killed=$((killed + 1)) || ended=$((ended + 1))
  change_all
  vt schedule run r >"$tmp/again" 2>&1 && equal >"$tmp/again" 2>&1 ||
    wrong+="round $i, after $at of $took ms${alone:+, alone}: $(cat "$tmp/again")"$'\n'
done
echo "# killed $killed times, $ended runs ended before that"
ok "killed at any time" test $killed -ge $((rounds / 4))
is "after each the next run brings all, and leaves nothing else" "$wrong" ""
is "here and there all is well" \
  "$(vt check pve/data >/dev/null; echo $?) $(other check backup/pool >/dev/null; echo $?)" "0 0"
ok "nobody is left who receives" wait_until 20 \
  sh -c '! pgrep -f "$1"' sh "$there/bin/[v]irt-thin receive"
is "nor is a file" "$(find "$VIRT_THIN_RUNTIME_DIR/.transfers" "$there/run/.transfers" \
  "$VIRT_THIN_STATE_DIR/schedules" "$there/state/replicas" -type f \
  ! -name lock ! -name last-run ! -name '*.conf')" ""
ok "remove, with its snapshots here" vt schedule remove r --snapshots
