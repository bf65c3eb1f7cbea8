#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Sets up, builds, and runs the tests; ends with the counts of all runs together.
#
#   test.sh            what has to pass before a commit reaches main: the suite on the
#                      kernel that runs here, and over rings on Linux 7.3 in a guest, and
#                      what is about shared memory on the same with our patches
#   test.sh --all      besides: long tests, the suite under sanitizers, long fuzzing, guests
#                      of other sizes and architectures, also with Linux 7.2 and our patches;
#                      takes the better part of a day
#   test.sh --only STAGE[,STAGE...]
#                      of either the stages named: native, guests, sanitizers, fuzz
#   test.sh -- ARGS    one run of pytest with these arguments, e.g. -- -k fsx -x
set -eu
. "$(dirname -- "$0")/setup.sh"

all=
stages=native,guests,sanitizers,fuzz
while [ $# -gt 0 ]; do
	case $1 in
	--all) all=--all ;;
	--only) [ $# -gt 1 ] || fail "--only: which stages?"; shift; stages=$1 ;;
	--) shift; break ;;
	*) fail "unknown argument '$1'; see the head of this file" ;;
	esac
	shift
done

for stage in $(echo "$stages" | tr , ' '); do
	case $stage in
	native | guests | sanitizers | fuzz) ;;
	*) fail "--only: there is no stage '$stage'; see the head of this file" ;;
	esac
done

[ "$(id -u)" = 0 ] || fail "the tests mount file systems and need root"
need gcc g++ libc6-dev clang libclang-rt-14-dev meson ninja-build pkg-config liburing-dev \
	libxxhash-dev python3 python3-pytest groff-base fio git strace e2fsprogs util-linux \
	procps kmod debian-archive-keyring
# Long tests build for other machines, run programs of a newer Debian, compile others from their
# sources, and compare builds.
[ -z "$all" ] || need gcc-i686-linux-gnu libc6-dev-i386-cross gcc-aarch64-linux-gnu \
	libc6-dev-arm64-cross debootstrap iproute2 make cmake autoconf automake libtool \
	zlib1g-dev patch xz-utils exfatprogs abigail-tools
enable_uring
say "kernel $(uname -r), enable_uring $(cat /sys/module/fuse/parameters/enable_uring 2>/dev/null || echo absent)"

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
status=0

# suite NAME [pytest arguments] runs the suite against BUILDS/NAME.
suite()
{
	name=$1
	shift
	say "tests against the build '$name'"
	(cd "$SOURCE" && FUSE_BUILD_DIR="$BUILDS/$name" "$PYTHON" -B -m pytest -p no:cacheprovider \
		-o junit_family=xunit2 --junitxml="$results/$name.xml" -q -ra test "$@") || status=1
}

# guest NAME KERNEL DIALECT ARCHITECTURE CPUS SECONDS [pytest arguments] runs, in a guest with
# that kernel, all tests but those that are about building. $rig: further options of the rig.
guest()
{
	name=$1 kernel=$2 dialect=$3 arch=$4 cpus=$5 seconds=$6
	shift 6
	say "tests on Linux $kernel ($arch, $cpus CPUs) against the build 'gcc'"
	# shellcheck disable=SC2086
	(cd "$SOURCE" && test/vm/run --kernel "$kernel" --arch "$arch" --cpus "$cpus" --mem 3072 $rig \
		--timeout "$seconds" --results "$results" --share "$BUILDS" \
		--env FUSE_BUILD_DIR="$BUILDS/gcc" --env FUSE_TEST_DIALECT="$dialect" -- \
		"$PYTHON" -B -m pytest -p no:cacheprovider -o junit_family=xunit2 \
		--junitxml="$results/$name.xml" -q -ra "$SOURCE/test" \
		--ignore-glob='*/test_build.py' --ignore-glob='*/test_abi_headers.py' \
		--ignore-glob='*/test_kernel_header.py' --ignore-glob='*/test_vm_rig.py' \
		--ignore-glob='*/test_install.py' --ignore-glob='*/test_levels.py' \
		--durations=15 "$@") || {
		echo "the guest '$name' ended with status $?" >&2
		status=1
	}
}

native()
{
	say "building with clang, and without io_uring"
	# shellcheck disable=SC2086
	CC=clang build clang $werror
	CC=gcc build no-uring -Dwerror=true -Denable-io-uring=false
	CC=gcc build no-symver -Dwerror=true -Ddisable-libc-symbol-version=true -Ddisable-mtab=true
	# shellcheck disable=SC2086
	suite gcc $all --durations=15
}

guests()
{
	rig=
	harsh='fs_basic or fsx or zero_copy or teardown or ladder or locks or pages or stale'
	few='fs_basic or ladder or zero_copy_ends or test_ways or old_handler or stale'
	few="($few or pool_memory or cuse or unmodified) and not random_operations"
	memory='shared_memory or memory_channel'
	guest um 7.3 bufpool um 2 2700 --transports=zero-copy -k "$few"
	guest um-shared 7.3+patches shared_memory um 2 1200 --transports=io_uring,zero-copy \
		-k "$memory or (stale and zero-copy)"
	[ -n "$all" ] || return 0
	pools=io_uring,pool-registered,zero-copy
	one="--config test/vm/config/uniprocessor.config"
	rig=$one
	guest um-one 7.3 bufpool um 1 5400 --transports="$pools"
	rig="--debug $one"
	guest um-debug 7.3 bufpool um 1 5400 --transports=zero-copy -k "$harsh"
	rig=
	guest um-four 7.3 bufpool um 4 14400 --transports="$pools"
	guest binaries 7.3 bufpool um 2 5400 --all --transports=zero-copy -k test_binaries
	guest x86_64 7.3 bufpool x86_64 2 7200 --transports="$pools" \
		-k 'fs_basic or zero_copy or stale'
	shared="($memory or $harsh)"
	guest shared-x86_64 7.3+patches shared_memory x86_64 2 7200 --transports="$pools" \
		-k "$memory or fs_basic"
	guest shared-four 7.3+patches shared_memory um 4 5400 --transports="$pools" -k "$shared"
	rig=$one
	guest shared-one 7.3+patches shared_memory um 1 5400 --transports="$pools" -k "$shared"
	rig="--debug $one"
	guest shared-debug 7.3+patches shared_memory um 1 5400 --transports=zero-copy -k "$shared"
	rings=io_uring,ring-pinned,ring-zero-copy
	rig="--debug $one"
	guest patched-debug 7.2+patches bufring um 1 5400 --transports=ring-zero-copy -k "$harsh"
	rig=
	guest patched-um 7.2+patches bufring um 2 5400 --transports="$rings"
	guest patched-x86_64 7.2+patches bufring x86_64 2 7200 --transports=ring-zero-copy \
		-k 'fs_basic or zero_copy or stale'
}

sanitizers()
{
	say "building with sanitizers"
	sanitize="-Dfault-injection=true -Db_lundef=false -Dbuildtype=debugoptimized"
	# shellcheck disable=SC2086
	CC=clang build asan $sanitize -Db_sanitize=address,undefined
	if [ -z "$all" ]; then
		suite asan -m sanitize --transports=dev-multi,io_uring
		return 0
	fi
	suite asan
	# shellcheck disable=SC2086
	CC=clang build tsan $sanitize -Db_sanitize=thread
	suite tsan
}

fuzz()
{
	executions=200000
	[ -z "$all" ] || executions=10000000
	say "fuzzing"
	CC=clang build fuzz -Db_lundef=false -Db_sanitize=address,undefined -Dfuzzing=true
	"$SOURCE/scripts/fuzz.sh" "$BUILDS/fuzz" "$executions" || status=1
}

werror="-Dwerror=true -Dfault-injection=true"
say "building with gcc"
# shellcheck disable=SC2086
CC=gcc build gcc $werror

if [ $# -gt 0 ]; then
	suite gcc "$@"
	exit $status
fi

for stage in $(echo "$stages" | tr , ' '); do
	$stage
done

say "all runs"
set -- "$results"/*.xml
[ ! -e "$1" ] || "$PYTHON" -B "$SOURCE/scripts/count.py" "$@" || status=1
exit $status
