# SPDX-License-Identifier: BSD-3-Clause
"""Ordinary users, containers and sandboxes: nothing is lost without a word.

confine (confine.c) takes facilities away from the daemon, the program or both.
What the host running this does not allow to be tried is skipped, with the
reason.
"""
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

import support

MACHINE = ("-d", "edu", "-d", "ram,size=64K")
CONFINE = support.BUILD / "tests" / "client" / "confine"

# What a sandbox may forbid, and what softvfio says then.
AIO = "no aio on this host"
VMSPLICE = "no vmsplice on this host"
FACILITIES = {
    "aio": [AIO],
    "aio-submit": [AIO],
    "close_range": [],
    "container": [],
    "io_uring": [],
    "kcmp": [],
    "kvm": [],
    "perf": [],
    "pidfd": [],
    "process_vm": [],
    "procmap-query": [],
    "ptrace": [],
    "remap": [],
    "userfaultfd": [],
    "vmsplice": [VMSPLICE],
}
ALL = [VMSPLICE, AIO]

# A program that uses a bit of everything.
DRIVER = """
    import ctypes
    def driver():
        dev = Device("0000:01:00.0")
        dev.command(dev.command() | 6)
        bar = dev.map_bar(0)
        regs = (ctypes.c_uint32 * 64).from_buffer(bar)
        assert regs[0] == 0x010000ed
        regs[1] = 0xffff0000
        assert regs[1] == 0x0000ffff
        memory = os.memfd_create("memory")
        os.ftruncate(memory, 8192)
        for buf in (mmap.mmap(-1, 8192, mmap.MAP_PRIVATE),
                    mmap.mmap(-1, 8192), mmap.mmap(memory, 8192)):
            buf[:4096] = os.urandom(4096)
            dev.map_dma(buf, 0x100000, 8192)
            edu_dma(dev, 0x100000, 0x40000, 4096, 1)
            edu_dma(dev, 0x40000, 0x101000, 4096, 3)
            assert buf[:4096] == buf[4096:]
            assert dev.unmap_dma(0x100000, 8192) == 8192
        msi = os.eventfd(0)
        dev.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", msi))
        for n in range(1, 20):
            dev.write(0, 0x60, n, 4)
            assert os.eventfd_read(msi) == 1
            dev.write(0, 0x64, n, 4)
        ram = Device("0000:02:00.0")
        ram.command(2)
        plain = ram.map_bar(2)
        plain[:4] = b"kept"
        ram.command(0)
        ram.command(2)
        assert plain[:4] == b"kept" == ram.read(2, 0, 4).to_bytes(4, "little")
        return dev
    """
WHOLE = DRIVER + """
    dev = driver()
    print(os.getpid())
    """

# The program as if it were at its limit: @extra descriptors are left.
LIMIT = """
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    def fill():
        top = max(int(n) for n in os.listdir("/proc/self/fd"))
        while (fd := os.dup(0)) <= top:
            pass
        os.close(fd)
        return fd
    def attempt(extra, what):
        pid = os.fork()
        if pid == 0:
            resource.setrlimit(resource.RLIMIT_NOFILE, (fill() + extra, hard))
            try:
                what()
                os._exit(0)
            except OSError as e:
                os._exit(e.errno)
        status = os.waitpid(pid, 0)[1]
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) \\
            else -os.WTERMSIG(status)
    """


def joined(*parts):
    return "\n".join(textwrap.dedent(part) for part in parts)


def lines(err):
    """Without the report on what the program did."""
    return [line for line in err.splitlines()
            if "softvfio why" not in line and "left behind" not in line]


def said_once(got, expected):
    return len(got) == len(expected) and \
        all(part in line for part, line in zip(expected, got))


def check(result, said=()):
    """It worked, and said what it had to: one line for each of @said."""
    status, out, err = result
    assert status == 0 and out.strip().isdigit(), out + err
    assert said_once(lines(err), said), err


@pytest.fixture
def confine():
    tried = subprocess.run([CONFINE, "-d", "kcmp", "true"], check=False,
                           capture_output=True, text=True)
    if tried.returncode == 77:
        pytest.skip(tried.stderr.strip())

    def make(user, *args):
        return [user.bring(CONFINE), *args]
    return make


def forbid(*names):
    return [word for name in names for word in ("-d", name)]


NO_LEAK_CHECK = "ASAN_OPTIONS=detect_leaks=0"  # which needs ptrace


def environment(user, **changes):
    """The user's; a variable that is None is not there at all."""
    env = dict(user.env(), **dict([NO_LEAK_CHECK.split("=", 1)]))
    env.update(changes)
    return {name: value for name, value in env.items() if value is not None}


# Ordinary limits

def test_the_limits_of_an_ordinary_login_are_enough(user, script, confine):
    check(user.softvfio("run", *MACHINE, "--", *script(joined(WHOLE, """
        import resource
        assert resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == 8 << 20
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] == 1024
        buf = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE)
        dev.map_dma(buf, 0, 64 << 20)      # eight times RLIMIT_MEMLOCK
        vectors = [os.eventfd(0) for _ in range(900)]
        """)), before=confine(user, "-l", str(8 << 20), "-n", "1024")))


def test_qemu_img_needs_no_more_than_that(user, confine):
    if not shutil.which("qemu-img"):
        pytest.skip("qemu-img is not installed (Debian package qemu-utils)")
    disk = user.dir / "disk.img"
    disk.write_bytes(os.urandom(4 << 20))
    disk.chmod(0o666)
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-img", "convert", "-f",
        "raw", "-O", "raw", "nvme://0000:01:00.0/1", "copy.img",
        env=environment(user),
        before=confine(user, *forbid("container", "process_vm"), "-l",
                       str(8 << 20), "-n", "1024"))
    assert status == 0 and lines(err) == [], out + err
    assert disk.read_bytes() == (user.dir / "copy.img").read_bytes()


# Forbidden system calls

# What a newer host has, asked for as a program would.
NEWER = """
    import ctypes, errno, fcntl, os
    def failed(call, *args):
        try:
            return call(*args) and 0
        except OSError as e:
            return e.errno
    libc = ctypes.CDLL(None, use_errno=True)
    def syscall(nr):
        return ctypes.get_errno() if libc.syscall(nr, 0, 0) < 0 else 0
    assert syscall(323) == errno.ENOSYS, "userfaultfd"
    assert syscall(425) == errno.ENOSYS, "io_uring_setup"
    with open("/proc/self/maps") as maps:
        # of an old kernel; a newer one says EINVAL or EFAULT
        assert failed(fcntl.ioctl, maps, 0xc0686611, 0) == errno.ENOTTY
    for name, query in ("kvm", 0xae00), ("userfaultfd", 0xaa00):
        fd = failed(os.open, f"/dev/{name}", os.O_RDWR)
        if fd == 0:
            with open(f"/dev/{name}", "r+b", buffering=0) as device:
                assert failed(fcntl.ioctl, device, query) == errno.ENOTTY
    """


@pytest.mark.usefixtures("confine")
def test_what_a_machine_may_lack_can_be_hidden():
    hide = forbid("userfaultfd", "io_uring", "procmap-query", "kvm")
    subprocess.run([CONFINE, "-e", "ENOSYS", *hide, sys.executable, "-c",
                    textwrap.dedent(NEWER)], check=True)


@pytest.mark.parametrize("name", FACILITIES)
def test_without_one_facility(user, script, confine, name):
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        env=environment(user),
                        before=confine(user, *forbid(name))),
          FACILITIES[name])


@pytest.mark.parametrize("how", ["EPERM", "ENOSYS"])
def test_without_all_of_them(user, script, confine, how):
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        env=environment(user),
                        before=confine(user, "-e", how, *forbid(*FACILITIES))),
          ALL)


@pytest.mark.parametrize("how", ["EPERM", "ENOSYS"])
def test_the_program_alone_without_all_of_them(user, script, confine, how):
    check(user.softvfio("run", *MACHINE, "--",
                        *confine(user, "-e", how, *forbid(*FACILITIES)),
                        *script(WHOLE)))


def test_the_daemon_alone_without_all_of_them(serve, script, me, confine):
    d = serve("edu", "ram,size=64K",
              before=["env", NO_LEAK_CHECK, *confine(me, *forbid(*FACILITIES))])
    check(d.run(*script(WHOLE)))
    check(d.run(*script(WHOLE)))
    assert said_once(d.said, ALL)


def test_without_aio_a_full_eventfd_still_blocks_nobody(user, script, confine):
    status, out, err = user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        dev.command(dev.command() | 4)
        fd = os.eventfd(0)
        os.eventfd_write(fd, 0xfffffffffffffffe)
        dev.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", fd))
        for i in range(50):
            dev.write(0, 0x60, 1, 4)
            dev.write(0, 0x64, 1, 4)
        assert dev.read(0, 0, 4) == 0x010000ed
        # what the warning said: those signals are lost
        assert os.eventfd_read(fd) == 0xfffffffffffffffe
        dev.write(0, 0x60, 1, 4)
        assert os.eventfd_read(fd) == 1
        """), env=environment(user), before=confine(user, *forbid("aio")))
    assert status == 0, out + err


def test_what_it_cannot_do_without_is_named(user, confine):
    for name, said in (("inotify", "inotify"), ("memfd", "memfd_create")):
        status, out, err = user.softvfio(
            "run", *MACHINE, "--", "true", env=environment(user),
            before=confine(user, *forbid(name)))
        assert status == 125 and out == ""
        assert said_once(lines(err), [said]), err


# Namespaces

UNSHARE = {
    "user": "-Urm",
    "network": "-Urmn",
    "processes": "-Urmpf",
    "all": "-UrmnpfiuC",
}


def unshare(user, flags):
    command = ["unshare", flags]
    if "p" in flags:
        command.append("--mount-proc")
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed (Debian package util-linux)")
    p = user.popen([*command, "true"], stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, text=True)
    _, err = p.communicate(timeout=support.deadline(20))
    if p.returncode:
        pytest.skip("this host allows no such namespace: " + err.strip())
    return command


@pytest.mark.parametrize("flags", UNSHARE.values(), ids=UNSHARE)
def test_in_namespaces(user, script, flags):
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        before=unshare(user, flags)))


@pytest.mark.parametrize("flags", UNSHARE.values(), ids=UNSHARE)
def test_the_program_alone_in_namespaces(user, script, flags):
    check(user.softvfio("run", *MACHINE, "--", *unshare(user, flags),
                        *script(WHOLE)))


# A /dev as bare as can be, on which nobody can make anything.
BARE_DEV = """
    set -e
    mount -t tmpfs none "$0"
    for name in null zero random urandom; do
        : > "$0/$name"
        mount --bind "/dev/$name" "$0/$name"
    done
    mount -o remount,bind,ro "$0"
    mount --rbind "$0" /dev
    test ! -e /dev/shm
    exec "$@"
    """


def mount_point(user):
    path = user.dir / "mnt"
    path.mkdir()
    path.chmod(0o777)
    return path


def test_without_dev_shm(user, script):
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        before=[*unshare(user, "-Urm"), "sh", "-c", BARE_DEV,
                                mount_point(user)]))


@pytest.mark.only_if(support.SLOW == 1, "sanitizers need /proc")
def test_without_proc_it_says_so(user):
    status, out, err = user.softvfio(
        "run", *MACHINE, "--", "true", env=environment(user),
        before=[*unshare(user, "-Urm"), "sh", "-c",
                'mount -t tmpfs none /proc && exec "$0" "$@"'])
    assert status == 125 and out == ""
    assert said_once(lines(err), ["mount /proc"]), err


# The environment

@pytest.mark.parametrize("gone", [
    ["XDG_RUNTIME_DIR"], ["HOME"], ["HOME", "XDG_RUNTIME_DIR"],
], ids="+".join)
def test_without(user, script, gone):
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        env=environment(user, **dict.fromkeys(gone))))


def test_without_any_environment(user, script):
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        env={"SOFTVFIO_SHIM": str(user.shim)}))


def test_a_runtime_directory_of_somebody_else_is_not_used(user, script):
    others = user.dir / "others"
    others.mkdir()
    if os.geteuid():
        others = "/proc/1"
    elif not user.nobody:
        os.chown(others, support.NOBODY, support.NOBODY)
    check(user.softvfio("run", *MACHINE, "--", *script(WHOLE),
                        env=environment(user, XDG_RUNTIME_DIR=str(others))))


def test_a_read_only_runtime_directory_is_named(user):
    before = [*unshare(user, "-Urm"), "sh", "-c",
              'mount -t tmpfs -o ro none "$0" && exec "$@"', mount_point(user)]
    status, out, err = user.softvfio(
        "run", *MACHINE, "--", "true", before=before,
        env=environment(user, XDG_RUNTIME_DIR=str(user.dir / "mnt")))
    assert status == 125 and out == "", out
    assert "Read-only file system" in err and str(user.dir / "mnt") in err


# Descriptors

def test_a_program_at_its_descriptor_limit_gets_emfile(user, script):
    status, out, err = user.softvfio(
        "run", *MACHINE, "--", *script(joined(DRIVER, LIMIT, """
        results = [attempt(extra, driver) for extra in range(40)]
        first = results.index(0)
        assert 0 < first and set(results[:first]) == {errno.EMFILE}, results
        assert set(results[first:]) == {0}, results
        driver()
        """)))
    assert status == 0, out + err


def test_each_call_at_the_descriptor_limit(user, script):
    status, out, err = user.softvfio(
        "run", *MACHINE, "--", *script(joined(LIMIT, """
        dev = Device("0000:01:00.0")
        private = mmap.mmap(-1, 8192, mmap.MAP_PRIVATE)
        shared = mmap.mmap(-1, 8192)
        msi = struct.pack("=i", os.eventfd(0))
        calls = {
            "open": lambda: os.open("/dev/vfio/vfio", os.O_RDWR),
            "stat": lambda: os.stat("/dev/vfio/vfio"),
            "ioctl": lambda: fcntl.ioctl(dev.container, GET_API_VERSION),
            "info": lambda: dev.region(0),
            "pread": lambda: dev.read(7, 0, 4),
            "pwrite": lambda: dev.write(0, 4, 1, 4),
            "mmap": lambda: dev.map_bar(0),
            "irq": lambda: dev.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, msi),
            "dma": lambda: (dev.map_dma(private, 0, 8192),
                            dev.unmap_dma(0, 8192)),
            "dma shared": lambda: (dev.map_dma(shared, 0, 8192),
                                   dev.unmap_dma(0, 8192)),
        }
        for name, call in calls.items():
            results = [attempt(extra, call) for extra in range(10)]
            first = results.index(0)
            assert set(results[:first]) <= {errno.EMFILE}, (name, results)
            assert set(results[first:]) == {0}, (name, results)
        """)))
    assert status == 0, out + err


# The host counts what a user's programs have in flight; root is exempt.
@pytest.mark.parametrize("user", support.users()[-1:], indirect=True)
def test_a_call_among_too_many_descriptors_in_flight_gets_emfile(user, script):
    status, out, err = user.softvfio(
        "run", *MACHINE, "--", *script("""
        import resource
        container = os.open("/dev/vfio/vfio", os.O_RDWR)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        near, far = socket.socketpair()
        for _ in range(4):
            socket.send_fds(near, [b"x"], [0] * 20)
        try:    # the first call sends where it is to be answered
            fcntl.ioctl(container, GET_API_VERSION)
            sys.exit("it was sent")
        except OSError as e:
            assert e.errno == errno.EMFILE, e
        for _ in range(4):
            for fd in socket.recv_fds(far, 1, 20)[1]:
                os.close(fd)
        assert fcntl.ioctl(container, GET_API_VERSION) == 0
        """))
    assert status == 0, out + err


def test_a_daemon_at_its_descriptor_limit_refuses_and_recovers(serve, script,
                                                               me, confine):
    d = serve("edu", before=confine(me, "-n", "64"))
    program = script("""
        fds = []
        try:
            while len(fds) < 100:
                fds.append(os.open("/dev/vfio/vfio", os.O_RDWR))
            sys.exit("the daemon has more than 64")
        except OSError as e:
            assert e.errno in (errno.EMFILE, errno.ENFILE), e
        for fd in fds[:10]:     # what is open answers, or says it cannot
            try:
                assert fcntl.ioctl(fd, GET_API_VERSION) == 0
            except OSError as e:
                assert e.errno in (errno.ENODEV, errno.EMFILE), e
        for fd in fds:
            os.close(fd)
        dev = Device("0000:01:00.0")
        assert dev.read(7, 0, 4) == 0x11e81234
        """)
    most = 64
    for _ in range(4):
        status, out, err = d.run(*program)
        assert status == 0, out + err
        support.wait_for(lambda: d.fds() <= most, "the daemon's descriptors")
        most = 32   # far more than it needs for itself


def test_what_is_closed_makes_room_at_once(serve, script, me, confine):
    d = serve("edu", before=confine(me, "-n", "64"))
    status, out, err = d.run(*script("""
        def fill():
            fds = []
            try:
                while True:
                    fds.append(os.open("/dev/vfio/vfio", os.O_RDWR))
            except OSError as e:
                assert e.errno in (errno.EMFILE, errno.ENFILE), e
            return fds

        for i in range(200):
            for fd in fill():
                os.close(fd)
            for fd in [os.open("/dev/vfio/vfio", os.O_RDWR)
                       for _ in range(4)]:
                os.close(fd)
        """))
    assert status == 0, out + err


@pytest.mark.parametrize("limit", range(8, 40, 4))
def test_a_machine_with_few_descriptors_starts_or_says_why_not(me, confine,
                                                               limit):
    status, out, err = me.softvfio("run", *MACHINE, "--", "echo", "ran",
                                   before=confine(me, "-n", str(limit)))
    assert (status, out) in ((0, "ran\n"), (125, "")), (status, out, err)
    assert all("Too many open files" in line for line in lines(err)), err
    assert status == 0 or lines(err)
