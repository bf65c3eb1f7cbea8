#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints the path of the newest linux/fuse.h that Debian has, fetching the package
# linux-libc-dev on the first call. The system's package lists and caches are not touched.
#
# usage: kernel-header.sh [--refresh]

set -eu

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fuse-uring/kernel-header
header=$cache/linux/fuse.h
suites='experimental unstable'
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail()
{
	echo "kernel-header.sh: $*" >&2
	exit 1
}

# The archive that this system already uses: the first source whose path ends in /debian.
debian_mirror()
{
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list \
		/etc/apt/sources.list.d/*.sources 2>/dev/null |
		awk '/^(deb|URIs:)[ \t]/ {
			for (i = 2; i <= NF; i++)
				if ($i ~ /\/debian\/?$/) { print $i; exit }
		}'
}

case ${1-} in
--refresh)	;;
'')		if [ -s "$header" ]; then
			echo "$header"
			exit 0
		fi ;;
*)		fail "usage: kernel-header.sh [--refresh]" ;;
esac

for tool in apt-get apt-cache dpkg dpkg-deb; do
	command -v $tool >/dev/null || fail "needs $tool (is this a Debian system?)"
done
mirror=$(debian_mirror)
[ -n "$mirror" ] || fail "no Debian mirror in /etc/apt"
[ -r $keyring ] || fail "no $keyring: install debian-archive-keyring"

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
for suite in $suites; do
	echo "deb [signed-by=$keyring] $mirror $suite main"
done >"$work/sources.list"

# apt's sandbox user could not write to the folder of the caller.
apt="-o Dir::Etc::sourcelist=$work/sources.list -o Dir::Etc::sourceparts=/dev/null
	-o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache
	-o APT::Sandbox::User=root -o Acquire::Languages=none
	-o Acquire::http::Timeout=20 -o Acquire::Retries=1"

# shellcheck disable=SC2086 # $apt is a list of words
{
	cd "$work"
	apt-get $apt -qq update >"$work/log" 2>&1 ||
		fail "apt-get update failed: $(tail -n 1 "$work/log")"

	newest=
	for version in $(apt-cache $apt madison linux-libc-dev |
			 awk -F'|' '{ gsub(/ /, "", $2); print $2 }'); do
		if [ -z "$newest" ] || dpkg --compare-versions "$version" gt "$newest"; then
			newest=$version
		fi
	done
	[ -n "$newest" ] || fail "$mirror has no linux-libc-dev in: $suites"

	apt-get $apt -qq download "linux-libc-dev=$newest" >"$work/log" 2>&1 ||
		fail "apt-get download failed: $(tail -n 1 "$work/log")"
}
dpkg-deb -x linux-libc-dev_*.deb "$work/root"
fetched=$work/root/usr/include/linux/fuse.h
[ -s "$fetched" ] || fail "linux-libc-dev $newest has no linux/fuse.h"

# A rename: whoever looks meanwhile sees no header or a whole one.
mkdir -p "$cache/linux"
echo "$newest" >"$cache/version"
mv "$fetched" "$header"
echo "$header"
