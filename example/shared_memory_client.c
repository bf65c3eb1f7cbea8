// SPDX-License-Identifier: GPL-2.0-only
/*
 * shared_memory_client: stores and loads objects of shared_memory_ll, or files of any mount that
 * has a memory channel, with its data in memory that it shares with the server.
 *
 *     shared_memory_client store OBJECT FILE [options]
 *     shared_memory_client load OBJECT FILE [options]
 *
 *     --size=BYTES   how much to write or read at once; 1 MiB
 *     --private      out of memory that nobody else has, as usual: data are copied
 *     --verify       store: read it back and compare
 *     --hugetlb      out of huge pages, if the server takes them; their size divides that of --size
 *
 * FILE is "-" for the standard streams. Try it as shared_memory_ll.c says.
 *
 * What a client has to do is in share(): make memory, map it, give it to the server. All the rest is
 * pread() and pwrite() of a file that was opened with O_DIRECT.
 */
#define FUSE_USE_VERSION 318
#include <fuse_shared_memory.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct {
	size_t size;
	int private, verify, hugetlb;
} options = { .size = 1 << 20 };

/* Two pieces of options.size: what is moved, and what it is compared with. */
static char *memory, *other;

static int fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(error));
	return -1;
}

/* ---- Memory ---- */

static int give(const char *object, int fd)
{
	char *path = strdup(object);
	int channel = -ENOMEM;
	uint64_t id;
	int error;

	/* The object need not be there yet, but its folder is. */
	if (path)
		channel = fuse_memory_channel_connect(dirname(path));
	free(path);
	if (channel < 0)
		return fail("cannot connect to the server's memory channel", -channel);
	error = fuse_memory_channel_give(channel, fd, &id);
	if (error)
		return fail("the server does not take the memory", -error);
	/* The channel stays open until this process ends: closing it gives all back. */
	return 0;
}

static int share(const char *object)
{
	size_t size = 2 * options.size;
	int fd = fuse_memory_create(size, options.hugetlb ? FUSE_MEMORY_HUGETLB : 0);

	if (fd < 0)
		return fail("cannot make memory", -fd);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return fail("cannot map memory", errno);
	return give(object, fd);
}

static int get_memory(const char *object)
{
	const int kind = MAP_PRIVATE | MAP_ANONYMOUS;

	if (!options.private) {
		if (share(object) != 0)
			return -1;
	} else {
		memory =
			mmap(NULL, 2 * options.size, PROT_READ | PROT_WRITE, kind, -1, 0);
		if (memory == MAP_FAILED)
			return fail("cannot map memory", errno);
	}
	other = memory + options.size;
	return 0;
}

/* ---- Moving ---- */

/* Less than `size` only at the end. */
static ssize_t read_full(int fd, char *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t got = read(fd, to + done, size - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

static int write_full(int fd, const char *from, size_t size)
{
	while (size) {
		ssize_t put = write(fd, from, size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		from += put;
		size -= (size_t)put;
	}
	return 0;
}

static int verify(int object, size_t size, off_t off)
{
	memset(other, 0, size);
	if (pread(object, other, size, off) != (ssize_t)size)
		return fail("cannot read back", errno ? errno : EIO);
	return memcmp(memory, other, size) == 0 ? 0
						: fail("what was read back differs", EIO);
}

/* These return how many bytes they have moved, or -1 after a message. */
static off_t store(int object, int file)
{
	off_t off = 0;
	ssize_t size;

	while ((size = read_full(file, memory, options.size)) > 0) {
		if (pwrite(object, memory, (size_t)size, off) != size)
			return fail("cannot store", errno);
		if (options.verify && verify(object, (size_t)size, off) != 0)
			return -1;
		off += size;
	}
	return size < 0 ? fail("cannot read the file", errno) : off;
}

static off_t load(int object, int file)
{
	off_t off = 0;
	ssize_t size;

	while ((size = pread(object, memory, options.size, off)) > 0) {
		if (write_full(file, memory, (size_t)size) != 0)
			return fail("cannot write the file", errno);
		off += size;
	}
	return size < 0 ? fail("cannot load", errno) : off;
}

/* ---- Command line ---- */

static int open_file(const char *path, int storing)
{
	int fd;

	if (strcmp(path, "-") == 0)
		return storing ? STDIN_FILENO : STDOUT_FILENO;
	fd = open(path, storing ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC, 0644);
	return fd < 0 ? fail(path, errno) : fd;
}

static int open_object(const char *path, int storing)
{
	/* Compared with what is read back: for writing alone would not do. */
	int flags = storing ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY;
	int fd = open(path, flags | O_DIRECT, 0644);

	return fd < 0 ? fail(path, errno) : fd;
}

static int run(int storing, const char *object_path, const char *file_path)
{
	int object, file;
	off_t moved;

	if (get_memory(object_path) != 0)
		return -1;
	object = open_object(object_path, storing);
	if (object < 0)
		return -1;
	file = open_file(file_path, storing);
	if (file < 0)
		return -1;
	moved = storing ? store(object, file) : load(object, file);
	if (moved < 0)
		return -1;
	if (close(object) != 0)
		return fail(object_path, errno);
	fprintf(stderr, "%lld bytes %s %s memory\n", (long long)moved,
		storing ? "stored from" : "loaded to",
		options.private ? "private" : "shared");
	return 0;
}

static int take_size(const char *text)
{
	char *end;
	unsigned long long size = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || !size || size > SIZE_MAX / 4)
		return -1;
	options.size = (size_t)size;
	return 0;
}

static int take_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "size", required_argument, NULL, 's' },
		{ "private", no_argument, &options.private, 1 },
		{ "verify", no_argument, &options.verify, 1 },
		{ "hugetlb", no_argument, &options.hugetlb, 1 },
		{ NULL, 0, NULL, 0 },
	};
	int key;

	while ((key = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (key == 's' && take_size(optarg) == 0)
			continue;
		if (key != 0)
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *command;

	if (take_options(argc, argv) == 0 && argc - optind == 3) {
		command = argv[optind];
		if (strcmp(command, "store") == 0 || strcmp(command, "load") == 0)
			return run(command[0] == 's', argv[optind + 1],
				   argv[optind + 2]) == 0
				       ? 0
				       : 1;
	}
	fprintf(stderr,
		"usage: %s store|load OBJECT FILE [--size=BYTES] [--private] [--verify] "
		"[--hugetlb]\n",
		argv[0]);
	return 1;
}
