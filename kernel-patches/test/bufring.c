// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mounts a small filesystem over buffer rings and checks what its clients see. Needs root, a
 * kernel with the patches, and enable_uring=Y:
 *
 *	bufring [--pin none|headers|buffers|both] [--zero-copy] [--linked] [--depth N] [--bufs N]
 *		[--buf-size BYTES] [--shared] [--rounds N]
 *	bufring --per-entry
 *
 * The latter uses no buffer rings, and works with any kernel since 6.14.
 */
#define _GNU_SOURCE
#include "server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_SIZE (16UL << 20)

static char mountpoint[] = "/tmp/bufring-XXXXXX";
static char data_path[64];
static int backing;
static unsigned int rounds = 1;

static unsigned char expected(uint64_t offset)
{
	return offset * 2654435761u >> 13;
}

static void fill_backing(void)
{
	char *bytes = malloc(FILE_SIZE);

	for (uint64_t i = 0; i < FILE_SIZE; i++)
		bytes[i] = expected(i);
	CHECK(!ftruncate(backing, 0));
	CHECK(pwrite(backing, bytes, FILE_SIZE, 0) == FILE_SIZE);
	free(bytes);
}

static void check_bytes(const unsigned char *bytes, size_t size, uint64_t offset)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != expected(offset + i))
			die("byte %lu is %#x, not %#x", offset + i, bytes[i],
			    expected(offset + i));
}

static void test_reads(int flags)
{
	static const size_t sizes[] = { 4096, 12288, 131072, MAX_PAYLOAD,
					3 * MAX_PAYLOAD };
	int fd = open(data_path, O_RDONLY | flags);
	void *bytes;

	CHECK(fd >= 0);
	CHECK(!posix_memalign(&bytes, 4096, 4 * MAX_PAYLOAD));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (uint64_t at = 0; at + sizes[i] <= FILE_SIZE;
		     at += 3 * MAX_PAYLOAD + 4096) {
			ssize_t size = pread(fd, bytes, sizes[i], at);

			CHECK(size == (ssize_t)sizes[i]);
			check_bytes(bytes, size, at);
		}
	}
	CHECK(pread(fd, bytes, 8192, FILE_SIZE - 4096) == 4096);
	check_bytes(bytes, 4096, FILE_SIZE - 4096);
	CHECK(pread(fd, bytes, 4096, FILE_SIZE) == 0);
	/* not at page boundaries */
	CHECK(pread(fd, (char *)bytes + 512, 10240, 4608) == 10240);
	check_bytes((unsigned char *)bytes + 512, 10240, 4608);
	free(bytes);
	close(fd);
}

static void test_writes(int flags)
{
	int fd = open(data_path, O_WRONLY | flags);
	unsigned char *bytes, *stored = malloc(MAX_PAYLOAD);

	CHECK(fd >= 0);
	CHECK(!posix_memalign((void **)&bytes, 4096, 2 * MAX_PAYLOAD));
	for (unsigned int i = 0; i < 8; i++) {
		size_t size = i & 1 ? MAX_PAYLOAD : 20480;
		uint64_t at = i * 1048576UL + 8192;

		for (size_t k = 0; k < size; k++)
			bytes[k] = ~expected(at + k);
		CHECK(pwrite(fd, bytes, size, at) == (ssize_t)size);
		CHECK(pread(backing, stored, size, at) == (ssize_t)size);
		CHECK(!memcmp(bytes, stored, size));
	}
	free(bytes);
	free(stored);
	close(fd);
	fill_backing();
}

/* Leaves something in the free memory that a reader of stale memory would notice. */
static void dirty_free_memory(void)
{
	size_t size = 64UL << 20;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	memset(memory, 0xee, size);
	munmap(memory, size);
}

/* What lies behind the end of the file, in its last page, is zero, whatever way it came in. */
static void test_tail(void)
{
	static const unsigned int sizes[] = { 1, 100, 4095, 4097, 70000, 135000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t mapped = (sizes[i] + 4095UL) & ~4095UL;
		unsigned char *memory;
		struct stat stat;
		int fd;

		dirty_free_memory();
		fill_backing();
		CHECK(!ftruncate(backing, sizes[i]));
		fd = open(data_path, O_RDONLY);
		CHECK(fd >= 0 && !fstat(fd, &stat) && stat.st_size == sizes[i]);
		memory = mmap(NULL, mapped, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(memory != MAP_FAILED);
		check_bytes(memory, sizes[i], 0);
		for (size_t k = sizes[i]; k < mapped; k++)
			if (memory[k])
				die("a file of %u bytes has %#x at %zu", sizes[i],
				    memory[k], k);
		munmap(memory, mapped);
		close(fd);
	}
	fill_backing();
}

/* The file got shorter, and the kernel does not know it yet: a whole page reads as short. */
static void test_short_cached(void)
{
	int fd = open(data_path, O_RDONLY);
	unsigned char byte, *memory;
	struct stat stat;

	CHECK(fd >= 0 && !fstat(fd, &stat) && stat.st_size == FILE_SIZE);
	CHECK(pread(fd, &byte, 1, FILE_SIZE - 1) == 1);
	dirty_free_memory();
	CHECK(!ftruncate(backing, 1048576 + 10));
	memory = mmap(NULL, 1048576 + 8192, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED);
	check_bytes(memory + 1048576, 10, 1048576);
	for (unsigned int k = 10; k < 4096; k++)
		if (memory[1048576 + k])
			die("byte %u behind the end is %#x", k, memory[1048576 + k]);
	munmap(memory, 1048576 + 8192);
	close(fd);
	fill_backing();
}

static void test_names(void)
{
	char path[128], target[128] = "";
	unsigned int seen = 0;
	struct dirent *entry;
	struct stat stat;
	DIR *directory;

	snprintf(path, sizeof(path), "%s/link", mountpoint);
	CHECK(readlink(path, target, sizeof(target) - 1) == (ssize_t)strlen(LINK_TARGET));
	CHECK(!strcmp(target, LINK_TARGET));
	snprintf(path, sizeof(path), "%s/nothing", mountpoint);
	CHECK(lstat(path, &stat) && errno == ENOENT);
	snprintf(path, sizeof(path), "%s/entries", mountpoint);
	directory = opendir(path);
	CHECK(directory);
	while ((entry = readdir(directory))) {
		char name[64];

		snprintf(name, sizeof(name), "an entry with number %u", seen);
		CHECK(!strcmp(entry->d_name, name));
		seen++;
	}
	CHECK(seen == NR_ENTRIES);
	closedir(directory);
}

static void test_ioctl(void)
{
	unsigned char bytes[_IOC_SIZE(IOCTL_INVERT)];
	int fd = open(data_path, O_RDONLY);

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = expected(i);
	CHECK(!ioctl(fd, IOCTL_INVERT, bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK(bytes[i] == (unsigned char)~expected(i));
	close(fd);
}

static void *read_at_random(void *argument)
{
	unsigned int seed = (uintptr_t)argument;
	int fd = open(data_path, O_RDONLY | (seed & 1 ? O_DIRECT : 0));
	void *bytes;

	CHECK(fd >= 0 && !posix_memalign(&bytes, 4096, MAX_PAYLOAD));
	for (unsigned int i = 0; i < 200; i++) {
		size_t size = (1 + rand_r(&seed) % 64) * 4096;
		uint64_t at = rand_r(&seed) % ((FILE_SIZE - size) / 4096) * 4096;
		struct stat stat;

		CHECK(pread(fd, bytes, size, at) == (ssize_t)size);
		check_bytes(bytes, size, at);
		if (!(i % 8))
			CHECK(!fsync(fd) && !fstat(fd, &stat));
		if (!(i % 32))
			test_names();
	}
	free(bytes);
	close(fd);
	return NULL;
}

static void test_many(void)
{
	pthread_t threads[16];

	for (uintptr_t i = 0; i < 16; i++)
		CHECK(!pthread_create(&threads[i], NULL, read_at_random,
				      (void *)(i + 1)));
	for (int i = 0; i < 16; i++)
		pthread_join(threads[i], NULL);
}

#define RUN(test)                      \
	do {                           \
		printf("%s\n", #test); \
		test;                  \
	} while (0)

static int client(void)
{
	for (unsigned int i = 0; i < rounds; i++) {
		RUN(test_names());
		RUN(test_ioctl());
		RUN(test_reads(O_DIRECT));
		RUN(test_reads(0));
		RUN(test_writes(O_DIRECT));
		RUN(test_writes(0));
		RUN(test_tail());
		RUN(test_short_cached());
		RUN(test_many());
	}
	return 0;
}

static uint64_t pin_flags(const char *name)
{
	if (!strcmp(name, "none"))
		return 0;
	if (!strcmp(name, "headers"))
		return FUSE_URING_PINNED_HEADERS;
	if (!strcmp(name, "buffers"))
		return FUSE_URING_PINNED_BUFFERS;
	if (!strcmp(name, "both"))
		return FUSE_URING_PINNED_HEADERS | FUSE_URING_PINNED_BUFFERS;
	die("--pin %s", name);
}

static void options(struct server *server, int argc, char **argv)
{
	static const struct option known[] = {
		{ "pin", required_argument, NULL, 'p' },
		{ "zero-copy", no_argument, NULL, 'z' },
		{ "linked", no_argument, NULL, 'l' },
		{ "depth", required_argument, NULL, 'd' },
		{ "bufs", required_argument, NULL, 'b' },
		{ "buf-size", required_argument, NULL, 's' },
		{ "shared", no_argument, NULL, 'm' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "per-entry", no_argument, NULL, 'e' },
		{ 0 },
	};
	int option;

	server->setup = (struct setup){ .flags = FUSE_URING_BUFRING,
					.depth = 8,
					.nr_bufs = 8,
					.buf_size = MAX_PAYLOAD };
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'p')
			server->setup.flags |= pin_flags(optarg);
		else if (option == 'z')
			server->setup.flags = ALL_FLAGS;
		else if (option == 'l')
			server->linked = true;
		else if (option == 'd')
			server->setup.depth = atoi(optarg);
		else if (option == 'b')
			server->setup.nr_bufs = atoi(optarg);
		else if (option == 's')
			server->setup.buf_size = atoi(optarg);
		else if (option == 'm')
			server->setup.shared_memory = true;
		else if (option == 'e')
			server->setup.flags = 0;
		else if (option == 'r')
			rounds = atoi(optarg);
		else
			die("usage: see the comment at the head of bufring.c");
	}
}

int main(int argc, char **argv)
{
	struct server server = { 0 };
	struct counters *counters = &server.counters;
	int status;
	pid_t pid;

	setvbuf(stdout, NULL, _IOLBF, 0);
	options(&server, argc, argv);
	CHECK(mkdtemp(mountpoint));
	snprintf(data_path, sizeof(data_path), "%s/data", mountpoint);
	backing = memfd_create("backing", MFD_CLOEXEC);
	CHECK(backing >= 0);
	fill_backing();
	server.backing = backing;
	server_start(&server, mountpoint);
	if (server.setup.flags &&
	    !(server.mount.kernel_flags & FUSE_HAS_IO_URING_BUFRING))
		die("this kernel does not offer buffer rings");

	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		close(server.mount.fuse);
		_exit(client());
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	server_stop(&server);
	rmdir(mountpoint);

	printf("requests %lu zero-copied %lu buffered %lu bufferless %lu linked %lu broken %lu buffers used %lu\n",
	       counters->requests, counters->zero_copied, counters->buffered,
	       counters->bufferless, counters->linked, counters->broken,
	       counters->most_buffers);
	if (status)
		die("the client ended with status %#x", status);
	if (!counters->buffered || !counters->bufferless != !server.setup.flags ||
	    !counters->zero_copied != !(server.setup.flags & FUSE_URING_ZERO_COPY) ||
	    !counters->linked != !server.linked)
		die("not the path that was asked for");
	return 0;
}
