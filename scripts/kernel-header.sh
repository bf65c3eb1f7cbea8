#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints the path of the newest linux/fuse.h that Debian has, fetching the package
# linux-libc-dev on the first call. The system's package lists and caches are not touched.
#
# usage: kernel-header.sh [--refresh]

set -eu
. "$(dirname -- "$0")/kernel-source.sh"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fuse-uring/kernel-header
header=$cache/linux/fuse.h
suites='experimental unstable'

fail()
{
	echo "kernel-header.sh: $*" >&2
	exit 1
}

case ${1-} in
--refresh)	;;
'')		if [ -s "$header" ]; then
			echo "$header"
			exit 0
		fi ;;
*)		fail "usage: kernel-header.sh [--refresh]" ;;
esac

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
archive_open "$work"
# shellcheck disable=SC2086 # $suites is a list of words
archive_newest linux-libc-dev $suites
[ -n "$newest" ] || fail "$mirror has no linux-libc-dev in: $suites"
archive_unpack linux-libc-dev
fetched=$work/root/usr/include/linux/fuse.h
[ -s "$fetched" ] || fail "linux-libc-dev $newest has no linux/fuse.h"

# A rename: whoever looks meanwhile sees no header or a whole one.
mkdir -p "$cache/linux"
echo "$newest" >"$cache/version"
mv "$fetched" "$header"
echo "$header"
