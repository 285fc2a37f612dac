# SPDX-License-Identifier: BSD-3-Clause
"""lib/proto.h in Python: a peer that need not be well-behaved."""
import array
import os
import socket
import struct

MAGIC = 0x4F465653
OPEN, STAT, FAULT, ACCESS, CONTROL, FSTAT, IOCTL, READ, WRITE, MMAP = range(1, 11)
DONE, NEED = 1, 2
NEED_BYTES, NEED_FDS, NEED_VMAS, NEED_MM = range(1, 5)
MSG_MAX = 128 << 10

REQUEST = struct.Struct("=IHHQ4Q2QIIII")
SEG = struct.Struct("=QII")
FDREF = struct.Struct("=ii")
VMA = struct.Struct("=QQQQQIHh")
REPLY = struct.Struct("=IHHQqII")
PART = struct.Struct("=IIQ")
assert REQUEST.size == 80 and REPLY.size == 32 and VMA.size == 48


def request(op, args=(), segs=(), fdrefs=(), vmas=(), flags=0, seq=1,
            parts=0, magic=MAGIC, mm=(0, 0)):
    args = tuple(args) + (0,) * (4 - len(args))
    head = REQUEST.pack(magic, op, parts, seq, *args, *mm, flags, len(segs),
                        len(fdrefs), len(vmas))
    tables = b"".join(SEG.pack(addr, want, len(data))
                      for addr, want, data in segs)
    tables += b"".join(FDREF.pack(*f) for f in fdrefs)
    tables += b"".join(VMA.pack(*v) for v in vmas)
    return head + tables + b"".join(data for _, _, data in segs)


def text(s):
    b = s.encode()
    return (0, len(b), b)


class Reply:
    def __init__(self, data, fds):
        (self.magic, self.kind, self.n, self.seq, self.result, self.flags,
         _) = REPLY.unpack_from(data)
        self.data = data[REPLY.size:]
        self.fds = fds
        assert self.magic == MAGIC


def receive(sock, timeout=10):
    """A Reply, or None at the end."""
    sock.settimeout(timeout)
    data, anc, _, _ = sock.recvmsg(MSG_MAX, socket.CMSG_SPACE(64))
    fds = array.array("i")
    for level, kind, d in anc:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(d[:len(d) - len(d) % fds.itemsize])
    return Reply(data, list(fds)) if data else None


def door(directory):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(str(directory / "door"))
    return s


def open_path(directory, path):
    """(result, socket or None) of SV_OPEN."""
    with door(directory) as d:
        d.send(request(OPEN, (os.O_RDWR,), [text(path)]))
        r = receive(d)
    if r.result < 0:
        return r.result, None
    return 0, socket.socket(fileno=r.fds[0])


def call(file, op, args=(), fds=(), **kw):
    """One request on a file; the Reply, or None when it was dropped."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with mine:
        with theirs:
            rights = array.array("i", [theirs.fileno(), *fds])
            file.sendmsg([request(op, args, **kw)],
                         [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        return receive(mine)


VFIO = ord(";") << 8


def ioctl(file, nr, arg=b"", addr=0x1000, fds=(), fdrefs=(), **kw):
    """An ioctl whose argument is the bytes @arg at address @addr."""
    segs = [(addr, max(256, len(arg)), arg + bytes(256 - len(arg)))] \
        if isinstance(arg, bytes) else []
    value = addr if isinstance(arg, bytes) else arg
    return call(file, IOCTL, (VFIO | nr, value), segs=segs, fds=fds,
                fdrefs=fdrefs, **kw)
