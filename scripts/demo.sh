#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Shows the main job on a fresh machine: sets up, builds, serves a copy of a real tree
# with the best transport the kernel offers, compares every byte, measures, unmounts.
#
#   demo.sh               on the kernel that runs here
#   demo.sh --zero-copy   on Linux 7.3, which has zero-copy, in user-mode Linux; the first time
#                         that kernel is fetched and built, which takes minutes
set -eu
. "$(dirname -- "$0")/setup.sh"

case ${1-} in
"" | --zero-copy) ;;
*) fail "unknown argument '$1'; see the head of this file" ;;
esac
[ "$(id -u)" = 0 ] || fail "mounts for all users and sets a kernel parameter: run it as root"
if [ -z "${DEMO_IN_GUEST-}" ]; then
	need gcc libc6-dev meson ninja-build pkg-config liburing-dev python3 fio util-linux kmod
	enable_uring
	say "building"
	build release -Dbuildtype=release -Dtests=false
fi
if [ "${1-}" = --zero-copy ]; then
	say "in Linux 7.3"
	exec "$SOURCE/test/vm/run" --kernel 7.3 --cpus 1 --mem 3072 --timeout 600 \
		--config "$SOURCE/test/vm/config/uniprocessor.config" \
		$(case $BUILDS in /tmp/* | /var/tmp/*) echo "--share $BUILDS" ;; esac) \
		--env "FUSE_BUILDS=$BUILDS" --env DEMO_IN_GUEST=1 -- sh "$SOURCE/scripts/demo.sh"
fi

work=$(mktemp -d)
server=
cleanup()
{
	mountpoint -q "$work/mnt" && umount "$work/mnt" 2>/dev/null || umount -l "$work/mnt" 2>/dev/null || true
	[ -z "$server" ] || wait "$server" 2>/dev/null || true
	mountpoint -q "$work/disk" && umount "$work/disk" || true
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

mkdir "$work/disk" "$work/mnt"
mount -t tmpfs -o size=1g none "$work/disk"
mkdir "$work/disk/tree"
cp -a /usr/include "$SOURCE/lib" "$SOURCE/include" "$work/disk/tree" 2>/dev/null || true
head -c 256M /dev/urandom >"$work/disk/data"

# serve MESSAGE [options] mounts and waits until the mount answers.
serve()
{
	say "$1"
	shift
	"$BUILDS/release/example/passthrough_hp" --foreground --nopassthrough \
		-o "allow_other,stats=$work/stats.json${1:+,$1}" \
		"$work/disk" "$work/mnt" 2>"$work/log" &
	server=$!
	tries=0
	until mountpoint -q "$work/mnt" && [ -e "$work/mnt/data" ]; do
		tries=$((tries + 1))
		kill -0 "$server" 2>/dev/null && [ "$tries" -lt 100 ] || {
			cat "$work/log" >&2
			fail "the mount did not come up"
		}
		sleep 0.05
	done
}

leave()
{
	umount "$work/mnt"
	wait "$server" || fail "the server ended with an error: $(cat "$work/log")"
	server=
}

# measure SIZE JOBS DIRECTORY prints operations per second.
measure()
{
	fio --name=demo --filename="$3/data" --rw=randread --bs="$1" --numjobs="$2" --direct=1 \
		--ioengine=sync --time_based --runtime=3 --group_reporting --output-format=json |
		"$PYTHON" -c 'import json,sys; print(round(json.load(sys.stdin)["jobs"][0]["read"]["iops"]))'
}

rows()
{
	for pair in "4k 1" "4k 4" "1m 2"; do
		# shellcheck disable=SC2086
		set -- $pair
		printf '   %s, %s job(s): ' "$1" "$2" >&2
		result=$(measure "$1" "$2" "$work/mnt")
		printf '%s reads per second\n' "$result" >&2
		echo "$result"
	done
}

serve "mounting with the best transport" io_uring_zero_copy
sleep 1.2
"$PYTHON" - "$work/stats.json" "$work/log" <<'PY'
import json, sys
stats = json.load(open(sys.argv[1]))
if stats["transport"] == "io_uring":
    way = "past the server" if stats["zero_copy"] else "through the server's memory"
    print(f"   transport: io_uring, dialect {stats['dialect']}, {stats['queues']} queues; data go {way}: "
          "this is what the kernel offers")
else:
    print("   transport: /dev/fuse, because:")
    for line in open(sys.argv[2]):
        print("     ", line.strip())
PY

say "comparing the tree with its source"
diff -r --no-dereference "$work/disk/tree" "$work/mnt/tree"
cmp "$work/disk/data" "$work/mnt/data"
printf '   %s files, all the same\n' "$(find "$work/mnt/tree" -type f | wc -l)"

say "fio on this mount, O_DIRECT random reads, 3 s each"
best=$(rows)
leave

serve "the same over /dev/fuse" ""
plain=$(rows)
leave

say "random reads per second"
# shellcheck disable=SC2086
set -- $best $plain
printf '   %-18s %12s %12s %8s\n' workload /dev/fuse best ratio
printf '   %-18s %12s %12s %8s\n' \
	"4 KiB, 1 job" "$4" "$1" "$("$PYTHON" -c "print(f'{$1/$4:.2f}')")" \
	"4 KiB, 4 jobs" "$5" "$2" "$("$PYTHON" -c "print(f'{$2/$5:.2f}')")" \
	"1 MiB, 2 jobs" "$6" "$3" "$("$PYTHON" -c "print(f'{$3/$6:.2f}')")"
say "unmounted"
