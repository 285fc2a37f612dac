# SPDX-License-Identifier: BSD-3-Clause
"""The command line."""
import argparse
import os
import pathlib
import sys

from oraclelib import (compare, debian, guest, place, smallkernel, soft, table,
                       transcript)

DEADLINE = 600


def save(lines, path):
    """Write a transcript."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    cases = sum(not line.startswith("#") for line in lines)
    print(f"oracle: {cases} cases in {os.path.relpath(path)}")


def real(args):
    """The lines of a real kernel."""
    return guest.boot(guest.kernel(args.kernel),
                      pathlib.Path(args.build, soft.PROGRAM + "-static"),
                      args.program_args, args.deadline)


def cmd_fetch(args):
    """get Debian's kernels, newer ones in place of those that are there"""
    for name in args.kernels or debian.KERNELS:
        folder = debian.fetch(name)
        print(f"oracle: {name} is {(folder / 'version').read_text().strip()}")
    return 0


def cmd_build_kernel(args):
    """build the small 7.2 kernel, once"""
    print(f"oracle: {smallkernel.build(args.jobs)}")
    return 0


def cmd_run(args):
    """run the program on a real kernel and save the transcript; after --,
    --area NAME refreshes that part of it only"""
    path = args.output or place.transcript(args.kernel)
    lines = real(args)
    if args.program_args and path.exists():
        old = path.read_text(encoding="utf-8").splitlines()
        lines = [lines[0], *transcript.splice(old[1:], lines)]
    save(lines, path)
    return 0


def cmd_check(args):
    """run it on a real kernel: does the committed transcript still hold?"""
    # the table is softvfio's, so no rows
    result = compare.Comparison(transcript.committed(args.kernel),
                                transcript.Transcript(real(args), "now"),
                                args.kernel, [])
    for line in result.report():
        print(line.replace("    soft  ", "    now   "))
    print(f"oracle: {len(result.soft.cases)} cases on Linux {args.kernel}, "
          f"{len(result.unexplained)} values changed")
    return 0 if result else 1


def cmd_soft(args):
    """run the program on softvfio and save the transcript"""
    save(soft.run(args.build, args.program_args, args.deadline), args.output)
    return 0


def compared(args):
    """softvfio's transcript, given or made, against a committed one."""
    mine = transcript.load(args.soft) if args.soft else transcript.Transcript(
        soft.run(args.build, [], args.deadline), "softvfio")
    linux = transcript.committed(args.kernel)
    return compare.Comparison(linux, mine, args.kernel, compare.load_rows())


def reported(result):
    """Print what is wrong; an exit status."""
    for line in result.report():
        print(line)
    print(f"oracle: {table.total(result)}")
    return 0 if result else 1


def cmd_diff(args):
    """softvfio against a kernel's transcript: print what is not explained"""
    return reported(compared(args))


def cmd_table(args):
    """diff, and write the figures into docs/CONFORMANCE.md and README.md"""
    result = compared(args)
    if reported(result):
        return 1
    stale = table.update(result, args.check)
    for path in stale:
        print(f"oracle: {os.path.relpath(path)} "
              + ("is stale: tools/oracle table" if args.check else "written"))
    return 1 if stale and args.check else 0


def parser():
    """All options."""
    top = argparse.ArgumentParser(prog="oracle", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(function, *groups):
        sub = commands.add_parser(function.__name__[4:].replace("_", "-"),
                                  help=function.__doc__,
                                  description=function.__doc__)
        sub.set_defaults(function=function)
        for group in groups:
            group(sub)
        return sub

    def build(sub):
        sub.add_argument("--build", default=place.TREE / "build",
                         type=pathlib.Path, help="where it was built")
        sub.add_argument("--deadline", default=DEADLINE, type=int,
                         metavar="SECONDS")

    def output(sub):
        sub.add_argument("--output", type=pathlib.Path)
        sub.add_argument("program_args", nargs="*", metavar="ARG",
                         help="of softvfio-conformance, after --")

    def kernel(sub):
        sub.add_argument("--kernel", required=True, choices=guest.KERNELS)

    def comparison(sub):
        sub.add_argument("--soft", type=pathlib.Path, metavar="FILE",
                         help="a transcript instead of a run")
        sub.add_argument("--kernel", default=compare.REFERENCE,
                         choices=guest.KERNELS)

    command(cmd_fetch).add_argument("kernels", nargs="*", metavar="KERNEL",
                                    help=", ".join(debian.KERNELS))
    command(cmd_build_kernel).add_argument("--jobs", type=int,
                                           default=os.cpu_count())
    command(cmd_run, build, kernel, output)
    command(cmd_check, build, kernel).set_defaults(program_args=[])
    command(cmd_soft, build, output)
    command(cmd_diff, build, comparison)
    command(cmd_table, build, comparison).add_argument("--check",
                                                       action="store_true")
    return top


def main(argv):
    """Run a command; an exit status."""
    args = parser().parse_args(argv)
    try:
        return args.function(args)
    except place.Failed as err:
        print(f"oracle: {err}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
