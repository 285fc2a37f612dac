# SPDX-License-Identifier: BSD-3-Clause
"""Debian's own programs, unmodified, with every byte compared."""
import json
import os
import re
import shutil

import pytest

import support

NVME = "nvme://0000:01:00.0/1"
MIB = 1 << 20


def image(user, name, size):
    path = user.dir / name
    with open(path, "wb") as f:
        for _ in range(size // MIB):
            f.write(os.urandom(MIB))
    if user.nobody:
        os.chown(path, support.NOBODY, support.NOBODY)
    return path


def same(a, b):
    return a.read_bytes() == b.read_bytes()


def need(program, package):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed (Debian package {package})")


def test_qemu_img_copies_a_disk_out_of_nvme(user):
    need("qemu-img", "qemu-utils")
    disk = image(user, "disk.img", 64 * MIB)
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-img", "convert", "-f",
        "raw", "-O", "raw", NVME, "copy.img")
    assert status == 0, out + err
    assert same(disk, user.dir / "copy.img")


def test_qemu_img_copies_a_disk_into_nvme(user):
    need("qemu-img", "qemu-utils")
    disk = image(user, "new.img", 32 * MIB)
    image(user, "disk.img", 32 * MIB)
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-img", "convert", "-n",
        "-f", "raw", "-O", "raw", "new.img", NVME)
    assert status == 0, out + err
    assert same(disk, user.dir / "disk.img")


def test_qemu_io_reads_back_what_it_wrote(user):
    need("qemu-io", "qemu-utils")
    disk = image(user, "disk.img", 8 * MIB)
    before = disk.read_bytes()
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-io", "-f", "raw",
        "-c", "write -P 0x5a 1M 256k", "-c", "read -P 0x5a 1M 256k",
        "-c", "write -z 3M 64k", "-c", "read -P 0 3M 64k", "-c", "flush",
        NVME)
    assert status == 0, out + err
    assert "Pattern verification failed" not in out + err
    want = bytearray(before)
    want[MIB:MIB + 256 * 1024] = b"\x5a" * (256 * 1024)
    want[3 * MIB:3 * MIB + 64 * 1024] = bytes(64 * 1024)
    assert disk.read_bytes() == want


@pytest.mark.parametrize("cache", ["none", "writethrough", "directsync",
                                   "writeback", "unsafe"])
def test_qemu_in_each_cache_mode(user, cache):
    """none and directsync turn the write cache off, and name a namespace."""
    need("qemu-img", "qemu-utils")
    disk = image(user, "new.img", 8 * MIB)
    image(user, "disk.img", 8 * MIB)
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "sh", "-ec",
        f"qemu-img convert -n -t {cache} -T {cache} -f raw -O raw new.img "
        + NVME + ";"
        f"qemu-img bench -t {cache} -f raw -c 500 -d 8 -s 4096 " + NVME + ";"
        f"qemu-io -t {cache} -f raw -c 'write -P 0x5a 1M 256k' "
        f"-c 'read -P 0x5a 1M 256k' {NVME};"
        f"qemu-img convert -t {cache} -T {cache} -f raw -O raw " + NVME
        + " copy.img")
    assert status == 0, out + err
    assert "Pattern verification failed" not in out + err
    want = bytearray(disk.read_bytes())
    want[MIB:MIB + 256 * 1024] = b"\x5a" * (256 * 1024)
    assert (user.dir / "disk.img").read_bytes() == want
    assert (user.dir / "copy.img").read_bytes() == want


def test_qemu_hears_of_what_it_may_not_name_under_strict(user):
    need("qemu-img", "qemu-utils")
    args = ["--", "qemu-io", "-f", "raw", "-c", "read 0 4k"]
    for mode, want in (("none", 1), ("writeback", 0)):
        status, out, err = user.softvfio(
            "run", "-d", "nvme,size=1M,strict", *args, "-t", mode, NVME)
        assert status == want, out + err
        assert ("Failed to configure NVMe write cache" in err) == (want == 1)


@pytest.mark.parametrize("threads", [1, 4])
def test_qemu_img_bench_runs_at_depth(user, threads):
    need("qemu-img", "qemu-utils")
    for extra in ([], ["-w"]):
        status, out, err = user.softvfio(
            "run", "-d", f"nvme,size=64M,threads={threads}", "--", "qemu-img",
            "bench", "-f", "raw", "-c", "5000", "-d", "32", "-s", "4096",
            *extra, NVME)
        assert status == 0, out + err
        assert "Run completed" in out


@pytest.mark.parametrize("threads", [1, 3])
def test_qemu_img_converts_there_and_back(user, threads):
    """qcow2, in at depth and out again, and compared on the way."""
    need("qemu-img", "qemu-utils")
    disk = image(user, "plain.img", 16 * MIB)
    image(user, "disk.img", 16 * MIB)
    status, out, err = user.softvfio(
        "run", "-d", f"nvme,file=disk.img,threads={threads}", "--", "sh", "-ec",
        "qemu-img convert -f raw -O qcow2 plain.img in.qcow2;"
        "qemu-img convert -n -m 16 -W -f qcow2 -O raw in.qcow2 " + NVME + ";"
        "qemu-img compare -f qcow2 -F raw in.qcow2 " + NVME + ";"
        "qemu-img convert -m 16 -W -f raw -O qcow2 " + NVME + " out.qcow2;"
        "qemu-img compare -f qcow2 -F qcow2 in.qcow2 out.qcow2;"
        "qemu-img convert -f qcow2 -O raw out.qcow2 out.img")
    assert status == 0, out + err
    assert out.count("Images are identical.") == 2
    assert same(disk, user.dir / "out.img")
    assert same(disk, user.dir / "disk.img")


def test_qemu_img_compare_finds_the_byte_that_differs(user):
    need("qemu-img", "qemu-utils")
    disk = image(user, "disk.img", 4 * MIB)
    other = bytearray(disk.read_bytes())
    other[3 * MIB + 5] ^= 1
    (user.dir / "other.img").write_bytes(other)
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-img", "compare", "-f",
        "raw", "-F", "raw", "other.img", NVME)
    assert status == 1, out + err
    assert "Content mismatch at offset 3145728!" in out


def test_qemu_io_discards_and_writes_zeroes(user):
    need("qemu-io", "qemu-utils")
    disk = image(user, "disk.img", 8 * MIB)
    want = bytearray(disk.read_bytes())
    blocks = os.stat(disk).st_blocks
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-io", "-f", "raw",
        "-d", "unmap", "-c", "discard 1M 1M", "-c", "read -P 0 1M 1M",
        "-c", "write -z 3M 64k", "-c", "read -P 0 3M 64k",
        "-c", "write -z -u 5M 512k", "-c", "read -P 0 5M 512k",
        "-c", "write -z 7168k 512", "-c", "write -P 0xa5 1536k 4k",
        "-c", "read -P 0xa5 1536k 4k", "-c", "flush", NVME)
    assert status == 0, out + err
    assert "verification failed" not in out + err
    for start, size in ((MIB, MIB), (3 * MIB, 64 << 10), (5 * MIB, 512 << 10),
                        (7 * MIB, 512)):
        want[start:start + size] = bytes(size)
    want[MIB + MIB // 2:MIB + MIB // 2 + 4096] = b"\xa5" * 4096
    assert disk.read_bytes() == want
    # what was discarded takes no room any more; half a megabyte at least
    assert os.stat(disk).st_blocks < blocks - 1024


def test_qemu_io_is_told_that_the_storage_is_read_only(user):
    need("qemu-io", "qemu-utils")
    disk = image(user, "disk.img", MIB)
    before = disk.read_bytes()
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img,ro", "--", "qemu-io", "-f", "raw",
        "-c", "write -P 1 0 4k", NVME)
    assert "write failed" in out + err
    assert disk.read_bytes() == before


def test_an_image_at_its_size_limit_is_an_error_and_no_more(user):
    need("qemu-io", "qemu-utils")
    image(user, "disk.img", 4 * MIB)
    status, out, err = user.softvfio(
        "run", "-d", "nvme,file=disk.img", "--", "qemu-io", "-f", "raw",
        "-c", "write -P 1 2M 4k", "-c", "write -P 1 0 4k", "-c",
        "read -P 1 0 4k", NVME,
        before=("sh", "-c", 'ulimit -f 2048; exec "$@"', "sh"))
    assert (out + err).count("write failed") == 1
    assert "wrote 4096/4096 bytes at offset 0" in out
    assert "verification failed" not in out + err


def test_nvme_perf_drives_the_controller(user):
    """The example, with each kind of memory, over one page and over a list."""
    perf = user.bring(support.BUILD / "examples" / "nvme-perf")
    for memory in ("file", "mem"):
        for size, extra in ((512, []), (4096, ["-w"]), (131072, [])):
            status, out, err = user.softvfio(
                "run", "-d", "nvme,size=8M", "--", str(perf), "-j", "-t", "0.05",
                "-q", "8", "-m", memory, "-s", str(size), *extra,
                "0000:01:00.0")
            assert (status, err) == (0, ""), out + err
            assert json.loads(out)["commands"] > 0


def test_lspci_shows_both_devices_in_full_with_names(user):
    need("lspci", "pciutils")
    status, out, err = user.softvfio(
        "run", "-d", "nvme,size=1G", "-d", "edu", "--", "lspci", "-vvvnn")
    assert status == 0, out + err
    # a machine without /lib/modules has lspci say this of itself
    assert re.sub("lspci: Unable to load libkmod.*\n", "", err) == ""
    nvme, edu = out.strip().split("\n\n")
    assert nvme.startswith("01:00.0 Non-Volatile memory controller [0108]: "
                           "Red Hat, Inc. QEMU NVM Express Controller "
                           "[1b36:0010]")
    assert "prog-if 02 [NVM Express]" in nvme
    for part in ("IOMMU group: 1", "Region 0: Memory at ", "[size=16K]",
                 "MSI-X: Enable-", "Express (v2) Endpoint",
                 "Power Management version 3", "FLReset+",
                 "Kernel driver in use: vfio-pci"):
        assert part in nvme, part + " is missing in\n" + out
    assert re.search(r"^02:00\.0 Unclassified device \[00ff\]: .*\[1234:11e8\]",
                     edu)
    for part in ("IOMMU group: 2", "[size=1M]", "MSI: Enable-",
                 "Interrupt: pin A"):
        assert part in edu, part + " is missing in\n" + out
    assert "<access denied>" not in out and "!!!" not in out


def test_setpci_writes_reach_the_device_and_lspci_sees_them(user):
    need("setpci", "pciutils")
    status, out, err = user.softvfio(
        "run", "-d", "edu", "--", "sh", "-c",
        "setpci -s 01:00.0 COMMAND=0006 && setpci -s 01:00.0 COMMAND "
        "INTERRUPT_LINE VENDOR_ID && lspci -s 01:00.0 -vv")
    assert status == 0, out + err
    assert out.splitlines()[0] == "0006" and "1234" in out.splitlines()[2]
    assert "Mem+ BusMaster+" in out


def test_shell_tools_walk_the_tree(user):
    status, out, err = user.softvfio(
        "run", "-d", "edu", "-d", "nvme,size=1M", "--", "sh", "-c",
        "set -e; ls /sys/bus/pci/devices; cat /sys/bus/pci/devices/*/vendor;"
        "readlink /sys/bus/pci/devices/0000:01:00.0;"
        "readlink -f /sys/bus/pci/devices/0000:01:00.0/iommu_group;"
        "ls /sys/kernel/iommu_groups /dev/vfio;"
        "stat -c '%F %t:%T' /dev/vfio/vfio; test -c /dev/vfio/1;"
        "wc -c < /sys/bus/pci/devices/0000:02:00.0/config;"
        "echo 1 > /sys/bus/pci/devices/0000:01:00.0/reset")
    assert status == 0, out + err
    lines = out.split("\n")
    assert lines[:5] == ["0000:01:00.0", "0000:02:00.0", "0x1234", "0x1b36",
                         "../../../devices/pci0000:00/0000:01:00.0"] or \
        lines[4].startswith("../../../devices/pci0000:"), out
    assert "/sys/kernel/iommu_groups/1" in lines
    assert "character special file a:c4" in lines
    assert "4096" in lines
