# SPDX-License-Identifier: BSD-3-Clause
"""Sockets that look like ours and are not: a stranger gets nothing.

A program under the shim has a connection to somebody who bound a name such as
the daemon gives to files. Every call on it does what it does on the same
socket without that name, and the stranger receives the same bytes. The
stranger is another user when we are root.
"""
import json
import os
import subprocess

import pytest

import support

# How the program comes by a socket whose peer has such a name.
KINDS = """
accepted_stream accepted_seqpacket named_after_connecting
connected_stream connected_seqpacket connected_dgram
strangers_pair_stream strangers_pair_seqpacket strangers_pair_dgram
own_pair_stream own_pair_seqpacket own_pair_dgram
""".split()

NAMED = ["/dev/vfio/vfio", "/dev/vfio/1", "anon_inode:[vfio-device]",
         "/sys/bus/pci/devices/0000:01:00.0/config", ""]

# Both sides make sockets; the stranger without the shim, as another user.
COMMON = """
import json, os, socket, sys
TYPES = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET,
         "dgram": socket.SOCK_DGRAM}

def type_of(kind):
    return TYPES.get(kind.rpartition("_")[2], socket.SOCK_STREAM)

def new(kind):
    return socket.socket(socket.AF_UNIX, type_of(kind))
"""

STRANGER = COMMON + """
control = socket.socket(fileno=int(sys.argv[1]))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

def meet(kind, name, path):
    if kind.startswith(("accepted", "named_after")):
        s = new(kind)
        if name and kind.startswith("accepted"):
            s.bind(name)
        s.connect(path)
        if name and not kind.startswith("accepted"):
            s.bind(name)
    elif kind.startswith("connected"):
        s = new(kind)
        s.bind(name or "\\0plain%d" % os.getpid())
        if "dgram" not in kind:
            s.listen()
        control.send(b"listening")
        if "dgram" not in kind:
            s, _ = s.accept()
    elif kind.startswith("strangers"):
        s, theirs = socket.socketpair(socket.AF_UNIX, type_of(kind))
        if name:
            s.bind(name)
        socket.send_fds(control, [b"pair"], [theirs.fileno()])
        theirs.close()
    else:
        _, fds, _, _ = socket.recv_fds(control, 10, 1)
        s = socket.socket(fileno=fds[0])
        if name:
            s.bind(name)
    return s

def received(s):
    got = []
    s.setblocking(False)
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(s, 1 << 20, 20)
        except (BlockingIOError, ConnectionResetError):
            break
        if not data and not fds:
            break
        got.append([data.decode("latin1"), len(fds)])
    return got

while True:
    order = control.recv(4096)
    if not order:
        break
    kind, name, path = json.loads(order)
    s = meet(kind, "\\0" + name if name else "", path)
    control.send(b"ready")
    assert control.recv(10) == b"end"
    control.send(json.dumps(received(s)).encode())
    s.close()
"""

VICTIM = COMMON + """
import subprocess, stat, select, ctypes
dev = Device("0000:01:00.0")
instance = socket.socket(fileno=os.dup(dev.container)).getpeername()
instance = instance.decode().split("/")[1]
control, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
clean = {k: v for k, v in os.environ.items()
         if k != "LD_PRELOAD" and not k.startswith("SOFTVFIO")}
stranger = subprocess.Popen([sys.executable, "-c", sys.argv[3],
                             str(far.fileno())], pass_fds=[far.fileno()],
                            env=clean)
far.close()
listeners = {}
for kind in ("stream", "seqpacket"):
    listeners[kind] = new("x_" + kind)
    path = os.path.join(sys.argv[2], kind)
    listeners[kind].bind(path)
    os.chmod(path, 0o777)
    listeners[kind].listen()

def meet(kind, name):
    accepts = kind.startswith(("accepted", "named_after"))
    l = listeners.get(kind.rpartition("_")[2], listeners["stream"])
    control.send(json.dumps([kind, name, l.getsockname()
                             if accepts else ""]).encode())
    if accepts:
        s, _ = l.accept()
    elif kind.startswith("connected"):
        assert control.recv(10) == b"listening"
        s = new(kind)
        s.connect("\\0" + name if name else "\\0plain%d" % stranger.pid)
    elif kind.startswith("strangers"):
        _, fds, _, _ = socket.recv_fds(control, 10, 1)
        s = socket.socket(fileno=fds[0])
    else:
        s, theirs = socket.socketpair(socket.AF_UNIX, type_of(kind))
        socket.send_fds(control, [b"pair"], [theirs.fileno()])
        theirs.close()
    assert control.recv(10) == b"ready"
    s.setblocking(False)
    return s

def shown(st):
    return stat.S_IFMT(st.st_mode), st.st_rdev, st.st_size

def calls(s):
    fd = s.fileno()
    own = "/proc/self/fd/%d" % fd
    libc = ctypes.CDLL(None, use_errno=True)
    def raw(number, *args):
        r = libc.syscall(number, fd, *args)
        if r < 0:
            raise OSError(ctypes.get_errno(), "")
        return r
    buf = ctypes.create_string_buffer(64)
    yield "api", lambda: fcntl.ioctl(fd, GET_API_VERSION)
    yield "info", lambda: fcntl.ioctl(fd, GET_REGION_INFO, bytearray(32))
    yield "map", lambda: fcntl.ioctl(fd, MAP_DMA, struct.pack(
        "=IIQQQ", 32, 3, ctypes.addressof(buf) & ~4095, 0, 4096))
    yield "raw ioctl", lambda: raw(16, GET_API_VERSION, 0)
    yield "read", lambda: os.read(fd, 8)
    yield "readv", lambda: os.readv(fd, [bytearray(8)])
    yield "raw read", lambda: raw(0, buf, 8)
    yield "pread", lambda: os.pread(fd, 8, 7 << 40)
    yield "preadv", lambda: os.preadv(fd, [bytearray(8)], 7 << 40)
    yield "pwrite", lambda: os.pwrite(fd, b"pwrite", 7 << 40)
    yield "pwritev", lambda: os.pwritev(fd, [b"pwritev"], 7 << 40)
    yield "write", lambda: os.write(fd, b"write")
    yield "writev", lambda: os.writev(fd, [b"wri", b"tev"])
    yield "raw write", lambda: raw(1, b"raw write", 9)
    yield "mmap", lambda: mmap.mmap(fd, 4096)
    yield "private mmap", lambda: mmap.mmap(fd, 4096, mmap.MAP_PRIVATE)
    yield "fstat", lambda: shown(os.fstat(fd))
    yield "stat", lambda: shown(os.stat(own))
    yield "lstat", lambda: shown(os.lstat(own))[:2]
    yield "readlink", lambda: os.readlink(own).split(":")[0]
    yield "realpath", lambda: os.path.realpath(own).split(":")[0]
    yield "open", lambda: os.open(own, os.O_RDWR)
    yield "fopen", lambda: open(own, "rb")
    yield "poll", lambda: select.select([fd], [fd], [fd], 0)[0]
    yield "xattr", lambda: os.getxattr(own, "user.x")
    yield "truncate", lambda: os.ftruncate(fd, 0)
    yield "seek", lambda: os.lseek(fd, 0, os.SEEK_CUR)

def outcome(call):
    try:
        return call()
    except OSError as e:
        return errno.errorcode[e.errno]

def everything(kind, name):
    s = meet(kind, name)
    results = {what: repr(outcome(call)) for what, call in calls(s)}
    control.send(b"end")
    results["received"] = json.loads(control.recv(1 << 20))
    s.close()
    return results

def names():
    for n, what in enumerate(json.loads(sys.argv[4])):
        yield "softvfio/%s/%016x/%s" % (instance, n + 1, what)
        yield "softvfio/%016x/%x/%s" % (0, n + 1, what)

plain = everything(sys.argv[1], "")
assert plain["api"] == "'ENOTTY'" and plain["mmap"] == "'ENODEV'", plain
assert [text for text, _ in plain["received"]], plain
for name in names():
    got = everything(sys.argv[1], name)
    differs = {k: (v, plain[k]) for k, v in got.items() if v != plain[k]}
    assert not differs, (name, differs)
control.close()
assert stranger.wait() == 0
assert dev.read(7, 0, 2) == 0x1234     # and ours is still ours
"""


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_stranger_named_is_the_hosts(user, script, kind):
    sockets = user.dir / "sockets"
    sockets.mkdir()
    if user.nobody:
        os.chown(sockets, support.NOBODY, support.NOBODY)
    status, out, err = user.softvfio(
        "run", "-d", "edu", "--",
        *script(VICTIM, kind, str(sockets), STRANGER, json.dumps(NAMED)))
    assert status == 0, out + err


def test_memory_that_a_stranger_named_is_no_bar(user, script):
    """A memfd with the name of a BAR's, and made shorter under the program."""
    status, out, err = user.softvfio("run", "-d", "ram,size=64K", "--",
                                     *script("""
        import ctypes
        ram = Device("0000:01:00.0")
        ram.command(2)
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                              ctypes.c_int, ctypes.c_int, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t,
                                  ctypes.c_int]
        SHARED, FIXED, RW, EXEC = 1, 16, 3, 4
        def put(addr, fd, off):
            flags = SHARED | (FIXED if addr else 0)
            addr = libc.mmap(addr, 4096, RW, flags, fd, off)
            assert addr != ctypes.c_void_p(-1).value
            return addr
        base = libc.mmap(None, 3 * 4096, 0, 0x22, -1, 0)
        put(base, ram.fd, 2 << 40)
        put(base + 8192, ram.fd, 2 << 40)
        name = [line.split("memfd:")[1].split(" ")[0]
                for line in open("/proc/self/maps") if "softvfio:" in line][0]
        fd = os.memfd_create(name)
        os.ftruncate(fd, 4096)
        put(base + 4096, fd, 0)
        assert libc.mprotect(base + 4096, 4096, RW | EXEC) == 0
        assert libc.mprotect(base, 4096, RW | EXEC) == -1
        assert ctypes.get_errno() == errno.EACCES
        os.ftruncate(fd, 0)
        pid = os.fork()
        if not pid:
            ctypes.memset(base + 4096, 1, 1)
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGBUS
        ctypes.memset(base + 8192, 7, 1)
        assert ctypes.string_at(base, 1) == b"\7"
        """))
    assert status == 0, out + err


# Files that are ours, seen from where the daemon looks different.

ANOTHER_USER = ["setpriv", "--reuid", "4321", "--regid", "4321",
                "--clear-groups"]
HEIRS = {
    "as it is": [],
    "users mapped": ["unshare", "-Ur"],
    "users not mapped": ["unshare", "-U"],
    "processes": ["unshare", "-Urpf"],
    "processes, users not mapped": ["unshare", "-Upf"],
    "network": ["unshare", "-Urn"],
}

HEIR = """
    import subprocess, sys
    container, device, memfd = (int(n) for n in sys.argv[1:4])
    dev = object.__new__(Device)
    dev.container, dev.fd = container, device
    assert fcntl.ioctl(container, GET_API_VERSION) == 0
    assert os.readlink("/proc/self/fd/%d" % container) == "/dev/vfio/vfio"
    assert dev.read(0, 0, 4) == 0x010000ed
    buf = mmap.mmap(memfd, 4096)
    dev.map_dma(buf, 0, 4096)
    assert dev.unmap_dma(0, 4096) == 4096
    bar = dev.map_bar(0)
    near, far = socket.socketpair()
    socket.send_fds(near, [b"x"], [device])
    dev.fd = socket.recv_fds(far, 1, 1)[1][0]
    assert dev.read(0, 0, 4) == 0x010000ed
    """


def inherit(user, script, how):
    p = user.popen([*how, "true"], stderr=subprocess.PIPE, text=True)
    _, err = p.communicate(timeout=support.deadline(20))
    if p.returncode:
        pytest.skip("this host does not let " + user.name + ": " + err.strip())
    status, out, err = user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        dev.command(6)
        fds = dev.container, dev.fd, os.memfd_create("memory")
        os.ftruncate(fds[2], 4096)
        for fd in fds:
            os.set_inheritable(fd, True)
        args = sys.argv[1:] + [str(fd) for fd in fds]
        os.execvp(args[0], args)
        """, *how, *script(HEIR)))
    assert status == 0, out + err


@pytest.mark.parametrize("how", HEIRS)
def test_inherited_files_are_ours(user, script, how):
    inherit(user, script, HEIRS[how])


@pytest.mark.only_if(os.geteuid() == 0, "only root becomes another user")
def test_files_inherited_by_another_user_are_ours(me, script):
    inherit(me, script, ANOTHER_USER)


def test_inherited_files_are_ours_where_run_said_nothing(user, script):
    """Without SOFTVFIO_DAEMON the door is asked."""
    status, out, err = user.softvfio("run", "-d", "edu", "--", *script("""
        dev = Device("0000:01:00.0")
        dev.command(6)
        fds = dev.container, dev.fd, os.memfd_create("memory")
        os.ftruncate(fds[2], 4096)
        for fd in fds:
            os.set_inheritable(fd, True)
        del os.environ["SOFTVFIO_DAEMON"]
        args = sys.argv[1:] + [str(fd) for fd in fds]
        os.execvp(args[0], args)
        """, *script(HEIR)))
    assert status == 0, out + err


@pytest.mark.only_if(os.geteuid() == 0, "a second user needs root")
def test_a_strangers_door_in_a_chroot_is_told_nothing(me, script):
    status, out, err = me.softvfio("run", "-d", "edu", "--", *script("""
        import select
        dev = Device("0000:01:00.0")
        here = os.environ["SOFTVFIO_DIR"]
        jail = sys.argv[1]
        inside = jail + here
        os.makedirs(inside + "/root/dev/vfio")
        os.chmod(inside, 0o777)
        os.chmod(inside + "/root/dev/vfio", 0o777)
        go, up = os.pipe(), os.pipe()
        stranger = os.fork()
        if not stranger:
            os.close(go[1])
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
            os.chdir(inside)
            door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            door.bind("door")
            door.listen()
            node = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            node.bind("root/dev/vfio/vfio")
            os.write(up[1], b"x")
            os.read(go[0], 1)
            came = 0
            while select.select([door], [], [], 0)[0]:
                s, _ = door.accept()
                if select.select([s], [], [], 0)[0]:
                    came += len(s.recv(4096))
            os._exit(1 if came else 0)
        os.read(up[0], 1)
        os.dup2(go[1], 500)
        os.closerange(3, 400)
        os.chroot(jail)
        os.stat("/dev/vfio/vfio")
        try:
            os.open("/dev/vfio/vfio", os.O_RDWR)
            sys.exit("a stranger has answered")
        except OSError as e:
            assert e.errno == errno.ENODEV, e
        os.close(500)     # closerange() has closed the other
        _, status = os.waitpid(stranger, 0)
        assert status == 0, status
        """, str(me.dir / "jail")))
    assert status == 0, out + err


def test_files_of_a_dead_daemon_are_enodev_also_after_exec(serve, script):
    d = serve("edu")
    p = d.user.popen([d.user.bin, "run", "--instance", d.name, "--", *script("""
        dev = Device("0000:01:00.0")
        fd = os.dup(dev.fd)
        os.set_inheritable(fd, True)
        print("ready", flush=True)
        sys.stdin.readline()
        os.execvp(sys.argv[1], [*sys.argv[1:], str(fd)])
        """, *script("""
        fd = int(sys.argv[1])
        for call in (lambda: fcntl.ioctl(fd, RESET), lambda: os.read(fd, 4),
                     lambda: os.pread(fd, 4, 0), lambda: os.write(fd, b"x"),
                     lambda: mmap.mmap(fd, 4096)):
            try:
                call()
                sys.exit("the dead answer")
            except OSError as e:
                assert e.errno == errno.ENODEV, e
        """))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "ready\n"
    d.kill()
    out, _ = p.communicate("go\n", timeout=support.deadline(20))
    assert p.returncode == 0, out
