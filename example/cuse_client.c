// SPDX-License-Identifier: GPL-2.0-only
/*
 * cuse_client: the ioctls of the device that the example cuse serves, for the shell.
 *
 *     cuse_client DEVICE capacity         how many bytes the queue can hold
 *     cuse_client DEVICE capacity N       from now on
 *     cuse_client DEVICE used             how many it holds
 *     cuse_client DEVICE peek N           shows the first N of them, and leaves them there
 *     cuse_client DEVICE wait SECONDS     until there are some; exit status 1: there are none
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cuse.h"

static int fail(const char *what)
{
	fprintf(stderr, "cuse_client: %s: %s\n", what, strerror(errno));
	return 1;
}

static int print_number(int fd, unsigned long request)
{
	uint32_t number;

	if (ioctl(fd, request, &number) != 0)
		return fail("ioctl");
	printf("%u\n", number);
	return 0;
}

static int peek(int fd, size_t size)
{
	char *buffer = malloc(size + 1);
	struct cuse_peek where = { .buffer = (uintptr_t)buffer, .size = size };
	int result = 1;

	if (!buffer || ioctl(fd, CUSE_PEEK, &where) != 0)
		fail("peek");
	else
		result = fwrite(buffer, 1, where.size, stdout) != where.size;
	free(buffer);
	return result;
}

static int wait_for_bytes(int fd, int seconds)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	int ready = poll(&entry, 1, seconds * 1000);

	if (ready < 0)
		return fail("poll");
	return ready == 1 && (entry.revents & POLLIN) ? 0 : 1;
}

static int run(int fd, const char *what, const char *argument)
{
	uint32_t number = argument ? (uint32_t)strtoul(argument, NULL, 0) : 0;

	if (!strcmp(what, "used"))
		return print_number(fd, FIONREAD);
	if (!strcmp(what, "capacity") && !argument)
		return print_number(fd, CUSE_GET_CAPACITY);
	if (!strcmp(what, "capacity"))
		return ioctl(fd, CUSE_SET_CAPACITY, &number) ? fail("ioctl") : 0;
	if (!strcmp(what, "peek") && argument)
		return peek(fd, number);
	if (!strcmp(what, "wait") && argument)
		return wait_for_bytes(fd, (int)number);
	fprintf(stderr, "cuse_client: what is '%s'?\n", what);
	return 2;
}

int main(int argc, char **argv)
{
	int fd, status;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: cuse_client DEVICE "
				"capacity [N] | used | peek N | wait SECONDS\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR);
	if (fd < 0)
		return fail(argv[1]);
	status = run(fd, argv[2], argv[3]);
	close(fd);
	return status;
}
