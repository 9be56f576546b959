"""virt-thin - a client that notes what was acknowledged as flushed, and finds it again
SPDX-License-Identifier: LGPL-2.1-or-later

flush-log.py write FILE LOG SECONDS [COMMAND]   write random blocks, fsync, log; COMMAND runs every
                                                0.5 s; ends at the first I/O error with status 3
flush-log.py check FILE LOG                     every block holds what was logged of it last, or
                                                what was written after that and not yet logged
"""
import mmap, os, random, struct, subprocess, sys, time

BLOCK = 4096
RECORD = struct.Struct("<cQQ")  # 'w' about to be written, 'f' flushed; block, stamp


def content(block, stamp):
    return struct.pack("<QQ", block, stamp) * (BLOCK // 16)


def write(path, log_path, seconds, command=None):
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    blocks = os.lseek(fd, 0, os.SEEK_END) // BLOCK
    buf = mmap.mmap(-1, BLOCK)
    stamp = time.time_ns()
    end, due = time.time() + float(seconds), time.time() + 0.5
    while time.time() < end:
        batch = []
        for _ in range(random.randint(1, 8)):
            stamp += 1
            batch.append((random.randrange(blocks), stamp))
        os.write(log, b"".join(RECORD.pack(b"w", *entry) for entry in batch))
        try:
            for block, value in batch:
                buf[:] = content(block, value)
                os.pwritev(fd, [buf], block * BLOCK)
            os.fsync(fd)
        except OSError as e:
            print(f"I/O error: {e}", file=sys.stderr)
            os._exit(3)
        os.write(log, b"".join(RECORD.pack(b"f", *entry) for entry in batch))
        if command and time.time() > due:
            subprocess.run(command, shell=True, check=True)
            due = time.time() + 0.5


def check(path, log_path):
    fd = os.open(path, os.O_RDONLY)
    with open(log_path, "rb") as f:
        log = f.read()
    allowed = {}  # block -> stamps that may be there
    for kind, block, stamp in RECORD.iter_unpack(log[: len(log) // RECORD.size * RECORD.size]):
        if kind == b"w":
            allowed.setdefault(block, {0}).add(stamp)
        else:  # what was written before this flush may not come back
            allowed[block] = {s for s in allowed[block] if s >= stamp}
    wrong = 0
    for block, stamps in allowed.items():
        data = os.pread(fd, BLOCK, block * BLOCK)
        first, stamp = struct.unpack("<QQ", data[:16])
        if data == bytes(BLOCK):
            stamp, first = 0, block
        if 0 in stamps:  # never flushed: anything that is no half block of ours
            continue
        if first != block or stamp not in stamps or data != content(block, stamp):
            wrong += 1
            print(f"block {block}: holds {first}/{stamp}, wanted one of {sorted(stamps)}",
                  file=sys.stderr)
    print(f"{len(allowed)} blocks, {wrong} wrong")
    sys.exit(1 if wrong or not allowed else 0)


{"write": write, "check": check}[sys.argv[1]](*sys.argv[2:])
