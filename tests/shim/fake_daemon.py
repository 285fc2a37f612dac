# SPDX-License-Identifier: BSD-3-Clause
"""
A daemon that speaks lib/proto.h and knows nothing about VFIO, to test the shim
without the real one, and in ways the real one will not behave.

FakeDaemon answers from a process of its own, forked by start(), so it can die.
Tests script it by subclassing: a method on_<op>(self, file, req) returns Done
or Need. `file` is the File a request came on, None at the door.

Its built-in files answer made-up ioctls that exercise every SV_NEED (IOC_*
below), have one region of memory behind pread and pwrite, and BARs to map.
"""
import array
import ctypes
import errno
import json
import mmap
import os
import select
import socket
import struct
import sys
import tempfile
import threading

MAGIC = 0x4F465653
REPLY_MAGIC = 0x52465653
MSG_MAX = 128 << 10
MSG_FDS = 250
DATA_MAX = 64 << 10
POS = (1 << 64) - 1
SO_COOKIE = 57

REQUEST = struct.Struct("=IHHQ4Q2QQIIII")
SEG = struct.Struct("=QII")
FDREF = struct.Struct("=ii")
VMA = struct.Struct("=QQQQQIHh")
PART = struct.Struct("=IIQ")
REPLY = struct.Struct("=IHHQqII")
NEED = struct.Struct("=IIQQ")
COPY = struct.Struct("=QII")
STAT = struct.Struct("=IIQQQ")
MAP = struct.Struct("=QII")
RANGE = struct.Struct("=QII")

OPS = {
    1: "open", 2: "stat", 3: "fault", 4: "access", 5: "control",
    6: "fstat", 7: "ioctl", 8: "read", 9: "write", 10: "mmap",
    11: "channel", 12: "known", 13: "side_door",
}
OP_NUMBERS = {name: number for number, name in OPS.items()}

REQ_MEM_FD = 1
REQ_VMAS = 2
REQ_KEEP = 4
KIND_DONE, KIND_NEED = 1, 2
REPLY_FD = 1
REPLY_CLOEXEC = 2
REPLY_KEPT = 4
NEED_BYTES, NEED_FDS, NEED_VMAS, NEED_MM = 1, 2, 3, 4
NEED_WITH_MM = 1
VMA_MM, VMA_FILE, VMA_BAR = 0, 1, 2

# The made-up ioctls; tests/shim/victim.h has the same.
IOC_SUM = 0x3BC8      # {u32 n, u32 0, u64 addr, u64 sum}: sum of n bytes
IOC_FDS = 0x3BC9      # {u32 n, u32 0, u64 addr}: write i + 1 to eventfd i
IOC_VMAS = 0x3BCA     # {u64 start, u64 len, u32 n, u32 0, {vma, u64 head}[]}
IOC_MM = 0x3BCB       # {u64 addr, u64 value, u64 mm_id[2]}: store by mem
IOC_COPY = 0x3BCC     # {u64 addr, u32 len, u32 0}: len bytes of 0x5a to addr
IOC_WAIT_READ = 0x3BCD  # eventfd: signalled, then no reply until a read
IOC_DIE = 0x3BCE      # the daemon ends without a word
IOC_FOREVER = 0x3BCF  # always needs more
IOC_NEWFD = 0x3BD0    # result: a new descriptor; argument: close-on-exec?
IOC_ARGSZ = 0x3BD1    # {u32 argsz, bytes}: argsz bytes, inverted in place
IOC_VALUE = 0x3BD2    # result: the argument itself, which is no pointer
IOC_COUNT = 0x3BD3    # result: how many ioctls were carried out before
IOC_CHANNELS = 0x3BD4  # result: channels kept, once they are the argument
IOC_DOORS = 0x3BD5    # result: connections at the door
IOC_FORGET = 0x3BD6   # the daemon closes all channels once it has answered
IOC_STALE = 0x3BD7    # others' answers, with descriptors, before the right one
IOC_VMAS_MM = 0x3BD9  # {u64 start, u64 len}; result: was mem sent along?
IOC_SILENCE = 0x3BD8  # somebody else's answer, and no more after that

BAR_SIZE = 16 * 4096
REGION_SIZE = 3 * DATA_MAX + 100
ROUND_REGION = 1 << 40   # a region that ends at a multiple of DATA_MAX
BAR_MIXED = 1 << 41      # direct page, trapped page, direct rest
BAR_TRAP = 1 << 42       # all trapped


def done(result, data=b"", copies=(), fd=None, flags=0):
    """An SV_DONE reply: head and body, and the descriptor that goes along."""
    body = data
    if copies:
        body = b"".join(COPY.pack(addr, len(b), 0) for addr, b in copies)
        body += b"".join(b for _, b in copies)
    return KIND_DONE, len(copies), result, flags, body, fd


def need(*needs, numbers=(), flags=0):
    """An SV_NEED reply: (kind, addr, len) each."""
    body = b"".join(NEED.pack(kind, flags, addr, n) for kind, addr, n in needs)
    body += array.array("i", numbers).tobytes()
    return KIND_NEED, len(needs), 0, 0, body, None


class Request:
    """One request, its sections taken apart, its descriptors owned."""

    def __init__(self, head, body, fds, reply):
        (_, op, _, self.seq, *rest) = REQUEST.unpack(head)
        self.op = OPS[op]
        self.arg = rest[0:4]
        self.mm_id = tuple(rest[4:6])
        self.channel = rest[6]
        self.flags, n_segs, n_fdrefs, n_vmas = rest[7:11]
        self.reply = reply
        self.fds = fds
        self.mem_fd = fds[-1] if self.flags & REQ_MEM_FD else None
        self.take(body, n_segs, n_fdrefs, n_vmas)

    def take(self, body, n_segs, n_fdrefs, n_vmas):
        at = 0

        def records(layout, count):
            nonlocal at
            for _ in range(count):
                yield layout.unpack_from(body, at)
                at += layout.size

        segs = list(records(SEG, n_segs))
        self.fdrefs = dict(records(FDREF, n_fdrefs))
        self.vmas = list(records(VMA, n_vmas))
        self.segs = []
        for addr, want, length in segs:
            self.segs.append((addr, want, body[at:at + length]))
            at += length
        assert at == len(body), "a request's sections must add up"

    def bar_id(self):
        (data,) = (data for _, _, data in self.segs)
        return struct.unpack("=QQ", data)

    def text(self):
        return self.segs[0][2].decode()

    def bytes_at(self, addr, length):
        """Program memory; None = not sent yet, False = it faults."""
        for start, want, data in self.segs:
            if start <= addr and addr + length <= start + want:
                part = data[addr - start:addr - start + length]
                return part if len(part) == length else False
        return None

    def fd_of(self, number):
        index = self.fdrefs[number]
        return None if index < 0 else self.fds[index]

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class File:
    """What an open file is: its socket and what it is called."""

    def __init__(self, sock, what):
        self.sock = sock
        self.what = what
        self.position = 0
        self.was_read = threading.Event()


def memfd(name, size):
    fd = os.memfd_create(name)
    os.ftruncate(fd, size)
    return fd


def send_reply(sock, seq, answer, channel=None):
    kind, n, result, flags, body, fd = answer
    fds = [fd] if fd is not None else []
    if channel:
        fds.append(channel.fileno())
        flags |= REPLY_KEPT
    head = REPLY.pack(REPLY_MAGIC, kind, n, seq, result, flags, len(fds))
    control = []
    if fds:
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds).tobytes())]
    try:
        sock.sendmsg([head, body], control)
    except (BrokenPipeError, ConnectionResetError):
        pass


def recv_message(sock, flags=0):
    """(bytes, descriptors)."""
    room = socket.CMSG_SPACE(253 * 4)
    data, control, _, _ = sock.recvmsg(
        MSG_MAX + 4096, room, flags | socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, raw in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(raw[:len(raw) - len(raw) % 4])
    assert len(data) <= MSG_MAX
    return data, list(fds)


def ask(sock, op, *arg, path=b""):
    """The client's side, for tests: returns (result, data, descriptors)."""
    arg = (list(arg) + [0] * 4)[:4]
    sock.sendmsg([REQUEST.pack(MAGIC, OP_NUMBERS[op], 0, 1, *arg, 0, 0, 0, 0,
                               1, 0, 0),
                  SEG.pack(0, len(path), len(path)), path])
    data, fds = recv_message(sock)
    fields = REPLY.unpack_from(data)
    return fields[4], data[REPLY.size:], fds


class FakeDaemon:
    def keeps(self, req):
        """Is there to be a channel?"""
        return True

    def __init__(self, directory):
        self.directory = directory
        # abstract names are the whole host's, and tests run side by side
        self.instance = int.from_bytes(os.urandom(8), "little")
        self.serial = 0
        self.pid = None
        self.identity = ""  # as `run` tells it
        self.lock = threading.Lock()

    # -- the test's side ------------------------------------------------

    def start(self):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self.at_door() as name:
            listener.bind(name)
        listener.listen(64)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self.serve(listener)
            finally:
                os._exit(1)
        listener.close()
        with open("/proc/%d/stat" % self.pid) as f:
            start = f.read().rpartition(")")[2].split()[22 - 3]
        self.identity = "%d:%s:%d" % (self.pid, start, os.geteuid())
        return self

    def stop(self):
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            self.pid = None

    def at_door(self):
        """The door's name, short however deep the directory lies."""
        directory = self.directory

        class Short:
            def __enter__(self):
                self.fd = os.open(directory, os.O_PATH)
                return "/proc/self/fd/%d/door" % self.fd

            def __exit__(self, *_):
                os.close(self.fd)
        return Short()

    def ask(self, op, *arg, path=""):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            with self.at_door() as name:
                sock.connect(name)
            return ask(sock, op, *arg, path=path.encode())

    def open(self, path="anon_inode:[vfio-device]"):
        result, _, fds = self.ask("open", os.O_RDWR, path=path)
        assert result == 0 and len(fds) == 1
        return fds[0]

    def open_fds(self):
        """How many descriptors the daemon has open."""
        result, _, fds = self.ask("control")
        assert result == 0
        with os.fdopen(fds[0]) as f:
            f.seek(0)
            return json.load(f)["fds"]

    # -- the daemon's side ----------------------------------------------

    def serve(self, listener):
        self.region = bytearray(i * 7 & 0xFF for i in range(REGION_SIZE))
        self.channels = {}
        self.busy = 0
        self.cookies = set()
        self.changed = threading.Condition()
        self.doors = self.count = 0
        self.bars = {}
        self.bar_ids = {}
        for off in (0, BAR_MIXED, BAR_TRAP):
            name = "softvfio:%016x:0000:01:00.0:%u" % (
                self.instance, off >> 40)
            self.bars[off] = memfd(name, BAR_SIZE)
            st = os.fstat(self.bars[off])
            self.bar_ids[st.st_dev, st.st_ino] = off
            os.pwrite(self.bars[off], bytes([off >> 40 or 0xB0]) * BAR_SIZE, 0)
        while True:
            sock, _ = listener.accept()
            self.count_doors(1)
            threading.Thread(target=self.door, args=(sock,),
                             daemon=True).start()

    def door(self, sock):
        with sock:
            while True:
                data, fds = recv_message(sock)
                if len(data) < REQUEST.size:
                    break
                self.handle(None, Request(data[:REQUEST.size],
                                          data[REQUEST.size:], fds, sock))
        self.count_doors(-1)

    def count_doors(self, more):
        with self.changed:
            self.doors += more
            self.changed.notify_all()

    def new_file(self, what):
        """A file's two ends: the client's to send, ours served by a thread."""
        theirs, ours = socket.socketpair(socket.AF_UNIX,
                                         socket.SOCK_SEQPACKET)
        with self.lock:
            self.serial += 1
            ours.bind("\0softvfio/%016x/%x/%s" % (self.instance, self.serial,
                                                 what))
            self.cookies.add(struct.unpack("=Q", theirs.getsockopt(
                socket.SOL_SOCKET, SO_COOKIE, 8))[0])
        theirs.setblocking(False)
        threading.Thread(target=self.file_thread, args=(File(ours, what),),
                         daemon=True).start()
        return theirs

    def file_thread(self, file):
        with file.sock:
            while True:
                data, fds = recv_message(file.sock)
                if not data:
                    return
                if len(data) < REQUEST.size or \
                        struct.unpack_from("=I", data)[0] != MAGIC:
                    continue    # raw bytes, as the real daemon does
                threading.Thread(target=self.request,
                                 args=(file, data, fds), daemon=True).start()

    def keep(self, key):
        """A channel's other end, until the closing of which it is kept."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self.changed:
            assert key not in self.channels, "a name is not used again"
            self.channels[key] = ours
            self.changed.notify_all()

        def wait():
            hangup = select.poll()
            hangup.register(ours, 0)
            hangup.poll()
            self.forget(key)

        threading.Thread(target=wait, daemon=True).start()
        return theirs

    def forget(self, key):
        with self.changed:
            reply = self.channels.pop(key, None)
            self.changed.notify_all()
        if reply:
            reply.shutdown(socket.SHUT_RDWR)
            reply.close()

    def request(self, file, data, fds):
        with self.changed:
            self.busy += 1
        try:
            self.request_of(file, data, fds)
        finally:
            with self.changed:
                self.busy -= 1
                self.changed.notify_all()

    def request_of(self, file, data, fds):
        head = REQUEST.unpack_from(data)
        key, flags = head[8:11], head[11]
        if not key[2]:
            return self.request_on(file, data, fds,
                                   socket.socket(fileno=fds.pop(0)), True)
        if not flags & REQ_KEEP:
            reply = self.channels.get(key)
            if reply:
                self.request_on(file, data, fds, reply, False)
            for fd in [] if reply else fds:
                os.close(fd)
            return None
        return self.request_on(file, data, fds,
                               socket.socket(fileno=fds.pop(0)), True)

    def request_on(self, file, data, fds, reply, once):
        head = REQUEST.unpack_from(data)
        n_parts = head[2]
        assert not (n_parts and once)
        try:
            body = data[REQUEST.size:]
            for _ in range(n_parts):
                part, more = recv_message(reply, socket.MSG_DONTWAIT)
                magic, n, _ = PART.unpack_from(part)
                assert magic == MAGIC and n == len(part) - PART.size
                assert len(more) <= MSG_FDS
                body += part[PART.size:]
                fds += more
            self.handle(file, Request(data[:REQUEST.size], body, fds, reply))
        finally:
            if once:
                reply.close()

    def handle(self, file, req):
        try:
            answer = getattr(self, "on_" + req.op)(file, req)
        finally:
            req.close()
        if not answer:
            return
        self.reply(req, answer)
        if answer[5] is not None and answer[5] not in self.bars.values():
            os.close(answer[5])

    def reply(self, req, answer):
        if not req.flags & REQ_KEEP or not self.keeps(req):
            send_reply(req.reply, req.seq, answer)
            return
        with self.keep((*req.mm_id, req.channel)) as theirs:
            send_reply(req.reply, req.seq, answer, theirs)

    # -- answers; override these ----------------------------------------

    def on_channel(self, file, req):
        return done(0)

    def on_open(self, file, req):
        theirs = self.new_file(req.text())
        return done(0, fd=theirs.detach(), flags=REPLY_FD | (
            REPLY_CLOEXEC if req.arg[0] & os.O_CLOEXEC else 0))

    def on_stat(self, file, req):
        return done(0, STAT.pack(0o020600, 1, os.makedev(10, 196), 0, 77))

    def on_fstat(self, file, req):
        return done(0, STAT.pack(0o020600, 1, os.makedev(10, 196), 0, 78))

    def on_known(self, file, req):
        return done(int(req.arg[0] in self.cookies))

    def on_side_door(self, file, req):
        theirs = self.new_file("side door")
        return done(0, fd=theirs.detach(), flags=REPLY_FD | REPLY_CLOEXEC)

    def on_fault(self, file, req):
        return done(0)

    def on_access(self, file, req):
        return done(-1 if req.arg[1] == 8 else 0x1234)

    def on_control(self, file, req):
        """Once the programs that have ended are seen to have."""
        with self.changed:
            self.changed.wait_for(
                lambda: not self.channels and not self.busy and
                self.doors == 1, 10)
        fd = os.memfd_create("control")
        fds = len(os.listdir("/proc/self/fd"))
        os.write(fd, json.dumps({"fds": fds}).encode())
        return done(0, fd=fd)

    def span(self, file, off):
        """(offset in the region, its end) or None beyond it."""
        if off == POS:
            off = file.position
        end = 2 * DATA_MAX if off & ROUND_REGION else len(self.region)
        off &= ~ROUND_REGION
        return (off, end) if off < end else None

    def on_read(self, file, req):
        file.was_read.set()
        off, count = req.arg[0:2]
        assert count <= DATA_MAX
        span = self.span(file, off)
        if not span:
            return done(-errno.EINVAL)
        data = bytes(self.region[span[0]:min(span[0] + count, span[1])])
        if off == POS:
            file.position += len(data)
        return done(len(data), data)

    def on_write(self, file, req):
        _, want, data = req.segs[0]
        assert len(data) <= DATA_MAX
        span = self.span(file, req.arg[0])
        if not span:
            return done(-errno.EINVAL)
        if len(data) < want:
            return done(-errno.EFAULT)
        data = data[:span[1] - span[0]]
        self.region[span[0]:span[0] + len(data)] = data
        if req.arg[0] == POS:
            file.position += len(data)
        return done(len(data))

    def on_mmap(self, file, req):
        off, length, prot, flags = req.arg
        base = off & ~((1 << 40) - 1)
        at = off - base
        if prot & mmap.PROT_EXEC:
            return done(-errno.EPERM)
        if not flags & mmap.MAP_SHARED or base not in self.bars or \
                at + length > BAR_SIZE:
            return done(-errno.EINVAL)
        rounded = -(-length // 4096) * 4096
        pages = [base == BAR_TRAP or (base == BAR_MIXED and page == 1)
                 for page in range(at // 4096, (at + rounded) // 4096)]
        ranges = []
        for trap in pages:
            if ranges and ranges[-1][1] == trap:
                ranges[-1][0] += 4096
            else:
                ranges.append([4096, trap])
        data = MAP.pack(at, len(ranges), 0)
        data += b"".join(RANGE.pack(n, trap, 0) for n, trap in ranges)
        return done(0, data, fd=self.bars[base])

    def on_ioctl(self, file, req):
        handler = self.ioctls.get(req.arg[0])
        if not handler:
            return done(-errno.ENOTTY)
        answer = handler(self, file, req)
        if answer and answer[0] == KIND_DONE:
            self.carried_out()
        return answer

    def carried_out(self):
        """Before the program can know, which then asks how many there were."""
        with self.lock:
            self.count += 1

    # -- the made-up ioctls ---------------------------------------------

    @staticmethod
    def argument(req, layout):
        data = req.bytes_at(req.arg[1], struct.calcsize(layout))
        return struct.unpack(layout, data) if data else None

    def ioc_sum(self, file, req):
        arg = self.argument(req, "=IIQ")
        if not arg:
            return done(-errno.EFAULT)
        n, _, addr = arg
        data = req.bytes_at(addr, n)
        if data is None:
            return need((NEED_BYTES, addr, n))
        if data is False:
            return done(-errno.EFAULT)
        return done(0, copies=[(req.arg[1] + 16,
                                struct.pack("=Q", sum(data)))])

    def ioc_fds(self, file, req):
        arg = self.argument(req, "=IIQ")
        if not arg:
            return done(-errno.EFAULT)
        n, _, addr = arg
        data = req.bytes_at(addr, 4 * n)
        if data is None:
            return need((NEED_BYTES, addr, 4 * n))
        if data is False:
            return done(-errno.EFAULT)
        numbers = array.array("i", data)
        if any(number not in req.fdrefs for number in numbers):
            return need((NEED_FDS, 0, n), numbers=numbers)
        fds = [req.fd_of(number) for number in numbers]
        if None in fds:
            return done(-errno.EBADF)
        for i, fd in enumerate(fds):
            os.write(fd, struct.pack("=Q", i + 1))
        return done(len(set(fds)))

    def ioc_vmas(self, file, req):
        arg = self.argument(req, "=QQ")
        if not arg:
            return done(-errno.EFAULT)
        if not req.flags & REQ_VMAS:
            return need((NEED_VMAS, arg[0], arg[1]))
        out = struct.pack("=II", len(req.vmas), 0)
        for vma in req.vmas[:16]:
            head = 0
            if vma[6] == VMA_FILE:
                fd = req.fds[vma[7]]
                assert os.fstat(fd).st_ino == vma[4]
                head = struct.unpack("=Q", os.pread(fd, 8, vma[2]))[0]
            out += VMA.pack(*vma) + struct.pack("=Q", head)
        return done(0, copies=[(req.arg[1] + 16, out)])

    def ioc_vmas_mm(self, file, req):
        """Does /proc/self/mem come along with private memory, unasked?"""
        arg = self.argument(req, "=QQ")
        if not req.flags & REQ_VMAS:
            return need((NEED_VMAS, arg[0], arg[1]), flags=NEED_WITH_MM)
        return done(0 if req.mem_fd is None else 1)

    def ioc_mm(self, file, req):
        arg = self.argument(req, "=QQ")
        if not arg:
            return done(-errno.EFAULT)
        if req.mem_fd is None:
            return need((NEED_MM, 0, 0))
        try:
            os.pwrite(req.mem_fd, struct.pack("=Q", arg[1]), arg[0])
        except OSError as e:
            return done(-e.errno)
        return done(0, copies=[(req.arg[1] + 16,
                                struct.pack("=QQ", *req.mm_id))])

    def ioc_copy(self, file, req):
        arg = self.argument(req, "=QI")
        if not arg:
            return done(-errno.EFAULT)
        return done(5, copies=[(arg[0], b"\x5a" * arg[1])])

    def ioc_wait_read(self, file, req):
        number = req.arg[1]
        if number not in req.fdrefs:
            return need((NEED_FDS, 0, 1), numbers=[number])
        os.write(req.fd_of(number), struct.pack("=Q", 1))
        file.was_read.clear()
        file.was_read.wait(20)
        return done(0)

    def ioc_die(self, file, req):
        os._exit(0)

    def ioc_forever(self, file, req):
        return need((NEED_MM, 0, 0))

    def ioc_newfd(self, file, req):
        theirs = self.new_file("/dev/vfio/7")
        return done(0, fd=theirs.detach(),
                    flags=REPLY_FD | (REPLY_CLOEXEC if req.arg[1] else 0))

    def ioc_argsz(self, file, req):
        arg = self.argument(req, "=I")
        if not arg:
            return done(-errno.EFAULT)
        if arg[0] > len(req.segs[0][2]) and len(req.segs) == 1:
            return need((NEED_BYTES, req.arg[1], arg[0]))
        data = req.bytes_at(req.arg[1], arg[0])
        if not data:
            return done(-errno.EFAULT)
        return done(0, copies=[(req.arg[1] + 4,
                                bytes(b ^ 0xFF for b in data[4:]))])

    def ioc_value(self, file, req):
        return done(req.arg[1])

    def ioc_count(self, file, req):
        return done(self.count)

    def ioc_channels(self, file, req):
        """A hang-up takes its time to be seen, so wait for what is right."""
        with self.changed:
            self.changed.wait_for(
                lambda: len(self.channels) == req.arg[1], 10)
            return done(len(self.channels))

    def ioc_doors(self, file, req):
        return done(self.doors)

    def ioc_forget(self, file, req):
        self.carried_out()
        with self.changed:
            channels, self.channels = self.channels, {}
        send_reply(req.reply, req.seq, done(0))
        for reply in channels.values():
            reply.shutdown(socket.SHUT_RDWR)
            reply.close()

    def stale(self, req):
        with open("/dev/null", "rb") as null:
            for seq in (0, req.seq - 1, req.seq + 1):
                send_reply(req.reply, seq, done(77, fd=null.fileno(),
                                                flags=REPLY_FD))
            send_reply(req.reply, req.seq - 1, done(77, b"x" * 5000))
            req.reply.send(b"no reply at all")

    def ioc_stale(self, file, req):
        self.stale(req)
        return done(5)

    def ioc_silence(self, file, req):
        self.carried_out()
        self.stale(req)
        req.reply.shutdown(socket.SHUT_WR)

    ioctls = {
        IOC_SUM: ioc_sum, IOC_FDS: ioc_fds, IOC_VMAS: ioc_vmas,
        IOC_MM: ioc_mm, IOC_COPY: ioc_copy, IOC_WAIT_READ: ioc_wait_read,
        IOC_DIE: ioc_die, IOC_FOREVER: ioc_forever, IOC_NEWFD: ioc_newfd,
        IOC_ARGSZ: ioc_argsz, IOC_VALUE: ioc_value, IOC_COUNT: ioc_count,
        IOC_CHANNELS: ioc_channels, IOC_DOORS: ioc_doors,
        IOC_FORGET: ioc_forget, IOC_STALE: ioc_stale,
        IOC_SILENCE: ioc_silence, IOC_VMAS_MM: ioc_vmas_mm,
    }


def main():
    """Serve in the foreground: fake_daemon.py DIRECTORY."""
    directory = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()
    daemon = FakeDaemon(directory).start()
    print("SOFTVFIO_DIR=" + directory, flush=True)
    os.waitpid(daemon.pid, 0)


if __name__ == "__main__":
    main()
