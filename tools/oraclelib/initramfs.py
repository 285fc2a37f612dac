# SPDX-License-Identifier: BSD-3-Clause
"""What the real kernel boots: busybox, modules, the program, one script.

The archive is written here (cpio, newc), since a file system made as an
ordinary user has no other way to hold files that root owns.
"""
import gzip
import stat
import typing

from oraclelib import machine, place

BUSYBOX = "/bin/busybox"
PROGRAM = "/softvfio-conformance"
DONE = "# exit "  # before the program's status, last line of a transcript

# Functions are probed by name and only by vfio-pci; a driver that is built in
# may have been first.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /run
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/hugepages
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
stty -F /dev/ttyS1 raw -echo
for module in /modules/*.ko; do
	[ -e "$module" ] && insmod "$module"
done
cat /sys/devices/system/clocksource/clocksource0/current_clocksource
cd /sys/bus/pci
for bdf in @BDFS@; do
	echo vfio-pci >devices/$bdf/driver_override
	[ -e devices/$bdf/driver ] && echo $bdf >devices/$bdf/driver/unbind
	echo $bdf >drivers_probe
	echo "# $bdf $(basename $(readlink devices/$bdf/driver))"
done
cd /
{
	echo "# Linux $(uname -r)"
	@PROGRAM@ @ARGS@
	echo "@DONE@$?"
} >/dev/ttyS1
sync
poweroff -f
"""


class Entry(typing.NamedTuple):
    """A file or folder of the archive."""
    name: str
    mode: int
    data: bytes = b""


def header(entry, inode):
    """A file's header, name included, padded to 4."""
    name = entry.name.encode() + b"\0"
    fields = (inode, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0,
              len(name), 0)
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name
    return head + b"\0" * (-len(head) % 4)


def archive(entries):
    """The bytes of a cpio archive."""
    out = []
    for inode, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], 1):
        out.append(header(entry, inode))
        out.append(entry.data + b"\0" * (-len(entry.data) % 4))
    return b"".join(out)


def read(path, package):
    """A file from this machine, or what it would have come with."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as err:
        raise place.Failed(f"{path}: {err.strerror}; {package}") from err


def build(program, kernel, args):
    """The initramfs that runs @program with @args on @kernel."""
    script = INIT.replace("@BDFS@", " ".join(machine.bdfs()))
    script = script.replace("@PROGRAM@", PROGRAM).replace("@DONE@", DONE)
    script = script.replace("@ARGS@", " ".join(args))
    folder, executable = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755
    # 0755: the program's children that are not root have to get through
    entries = [Entry(".", folder), Entry("bin", folder),
               Entry("modules", folder),
               Entry("bin/busybox", executable,
                     read(BUSYBOX, "install busybox-static")),
               Entry(PROGRAM[1:], executable, read(program, "build it")),
               Entry("init", executable, script.encode())]
    entries += [Entry(f"modules/{p.name}", stat.S_IFREG | 0o644,
                      p.read_bytes()) for p in sorted(kernel.glob("*.ko"))]
    return gzip.compress(archive(entries), compresslevel=1, mtime=0)
