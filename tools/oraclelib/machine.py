# SPDX-License-Identifier: BSD-3-Clause
"""The machine both sides run: one table, a row per function.

A slot with two functions is one group on either side: neither device isolates
its functions. The third edu has a slot of its own.
"""
import json
import struct
import typing

# What QEMU's devices look like, as far as options can say it.
EDU = {"model": "edu", "nopm": True}
NVME = {"model": "nvme", "size": "64M", "serial": "conformance", "msi": 0}
RAM = {"model": "ram", "size": "4M", "nopm": True}
NIC = {"model": "plain", "id": "8086:10d3", "class": "020000",
       "subsys": "8086:0000", "bar0": "128K", "bar1": "128K", "bar2": "io:32",
       "bar3": "16K", "msix": "5@3", "msi": 1, "noflr": True, "rom": "@ROM@"}
ROM_SIZE = 2560  # less than its BAR of 4 KiB


class Function(typing.NamedTuple):
    """A PCI function of the machine."""
    bdf: str
    qemu: str   # what is plugged into the slot
    soft: dict  # options of softvfio's device


FUNCTIONS = (
    Function("0000:01:00.0", "edu", {**EDU, "slot": "a"}),
    Function("0000:01:00.1", "edu", {**EDU, "slot": "a"}),
    Function("0000:02:00.0", "nvme,serial=conformance,drive=disk,"
             "msix-exclusive-bar=on,msix_qsize=64,max_ioqpairs=1024", NVME),
    Function("0000:03:00.0", "ivshmem-plain,memdev=shared", RAM),
    Function("0000:04:00.0", "e1000e,romfile=@ROM@", NIC),
    Function("0000:05:00.0", "edu", EDU),
)


def slot(function):
    """Bus and number of the function in its slot."""
    _, bus, rest = function.bdf.split(":")
    return int(bus, 16), int(rest.split(".")[1])


def write_rom(path):
    """An expansion ROM with the header Linux looks for (PCI Firmware 3.3 5.1);
    it shows what is behind the length that says as ones."""
    pcir = 0x1c
    image = bytearray(i * 7 & 0xff for i in range(ROM_SIZE))
    image[0:3] = bytes([0x55, 0xaa, ROM_SIZE // 512])
    image[0x18:0x1a] = struct.pack("<H", pcir)
    image[pcir:pcir + 24] = struct.pack(
        "<4sHHHHB3sHHBBH", b"PCIR", 0x8086, 0x10d3, 0, 24, 0, b"\x00\x00\x02",
        ROM_SIZE // 512, 0, 0, 0x80, 0)
    path.write_bytes(image)


def qemu_devices(work):
    """QEMU's arguments: a root port per slot and what is in it."""
    rom = work / "rom"
    write_rom(rom)
    args = ["-object", "memory-backend-ram,id=shared,share=on,size=4M",
            "-drive", "if=none,id=disk,driver=null-co,size=64M,read-zeroes=on"]
    buses = [slot(f)[0] for f in FUNCTIONS]
    for bus in sorted(set(buses)):
        # without x-speed a bus reset takes a second and a hot reset fails
        args += ["-device", f"pcie-root-port,id=port{bus},bus=pcie.0,"
                            f"addr={bus:x}.0,chassis={bus},x-speed=2_5"]
    for function in FUNCTIONS:
        bus, number = slot(function)
        multi = buses.count(bus) > 1 and number == 0
        device = function.qemu.replace("@ROM@", str(rom))
        args += ["-device", f"{device},bus=port{bus},addr=0.{number}"
                            + (",multifunction=on" if multi else "")]
    return args


def topology(work):
    """The same machine as softvfio reads it: the file's name."""
    rom, path = work / "rom", work / "topology.json"
    write_rom(rom)
    devices = [{"bdf": f.bdf, **f.soft} for f in FUNCTIONS]
    text = json.dumps({"devices": devices}, indent=1)
    path.write_text(text.replace("@ROM@", str(rom)), encoding="utf-8")
    return path


def bdfs():
    """All addresses."""
    return [f.bdf for f in FUNCTIONS]
