# SPDX-License-Identifier: BSD-3-Clause
"""Programs and daemons that die, fork, exec and pass descriptors around."""
import signal

import support

EDU = "0000:01:00.0"


def ok(result):
    status, out, err = result
    assert status == 0, out + err
    return out


def test_a_driver_does_dma_both_ways(user, script):
    ok(user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        assert dev.read(0, 0, 4) == 0x010000ed
        dev.write(0, 4, 0x12345678, 4)
        assert dev.read(0, 4, 4) == 0xedcba987
        dev.write(0, 8, 10, 4)
        while dev.read(0, 0x20, 4) & 1:
            pass
        assert dev.read(0, 8, 4) == 3628800
        buf = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE)
        buf[:4096] = os.urandom(4096)
        dev.map_dma(buf, 0x100000, 8192)
        dev.command(dev.command() | 4)
        edu_dma(dev, 0x100000, 0x40000, 4096, 1)
        edu_dma(dev, 0x40000, 0x101000, 4096, 3)
        assert buf[:4096] == buf[4096:]
        assert dev.unmap_dma(0x100000, 8192) == 8192
        """)))


def test_mapped_registers_trap(user, script):
    ok(user.softvfio("run", "-d", "edu", "--", *script("""
        import ctypes
        dev = Device("0000:01:00.0")
        bar = dev.map_bar(0)
        regs = (ctypes.c_uint32 * 64).from_buffer(bar)
        assert regs[0] == 0x010000ed
        regs[1] = 0xffff0000
        assert regs[1] == 0x0000ffff
        regs[2] = 5
        while regs[8] & 1:
            pass
        assert regs[2] == 120
        """)))


def test_daemon_killed_in_mid_run_is_enodev_and_nothing_worse(serve, script):
    d = serve("edu")
    p = d.user.popen([d.user.bin, "run", "--instance", d.name, "--", *script("""
        dev = Device("0000:01:00.0")
        bar = dev.map_bar(0)
        print("ready", flush=True)
        sys.stdin.readline()
        for fd in (dev.container, dev.group, dev.fd):
            try:
                fcntl.ioctl(fd, GET_API_VERSION if fd == dev.container
                            else RESET if fd == dev.fd else GET_STATUS,
                            bytearray(8))
                sys.exit("an ioctl succeeded")
            except OSError as e:
                assert e.errno == errno.ENODEV, e
        for call in (lambda: os.pread(dev.fd, 4, at(7, 0)),
                     lambda: os.pwrite(dev.fd, b"1234", at(7, 4)),
                     lambda: os.read(dev.fd, 4),
                     lambda: os.open("/dev/vfio/vfio", os.O_RDWR)):
            try:
                call()
                sys.exit("a call succeeded")
            except OSError as e:    # the tree may have gone too
                assert e.errno in (errno.ENODEV, errno.ENOENT), e
        assert os.readlink(f"/proc/self/fd/{dev.container}") == \\
            "/dev/vfio/vfio"
        os.fstat(dev.fd)
        print("alive", flush=True)
        """)], stdin=-1, stdout=-1, stderr=-1, text=True)
    assert p.stdout.readline() == "ready\n"
    d.kill()
    out, err = p.communicate("go\n", timeout=support.deadline(20))
    assert p.returncode == 0 and out == "alive\n", out + err


def test_program_killed_with_dma_in_flight_leaves_a_clean_device(serve, script):
    d = serve("edu", "nvme,size=16M")
    busy = script("""
        dev = Device("0000:01:00.0")
        buf = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE)
        dev.map_dma(buf, 0, 1 << 20)
        dev.command(dev.command() | 4)
        print("busy", flush=True)
        while True:
            edu_dma(dev, 0x1000, 0x40000, 4096, 1)
        """)
    check = script("""
        dev = Device("0000:01:00.0")
        assert dev.command() & 4 == 0, hex(dev.command())
        assert dev.read(0, 0x98, 8) == 0 and dev.read(0, 0x80, 8) == 0
        """)
    for _ in range(5):
        p = d.user.popen([d.user.bin, "run", "--instance", d.name, "--", *busy],
                         stdout=-1, text=True)
        assert p.stdout.readline() == "busy\n"
        children = open(f"/proc/{p.pid}/task/{p.pid}/children").read().split()
        for child in children:
            import os
            os.kill(int(child), signal.SIGKILL)
        assert p.wait(timeout=support.deadline(20)) == -signal.SIGKILL
        p.stdout.close()
        ok(d.run(*check))


def test_group_is_busy_for_as_long_as_a_mapping_lives(user, script):
    ok(user.softvfio("run", "-d", "ram,size=64K", "--", *script("""
        def try_open():
            try:
                return os.open("/dev/vfio/1", os.O_RDWR)
            except OSError as e:
                return -e.errno
        dev = Device("0000:01:00.0")
        assert try_open() == -errno.EBUSY
        bar = dev.map_bar(2)
        for fd in (dev.fd, dev.group, dev.container):
            os.close(fd)
        assert try_open() == -errno.EBUSY
        bar[0] = 7          # works after all descriptors are closed
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(w)
            os.read(r, 1)
            os._exit(0 if bar[0] == 7 else 1)
        bar.close()
        assert try_open() == -errno.EBUSY   # the child maps it
        os.close(w)
        assert os.waitpid(pid, 0)[1] == 0
        fd = try_open()
        assert fd >= 0, fd
        os.close(fd)
        """)))


def test_descriptors_survive_exec_and_scm_rights(user, script):
    second = """
        fds = [int(a) for a in sys.argv[1:]]
        names = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        assert names[:2] == ["/dev/vfio/vfio", "/dev/vfio/1"], names
        assert int.from_bytes(os.pread(fds[2], 4, at(7, 0)), "little") == \\
            0x11e81234
        """
    ok(user.softvfio("run", "-d", "edu", "--", *script(f"""
        dev = Device("0000:01:00.0")
        a, b = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            os.close(dev.fd)
            _, fds, _, _ = socket.recv_fds(b, 1, 1)
            ok = os.pread(fds[0], 2, at(7, 0)) == b"\\x34\\x12"
            os._exit(0 if ok else 1)
        socket.send_fds(a, [b"x"], [dev.fd])
        assert os.waitpid(pid, 0)[1] == 0
        for fd in (dev.container, dev.group, dev.fd):
            os.set_inheritable(fd, True)
        os.execv(sys.argv[1], sys.argv[1:] + [str(dev.container),
                 str(dev.group), str(dev.fd)])
        """, *script(second))))


def test_forked_children_use_one_device_at_the_same_time(user, script):
    ok(user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        pids = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                for i in range(300):
                    assert dev.read(7, 0, 4) == 0x11e81234
                    assert dev.read(0, 0, 4) == 0x010000ed
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
        """)))


def test_several_runs_at_once_do_not_meet(me, script):
    runs = [me.popen([me.bin, "run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        for i in range(200):
            dev.write(0, 4, i, 4)
            assert dev.read(0, 4, 4) == ~i & 0xffffffff
        """)]) for _ in range(4)]
    for p in runs:
        assert p.wait(timeout=support.deadline(60)) == 0


def test_interrupts_arrive_once_each(user, script):
    ok(user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        dev.command(dev.command() | 4)
        fd = os.eventfd(0)
        dev.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", fd))
        for i in range(1, 50):
            dev.write(0, 0x60, i, 4)
            assert os.eventfd_read(fd) == 1
            dev.write(0, 0x64, i, 4)
        dev.set_irqs(MSI, DATA_NONE | TRIGGER, 0, count=0)
        dev.set_irqs(INTX, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", fd))
        for i in range(1, 50):
            dev.write(0, 0x60, 1, 4)
            assert os.eventfd_read(fd) == 1
            dev.write(0, 0x64, 1, 4)
            dev.set_irqs(INTX, DATA_NONE | UNMASK, 0, count=1)
        """)))


def test_an_eventfd_at_its_maximum_blocks_nobody(user, script):
    ok(user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        dev.command(dev.command() | 4)
        fd = os.eventfd(0)
        os.eventfd_write(fd, 0xfffffffffffffffe)
        dev.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", fd))
        for i in range(200):
            dev.write(0, 0x60, 1, 4)
            dev.write(0, 0x64, 1, 4)
        assert dev.read(0, 0, 4) == 0x010000ed
        """)))


def test_memlock_is_enforced_when_asked_for(user, script):
    source = """
        import resource
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        dev = Device("0000:01:00.0")
        buf = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE)
        try:
            dev.map_dma(buf, 0, 1 << 20)
            print("mapped")
        except OSError as e:
            assert e.errno == errno.ENOMEM
            dev.map_dma(buf, 0, 65536)
            print("refused")
        """
    assert ok(user.softvfio("run", "-d", "edu", "--", *script(source))) == \
        "mapped\n"
    out = ok(user.softvfio("run", "--memlock=enforce", "-d", "edu", "--",
                           *script(source)))
    assert out == ("refused\n" if user.nobody else "mapped\n")


def test_why_tells_the_reason_of_a_refusal(serve, script):
    d = serve("edu")
    ok(d.run(*script("""
        dev = Device("0000:01:00.0")
        buf = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE)
        try:
            dev.map_dma(buf, 0x800, 4096)
        except OSError as e:
            assert e.errno == errno.EINVAL
        """)))
    out = ok(d.user.softvfio("why", "--instance", d.name))
    assert "VFIO_IOMMU_MAP_DMA" in out and "EINVAL" in out and "0x800" in out
