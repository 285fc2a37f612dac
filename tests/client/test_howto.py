# SPDX-License-Identifier: BSD-3-Clause
"""The device of docs/howto-device.md in a softvfio of its own, driven through
VFIO by the page's driver, as its sections 9 and 10 have it."""
import support

HERE = support.BUILD / "tests" / "client"


def dice(user, *args):
    user.bin = user.bring(HERE / "softvfio-dice")
    return user.softvfio(*args)


def test_the_driver_prints_what_the_page_says(user):
    driver = user.bring(HERE / "howto-driver")
    status, out, err = dice(user, "run", "-d", "dice", "--", driver)
    assert status == 0, out + err
    assert out == "status 1: 5 3 5 2 1\n" and err == ""


def test_its_option_and_everybodys_work(user):
    status, out, _ = dice(user, "devices")
    assert status == 0 and "rolls dice" in out and "sides=N" in out, out
    status, out, err = dice(
        user, "run", "-d", "dice,sides=20,bdf=0000:05:00.0,id=1af4:0001", "--",
        "cat", "/sys/bus/pci/devices/0000:05:00.0/vendor",
        "/sys/bus/pci/devices/0000:05:00.0/device")
    assert status == 0 and out == "0x1af4\n0x0001\n", out + err
    status, out, err = dice(user, "run", "-d", "dice,sides=1", "--", "true")
    assert status == 125 and "sides=1 is not a number from 2 to 255" in err
