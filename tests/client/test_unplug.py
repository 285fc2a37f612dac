# SPDX-License-Identifier: BSD-3-Clause
"""Functions that go and come back under the programs that use them: sysfs
unbind, remove and rescan, `softvfio unplug` and `plug`."""
import pytest

import support

BDF = "0000:01:00.0"

# What a program does with its device, told line by line over its stdin.
PROGRAM = """
import select
d = Device("0000:01:00.0")
d.command(2)
bar = d.map_bar(2)
req = os.eventfd(0, os.EFD_NONBLOCK)
d.set_irqs(4, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", req))
first = bar[0]
group = d.group

def error(call, *args):
    try:
        call(*args)
    except OSError as e:
        return errno.errorcode[e.errno]
    return "ok"

def ioctl(fd, number, arg=b""):
    return error(fcntl.ioctl, fd, number, bytearray(arg))

def child(fn):
    pid = os.fork()
    if not pid:
        fn()
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def asked(seconds=20):
    ready = select.select([req], [], [], seconds)[0]
    return os.eventfd_read(req) if ready else 0

def sysfs(name, text):
    with open("/sys/bus/pci/" + name, "w") as f:
        f.write(text)

print("ready", flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Program:
    """PROGRAM under a daemon of its own."""

    def __init__(self, serve, script, me):
        import subprocess
        self.daemon = serve("ram", "ram,size=64K")
        self.me = me
        self.p = me.popen(
            [me.bin, "run", "--instance", self.daemon.name, "--",
             *script(PROGRAM)], stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.p.stdout.readline() == "ready\n"

    def __call__(self, expression):
        self.p.stdin.write(expression + "\n")
        self.p.stdin.flush()
        return self.p.stdout.readline().strip()

    def tell(self, *args):
        status, out, err = self.me.softvfio(*args)
        return status, out + err

    def end(self):
        out, err = self.p.communicate(timeout=support.deadline(30))
        assert self.p.returncode == 0, out + err


@pytest.fixture
def program(serve, script, me):
    p = Program(serve, script, me)
    yield p
    if p.p.poll() is None:
        p.p.kill()
        p.p.communicate()


ALIVE = {"os.pread(d.fd, 2, at(CONFIG, 0)).hex()": "f41a", "ioctl(d.fd, RESET)":
         "ok", "child(lambda: bar[0])": "0"}
DEAD = {"error(os.pread, d.fd, 2, at(CONFIG, 0))": "ENODEV",
        "error(os.pwrite, d.fd, b'0', at(2, 0))": "ENODEV",
        "ioctl(d.fd, RESET)": "ENODEV",
        "ioctl(d.fd, GET_INFO, struct.pack('=5I', 20, 0, 0, 0, 0))": "ENODEV",
        "error(mmap.mmap, d.fd, 4096)": "ENODEV",
        "child(lambda: bar[0])": "7"}  # SIGBUS


def expect(program, answers):
    for question, answer in answers.items():
        assert program(question) == answer, question


def shown(program):
    return program(f"os.path.exists('/sys/bus/pci/devices/{BDF}')") == "True"


def bound(program):
    return program(
        f"os.path.exists('/sys/bus/pci/devices/{BDF}/driver')") == "True"


def close_all(program):
    program("bar.close()")
    for fd in "d.fd", "d.group", "d.container":
        assert program(f"error(os.close, {fd})") == "ok"


def test_unplug_takes_a_device_from_under_its_user(program):
    expect(program, ALIVE)
    status, said = program.tell("unplug", "--instance", program.daemon.name,
                                BDF)
    assert status == 0 and "told to close" in said
    assert program("asked()") == "1"
    expect(program, DEAD)
    assert not shown(program)
    assert program(
        "ioctl(group, GET_DEVICE_FD, b'0000:01:00.0\\0')") == "ENODEV"
    # its other device works, and so does the container
    assert program("Device('0000:02:00.0').region(2)[1]") == "65536"


def test_unplugging_is_repeated_until_released(program):
    program.tell("unplug", "--instance", program.daemon.name, BDF)
    assert program("asked()") == "1"
    assert program("asked()") == "1"  # ten seconds later
    assert program.tell("plug", "--instance", program.daemon.name, BDF)[0] == 1
    close_all(program)
    assert program.tell("plug", "--instance", program.daemon.name,
                        BDF)[0] == 0
    assert shown(program) and bound(program)
    assert program("d.__init__('0000:01:00.0')") == "None"
    program("d.command(2)")
    assert program("os.pread(d.fd, 2, at(CONFIG, 0)).hex()") == "f41a"
    assert program("asked(0)") == "0"
    program.end()


def test_remove_is_unplug_and_rescan_brings_back(program):
    assert program(f"sysfs('devices/{BDF}/remove', '1')") == "None"
    assert program("asked()") == "1"
    expect(program, DEAD)
    assert not shown(program)
    assert program("sysfs('rescan', '1')") == "None"
    assert not shown(program)
    close_all(program)
    assert program("sysfs('rescan', '1')") == "None"
    assert shown(program) and bound(program)


def test_unbind_asks_and_goes_with_the_last_close(program):
    assert program(f"sysfs('drivers/vfio-pci/unbind', '{BDF}')") == "None"
    assert program("asked()") == "1"
    expect(program, ALIVE)
    assert shown(program) and bound(program)
    assert program(
        "ioctl(group, GET_DEVICE_FD, b'0000:01:00.0\\0')") == "ENODEV"
    program("bar.close()")
    assert program("error(os.close, d.fd)") == "ok"
    # its group has no device any more: the open file is of nothing
    assert program(
        "ioctl(group, GET_STATUS, struct.pack('=2I', 8, 0))") == "ENODEV"
    assert shown(program) and not bound(program)
    assert program(f"sysfs('drivers/vfio-pci/bind', '{BDF}')") == "None"
    assert bound(program)
    assert program(
        "ioctl(group, GET_STATUS, struct.pack('=2I', 8, 0))") == "ok"


def test_a_mapping_alone_keeps_it(program):
    assert program("[os.close(f) for f in (d.fd, d.group, d.container)]")
    assert program(f"sysfs('devices/{BDF}/remove', '1')") == "None"
    assert program("child(lambda: bar[0])") == "7"
    assert program("asked()") == "1"
    assert program.tell("plug", "--instance", program.daemon.name, BDF)[0] == 1
    program("bar.close()")
    support.wait_for(lambda: program.tell(
        "plug", "--instance", program.daemon.name, BDF)[0] == 0, "plug")
    program.end()


def test_what_nobody_uses_just_goes(program):
    name = program.daemon.name
    assert program.tell("unplug", "--instance", name, "02:00.0") == (0, "")
    assert program.tell("unplug", "--instance", name, "02:00.0")[0] == 1
    assert program.tell("plug", "--instance", name, "0000:02:00.0") == (0, "")
    assert program.tell("plug", "--instance", name, "0000:02:00.0")[0] == 1
    assert program.tell("plug", "--instance", name, "0000:09:00.0")[0] == 1


def test_the_command_line_is_checked(me):
    assert me.softvfio("unplug")[0] == 2
    assert me.softvfio("unplug", "a", "b")[0] == 2
