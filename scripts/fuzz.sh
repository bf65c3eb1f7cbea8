#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# fuzz.sh BUILD RUNS: feeds RUNS random messages to a session; findings stay in BUILD/findings.
set -eu
build=$1
runs=$2
source=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

mkdir -p "$build/corpus" "$build/findings"
/usr/bin/python3 -B "$source/test/fuzz/make_corpus.py" "$build/corpus"
"$build/test/fuzz/fuzz_process_buf" -runs="$runs" -max_len=65536 -rss_limit_mb=4096 \
	-timeout=20 -print_final_stats=1 -close_fd_mask=1 \
	-artifact_prefix="$build/findings/" "$build/corpus" 2>"$build/fuzz.log" || {
	tail -n 60 "$build/fuzz.log" >&2
	exit 1
}
grep -E 'number_of_executed_units|average_exec_per_sec' "$build/fuzz.log"
