// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Into the background.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fuse_config.h"
#include "session/session.h"

static int fail(const char *what)
{
	fuse_log(FUSE_LOG_ERR, "fuse: cannot go to the background: %s: %s\n", what,
		 strerror(errno));
	return -1;
}

/* The first process leaves when the second one is ready, and fails if that never is. */
static void wait_and_leave(int ready)
{
	ssize_t got;
	char byte;

	do {
		got = read(ready, &byte, 1);
	} while (got < 0 && errno == EINTR);
	_exit(got == 1 ? 0 : 1);
}

static int detach(void)
{
	int null;

	if (setsid() < 0)
		return fail("setsid");
	if (chdir("/") != 0)
		return fail("/");
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		return fail("/dev/null");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}

int fuse_daemonize(int foreground)
{
	int ready[2];
	int result;

	if (foreground) {
		if (chdir("/") != 0)
			fuse_log(FUSE_LOG_WARNING, "fuse: cannot change to /: %s\n",
				 strerror(errno));
		return 0;
	}
	if (pipe2(ready, O_CLOEXEC) != 0)
		return fail("pipe");
	/* What both processes have buffered would be lost in one and go nowhere in the other. */
	fflush(NULL);
	switch (fork()) {
	case -1:
		close(ready[0]);
		close(ready[1]);
		return fail("fork");
	case 0:
		break;
	default:
		close(ready[1]);
		wait_and_leave(ready[0]);
	}
	close(ready[0]);
	result = detach();
	if (result == 0 && write(ready[1], "", 1) != 1)
		result = fail("pipe");
	close(ready[1]);
	return result;
}
