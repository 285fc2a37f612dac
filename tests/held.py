# SPDX-License-Identifier: BSD-3-Clause
"""Memory that makes whoever touches it wait."""
import ctypes
import fcntl
import mmap
import os
import select
import struct

import pytest

import support


class HeldPage:
    """A page of this process that is never there: the kernel waits when it
    copies to it. Skips the test where that takes rights we lack."""

    SYS_USERFAULTFD = 323
    UFFDIO_API, UFFDIO_REGISTER = 0xC018AA3F, 0xC020AA00

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.syscall(self.SYS_USERFAULTFD, os.O_CLOEXEC |
                               os.O_NONBLOCK)
        if self.fd < 0:
            pytest.skip("userfaultfd: " + os.strerror(ctypes.get_errno()))
        self.map = mmap.mmap(-1, mmap.PAGESIZE)
        self.addr = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        fcntl.ioctl(self.fd, self.UFFDIO_API, struct.pack("=3Q", 0xAA, 0, 0))
        fcntl.ioctl(self.fd, self.UFFDIO_REGISTER, struct.pack(
            "=4Q", self.addr, mmap.PAGESIZE, 1, 0))
        self.touched = 0

    def wait_touched(self, n):
        """Until @n accesses wait for the page."""
        while self.touched < n:
            assert select.select([self.fd], [], [], support.deadline(10))[0]
            self.touched += len(os.read(self.fd, 32)) // 32

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)  # who waits for the page gets an ordinary one
