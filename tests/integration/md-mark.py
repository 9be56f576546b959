#!/usr/bin/env python3
# virt-thin - write the superblock that makes a file or device a leg of an md mirror, as mdadm
# --create leaves it
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# usage: md-mark.py PATH 0.90|1.0|1.1|1.2
# Layouts: Linux include/uapi/linux/raid/md_p.h (struct mdp_superblock_s, struct mdp_superblock_1),
# places and sums: drivers/md/md.c (super_90_load(), super_1_load()). mdadm --examine PATH agrees.
import os
import struct
import sys

path, version = sys.argv[1:]
MAGIC = 0xa92b4efc
with open(path, "r+b") as file:
    sectors = file.seek(0, os.SEEK_END) // 512
    uuid = bytes(range(1, 17))
    if version == "0.90":
        where = (sectors & ~127) - 128
        words = [0] * 1024
        u = struct.unpack("<4I", uuid)
        words[0:15] = [MAGIC, 0, 90, 0, 0, u[0], 1700000000, 1, where // 2, 2, 2, 0, 0, *u[1:3]]
        words[15] = u[3]
        words[32:40] = [1700000000, 1, 2, 2, 0, 0, 0, 1]
        for disk in range(2):
            words[128 + 32 * disk:133 + 32 * disk] = [disk, 7, disk, disk, 6]
        words[992:997] = [0, 7, 0, 0, 6]
        words[38] = 0
        total = sum(words)
        words[38] = (total & 0xffffffff) + (total >> 32) & 0xffffffff
        data = struct.pack("<1024I", *words)
    else:
        where = {"1.0": (sectors - 16) & ~7, "1.1": 0, "1.2": 8}[version]
        start = 0 if version == "1.0" else 2048
        data = struct.pack("<IIII16s32sQIIQIIQ", MAGIC, 1, 0, 0, uuid, b"vm:0", 1700000000, 1, 0,
                           (where if version == "1.0" else sectors - start), 0, 2, 0)
        data = data.ljust(128, b"\0") + struct.pack(
            "<QQQQII16sB", start, sectors - start, where, 0, 0, 0, uuid, 0)
        data = data.ljust(192, b"\0") + struct.pack(
            "<QQQIIIB", 1700000000, 1, 2**64 - 1, 0, 128, 0, 0)
        data = data.ljust(256, b"\0") + struct.pack("<HH", 0, 1) + b"\xff" * 252
        total = sum(struct.unpack("<%dI" % (len(data) // 4), data))
        total = (total & 0xffffffff) + (total >> 32) & 0xffffffff
        data = data[:216] + struct.pack("<I", total) + data[220:]
    file.seek(where * 512)
    file.write(data)
