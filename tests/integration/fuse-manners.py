"""virt-thin - one behaviour of a volume's file in the FUSE folder, checked
SPDX-License-Identifier: LGPL-2.1-or-later

fuse-manners.py CHECK FILE [ARGUMENT]
"""
import ctypes, errno, mmap, os, stat, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
KEEP, PUNCH, ZERO = 1, 2, 0x10
MIB = 1 << 20


def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, offset, length) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def fails(code, function, *args):
    try:
        function(*args)
    except OSError as e:
        assert e.errno == code, f"{errno.errorcode[e.errno]}, expected {errno.errorcode[code]}"
    else:
        raise AssertionError(f"succeeded, expected {errno.errorcode[code]}")


def opened(path, flags=os.O_RDWR):
    return os.open(path, flags)


def pattern(length, seed=1):
    return bytes((i * 7 + seed) & 0xff for i in range(256)) * (length // 256)


def check_direct(path, _):
    fd = opened(path, os.O_RDWR | os.O_DIRECT)
    buf = mmap.mmap(-1, 2 * MIB)
    buf.write(pattern(2 * MIB))
    assert os.pwritev(fd, [buf], 3 * MIB) == 2 * MIB
    back = mmap.mmap(-1, 2 * MIB)
    assert os.preadv(fd, [back], 3 * MIB) == 2 * MIB
    assert back[:] == buf[:]


def check_buffered(path, _):
    fd = opened(path)
    os.pwrite(fd, b"odd", 4097)
    assert os.pread(fd, 5, 4096) == b"\0odd\0"


def check_coherent_opens(path, _):
    a, b = opened(path), opened(path, os.O_RDONLY)
    for i in range(10):
        os.pwrite(a, b"%d" % i, 8192)
        assert os.pread(b, 1, 8192) == b"%d" % i


def check_sync(path, _):
    fd = opened(path)
    os.pwrite(fd, b"x", 0)
    os.fsync(fd)
    os.fdatasync(fd)
    fd = opened(path, os.O_RDWR | os.O_DSYNC)
    os.pwrite(fd, b"y", 0)


def check_end(path, _):
    fd = opened(path)
    size = os.fstat(fd).st_size
    assert os.lseek(fd, 0, os.SEEK_END) == size
    assert os.pread(fd, 10, size) == b""
    assert len(os.pread(fd, 1000, size - 10)) == 10
    fails(errno.ENOSPC, os.pwrite, fd, b"x", size)
    assert os.pwrite(fd, b"x" * 20, size - 10) == 10
    assert os.fstat(fd).st_size == size
    os.pwrite(fd, bytes(10), size - 10)


def check_punch(path, _):
    fd = opened(path)
    os.pwrite(fd, pattern(MIB), 8 * MIB)
    fallocate(fd, PUNCH | KEEP, 8 * MIB + 100, 300000)
    want = bytearray(pattern(MIB))
    want[100:300100] = bytes(300000)
    assert os.pread(fd, MIB, 8 * MIB) == want


def check_zero_range(path, _):
    fd = opened(path)
    for mode in ZERO, ZERO | KEEP:
        os.pwrite(fd, pattern(MIB), 8 * MIB)
        fallocate(fd, mode, 8 * MIB + 4096, 70000)
        want = bytearray(pattern(MIB))
        want[4096:74096] = bytes(70000)
        assert os.pread(fd, MIB, 8 * MIB) == want


def check_allocate(path, _):
    fd = opened(path)
    size = os.fstat(fd).st_size
    os.pwrite(fd, b"data", 0)
    fallocate(fd, 0, 0, size)
    os.posix_fallocate(fd, 0, size)
    assert os.pread(fd, 4, 0) == b"data"
    fails(errno.ENOSPC, fallocate, fd, 0, 0, size + 1)
    fails(errno.EOPNOTSUPP, fallocate, fd, 0x08, 0, MIB)  # collapse


def check_holes(path, _):
    fd = opened(path)
    size = os.fstat(fd).st_size
    fallocate(fd, PUNCH | KEEP, 0, size)
    fails(errno.ENXIO, os.lseek, fd, 0, os.SEEK_DATA)
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    os.pwrite(fd, b"x", 16 * MIB)
    data = os.lseek(fd, 0, os.SEEK_DATA)
    hole = os.lseek(fd, data, os.SEEK_HOLE)
    assert data <= 16 * MIB < hole and hole - data <= MIB, (data, hole)
    fails(errno.ENXIO, os.lseek, fd, hole, os.SEEK_DATA)
    fails(errno.ENXIO, os.lseek, fd, size, os.SEEK_HOLE)
    assert os.lseek(fd, size - 1, os.SEEK_HOLE) == size - 1


def check_o_trunc(path, _):
    size = os.stat(path).st_size
    fd = opened(path)
    os.pwrite(fd, b"kept", 0)
    other = opened(path, os.O_RDWR | os.O_TRUNC)
    assert os.fstat(other).st_size == os.fstat(fd).st_size == size
    assert os.pread(other, 4, 0) == b"kept"
    again = opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    assert os.fstat(again).st_size == size


def check_truncate(path, _):
    fd = opened(path)
    size = os.fstat(fd).st_size
    os.ftruncate(fd, size)
    fails(errno.EPERM, os.ftruncate, fd, size - 1)
    fails(errno.EPERM, os.ftruncate, fd, 0)
    fails(errno.EPERM, os.truncate, path, MIB)
    fails(errno.ENOSPC, os.ftruncate, fd, size + 1)
    assert os.stat(path).st_size == size


def check_folder(path, _):
    folder = os.path.dirname(path)
    new = os.path.join(folder, "new")
    fails(errno.EPERM, opened, new, os.O_RDWR | os.O_CREAT)
    fails(errno.EPERM, os.unlink, path)
    fails(errno.EPERM, os.rename, path, new)
    fails(errno.EPERM, os.mkdir, new)
    fails(errno.EPERM, os.symlink, "x", new)
    fails(errno.EPERM, os.link, path, new)
    fails(errno.EPERM, os.mknod, new)
    fails(errno.ENOENT, os.stat, new)
    fails(errno.EPERM, os.chmod, folder, 0o777)


def check_owner(path, _):
    os.chown(path, 1234, 5678)
    os.chmod(path, 0o640)
    st = os.stat(path)
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 5678, 0o640)
    os.utime(path)


def check_has_owner(path, _):
    st = os.stat(path)
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (1234, 5678, 0o640)


def check_read_only(path, _):
    st = os.stat(path)
    assert stat.S_IMODE(st.st_mode) == 0o440, oct(st.st_mode)
    fails(errno.EROFS, opened, path, os.O_RDWR)
    fails(errno.EROFS, opened, path, os.O_WRONLY)
    assert len(os.pread(opened(path, os.O_RDONLY), 100, 0)) == 100


def check_mmap(path, _):
    fd = opened(path)
    os.pwrite(fd, b"mapped", 0)
    view = mmap.mmap(fd, MIB, mmap.MAP_PRIVATE, mmap.PROT_READ)
    assert view[:6] == b"mapped"


def check_list(path, count):
    names = os.listdir(path)
    assert len(names) == len(set(names)) == int(count), len(names)
    with os.scandir(path) as entries:
        entry = next(entries)
        assert entry.is_file() and entry.stat().st_ino == entry.inode()


def check_space(path, _):
    st = os.statvfs(path)
    assert st.f_bsize == 65536 and 0 < st.f_bavail <= st.f_blocks, st


def check_size(path, size):
    fd = opened(path, os.O_RDONLY)
    assert os.stat(path).st_size == os.lseek(fd, 0, os.SEEK_END) == int(size), os.stat(path).st_size


globals()["check_" + sys.argv[1]](sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
