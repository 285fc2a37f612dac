# SPDX-License-Identifier: BSD-3-Clause
"""A BAR's mapping works wherever its process goes, as on Linux: where no path
leads to the daemon or to /proc, as another user, and with no number left for a
descriptor.
"""
import os
import shutil
import subprocess

import pytest

import support

MACHINE = ("-d", "edu", "-d", "ram,size=64K")

# Registers trap, memory is direct and its gate closes and opens meanwhile.
PROGRAM = """
    import ctypes, resource, threading
    CLONE_NEWNS, MNT_DETACH, MS_PRIVATE = 0x20000, 2, 1 << 18 | 1 << 14
    edu = Device("0000:01:00.0")
    edu.command(edu.command() | 6)
    bar = edu.map_bar(0)
    regs = (ctypes.c_uint32 * 64).from_buffer(bar)
    ram = Device("0000:02:00.0")
    ram.command(2)
    plain = ram.map_bar(2)
    libc = ctypes.CDLL(None, use_errno=True)
    empty = sys.argv[2]

    def check(r):
        if r < 0:
            raise OSError(ctypes.get_errno(), "")

    def touch():
        for n in range(20):
            regs[1] = n
            assert regs[1] == ~n & 0xffffffff

    def storm():
        done = False
        def reset():
            nonlocal done
            for _ in range(100):
                ram.reset()
                ram.command(2)
            done = True
        t = threading.Thread(target=reset)
        t.start()
        n = 0
        while not done:
            n += 1
            plain[n * 8 % 65536] = n & 255
        t.join()

    def crowd():
        failed = []
        def run():
            try:
                touch()
            except BaseException as e:
                failed.append(e)
        threads = [threading.Thread(target=run) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed

    def child():
        pid = os.fork()
        if not pid:
            touch()
            crowd()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0

    def private_mounts():
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(b"none", b"/", None, MS_PRIVATE, None))

    def chroot():
        os.chroot(empty)
        os.chdir("/")
        assert os.listdir("/") == []

    def mask_proc():
        private_mounts()
        check(libc.mount(b"none", b"/proc", b"tmpfs", 0, None))
        assert not os.path.exists("/proc/self")

    def umount_proc():
        private_mounts()
        check(libc.umount2(b"/proc", MNT_DETACH))
        assert not os.path.exists("/proc/self")

    def other_user():
        os.setgroups([])
        os.setgid(4321)
        os.setuid(4321)

    def close_all():
        check(libc.close_range(3, 0xffffffff, 0))

    def fill_numbers():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (600, hard))
        try:
            while True:
                os.dup(0)
        except OSError as e:
            assert e.errno == errno.EMFILE

    def storm_if_open():
        try:
            os.fstat(ram.fd)
        except OSError:
            return
        storm()

    touch()
    try:
        for step in sys.argv[1].split("+"):
            globals()[step]()
    except OSError as e:
        print("cannot:", e)
        sys.exit(77)
    touch()
    storm_if_open()
    crowd()
    child()
    touch()
    """

WAYS = """
chroot mask_proc close_all fill_numbers chroot+fill_numbers close_all+chroot
close_all+mask_proc
""".split()

# An ordinary user is alone in his namespace, and what was mounted stays.
ROOTS_WAYS = """
umount_proc other_user chroot+other_user other_user+fill_numbers
close_all+other_user close_all+chroot+other_user mask_proc+other_user
umount_proc+chroot
""".split()


def away(user, script, way, wrap=(), before=()):
    empty = user.dir / "empty"
    empty.mkdir()
    empty.chmod(0o755)
    status, out, err = user.softvfio(
        "run", *MACHINE, "--", *before, *wrap,
        *script(PROGRAM, way, str(empty)))
    if status == 77:
        pytest.skip("this host does not let " + user.name + " " + out.strip())
    assert status == 0, out + err


def namespace(user):
    """Ordinary users have those rights in a namespace of their own."""
    if os.geteuid() == 0 and not user.nobody:
        return []
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed (Debian package util-linux)")
    command = ["unshare", "-Urm"]
    p = user.popen([*command, "true"], stderr=subprocess.PIPE, text=True)
    _, err = p.communicate(timeout=support.deadline(20))
    if p.returncode:
        pytest.skip("this host allows no such namespace: " + err.strip())
    return command


@pytest.mark.parametrize("way", WAYS)
def test_touches_work(user, script, way):
    away(user, script, way, namespace(user))


@pytest.mark.only_if(os.geteuid() == 0, "only root can do that")
@pytest.mark.parametrize("way", ROOTS_WAYS)
def test_touches_work_where_root_goes(me, script, way):
    away(me, script, way)


@pytest.mark.parametrize("way", WAYS + (ROOTS_WAYS if os.geteuid() == 0
                                        else []))
def test_touches_work_without_map_queries(me, script, way):
    confine = me.bring(support.BUILD / "tests" / "client" / "confine")
    away(me, script, way, namespace(me), [confine, "-d", "procmap-query"])
