# SPDX-License-Identifier: BSD-3-Clause
"""Reads, writes and ioctls of a program under the shim, against a daemon that
asks for everything it can ask for."""
import os
import stat
import subprocess

import pytest

from fake_daemon import FakeDaemon
from shim_support import run_victim

IO_TESTS = """
pread_works pread_is_split_and_short_at_the_end pwrite_reads_back
bad_arguments_are_linux_errors vectors_are_one_read_each position_moves
other_files_are_untouched raw_system_calls_reach_the_file threads_do_not_mix
forked_children_do_not_mix handler_reads_during_an_ioctl
closing_everything_else_is_harmless nothing_leaks
daemon_dies_during_a_request daemon_dies_under_waiting_threads
""".split()

NEED_TESTS = """
bytes_are_fetched bad_pointers_are_efault structures_of_any_size
copies_of_any_size descriptors_are_sent same_descriptor_is_sent_once
bad_descriptors_are_known results_are_descriptors private_memory_is_mm
shared_files_are_sent mm_comes_with_private_memory shared_files_are_found_without_root
shared_files_are_found_by_path only_memory_is_sent_as_files one_file_is_sent_once
too_many_mappings_are_enomem mm_is_sent mm_ids_name_address_spaces
leader_may_be_gone small_stacks_are_enough
""".split()

MAP_TESTS = """
bar_is_shared_memory refusals_are_linux_errors addresses_are_honoured
memory_calls_are_refused other_memory_is_untouched moving_works
traps_survive_mprotect mappings_outlive_the_file
""".split()

LINE_TESTS = """
lines_are_kept doors_are_kept program_closes_it program_reuses_its_number
it_is_no_descriptor_of_the_program few_numbers_are_enough
children_have_their_own vfork_child_shares jumping_out_is_harmless
handlers_nest forgotten_lines_are_made_again others_answers_are_dropped
no_answer_is_enodev daemon_dies_with_lines_kept
""".split()

SANDBOX = {"VICTIM_SANDBOX": "1"}


@pytest.mark.parametrize("program", ["victim_io", "victim_io_fortified"])
@pytest.mark.parametrize("name", IO_TESTS)
def test_io(victim, program, name):
    victim(program, name)


@pytest.mark.parametrize("env", [{}, SANDBOX], ids=["plain", "sandbox"])
@pytest.mark.parametrize("name", NEED_TESTS)
def test_need(victim, name, env):
    victim("victim_need", name, env=env)


@pytest.mark.parametrize("env", [{}, SANDBOX], ids=["plain", "sandbox"])
@pytest.mark.parametrize("name", MAP_TESTS)
def test_map(victim, name, env):
    victim("victim_map", name, env=env)


@pytest.mark.parametrize("name", LINE_TESTS)
def test_line(daemon, victim, name):
    os.makedirs(daemon.directory + "/root/dev/vfio")
    os.mknod(daemon.directory + "/root/dev/vfio/vfio", stat.S_IFSOCK | 0o666)
    victim("victim_line", name)


class Unwilling(FakeDaemon):
    """A long request takes a channel all the same."""

    def keeps(self, req):
        return req.op == "channel"


@pytest.mark.parametrize("name", [
    "io threads_do_not_mix", "io nothing_leaks",
    "io handler_reads_during_an_ioctl", "io daemon_dies_during_a_request",
    "need descriptors_are_sent"])
def test_daemon_that_keeps_nothing(tmp_path, name):
    daemon = Unwilling(str(tmp_path)).start()
    try:
        fd = daemon.open()
        program, name = name.split()
        run_victim(daemon, "victim_" + program, "fd:%d" % fd, name, fds=[fd])
        os.close(fd)
    finally:
        daemon.stop()


@pytest.mark.only_if(os.environ["CC_ID"] == "gcc",
                     "others do not fortify read()")
def test_fortified_victim_is_fortified():
    path = os.path.join(os.environ["SHIM_VICTIMS"], "victim_io_fortified")
    names = subprocess.run(["nm", "-D", path], capture_output=True, text=True,
                           check=True).stdout
    assert "__read_chk" in names and "__pread_chk" in names


def test_daemon_is_left_with_nothing(daemon, victim):
    """Whatever a program sent is gone from the daemon when it has ended."""
    victim("victim_need", "mm_is_sent")
    before = daemon.open_fds()
    for name in ("descriptors_are_sent", "shared_files_are_sent",
                 "mm_is_sent"):
        victim("victim_need", name)
    # each victim() leaves one file of its own open until the test ends
    assert daemon.open_fds() == before + 3


def test_without_instance_everything_is_the_hosts(victim):
    r = victim("victim_io", "pread_works", check=False,
               env={"SOFTVFIO_DIR": ""})
    assert "Illegal seek" in r.stdout


def test_a_long_directory_is_no_problem(tmp_path):
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    daemon = FakeDaemon(str(deep)).start()
    try:
        fd = daemon.open()
        run_victim(daemon, "victim_io", "fd:%d" % fd, "pread_works", fds=[fd])
        os.close(fd)
    finally:
        daemon.stop()
