# SPDX-License-Identifier: BSD-3-Clause
"""Programs that are hard on a library in their address space (victim_*.c):
threads, signals, stacks, descriptors, processes, and memory that goes away
under DMA. They check themselves; here is that they end, and how."""
import re
import signal
import subprocess

import pytest

import support

HERE = support.BUILD / "tests" / "client"
MACHINE = ("-d", "edu", "-d", "edu", "-d", "ram,size=64K")
REPORT = re.compile(r"\d+ refusals?; |\d+ DMA mappings? .* left behind |"
                    r"[0-9a-f:.]+: BAR \d is still mapped by |"
                    r"[0-9a-f:.]+: \d+ DMA access(es)? missed$")

VICTIMS = {
    "threads": [
        "one_descriptor", "descriptors_come_and_go", "all_at_once",
        "small_stacks", "resets_under_blocked_signals", "exits_in_calls"],
    "signals": [
        "storm_restarting", "storm_interrupting", "storm_on_another_stack",
        "jumps_out_of_calls", "own_handlers", "own_handlers_and_decode",
        "everything_blocked"],
    "process": [
        "close_everything", "closed_descriptors_are_ebadf",
        "calls_leave_nothing_open", "dup2_over_them", "polled",
        "in_an_epoll_set", "locked", "fork_without_exec",
        "vfork_and_exec", "spawned", "cloexec_is_kept"],
    "dma": [
        "unmapped", "unmapped_and_mapped_again", "file_unmapped_and_closed",
        "protected", "truncated", "thrown_away", "moved", "copied_on_write",
        "of_a_dead_child", "after_exec"],
}
VICTIMS["process_fortified"] = VICTIMS["process"]


def victim(user, program):
    return user.bring(HERE / f"victim_{program}")


def check(result, status=0):
    got, out, err = result
    assert got == status and out == "", out + err
    strange = [line for line in err.splitlines() if not REPORT.match(line)]
    assert not strange, err


@pytest.mark.parametrize("program, test", [
    (program, test) for program, tests in VICTIMS.items() for test in tests])
def test_victim(user, program, test):
    check(user.softvfio("run", *MACHINE, "--", victim(user, program), test))


def test_a_blocked_fault_that_is_meant_kills(user):
    check(user.softvfio("run", *MACHINE, "--", victim(user, "signals"),
                        "blocked_fault_kills"), -signal.SIGBUS)


def test_the_daemon_survives_them_all(serve, script, me):
    d = serve(*MACHINE[1::2])
    fresh = script("""
        for bdf in "0000:01:00.0", "0000:02:00.0", "0000:03:00.0":
            dev = Device(bdf)
            assert dev.command() & 4 == 0
        """)
    check(d.run(*fresh))
    before = d.fds()
    for program, tests in VICTIMS.items():
        for test in tests:
            check(d.run(victim(me, program), test))
    check(d.run(*fresh))
    support.wait_for(lambda: d.fds() <= before, "the daemon's descriptors")


def test_descriptors_outlive_the_stranger_that_sent_them(serve, me):
    d = serve(*MACHINE[1::2])
    program = victim(me, "process")
    path = me.dir / "meet"
    receiver = me.popen([me.bin, "run", "--instance", d.name, "--", program,
                         "receive_them", path], stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
    assert receiver.stdout.readline() == "ready\n"
    check(d.run(program, "send_them", path), -signal.SIGKILL)
    out, err = receiver.communicate(timeout=support.deadline(30))
    check((receiver.returncode, out, err))
