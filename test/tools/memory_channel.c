// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory_channel: a client of a mount's memory channel that says how far it came.
 *
 *     memory_channel PATH         connect, give, take back
 *     memory_channel PATH hold    connect, give, say so, and take back when the input ends
 *
 * Prints "done", or the step that failed and why: then the exit status is 1.
 */
#define FUSE_USE_VERSION 318
#include <fuse_shared_memory.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SIZE (1 << 20)

static int fail(const char *step, int error)
{
	printf("%s: %s\n", step, strerror(-error));
	return 1;
}

int main(int argc, char **argv)
{
	int channel, memory, error;
	uint64_t id;
	char byte;

	if (argc < 2)
		return 1;
	channel = fuse_memory_channel_connect(argv[1]);
	if (channel < 0)
		return fail("connect", channel);
	memory = fuse_memory_create(SIZE, 0);
	if (memory < 0)
		return fail("create", memory);
	error = fuse_memory_channel_give(channel, memory, &id);
	if (error)
		return fail("give", error);
	if (argc > 2) {
		printf("given\n");
		fflush(stdout);
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
	}
	error = fuse_memory_channel_take_back(channel, id);
	if (error)
		return fail("take back", error);
	printf("done\n");
	return 0;
}
