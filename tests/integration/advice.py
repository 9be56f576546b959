# virt-thin - the messages of src that advise a command, held against the table advice.txt
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# advice.py missing|stale TOP: messages that no line of the table has a part of; lines that are a
# part of no message, or name no test that is there.
import pathlib
import re
import sys

TOOLS = """lvconvert lvchange lvremove lvrename lvextend vgchange vgimport vgextend vgck
  vgcfgbackup vgcfgrestore pvmove pvck pvresize thin_repair wipefs losetup mdadm dmsetup virsh
  systemctl journalctl umount modprobe qemu-img cp""".split()
OURS = """init extend serve stop release activate deactivate list info usage check repair create clone
  template snapshot rollback rename resize remove import export rescue storage enable
  disable""".split()
COMMAND = re.compile(
    r"(?:^|[\s`'(])(?:(?:%s) (?!failed|does|makes|cannot)(?=[-%%a-z])|"
    r"(?:%s)[;),.]|virt-thin (?:%s)\b)"
    % ("|".join(TOOLS), "|".join(t for t in TOOLS if t[:2] in ("vg", "lv", "pv")), "|".join(OURS)))
# Help, names of who opens something, what is written into files.
OTHER = re.compile(
    r"Example:|\\n|^virt-thin (im|ex)port(, pid|$)|^virt-thin storage [a-z]*$|^[^:]*, pid %d$|"
    r"^systemctl [^:]*: %s|^waiting for|^Have |^Format of|install qemu-img|thin_repair makes|"
    r"^thin_repair cannot|"
    r"^Also what a mount|says nothing that is understood")
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
                   r'(?:(?:\s|G_GU?INT64_FORMAT)*"(?:\\.|[^"\\\n])*")*', re.S)


def messages(top):
    for path in sorted(top.glob("src/**/*.[ch]")):
        for token in TOKEN.findall(path.read_text()):
            text = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', token)) if token[0] == '"' else ""
            if " " in text and COMMAND.search(text) and not OTHER.search(text):
                yield text


kind, top = sys.argv[1], pathlib.Path(sys.argv[2])
lines = [line.split("|", 1) for line in
         (top / "tests/integration/advice.txt").read_text().splitlines()
         if line and line[0] != "#"]
advice = list(messages(top))
if kind == "missing":
    for text in advice:
        if not any(part.strip() in text for _, part in lines):
            print(text)
else:
    for test, part in lines:
        test = test.strip()
        if not any(part.strip() in text for text in advice):
            print("no message:", part)
        if test != "-" and not any(top.glob("tests/*/" + test)):
            print("no test:", test)
