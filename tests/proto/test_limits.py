# SPDX-License-Identifier: BSD-3-Clause
"""What one program uses up is its own share; the others go on."""
import errno
import os
import resource
import socket

import pytest

import proto
import support
from test_proto import alive

DOORS = 1024  # of one process: core/common/share.c


@pytest.fixture
def daemon(serve):
    return serve("edu", "nvme,size=1M")


@pytest.fixture
def all_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def by_another(what, *args):
    """Another program does it; whether it went well."""
    pid = os.fork()
    if not pid:
        try:
            what(*args)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def is_refused(door):
    door.settimeout(10)
    try:
        return door.recv(1) == b""
    except ConnectionResetError:
        return True


def is_open(door):
    """A request that is no such operation's gets an answer."""
    door.send(proto.request(proto.OPEN, (os.O_RDWR,), [proto.text("/none")]))
    r = proto.receive(door)
    return r is not None and r.result == -errno.ENOENT


def test_a_program_that_hoards_doors_shuts_out_only_itself(daemon,
                                                           all_descriptors):
    if all_descriptors < 4 * DOORS:
        pytest.skip(f"RLIMIT_NOFILE is {all_descriptors}: no room for "
                    f"{DOORS} connections here and in the daemon")
    idle = daemon.fds()
    hoard = [proto.door(daemon.dir) for _ in range(DOORS)]
    assert is_open(hoard[-1])
    for _ in range(100):
        with proto.door(daemon.dir) as more:
            assert is_refused(more)
    assert by_another(alive, daemon)
    assert is_open(hoard[0])

    for door in hoard:
        door.close()
    support.wait_for(lambda: daemon.fds() <= idle, "the connections' end")
    assert alive(daemon)


def test_a_program_that_hoards_files_shuts_out_only_itself(daemon,
                                                           all_descriptors):
    if all_descriptors < 4 * DOORS:
        pytest.skip(f"RLIMIT_NOFILE is {all_descriptors}")
    files = []
    with proto.door(daemon.dir) as door:
        r = None
        while len(files) < all_descriptors - 100:
            door.send(proto.request(proto.OPEN, (os.O_RDWR,),
                                    [proto.text("/dev/vfio/vfio")]))
            r = proto.receive(door)
            if r.result < 0:
                break
            files += r.fds
    assert r.result == -errno.EMFILE
    assert by_another(alive, daemon)
    for fd in files:
        os.close(fd)
    assert alive(daemon)


@pytest.mark.parametrize("lives", (True, False))
def test_who_waits_for_his_own_dead_holds_up_nobody(daemon, lives):
    """Each open of a group waits for what was asked on a file of it that is
    closed, and that waits for a thread."""
    open_group = proto.request(proto.OPEN, (os.O_RDWR,),
                               [proto.text("/dev/vfio/1")])

    def send_all(sock, send):
        sock.setblocking(False)
        try:
            while True:
                send()
        except BlockingIOError:
            pass

    def flood():
        r, group = proto.open_path(daemon.dir, "/dev/vfio/1")
        assert r == 0
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        doors = [proto.door(daemon.dir) for _ in range(64)]
        for door in doors:
            send_all(door, lambda: door.send(open_group))
        send_all(group, lambda: proto.send_with_fds(
            group, proto.request(proto.FSTAT), [theirs.fileno()]))
        group.close()
        return doors, mine, theirs

    if lives:
        held = flood()
    else:
        pid = os.fork()
        if not pid:
            flood()
            os._exit(0)
        os.waitpid(pid, 0)
        held = ()
    for _ in range(5):
        with proto.door(daemon.dir) as door:
            door.send(proto.request(proto.STAT, (),
                                    [proto.text("/dev/vfio/vfio")]))
            assert proto.receive(door, support.deadline(2)).result == 0
    del held
