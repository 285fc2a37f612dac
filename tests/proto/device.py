# SPDX-License-Identifier: BSD-3-Clause
"""A function of the daemon's, opened by the protocol alone."""
import mmap
import socket
import struct

import proto


class Device:
    """Group, container and device file of one function."""

    def __init__(self, daemon, bdf="0000:01:00.0", group=1):
        r, self.container = proto.open_path(daemon.dir, "/dev/vfio/vfio")
        assert r == 0
        r, self.group = proto.open_path(daemon.dir, f"/dev/vfio/{group}")
        assert r == 0
        assert proto.ioctl(self.group, 104, struct.pack("=i", 7),
                           fds=[self.container.fileno()],
                           fdrefs=[(7, 0)]).result == 0
        assert proto.ioctl(self.container, 102, 1).result == 0
        r = proto.ioctl(self.group, 106, bdf.encode() + b"\0")
        assert len(r.fds) == 1
        self.file = socket.socket(fileno=r.fds[0])

    def write(self, pos, data):
        return proto.call(self.file, proto.WRITE, (pos,),
                          segs=[(0, len(data), data)]).result

    def read(self, pos, count):
        r = proto.call(self.file, proto.READ, (pos, count))
        return r.data[:r.result] if r.result >= 0 else r.result

    def mmap(self, bar, length):
        """The descriptor to map the BAR with."""
        r = proto.call(self.file, proto.MMAP,
                       (bar << 40, length, 3, mmap.MAP_SHARED))
        assert r.result == 0
        return r.fds[0]

    def close(self):
        for s in (self.file, self.group, self.container):
            s.close()
