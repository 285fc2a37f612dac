# SPDX-License-Identifier: BSD-3-Clause
"""Boots a real kernel in QEMU and brings back what the program said.

Always emulated (TCG), KVM or not: two hosts then give the same lines. The
console goes to the first serial port, the transcript alone to the second.
"""
import pathlib
import subprocess
import tempfile

from oraclelib import debian, initramfs, machine, place, smallkernel

QEMU = "qemu-system-x86_64"
# On a busy host the timer fails a test of its speed (no_timer_check), and the
# TSC is measured wrong by factors; the HPET says itself how fast it counts.
COMMAND_LINE = ("console=ttyS0 panic=-1 quiet loglevel=4 no_timer_check "
                "clocksource=hpet intel_iommu=on,sm_off iommu=nopt")
KERNELS = (*debian.KERNELS, smallkernel.NAME)


def kernel(name):
    """The folder of any of our kernels."""
    if name == smallkernel.NAME:
        return smallkernel.kernel()
    return debian.kernel(name)


def qemu(folder, work):
    """QEMU's command line. Debian's 7.2 panics on the la57 of QEMU 7.2."""
    return [QEMU, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-machine", "q35,kernel-irqchip=split",
            "-accel", "tcg,thread=multi", "-cpu", "max,la57=off",
            "-m", "4G", "-smp", "2",
            "-device", "intel-iommu,intremap=on,device-iotlb=on,aw-bits=48",
            *machine.qemu_devices(work),
            "-serial", f"file:{work}/console", "-serial", f"file:{work}/out",
            "-kernel", str(folder / "vmlinuz"), "-initrd", f"{work}/initrd",
            "-append", COMMAND_LINE]


def version():
    """Which QEMU this is, as transcripts say it."""
    text = debian.run([QEMU, "--version"], "QEMU")
    return "QEMU " + text.split()[3]


def read_lines(path):
    """A file that may not be there."""
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def qemu_run(command, deadline):
    """Run QEMU; what went wrong, or nothing."""
    try:
        done = subprocess.run(command, timeout=deadline, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              check=False)
    except subprocess.TimeoutExpired:
        return f"not done after {deadline} s"
    except FileNotFoundError as err:
        raise place.Failed(f"{QEMU}: install qemu-system-x86") from err
    return done.stderr if done.returncode else ""


def boot(folder, program, args, deadline):
    """Run @program on the kernel in @folder; the transcript."""
    with tempfile.TemporaryDirectory(prefix="oracle-") as name:
        work = pathlib.Path(name)
        (work / "initrd").write_bytes(initramfs.build(program, folder, args))
        trouble = qemu_run(qemu(folder, work), deadline)
        lines = read_lines(work / "out")
        if trouble or not lines or lines[-1] != initramfs.DONE + "0":
            raise place.Failed(
                f"the kernel in {folder} did not get through: {trouble}\n"
                + "\n".join(["--- console",
                             *read_lines(work / "console")[-30:],
                             "--- transcript", *lines[-3:]]))
    return [lines[0] + ", " + version(), *lines[1:-1]]
