# SPDX-License-Identifier: BSD-3-Clause
"""A model that does not return takes nobody along: not who uses another device,
not softvfio's own commands, not the program that waits for it."""
import errno
import json
import os
import pathlib
import select
import signal
import subprocess
import sys

import pytest

import support

sys.path.append(str(pathlib.Path(__file__).parents[1] / "proto"))
import proto  # noqa: E402

HERE = support.BUILD / "tests" / "client"
CALLBACKS = ("read", "write", "reset", "run", "open", "close", "burst")

# What gets into each callback, and what comes out of it after the time-out.
VICTIM = '''
import time
where, bdf = sys.argv[1:]
def register(dev):
    return ctypes.c_uint32.from_buffer(bars.setdefault(dev, dev.map_bar(0)))
bars = {}
def failing(fn):
    try:
        fn()
    except OSError as e:
        return errno.errorcode[e.errno]
    return "done"
def say(*words):
    print(*words, flush=True)
if where == "open":
    say("begins")
    say(failing(lambda: Device(bdf)))
    sys.exit()
dev = Device(bdf)
dev.command(2)
say("begins")
if where == "read":
    say(hex(register(dev).value), hex(dev.read(0, 0, 8)))
elif where == "write":
    register(dev).value = 7
    say(hex(register(dev).value), hex(dev.read(0, 0, 4)))
    dev.write(0, 0, 1, 4)
elif where == "reset":
    say(failing(dev.reset))
elif where == "close":
    os.close(dev.fd)
    say("closed")
else:
    register(dev).value = 7
    say(hex(register(dev).value), failing(dev.reset))
'''

AFTER = {
    "read": "0xffffffff 0xffffffffffffffff",
    "write": "0xffffffff 0xffffffff",
    "reset": "ENOTTY",
    "run": "0xffffffff ENOTTY",
    "burst": "0xffffffff ENOTTY",
    "open": "EIO",
    "close": "closed",
}

# Each kind of request, on a device that is well.
OTHER = '''
bdf = sys.argv[1]
for i in range(2):
    dev = Device(bdf)
    dev.command(6)
    buf = mmap.mmap(-1, 65536)
    dev.map_dma(buf, 0x10000, 65536)
    edu_dma(dev, 0x10000, 0x40000, 16, 1)
    assert dev.unmap_dma(0x10000, 65536) == 65536
    assert dev.region(0)[1] == 1 << 20
    bar = dev.map_bar(0)
    assert ctypes.c_uint32.from_buffer(bar, 0).value == 0x010000ed
    dev.write(0, 4, 0x1234, 4)
    assert dev.read(0, 4, 4) == ~0x1234 & 0xffffffff
    dev.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0,
                 struct.pack("=i", os.eventfd(0)))
    dev.reset()
    dev.command(0)
    dev.command(2)
    del bar
    for fd in (dev.fd, dev.group, dev.container):
        os.close(fd)
print("well")
'''


class Hang:
    """A daemon with a device for each callback, which hang, and one that is
    well."""

    def __init__(self, serve, user, places=CALLBACKS):
        user.bin = HERE / "softvfio-hang"
        self.user = user
        self.file = user.dir / "hang"
        self.bdf = {where: f"0000:{i + 1:02x}:00.0"
                    for i, where in enumerate(places)}
        self.daemon = serve(
            *(f"hang,in={where},file={self.file},bdf={bdf}"
              for where, bdf in self.bdf.items()), "edu,bdf=0000:20:00.0")

    def hang(self):
        self.file.touch()

    def end(self):
        self.file.unlink(missing_ok=True)

    def popen(self, command):
        return self.user.popen(
            [self.user.bin, "run", "--instance", self.daemon.name, "--",
             *command], stdout=subprocess.PIPE, text=True)

    def devices(self):
        status, out, err = self.user.softvfio(
            "ls", "--instance", self.daemon.name, "--json")
        assert status == 0, err
        return {d["bdf"]: d for d in json.loads(out)["instances"][0]["devices"]}


@pytest.fixture
def hang(serve, me):
    h = Hang(serve, me)
    yield h
    h.end()


# One mapping: memory, registers, memory.
MIXED = '''
dev = Device(sys.argv[1])
dev.command(2)
bar = dev.map_bar(4)
def word(off):
    return ctypes.c_uint32.from_buffer(bar, off)
for off in (0, 4092, 8192, 16380):
    word(off).value = 0x1000 + off
word(4096).value = 7
print([hex(word(off).value) for off in (0, 4092, 4096, 8192, 16380)])
print([hex(dev.read(4, off, 4)) for off in (0, 4092, 4096, 8192, 16380)])
dev.reset()
print(hex(word(0).value), hex(word(4096).value), hex(word(8192).value))
'''


def test_registers_and_memory_share_a_mapping(hang, script):
    status, out, err = hang.daemon.run(*script(MIXED, hang.bdf["read"]))
    values = "['0x1000', '0x1ffc', '0x8', '0x3000', '0x4ffc']\n"
    assert (status, out) == (0, values + values + "0x0 0x1 0x0\n"), err


def await_hang(file, where):
    support.wait_for(pathlib.Path(f"{file}.{where}").exists,
                     f"{where}() not to return", 30)


def await_stuck(hang, where, callback):
    bdf = hang.bdf[where]
    support.wait_for(lambda: callback in hang.devices()[bdf]["stuck"],
                     f"{callback}() to be called stuck", 30)


def start_all(hang, script):
    """A program inside each callback, or waiting at its door."""
    hang.hang()
    victims = {}
    for where, bdf in hang.bdf.items():
        victims[where] = hang.popen(script(VICTIM, where, bdf))
    for where, p in victims.items():
        assert p.stdout.readline() == "begins\n", where
        await_hang(hang.file, where)
    return victims


def rest(p):
    """What it still has to say, and how it ends; read as its first line was."""
    pidfd = os.pidfd_open(p.pid)
    if not select.select([pidfd], [], [], support.deadline(60))[0]:
        p.kill()
    os.close(pidfd)
    return p.wait(), p.stdout.read()


def stuck(hang):
    devices = hang.devices()
    return all(devices[bdf]["stuck"] for bdf in hang.bdf.values()) and devices


def test_each_callback_hangs_alone(hang, script):
    victims = start_all(hang, script)
    # at once, and when the watchdog has seen it
    for _ in range(2):
        status, out, err = hang.daemon.run(*script(OTHER, "0000:20:00.0"))
        assert (status, out) == (0, "well\n"), err
        devices = support.wait_for(lambda: stuck(hang), "the watchdog", 30)
    for where, bdf in hang.bdf.items():
        name = where if where in ("read", "write") else \
            "run" if where in ("run", "burst") else "reset"
        assert devices[bdf]["stuck"].startswith(f"stuck in {name}() for "), \
            where
    assert devices["0000:20:00.0"]["stuck"] == ""
    status, out, _ = hang.user.softvfio("ls", "--instance", hang.daemon.name)
    assert status == 0 and "stuck in write() for " in out, out
    status, out, _ = hang.user.softvfio("why", "--instance", hang.daemon.name)
    assert status == 0 and "stuck in write() for " in out, out
    for where, p in victims.items():
        assert rest(p) == (0, AFTER[where] + "\n"), where
    # what cannot be closed is not free, and what comes back is
    for bdf in hang.bdf.values():
        status, out, _ = hang.daemon.run(*script(
            "try:\n    Device(sys.argv[1])\n"
            "except OSError as e:\n    print(errno.errorcode[e.errno])", bdf))
        assert out in ("EBUSY\n", "EIO\n"), out
    hang.end()
    support.wait_for(lambda: not any(d["stuck"] or d["open"]
                                     for d in hang.devices().values()),
                     "the models to be back", 30)
    for bdf in hang.bdf.values():
        status, out, err = hang.daemon.run(*script(
            "\n" "dev = Device(sys.argv[1])\n"
            "dev.command(2)\n"
            "dev.write(0, 0, 4, 4)\n"
            "print(dev.read(0, 0, 4))", bdf))
        assert (status, out) == (0, "5\n"), err


def test_many_waiters_of_one_device_leave_room(hang, script):
    many = '''
    dev = Device(sys.argv[1])
    dev.command(2)
    bar = dev.map_bar(0)
    print("begins", flush=True)
    def touch():
        ctypes.c_uint32.from_buffer(bar, 0).value = 1
    for i in range(40):
        if os.fork() == 0:
            touch()
            os._exit(0)
    for i in range(40):
        os.wait()
    print("all", flush=True)
    '''
    hang.hang()
    p = hang.popen(script(many, hang.bdf["write"]))
    await_hang(hang.file, "write")
    status, out, err = hang.daemon.run(*script(OTHER, "0000:20:00.0"))
    assert (status, out) == (0, "well\n"), err
    assert rest(p) == (0, "begins\nall\n")


PEER = '''
edu, dev = Device("0000:20:00.0"), Device(sys.argv[1])
edu.command(6)
dev.command(2)
bar = dev.map_bar(0)
edu.map_dma(bar, 0x100000, 4096)
for command in (3, 1) * 2:
    src, dst = (0x40000, 0x100000) if command & 2 else (0x100000, 0x40000)
    edu_dma(edu, src, dst, 4, command)
print("done", flush=True)
'''


@pytest.mark.parametrize("where", ["read", "write"])
def test_a_peer_of_one_that_hangs_goes_on(hang, script, where):
    hang.hang()
    bdf = hang.bdf[where]
    p = hang.popen(script(PEER, bdf))
    await_hang(hang.file, where)
    assert rest(p) == (0, "done\n")
    support.wait_for(lambda: hang.devices()[bdf]["stuck"], "the watchdog", 30)
    assert hang.devices()["0000:20:00.0"]["stuck"] == ""
    status, out, err = hang.daemon.run(*script(OTHER, "0000:20:00.0"))
    assert (status, out) == (0, "well\n"), err


RUN = """
dev = Device(sys.argv[1])
dev.command(2)
bar = dev.map_bar(0)
ctypes.c_uint32.from_buffer(bar, 0).value = 1
"""

READ = """
dev = Device(sys.argv[1])
dev.command(2)
assert dev.read(0, 4, 4) == 0xffffffff
"""


def test_one_that_comes_back_and_hangs_again_is_seen_to(serve, me, script):
    """Its last holder is gone, so what goes on is the close."""
    hang = Hang(serve, me, ("run+close", "read"))
    hang.hang()
    p = hang.popen(script(RUN, hang.bdf["run+close"]))
    try:
        await_hang(hang.file, "run")
        await_stuck(hang, "run+close", "run")
        p.kill()
        p.wait()
        hang.devices()      # has seen that, and may not release it
        pathlib.Path(f"{hang.file}.run.go").touch()
        await_hang(hang.file, "close")
        p = hang.popen(script(READ, hang.bdf["read"]))
        assert p.wait(support.deadline(30)) == 0
        await_stuck(hang, "run+close", "reset")
    finally:
        hang.end()


def why(hang):
    status, out, err = hang.user.softvfio("why", "--instance",
                                          hang.daemon.name)
    assert status == 0, err
    return out


# Before the watchdog would end the wait: that one has been is in `why`.
@pytest.mark.parametrize("test,where", [
    ("store", "write"), ("altstack", "write"), ("load", "read"),
    ("modify", "write"), ("both-halves", "write"), ("jump", "write"),
    ("fork", "write"), ("touch", "reset")])
def test_a_handler_runs_while_an_access_waits(hang, test, where):
    hang.hang()
    p = hang.popen([HERE / "victim_hang", test, hang.bdf[where], hang.file])
    assert rest(p)[0] == 0
    assert "stuck" not in why(hang)


def test_decode_that_goes_off_in_a_burst_is_off_after_it(hang):
    hang.hang()
    p = hang.popen([HERE / "victim_hang", "burst", hang.bdf["burst"],
                    hang.file])
    assert rest(p)[0] == 0


def test_what_hangs_can_be_unplugged(hang, script):
    victims = start_all(hang, script)
    support.wait_for(lambda: stuck(hang), "the watchdog", 30)
    for bdf in hang.bdf.values():
        status, _, err = hang.user.softvfio(
            "unplug", "--instance", hang.daemon.name, bdf)
        assert status == 0, err
    for p in victims.values():
        rest(p)
    hang.end()
    support.wait_for(lambda: all(d["driver"] == "unplugged" and not d["open"]
                                 for b, d in hang.devices().items()
                                 if b in hang.bdf.values()),
                     "what was unplugged to be let go", 30)
    for bdf in hang.bdf.values():
        status, _, err = hang.user.softvfio(
            "plug", "--instance", hang.daemon.name, bdf)
        assert status == 0, err
        status, out, err = hang.daemon.run(*script(
            "Device(sys.argv[1])\nprint('open')", bdf))
        assert (status, out) == (0, "open\n"), err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT,
                                    signal.SIGALRM])
def test_a_signal_ends_an_access(hang, number):
    hang.hang()
    p = hang.popen([HERE / "victim_hang", "default", hang.bdf["write"],
                    hang.file])
    await_hang(hang.file, "write")
    os.kill(p.pid, number)
    assert rest(p)[0] == -number
    assert "stuck" not in why(hang)


FEW = ("sh", "-c", 'ulimit -n 4096 && exec "$@"', "sh")  # descriptors


def wait_at(daemon, bdf, carry):
    """A request about a device from each of many connections; those that were
    refused instead of waiting. @carry: descriptors in each"""
    store = proto.request(proto.ACCESS, (0, 4, 1, 7),
                          [proto.bar_id(daemon.pid, bdf, 0)])
    doors = [proto.door(daemon.dir) for _ in range(40)]
    for door in doors:
        proto.send_with_fds(door, store, [0] * carry)
    refused, _, _ = select.select(doors, [], [], support.deadline(60))
    return doors, [answer(door) for door in refused]


def answer(door):
    try:
        reply = proto.receive(door)
    except ConnectionResetError:
        reply = None
    # when not even its descriptors were taken, the connection ends
    return reply.result if reply else -errno.EMFILE


def test_what_waits_for_a_device_keeps_no_more_than_a_share(serve, me, script):
    me.bin = HERE / "softvfio-hang"
    file = me.dir / "hang"
    file.touch()
    daemon = serve(f"hang,in=write,file={file},bdf=0000:01:00.0",
                   "edu,bdf=0000:20:00.0", before=FEW)
    idle = daemon.fds()
    victim = me.popen([me.bin, "run", "--instance", daemon.name, "--",
                       *script(VICTIM, "write", "0000:01:00.0")],
                      stdout=subprocess.PIPE, text=True)
    assert victim.stdout.readline() == "begins\n"
    doors, refused = wait_at(daemon, "0000:01:00.0", 250)
    assert refused and set(refused) == {-errno.EMFILE}, refused
    support.wait_for(lambda: daemon.fds() < 3000, "what was refused to go")
    status, out, err = daemon.run(*script(OTHER, "0000:20:00.0"))
    assert (status, out) == (0, "well\n"), err
    for door in doors:
        door.close()
    file.unlink()
    assert rest(victim)[0] == 0
    support.wait_for(lambda: daemon.fds() <= idle, "what had waited", 30)


STORE = '''
dev = Device(sys.argv[1])
dev.command(2)
bar = dev.map_bar(0)
print("begins", flush=True)
ctypes.c_uint32.from_buffer(bar, 0).value = 1
print("stored", flush=True)
'''


def of_private_run(user, devices, command):
    args = [user.bin, "run"]
    for d in devices:
        args += ["-d", d]
    return user.popen([*args, "--", *command], stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, text=True,
                      start_new_session=True)


def session(sid):
    """Who is left of a program's session, or a daemon that knows its name."""
    alive = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if sid in stat.read_text():
                alive.append(int(stat.parent.name))
        except OSError:
            pass
    return alive


@pytest.mark.parametrize("where", ["write", "close", "run", "done"])
def test_run_ends_with_its_program(me, script, where):
    me.bin = HERE / "softvfio-hang"
    file = me.dir / f"hang-{where}"
    file.touch()
    source = '''
    dev = Device("0000:01:00.0")
    dev.command(2)
    dev.write(0, 0, 1, 4)
    sys.exit(3)
    '''
    p = of_private_run(me, [f"hang,in={where},file={file}"], script(source))
    _, err = p.communicate(timeout=support.deadline(60))
    assert p.returncode == 3, err
    support.wait_for(lambda: not session(str(file)), "the daemon's end", 30)
    file.unlink()


def test_a_start_that_takes_long_is_named(me, script):
    me.bin = HERE / "softvfio-hang"
    file = me.dir / "hang"
    file.touch()
    p = of_private_run(me, [f"hang,in=init,file={file}"], ["echo", "runs"])
    said = p.stderr.readline()
    assert "0000:01:00.0: its model hang is stuck in init() for" in said
    file.unlink()
    assert rest(p) == (0, "runs\n")


@pytest.mark.parametrize("where,number", [
    ("write", signal.SIGTERM), ("write", signal.SIGINT),
    ("init", signal.SIGTERM)])
def test_a_signal_ends_run(user, script, where, number):
    user.bin = user.bring(HERE / "softvfio-hang")
    file = user.dir / "hang"
    file.touch()
    p = of_private_run(user, [f"hang,in={where},file={file}"],
                       script("signal.signal(signal.SIGINT, signal.SIG_DFL)\n" +
                              STORE, "0000:01:00.0"))
    await_hang(file, where)
    os.kill(p.pid, number)
    out, err = p.communicate(timeout=support.deadline(60))
    assert p.returncode == -number and "stored" not in out, err
    support.wait_for(lambda: not session(str(file)), "the daemon's end", 30)
    file.unlink()
