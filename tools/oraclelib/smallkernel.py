# SPDX-License-Identifier: BSD-3-Clause
"""A small 7.2 kernel with iommufd and the device files, which Debian's kernels
are built without. Takes ten minutes and more, once; kept in the cache."""
import os
import shutil
import subprocess

from oraclelib import debian, place

NAME = "7.2-small"
DEADLINE = 4 * 3600  # of an emulated or very busy machine


def make(tree, *args):
    """Run make in the kernel's tree, at low priority."""
    log = tree / "oracle.log"
    with log.open("ab") as out:
        done = subprocess.run(["nice", "make", *args], cwd=tree, stdout=out,
                              stderr=out, stdin=subprocess.DEVNULL,
                              timeout=DEADLINE, check=False)
    if done.returncode:
        raise place.Failed(f"make {' '.join(args)} failed; see {log}. It "
                           "takes flex, bison, bc and libelf-dev")


def configure(tree):
    """allnoconfig with ours over it; all of ours has to be taken."""
    make(tree, f"KCONFIG_ALLCONFIG={place.KERNEL_CONFIG}", "allnoconfig")
    got = set((tree / ".config").read_text(encoding="ascii").splitlines())
    want = [line for line in
            place.KERNEL_CONFIG.read_text(encoding="ascii").splitlines()
            if line.endswith(("=y", '"'))]
    lost = [line for line in want if line not in got]
    if lost:
        raise place.Failed("this kernel does not know, or lacks what it takes "
                           f"for: {' '.join(lost)}")


def build(jobs):
    """Build it from Debian's source; a second call goes on where one ended."""
    work = place.cache("kernels")
    tree = work / "linux-source"
    final = work / NAME
    if not (tree / "Makefile").exists():
        shutil.rmtree(tree, ignore_errors=True)
        debian.source(tree)
    configure(tree)
    make(tree, f"-j{jobs}", "bzImage")
    release = (tree / "include/config/kernel.release").read_text(
        encoding="ascii")
    kept = work / (NAME + ".new")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    shutil.copyfile(tree / "arch/x86/boot/bzImage", kept / "vmlinuz")
    (kept / "version").write_text(release, encoding="ascii")
    shutil.rmtree(final, ignore_errors=True)
    os.rename(kept, final)
    shutil.rmtree(tree)
    return final


def kernel():
    """The folder with the small kernel, which is not built by the way."""
    final = place.cache("kernels") / NAME
    if not final.exists():
        raise place.Failed("no small kernel yet: tools/oracle build-kernel")
    return final
