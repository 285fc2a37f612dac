# SPDX-License-Identifier: BSD-3-Clause
"""A small VFIO program's half: what a driver written in Python would use.

Runs under the shim, and knows nothing of it.
"""
import ctypes
import fcntl
import mmap
import os
import struct

BASE = ord(";") << 8 | 100
(GET_API_VERSION, CHECK_EXTENSION, SET_IOMMU, GET_STATUS, SET_CONTAINER,
 UNSET_CONTAINER, GET_DEVICE_FD, GET_INFO, GET_REGION_INFO, GET_IRQ_INFO,
 SET_IRQS, RESET) = (BASE + n for n in range(12))
IOMMU_GET_INFO, MAP_DMA, UNMAP_DMA = BASE + 12, BASE + 13, BASE + 14
CONFIG = 7
DATA_NONE, DATA_BOOL, DATA_EVENTFD = 1, 2, 4
MASK, UNMASK, TRIGGER = 8, 16, 32
INTX, MSI, MSIX = 0, 1, 2


def at(region, offset):
    return region << 40 | offset


def address_of(buf):
    return ctypes.addressof(ctypes.c_char.from_buffer(buf))


class Device:
    """Container, group and device of one function, opened as usual."""

    def __init__(self, bdf, iommu=1):
        link = os.readlink(f"/sys/bus/pci/devices/{bdf}/iommu_group")
        self.container = os.open("/dev/vfio/vfio", os.O_RDWR)
        assert fcntl.ioctl(self.container, GET_API_VERSION) == 0
        self.group = os.open("/dev/vfio/" + os.path.basename(link), os.O_RDWR)
        fcntl.ioctl(self.group, SET_CONTAINER,
                    struct.pack("=i", self.container))
        fcntl.ioctl(self.container, SET_IOMMU, iommu)
        self.fd = fcntl.ioctl(self.group, GET_DEVICE_FD,
                              bytearray(bdf.encode() + b"\0"))

    def read(self, region, offset, size):
        return int.from_bytes(os.pread(self.fd, size, at(region, offset)),
                              "little")

    def write(self, region, offset, value, size):
        data = value.to_bytes(size, "little")
        assert os.pwrite(self.fd, data, at(region, offset)) == size

    def command(self, value=None):
        if value is not None:
            self.write(CONFIG, 4, value, 2)
        return self.read(CONFIG, 4, 2)

    def region(self, index):
        info = bytearray(struct.pack("=IIIIQQ", 32, 0, index, 0, 0, 0))
        fcntl.ioctl(self.fd, GET_REGION_INFO, info)
        _, flags, _, _, size, offset = struct.unpack("=IIIIQQ", info)
        return flags, size, offset

    def map_bar(self, index):
        _, size, offset = self.region(index)
        return mmap.mmap(self.fd, size, mmap.MAP_SHARED,
                         mmap.PROT_READ | mmap.PROT_WRITE, offset=offset)

    def map_dma(self, buf, iova, size, flags=3):
        fcntl.ioctl(self.container, MAP_DMA,
                    struct.pack("=IIQQQ", 32, flags, address_of(buf), iova,
                                size))

    def unmap_dma(self, iova, size):
        arg = bytearray(struct.pack("=IIQQ", 24, 0, iova, size))
        fcntl.ioctl(self.container, UNMAP_DMA, arg)
        return struct.unpack("=IIQQ", arg)[3]

    def set_irqs(self, index, flags, start, data=b"", count=None):
        width = 4 if flags & DATA_EVENTFD else 1
        if count is None:
            count = len(data) // width
        # a bytearray: fcntl.ioctl() takes no more than 1024 bytes otherwise
        fcntl.ioctl(self.fd, SET_IRQS, bytearray(struct.pack(
            "=IIIII", 20 + len(data), flags, index, start, count) + data))

    def reset(self):
        fcntl.ioctl(self.fd, RESET)


def edu_dma(dev, src, dst, count, command):
    """One DMA of the edu device, polled until done."""
    for offset, value in ((0x80, src), (0x88, dst), (0x90, count),
                          (0x98, command)):
        dev.write(0, offset, value, 8)
    while dev.read(0, 0x98, 8) & 1:
        os.sched_yield()
