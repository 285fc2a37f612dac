# SPDX-License-Identifier: BSD-3-Clause
"""Programs that take more of the daemon than their share: they get what they
ask for as far as that is possible, and others what they need."""
import os

import pytest

FILES = 12288  # mappings of one program: core/common/share.c, if the host lets it
SPARSE = 64 << 30
SPARSE_FILES = 256  # of those

HOARD = """
def file_of(size):
    fd = os.memfd_create("hoard")
    os.ftruncate(fd, size)
    return fd

dev = Device("0000:01:00.0")
dev.command(dev.command() | 4)
def hoard(n, size):
    for i in range(n):
        fd = file_of(size)
        buf = mmap.mmap(fd, 4096)
        dev.map_dma(buf, (i + 16) << 12, 4096)
        if i + 1 < n:
            buf.close()     # it stays mapped for the device
        os.close(fd)
    return buf, (n + 15) << 12

def last_one_works(buf, iova):
    buf[:2048] = os.urandom(2048)
    edu_dma(dev, iova, 0x40000, 2048, 1)
    edu_dma(dev, 0x40000, iova + 2048, 2048, 3)
    assert buf[:2048] == buf[2048:4096]

def stay():
    print("ready", flush=True)
    sys.stdin.readline()
"""

ANOTHER = """
dev = Device("0000:02:00.0")
dev.command(dev.command() | 4)
for flags in mmap.MAP_SHARED, mmap.MAP_PRIVATE:
    buf = mmap.mmap(-1, 4096, flags)
    dev.map_dma(buf, 0x10000, 4096)
    buf[:2048] = os.urandom(2048)
    edu_dma(dev, 0x10000, 0x40000, 2048, 1)
    edu_dma(dev, 0x40000, 0x10800, 2048, 3)
    assert buf[:2048] == buf[2048:]
    dev.unmap_dma(0x10000, 4096)
"""


def mapped(daemon):
    with open(f"/proc/{daemon.pid}/maps") as f:
        return sum("memfd:hoard" in line for line in f)


def hoards(serve, script, source, most):
    d = serve("edu", "edu")
    run = [d.user.bin, "run", "--instance", d.name, "--"]
    p = d.user.popen([*run, *script(HOARD + source)],
                     stdin=-1, stdout=-1, stderr=-1, text=True)
    try:
        assert p.stdout.readline() == "ready\n", p.communicate("\n")
        assert 0 < mapped(d) <= most
        status, out, err = d.user.softvfio("run", "--instance", d.name, "--",
                                           *script(ANOTHER))
        assert status == 0, out + err
    finally:
        out, err = p.communicate("\n")
    assert p.returncode == 0, out + err


def test_files_beyond_a_share_are_reached_through_the_program(serve, script):
    hoards(serve, script, f"""
last_one_works(*hoard({FILES} + 50, 4096))
stay()
""", FILES)


def test_sparse_files_beyond_a_share_are_reached_through_the_program(serve,
                                                                     script):
    hoards(serve, script, f"""
last_one_works(*hoard({SPARSE_FILES} + 50, {SPARSE}))
stay()
""", SPARSE_FILES)


@pytest.mark.only_if("SOFTVFIO_SOAK" in os.environ, "takes minutes")
def test_as_many_files_as_a_container_has_mappings(serve, script):
    hoards(serve, script, """
last_one_works(*hoard(65455, 4096))
stay()
""", FILES)
