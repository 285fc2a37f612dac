# SPDX-License-Identifier: BSD-3-Clause
"""The options that every device has, as a program sees them through VFIO.

Each is given both ways, by -d and in a topology file, and has to come out the
same.
"""
import json
import os
import shutil
import stat
import struct

import pytest

ROM_BYTES = 2560

# Everything there is to see of the functions given as arguments.
LOOK = """
    import json
    FLAGS = {1: "read", 2: "write", 4: "mmap", 8: "caps"}
    def irq_count(dev, index):
        info = bytearray(struct.pack("=IIII", 16, 0, index, 0))
        try:
            fcntl.ioctl(dev.fd, GET_IRQ_INFO, info)
        except OSError as e:
            return -e.errno
        return struct.unpack("=IIII", info)[3]
    def capabilities(dev):
        found, at = {}, dev.read(CONFIG, 0x34, 1)
        while at:
            found[dev.read(CONFIG, at, 1)] = at
            at = dev.read(CONFIG, at + 1, 1)
        return found
    def look(bdf):
        dev = Device(bdf)
        info = bytearray(struct.pack("=IIIII", 20, 0, 0, 0, 0))
        fcntl.ioctl(dev.fd, GET_INFO, info)
        regions = [dev.region(i) for i in range(8)]
        caps = capabilities(dev)
        exp = caps.get(0x10)
        seen = {
            "group": os.path.basename(os.readlink(
                f"/sys/bus/pci/devices/{bdf}/iommu_group")),
            "id": [dev.read(CONFIG, 0, 2), dev.read(CONFIG, 2, 2)],
            "subsys": [dev.read(CONFIG, 0x2c, 2), dev.read(CONFIG, 0x2e, 2)],
            "class": dev.read(CONFIG, 8, 4) >> 8,
            "header": dev.read(CONFIG, 0xe, 1),
            "pin": dev.read(CONFIG, 0x3d, 1),
            "size": [r[1] for r in regions],
            "flags": [[f for bit, f in FLAGS.items() if r[0] & bit]
                      for r in regions],
            "bar": [dev.read(CONFIG, 0x10 + 4 * i, 4) & 15 for i in range(6)],
            "irqs": [irq_count(dev, i) for i in range(5)],
            "caps": sorted(caps),
            "flr": bool(exp and dev.read(CONFIG, exp + 4, 4) & 1 << 28),
            "reset": struct.unpack("=IIIII", info)[1] & 1,
            "config": os.stat(f"/sys/bus/pci/devices/{bdf}/config").st_size,
            "sysfs": {name: open(f"/sys/bus/pci/devices/{bdf}/{name}").read()
                      .strip() for name in ("vendor", "device", "class",
                      "subsystem_vendor", "subsystem_device")},
        }
        for fd in (dev.fd, dev.group, dev.container):
            os.close(fd)
        return seen
    print(json.dumps([look(bdf) for bdf in sys.argv[1:]]))
    """


def text(device):
    """-d's form of a device in a topology file."""
    items = [device["model"]]
    for name, value in device.items():
        if name != "model":
            items.append(name if value is True else f"{name}={value}")
    return ",".join(items)


@pytest.fixture
def see(user, script):
    """Both ways to give @devices; what is at the addresses @at."""
    def run(devices, *at):
        status, out, err = user.softvfio(
            "run", *[a for d in devices for a in ("-d", text(d))], "--",
            *script(LOOK, *at))
        assert status == 0, out + err
        seen = json.loads(out)
        topology = user.dir / "topology.json"
        topology.write_text(json.dumps({"devices": devices}))
        status, out, err = user.softvfio("run", "-c", "topology.json", "--",
                                         *script(LOOK, *at))
        assert status == 0, out + err
        assert json.loads(out) == seen
        return seen
    return run


@pytest.fixture
def see_one(see):
    def run(model, **options):
        return see([{"model": model, **options}], "0000:01:00.0")[0]
    return run


# Addresses and groups

def test_bdf(see):
    bdf = "00a1:7f:1e.5"
    device = {"model": "edu", "bdf": bdf}
    assert see([device], bdf)[0]["id"] == [0x1234, 0x11e8]


def test_group(see):
    devices = [{"model": "edu", "group": 7}, {"model": "edu"},
               {"model": "ram", "group": 7}]
    seen = see(devices, "0000:01:00.0", "0000:02:00.0", "0000:03:00.0")
    assert [s["group"] for s in seen] == ["7", "1", "7"]
    assert [s["header"] for s in seen] == [0, 0, 0]


def test_slot(see):
    devices = [{"model": "edu", "slot": "a", "bdf": "04:02.0"},
               {"model": "ram"}, {"model": "nvme", "slot": "a"}]
    seen = see(devices, "0000:04:02.0", "0000:04:02.1", "0000:01:00.0")
    assert [s["group"] for s in seen] == ["1", "1", "2"]
    assert [s["header"] for s in seen] == [0x80, 0x80, 0]


# What the function says it is

def test_id_subsys_class(see_one):
    seen = see_one("edu", id="8086:10d3", subsys="1028:A01f", **{
        "class": "020000"})
    assert seen["id"] == [0x8086, 0x10d3]
    assert seen["subsys"] == [0x1028, 0xa01f]
    assert seen["class"] == 0x020000
    assert seen["sysfs"] == {
        "vendor": "0x8086", "device": "0x10d3", "class": "0x020000",
        "subsystem_vendor": "0x1028", "subsystem_device": "0xa01f"}


# BARs

@pytest.mark.parametrize("value, bits, size, flags", [
    ("64K", 0x0, 1 << 16, ["read", "write", "mmap"]),
    ("mem32:1M:prefetch", 0x8, 1 << 20, ["read", "write", "mmap"]),
    ("mem64:1G", 0x4, 1 << 30, ["read", "write", "mmap"]),
    ("mem64:4G:prefetch", 0xc, 4 << 30, ["read", "write", "mmap"]),
    ("io:64", 0x1, 64, ["read", "write"]),
    ("5000", 0x0, 8192, ["read", "write", "mmap"]),
])
def test_bar(see_one, value, bits, size, flags):
    seen = see_one("edu", bar2=value)
    assert seen["bar"][2] == bits
    assert seen["size"][2] == size and seen["flags"][2] == flags
    assert seen["size"][0] == 1 << 20    # the model's own is as it was


def test_every_bar(see_one):
    seen = see_one("edu", bar1="8K", bar2="4K", bar3="io:4", bar4="mem64:1M")
    assert seen["size"][:6] == [1 << 20, 8192, 4096, 4, 1 << 20, 0]
    assert seen["flags"][3] == ["read", "write"]


def test_a_models_own_bar_grows(see_one, user, script):
    assert see_one("edu", bar0="mem64:4M")["size"][0] == 4 << 20
    status, out, err = user.softvfio(
        "run", "-d", "edu,bar0=4M,bar3=8K", "--", *script("""
        dev = Device("0000:01:00.0")
        dev.command(2)
        assert dev.read(0, 0, 4) == 0x010000ed
        extra = dev.map_bar(3)
        extra[4096:4100] = b"mine"
        assert os.pread(dev.fd, 4, at(3, 4096)) == b"mine"
        """))
    assert status == 0, out + err


# Interrupts and capabilities

def test_msi(see_one):
    assert see_one("edu")["irqs"][1] == 1
    assert see_one("edu", msi=32)["irqs"][1] == 32
    seen = see_one("edu", msi=0)
    assert seen["irqs"][1] == 0 and 5 not in seen["caps"]


def test_msix(see_one):
    seen = see_one("edu", msix=2048)
    assert seen["irqs"][2] == 2048 and 0x11 in seen["caps"]
    # a BAR for the table, which says that it may be mapped
    assert sum("caps" in flags for flags in seen["flags"]) == 1
    assert see_one("nvme", msix=5)["irqs"][2] == 5
    seen = see_one("nvme", msix=0)
    assert seen["irqs"][2] == 0 and 0x11 not in seen["caps"]


def test_all_2048_vectors_are_signalled(user, script):
    status, out, err = user.softvfio(
        "run", "-d", "edu,msix=2048", "--", *script("""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (
            resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        try:
            fds = [os.eventfd(0) for _ in range(2048)]
        except OSError as e:
            sys.exit(f"skip: {e}")
        dev = Device("0000:01:00.0")
        dev.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0,
                     struct.pack("=2048i", *fds))
        dev.set_irqs(MSIX, DATA_NONE | TRIGGER, 0, count=2048)
        assert all(os.eventfd_read(fd) == 1 for fd in fds)
        """))
    if "skip:" in err:
        pytest.skip("RLIMIT_NOFILE leaves no room for 2048 eventfds")
    assert status == 0, out + err


def test_nointx(see_one):
    seen = see_one("edu")
    assert seen["pin"] == 1 and seen["irqs"][0] == 1
    seen = see_one("edu", nointx=True)
    assert seen["pin"] == 0 and seen["irqs"][0] == 0


def test_noflr(see_one):
    assert see_one("nvme")["flr"] and not see_one("nvme", noflr=True)["flr"]


def test_nopcie(see_one):
    seen = see_one("nvme")
    assert 0x10 in seen["caps"] and seen["config"] == 4096
    assert seen["size"][7] == 4096 and seen["irqs"][3] == 1
    seen = see_one("nvme", nopcie=True)
    assert 0x10 not in seen["caps"] and seen["config"] == 256
    assert seen["size"][7] == 256 and seen["irqs"][3] < 0


# The ROM

def rom_image():
    """The least that PCI Firmware 3.3 5.1 calls an image."""
    image = bytearray(i * 7 & 0xff for i in range(ROM_BYTES))
    image[0:3] = bytes([0x55, 0xaa, ROM_BYTES // 512])
    image[0x18:0x1a] = struct.pack("<H", 0x1c)
    image[0x1c:0x34] = struct.pack(
        "<4sHHHHB3sHHBBH", b"PCIR", 0x1234, 0x11e8, 0, 24, 0, b"\0\xff\0",
        ROM_BYTES // 512, 0, 0, 0x80, 0)
    return bytes(image)


@pytest.fixture
def rom(user):
    path = user.dir / "edu.rom"
    path.write_bytes(rom_image())
    path.chmod(stat.S_IRUSR | stat.S_IROTH)
    return path


def test_rom(see_one, rom, user, script):
    seen = see_one("edu", rom=str(rom))
    assert seen["size"][6] == 4096 and seen["flags"][6] == ["read"]
    seen = see_one("edu")
    assert seen["size"][6] == 0 and seen["flags"][6] == []
    status, out, err = user.softvfio(
        "run", "-d", f"edu,rom={rom}", "--", *script("""
        image = open(sys.argv[1], "rb").read()
        dev = Device("0000:01:00.0")
        dev.command(2)
        rom = os.pread(dev.fd, 8192, at(6, 0))
        assert len(rom) == 4096 and rom[:len(image)] == image
        assert set(rom[len(image):]) == {0xff}
        for size in (1, 2, 3, 4, 8):
            assert os.pread(dev.fd, size, at(6, 1)) == image[1:1 + size]
        try:
            os.pwrite(dev.fd, b"x", at(6, 0))
            sys.exit("the ROM can be written")
        except OSError as e:
            assert e.errno == errno.EINVAL
        # sized as a BIOS does
        dev.write(CONFIG, 0x30, 0xfffff800, 4)
        assert dev.read(CONFIG, 0x30, 4) == 0xfffff000
        """, rom))
    assert status == 0, out + err


def test_lspci_sees_the_shape(user, rom):
    if not shutil.which("lspci"):
        pytest.skip("lspci is not installed (Debian package pciutils)")
    status, out, err = user.softvfio(
        "run", "-d", f"edu,rom={rom},id=8086:10d3,class=020000,msi=8,msix=3,"
        "bar2=mem64:1M:prefetch,bar4=io:64,bdf=0003:05:00.0",
        "-d", "nvme,nointx,noflr", "--", "lspci", "-D", "-nn", "-vv")
    assert status == 0, out + err
    edu, nvme = sorted(out.strip().split("\n\n"), reverse=True)
    assert edu.startswith("0003:05:00.0 Ethernet controller [0200]: ")
    for part in ("[8086:10d3]", "(64-bit, prefetchable) [size=1M]",
                 "I/O ports at", "[size=64]", "Expansion ROM at",
                 "[disabled] [size=4K]", "MSI: Enable- Count=1/8",
                 "MSI-X: Enable- Count=3"):
        assert part in edu, part + " is missing in\n" + out
    assert "FLReset-" in nvme and "Interrupt: pin" not in nvme, out


# Wrong options

@pytest.mark.parametrize("options, said", [
    ("edu,nosuch=1", "no option 'nosuch'; there are:"),
    ("edu,nosuch=1", "bdf, group, slot, id, subsys, class, barN, msi, msix, "
     "nointx, noflr, nopcie, nopm, af, nosoftrst, rom"),
    ("nosuch", "no device model 'nosuch'; there are: nvme, edu, ram"),
    ("edu,bdf=1:2", "bdf=1:2 is not an address such as 0000:01:00.0"),
    ("edu,id=12345:1", "id=12345:1 is not VENDOR:DEVICE in hex"),
    ("edu,subsys=1", "subsys=1 is not VENDOR:DEVICE in hex"),
    ("edu,class=1000000", "class=1000000 is not 24 bits in hex"),
    ("edu,group=x", "group=x is not a number"),
    ("edu,slot=", "slot= is empty"),
    ("edu,bar0=io:64", "bar0=io:64 is not what the model's own BAR can be"),
    ("edu,bar0=4K", "bar0=4K is smaller than the 1048576 bytes"),
    ("edu,bar2=17X", "bar2=17X is not [io:|mem32:|mem64:]SIZE"),
    ("edu,bar6=4K", "no option 'bar6'"),
    ("edu,bar5=mem64:4K", "bar5 is the last"),
    ("edu,msi=3", "msi=3 is not 0, 1, 2, 4, 8, 16 or 32"),
    ("edu,msix=2049", "msix=2049 is not 0 to 2048"),
    ("edu,nointx=1", "nointx takes no value"),
    ("edu,noflr=no", "noflr takes no value"),
    ("edu,nopcie=0", "nopcie takes no value"),
    ("edu,nopm=1", "nopm takes no value"),
    ("edu,msix=2@0", "msix=2@0 is not vectors @ a BAR"),
    ("edu,msix=2@6", "msix=2@6 is not vectors @ a BAR"),
    ("nvme,msix=2@2", "msix=2@2 is not vectors @ a BAR"),
    ("edu,rom=/nosuch", "rom=/nosuch: No such file or directory"),
    ("edu,id=1:1,id=1:2", "'id' is given twice"),
])
def test_a_wrong_option_names_itself(me, options, said):
    status, out, err = me.softvfio("run", "-d", options, "--", "echo", "ran")
    assert status == 125 and out == ""
    assert said in err and len(err.splitlines()) == 1, err


@pytest.mark.parametrize("device, said", [
    ({"model": "edu", "nosuch": 1}, "device 2: edu: no option 'nosuch'"),
    ({"model": "edu", "nointx": False}, "device 2: edu: 'nointx' is neither"),
    ({"mode": "edu"}, 'device 2: not an object with a "model"'),
])
def test_a_wrong_topology_names_the_place(me, device, said):
    topology = me.dir / "topology.json"
    lines = ",\n".join(json.dumps(d) for d in ({"model": "ram"}, device))
    topology.write_text('{"devices": [\n' + lines + "\n]}\n")
    status, out, err = me.softvfio("run", "-c", topology, "--", "echo", "ran")
    assert status == 125 and out == ""
    assert f"topology.json:3: {said}" in err, err


def test_a_topology_that_is_no_json_names_the_line(me):
    topology = me.dir / "topology.json"
    topology.write_text('{"devices": [\n{"model" "edu"}]}')
    status, _, err = me.softvfio("run", "-c", topology, "--", "true")
    assert status == 125 and "topology.json:2: " in err, err
    status, _, err = me.softvfio("run", "-c", "nosuch.json", "--", "true")
    assert status == 125 and "nosuch.json: No such file" in err, err
    assert not os.path.exists(me.dir / "nosuch.json")
