#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Whether the series applies to a pristine source, each patch exactly where it says, and whether
# the kernel's checkpatch.pl has nothing against it.
#
#	check.sh TREE|TARBALL [SERIES]
set -eu

fail()
{
	echo "check.sh: $*" >&2
	exit 1
}

[ $# -ge 1 ] || fail "which source?"
source=$(realpath "$1")
series=$(realpath "${2:-$(dirname "$0")/../linux-7.2}")
command -v perl >/dev/null || fail "checkpatch.pl needs perl"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What the series changes (what it adds is not in the source), and by what checkpatch.pl knows a tree
added=$(sed -n '\|^--- /dev/null|{n;s|^+++ b/||p}' "$series"/*.patch)
changed=$(sed -n 's|^+++ b/||p' "$series"/*.patch | sort -u | grep -vxF -e "$added")
top="COPYING CREDITS Kbuild MAINTAINERS Makefile README"
folders="Documentation arch drivers fs include init ipc kernel lib"

unpack()
{
	mkdir "$work/tree"
	set -f
	# shellcheck disable=SC2046,SC2086
	if [ -d "$source" ]; then
		tar -cf- -C "$source" $changed $top scripts | tar -xf- -C "$work/tree"
	else
		tar -xf "$source" -C "$work/tree" --strip-components=1 --wildcards \
			--no-wildcards-match-slash $(printf '*/%s ' $changed $top scripts)
	fi
	set +f
	# shellcheck disable=SC2086
	(cd "$work/tree" && mkdir -p $folders)
}

# A repository of its own; the user's settings have no say.
in_tree()
{
	env HOME="$work" GIT_CONFIG_NOSYSTEM=1 git -C "$work/tree" -c user.name=check \
		-c user.email=check@localhost -c gc.auto=0 "$@"
}

unpack
in_tree init -q
# shellcheck disable=SC2086
in_tree add -f $changed
in_tree commit -q -m pristine

status=0
for patch in "$series"/*.patch; do
	[ -e "$patch" ] || fail "$series has no patches"
	name=${patch##*/}
	said=$(in_tree apply --check --verbose "$patch" 2>&1) ||
		fail "$name does not apply:
$said"
	case $said in
	*offset*) fail "$name applies elsewhere:
$said" ;;
	esac
	in_tree am -q "$patch" >&2 || fail "$name: git am failed"
	# MAINTAINERS knows fs/fuse as a whole. spdxcheck.py, which runs where there is a
	# repository, wants more of Python than the kernel's build does.
	if ! GIT_DIR="$work/none" perl "$work/tree/scripts/checkpatch.pl" --strict --quiet \
		--no-summary --ignore FILE_PATH_CHANGES --root "$work/tree" "$patch"; then
		echo "$name: checkpatch.pl complains" >&2
		status=1
	fi
	echo "$name"
done
exit $status
