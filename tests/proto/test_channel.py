# SPDX-License-Identifier: BSD-3-Clause
"""Reply sockets the daemon keeps: what works, and what a peer cannot do."""
import array
import os
import select
import socket

import pytest

import proto
import support
from proto import Channel

IOCTL, VERSION = proto.IOCTL, (proto.VFIO | 100, 0)
PER_PID, IN_ALL = 16, 256    # front/channel.h


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
        assert proto.receive(other.sock) is None
        assert c.call(file, IOCTL, VERSION).result == 0


def test_without_a_whole_name_nothing_is_kept(daemon, file):
    for c in (Channel(mm=(0, 0)), Channel()):
        if any(c.mm):
            c.name = 0
        with c:
            assert not c.keep(file, IOCTL, VERSION)


def test_what_is_no_reply_socket_is_not_kept(daemon, file):
    pipe = os.pipe()
    tcp = socket.socket()
    stream, other = socket.socketpair()
    with open("/dev/null", "r+b") as null, tcp, stream, other:
        for fd in (null.fileno(), *pipe, tcp.fileno(), stream.fileno(),
                   file.fileno()):
            with Channel() as c:
                c.keep(file, IOCTL, VERSION, reply=fd)
                assert alive(file)
                if fd != file.fileno():
                    c.send(file, IOCTL, VERSION)
    for fd in pipe:
        os.close(fd)
    assert alive(file)
    settled(daemon, 1)  # a file in its own channel is its own affair


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
    channels.pop(0).sock.close()

    def room():
        with Channel() as c:
            return c.keep(file, IOCTL, VERSION)

    support.wait_for(room, "room for one more")
    for c in channels:
        c.sock.close()


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
