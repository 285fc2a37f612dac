# SPDX-License-Identifier: BSD-3-Clause
"""A program that signals its eventfds without end, and all others are heard."""
import subprocess

import pytest

import support

# An ioeventfd of the ram's memory or of edu's register; what signals it, and
# then goes on until it is killed.
STORM = """
import signal
device, kind = sys.argv[1:]
SEMAPHORE = os.EFD_SEMAPHORE if kind == "semaphore" else 0
IOEVENTFD = BASE + 16
d = Device("0000:01:00.0" if device == "ram" else "0000:02:00.0")
d.command(2)
event = os.eventfd(0, os.EFD_NONBLOCK | SEMAPHORE)
where = at(2, 64) if device == "ram" else at(0, 4)
for i in range(64):
    fcntl.ioctl(d.fd, IOEVENTFD, struct.pack("=IIQQiI", 32, 4, where, i,
                                             event, 0))
if SEMAPHORE:
    os.eventfd_write(event, 2**64 - 2)
print("ready", flush=True)
while True:
    try:
        os.eventfd_write(event, 1)
    except BlockingIOError:
        pass
"""

# INTx of an edu whose pin is up: each time it is unmasked it is told of.
PROGRAM = """
import select
d = Device("0000:03:00.0")
d.command(2)
event, unmask, req = (os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3))
d.set_irqs(INTX, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", event))
d.set_irqs(INTX, DATA_EVENTFD | UNMASK, 0, struct.pack("=i", unmask))
d.set_irqs(4, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", req))

def heard(fd):
    ready = select.select([fd], [], [], 30)[0]
    return os.eventfd_read(fd) if ready else 0

d.write(0, 0x60, 1, 4)
for i in range(50):
    assert heard(event) == 1, i
    os.eventfd_write(unmask, 1)
print("unmasked", flush=True)
assert heard(req), "not asked for the device"
print("asked", flush=True)
"""


@pytest.mark.parametrize("device", ["ram", "edu"])
@pytest.mark.parametrize("kind", ["semaphore", "plain"])
def test_a_storm_of_signals_starves_nobody(serve, script, me, device, kind):
    daemon = serve("ram", "edu", "edu")
    run = [me.bin, "run", "--instance", daemon.name, "--"]
    storm = me.popen([*run, *script(STORM, device, kind)], text=True,
                     stdout=subprocess.PIPE)
    try:
        assert storm.stdout.readline() == "ready\n"
        p = me.popen([*run, *script(PROGRAM)], text=True,
                     stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert p.stdout.readline() == "unmasked\n", p.communicate()
        status, out, err = me.softvfio("unplug", "--instance", daemon.name,
                                       "0000:03:00.0")
        assert status == 0, out + err
        out, err = p.communicate(timeout=support.deadline(60))
        assert (p.returncode, out) == (0, "asked\n"), err
    finally:
        storm.kill()
        storm.wait()
