# SPDX-License-Identifier: BSD-3-Clause
"""Faults in BARs, and the program's own, in every state of its signals."""
import errno
import os
import signal
import struct
import subprocess
import threading

import pytest
from fake_daemon import BAR_SIZE, FakeDaemon, done
from shim_support import run_victim

IOC_GATE = 0x3BE0
IOC_TRACE = 0x3BE1
TRACE_MAX = 64
GATE_OPEN, GATE_CLOSED, GATE_REOPENS = range(3)


class TrapDaemon(FakeDaemon):
    """Registers are plain memory; the gate of BAR 0 opens and closes."""

    def serve(self, listener):
        self.gate = threading.Lock()
        self.closed = None
        self.trace = []
        super().serve(listener)

    def close_gate(self):
        fd = self.bars[0]
        self.closed = os.pread(fd, BAR_SIZE, 0)
        os.ftruncate(fd, 0)

    def open_gate(self):
        if self.closed is not None:
            os.pwrite(self.bars[0], self.closed, 0)
            self.closed = None

    def ioc_gate(self, file, req):
        with self.gate:
            self.open_gate()
            self.reopens = req.arg[1] == GATE_REOPENS
            if req.arg[1] != GATE_OPEN:
                self.close_gate()
        return done(0)

    def ioc_trace(self, file, req):
        """The accesses since it was asked last, as many as fit."""
        with self.gate:
            trace, self.trace = self.trace[:TRACE_MAX], []
        return done(len(trace), copies=[(req.arg[1], b"".join(trace))])

    ioctls = dict(FakeDaemon.ioctls)
    ioctls[IOC_GATE] = ioc_gate
    ioctls[IOC_TRACE] = ioc_trace

    def on_fault(self, file, req):
        assert req.bar_id() in self.bar_ids
        assert req.arg[0] < BAR_SIZE
        with self.gate:
            if self.closed is None or self.reopens:
                self.open_gate()
                return done(0)
        return done(-errno.EFAULT)

    def on_access(self, file, req):
        off, size, write, value = req.arg
        fd = self.bars[self.bar_ids[req.bar_id()]]
        assert size in (1, 2, 4, 8)
        if off % size or off + size > BAR_SIZE:
            return done(-errno.EFAULT)
        with self.gate:
            self.trace.append(struct.pack("=HBB", off, size, write))
        if write:
            os.pwrite(fd, value.to_bytes(8, "little")[:size], off)
            return done(0)
        return done(0, os.pread(fd, size, off).ljust(8, b"\0"))


@pytest.fixture
def daemon(tmp_path):
    d = TrapDaemon(str(tmp_path)).start()
    yield d
    d.stop()


@pytest.mark.parametrize("name", [
    "registers", "unaligned", "vectors", "page_crossings",
    "crossings_into_nothing", "locked", "strings", "protection", "gate_reopens", "gate_closed",
    "other_sigbus", "masks", "in_handlers", "handlers", "handler_returns",
    "sent_is_handled", "alternate_stack", "small_stacks", "after_fork",
    "dead_daemon"])
def test_faults(victim, name):
    victim("victim_trap", name)


@pytest.mark.parametrize("name,by", [
    ("gate_closed_kills", signal.SIGBUS),
    ("reset_hand", signal.SIGSEGV),
    ("default_kills", signal.SIGSEGV),
    ("ignored_kills", signal.SIGSEGV),
    ("blocked_kills", signal.SIGSEGV),
    ("blocked_kills_without_bars", signal.SIGSEGV),
    ("fault_in_handler_kills", signal.SIGSEGV),
    ("sent_kills", signal.SIGBUS),
])
def test_ends_of(victim, name, by):
    r = victim("victim_trap", name, check=False)
    assert r.returncode == -by, r.stdout


def test_blocked_before_exec(daemon):
    """A mask inherited from whoever started the program is stripped too."""
    fd = daemon.open()
    try:
        script = ("import os, signal, sys; "
                  "signal.pthread_sigmask(signal.SIG_BLOCK, "
                  "signal.valid_signals()); os.execv(sys.argv[1], "
                  "sys.argv[1:])")
        env = dict(os.environ, LD_PRELOAD=os.environ["SHIM_LIB"],
                   SOFTVFIO_DIR=daemon.directory)
        path = os.path.join(os.environ["SHIM_VICTIMS"], "victim_trap")
        # started without the shim: the mask is the kernel's
        del env["LD_PRELOAD"]
        r = subprocess.run(
            ["/usr/bin/python3", "-c", script, "/usr/bin/env",
             "LD_PRELOAD=" + os.environ["SHIM_LIB"], path, "fd:%d" % fd,
             "registers"], env=env, pass_fds=[fd], timeout=60,
            stdout=subprocess.PIPE, text=True)
        assert r.returncode == 0, r.stdout
    finally:
        os.close(fd)


def test_undecodable_says_which_bytes(daemon, capfd):
    fd = daemon.open()
    run_victim(daemon, "victim_trap", "fd:%d" % fd, "undecodable", fds=[fd])
    os.close(fd)
    err = capfd.readouterr().err.splitlines()
    assert len(err) == 1 and err[0].startswith("softvfio: instruction at 0x")
    assert ": d9 " in err[0]
