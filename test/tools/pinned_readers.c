// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many threads on one CPU, each reading its own part of a file, all at the same moment.
 *
 * With a file system whose read takes a while this shows whether one request makes the
 * others of its CPU wait. Every part is read once only and nothing is read ahead, so each
 * reader costs at least one request.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	EXIT_FAILED = 1, /* a read failed or was short */
	EXIT_USAGE = 3,	 /* bad arguments, or the readers could not be set up */
	MAX_READERS = 1024,
	MAX_SIZE = 64 << 20,
	ALIGN = 4096,
};

struct options {
	const char *path;
	unsigned int cpu;
	unsigned int readers;
	unsigned int size;
	bool direct;
};

struct reader {
	pthread_t thread;
	int fd;
	off_t offset;
	void *buffer;
	ssize_t result; /* or negative errno */
	uint64_t begin;
	uint64_t end;
};

static struct options options = { .readers = 16, .size = 4096 };
static struct reader readers[MAX_READERS];
static pthread_barrier_t start;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what, int error)
{
	fprintf(stderr, "pinned_readers: %s: %s\n", what, strerror(error));
	exit(EXIT_USAGE);
}

static void *read_once(void *argument)
{
	struct reader *r = argument;

	pthread_barrier_wait(&start);
	r->begin = now_ns();
	r->result = pread(r->fd, r->buffer, options.size, r->offset);
	if (r->result < 0)
		r->result = -errno;
	r->end = now_ns();
	return NULL;
}

static void start_reader(unsigned int number)
{
	struct reader *r = &readers[number];
	pthread_attr_t attributes;
	cpu_set_t cpus;
	int error;

	CPU_ZERO(&cpus);
	CPU_SET(options.cpu, &cpus);
	r->offset = (off_t)number * options.size;
	r->fd = open(options.path,
		     O_RDONLY | O_CLOEXEC | (options.direct ? O_DIRECT : 0));
	if (r->fd < 0)
		die(options.path, errno);
	/* No read-ahead, or one reader's request would bring the others' data. */
	posix_fadvise(r->fd, 0, 0, POSIX_FADV_RANDOM);
	posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED);
	error = posix_memalign(&r->buffer, ALIGN, options.size);
	if (error)
		die("buffer", error);
	pthread_attr_init(&attributes);
	error = pthread_attr_setaffinity_np(&attributes, sizeof(cpus), &cpus);
	if (!error)
		error = pthread_create(&r->thread, &attributes, read_once, r);
	if (error)
		die("thread on that CPU", error);
	pthread_attr_destroy(&attributes);
}

static bool finish_reader(unsigned int number, uint64_t *first, uint64_t *last,
			  uint64_t *longest)
{
	struct reader *r = &readers[number];
	bool ok = r->result == (ssize_t)options.size;

	if (r->result < 0)
		fprintf(stderr, "pinned_readers: reader %u: %s\n", number,
			strerror((int)-r->result));
	else if (!ok)
		fprintf(stderr, "pinned_readers: reader %u: %zd of %u bytes\n", number,
			r->result, options.size);
	if (r->begin < *first)
		*first = r->begin;
	if (r->end > *last)
		*last = r->end;
	if (r->end - r->begin > *longest)
		*longest = r->end - r->begin;
	free(r->buffer);
	close(r->fd);
	return ok;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: pinned_readers [-c CPU] [-n READERS] [-s SIZE] [-d] FILE\n"
		"  -d  O_DIRECT    FILE must have at least READERS * SIZE bytes\n"
		"Exit: 0 all were read, 1 a read failed or was short, 3 usage\n");
	exit(EXIT_USAGE);
}

static unsigned int parse_number(const char *text, unsigned int least, unsigned int most)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || value < least || value > most)
		usage();
	return (unsigned int)value;
}

static void parse_arguments(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "c:n:s:d")) != -1) {
		switch (option) {
		case 'c':
			options.cpu = parse_number(optarg, 0, CPU_SETSIZE - 1);
			break;
		case 'n':
			options.readers = parse_number(optarg, 1, MAX_READERS);
			break;
		case 's':
			options.size = parse_number(optarg, 1, MAX_SIZE);
			break;
		case 'd':
			options.direct = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1)
		usage();
	options.path = argv[optind];
}

int main(int argc, char **argv)
{
	uint64_t first = UINT64_MAX, last = 0, longest = 0;
	bool ok = true;

	parse_arguments(argc, argv);
	pthread_barrier_init(&start, NULL, options.readers);
	for (unsigned int i = 0; i < options.readers; i++)
		start_reader(i);
	for (unsigned int i = 0; i < options.readers; i++)
		pthread_join(readers[i].thread, NULL);
	for (unsigned int i = 0; i < options.readers; i++)
		ok &= finish_reader(i, &first, &last, &longest);
	pthread_barrier_destroy(&start);

	printf("readers %u cpu %u total_ms %.1f slowest_ms %.1f\n", options.readers,
	       options.cpu, (double)(last - first) / 1e6, (double)longest / 1e6);
	return ok ? 0 : EXIT_FAILED;
}
