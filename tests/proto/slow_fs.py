# SPDX-License-Identifier: BSD-3-Clause
"""A file system whose server opens files and then answers nothing."""
import ctypes
import os
import select
import struct
import tempfile

import pytest

LOOKUP, GETATTR, OPEN, INIT, OPENDIR = 1, 3, 14, 26, 27
ROOT, FILE = 1, 2
MNT_DETACH = 2
HEAD_IN = struct.Struct("=IIQQIIII")
HEAD_OUT = struct.Struct("=IiQ")


def attr(node):
    mode, size = (0o040755, 0) if node == ROOT else (0o100666, 4096)
    return struct.pack("=6Q10I", node, size, 8, 0, 0, 0, 0, 0, 0, mode, 1,
                       0, 0, 0, 4096, 0)


def answer(op, node):
    """What comes back, or None: nothing ever."""
    if op == INIT:
        return struct.pack("=IIIIHHIIHHI7I", 7, 31, 0, 0, 12, 9, 1 << 16, 1,
                           0, 0, 0, *[0] * 7)
    if op == LOOKUP:
        return struct.pack("=4Q2I", FILE, 1, 3600, 3600, 0, 0) + attr(FILE)
    if op == GETATTR and node == ROOT:
        return struct.pack("=Q2I", 3600, 0, 0) + attr(ROOT)
    if op in (OPEN, OPENDIR):
        return struct.pack("=QII", 7, 0, 0)
    return None


def serve(dev):
    while True:
        data = os.read(dev, 1 << 18)
        _, op, unique, node, *_ = HEAD_IN.unpack_from(data)
        body = answer(op, node)
        if body is not None:
            os.write(dev, HEAD_OUT.pack(HEAD_OUT.size + len(body), 0, unique)
                     + body)


class SlowFs:
    """Mounted while inside; skips the test where that takes rights we lack.
    Who waits for the server gets an error at the end."""

    def __init__(self):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.dir = tempfile.mkdtemp(prefix="softvfio-slow-")
        try:
            dev = os.open("/dev/fuse", os.O_RDWR)
        except OSError as e:
            os.rmdir(self.dir)
            pytest.skip(f"/dev/fuse: {e.strerror}")
        self.mount(dev)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                serve(dev)
            finally:
                os._exit(0)
        os.close(dev)

    def mount(self, dev):
        options = f"fd={dev},rootmode=40000,user_id=0,group_id=0,allow_other"
        if self.libc.mount(b"softvfio-slow", self.dir.encode(), b"fuse", 0,
                           options.encode()) < 0:
            os.close(dev)
            os.rmdir(self.dir)
            pytest.skip("mount: " + os.strerror(ctypes.get_errno()))

    def open(self, name="file"):
        return os.open(f"{self.dir}/{name}", os.O_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pidfd = os.pidfd_open(self.pid)
        os.kill(self.pid, 9)
        select.select([pidfd], [], [])
        os.waitpid(self.pid, 0)
        os.close(pidfd)
        self.libc.umount2(self.dir.encode(), MNT_DETACH)
        os.rmdir(self.dir)
