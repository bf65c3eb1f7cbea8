# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by what takes a piece of the kernel from Debian's archive, by package name. The
# system's own package lists and caches are neither used nor touched. The caller defines
# fail MESSAGE, which ends the program.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

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

# archive_open WORK: the folder WORK, which the caller removes, holds everything of apt's.
archive_open()
{
	for tool in apt-get apt-cache dpkg dpkg-deb; do
		command -v $tool >/dev/null || fail "needs $tool (is this a Debian system?)"
	done
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || fail "no Debian mirror in /etc/apt"
	[ -r $keyring ] || fail "no $keyring: install debian-archive-keyring"
	cd "$1" || fail "cannot enter $1"
	mkdir -p lists/partial cache/archives/partial

	# apt's sandbox user could not write to the folder of the caller.
	apt="-o Dir::Etc::sourcelist=$PWD/sources.list -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::lists=$PWD/lists -o Dir::Cache=$PWD/cache
		-o APT::Sandbox::User=root -o Acquire::Languages=none
		-o Acquire::http::Timeout=20 -o Acquire::Retries=1"
}

# archive_newest PACKAGE SUITE... sets $newest to its newest version in these suites, or
# to nothing where none of them has it. A suite that cannot be read ends the program.
archive_newest()
{
	package=$1
	shift
	for suite; do
		echo "deb [signed-by=$keyring] $mirror $suite main"
	done >sources.list
	# shellcheck disable=SC2086 # $apt is a list of words
	apt-get $apt -qq update >log 2>&1 || fail "apt-get update failed: $(tail -n 1 log)"

	newest=
	# shellcheck disable=SC2086
	for version in $(apt-cache $apt madison "$package" |
			 awk -F'|' '{ gsub(/ /, "", $2); print $2 }'); do
		if [ -z "$newest" ] || dpkg --compare-versions "$version" gt "$newest"; then
			newest=$version
		fi
	done
}

# archive_unpack PACKAGE unpacks its version $newest into the folder root.
archive_unpack()
{
	# shellcheck disable=SC2086
	apt-get $apt -qq download "$1=$newest" >log 2>&1 ||
		fail "apt-get download failed: $(tail -n 1 log)"
	dpkg-deb -x "$1"_*.deb root
	rm -f "$1"_*.deb
}
