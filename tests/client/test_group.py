# SPDX-License-Identifier: BSD-3-Clause
"""Groups, the driver's sysfs files, and what a program may lock."""
import textwrap

import pytest

import support


def ok(result):
    status, out, err = result
    assert status == 0, out + err
    return out


SYSFS = """
def sysfs(what, text):
    with open("/sys/bus/pci/" + what, "w") as f:
        f.write(text)

def refused(what, text):
    try:
        sysfs(what, text)
    except OSError as e:
        return errno.errorcode[e.errno]
"""


@pytest.fixture
def sysfs_script(script):
    return lambda source: script(SYSFS + textwrap.dedent(source))


def test_a_member_without_a_driver_leaves_its_group_viable(user, sysfs_script):
    """Only a driver of the host's own would be in the way."""
    ok(user.softvfio("run", "-d", "edu,group=7", "-d", "edu,group=7", "--",
                     *sysfs_script("""
        sysfs("drivers/vfio-pci/unbind", "0000:02:00.0")
        group = os.open("/dev/vfio/7", os.O_RDWR)
        status = bytearray(struct.pack("=II", 8, 0))
        fcntl.ioctl(group, GET_STATUS, status)
        assert struct.unpack("=II", status)[1] == 1, status
        os.close(group)
        dev = Device("0000:01:00.0")
        assert dev.read(0, 0, 4) == 0x010000ed
        try:
            fcntl.ioctl(dev.group, GET_DEVICE_FD, b"0000:02:00.0\\0")
            assert False
        except OSError as e:
            assert e.errno == errno.ENODEV, e
        """)))


def test_binding_twice_is_ebusy_and_unbinding_twice_enodev(user,
                                                            sysfs_script):
    ok(user.softvfio("run", "-d", "edu", "--", *sysfs_script("""
        bdf = "0000:01:00.0"
        assert refused("drivers/vfio-pci/bind", bdf) == "EBUSY"
        sysfs("drivers/vfio-pci/unbind", bdf)
        assert refused("drivers/vfio-pci/unbind", bdf) == "ENODEV"
        sysfs("drivers/vfio-pci/bind", bdf)
        Device(bdf)
        """)))


# root may lock everything
@pytest.mark.parametrize("user", support.users()[-1:], indirect=True)
def test_a_bar_mapped_for_dma_is_not_locked_memory(user, script):
    ok(user.softvfio("run", "--memlock", "enforce", "-d", "ram,size=1M",
                     "--", *script("""
        import resource
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
        dev = Device("0000:01:00.0", iommu=3)
        bar = dev.map_bar(2)
        bar[:4] = b"mine"
        dev.map_dma(bar, 0x100000, 1 << 20)
        buf = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE)
        dev.map_dma(buf, 0x1000000, 65536)
        try:
            dev.map_dma(buf, 0x2000000, 4096)
            assert False
        except OSError as e:
            assert e.errno == errno.ENOMEM, e
        assert dev.unmap_dma(0x100000, 1 << 20) == 1 << 20
        """)))
