#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs a test that prints TAP on an older CPU, whatever CPU this machine has.
#
# usage: on_cpu.sh MODEL PROGRAM [ARG...]
set -eu
command -v qemu-x86_64 >/dev/null || {
	echo "1..0 # SKIP qemu-x86_64 is not installed (Debian package qemu-user)"
	exit 0
}
exec qemu-x86_64 -cpu "$@"
