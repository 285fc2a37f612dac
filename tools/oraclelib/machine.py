# SPDX-License-Identifier: BSD-3-Clause
"""The machine both sides run: one table, a row per function.

A slot with two functions is one group on either side: neither device isolates
its functions. The third edu has a slot of its own.
"""
import json
import typing

class Function(typing.NamedTuple):
    """A PCI function of the machine."""
    bdf: str
    qemu: str   # what is plugged into the slot
    soft: dict  # options of softvfio's device


# What QEMU's devices have, as far as options can say it.
EDU = {"model": "edu", "nopcie": True}
NIC = {"model": "ram", "size": "128K", "id": "8086:10d3", "class": "020000",
       "subsys": "8086:0000", "bar0": "128K", "bar1": "128K", "bar2": "io:32"}

FUNCTIONS = (
    Function("0000:01:00.0", "edu", {**EDU, "slot": "a"}),
    Function("0000:01:00.1", "edu", {**EDU, "slot": "a"}),
    Function("0000:02:00.0", "nvme,serial=conformance",
             {"model": "nvme", "size": "64M", "serial": "conformance"}),
    Function("0000:03:00.0", "ivshmem-plain,memdev=shared",
             {"model": "ram", "size": "4M"}),
    Function("0000:04:00.0", "e1000e", NIC),
    Function("0000:05:00.0", "edu", EDU),
)


def slot(function):
    """Bus and number of the function in its slot."""
    _, bus, rest = function.bdf.split(":")
    return int(bus, 16), int(rest.split(".")[1])


def qemu_devices():
    """QEMU's arguments: a root port per slot and what is in it."""
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
        extra = {"nvme": ",drive=disk", "e1000": ",romfile="}
        args += ["-device", f"{function.qemu},bus=port{bus},addr=0.{number}"
                 + (",multifunction=on" if multi else "")
                 + extra.get(function.qemu[:5].rstrip(","), "")]
    return args


def topology(path):
    """Write the same machine as softvfio reads it."""
    devices = [{**f.soft, "bdf": f.bdf} for f in FUNCTIONS]
    path.write_text(json.dumps({"devices": devices}, indent=1),
                    encoding="ascii")


def bdfs():
    """All addresses."""
    return [f.bdf for f in FUNCTIONS]

