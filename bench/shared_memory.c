// SPDX-License-Identifier: GPL-2.0-only
/*
 * shared_memory: reads or writes that a server looks at, as programs do that could share memory.
 *
 *     shared_memory read|write FILE SECONDS SIZE
 *
 * One process, one request of SIZE bytes after the other, O_DIRECT, at random places of FILE that
 * are multiples of SIZE, into or from one buffer, like fio's jobs. If FILE's mount has a memory
 * channel the buffer is shared with it, otherwise it is like anybody's. Prints one JSON object:
 * how many bytes a second, and how many requests.
 */
#define FUSE_USE_VERSION 318
#include <fuse_shared_memory.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Requests between two looks at the clock, which user-mode Linux has behind a system call. */
#define BATCH 8

struct work {
	const char *path;
	bool writes;
	double seconds;
	size_t size;
	int fd;
	unsigned places; /* in the file */
	char *memory;
};

static void fail(const char *what, int error)
{
	fprintf(stderr, "shared_memory: %s: %s\n", what, strerror(error));
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The channel stays open until the process ends. */
static void share(const struct work *work, int memory)
{
	int channel = fuse_memory_channel_connect(work->path);
	uint64_t id;
	int error;

	if (channel == -EOPNOTSUPP)
		return;
	if (channel < 0)
		fail("cannot connect to the memory channel", -channel);
	error = fuse_memory_channel_give(channel, memory, &id);
	if (error)
		fail("cannot give memory", -error);
}

static void prepare(struct work *work)
{
	int memory = fuse_memory_create(work->size, 0);
	struct stat st;

	if (memory < 0)
		fail("cannot make memory", -memory);
	work->memory =
		mmap(NULL, work->size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (work->memory == MAP_FAILED)
		fail("mmap", errno);
	memset(work->memory, 'm', work->size);
	work->fd = open(work->path, O_RDWR | O_DIRECT);
	if (work->fd < 0 || fstat(work->fd, &st) < 0)
		fail(work->path, errno);
	work->places = (unsigned)((size_t)st.st_size / work->size);
	if (!work->places)
		fail(work->path, ENODATA);
	share(work, memory);
}

static void move(const struct work *work)
{
	off_t off = (off_t)((size_t)random() % work->places * work->size);
	ssize_t moved = work->writes ? pwrite(work->fd, work->memory, work->size, off)
				     : pread(work->fd, work->memory, work->size, off);

	if (moved != (ssize_t)work->size)
		fail(work->path, moved < 0 ? errno : EIO);
}

int main(int argc, char **argv)
{
	struct work work;
	double start, elapsed;
	unsigned long requests = 0;

	if (argc != 5) {
		fprintf(stderr, "usage: %s read|write FILE SECONDS SIZE\n", argv[0]);
		return 2;
	}
	work.writes = !strcmp(argv[1], "write");
	work.path = argv[2];
	work.seconds = atof(argv[3]);
	work.size = strtoul(argv[4], NULL, 10);
	if (!work.size)
		fail("SIZE", EINVAL);
	prepare(&work);
	start = now();
	do {
		for (unsigned i = 0; i < BATCH; i++)
			move(&work);
		requests += BATCH;
		elapsed = now() - start;
	} while (elapsed < work.seconds);
	printf("{\"rate\": %.1f, \"requests\": %lu}\n",
	       (double)requests * (double)work.size / elapsed, requests);
	return 0;
}
