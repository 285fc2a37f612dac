# SPDX-License-Identifier: BSD-3-Clause
"""What the Python tests share: the built programs, a standing daemon, users."""
import os
import pathlib
import select
import shutil
import signal
import subprocess
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("SOFTVFIO_BUILD", "build")).resolve()
SOFTVFIO = BUILD / "cli" / "softvfio"
SHIM = BUILD / "shim" / "libsoftvfio.so"
NOBODY = 65534
SLOW = float(os.environ.get("SOFTVFIO_SLOW", "1"))  # sanitizers take longer


def deadline(seconds):
    return seconds * SLOW


def wait_for(condition, what, seconds=10):
    """Poll @condition: for what has no descriptor to wait on."""
    end = time.monotonic() + deadline(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting for {what}")
        os.sched_yield()


def check_clean(text):
    """A sanitizer's or the lock order's complaint fails whatever test it was."""
    for sign in ("Sanitizer", "runtime error:", "lock order:", "Assertion"):
        assert sign not in text, text


class User:
    """Who runs softvfio: ourselves, or an ordinary user when we are root."""

    def __init__(self, name):
        self.name = name
        self.nobody = name == "nobody"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="softvfio-test-"))
        self.bin, self.shim = SOFTVFIO, SHIM
        if self.nobody:
            self.bin = self.bring(SOFTVFIO)
            self.shim = self.bring(SHIM)
            os.chown(self.dir, NOBODY, NOBODY)
        self.dir.chmod(0o755)
        self.runtime = self.dir / "run"
        self.runtime.mkdir(0o700)
        if self.nobody:
            os.chown(self.runtime, NOBODY, NOBODY)

    def bring(self, path):
        """A program of the build as this user can run it."""
        # the build tree may be where nobody else may look
        return pathlib.Path(shutil.copy(path, self.dir)) if self.nobody \
            else path

    def env(self):
        env = dict(os.environ, SOFTVFIO_SHIM=str(self.shim), HOME=str(self.dir),
                   XDG_RUNTIME_DIR=str(self.runtime))
        env.pop("SOFTVFIO_DIR", None)
        return env

    def popen(self, args, **kw):
        if self.nobody:
            kw.update(user=NOBODY, group=NOBODY, extra_groups=[])
        kw.setdefault("cwd", self.dir)
        kw.setdefault("env", self.env())
        return subprocess.Popen([str(a) for a in args], **kw)

    def softvfio(self, *args, before=(), timeout=60, **kw):
        """Run to its end, by way of the commands @before; returns (status,
        stdout, stderr)."""
        p = self.popen([*before, self.bin, *args], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, **kw)
        try:
            out, err = p.communicate(timeout=deadline(timeout))
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            raise AssertionError(f"{args} hangs\n{out}\n{err}") from None
        check_clean(err)
        return p.returncode, out, err

    def done(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def users():
    return ["self", "nobody"] if os.geteuid() == 0 else ["self"]


class Serve:
    """A standing daemon: `softvfio serve`."""

    def __init__(self, user, *devices, name="test", before=()):
        self.user, self.name, self.killed = user, name, False
        args = [*before, user.bin, "serve", "--instance", name]
        for d in devices:
            args += ["-d", d]
        self.process = user.popen(args, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        self.said = []  # before it was ready
        self.greeting = self.process.stdout.readline()
        while self.greeting and " is ready" not in self.greeting:
            self.said.append(self.greeting)
            self.greeting = self.process.stdout.readline()
        if self.process.poll() is not None or not self.greeting:
            raise AssertionError("serve did not start: " + "".join(self.said) +
                                 self.greeting + self.process.stdout.read())
        self.dir = next(p.parent for p in user.dir.rglob("door")
                        if p.parent.name == name)
        self.pid = self._daemon_pid()

    def _daemon_pid(self):
        """The process that listens, which is serve itself or its child."""
        children = pathlib.Path(
            f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        kids = children.read_text().split()
        return int(kids[0]) if kids else self.process.pid

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def run(self, *program, **kw):
        return self.user.softvfio("run", "--instance", self.name, "--",
                                  *program, **kw)

    def kill(self):
        """SIGKILL the daemon and wait until it is dead."""
        self.killed = True
        pidfd = os.pidfd_open(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        select.select([pidfd], [], [], deadline(10))
        os.close(pidfd)

    def stop(self):
        """End it; what it printed must be clean, and its status 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            out, _ = self.process.communicate(timeout=deadline(30))
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, _ = self.process.communicate()
            raise AssertionError("serve does not end\n" + out) from None
        check_clean(out)
        assert self.killed or self.process.returncode == 0, out
