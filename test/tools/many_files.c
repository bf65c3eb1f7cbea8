// SPDX-License-Identifier: GPL-2.0-only
/*
 * many_files FOLDER COUNT
 *
 * Makes so many empty files, a thousand in each directory, in ten steps. After each step it
 * looks up files that are there, chosen at random, and prints
 *
 *     FILES NANOSECONDS-PER-LOOKUP
 *
 * where the time is the shortest of several rounds: others may use the machine.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	PER_DIRECTORY = 1000,
	STEPS = 10,
	ROUNDS = 5,
	LOOKUPS = 200,
};

static unsigned state = 1;

static long roll(long sides)
{
	state = state * 1103515245 + 12345;
	return (long)((uint64_t)state * (uint64_t)sides >> 32);
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void make_file(long i)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "d%06ld", i / PER_DIRECTORY);
	if (i % PER_DIRECTORY == 0 && mkdir(path, 0755) != 0)
		fail(path);
	snprintf(path, sizeof(path), "d%06ld/file%03ld", i / PER_DIRECTORY,
		 i % PER_DIRECTORY);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
	if (fd < 0)
		fail(path);
	close(fd);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t time_lookups(long count)
{
	int64_t start = now_ns();
	struct stat attr;
	char path[64];

	for (int i = 0; i < LOOKUPS; i++) {
		long file = roll(count);

		snprintf(path, sizeof(path), "d%06ld/file%03ld", file / PER_DIRECTORY,
			 file % PER_DIRECTORY);
		if (stat(path, &attr) != 0)
			fail(path);
	}
	return (now_ns() - start) / LOOKUPS;
}

int main(int argc, char **argv)
{
	long count = argc == 3 ? atol(argv[2]) : 0;
	long done = 0;

	if (count < STEPS || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: %s FOLDER COUNT\n", argv[0]);
		return 1;
	}
	for (int step = 1; step <= STEPS; step++) {
		int64_t best = 0;

		while (done < count * step / STEPS)
			make_file(done++);
		for (int round = 0; round < ROUNDS; round++) {
			int64_t each = time_lookups(done);

			if (!best || each < best)
				best = each;
		}
		printf("%ld %lld\n", done, (long long)best);
		fflush(stdout);
	}
	return 0;
}
