# SPDX-License-Identifier: BSD-3-Clause
"""Paths: into the daemon's tree and out of it again, by every name libc has."""
import errno
import os
import stat
import subprocess

import pytest
from fake_daemon import POS, STAT, FakeDaemon, done
from shim_support import run_victim

BDF = "0000:01:00.0"
DEVICE = "/sys/devices/pci0000:00/" + BDF
LINK = "/sys/bus/pci/devices/" + BDF
CONFIG_SIZE = 256


class PathDaemon(FakeDaemon):
    """Two kinds of nodes: config spaces of 256 bytes, and devices."""

    def on_stat(self, file, req):
        return self.answer_stat(req.text())

    def on_fstat(self, file, req):
        return self.answer_stat(file.what)

    def answer_stat(self, path):
        if path.endswith("config"):
            return done(0, STAT.pack(0o100644, 1, 0, CONFIG_SIZE, 5))
        if path.endswith("gone"):
            return done(-errno.ENOENT)
        minor = 196 if path.endswith("vfio/vfio") else 12
        return done(0, STAT.pack(0o020666, 1, os.makedev(10, minor), 0, 6))

    def on_open(self, file, req):
        if req.text().endswith("gone"):
            return done(-errno.ENODEV)
        return super().on_open(file, req)

    def span(self, file, off):
        if not file.what.endswith("config"):
            return super().span(file, off)
        if off == POS:
            off = file.position
        return min(off, CONFIG_SIZE), CONFIG_SIZE


def make_tree(directory):
    root = os.path.join(directory, "root")
    for path in ("/dev/vfio", "/sys/bus/pci/devices", "/sys/module/vfio_pci",
                 "/sys/class/vfio-dev", "/sys/kernel/iommu_groups/12", DEVICE):
        os.makedirs(root + path)
    for path in ("/dev/vfio/vfio", "/dev/vfio/12", "/dev/vfio/gone",
                 DEVICE + "/config", DEVICE + "/remove"):
        os.mknod(root + path, stat.S_IFSOCK | 0o666)
    with open(root + DEVICE + "/vendor", "w") as f:
        f.write("0x8086\n")
    os.symlink("../../../devices/pci0000:00/" + BDF, root + LINK)
    os.symlink("../../../kernel/iommu_groups/12", root + DEVICE +
               "/iommu_group")


@pytest.fixture(params=["plain", "through a link"])
def daemon(request, tmp_path):
    directory = str(tmp_path / "instance")
    os.mkdir(directory)
    make_tree(directory)
    d = PathDaemon(directory).start()
    if request.param != "plain":
        d.directory = str(tmp_path / "alias")
        os.symlink("instance", d.directory)
    yield d
    d.stop()


@pytest.fixture
def calls(daemon):
    def run(*pairs):
        args = [word for pair in pairs for word in pair]
        return run_victim(daemon, "victim_path", *args).stdout.splitlines()
    return run


def shell(daemon, script):
    env = dict(os.environ, LD_PRELOAD=os.environ["SHIM_LIB"],
               SOFTVFIO_DIR=daemon.directory)
    return subprocess.run(["bash", "-c", script], env=env, text=True,
                          timeout=60, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)


@pytest.mark.parametrize("path", [
    "/dev/vfio/vfio", "//dev//vfio/./vfio", "/dev/./vfio/vfio",
    "/dev/nowhere/../vfio/vfio", "/sys/../dev/vfio/vfio",
    "/dev/vfio/../../dev/vfio/vfio", "/../dev/vfio/vfio"])
def test_spellings_of_one_path(calls, path):
    assert calls(("stat", path), ("open", path)) == [
        "20666 10:196 0", "/dev/vfio/vfio"]


@pytest.mark.parametrize("path", [
    "/dev/vfio-not", "/sys/bus/pci_express", "/tmp/dev/vfio", "dev/vfio",
    "/dev/vfio/../../etc", "/dev/null"])
def test_other_paths_are_the_hosts(calls, path):
    try:
        st = os.stat(path)
        there = "%o %u:%u %d" % (st.st_mode, os.major(st.st_rdev),
                                 os.minor(st.st_rdev), st.st_size)
    except OSError as e:
        there = errno.errorcode[e.errno]
    assert calls(("stat", path)) == [there]


def test_stat_shows_what_linux_has(calls):
    device, config = "20666 10:12 0", "100644 0:0 256"
    node = "/dev/vfio/12"
    assert calls(*((f, node) for f in (
        "stat", "lstat", "fstatat", "statx", "fstat", "fstat_path",
        "stat_proc"))) == [device] * 7
    assert calls(*((f, LINK + "/config") for f in (
        "stat", "lstat", "fstatat", "statx", "fstat", "fstat_path",
        "stat_proc"))) == [config] * 7
    assert calls(("lstat", LINK))[0].startswith("120777 ")
    assert calls(("stat", LINK + "/vendor")) == ["100644 0:0 7"]
    assert calls(("stat", "/dev/vfio/gone"), ("stat", "/dev/vfio/no")) == [
        "ENOENT", "ENOENT"]


def test_stat_survives_the_daemon(daemon):
    daemon.stop()
    assert run_victim(daemon, "victim_path", "stat", "/dev/vfio/12",
                      "open", "/dev/vfio/12").stdout.splitlines() == [
        "20600 0:0 0", "ENODEV"]


def test_open(calls):
    assert calls(("open", "/dev/vfio/12"), ("open_write", "/dev/vfio/12"),
                 ("creat", "/dev/vfio/12"), ("syscall", "/dev/vfio/12"),
                 ("openat", "/dev/vfio/12"), ("reopen", "/dev/vfio/12")) == [
        "/dev/vfio/12", "/dev/vfio/12 cloexec"] + ["/dev/vfio/12"] * 4
    assert calls(("openat", LINK + "/config")) == [DEVICE + "/config"]
    assert calls(("open", LINK + "/vendor")) == [DEVICE + "/vendor"]
    assert calls(("open", "/dev/vfio"), ("open", "/dev/vfio/")) == [
        "/dev/vfio"] * 2
    assert calls(("open", "/dev/vfio/gone"), ("open", "/dev/vfio/13"),
                 ("open", "/dev/vfio/vfio/")) == ["ENODEV", "ENOENT",
                                                 "ENOTDIR"]


def test_plain_files_cannot_be_written(calls, daemon):
    assert calls(("open_write", LINK + "/vendor"), ("creat", LINK + "/vendor"),
                 ("patch", LINK + "/vendor"),
                 ("open_write", LINK + "/new")) == [
        "EACCES", "EACCES", "EACCES", "ENOENT"]
    assert calls(("access", LINK + "/vendor"), ("access", LINK + "/config"),
                 ("access", LINK + "/none")) == ["6 0", "7 0", "0 -1"]
    with open(daemon.directory + "/root" + LINK + "/vendor") as f:
        assert f.read() == "0x8086\n"


def test_a_path_may_be_any_pointer(calls):
    bad = ["EFAULT", "EFAULT", "0 -1"]
    assert calls(("pointers", LINK + "/vendor")) == 3 * bad + ["6 0"] + bad


def test_links(calls):
    assert calls(("fd_links", "/dev/vfio/vfio")) == [
        "/dev/vfio/vfio " * 5 + "4"]
    assert calls(("readlink", LINK)) == [
        "../../../devices/pci0000:00/" + BDF]
    assert calls(("realpath", LINK), ("realpath", LINK + "/config"),
                 ("realpath", LINK + "/iommu_group")) == [
        DEVICE, DEVICE + "/config", "/sys/kernel/iommu_groups/12"]
    # as libpci asks: up from where the link leads, not from where it is
    assert calls(("realpath", LINK + "/../../../bus/pci/devices"),
                 ("realpath", LINK + "/../" + BDF)) == [
        "/sys/bus/pci/devices", DEVICE]


def test_directories(calls):
    entries = "config/8 iommu_group/10 remove/2 vendor/8"
    assert calls(("list", LINK), ("scandir", DEVICE)) == [entries, entries]
    assert calls(("glob", "/sys/bus/pci/devices/*/v*"),
                 ("glob", "/sys/bus/pci/devices/*:01:*"),
                 ("glob", "{/dev/vfio/1*,/dev/vfio/v*}"),
                 ("glob", "/sys/bus/pci/x*")) == [
        "0 " + LINK + "/vendor", "0 " + LINK,
        "0 /dev/vfio/12 /dev/vfio/vfio", "3"]


def test_walks(calls):
    walk = set(calls(("nftw", "/dev/vfio"))[0].split())
    assert walk == {"/dev/vfio:vfio:40000", "/dev/vfio/12:12:20000",
                    "/dev/vfio/gone:gone:140000",
                    "/dev/vfio/vfio:vfio:20000", "0"}
    walk = set(calls(("ftw", DEVICE))[0].split())
    assert DEVICE + "/config:100000" in walk
    assert DEVICE + "/vendor:100000" in walk


def test_streams(calls):
    assert calls(("cat", LINK + "/vendor"), ("cat", LINK + "/config"),
                 ("refresh", LINK + "/config"),
                 ("refresh", LINK + "/vendor"), ("cat", LINK + "/no")) == [
        "7 bytes, first 30, last 0a", "256 bytes, first 00, last f9",
        "256 bytes", "7 bytes", "ENOENT"]
    assert calls(("patch", LINK + "/config")) == ["1 256 0"]


def test_working_directory(calls):
    assert calls(("chdir", LINK)) == [
        DEVICE + " 100644 0:0 256", DEVICE + "/config", DEVICE + "/vendor"]


def test_programs(daemon):
    r = shell(daemon, "cat %s/vendor; ls /dev/vfio; "
                      "find /dev/vfio -type c | sort; cd %s; cat vendor; "
                      "head -c 4 config | od -An -tx1; readlink iommu_group; "
                      "readlink -f iommu_group" % (LINK, LINK))
    assert r.stdout.splitlines() == [
        "0x8086", "12", "gone", "vfio", "/dev/vfio/12", "/dev/vfio/vfio",
        "0x8086", " 00 07 0e 15", "../../../kernel/iommu_groups/12",
        "/sys/kernel/iommu_groups/12"]


def test_without_instance_nothing_is_rewritten(daemon):
    r = run_victim(daemon, "victim_path", "stat", "/sys/bus/pci/devices/" +
                   BDF + "/vendor", env={"SOFTVFIO_DIR": ""})
    assert r.stdout == "ENOENT\n"
