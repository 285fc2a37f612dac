# SPDX-License-Identifier: BSD-3-Clause
"""An expansion ROM image of 2.5 KiB, complete enough for Linux to read it.

The header says how long the image is (PCI Firmware 3.3 5.1); Linux shows
everything behind that as ff.
"""
import struct
import sys

SIZE = 2560
PCIR = 0x1c

image = bytearray(i * 7 & 0xff for i in range(SIZE))
image[0:3] = bytes([0x55, 0xaa, SIZE // 512])
image[0x18:0x1a] = struct.pack('<H', PCIR)
image[PCIR:PCIR + 24] = struct.pack(
    '<4sHHHHB3sHHBBH', b'PCIR', 0x1234, 0x11e8, 0, 24, 0, b'\x00\xff\x00',
    SIZE // 512, 0, 0, 0x80, 0)
with open(sys.argv[1], 'wb') as rom:
    rom.write(image)
