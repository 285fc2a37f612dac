# SPDX-License-Identifier: BSD-3-Clause
"""A device by the protocol alone: what a peer does to it with what it is
given, and to those who look on."""
import ctypes
import errno
import json
import mmap
import os
import socket
import struct
import threading

import pytest

import proto
from device import Device

CONFIG_COMMAND = 7 << 40 | 4
LOW_POWER_WAKEUP, FEATURE_SET = 4, 1 << 17


def control(daemon, cmd):
    with proto.door(daemon.dir) as d:
        d.send(proto.request(proto.CONTROL,
                             segs=[proto.text(json.dumps({"cmd": cmd}))]))
        r = proto.receive(d)
    assert r.result >= 0
    with os.fdopen(r.fds[0]) as f:
        return json.load(f)


def at_the_door(daemon, op, *args):
    """An operation on BAR 0 of a function."""
    with proto.door(daemon.dir) as d:
        d.send(proto.request(op, args, [
            proto.bar_id(daemon.pid, "0000:01:00.0", 0)]))
        return proto.receive(d).result


def test_a_bar_made_longer_is_no_way_into_the_daemon(serve):
    daemon = serve("ram,size=1M")
    dev = Device(daemon)
    fd = dev.mmap(2, 1 << 20)
    os.ftruncate(fd, 1 << 32)
    for i in range(1, 32):
        os.pwrite(fd, b"A" * 65536, i << 20)
    for command in (0, 2, 0, 2):
        assert dev.write(CONFIG_COMMAND, struct.pack("=H", command)) == 2
    assert os.fstat(fd).st_size == 1 << 20
    assert dev.read(2 << 40, 4) == b"\0" * 4
    os.close(fd)


def test_a_bar_made_shorter_is_the_programs_own_loss(serve):
    daemon = serve("ram,size=1M")
    dev = Device(daemon)
    fd = dev.mmap(2, 1 << 20)
    os.ftruncate(fd, 0)
    assert dev.write(2 << 40, b"1234") == 4
    assert dev.write(CONFIG_COMMAND, b"\0\0") == 2
    assert dev.write(CONFIG_COMMAND, b"\2\0") == 2
    assert len(dev.read(2 << 40, 4)) == 4
    os.close(fd)


def test_a_device_nobody_has_open_does_not_answer(serve):
    daemon = serve("edu")

    def answers():
        return (at_the_door(daemon, proto.FAULT, 0),
                at_the_door(daemon, proto.ACCESS, 0, 4, 0))

    for _ in range(2):
        assert answers() == (-errno.EFAULT, -errno.EFAULT)
        dev = Device(daemon)
        assert answers() == (0, 0)
        dev.close()
        control(daemon, "ls")  # which waits for what closing entails


@pytest.mark.parametrize("use", ["ioctl", "read"])
def test_low_power_with_wakeup_ends_with_any_use(serve, use):
    dev = Device(serve("edu"))
    libc = ctypes.CDLL(None)
    event = libc.eventfd(0, os.O_NONBLOCK)
    feature = struct.pack("=IIiI", 16, LOW_POWER_WAKEUP | FEATURE_SET, 9, 0)

    for _ in range(2):  # the second finds low power ended by the first
        assert proto.ioctl(dev.file, 117, feature, fds=[event],
                           fdrefs=[(9, 0)]).result == 0
        if use == "ioctl":
            assert proto.ioctl(dev.file, 107,
                               struct.pack("=IIII", 16, 0, 0, 0)).result == 0
        else:
            assert len(dev.read(7 << 40, 4)) == 4
        assert struct.unpack("=Q", os.read(event, 8)) == (1,)
    os.close(event)


def test_listing_while_files_come_and_go(serve):
    daemon = serve("edu")
    enough = threading.Event()
    failed = []

    def keep_listing():
        try:
            while not enough.is_set():
                control(daemon, "ls")
        except Exception as e:  # for the test's own thread
            failed.append(e)

    lister = threading.Thread(target=keep_listing)
    lister.start()
    try:
        for _ in range(400):
            r, c = proto.open_path(daemon.dir, "/dev/vfio/vfio")
            assert r == 0
            c.close()
    finally:
        enough.set()
        lister.join()
    assert not failed


def test_names_that_are_no_text_are_listed_all_the_same(serve):
    daemon = serve("edu")
    libc = ctypes.CDLL(None)
    name = ctypes.create_string_buffer(16)
    libc.prctl(16, name, 0, 0, 0)  # PR_GET_NAME
    libc.prctl(15, b"b\xc3\xffd", 0, 0, 0)  # PR_SET_NAME
    try:
        dev = Device(daemon)
        r = proto.ioctl(dev.group, 106, b"\xff\xfe\x1b[2J\0")
        assert r.result == -errno.ENODEV
        ls, why = control(daemon, "ls"), control(daemon, "why")
    finally:
        libc.prctl(15, name, 0, 0, 0)
    assert [c["program"] for c in ls["containers"]] == ["b??d"]
    assert {o["file"] for o in ls["devices"][0]["open"]} == {"group", "device"}
    assert why["refusals"][-1]["errno"] == "ENODEV"
    assert '"??' in why["refusals"][-1]["reason"]
