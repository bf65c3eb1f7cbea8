// SPDX-License-Identifier: GPL-2.0-only
/*
 * poll_client DIRECTORY [N]: waits for the files of the example poll, and prints what it reads
 * from them: N lines, or without end.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES 16

static int open_files(const char *folder, struct pollfd *files)
{
	char path[4096];

	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%s/%X", folder, (unsigned)i);
		files[i].fd = open(path, O_RDONLY);
		files[i].events = POLLIN;
		if (files[i].fd < 0) {
			perror(path);
			return -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	long lines = argc > 2 ? atol(argv[2]) : -1;
	struct pollfd files[FILES];

	if (argc < 2) {
		fprintf(stderr, "usage: %s DIRECTORY [N]\n", argv[0]);
		return 1;
	}
	if (open_files(argv[1], files) != 0)
		return 1;
	while (lines != 0) {
		if (poll(files, FILES, -1) < 0) {
			perror("poll");
			return 1;
		}
		for (int i = 0; i < FILES && lines != 0; i++) {
			char bytes[64];
			ssize_t got;

			if (!(files[i].revents & POLLIN))
				continue;
			got = read(files[i].fd, bytes, sizeof(bytes));
			if (got < 0) {
				perror("read");
				return 1;
			}
			printf("%.*s\n", (int)got, bytes);
			fflush(stdout);
			if (lines > 0)
				lines--;
		}
	}
	return 0;
}
