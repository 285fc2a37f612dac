# SPDX-License-Identifier: BSD-3-Clause
"""Pairs the daemon makes and keeps an end of: what works, and what a peer
cannot do."""
import array
import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import threading

import pytest

import held
import proto
import support
from device import Device
from proto import Channel

IOCTL, VERSION = proto.IOCTL, (proto.VFIO | 100, 0)
PER_PID, IN_ALL = 16, 1024   # core/common/share.c
SERVER_THREADS = 8           # front/ipc/server.h


def pipes(daemon):
    """Of which one tells that the daemon is up, and is closed after that."""
    directory = f"/proc/{daemon.pid}/fd/"
    try:
        return sum(os.readlink(directory + fd).startswith("pipe:")
                   for fd in os.listdir(directory))
    except FileNotFoundError:
        return -1  # it was just closed


@pytest.fixture
def daemon(serve):
    d = serve("edu")
    support.wait_for(lambda: pipes(d) == 2, "standard error and lifeline")
    d.before = d.fds() + 1  # with the file
    return d


@pytest.fixture
def file(daemon):
    r, f = proto.open_path(daemon.dir, "/dev/vfio/vfio")
    assert r == 0
    with f:
        yield f


def kept(file):
    c = Channel()
    assert c.keep(file, IOCTL, VERSION)
    return c


def settled(daemon, more=0):
    support.wait_for(lambda: daemon.fds() == daemon.before + more,
                     "the daemon's descriptors")


def alive(file):
    assert proto.ioctl(file, 100, 0).result == 0
    return True


def test_a_channel_answers_until_it_is_closed(daemon, file):
    with kept(file) as c:
        settled(daemon, 1)
        for _ in range(100):
            r = c.call(file, IOCTL, VERSION)
            assert (r.result, r.seq, r.flags) == (0, c.seq, 0)
    settled(daemon)


def test_one_channel_serves_all_files(daemon, file):
    r, group = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    with group, kept(file) as c:
        assert c.call(group, IOCTL, (proto.VFIO | 99, 0)).result < 0
        assert c.call(file, IOCTL, VERSION).result == 0


def test_descriptors_travel_beside_a_channel(daemon, file):
    r, group = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    number = array.array("i", [7]).tobytes()
    with group, kept(file) as c:
        r = c.call(group, IOCTL, (proto.VFIO | 104, 0x1000),
                   fds=[file.fileno()], segs=[(0x1000, 4, number)],
                   fdrefs=[(7, 0)])
        assert r.result == 0


def test_an_unknown_channel_gets_no_answer(daemon, file):
    with open("/dev/null", "rb") as null, Channel() as c:
        for _ in range(50):
            c.send(file, IOCTL, VERSION, fds=[null.fileno()] * 100)
        assert alive(file)
    settled(daemon)


def test_the_channel_of_another_process_is_unknown(daemon, file):
    """Neither half of its name is enough, and nothing reaches it."""
    with kept(file) as c, Channel(mm=c.mm) as a, Channel(name=c.name) as b:
        for thief in (a, b, Channel(mm=(c.mm[1], c.mm[0]), name=c.name)):
            thief.send(file, IOCTL, VERSION)
        assert alive(file)
        r = c.call(file, IOCTL, VERSION)
        assert r.seq == c.seq


def test_who_knows_all_of_the_name_still_shows(daemon, file):
    """The answer carries the number of the request, which is not awaited."""
    with kept(file) as c, Channel(c.mm, c.name) as thief:
        thief.seq = 12345
        thief.send(file, IOCTL, VERSION)
        c.send(file, IOCTL, VERSION)
        answers = {proto.receive(c.sock).seq for _ in range(2)}
        assert answers == {thief.seq, c.seq}


def test_a_name_in_use_is_not_given_again(daemon, file):
    with kept(file) as c, Channel(c.mm, c.name) as other:
        assert not other.keep(file, IOCTL, VERSION)
        assert c.call(file, IOCTL, VERSION).result == 0


def test_without_a_whole_name_nothing_is_kept(daemon, file):
    for c in (Channel(mm=(0, 0)), Channel()):
        if any(c.mm):
            c.name = 0
        with c:
            assert not c.keep(file, IOCTL, VERSION)


def kinds_of_descriptor(daemon, file):
    """Everything that is no reply socket, by name."""
    pipe, pair = os.pipe(), socket.socketpair()
    r, group = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    return {
        "null": os.open("/dev/null", os.O_RDWR),
        "directory": os.open("/", os.O_RDONLY | os.O_DIRECTORY),
        "path": os.open("/", os.O_PATH),
        "memory": os.memfd_create("x"),
        "pipe to read": pipe[0],
        "pipe to write": pipe[1],
        "stream": pair[0].detach(),
        "other stream": pair[1].detach(),
        "datagrams": socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach(),
        "tcp": socket.socket().detach(),
        "eventfd": os.eventfd(0),
        "process": os.pidfd_open(os.getpid()),
        "the file itself": file.dup().detach(),
        "another file of ours": group.detach(),
    }


@pytest.mark.parametrize("flags", (0, proto.REQ_KEEP))
def test_what_is_no_reply_socket_gets_no_answer(daemon, file, flags):
    kinds = kinds_of_descriptor(daemon, file)
    for name, fd in kinds.items():
        c = Channel()
        proto.send_with_fds(
            file, proto.request(IOCTL, VERSION, flags=flags, mm=c.mm,
                                channel=c.name if flags else 0), [fd])
        assert alive(file), name
        c.send(file, IOCTL, VERSION)  # and no channel of that name
        assert alive(file), name
    for fd in kinds.values():
        os.close(fd)
    settled(daemon)


def hand_back(file, group):
    """As a program that ends: our own files, and the far end of the channel,
    wherever the daemon may be made to keep them."""
    with Channel() as c:
        assert c.keep(file, IOCTL, VERSION)
        send = proto.send_with_fds
        send(c.sock, b"what nobody asks for",
             [file.fileno(), group.fileno(), c.sock.fileno()])
        number = array.array("i", [7]).tobytes()
        for fd in (file, group):
            send(file, proto.request(IOCTL, VERSION), [fd.fileno()])
            proto.ioctl(group, 104, number, fds=[fd.fileno()] * 3,
                        fdrefs=[(7, 0)], flags=1)


def test_no_file_is_held_by_what_is_handed_back(daemon):
    """A group whose program has gone can be opened again."""
    pid = os.fork()
    if pid == 0:
        try:
            r1, file = proto.open_path(daemon.dir, "/dev/vfio/vfio")
            r2, group = proto.open_path(daemon.dir, "/dev/vfio/1")
            assert (r1, r2) == (0, 0)
            hand_back(file, group)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0

    def group_is_free():
        r, f = proto.open_path(daemon.dir, "/dev/vfio/1")
        if f:
            f.close()
        return r == 0

    support.wait_for(group_is_free, "the group")
    support.wait_for(lambda: daemon.fds() == daemon.before - 1,
                     "the daemon's descriptors")


def long_request(c, file, numbers):
    """SET_CONTAINER with more descriptors than it wants, in three messages."""
    refs = [(7, 0)]
    tail = struct.pack("=i", 7)
    head = proto.request(IOCTL, (proto.VFIO | 104, 0x1000),
                         [(0x1000, 4, tail)], refs, mm=c.mm, channel=c.name,
                         seq=c.seq + 1, parts=2)
    c.part(head[-6:-2], numbers[1:3])
    c.part(head[-2:], numbers[3:])
    c.seq += 1
    proto.send_with_fds(file, head[:-6], numbers[:1])
    return proto.receive(c.sock)


def test_a_long_request_comes_in_parts_over_the_channel(daemon, file):
    r, group = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    with group, kept(file) as c:
        for want in (0, -errno.EINVAL):  # it has one by then
            assert long_request(c, group, [file.fileno()] * 5).result == want
        assert c.call(file, IOCTL, VERSION).result == 0
    settled(daemon)


def test_parts_of_nothing_end_the_channel_and_nothing_else(daemon, file):
    for parts, lie in ((1, b""), (1, b"x" * 15), (1, b"\0" * 64), (3, None)):
        with kept(file) as c:
            if lie is None:
                c.part(b"", seq=0)
            else:
                c.sock.send(lie)
            proto.send_with_fds(file, proto.request(
                IOCTL, VERSION, mm=c.mm, channel=c.name, parts=parts), [])
            assert proto.receive(c.sock) is None
        assert alive(file)
    settled(daemon)


def read_into(sock, page):
    """A thread in recv(), into a page that never comes."""
    libc = ctypes.CDLL(None)
    t = threading.Thread(target=libc.recv, daemon=True,
                         args=(sock.fileno(), ctypes.c_void_p(page), 4096, 0))
    t.start()
    return t


def test_who_receives_on_the_same_socket_blocks_nobody(daemon, file):
    """With more of them than the daemon has threads."""
    readers = []
    with held.HeldPage() as page, contextlib.ExitStack() as stack:
        for i in range(SERVER_THREADS + 2):
            mine, theirs = map(stack.enter_context, socket.socketpair(
                socket.AF_UNIX, socket.SOCK_SEQPACKET))
            mine.send(b"x" * 64)
            readers.append(read_into(theirs, page.addr))
            page.wait_touched(i + 1)
            proto.send_with_fds(file, proto.request(IOCTL, VERSION, parts=1),
                                [theirs.fileno()])
            c = stack.enter_context(kept(file))
            c.sock.send(b"x" * 64)
            proto.send_with_fds(file, proto.request(
                IOCTL, VERSION, parts=1, flags=proto.REQ_KEEP, mm=c.mm,
                channel=c.name), [theirs.fileno()])
            c.send(file, IOCTL, VERSION, parts=1)
        assert alive(file)
        assert proto.open_path(daemon.dir, "/dev/vfio/vfio")[0] == 0
    for r in readers:
        r.join()


def test_nonsense_on_a_channel_ends_the_wait(daemon, file):
    raw = proto.request(IOCTL, VERSION)
    for lie in ({"parts": 1}, {"op": 999}, {"trailing": b"x"}):
        with kept(file) as c:
            raw = proto.request(lie.get("op", IOCTL), VERSION, mm=c.mm,
                                channel=c.name, parts=lie.get("parts", 0))
            file.send(raw + lie.get("trailing", b""))
            assert proto.receive(c.sock) is None and at_end(c), lie
        assert alive(file)


def at_end(channel):
    """What poll() shows of a channel on which no answer will come."""
    p = select.poll()
    p.register(channel.sock, 0)
    return bool(dict(p.poll(0)).get(channel.sock.fileno(), 0) &
                select.POLLHUP)


def test_an_answer_that_does_not_fit_ends_the_wait(daemon, file):
    """Nobody reads; that the request was carried out is seen by the end."""
    with kept(file) as c:
        for _ in range(2000):
            try:
                file.setblocking(False)
                c.send(file, IOCTL, VERSION)
            except BlockingIOError:
                file.setblocking(True)
                assert alive(file)
        file.setblocking(True)
        assert alive(file)
        n = 0
        while proto.receive(c.sock):
            n += 1
        assert 0 < n < 2000 and not at_end(c)
        assert c.call(file, IOCTL, VERSION) is None
    settled(daemon)


def test_channels_of_one_process_have_a_limit(daemon, file):
    channels = [Channel() for _ in range(PER_PID + 4)]
    got = [c.keep(file, IOCTL, VERSION) for c in channels]
    assert got == [True] * PER_PID + [False] * 4
    channels.pop(0).close()

    def room():
        with Channel() as c:
            return c.keep(file, IOCTL, VERSION)

    support.wait_for(room, "room for one more")
    for c in channels:
        c.close()


def child(file, report, until):
    channels = [Channel() for _ in range(PER_PID)]
    n = sum(c.keep(file, IOCTL, VERSION) for c in channels)
    os.write(report, bytes([n]))
    os.read(until, 1)


def test_channels_have_a_limit_in_all(daemon, file):
    report, until = os.pipe(), os.pipe()
    pids, total = [], 0
    for _ in range(IN_ALL // PER_PID + 3):
        pid = os.fork()
        if pid == 0:
            try:
                os.close(until[1])
                child(file, report[1], until[0])
            finally:
                os._exit(0)
        pids.append(pid)
        total += os.read(report[0], 1)[0]
    assert total == IN_ALL
    assert alive(file)
    for fd in (*until, *report):
        os.close(fd)
    for pid in pids:
        os.waitpid(pid, 0)
    settled(daemon)


def test_the_door_takes_many_requests_on_one_connection(daemon):
    with proto.door(daemon.dir) as d:
        for _ in range(100):
            d.send(proto.request(proto.STAT, (),
                                 [proto.text("/dev/vfio/vfio")], channel=5,
                                 mm=(1, 2)))
            assert proto.receive(d).result == 0


def test_an_answer_is_never_taken_for_a_request(serve, me):
    """Sent to the other end of its own door, with what a request needs."""
    daemon = serve("ram,size=1M")
    device = Device(daemon)
    path = b"/reflected"
    tail = struct.pack("=QQQQQIIII", 0, 0, 0, 0, 0, 0, 1, 0, 0) + \
        proto.SEG.pack(0, len(path), len(path)) + path
    device.write(7 << 40 | 4, struct.pack("=H", 2))
    assert device.write(2 << 40, tail) == len(tail)
    with proto.door(daemon.dir) as door:
        proto.send_with_fds(
            device.file, proto.request(proto.READ, (2 << 40, len(tail))),
            [door.fileno()])
        assert device.read(2 << 40, len(tail)) == tail  # it has been served
    status, out, err = me.softvfio("why", "--instance", daemon.name)
    assert status == 0 and "reflected" not in out, out + err
    device.close()
