# SPDX-License-Identifier: BSD-3-Clause
"""lib/proto.h in Python: a peer that need not be well-behaved."""
import array
import os
import socket
import struct

MAGIC = 0x4F465653
REPLY_MAGIC = 0x52465653
(OPEN, STAT, FAULT, ACCESS, CONTROL, FSTAT, IOCTL, READ, WRITE, MMAP,
 CHANNEL, KNOWN) = range(1, 13)
DONE, NEED = 1, 2
NEED_BYTES, NEED_FDS, NEED_VMAS, NEED_MM = range(1, 5)
MSG_MAX = 128 << 10
REQ_KEEP = 4
REPLY_KEPT = 4

REQUEST = struct.Struct("=IHHQ4Q2QQIIII")
SEG = struct.Struct("=QII")
FDREF = struct.Struct("=ii")
VMA = struct.Struct("=QQQQQIHh")
REPLY = struct.Struct("=IHHQqII")
PART = struct.Struct("=IIQ")
assert REQUEST.size == 88 and REPLY.size == 32 and VMA.size == 48


def request(op, args=(), segs=(), fdrefs=(), vmas=(), flags=0, seq=1,
            parts=0, magic=MAGIC, mm=(0, 0), channel=0):
    args = tuple(args) + (0,) * (4 - len(args))
    head = REQUEST.pack(magic, op, parts, seq, *args, *mm, channel, flags,
                        len(segs), len(fdrefs), len(vmas))
    tables = b"".join(SEG.pack(addr, want, len(data))
                      for addr, want, data in segs)
    tables += b"".join(FDREF.pack(*f) for f in fdrefs)
    tables += b"".join(VMA.pack(*v) for v in vmas)
    return head + tables + b"".join(data for _, _, data in segs)


def link_target(path):
    """"" of a descriptor that has been closed since it was listed."""
    try:
        return os.readlink(path)
    except FileNotFoundError:
        return ""


def bar_id(pid, bdf, bar):
    """A segment that says which BAR, as fstat() would of its memfd."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        if link_target(path).split(" ")[0].endswith(f":{bdf}:{bar}"):
            st = os.stat(path)
            return (0, 16, struct.pack("=QQ", st.st_dev, st.st_ino))
    raise LookupError(f"{bdf} has no BAR{bar}")


def text(s):
    b = s.encode()
    return (0, len(b), b)


class Reply:
    def __init__(self, data, fds):
        (self.magic, self.kind, self.n, self.seq, self.result, self.flags,
         self.n_fds) = REPLY.unpack_from(data)
        self.data = data[REPLY.size:]
        self.fds = fds
        assert self.magic == REPLY_MAGIC


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


def send_with_fds(file, data, fds):
    rights = array.array("i", fds)
    file.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
                 if fds else [])


class Channel:
    """A channel, once the daemon has been asked for it."""

    def __init__(self, mm=None, name=None):
        self.mm = mm or struct.unpack("=2Q", os.urandom(16))
        self.name = name or struct.unpack("=Q", os.urandom(8))[0]
        self.sock = None
        self.seq = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def keep(self, file, op, args=(), **kw):
        """Make a request that asks for it; True when it came."""
        r = call(file, op, args, flags=REQ_KEEP, mm=self.mm,
                 channel=self.name, seq=self.seq, **kw)
        assert r.seq == self.seq and r.n_fds == len(r.fds)
        if not r.flags & REPLY_KEPT:
            return False
        self.sock = socket.socket(fileno=r.fds.pop())
        return True

    def send(self, file, op, args=(), fds=(), **kw):
        self.seq += 1
        send_with_fds(file, request(op, args, mm=self.mm, channel=self.name,
                                    seq=self.seq, **kw), fds)

    def call(self, file, op, args=(), fds=(), **kw):
        self.send(file, op, args, fds, **kw)
        return receive(self.sock)

    def part(self, data, fds=(), seq=None):
        """A continuation part of the next request."""
        head = PART.pack(MAGIC, len(data),
                         self.seq + 1 if seq is None else seq)
        send_with_fds(self.sock, head + data, fds)


VFIO = ord(";") << 8


def ioctl(file, nr, arg=b"", addr=0x1000, fds=(), fdrefs=(), **kw):
    """An ioctl whose argument is the bytes @arg at address @addr."""
    segs = [(addr, max(256, len(arg)), arg + bytes(256 - len(arg)))] \
        if isinstance(arg, bytes) else []
    value = addr if isinstance(arg, bytes) else arg
    return call(file, IOCTL, (VFIO | nr, value), segs=segs, fds=fds,
                fdrefs=fdrefs, **kw)
