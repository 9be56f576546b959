#!/bin/bash
# virt-thin - a guest goes on from its replicas: its domain travels along, the first host is asked,
# and what is made is what the first host had. Both hosts are this one, the first behind an sshd of
# the test's own.
# SPDX-License-Identifier: LGPL-2.1-or-later
. "$(dirname "$0")/libvirt-lib.sh"
sshd=$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null) || skip_all "needs sshd"
for program in strace ip qemu-system-x86_64; do
  command -v $program >/dev/null || skip_all "needs $program"
done
plan 51

vt() { "$VIRT_THIN_PROGRAM" "$@"; }
out= err=
run() {
  local status=0
  "$@" >"$tmp/.out" 2>"$tmp/.err" || status=$?
  out=$(cat "$tmp/.out") err=$(cat "$tmp/.err")
  return $status
}
refused() { # DESCRIPTION REGEX COMMAND...
  local description=$1 regex=$2 status=0; shift 2
  run "$@" || status=$?
  like "$description" "$status $(tr '\n' ' ' <<<"$err")" "^1 .*$regex"
}
md5() { md5sum | cut -d' ' -f1; }
names() { vt list --json "$1" | python3 -c 'import json, sys
print(" ".join(sorted(v["name"] for v in json.load(sys.stdin)["volumes"])))'; }

# --- the hosts ---
mkdir -p "$tmp/ssh" "$tmp/bin"
ln -s "$VIRT_THIN_PROGRAM" "$tmp/bin/virt-thin"
cat >"$tmp/ssh/forced" <<SCRIPT
#!/bin/sh
export VIRT_THIN_STATE_DIR=$VIRT_THIN_STATE_DIR VIRT_THIN_RUNTIME_DIR=$VIRT_THIN_RUNTIME_DIR \\
  VIRT_THIN_CONFIG=$VIRT_THIN_CONFIG VIRT_THIN_PROGRAM=$VIRT_THIN_PROGRAM \\
  LIBVIRT_DEFAULT_URI=$LIBVIRT_DEFAULT_URI
PATH=$tmp/bin:\$PATH exec sh -c "\$SSH_ORIGINAL_COMMAND"
SCRIPT
chmod +x "$tmp/ssh/forced"
. "$(dirname "$0")/ssh-lib.sh"
ssh_start || skip_all "sshd does not start: $(tail -n 1 "$tmp/ssh/log")"
ssh="ssh -p $ssh_port $ssh_options -o ConnectTimeout=10"
$ssh 127.0.0.1 true 2>"$tmp/ssh/said" || skip_all "sshd lets nobody in: $(cat "$tmp/ssh/said")"
# A network on which that address is silent.
gone() {
  unshare --net sh -c 'ip link set lo up && ip route add unreachable 192.0.2.7 && exec "$@"' sh \
    "$VIRT_THIN_PROGRAM" failover --host 192.0.2.7 --ssh "$ssh" "$@"
}

# --- what is there ---
libvirt_start || { echo "Bail out! no libvirtd: $(tail -5 "$log")"; exit 1; }
thin_pool 300m >/dev/null
other=${vg}b
new_vg "$other/pool" 300m >/dev/null
at_exit 'rmdir "/dev/$other" 2>/dev/null'
for disk in 0 1; do
  vt create "$vg/vm-107-disk-$disk" --size 16m
  head -c 3m /dev/urandom | vt import --format raw - "$vg/vm-107-disk-$disk"
done
virsh pool-refresh thin
path=$(virsh vol-path vm-107-disk-1 thin)
kind=$([ -b "$path" ] && echo block || echo file)
# No firmware is needed to see where its variables go: the code is empty.
mkdir "$tmp/firmware" "$tmp/firmware/variables"
vars=$tmp/firmware/variables/107.fd
head -c 256k /dev/zero >"$tmp/firmware/code.fd"
{ head -c 1k /dev/urandom; head -c 127k /dev/zero; } >"$vars"
chmod 711 "$tmp/firmware" "$tmp/firmware/variables"
had=$(md5 <"$vars")
cat >"$tmp/domain.xml" <<XML
<domain type='qemu'>
  <name>guest 107</name>
  <uuid>0c9ca34a-5d10-4f6e-8a8b-91a1a4b0c107</uuid>
  <memory unit='MiB'>64</memory>
  <os>
    <type arch='x86_64'>hvm</type>
    <loader readonly='yes' type='pflash'>$tmp/firmware/code.fd</loader>
    <nvram>$vars</nvram>
  </os>
  <features><acpi/></features>
  <devices>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='raw'/>
      <source pool='thin' volume='vm-107-disk-0'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='$kind' device='disk'>
      <driver name='qemu' type='raw'/>
      <source $([ $kind = block ] && echo dev || echo file)='$path'/>
      <target dev='vdb' bus='virtio'/>
    </disk>
    <interface type='user'><mac address='52:54:00:01:07:01'/></interface>
    <graphics type='vnc' passwd='sesame'/>
  </devices>
</domain>
XML
virsh define "$tmp/domain.xml" >&2 || { echo "Bail out! no domain: $(tail -5 "$log")"; exit 1; }
virsh dumpxml --security-info "guest 107" >"$tmp/first.xml"
change() { head -c 300k /dev/urandom | vt import --format raw - "$vg/vm-107-disk-0"; }
replicate() { vt replicate "$vg/vm-107-disk-0" "$vg/vm-107-disk-1" \
  "127.0.0.1:$other/pool" --ssh "$ssh" "$@"; }
records() { find "$VIRT_THIN_STATE_DIR/replicas" -name '*.conf'; }
undefine() { virsh undefine --keep-nvram "guest 107" >/dev/null; }
here() { names "$other" | tr ' ' '\n' | grep -v ^snap_ | xargs; }

run vt failover
is "of nothing there is nothing" "$? $out" "0 "
refused "and nothing can be made of it" "there are no replicas of a guest 107" vt failover 107
ok "replicate" replicate
is "a file says whose the replicas are, for root alone" \
  "$(records | wc -l) $(stat -c %a "$(records)") $(records | grep -c "/$(hostname)/107@")" \
  "1 600 1"
change
ok "again" replicate
is "that of what has gone is kept until the next" "$(records | wc -l)" 2
change
replicate --keep-last 2
is "and then it has gone" "$(records | wc -l)" 2
run vt failover
like "it is listed, with its domain" "$out" \
  "^107 +$(hostname) +20[-0-9]* [:0-9]* $other/pool guest 107 ready"
change

newest() { # DISK: its newest replica, by the time in its tag
  vt list --json "$other" | python3 -c 'import json, sys
print(max((int(t.split("/")[1]), v["name"]) for v in json.load(sys.stdin)["volumes"]
  for t in v["tags"] if t.startswith("virt-thin-schedule=")
  and "disk-%s_auto" % sys.argv[1] in v["name"])
  [1])' "$1"
}
last=$(newest 1)
vt rename "$other/$last" "${last%_auto*}_mine"
run vt failover 107 --dry-run --force --volumes-only
is "of the newest one is gone: so the one before, of both" \
  "$? $(grep -c " from $(newest 1)\$" <<<"$out") $(grep -c " from $(newest 0)\$" <<<"$out")" "0 1 0"
vt rename "$other/${last%_auto*}_mine" "$last"
run vt failover --all --from "$(hostname)" --dry-run --force --volumes-only
is "all of a host, and the newest again" \
  "$? $(grep -c " from $(newest 1)\$" <<<"$out") $(grep -c " from $(newest 0)\$" <<<"$out")" "0 1 1"
refused "all of nobody" "no replicas from nobody" vt failover --all --from nobody --dry-run --force

# --- the first host ---
before=$(names "$other")
refused "as long as it answers, nothing is done" \
  "127\.0\.0\.1 answers \(domain guest 107 there: shut off\)" \
  vt failover 107 --host 127.0.0.1 --ssh "$ssh" --volumes-only
refused "nor when nobody is let in" "answers" \
  vt failover 107 --host 127.0.0.1 --ssh "ssh -p $ssh_port -F none -o BatchMode=yes -i none" \
  --volumes-only
kill "$(cat "$tmp/ssh/pid")"; wait_until 10 test ! -e "$tmp/ssh/pid"
refused "nor when no ssh listens" "answers \(ssh: .*Connection refused" \
  vt failover 107 --host 127.0.0.1 --ssh "$ssh" --volumes-only
refused "nor when it is not known where it is" "no address here" \
  vt failover 107 --host nosuch.invalid --ssh "$ssh" --volumes-only
refused "by its address it is asked, too" "answers" \
  vt failover 107 --ssh "$ssh" --volumes-only
refused "the domain is still here, with other disks" \
  "domain guest 107 is here already.*virsh undefine --keep-nvram 'guest 107' lets" gone 107
is "nothing was changed" "$(names "$other")" "$before"
advice=$(grep -o "virsh undefine --keep-nvram '[^']*'" <<<"$err")
ok "what it says helps: $advice" eval "$advice"
virsh define "$tmp/domain.xml" >/dev/null; undefine
sed 's/<uuid>.*//; s/<mac.*>/<mac address="52:54:00:01:07:02"\/><\/interface>/' \
  "$tmp/domain.xml" >"$tmp/named.xml"
virsh define "$tmp/named.xml" >/dev/null
refused "another of that name" "another domain guest 107 is here" gone 107
undefine
vt create "$other/vm-107-disk-1" --size 16m
refused "a volume that is none of the replica" "$other/vm-107-disk-1 is here already" gone 107
vt remove "$other/vm-107-disk-1"
is "nothing was changed, by that either" "$(names "$other")" "$before"

# --- it fails over ---
rm "$vars"
run gone 107 --dry-run
like "what would be done" "$?: $out" "^0: guest 107, from $(hostname), as of 20"
is "is not done" "$(names "$other") $(virsh list --all --name | xargs)" "$before "
not_ok "nor are there UEFI variables" test -e "$vars"
killed=0 halves=0
for at in 3 6 9 12 ${VIRT_THIN_TEST_LONG:+$(seq 4 12)}; do
  strace -f -qq -o /dev/null -e trace=fsync,fdatasync \
    -e "inject=fsync,fdatasync:signal=KILL:when=$at" "$VIRT_THIN_PROGRAM" failover 107 --force \
    >/dev/null 2>&1
  [ $? -le 128 ] || killed=$((killed + 1))
  [ "$(here)" != vm-107-disk-0 ] || halves=$((halves + 1))
done
ok "killed ($killed times, $halves with half of it done)" test $killed -gt 0
run gone 107
is "the next goes on: $err" "$?" 0
is "the UEFI variables travelled along, for root alone" \
  "$(md5 <"$vars") $(stat -c %a "$vars")" "$had 600"
is "both volumes are there" "$(here)" "vm-107-disk-0 vm-107-disk-1"
is "as their newest replicas" \
  "$(for d in 0 1; do vt export "$other/vm-107-disk-$d" - | md5; done)" \
  "$(for d in 0 1; do vt export "$other/$(newest $d)" - | md5; done)"
virsh dumpxml --security-info "guest 107" >"$tmp/second.xml"
place() { # DISK: where it should be
  if [ -e "/dev/$other/$1" ]; then echo "<source dev='/dev/$other/$1'/>"; else
    echo "<source file='$VIRT_THIN_RUNTIME_DIR/$other/volumes/$1'/>"; fi
}
changed() { diff "$tmp/first.xml" "$tmp/second.xml" | grep '^[<>]' | sed 's/^[<>] *//'; }
like "the domain is the same but for where its disks are" "$(changed | grep -c '<source')" '^4$'
is "nothing else has changed" "$(changed | grep -vcE '<source|<disk type')" 0
is "they are those" "$(grep -c -e "$(place vm-107-disk-0)" -e "$(place vm-107-disk-1)" \
  "$tmp/second.xml")" 2
ok "UUID, MAC and password are kept" eval \
  'grep -q c107 "$tmp/second.xml" && grep -q 01:07:01 "$tmp/second.xml" &&
   grep -q sesame "$tmp/second.xml"'
is "it does not run" "$(virsh domstate "guest 107" | head -n 1)" "shut off"
run gone 107
like "again there is nothing to do" "$?: $out" "there already"
run vt failover
like "and it is listed so" "$out" "here$"
undefine

# --- by a pool of libvirt's, and running ---
virsh pool-define-as second logical --source-name "$other/pool" >/dev/null
virsh pool-start second >/dev/null
head -c 128k /dev/urandom >"$vars"
had=$(md5 <"$vars")
run gone 107 --start
like "started: $err" "$?: $out" "domain guest 107 started"
like "other UEFI variables that are here stay, which is told" "$(md5 <"$vars") $err" \
  "^$had .*note: $vars is here already"
is "it runs" "$(virsh domstate "guest 107" | head -n 1)" "running"
virsh dumpxml --inactive "guest 107" >"$tmp/third.xml"
is "from a volume of the pool that is here" \
  "$(grep -c "<source pool='second' volume='vm-107-disk-0'" "$tmp/third.xml")" 1
run gone 107 --start
like "again: it runs already" "$?: $out" "runs already"
virsh destroy "guest 107" >/dev/null

# --- the first host is back ---
head -c 100k /dev/urandom | vt import --format raw - "$other/vm-107-disk-0"
now=$(vt export "$other/vm-107-disk-0" - | md5)
before=$(names "$other")
"$sshd" -f "$tmp/ssh/config" -E "$tmp/ssh/log" && wait_until 10 test -s "$tmp/ssh/pid"
change
refused "its next run is refused" "vm-107-disk-0 was written to" replicate
is "nothing is overwritten" "$(vt export "$other/vm-107-disk-0" - | md5)" "$now"
is "and no replica of the guest removed" "$(comm -23 <(tr ' ' '\n' <<<"$before") \
  <(names "$other" | tr ' ' '\n'))" ""

# --- without libvirt, and what makes no sense ---
libvirt_stop
vt create "$vg/plain" --size 4m
refused "without a libvirt no domain" "connecting to libvirt" gone 107
run vt replicate "$vg/plain" "127.0.0.1:$other/pool" --ssh "$ssh"
is "replicas without one say so" "$? $(grep -c "no domain goes along" <<<"$err")" "0 1"
run gone plain
is "and become volumes" "$? $(here)" "0 plain vm-107-disk-0 vm-107-disk-1"
for text in hello $'[replicas]\nversion=2\n' $'[replicas]\nversion=1\nhost=../x\n'; do
  refused "told nonsense" "not understood" \
    sh -c "printf %s '$text' | '$VIRT_THIN_PROGRAM' failover --learn"
done
