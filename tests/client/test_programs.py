# SPDX-License-Identifier: BSD-3-Clause
"""Debian's own programs, unmodified, with every byte compared."""
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


def test_qemu_img_bench_runs_at_depth(user):
    need("qemu-img", "qemu-utils")
    for extra in ([], ["-w"]):
        status, out, err = user.softvfio(
            "run", "-d", "nvme,size=64M", "--", "qemu-img", "bench", "-f",
            "raw", "-c", "5000", "-d", "32", "-s", "4096", *extra, NVME)
        assert status == 0, out + err
        assert "Run completed" in out


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
