// SPDX-License-Identifier: GPL-2.0-only
/*
 * ioctl_client FILE [SIZE]: asks for the size of a file of the example ioctl, or sets it.
 */
#include "ioctl.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t size;
	int fd, res;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s FILE [SIZE]\n", argv[0]);
		return 1;
	}
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	if (argc == 3) {
		size = strtoul(argv[2], NULL, 0);
		res = ioctl(fd, FIOC_SET_SIZE, &size);
	} else {
		res = ioctl(fd, FIOC_GET_SIZE, &size);
		if (res == 0)
			printf("%zu\n", size);
	}
	if (res < 0)
		perror("ioctl");
	close(fd);
	return res < 0;
}
