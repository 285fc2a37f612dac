# SPDX-License-Identifier: BSD-3-Clause
"""Debian's kernels and kernel sources, unpacked but not installed.

Each suite has lists of its own, so that the host's apt does not see it. The
mirror is the host's: its address is asked for and kept nowhere.
"""
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import typing

from oraclelib import place

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEADLINE = 600


class Kernel(typing.NamedTuple):
    """Where a series of kernels is found."""
    suite: str
    packages: tuple  # a pattern of names; others with its version for *


KERNELS = {
    "6.1": Kernel("bookworm", (r"linux-image-(6\.1\.0-\d+)-amd64",)),
    "6.12": Kernel("bookworm-backports",
                   (r"linux-image-(6\.12\.\d+\+deb12)-amd64",)),
    # Since 7.x an image is split in two packages.
    "7.2": Kernel("trixie-backports",
                  (r"linux-binary-(7\.2\.\d+\+deb13)-amd64",
                   "linux-modules-*-amd64")),
}
SOURCE = Kernel("trixie-backports", ("linux-source-7.2",))

MODULES = ("vfio", "vfio_iommu_type1", "vfio_pci")


def run(args, what, **kwargs):
    """Run a command; its output is shown only when it fails."""
    try:
        done = subprocess.run([str(a) for a in args], capture_output=True,
                              text=True, timeout=DEADLINE, check=False,
                              stdin=subprocess.DEVNULL, **kwargs)
    except (OSError, subprocess.TimeoutExpired) as err:
        raise place.Failed(f"{what}: {err}") from err
    if done.returncode:
        raise place.Failed(f"{what}: {done.stdout}{done.stderr}".rstrip())
    return done.stdout


def mirror():
    """The site the host gets Debian from."""
    fields = "$(SITE) $(ORIGIN) $(SUITE) $(CODENAME) $(RELEASE)"
    lines = run(["apt-get", "indextargets", "--format", fields,
                 "Created-By: Packages"], "asking apt for its mirror")
    for line in lines.splitlines():
        site, *names = line.split()
        if "security" not in line and {"bookworm", "trixie"} & set(names):
            return site
    raise place.Failed("apt on this host knows no mirror of Debian; "
                       "it takes a source of bookworm or trixie")


class Suite:
    """A suite with lists of its own, for as long as a `with` lasts."""

    def __init__(self, name):
        self.name = name
        self.work = tempfile.TemporaryDirectory(dir=place.cache())
        self.root = pathlib.Path(self.work.name)

    def __enter__(self):
        (self.root / "lists" / "partial").mkdir(parents=True)
        (self.root / "cache").mkdir()
        (self.root / "sources.list").write_text(
            f"deb [signed-by={KEYRING}] {mirror()} {self.name} main\n",
            encoding="ascii")
        self.apt("apt-get", "update")
        return self

    def __exit__(self, *_):
        self.work.cleanup()

    def apt(self, tool, *args, **kwargs):
        """One of apt's commands that sees this suite only."""
        return run([tool, "-o", f"Dir::Etc::sourcelist={self.root}/sources.list",
                    "-o", "Dir::Etc::sourceparts=-",
                    "-o", f"Dir::State::lists={self.root}/lists",
                    "-o", f"Dir::Cache={self.root}/cache",
                    "-o", "APT::Sandbox::User=", "-q", *args],
                   f"{tool} {' '.join(args)} of {self.name}", **kwargs)

    def newest(self, pattern):
        """The highest version among package names; the package with it."""
        names = self.apt("apt-cache", "pkgnames").split()
        found = [(m.group(1), name) for name in names
                 if (m := re.fullmatch(pattern, name))]
        if not found:
            raise place.Failed(f"{self.name} has no package {pattern} any "
                               "more; see KERNELS in debian.py")
        return max(found, key=lambda f: [int(n) for n in
                                         re.findall(r"\d+", f[0])])

    def unpack(self, package, target):
        """Download @package and unpack it below @target."""
        folder = self.root / package
        folder.mkdir()
        self.apt("apt-get", "download", package, cwd=folder)
        for deb in folder.glob("*.deb"):
            run(["dpkg", "-x", deb, target], f"unpacking {deb.name}")
        shutil.rmtree(folder)


def module_name(path):
    """vfio-pci.ko.xz is vfio_pci"""
    return path.name.split(".")[0].replace("-", "_")


def module_read(path):
    """The bytes of a module."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def module_order(modules, wanted, order=None):
    """@wanted with what they depend on before them; names present only."""
    order = {} if order is None else order
    for name in wanted:
        if name in order or name not in modules:
            continue
        data = module_read(modules[name])
        needs = re.search(rb"\0depends=([^\0]*)\0", data).group(1).decode()
        module_order(modules, filter(None, needs.replace("-", "_").split(",")),
                     order)
        order[name] = data
    return order


def keep(tree, target):
    """Keep of an unpacked kernel what boots: vmlinuz and modules in order."""
    images = [p for p in tree.rglob("vmlinuz*") if p.is_file()]
    modules = {module_name(p): p for p in tree.rglob("*.ko*")}
    if len(images) != 1:
        raise place.Failed(f"{len(images)} kernel images in {tree}")
    order = module_order(modules, MODULES)
    missing = set(MODULES) - set(order)
    if missing:
        raise place.Failed(f"no module {' '.join(sorted(missing))} in {tree}")
    shutil.copyfile(images[0], target / "vmlinuz")
    for i, (name, data) in enumerate(order.items()):
        (target / f"{i:02}-{name}.ko").write_bytes(data)


def fetch(name):
    """Put a Debian kernel into the cache, in place of an older one."""
    series = KERNELS[name]
    final = place.cache("kernels") / name
    with Suite(series.suite) as suite:
        version, first = suite.newest(series.packages[0])
        # not another version's modules
        rest = [p.replace("*", version) for p in series.packages[1:]]
        work = suite.root
        (work / "kept").mkdir()
        for package in [first, *rest]:
            suite.unpack(package, work / "tree")
        keep(work / "tree", work / "kept")
        (work / "kept" / "version").write_text(version + "\n",
                                               encoding="ascii")
        if final.exists():
            os.rename(final, work / "old")
        os.rename(work / "kept", final)
    return final


def kernel(name):
    """The folder of a Debian kernel: vmlinuz, modules, version."""
    final = place.cache("kernels") / name
    return final if final.exists() else fetch(name)


def source(target):
    """Unpack the kernel's source into @target, which does not exist yet."""
    with Suite(SOURCE.suite) as suite:
        suite.unpack(SOURCE.packages[0], suite.root / "tree")
        archives = list(suite.root.rglob("linux-source-*.tar.xz"))
        if len(archives) != 1:
            raise place.Failed(f"{SOURCE.packages[0]} has {len(archives)} "
                               "archives instead of one")
        unpacked = suite.root / "source"
        unpacked.mkdir()
        run(["tar", "-C", unpacked, "--strip-components=1", "-xf",
             archives[0]], "unpacking the kernel's source")
        os.rename(unpacked, target)
