# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Sourced by test.sh and demo.sh: what a bare Debian 12 needs to build and run this
# project. Works only as far as it has to: a second run installs nothing.

SOURCE=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
BUILDS=${FUSE_BUILDS:-$SOURCE/.build}
PYTHON=/usr/bin/python3

say()
{
	printf '== %s\n' "$*"
}

fail()
{
	printf '%s: %s\n' "$(basename -- "$0")" "$*" >&2
	exit 1
}

# need PACKAGE... installs those that are missing.
need()
{
	missing=
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
			grep -q 'install ok installed' || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || fail "not root, and these packages are missing:$missing"
	say "installing$missing"
	export DEBIAN_FRONTEND=noninteractive
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 && return 0
	apt-get update -qq || fail "apt-get update failed"
	# shellcheck disable=SC2086
	apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
		fail "could not install$missing"
}

# Lets the kernel offer io_uring to FUSE; without root or on an old kernel it stays as it is.
enable_uring()
{
	parameter=/sys/module/fuse/parameters/enable_uring
	[ -e /dev/fuse ] || modprobe fuse 2>/dev/null || true
	[ -e "$parameter" ] || return 0
	[ "$(cat "$parameter")" = Y ] && return 0
	echo 1 2>/dev/null >"$parameter" || true
}

# build NAME [meson options] configures BUILDS/NAME once and brings it up to date.
build()
{
	name=$1
	shift
	if [ ! -f "$BUILDS/$name/build.ninja" ]; then
		rm -rf "${BUILDS:?}/$name"
		mkdir -p "$BUILDS"
		meson setup "$BUILDS/$name" "$SOURCE" "$@" >"$BUILDS/$name.log" 2>&1 || {
			cat "$BUILDS/$name.log" >&2
			fail "meson setup of $name failed"
		}
	fi
	ninja -C "$BUILDS/$name" >"$BUILDS/$name.log" 2>&1 || {
		cat "$BUILDS/$name.log" >&2
		fail "build of $name failed"
	}
}
