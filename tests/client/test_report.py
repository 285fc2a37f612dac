# SPDX-License-Identifier: BSD-3-Clause
"""The report at the end of a run, and the counters behind it."""
import json
import shutil
import subprocess

import pytest

import support


def lines_of(user, script, devices, source):
    """What `softvfio run` says about a script that ends well."""
    args = [a for d in devices for a in ("-d", d)]
    status, out, err = user.softvfio("run", *args, "--", *script(source))
    assert status == 0, out + err
    return err.splitlines()


def test_a_run_that_cleans_up_ends_silently(user, script):
    assert lines_of(user, script, ["edu", "nvme,size=1M"], """
        d = Device("0000:01:00.0")
        page = mmap.mmap(-1, 4096)
        d.map_dma(page, 0x10000, 4096)
        assert d.unmap_dma(0x10000, 4096) == 4096
        """) == []


def test_leaked_mappings_are_counted(user, script):
    assert lines_of(user, script, ["edu"], """
        d = Device("0000:01:00.0")
        page = mmap.mmap(-1, 3 * 4096)
        d.map_dma(page, 0x10000, 4096)
        d.map_dma(page, 0x20000, 8192)
        """) == ["2 DMA mappings (12288 bytes) left behind when the container "
                 "was closed"]


def test_missed_dma_and_interrupts_nobody_took_are_told(user, script):
    lines = lines_of(user, script, ["edu"], """
        d = Device("0000:01:00.0")
        d.command(6)
        edu_dma(d, 0x10000, 0x40000, 16, 1)
        d.command(2)
        edu_dma(d, 0x10000, 0x40000, 16, 1)
        d.command(6)
        d.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0,
                   struct.pack("=i", os.eventfd(0)))
        d.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, struct.pack("=i", -1))
        d.write(0, 0x60, 1, 4)
        """)
    assert "0000:01:00.0: 1 DMA accesses missed" in lines
    assert "0000:01:00.0: 1 DMA accesses with bus mastering off" in lines
    assert "0000:01:00.0: 1 of 0 interrupts had nobody to take them" in lines


def test_refusals_are_counted_and_why_tells_them(user, script):
    lines = lines_of(user, script, ["edu"], """
        d = Device("0000:01:00.0")
        for iova in (1, 2, 3):
            try:
                d.map_dma(mmap.mmap(-1, 4096), iova, 4096)
                sys.exit("misaligned, and mapped")
            except OSError as e:
                assert e.errno == errno.EINVAL
        """)
    assert lines == ["3 refusals; softvfio why tells which"]
    status, out, err = user.softvfio("why")
    assert status == 0 and out.count("EINVAL") == 3, out + err


def test_a_bar_that_outlives_the_program_is_told(user, script):
    """By a child that is left behind, and ends once nobody reads from it."""
    proc = user.popen(
        [user.bin, "run", "-d", "nvme,size=1M", "--", *script("""
        d = Device("0000:01:00.0")
        ready, go = os.pipe()
        if os.fork():
            os.read(ready, 1)
            os._exit(0)
        bar = d.map_bar(0)
        os.write(go, b"x")
        os.close(1)
        os.close(2)
        sys.stdin.read()
        """)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = proc.stderr.readline()
    proc.communicate(timeout=support.deadline(20))
    assert "0000:01:00.0: BAR 0 is still mapped by python3" in line
    assert proc.returncode == 0


def test_a_drivers_mistake_is_told_and_counted(user, script):
    """By why, by the report and by ls; the device goes on."""
    status, out, err = user.softvfio("run", "-d", "edu", "--", *script("""
        import subprocess
        dev = Device("0000:01:00.0")
        dev.command(6)
        dev.write(0, 0x80, 0x1000, 8)       # source
        dev.write(0, 0x88, 0x3fff0, 8)      # not the buffer
        dev.write(0, 0x90, 64, 8)
        dev.write(0, 0x98, 1, 8)
        while dev.read(0, 0x98, 8) & 1:
            pass
        del os.environ["LD_PRELOAD"]
        subprocess.run([%r, "ls", "--stats", "--json"], check=True)
        """ % str(user.bin)))
    assert status == 0, out + err
    stats = json.loads(out)["instances"][0]["devices"][0]["stats"]
    assert stats["driver_errors"] == 1
    assert "0000:01:00.0: the driver made 1 mistake; softvfio why" in err
    status, out, err = user.softvfio("why")
    assert status == 0
    assert "DMA of 0x40 bytes at 0x3fff0 of the device; its buffer is " \
        "0x40000 to 0x40fff" in out


def test_stats_count_what_a_program_did(user, script):
    """The counters of a run in progress, asked for from inside; by itself, since
    AddressSanitizer wants to be the first library."""
    if not shutil.which("qemu-io"):
        pytest.skip("qemu-io is not installed (Debian package qemu-utils)")
    status, out, err = user.softvfio(
        "run", "-d", "nvme,size=1M", "-d", "edu", "--", "sh", "-c",
        "qemu-io -f raw -c 'read 0 64k' -c 'write 0 4k' "
        "nvme://0000:01:00.0/1 >&2 && exec env -u LD_PRELOAD "
        "\"$0\" ls --stats --json",
        str(user.bin))
    assert status == 0, out + err
    nvme, edu = json.loads(out)["instances"][0]["devices"]
    stats = nvme["stats"]
    assert stats["model"]["read_bytes"] == 65536
    assert stats["model"]["written_bytes"] == 4096
    assert stats["model"]["commands"] >= 6
    assert stats["model"]["errors"] == 0
    assert stats["dma_bytes"] > 65536 + 4096
    assert stats["interrupts"] > 0
    assert stats["dma_missed"] == stats["dma_not_master"] == 0
    assert edu["stats"]["model"] == {}
    status, out, err = user.softvfio(
        "run", "-d", "nvme,size=1M", "--", "env", "-u", "LD_PRELOAD",
        str(user.bin), "ls", "--stats")
    assert status == 0, out + err
    assert "0000:01:00.0  nvme" in out and "commands" in out
