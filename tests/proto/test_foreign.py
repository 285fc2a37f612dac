# SPDX-License-Identifier: BSD-3-Clause
"""Descriptors of files whose close(), stat() or read() waits for somebody:
wherever a program puts one, only that program waits."""
import errno
import os
import signal
import socket
import struct
import threading

import pytest

import proto
import support
from device import Device
from slow_fs import SlowFs

THREADS = 8             # front/ipc/server.h: SERVER_THREADS
CROWD = 4096 // 2       # front/ipc/discard.c: half of SHARE_CLOSING
NUMBER = 7              # what the program calls the descriptor
MEM_FD, VMAS = 1, 2
SET_CONTAINER, SET_IRQS, MAP_DMA, FEATURE, HOT_RESET, IOEVENTFD = \
    104, 110, 113, 117, 113, 116


class Lingering:
    """Sockets whose last close() waits for an hour, or for the end."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)

    def open(self):
        s = socket.create_connection(self.listener.getsockname())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                     struct.pack("=ii", 1, 3600))
        s.setblocking(False)
        try:
            while True:
                s.send(bytes(65536))
        except BlockingIOError:
            s.setblocking(True)
            return s.detach()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()  # a reset, which ends the lingering


class Wrapped(Lingering):
    """The same, in the queue of a unix socket that is sent instead."""

    def open(self):
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fd = super().open()
        with mine:
            proto.send_with_fds(mine, b"", [fd])
        os.close(fd)
        return theirs.detach()


KINDS = {"lingering": Lingering, "wrapped": Wrapped, "slow file": SlowFs}


def as_argument(f, nr, arg, fd):
    proto.ioctl(f, nr, arg, fds=[fd], fdrefs=[(NUMBER, 0)])


def as_eventfd(dev, fd):
    for index in (0, 2, 4):
        as_argument(dev.file, SET_IRQS, struct.pack(
            "=5Ii", 24, 0x24, index, 0, 1, NUMBER), fd)


def as_ioeventfd(dev, fd):
    as_argument(dev.file, IOEVENTFD, struct.pack(
        "=IIQQi", 40, 4, 0, 0, NUMBER) + bytes(12), fd)


def as_wakeup(dev, fd):
    as_argument(dev.file, FEATURE, struct.pack(
        "=IIii", 16, 1 << 17 | 4, NUMBER, 0), fd)


def as_group(dev, fd):
    as_argument(dev.file, HOT_RESET, struct.pack(
        "=IIIi", 16, 0, 1, NUMBER), fd)


def as_memory(dev, fd):
    arg = struct.pack("=IIQQQ", 32, 3, 0x10000, 0, 4096)
    vma = (0x10000, 0x11000, 0, 1, 2, 3, 1, 0)
    proto.ioctl(dev.container, MAP_DMA, arg, vmas=[vma], fds=[fd], flags=VMAS)
    vma = (0x10000, 0x11000, 0, 0, 0, 3, 0, -1)
    proto.ioctl(dev.container, MAP_DMA, arg, vmas=[vma], fds=[fd],
                mm=(os.getpid(), 99), flags=VMAS | MEM_FD)


def as_part(dev, fd):
    with proto.Channel() as c:
        assert c.keep(dev.file, proto.CHANNEL)
        c.part(b"", [fd])
        c.send(dev.file, proto.FSTAT, parts=1)


def left_in_a_channel(dev, fd):
    with proto.Channel() as c:
        assert c.keep(dev.file, proto.CHANNEL)
        c.part(b"", [fd])


def at_the_door(daemon, fd):
    for raw in (b"junk", proto.request(proto.STAT, (),
                                       [proto.text("/dev/vfio/vfio")])):
        with proto.door(daemon.dir) as d:
            for _ in range(2):  # the second may still lie there at the end
                try:
                    proto.send_with_fds(d, raw, [fd])
                except (BrokenPipeError, ConnectionResetError):
                    pass


WAYS = {
    "container": lambda d, dev, fd: as_argument(
        dev.group, SET_CONTAINER, struct.pack("=i", NUMBER), fd),
    "eventfd": lambda d, dev, fd: as_eventfd(dev, fd),
    "ioeventfd": lambda d, dev, fd: as_ioeventfd(dev, fd),
    "wakeup": lambda d, dev, fd: as_wakeup(dev, fd),
    "group": lambda d, dev, fd: as_group(dev, fd),
    "memory": lambda d, dev, fd: as_memory(dev, fd),
    "part": lambda d, dev, fd: as_part(dev, fd),
    "left in a channel": lambda d, dev, fd: left_in_a_channel(dev, fd),
    "door": lambda d, dev, fd: at_the_door(d, fd),
    "surplus": lambda d, dev, fd: proto.ioctl(dev.file, 108, b"", fds=[fd]),
    "junk": lambda d, dev, fd: proto.send_with_fds(dev.file, b"junk", [fd]),
    "reply socket": lambda d, dev, fd: proto.send_with_fds(
        dev.file, proto.request(proto.FSTAT), [fd]),
}


@pytest.fixture(scope="module")
def daemon():
    me = support.User("self")
    d = support.Serve(me, "edu", "edu")
    yield d
    d.stop()
    me.done()


def use_the_other_function(daemon):
    other = Device(daemon, "0000:02:00.0", 2)
    assert other.read(0, 4) == b"\xed\0\0\1"
    other.close()


class Another:
    """A program that was there before: what is forked later has the same
    descriptors, and waits when it ends."""

    def __init__(self, daemon):
        self.sock, far = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.sock.close()
                while far.recv(1):
                    use_the_other_function(daemon)
                    far.send(b"y")
            finally:
                os._exit(0)
        far.close()
        self.sock.settimeout(support.deadline(20))

    def works(self):
        self.sock.send(b"x")
        return self.sock.recv(1) == b"y"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        os.waitpid(self.pid, 0)


def close(fd):
    try:
        os.close(fd)
    except OSError:
        pass  # what the file's server would have said


def close_soon(fd):
    """It may be us who wait, if the daemon was first."""
    t = threading.Thread(target=close, args=(fd,))
    t.start()
    return t


def group_is_free(daemon):
    r, f = proto.open_path(daemon.dir, "/dev/vfio/1")
    if f:
        f.close()
    return r == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_what_does_not_close_holds_up_nobody(daemon, kind, way):
    """More of them than the daemon has threads."""
    before = daemon.fds()
    closing = []
    with Another(daemon) as another, KINDS[kind]() as source:
        dev = Device(daemon)
        for _ in range(THREADS + 2):
            fd = source.open()
            WAYS[way](daemon, dev, fd)
            closing.append(close_soon(fd))
        assert another.works()
        dev.close()
        support.wait_for(lambda: group_is_free(daemon), "the group")
    for t in closing:
        t.join()
    support.wait_for(lambda: daemon.fds() <= before, "the descriptors")


def named_mem(directory):
    """Files that might be taken for a process's memory."""
    path = directory / "1"
    path.mkdir()
    path = path / "mem"
    path.write_bytes(bytes(1 << 17))
    return {
        "a file of that name": os.open(path, os.O_RDWR),
        "a directory of that name": os.open(path.parent, os.O_RDONLY),
        "no memory but the map": os.open("/proc/self/maps", os.O_RDONLY),
        "a memory file": os.memfd_create("/proc/self/mem"),
        "null": os.open("/dev/null", os.O_RDWR),
        "zeroes": os.open("/dev/zero", os.O_RDWR),
        "a pipe": os.pipe()[1],
    }


def map_private(dev, fd, iova, mm):
    """MAP_DMA of what the descriptor says it is the memory of."""
    arg = struct.pack("=IIQQQ", 32, 3, 0x10000, iova, 4096)
    return proto.ioctl(dev.container, MAP_DMA, arg, mm=mm, fds=[fd],
                       vmas=[(0x10000, 0x11000, 0, 0, 0, 3, 0, -1)],
                       flags=VMAS | MEM_FD).result


def test_only_a_process_has_memory_that_is_private(daemon, tmp_path):
    dev = Device(daemon)
    for n, (name, fd) in enumerate(named_mem(tmp_path).items()):
        assert map_private(dev, fd, 0, (n + 1, 5)) == -errno.EFAULT, name
        os.close(fd)
    for n, path in enumerate(("self", "thread-self", str(os.getpid()))):
        fd = os.open(f"/proc/{path}/mem", os.O_RDWR)
        assert map_private(dev, fd, n << 12, (n + 1, 6)) == 0
        os.close(fd)
    dev.close()


def test_a_bar_is_a_bar_whatever_a_program_calls_it(daemon):
    """As memory for DMA it follows decode, and not the file behind it."""
    dev = Device(daemon)
    fd = dev.mmap(0, 4096)
    arg = struct.pack("=IIQQQ", 32, 3, 0x10000, 0, 4096)
    vma = [(0x10000, 0x11000, 0, 1, 2, 3, 1, 0)]

    def map_it():
        return proto.ioctl(dev.container, MAP_DMA, arg, vmas=vma, fds=[fd],
                           flags=VMAS).result

    assert dev.write(7 << 40 | 4, b"\0\0") == 2
    assert map_it() < 0
    assert dev.write(7 << 40 | 4, b"\6\0") == 2
    assert map_it() == 0
    os.close(fd)
    dev.close()


def crowd(dev, daemon, source):
    """One that does not close, and behind it what does not get its turn."""
    fd = source.open()
    os.kill(daemon.pid, signal.SIGSTOP)
    proto.send_with_fds(dev.file, b"junk", [fd])
    os.close(fd)  # so that the daemon's is the last
    os.kill(daemon.pid, signal.SIGCONT)
    with open("/dev/null", "rb") as null:
        for _ in range(CROWD // 100 + 100):
            proto.send_with_fds(dev.file, b"junk", [null.fileno()] * 100)


def test_who_sends_too_many_of_them_is_heard_no_more_for_now(daemon):
    before = daemon.fds()
    with Another(daemon) as another, Lingering() as source:
        dev = Device(daemon)
        crowd(dev, daemon, source)
        assert proto.call(dev.file, proto.FSTAT) is None
        assert daemon.fds() < before + CROWD + 1000
        assert another.works()
    support.wait_for(lambda: proto.call(dev.file, proto.FSTAT), "an answer")
    dev.close()
    support.wait_for(lambda: daemon.fds() <= before, "the descriptors")


def one_more(daemon):
    """A file; None: that, or the connection to ask for it, is one too many."""
    try:
        r, f = proto.open_path(daemon.dir, "/dev/vfio/vfio")
    except ConnectionResetError:
        return None
    return f if r >= 0 else None


def test_nor_does_he_use_up_the_few_that_a_host_gives(me):
    """Whatever else he holds."""
    daemon = support.Serve(me, "edu", "edu", before=[
        "sh", "-c", 'ulimit -n 1024; exec "$@"', "sh"])
    files = []
    with Another(daemon) as another, Lingering() as source:
        dev = Device(daemon)
        while len(files) < 500 and (f := one_more(daemon)):
            files.append(f)
        assert not f
        files.pop().close()
        crowd(dev, daemon, source)
        assert proto.call(dev.file, proto.FSTAT) is None
        assert daemon.fds() < 1000
        assert another.works()
    for f in files:
        f.close()
    dev.close()
    daemon.stop()
