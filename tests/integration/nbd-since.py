# virt-thin - judges of what NBD tells of changes since a snapshot
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: nbd-since.py history SEED SIZE CHUNK      qemu-io's commands, one a line: writes and discards
#        nbd-since.py pairs SOCKET VG VOLUME FOLDER NAME...   the volume's snapshots, oldest first;
#             FOLDER/NAME.raw is what each held. Every pair of them: nbdinfo, qemu-img and
#             `virt-thin delta` tell the same, and a copy of what is dirty makes of one the other
#        nbd-since.py lost URI CONTEXT FILE        asks until there is an error, and once more when
#             FILE is there
import json, os, random, subprocess, sys, time
import nbd


def history(seed, size, chunk):
    rand = random.Random(seed)
    for _ in range(rand.randint(4, 24)):
        length = rand.choice([512, 4096, chunk, rand.randint(1, 8 * chunk // 512) * 512])
        at = rand.randrange(0, size - length + 1, 512)
        if rand.random() < 0.3:
            print(f"discard -q {at} {length}")
        else:
            print(f"write -q -P {rand.randint(0, 255)} {at} {length}")


def run(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout


def joined(runs):
    out = []
    for at, length in runs:
        if out and out[-1][0] + out[-1][1] == at:
            out[-1][1] += length
        elif length:
            out.append([at, length])
    return out


def by_nbdinfo(uri, context):
    lines = [line.split() for line in run("nbdinfo", f"--map={context}", uri).decode().splitlines()]
    assert all(line[2:4] in (["0", "clean"], ["1", "dirty"]) for line in lines), lines
    return joined([int(line[0]), int(line[1])] for line in lines if line[2] == "1")


def by_qemu(socket, export, context):
    options = (f"driver=nbd,server.type=unix,server.path={socket},export={export},"
               f"x-dirty-bitmap={context}")
    found = json.loads(run("qemu-img", "map", "--output=json", "--image-opts", options))
    return joined([e["start"], e["length"]] for e in found if not e["data"])


def by_delta(vg, left, right, size):
    found = json.loads(run(os.environ["VIRT_THIN_PROGRAM"], "delta", "--json", f"{vg}/{left}",
                           f"{vg}/{right}"))
    ranges = found if isinstance(found, list) else next(v for v in found.values()
                                                        if isinstance(v, list))
    return joined([r["offset"], min(r["length"], size - r["offset"])] for r in ranges
                  if r["offset"] < size)


def contexts(uri, query):
    h = nbd.NBD()
    h.set_opt_mode(True)
    h.connect_uri(uri)
    names = []
    h.add_meta_context(query)
    h.opt_list_meta_context(names.append)
    h.opt_abort()
    return names


def check_pair(socket, vg, volume, folder, left, right):
    export, context = f"snap_{volume}_{right}", f"qemu:dirty-bitmap:since-{left}"
    uri = f"nbd+unix:///{export}?socket={socket}"
    old, new = (open(f"{folder}/{name}.raw", "rb").read() for name in (left, right))
    dirty = by_nbdinfo(uri, context)
    assert dirty == by_qemu(socket, export, context), (left, right, dirty)
    assert dirty == by_delta(vg, f"snap_{volume}_{left}", export, len(new)), (left, right, dirty)
    target = bytearray(old[:len(new)].ljust(len(new), b"\0"))
    h = nbd.NBD()
    h.connect_uri(uri)
    for at, length in dirty:
        target[at:at + length] = h.pread(length, at)
    h.shutdown()
    assert target == new, (left, right)
    return sum(length for _, length in dirty)


def pairs(socket, vg, volume, folder, *names):
    n = moved = 0
    for j, right in enumerate(names):
        uri = f"nbd+unix:///snap_{volume}_{right}?socket={socket}"
        known = [f"qemu:dirty-bitmap:since-{left}" for left in names[:j]]
        assert contexts(uri, "qemu:") == known, (right, contexts(uri, "qemu:"))
        for left in names[:j]:
            moved += check_pair(socket, vg, volume, folder, left, right)
            n += 1
    print(f"{n} pairs, {moved} bytes dirty in all")


def lost(uri, context, file):
    h = nbd.NBD()
    h.add_meta_context(context)
    h.connect_uri(uri)
    assert h.can_meta_context(context)

    def failed():
        try:
            h.block_status(min(h.get_size(), 1 << 30), 0, lambda *status: 0)
        except nbd.Error as error:
            print(error)
            return True
        return False
    assert not failed()
    print("ready", flush=True)
    end = time.monotonic() + 30
    while not failed():
        assert time.monotonic() < end
        time.sleep(0.05)
    print("lost", flush=True)
    while not os.path.exists(file):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert failed()
    assert len(h.pread(4096, 0)) == 4096


what, *words = sys.argv[1:]
{"history": lambda: history(int(words[0]), int(words[1]), int(words[2])),
 "pairs": lambda: pairs(*words), "lost": lambda: lost(*words)}[what]()
