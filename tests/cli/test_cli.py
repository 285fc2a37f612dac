# SPDX-License-Identifier: BSD-3-Clause
"""softvfio as its user sees it: exit statuses, signals, job control, several
runs at once, standing and dead instances.

SOFTVFIO names the program to test. With SOFTVFIO_STUBBED=1 its daemon is
stub_daemon.c, which can be told to misbehave; other tests run with either."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

import support

SOFTVFIO = os.environ["SOFTVFIO"]
STUBBED = os.environ.get("SOFTVFIO_STUBBED") == "1"
DEADLINE = 20 * float(os.environ.get("SOFTVFIO_SLOW", "1"))  # seconds
PYTHON = [sys.executable, "-I", "-S", "-c"]

needs_stub = pytest.mark.only_if(STUBBED, "needs the stub daemon")
needs_real = pytest.mark.only_if(not STUBBED, "needs devices")


class Box:
    """A runtime directory of its own, and softvfio in it."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.base = self.path / "softvfio"
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(path))
        for name in ("STUB", "STUB_LS", "STUB_WHY", "STUB_REPORT",
                     "LD_PRELOAD"):
            self.env.pop(name, None)
        self.running = []

    def run(self, *args, check=None, **env):
        done = subprocess.run([SOFTVFIO, *args], env={**self.env, **env},
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=DEADLINE)
        if check is not None:
            assert done.returncode == check, done
        return done

    def start(self, *args, **kwargs):
        env = {**self.env, **kwargs.pop("env", {})}
        kwargs.setdefault("stderr", subprocess.PIPE)
        child = subprocess.Popen([SOFTVFIO, *args], env=env, text=True,
                                 stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, **kwargs)
        self.running.append(child)
        return child

    def serve(self, *args, **env):
        child = self.start("serve", "-d", "edu", *args, env=env)
        line = read_line(child.stdout)
        assert "is ready: 0000:01:00.0 edu" in line
        return child

    def leftovers(self):
        if not self.base.exists():
            return set()
        return {p.name for p in self.base.iterdir()} - {"lock",
                                                        "last-why.json"}

    def end(self):
        for child in self.running:
            if child.poll() is None:
                child.kill()
            child.communicate()


@pytest.fixture
def box():
    path = tempfile.mkdtemp(prefix="sv-cli.")
    the_box = Box(path)
    yield the_box
    the_box.end()
    shutil.rmtree(path, ignore_errors=True)


def read_line(stream):
    """One line and no more, or fail at the deadline."""
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], DEADLINE)
        assert ready, f"nothing more was said in time after {line!r}"
        byte = os.read(stream.fileno(), 1)
        if not byte:
            break
        line += byte
    return line.decode()


def end_of(child):
    out, err = child.communicate(timeout=DEADLINE)
    return child.returncode, out, err


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


# A program that says it is there, and what signals it gets.
VICTIM = """
import os, signal, sys
def say(what):
    os.write(1, f"{what}\\n".encode())
def got(n, _):
    say(signal.Signals(n).name)
    if n in (signal.SIGTERM, signal.SIGINT):
        sys.exit(7)
for s in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP,
          signal.SIGCONT, signal.SIGWINCH):
    signal.signal(s, got)
say(os.getpid())
while True:
    signal.pause()
"""


# Exit statuses

@pytest.mark.parametrize("status", [0, 3, 255])
def test_exit_status_is_the_programs(box, status):
    box.run("run", "-d", "edu", "--", "sh", "-c", f"exit {status}",
            check=status)
    assert box.leftovers() == set()


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM,
                                 signal.SIGSEGV, signal.SIGABRT])
def test_dies_by_the_programs_signal(box, sig):
    done = box.run("run", "-d", "edu", "sh", "-c", f"kill -{sig.value} $$")
    assert done.returncode == -sig
    assert box.leftovers() == set()


def test_leaves_no_core_of_its_own(box):
    script = 'ulimit -c unlimited; cd "$1" || exit; shift; exec "$@"'
    where = box.path / "cores"
    where.mkdir()
    done = subprocess.run(
        ["sh", "-c", script, "sh", where, SOFTVFIO, "run", "-d", "edu", "sh",
         "-c", "ulimit -c 0; kill -ABRT $$"],
        env=box.env, timeout=DEADLINE)
    assert done.returncode == -signal.SIGABRT
    assert list(where.iterdir()) == []


def test_program_not_found_is_127(box):
    done = box.run("run", "-d", "edu", "/no/such/program", check=127)
    assert "/no/such/program" in done.stderr
    assert "No such file" in done.stderr
    assert box.leftovers() == set()


def test_program_not_executable_is_126(box):
    plain = box.path / "plain"
    plain.write_text("not a program")
    done = box.run("run", "-d", "edu", str(plain), check=126)
    assert "Permission denied" in done.stderr


@pytest.mark.parametrize("args, said", [
    ([], "no program"),
    (["-d", "edu"], "no program"),
    (["true"], "no device"),
    (["-d"], "-d' needs its argument, MODEL"),
    (["-d", "nosuch", "true"], "nosuch"),
    (["-d", "edu,nosuch=1", "true"], "nosuch"),
    (["-c", "/no/such/file", "true"], "/no/such/file"),
    (["--nosuch", "true"], "there are: --device"),
    (["-x", "true"], "no option '-x'; there are: --device"),
    (["--verbose=3", "true"], "takes no argument"),
    (["--memlock=maybe", "-d", "edu", "true"], "enforce, account"),
    (["--instance", "a/b", "true"], "cannot be an instance's name"),
    (["--instance", "run-1", "true"], "cannot be an instance's name"),
    (["--instance", "x", "-d", "edu", "true"], "for a new machine"),
    (["--instance", "x", "-v", "true"], "for a new machine"),
    (["--instance", "absent", "true"], "no instance 'absent'"),
])
def test_own_failure_of_run_is_125_and_one_line(box, args, said):
    done = box.run("run", *args, check=125)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert box.leftovers() == set()


@pytest.mark.parametrize("args, said", [
    ([], "run, serve, ls, why"),
    (["nosuch"], "no subcommand 'nosuch'; there are: run, serve"),
    (["ls", "--nosuch"], "there are: --instance, --json, --stats, --help"),
    (["ls", "surplus"], "'surplus' is not understood"),
    (["why", "-n", "many"], "is not a number"),
    (["why", "-n"], "needs its argument, N"),
    (["serve"], "no device"),
    (["serve", "-d", "nosuch"], "nosuch"),
    (["serve", "-d", "edu", "--instance", "."], "cannot be"),
    (["devices", "surplus"], "not understood"),
    (["version", "--nosuch"], "there are: --help"),
    (["help", "nosuch"], "no subcommand 'nosuch'"),
])
def test_wrong_usage_elsewhere_is_2_and_one_line(box, args, said):
    done = box.run(*args, check=2)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


# Red, clear the screen (as a byte too), the end of a line, and what is shown.
STEERS = b"\x1b[31m\xc2\x9b2J\x9b5m\x7f\r\x07\nx\xc3\xa9"
SHOWN = "?[31m??2J?5m????x\u00e9"


def text_run(box, *args, check, **env):
    """What is said, once it is clear that it can steer no terminal."""
    done = subprocess.run([SOFTVFIO, *args], env={**box.env, **env},
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=DEADLINE)
    said = done.stderr.decode()  # whole characters, too
    assert done.returncode == check, done
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", said), said
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize("args, check", [
    ([b"%s"], 2),
    ([b"ls", b"--%s"], 2),
    ([b"ls", b"%s"], 2),
    ([b"why", b"-n", b"%s"], 2),
    ([b"help", b"%s"], 2),
    ([b"unplug", b"%s"], 1),
    ([b"run", b"-d", b"%s", b"true"], 125),
    ([b"run", b"-d", b"edu,%s=1", b"true"], 125),
    ([b"run", b"-d", b"edu,%s=1,%s=1", b"true"], 125),
    ([b"run", b"-d", b"edu,bdf=%s", b"true"], 125),
    ([b"run", b"-d", b"edu,group=%s", b"true"], 125),
    ([b"run", b"-c", b"/%s", b"true"], 125),
    ([b"run", b"--memlock=%s", b"-d", b"edu", b"true"], 125),
    ([b"run", b"--instance", b"%s", b"true"], 125),
    ([b"run", b"-d", b"edu", b"%s"], 127),
])
def test_what_is_quoted_steers_no_terminal(box, args, check):
    said = text_run(box, *(a.replace(b"%s", STEERS) for a in args),
                    check=check)
    assert SHOWN in said or args[-2:] == [b"-d", b"edu"] or b"unplug" in args


@pytest.mark.parametrize("text", [
    b'{"devices": [{"model": "%s"}]}',
    b'{"devices": [{"model": "edu", "%s": 1}]}',
    b'{"devices": [{"model": "edu", "bdf": "%s"}]}',
    b'{"devices": [{"%s',
    b'%s',
])
def test_a_topology_steers_no_terminal(box, text):
    path = box.path / "topology.json"
    escaped = b"\\u001b[31m\xc2\x9b2J\\u0007\\n\x7f"
    for what in STEERS, escaped:
        path.write_bytes(text.replace(b"%s", what))
        text_run(box, "run", "-c", str(path), "true", check=125)


def test_the_environment_steers_no_terminal(box):
    value = os.fsdecode(b"/no/" + STEERS)
    assert SHOWN in text_run(box, "run", "-d", "edu", "true", check=125,
                             SOFTVFIO_SHIM=value)


@needs_real
@pytest.mark.parametrize("option", ["nvme,file=", "nvme,serial=", "ram,size=",
                                    "edu,dma_mask=", "edu,bar1=",
                                    "edu,rom="])
def test_what_a_model_quotes_steers_no_terminal(box, option):
    said = subprocess.run([SOFTVFIO, "run", "-d", option.encode() + STEERS,
                           "true"], env=box.env, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=DEADLINE)
    assert said.returncode == 125
    text = said.stderr.decode()
    assert SHOWN in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), text


def test_missing_shim_is_125(box):
    done = box.run("run", "-d", "edu", "true", check=125,
                   SOFTVFIO_SHIM="/no/such.so")
    assert "/no/such.so" in done.stderr
    odd = box.path / "with blank.so"
    odd.write_text("")
    done = box.run("run", "-d", "edu", "true", check=125,
                   SOFTVFIO_SHIM=str(odd))
    assert "LD_PRELOAD cannot name" in done.stderr


def test_options_end_at_the_program(box):
    done = box.run("run", "-d", "edu", "echo", "-d", "--nosuch", check=0)
    assert done.stdout == "-d --nosuch\n"


def test_help_version_and_devices(box):
    overview = box.run("--help", check=0).stdout
    for name in ("run", "serve", "ls", "why", "devices", "version", "help"):
        assert f"softvfio {name}" in overview
        assert f"usage: softvfio {name}" in box.run("help", name,
                                                    check=0).stdout
        assert f"usage: softvfio {name}" in box.run(name, "--help",
                                                    check=0).stdout
    assert re.fullmatch(r"softvfio \d+\.\d+\.\d+\n",
                        box.run("--version", check=0).stdout)
    assert "edu" in box.run("devices", check=0).stdout


# What the program gets

def test_environment_of_the_program(box):
    other = str(pathlib.Path(os.environ["SOFTVFIO_SHIM"]))
    done = box.run("run", "-d", "edu", "sh", "-c",
                   'echo "$LD_PRELOAD"; echo "$SOFTVFIO_DIR"; '
                   'test -S "$SOFTVFIO_DIR/door" && '
                   'test -d "$SOFTVFIO_DIR/root" && stat -c %a '
                   '"$SOFTVFIO_DIR"',
                   check=0, LD_PRELOAD=other,
                   ASAN_OPTIONS="verify_asan_link_order=0")
    preload, where, mode = done.stdout.splitlines()
    assert preload == f"{os.path.realpath(other)}:{other}"
    assert where.startswith(f"{box.base}/run-")
    assert mode == "700"


def test_signal_state_of_the_program_is_the_callers(box):
    script = ("import signal; print(signal.getsignal(signal.SIGCHLD), "
              "signal.getsignal(signal.SIGHUP), "
              "signal.pthread_sigmask(signal.SIG_BLOCK, []))")

    def before():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR2])

    bare = subprocess.run([*PYTHON, script], env=box.env, preexec_fn=before,
                          capture_output=True, text=True, check=True)
    child = box.start("run", "-d", "edu", *PYTHON, script, preexec_fn=before)
    status, out, _ = end_of(child)
    assert status == 0
    assert out == bare.stdout
    assert "USR2" in out


def test_program_inherits_no_descriptor_of_ours(box):
    done = box.run("run", "-d", "edu", *PYTHON,
                   "import os; print(sorted(map(int, os.listdir("
                   "'/proc/self/fd'))))", check=0)
    assert done.stdout == "[0, 1, 2, 3]\n"  # 3: the listing itself


def test_daemon_has_its_own_session_and_none_of_our_output(box):
    child = box.start("run", "-d", "edu", *PYTHON, VICTIM)
    program = int(read_line(child.stdout))
    daemon, = set(children(child.pid)) - {program}
    assert os.getsid(daemon) == daemon
    for fd in (0, 1):
        assert os.readlink(f"/proc/{daemon}/fd/{fd}") == "/dev/null"
    end = os.pidfd_open(daemon)  # numbers are soon somebody else's
    child.terminate()
    assert end_of(child)[0] == 7
    assert select.select([end], [], [], 0)[0]
    os.close(end)


# Signals

@pytest.mark.parametrize("sig", [signal.SIGUSR1, signal.SIGHUP,
                                 signal.SIGWINCH, signal.SIGCONT])
def test_killed_signal_reaches_the_program_once(box, sig):
    child = box.start("run", "-d", "edu", *PYTHON, VICTIM)
    read_line(child.stdout)
    child.send_signal(sig)
    assert read_line(child.stdout) == f"{sig.name}\n"
    child.terminate()
    status, out, _ = end_of(child)
    assert (status, out) == (7, "SIGTERM\n")
    assert box.leftovers() == set()


def test_signal_of_the_program_to_its_group_is_not_doubled(box):
    script = VICTIM.replace("say(os.getpid())",
                            "os.kill(0, signal.SIGUSR1); say('sent')")
    child = box.start("run", "-d", "edu", *PYTHON, script,
                      start_new_session=True)
    assert {read_line(child.stdout) for _ in range(2)} == {"SIGUSR1\n",
                                                          "sent\n"}
    child.terminate()
    status, out, _ = end_of(child)
    assert (status, out) == (7, "SIGTERM\n")


def test_killed_run_takes_program_and_daemon_along(box):
    child = box.start("run", "-d", "edu", *PYTHON, VICTIM)
    program = int(read_line(child.stdout))
    daemon, = set(children(child.pid)) - {program}
    fds = [os.pidfd_open(pid) for pid in (program, daemon)]
    child.kill()
    for fd in fds:
        ready, _, _ = select.select([fd], [], [], DEADLINE)
        assert ready
        os.close(fd)
    assert len(box.leftovers()) == 1
    box.run("run", "-d", "edu", "true", check=0)  # sweeps
    assert box.leftovers() == set()


class Terminal:
    """A session leader playing the shell: starts a job in the foreground."""

    def __init__(self, box, *args):
        self.primary, secondary = pty.openpty()
        leader = os.fork()
        if not leader:
            self.lead(secondary, [SOFTVFIO, *args], box.env)
        os.close(secondary)
        self.leader = leader
        self.text = ""

    @staticmethod
    def lead(tty, argv, env):
        try:
            os.setsid()
            fcntl.ioctl(tty, 0x540e, 0)  # TIOCSCTTY
            for fd in (0, 1, 2):
                os.dup2(tty, fd)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            go_r, go_w = os.pipe()
            job = os.fork()
            if not job:
                os.close(go_w)
                os.setpgid(0, 0)
                os.read(go_r, 1)
                signal.signal(signal.SIGTTOU, signal.SIG_DFL)
                os.execve(argv[0], argv, env)
            os.close(go_r)
            with contextlib.suppress(OSError):
                os.setpgid(job, job)
            os.tcsetpgrp(0, job)
            os.close(go_w)
            while True:
                _, status = os.waitpid(job, os.WUNTRACED)
                if os.WIFSTOPPED(status):
                    os.write(1, b"<stopped>")
                    os.tcsetpgrp(0, os.getpgrp())
                    os.tcsetpgrp(0, job)
                    os.killpg(job, signal.SIGCONT)
                    continue
                code = os.waitstatus_to_exitcode(status)
                os.write(1, f"<ended {code}>".encode())
                os.read(0, 1)
                os._exit(0)
        finally:
            os._exit(1)

    def expect(self, text):
        end = time.monotonic() + DEADLINE
        while text not in self.text:
            left = end - time.monotonic()
            ready, _, _ = select.select([self.primary], [], [], max(0, left))
            assert ready, f"no {text!r} in {self.text!r}"
            try:
                self.text += os.read(self.primary, 4096).decode()
            except OSError as e:
                assert e.errno == errno.EIO
                pytest.fail(f"ended without {text!r}: {self.text!r}")

    def type(self, keys):
        os.write(self.primary, keys)

    def close(self):
        os.kill(self.leader, signal.SIGKILL)
        os.waitpid(self.leader, 0)
        os.close(self.primary)


@contextlib.contextmanager
def terminal(box, *args):
    t = Terminal(box, *args)
    try:
        yield t
    finally:
        t.close()


def test_terminal_interrupt_reaches_the_program_once(box):
    script = VICTIM.replace("sys.exit(7)", "pass")
    with terminal(box, "run", "-d", "edu", *PYTHON, script) as t:
        t.expect("\n")
        pid = int(t.text.split()[0])
        t.type(b"\x03")
        t.expect("SIGINT")
        # anything handed on as well would come before this one
        run = int(pathlib.Path(f"/proc/{pid}/stat").read_text().split()[3])
        os.kill(run, signal.SIGUSR1)
        t.expect("SIGUSR1")
        assert t.text.count("SIGINT") == 1
        os.kill(pid, signal.SIGKILL)
        t.expect("<ended -9>")


def test_terminal_stop_stops_the_job_and_cont_goes_on(box):
    with terminal(box, "run", "-d", "edu", *PYTHON, VICTIM) as t:
        t.expect("\n")
        t.type(b"\x1a")
        t.expect("<stopped>")
        t.expect("SIGCONT")
        t.type(b"\x03")
        t.expect("<ended 7>")
        assert t.text.count("<stopped>") == 1


def test_program_stopped_alone_does_not_stop_us(box):
    child = box.start("run", "-d", "edu", *PYTHON, VICTIM)
    program = int(read_line(child.stdout))
    os.kill(program, signal.SIGSTOP)
    os.kill(program, signal.SIGCONT)
    assert read_line(child.stdout) == "SIGCONT\n"
    child.send_signal(signal.SIGUSR1)
    assert read_line(child.stdout) == "SIGUSR1\n"
    child.terminate()
    assert end_of(child)[0] == 7


def test_killed_stop_stops_both_and_cont_continues_both(box):
    # a group of its own: job control ignores one whose leader has no parent
    # in the session, and ours may be such
    child = box.start("run", "-d", "edu", *PYTHON, VICTIM,
                      preexec_fn=lambda: os.setpgid(0, 0))
    read_line(child.stdout)
    child.send_signal(signal.SIGTSTP)
    status = support.wait_for(
        lambda: os.waitpid(child.pid, os.WUNTRACED | os.WNOHANG)[1],
        "softvfio run to stop")
    assert os.WIFSTOPPED(status)
    child.send_signal(signal.SIGCONT)
    assert read_line(child.stdout) == "SIGCONT\n"
    child.terminate()
    assert end_of(child)[0] == 7


# Instances

def test_runs_at_once_do_not_meet(box):
    runs = [box.start("run", "-d", "edu", "sh", "-c",
                      'echo "$SOFTVFIO_DIR"; read x; echo "$x"; exit "$x"')
            for _ in range(5)]
    where = {read_line(r.stdout) for r in runs}
    assert len(where) == 5
    assert len(box.leftovers()) == 5
    for i, r in enumerate(runs):
        r.stdin.write(f"{i}\n")
        r.stdin.flush()
        status, out, _ = end_of(r)
        assert (status, out) == (i, f"{i}\n")
    assert box.leftovers() == set()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM,
                                 signal.SIGHUP])
def test_serve_ends_on_signals_and_cleans_up(box, sig):
    child = box.serve("--instance", "mine")
    assert box.leftovers() == {"mine"}
    done = box.run("run", "--instance", "mine", "sh", "-c",
                   'echo "$SOFTVFIO_DIR"; exit 5', check=5)
    assert done.stdout == f"{box.base}/mine\n"
    child.send_signal(sig)
    status, _, err = end_of(child)
    assert (status, err) == (0, "")
    assert box.leftovers() == set()


def test_serve_without_a_name_is_default(box):
    box.serve()
    assert box.leftovers() == {"default"}
    box.run("run", "--instance", "default", "true", check=0)


def test_living_instance_is_refused(box):
    first = box.serve()
    done = box.run("serve", "-d", "edu", check=1)
    assert "'default' is running already" in done.stderr
    box.run("run", "--instance", "default", "true", check=0)
    first.terminate()
    assert end_of(first)[0] == 0


def test_dead_instance_is_taken_over(box):
    child = box.serve("--instance", "mine")
    daemon, = children(child.pid)
    fd = os.pidfd_open(daemon)
    for pid in (child.pid, daemon):
        os.kill(pid, signal.SIGKILL)
    assert select.select([fd], [], [], DEADLINE)[0]
    os.close(fd)
    child.wait()
    assert (box.base / "mine" / "door").exists()
    done = box.run("run", "--instance", "mine", "true", check=125)
    assert "no instance 'mine'" in done.stderr
    box.serve("--instance", "mine")
    box.run("run", "--instance", "mine", "true", check=0)


def test_daemon_that_dies_ends_serve(box):
    child = box.serve()
    daemon, = children(child.pid)
    os.kill(daemon, signal.SIGSEGV)
    status, _, err = end_of(child)
    assert status == 1
    assert "ended by itself" in err
    assert box.leftovers() == set()


def test_base_directory_must_be_ours_alone(box):
    box.base.mkdir(mode=0o755)
    box.base.chmod(0o755)
    done = box.run("run", "-d", "edu", "true", check=125)
    assert "chmod it to 700" in done.stderr
    box.base.rmdir()
    box.base.symlink_to("/tmp")
    done = box.run("run", "-d", "edu", "true", check=125)
    assert "cannot use" in done.stderr


@pytest.mark.only_if(os.geteuid() == 0, "only root can give away")
def test_base_directory_of_somebody_else_is_refused(box):
    box.base.mkdir(mode=0o700)
    os.chown(box.base, 1, 1)
    done = box.run("run", "-d", "edu", "true", check=125)
    assert "belongs to another user" in done.stderr


# What has a name of ours may be a link, or another thing than it was

@pytest.fixture(name="victim")
def some_bodys_directory(box):
    """A directory whose contents have to stay as they are."""
    path = box.path / "victim"
    for name in ("", "root", "root/dev"):
        (path / name).mkdir()
    for name in ("lock", "door", "root/dev/null", "precious"):
        (path / name).write_text("precious")
    before = contents(path)
    yield path
    assert contents(path) == before


def contents(path):
    return {p.relative_to(path): p.is_file() and p.read_text()
            for p in path.rglob("*")}


@pytest.fixture(name="base")
def base_of_box(box):
    box.base.mkdir(mode=0o700)
    return box.base


def stop(child):
    child.send_signal(signal.SIGTERM)
    return end_of(child)


def test_a_link_among_private_instances_is_left_alone(box, base, victim):
    (base / "run-abcdef").symlink_to(victim)
    (base / "run-abcdeg").symlink_to("lock")
    box.run("run", "-d", "edu", "true", check=0)
    assert box.leftovers() == {"run-abcdef", "run-abcdeg"}


@pytest.mark.parametrize("name", ["lab", "default"])
def test_a_link_is_no_standing_instance(box, base, victim, name):
    (base / name).symlink_to(victim)
    done = box.run("serve", "--instance", name, "-d", "edu", check=1)
    assert f"cannot use {base}/{name}: it is a link" in done.stderr
    done = box.run("run", "--instance", name, "true", check=125)
    assert f"there is no instance '{name}'" in done.stderr
    assert (base / name).is_symlink()


def test_a_link_in_a_dead_instance_goes_and_not_its_target(box, base, victim):
    for dead in ("run-abcdef", "lab"):
        (base / dead).mkdir(mode=0o700)
        (base / dead / "root").symlink_to(victim)
        (base / dead / "deep").mkdir()
        (base / dead / "deep" / "door").symlink_to(victim / "door")
        (base / dead / "deep" / "up").symlink_to("..")
        os.link(victim / "precious", base / dead / "deep" / "hard")
    stop(box.serve("--instance", "lab"))
    box.run("run", "-d", "edu", "true", check=0)
    assert box.leftovers() == set()


@pytest.mark.parametrize("make", [
    lambda lock, victim: lock.symlink_to(victim / "lock"),
    lambda lock, victim: lock.symlink_to(victim / "new"),
    lambda lock, victim: os.mkfifo(lock),
    lambda lock, victim: lock.mkdir(),
], ids=["link", "dangling", "fifo", "directory"])
def test_what_is_no_lock_is_not_taken(box, base, victim, make):
    make(base / "lock", victim)
    for command in ("run", "serve"):
        done = box.run(command, "-d", "edu", *["true"] * (command == "run"))
        assert done.returncode in (1, 125)
        assert f"cannot use {base}/lock: " in done.stderr
    shutil.rmtree(base)
    base.mkdir(mode=0o700)
    for dead in ("run-abcdef", "lab"):
        (base / dead).mkdir(mode=0o700)
        make(base / dead / "lock", victim)
    done = box.run("serve", "--instance", "lab", "-d", "edu", check=1)
    assert f"cannot use {base}/lab/lock: " in done.stderr
    box.run("run", "-d", "edu", "true", check=0)


def test_a_lock_that_is_a_hard_link_leaves_the_other_file(box, base, victim):
    (base / "run-abcdef").mkdir(mode=0o700)
    os.link(victim / "lock", base / "run-abcdef" / "lock")
    box.run("run", "-d", "edu", "true", check=0)
    assert box.leftovers() == set()


def test_an_instance_that_others_may_enter_is_refused(box, base):
    for dead in ("run-abcdef", "lab"):
        (base / dead).mkdir()
        (base / dead).chmod(0o770)
        (base / dead / "kept").touch()
    done = box.run("serve", "--instance", "lab", "-d", "edu", check=1)
    assert f"cannot use {base}/lab: other users may enter it" in done.stderr
    box.run("run", "-d", "edu", "true", check=0)
    assert (base / "run-abcdef" / "kept").exists()
    assert (base / "lab" / "kept").exists()


@pytest.mark.only_if(os.geteuid() == 0, "only root can give away")
def test_an_instance_of_somebody_else_is_refused(box, base):
    for dead in ("run-abcdef", "lab"):
        (base / dead).mkdir(mode=0o700)
        (base / dead / "kept").touch()
        os.chown(base / dead, support.NOBODY, support.NOBODY)
    done = box.run("serve", "--instance", "lab", "-d", "edu", check=1)
    assert "belongs to another user" in done.stderr
    box.run("run", "-d", "edu", "true", check=0)
    assert (base / "run-abcdef" / "kept").exists()
    assert (base / "lab" / "kept").exists()


@pytest.mark.only_if(os.geteuid() == 0, "only root can give away")
def test_a_lock_of_somebody_else_keeps_nobody_waiting(box, base):
    (base / "lock").touch()
    os.chown(base / "lock", support.NOBODY, support.NOBODY)
    with (base / "lock").open("r+b") as theirs:
        fcntl.lockf(theirs, fcntl.LOCK_EX)
        done = box.run("run", "-d", "edu", "true", check=125)
    assert "no plain file of yours" in done.stderr


@pytest.mark.only_if(os.geteuid() == 0, "only root can give away")
def test_a_user_who_was_root_follows_no_link_of_anothers(box, victim):
    theirs = box.path / "theirs"
    theirs.mkdir(mode=0o700)
    (theirs / "softvfio").symlink_to(victim)
    os.chown(theirs, support.NOBODY, support.NOBODY)
    done = box.run("run", "-d", "edu", "sh", "-c", 'echo "$SOFTVFIO_DIR"',
                   check=0, XDG_RUNTIME_DIR=str(theirs))
    assert str(theirs) not in done.stdout


@pytest.mark.only_if(os.geteuid() == 0, "only root is two users")
def test_another_user_follows_no_link_of_roots(box, base, victim):
    base.rmdir()
    base.symlink_to(victim)
    program = shutil.copy(SOFTVFIO, box.path / "program")
    os.chown(box.path, support.NOBODY, support.NOBODY)
    done = subprocess.run(
        [program, "serve", "-d", "edu"], env=box.env, capture_output=True,
        user=support.NOBODY, group=support.NOBODY, extra_groups=[], text=True,
        timeout=DEADLINE, check=False)
    assert done.returncode == 1 and "it is a link" in done.stderr, done


@needs_real
def test_a_directory_that_is_replaced_is_not_cleaned_up(box, base, victim):
    child = box.serve("--instance", "lab")
    (base / "lab").rename(base / "moved")
    (base / "lab").symlink_to(victim)
    status, _, err = stop(child)
    assert status == 0, err
    assert (base / "lab").is_symlink()
    assert list((base / "moved").iterdir()) == []


@needs_real
def test_a_base_that_is_replaced_is_not_cleaned_up(box, base, victim):
    (victim / "lab").mkdir()
    (victim / "lab" / "lock").touch()
    before = contents(victim)
    child = box.serve("--instance", "lab")
    base.rename(box.path / "moved")
    base.symlink_to(victim)
    assert stop(child)[0] == 0
    assert contents(victim) == before
    shutil.rmtree(victim / "lab")


def test_what_is_mounted_in_a_dead_instance_stays(box, base, victim):
    (base / "run-abcdef" / "root").mkdir(parents=True)
    (base / "run-abcdef").chmod(0o700)
    tried = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", 'mount --bind "$1" "$2" && shift 2 && '
         'exec "$@"', "sh", victim, base / "run-abcdef" / "root", SOFTVFIO,
         "run", "-d", "edu", "true"], env=box.env, capture_output=True,
        text=True, timeout=DEADLINE, check=False)
    if "unshare: " in tried.stderr or "mount: " in tried.stderr:
        pytest.skip("nothing can be mounted here: " + tried.stderr.strip())
    assert tried.returncode == 0, tried


@pytest.mark.parametrize("make", [
    lambda record, victim: record.symlink_to(victim / "precious"),
    lambda record, victim: os.mkfifo(record),
], ids=["link", "fifo"])
def test_a_record_that_is_none_is_replaced(box, base, victim, make):
    make(base / "last-why.json", victim)
    box.run("why", check=0)
    box.run("run", "-d", "edu", "true", check=0)
    assert not (base / "last-why.json").is_symlink()


def test_a_runtime_directory_that_others_may_write_is_not_used(box):
    box.path.chmod(0o777)
    done = box.run("run", "-d", "edu", "sh", "-c", 'echo "$SOFTVFIO_DIR"',
                   check=0)
    assert str(box.path) not in done.stdout
    box.path.chmod(0o1777)
    done = box.run("run", "-d", "edu", "sh", "-c", 'echo "$SOFTVFIO_DIR"',
                   check=0)
    assert str(box.path) in done.stdout


def test_a_runtime_directory_behind_a_link_of_ones_own_is_used(box):
    link = box.path / "link"
    link.symlink_to(box.path)
    done = box.run("run", "-d", "edu", "sh", "-c", 'echo "$SOFTVFIO_DIR"',
                   check=0, XDG_RUNTIME_DIR=str(link))
    assert str(link) in done.stdout


@pytest.mark.parametrize("name", ["..", ".", "../victim", "lab/../../victim",
                                  "/victim", "", "lock", "run-abcdef"])
def test_a_name_reaches_no_other_directory(box, base, victim, name):
    for command in (["serve", "-d", "edu"], ["run", "true"], ["ls"], ["why"]):
        done = box.run(command[0], "--instance", name, *command[1:])
        assert done.returncode in (1, 2, 125), done


def test_unusable_runtime_directory_falls_back_to_a_common_one(box):
    too_long = box.path / ("x" * 80)
    too_long.mkdir()
    for runtime in ("", "relative", "/no/such/directory", str(too_long)):
        done = box.run("run", "-d", "edu", "sh", "-c",
                       'echo "$SOFTVFIO_DIR"', check=0,
                       XDG_RUNTIME_DIR=runtime)
        assert re.match(f"(/dev/shm|/tmp)/softvfio-{os.geteuid()}/run-",
                        done.stdout)


# A daemon that misbehaves

@needs_stub
def test_daemon_that_cannot_start_is_125(box):
    done = box.run("run", "-d", "edu", "true", check=125, STUB="fail")
    assert "told to fail" in done.stderr
    assert box.leftovers() == set()
    done = box.run("serve", "-d", "edu", check=1, STUB="fail")
    assert box.leftovers() == set()


@needs_stub
def test_daemon_that_dies_leaves_the_program_its_status(box):
    done = box.run("run", "-d", "edu", "sh", "-c", "exit 3", check=3,
                   STUB="crash")
    assert "no report" in done.stderr
    assert box.leftovers() == set()


@needs_stub
def test_litter_is_removed(box):
    box.run("run", "-d", "edu", "true", check=0, STUB="litter")
    assert box.leftovers() == set()


@needs_stub
def test_daemon_that_refuses_to_answer(box):
    box.serve(STUB="refuse")
    done = box.run("ls", "--instance", "default", check=1)
    assert "does not answer: Input/output error" in done.stderr
    done = box.run("ls", check=0)
    assert "does not answer" in done.stderr


@needs_stub
def test_verbose_and_memlock_reach_the_daemon(box):
    done = box.run("run", "-v", "--memlock=enforce", "-d", "edu", "true",
                   check=0)
    assert "memlock enforce" in done.stderr
    done = box.run("run", "-d", "edu", "true", check=0)
    assert done.stderr == ""


# ls, why, report

LS = {"devices": [
    {"bdf": "0000:01:00.0", "model": "nvme", "id": "1b36:0010",
     "class": "010802", "group": 1, "driver": "vfio-pci",
     "open": [{"pid": 41, "program": "qemu\x1b[31m", "file": "device"}],
     "mappings": [{"bar": 0, "offset": 0, "size": 4096, "pid": 41}]},
    {"bdf": "0000:02:00.0", "model": "edu", "id": "1234:11e8",
     "class": "00ff00", "group": 2, "driver": None, "open": [],
     "mappings": []}],
    "containers": [{"pid": 41, "program": "dpdk", "mappings": 2, "groups": [1],
           "type": "type1v2"}]}


def refusal(when, reason):
    return {"time": when, "pid": 41, "program": "dpdk",
            "call": "ioctl VFIO_IOMMU_MAP_DMA", "errno": "EINVAL",
            "reason": reason}


@needs_stub
def test_ls_shows_devices_users_and_containers(box):
    box.serve(STUB_LS=json.dumps(LS))
    box.serve("--instance", "b", STUB_LS=json.dumps(LS))
    lines = box.run("ls", "--instance", "b", check=0).stdout.splitlines()
    assert lines[0].split() == ["INSTANCE", "DEVICE", "MODEL", "ID", "CLASS",
                                "GROUP", "DRIVER", "USED", "BY"]
    assert lines[1].split(maxsplit=7) == [
        "b", "0000:01:00.0", "nvme", "1b36:0010", "010802", "1", "vfio-pci",
        "qemu?[31m[41] device, [41] bar0 0+0x1000"]
    assert lines[2].split()[-2:] == ["-", "-"]
    assert lines[3].split(maxsplit=1)[1] == \
        "container of dpdk[41]: type1v2, 2 mappings, groups 1"
    everything = json.loads(box.run("ls", "--json", check=0).stdout)
    assert everything == {"instances": [{**LS, "instance": "b"},
                                        {**LS, "instance": "default"}]}


@needs_stub
def test_ls_shows_counters(box):
    device = {"bdf": "0000:01:00.0", "model": "nvme",
              "stats": {"model": {"commands": 5}, "dma_bytes": 4096}}
    box.serve(STUB_LS=json.dumps({"devices": [device], "containers": []}))
    lines = box.run("ls", "--stats", check=0).stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["default", "0000:01:00.0", "nvme"], ["commands", "5"],
        ["dma_bytes", "4096"]]


def test_ls_without_instances(box):
    assert json.loads(box.run("ls", "--json", check=0).stdout) == {
        "instances": []}
    assert "no instance" in box.run("ls", check=0).stderr
    assert "no instance 'x'" in box.run("ls", "--instance", "x",
                                        check=1).stderr


@needs_stub
def test_why_works_after_the_run(box):
    answer = {"refusals": [refusal(1000.25, "iova 1"), refusal(2000, "2")]}
    box.run("run", "-d", "edu", "true", check=0, STUB_WHY=json.dumps(answer))
    text = box.run("why", check=0).stdout
    assert "last run: dpdk[41]  ioctl VFIO_IOMMU_MAP_DMA  EINVAL" in text
    assert ".250" in text and "    iova 1\n" in text
    got = json.loads(box.run("why", "--json", "-n", "1", check=0).stdout)
    assert got == {"refusals": [{**answer["refusals"][1],
                                 "instance": "last run"}]}
    box.run("run", "-d", "edu", "true", check=0)
    assert "nothing was refused" in box.run("why", check=0).stderr


@needs_stub
def test_why_of_instances_is_in_order_of_time(box):
    box.run("run", "-d", "edu", "true", check=0,
            STUB_WHY=json.dumps({"refusals": [refusal(2, "run")]}))
    box.serve(STUB_WHY=json.dumps({"refusals": [refusal(1, "early"),
                                                refusal(3, "late")]}))
    got = json.loads(box.run("why", "--json", check=0).stdout)["refusals"]
    assert [r["reason"] for r in got] == ["early", "run", "late"]
    got = json.loads(box.run("why", "--json", "--instance", "default",
                             check=0).stdout)["refusals"]
    assert [r["reason"] for r in got] == ["early", "late"]


@needs_stub
def test_report_goes_to_stderr(box):
    done = box.run("run", "-d", "edu", "echo", "out", check=0,
                   STUB_REPORT=json.dumps({"lines": ["one", "two"]}))
    assert (done.stdout, done.stderr) == ("out\n", "one\ntwo\n")
