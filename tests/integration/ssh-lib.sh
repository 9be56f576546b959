# virt-thin - a sshd of the test's own on 127.0.0.1, which runs commands by $tmp/ssh/forced
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Source it after lib.sh, with $tmp/ssh/forced written; $sshd is the program. Ends at exit.
#   ssh_start     on the first port that is free: sets ssh_port
#   ssh_options   what ssh is to be given to get in, but for the port

ssh-keygen -q -t ed25519 -N '' -f "$tmp/ssh/host"
ssh-keygen -q -t ed25519 -N '' -f "$tmp/ssh/key"
cp "$tmp/ssh/key.pub" "$tmp/ssh/authorized"
mkdir -p /run/sshd 2>/dev/null
ssh_options="-i $tmp/ssh/key -o BatchMode=yes -o StrictHostKeyChecking=no -F none"
ssh_options+=" -o UserKnownHostsFile=$tmp/ssh/known -o LogLevel=ERROR"
ssh_start() {
  local port
  for port in $(shuf -n 20 -i 20000-60000); do
    cat >"$tmp/ssh/config" <<CONF
ListenAddress 127.0.0.1:$port
HostKey $tmp/ssh/host
AuthorizedKeysFile $tmp/ssh/authorized
PidFile $tmp/ssh/pid
ForceCommand $tmp/ssh/forced
StrictModes no
UsePAM no
PasswordAuthentication no
CONF
    "$sshd" -f "$tmp/ssh/config" -E "$tmp/ssh/log" 2>>"$tmp/ssh/log" &&
      wait_until 10 test -s "$tmp/ssh/pid" && { ssh_port=$port; return; }
  done
  return 1
}
at_exit '[ ! -e "$tmp/ssh/pid" ] || kill "$(cat "$tmp/ssh/pid")"'
