# SPDX-License-Identifier: BSD-3-Clause
"""What a peer that speaks the protocol badly, or half, can do: nothing."""
import array
import errno
import os
import random
import socket
import struct

import pytest

import proto
import support


@pytest.fixture
def daemon(serve):
    return serve("edu", "nvme,size=1M")


def alive(daemon):
    """A whole round through the door and a container works."""
    r, c = proto.open_path(daemon.dir, "/dev/vfio/vfio")
    assert r == 0
    with c:
        assert proto.ioctl(c, 100, 0).result == 0
    return True


def settled_fds(daemon, count):
    support.wait_for(lambda: daemon.fds() <= count, f"{count} descriptors")


def container(daemon):
    r, c = proto.open_path(daemon.dir, "/dev/vfio/vfio")
    assert r == 0
    return c


def test_open_of_what_is_not_there_is_enoent(daemon):
    assert proto.open_path(daemon.dir, "/dev/vfio/99")[0] == -errno.ENOENT
    assert proto.open_path(daemon.dir, "/etc/passwd")[0] == -errno.ENOENT
    assert proto.open_path(daemon.dir, "/../../etc/passwd")[0] == -errno.ENOENT
    assert proto.open_path(daemon.dir, "relative")[0] == -errno.EINVAL


def test_second_open_of_a_group_is_ebusy_until_the_first_is_closed(daemon):
    r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    assert proto.open_path(daemon.dir, "/dev/vfio/1")[0] == -errno.EBUSY
    g.close()
    for _ in range(200):  # a hang-up is visible when close returns
        r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
        assert r == 0
        g.close()


def test_raw_bytes_are_dropped_and_the_file_survives(daemon):
    with container(daemon) as c:
        for raw in (b"", b"x", b"\0" * 88, b"hello" * 100, b"\xff" * 4096,
                    proto.request(proto.IOCTL)):
            c.send(raw)
        assert proto.ioctl(c, 100, 0).result == 0


def test_an_empty_message_is_not_a_close(daemon):
    r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    with g:
        g.send(b"")
        assert proto.open_path(daemon.dir, "/dev/vfio/1")[0] == -errno.EBUSY


def test_the_door_knows_its_files_by_their_cookies(daemon):
    def known(cookie):
        with proto.door(daemon.dir) as d:
            d.send(proto.request(proto.KNOWN, (cookie,)))
            return proto.receive(d).result

    def cookie(sock):
        return struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, 57, 8))[0]

    with container(daemon) as c:
        number = cookie(c)
        assert known(number) == 1
        with socket.socket(fileno=os.dup(c.fileno())) as copy:
            assert known(cookie(copy)) == 1
    support.wait_for(lambda: known(number) == 0, "the file to be released")
    for other in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET):
        with other:
            assert known(cookie(other)) == 0
    assert known(0) == known((1 << 64) - 1) == 0


SQUATTED = 200


def test_nobody_can_take_the_names_of_files_to_come(daemon):
    with container(daemon) as c:
        prefix, instance, number, what = c.getpeername().split(b"/", 3)
    first = int(number, 16)
    squatters = []
    try:
        for n in range(first + 1, first + 1 + SQUATTED):
            for form in (b"%x", b"%016x"):
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                squatters.append(s)
                try:
                    s.bind(b"/".join([prefix, instance, form % (
                        n & (1 << 64) - 1), what]))
                except OSError as e:    # both forms may be one
                    assert e.errno == errno.EADDRINUSE
        for _ in range(20):
            container(daemon).close()
    finally:
        for s in squatters:
            s.close()


def test_names_do_not_follow_one_another(daemon):
    files = [container(daemon) for _ in range(20)]
    numbers = sorted(int(f.getpeername().split(b"/")[2], 16) for f in files)
    for f in files:
        f.close()
    assert min(b - a for a, b in zip(numbers, numbers[1:])) > 1 << 20


def lying_requests():
    good = proto.request(proto.IOCTL, (proto.VFIO | 100,), [(1, 8, b"12345678")])
    yield "truncated head", good[:87]
    yield "truncated segment", good[:-1]
    yield "trailing byte", good + b"x"
    yield "operation 0", proto.request(0)
    yield "operation 999", proto.request(999)
    yield "parts that are not there", proto.request(proto.IOCTL, parts=3)
    yield "too many parts", proto.request(proto.IOCTL, parts=60000)
    yield "wrong magic", proto.request(proto.IOCTL, magic=1)
    head = bytearray(good)
    for off, name in ((76, "segments"), (80, "fdrefs"), (84, "vmas")):
        lie = bytearray(head)
        struct.pack_into("=I", lie, off, 0xFFFFFFFF)
        yield f"4 G {name}", bytes(lie)
    long_seg = bytearray(good)
    struct.pack_into("=I", long_seg, 88 + 12, 0xFFFFFFF0)
    yield "segment longer than the message", bytes(long_seg)


def test_lying_requests_are_dropped_and_end_the_callers_wait(daemon):
    with container(daemon) as c:
        for name, raw in lying_requests():
            mine, theirs = socket.socketpair(socket.AF_UNIX,
                                             socket.SOCK_SEQPACKET)
            with mine:
                with theirs:
                    c.sendmsg([raw], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                       array.array("i", [theirs.fileno()]))])
                assert proto.receive(mine) is None, name
            assert proto.ioctl(c, 100, 0).result == 0, name


def test_lying_requests_end_a_connection_to_the_door(daemon):
    before = daemon.fds()
    with open("/dev/null", "rb") as null:
        for name, raw in [*lying_requests(), ("empty", b""), ("text", b"GET")]:
            for fds in [], [null.fileno()] * 3:
                with proto.door(daemon.dir) as d:
                    proto.send_with_fds(d, raw, fds)
                    assert proto.receive(d) is None, name
    settled_fds(daemon, before)


def test_surplus_descriptors_are_closed(daemon):
    with container(daemon) as c:
        before = daemon.fds()
        with open("/dev/null", "rb") as null:
            for _ in range(20):
                r = proto.ioctl(c, 100, 0, fds=[null.fileno()] * 200)
                assert r.result == 0
        settled_fds(daemon, before)


def test_descriptors_without_a_request_are_closed(daemon):
    with container(daemon) as c:
        before = daemon.fds()
        with open("/dev/null", "rb") as null:
            rights = array.array("i", [null.fileno()] * 100)
            for _ in range(20):
                c.sendmsg([b"junk"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                       rights)])
        assert proto.ioctl(c, 100, 0).result == 0
        settled_fds(daemon, before)


def test_a_caller_that_does_not_wait_costs_nothing(daemon):
    with container(daemon) as c:
        before = daemon.fds()
        for _ in range(200):
            mine, theirs = socket.socketpair(socket.AF_UNIX,
                                             socket.SOCK_SEQPACKET)
            c.sendmsg([proto.request(proto.IOCTL, (proto.VFIO | 100,))],
                      [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                        array.array("i", [theirs.fileno()]))])
            mine.close()
            theirs.close()
        assert proto.ioctl(c, 100, 0).result == 0
        settled_fds(daemon, before)


def test_an_answer_nobody_reads_blocks_nobody(daemon):
    """A full reply socket is the caller's loss."""
    with container(daemon) as c:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with mine, theirs:
            for _ in range(2000):
                try:
                    c.setblocking(False)
                    c.sendmsg([proto.request(proto.IOCTL,
                                             (proto.VFIO | 100,))],
                              [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                array.array("i", [theirs.fileno()]))])
                except BlockingIOError:
                    pass
        c.setblocking(True)
        assert alive(daemon)


def test_unknown_ioctl_is_enotty_or_einval_before_set_iommu(daemon):
    with container(daemon) as c:
        assert proto.ioctl(c, 99).result == -errno.EINVAL
    r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    with g:
        assert proto.ioctl(g, 99).result == -errno.ENOTTY


def test_operations_for_the_door_are_refused_on_a_file_and_back(daemon):
    with container(daemon) as c:
        r = proto.call(c, proto.OPEN, segs=[proto.text("/dev/vfio/vfio")])
        assert r.result == -errno.EBADF
    with proto.door(daemon.dir) as d:
        d.send(proto.request(proto.IOCTL, (proto.VFIO | 100,)))
        assert proto.receive(d).result == -errno.EBADF


def test_missing_bytes_are_asked_for_and_short_bytes_are_efault(daemon):
    r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    with g:
        r = proto.call(g, proto.IOCTL, (proto.VFIO | 103, 0x5000))
        assert r.kind == proto.NEED and r.n == 1
        kind, _, addr, length = struct.unpack_from("=IIQQ", r.data)
        assert (kind, addr, length) == (proto.NEED_BYTES, 0x5000, 8)
        r = proto.call(g, proto.IOCTL, (proto.VFIO | 103, 0x5000),
                       segs=[(0x5000, 256, b"\x08\0\0\0")])
        assert r.result == -errno.EFAULT


def test_a_container_is_known_by_its_socket_alone(daemon):
    """Any other file in its place is EBADFD, whatever it calls itself."""
    r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0

    def set_container(fd):
        return proto.ioctl(g, 104, struct.pack("=i", 7), fds=[fd],
                           fdrefs=[(7, 0)]).result

    with g, container(daemon) as c, open("/dev/null", "rb") as null:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with a, b:
            a.bind(b"\0softvfio/0000000000000000/1/" +
                   b"/dev/vfio/vfio%d" % os.getpid())
            assert set_container(b.fileno()) == -errno.EBADFD
        assert set_container(null.fileno()) == -errno.EBADFD
        assert set_container(g.fileno()) == -errno.EBADFD
        assert set_container(c.fileno()) == 0
        assert set_container(c.fileno()) == -errno.EINVAL


def test_container_of_another_instance_is_ebadfd(serve):
    one, two = serve("edu"), serve("edu")
    r, g = proto.open_path(one.dir, "/dev/vfio/1")
    assert r == 0
    with g, container(two) as c:
        r = proto.ioctl(g, 104, struct.pack("=i", 3), fds=[c.fileno()],
                        fdrefs=[(3, 0)])
        assert r.result == -errno.EBADFD


def test_bad_descriptor_number_is_ebadf(daemon):
    r, g = proto.open_path(daemon.dir, "/dev/vfio/1")
    assert r == 0
    with g:
        for number, refs in ((-1, []), (5, [(5, -1)]), (5, [(5, 1000)])):
            r = proto.ioctl(g, 104, struct.pack("=i", number), fdrefs=refs)
            assert r.result == -errno.EBADF


def test_faults_and_accesses_of_what_is_no_bar_of_ours_are_refused(serve):
    one, two = serve("edu"), serve("edu")
    name = next(name for name in map(os.readlink, (
        f"/proc/{one.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{one.pid}/fd")))
        if "softvfio:" in name)
    copied = os.memfd_create(name[len("/memfd:"):])
    st = os.fstat(copied)
    bar = proto.bar_id(one.pid, "0000:01:00.0", 0)
    dev, ino = struct.unpack("=QQ", bar[2])

    def number(dev, ino):
        return (0, 16, struct.pack("=QQ", dev, ino))

    for seg, err in (
            (proto.text(""), errno.EINVAL),
            (proto.text(name), errno.EINVAL),
            ((0, 16, bar[2][:15]), errno.EINVAL),
            ((0, 24, bar[2] + bytes(8)), errno.EINVAL),
            (number(0, 0), errno.ENODEV),
            (number(dev + 1, ino), errno.ENODEV),
            (number(dev, ino + 4096), errno.ENODEV),
            (number(st.st_dev, st.st_ino), errno.ENODEV),
            (proto.bar_id(two.pid, "0000:01:00.0", 0), errno.ENODEV),
            (bar, errno.EFAULT)):  # nobody has it open
        for op in (proto.FAULT, proto.ACCESS):
            with proto.door(one.dir) as d:
                d.send(proto.request(op, (0, 4), [seg]))
                assert proto.receive(d).result == -err, (seg, op)
    os.close(copied)


def test_control_speaks_json_only(daemon):
    for query in ("", "{", "[]", "{}", '{"cmd": 3}', '{"cmd": "nothing"}'):
        with proto.door(daemon.dir) as d:
            d.send(proto.request(proto.CONTROL, segs=[proto.text(query)]))
            assert proto.receive(d).result == -errno.EINVAL


def test_random_messages_neither_end_nor_confuse_the_daemon(daemon):
    rnd = random.Random(20240521)
    before = None
    with container(daemon) as c:
        before = daemon.fds()
        for _ in range(2000):
            raw = bytearray(proto.request(
                rnd.randrange(0, 12), [rnd.getrandbits(64) for _ in range(4)],
                [(rnd.getrandbits(64), 64, rnd.randbytes(rnd.randrange(65)))
                 for _ in range(rnd.randrange(3))],
                [(rnd.getrandbits(8), rnd.randrange(-1, 3))
                 for _ in range(rnd.randrange(3))],
                [tuple(rnd.getrandbits(32) for _ in range(6)) +
                 (rnd.getrandbits(2), rnd.randrange(-1, 3))
                 for _ in range(rnd.randrange(3))],
                flags=rnd.getrandbits(2)))
            if rnd.random() < 0.5:
                raw[rnd.randrange(len(raw))] ^= 1 << rnd.randrange(8)
            mine, theirs = socket.socketpair(socket.AF_UNIX,
                                             socket.SOCK_SEQPACKET)
            with mine:
                with theirs:
                    c.sendmsg([raw], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                       array.array("i", [theirs.fileno()]))])
                proto.receive(mine)
        assert alive(daemon)
        settled_fds(daemon, before)


def test_daemon_out_of_descriptors_answers_again_afterwards(daemon):
    """Sockets eat them all; whoever comes is turned away, not left waiting."""
    import resource
    idle = daemon.fds()
    limit = idle + 8
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
    hoard, failures = [], 0
    for _ in range(24):
        try:
            r, c = proto.open_path(daemon.dir, "/dev/vfio/vfio")
        except (OSError, AttributeError):  # turned away at the door
            failures += 1
            continue
        if r < 0:
            failures += 1
        else:
            hoard.append(c)
    assert failures and hoard
    for c in hoard:
        c.close()
    settled_fds(daemon, idle)
    assert alive(daemon)


def test_files_of_one_process_have_a_limit(daemon):
    files = []
    r = 0
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for _ in range(4200):
            r, c = proto.open_path(daemon.dir, "/dev/vfio/vfio")
            if r < 0:
                break
            files.append(c)
        assert r == -errno.EMFILE or hard < 4300
    finally:
        for c in files:
            c.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert alive(daemon)
