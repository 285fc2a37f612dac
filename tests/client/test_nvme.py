# SPDX-License-Identifier: BSD-3-Clause
"""The NVMe controller through the whole stack: namespaces, formats, interrupts,
and memory of its own."""
import shutil
import textwrap

import pytest

import support

MIB = 1 << 20

# A driver: one admin queue and one I/O queue of 16 entries, polled.
DRIVER = """
    import mmap
    MEM, IOVA = 1 << 20, 0x100000
    ADMIN_SQ, ADMIN_CQ, IO_SQ, IO_CQ = 0, 0x1000, 0x2000, 0x3000
    BUF, SHADOW, EVENT = 0x10000, 0x20000, 0x21000

    class Queue:
        def __init__(self, id, sq, cq):
            self.id, self.sq, self.cq = id, sq, cq
            self.tail = self.head = 0
            self.phase = 1

    class Nvme(Device):
        def __init__(self, bdf="0000:01:00.0"):
            super().__init__(bdf)
            self.mem = mmap.mmap(-1, MEM)
            self.map_dma(self.mem, IOVA, MEM)
            self.command(6)
            self.enable()

        def enable(self):
            self.mem[:SHADOW + 8192] = bytes(SHADOW + 8192)
            self.admin = Queue(0, ADMIN_SQ, ADMIN_CQ)
            self.io = Queue(1, IO_SQ, IO_CQ)
            self.rings = ["register", "register"]  # of admin, of I/O
            self.write(0, 0x24, 15 << 16 | 15, 4)
            self.write(0, 0x28, IOVA + ADMIN_SQ, 8)
            self.write(0, 0x30, IOVA + ADMIN_CQ, 8)
            self.write(0, 0x14, 6 << 16 | 4 << 20 | 1, 4)
            while self.read(0, 0x1c, 4) != 1:
                os.sched_yield()

        def disable(self):
            self.write(0, 0x14, 0, 4)
            while self.read(0, 0x1c, 4):
                os.sched_yield()

        def put(self, at, fmt, *values):
            struct.pack_into("=" + fmt, self.mem, at, *values)

        def get(self, at, fmt):
            return struct.unpack_from("=" + fmt, self.mem, at)

        def store(self, at, value):
            # at once: pack_into() begins with zeroes, which can be seen
            ctypes.c_uint32.from_buffer(self.mem, at).value = value

        def ring(self, db, value):
            how = self.rings[db > 1]
            old, = self.get(SHADOW + 4 * db, "I")
            if how != "register":
                self.store(SHADOW + 4 * db, value)
            event, = self.get(EVENT + 4 * db, "I")
            asked = (value - event - 1) % 65536 < (value - old) % 65536
            if how in ("register", "both") or how == "event" and asked:
                self.write(0, 0x1000 + 4 * db, value, 4)

        def submit(self, q, opcode, nsid=0, prp1=0, prp2=0, *dw):
            dw = list(dw) + [0] * (6 - len(dw))
            self.put(q.sq + 64 * q.tail, "BBHI4I2Q6I", opcode, 0, q.tail,
                     nsid, 0, 0, 0, 0, prp1, prp2, *dw)
            q.tail = (q.tail + 1) % 16
            self.ring(2 * q.id, q.tail)

        def wait(self, q):
            while True:
                result, _, _, _, status = self.get(q.cq + 16 * q.head, "IIIHH")
                if status & 1 == q.phase:
                    break
                os.sched_yield()
            q.head = (q.head + 1) % 16
            q.phase ^= q.head == 0
            self.ring(2 * q.id + 1, q.head)
            return status >> 1

        def do(self, q, *command):
            self.submit(q, *command)
            return self.wait(q)

        def make_io(self, vector=0):
            assert self.do(self.admin, 5, 0, IOVA + IO_CQ, 0, 15 << 16 | 1,
                           vector << 16 | 3) == 0
            assert self.do(self.admin, 1, 0, IOVA + IO_SQ, 0, 15 << 16 | 1,
                           1 << 16 | 1) == 0

        def identify(self, cns, nsid=0):
            assert self.do(self.admin, 6, nsid, IOVA + BUF, 0, cns) == 0
            return self.mem[BUF:BUF + 4096]
    """


@pytest.fixture
def drive(me, script):
    """Runs a program that begins with the driver; returns what it printed."""
    def run(device, source):
        lines = textwrap.dedent(DRIVER) + textwrap.dedent(source)
        status, out, err = me.softvfio("run", "-d", device, "--",
                                       *script(lines))
        assert status == 0, out + err
        return out
    return run


def write_file(user, name, data):
    (user.dir / name).write_bytes(data)
    if user.nobody:
        shutil.chown(user.dir / name, support.NOBODY, support.NOBODY)


def qemu(user, device, *args):
    if not shutil.which(args[0]):
        pytest.skip(f"{args[0]} is not installed (Debian package qemu-utils)")
    status, out, err = user.softvfio("run", "-d", device, "--", *args)
    assert status == 0, out + err
    assert "verification failed" not in out + err
    return out


def test_qemu_uses_two_namespaces(user):
    write_file(user, "one.img", b"\x11" * (4 * MIB))
    write_file(user, "two.img", b"\x22" * (8 * MIB))
    device = "nvme,file=one.img,ns2=two.img"
    for nsid, pattern, size in ((1, "0x11", "4M"), (2, "0x22", "8M")):
        qemu(user, device, "qemu-io", "-f", "raw",
             "-c", f"read -P {pattern} 0 {size}",
             "-c", f"write -P 0x{nsid}7 1M 64k", "-c", "flush",
             f"nvme://0000:01:00.0/{nsid}")
    for name, fill, mark, size in (("one.img", b"\x11", b"\x17", 4 * MIB),
                                   ("two.img", b"\x22", b"\x27", 8 * MIB)):
        want = bytearray(fill * size)
        want[MIB:MIB + 65536] = mark * 65536
        assert (user.dir / name).read_bytes() == want
    qemu(user, device, "qemu-img", "convert", "-f", "raw", "-O", "raw",
         "nvme://0000:01:00.0/2", "copy.img")
    assert (user.dir / "copy.img").read_bytes() == \
        (user.dir / "two.img").read_bytes()


def test_qemu_reads_blocks_of_4096_bytes(user):
    write_file(user, "disk.img", b"\x33" * (4 * MIB))
    qemu(user, "nvme,file=disk.img,block=4096", "qemu-io", "-f", "raw",
         "-c", "read -P 0x33 0 4M", "-c", "write -P 0x44 64k 64k",
         "nvme://0000:01:00.0/1")
    data = (user.dir / "disk.img").read_bytes()
    assert data[65536:131072] == b"\x44" * 65536
    assert data[131072:] == b"\x33" * (4 * MIB - 131072)


def test_format_erases_a_file_and_changes_its_blocks(me, drive):
    write_file(me, "disk.img", b"\x55" * (4 * MIB))
    drive("nvme,file=disk.img,ns2=1M", """
        n = Nvme()
        n.make_io()
        assert struct.unpack_from("=Q", n.identify(0, 1))[0] == 8192
        assert n.do(n.admin, 0x80, 1, 0, 0, 1 | 1 << 9) == 0
        assert struct.unpack_from("=Q", n.identify(0, 1))[0] == 1024
        assert struct.unpack_from("=Q", n.identify(0, 2))[0] == 2048
        n.mem[BUF:BUF + 4096] = b"\\x66" * 4096
        assert n.do(n.io, 1, 1, IOVA + BUF, 0, 1023) == 0
        assert n.do(n.io, 1, 1, IOVA + BUF, 0, 1024) == 0x4080
        """)
    want = bytes(4 * MIB - 4096) + b"\x66" * 4096
    assert (me.dir / "disk.img").read_bytes() == want


def test_memory_buffer_by_its_own_address(drive):
    """Both halves of NVMe 1.4 4.7: the program maps it, CMSE places it."""
    drive("nvme,size=1M,cmb=1M", """
        n = Nvme()
        n.make_io()
        assert n.region(2)[1] == 1 << 20
        cmb = n.map_bar(2)
        cba = 1 << 40
        n.write(0, 0x50, cba | 3, 8)
        cmb[4096:8192] = bytes(range(256)) * 16
        assert n.do(n.io, 1, 1, cba + 4096, 0, 5, 0, 7) == 0
        assert n.do(n.io, 2, 1, cba + 65536, 0, 5, 0, 7) == 0
        assert cmb[65536:69632] == bytes(range(256)) * 16
        assert n.do(n.io, 2, 1, IOVA + BUF, 0, 5, 0, 7) == 0
        assert n.mem[BUF:BUF + 4096] == bytes(range(256)) * 16
        """)


def test_memory_buffer_mapped_for_dma(drive):
    """The mapping of the BAR is memory like any other to the container."""
    drive("nvme,size=1M,cmb=1M", """
        n = Nvme()
        n.make_io()
        cmb = n.map_bar(2)
        n.map_dma(cmb, 1 << 30, 1 << 20)
        cmb[0:512] = b"\\x77" * 512
        assert n.do(n.io, 1, 1, 1 << 30, 0, 0) == 0
        assert n.do(n.io, 2, 1, (1 << 30) + 8192, 0, 0) == 0
        assert cmb[8192:8704] == b"\\x77" * 512
        assert n.unmap_dma(1 << 30, 1 << 20) == 1 << 20
        assert n.do(n.io, 2, 1, 1 << 30, 0, 0) == 0x004
        """)


def test_shadow_doorbells(drive):
    drive("nvme,size=1M", """
        n = Nvme()
        n.make_io()
        assert n.do(n.admin, 0x7c, 0, IOVA + SHADOW, IOVA + EVENT) == 0
        n.rings[1] = "shadow"
        for i in range(100):
            assert n.do(n.io, 2, 1, IOVA + BUF, 0, i) == 0
        # idle, it asks to be told of the very next entry
        while n.get(EVENT + 8, "II") != (n.io.tail, n.io.head):
            os.sched_yield()
        """)


@pytest.mark.parametrize("how", ["register", "shadow", "event", "both"])
def test_shadow_doorbells_of_the_admin_queue(drive, how):
    """As drivers do: Linux writes registers only, others what EventIdx says."""
    drive("nvme,size=1M", f"""
        n = Nvme()
        n.make_io()
        for again in range(3):
            assert n.do(n.admin, 0x7c, 0, IOVA + SHADOW, IOVA + EVENT) == 0
            n.rings = ["{how}", "event"]
            for i in range(200):
                assert n.do(n.admin, 0x0a, 0, 0, 0, 6) == 0
                assert n.do(n.io, 2, 1, IOVA + BUF, 0, i) == 0
            while n.get(EVENT, "II") != (n.admin.tail, n.admin.head):
                os.sched_yield()
            assert n.get(SHADOW, "II") == (n.admin.tail, n.admin.head)
            n.disable()
            n.enable()
            n.make_io()
        """)


def test_shadow_doorbells_that_only_the_host_writes(drive):
    """A page mapped for reading: the registers count, and nothing is copied."""
    drive("nvme,size=1M", """
        n = Nvme()
        page = mmap.mmap(-1, 4096)
        n.map_dma(page, 1 << 30, 4096, flags=1)
        assert n.do(n.admin, 0x7c, 0, 1 << 30, IOVA + EVENT) == 0
        for i in range(200):
            assert n.do(n.admin, 0x0a, 0, 0, 0, 6) == 0
        assert page[:8] == bytes(8)
        """)


@pytest.mark.parametrize("gone", ["sq", "cq", "both"])
def test_a_queue_unmapped_before_it_is_deleted(drive, gone):
    """Its shadow doorbell is cleared, too, which looks like 15 new entries."""
    drive("nvme,size=1M", f"""
        n = Nvme()
        n.make_io()
        two = mmap.mmap(-1, 8192)
        n.map_dma(two, 1 << 30, 4096)
        n.map_dma(memoryview(two)[4096:], (1 << 30) + 4096, 4096)
        assert n.do(n.admin, 0x7c, 0, IOVA + SHADOW, IOVA + EVENT) == 0
        n.rings[1] = "event"
        for i in range(40):
            assert n.do(n.admin, 5, 0, (1 << 30) + 4096, 0, 15 << 16 | 2,
                        3) == 0
            assert n.do(n.admin, 1, 0, 1 << 30, 0, 15 << 16 | 2,
                        2 << 16 | 1) == 0
            two[:8192] = bytes(8192)
            struct.pack_into("=BBHI", two, 0, 0, 0, 77, 1)  # a Flush
            n.ring(4, 1)
            while not two[4096 + 14]:
                os.sched_yield()
            if "{gone}" in ("sq", "both"):
                n.unmap_dma(1 << 30, 4096)
            if "{gone}" in ("cq", "both"):
                n.unmap_dma((1 << 30) + 4096, 4096)
            n.store(SHADOW + 16, 0)
            assert n.do(n.io, 2, 1, IOVA + BUF, 0, i) == 0
            assert n.do(n.admin, 0, 0, 0, 0, 2) == 0
            assert n.do(n.admin, 4, 0, 0, 0, 2) == 0
            assert n.do(n.io, 2, 1, IOVA + BUF, 0, i) == 0
            assert n.read(0, 0x1c, 4) == 1
            if "{gone}" in ("sq", "both"):
                n.map_dma(two, 1 << 30, 4096)
            if "{gone}" in ("cq", "both"):
                n.map_dma(memoryview(two)[4096:], (1 << 30) + 4096, 4096)
        """)


@pytest.mark.parametrize("index, vector", [("INTX", 0), ("MSI", 0),
                                           ("MSIX", 9)])
def test_interrupts(drive, index, vector):
    out = drive("nvme,size=1M", f"""
        import select
        n = Nvme()
        event = ctypes.CDLL(None).eventfd(0, 0)
        n.set_irqs({index}, DATA_EVENTFD | TRIGGER, {vector},
                   struct.pack("=i", event))
        n.make_io({vector})
        if {vector} == 0:
            os.read(event, 8)  # of the admin queue, which shares the vector
        if {index} == INTX:
            n.set_irqs({index}, DATA_NONE | UNMASK, 0, count=1)
        assert n.do(n.io, 2, 1, IOVA + BUF) == 0
        assert select.select([event], [], [], 60)[0]
        print("told")
        """)
    assert "told" in out


def test_coalesced_interrupt_comes_in_the_end(drive):
    out = drive("nvme,size=1M", """
        import select
        n = Nvme()
        event = ctypes.CDLL(None).eventfd(0, 0)
        n.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", event)
                   + struct.pack("=i", -1) * 3)
        assert n.do(n.admin, 9, 0, 0, 0, 8, 255 << 8 | 99) == 0
        other = ctypes.CDLL(None).eventfd(0, 0)
        n.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 3, struct.pack("=i", other))
        n.make_io(3)
        assert n.do(n.io, 2, 1, IOVA + BUF) == 0
        assert select.select([other], [], [], 60)[0]
        print("told")
        """)
    assert "told" in out
