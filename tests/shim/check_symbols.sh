#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The preloaded library may show nothing but the functions it interposes, or it
# would change programs by accident; and its own code may never call one of
# those, or it would call itself. Such a call, defined here or not, needs a
# relocation against the name.
#
# usage: check_symbols.sh libsoftvfio.so exports.txt
set -eu
export LC_ALL=C

lib=$1
for tool in nm readelf; do
	command -v $tool >/dev/null || {
		echo "$tool is not installed (Debian package binutils)"
		exit 77
	}
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

grep -v '^#' "$2" | grep . | sort -u >"$work/allowed"
nm -D --defined-only "$lib" | awk '{ sub(/@.*/, "", $3); print $3 }' |
	sort -u >"$work/exported"
readelf -rW "$lib" | awk '$5 != "" { sub(/@.*/, "", $5); print $5 }' |
	sort -u >"$work/used"

status=0
[ -s "$work/exported" ] || { echo "$lib exports nothing"; status=1; }
for name in $(comm -23 "$work/exported" "$work/allowed"); do
	echo "$lib exports $name, which exports.txt does not list"
	status=1
done
for name in $(comm -12 "$work/used" "$work/allowed"); do
	echo "$lib calls $name, which it interposes"
	status=1
done
exit $status
